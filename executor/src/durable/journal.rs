//! The journal as a store: what is appended to, not a file handle.
//!
//! An append carries the sequence numbers of its records and fails if one of them exists. A new holder seals the epochs before its own,
//! after which an append of an older holder fails: without a durable intent it may make no call.

use super::{DurableError, Frame};

/// What a journal holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalRead {
    /// The records after the one that was asked for, without a gap.
    pub frames: Vec<Frame>,
    /// The end that was dropped.
    pub torn: Option<TornTail>,
    /// The highest epoch that wrote, sealed or not.
    pub epoch: u64,
}

/// A write that a crash cut short. None of it had been acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub path: std::path::PathBuf,
    /// Where it begins.
    pub offset: u64,
    /// How many bytes are dropped.
    pub bytes: u64,
    /// What is wrong with them.
    pub problem: &'static str,
}

/// Where a journal is kept. Under the file store an OS lock keeps a second holder away; these checks hold where there is none.
pub trait JournalStore: Send {
    /// Where that is, for messages.
    fn path(&self) -> std::path::PathBuf;

    /// The records after number `after`. Changes nothing.
    ///
    /// # Errors
    /// Damage, a gap, a newer version, or what the system says.
    fn read_all(&mut self, after: u64) -> Result<JournalRead, DurableError>;

    /// Takes the journal over: drops a torn end, and makes the next append of every older epoch fail. `next` is the first free sequence
    /// number. Returns the first free one after that: sealing may take one.
    ///
    /// # Errors
    /// [`DurableError::Sealed`] when a newer epoch has it; what the system says.
    fn seal(&mut self, epoch: u64, next: u64, run: &str) -> Result<u64, DurableError>;

    /// Appends records as one group commit: they are durable when this returns. One fsync, however many there are.
    ///
    /// # Errors
    /// [`DurableError::Conflict`], [`DurableError::Sealed`]: this holder lost the journal. Anything else: nothing was appended, or the
    /// journal is broken for this holder from now on.
    fn append(&mut self, frames: &[Frame]) -> Result<(), DurableError>;

    /// Forgets records up to `upto`, where that is cheap: some of them may stay.
    ///
    /// # Errors
    /// What the system says. The records stay then, which is harmless.
    fn delete_segments(&mut self, upto: u64) -> Result<(), DurableError>;

    /// How often this store waited for the disk.
    fn fsyncs(&self) -> u64;
}
