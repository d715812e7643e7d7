//! A run's hold on what is durable: the ledger, the journal it appends to, and the state file it folds into.
//!
//! One after the other: `open` (what was, and what is open), `begin_run` (a new epoch; older ones are sealed), `append` (durable, and taken
//! into the ledger), `commit` (the state file catches up and the journal is emptied). A crash between any two of these, or inside one,
//! loses nothing that was acknowledged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cloudtik_model::State;

use super::disk::{Disk, OsDisk};
use super::entropy::random_id;
use super::journal_file::FileJournal;
use super::state_file::FileState;
use super::{
    DataDir, DurableError, Entropy, Entry, JournalStore, Ledger, MemoryJournal, MemoryKeys, MemoryState, OpenIntent, StateLock, StateStore,
    TornTail, Vault, payload, state_store,
};
use crate::Record;

/// Reads of a project that somebody else is changing. Each change is a whole commit of theirs, so more than a few in a row do not happen.
const SNAPSHOT_READS_MAX: u32 = 50;

/// What there is, read without a lock. Nothing is changed.
#[derive(Debug)]
pub struct Snapshot {
    /// The state with the journal folded in, and the open intents.
    pub ledger: Ledger,
    /// The end of the journal that was dropped. While somebody else runs, that is a record on its way.
    pub torn: Option<TornTail>,
    /// Opens what is sensitive, for a plan that is loaded or saved.
    pub vault: Vault,
}

/// The stores of the simulator. Clones share them: a crash is dropping a session and opening another over the same backend.
#[derive(Clone, Debug, Default)]
pub struct MemoryBackend {
    /// The journal; faults are injected here.
    pub journal: MemoryJournal,
    /// The state; faults are injected here.
    pub state: MemoryState,
    /// Keys and secrets.
    pub keys: MemoryKeys,
}

/// What a run holds.
pub struct SessionStore {
    journal: Box<dyn JournalStore>,
    states: Box<dyn StateStore>,
    vault: Vault,
    ledger: Ledger,
    torn: Option<TornTail>,
    /// The serial of the state in the store; `None`: there is no state yet.
    stored_serial: Option<u64>,
    /// The last record that the state in the store contains.
    stored_sequence: u64,
    /// The highest epoch that anybody had.
    epoch: u64,
    run: Option<String>,
    next: u64,
    /// Held as long as this is.
    _lock: Option<StateLock>,
}

impl std::fmt::Debug for SessionStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionStore").field("state", &self.states.path()).field("run", &self.run).field("next", &self.next).finish()
    }
}

impl SessionStore {
    /// Opens the project whose lock is held.
    ///
    /// # Errors
    /// Damage, a newer version, a missing key, what the system says.
    pub fn open(folder: &DataDir, lock: StateLock, entropy: Box<dyn Entropy>) -> Result<Self, DurableError> {
        let (journal, states) = file_stores(folder, Arc::new(OsDisk::default()));
        let mut session = Self::over(journal, states, Vault::of(folder, entropy))?;
        session._lock = Some(lock);
        Ok(session)
    }

    /// Opens a store whose lock the caller holds for as long as this lives.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_held(folder: &DataDir, entropy: Box<dyn Entropy>) -> Result<Self, DurableError> {
        let (journal, states) = file_stores(folder, Arc::new(OsDisk::default()));
        Self::over(journal, states, Vault::of(folder, entropy))
    }

    /// Reads the project without a lock.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn snapshot(folder: &DataDir, entropy: Box<dyn Entropy>) -> Result<Snapshot, DurableError> {
        let (mut journal, mut states) = file_stores(folder, Arc::new(OsDisk::default()));
        let mut vault = Vault::of(folder, entropy);
        for _ in 0..SNAPSHOT_READS_MAX {
            let loaded = load(&mut *journal, &mut *states, &mut vault);
            // Between the state and the journal somebody may have folded the one into the other.
            if !states.has_moved()? {
                return loaded.map(|loaded| Snapshot { ledger: loaded.ledger, torn: loaded.torn, vault });
            }
        }
        Err(DurableError::StateMoved { path: states.path() })
    }

    /// The state as it lies in its store, with the journal folded in: sensitive values are in their envelopes. `None`: there is none yet.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn pull(folder: &DataDir, entropy: Box<dyn Entropy>) -> Result<Option<Vec<u8>>, DurableError> {
        let mut snapshot = Self::snapshot(folder, entropy)?;
        let state = &snapshot.ledger.state;
        if state.lineage.is_empty() {
            return Ok(None);
        }
        let (_, mut states) = file_stores(folder, Arc::new(OsDisk::default()));
        let path = states.path();
        // Sealing is different each time: what is stored already is given as it is.
        if let Some(bytes) = states.load()?
            && state_store::decode(&path, &bytes, &mut snapshot.vault)? == *state
        {
            return Ok(Some(bytes));
        }
        state_store::encode(state, &mut snapshot.vault).map(Some)
    }

    /// Reads a state that somebody gives: its sensitive values are in envelopes of this project's key, or written as `{"$sensitive": …}`.
    ///
    /// # Errors
    /// It is no state; a newer version; the key is another one.
    pub fn read_state(&mut self, path: &Path, bytes: &[u8]) -> Result<State, DurableError> {
        state_store::decode(path, bytes, &mut self.vault)
    }

    /// Over stores of memory.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn in_memory(backend: &MemoryBackend, entropy: Box<dyn Entropy>) -> Result<Self, DurableError> {
        let vault = Vault::new(Box::new(backend.keys.clone()), entropy);
        Self::over(Box::new(backend.journal.clone()), Box::new(backend.state.clone()), vault)
    }

    /// Over any stores. That nobody else writes to them is theirs to find out.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn over(mut journal: Box<dyn JournalStore>, mut states: Box<dyn StateStore>, mut vault: Vault) -> Result<Self, DurableError> {
        let loaded = load(&mut *journal, &mut *states, &mut vault)?;
        Ok(Self {
            next: loaded.ledger.sequence() + 1,
            stored_serial: loaded.stored.then_some(loaded.ledger.state.serial),
            stored_sequence: loaded.stored_sequence,
            epoch: loaded.epoch,
            ledger: loaded.ledger,
            torn: loaded.torn,
            journal,
            states,
            vault,
            run: None,
            _lock: None,
        })
    }

    /// The state with everything folded in, as it is known now. Before the first run of a project its lineage is empty.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.ledger.state
    }

    /// The intents without an outcome, oldest first.
    #[must_use]
    pub fn open_intents(&self) -> Vec<&OpenIntent> {
        let mut open: Vec<&OpenIntent> = self.ledger.open.values().collect();
        open.sort_by_key(|open| open.sequence);
        open
    }

    /// The state and the open intents.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The end of the journal that was dropped when this was opened.
    #[must_use]
    pub const fn torn(&self) -> Option<&TornTail> {
        self.torn.as_ref()
    }

    /// Keys and secrets.
    pub const fn vault(&mut self) -> &mut Vault {
        &mut self.vault
    }

    /// The epoch of the run, or the highest one of those before.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The next run is in a later epoch than this one, which somebody else's was.
    pub fn outlive(&mut self, epoch: u64) {
        self.epoch = self.epoch.max(epoch);
    }

    /// How often something was made durable through this.
    #[must_use]
    pub fn fsyncs(&self) -> u64 {
        // Over files both stores count on the same disk.
        self.journal.fsyncs().max(self.states.fsyncs())
    }

    /// Begins a run: takes a new epoch and closes the journal to the older ones. A project without a state gets one, so that its lineage
    /// is durable before anything carries it. The `Started` record is the caller's first. Returns the epoch.
    ///
    /// # Errors
    /// Somebody else has a newer epoch; what the system says.
    pub fn begin_run(&mut self, run: &str) -> Result<u64, DurableError> {
        if self.stored_serial.is_none() {
            self.ledger.state.version = cloudtik_model::STATE_VERSION;
            self.ledger.state.lineage = random_id(self.vault.entropy())?;
            let first = State { folded: None, ..self.ledger.state.clone() };
            self.store(first, 0)?;
        }
        let epoch = self.epoch.saturating_add(1);
        let free = self.journal.seal(epoch, self.next, run)?;
        for sequence in self.next..free {
            self.ledger.take(&Entry { sequence, epoch, run: run.to_owned(), record: None });
        }
        (self.next, self.epoch) = (free, epoch);
        self.run = Some(run.to_owned());
        Ok(epoch)
    }

    /// Makes records durable, as one group commit, and takes them into the ledger. Returns the sequence number of the last one.
    ///
    /// # Errors
    /// [`DurableError::is_fenced`]: another holder has the journal. Else nothing was appended, as far as anybody can know.
    pub fn append(&mut self, records: Vec<Record>) -> Result<u64, DurableError> {
        let run = self.run.clone().ok_or(DurableError::NotBegun)?;
        let mut entries = Vec::with_capacity(records.len());
        let mut frames = Vec::with_capacity(records.len());
        for (record, sequence) in records.into_iter().zip(self.next..) {
            let mut entry = Entry { sequence, epoch: self.epoch, run: run.clone(), record: None };
            frames.push(payload::encode(&entry, &record, &self.ledger.state, &mut self.vault)?);
            entry.record = Some(record);
            entries.push(entry);
        }
        self.journal.append(&frames)?;
        entries.iter().for_each(|entry| self.ledger.take(entry));
        self.next += entries.len() as u64;
        Ok(self.next - 1)
    }

    /// Folds the journal into the state file and deletes what is folded. Open intents stay in the journal, with what follows the first of
    /// them. Nothing to fold: nothing is written.
    ///
    /// # Errors
    /// [`DurableError::StateMoved`]; what the system says. The journal still has everything then.
    pub fn commit(&mut self) -> Result<(), DurableError> {
        let foldable = self.ledger.foldable();
        if foldable <= self.stored_sequence {
            return Ok(());
        }
        if self.ledger.open.is_empty() {
            self.store(self.ledger.state.clone(), foldable)?;
            self.ledger.forget_handed();
            return self.journal.delete_segments(foldable);
        }
        let (state, rest) = self.divided_at(foldable)?;
        let folded = state.folded.as_ref().map_or(0, |folded| folded.sequence);
        if folded <= self.stored_sequence {
            return Ok(());
        }
        self.store(state.clone(), folded)?;
        let serial = self.ledger.state.serial;
        self.ledger = Ledger::new(State { serial, ..state });
        rest.iter().for_each(|entry| self.ledger.take(entry));
        self.journal.delete_segments(folded)
    }

    /// Puts another state in the place of this one, which stays beside it as every predecessor does. No serial, epoch or number of a record is
    /// used again, whatever the other state says of itself.
    ///
    /// # Errors
    /// [`DurableError::Unsettled`]; what the system says.
    pub fn replace(&mut self, state: State) -> Result<(), DurableError> {
        if !self.ledger.open.is_empty() {
            return Err(DurableError::Unsettled { open: self.ledger.open.len() });
        }
        self.commit()?;
        let former = self.ledger.state.folded.clone();
        let folded = [former, state.folded.clone()].into_iter().flatten().max_by_key(|folded| folded.sequence);
        let sequence = folded.as_ref().map_or(0, |folded| folded.sequence);
        let state = State { epoch: state.epoch.max(self.epoch), folded, ..state };
        self.store(state.clone(), sequence)?;
        let serial = self.ledger.state.serial;
        (self.next, self.epoch) = (sequence + 1, state.epoch);
        self.ledger = Ledger::new(State { serial, ..state });
        self.journal.delete_segments(sequence)
    }

    fn store(&mut self, mut state: State, sequence: u64) -> Result<(), DurableError> {
        let former = self.stored_serial;
        state.serial = state.serial.max(former.unwrap_or(0).saturating_add(1));
        let bytes = state_store::encode(&state, &mut self.vault)?;
        self.states.save(former, &bytes)?;
        self.stored_serial = Some(state.serial);
        self.stored_sequence = sequence;
        self.ledger.state.serial = state.serial;
        Ok(())
    }

    /// The state as of a record, and the records after it, from the stores: this is rare, and nothing has to be kept for it. The place is
    /// moved back to one where no intent waits for an outcome: a state without it would not know what the outcome belongs to.
    fn divided_at(&mut self, sequence: u64) -> Result<(State, Vec<Entry>), DurableError> {
        let path = self.states.path();
        if self.states.has_moved()? {
            return Err(DurableError::StateMoved { path });
        }
        let mut ledger = match self.states.load()? {
            Some(bytes) => Ledger::new(state_store::decode(&path, &bytes, &mut self.vault)?),
            None => return Err(missing(&*self.states, &mut self.vault, "this run wrote one")),
        };
        let lineage = ledger.state.lineage.clone();
        let mut entries = Vec::new();
        for frame in self.journal.read_all(ledger.sequence())?.frames {
            entries.push(payload::decode(frame, &lineage, &mut self.vault, &self.journal.path())?);
        }
        let place = undivided(&entries, sequence);
        let (folded, rest): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(|entry| entry.sequence <= place);
        folded.iter().for_each(|entry| ledger.take(entry));
        Ok((ledger.state, rest))
    }
}

/// The last record up to a number that stands between no intent and its outcome.
fn undivided(entries: &[Entry], mut upto: u64) -> u64 {
    let mut begun: BTreeMap<&str, u64> = BTreeMap::new();
    let mut spans: Vec<(u64, u64)> = Vec::new();
    for entry in entries {
        match &entry.record {
            Some(Record::Intent(intent)) => {
                begun.insert(&intent.op_id, entry.sequence);
            }
            Some(Record::Outcome { op_id, .. }) => spans.extend(begun.remove(op_id.as_str()).map(|begin| (begin, entry.sequence))),
            _ => {}
        }
    }
    spans.sort_by_key(|(begin, _)| std::cmp::Reverse(*begin));
    // From the last intent to the first: one that is moved before may bring an earlier one across.
    for (begin, end) in spans {
        if begin <= upto && upto < end {
            upto = begin.saturating_sub(1);
        }
    }
    upto
}

fn file_stores(folder: &DataDir, disk: Arc<dyn Disk>) -> (Box<dyn JournalStore>, Box<dyn StateStore>) {
    (Box::new(FileJournal::new(Arc::clone(&disk), folder.journal())), Box::new(FileState::new(disk, folder.state())))
}

struct Loaded {
    ledger: Ledger,
    stored: bool,
    stored_sequence: u64,
    torn: Option<TornTail>,
    epoch: u64,
}

fn load(journal: &mut dyn JournalStore, states: &mut dyn StateStore, vault: &mut Vault) -> Result<Loaded, DurableError> {
    let path = states.path();
    let (state, stored) = match states.load()? {
        Some(bytes) => (state_store::decode(&path, &bytes, vault).map_err(|error| with_backup(error, states, vault))?, true),
        None => (State { version: cloudtik_model::STATE_VERSION, ..State::default() }, false),
    };
    let mut ledger = Ledger::new(state);
    let stored_sequence = ledger.sequence();
    let read = match journal.read_all(stored_sequence) {
        Err(DurableError::JournalGap { .. }) if !stored => return Err(missing(states, vault, "the journal goes on from one")),
        other => other?,
    };
    if !stored && !read.frames.is_empty() {
        return Err(missing(states, vault, "the journal goes on from one"));
    }
    if !stored && !states.backups()?.is_empty() {
        return Err(missing(states, vault, "its predecessors are there"));
    }
    let epoch = read.epoch.max(ledger.state.epoch);
    let lineage = ledger.state.lineage.clone();
    for frame in read.frames {
        ledger.take(&payload::decode(frame, &lineage, vault, &journal.path())?);
    }
    Ok(Loaded { ledger, stored, stored_sequence, torn: read.torn, epoch })
}

fn missing(states: &dyn StateStore, vault: &mut Vault, because: &'static str) -> DurableError {
    DurableError::StateMissing { path: states.path(), because, backup: newest_readable(states, vault) }
}

fn with_backup(error: DurableError, states: &dyn StateStore, vault: &mut Vault) -> DurableError {
    match error {
        DurableError::StateDamaged { path, offset, problem, .. } => {
            DurableError::StateDamaged { path, offset, problem, backup: newest_readable(states, vault) }
        }
        other => other,
    }
}

/// Only for a message about another error: what cannot be read is no help.
fn newest_readable(states: &dyn StateStore, vault: &mut Vault) -> Option<PathBuf> {
    states.backups().ok()?.into_iter().find_map(|serial| {
        let path = states.backup_path(serial);
        let bytes = states.backup(serial).ok().flatten()?;
        state_store::decode(&path, &bytes, vault).ok().map(|_| path)
    })
}
