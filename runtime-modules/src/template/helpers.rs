//! What a template can call, and what it gives.

use cloudtik_lang::{preview, to_plain_json};
use cloudtik_model::{Expr, ExprKind, Number, Span, Type, Value, ValueKind};

use super::print::Mode;

/// A helper that gives a value.
#[derive(Debug)]
pub(super) struct Helper {
    pub(super) name: &'static str,
    /// The fewest and the most arguments.
    pub(super) arguments: (usize, usize),
    pub(super) usage: &'static str,
}

const fn helper(name: &'static str, least: usize, most: usize, usage: &'static str) -> Helper {
    Helper { name, arguments: (least, most), usage }
}

/// Every helper, by name.
pub(super) static HELPERS: [Helper; 14] = [
    helper("and", 2, 16, "(and a b)"),
    helper("b64", 1, 1, "{{b64 text}}"),
    helper("eq", 2, 2, "(eq a b)"),
    helper("indent", 2, 2, "{{indent text 4}}"),
    helper("join", 1, 2, "{{join list \", \"}}"),
    helper("json", 1, 1, "{{json value}}"),
    helper("len", 1, 1, "(len list)"),
    helper("lookup", 2, 2, "{{lookup map key}}"),
    helper("ne", 2, 2, "(ne a b)"),
    helper("not", 1, 1, "(not a)"),
    helper("or", 2, 16, "(or a b)"),
    helper("required", 1, 2, "{{required value \"what is missing\"}}"),
    helper("shell_quote", 1, 1, "{{shell_quote text}}"),
    helper("yaml_quote", 1, 1, "{{yaml_quote text}}"),
];

/// The blocks.
pub(super) const BLOCKS: [&str; 4] = ["each", "if", "unless", "with"];

/// What a preview shows of a sensitive value.
pub(super) const SENSITIVE: &str = "(sensitive value)";

/// The helper of that name.
pub(super) fn find(name: &str) -> Option<&'static Helper> {
    HELPERS.iter().find(|helper| helper.name == name)
}

/// Whether a condition takes this for true: as Handlebars has it, with zero, nothing and what is empty false.
pub(super) fn is_true(value: &Value) -> bool {
    match value.kind() {
        ValueKind::Null(_) => false,
        ValueKind::Bool(truth) => *truth,
        ValueKind::Number(number) => *number != Number::from(0_i64),
        ValueKind::String(text) => !text.is_empty(),
        ValueKind::Deferred(_) => true,
        _ => size(value).is_some_and(|size| size > 0),
    }
}

/// How many elements a collection has.
fn size(value: &Value) -> Option<usize> {
    value.elements().map(|elements| elements.len()).or_else(|| value.entries().map(std::collections::BTreeMap::len))
}

/// Whether a preview cannot look into the value.
pub(super) fn is_opaque(value: &Value, mode: Mode) -> bool {
    mode == Mode::Preview && (value.is_deferred() || value.is_sensitive())
}

/// What a preview shows of a value, as a value that is known and not sensitive.
pub(super) fn shown(value: &Value, mode: Mode) -> Value {
    if mode == Mode::Final || (value.is_known() && !value.has_sensitive()) {
        return value.clone();
    }
    if value.is_sensitive() {
        return SENSITIVE.into();
    }
    match value.kind() {
        ValueKind::Deferred(_) => {
            let text = preview(value);
            if text.has_sensitive() { SENSITIVE.into() } else { text }
        }
        ValueKind::Map(items) | ValueKind::Object(items) => {
            Value::object(items.iter().map(|(name, item)| (std::sync::Arc::clone(name), shown(item, mode))))
        }
        _ => match value.elements() {
            Some(items) => Value::tuple(items.map(|item| shown(item, mode))),
            None => value.clone(),
        },
    }
}

/// The text that a value prints as.
pub(super) fn text_of(value: &Value) -> Result<String, String> {
    match value.kind() {
        ValueKind::String(text) => Ok(text.to_string()),
        ValueKind::Number(number) => Ok(number.to_string()),
        ValueKind::Bool(truth) => Ok(truth.to_string()),
        ValueKind::Null(_) => Err("it is null, which has no text".to_owned()),
        ValueKind::Deferred(_) => Err("it is not known".to_owned()),
        _ => Err(format!("it is {}, which has no text of its own; use `json` or `join`", value.describe())),
    }
}

/// What a helper gives.
pub(super) fn call(helper: &Helper, arguments: &[Value], mode: Mode) -> Result<Value, String> {
    let argument = |index: usize| arguments.get(index).cloned().unwrap_or(Value::NULL);
    let first = argument(0);
    if let Some(truth) = logic(helper.name, arguments, mode) {
        return Ok(truth);
    }
    let hidden = arguments.iter().any(|argument| is_opaque(argument, mode));
    if hidden && matches!(helper.name, "b64" | "len" | "lookup") {
        return Ok(later(helper, arguments));
    }
    let text = || text_of(&shown(&first, mode));
    match helper.name {
        "json" => to_plain_json(&shown(&first, mode)).map(|json| json.to_string().into()).ok_or_else(|| "it is not known".to_owned()),
        "yaml_quote" => Ok(yaml_quote(&text()?).into()),
        "shell_quote" if is_opaque(&first, mode) => Ok(text()?.into()),
        "shell_quote" => crate::shell::quote(&text()?).map(Into::into).ok_or_else(|| "a zero byte cannot be quoted".to_owned()),
        "indent" => {
            let width = argument(1).as_number().and_then(Number::as_u64).filter(|width| *width <= MAX_INDENT);
            let width = width.ok_or_else(|| format!("the width is a whole number from 0 to {MAX_INDENT}"))?;
            Ok(indent(&text()?, usize::try_from(width).unwrap_or(0)).into())
        }
        "b64" => Ok(base64(text()?.as_bytes()).into()),
        "required" => required(&first, arguments.get(1), mode),
        "len" => match first.as_str() {
            Some(text) => Ok(text.chars().count().into()),
            None => {
                size(&first).map(Into::into).ok_or_else(|| format!("a text or a collection has a length, and this is {}", first.describe()))
            }
        },
        "join" => join(&shown(&first, mode), arguments.get(1)),
        _ => lookup(&first, &argument(1)),
    }
}

/// The widest margin: beyond it no line can be read.
const MAX_INDENT: u64 = 80;

/// `eq`, `ne`, `and`, `or`, `not`: decided where they can be, even when one side is not known.
fn logic(name: &str, arguments: &[Value], mode: Mode) -> Option<Value> {
    let hidden = arguments.iter().any(|argument| is_opaque(argument, mode) || (mode == Mode::Preview && !argument.is_known()));
    let known = || arguments.iter().filter(|argument| !is_opaque(argument, mode));
    let decided = match name {
        "and" if known().any(|argument| !is_true(argument)) => false,
        "or" if known().any(is_true) => true,
        "eq" | "ne" | "and" | "or" | "not" if hidden => return Some(later(find(name)?, arguments)),
        "eq" => arguments.first() == arguments.get(1),
        "ne" => arguments.first() != arguments.get(1),
        "and" => true,
        "or" => false,
        "not" => !arguments.first().is_some_and(is_true),
        _ => return None,
    };
    Some(decided.into())
}

/// The call itself, for what it is called with is not known yet. Shown only.
fn later(helper: &Helper, arguments: &[Value]) -> Value {
    let sensitive = arguments.iter().any(Value::has_sensitive);
    let args = arguments.iter().map(Value::to_expr).collect();
    let call = ExprKind::Call { name: helper.name.into(), args, expand: false };
    Value::deferred(Type::Any, Expr::new(call, Span::NONE)).marked(sensitive)
}

fn required(value: &Value, message: Option<&Value>, mode: Mode) -> Result<Value, String> {
    let missing = !is_opaque(value, mode) && (value.is_null() || value.as_str() == Some(""));
    if !missing {
        return Ok(value.clone());
    }
    Err(message.and_then(Value::as_str).unwrap_or("a value is required here").to_owned())
}

fn join(list: &Value, separator: Option<&Value>) -> Result<Value, String> {
    let separator = separator.map_or(Ok(","), |separator| separator.as_str().ok_or("the separator is a text"))?;
    if let Some(text) = list.as_str().filter(|text| text.starts_with('<') || *text == SENSITIVE) {
        return Ok(text.into());
    }
    let items = list.elements().ok_or_else(|| format!("a list is joined, and this is {}", list.describe()))?;
    Ok(items.map(text_of).collect::<Result<Vec<_>, _>>()?.join(separator).into())
}

fn lookup(collection: &Value, key: &Value) -> Result<Value, String> {
    let name = text_of(key)?;
    child(collection, &name).ok_or_else(|| format!("there is no `{name}` in it"))
}

/// What stands below a name, with the mark of what it stands in.
pub(super) fn child(value: &Value, name: &str) -> Option<Value> {
    let found = match value.kind() {
        ValueKind::Deferred(deferred) => {
            let below = match name.parse::<u64>() {
                Ok(index) => {
                    let key = std::sync::Arc::new(Expr::literal(index));
                    Expr::from(ExprKind::Index { of: std::sync::Arc::new(deferred.expr.clone()), key })
                }
                Err(_) => deferred.expr.clone().attribute(name),
            };
            Value::deferred(Type::Any, below)
        }
        _ => match value.elements() {
            Some(mut elements) => elements.nth(name.parse().ok()?)?.clone(),
            None => value.get(name)?.clone(),
        },
    };
    Some(found.marked(value.is_sensitive()))
}

/// Every line that is not empty, moved to the right.
fn indent(text: &str, width: usize) -> String {
    let margin = " ".repeat(width);
    text.split_inclusive('\n').map(|line| if line.trim_end().is_empty() { line.to_owned() } else { format!("{margin}{line}") }).collect()
}

/// A double-quoted scalar of YAML, which is a string for every reader of YAML.
fn yaml_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Base64 with padding, as in RFC 4648.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32| DIGITS.get((bits & 63) as usize).map_or('=', |digit| char::from(*digit));
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |index: usize| chunk.get(index).copied().map_or(0, u32::from);
        let bits = (at(0) << 16) | (at(1) << 8) | at(2);
        out.push(digit(bits >> 18));
        out.push(digit(bits >> 12));
        out.push(if chunk.len() > 1 { digit(bits >> 6) } else { '=' });
        out.push(if chunk.len() > 2 { digit(bits) } else { '=' });
    }
    out
}
