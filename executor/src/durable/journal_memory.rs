//! The journal of the simulator: bytes in memory that several holders share, which lose and tear writes when they are told to.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::frame::{encode_batch, read_frames};
use super::{DurableError, Frame, FrameKind, JournalRead, JournalStore, TornTail};

/// What becomes of the next append. In each case its writer is told nothing but an error, as if it had crashed in it, and is broken from
/// then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendFault {
    /// Nothing of it arrives.
    Lost,
    /// So many bytes of it arrive; fewer than all, whatever is said here.
    Torn(usize),
    /// All of it arrives.
    Unacknowledged,
}

/// A journal in memory. Its clones are further holders of the same journal.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    shared: Arc<Mutex<Shared>>,
    epoch: u64,
    next: Option<u64>,
    broken: bool,
}

#[derive(Debug, Default)]
struct Shared {
    /// Frames, from `first` on.
    bytes: Vec<u8>,
    first: u64,
    /// The newest holder; older ones may not append.
    epoch: u64,
    fault: Option<AppendFault>,
    fsyncs: u64,
    /// The first free sequence number, where no fault and no removal left it to be read from the bytes.
    known_end: Option<u64>,
}

impl Clone for MemoryJournal {
    /// Another holder of the same journal; it has to seal before it can append.
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), epoch: 0, next: None, broken: false }
    }
}

impl MemoryJournal {
    /// What becomes of the next append of any holder.
    pub fn inject(&self, fault: AppendFault) {
        self.shared().fault = Some(fault);
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.shared().bytes.len()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        // Nobody panics with the lock held; if somebody did, the bytes are still what was appended.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path() -> PathBuf {
        PathBuf::from("(journal in memory)")
    }
}

impl Shared {
    fn read(&self) -> Result<super::frame::FramesRead, DurableError> {
        read_frames(&self.bytes, self.first).map_err(|damage| DurableError::JournalDamaged {
            path: MemoryJournal::path(),
            offset: damage.offset as u64,
            problem: damage.problem.to_owned(),
        })
    }

    /// The first free sequence number.
    fn end(&self) -> Result<u64, DurableError> {
        if let Some(end) = self.known_end {
            return Ok(end);
        }
        Ok(self.read()?.frames.last().map_or(self.first, |(_, frame)| frame.sequence + 1))
    }

    fn append(&mut self, frames: &[Frame]) -> Result<(), DurableError> {
        let too_long =
            |error: super::frame::FrameTooLong| DurableError::RecordTooLong { bytes: error.bytes as u64, limit: error.limit as u64 };
        let batch = encode_batch(frames).map_err(too_long)?;
        if self.bytes.is_empty() {
            self.first = frames.first().map_or(self.first, |frame| frame.sequence);
        }
        self.fsyncs += 1;
        let fault = self.fault.take();
        let arrives = match fault {
            Some(AppendFault::Lost) => 0,
            Some(AppendFault::Torn(bytes)) => bytes.min(batch.len().saturating_sub(1)),
            Some(AppendFault::Unacknowledged) | None => batch.len(),
        };
        self.bytes.extend_from_slice(batch.get(..arrives).unwrap_or_default());
        self.known_end = frames.last().filter(|_| fault.is_none()).map(|frame| frame.sequence + 1);
        if fault.is_some() { Err(DurableError::JournalBroken { path: MemoryJournal::path() }) } else { Ok(()) }
    }
}

impl JournalStore for MemoryJournal {
    fn path(&self) -> PathBuf {
        Self::path()
    }

    fn read_all(&mut self, after: u64) -> Result<JournalRead, DurableError> {
        let shared = self.shared();
        let read = shared.read()?;
        let torn = read.torn.map(|problem| TornTail {
            path: Self::path(),
            offset: read.end as u64,
            bytes: shared.bytes.len().saturating_sub(read.end) as u64,
            problem,
        });
        let frames: Vec<Frame> = read.frames.into_iter().map(|(_, frame)| frame).filter(|frame| frame.sequence > after).collect();
        match frames.first() {
            Some(first) if first.sequence != after + 1 => {
                Err(DurableError::JournalGap { path: Self::path(), expected: after + 1, found: first.sequence })
            }
            _ => Ok(JournalRead { frames, torn, epoch: shared.epoch }),
        }
    }

    fn seal(&mut self, epoch: u64, next: u64, run: &str) -> Result<u64, DurableError> {
        let mut shared = self.shared();
        if shared.epoch >= epoch {
            return Err(DurableError::Sealed { path: Self::path(), epoch, by: shared.epoch });
        }
        let end = shared.read()?.end;
        shared.bytes.truncate(end);
        shared.known_end = None;
        let mut free = next;
        if !shared.bytes.is_empty() {
            let end = shared.end()?;
            if end > next {
                return Err(DurableError::Conflict { path: Self::path(), sequence: next });
            }
            if end == next {
                shared.append(&[Frame { sequence: next, epoch, run: run.to_owned(), kind: FrameKind::Seal, payload: Vec::new() }])?;
                free += 1;
            }
        }
        shared.epoch = epoch;
        drop(shared);
        (self.epoch, self.next, self.broken) = (epoch, Some(free), false);
        Ok(free)
    }

    fn append(&mut self, frames: &[Frame]) -> Result<(), DurableError> {
        let Some(first) = frames.first().map(|frame| frame.sequence) else { return Ok(()) };
        if self.broken {
            return Err(DurableError::JournalBroken { path: Self::path() });
        }
        let next = self.next.ok_or(DurableError::NotBegun)?;
        let epoch = self.epoch;
        let mut shared = self.shared();
        if shared.epoch > epoch {
            return Err(DurableError::Sealed { path: Self::path(), epoch, by: shared.epoch });
        }
        let taken = !shared.bytes.is_empty() && shared.end()? != next;
        if taken || frames.iter().zip(next..).any(|(frame, sequence)| frame.sequence != sequence || frame.epoch != epoch) {
            return Err(DurableError::Conflict { path: Self::path(), sequence: first });
        }
        let appended = shared.append(frames);
        drop(shared);
        self.broken = appended.is_err();
        self.next = Some(next + frames.len() as u64);
        appended
    }

    fn delete_segments(&mut self, upto: u64) -> Result<(), DurableError> {
        let mut shared = self.shared();
        let read = shared.read()?;
        let kept = read.frames.iter().find(|(_, frame)| frame.sequence > upto);
        let (offset, first) = kept.map_or((read.end, upto + 1), |(offset, frame)| (*offset, frame.sequence));
        shared.bytes.drain(..offset);
        shared.known_end = None;
        shared.first = first;
        Ok(())
    }

    fn fsyncs(&self) -> u64 {
        self.shared().fsyncs
    }
}
