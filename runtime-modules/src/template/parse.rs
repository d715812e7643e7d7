//! From text to the library's tree, with bounds before it and places beside it.

use std::sync::Arc;

use handlebars::template::TemplateMapping;

use super::{Fault, MAX_NESTING, MAX_TAGS, MAX_TEMPLATE_BYTES};

/// A template that was parsed.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    pub(crate) text: Arc<str>,
    /// Where each line begins.
    lines: Vec<usize>,
    pub(super) root: handlebars::Template,
}

/// Where an element of the tree begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(pub(super) usize);

/// Parses a template.
pub(crate) fn parse(text: Arc<str>) -> Result<Parsed, Fault> {
    if text.len() > MAX_TEMPLATE_BYTES {
        let message = format!("the template has {} bytes; at most {MAX_TEMPLATE_BYTES} are read", text.len());
        return Err(Fault { start: 0, end: 0, message, help: None });
    }
    check_nesting(&text)?;
    // The library's parser is not free of panics; no text of a user may end the program.
    let compiled = std::panic::catch_unwind(|| handlebars::Template::compile(&text));
    match compiled {
        Ok(Ok(root)) => Ok(Parsed { lines: lines(&text), text, root }),
        Ok(Err(error)) => Err(syntax_fault(&text, &error)),
        Err(_) => Err(Fault { start: 0, end: 0, message: "the template cannot be parsed".to_owned(), help: None }),
    }
}

/// Counts how deeply blocks and parentheses stand in one another, roughly: too much rather than too little.
fn check_nesting(text: &str) -> Result<(), Fault> {
    let too_deep = |at: usize| {
        let message = format!("blocks and parentheses are nested deeper than {MAX_NESTING} levels");
        Err(Fault { start: at, end: at, message, help: None })
    };
    // What each open block adds: itself, and one for each `else if` in it.
    let mut open: Vec<usize> = Vec::new();
    let mut at = 0;
    let mut tags = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find("{{")) {
        let start = at + found;
        let inside = start + 2;
        let rest = text.get(inside..).unwrap_or_default();
        let tag = rest.split("}}").next().unwrap_or_default();
        tags += 1;
        if tags > MAX_TAGS {
            let message = format!("the template has more than {MAX_TAGS} tags");
            return Err(Fault { start, end: inside, message, help: None });
        }
        if brackets(tag) > MAX_NESTING {
            return too_deep(start);
        }
        let word = tag.trim_start_matches(['{', '~', ' ', '\t', '\n', '\r']);
        if word.starts_with('#') || (word.starts_with('^') && word.trim_matches(['^', '~', ' ']).len() > 1) || rest.starts_with("{{") {
            open.push(1);
        } else if word.starts_with("else") {
            if let Some(last) = open.last_mut() {
                *last += 1;
            }
        } else if word.starts_with('/') {
            open.pop();
        }
        if open.iter().sum::<usize>() > MAX_NESTING {
            return too_deep(start);
        }
        at = inside;
    }
    Ok(())
}

fn brackets(tag: &str) -> usize {
    let mut depth = 0_usize;
    let mut deepest = 0;
    for c in tag.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn syntax_fault(text: &str, error: &handlebars::TemplateError) -> Fault {
    let reason = error.reason().to_string();
    let (line, column) = error.pos().unwrap_or((1, 1));
    let start = offset(text, &lines(text), line, column);
    // The parser says what it tried, rule by rule; what a reader needs is that it stopped here.
    let message = match error.reason() {
        handlebars::TemplateErrorReason::InvalidSyntax(_) => "the template cannot be read from here on".to_owned(),
        handlebars::TemplateErrorReason::MismatchingClosedHelper(open, closed) => {
            format!("`{{{{/{closed}}}}}` does not close `{{{{#{open}}}}}`")
        }
        _ => reason,
    };
    let fault = Fault { start, end: start, message, help: None };
    match unclosed(text) {
        Some((at, help)) => Fault { start: at, end: at + 2, ..fault }.help(help),
        None => fault.help("a tag is written `{{name}}` or `{{helper argument}}`, a block `{{#if name}}…{{/if}}`"),
    }
}

/// The first tag without an end, or block without its end.
fn unclosed(text: &str) -> Option<(usize, String)> {
    let mut open: Vec<(usize, String)> = Vec::new();
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find("{{")) {
        let start = at + found;
        let rest = text.get(start + 2..).unwrap_or_default();
        let Some(end) = rest.find("}}") else {
            return Some((start, "this `{{` has no `}}`".to_owned()));
        };
        let tag = rest.get(..end).unwrap_or_default().trim_start_matches(['~', ' ']);
        if let Some(opening) = tag.strip_prefix('#') {
            let name: String =
                opening.trim_start_matches(['*', '>', ' ']).chars().take_while(|c| !c.is_whitespace() && *c != '~').collect();
            open.push((start, name));
        } else if tag.starts_with('/') {
            open.pop();
        }
        at = start + 2 + end;
    }
    open.pop().map(|(start, name)| (start, format!("close this block with `{{{{/{name}}}}}`")))
}

impl Parsed {
    /// Where an element of a (part of a) template begins; for what the parser gives no place, where the part around it begins.
    pub(super) fn place(&self, mapping: &[TemplateMapping], index: usize, around: Place) -> Place {
        match mapping.get(index) {
            Some(at) => Place(offset(&self.text, &self.lines, at.0, at.1)),
            None => around,
        }
    }

    /// A fault at a word of an element: the first time that the word stands there by itself.
    pub(super) fn fault(&self, place: Place, word: &str, message: impl Into<String>) -> Fault {
        let (start, end) = self.find(place, word);
        Fault { start, end, message: message.into(), help: None }
    }

    fn find(&self, place: Place, word: &str) -> (usize, usize) {
        let rest = self.text.get(place.0..).unwrap_or_default();
        let part_of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '@' | '/' | '.' | '$' | ':');
        let alone = |at: usize| {
            let before = rest.get(..at).and_then(|text| text.chars().next_back());
            let after = rest.get(at + word.len()..).and_then(|text| text.chars().next());
            !before.is_some_and(part_of_name) && !after.is_some_and(part_of_name)
        };
        let found = if word.is_empty() { None } else { rest.match_indices(word).map(|(at, _)| at).find(|at| alone(*at)) };
        match found {
            Some(at) => (place.0 + at, place.0 + at + word.len()),
            None => (place.0, (place.0 + 2).min(self.text.len())),
        }
    }
}

/// Where each line of a text begins.
fn lines(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

/// The byte at a line and a column, both from 1.
fn offset(text: &str, lines: &[usize], line: usize, column: usize) -> usize {
    let Some(start) = lines.get(line.saturating_sub(1)) else { return text.len() };
    let rest = text.get(*start..).unwrap_or_default();
    start + rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at)
}

/// Line and column of a byte, both from 1.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before.get(line_start..).unwrap_or_default().chars().count() + 1)
}
