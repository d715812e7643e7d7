//! The inventory: every object, durable before anybody hears of it.
//!
//! Each change is one record of the log, together with the audit entry that tells of it: after a crash the audit log is completed from the
//! inventory, so that an object and its entry exist both or neither.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::record_log::{LogError, RecordLog};
use crate::audit::AuditLog;
use crate::failure::io_failure;
use crate::options::LocalCloudOptions;
use crate::protocol::{AuditEntry, CloudError, Object};

/// The log is rewritten as a snapshot above this size.
const LOG_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// How many tokens of removed objects are remembered, so that a late repeat of a create does not bring its object back.
const SPENT_TOKENS_MAX: usize = 4096;

/// How many fences are remembered. A fence matters until its cluster is gone everywhere: minutes.
const FENCES_MAX: usize = 4096;

/// Why the inventory cannot be opened.
#[derive(Debug, Error)]
pub(crate) enum InventoryError {
    #[error("the inventory cannot be opened")]
    Log(#[from] LogError),
    #[error("the audit log cannot be opened or completed")]
    Audit(#[source] std::io::Error),
    #[error("record {position} of the inventory is not what this version writes")]
    Record { position: usize, source: serde_json::Error },
}

/// One record of the log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    sequence: u64,
    audit: Option<AuditEntry>,
    change: Change,
}

/// A change of the inventory.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    /// The object is as given.
    Put(Box<Object>),
    /// The object is gone. `spend`: its token may not be used again.
    Remove { id: String, spend: bool },
    /// Creates in the cluster need at least this epoch.
    Fence { cluster: String, epoch: u64 },
    /// Everything; the first record of a rewritten log.
    Snapshot(Box<Contents>),
}

/// What the records add up to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Contents {
    pub(crate) objects: BTreeMap<String, Object>,
    /// Token => sequence of its removal.
    spent_tokens: BTreeMap<String, u64>,
    /// Cluster => (epoch, sequence of the fence).
    fences: BTreeMap<String, (u64, u64)>,
}

/// The inventory with its two logs.
#[derive(Debug)]
pub(crate) struct Inventory {
    contents: Contents,
    log: RecordLog,
    audit: AuditLog,
    sequence: u64,
    /// Ids that a request works on at this moment. Not durable: a new daemon works on nothing.
    pub(crate) busy: BTreeSet<String>,
}

impl Inventory {
    /// Opens both logs, completes the audit log and rewrites the inventory as a snapshot.
    pub(crate) fn open(options: &LocalCloudOptions) -> Result<Self, InventoryError> {
        let (log, payloads) = RecordLog::open(&options.inventory_path())?;
        let mut audit = AuditLog::open(&options.audit_path()).map_err(InventoryError::Audit)?;
        let mut contents = Contents::default();
        let mut sequence = audit.last_sequence();
        for (position, payload) in payloads.iter().enumerate() {
            let record: Record = serde_json::from_slice(payload).map_err(|source| InventoryError::Record { position, source })?;
            if let Some(entry) = record.audit.filter(|entry| entry.sequence > audit.last_sequence()) {
                audit.append(&entry).map_err(InventoryError::Audit)?;
            }
            contents.apply(record.sequence, record.change);
            sequence = sequence.max(record.sequence);
        }
        let mut inventory = Self { contents, log, audit, sequence, busy: BTreeSet::new() };
        if payloads.len() > 1 {
            inventory.rewrite().map_err(InventoryError::Audit)?;
        }
        Ok(inventory)
    }

    pub(crate) const fn objects(&self) -> &BTreeMap<String, Object> {
        &self.contents.objects
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.contents.objects.is_empty()
    }

    pub(crate) fn by_token(&self, token: &str) -> Option<&Object> {
        self.contents.objects.values().find(|object| object.token == token)
    }

    pub(crate) fn is_spent(&self, token: &str) -> bool {
        self.contents.spent_tokens.contains_key(token)
    }

    /// The oldest epoch that may create in a cluster.
    pub(crate) fn fence_of(&self, cluster: &str) -> Option<u64> {
        self.contents.fences.get(cluster).map(|(epoch, _)| *epoch)
    }

    /// Makes a change durable, then visible, then audited. On an error nothing changed.
    pub(crate) fn change(&mut self, change: Change, audit: Option<AuditEntry>) -> Result<(), CloudError> {
        let sequence = self.next_sequence();
        let audit = audit.map(|entry| AuditEntry { sequence, time: now(), ..entry });
        let record = Record { sequence, audit, change };
        let failed = |error: &std::io::Error, path: &std::path::Path| io_failure("write", path, error);
        let payload = serde_json::to_vec(&record).map_err(|error| failed(&error.into(), self.log.path()))?;
        self.log.append(&payload).map_err(|error| failed(&error, self.log.path()))?;
        self.contents.apply(sequence, record.change);
        self.write_audit(record.audit.as_ref());
        if self.log.length() > LOG_BYTES_MAX
            && let Err(error) = self.rewrite()
        {
            // The long log is as good as a short one: it goes on, and the next change tries again.
            complain(&format!("the inventory could not be rewritten: {error}"));
        }
        Ok(())
    }

    /// Audits what changes nothing.
    pub(crate) fn note(&mut self, entry: AuditEntry) {
        let sequence = self.next_sequence();
        self.write_audit(Some(&AuditEntry { sequence, time: now(), ..entry }));
    }

    /// Makes the audit log durable, before the daemon ends.
    pub(crate) fn close(&self) {
        if let Err(error) = self.audit.synchronise() {
            complain(&format!("the audit log could not be synchronised: {error}"));
        }
    }

    const fn next_sequence(&mut self) -> u64 {
        self.sequence = self.sequence.saturating_add(1);
        self.sequence
    }

    /// A full disk must not stop what is done and on record: the entry is in the inventory's log and comes back at the next start.
    fn write_audit(&mut self, entry: Option<&AuditEntry>) {
        if let Some(entry) = entry
            && let Err(error) = self.audit.append(entry)
        {
            complain(&format!("the audit log could not be written: {error}"));
        }
    }

    fn rewrite(&mut self) -> std::io::Result<()> {
        // What the snapshot no longer tells must be safe in the audit log.
        self.audit.synchronise()?;
        let change = Change::Snapshot(Box::new(self.contents.clone()));
        let payload = serde_json::to_vec(&Record { sequence: self.sequence, audit: None, change })?;
        self.log.replace(&payload)
    }
}

impl Contents {
    fn apply(&mut self, sequence: u64, change: Change) {
        match change {
            Change::Put(object) => drop(self.objects.insert(object.id.clone(), *object)),
            Change::Remove { id, spend } => {
                if let Some(object) = self.objects.remove(&id).filter(|_| spend) {
                    self.spent_tokens.insert(object.token, sequence);
                    forget_oldest(&mut self.spent_tokens, SPENT_TOKENS_MAX, |sequence| *sequence);
                }
            }
            Change::Fence { cluster, epoch } => {
                let fence = self.fences.entry(cluster).or_insert((epoch, sequence));
                *fence = (fence.0.max(epoch), sequence);
                forget_oldest(&mut self.fences, FENCES_MAX, |(_, sequence)| *sequence);
            }
            Change::Snapshot(contents) => *self = *contents,
        }
    }
}

fn forget_oldest<T>(entries: &mut BTreeMap<String, T>, limit: usize, sequence_of: impl Fn(&T) -> u64) {
    while entries.len() > limit {
        let oldest = entries.iter().min_by_key(|(_, entry)| sequence_of(entry)).map(|(key, _)| key.clone());
        match oldest {
            Some(key) => drop(entries.remove(&key)),
            None => return,
        }
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |duration| duration.as_secs())
}

/// A line in the daemon's log, which is its standard error.
pub(crate) fn complain(message: &str) {
    use std::io::Write as _;
    drop(writeln!(std::io::stderr(), "{} {message}", now()));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::options::DaemonCommand;
    use crate::protocol::{Attributes, FirewallAttributes, FirewallSpec, Kind, ObjectState, Outcome, ResourceSpec};

    fn options(folder: &Path) -> LocalCloudOptions {
        let options = LocalCloudOptions::below(folder, DaemonCommand { program: "/bin/true".into(), arguments: Vec::new() });
        crate::files::make_private_folder(&options.state_dir).unwrap();
        options
    }

    fn object(id: &str, token: &str) -> Box<Object> {
        Box::new(Object {
            id: id.into(),
            kind: Kind::LocalFirewall,
            state: ObjectState::Ready,
            token: token.into(),
            op_id: "op".into(),
            address: "local_firewall.a".into(),
            cluster: None,
            tags: BTreeMap::new(),
            spec: ResourceSpec::LocalFirewall(FirewallSpec {
                name: "a".into(),
                network: None,
                rules: vec![serde_json::json!({"port": 80})],
            }),
            secret_digests: BTreeMap::new(),
            attributes: Attributes::LocalFirewall(FirewallAttributes {
                name: "a".into(),
                network: None,
                rules: Vec::new(),
                enforced: false,
            }),
            metadata: BTreeMap::new(),
            process: None,
            created: 0,
        })
    }

    fn entry(id: &str) -> AuditEntry {
        AuditEntry {
            sequence: 0,
            time: 0,
            verb: "create".into(),
            kind: None,
            id: Some(id.into()),
            address: None,
            op_id: None,
            token: None,
            cluster: None,
            outcome: Outcome::Done,
            detail: None,
        }
    }

    #[test]
    fn what_was_changed_is_there_after_opening_again_and_again() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(folder.path());
        let mut inventory = Inventory::open(&options).unwrap();
        inventory.change(Change::Put(object("fw-1", "t1")), Some(entry("fw-1"))).unwrap();
        inventory.change(Change::Put(object("fw-2", "t2")), Some(entry("fw-2"))).unwrap();
        inventory.change(Change::Remove { id: "fw-1".into(), spend: true }, None).unwrap();
        inventory.change(Change::Fence { cluster: "c".into(), epoch: 4 }, None).unwrap();
        inventory.change(Change::Fence { cluster: "c".into(), epoch: 3 }, None).unwrap();
        for _ in 0..2 {
            drop(inventory);
            inventory = Inventory::open(&options).unwrap();
            assert_eq!(inventory.objects().keys().collect::<Vec<_>>(), ["fw-2"]);
            assert!(inventory.is_spent("t1") && !inventory.is_spent("t2"));
            assert_eq!(inventory.fence_of("c"), Some(4));
            assert_eq!(inventory.by_token("t2"), Some(&*object("fw-2", "t2")));
        }
    }

    #[test]
    fn an_audit_entry_lost_in_a_crash_comes_back_once() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(folder.path());
        let mut inventory = Inventory::open(&options).unwrap();
        inventory.change(Change::Put(object("fw-1", "t1")), Some(entry("fw-1"))).unwrap();
        let before = std::fs::read(options.audit_path()).unwrap();
        inventory.change(Change::Put(object("fw-2", "t2")), Some(entry("fw-2"))).unwrap();
        drop(inventory);
        std::fs::write(options.audit_path(), before).unwrap();
        for _ in 0..2 {
            drop(Inventory::open(&options).unwrap());
            let entries = crate::audit::read_entries(&options.audit_path(), 0, 10).unwrap();
            let ids: Vec<_> = entries.iter().map(|entry| entry.id.clone().unwrap()).collect();
            assert_eq!(ids, ["fw-1", "fw-2"]);
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut entries: BTreeMap<String, u64> = (0..10).map(|number| (format!("t{number}"), 10 - number)).collect();
        forget_oldest(&mut entries, 3, |sequence| *sequence);
        assert_eq!(entries.keys().collect::<Vec<_>>(), ["t0", "t1", "t2"]);
    }
}
