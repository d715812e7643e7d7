//! The stages, one after the other; each goes on after an error, so that one run shows all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_lang::Files;
use cloudtik_model::spec::WorkspaceSpec;
use cloudtik_model::{
    Address, Diagnostic, Diagnostics, Digest, FileId, Graph, HeadConfig, Node, ProviderRef, ReadError, SourceMap, Span, Value, did_you_mean,
};
use cloudtik_provider_api::{FactQuestion, HEAD_CONTROLLER_KIND};
use cloudtik_syntax::Block;

use crate::declare::Name;
use crate::evaluate::Evaluator;
use crate::expand::Expansion;
use crate::import::{Imports, finish_imports};
use crate::input::{CompileInput, gather};
use crate::load::Reads;
use crate::modules::Modules;
use crate::moved::{finish_moves, read_moves, read_removed, release};
use crate::order::order;
use crate::policy::{check_policies, judge_policies};
use crate::schema::not_in_effect;
use crate::scope::{Instance, SAID_BEFORE, World};
use crate::spec_text::SpecOf;
use crate::version::check_constraint;

/// How long connections to a node may take: `ssh.connect_timeout`, `ssh.ready_timeout`. They change nothing that exists, so they are no
/// part of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeTimeouts {
    /// Seconds that a handshake may take.
    pub connect_secs: u64,
    /// Seconds until a new node answers.
    pub ready_secs: u64,
}

/// What a spec became.
#[derive(Debug, Default)]
pub struct Compiled {
    /// The graph; empty of what had errors.
    pub graph: Graph,
    /// Questions to providers that have no answer yet: answer them and compile again.
    pub questions: BTreeMap<ProviderRef, Vec<FactQuestion>>,
    /// All questions, answered or not: which facts are pinned.
    pub pinned: BTreeSet<String>,
    /// Keys of facts that are used where the state has them, and are asked of nobody.
    pub kept: BTreeSet<String>,
    /// What is there already and is taken over.
    pub imports: Imports,
    /// Lines that a plan's reader should know.
    pub notes: Vec<String>,
    /// The files that were compiled, by path.
    pub sources: BTreeMap<String, Arc<str>>,
    /// Files that evaluation read, with their digests.
    pub reads: BTreeMap<String, Digest>,
    /// The values of variables.
    pub variables: BTreeMap<String, Value>,
    /// Where the state lies, if the spec says so.
    pub state_path: Option<String>,
    /// The expression of that path, as it is written: two environments of one spec have it in common.
    pub state_written: Option<String>,
    /// Whether the spec says where the state lies and it could not be read: no state may be touched then, least of all another one.
    pub state_failed: bool,
    /// How long connections may take, by node; for others the defaults.
    pub timeouts: BTreeMap<Address, NodeTimeouts>,
    /// What the controller on the head of each cluster with workers is told, by cluster.
    pub head_configs: BTreeMap<Address, HeadConfig>,
    /// The workspaces as they were lowered.
    pub workspaces: BTreeMap<Address, WorkspaceSpec>,
    /// The time of the plan, as the input had it.
    pub plan_time: String,
    /// Whether something shows it.
    pub shows_plan_time: bool,
    /// Whether it has policies, which [`compile_with_changes`] judges.
    pub has_policies: bool,
    /// The block that somebody asks about, as text.
    pub spec_text: Option<String>,
    /// What the expressions are that somebody asks about, in their order.
    pub answers: Vec<Result<Value, Diagnostics>>,
}

/// Compiles a project. The diagnostics are in the order of their places; with an error among them the graph must not be used.
#[must_use]
pub fn compile(input: &CompileInput<'_>) -> (Compiled, SourceMap, Diagnostics) {
    compiled(input, None, None)
}

/// A workspace, a cluster or a block in one after inheritance, as text of the language: every line with its origin. `None`: the spec has no such
/// block.
#[must_use]
pub fn spec_text(input: &CompileInput<'_>, address: &Address) -> (Option<String>, SourceMap, Diagnostics) {
    let (compiled, map, found) = compiled(input, None, Some(address));
    (compiled.spec_text, map, found)
}

/// The same, and judges the policies of the project for the changes of its plan: objects of `address`, `kind`, `actions`, `before`, `after`
/// and `source`.
#[must_use]
pub fn compile_with_changes(input: &CompileInput<'_>, changes: &[Value]) -> (Compiled, SourceMap, Diagnostics) {
    compiled(input, Some(changes), None)
}

fn compiled(input: &CompileInput<'_>, changes: Option<&[Value]>, spec_of: Option<&Address>) -> (Compiled, SourceMap, Diagnostics) {
    let mut map = SourceMap::default();
    let mut found = Diagnostics::new();
    let mut modules = Modules::read(input.sources, &mut map, &mut found);
    check_override(input, &mut found);
    let names = order(&mut modules, &mut found);
    let given = gather(input, &modules.root().variables(), &mut map, &mut found);
    let reads = Reads::new(input, map);
    let mut expansion = Expansion::new(input, &reads, given, &modules);
    expansion.spec_of = spec_of.cloned().map(SpecOf::new);
    read_moves(&mut expansion, &modules.root().moved);
    for (id, name) in &names {
        expansion.evaluate(*id, name);
    }
    let mut removed = Vec::new();
    for (declarations, module) in expansion.all_instances() {
        expansion.enter(module.as_ref());
        declarations.checks.iter().for_each(|block| expansion.check(block));
        match changes {
            Some(changes) => judge_policies(&mut expansion, &declarations.policies, changes),
            None => check_policies(&mut expansion, &declarations.policies),
        }
        removed.extend(read_removed(&mut expansion, &declarations.removed));
    }
    expansion.enter(None);
    let mut compiled = Compiled {
        answers: input.expressions.iter().map(|text| answer(&expansion, text)).collect(),
        has_policies: modules.iter().any(|(_, module)| !module.declarations.policies.is_empty()),
        ..Compiled::default()
    };
    if let Some(block) = &modules.root().settings {
        settings(&expansion, block, input, &mut compiled, &mut found);
    }
    finish_moves(&mut expansion, &removed);
    release(&mut expansion, removed);
    compiled.imports = finish_imports(&mut expansion, &modules.root().imports);
    spread_dependencies(&mut expansion);
    compiled.questions = std::mem::take(&mut expansion.questions);
    compiled.spec_text = expansion.spec_of.take().and_then(SpecOf::text);
    questions(&expansion, &mut compiled, &mut found);
    let Expansion { graph, providers, variables, mut notes, timeouts, head_configs, workspaces, found: expanded, .. } = expansion;
    found.extend(expanded);
    let mut found: Diagnostics = found.into_iter().filter(|diagnostic| diagnostic.code != SAID_BEFORE).collect();
    found.sort();
    let found = if modules.iter().count() > 1 { said_once(found) } else { found };
    notes.sort();
    notes.dedup();
    let Reads { digests, map, planning, .. } = reads;
    input.plan_time.clone_into(&mut compiled.plan_time);
    compiled.shows_plan_time = planning.shows_time();
    compiled.graph = graph;
    // What is in the state may have been made through one that nothing of the spec uses any more.
    if input.provider_override.is_none() {
        for (name, config) in providers {
            compiled.graph.providers.entry(name).or_insert(config);
        }
    }
    compiled.variables = variables;
    compiled.timeouts = timeouts;
    compiled.head_configs = head_configs;
    compiled.workspaces = workspaces.into_iter().map(|(address, (spec, _))| (address, spec)).collect();
    compiled.notes.extend(notes);
    compiled.sources = modules.texts;
    compiled.reads = digests.into_inner();
    (compiled, map.into_inner(), found)
}

/// What is wrong with a module is most often wrong with each of its instances, and is said of the first.
fn said_once(found: Diagnostics) -> Diagnostics {
    let mut seen = BTreeSet::new();
    let place = |diagnostic: &Diagnostic| diagnostic.primary.as_ref().map(|label| label.span);
    let is_first =
        |diagnostic: &Diagnostic| place(diagnostic).is_none_or(|span| seen.insert((diagnostic.code, diagnostic.title.clone(), span)));
    found.into_iter().filter(is_first).collect()
}

/// A provider that replaces all others must be one.
fn check_override(input: &CompileInput<'_>, found: &mut Diagnostics) {
    if let Some(name) = input.provider_override
        && !input.providers.contains_key(name)
    {
        let near = did_you_mean(name, input.providers.keys().copied()).map(|near| format!("did you mean `{near}`?"));
        found.push(Diagnostic::error("unknown-provider", format!("`--provider {name}`: there is no such provider")).maybe_help(near));
    }
}

/// The `cloudtik` block.
fn settings(expansion: &Expansion<'_>, block: &Block, input: &CompileInput<'_>, compiled: &mut Compiled, found: &mut Diagnostics) {
    let schema = expansion.top("cloudtik");
    let instance = Instance::default();
    let world: &World = &expansion.world;
    let evaluator = Evaluator { world, reads: expansion.reads, instance: &instance };
    let evaluated = evaluator.block(block, &schema, found);
    let written = block.body.blocks.iter().any(|inner| &*inner.kind.name == "state" && !inner.body.attributes.is_empty());
    compiled.state_failed = written && evaluated.only("state").is_none_or(|state| state.text("path").is_none_or(str::is_empty));
    if let Some(wanted) = evaluated.fields.get("required_version")
        && let Err(problem) = check_constraint(wanted.value.as_str().unwrap_or_default(), input.tool_version)
    {
        found.push(Diagnostic::error("wrong-version", format!("this is cloudtik {}: {problem}", input.tool_version)).at(wanted.span));
    }
    if let Some(state) = evaluated.only("state") {
        let label = block.body.blocks.iter().flat_map(|block| &block.labels).next();
        let span = label.map_or(state.span, |label| label.span);
        match &*state.label {
            "local" => match state.text("path") {
                Some(path) if path.is_empty() || path.ends_with(['/', '.']) => found.push(
                    Diagnostic::error("bad-value", format!("`path`: `{path}` is not the path of a file"))
                        .at(state.field("path").span)
                        .help("write one such as `\"state/production.json\"`"),
                ),
                path => {
                    compiled.state_path = path.map(str::to_owned);
                    let written = expansion.reads.map.borrow().text(state.field("path").span).map(str::to_owned);
                    compiled.state_written = written.filter(|_| path.is_some());
                }
            },
            "s3" | "gcs" | "azure" | "postgres" => found.push(not_in_effect(&format!("state \"{}\"", state.label), span)),
            other => found.push(
                Diagnostic::error("unknown-state", format!("there is no state store `{other}`"))
                    .at(span)
                    .maybe_help(did_you_mean(other, ["local"]).map(|near| format!("did you mean `{near}`?")))
                    .note("this version has `local`"),
            ),
        }
    }
}

/// `depends_on` names blocks; the graph's edges go between nodes. Also drops edges to what a block names and is no node.
fn spread_dependencies(expansion: &mut Expansion<'_>) {
    let mut graph = std::mem::take(&mut expansion.graph.nodes);
    let nodes: BTreeSet<Address> = graph.keys().cloned().collect();
    let told = told_steps(expansion);
    let below = |prefix: &Address| {
        let made = nodes.range(prefix.clone()..).take_while(|address| address.is_within(prefix));
        // Whoever waits for a step of the controller waits until the controller is told of it.
        let told = told.range(prefix.clone()..).take_while(|(address, _)| address.is_within(prefix)).map(|(_, controller)| controller);
        made.chain(told).cloned().collect::<Vec<_>>()
    };
    let mut found = Diagnostics::new();
    let nothing_at = |prefix: &Address| {
        let whole = (prefix.is_block() || prefix.is_module()) && prefix.key().is_none();
        let known = named(prefix)
            .zip(expansion.around(prefix))
            .is_some_and(|(name, world)| world.failed.contains(&name) || whole && world.instances.contains_key(&name));
        below(prefix).is_empty() && !known
    };
    let unknown = |prefix: &Address, span: Span| {
        let whole = prefix.block();
        let help = (whole != *prefix && !below(&whole).is_empty())
            .then(|| format!("name the whole block, `{whole}`, or a part that is made, not an attribute"));
        Diagnostic::error("unknown-reference", format!("there is nothing at `{prefix}`")).at(span).maybe_help(help)
    };
    found.extend(expansion.named.iter().filter(|(_, prefix)| nothing_at(prefix)).map(|(span, prefix)| unknown(prefix, *span)));
    let mut waiting: BTreeMap<&Address, BTreeSet<Address>> = BTreeMap::new();
    for (module, wanted) in &expansion.waiting {
        found.extend(wanted.iter().filter(|(prefix, _)| nothing_at(prefix)).map(|(prefix, span)| unknown(prefix, *span)));
        waiting.insert(module, wanted.iter().flat_map(|(prefix, _)| below(prefix)).collect());
    }
    for (address, node) in &mut graph {
        let depends_on = match node {
            Node::Resource(spec) => &mut spec.depends_on,
            Node::Step(spec) => &mut spec.depends_on,
        };
        if let Some(wanted) = expansion.wanted.get(address) {
            for (prefix, span) in wanted {
                if nothing_at(prefix) {
                    found.push(unknown(prefix, *span));
                }
                depends_on.extend(below(prefix));
            }
        }
        for (_, wanted) in waiting.iter().filter(|(module, _)| address.is_within(module)) {
            depends_on.extend(wanted.iter().cloned());
        }
        if depends_on.iter().any(|needed| !nodes.contains(needed)) {
            let spread = depends_on.iter().flat_map(|needed| if nodes.contains(needed) { vec![needed.clone()] } else { below(needed) });
            *depends_on = spread.collect();
        }
        depends_on.remove(address);
    }
    expansion.graph.nodes = graph;
    expansion.found.extend(found);
}

/// An expression that stands in no file.
fn answer(expansion: &Expansion<'_>, text: &str) -> Result<Value, Diagnostics> {
    let file = expansion.reads.map.borrow_mut().add("<console-input>", text);
    let expression = cloudtik_syntax::parse_expression(file, text)?;
    expansion.evaluator(&Instance::default()).value_of(&expression)
}

/// The steps that controllers do, with the resource that stands for the controller.
fn told_steps(expansion: &Expansion<'_>) -> BTreeMap<Address, Address> {
    let steps = |config: &HeadConfig| {
        let controller = config.cluster.child(HEAD_CONTROLLER_KIND);
        let all = config.head_steps.iter().chain(config.groups.values().flat_map(|group| &group.steps));
        all.map(|step| (step.address.clone(), controller.clone())).collect::<Vec<_>>()
    };
    expansion.head_configs.values().flat_map(steps).collect()
}

/// The declaration that an address is of.
fn named(prefix: &Address) -> Option<Name> {
    if prefix.is_module() {
        return prefix.modules().last().map(|module| Name::Module(Arc::clone(&module.name)));
    }
    let names: Vec<Arc<str>> = prefix.in_module().iter().skip(1).map(|segment| Arc::clone(&segment.name)).collect();
    crate::declare::named_by(prefix.root(), &names)
}

fn questions(expansion: &Expansion<'_>, compiled: &mut Compiled, found: &mut Diagnostics) {
    for (name, config) in &expansion.graph.providers {
        let Some(provider) = expansion.input.providers.get(name.provider_type()) else { continue };
        let is_used = |spec: &&WorkspaceSpec| spec.provider == *name || spec.client.as_ref().is_some_and(|client| client.provider == *name);
        let workspaces: Vec<_> = expansion.workspaces.values().map(|(spec, _)| spec).filter(is_used).collect();
        let clusters: Vec<_> = expansion.clusters.iter().filter(|(_, of)| of == name).map(|(spec, _)| spec).collect();
        for question in provider.facts_needed(name, &config.attributes, &workspaces, &clusters) {
            if question.pin {
                compiled.pinned.insert(question.key.clone());
            }
            if !expansion.input.facts.contains_key(&question.key) {
                compiled.questions.entry(name.clone()).or_default().push(question);
            }
        }
        let own: Vec<_> = workspaces.iter().copied().filter(|spec| spec.provider == *name).collect();
        let kept = provider.facts_kept(&config.attributes, &own);
        compiled.pinned.extend(kept.iter().cloned());
        compiled.kept.extend(kept);
        compiled.notes.extend(provider.notes(name, &config.attributes, expansion.input.facts));
        found.extend(provider.check_together(name, &config.attributes, &clusters, expansion.input.facts));
    }
}

impl Files for Reads<'_> {
    fn read(&self, path: &str) -> Result<Arc<[u8]>, ReadError> {
        Reads::read(self, path)
    }

    fn list_below(&self, path: &str, depth: Option<usize>) -> Result<Vec<String>, ReadError> {
        self.sources.list_below(path, depth)?.ok_or_else(|| ReadError::NotFound(path.to_owned()))
    }

    fn absolute(&self, path: &str) -> Option<String> {
        self.sources
            .folder()
            .map(|folder| cloudtik_lang::clean_path(&if path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") }))
    }

    fn home(&self) -> Option<String> {
        self.sources.home()
    }

    fn add_source(&self, path: &str, text: Arc<str>) -> FileId {
        self.map.borrow_mut().add(path, text)
    }
}
