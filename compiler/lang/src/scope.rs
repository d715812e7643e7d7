//! What an evaluation sees of the world: names, and files to read.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_model::{Address, Diagnostic, Diagnostics, FileId, LateName, ReadError, Span, Value, did_you_mean};

use crate::impure::Impure;
use crate::traverse::list_names;

/// A name and what is taken of it: `root.attribute["key"]`.
#[derive(Clone, Debug)]
pub struct Traversal<'a> {
    /// The name that the scope has to know.
    pub root: &'a str,
    /// Where the name stands.
    pub root_span: Span,
    /// What is taken of it, as far as the source goes.
    pub steps: &'a [Step],
    /// Where all of it stands.
    pub span: Span,
}

/// One step of a traversal.
#[derive(Clone, Debug)]
pub enum Step {
    /// `.name`
    Attribute(Arc<str>, Span),
    /// `[key]`, evaluated; may be deferred.
    Index(Value, Span),
}

/// What a scope knows of a traversal.
#[derive(Clone, Debug)]
pub struct Found {
    /// The value of the longest prefix that is a thing of its own.
    pub value: Value,
    /// How many steps that prefix has; the evaluator takes the others.
    pub used: usize,
}

/// The names of an evaluation.
pub trait Scope {
    /// The value of the longest prefix of the traversal that is a thing of its own.
    ///
    /// # Errors
    /// There is no such name, or it may not be used here.
    fn lookup(&self, traversal: &Traversal<'_>) -> Result<Found, Diagnostics>;

    /// The attributes of the object at an address, for a residual reference. `None`: still not known.
    fn reference(&self, address: &Address) -> Option<Value> {
        let _ = address;
        None
    }

    /// The value of a late name. `None`: still not known.
    fn late(&self, name: &LateName) -> Option<Value> {
        let _ = name;
        None
    }
}

/// The files that functions read. Who implements it confines paths and records each read with its digest.
pub trait Files {
    /// The content of a file.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn read(&self, path: &str) -> Result<Arc<[u8]>, ReadError>;

    /// The files below a folder, in it and so many folders further down, or all; as paths below the project, sorted.
    ///
    /// # Errors
    /// See [`ReadError`]; a path that is no folder is not found.
    fn list_below(&self, path: &str, depth: Option<usize>) -> Result<Vec<String>, ReadError>;

    /// A path of the project from the root of the machine. `None`: the project has no place there.
    fn absolute(&self, path: &str) -> Option<String>;

    /// The home of the user.
    fn home(&self) -> Option<String>;

    /// Makes the text of a template known, so that diagnostics can show its lines. The same path with the same text may be given again
    /// and should get the same id.
    fn add_source(&self, path: &str, text: Arc<str>) -> FileId;
}

/// What an evaluation sees.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Names.
    pub scope: &'a dyn Scope,
    /// Files; without them functions that read some are errors.
    pub files: Option<&'a dyn Files>,
    /// What functions give whose results no spec determines.
    pub impure: Impure<'a>,
}

impl<'a> Context<'a> {
    /// A context without files and without impure functions.
    #[must_use]
    pub fn new(scope: &'a dyn Scope) -> Self {
        Self { scope, files: None, impure: Impure::None }
    }

    /// The same with files.
    #[must_use]
    pub fn with_files(self, files: &'a dyn Files) -> Self {
        Self { files: Some(files), ..self }
    }

    /// The same with impure functions.
    #[must_use]
    pub const fn with_impure(self, impure: Impure<'a>) -> Self {
        Self { impure, ..self }
    }
}

/// Names with plain values: the scope of a template, of tests, of an evaluation that may use nothing.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    names: BTreeMap<Arc<str>, Value>,
}

impl Variables {
    /// No names at all.
    #[must_use]
    pub const fn none() -> Self {
        Self { names: BTreeMap::new() }
    }

    /// These names.
    pub fn new<N: Into<Arc<str>>>(names: impl IntoIterator<Item = (N, Value)>) -> Self {
        Self { names: names.into_iter().map(|(name, value)| (name.into(), value)).collect() }
    }
}

impl Scope for Variables {
    fn lookup(&self, traversal: &Traversal<'_>) -> Result<Found, Diagnostics> {
        if let Some(value) = self.names.get(traversal.root) {
            return Ok(Found { value: value.clone(), used: 0 });
        }
        let title = format!("there is no name `{}` here", traversal.root);
        let mut diagnostic = Diagnostic::error("unknown-name", title).at(traversal.root_span);
        diagnostic = match did_you_mean(traversal.root, self.names.keys().map(|name| &**name)) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None if self.names.is_empty() => diagnostic.note("no name can be used here"),
            None => diagnostic.note(format!("the names here are {}", list_names(self.names.keys().map(|name| &**name)))),
        };
        Err(diagnostic.into())
    }
}
