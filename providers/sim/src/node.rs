//! A simulated node: what steps leave on it. It executes nothing; a script `exit N` fails with N.

use std::collections::BTreeMap;

use cloudtik_model::{Digest, NodeAction, NodeReply, NodeRequest, StepOutcome, Verb};
use cloudtik_provider_api::{CallError, ErrorClass};
use serde::{Deserialize, Serialize};

/// What was done last at a step's address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeMarker {
    /// The step's identity.
    pub identity: Digest,
    /// Digest of what was done.
    pub rendered: Digest,
    /// The run that did it.
    pub run_id: String,
    /// How it ended.
    pub outcome: StepOutcome,
    /// What it made.
    pub attributes: BTreeMap<String, String>,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimNode {
    /// By the step's address.
    pub markers: BTreeMap<String, NodeMarker>,
    /// How often each step was really done.
    pub times_done: BTreeMap<String, u64>,
    /// The end of every run, by run id, with the digest of its request.
    runs: BTreeMap<String, (Digest, NodeReply)>,
    /// How often the host key was made.
    host_keys: u64,
}

/// What the node did with a request.
pub(crate) struct Ran {
    pub(crate) reply: NodeReply,
    /// Whether the world is different now.
    pub(crate) effect: bool,
}

impl SimNode {
    /// Executes a request. The same run id again gives the same end and does nothing.
    pub(crate) fn run(&mut self, instance: &str, request: &NodeRequest) -> Result<Ran, CallError> {
        let refused = |code: &str, message: String| Err(CallError::new(ErrorClass::Permanent, code, message));
        let (Some(asked), Some(rendered)) = (digest_of(request), digest_of(&request.action)) else {
            return refused("request", "the request cannot be written as JSON".to_owned());
        };
        if let Some((earlier, reply)) = self.runs.get(&request.run_id) {
            if *earlier != asked {
                return refused("run-id", format!("the run {} was another request", request.run_id));
            }
            return Ok(Ran { reply: reply.clone(), effect: false });
        }
        let end = |outcome, attributes| NodeReply::End {
            run_id: request.run_id.clone(),
            identity: request.identity,
            rendered,
            outcome,
            attributes,
        };
        if request.verb == Verb::Check {
            let done = self.markers.get(&request.address).filter(|marker| marker.identity == request.identity);
            let reply = match done {
                Some(marker) => end(marker.outcome.clone(), marker.attributes.clone()),
                None => end(StepOutcome::Needed, BTreeMap::new()),
            };
            return Ok(Ran { reply, effect: false });
        }
        let reply = if request.verb == Verb::Undo {
            self.markers.remove(&request.address);
            end(StepOutcome::Done, BTreeMap::new())
        } else {
            let marker = self.do_step(instance, request, rendered);
            end(marker.outcome, marker.attributes)
        };
        self.runs.insert(request.run_id.clone(), (asked, reply.clone()));
        Ok(Ran { reply, effect: true })
    }

    fn do_step(&mut self, instance: &str, request: &NodeRequest, rendered: Digest) -> NodeMarker {
        let mut attributes = BTreeMap::new();
        let mut outcome = StepOutcome::Done;
        match &request.action {
            NodeAction::HostKey { .. } => {
                self.host_keys += 1;
                attributes.insert("host_key".to_owned(), format!("ssh-ed25519 sim-{instance}-{}", self.host_keys));
            }
            NodeAction::Run { script, .. } => {
                if let Some(code) = script.strip_prefix("exit ").and_then(|code| code.trim().parse::<i32>().ok()).filter(|code| *code != 0)
                {
                    outcome = StepOutcome::Failed { code: Some(code), reason: format!("the script ended with {code}"), timed_out: false };
                }
            }
            _ => {}
        }
        *self.times_done.entry(request.address.clone()).or_default() += 1;
        let marker = NodeMarker { identity: request.identity, rendered, run_id: request.run_id.clone(), outcome, attributes };
        self.markers.insert(request.address.clone(), marker.clone());
        marker
    }
}

fn digest_of(value: &impl Serialize) -> Option<Digest> {
    serde_json::to_value(value).ok().map(|json| Digest::of_json(&json))
}
