//! The state of the simulator: bytes in memory that several holders share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::state_store::BACKUPS_MAX;
use super::{DurableError, StateStore};

/// What becomes of the next save; its writer is told nothing but an error, as if it had crashed in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveFault {
    /// The state stays as it was.
    Lost,
    /// The new state is there.
    Unacknowledged,
}

/// A state in memory. Its clones are further holders of the same state.
#[derive(Debug, Default)]
pub struct MemoryState {
    shared: Arc<Mutex<Shared>>,
    seen: u64,
}

#[derive(Debug, Default)]
struct Shared {
    bytes: Option<Vec<u8>>,
    /// Counts the saves.
    generation: u64,
    backups: BTreeMap<u64, Vec<u8>>,
    fault: Option<SaveFault>,
}

impl Clone for MemoryState {
    /// Another holder of the same state; it has to load before it can save.
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), seen: 0 }
    }
}

impl MemoryState {
    /// What becomes of the next save of any holder.
    pub fn inject(&self, fault: SaveFault) {
        self.shared().fault = Some(fault);
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for MemoryState {
    fn path(&self) -> PathBuf {
        PathBuf::from("(state in memory)")
    }

    fn load(&mut self) -> Result<Option<Vec<u8>>, DurableError> {
        let shared = self.shared();
        let (seen, bytes) = (shared.generation, shared.bytes.clone());
        drop(shared);
        self.seen = seen;
        Ok(bytes)
    }

    fn save(&mut self, former: Option<u64>, bytes: &[u8]) -> Result<(), DurableError> {
        if self.has_moved()? {
            return Err(DurableError::StateMoved { path: self.path() });
        }
        let crashed = DurableError::Io { doing: "write", path: self.path(), source: std::io::Error::other("crashed") };
        let mut shared = self.shared();
        let fault = shared.fault.take();
        if fault == Some(SaveFault::Lost) {
            return Err(crashed);
        }
        let before = shared.bytes.replace(bytes.to_vec());
        shared.backups.extend(former.zip(before));
        while shared.backups.len() > BACKUPS_MAX {
            shared.backups.pop_first();
        }
        shared.generation += 1;
        let seen = shared.generation;
        drop(shared);
        self.seen = seen;
        if fault.is_some() { Err(crashed) } else { Ok(()) }
    }

    fn has_moved(&self) -> Result<bool, DurableError> {
        Ok(self.shared().generation != self.seen)
    }

    fn backups(&self) -> Result<Vec<u64>, DurableError> {
        Ok(self.shared().backups.keys().rev().copied().collect())
    }

    fn backup_path(&self, serial: u64) -> PathBuf {
        PathBuf::from(format!("(state in memory, serial {serial})"))
    }

    fn backup(&self, serial: u64) -> Result<Option<Vec<u8>>, DurableError> {
        Ok(self.shared().backups.get(&serial).cloned())
    }

    fn fsyncs(&self) -> u64 {
        self.shared().generation
    }
}
