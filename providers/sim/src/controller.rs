//! A simulated controller of a head: it keeps what was pushed and says that everything is as that asks. It launches nobody.

use std::collections::BTreeMap;

use cloudtik_model::{
    CONTROLLER_VERSION, ControllerCall, ControllerReply, ControllerRequest, ControllerStatus, Digest, GroupStatus, HeadConfig,
    HeadConfigError, PushConfig,
};
use serde::{Deserialize, Serialize};

/// The controller on one head.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimController {
    /// The cluster's uid.
    pub uid: String,
    /// The epoch in which it launches.
    pub epoch: u64,
    /// How many configurations it had.
    pub generation: u64,
    /// Digest of the present one.
    pub digest: Option<Digest>,
    /// Digest of everything that the last push brought.
    pushed: Option<Digest>,
    /// Its groups by label, but for those that were removed.
    pub groups: BTreeMap<String, SimGroup>,
    /// Whether the cluster goes.
    pub draining: bool,
    /// Whether it was told to remove something that its configuration has.
    removed: bool,
}

/// A group as it was configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimGroup {
    /// So many are up.
    pub min: u64,
    /// Never more.
    pub max: u64,
    /// What workers are made from.
    pub template: Digest,
}

impl SimController {
    /// Answers a frame. `fence`: the epoch below which its cluster launches nothing.
    pub(crate) fn answer(&mut self, instance: &str, request: &ControllerRequest, fence: impl Fn(&str) -> u64) -> ControllerReply {
        if request.version != CONTROLLER_VERSION {
            let text = format!("the frame has version {}, and this controller speaks {CONTROLLER_VERSION}", request.version);
            return refused("frame-version", text);
        }
        match &request.call {
            ControllerCall::Push(push) => {
                let least = fence(&push.uid);
                if push.epoch < least {
                    return refused("fenced", format!("the cluster is fenced at epoch {least}, and this is of epoch {}", push.epoch));
                }
                self.push(push).unwrap_or_else(|refusal| refusal)
            }
            ControllerCall::Status => ControllerReply::Status(Box::new(self.status(instance))),
            ControllerCall::Events { .. } => ControllerReply::Events(Vec::new()),
            ControllerCall::RemoveGroup { group } => {
                self.removed |= self.groups.remove(group).is_some();
                ControllerReply::Done
            }
            ControllerCall::KeepGroup { .. } => ControllerReply::Done,
            ControllerCall::Drain => {
                self.groups.clear();
                self.draining = true;
                ControllerReply::Done
            }
        }
    }

    /// A push that is repeated because its answer was lost is the same generation.
    fn push(&mut self, push: &PushConfig) -> Result<ControllerReply, ControllerReply> {
        let pushed = digest_of(push).map_err(unreadable)?;
        let changed = self.pushed != Some(pushed) || self.draining || self.removed;
        if !changed {
            return Ok(ControllerReply::Pushed { generation: self.generation });
        }
        if let Some(follows) = push.follows.filter(|follows| *follows != self.generation) {
            let text = format!("this follows generation {follows}, and the controller has {}", self.generation);
            return Err(refused("generation", text));
        }
        let bytes = serde_json::to_vec(&push.config).map_err(unreadable)?;
        let config = HeadConfig::from_bytes(&bytes).map_err(|error| match error {
            HeadConfigError::Version { .. } => refused("config-version", error.to_string()),
            HeadConfigError::Damaged(cause) => unreadable(cause),
        })?;
        if config.digest().map_err(unreadable)? != push.digest {
            return Err(refused("digest", "the configuration is not the one that its digest is of".to_owned()));
        }
        let group = |(label, group): (&std::sync::Arc<str>, &cloudtik_model::GroupConfig)| {
            Ok((label.to_string(), SimGroup { min: group.min, max: group.max, template: group.template_digest()? }))
        };
        let groups: Result<_, serde_json::Error> = config.groups.iter().map(group).collect();
        *self = Self {
            uid: push.uid.clone(),
            epoch: push.epoch,
            generation: self.generation.saturating_add(1),
            digest: Some(push.digest),
            pushed: Some(pushed),
            groups: groups.map_err(unreadable)?,
            draining: false,
            removed: false,
        };
        Ok(ControllerReply::Pushed { generation: self.generation })
    }

    fn status(&self, instance: &str) -> ControllerStatus {
        let group = |(label, group): (&String, &SimGroup)| {
            let SimGroup { min, max, template } = *group;
            let status =
                GroupStatus { min, max, desired: min, ready: min, template: Some(template), formed: true, ..GroupStatus::default() };
            (label.clone(), status)
        };
        ControllerStatus {
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            uid: self.uid.clone(),
            epoch: self.epoch,
            generation: self.generation,
            digest: self.digest,
            login_key: login_key(instance),
            settled: true,
            draining: self.draining,
            groups: self.groups.iter().map(group).collect(),
            ..ControllerStatus::default()
        }
    }

    /// What it publishes on its head.
    pub(crate) fn published(&self, instance: &str) -> BTreeMap<String, String> {
        let group = |(label, group): (&String, &SimGroup)| {
            (format!("group.{label}"), format!("{}/{}/{}", group.min, group.min, group.template.short()))
        };
        let own = [
            ("epoch", self.epoch.to_string()),
            ("generation", self.generation.to_string()),
            ("digest", self.digest.map(|digest| digest.to_string()).unwrap_or_default()),
            ("settled", true.to_string()),
            ("login_key", login_key(instance)),
        ];
        own.into_iter().map(|(key, value)| (key.to_owned(), value)).chain(self.groups.iter().map(group)).collect()
    }
}

fn login_key(instance: &str) -> String {
    format!("ssh-ed25519 sim-controller-{instance}")
}

/// Everything of a push but what it follows.
fn digest_of(push: &PushConfig) -> Result<Digest, serde_json::Error> {
    Ok(Digest::of_json(&serde_json::to_value(PushConfig { follows: None, ..push.clone() })?))
}

fn refused(code: &str, message: String) -> ControllerReply {
    ControllerReply::Refused { code: code.to_owned(), message }
}

fn unreadable(error: serde_json::Error) -> ControllerReply {
    refused("config", format!("the configuration cannot be read: {error}"))
}
