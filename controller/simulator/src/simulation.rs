//! One life: what survives a crash, the world outside, and the controller over both.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use cloudtik_controller::{Controller, ControllerInput, HeadIdentity, Pushed, Times};
use cloudtik_controller_client::Teardown;
use cloudtik_executor::durable::{AppendFault, DurableError, MemoryBackend, SeededEntropy, SessionStore};
use cloudtik_executor::engine::{Command, Event, Made, Step as _, StepAnswer, started};
use cloudtik_executor::{Record, SecretRef};
use cloudtik_model::{Address, Digest, ProviderRef, Value};
use cloudtik_provider_api::{
    Answer, CLUSTER_TAG, Call, CallError, CreateRequest, ErrorClass, HEAD_ROLE, ROLE_TAG, Secret, Verb, WORKER_ROLE,
};
use cloudtik_sim::{FaultRates, INSTANCE_KIND, NETWORK_KIND, Random, SimCloud, SimConfig, SimEvent, SimObject, sim_schema};

use crate::chance::{Deed, Fate, How, STORM_MS};
use crate::cluster::{self, LAUNCH_EPOCH, Renderer, Shape, UID};
use crate::invariants::Invariants;
use crate::queue::{Coming, Queue};
use crate::trace;
use crate::{Broken, Failure, Kind, Options, Outcome};

/// How often the controller looks around: as seldom as a life can be and still have everything happen between two looks.
const TIMES: Times = Times { tick_ms: 1_000, poll_ms: 3_000, find_ms: 15_000 };

/// What is left to put everything in order once the weather is fine, in milliseconds: a group that was given up waits ten minutes.
const ORDER_MS: u64 = 3_600_000;

/// How often it is looked whether everything is in order, in milliseconds.
const LOOK_MS: u64 = 3_000;

/// More events than this and something goes round in circles: a busy life has some thousand.
const EVENTS_MAX: u64 = 200_000;

/// How long a write takes at most, in milliseconds: so long that a crash often hits one.
const WRITE_MS_MAX: u64 = 30;

/// How long it takes to make or load secrets, in milliseconds.
const SECRETS_MS: u64 = 2;

/// A controller that runs.
pub(crate) struct Life {
    number: u64,
    pub(crate) controller: Controller,
    session: SessionStore,
}

/// A crash to come.
struct Crash {
    how: How,
    down_ms: u64,
    /// So many events later.
    events: u64,
    /// And then in the middle of a write, if there is one before so many more events.
    patience: u64,
}

/// See the module.
pub(crate) struct Simulation {
    options: Options,
    random: Random,
    pub(crate) cloud: SimCloud,
    backend: MemoryBackend,
    /// The configuration on the disk of the head.
    pushed: Option<Pushed>,
    pub(crate) shape: Shape,
    network: String,
    head: String,
    pub(crate) life: Option<Life>,
    lives: u64,
    /// A crash that comes with one of the next events.
    crash: Option<Crash>,
    /// A controller that was asked to end begins again after so many milliseconds.
    stopping: Option<u64>,
    pub(crate) tearing: Option<Teardown>,
    pub(crate) invariants: Invariants,
    pub(crate) queue: Queue,
    pub(crate) now_ms: u64,
    pub(crate) ends_at_ms: u64,
    events: u64,
    fingerprint: Digest,
    line: String,
    counts: BTreeMap<&'static str, u64>,
    log: Vec<String>,
}

/// Lives a seed.
///
/// # Errors
/// An invariant was broken, or at the end the world is not what it should be.
pub fn run(options: Options) -> Result<Outcome, Failure> {
    let mut random = Random::new(options.seed ^ 0x5eed_c10d);
    let fate = Fate::draw(&mut random, options.kind);
    let mut simulation = Simulation::new(options, random, &fate)?;
    for (at_ms, deed) in fate.deeds {
        simulation.queue.push(at_ms, Coming::Deed(deed));
    }
    match simulation.live() {
        Ok(()) => Ok(Outcome {
            fingerprint: simulation.fingerprint,
            events: simulation.events,
            took_ms: simulation.now_ms,
            counts: simulation.counts,
            log: simulation.log,
        }),
        Err(failure) => Err(Failure { at_ms: simulation.now_ms, log: simulation.log, ..failure }),
    }
}

impl Simulation {
    fn new(options: Options, mut random: Random, fate: &Fate) -> Result<Self, Failure> {
        let config = SimConfig { seed: random.next(), rates: fate.rates, nodes_hide: true, ..SimConfig::default() };
        let mut simulation = Self {
            options,
            random,
            cloud: SimCloud::new(config),
            backend: MemoryBackend::default(),
            pushed: None,
            shape: Shape::FIRST,
            network: String::new(),
            head: String::new(),
            life: None,
            lives: 0,
            crash: None,
            stopping: None,
            tearing: None,
            invariants: Invariants::new(Shape::FIRST),
            queue: Queue::default(),
            now_ms: 0,
            ends_at_ms: STORM_MS + ORDER_MS,
            events: 0,
            fingerprint: Digest::of("the beginning"),
            line: String::new(),
            counts: BTreeMap::new(),
            log: Vec::new(),
        };
        simulation.network = simulation.make(NETWORK_KIND, "net")?;
        simulation.head = simulation.make(INSTANCE_KIND, "c-head")?;
        simulation.pushed = Some(cluster::pushed(Shape::FIRST, 1, &simulation.network)?);
        simulation.queue.push(0, Coming::Boot);
        Ok(simulation)
    }

    pub(crate) const fn broken(&self) -> Broken {
        self.options.broken
    }

    /// What the command line made before.
    fn make(&mut self, kind: &str, name: &str) -> Result<String, Failure> {
        let op_id = format!("{name}-{}", self.lives);
        let mut attributes = vec![("name", Value::from(name))];
        let mut tags = BTreeMap::new();
        if kind == INSTANCE_KIND {
            attributes.push(("network", self.network.as_str().into()));
            tags = BTreeMap::from([(CLUSTER_TAG.to_owned(), UID.to_owned()), (ROLE_TAG.to_owned(), HEAD_ROLE.to_owned())]);
        }
        let secret = Secret { private: "private".to_owned(), public: "public".to_owned() };
        let request = CreateRequest {
            op_id: op_id.clone(),
            token: op_id,
            epoch: LAUNCH_EPOCH,
            tags,
            attributes: Value::object(attributes),
            secrets: BTreeMap::from([("host_key".to_owned(), secret)]),
            batch: None,
        };
        let call = Call {
            provider: ProviderRef::new("sim"),
            address: cluster::cluster().child("head"),
            kind: kind.into(),
            verb: Verb::Create(request),
            limit: None,
        };
        match self.cloud.world.call(&sim_schema(), self.now_ms, &call, 0) {
            Answer::Object(object) => Ok(object.id),
            other => Err(Failure::new(format!("{name} cannot be made: {other:?}"))),
        }
    }

    /// The workers that the world has.
    pub(crate) fn workers(&self) -> impl Iterator<Item = &SimObject> {
        self.cloud.world.objects.values().filter(|object| object.tags.get(ROLE_TAG).is_some_and(|role| role == WORKER_ROLE))
    }

    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        if self.options.wants_log {
            self.log.push(format!("{:>9} {}", self.now_ms, text()));
        }
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn live(&mut self) -> Result<(), Failure> {
        while let Some((at_ms, coming)) = self.queue.pop() {
            self.now_ms = self.now_ms.max(at_ms);
            if self.now_ms > self.ends_at_ms {
                break;
            }
            self.events += 1;
            if self.events > EVENTS_MAX {
                return Err(Failure::new("it never ends"));
            }
            let is_done = match coming {
                Coming::Event(life, event) => self.event(life, event).map(|()| false),
                Coming::Append { life, batch, records } => self.append(life, batch, records).map(|()| false),
                Coming::Deed(deed) => self.deed(deed).map(|()| false),
                Coming::Teardown(event) => self.teardown_event(event).map(|()| false),
                Coming::Boot => self.boot().map(|()| false),
                Coming::Look => self.look(),
            };
            if is_done? {
                return Ok(());
            }
        }
        match self.options.kind {
            Kind::Keep | Kind::Rename { .. } => Err(Failure::new(format!("it is not in order: {}", self.disorder()?.unwrap_or_default()))),
            Kind::Destroy => match self.workers().next() {
                Some(worker) => Err(Failure::new(format!("{} came after the cluster was torn down", worker.id))),
                None => Ok(()),
            },
        }
    }

    /// Mixes what happened into the fingerprint.
    fn mix(&mut self) {
        let mut bytes = self.fingerprint.as_bytes().to_vec();
        bytes.extend_from_slice(self.line.as_bytes());
        self.fingerprint = Digest::of(&bytes);
        if self.options.wants_log {
            self.log.push(std::mem::take(&mut self.line));
        }
        self.line.clear();
    }

    fn boot(&mut self) -> Result<(), Failure> {
        if self.life.is_some() {
            return Ok(());
        }
        self.lives += 1;
        self.count("lives");
        let fault = |error: DurableError| Failure::new(format!("the store cannot be opened: {error}"));
        let entropy = SeededEntropy::new(self.options.seed.wrapping_mul(1_000).wrapping_add(self.lives));
        let mut session = SessionStore::in_memory(&self.backend, Box::new(entropy)).map_err(fault)?;
        let run_id = format!("r{}", self.lives);
        let epoch = session.begin_run(&run_id).map_err(fault)?;
        self.note(|| format!("boot {run_id}, epoch {epoch}, {} intents open", session.open_intents().len()));
        let controller = Controller::new(ControllerInput {
            ledger: session.ledger().clone(),
            run_id,
            epoch,
            schemas: BTreeMap::from([("sim".to_owned(), cluster::schema())]),
            renderer: Arc::new(Renderer),
            times: TIMES,
            head: HeadIdentity { instance: self.head.clone() },
            tool_version: "simulated".to_owned(),
            began_secs: 0,
            events: VecDeque::new(),
            pushed: self.pushed.clone(),
        });
        self.invariants.another_life();
        self.life = Some(Life { number: self.lives, controller, session });
        self.event(self.lives, Event::Start)
    }

    /// Hands an event to the controller and carries its commands out.
    fn event(&mut self, number: u64, event: Event) -> Result<(), Failure> {
        let Some(mut life) = self.life.take_if(|life| life.number == number) else { return Ok(()) };
        // Writing into a string does not fail.
        let _ = write!(self.line, "{} ", self.now_ms);
        trace::event(&mut self.line, &event);
        if let Event::StepDone { ticket, .. } = &event {
            self.invariants.step_done(ticket.0);
        }
        let commands = life.controller.step(self.now_ms, event);
        for command in &commands {
            self.line.push_str("\n  ");
            trace::command(&mut self.line, command);
        }
        self.mix();
        if self.options.wants_log {
            let newest = life.controller.events_after(self.invariants.last_event, 100);
            self.invariants.last_event = newest.last().map_or(self.invariants.last_event, |event| event.sequence);
            self.log.extend(newest.into_iter().map(|event| format!("          > {} {}", event.address.unwrap_or_default(), event.text)));
        }
        self.life = Some(life);
        for command in commands {
            self.carry_out(number, command)?;
        }
        self.crash_if_due()
    }

    fn crash_if_due(&mut self) -> Result<(), Failure> {
        let Some(crash) = &mut self.crash else { return Ok(()) };
        if crash.events > 0 {
            crash.events -= 1;
            return Ok(());
        }
        let writing = self.life.as_ref().is_some_and(|life| self.queue.is_writing(life.number));
        if !writing && crash.patience > 0 {
            crash.patience -= 1;
            return Ok(());
        }
        let Some(Crash { how, down_ms, .. }) = self.crash.take() else { return Ok(()) };
        self.note(|| "crash".to_owned());
        self.drop_life(Some(how))?;
        self.queue.push(self.now_ms + down_ms, Coming::Boot);
        Ok(())
    }

    fn carry_out(&mut self, life: u64, command: Command) -> Result<(), Failure> {
        let now_ms = self.now_ms;
        match command {
            Command::Append { batch, records } => {
                let at_ms = now_ms + 1 + self.random.below(WRITE_MS_MAX);
                self.queue.push(at_ms, Coming::Append { life, batch, records });
            }
            Command::Call { ticket, call } => {
                self.before_call(&call)?;
                for (at_ms, event) in self.cloud.submit(now_ms, &call) {
                    if let SimEvent::Answer(answer) = event {
                        if matches!(&answer, Answer::Failed(error) if error.code == "fenced") {
                            self.count("refused behind the fence");
                        }
                        self.queue.push(at_ms, Coming::Event(life, Event::Answer { ticket, answer }));
                    }
                }
                self.check_world()?;
            }
            Command::RunStep(job) | Command::CheckStep(job) => {
                self.before_step(&job)?;
                let address: Address = job.request.address.parse().map_err(|_| Failure::new("a step without an address"))?;
                for (at_ms, event) in self.cloud.submit_step(now_ms, &job.instance_id, &address, &job.request) {
                    if let SimEvent::Step(reply) = event {
                        let answer = StepAnswer::from_reply(reply);
                        self.queue.push(at_ms, Coming::Event(life, Event::StepDone { ticket: job.ticket, answer }));
                    }
                }
                self.check_world()?;
            }
            Command::MakeSecrets { ticket, op_id, kinds, .. } => {
                let make = |session: &mut SessionStore, name: &str| {
                    let (private, public) = (format!("private {op_id} {name}"), format!("public {op_id} {name}"));
                    let reference = session.vault().put_secret(&format!("{op_id}-{name}"), private.as_bytes(), &public)?;
                    Ok(Made { reference, secret: Secret { private, public } })
                };
                let secrets =
                    self.with_session(|session| kinds.into_iter().map(|(name, _)| Ok((name.clone(), make(session, &name)?))).collect());
                self.queue.push(now_ms + SECRETS_MS, Coming::Event(life, Event::SecretsReady { ticket, secrets }));
            }
            Command::LoadSecrets { ticket, references } => {
                let load = |session: &mut SessionStore, reference: SecretRef| {
                    let private = String::from_utf8_lossy(&session.vault().get_secret(&reference)?).into_owned();
                    let secret = Secret { private, public: reference.public.clone() };
                    Ok(Made { reference, secret })
                };
                let secrets = self.with_session(|session| {
                    references.into_iter().map(|(name, reference)| Ok((name, load(session, reference)?))).collect()
                });
                self.queue.push(now_ms + SECRETS_MS, Coming::Event(life, Event::SecretsReady { ticket, secrets }));
            }
            Command::Timer { timer, at_ms } => self.queue.push(at_ms, Coming::Event(life, Event::TimerFired { timer })),
            Command::Fold => {
                if let Some(life) = &mut self.life {
                    life.session.commit().map_err(|error| Failure::new(format!("the journal cannot be folded: {error}")))?;
                }
                self.count("folds");
            }
            Command::Progress(_) | Command::Settled(_) | Command::Gather { .. } => {}
            Command::Finish(summary) => {
                let Some(down_ms) = self.stopping.take() else {
                    return Err(Failure::new(format!("the controller ended: {:?}", summary.aborted)));
                };
                self.drop_life(None)?;
                self.queue.push(now_ms + down_ms, Coming::Boot);
            }
        }
        Ok(())
    }

    fn with_session<T>(&mut self, work: impl FnOnce(&mut SessionStore) -> Result<T, DurableError>) -> Result<T, CallError> {
        let wrong = |text: String| CallError::new(ErrorClass::Permanent, "secret", text);
        let Some(life) = &mut self.life else { return Err(wrong("there is no store".to_owned())) };
        work(&mut life.session).map_err(|error| wrong(error.to_string()))
    }

    fn append(&mut self, number: u64, batch: u64, records: Vec<Record>) -> Result<(), Failure> {
        let records = self.spoil(records);
        let Some(life) = self.life.as_mut().filter(|life| life.number == number) else { return Ok(()) };
        life.session.append(records).map_err(|error| Failure::new(format!("the journal cannot be written: {error}")))?;
        self.event(number, Event::Appended { batch })?;
        self.check_ledger()
    }

    /// What a store that is broken on purpose makes of records.
    fn spoil(&self, mut records: Vec<Record>) -> Vec<Record> {
        for record in &mut records {
            match (self.options.broken, &mut *record) {
                (Broken::ForgetNumbers, Record::Facts { facts, .. }) => facts.retain(|key, _| !key.starts_with("next.")),
                (Broken::ForgetIntents, Record::Intent(_)) => *record = started("controller", "broken"),
                _ => {}
            }
        }
        records
    }

    /// Everything of a controller is dropped, and what it was writing arrives or does not.
    fn drop_life(&mut self, how: Option<How>) -> Result<(), Failure> {
        self.stopping = None;
        let Some(mut life) = self.life.take() else { return Ok(()) };
        self.cloud.reconnect();
        let writing = self.queue.writing_of(life.number);
        let Some(records) = writing else { return Ok(()) };
        let fault = match how {
            // Who ends in order has written everything.
            None => return Err(Failure::new("it ended in the middle of a write")),
            Some(How::Lost) => AppendFault::Lost,
            Some(How::Torn(bytes)) => AppendFault::Torn(bytes),
            Some(How::Unacknowledged) => AppendFault::Unacknowledged,
        };
        self.backend.journal.inject(fault);
        let records = self.spoil(records);
        drop(life.session.append(records));
        self.count("writes torn");
        Ok(())
    }

    fn deed(&mut self, deed: Deed) -> Result<(), Failure> {
        self.note(|| format!("deed {deed:?}"));
        let _ = write!(self.line, "{} {deed:?}", self.now_ms);
        self.mix();
        match deed {
            Deed::Kill(number) => self.kill(number),
            Deed::Crash { how, down_ms, events, patience } => self.crash = Some(Crash { how, down_ms, events, patience }),
            Deed::Stop { down_ms } => {
                if let Some(number) = self.life.as_ref().map(|life| life.number) {
                    self.stopping = Some(down_ms);
                    self.event(number, Event::Interrupt)?;
                }
            }
            Deed::Push(shape) => self.push(shape)?,
            Deed::LoseHead { down_ms } => {
                self.count("heads lost");
                self.crash = None;
                // A new head does what it cannot know to be done.
                self.invariants.rests = false;
                self.stopping = None;
                self.drop_life(Some(How::Lost))?;
                self.backend = MemoryBackend::default();
                self.cloud.world.objects.remove(&self.head);
                self.cloud.world.nodes.remove(&self.head);
                self.head = self.make(INSTANCE_KIND, "c-head")?;
                self.pushed = Some(cluster::pushed(self.shape, 1, &self.network)?);
                self.invariants.another_store();
                self.queue.push(self.now_ms + down_ms, Coming::Boot);
            }
            Deed::Fault(rule) => self.cloud.add_rule(rule),
            Deed::Teardown { drain } => {
                self.invariants.torn_down = true;
                self.begin_teardown(drain)?;
            }
            Deed::Calm => {
                self.cloud.set_rates(FaultRates::CALM);
                self.cloud.clear_rules();
                self.queue.push(self.now_ms + LOOK_MS, Coming::Look);
            }
        }
        Ok(())
    }

    fn kill(&mut self, number: u64) {
        let ids: Vec<String> = self.workers().map(|worker| worker.id.clone()).collect();
        let place = number.checked_rem(ids.len() as u64).and_then(|place| usize::try_from(place).ok());
        let Some(id) = place.and_then(|place| ids.get(place)) else { return };
        self.note(|| format!("{id} dies"));
        self.cloud.world.objects.remove(id);
        self.cloud.world.nodes.remove(id);
        self.invariants.died();
        self.count("deaths");
    }

    fn push(&mut self, shape: Shape) -> Result<(), Failure> {
        let generation = self.pushed.as_ref().map_or(1, |pushed| pushed.generation + 1);
        let pushed = cluster::pushed(shape, generation, &self.network)?;
        self.invariants.pushed(self.now_ms, self.shape, shape);
        // A name alone is nothing that anybody must do something for.
        self.invariants.rests = matches!(self.options.kind, Kind::Rename { .. }) && Shape { renamed: true, ..self.shape } == shape;
        self.shape = shape;
        if let Some(life) = &mut self.life {
            life.controller.configure(pushed.clone());
        }
        self.pushed = Some(pushed);
        self.count("pushes");
        Ok(())
    }

    /// Whether everything is in order, for good.
    fn look(&mut self) -> Result<bool, Failure> {
        let disorder = self.disorder()?;
        if disorder.is_none() {
            self.check_reopened()?;
            return Ok(true);
        }
        self.queue.push(self.now_ms + LOOK_MS, Coming::Look);
        Ok(false)
    }

    /// What is not in order.
    fn disorder(&self) -> Result<Option<String>, Failure> {
        let Some(life) = &self.life else { return Ok(Some("there is no controller".to_owned())) };
        let status = life.controller.status();
        if !status.settled {
            let problems: Vec<String> = status
                .nodes
                .iter()
                .map(|(address, node)| format!("{address} {}: {}", node.state.as_str(), node.problem.as_deref().unwrap_or("-")))
                .collect();
            let groups: Vec<String> =
                status.groups.iter().map(|(label, of)| format!("{label} {}/{} {:?}", of.ready, of.desired, of.problem)).collect();
            return Ok(Some(format!("the status is not settled: {groups:?} {problems:?} {:?}", status.problem)));
        }
        let ledger = life.controller.ledger();
        if let Some(open) = ledger.open.values().next() {
            return Ok(Some(format!("the intent {} is open", open.intent.op_id)));
        }
        if let Some(wrong) = self.difference(&ledger.state) {
            return Ok(Some(wrong));
        }
        let published = self.cloud.world.objects.get(&self.head).and_then(|head| head.status.get("settled"));
        if published.map(String::as_str) != Some("true") {
            return Ok(Some("that it is settled is not published".to_owned()));
        }
        Ok(None)
    }

    /// What the stores say is what the controller knows.
    fn check_reopened(&self) -> Result<(), Failure> {
        let Some(life) = &self.life else { return Ok(()) };
        let fault = |error: DurableError| Failure::new(format!("the store cannot be read again: {error}"));
        let again = SessionStore::in_memory(&self.backend, Box::new(SeededEntropy::new(0))).map_err(fault)?;
        let known = &life.controller.ledger().state;
        if again.state().resources != known.resources || again.state().facts != known.facts || !again.open_intents().is_empty() {
            return Err(Failure::new("what is durable is not what the controller knows"));
        }
        Ok(())
    }
}
