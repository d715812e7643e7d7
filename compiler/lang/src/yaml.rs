//! YAML as Terraform writes it, and read, counted: an alias may stand for a whole tree, so a short text can hold more than there is memory for.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr as _;
use std::sync::Arc;

use cloudtik_model::{Number, Value, ValueKind};
use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, Visitor};

use crate::limits::MAX_ELEMENTS;

/// The largest YAML text that is read: the parser keeps about a hundred bytes for each of it.
pub(crate) const MAX_YAML_BYTES: usize = 2 * 1024 * 1024;

/// The value of a YAML document.
pub(crate) fn from_yaml(text: &str) -> Result<Value, String> {
    if text.len() > MAX_YAML_BYTES {
        return Err(format!("the text has {} bytes; at most {MAX_YAML_BYTES} are read", text.len()));
    }
    let count = Cell::new(0);
    Node { count: &count }.deserialize(serde_yaml_ng::Deserializer::from_str(text)).map_err(|error| error.to_string())
}

/// The value as a document: strings in double quotes, those of several lines as blocks, names sorted.
pub(crate) fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    write_node(value, 0, &mut out);
    // A scalar that is not in quotes ends with a mark of its own.
    if matches!(value.kind(), ValueKind::Null(_) | ValueKind::Bool(_) | ValueKind::Number(_)) {
        out.push_str("...\n");
    }
    out
}

/// Writes what follows on the same line, to the end of the last line.
fn write_node(value: &Value, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    if let Some(entries) = value.entries().filter(|entries| !entries.is_empty()) {
        for (i, (name, item)) in entries.iter().enumerate() {
            if i > 0 {
                out.push_str(&pad);
            }
            if name.contains('\n') {
                out.push_str("? ");
                write_text(name, indent + 2, out);
                out.push_str(&format!("{pad}:"));
            } else {
                out.push_str(&format!("{}:", quoted(name)));
            }
            write_below(item, indent, out);
        }
        return;
    }
    if let Some(items) = value.elements().filter(|items| items.len() > 0) {
        for (i, item) in items.enumerate() {
            if i > 0 {
                out.push_str(&pad);
            }
            out.push_str("- ");
            write_node(item, indent + 2, out);
        }
        return;
    }
    match value.kind() {
        ValueKind::String(text) => return write_text(text, indent.max(2), out),
        ValueKind::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        ValueKind::Number(number) => out.push_str(&number.to_string()),
        ValueKind::Map(_) | ValueKind::Object(_) => out.push_str("{}"),
        ValueKind::List(_) | ValueKind::Set(_) | ValueKind::Tuple(_) => out.push_str("[]"),
        ValueKind::Null(_) | ValueKind::Deferred(_) => out.push_str("null"),
    }
    out.push('\n');
}

/// Writes what belongs to a name: a mapping one step further in, a sequence as far in as the name.
fn write_below(item: &Value, indent: usize, out: &mut String) {
    let is_full = |mut items: Box<dyn ExactSizeIterator<Item = &Value> + '_>| items.next().is_some();
    let (inner, breaks) = match item.entries() {
        Some(entries) => (indent + 2, !entries.is_empty()),
        None => (indent, item.elements().is_some_and(is_full)),
    };
    if breaks {
        out.push_str(&format!("\n{}", " ".repeat(inner)));
    } else {
        out.push(' ');
    }
    // The lines of a text stand further in than its name.
    match item.as_str() {
        Some(text) => write_text(text, indent + 2, out),
        None => write_node(item, inner, out),
    }
}

/// A string in quotes, or as a block where it has several lines that a block can show.
fn write_text(text: &str, indent: usize, out: &mut String) {
    let shows = |c: char| c == '\n' || (!must_escape(c) && !c.is_control());
    let is_block = text.contains('\n') && text.chars().all(shows) && !text.contains(" \n");
    if !is_block {
        out.push_str(&quoted(text));
        out.push('\n');
        return;
    }
    // Spaces or a break at the beginning would be taken for the indentation.
    let hint = if text.starts_with([' ', '\n']) { "2" } else { "" };
    let chomping = match text.strip_suffix('\n') {
        None => "-",
        Some(body) if body.is_empty() || body.ends_with('\n') => "+",
        Some(_) => "",
    };
    out.push_str(&format!("|{hint}{chomping}\n"));
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        if !line.is_empty() {
            out.push_str(&format!("{}{line}", " ".repeat(indent)));
        }
        out.push('\n');
    }
}

fn must_escape(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{e000}'..='\u{f8ff}') || u32::from(c) > 0xffff
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\u{1b}' => out.push_str("\\e"),
            '\u{85}' => out.push_str("\\N"),
            '\u{a0}' => out.push_str("\\_"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            c if u32::from(c) < 0x20 || must_escape(c) => out.push_str(&match u32::from(c) {
                code @ 0..=0xff => format!("\\x{code:02X}"),
                code @ 0x100..=0xffff => format!("\\u{code:04X}"),
                code => format!("\\U{code:08X}"),
            }),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[derive(Clone, Copy)]
struct Node<'c> {
    count: &'c Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.count.set(self.count.get() + 1);
        if self.count.get() > MAX_ELEMENTS {
            return Err(de::Error::custom(format!("the document has more than {MAX_ELEMENTS} values")));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Value, E> {
        Ok(truth.into())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_i128<E: de::Error>(self, number: i128) -> Result<Value, E> {
        self.number(&number.to_string())
    }

    fn visit_u128<E: de::Error>(self, number: u128) -> Result<Value, E> {
        self.number(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        if number.is_finite() { self.number(&format!("{number:e}")) } else { Err(E::custom("infinity and NaN are no numbers here")) }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::NULL)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::NULL)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::tuple(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut named: Vec<(Arc<str>, Value)> = Vec::new();
        let mut merged: Vec<(Arc<str>, Value)> = Vec::new();
        while let Some(key) = entries.next_key_seed(self)? {
            let value = entries.next_value_seed(self)?;
            let key = crate::convert(&key, &cloudtik_model::Type::String).ok().filter(|key| !key.is_null());
            match key.as_ref().and_then(Value::as_str) {
                Some("<<") => merged.splice(0..0, merge(&value).ok_or_else(|| de::Error::custom("`<<` takes a mapping"))?).for_each(drop),
                Some(name) => named.push((name.into(), value)),
                None => return Err(de::Error::custom("a key must be a string, a number or a bool")),
            }
        }
        Ok(Value::object(merged.into_iter().chain(named)))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Value, A::Error> {
        Err(de::Error::custom("tags such as `!name` are not supported"))
    }
}

impl Node<'_> {
    fn number<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Number::from_str(text).map(Value::from).map_err(E::custom)
    }
}

/// What `<<` brings in: the entries of a mapping, or of several, the earlier before the later.
fn merge(value: &Value) -> Option<Vec<(Arc<str>, Value)>> {
    if let Some(entries) = value.entries() {
        return Some(entries.iter().map(|(name, item)| (Arc::clone(name), item.clone())).collect());
    }
    let mut all = Vec::new();
    for mapping in value.elements()?.collect::<Vec<_>>().into_iter().rev() {
        all.extend(mapping.entries()?.iter().map(|(name, item)| (Arc::clone(name), item.clone())));
    }
    Some(all)
}
