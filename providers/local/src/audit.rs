//! The audit log: one JSON line per entry, for people and for tests. It can be rebuilt from the inventory for as far back as the inventory
//! goes, so it is not synchronised on every entry.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::protocol::AuditEntry;

/// The log is put aside at this size, and the one put aside before is dropped: about 100,000 entries each.
const AUDIT_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// How much of the end is read to find the last entry; an entry is below one KiB.
const TAIL_BYTES: u64 = 64 * 1024;

/// The log, open for appending.
#[derive(Debug)]
pub(crate) struct AuditLog {
    path: PathBuf,
    file: File,
    length: u64,
    last_sequence: u64,
}

impl AuditLog {
    /// Opens the log, drops a line that a crash cut short, and finds the last sequence.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let total = file.metadata()?.len();
        let (tail, start) = read_tail(&mut file, total)?;
        let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |position| position.saturating_add(1));
        let length = if whole == 0 && start > 0 { total } else { start.saturating_add(u64::try_from(whole).unwrap_or(u64::MAX)) };
        if length < total {
            file.set_len(length)?;
        }
        file.seek(SeekFrom::Start(length))?;
        let mut last_sequence = last_sequence_in(tail.get(..whole).unwrap_or_default());
        if last_sequence == 0
            && let Ok(mut former) = File::open(former_path(path))
        {
            let size = former.metadata()?.len();
            last_sequence = last_sequence_in(&read_tail(&mut former, size)?.0);
        }
        Ok(Self { path: path.to_path_buf(), file, length, last_sequence })
    }

    pub(crate) const fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Appends an entry.
    pub(crate) fn append(&mut self, entry: &AuditEntry) -> io::Result<()> {
        if self.length > AUDIT_BYTES_MAX {
            self.put_aside()?;
        }
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        if let Err(error) = self.file.write_all(&line) {
            self.file.set_len(self.length)?;
            self.file.seek(SeekFrom::Start(self.length))?;
            return Err(error);
        }
        self.length = self.length.saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX));
        self.last_sequence = entry.sequence;
        Ok(())
    }

    /// Makes everything appended so far durable.
    pub(crate) fn synchronise(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn put_aside(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        fs::rename(&self.path, former_path(&self.path))?;
        self.file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
        self.length = 0;
        Ok(())
    }
}

/// Entries after a sequence, oldest first, at most `limit`.
pub(crate) fn read_entries(path: &Path, after: u64, limit: usize) -> io::Result<Vec<AuditEntry>> {
    let mut entries = Vec::new();
    for file in [former_path(path), path.to_path_buf()] {
        let file = match File::open(file) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for line in BufReader::new(file).lines() {
            // The last line may be one that is being written at this moment: it is not an entry yet.
            let Ok(entry) = serde_json::from_str::<AuditEntry>(&line?) else { continue };
            if entry.sequence > after && entries.len() < limit {
                entries.push(entry);
            }
        }
    }
    Ok(entries)
}

fn former_path(path: &Path) -> PathBuf {
    path.with_extension("jsonl.1")
}

fn read_tail(file: &mut File, total: u64) -> io::Result<(Vec<u8>, u64)> {
    let start = total.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail)?;
    Ok((tail, start))
}

fn last_sequence_in(tail: &[u8]) -> u64 {
    let entries = tail.split(|byte| *byte == b'\n').rev().filter_map(|line| serde_json::from_slice::<AuditEntry>(line).ok());
    entries.map(|entry| entry.sequence).next().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Outcome;

    fn entry(sequence: u64) -> AuditEntry {
        AuditEntry {
            sequence,
            time: 1,
            verb: "dial".into(),
            kind: None,
            id: Some("i-1".into()),
            address: None,
            op_id: None,
            token: None,
            cluster: None,
            outcome: Outcome::Done,
            detail: None,
        }
    }

    #[test]
    fn a_line_cut_short_is_dropped_and_the_sequence_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut log = AuditLog::open(&path).unwrap();
        for sequence in [3, 4, 9] {
            log.append(&entry(sequence)).unwrap();
        }
        let content = fs::read(&path).unwrap();
        fs::write(&path, &content[..content.len() - 5]).unwrap();
        let mut log = AuditLog::open(&path).unwrap();
        assert_eq!(log.last_sequence(), 4);
        log.append(&entry(10)).unwrap();
        let sequences: Vec<u64> = read_entries(&path, 3, 10).unwrap().iter().map(|entry| entry.sequence).collect();
        assert_eq!(sequences, [4, 10]);
        assert_eq!(read_entries(&path, 0, 1).unwrap().len(), 1);
    }

    #[test]
    fn a_log_put_aside_is_still_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut log = AuditLog::open(&path).unwrap();
        log.append(&entry(1)).unwrap();
        log.put_aside().unwrap();
        drop(log);
        let mut log = AuditLog::open(&path).unwrap();
        assert_eq!(log.last_sequence(), 1);
        log.append(&entry(2)).unwrap();
        assert_eq!(read_entries(&path, 0, 10).unwrap().len(), 2);
    }
}
