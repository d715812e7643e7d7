//! How a call is evaluated: arguments, their number and types, what is not known, marks, limits.

use cloudtik_model::{Diagnostic, Diagnostics, Expr, ExprKind, Span, Type, Value};

use super::{Body, Cost, Fault, Function, Marks, Special, Wants, find, suggest};
use crate::convert;
use crate::evaluate::{Eval, Evaluator, Locals, checked, error, exact_type, keep};
use crate::impure::ImpureFunction;
use crate::limits::MAX_STRING_BYTES;
use crate::residual::{FAIL, operand, residual};
use crate::unify::{can_convert, has_open_type};

/// The arguments of a call.
struct Arguments {
    values: Vec<(Value, Span)>,
    /// The last one stands for elements that are not known yet.
    expand: bool,
}

impl Evaluator<'_> {
    pub(crate) fn call(&self, name: &str, args: &[Expr], expand: bool, span: Span, locals: Locals<'_>) -> Eval<Value> {
        if name == FAIL {
            let message = args.first().and_then(|arg| if let ExprKind::Literal(text) = &arg.kind { text.as_str() } else { None });
            return error("call-failed", message.unwrap_or("the evaluation failed"), span);
        }
        if let Some(function) = ImpureFunction::waiting(name) {
            return self.impure_again(function, args, span, locals);
        }
        let Some(function) = find(name) else {
            let diagnostic = Diagnostic::error("unknown-function", format!("there is no function `{name}`")).at(name_span(span, name));
            return Err(diagnostic.maybe_help(suggest(name)).into());
        };
        match function.body {
            Body::Special(Special::Try) if !expand => self.try_call(function, args, span, locals),
            Body::Special(Special::Can) if !expand => self.can_call(function, args, span, locals),
            _ => {
                let arguments = self.arguments(args, expand, locals)?;
                self.call_with(function, arguments, span, locals)
            }
        }
    }

    fn arguments(&self, args: &[Expr], expand: bool, locals: Locals<'_>) -> Eval<Arguments> {
        let values = self.all(args, locals)?;
        let mut values: Vec<(Value, Span)> = values.into_iter().zip(args.iter().map(|arg| arg.span)).collect();
        let Some((last, place)) = (if expand { values.pop() } else { None }) else {
            return Ok(Arguments { values, expand: false });
        };
        if last.is_null() {
            return error("null-value", "the list that stands before `...` is null", place);
        }
        if last.is_deferred() {
            values.push((last, place));
            return Ok(Arguments { values, expand: true });
        }
        let Some(items) = last.elements() else {
            return error("wrong-type", format!("a list must stand before `...`, but this is {}", last.describe()), place);
        };
        values.extend(items.map(|item| (item.clone().marked(last.is_sensitive()), place)));
        Ok(Arguments { values, expand: false })
    }

    fn call_with(&self, function: &'static Function, arguments: Arguments, span: Span, locals: Locals<'_>) -> Eval<Value> {
        let Arguments { values, expand } = arguments;
        if expand {
            let marked = values.iter().any(|(value, _)| value.has_sensitive());
            return Ok(call_later(function, &values, (Type::Any, true), span, marked));
        }
        check_count(function, values.len(), values.last().map(|(_, place)| *place), span)?;
        let mut errors = Diagnostics::new();
        let args: Vec<Value> =
            values.iter().enumerate().filter_map(|(i, (value, place))| keep(argument(function, i, value, *place), &mut errors)).collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        // Texts are gone through by whoever counts their characters, too.
        let costs = |value: &Value| function.cost == Cost::Linear || value.as_str().is_some();
        values.iter().filter(|(value, _)| costs(value)).try_for_each(|(value, _)| self.session.charge_value(value, span))?;
        let sensitive = match function.marks {
            Marks::Deep => args.iter().any(Value::has_sensitive),
            Marks::Shallow => args.iter().any(Value::is_sensitive),
            Marks::Own => false,
        };
        let known = args.iter().all(Value::is_known);
        let result = match &function.body {
            Body::Known(body) if known => Some(body(&args)),
            Body::Known(_) => None,
            Body::Shape(body) => body(&args).transpose(),
            Body::Special(special) => return self.special(*special, function, (&args, &values), span, locals),
        };
        match result {
            None => {
                let deep = function.marks != Marks::Own && args.iter().any(Value::has_sensitive);
                Ok(call_later(function, &values, ((function.result)(&args), false), span, sensitive || deep))
            }
            Some(Ok(value)) if function.cost == Cost::Constant => Ok(value.marked(sensitive)),
            Some(Ok(value)) => self.finished(value.marked(sensitive), span),
            Some(Err(fault)) => Err(fault_diagnostic(function, &fault, &values, span)),
        }
    }

    fn finished(&self, value: Value, span: Span) -> Eval<Value> {
        if value.as_str().is_some_and(|text| text.len() > MAX_STRING_BYTES) {
            return error("limit", format!("the text has more than {MAX_STRING_BYTES} bytes"), span);
        }
        self.session.charge_value(&value, span)?;
        checked(value, span)
    }

    fn special(
        &self,
        special: Special,
        function: &'static Function,
        (args, values): (&[Value], &[(Value, Span)]),
        span: Span,
        locals: Locals<'_>,
    ) -> Eval<Value> {
        let later = || {
            let marked = args.iter().any(Value::has_sensitive);
            call_later(function, values, ((function.result)(args), false), span, marked)
        };
        match special {
            // `try(list...)`: the elements were evaluated already, so none of them fails.
            Special::Try if args.first().is_some_and(Value::is_known) => Ok(args.first().cloned().unwrap_or(Value::NULL)),
            Special::Can if args.first().is_some_and(Value::is_known) => Ok(Value::from(true)),
            Special::Try | Special::Can => Ok(later()),
            Special::Impure(function) => self.impure(function, values, span, locals),
            _ if args.iter().any(Value::is_deferred) => Ok(later()),
            Special::File(told) => self.file((told, function), args, values, span),
            Special::TemplateFile => self.template_file(args, values, span, locals),
            Special::TemplateString => self.template_string(args, values, span, locals),
            Special::FileExists | Special::FileSet | Special::Absolute | Special::Home => {
                self.on_disk((special, function), args, values, span)
            }
        }
    }

    /// The first alternative that does not fail. One that may still fail keeps those after it.
    fn try_call(&self, function: &'static Function, args: &[Expr], span: Span, locals: Locals<'_>) -> Eval<Value> {
        check_count(function, args.len(), None, span)?;
        let mut errors = Diagnostics::new();
        let mut open: Vec<(Value, Span)> = Vec::new();
        for arg in args {
            match self.eval(arg, locals) {
                Err(more) => errors.extend(more),
                Ok(value) => {
                    let known = value.is_known();
                    open.push((value, arg.span));
                    if known {
                        break;
                    }
                }
            }
        }
        match open.as_slice() {
            [] => {
                let mut diagnostic = Diagnostic::error("call-failed", "every alternative of `try` fails").at(span);
                for fault in errors.iter().take(5) {
                    diagnostic = diagnostic.note(fault.title.clone());
                }
                Err(diagnostic.into())
            }
            [(only, _)] => Ok(only.clone()),
            several => {
                let first = several.first().and_then(|(value, _)| exact_type(value));
                let same = first.filter(|ty| several.iter().all(|(value, _)| exact_type(value).as_ref() == Some(ty)));
                let marked = several.iter().any(|(value, _)| value.has_sensitive());
                Ok(call_later(function, several, (same.unwrap_or(Type::Any), false), span, marked))
            }
        }
    }

    fn can_call(&self, function: &'static Function, args: &[Expr], span: Span, locals: Locals<'_>) -> Eval<Value> {
        check_count(function, args.len(), None, span)?;
        let Some(arg) = args.first() else { return Ok(Value::from(false)) };
        Ok(match self.eval(arg, locals) {
            Err(_) => Value::from(false),
            Ok(value) if value.is_known() => Value::from(true).marked(value.has_sensitive()),
            Ok(value) => {
                let marked = value.has_sensitive();
                call_later(function, &[(value, arg.span)], (Type::Bool, false), span, marked)
            }
        })
    }
}

/// The same call, left to be evaluated when its arguments are known.
pub(super) fn call_later(function: &Function, values: &[(Value, Span)], (ty, expand): (Type, bool), span: Span, sensitive: bool) -> Value {
    let args = values.iter().map(|(value, place)| operand(value, *place)).collect();
    residual(ty, ExprKind::Call { name: function.name.into(), args, expand }, span, sensitive)
}

fn name_span(span: Span, name: &str) -> Span {
    let length = u32::try_from(name.len()).unwrap_or(0);
    if span.end.saturating_sub(span.start) > length { Span::new(span.file, span.start, span.start + length) } else { span }
}

fn check_count(function: &Function, count: usize, last: Option<Span>, span: Span) -> Eval<()> {
    let most = if function.rest.is_some() { usize::MAX } else { function.parameters.len() };
    if (function.required..=most).contains(&count) {
        return Ok(());
    }
    let plural = |n: usize| if n == 1 { "1 argument".to_owned() } else { format!("{n} arguments") };
    let takes = match (function.required, most) {
        (least, usize::MAX) => format!("at least {}", plural(least)),
        (least, most) if least == most => plural(least),
        (least, most) => format!("{least} to {}", plural(most)),
    };
    let place = if count > most { last.unwrap_or(span) } else { name_span(span, function.name) };
    let title = format!("`{}` takes {takes}, but is called with {count}", function.name);
    Err(Diagnostic::error("wrong-argument-count", title).at(place).note(function.signature()).into())
}

/// An argument as the function wants it. A deferred one stays, unless it can never be that.
fn argument(function: &Function, index: usize, value: &Value, place: Span) -> Eval<Value> {
    let Some(parameter) = function.parameter(index) else { return Ok(value.clone()) };
    let blame = |message: &str| -> Diagnostics {
        let title = format!("the argument `{}` of `{}`: {message}", parameter.name, function.name);
        Diagnostic::error("wrong-argument", title).at(place).note(function.signature()).into()
    };
    if value.is_null() {
        return if parameter.nullable { Ok(value.clone()) } else { Err(blame("it is null")) };
    }
    if parameter.wants == Wants::Any {
        return Ok(value.clone());
    }
    if let Some(deferred) = value.as_deferred()
        && can_convert(&deferred.ty, &parameter.wants.ty())
    {
        return Ok(value.clone());
    }
    convert(value, &parameter.wants.ty()).map_err(|fault| blame(&fault.to_string()))
}

fn fault_diagnostic(function: &Function, fault: &Fault, values: &[(Value, Span)], span: Span) -> Diagnostics {
    let place = fault.argument.and_then(|i| values.get(i)).map_or(span, |(_, place)| *place);
    // What failed may show a part of its input.
    let hidden = values.iter().any(|(value, _)| value.has_sensitive());
    let message = if hidden { "it fails for these values, which are sensitive and not shown" } else { &fault.message };
    let title = match fault.argument.and_then(|i| function.parameter(i)) {
        Some(parameter) => format!("the argument `{}` of `{}`: {message}", parameter.name, function.name),
        None => format!("`{}`: {message}", function.name),
    };
    Diagnostic::error("call-failed", title).at(place).into()
}

/// Whether the type of every argument is known.
pub(super) fn types_are_known(args: &[Value]) -> bool {
    !args.iter().any(has_open_type)
}
