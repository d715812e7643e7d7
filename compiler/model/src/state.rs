//! The state: what exists, as the last run knew it. Version 1.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Address, ProviderRef, Value};

/// The version that this code writes. It reads this one and, by a loader each, every older one.
pub const STATE_VERSION: u32 = 1;

/// What exists.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// [`STATE_VERSION`]
    pub version: u32,
    /// Made once, with the state; two states of different lineage have nothing to do with each other.
    pub lineage: String,
    /// Grows by one with every write.
    pub serial: u64,
    /// Grows by one with every holder of the lock.
    pub epoch: u64,
    /// The last record of the journal that is contained.
    #[serde(default)]
    pub folded: Option<Folded>,
    /// The objects by address.
    #[serde(default)]
    pub resources: BTreeMap<Address, StateEntry>,
    /// What providers answered once and for all: values pinned at creation.
    #[serde(default)]
    pub facts: BTreeMap<String, Value>,
    /// The results of the last apply.
    #[serde(default)]
    pub outputs: BTreeMap<String, OutputState>,
    /// The provider configurations that made the objects, so that they can be destroyed when the spec is gone.
    #[serde(default)]
    pub providers: BTreeMap<ProviderRef, Value>,
}

/// A position in the journal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Folded {
    /// The run that wrote the record.
    pub run: String,
    /// The record's sequence number.
    pub sequence: u64,
}

/// What exists at one address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateEntry {
    /// The kind: a provider's, or `step` and the step kind: `step.file`.
    pub kind: Arc<str>,
    /// The provider; of a step, that of its node.
    pub provider: ProviderRef,
    /// The object, if there is one.
    #[serde(default)]
    pub current: Option<Object>,
    /// Replaced objects that are not gone yet, by the op id of the create that made them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub deposed: BTreeMap<String, Object>,
    /// What it directly depends on.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub depends_on: BTreeSet<Address>,
    /// Whether its replacement is made before it is destroyed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub create_before_destroy: bool,
}

/// One object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// The provider's id; of a step, the id of the instance it was done on.
    pub id: String,
    /// All attributes: what the spec set and what the provider computed. Sensitive ones are marked. Of a step: `identity`, `rendered`,
    /// `inputs` (the previews that the next plan compares with), and what the node answered.
    pub attributes: Value,
    /// The attributes that the spec set, to tell a change of the spec from a drift of the world.
    #[serde(default)]
    pub desired: Value,
    /// Version of the kind's schema.
    #[serde(default)]
    pub schema_version: u32,
    /// Op id of the create.
    #[serde(default)]
    pub op_id: String,
    /// Of a step: the action to undo it with, complete in itself.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::sealed")]
    pub undo: Option<crate::NodeAction>,
    /// Of an instance: what the keys of its first contact are, by name (public halves only).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub public_keys: BTreeMap<String, String>,
    /// Milliseconds its last create took: what the next plan expects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// Must be made anew: its create answered, but something after it failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tainted: bool,
}

/// A result of the last apply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputState {
    /// Its value.
    pub value: Value,
    /// Whether it is shown only when asked for by name.
    #[serde(default)]
    pub sensitive: bool,
}

impl Default for Value {
    fn default() -> Self {
        Self::NULL
    }
}

impl State {
    /// A new state.
    #[must_use]
    pub fn new(lineage: String) -> Self {
        Self { version: STATE_VERSION, lineage, ..Self::default() }
    }

    /// Whether nothing is in it that stands for something in the world.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }
}
