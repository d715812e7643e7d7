//! Plans and states as JSON, for tools: `plan --json`, `show --json`. The shape is that of Terraform's JSON output, so that what reads plans of
//! Terraform reads ours. [`PlanJson`] and [`StateJson`] are written piece by piece: no tree of the whole is ever made.
//!
//! What is ours stands under `cloudtik`, at the top and in each change. These are the differences from Terraform's:
//!
//! - A sensitive value is never written: `null` stands for it, and `true` at the same place of `before_sensitive`, `after_sensitive` or
//!   `sensitive_values`.
//! - An address is ours. `type` is the kind, `index` the key of the last segment, and `name` is a word that no other resource of its type
//!   has in its module: in `aws_vpc.x` it is `x`, in `workspace.w.network` it is `workspace_w_network`, or that and a number where another block has it.
//! - `configuration` is the spec as it was expanded: what is known is a `constant_value`, what only the provider can tell has its `references`.
//!   Addresses and references in it are `TYPE.NAME`, with which tools look for resources; `cloudtik.address` is ours.
//! - A step is a resource whose values are its inputs, late ones as `<node.address>`. That it runs for the first time is a `create`, that it runs
//!   again an `update`, that it is undone a `delete`; `cloudtik.action` has our word.

pub(crate) mod change;
mod checks;
mod configuration;
mod events;
mod module;
mod resource;
mod state;
mod value;

use cloudtik_model::{Address, Value};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::{Counts, OutputChange, Plan};
use change::{changes, drift, sides};
use configuration::Configuration;
use resource::{NamedPlan, Planned, PriorState};
use value::{Each, Named, Plain, TypeName};

pub use events::{EventChange, EventCounts, EventResource, Importing, event_action, event_changes, event_counts, event_drift};
pub use resource::ResourceNames;
pub use state::StateJson;
pub use value::TypeName as TypeJson;

/// Version of the form of plans, as Terraform counts.
const PLAN_FORMAT_VERSION: &str = "1.2";

/// Version of the form of states, as Terraform counts.
const STATE_FORMAT_VERSION: &str = "1.0";

/// The version of Terraform whose forms these are: some tools read no other.
pub const TERRAFORM_VERSION: &str = "1.11.0";

/// A plan in the form of `plan --json`; see the module.
#[derive(Clone, Copy, Debug)]
pub struct PlanJson<'a>(pub &'a Plan);

impl Serialize for PlanJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plan = &NamedPlan::new(self.0);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("format_version", PLAN_FORMAT_VERSION)?;
        map.serialize_entry("terraform_version", TERRAFORM_VERSION)?;
        map.serialize_entry("variables", &Named(|| plan.variables.iter().map(|(name, value)| (name, Variable { value: Plain(value) }))))?;
        map.serialize_entry("planned_values", &Planned(plan))?;
        if plan.changes.values().any(|change| change.recorded.is_some()) {
            map.serialize_entry("resource_drift", &Each(|| drift(plan)))?;
        }
        map.serialize_entry("resource_changes", &Each(|| changes(plan)))?;
        map.serialize_entry("output_changes", &Named(|| plan.outputs.iter().map(|(name, output)| (name, OutputJson(output)))))?;
        if plan.changes.values().any(|change| change.before.is_some()) {
            map.serialize_entry("prior_state", &PriorState(plan))?;
        }
        map.serialize_entry("configuration", &Configuration(plan))?;
        if !(plan.conditions.is_empty() && plan.judged.is_empty()) {
            map.serialize_entry("checks", &checks::checks(plan))?;
        }
        if let Some(time) = &plan.time {
            map.serialize_entry("timestamp", time)?;
        }
        map.serialize_entry("applyable", &(plan.can_be_applied() && plan.has_changes()))?;
        map.serialize_entry("complete", &!plan.partial)?;
        map.serialize_entry("errored", &false)?;
        map.serialize_entry("cloudtik", &Ours(self.0))?;
        map.end()
    }
}

#[derive(serde::Serialize)]
struct Variable<'a> {
    value: Plain<'a>,
}

/// How a result changes.
struct OutputJson<'a>(&'a OutputChange);

impl Serialize for OutputJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let output = self.0;
        let actions: &[&str] = match (&output.before, &output.after, output.changed) {
            (_, _, false) => &["no-op"],
            (None, _, _) => &["create"],
            (_, None, _) => &["delete"],
            _ => &["update"],
        };
        sides(actions, output.before.as_ref(), output.after.as_ref()).serialize(serializer)
    }
}

/// A result as it will be or was.
#[derive(Debug, serde::Serialize)]
pub struct OutputValue<'a> {
    sensitive: bool,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    ty: Option<TypeName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Plain<'a>>,
}

impl<'a> OutputValue<'a> {
    /// Of what is not known there is neither a type nor a value.
    #[must_use]
    pub fn new(value: &'a Value, sensitive: bool) -> Self {
        let known = value.is_known();
        Self {
            sensitive: sensitive || value.has_sensitive(),
            ty: known.then(|| TypeName(value.ty())),
            value: known.then_some(Plain(value)),
        }
    }
}

/// What Terraform's form has no place for.
struct Ours<'a>(&'a Plan);

impl Serialize for Ours<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plan = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("version", &plan.tool_version)?;
        map.serialize_entry("destroy", &plan.destroy)?;
        map.serialize_entry("offline", &plan.offline)?;
        if let Some(compared_with) = &plan.compared_with {
            map.serialize_entry("compared_with", compared_with)?;
        }
        map.serialize_entry("has_changes", &plan.has_changes())?;
        map.serialize_entry("summary", &Summary::from(plan.counts()))?;
        if let Some(expected) = &plan.expected {
            map.serialize_entry("expected", &Expected { calls: expected.calls, waiting_calls: expected.waiting_calls, ms: expected.ms })?;
        }
        map.serialize_entry("notes", &plan.notes)?;
        let settled =
            || plan.settled.iter().map(|settled| Settled { address: &settled.address, adopted: settled.adopted, text: &settled.text });
        map.serialize_entry("settled", &Each(settled))?;
        map.end()
    }
}

#[derive(serde::Serialize)]
struct Summary {
    create: usize,
    update: usize,
    replace: usize,
    delete: usize,
    run: usize,
    undo: usize,
    forget: usize,
    adopt: usize,
    import: usize,
    rename: usize,
    outputs: usize,
}

impl From<Counts> for Summary {
    fn from(counts: Counts) -> Self {
        let Counts { create, update, replace, delete, run, undo, forget, adopt, import, rename, outputs } = counts;
        Self { create, update, replace, delete, run, undo, forget, adopt, import, rename, outputs }
    }
}

#[derive(serde::Serialize)]
struct Expected {
    calls: u64,
    waiting_calls: u64,
    ms: u64,
}

#[derive(serde::Serialize)]
struct Settled<'a> {
    address: &'a Address,
    adopted: bool,
    text: &'a str,
}
