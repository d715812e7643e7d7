//! The linear scan: where an expression ends, and where the templates and comments in it are.
//!
//! It knows strings with nested `${}` and `%{}`, heredocs, comments and brackets, and nothing of operators. It keeps a stack of what
//! is open instead of recursing, so no input can overflow the stack, and it says what is unclosed, by indentation where that helps.

use cloudtik_model::{Diagnostic, FileId, Span};

use crate::token::{after_blanks, byte, escape_length, identifier_end, line_end, line_start, slice};
use crate::{MAX_NESTING, MAX_OBJECT_ENTRIES, span};

mod unclosed;

pub(crate) use unclosed::{misaligned_bracket, unclosed_bracket};

/// A part of an expression that the expression parser does not see.
#[derive(Debug)]
pub(crate) struct Mask {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// The template that stands there; a comment has none.
    pub(crate) template: Option<Template>,
}

/// A string with sequences in it, or a heredoc.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) form: Form,
    pub(crate) pieces: Vec<Piece>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Quoted,
    /// `<<X`, or `<<-X` whose indentation goes.
    Heredoc {
        flush: bool,
    },
    /// A text that is a template as a whole.
    Bare,
}

#[derive(Debug)]
pub(crate) enum Piece {
    Text { start: usize, end: usize },
    Sequence(Sequence),
}

/// `${ … }` or `%{ … }`
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequence {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) inner_start: usize,
    pub(crate) inner_end: usize,
    pub(crate) directive: bool,
    pub(crate) strip_left: bool,
    pub(crate) strip_right: bool,
}

/// How far an expression goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) end: usize,
    /// Whether it can be parsed: nothing in it is known to be wrong.
    pub(crate) sound: bool,
    /// Whether the scan lost its way: what follows cannot be trusted from this offset on.
    pub(crate) lost: Option<Lost>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Lost {
    /// The opening that was never closed.
    pub(crate) opening: usize,
    /// Whether it is a heredoc, whose text may look like anything.
    pub(crate) heredoc: bool,
}

/// A bracket and the one that closed it, though it stands further left than the line of the first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Misaligned {
    pub(crate) opening: usize,
    pub(crate) closing: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bracket(u8),
    Sequence { directive: bool, strip_left: bool },
    Quoted,
    Heredoc { marker: (usize, usize), flush: bool },
    Bare,
}

#[derive(Debug)]
struct Frame {
    kind: Kind,
    opening: usize,
    /// The indentation of the line of the opening.
    indent: usize,
    /// Of templates: their mask, and where the text that is being read began.
    mask: usize,
    text_start: usize,
    /// Of brackets: the first later line that looks as if it stood outside.
    suspect: Option<usize>,
    /// Of braces: how many entries were begun, and whether the current line or entry has something in it.
    entries: usize,
    entry_begun: bool,
}

pub(crate) struct Scanner<'t> {
    pub(crate) file: FileId,
    pub(crate) text: &'t str,
    pub(crate) pos: usize,
    pub(crate) masks: Vec<Mask>,
    pub(crate) errors: Vec<Diagnostic>,
    pub(crate) misaligned: Option<Misaligned>,
    /// Start and indentation of the current line.
    line: usize,
    indent: usize,
    frames: Vec<Frame>,
    sound: bool,
    /// How many blocks are open around the expression.
    depth: usize,
    /// Whether a string of this expression took the rest of its line, and with it perhaps a closing bracket.
    string_took_line: bool,
}

enum Step {
    On,
    End,
    Lost(Lost),
}

impl<'t> Scanner<'t> {
    pub(crate) fn new(file: FileId, text: &'t str) -> Self {
        let mut scanner = Self {
            file,
            text,
            pos: 0,
            masks: Vec::new(),
            errors: Vec::new(),
            misaligned: None,
            line: 0,
            indent: 0,
            frames: Vec::new(),
            sound: true,
            depth: 0,
            string_took_line: false,
        };
        scanner.begin_line(0);
        scanner
    }

    pub(crate) fn span(&self, start: usize, end: usize) -> Span {
        span(self.file, start, end)
    }

    pub(crate) fn byte(&self) -> Option<u8> {
        byte(self.text, self.pos)
    }

    /// The indentation of the current line, in bytes.
    pub(crate) fn indent(&self) -> usize {
        self.indent
    }

    /// Whether nothing but blanks stands before the current offset in its line.
    pub(crate) fn is_first_of_line(&self) -> bool {
        self.pos == self.line + self.indent
    }

    /// Goes to an offset, backwards also.
    pub(crate) fn go_to(&mut self, pos: usize) {
        self.pos = pos;
        self.begin_line(line_start(self.text, pos));
    }

    /// Passes the line feed at the current offset.
    pub(crate) fn pass_line_feed(&mut self) {
        self.pos += 1;
        self.begin_line(self.pos);
    }

    fn begin_line(&mut self, start: usize) {
        self.line = start;
        self.indent = after_blanks(self.text, start) - start;
    }

    /// Passes blanks and comments between slashes; with `lines` also line feeds and comments to the end of a line.
    pub(crate) fn skip_trivia(&mut self, lines: bool) {
        loop {
            match self.byte() {
                Some(b' ' | b'\t' | b'\r') => self.pos += 1,
                Some(b'\n') if lines => self.pass_line_feed(),
                Some(b'#') if lines => self.pos = line_end(self.text, self.pos),
                Some(b'/') => match byte(self.text, self.pos + 1) {
                    Some(b'/') if lines => self.pos = line_end(self.text, self.pos),
                    Some(b'*') => self.skip_block_comment(),
                    _ => return,
                },
                _ => return,
            }
        }
    }

    fn skip_block_comment(&mut self) {
        let start = self.pos;
        match slice(self.text, start + 2, self.text.len()).find("*/") {
            Some(length) => self.pos = start + 2 + length + 2,
            None => {
                self.errors.push(
                    Diagnostic::error("unclosed-comment", "this comment is never closed")
                        .at(self.span(start, start + 2))
                        .help("close it with `*/`"),
                );
                self.sound = false;
                self.pos = self.text.len();
            }
        }
        if slice(self.text, start, self.pos).contains('\n') {
            self.begin_line(line_start(self.text, self.pos));
        }
    }

    /// The extent of the expression at the current offset, which goes to its end: a line feed, a comment to the end of the line or a
    /// closing brace outside of all brackets. `depth` is how many blocks are open around it.
    pub(crate) fn expression(&mut self, depth: usize) -> Extent {
        self.begin(depth);
        self.run()
    }

    /// The extent of the quoted string at the current offset.
    pub(crate) fn string(&mut self, depth: usize) -> Extent {
        self.begin(depth);
        self.open_template(Kind::Quoted, Form::Quoted, self.pos, self.pos + 1);
        self.run()
    }

    /// The whole text as a template; it becomes the first mask.
    pub(crate) fn bare_template(&mut self) -> Extent {
        self.begin(0);
        self.open_template(Kind::Bare, Form::Bare, 0, 0);
        self.run()
    }

    fn begin(&mut self, depth: usize) {
        self.frames.clear();
        self.sound = true;
        self.string_took_line = false;
        self.depth = depth;
    }

    fn run(&mut self) -> Extent {
        let only_template = self.frames.len();
        loop {
            if only_template > 0 && self.frames.is_empty() {
                return Extent { end: self.pos, sound: self.sound, lost: None };
            }
            let step = match self.frames.last().map(|frame| frame.kind) {
                None | Some(Kind::Bracket(_) | Kind::Sequence { .. }) => self.code(),
                Some(Kind::Quoted) => self.quoted(),
                Some(Kind::Heredoc { marker, .. }) => self.heredoc(marker),
                Some(Kind::Bare) => self.bare(),
            };
            match step {
                Step::On => {}
                Step::End => return Extent { end: self.pos, sound: self.sound, lost: None },
                Step::Lost(lost) => return Extent { end: self.pos, sound: false, lost: Some(lost) },
            }
        }
    }

    /// One token outside of text.
    fn code(&mut self) -> Step {
        let Some(next) = self.byte() else {
            return if self.frames.is_empty() { Step::End } else { self.unclosed_at_end() };
        };
        match next {
            b'\n' => {
                if self.frames.is_empty() {
                    return Step::End;
                }
                self.pass_line_feed();
                return self.check_line();
            }
            b' ' | b'\t' | b'\r' => self.pos += 1,
            b'#' => return self.line_comment(),
            b'/' => match byte(self.text, self.pos + 1) {
                Some(b'/') => return self.line_comment(),
                Some(b'*') => {
                    let start = self.pos;
                    self.skip_block_comment();
                    self.masks.push(Mask { start, end: self.pos, template: None });
                }
                _ => self.pos += 1,
            },
            b'"' => {
                self.begin_entry();
                self.open_template(Kind::Quoted, Form::Quoted, self.pos, self.pos + 1);
            }
            b'\'' => self.single_quoted(),
            b'<' if byte(self.text, self.pos + 1) == Some(b'<') => {
                self.begin_entry();
                return self.open_heredoc();
            }
            b'(' | b'[' | b'{' => {
                self.begin_entry();
                return self.open(Kind::Bracket(next), 1);
            }
            b')' | b']' | b'}' => return self.close(next),
            b',' => {
                self.end_entry();
                self.pos += 1;
            }
            _ => {
                self.begin_entry();
                self.pos += 1;
            }
        }
        Step::On
    }

    fn line_comment(&mut self) -> Step {
        if self.frames.is_empty() {
            return Step::End;
        }
        let start = self.pos;
        self.pos = line_end(self.text, start);
        self.masks.push(Mask { start, end: self.pos, template: None });
        Step::On
    }

    fn begin_entry(&mut self) {
        let Some(frame) = self.frames.last_mut() else { return };
        if frame.kind == Kind::Bracket(b'{') && !frame.entry_begun {
            frame.entry_begun = true;
            frame.entries += 1;
            if frame.entries == MAX_OBJECT_ENTRIES + 1 {
                let opening = frame.opening;
                self.error(
                    Diagnostic::error("object-too-large", format!("this object has more than {MAX_OBJECT_ENTRIES} entries"))
                        .at(self.span(opening, opening + 1))
                        .help("make it by a `for` expression, or read it from a file with `jsondecode(file(…))`"),
                );
            }
        }
    }

    fn end_entry(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.entry_begun = false;
        }
    }

    fn error(&mut self, diagnostic: Diagnostic) {
        self.errors.push(diagnostic);
        self.sound = false;
    }

    /// Opens what nests: a bracket, a sequence, a heredoc.
    fn open(&mut self, kind: Kind, length: usize) -> Step {
        let nested = self.frames.iter().filter(|frame| frame.kind != Kind::Quoted && frame.kind != Kind::Bare).count();
        let opening = self.pos;
        if self.depth + nested >= MAX_NESTING {
            self.error(too_deep(self.span(opening, opening + length)));
            return Step::Lost(Lost { opening, heredoc: false });
        }
        self.frames.push(Frame {
            kind,
            opening,
            indent: self.indent,
            mask: 0,
            text_start: 0,
            suspect: None,
            entries: 0,
            entry_begun: false,
        });
        self.pos += length;
        Step::On
    }

    fn open_template(&mut self, kind: Kind, form: Form, opening: usize, text_start: usize) {
        let mask = self.masks.len();
        self.masks.push(Mask { start: opening, end: opening, template: Some(Template { form, pieces: Vec::new() }) });
        self.frames.push(Frame { kind, opening, indent: self.indent, mask, text_start, suspect: None, entries: 0, entry_begun: false });
        self.pos = text_start;
    }

    fn open_heredoc(&mut self) -> Step {
        let opening = self.pos;
        let flush = byte(self.text, opening + 2) == Some(b'-');
        let intro_end = opening + if flush { 3 } else { 2 };
        let mut marker_start = after_blanks(self.text, intro_end);
        let quote = byte(self.text, marker_start).filter(|next| matches!(next, b'"' | b'\''));
        marker_start += usize::from(quote.is_some());
        let marker_end = identifier_end(self.text, marker_start);
        let closed = usize::from(quote.is_some() && byte(self.text, marker_end) == quote);
        let feed = after_blanks(self.text, marker_end + closed);
        if marker_end == marker_start || marker_start != intro_end {
            let help = if quote.is_some() {
                "write the marker without quotes: <<EOT"
            } else {
                "write <<EOT, the text in lines of its own, then EOT"
            };
            self.error(
                Diagnostic::error("invalid-heredoc", "a heredoc begins with `<<` and a marker, which is a name")
                    .at(self.span(opening, intro_end))
                    .help(help),
            );
        }
        if marker_end == marker_start {
            self.pos = intro_end;
            return Step::On;
        }
        if byte(self.text, feed).is_some_and(|next| next != b'\n') {
            self.error(
                Diagnostic::error("invalid-heredoc", "the text of a heredoc begins in the line below its marker")
                    .at(self.span(feed, self.text.len().min(line_end(self.text, feed))))
                    .help(format!("end the line after `{}`", slice(self.text, opening, marker_end))),
            );
        }
        let step = self.open(Kind::Heredoc { marker: (marker_start, marker_end), flush }, marker_end - opening);
        if matches!(step, Step::On) {
            self.frames.pop();
            let body = (line_end(self.text, feed) + 1).min(self.text.len());
            self.open_template(Kind::Heredoc { marker: (marker_start, marker_end), flush }, Form::Heredoc { flush }, opening, body);
            self.begin_line(body);
        }
        step
    }

    fn single_quoted(&mut self) {
        let start = self.pos;
        let line = slice(self.text, start + 1, line_end(self.text, start));
        let closed = line.find('\'');
        let end = closed.map_or(start + 1, |length| start + 1 + length + 1);
        let help = match closed {
            Some(length) => format!("write \"{}\"", slice(line, 0, length).replace('"', "\\\"")),
            None => "write \" instead of '".to_owned(),
        };
        self.error(Diagnostic::error("single-quotes", "text stands in double quotes").at(self.span(start, end)).help(help));
        self.pos = end;
    }

    fn close(&mut self, closing: u8) -> Step {
        let Some(top) = self.frames.last() else {
            if closing == b'}' {
                return Step::End;
            }
            self.error(stray(self.span(self.pos, self.pos + 1), closing));
            self.pos += 1;
            return Step::On;
        };
        let opening = top.opening;
        match top.kind {
            Kind::Bracket(bracket) if closes(bracket) == closing => {
                if self.is_first_of_line() && self.indent < top.indent {
                    self.misaligned.get_or_insert(Misaligned { opening, closing: self.pos });
                }
                self.frames.pop();
                self.pos += 1;
                Step::On
            }
            Kind::Sequence { directive, strip_left } if closing == b'}' => {
                self.frames.pop();
                self.close_sequence(opening, directive, strip_left);
                Step::On
            }
            _ => self.mismatch(closing),
        }
    }

    fn close_sequence(&mut self, start: usize, directive: bool, strip_left: bool) {
        let inner_start = start + if strip_left { 3 } else { 2 };
        let strip_right = self.pos > inner_start && byte(self.text, self.pos - 1) == Some(b'~');
        let inner_end = self.pos - usize::from(strip_right);
        self.pos += 1;
        let end = self.pos;
        if let Some(frame) = self.frames.last_mut() {
            frame.text_start = end;
            let mask = frame.mask;
            let sequence = Sequence { start, end, inner_start, inner_end, directive, strip_left, strip_right };
            self.add_piece(mask, Piece::Sequence(sequence));
        }
    }

    fn add_piece(&mut self, mask: usize, piece: Piece) {
        if matches!(piece, Piece::Text { start, end } if start == end) {
            return;
        }
        if let Some(template) = self.masks.get_mut(mask).and_then(|mask| mask.template.as_mut()) {
            template.pieces.push(piece);
        }
    }

    /// What begins with `$` or `%` in a text: a sequence, its escape, or nothing special.
    fn sign(&mut self) -> Step {
        let rest = slice(self.text, self.pos, self.text.len());
        if rest.starts_with("$${") || rest.starts_with("%%{") {
            self.pos += 3;
            return Step::On;
        }
        if byte(self.text, self.pos + 1) != Some(b'{') {
            self.pos += 1;
            return Step::On;
        }
        if let Some(frame) = self.frames.last() {
            let (mask, start) = (frame.mask, frame.text_start);
            self.add_piece(mask, Piece::Text { start, end: self.pos });
        }
        let strip_left = byte(self.text, self.pos + 2) == Some(b'~');
        let directive = self.byte() == Some(b'%');
        self.open(Kind::Sequence { directive, strip_left }, if strip_left { 3 } else { 2 })
    }

    /// The end of the text of the innermost template, whose last byte is before `end`.
    fn close_template(&mut self, text_end: usize, end: usize) {
        let Some(frame) = self.frames.pop() else { return };
        self.add_piece(frame.mask, Piece::Text { start: frame.text_start, end: text_end });
        self.pos = end;
        let Some(mask) = self.masks.get_mut(frame.mask) else { return };
        mask.end = end;
        let plain = mask.template.as_ref().is_some_and(|template| {
            template.form == Form::Quoted && !template.pieces.iter().any(|piece| matches!(piece, Piece::Sequence(_)))
        });
        if plain {
            // Nothing stands inside of it, so it is the last one: the expression parser may see it.
            self.masks.truncate(frame.mask);
        }
    }

    fn quoted(&mut self) -> Step {
        loop {
            match self.byte() {
                None | Some(b'\n') => return self.unclosed_string(),
                Some(b'"') => {
                    self.close_template(self.pos, self.pos + 1);
                    return Step::On;
                }
                Some(b'\\') => self.escape(),
                Some(b'$' | b'%') => {
                    let open = self.frames.len();
                    let step = self.sign();
                    if self.frames.len() != open || !matches!(step, Step::On) {
                        return step;
                    }
                }
                Some(_) => self.pos += 1,
            }
        }
    }

    fn escape(&mut self) {
        match escape_length(self.text, self.pos) {
            Ok(length) => self.pos += length,
            Err(length) => {
                let end = (self.pos + length).min(self.text.len());
                let given = slice(self.text, self.pos, end);
                let help = match given.as_bytes().get(1) {
                    Some(b'u') => {
                        "`\\u` is followed by four hexadecimal digits that name a character; a backslash itself is written `\\\\`"
                            .to_owned()
                    }
                    Some(b'U') => {
                        "`\\U` is followed by eight hexadecimal digits that name a character; a backslash itself is written `\\\\`"
                            .to_owned()
                    }
                    _ => format!("escapes are \\n \\r \\t \\\" \\\\ \\uXXXX \\UXXXXXXXX; a backslash itself is written `\\{given}`"),
                };
                self.error(Diagnostic::error("invalid-escape", format!("`{given}` is no escape")).at(self.span(self.pos, end)).help(help));
                self.pos = end;
            }
        }
    }

    fn heredoc(&mut self, marker: (usize, usize)) -> Step {
        let marker = slice(self.text, marker.0, marker.1);
        loop {
            if self.pos == self.line {
                let start = self.pos + self.indent;
                let end = start + marker.len();
                let rest = after_blanks(self.text, end);
                if slice(self.text, start, end) == marker && matches!(byte(self.text, rest), None | Some(b'\n')) {
                    self.close_template(self.line, end);
                    return Step::On;
                }
            }
            match self.byte() {
                None => return self.unclosed_heredoc(),
                Some(b'\n') => self.pass_line_feed(),
                Some(b'$' | b'%') => {
                    let open = self.frames.len();
                    let step = self.sign();
                    if self.frames.len() != open || !matches!(step, Step::On) {
                        return step;
                    }
                }
                Some(_) => self.pos += 1,
            }
        }
    }

    fn bare(&mut self) -> Step {
        loop {
            match self.byte() {
                None => {
                    self.close_template(self.pos, self.pos);
                    return Step::End;
                }
                Some(b'\n') => self.pass_line_feed(),
                Some(b'$' | b'%') => {
                    let open = self.frames.len();
                    let step = self.sign();
                    if self.frames.len() != open || !matches!(step, Step::On) {
                        return step;
                    }
                }
                Some(_) => self.pos += 1,
            }
        }
    }
}

/// The bracket that closes one.
fn closes(bracket: u8) -> u8 {
    match bracket {
        b'(' => b')',
        b'[' => b']',
        _ => b'}',
    }
}

/// What is said of a closing bracket without an opening one.
pub(crate) fn stray(span: Span, closing: u8) -> Diagnostic {
    let opening = match closing {
        b')' => '(',
        b']' => '[',
        _ => '{',
    };
    Diagnostic::error("stray-bracket", format!("this `{}` closes nothing", char::from(closing)))
        .at(span)
        .help(format!("remove it, or add the `{opening}` that it should close"))
}

/// What is said where the limit of nesting is passed.
pub(crate) fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error("nesting-too-deep", format!("more than {MAX_NESTING} levels of nesting"))
        .at_saying(span, "this is one level too many")
        .help("give an inner part a name in `locals` and refer to it")
}
