//! The records of the journal: what was going to be done, and what came of it.
//!
//! A record's payload is the JSON of a [`Record`], sensitive values in envelopes (see `durable::envelope`). Folding is in
//! `durable::ledger`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::{Address, Digest, NodeAction, Object, OutputState, ProviderRef, Value};
use cloudtik_provider_api::{Batch, CallError};
use serde::{Deserialize, Serialize};

/// Version of the payloads that this code writes.
pub const RECORD_VERSION: u32 = 1;

/// One record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case", deny_unknown_fields)]
#[expect(clippy::large_enum_variant, reason = "records are handled one by one, and a box would stand in every pattern")]
pub enum Record {
    /// A run begins. The first record of every run.
    Started {
        /// [`RECORD_VERSION`]
        version: u32,
        /// `apply` or `destroy`.
        command: String,
        /// Our version.
        tool_version: String,
    },
    /// Something is going to be done. Durable before the call.
    Intent(Intent),
    /// What came of an intent.
    Outcome {
        /// The intent's.
        op_id: String,
        /// What came of it.
        result: OpResult,
    },
    /// A pure object was made or changed: no intent, no call.
    Pure {
        /// Its address.
        address: Address,
        /// The entry as it is now; `None`: removed.
        entry: Option<PureEntry>,
    },
    /// The state lets go of an address (or of what it depends on) without touching the world.
    Forgotten {
        /// The address.
        address: Address,
    },
    /// Everything within an address is called otherwise from now on, and is what it was.
    Moved {
        /// What it was called.
        from: Address,
        /// What it is called.
        to: Address,
    },
    /// What an address depends on changed, and nothing else.
    Rewired {
        /// The address.
        address: Address,
        /// What it depends on now.
        depends_on: BTreeSet<Address>,
        /// Whether its replacement is made before it is destroyed.
        create_before_destroy: bool,
    },
    /// What a read found of an object whose attributes had drifted.
    Observed {
        /// The address.
        address: Address,
        /// All attributes; `None`: it is gone.
        attributes: Option<Value>,
    },
    /// Pinned facts, and the provider configurations in use.
    Facts {
        /// Facts by key.
        facts: BTreeMap<String, Value>,
        /// Configurations by name.
        providers: BTreeMap<ProviderRef, Value>,
    },
    /// The results, whole.
    Outputs {
        /// By name.
        outputs: BTreeMap<String, OutputState>,
    },
    /// The run ended by itself.
    Ended {
        /// Whether all went well.
        ok: bool,
    },
}

/// What is going to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// Unique; what the object is tagged with, and the run id of a step.
    pub op_id: String,
    /// The address.
    pub address: Address,
    /// Kind of a resource, or `step.` and the kind of a step.
    pub kind: Arc<str>,
    /// Who does it.
    pub provider: ProviderRef,
    /// What.
    pub operation: OpKind,
    /// What the entry will depend on.
    #[serde(default)]
    pub depends_on: BTreeSet<Address>,
    /// Whether its replacement is made before it is destroyed.
    #[serde(default)]
    pub create_before_destroy: bool,
}

/// What an operation does. Complete: a repeat is identical to the byte.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
#[expect(clippy::large_enum_variant, reason = "records are handled one by one, and a box would stand in every pattern")]
pub enum OpKind {
    /// Makes an object.
    Create {
        /// What the cloud recognizes a repeat by.
        token: String,
        /// Marks of the object.
        tags: BTreeMap<String, String>,
        /// The attributes that the spec sets.
        attributes: Value,
        /// What was chosen of what the spec leaves open.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        chosen: BTreeMap<Arc<str>, Value>,
        /// Version of the kind's schema.
        schema_version: u32,
        /// Secrets by name: a file below `keys/`, the digest of its content, and the public half. The file is durable before the intent.
        secrets: BTreeMap<String, SecretRef>,
        /// Whether the object that is current becomes deposed: create-before-destroy.
        deposes: bool,
        /// Its place in a call that makes several objects; the token is that call's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        batch: Option<Batch>,
    },
    /// Changes an object in place.
    Update {
        /// The object.
        id: String,
        /// Names of the attributes that change.
        changed: BTreeSet<String>,
        /// All attributes that the spec sets.
        attributes: Value,
    },
    /// Takes over an object that is there and that the state does not know: writes our marks on it, and what the spec wants otherwise.
    Import {
        /// The object.
        id: String,
        /// Names of the attributes that change.
        changed: BTreeSet<String>,
        /// All attributes that the spec sets.
        attributes: Value,
        /// Marks of the object from now on.
        tags: BTreeMap<String, String>,
    },
    /// Removes an object.
    Delete {
        /// The object.
        id: String,
        /// When it is not the current one: the key in `deposed`.
        deposed: Option<String>,
    },
    /// Runs a step.
    Run {
        /// The instance.
        instance: String,
        /// The step's identity.
        identity: Digest,
        /// What the node is told to do.
        #[serde(with = "cloudtik_model::sealed")]
        action: NodeAction,
        /// What the state keeps of the inputs, to compare the next plan with.
        inputs: Value,
        /// How to undo it, complete in itself.
        #[serde(default, with = "cloudtik_model::sealed")]
        undo: Option<NodeAction>,
    },
    /// Undoes a step that left the spec.
    Undo {
        /// The instance.
        instance: String,
        /// What the node is told to undo.
        #[serde(with = "cloudtik_model::sealed")]
        action: NodeAction,
    },
}

/// Where a secret lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRef {
    /// Name of the file below `keys/`.
    pub file: String,
    /// Digest of its content.
    pub digest: Digest,
    /// The half that everybody may know.
    pub public: String,
}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case", deny_unknown_fields)]
#[expect(clippy::large_enum_variant, reason = "records are handled one by one, and a box would stand in every pattern")]
pub enum OpResult {
    /// An object is there: made, changed, or found by settlement. Of a step: it is done.
    Object {
        /// The object as the state keeps it.
        object: Object,
    },
    /// The object is gone; the step is undone.
    Deleted,
    /// It had no effect, and none can come later.
    Failed {
        /// Why.
        error: CallError,
    },
    /// It may have had an effect on the node (a user's command that failed half-way): the step counts as not done.
    StepFailed {
        /// Why.
        error: CallError,
    },
    /// Settlement looked and found no effect.
    Cleared,
}

/// A pure object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PureEntry {
    /// The kind.
    pub kind: Arc<str>,
    /// The provider.
    pub provider: ProviderRef,
    /// The object.
    pub object: Object,
    /// What it depends on.
    #[serde(default)]
    pub depends_on: BTreeSet<Address>,
    /// Whether its replacement is made before it is destroyed.
    #[serde(default)]
    pub create_before_destroy: bool,
}
