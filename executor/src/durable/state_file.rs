//! The state in a file, its predecessors beside it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::disk::{Disk, Stamp, has_no_links, sync_folder_of, temporary_beside};
use super::state_store::{BACKUPS_MAX, STATE_BYTES_MAX};
use super::{DurableError, StateStore};

/// The state of a project on this machine.
#[derive(Debug)]
pub struct FileState {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    seen: Option<Stamp>,
}

impl FileState {
    pub(crate) fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        Self { disk, path, seen: None }
    }

    fn stamp(&self) -> Result<Option<Stamp>, DurableError> {
        self.disk.stamp(&self.path).map_err(DurableError::io("read", &self.path))
    }

    fn read(&self, path: &PathBuf) -> Result<Option<Vec<u8>>, DurableError> {
        let bytes = self.disk.read(path, STATE_BYTES_MAX).map_err(DurableError::io("read", path))?;
        match bytes {
            Some(bytes) if bytes.len() as u64 > STATE_BYTES_MAX => {
                Err(DurableError::TooLong { path: path.clone(), limit: STATE_BYTES_MAX })
            }
            other => Ok(other),
        }
    }

    /// The former state gets a second name, so that there is no moment without a state.
    fn keep_former(&self, former: u64) -> io::Result<()> {
        let backup = self.backup_path(former);
        // One of that serial is from a run that crashed before it got further.
        self.disk.remove(&backup)?;
        match self.disk.link(&self.path, &backup) {
            Err(error) if has_no_links(&error) => {
                let bytes = self.disk.read(&self.path, STATE_BYTES_MAX)?.unwrap_or_default();
                self.disk.write(&backup, &bytes, false)
            }
            other => other,
        }
    }

    /// Removes the oldest predecessors, and what crashed runs left half-written.
    fn tidy(&self) -> Result<(), DurableError> {
        let folder = self.path.parent().map(PathBuf::from).unwrap_or_default();
        let name = self.name();
        let names = self.disk.list(&folder).map_err(DurableError::io("read", &folder))?;
        let left =
            names.iter().filter(|other| other.strip_prefix(&name).is_some_and(|rest| rest.starts_with('.') && rest.ends_with(".tmp")));
        let old = self.backups()?.into_iter().skip(BACKUPS_MAX).map(|serial| self.backup_path(serial));
        for path in old.chain(left.map(|name| folder.join(name))) {
            self.disk.remove(&path).map_err(DurableError::io("remove", &path))?;
        }
        Ok(())
    }

    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

impl StateStore for FileState {
    fn path(&self) -> PathBuf {
        self.path.clone()
    }

    fn load(&mut self) -> Result<Option<Vec<u8>>, DurableError> {
        // The stamp is the older of the two: one that changes in between has moved, whatever was read.
        self.seen = self.stamp()?;
        self.read(&self.path)
    }

    fn save(&mut self, former: Option<u64>, bytes: &[u8]) -> Result<(), DurableError> {
        if self.has_moved()? {
            return Err(DurableError::StateMoved { path: self.path.clone() });
        }
        let temporary = temporary_beside(&self.path);
        let written = self.disk.write(&temporary, bytes, false);
        let kept = written.and_then(|()| former.map_or(Ok(()), |former| self.keep_former(former)));
        let renamed = kept.and_then(|()| self.disk.rename(&temporary, &self.path));
        if let Err(source) = renamed {
            // The first error is the one to tell; the next save removes what is left.
            drop(self.disk.remove(&temporary));
            return Err(DurableError::Io { doing: "write", path: self.path.clone(), source });
        }
        self.seen = self.stamp()?;
        sync_folder_of(&*self.disk, &self.path).map_err(DurableError::io("write", &self.path))?;
        self.tidy()
    }

    fn has_moved(&self) -> Result<bool, DurableError> {
        Ok(self.stamp()? != self.seen)
    }

    fn backups(&self) -> Result<Vec<u64>, DurableError> {
        let folder = self.path.parent().map(PathBuf::from).unwrap_or_default();
        let prefix = format!("{}.", self.name());
        let names = self.disk.list(&folder).map_err(DurableError::io("read", &folder))?;
        let serial = |name: &String| name.strip_prefix(&prefix)?.strip_suffix(".bak")?.parse::<u64>().ok();
        let mut serials: Vec<u64> = names.iter().filter_map(serial).collect();
        serials.sort_unstable_by(|a, b| b.cmp(a));
        Ok(serials)
    }

    fn backup_path(&self, serial: u64) -> PathBuf {
        self.path.with_file_name(format!("{}.{serial}.bak", self.name()))
    }

    fn backup(&self, serial: u64) -> Result<Option<Vec<u8>>, DurableError> {
        self.read(&self.backup_path(serial))
    }

    fn fsyncs(&self) -> u64 {
        self.disk.fsyncs()
    }
}
