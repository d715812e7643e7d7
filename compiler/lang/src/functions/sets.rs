//! Sets: what is in all of them, in any of them, in one but not the other, and every combination.

use std::collections::BTreeSet;

use cloudtik_model::{Type, Value, ValueKind};

use super::{Fault, Function, Outcome, Wants, any, arg, parameter};
use crate::convert;
use crate::limits::MAX_ELEMENTS;
use crate::unify::unify_all;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::known("setintersection", &[parameter("first_set", Wants::Any)], any, |args| {
        combined(args, |all, set| all.retain(|item| set.contains(item)))
    })
    .and(parameter("other_sets", Wants::Any))
    .doc("The elements that are in every set."),
    Function::known("setproduct", &[], any, product)
        .and(parameter("sets", Wants::Any))
        .needs(2)
        .doc("Every combination of an element of each."),
    Function::known("setsubtract", &[parameter("a", Wants::Any), parameter("b", Wants::Any)], any, |args| {
        combined(args, |all, set| all.retain(|item| !set.contains(item)))
    })
    .doc("The elements of the first set that are not in the second."),
    Function::known("setunion", &[parameter("first_set", Wants::Any)], any, |args| combined(args, |all, set| all.extend(set)))
        .and(parameter("other_sets", Wants::Any))
        .doc("The elements that are in any set."),
];

/// The arguments as sets of one type, each taken together with what those before it gave.
fn combined(args: &[Value], together: fn(&mut BTreeSet<Value>, BTreeSet<Value>)) -> Outcome {
    let as_set = |(i, value): (usize, &Value)| {
        let set = convert(value, &Type::set(Type::Any)).map_err(|fault| Fault::at(i, fault.to_string()))?;
        Ok(set.ty())
    };
    let types: Vec<Type> = args.iter().enumerate().map(as_set).collect::<Result<_, Fault>>()?;
    // An empty set has no type of its own.
    let is_full = |value: &Value| value.elements().is_some_and(|items| items.len() > 0);
    let full: Vec<&Type> = types.iter().zip(args).filter(|(_, value)| is_full(value)).map(|(ty, _)| ty).collect();
    let common = if full.is_empty() { Some(Type::set(Type::Any)) } else { unify_all(full.into_iter()) };
    let common = common.ok_or_else(|| Fault::new("the elements must have one type, but these have different ones"))?;
    let mut all: Option<BTreeSet<Value>> = None;
    for (i, value) in args.iter().enumerate() {
        let set = convert(value, &common).map_err(|fault| Fault::at(i, fault.to_string()))?;
        let set = set.elements().into_iter().flatten().cloned().collect();
        match &mut all {
            Some(all) => together(all, set),
            None => all = Some(set),
        }
    }
    Ok(Value::set(all.unwrap_or_default()))
}

/// The first varies slowest. Of sets it is a set; where a list is among them the order counts, and it is a list.
fn product(args: &[Value]) -> Outcome {
    let mut factors: Vec<Vec<Value>> = Vec::new();
    let mut count = 1_usize;
    for (i, value) in args.iter().enumerate() {
        let ty = if matches!(value.kind(), ValueKind::Set(_)) { Type::set(Type::Any) } else { Type::list(Type::Any) };
        let items = convert(arg(args, i), &ty).map_err(|fault| Fault::at(i, fault.to_string()))?;
        let items: Vec<Value> = items.elements().into_iter().flatten().cloned().collect();
        count = count.saturating_mul(items.len());
        factors.push(items);
    }
    if count.saturating_mul(args.len()) > MAX_ELEMENTS {
        return Err(Fault::new(format!("the result has more than {MAX_ELEMENTS} elements")));
    }
    // The number of a combination tells its elements, as digits do.
    let combination = |number: usize| {
        let mut rest = number;
        let mut items: Vec<Value> = Vec::with_capacity(factors.len());
        for factor in factors.iter().rev() {
            items.extend(factor.get(rest.checked_rem(factor.len()).unwrap_or(0)).cloned());
            rest = rest.checked_div(factor.len()).unwrap_or(0);
        }
        items.reverse();
        Value::tuple(items)
    };
    let tuples = (0..count).map(combination);
    let all_sets = args.iter().all(|value| matches!(value.kind(), ValueKind::Set(_)));
    Ok(if all_sets { Value::set(tuples) } else { Value::list(tuples) })
}
