//! An append-only file of records, each with a checksum. A record that was cut short by a crash is dropped; one that is broken in the
//! middle is an error with its place, because then the file was damaged and what follows cannot be trusted.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::files;

/// The first bytes of the file; the number is the version of the format.
const MAGIC: &[u8] = b"cloudtik local inventory 1\n";

/// Before each payload: its length (4 bytes), a checksum of the length (4), a checksum of the payload (8). The length has its own checksum
/// so that a damaged length is not taken for a record that was cut short.
const HEADER_BYTES: usize = 16;

/// Longest payload. The longest is the snapshot of the whole inventory: 40,000 objects of 1.6 KiB.
const PAYLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why the file cannot be read or written.
#[derive(Debug, Error)]
pub(crate) enum LogError {
    #[error("cannot {doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is damaged at byte {offset}: {problem}", path.display())]
    Damaged { path: PathBuf, offset: usize, problem: &'static str },
    #[error("{} was written by another version of cloudtik; its first bytes are not `cloudtik local inventory 1`", path.display())]
    Version { path: PathBuf },
}

/// The file, open for appending.
#[derive(Debug)]
pub(crate) struct RecordLog {
    path: PathBuf,
    file: File,
    length: u64,
    /// Set when an append failed and the file could not be cut back: nothing more may be written behind a half record.
    broken: bool,
}

impl RecordLog {
    /// Opens the file, making it when it is not there, and returns the payloads in it.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Vec<u8>>), LogError> {
        let failed = |doing| move |source| LogError::Io { doing, path: path.to_path_buf(), source };
        if !path.exists() {
            files::write_durable(path, MAGIC, 0o600).map_err(failed("make"))?;
        }
        let mut file = OpenOptions::new().read(true).write(true).mode(0o600).open(path).map_err(failed("open"))?;
        let mut content = Vec::new();
        file.read_to_end(&mut content).map_err(failed("read"))?;
        let Some(body) = content.strip_prefix(MAGIC) else { return Err(LogError::Version { path: path.to_path_buf() }) };
        let (payloads, good) = split(path, body)?;
        let length = u64::try_from(MAGIC.len().saturating_add(good)).unwrap_or(u64::MAX);
        if good < body.len() {
            file.set_len(length).and_then(|()| file.sync_all()).map_err(failed("cut the torn end of"))?;
        }
        file.seek(SeekFrom::Start(length)).map_err(failed("read"))?;
        Ok((Self { path: path.to_path_buf(), file, length, broken: false }, payloads))
    }

    /// Appends one record and makes it durable. When this fails the file is as it was.
    pub(crate) fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier write failed half-way; start the local cloud again"));
        }
        let record = encode(payload)?;
        let written = self.file.write_all(&record).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            let restored = self.file.set_len(self.length).and_then(|()| self.file.seek(SeekFrom::Start(self.length)));
            self.broken = restored.is_err();
            return Err(error);
        }
        self.length = self.length.saturating_add(u64::try_from(record.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Puts a file with this one record in place of the present one.
    pub(crate) fn replace(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut content = MAGIC.to_vec();
        content.extend_from_slice(&encode(payload)?);
        files::write_durable(&self.path, &content, 0o600)?;
        // From here on the open handle is of a file that has no name any more: appending to it would lose what is appended.
        self.broken = true;
        let mut file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        self.length = file.seek(SeekFrom::End(0))?;
        self.file = file;
        self.broken = false;
        Ok(())
    }

    pub(crate) const fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn encode(payload: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= PAYLOAD_BYTES_MAX);
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a record is too long"))?.to_be_bytes();
    let mut record = Vec::with_capacity(HEADER_BYTES.saturating_add(payload.len()));
    record.extend_from_slice(&length);
    record.extend_from_slice(&checksum::<4>(&length));
    record.extend_from_slice(&checksum::<8>(payload));
    record.extend_from_slice(payload);
    Ok(record)
}

/// The payloads, and how many bytes they take: fewer than there are when the last one was cut short.
fn split(path: &Path, body: &[u8]) -> Result<(Vec<Vec<u8>>, usize), LogError> {
    let mut payloads = Vec::new();
    let mut rest = body;
    loop {
        let position = body.len().saturating_sub(rest.len());
        let damaged = |problem| LogError::Damaged { path: path.to_path_buf(), offset: MAGIC.len().saturating_add(position), problem };
        let Some((header, after)) = rest.split_at_checked(HEADER_BYTES) else { return Ok((payloads, position)) };
        // Some file systems fill with zeros what was allocated and never written.
        if rest.iter().all(|byte| *byte == 0) {
            return Ok((payloads, position));
        }
        let (length, sums) = header.split_at_checked(4).ok_or_else(|| damaged("no length"))?;
        let (length_sum, payload_sum) = sums.split_at_checked(4).ok_or_else(|| damaged("no checksum"))?;
        if length_sum != checksum::<4>(length) {
            return Err(damaged("the checksum of a record's length is wrong"));
        }
        let length = <[u8; 4]>::try_from(length).map_or(0, u32::from_be_bytes);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some((payload, following)) = after.split_at_checked(length) else { return Ok((payloads, position)) };
        if payload_sum != checksum::<8>(payload) {
            if following.is_empty() {
                return Ok((payloads, position));
            }
            return Err(damaged("the checksum of a record is wrong"));
        }
        payloads.push(payload.to_vec());
        rest = following;
    }
}

fn checksum<const BYTES: usize>(content: &[u8]) -> [u8; BYTES] {
    let digest = Sha256::digest(content);
    let mut sum = [0_u8; BYTES];
    for (target, source) in sum.iter_mut().zip(digest) {
        *target = source;
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn filled(folder: &Path) -> (PathBuf, Vec<u8>) {
        let path = folder.join("inventory.log");
        let (mut log, payloads) = RecordLog::open(&path).unwrap();
        assert!(payloads.is_empty());
        for payload in ["one", "two", "three"] {
            log.append(payload.as_bytes()).unwrap();
        }
        let content = fs::read(&path).unwrap();
        (path, content)
    }

    #[test]
    fn every_torn_end_is_dropped_and_appending_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (path, content) = filled(folder.path());
        let two = content.len() - (HEADER_BYTES + "three".len());
        for length in two..content.len() {
            fs::write(&path, &content[..length]).unwrap();
            let (mut log, payloads) = RecordLog::open(&path).unwrap();
            assert_eq!(payloads, [b"one".to_vec(), b"two".to_vec()], "cut at {length}");
            log.append(b"four").unwrap();
            assert_eq!(RecordLog::open(&path).unwrap().1.last().unwrap(), b"four");
        }
    }

    #[test]
    fn a_flipped_bit_before_the_last_record_is_an_error_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let (path, content) = filled(folder.path());
        let last = content.len() - (HEADER_BYTES + "three".len());
        for position in 0..last {
            let mut damaged = content.clone();
            damaged[position] ^= 0x10;
            fs::write(&path, &damaged).unwrap();
            assert!(RecordLog::open(&path).is_err(), "byte {position} may be damaged unseen");
        }
    }

    #[test]
    fn zeros_at_the_end_are_a_torn_write() {
        let folder = tempfile::tempdir().unwrap();
        let (path, mut content) = filled(folder.path());
        content.extend_from_slice(&[0; 64]);
        fs::write(&path, &content).unwrap();
        assert_eq!(RecordLog::open(&path).unwrap().1.len(), 3);
    }

    #[test]
    fn a_replaced_log_has_the_one_record_and_takes_more() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _) = filled(folder.path());
        let (mut log, _) = RecordLog::open(&path).unwrap();
        log.replace(b"all").unwrap();
        log.append(b"more").unwrap();
        assert_eq!(RecordLog::open(&path).unwrap().1, [b"all".to_vec(), b"more".to_vec()]);
    }
}
