//! The engine itself: which operation is next, what an event means to which operation, and the end.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use cloudtik_model::{Address, ConditionKind, OutputState, State};
use cloudtik_planner::{Change, Operation, OperationKind};
use cloudtik_provider_api::{Answer, CallError, Idempotency};

use crate::durable::{Entry, Ledger};
use crate::engine::batch::{Alike, Gatherer};
use crate::engine::bucket::Bucket;
use crate::engine::conditions::by_address;
use crate::engine::objects::{entry_host_key, instance_entry, kind_schema};
use crate::engine::outbox::Outbox;
use crate::engine::work::Work;
use crate::engine::{
    AddressResult, AddressStatus, Command, Counts, EngineInput, Event, OperationWord, Progress, Step, StepAnswer, Summary, Ticket, TimerId,
    values,
};
use crate::{RECORD_VERSION, Record};

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// For so many others.
    Waits(usize),
    Ready,
    Runs,
    Done,
    Failed,
    Skipped,
}

/// Where an operation stands among those that can start.
type Place = (Reverse<u64>, usize);

/// An operation and what waits for it.
pub(crate) struct Op {
    pub(crate) operation: Operation,
    followers: Vec<usize>,
    status: Status,
    /// Touches nothing but the state.
    record_only: bool,
    /// Its place in the table of limits.
    slot: usize,
}

/// So many operations of one kind, or on one node, run, of so many that may.
struct Slot {
    running: usize,
    limit: usize,
}

/// What follows once records are durable.
pub(crate) enum Then {
    /// The intent is: the call may be made.
    Call(usize),
    /// The outcome is: people may be told.
    Tell(Box<Progress>),
    /// The last record is.
    End,
}

/// Whom the answer to a ticket concerns: an operation, or the settlement within it under its own ticket.
pub(crate) struct Route {
    pub(crate) op: usize,
    pub(crate) settlement: Option<Ticket>,
}

/// Whom a timer concerns.
pub(crate) enum Alarm {
    /// Those that wait for others to go with.
    Gathering,
    /// The next try is due, or the rate allows the call.
    Try(usize),
    /// The settlement within an operation.
    Settlement(usize, TimerId),
}

/// See the module `engine`.
pub struct Engine {
    pub(crate) input: EngineInput,
    pub(crate) ledger: Ledger,
    pub(crate) ops: Vec<Op>,
    pub(crate) works: BTreeMap<usize, Work>,
    pub(crate) host_keys: BTreeMap<String, String>,
    pub(crate) tickets: BTreeMap<u64, Route>,
    pub(crate) alarms: BTreeMap<u64, Alarm>,
    pub(crate) commands: Vec<Command>,
    pub(crate) interrupted: bool,
    /// What can start, the longest chain first; what only concerns the state is apart, because no limit holds for it.
    ready: BTreeSet<Place>,
    /// Those of them that may go with others.
    alike: Alike<Place>,
    ready_records: BTreeSet<usize>,
    running: usize,
    slots: Vec<Slot>,
    buckets: BTreeMap<(String, &'static str), Bucket>,
    /// When those go that are one call, by its id.
    pub(crate) turns: BTreeMap<String, u64>,
    outbox: Outbox<Then>,
    /// Creates that may go together, and begin in this moment.
    pub(crate) gatherer: Gatherer<usize>,
    unsettled: BTreeMap<Address, CallError>,
    /// Where the conditions of the plan are that are of one object or block.
    pub(crate) conditions: BTreeMap<Address, Vec<usize>>,
    /// Conditions of the plan that were judged, by their place in it.
    pub(crate) judged: BTreeSet<usize>,
    summary: Summary,
    next_number: u64,
    next_op: u64,
    sequence: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    Works,
    /// The last records are on their way.
    Ends,
    Finished,
}

impl Step for Engine {
    fn step(&mut self, now_ms: u64, event: Event) -> Vec<Command> {
        if self.stage != Stage::Finished {
            self.take(now_ms, event);
            self.advance(now_ms);
        }
        std::mem::take(&mut self.commands)
    }
}

impl Engine {
    /// An engine that has not begun.
    #[must_use]
    pub fn new(mut input: EngineInput) -> Self {
        let operations = std::mem::take(&mut input.execution.operations);
        let mut ops: Vec<Op> = Vec::with_capacity(operations.len());
        let mut followers: Vec<Vec<usize>> = vec![Vec::new(); operations.len()];
        for (id, operation) in operations.iter().enumerate() {
            for before in &operation.after {
                if let Some(list) = followers.get_mut(*before) {
                    list.push(id);
                }
            }
        }
        for (operation, followers) in operations.into_iter().zip(followers) {
            ops.push(Op { status: Status::Waits(operation.after.len()), followers, operation, record_only: false, slot: 0 });
        }
        let ledger = std::mem::take(&mut input.ledger);
        let state = &ledger.state;
        let slots = limit(&mut ops, &input, state);
        let host_keys = state.resources.values().filter_map(|entry| {
            let instance = entry.current.as_ref()?.id.clone();
            Some((instance.clone(), entry_host_key(entry, &instance)?))
        });
        let host_keys = host_keys.collect();
        Self {
            host_keys,
            unsettled: input.unsettled.drain(..).map(|(intent, error)| (intent.address, error)).collect(),
            sequence: ledger.sequence(),
            ledger,
            ops,
            works: BTreeMap::new(),
            tickets: BTreeMap::new(),
            alarms: BTreeMap::new(),
            commands: Vec::new(),
            interrupted: false,
            ready: BTreeSet::new(),
            alike: Alike::default(),
            ready_records: BTreeSet::new(),
            running: 0,
            slots,
            buckets: BTreeMap::new(),
            turns: BTreeMap::new(),
            outbox: Outbox::new(),
            gatherer: Gatherer::default(),
            conditions: by_address(&input.plan.conditions),
            judged: BTreeSet::new(),
            summary: Summary::default(),
            next_number: 1,
            next_op: 1,
            stage: Stage::New,
            input,
        }
    }

    /// The state as it is, all outcomes so far folded in.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.ledger.state
    }

    fn take(&mut self, now_ms: u64, event: Event) {
        match event {
            Event::Start => self.start(),
            Event::Appended { batch } => {
                for then in self.outbox.appended(batch) {
                    match then {
                        Then::Call(op) => self.call(now_ms, op),
                        Then::Tell(progress) => self.commands.push(Command::Progress(*progress)),
                        Then::End => self.finish(),
                    }
                }
            }
            Event::AppendFailed { error, .. } => {
                self.summary.aborted = Some(error);
                self.take_back();
                self.skip_all();
                self.finish();
            }
            Event::Answer { ticket, answer } => self.answer(now_ms, ticket, answer),
            Event::StepDone { ticket, answer } => self.step_done(now_ms, ticket, answer),
            Event::SecretsReady { ticket, secrets } => {
                if let Some(route) = self.tickets.remove(&ticket.0) {
                    self.all_secrets_ready(route.op, secrets);
                }
            }
            Event::Seated { ticket, seat } => {
                if let Some(route) = self.tickets.remove(&ticket.0) {
                    self.seated(route.op, seat);
                }
            }
            Event::TimerFired { timer } => match self.alarms.remove(&timer.0) {
                Some(Alarm::Try(op)) => self.make_call(op),
                Some(Alarm::Settlement(op, timer)) => self.settlement_event(now_ms, op, Event::TimerFired { timer }),
                Some(Alarm::Gathering) | None => {}
            },
            Event::Interrupt => self.interrupt(now_ms),
        }
    }

    fn answer(&mut self, now_ms: u64, ticket: Ticket, answer: Answer) {
        match self.tickets.remove(&ticket.0) {
            Some(Route { op, settlement: Some(ticket) }) => self.settlement_event(now_ms, op, Event::Answer { ticket, answer }),
            Some(Route { op, settlement: None }) => self.call_answered(now_ms, op, answer),
            None => {}
        }
    }

    fn step_done(&mut self, now_ms: u64, ticket: Ticket, answer: StepAnswer) {
        if let Some(route) = self.tickets.remove(&ticket.0) {
            self.step_answered(now_ms, route.op, answer);
        }
    }

    fn start(&mut self) {
        if self.stage != Stage::New {
            return;
        }
        self.stage = Stage::Works;
        if !self.ops.is_empty() {
            self.begin_run();
        }
        for id in 0..self.ops.len() {
            self.make_ready(id);
        }
    }

    /// The records that a run begins with.
    fn begin_run(&mut self) {
        if !self.input.started {
            self.input.started = true;
            let record = Record::Started {
                version: RECORD_VERSION,
                command: self.input.command.clone(),
                tool_version: self.input.tool_version.clone(),
            };
            self.write([record], None);
        }
        let plan = &self.input.plan;
        let facts: BTreeMap<_, _> =
            plan.facts.iter().filter(|(key, _)| plan.pinned.contains(*key)).map(|(key, fact)| (key.clone(), fact.clone())).collect();
        let providers: BTreeMap<_, _> = plan.providers.iter().map(|(name, config)| (name.clone(), config.attributes.clone())).collect();
        let state = &self.ledger.state;
        let known = facts.iter().all(|(key, fact)| state.facts.get(key) == Some(fact))
            && providers.iter().all(|(name, config)| state.providers.get(name) == Some(config));
        if !known {
            self.write([Record::Facts { facts, providers }], None);
        }
        // Heads that are taken over are known before their first step is done.
        for adopted in self.ledger.state.adopted() {
            self.host_keys.entry(adopted.head).or_insert(adopted.host_key);
        }
    }

    /// Writes records: into the ledger now, into the journal with the next append.
    pub(crate) fn write(&mut self, records: impl IntoIterator<Item = Record>, then: Option<Then>) {
        for record in records {
            self.sequence += 1;
            let entry = Entry { sequence: self.sequence, epoch: self.input.epoch, run: self.input.run_id.clone(), record: Some(record) };
            self.ledger.take(&entry);
            self.outbox.push(entry.record, None);
        }
        self.outbox.push([], then);
    }

    /// Starts what can be started, sends what gathered, ends when there is nothing left.
    fn advance(&mut self, now_ms: u64) {
        if self.stage == Stage::Works {
            self.schedule(now_ms);
        }
        if self.stage == Stage::Works && self.works.is_empty() {
            self.end_run();
        }
        if self.stage != Stage::Finished {
            self.commands.extend(self.outbox.flush());
        }
        if self.stage == Stage::Ends && self.outbox.is_empty() {
            self.finish();
        }
    }

    fn schedule(&mut self, now_ms: u64) {
        // What only concerns the state makes other things ready at once, so this goes on until nothing new can start.
        while let Some(id) = self.ready_records.pop_first().or_else(|| self.next_ready()) {
            self.set_status(id, Status::Runs);
            self.begin(now_ms, id);
        }
        self.join_others(now_ms);
        self.bring_together(now_ms);
    }

    /// What can start, and may go with what starts in this moment, goes with it: one more in a call is no more at once.
    fn join_others(&mut self, now_ms: u64) {
        if self.gatherer.is_empty() || self.interrupted {
            return;
        }
        let mut alike = std::mem::take(&mut self.alike);
        alike.sort(|(_, id)| self.wish_of(*id).map(|wish| wish.key));
        for next in alike.take(&self.gatherer.open_places(), |place| self.ready.contains(place)) {
            self.ready.remove(&next);
            self.set_status(next.1, Status::Runs);
            self.begin(now_ms, next.1);
        }
        self.alike = alike;
    }

    /// Takes the first operation that its limits let start.
    fn next_ready(&mut self) -> Option<usize> {
        if self.running >= self.input.limits.parallelism.max(1) {
            return None;
        }
        let free = |id: usize| {
            let slot = self.ops.get(id).and_then(|op| self.slots.get(op.slot));
            slot.is_none_or(|slot| slot.running < slot.limit)
        };
        let next = self.ready.iter().copied().find(|(_, id)| free(*id))?;
        self.ready.remove(&next);
        Some(next.1)
    }

    /// Counts an operation for its limits; until it leaves.
    pub(crate) fn enter(&mut self, id: usize, work: Work) {
        if work.counts {
            self.running += 1;
            if let Some(slot) = self.ops.get(id).and_then(|op| self.slots.get_mut(op.slot)) {
                slot.running += 1;
            }
        }
        self.works.insert(id, work);
    }

    pub(crate) fn is_record_only(&self, id: usize) -> bool {
        self.ops.get(id).is_some_and(|op| op.record_only)
    }

    pub(crate) fn operation(&self, id: usize) -> Option<&Operation> {
        self.ops.get(id).map(|op| &op.operation)
    }

    pub(crate) fn change(&self, address: &Address) -> Option<&Change> {
        self.input.plan.changes.get(address)
    }

    pub(crate) fn unsettled_error(&self, operation: &Operation) -> Option<CallError> {
        let harmless = matches!(
            operation.kind,
            OperationKind::Forget | OperationKind::Waypoint | OperationKind::Rewire | OperationKind::Observe | OperationKind::Record
        );
        self.unsettled.get(&operation.address).filter(|_| !harmless).cloned()
    }

    pub(crate) fn next_op_id(&mut self) -> String {
        let id = format!("{}-{}", self.input.run_id, self.next_op);
        self.next_op += 1;
        id
    }

    pub(crate) fn next_ticket(&mut self, op: usize, settlement: Option<Ticket>) -> Ticket {
        let ticket = Ticket(self.next_number);
        self.next_number += 1;
        self.tickets.insert(ticket.0, Route { op, settlement });
        ticket
    }

    pub(crate) fn alarm(&mut self, at_ms: u64, alarm: Alarm) {
        let timer = TimerId(self.next_number);
        self.next_number += 1;
        self.alarms.insert(timer.0, alarm);
        self.commands.push(Command::Timer { timer, at_ms });
    }

    /// The rate limit of a provider type and a verb.
    pub(crate) fn bucket(&mut self, provider_type: &str, verb: &'static str) -> &mut Bucket {
        let limits = &self.input.limits;
        let key = (provider_type.to_owned(), verb);
        let limit = limits.rates.get(&(key.0.clone(), verb.to_owned())).copied().unwrap_or(limits.rate);
        self.buckets.entry(key).or_insert_with(|| Bucket::new(limit))
    }

    fn set_status(&mut self, id: usize, status: Status) {
        if let Some(op) = self.ops.get_mut(id) {
            op.status = status;
        }
    }

    fn make_ready(&mut self, id: usize) {
        if let Some(op) = self.ops.get_mut(id).filter(|op| op.status == Status::Waits(0)) {
            op.status = Status::Ready;
            if op.record_only {
                self.ready_records.insert(id);
            } else {
                let place = (Reverse(op.operation.remaining_ms), id);
                self.ready.insert(place);
                self.alike.add(place);
            }
        }
    }

    /// An operation did what it was to do, and all of it is written. Whether that was well its object's postconditions say: only then it is
    /// told that it is done, once what was written is durable.
    pub(crate) fn over(&mut self, id: usize, tell: Option<Progress>) {
        match self.unmet(id, ConditionKind::Postcondition) {
            None => {
                self.write([], tell.map(|tell| Then::Tell(Box::new(tell))));
                self.done(id);
            }
            Some(error) => {
                self.summary.changed = true;
                self.failed(id, error);
            }
        }
    }

    pub(crate) fn summary_is_ok(&self) -> bool {
        self.summary.is_ok()
    }

    /// An operation ended well.
    pub(crate) fn done(&mut self, id: usize) {
        self.leave(id, Status::Done);
        if let Some(operation) = self.operation(id) {
            let word = word_of(operation);
            let waypoint = operation.kind == OperationKind::Waypoint;
            let result = AddressResult { status: AddressStatus::Done, word, error: None, because: None };
            if !waypoint {
                count(&mut self.summary.counts, word);
                self.summary.changed = true;
                let address = self.operation(id).map(|operation| operation.address.clone());
                self.report(address, result);
            }
        }
        let followers = self.ops.get(id).map(|op| op.followers.clone()).unwrap_or_default();
        for follower in followers {
            if let Some(op) = self.ops.get_mut(follower)
                && let Status::Waits(count) = op.status
            {
                op.status = Status::Waits(count.saturating_sub(1));
                if !self.interrupted {
                    self.make_ready(follower);
                }
            }
        }
    }

    /// An operation failed: what waits for it is skipped.
    pub(crate) fn failed(&mut self, id: usize, error: CallError) {
        self.leave(id, Status::Failed);
        let Some(operation) = self.operation(id) else { return };
        let (address, word) = (operation.address.clone(), word_of(operation));
        self.commands.push(Command::Progress(Progress::Failed { address: address.clone(), word, error: error.clone() }));
        self.summary.counts.failed += 1;
        self.report(Some(address.clone()), AddressResult { status: AddressStatus::Failed, word, error: Some(error), because: None });
        let mut waiting = self.ops.get(id).map(|op| op.followers.clone()).unwrap_or_default();
        while let Some(next) = waiting.pop() {
            if self.skip(next, Some(&address)) {
                waiting.extend(self.ops.get(next).map(|op| op.followers.clone()).unwrap_or_default());
            }
        }
    }

    fn leave(&mut self, id: usize, status: Status) {
        self.set_status(id, status);
        self.put_down(id);
    }

    /// What was done for an operation is over, and the operation may not be.
    pub(crate) fn put_down(&mut self, id: usize) {
        if self.works.remove(&id).is_some_and(|work| work.counts) {
            self.running = self.running.saturating_sub(1);
            if let Some(slot) = self.ops.get(id).and_then(|op| self.slots.get_mut(op.slot)) {
                slot.running = slot.running.saturating_sub(1);
            }
        }
    }

    /// Gives up an operation that has not begun. Whether it was one.
    fn skip(&mut self, id: usize, because: Option<&Address>) -> bool {
        let Some(op) = self.ops.get_mut(id).filter(|op| matches!(op.status, Status::Waits(_) | Status::Ready)) else {
            return false;
        };
        op.status = Status::Skipped;
        self.ready.remove(&(Reverse(op.operation.remaining_ms), id));
        self.ready_records.remove(&id);
        if op.operation.kind == OperationKind::Waypoint {
            return true;
        }
        let (address, word) = (op.operation.address.clone(), word_of(&op.operation));
        self.summary.counts.skipped += 1;
        if let Some(because) = because {
            let progress = Progress::Skipped { address: address.clone(), word, because: because.clone() };
            self.commands.push(Command::Progress(progress));
        }
        self.report(Some(address), AddressResult { status: AddressStatus::Skipped, word, error: None, because: because.cloned() });
        true
    }

    /// Takes back what is done by being written down alone, and was not. What a call did stays done: the next run finds it.
    fn take_back(&mut self) {
        let lost: BTreeSet<Address> = self
            .outbox
            .lost()
            .into_iter()
            .filter_map(|then| match then {
                Then::Tell(progress) => match *progress {
                    Progress::Done { address, .. } => Some(address),
                    _ => None,
                },
                Then::Call(_) | Then::End => None,
            })
            .collect();
        for op in self.ops.iter_mut().filter(|op| op.record_only && op.status == Status::Done && lost.contains(&op.operation.address)) {
            op.status = Status::Skipped;
            let word = word_of(&op.operation);
            let counter = counter(&mut self.summary.counts, word);
            *counter = counter.saturating_sub(1);
            self.summary.counts.skipped += 1;
            let result = AddressResult { status: AddressStatus::Skipped, word, error: None, because: None };
            self.summary.addresses.insert(op.operation.address.clone(), result);
        }
        let counts = Counts { failed: 0, skipped: 0, ..self.summary.counts };
        self.summary.changed = counts != Counts::default();
    }

    fn skip_all(&mut self) {
        for id in 0..self.ops.len() {
            self.skip(id, None);
        }
    }

    /// Takes back an operation that has begun but has written nothing.
    pub(crate) fn withdraw(&mut self, id: usize) {
        self.gatherer.retain(|who| *who != id);
        self.leave(id, Status::Ready);
        self.skip(id, None);
    }

    /// Keeps the worst of several results at one address.
    fn report(&mut self, address: Option<Address>, result: AddressResult) {
        let Some(address) = address else { return };
        match self.summary.addresses.get_mut(&address) {
            Some(known) if known.status >= result.status => {}
            Some(known) => *known = result,
            None => drop(self.summary.addresses.insert(address, result)),
        }
    }

    fn interrupt(&mut self, now_ms: u64) {
        if std::mem::replace(&mut self.interrupted, true) || self.stage != Stage::Works {
            return;
        }
        self.summary.interrupted = true;
        self.skip_all();
        let alarms = std::mem::take(&mut self.alarms);
        for (timer, alarm) in alarms {
            match alarm {
                Alarm::Try(op) => self.give_up_waiting(op),
                Alarm::Settlement(..) => drop(self.alarms.insert(timer, alarm)),
                Alarm::Gathering => {}
            }
        }
        let ids: Vec<usize> = self.works.keys().copied().collect();
        for id in ids {
            self.interrupt_work(now_ms, id);
        }
    }

    /// The records that a run ends with.
    fn end_run(&mut self) {
        self.stage = Stage::Ends;
        self.summary.unmet = self.judge_rest();
        let outputs = self.outputs();
        let changed = outputs != self.ledger.state.outputs;
        self.summary.outputs.clone_from(&outputs);
        if changed {
            self.begin_run();
            self.summary.changed = true;
            self.write([Record::Outputs { outputs }], None);
        }
        if self.input.started {
            let ok = self.summary.is_ok();
            self.write([Record::Ended { ok }], Some(Then::End));
        }
    }

    /// The results: of those that cannot be worked out, or that a condition forbids, what they were.
    fn outputs(&self) -> BTreeMap<String, OutputState> {
        let state = &self.ledger.state;
        let planned = self.input.plan.outputs.iter().filter_map(|(name, output)| {
            let forbidden = self.summary.unmet.iter().any(|unmet| unmet.condition.of == format!("output \"{name}\""));
            let value =
                values::filled(state, &self.input.moment, output.after.as_ref()?).ok().filter(|value| value.is_known() && !forbidden);
            let value = value.map(|value| OutputState { value: value.marked(output.sensitive), sensitive: output.sensitive });
            Some((name.clone(), value.or_else(|| state.outputs.get(name).cloned())?))
        });
        planned.collect()
    }

    fn finish(&mut self) {
        if self.stage != Stage::Finished {
            self.stage = Stage::Finished;
            self.commands.push(Command::Finish(Box::new(std::mem::take(&mut self.summary))));
        }
    }
}

/// Says of every operation whether it touches only the state, and which limit it counts for: its kind's, or its node's.
fn limit(ops: &mut [Op], input: &EngineInput, state: &State) -> Vec<Slot> {
    let mut slots = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for op in ops {
        let operation = &op.operation;
        let kind = kind_schema(&input.schemas, &operation.provider, &operation.object_kind).ok();
        op.record_only = match operation.kind {
            OperationKind::Record | OperationKind::Observe | OperationKind::Rewire | OperationKind::Forget | OperationKind::Waypoint => {
                true
            }
            OperationKind::Run | OperationKind::Undo { .. } => false,
            _ => kind.is_some_and(|kind| kind.class == Idempotency::Pure),
        };
        let (key, limit) = match kind {
            Some(kind) => (format!("{} {}", operation.provider, kind.name), usize::try_from(kind.concurrency_max).unwrap_or(usize::MAX)),
            None => (node_of(operation, input, state).to_string(), input.limits.steps_per_node),
        };
        op.slot = *known.entry(key).or_insert_with(|| {
            slots.push(Slot { running: 0, limit: limit.max(1) });
            slots.len() - 1
        });
    }
    slots
}

/// The instance that a step belongs to.
fn node_of<'a>(operation: &'a Operation, input: &'a EngineInput, state: &'a State) -> &'a Address {
    let desired = input.plan.changes.get(&operation.address).and_then(|change| change.desired.as_ref());
    match (&operation.kind, desired) {
        (OperationKind::Undo { instance, .. }, _) => instance_entry(state, instance).map_or(&operation.address, |(address, ..)| address),
        (_, Some(cloudtik_model::Node::Step(step))) => &step.node,
        _ => &operation.address,
    }
}

/// What an operation is called.
pub(crate) const fn word_of(operation: &Operation) -> OperationWord {
    match &operation.kind {
        OperationKind::Create | OperationKind::CreateReplacement { .. } => OperationWord::Create,
        OperationKind::Update => OperationWord::Update,
        OperationKind::Import => OperationWord::Import,
        OperationKind::Delete { deposed: Some(_), .. } => OperationWord::DeleteDeposed,
        OperationKind::Delete { deposed: None, .. } => OperationWord::Delete,
        OperationKind::Forget => OperationWord::Forget,
        OperationKind::Run => OperationWord::Run,
        OperationKind::Undo { .. } => OperationWord::Undo,
        OperationKind::Record | OperationKind::Observe | OperationKind::Rewire | OperationKind::Waypoint => OperationWord::Record,
    }
}

const fn count(counts: &mut Counts, word: OperationWord) {
    *counter(counts, word) += 1;
}

const fn counter(counts: &mut Counts, word: OperationWord) -> &mut usize {
    match word {
        OperationWord::Create => &mut counts.created,
        OperationWord::Update => &mut counts.updated,
        OperationWord::Import => &mut counts.imported,
        OperationWord::Delete | OperationWord::DeleteDeposed => &mut counts.deleted,
        OperationWord::Run => &mut counts.run,
        OperationWord::Undo => &mut counts.undone,
        OperationWord::Forget => &mut counts.forgotten,
        OperationWord::Record => &mut counts.recorded,
    }
}
