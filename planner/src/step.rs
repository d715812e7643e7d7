//! Steps: when one is the same as the one that was done, and what is to be done when it is not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_lang::{impure_calls, preview, step_inputs_preview};
use cloudtik_model::{Address, ChangeWord, Digest, Input, Node, NodeAction, Object, ProviderRef, Span, StepKind, StepSpec, Value};
use serde_json::{Value as Json, json};

use crate::diff::differences;
use crate::names::{attribute_of, enumerate, parse};
use crate::order::dependency_set;
use crate::plan::{ASKED_FOR, LAST_RUN_FAILED, TRIGGERED};
use crate::planner::{Planner, blank};
use crate::{Action, AttributeChange, Change, Observation};

/// Says how identities are computed: raised when the same step would get another one, so that a new version runs every step again
/// rather than mistake one for another.
const IDENTITY_VERSION: u32 = 2;

/// The identity of a step: what says that it is done already. Of its kind, its inputs and the identities of what it follows; late
/// values count by their names. `None` when something but a late name is not known, or an identity of what it follows is missing.
///
/// `inputs` are those of the step with everything filled in that is known; `triggers` are the identities of `step.triggers`: of a step
/// its own, of a resource [`resource_identity`].
#[must_use]
pub fn step_identity(step: &StepSpec, inputs: &BTreeMap<String, Input>, triggers: &BTreeMap<Address, Digest>) -> Option<Digest> {
    let mut parts = serde_json::Map::new();
    for (name, input) in inputs {
        parts.insert(name.clone(), input_identity(input)?);
    }
    let mut follows = serde_json::Map::new();
    for trigger in &step.triggers {
        follows.insert(trigger.seen_from(&step.node), Json::String(triggers.get(trigger)?.to_string()));
    }
    Some(Digest::of_json(&json!({ "version": IDENTITY_VERSION, "kind": step.kind.as_str(), "inputs": parts, "follows": follows })))
}

/// The identity of a resource, for the steps that follow it: of its id and of what the spec wants of it. `None` when that is not known.
#[must_use]
pub fn resource_identity(id: &str, desired: &Value) -> Option<Digest> {
    Some(Digest::of_json(&json!({ "version": IDENTITY_VERSION, "id": id, "attributes": value_identity(desired)? })))
}

/// Marks do not count: that a value becomes a secret does not change what is done with it. What a template is called does not either,
/// nor where an artifact comes from.
fn input_identity(input: &Input) -> Option<Json> {
    Some(match input {
        Input::Value(value) => json!({ "value": value_identity(value)? }),
        Input::Template(template) => {
            json!({ "template": Digest::of(template.text.as_bytes()).to_string(), "bindings": value_identity(&template.bindings)? })
        }
        Input::Artifact(artifact) => json!({ "file": artifact.file, "sha256": artifact.sha256.to_string() }),
    })
}

fn value_identity(value: &Value) -> Option<Json> {
    (!has_unknown(value)).then(|| value.unmarked_deeply().to_json())
}

/// The undo of an action, where there is something to undo: a step that only waited, or a command that says nothing of its undoing, needs
/// no visit.
#[must_use]
pub fn effective_undo(object: &Object) -> Option<&NodeAction> {
    object.undo.as_ref().filter(|action| match action {
        NodeAction::HostKey { .. } | NodeAction::Wait { .. } => false,
        NodeAction::Run { undo, .. } => undo.as_ref().is_some_and(|script| !script.trim().is_empty()),
        NodeAction::File { .. } | NodeAction::Package { .. } | NodeAction::Daemon(_) => true,
    })
}

/// The undo that is done even though the node goes: a command of the user that must see its services alive.
pub(crate) fn undo_before_node_goes(object: &Object) -> Option<&NodeAction> {
    effective_undo(object).filter(|action| matches!(action, NodeAction::Run { .. }))
}

/// What may be deferred in an input.
pub(crate) fn deferred_part(input: &Input) -> Option<&Value> {
    match input {
        Input::Value(value) => Some(value),
        Input::Template(template) => Some(&template.bindings),
        Input::Artifact(_) => None,
    }
}

/// How long a step is expected to take before the state remembers better, in milliseconds: measured on one node of the local cloud.
const fn expected_ms(kind: StepKind) -> u64 {
    match kind {
        StepKind::File => 20,
        StepKind::HostKey => 200,
        StepKind::Run => 1_000,
        StepKind::Daemon => 1_500,
        StepKind::Wait => 2_000,
        StepKind::Package => 3_000,
    }
}

/// The input that says where a step's effect is: when it changes, what was done stays behind unless it is undone.
const fn place_of(kind: StepKind) -> Option<&'static str> {
    match kind {
        StepKind::File => Some("path"),
        StepKind::Package => Some("into"),
        StepKind::Daemon => Some("name"),
        StepKind::HostKey | StepKind::Wait | StepKind::Run => None,
    }
}

/// What becomes of the node of a step.
enum NodeFate<'c> {
    /// It is made, or made anew.
    New { replaced: Option<&'c Change> },
    /// It stays; the instance.
    Stays(String),
}

/// What was done before, and how it differs from what is to be done.
struct Former<'s> {
    object: &'s Object,
    changes: Vec<AttributeChange>,
    /// Names of what it follows and what changes.
    followed: Vec<String>,
}

impl<'a> Planner<'_, 'a> {
    /// Plans one step.
    pub(crate) fn step(&mut self, step: &'a StepSpec) {
        let inputs = self.resolved_inputs(step);
        let provider = self.changes.get(&step.node).map_or_else(|| ProviderRef::new("unknown"), |node| node.provider.clone());
        let mut change = blank(&step.address, format!("step.{}", step.kind.as_str()).into(), &provider);
        change.source = self.locate(step.span);
        change.expected_ms = expected_ms(step.kind);
        if let Some(node) = self.input.graph.nodes.get(&step.address) {
            change.depends_on = dependency_set(node);
        }
        let triggers = self.trigger_identities(step);
        change.identity = step_identity(step, &inputs, &triggers);
        let previews = step_inputs_preview(&inputs);
        self.decide_step(step, &inputs, &previews, &mut change);
        self.say_what_a_step_told(&change);
        change.desired = Some(Node::Step(StepSpec { inputs, span: Span::NONE, ..step.clone() }));
        self.changes.insert(step.address.clone(), change);
    }

    /// What a step answered when it ran, for those who refer to it: as long as it does not run again, it stays.
    fn say_what_a_step_told(&mut self, change: &Change) {
        if !self.is_referenced(&change.address) {
            return;
        }
        if self.takes_for_made {
            self.will_be(&change.address, crate::made::told_by(&change.address));
        }
        if change.action != Action::NoOp {
            return;
        }
        let entry = self.input.state.resources.get(&change.address);
        if let Some(object) = entry.and_then(|entry| entry.current.as_ref()) {
            self.will_be(&change.address, object.attributes.clone());
        }
    }

    fn resolved_inputs(&mut self, step: &StepSpec) -> BTreeMap<String, Input> {
        let mut inputs = step.inputs.clone();
        for input in inputs.values_mut() {
            match input {
                Input::Value(value) => *value = self.resolved(value, Some(&step.address), step.span),
                Input::Template(template) => template.bindings = self.resolved(&template.bindings, Some(&step.address), step.span),
                Input::Artifact(_) => {}
            }
        }
        inputs
    }

    fn trigger_identities(&self, step: &StepSpec) -> BTreeMap<Address, Digest> {
        let identity = |change: &Change| match (&change.desired, change.action) {
            (Some(Node::Step(_)), _) => change.identity,
            (Some(Node::Resource(spec)), _) if self.takes_for_made => {
                resource_identity(&crate::made::id_of(&change.address), &spec.attributes)
            }
            (Some(Node::Resource(spec)), Action::NoOp | Action::Update | Action::Adopt | Action::Import) => {
                resource_identity(change.id.as_deref()?, &spec.attributes)
            }
            _ => None,
        };
        step.triggers.iter().filter_map(|trigger| Some((trigger.clone(), identity(self.changes.get(trigger)?)?))).collect()
    }

    fn decide_step(&mut self, step: &'a StepSpec, inputs: &BTreeMap<String, Input>, previews: &Value, change: &mut Change) {
        let former = self.input.state.resources.get(&step.address).and_then(|entry| entry.current.as_ref());
        let run = |change: &mut Change, reason: &str| {
            change.action = Action::Run;
            reason.clone_into(&mut change.reason);
        };
        let Some(object) = former else {
            return run(change, "never ran");
        };
        change.expected_ms = object.took_ms.unwrap_or(change.expected_ms);
        change.id = Some(object.id.clone());
        let instance = match self.fate(step) {
            NodeFate::Stays(instance) => instance,
            NodeFate::New { replaced } => {
                // The services of the node are stopped as they want to be, unless there is nobody to ask.
                let (undone, order) =
                    replaced.map_or((false, false), |node| (node.id.as_ref() == Some(&object.id), node.create_before_destroy));
                run(change, "its node is made anew");
                change.before = object.attributes.get("inputs").cloned();
                if undone && undo_before_node_goes(object).is_some() {
                    change.action = Action::Replace;
                    change.create_before_destroy = order;
                    change.delete_ms = change.expected_ms;
                }
                return;
            }
        };
        if instance != object.id {
            run(change, "its node was made anew");
            change.before = object.attributes.get("inputs").cloned();
            // An earlier run made the new node and was interrupted: the old one is still there, with its services.
            if self.is_deposed(&step.node, &object.id) && undo_before_node_goes(object).is_some() {
                change.action = Action::Replace;
                change.create_before_destroy = true;
                change.delete_ms = change.expected_ms;
            }
            return;
        }
        let former = Former { object, changes: self.input_changes(step, inputs, object, previews), followed: self.followed(step) };
        self.decide_again(step, former, change);
    }

    /// The node is the same and the step was done on it: what is different?
    fn decide_again(&mut self, step: &'a StepSpec, former: Former<'_>, change: &mut Change) {
        let recorded = former.object.attributes.get("identity").and_then(Value::as_str).and_then(|text| text.parse::<Digest>().ok());
        let anew = if self.is_replace_asked(&step.address) {
            Some(ASKED_FOR.to_owned())
        } else if former.object.tainted {
            Some(LAST_RUN_FAILED.to_owned())
        } else {
            let node = self.input.graph.nodes.get(&step.address);
            node.and_then(|node| self.trigger(node)).map(|by| format!("`{by}` {TRIGGERED}"))
        };
        change.before = former.object.attributes.get("inputs").cloned();
        if anew.is_none() && recorded.is_some() && recorded == change.identity {
            change.expected_ms = 0;
            return;
        }
        if anew.is_none() && former.followed.is_empty() && is_ignored(&step.lifecycle.ignore_changes, &former.changes) {
            // Whatever follows it must see it as it was done.
            change.identity = recorded;
            change.expected_ms = 0;
            return;
        }
        let moved = place_of(step.kind).is_some_and(|place| former.changes.iter().any(|change| attribute_of(&change.path) == place));
        change.action = Action::Run;
        change.word = ChangeWord::Steps;
        change.reason = anew.unwrap_or_else(|| why(&former, change.identity.is_none()));
        if moved && effective_undo(former.object).is_some() {
            change.action = Action::Replace;
            change.delete_ms = change.expected_ms;
        }
        change.attributes = former.changes;
    }

    fn fate(&self, step: &StepSpec) -> NodeFate<'_> {
        let Some(node) = self.changes.get(&step.node) else { return NodeFate::New { replaced: None } };
        match (&node.id, node.action) {
            (Some(id), Action::NoOp | Action::Update | Action::Adopt) => NodeFate::Stays(id.clone()),
            // One that is broken cannot be trusted to stop anything.
            (Some(_), Action::Replace) if !self.is_tainted(&step.node) => NodeFate::New { replaced: Some(node) },
            _ => NodeFate::New { replaced: None },
        }
    }

    fn is_deposed(&self, node: &Address, instance: &str) -> bool {
        let entry = self.input.state.resources.get(node);
        entry.is_some_and(|entry| entry.deposed.values().any(|object| object.id == instance))
    }

    fn is_tainted(&self, address: &Address) -> bool {
        let entry = self.input.state.resources.get(address);
        entry.and_then(|entry| entry.current.as_ref()).is_some_and(|object| object.tainted)
            || matches!(self.input.observed.get(address), Some(Observation::Gone))
    }

    fn input_changes(&self, step: &StepSpec, inputs: &BTreeMap<String, Input>, object: &Object, previews: &Value) -> Vec<AttributeChange> {
        let mut found = Vec::new();
        let nothing = BTreeMap::new();
        let before = object.attributes.get("inputs").and_then(Value::entries).unwrap_or(&nothing);
        let after = previews.entries().unwrap_or(&nothing);
        let names: BTreeSet<&Arc<str>> = before.keys().chain(after.keys()).collect();
        for name in names {
            // What is not known is shown as such, not as the text that stands for it.
            let unknown = match inputs.get(&**name) {
                Some(Input::Value(value)) if has_unknown(value) && value.is_deferred() => Some(value),
                _ => None,
            };
            differences(name, before.get(name), unknown.or_else(|| after.get(name)), &mut found);
        }
        let source = self.locate(step.span);
        let changed = |difference: crate::diff::Difference| AttributeChange {
            path: difference.path,
            before: difference.before,
            after: difference.after,
            forces_replacement: false,
            word: ChangeWord::Steps,
            source: source.clone(),
        };
        found.into_iter().map(changed).collect()
    }

    /// What it follows and what runs or changes in this plan.
    fn followed(&self, step: &StepSpec) -> Vec<String> {
        let changes = |address: &&Address| self.changes.get(*address).is_some_and(|change| change.has_effect());
        step.triggers.iter().filter(changes).map(|address| self.name_of(address)).collect()
    }

    /// What people call a step: the file it writes, else the end of its address.
    fn name_of(&self, address: &Address) -> String {
        if let Some(Node::Step(step)) = self.input.graph.nodes.get(address)
            && let Some(Input::Value(path)) = step.inputs.get("path")
        {
            let path = preview(path);
            if let Some(name) = path.as_str().and_then(|path| path.rsplit('/').next()).filter(|name| !name.is_empty()) {
                return name.to_owned();
            }
        }
        address.segments().last().map(|last| last.name.to_string()).unwrap_or_default()
    }
}

/// Whether something in it is known only when the plan is carried out: an attribute of an object, or what an impure function gives.
pub(crate) fn has_unknown(value: &Value) -> bool {
    let mut addresses = BTreeSet::new();
    value.addresses(&mut addresses);
    !addresses.is_empty() || !impure_calls(value).is_empty()
}

fn why(former: &Former<'_>, unknown: bool) -> String {
    let mut names: Vec<&str> = former.changes.iter().map(|change| attribute_of(&change.path)).collect();
    names.dedup();
    let followed: Vec<&str> = former.followed.iter().map(String::as_str).collect();
    match (names.is_empty(), followed.is_empty(), unknown) {
        (false, _, _) => format!("{} changed", enumerate(&names)),
        (true, false, _) => format!("{} (which it follows) changed", enumerate(&followed)),
        (true, true, true) => "it may change: something it uses is known after apply".to_owned(),
        (true, true, false) => "what it is made of changed".to_owned(),
    }
}

/// Whether all that changed is what the lifecycle says not to look at.
fn is_ignored(ignored: &BTreeSet<String>, changes: &[AttributeChange]) -> bool {
    let covers = |path: &str, ignored: &str| match (parse(path), parse(ignored)) {
        (Some(path), Some(ignored)) => path.starts_with(&ignored),
        _ => false,
    };
    !ignored.is_empty()
        && !changes.is_empty()
        && changes.iter().all(|change| ignored.iter().any(|ignored| ignored == "*" || covers(&change.path, ignored)))
}
