//! What a frame's payload is: `{"version": 1, "entry": <record>}`, sensitive values in envelopes.

use std::borrow::Cow;
use std::path::Path;

use cloudtik_model::{State, Value};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::envelope::{self, SealContext};
use super::state_store::{may_be_sensitive, object_is_sensitive, problem_of};
use super::{DurableError, Entry, Frame, FrameKind, Vault};
use crate::{OpKind, OpResult, RECORD_VERSION, Record};

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    entry: &'a Record,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    #[expect(dead_code, reason = "it was looked at before, as the rest of another version may not be readable")]
    version: u32,
    entry: Record,
}

/// A record as a frame. `state` says whether what a step undoes is sensitive.
pub(crate) fn encode(entry: &Entry, record: &Record, state: &State, vault: &mut Vault) -> Result<Frame, DurableError> {
    let record = with_marks(record);
    let written = Written { version: RECORD_VERSION, entry: &record };
    let failed = |source| DurableError::Encode { what: "a record", source };
    let places = plain_places(&record, state);
    let payload = if places.is_empty() && !is_sensitive(&record) {
        serde_json::to_vec(&written).map_err(failed)?
    } else {
        let usage = usage(&entry.run, entry.sequence);
        let context = SealContext { lineage: &state.lineage, usage: &usage };
        let mut json = serde_json::to_value(&written).map_err(failed)?;
        for place in places {
            vault.seal_node(&mut json, place, context)?;
        }
        vault.seal_json(&mut json, context)?;
        serde_json::to_vec(&json).map_err(failed)?
    };
    Ok(Frame { sequence: entry.sequence, epoch: entry.epoch, run: entry.run.clone(), kind: kind_of(&record), payload })
}

/// A frame as a record. `path` is the journal's, for messages.
pub(crate) fn decode(frame: Frame, lineage: &str, vault: &mut Vault, path: &Path) -> Result<Entry, DurableError> {
    let Frame { sequence, epoch, run, kind, payload } = frame;
    if kind == FrameKind::Seal {
        return Ok(Entry { sequence, epoch, run, record: None });
    }
    let failed = |error: &serde_json::Error| DurableError::JournalDamaged {
        path: path.to_owned(),
        offset: error.column() as u64,
        problem: format!("the content of record {sequence}: {}", problem_of(error)),
    };
    let mut json: Json = serde_json::from_slice(&payload).map_err(|error| failed(&error))?;
    let version = json.get("version").and_then(Json::as_u64).unwrap_or_default();
    if version > u64::from(RECORD_VERSION) {
        return Err(DurableError::JournalNewer {
            path: path.to_owned(),
            found: format!("{version} of record {sequence}"),
            known: RECORD_VERSION,
        });
    }
    if envelope::may_have_envelope(&payload) {
        vault.open_json(&mut json, SealContext { lineage, usage: &usage(&run, sequence) })?;
    }
    let read = Read::deserialize(json).map_err(|error| failed(&error))?;
    Ok(Entry { sequence, epoch, run, record: Some(read.entry) })
}

fn usage(run: &str, sequence: u64) -> String {
    format!("journal/{}/{sequence}", run.replace('\n', " "))
}

const fn kind_of(record: &Record) -> FrameKind {
    match record {
        Record::Started { .. } => FrameKind::Started,
        Record::Intent(_) => FrameKind::Intent,
        Record::Outcome { .. } => FrameKind::Outcome,
        Record::Pure { .. }
        | Record::Forgotten { .. }
        | Record::Moved { .. }
        | Record::Rewired { .. }
        | Record::Observed { .. }
        | Record::Facts { .. }
        | Record::Outputs { .. }
        | Record::Ended { .. } => FrameKind::Other,
    }
}

/// An output that is said to be sensitive is written as such, whatever its value says.
fn with_marks(record: &Record) -> Cow<'_, Record> {
    let Record::Outputs { outputs } = record else { return Cow::Borrowed(record) };
    if outputs.values().all(|output| output.value.is_sensitive() || !output.sensitive) {
        return Cow::Borrowed(record);
    }
    let mut outputs = outputs.clone();
    for output in outputs.values_mut() {
        output.value = std::mem::take(&mut output.value).marked(output.sensitive);
    }
    Cow::Owned(Record::Outputs { outputs })
}

fn is_sensitive(record: &Record) -> bool {
    match record {
        Record::Intent(intent) => match &intent.operation {
            OpKind::Create { attributes, .. } | OpKind::Update { attributes, .. } | OpKind::Import { attributes, .. } => {
                attributes.has_sensitive()
            }
            OpKind::Run { inputs, .. } => inputs.has_sensitive(),
            OpKind::Delete { .. } | OpKind::Undo { .. } => false,
        },
        Record::Outcome { result: OpResult::Object { object }, .. } => object_is_sensitive(object),
        Record::Pure { entry: Some(entry), .. } => object_is_sensitive(&entry.object),
        Record::Observed { attributes: Some(attributes), .. } => attributes.has_sensitive(),
        Record::Facts { facts, providers } => facts.values().chain(providers.values()).any(Value::has_sensitive),
        Record::Outputs { outputs } => outputs.values().any(|output| output.value.has_sensitive()),
        Record::Started { .. }
        | Record::Outcome { .. }
        | Record::Pure { .. }
        | Record::Forgotten { .. }
        | Record::Moved { .. }
        | Record::Rewired { .. }
        | Record::Observed { .. }
        | Record::Ended { .. } => false,
    }
}

/// Where plain text stands that was made from sensitive values: what a node is told to do. It has no marks of its own, so all of it is
/// sealed where the values beside it are marked, and where nobody knows.
fn plain_places(record: &Record, state: &State) -> &'static [&'static str] {
    match record {
        Record::Intent(intent) => match &intent.operation {
            OpKind::Run { inputs, .. } if inputs.has_sensitive() => &["/entry/operation/action", "/entry/operation/undo"],
            OpKind::Undo { .. } if may_be_sensitive(state, &intent.address) => &["/entry/operation/action"],
            _ => &[],
        },
        Record::Outcome { result: OpResult::Object { object }, .. } if object_is_sensitive(object) => &["/entry/result/object/undo"],
        Record::Pure { entry: Some(entry), .. } if object_is_sensitive(&entry.object) => &["/entry/entry/object/undo"],
        _ => &[],
    }
}
