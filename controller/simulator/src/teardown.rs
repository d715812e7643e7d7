//! The command line that tears the cluster down, beside a controller that lives or does not.

use cloudtik_controller_client::{Teardown, TeardownCommand, TeardownEvent, TeardownInput};
use cloudtik_model::{ControllerCall, ControllerReply, ProviderRef};
use cloudtik_provider_api::{Answer, CallError, ErrorClass, Verb};
use cloudtik_sim::{INSTANCE_KIND, SimEvent, VISIBILITY_MS};

use crate::cluster::{self, LAUNCH_EPOCH, UID};
use crate::queue::Coming;
use crate::simulation::Simulation;
use crate::{Broken, Failure};

/// How long a request to the head and its reply are under way, in milliseconds.
const ASK_MS: u64 = 20;

/// Searches that must find nothing before the command line believes it.
const EMPTY_READS: u32 = 2;

/// What is left of the time after the teardown: whatever was on its way arrives in it.
const AFTER_MS: u64 = 120_000;

impl Simulation {
    pub(crate) fn begin_teardown(&mut self, drain: bool) -> Result<(), Failure> {
        self.tearing = Some(Teardown::new(TeardownInput {
            provider: ProviderRef::new("sim"),
            kind: INSTANCE_KIND.into(),
            address: cluster::cluster().child("head_controller"),
            uid: UID.to_owned(),
            fence_epoch: LAUNCH_EPOCH + 1,
            visibility_ms: VISIBILITY_MS,
            reads: EMPTY_READS,
            drain,
        }));
        self.teardown_event(TeardownEvent::Start)
    }

    pub(crate) fn teardown_event(&mut self, event: TeardownEvent) -> Result<(), Failure> {
        let now_ms = self.now_ms;
        let commands = self.tearing.as_mut().map(|teardown| teardown.step(now_ms, event)).unwrap_or_default();
        for command in commands {
            match command {
                TeardownCommand::Call { ticket, call } => {
                    let fence = matches!(call.verb, Verb::Fence { .. });
                    if fence && self.broken() == Broken::IgnoreFence {
                        self.invariants.fenced = true;
                        let event = TeardownEvent::Answer { ticket, answer: Answer::Done };
                        self.queue.push(now_ms + ASK_MS, Coming::Teardown(event));
                        continue;
                    }
                    self.note(|| format!("  teardown: {} {ticket}", call.verb.as_str()));
                    for (at_ms, event) in self.cloud.submit(now_ms, &call) {
                        if let SimEvent::Answer(answer) = event {
                            // Once it is done, nothing is made any more; the answer may be lost all the same.
                            self.invariants.fenced |= fence && answer == Answer::Done;
                            self.queue.push(at_ms, Coming::Teardown(TeardownEvent::Answer { ticket, answer }));
                        }
                    }
                    self.check_world()?;
                }
                TeardownCommand::Ask { ticket, call } => {
                    let reply = self.ask_head(&call);
                    self.queue.push(now_ms + ASK_MS, Coming::Teardown(TeardownEvent::Reply { ticket, reply }));
                }
                TeardownCommand::Timer { timer, at_ms } => self.queue.push(at_ms, Coming::Teardown(TeardownEvent::Timer { timer })),
                TeardownCommand::Warn(text) => self.note(|| format!("  teardown: {text}")),
                TeardownCommand::Finish(Ok(())) => {
                    self.note(|| "  teardown: done".to_owned());
                    if let Some(worker) = self.workers().next() {
                        return Err(Failure::new(format!("the cluster is torn down, and {} is there", worker.id)));
                    }
                    self.ends_at_ms = now_ms + AFTER_MS;
                }
                TeardownCommand::Finish(Err(error)) => {
                    return Err(Failure::new(format!("the cluster cannot be torn down: {}", error.message)));
                }
            }
        }
        Ok(())
    }

    fn ask_head(&mut self, call: &ControllerCall) -> Result<ControllerReply, CallError> {
        let Some(life) = self.life.as_mut() else {
            return Err(CallError::new(ErrorClass::Transient, "unreachable", "there is no controller"));
        };
        match call {
            ControllerCall::Drain => {
                life.controller.drain();
                Ok(ControllerReply::Done)
            }
            _ => Ok(ControllerReply::Status(Box::new(life.controller.status()))),
        }
    }
}
