//! Tests of what survives, against every store.

mod crash;
mod formats;
mod ledger;
mod places;
mod secrets;
mod sessions;
mod stores;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use cloudtik_model::{Address, Digest, NodeAction, Object, ProviderRef, State, Value};
use cloudtik_provider_api::{CallError, ErrorClass};

use super::disk_memory::MemoryDisk;
use super::vault::FolderKeys;
use super::*;
use crate::{Intent, OpKind, OpResult, PureEntry, Record};

fn address(name: &str) -> Address {
    Address::of("sim_token", name)
}

fn set(names: &[&str]) -> BTreeSet<Address> {
    names.iter().map(|name| address(name)).collect()
}

fn sim() -> ProviderRef {
    ProviderRef::new("sim")
}

fn value(name: &str, content: impl Into<Value>) -> Value {
    Value::object([(name, content.into())])
}

fn secret(text: &str) -> Value {
    Value::from(text).marked(true)
}

fn object(id: &str, op_id: &str) -> Object {
    Object {
        id: id.to_owned(),
        attributes: value("size", 3_i64),
        desired: value("size", 3_i64),
        schema_version: 1,
        op_id: op_id.to_owned(),
        undo: None,
        public_keys: BTreeMap::new(),
        took_ms: Some(12),
        tainted: false,
    }
}

fn intent(op_id: &str, name: &str, depends_on: &[&str], operation: OpKind) -> Record {
    Record::Intent(Intent {
        op_id: op_id.to_owned(),
        address: address(name),
        kind: Arc::from("sim_token"),
        provider: sim(),
        operation,
        depends_on: set(depends_on),
        create_before_destroy: false,
    })
}

fn create(attributes: Value, deposes: bool) -> OpKind {
    OpKind::Create {
        token: "t1".to_owned(),
        tags: BTreeMap::from([("cloudtik:op".to_owned(), "o1".to_owned())]),
        attributes,
        chosen: BTreeMap::new(),
        schema_version: 1,
        secrets: BTreeMap::new(),
        deposes,
        batch: None,
    }
}

fn delete(id: &str, deposed: Option<&str>) -> OpKind {
    OpKind::Delete { id: id.to_owned(), deposed: deposed.map(str::to_owned) }
}

fn run_step(script: &str, inputs: Value) -> OpKind {
    let action = |text: &str| NodeAction::Run {
        script: text.to_owned(),
        undo: None,
        creates: None,
        unless: None,
        only_if: None,
        env: BTreeMap::from([("$encrypted".to_owned(), "x".to_owned())]),
        user: None,
        timeout_secs: 600,
        retries: 2,
        retry_wait_secs: 5,
    };
    OpKind::Run {
        instance: "i-1".to_owned(),
        identity: Digest::of("identity"),
        action: action(script),
        inputs,
        undo: Some(action(&format!("undo {script}"))),
    }
}

fn outcome(op_id: &str, result: OpResult) -> Record {
    Record::Outcome { op_id: op_id.to_owned(), result }
}

fn made(op_id: &str, id: &str) -> Record {
    outcome(op_id, OpResult::Object { object: object(id, op_id) })
}

fn failure() -> CallError {
    CallError::new(ErrorClass::Permanent, "no", "it does not work")
}

fn pure(name: &str, depends_on: &[&str], attributes: Value) -> Record {
    let object = Object { attributes, ..object("", "") };
    let entry = PureEntry { kind: "value".into(), provider: sim(), object, depends_on: set(depends_on), create_before_destroy: false };
    Record::Pure { address: address(name), entry: Some(entry) }
}

fn entries(records: Vec<Record>) -> Vec<Entry> {
    let numbered = records.into_iter().zip(1..);
    numbered.map(|(record, sequence)| Entry { sequence, epoch: 1, run: "r1".to_owned(), record: Some(record) }).collect()
}

fn folded(records: Vec<Record>) -> Ledger {
    entries(records).iter().fold(Ledger::default(), fold)
}

/// A project's folder on a disk of memory.
fn on_disk(disk: &MemoryDisk) -> Result<SessionStore, DurableError> {
    let folder = DataDir::new(&PathBuf::from("/p"), None);
    let shared: Arc<dyn super::disk::Disk> = Arc::new(disk.clone());
    let keys = FolderKeys { disk: Arc::clone(&shared), folder: folder.clone() };
    SessionStore::over(
        Box::new(FileJournal::new(Arc::clone(&shared), folder.journal())),
        Box::new(FileState::new(shared, folder.state())),
        Vault::new(Box::new(keys), Box::new(SeededEntropy::new(7))),
    )
}

fn in_memory(backend: &MemoryBackend) -> Result<SessionStore, DurableError> {
    SessionStore::in_memory(backend, Box::new(SeededEntropy::new(7)))
}
