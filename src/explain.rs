//! Why a plan does what it does at an address: the chain of causes, from the change back to the lines of the spec, to what was found in the
//! world, or to what was said on the command line.
//!
//! Everything stands in the plan: actions and reasons, the values that differ with their places, and the files of the spec, whose expressions
//! say which names a value is made of.

use std::collections::BTreeSet;

use cloudtik_lang::{ReferenceStep, preview, render_line};
use cloudtik_model::{Address, Diagnostic, Expr, ExprKind, Key, Node, SourceMap, Value, did_you_mean};
use cloudtik_planner::{Action, AttributeChange, Change, Plan};

use crate::spec_source::{Named, SpecSource};
use crate::{Failure, Planned, Project, VariableArgument};

/// How many lines one explanation has at most: longer chains are read by nobody.
const LINES_MAX: usize = 200;

/// How far a chain is followed.
const DEPTH_MAX: usize = 16;

/// How many attributes of one change are gone into.
const ATTRIBUTES_MAX: usize = 12;

/// The longest value or expression that is shown.
const SHOWN_CHARS: usize = 70;

/// Where the value of a variable comes from: `--var size`, `cloudtik.vars.hcl:1:1`. `None`: nobody gave one.
type Origin<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Project {
    /// Why a plan of this project does what it does at an address and below: the chain of causes, back to the lines of the spec, as a tree.
    ///
    /// # Errors
    /// There is nothing at the address.
    pub fn explain(&self, planned: &Planned, address: &Address) -> Result<String, Failure> {
        let spec = SpecSource::of(&planned.sources);
        let origin = |name: &str| self.origin_of_variable(&spec, name);
        explain(&planned.plan, &planned.sources, address, &origin)
    }

    fn origin_of_variable(&self, spec: &SpecSource, name: &str) -> Option<String> {
        let given = &self.options.variables;
        let of_argument = |argument: &VariableArgument| match argument {
            VariableArgument::Var { name: var, .. } => (var == name).then(|| format!("`--var {name}`")),
            VariableArgument::File { path, bytes } => SpecSource::of_file(path, &String::from_utf8_lossy(bytes)).value(name),
        };
        let of_environment = || given.environment.contains_key(name).then(|| format!("`CLOUDTIK_VAR_{name}`"));
        given.arguments.iter().rev().find_map(of_argument).or_else(|| spec.value(name)).or_else(of_environment)
    }
}

fn explain(plan: &Plan, sources: &SourceMap, address: &Address, origin: Origin<'_>) -> Result<String, Failure> {
    let named: Vec<&Change> = plan.changes.values().filter(|change| change.address.is_within(address)).collect();
    if named.is_empty() {
        let all: Vec<String> = plan.changes.keys().map(ToString::to_string).collect();
        let near = did_you_mean(&address.to_string(), all.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
        let title = format!("`--explain {address}`: there is nothing at this address");
        return Err(Failure::plain(Diagnostic::error("unknown-address", title).maybe_help(near)));
    }
    let changes: Vec<&Change> = named.iter().copied().filter(|change| change.has_effect()).collect();
    let mut tree = Tree { plan, text: SpecSource::of(sources), origin, seen: BTreeSet::new(), lines: Vec::new(), hidden: false };
    for change in &changes {
        tree.change(change, 0);
    }
    if changes.is_empty() {
        let kept = named.iter().find(|change| change.is_kept()).map(|change| format!(": {}", change.reason));
        let what =
            if plan.partial { "nothing is done in this plan of a part" } else { "nothing is done: what exists is what the spec wants" };
        tree.lines.push((0, format!("{address}: {}", kept.map_or_else(|| what.to_owned(), |kept| format!("nothing is done{kept}")))));
    }
    Ok(tree.finish())
}

/// An explanation in the making: lines with how deep they stand.
struct Tree<'a> {
    plan: &'a Plan,
    text: SpecSource,
    origin: Origin<'a>,
    /// Addresses and names that were gone into already.
    seen: BTreeSet<String>,
    lines: Vec<(usize, String)>,
    /// Whether it is about a sensitive value: expressions are named and not shown.
    hidden: bool,
}

/// Whether something of an expression is sensitive as it is written.
fn marks_secret(expr: &Expr) -> bool {
    let mut found = matches!(&expr.kind, ExprKind::Call { name, .. } if &**name == "sensitive");
    expr.for_each_child(&mut |child| found |= marks_secret(child));
    found
}

impl Tree<'_> {
    /// A line. `false`: nothing below it is said any more.
    fn line(&mut self, depth: usize, text: impl Into<String>) -> bool {
        if self.lines.len() >= LINES_MAX || depth > DEPTH_MAX {
            return false;
        }
        self.lines.push((depth, text.into()));
        true
    }

    /// What happens at one address, and below it why.
    fn change(&mut self, change: &Change, depth: usize) {
        let place = change.source.as_ref().map(|place| format!("  ({place})")).unwrap_or_default();
        let word = word(change);
        let first = self.seen.insert(change.address.to_string());
        let again = if first { "" } else { ": see above" };
        let reason = if change.reason.is_empty() || !first { String::new() } else { format!(": {}", change.reason) };
        if !self.line(depth, format!("{}: {word}{reason}{again}{place}", change.address)) || !first {
            return;
        }
        match change.action {
            Action::Create if change.id.is_none() && change.recorded.is_none() => self.wanted(change, depth + 1),
            Action::Delete | Action::Forget => self.unwanted(change, depth + 1),
            _ => {}
        }
        self.attributes(change, depth + 1);
        self.others(change, depth + 1);
    }

    /// Why something is there that was not there before.
    fn wanted(&mut self, change: &Change, depth: usize) {
        let Some(place) = &change.source else { return };
        let repeats = change.address.key().and_then(|key| self.text.attribute_of_block(place, meta(key)).map(|found| (meta(key), found)));
        if let Some((meta, (expr, at))) = repeats {
            if self.line(depth, format!("`{meta}` of its block wants it, and there was none before")) {
                self.expression(meta, &expr, &at, depth + 1);
            }
            return;
        }
        if change.is_step() {
            return;
        }
        // What a block is lowered to may stand for one of its attributes.
        match self.text.attribute_at(place) {
            Some((name, expr, at)) => self.expression(&name, &expr, &at, depth),
            None => {
                self.line(depth, format!("the block at {place} wants it, and there was none before"));
            }
        }
    }

    /// Why something goes.
    fn unwanted(&mut self, change: &Change, depth: usize) {
        let block = change.address.with_key(None);
        let beside = self.plan.changes.values().find(|other| {
            other.desired.is_some() && other.address.with_key(None) == block && other.address.key().is_some() && other.source.is_some()
        });
        let (Some(key), Some(beside)) = (change.address.key(), beside) else { return };
        let meta = meta(key);
        let Some((expr, at)) = beside.source.as_deref().and_then(|place| self.text.attribute_of_block(place, meta)) else { return };
        if self.line(depth, format!("`{meta}` of its block does not make it any more")) {
            self.expression(meta, &expr, &at, depth + 1);
        }
    }

    /// What differs, those first that force the rest.
    fn attributes(&mut self, change: &Change, depth: usize) {
        let mut attributes: Vec<&AttributeChange> = change.attributes.iter().collect();
        attributes.sort_by_key(|attribute| !attribute.forces_replacement);
        for attribute in attributes.iter().take(ATTRIBUTES_MAX) {
            self.attribute(change, attribute, depth);
        }
        if let Some(more) = attributes.len().checked_sub(ATTRIBUTES_MAX).filter(|more| *more > 0) {
            self.line(depth, format!("and {more} more values differ"));
        }
    }

    fn attribute(&mut self, change: &Change, attribute: &AttributeChange, depth: usize) {
        let around = self.hidden;
        self.hidden |= [&attribute.before, &attribute.after].into_iter().flatten().any(Value::has_sensitive);
        self.causes_of(change, attribute, depth);
        self.hidden = around;
    }

    fn causes_of(&mut self, change: &Change, attribute: &AttributeChange, depth: usize) {
        let side = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), shown);
        let forces = if attribute.forces_replacement { ", which forces the replacement" } else { "" };
        let text = format!("`{}`: {} -> {}{forces}", attribute.path, side(&attribute.before), side(&attribute.after));
        if !self.line(depth, text) {
            return;
        }
        let drift = change.drift.iter().find(|drift| drift.path == attribute.path);
        if let Some(drift) = drift {
            let text = format!("changed outside since the last apply: {} -> {}", side(&drift.before), side(&drift.after));
            self.line(depth + 1, text);
        }
        let written = attribute.source.as_deref().and_then(|place| self.text.attribute_at(place));
        match written {
            Some((name, expr, at)) => self.expression(&name, &expr, &at, depth + 1),
            None if attribute.after.is_none() && drift.is_none() => {
                self.line(depth + 1, "the spec does not say it any more");
            }
            // What a block is lowered to has the block's place where several of its attributes make one.
            None => {
                for (name, expr, at) in
                    attribute.source.as_deref().map(|place| self.text.likely(place, &attribute.path)).unwrap_or_default()
                {
                    self.expression(&name, &expr, &at, depth + 1);
                }
            }
        }
        // What the plan makes may stand in a value that no line of the spec writes out.
        let mut addresses = BTreeSet::new();
        attribute.after.iter().for_each(|after| after.addresses(&mut addresses));
        for address in addresses.iter().filter(|address| !self.seen.contains(&address.to_string())).collect::<Vec<_>>() {
            self.object(address, depth + 1);
        }
    }

    /// What else brings a change about: another object, or the node of a step.
    fn others(&mut self, change: &Change, depth: usize) {
        let mut causes: BTreeSet<Address> = BTreeSet::new();
        if let Some(Node::Step(step)) = &change.desired {
            let node = self.plan.changes.get(&step.node);
            if node.is_some_and(|node| matches!(node.action, Action::Create | Action::Replace)) {
                causes.insert(step.node.clone());
            } else if change.attributes.is_empty() {
                causes.extend(step.triggers.iter().cloned());
                step.inputs.values().for_each(|input| {
                    if let cloudtik_model::Input::Value(value) = input {
                        value.addresses(&mut causes);
                    }
                });
            }
        }
        if let Some(node) = &change.desired {
            let triggers = &node.lifecycle().replace_triggered_by;
            let by = self.plan.changes.values().filter(|other| triggers.iter().any(|trigger| other.address.is_within(trigger)));
            let by: Vec<Address> =
                by.filter(|_| change.reason.contains("replace_triggered_by")).map(|other| other.address.clone()).collect();
            causes.extend(by);
        }
        if change.reason.starts_with("its node") && change.desired.is_none() {
            let above = (1..change.address.segments().len()).rev().map(|length| change.address.prefix(length));
            causes.extend(above.filter(|address| self.plan.changes.contains_key(address)).take(1));
        }
        for cause in causes {
            self.object(&cause, depth);
        }
    }

    /// Another object whose change is a cause.
    fn object(&mut self, address: &Address, depth: usize) {
        let plan = self.plan;
        if let Some(change) = plan.changes.get(address).filter(|change| change.has_effect()) {
            self.change(change, depth);
        }
    }

    /// An expression of the spec, and what it is made of.
    fn expression(&mut self, name: &str, expr: &Expr, place: &str, depth: usize) {
        // What is secret may be written in the spec itself.
        let text = if self.hidden || marks_secret(expr) {
            format!("{name}  ({place})")
        } else {
            format!("{name} = {}  ({place})", self.text.shown(expr, SHOWN_CHARS))
        };
        if !self.line(depth, text) || matches!(expr.kind, ExprKind::Literal(_)) {
            return;
        }
        let mut said = BTreeSet::new();
        for reference in cloudtik_lang::references(expr) {
            let parts: Vec<&str> = reference
                .steps
                .iter()
                .map_while(|step| if let ReferenceStep::Attribute(name) = step { Some(&**name) } else { None })
                .collect();
            match (&*reference.root, parts.as_slice()) {
                ("var", [name, ..]) if said.insert(format!("var.{name}")) => self.variable(name, depth + 1),
                ("local", [name, ..]) if said.insert(format!("local.{name}")) => self.local(name, depth + 1),
                ("data", [kind, name, ..]) if said.insert(format!("data.{kind}.{name}")) => {
                    let place = self.text.block("data", &[*kind, *name]);
                    let place = place.map(|place| format!("  ({place})")).unwrap_or_default();
                    self.line(depth + 1, format!("data.{kind}.{name} is what the provider finds{place}"));
                }
                (root, [name, ..]) if !matches!(root, "var" | "local" | "data" | "each" | "count" | "path" | "self") => {
                    let (root, name) = if root == "resource" { (*name, *parts.get(1).unwrap_or(name)) } else { (root, *name) };
                    let block = Address::of(root, name);
                    let plan = self.plan;
                    let within = plan.changes.values().filter(|change| {
                        change.has_effect() && {
                            let segments = change.address.segments().len().min(2);
                            change.address.prefix(segments).with_key(None) == block
                        }
                    });
                    for change in within.take(ATTRIBUTES_MAX) {
                        if said.insert(change.address.to_string()) {
                            self.change(change, depth + 1);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn variable(&mut self, name: &str, depth: usize) {
        let declared = self.text.block("variable", &[name]).unwrap_or_default();
        // A variable of a module has the value that its `module` block gives it, which is no value of the plan.
        let Some(value) = self.plan.variables.get(name) else {
            self.line(depth, format!("var.{name}  ({declared})"));
            return;
        };
        let text = match (Some(value).filter(|value| value.is_known()), (self.origin)(name)) {
            (None, _) => format!("var.{name} has no value  ({declared})"),
            (Some(value), Some(from)) => format!("var.{name} is {}, from {from}", shown(value)),
            (Some(value), None) => format!("var.{name} is {}, its default  ({declared})", shown(value)),
        };
        self.line(depth, text);
    }

    fn local(&mut self, name: &str, depth: usize) {
        let Some(Named { expr, place }) = self.text.local(name) else { return };
        let key = format!("local.{name}");
        if self.seen.insert(key.clone()) {
            self.expression(&key, &expr, &place, depth);
        } else {
            self.line(depth, format!("{key}: see above"));
        }
    }

    /// The lines with the branches that lead to them.
    fn finish(self) -> String {
        let mut out = String::new();
        for (index, (depth, text)) in self.lines.iter().enumerate() {
            let rest = self.lines.get(index + 1..).unwrap_or_default();
            // Whether a branch at that depth goes on below this line.
            let goes_on = |at: usize| rest.iter().map(|(depth, _)| *depth).find(|depth| *depth <= at) == Some(at);
            for at in 1..*depth {
                out.push_str(if goes_on(at) { "│  " } else { "   " });
            }
            if *depth > 0 {
                out.push_str(if goes_on(*depth) { "├─ " } else { "└─ " });
            }
            out.push_str(text);
            out.push('\n');
        }
        if self.lines.len() >= LINES_MAX {
            out.push_str("… and more: name an address below\n");
        }
        out
    }
}

/// The attribute of a block that makes instances with such keys.
const fn meta(key: &Key) -> &'static str {
    match key {
        Key::Index(_) => "count",
        Key::Name(_) => "for_each",
    }
}

fn word(change: &Change) -> &'static str {
    match (change.action, change.is_step()) {
        (Action::Delete, true) => "undo",
        (Action::Replace, true) => "undo and run",
        (action, _) => action.as_str(),
    }
}

fn shown(value: &Value) -> String {
    let value = if value.is_deferred() { preview(value) } else { value.clone() };
    let text = if value.is_sensitive() { "(sensitive value)".to_owned() } else { render_line(&value) };
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
