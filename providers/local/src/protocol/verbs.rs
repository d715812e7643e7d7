//! Requests, answers, objects, audit entries and errors.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::kinds::{Attributes, Kind, ResourceSpec, Secret};

/// The first frame in each direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`super::PROTOCOL_VERSION`] of the sender.
    pub protocol: u32,
    /// Version of the sender's package, for messages.
    pub software: String,
}

impl Hello {
    /// What this build says.
    #[must_use]
    pub fn current() -> Self {
        Self { protocol: super::PROTOCOL_VERSION, software: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Make an object. Answered by [`Answer::Object`].
    Create(Box<CreateRequest>),
    /// Read an object by id. Answered by [`Answer::Object`].
    Read {
        /// Its id.
        id: String,
    },
    /// Change an object in place. Answered by [`Answer::Object`].
    Update(Box<UpdateRequest>),
    /// Remove an object. Answered by [`Answer::Done`].
    Delete(DeleteRequest),
    /// Every object that carries all of the tags. Answered by [`Answer::Objects`].
    FindByTag(TagQuery),
    /// Every object, or every one of a kind. Answered by [`Answer::Objects`].
    List {
        /// Only this kind.
        kind: Option<Kind>,
    },
    /// Open a byte stream to a port of a node. Answered by [`Answer::Done`], then raw bytes.
    Dial(DialRequest),
    /// From now on refuse every create in a cluster with an older epoch. Answered by [`Answer::Done`].
    Fence {
        /// The cluster's unique id.
        cluster: String,
        /// The oldest epoch that may still create.
        epoch: u64,
    },
    /// Set or remove status values of an instance. Answered by [`Answer::Metadata`].
    SetMetadata(MetadataRequest),
    /// The status values of an instance. Answered by [`Answer::Metadata`].
    Metadata {
        /// Its id.
        id: String,
    },
    /// Entries of the audit log. Answered by [`Answer::Audit`].
    Audit {
        /// Only those with a greater sequence.
        after: u64,
        /// At most so many; [`super::AUDIT_ENTRIES_MAX`] bounds it.
        limit: usize,
    },
    /// What this machine can do. Answered by [`Answer::Facts`].
    Facts,
    /// Remove objects whatever they belong to: those named, or all. Answered by [`Answer::Objects`] with what was removed.
    Purge {
        /// Their ids; empty means all.
        ids: Vec<String>,
    },
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// One object.
    Object(Box<Object>),
    /// Objects, ordered by id.
    Objects(Vec<Object>),
    /// It is done.
    Done,
    /// Status values.
    Metadata(BTreeMap<String, String>),
    /// Audit entries, oldest first.
    Audit(Vec<AuditEntry>),
    /// What this machine can do.
    Facts(Box<Facts>),
    /// It was refused or failed.
    Error(CloudError),
}

/// An object to make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateRequest {
    /// Idempotency token: the same token is the same object, for ever.
    pub token: String,
    /// The operation that asks, for the audit log and for finding what it made.
    pub op_id: String,
    /// The address in the spec, for the audit log.
    pub address: String,
    /// Cluster that the object belongs to, by its unique id.
    #[serde(default)]
    pub cluster: Option<String>,
    /// Epoch of the cluster that the caller acts in.
    #[serde(default)]
    pub epoch: Option<u64>,
    /// Tags; those of the engine and those of the user.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// What to make.
    pub spec: ResourceSpec,
    /// Secret inputs by name; an instance needs `bootstrap_host_key`.
    #[serde(default)]
    pub secrets: BTreeMap<String, Secret>,
}

/// A change of an object in place. Everything is stated as it shall be, so that repeating it is harmless.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateRequest {
    /// Its id.
    pub id: String,
    /// The operation that asks.
    pub op_id: String,
    /// All tags.
    pub tags: BTreeMap<String, String>,
    /// The whole specification; a difference in what cannot change in place is refused.
    pub spec: ResourceSpec,
}

/// An object to remove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteRequest {
    /// Its id.
    pub id: String,
    /// The operation that asks.
    pub op_id: String,
}

/// Tags to search by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TagQuery {
    /// Only this kind.
    pub kind: Option<Kind>,
    /// Every one of these must be equal.
    pub tags: BTreeMap<String, String>,
    /// Only what this operation made.
    pub op_id: Option<String>,
    /// Only what was made with this token.
    pub token: Option<String>,
}

/// A stream to open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DialRequest {
    /// Id of the instance.
    pub instance: String,
    /// Port inside its network.
    pub port: u16,
    /// How long to wait for a listener; at most [`super::DIAL_WAIT_MILLISECONDS_MAX`].
    pub wait_milliseconds: u64,
}

/// Status values to set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetadataRequest {
    /// Id of the instance.
    pub id: String,
    /// Values by key; `null` removes the key.
    pub values: BTreeMap<String, Option<String>>,
}

/// A thing in the inventory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Its id, such as `i-1a2b3c4d-0123456789abcdef`: its kind, the inventory that has it, a number.
    pub id: String,
    /// Its kind.
    pub kind: Kind,
    /// Where it is in its life.
    pub state: ObjectState,
    /// The token that made it.
    pub token: String,
    /// The operation that made it.
    pub op_id: String,
    /// Its address in the spec.
    pub address: String,
    /// Its cluster.
    pub cluster: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// What was asked for.
    pub spec: ResourceSpec,
    /// Digests of the secret inputs, so that a repeat can be compared.
    pub secret_digests: BTreeMap<String, String>,
    /// What it turned out to be.
    pub attributes: Attributes,
    /// Status values.
    pub metadata: BTreeMap<String, String>,
    /// Its first process, of an instance that was launched.
    pub process: Option<ProcessIdentity>,
    /// Seconds since 1970 when it was asked for.
    pub created: u64,
}

/// Where an object is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectState {
    /// Being made; undone when the daemon is killed now.
    Creating,
    /// There.
    Ready,
    /// Being removed; removed for good when the daemon is killed now and started again.
    Deleting,
}

/// Tells a process from every other, also after its id was used again or the machine was started again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Process id, as this machine sees it.
    pub pid: i32,
    /// Start time in clock ticks since the machine's start.
    pub start_ticks: u64,
    /// The machine's start.
    pub boot_id: String,
}

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Position in the log; grows by at least one.
    pub sequence: u64,
    /// Seconds since 1970.
    pub time: u64,
    /// `create`, `update`, `delete`, `dial`, `fence`, `set_metadata`.
    pub verb: String,
    /// Kind of the object.
    #[serde(default)]
    pub kind: Option<Kind>,
    /// Id of the object.
    #[serde(default)]
    pub id: Option<String>,
    /// Its address in the spec.
    #[serde(default)]
    pub address: Option<String>,
    /// The operation that asked.
    #[serde(default)]
    pub op_id: Option<String>,
    /// The token of a create.
    #[serde(default)]
    pub token: Option<String>,
    /// The cluster.
    #[serde(default)]
    pub cluster: Option<String>,
    /// What came of it.
    pub outcome: Outcome,
    /// Code of the error, or what else matters: the port of a dial, the epoch of a fence.
    #[serde(default)]
    pub detail: Option<String>,
}

/// What came of an audited request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A create began: the object is in the inventory, nothing is in the world yet.
    Begun,
    /// It took effect. For a create exactly one entry per object has this outcome.
    Done,
    /// A create with a token that had made its object already: nothing happened.
    Repeated,
    /// It was refused or failed, without effect.
    Refused,
    /// A create that was cut short was undone.
    Undone,
}

/// What this machine can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The namespaces form.
    pub namespaces: FormFact,
    /// The plain form's own user and process namespaces. The plain form itself is always possible.
    pub plain_pid_namespace: FormFact,
    /// Processors.
    pub cpus: u64,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// True for root, who gets the plain form only when asked for.
    pub root: bool,
}

/// Whether something is possible, and why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormFact {
    /// Whether it is.
    pub possible: bool,
    /// Why not, or what is limited.
    pub reason: Option<String>,
}

/// What an error means for whoever may try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// Too much at once; it had no effect.
    Throttled,
    /// It had no effect and may go well later.
    Transient,
    /// It may have had an effect.
    Unknown,
    /// It had no effect and will not go well as it is.
    Permanent,
    /// The object is not there.
    Gone,
    /// Something else stands in the way.
    Conflict,
}

/// An error of the local cloud.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct CloudError {
    /// What it means for a repeat.
    pub class: ErrorClass,
    /// A stable word for it, such as `port_in_use`.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Throttled => "throttled",
            Self::Transient => "transient",
            Self::Unknown => "unknown",
            Self::Permanent => "permanent",
            Self::Gone => "gone",
            Self::Conflict => "conflict",
        })
    }
}
