//! The controller as a state machine: one store, one journal, and for each unit at most one engine or settlement under way.
//!
//! Commands of the units' machines go out under numbers of this one, and what comes back finds its way by them. Records of all units go into one
//! journal, gathered into groups. Nothing here waits or reads a clock: a simulator drives the same machine.

mod adopt;
mod company;
mod facts;
mod group_kind;
mod hooks;
mod late;
mod plans;
mod rename;
mod report;
mod turn;
mod unit;
mod watch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use cloudtik_executor::durable::{Entry, Ledger};
use cloudtik_executor::engine::{Command, Event, Step, StepRenderer, Summary, Ticket, TimerId, started};
use cloudtik_executor::{OpKind, OpResult, Record};
use cloudtik_model::{Address, ControllerEvent, EventLevel, HeadConfig, Key, PushConfig, Segment, Value};
use cloudtik_provider_api::{Answer, Call, Found, ProviderSchema, Verb};

use crate::decide::{GroupView, Life, WorkerView, decide};
use crate::limits;
use company::{Company, QueuedSteps};
use hooks::Hook;
use late::Outline;
use unit::{Unit, UnitId};
use watch::Watched;

/// How often the machine looks around, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Between two looks at what is due.
    pub tick_ms: u64,
    /// Between two questions whether the workers are there.
    pub poll_ms: u64,
    /// Between two searches for workers that nobody knows.
    pub find_ms: u64,
}

impl Default for Times {
    fn default() -> Self {
        Self { tick_ms: limits::TICK_MS, poll_ms: limits::POLL_MS, find_ms: limits::FIND_MS }
    }
}

/// What the controller knows of the head that it runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadIdentity {
    /// The provider's id of the instance.
    pub instance: String,
}

/// A configuration that was pushed.
#[derive(Clone, PartialEq)]
pub struct Pushed {
    /// How many there have been.
    pub generation: u64,
    /// As it came.
    pub push: PushConfig,
    /// The configuration.
    pub config: Arc<HeadConfig>,
    /// What it refers to, by address.
    pub references: BTreeMap<Address, Value>,
    /// All secrets that it names: those that came with it, and those that were generated.
    pub secrets: BTreeMap<Arc<str>, String>,
    /// The public key that the head logs in to workers with.
    pub login_key: String,
}

/// Without the secrets.
impl std::fmt::Debug for Pushed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pushed").field("generation", &self.generation).field("push", &self.push).finish_non_exhaustive()
    }
}

/// What a controller is made from.
pub struct ControllerInput {
    /// The ledger of the session, begun.
    pub ledger: Ledger,
    /// The run that was begun.
    pub run_id: String,
    /// Its epoch.
    pub epoch: u64,
    /// By provider type: those that make nodes.
    pub schemas: BTreeMap<String, ProviderSchema>,
    /// Makes concrete actions of steps.
    pub renderer: Arc<dyn StepRenderer>,
    /// How often it looks around.
    pub times: Times,
    /// The head that it runs on.
    pub head: HeadIdentity,
    /// Our version.
    pub tool_version: String,
    /// Seconds since 1970 at the beginning of this run's clock.
    pub began_secs: u64,
    /// Events of earlier runs.
    pub events: VecDeque<ControllerEvent>,
    /// The configuration that was pushed last.
    pub pushed: Option<Pushed>,
}

/// What the controller remembers of a group while it runs.
#[derive(Clone, Debug, Default)]
struct Memo {
    /// Whose turn it is.
    turn: Option<UnitId>,
    /// Workers in a row that were given up.
    given_up: u32,
    /// No worker is launched before.
    pause_until_ms: u64,
    problem: Option<String>,
}

/// Where an answer belongs.
enum Route {
    /// To a unit's machine, under its own ticket.
    Unit(Owner, Ticket),
    /// The instances that are known.
    List(BTreeSet<String>),
    /// All instances of the cluster.
    Find,
    /// Nobody waits for it.
    Nobody,
    /// The secrets of a call that launches several workers.
    Seats(String),
    /// Whether something was published: of a worker, or of the head.
    Published(UnitId),
    /// To a hook, which knows the number of its command.
    Hook,
}

/// Whose timer it is.
enum Alarm {
    Tick,
    /// Workers wait for others that are launched with them.
    Gathering,
    Unit(Owner, TimerId),
}

/// A machine of a unit: what is meant for one must not reach its successor, whose numbers begin anew.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    id: UnitId,
    /// The unit's machine, by how many there were before.
    machine: u64,
}

/// See the module.
pub struct Controller {
    ledger: Ledger,
    run_id: String,
    epoch: u64,
    schemas: Arc<BTreeMap<String, ProviderSchema>>,
    renderer: Arc<dyn StepRenderer>,
    times: Times,
    identity: HeadIdentity,
    tool_version: String,
    began_secs: u64,
    pushed: Option<Arc<Pushed>>,
    /// Of the configuration: by group, and of the head.
    outlines: BTreeMap<Option<Arc<str>>, Outline>,
    /// The head as the provider sees it.
    head: Option<Found>,
    units: BTreeMap<UnitId, Unit>,
    groups: BTreeMap<Arc<str>, Memo>,
    hooks: Vec<Hook>,
    made_members: BTreeMap<String, Value>,
    /// Instances that were deleted, and when: a search that is late may still find them.
    deleted: BTreeMap<String, u64>,
    /// Instances of each group that nobody knows and that are being removed: they take up room until they are gone.
    strangers: BTreeMap<Arc<str>, u64>,
    events: VecDeque<ControllerEvent>,
    last_event: u64,
    /// Whether all instances of the cluster have been looked for, so that new ones may be made.
    looked: bool,
    empty_finds: u32,
    first_find_ms: Option<u64>,
    find_due_ms: u64,
    list_due_ms: u64,
    asking: bool,
    asked_at_ms: u64,
    /// The instances that are asked for, by id.
    watched: BTreeMap<String, Watched>,
    published: Option<BTreeMap<String, String>>,
    /// Units whose values are on their way to the provider.
    publishing: BTreeSet<UnitId>,
    publish_due_ms: u64,
    problem: Option<String>,
    stopping: bool,
    finished: bool,
    aborted: Option<String>,
    dirty: bool,
    now_ms: u64,
    /// The newest record, the newest one that is durable, and the newest one on its way.
    sequence: u64,
    durable: u64,
    flying: u64,
    unfolded: u64,
    last_record_ms: u64,
    next_number: u64,
    next_run: u64,
    next_hook: u64,
    failed_hooks: u64,
    routes: BTreeMap<u64, Route>,
    alarms: BTreeMap<u64, Alarm>,
    /// Calls that wait because as many of their kind are out as may be.
    queued: VecDeque<(Owner, Ticket, Call)>,
    out: BTreeMap<Arc<str>, u32>,
    out_of: BTreeMap<u64, Arc<str>>,
    inbox: VecDeque<(UnitId, Event)>,
    /// Workers that are launched together.
    company: Company,
    /// Units with steps under way, and steps of others that wait for that.
    at_work: BTreeSet<UnitId>,
    queued_steps: QueuedSteps,
    /// Records on their way, and the machines that wait for them.
    pending: Vec<Record>,
    pending_batches: Vec<(Owner, u64)>,
    in_flight: Option<Vec<(Owner, u64)>>,
    next_batch: u64,
    commands: Vec<Command>,
}

impl Step for Controller {
    fn step(&mut self, now_ms: u64, event: Event) -> Vec<Command> {
        self.now_ms = now_ms;
        if self.finished {
            return Vec::new();
        }
        self.take(now_ms, event);
        self.settle_down(now_ms);
        std::mem::take(&mut self.commands)
    }
}

impl Controller {
    /// A controller that has not begun.
    #[must_use]
    pub fn new(input: ControllerInput) -> Self {
        let mut schemas = input.schemas;
        schemas.insert(group_kind::GROUP_PROVIDER.to_owned(), group_kind::group_schema());
        let mut controller = Self {
            sequence: input.ledger.sequence(),
            durable: input.ledger.sequence(),
            flying: input.ledger.sequence(),
            ledger: input.ledger,
            run_id: input.run_id,
            epoch: input.epoch,
            schemas: Arc::new(schemas),
            renderer: input.renderer,
            times: input.times,
            identity: input.head,
            tool_version: input.tool_version,
            began_secs: input.began_secs,
            outlines: input.pushed.as_ref().map(|pushed| Outline::all(&pushed.config)).unwrap_or_default(),
            pushed: input.pushed.map(Arc::new),
            head: None,
            units: BTreeMap::new(),
            groups: BTreeMap::new(),
            hooks: Vec::new(),
            made_members: BTreeMap::new(),
            deleted: BTreeMap::new(),
            strangers: BTreeMap::new(),
            last_event: input.events.back().map_or(0, |event| event.sequence),
            events: input.events,
            looked: false,
            empty_finds: 0,
            first_find_ms: None,
            find_due_ms: 0,
            list_due_ms: 0,
            asking: false,
            asked_at_ms: 0,
            watched: BTreeMap::new(),
            published: None,
            publishing: BTreeSet::new(),
            publish_due_ms: 0,
            problem: None,
            stopping: false,
            finished: false,
            aborted: None,
            dirty: true,
            now_ms: 0,
            unfolded: 0,
            last_record_ms: 0,
            next_number: 1,
            next_run: 0,
            next_hook: 0,
            failed_hooks: 0,
            routes: BTreeMap::new(),
            alarms: BTreeMap::new(),
            queued: VecDeque::new(),
            out: BTreeMap::new(),
            out_of: BTreeMap::new(),
            inbox: VecDeque::new(),
            company: Company::default(),
            at_work: BTreeSet::new(),
            queued_steps: VecDeque::new(),
            pending: Vec::new(),
            pending_batches: Vec::new(),
            in_flight: None,
            next_batch: 1,
            commands: Vec::new(),
        };
        controller.find_units();
        controller
    }

    /// Takes another configuration; it is durable already.
    pub fn configure(&mut self, pushed: Pushed) {
        self.event(EventLevel::Info, None, format!("configuration {} ({})", pushed.generation, pushed.push.digest.short()));
        self.outlines = Outline::all(&pushed.config);
        self.pushed = Some(Arc::new(pushed));
        for memo in self.groups.values_mut() {
            *memo = Memo { turn: memo.turn.take(), ..Memo::default() };
        }
        for unit in self.units.values_mut() {
            unit.outdated = false;
        }
        self.find_units();
        self.at_once();
    }

    /// Removes the workers of a group, whatever the configuration says. Nothing is done for a group that nobody knows.
    pub fn remove_group(&mut self, group: &str) {
        let known = self.config().is_some_and(|config| config.groups.contains_key(group));
        if known {
            let generation = self.pushed.as_ref().map_or(0, |pushed| pushed.generation);
            self.remember([(facts::removed_key(group), Value::from(generation))]);
        }
        self.at_once();
    }

    /// Keeps a group that was asked to go.
    pub fn keep_group(&mut self, group: &str) {
        self.withdraw(facts::removed_key(group));
        self.at_once();
    }

    /// Removes all workers and makes no new ones, until somebody wants the cluster again: [`Self::stay`].
    pub fn drain(&mut self) {
        self.remember([(facts::DRAINING.to_owned(), Value::from(true))]);
        self.at_once();
    }

    /// The cluster does not go after all.
    pub fn stay(&mut self) {
        self.withdraw(facts::DRAINING.to_owned());
        self.at_once();
    }

    /// The number of the newest record, and of the newest one that is durable: what was asked for is sure once the second has reached what the
    /// first was.
    #[must_use]
    pub const fn positions(&self) -> (u64, u64) {
        (self.sequence, self.durable)
    }

    fn withdraw(&mut self, key: String) {
        if self.ledger.state.facts.contains_key(&key) {
            self.remember([(key, Value::NULL)]);
        }
    }

    /// What waits after a failure is tried now: what is wanted is another thing.
    fn at_once(&mut self) {
        for unit in self.units.values_mut() {
            unit.failures = 0;
            unit.repeats = 0;
            unit.retry_at_ms = 0;
            unit.checked = None;
        }
        self.dirty = true;
    }

    /// The state as it is, with every record of this run in it.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The configuration that it follows.
    #[must_use]
    pub fn pushed(&self) -> Option<&Arc<Pushed>> {
        self.pushed.as_ref()
    }

    /// All events that are kept, oldest first.
    #[must_use]
    pub const fn events(&self) -> &VecDeque<ControllerEvent> {
        &self.events
    }

    /// Whether it is at its end, and does nothing any more.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.finished || self.stopping
    }

    /// Why it ended, when its journal could not be written.
    #[must_use]
    pub fn aborted(&self) -> Option<&str> {
        self.aborted.as_deref()
    }

    fn config(&self) -> Option<Arc<HeadConfig>> {
        self.pushed.as_ref().map(|pushed| Arc::clone(&pushed.config))
    }

    /// A unit for everything that the state has, and for the head.
    fn find_units(&mut self) {
        let Some(config) = self.config() else { return };
        let head = config.cluster.child("head");
        self.units.entry(UnitId::Head).or_insert_with(|| Unit::new(head));
        let workers = config.cluster.child("workers");
        let state = &self.ledger.state;
        let addresses = state.resources.keys().chain(self.ledger.open.values().map(|open| &open.intent.address));
        let ids: BTreeSet<UnitId> = addresses.filter(|address| address.is_within(&workers)).filter_map(unit_of).collect();
        for id in ids {
            let address = worker_of(&config.cluster, &id);
            let had_instance = self.ledger.state.resources.keys().any(|entry| entry.is_within(&address));
            let was_ready = facts::is_set(&self.ledger.state, &facts::served_key(&address));
            self.units.entry(id).or_insert_with(|| Unit { had_instance, was_ready, unseen: was_ready, ..Unit::new(address) });
        }
    }

    fn take(&mut self, now_ms: u64, event: Event) {
        match event {
            Event::Start => {
                self.write(vec![started("controller", &self.tool_version)], None);
                self.arm_tick(now_ms);
            }
            Event::Appended { .. } => {
                self.durable = self.flying;
                for (owner, batch) in self.in_flight.take().unwrap_or_default() {
                    self.hand(owner, Event::Appended { batch });
                }
            }
            Event::AppendFailed { error, .. } => self.abort(&error),
            Event::Answer { ticket, answer } => self.answered(now_ms, ticket, answer),
            Event::StepDone { ticket, answer } => match self.routes.remove(&ticket.0) {
                Some(Route::Unit(owner, inner)) => self.hand(owner, Event::StepDone { ticket: inner, answer }),
                Some(Route::Hook) => self.hook_done(ticket, answer),
                _ => {}
            },
            Event::SecretsReady { ticket, secrets } => match self.routes.remove(&ticket.0) {
                Some(Route::Unit(owner, inner)) => self.hand(owner, Event::SecretsReady { ticket: inner, secrets }),
                Some(Route::Seats(id)) => self.seat(&id, &secrets),
                _ => {}
            },
            // It is this machine that brings its units together.
            Event::Seated { .. } => {}
            Event::TimerFired { timer } => match self.alarms.remove(&timer.0) {
                Some(Alarm::Tick) => {
                    self.tick(now_ms);
                    self.arm_tick(now_ms);
                }
                Some(Alarm::Unit(owner, inner)) => self.hand(owner, Event::TimerFired { timer: inner }),
                Some(Alarm::Gathering) | None => {}
            },
            // What is under way is in the journal, or on its way there: whoever starts next takes it up.
            Event::Interrupt => self.stopping = true,
        }
    }

    /// Works off what came of an event, decides again where something changed, and sends what gathered.
    fn settle_down(&mut self, now_ms: u64) {
        loop {
            if self.stopping {
                self.inbox.clear();
            }
            while let Some((id, event)) = self.inbox.pop_front() {
                self.feed(now_ms, &id, event);
            }
            if std::mem::take(&mut self.dirty) {
                self.reconcile(now_ms);
            }
            if self.stopping {
                self.drop_hooks();
            } else if self.inbox.is_empty() && !self.dirty {
                self.bring_together(now_ms);
            }
            if !self.inbox.is_empty() || self.dirty {
                continue;
            }
            let written = self.pending.is_empty() && self.pending_batches.is_empty() && self.in_flight.is_none();
            if self.aborted.is_some() || self.stopping && written {
                self.finished = true;
                self.commands.push(Command::Finish(Box::new(Summary { aborted: self.aborted.clone(), ..Summary::default() })));
                return;
            }
            self.flush();
            if self.inbox.is_empty() {
                return;
            }
        }
    }

    /// What there should be, and what is to be done for it.
    fn reconcile(&mut self, now_ms: u64) {
        if self.stopping || self.pushed.is_none() || !self.looked {
            return;
        }
        if self.rename_groups() {
            // What is under way may need others, and nothing new begins.
            self.take_turns();
            self.send_hooks();
            return;
        }
        self.begin_anew();
        self.decide_all(now_ms);
        self.take_turns();
        self.freeze();
        let ids: Vec<UnitId> = self.units.keys().cloned().collect();
        for id in &ids {
            self.advance_unit(now_ms, id);
        }
        self.send_hooks();
    }

    fn decide_all(&mut self, now_ms: u64) {
        let Some(config) = self.config() else { return };
        self.find_gone();
        let labels: BTreeSet<Arc<str>> =
            config.groups.keys().cloned().chain(self.units.keys().filter_map(|id| id.group().cloned())).collect();
        for label in labels {
            let view = self.view(&config, &label, now_ms);
            let decision = decide(&view);
            for (sequence, reason) in decision.retire {
                self.retire(&UnitId::Worker { group: Arc::clone(&label), sequence }, reason);
            }
            if let Some(last) = decision.launch.last() {
                self.remember([(facts::next_key(&label), Value::from(last.saturating_add(1)))]);
            }
            for sequence in decision.launch {
                let id = UnitId::Worker { group: Arc::clone(&label), sequence };
                let address = worker_of(&config.cluster, &id);
                let text = address.to_string();
                self.units.insert(id, Unit::new(address));
                self.event(EventLevel::Info, Some(&text), "launching".to_owned());
            }
        }
    }

    /// A worker whose instance the state has no more is not made again under its number: what is left of it goes, and another one comes.
    fn find_gone(&mut self) {
        let ids: Vec<UnitId> = self.units.keys().filter(|id| id.group().is_some()).cloned().collect();
        for id in ids {
            let there = self.instance_of(&id).is_some();
            let lost = !there && !self.has_open_intents(&id);
            let Some(unit) = self.units.get_mut(&id) else { continue };
            unit.had_instance |= there;
            if lost && unit.had_instance && unit.is_idle() && !unit.gone {
                unit.gone = true;
                unit.ready = false;
                unit.checked = None;
            }
        }
    }

    fn view(&self, config: &HeadConfig, label: &Arc<str>, now_ms: u64) -> GroupView {
        let memo = self.groups.get(label);
        let ids = || self.units.iter().filter(|(id, _)| id.group() == Some(label));
        let highest = ids().map(|(id, _)| id.sequence()).max().unwrap_or(0);
        let next = facts::number(&self.ledger.state, &facts::next_key(label)).unwrap_or(1).max(highest.saturating_add(1));
        let workers = ids().map(|(id, unit)| {
            let life = match unit {
                unit if unit.leaving.is_some() => Life::Leaving,
                unit if unit.gone => Life::Gone,
                unit if unit.given_up => Life::GivenUp,
                unit if unit.ready => Life::Ready,
                _ => Life::Coming,
            };
            let open = || self.ledger.open.values().any(|open| open.intent.address == unit.address);
            let instance = !unit.gone && (self.ledger.state.resources.contains_key(&unit.address) || open());
            (id.sequence(), WorkerView { life, outdated: unit.outdated, instance })
        });
        GroupView {
            target: self.target_of(label),
            max: config.groups.get(label).map_or(0, |group| group.max),
            workers: workers.collect(),
            others: self.strangers.get(label).copied().unwrap_or(0),
            next,
            may_launch: memo.is_none_or(|memo| memo.pause_until_ms <= now_ms),
        }
    }

    /// How many workers a group should have.
    fn target_of(&self, label: &str) -> u64 {
        let Some(pushed) = &self.pushed else { return 0 };
        let state = &self.ledger.state;
        let removed = facts::number(state, &facts::removed_key(label)) == Some(pushed.generation);
        if removed || facts::is_set(state, facts::DRAINING) {
            return 0;
        }
        pushed.config.groups.get(label).map_or(0, |group| group.min.min(group.max))
    }

    fn retire(&mut self, id: &UnitId, reason: crate::decide::Reason) {
        let Some(unit) = self.units.get_mut(id).filter(|unit| unit.leaving.is_none()) else { return };
        unit.leaving = Some(reason);
        unit.ready = false;
        unit.checked = None;
        unit.failures = 0;
        unit.retry_at_ms = 0;
        let (address, gone) = (unit.address.clone(), unit.gone);
        let works = !unit.is_idle();
        self.event(EventLevel::Info, Some(&address.to_string()), format!("removing: {}", reason.as_str()));
        if works {
            self.interrupt_unit(id);
        }
        if gone && let Some((config, object)) = self.config().zip(self.instance_of(id).map(|object| object.id.clone())) {
            // What is left of it at the provider is nobody's any more.
            let verb = Verb::Delete { id: object, data: false };
            self.ask(&config, Route::Nobody, address, verb);
        }
    }

    fn memo(&mut self, group: &str) -> &mut Memo {
        self.groups.entry(group.into()).or_default()
    }

    /// Hands an event to the machine that waits for it, unless that is at its end.
    fn hand(&mut self, owner: Owner, event: Event) {
        if self.is_current(&owner) {
            self.inbox.push_back((owner.id, event));
        }
    }

    fn is_current(&self, owner: &Owner) -> bool {
        self.units.get(&owner.id).is_some_and(|unit| unit.machine == owner.machine && !unit.is_idle())
    }

    fn owner(&self, id: &UnitId) -> Owner {
        Owner { id: id.clone(), machine: self.units.get(id).map_or(0, |unit| unit.machine) }
    }

    /// Hands an event to a unit's machine and carries its commands on.
    fn feed(&mut self, now_ms: u64, id: &UnitId, event: Event) {
        let Some(unit) = self.units.get_mut(id) else { return };
        let commands = unit.step(now_ms, event);
        for command in commands {
            self.pass_on(now_ms, id, command);
        }
    }

    fn pass_on(&mut self, now_ms: u64, id: &UnitId, command: Command) {
        let owner = self.owner(id);
        match command {
            Command::Append { batch, records } => {
                // The end of a unit's run is not the end of the controller's: a ledger forgets what only means something to a run that goes on.
                let records = records.into_iter().filter(|record| !matches!(record, Record::Ended { .. })).collect();
                self.write(records, Some((owner, batch)));
            }
            Command::Call { ticket, call } if plans::is_internal(&call.provider) => self.member_call(id, ticket, &call),
            Command::Call { ticket, call } => {
                self.queue_call(owner, ticket, call);
                self.send_calls();
            }
            Command::MakeSecrets { ticket, address, op_id, kinds } => {
                let ticket = self.route(Route::Unit(owner, ticket));
                self.commands.push(Command::MakeSecrets { ticket, address, op_id, kinds });
            }
            Command::LoadSecrets { ticket, references } => {
                let ticket = self.route(Route::Unit(owner, ticket));
                self.commands.push(Command::LoadSecrets { ticket, references });
            }
            Command::RunStep(mut job) => {
                self.as_its_node_knows_it(id, &mut job);
                self.queue_step(owner, false, job);
            }
            Command::CheckStep(mut job) => {
                self.as_its_node_knows_it(id, &mut job);
                self.queue_step(owner, true, job);
            }
            Command::Gather { ticket, wish, address, kinds } => self.gather(now_ms, owner, ticket, &wish, (address, kinds)),
            Command::Timer { timer, at_ms } => self.alarm(at_ms, Alarm::Unit(owner, timer)),
            Command::Progress(progress) => self.progress(id, progress),
            Command::Fold => {}
            Command::Finish(summary) => self.unit_finished(now_ms, id, &summary),
            Command::Settled(report) => self.unit_settled(now_ms, id, &report),
        }
    }

    /// Sends the calls that their kinds' limits let go out.
    fn send_calls(&mut self) {
        let mut rest = VecDeque::new();
        while let Some((owner, ticket, call)) = self.queued.pop_front() {
            if !self.is_current(&owner) {
                continue;
            }
            let kind = self.schemas.get(call.provider.provider_type()).and_then(|schema| schema.kinds.get(&*call.kind));
            let most = kind.map_or(u32::MAX, |kind| kind.concurrency_max.max(1));
            let out = self.out.entry(Arc::clone(&call.kind)).or_default();
            if *out >= most && company::counts(&call) {
                rest.push_back((owner, ticket, call));
                continue;
            }
            let counts = company::counts(&call);
            *out += u32::from(counts);
            let ticket = self.route(Route::Unit(owner, ticket));
            if counts {
                self.out_of.insert(ticket.0, Arc::clone(&call.kind));
            }
            self.commands.push(Command::Call { ticket, call });
        }
        self.queued = rest;
    }

    fn answered(&mut self, now_ms: u64, ticket: Ticket, answer: Answer) {
        if let Some(kind) = self.out_of.remove(&ticket.0)
            && let Some(out) = self.out.get_mut(&kind)
        {
            *out = out.saturating_sub(1);
        }
        match self.routes.remove(&ticket.0) {
            Some(Route::Unit(owner, inner)) => self.hand(owner, Event::Answer { ticket: inner, answer }),
            Some(Route::List(ids)) => self.listed(now_ms, &ids, answer),
            Some(Route::Find) => self.found(now_ms, answer),
            Some(Route::Published(id)) => self.was_published(&id, &answer),
            Some(Route::Nobody | Route::Hook | Route::Seats(_)) | None => {}
        }
        self.send_calls();
    }

    /// Records of a unit, or of the controller itself: into the ledger now, into the journal with the next group.
    fn write(&mut self, records: Vec<Record>, waiting: Option<(Owner, u64)>) {
        for record in records {
            self.note_deleted(&record);
            self.sequence += 1;
            self.unfolded += 1;
            self.last_record_ms = self.now_ms;
            let entry = Entry { sequence: self.sequence, epoch: self.epoch, run: self.run_id.clone(), record: Some(record) };
            self.ledger.take(&entry);
            self.pending.extend(entry.record);
        }
        if let Some((owner, batch)) = waiting {
            if let Some(unit) = self.units.get_mut(&owner.id) {
                unit.changes += 1;
            }
            self.pending_batches.push((owner, batch));
        }
    }

    /// Remembers what was deleted: a search that is late may still find it.
    fn note_deleted(&mut self, record: &Record) {
        if let Record::Outcome { op_id, result: OpResult::Deleted } = record
            && let Some(OpKind::Delete { id, .. }) = self.ledger.open.get(op_id).map(|open| &open.intent.operation)
        {
            self.deleted.insert(id.clone(), self.now_ms);
        }
    }

    /// Keeps facts for as long as the store lives.
    fn remember(&mut self, facts: impl IntoIterator<Item = (String, Value)>) {
        let facts: BTreeMap<String, Value> =
            facts.into_iter().filter(|(key, value)| self.ledger.state.facts.get(key) != Some(value)).collect();
        if !facts.is_empty() {
            self.write(vec![Record::Facts { facts, providers: BTreeMap::new() }], None);
            self.dirty = true;
        }
    }

    fn flush(&mut self) {
        if self.in_flight.is_some() || self.pending.is_empty() && self.pending_batches.is_empty() {
            return;
        }
        let batches = std::mem::take(&mut self.pending_batches);
        if self.pending.is_empty() {
            // A machine that waits for nothing is told at once.
            batches.into_iter().for_each(|(owner, batch)| self.hand(owner, Event::Appended { batch }));
            return;
        }
        let batch = self.next_batch;
        self.next_batch += 1;
        self.in_flight = Some(batches);
        self.flying = self.sequence;
        self.commands.push(Command::Append { batch, records: std::mem::take(&mut self.pending) });
    }

    fn abort(&mut self, reason: &str) {
        if self.aborted.is_none() {
            self.aborted = Some(reason.to_owned());
        }
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn alarm(&mut self, at_ms: u64, alarm: Alarm) {
        let timer = self.number();
        self.alarms.insert(timer, alarm);
        self.commands.push(Command::Timer { timer: TimerId(timer), at_ms });
    }

    fn route(&mut self, route: Route) -> Ticket {
        let number = self.number();
        self.routes.insert(number, route);
        Ticket(number)
    }
}

/// The worker that an address belongs to: `cluster.c.workers.g[7]…`.
fn unit_of(address: &Address) -> Option<UnitId> {
    let segment = address.in_block().get(1)?;
    match segment.key {
        Some(Key::Index(sequence)) => Some(UnitId::Worker { group: Arc::clone(&segment.name), sequence }),
        _ => None,
    }
}

fn worker_of(cluster: &Address, id: &UnitId) -> Address {
    let workers = cluster.child("workers");
    let name = id.group().cloned().unwrap_or_default();
    workers.push(Segment { name, key: Some(Key::Index(id.sequence())) })
}
