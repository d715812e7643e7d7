//! Values as the JSON that `jsonencode` writes and `jsondecode` reads: plain, without types and marks. Not the form on disk.

use std::fmt::Write as _;
use std::str::FromStr as _;

use cloudtik_model::{Number, NumberError, Value, ValueKind};
use serde_json::Value as Json;

/// The value as plain JSON; marks are lost. `None` when something in it is not known yet.
#[must_use]
pub fn to_plain_json(value: &Value) -> Option<Json> {
    Some(match value.kind() {
        ValueKind::Null(_) => Json::Null,
        ValueKind::Bool(truth) => Json::Bool(*truth),
        ValueKind::Number(number) => Json::Number(serde_json::Number::from_str(&number.to_string()).ok()?),
        ValueKind::String(text) => Json::String(text.to_string()),
        ValueKind::Deferred(_) => return None,
        ValueKind::Map(items) | ValueKind::Object(items) => {
            Json::Object(items.iter().map(|(name, item)| Some((name.to_string(), to_plain_json(item)?))).collect::<Option<_>>()?)
        }
        ValueKind::List(_) | ValueKind::Set(_) | ValueKind::Tuple(_) => {
            Json::Array(value.elements()?.map(to_plain_json).collect::<Option<_>>()?)
        }
    })
}

/// A value of plain JSON: arrays are tuples, objects are objects.
///
/// # Errors
/// A number is beyond the bounds of numbers.
pub fn from_plain_json(json: Json) -> Result<Value, NumberError> {
    Ok(match json {
        Json::Null => Value::NULL,
        Json::Bool(truth) => truth.into(),
        Json::Number(number) => Number::from_str(&number.to_string())?.into(),
        Json::String(text) => text.into(),
        Json::Array(items) => Value::tuple(items.into_iter().map(from_plain_json).collect::<Result<Vec<_>, _>>()?),
        Json::Object(items) => {
            let items = items.into_iter().map(|(name, item)| Ok((name, from_plain_json(item)?)));
            Value::object(items.collect::<Result<Vec<_>, NumberError>>()?)
        }
    })
}

/// A value of a JSON text.
///
/// # Errors
/// It is no JSON, or a number is beyond the bounds of numbers; in words.
pub fn from_json_text(text: &str) -> Result<Value, String> {
    let json = serde_json::from_str(text).map_err(|error| error.to_string())?;
    from_plain_json(json).map_err(|error| error.to_string())
}

/// The text that `jsonencode` gives: names sorted, no spaces, and `<`, `>`, `&` and the two line separators escaped, as Terraform
/// does. `None` when something is not known yet.
#[must_use]
pub fn to_json_text(value: &Value) -> Option<String> {
    let mut out = String::new();
    write_json(value, &mut out)?;
    Some(out)
}

fn write_json(value: &Value, out: &mut String) -> Option<()> {
    match value.kind() {
        ValueKind::Null(_) => out.push_str("null"),
        ValueKind::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        ValueKind::Number(number) => write!(out, "{number}").ok()?,
        ValueKind::String(text) => write_json_string(text, out),
        ValueKind::Deferred(_) => return None,
        ValueKind::Map(items) | ValueKind::Object(items) => {
            out.push('{');
            for (i, (name, item)) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json_string(name, out);
                out.push(':');
                write_json(item, out)?;
            }
            out.push('}');
        }
        ValueKind::List(_) | ValueKind::Set(_) | ValueKind::Tuple(_) => {
            out.push('[');
            for (i, item) in value.elements()?.enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json(item, out)?;
            }
            out.push(']');
        }
    }
    Some(())
}

pub(crate) fn write_json_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// At least how many values a JSON text holds, counted without making them.
pub(crate) fn count_json_values(text: &str) -> usize {
    let mut count = 1_usize;
    let mut in_string = false;
    let mut escaped = false;
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b',' | b'[' | b'{' if !in_string => count += 1,
            _ => {}
        }
    }
    count
}
