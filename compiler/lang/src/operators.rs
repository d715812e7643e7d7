//! `!a`, `-a`, `a + b`, `a && b`.

use std::cmp::Ordering;

use cloudtik_model::{BinaryOp, Diagnostic, Diagnostics, Expr, ExprKind, Number, NumberError, Span, Type, UnaryOp, Value};

use crate::convert;
use crate::evaluate::{Eval, Evaluator, Locals, error, keep, required};
use crate::residual::{operand, operand_or_failure, residual};

impl Evaluator<'_> {
    pub(crate) fn unary(&self, op: UnaryOp, of: &Expr, span: Span, locals: Locals<'_>) -> Eval<Value> {
        let value = self.eval(of, locals)?;
        let (ty, what) = match op {
            UnaryOp::Not => (Type::Bool, "the operand of `!`"),
            UnaryOp::Negate => (Type::Number, "the operand of `-`"),
        };
        let value = required(&value, &ty, of.span, what)?;
        let result = match (op, value.as_bool(), value.as_number()) {
            (UnaryOp::Not, Some(truth), _) => Value::from(!truth),
            (UnaryOp::Negate, _, Some(number)) => Value::from(number.negate()),
            _ => residual(ty, ExprKind::Unary { op, of: operand(&value, of.span).into() }, span, false),
        };
        Ok(result.marked(value.is_sensitive()))
    }

    pub(crate) fn binary(&self, op: BinaryOp, left: &Expr, right: &Expr, span: Span, locals: Locals<'_>) -> Eval<Value> {
        if matches!(op, BinaryOp::And | BinaryOp::Or) {
            return self.logical(op, left, right, span, locals);
        }
        let mut errors = Diagnostics::new();
        let a = keep(self.eval(left, locals), &mut errors);
        let b = keep(self.eval(right, locals), &mut errors);
        let (Some(a), Some(b)) = (a, b) else { return Err(errors) };
        if matches!(op, BinaryOp::Equal | BinaryOp::NotEqual) {
            return self.equality(op, (&a, left.span), (&b, right.span), span);
        }
        if op == BinaryOp::Add && (is_text(&a) || is_text(&b)) {
            return Err(Diagnostic::error("wrong-type", "`+` adds numbers, and this is text")
                .at(if is_text(&a) { left.span } else { right.span })
                .help("text is put together in a template: `\"${first}-${second}\"`")
                .into());
        }
        let what = |side: &str| format!("the {side} operand of `{}`", op.as_str());
        let a = keep(required(&a, &Type::Number, left.span, &what("left")), &mut errors);
        let b = keep(required(&b, &Type::Number, right.span, &what("right")), &mut errors);
        let (Some(a), Some(b)) = (a, b) else { return Err(errors) };
        let sensitive = a.is_sensitive() || b.is_sensitive();
        if let (Some(x), Some(y)) = (a.as_number(), b.as_number()) {
            return match arithmetic(op, x, y) {
                Ok(value) => Ok(value.marked(sensitive)),
                Err(NumberError::DivisionByZero) => error("division-by-zero", "division by zero", right.span),
                Err(fault) => error("number-too-long", fault.to_string(), span),
            };
        }
        let ty = if is_comparison(op) { Type::Bool } else { Type::Number };
        Ok(both(op, (&a, left.span), (&b, right.span), ty, span, sensitive))
    }

    /// Values of different types are not equal: nothing is converted.
    fn equality(&self, op: BinaryOp, a: (&Value, Span), b: (&Value, Span), span: Span) -> Eval<Value> {
        let sensitive = a.0.has_sensitive() || b.0.has_sensitive();
        // What is there is not null, whatever of it is not known yet.
        let against_null = (a.0.is_null() || b.0.is_null()) && !a.0.is_deferred() && !b.0.is_deferred();
        if against_null || a.0.is_known() && b.0.is_known() {
            self.session.charge_value(a.0, span)?;
            return Ok(Value::from((a.0 == b.0) == (op == BinaryOp::Equal)).marked(sensitive));
        }
        Ok(both(op, a, b, Type::Bool, span, sensitive))
    }

    fn logical(&self, op: BinaryOp, left: &Expr, right: &Expr, span: Span, locals: Locals<'_>) -> Eval<Value> {
        let what = |side: &str| format!("the {side} operand of `{}`", op.as_str());
        let a = required(&self.eval(left, locals)?, &Type::Bool, left.span, &what("left"))?;
        if let Some(truth) = a.as_bool()
            && truth == (op == BinaryOp::Or)
        {
            return Ok(a);
        }
        let b = self.eval(right, locals).and_then(|value| required(&value, &Type::Bool, right.span, &what("right")));
        if a.is_known() {
            let b = b?;
            let sensitive = a.is_sensitive() || b.is_sensitive();
            // The operator stays around a deferred side, so that what comes later must be a bool as it must be now.
            return Ok(match b.as_bool() {
                Some(truth) => Value::from(truth).marked(sensitive),
                None => both(op, (&a, left.span), (&b, right.span), Type::Bool, span, sensitive),
            });
        }
        let sensitive = a.is_sensitive() || b.as_ref().is_ok_and(Value::is_sensitive);
        let kind = ExprKind::Binary { op, left: operand(&a, left.span).into(), right: operand_or_failure(&b, right.span).into() };
        Ok(residual(Type::Bool, kind, span, sensitive))
    }
}

/// A text that is no number.
fn is_text(value: &Value) -> bool {
    value.as_str().is_some() && convert(value, &Type::Number).is_err()
}

fn both(op: BinaryOp, a: (&Value, Span), b: (&Value, Span), ty: Type, span: Span, sensitive: bool) -> Value {
    let kind = ExprKind::Binary { op, left: operand(a.0, a.1).into(), right: operand(b.0, b.1).into() };
    residual(ty, kind, span, sensitive)
}

const fn is_comparison(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::Less | BinaryOp::LessEqual | BinaryOp::Greater | BinaryOp::GreaterEqual)
}

fn arithmetic(op: BinaryOp, x: &Number, y: &Number) -> Result<Value, NumberError> {
    let order = x.cmp(y);
    Ok(match op {
        BinaryOp::Add => x.add(y)?.into(),
        BinaryOp::Subtract => x.subtract(y)?.into(),
        BinaryOp::Multiply => x.multiply(y)?.into(),
        BinaryOp::Divide => x.divide(y)?.into(),
        BinaryOp::Remainder => x.remainder(y)?.into(),
        BinaryOp::Less => (order == Ordering::Less).into(),
        BinaryOp::LessEqual => (order != Ordering::Greater).into(),
        BinaryOp::Greater => (order == Ordering::Greater).into(),
        BinaryOp::GreaterEqual => (order != Ordering::Less).into(),
        // The callers send these elsewhere.
        BinaryOp::Equal | BinaryOp::And | BinaryOp::Or => (order == Ordering::Equal).into(),
        BinaryOp::NotEqual => (order != Ordering::Equal).into(),
    })
}
