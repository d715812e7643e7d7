//! The controller by its commands alone: a cloud of a few lines, no time that passes by itself.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are no test functions to clippy")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use cloudtik_controller::{Controller, ControllerInput, HeadIdentity, Pushed, Times};
use cloudtik_executor::durable::Ledger;
use cloudtik_executor::engine::{Command, Event, Made, NodeFacts, RenderedStep, Step as _, StepRenderer};
use cloudtik_executor::{OpResult, Record, SecretRef};
use cloudtik_model::{
    Address, Digest, GroupConfig, HEAD_CONFIG_VERSION, HeadConfig, Lifecycle, NodeAction, ProviderRef, PushConfig, ResourceSpec, Span,
    State, StepKind, StepSpec, Value,
};
use cloudtik_provider_api::{
    Answer, CLUSTER_TAG, Call, CallError, ErrorClass, Found, GROUP_TAG, ObjectAnswer, ROLE_TAG, SEQUENCE_TAG, Secret, Verb, WORKER_ROLE,
};
use cloudtik_sim::{World, sim_schema};

struct FirstContact;

impl StepRenderer for FirstContact {
    fn render(&self, _spec: &StepSpec, _facts: &NodeFacts) -> Result<RenderedStep, CallError> {
        Ok(RenderedStep { action: NodeAction::HostKey { authorized_keys: Vec::new() }, undo: None, artifacts: Vec::new() })
    }
}

fn config(min: u64) -> HeadConfig {
    let node = ResourceSpec {
        address: "cluster.c.workers.g".parse().unwrap(),
        kind: "sim_instance".into(),
        provider: ProviderRef::new("sim"),
        attributes: Value::object([("name", Value::from("c-g")), ("tags", Value::map([("a", Value::from("b"))]))]),
        depends_on: BTreeSet::new(),
        lifecycle: Lifecycle::default(),
        marks: BTreeMap::new(),
        span: Span::NONE,
        origins: BTreeMap::new(),
    };
    let group = GroupConfig {
        min,
        max: min,
        quorum: false,
        moved_from: None,
        ready_timeout_secs: 300,
        node,
        steps: Vec::new(),
        memberships: Vec::new(),
    };
    HeadConfig {
        version: HEAD_CONFIG_VERSION,
        cluster: Address::of("cluster", "c"),
        name: "c".to_owned(),
        provider: ProviderRef::new("sim"),
        provider_config: Value::object::<&str>([]),
        groups: BTreeMap::from([("g".into(), group)]),
        head_steps: Vec::new(),
        services: BTreeMap::new(),
        secrets: BTreeMap::new(),
        scaling: Value::NULL,
    }
}

fn pushed(min: u64, generation: u64) -> Pushed {
    pushed_as(config(min), generation)
}

fn pushed_as(config: HeadConfig, generation: u64) -> Pushed {
    Pushed {
        generation,
        push: PushConfig {
            uid: "l/w/c".to_owned(),
            epoch: 1,
            follows: None,
            config: serde_json::to_value(&config).unwrap(),
            digest: config.digest().unwrap(),
            references: Value::object::<&str>([]),
            secrets: BTreeMap::new(),
            operator_keys: Vec::new(),
        },
        config: Arc::new(config),
        references: BTreeMap::new(),
        secrets: BTreeMap::new(),
        login_key: "key".to_owned(),
    }
}

const fn is_intent(record: &Record) -> bool {
    matches!(record, Record::Intent(_))
}

/// A controller and its cloud.
struct Rig {
    controller: Controller,
    world: World,
    now_ms: u64,
    timers: Vec<u64>,
    records: Vec<Record>,
    calls: Vec<Call>,
    /// Calls whose answer is lost, by verb.
    lose: Vec<&'static str>,
    /// Whether somebody adds a tag of his own to whatever is made or changed.
    tags: bool,
    /// Whether there is no room for anything.
    full: bool,
    /// Whether no intent becomes durable any more, and what was to be with them.
    holds_intents: bool,
    held: Vec<Record>,
    /// Steps that went out; none of them is answered.
    steps: usize,
}

impl Rig {
    fn new(state: State, min: u64, world: World) -> Self {
        Self::with(state, pushed(min, 1), world)
    }

    fn with(state: State, pushed: Pushed, world: World) -> Self {
        let controller = Controller::new(ControllerInput {
            ledger: Ledger::new(state),
            run_id: "r1".to_owned(),
            epoch: 1,
            schemas: BTreeMap::from([("sim".to_owned(), sim_schema())]),
            renderer: Arc::new(FirstContact),
            times: Times::default(),
            head: HeadIdentity { instance: "head".to_owned() },
            tool_version: "test".to_owned(),
            began_secs: 0,
            events: VecDeque::new(),
            pushed: Some(pushed),
        });
        let (timers, records, calls) = (Vec::new(), Vec::new(), Vec::new());
        let mut rig = Self {
            controller,
            world,
            now_ms: 0,
            timers,
            records,
            calls,
            lose: Vec::new(),
            tags: false,
            full: false,
            holds_intents: false,
            held: Vec::new(),
            steps: 0,
        };
        rig.feed(Event::Start);
        rig
    }

    /// An event, and everything that comes of it but timers.
    fn feed(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for command in self.controller.step(self.now_ms, event) {
                match command {
                    Command::Append { records, .. } if self.holds_intents && records.iter().any(is_intent) => self.held.extend(records),
                    Command::RunStep(_) => self.steps += 1,
                    Command::Append { batch, records } => {
                        self.records.extend(records);
                        events.push_back(Event::Appended { batch });
                    }
                    Command::Call { ticket, call } => {
                        let answer = self.answer(&call);
                        self.calls.push(call);
                        events.push_back(Event::Answer { ticket, answer });
                    }
                    Command::MakeSecrets { ticket, kinds, .. } => {
                        let reference = SecretRef { file: "f".to_owned(), digest: Digest::of("f"), public: "public".to_owned() };
                        let secret = Secret { private: "private".to_owned(), public: "public".to_owned() };
                        let made = |(name, _)| (name, Made { reference: reference.clone(), secret: secret.clone() });
                        events.push_back(Event::SecretsReady { ticket, secrets: Ok(kinds.into_iter().map(made).collect()) });
                    }
                    Command::LoadSecrets { ticket, references } => {
                        let secret = Secret { private: "private".to_owned(), public: "public".to_owned() };
                        let made = |(name, reference)| (name, Made { reference, secret: secret.clone() });
                        events.push_back(Event::SecretsReady { ticket, secrets: Ok(references.into_iter().map(made).collect()) });
                    }
                    Command::Timer { timer, .. } => self.timers.push(timer.0),
                    _ => {}
                }
            }
        }
    }

    fn answer(&mut self, call: &Call) -> Answer {
        let verb = call.verb.as_str();
        let lost = self.lose.iter().position(|lost| *lost == verb).map(|place| self.lose.remove(place));
        if lost.is_some() {
            return Answer::Failed(CallError::new(ErrorClass::Unknown, "no-answer", "no answer came"));
        }
        if self.full && verb == "create" {
            return Answer::Failed(CallError::new(ErrorClass::NoRoom, "no-room", "there is no room"));
        }
        let mut answer = self.world.call(&sim_schema(), self.now_ms, call, 0);
        if let (Verb::FindByTag { .. }, Answer::Found(found)) = (&call.verb, &mut answer) {
            let tags = BTreeMap::from([(CLUSTER_TAG.to_owned(), "l/w/c".to_owned())]);
            found.push(Found { object: ObjectAnswer { id: "head".to_owned(), attributes: Value::object::<&str>([]) }, tags });
        }
        if let (true, Answer::Object(object)) = (self.tags, &mut answer)
            && let Some(attributes) = object.attributes.entries()
        {
            let mut attributes = attributes.clone();
            attributes.insert("tags".into(), Value::map([("a", Value::from("b")), ("owner", Value::from("somebody"))]));
            object.attributes = Value::object(attributes);
        }
        // The head is no object of this world.
        if let Verb::PublishStatus { id, .. } = &call.verb
            && id == "head"
        {
            return Answer::Done;
        }
        answer
    }

    fn pass(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        while self.now_ms < end_ms {
            self.now_ms += 200;
            for timer in std::mem::take(&mut self.timers) {
                self.feed(Event::TimerFired { timer: cloudtik_executor::engine::TimerId(timer) });
            }
        }
    }

    fn workers(&self) -> Vec<(String, String)> {
        self.world.objects.values().map(|object| (object.id.clone(), object.tags.get(SEQUENCE_TAG).cloned().unwrap_or_default())).collect()
    }

    fn publications(&self) -> usize {
        self.calls.iter().filter(|call| call.verb.as_str() == "publish_status").count()
    }
}

fn state() -> State {
    State { version: cloudtik_model::STATE_VERSION, lineage: "l".to_owned(), ..State::default() }
}

#[test]
fn a_publication_that_is_lost_is_made_again_and_one_that_arrived_is_not() {
    let mut rig = Rig::new(state(), 1, World::new());
    rig.lose = vec!["publish_status", "publish_status"];
    rig.pass(10_000);
    assert!(rig.controller.status().settled);
    let last = rig.calls.iter().rev().find_map(|call| match &call.verb {
        Verb::PublishStatus { status, .. } => status.get("settled").cloned(),
        _ => None,
    });
    assert_eq!(last.as_deref(), Some("true"));
    let before = rig.publications();
    rig.pass(10_000);
    assert_eq!(rig.publications(), before);
}

/// Another worker in its place would find no more room: the same one is tried again, and the status says why it is not there.
#[test]
fn a_worker_without_room_is_waited_for_and_not_given_up() {
    let mut rig = Rig::new(state(), 1, World::new());
    rig.full = true;
    rig.pass(200_000);
    let tries = rig.calls.iter().filter(|call| call.verb.as_str() == "create").count();
    assert!((7..12).contains(&tries), "with pauses that grow to a minute: {tries}");
    let status = rig.controller.status();
    let problem = status.nodes.values().find_map(|node| node.problem.clone());
    assert_eq!(problem.as_deref(), Some("cluster.c.workers.g[1]: there is no room"));
    rig.full = false;
    rig.pass(61_000);
    assert_eq!(rig.workers(), [("instance-1".to_owned(), "1".to_owned())]);
    assert!(rig.controller.status().settled);
}

/// The numbers of the workers that each call launched.
fn launches(rig: &Rig) -> BTreeMap<String, BTreeSet<u64>> {
    let mut launches: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for object in rig.world.objects.values() {
        let op = &object.tags["cloudtik:op"];
        let call = op.rsplit_once('.').map_or(op.as_str(), |(call, _)| call).to_owned();
        launches.entry(call).or_default().insert(object.tags[SEQUENCE_TAG].parse().unwrap());
    }
    launches
}

#[test]
fn workers_that_are_wanted_together_are_launched_by_a_few_calls() {
    let mut rig = Rig::new(state(), 40, World::new());
    rig.pass(5_000);
    assert!(rig.controller.status().settled);
    let launches = launches(&rig);
    // Six are the most that one call makes.
    assert_eq!(launches.len(), 7, "{launches:?}");
    assert_eq!(launches.values().flatten().copied().collect::<BTreeSet<_>>(), (1..=40).collect());
    for object in rig.world.objects.values() {
        let number = &object.tags[SEQUENCE_TAG];
        assert_eq!(object.tags["cloudtik:address"], format!("cluster.c.workers.g[{number}]"));
    }
    assert_eq!(rig.records.iter().filter(|record| is_intent(record)).count(), 40);
}

#[test]
fn a_call_goes_out_when_the_intents_of_all_that_it_launches_are_durable() {
    let mut rig = Rig::new(state(), 5, World::new());
    rig.holds_intents = true;
    rig.pass(5_000);
    assert_eq!((rig.workers().len(), rig.held.iter().filter(|record| is_intent(record)).count()), (0, 5));
}

/// What they do then needs the head's processors and connections.
#[test]
fn workers_that_came_together_are_set_up_so_many_at_once() {
    let mut config = config(40);
    let group = config.groups.get_mut("g").unwrap();
    let node: Address = "cluster.c.workers.g".parse().unwrap();
    group.steps = vec![StepSpec {
        address: node.child("step").child("host_key"),
        node: node.clone(),
        kind: StepKind::HostKey,
        inputs: BTreeMap::new(),
        triggers: BTreeSet::new(),
        frozen: false,
        depends_on: BTreeSet::from([node]),
        title: "first contact".to_owned(),
        lifecycle: Lifecycle::default(),
        span: Span::NONE,
    }];
    let mut rig = Rig::with(state(), pushed_as(config, 1), World::new());
    rig.pass(5_000);
    assert_eq!((rig.workers().len(), rig.steps), (40, 32));
}

#[test]
fn numbers_and_the_wish_to_drain_outlive_the_last_worker() {
    let mut rig = Rig::new(state(), 2, World::new());
    rig.pass(5_000);
    assert_eq!(rig.workers().len(), 2);
    rig.controller.drain();
    rig.pass(5_000);
    assert_eq!(rig.workers(), []);
    assert!(rig.controller.status().draining);
    assert!(!rig.records.iter().any(|record| matches!(record, Record::Ended { .. })));
    let ledger = rig.controller.ledger();
    assert_eq!(ledger.state.facts.get("next.g"), Some(&Value::from(3_u64)));
}

#[test]
fn a_worker_that_is_gone_is_replaced_under_another_number_also_when_the_controller_begins_anew() {
    let mut rig = Rig::new(state(), 1, World::new());
    rig.pass(5_000);
    assert_eq!(rig.workers(), [("instance-1".to_owned(), "1".to_owned())]);
    // The state says that the instance went, and its steps are still there, as after a crash in the middle of a removal.
    let mut left = rig.controller.ledger().state.clone();
    let worker: Address = "cluster.c.workers.g[1]".parse().unwrap();
    let mut entry = left.resources.remove(&worker).unwrap();
    entry.kind = "step.run".into();
    left.resources.insert(worker.child("setup").child("s"), entry);
    let mut again = Rig::new(left, 1, World::new());
    again.pass(8_000);
    assert_eq!(again.workers().into_iter().map(|(_, number)| number).collect::<Vec<_>>(), ["2"]);
    assert!(again.controller.status().settled);
}

#[test]
fn instances_that_nobody_knows_take_up_room_until_they_are_gone() {
    let mut other = Rig::new(state(), 2, World::new());
    other.pass(5_000);
    assert_eq!(other.workers().len(), 2);
    // Another store, which knows none of them; nobody published their host keys, and the first try to remove each is lost.
    let mut rig = Rig::new(state(), 2, World::new());
    rig.world = other.world;
    rig.lose = vec!["delete", "delete"];
    for _ in 0..100 {
        rig.pass(200);
        assert!(rig.workers().len() <= 2, "{:?}", rig.workers());
    }
    assert!(rig.controller.status().settled);
    let ours = rig.world.objects.values().filter(|object| object.tags.get(ROLE_TAG).is_some_and(|role| role == WORKER_ROLE));
    assert_eq!(ours.filter(|object| object.tags.get(GROUP_TAG).is_some_and(|group| group == "g")).count(), 2);
}

#[test]
fn it_ends_only_when_everything_is_written() {
    let mut controller = Rig::new(state(), 1, World::new()).controller;
    controller.drain();
    let commands = controller.step(300, Event::Interrupt);
    assert!(matches!(commands.as_slice(), [Command::Append { .. }]), "{commands:?}");
    let commands = controller.step(310, Event::Appended { batch: 2 });
    assert!(matches!(commands.as_slice(), [Command::Finish(_)]), "{commands:?}");
}

#[test]
fn a_create_that_stays_open_is_settled_by_another_machine_and_made_once() {
    let mut rig = Rig::new(state(), 1, World::new());
    // The create and every question after it are lost until the tries are used up: the intent stays open, and another machine settles it.
    rig.lose = vec!["create"; 12];
    rig.pass(120_000);
    assert!(rig.controller.status().settled);
    assert_eq!(rig.workers().len(), 1);
    let objects = rig.records.iter().filter(|record| matches!(record, Record::Outcome { result: OpResult::Object { .. }, .. })).count();
    assert_eq!(objects, 1);
}

#[test]
fn what_must_be_done_again_and_again_is_done_with_pauses_that_grow() {
    let mut rig = Rig { tags: true, ..Rig::new(state(), 1, World::new()) };
    rig.pass(120_000);
    let updates = |rig: &Rig| rig.calls.iter().filter(|call| call.verb.as_str() == "update").count();
    // One, and one after each pause of 1, 2, 4, 8, 16, 32 and 60 s.
    assert!((6..=8).contains(&updates(&rig)), "{} updates", updates(&rig));
    let problem = rig.controller.status().groups["g"].problem.clone().unwrap_or_default();
    assert_eq!(problem, "cluster.c.workers.g[1] was done, and is to be done again");
    rig.tags = false;
    rig.pass(61_000);
    assert!(rig.controller.status().settled);
    assert_eq!(rig.controller.status().groups["g"].problem, None);
}
