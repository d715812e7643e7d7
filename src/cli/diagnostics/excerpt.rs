//! The piece of a file that a diagnostic shows: a few lines, bounded, and harmless to a terminal whatever the file holds.

use std::ops::Range;

use cloudtik::model::{Label, SourceFile, Span};

use super::super::values::harmless;

/// A longer line is shown in part: a minified line of a megabyte is no help to anybody.
const LINE_BYTES_MAX: usize = 200;
/// How much is shown before and behind the label of a line that is shown in part.
const AROUND_BYTES: usize = 40;
/// How far apart two labels may be to be shown together; one that is farther off is named by its place.
const EXCERPT_BYTES_MAX: usize = 64 * 1024;
/// A piece of a file: the lines of its labels, and one before and one behind.
#[derive(Debug)]
pub(crate) struct Excerpt {
    /// The file.
    pub(crate) path: String,
    /// The lines, with the same bytes per character as in the file.
    pub(crate) text: String,
    /// Where the text begins in the file.
    start: usize,
    /// Lines of the file before the text.
    pub(crate) lines_before: usize,
    /// Characters of the first line before the text.
    columns_before: usize,
}

impl Excerpt {
    /// The piece that shows the first label, and those of the others that it can show with it. The second result says of each of the
    /// others whether it is shown.
    pub(crate) fn of(file: &SourceFile, primary: Span, others: &[&Label]) -> (Self, Vec<bool>) {
        let text = &*file.text;
        let (first, line) = lines(text, primary);
        if line.len() > LINE_BYTES_MAX {
            return (Self::part(file, primary, first), vec![false; others.len()]);
        }
        let mut range = first..first + line.len();
        let mut shown = Vec::with_capacity(others.len());
        for other in others {
            let (start, line) = lines(text, other.span);
            let joined = range.start.min(start)..range.end.max(start + line.len());
            let fits = joined.len() <= EXCERPT_BYTES_MAX
                && text.get(joined.clone()).is_some_and(|piece| piece.split('\n').all(|line| line.len() <= LINE_BYTES_MAX));
            if fits {
                range = joined;
            }
            shown.push(fits);
        }
        if let Some(before) = range.start.checked_sub(1) {
            let start = line_start(text, before);
            if before - start <= LINE_BYTES_MAX {
                range.start = start;
            }
        }
        if range.end < text.len() {
            let end = line_end(text, range.end + 1);
            if end - range.end <= LINE_BYTES_MAX {
                range.end = end;
            }
        }
        (Self::cut(file, range), shown)
    }

    /// A part of one line.
    fn part(file: &SourceFile, primary: Span, line_start: usize) -> Self {
        let text = &*file.text;
        let at = floor(text, primary.start as usize);
        let start = floor(text, at.saturating_sub(AROUND_BYTES)).max(line_start);
        let end = floor(text, (at + AROUND_BYTES).min(line_end(text, at)));
        Self::cut(file, start..end)
    }

    fn cut(file: &SourceFile, range: Range<usize>) -> Self {
        let (line, column) = file.position(u32::try_from(range.start).unwrap_or(u32::MAX));
        let piece = file.text.get(range.clone()).unwrap_or_default();
        Self { path: harmless(&file.path), text: same_width(piece), start: range.start, lines_before: line - 1, columns_before: column - 1 }
    }

    /// A span of the file as a range of this piece: within one line, and within the piece.
    pub(crate) fn range(&self, span: Span) -> Range<usize> {
        let start = floor(&self.text, (span.start as usize).saturating_sub(self.start).min(self.text.len()));
        let end = floor(&self.text, (span.end as usize).saturating_sub(self.start).clamp(start, self.text.len()));
        start..end.min(line_end(&self.text, start))
    }

    /// The column in the file, from 0, of a place in this piece.
    pub(crate) fn column(&self, at: usize) -> usize {
        let start = line_start(&self.text, at);
        let characters = self.text.get(start..at).map_or(0, |text| text.chars().count());
        characters + if start == 0 { self.columns_before } else { 0 }
    }
}

/// Where the first line of a span begins, and the line.
fn lines(text: &str, span: Span) -> (usize, &str) {
    let at = floor(text, span.start as usize);
    let start = line_start(text, at);
    (start, text.get(start..line_end(text, at)).unwrap_or_default())
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
}

fn line_end(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |length| at + length)
}

/// The nearest place at or before this one that is no middle of a character.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The text with every character that would do something to a terminal replaced by one of the same length.
fn same_width(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c,
        '\r' => ' ',
        c if c.is_control() && c.len_utf8() == 1 => '?',
        c if c.is_control() => '\u{b7}',
        c => c,
    };
    text.chars().map(shown).collect()
}
