//! What changes: `resource_changes`, `resource_drift`, and both sides of each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::{Address, Node, Value};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::resource::NamedPlan;
use super::value::{Each, Plain, Secret, Unknown};
use crate::plan::{ASKED_FOR, LAST_RUN_FAILED, TRIGGERED, UNFINISHED};
use crate::{Action, AttributeChange, Change, Plan, step_inputs_preview};

/// Both sides of a change.
pub(super) struct Sides<'a> {
    /// Terraform's words for what is done.
    pub(super) actions: &'static [&'static str],
    pub(super) before: Option<&'a Value>,
    pub(super) after: Option<&'a Value>,
    /// What only the provider can tell; of a result, and of drift, there is none.
    pub(super) computed: Option<&'a BTreeSet<Arc<str>>>,
    /// Names of the attributes that force a replacement.
    pub(super) replace_paths: Option<&'a [AttributeChange]>,
    /// The id of what is taken over.
    pub(super) importing: Option<&'a str>,
}

impl Serialize for Sides<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let empty = Value::object(BTreeMap::<Arc<str>, Value>::new());
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("actions", self.actions)?;
        map.serialize_entry("before", &self.before.map(Plain))?;
        map.serialize_entry("after", &self.after.map(Plain))?;
        map.serialize_entry("after_unknown", &Unknown(self.after.unwrap_or(&empty), self.computed))?;
        map.serialize_entry("before_sensitive", &Secret(self.before))?;
        map.serialize_entry("after_sensitive", &Secret(self.after))?;
        if let Some(changes) = self.replace_paths.filter(|changes| changes.iter().any(|change| change.forces_replacement)) {
            let forcing = || changes.iter().filter(|change| change.forces_replacement);
            map.serialize_entry("replace_paths", &Each(|| forcing().map(|change| Path(&change.path))))?;
        }
        if let Some(id) = self.importing {
            #[derive(serde::Serialize)]
            struct Importing<'a> {
                id: &'a str,
            }
            map.serialize_entry("importing", &Importing { id })?;
        }
        map.end()
    }
}

/// A path as Terraform writes it: `["tags", "owner"]`, `["ports", 0]`.
struct Path<'a>(&'a str);

impl Serialize for Path<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        #[serde(untagged)]
        enum Step {
            Name(String),
            Index(usize),
        }
        let parts = crate::names::parse(self.0).unwrap_or_else(|| vec![crate::names::Part::Name(self.0.to_owned())]);
        serializer.collect_seq(parts.into_iter().map(|part| match part {
            crate::names::Part::Name(name) => Step::Name(name),
            crate::names::Part::Index(index) => Step::Index(index),
        }))
    }
}

/// One entry of `resource_changes` or `resource_drift`.
pub(super) struct ChangeJson<'a> {
    plan: &'a NamedPlan<'a>,
    change: &'a Change,
    what: What<'a>,
}

enum What<'a> {
    /// What is done at the address.
    Planned,
    /// A replaced object that is still to be deleted, by the op id of its create.
    Deposed(&'a str),
    /// How the object in the world differs from the state.
    Drift,
}

/// What is done, one after the other; of an address that has them, the replaced objects that go come first.
pub(super) fn changes<'a>(plan: &'a NamedPlan<'a>) -> impl Iterator<Item = ChangeJson<'a>> {
    plan.changes.values().flat_map(move |change| {
        let deposed = change.deposed.iter().map(move |op_id| ChangeJson { plan, change, what: What::Deposed(op_id) });
        deposed.chain(std::iter::once(ChangeJson { plan, change, what: What::Planned }))
    })
}

/// What was changed outside.
pub(super) fn drift<'a>(plan: &'a NamedPlan<'a>) -> impl Iterator<Item = ChangeJson<'a>> {
    let drifted = plan.changes.values().filter(|change| change.recorded.is_some());
    drifted.map(move |change| ChangeJson { plan, change, what: What::Drift })
}

impl Serialize for ChangeJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { plan, change, what } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("address", &change.address)?;
        if let Some(previous) = previous_address(plan, change) {
            map.serialize_entry("previous_address", &previous)?;
        }
        if let Some(module) = change.address.module() {
            map.serialize_entry("module_address", &module)?;
        }
        plan.names.name(&change.address, &change.kind).write(&mut map)?;
        map.serialize_entry("provider_name", change.provider.provider_type())?;
        match what {
            What::Deposed(key) => {
                map.serialize_entry("deposed", key)?;
                let gone = Value::object(BTreeMap::<Arc<str>, Value>::new());
                map.serialize_entry("change", &sides(&["delete"], Some(&gone), None))?;
            }
            What::Drift => {
                let (recorded, found) = (with_id(change, change.recorded.clone()), before(change));
                let actions: &[&str] = if found.is_some() { &["update"] } else { &["delete"] };
                map.serialize_entry("change", &sides(actions, recorded.as_ref(), found.as_ref()))?;
            }
            What::Planned => {
                let (before, after) = (before(change), after(change));
                let computed = Some(&change.computed).filter(|_| change.desired.is_some());
                let importing = change.id.as_deref().filter(|_| change.action == Action::Import);
                let sides = Sides {
                    computed,
                    replace_paths: Some(&change.attributes),
                    importing,
                    ..sides(actions(change), before.as_ref(), after.as_ref())
                };
                map.serialize_entry("change", &sides)?;
                if let Some(reason) = action_reason(change, plan.destroy) {
                    map.serialize_entry("action_reason", reason)?;
                }
                map.serialize_entry("cloudtik", &Ours::of(change))?;
            }
        }
        map.end()
    }
}

/// Both sides, of which nothing more is said.
pub(super) const fn sides<'a>(actions: &'static [&'static str], before: Option<&'a Value>, after: Option<&'a Value>) -> Sides<'a> {
    Sides { actions, before, after, computed: None, replace_paths: None, importing: None }
}

pub(crate) fn actions(change: &Change) -> &'static [&'static str] {
    match change.action {
        Action::NoOp | Action::Adopt => &["no-op"],
        Action::Import if change.attributes.is_empty() => &["no-op"],
        // A step that never ran is made, one that runs again is changed.
        Action::Run if change.before.is_none() => &["create"],
        Action::Create => &["create"],
        Action::Update | Action::Import | Action::Run => &["update"],
        Action::Replace if change.create_before_destroy => &["create", "delete"],
        Action::Replace => &["delete", "create"],
        Action::Delete => &["delete"],
        Action::Forget => &["forget"],
    }
}

/// What it was called before, where that is another name.
pub(super) fn previous_address(plan: &Plan, change: &Change) -> Option<Address> {
    plan.former_address(&change.address)
}

/// Terraform's word for why, where it has one.
pub(super) fn action_reason(change: &Change, destroy: bool) -> Option<&'static str> {
    match change.action {
        Action::Replace if change.reason.starts_with(ASKED_FOR) => Some("replace_by_request"),
        Action::Replace if [UNFINISHED, LAST_RUN_FAILED].iter().any(|failed| change.reason.starts_with(failed)) => {
            Some("replace_because_tainted")
        }
        Action::Replace if change.reason.contains(TRIGGERED) => Some("replace_by_triggers"),
        Action::Replace => Some("replace_because_cannot_update"),
        Action::Delete if !destroy => Some("delete_because_no_resource_config"),
        _ => None,
    }
}

/// What is there, with its id among the attributes; of a step, its inputs as they were when it ran.
pub(crate) fn before(change: &Change) -> Option<Value> {
    with_id(change, change.before.clone())
}

/// What will be there: what the spec wants over what is there, without what only the provider can tell.
pub(crate) fn after(change: &Change) -> Option<Value> {
    if matches!(change.action, Action::NoOp | Action::Adopt) {
        return before(change);
    }
    match change.desired.as_ref()? {
        Node::Step(step) => Some(step_inputs_preview(&step.inputs)),
        Node::Resource(spec) => {
            let stays = matches!(change.action, Action::Update | Action::Import);
            let mut entries = before(change).filter(|_| stays).as_ref().and_then(Value::entries).cloned().unwrap_or_default();
            for changed in change.attributes.iter().filter(|changed| changed.after.is_none()) {
                entries.remove(changed.path.as_str());
            }
            entries.extend(spec.attributes.entries().into_iter().flatten().map(|(name, value)| (Arc::clone(name), value.clone())));
            for name in &change.computed {
                entries.remove(name);
            }
            Some(Value::object(entries).marked(spec.attributes.is_sensitive()))
        }
    }
}

fn with_id(change: &Change, value: Option<Value>) -> Option<Value> {
    let value = value?;
    Some(if change.is_step() { value } else { value_with_id(&value, change.id.as_deref()) })
}

/// The attributes of an object with the provider's id among them, as expressions see it.
pub(super) fn value_with_id(value: &Value, id: Option<&str>) -> Value {
    let (Some(id), Some(entries)) = (id.filter(|id| !id.is_empty()), value.entries()) else { return value.clone() };
    let mut entries = entries.clone();
    crate::made::insert_id(&mut entries, id);
    Value::object(entries).marked(value.is_sensitive())
}

/// What Terraform's form has no place for.
#[derive(serde::Serialize)]
struct Ours<'a> {
    action: &'a str,
    change_word: &'static str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    provider_config_key: &'a str,
    depends_on: &'a BTreeSet<Address>,
    drift: Vec<&'a str>,
    attributes: Vec<AttributeJson<'a>>,
}

#[derive(serde::Serialize)]
struct AttributeJson<'a> {
    path: &'a str,
    before: Option<Plain<'a>>,
    after: Option<Plain<'a>>,
    change_word: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
}

impl<'a> Ours<'a> {
    fn of(change: &'a Change) -> Self {
        let attribute = |changed: &'a AttributeChange| AttributeJson {
            path: &changed.path,
            before: changed.before.as_ref().map(Plain),
            after: changed.after.as_ref().map(Plain),
            change_word: changed.word.as_str(),
            source: changed.source.as_deref(),
        };
        let action = match change.action {
            Action::Replace if change.is_step() => "undo_and_run",
            Action::Delete if change.is_step() => "undo",
            action => action.as_str(),
        };
        Self {
            action,
            change_word: change.word.as_str(),
            reason: &change.reason,
            source: change.source.as_deref(),
            provider_config_key: change.provider.as_str(),
            depends_on: &change.depends_on,
            drift: change.drift.iter().map(|drift| drift.path.as_str()).collect(),
            attributes: change.attributes.iter().map(attribute).collect(),
        }
    }
}
