//! How two values differ, with exact paths.
//!
//! Null and absent are the same, and so are a list and a tuple, a map and an object of equal elements: which of the two a value is says
//! how it was written, not what it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::{Value, ValueKind};

use crate::names::{Part, at, below};

/// One difference.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    /// Where.
    pub(crate) path: String,
    /// What it is.
    pub(crate) before: Option<Value>,
    /// What it will be.
    pub(crate) after: Option<Value>,
}

/// Whether two values are the same, deferred ones when their residues are.
pub(crate) fn same(before: &Value, after: &Value) -> bool {
    if before == after {
        return true;
    }
    if let (Some(a), Some(b)) = (before.entries(), after.entries()) {
        return a.iter().all(|(name, item)| same(item, b.get(name).unwrap_or(&Value::NULL)))
            && b.iter().all(|(name, item)| item.is_null() || a.contains_key(name));
    }
    match (before.kind(), after.kind()) {
        (ValueKind::Set(a), ValueKind::Set(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same(a, b)),
        (ValueKind::List(a) | ValueKind::Tuple(a), ValueKind::List(b) | ValueKind::Tuple(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same(a, b))
        }
        _ => false,
    }
}

/// Whether a value stays what it is while a plan is carried out: it is known, or waits for nothing that the plan does. The answer to one
/// question is the same on both sides, whatever it is.
pub(crate) fn is_settled(value: &Value) -> bool {
    let mut addresses = BTreeSet::new();
    value.addresses(&mut addresses);
    addresses.is_empty()
}

/// How they differ, by path below `path`.
pub(crate) fn differences(path: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Difference>) {
    let before = before.filter(|value| !value.is_null());
    let after = after.filter(|value| !value.is_null());
    match (before, after) {
        (None, None) => {}
        (Some(a), Some(b)) if same(a, b) && is_settled(b) => {}
        (Some(a), Some(b)) if !a.is_sensitive() && !b.is_sensitive() => inside(path, a, b, found),
        _ => found.push(difference(path, before, after)),
    }
}

fn inside(path: &str, before: &Value, after: &Value, found: &mut Vec<Difference>) {
    if let (Some(a), Some(b)) = (before.entries(), after.entries()) {
        return entries(path, a, b, found);
    }
    match (before.kind(), after.kind()) {
        (ValueKind::List(a) | ValueKind::Tuple(a), ValueKind::List(b) | ValueKind::Tuple(b)) => elements(path, a, b, found),
        (ValueKind::Set(a), ValueKind::Set(b)) => {
            for gone in a.iter().filter(|item| !b.contains(item)) {
                found.push(difference(&member(path, gone), Some(gone), None));
            }
            for new in b.iter().filter(|item| !a.contains(item)) {
                found.push(difference(&member(path, new), None, Some(new)));
            }
        }
        _ => found.push(difference(path, Some(before), Some(after))),
    }
}

fn entries(path: &str, before: &BTreeMap<Arc<str>, Value>, after: &BTreeMap<Arc<str>, Value>, found: &mut Vec<Difference>) {
    let mut names: Vec<&Arc<str>> = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name))).collect();
    names.sort();
    for name in names {
        differences(&below(path, name), before.get(name), after.get(name), found);
    }
}

/// What both begin and end with is left out, so that one element more in front is one difference.
fn elements(path: &str, before: &[Value], after: &[Value], found: &mut Vec<Difference>) {
    let equal = |(a, b): &(&Value, &Value)| same(a, b) && is_settled(b);
    let front = before.iter().zip(after).take_while(equal).count();
    let rest = before.len().min(after.len()) - front;
    let back = before.iter().rev().zip(after.iter().rev()).take(rest).take_while(equal).count();
    for i in front..(before.len().max(after.len()) - back) {
        let a = before.get(i).filter(|_| i < before.len() - back);
        let b = after.get(i).filter(|_| i < after.len() - back);
        differences(&at(path, i), a, b, found);
    }
}

/// An element of a set has no place; a short text is its name.
fn member(path: &str, item: &Value) -> String {
    match (item.is_sensitive(), item.as_str()) {
        (false, Some(text)) => below(path, text),
        _ => format!("{path}[*]"),
    }
}

/// Both sides of a sensitive difference are sensitive: the old value of a secret is as secret as the new one.
fn difference(path: &str, before: Option<&Value>, after: Option<&Value>) -> Difference {
    let secret = [before, after].into_iter().flatten().any(Value::is_sensitive);
    let side = |value: Option<&Value>| value.map(|value| value.clone().marked(secret));
    Difference { path: path.to_owned(), before: side(before), after: side(after) }
}

/// The value with the marks of another one that was the same thing: what a provider reads back does not know what is secret.
pub(crate) fn with_marks_of(value: &Value, marked: &Value) -> Value {
    if !marked.has_sensitive() {
        return value.clone();
    }
    let inner = match (value.entries(), marked.entries()) {
        (Some(items), Some(marks)) => {
            let items = items.iter().map(|(name, item)| {
                let item = marks.get(name).map_or_else(|| item.clone(), |marks| with_marks_of(item, marks));
                (Arc::clone(name), item)
            });
            if matches!(value.kind(), ValueKind::Map(_)) { Value::map(items) } else { Value::object(items) }
        }
        // Elements of a list may have moved: a secret among them makes all of it secret.
        _ => value.clone().marked(true),
    };
    inner.marked(marked.is_sensitive() || value.is_sensitive())
}

/// The value in which what stands at a path is what stands there in another one: how a change is not looked at.
pub(crate) fn with_part_of(value: &Value, other: Option<&Value>, path: &[Part]) -> Option<Value> {
    let Some((first, rest)) = path.split_first() else {
        return other.cloned();
    };
    match first {
        Part::Name(name) => {
            let entries = value.entries()?;
            let there = other.and_then(|other| other.get(name));
            let mut entries = entries.clone();
            let new = match (entries.get(name.as_str()), rest.is_empty()) {
                (_, true) => there.cloned(),
                (Some(item), false) => with_part_of(item, there, rest).or_else(|| Some(item.clone())),
                (None, false) => None,
            };
            match new {
                Some(new) => entries.insert(name.as_str().into(), new),
                None => entries.remove(name.as_str()),
            };
            let made = if matches!(value.kind(), ValueKind::Map(_)) { Value::map(entries) } else { Value::object(entries) };
            Some(made.marked(value.is_sensitive()))
        }
        Part::Index(index) => {
            let (ValueKind::List(items) | ValueKind::Tuple(items)) = value.kind() else { return None };
            let there = match other.map(Value::kind) {
                Some(ValueKind::List(others) | ValueKind::Tuple(others)) => others.get(*index),
                _ => None,
            };
            let items = items
                .iter()
                .enumerate()
                .map(|(i, item)| if i == *index { with_part_of(item, there, rest).unwrap_or_else(|| item.clone()) } else { item.clone() });
            let made = if matches!(value.kind(), ValueKind::List(_)) { Value::list(items) } else { Value::tuple(items) };
            Some(made.marked(value.is_sensitive()))
        }
    }
}

/// The value with the parts of its objects that it leaves out as they are in another one: in what a provider may choose, it may choose parts.
pub(crate) fn with_what_is_left_out(value: &Value, there: &Value) -> Value {
    let filled = match (value.kind(), there.elements()) {
        (ValueKind::Object(parts), _) => {
            let Some(others) = there.entries() else { return value.clone() };
            let of =
                |name: &Arc<str>, part: &Value| others.get(name).map_or_else(|| part.clone(), |other| with_what_is_left_out(part, other));
            let filled = parts.iter().filter(|(_, part)| !part.is_null()).map(|(name, part)| (Arc::clone(name), of(name, part)));
            Value::object(others.clone().into_iter().chain(filled))
        }
        (ValueKind::List(items) | ValueKind::Tuple(items), Some(others)) if items.len() == others.len() => {
            Value::list(items.iter().zip(others).map(|(item, other)| with_what_is_left_out(item, other)))
        }
        _ => return value.clone(),
    };
    filled.marked(value.is_sensitive())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudtik_model::{Expr, ExprKind, Type};

    fn paths(before: &Value, after: &Value) -> Vec<String> {
        let mut found = Vec::new();
        differences("a", Some(before), Some(after), &mut found);
        found.iter().map(|d| format!("{}: {:?} -> {:?}", d.path, d.before, d.after)).collect()
    }

    fn text(items: &[&str]) -> Value {
        Value::list(items.iter().map(|item| Value::from(*item)))
    }

    #[test]
    fn null_and_absent_are_the_same() {
        let with = Value::object([("x", Value::NULL), ("y", 1_i64.into())]);
        let without = Value::map([("y", Value::from(1_i64))]);
        assert!(paths(&with, &without).is_empty());
        assert!(paths(&without, &with).is_empty());
        assert!(same(&with, &without) && same(&without, &with));
    }

    #[test]
    fn one_element_more_in_front_is_one_difference() {
        assert_eq!(paths(&text(&["b", "c"]), &text(&["a", "b", "c"])), ["a[0]: None -> Some(\"a\")"]);
        assert_eq!(paths(&text(&["a", "b"]), &text(&["a"])), ["a[1]: Some(\"b\") -> None"]);
        assert_eq!(paths(&text(&["a", "b"]), &text(&["b", "b"])), ["a[0]: Some(\"a\") -> Some(\"b\")"]);
    }

    #[test]
    fn differences_have_exact_paths() {
        let value = |port: i64| Value::map([("u i", Value::object([("ports", Value::tuple([Value::from(port)]))]))]);
        assert_eq!(paths(&value(1), &value(2)), ["a[\"u i\"].ports[0]: Some(1) -> Some(2)"]);
        let set = |items: &[&str]| Value::set(items.iter().map(|item| Value::from(*item)));
        assert_eq!(paths(&set(&["x", "y"]), &set(&["y", "z"])), ["a.x: Some(\"x\") -> None", "a.z: None -> Some(\"z\")"]);
    }

    #[test]
    fn what_is_not_known_differs() {
        let unknown = Value::deferred(Type::String, Expr::from(ExprKind::Reference("v.x".parse().unwrap())).attribute("id"));
        let value = |id: Value| Value::object([("id", id), ("other", 1_i64.into())]);
        assert_eq!(paths(&value("x".into()), &value(unknown.clone())).len(), 1);
        assert_eq!(paths(&value(unknown.clone()), &value(unknown)).len(), 1);
    }

    #[test]
    fn what_nobody_of_the_plan_answers_is_the_same_on_both_sides() {
        let answer = |key: &str| Value::deferred(Type::String, Expr::from(ExprKind::Fact(key.into())).attribute("id"));
        let value = |id: Value| Value::object([("list", Value::list([id])), ("other", 1_i64.into())]);
        assert!(paths(&value(answer("v.x")), &value(answer("v.x"))).is_empty());
        assert_eq!(paths(&value(answer("v.x")), &value(answer("v.y"))).len(), 1);
    }

    #[test]
    fn a_secret_hides_both_sides_and_stops_the_walk() {
        let secret = Value::object([("k", Value::from("old"))]).marked(true);
        assert_eq!(paths(&secret, &Value::object([("k", Value::from("new"))])), ["a: Some((sensitive)) -> Some((sensitive))"]);
        let read = Value::object([("password", Value::from("p")), ("name", "n".into())]);
        let kept = Value::object([("password", Value::from("q").marked(true)), ("name", "n".into())]);
        let marked = with_marks_of(&read, &kept);
        assert!(marked.get("password").unwrap().is_sensitive() && !marked.get("name").unwrap().is_sensitive());
    }

    #[test]
    fn a_part_is_taken_from_another_value() {
        let value = Value::object([("tags", Value::map([("a", Value::from("1")), ("b", "2".into())])), ("list", text(&["x", "y"]))]);
        let other = Value::object([("tags", Value::map([("a", Value::from("9"))])), ("list", text(&["p", "q"]))]);
        let take = |path: &str| with_part_of(&value, Some(&other), &crate::names::parse(path).unwrap()).unwrap();
        assert_eq!(take("tags.a").get("tags").unwrap(), &Value::map([("a", Value::from("9")), ("b", "2".into())]));
        assert_eq!(take("tags.b").get("tags").unwrap(), &Value::map([("a", Value::from("1"))]));
        assert_eq!(take("list[1]").get("list").unwrap(), &text(&["x", "q"]));
        assert_eq!(take("nothing.at.all"), value);
    }

    #[test]
    fn parts_that_a_provider_may_choose_are_as_they_are() {
        let block =
            |parts: &[(&'static str, i64)]| Value::list([Value::object(parts.iter().map(|(name, item)| (*name, Value::from(*item))))]);
        let there = block(&[("size", 8), ("iops", 3_000)]);
        assert_eq!(with_what_is_left_out(&block(&[("size", 8)]), &there), there);
        assert_eq!(with_what_is_left_out(&block(&[("size", 9)]), &there), block(&[("size", 9), ("iops", 3_000)]));
        let null = Value::list([Value::object([("size", Value::from(8_i64)), ("iops", Value::NULL)])]);
        assert_eq!(with_what_is_left_out(&null, &there), there);
        assert_eq!(with_what_is_left_out(&Value::list([]), &there), Value::list([]));
        let tags = Value::map([("a", Value::from("1"))]);
        assert_eq!(with_what_is_left_out(&tags, &Value::map([("b", Value::from("2"))])), tags);
    }
}
