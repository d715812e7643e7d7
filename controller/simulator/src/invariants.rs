//! What must hold at every moment, whatever happens.

use std::collections::{BTreeMap, BTreeSet};

use cloudtik_executor::engine::StepJob;
use cloudtik_model::{NodeAction, State, StepOutcome, Value, Verb as NodeVerb};
use cloudtik_provider_api::{Call, GROUP_TAG, ROLE_TAG, Verb, WORKER_ROLE};
use cloudtik_sim::{ADDRESS_TAG, EffectKind, SimObject};

use crate::Failure;
use crate::cluster::{PLAIN, QUORUM, RENAMED, Shape};
use crate::simulation::Simulation;

/// How long an earlier maximum may still be used after it was lowered, in milliseconds: creates whose intents were written before are carried
/// through, a crash in between included.
const LOWERED_MS: u64 = 60_000;

/// See the module.
pub(crate) struct Invariants {
    /// Effects of the world that were looked at.
    seen: usize,
    /// No create may succeed any more.
    pub(crate) fenced: bool,
    /// The cluster goes: nobody promises anything about its members.
    pub(crate) torn_down: bool,
    /// The instance of each address that the store of now ever knew.
    known: BTreeMap<String, String>,
    /// Op ids of all creates there were.
    ops: BTreeSet<String>,
    /// Maxima by group, and until when they count.
    bands: Vec<(&'static str, u64, u64)>,
    /// Commands of joining and leaving that are under way in this life.
    hooks: BTreeSet<u64>,
    /// Restarts that are under way in this life: the instance of each.
    restarts: BTreeMap<u64, String>,
    /// Whether the group with a quorum was complete, and nobody died since.
    whole: bool,
    /// Nothing may be made or removed now, or done on the workers of the group with a quorum.
    pub(crate) rests: bool,
    /// The newest event of the controller that was logged.
    pub(crate) last_event: u64,
}

impl Invariants {
    pub(crate) fn new(shape: Shape) -> Self {
        let bands = [PLAIN, QUORUM].map(|group| (group, shape.band(group).1, u64::MAX)).to_vec();
        Self {
            seen: 0,
            fenced: false,
            torn_down: false,
            known: BTreeMap::new(),
            ops: BTreeSet::new(),
            bands,
            hooks: BTreeSet::new(),
            restarts: BTreeMap::new(),
            whole: false,
            rests: false,
            last_event: 0,
        }
    }

    pub(crate) fn another_life(&mut self) {
        self.hooks.clear();
        self.restarts.clear();
        self.last_event = 0;
    }

    pub(crate) fn another_store(&mut self) {
        self.known.clear();
        self.died();
    }

    pub(crate) const fn died(&mut self) {
        self.whole = false;
    }

    pub(crate) fn pushed(&mut self, now_ms: u64, before: Shape, after: Shape) {
        if before.quorum != after.quorum {
            self.whole = false;
        }
        for (_, _, until) in self.bands.iter_mut().filter(|(_, _, until)| *until == u64::MAX) {
            *until = now_ms.saturating_add(LOWERED_MS);
        }
        self.bands.extend([PLAIN, QUORUM].map(|group| (group, after.band(group).1, u64::MAX)));
    }

    pub(crate) fn step_done(&mut self, ticket: u64) {
        self.hooks.remove(&ticket);
        self.restarts.remove(&ticket);
    }

    fn most(&self, now_ms: u64, group: &str) -> usize {
        let most = self.bands.iter().filter(|(of, _, until)| *of == group && now_ms <= *until).map(|(_, most, _)| *most).max();
        most.and_then(|most| usize::try_from(most).ok()).unwrap_or(0)
    }
}

fn broken<T>(what: String) -> Result<T, Failure> {
    Err(Failure::new(what))
}

/// The group of a worker; one that is renamed is the same.
fn group_of(object: &SimObject) -> &str {
    let group = object.tags.get(GROUP_TAG).map_or("", String::as_str);
    if group == RENAMED { QUORUM } else { group }
}

/// An address by the first name of its group.
fn by_first_name(address: &str) -> String {
    address.replace(&format!(".workers.{RENAMED}["), &format!(".workers.{QUORUM}["))
}

fn address_of(object: &SimObject) -> &str {
    object.tags.get(ADDRESS_TAG).map_or("", String::as_str)
}

impl Simulation {
    /// Looks at what happened to the world since the last look.
    pub(crate) fn check_world(&mut self) -> Result<(), Failure> {
        let audit = &self.cloud.world.audit;
        let new: Vec<_> = audit.iter().skip(self.invariants.seen).filter(|effect| effect.kind == EffectKind::Created).cloned().collect();
        let changed = audit.len() != self.invariants.seen;
        self.invariants.seen = audit.len();
        for effect in new {
            self.check_created(&effect.id, &effect.op_id)?;
        }
        if changed && !self.invariants.whole {
            let (min, _) = self.shape.band(QUORUM);
            // After the loss of a store, those that nobody can reach are removed: until all that are there are known, nothing is promised.
            let known: BTreeSet<&String> = self.invariants.known.values().collect();
            let all_known = self.workers().filter(|worker| group_of(worker) == QUORUM).all(|worker| known.contains(&worker.id));
            self.invariants.whole = all_known && self.serving("").count() as u64 >= min;
        }
        Ok(())
    }

    fn check_created(&mut self, id: &str, op_id: &str) -> Result<(), Failure> {
        let objects = &self.cloud.world.objects;
        let Some(worker) = objects.get(id).filter(|object| object.tags.get(ROLE_TAG).is_some_and(|role| role == WORKER_ROLE)) else {
            return Ok(());
        };
        let (address, group) = (by_first_name(address_of(worker)), group_of(worker));
        if self.invariants.fenced {
            return broken(format!("{id} was made for {address} behind the fence"));
        }
        let there = self.workers().filter(|other| group_of(other) == group).count();
        let most = self.invariants.most(self.now_ms, group);
        if there > most {
            return broken(format!("the group {group} has {there} instances and may have {most}"));
        }
        if let Some(other) = self.workers().find(|other| other.id != id && by_first_name(address_of(other)) == address) {
            return broken(format!("{id} and {} are both {address}", other.id));
        }
        if let Some(former) = self.invariants.known.get(&address) {
            return broken(format!("{id} has the number of {former}: {address}"));
        }
        if !self.invariants.ops.insert(op_id.to_owned()) {
            return broken(format!("{op_id} made something twice"));
        }
        self.count("launches");
        Ok(())
    }

    /// Looks at what the controller knows: a number stands for one instance as long as the store lives.
    pub(crate) fn check_ledger(&mut self) -> Result<(), Failure> {
        let Some(life) = &self.life else { return Ok(()) };
        for (address, entry) in &life.controller.ledger().state.resources {
            if address.segments().len() != 4 {
                continue;
            }
            let Some(object) = &entry.current else { continue };
            let address = by_first_name(&address.to_string());
            match self.invariants.known.get(&address) {
                Some(known) if *known == object.id => {}
                Some(known) => return broken(format!("{address} was {known} and is {}", object.id)),
                None => drop(self.invariants.known.insert(address, object.id.clone())),
            }
        }
        Ok(())
    }

    /// The members of the group with a quorum that serve, without one of them.
    fn serving<'a>(&'a self, without: &'a str) -> impl Iterator<Item = &'a SimObject> {
        let serves = |object: &SimObject| {
            let service = format!("{}.runtime.db.service", address_of(object));
            let marker = self.cloud.world.nodes.get(&object.id).and_then(|node| node.markers.get(&service));
            marker.is_some_and(|marker| matches!(marker.outcome, StepOutcome::Done | StepOutcome::Skipped))
        };
        let restarts = |object: &SimObject| self.invariants.restarts.values().any(|id| *id == object.id);
        self.workers().filter(move |object| object.id != without && group_of(object) == QUORUM && serves(object) && !restarts(object))
    }

    /// A planned change takes an instance out of service for a while.
    fn check_rolling(&self, id: &str, why: &str) -> Result<(), Failure> {
        let member = self.cloud.world.objects.get(id).is_some_and(|object| group_of(object) == QUORUM);
        let others = self.serving(id).count() as u64;
        let (min, _) = self.shape.band(QUORUM);
        if member && self.invariants.whole && !self.invariants.torn_down && others + 1 < min {
            return broken(format!("{why} of {id} leaves {others} of {min} members"));
        }
        Ok(())
    }

    pub(crate) fn before_call(&mut self, call: &Call) -> Result<(), Failure> {
        match &call.verb {
            Verb::Create(_) | Verb::Update(_) | Verb::Delete { .. } if self.invariants.rests => {
                broken(format!("{} is touched although nothing but a name changed", call.address))
            }
            Verb::Delete { id, .. } => self.check_rolling(id, "the removal"),
            _ => Ok(()),
        }
    }

    pub(crate) fn before_step(&mut self, job: &StepJob) -> Result<(), Failure> {
        let (address, ticket) = (job.request.address.as_str(), job.ticket.0);
        if address.ends_with(".runtime.db.member") {
            if let NodeAction::Run { script, .. } = &job.request.action {
                let word = if script == "join" { "joins" } else { "leaves" };
                self.count(word);
            }
            if !self.invariants.hooks.is_empty() {
                return broken(format!("{address} joins or leaves while another one does"));
            }
            self.invariants.hooks.insert(ticket);
            return Ok(());
        }
        if job.request.verb != NodeVerb::Check {
            self.count("steps");
            if self.invariants.rests && by_first_name(address).contains(&format!(".{QUORUM}[")) {
                return broken(format!("{address} is done although nothing but a name changed"));
            }
        }
        match job.request.verb {
            NodeVerb::Undo => self.check_rolling(&job.instance_id, "an undo"),
            NodeVerb::Do if address.ends_with(".runtime.db.service") => {
                let serves = self.serving("").any(|object| object.id == job.instance_id);
                // The same run again attaches to what was done.
                let node = self.cloud.world.nodes.get(&job.instance_id);
                let repeats = node.and_then(|node| node.markers.get(address)).is_some_and(|marker| marker.run_id == job.request.run_id);
                if serves && !repeats {
                    self.check_rolling(&job.instance_id, "the restart")?;
                    self.invariants.restarts.insert(ticket, job.instance_id.clone());
                    self.count("restarts");
                }
                Ok(())
            }
            NodeVerb::Do | NodeVerb::Check => Ok(()),
        }
    }

    /// How the world differs from the configuration and from what the controller knows.
    pub(crate) fn difference(&self, state: &State) -> Option<String> {
        let known: BTreeMap<&str, String> = state
            .resources
            .iter()
            .filter(|(address, _)| address.segments().len() == 4)
            .flat_map(|(address, entry)| {
                entry.current.iter().chain(entry.deposed.values()).map(|object| (object.id.as_str(), by_first_name(&address.to_string())))
            })
            .collect();
        if let Some(orphan) =
            self.workers().find(|worker| known.get(worker.id.as_str()).is_none_or(|of| *of != by_first_name(address_of(worker))))
        {
            return Some(format!("{} is {} and nobody knows it", orphan.id, address_of(orphan)));
        }
        let there: BTreeSet<&str> = self.workers().map(|worker| worker.id.as_str()).collect();
        if let Some((id, address)) = known.iter().find(|(id, _)| !there.contains(*id)) {
            return Some(format!("{address} is {id}, and that is not there"));
        }
        for group in [PLAIN, QUORUM] {
            let (min, most) = self.shape.band(group);
            let cpus = if group == QUORUM { self.shape.quorum_cpus } else { self.shape.plain_cpus };
            let right = |worker: &&SimObject| worker.attributes.get("cpus") == Some(&Value::from(cpus));
            let of_group = || self.workers().filter(|worker| group_of(worker) == group);
            let (all, fit) = (of_group().count() as u64, of_group().filter(right).count() as u64);
            if all > most || fit < min {
                return Some(format!("{group} has {fit} of {min} workers with {cpus} processors, and {all} in all"));
            }
        }
        let serving = self.serving("").count() as u64;
        (serving < self.shape.quorum).then(|| format!("{serving} members serve"))
    }
}
