//! What a run tells of a plan, as Terraform's event stream has it.

use cloudtik_model::{Address, ProviderRef};
use serde::Serialize;

use super::change::{action_reason, previous_address};
use super::resource::{Index, ResourceNames};
use crate::{Action, Change, Plan};

/// The resource that a message is about.
#[derive(Clone, Debug, Serialize)]
pub struct EventResource<'a> {
    addr: &'a Address,
    module: String,
    resource: Address,
    implied_provider: &'a str,
    resource_type: &'a str,
    resource_name: String,
    resource_key: Option<Index<'a>>,
}

impl<'a> EventResource<'a> {
    /// The one at an address.
    #[must_use]
    pub fn new(names: &ResourceNames, address: &'a Address, kind: &'a str, provider: &'a ProviderRef) -> Self {
        let name = names.name(address, kind);
        Self {
            addr: address,
            module: address.module().map_or_else(String::new, |module| module.to_string()),
            resource: Address::new(address.in_module().iter().cloned()),
            implied_provider: provider.provider_type(),
            resource_type: kind,
            resource_name: name.name.into_owned(),
            resource_key: name.index,
        }
    }

    /// Its address.
    #[must_use]
    pub const fn address(&self) -> &'a Address {
        self.addr
    }

    /// The one that a change is about.
    #[must_use]
    pub fn of(names: &ResourceNames, change: &'a Change) -> Self {
        Self::new(names, &change.address, &change.kind, &change.provider)
    }
}

/// What is going to be done with a resource, or was done with it outside.
#[derive(Clone, Debug, Serialize)]
pub struct EventChange<'a> {
    /// Whose change it is.
    pub resource: EventResource<'a>,
    /// What it was called before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_address: Option<Address>,
    /// `create`, `update`, `replace`, `delete`, `remove`, `import`, `move` or `noop`.
    pub action: &'static str,
    /// Why, where Terraform has a word for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// What is taken over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub importing: Option<Importing<'a>>,
}

/// The id of what is taken over.
#[derive(Clone, Debug, Serialize)]
pub struct Importing<'a> {
    id: &'a str,
}

/// How many of each sort; what is replaced is both added and removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EventCounts {
    /// Made.
    pub add: usize,
    /// Changed in place.
    pub change: usize,
    /// Taken over.
    pub import: usize,
    /// Removed.
    pub remove: usize,
}

impl EventCounts {
    /// One more of what an action does.
    pub fn count(&mut self, action: &str) {
        match action {
            "create" => self.add += 1,
            "update" => self.change += 1,
            "delete" => self.remove += 1,
            "import" => self.import += 1,
            "replace" => {
                self.add += 1;
                self.remove += 1;
            }
            _ => {}
        }
    }
}

/// What is going to be done, by address.
pub fn event_changes(plan: &Plan) -> impl Iterator<Item = EventChange<'_>> {
    let all = plan.changes.values().map(|change| (change, previous_address(plan, change)));
    let told = all.filter(|(change, previous)| (change.has_effect() || previous.is_some()) && !change.goes_with_its_node());
    let names = ResourceNames::of_plan(plan);
    told.map(move |(change, previous_address)| EventChange {
        resource: EventResource::of(&names, change),
        action: if change.action == Action::NoOp && previous_address.is_some() { "move" } else { event_action(change) },
        previous_address,
        reason: action_reason(change, plan.destroy).map(reason),
        importing: change.id.as_deref().filter(|_| change.action == Action::Import).map(|id| Importing { id }),
    })
}

/// What was changed outside, by address.
pub fn event_drift(plan: &Plan) -> impl Iterator<Item = EventChange<'_>> {
    let names = ResourceNames::of_plan(plan);
    plan.changes.values().filter(|change| change.recorded.is_some()).map(move |change| EventChange {
        resource: EventResource::of(&names, change),
        previous_address: None,
        action: if change.before.is_some() { "update" } else { "delete" },
        reason: None,
        importing: None,
    })
}

/// How many of each sort a plan has.
#[must_use]
pub fn event_counts(plan: &Plan) -> EventCounts {
    let mut counts = EventCounts::default();
    for change in event_changes(plan) {
        counts.count(change.action);
        if change.importing.is_some() && change.action != "import" {
            counts.import += 1;
        }
    }
    counts.remove += plan.changes.values().map(|change| change.deposed.len()).sum::<usize>();
    counts
}

/// The one word that events have for what is done at an address.
#[must_use]
pub fn event_action(change: &Change) -> &'static str {
    match super::change::actions(change) {
        [_, _] => "replace",
        ["no-op"] if change.action == Action::Import => "import",
        ["no-op"] => "noop",
        ["forget"] => "remove",
        [one] => one,
        _ => "noop",
    }
}

/// Events have shorter words than plans.
fn reason(of_plan: &'static str) -> &'static str {
    match of_plan {
        "replace_because_tainted" => "tainted",
        "replace_because_cannot_update" => "cannot_update",
        "replace_by_request" => "requested",
        "replace_by_triggers" => "replace_triggered_by",
        other => other,
    }
}
