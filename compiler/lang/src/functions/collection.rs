//! Lists, sets, maps and objects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::{Number, Type, Value, ValueKind, did_you_mean};

use unicode_segmentation::UnicodeSegmentation as _;

use super::call::types_are_known;
use super::{
    Fault, Function, Marks, Outcome, Parameter, Wants, a_bool, a_number, any, arg, nullable, parameter, sequence, strings, text, whole,
};
use crate::convert;
use crate::limits::MAX_ELEMENTS;
use crate::unify::{can_convert, is_open, unify_values};

const LIST: Parameter = parameter("list", Wants::Any);
const MAP: Parameter = parameter("map", Wants::Any);

pub(super) const FUNCTIONS: &[Function] = &[
    Function::shape("concat", &[], any, concat).and(parameter("lists", Wants::Any)).needs(1).doc("The elements of all lists in order."),
    Function::known("contains", &[LIST, parameter("value", Wants::Any)], a_bool, contains).doc("Whether the list has that element."),
    Function::known("distinct", &[LIST], any, distinct).doc("The list without repetitions."),
    Function::shape("element", &[LIST, parameter("index", Wants::Number)], any, element)
        .constant()
        .doc("The element at an index, which starts again at the end."),
    Function::shape("flatten", &[LIST], any, flatten).doc("The elements of the list, lists in it replaced by their elements."),
    Function::shape("keys", &[MAP], any, keys).doc("The names of a map or object, sorted."),
    Function::shape("length", &[parameter("value", Wants::Any)], a_number, length).constant().doc("How many elements or characters."),
    Function::shape("lookup", &[MAP, parameter("key", Wants::String), nullable("default", Wants::Any)], any, lookup)
        .needs(2)
        .constant()
        .doc("The element of that key, or the default."),
    Function::shape("merge", &[], any, merge).and(nullable("maps", Wants::Any)).doc("The entries of all maps and objects; later ones win."),
    Function::known(
        "range",
        &[parameter("start", Wants::Number), parameter("limit", Wants::Number), parameter("step", Wants::Number)],
        range_type,
        range,
    )
    .needs(1)
    .doc("The numbers from start up to, but without, limit."),
    Function::known("sort", &[parameter("list", Wants::Strings)], strings, sort).marks(Marks::Deep).doc("The strings in order."),
    Function::shape("values", &[MAP], any, values).doc("The elements of a map or object, in the order of their names."),
    Function::shape("zipmap", &[parameter("keys", Wants::Strings), parameter("values", Wants::Any)], any, zipmap)
        .doc("The map of these keys to these values."),
];

fn range_type(_: &[Value]) -> Type {
    Type::list(Type::Number)
}

fn entries(args: &[Value], index: usize) -> Result<&BTreeMap<Arc<str>, Value>, Fault> {
    let value = arg(args, index);
    value.entries().ok_or_else(|| Fault::at(index, format!("a map or an object is required, but this is {}", value.describe())))
}

fn concat(args: &[Value]) -> Result<Option<Value>, Fault> {
    if args.iter().any(Value::is_deferred) {
        return Ok(None);
    }
    let mut items = Vec::new();
    for (i, list) in args.iter().enumerate() {
        if !matches!(list.kind(), ValueKind::List(_) | ValueKind::Tuple(_)) {
            return Err(Fault::at(i, format!("a list is required, but this is {}", list.describe())));
        }
        items.extend(list.elements().into_iter().flatten().cloned());
        if items.len() > MAX_ELEMENTS {
            return Err(Fault::at(i, format!("the result has more than {MAX_ELEMENTS} elements")));
        }
    }
    if args.iter().all(|list| matches!(list.kind(), ValueKind::List(_))) {
        return uniform_list(items);
    }
    Ok(Some(Value::tuple(items)))
}

/// A list of the elements where they can have one type, else a tuple. `None` while their types are not known.
fn uniform_list(items: Vec<Value>) -> Result<Option<Value>, Fault> {
    if !types_are_known(&items) {
        return Ok(None);
    }
    let Some(common) = unify_values(items.iter()) else { return Ok(Some(Value::tuple(items))) };
    let items: Result<Vec<Value>, _> =
        items.into_iter().map(|item| if item.ty() == common { Ok(item) } else { convert(&item, &common) }).collect();
    items.map(|items| Some(Value::list(items))).map_err(|fault| Fault::new(fault.to_string()))
}

fn contains(args: &[Value]) -> Outcome {
    let value = arg(args, 1);
    let list = arg(args, 0);
    let Some(mut items) = list.elements() else {
        return Err(Fault::at(0, format!("a list is required, but this is {}", list.describe())));
    };
    // As with `==`, nothing is converted.
    Ok(items.any(|item| item == value).into())
}

fn distinct(args: &[Value]) -> Outcome {
    let list = uniform_list(sequence(args, 0)?)?.filter(|list| matches!(list.kind(), ValueKind::List(_)));
    let list = list.ok_or_else(|| Fault::at(0, "the elements must have one type, but these have different ones"))?;
    let mut seen = BTreeSet::new();
    Ok(Value::list(list.elements().into_iter().flatten().filter(|item| seen.insert((*item).clone())).cloned()))
}

fn element(args: &[Value]) -> Result<Option<Value>, Fault> {
    let (list, index) = (arg(args, 0), arg(args, 1));
    if list.is_deferred() || index.is_deferred() {
        return Ok(None);
    }
    let (ValueKind::List(items) | ValueKind::Tuple(items)) = list.kind() else {
        return Err(Fault::at(0, format!("a list is required, but this is {}", list.describe())));
    };
    let index = whole(args, 1)?;
    if items.is_empty() {
        return Err(Fault::at(0, "the list is empty"));
    }
    // From the end for a negative index, and again from the start beyond the end.
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    Ok(usize::try_from(index.rem_euclid(length)).ok().and_then(|i| items.get(i)).cloned())
}

fn flatten(args: &[Value]) -> Result<Option<Value>, Fault> {
    let list = arg(args, 0);
    if list.is_deferred() {
        return Ok(None);
    }
    let mut items = Vec::new();
    let mut sensitive = false;
    if list.elements().is_none() {
        return Err(Fault::at(0, format!("a list is required, but this is {}", list.describe())));
    }
    let done = flatten_into(list, &mut items, &mut sensitive)?;
    Ok(done.then(|| Value::tuple(items).marked(sensitive)))
}

/// `false` when something that may be a list is not known yet.
fn flatten_into(list: &Value, items: &mut Vec<Value>, sensitive: &mut bool) -> Result<bool, Fault> {
    for item in list.elements().into_iter().flatten() {
        match item.kind() {
            ValueKind::List(_) | ValueKind::Set(_) | ValueKind::Tuple(_) => {
                *sensitive = *sensitive || item.is_sensitive();
                if !flatten_into(item, items, sensitive)? {
                    return Ok(false);
                }
            }
            ValueKind::Deferred(deferred)
                if !matches!(deferred.ty, Type::Bool | Type::Number | Type::String | Type::Map(_) | Type::Object(_)) =>
            {
                return Ok(false);
            }
            _ => items.push(item.clone()),
        }
        if items.len() > MAX_ELEMENTS {
            return Err(Fault::at(0, format!("the result has more than {MAX_ELEMENTS} elements")));
        }
    }
    Ok(true)
}

fn keys(args: &[Value]) -> Result<Option<Value>, Fault> {
    if arg(args, 0).is_deferred() {
        return Ok(None);
    }
    let names = entries(args, 0)?.keys().map(|name| Value::from(Arc::clone(name)));
    Ok(Some(if matches!(arg(args, 0).kind(), ValueKind::Map(_)) { Value::list(names) } else { Value::tuple(names) }))
}

fn values(args: &[Value]) -> Result<Option<Value>, Fault> {
    let map = arg(args, 0);
    if map.is_deferred() {
        return Ok(None);
    }
    let items = entries(args, 0)?.values().cloned();
    Ok(Some(if matches!(map.kind(), ValueKind::Map(_)) { Value::list(items) } else { Value::tuple(items) }))
}

fn length(args: &[Value]) -> Result<Option<Value>, Fault> {
    let value = arg(args, 0);
    Ok(match value.kind() {
        ValueKind::Deferred(_) => None,
        ValueKind::String(text) => Some(text.graphemes(true).count().into()),
        ValueKind::Map(items) | ValueKind::Object(items) => Some(items.len().into()),
        _ => match value.elements() {
            Some(items) => Some(items.len().into()),
            None => {
                let is = value.describe();
                return Err(Fault::at(0, format!("a list, set, map, object or string is required, but this is {is}")));
            }
        },
    })
}

fn lookup(args: &[Value]) -> Result<Option<Value>, Fault> {
    let (map, key) = (arg(args, 0), arg(args, 1));
    if map.is_deferred() || key.is_deferred() {
        return Ok(None);
    }
    let items = entries(args, 0)?;
    let name = text(args, 1);
    if let Some(item) = items.get(name) {
        let fits = |default: &Value| !matches!(map.kind(), ValueKind::Map(_)) || can_convert(&default.ty(), &item.ty());
        return match args.get(2) {
            Some(default) if !fits(default) => Err(Fault::at(2, format!("it is {}, which no element can be", default.describe()))),
            _ => Ok(Some(item.clone())),
        };
    }
    let Some(default) = args.get(2) else {
        let near =
            did_you_mean(name, items.keys().map(|name| &**name)).map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
        return Err(Fault::at(1, format!("there is no element {name:?}, and no default is given{near}")));
    };
    // The elements of a map have one type, and so has the default; that of an object is as it is.
    let Some(first) = items.values().next().filter(|_| matches!(map.kind(), ValueKind::Map(_))) else { return Ok(Some(default.clone())) };
    match first.ty() {
        ty if !is_open(&ty) => convert(default, &ty).map(Some).map_err(|fault| Fault::at(2, fault.to_string())),
        _ if first.is_known() => Ok(Some(default.clone())),
        _ => Ok(None),
    }
}

fn merge(args: &[Value]) -> Result<Option<Value>, Fault> {
    if args.iter().any(Value::is_deferred) {
        return Ok(None);
    }
    let mut merged: BTreeMap<Arc<str>, Value> = BTreeMap::new();
    let mut all_maps = true;
    for (i, map) in args.iter().enumerate() {
        if map.is_null() {
            continue;
        }
        all_maps = all_maps && matches!(map.kind(), ValueKind::Map(_));
        merged.extend(entries(args, i)?.iter().map(|(name, item)| (Arc::clone(name), item.clone())));
        if merged.len() > MAX_ELEMENTS {
            return Err(Fault::at(i, format!("the result has more than {MAX_ELEMENTS} entries")));
        }
    }
    if !all_maps || args.iter().all(Value::is_null) {
        return Ok(Some(Value::object(merged)));
    }
    let items: Vec<Value> = merged.values().cloned().collect();
    if !types_are_known(&items) {
        return Ok(None);
    }
    let uniform = unify_values(items.iter()).filter(|common| items.iter().all(|item| item.is_null() || item.ty() == *common));
    Ok(Some(if uniform.is_some() { Value::map(merged) } else { Value::object(merged) }))
}

fn range(args: &[Value]) -> Outcome {
    let number = |i: usize| arg(args, i).as_number().cloned().unwrap_or(Number::ZERO);
    let (start, limit) = if args.len() == 1 { (Number::ZERO, number(0)) } else { (number(0), number(1)) };
    let down = limit < start;
    let step = if args.len() > 2 { number(2) } else { Number::from(if down { -1_i64 } else { 1 }) };
    if step == Number::ZERO {
        return Err(Fault::at(2, "the step must not be zero"));
    }
    if down != step.is_negative() && limit != start {
        return Err(Fault::at(2, if down { "the step must be negative" } else { "the step must be positive" }));
    }
    // What is too long is refused before it is counted out: numbers of hundreds of digits take their time.
    let too_long = || Fault::new(format!("the range has more than {MAX_ELEMENTS} elements"));
    let most = Number::from(i64::try_from(MAX_ELEMENTS).unwrap_or(i64::MAX));
    let end = step.multiply(&most).and_then(|length| start.add(&length));
    if end.is_ok_and(|end| if down { end > limit } else { end < limit }) {
        return Err(too_long());
    }
    let mut items = Vec::new();
    let mut next = start;
    while if down { next > limit } else { next < limit } {
        if items.len() >= MAX_ELEMENTS {
            return Err(too_long());
        }
        let after = next.add(&step).map_err(|error| Fault::new(error.to_string()))?;
        items.push(Value::from(std::mem::replace(&mut next, after)));
    }
    Ok(Value::list(items))
}

fn sort(args: &[Value]) -> Outcome {
    let mut items = sequence(args, 0)?;
    if items.iter().any(Value::is_null) {
        return Err(Fault::at(0, "an element is null"));
    }
    items.sort();
    Ok(Value::list(items))
}

fn zipmap(args: &[Value]) -> Result<Option<Value>, Fault> {
    let (keys, values) = (arg(args, 0), arg(args, 1));
    if !keys.is_known() || values.is_deferred() {
        return Ok(None);
    }
    let (names, items) = (sequence(args, 0)?, sequence(args, 1)?);
    if names.len() != items.len() {
        return Err(Fault::new(format!("there are {} keys, but {} values", names.len(), items.len())));
    }
    let sensitive = names.iter().any(Value::is_sensitive);
    let mut pairs: Vec<(Arc<str>, Value)> = Vec::with_capacity(names.len());
    for (name, item) in names.iter().zip(items) {
        let name = name.as_str().ok_or_else(|| Fault::at(0, "a key is null"))?;
        pairs.push((name.into(), item));
    }
    let zipped = if matches!(values.kind(), ValueKind::List(_)) { Value::map(pairs) } else { Value::object(pairs) };
    Ok(Some(zipped.marked(sensitive)))
}
