//! The evaluator: what every kind of expression is worth, as far as it can be known.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_model::{Diagnostic, Diagnostics, Expr, ExprKind, Span, Type, Value, ValueKind};

use crate::impure::Impure;
use crate::limits::{BYTES_PER_STEP, MAX_ELEMENTS, MAX_EVALUATION_DEPTH, MAX_SPECULATIVE_WORK, MAX_WORK};
use crate::residual::{check_size, operand, residual};
use crate::scope::{Context, Files, Scope};
use crate::unify::{can_convert, has_open_type};
use crate::{ConvertError, convert};

/// The result of every part of the evaluator: independent errors are collected.
pub(crate) type Eval<T> = Result<T, Diagnostics>;

/// The value of an expression. Parts that nobody knows yet are deferred.
///
/// # Errors
/// Everything that is wrong in it, each at its place.
pub fn evaluate(expr: &Expr, context: &Context<'_>) -> Result<Value, Diagnostics> {
    let session = Session::new(context);
    let evaluator = Evaluator { session: &session, scope: context.scope, template_depth: 0 };
    let value = evaluator.eval(expr, Locals::NONE)?;
    check_size(&value, expr.span)?;
    Ok(value)
}

/// The value with its deferred parts evaluated again. What is still not known stays deferred.
///
/// # Errors
/// Everything that fails now that more is known.
pub fn resolve(value: &Value, context: &Context<'_>) -> Result<Value, Diagnostics> {
    if value.is_known() {
        return Ok(value.clone());
    }
    let session = Session::new(context);
    let evaluator = Evaluator { session: &session, scope: context.scope, template_depth: 0 };
    let resolved = checked(evaluator.literal(value, Locals::NONE)?, Span::NONE)?;
    check_size(&resolved, Span::NONE)?;
    Ok(resolved)
}

/// What the evaluators of one call of [`evaluate`] share, templates that it reads included.
pub(crate) struct Session<'a> {
    pub(crate) files: Option<&'a dyn Files>,
    pub(crate) impure: Impure<'a>,
    /// Templates that were parsed, by path.
    pub(crate) templates: RefCell<BTreeMap<Arc<str>, Arc<Expr>>>,
    /// Set while a branch that is not taken is evaluated for its type: it reads no file.
    speculative: Cell<bool>,
    work: Cell<u64>,
    /// Where work ends: lower while it is speculative.
    most_work: Cell<u64>,
}

impl<'a> Session<'a> {
    fn new(context: &Context<'a>) -> Self {
        Self {
            files: context.files,
            impure: context.impure,
            templates: RefCell::default(),
            speculative: Cell::new(false),
            work: Cell::new(0),
            most_work: Cell::new(MAX_WORK),
        }
    }

    /// How many calls have a number. Those of a residual loop must know its turn.
    pub(crate) const fn numbered(&self) -> u64 {
        if let Impure::Planned(planning) = self.impure { planning.calls() } else { 0 }
    }

    /// Counts steps.
    pub(crate) fn charge(&self, steps: u64, span: Span) -> Eval<()> {
        let work = self.work.get().saturating_add(steps);
        self.work.set(work);
        if work <= self.most_work.get() {
            return Ok(());
        }
        error("limit", format!("the evaluation takes more than {MAX_WORK} steps"), span)
    }

    /// Counts what it costs to walk or to copy this value as a whole.
    pub(crate) fn charge_value(&self, value: &Value, span: Span) -> Eval<()> {
        match value.kind() {
            ValueKind::String(text) => self.charge((text.len() / BYTES_PER_STEP) as u64, span),
            ValueKind::Map(items) | ValueKind::Object(items) => {
                self.charge(items.len() as u64, span)?;
                items.values().try_for_each(|item| self.charge_value(item, span))
            }
            ValueKind::List(items) | ValueKind::Tuple(items) => {
                self.charge(items.len() as u64, span)?;
                items.iter().try_for_each(|item| self.charge_value(item, span))
            }
            ValueKind::Set(items) => {
                self.charge(items.len() as u64, span)?;
                items.iter().try_for_each(|item| self.charge_value(item, span))
            }
            ValueKind::Null(_) | ValueKind::Bool(_) | ValueKind::Number(_) | ValueKind::Deferred(_) => Ok(()),
        }
    }

    pub(crate) fn is_speculative(&self) -> bool {
        self.speculative.get()
    }
}

/// The variables of the loops around an expression.
#[derive(Clone, Copy)]
pub(crate) struct Locals<'l> {
    frame: Option<&'l Frame<'l>>,
    turns: Option<&'l Turn<'l>>,
    /// How many residual loops are around.
    pub(crate) level: u16,
    /// How many expressions are around.
    pub(crate) depth: u16,
}

struct Frame<'l> {
    name: &'l str,
    value: Value,
    parent: Option<&'l Frame<'l>>,
}

/// What counts the turns of a residual loop.
pub(crate) struct Turn<'l> {
    variable: Arc<str>,
    outer: Option<&'l Turn<'l>>,
}

impl Locals<'_> {
    pub(crate) const NONE: Self = Self { frame: None, turns: None, level: 0, depth: 0 };

    /// The variables that count the turns of the residual loops around, the innermost one first.
    pub(crate) fn turns(&self) -> impl Iterator<Item = &Arc<str>> {
        std::iter::successors(self.turns, |turn| turn.outer).map(|turn| &turn.variable)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        let mut frame = self.frame;
        while let Some(current) = frame {
            if current.name == name {
                return Some(&current.value);
            }
            frame = current.parent;
        }
        None
    }

    /// Calls `f` with one or two more variables.
    pub(crate) fn with<T>(self, key: Option<(&str, Value)>, item: (&str, Value), f: impl FnOnce(Locals<'_>) -> T) -> T {
        let key = key.map(|(name, value)| Frame { name, value, parent: self.frame });
        let item = Frame { name: item.0, value: item.1, parent: key.as_ref().or(self.frame) };
        f(Locals { frame: Some(&item), ..self })
    }

    /// The same place, but none of the variables: for a template, which has names of its own.
    pub(crate) const fn without_variables(self) -> Self {
        Self { frame: None, ..self }
    }

    /// Calls `f` inside one more residual loop, whose turns that variable counts.
    pub(crate) fn in_residual_loop<T>(self, turn: Arc<str>, f: impl FnOnce(Locals<'_>) -> T) -> T {
        let turn = Turn { variable: turn, outer: self.turns };
        f(Locals { turns: Some(&turn), level: self.level.saturating_add(1), ..self })
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Evaluator<'a> {
    pub(crate) session: &'a Session<'a>,
    pub(crate) scope: &'a dyn Scope,
    pub(crate) template_depth: u16,
}

impl Evaluator<'_> {
    pub(crate) fn eval(&self, expr: &Expr, mut locals: Locals<'_>) -> Eval<Value> {
        self.session.charge(1, expr.span)?;
        locals.depth += 1;
        if locals.depth > MAX_EVALUATION_DEPTH {
            return error("limit", format!("the expression is nested deeper than {MAX_EVALUATION_DEPTH} levels"), expr.span);
        }
        match &expr.kind {
            ExprKind::Literal(value) => self.literal(value, locals),
            ExprKind::Variable(_) | ExprKind::Attribute { .. } | ExprKind::Index { .. } => self.traversal(expr, locals),
            ExprKind::Reference(address) => Ok(self.scope.reference(address).unwrap_or_else(|| Value::deferred(Type::Any, expr.clone()))),
            ExprKind::Late(name) => Ok(self.scope.late(name).unwrap_or_else(|| Value::deferred(name.ty(), expr.clone()))),
            ExprKind::Fact(_) => Ok(Value::deferred(Type::Any, expr.clone())),
            ExprKind::Template(parts) => self.template(parts, expr.span, locals),
            ExprKind::Splat { of, each } => self.splat(of, each, expr.span, locals),
            ExprKind::Unary { op, of } => self.unary(*op, of, expr.span, locals),
            ExprKind::Binary { op, left, right } => self.binary(*op, left, right, expr.span, locals),
            ExprKind::Conditional { condition, yes, no } => self.conditional(condition, yes, no, expr.span, locals),
            ExprKind::Tuple(items) => checked(Value::tuple(self.all(items, locals)?), expr.span),
            ExprKind::Object(items) => self.object(items, expr.span, locals),
            ExprKind::For(kind) => self.for_expression(kind, expr.span, locals),
            ExprKind::Call { name, args, expand } => self.call(name, args, *expand, expr.span, locals),
            ExprKind::Convert { to, of } => {
                let value = self.eval(of, locals)?;
                self.session.charge_value(&value, expr.span)?;
                convert(&value, to).map_err(|fault| conversion(&fault, expr.span))
            }
        }
    }

    /// A literal of a residue may hold deferred parts.
    pub(crate) fn literal(&self, value: &Value, locals: Locals<'_>) -> Eval<Value> {
        if value.is_known() {
            return Ok(value.clone());
        }
        self.session.charge_value(value, Span::NONE)?;
        value.try_map_deferred(&mut |deferred| {
            let now = self.eval(&deferred.expr, locals)?;
            // The residue of `reference.attribute` does not say its type; the value did.
            Ok(match now.as_deferred() {
                Some(again) if again.ty == Type::Any => Value::deferred(deferred.ty.clone(), again.expr.clone()).marked(now.is_sensitive()),
                _ => now,
            })
        })
    }

    /// The values of independent expressions, or all their errors.
    pub(crate) fn all<'e>(&self, items: impl IntoIterator<Item = &'e Expr>, locals: Locals<'_>) -> Eval<Vec<Value>> {
        let mut errors = Diagnostics::new();
        let values: Vec<Value> = items.into_iter().filter_map(|item| keep(self.eval(item, locals), &mut errors)).collect();
        if errors.is_empty() { Ok(values) } else { Err(errors) }
    }

    /// The value of an expression for the sake of its type. Its errors do not count, and it reads no file.
    pub(crate) fn speculate(&self, expr: &Expr, locals: Locals<'_>) -> Option<Value> {
        let session = self.session;
        let outer = session.speculative.replace(true);
        let most = session.most_work.get();
        session.most_work.set(most.min(session.work.get().saturating_add(MAX_SPECULATIVE_WORK)));
        let value = self.eval(expr, locals);
        session.most_work.set(most);
        session.speculative.set(outer);
        value.ok()
    }

    fn object(&self, items: &[(Expr, Expr)], span: Span, locals: Locals<'_>) -> Eval<Value> {
        let mut errors = Diagnostics::new();
        let mut pairs = Vec::with_capacity(items.len());
        for (key, item) in items {
            let name = self.eval(key, locals).and_then(|name| required(&name, &Type::String, key.span, "the key"));
            if let (Some(name), Some(value)) = (keep(name, &mut errors), keep(self.eval(item, locals), &mut errors)) {
                pairs.push((name, value));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let sensitive = pairs.iter().any(|(name, _)| name.is_sensitive());
        if pairs.iter().any(|(name, _)| name.is_deferred()) {
            let sensitive = sensitive || pairs.iter().any(|(_, value)| value.has_sensitive());
            let pairs = pairs.iter().zip(items).map(|((n, v), (key, item))| (operand(n, key.span), operand(v, item.span))).collect();
            return Ok(residual(Type::Any, ExprKind::Object(pairs), span, sensitive));
        }
        let named = pairs.into_iter().filter_map(|(name, value)| Some((Arc::<str>::from(name.as_str()?), value)));
        checked(Value::object(named).marked(sensitive), span)
    }
}

/// The value of a result; its errors go to the others.
pub(crate) fn keep<T>(result: Eval<T>, errors: &mut Diagnostics) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(more) => {
            errors.extend(more);
            None
        }
    }
}

/// An error at a place.
pub(crate) fn error<T>(code: &'static str, title: impl Into<String>, span: Span) -> Eval<T> {
    Err(Diagnostic::error(code, title).at(span).into())
}

/// What a conversion says, at a place.
pub(crate) fn conversion(fault: &ConvertError, span: Span) -> Diagnostics {
    Diagnostic::error("wrong-type", fault.to_string()).at(span).maybe_help(fault.help.clone()).into()
}

/// A value that an operation can only use as this type, and not as `null`. A deferred one stays as it is, unless its type already says
/// that it cannot be.
pub(crate) fn required(value: &Value, to: &Type, span: Span, what: &str) -> Eval<Value> {
    if value.is_null() {
        return error("null-value", format!("{what} is null"), span);
    }
    if let Some(deferred) = value.as_deferred()
        && can_convert(&deferred.ty, to)
    {
        return Ok(value.clone());
    }
    convert(value, to).map_err(|fault| {
        let title = format!("{what}: {fault}");
        Diagnostic::error("wrong-type", title).at(span).maybe_help(fault.help).into()
    })
}

/// Refuses what is nested too deeply or has too many elements.
pub(crate) fn checked(value: Value, span: Span) -> Eval<Value> {
    if value.is_too_deep() {
        return error("limit", format!("the value is nested deeper than {} levels", cloudtik_model::MAX_DEPTH), span);
    }
    let count = value.elements().map(|elements| elements.len()).or_else(|| value.entries().map(BTreeMap::len));
    if count.is_some_and(|count| count > MAX_ELEMENTS) {
        return error("limit", format!("the value has more than {MAX_ELEMENTS} elements"), span);
    }
    Ok(value)
}

/// The type of a value, if nothing deferred in it leaves it open.
pub(crate) fn exact_type(value: &Value) -> Option<Type> {
    if has_open_type(value) { None } else { Some(value.ty()) }
}
