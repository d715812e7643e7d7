//! Templates: escapes, indentation, strip markers and directives.
//!
//! The order is that of the language: a `<<-` heredoc loses its indentation first, as it stands in the source, then strip markers
//! take white space. In text of several lines a marker takes white space of the adjacent line only, its line feed included.

use std::sync::Arc;

use cloudtik_model::{Diagnostic, Expr, ExprKind, Span, TemplatePart, Value, did_you_mean};

use crate::MAX_NESTING;
use crate::lower::Lowering;
use crate::message::token_end;
use crate::scan::{Form, Piece, Sequence, Template, too_deep};
use crate::token::{identifier_end, literal, slice};

/// A piece of a template with its text as it will be.
enum Flat {
    Text(String),
    Sequence(Sequence),
}

/// A directive that is open.
struct Open {
    kind: OpenKind,
    span: Span,
    /// The parts before it, to which it will be added.
    before: Vec<TemplatePart>,
}

enum OpenKind {
    /// The condition, and the parts before `%{ else }` once that was seen, with its place.
    If {
        condition: Option<Expr>,
        yes: Option<(Vec<TemplatePart>, Span)>,
    },
    For {
        key_variable: Option<Arc<str>>,
        value_variable: Arc<str>,
        collection: Option<Expr>,
    },
}

impl Lowering<'_> {
    /// The expression of a template that stands from `start` to `end`.
    pub(crate) fn template(&mut self, template: &Template, start: usize, end: usize, depth: usize) -> Option<Expr> {
        if let [Piece::Sequence(only)] = template.pieces.as_slice()
            && !only.directive
        {
            return self.in_sequence(only.inner_start, only.inner_end, depth + 1);
        }
        let span = self.span(start, end);
        let mut parts = self.build(self.flatten(template), depth + 1)?;
        let kind = match parts.as_mut_slice() {
            [] => ExprKind::Literal(Value::from("")),
            [TemplatePart::Text(text)] => ExprKind::Literal(Value::from(Arc::clone(text))),
            _ => ExprKind::Template(parts),
        };
        Some(Expr::new(kind, span))
    }

    fn flatten(&self, template: &Template) -> Vec<Flat> {
        let mut flat = Vec::new();
        for piece in &template.pieces {
            match *piece {
                Piece::Text { start, end } if template.form == Form::Quoted => {
                    flat.push(Flat::Text(literal(slice(self.text, start, end), true)));
                }
                Piece::Text { start, end } => {
                    flat.extend(slice(self.text, start, end).split_inclusive('\n').map(|line| Flat::Text(literal(line, false))));
                }
                Piece::Sequence(sequence) => flat.push(Flat::Sequence(sequence)),
            }
        }
        if template.form == (Form::Heredoc { flush: true }) {
            remove_indentation(&mut flat);
        }
        strip(&mut flat);
        join(flat)
    }

    fn build(&mut self, flat: Vec<Flat>, depth: usize) -> Option<Vec<TemplatePart>> {
        let errors = self.errors.len();
        let mut parts: Vec<TemplatePart> = Vec::new();
        let mut open: Vec<Open> = Vec::new();
        for piece in flat {
            match piece {
                Flat::Text(text) => parts.push(TemplatePart::Text(Arc::from(text))),
                Flat::Sequence(sequence) if sequence.directive => {
                    let known = self.errors.len() > errors;
                    self.directive(sequence, depth + open.len(), &mut parts, &mut open, known);
                }
                Flat::Sequence(sequence) => {
                    let value = self.in_sequence(sequence.inner_start, sequence.inner_end, depth + open.len() + 1);
                    parts.extend(value.map(TemplatePart::Value));
                }
            }
        }
        // After an error in a directive its end is missing or too much; that needs no further word.
        let open = if self.errors.len() > errors { Vec::new() } else { open };
        for unclosed in open {
            let (name, end) = unclosed.kind.names();
            self.errors.push(
                Diagnostic::error("unclosed-directive", format!("this `%{{ {name} }}` has no `%{{ {end} }}`"))
                    .at(unclosed.span)
                    .help(format!("end what it governs with `%{{ {end} }}`")),
            );
        }
        (self.errors.len() == errors).then_some(parts)
    }

    fn directive(&mut self, sequence: Sequence, depth: usize, parts: &mut Vec<TemplatePart>, open: &mut Vec<Open>, known: bool) {
        let span = self.span(sequence.start, sequence.end);
        let start = self.after_space(sequence.inner_start, sequence.inner_end);
        let end = identifier_end(self.text, start).min(sequence.inner_end);
        let keyword = slice(self.text, start, end);
        if matches!(keyword, "else" | "endif" | "endfor") && self.after_space(end, sequence.inner_end) < sequence.inner_end {
            let rest = self.after_space(end, sequence.inner_end);
            let help = if keyword == "else" {
                "nest another `%{ if … }` … `%{ endif }` in it".to_owned()
            } else {
                format!("write `%{{ {keyword} }}`")
            };
            self.errors.push(
                Diagnostic::error("invalid-directive", format!("nothing follows `{keyword}`"))
                    .at(self.span(rest, sequence.inner_end))
                    .help(help),
            );
            // What it ends or divides is known all the same.
        }
        match keyword {
            "if" | "for" if open.len() >= MAX_NESTING => self.errors.push(too_deep(span)),
            "if" => {
                let condition = self.in_sequence(end, sequence.inner_end, depth + 1);
                let kind = OpenKind::If { condition, yes: None };
                open.push(Open { kind, span, before: std::mem::take(parts) });
            }
            "for" => {
                let Some(kind) = self.for_directive(end, sequence.inner_end, depth) else { return };
                open.push(Open { kind, span, before: std::mem::take(parts) });
            }
            "else" => self.else_directive(span, parts, open.last_mut()),
            "endif" | "endfor" => {
                let error = self.end_directive(keyword, span, parts, open);
                self.errors.extend(error.filter(|_| !known));
            }
            _ => self.unknown_directive(keyword, self.span(start, end.max(start)), span),
        }
    }

    fn unknown_directive(&mut self, keyword: &str, place: Span, span: Span) {
        let diagnostic = match keyword {
            "" => Diagnostic::error("invalid-directive", "a directive begins with `if`, `else`, `endif`, `for` or `endfor`").at(span),
            _ => Diagnostic::error("invalid-directive", format!("there is no directive `{keyword}`")).at(place),
        };
        let meant = did_you_mean(keyword, ["if", "else", "endif", "for", "endfor"]);
        self.errors.push(match (keyword, meant) {
            ("elseif" | "elif", _) => diagnostic.help("nest another `%{ if … }` … `%{ endif }` in the `%{ else }`"),
            (_, Some(meant)) => diagnostic.help(format!("did you mean `{meant}`? For a literal `%{{` write `%%{{`")),
            (_, None) => diagnostic.help("for a literal `%{` write `%%{`"),
        });
    }

    /// `for [key,] value in collection`, after the first word.
    fn for_directive(&mut self, start: usize, limit: usize, depth: usize) -> Option<OpenKind> {
        let (first, mut at) = self.name(start, limit)?;
        let mut names = (None, first);
        if slice(self.text, at, limit).starts_with(',') {
            let (second, after) = self.name(at + 1, limit)?;
            names = (Some(names.1), second);
            at = after;
        }
        let end = identifier_end(self.text, at).min(limit);
        if slice(self.text, at, end) != "in" {
            let place = self.span(at, token_end(self.text, at).min(limit));
            self.errors.push(
                Diagnostic::error("invalid-directive", "`in` is missing after the name")
                    .at(place)
                    .help("write `%{ for name in collection }`"),
            );
            return None;
        }
        let collection = self.in_sequence(end, limit, depth + 1);
        Some(OpenKind::For { key_variable: names.0, value_variable: names.1, collection })
    }

    /// A name of a `for` directive, and the offset of what follows it.
    fn name(&mut self, start: usize, limit: usize) -> Option<(Arc<str>, usize)> {
        let start = self.after_space(start, limit);
        let end = identifier_end(self.text, start).min(limit);
        if end <= start {
            self.errors.push(
                Diagnostic::error("invalid-directive", "a name is missing here")
                    .at(self.span(start, token_end(self.text, start).min(limit)))
                    .help("write `%{ for name in collection }`"),
            );
            return None;
        }
        Some((Arc::from(slice(self.text, start, end)), self.after_space(end, limit)))
    }

    fn else_directive(&mut self, span: Span, parts: &mut Vec<TemplatePart>, innermost: Option<&mut Open>) {
        match innermost.map(|open| &mut open.kind) {
            Some(OpenKind::If { yes: yes @ None, .. }) => *yes = Some((std::mem::take(parts), span)),
            Some(OpenKind::If { yes: Some((_, first)), .. }) => {
                let diagnostic = Diagnostic::error("invalid-directive", "a second `%{ else }` for one `%{ if }`").at(span);
                self.errors.push(diagnostic.and_at(*first, "the first one"));
            }
            _ => self.errors.push(Diagnostic::error("invalid-directive", "this `%{ else }` belongs to no `%{ if }`").at(span)),
        }
    }

    fn end_directive(&self, keyword: &str, span: Span, parts: &mut Vec<TemplatePart>, open: &mut Vec<Open>) -> Option<Diagnostic> {
        let Some(innermost) = open.pop_if(|innermost| innermost.kind.names().1 == keyword) else {
            let begin = if keyword == "endif" { "if" } else { "for" };
            let mut diagnostic =
                Diagnostic::error("invalid-directive", format!("this `%{{ {keyword} }}` ends no `%{{ {begin} }}`")).at(span);
            if let Some(other) = open.last() {
                let (name, end) = other.kind.names();
                diagnostic = diagnostic.and_at(other.span, format!("this `%{{ {name} }}` ends with `%{{ {end} }}` and is still open"));
            }
            return Some(diagnostic);
        };
        let inner = std::mem::replace(parts, innermost.before);
        parts.extend(match innermost.kind {
            OpenKind::If { condition, yes } => {
                let (yes, no) = match yes {
                    Some((yes, _)) => (yes, inner),
                    None => (inner, Vec::new()),
                };
                condition.map(|condition| TemplatePart::If { condition, yes, no })
            }
            OpenKind::For { key_variable, value_variable, collection } => {
                collection.map(|collection| TemplatePart::For { key_variable, value_variable, collection, body: inner })
            }
        });
        None
    }

    /// The first offset that holds neither white space nor a comment.
    fn after_space(&self, mut at: usize, limit: usize) -> usize {
        loop {
            let rest = slice(self.text, at, limit);
            at += rest.len() - rest.trim_start().len();
            match self.comment_end(at) {
                Some(end) if end <= limit => at = end,
                _ => return at,
            }
        }
    }
}

impl OpenKind {
    /// How it begins and ends.
    const fn names(&self) -> (&'static str, &'static str) {
        match self {
            Self::If { .. } => ("if", "endif"),
            Self::For { .. } => ("for", "endfor"),
        }
    }
}

/// Adjacent text as one, without empty ones.
fn join(flat: Vec<Flat>) -> Vec<Flat> {
    let mut joined: Vec<Flat> = Vec::new();
    for piece in flat {
        match (joined.last_mut(), piece) {
            (_, Flat::Text(text)) if text.is_empty() => {}
            (Some(Flat::Text(last)), Flat::Text(text)) => last.push_str(&text),
            (_, piece) => joined.push(piece),
        }
    }
    joined
}

/// Takes from each line as much white space as the line with the least has. Lines of white space alone neither count nor change.
fn remove_indentation(flat: &mut [Flat]) {
    let mut least = usize::MAX;
    let mut lines = Vec::new();
    let mut new_line = true;
    for (at, piece) in flat.iter().enumerate() {
        let text = match piece {
            Flat::Text(text) => text.as_str(),
            Flat::Sequence(_) => "",
        };
        if new_line && !(text.ends_with('\n') && text.trim().is_empty()) {
            least = least.min(text.chars().take_while(|c| c.is_whitespace()).count());
            lines.push(at);
        }
        new_line = text.ends_with('\n');
    }
    for at in lines {
        if let Some(Flat::Text(text)) = flat.get_mut(at) {
            *text = text.chars().skip(least).collect();
        }
    }
}

/// Takes the white space that strip markers say.
fn strip(flat: &mut [Flat]) {
    for at in 0..flat.len() {
        let Some(Flat::Sequence(Sequence { strip_left, strip_right, .. })) = flat.get(at) else { continue };
        let (left, right) = (*strip_left, *strip_right);
        if left && let Some(Flat::Text(text)) = at.checked_sub(1).and_then(|before| flat.get_mut(before)) {
            text.truncate(text.trim_end().len());
        }
        if right && let Some(Flat::Text(text)) = flat.get_mut(at + 1) {
            *text = text.trim_start().to_owned();
        }
    }
}
