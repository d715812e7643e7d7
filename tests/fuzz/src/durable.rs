//! What lies on a disk: state, journal, saved plans. Any of it may have been damaged, or written by somebody else.

use std::path::{Path, PathBuf};

use cloudtik_executor::durable::{
    DataDir, Frame, FrameKind, JournalStore as _, MemoryJournal, MemoryKeys, MemoryState, OsEntropy, SealContext, SeededEntropy,
    SessionStore, StateStore as _, Vault, load_plan,
};
use cloudtik_model::{Graph, SourceMap, State};
use cloudtik_planner::{Mode, StateJson, lint};
use tempfile::TempDir;

use crate::spec::{plan as plan_of, shown};

/// A state that is read is written as it was, and can be shown and destroyed.
pub(crate) fn state(bytes: &[u8]) {
    read_over(bytes, &[]);
}

/// The bytes of a segment where they begin as one; else a line with a state, and lines with the content of a record each.
pub(crate) fn journal(bytes: &[u8]) {
    if bytes.starts_with(b"cloudtik journal") {
        return segment(bytes);
    }
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let state = lines.next().unwrap_or_default();
    read_over(state, &lines.collect::<Vec<_>>());
}

/// A saved plan that is read can be shown, and linted against any state.
pub(crate) fn plan(bytes: &[u8]) {
    let path = folder().join("plan");
    write(&path, bytes);
    if let Ok(plan) = load_plan(&path, &mut vault()) {
        drop(lint(&plan, &State::default()));
        shown(&plan);
    }
}

fn segment(bytes: &[u8]) {
    let data = DataDir::new(&folder(), None);
    let made = std::fs::create_dir_all(data.journal());
    assert!(made.is_ok(), "{made:?}");
    write(&data.state(), br#"{"version": 1, "lineage": "0123456789abcdef0123456789abcdef", "serial": 1, "epoch": 1}"#);
    write(&data.journal().join("000001-000000000001.log"), bytes);
    if let Ok(snapshot) = SessionStore::snapshot(&data, Box::new(OsEntropy)) {
        check_state(&snapshot.ledger.state);
    }
}

/// Reads a state with records after it, takes both over, and reads what that left.
fn read_over(state: &[u8], records: &[&[u8]]) {
    let (mut states, mut journal) = (MemoryState::default(), MemoryJournal::default());
    let first =
        serde_json::from_slice::<State>(state).ok().and_then(|state| state.folded).map_or(1, |folded| folded.sequence.saturating_add(1));
    let frame = |(payload, sequence): (&&[u8], u64)| Frame {
        sequence,
        epoch: 1,
        run: "r".to_owned(),
        kind: FrameKind::Other,
        payload: payload.to_vec(),
    };
    let frames: Vec<Frame> = records.iter().zip(first..).map(frame).collect();
    let kept = states.load().and_then(|_| states.save(None, state));
    let kept = kept.and_then(|()| journal.seal(1, first, "r")).and_then(|_| journal.append(&frames));
    assert!(kept.is_ok() || frames.len() < records.len(), "{kept:?}");
    let open = || SessionStore::over(Box::new(journal.clone()), Box::new(states.clone()), vault());
    let Ok(mut session) = open() else { return };
    check_state(session.state());
    if session.begin_run("again").is_err() || session.commit().is_err() {
        return;
    }
    let (was, again) = (session.state().clone(), open());
    assert!(again.is_ok_and(|again| *again.state() == was), "what was written is not what is read");
}

/// Whatever shows a state or plans from it takes this one.
fn check_state(state: &State) {
    let json = StateJson { state: Some(state), within: &[], tool_version: "0.1.0" };
    assert!(serde_json::to_writer(std::io::sink(), &json).is_ok(), "it is not written as JSON");
    let (plan, _) = plan_of(&Graph::default(), state, Mode::Destroy, &SourceMap::default());
    drop(lint(&plan, state));
    shown(&plan);
}

/// A vault with the same key each time: what one sealed opens with another one.
pub(crate) fn vault() -> Vault {
    let mut vault = Vault::new(Box::new(MemoryKeys::default()), Box::new(SeededEntropy::new(1)));
    // The key is made when it is first needed.
    let sealed = vault.seal_json(&mut serde_json::json!({ "$sensitive": null }), SealContext { lineage: "", usage: "" });
    assert!(sealed.is_ok(), "{sealed:?}");
    vault
}

pub(crate) fn write(path: &Path, bytes: &[u8]) {
    let written = std::fs::write(path, bytes);
    assert!(written.is_ok(), "{}: {written:?}", path.display());
}

thread_local! {
    /// A folder of this thread, which goes with it: targets may run beside each other.
    static FOLDER: Result<TempDir, std::io::Error> = tempfile::tempdir();
}

pub(crate) fn folder() -> PathBuf {
    FOLDER.with(|folder| {
        assert!(folder.is_ok(), "{folder:?}");
        folder.as_ref().map(|folder| folder.path().to_owned()).unwrap_or_default()
    })
}
