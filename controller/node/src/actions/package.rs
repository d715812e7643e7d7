//! An archive unpacked below a folder, whole or not at all: it is unpacked beside its place and exchanged with what is there.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cloudtik_model::Digest;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde::{Deserialize, Serialize};

use super::file::{absolute, digest_of_file};
use super::{Failure, Outcome, Success, archive};
use crate::durable::{self, beside, sync_parent};
use crate::error::NodeError;
use crate::limits::PACKAGE_FSYNC_FILES_MAX;

/// The package's own marker, in its folder.
const MARKER: &str = ".cloudtik-package.json";

/// What says that a folder holds a package, and which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PackageMarker {
    version: u32,
    artifact: Digest,
    executables: Vec<String>,
}

impl PackageMarker {
    const VERSION: u32 = 1;
}

/// What is to be unpacked.
pub(super) struct Order {
    pub(super) into: PathBuf,
    pub(super) file: String,
    pub(super) artifact: Digest,
    pub(super) executables: Vec<String>,
    /// Where the artifact was uploaded to.
    pub(super) source: PathBuf,
    pub(super) run_id: String,
}

/// Whether the folder holds exactly this package.
pub(super) fn is_in_place(into: &Path, artifact: &Digest, executables: &[String]) -> Result<bool, NodeError> {
    let wanted = PackageMarker { version: PackageMarker::VERSION, artifact: *artifact, executables: executables.to_vec() };
    match durable::read_record::<PackageMarker>(&into.join(MARKER), "package marker") {
        Ok(found) => Ok(found == Some(wanted)),
        // Whatever is there, it is not this package.
        Err(NodeError::Record { .. }) => Ok(false),
        Err(NodeError::File { source, .. }) if source.kind() == io::ErrorKind::NotADirectory => Ok(false),
        Err(error) => Err(error),
    }
}

/// Unpacks it.
pub(super) fn perform(order: &Order) -> Outcome {
    let into = absolute(&order.into.to_string_lossy())?;
    if is_in_place(&into, &order.artifact, &order.executables)? {
        return Ok(Success::skipped());
    }
    verify(&order.source, &order.artifact)?;
    let parent = into.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(Failure::at("make the folder", parent))?;
    remove_left_overs(&into)?;
    let temporary = beside(&into, &format!(".tmp.{}", Digest::of(&order.run_id).short()));
    let done = fill(order, &temporary).and_then(|()| exchange(&temporary, &into));
    // After an exchange the former content is there, after a failure a part of the new one.
    let removed = remove_tree(&temporary);
    done?;
    removed?;
    Ok(Success::done())
}

/// Removes the folder.
pub(super) fn undo(into: &Path) -> Result<(), Failure> {
    let into = absolute(&into.to_string_lossy())?;
    if fs::symlink_metadata(&into).is_ok() && !into.join(MARKER).exists() {
        return Err(Failure::new(format!("`{}` is no package folder of ours, so it is left alone", into.display())));
    }
    // Renamed first, so that it is never there in part.
    let old = beside(&into, ".old.undo");
    remove_tree(&old)?;
    match fs::rename(&into, &old) {
        Ok(()) => remove_tree(&old),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::at("remove", &into)(error)),
    }
}

fn verify(source: &Path, artifact: &Digest) -> Result<(), Failure> {
    let found = digest_of_file(source).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::new(format!("the artifact {artifact} was not uploaded")),
        _ => Failure::at("read", source)(error),
    })?;
    if found == *artifact {
        Ok(())
    } else {
        Err(Failure::new(format!("the artifact `{}` has the digest {found}: it is damaged", source.display())))
    }
}

fn fill(order: &Order, temporary: &Path) -> Result<(), Failure> {
    fs::create_dir(temporary).map_err(Failure::at("make the folder", temporary))?;
    let files = archive::unpack(&order.source, &order.file, temporary)?;
    for executable in &order.executables {
        mark_executable(temporary, executable)?;
    }
    fs::set_permissions(temporary, fs::Permissions::from_mode(0o755)).map_err(Failure::at("set the mode of", temporary))?;
    let marker = PackageMarker { version: PackageMarker::VERSION, artifact: order.artifact, executables: order.executables.clone() };
    durable::write_record(&temporary.join(MARKER), &marker)?;
    flush(temporary, &files)
}

fn mark_executable(root: &Path, name: &str) -> Result<(), Failure> {
    let path = root.join(archive::safe_path(name.as_bytes()).map_err(Failure::new)?);
    let data = fs::symlink_metadata(&path).map_err(|_| Failure::new(format!("the archive has no file `{name}` to be made executable")))?;
    if !data.is_file() {
        return Err(Failure::new(format!("`{name}` of the archive is not a plain file, so it is not made executable")));
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(Failure::at("set the mode of", &path))
}

fn flush(folder: &Path, files: &[PathBuf]) -> Result<(), Failure> {
    if files.len() > PACKAGE_FSYNC_FILES_MAX {
        let handle = File::open(folder).map_err(Failure::at("flush", folder))?;
        return nix::unistd::syncfs(&handle).map_err(|error| Failure::at("flush", folder)(error.into()));
    }
    for path in files {
        File::open(path).and_then(|file| file.sync_all()).map_err(Failure::at("flush", path))?;
    }
    Ok(())
}

/// Puts the new folder in its place. What was there ends up at the temporary name.
fn exchange(temporary: &Path, into: &Path) -> Result<(), Failure> {
    let there = match fs::symlink_metadata(into) {
        Ok(data) if data.is_dir() => true,
        Ok(_) => return Err(Failure::new(format!("`{}` is not a folder, and a package was to be put there", into.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(Failure::at("read", into)(error)),
    };
    if !there {
        fs::rename(temporary, into).map_err(Failure::at("rename the package to", into))?;
    } else if renameat2(AT_FDCWD, temporary, AT_FDCWD, into, RenameFlags::RENAME_EXCHANGE).is_err() {
        // A file system that cannot exchange: for a moment there is neither, and a repeat finds out.
        let old = beside(into, ".old.exchange");
        fs::rename(into, &old).map_err(Failure::at("move away", into))?;
        fs::rename(temporary, into).map_err(Failure::at("rename the package to", into))?;
        remove_tree(&old)?;
    }
    sync_parent(into).map_err(Failure::at("flush", into))
}

/// What an earlier run left beside the folder when it was killed.
fn remove_left_overs(into: &Path) -> Result<(), Failure> {
    let (Some(parent), Some(name)) = (into.parent(), into.file_name().and_then(|name| name.to_str())) else { return Ok(()) };
    let prefixes = [format!("{name}.tmp."), format!("{name}.old.")];
    for entry in fs::read_dir(parent).map_err(Failure::at("read", parent))? {
        let entry = entry.map_err(Failure::at("read", parent))?;
        let found = entry.file_name();
        if found.to_str().is_some_and(|found| prefixes.iter().any(|prefix| found.starts_with(prefix))) {
            remove_tree(&entry.path())?;
        }
    }
    Ok(())
}

fn remove_tree(path: &Path) -> Result<(), Failure> {
    let removed = match fs::symlink_metadata(path) {
        Ok(data) if data.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::at("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_marker_of_version_1_is_read_and_written() {
        let text = include_str!("../../fixtures/v1/package.json");
        let record: PackageMarker = serde_json::from_str(text).unwrap();
        assert_eq!(record.version, PackageMarker::VERSION);
        assert_eq!(serde_json::to_string(&record).unwrap(), text.trim_end());
    }
}
