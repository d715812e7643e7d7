//! Spanned syntax of the spec language: text in, a tree of blocks, attributes and expressions out, with every error at its place.
//!
//! The language is the native syntax of HCL. One linear scan finds where blocks, attributes, strings, templates and comments begin
//! and end, and says what is unclosed. Blocks and attributes are built from it directly. Each expression is then parsed by
//! `hcl-edit`, alone, its templates and comments blanked out; the result is lowered to [`cloudtik_model::Expr`] and dropped, so
//! memory is one expression's, and an error in one expression hides no other. No type of the parser leaves this package.
//!
//! This package does not know what a block means, evaluates nothing and reads no file.

mod body;
mod decode;
mod format;
mod lower;
mod message;
mod relax;
mod scan;
mod template;
mod token;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use cloudtik_model::{Diagnostics, Expr, FileId, Span};

pub use decode::decode;
pub use format::format;

/// The deepest nesting of blocks, brackets and templates in one another. The parser below stops at 64 and needs half of a thread's
/// default stack for it in a debug build; nobody reads what is nested this deep.
pub const MAX_NESTING: usize = 48;

/// The longest path through the tree of one expression. A chain of operators or of attribute accesses makes a deep tree without any
/// nesting of brackets; whoever walks the tree by recursion is safe below this, and the parser's own limit for a chain is the same.
pub const MAX_EXPRESSION_DEPTH: usize = 128;

/// The most entries of one object written out: the parser compares each key with all before it, so a larger one would take minutes.
pub const MAX_OBJECT_ENTRIES: usize = 10_000;

/// The most errors of one file: nobody reads more, and each may cost another pass over a part of the file.
pub const MAX_ERRORS: usize = 100;

/// A name as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ident {
    /// The name.
    pub name: Arc<str>,
    /// Its place.
    pub span: Span,
}

/// A label of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its text, without quotes.
    pub text: Arc<str>,
    /// Its place, with quotes where there are some.
    pub span: Span,
}

/// `name = value`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// The name.
    pub name: Ident,
    /// The value, its names as [`cloudtik_model::ExprKind::Variable`].
    pub value: Expr,
    /// All of it.
    pub span: Span,
}

/// `kind "label" { … }`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The word it begins with.
    pub kind: Ident,
    /// What stands between the kind and the brace.
    pub labels: Vec<Label>,
    /// What stands between the braces.
    pub body: Body,
    /// All of it.
    pub span: Span,
    /// Kind and labels.
    pub header: Span,
}

/// A file, or what stands between the braces of a block. Attributes and blocks are each in the order of the source; no two
/// attributes have the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// The attributes.
    pub attributes: Vec<Attribute>,
    /// The blocks.
    pub blocks: Vec<Block>,
    /// The file, or what stands between the braces.
    pub span: Span,
}

impl Body {
    /// The attribute of that name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| &*attribute.name.name == name)
    }
}

/// Parses a file. A top-level block or attribute with an error in it is left out; the rest is returned.
#[must_use]
pub fn parse_file(file: FileId, text: &str) -> (Body, Diagnostics) {
    body::parse(file, text)
}

/// Parses one expression, for a value of the command line.
///
/// # Errors
/// All that is wrong with it.
pub fn parse_expression(file: FileId, text: &str) -> Result<Expr, Diagnostics> {
    lower::parse_expression(file, text)
}

/// Parses a text that is a template as a whole. A template of a single `${x}` is `x` itself.
///
/// # Errors
/// All that is wrong with it.
pub fn parse_template(file: FileId, text: &str) -> Result<Expr, Diagnostics> {
    lower::parse_template(file, text)
}

/// A span of byte offsets that are known to be below [`cloudtik_model::MAX_FILE_BYTES`].
fn span(file: FileId, start: usize, end: usize) -> Span {
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span::new(file, offset(start), offset(end))
}
