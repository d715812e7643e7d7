//! What the state has and the spec does not want.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::{Address, Lifecycle, Node, Object, ResourceSpec, Span, StateEntry, Value};
use cloudtik_provider_api::{Inside, KindSchema, Shown};

use crate::diff::with_marks_of;
use crate::plan::{GONE, KEPT, NODE_GOES, NODE_GONE};
use crate::planner::{Planner, blank, data_inside, kept_inside, with_inside};
use crate::resource::{Present, prevented, with_secrets};
use crate::step::{effective_undo, undo_before_node_goes};
use crate::{Action, Change, Mode, Observation};

/// What becomes of the node of a step that goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NodeFate {
    /// Nobody is there any more.
    Gone,
    /// It goes in this plan.
    Goes,
    /// It stays.
    Stays,
}

impl<'a> Planner<'_, 'a> {
    /// Plans what is in the state and not in the graph; in a destroy plan, all of the state.
    pub(crate) fn removals(&mut self) {
        let state = &self.input.state.resources;
        for (address, entry) in state {
            if self.input.mode == Mode::Normal && self.input.graph.nodes.contains_key(address) || !self.takes(address) {
                continue;
            }
            let mut change = self.removal(address, entry);
            change.create_before_destroy = entry.create_before_destroy;
            if change.desired.is_none() {
                change.depends_on.clone_from(&entry.depends_on);
            }
            if let Some(node) = self.input.graph.nodes.get(address) {
                change.source = self.locate(node.span());
                change.timeouts = node.lifecycle().timeouts;
                self.check_prevented(address, node, entry, &change);
            }
            self.changes.insert(address.clone(), change);
        }
        self.reduce_last();
    }

    /// What uses something inside of an object goes before that does.
    fn reduce_last(&mut self) {
        let reduced: BTreeSet<&Address> =
            self.changes.values().filter(|change| change.is_reduced()).map(|change| &change.address).collect();
        let goes =
            |address: &Address| self.changes.get(address).is_some_and(|change| matches!(change.action, Action::Delete | Action::Forget));
        let mut users: BTreeMap<Address, BTreeSet<Address>> = BTreeMap::new();
        for (user, entry) in self.input.state.resources.iter().filter(|(address, _)| goes(address)) {
            for used in entry.depends_on.iter().filter(|used| reduced.contains(used)) {
                users.entry(used.clone()).or_default().insert(user.clone());
            }
        }
        for (address, users) in users {
            self.changes.entry(address).and_modify(|change| change.waits_for.extend(users));
        }
    }

    fn check_prevented(&mut self, address: &Address, node: &Node, entry: &StateEntry, change: &Change) {
        let goes = (change.action == Action::Delete || change.is_reduced()) && change.id.is_some();
        let Node::Resource(spec) = node else { return };
        if goes && spec.lifecycle.prevent_destroy {
            self.diagnostics.push(prevented(address, spec.span, "everything is to be destroyed"));
        }
        if goes {
            self.check_prevented_inside(spec, entry);
        }
    }

    /// What must not be destroyed inside of what goes, or is made anew, stops the plan that gives it up.
    pub(crate) fn check_prevented_inside(&mut self, spec: &ResourceSpec, entry: &StateEntry) {
        if spec.lifecycle.prevent_inside.is_empty() {
            return;
        }
        let given_up = data_inside(self.input, &spec.address, entry).into_keys().filter(|data| !self.input.keep.contains(data));
        let places = given_up.filter_map(|data| Some((*spec.lifecycle.prevent_inside.get(&data)?, data)));
        self.diagnostics.extend(places.map(|(span, data)| prevented(&data, span, "its data is given up")).collect::<Vec<_>>());
    }

    fn removal(&self, address: &Address, entry: &StateEntry) -> Change {
        let mut change = blank(address, entry.kind.clone(), &entry.provider);
        let reason = if self.input.mode == Mode::Destroy { "everything is to be destroyed" } else { "not in the spec any more" };
        reason.clone_into(&mut change.reason);
        let kind = self.kind(&entry.provider, &entry.kind);
        change.delete_ms = kind.map_or(0, |kind| kind.expected.delete_ms);
        change.expected_ms = change.delete_ms;
        change.deposed = entry.deposed.keys().cloned().collect();
        change.with_data = !self.input.keep.contains(address) && kept_inside(self.input, address, entry).is_empty();
        let forget = |change: &mut Change, reason: &str| {
            change.action = if change.deposed.is_empty() { Action::Forget } else { Action::Delete };
            reason.clone_into(&mut change.reason);
        };
        if self.input.graph.released.iter().any(|from| address.is_within(from)) {
            // What a replacement left is let go of with it.
            change.deposed.clear();
            change.action = Action::Forget;
            "let go of by `removed`: it stays as it is".clone_into(&mut change.reason);
            return change;
        }
        let Some(object) = &entry.current else {
            forget(&mut change, if entry.deposed.is_empty() { "nothing is left of it" } else { "replaced objects are left of it" });
            return change;
        };
        change.schema_version = object.schema_version;
        let is_step = entry.kind.starts_with("step.");
        let is_gone = matches!(self.input.observed.get(address), Some(Observation::Gone));
        let recorded = if is_step { object.attributes.get("inputs").cloned() } else { Some(self.as_found(address, object, kind)) };
        if is_gone && !is_step {
            forget(&mut change, GONE);
            change.recorded = recorded;
            return change;
        }
        change.id = Some(object.id.clone());
        change.before = recorded;
        if let Some(data) = self.kept.get(address).filter(|_| !is_gone) {
            let inside = kind.and_then(|kind| Some((kind, kind.inside?))).filter(|_| !kept_inside(self.input, address, entry).is_empty());
            let why = if data == address {
                "it says `on_destroy = \"keep\"`".to_owned()
            } else if inside.is_some() {
                format!("`{data}` is in it")
            } else {
                format!("`{data}` stands on it")
            };
            change.reason = format!("{KEPT}{why}");
            if let Some((kind, inside)) = inside {
                self.reduce(kind, inside, entry, object, &mut change);
            }
        } else if is_step {
            self.removed_step(address, entry, object, &mut change);
        } else {
            change.action = Action::Delete;
        }
        change
    }

    /// The attributes of an object as they were read; where nobody looked, as the state has them.
    fn as_found(&self, address: &Address, object: &Object, kind: Option<&KindSchema>) -> Value {
        let found = match self.input.observed.get(address) {
            Some(Observation::Present(found)) => with_marks_of(&found.attributes, &object.attributes),
            _ => object.attributes.clone(),
        };
        kind.map_or_else(|| found.clone(), |kind| with_secrets(found.clone(), kind))
    }

    /// What has something inside that is kept loses all else of it.
    fn reduce(&self, kind: &KindSchema, inside: Inside, entry: &StateEntry, object: &Object, change: &mut Change) {
        let address = &change.address;
        let kept = kept_inside(self.input, address, entry);
        let found = with_inside(self.input, address, object, inside);
        let before = with_secrets(with_marks_of(found, &object.attributes), kind);
        let desired = (inside.with_kept)(&before, None, &kept.keys().cloned().collect());
        let spec = ResourceSpec {
            address: address.clone(),
            kind: Arc::clone(&entry.kind),
            provider: entry.provider.clone(),
            attributes: desired,
            depends_on: kept.into_values().flatten().collect(),
            lifecycle: Lifecycle::default(),
            marks: BTreeMap::new(),
            span: Span::NONE,
            origins: BTreeMap::new(),
        };
        let attributes = self.attribute_changes(&spec, kind, &spec.attributes, &Present::of(entry, object, before.clone()));
        let Some(word) = attributes.iter().map(|change| change.word).max() else { return };
        change.action = Action::Update;
        (change.word, change.attributes) = (word, attributes);
        change.before = Some(before);
        change.brief =
            kind.attributes.iter().filter(|attribute| attribute.shown == Shown::Changes).map(|attribute| attribute.name.into()).collect();
        change.expected_ms = kind.expected.update_ms;
        change.depends_on.clone_from(&spec.depends_on);
        change.desired = Some(Node::Resource(spec));
    }

    fn removed_step(&self, address: &Address, entry: &StateEntry, object: &Object, change: &mut Change) {
        let set = |change: &mut Change, action: Action, reason: &str| {
            change.action = action;
            reason.clone_into(&mut change.reason);
        };
        match self.fate_of_node(address, entry, object) {
            NodeFate::Gone => set(change, Action::Forget, NODE_GONE),
            NodeFate::Goes if undo_before_node_goes(object).is_some() => set(change, Action::Delete, NODE_GOES),
            NodeFate::Goes => set(change, Action::Forget, NODE_GOES),
            NodeFate::Stays if effective_undo(object).is_some() => change.action = Action::Delete,
            NodeFate::Stays => set(change, Action::Forget, "not in the spec any more, and nothing to undo"),
        }
        change.expected_ms = if change.action == Action::Delete { object.took_ms.unwrap_or(0) } else { 0 };
    }

    fn fate_of_node(&self, address: &Address, entry: &StateEntry, object: &Object) -> NodeFate {
        let Some(node) = node_of(&self.input.state.resources, address, entry, object) else { return NodeFate::Gone };
        if matches!(self.input.observed.get(node), Some(Observation::Gone)) {
            return NodeFate::Gone;
        }
        if self.input.mode == Mode::Destroy || !self.input.graph.nodes.contains_key(node) {
            return NodeFate::Goes;
        }
        match self.changes.get(node).map(|change| change.action) {
            Some(Action::NoOp | Action::Update | Action::Adopt) => NodeFate::Stays,
            Some(Action::Replace) => NodeFate::Goes,
            _ => NodeFate::Gone,
        }
    }
}

/// The address whose current object is the instance that a step was done on: among what it depends on, else above it.
pub(crate) fn node_of<'s>(
    resources: &'s std::collections::BTreeMap<Address, StateEntry>,
    address: &Address,
    entry: &StateEntry,
    object: &Object,
) -> Option<&'s Address> {
    let is_node = |candidate: &Address| {
        let (found, entry) = resources.get_key_value(candidate)?;
        let same = entry.current.as_ref().is_some_and(|current| current.id == object.id);
        (same && !entry.kind.starts_with("step.")).then_some(found)
    };
    let above = (1..address.segments().len()).rev().map(|n| address.prefix(n));
    entry.depends_on.iter().find_map(is_node).or_else(|| above.into_iter().find_map(|prefix| is_node(&prefix)))
}
