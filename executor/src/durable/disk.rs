//! The few things that are done to files, so that a test can stop at each of them.
//!
//! Every method that writes is durable when it returns, except for the entry of the folder: that is durable after
//! [`Disk::sync_folder`]. What a crash leaves of a file that was being written is any beginning of it.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What tells one content of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) inode: u64,
    pub(crate) length: u64,
    /// Of the last change, in nanoseconds.
    pub(crate) changed: i128,
}

/// Why an append did not come about.
#[derive(Debug)]
pub(crate) enum AppendFailure {
    /// The file does not end where the writer left it: somebody else wrote. Nothing was written.
    Moved,
    /// The system refused to take it all; the file may be longer than it was.
    Write(io::Error),
    /// It was taken, but it is not known whether it is durable, and asking again gives no answer.
    Sync(io::Error),
}

/// The system's files, or a twin of them.
pub(crate) trait Disk: Send + Sync + fmt::Debug {
    /// Makes a folder that only its owner may enter, durably. One that exists is left alone.
    fn make_folder(&self, path: &Path) -> io::Result<()>;
    /// Whether somebody else than its owner may enter a folder or read it.
    fn is_open_to_others(&self, path: &Path) -> io::Result<bool>;
    /// Takes those rights away.
    fn close_to_others(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder. One that is gone, or not empty, is left alone.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
    /// The content, at most one byte more than `limit`; `None`: there is no such file.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>>;
    /// `None`: there is no such file.
    fn stamp(&self, path: &Path) -> io::Result<Option<Stamp>>;
    /// The names in a folder, sorted; none if there is no such folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Writes a file that only its owner may read. With `new` it must not exist.
    fn write(&self, path: &Path, bytes: &[u8], new: bool) -> io::Result<()>;
    /// Appends to a file that is `length` bytes long.
    fn append(&self, path: &Path, length: u64, bytes: &[u8]) -> Result<(), AppendFailure>;
    /// Cuts a file.
    fn cut(&self, path: &Path, length: u64) -> io::Result<()>;
    /// Gives a file another name, in place of what has that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name, which must be free.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file. One that is gone is fine.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// How often something was made durable until now.
    fn fsyncs(&self) -> u64;
}

/// The system's.
#[derive(Debug, Default)]
pub(crate) struct OsDisk {
    fsyncs: AtomicU64,
}

impl OsDisk {
    fn sync(&self, file: &File) -> io::Result<()> {
        self.fsyncs.fetch_add(1, Ordering::Relaxed);
        file.sync_all()
    }
}

fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Disk for OsDisk {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => path.parent().map_or(Ok(()), |parent| self.sync_folder(parent)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn is_open_to_others(&self, path: &Path) -> io::Result<bool> {
        Ok(fs::metadata(path)?.mode() & 0o077 != 0)
    }

    fn close_to_others(&self, path: &Path) -> io::Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        match unless_gone(fs::remove_dir(path)) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            other => other.map(drop),
        }
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = unless_gone(File::open(path))? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn stamp(&self, path: &Path) -> io::Result<Option<Stamp>> {
        let metadata = unless_gone(fs::metadata(path))?;
        Ok(metadata.map(|metadata| Stamp {
            inode: metadata.ino(),
            length: metadata.len(),
            changed: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
        }))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let Some(entries) = unless_gone(fs::read_dir(folder))? else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is not text is none of ours.
            names.extend(entry?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    fn write(&self, path: &Path, bytes: &[u8], new: bool) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(!new).create_new(new).truncate(!new).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        self.sync(&file)
    }

    fn append(&self, path: &Path, length: u64, bytes: &[u8]) -> Result<(), AppendFailure> {
        let mut file = OpenOptions::new().append(true).open(path).map_err(AppendFailure::Write)?;
        if file.metadata().map_err(AppendFailure::Write)?.len() != length {
            return Err(AppendFailure::Moved);
        }
        file.write_all(bytes).map_err(AppendFailure::Write)?;
        self.sync(&file).map_err(AppendFailure::Sync)
    }

    fn cut(&self, path: &Path, length: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(length)?;
        self.sync(&file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        unless_gone(fs::remove_file(path)).map(drop)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        // The parent of a relative name is the empty path.
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        self.sync(&File::open(folder)?)
    }

    fn fsyncs(&self) -> u64 {
        self.fsyncs.load(Ordering::Relaxed)
    }
}

/// Replaces a file so that after a crash either the old or the new content is there.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary_beside(path);
    let replaced = disk.write(&temporary, bytes, false).and_then(|()| disk.rename(&temporary, path));
    if let Err(error) = replaced {
        // The first error is the one to tell; a temporary file that stays does no harm.
        drop(disk.remove(&temporary));
        return Err(error);
    }
    sync_folder_of(disk, path)
}

/// Whether a link failed because the file system has none.
pub(crate) fn has_no_links(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EOPNOTSUPP | libc::ENOSYS | libc::EMLINK))
}

/// Makes the entry of a file durable.
pub(crate) fn sync_folder_of(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| disk.sync_folder(folder))
}

/// Where the next content of a file is written first; another place each time.
pub(crate) fn temporary_beside(path: &Path) -> PathBuf {
    static TAKEN: AtomicU64 = AtomicU64::new(0);
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}-{}.tmp", std::process::id(), TAKEN.fetch_add(1, Ordering::Relaxed)));
    path.with_file_name(name)
}
