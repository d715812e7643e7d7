//! A disk of memory that crashes where a test wants it to, for the tests of this folder.
//!
//! Names are durable once their folder was synced, as on a real disk; a crash loses or keeps the others, as the test says.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::disk::{AppendFailure, Disk, Stamp};

/// What a crash leaves of the operation it happens in, and of names that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaves {
    /// Nothing of it, and no name that was not synced.
    Nothing,
    /// Half of what was being written, and every name.
    Half,
    /// All of it, and no name that was not synced.
    OperationOnly,
    /// All of it, and every name.
    Everything,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryDisk(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// Contents by inode; always durable up to what is there.
    files: BTreeMap<u64, (Vec<u8>, i128)>,
    names: BTreeMap<PathBuf, u64>,
    synced: BTreeMap<PathBuf, u64>,
    next_inode: u64,
    clock: i128,
    operations: u64,
    fsyncs: u64,
    crash: Option<(u64, Leaves)>,
    dead: bool,
    full: bool,
}

impl MemoryDisk {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// Operations that changed something until now.
    pub(crate) fn operations(&self) -> u64 {
        self.inner().operations
    }

    /// Crashes in the `at`-th changing operation from now on (1 is the next).
    pub(crate) fn crash_in(&self, at: u64, leaves: Leaves) {
        let mut inner = self.inner();
        inner.crash = Some((inner.operations + at, leaves));
    }

    /// Starts again after a crash. Whether there was one.
    pub(crate) fn restart(&self) -> bool {
        let mut inner = self.inner();
        inner.crash = None;
        std::mem::take(&mut inner.dead)
    }

    /// From now on no byte more fits, or it does again.
    pub(crate) fn set_full(&self, full: bool) {
        self.inner().full = full;
    }

    pub(crate) fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let inner = self.inner();
        inner.names.get(path).and_then(|inode| inner.files.get(inode)).map(|file| file.0.clone())
    }

    pub(crate) fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut inner = self.inner();
        let inode = inner.store(bytes);
        inner.names.insert(path.to_owned(), inode);
        inner.synced.insert(path.to_owned(), inode);
    }
}

impl Inner {
    fn store(&mut self, bytes: Vec<u8>) -> u64 {
        self.next_inode += 1;
        self.clock += 1;
        self.files.insert(self.next_inode, (bytes, self.clock));
        self.next_inode
    }

    /// One changing operation. `act` does it, wholly (2), half (1) or not at all (0).
    fn change<T>(&mut self, act: impl FnOnce(&mut Self, u8) -> io::Result<T>) -> io::Result<T> {
        self.alive()?;
        self.operations += 1;
        let Some((_, leaves)) = self.crash.filter(|(at, _)| *at == self.operations) else { return act(self, 2) };
        let amount = match leaves {
            Leaves::Nothing => 0,
            Leaves::Half => 1,
            Leaves::OperationOnly | Leaves::Everything => 2,
        };
        drop(act(self, amount));
        if matches!(leaves, Leaves::Nothing | Leaves::OperationOnly) {
            self.names = self.synced.clone();
        } else {
            self.synced = self.names.clone();
        }
        self.dead = true;
        Err(io::Error::other("crashed"))
    }

    fn alive(&self) -> io::Result<()> {
        if self.dead { Err(io::Error::other("crashed")) } else { Ok(()) }
    }
}

fn amount_of(bytes: &[u8], amount: u8) -> &[u8] {
    &bytes[..bytes.len() * usize::from(amount) / 2]
}

impl Disk for MemoryDisk {
    fn make_folder(&self, _: &Path) -> io::Result<()> {
        self.inner().alive()
    }

    fn is_open_to_others(&self, _: &Path) -> io::Result<bool> {
        Ok(false)
    }

    fn close_to_others(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove_folder(&self, _: &Path) -> io::Result<()> {
        self.inner().alive()
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
        self.inner().alive()?;
        Ok(self.content(path).map(|bytes| bytes.into_iter().take(limit as usize + 1).collect()))
    }

    fn stamp(&self, path: &Path) -> io::Result<Option<Stamp>> {
        let inner = self.inner();
        inner.alive()?;
        Ok(inner.names.get(path).map(|inode| Stamp {
            inode: *inode,
            length: inner.files[inode].0.len() as u64,
            changed: inner.files[inode].1,
        }))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let inner = self.inner();
        inner.alive()?;
        let below = inner.names.keys().filter(|path| path.parent() == Some(folder));
        Ok(below.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn write(&self, path: &Path, bytes: &[u8], new: bool) -> io::Result<()> {
        let mut inner = self.inner();
        inner.fsyncs += 1;
        inner.change(|inner, amount| {
            if new && inner.names.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let full = inner.full;
            let inode = inner.store(if full { Vec::new() } else { amount_of(bytes, amount).to_vec() });
            inner.names.insert(path.to_owned(), inode);
            if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        })
    }

    fn append(&self, path: &Path, length: u64, bytes: &[u8]) -> Result<(), AppendFailure> {
        let mut inner = self.inner();
        inner.fsyncs += 1;
        let mut moved = false;
        let result = inner.change(|inner, amount| {
            let inode = *inner.names.get(path).ok_or(io::ErrorKind::NotFound)?;
            let full = inner.full;
            let file = &mut inner.files.get_mut(&inode).unwrap().0;
            moved = file.len() as u64 != length;
            if !moved {
                file.extend_from_slice(amount_of(bytes, if full { 1 } else { amount }));
            }
            if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        });
        if moved { Err(AppendFailure::Moved) } else { result.map_err(AppendFailure::Write) }
    }

    fn cut(&self, path: &Path, length: u64) -> io::Result<()> {
        let mut inner = self.inner();
        inner.fsyncs += 1;
        inner.change(|inner, amount| {
            let inode = *inner.names.get(path).ok_or(io::ErrorKind::NotFound)?;
            if amount == 2 {
                inner.files.get_mut(&inode).unwrap().0.truncate(length as usize);
            }
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner().change(|inner, amount| {
            if amount == 2 {
                let inode = inner.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
                inner.names.insert(to.to_owned(), inode);
            }
            Ok(())
        })
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner().change(|inner, amount| {
            if inner.names.contains_key(to) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            if amount == 2 {
                let inode = *inner.names.get(from).ok_or(io::ErrorKind::NotFound)?;
                inner.names.insert(to.to_owned(), inode);
            }
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner().change(|inner, amount| {
            if amount == 2 {
                inner.names.remove(path);
            }
            Ok(())
        })
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        inner.fsyncs += 1;
        inner.change(|inner, amount| {
            if amount == 2 {
                inner.synced.retain(|path, _| path.parent() != Some(folder));
                let now: Vec<_> =
                    inner.names.iter().filter(|(path, _)| path.parent() == Some(folder)).map(|(p, i)| (p.clone(), *i)).collect();
                inner.synced.extend(now);
            }
            Ok(())
        })
    }

    fn fsyncs(&self) -> u64 {
        self.inner().fsyncs
    }
}

impl MemoryDisk {
    /// Whether any file ever written holds these bytes.
    pub(crate) fn has_ever_held(&self, needle: &[u8]) -> bool {
        self.inner().files.values().any(|(bytes, _)| bytes.windows(needle.len()).any(|window| window == needle))
    }
}
