//! `format`: the verbs of Terraform, on exact numbers.

use cloudtik_model::{Number, Type, Value};

use super::{Fault, Function, Outcome, Wants, a_string, nullable, parameter, strings, text};
use crate::json::{to_json_text, write_json_string};
use crate::limits::MAX_STRING_BYTES;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::known("format", &[parameter("format", Wants::String)], a_string, format)
        .and(nullable("arguments", Wants::Any))
        .doc("The format with its verbs filled: %s %d %f %v %q %t %x %X %b %o %e %g %%."),
    Function::known("formatlist", &[parameter("format", Wants::String)], strings, formatlist)
        .and(nullable("arguments", Wants::Any))
        .doc("The format with its verbs filled, once for each element of the lists among the arguments."),
];

/// Wider than any line; a width of a billion would be a string of a gigabyte.
const MAX_WIDTH: usize = 10_000;

/// A verb with what stands between `%` and its letter.
#[derive(Default)]
struct Verb {
    minus: bool,
    plus: bool,
    space: bool,
    zero: bool,
    sharp: bool,
    width: Option<usize>,
    precision: Option<usize>,
    /// `[2]`, from 1.
    index: Option<usize>,
    letter: char,
    source: String,
}

fn format(args: &[Value]) -> Outcome {
    let mut out = String::new();
    let mut rest = text(args, 0);
    let values = args.get(1..).unwrap_or_default();
    let mut next = 0;
    let mut used = 0;
    let mut indexed = false;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let (verb, remaining) = read_verb(after)?;
        rest = remaining;
        if verb.letter == '%' {
            out.push('%');
            continue;
        }
        if let Some(index) = verb.index {
            next = index.saturating_sub(1);
            indexed = true;
        }
        let Some(value) = values.get(next) else {
            let have = values.len();
            return Err(Fault::at(0, format!("`{}` needs value {}, but there are {have}", verb.source, next + 1)));
        };
        next += 1;
        used = used.max(next);
        let piece = write_verb(&verb, value).map_err(|message| Fault::at(next, format!("`{}`: {message}", verb.source)))?;
        pad(&verb, &piece, &mut out);
        if out.len() > MAX_STRING_BYTES {
            return Err(Fault::new(format!("the text would have more than {MAX_STRING_BYTES} bytes")));
        }
    }
    if used < values.len() && !indexed {
        return Err(Fault::at(used + 1, "no verb in the format uses it"));
    }
    out.push_str(rest);
    Ok(out.into())
}

/// Lists are gone through side by side, and other values stand for as many of them as there are elements.
fn formatlist(args: &[Value]) -> Outcome {
    let (format_text, values) = (args.first().cloned().unwrap_or(Value::NULL), args.get(1..).unwrap_or_default());
    let lists: Vec<Option<Vec<&Value>>> = values.iter().map(|value| value.elements().map(Iterator::collect)).collect();
    let mut count = None;
    for (i, list) in lists.iter().enumerate() {
        let Some(length) = list.as_ref().map(Vec::len) else { continue };
        if count.is_some_and(|count| count != length) {
            let before = count.unwrap_or_default();
            return Err(Fault::at(i + 1, format!("the list has {length} elements, and one before it has {before}")));
        }
        count = Some(length);
    }
    let mut texts = Vec::new();
    let mut bytes = 0_usize;
    for at in 0..count.unwrap_or(1) {
        let of = |(list, value): (&Option<Vec<&Value>>, &Value)| match list {
            Some(items) => items.get(at).map_or(Value::NULL, |item| (*item).clone()),
            None => value.clone(),
        };
        let filled: Vec<Value> = [format_text.clone()].into_iter().chain(lists.iter().zip(values).map(of)).collect();
        let text = format(&filled)?;
        bytes = bytes.saturating_add(text.as_str().map_or(0, str::len));
        if bytes > MAX_STRING_BYTES {
            return Err(Fault::new(format!("the texts would have more than {MAX_STRING_BYTES} bytes")));
        }
        texts.push(text);
    }
    Ok(Value::list(texts))
}

fn read_verb(after: &str) -> Result<(Verb, &str), Fault> {
    let mut verb = Verb { source: "%".to_owned(), ..Verb::default() };
    let mut chars = after.char_indices().peekable();
    let mut in_precision = false;
    while let Some((at, c)) = chars.next() {
        verb.source.push(c);
        match c {
            '-' => verb.minus = true,
            '+' => verb.plus = true,
            ' ' => verb.space = true,
            '#' => verb.sharp = true,
            '0' if verb.width.is_none() && !in_precision => verb.zero = true,
            '.' => {
                in_precision = true;
                verb.precision = Some(0);
            }
            '0'..='9' => {
                let slot = if in_precision { &mut verb.precision } else { &mut verb.width };
                let number = slot.unwrap_or(0) * 10 + usize::try_from(c.to_digit(10).unwrap_or(0)).unwrap_or(0);
                if number > MAX_WIDTH {
                    return Err(Fault::at(0, format!("a width or precision is at most {MAX_WIDTH}")));
                }
                *slot = Some(number);
            }
            '[' => {
                let mut index = 0_usize;
                for (_, c) in chars.by_ref() {
                    verb.source.push(c);
                    match c.to_digit(10) {
                        Some(digit) => index = index.saturating_mul(10).saturating_add(usize::try_from(digit).unwrap_or(0)),
                        None if c == ']' && index > 0 => break,
                        None => return Err(Fault::at(0, format!("`{}` is no verb: a number and `]` must follow `[`", verb.source))),
                    }
                }
                verb.index = Some(index);
            }
            letter => {
                verb.letter = letter;
                let rest = after.get(at + letter.len_utf8()..).unwrap_or_default();
                return Ok((verb, rest));
            }
        }
    }
    Err(Fault::at(0, format!("`{}` at the end is no verb; a percent sign is written `%%`", verb.source)))
}

fn write_verb(verb: &Verb, value: &Value) -> Result<String, String> {
    match verb.letter {
        'v' if verb.sharp => json(value),
        'v' => match value.as_number() {
            Some(number) if verb.precision.is_some() => general(number, verb, 'g'),
            Some(number) => Ok(signed(number.to_string(), verb)),
            None => Ok(cut(value.as_str().map_or_else(|| json(value), |text| Ok(text.to_owned()))?, verb)),
        },
        's' => Ok(cut(as_type(value, &Type::String)?.as_str().unwrap_or_default().to_owned(), verb)),
        'q' => {
            let mut out = String::new();
            write_json_string(&cut(as_type(value, &Type::String)?.as_str().unwrap_or_default().to_owned(), verb), &mut out);
            Ok(out)
        }
        't' => as_type(value, &Type::Bool)?.as_bool().map(|truth| truth.to_string()).ok_or_else(String::new),
        'd' | 'b' | 'o' | 'x' | 'X' | 'f' | 'F' | 'e' | 'E' | 'g' | 'G' => {
            let value = as_type(value, &Type::Number)?;
            let number = value.as_number().ok_or("a number is required")?;
            match verb.letter {
                'f' | 'F' => Ok(signed(fixed(number, verb.precision.unwrap_or(6)), verb)),
                'e' | 'E' | 'g' | 'G' => general(number, verb, verb.letter),
                letter => integer(number, letter, verb),
            }
        }
        other => Err(format!("there is no verb `{other}`")),
    }
}

fn as_type(value: &Value, ty: &Type) -> Result<Value, String> {
    if value.is_null() {
        return Err("the value is null".to_owned());
    }
    crate::convert(value, ty).map_err(|fault| fault.to_string())
}

fn json(value: &Value) -> Result<String, String> {
    to_json_text(value).ok_or_else(|| "the value is not known".to_owned())
}

fn cut(text: String, verb: &Verb) -> String {
    verb.precision.map_or_else(|| text.clone(), |most| text.chars().take(most).collect())
}

fn signed(text: String, verb: &Verb) -> String {
    match (text.starts_with('-'), verb.plus, verb.space) {
        (false, true, _) => format!("+{text}"),
        (false, false, true) => format!(" {text}"),
        _ => text,
    }
}

fn integer(number: &Number, letter: char, verb: &Verb) -> Result<String, String> {
    if !number.is_integer() {
        return Err(format!("a whole number is required, but this is {number}"));
    }
    if letter == 'd' {
        return Ok(signed(plain(number), verb));
    }
    let value: i128 = plain(number).parse().map_err(|_| "the number is too large for this verb".to_owned())?;
    let magnitude = value.unsigned_abs();
    let (prefix, digits) = match letter {
        'b' => ("0b", format!("{magnitude:b}")),
        'o' => ("0", format!("{magnitude:o}")),
        'x' => ("0x", format!("{magnitude:x}")),
        _ => ("0X", format!("{magnitude:X}")),
    };
    let sign = if value < 0 { "-" } else { "" };
    Ok(signed(format!("{sign}{}{digits}", if verb.sharp { prefix } else { "" }), verb))
}

/// All digits of a number, without an exponent.
fn plain(number: &Number) -> String {
    let text = number.to_string();
    match text.split_once('e') {
        Some((digits, zeros)) => format!("{digits}{}", "0".repeat(zeros.parse().unwrap_or(0))),
        None => text,
    }
}

/// With so many digits after the point; a tie goes to the even digit.
fn fixed(number: &Number, places: usize) -> String {
    let text = plain(number);
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut kept: Vec<u8> = whole.bytes().chain(fraction.bytes().chain(std::iter::repeat(b'0')).take(places)).collect();
    let dropped = fraction.get(places..).unwrap_or_default();
    let odd = kept.last().is_some_and(|digit| (digit - b'0') % 2 == 1);
    let half = dropped.starts_with('5') && dropped.bytes().skip(1).all(|digit| digit == b'0');
    if dropped.as_bytes().first().is_some_and(|first| *first >= b'5') && (!half || odd) {
        round_up(&mut kept);
    }
    let text: String = kept.iter().map(|digit| char::from(*digit)).collect();
    let (whole, fraction) = text.split_at(text.len().saturating_sub(places));
    let sign = if text.bytes().all(|digit| digit == b'0') { "" } else { sign };
    if places == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

fn round_up(digits: &mut Vec<u8>) {
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
    digits.insert(0, b'1');
}

/// `%e` and `%g`, which are for people: as a double, with the exponent written in two digits at least.
fn general(number: &Number, verb: &Verb, letter: char) -> Result<String, String> {
    let value = number.to_f64();
    if !value.is_finite() {
        return Err("the number is too large for this verb".to_owned());
    }
    let upper = letter.is_ascii_uppercase();
    let text = if letter.eq_ignore_ascii_case(&'e') {
        scientific(&format!("{value:.*e}", verb.precision.unwrap_or(6)))
    } else {
        shortest(value, verb.precision)
    };
    Ok(signed(if upper { text.to_uppercase() } else { text }, verb))
}

fn scientific(text: &str) -> String {
    let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

fn shortest(value: f64, precision: Option<usize>) -> String {
    let text = match precision {
        Some(digits) => format!("{value:.*e}", digits.max(1) - 1),
        None => format!("{value:e}"),
    };
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let count = i64::try_from(digits.bytes().filter(u8::is_ascii_digit).count()).unwrap_or(0);
    let limit = match precision.map(|digits| i64::try_from(digits.max(1)).unwrap_or(i64::MAX)) {
        None => 6,
        Some(most) if most > count && count > exponent => count,
        Some(most) => most,
    };
    if exponent < -4 || exponent >= limit {
        return scientific(&format!("{digits}e{exponent}"));
    }
    let number: Result<Number, _> = format!("{digits}e{exponent}").parse();
    number.map_or_else(|_| value.to_string(), |number| plain(&number))
}

fn pad(verb: &Verb, piece: &str, out: &mut String) {
    let missing = verb.width.unwrap_or(0).saturating_sub(piece.chars().count());
    let numeric = !matches!(verb.letter, 's' | 'q' | 't' | 'v');
    if verb.minus {
        out.push_str(piece);
        out.extend(std::iter::repeat_n(' ', missing));
    } else if verb.zero && numeric {
        let (sign, digits) = piece.split_at(usize::from(piece.starts_with(['-', '+', ' '])));
        out.push_str(sign);
        out.extend(std::iter::repeat_n('0', missing));
        out.push_str(digits);
    } else {
        out.extend(std::iter::repeat_n(if verb.zero { '0' } else { ' ' }, missing));
        out.push_str(piece);
    }
}
