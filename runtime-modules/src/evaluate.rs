//! Attributes of the manifest as values: evaluated, converted, checked.

use cloudtik_lang::{Context, Scope, convert, evaluate};
use cloudtik_model::{Diagnostic, Diagnostics, Expr, Number, Span, Value, duration_seconds};
use cloudtik_syntax::Block;

use crate::schema::{Kind, Rule, Schema};

/// The attributes of one block under one scope.
pub(crate) struct Reader<'a> {
    pub(crate) block: &'a Block,
    pub(crate) schema: &'a Schema,
    pub(crate) scope: &'a dyn Scope,
}

impl Reader<'_> {
    /// The value of an attribute: null when it is not there, `None` after an error.
    pub(crate) fn value(&self, name: &str, found: &mut Diagnostics) -> Option<Value> {
        let Some(attribute) = self.block.body.attribute(name) else { return Some(Value::NULL) };
        let rule = self.schema.rule(name)?;
        expression(&attribute.value, name, rule.kind, self.scope, found)
    }

    /// The value of an attribute that must be known before a node is there.
    pub(crate) fn known(&self, name: &str, found: &mut Diagnostics) -> Option<Value> {
        let value = self.value(name, found)?;
        if value.is_known() {
            return Some(value);
        }
        found.push(unknown(name, self.span(name)));
        None
    }

    /// A text that must be known.
    pub(crate) fn text(&self, name: &str, found: &mut Diagnostics) -> Option<Option<String>> {
        Some(self.known(name, found)?.as_str().map(str::to_owned))
    }

    /// A list of texts that must be known; empty when it is not there.
    pub(crate) fn texts(&self, name: &str, found: &mut Diagnostics) -> Option<Vec<String>> {
        let value = self.known(name, found)?;
        Some(value.elements().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect())
    }

    /// A duration in seconds that must be known.
    pub(crate) fn seconds(&self, name: &str, default: u64, found: &mut Diagnostics) -> Option<u64> {
        Some(self.known(name, found)?.as_str().and_then(duration_seconds).unwrap_or(default))
    }

    /// A whole number that must be known.
    pub(crate) fn count(&self, name: &str, default: u64, found: &mut Diagnostics) -> Option<u64> {
        Some(self.known(name, found)?.as_number().and_then(Number::as_u64).unwrap_or(default))
    }

    /// Where an attribute stands, or its block.
    pub(crate) fn span(&self, name: &str) -> Span {
        self.block.body.attribute(name).map_or(self.block.header, |attribute| attribute.value.span)
    }
}

/// What is said of a value that only a node knows, where it must be known before.
pub(crate) fn unknown(name: &str, span: Span) -> Diagnostic {
    Diagnostic::error("unknown-at-plan", format!("`{name}` must be known when the plan is made"))
        .at(span)
        .note("it depends on what only the node, or another resource, can tell")
}

/// The value of an expression as its kind wants it.
pub(crate) fn expression(expr: &Expr, name: &str, kind: Kind, scope: &dyn Scope, found: &mut Diagnostics) -> Option<Value> {
    let value = match evaluate(expr, &Context::new(scope)) {
        Ok(value) => value,
        Err(diagnostics) => {
            found.extend(diagnostics);
            return None;
        }
    };
    let value = match convert(&value, &kind.ty()) {
        Ok(value) => value,
        Err(fault) => {
            found.push(Diagnostic::error("wrong-type", format!("`{name}`: {fault}")).at(expr.span).maybe_help(fault.help));
            return None;
        }
    };
    if let Some(problem) = problem(&value, kind) {
        found.push(Diagnostic::error("bad-value", format!("`{name}`: {problem}")).at(expr.span));
        return None;
    }
    if matches!(kind, Kind::Texts | Kind::TextMap) && has_null(&value) {
        found.push(Diagnostic::error("null-value", format!("an element of `{name}` is null")).at(expr.span));
        return None;
    }
    Some(value)
}

fn has_null(value: &Value) -> bool {
    value.elements().into_iter().flatten().any(Value::is_null)
        || value.entries().is_some_and(|entries| entries.values().any(Value::is_null))
}

/// What is wrong with a value beyond its type.
fn problem(value: &Value, kind: Kind) -> Option<&'static str> {
    if value.is_null() || !value.is_known() {
        return None;
    }
    let number = value.as_number().and_then(Number::as_u64);
    let text = value.as_str().unwrap_or_default();
    match kind {
        Kind::Count if number.is_none() => Some("a whole number from 0 is needed"),
        Kind::Port if !number.is_some_and(|port| (1..=65_535).contains(&port)) => Some("a port is a whole number from 1 to 65535"),
        Kind::Duration if duration_seconds(text).is_none() => Some("a duration is written with units, as in \"90s\" or \"1h30m\""),
        Kind::Mode if !is_mode(text) => Some("a mode is written in octal, as in \"0644\""),
        _ => None,
    }
}

fn is_mode(text: &str) -> bool {
    (3..=4).contains(&text.len()) && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit))
}

/// The rule of an attribute that a schema has.
pub(crate) fn kind_of(schema: &Schema, name: &str) -> Kind {
    schema.rule(name).map_or(Kind::Free, |rule: &Rule| rule.kind)
}
