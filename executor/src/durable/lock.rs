//! The lock of a state on this machine: one file, locked by the system, so that it is free as soon as its holder is gone.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DataDir, DurableError};

/// The first wait between two tries; doubled for each further one.
const POLL_FIRST: Duration = Duration::from_millis(100);

/// The longest wait between two tries: a person who waits for a lock does not notice one second.
const POLL_MAX: Duration = Duration::from_secs(1);

/// The longest holder information that is read; ours is a few hundred bytes.
const HOLDER_BYTES_MAX: u64 = 64 * 1024;

/// Who holds the lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Name of the machine.
    pub host: String,
    /// Login name, or the number of a user that has none.
    pub user: String,
    /// What it runs: `apply`.
    pub command: String,
    /// Since when, as the caller writes times.
    pub since: String,
}

impl Holder {
    /// This process.
    #[must_use]
    pub fn this_process(command: impl Into<String>, since: impl Into<String>) -> Self {
        let uid = nix::unistd::geteuid();
        let user = nix::unistd::User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
        let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
        Self { pid: std::process::id(), host, user, command: command.into(), since: since.into() }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` of {} on {} (process {}, since {})", self.command, self.user, self.host, self.pid, self.since)
    }
}

/// The lock, held until this is dropped or the process ends.
#[derive(Debug)]
pub struct StateLock {
    file: File,
    path: PathBuf,
}

impl StateLock {
    /// Takes the lock of a data folder, which is made if need be.
    ///
    /// # Errors
    /// [`DurableError::Held`], with who holds it; what the system says.
    pub fn acquire(folder: &DataDir, holder: &Holder) -> Result<Self, DurableError> {
        folder.create()?;
        let path = folder.lock();
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = opened.map_err(DurableError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DurableError::Held { holder: read_holder(&file), path }),
            Err(TryLockError::Error(source)) => return Err(DurableError::Io { doing: "lock", path, source }),
        }
        let mut lock = Self { file, path };
        lock.write(Some(holder))?;
        Ok(lock)
    }

    /// Takes the lock, trying again until `timeout` has passed. `pause` waits; the time is what it was asked to wait, so no clock is read.
    ///
    /// # Errors
    /// As [`Self::acquire`].
    pub async fn acquire_within(
        folder: &DataDir,
        holder: &Holder,
        timeout: Duration,
        mut pause: impl AsyncFnMut(Duration),
    ) -> Result<Self, DurableError> {
        let (mut left, mut wait) = (timeout, POLL_FIRST);
        loop {
            match Self::acquire(folder, holder) {
                Err(DurableError::Held { .. }) if !left.is_zero() => {
                    let next = wait.min(left);
                    pause(next).await;
                    left = left.saturating_sub(next);
                    wait = wait.saturating_mul(2).min(POLL_MAX);
                }
                other => return other,
            }
        }
    }

    /// [`Self::acquire_within`] for a thread that may sleep.
    ///
    /// # Errors
    /// As [`Self::acquire`].
    #[expect(clippy::disallowed_methods, reason = "nothing runs yet that could be stepped: the lock comes before the first state machine")]
    pub fn acquire_blocking(folder: &DataDir, holder: &Holder, timeout: Duration) -> Result<Self, DurableError> {
        let (mut left, mut wait) = (timeout, POLL_FIRST);
        loop {
            match Self::acquire(folder, holder) {
                Err(DurableError::Held { .. }) if !left.is_zero() => {
                    let next = wait.min(left);
                    std::thread::sleep(next);
                    left = left.saturating_sub(next);
                    wait = wait.saturating_mul(2).min(POLL_MAX);
                }
                other => return other,
            }
        }
    }

    /// The lock file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(&mut self, holder: Option<&Holder>) -> Result<(), DurableError> {
        let text = match holder {
            Some(holder) => serde_json::to_vec(holder).map_err(|source| DurableError::Encode { what: "the holder of the lock", source })?,
            None => Vec::new(),
        };
        let file = &mut self.file;
        // Only for messages, so it need not be durable. On a full disk the lock is held all the same.
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(&text));
        match written {
            Err(source) if source.kind() != std::io::ErrorKind::StorageFull => {
                Err(DurableError::Io { doing: "write", path: self.path.clone(), source })
            }
            _ => Ok(()),
        }
    }
}

impl Drop for StateLock {
    fn drop(&mut self) {
        // Nobody is told of a holder that is gone; that it goes is what counts. The file stays: removing it would let two in.
        drop(self.write(None));
    }
}

/// Who holds it, if the file says so: the holder may be just about to write it.
fn read_holder(file: &File) -> Option<Box<Holder>> {
    let mut text = Vec::new();
    file.take(HOLDER_BYTES_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok().map(Box::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    fn folder() -> (tempfile::TempDir, DataDir) {
        let project = tempfile::tempdir().unwrap();
        let folder = DataDir::new(project.path(), None);
        (project, folder)
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("nothing in it waits"),
        }
    }

    #[test]
    fn a_second_holder_is_told_of_the_first_and_gets_it_once_that_is_gone() {
        let (_project, folder) = folder();
        let first = StateLock::acquire(&folder, &Holder::this_process("apply", "12:00")).unwrap();
        let error = StateLock::acquire(&folder, &Holder::this_process("destroy", "12:01")).unwrap_err();
        assert!(
            matches!(&error, DurableError::Held { holder: Some(holder), .. } if holder.pid == std::process::id() && holder.command == "apply")
        );
        assert!(error.to_string().starts_with("the lock is held by `apply` of "), "{error}");
        let diagnostic = error.to_diagnostic();
        assert_eq!(diagnostic.code, "lock-held");
        assert!(diagnostic.help.unwrap().contains("--lock-timeout"));
        drop(first);
        assert_eq!(std::fs::read(folder.lock()).unwrap(), b"");
        StateLock::acquire(&folder, &Holder::this_process("destroy", "12:02")).unwrap();
    }

    #[test]
    fn whoever_waits_gets_it_in_time_or_gives_up_after_it() {
        let (_project, folder) = folder();
        let holder = Holder::this_process("apply", "12:00");
        let mut held = Some(StateLock::acquire(&folder, &holder).unwrap());
        let mut waited = Duration::ZERO;
        let late = run(StateLock::acquire_within(&folder, &holder, Duration::from_secs(5), async |pause| waited += pause));
        assert!(matches!(late, Err(DurableError::Held { .. })) && waited == Duration::from_secs(5), "{waited:?}");
        let mut waited = Duration::ZERO;
        let got = run(StateLock::acquire_within(&folder, &holder, Duration::from_secs(60), async |pause| {
            waited += pause;
            if waited > Duration::from_secs(3) {
                held = None;
            }
        }));
        assert!(got.is_ok() && waited < Duration::from_secs(5), "{waited:?}");
    }
}
