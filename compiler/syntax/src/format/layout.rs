//! Where tokens stand: the indentation of lines, the blanks between tokens, and the columns of neighbouring lines.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

use super::blanks::is_apart;
use super::tokens::{Kind, Token};

/// Columns of one step of indentation.
const STEP: usize = 2;

/// A line: tokens up to the end of the line, and what of them is aligned with the lines around it.
struct Line {
    /// What stands before `=`, or all but the comment.
    lead: Range<usize>,
    /// `=` and what follows, where it is whole on this line.
    assigned: Range<usize>,
    /// A comment behind something else.
    comment: Range<usize>,
}

/// Gives each token its blanks.
pub(super) fn lay_out(text: &str, tokens: &mut [Token]) {
    let lines = lines(tokens);
    for line in &lines {
        space(tokens, line);
    }
    indent(tokens, &lines);
    align(text, tokens, &lines, |line| &line.assigned, |line| line.lead.clone());
    align(text, tokens, &lines, |line| &line.comment, |line| line.lead.start..line.assigned.end);
}

fn lines(tokens: &[Token]) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut start = 0;
    for at in 0..=tokens.len() {
        let ends = tokens.get(at).is_none_or(|token| token.kind == Kind::Newline);
        if ends {
            // An end of line that stands alone has no other token: it is nobody's lead.
            lines.push(line(tokens, start..at));
            start = at + 1;
        }
    }
    lines
}

fn line(tokens: &[Token], all: Range<usize>) -> Line {
    let kind = |at: usize| tokens.get(at).map(|token| token.kind);
    let mut lead = all.clone();
    let mut comment = all.end..all.end;
    if all.len() > 1 && kind(all.end - 1) == Some(Kind::Comment) {
        comment = all.end - 1..all.end;
        lead.end = comment.start;
    }
    let mut assigned = lead.end..lead.end;
    let equal = lead.clone().skip(1).find(|at| kind(*at) == Some(Kind::Equal));
    if let Some(equal) = equal.filter(|equal| depth(tokens, *equal..lead.end) == 0) {
        assigned = equal..lead.end;
        lead.end = equal;
    }
    Line { lead, assigned, comment }
}

/// How many more brackets are opened than closed.
fn depth(tokens: &[Token], range: Range<usize>) -> isize {
    let of = |token: &Token| match token.kind {
        Kind::Open(_) => 1,
        Kind::Close(_) => -1,
        _ => 0,
    };
    tokens.get(range).unwrap_or_default().iter().map(of).sum()
}

/// Blanks between the tokens of a line.
fn space(tokens: &mut [Token], line: &Line) {
    let all = line.lead.start..line.comment.end;
    for at in all.clone().skip(1) {
        let kind = |at: usize| tokens.get(at).map(|token| token.kind);
        let before = at.checked_sub(2).filter(|before| *before >= all.start).and_then(kind);
        let word = tokens.get(at - 1).cloned();
        let Some((left, right)) = word.zip(kind(at)) else { continue };
        let apart = is_apart(before, &left, right);
        if let Some(token) = tokens.get_mut(at) {
            token.blanks = usize::from(apart);
        }
    }
}

/// The indentation of lines: a line that opens more than it closes puts those after it one step further in, however many it opens, and
/// they come back when as many are closed.
fn indent(tokens: &mut [Token], lines: &[Line]) {
    let mut open: Vec<isize> = Vec::new();
    for line in lines {
        let all = line.lead.start..line.comment.end;
        let net = depth(tokens, all.clone());
        let mut closed = -net;
        while closed > 0 {
            let Some(last) = open.last_mut() else { break };
            if *last > closed {
                *last -= closed;
                break;
            }
            closed -= *last;
            open.pop();
        }
        if let Some(first) = tokens.get_mut(all.start).filter(|_| !all.is_empty()) {
            first.blanks = STEP * open.len();
        }
        if net > 0 {
            open.push(net);
        }
    }
}

/// Puts a part of neighbouring lines that all have it into one column, one blank behind the longest of what stands before it.
fn align(text: &str, tokens: &mut [Token], lines: &[Line], part: impl Fn(&Line) -> &Range<usize>, before: impl Fn(&Line) -> Range<usize>) {
    for chain in lines.chunk_by(|left, right| part(left).is_empty() == part(right).is_empty()) {
        if chain.first().is_none_or(|line| part(line).is_empty()) {
            continue;
        }
        let widths: Vec<usize> = chain.iter().map(|line| width(text, tokens, before(line))).collect();
        let widest = widths.iter().max().copied().unwrap_or_default();
        for (line, width) in chain.iter().zip(widths) {
            if let Some(token) = tokens.get_mut(part(line).start) {
                token.blanks = widest - width + 1;
            }
        }
    }
}

fn width(text: &str, tokens: &[Token], range: Range<usize>) -> usize {
    let of = |token: &Token| token.blanks + text.get(token.span.clone()).unwrap_or_default().graphemes(true).count();
    tokens.get(range).unwrap_or_default().iter().map(of).sum()
}
