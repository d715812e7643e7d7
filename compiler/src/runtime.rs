//! Runtimes: the module of each, its options checked, its steps for a node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::spec::Fields;
use cloudtik_model::{Address, ChangeWord, Diagnostic, Diagnostics, Span, StepSpec, Value, did_you_mean};
use cloudtik_provider_api::{AttributeSchema, Presence};
use cloudtik_runtime_modules::{ExpandRequest, Module, expand, load_folder, load_shipped, shipped_names};
use cloudtik_syntax::Block;

use crate::cluster::{NodeContext, merge, only_workers};
use crate::evaluate::Evaluated;
use crate::expand::{Expansion, attribute, located};
use crate::schema::{AttributeRule, BlockSchema, check_body};
use crate::scope::Instance;
use crate::version::check_constraint;

/// The steps of all runtimes of a node, and what each runtime exports.
pub(crate) fn runtime_steps(
    expansion: &mut Expansion<'_>,
    context: &NodeContext<'_>,
    block: &Block,
    instance: &Instance,
    after: &BTreeSet<Address>,
    found: &mut Diagnostics,
) -> (Vec<StepSpec>, BTreeMap<Arc<str>, Value>) {
    let mut steps = Vec::new();
    let mut exports = BTreeMap::new();
    let [cluster, _] = context.blocks;
    let mut last_of: BTreeMap<Arc<str>, BTreeSet<Address>> = BTreeMap::new();
    let waits = waits(expansion, context, block, instance, found);
    for runtime in in_order(&waits, cluster.all("runtime"), found) {
        let Some(source) = block
            .body
            .blocks
            .iter()
            .find(|inner| &*inner.kind.name == "runtime" && inner.labels.first().is_some_and(|l| l.text == runtime.label))
        else {
            continue;
        };
        let Some(module) = load(expansion, runtime, source, found) else { continue };
        let on = if runtime.value("on").is_null() { module.roles().to_vec() } else { runtime.strings("on") };
        if let (Some(refused), Some(place)) = (only_workers(&on), runtime.fields.get("on")) {
            let help = "this version has heads only: write `\"head\"` or `\"all\"`";
            found.push(Diagnostic::error("not-in-effect", refused).at(place.span).help(help));
        }
        if !context.is_on(&on) {
            continue;
        }
        let Some((options, needs)) = options(expansion, &module, source, instance, found) else { continue };
        let mut after = after.clone();
        for needed in waits.runtimes.get(&runtime.label).into_iter().flatten() {
            after.extend(last_of.get(needed).into_iter().flatten().cloned());
        }
        let capabilities = context.capabilities.map(|all| all.iter().map(|capability| capability.as_str().to_owned()).collect());
        let mut expanded = expand(&ExpandRequest {
            module: &module,
            address: &context.node.child("runtime").child(Arc::clone(&runtime.label)),
            node: &context.node,
            cluster_name: context.cluster_name,
            options: &options,
            config: &runtime.value("config"),
            env: &merge(&context.env, &runtime.value("env")),
            version: runtime.text("version"),
            capabilities: capabilities.as_ref(),
            is_worker: false,
            discovered: &BTreeMap::new(),
            after: &after,
            span: runtime.span,
        });
        for step in &mut expanded.steps {
            step.depends_on.extend(needs.iter().cloned());
            if let Some(blocks) = waits.blocks.get(&runtime.label) {
                expansion.wanted.insert(step.address.clone(), blocks.clone());
            }
        }
        found.extend(expanded.diagnostics);
        expansion.notes.extend(expanded.notes);
        last_of.insert(Arc::clone(&runtime.label), expanded.steps.iter().map(|step| step.address.clone()).collect());
        exports.insert(Arc::clone(&runtime.label), expanded.exports);
        steps.extend(expanded.steps);
    }
    (steps, exports)
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
fn waits(expansion: &Expansion<'_>, context: &NodeContext<'_>, block: &Block, instance: &Instance, found: &mut Diagnostics) -> Waits {
    let evaluator = expansion.evaluator(instance);
    let runtimes: Vec<&Block> = block.body.blocks.iter().filter(|inner| &*inner.kind.name == "runtime").collect();
    let labels: BTreeSet<&str> = runtimes.iter().filter_map(|runtime| Some(&*runtime.labels.first()?.text)).collect();
    let cluster = context.node.prefix(2);
    let mut waits = Waits::default();
    for runtime in &runtimes {
        let (Some(label), Some(list)) = (runtime.labels.first(), attribute(runtime, "depends_on")) else { continue };
        for (address, span) in located(&evaluator, &list.value, found) {
            let name = match address.segments() {
                [root, name] if &*root.name == "runtime" => Some(name),
                [.., part, name] if address.prefix(2) == cluster && &*part.name == "runtime" => Some(name),
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

fn load(expansion: &Expansion<'_>, runtime: &Evaluated, source: &Block, found: &mut Diagnostics) -> Option<Module> {
    let label = source.labels.first()?;
    let map = &mut expansion.reads.map.borrow_mut();
    let (module, diagnostics) = match runtime.fields.get("source") {
        Some(folder) => {
            let path = folder.value.as_str().unwrap_or_default();
            load_folder(&label.text, expansion.reads.sources, path, folder.span, map)
        }
        None => match load_shipped(&label.text, map) {
            Some(loaded) => loaded,
            None => {
                let near = did_you_mean(&label.text, shipped_names());
                let all: Vec<&str> = shipped_names().collect();
                found.push(
                    Diagnostic::error("unknown-runtime", format!("there is no runtime `{}`", label.text))
                        .at(label.span)
                        .maybe_help(near.map(|near| format!("did you mean `{near}`?")))
                        .note(format!("this version ships {}; `source` names a module folder of your own", all.join(", "))),
                );
                return None;
            }
        },
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
                shown: true,
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
