//! What a plan is made of.

use std::collections::{BTreeMap, BTreeSet};

use cloudtik_model::{Address, Graph, Span, State, Value};
use cloudtik_provider_api::{ObjectAnswer, ProviderSchema};

use crate::{Selection, Settled};

/// What a read found at an address.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// The object as it is.
    Present(ObjectAnswer),
    /// It is gone from the provider.
    Gone,
}

/// What the plan is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// To make the world as the spec says.
    #[default]
    Normal,
    /// To remove everything that the state knows.
    Destroy,
    /// To write into the state what was found, and change nothing in the world.
    Refresh,
}

/// Everything that a plan depends on.
pub struct PlanInput<'a> {
    /// What the spec wants. In [`Mode::Destroy`] it only says what must not be destroyed; it may be empty then.
    pub graph: &'a Graph,
    /// What exists; open intents are settled in it already.
    pub state: &'a State,
    /// What was read of the current objects; an address that is not here was not read.
    pub observed: &'a BTreeMap<Address, Observation>,
    /// Addresses whose objects are taken over, with the place of the `import`: `state` has them as they were found, and nobody wrote that yet.
    pub imports: &'a BTreeMap<Address, Span>,
    /// Schemas by provider type.
    pub schemas: &'a dyn Fn(&str) -> Option<&'a ProviderSchema>,
    /// Facts that the graph relies on, by key.
    pub facts: BTreeMap<String, Value>,
    /// Those that go into the state.
    pub pinned: BTreeSet<String>,
    /// What the plan is for.
    pub mode: Mode,
    /// Addresses that are to be made anew (`--replace`); one without key covers its instances.
    pub replace: BTreeSet<Address>,
    /// Data that says of itself that it is kept, and is not given up: it stays although nothing wants it, with what it stands on, and is not
    /// made anew.
    pub keep: BTreeSet<Address>,
    /// What the plan is about.
    pub selection: Selection,
    /// What settlement found.
    pub settled: Vec<Settled>,
    /// Lines that a reader should know.
    pub notes: Vec<String>,
    /// Our version.
    pub tool_version: String,
    /// Whether it is made without asking anybody.
    pub offline: bool,
    /// `main.hcl:12:1` of a place.
    pub locate: &'a dyn Fn(Span) -> Option<String>,
}
