//! What survives a crash: the journal, the state, keys, locks.
//!
//! Formats and folding are pure (`frame`, `payload`, `ledger`, `envelope`, `lease`); what touches a disk does so through `disk`, so that a
//! test can crash at each of its operations. Nothing here awaits, spawns or reads a clock: the simulator uses the same code over stores of
//! memory, and a run that calls no provider needs no runtime. What a record means to a provider is not known here.

mod data_dir;
mod disk;
#[cfg(test)]
mod disk_memory;
mod entropy;
mod envelope;
mod error;
mod frame;
mod journal;
mod journal_file;
mod journal_memory;
mod lease;
mod ledger;
mod lock;
mod payload;
mod place;
mod plan_file;
mod session;
mod state_file;
mod state_memory;
mod state_store;
#[cfg(test)]
mod tests;
mod vault;

pub use data_dir::{DATA_DIR, DataDir};
pub use entropy::{Entropy, OsEntropy, SeededEntropy, random_id};
pub use envelope::SealContext;
pub use error::DurableError;
pub use frame::{Frame, FrameKind, PAYLOAD_BYTES_MAX, RUN_BYTES_MAX};
pub use journal::{JournalRead, JournalStore, TornTail};
pub use journal_file::{FileJournal, JOURNAL_VERSION};
pub use journal_memory::{AppendFault, MemoryJournal};
pub use lease::{Lease, LeaseCommand, LeaseEvent, LeaseLoss, LeaseTimes};
pub use ledger::{Entry, Ledger, OpenIntent, fold};
pub use lock::{Holder, StateLock};
pub use place::NamedPlace;
pub use plan_file::{PLAN_BYTES_MAX, load_plan, save_plan};
pub use session::{MemoryBackend, SessionStore, Snapshot};
pub use state_file::FileState;
pub use state_memory::{MemoryState, SaveFault};
pub use state_store::{BACKUPS_MAX, STATE_BYTES_MAX, StateStore};
pub use vault::{KeyFiles, KeyPair, MemoryKeys, SECRET_BYTES_MAX, SECRET_NAME_BYTES_MAX, STATE_KEY, Vault};
