//! Steps of `setup`, and how the steps of a node follow each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::{Address, Diagnostic, Diagnostics, Input, Key, Lifecycle, Segment, Span, StepKind, StepSpec, Value, duration_seconds};

use crate::evaluate::{Evaluated, marked_inside};
use crate::expand::Expansion;
use crate::node::{NodeContext, merge};
use crate::roles::check_roles;

/// Seconds that a command of a list may take; a `step` says its own.
const COMMAND_TIMEOUT_SECS: u64 = 600;

/// How a failing command of a list is repeated; a `step` says its own.
const COMMAND_RETRIES: u64 = 2;
const COMMAND_RETRY_WAIT_SECS: u64 = 5;

/// Characters of a command that its title shows.
const TITLE_CHARS: usize = 60;

/// Orders steps: each stage follows all of the stage before it.
pub(crate) struct Chain {
    after: BTreeSet<Address>,
}

impl Chain {
    pub(crate) const fn new(after: BTreeSet<Address>) -> Self {
        Self { after }
    }

    /// What the next stage follows.
    pub(crate) const fn after(&self) -> &BTreeSet<Address> {
        &self.after
    }

    /// One step is a stage.
    pub(crate) fn one(&mut self, step: StepSpec, steps: &mut Vec<StepSpec>) {
        self.together(vec![step], steps);
    }

    /// Several steps are one stage.
    pub(crate) fn together(&mut self, mut stage: Vec<StepSpec>, steps: &mut Vec<StepSpec>) {
        for step in &mut stage {
            step.depends_on.extend(self.after.iter().cloned());
        }
        self.join(stage, steps);
    }

    /// Steps that are ordered among themselves already: the next stage follows those that no other of them follows.
    pub(crate) fn join(&mut self, stage: Vec<StepSpec>, steps: &mut Vec<StepSpec>) {
        if stage.is_empty() {
            return;
        }
        let followed: BTreeSet<&Address> = stage.iter().flat_map(|step| &step.depends_on).collect();
        self.after = stage.iter().map(|step| &step.address).filter(|address| !followed.contains(address)).cloned().collect();
        steps.extend(stage);
    }
}

/// The first step of every node: its host key becomes one that only it knows.
pub(crate) fn host_key_step(context: &NodeContext<'_>) -> StepSpec {
    let [_, node] = context.blocks;
    let ssh = node.only("ssh");
    let keys = ssh.map_or(Value::NULL, |ssh| ssh.value("authorized_keys"));
    let keys = if keys.is_null() { Value::list([]) } else { keys };
    let mut step = new_step(context, context.node.child("step").child("host_key"), StepKind::HostKey, "pin the host key".to_owned());
    step.span = ssh.map_or(node.span, |ssh| ssh.span);
    step.inputs.insert("authorized_keys".into(), Input::Value(keys));
    step
}

/// A step without inputs.
pub(crate) fn new_step(context: &NodeContext<'_>, address: Address, kind: StepKind, title: String) -> StepSpec {
    StepSpec {
        address,
        node: context.node.clone(),
        kind,
        inputs: BTreeMap::new(),
        depends_on: BTreeSet::new(),
        triggers: BTreeSet::new(),
        frozen: false,
        title,
        lifecycle: Lifecycle::default(),
        span: Span::NONE,
    }
}

/// The steps of one phase: the cluster's list, the node's list, then the `step` blocks of both, one after the other.
pub(crate) fn setup_steps(
    expansion: &Expansion<'_>,
    context: &NodeContext<'_>,
    phase: &'static str,
    chain: &mut Chain,
    steps: &mut Vec<StepSpec>,
    found: &mut Diagnostics,
) {
    let setups: Vec<&Evaluated> = context.blocks.iter().filter_map(|block| block.only("setup")).collect();
    // What starts with services runs again when one of them is started anew.
    let daemons: BTreeSet<Address> = if phase == "on_start" {
        steps.iter().filter(|s| s.kind == StepKind::Daemon).map(|s| s.address.clone()).collect()
    } else {
        BTreeSet::new()
    };
    let mut index = 0;
    for setup in &setups {
        let field = setup.field(phase);
        let commands = marked_inside(&field.value);
        for command in commands.elements().into_iter().flatten() {
            let segment = Segment { name: phase.into(), key: Some(Key::Index(index)) };
            let address = context.node.child("setup").push(segment);
            let mut step = command_step(context, address, phase, command, &context.env);
            step.span = field.span;
            step.triggers.clone_from(&daemons);
            index += 1;
            chain.one(step, steps);
        }
    }
    for setup in &setups {
        for block in setup.all("step") {
            // Said once, where the phase is its own.
            let roles = check_roles(&block.strings("on"), context.groups);
            if let (true, Some(problem), Some(place)) = (block.text("phase") == Some(phase), roles, block.fields.get("on")) {
                found.push(problem.at(place.span));
            }
        }
        for block in setup.all("step").iter().filter(|block| block.text("phase") == Some(phase) && context.is_on(&block.strings("on"))) {
            if let Some(mut step) = named_step(expansion, context, phase, block, found) {
                step.triggers.clone_from(&daemons);
                // The name of the first step of every node is no name that a block may have, which is said elsewhere.
                if steps.iter().any(|other| other.address == step.address && other.kind != StepKind::HostKey) {
                    found.push(
                        Diagnostic::error("duplicate-block", format!("two steps of this node are called `{}`", block.label)).at(block.span),
                    );
                }
                chain.one(step, steps);
            }
        }
    }
}

/// A string of a list: a command with the defaults.
fn command_step(context: &NodeContext<'_>, address: Address, phase: &str, command: &Value, env: &Value) -> StepSpec {
    let mut step = new_step(context, address, StepKind::Run, title_of(command));
    put_script(&mut step, phase, command.clone());
    put_env(&mut step, env);
    put_numbers(&mut step, [COMMAND_TIMEOUT_SECS, COMMAND_RETRIES, COMMAND_RETRY_WAIT_SECS]);
    step
}

fn named_step(
    expansion: &Expansion<'_>,
    context: &NodeContext<'_>,
    phase: &str,
    block: &Evaluated,
    found: &mut Diagnostics,
) -> Option<StepSpec> {
    let script = match (block.fields.get("run"), block.fields.get("script")) {
        (Some(run), None) => run.value.clone(),
        (None, Some(script)) => {
            let path = script.value.as_str().unwrap_or_default();
            let bytes = found.take(expansion.reads.read_at(path, script.span))?;
            match std::str::from_utf8(&bytes) {
                Ok(text) => text.into(),
                Err(_) => {
                    found.push(Diagnostic::error("not-text", format!("`{path}` is not UTF-8 text")).at(script.span));
                    return None;
                }
            }
        }
        (None, None) => {
            found.push(Diagnostic::error("missing-attribute", format!("step `{}` needs `run` or `script`", block.label)).at(block.span));
            return None;
        }
        (Some(_), Some(script)) => {
            found.push(Diagnostic::error("run-and-script", "a step has `run` or `script`, not both").at(script.span));
            return None;
        }
    };
    let address = context.node.child("step").child(Arc::clone(&block.label));
    let mut step = new_step(context, address, StepKind::Run, block.label.to_string());
    step.span = block.span;
    put_script(&mut step, phase, script);
    put_env(&mut step, &merge(&context.env, &block.value("env")));
    // Its address does not say when it runs, and one that moves runs again: what came before it is another now.
    step.inputs.insert("phase".into(), Input::Value(phase.into()));
    for name in ["unless", "only_if", "user"] {
        let value = block.value(name);
        if !value.is_null() {
            step.inputs.insert(name.into(), Input::Value(value));
        }
    }
    let seconds = |name: &str| block.text(name).and_then(duration_seconds).unwrap_or(COMMAND_TIMEOUT_SECS);
    let retries = block.value("retries").as_number().and_then(cloudtik_model::Number::as_u64).unwrap_or(COMMAND_RETRIES);
    put_numbers(&mut step, [seconds("timeout"), retries, seconds("retry_wait")]);
    Some(step)
}

/// What runs before services stop is the undo of a step that does nothing.
fn put_script(step: &mut StepSpec, phase: &str, script: Value) {
    if phase == "on_stop" {
        step.inputs.insert("script".into(), Input::Value(":".into()));
        step.inputs.insert("undo".into(), Input::Value(script));
    } else {
        step.inputs.insert("script".into(), Input::Value(script));
    }
}

fn put_env(step: &mut StepSpec, env: &Value) {
    if !env.is_null() {
        step.inputs.insert("env".into(), Input::Value(env.clone()));
    }
}

fn put_numbers(step: &mut StepSpec, [timeout, retries, wait]: [u64; 3]) {
    for (name, number) in [("timeout_secs", timeout), ("retries", retries), ("retry_wait_secs", wait)] {
        step.inputs.insert(name.into(), Input::Value(number.into()));
    }
}

fn title_of(command: &Value) -> String {
    if command.has_sensitive() {
        return "a command".to_owned();
    }
    let shown = cloudtik_lang::preview(command);
    let line = shown.as_str().and_then(|text| text.lines().map(str::trim).find(|line| !line.is_empty())).unwrap_or("a command").to_owned();
    if line.chars().count() > TITLE_CHARS { format!("{}…", line.chars().take(TITLE_CHARS).collect::<String>()) } else { line }
}
