//! The journal in files: segments `<epoch>-<first sequence>.log` in one folder.
//!
//! A segment is a line with the version of the format, and frames. The sequence number in its name says where it begins, so that whole
//! segments can be left out or deleted without reading them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{AppendFailure, Disk, sync_folder_of};
use super::frame::{FramesRead, encode_batch, read_frames};
use super::{DurableError, Frame, FrameKind, JournalRead, JournalStore, TornTail};

/// Version of segments that this code writes and reads.
pub const JOURNAL_VERSION: u32 = 1;

const HEADER: &[u8] = b"cloudtik journal 1\n";
const HEADER_START: &[u8] = b"cloudtik journal ";

/// After this many bytes the next append goes to a new segment, so that folding can free the older ones.
const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// The longest group commit: four of the longest records. The engine's are a few thousand records of a few hundred bytes.
const BATCH_BYTES_MAX: u64 = 4 * super::frame::PAYLOAD_BYTES_MAX as u64;

/// A segment is closed once it passes `SEGMENT_BYTES`; a longer one than that and one group commit is none of ours.
const SEGMENT_BYTES_MAX: u64 = SEGMENT_BYTES + BATCH_BYTES_MAX;

/// The journal of a state on this machine.
#[derive(Debug)]
pub struct FileJournal {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    epoch: u64,
    /// The first free sequence number, once sealed.
    next: Option<u64>,
    /// The segment that is appended to, and its length.
    current: Option<(PathBuf, u64)>,
    broken: bool,
    /// [`SEGMENT_BYTES`], or less for a test.
    segment_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Segment {
    first: u64,
    epoch: u64,
    path: PathBuf,
}

impl FileJournal {
    pub(crate) fn new(disk: Arc<dyn Disk>, folder: PathBuf) -> Self {
        Self { disk, folder, epoch: 0, next: None, current: None, broken: false, segment_bytes: SEGMENT_BYTES }
    }

    /// With short segments.
    #[cfg(test)]
    pub(crate) const fn with_segments_of(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// In the order of their records.
    fn segments(&self) -> Result<Vec<Segment>, DurableError> {
        let names = self.disk.list(&self.folder).map_err(DurableError::io("read", &self.folder))?;
        let mut segments: Vec<Segment> = names.iter().filter_map(|name| segment_of(&self.folder, name)).collect();
        segments.sort();
        Ok(segments)
    }

    fn read_segment(&self, segment: &Segment) -> Result<(Vec<u8>, FramesRead), DurableError> {
        let path = &segment.path;
        let bytes = self.disk.read(path, SEGMENT_BYTES_MAX).map_err(DurableError::io("read", path))?.unwrap_or_default();
        if bytes.len() as u64 > SEGMENT_BYTES_MAX {
            return Err(DurableError::TooLong { path: path.clone(), limit: SEGMENT_BYTES_MAX });
        }
        let read = read_segment(path, segment.first, &bytes)?;
        Ok((bytes, read))
    }

    /// The first append of this holder, or one after its last segment was full: a segment that nobody else has.
    fn begin_segment(&mut self, first: u64, batch: &[u8]) -> Result<(), DurableError> {
        if let Some(other) = self.segments()?.into_iter().find(|other| other.epoch > self.epoch || other.first >= first) {
            return Err(match other.epoch > self.epoch {
                true => DurableError::Sealed { path: other.path, epoch: self.epoch, by: other.epoch },
                false => DurableError::Conflict { path: other.path, sequence: first },
            });
        }
        self.disk.make_folder(&self.folder).map_err(DurableError::io("make", &self.folder))?;
        let path = self.folder.join(format!("{:06}-{first:012}.log", self.epoch));
        let bytes = [HEADER, batch].concat();
        let written = self.disk.write(&path, &bytes, true).and_then(|()| sync_folder_of(&*self.disk, &path));
        if let Err(source) = written {
            // What is left of it must not stand before the next record.
            self.broken = source.kind() != std::io::ErrorKind::AlreadyExists && self.disk.remove(&path).is_err();
            return Err(DurableError::Io { doing: "write", path, source });
        }
        self.current = Some((path, bytes.len() as u64));
        Ok(())
    }

    fn append_to(&mut self, path: PathBuf, length: u64, batch: &[u8], sequence: u64) -> Result<(), DurableError> {
        match self.disk.append(&path, length, batch) {
            Ok(()) => {
                self.current = Some((path, length + batch.len() as u64));
                Ok(())
            }
            Err(AppendFailure::Moved) => Err(DurableError::Conflict { path, sequence }),
            Err(AppendFailure::Write(source)) => {
                self.broken = self.disk.cut(&path, length).is_err();
                Err(DurableError::Io { doing: "append to", path, source })
            }
            Err(AppendFailure::Sync(source)) => {
                self.broken = true;
                Err(DurableError::Io { doing: "append to", path, source })
            }
        }
    }
}

fn segment_of(folder: &Path, name: &str) -> Option<Segment> {
    let (epoch, first) = name.strip_suffix(".log")?.split_once('-')?;
    Some(Segment { first: first.parse().ok()?, epoch: epoch.parse().ok()?, path: folder.join(name) })
}

/// The frames of a segment's bytes; offsets count from the beginning of the segment.
fn read_segment(path: &Path, first: u64, bytes: &[u8]) -> Result<FramesRead, DurableError> {
    let Some(frames) = bytes.strip_prefix(HEADER) else {
        if HEADER.starts_with(bytes) {
            let torn = (!bytes.is_empty()).then_some("the first line is cut short");
            return Ok(FramesRead { torn, ..FramesRead::default() });
        }
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let version = line.strip_prefix(HEADER_START).map(|version| String::from_utf8_lossy(version).into_owned());
        return Err(match version.filter(|version| version.parse::<u32>().is_ok_and(|version| version > JOURNAL_VERSION)) {
            Some(found) => DurableError::JournalNewer { path: path.to_owned(), found, known: JOURNAL_VERSION },
            None => damaged(path, 0, "it does not begin with `cloudtik journal 1`"),
        });
    };
    let mut read = read_frames(frames, first).map_err(|damage| damaged(path, HEADER.len() + damage.offset, damage.problem))?;
    read.end += HEADER.len();
    read.frames.iter_mut().for_each(|(offset, _)| *offset += HEADER.len());
    Ok(read)
}

fn damaged(path: &Path, offset: usize, problem: &str) -> DurableError {
    DurableError::JournalDamaged { path: path.to_owned(), offset: offset as u64, problem: problem.to_owned() }
}

impl JournalStore for FileJournal {
    fn path(&self) -> PathBuf {
        self.folder.clone()
    }

    fn read_all(&mut self, after: u64) -> Result<JournalRead, DurableError> {
        let segments = self.segments()?;
        let mut all = JournalRead::default();
        let mut due = after.saturating_add(1);
        for (i, segment) in segments.iter().enumerate() {
            let following = segments.get(i + 1);
            all.epoch = all.epoch.max(segment.epoch);
            if following.is_some_and(|following| following.first <= due) {
                continue;
            }
            let (bytes, read) = self.read_segment(segment)?;
            if let Some(problem) = read.torn {
                if following.is_some() {
                    return Err(damaged(&segment.path, read.end, problem));
                }
                let (offset, length) = (read.end as u64, bytes.len() as u64);
                all.torn = Some(TornTail { path: segment.path.clone(), offset, bytes: length.saturating_sub(offset), problem });
            }
            for frame in read.frames.into_iter().map(|(_, frame)| frame).filter(|frame| frame.sequence > after) {
                if frame.sequence != due {
                    return Err(DurableError::JournalGap { path: segment.path.clone(), expected: due, found: frame.sequence });
                }
                due += 1;
                all.epoch = all.epoch.max(frame.epoch);
                all.frames.push(frame);
            }
        }
        Ok(all)
    }

    fn seal(&mut self, epoch: u64, next: u64, run: &str) -> Result<u64, DurableError> {
        (self.epoch, self.current, self.broken) = (epoch, None, false);
        let mut next = next;
        while let Some(last) = self.segments()?.pop() {
            if last.epoch >= epoch {
                return Err(DurableError::Sealed { path: last.path, epoch, by: last.epoch });
            }
            let (bytes, read) = self.read_segment(&last)?;
            if read.frames.is_empty() {
                // A segment that a crash kept from getting its first record. Its successor has the same number.
                self.disk.remove(&last.path).map_err(DurableError::io("remove", &last.path))?;
                sync_folder_of(&*self.disk, &last.path).map_err(DurableError::io("remove", &last.path))?;
                continue;
            }
            if read.torn.is_some() {
                self.disk.cut(&last.path, read.end as u64).map_err(DurableError::io("cut the torn end of", &last.path))?;
            }
            let length = if read.torn.is_some() { read.end } else { bytes.len() } as u64;
            let end = read.frames.last().map_or(last.first, |(_, frame)| frame.sequence + 1);
            if end > next {
                return Err(DurableError::Conflict { path: last.path, sequence: next });
            }
            if end == next {
                // The old holder's next append has this number and this place: it fails.
                let seal = Frame { sequence: next, epoch, run: run.to_owned(), kind: FrameKind::Seal, payload: Vec::new() };
                let batch = encode_batch(&[seal]).map_err(too_long)?;
                self.append_to(last.path, length, &batch, next)?;
                next += 1;
            }
            break;
        }
        self.current = None;
        self.next = Some(next);
        Ok(next)
    }

    fn append(&mut self, frames: &[Frame]) -> Result<(), DurableError> {
        let Some(first) = frames.first().map(|frame| frame.sequence) else { return Ok(()) };
        let path = || self.current.as_ref().map_or_else(|| self.folder.clone(), |(path, _)| path.clone());
        if self.broken {
            return Err(DurableError::JournalBroken { path: path() });
        }
        let next = self.next.ok_or(DurableError::NotBegun)?;
        if frames.iter().zip(next..).any(|(frame, sequence)| frame.sequence != sequence || frame.epoch != self.epoch) {
            return Err(DurableError::Conflict { path: path(), sequence: first });
        }
        let batch = encode_batch(frames).map_err(too_long)?;
        if batch.len() as u64 > BATCH_BYTES_MAX {
            return Err(DurableError::RecordTooLong { bytes: batch.len() as u64, limit: BATCH_BYTES_MAX });
        }
        match self.current.clone().filter(|(_, length)| *length < self.segment_bytes) {
            Some((path, length)) => self.append_to(path, length, &batch, first)?,
            None => self.begin_segment(first, &batch)?,
        }
        self.next = Some(next + frames.len() as u64);
        Ok(())
    }

    fn delete_segments(&mut self, upto: u64) -> Result<(), DurableError> {
        let segments = self.segments()?;
        let end = self.next.unwrap_or(0);
        for (i, segment) in segments.iter().enumerate() {
            let following = segments.get(i + 1).map_or(end, |following| following.first);
            if following == 0 || following > upto.saturating_add(1) {
                break;
            }
            self.disk.remove(&segment.path).map_err(DurableError::io("remove", &segment.path))?;
            if self.current.as_ref().is_some_and(|(path, _)| *path == segment.path) {
                self.current = None;
            }
        }
        self.disk.remove_folder(&self.folder).map_err(DurableError::io("remove", &self.folder))
    }

    fn fsyncs(&self) -> u64 {
        self.disk.fsyncs()
    }
}

fn too_long(error: super::frame::FrameTooLong) -> DurableError {
    DurableError::RecordTooLong { bytes: error.bytes as u64, limit: error.limit as u64 }
}
