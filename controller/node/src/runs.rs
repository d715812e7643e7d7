//! Runs: one execution of one request. A run belongs to the agent, not to the connection that asked for it; whoever comes back with its id
//! gets what is left of its output and its end. Runs are recorded before they start and when they end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::sync::Mutex;
use std::time::SystemTime;

use cloudtik_model::{Digest, NodeReply, StepOutcome, Verb};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::durable;
use crate::error::NodeError;
use crate::layout::Layout;
use crate::limits::{OUTPUT_KEPT_BYTES_MAX, OUTPUT_RECORDED_BYTES_MAX, RUNS_REMEMBERED_MAX};
use crate::process::lock;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct End {
    pub(crate) identity: Digest,
    pub(crate) rendered: Digest,
    pub(crate) outcome: StepOutcome,
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, String>,
}

impl End {
    /// As a frame.
    pub(crate) fn frame(self, run_id: &str) -> NodeReply {
        let Self { identity, rendered, outcome, attributes } = self;
        NodeReply::End { run_id: run_id.to_owned(), identity, rendered, outcome, attributes }
    }
}

/// A piece of output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Piece {
    pub(crate) stderr: bool,
    pub(crate) text: String,
}

/// `runs/<escaped run id>.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunRecord {
    pub(crate) version: u32,
    pub(crate) run_id: String,
    /// Digest of the whole request: the same id with another request is a mistake of whoever asks.
    pub(crate) request: Digest,
    pub(crate) address: String,
    pub(crate) verb: Verb,
    /// `None` while it runs, or when the agent was killed in the middle.
    #[serde(default)]
    pub(crate) end: Option<End>,
    /// The last of its output.
    #[serde(default)]
    pub(crate) output: Vec<Piece>,
}

impl RunRecord {
    pub(crate) const VERSION: u32 = 1;

    /// Reads the record of a run.
    pub(crate) fn read(layout: &Layout, run_id: &str) -> Result<Option<Self>, NodeError> {
        let path = layout.run(run_id);
        match durable::read_record::<Self>(&path, "run record")? {
            Some(record) if record.version != Self::VERSION => {
                Err(NodeError::Version { path, found: record.version, known: Self::VERSION })
            }
            record => Ok(record),
        }
    }

    /// Writes it durably.
    pub(crate) fn write(&self, layout: &Layout) -> Result<(), NodeError> {
        durable::write_record(&layout.run(&self.run_id), self)
    }
}

/// The ids of runs that have no end: what was going on when an agent was killed.
pub(crate) fn unfinished(layout: &Layout) -> Result<BTreeSet<String>, NodeError> {
    let mut ids = BTreeSet::new();
    for (_, path) in files(layout)? {
        if let Some(record) = durable::read_record::<RunRecord>(&path, "run record")?
            && record.end.is_none()
        {
            ids.insert(record.run_id);
        }
    }
    Ok(ids)
}

/// Removes the oldest records above the limit. Those without an end stay: somebody will ask for them.
pub(crate) fn prune(layout: &Layout) -> Result<(), NodeError> {
    let mut found = files(layout)?;
    found.sort();
    let surplus = found.len().saturating_sub(RUNS_REMEMBERED_MAX);
    for (_, path) in found.into_iter().take(surplus) {
        let ended = durable::read_record::<RunRecord>(&path, "run record")?.is_some_and(|record| record.end.is_some());
        if ended {
            fs::remove_file(&path).map_err(NodeError::file("remove", &path))?;
        }
    }
    Ok(())
}

fn files(layout: &Layout) -> Result<Vec<(SystemTime, std::path::PathBuf)>, NodeError> {
    let folder = layout.root().join("runs");
    let mut found = Vec::new();
    for file in fs::read_dir(&folder).map_err(NodeError::file("read", &folder))? {
        let file = file.map_err(NodeError::file("read", &folder))?;
        let path = file.path();
        if path.extension().is_some_and(|ending| ending == "json") {
            let changed = file.metadata().and_then(|data| data.modified()).map_err(NodeError::file("read", &path))?;
            found.push((changed, path));
        }
    }
    Ok(found)
}

/// A run that is going on, or has just ended: its output so far, and its end for whoever waits.
pub(crate) struct Run {
    request: Digest,
    state: Mutex<RunState>,
    /// Counts what happened, so that a follower sleeps until there is more.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct RunState {
    pieces: VecDeque<Piece>,
    /// Number of the first kept piece.
    first: u64,
    bytes: usize,
    end: Option<End>,
}

/// What a follower finds.
pub(crate) enum Next {
    Piece(Piece),
    /// So many pieces were dropped because the follower was too slow or came too late.
    Dropped(u64),
    End(Box<End>),
    NotYet,
}

impl Run {
    pub(crate) fn new(request: Digest) -> Self {
        Self { request, state: Mutex::default(), changes: watch::Sender::new(0) }
    }

    /// Digest of the request that it executes.
    pub(crate) const fn request(&self) -> &Digest {
        &self.request
    }

    /// Keeps a piece of output, and forgets the oldest above the limit.
    pub(crate) fn output(&self, stderr: bool, text: String) {
        let mut state = lock(&self.state);
        state.bytes = state.bytes.saturating_add(text.len());
        state.pieces.push_back(Piece { stderr, text });
        while state.bytes > OUTPUT_KEPT_BYTES_MAX
            && let Some(oldest) = state.pieces.pop_front()
        {
            state.bytes = state.bytes.saturating_sub(oldest.text.len());
            state.first = state.first.saturating_add(1);
        }
        drop(state);
        self.changed();
    }

    /// Sets the end.
    pub(crate) fn end(&self, end: End) {
        lock(&self.state).end = Some(end);
        self.changed();
    }

    /// The last of the output, for the record.
    pub(crate) fn last_output(&self) -> Vec<Piece> {
        let state = lock(&self.state);
        let mut bytes = 0_usize;
        let fits = |piece: &&Piece| {
            bytes = bytes.saturating_add(piece.text.len());
            bytes <= OUTPUT_RECORDED_BYTES_MAX
        };
        let mut pieces: Vec<Piece> = state.pieces.iter().rev().take_while(fits).cloned().collect();
        pieces.reverse();
        pieces
    }

    /// What comes at this position; the position moves on.
    pub(crate) fn next(&self, position: &mut u64) -> Next {
        let state = lock(&self.state);
        if *position < state.first {
            let dropped = state.first - *position;
            *position = state.first;
            return Next::Dropped(dropped);
        }
        let index = usize::try_from(*position - state.first).unwrap_or(usize::MAX);
        match (state.pieces.get(index), &state.end) {
            (Some(piece), _) => {
                *position = position.saturating_add(1);
                Next::Piece(piece.clone())
            }
            (None, Some(end)) => Next::End(Box::new(end.clone())),
            (None, None) => Next::NotYet,
        }
    }

    /// Tells when something happens after now.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_bounded_and_a_late_follower_is_told() {
        let run = Run::new(Digest::of("r"));
        let piece = "x".repeat(OUTPUT_KEPT_BYTES_MAX / 4);
        for _ in 0..6 {
            run.output(false, piece.clone());
        }
        let mut position = 0;
        assert!(matches!(run.next(&mut position), Next::Dropped(2)));
        for _ in 0..4 {
            assert!(matches!(run.next(&mut position), Next::Piece(_)));
        }
        assert!(matches!(run.next(&mut position), Next::NotYet));
        let end = End { identity: Digest::of("i"), rendered: Digest::of("r"), outcome: StepOutcome::Done, attributes: BTreeMap::new() };
        run.end(end.clone());
        assert!(matches!(run.next(&mut position), Next::End(found) if *found == end));
        assert!(run.last_output().is_empty(), "a piece above the limit is not recorded");
    }

    #[test]
    fn the_last_output_is_in_order() {
        let run = Run::new(Digest::of("r"));
        run.output(false, "a".repeat(OUTPUT_RECORDED_BYTES_MAX - 1));
        run.output(true, "b".to_owned());
        run.output(false, "c".to_owned());
        let texts: Vec<String> = run.last_output().into_iter().map(|piece| piece.text).collect();
        assert_eq!(texts, ["b", "c"]);
    }

    #[test]
    fn a_run_of_version_1_is_read_and_written() {
        let text = include_str!("../fixtures/v1/run.json");
        let record: RunRecord = serde_json::from_str(text).unwrap();
        assert_eq!(record.version, RunRecord::VERSION);
        assert_eq!(serde_json::to_string(&record).unwrap(), text.trim_end());
    }
}
