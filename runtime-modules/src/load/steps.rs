//! Blocks that become steps: their names, what they follow, what they need.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_lang::Variables;
use cloudtik_model::{Diagnostic, Diagnostics, Span, did_you_mean};
use cloudtik_syntax::Block;

use super::{check_capabilities, reader, taken_names};
use crate::module::{Module, StepBlock, StepBlockKind};

/// Signals that a daemon can be stopped or told to reload with.
const SIGNALS: [&str; 6] = ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2"];

/// Adds a block to the module.
pub(super) fn read(block: &Block, module: &mut Module, found: &mut Diagnostics) {
    let Some(label) = block.labels.first() else { return };
    let kind = match &*block.kind.name {
        "file" => StepBlockKind::File,
        "validate" => StepBlockKind::Validate,
        "run" => StepBlockKind::Run,
        _ => StepBlockKind::Daemon,
    };
    if !is_step_name(&label.text) {
        let title = format!("`{}` is no name of a step: lower-case letters, digits, `-` and `_` make one", label.text);
        found.push(Diagnostic::error("bad-name", title).at(label.span));
        return;
    }
    let none = Variables::none();
    let Some(reader) = reader(block, &none) else { return };
    let names = |attribute: &str, found: &mut Diagnostics| {
        let written = block.body.attribute(attribute);
        written.and_then(|_| reader.texts(attribute, found)).unwrap_or_default()
    };
    let follows = names("follows", found).into_iter().map(Arc::from).collect();
    let requires = names("requires", found);
    check_capabilities(&requires, reader.span("requires"), found);
    for attribute in ["stop_signal", "reload_signal"] {
        if block.body.attribute(attribute).is_some()
            && let Some(Some(signal)) = reader.text(attribute, found)
            && !SIGNALS.contains(&signal.as_str())
        {
            found.push(
                super::not_one_of(format!("`{attribute}`: there is no signal `{signal}`"), &signal, &SIGNALS).at(reader.span(attribute)),
            );
        }
    }
    check_shape(block, kind, found);
    module.steps.push(StepBlock { kind, name: Arc::clone(&label.text), block: block.clone(), follows, requires });
}

fn is_step_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_lowercase())
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
}

fn check_shape(block: &Block, kind: StepBlockKind, found: &mut Diagnostics) {
    let has = |name: &str| block.body.attribute(name).is_some();
    if kind == StepBlockKind::File {
        let contents = ["template", "source", "content"].into_iter().filter(|name| has(name)).count();
        if contents != 1 {
            let title = "a `file` needs exactly one of `template`, `source` and `content`";
            found.push(Diagnostic::error("file-content", title).at(block.header));
        }
        if let Some(bindings) = block.body.attribute("bindings").filter(|_| !has("template")) {
            found.push(Diagnostic::error("file-content", "`bindings` are for a `template`").at(bindings.name.span));
        }
    }
    for ready in &block.body.blocks {
        if ready.body.blocks.len() != 1 {
            let title = format!("`{}` needs exactly one of `http` and `tcp`", ready.kind.name);
            found.push(Diagnostic::error("readiness", title).at(ready.header));
        }
    }
}

/// Checks the names of steps against each other.
pub(super) fn check(module: &Module, found: &mut Diagnostics) {
    let mut names: BTreeMap<Arc<str>, (StepBlockKind, Span)> = BTreeMap::new();
    let taken = taken_names();
    for step in &module.steps {
        if taken.contains(&step.name) {
            let title = format!("a step cannot be called `{}`: the module has a step of that name by itself", step.name);
            found.push(Diagnostic::error("reserved-name", title).at(step.block.header));
        }
        // Two of one kind are found by the schema.
        if let Some((_, first)) = names.get(&step.name).filter(|(kind, _)| *kind != step.kind) {
            let title = format!("two steps are called `{}`", step.name);
            found.push(Diagnostic::error("duplicate-block", title).at_saying(step.block.header, "the second").and_at(*first, "the first"));
        }
        names.insert(Arc::clone(&step.name), (step.kind, step.block.header));
    }
    for step in &module.steps {
        let may: Vec<StepBlockKind> = followable(step.kind).to_vec();
        let span = step.block.body.attribute("follows").map_or(step.block.header, |attribute| attribute.value.span);
        for followed in &step.follows {
            let title = match names.get(followed) {
                Some((kind, _)) if may.contains(kind) => continue,
                Some(_) => format!("`{followed}` runs after `{}`, so it cannot be followed", step.name),
                None => format!("there is no step `{followed}`"),
            };
            let candidates = names.iter().filter(|(_, (kind, _))| may.contains(kind)).map(|(name, _)| &**name);
            let near = did_you_mean(followed, candidates).map(|near| format!("did you mean `{near}`?"));
            found.push(Diagnostic::error("unknown-step", title).at(span).maybe_help(near));
        }
    }
    for service in module.services.iter().filter(|service| !module.ports.iter().any(|port| port.name == service.port)) {
        let title = format!("service `{}`: there is no port `{}`", service.name, service.port);
        let near = did_you_mean(&service.port, module.ports.iter().map(|port| &*port.name));
        found
            .push(Diagnostic::error("unknown-port", title).at(service.span).maybe_help(near.map(|near| format!("did you mean `{near}`?"))));
    }
}

/// What a block can follow: what is done before it.
const fn followable(kind: StepBlockKind) -> &'static [StepBlockKind] {
    match kind {
        StepBlockKind::File => &[],
        StepBlockKind::Run => &[StepBlockKind::File],
        StepBlockKind::Validate => &[StepBlockKind::File, StepBlockKind::Run],
        StepBlockKind::Daemon => &[StepBlockKind::File, StepBlockKind::Run, StepBlockKind::Validate],
    }
}
