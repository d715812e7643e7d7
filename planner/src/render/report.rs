//! The plan as Markdown, for the comment of a pull request: what `cloudtik plan --report` writes.
//!
//! What comes from the spec stands in fences and spans of code, or is escaped, so that nothing of it is read as Markdown, calls anybody or
//! leads anywhere. The whole is shorter than GitHub takes; what is left out is said.

use std::fmt::Write as _;

use cloudtik_model::{Diagnostic, Diagnostics, SourceMap};

use super::values::Printer;
use super::{RenderOptions, block, drift, how_made, is_shown, outputs, settled, summary};
use crate::{Action, Change, Plan};

/// The longest report, in bytes: GitHub takes comments of 65,536 characters, and whoever posts it may add a line.
const REPORT_BYTES_MAX: usize = 65_000;

/// What warnings, errors and notes may take of it, each: what is to be done matters more.
const LIST_BYTES_MAX: usize = 12_000;

/// What is kept for the ends of sections and for what is said of those that are left out.
const END_BYTES: usize = 600;

/// How a comment that holds a report begins, so that a workflow finds it and writes it anew.
const MARK: &str = "<!-- cloudtik-plan -->\n";

/// The sections, in the order in which a reviewer should see them.
const SECTIONS: [(&str, &[Action], Option<bool>); 9] = [
    ("Delete", &[Action::Delete], Some(false)),
    ("Replace", &[Action::Replace], Some(false)),
    ("Change", &[Action::Update], None),
    ("Create", &[Action::Create], None),
    ("Import", &[Action::Import], None),
    ("Adopt", &[Action::Adopt], None),
    ("Forget", &[Action::Forget], None),
    ("Undo steps", &[Action::Delete], Some(true)),
    ("Run steps", &[Action::Run, Action::Replace], Some(true)),
];

/// The plan as Markdown; see the module.
#[must_use]
pub fn render_report(plan: &Plan, warnings: &Diagnostics, sources: &SourceMap) -> String {
    let mut report = Report { out: MARK.to_owned(), left_out: 0 };
    report.out.push_str("## cloudtik plan\n\n");
    if let Some(made) = how_made(plan) {
        report.paragraph(&inline(&made));
    }
    report.paragraph(&format!("**{}**", inline(&summary(plan))));
    if let Some(expected) = &plan.expected {
        report.paragraph(&format!("This takes {}.", expected.text()));
    }
    let (policies, others): (Vec<&Diagnostic>, Vec<&Diagnostic>) = warnings.iter().partition(|found| found.code.starts_with("policy-"));
    report.list("Policies", &policies, sources);
    report.list("Warnings", &others, sources);
    report.lines("Notes", plan.notes.iter().map(|note| format!("- {}\n", inline(note))));
    report.fenced("Left open by an interrupted run", 0, [printed(|printer| settled(plan, printer))]);
    report.fenced("Changed outside since the last apply", 0, [printed(|printer| drift(plan, printer))]);
    for (title, actions, is_step) in SECTIONS {
        let of = |change: &&Change| actions.contains(&change.action) && is_step.is_none_or(|is_step| change.is_step() == is_step);
        let changes: Vec<&Change> = plan.changes.values().filter(|change| is_shown(change, &OPTIONS)).filter(of).collect();
        report.fenced(title, changes.len(), changes.iter().map(|change| printed(|printer| block(change, printer))));
    }
    report.fenced("Results", 0, [printed(|printer| outputs(plan, printer))]);
    report.finish()
}

/// What is wrong with a plan that could not be made, in the same form.
#[must_use]
pub fn render_failure_report(found: &Diagnostics, sources: &SourceMap) -> String {
    let mut report = Report { out: MARK.to_owned(), left_out: 0 };
    report.out.push_str("## cloudtik plan\n\n**There is no plan: something is wrong.**\n\n");
    let (errors, warnings): (Vec<&Diagnostic>, Vec<&Diagnostic>) = found.iter().partition(|diagnostic| diagnostic.is_error());
    report.list("Errors", &errors, sources);
    report.list("Warnings", &warnings, sources);
    report.finish()
}

/// As wide as a comment is before it gets a bar.
const OPTIONS: RenderOptions = RenderOptions { color: false, width: 110, verbose: false };

/// What a part of the text of a plan is.
fn printed(part: impl FnOnce(&mut Printer)) -> String {
    let mut printer = Printer::new(OPTIONS);
    part(&mut printer);
    printer.out
}

/// A report in the making.
struct Report {
    out: String,
    /// Changes that there was no room for.
    left_out: usize,
}

impl Report {
    fn room(&self) -> usize {
        REPORT_BYTES_MAX.saturating_sub(self.out.len() + END_BYTES)
    }

    fn paragraph(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push_str("\n\n");
    }

    fn list(&mut self, title: &str, found: &[&Diagnostic], sources: &SourceMap) {
        self.lines(title, found.iter().map(|diagnostic| item(diagnostic, sources)));
    }

    /// A heading and lines below it, as many as there is room for.
    fn lines(&mut self, title: &str, lines: impl ExactSizeIterator<Item = String>) {
        let (count, mut text, mut more) = (lines.len(), String::new(), 0);
        for line in lines {
            if more > 0 || text.len() + line.len() > LIST_BYTES_MAX.min(self.room()) {
                more += 1;
            } else {
                text.push_str(&line);
            }
        }
        if count == 0 {
            return;
        }
        let _ = write!(self.out, "### {title}\n\n{text}");
        if more > 0 {
            let _ = writeln!(self.out, "- and {more} more");
        }
        self.out.push('\n');
    }

    /// A section that is closed until somebody opens it, with text of plans. Each is whole or left out, but for the first, which is cut.
    fn fenced(&mut self, title: &str, count: usize, blocks: impl IntoIterator<Item = String>) {
        let (mut text, mut more) = (String::new(), 0);
        for block in blocks.into_iter().map(|block| as_diff(&block)) {
            match self.room().checked_sub(text.len() + block.len()) {
                Some(_) if more == 0 => text.push_str(&block),
                _ if more == 0 && text.is_empty() && self.room() > END_BYTES => {
                    text.push_str(cut(&block, self.room()));
                    text.push_str("…\n");
                    more += usize::from(count != 1);
                }
                _ => more += 1,
            }
        }
        self.left_out += more;
        if text.trim().is_empty() {
            return;
        }
        let fence = fence(&text);
        let counted = if count == 0 { String::new() } else { format!(" ({count})") };
        let _ =
            write!(self.out, "<details><summary>{title}{counted}</summary>\n\n{fence}diff\n{}\n{fence}\n\n</details>\n\n", text.trim_end());
    }

    fn finish(mut self) -> String {
        if self.left_out > 0 {
            let text =
                format!("{} more changes are left out, because a comment may not be longer: `cloudtik plan` prints all.", self.left_out);
            self.paragraph(&text);
        }
        self.out.truncate(self.out.trim_end().len());
        self.out.push('\n');
        self.out
    }
}

/// The lines of a part of a plan with their marks in front, where a diff has them.
fn as_diff(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let inner = line.trim_start();
        let indent = line.len() - inner.len();
        let marked = ["+/-", "-/+", "+", "-", "~", ">", "<"]
            .iter()
            .find(|mark| inner.strip_prefix(**mark).is_some_and(|rest| rest.starts_with(' ')));
        match marked {
            Some(&mark) if indent > 0 => {
                let mark = if mark == "~" { "!" } else { mark };
                let rest = inner.get(if mark == "!" { 1 } else { mark.len() }..).unwrap_or_default();
                let _ = writeln!(out, "{mark}{:indent$}{}", "", rest.trim_start());
            }
            // The first column is for marks alone.
            _ if inner.is_empty() => out.push('\n'),
            _ => {
                let _ = writeln!(out, " {line}");
            }
        }
    }
    out
}

/// The beginning of a text of many lines: whole lines, at most so many bytes.
fn cut(text: &str, bytes: usize) -> &str {
    let end = text.char_indices().take_while(|(at, _)| *at <= bytes).filter(|(_, c)| *c == '\n').last();
    end.and_then(|(at, _)| text.get(..=at)).unwrap_or_default()
}

/// A fence that no line of a text ends.
fn fence(text: &str) -> String {
    "`".repeat(longest_run(text).max(2) + 1)
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// Text in a span of code.
fn code(text: &str) -> String {
    let delimiter = "`".repeat(longest_run(text) + 1);
    let text = text.replace(['\n', '\r'], " ");
    if text.starts_with('`') || text.ends_with('`') {
        format!("{delimiter} {text} {delimiter}")
    } else {
        format!("{delimiter}{text}{delimiter}")
    }
}

/// A sentence: what stands between backticks is code, everything else is text that Markdown does not read.
fn inline(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return escaped(text);
    }
    let part = |(index, part): (usize, &&str)| match (index % 2, part.is_empty()) {
        (_, true) => String::new(),
        (0, _) => escaped(part),
        _ => code(part),
    };
    parts.iter().enumerate().map(part).collect()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\n' | '\r' => out.push(' '),
            // A colon alone is no address of a page.
            ':' if rest.peek() != Some(&'/') => out.push(c),
            // Names of people and numbers of issues are looked for after Markdown was read.
            '@' | '#' => {
                let _ = write!(out, "\\{c}<!-- -->");
            }
            // These mean nothing in the middle of a line, and stand in every sentence.
            '.' | ',' | ';' | '\'' | '(' | ')' | '/' | '?' | '=' | '-' => out.push(c),
            c if c.is_ascii_punctuation() => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out
}

/// One error or warning.
fn item(diagnostic: &Diagnostic, sources: &SourceMap) -> String {
    let place = diagnostic.primary.as_ref().and_then(|label| sources.describe(label.span));
    let place = place.map(|place| format!(" ({})", code(&place))).unwrap_or_default();
    let mut out = format!("- **{}**{place}: {}\n", code(diagnostic.code), inline(&diagnostic.title));
    for more in diagnostic.help.iter().chain(&diagnostic.notes) {
        let _ = writeln!(out, "  - {}", inline(more));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stand_where_a_diff_has_them() {
        let text = "  value.a  (main.hcl:1:1)\n  ~ update, live: input changed\n      ~ input = 1 -> 2\n  -/+ replace: x\n        … 3 more lines\n\n";
        let diff = "   value.a  (main.hcl:1:1)\n!  update, live: input changed\n!      input = 1 -> 2\n-/+  replace: x\n         … 3 more lines\n\n";
        assert_eq!(as_diff(text), diff);
    }

    #[test]
    fn nothing_of_a_spec_is_read_as_markdown() {
        assert_eq!(inline("`a` is *not* <b>"), "`a` is \\*not\\* \\<b\\>");
        assert_eq!(inline("ask @someone, see #1 and [x](https://y)"), "ask \\@<!-- -->someone, see \\#<!-- -->1 and \\[x\\](https\\://y)");
        assert_eq!(inline("a ` alone"), "a \\` alone");
        assert_eq!(code("a``b"), "```a``b```");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(fence("x\n````\n"), "`````");
        assert_eq!(cut("ab\ncd\nef\n", 5), "ab\ncd\n");
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let mut report = Report { out: String::new(), left_out: 0 };
        let block = |n: usize| format!("  value.n{n}\n{}", "      + line\n".repeat(1_000));
        report.fenced("Create", 20, (0..20).map(block));
        report.fenced("Run steps", 2, (0..2).map(block));
        let text = report.finish();
        assert!(text.len() < 65_536, "{}", text.len());
        assert!(text.contains("<summary>Create (20)</summary>") && text.contains("value.n3") && !text.contains("value.n9"), "{text}");
        assert!(text.contains(" more changes are left out"), "{}", text.lines().last().unwrap());
        let whole = |size: usize| {
            let mut report = Report { out: String::new(), left_out: 0 };
            report.fenced("Create", 1, [format!("  value.a\n{}", "      + line\n".repeat(size))]);
            report.finish()
        };
        assert!(whole(10_000).len() < 65_536 && whole(10_000).contains("…\n```"));
        assert!(!whole(10).contains('…'));
    }
}
