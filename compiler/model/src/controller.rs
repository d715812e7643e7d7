//! What is said between the command line and the controller on a head: one JSON document a line, version 1.
//!
//! The controller listens on a socket of its own node and on no port; `cloudtik controller call` carries these frames over the one SSH
//! connection.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Digest, Value};

/// The version of the frames that this code speaks.
pub const CONTROLLER_VERSION: u32 = 1;

/// A frame to the controller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControllerRequest {
    /// [`CONTROLLER_VERSION`]
    pub version: u32,
    /// What is asked.
    pub call: ControllerCall,
}

/// What is asked of the controller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ControllerCall {
    /// Take a configuration. Answered by [`ControllerReply::Pushed`] once it is durable.
    Push(Box<PushConfig>),
    /// How things stand. Answered by [`ControllerReply::Status`].
    Status,
    /// What happened. Answered by [`ControllerReply::Events`], oldest first.
    Events {
        /// Only those with a greater sequence.
        after: u64,
        /// At most so many: the newest of them.
        limit: u64,
    },
    /// Remove the workers of a group that leaves the spec, whatever the configuration says. Answered by [`ControllerReply::Done`] at once;
    /// the status shows when they are gone. A push that changes something, and [`Self::KeepGroup`], take it back.
    RemoveGroup {
        /// Its label.
        group: String,
    },
    /// Keep a group that was asked to go. Answered by [`ControllerReply::Done`].
    KeepGroup {
        /// Its label.
        group: String,
    },
    /// Remove all workers and make no new ones: the cluster goes. Answered by [`ControllerReply::Done`] once it is durable. Every push takes it back.
    Drain,
}

/// A configuration and what travels beside it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushConfig {
    /// Names the cluster at its provider: what workers are tagged with and fenced by.
    pub uid: String,
    /// The epoch in which workers are launched: creates of an older one are refused once the cluster is fenced.
    pub epoch: u64,
    /// The generation that this follows; refused when the controller has another. `None`: whatever it has.
    pub follows: Option<u64>,
    /// The configuration as JSON: read by its own version.
    pub config: serde_json::Value,
    /// What it hashes to.
    pub digest: Digest,
    /// An object: by address, the attributes that the configuration refers to. Known.
    pub references: Value,
    /// The values of `secret.<name>` that the spec wrote, by name.
    pub secrets: BTreeMap<String, String>,
    /// Public keys of whoever applied: they may log in to every worker.
    pub operator_keys: Vec<String>,
}

impl std::fmt::Debug for PushConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushConfig")
            .field("uid", &self.uid)
            .field("epoch", &self.epoch)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

/// A frame from the controller.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ControllerReply {
    /// The configuration is durable and will be followed.
    Pushed {
        /// Its generation: grows by one with every change.
        generation: u64,
    },
    /// How things stand.
    Status(Box<ControllerStatus>),
    /// What happened.
    Events(Vec<ControllerEvent>),
    /// It is begun.
    Done,
    /// It is not done.
    Refused {
        /// A stable word: `generation`, `config-version`, `fenced`, `store`.
        code: String,
        /// A sentence.
        message: String,
    },
}

/// How things stand with a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControllerStatus {
    /// Version of the controller's program.
    pub tool_version: String,
    /// The cluster's uid.
    pub uid: String,
    /// The epoch that it launches in.
    pub epoch: u64,
    /// How many configurations it has had; 0: none yet.
    pub generation: u64,
    /// Digest of the one it follows.
    pub digest: Option<Digest>,
    /// The public key that it logs in to workers with.
    pub login_key: String,
    /// Whether there is nothing left to do: everything is as the configuration says.
    pub settled: bool,
    /// Whether it removes all workers because the cluster goes.
    pub draining: bool,
    /// What keeps it from its work, as a sentence: a disk that is full, a cloud that refuses, a newer head.
    #[serde(default)]
    pub problem: Option<String>,
    /// The groups by label; also one that is being removed.
    pub groups: BTreeMap<String, GroupStatus>,
    /// The workers, and the head for the steps that the controller does on it; by address.
    pub nodes: BTreeMap<String, NodeStatus>,
    /// Who answers for each service now: `address:port`.
    pub services: BTreeMap<String, Vec<String>>,
    /// Sequence of the newest event.
    pub last_event: u64,
}

/// How things stand with a group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupStatus {
    /// As configured.
    pub min: u64,
    /// As configured.
    pub max: u64,
    /// How many there should be now.
    pub desired: u64,
    /// How many are there with everything done.
    pub ready: u64,
    /// Digest of the template that workers are made from.
    pub template: Option<Digest>,
    /// Of a group with a quorum: whether its members have found together for the first time.
    pub formed: bool,
    /// Workers that are still of an earlier template and will be replaced, one after the other.
    pub outdated: u64,
    /// Why it does not get on, as a sentence.
    #[serde(default)]
    pub problem: Option<String>,
}

/// How things stand with a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeStatus {
    /// Its group; empty for the head.
    pub group: String,
    /// The provider's id; empty while there is none.
    pub id: String,
    /// Its address in the network; empty while there is none.
    pub address: String,
    /// What it is doing.
    pub state: NodeState,
    /// Its host key, once it is pinned.
    #[serde(default)]
    pub host_key: Option<String>,
    /// Login name of its SSH server.
    #[serde(default)]
    pub ssh_user: String,
    /// Port of its SSH server.
    #[serde(default)]
    pub ssh_port: u16,
    /// Steps that are done.
    pub steps_done: u64,
    /// Steps that there are.
    pub steps: u64,
    /// Addresses of what runs now.
    #[serde(default)]
    pub running: Vec<String>,
    /// Why it does not get on, as a sentence.
    #[serde(default)]
    pub problem: Option<String>,
}

/// What a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It is being made.
    Launching,
    /// It is being set up.
    SettingUp,
    /// It waits for others of its group.
    Waiting,
    /// Everything is done on it.
    Ready,
    /// Something on it failed; it is tried again.
    Failing,
    /// It is being removed.
    Leaving,
    /// The provider does not have it any more.
    Gone,
}

impl NodeState {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Launching => "launching",
            Self::SettingUp => "setting up",
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::Failing => "failing",
            Self::Leaving => "leaving",
            Self::Gone => "gone",
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControllerEvent {
    /// Its place: 1, 2, 3.
    pub sequence: u64,
    /// Seconds since 1970.
    pub time: u64,
    /// How bad it is.
    pub level: EventLevel,
    /// What it concerns: an address, or nothing.
    #[serde(default)]
    pub address: Option<String>,
    /// A sentence.
    pub text: String,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventLevel {
    /// It went as it should.
    Info,
    /// It is mended by itself.
    Warning,
    /// Somebody must do something.
    Error,
}
