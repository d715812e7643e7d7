//! Handlebars, strictly: what a template names must be there, what it prints must be a text, a number or a bool.
//!
//! The library parses; both the check of names and the rendering walk its tree here. So a name that is missing is an error wherever it
//! stands, nothing is escaped behind the author's back, numbers are printed exactly, and everything is bounded.

mod check;
mod helpers;
mod parse;
mod path;
mod print;
mod shape;
mod walk;

use std::sync::Arc;

use cloudtik_model::{Template, Value};

pub(crate) use check::check;
pub(crate) use parse::{Parsed, parse};

/// The largest template: configuration files that people write have some tens of KiB.
pub const MAX_TEMPLATE_BYTES: usize = 64 * 1024;

/// The most tags of a template: the parser counts lines from the start of the text for each, so its time grows with tags times size.
pub const MAX_TAGS: usize = 2_000;

/// The largest text that a template makes: it travels in one frame to the node.
pub const MAX_OUTPUT_BYTES: usize = 4 * 1024 * 1024;

/// How deeply blocks, partials and parentheses stand in one another: nobody reads more, and the parser is recursive.
pub const MAX_NESTING: usize = 32;

/// The most elements that one check or one rendering visits: loops in loops need not print anything to take for ever.
pub const MAX_STEPS: u64 = 200_000;

/// Why a template cannot be filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{template}:{line}:{column}: {message}")]
pub struct RenderError {
    /// The template, as messages call it.
    pub template: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub message: String,
}

/// What is wrong with a template, and where in its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// First byte.
    pub(crate) start: usize,
    /// One past the last byte.
    pub(crate) end: usize,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Fault {
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn into_error(self, name: &str, text: &str) -> RenderError {
        let (line, column) = parse::position(text, self.start);
        RenderError { template: name.to_owned(), line, column, message: self.message }
    }
}

/// The text of a template. Every value must be known.
///
/// # Errors
/// A name is missing, something has no text, or a limit is passed; with the place in the template.
pub fn render(template: &Template, bindings: &Value) -> Result<String, RenderError> {
    let failed = |fault: Fault| fault.into_error(&template.name, &template.text);
    let parsed = parse(Arc::clone(&template.text)).map_err(failed)?;
    print::print(&parsed, bindings, print::Mode::Final).map_err(failed)
}

/// The preview of a template with other bindings.
///
/// # Errors
/// As [`render`].
pub fn preview_with(template: &Template, bindings: &Value) -> Result<String, RenderError> {
    let failed = |fault: Fault| fault.into_error(&template.name, &template.text);
    let parsed = parse(Arc::clone(&template.text)).map_err(failed)?;
    preview(&parsed, bindings).map_err(failed)
}

/// The text of a template with what is not known, or not to be shown, said in its place: `<node.address>`.
pub(crate) fn preview(parsed: &Parsed, bindings: &Value) -> Result<String, Fault> {
    print::print(parsed, bindings, print::Mode::Preview)
}
