//! What is said when something is never closed, and where the scan goes on.

use cloudtik_model::Diagnostic;

use super::{Frame, Kind, Lost, Piece, Scanner, Step, closes, stray};
use crate::message::token_end;
use crate::token::{self, after_blanks, byte, line_end, slice};

impl Scanner<'_> {
    /// At the start of a line inside brackets: whether it looks as if it stood outside of them.
    pub(super) fn check_line(&mut self) -> Step {
        self.pos = self.line + self.indent;
        self.end_entry();
        let Some(top) = self.frames.last() else { return Step::On };
        if token::statement_at(self.text, self.pos).is_none() {
            return Step::On;
        }
        if top.kind == Kind::Bracket(b'{') {
            if self.indent <= top.indent && top.suspect.is_none() {
                let line = self.line;
                if let Some(top) = self.frames.last_mut() {
                    top.suspect = Some(line);
                }
            }
            return Step::On;
        }
        // Nowhere between parentheses or square brackets can a single `=`, or a name followed by a brace, begin a line.
        self.report(self.frames.len() - 1, Some(self.pos), None);
        self.leave_until(|frame, indent| frame.kind == Kind::Bracket(b'{') && frame.indent < indent);
        if self.frames.is_empty() { Step::End } else { Step::On }
    }

    /// Forgets what is open down to the innermost frame that `stays`, given the indentation of the current line.
    fn leave_until(&mut self, stays: impl Fn(&Frame, usize) -> bool) {
        let keep = self.frames.iter().rposition(|frame| stays(frame, self.indent)).map_or(0, |at| at + 1);
        self.frames.truncate(keep);
    }

    /// A closing bracket that does not fit the innermost open one.
    pub(super) fn mismatch(&mut self, closing: u8) -> Step {
        let text_below = self.frames.iter().rposition(|frame| matches!(frame.kind, Kind::Quoted | Kind::Heredoc { .. } | Kind::Bare));
        let fits = |kind: Kind| match kind {
            Kind::Bracket(bracket) => closes(bracket) == closing,
            Kind::Sequence { .. } => closing == b'}',
            _ => false,
        };
        let fitting = self.frames.iter().rposition(|frame| fits(frame.kind)).filter(|at| text_below.is_none_or(|text| *at > text));
        let top = self.frames.len() - 1;
        if let Some(fitting) = fitting {
            self.report(top, None, Some(self.pos));
            self.frames.truncate(fitting + 1);
            return Step::On;
        }
        if closing == b'}' && text_below.is_none() {
            // It closes the block around the expression.
            self.report(top, None, Some(self.pos));
            self.frames.clear();
            return Step::End;
        }
        let opening = self.frames.last().map_or(self.pos, |frame| frame.opening);
        let open = slice(self.text, opening, opening + 1);
        if matches!(self.frames.last().map(|frame| frame.kind), Some(Kind::Sequence { .. })) {
            self.error(stray(self.span(self.pos, self.pos + 1), closing));
        } else {
            let wanted = self.frames.last().map_or(closing, |frame| if let Kind::Bracket(b) = frame.kind { closes(b) } else { b'}' });
            self.error(
                Diagnostic::error("mismatched-bracket", format!("`{open}` is closed by `{}`", char::from(closing)))
                    .at(self.span(self.pos, self.pos + 1))
                    .and_at(self.span(opening, opening + 1), "this is what it closes")
                    .help(format!("write `{}`", char::from(wanted))),
            );
            self.frames.pop();
        }
        self.pos += 1;
        Step::On
    }

    /// The end of the text inside brackets.
    pub(super) fn unclosed_at_end(&mut self) -> Step {
        let start = self.frames.first().map_or(0, |frame| frame.opening);
        if self.string_took_line {
            return Step::Lost(Lost { opening: start, heredoc: false });
        }
        if let Some(misaligned) = self.misaligned.take_if(|found| found.opening > start) {
            self.error(misaligned_bracket(self, misaligned.opening, misaligned.closing));
            return Step::Lost(Lost { opening: misaligned.opening, heredoc: false });
        }
        // A sequence of a string comes first: the text after it was read as code.
        let in_string = |at: usize| at.checked_sub(1).and_then(|below| self.frames.get(below)).is_some_and(|f| f.kind == Kind::Quoted);
        let at = (0..self.frames.len())
            .find(|at| in_string(*at))
            .or_else(|| self.frames.iter().rposition(|frame| frame.suspect.is_some()))
            .unwrap_or(self.frames.len() - 1);
        let suspect = self.frames.get(at).and_then(|frame| frame.suspect);
        self.report(at, suspect.map(|line| after_blanks(self.text, line)), None);
        let opening = self.frames.get(at).map_or(start, |frame| frame.opening);
        Step::Lost(Lost { opening, heredoc: false })
    }

    /// Says that a frame is never closed: before what it should be, or what bracket stands where its own should.
    fn report(&mut self, at: usize, before: Option<usize>, instead: Option<usize>) {
        let Some(frame) = self.frames.get(at) else { return };
        let opening = frame.opening;
        let diagnostic = match frame.kind {
            Kind::Sequence { .. } => unclosed_sequence(self, opening),
            Kind::Bracket(bracket) => unclosed_bracket(self, opening, closes(bracket)),
            Kind::Quoted | Kind::Bare => unclosed_string(self, opening),
            Kind::Heredoc { .. } => return,
        };
        let diagnostic = match (before, instead) {
            (Some(before), _) => {
                let end = token_end(self.text, before);
                diagnostic.and_at(self.span(before, end), "it should probably be closed before this")
            }
            (None, Some(instead)) => diagnostic.and_at(self.span(instead, instead + 1), "it is still open here"),
            (None, None) => diagnostic,
        };
        self.error(diagnostic);
    }

    /// A line feed, or the end of the text, inside a quoted string.
    pub(super) fn unclosed_string(&mut self) -> Step {
        let Some(frame) = self.frames.last() else { return Step::End };
        let (opening, mask) = (frame.opening, frame.mask);
        let spread = self.masks.get(mask).and_then(|mask| mask.template.as_ref()).and_then(|template| {
            template.pieces.iter().find_map(|piece| match piece {
                Piece::Sequence(sequence) if slice(self.text, sequence.start, sequence.end).contains('\n') => Some(*sequence),
                _ => None,
            })
        });
        if let Some(sequence) = spread {
            // Most likely its brace is missing, and what closed it was a brace of a later line.
            self.error(
                unclosed_sequence(self, sequence.start).and_at(self.span(sequence.end - 1, sequence.end), "the next `}` is this one"),
            );
            return Step::Lost(Lost { opening: sequence.start, heredoc: false });
        }
        let rest = slice(self.text, opening + 1, self.pos).trim_end();
        let around = self.frames.len().checked_sub(2).and_then(|at| self.frames.get(at));
        match around {
            // This quote was to close the string around the sequence.
            Some(Frame { kind: Kind::Sequence { .. }, opening, .. }) if rest.chars().all(|c| ")]},".contains(c)) => {
                self.error(unclosed_sequence(self, *opening));
            }
            _ => self.error(unclosed_string(self, opening)),
        }
        let outermost =
            self.frames.iter().rposition(|frame| matches!(frame.kind, Kind::Heredoc { .. } | Kind::Bare)).map_or(0, |at| at + 1);
        let keep = self.frames.iter().enumerate().skip(outermost).find(|(_, frame)| frame.kind == Kind::Quoted).map_or(0, |(at, _)| at);
        self.frames.truncate(keep);
        self.string_took_line = true;
        self.close_what_was_taken(opening);
        Step::On
    }

    /// Closes the brackets whose closing ones stand in the rest of a line that an unclosed string took for text.
    fn close_what_was_taken(&mut self, opening: usize) {
        for taken in slice(self.text, opening, self.pos).bytes() {
            let fits = self.frames.last().is_some_and(|top| matches!(top.kind, Kind::Bracket(bracket) if closes(bracket) == taken));
            if fits {
                self.frames.pop();
            }
        }
    }

    pub(super) fn unclosed_heredoc(&mut self) -> Step {
        let Some(Frame { kind: Kind::Heredoc { marker, flush }, opening, text_start, .. }) = self.frames.last() else { return Step::End };
        let (opening, name) = (*opening, slice(self.text, marker.0, marker.1));
        let intro = if *flush { "<<-" } else { "<<" };
        let mut diagnostic = Diagnostic::error("unclosed-heredoc", format!("no line `{name}` ends this text"))
            .at(self.span(opening, marker.1))
            .help(format!("a text that begins with `{intro}{name}` ends with a line that holds `{name}` and nothing else"));
        if let Some((start, end)) = almost_marker(self.text, line_end(self.text, opening).min(*text_start), name) {
            diagnostic = diagnostic.and_at(self.span(start, end), format!("this line is not `{name}` alone"));
        }
        self.error(diagnostic);
        Step::Lost(Lost { opening, heredoc: true })
    }
}

/// A line that was probably meant to end a heredoc: the marker in other letters, or with something behind it.
fn almost_marker(text: &str, from: usize, marker: &str) -> Option<(usize, usize)> {
    let mut at = from;
    while at < text.len() {
        let start = after_blanks(text, at);
        let end = line_end(text, start);
        let line = slice(text, start, end).trim_end();
        let head = line.get(..marker.len()).is_some_and(|head| head.eq_ignore_ascii_case(marker));
        let rest = line.get(marker.len()..).unwrap_or_default();
        if head && !rest.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-')) {
            return Some((start, start + line.len()));
        }
        at = end + 1;
    }
    None
}

pub(crate) fn unclosed_bracket(scanner: &Scanner<'_>, opening: usize, closing: u8) -> Diagnostic {
    let open = slice(scanner.text, opening, opening + 1);
    Diagnostic::error("unclosed-bracket", format!("this `{open}` is never closed"))
        .at(scanner.span(opening, opening + 1))
        .help(format!("close it with `{}`", char::from(closing)))
}

pub(crate) fn misaligned_bracket(scanner: &Scanner<'_>, opening: usize, closing: usize) -> Diagnostic {
    let close = byte(scanner.text, closing).unwrap_or(b'}');
    unclosed_bracket(scanner, opening, close)
        .and_at(scanner.span(closing, closing + 1), "by its indentation this one belongs to a bracket further out")
}

fn unclosed_sequence(scanner: &Scanner<'_>, opening: usize) -> Diagnostic {
    let open = slice(scanner.text, opening, opening + 2);
    Diagnostic::error("unclosed-interpolation", format!("this `{open}` is never closed"))
        .at(scanner.span(opening, opening + 2))
        .help(format!("close it with `}}`; for a literal `{open}` write `{}{open}`", slice(open, 0, 1)))
}

fn unclosed_string(scanner: &Scanner<'_>, opening: usize) -> Diagnostic {
    let line = slice(scanner.text, opening, line_end(scanner.text, opening)).trim_end();
    Diagnostic::error("unclosed-string", "this string is never closed")
        .at(scanner.span(opening, opening + line.len()))
        .help("close it with `\"`; a quote inside a string is written `\\\"`, and text of several lines is a heredoc: <<EOT")
}
