//! Text: `join`, `split`, `lower`, `upper`, `replace`, `trimspace`, `regex`.

use cloudtik_model::Value;
use regex::{Regex, RegexBuilder};

use super::{Fault, Function, Outcome, Wants, a_string, any, parameter, strings, text};
use crate::limits::{MAX_ELEMENTS, MAX_REGEX_BYTES, MAX_STRING_BYTES};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::known("join", &[parameter("separator", Wants::String)], a_string, join)
        .and(parameter("lists", Wants::Strings))
        .needs(2)
        .doc("The strings of the lists as one, with the separator between them."),
    Function::known("lower", &[parameter("string", Wants::String)], a_string, |args| Ok(text(args, 0).to_lowercase().into()))
        .doc("The string in lower case."),
    Function::known("regex", &[parameter("pattern", Wants::String), parameter("string", Wants::String)], any, regex)
        .doc("The first match: the text, or its unnamed groups as a list, or its named groups as an object."),
    Function::known(
        "replace",
        &[parameter("string", Wants::String), parameter("substring", Wants::String), parameter("replacement", Wants::String)],
        a_string,
        replace,
    )
    .doc("The string with each occurrence of the substring replaced; one between slashes is a regular expression."),
    Function::known("split", &[parameter("separator", Wants::String), parameter("string", Wants::String)], strings, split)
        .doc("The pieces of the string between the separators."),
    Function::known("trimspace", &[parameter("string", Wants::String)], a_string, |args| Ok(text(args, 0).trim().into()))
        .doc("The string without white space at its ends."),
    Function::known("upper", &[parameter("string", Wants::String)], a_string, |args| Ok(text(args, 0).to_uppercase().into()))
        .doc("The string in upper case."),
];

fn too_long() -> Fault {
    Fault::new(format!("the text would have more than {MAX_STRING_BYTES} bytes"))
}

fn join(args: &[Value]) -> Outcome {
    let separator = text(args, 0);
    let mut out = String::new();
    let mut first = true;
    for (i, list) in args.iter().enumerate().skip(1) {
        for item in list.elements().into_iter().flatten() {
            let Some(item) = item.as_str() else { return Err(Fault::at(i, "an element is null")) };
            if !std::mem::take(&mut first) {
                out.push_str(separator);
            }
            out.push_str(item);
            if out.len() > MAX_STRING_BYTES {
                return Err(too_long());
            }
        }
    }
    Ok(out.into())
}

fn split(args: &[Value]) -> Outcome {
    let (separator, string) = (text(args, 0), text(args, 1));
    let pieces: Vec<Value> = if separator.is_empty() {
        string.chars().take(MAX_ELEMENTS + 1).map(|c| Value::from(c.to_string())).collect()
    } else {
        string.split(separator).take(MAX_ELEMENTS + 1).map(Value::from).collect()
    };
    if pieces.len() > MAX_ELEMENTS {
        return Err(Fault::at(1, format!("it has more than {MAX_ELEMENTS} pieces")));
    }
    Ok(Value::list(pieces))
}

fn compile(pattern: &str, argument: usize) -> Result<Regex, Fault> {
    RegexBuilder::new(pattern).size_limit(MAX_REGEX_BYTES).build().map_err(|error| {
        let message = match error {
            regex::Error::CompiledTooBig(_) => "the regular expression is too large".to_owned(),
            // The library draws the pattern with a marker below it; the last line says what is wrong.
            other => other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
        };
        Fault::at(argument, format!("not a regular expression: {message}"))
    })
}

fn replace(args: &[Value]) -> Outcome {
    let (string, from, to) = (text(args, 0), text(args, 1), text(args, 2));
    if let Some(pattern) = from.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
        return replace_all(&compile(pattern, 1)?, string, to);
    }
    let count = string.matches(from).count();
    if string.len().saturating_add(count.saturating_mul(to.len())) > MAX_STRING_BYTES {
        return Err(too_long());
    }
    Ok(string.replace(from, to).into())
}

/// `Regex::replace_all` with a bound on what it makes.
fn replace_all(pattern: &Regex, string: &str, to: &str) -> Outcome {
    let mut out = String::new();
    let mut end = 0;
    for found in pattern.captures_iter(string) {
        let Some(whole) = found.get(0) else { continue };
        out.push_str(string.get(end..whole.start()).unwrap_or_default());
        found.expand(to, &mut out);
        end = whole.end();
        if out.len() > MAX_STRING_BYTES {
            return Err(too_long());
        }
    }
    out.push_str(string.get(end..).unwrap_or_default());
    Ok(out.into())
}

fn regex(args: &[Value]) -> Outcome {
    let pattern = compile(text(args, 0), 0)?;
    let named = pattern.capture_names().flatten().count();
    if named > 0 && named + 1 < pattern.captures_len() {
        return Err(Fault::at(0, "either all groups have names or none has"));
    }
    let Some(found) = pattern.captures(text(args, 1)) else {
        return Err(Fault::at(1, "the pattern does not match"));
    };
    let group = |found: Option<regex::Match<'_>>| found.map_or(Value::NULL, |found| Value::from(found.as_str()));
    Ok(if named > 0 {
        Value::object(pattern.capture_names().flatten().map(|name| (name, group(found.name(name)))))
    } else if pattern.captures_len() > 1 {
        Value::tuple(found.iter().skip(1).map(group))
    } else {
        group(found.get(0))
    })
}
