//! What was renamed since the state was written: `moved` blocks, and `count` that comes or goes.

use std::collections::{BTreeMap, BTreeSet};

use cloudtik_executor::durable::Ledger;
use cloudtik_model::{Address, Graph, Key, Node, State};

/// What was renamed.
#[derive(Default)]
pub(crate) struct Moves {
    /// By the address of now, the one before.
    pub(crate) by_name: BTreeMap<Address, Address>,
    /// The addresses of now, in the order in which they were taken.
    pub(crate) order: Vec<Address>,
}

/// Takes what was renamed to its new name, in memory, and gives what that was, with what could not be: what has a name already keeps it.
pub(crate) fn take_moves(graph: &Graph, ledger: &mut Ledger) -> (Moves, Vec<String>) {
    let (mut moved, mut kept) = (Moves::default(), BTreeSet::new());
    let all: Vec<(Address, Address)> =
        graph.moved.iter().map(|(from, to)| (from.clone(), to.clone())).chain(moves_of_count(graph, &ledger.state)).collect();
    // What one puts into a module another one may take on from there.
    for _ in 0..all.len() {
        let before = moved.order.len();
        for (from, to) in all.iter().filter(|(_, to)| !moved.by_name.contains_key(to)).cloned().collect::<Vec<_>>() {
            let there = &ledger.state.resources;
            let old = there.range(from.clone()..).map(|(address, _)| address).take_while(|address| address.is_within(&from));
            let (free, taken): (Vec<Address>, Vec<Address>) =
                old.filter_map(|address| address.moved(&from, &to)).partition(|after| !there.contains_key(after));
            if let Some(taken) = taken.first() {
                kept.insert(format!("`moved` from {from} has no effect on what is there: {taken} is in the state too, and keeps its name"));
            }
            if !free.is_empty() {
                ledger.rename(&from, &to);
                moved.order.push(to.clone());
                moved.by_name.insert(to, from);
            }
        }
        if moved.order.len() == before {
            break;
        }
    }
    (moved, kept.into_iter().collect())
}

/// A resource that gets `count`, or has it no more, is the first one of it and stays what it is.
fn moves_of_count(graph: &Graph, state: &State) -> Vec<(Address, Address)> {
    let is_resource = |address: &&Address| matches!(graph.nodes.get(*address), Some(Node::Resource(_))) && address.is_block();
    let other = |address: &Address| match address.key() {
        None => Some(address.with_key(Some(Key::Index(0)))),
        Some(Key::Index(0)) => Some(address.with_key(None)),
        Some(_) => None,
    };
    let moves = graph.nodes.keys().filter(is_resource).filter(|address| !state.resources.contains_key(*address)).filter_map(|to| {
        let from = other(to).filter(|from| state.resources.contains_key(from) && !graph.nodes.contains_key(from))?;
        Some((from, to.clone()))
    });
    moves.collect()
}
