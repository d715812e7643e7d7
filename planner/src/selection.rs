//! What a plan is about when it is not about everything: `--target` and `--exclude`.

use std::collections::{BTreeMap, BTreeSet};

use cloudtik_model::{Address, Graph, State};

use crate::Mode;
use crate::order::dependencies;

/// What a plan is asked to be about. Addresses mean what stands at them and below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// These, and what they cannot be without; nothing here means all.
    pub targets: BTreeSet<Address>,
    /// Not these, nor what cannot be without them.
    pub excludes: BTreeSet<Address>,
}

impl Selection {
    /// Whether it is about everything.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.targets.is_empty() && self.excludes.is_empty()
    }

    /// Whether it leaves out nothing that somebody could miss: a whole workspace, cluster or module is complete in itself.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let is_block = |address: &Address| address.is_module() || address.is_block() && matches!(address.root(), "workspace" | "cluster");
        self.excludes.is_empty() && self.targets.iter().all(is_block)
    }

    /// The addresses of a graph and a state that it takes in: always so many that what is done can be done.
    #[must_use]
    pub fn addresses(&self, graph: &Graph, state: &State, mode: Mode) -> BTreeSet<Address> {
        let edges = Edges::of(graph, state, mode);
        let named = |prefixes: &BTreeSet<Address>| -> BTreeSet<Address> {
            edges
                .all
                .iter()
                .filter(|address| prefixes.iter().any(|prefix| address.is_within(prefix)))
                .map(|address| (*address).clone())
                .collect()
        };
        let mut taken: BTreeSet<Address> = if self.targets.is_empty() {
            edges.all.iter().map(|address| (*address).clone()).collect()
        } else {
            edges.closure(named(&self.targets), &edges.first)
        };
        for address in edges.closure(named(&self.excludes), &edges.then) {
            taken.remove(&address);
        }
        taken
    }
}

/// What must be done before what: what is made comes after what it depends on, and what goes before it.
struct Edges<'a> {
    all: BTreeSet<&'a Address>,
    /// By address, what comes first.
    first: BTreeMap<&'a Address, BTreeSet<&'a Address>>,
    /// By address, what comes then.
    then: BTreeMap<&'a Address, BTreeSet<&'a Address>>,
}

impl<'a> Edges<'a> {
    fn of(graph: &'a Graph, state: &'a State, mode: Mode) -> Self {
        let wanted = |address: &Address| mode == Mode::Normal && graph.nodes.contains_key(address);
        let mut edges = Self { all: BTreeSet::new(), first: BTreeMap::new(), then: BTreeMap::new() };
        edges.all.extend(state.resources.keys());
        if mode == Mode::Normal {
            edges.all.extend(graph.nodes.keys());
            for (address, node) in &graph.nodes {
                dependencies(node).for_each(|needed| edges.add(needed, address));
            }
        }
        for (address, entry) in state.resources.iter().filter(|(address, _)| !wanted(address)) {
            // What stays need not wait until what stood on it is gone.
            entry.depends_on.iter().filter(|needed| !wanted(needed)).for_each(|needed| edges.add(address, needed));
        }
        edges
    }

    fn add(&mut self, first: &'a Address, then: &'a Address) {
        self.first.entry(then).or_default().insert(first);
        self.then.entry(first).or_default().insert(then);
    }

    /// These and all that the edges lead to.
    fn closure(&self, of: BTreeSet<Address>, edges: &BTreeMap<&'a Address, BTreeSet<&'a Address>>) -> BTreeSet<Address> {
        let mut closed = of;
        let mut open: Vec<Address> = closed.iter().cloned().collect();
        while let Some(address) = open.pop() {
            for next in edges.get(&address).into_iter().flatten() {
                if self.all.contains(*next) && closed.insert((*next).clone()) {
                    open.push((*next).clone());
                }
            }
        }
        closed
    }
}
