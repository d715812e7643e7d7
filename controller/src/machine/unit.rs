//! A unit: a worker, or the head for those of its steps that the controller does. Each has at most one state machine under way.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use cloudtik_executor::engine::{Command, Engine, Event, Settlement, Step as _};
use cloudtik_lang::LateValues;
use cloudtik_model::Address;

use crate::decide::Reason;

/// Names a unit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum UnitId {
    /// The head.
    Head,
    /// A worker.
    Worker {
        /// Label of its group.
        group: Arc<str>,
        /// Its number.
        sequence: u64,
    },
}

impl UnitId {
    pub(super) fn group(&self) -> Option<&Arc<str>> {
        match self {
            Self::Head => None,
            Self::Worker { group, .. } => Some(group),
        }
    }

    pub(super) const fn sequence(&self) -> u64 {
        match self {
            Self::Head => 0,
            Self::Worker { sequence, .. } => *sequence,
        }
    }
}

impl fmt::Display for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("head"),
            Self::Worker { group, sequence } => write!(f, "{group}[{sequence}]"),
        }
    }
}

/// What is under way for a unit.
pub(super) enum Work {
    Idle,
    /// What an earlier controller left open.
    Settling(Box<Settlement>),
    /// A plan.
    Running(Box<Engine>),
}

/// What a plan was made for: while all of it is the same, a plan that found nothing to do would find nothing again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Basis {
    pub(super) generation: u64,
    pub(super) live: Arc<LateValues>,
    pub(super) frozen: bool,
    pub(super) leaving: bool,
    pub(super) gone: bool,
    /// Counts the changes of the unit's own objects.
    pub(super) changes: u64,
}

impl Basis {
    /// The same, whatever became of the unit's own objects.
    pub(super) fn but_for_changes(self) -> Self {
        Self { changes: 0, ..self }
    }
}

pub(super) struct Unit {
    pub(super) address: Address,
    pub(super) work: Work,
    /// Which machine of the controller's its work is; the last one, while it is idle.
    pub(super) machine: u64,
    /// It goes, and why.
    pub(super) leaving: Option<Reason>,
    /// The last plan found nothing to do, and nothing waits.
    pub(super) ready: bool,
    /// It was ready once.
    pub(super) was_ready: bool,
    /// It served under the controller before this one, which has not looked at it yet.
    pub(super) unseen: bool,
    /// The provider does not have it any more.
    pub(super) gone: bool,
    /// It was taken in, and may have served before: what is missing on it is no sign that it was never finished.
    pub(super) adopted: bool,
    /// It had an instance once.
    pub(super) had_instance: bool,
    /// It will not be tried again.
    pub(super) given_up: bool,
    /// Its instance was made from another template.
    pub(super) outdated: bool,
    /// Some of its steps wait for values.
    pub(super) waits: bool,
    /// A change of its steps waits for its turn in the group.
    pub(super) wants_turn: bool,
    /// What the change that waits for its turn was planned for.
    pub(super) waits_for_turn: Option<Basis>,
    /// It was asked to come to rest, because its group is renamed.
    pub(super) told_to_rest: bool,
    /// What the run that is under way is for.
    pub(super) wanted: Option<Basis>,
    /// What the last run was for, when all of it was done.
    pub(super) done: Option<Basis>,
    /// Runs in a row that were done and had to be done again.
    pub(super) repeats: u32,
    /// Failed runs in a row.
    pub(super) failures: u32,
    pub(super) retry_at_ms: u64,
    pub(super) checked: Option<Basis>,
    pub(super) changes: u64,
    pub(super) problem: Option<String>,
    /// Steps of its template.
    pub(super) steps: u64,
    pub(super) running: BTreeSet<Address>,
    /// What was published for it last.
    pub(super) published: Option<String>,
}

impl Unit {
    pub(super) fn new(address: Address) -> Self {
        Self {
            address,
            work: Work::Idle,
            machine: 0,
            leaving: None,
            ready: false,
            was_ready: false,
            unseen: false,
            gone: false,
            adopted: false,
            had_instance: false,
            given_up: false,
            outdated: false,
            waits: false,
            wants_turn: false,
            waits_for_turn: None,
            told_to_rest: false,
            wanted: None,
            done: None,
            repeats: 0,
            failures: 0,
            retry_at_ms: 0,
            checked: None,
            changes: 0,
            problem: None,
            steps: 0,
            running: BTreeSet::new(),
            published: None,
        }
    }

    /// Whether its last run came to nothing, or its last runs all to the same.
    pub(super) const fn is_failing(&self) -> bool {
        self.failures > 0 || self.repeats > 0
    }

    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.work, Work::Idle)
    }

    /// Hands an event to what is under way.
    pub(super) fn step(&mut self, now_ms: u64, event: Event) -> Vec<Command> {
        match &mut self.work {
            Work::Idle => Vec::new(),
            Work::Settling(settlement) => settlement.step(now_ms, event),
            Work::Running(engine) => engine.step(now_ms, event),
        }
    }
}
