//! The plan as text, for people: what `cloudtik plan` prints.
//!
//! What is not known yet is `(known after apply)`, what only a node can tell is `<node.address>`, and what is secret is
//! `(sensitive value)`. No-ops are not shown. The text is the same with and without colour but for the colour.

mod report;
mod values;

use std::fmt::Write as _;

use cloudtik_model::{ChangeWord, Node, Value};

use crate::{Action, AttributeChange, Change, Counts, OutputChange, Plan};
pub use report::{render_failure_report, render_report};
use values::Printer;

/// How the text looks.
#[derive(Clone, Copy, Debug)]
pub struct RenderOptions {
    /// Whether colour is used.
    pub color: bool,
    /// How many characters a line may have before a value gets lines of its own or is cut.
    pub width: usize,
    /// Whether long values, inputs of new steps and changes that are only written down are shown too.
    pub verbose: bool,
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self { color: false, width: 120, verbose: false }
    }
}

/// Colours, by what they say.
#[derive(Clone, Copy)]
pub(crate) enum Paint {
    Added,
    Removed,
    Changed,
    Runs,
    Strong,
    Faint,
}

impl Paint {
    const fn code(self) -> &'static str {
        match self {
            Self::Added => "\u{1b}[32m",
            Self::Removed => "\u{1b}[31m",
            Self::Changed => "\u{1b}[33m",
            Self::Runs => "\u{1b}[36m",
            Self::Strong => "\u{1b}[1m",
            Self::Faint => "\u{1b}[2m",
        }
    }
}

/// The plan as text; see the module.
#[must_use]
pub fn render_text(plan: &Plan, options: &RenderOptions) -> String {
    let mut printer = Printer::new(*options);
    if let Some(made) = how_made(plan) {
        printer.line(&made);
        printer.line("");
    }
    settled(plan, &mut printer);
    drift(plan, &mut printer);
    for change in plan.changes.values().filter(|change| is_shown(change, options)) {
        block(change, &mut printer);
    }
    outputs(plan, &mut printer);
    if !plan.notes.is_empty() {
        heading(&mut printer, "Notes:");
        plan.notes.iter().for_each(|note| printer.line(&format!("  - {note}")));
        printer.line("");
    }
    let text = summary(plan);
    let text = printer.paint(Paint::Strong, &text);
    printer.line(&text);
    if let Some(expected) = &plan.expected {
        printer.line(&format!("This takes {}.", expected.text()));
    }
    printer.out
}

/// The first line of the text, of a plan that cannot be applied: what it was made of.
#[must_use]
pub fn how_made(plan: &Plan) -> Option<String> {
    let unknown = "no provider was asked, so what only a provider can tell is not known";
    match (&plan.compared_with, plan.offline) {
        (Some(with), true) => Some(format!("Compared with {with}, offline: {unknown}. This plan cannot be applied.")),
        (Some(with), false) => Some(format!("Compared with {with}. This plan cannot be applied.")),
        (None, true) => Some(format!("Made offline: {unknown}, and this plan cannot be applied.")),
        (None, false) => None,
    }
}

/// The last line of the text: how much is to be done.
#[must_use]
pub fn summary(plan: &Plan) -> String {
    let counts = plan.counts();
    if plan.refresh_only {
        return refreshed(plan, counts);
    }
    if !plan.has_changes() {
        let drifted = plan.changes.values().any(|change| !change.drift.is_empty());
        return match (plan.destroy, drifted) {
            _ if plan.compared_with.is_some() => "No changes. The spec wants what is there already.".to_owned(),
            (true, _) => "No changes. There is nothing to destroy.".to_owned(),
            (false, true) => {
                "No changes. What changed outside is nothing that the spec asks for; apply writes it into the state.".to_owned()
            }
            (false, false) => "No changes. What exists is what the spec wants.".to_owned(),
        };
    }
    if counts == (Counts { outputs: counts.outputs, ..Counts::default() }) {
        return format!("Plan: nothing to do but {} to write down.", many(counts.outputs, "result", "results"));
    }
    let mut parts = Vec::new();
    if plan.destroy {
        parts.push(format!("{} to delete", counts.delete));
    } else {
        parts.push(format!("{} to create", counts.create));
        parts.push(format!("{} to change", counts.update));
        parts.push(format!("{} to replace", counts.replace));
        parts.push(format!("{} to delete", counts.delete));
        parts.push(format!("{} to run", many(counts.run, "step", "steps")));
    }
    let more = [
        (counts.undo, format!("{} to undo", many(counts.undo, "step", "steps"))),
        (counts.import, format!("{} to import", counts.import)),
        (counts.adopt, format!("{} to adopt", counts.adopt)),
        (counts.forget, format!("{} to forget", counts.forget)),
        (counts.rename, format!("{} to rename", counts.rename)),
    ];
    parts.extend(more.into_iter().filter(|(count, _)| *count > 0).map(|(_, text)| text));
    format!("{}: {}.", if plan.destroy { "Destroy" } else { "Plan" }, parts.join(", "))
}

/// The last line of a plan that changes nothing in the world.
fn refreshed(plan: &Plan, counts: Counts) -> String {
    if !plan.has_changes() {
        return "No changes. What exists is what the state says.".to_owned();
    }
    let found = plan.changes.values().filter(|change| !change.drift.is_empty()).count();
    let parts = [
        (found, format!("{} in the state", many(found, "object to write anew", "objects to write anew"))),
        (counts.forget, format!("{} to forget", counts.forget)),
        (counts.outputs, format!("{} to write down", many(counts.outputs, "result", "results"))),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|(count, _)| *count > 0).map(|(_, text)| text).collect();
    format!("Refresh only: {}. Nothing in the world changes.", parts.join(", "))
}

fn many(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

fn is_shown(change: &Change, options: &RenderOptions) -> bool {
    (change.has_effect() && !change.goes_with_its_node()) || (options.verbose && (change.is_record() || change.action == Action::Forget))
}

fn heading(printer: &mut Printer, text: &str) {
    let text = printer.paint(Paint::Strong, text);
    printer.line(&text);
}

fn settled(plan: &Plan, printer: &mut Printer) {
    if plan.settled.is_empty() {
        return;
    }
    heading(printer, "Left open by an interrupted run:");
    for settled in &plan.settled {
        let word = if settled.adopted { "adopt" } else { "clear" };
        printer.line(&format!("  {}: {word}: {}", settled.address, settled.text));
    }
    printer.line("");
}

fn drift(plan: &Plan, printer: &mut Printer) {
    let gone = |change: &&Change| change.reason == crate::plan::GONE;
    let mut drifted = plan.changes.values().filter(|change| !change.drift.is_empty() || gone(change)).peekable();
    if drifted.peek().is_none() {
        return;
    }
    heading(printer, "Changed outside since the last apply:");
    for change in drifted {
        if gone(&change) {
            printer.marked(2, "-", Paint::Removed, &format!("{} is gone", change.address));
            continue;
        }
        printer.line(&format!("  {}", change.address));
        change.drift.iter().for_each(|drift| attribute(drift, 6, printer));
    }
    printer.line("");
}

/// One address: what is done, why, and what differs.
fn block(change: &Change, printer: &mut Printer) {
    let title = match &change.desired {
        Some(Node::Step(step)) if !step.title.is_empty() => format!(": {}", step.title),
        _ => String::new(),
    };
    let source = change.source.as_ref().map_or_else(String::new, |source| printer.paint(Paint::Faint, &format!("  ({source})")));
    let address = printer.paint(Paint::Strong, &change.address.to_string());
    printer.line(&format!("  {address}{title}{source}"));
    for op_id in &change.deposed {
        printer.marked(2, "-", Paint::Removed, &format!("delete what an earlier replacement left ({op_id})"));
    }
    if matches!(change.action, Action::NoOp) || change.action == Action::Delete && change.id.is_none() {
        return printer.line("");
    }
    let (symbol, paint) = symbol(change);
    let mut head = match (change.action, change.is_step(), change.is_record()) {
        (Action::Delete, true, _) => "undo".to_owned(),
        (Action::Replace, true, _) => "undo and run".to_owned(),
        (_, _, true) => "write down".to_owned(),
        (action, ..) => action.as_str().to_owned(),
    };
    if change.word != ChangeWord::None && change.word != ChangeWord::Steps {
        let _ = write!(head, ", {}", change.word.as_str());
    }
    if !(change.action == Action::Create && change.reason == crate::plan::NOT_THERE) {
        let _ = write!(head, ": {}", change.reason);
    }
    printer.marked(2, symbol, paint, &head);
    match change.action {
        Action::Create => created(change, printer),
        Action::Run if change.attributes.is_empty() && printer.options.verbose => created(change, printer),
        Action::Delete if printer.options.verbose => {
            let before = change.before.as_ref().and_then(Value::entries);
            for (name, value) in before.into_iter().flatten().filter(|(_, value)| !value.is_null()) {
                printer.one(6, "-", Paint::Removed, name, value);
            }
        }
        _ => change.attributes.iter().for_each(|changed| attribute(changed, 6, printer)),
    }
    printer.line("");
}

fn symbol(change: &Change) -> (&'static str, Paint) {
    match change.action {
        Action::Create => ("+", Paint::Added),
        Action::Update => ("~", Paint::Changed),
        Action::Replace if change.is_step() => (">", Paint::Runs),
        Action::Replace if change.create_before_destroy => ("+/-", Paint::Removed),
        Action::Replace => ("-/+", Paint::Removed),
        Action::Delete => ("-", Paint::Removed),
        Action::Run => (">", Paint::Runs),
        Action::Forget => (".", Paint::Changed),
        Action::Adopt | Action::Import => ("<", Paint::Added),
        Action::NoOp => (" ", Paint::Faint),
    }
}

/// What the spec gives a new object.
fn created(change: &Change, printer: &mut Printer) {
    let previews;
    let values = match &change.desired {
        Some(Node::Resource(spec)) => &spec.attributes,
        Some(Node::Step(step)) => {
            previews = crate::step_inputs_preview(&step.inputs);
            &previews
        }
        None => return,
    };
    let given: Vec<(&str, &Value)> = values.entries().into_iter().flatten().map(|(name, value)| (&**name, value)).collect();
    let given = given.into_iter().filter(|(name, value)| !value.is_null() && !change.hidden.contains(*name));
    let (given, brief): (Vec<_>, Vec<_>) = given.partition(|(name, _)| printer.options.verbose || !change.brief.contains(*name));
    let width = given.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in given {
        printer.one(6, "+", Paint::Added, &format!("{name:width$}"), value);
    }
    // Of what is left out, how much there is of it.
    let counted: Vec<String> = brief.into_iter().filter_map(|(name, value)| Some(format!("{name}: {}", count(value)?))).collect();
    if !counted.is_empty() {
        let text = printer.paint(Paint::Faint, &format!("{} (with --verbose)", counted.join(", ")));
        printer.line(&format!("        {text}"));
    }
}

/// How many there are in a collection that is known and has some.
fn count(value: &Value) -> Option<usize> {
    let count = value.entries().map(std::collections::BTreeMap::len).or_else(|| value.elements().map(Iterator::count))?;
    (count > 0 && !value.is_sensitive()).then_some(count)
}

fn attribute(change: &AttributeChange, indent: usize, printer: &mut Printer) {
    let mut remarks: Vec<&str> = Vec::new();
    if change.forces_replacement {
        remarks.push("forces replacement");
    }
    remarks.extend(change.source.as_deref());
    let remark = if remarks.is_empty() { String::new() } else { format!("({})", remarks.join(", ")) };
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => printer.two(indent, &change.path, before, after, &remark),
        (None, Some(after)) => printer.one_remarked(indent, "+", Paint::Added, &change.path, after, &remark),
        (Some(before), None) => printer.one_remarked(indent, "-", Paint::Removed, &change.path, before, &remark),
        (None, None) => {}
    }
}

fn outputs(plan: &Plan, printer: &mut Printer) {
    let changed: Vec<(&String, &OutputChange)> = plan.outputs.iter().filter(|(_, output)| output.changed).collect();
    if changed.is_empty() {
        return;
    }
    heading(printer, "Results:");
    for (name, output) in changed {
        let hidden = |value: &Value| value.clone().marked(output.sensitive);
        match (&output.before, &output.after) {
            (Some(before), Some(after)) => printer.two(2, name, &hidden(before), &hidden(after), ""),
            (None, Some(after)) => printer.one(2, "+", Paint::Added, name, &hidden(after)),
            (Some(before), None) => printer.one(2, "-", Paint::Removed, name, &hidden(before)),
            (None, None) => {}
        }
    }
    printer.line("");
}
