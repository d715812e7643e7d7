//! `cloudtik show`: the state for people and for tools, or a saved plan.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use cloudtik::Failure;
use cloudtik::lang::{render, to_plain_json};
use cloudtik::model::{Object, OutputState, State, StateEntry, Value};
use cloudtik::planner::to_json;
use serde_json::{Map, Value as Json, json};

use super::super::values::harmless;
use super::super::{Exit, project};
use super::{Context, output, plan};

/// Version of the JSON form; the second number grows with additions.
const FORMAT_VERSION: &str = "1.0";

pub(crate) fn run(context: &Context<'_>, file: Option<&Path>, as_json: bool) -> Result<Exit, Failure> {
    let printer = context.printer;
    let project = project::open(context.environment, context.given, None, None)?;
    if let Some(file) = file {
        let saved = project.load_plan(file)?;
        if as_json {
            printer.json(&to_json(&saved));
        } else {
            plan::print(&saved, false, printer);
        }
        return Ok(Exit::Done);
    }
    let state = project.state()?;
    match (&state, as_json) {
        (state, true) => printer.json(&state_json(state.as_ref())),
        (Some(state), false) if !state.is_empty() || !state.outputs.is_empty() => {
            let color = printer.data_look().color;
            let entries: Vec<String> =
                state.resources.iter().map(|(address, entry)| entry_text(&address.to_string(), entry, color)).collect();
            printer.data(&entries.join("\n"));
            output::print_all(&state.outputs, printer);
        }
        _ => printer.data_line("The state is empty."),
    }
    Ok(Exit::Done)
}

fn entry_text(address: &str, entry: &StateEntry, color: bool) -> String {
    let mut out = String::new();
    let objects = entry.current.iter().map(|object| (String::new(), object));
    let deposed = entry.deposed.iter().map(|(op_id, object)| (format!(" (replaced, still to be deleted; made by {op_id})"), object));
    for (what, object) in objects.chain(deposed) {
        let between = if out.is_empty() { "" } else { "\n" };
        let tainted = if object.tainted { " (to be made anew)" } else { "" };
        let heading = format!("# {address}{what}{tainted}");
        let heading = if color { format!("\u{1b}[1m{heading}\u{1b}[0m") } else { heading };
        let _ = writeln!(out, "{between}{heading}\n{}", block(entry, object));
    }
    out
}

/// `sim_token = { … }` with the provider's id first.
fn block(entry: &StateEntry, object: &Object) -> String {
    let mut shown: BTreeMap<Arc<str>, Value> = BTreeMap::new();
    if !object.id.is_empty() {
        shown.insert("id".into(), Value::from(object.id.as_str()));
    }
    for (name, value) in object.attributes.entries().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        shown.insert(Arc::clone(name), value.clone());
    }
    harmless(&format!("{} {}", entry.kind, render(&Value::object(shown))))
}

fn state_json(state: Option<&State>) -> Json {
    let Some(state) = state else {
        return json!({ "format_version": FORMAT_VERSION, "tool_version": cloudtik::VERSION, "resources": [], "outputs": {} });
    };
    json!({
        "format_version": FORMAT_VERSION,
        "tool_version": cloudtik::VERSION,
        "lineage": state.lineage,
        "serial": state.serial,
        "resources": state.resources.iter().map(|(address, entry)| entry_json(&address.to_string(), entry)).collect::<Vec<_>>(),
        "outputs": state.outputs.iter().map(|(name, output)| (name.clone(), output_json(output))).collect::<Map<_, _>>(),
    })
}

fn entry_json(address: &str, entry: &StateEntry) -> Json {
    let current = entry.current.as_ref();
    json!({
        "address": address,
        "type": entry.kind,
        "provider": entry.provider.as_str(),
        "id": current.map(|object| object.id.as_str()),
        "values": current.map(|object| to_plain_json(&hidden(&object.attributes))),
        "sensitive": current.map(|object| paths(&object.attributes)).unwrap_or_default(),
        "tainted": current.is_some_and(|object| object.tainted),
        "depends_on": entry.depends_on.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "create_before_destroy": entry.create_before_destroy,
        "deposed": entry.deposed.iter().map(|(op_id, object)| json!({ "op_id": op_id, "id": object.id })).collect::<Vec<_>>(),
    })
}

fn output_json(output: &OutputState) -> Json {
    let value = if output.sensitive { Value::NULL } else { hidden(&output.value) };
    json!({ "sensitive": output.sensitive || output.value.has_sensitive(), "value": to_plain_json(&value) })
}

/// The value with `null` for what is sensitive.
fn hidden(value: &Value) -> Value {
    if value.is_sensitive() {
        return Value::NULL;
    }
    if !value.has_sensitive() {
        return value.clone();
    }
    match (value.entries(), value.elements()) {
        (Some(entries), _) => Value::object(entries.iter().map(|(name, item)| (Arc::clone(name), hidden(item)))),
        (None, Some(items)) => Value::tuple(items.map(hidden)),
        (None, None) => value.clone(),
    }
}

/// Where the sensitive values stand: `password`, `users[0].token`.
fn paths(value: &Value) -> Vec<String> {
    fn below(path: &str, value: &Value, found: &mut Vec<String>) {
        if value.is_sensitive() {
            found.push(path.to_owned());
        } else if let Some(entries) = value.entries().filter(|_| value.has_sensitive()) {
            for (name, item) in entries {
                below(&if path.is_empty() { name.to_string() } else { format!("{path}.{name}") }, item, found);
            }
        } else if value.has_sensitive() {
            for (i, item) in value.elements().into_iter().flatten().enumerate() {
                below(&format!("{path}[{i}]"), item, found);
            }
        }
    }
    let mut found = Vec::new();
    below("", value, &mut found);
    found
}
