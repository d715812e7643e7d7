//! What an expression refers to, read off it without evaluating: for the graph of values.

use std::sync::Arc;

use cloudtik_model::{Expr, ExprKind, Key, Span, TemplatePart};

/// A name that an expression uses, and what it takes of it as far as that is written down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The name.
    pub root: Arc<str>,
    /// Steps up to the first that has to be computed.
    pub steps: Vec<ReferenceStep>,
    /// Where it stands.
    pub span: Span,
}

/// A step that is written down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReferenceStep {
    /// `.name`
    Attribute(Arc<str>),
    /// `[0]`, `["key"]`
    Index(Key),
}

/// Every reference of an expression, in the order written. Variables of loops are none.
#[must_use]
pub fn references(expr: &Expr) -> Vec<Reference> {
    let mut found = Vec::new();
    collect(expr, Bound::NOTHING, &mut found);
    found
}

/// The loop variables around an expression.
#[derive(Clone, Copy)]
struct Bound<'b> {
    names: [Option<&'b str>; 2],
    parent: Option<&'b Bound<'b>>,
}

impl<'b> Bound<'b> {
    const NOTHING: Self = Self { names: [None, None], parent: None };

    fn has(&self, name: &str) -> bool {
        self.names.contains(&Some(name)) || self.parent.is_some_and(|parent| parent.has(name))
    }

    fn and(&'b self, key: Option<&'b Arc<str>>, item: &'b str) -> Self {
        Self { names: [key.map(|key| &**key), Some(item)], parent: Some(self) }
    }
}

fn collect(expr: &Expr, bound: Bound<'_>, found: &mut Vec<Reference>) {
    match &expr.kind {
        ExprKind::Variable(_) | ExprKind::Attribute { .. } | ExprKind::Index { .. } => collect_traversal(expr, bound, found),
        ExprKind::Splat { of, each } => {
            collect(of, bound, found);
            collect(each, bound.and(None, ExprKind::SPLAT_VARIABLE), found);
        }
        ExprKind::For(kind) => {
            collect(&kind.collection, bound, found);
            let inner = bound.and(kind.key_variable.as_ref(), &kind.value_variable);
            kind.key.iter().chain([&kind.value]).chain(kind.condition.iter()).for_each(|part| collect(part, inner, found));
        }
        ExprKind::Template(parts) => collect_template(parts, bound, found),
        _ => expr.for_each_child(&mut |child| collect(child, bound, found)),
    }
}

fn collect_template(parts: &[TemplatePart], bound: Bound<'_>, found: &mut Vec<Reference>) {
    for part in parts {
        match part {
            TemplatePart::Text(_) => {}
            TemplatePart::Value(expr) => collect(expr, bound, found),
            TemplatePart::If { condition, yes, no } => {
                collect(condition, bound, found);
                collect_template(yes, bound, found);
                collect_template(no, bound, found);
            }
            TemplatePart::For { key_variable, value_variable, collection, body } => {
                collect(collection, bound, found);
                collect_template(body, bound.and(key_variable.as_ref(), value_variable), found);
            }
        }
    }
}

fn collect_traversal(expr: &Expr, bound: Bound<'_>, found: &mut Vec<Reference>) {
    let mut steps = Vec::new();
    let mut keys = Vec::new();
    let mut span = expr.span;
    let mut current = expr;
    let root = loop {
        match &current.kind {
            ExprKind::Attribute { of, name } => {
                steps.push(ReferenceStep::Attribute(Arc::clone(name)));
                current = of;
            }
            ExprKind::Index { of, key } => {
                if let Some(key) = constant_key(key) {
                    steps.push(ReferenceStep::Index(key));
                } else {
                    // Nothing above a computed key is certain.
                    keys.push(&**key);
                    steps.clear();
                    span = of.span;
                }
                current = of;
            }
            ExprKind::Variable(name) => break Some(name),
            _ => break None,
        }
    };
    match root {
        Some(name) if !bound.has(name) => {
            steps.reverse();
            found.push(Reference { root: Arc::clone(name), steps, span });
        }
        Some(_) => {}
        None => collect(current, bound, found),
    }
    keys.into_iter().rev().for_each(|key| collect(key, bound, found));
}

fn constant_key(key: &Expr) -> Option<Key> {
    match &key.kind {
        ExprKind::Literal(value) => match (value.as_str(), value.as_number()) {
            (Some(text), _) => Some(Key::Name(text.into())),
            (_, Some(number)) => number.as_u64().map(Key::Index),
            _ => None,
        },
        ExprKind::Template(parts) => match parts.as_slice() {
            [TemplatePart::Text(text)] => Some(Key::Name(Arc::clone(text))),
            _ => None,
        },
        _ => None,
    }
}
