//! A plan that changes nothing in the world: what was found goes into the state. What the spec wants has no say in it but for its results.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_model::{Address, Lifecycle, Node, Object, ResourceSpec, Span, StateEntry, Value};

use crate::diff::with_marks_of;
use crate::plan::{GONE, NODE_GONE};
use crate::planner::{Planner, blank};
use crate::removal::node_of;
use crate::resource::{drift, with_secrets};
use crate::{Action, Change, Observation};

impl<'a> Planner<'_, 'a> {
    /// Takes what was found of everything that the state has.
    pub(crate) fn refreshed(&mut self) {
        let input = self.input;
        for (address, entry) in &input.state.resources {
            let Some(object) = entry.current.as_ref().filter(|_| self.takes(address)) else { continue };
            let change = if entry.kind.starts_with("step.") {
                self.refreshed_step(address, entry, object)
            } else {
                self.refreshed_object(address, entry, object)
            };
            if let Some(change) = change {
                self.changes.insert(address.clone(), change);
            }
        }
    }

    /// A step is what it was, unless it went with its node.
    fn refreshed_step(&self, address: &Address, entry: &StateEntry, object: &Object) -> Option<Change> {
        let is_gone = |node: &Address| matches!(self.input.observed.get(node), Some(Observation::Gone));
        let node = node_of(&self.input.state.resources, address, entry, object);
        if node.is_some_and(|node| !is_gone(node)) {
            return None;
        }
        let mut change = blank(address, Arc::clone(&entry.kind), &entry.provider);
        change.action = Action::Forget;
        NODE_GONE.clone_into(&mut change.reason);
        change.depends_on.clone_from(&entry.depends_on);
        Some(change)
    }

    fn refreshed_object(&mut self, address: &Address, entry: &'a StateEntry, object: &'a Object) -> Option<Change> {
        let kind = self.kind(&entry.provider, &entry.kind)?;
        let recorded = with_secrets(object.attributes.clone(), kind);
        let mut change = blank(address, Arc::clone(&entry.kind), &entry.provider);
        change.id = Some(object.id.clone());
        change.depends_on.clone_from(&entry.depends_on);
        change.create_before_destroy = entry.create_before_destroy;
        change.schema_version = kind.version;
        let found = match self.input.observed.get(address) {
            Some(Observation::Gone) => {
                change.action = Action::Forget;
                GONE.clone_into(&mut change.reason);
                change.recorded = Some(recorded);
                return Some(change);
            }
            Some(Observation::Present(answer)) => with_secrets(with_marks_of(&answer.attributes, &object.attributes), kind),
            None => recorded.clone(),
        };
        change.drift = drift(kind, &object.attributes, &found);
        change.recorded = (!change.drift.is_empty()).then_some(recorded);
        change.desired = Some(Node::Resource(ResourceSpec {
            address: address.clone(),
            kind: Arc::clone(&entry.kind),
            provider: entry.provider.clone(),
            attributes: object.desired.clone(),
            depends_on: entry.depends_on.clone(),
            lifecycle: Lifecycle::default(),
            marks: BTreeMap::new(),
            span: Span::NONE,
            origins: BTreeMap::new(),
        }));
        let mut attributes = found.entries().cloned().unwrap_or_default();
        attributes.insert("id".into(), object.id.as_str().into());
        self.will_be(address, Value::object(attributes));
        change.before = Some(found);
        Some(change)
    }
}
