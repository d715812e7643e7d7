//! The files of a project, as the compiler sees them: a trait with an in-memory twin, and the map from spans back to lines.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{FileId, Span};

/// The largest file that is read: one hundred thousand blocks are below 10 MiB, so a larger file is a mistake, not a spec.
pub const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Why a file could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// There is none of that name.
    #[error("there is no file `{0}`")]
    NotFound(String),
    /// It lies outside the project.
    #[error("`{0}` lies outside the project")]
    Outside(String),
    /// It is larger than [`MAX_FILE_BYTES`].
    #[error("`{path}` has {bytes} bytes; at most {} are read", MAX_FILE_BYTES)]
    TooLarge {
        /// The file.
        path: String,
        /// Its size.
        bytes: u64,
    },
    /// The system said no.
    #[error("`{path}` cannot be read: {reason}")]
    Failed {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
}

impl ReadError {
    /// What to do about it.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "paths are relative to the project's folder",
            Self::Outside(_) => "copy the file into the project: only files below it are read",
            Self::TooLarge { .. } => "keep data out of the spec, or split the file",
            Self::Failed { .. } => "check that the file exists and that you may read it",
        }
    }
}

/// The files of a project, by their path below its root with `/` between the parts.
pub trait SourceSet: Send + Sync {
    /// The names of the files that stand in the root itself, sorted.
    ///
    /// # Errors
    /// The root cannot be listed.
    fn list(&self) -> Result<Vec<String>, ReadError>;

    /// The content of a file. A path that leaves the root is [`ReadError::Outside`], through symbolic links also.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn read(&self, path: &str) -> Result<Arc<[u8]>, ReadError>;

    /// The files below a folder, in it and so many folders further down, or all; as paths below the root, sorted. `None` when `path` is no folder.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn list_below(&self, path: &str, depth: Option<usize>) -> Result<Option<Vec<String>>, ReadError>;

    /// What `path.root` and `path.cwd` show.
    fn root(&self) -> &str;

    /// The folder of the root from that of the machine. `None`: it lies on no disk.
    fn folder(&self) -> Option<String> {
        None
    }

    /// The home of the user.
    fn home(&self) -> Option<String> {
        None
    }
}

/// A project in memory: for tests, for library users, for saved plans.
#[derive(Clone, Debug, Default)]
pub struct MemorySources {
    files: BTreeMap<String, Arc<[u8]>>,
}

impl MemorySources {
    /// A project of these files.
    pub fn new<P: Into<String>, T: AsRef<[u8]>>(files: impl IntoIterator<Item = (P, T)>) -> Self {
        Self { files: files.into_iter().map(|(path, text)| (path.into(), Arc::from(text.as_ref()))).collect() }
    }
}

impl SourceSet for MemorySources {
    fn list(&self) -> Result<Vec<String>, ReadError> {
        Ok(self.files.keys().filter(|path| !path.contains('/')).cloned().collect())
    }

    fn read(&self, path: &str) -> Result<Arc<[u8]>, ReadError> {
        let path = path.strip_prefix("./").unwrap_or(path);
        if path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return Err(ReadError::Outside(path.to_owned()));
        }
        let bytes = self.files.get(path).ok_or_else(|| ReadError::NotFound(path.to_owned()))?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(ReadError::TooLarge { path: path.to_owned(), bytes: bytes.len() as u64 });
        }
        Ok(Arc::clone(bytes))
    }

    fn list_below(&self, path: &str, depth: Option<usize>) -> Result<Option<Vec<String>>, ReadError> {
        let folder = path.trim_start_matches("./").trim_end_matches('/');
        let prefix = if folder == "." || folder.is_empty() { String::new() } else { format!("{folder}/") };
        let is_near = |rest: &str| depth.is_none_or(|depth| rest.matches('/').count() <= depth);
        let is_below = |file: &&String| file.strip_prefix(&prefix).is_some_and(is_near);
        let below: Vec<String> = self.files.keys().filter(is_below).cloned().collect();
        Ok(if below.is_empty() { None } else { Some(below) })
    }

    fn root(&self) -> &str {
        "."
    }
}

/// One file whose spans are in use.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Its path below the project, or a name in angle brackets for text that is no file (`<--var image>`).
    pub path: String,
    /// Its text.
    pub text: Arc<str>,
    line_starts: Arc<[u32]>,
}

impl SourceFile {
    /// Line and column of a byte, both from 1; the column counts characters.
    #[must_use]
    pub fn position(&self, offset: u32) -> (usize, usize) {
        let line = self.line_starts.partition_point(|start| *start <= offset).saturating_sub(1);
        let start = self.line_starts.get(line).copied().unwrap_or(0) as usize;
        let upto = (offset as usize).min(self.text.len());
        let column = self.text.get(start..upto).map_or(0, |before| before.chars().count());
        (line + 1, column + 1)
    }
}

/// Every file whose spans are in use.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

impl SourceMap {
    /// Adds a file and gives its id.
    pub fn add(&mut self, path: impl Into<String>, text: impl Into<Arc<str>>) -> FileId {
        let text = text.into();
        let line_starts = std::iter::once(0)
            .chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| u32::try_from(i + 1).unwrap_or(u32::MAX)))
            .collect();
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX - 1));
        self.files.push(SourceFile { path: path.into(), text, line_starts });
        id
    }

    /// The file of that id.
    #[must_use]
    pub fn get(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(id.0 as usize)
    }

    /// All files with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        self.files.iter().enumerate().map(|(i, f)| (FileId(u32::try_from(i).unwrap_or(u32::MAX)), f))
    }

    /// `path:line:column` of a span's start; `None` for [`Span::NONE`].
    #[must_use]
    pub fn describe(&self, span: Span) -> Option<String> {
        let file = self.get(span.file)?;
        let (line, column) = file.position(span.start);
        Some(format!("{}:{line}:{column}", file.path))
    }

    /// The text below a span.
    #[must_use]
    pub fn text(&self, span: Span) -> Option<&str> {
        self.get(span.file)?.text.get(span.start as usize..span.end as usize)
    }
}
