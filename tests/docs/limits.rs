//! `docs/limits.md`: every named limit of the sources, its number, and the reason that its comment gives.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::tree;

/// A constant whose name has one of these words is a limit, if its type is a number or a time.
const WORDS: &[&str] = &[
    "MAX",
    "MIN",
    "TIMEOUT",
    "GRACE",
    "WAIT",
    "PAUSE",
    "INTERVAL",
    "POLL",
    "TIME",
    "EVERY",
    "PER",
    "PARALLELISM",
    "RATE",
    "RETRIES",
    "READS",
    "VISIBILITY",
    "BUFFER",
    "WINDOW",
    "DIGITS",
    "BEHIND",
    "SEGMENT",
    "BACKOFF",
    "KEEPALIVE",
    "THREADS",
    "STEP",
    "FIRST",
];

/// What a limit can be.
const TYPES: &[&str] = &["u8", "u16", "u32", "u64", "usize", "i64", "Duration", "TokenBucketLimit"];

/// Names that have such a word and bound nothing.
const NOT_LIMITS: &[&str] = &["FIRST_NODE", "STAT_START"];

struct Limit {
    name: String,
    value: String,
    reason: String,
}

pub(crate) fn render() -> String {
    let mut by_package: BTreeMap<String, Vec<(String, Limit)>> = BTreeMap::new();
    let mut silent = Vec::new();
    for (path, text) in tree::sources() {
        let of_tests = ["golden-tests/", "benches/", "providers/aws/testing/", "providers/conformance/"];
        if of_tests.iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        let (package, file) = path.split_once("src/").unwrap();
        let package = package.trim_end_matches('/');
        let package = if package.is_empty() { "cloudtik" } else { package };
        for limit in limits(&text) {
            if limit.reason.is_empty() {
                silent.push(format!("{path}: {}", limit.name));
            }
            by_package.entry(package.to_owned()).or_default().push((file.to_owned(), limit));
        }
    }
    assert!(silent.is_empty(), "limits whose comment gives no reason:\n{}", silent.join("\n"));
    let mut out = String::from(
        "# Limits\n\nEverything is bounded. This is every named limit of the sources with the reason its comment gives. The file is generated\n\
         (`UPDATE_GOLDEN=1 cargo test -p cloudtik --test docs`); change a number where it is declared. What a limit refuses is an error that names\n\
         the number, not a silent cut.\n\nTimes and sizes that a spec can set itself are in the [reference](guide/reference.md).\n",
    );
    for (package, limits) in by_package {
        write!(out, "\n## {package}\n\n| limit | number | why | declared in |\n|---|---|---|---|\n").unwrap();
        for (file, Limit { name, value, reason }) in limits {
            writeln!(out, "| `{name}` | `{value}` | {} | `{file}` |", reason.replace('|', "\\|")).unwrap();
        }
    }
    out
}

/// The limits of one file, in its order.
fn limits(text: &str) -> Vec<Limit> {
    let mut found: Vec<Limit> = Vec::new();
    let mut comment: Vec<String> = Vec::new();
    let mut after_limit = false;
    for line in whole_lines(text) {
        let trimmed = line.trim();
        if let Some(said) = trimmed.strip_prefix("///") {
            comment.push(said.trim().to_owned());
        } else if let Some(limit) = limit(trimmed, &comment) {
            // Two constants under one comment share it.
            let reason = if limit.reason.is_empty() && after_limit {
                found.last().map(|limit| limit.reason.clone()).unwrap_or_default()
            } else {
                limit.reason
            };
            found.push(Limit { reason, ..limit });
            comment.clear();
            after_limit = true;
            continue;
        } else if !trimmed.starts_with("#[") {
            comment.clear();
        }
        after_limit = after_limit && !trimmed.is_empty() && !trimmed.starts_with("///");
    }
    found
}

/// Lines, with a constant whose value stands on the next one in one piece.
fn whole_lines(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in text.lines() {
        match found.last_mut() {
            Some(last) if last.contains("const ") && last.ends_with('=') => {
                last.push(' ');
                last.push_str(line.trim());
            }
            _ => found.push(line.to_owned()),
        }
    }
    found
}

fn limit(line: &str, comment: &[String]) -> Option<Limit> {
    let line = ["pub(crate) ", "pub(super) ", "pub "].iter().find_map(|prefix| line.strip_prefix(prefix)).unwrap_or(line);
    let (name, rest) = line.strip_prefix("const ")?.split_once(": ")?;
    let (ty, value) = rest.strip_suffix(';')?.split_once(" = ")?;
    let counts =
        TYPES.contains(&ty.rsplit("::").next()?) && name.split('_').any(|word| WORDS.contains(&word)) && !NOT_LIMITS.contains(&name);
    counts.then(|| Limit { name: name.to_owned(), value: shown(value), reason: comment.join(" ") })
}

/// `Duration::from_secs(5)` as `5 s`; everything else as it is written.
fn shown(value: &str) -> String {
    let unit = [("from_millis(", "ms"), ("from_secs(", "s"), ("from_mins(", "min")];
    let inner = |prefix: &str| {
        value.strip_prefix("Duration::").or(value.strip_prefix("std::time::Duration::"))?.strip_prefix(prefix)?.strip_suffix(')')
    };
    unit.iter().find_map(|(prefix, unit)| Some(format!("{} {unit}", inner(prefix)?))).unwrap_or_else(|| value.to_owned())
}
