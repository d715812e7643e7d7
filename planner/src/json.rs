//! The plan as JSON, for tools: `plan --json` and `show --json`. Version 1.
//!
//! ```json
//! {
//!   "format_version": "1.1", "tool_version": "0.1.0", "destroy": false, "offline": false, "has_changes": true,
//!   "resource_changes": [{
//!     "address": "sim_token.a", "type": "sim_token", "provider": "sim", "reason": "size changed", "source": "main.hcl:3:1",
//!     "word": "recreate", "replace_paths": ["size"], "depends_on": ["sim_token.b"], "deposed": [],
//!     "drift": ["size"],
//!     "change": { "actions": ["delete", "create"], "before": {}, "after": {}, "after_unknown": {}, "sensitive": ["password"] },
//!     "attributes": [{ "path": "size", "before": 1, "after": 2, "word": "recreate", "source": "main.hcl:4:3" }]
//!   }],
//!   "output_changes": { "name": { "actions": ["update"], "before": 1, "after": 2, "after_unknown": false, "sensitive": false } },
//!   "settled": [{ "address": "sim_token.c", "adopted": true, "text": "…" }],
//!   "expected": { "calls": 95, "waiting_calls": 40, "ms": 154000 },
//!   "notes": [], "summary": { "create": 0, "update": 0, "replace": 1, "delete": 0, "run": 0, "undo": 0, "forget": 0, "adopt": 0, "import": 0 }
//! }
//! ```
//!
//! `resource_changes` is as in Terraform's plans, with these differences. `actions` has also `["run"]`, `["undo"]`, `["forget"]` and
//! `["adopt"]`. What is not known is `null` in `after` and `true` at the same path in `after_unknown`. A sensitive value is never written:
//! `null` stands for it, and its path is in `sensitive`. Of a step, `before` and `after` are its inputs, late values as `<node.address>`.
//! A no-op has neither `before` nor `after`. What is taken over has `importing`, with its `id`, beside `["no-op"]` or `["update"]`; of all
//! others that is `null`. `expected` is there where a provider counts its requests.

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::sync::Arc;

use cloudtik_model::{Node, Value, ValueKind};
use serde_json::{Map, Value as Json, json};

use crate::names::{at, below};
use crate::{Action, Change, Plan, step_inputs_preview};

/// Version of the JSON form: the second number grows with additions.
pub const JSON_FORMAT_VERSION: &str = "1.1";

/// The plan as JSON; see the module.
#[must_use]
pub fn to_json(plan: &Plan) -> Json {
    let counts = plan.counts();
    let outputs: Map<String, Json> = plan.outputs.iter().map(|(name, output)| (name.clone(), output_json(output))).collect();
    let mut json = json!({
        "format_version": JSON_FORMAT_VERSION,
        "tool_version": plan.tool_version,
        "destroy": plan.destroy,
        "offline": plan.offline,
        "has_changes": plan.has_changes(),
        "resource_changes": plan.changes.values().map(change_json).collect::<Vec<_>>(),
        "output_changes": outputs,
        "settled": plan.settled.iter().map(|settled| json!({
            "address": settled.address.to_string(), "adopted": settled.adopted, "text": settled.text,
        })).collect::<Vec<_>>(),
        "notes": plan.notes,
        "summary": {
            "create": counts.create, "update": counts.update, "replace": counts.replace, "delete": counts.delete, "run": counts.run,
            "undo": counts.undo, "forget": counts.forget, "adopt": counts.adopt, "import": counts.import,
        },
    });
    if let (Some(expected), Some(parts)) = (&plan.expected, json.as_object_mut()) {
        let expected = json!({ "calls": expected.calls, "waiting_calls": expected.waiting_calls, "ms": expected.ms });
        parts.insert("expected".to_owned(), expected);
    }
    json
}

fn change_json(change: &Change) -> Json {
    let mut sensitive = Vec::new();
    let before = change.before.as_ref().map_or(Json::Null, |before| plain("", before, &mut sensitive));
    let after = after(change);
    let after_known = after.as_ref().map_or(Json::Null, |after| plain("", after, &mut sensitive));
    let mut unknown = after.as_ref().map_or_else(|| Json::Object(Map::new()), unknown_parts);
    if let (Json::Object(unknown), true) = (&mut unknown, change.desired.is_some()) {
        unknown.extend(change.computed.iter().map(|name| (name.to_string(), Json::Bool(true))));
    }
    sensitive.sort();
    sensitive.dedup();
    json!({
        "address": change.address.to_string(),
        "type": change.kind,
        "provider": change.provider.as_str(),
        "reason": change.reason,
        "source": change.source,
        "word": change.word.as_str(),
        "replace_paths": change.attributes.iter().filter(|a| a.forces_replacement).map(|a| a.path.as_str()).collect::<Vec<_>>(),
        "depends_on": change.depends_on.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "deposed": change.deposed,
        "importing": change.id.as_ref().filter(|_| change.action == Action::Import).map(|id| json!({ "id": id })),
        "drift": change.drift.iter().map(|drift| drift.path.as_str()).collect::<Vec<_>>(),
        "change": {
            "actions": actions(change), "before": before, "after": after_known, "after_unknown": unknown, "sensitive": sensitive,
        },
        "attributes": change.attributes.iter().map(|attribute| {
            let side = |value: &Option<Value>| value.as_ref().map_or(Json::Null, |value| plain("", value, &mut Vec::new()));
            json!({
                "path": attribute.path, "before": side(&attribute.before), "after": side(&attribute.after),
                "word": attribute.word.as_str(), "source": attribute.source,
            })
        }).collect::<Vec<_>>(),
    })
}

fn actions(change: &Change) -> &'static [&'static str] {
    match (change.action, change.is_step()) {
        (Action::NoOp, _) => &["no-op"],
        (Action::Import, _) if change.attributes.is_empty() => &["no-op"],
        (Action::Create, _) => &["create"],
        (Action::Update | Action::Import, _) => &["update"],
        (Action::Replace, true) => &["undo", "run"],
        (Action::Replace, false) if change.create_before_destroy => &["create", "delete"],
        (Action::Replace, false) => &["delete", "create"],
        (Action::Delete, true) => &["undo"],
        (Action::Delete, false) => &["delete"],
        (Action::Forget, _) => &["forget"],
        (Action::Run, _) => &["run"],
        (Action::Adopt, _) => &["adopt"],
    }
}

/// What will be there: what the spec wants over what is there, without what only the provider can tell.
fn after(change: &Change) -> Option<Value> {
    if matches!(change.action, Action::NoOp | Action::Adopt) {
        return None;
    }
    match change.desired.as_ref()? {
        Node::Step(step) => Some(step_inputs_preview(&step.inputs)),
        Node::Resource(spec) => {
            let kept = change.before.as_ref().filter(|_| matches!(change.action, Action::Update | Action::Import)).and_then(Value::entries);
            let mut entries: BTreeMap<Arc<str>, Value> = kept.cloned().unwrap_or_default();
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

fn output_json(output: &crate::OutputChange) -> Json {
    let actions = match (&output.before, &output.after, output.changed) {
        (_, _, false) => "no-op",
        (None, _, _) => "create",
        (_, None, _) => "delete",
        _ => "update",
    };
    let side = |value: &Option<Value>| value.as_ref().map_or(Json::Null, |value| plain("", value, &mut Vec::new()));
    json!({
        "actions": [actions],
        "before": side(&output.before),
        "after": side(&output.after),
        "after_unknown": output.after.as_ref().map_or(Json::Bool(false), unknown_parts),
        "sensitive": output.sensitive,
    })
}

/// The value as plain JSON: `null` for what is secret and for what is not known.
fn plain(path: &str, value: &Value, sensitive: &mut Vec<String>) -> Json {
    if value.is_sensitive() {
        sensitive.push(path.to_owned());
        return Json::Null;
    }
    match value.kind() {
        ValueKind::Null | ValueKind::Deferred(_) => Json::Null,
        ValueKind::Bool(truth) => Json::Bool(*truth),
        ValueKind::Number(number) => serde_json::Number::from_str(&number.to_string()).map_or(Json::Null, Json::Number),
        ValueKind::String(text) => Json::String(text.to_string()),
        ValueKind::Map(items) | ValueKind::Object(items) => {
            Json::Object(items.iter().map(|(name, item)| (name.to_string(), plain(&below(path, name), item, sensitive))).collect())
        }
        _ => {
            Json::Array(value.elements().into_iter().flatten().enumerate().map(|(i, item)| plain(&at(path, i), item, sensitive)).collect())
        }
    }
}

/// The shape of a value with `true` where it is not known, without what is.
fn unknown_parts(value: &Value) -> Json {
    if let Some(entries) = value.entries() {
        let parts = entries.iter().filter(|(_, item)| !item.is_known()).map(|(name, item)| (name.to_string(), unknown_parts(item)));
        return Json::Object(parts.collect());
    }
    match value.elements() {
        Some(items) if !value.is_known() => Json::Array(items.map(unknown_parts).collect()),
        _ => Json::Bool(!value.is_known()),
    }
}
