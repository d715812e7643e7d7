//! `cloudtik show`: the state for people and for tools, or a saved plan.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use cloudtik::Failure;
use cloudtik::lang::render;
use cloudtik::model::{Address, Object, State, StateEntry, Value};
use cloudtik::planner::{PlanJson, StateJson};

use super::super::values::harmless;
use super::super::{Exit, project};
use super::{Context, output, plan};

pub(crate) fn run(context: &Context<'_>, file: Option<&Path>, as_json: bool) -> Result<Exit, Failure> {
    let printer = context.printer;
    let project = project::open(context.environment, context.given, None, None)?;
    if let Some(file) = file {
        let saved = project.load_plan(file)?;
        if as_json {
            printer.json_line(&PlanJson(&saved));
        } else {
            plan::print(&saved, false, printer);
        }
        return Ok(Exit::Done);
    }
    let state = project.state()?;
    match (&state, as_json) {
        (state, true) => json(context, state.as_ref(), &[]),
        (Some(state), false) if !state.is_empty() || !state.outputs.is_empty() => {
            text(context, state.resources.iter());
            output::print_all(&state.outputs, printer);
        }
        _ => printer.data_line("The state is empty."),
    }
    Ok(Exit::Done)
}

/// Prints the state, or what of it stands at or below some addresses, as JSON.
pub(super) fn json(context: &Context<'_>, state: Option<&State>, within: &[Address]) {
    context.printer.json_line(&StateJson { state, within, tool_version: cloudtik::VERSION });
}

/// Prints what exists as text.
pub(super) fn text<'s>(context: &Context<'_>, entries: impl Iterator<Item = (&'s Address, &'s StateEntry)>) {
    let color = context.printer.data_look().color;
    let entries: Vec<String> = entries.map(|(address, entry)| entry_text(&address.to_string(), entry, color)).collect();
    context.printer.data(&entries.join("\n"));
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
