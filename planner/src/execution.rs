//! From a plan to the operations that carry it out, and their order.
//!
//! Every address has a place where it is made (create, update, run) and a place where it goes (delete, undo). Makers come after the makers
//! of what they depend on, as the plan says; goers after the goers of what depends on them, as the state says. A no-op keeps its places as
//! waypoints that cost nothing, so that an order through it holds without an edge for every pair; waypoints between which nothing
//! happens are dropped in the end.
//!
//! Some orders are only wishes: that a dependent stops using a thing before the thing goes. A wish holds wherever it contradicts nothing
//! that must be, and it is never part of a cycle: it is kept when it agrees with one order of all that must be.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use cloudtik_model::{Address, NodeAction, ProviderRef, State, StateEntry};

use crate::removal::node_of;
use crate::step::effective_undo;
use crate::{Action, Change, Plan};

/// What is to be done, each after what it must wait for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Execution {
    /// The operations; `id` is the position.
    pub operations: Vec<Operation>,
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Its position in [`Execution::operations`].
    pub id: usize,
    /// Its address.
    pub address: Address,
    /// What is done.
    pub kind: OperationKind,
    /// The kind of the object it concerns: of a delete, that of the object that goes.
    pub object_kind: Arc<str>,
    /// Who does it: of a delete, who made the object that goes.
    pub provider: ProviderRef,
    /// The operations that must have ended well before.
    pub after: BTreeSet<usize>,
    /// Milliseconds it is expected to take.
    pub expected_ms: u64,
    /// Milliseconds from its start to the end of the longest chain that begins with it: the longest goes first.
    pub remaining_ms: u64,
}

/// What an operation does.
#[derive(Clone, Debug, PartialEq)]
pub enum OperationKind {
    /// Makes an object where none is.
    Create,
    /// Makes the new object of a replacement.
    CreateReplacement {
        /// Whether the old one is still there and becomes deposed.
        deposes: bool,
    },
    /// Changes an object in place.
    Update,
    /// Takes an object over that the state does not know, and changes it in place where that is planned.
    Import,
    /// Writes what the spec wants into the state: its change does nothing to the object.
    Record,
    /// Writes what a read found into the state.
    Observe,
    /// Writes what it depends on into the state.
    Rewire,
    /// Removes an object.
    Delete {
        /// The object.
        id: String,
        /// When it is not the current one by then: the key in `deposed`.
        deposed: Option<String>,
    },
    /// Lets go of an address in the state.
    Forget,
    /// Runs a step.
    Run,
    /// Undoes a step as it was done. The state's entry goes with it only if it still belongs to this instance: the step may have run on a
    /// new one already.
    Undo {
        /// The instance.
        instance: String,
        /// What is undone.
        action: Box<NodeAction>,
    },
    /// Nothing: it passes the order on.
    Waypoint,
}

/// Why there is no order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecutionError {
    /// The plan or the state is damaged.
    #[error("these wait for each other, so the plan has no order: {}", addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Cycle {
        /// Some of the addresses on the cycle.
        addresses: Vec<Address>,
    },
}

/// How many addresses of a cycle are named.
const MAX_CYCLE_NAMES: usize = 10;

/// The operations of a plan that was made from this state, and their order.
///
/// # Errors
/// The plan or the state says that things wait for each other.
pub fn execution(plan: &Plan, state: &State) -> Result<Execution, ExecutionError> {
    let mut builder = Builder {
        plan,
        state,
        operations: Vec::new(),
        makers: BTreeMap::new(),
        goers: BTreeMap::new(),
        wishes: Vec::new(),
        early: BTreeSet::new(),
    };
    builder.places();
    builder.make_edges();
    builder.go_edges();
    builder.additions();
    builder.pair_edges();
    builder.step_barriers();
    builder.forgotten_steps();
    let order = builder.order_with_names()?;
    builder.grant_wishes(&order);
    Ok(finish(builder.operations, &order))
}

/// Where an address goes: what waits for it to go waits for `last`; it waits for others at `first`.
#[derive(Clone, Copy)]
struct Going {
    first: usize,
    last: usize,
    /// The one that removes the current object.
    current: usize,
    /// Those that remove deposed objects: from here, up to but not including `deposed_to`.
    deposed_from: usize,
    /// See `deposed_from`.
    deposed_to: usize,
}

struct Builder<'a> {
    plan: &'a Plan,
    state: &'a State,
    operations: Vec<Operation>,
    makers: BTreeMap<&'a Address, usize>,
    goers: BTreeMap<&'a Address, Going>,
    /// Pairs of before and after that are kept where they contradict nothing.
    wishes: Vec<(usize, usize)>,
    /// Undoing that comes before anything is made.
    early: BTreeSet<usize>,
}

impl<'a> Builder<'a> {
    fn add(&mut self, address: &Address, kind: OperationKind, object_kind: &Arc<str>, provider: &ProviderRef, expected_ms: u64) -> usize {
        let id = self.operations.len();
        self.operations.push(Operation {
            id,
            address: address.clone(),
            kind,
            object_kind: Arc::clone(object_kind),
            provider: provider.clone(),
            after: BTreeSet::new(),
            expected_ms,
            remaining_ms: 0,
        });
        id
    }

    fn edge(&mut self, before: usize, after: usize) {
        if let Some(operation) = self.operations.get_mut(after)
            && before != after
        {
            operation.after.insert(before);
        }
    }

    /// The places of every address.
    fn places(&mut self) {
        let (plan, state) = (self.plan, self.state);
        for (address, change) in &plan.changes {
            let entry = state.resources.get(address);
            if change.desired.is_some() {
                let kind = self.making(change, entry);
                let cost = if kind == OperationKind::Waypoint { 0 } else { change.expected_ms };
                let id = self.add(address, kind, &change.kind, &change.provider, cost);
                self.makers.insert(address, id);
            }
            if let Some(entry) = entry {
                let going = self.going(change, entry);
                self.goers.insert(address, going);
            }
        }
    }

    fn making(&self, change: &Change, entry: Option<&StateEntry>) -> OperationKind {
        match change.action {
            Action::Create => OperationKind::Create,
            Action::Replace if change.is_step() => OperationKind::Run,
            Action::Replace => OperationKind::CreateReplacement { deposes: change.create_before_destroy },
            Action::Update if change.is_record() => OperationKind::Record,
            Action::Update => OperationKind::Update,
            Action::Import => OperationKind::Import,
            Action::Run => OperationKind::Run,
            Action::Delete | Action::Forget => OperationKind::Waypoint,
            Action::NoOp | Action::Adopt => {
                let wired = |entry: &StateEntry| {
                    entry.depends_on == change.depends_on
                        && (change.is_step() || entry.create_before_destroy == change.create_before_destroy)
                };
                // A replacement that removes first takes its entry out of the state for a while, and with it what others said of it.
                let unwired = |dependency: &Address| {
                    self.plan
                        .changes
                        .get(dependency)
                        .is_some_and(|change| change.action == Action::Replace && !change.create_before_destroy)
                };
                if !entry.is_none_or(wired) || change.depends_on.iter().any(unwired) {
                    OperationKind::Rewire
                } else if change.drift.is_empty() {
                    OperationKind::Waypoint
                } else {
                    OperationKind::Observe
                }
            }
        }
    }

    fn going(&mut self, change: &Change, entry: &StateEntry) -> Going {
        let address = &change.address;
        let kind = self.removing(change, entry);
        let cost = match kind {
            OperationKind::Delete { .. } | OperationKind::Undo { .. } => {
                change.delete_ms.max(if change.action == Action::Delete { change.expected_ms } else { 0 })
            }
            _ => 0,
        };
        let current = self.add(address, kind, &entry.kind, &entry.provider, cost);
        if change.deposed.is_empty() {
            return Going { first: current, last: current, current, deposed_from: 0, deposed_to: 0 };
        }
        let first = self.add(address, OperationKind::Waypoint, &entry.kind, &entry.provider, 0);
        let last = self.add(address, OperationKind::Waypoint, &entry.kind, &entry.provider, 0);
        self.edge(first, current);
        self.edge(current, last);
        let deposed_from = self.operations.len();
        for op_id in &change.deposed {
            if let Some(object) = entry.deposed.get(op_id) {
                let kind = OperationKind::Delete { id: object.id.clone(), deposed: Some(op_id.clone()) };
                let id = self.add(address, kind, &entry.kind, &entry.provider, change.delete_ms);
                // A replacement that an earlier run left half done is there before the rest of the old one goes.
                if let Some(maker) = self.makers.get(address) {
                    self.wishes.push((*maker, id));
                }
                self.edge(first, id);
                self.edge(id, last);
            }
        }
        Going { first, last, current, deposed_from, deposed_to: self.operations.len() }
    }

    fn removing(&self, change: &Change, entry: &StateEntry) -> OperationKind {
        let Some(object) = &entry.current else {
            return if change.action == Action::Forget { OperationKind::Forget } else { OperationKind::Waypoint };
        };
        match change.action {
            Action::Forget if change.is_step() => OperationKind::Waypoint,
            Action::Forget => OperationKind::Forget,
            Action::Delete if change.id.is_none() => OperationKind::Forget,
            Action::Delete | Action::Replace if change.is_step() => effective_undo(object).map_or(OperationKind::Waypoint, |action| {
                OperationKind::Undo { instance: object.id.clone(), action: Box::new(action.clone()) }
            }),
            Action::Delete => OperationKind::Delete { id: object.id.clone(), deposed: None },
            Action::Replace => {
                let deposed = change.create_before_destroy.then(|| object.op_id.clone());
                OperationKind::Delete { id: object.id.clone(), deposed }
            }
            _ => OperationKind::Waypoint,
        }
    }

    /// Makers after the makers of what they depend on.
    fn make_edges(&mut self) {
        for change in self.plan.changes.values() {
            let Some(maker) = self.makers.get(&change.address).copied() else { continue };
            for dependency in &change.depends_on {
                if let Some(before) = self.makers.get(dependency).copied() {
                    self.edge(before, maker);
                }
            }
        }
    }

    /// What only adds up is added to first, if it can.
    fn additions(&mut self) {
        for change in self.plan.changes.values().filter(|change| !change.makes_way_for.is_empty()) {
            let Some(going) = self.goers.get(&change.address) else { continue };
            let makers = change.makes_way_for.iter().filter_map(|address| self.makers.get(address));
            self.wishes.extend(makers.map(|maker| (*maker, going.current)));
        }
    }

    /// Goers after the goers of what depends on them. And a dependent that stays stops using a thing before the thing goes, if it can.
    fn go_edges(&mut self) {
        let state = self.state;
        for (address, entry) in &state.resources {
            let Some(going) = self.goers.get(address).copied() else { continue };
            let stays =
                self.plan.changes.get(address).filter(|change| change.action != Action::Replace).and(self.makers.get(address).copied());
            for dependency in &entry.depends_on {
                let Some(later) = self.goers.get(dependency).copied() else { continue };
                self.edge(going.last, later.first);
                if let Some(maker) = stays {
                    self.wishes.push((maker, later.current));
                }
            }
        }
    }

    /// The two halves of replacements.
    fn pair_edges(&mut self) {
        let plan = self.plan;
        for change in plan.changes.values().filter(|change| change.action == Action::Replace) {
            let (Some(maker), Some(going)) = (self.makers.get(&change.address).copied(), self.goers.get(&change.address).copied()) else {
                continue;
            };
            match (change.create_before_destroy, change.is_step()) {
                (false, _) => self.edge(going.current, maker),
                (true, false) => self.edge(maker, going.current),
                // A step is stopped on the old node once it runs on the new one.
                (true, true) => self.wishes.push((maker, going.current)),
            }
        }
        // What depends on a replaced object uses the new one before the old one goes.
        for change in plan.changes.values() {
            let Some(maker) = self.makers.get(&change.address).copied() else { continue };
            for dependency in &change.depends_on {
                let first =
                    plan.changes.get(dependency).is_some_and(|change| change.action == Action::Replace && change.create_before_destroy);
                let left = plan.changes.get(dependency).is_some_and(|change| !change.deposed.is_empty());
                if let (true, Some(going)) = (first || left, self.goers.get(dependency).copied()) {
                    for id in std::iter::once(going.current).chain(going.deposed_from..going.deposed_to) {
                        self.wishes.push((maker, id));
                    }
                }
            }
        }
    }

    /// Steps that left the spec are undone before the node's other steps run: the port of an old daemon is free for a new one.
    fn step_barriers(&mut self) {
        let (plan, state) = (self.plan, self.state);
        let mut barriers: BTreeMap<&Address, usize> = BTreeMap::new();
        for change in plan.changes.values().filter(|change| change.is_step() && change.action == Action::Delete) {
            let found = state.resources.get_key_value(&change.address).and_then(|(address, entry)| {
                let node = node_of(&state.resources, address, entry, entry.current.as_ref()?)?;
                Some((node, self.goers.get(address)?.current))
            });
            let stays =
                |node: &Address| plan.changes.get(node).is_some_and(|change| change.desired.is_some() && change.action != Action::Replace);
            let Some((node, undo)) = found.filter(|(node, _)| stays(node)) else { continue };
            let barrier = match barriers.get(node) {
                Some(barrier) => *barrier,
                None => {
                    let barrier = self.add(node, OperationKind::Waypoint, &change.kind, &change.provider, 0);
                    barriers.insert(node, barrier);
                    barrier
                }
            };
            self.edge(undo, barrier);
            self.early.insert(undo);
        }
        for change in plan.changes.values() {
            if let (Some(cloudtik_model::Node::Step(step)), Some(maker)) = (&change.desired, self.makers.get(&change.address).copied())
                && let Some(barrier) = barriers.get(&step.node)
            {
                self.wishes.push((*barrier, maker));
            }
        }
    }

    /// The state lets go of a step when its node is gone: a node whose delete fails keeps its steps.
    fn forgotten_steps(&mut self) {
        let (plan, state) = (self.plan, self.state);
        for change in plan.changes.values().filter(|change| change.is_step() && change.action == Action::Forget) {
            let id = self.add(&change.address, OperationKind::Forget, &change.kind, &change.provider, 0);
            let node = state.resources.get_key_value(&change.address).and_then(|(address, entry)| {
                let node = node_of(&state.resources, address, entry, entry.current.as_ref()?)?;
                self.goers.get(node).copied()
            });
            if let Some(going) = node {
                self.edge(going.last, id);
            }
        }
    }

    /// The order in which unique names are let go of before they are taken; where that cannot be, the order without.
    fn order_with_names(&mut self) -> Result<Vec<usize>, ExecutionError> {
        let mut names: Vec<(usize, usize)> = Vec::new();
        for change in self.plan.changes.values().filter(|change| !change.waits_for.is_empty()) {
            let Some(maker) = self.makers.get(&change.address).copied() else { continue };
            let holders = change.waits_for.iter().filter_map(|address| self.goers.get(address));
            names.extend(holders.map(|going| (going.current, maker)));
        }
        names.retain(|(before, after)| self.operations.get(*after).is_some_and(|operation| !operation.after.contains(before)));
        names.iter().for_each(|(before, after)| self.edge(*before, *after));
        let order = self.order();
        if order.is_ok() || names.is_empty() {
            return order;
        }
        for (before, after) in names {
            if let Some(operation) = self.operations.get_mut(after) {
                operation.after.remove(&before);
            }
        }
        self.order()
    }

    /// One order of all that must be: among what is ready, undoing first, then making, then removing, so that wishes mostly agree with it.
    fn order(&self) -> Result<Vec<usize>, ExecutionError> {
        let mut waits: Vec<usize> = self.operations.iter().map(|operation| operation.after.len()).collect();
        let followers = followers(&self.operations);
        let class = |id: usize| match self.operations.get(id).map(|operation| &operation.kind) {
            Some(OperationKind::Waypoint | OperationKind::Forget) => 0_u8,
            Some(OperationKind::Undo { .. }) if self.early.contains(&id) => 0,
            Some(OperationKind::Delete { .. } | OperationKind::Undo { .. }) => 2,
            _ => 1,
        };
        let mut ready: BinaryHeap<Reverse<(u8, usize)>> =
            waits.iter().enumerate().filter(|(_, count)| **count == 0).map(|(id, _)| Reverse((class(id), id))).collect();
        let mut order = Vec::with_capacity(self.operations.len());
        while let Some(Reverse((_, id))) = ready.pop() {
            order.push(id);
            for follower in followers.get(id).into_iter().flatten() {
                if let Some(count) = waits.get_mut(*follower) {
                    *count -= 1;
                    if *count == 0 {
                        ready.push(Reverse((class(*follower), *follower)));
                    }
                }
            }
        }
        if order.len() == self.operations.len() {
            return Ok(order);
        }
        let stuck = self.operations.iter().zip(&waits).filter(|(_, count)| **count > 0).map(|(operation, _)| operation.address.clone());
        let addresses: BTreeSet<Address> = stuck.collect();
        Err(ExecutionError::Cycle { addresses: addresses.into_iter().take(MAX_CYCLE_NAMES).collect() })
    }

    fn grant_wishes(&mut self, order: &[usize]) {
        let position = positions(order);
        for (before, after) in std::mem::take(&mut self.wishes) {
            if position.get(before) < position.get(after) {
                self.edge(before, after);
            }
        }
    }
}

fn followers(operations: &[Operation]) -> Vec<Vec<usize>> {
    let mut followers = vec![Vec::new(); operations.len()];
    for operation in operations {
        for before in &operation.after {
            if let Some(list) = followers.get_mut(*before) {
                list.push(operation.id);
            }
        }
    }
    followers
}

fn positions(order: &[usize]) -> Vec<usize> {
    let mut position = vec![0; order.len()];
    for (place, id) in order.iter().enumerate() {
        if let Some(slot) = position.get_mut(*id) {
            *slot = place;
        }
    }
    position
}

/// Drops waypoints between which nothing happens, numbers the rest in an order in which they can be done, and sums up what remains.
fn finish(operations: Vec<Operation>, order: &[usize]) -> Execution {
    let real = |id: usize| operations.get(id).is_some_and(|operation| operation.kind != OperationKind::Waypoint);
    let mut behind = vec![false; operations.len()];
    let mut ahead = vec![false; operations.len()];
    let followers = followers(&operations);
    for id in order {
        let Some(operation) = operations.get(*id) else { continue };
        let some = operation.after.iter().any(|before| real(*before) || behind.get(*before).copied().unwrap_or(false));
        if let Some(slot) = behind.get_mut(*id) {
            *slot = some;
        }
    }
    for id in order.iter().rev() {
        let some = followers.get(*id).into_iter().flatten().any(|after| real(*after) || ahead.get(*after).copied().unwrap_or(false));
        if let Some(slot) = ahead.get_mut(*id) {
            *slot = some;
        }
    }
    let kept = |id: &usize| real(*id) || behind.get(*id).copied().unwrap_or(false) && ahead.get(*id).copied().unwrap_or(false);
    let order: Vec<usize> = order.iter().copied().filter(kept).collect();
    let number: BTreeMap<usize, usize> = order.iter().enumerate().map(|(new, old)| (*old, new)).collect();
    let mut slots: Vec<Option<Operation>> = operations.into_iter().map(Some).collect();
    let mut kept: Vec<Operation> = Vec::with_capacity(order.len());
    for (new, old) in order.iter().enumerate() {
        if let Some(mut operation) = slots.get_mut(*old).and_then(Option::take) {
            operation.id = new;
            operation.after = operation.after.iter().filter_map(|before| number.get(before).copied()).collect();
            kept.push(operation);
        }
    }
    let mut remaining = vec![0_u64; kept.len()];
    for operation in kept.iter_mut().rev() {
        let rest = remaining.get(operation.id).copied().unwrap_or(0);
        operation.remaining_ms = operation.expected_ms.saturating_add(rest);
        for before in &operation.after {
            if let Some(slot) = remaining.get_mut(*before) {
                *slot = (*slot).max(operation.remaining_ms);
            }
        }
    }
    Execution { operations: kept }
}
