//! Text: joined, split, cut, searched, in other cases.

use std::collections::BTreeSet;

use cloudtik_model::{Type, Value};
use regex::{Captures, Regex, RegexBuilder};

use unicode_segmentation::UnicodeSegmentation as _;

use super::{Fault, Function, Outcome, Parameter, Wants, a_bool, a_string, any, parameter, strings, text, whole};
use crate::limits::{MAX_ELEMENTS, MAX_REGEX_BYTES, MAX_STRING_BYTES};

const STRING: Parameter = parameter("string", Wants::String);

pub(super) const FUNCTIONS: &[Function] = &[
    Function::known("chomp", &[STRING], a_string, |args| Ok(text(args, 0).trim_end_matches(['\n', '\r']).into()))
        .doc("The string without line breaks at its end."),
    Function::known("endswith", &[STRING, parameter("suffix", Wants::String)], a_bool, |args| {
        Ok(text(args, 0).ends_with(text(args, 1)).into())
    })
    .doc("Whether the string ends with that."),
    Function::known("indent", &[parameter("spaces", Wants::Number), STRING], a_string, indent)
        .doc("The string with so many spaces before each line but the first."),
    Function::known("join", &[parameter("separator", Wants::String)], a_string, join)
        .and(parameter("lists", Wants::Strings))
        .needs(2)
        .doc("The strings of the lists as one, with the separator between them."),
    Function::known("lower", &[STRING], a_string, |args| Ok(text(args, 0).chars().map(lower).collect::<String>().into()))
        .doc("The string in lower case."),
    Function::known("regex", &[parameter("pattern", Wants::String), STRING], any, regex)
        .doc("The first match: the text, or its unnamed groups as a list, or its named groups as an object."),
    Function::known("regexall", &[parameter("pattern", Wants::String), STRING], any, regexall)
        .doc("Every match, each as `regex` gives it."),
    Function::known(
        "replace",
        &[STRING, parameter("substring", Wants::String), parameter("replacement", Wants::String)],
        a_string,
        replace,
    )
    .doc("The string with each occurrence of the substring replaced; one between slashes is a regular expression."),
    Function::known("split", &[parameter("separator", Wants::String), STRING], strings, split)
        .doc("The pieces of the string between the separators."),
    Function::known("startswith", &[STRING, parameter("prefix", Wants::String)], a_bool, |args| {
        Ok(text(args, 0).starts_with(text(args, 1)).into())
    })
    .doc("Whether the string begins with that."),
    Function::known("strcontains", &[STRING, parameter("substring", Wants::String)], a_bool, |args| {
        Ok(text(args, 0).contains(text(args, 1)).into())
    })
    .doc("Whether that stands in the string."),
    Function::known("strrev", &[STRING], a_string, |args| Ok(text(args, 0).graphemes(true).rev().collect::<String>().into()))
        .doc("The characters of the string in the opposite order."),
    Function::known("substr", &[STRING, parameter("offset", Wants::Number), parameter("length", Wants::Number)], a_string, substr)
        .doc("So many characters from an offset, which counts from the end if it is below zero; all that follow for the length -1."),
    Function::known("title", &[STRING], a_string, title).doc("The string with the first letter of each word in upper case."),
    Function::known("trim", &[STRING, parameter("characters", Wants::String)], a_string, |args| {
        let characters: BTreeSet<char> = text(args, 1).chars().collect();
        Ok(text(args, 0).trim_matches(|c| characters.contains(&c)).into())
    })
    .doc("The string without any of those characters at its ends."),
    Function::known("trimprefix", &[STRING, parameter("prefix", Wants::String)], a_string, |args| {
        Ok(text(args, 0).strip_prefix(text(args, 1)).unwrap_or(text(args, 0)).into())
    })
    .doc("The string without that at its beginning."),
    Function::known("trimspace", &[STRING], a_string, |args| Ok(text(args, 0).trim().into()))
        .doc("The string without white space at its ends."),
    Function::known("trimsuffix", &[STRING, parameter("suffix", Wants::String)], a_string, |args| {
        Ok(text(args, 0).strip_suffix(text(args, 1)).unwrap_or(text(args, 0)).into())
    })
    .doc("The string without that at its end."),
    Function::known("upper", &[STRING], a_string, |args| Ok(text(args, 0).chars().map(upper).collect::<String>().into()))
        .doc("The string in upper case."),
];

fn too_long() -> Fault {
    Fault::new(format!("the text would have more than {MAX_STRING_BYTES} bytes"))
}

fn join(args: &[Value]) -> Outcome {
    let separator = text(args, 0);
    let mut out = String::new();
    let mut first = true;
    for (i, list) in args.iter().enumerate().skip(1) {
        for item in list.elements().into_iter().flatten() {
            let Some(item) = item.as_str() else { return Err(Fault::at(i, "an element is null")) };
            if !std::mem::take(&mut first) {
                out.push_str(separator);
            }
            out.push_str(item);
            if out.len() > MAX_STRING_BYTES {
                return Err(too_long());
            }
        }
    }
    Ok(out.into())
}

fn split(args: &[Value]) -> Outcome {
    let (separator, string) = (text(args, 0), text(args, 1));
    let pieces: Vec<Value> = if separator.is_empty() {
        string.chars().take(MAX_ELEMENTS + 1).map(|c| Value::from(c.to_string())).collect()
    } else {
        string.split(separator).take(MAX_ELEMENTS + 1).map(Value::from).collect()
    };
    if pieces.len() > MAX_ELEMENTS {
        return Err(Fault::at(1, format!("it has more than {MAX_ELEMENTS} pieces")));
    }
    Ok(Value::list(pieces))
}

fn compile(pattern: &str, argument: usize) -> Result<Regex, Fault> {
    RegexBuilder::new(pattern).size_limit(MAX_REGEX_BYTES).build().map_err(|error| {
        let message = match error {
            regex::Error::CompiledTooBig(_) => "the regular expression is too large".to_owned(),
            // The library draws the pattern with a marker below it; the last line says what is wrong.
            other => other.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
        };
        Fault::at(argument, format!("not a regular expression: {message}"))
    })
}

fn replace(args: &[Value]) -> Outcome {
    let (string, from, to) = (text(args, 0), text(args, 1), text(args, 2));
    if let Some(pattern) = from.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
        return replace_all(&compile(pattern, 1)?, string, to);
    }
    let count = string.matches(from).count();
    if string.len().saturating_add(count.saturating_mul(to.len())) > MAX_STRING_BYTES {
        return Err(too_long());
    }
    Ok(string.replace(from, to).into())
}

/// `Regex::replace_all` with a bound on what it makes.
fn replace_all(pattern: &Regex, string: &str, to: &str) -> Outcome {
    let mut out = String::new();
    let mut end = 0;
    for found in pattern.captures_iter(string) {
        let Some(whole) = found.get(0) else { continue };
        out.push_str(string.get(end..whole.start()).unwrap_or_default());
        found.expand(to, &mut out);
        end = whole.end();
        if out.len() > MAX_STRING_BYTES {
            return Err(too_long());
        }
    }
    out.push_str(string.get(end..).unwrap_or_default());
    Ok(out.into())
}

/// A pattern of which either all groups have names, or none has.
fn pattern(args: &[Value]) -> Result<Regex, Fault> {
    let pattern = compile(text(args, 0), 0)?;
    let named = pattern.capture_names().flatten().count();
    if named > 0 && named + 1 < pattern.captures_len() {
        return Err(Fault::at(0, "either all groups have names or none has"));
    }
    Ok(pattern)
}

/// A match: the text, or the groups, by name if they have some.
fn matched(pattern: &Regex, found: &Captures<'_>) -> Value {
    let group = |found: Option<regex::Match<'_>>| found.map_or_else(|| Value::null_of(&Type::String), |found| Value::from(found.as_str()));
    if pattern.capture_names().flatten().next().is_some() {
        Value::object(pattern.capture_names().flatten().map(|name| (name, group(found.name(name)))))
    } else if pattern.captures_len() > 1 {
        Value::tuple(found.iter().skip(1).map(group))
    } else {
        group(found.get(0))
    }
}

fn regex(args: &[Value]) -> Outcome {
    let pattern = pattern(args)?;
    let found = pattern.captures(text(args, 1)).ok_or_else(|| Fault::at(1, "the pattern does not match"))?;
    Ok(matched(&pattern, &found))
}

fn regexall(args: &[Value]) -> Outcome {
    let pattern = pattern(args)?;
    let (mut found, mut bytes) = (Vec::new(), 0_usize);
    for captures in pattern.captures_iter(text(args, 1)) {
        // Groups stand in one another, so that one character may be in many.
        bytes = captures.iter().flatten().fold(bytes, |bytes, group| bytes.saturating_add(group.len()));
        found.push(matched(&pattern, &captures));
        if found.len().saturating_mul(pattern.captures_len()) > MAX_ELEMENTS || bytes > MAX_STRING_BYTES {
            return Err(Fault::at(1, format!("the matches have more than {MAX_ELEMENTS} groups or {MAX_STRING_BYTES} bytes")));
        }
    }
    Ok(Value::list(found))
}

fn indent(args: &[Value]) -> Outcome {
    let spaces = usize::try_from(whole(args, 0)?).map_err(|_| Fault::at(0, "it must not be below zero"))?;
    let lines = text(args, 1).matches('\n').count();
    if lines.saturating_mul(spaces).saturating_add(text(args, 1).len()) > MAX_STRING_BYTES {
        return Err(too_long());
    }
    Ok(text(args, 1).replace('\n', &format!("\n{}", " ".repeat(spaces))).into())
}

fn substr(args: &[Value]) -> Outcome {
    let characters: Vec<&str> = text(args, 0).graphemes(true).collect();
    let (offset, length) = (whole(args, 1)?, whole(args, 2)?);
    let count = i64::try_from(characters.len()).unwrap_or(i64::MAX);
    // One that goes beyond the beginning begins there.
    let begin = if offset < 0 { (count + offset).max(0) } else { offset.min(count) };
    // Of a length of nothing from the end, Terraform takes all that follows.
    let end = if length < 0 || (length == 0 && offset < 0) { count } else { begin.saturating_add(length).min(count) };
    let place = |at: i64| usize::try_from(at).unwrap_or(0);
    Ok(characters.get(place(begin)..place(end)).unwrap_or_default().concat().into())
}

/// The letter in upper case where that is one letter.
fn upper(c: char) -> char {
    let mut upper = c.to_uppercase();
    upper.next().filter(|_| upper.next().is_none()).unwrap_or(c)
}

/// The letter in lower case: the first one where it becomes several.
fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

/// A word begins after anything but a letter, a digit or `_`; beyond ASCII only white space parts words.
fn title(args: &[Value]) -> Outcome {
    let mut out = String::with_capacity(text(args, 0).len());
    let mut begins = true;
    for c in text(args, 0).chars() {
        out.push(if begins { upper(c) } else { c });
        begins = if c.is_ascii() { !c.is_ascii_alphanumeric() && c != '_' } else { c.is_whitespace() };
    }
    Ok(out.into())
}
