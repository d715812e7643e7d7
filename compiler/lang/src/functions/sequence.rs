//! Lists cut, turned, searched and put together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::{Type, Value, ValueKind};

use super::{Fault, Function, Outcome, Parameter, Wants, a_bool, a_number, any, arg, parameter, sequence, strings, whole};
use crate::convert;

const LIST: Parameter = parameter("list", Wants::Any);

pub(super) const FUNCTIONS: &[Function] = &[
    Function::known("alltrue", &[LIST], a_bool, |args| Ok(truths(args)?.into_iter().all(|truth| truth).into()))
        .doc("Whether every element is true; so it is for none."),
    Function::known("anytrue", &[LIST], a_bool, |args| Ok(truths(args)?.into_iter().any(|truth| truth).into()))
        .doc("Whether any element is true."),
    Function::shape("chunklist", &[LIST, parameter("size", Wants::Number)], any, chunklist)
        .doc("The list in pieces of so many elements; in one piece for 0."),
    Function::shape("coalescelist", &[], any, coalescelist)
        .and(parameter("lists", Wants::Any))
        .needs(1)
        .doc("The first list that is not empty."),
    Function::known("compact", &[parameter("list", Wants::Strings)], strings, compact).doc("The strings without nulls and empty ones."),
    Function::known("index", &[LIST, parameter("value", Wants::Any)], a_number, index).doc("The place of the first element of that value."),
    Function::known(
        "matchkeys",
        &[parameter("values", Wants::Any), parameter("keys", Wants::Any), parameter("searchset", Wants::Any)],
        any,
        matchkeys,
    )
    .doc("The values whose keys, in the same place, are in the search set."),
    Function::shape("one", &[LIST], any, one).doc("The only element, or null where there is none."),
    Function::shape("reverse", &[LIST], any, reverse).doc("The elements in the opposite order."),
    Function::shape("slice", &[LIST, parameter("start", Wants::Number), parameter("end", Wants::Number)], any, slice)
        .doc("The elements from the start up to, but without, the end."),
    Function::known("transpose", &[parameter("map", Wants::Any)], transposed_type, transpose)
        .doc("A map of lists of strings the other way round: the names under each string."),
];

/// The elements as truths; one that is null is not true.
fn truths(args: &[Value]) -> Result<Vec<bool>, Fault> {
    let truth = |item: Value| {
        let truth = convert(&item, &Type::Bool).map_err(|fault| Fault::at(0, fault.to_string()))?;
        Ok(truth.as_bool().unwrap_or(false))
    };
    sequence(args, 0)?.into_iter().map(truth).collect()
}

/// Elements as the kind of collection that a list came as: a set becomes a list.
fn like(list: &Value, items: impl IntoIterator<Item = Value>) -> Value {
    if matches!(list.kind(), ValueKind::Tuple(_)) { Value::tuple(items) } else { Value::list(items) }
}

/// A list whose elements have one type, of a list, set or tuple. `None` while that type is not known.
fn one_type(args: &[Value], index: usize) -> Result<Option<Value>, Fault> {
    let list = convert(arg(args, index), &Type::list(Type::Any)).map_err(|fault| Fault::at(index, fault.to_string()))?;
    Ok(if list.is_deferred() { None } else { Some(list) })
}

fn chunklist(args: &[Value]) -> Result<Option<Value>, Fault> {
    if args.iter().any(Value::is_deferred) {
        return Ok(None);
    }
    let size = usize::try_from(whole(args, 1)?).map_err(|_| Fault::at(1, "it must not be below zero"))?;
    let Some(list) = one_type(args, 0)? else { return Ok(None) };
    let items: Vec<Value> = list.elements().into_iter().flatten().cloned().collect();
    let size = if size == 0 { items.len().max(1) } else { size };
    Ok(Some(Value::list(items.chunks(size).map(|chunk| Value::list(chunk.iter().cloned())))))
}

fn coalescelist(args: &[Value]) -> Result<Option<Value>, Fault> {
    for (i, list) in args.iter().enumerate() {
        if list.is_deferred() {
            return Ok(None);
        }
        if !matches!(list.kind(), ValueKind::List(_) | ValueKind::Tuple(_)) {
            return Err(Fault::at(i, format!("a list is required, but this is {}", list.describe())));
        }
        if list.elements().is_some_and(|items| items.len() > 0) {
            return Ok(Some(list.clone()));
        }
    }
    Err(Fault::new("every list is empty"))
}

fn compact(args: &[Value]) -> Outcome {
    Ok(Value::list(sequence(args, 0)?.into_iter().filter(|item| item.as_str().is_some_and(|text| !text.is_empty()))))
}

fn index(args: &[Value]) -> Outcome {
    let list = arg(args, 0);
    if !matches!(list.kind(), ValueKind::List(_) | ValueKind::Tuple(_)) {
        return Err(Fault::at(0, format!("a list is required, but this is {}", list.describe())));
    }
    let items = sequence(args, 0)?;
    let place = items.iter().position(|item| item == arg(args, 1));
    place.map(Value::from).ok_or_else(|| Fault::at(1, if items.is_empty() { "the list is empty" } else { "the list has no such element" }))
}

fn matchkeys(args: &[Value]) -> Outcome {
    let list = |index| Ok(one_type(args, index)?.map(|list| list.elements().into_iter().flatten().cloned().collect()).unwrap_or_default());
    let (values, keys, wanted): (Vec<Value>, Vec<Value>, Vec<Value>) = (list(0)?, list(1)?, list(2)?);
    if values.len() != keys.len() {
        return Err(Fault::new(format!("there are {} values, but {} keys", values.len(), keys.len())));
    }
    let of = |list: &[Value]| list.first().map(Value::ty);
    if let (Some(have), Some(want)) = (of(&keys), of(&wanted))
        && have != want
    {
        return Err(Fault::at(2, format!("the keys are of the type {have}, and these of the type {want}")));
    }
    let wanted: BTreeSet<Value> = wanted.into_iter().collect();
    Ok(Value::list(values.into_iter().zip(keys).filter(|(_, key)| wanted.contains(key)).map(|(value, _)| value)))
}

fn one(args: &[Value]) -> Result<Option<Value>, Fault> {
    if arg(args, 0).is_deferred() {
        return Ok(None);
    }
    let mut items = sequence(args, 0)?;
    match items.len() {
        0 | 1 => Ok(Some(items.pop().unwrap_or(Value::NULL))),
        count => Err(Fault::at(0, format!("it must have one element or none, and has {count}"))),
    }
}

fn reverse(args: &[Value]) -> Result<Option<Value>, Fault> {
    if arg(args, 0).is_deferred() {
        return Ok(None);
    }
    let mut items = sequence(args, 0)?;
    items.reverse();
    Ok(Some(like(arg(args, 0), items)))
}

fn slice(args: &[Value]) -> Result<Option<Value>, Fault> {
    if args.iter().any(Value::is_deferred) {
        return Ok(None);
    }
    let list = arg(args, 0);
    if !matches!(list.kind(), ValueKind::List(_) | ValueKind::Tuple(_)) {
        return Err(Fault::at(0, format!("a list is required, but this is {}", list.describe())));
    }
    let items = sequence(args, 0)?;
    let place = |index: usize| {
        let at = usize::try_from(whole(args, index)?).ok().filter(|at| *at <= items.len());
        at.ok_or_else(|| Fault::at(index, format!("it must be from 0 to {}, the length of the list", items.len())))
    };
    let (start, end) = (place(1)?, place(2)?);
    let cut = items.get(start..end).ok_or_else(|| Fault::at(1, "the start must not be beyond the end"))?;
    Ok(Some(like(list, cut.iter().cloned())))
}

fn transposed_type(_: &[Value]) -> Type {
    Type::map(Type::list(Type::String))
}

fn transpose(args: &[Value]) -> Outcome {
    let map = convert(arg(args, 0), &transposed_type(args)).map_err(|fault| Fault::at(0, fault.to_string()))?;
    let mut turned: BTreeMap<Arc<str>, Vec<Value>> = BTreeMap::new();
    for (name, list) in map.entries().into_iter().flatten() {
        for item in list.elements().into_iter().flatten() {
            let text = item.as_str().ok_or_else(|| Fault::at(0, "an element is null"))?;
            turned.entry(text.into()).or_default().push(Value::from(Arc::clone(name)));
        }
    }
    Ok(Value::map(turned.into_iter().map(|(name, items)| (name, Value::list(items)))))
}
