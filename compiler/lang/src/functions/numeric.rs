//! `abs`, `ceil`, `floor`, `max`, `min`.

use cloudtik_model::{Number, Value};

use super::{Fault, Function, Outcome, Parameter, Wants, a_number, arg, parameter};

const ONE: &[Parameter] = &[parameter("number", Wants::Number)];
const NUMBER: Parameter = parameter("numbers", Wants::Number);

pub(super) const FUNCTIONS: &[Function] = &[
    Function::known("abs", ONE, a_number, |args| one(args, |n| if n.is_negative() { n.negate() } else { n.clone() }))
        .doc("The number without its sign."),
    Function::known("ceil", ONE, a_number, |args| one(args, Number::ceil)).doc("The smallest whole number that is not below it."),
    Function::known("floor", ONE, a_number, |args| one(args, Number::floor)).doc("The largest whole number that is not above it."),
    Function::known("max", &[], a_number, |args| extreme(args, |new, best| new > best))
        .and(NUMBER)
        .needs(1)
        .doc("The largest of the numbers."),
    Function::known("min", &[], a_number, |args| extreme(args, |new, best| new < best))
        .and(NUMBER)
        .needs(1)
        .doc("The smallest of the numbers."),
];

fn one(args: &[Value], f: impl Fn(&Number) -> Number) -> Outcome {
    arg(args, 0).as_number().map(|number| f(number).into()).ok_or_else(|| Fault::at(0, "a number is required"))
}

/// The first number that no other one beats.
fn extreme(args: &[Value], beats: fn(&Number, &Number) -> bool) -> Outcome {
    let numbers = args.iter().filter_map(Value::as_number);
    let best = numbers.reduce(|best, new| if beats(new, best) { new } else { best });
    best.map(|number| number.clone().into()).ok_or_else(|| Fault::new("a number is required"))
}
