//! Joining and leaving: the calls of the kind `group_member`, carried out as commands on another member.

use std::collections::BTreeMap;

use cloudtik_executor::OpKind;
use cloudtik_executor::engine::{Command, Event, NodeFacts, StepAnswer, StepJob, Ticket, entry_host_key};
use cloudtik_lang::{Filling, instantiate};
use cloudtik_model::{Address, Digest, EventLevel, NodeAction, NodeRequest, StepOutcome, Value, Verb as NodeVerb};
use cloudtik_provider_api::{Answer, Call, CallError, ErrorClass, Found, ObjectAnswer, Verb};

use super::Controller;
use super::group_kind::{MEMBER_KIND, NODE, member_id};
use super::unit::UnitId;

/// A call that waits for its turn or for the member that carries it out.
pub(super) struct Hook {
    pub(super) unit: UnitId,
    /// The ticket within the unit's own machine.
    pub(super) ticket: Ticket,
    pub(super) membership: Address,
    pub(super) what: What,
    /// The run that carries it out, once it is sent.
    pub(super) sent: Option<Ticket>,
    /// Names the run on the node, so that a repeat attaches to it.
    pub(super) run_id: String,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// With the attributes of the member.
    Join(Value),
    Leave(Value),
}

impl Controller {
    /// Takes a call of the kind. Reads are answered at once; joining and leaving wait for their turn.
    pub(super) fn member_call(&mut self, id: &UnitId, ticket: Ticket, call: &Call) {
        let kept = |controller: &Self| {
            let entry = controller.ledger.state.resources.get(&call.address);
            entry.and_then(|entry| entry.current.as_ref()).map(|object| object.attributes.clone())
        };
        let what = match &call.verb {
            Verb::Create(request) => What::Join(request.attributes.clone()),
            Verb::Delete { .. } => What::Leave(kept(self).unwrap_or(Value::NULL)),
            Verb::Read { id: wanted } => {
                let found = self.made_members.get(wanted).cloned().or_else(|| kept(self));
                let found = found.map(|attributes| ObjectAnswer { id: wanted.clone(), attributes });
                return self.answer_unit(id, ticket, Answer::Read(found));
            }
            Verb::FindByTag { value, .. } => return self.answer_unit(id, ticket, Answer::Found(self.perhaps_joined(id, value))),
            other => {
                let error = CallError::new(ErrorClass::Permanent, "verb", format!("`{}` is no call of {MEMBER_KIND}", other.as_str()));
                return self.answer_unit(id, ticket, Answer::Failed(error));
            }
        };
        self.next_hook += 1;
        let run_id = format!("{}-hook{}", self.run_id, self.next_hook);
        self.hooks.push(Hook { unit: id.clone(), ticket, membership: call.address.clone(), what, sent: None, run_id });
    }

    /// What became of a join whose end nobody knows and that is not repeated. Of one that goes it counts as done, so that it is taken back
    /// in order; both may be repeated.
    fn perhaps_joined(&self, id: &UnitId, op_id: &str) -> Vec<Found> {
        let goes = self.units.get(id).is_some_and(|unit| unit.leaving.is_some() || unit.gone);
        let Some(OpKind::Create { attributes, tags, .. }) = self.ledger.open.get(op_id).map(|open| &open.intent.operation) else {
            return Vec::new();
        };
        let object = ObjectAnswer { id: member_id(attributes), attributes: attributes.clone() };
        goes.then(|| Found { object, tags: tags.clone() }).into_iter().collect()
    }

    /// Gives up the hooks that were not sent: a controller that ends does not wait for anybody's turn.
    pub(super) fn drop_hooks(&mut self) {
        let (unsent, sent): (Vec<Hook>, Vec<Hook>) = std::mem::take(&mut self.hooks).into_iter().partition(|hook| hook.sent.is_none());
        self.hooks = sent;
        for hook in unsent {
            let error = CallError::new(ErrorClass::Permanent, "ends", "the controller ends before its turn came");
            self.answer_unit(&hook.unit, hook.ticket, Answer::Failed(error));
        }
    }

    /// Sends the hooks whose time it is.
    pub(super) fn send_hooks(&mut self) {
        let waiting: Vec<usize> = self.hooks.iter().enumerate().filter(|(_, hook)| hook.sent.is_none()).map(|(place, _)| place).collect();
        let mut done: Vec<(UnitId, Ticket, Answer)> = Vec::new();
        for place in waiting {
            let Some(hook) = self.hooks.get(place) else { continue };
            let (id, ticket) = (hook.unit.clone(), hook.ticket);
            if !self.needs_hook(hook) {
                let answer = answer_of(&hook.what);
                self.remember_member(&answer);
                done.push((id, ticket, answer));
                continue;
            }
            let leaves = self.units.get(&id).is_some_and(|unit| unit.leaving.is_some() || unit.gone);
            if leaves && matches!(hook.what, What::Join(_)) {
                // Its turn to join never comes, and it must not wait for it.
                done.push((id, ticket, Answer::Failed(CallError::new(ErrorClass::Permanent, "leaves", "it goes before it joined"))));
                continue;
            }
            if !self.has_turn(&id) {
                continue;
            }
            let Some(executor) = self.executor_of(&id) else { continue };
            match self.hook_job(hook, &executor) {
                Ok(mut job) => {
                    let outer = self.route(super::Route::Hook);
                    job.ticket = outer;
                    if let Some(hook) = self.hooks.get_mut(place) {
                        hook.sent = Some(outer);
                    }
                    let word = if matches!(self.hooks.get(place).map(|hook| &hook.what), Some(What::Join(_))) { "join" } else { "leave" };
                    let text = format!("{word}: {executor} is asked");
                    self.event(EventLevel::Info, Some(&job.request.address), text);
                    self.commands.push(Command::RunStep(Box::new(job)));
                }
                Err(error) => done.push((id, ticket, Answer::Failed(error))),
            }
        }
        for (id, ticket, answer) in done {
            self.hooks.retain(|hook| !(hook.unit == id && hook.ticket == ticket));
            self.answer_unit(&id, ticket, answer);
        }
    }

    /// The end of a command on a member.
    pub(super) fn hook_done(&mut self, sent: Ticket, answer: StepAnswer) {
        let Some(place) = self.hooks.iter().position(|hook| hook.sent == Some(sent)) else { return };
        let hook = self.hooks.remove(place);
        let (id, ticket) = (&hook.unit, hook.ticket);
        let answer = match answer {
            StepAnswer::Ended { outcome: StepOutcome::Done | StepOutcome::Skipped, .. } => answer_of(&hook.what),
            StepAnswer::Ended { outcome: StepOutcome::Failed { reason, .. }, .. } => {
                Answer::Failed(CallError::new(ErrorClass::Transient, "hook", format!("the group did not take it: {reason}")))
            }
            StepAnswer::Ended { outcome: StepOutcome::Needed, .. } => {
                Answer::Failed(CallError::new(ErrorClass::Transient, "hook", "the member gave no answer"))
            }
            // Another member is asked the next time; the command may be repeated.
            StepAnswer::Failed(error) => Answer::Failed(CallError::new(ErrorClass::Transient, "hook", error.message)),
        };
        match &answer {
            Answer::Failed(_) => self.failed_hooks += 1,
            Answer::Done => drop(self.made_members.remove(&member_id(attributes_of(&hook.what)))),
            _ => {}
        }
        self.remember_member(&answer);
        self.answer_unit(id, ticket, answer);
    }

    fn remember_member(&mut self, answer: &Answer) {
        if let Answer::Object(object) = answer {
            self.made_members.insert(object.id.clone(), object.attributes.clone());
        }
    }

    /// Whether anybody is to be asked: first members find together by themselves, and nobody needs to let the last ones go.
    fn needs_hook(&self, hook: &Hook) -> bool {
        let Some(group) = hook.unit.group() else { return false };
        if !self.is_formed(group) {
            return false;
        }
        match hook.what {
            What::Join(_) => !self.is_first(&hook.unit),
            What::Leave(_) => {
                let others = self.units.iter().any(|(id, unit)| {
                    id.group() == Some(group) && *id != hook.unit && unit.leaving.is_none() && !unit.gone && self.has_joined(id)
                });
                others && self.target_of(group) > 0
            }
        }
    }

    /// The member that is asked: the first that is ready, and after a failure the next one. Where nobody is ready, one that was: what keeps it
    /// from being ready may be what the change mends.
    fn executor_of(&self, subject: &UnitId) -> Option<UnitId> {
        let group = subject.group()?;
        let fits = |serves: fn(&super::unit::Unit) -> bool| -> Vec<&UnitId> {
            let others = self
                .units
                .iter()
                .filter(|(id, unit)| id.group() == Some(group) && *id != subject && unit.leaving.is_none() && !unit.gone && serves(unit));
            others.map(|(id, _)| id).filter(|id| self.has_joined(id)).collect()
        };
        let mut members = fits(|unit| unit.ready);
        if members.is_empty() {
            members = fits(|unit| unit.was_ready);
        }
        let place = usize::try_from(self.failed_hooks).unwrap_or(0).checked_rem(members.len())?;
        members.get(place).map(|id| (*id).clone())
    }

    fn hook_job(&self, hook: &Hook, executor: &UnitId) -> Result<StepJob, CallError> {
        let wrong = |text: String| CallError::new(ErrorClass::Permanent, "hook", text);
        let (config, pushed) = match (self.config(), &self.pushed) {
            (Some(config), Some(pushed)) => (config, pushed),
            _ => return Err(wrong("there is no configuration".to_owned())),
        };
        let label = executor.group().cloned().unwrap_or_default();
        let group = config.groups.get(&label).ok_or_else(|| wrong(format!("the group {label} is gone")))?;
        let live = self.live(&config, executor);
        // What the member keeps counts as known: else a membership behind a frozen step would seem to wait.
        let frozen = self.frozen_of(executor).unwrap_or_default().values.into_keys().collect();
        let filling = Filling { references: &pushed.references, live: &live, frozen: &frozen };
        let fragment = instantiate(group, executor.sequence(), filling)
            .map_err(|found| wrong(found.into_iter().next().map_or_else(String::new, |diagnostic| diagnostic.title)))?;
        // The same membership, as it is of the member that is asked.
        let tail = |address: &Address| address.in_block().iter().skip(2).cloned().collect::<Vec<_>>();
        let membership = fragment
            .memberships
            .into_iter()
            .find(|membership| tail(&membership.address) == tail(&hook.membership))
            .ok_or_else(|| wrong(format!("the configuration has no {}", hook.membership)))?;
        let entry = self.units.get(executor).and_then(|unit| self.ledger.state.resources.get(&unit.address));
        let (entry, object) =
            entry.and_then(|entry| Some((entry, entry.current.as_ref()?))).ok_or_else(|| wrong(format!("{executor} has no instance")))?;
        let node = object.attributes.get("node").cloned().unwrap_or(Value::NULL);
        let rendered = self.renderer.render(&membership.step, &NodeFacts { node, follows: BTreeMap::new() })?;
        let action =
            hook_action(rendered.action, &hook.what, hook.unit.sequence()).ok_or_else(|| wrong("a hook is a command".to_owned()))?;
        let host_key = self.ledger.state.resources.values().find_map(|entry| entry_host_key(entry, &object.id));
        Ok(StepJob {
            ticket: Ticket(0),
            provider: entry.provider.clone(),
            node: self.units.get(executor).map(|unit| unit.address.clone()).unwrap_or_else(|| hook.membership.clone()),
            instance_id: object.id.clone(),
            attributes: object.attributes.clone(),
            public_keys: object.public_keys.clone(),
            host_key,
            request: NodeRequest {
                version: NodeRequest::VERSION,
                run_id: hook.run_id.clone(),
                address: hook.membership.to_string(),
                identity: Digest::of(&hook.run_id),
                verb: NodeVerb::Do,
                action,
            },
            artifacts: rendered.artifacts,
            title: membership.step.title,
        })
    }

    pub(super) fn answer_unit(&mut self, id: &UnitId, ticket: Ticket, answer: Answer) {
        self.inbox.push_back((id.clone(), Event::Answer { ticket, answer }));
    }
}

/// The command of a hook, with its subject in the environment.
fn hook_action(action: NodeAction, what: &What, sequence: u64) -> Option<NodeAction> {
    let NodeAction::Run { script, undo, mut env, user, timeout_secs, .. } = action else { return None };
    let (script, attributes) = match what {
        What::Join(attributes) => (script, attributes),
        What::Leave(attributes) => (undo.unwrap_or_else(|| ":".to_owned()), attributes),
    };
    let node = attributes.get(NODE).cloned().unwrap_or(Value::NULL);
    let text = |name: &str| node.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let name = node.get("names").and_then(Value::elements).and_then(|mut names| names.next().and_then(Value::as_str)).unwrap_or_default();
    env.insert("MEMBER_ID".to_owned(), text("id"));
    env.insert("MEMBER_SEQUENCE".to_owned(), sequence.to_string());
    env.insert("MEMBER_ADDRESS".to_owned(), text("address"));
    env.insert("MEMBER_NAME".to_owned(), name.to_owned());
    let (creates, unless, only_if) = (None, None, None);
    Some(NodeAction::Run { script, undo: None, creates, unless, only_if, env, user, timeout_secs, retries: 0, retry_wait_secs: 0 })
}

const fn attributes_of(what: &What) -> &Value {
    match what {
        What::Join(attributes) | What::Leave(attributes) => attributes,
    }
}

/// What a call is answered with once it is done.
fn answer_of(what: &What) -> Answer {
    match what {
        What::Join(attributes) => Answer::Object(ObjectAnswer { id: member_id(attributes), attributes: attributes.clone() }),
        What::Leave(_) => Answer::Done,
    }
}
