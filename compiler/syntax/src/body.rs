//! Blocks and attributes: the structure of a file, built from the scan.
//!
//! Open blocks are a stack of ours, not of the machine's. An error leaves out the top-level item it stands in and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_model::{Diagnostic, Diagnostics, FileId, MAX_FILE_BYTES, Span};

use crate::decode::{BYTE_ORDER_MARK, too_large};
use crate::lower::Lowering;
use crate::scan::{Lost, Scanner, stray, too_deep};
use crate::token::{Statement, after_blanks, identifier_end, line_end, literal, slice, statement_at};
use crate::{Attribute, Block, Body, Ident, Label, MAX_ERRORS, MAX_NESTING, message, scan, span};

/// Parses a file; see [`crate::parse_file`].
pub(crate) fn parse(file: FileId, text: &str) -> (Body, Diagnostics) {
    if text.len() as u64 > MAX_FILE_BYTES {
        return (Body::default(), too_large("the file", text.len()).at(span(file, 0, 0)).into());
    }
    let mut parser = Parser { scanner: Scanner::new(file, text), open: Vec::new(), root: OpenBody::default(), item: Item::default() };
    if text.starts_with(BYTE_ORDER_MARK) {
        parser.scanner.pos = BYTE_ORDER_MARK.len_utf8();
    }
    parser.run();
    let body = parser.root.close(span(file, 0, text.len()));
    let mut diagnostics: Diagnostics = parser.scanner.errors.into_iter().collect();
    diagnostics.sort();
    (body, diagnostics)
}

struct Parser<'t> {
    scanner: Scanner<'t>,
    open: Vec<OpenBlock>,
    root: OpenBody,
    item: Item,
}

/// The top-level block or attribute that is being read.
#[derive(Default)]
struct Item {
    indent: usize,
    /// How many errors there were before it.
    errors_before: usize,
}

#[derive(Default)]
struct OpenBody {
    body: Body,
    names: BTreeMap<Arc<str>, Span>,
}

struct OpenBlock {
    kind: Ident,
    labels: Vec<Label>,
    header: Span,
    brace: usize,
    /// The indentation of its first line, and of the first line in it.
    indent: usize,
    inner_indent: Option<usize>,
    /// Whether what it holds stands in the line of its brace.
    one_line: bool,
    /// The first line in it that looks as if it stood outside.
    suspect: Option<usize>,
    inside: OpenBody,
}

impl OpenBody {
    fn close(mut self, span: Span) -> Body {
        self.body.span = span;
        self.body
    }
}

impl Parser<'_> {
    fn run(&mut self) {
        loop {
            if self.scanner.errors.len() >= MAX_ERRORS {
                let at = self.scanner.span(self.scanner.pos, self.scanner.pos);
                self.scanner.errors.push(
                    Diagnostic::error("too-many-errors", format!("more than {MAX_ERRORS} errors; the rest of the file was not read"))
                        .at(at),
                );
                return;
            }
            self.scanner.skip_trivia(true);
            let Some(next) = self.scanner.byte() else {
                if self.open.is_empty() {
                    return;
                }
                self.unclosed_block();
                continue;
            };
            if self.open.is_empty() {
                self.item = Item { indent: self.scanner.indent(), errors_before: self.scanner.errors.len() };
                self.scanner.misaligned = None;
            }
            self.note_indentation(next);
            match next {
                b'}' => self.close_brace(),
                _ => self.statement(),
            }
            self.scanner.masks.clear();
        }
    }

    fn error(&mut self, diagnostic: Diagnostic) {
        self.scanner.errors.push(diagnostic);
    }

    /// Remembers a line of the innermost block that stands too far left to belong to it.
    fn note_indentation(&mut self, next: u8) {
        if !self.scanner.is_first_of_line() {
            return;
        }
        let (indent, pos) = (self.scanner.indent(), self.scanner.pos);
        let Some(block) = self.open.last_mut().filter(|_| next != b'}') else { return };
        let inner = *block.inner_indent.get_or_insert(indent);
        if inner > block.indent && indent <= block.indent && block.suspect.is_none() {
            block.suspect = Some(pos);
        }
    }

    fn statement(&mut self) {
        let start = self.scanner.pos;
        let end = identifier_end(self.scanner.text, start);
        if end == start {
            let diagnostic = message::not_a_statement(&self.scanner);
            self.error(diagnostic);
            self.pass_statement();
            return;
        }
        let name = Ident { name: Arc::from(slice(self.scanner.text, start, end)), span: self.scanner.span(start, end) };
        self.scanner.pos = end;
        self.scanner.skip_trivia(false);
        match self.scanner.byte() {
            Some(b'=') if !matches!(slice(self.scanner.text, self.scanner.pos + 1, self.scanner.pos + 2), "=" | ">") => {
                self.scanner.pos += 1;
                self.attribute(name, start);
            }
            Some(b'{') => self.block(name, Vec::new(), start, end),
            _ => self.labels(name, start, end),
        }
    }

    fn attribute(&mut self, name: Ident, start: usize) {
        self.scanner.skip_trivia(false);
        let value_start = self.scanner.pos;
        let extent = self.scanner.expression(self.open.len());
        if let Some(lost) = extent.lost {
            self.recover(lost);
            return;
        }
        let text = self.scanner.text;
        let end = value_start + slice(text, value_start, extent.end).trim_end().len();
        let value = if end == value_start {
            if extent.sound {
                let (diagnostic, value_below) = message::no_value(&self.scanner, &name);
                self.error(diagnostic);
                if let Some(below) = value_below {
                    self.scanner.go_to(below);
                    self.pass_statement();
                }
            }
            None
        } else if extent.sound {
            let in_line = self.open.last().is_some_and(|block| block.one_line);
            let mut lowering = Lowering::new(&self.scanner);
            let value = lowering.attribute_value(value_start, end, in_line);
            let errors = lowering.errors;
            self.scanner.errors.extend(errors);
            value
        } else {
            None
        };
        let span = self.scanner.span(start, end.max(value_start));
        self.add_attribute(name, value.map(|value| (value, span)));
        if extent.sound || !self.scanner.is_first_of_line() {
            self.end_statement();
        }
    }

    fn add_attribute(&mut self, name: Ident, value: Option<(cloudtik_model::Expr, Span)>) {
        let inside = self.open.last_mut().map_or(&mut self.root, |block| &mut block.inside);
        if let Some(first) = inside.names.get(&name.name) {
            let diagnostic = Diagnostic::error("duplicate-attribute", format!("`{}` is defined twice", name.name))
                .at_saying(name.span, "defined again here")
                .and_at(*first, "defined here first")
                .help("keep one of them");
            self.error(diagnostic);
            return;
        }
        inside.names.insert(Arc::clone(&name.name), name.span);
        let sound = !self.open.is_empty() || self.scanner.errors.len() == self.item.errors_before;
        if let Some((value, span)) = value.filter(|_| sound) {
            let inside = self.open.last_mut().map_or(&mut self.root, |block| &mut block.inside);
            inside.body.attributes.push(Attribute { name, value, span });
        }
    }

    /// The labels of a block and its opening brace.
    fn labels(&mut self, kind: Ident, start: usize, kind_end: usize) {
        let mut labels = Vec::new();
        let mut header_end = kind_end;
        loop {
            let at = self.scanner.pos;
            match self.scanner.byte() {
                Some(b'{') => return self.block(kind, labels, start, header_end),
                Some(b'"') => match self.quoted_label(at) {
                    Some(label) => labels.push(label),
                    None => return,
                },
                _ => {
                    let end = identifier_end(self.scanner.text, at);
                    if end == at {
                        return self.no_brace(&kind, &labels, start, header_end);
                    }
                    self.scanner.pos = end;
                    labels.push(Label { text: Arc::from(slice(self.scanner.text, at, end)), span: self.scanner.span(at, end) });
                }
            }
            header_end = self.scanner.pos;
            self.scanner.skip_trivia(false);
        }
    }

    /// A label in quotes; `None` after an error, with the statement passed.
    fn quoted_label(&mut self, start: usize) -> Option<Label> {
        let string = self.scanner.string(self.open.len());
        if let Some(lost) = string.lost {
            self.recover(lost);
            return None;
        }
        let span = self.scanner.span(start, string.end);
        if string.sound && self.scanner.masks.iter().all(|mask| mask.template.is_none()) {
            let inner = slice(self.scanner.text, start + 1, string.end - 1);
            return Some(Label { text: Arc::from(literal(inner, true)), span });
        }
        if string.sound {
            self.error(
                Diagnostic::error("template-in-label", "a label is plain text")
                    .at(span)
                    .help("write the name itself; for several blocks use `for_each`"),
            );
        }
        self.pass_statement();
        None
    }

    /// Neither a label nor a brace stands where a block should go on.
    fn no_brace(&mut self, kind: &Ident, labels: &[Label], start: usize, header_end: usize) {
        let text = self.scanner.text;
        let below = {
            let mut at = self.scanner.pos;
            while slice(text, at, at + 1).starts_with(['\n', ' ', '\t', '\r']) {
                at += 1;
            }
            at
        };
        let brace_below = below > self.scanner.pos && slice(text, below, below + 1) == "{";
        let diagnostic = message::no_brace(&self.scanner, kind, labels, header_end, brace_below.then_some(below));
        self.error(diagnostic);
        if brace_below {
            self.scanner.go_to(below);
            self.block(kind.clone(), labels.to_vec(), start, header_end);
        } else {
            self.pass_statement();
        }
    }

    fn block(&mut self, kind: Ident, labels: Vec<Label>, start: usize, header_end: usize) {
        let brace = self.scanner.pos;
        if self.open.len() >= MAX_NESTING {
            self.error(too_deep(self.scanner.span(brace, brace + 1)));
            self.recover(Lost { opening: brace, heredoc: false });
            return;
        }
        if self.open.last().is_some_and(|outer| outer.one_line) {
            self.error(
                Diagnostic::error("one-line-block", "a block on one line holds one attribute and no block")
                    .at(kind.span)
                    .help("write each on a line of its own, between the braces"),
            );
        }
        let header = self.scanner.span(start, header_end);
        let indent = self.scanner.indent();
        self.scanner.pos += 1;
        self.scanner.skip_trivia(false);
        let rest = slice(self.scanner.text, self.scanner.pos, self.scanner.text.len());
        let one_line = !(rest.is_empty() || rest.starts_with(['\n', '#']) || rest.starts_with("//"));
        let inside = OpenBody::default();
        self.open.push(OpenBlock { kind, labels, header, brace, indent, inner_indent: None, one_line, suspect: None, inside });
    }

    fn close_brace(&mut self) {
        let pos = self.scanner.pos;
        let Some(block) = self.open.pop() else {
            self.error(stray(self.scanner.span(pos, pos + 1), b'}'));
            self.scanner.pos += 1;
            return;
        };
        if self.scanner.is_first_of_line() && self.scanner.indent() < block.indent {
            self.scanner.misaligned.get_or_insert(scan::Misaligned { opening: block.brace, closing: pos });
        }
        self.scanner.pos += 1;
        let body = block.inside.close(self.scanner.span(block.brace + 1, pos));
        let span = block.header.to(self.scanner.span(pos, pos + 1));
        let closed = Block { kind: block.kind, labels: block.labels, body, span, header: block.header };
        self.end_statement();
        match self.open.last_mut() {
            Some(outer) => outer.inside.body.blocks.push(closed),
            None if self.scanner.errors.len() == self.item.errors_before => self.root.body.blocks.push(closed),
            None => {}
        }
    }

    /// What follows an attribute or a block: the end of the line, or the brace of a block on one line.
    fn end_statement(&mut self) {
        self.scanner.skip_trivia(false);
        let rest = slice(self.scanner.text, self.scanner.pos, self.scanner.text.len());
        let in_line = self.open.last().is_some_and(|block| block.one_line);
        let at_end = rest.is_empty() || rest.starts_with(['\n', '#']) || rest.starts_with("//");
        if at_end && in_line {
            self.unfinished_line();
        } else if rest.starts_with('}') && self.open.is_empty() {
            self.error(stray(self.scanner.span(self.scanner.pos, self.scanner.pos + 1), b'}'));
            self.scanner.pos += 1;
        } else if !(at_end || in_line && rest.starts_with('}')) {
            let diagnostic = message::no_line_end(&self.scanner);
            self.error(diagnostic);
            if !rest.starts_with('}') {
                self.pass_statement();
            }
        }
    }

    /// A block that begins like one on one line and goes on in the next.
    fn unfinished_line(&mut self) {
        let Some(block) = self.open.last_mut() else { return };
        block.one_line = false;
        let brace = block.brace;
        let diagnostic = Diagnostic::error("one-line-block", "what a block of several lines holds begins in the line below its brace")
            .at(self.scanner.span(brace, brace + 1))
            .help("end the line after `{`");
        self.error(diagnostic);
    }

    /// Passes the rest of a statement after an error in it, brackets and strings in it included, without another word.
    fn pass_statement(&mut self) {
        let errors = self.scanner.errors.len();
        let extent = self.scanner.expression(self.open.len());
        self.scanner.errors.truncate(errors);
        if let Some(lost) = extent.lost {
            self.recover(lost);
            return;
        }
        if self.scanner.byte() == Some(b'}') && self.open.is_empty() {
            self.scanner.pos += 1;
        }
    }

    /// The file ends inside a block.
    fn unclosed_block(&mut self) {
        let diagnosed = self.scanner.errors.len() > self.item.errors_before;
        let guilty = self.open.iter().rfind(|block| block.suspect.is_some()).or(self.open.last());
        let Some((brace, suspect)) = guilty.map(|block| (block.brace, block.suspect)) else { return };
        let outermost = self.open.first().map_or(0, |block| block.brace);
        let (opening, diagnostic) = match self.scanner.misaligned.filter(|found| found.opening > outermost) {
            Some(found) => (found.opening, scan::misaligned_bracket(&self.scanner, found.opening, found.closing)),
            None => {
                let diagnostic = scan::unclosed_bracket(&self.scanner, brace, b'}');
                let diagnostic = match suspect {
                    Some(at) => {
                        let end = message::token_end(self.scanner.text, at);
                        diagnostic.and_at(self.scanner.span(at, end), "it should probably be closed before this")
                    }
                    None => diagnostic,
                };
                (brace, diagnostic)
            }
        };
        let known = |error: &Diagnostic| error.primary.as_ref().map(|label| label.span) == diagnostic.primary.as_ref().map(|l| l.span);
        if !(diagnosed && self.scanner.errors.iter().skip(self.item.errors_before).any(known)) {
            self.error(diagnostic);
        }
        self.recover(Lost { opening, heredoc: false });
    }

    /// Gives up the current item and goes on at the next line that looks like a top-level item.
    fn recover(&mut self, lost: Lost) {
        self.open.clear();
        let text = self.scanner.text;
        let mut at = line_end(text, lost.opening);
        while at < text.len() {
            let start = after_blanks(text, at + 1);
            if start - (at + 1) <= self.item.indent {
                let found = match statement_at(text, start) {
                    Some(Statement::Block { quoted_label }) => quoted_label || !lost.heredoc,
                    Some(Statement::Attribute) => !lost.heredoc,
                    None => false,
                };
                if found {
                    self.scanner.go_to(start);
                    return;
                }
            }
            at = line_end(text, start);
        }
        self.scanner.go_to(text.len());
    }
}
