//! Arithmetic: `abs`, `max`, `log`, `pow`, `parseint`, `sum` and the like.

use cloudtik_model::{Number, Type, Value};

use super::{Fault, Function, Outcome, Parameter, Wants, a_number, arg, parameter, sequence, whole};
use crate::convert;

const ONE: &[Parameter] = &[parameter("number", Wants::Number)];
const NUMBER: Parameter = parameter("numbers", Wants::Number);

pub(super) const FUNCTIONS: &[Function] = &[
    Function::known("abs", ONE, a_number, |args| one(args, |n| if n.is_negative() { n.negate() } else { n.clone() }))
        .doc("The number without its sign."),
    Function::known("ceil", ONE, a_number, |args| one(args, Number::ceil)).doc("The smallest whole number that is not below it."),
    Function::known("floor", ONE, a_number, |args| one(args, Number::floor)).doc("The largest whole number that is not above it."),
    Function::known("log", &[parameter("number", Wants::Number), parameter("base", Wants::Number)], a_number, |args| {
        Ok(float(natural_logarithm(double(args, 0)) / natural_logarithm(double(args, 1)))?.into())
    })
    .doc("The logarithm of the number in that base."),
    Function::known("max", &[], a_number, |args| extreme(args, |new, best| new > best))
        .and(NUMBER)
        .needs(1)
        .doc("The largest of the numbers."),
    Function::known("min", &[], a_number, |args| extreme(args, |new, best| new < best))
        .and(NUMBER)
        .needs(1)
        .doc("The smallest of the numbers."),
    Function::known("parseint", &[parameter("string", Wants::Any), parameter("base", Wants::Number)], a_number, parseint)
        .doc("The whole number that the string writes in a base from 2 to 62."),
    Function::known("pow", &[parameter("number", Wants::Number), parameter("power", Wants::Number)], a_number, |args| {
        Ok(float(double(args, 0).powf(double(args, 1)))?.into())
    })
    .doc("The number raised to the power."),
    Function::known("signum", ONE, a_number, |args| Ok(whole(args, 0)?.signum().into()))
        .doc("-1 for a number below zero, 1 for one above, else 0."),
    Function::known("sum", &[parameter("list", Wants::Any)], a_number, sum).doc("The sum of the numbers of a list."),
];

fn double(args: &[Value], index: usize) -> f64 {
    arg(args, index).as_number().map_or(f64::NAN, Number::to_f64)
}

/// The number that a double shows.
fn float(double: f64) -> Result<Number, Fault> {
    double.to_string().parse().map_err(|_| Fault::new("the result is no number that can be written"))
}

fn parseint(args: &[Value]) -> Outcome {
    let Some(shown) = arg(args, 0).as_str() else {
        return Err(Fault::at(0, format!("a string is required, but this is {}", arg(args, 0).describe())));
    };
    let base = whole(args, 1)?;
    if !(2..=62).contains(&base) {
        return Err(Fault::at(1, format!("it must be from 2 to 62, and is {base}")));
    }
    let no_number = || Fault::at(0, format!("{shown:?} is no whole number in base {base}"));
    let digits = shown.strip_prefix(['+', '-']).unwrap_or(shown);
    if digits.is_empty() {
        return Err(no_number());
    }
    let mut number = Number::ZERO;
    for digit in digits.chars() {
        let digit = digit_value(digit, base).filter(|digit| *digit < base).ok_or_else(no_number)?;
        number =
            number.multiply(&base.into()).and_then(|number| number.add(&digit.into())).map_err(|error| Fault::at(0, error.to_string()))?;
    }
    Ok(if shown.starts_with('-') { number.negate() } else { number }.into())
}

/// Up to base 36 the case of a letter says nothing; beyond it capitals come after the small ones.
fn digit_value(digit: char, base: i64) -> Option<i64> {
    let from = |first: char| i64::from(u32::from(digit)) - i64::from(u32::from(first));
    match digit {
        '0'..='9' => Some(from('0')),
        'a'..='z' => Some(from('a') + 10),
        'A'..='Z' if base <= 36 => Some(from('A') + 10),
        'A'..='Z' => Some(from('A') + 36),
        _ => None,
    }
}

fn sum(args: &[Value]) -> Outcome {
    let items = sequence(args, 0)?;
    if items.is_empty() {
        return Err(Fault::at(0, "the list is empty"));
    }
    let mut total = Number::ZERO;
    for item in items {
        let number = convert(&item, &Type::Number).map_err(|fault| Fault::at(0, fault.to_string()))?;
        let number = number.as_number().ok_or_else(|| Fault::at(0, "an element is null"))?;
        total = total.add(number).map_err(|error| Fault::new(error.to_string()))?;
    }
    Ok(total.into())
}

fn one(args: &[Value], f: impl Fn(&Number) -> Number) -> Outcome {
    arg(args, 0).as_number().map(|number| f(number).into()).ok_or_else(|| Fault::at(0, "a number is required"))
}

/// The first number that no other one beats.
fn extreme(args: &[Value], beats: fn(&Number, &Number) -> bool) -> Outcome {
    let numbers = args.iter().filter_map(Value::as_number);
    let best = numbers.reduce(|best, new| if beats(new, best) { new } else { best });
    best.map(|number| number.clone().into()).ok_or_else(|| Fault::new("a number is required"))
}

/// The natural logarithm as FDLIBM has it, which Go follows to the last digit: the one of the C library rounds otherwise now and then.
fn natural_logarithm(x: f64) -> f64 {
    const LN_2: [f64; 2] = [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10];
    const EVEN: [f64; 3] = [3.999_999_999_940_942e-1, 2.222_219_843_214_978_4e-1, 1.531_383_769_920_937_3e-1];
    const ODD: [f64; 4] = [6.666_666_666_666_735e-1, 2.857_142_874_366_239e-1, 1.818_357_216_161_805e-1, 1.479_819_860_511_658_6e-1];
    if !x.is_normal() || x < 0.0 {
        return x.ln();
    }
    // `x` is `fraction` times 2 to the power of `exponent`, and the fraction is near to 1.
    let mut exponent = f64::from(u16::try_from(x.to_bits() >> 52).unwrap_or_default()) - 1022.0;
    let mut fraction = f64::from_bits((x.to_bits() & 0x000f_ffff_ffff_ffff) | 0x3fe0_0000_0000_0000);
    if fraction < std::f64::consts::FRAC_1_SQRT_2 {
        fraction *= 2.0;
        exponent -= 1.0;
    }
    let f = fraction - 1.0;
    let s = f / (2.0 + f);
    let squared = s * s;
    let fourth = squared * squared;
    let odd = squared * (ODD[0] + fourth * (ODD[1] + fourth * (ODD[2] + fourth * ODD[3])));
    let even = fourth * (EVEN[0] + fourth * (EVEN[1] + fourth * EVEN[2]));
    let half = 0.5 * f * f;
    exponent * LN_2[0] - ((half - (s * (half + (odd + even)) + exponent * LN_2[1])) - f)
}
