//! Times as RFC 3339 writes them: `formatdate`, `timeadd`, `timecmp`.

use cloudtik_model::Value;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::{Fault, Function, Outcome, Special, Wants, a_number, a_string, parameter, text};
use crate::impure::ImpureFunction;

pub(super) const FUNCTIONS: &[Function] = &[
    Function { result: a_string, ..Function::special("plantimestamp", &[], Special::Impure(ImpureFunction::PlanTimestamp)) }
        .doc("The time at which the plan was made."),
    Function { result: a_string, ..Function::special("timestamp", &[], Special::Impure(ImpureFunction::Timestamp)) }
        .doc("The time at which the plan is applied."),
    Function::known("formatdate", &[parameter("spec", Wants::String), parameter("timestamp", Wants::String)], a_string, formatdate)
        .doc("The time in a form of its own: YYYY, MM, DD, hh, mm, ss, ZZZZZ and so on, other text between single quotes."),
    Function::known("timeadd", &[parameter("timestamp", Wants::String), parameter("duration", Wants::String)], a_string, timeadd)
        .doc("The time so much later: 1h30m, or earlier: -10s."),
    Function::known("timecmp", &[parameter("timestamp_a", Wants::String), parameter("timestamp_b", Wants::String)], a_number, |args| {
        Ok(Value::from(moment(args, 0)?.cmp(&moment(args, 1)?) as i64))
    })
    .doc("-1 where the first time is the earlier one, 1 where it is the later one, else 0."),
];

fn moment(args: &[Value], index: usize) -> Result<OffsetDateTime, Fault> {
    let shown = text(args, index);
    let is_strict = shown.contains('T') && !shown.contains('z');
    let parsed = OffsetDateTime::parse(shown, &Rfc3339).ok().filter(|_| is_strict);
    parsed.ok_or_else(|| Fault::at(index, format!("{shown:?} is no time as RFC 3339 writes it, such as 2025-01-31T12:00:00Z")))
}

/// The time so many seconds after the beginning of 1970, as RFC 3339 writes it.
#[must_use]
pub fn utc_text(seconds: u64) -> String {
    let then = i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    then.and_then(shown).unwrap_or_default()
}

/// Parts of a second are not shown.
fn shown(then: OffsetDateTime) -> Option<String> {
    let parts = ["YYYY", "-", "MM", "-", "DD", "T", "hh", ":", "mm", ":", "ss", "Z"];
    parts.map(|part| if part.len() > 1 || part == "Z" { written(part, then) } else { Some(part.to_owned()) }).into_iter().collect()
}

fn timeadd(args: &[Value]) -> Outcome {
    let beyond = || Fault::at(1, "the time is beyond what can be written");
    let then = moment(args, 0)?.checked_add(duration(args, 1)?).filter(|then| then.year() >= 0).ok_or_else(beyond)?;
    shown(then).map(Value::from).ok_or_else(beyond)
}

/// The units and their nanoseconds, longer names before those that they begin with.
const UNITS: [(&str, f64); 8] =
    [("ns", 1.0), ("us", 1e3), ("\u{b5}s", 1e3), ("\u{3bc}s", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3_600e9)];

/// The longest duration, in nanoseconds: it is counted in 64 bits.
const NANOSECONDS_MAX: f64 = 9.2e18;

fn duration(args: &[Value], index: usize) -> Result<Duration, Fault> {
    let shown = text(args, index);
    let wrong = || Fault::at(index, format!("{shown:?} is no duration, such as 1h30m or -10s"));
    let mut rest = shown.strip_prefix(['+', '-']).unwrap_or(shown);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut nanoseconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, after) = rest.split_at(end);
        let (unit, each) = UNITS.iter().find(|(unit, _)| after.starts_with(unit)).ok_or_else(wrong)?;
        nanoseconds += number.parse::<f64>().map_err(|_| wrong())? * each;
        rest = after.strip_prefix(unit).unwrap_or_default();
    }
    if nanoseconds >= NANOSECONDS_MAX {
        return Err(wrong());
    }
    let length = Duration::saturating_seconds_f64(nanoseconds / 1e9);
    Ok(if shown.starts_with('-') { -length } else { length })
}

fn formatdate(args: &[Value]) -> Outcome {
    let moment = moment(args, 1)?;
    let mut out = String::new();
    let mut rest = text(args, 0);
    while let Some(first) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('\'') {
            rest = literal(quoted, &mut out)?;
        } else if first.is_ascii_alphabetic() {
            let end = rest.find(|c| c != first).unwrap_or(rest.len());
            let (verb, after) = rest.split_at(end);
            out.push_str(&written(verb, moment).ok_or_else(|| Fault::at(0, format!("there is no verb `{verb}`: {VERBS}")))?);
            rest = after;
        } else {
            out.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    Ok(out.into())
}

/// Text up to the quote that ends it; two quotes are one.
fn literal<'a>(quoted: &'a str, out: &mut String) -> Result<&'a str, Fault> {
    let mut rest = quoted;
    loop {
        let (before, after) = rest.split_once('\'').ok_or_else(|| Fault::at(0, "a single quote is not closed"))?;
        out.push_str(before);
        let Some(more) = after.strip_prefix('\'') else { return Ok(after) };
        out.push('\'');
        rest = more;
    }
}

const VERBS: &str = "years are YYYY or YY, months MMMM to M, days DD or D, week days EEEE or EEE, hours hh, h, HH or H, AM or PM AA or aa, \
                     minutes mm or m, seconds ss or s, offsets ZZZZZ, ZZZZ, ZZZ or Z; other letters stand between single quotes";

/// A part of a time. `None`: there is no such verb.
fn written(verb: &str, moment: OffsetDateTime) -> Option<String> {
    let short = |name: String| name.chars().take(3).collect::<String>();
    let half = if moment.hour() < 12 { "AM" } else { "PM" };
    let of_half = match moment.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    let offset = |between: &str| {
        let (hours, minutes, _) = moment.offset().as_hms();
        let sign = if moment.offset().is_negative() { '-' } else { '+' };
        format!("{sign}{:02}{between}{:02}", hours.unsigned_abs(), minutes.unsigned_abs())
    };
    let is_utc = moment.offset().is_utc();
    Some(match verb {
        "YYYY" => format!("{:04}", moment.year()),
        "YY" => format!("{:02}", moment.year().rem_euclid(100)),
        "MMMM" => moment.month().to_string(),
        "MMM" => short(moment.month().to_string()),
        "MM" => format!("{:02}", u8::from(moment.month())),
        "M" => u8::from(moment.month()).to_string(),
        "DD" => format!("{:02}", moment.day()),
        "D" => moment.day().to_string(),
        "EEEE" => moment.weekday().to_string(),
        "EEE" => short(moment.weekday().to_string()),
        "hh" => format!("{:02}", moment.hour()),
        "h" => moment.hour().to_string(),
        "HH" => format!("{of_half:02}"),
        "H" => of_half.to_string(),
        "AA" => half.to_owned(),
        "aa" => half.to_lowercase(),
        "mm" => format!("{:02}", moment.minute()),
        "m" => moment.minute().to_string(),
        "ss" => format!("{:02}", moment.second()),
        "s" => moment.second().to_string(),
        "ZZZ" if is_utc => "UTC".to_owned(),
        "Z" if is_utc => "Z".to_owned(),
        "ZZZZZ" | "Z" => offset(":"),
        "ZZZZ" | "ZZZ" => offset(""),
        _ => return None,
    })
}
