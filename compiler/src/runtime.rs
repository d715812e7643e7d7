//! Runtimes: the module of each, its options checked, its steps for a node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_lang::late_names_of;
use cloudtik_model::spec::{Field, Fields, ListenPort};
use cloudtik_model::{
    Address, ChangeWord, Diagnostic, Diagnostics, LateName, MembershipConfig, ServiceConfig, Span, StepSpec, Value, did_you_mean,
};
use cloudtik_provider_api::{AttributeSchema, Presence, Shown};
use cloudtik_runtime_modules::{ExpandRequest, Module, expand, load_folder, load_shipped, shipped_names};
use cloudtik_syntax::Block;

use crate::discover::Discovered;
use crate::evaluate::Evaluated;
use crate::expand::{Expansion, attribute, located};
use crate::node::{NodeContext, merge};
use crate::roles::check_roles;
use crate::schema::{AttributeRule, BlockSchema, check_body};
use crate::scope::Instance;
use crate::version::check_constraint;

/// A runtime of a cluster.
pub(crate) struct Runtime<'e> {
    pub(crate) block: &'e Evaluated,
    pub(crate) module: Module,
    /// Its roles: the block's, else the module's.
    on: Vec<String>,
    options: Value,
    /// What its options refer to.
    needs: BTreeSet<Address>,
}

impl Runtime<'_> {
    /// Whether the block says where it runs.
    fn says_where(&self) -> bool {
        !self.block.value("on").is_null()
    }

    /// Whether it runs on this node. A group that names its runtimes has those, wherever their modules would be by themselves.
    pub(crate) fn is_on(&self, context: &NodeContext<'_>) -> bool {
        match context.runtimes {
            None => context.is_on(&self.on),
            Some(named) => named.contains(&*self.block.label) && (!self.says_where() || context.is_on(&self.on)),
        }
    }
}

/// The runtimes of a cluster, each after those that it waits for.
pub(crate) struct Runtimes<'e> {
    pub(crate) list: Vec<Runtime<'e>>,
    waits: Waits,
}

/// The runtimes of one node.
#[derive(Default)]
pub(crate) struct OnNode {
    pub(crate) steps: Vec<StepSpec>,
    pub(crate) exports: BTreeMap<Arc<str>, Value>,
    pub(crate) memberships: Vec<MembershipConfig>,
    /// What the node offers, with the place of the runtime.
    pub(crate) services: Vec<(Arc<str>, ServiceConfig, Span)>,
    /// The ports that modules listen on.
    pub(crate) ports: BTreeSet<ListenPort>,
    /// The secrets of modules with their lengths.
    pub(crate) secrets: Vec<(Arc<str>, u64)>,
    /// The steps of a head that the controller does.
    pub(crate) delegated: BTreeSet<Address>,
}

/// Loads the modules of a cluster's runtimes and reads what the spec says to them.
pub(crate) fn read_runtimes<'e>(
    expansion: &mut Expansion<'_>,
    cluster: &Address,
    evaluated: &'e Evaluated,
    groups: &BTreeSet<Arc<str>>,
    (block, instance): (&Block, &Instance),
    found: &mut Diagnostics,
) -> Runtimes<'e> {
    let waits = waits(expansion, cluster, block, instance, found);
    let mut list = Vec::new();
    for runtime in in_order(&waits, evaluated.all("runtime"), found) {
        let written =
            |inner: &&Block| &*inner.kind.name == "runtime" && inner.labels.first().is_some_and(|label| label.text == runtime.label);
        let Some(source) = block.body.blocks.iter().find(written) else { continue };
        let Some(module) = load(expansion, runtime, source, found) else { continue };
        let on = if runtime.value("on").is_null() { module.roles().to_vec() } else { runtime.strings("on") };
        if let (Some(problem), Some(place)) = (check_roles(&on, groups), runtime.fields.get("on")) {
            found.push(problem.at(place.span));
            continue;
        }
        let Some((options, needs)) = options(expansion, &module, source, instance, found) else { continue };
        list.push(Runtime { block: runtime, module, on, options, needs });
    }
    Runtimes { list, waits }
}

/// Runtimes that run on no node, and groups that name a runtime which says that it runs elsewhere.
pub(crate) fn check_places(runtimes: &Runtimes<'_>, contexts: &[NodeContext<'_>], found: &mut Diagnostics) {
    for runtime in &runtimes.list {
        let label = &runtime.block.label;
        for context in contexts {
            let [_, group] = context.blocks;
            let named = context.runtimes.is_some_and(|named| named.contains(&**label));
            if named && !runtime.is_on(context) {
                found.push(
                    Diagnostic::error(
                        "elsewhere",
                        format!("runtime `{label}` is named by {} and says that it runs elsewhere", context.node),
                    )
                    .at(runtime.block.field("on").span)
                    .and_at(group.field("runtimes").span, "named here")
                    .help(format!("add `\"{}\"` to its `on`", context.role)),
                );
                return;
            }
        }
        if !contexts.is_empty() && !contexts.iter().any(|context| runtime.is_on(context)) {
            let title = format!("runtime `{label}` runs on no node: it belongs on {}", runtime.on.join(", "));
            let help = "say where with `on`, or add what it runs on to the cluster";
            found.push(Diagnostic::error("no-nodes", title).at(runtime.block.span).help(help));
        }
    }
}

/// The steps of all runtimes of a node, and what each runtime exports.
pub(crate) fn runtime_steps(
    expansion: &mut Expansion<'_>,
    context: &NodeContext<'_>,
    runtimes: &Runtimes<'_>,
    discovered: &Discovered,
    after: &BTreeSet<Address>,
    found: &mut Diagnostics,
) -> OnNode {
    let mut made = OnNode::default();
    let mut last_of: BTreeMap<Arc<str>, BTreeSet<Address>> = BTreeMap::new();
    let mut delegated: BTreeSet<Arc<str>> = BTreeSet::new();
    let nothing = BTreeMap::new();
    for runtime in runtimes.list.iter().filter(|runtime| runtime.is_on(context)) {
        let label = &runtime.block.label;
        let waited = runtimes.waits.runtimes.get(label);
        if let Some(problem) = membership_problem(context, runtime) {
            found.push(problem);
            continue;
        }
        let mut after = after.clone();
        for needed in waited.into_iter().flatten() {
            after.extend(last_of.get(needed).into_iter().flatten().cloned());
        }
        let capabilities = context.capabilities.map(|all| all.iter().map(|capability| capability.as_str().to_owned()).collect());
        let mut expanded = expand(&ExpandRequest {
            module: &runtime.module,
            address: &context.node.child("runtime").child(Arc::clone(label)),
            node: &context.node,
            cluster_name: context.cluster_name,
            domain: context.domain,
            options: &runtime.options,
            config: &runtime.block.value("config"),
            env: &merge(&context.env, &runtime.block.value("env")),
            version: runtime.block.text("version"),
            capabilities: capabilities.as_ref(),
            is_worker: context.is_worker(),
            discovered: discovered.get(label).unwrap_or(&nothing),
            after: &after,
            span: runtime.block.span,
        });
        for step in &mut expanded.steps {
            step.depends_on.extend(runtime.needs.iter().cloned());
            if let Some(blocks) = runtimes.waits.blocks.get(label) {
                expansion.wanted.insert(step.address.clone(), blocks.clone());
            }
        }
        if !context.is_worker() {
            let follows = waited.is_some_and(|needed| !needed.is_disjoint(&delegated));
            if let Some(name) = expanded.steps.iter().find_map(late_beside_node) {
                if context.has_workers {
                    delegated.insert(Arc::clone(label));
                } else {
                    found.push(
                        Diagnostic::error(
                            "needs-workers",
                            format!("runtime `{label}` uses `{name}`, which only a cluster with workers has"),
                        )
                        .at(runtime.block.span)
                        .help("add `workers \"NAME\" {}` to the cluster"),
                    );
                }
            } else if follows {
                delegated.insert(Arc::clone(label));
            }
            if delegated.contains(label) {
                made.delegated.extend(expanded.steps.iter().map(|step| step.address.clone()));
            }
        }
        found.extend(expanded.diagnostics);
        expansion.notes.extend(expanded.notes);
        let members = expanded.memberships.iter().map(|membership| membership.address.clone());
        last_of.insert(Arc::clone(label), expanded.steps.iter().map(|step| step.address.clone()).chain(members).collect());
        made.ports.extend(ports(&runtime.module, &expanded.exports));
        made.exports.insert(Arc::clone(label), expanded.exports);
        made.services.extend(expanded.services.into_iter().map(|(name, service)| (name, service, runtime.block.span)));
        made.secrets.extend(expanded.secrets);
        made.memberships.extend(expanded.memberships);
        made.steps.extend(expanded.steps);
    }
    made
}

/// What a module listens on, of which it exports the numbers.
fn ports<'r>(module: &'r Module, exports: &'r Value) -> impl Iterator<Item = ListenPort> + 'r {
    module.ports().iter().filter_map(|port| {
        let number = exports.get("ports")?.entries()?.get(&port.name)?.as_number()?.as_u64()?;
        Some(ListenPort { number: u16::try_from(number).ok()?, is_udp: port.protocol == "udp" })
    })
}

/// The first late name of a step that is not the node's own.
fn late_beside_node(step: &StepSpec) -> Option<LateName> {
    late_names_of(step).into_iter().find(|name| !matches!(name, LateName::Node(_)))
}

/// What forms a quorum runs on workers, of which there are enough.
fn membership_problem(context: &NodeContext<'_>, runtime: &Runtime<'_>) -> Option<Diagnostic> {
    let label = &runtime.block.label;
    let needs = runtime.module.quorum_min();
    if !runtime.module.has_membership() && needs <= 1 {
        return None;
    }
    if !context.is_worker() {
        let place = if runtime.says_where() { runtime.block.field("on").span } else { runtime.block.span };
        return Some(
            Diagnostic::error("no-members", format!("runtime `{label}` forms a quorum of workers, and cannot run on the head"))
                .at(place)
                .help("write `on = [\"workers\"]`"),
        );
    }
    let [_, group] = context.blocks;
    let min = group.value("min").as_number().and_then(cloudtik_model::Number::as_u64).unwrap_or(1);
    if min >= needs.max(1) {
        return None;
    }
    let needs = needs.max(1);
    let written = group.field("min").span;
    let title = format!("runtime `{label}` needs {needs} members for its quorum, and {} keeps up {min}", context.node);
    let place = if written.is_none() { group.span } else { written };
    let help = format!("write `min = {needs}` or more, or leave the runtime out of the group's `runtimes`");
    Some(Diagnostic::error("no-quorum", title).at(place).and_at(runtime.block.span, "the runtime").help(help))
}

/// What the runtimes of a cluster wait for.
#[derive(Default)]
struct Waits {
    /// Other runtimes of the cluster, by the label of the one that waits.
    runtimes: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// Other blocks, with the place.
    blocks: BTreeMap<Arc<str>, Vec<(Address, Span)>>,
}

/// The runtimes, each after those that its `depends_on` names.
fn in_order<'e>(waits: &Waits, runtimes: &'e [Evaluated], found: &mut Diagnostics) -> Vec<&'e Evaluated> {
    let mut ordered: Vec<&Evaluated> = Vec::new();
    let mut rest: Vec<&Evaluated> = runtimes.iter().collect();
    while !rest.is_empty() {
        let waiting: BTreeSet<Arc<str>> = rest.iter().map(|runtime| Arc::clone(&runtime.label)).collect();
        let ready = |runtime: &&Evaluated| waits.runtimes.get(&runtime.label).is_none_or(|needs| needs.is_disjoint(&waiting));
        let (now, later): (Vec<_>, Vec<_>) = rest.into_iter().partition(|runtime| ready(runtime));
        if now.is_empty() {
            let mut error = Diagnostic::error("cycle", "these runtimes wait for each other");
            for runtime in &later {
                error = if error.primary.is_none() { error.at(runtime.span) } else { error.and_at(runtime.span, "and this one") };
            }
            found.push(error.help("remove one of their `depends_on`"));
            return ordered;
        }
        ordered.extend(now);
        rest = later;
    }
    ordered
}

/// Reads the `depends_on` of all runtimes: `runtime.NAME` or `cluster.c.runtime.NAME` is one of the same cluster; everything else is a
/// block that must be ready.
fn waits(expansion: &Expansion<'_>, cluster: &Address, block: &Block, instance: &Instance, found: &mut Diagnostics) -> Waits {
    let evaluator = expansion.evaluator(instance);
    let runtimes: Vec<&Block> = block.body.blocks.iter().filter(|inner| &*inner.kind.name == "runtime").collect();
    let labels: BTreeSet<&str> = runtimes.iter().filter_map(|runtime| Some(&*runtime.labels.first()?.text)).collect();
    let mut waits = Waits::default();
    for runtime in &runtimes {
        let (Some(label), Some(list)) = (runtime.labels.first(), attribute(runtime, "depends_on")) else { continue };
        for (address, span) in located(&evaluator, &list.value, found) {
            let name = match address.in_module() {
                [root, name] if &*root.name == "runtime" => Some(name),
                [.., part, name] if address.block() == *cluster && &*part.name == "runtime" => Some(name),
                _ => None,
            };
            match name {
                Some(name) if labels.contains(&*name.name) => {
                    waits.runtimes.entry(Arc::clone(&label.text)).or_default().insert(Arc::clone(&name.name));
                }
                Some(name) => {
                    let near = did_you_mean(&name.name, labels.iter().copied()).map(|near| format!("did you mean `runtime.{near}`?"));
                    let title = format!("the cluster has no runtime `{}`", name.name);
                    found.push(Diagnostic::error("unknown-reference", title).at(span).maybe_help(near));
                }
                None => waits.blocks.entry(Arc::clone(&label.text)).or_default().push((address, span)),
            }
        }
    }
    waits
}

/// The module of a name, from its folder or shipped. `None`: none of that name is shipped.
fn loaded(expansion: &Expansion<'_>, label: &str, source: Option<&Field>) -> Option<(Option<Module>, Diagnostics)> {
    let map = &mut expansion.reads.map.borrow_mut();
    let Some(folder) = source.filter(|source| !source.value.is_null()) else { return load_shipped(label, map) };
    let path = folder.value.as_str().unwrap_or_default();
    Some(load_folder(label, expansion.reads.sources, path, folder.span, map))
}

/// The options of a runtime that its module declares sensitive.
pub(crate) fn sensitive_options(expansion: &Expansion<'_>, block: &Block, instance: &Instance) -> BTreeSet<Arc<str>> {
    let Some(label) = block.labels.first() else { return BTreeSet::new() };
    let source = attribute(block, "source").and_then(|source| {
        let (value, _) = expansion.evaluator(instance).expression(&source.value, false).ok()?;
        Some(Field::new(value, source.value.span))
    });
    let module = loaded(expansion, &label.text, source.as_ref()).and_then(|(module, _)| module);
    let options = module.iter().flat_map(|module| module.options());
    options.filter(|option| option.sensitive).map(|option| Arc::clone(&option.name)).collect()
}

fn load(expansion: &Expansion<'_>, runtime: &Evaluated, source: &Block, found: &mut Diagnostics) -> Option<Module> {
    let label = source.labels.first()?;
    let Some((module, diagnostics)) = loaded(expansion, &label.text, runtime.fields.get("source")) else {
        let near = did_you_mean(&label.text, shipped_names());
        let all: Vec<&str> = shipped_names().collect();
        found.push(
            Diagnostic::error("unknown-runtime", format!("there is no runtime `{}`", label.text))
                .at(label.span)
                .maybe_help(near.map(|near| format!("did you mean `{near}`?")))
                .note(format!("this version ships {}; `source` names a module folder of your own", all.join(", "))),
        );
        return None;
    };
    found.extend(diagnostics);
    let module = module?;
    if let Some(version) = runtime.fields.get("version")
        && let Err(problem) = check_constraint(version.value.as_str().unwrap_or_default(), module.version())
    {
        found.push(
            Diagnostic::error("no-such-version", format!("runtime `{}`: {problem}", label.text))
                .at(version.span)
                .note(format!("the module has version {}", module.version())),
        );
        return None;
    }
    Some(module)
}

/// The options of a runtime: what the block writes, by the types that the module declares. And what they refer to.
fn options(
    expansion: &Expansion<'_>,
    module: &Module,
    source: &Block,
    instance: &Instance,
    found: &mut Diagnostics,
) -> Option<(Value, BTreeSet<Address>)> {
    let language = crate::language::top_level();
    let base = language.block("cluster").and_then(|rule| rule.schema.block("runtime")).map(|rule| rule.schema.clone()).unwrap_or_default();
    let mut options: Fields = Fields::new();
    let evaluator = expansion.evaluator(instance);
    let mut needs = BTreeSet::new();
    let mut body = source.body.clone();
    body.attributes.retain(|attribute| module.option(&attribute.name.name).is_none());
    let errors = found.len();
    check_option_names(&body, &BlockSchema { open: false, ..base }, module, source, found);
    for option in module.options() {
        let written = source.body.attributes.iter().find(|attribute| attribute.name.name == option.name);
        let rule = AttributeRule {
            late: true,
            ..AttributeRule::new(AttributeSchema {
                name: "option",
                ty: option.ty.clone(),
                presence: Presence::Optional,
                change: ChangeWord::Steps,
                sensitive: option.sensitive,
                shown: Shown::Always,
                refuses: None,
                doc: "",
            })
        };
        match written {
            Some(attribute) => {
                if let Some(field) = evaluator.attribute(attribute, &rule, &mut needs, found) {
                    let null = field.value.is_null();
                    let value = if null { option.default.clone().unwrap_or(Value::NULL) } else { field.value.clone() };
                    options.insert(Arc::clone(&option.name), cloudtik_model::spec::Field::new(value, field.span));
                }
            }
            None if option.required => {
                found.push(
                    Diagnostic::error("missing-attribute", format!("runtime `{}` needs `{}`", module.name(), option.name))
                        .at(source.header)
                        .help(format!("add `{} = …` ({}): {}", option.name, option.ty, option.doc)),
                );
            }
            None => {
                let value = option.default.clone().unwrap_or(Value::NULL);
                options.insert(Arc::clone(&option.name), cloudtik_model::spec::Field::new(value, Span::NONE));
            }
        }
    }
    let failed = found.iter().skip(errors).any(Diagnostic::is_error);
    (!failed).then(|| (Value::object(options.into_iter().map(|(name, field)| (name, field.value))), needs))
}

fn check_option_names(body: &cloudtik_syntax::Body, schema: &BlockSchema, module: &Module, source: &Block, found: &mut Diagnostics) {
    let mut inner = Diagnostics::new();
    check_body(body, schema, &format!("runtime `{}`", module.name()), source.header, &mut inner);
    found.extend(inner.into_iter().map(|diagnostic| {
        if diagnostic.code != "unknown-attribute" || diagnostic.help.is_some() {
            return diagnostic;
        }
        let name = diagnostic.title.rsplit('`').nth(1).unwrap_or_default().to_owned();
        let near = did_you_mean(&name, module.options().iter().map(|option| &*option.name));
        diagnostic.maybe_help(near.map(|near| format!("did you mean `{near}`?")))
    }));
}
