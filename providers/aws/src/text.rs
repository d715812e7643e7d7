//! Texts of which a part may come later.

use std::sync::Arc;

use cloudtik_model::{ExprKind, TemplatePart, Type, Value};

/// What no text of a document holds: a mark around the number of a part that comes later. Both are for private use, and JSON writes them as they are.
const OPEN: char = '\u{E000}';
const CLOSE: char = '\u{E001}';

/// The parts as one text.
pub(crate) fn joined(parts: impl IntoIterator<Item = Value>) -> Value {
    let mut all: Vec<TemplatePart> = Vec::new();
    let mut text = String::new();
    for part in parts {
        match part.as_str() {
            Some(known) => text.push_str(known),
            None => {
                flush(&mut text, &mut all);
                all.push(TemplatePart::Value(part.to_expr()));
            }
        }
    }
    if all.is_empty() {
        return text.into();
    }
    flush(&mut text, &mut all);
    Value::deferred(Type::String, ExprKind::Template(all).into())
}

fn flush(text: &mut String, all: &mut Vec<TemplatePart>) {
    if !text.is_empty() {
        all.push(TemplatePart::Text(std::mem::take(text).into()));
    }
}

/// A part of an object, which may come later as a whole.
pub(crate) fn part_of(object: &Value, name: &str, ty: Type) -> Value {
    match object.as_deferred() {
        None => object.get(name).cloned().unwrap_or(Value::NULL),
        Some(deferred) => Value::deferred(ty, deferred.expr.clone().attribute(name)),
    }
}

/// Parts of a document that may come later: the document is written with a mark in the place of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(Vec<Value>);

impl Places {
    /// A text for the document: itself, where it is known.
    pub(crate) fn text(&mut self, value: &Value) -> String {
        if let Some(known) = value.as_str() {
            return known.to_owned();
        }
        self.0.push(value.clone());
        format!("{OPEN}{}{CLOSE}", self.0.len() - 1)
    }

    /// The document with its parts in their places.
    pub(crate) fn fill(&self, document: &str) -> Value {
        let mut parts = Vec::new();
        let mut rest = document;
        while let Some((before, (number, after))) = rest.split_once(OPEN).and_then(|(before, tail)| Some((before, tail.split_once(CLOSE)?)))
        {
            parts.push(Value::from(before));
            parts.extend(number.parse().ok().and_then(|number: usize| self.0.get(number)).cloned());
            rest = after;
        }
        joined(parts.into_iter().chain([Value::from(Arc::<str>::from(rest))]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_text() {
        assert_eq!(joined(["a-".into(), "b".into()]), "a-b".into());
        let late = Value::deferred(Type::String, ExprKind::Fact("f".into()).into());
        let mut places = Places::default();
        let document = format!("{{\"a\":\"{}:{}\"}}", places.text(&"known".into()), places.text(&late));
        let filled = places.fill(&document);
        let ExprKind::Template(parts) = &filled.as_deferred().unwrap().expr.kind else { panic!("{filled:?}") };
        assert_eq!(parts.len(), 3);
        assert_eq!(parts[0], TemplatePart::Text("{\"a\":\"known:".into()));
        assert_eq!(parts[2], TemplatePart::Text("\"}".into()));
    }
}
