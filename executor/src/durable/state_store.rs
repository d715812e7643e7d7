//! Where the state is kept, and its form there.
//!
//! A store keeps bytes and replaces them only if they are still those that were read. The form is the JSON of [`State`], sensitive values
//! in envelopes.

use std::path::{Path, PathBuf};

use cloudtik_model::{Address, Object, STATE_VERSION, State, StateEntry};
use serde::Deserialize;
use serde_json::Value as Json;

use super::envelope::{self, SealContext};
use super::{DurableError, Vault};

/// How many predecessors of the state are kept: as many commands as somebody looks back over in a day.
pub const BACKUPS_MAX: usize = 10;

/// The longest state that is read: a hundred times the one of a spec with 20,000 resources.
pub const STATE_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// Where a state is kept.
pub trait StateStore: Send {
    /// Where that is, for messages.
    fn path(&self) -> PathBuf;
    /// The state; `None`: there is none yet.
    ///
    /// # Errors
    /// What the system says.
    fn load(&mut self) -> Result<Option<Vec<u8>>, DurableError>;
    /// Replaces the state that was loaded or saved last by this handle, durably, and keeps that one as the backup `former`, if there was
    /// one. When this fails the one that was there still is, or the new one is there whole.
    ///
    /// # Errors
    /// [`DurableError::StateMoved`] when the state is another one by now; what the system says.
    fn save(&mut self, former: Option<u64>, bytes: &[u8]) -> Result<(), DurableError>;
    /// Whether the state is another one than this handle loaded or saved last.
    ///
    /// # Errors
    /// What the system says.
    fn has_moved(&self) -> Result<bool, DurableError>;
    /// Serials of the predecessors, newest first.
    ///
    /// # Errors
    /// What the system says.
    fn backups(&self) -> Result<Vec<u64>, DurableError>;
    /// Where a predecessor is, for messages.
    fn backup_path(&self, serial: u64) -> PathBuf;
    /// A predecessor.
    ///
    /// # Errors
    /// What the system says.
    fn backup(&self, serial: u64) -> Result<Option<Vec<u8>>, DurableError>;
    /// How often this store waited for the disk.
    fn fsyncs(&self) -> u64;
}

/// The state as bytes.
pub(crate) fn encode(state: &State, vault: &mut Vault) -> Result<Vec<u8>, DurableError> {
    let failed = |source| DurableError::Encode { what: "the state", source };
    if !is_sensitive(state) {
        return serde_json::to_vec_pretty(state).map_err(failed);
    }
    let context = SealContext { lineage: &state.lineage, usage: "state" };
    let mut json = serde_json::to_value(state).map_err(failed)?;
    for (address, entry) in &state.resources {
        for (object, place) in objects(entry) {
            if object.undo.is_some() && object_is_sensitive(object) {
                vault.seal_node(&mut json, &format!("/resources/{}/{place}/undo", token(&address.to_string())), context)?;
            }
        }
    }
    vault.seal_json(&mut json, context)?;
    serde_json::to_vec_pretty(&json).map_err(failed)
}

/// The state from bytes; `path` is for messages. One pass over the text, and a second one only to say what is wrong with it.
pub(crate) fn decode(path: &Path, bytes: &[u8], vault: &mut Vault) -> Result<State, DurableError> {
    if envelope::may_have_envelope(bytes) {
        let mut json: Json = serde_json::from_slice(bytes).map_err(|error| damaged(path, bytes, &error))?;
        check_version(path, json.get("version").and_then(Json::as_u64))?;
        let lineage = json.get("lineage").and_then(Json::as_str).unwrap_or_default().to_owned();
        vault.open_json(&mut json, SealContext { lineage: &lineage, usage: "state" })?;
        return State::deserialize(json).map_err(|error| damaged(path, bytes, &error));
    }
    match serde_json::from_slice::<State>(bytes) {
        Ok(state) => check_version(path, Some(u64::from(state.version))).map(|()| state),
        Err(error) => Err(match serde_json::from_slice::<Versioned>(bytes).map(|read| check_version(path, read.version)) {
            Ok(Err(version)) => version,
            _ => damaged(path, bytes, &error),
        }),
    }
}

/// What every version has.
#[derive(Deserialize)]
struct Versioned {
    version: Option<u64>,
}

/// Refuses what this version cannot read. There is no older one yet; once there is, its loader is chosen here.
fn check_version(path: &Path, version: Option<u64>) -> Result<(), DurableError> {
    match version {
        Some(version) if version == u64::from(STATE_VERSION) => Ok(()),
        Some(found) if found > u64::from(STATE_VERSION) => {
            Err(DurableError::StateNewer { path: path.to_owned(), found, known: STATE_VERSION })
        }
        _ => Err(no_such_version(path)),
    }
}

fn no_such_version(path: &Path) -> DurableError {
    DurableError::StateDamaged {
        path: path.to_owned(),
        offset: 0,
        problem: "it does not say its version, or one that there is not".to_owned(),
        backup: None,
    }
}

fn damaged(path: &Path, bytes: &[u8], error: &serde_json::Error) -> DurableError {
    DurableError::StateDamaged { path: path.to_owned(), offset: offset_of(bytes, error), problem: problem_of(error), backup: None }
}

/// Where in a text its reader stopped.
pub(crate) fn offset_of(bytes: &[u8], error: &serde_json::Error) -> u64 {
    let before: usize = bytes.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1)).map(<[u8]>::len).sum();
    // Its column is the last one it read: of a text that ends too early that is the end, else it is the wrong byte.
    let column = if error.is_eof() { error.column() } else { error.column().saturating_sub(1) };
    (before + column).min(bytes.len()) as u64
}

/// What a reader of JSON says, without its own place, which counts lines.
pub(crate) fn problem_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rfind(" at line ").and_then(|at| text.get(..at)).unwrap_or(&text).to_owned()
}

/// A name in a JSON pointer.
fn token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn objects(entry: &StateEntry) -> impl Iterator<Item = (&Object, String)> {
    let current = entry.current.iter().map(|object| (object, "current".to_owned()));
    current.chain(entry.deposed.iter().map(|(key, object)| (object, format!("deposed/{}", token(key)))))
}

fn is_sensitive(state: &State) -> bool {
    state.resources.values().flat_map(objects).any(|(object, _)| object_is_sensitive(object))
        || state.facts.values().chain(state.providers.values()).any(cloudtik_model::Value::has_sensitive)
        || state.outputs.values().any(|output| output.value.has_sensitive())
}

/// Whether an object holds something sensitive. Its `undo` is plain text that may hold the same.
pub(crate) fn object_is_sensitive(object: &Object) -> bool {
    object.attributes.has_sensitive() || object.desired.has_sensitive()
}

/// Whether an address holds something sensitive, or holds nothing, so that nobody knows.
pub(crate) fn may_be_sensitive(state: &State, address: &Address) -> bool {
    state.resources.get(address).is_none_or(|entry| objects(entry).any(|(object, _)| object_is_sensitive(object)))
}
