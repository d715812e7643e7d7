//! `name.attribute[key]` and `collection[*].attribute`.

use std::sync::Arc;

use cloudtik_model::{Diagnostic, Diagnostics, Expr, ExprKind, Span, Type, Value, ValueKind, did_you_mean};

use crate::convert;
use crate::evaluate::{Eval, Evaluator, Locals, checked, conversion, error, keep};
use crate::limits::MAX_NAMES_LISTED;
use crate::residual::{operand, operand_or_failure, residual};
use crate::scope::{Step, Traversal};

impl Evaluator<'_> {
    /// Evaluates a chain of steps from its root; the longest part that the scope knows is looked up at once.
    pub(crate) fn traversal(&self, expr: &Expr, locals: Locals<'_>) -> Eval<Value> {
        let mut links = Vec::new();
        let mut root = expr;
        while let ExprKind::Attribute { of, .. } | ExprKind::Index { of, .. } = &root.kind {
            links.push(root);
            root = of;
        }
        links.reverse();
        let mut errors = Diagnostics::new();
        let steps: Vec<Step> = links.iter().filter_map(|link| keep(self.step(link, locals), &mut errors)).collect();
        let base = self.traversal_root(root, &steps, expr.span, locals);
        let base = keep(base, &mut errors);
        let (Some((mut value, used)), true) = (base, errors.is_empty()) else { return Err(errors) };
        for (step, link) in steps.iter().zip(&links).skip(used) {
            value = match step {
                Step::Attribute(name, place) => attribute(&value, name, *place, link.span)?,
                Step::Index(key, place) => index(&value, key, *place, link.span)?,
            };
        }
        Ok(value)
    }

    fn step(&self, link: &Expr, locals: Locals<'_>) -> Eval<Step> {
        match &link.kind {
            ExprKind::Index { key, .. } => Ok(Step::Index(self.eval(key, locals)?, key.span)),
            ExprKind::Attribute { name, .. } => Ok(Step::Attribute(Arc::clone(name), name_span(link.span, name))),
            _ => error("internal", "this is no step", link.span),
        }
    }

    fn traversal_root(&self, root: &Expr, steps: &[Step], span: Span, locals: Locals<'_>) -> Eval<(Value, usize)> {
        let ExprKind::Variable(name) = &root.kind else { return Ok((self.eval(root, locals)?, 0)) };
        if let Some(value) = locals.get(name) {
            return Ok((value.clone(), 0));
        }
        let found = self.scope.lookup(&Traversal { root: name, root_span: root.span, steps, span })?;
        Ok((found.value, found.used))
    }

    /// A splat over `null` has no elements, one over something that is no sequence has one.
    pub(crate) fn splat(&self, of: &Expr, each: &Expr, span: Span, locals: Locals<'_>) -> Eval<Value> {
        let source = self.eval(of, locals)?;
        let with = |item: Value| locals.with(None, (ExprKind::SPLAT_VARIABLE, item), |inner| self.eval(each, inner));
        if let Some(deferred) = source.as_deferred() {
            let item_type = match &deferred.ty {
                Type::List(of) | Type::Set(of) => (**of).clone(),
                Type::Tuple(_) | Type::Any => Type::Any,
                single => single.clone(),
            };
            let variable = Expr::new(ExprKind::Variable(ExprKind::SPLAT_VARIABLE.into()), span);
            let body = with(Value::deferred(item_type, variable));
            let sensitive = source.is_sensitive() || body.as_ref().is_ok_and(Value::has_sensitive);
            let kind = ExprKind::Splat { of: operand(&source, of.span).into(), each: operand_or_failure(&body, each.span).into() };
            return Ok(residual(Type::Any, kind, span, sensitive));
        }
        let items: Vec<Value> = match source.elements() {
            _ if source.is_null() => Vec::new(),
            Some(items) => items.map(|item| with(item.clone().marked(source.is_sensitive()))).collect::<Eval<_>>()?,
            None => vec![with(source.clone())?],
        };
        let result = if matches!(source.kind(), ValueKind::List(_) | ValueKind::Set(_)) { Value::list(items) } else { Value::tuple(items) };
        checked(result.marked(source.is_sensitive()), span)
    }
}

/// The name at the end of `of.name`.
fn name_span(link: Span, name: &str) -> Span {
    let length = u32::try_from(name.len()).unwrap_or(0);
    if link.is_none() || link.end.saturating_sub(link.start) < length { link } else { Span::new(link.file, link.end - length, link.end) }
}

/// `of.name`
pub(crate) fn attribute(of: &Value, name: &Arc<str>, place: Span, span: Span) -> Eval<Value> {
    let sensitive = of.is_sensitive();
    let found = match of.kind() {
        ValueKind::Map(items) | ValueKind::Object(items) => {
            let Some(item) = items.get(name) else { return Err(unknown_attribute(of, name, place)) };
            item.clone()
        }
        ValueKind::Deferred(deferred) => {
            let ty = deferred_attribute(&deferred.ty, name, place)?;
            let kind = ExprKind::Attribute { of: operand(of, span).into(), name: Arc::clone(name) };
            residual(ty, kind, span, false)
        }
        ValueKind::Null(_) => return error("null-value", format!("`.{name}` is asked of null"), place),
        ValueKind::List(_) | ValueKind::Set(_) | ValueKind::Tuple(_) => {
            let title = format!("{} has no attribute `{name}`; its elements may", of.describe());
            let help = format!("write `[0].{name}` for one element or `[*].{name}` for all of them");
            return Err(Diagnostic::error("unknown-attribute", title).at(place).help(help).into());
        }
        _ => return error("unknown-attribute", format!("{} has no attributes", of.describe()), place),
    };
    Ok(found.marked(sensitive))
}

/// The type of an attribute of a deferred value. That it has none is certain only where its type says which ones it has.
fn deferred_attribute(ty: &Type, name: &str, place: Span) -> Eval<Type> {
    match ty {
        Type::Object(fields) => match fields.get(name) {
            Some(field) => Ok(field.ty.clone()),
            None => Err(unknown_name(name, fields.keys().map(|name| &**name), place).into()),
        },
        Type::Map(of) => Ok((**of).clone()),
        Type::Any => Ok(Type::Any),
        other => error("unknown-attribute", format!("a value of type `{other}` has no attribute `{name}`"), place),
    }
}

fn unknown_attribute(of: &Value, name: &str, place: Span) -> Diagnostics {
    if of.is_sensitive() {
        return Diagnostic::error("unknown-attribute", format!("there is no attribute `{name}`")).at(place).into();
    }
    let names = of.entries().into_iter().flat_map(|items| items.keys().map(|name| &**name));
    unknown_name(name, names, place).into()
}

fn unknown_name<'a>(name: &str, names: impl Iterator<Item = &'a str> + Clone, place: Span) -> Diagnostic {
    let diagnostic = Diagnostic::error("unknown-attribute", format!("there is no attribute `{name}`")).at(place);
    let near = did_you_mean(name, names.clone().take(1000)).map(|near| format!("did you mean `{near}`?"));
    let listed = list_names(names);
    diagnostic.maybe_help(near).note(if listed.is_empty() { "it has no attributes".to_owned() } else { format!("it has {listed}") })
}

/// `` `a`, `b` and 7 more ``
pub(crate) fn list_names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut listed = String::new();
    let mut more = 0_usize;
    for (i, name) in names.enumerate() {
        if i >= MAX_NAMES_LISTED {
            more += 1;
        } else {
            listed = format!("{listed}{}`{name}`", if i > 0 { ", " } else { "" });
        }
    }
    if more > 0 { format!("{listed} and {more} more") } else { listed }
}

/// `of[key]`
pub(crate) fn index(of: &Value, key: &Value, place: Span, span: Span) -> Eval<Value> {
    if of.is_null() {
        return error("null-value", "an element is asked of null", span);
    }
    if key.is_null() {
        return error("null-value", "the key is null", place);
    }
    if of.is_deferred() || key.is_deferred() {
        return open_index(of, key, place, span);
    }
    let found = match of.kind() {
        ValueKind::Map(items) | ValueKind::Object(items) => {
            let key = convert(key, &Type::String).map_err(|fault| conversion(&fault, place))?;
            let name = key.as_str().unwrap_or_default();
            match items.get(name) {
                Some(item) => item,
                None if key.is_sensitive() => return error("unknown-key", "there is no element of this key", place),
                None => return Err(unknown_key(of, name, place)),
            }
        }
        ValueKind::List(items) | ValueKind::Tuple(items) => element(items, of, key, place)?,
        ValueKind::Set(_) => {
            let diagnostic = Diagnostic::error("wrong-type", "the elements of a set have no index").at(place);
            return Err(diagnostic.help("`tolist(…)` makes a sorted list of a set").into());
        }
        _ => return error("wrong-type", format!("{} has no elements", of.describe()), place),
    };
    Ok(found.clone().marked(of.is_sensitive() || key.is_sensitive()))
}

fn unknown_key(of: &Value, name: &str, place: Span) -> Diagnostics {
    let diagnostic = Diagnostic::error("unknown-key", format!("there is no element {name:?}")).at(place);
    if of.is_sensitive() {
        return diagnostic.into();
    }
    let names = || of.entries().into_iter().flat_map(|items| items.keys().map(|name| &**name));
    let near = did_you_mean(name, names().take(1000)).map(|near| format!("did you mean {near:?}?"));
    let listed = list_names(names());
    diagnostic.maybe_help(near).note(if listed.is_empty() { "it is empty".to_owned() } else { format!("it has {listed}") }).into()
}

fn element<'v>(items: &'v [Value], of: &Value, key: &Value, place: Span) -> Eval<&'v Value> {
    let key = convert(key, &Type::Number).map_err(|fault| conversion(&fault, place))?;
    let shown = match key.as_number() {
        Some(number) if !key.is_sensitive() => format!("index {number}"),
        _ => "this index".to_owned(),
    };
    let found = key.as_number().and_then(cloudtik_model::Number::as_u64).and_then(|i| items.get(usize::try_from(i).ok()?));
    if let Some(item) = found {
        return Ok(item);
    }
    if key.as_number().is_some_and(|number| !number.is_integer()) {
        return error("wrong-type", format!("{shown} is not a whole number"), place);
    }
    let length = match items.len() {
        0 => "is empty".to_owned(),
        1 => "has 1 element".to_owned(),
        n => format!("has {n} elements"),
    };
    let title = format!("{shown} is out of range: {} {length}", of.describe().replacen("a ", "the ", 1));
    let help = items.len().checked_sub(1).map(|last| match last {
        0 => "the only index is 0".to_owned(),
        last => format!("indices go from 0 to {last}"),
    });
    Err(Diagnostic::error("index-out-of-range", title).at(place).maybe_help(help).into())
}

fn open_index(of: &Value, key: &Value, place: Span, span: Span) -> Eval<Value> {
    let ty = match (of.kind(), key.as_number().and_then(cloudtik_model::Number::as_u64)) {
        (ValueKind::Deferred(deferred), at) => match &deferred.ty {
            Type::List(of) | Type::Map(of) => (**of).clone(),
            Type::Tuple(types) => at.and_then(|i| types.get(usize::try_from(i).ok()?)).cloned().unwrap_or(Type::Any),
            Type::Object(fields) => key.as_str().and_then(|name| fields.get(name)).map_or(Type::Any, |field| field.ty.clone()),
            Type::Any => Type::Any,
            Type::Set(_) | Type::Bool | Type::Number | Type::String => {
                return error("wrong-type", format!("a value of type `{}` has no elements with a key", deferred.ty), place);
            }
        },
        (ValueKind::List(items), _) => crate::unify::unify_values(items.iter()).unwrap_or(Type::Any),
        (ValueKind::Map(items), _) => crate::unify::unify_values(items.values()).unwrap_or(Type::Any),
        (ValueKind::Tuple(_) | ValueKind::Object(_), _) => Type::Any,
        _ => return error("wrong-type", format!("{} has no elements with a key", of.describe()), place),
    };
    let kind = ExprKind::Index { of: operand(of, span).into(), key: operand(key, place).into() };
    // Which element it will be tells of the key; and it may be one that carries a mark.
    Ok(residual(ty, kind, span, of.is_sensitive() || key.has_sensitive() || (!of.is_deferred() && of.has_sensitive())))
}
