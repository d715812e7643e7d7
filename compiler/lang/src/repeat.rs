//! `[for v in c : e]` and `{for k, v in c : k => e}`.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_model::{Diagnostic, Diagnostics, Expr, ExprKind, ForKind, Span, Type, Value, ValueKind};

use crate::evaluate::{Eval, Evaluator, Locals, checked, error, required};
use crate::impure::TURN;
use crate::limits::{MAX_ELEMENT_ERRORS, MAX_ELEMENTS};
use crate::residual::{loop_name, operand, operand_or_failure, residual};

/// What one element gives.
enum Element {
    /// The condition leaves it out.
    Skipped,
    Item(Value),
    Entry(Arc<str>, Value),
    /// Whether it is in the result, or under which key, is not known yet.
    Open,
}

/// What a `for` gathers.
#[derive(Default)]
struct Gathered {
    items: Vec<Value>,
    entries: BTreeMap<Arc<str>, Value>,
    groups: BTreeMap<Arc<str>, Vec<Value>>,
    /// Conditions and keys tell of what they were computed from.
    sensitive: bool,
}

impl Evaluator<'_> {
    pub(crate) fn for_expression(&self, kind: &ForKind, span: Span, locals: Locals<'_>) -> Eval<Value> {
        let collection = self.eval(&kind.collection, locals)?;
        if collection.is_deferred() {
            check_deferred_collection(&collection, kind.collection.span)?;
            return Ok(self.residual_for(&collection, kind, span, locals));
        }
        let elements = iterate(&collection, kind.collection.span)?;
        let mut gathered = Gathered { sensitive: collection.is_sensitive(), ..Gathered::default() };
        let mut errors = Diagnostics::new();
        for (key, item) in elements {
            match self.element(kind, key, item, &mut gathered.sensitive, locals) {
                Ok(Element::Skipped) => {}
                Ok(Element::Open) if errors.is_empty() => return Ok(self.residual_for(&collection, kind, span, locals)),
                Ok(Element::Open) => break,
                Ok(Element::Item(value)) => gathered.items.push(value),
                Ok(Element::Entry(name, value)) if kind.grouping => gathered.groups.entry(name).or_default().push(value),
                Ok(Element::Entry(name, value)) => {
                    if gathered.entries.contains_key(&name) {
                        errors.push(duplicate(&name, gathered.sensitive, kind));
                        break;
                    }
                    gathered.entries.insert(name, value);
                }
                Err(more) => {
                    errors.extend(more);
                    if errors.len() >= MAX_ELEMENT_ERRORS {
                        break;
                    }
                }
            }
            if gathered.items.len() > MAX_ELEMENTS {
                break;
            }
        }
        if errors.is_empty() { checked(gathered.into_value(kind), span) } else { Err(errors) }
    }

    fn element(&self, kind: &ForKind, key: Value, item: Value, sensitive: &mut bool, locals: Locals<'_>) -> Eval<Element> {
        let key = kind.key_variable.as_ref().map(|name| (&**name, key));
        locals.with(key, (&kind.value_variable, item), |inner| {
            if let Some(condition) = &kind.condition {
                let test = required(&self.eval(condition, inner)?, &Type::Bool, condition.span, "the condition")?;
                *sensitive = *sensitive || test.is_sensitive();
                match test.as_bool() {
                    Some(true) => {}
                    Some(false) => return Ok(Element::Skipped),
                    None => return Ok(Element::Open),
                }
            }
            let Some(key) = &kind.key else { return self.eval(&kind.value, inner).map(Element::Item) };
            let name = required(&self.eval(key, inner)?, &Type::String, key.span, "the key")?;
            *sensitive = *sensitive || name.is_sensitive();
            let value = self.eval(&kind.value, inner)?;
            Ok(name.as_str().map_or(Element::Open, |name| Element::Entry(name.into(), value)))
        })
    }

    /// A `for` that waits for its collection. Its parts are evaluated as far as they do not need the element; one that fails now fails
    /// later if there is an element at all.
    fn residual_for(&self, collection: &Value, kind: &ForKind, span: Span, locals: Locals<'_>) -> Value {
        let (key_type, item_type) = element_types(collection);
        let rename = |name: &Arc<str>| loop_name(name, locals.level);
        let (key_name, item_name) = (kind.key_variable.as_ref().map(rename), rename(&kind.value_variable));
        let turn = key_name.clone().unwrap_or_else(|| loop_name(TURN, locals.level));
        let numbered = self.session.numbered();
        let variable = |name: &Arc<str>, ty: &Type| Value::deferred(ty.clone(), Expr::new(ExprKind::Variable(Arc::clone(name)), span));
        let key = kind.key_variable.as_deref().zip(key_name.as_ref().map(|name| variable(name, &key_type)));
        let item = (&*kind.value_variable, variable(&item_name, &item_type));
        let mut sensitive = collection.has_sensitive();
        let mut part = |expr: &Expr, inner: Locals<'_>| {
            let value = self.eval(expr, inner);
            sensitive = sensitive || value.as_ref().is_ok_and(Value::has_sensitive);
            operand_or_failure(&value, expr.span)
        };
        let residue = locals.with(key, item, |inner| {
            inner.in_residual_loop(Arc::clone(&turn), |inner| {
                let condition = kind.condition.as_ref().map(|expr| part(expr, inner));
                let key = kind.key.as_ref().map(|expr| part(expr, inner));
                let value = part(&kind.value, inner);
                let key_variable = key_name.or_else(|| (self.session.numbered() > numbered).then_some(turn));
                let collection = operand(collection, kind.collection.span);
                ForKind { key_variable, value_variable: item_name, collection, condition, key, value, grouping: kind.grouping }
            })
        });
        residual(Type::Any, ExprKind::For(Box::new(residue)), span, sensitive)
    }
}

impl Gathered {
    fn into_value(self, kind: &ForKind) -> Value {
        let value = match (&kind.key, kind.grouping) {
            (None, _) => Value::tuple(self.items),
            (Some(_), false) => Value::object(self.entries),
            (Some(_), true) => Value::object(self.groups.into_iter().map(|(name, items)| (name, Value::tuple(items)))),
        };
        value.marked(self.sensitive)
    }
}

fn duplicate(name: &str, sensitive: bool, kind: &ForKind) -> Diagnostic {
    let title = if sensitive { "two elements have the same key".to_owned() } else { format!("two elements have the key {name:?}") };
    let place = kind.key.as_ref().map_or(Span::NONE, |key| key.span);
    Diagnostic::error("duplicate-key", title).at(place).help("write `...` after the value to gather the elements of each key in a list")
}

/// The keys and elements of a collection: indexes of a sequence, names of a map, and of a set each element as its own key. What comes
/// out of a sensitive collection is sensitive itself, so that no message shows it.
pub(crate) fn iterate(collection: &Value, span: Span) -> Eval<Box<dyn Iterator<Item = (Value, Value)> + '_>> {
    let sensitive = collection.is_sensitive();
    let item = move |item: &Value| item.clone().marked(sensitive);
    match collection.kind() {
        ValueKind::List(items) | ValueKind::Tuple(items) => {
            Ok(Box::new(items.iter().enumerate().map(move |(i, value)| (Value::from(i), item(value)))))
        }
        ValueKind::Set(items) => Ok(Box::new(items.iter().map(move |value| (item(value), item(value))))),
        ValueKind::Map(items) | ValueKind::Object(items) => {
            Ok(Box::new(items.iter().map(move |(name, value)| (Value::from(Arc::clone(name)).marked(sensitive), item(value)))))
        }
        ValueKind::Null(_) => error("null-value", "the collection of a `for` is null", span),
        _ => error("wrong-type", format!("a `for` goes over lists, sets, maps and objects, but this is {}", collection.describe()), span),
    }
}

/// Refuses what will certainly be no collection.
pub(crate) fn check_deferred_collection(collection: &Value, span: Span) -> Eval<()> {
    match collection.ty() {
        ty @ (Type::Bool | Type::Number | Type::String) => {
            error("wrong-type", format!("a `for` goes over lists, sets, maps and objects, but this will be a {ty}"), span)
        }
        _ => Ok(()),
    }
}

/// The types of keys and elements, as far as they are known.
pub(crate) fn element_types(collection: &Value) -> (Type, Type) {
    let Some(deferred) = collection.as_deferred() else { return (Type::Any, Type::Any) };
    match &deferred.ty {
        Type::List(of) => (Type::Number, (**of).clone()),
        Type::Set(of) => ((**of).clone(), (**of).clone()),
        Type::Map(of) => (Type::String, (**of).clone()),
        Type::Tuple(_) => (Type::Number, Type::Any),
        Type::Object(_) => (Type::String, Type::Any),
        _ => (Type::Any, Type::Any),
    }
}
