//! A world to crash in: a simulated cloud, stores of memory, and a driver that carries out the commands of the state machines in virtual
//! time, and drops everything when it is told to.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use cloudtik_executor::durable::{
    AppendFault, KeyFiles as _, MemoryBackend, MemoryJournal, MemoryKeys, MemoryState, SaveFault, SeededEntropy, SessionStore,
    StateStore as _,
};
use cloudtik_executor::engine::{
    ADDRESS_TAG, Broken, Command, Engine, EngineInput, Event, Limits, Made, SettleMode, Settlement, SettlementInput, SettlementReport,
    Step, StepAnswer, Summary, broken_batches, started,
};
use cloudtik_executor::{Record, SecretRef};
use cloudtik_lang::Moment;
use cloudtik_model::{Address, Graph};
use cloudtik_planner::{Action, Mode, Observation, Plan, PlanInput, Selection, execution, plan};
use cloudtik_provider_api::{
    Answer, CallError, ErrorClass, Idempotency, ObjectAnswer, Provider as _, ProviderSchema, Secret, ValueProvider,
};
use cloudtik_sim::{EffectKind, FaultRates, SimCloud, SimConfig, SimEvent, World, sim_schema};

use crate::spec::Plain;

/// What is wanted.
#[derive(Clone)]
pub(crate) enum Goal {
    Apply(Arc<Graph>),
    Destroy,
}

/// When everything is dropped, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crash {
    /// After so many events.
    pub(crate) at: usize,
    pub(crate) how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The commands that the last event gave are carried out; what was being written is lost.
    Lost,
    /// They are carried out; what was being written is there in part.
    Torn,
    /// They are carried out; what was being written is there, and nobody was told.
    Unacknowledged,
    /// They are not carried out.
    Before,
}

impl How {
    pub(crate) const ALL: [Self; 4] = [Self::Lost, Self::Torn, Self::Unacknowledged, Self::Before];
}

/// How a life ended.
#[derive(Debug)]
pub(crate) enum Life {
    Crashed {
        /// Whether something was being written.
        writing: bool,
    },
    Finished(Box<Summary>),
    /// There was nothing to do.
    NoChange,
}

/// What survives a crash, and the world outside.
pub(crate) struct Rig {
    pub(crate) backend: MemoryBackend,
    pub(crate) cloud: SimCloud,
    pub(crate) now_ms: u64,
    lives: u64,
    /// Events so far in this life.
    pub(crate) events: usize,
    pub(crate) broken: Broken,
    /// Events after which an interrupt comes.
    pub(crate) interrupt_at: Option<usize>,
    pub(crate) limits: Limits,
    /// What creates carry as epoch, where it is not the run's.
    pub(crate) launch_epoch: Option<u64>,
    /// What every object carries.
    pub(crate) marks: BTreeMap<String, String>,
    /// What the engine may not believe.
    pub(crate) tamper: Option<fn(&mut Answer)>,
    pub(crate) wants_commands: bool,
    /// Whether something was being written when it crashed.
    writing: bool,
    /// What this life did.
    pub(crate) log: Log,
    schemas: Arc<BTreeMap<String, ProviderSchema>>,
}

/// What a life did.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) appends: usize,
    /// Every command, as text, where a test wants to see them.
    pub(crate) commands: Vec<String>,
    /// The calls in their order: verb and address.
    pub(crate) calls: Vec<(&'static str, String)>,
    /// And when each was made.
    pub(crate) call_times: Vec<u64>,
    /// Calls that are out, and the most there were, by kind.
    out: BTreeMap<String, usize>,
    pub(crate) most: BTreeMap<String, usize>,
    /// The kind of each call that is out.
    kinds: BTreeMap<u64, String>,
}

impl Log {
    fn begin(&mut self, ticket: u64, kind: &str) {
        self.kinds.insert(ticket, kind.to_owned());
        for key in [kind, "all"] {
            let out = self.out.entry(key.to_owned()).or_default();
            *out += 1;
            let most = self.most.entry(key.to_owned()).or_default();
            *most = (*most).max(*out);
        }
    }

    fn end(&mut self, ticket: u64) {
        if let Some(kind) = self.kinds.remove(&ticket) {
            for key in [kind.as_str(), "all"] {
                *self.out.get_mut(key).unwrap() -= 1;
            }
        }
    }
}

pub(crate) fn schemas() -> Arc<BTreeMap<String, ProviderSchema>> {
    let value = ValueProvider::new().schema().clone();
    Arc::new([("sim".to_owned(), sim_schema()), ("value".to_owned(), value)].into_iter().collect())
}

/// A copy of stores that share nothing with the first. Their journal must be folded.
fn copy(backend: &MemoryBackend) -> MemoryBackend {
    let mut state = MemoryState::default();
    if let Some(bytes) = backend.state.clone().load().unwrap() {
        state.save(None, &bytes).unwrap();
    }
    let mut keys = MemoryKeys::default();
    for name in backend.keys.names().unwrap() {
        keys.create(&name, &backend.keys.read(&name).unwrap().unwrap()).unwrap();
    }
    assert_eq!(backend.journal.bytes(), 0, "only a folded journal can be left behind");
    MemoryBackend { journal: MemoryJournal::default(), state, keys }
}

impl Rig {
    pub(crate) fn new(seed: u64, rates: FaultRates) -> Self {
        Self::over(MemoryBackend::default(), World::new(), seed, rates)
    }

    fn over(backend: MemoryBackend, world: World, seed: u64, rates: FaultRates) -> Self {
        let cloud = SimCloud::with_world(SimConfig { seed, rates, ..SimConfig::default() }, world);
        Self {
            backend,
            cloud,
            now_ms: 1_000,
            lives: 0,
            events: 0,
            broken: Broken::No,
            interrupt_at: None,
            limits: Limits::default(),
            launch_epoch: None,
            marks: BTreeMap::new(),
            tamper: None,
            wants_commands: false,
            writing: false,
            log: Log::default(),
            schemas: schemas(),
        }
    }

    /// The same world and stores once more, with an empty audit.
    pub(crate) fn fork(&self, seed: u64, rates: FaultRates) -> Self {
        let mut world = self.cloud.world.clone();
        world.audit.clear();
        world.nodes.values_mut().for_each(|node| node.times_done.clear());
        let mut rig = Self::over(copy(&self.backend), world, seed, rates);
        rig.lives = self.lives;
        rig.now_ms = self.now_ms;
        rig
    }

    fn session(&mut self) -> SessionStore {
        self.lives += 1;
        self.cloud.reconnect();
        SessionStore::in_memory(&self.backend, Box::new(SeededEntropy::new(self.lives))).unwrap()
    }

    /// One run of apply or destroy, until its end or its crash.
    pub(crate) fn live(&mut self, goal: &Goal, crash: Option<Crash>) -> Result<Life, String> {
        self.events = 0;
        self.log = Log::default();
        let mut session = self.session();
        let run_id = format!("run{}", self.lives);
        let epoch = session.begin_run(&run_id).unwrap();
        let open: Vec<_> = session.open_intents().into_iter().map(|open| open.intent.clone()).collect();
        let mut report = SettlementReport::default();
        if !open.is_empty() {
            let mut settlement = Settlement::new(SettlementInput {
                state: session.state().clone(),
                open,
                schemas: Arc::clone(&self.schemas),
                limits: Limits::default(),
                run_id: run_id.clone(),
                epoch,
                launch_epoch: self.launch_epoch,
                broken: broken_batches(session.open_intents().into_iter().map(|open| &open.intent)),
                mode: SettleMode::Apply,
                started: started("apply", "test"),
            });
            match self.drive(&mut settlement, &mut session, crash)? {
                None => return Ok(self.crashed()),
                Some(End::Settled(found)) => report = found,
                Some(End::Finished(_)) => return Err("settlement ended as an engine".to_owned()),
            }
            if let Some((intent, error)) = report.unsettled.first() {
                if self.interrupt_at.is_some_and(|at| at <= self.events) {
                    return Ok(Life::Crashed { writing: false });
                }
                return Err(format!("{} could not be settled: {error}", intent.address));
            }
        }
        let plan = self.plan(goal, &session, &report);
        let execution = execution(&plan, session.state()).map_err(|error| error.to_string())?;
        if execution.operations.is_empty() && !plan.outputs.values().any(|output| output.changed) {
            session.commit().unwrap();
            return Ok(Life::NoChange);
        }
        let mut engine = Engine::new(EngineInput {
            execution,
            ledger: session.ledger().clone(),
            plan,
            unsettled: report.unsettled,
            schemas: Arc::clone(&self.schemas),
            limits: self.limits.clone(),
            run_id,
            moment: Moment::default(),
            epoch,
            launch_epoch: self.launch_epoch,
            command: "apply".to_owned(),
            tool_version: "test".to_owned(),
            started: report.started,
            marks: self.marks.clone(),
            gathers_elsewhere: false,
            renderer: Arc::new(Plain),
            broken: self.broken,
        });
        let summary = match self.drive(&mut engine, &mut session, crash)? {
            None => return Ok(self.crashed()),
            Some(End::Finished(summary)) => summary,
            Some(End::Settled(_)) => return Err("the engine ended as settlement".to_owned()),
        };
        if summary.aborted.is_some() {
            return Ok(Life::Finished(Box::new(summary)));
        }
        if engine.state().resources != session.state().resources {
            return Err("the engine's state is not what its records come to".to_owned());
        }
        let objects = |session: &SessionStore| {
            let resources = &session.state().resources;
            resources.iter().map(|(address, entry)| (address.clone(), entry.current.clone(), entry.deposed.clone())).collect::<Vec<_>>()
        };
        let (before, open) = (objects(&session), session.open_intents().len());
        let committed = self.commit(&mut session, crash);
        let reopened = self.session();
        if objects(&reopened) != before || reopened.open_intents().len() != open {
            return Err("what was committed is not what is read again".to_owned());
        }
        if !committed {
            return Ok(Life::Crashed { writing: true });
        }
        Ok(Life::Finished(Box::new(summary)))
    }

    const fn crashed(&self) -> Life {
        Life::Crashed { writing: self.writing }
    }

    /// The last of all: a crash may hit it too.
    fn commit(&mut self, session: &mut SessionStore, crash: Option<Crash>) -> bool {
        self.events += 1;
        match crash.filter(|crash| crash.at < self.events).map(|crash| crash.how) {
            Some(How::Before) => return false,
            Some(How::Unacknowledged) => self.backend.state.inject(SaveFault::Unacknowledged),
            Some(_) => self.backend.state.inject(SaveFault::Lost),
            None => {}
        }
        session.commit().is_ok()
    }

    pub(crate) fn plan(&self, goal: &Goal, session: &SessionStore, report: &SettlementReport) -> Plan {
        let state = session.state();
        let mut observed: BTreeMap<Address, Observation> = BTreeMap::new();
        for (address, entry) in
            state.resources.iter().filter(|(_, entry)| entry.provider.as_str() == "sim" && !entry.kind.starts_with("step."))
        {
            let Some(object) = &entry.current else { continue };
            let found = self.cloud.world.objects.get(&object.id);
            let answer = found.map(|found| ObjectAnswer { id: found.id.clone(), attributes: found.attributes.clone() });
            observed.insert(address.clone(), answer.map_or(Observation::Gone, Observation::Present));
        }
        let empty = Graph::default();
        let (graph, mode) = match goal {
            Goal::Apply(graph) => (&**graph, Mode::Normal),
            Goal::Destroy => (&empty, Mode::Destroy),
        };
        let schema = |name: &str| self.schemas.get(name);
        let (plan, diagnostics) = plan(PlanInput {
            keep: std::collections::BTreeSet::new(),
            graph,
            state,
            observed: &observed,
            imports: &BTreeMap::new(),
            schemas: &schema,
            facts: BTreeMap::new(),
            pinned: std::collections::BTreeSet::new(),
            mode,
            replace: std::collections::BTreeSet::new(),
            selection: Selection::default(),
            settled: report.settled.clone(),
            notes: Vec::new(),
            tool_version: "test".to_owned(),
            offline: false,
            locate: &|_| None,
        });
        let texts: Vec<_> = diagnostics.iter().map(|diagnostic| diagnostic.title.clone()).collect();
        assert!(texts.is_empty(), "{texts:?}");
        plan
    }

    /// What would be done now.
    pub(crate) fn plan_now(&mut self, goal: &Goal) -> (Plan, usize) {
        let session = self.session();
        let plan = self.plan(goal, &session, &SettlementReport::default());
        let operations = execution(&plan, session.state()).unwrap().operations.len();
        (plan, operations)
    }

    /// What settlement would do, without crashing: its report, and the commands it gave.
    pub(crate) fn settle(&mut self, mode: SettleMode) -> (SettlementReport, Log) {
        self.log = Log::default();
        let mut session = self.session();
        let run_id = format!("run{}", self.lives);
        let epoch = session.begin_run(&run_id).unwrap();
        let mut settlement = Settlement::new(SettlementInput {
            state: session.state().clone(),
            open: session.open_intents().into_iter().map(|open| open.intent.clone()).collect(),
            schemas: Arc::clone(&self.schemas),
            limits: Limits::default(),
            run_id,
            epoch,
            launch_epoch: self.launch_epoch,
            broken: broken_batches(session.open_intents().into_iter().map(|open| &open.intent)),
            mode,
            started: started("apply", "test"),
        });
        match self.drive(&mut settlement, &mut session, None).unwrap() {
            Some(End::Settled(report)) => (report, std::mem::take(&mut self.log)),
            _ => panic!("settlement does not settle"),
        }
    }

    pub(crate) fn open_intents(&mut self) -> usize {
        self.session().open_intents().len()
    }
}

/// How a state machine ended.
enum End {
    Finished(Summary),
    Settled(SettlementReport),
}

/// What is on its way.
enum Coming {
    Event(Event),
    /// Not durable yet.
    Append {
        batch: u64,
        records: Vec<Record>,
    },
}

/// More than this and something goes round in circles.
const EVENTS_MAX: usize = 20_000;

struct Queue {
    heap: BinaryHeap<Reverse<(u64, u64)>>,
    things: BTreeMap<u64, Coming>,
    next: u64,
}

impl Queue {
    fn push(&mut self, at_ms: u64, coming: Coming) {
        self.heap.push(Reverse((at_ms, self.next)));
        self.things.insert(self.next, coming);
        self.next += 1;
    }
}

impl Rig {
    /// Carries out commands until the machine is at its end. `None`: it crashed.
    fn drive(&mut self, machine: &mut dyn Step, session: &mut SessionStore, crash: Option<Crash>) -> Result<Option<End>, String> {
        let mut queue = Queue { heap: BinaryHeap::new(), things: BTreeMap::new(), next: 0 };
        queue.push(self.now_ms, Coming::Event(Event::Start));
        while let Some(Reverse((at_ms, number))) = queue.heap.pop() {
            self.now_ms = self.now_ms.max(at_ms);
            let event = match queue.things.remove(&number).unwrap() {
                Coming::Event(event) => event,
                Coming::Append { batch, records } => match session.append(records) {
                    Ok(_) => Event::Appended { batch },
                    Err(error) => Event::AppendFailed { batch, error: error.to_string() },
                },
            };
            if let Event::Answer { ticket, .. } | Event::StepDone { ticket, .. } = &event {
                self.log.end(ticket.0);
            }
            let mut commands = machine.step(self.now_ms, event);
            self.events += 1;
            if self.interrupt_at == Some(self.events) {
                commands.extend(machine.step(self.now_ms, Event::Interrupt));
            }
            let crashes = crash.filter(|crash| self.events > crash.at);
            if crashes.is_some_and(|crash| crash.how == How::Before) {
                self.writing = false;
                return Ok(None);
            }
            if let Some(end) = self.carry_out(commands, session, &mut queue) {
                return Ok(Some(end));
            }
            if let Some(crash) = crashes {
                self.tear(session, queue, crash.how);
                return Ok(None);
            }
            if self.events > EVENTS_MAX {
                return Err("it never ends".to_owned());
            }
        }
        Err("nothing is on its way, and it is not at its end".to_owned())
    }

    /// What was being written when everything was dropped.
    fn tear(&mut self, session: &mut SessionStore, queue: Queue, how: How) {
        self.writing = false;
        for coming in queue.things.into_values() {
            if let Coming::Append { records, .. } = coming {
                self.writing = true;
                let fault = match how {
                    How::Lost | How::Before => AppendFault::Lost,
                    How::Torn => AppendFault::Torn(self.events * 37 % 600),
                    How::Unacknowledged => AppendFault::Unacknowledged,
                };
                self.backend.journal.inject(fault);
                assert!(session.append(records).is_err());
            }
        }
    }

    fn carry_out(&mut self, commands: Vec<Command>, session: &mut SessionStore, queue: &mut Queue) -> Option<End> {
        for command in commands {
            if self.wants_commands {
                self.log.commands.push(format!("{command:?}"));
            }
            match command {
                Command::Append { batch, records } => {
                    self.log.appends += 1;
                    queue.push(self.now_ms + 1, Coming::Append { batch, records });
                }
                Command::Call { ticket, call } => {
                    self.log.calls.push((call.verb.as_str(), call.address.to_string()));
                    self.log.call_times.push(self.now_ms);
                    self.log.begin(ticket.0, &call.kind);
                    for (at_ms, event) in self.cloud.submit(self.now_ms, &call) {
                        if let SimEvent::Answer(mut answer) = event {
                            if let Some(tamper) = self.tamper {
                                tamper(&mut answer);
                            }
                            queue.push(at_ms, Coming::Event(Event::Answer { ticket, answer }));
                        }
                    }
                }
                Command::RunStep(job) | Command::CheckStep(job) => {
                    let address = job.request.address.parse().unwrap();
                    self.log.begin(job.ticket.0, &format!("steps of {}", job.instance_id));
                    for (at_ms, event) in self.cloud.submit_step(self.now_ms, &job.instance_id, &address, &job.request) {
                        if let SimEvent::Step(reply) = event {
                            let answer = StepAnswer::from_reply(reply);
                            queue.push(at_ms, Coming::Event(Event::StepDone { ticket: job.ticket, answer }));
                        }
                    }
                }
                Command::MakeSecrets { ticket, op_id, kinds, .. } => {
                    let made = kinds.into_iter().map(|(name, _)| {
                        let (private, public) = (format!("private {op_id} {name}"), format!("public {op_id} {name}"));
                        let reference = session.vault().put_secret(&format!("{op_id}-{name}"), private.as_bytes(), &public).unwrap();
                        (name, Made { reference, secret: Secret { private, public } })
                    });
                    let secrets = Ok(made.collect());
                    queue.push(self.now_ms + 2, Coming::Event(Event::SecretsReady { ticket, secrets }));
                }
                Command::LoadSecrets { ticket, references } => {
                    let secrets = references.into_iter().map(|(name, reference)| Ok((name, load(session, reference)?))).collect();
                    queue.push(self.now_ms + 2, Coming::Event(Event::SecretsReady { ticket, secrets }));
                }
                Command::Timer { timer, at_ms } => queue.push(at_ms, Coming::Event(Event::TimerFired { timer })),
                Command::Progress(_) | Command::Fold | Command::Gather { .. } => {}
                Command::Finish(summary) => return Some(End::Finished(*summary)),
                Command::Settled(report) => return Some(End::Settled(*report)),
            }
        }
        None
    }
}

fn load(session: &mut SessionStore, reference: SecretRef) -> Result<Made, CallError> {
    let bytes =
        session.vault().get_secret(&reference).map_err(|error| CallError::new(ErrorClass::Permanent, "secret", error.to_string()))?;
    let secret = Secret { private: String::from_utf8(bytes).unwrap(), public: reference.public.clone() };
    Ok(Made { reference, secret })
}

/// What the first plan of a goal promises: how often each address is made, and which steps run.
pub(crate) struct Promise {
    goal: Goal,
    plan: Plan,
}

impl Promise {
    pub(crate) fn new(rig: &mut Rig, goal: &Goal) -> Self {
        Self { goal: goal.clone(), plan: rig.plan_now(goal).0 }
    }

    fn is_pure(&self, schemas: &BTreeMap<String, ProviderSchema>, address: &Address) -> bool {
        let Some(change) = self.plan.changes.get(address) else { return false };
        let kind = schemas.get(change.provider.provider_type()).and_then(|schema| schema.kinds.get(&*change.kind));
        kind.is_some_and(|kind| kind.class == Idempotency::Pure)
    }

    /// Whether the world came out as was promised.
    pub(crate) fn check(&self, rig: &mut Rig) -> Result<(), String> {
        let session = rig.session();
        let plan = rig.plan(&self.goal, &session, &SettlementReport::default());
        let operations = execution(&plan, session.state()).unwrap().operations.len();
        if operations > 0 || plan.has_changes() {
            let left: Vec<_> = plan
                .changes
                .values()
                .filter(|change| change.has_effect())
                .map(|c| format!("{} {}: {}", c.action.as_str(), c.address, c.reason))
                .collect();
            return Err(format!("a further plan has {operations} operations: {left:?}"));
        }
        if !session.open_intents().is_empty() {
            return Err("an intent is still open".to_owned());
        }
        self.check_twice(rig)?;
        check_orphans(rig, session.state())
    }

    /// Nothing was made twice, nothing was overwritten, no step was done twice.
    fn check_twice(&self, rig: &Rig) -> Result<(), String> {
        let mut made: BTreeMap<&str, usize> = BTreeMap::new();
        let mut done: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for effect in &rig.cloud.world.audit {
            match effect.kind {
                EffectKind::Created => *made.entry(&effect.address).or_default() += 1,
                EffectKind::Overwritten => return Err(format!("{} was overwritten", effect.address)),
                EffectKind::StepDone => *done.entry((&effect.address, &effect.id)).or_default() += 1,
                EffectKind::Updated | EffectKind::Deleted | EffectKind::StepUndone => {}
            }
        }
        for (address, change) in &self.plan.changes {
            let times = made.get(address.to_string().as_str()).copied().unwrap_or(0);
            let wanted = match change.action {
                _ if change.is_step() || self.is_pure(&rig.schemas, address) => 0,
                Action::Create | Action::Replace => 1,
                _ => 0,
            };
            if times != wanted {
                return Err(format!("{address} was made {times} times and not {wanted}"));
            }
        }
        match done.iter().find(|(_, times)| **times > 1) {
            Some(((address, node), times)) => Err(format!("the step {address} was done {times} times on {node}")),
            None => Ok(()),
        }
    }
}

/// What is in the cloud is in the state, and the other way round.
fn check_orphans(rig: &Rig, state: &cloudtik_model::State) -> Result<(), String> {
    let mut known: BTreeMap<&str, &Address> = BTreeMap::new();
    for (address, entry) in &state.resources {
        if !entry.deposed.is_empty() {
            return Err(format!("{address} has replaced objects left"));
        }
        if entry.provider.as_str() == "sim" && !entry.kind.starts_with("step.") {
            let object = entry.current.as_ref().ok_or_else(|| format!("{address} is empty"))?;
            known.insert(&object.id, address);
        }
    }
    for (id, object) in &rig.cloud.world.objects {
        let tag = object.tags.get(ADDRESS_TAG).cloned().unwrap_or_default();
        match known.remove(id.as_str()) {
            Some(address) if address.to_string() == tag => {}
            Some(address) => return Err(format!("{id} is {tag} in the cloud and {address} in the state")),
            None => return Err(format!("{id} ({tag}) is an orphan")),
        }
    }
    match known.into_iter().next() {
        Some((id, address)) => Err(format!("{address} ({id}) is in the state and not in the cloud")),
        None => Ok(()),
    }
}
