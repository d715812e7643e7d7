//! Functions whose results no spec determines: `timestamp`, `uuid`, `bcrypt`, `plantimestamp`.
//!
//! The evaluator reads no clock and draws nothing. While a spec is compiled, a call becomes a residue with a number of its own; when the
//! plan is carried out, its value follows from that number and from the [`Moment`] of the run. So one call is one value wherever it went,
//! however often it is worked out, and two calls are two.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use cloudtik_model::{Expr, ExprKind, Span, Type, Value};
use sha2::{Digest as _, Sha256};

use crate::evaluate::{Eval, Evaluator, Locals, error, required};
use crate::functions::bcrypt;
use crate::functions::hash::uuid_text;
use crate::residual::{operand, residual};

/// Before the name of a function whose call waits for apply. No source can write it.
const MARK: char = '$';

/// The variable that counts the turns of a residual loop that has none, where a call in it needs one.
pub(crate) const TURN: &str = "$turn";

/// When a plan is carried out, and what is drawn then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// The time, as RFC 3339 writes it: what `timestamp` gives.
    pub time: Arc<str>,
    /// Different in every run, and hard to guess: what `uuid` and the salt of `bcrypt` are drawn from.
    pub seed: Arc<str>,
}

/// The numbers of the calls of one compilation, and the time of the plan.
#[derive(Debug)]
pub struct Planning {
    time: Arc<str>,
    calls: Cell<u64>,
    shows_time: Cell<bool>,
}

impl Planning {
    /// A plan that is made at that time, as RFC 3339 writes it.
    #[must_use]
    pub fn new(time: impl Into<Arc<str>>) -> Self {
        Self { time: time.into(), calls: Cell::new(0), shows_time: Cell::new(false) }
    }

    /// Whether something was made from the time of the plan.
    #[must_use]
    pub const fn shows_time(&self) -> bool {
        self.shows_time.get()
    }

    pub(crate) const fn calls(&self) -> u64 {
        self.calls.get()
    }
}

/// What impure functions give.
#[derive(Clone, Copy, Debug)]
pub enum Impure<'a> {
    /// None may be called; calls that wait for apply go on waiting.
    None,
    /// A spec is compiled.
    Planned(&'a Planning),
    /// A plan is carried out.
    Applied(&'a Moment),
}

/// One of the functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImpureFunction {
    Bcrypt,
    PlanTimestamp,
    Timestamp,
    Uuid,
}

impl ImpureFunction {
    const ALL: [Self; 4] = [Self::Bcrypt, Self::PlanTimestamp, Self::Timestamp, Self::Uuid];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bcrypt => "bcrypt",
            Self::PlanTimestamp => "plantimestamp",
            Self::Timestamp => "timestamp",
            Self::Uuid => "uuid",
        }
    }

    /// The function whose call waits for apply under this name.
    pub(crate) fn waiting(name: &str) -> Option<Self> {
        let name = name.strip_prefix(MARK)?;
        Self::ALL.into_iter().find(|function| function.name() == name)
    }
}

/// The impure functions whose results the value waits for.
#[must_use]
pub fn impure_calls(value: &Value) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    value.for_each_deferred(&mut |deferred| calls_in(&deferred.expr, &mut found));
    found
}

fn calls_in(expr: &Expr, found: &mut BTreeSet<&'static str>) {
    match &expr.kind {
        ExprKind::Literal(value) => found.extend(impure_calls(value)),
        ExprKind::Call { name, .. } => found.extend(ImpureFunction::waiting(name).map(ImpureFunction::name)),
        _ => {}
    }
    expr.for_each_child(&mut |child| calls_in(child, found));
}

impl Evaluator<'_> {
    /// A call that a source writes.
    pub(crate) fn impure(&self, function: ImpureFunction, args: &[(Value, Span)], span: Span, locals: Locals<'_>) -> Eval<Value> {
        let number = match (self.session.impure, function) {
            (Impure::Planned(planning), ImpureFunction::PlanTimestamp) => {
                planning.shows_time.set(true);
                return Ok(Arc::clone(&planning.time).into());
            }
            (Impure::Planned(planning), _) => {
                planning.calls.set(planning.calls.get() + 1);
                planning.calls.get()
            }
            // What a text says that is read while a plan is carried out has no number.
            (Impure::None | Impure::Applied(_), _) => {
                let title = format!("`{}` cannot be called here: its value would be another one each time", function.name());
                return error("impure-call", title, span);
            }
        };
        let mut which = vec![Expr::literal(number)];
        which.extend(locals.turns().map(|turn| Expr::new(ExprKind::Variable(Arc::clone(turn)), span)));
        let which = Expr::new(ExprKind::Tuple(which), span);
        let marked = args.iter().any(|(value, _)| value.is_sensitive());
        Ok(waiting(function, which, args, span, marked))
    }

    /// A call that waits for apply: the first argument says which one it is.
    pub(crate) fn impure_again(&self, function: ImpureFunction, args: &[Expr], span: Span, locals: Locals<'_>) -> Eval<Value> {
        let mut values: Vec<(Value, Span)> = self.all(args, locals)?.into_iter().zip(args.iter().map(|arg| arg.span)).collect();
        if values.is_empty() {
            return error("internal", "the call does not say which one it is", span);
        }
        let which = values.remove(0).0;
        let marked = values.iter().any(|(value, _)| value.is_sensitive());
        match self.session.impure {
            Impure::Applied(moment) if which.is_known() && values.iter().all(|(value, _)| value.is_known()) => {
                let drawn = || drawn(moment, &which);
                let value: Value = match function {
                    ImpureFunction::Timestamp | ImpureFunction::PlanTimestamp => Arc::clone(&moment.time).into(),
                    ImpureFunction::Uuid => uuid_text(&drawn(), 4).into(),
                    ImpureFunction::Bcrypt => self.bcrypt(&drawn(), &values, span)?.into(),
                };
                Ok(value.marked(marked))
            }
            _ => Ok(waiting(function, operand(&which, span), &values, span, marked)),
        }
    }

    fn bcrypt(&self, drawn: &[u8; 32], values: &[(Value, Span)], span: Span) -> Eval<String> {
        let (Some((text, place)), cost) = (values.first(), values.get(1)) else { return error("internal", "nothing to hash", span) };
        let text = required(text, &Type::String, *place, "the text")?;
        let cost = cost.map(|(cost, place)| required(cost, &Type::Number, *place, "the cost").map(|cost| (cost, *place))).transpose()?;
        let number = cost.as_ref().and_then(|(cost, _)| cost.as_number()?.as_i64());
        let place = cost.map_or(*place, |(_, place)| place);
        let mut salt = [0; 16];
        salt.iter_mut().zip(drawn).for_each(|(to, from)| *to = *from);
        bcrypt::hashed(text.as_str().unwrap_or_default(), number, salt)
            .or_else(|problem| error("call-failed", format!("`bcrypt`: {problem}"), place))
    }
}

fn waiting(function: ImpureFunction, which: Expr, args: &[(Value, Span)], span: Span, marked: bool) -> Value {
    let args = std::iter::once(which).chain(args.iter().map(|(value, place)| operand(value, *place))).collect();
    let name = format!("{MARK}{}", function.name()).into();
    residual(Type::String, ExprKind::Call { name, args, expand: false }, span, marked)
}

/// The bytes that one call has in one run.
fn drawn(moment: &Moment, which: &Value) -> [u8; 32] {
    let which = crate::to_json_text(which).unwrap_or_default();
    Sha256::new().chain_update(moment.seed.as_bytes()).chain_update([0]).chain_update(which.as_bytes()).finalize().into()
}
