//! Which workers of a group there should be. Pure: what is there goes in, what is to be done comes out.

use std::collections::BTreeMap;

/// A group as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupView {
    /// So many are always up; 0 when the group or the cluster goes.
    pub target: u64,
    /// Never more than so many at once, those included that are on their way out.
    pub max: u64,
    /// The workers by sequence number.
    pub workers: BTreeMap<u64, WorkerView>,
    /// Instances that are none of them and still take up room: they are being removed.
    pub others: u64,
    /// The number that the next worker gets.
    pub next: u64,
    /// Whether new ones may be launched now.
    pub may_launch: bool,
}

/// A worker as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerView {
    /// How far it is.
    pub life: Life,
    /// Whether it was made from an earlier template.
    pub outdated: bool,
    /// Whether the provider may have an instance of it.
    pub instance: bool,
}

/// How far a worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Life {
    /// It is being made or set up.
    Coming,
    /// Everything is done on it.
    Ready,
    /// The provider does not have it any more.
    Gone,
    /// It was given up.
    GivenUp,
    /// It is being removed.
    Leaving,
}

/// Why a worker goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The provider does not have it any more.
    Gone,
    /// It could not be set up.
    GivenUp,
    /// There are more than there should be.
    Surplus,
    /// It was made from an earlier template, and all others are well.
    Outdated,
}

impl Reason {
    /// For events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "it is gone from the provider",
            Self::GivenUp => "it could not be set up",
            Self::Surplus => "there are more workers than the group wants",
            Self::Outdated => "it was made from an earlier template",
        }
    }
}

/// What is to be done with a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Workers that go, and why.
    pub retire: BTreeMap<u64, Reason>,
    /// Numbers of workers to make.
    pub launch: Vec<u64>,
}

/// Decides.
#[must_use]
pub fn decide(group: &GroupView) -> Decision {
    let mut decision = Decision::default();
    for (sequence, worker) in &group.workers {
        match worker.life {
            Life::Gone => drop(decision.retire.insert(*sequence, Reason::Gone)),
            Life::GivenUp => drop(decision.retire.insert(*sequence, Reason::GivenUp)),
            // Nobody waits for it to come: what it is made from is outdated before it serves.
            Life::Coming if worker.outdated => drop(decision.retire.insert(*sequence, Reason::Outdated)),
            Life::Coming | Life::Ready | Life::Leaving => {}
        }
    }
    let mut alive: Vec<(u64, WorkerView)> = group
        .workers
        .iter()
        .filter(|(n, worker)| matches!(worker.life, Life::Coming | Life::Ready) && !decision.retire.contains_key(n))
        .map(|(n, w)| (*n, *w))
        .collect();
    let target = usize::try_from(group.target).unwrap_or(usize::MAX);
    if alive.len() > target {
        // Those that have done least go first: not ready, of an earlier template, the youngest.
        alive.sort_by_key(|(sequence, worker)| (worker.life != Life::Ready, worker.outdated, *sequence));
        for (sequence, _) in alive.drain(target..) {
            decision.retire.insert(sequence, Reason::Surplus);
        }
    } else if alive.len() == target && is_well(group, &alive) {
        let outdated = alive.iter().filter(|(_, worker)| worker.outdated).map(|(sequence, _)| *sequence).min();
        if let Some(sequence) = outdated {
            decision.retire.insert(sequence, Reason::Outdated);
            alive.retain(|(other, _)| *other != sequence);
        }
    }
    if group.may_launch {
        let missing = target.saturating_sub(alive.len());
        let there = group.workers.values().filter(|worker| worker.instance || worker.life == Life::Coming).count();
        let others = usize::try_from(group.others).unwrap_or(usize::MAX);
        let room = usize::try_from(group.max).unwrap_or(usize::MAX).saturating_sub(there).saturating_sub(others);
        decision.launch = (group.next..).take(missing.min(room)).collect();
    }
    decision
}

/// The health gate of a rolling change: all are ready, and nobody is on the way out.
fn is_well(group: &GroupView, alive: &[(u64, WorkerView)]) -> bool {
    alive.iter().all(|(_, worker)| worker.life == Life::Ready) && alive.len() == group.workers.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn group(target: u64, max: u64, workers: &[(u64, Life, bool)]) -> GroupView {
        let view = |(sequence, life, outdated): &(u64, Life, bool)| {
            (*sequence, WorkerView { life: *life, outdated: *outdated, instance: *life != Life::Gone })
        };
        let workers: BTreeMap<u64, WorkerView> = workers.iter().map(view).collect();
        let next = workers.keys().last().map_or(1, |last| last + 1);
        GroupView { target, max, workers, others: 0, next, may_launch: true }
    }

    #[test]
    fn an_empty_group_is_filled() {
        assert_eq!(decide(&group(3, 3, &[])).launch, [1, 2, 3]);
    }

    #[test]
    fn one_that_is_gone_is_replaced_under_a_new_number() {
        let decision = decide(&group(3, 3, &[(1, Life::Ready, false), (2, Life::Gone, false), (3, Life::Ready, false)]));
        assert_eq!((decision.retire, decision.launch), (BTreeMap::from([(2, Reason::Gone)]), vec![4]));
    }

    #[test]
    fn a_rolling_change_waits_until_all_are_well() {
        let two = [(1, Life::Ready, true), (2, Life::Coming, false)];
        assert_eq!(decide(&group(2, 2, &two)), Decision::default());
        let two = [(1, Life::Ready, true), (2, Life::Ready, true)];
        assert_eq!(decide(&group(2, 2, &two)).retire, BTreeMap::from([(1, Reason::Outdated)]));
        // The place is free only when the old one is gone.
        assert_eq!(decide(&group(2, 2, &two)).launch, Vec::<u64>::new());
        let leaving = [(1, Life::Leaving, true), (2, Life::Ready, true)];
        assert_eq!(decide(&group(2, 2, &leaving)), Decision::default());
    }

    #[test]
    fn the_youngest_go_first_and_those_that_are_not_ready_before_them() {
        let five =
            [(1, Life::Ready, false), (2, Life::Coming, false), (3, Life::Ready, false), (4, Life::Ready, false), (5, Life::Ready, false)];
        let gone: Vec<u64> = decide(&group(3, 5, &five)).retire.into_keys().collect();
        assert_eq!(gone, [2, 5]);
    }

    #[test]
    fn one_that_is_outdated_before_it_serves_goes_at_once() {
        let two = [(1, Life::Coming, true), (2, Life::Coming, false)];
        let decision = decide(&group(2, 2, &two));
        assert_eq!((decision.retire, decision.launch), (BTreeMap::from([(1, Reason::Outdated)]), vec![]));
    }

    #[test]
    fn what_nobody_knows_takes_up_room() {
        let others = GroupView { others: 2, ..group(3, 3, &[]) };
        assert_eq!(decide(&others).launch, [1]);
    }

    proptest! {
        #[test]
        fn the_maximum_holds_and_the_minimum_is_aimed_at(
            target in 0..8_u64,
            more in 0..4_u64,
            lives in prop::collection::vec((0..5_usize, any::<bool>()), 0..10),
        ) {
            let life = |n: usize| [Life::Coming, Life::Ready, Life::Gone, Life::GivenUp, Life::Leaving][n];
            let workers: Vec<_> = lives.iter().enumerate().map(|(n, (l, outdated))| (n as u64 + 1, life(*l), *outdated)).collect();
            let group = group(target, target + more, &workers);
            let decision = decide(&group);
            let there = group.workers.values().filter(|worker| worker.instance).count();
            if !decision.launch.is_empty() {
                prop_assert!(there + decision.launch.len() <= group.max as usize);
            }
            let alive = group.workers.iter().filter(|(n, w)| matches!(w.life, Life::Coming | Life::Ready) && !decision.retire.contains_key(n)).count();
            prop_assert!(alive + decision.launch.len() <= target as usize);
            prop_assert!(decision.launch.iter().all(|n| *n >= group.next));
        }
    }
}
