//! Types as they are written: `object({ a = string, b = optional(list(number), []) })`.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_model::{Diagnostic, Diagnostics, Expr, ExprKind, ObjectField, Span, TemplatePart, Type, did_you_mean};

use crate::convert;
use crate::evaluate::{Eval, conversion, error, evaluate, keep};
use crate::scope::{Context, Variables};

const NAMES: [&str; 9] = ["any", "bool", "list", "map", "number", "object", "set", "string", "tuple"];

/// The deepest type: more cannot be had by a value.
const MAX_TYPE_DEPTH: u8 = cloudtik_model::MAX_DEPTH;

/// The type that an expression names.
///
/// # Errors
/// It names none; each place.
pub fn parse_type(expr: &Expr) -> Result<Type, Diagnostics> {
    read(expr, 0)
}

fn read(expr: &Expr, depth: u8) -> Eval<Type> {
    if depth > MAX_TYPE_DEPTH {
        return error("limit", format!("the type is nested deeper than {MAX_TYPE_DEPTH} levels"), expr.span);
    }
    match &expr.kind {
        ExprKind::Variable(name) => match &**name {
            "any" => Ok(Type::Any),
            "bool" => Ok(Type::Bool),
            "number" => Ok(Type::Number),
            "string" => Ok(Type::String),
            "list" | "set" | "map" | "tuple" | "object" => {
                let help = format!("write {}", example(name));
                Err(Diagnostic::error("wrong-type", format!("`{name}` needs the type of its elements")).at(expr.span).help(help).into())
            }
            _ => Err(unknown(name, expr.span)),
        },
        ExprKind::Call { name, args, expand: false } => constructor(name, args, expr, depth),
        ExprKind::Literal(value) if value.as_str().is_some() => quoted(value.as_str().unwrap_or_default(), expr.span),
        ExprKind::Template(parts) => match parts.as_slice() {
            [TemplatePart::Text(text)] => quoted(text, expr.span),
            _ => error("wrong-type", "this is no type", expr.span),
        },
        _ => error("wrong-type", "this is no type; a type is written as in `list(string)`", expr.span),
    }
}

fn quoted(text: &str, span: Span) -> Eval<Type> {
    let diagnostic = Diagnostic::error("wrong-type", "a type is written without quotes").at(span);
    Err(match nearest(text) {
        Some(name) => diagnostic.help(format!("write `{name}`")),
        None => diagnostic.note(format!("the types are {}", NAMES.join(", "))),
    }
    .into())
}

/// The type that is called so elsewhere, or nearly so here.
fn nearest(name: &str) -> Option<&'static str> {
    match name.to_ascii_lowercase().as_str() {
        "int" | "integer" | "float" | "double" => Some("number"),
        "str" | "text" => Some("string"),
        "boolean" => Some("bool"),
        "array" => Some("list"),
        "dict" | "hash" => Some("map"),
        lower => NAMES.into_iter().find(|known| *known == lower).or_else(|| did_you_mean(name, NAMES)),
    }
}

fn example(name: &str) -> &'static str {
    match name {
        "list" => "`list(string)`",
        "set" => "`set(string)`",
        "map" => "`map(string)`",
        "tuple" => "`tuple([string, number])`",
        _ => "`object({ name = string })`",
    }
}

fn unknown(name: &str, span: Span) -> Diagnostics {
    let diagnostic = Diagnostic::error("wrong-type", format!("there is no type `{name}`")).at(span);
    match nearest(name) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")).into(),
        None => diagnostic.note(format!("the types are {}", NAMES.join(", "))).into(),
    }
}

fn constructor(name: &str, args: &[Expr], expr: &Expr, depth: u8) -> Eval<Type> {
    if name == "optional" {
        return error("wrong-type", "`optional` stands only for an attribute of `object({…})`", expr.span);
    }
    if matches!(name, "any" | "bool" | "number" | "string") {
        return error("wrong-type", format!("`{name}` takes nothing in parentheses"), expr.span);
    }
    if !NAMES.contains(&name) {
        return Err(unknown(name, expr.span));
    }
    let [of] = args else {
        return Err(Diagnostic::error("wrong-type", format!("`{name}` takes one argument"))
            .at(expr.span)
            .help(format!("write {}", example(name)))
            .into());
    };
    match (name, &of.kind) {
        ("list", _) => read(of, depth + 1).map(Type::list),
        ("set", _) => read(of, depth + 1).map(Type::set),
        ("map", _) => read(of, depth + 1).map(Type::map),
        ("tuple", ExprKind::Tuple(items)) => {
            let mut errors = Diagnostics::new();
            let types: Vec<Type> = items.iter().filter_map(|item| keep(read(item, depth + 1), &mut errors)).collect();
            if errors.is_empty() { Ok(Type::Tuple(types.into())) } else { Err(errors) }
        }
        ("object", ExprKind::Object(items)) => object(items, depth + 1),
        _ => error("wrong-type", format!("`{name}` is written as in {}", example(name)), of.span),
    }
}

fn object(items: &[(Expr, Expr)], depth: u8) -> Eval<Type> {
    let mut errors = Diagnostics::new();
    let mut fields: BTreeMap<Arc<str>, ObjectField> = BTreeMap::new();
    for (key, ty) in items {
        let name: Option<Arc<str>> = match &key.kind {
            ExprKind::Literal(value) => value.as_str().map(Into::into),
            ExprKind::Variable(name) => Some(Arc::clone(name)),
            ExprKind::Template(parts) => match parts.as_slice() {
                [TemplatePart::Text(text)] => Some(Arc::clone(text)),
                _ => None,
            },
            _ => None,
        };
        let Some(name) = name else {
            errors.push(Diagnostic::error("wrong-type", "the name of an attribute must be written as it is").at(key.span));
            continue;
        };
        let Some(field) = keep(field(ty, depth), &mut errors) else { continue };
        if fields.insert(Arc::clone(&name), field).is_some() {
            errors.push(Diagnostic::error("duplicate-key", format!("the attribute `{name}` is there twice")).at(key.span));
        }
    }
    if errors.is_empty() { Ok(Type::Object(Arc::new(fields))) } else { Err(errors) }
}

fn field(expr: &Expr, depth: u8) -> Eval<ObjectField> {
    let ExprKind::Call { name, args, expand: false } = &expr.kind else { return required_field(expr, depth) };
    if &**name != "optional" {
        return required_field(expr, depth);
    }
    let (ty, default) = match args.as_slice() {
        [ty] => (read(ty, depth)?, None),
        [ty, default] => {
            let ty = read(ty, depth)?;
            let value = evaluate(default, &Context::new(&Variables::none()))?;
            (ty.clone(), Some(convert(&value, &ty).map_err(|fault| conversion(&fault, default.span))?))
        }
        _ => {
            let diagnostic = Diagnostic::error("wrong-type", "`optional` takes a type and, if you like, a default").at(expr.span);
            return Err(diagnostic.help("write `optional(string, \"x\")`").into());
        }
    };
    Ok(ObjectField { ty, optional: true, default: default.filter(|default| !default.is_null()) })
}

fn required_field(expr: &Expr, depth: u8) -> Eval<ObjectField> {
    Ok(ObjectField { ty: read(expr, depth)?, optional: false, default: None })
}
