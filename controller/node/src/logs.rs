//! The log of a daemon: what it prints goes through a pipe into a file that is rotated once at a size, and the last lines stay at hand.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, PipeReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use crate::durable::beside;
use crate::limits::{LOG_BYTES_MIN, LOG_TAIL_BYTES_MAX, LOG_TAIL_LINES_MAX};
use crate::process::lock;

/// A log file and its last bytes.
pub(crate) struct Log {
    path: PathBuf,
    file: Option<File>,
    size: u64,
    size_max: u64,
    tail: VecDeque<u8>,
    /// Said once in the tail, so that a full disk shows in a failure and not only by a log that ends.
    broken: bool,
}

impl Log {
    /// Appends to a file of at most `size_max` bytes, beside one predecessor `<path>.1`.
    pub(crate) fn open(path: PathBuf, size_max: u64) -> io::Result<Self> {
        let file = open_append(&path)?;
        let size = file.metadata()?.len();
        Ok(Self { path, file: Some(file), size, size_max: size_max.max(LOG_BYTES_MIN), tail: VecDeque::new(), broken: false })
    }

    /// Forgets the last lines: those of an earlier start explain nothing.
    pub(crate) fn forget_tail(&mut self) {
        self.tail.clear();
        self.broken = false;
    }

    /// The last lines, for a failure.
    pub(crate) fn tail(&self) -> String {
        let bytes: Vec<u8> = self.tail.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines.split_at(lines.len().saturating_sub(LOG_TAIL_LINES_MAX)).1.join("\n")
    }

    fn append(&mut self, bytes: &[u8]) {
        self.remember(bytes);
        if let Err(error) = self.write(bytes)
            && !self.broken
        {
            self.broken = true;
            self.remember(format!("[the log `{}` cannot be written: {error}]\n", self.path.display()).as_bytes());
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = bytes.len() as u64;
        if self.size > 0 && self.size.saturating_add(length) > self.size_max {
            self.file = None;
            fs::rename(&self.path, beside(&self.path, ".1"))?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                self.size = 0;
                self.file.insert(open_append(&self.path)?)
            }
        };
        file.write_all(bytes)?;
        self.size = self.size.saturating_add(length);
        Ok(())
    }

    fn remember(&mut self, bytes: &[u8]) {
        self.tail.extend(bytes);
        let surplus = self.tail.len().saturating_sub(LOG_TAIL_BYTES_MAX);
        self.tail.drain(..surplus);
    }
}

fn open_append(path: &std::path::Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

/// Carries a pipe into a log until its last writer is gone, on a thread of its own: a file has no readiness to wait for. The answer
/// comes when everything is written.
pub(crate) fn pump(mut pipe: PipeReader, log: Arc<Mutex<Log>>, name: &str) -> io::Result<oneshot::Receiver<()>> {
    let (done, at_end) = oneshot::channel();
    let work = move || {
        // Pieces of 8 KiB, so that a rotation overshoots by no more.
        let mut buffer = [0; 8 << 10];
        loop {
            match pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => lock(&log).append(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        // Nobody may be waiting any more.
        let _ = done.send(());
    };
    std::thread::Builder::new().name(format!("log {name}")).spawn(work)?;
    Ok(at_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_turns_over_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.log");
        let mut log = Log::open(path.clone(), 1).unwrap();
        for round in 0..30 {
            log.append(format!("{round:01023}\n").as_bytes());
        }
        let old = fs::read_to_string(folder.path().join("d.log.1")).unwrap();
        let new = fs::read_to_string(&path).unwrap();
        assert!(old.len() as u64 <= LOG_BYTES_MIN && new.len() as u64 <= LOG_BYTES_MIN);
        assert!(new.trim_end().ends_with("29"), "the newest line is in the current file");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        drop(log);
        let again = Log::open(path, 1).unwrap();
        assert_eq!(again.size, new.len() as u64, "a start goes on with the size that is there");
    }

    #[test]
    fn the_tail_is_short() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path().join("d.log"), 1 << 20).unwrap();
        for round in 0..1000 {
            log.append(format!("line {round}\n").as_bytes());
        }
        let tail = log.tail();
        assert_eq!(tail.lines().count(), LOG_TAIL_LINES_MAX);
        assert!(tail.ends_with("line 999"));
        log.forget_tail();
        assert_eq!(log.tail(), "");
    }

    #[test]
    fn a_pipe_ends_in_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.log");
        let log = Arc::new(Mutex::new(Log::open(path.clone(), 1 << 20).unwrap()));
        let (reader, mut writer) = io::pipe().unwrap();
        let done = pump(reader, Arc::clone(&log), "d").unwrap();
        writer.write_all(b"hello\n").unwrap();
        drop(writer);
        done.blocking_recv().unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "hello\n");
        assert_eq!(lock(&log).tail(), "hello");
    }
}
