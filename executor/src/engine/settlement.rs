//! Settlement: what became of the operations that an earlier run began and did not finish.
//!
//! A state machine like the engine. Each open intent is brought to an outcome by what its kind declares: repeated, looked for, or read.
//! For `apply` the outcomes are records of the journal; for `plan` nothing is written and nothing repeated, and the outcomes only serve to
//! look at the state as it would be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::{NodeRequest, State, StepOutcome, Value, Verb as NodeVerb};
use cloudtik_planner::Settled;
use cloudtik_provider_api::{
    Answer, Call, CallError, CreateRequest, ErrorClass, Found, Idempotency, KindSchema, ObjectAnswer, ProviderSchema, Secret, TIMED_OUT,
    Verb,
};

use crate::engine::batch::{batch_of, seed};
use crate::engine::objects::{backoff_ms, host_key, instance_entry, kind_schema, permanent, resource_object, step_object};
use crate::engine::outbox::Outbox;
use crate::engine::room;
use crate::engine::{ADDRESS_TAG, Command, Event, LINEAGE_TAG, Limits, OP_TAG, Step, StepAnswer, StepJob, Ticket, TimerId};
use crate::{Intent, OpKind, OpResult, Record};

/// What settlement may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettleMode {
    /// Repeat calls, and write outcomes.
    Apply,
    /// Look only.
    Plan,
}

/// What settlement is made from.
pub struct SettlementInput {
    /// The state with all closed intents folded in.
    pub state: State,
    /// The intents without outcome, in the order of the journal.
    pub open: Vec<Intent>,
    /// By provider type.
    pub schemas: Arc<BTreeMap<String, ProviderSchema>>,
    /// How often again.
    pub limits: Limits,
    /// This run's id.
    pub run_id: String,
    /// The epoch of the lock that this run holds.
    pub epoch: u64,
    /// The epoch that creates carry, where it is another; as the engine has it, so that a repeat is identical.
    pub launch_epoch: Option<u64>,
    /// Calls of several of which some creates are not open any more: [`broken_batches`](crate::engine::broken_batches).
    pub broken: BTreeSet<String>,
    /// What it may do.
    pub mode: SettleMode,
    /// The `Started` record of this run; goes before the first outcome.
    pub started: Record,
}

/// What settlement found. In the last command, once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SettlementReport {
    /// For the plan.
    pub settled: Vec<Settled>,
    /// The records that close the intents. For `apply` they are durable already; for `plan` they are to be folded in memory only.
    pub records: Vec<Record>,
    /// Intents that could not be closed, and why. They stay open.
    pub unsettled: Vec<(Intent, CallError)>,
    /// Whether the `Started` record of this run was written.
    pub started: bool,
    /// Why the journal could not be written, when it could not.
    pub aborted: Option<String>,
}

/// How long an object that is looked for because its token is of no use may be invisible. No cloud that we know needs longer.
const FALLBACK_VISIBILITY_MS: u64 = 5_000;
/// Empty searches in that time.
const FALLBACK_READS: u32 = 3;

/// What a case waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Its secrets.
    Secrets,
    /// The answer to the identical create.
    Repeat,
    /// The read that confirms a repeat.
    Confirm,
    /// A search by op id.
    ByTag,
    /// A search by unique name.
    ByName,
    /// A read of the object that was updated or deleted.
    Read,
    /// The node's word.
    Node,
}

struct Case {
    intent: Intent,
    phase: Phase,
    /// Failed tries of the present phase.
    tries: u32,
    empty_reads: u32,
    secrets: BTreeMap<String, Secret>,
    /// The create's answer that a read is to confirm.
    made: Option<ObjectAnswer>,
    /// Searches count from here.
    since_ms: Option<u64>,
    done: bool,
}

/// See the module.
pub struct Settlement {
    input: SettlementInput,
    cases: Vec<Case>,
    tickets: BTreeMap<u64, usize>,
    timers: BTreeMap<u64, usize>,
    next: u64,
    outbox: Outbox<()>,
    report: SettlementReport,
    interrupted: bool,
    finished: bool,
    commands: Vec<Command>,
}

impl Step for Settlement {
    fn step(&mut self, now_ms: u64, event: Event) -> Vec<Command> {
        self.take(now_ms, event);
        self.advance();
        std::mem::take(&mut self.commands)
    }
}

impl Settlement {
    /// A settlement that has not begun.
    #[must_use]
    pub fn new(mut input: SettlementInput) -> Self {
        let open = std::mem::take(&mut input.open);
        let cases = open.into_iter().map(|intent| Case {
            intent,
            phase: Phase::Read,
            tries: 0,
            empty_reads: 0,
            secrets: BTreeMap::new(),
            made: None,
            since_ms: None,
            done: false,
        });
        Self {
            cases: cases.collect(),
            tickets: BTreeMap::new(),
            timers: BTreeMap::new(),
            next: 1,
            outbox: Outbox::new(),
            report: SettlementReport::default(),
            interrupted: false,
            finished: false,
            commands: Vec::new(),
            input,
        }
    }

    fn take(&mut self, now_ms: u64, event: Event) {
        match event {
            Event::Start => (0..self.cases.len()).for_each(|index| self.begin(now_ms, index)),
            Event::Appended { batch } => {
                self.outbox.appended(batch);
            }
            Event::AppendFailed { error, .. } => {
                self.report.aborted = Some(error);
                self.finish();
            }
            Event::Answer { ticket, answer } => {
                if let Some(index) = self.tickets.remove(&ticket.0) {
                    self.answered(now_ms, index, answer);
                }
            }
            Event::StepDone { ticket, answer } => {
                if let Some(index) = self.tickets.remove(&ticket.0) {
                    self.node_answered(now_ms, index, answer);
                }
            }
            Event::SecretsReady { ticket, secrets } => {
                if let Some(index) = self.tickets.remove(&ticket.0) {
                    self.secrets_ready(
                        now_ms,
                        index,
                        secrets.ok().map(|made| made.into_iter().map(|(name, made)| (name, made.secret)).collect()),
                    );
                }
            }
            Event::TimerFired { timer } => {
                if let Some(index) = self.timers.remove(&timer.0) {
                    self.ask(now_ms, index);
                }
            }
            // It brings nothing together.
            Event::Seated { .. } => {}
            Event::Interrupt => self.interrupt(),
        }
    }

    /// Sends what gathered, and ends when there is nothing left to wait for.
    fn advance(&mut self) {
        if self.finished {
            return;
        }
        self.commands.extend(self.outbox.flush());
        if self.cases.iter().all(|case| case.done) && self.outbox.is_empty() {
            self.finish();
        }
    }

    fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            self.commands.push(Command::Settled(Box::new(std::mem::take(&mut self.report))));
        }
    }

    /// Cases that wait for a timer are given up; running calls are brought to their end.
    fn interrupt(&mut self) {
        self.interrupted = true;
        let waiting: Vec<usize> = std::mem::take(&mut self.timers).into_values().collect();
        for index in waiting {
            self.give_up(index, permanent("interrupted", "interrupted before it could be found out"));
        }
    }

    fn begin(&mut self, now_ms: u64, index: usize) {
        let Some(case) = self.cases.get(index) else { return };
        let apply = self.input.mode == SettleMode::Apply;
        match &case.intent.operation {
            OpKind::Create { secrets, .. } => {
                let (has_secrets, kind) = (!secrets.is_empty(), self.kind_of(index));
                let phase = match kind.map(|kind| kind.class) {
                    Err(error) => return self.give_up(index, error),
                    Ok(Idempotency::Pure) => {
                        return self.close(index, vec![], OpResult::Cleared, false, "it has no effect outside the state");
                    }
                    Ok(Idempotency::TagAtCreate { .. }) => Phase::ByTag,
                    Ok(Idempotency::UniqueName) => Phase::ByName,
                    Ok(Idempotency::Token | Idempotency::Natural) if !apply || self.is_broken(index) => Phase::ByTag,
                    Ok(Idempotency::Token | Idempotency::Natural) if has_secrets => Phase::Secrets,
                    Ok(Idempotency::Token | Idempotency::Natural) => Phase::Repeat,
                };
                self.go(now_ms, index, phase);
            }
            OpKind::Update { .. } | OpKind::Delete { .. } => self.go(now_ms, index, Phase::Read),
            // The state knows nothing of the object, and what an import does may be done again.
            OpKind::Import { .. } => self.close(index, vec![], OpResult::Cleared, false, "it will be imported again"),
            OpKind::Run { .. } => self.go(now_ms, index, Phase::Node),
            // What undoes a step may be repeated, and the step stands in the state until an undo was confirmed: the next plan undoes again.
            OpKind::Undo { .. } => {
                self.close(index, vec![], OpResult::Cleared, false, "whether it was undone is not known; it will be undone again")
            }
        }
    }

    /// Whether others that were one call with it have an outcome already.
    fn is_broken(&self, index: usize) -> bool {
        let batch = self.cases.get(index).and_then(|case| batch_of(&case.intent));
        batch.is_some_and(|batch| self.input.broken.contains(&batch.id))
    }

    fn kind_of(&self, index: usize) -> Result<&KindSchema, CallError> {
        let intent = self.cases.get(index).map(|case| &case.intent).ok_or_else(|| permanent("case", "no such operation"))?;
        kind_schema(&self.input.schemas, &intent.provider, &intent.kind)
    }

    fn go(&mut self, now_ms: u64, index: usize, phase: Phase) {
        if let Some(case) = self.cases.get_mut(index) {
            case.phase = phase;
            case.tries = 0;
        }
        self.ask(now_ms, index);
    }

    /// Makes the call of the present phase.
    fn ask(&mut self, now_ms: u64, index: usize) {
        let ticket = Ticket(self.next);
        self.next += 1;
        let command = match self.command(now_ms, index, ticket) {
            Ok(command) => command,
            Err(instead) => return instead(self, now_ms, index),
        };
        self.tickets.insert(ticket.0, index);
        self.commands.push(command);
    }

    #[expect(clippy::type_complexity, reason = "a command, or what to do where none can be made")]
    fn command(&mut self, now_ms: u64, index: usize, ticket: Ticket) -> Result<Command, Box<dyn FnOnce(&mut Self, u64, usize)>> {
        let unique = self.kind_of(index).ok().and_then(|kind| kind.unique_name);
        let Some(case) = self.cases.get_mut(index) else {
            return Err(Box::new(|_, _, _| {}));
        };
        let call = |verb: Verb| {
            let Intent { provider, address, kind, .. } = &case.intent;
            Ok(Command::Call {
                ticket,
                call: Call { provider: provider.clone(), address: address.clone(), kind: Arc::clone(kind), verb, limit: None },
            })
        };
        let by_tag = || Verb::FindByTag { key: OP_TAG.to_owned(), value: case.intent.op_id.clone() };
        match (case.phase, &case.intent.operation) {
            (Phase::Secrets, OpKind::Create { secrets, .. }) => Ok(Command::LoadSecrets { ticket, references: secrets.clone() }),
            (Phase::Repeat, OpKind::Create { token, tags, attributes, chosen, batch, .. }) => call(Verb::Create(CreateRequest {
                op_id: case.intent.op_id.clone(),
                token: token.clone(),
                epoch: self.input.launch_epoch.unwrap_or(self.input.epoch),
                tags: tags.clone(),
                attributes: room::with(attributes, chosen),
                secrets: case.secrets.clone(),
                batch: batch.clone(),
            })),
            (Phase::Confirm, _) => match &case.made {
                Some(made) => call(Verb::Read { id: made.id.clone() }),
                None => Err(Box::new(|this, now_ms, index| this.go(now_ms, index, Phase::Repeat))),
            },
            (Phase::ByTag, _) => {
                case.since_ms.get_or_insert(now_ms);
                call(by_tag())
            }
            (Phase::ByName, OpKind::Create { attributes, .. }) => {
                match unique.and_then(|name| attributes.get(name)).and_then(Value::as_str) {
                    Some(name) => call(Verb::FindByName { name: name.to_owned() }),
                    None => Err(Box::new(|this, now_ms, index| this.go(now_ms, index, Phase::ByTag))),
                }
            }
            (Phase::Read, OpKind::Update { id, .. } | OpKind::Delete { id, .. }) => call(Verb::Read { id: id.clone() }),
            (Phase::Node, OpKind::Run { .. }) => match check_job(&self.input, &case.intent, ticket) {
                Some(job) => Ok(Command::CheckStep(Box::new(job))),
                None => Err(Box::new(|this, _, index| this.close(index, vec![], OpResult::Cleared, false, "its node is gone"))),
            },
            (phase, _) => Err(Box::new(move |this, _, index| {
                this.give_up(index, permanent("case", format!("an operation of this kind is not settled by {phase:?}")));
            })),
        }
    }

    fn secrets_ready(&mut self, now_ms: u64, index: usize, secrets: Option<BTreeMap<String, Secret>>) {
        let Some(secrets) = secrets else {
            // A repeat would not be identical. What the create made, if anything, carries its op id.
            return self.go(now_ms, index, Phase::ByTag);
        };
        if let Some(case) = self.cases.get_mut(index) {
            case.secrets = secrets;
        }
        self.go(now_ms, index, Phase::Repeat);
    }

    fn answered(&mut self, now_ms: u64, index: usize, answer: Answer) {
        let Some(phase) = self.cases.get(index).map(|case| case.phase) else { return };
        match (phase, answer) {
            (_, Answer::Failed(error)) if is_passing(&error) => self.again(now_ms, index, error),
            (Phase::Repeat, Answer::Object(object)) => self.repeated(now_ms, index, object),
            // The repeat is refused, which says nothing of the first: look for what it made.
            (Phase::Repeat, Answer::Failed(_)) => self.go(now_ms, index, Phase::ByTag),
            (Phase::Confirm, Answer::Read(Some(object))) => self.adopt(index, object),
            (Phase::Confirm, Answer::Read(None)) => {
                self.again(now_ms, index, permanent("natural", "what a create answered is not there when it is read"));
            }
            (Phase::ByTag, Answer::Found(found)) => self.found_by_tag(now_ms, index, found),
            (Phase::ByName, Answer::Found(found)) => self.found_by_name(index, found),
            (Phase::Read, Answer::Read(object)) => self.read(index, object),
            (_, Answer::Failed(error)) => self.give_up(index, error),
            (_, other) => self.give_up(index, permanent("answer", format!("the provider answered something else: {other:?}"))),
        }
    }

    fn repeated(&mut self, now_ms: u64, index: usize, object: ObjectAnswer) {
        if self.kind_of(index).is_ok_and(|kind| kind.class == Idempotency::Natural) {
            if let Some(case) = self.cases.get_mut(index) {
                case.made = Some(object);
            }
            return self.go(now_ms, index, Phase::Confirm);
        }
        self.adopt(index, object);
    }

    /// Tries the present phase again, later; or gives up.
    fn again(&mut self, now_ms: u64, index: usize, error: CallError) {
        let Some(case) = self.cases.get_mut(index) else { return };
        case.tries += 1;
        if case.tries >= self.input.limits.settle_tries_max || self.interrupted {
            return self.give_up(index, error);
        }
        let wait_ms = backoff_ms(&self.input.limits, seed(&case.intent), case.tries);
        self.later(now_ms.saturating_add(wait_ms), index);
    }

    fn later(&mut self, at_ms: u64, index: usize) {
        if self.interrupted {
            return self.give_up(index, permanent("interrupted", "interrupted before it could be found out"));
        }
        let timer = TimerId(self.next);
        self.next += 1;
        self.timers.insert(timer.0, index);
        self.commands.push(Command::Timer { timer, at_ms });
    }

    fn found_by_tag(&mut self, now_ms: u64, index: usize, found: Vec<Found>) {
        let (visibility_ms, reads) = match self.kind_of(index) {
            Ok(KindSchema { class: Idempotency::TagAtCreate { visibility_ms, reads }, .. }) => (*visibility_ms, *reads),
            // A plan only looks; it promises nothing, and need not wait.
            _ if self.input.mode == SettleMode::Plan => (0, 1),
            Ok(kind) => (FALLBACK_VISIBILITY_MS.max(kind.shows.ms), FALLBACK_READS.max(kind.shows.reads)),
            Err(_) => (FALLBACK_VISIBILITY_MS, FALLBACK_READS),
        };
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some(one), None) => self.adopt(index, one.object),
            (Some(one), Some(two)) => {
                let text = format!("{} and {} both carry the mark of one operation", one.object.id, two.object.id);
                self.give_up(index, CallError::new(ErrorClass::Conflict, "made-twice", text).help("delete one of them by hand"));
            }
            (None, _) => {
                let Some(case) = self.cases.get_mut(index) else { return };
                case.empty_reads += 1;
                let passed_ms = now_ms.saturating_sub(case.since_ms.unwrap_or(now_ms));
                if case.empty_reads >= reads && passed_ms >= visibility_ms {
                    return self.close(index, vec![], OpResult::Cleared, false, "no object with its mark was found");
                }
                let left = u64::from(reads.saturating_sub(case.empty_reads).max(1));
                let wait_ms = visibility_ms.saturating_sub(passed_ms).div_ceil(left).max(1);
                self.later(now_ms.saturating_add(wait_ms), index);
            }
        }
    }

    fn found_by_name(&mut self, index: usize, found: Vec<Found>) {
        let Some(case) = self.cases.get(index) else { return };
        let Some(one) = found.into_iter().next() else {
            return self.close(index, vec![], OpResult::Cleared, false, "no object of its name was found");
        };
        if one.tags.get(OP_TAG) == Some(&case.intent.op_id) || self.is_of_an_earlier_create(index, &one) {
            return self.adopt(index, one.object);
        }
        if one.tags.get(LINEAGE_TAG) == Some(&self.input.state.lineage) {
            // Ours, but of another create: the state knows it, or another open intent will. This create had no effect.
            return self.close(index, vec![], OpResult::Cleared, false, "the name belonged to another object of this project");
        }
        let error = CallError::new(ErrorClass::Conflict, "name-taken", format!("the name is taken by another: {}", one.object.id));
        self.close(index, vec![], OpResult::Failed { error }, false, "its name is taken by an object that is not of this project");
    }

    /// Whether an object was made by a create for this address that was taken for one without effect, because nothing was to be seen of it yet.
    /// What is known at the address is no such thing.
    fn is_of_an_earlier_create(&self, index: usize, found: &Found) -> bool {
        let Some(intent) = self.cases.get(index).map(|case| &case.intent) else { return false };
        let ours = found.tags.get(LINEAGE_TAG) == Some(&self.input.state.lineage)
            && found.tags.get(ADDRESS_TAG).is_some_and(|address| *address == intent.address.to_string());
        let entry = self.input.state.resources.get(&intent.address);
        let known = entry.is_some_and(|entry| entry.current.is_some() || !entry.deposed.is_empty());
        ours && !known
    }

    fn read(&mut self, index: usize, object: Option<ObjectAnswer>) {
        let Some(intent) = self.cases.get(index).map(|case| case.intent.clone()) else { return };
        match (&intent.operation, object) {
            (OpKind::Delete { .. }, None) => self.close(index, vec![], OpResult::Deleted, true, "it is deleted"),
            (OpKind::Delete { .. }, Some(_)) => self.close(index, vec![], OpResult::Cleared, false, "it was not deleted"),
            (OpKind::Update { .. }, None) => {
                let gone = Record::Observed { address: intent.address.clone(), attributes: None };
                self.close(index, vec![gone], OpResult::Cleared, false, "the object is gone");
            }
            (OpKind::Update { changed, attributes, .. }, Some(object)) => {
                let differs = |name: &String| {
                    let (is, wanted) = (object.attributes.get(name), attributes.get(name));
                    is.filter(|value| !value.is_null()) != wanted.filter(|value| !value.is_null())
                };
                if changed.iter().any(differs) {
                    let before = self.input.state.resources.get(&intent.address).and_then(|entry| entry.current.as_ref());
                    let found = before.map_or_else(|| object.clone(), |before| whole(object.clone(), &before.attributes));
                    let observed = Record::Observed { address: intent.address.clone(), attributes: Some(found.attributes) };
                    return self.close(index, vec![observed], OpResult::Cleared, false, "it was not updated");
                }
                self.adopt(index, object);
            }
            _ => self.give_up(index, permanent("case", "an operation of this kind is not settled by a read")),
        }
    }

    fn node_answered(&mut self, now_ms: u64, index: usize, answer: StepAnswer) {
        let Some(intent) = self.cases.get(index).map(|case| case.intent.clone()) else { return };
        let OpKind::Run { instance, identity, inputs, undo, .. } = &intent.operation else {
            return self.give_up(index, permanent("case", "an operation of this kind is not settled by a node"));
        };
        match answer {
            StepAnswer::Ended { outcome: StepOutcome::Done | StepOutcome::Skipped, rendered, attributes } => {
                let mut object = step_object(instance, *identity, rendered, inputs, &attributes);
                object.op_id.clone_from(&intent.op_id);
                object.undo.clone_from(undo);
                self.close(index, vec![], OpResult::Object { object }, true, "the node says that it is done");
            }
            StepAnswer::Ended { outcome: StepOutcome::Needed, .. } => {
                self.close(index, vec![], OpResult::Cleared, false, "the node says that it is not done");
            }
            StepAnswer::Ended { outcome: StepOutcome::Failed { reason, .. }, .. } => {
                let error = permanent("step-failed", reason);
                self.close(index, vec![], OpResult::StepFailed { error }, false, "it failed on the node");
            }
            StepAnswer::Failed(error) if error.class == ErrorClass::Gone => {
                self.close(index, vec![], OpResult::Cleared, false, "its node is gone");
            }
            StepAnswer::Failed(error) if is_passing(&error) => self.again(now_ms, index, error),
            StepAnswer::Failed(error) => self.give_up(index, error),
        }
    }

    /// The effect is there: the object goes into the state.
    fn adopt(&mut self, index: usize, answer: ObjectAnswer) {
        let Some(intent) = self.cases.get(index).map(|case| case.intent.clone()) else { return };
        let schema = match self.kind_of(index) {
            Ok(schema) => schema,
            Err(error) => return self.give_up(index, error),
        };
        let (object, text) = match &intent.operation {
            OpKind::Create { attributes, secrets, .. } => {
                let mut object = resource_object(schema, whole(answer, attributes), attributes, &intent.op_id);
                object.public_keys = secrets.iter().map(|(name, secret)| (name.clone(), secret.public.clone())).collect();
                let text = format!("{} was made", object.id);
                (object, text)
            }
            OpKind::Update { attributes, .. } => {
                let before = self.input.state.resources.get(&intent.address).and_then(|entry| entry.current.as_ref());
                let op_id = before.map_or_else(String::new, |object| object.op_id.clone());
                let mut object = resource_object(schema, whole(answer, attributes), attributes, &op_id);
                if let Some(before) = before {
                    object.public_keys.clone_from(&before.public_keys);
                    object.took_ms = before.took_ms;
                }
                let text = format!("{} was updated", object.id);
                (object, text)
            }
            _ => return self.give_up(index, permanent("case", "an operation of this kind adopts nothing")),
        };
        self.close(index, vec![], OpResult::Object { object }, true, &text);
    }

    fn close(&mut self, index: usize, before: Vec<Record>, result: OpResult, adopted: bool, what: &str) {
        let Some(case) = self.cases.get_mut(index).filter(|case| !case.done) else { return };
        case.done = true;
        let text = format!("{}: an interrupted run left it open; {what}", case.intent.address);
        self.report.settled.push(Settled { op_id: case.intent.op_id.clone(), address: case.intent.address.clone(), adopted, text });
        let outcome = Record::Outcome { op_id: case.intent.op_id.clone(), result };
        let records: Vec<Record> = before.into_iter().chain([outcome]).collect();
        self.report.records.extend(records.iter().cloned());
        if self.input.mode == SettleMode::Apply {
            if !self.report.started {
                self.report.started = true;
                self.outbox.push([self.input.started.clone()], None);
            }
            self.outbox.push(records, None);
        }
    }

    fn give_up(&mut self, index: usize, error: CallError) {
        if let Some(case) = self.cases.get_mut(index).filter(|case| !case.done) {
            case.done = true;
            self.report.unsettled.push((case.intent.clone(), error));
        }
    }
}

/// What a look at an object leaves out is as it is known: the controller of a head does not repeat what it was told.
fn whole(answer: ObjectAnswer, known: &Value) -> ObjectAnswer {
    let (Some(found), Some(known)) = (answer.attributes.entries(), known.entries()) else { return answer };
    let mut all = known.clone();
    all.extend(found.clone());
    ObjectAnswer { attributes: Value::object(all), ..answer }
}

/// Whether the same question later may get an answer. Reads and repeats have no effect that would have to be settled in turn; what took longer
/// than it may is not waited for again.
fn is_passing(error: &CallError) -> bool {
    let passes = matches!(error.class, ErrorClass::Throttled | ErrorClass::Transient | ErrorClass::Unknown);
    passes && error.code != TIMED_OUT
}

/// The question to the node of an interrupted step; `None` when the state knows the instance no more.
fn check_job(input: &SettlementInput, intent: &Intent, ticket: Ticket) -> Option<StepJob> {
    let OpKind::Run { instance, identity, action, .. } = &intent.operation else {
        return None;
    };
    let (node, entry, object) = instance_entry(&input.state, instance)?;
    Some(StepJob {
        ticket,
        provider: entry.provider.clone(),
        node: node.clone(),
        instance_id: instance.clone(),
        attributes: object.attributes.clone(),
        public_keys: object.public_keys.clone(),
        host_key: host_key(&input.state, instance),
        request: NodeRequest {
            version: NodeRequest::VERSION,
            // A question of its own: under the op id the node would take it for the run itself.
            run_id: format!("{}-settle-{}", input.run_id, ticket.0),
            address: intent.address.to_string(),
            identity: *identity,
            verb: NodeVerb::Check,
            action: action.clone(),
        },
        artifacts: Vec::new(),
        title: format!("ask whether {} is done", intent.address),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_look_leaves_out_is_as_it_is_known() {
        let object = |parts: &[(&'static str, &'static str)]| Value::object(parts.iter().map(|(name, text)| (*name, Value::from(*text))));
        let answer = |parts| ObjectAnswer { id: "i".to_owned(), attributes: object(parts) };
        let known = object(&[("digest", "a"), ("document", "d")]);
        assert_eq!(whole(answer(&[("digest", "b")]), &known).attributes, object(&[("digest", "b"), ("document", "d")]));
        assert_eq!(whole(answer(&[]), &Value::NULL), answer(&[]));
    }
}
