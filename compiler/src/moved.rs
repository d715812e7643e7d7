//! `moved`: what a resource or a group of workers was called before. `removed`: what the spec has no more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::{Address, Diagnostic, Diagnostics, Node, Span};
use cloudtik_provider_api::WORKER_GROUP_KIND;
use cloudtik_syntax::Block;

use crate::declare::RESERVED_KINDS;
use crate::expand::{Expansion, attribute};
use crate::scope::Instance;

/// Segments of the address of a group: `cluster.c.workers.g`.
const GROUP_SEGMENTS: usize = 4;

/// Segments of the address of a resource: `aws_vpc.main`.
const RESOURCE_SEGMENTS: usize = 2;

/// What is called otherwise.
#[derive(Default)]
pub(crate) struct Moves {
    /// By what it was called.
    by_former: BTreeMap<Address, Move>,
    /// Where each name is said.
    named: BTreeMap<(Role, Address), Span>,
}

/// What something is called now, with the places of both names.
pub(crate) struct Move {
    to: Address,
    from_span: Span,
    to_span: Span,
}

/// Which of its two names a `moved` says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Before,
    Now,
    /// Either: workers are told one name of before, so a group is named once.
    Any,
}

/// What may be renamed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Renamed {
    Resource,
    Group,
    Module,
}

impl Renamed {
    fn of(address: &Address) -> Option<Self> {
        if address.is_module() {
            return Some(Self::Module);
        }
        let segments = address.in_module();
        let workers = segments.get(GROUP_SEGMENTS - 2).is_some_and(|segment| &*segment.name == "workers" && segment.key.is_none());
        if address.root() == "cluster" && segments.len() == GROUP_SEGMENTS && workers && address.key().is_none() {
            return Some(Self::Group);
        }
        let first = segments.first().is_some_and(|segment| segment.key.is_none());
        (segments.len() == RESOURCE_SEGMENTS && first && !RESERVED_KINDS.contains(&address.root())).then_some(Self::Resource)
    }

    /// Whether two names may be of one thing: a group stays in its cluster, and a resource is of one kind.
    fn is_same(self, from: &Address, to: &Address) -> bool {
        match self {
            Self::Group => from.block() == to.block(),
            Self::Resource => from.root() == to.root(),
            Self::Module => true,
        }
    }

    fn role(self, role: Role) -> Role {
        if self == Self::Group { Role::Any } else { role }
    }
}

/// The label that a group had.
pub(crate) fn label_before(moves: &Moves, group: &Address) -> Option<Arc<str>> {
    let (from, _) = moves.by_former.iter().find(|(_, of)| of.to == *group)?;
    from.segments().last().map(|last| Arc::clone(&last.name))
}

/// Reads the `moved` blocks of a module, before anything of it is expanded.
pub(crate) fn read_moves(expansion: &mut Expansion<'_>, blocks: &[Block]) {
    let instance = Instance::default();
    let mut moves = std::mem::take(&mut expansion.moves);
    let mut found = Diagnostics::new();
    let evaluator = expansion.evaluator(&instance);
    for block in blocks {
        let address = |name: &str, found: &mut Diagnostics| {
            let value = &attribute(block, name)?.value;
            let address = evaluator.address(value, found)?;
            let renamed = Renamed::of(&address);
            if renamed.is_none() {
                found.push(wrong_kind(format!("`{address}` is neither a resource, nor a group of workers, nor a module")).at(value.span));
            }
            Some((address, renamed?, value.span))
        };
        let (from, to) = (address("from", &mut found), address("to", &mut found));
        let (Some((from, renamed, from_span)), Some((to, renamed_to, to_span))) = (from, to) else { continue };
        if renamed != renamed_to || !renamed.is_same(&from, &to) {
            let title = match (renamed, renamed_to) {
                (Renamed::Group, Renamed::Group) => format!("`{from}` and `{to}` are groups of two clusters"),
                _ => format!("`{from}` and `{to}` are of two kinds"),
            };
            found.push(wrong_kind(title).at(to_span).and_at(from_span, "the other one"));
            continue;
        }
        let (before, now) = (renamed.role(Role::Before), renamed.role(Role::Now));
        let first = |role: Role, address: &Address| {
            // What is in a module that is renamed may be renamed beside that.
            let is_same = |other: &Address| other.is_within(address) && other.segments().len() == address.segments().len();
            let named = moves.named.range((role, address.clone())..);
            let mut below =
                named.take_while(|((of, other), _)| *of == role && other.is_within(address)).filter(|((_, other), _)| is_same(other));
            let whole = moves.named.get(&(role, address.with_key(None)));
            below.next().map(|(_, span)| span).or(whole).copied()
        };
        let twice =
            first(before, &from).map(|first| (&from, from_span, first)).or_else(|| first(now, &to).map(|first| (&to, to_span, first)));
        if let Some((address, span, first)) = twice.or_else(|| (from == to).then_some((&to, to_span, from_span))) {
            let help = "one that is renamed has one name of now: write the name that it had when it was last applied, and the one of now";
            found.push(
                Diagnostic::error("moved-twice", format!("`{address}` is named by `moved` twice"))
                    .at_saying(span, "the second")
                    .and_at(first, "the first")
                    .help(help),
            );
            continue;
        }
        moves.named.insert((before, from.clone()), from_span);
        moves.named.insert((now, to.clone()), to_span);
        moves.by_former.insert(from, Move { to, from_span, to_span });
    }
    expansion.moves = moves;
    expansion.found.extend(found);
}

/// Checks that what was renamed is there and its former name is not, and puts the renames into the graph. What has errors is not asked for.
pub(crate) fn finish_moves(expansion: &mut Expansion<'_>, removed: &[Removed]) {
    let is_removed = |to: &Address| removed.iter().any(|removed| to.is_within(&removed.from));
    let nodes = &expansion.graph.nodes;
    let made: BTreeSet<Address> = expansion.head_configs.keys().cloned().collect();
    let failed = expansion.found.has_errors();
    let mut found = Diagnostics::new();
    let mut moved = BTreeMap::new();
    for (from, of) in &expansion.moves.by_former {
        let Some(to) = last_name(&expansion.moves.by_former, from) else {
            found.push(
                Diagnostic::error("moved-twice", format!("`{from}` would be called `{from}` again"))
                    .at(of.from_span)
                    .help("these `moved` go round in a circle: take one of them out"),
            );
            continue;
        };
        let is_group = Renamed::of(to) == Some(Renamed::Group);
        let is_there = |address: &Address, node: &Node| {
            address.is_within(to) && (!is_group || matches!(node, Node::Resource(group) if &*group.kind == WORKER_GROUP_KIND))
        };
        let below = |prefix: &Address| {
            nodes.range(prefix.clone()..).take_while({
                let prefix = prefix.clone();
                move |(address, _)| address.is_within(&prefix)
            })
        };
        if let Some(part) = below(to).map(|(address, _)| address).find(|address| to.is_module() && !may_move_along(address)) {
            let title = format!("`{from}` cannot become `{to}`: `{}` is in it, whose parts carry their address", part.block());
            let error = Diagnostic::error("moved-kind", title).at(of.from_span);
            found.push(error.help("keep the name of a module that holds workspaces or clusters; its resources may be moved one by one"));
        } else if below(from).any(|(address, _)| address.moved(from, &of.to).is_some()) {
            let title = format!("`{from}` is still in the spec, so it was not renamed");
            let help = format!("take the {} of that name out, or this `moved`", if is_group { "`workers` block" } else { "block" });
            found.push(Diagnostic::error("moved-exists", title).at(of.from_span).help(help));
        } else if below(to).any(|(address, node)| is_there(address, node)) || is_declared(expansion, to) || is_removed(to) {
            moved.insert(from.clone(), to.clone());
        } else if made.contains(&to.block()) || !failed {
            let (title, block) = match is_group {
                true => (format!("there is no group of workers at `{to}`"), "`workers` block"),
                false => (format!("there is nothing at `{to}`"), "block"),
            };
            let help = format!("`to` is the name of now: add the {block}, or take this `moved` out");
            found.push(Diagnostic::error("unknown-reference", title).at(of.to_span).help(help));
        }
    }
    expansion.graph.moved = moved;
    expansion.found.extend(found);
}

/// Whether a resource or a module is declared, however many there are of it.
fn is_declared(expansion: &Expansion<'_>, address: &Address) -> bool {
    matches!(Renamed::of(address), Some(Renamed::Resource | Renamed::Module)) && expansion.modules.is_declared(address)
}

/// Whether something keeps what it is when the module around it is called otherwise. Answers of a provider, nodes and controllers know
/// workspaces and clusters by their addresses.
fn may_move_along(address: &Address) -> bool {
    !matches!(address.root(), "workspace" | "cluster")
}

/// What something is called in the end: it may have been renamed more than once. `None`: the names go round in a circle.
fn last_name<'m>(moves: &'m BTreeMap<Address, Move>, from: &Address) -> Option<&'m Address> {
    let mut last = &moves.get(from)?.to;
    for _ in 0..moves.len() {
        match moves.get(last) {
            Some(next) => last = &next.to,
            None => return Some(last),
        }
    }
    None
}

/// What the spec has no more.
pub(crate) struct Removed {
    from: Address,
    span: Span,
    /// Whether what was made goes too.
    destroy: bool,
}

/// Reads the `removed` blocks of a module.
pub(crate) fn read_removed(expansion: &mut Expansion<'_>, blocks: &[Block]) -> Vec<Removed> {
    let schema = expansion.top("removed");
    let instance = Instance::default();
    let mut found = Diagnostics::new();
    let mut all = Vec::new();
    for block in blocks {
        let evaluator = expansion.evaluator(&instance);
        let lifecycle = block.body.blocks.iter().find(|inner| &*inner.kind.name == "lifecycle").zip(schema.block("lifecycle"));
        let lifecycle = lifecycle.map(|(inner, rule)| evaluator.block(inner, &rule.schema, &mut found));
        let Some(from) = attribute(block, "from").map(|attribute| &attribute.value) else { continue };
        let Some(address) = evaluator.address(from, &mut found) else { continue };
        let destroy = lifecycle.is_none_or(|lifecycle| lifecycle.value("destroy").as_bool() != Some(false));
        all.push(Removed { from: address, span: from.span, destroy });
    }
    expansion.found.extend(found);
    all
}

/// What `removed` names must not be in the spec, and what it lets go of is not removed from the world.
pub(crate) fn release(expansion: &mut Expansion<'_>, removed: Vec<Removed>) {
    let mut found = Diagnostics::new();
    let mut released = BTreeSet::new();
    for Removed { from: address, span, destroy } in removed {
        if !may_be_removed(&address) {
            found.push(
                Diagnostic::error("removed-kind", format!("`{address}` is nothing that a plan makes"))
                    .at(span)
                    .help("name a resource, `aws_vpc.main`, or a whole block or a part of it: `cluster.c`, `workspace.w.storage.logs`"),
            );
        } else if expansion.graph.nodes.keys().any(|node| node.is_within(&address)) {
            found.push(
                Diagnostic::error("removed-exists", format!("`{address}` is still in the spec"))
                    .at(span)
                    .help("take the block out, or this `removed`"),
            );
        } else if !destroy {
            released.insert(address);
        }
    }
    expansion.graph.released = released;
    expansion.found.extend(found);
}

/// Whether something in a state may have that address: a module, a resource, a workspace or a cluster, or what stands below one of these two.
fn may_be_removed(address: &Address) -> bool {
    let is_block = matches!(address.root(), "workspace" | "cluster") && address.in_module().len() >= RESOURCE_SEGMENTS;
    is_block || matches!(Renamed::of(address), Some(Renamed::Resource | Renamed::Module))
}

fn wrong_kind(title: String) -> Diagnostic {
    Diagnostic::error("moved-kind", title)
        .note("`moved` renames resources, modules and groups of workers; another name of a workspace or a cluster makes it anew")
        .help("write `from = aws_vpc.old` and `to = aws_vpc.new`, or `from = cluster.c.workers.old` and `to = cluster.c.workers.new`")
}
