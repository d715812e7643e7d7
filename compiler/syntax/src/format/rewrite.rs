//! Ways of writing that mean the same as a plainer one: a label without quotes, a template that is nothing but one value, and the types of
//! variables in words of old.

use std::ops::Range;

use cloudtik_model::Span;

use super::tokens::{Bracket, Kind, Token, tokens};
use crate::token::slice;
use crate::{Attribute, Block, Body, Label};

/// What a type of a variable is written as today.
const TYPES: [(&str, &str); 6] = [
    ("\"string\"", "string"),
    ("\"list\"", "list(string)"),
    ("\"map\"", "map(string)"),
    ("list", "list(any)"),
    ("map", "map(any)"),
    ("set", "set(any)"),
];

/// A part of the text that something else takes the place of.
struct Edit {
    at: Range<usize>,
    text: String,
}

/// The text with the plainer ways of writing.
pub(super) fn rewrite(text: &str, body: &Body) -> String {
    let mut edits = Vec::new();
    for block in body.blocks.iter().filter(|block| is_variable(block)) {
        edits.extend(block.body.attributes.iter().filter(is_type).filter_map(|attribute| type_of_variable(text, attribute)));
    }
    within(text, body, false, &mut edits);
    edits.sort_by_key(|edit| edit.at.start);
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for edit in &edits {
        out.push_str(slice(text, copied, edit.at.start));
        out.push_str(&edit.text);
        copied = edit.at.end;
    }
    out.push_str(slice(text, copied, text.len()));
    out
}

/// The edits of a body and of the blocks in it. The type of a variable is none of its values.
fn within(text: &str, body: &Body, of_variable: bool, edits: &mut Vec<Edit>) {
    let values = body.attributes.iter().filter(|attribute| !of_variable || !is_type(attribute));
    edits.extend(values.filter_map(|attribute| only_a_value(text, attribute)));
    for block in &body.blocks {
        edits.extend(labels(text, block));
        within(text, &block.body, is_variable(block), edits);
    }
}

fn is_variable(block: &Block) -> bool {
    &*block.kind.name == "variable"
}

fn is_type(attribute: &&Attribute) -> bool {
    &*attribute.name.name == "type"
}

/// `resource foo "bar" {` is `resource "foo" "bar" {`.
fn labels(text: &str, block: &Block) -> Option<Edit> {
    let is_bare = |label: &Label| !slice(text, start(label.span), end(label.span)).starts_with('"');
    if !block.labels.iter().any(is_bare) {
        return None;
    }
    let mut header = String::new();
    for label in &block.labels {
        let written = slice(text, start(label.span), end(label.span));
        header.push_str(&if is_bare(label) { format!(" \"{written}\"") } else { format!(" {written}") });
    }
    Some(Edit { at: end(block.kind.span)..end(block.header), text: header })
}

fn type_of_variable(text: &str, attribute: &Attribute) -> Option<Edit> {
    let at = value(text, attribute);
    let (_, today) = TYPES.iter().find(|(old, _)| *old == slice(text, at.start, at.end))?;
    Some(Edit { at, text: (*today).to_owned() })
}

/// `"${var.x}"` is `var.x`. What goes over several lines without its quotes needs brackets around it.
fn only_a_value(text: &str, attribute: &Attribute) -> Option<Edit> {
    let at = value(text, attribute);
    let written = slice(text, at.start, at.end);
    let tokens = tokens(written);
    let [quote, opening, inner @ .., closing, last] = tokens.as_slice() else { return None };
    let is_template = quote.kind == Kind::OpenQuote && last.kind == Kind::CloseQuote;
    let is_value = slice(written, opening.span.start, opening.span.end).starts_with("${") && closing.kind == Kind::Close(Bracket::Sequence);
    if !is_template || !is_value || !is_one(inner) {
        return None;
    }
    let is_text = |token: &Token| token.kind != Kind::Newline;
    let first = inner.iter().position(is_text)?;
    let inner = inner.get(first..=inner.iter().rposition(is_text)?)?;
    let plain = slice(written, inner.first()?.span.start, inner.last()?.span.end);
    let lines = inner.iter().any(|token| token.kind == Kind::Newline);
    Some(Edit { at, text: if lines { format!("({plain})") } else { plain.to_owned() } })
}

/// Whether what stands between the two ends of a sequence closes none but what it opens: it is one sequence, and not two.
fn is_one(inner: &[Token]) -> bool {
    let mut open = 0_usize;
    for token in inner {
        match token.kind {
            Kind::Open(_) => open += 1,
            Kind::Close(_) => match open.checked_sub(1) {
                Some(less) => open = less,
                None => return false,
            },
            _ => {}
        }
    }
    true
}

/// Where the value is written; the span of the expression is that of what a template comes to.
fn value(text: &str, attribute: &Attribute) -> Range<usize> {
    let (from, to) = (end(attribute.name.span), end(attribute.span));
    let equals = slice(text, from, to).find('=').map_or(to, |equals| from + equals + 1);
    let blanks = slice(text, equals, to).len() - slice(text, equals, to).trim_start().len();
    equals + blanks..to
}

fn start(span: Span) -> usize {
    usize::try_from(span.start).unwrap_or(usize::MAX)
}

fn end(span: Span) -> usize {
    usize::try_from(span.end).unwrap_or(usize::MAX)
}
