//! Commands of the manifest as scripts for `/bin/sh -e`.
//!
//! A word that is known stands in the script, quoted. A word that only the node can fill travels in the environment and stands in the
//! script as `"$CLOUDTIK_ARG_1"`: the shell never reads its content, so nothing in it can be a command.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_lang::convert;
use cloudtik_model::{Diagnostic, Span, Type, Value};

use crate::shell::quote;

/// What a late word is called in the environment of its script, before its number.
pub(super) const ARGUMENT_VARIABLE: &str = "CLOUDTIK_ARG_";

/// A command as a script, and the variables it needs. A text is a script already, and may hold nothing that is not known.
pub(super) fn script(command: &Value, name: &str, span: Span, env: &mut BTreeMap<Arc<str>, Value>) -> Result<Value, Diagnostic> {
    if command.as_str().is_some() {
        return Ok(command.clone());
    }
    let wrong = |title: String| Diagnostic::error("bad-command", title).at(span);
    if command.as_deferred().is_some_and(|deferred| deferred.ty == Type::String) {
        return Err(wrong(format!("`{name}` is a script with values that only the node knows, and nothing quotes them"))
            .help("write the command as a list of words, or put the values into `env` and use them as `\"$NAME\"`"));
    }
    let Ok(words) = convert(command, &Type::list(Type::String)) else {
        return Err(wrong(format!("`{name}` is a list of words or a script, and this is {}", command.describe())));
    };
    let Some(words) = words.elements().filter(|words| words.len() > 0) else {
        return Err(wrong(format!("`{name}` must be known as a list of words, with at least one")));
    };
    let mut line = vec!["exec".to_owned()];
    let mut sensitive = command.is_sensitive();
    for (index, word) in words.enumerate() {
        sensitive = sensitive || word.is_sensitive();
        line.push(match word.as_str() {
            Some(text) => quote(text).ok_or_else(|| wrong(format!("word {} of `{name}` holds a zero byte", index + 1)))?,
            None if word.is_null() => return Err(wrong(format!("word {} of `{name}` is null", index + 1))),
            None => {
                let variable = format!("{ARGUMENT_VARIABLE}{}", env.keys().filter(|name| name.starts_with(ARGUMENT_VARIABLE)).count() + 1);
                env.insert(variable.as_str().into(), word.clone());
                format!("\"${variable}\"")
            }
        });
    }
    Ok(Value::from(line.join(" ")).marked(sensitive))
}
