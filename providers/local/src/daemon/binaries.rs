//! The binary that nodes run: a copy of the running one, kept by digest, so that building cloudtik again does not change running nodes.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::failure::io_failure;
use crate::files;
use crate::protocol::CloudError;

/// The running binary, also when its file was replaced since.
const RUNNING: &str = "/proc/self/exe";

/// How many copies are kept beside those that run: enough for somebody who goes back and forth between builds.
const COPIES_MAX: usize = 4;

/// A copy, by digest.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) digest: String,
    pub(crate) path: PathBuf,
}

/// The copies.
#[derive(Debug)]
pub(crate) struct Binaries {
    folder: PathBuf,
    current: Mutex<Option<Copy>>,
}

impl Binaries {
    pub(crate) fn new(cache_dir: &Path) -> Self {
        Self { folder: cache_dir.join("binaries"), current: Mutex::new(None) }
    }

    /// The copy of the running binary, made when it is not there.
    pub(crate) fn current(&self) -> Result<Copy, CloudError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(copy) = current.as_ref().filter(|copy| copy.path.is_file()) {
            return Ok(copy.clone());
        }
        let copy = self.make().map_err(|error| io_failure("copy the running program to", &self.folder, &error))?;
        *current = Some(copy.clone());
        Ok(copy)
    }

    /// Removes the oldest copies that no node runs.
    pub(crate) fn clean(&self, used: &[String]) -> io::Result<()> {
        let mut copies: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let is_used = entry.file_name().to_str().is_some_and(|name| used.iter().any(|digest| digest == name));
            if entry.file_type()?.is_dir() && !is_used {
                copies.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        copies.sort();
        let surplus = copies.len().saturating_sub(COPIES_MAX);
        copies.iter().take(surplus).try_for_each(|(_, path)| files::remove_tree(path))
    }

    fn make(&self) -> io::Result<Copy> {
        files::make_private_folder(&self.folder)?;
        let mut running = File::open(RUNNING)?;
        let digest = self.digest_of(&mut running)?;
        let folder = self.folder.join(&digest);
        let path = folder.join("cloudtik");
        if !path.is_file() {
            files::make_folder(&folder, 0o755)?;
            let temporary = files::temporary_beside(&path);
            fs::copy(RUNNING, &temporary)?;
            fs::set_permissions(&temporary, Permissions::from_mode(0o755))?;
            File::open(&temporary)?.sync_all()?;
            fs::rename(&temporary, &path)?;
            files::sync_folder_of(&path)?;
        }
        Ok(Copy { digest, path })
    }

    /// Digesting a large binary takes a second; the digest of a file that has not changed is remembered under what tells it from others.
    fn digest_of(&self, running: &mut File) -> io::Result<String> {
        let metadata = running.metadata()?;
        let (device, inode, size) = (metadata.dev(), metadata.ino(), metadata.size());
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        let known = self.folder.join("known");
        let key = format!("{device} {inode} {size} {}.{}", changed.0, changed.1);
        let remembered = fs::read_to_string(&known).ok().and_then(|text| {
            let (text_key, digest) = text.trim_end().rsplit_once(' ')?;
            (text_key == key).then(|| digest.to_owned())
        });
        if let Some(digest) = remembered.filter(|digest| self.folder.join(digest).join("cloudtik").is_file()) {
            return Ok(digest);
        }
        let digest = files::digest_of(running)?;
        files::write_durable(&known, format!("{key} {digest}\n").as_bytes(), 0o600)?;
        Ok(digest)
    }
}
