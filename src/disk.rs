//! A project on disk: the files below one folder, and nothing outside of it.

use std::io::{ErrorKind, Read as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use cloudtik_model::{MAX_FILE_BYTES, ReadError, SourceSet};

/// How many files below one folder are listed: a folder that is copied to a node has hundreds, a mistake has a whole disk.
const MAX_LISTED: usize = 10_000;

/// The files below a folder. Symbolic links that lead out of it are refused.
#[derive(Clone, Debug)]
pub struct DiskSources {
    folder: PathBuf,
    shown: String,
    /// The folder that expressions see, where it is another one.
    seen: Option<PathBuf>,
    /// A folder that is no part of the project although it lies below it.
    data: Option<PathBuf>,
}

impl DiskSources {
    /// The project in that folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        let shown = folder.display().to_string();
        Self { folder, shown, seen: None, data: None }
    }

    /// The same with the files of another folder: for expressions they lie where these do.
    #[must_use]
    pub fn at(&self, folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            shown: self.shown.clone(),
            seen: Some(self.seen.clone().unwrap_or_else(|| self.folder.clone())),
            data: None,
        }
    }

    /// The same without the data folder, where it lies below: state and keys are not copied to nodes with the folder around them.
    #[must_use]
    pub fn without(self, data: &Path) -> Self {
        Self { data: Some(self.folder.join(data)), ..self }
    }

    fn is_data(&self, folder: &Path) -> bool {
        self.data
            .as_ref()
            .and_then(|data| data.canonicalize().ok())
            .is_some_and(|data| folder.canonicalize().is_ok_and(|folder| folder == data))
    }

    /// Where a path of the project lies, after all links.
    fn resolve(&self, path: &str) -> Result<PathBuf, ReadError> {
        let relative = Path::new(path);
        let leaves = relative.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir));
        if leaves {
            return Err(ReadError::Outside(path.to_owned()));
        }
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => ReadError::NotFound(path.to_owned()),
            _ => failure(path, &error),
        };
        let root = self.folder.canonicalize().map_err(failed)?;
        let file = self.folder.join(relative).canonicalize().map_err(failed)?;
        if file.starts_with(&root) { Ok(file) } else { Err(ReadError::Outside(path.to_owned())) }
    }

    fn walk(&self, folder: &Path, prefix: &str, depth: Option<usize>, found: &mut Vec<String>) -> Result<(), ReadError> {
        let entries = std::fs::read_dir(folder).map_err(|error| failure(prefix, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| failure(prefix, &error))?;
            let name = entry.file_name();
            let path = format!("{prefix}/{}", name.to_string_lossy());
            let kind = match std::fs::metadata(entry.path()) {
                // A link that leads nowhere is no file.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                kind => kind.map_err(|error| failure(&path, &error))?,
            };
            if kind.is_dir() && self.is_data(&entry.path()) {
                continue;
            }
            if kind.is_dir() && !entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                if depth != Some(0) {
                    self.walk(&entry.path(), &path, depth.map(|depth| depth - 1), found)?;
                }
            } else if kind.is_file() {
                found.push(path);
            }
            if found.len() > MAX_LISTED {
                let reason = format!("it holds more than {MAX_LISTED} files");
                return Err(ReadError::Failed { path: prefix.to_owned(), reason });
            }
        }
        Ok(())
    }
}

impl SourceSet for DiskSources {
    fn list(&self) -> Result<Vec<String>, ReadError> {
        let entries = std::fs::read_dir(&self.folder).map_err(|error| failure(&self.shown, &error))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| failure(&self.shown, &error))?;
            // A link counts as what it leads to; one that leads nowhere is said when it is read.
            let folder = std::fs::metadata(entry.path()).is_ok_and(|meta| meta.is_dir());
            if !folder {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn read(&self, path: &str) -> Result<Arc<[u8]>, ReadError> {
        let file = self.resolve(path)?;
        let mut reader = std::fs::File::open(&file).map_err(|error| failure(path, &error))?;
        let meta = reader.metadata().map_err(|error| failure(path, &error))?;
        if !meta.is_file() {
            return Err(ReadError::Failed { path: path.to_owned(), reason: "it is not a file".to_owned() });
        }
        if meta.len() > MAX_FILE_BYTES {
            return Err(ReadError::TooLarge { path: path.to_owned(), bytes: meta.len() });
        }
        let mut bytes = Vec::new();
        let limited = reader.by_ref().take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
        limited.map_err(|error| failure(path, &error))?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(ReadError::TooLarge { path: path.to_owned(), bytes: bytes.len() as u64 });
        }
        Ok(bytes.into())
    }

    fn list_below(&self, path: &str, depth: Option<usize>) -> Result<Option<Vec<String>>, ReadError> {
        let folder = self.resolve(path)?;
        if !folder.is_dir() {
            return Ok(None);
        }
        let mut found = Vec::new();
        self.walk(&folder, path.trim_start_matches("./").trim_end_matches('/'), depth, &mut found)?;
        found.sort();
        Ok(Some(found))
    }

    fn folder(&self) -> Option<String> {
        std::path::absolute(self.seen.as_ref().unwrap_or(&self.folder)).ok()?.to_str().map(str::to_owned)
    }

    fn home(&self) -> Option<String> {
        std::env::home_dir()?.to_str().map(str::to_owned)
    }

    fn root(&self) -> &str {
        &self.shown
    }
}

fn failure(path: &str, error: &std::io::Error) -> ReadError {
    ReadError::Failed { path: path.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_folder_is_not_copied_with_the_folder_around_it() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["main.hcl", ".data/keys/state.key", "site/a"] {
            let file = folder.path().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "x").unwrap();
        }
        let sources = DiskSources::new(folder.path()).without(Path::new(".data"));
        assert_eq!(sources.list_below(".", None).unwrap().unwrap(), ["./main.hcl", "./site/a"]);
    }
}
