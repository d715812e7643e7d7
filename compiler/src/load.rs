//! From the files of a folder to one body: which files count, and what their text is.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_lang::{Context, Impure, Planning, Scope};
use cloudtik_model::{Diagnostic, Diagnostics, Digest, ReadError, SourceMap, SourceSet, Span};
use cloudtik_syntax::{Body, decode, parse_file};

use crate::input::CompileInput;

/// The end of the name of a file that holds values, not spec.
pub(crate) const VALUES_ENDING: &str = ".vars.hcl";

/// A parsed folder.
pub(crate) struct Loaded {
    /// All top-level items of all files, in the order of the files' names.
    pub(crate) body: Body,
    /// The files by their path below the project, as they were compiled.
    pub(crate) texts: BTreeMap<String, Arc<str>>,
}

/// Reads and parses every file of a folder that counts as spec: of the project's root, or of a module that is called somewhere.
pub(crate) fn load(sources: &dyn SourceSet, folder: &str, called_at: Option<Span>, map: &mut SourceMap, found: &mut Diagnostics) -> Loaded {
    let mut loaded = Loaded { body: Body::default(), texts: BTreeMap::new() };
    let place = called_at.unwrap_or(Span::NONE);
    let listed = if folder.is_empty() { sources.list().map(Some) } else { sources.list_below(folder, Some(0)) };
    let paths = match listed {
        Ok(Some(paths)) => paths,
        Ok(None) | Err(ReadError::NotFound(_)) => {
            found.push(Diagnostic::error("module-source", format!("there is no folder `{folder}` in the project")).at(place));
            return loaded;
        }
        Err(error) => {
            found.push(unreadable(&error).at(place));
            return loaded;
        }
    };
    let mut any = false;
    let names = paths.iter().map(|path| (path, path.rsplit('/').next().unwrap_or(path)));
    for (path, name) in names.filter(|(_, name)| !name.starts_with('.')) {
        if name.ends_with(".hcl.json") || name == "override.hcl" || name.ends_with("_override.hcl") {
            found.push(
                Diagnostic::error("unsupported-file", format!("`{path}`: this kind of file is not supported"))
                    .help("rename it to a name that ends in `.hcl`, or move it out of the project's folder"),
            );
        } else if name.ends_with(".hcl") && !name.ends_with(VALUES_ENDING) {
            any = true;
            if let Some(text) = read_text(sources, path, found) {
                let file = map.add(path.clone(), Arc::clone(&text));
                let (body, diagnostics) = parse_file(file, &text);
                found.extend(diagnostics);
                loaded.texts.insert(path.clone(), text);
                loaded.body.attributes.extend(body.attributes);
                loaded.body.blocks.extend(body.blocks);
            }
        }
    }
    if !any && called_at.is_some() {
        let title = format!("there is no `.hcl` file in the folder `{folder}`");
        found.push(Diagnostic::error("module-source", title).at(place).help("name the folder that holds the module"));
    } else if !any && !found.has_errors() {
        found.push(
            Diagnostic::error("empty-project", "there is no `.hcl` file in this folder")
                .help("run `cloudtik init` for a starter project, or name the folder with `-C DIR`"),
        );
    }
    loaded
}

/// The text of a file; every way it may not be readable is said.
pub(crate) fn read_text(sources: &dyn SourceSet, name: &str, found: &mut Diagnostics) -> Option<Arc<str>> {
    let bytes = match sources.read(name) {
        Ok(bytes) => bytes,
        Err(error) => {
            found.push(unreadable(&error));
            return None;
        }
    };
    match decode(name, &bytes) {
        Ok(text) => Some(text),
        Err(diagnostic) => {
            found.push(diagnostic);
            None
        }
    }
}

/// What is said of a file that cannot be read.
pub(crate) fn unreadable(error: &ReadError) -> Diagnostic {
    Diagnostic::error("unreadable-file", error.to_string()).help(error.help())
}

/// Reads of files during evaluation, each recorded with its digest.
pub(crate) struct Reads<'a> {
    pub(crate) sources: &'a dyn SourceSet,
    pub(crate) digests: RefCell<BTreeMap<String, Digest>>,
    pub(crate) map: RefCell<SourceMap>,
    /// What impure functions are told.
    pub(crate) planning: Planning,
}

impl<'a> Reads<'a> {
    /// Nothing has been read.
    pub(crate) fn new(input: &CompileInput<'a>, map: SourceMap) -> Self {
        Self { sources: input.sources, digests: RefCell::default(), map: RefCell::new(map), planning: Planning::new(input.plan_time) }
    }

    /// What expressions of a spec see, beside their names.
    pub(crate) fn context<'s>(&'s self, scope: &'s dyn Scope) -> Context<'s> {
        Context::new(scope).with_files(self).with_impure(Impure::Planned(&self.planning))
    }

    /// The content of a file below the project, recorded.
    pub(crate) fn read(&self, path: &str) -> Result<Arc<[u8]>, ReadError> {
        let bytes = self.sources.read(path)?;
        self.digests.borrow_mut().insert(path.to_owned(), Digest::of(&bytes));
        Ok(bytes)
    }

    /// What is said of one that could not be read, at the place that asked for it.
    pub(crate) fn read_at(&self, path: &str, span: Span) -> Result<Arc<[u8]>, Diagnostic> {
        self.read(path).map_err(|error| unreadable(&error).at(span))
    }
}
