//! `tostring`, `tonumber`, `tobool`, `tolist`, `toset`, `tomap`; `try`, `can`; `sensitive`, `nonsensitive`; `coalesce`.

use cloudtik_model::{Type, Value};

use super::call::types_are_known;
use super::{Fault, Function, Marks, Outcome, Parameter, Special, Wants, a_bool, a_number, a_string, any, arg, nullable};
use crate::convert;
use crate::unify::{is_open, unify_values};

const VALUE: &[Parameter] = &[nullable("value", Wants::Any)];

pub(super) const FUNCTIONS: &[Function] = &[
    Function::special("can", VALUE, Special::Can).doc("Whether the expression can be evaluated."),
    Function::shape("coalesce", &[], any, coalesce)
        .and(nullable("values", Wants::Any))
        .needs(1)
        .constant()
        .doc("The first value that is neither null nor an empty string."),
    // No value is ephemeral here.
    Function::shape("ephemeralasnull", VALUE, own_type, |args| Ok(Some(arg(args, 0).clone())))
        .constant()
        .doc("The value, with null in place of what is ephemeral."),
    Function::shape("issensitive", VALUE, a_bool, |args| Ok(is_marked(arg(args, 0))))
        .marks(Marks::Own)
        .constant()
        .doc("Whether the value is marked as sensitive."),
    Function::shape("nonsensitive", VALUE, own_type, |args| Ok(unmarked(arg(args, 0))))
        .marks(Marks::Own)
        .constant()
        .doc("The value without its sensitive mark."),
    Function::shape("sensitive", VALUE, own_type, |args| Ok(Some(arg(args, 0).clone().marked(true))))
        .marks(Marks::Own)
        .constant()
        .doc("The value, marked as sensitive."),
    Function::known("tobool", VALUE, a_bool, |args| to(args, &Type::Bool)).doc("The value as a bool."),
    Function::shape("tolist", VALUE, any, |args| shaped(args, &Type::list(Type::Any))).doc("The elements as a list; of a set, sorted."),
    Function::shape("tomap", VALUE, any, |args| shaped(args, &Type::map(Type::Any))).doc("The object as a map: elements of one type."),
    Function::known("tonumber", VALUE, a_number, |args| to(args, &Type::Number)).doc("The value as a number."),
    Function::known("toset", VALUE, set_type, |args| to(args, &Type::set(Type::Any))).doc("The different elements, sorted."),
    Function::known("tostring", VALUE, a_string, |args| to(args, &Type::String)).doc("The value as a string."),
    Function::special("try", &[], Special::Try)
        .and(nullable("expressions", Wants::Any))
        .needs(1)
        .doc("The first of the expressions that can be evaluated."),
];

fn own_type(args: &[Value]) -> Type {
    arg(args, 0).ty()
}

fn set_type(args: &[Value]) -> Type {
    let value = arg(args, 0);
    let common = if types_are_known(args) { value.elements().and_then(unify_values) } else { None };
    Type::set(common.filter(|ty| !is_open(ty)).unwrap_or(Type::Any))
}

fn unmarked(value: &Value) -> Option<Value> {
    if value.is_deferred() { None } else { Some(value.clone().unmarked()) }
}

/// What is not known may turn out to be marked.
fn is_marked(value: &Value) -> Option<Value> {
    (value.is_sensitive() || !value.is_deferred()).then(|| value.is_sensitive().into())
}

fn to(args: &[Value], ty: &Type) -> Outcome {
    convert(arg(args, 0), ty).map_err(|fault| Fault::at(0, fault.to_string()))
}

/// The shape of a collection is known even when its elements are not; but it may be that their types decide.
fn shaped(args: &[Value], ty: &Type) -> Result<Option<Value>, Fault> {
    let value = arg(args, 0);
    if value.is_deferred() {
        return Ok(None);
    }
    let converted = to(args, ty)?;
    Ok(if converted.is_deferred() { None } else { Some(converted) })
}

/// All values count for the type of the result, so they are all evaluated.
fn coalesce(args: &[Value]) -> Result<Option<Value>, Fault> {
    if !types_are_known(args) {
        return Ok(None);
    }
    let Some(common) = unify_values(args.iter()) else {
        return Err(Fault::new("the values must have one type, but these have different ones"));
    };
    let mut sensitive = false;
    for (i, value) in args.iter().enumerate() {
        if value.is_deferred() {
            return Ok(None);
        }
        sensitive = sensitive || value.is_sensitive();
        if value.is_null() {
            continue;
        }
        let value = convert(value, &common).map_err(|fault| Fault::at(i, fault.to_string()))?;
        if value.as_str() != Some("") {
            return Ok(Some(value.marked(sensitive)));
        }
    }
    Err(Fault::new("every value is null or an empty string"))
}
