//! What the controller on a cluster's head is told: the compiled head-controller configuration. Version 1.
//!
//! It is compiled from the spec alone, so it is the same to the byte wherever it is compiled, and its digest may be seen by everybody. What a
//! provider must tell first stands in it as a reference to an address, what is secret as `secret.<name>`; the values of both travel beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Address, Digest, ProviderRef, ResourceSpec, StepSpec, Value};

/// The version of the configuration that this code writes and reads.
pub const HEAD_CONFIG_VERSION: u32 = 1;

/// What the controller on a head is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadConfig {
    /// [`HEAD_CONFIG_VERSION`]
    pub version: u32,
    /// `cluster.c`
    pub cluster: Address,
    /// Its real name.
    pub name: String,
    /// The provider configuration that workers are made by.
    pub provider: ProviderRef,
    /// That configuration; known.
    pub provider_config: Value,
    /// The groups of workers by label.
    pub groups: BTreeMap<Arc<str>, GroupConfig>,
    /// The steps of the head that follow what happens to workers, each after those that it depends on. Their node is `cluster.c.head`.
    pub head_steps: Vec<StepSpec>,
    /// What nodes of the cluster offer, by name.
    pub services: BTreeMap<Arc<str>, ServiceConfig>,
    /// The secrets that the controller makes once and keeps, by name: how many characters each has. One that is not here has so many as the
    /// controller gives it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<Arc<str>, u64>,
    /// `scaling` as the spec has it, carried and not in effect; null without one.
    #[serde(default)]
    pub scaling: Value,
}

/// A group of workers. Addresses in it are those of the group: `cluster.c.workers.g`, `cluster.c.workers.g.runtime.etcd.config`. Those of
/// a worker have its sequence number behind the label of the group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupConfig {
    /// So many are always up.
    pub min: u64,
    /// Never more.
    pub max: u64,
    /// Whether a runtime of it keeps a quorum, so that its members come, go and restart one at a time.
    pub quorum: bool,
    /// The group's label before it was renamed, by which its workers are known until they are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<Arc<str>>,
    /// Seconds until a new worker must answer.
    pub ready_timeout_secs: u64,
    /// A worker, as its provider makes it.
    pub node: ResourceSpec,
    /// Its steps, each after those that it depends on.
    pub steps: Vec<StepSpec>,
    /// How it becomes a member of what its runtimes form, in the order of the runtimes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub memberships: Vec<MembershipConfig>,
}

impl GroupConfig {
    /// What tells one template of the workers from another: what they are made of, what is done on them, and how they become members.
    ///
    /// # Errors
    /// It cannot be written as JSON, which is a fault of ours.
    pub fn template_digest(&self) -> Result<Digest, serde_json::Error> {
        let parts =
            serde_json::json!({ "node": to_json(&self.node)?, "steps": to_json(&self.steps)?, "memberships": to_json(&self.memberships)? });
        Ok(Digest::of_json(&parts))
    }

    /// What tells workers that must be made anew from those that only get other steps.
    ///
    /// # Errors
    /// As [`Self::template_digest`].
    pub fn node_digest(&self) -> Result<Digest, serde_json::Error> {
        Ok(Digest::of_json(&serde_json::json!({ "node": to_json(&self.node)? })))
    }
}

fn to_json(part: &impl Serialize) -> Result<serde_json::Value, serde_json::Error> {
    serde_json::to_value(part)
}

/// How a worker becomes a member of what a runtime forms, and how it leaves: by commands that another member runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MembershipConfig {
    /// `cluster.c.workers.g.runtime.etcd.member`: the steps that must come after joining depend on it.
    pub address: Address,
    /// What must be done before it joins: steps of the same worker.
    pub depends_on: BTreeSet<Address>,
    /// A step of kind `run` that another member executes: `script` takes a new member in, `undo` lets one go. Both must be harmless when they are
    /// repeated. The subject is in the environment: `MEMBER_ID`, `MEMBER_SEQUENCE`, `MEMBER_ADDRESS`, `MEMBER_NAME`. Late names of
    /// `node` are those of the member that executes.
    pub step: StepSpec,
}

/// What nodes of the cluster offer to others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceConfig {
    /// The runtime that offers it.
    pub runtime: Arc<str>,
    /// What sort of service it is.
    pub service_type: String,
    /// What is spoken there.
    pub protocol: String,
    /// The port on each node that has the runtime.
    pub port: u64,
    /// Labels for those who choose.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whether the head offers it.
    pub on_head: bool,
    /// The groups whose workers offer it.
    pub groups: BTreeSet<Arc<str>>,
}

impl HeadConfig {
    /// Its bytes: JSON with ordered names.
    ///
    /// # Errors
    /// It cannot be written as JSON, which is a fault of ours.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&serde_json::to_value(self)?)
    }

    /// What its digest is made of: its bytes.
    ///
    /// # Errors
    /// As [`Self::to_bytes`].
    pub fn digest(&self) -> Result<Digest, serde_json::Error> {
        self.to_bytes().map(Digest::of)
    }

    /// Reads one. The version is looked at before anything else, so that a newer one is not mistaken for damage.
    ///
    /// # Errors
    /// See [`HeadConfigError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HeadConfigError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_slice(bytes).map_err(HeadConfigError::Damaged)?;
        if version != HEAD_CONFIG_VERSION {
            return Err(HeadConfigError::Version { found: version, known: HEAD_CONFIG_VERSION });
        }
        serde_json::from_slice(bytes).map_err(HeadConfigError::Damaged)
    }
}

/// Why a configuration cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HeadConfigError {
    /// It is no configuration.
    #[error("the head's configuration cannot be read")]
    Damaged(#[source] serde_json::Error),
    /// It is of another version.
    #[error("the head's configuration has version {found}, and this program reads version {known}")]
    Version {
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Lifecycle, Span, StepKind};

    fn group() -> GroupConfig {
        let node = ResourceSpec {
            address: "cluster.c.workers.g".parse().unwrap(),
            kind: "sim_instance".into(),
            provider: ProviderRef::new("sim"),
            attributes: Value::object([("name", Value::from("c-g"))]),
            depends_on: BTreeSet::new(),
            lifecycle: Lifecycle::default(),
            marks: BTreeMap::new(),
            span: Span::NONE,
            origins: BTreeMap::new(),
        };
        let (min, max, ready_timeout_secs) = (1, 2, 300);
        GroupConfig { min, max, quorum: false, moved_from: None, ready_timeout_secs, node, steps: Vec::new(), memberships: Vec::new() }
    }

    fn step() -> StepSpec {
        StepSpec {
            address: "cluster.c.workers.g.setup.s".parse().unwrap(),
            node: "cluster.c.workers.g".parse().unwrap(),
            kind: StepKind::Run,
            inputs: BTreeMap::new(),
            triggers: BTreeSet::new(),
            frozen: false,
            depends_on: BTreeSet::new(),
            title: "s".to_owned(),
            lifecycle: Lifecycle::default(),
            span: Span::NONE,
        }
    }

    #[test]
    fn a_template_is_what_a_worker_is_and_what_is_done_on_it() {
        let first = group();
        let digests = |group: &GroupConfig| (group.template_digest().unwrap(), group.node_digest().unwrap());
        let more = GroupConfig { min: 2, max: 5, quorum: true, ready_timeout_secs: 1, ..group() };
        assert_eq!(digests(&more), digests(&first), "how many there are is no matter of the template");
        let stepped = GroupConfig { steps: vec![step()], ..group() };
        assert_ne!(digests(&stepped).0, digests(&first).0);
        assert_eq!(digests(&stepped).1, digests(&first).1);
        let membership = MembershipConfig { address: step().address, depends_on: BTreeSet::new(), step: step() };
        let joining = GroupConfig { memberships: vec![membership], ..group() };
        assert!(![digests(&first).0, digests(&stepped).0].contains(&digests(&joining).0));
        let mut other = group();
        other.node.attributes = Value::object([("name", Value::from("other"))]);
        assert_ne!(digests(&other).0, digests(&first).0);
        assert_ne!(digests(&other).1, digests(&first).1);
    }
}
