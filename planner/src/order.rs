//! The order in which a graph is planned, and what its edges carry along.

use std::collections::{BTreeMap, BTreeSet};

use cloudtik_model::{Address, Diagnostic, Diagnostics, Graph, Node, Span};
use petgraph::algo::{kosaraju_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};

/// How many addresses of a cycle a message names.
const MAX_CYCLE_NAMES: usize = 8;

/// What must be planned before a node.
pub(crate) fn dependencies(node: &Node) -> impl Iterator<Item = &Address> {
    let (of_step, triggers) = match node {
        Node::Resource(_) => (None, None),
        Node::Step(step) => (Some(&step.node), Some(&step.triggers)),
    };
    node.depends_on().iter().chain(of_step).chain(triggers.into_iter().flatten())
}

/// The same as a set: what the state will say that it depends on.
pub(crate) fn dependency_set(node: &Node) -> BTreeSet<Address> {
    dependencies(node).cloned().collect()
}

/// The nodes whose address is `prefix` or below it; they stand together in the map.
pub(crate) fn within<'a, T>(nodes: &'a BTreeMap<Address, T>, prefix: &'a Address) -> impl Iterator<Item = (&'a Address, &'a T)> {
    nodes.range(prefix.clone()..).take_while(|(address, _)| address.is_within(prefix))
}

/// The nodes, each after what it depends on. Nodes on a cycle are left out, and the cycle is an error.
pub(crate) fn topological<'a>(graph: &'a Graph, diagnostics: &mut Diagnostics) -> Vec<(&'a Address, &'a Node)> {
    let nodes: Vec<(&Address, &Node)> = graph.nodes.iter().collect();
    let index_of: BTreeMap<&Address, NodeIndex> = nodes.iter().enumerate().map(|(i, (address, _))| (*address, NodeIndex::new(i))).collect();
    let mut dag: DiGraph<(), ()> = DiGraph::with_capacity(nodes.len(), nodes.len());
    for _ in &nodes {
        dag.add_node(());
    }
    for (i, (address, node)) in nodes.iter().enumerate() {
        for dependency in dependencies(node) {
            match index_of.get(dependency) {
                Some(from) => {
                    dag.add_edge(*from, NodeIndex::new(i), ());
                }
                None => diagnostics.push(dangling(address, node, dependency)),
            }
        }
        for trigger in &node.lifecycle().replace_triggered_by {
            for (from, _) in within(&graph.nodes, trigger).filter(|(from, _)| from != address) {
                if let Some(from) = index_of.get(from) {
                    dag.add_edge(*from, NodeIndex::new(i), ());
                }
            }
        }
    }
    let pick = |index: NodeIndex| nodes.get(index.index()).copied();
    if let Ok(order) = toposort(&dag, None) {
        return order.into_iter().filter_map(pick).collect();
    }
    let mut order = Vec::with_capacity(nodes.len());
    for component in kosaraju_scc(&dag).into_iter().rev() {
        match component.as_slice() {
            [single] if !dag.contains_edge(*single, *single) => order.extend(pick(*single)),
            _ => diagnostics.push(cycle(&component.iter().filter_map(|index| pick(*index)).collect::<Vec<_>>())),
        }
    }
    order
}

fn dangling(address: &Address, node: &Node, dependency: &Address) -> Diagnostic {
    Diagnostic::error("dangling-dependency", format!("`{address}` depends on `{dependency}`, which is not in the graph"))
        .at(node.span())
        .of(address)
}

fn cycle(members: &[(&Address, &Node)]) -> Diagnostic {
    let mut members = members.to_vec();
    members.sort_by_key(|(address, _)| *address);
    let names: Vec<String> = members.iter().take(MAX_CYCLE_NAMES).map(|(address, _)| format!("`{address}`")).collect();
    let more = members.len().saturating_sub(names.len());
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    let mut diagnostic = Diagnostic::error("cycle", format!("these depend on each other: {}{rest}", names.join(", ")));
    for (i, (address, node)) in members.iter().take(MAX_CYCLE_NAMES).enumerate() {
        diagnostic = if i == 0 { diagnostic.at(node.span()).of(address) } else { diagnostic.and_at(node.span(), format!("`{address}`")) };
    }
    diagnostic
}

/// Who asks that a replacement is made before the old object goes: the address whose lifecycle says so. What such a resource depends on
/// must be there before it, so it must be made first too: the wish goes along every edge, through steps also.
pub(crate) fn create_before_destroy<'a>(order: &[(&'a Address, &'a Node)]) -> BTreeMap<&'a Address, &'a Address> {
    let mut asked: BTreeMap<&Address, &Address> = BTreeMap::new();
    for (address, node) in order.iter().rev() {
        if matches!(node, Node::Resource(spec) if spec.lifecycle.create_before_destroy) {
            asked.insert(address, address);
        }
        if let Some(by) = asked.get(address).copied() {
            for dependency in dependencies(node) {
                asked.entry(dependency).or_insert(by);
            }
        }
    }
    asked
}

/// Two resources that would have the same name where it must be unique.
pub(crate) fn same_name(kind: &str, name: &str, value: &str, (first, second): ((&Address, Span), (&Address, Span))) -> Diagnostic {
    Diagnostic::error("name-taken-twice", format!("`{}` and `{}` are both named {value}", first.0, second.0))
        .at(second.1)
        .and_at(first.1, format!("`{}` has the name here", first.0))
        .help(format!("give one of them another `{name}`: no two of kind `{kind}` may share it"))
        .of(second.0)
}
