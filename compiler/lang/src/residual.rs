//! Residual expressions: how they are made, how one says that it will fail, and how large they may become.

use std::sync::Arc;

use cloudtik_model::{Deferred, Diagnostic, Diagnostics, Expr, ExprKind, Span, TemplatePart, Type, Value, ValueKind};

use crate::evaluate::Eval;
use crate::limits::{MAX_RESIDUAL_LEVELS, MAX_RESIDUAL_NODES};

/// The function that fails with its argument as the message. No source can name it. It stands for a part whose evaluation failed but
/// whose value may never be asked for: the branch of a conditional, the body of a `for` over nothing.
pub(crate) const FAIL: &str = "$fail";

/// A deferred value.
pub(crate) fn residual(ty: Type, kind: ExprKind, span: Span, sensitive: bool) -> Value {
    Value::deferred(ty, Expr::new(kind, span)).marked(sensitive)
}

/// The expression of an operand, with the place where it stands if it has none of its own.
pub(crate) fn operand(value: &Value, span: Span) -> Expr {
    let mut expr = value.to_expr();
    if expr.span.is_none() {
        expr.span = span;
    }
    expr
}

/// An operand, or the expression that will fail as it failed.
pub(crate) fn operand_or_failure(value: &Eval<Value>, span: Span) -> Expr {
    match value {
        Ok(value) => operand(value, span),
        Err(errors) => failure(errors, span),
    }
}

/// The expression that fails with the first of the errors.
pub(crate) fn failure(errors: &Diagnostics, span: Span) -> Expr {
    let first = errors.iter().find(|diagnostic| diagnostic.is_error());
    let title = first.map_or("the evaluation failed", |diagnostic| &diagnostic.title);
    let place = first.and_then(|diagnostic| diagnostic.primary.as_ref()).map_or(span, |label| label.span);
    Expr::new(ExprKind::Call { name: FAIL.into(), args: vec![Expr::literal(title)], expand: false }, place)
}

/// The name of a loop variable in a residue. Levels count the residual loops around it, so two loops never share a name where one
/// could be seen in the other, and the same expression always gives the same names.
pub(crate) fn loop_name(name: &str, level: u16) -> Arc<str> {
    let base = name.split('#').next().unwrap_or(name);
    format!("{base}#{level}").into()
}

/// Refuses values whose residue could not be written to disk and read back.
pub(crate) fn check_size(value: &Value, span: Span) -> Eval<()> {
    if value.is_known() {
        return Ok(());
    }
    let mut measure = Measure { nodes: 0 };
    let fault = match measure.value(value, 0) {
        Ok(()) => return Ok(()),
        Err(fault) => fault,
    };
    let title = match fault {
        TooMuch::Levels => "what is left to evaluate later is nested too deeply",
        TooMuch::Nodes => "what is left to evaluate later is too large",
    };
    let help = "split the expression, or make more of what it uses known before apply";
    Err(Diagnostic::error("residue-too-large", title).at(span).help(help).into())
}

enum TooMuch {
    Levels,
    Nodes,
}

struct Measure {
    nodes: u32,
}

impl Measure {
    fn count(&mut self, levels: u32) -> Result<(), TooMuch> {
        self.nodes += 1;
        match (levels > MAX_RESIDUAL_LEVELS, self.nodes > MAX_RESIDUAL_NODES) {
            (true, _) => Err(TooMuch::Levels),
            (_, true) => Err(TooMuch::Nodes),
            _ => Ok(()),
        }
    }

    /// Levels are those of the JSON that `model` writes: a form is an object around its content.
    fn value(&mut self, value: &Value, levels: u32) -> Result<(), TooMuch> {
        self.count(levels)?;
        if value.is_known() {
            return Ok(());
        }
        match value.kind() {
            ValueKind::Deferred(deferred) => {
                let Deferred { expr, .. } = &**deferred;
                self.expr(expr, levels + 3)
            }
            ValueKind::Map(items) | ValueKind::Object(items) => items.values().try_for_each(|item| self.value(item, levels + 2)),
            _ => value.elements().into_iter().flatten().try_for_each(|item| self.value(item, levels + 2)),
        }
    }

    fn expr(&mut self, expr: &Expr, levels: u32) -> Result<(), TooMuch> {
        self.count(levels)?;
        match &expr.kind {
            ExprKind::Literal(value) => self.value(value, levels + 1),
            ExprKind::Template(parts) => self.parts(parts, levels + 2),
            _ => {
                let mut result = Ok(());
                expr.for_each_child(&mut |child| {
                    if result.is_ok() {
                        result = self.expr(child, levels + 3);
                    }
                });
                result
            }
        }
    }

    fn parts(&mut self, parts: &[TemplatePart], levels: u32) -> Result<(), TooMuch> {
        for part in parts {
            self.count(levels)?;
            match part {
                TemplatePart::Text(_) => {}
                TemplatePart::Value(expr) => self.expr(expr, levels + 1)?,
                TemplatePart::If { condition, yes, no } => {
                    self.expr(condition, levels + 2)?;
                    self.parts(yes, levels + 3)?;
                    self.parts(no, levels + 3)?;
                }
                TemplatePart::For { collection, body, .. } => {
                    self.expr(collection, levels + 2)?;
                    self.parts(body, levels + 3)?;
                }
            }
        }
        Ok(())
    }
}
