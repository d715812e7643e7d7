//! Values in a plan: on a line where they fit, on lines of their own where they do not, as a diff where both sides are text of many lines.

use cloudtik_lang::{render, render_line};
use cloudtik_model::Value;
use similar::{ChangeTag, TextDiff};

use super::{Paint, RenderOptions};
use crate::text::bounded;

/// Lines around a change that a diff shows.
const CONTEXT_LINES: usize = 3;

/// Lines of one value or diff that are shown: about a screen and a half. `verbose` shows [`MAX_VERBOSE_LINES`].
const MAX_LINES: usize = 60;

/// See [`MAX_LINES`]: a plan that nobody could read would be of no use either.
const MAX_VERBOSE_LINES: usize = 5_000;

/// Lines of both sides together beyond which no diff is made: its cost grows with their square.
const MAX_DIFF_LINES: usize = 8_000;

/// The narrowest line that values are cut to.
const MIN_WIDTH: usize = 40;

/// Text in the making.
pub(crate) struct Printer {
    pub(crate) out: String,
    pub(crate) options: RenderOptions,
}

impl Printer {
    pub(crate) const fn new(options: RenderOptions) -> Self {
        Self { out: String::new(), options }
    }

    pub(crate) fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    pub(crate) fn paint(&self, paint: Paint, text: &str) -> String {
        if self.options.color { format!("{}{text}\u{1b}[0m", paint.code()) } else { text.to_owned() }
    }

    /// A line with a mark in front.
    pub(crate) fn marked(&mut self, indent: usize, mark: &str, paint: Paint, text: &str) {
        let mark = self.paint(paint, mark);
        self.line(&format!("{:indent$}{mark} {text}", ""));
    }

    /// `+ name = value`
    pub(crate) fn one(&mut self, indent: usize, mark: &str, paint: Paint, name: &str, value: &Value) {
        self.one_remarked(indent, mark, paint, name, value, "");
    }

    /// `- name = value  (remark)`
    pub(crate) fn one_remarked(&mut self, indent: usize, mark: &str, paint: Paint, name: &str, value: &Value, remark: &str) {
        let tail = if remark.is_empty() { String::new() } else { self.paint(Paint::Faint, &format!("  {remark}")) };
        if let Some(text) = lines_of(value) {
            self.marked(indent, mark, paint, &format!("{name} = {}{tail}", count_lines(text)));
            return self.text_lines(indent + 4, mark, paint, text);
        }
        let line = render_line(value);
        if self.fits(indent + name.chars().count() + 5, &line) {
            return self.marked(indent, mark, paint, &format!("{name} = {line}{tail}"));
        }
        let text = render(value);
        let mut lines = text.split('\n');
        let first = self.cut(indent + name.chars().count() + 5, lines.next().unwrap_or_default());
        self.marked(indent, mark, paint, &format!("{name} = {first}{tail}"));
        let rest: Vec<&str> = lines.collect();
        self.bounded_lines(rest.iter().map(|line| format!("{:width$}{line}", "", width = indent + 2)));
    }

    /// `~ name = before -> after  (remark)`
    pub(crate) fn two(&mut self, indent: usize, name: &str, before: &Value, after: &Value, remark: &str) {
        let tail = if remark.is_empty() { String::new() } else { self.paint(Paint::Faint, &format!("  {remark}")) };
        let texts = (text_of(before), text_of(after));
        if let (Some(old), Some(new)) = texts
            && (old.contains('\n') || new.contains('\n'))
        {
            self.marked(indent, "~", Paint::Changed, &format!("{name}:{tail}"));
            return self.diff(indent + 4, old, new);
        }
        let (old, new) = (render_line(before), render_line(after));
        let both = format!("{old} -> {new}");
        if self.fits(indent + name.chars().count() + 5, &both) {
            return self.marked(indent, "~", Paint::Changed, &format!("{name} = {both}{tail}"));
        }
        self.marked(indent, "~", Paint::Changed, &format!("{name}:{tail}"));
        let (old, new) = (self.cut(indent + 6, &old), self.cut(indent + 6, &new));
        self.marked(indent + 4, "-", Paint::Removed, &old);
        self.marked(indent + 4, "+", Paint::Added, &new);
    }

    fn fits(&self, used: usize, text: &str) -> bool {
        used + text.chars().count() <= self.options.width.max(MIN_WIDTH)
    }

    fn cut(&self, used: usize, text: &str) -> String {
        if self.options.verbose { text.to_owned() } else { bounded(text, self.options.width.max(MIN_WIDTH).saturating_sub(used)) }
    }

    const fn lines_max(&self) -> usize {
        if self.options.verbose { MAX_VERBOSE_LINES } else { MAX_LINES }
    }

    fn bounded_lines(&mut self, lines: impl ExactSizeIterator<Item = String>) {
        let max = self.lines_max();
        let more = lines.len().saturating_sub(max);
        for line in lines.take(max) {
            let line = self.cut(0, &line);
            self.line(&line);
        }
        if more > 0 {
            self.line(&format!("        … {more} more lines"));
        }
    }

    fn text_lines(&mut self, indent: usize, mark: &str, paint: Paint, text: &str) {
        let lines: Vec<&str> = text.lines().collect();
        let shown: Vec<String> = lines.iter().map(|line| self.diff_line(indent, mark, Some(paint), line)).collect();
        self.push_bounded(&shown);
    }

    fn push_bounded(&mut self, lines: &[String]) {
        let max = self.lines_max();
        lines.iter().take(max).for_each(|line| self.line(line));
        if let Some(more) = lines.len().checked_sub(max).filter(|more| *more > 0) {
            self.line(&format!("        … {more} more lines"));
        }
    }

    fn diff_line(&self, indent: usize, mark: &str, paint: Option<Paint>, line: &str) -> String {
        let shown: String = line.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect();
        let shown = format!("{mark} {}", self.cut(indent + 2, &shown));
        let shown = shown.trim_end();
        let shown = paint.map_or_else(|| shown.to_owned(), |paint| self.paint(paint, shown));
        format!("{:indent$}{shown}", "")
    }

    fn diff(&mut self, indent: usize, old: &str, new: &str) {
        if old.lines().count() + new.lines().count() > MAX_DIFF_LINES {
            return self.line(&format!("{:indent$}{} -> {}", "", count_lines(old), count_lines(new)));
        }
        let diff = TextDiff::from_lines(old, new);
        let mut lines = Vec::new();
        for group in diff.grouped_ops(CONTEXT_LINES) {
            let starts = (group.first().map_or(0, |op| op.old_range().start), group.first().map_or(0, |op| op.new_range().start));
            if starts != (0, 0) {
                lines.push(format!("{:indent$}{}", "", self.paint(Paint::Faint, &format!("@@ line {} @@", starts.1 + 1))));
            }
            for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
                let (mark, paint) = match change.tag() {
                    ChangeTag::Delete => ("-", Some(Paint::Removed)),
                    ChangeTag::Insert => ("+", Some(Paint::Added)),
                    ChangeTag::Equal => (" ", None),
                };
                lines.push(self.diff_line(indent, mark, paint, change.value().trim_end_matches(['\n', '\r'])));
            }
        }
        if lines.is_empty() {
            lines.push(format!("{:indent$}the lines are the same, their ends are not", ""));
        }
        self.push_bounded(&lines);
    }
}

/// Text that may be shown.
fn text_of(value: &Value) -> Option<&str> {
    if value.is_sensitive() { None } else { value.as_str() }
}

/// Text of more than one line that may be shown.
fn lines_of(value: &Value) -> Option<&str> {
    text_of(value).filter(|text| text.trim_end_matches('\n').contains('\n'))
}

fn count_lines(text: &str) -> String {
    match text.lines().count() {
        1 => "1 line".to_owned(),
        count => format!("{count} lines"),
    }
}
