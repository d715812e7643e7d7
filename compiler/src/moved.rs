//! `moved`: what a block was called before. In this version worker groups alone can be renamed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::{Address, Diagnostic, Diagnostics, Node, Span};
use cloudtik_provider_api::WORKER_GROUP_KIND;
use cloudtik_syntax::Block;

use crate::evaluate::Evaluator;
use crate::expand::{Expansion, attribute};
use crate::scope::Instance;

/// Segments of the address of a group: `cluster.c.workers.g`.
const GROUP_SEGMENTS: usize = 4;

/// What groups were called, by what they are called now.
pub(crate) type Moves = BTreeMap<Address, Move>;

/// What a group was called, with the places of both names.
pub(crate) struct Move {
    pub(crate) from: Address,
    pub(crate) from_span: Span,
    pub(crate) to_span: Span,
}

impl Move {
    /// The label that the group had.
    pub(crate) fn label(&self) -> Option<Arc<str>> {
        self.from.segments().last().map(|last| Arc::clone(&last.name))
    }
}

/// Reads the blocks, before anything is expanded.
pub(crate) fn read_moves(expansion: &Expansion<'_>, blocks: &[Block], found: &mut Diagnostics) -> Moves {
    let instance = Instance::default();
    let evaluator = Evaluator { world: &expansion.world, reads: expansion.reads, instance: &instance };
    let mut moves = Moves::new();
    let mut names: BTreeMap<Address, Span> = BTreeMap::new();
    for block in blocks {
        let named = |name: &str, found: &mut Diagnostics| {
            let value = &attribute(block, name)?.value;
            let address = evaluator.address(value, found)?;
            if !is_group(&address) {
                found.push(groups_only(format!("`{address}` is no group of workers")).at(value.span));
                return None;
            }
            Some((address, value.span))
        };
        let (from, to) = (named("from", found), named("to", found));
        let (Some((from, from_span)), Some((to, to_span))) = (from, to) else { continue };
        if from.prefix(GROUP_SEGMENTS - 1) != to.prefix(GROUP_SEGMENTS - 1) {
            let title = format!("`{from}` and `{to}` are groups of two clusters");
            found.push(groups_only(title).at(to_span).and_at(from_span, "the other cluster"));
            continue;
        }
        let twice =
            [(&from, from_span), (&to, to_span)].into_iter().find_map(|(address, span)| Some((address, span, *names.get(address)?)));
        if let Some((address, span, first)) = twice.or_else(|| (from == to).then_some((&to, to_span, from_span))) {
            let help =
                "a group is renamed from one name to another: write the name that it had when it was last applied, and the one of now";
            found.push(
                Diagnostic::error("moved-twice", format!("`{address}` is named by `moved` twice"))
                    .at_saying(span, "the second")
                    .and_at(first, "the first")
                    .help(help),
            );
            continue;
        }
        names.insert(from.clone(), from_span);
        names.insert(to.clone(), to_span);
        moves.insert(to, Move { from, from_span, to_span });
    }
    moves
}

/// Checks that each renamed group is there and its former name is not, and puts the renames into the graph. What has errors is not asked for.
pub(crate) fn finish_moves(expansion: &mut Expansion<'_>) {
    let is_there =
        |address: &Address| matches!(expansion.graph.nodes.get(address), Some(Node::Resource(group)) if &*group.kind == WORKER_GROUP_KIND);
    let made: BTreeSet<Address> = expansion.head_configs.keys().cloned().collect();
    let failed = expansion.found.has_errors();
    let mut found = Diagnostics::new();
    let mut moved = BTreeMap::new();
    for (to, of) in &expansion.moves {
        if is_there(&of.from) {
            let title = format!("`{}` is still in the spec, so it was not renamed", of.from);
            found.push(
                Diagnostic::error("moved-exists", title)
                    .at(of.from_span)
                    .help("take the `workers` block of that name out, or this `moved`"),
            );
        } else if is_there(to) {
            moved.insert(to.clone(), of.from.clone());
        } else if made.contains(&to.prefix(2)) || !failed {
            found.push(
                Diagnostic::error("unknown-reference", format!("there is no group of workers at `{to}`"))
                    .at(of.to_span)
                    .help("`to` is the name of now: add the `workers` block, or take this `moved` out"),
            );
        }
    }
    expansion.graph.moved = moved;
    expansion.found.extend(found);
}

fn is_group(address: &Address) -> bool {
    let segments = address.segments();
    let workers = segments.get(GROUP_SEGMENTS - 2).is_some_and(|segment| &*segment.name == "workers" && segment.key.is_none());
    address.root() == "cluster" && segments.len() == GROUP_SEGMENTS && workers && address.key().is_none()
}

fn groups_only(title: String) -> Diagnostic {
    Diagnostic::error("moved-kind", title)
        .note("in this version `moved` renames worker groups only")
        .help("write `from = cluster.c.workers.old` and `to = cluster.c.workers.new`")
}
