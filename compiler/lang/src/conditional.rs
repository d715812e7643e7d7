//! `condition ? yes : no`.

use cloudtik_model::{Diagnostic, Diagnostics, Expr, ExprKind, Span, Type, Value};

use crate::convert;
use crate::evaluate::{Eval, Evaluator, Locals, conversion, exact_type, required};
use crate::residual::{operand, operand_or_failure, residual};
use crate::unify::unify;

impl Evaluator<'_> {
    /// The branch that is not taken is looked at for its type only: what is wrong in it does not matter, and it reads no file.
    pub(crate) fn conditional(&self, condition: &Expr, yes: &Expr, no: &Expr, span: Span, locals: Locals<'_>) -> Eval<Value> {
        let test = required(&self.eval(condition, locals)?, &Type::Bool, condition.span, "the condition")?;
        let Some(truth) = test.as_bool() else { return self.open_conditional(&test, condition, yes, no, span, locals) };
        let (taken, other) = if truth { (yes, no) } else { (no, yes) };
        let value = self.eval(taken, locals)?;
        let value = match self.speculate(other, locals) {
            Some(other) => {
                self.session.charge_value(&value, span)?;
                with_common_type(value, &other, truth, span)?
            }
            None => value,
        };
        Ok(value.marked(test.is_sensitive()))
    }

    /// A branch that fails now fails when it is taken; when both do, there is no need to wait.
    fn open_conditional(&self, test: &Value, condition: &Expr, yes: &Expr, no: &Expr, span: Span, locals: Locals<'_>) -> Eval<Value> {
        let (yes_value, no_value) = (self.eval(yes, locals), self.eval(no, locals));
        if let (Err(first), Err(second)) = (&yes_value, &no_value) {
            return Err(first.iter().chain(second.iter()).cloned().collect());
        }
        let marked = |value: &Eval<Value>| value.as_ref().is_ok_and(Value::has_sensitive);
        let sensitive = test.is_sensitive() || marked(&yes_value) || marked(&no_value);
        let ty = match (&yes_value, &no_value) {
            (Ok(a), Ok(b)) => branch_type(a, b, span)?,
            (Ok(one), Err(_)) | (Err(_), Ok(one)) => exact_type(one).unwrap_or(Type::Any),
            (Err(_), Err(_)) => Type::Any,
        };
        let kind = ExprKind::Conditional {
            condition: operand(test, condition.span).into(),
            yes: operand_or_failure(&yes_value, yes.span).into(),
            no: operand_or_failure(&no_value, no.span).into(),
        };
        Ok(residual(ty, kind, span, sensitive))
    }
}

/// The type of the result when nobody knows which branch it is.
fn branch_type(yes: &Value, no: &Value, span: Span) -> Eval<Type> {
    match (exact_type(yes), exact_type(no)) {
        (Some(a), Some(b)) => unify(&a, &b).ok_or_else(|| inconsistent(yes, no, span)),
        _ => Ok(Type::Any),
    }
}

/// The branch that is taken, as the type that both can have. When the type of one is not known yet, it stays as it is.
fn with_common_type(value: Value, other: &Value, truth: bool, span: Span) -> Eval<Value> {
    let (Some(own), Some(others)) = (exact_type(&value), exact_type(other)) else { return Ok(value) };
    if own == others {
        return Ok(value);
    }
    let Some(common) = unify(&own, &others) else {
        return Err(if truth { inconsistent(&value, other, span) } else { inconsistent(other, &value, span) });
    };
    if common == own {
        return Ok(value);
    }
    convert(&value, &common).map_err(|fault| conversion(&fault, span))
}

fn inconsistent(yes: &Value, no: &Value, span: Span) -> Diagnostics {
    let mut title = "the two results of the conditional have different types".to_owned();
    if !yes.has_sensitive() && !no.has_sensitive() {
        // The names in an object's type may be as secret as what they stand for.
        title = format!("{title}: `{}` and `{}`", yes.ty(), no.ty());
    }
    Diagnostic::error("inconsistent-types", title).at(span).help("convert one of them, as in `tostring(…)`").into()
}
