//! Values as a console shows them: what kind of collection each is can be seen, and a text of several lines has them.

use std::fmt::Write as _;
use std::sync::LazyLock;

use cloudtik_model::{Type, Value, ValueKind};
use regex::Regex;

use crate::render::{SENSITIVE, UNKNOWN};

/// One level further in.
const STEP: usize = 2;

/// The value as `terraform console` shows it.
#[must_use]
pub fn console_text(value: &Value) -> String {
    let mut out = String::new();
    write(value, 0, &mut out);
    out
}

fn write(value: &Value, indent: usize, out: &mut String) {
    if value.is_sensitive() {
        out.push_str(SENSITIVE);
        return;
    }
    match value.kind() {
        ValueKind::Null(_) => out.push_str(&null_text(&value.ty())),
        ValueKind::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        ValueKind::Number(number) => out.push_str(&number.to_string()),
        ValueKind::String(text) => write_string(text, indent, out),
        ValueKind::Deferred(_) => out.push_str(UNKNOWN),
        ValueKind::List(_) => write_items(value, ("tolist([", "])"), indent, out),
        ValueKind::Set(_) => write_items(value, ("toset([", "])"), indent, out),
        ValueKind::Tuple(_) => write_items(value, ("[", "]"), indent, out),
        ValueKind::Map(_) => write_entries(value, ("tomap({", "})"), indent, out),
        ValueKind::Object(_) => write_entries(value, ("{", "}"), indent, out),
    }
}

/// A `null` by its type, in a form that can be read again.
fn null_text(ty: &Type) -> String {
    match ty {
        Type::Any => "null".to_owned(),
        Type::Bool | Type::Number | Type::String => format!("to{ty}(null)"),
        Type::List(of) => format!("tolist(null) /* of {} */", friendly(of)),
        Type::Set(of) => format!("toset(null) /* of {} */", friendly(of)),
        Type::Map(of) => format!("tomap(null) /* of {} */", friendly(of)),
        Type::Tuple(_) | Type::Object(_) => format!("null /* {} */", friendly(ty)),
    }
}

/// A type in words.
fn friendly(ty: &Type) -> String {
    match ty {
        Type::Any => "dynamic".to_owned(),
        Type::Bool | Type::Number | Type::String => ty.to_string(),
        Type::List(of) => format!("list of {}", friendly(of)),
        Type::Set(of) => format!("set of {}", friendly(of)),
        Type::Map(of) => format!("map of {}", friendly(of)),
        Type::Tuple(_) => "tuple".to_owned(),
        Type::Object(_) => "object".to_owned(),
    }
}

fn write_items(value: &Value, (open, close): (&str, &str), indent: usize, out: &mut String) {
    out.push_str(open);
    let items = value.elements().filter(|items| items.len() > 0);
    if let Some(items) = items {
        out.push('\n');
        for item in items {
            out.push_str(&" ".repeat(indent + STEP));
            write(item, indent + STEP, out);
            out.push_str(",\n");
        }
        out.push_str(&" ".repeat(indent));
    }
    out.push_str(close);
}

fn write_entries(value: &Value, (open, close): (&str, &str), indent: usize, out: &mut String) {
    out.push_str(open);
    let entries = value.entries().filter(|entries| !entries.is_empty());
    if let Some(entries) = entries {
        out.push('\n');
        for (name, item) in entries {
            out.push_str(&" ".repeat(indent + STEP));
            write_string(name, indent + STEP, out);
            out.push_str(" = ");
            write(item, indent + STEP, out);
            out.push('\n');
        }
        out.push_str(&" ".repeat(indent));
    }
    out.push_str(close);
}

/// A text of several lines stands as they are, up to a word that none of them is.
fn write_string(text: &str, indent: usize, out: &mut String) {
    let lines: Vec<&str> = text.split('\n').collect();
    if lines.len() < 2 {
        write_quoted(text, out);
        return;
    }
    let mut word = "EOT".to_owned();
    while lines.iter().any(|line| line.trim() == word) {
        word.push('_');
    }
    let pad = " ".repeat(indent);
    let _ = writeln!(out, "<<{}{word}", if indent > 0 { "-" } else { "" });
    for line in lines {
        let _ = writeln!(out, "{pad}{line}");
    }
    let _ = write!(out, "{pad}{word}");
}

/// Characters that show nothing, or something else than themselves.
fn is_hidden(c: char) -> bool {
    static HIDDEN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[\p{C}\p{Z}]").ok());
    c != ' ' && HIDDEN.as_ref().is_some_and(|hidden| hidden.is_match(c.encode_utf8(&mut [0; 4])))
}

fn write_quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        let _ = match c {
            '"' | '\\' => write!(out, "\\{c}"),
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            '\u{7}' => out.write_str("\\a"),
            '\u{8}' => out.write_str("\\b"),
            '\u{b}' => out.write_str("\\v"),
            '\u{c}' => out.write_str("\\f"),
            c if u32::from(c) < 0x20 || c == '\u{7f}' => write!(out, "\\x{:02x}", u32::from(c)),
            c if is_hidden(c) && u32::from(c) > 0xffff => write!(out, "\\U{:08x}", u32::from(c)),
            c if is_hidden(c) => write!(out, "\\u{:04x}", u32::from(c)),
            c => out.write_char(c),
        };
    }
    out.push('"');
}
