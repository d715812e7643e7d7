//! All daemons of the node: their durable entries, bringing them back, stopping them in order.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use cloudtik_model::DaemonSpec;
use serde::{Deserialize, Serialize};

use crate::daemon::{Applied, Daemon, DaemonFailure, DaemonState, DaemonView, is_name, signal_named};
use crate::durable;
use crate::error::NodeError;
use crate::layout::Layout;
use crate::limits::DAEMONS_MAX;
use crate::process::{Children, lock};

/// The durable entry of a daemon: `daemons/<name>.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    version: u32,
    /// The step that owns it; only that one may undo it.
    address: String,
    /// Place in the order of starts.
    order: u64,
    spec: DaemonSpec,
}

impl Entry {
    const VERSION: u32 = 1;
}

struct Held {
    entry: Entry,
    daemon: Daemon,
}

/// The daemons of the node.
pub(crate) struct Supervisor {
    layout: Layout,
    base: Arc<BTreeMap<String, String>>,
    children: Children,
    held: Mutex<BTreeMap<String, Held>>,
    order_next: AtomicU64,
    stopping: AtomicBool,
}

impl Supervisor {
    /// Reads the entries on disk; nothing is started yet.
    pub(crate) fn open(layout: Layout, base: Arc<BTreeMap<String, String>>, children: Children) -> Result<Self, NodeError> {
        let entries = read_entries(&layout)?;
        let order_next = entries.iter().map(|entry| entry.order.saturating_add(1)).max().unwrap_or(0);
        let make = |entry: Entry| {
            let daemon = Daemon::new(entry.spec.clone(), &layout, Arc::clone(&base), children.clone());
            (entry.spec.name.clone(), Held { entry, daemon })
        };
        let held = Mutex::new(entries.into_iter().map(make).collect());
        let (order_next, stopping) = (AtomicU64::new(order_next), AtomicBool::new(false));
        Ok(Self { layout, base, children, held, order_next, stopping })
    }

    /// Starts the recorded daemons in their order, each after the one before is ready or has had its time.
    pub(crate) async fn bring_back(&self) {
        let mut recorded: Vec<(u64, String, Daemon)> =
            lock(&self.held).iter().map(|(name, held)| (held.entry.order, name.clone(), held.daemon.clone())).collect();
        recorded.sort_by_key(|(order, name, _)| (*order, name.clone()));
        for (order, name, daemon) in recorded {
            let still_there = lock(&self.held).contains_key(&name);
            let untouched = daemon.view().state == DaemonState::Stopped;
            if still_there && untouched && !self.stopping.load(Ordering::SeqCst) {
                // A failure shows in the status, and the restart budget goes on trying.
                let _ = daemon.bring_back(order).await;
            }
        }
    }

    /// Records a daemon and brings it up.
    pub(crate) async fn apply(&self, address: &str, spec: DaemonSpec) -> Result<Applied, DaemonFailure> {
        check(&spec)?;
        let (daemon, order) = self.record(address, &spec)?;
        daemon.apply(spec, order).await
    }

    /// Stops a daemon and forgets it, if this step owns it. Answers whether there was one.
    pub(crate) async fn forget(&self, address: &str, name: &str) -> Result<bool, NodeError> {
        let daemon = match lock(&self.held).get(name) {
            Some(held) if held.entry.address == address => held.daemon.clone(),
            _ => return Ok(false),
        };
        daemon.stop().await;
        durable::remove(&self.layout.daemon(name))?;
        lock(&self.held).remove(name);
        Ok(true)
    }

    /// Whether this step's daemon runs with exactly this spec and is ready.
    pub(crate) fn is_up(&self, address: &str, spec: &DaemonSpec) -> bool {
        lock(&self.held).get(&spec.name).is_some_and(|held| {
            let view = held.daemon.view();
            held.entry.address == address && view.spec == *spec && view.state == DaemonState::Ready
        })
    }

    /// What every daemon is doing.
    pub(crate) fn views(&self) -> BTreeMap<String, (String, DaemonView)> {
        let held = lock(&self.held);
        held.iter().map(|(name, held)| (name.clone(), (held.entry.address.clone(), held.daemon.view()))).collect()
    }

    /// Stops all daemons, the last started first. None starts afterwards.
    pub(crate) async fn stop_all(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        let mut running: Vec<(u64, Daemon)> =
            lock(&self.held).values().map(|held| (held.daemon.view().started_order, held.daemon.clone())).collect();
        running.sort_by_key(|(order, _)| std::cmp::Reverse(*order));
        for (_, daemon) in running {
            daemon.stop().await;
        }
    }

    fn record(&self, address: &str, spec: &DaemonSpec) -> Result<(Daemon, u64), DaemonFailure> {
        if self.stopping.load(Ordering::SeqCst) {
            return Err(DaemonFailure::plain("the node is being stopped"));
        }
        let mut held = lock(&self.held);
        if !held.contains_key(&spec.name) && held.len() >= DAEMONS_MAX {
            return Err(DaemonFailure::plain(format!("a node has at most {DAEMONS_MAX} daemons")));
        }
        let order = match held.get(&spec.name) {
            Some(existing) => existing.entry.order,
            None => self.order_next.fetch_add(1, Ordering::SeqCst),
        };
        let entry = Entry { version: Entry::VERSION, address: address.to_owned(), order, spec: spec.clone() };
        durable::write_record(&self.layout.daemon(&spec.name), &entry).map_err(|error| DaemonFailure::plain(error.whole()))?;
        let daemon = match held.get_mut(&spec.name) {
            Some(existing) => {
                existing.entry = entry;
                existing.daemon.clone()
            }
            None => {
                let daemon = Daemon::new(spec.clone(), &self.layout, Arc::clone(&self.base), self.children.clone());
                held.insert(spec.name.clone(), Held { entry, daemon: daemon.clone() });
                daemon
            }
        };
        Ok((daemon, order))
    }
}

/// What can be said of a spec before anything is touched.
fn check(spec: &DaemonSpec) -> Result<(), DaemonFailure> {
    if !is_name(&spec.name) {
        let name = &spec.name;
        return Err(DaemonFailure::plain(format!("`{name}` cannot name a daemon: letters, digits, `_`, `-` and inner `.` can")));
    }
    if spec.argv.is_empty() {
        return Err(DaemonFailure::plain(format!("the daemon `{}` has no program to start", spec.name)));
    }
    signal_named(&spec.stop_signal)?;
    spec.reload_signal.as_deref().map(signal_named).transpose().map(|_| ())
}

fn read_entries(layout: &Layout) -> Result<Vec<Entry>, NodeError> {
    let folder = layout.root().join("daemons");
    let mut entries = Vec::new();
    for file in fs::read_dir(&folder).map_err(NodeError::file("read", &folder))? {
        let path = file.map_err(NodeError::file("read", &folder))?.path();
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let Some(entry) = durable::read_record::<Entry>(&path, "daemon entry")? else { continue };
        if entry.version != Entry::VERSION {
            return Err(NodeError::Version { path, found: entry.version, known: Entry::VERSION });
        }
        entries.push(entry);
    }
    entries.sort_by(|a, b| (a.order, &a.spec.name).cmp(&(b.order, &b.spec.name)));
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_version_1_is_read_and_written() {
        let text = include_str!("../fixtures/v1/daemon.json");
        let record: Entry = serde_json::from_str(text).unwrap();
        assert_eq!(record.version, Entry::VERSION);
        assert_eq!(serde_json::to_string(&record).unwrap(), text.trim_end());
    }
}
