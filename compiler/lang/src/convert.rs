//! Conversion of values to types.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use cloudtik_model::{Expr, ExprKind, Number, ObjectField, Span, Type, Value, ValueKind, did_you_mean};

use crate::traverse::list_names;
use crate::unify::{can_convert, converted_type, has_open_type, is_open, unify_values};

/// Why a value cannot have a type. It never shows what a sensitive value holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvertError {
    /// Where inside the value, as `.name[0]`; empty for the value itself.
    pub path: String,
    /// What is wrong there.
    pub message: String,
    /// What to type instead.
    pub help: Option<String>,
}

impl fmt::Display for ConvertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path.trim_start_matches('.'), self.message) }
    }
}

impl std::error::Error for ConvertError {}

impl ConvertError {
    fn new(message: impl Into<String>) -> Self {
        Self { path: String::new(), message: message.into(), help: None }
    }

    fn below(mut self, step: impl fmt::Display) -> Self {
        self.path = format!("{step}{}", self.path);
        self
    }
}

/// The value as that type. `null` becomes one of that type. A deferred value becomes a deferred conversion; an object loses the attributes that
/// the type does not have and gets the defaults of those it lacks.
///
/// # Errors
/// It has no such form, or it certainly will not have.
pub fn convert(value: &Value, to: &Type) -> Result<Value, ConvertError> {
    let converted = match (value.kind(), to) {
        (_, Type::Any) => return Ok(value.clone()),
        (ValueKind::Null(_), _) => null(value, to),
        (ValueKind::Deferred(deferred), _) => return convert_deferred(value, &deferred.ty, to),
        (_, Type::Bool | Type::Number | Type::String) => primitive(value, to),
        (_, Type::List(of)) => list(value, of),
        (_, Type::Set(of)) => set(value, of, to),
        (_, Type::Map(of)) => map(value, of),
        (_, Type::Tuple(types)) => tuple(value, types),
        (_, Type::Object(fields)) => object(value, fields),
    };
    match converted {
        Ok(converted) => Ok(converted.marked(value.is_sensitive())),
        // Below a mark neither content nor names are shown.
        Err(_) if value.is_sensitive() => Err(ConvertError::new(format!("{} is required, but this sensitive value is none", a(to)))),
        Err(fault) => Err(fault),
    }
}

/// A `null` that has a type keeps it where the other one leaves something open.
fn null(value: &Value, to: &Type) -> Result<Value, ConvertError> {
    let own = value.ty();
    if !can_convert(&own, to) {
        return Err(ConvertError::new(format!("{} is required, but this is null of type `{own}`", a(to))));
    }
    Ok(if own != Type::Any && is_open(to) { value.clone() } else { Value::null_of(&converted_type(to)) })
}

fn convert_deferred(value: &Value, from: &Type, to: &Type) -> Result<Value, ConvertError> {
    if from == to && !is_open(to) && converted_type(to) == *to {
        return Ok(value.clone());
    }
    if !can_convert(from, to) {
        return Err(ConvertError::new(format!("{} is required, but this will be {}", a(to), a(from))));
    }
    Ok(later(value, to))
}

fn later(value: &Value, to: &Type) -> Value {
    let expr = Expr::new(ExprKind::Convert { to: to.clone(), of: value.to_expr().into() }, Span::NONE);
    Value::deferred(converted_type(to), expr).marked(value.has_sensitive())
}

fn mismatch(value: &Value, to: &Type) -> ConvertError {
    ConvertError::new(format!("{} is required, but this is {}", a(to), value.describe()))
}

/// A type with its article, shortened where it is long.
fn a(ty: &Type) -> String {
    match ty {
        Type::Any => "any value".to_owned(),
        Type::Object(_) => "an object".to_owned(),
        Type::Tuple(types) => format!("a tuple of {} elements", types.len()),
        Type::List(of) if !of.is_primitive() => "a list".to_owned(),
        Type::Set(of) if !of.is_primitive() => "a set".to_owned(),
        Type::Map(of) if !of.is_primitive() => "a map".to_owned(),
        Type::List(of) => format!("a list of {of}s"),
        Type::Set(of) => format!("a set of {of}s"),
        Type::Map(of) => format!("a map of {of}s"),
        Type::Bool | Type::Number | Type::String => format!("a {ty}"),
    }
}

fn primitive(value: &Value, to: &Type) -> Result<Value, ConvertError> {
    match (value.kind(), to) {
        (ValueKind::Bool(_), Type::Bool) | (ValueKind::Number(_), Type::Number) | (ValueKind::String(_), Type::String) => Ok(value.clone()),
        (ValueKind::Bool(truth), Type::String) => Ok(if *truth { "true" } else { "false" }.into()),
        (ValueKind::Number(number), Type::String) => Ok(number.to_string().into()),
        (ValueKind::String(text), Type::Number) => match text.parse::<Number>() {
            Ok(number) => Ok(number.into()),
            Err(fault) if value.is_sensitive() || text.len() > 100 => Err(ConvertError::new(match fault {
                cloudtik_model::NumberError::Syntax(_) => "a number is required, but the text of this string is none".to_owned(),
                other => other.to_string(),
            })),
            Err(_) => Err(ConvertError::new(format!("a number is required, but this is the string {text:?}"))),
        },
        (ValueKind::String(text), Type::Bool) => match &**text {
            "true" | "1" => Ok(true.into()),
            "false" | "0" => Ok(false.into()),
            "True" | "TRUE" | "False" | "FALSE" => {
                let help = format!("did you mean `{}`?", text.to_ascii_lowercase());
                Err(ConvertError { help: Some(help), ..ConvertError::new("a bool is written in lower case") })
            }
            _ => Err(mismatch(value, to)),
        },
        _ => Err(mismatch(value, to)),
    }
}

/// The elements as one type, or `None` when that cannot be known yet.
fn uniform(items: Vec<Value>, of: &Type) -> Result<Option<Vec<Value>>, ConvertError> {
    if !is_open(of) {
        return Ok(Some(items));
    }
    if items.iter().any(has_open_type) {
        return Ok(None);
    }
    let Some(common) = unify_values(items.iter()) else {
        return Err(ConvertError::new("all elements must have one type, but these have different ones"));
    };
    // As Terraform has it: of what collection a `null` is cannot be told from those beside it.
    if !common.is_primitive() && common != Type::Any && items.iter().any(|item| item.is_null() && item.ty() == Type::Any) {
        let message = "all elements must have one type, and a null beside collections has none";
        return Err(ConvertError {
            help: Some("leave it out, or write `tolist(null)` or the like".to_owned()),
            ..ConvertError::new(message)
        });
    }
    items.iter().map(|item| if item.ty() == common { Ok(item.clone()) } else { convert(item, &common) }).collect::<Result<_, _>>().map(Some)
}

fn elements(value: &Value, of: &Type) -> Result<Option<Vec<Value>>, ConvertError> {
    let items = value.elements().ok_or_else(|| mismatch(value, &Type::list(of.clone())))?;
    let items = items.enumerate().map(|(i, item)| convert(item, of).map_err(|fault| fault.below(format!("[{i}]"))));
    uniform(items.collect::<Result<Vec<_>, _>>()?, of)
}

fn list(value: &Value, of: &Type) -> Result<Value, ConvertError> {
    if let (ValueKind::List(items), false) = (value.kind(), is_open(of))
        && items.iter().all(|item| item.ty() == *of)
    {
        return Ok(value.clone());
    }
    Ok(elements(value, of)?.map_or_else(|| later(value, &Type::list(of.clone())), Value::list))
}

fn set(value: &Value, of: &Type, to: &Type) -> Result<Value, ConvertError> {
    if value.elements().is_none() {
        return Err(mismatch(value, to));
    }
    // Two elements that are not known yet may turn out to be one.
    Ok(match elements(value, of)? {
        Some(items) if items.iter().all(Value::is_known) => make_set(items),
        _ => later(value, to),
    })
}

/// A set. Which elements are in it tells of each of them, so their marks go to the set.
pub(crate) fn make_set(items: impl IntoIterator<Item = Value>) -> Value {
    let mut sensitive = false;
    let items: Vec<Value> = items
        .into_iter()
        .map(|item| {
            sensitive = sensitive || item.has_sensitive();
            item.unmarked_deeply()
        })
        .collect();
    Value::set(items).marked(sensitive)
}

fn map(value: &Value, of: &Type) -> Result<Value, ConvertError> {
    let to = Type::map(of.clone());
    let entries = value.entries().ok_or_else(|| mismatch(value, &to))?;
    let items = entries.iter().map(|(name, item)| convert(item, of).map_err(|fault| fault.below(step(name))));
    let items = uniform(items.collect::<Result<Vec<_>, _>>()?, of)?;
    Ok(items.map_or_else(|| later(value, &to), |items| Value::map(entries.keys().cloned().zip(items))))
}

fn tuple(value: &Value, types: &Arc<[Type]>) -> Result<Value, ConvertError> {
    let to = Type::Tuple(Arc::clone(types));
    let (ValueKind::Tuple(items) | ValueKind::List(items)) = value.kind() else { return Err(mismatch(value, &to)) };
    if items.len() != types.len() {
        return Err(ConvertError::new(format!("{} is required, but this one has {}", a(&to), items.len())));
    }
    let items = items.iter().zip(types.iter()).enumerate();
    let items = items.map(|(i, (item, ty))| convert(item, ty).map_err(|fault| fault.below(format!("[{i}]"))));
    Ok(Value::tuple(items.collect::<Result<Vec<_>, _>>()?))
}

fn object(value: &Value, fields: &Arc<BTreeMap<Arc<str>, ObjectField>>) -> Result<Value, ConvertError> {
    let entries = value.entries().ok_or_else(|| mismatch(value, &Type::Object(Arc::clone(fields))))?;
    let mut items = Vec::with_capacity(fields.len());
    for (name, field) in fields.iter() {
        let item = match entries.get(name) {
            // A field that may be left out has its default for `null` also.
            Some(item) if item.is_null() && field.default.is_some() => default(field).marked(item.is_sensitive()),
            Some(item) => convert(item, &field.ty).map_err(|fault| fault.below(step(name)))?,
            None if field.optional => default(field),
            None => return Err(missing(name, entries, fields)),
        };
        items.push((Arc::clone(name), item));
    }
    Ok(Value::object(items))
}

fn default(field: &ObjectField) -> Value {
    field.default.as_ref().map_or(Value::NULL, |default| convert(default, &field.ty).unwrap_or_else(|_| default.clone()))
}

fn missing(name: &str, entries: &BTreeMap<Arc<str>, Value>, fields: &BTreeMap<Arc<str>, ObjectField>) -> ConvertError {
    let extra: Vec<&str> = entries.keys().map(|name| &**name).filter(|name| !fields.contains_key(*name)).collect();
    let help = match did_you_mean(name, extra.iter().copied()) {
        Some(near) => Some(format!("there is a `{near}`; did you mean `{name}`?")),
        None if extra.is_empty() => None,
        None => Some(format!("it has {}, which the type does not have", list_names(extra.iter().copied()))),
    };
    ConvertError { help, ..ConvertError::new(format!("the attribute `{name}` is missing")) }
}

/// A name as it is written after an expression.
fn step(name: &str) -> String {
    if crate::text::is_identifier(name) { format!(".{name}") } else { format!("[{name:?}]") }
}
