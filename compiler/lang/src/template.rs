//! `"…${…}…"` with its directives.

use std::sync::Arc;

use cloudtik_model::{Diagnostics, Expr, ExprKind, Span, TemplatePart, Type, Value};

use crate::evaluate::{Eval, Evaluator, Locals, error, keep, required};
use crate::impure::TURN;
use crate::limits::{BYTES_PER_STEP, MAX_STRING_BYTES};
use crate::repeat::{check_deferred_collection, element_types, iterate};
use crate::residual::{failure, loop_name, operand, residual};

/// A template on its way: the text that is known, and the parts that are not.
#[derive(Default)]
struct Rendered {
    parts: Vec<TemplatePart>,
    /// What is known after the last part.
    text: String,
    bytes: usize,
    sensitive: bool,
}

impl Evaluator<'_> {
    /// A template that is nothing but one interpolation is the value itself, of whatever type.
    pub(crate) fn template(&self, parts: &[TemplatePart], span: Span, locals: Locals<'_>) -> Eval<Value> {
        if let [TemplatePart::Value(expr)] = parts {
            return self.eval(expr, locals);
        }
        let mut rendered = Rendered::default();
        self.render(parts, &mut rendered, span, locals)?;
        Ok(rendered.into_value(span))
    }

    fn render(&self, parts: &[TemplatePart], to: &mut Rendered, span: Span, locals: Locals<'_>) -> Eval<()> {
        let mut errors = Diagnostics::new();
        for part in parts {
            let result = match part {
                TemplatePart::Text(text) => self.text(text, to, span),
                TemplatePart::Value(expr) => self.eval(expr, locals).and_then(|value| self.interpolate(&value, to, expr.span)),
                TemplatePart::If { condition, yes, no } => self.render_if(condition, yes, no, to, locals),
                TemplatePart::For { key_variable, value_variable, collection, body } => {
                    self.render_for((key_variable.as_ref(), value_variable), collection, body, to, locals)
                }
            };
            keep(result, &mut errors);
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn text(&self, text: &str, to: &mut Rendered, span: Span) -> Eval<()> {
        self.session.charge((text.len() / BYTES_PER_STEP) as u64, span)?;
        to.bytes = to.bytes.saturating_add(text.len());
        if to.bytes > MAX_STRING_BYTES {
            return error("limit", format!("the text has more than {MAX_STRING_BYTES} bytes"), span);
        }
        to.text.push_str(text);
        Ok(())
    }

    fn interpolate(&self, value: &Value, to: &mut Rendered, span: Span) -> Eval<()> {
        let value = required(value, &Type::String, span, "a part of the text")?;
        to.sensitive = to.sensitive || value.is_sensitive();
        if let Some(text) = value.as_str() {
            return self.text(text, to, span);
        }
        let expr = operand(&value, span);
        match expr.kind {
            // A template in a template: its text joins ours. One that is a single value would lose its conversion to a string.
            ExprKind::Template(parts) if !matches!(parts.as_slice(), [TemplatePart::Value(_)]) => {
                for part in parts {
                    match part {
                        TemplatePart::Text(text) => self.text(&text, to, span)?,
                        other => self.part(other, to, span)?,
                    }
                }
                Ok(())
            }
            kind => self.part(TemplatePart::Value(Expr::new(kind, expr.span)), to, span),
        }
    }

    fn part(&self, part: TemplatePart, to: &mut Rendered, span: Span) -> Eval<()> {
        self.session.charge(1, span)?;
        to.flush();
        to.parts.push(part);
        Ok(())
    }

    fn render_if(&self, condition: &Expr, yes: &[TemplatePart], no: &[TemplatePart], to: &mut Rendered, locals: Locals<'_>) -> Eval<()> {
        let test = required(&self.eval(condition, locals)?, &Type::Bool, condition.span, "the condition")?;
        to.sensitive = to.sensitive || test.is_sensitive();
        if let Some(truth) = test.as_bool() {
            return self.render(if truth { yes } else { no }, to, condition.span, locals);
        }
        let yes = self.residual_parts(yes, to, condition.span, locals);
        let no = self.residual_parts(no, to, condition.span, locals);
        self.part(TemplatePart::If { condition: operand(&test, condition.span), yes, no }, to, condition.span)
    }

    fn render_for(
        &self,
        (key, item): (Option<&Arc<str>>, &Arc<str>),
        collection: &Expr,
        body: &[TemplatePart],
        to: &mut Rendered,
        locals: Locals<'_>,
    ) -> Eval<()> {
        let span = collection.span;
        let source = self.eval(collection, locals)?;
        to.sensitive = to.sensitive || source.is_sensitive();
        if !source.is_deferred() {
            for (key_value, item_value) in iterate(&source, span)? {
                self.session.charge(1, span)?;
                let key = key.map(|name| (&**name, key_value));
                locals.with(key, (item, item_value), |inner| self.render(body, to, span, inner))?;
            }
            return Ok(());
        }
        check_deferred_collection(&source, span)?;
        let (key_type, item_type) = element_types(&source);
        let variable = |name: &Arc<str>, ty: Type| Value::deferred(ty, Expr::new(ExprKind::Variable(Arc::clone(name)), span));
        let key_variable = key.map(|name| loop_name(name, locals.level));
        let turn = key_variable.clone().unwrap_or_else(|| loop_name(TURN, locals.level));
        let numbered = self.session.numbered();
        let value_variable = loop_name(item, locals.level);
        let key = key.map(|name| &**name).zip(key_variable.as_ref().map(|name| variable(name, key_type)));
        let item = (&**item, variable(&value_variable, item_type));
        let body =
            locals.with(key, item, |inner| inner.in_residual_loop(Arc::clone(&turn), |inner| self.residual_parts(body, to, span, inner)));
        let key_variable = key_variable.or_else(|| (self.session.numbered() > numbered).then_some(turn));
        self.part(TemplatePart::For { key_variable, value_variable, collection: operand(&source, span), body }, to, span)
    }

    /// Parts that may not be wanted: what fails in them fails when they are.
    fn residual_parts(&self, parts: &[TemplatePart], outer: &mut Rendered, span: Span, locals: Locals<'_>) -> Vec<TemplatePart> {
        let mut rendered = Rendered::default();
        if let Err(errors) = self.render(parts, &mut rendered, span, locals) {
            return vec![TemplatePart::Value(failure(&errors, span))];
        }
        rendered.flush();
        outer.sensitive = outer.sensitive || rendered.sensitive;
        rendered.parts
    }
}

impl Rendered {
    /// Makes the text since the last part a part.
    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.parts.push(TemplatePart::Text(std::mem::take(&mut self.text).into()));
        }
    }

    fn into_value(mut self, span: Span) -> Value {
        if self.parts.is_empty() {
            return Value::from(self.text).marked(self.sensitive);
        }
        self.flush();
        let kind = match <[TemplatePart; 1]>::try_from(self.parts) {
            // Only the conversion is left of `"${deferred}${""}"`, and that `null` is refused.
            Ok([part @ TemplatePart::Value(_)]) => ExprKind::Template(vec![part, TemplatePart::Text("".into())]),
            Ok([part]) => ExprKind::Template(vec![part]),
            Err(parts) => ExprKind::Template(parts),
        };
        residual(Type::String, kind, span, self.sensitive)
    }
}
