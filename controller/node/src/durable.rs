//! Small records on disk: written whole or not at all, and read with a bound.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::NodeError;
use crate::limits::RECORD_BYTES_MAX;

/// Writes a record of mode 0600: a temporary file beside it, flushed, renamed, and the folder flushed.
pub(crate) fn write_record<T: Serialize>(path: &Path, record: &T) -> Result<(), NodeError> {
    let bytes = serde_json::to_vec(record).map_err(|source| NodeError::Record { what: "record", path: path.to_path_buf(), source })?;
    let temporary = beside(path, ".tmp");
    write_new(&temporary, &bytes, 0o600).map_err(NodeError::file("write", &temporary))?;
    fs::rename(&temporary, path).map_err(NodeError::file("write", path))?;
    sync_parent(path).map_err(NodeError::file("flush", path))
}

/// Reads a record; `None` when there is none.
pub(crate) fn read_record<T: DeserializeOwned>(path: &Path, what: &'static str) -> Result<Option<T>, NodeError> {
    let Some(bytes) = read_bounded(path, RECORD_BYTES_MAX).map_err(NodeError::file("read", path))? else { return Ok(None) };
    let record = serde_json::from_slice(&bytes).map_err(|source| NodeError::Record { what, path: path.to_path_buf(), source })?;
    Ok(Some(record))
}

/// Reads a whole file of at most `max` bytes; `None` when there is none.
pub(crate) fn read_bounded(path: &Path, max: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {max} bytes")));
    }
    Ok(Some(bytes))
}

/// Removes a file durably; it is fine when there is none.
pub(crate) fn remove(path: &Path) -> Result<(), NodeError> {
    match fs::remove_file(path) {
        Ok(()) => sync_parent(path).map_err(NodeError::file("flush", path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(NodeError::File { action: "remove", path: path.to_path_buf(), source }),
    }
}

/// Makes a folder of this mode; one that is there stays as it is. Parents are made like any folder.
pub(crate) fn make_dir(path: &Path, mode: u32) -> Result<(), NodeError> {
    let parents = path.parent().map_or(Ok(()), fs::create_dir_all);
    parents.map_err(NodeError::file("make the folder", path))?;
    fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(NodeError::file("make the folder", path))
}

/// Writes a new file of this mode and flushes it; a left-over of the same name is replaced.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Flushes the folder that holds a path, so that a rename or a removal in it survives a power failure.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// The path with a suffix on its last part.
pub(crate) fn beside(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
