//! Types that values of two types can both have, and which conversions can succeed at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_model::{ObjectField, Type, Value, ValueKind};

/// The type that values of both types can be converted to without loss. `Any` stands for a type about which nothing is known, as that
/// of `null` or of the elements of an empty list: the other type is the answer then.
pub(crate) fn unify(a: &Type, b: &Type) -> Option<Type> {
    Some(match (a, b) {
        _ if a == b => a.clone(),
        (Type::Any, other) | (other, Type::Any) => other.clone(),
        (Type::String, Type::Number | Type::Bool) | (Type::Number | Type::Bool, Type::String) => Type::String,
        (Type::Tuple(x), Type::Tuple(y)) => return unify_tuples(x, y),
        (Type::List(x), Type::List(y) | Type::Set(y)) | (Type::Set(x), Type::List(y)) => Type::list(unify(x, y)?),
        (Type::Set(x), Type::Set(y)) => Type::set(unify(x, y)?),
        (Type::Tuple(x), Type::List(y)) | (Type::List(y), Type::Tuple(x)) => Type::list(unify(&unify_all(x.iter())?, y)?),
        (Type::Tuple(x), Type::Set(y)) | (Type::Set(y), Type::Tuple(x)) => Type::set(unify(&unify_all(x.iter())?, y)?),
        (Type::Map(x), Type::Map(y)) => Type::map(unify(x, y)?),
        (Type::Object(x), Type::Object(y)) => return unify_objects(x, y),
        (Type::Object(x), Type::Map(y)) | (Type::Map(y), Type::Object(x)) => Type::map(unify(&unify_all(field_types(x))?, y)?),
        _ => return None,
    })
}

/// The type that values of all the types can be converted to.
pub(crate) fn unify_all<'a>(types: impl Iterator<Item = &'a Type>) -> Option<Type> {
    let mut common = Type::Any;
    for ty in types {
        if *ty != common {
            common = unify(&common, ty)?;
        }
    }
    Some(common)
}

/// The type that all the values can be converted to.
pub(crate) fn unify_values<'a>(values: impl Iterator<Item = &'a Value>) -> Option<Type> {
    let mut common = Type::Any;
    for value in values {
        let ty = value.ty();
        if ty != common {
            common = unify(&common, &ty)?;
        }
    }
    Some(common)
}

fn field_types(fields: &BTreeMap<Arc<str>, ObjectField>) -> impl Iterator<Item = &Type> {
    fields.values().map(|field| &field.ty)
}

fn unify_tuples(x: &[Type], y: &[Type]) -> Option<Type> {
    if x.len() == y.len()
        && let Some(items) = x.iter().zip(y).map(|(x, y)| unify(x, y)).collect::<Option<Vec<_>>>()
    {
        return Some(Type::Tuple(items.into()));
    }
    Some(Type::list(unify_all(x.iter().chain(y))?))
}

fn unify_objects(x: &BTreeMap<Arc<str>, ObjectField>, y: &BTreeMap<Arc<str>, ObjectField>) -> Option<Type> {
    if x.keys().eq(y.keys()) {
        let fields = x.iter().zip(y.values()).map(|((name, x), y)| Some((Arc::clone(name), unify(&x.ty, &y.ty)?)));
        return Some(Type::object(fields.collect::<Option<Vec<_>>>()?));
    }
    Some(Type::map(unify_all(field_types(x).chain(field_types(y)))?))
}

/// Whether some value of the first type can be converted to the second.
pub(crate) fn can_convert(from: &Type, to: &Type) -> bool {
    match (from, to) {
        (Type::Any, _) | (_, Type::Any) => true,
        (Type::Bool, Type::Number) | (Type::Number, Type::Bool) => false,
        (Type::Bool | Type::Number | Type::String, Type::Bool | Type::Number | Type::String) => true,
        (Type::List(x) | Type::Set(x), Type::List(y) | Type::Set(y)) | (Type::Map(x), Type::Map(y)) => can_convert(x, y),
        (Type::Tuple(x), Type::List(y) | Type::Set(y)) => x.iter().all(|x| can_convert(x, y)),
        (Type::Tuple(x), Type::Tuple(y)) => x.len() == y.len() && x.iter().zip(y.iter()).all(|(x, y)| can_convert(x, y)),
        (Type::List(x), Type::Tuple(y)) => y.iter().all(|y| can_convert(x, y)),
        (Type::Object(x), Type::Map(y)) => x.values().all(|x| can_convert(&x.ty, y)),
        (Type::Map(x), Type::Object(y)) => y.values().all(|y| can_convert(x, &y.ty)),
        (Type::Object(x), Type::Object(y)) => y.iter().all(|(name, y)| x.get(name).map_or(y.optional, |x| can_convert(&x.ty, &y.ty))),
        _ => false,
    }
}

/// Whether the type leaves something open.
pub(crate) fn is_open(ty: &Type) -> bool {
    match ty {
        Type::Any => true,
        Type::Bool | Type::Number | Type::String => false,
        Type::List(of) | Type::Set(of) | Type::Map(of) => is_open(of),
        Type::Tuple(items) => items.iter().any(is_open),
        Type::Object(fields) => fields.values().any(|field| is_open(&field.ty)),
    }
}

/// Whether something deferred in the value leaves its type open.
pub(crate) fn has_open_type(value: &Value) -> bool {
    if value.is_known() {
        return false;
    }
    match value.kind() {
        ValueKind::Deferred(deferred) => is_open(&deferred.ty),
        ValueKind::Map(items) | ValueKind::Object(items) => items.values().any(has_open_type),
        _ => value.elements().into_iter().flatten().any(has_open_type),
    }
}

/// The type of the values that a conversion to this type gives: a field that may be left out is there then.
pub(crate) fn converted_type(to: &Type) -> Type {
    match to {
        Type::Object(fields) => Type::object(fields.iter().map(|(name, field)| (Arc::clone(name), converted_type(&field.ty)))),
        Type::List(of) => Type::list(converted_type(of)),
        Type::Set(of) => Type::set(converted_type(of)),
        Type::Map(of) => Type::map(converted_type(of)),
        Type::Tuple(items) => Type::Tuple(items.iter().map(converted_type).collect()),
        other => other.clone(),
    }
}
