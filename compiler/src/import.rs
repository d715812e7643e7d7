//! `import`: what is there already and is to be managed from now on. A resource, or a part of a workspace, is taken over by its id; a workspace
//! is taken over whole, with the ids that its provider knows its parts by; a cluster is taken over whole by its marks. Whether the objects are
//! there is asked by whoever makes calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_lang::impure_calls;
use cloudtik_model::{Address, Diagnostic, Diagnostics, Node, ResourceSpec, Span, Value, did_you_mean};
use cloudtik_provider_api::{CONTROLLER_PROVIDER, Idempotency, real_name};
use cloudtik_syntax::Block;

use crate::declare::named_by;
use crate::evaluate::unknown_at_plan_time;
use crate::expand::{Expansion, attribute};
use crate::scope::{Instance, static_address};

/// An object that is to be taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Which one.
    pub object: Imported,
    /// The workspace or cluster that is taken over whole, if it is part of one: then it need not be there.
    pub whole: Option<Address>,
    /// Of a cluster's head, the host key that the block says it shows.
    pub host_key: Option<Arc<str>>,
    /// Where its `import` says which.
    pub span: Span,
}

/// Which object is taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Imported {
    /// The one with this id.
    Id(String),
    /// The one with the marks of the address.
    Marked,
}

/// What is taken over, by address.
pub type Imports = BTreeMap<Address, Import>;

/// The workspaces that are taken over whole, by address without keys, with the places that say so: their providers ask what is there of them.
pub(crate) fn whole_workspaces(blocks: &[Block]) -> BTreeMap<Address, Span> {
    let whole = |block: &Block| {
        let to = attribute(block, "to")?;
        // Keys may be computed; which workspace it is does not hang on them.
        let address = static_address(&to.value, &mut |_| Some(Value::from("")))?;
        (address.root() == "workspace" && address.is_block()).then(|| (address.without_keys(), to.value.span))
    };
    blocks.iter().filter_map(whole).collect()
}

/// Reads the blocks, once everything is expanded.
pub(crate) fn finish_imports(expansion: &mut Expansion<'_>, blocks: &[Block]) -> Imports {
    let mut all = Written::default();
    for block in blocks {
        let Some(instances) = expansion.instances(block) else { continue };
        for instance in &instances.list {
            read(expansion, block, instance, &mut all);
        }
    }
    // A part that is named by itself is what it says, whoever takes over the rest.
    all.wholes.extend(all.parts);
    all.wholes
}

/// What the blocks say.
#[derive(Default)]
struct Written {
    parts: Imports,
    wholes: Imports,
    /// Every address that a block names.
    named: BTreeMap<Address, Span>,
}

fn read(expansion: &mut Expansion<'_>, block: &Block, instance: &Instance, all: &mut Written) {
    let schema = expansion.top("import");
    let mut found = Diagnostics::new();
    let evaluator = expansion.evaluator(instance);
    let evaluated = evaluator.block(block, &schema, &mut found);
    let to = attribute(block, "to").and_then(|to| Some((evaluator.address(&to.value, &mut found)?, to.value.span)));
    expansion.found.extend(found);
    let (Some((to, to_span)), Some(id)) = (to, evaluated.fields.get("id")) else { return };
    if let Some(first) = all.named.insert(to.clone(), to_span) {
        let error = Diagnostic::error("import-twice", format!("`{to}` is imported twice")).at_saying(to_span, "the second");
        return expansion.found.push(error.and_at(first, "the first"));
    }
    if !id.value.is_known() {
        let mut addresses = BTreeSet::new();
        id.value.addresses(&mut addresses);
        // What waits for an answer is read again once there is one.
        if !addresses.is_empty() || !impure_calls(&id.value).is_empty() {
            expansion.found.push(unknown_at_plan_time("id", &id.value, id.span));
        }
        return;
    }
    let Some(text) = id.value.as_str().filter(|text| !text.is_empty()) else {
        return expansion.found.push(Diagnostic::error("import-id", "`id` is empty").at(id.span));
    };
    if let Some(spec) = resource_at(expansion, &to) {
        if let Err(error) = check_part(expansion, block, instance, &spec, to_span) {
            return expansion.found.push(error);
        }
        all.parts.insert(to, Import { object: Imported::Id(text.to_owned()), whole: None, host_key: None, span: id.span });
    } else if let Some((spec, _)) = expansion.workspaces.get(&to) {
        let (name, place) = (real_name(&spec.address, &spec.fields), spec.span);
        whole(expansion, &to, (text, &name, place), None, id.span, all);
    } else if let Some((spec, _)) = expansion.clusters.iter().find(|(spec, _)| spec.address == to) {
        let (name, place) = (real_name(&spec.address, &spec.fields), spec.span);
        let host_key = evaluated.text("host_key").map(Arc::from);
        whole(expansion, &to, (text, &name, place), host_key, id.span, all);
    } else if let Some(error) = unknown(expansion, &to, to_span) {
        expansion.found.push(error);
    }
}

fn resource_at(expansion: &Expansion<'_>, address: &Address) -> Option<ResourceSpec> {
    match expansion.graph.nodes.get(address) {
        Some(Node::Resource(spec)) => Some(spec.clone()),
        _ => None,
    }
}

/// What cannot be taken over by an id.
fn check_part(expansion: &mut Expansion<'_>, block: &Block, instance: &Instance, spec: &ResourceSpec, at: Span) -> Result<(), Diagnostic> {
    let named = attribute(block, "provider").and_then(|named| {
        let used = expansion.named_configuration(&named.value, instance)?;
        Some((named.value.span, used.provider))
    });
    if let Some((span, named)) = named
        && named != spec.provider
    {
        let title = format!("`{}` is of provider `{}`, not of `{named}`", spec.address, spec.provider);
        return Err(Diagnostic::error("import-provider", title).at(span).help("leave `provider` out: that of the block is meant"));
    }
    let refused = |why: &str| Diagnostic::error("import-kind", format!("`{}` cannot be imported: {why}", spec.address)).at(at);
    if spec.address.root() == "cluster" || spec.provider.provider_type() == CONTROLLER_PROVIDER {
        return Err(refused("a cluster is taken over whole")
            .help(format!("write `to = {}`, with the cluster's name as its `id`", spec.address.block())));
    }
    let kinds = expansion.input.providers.get(spec.provider.provider_type()).map(|provider| &provider.schema().kinds);
    if kinds.and_then(|kinds| kinds.get(&*spec.kind)).is_some_and(|kind| kind.class == Idempotency::Pure) {
        return Err(refused("it is a value of the state, and nothing in the world"));
    }
    Ok(())
}

/// A workspace, or a cluster, with all of its parts. What a controller does is no part of it: that is told to the head that is found.
fn whole(
    expansion: &mut Expansion<'_>,
    address: &Address,
    (id, name, place): (&str, &str, Span),
    host_key: Option<Arc<str>>,
    span: Span,
    all: &mut Written,
) {
    if id != name {
        let block = address.root();
        let title = format!("`id` is the name of the {block}, and `{address}` is called `{name}`");
        let help = format!("write `name = \"{id}\"` in the {block}, or `id = \"{name}\"` here");
        return expansion.found.push(Diagnostic::error("import-name", title).at(span).and_at(place, format!("the {block}")).help(help));
    }
    let head = address.child("head");
    let there = expansion.there.get(address);
    for (part, node) in expansion.graph.nodes.iter().filter(|(part, _)| part.is_within(address)) {
        let Node::Resource(spec) = node else { continue };
        if spec.provider.provider_type() == CONTROLLER_PROVIDER {
            continue;
        }
        let object = match there {
            Some(ids) => match ids.get(part) {
                Some(id) => Imported::Id(id.clone()),
                None => continue,
            },
            None => Imported::Marked,
        };
        let host_key = host_key.clone().filter(|_| *part == head);
        all.wholes.insert(part.clone(), Import { object, whole: Some(address.clone()), host_key, span });
    }
}

/// The error of an address at which there is nothing that could be imported; `None` where that was said before.
fn unknown(expansion: &Expansion<'_>, to: &Address, at: Span) -> Option<Diagnostic> {
    let names: Vec<Arc<str>> = to.in_module().iter().skip(1).map(|segment| Arc::clone(&segment.name)).collect();
    let declared = named_by(to.root(), &names).zip(expansion.around(to));
    if declared.is_some_and(|(name, world)| world.failed.contains(&name)) {
        return None;
    }
    let clusters = expansion.clusters.iter().map(|(spec, _)| &spec.address);
    let all: Vec<String> =
        expansion.graph.nodes.keys().chain(expansion.workspaces.keys()).chain(clusters).map(ToString::to_string).collect();
    let help = match did_you_mean(&to.to_string(), all.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "write the block first: what is imported is managed as the spec says from then on".to_owned(),
    };
    Some(Diagnostic::error("import-target", format!("nothing in the spec is called `{to}`")).at(at).help(help))
}
