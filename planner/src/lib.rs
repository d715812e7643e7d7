//! From a graph, a state and what was observed to a plan; from a plan to the operations that carry it out.
//!
//! Pure: no IO, no clock, no randomness. It does not know the compiler: whoever has a [`Graph`](cloudtik_model::Graph) can plan, the head
//! controller too.

mod diff;
mod estimate;
mod execution;
mod import;
mod input;
mod json;
mod lint;
mod made;
mod names;
mod order;
mod plan;
mod planner;
mod policy;
mod refresh;
mod removal;
mod render;
mod resource;
mod selection;
mod step;
mod text;

pub use cloudtik_lang::step_inputs_preview;
pub use estimate::{Costs, Estimate, estimate};
pub use execution::{Execution, ExecutionError, Operation, OperationKind, execution};
pub use input::{Mode, Observation, PlanInput};
pub use json::{
    EventChange, EventCounts, EventResource, Importing, OutputValue, PlanJson, ResourceNames, StateJson, TERRAFORM_VERSION, TypeJson,
    event_action, event_changes, event_counts, event_drift,
};
pub use lint::lint;
pub use made::as_if_made;
pub use plan::{Action, AttributeChange, Change, Counts, OutputChange, PLAN_VERSION, Plan, Settled};
pub use planner::plan;
pub use policy::changes_for_policies;
pub use render::{RenderOptions, how_made, render_failure_report, render_report, render_text, summary};
pub use selection::Selection;
pub use step::{effective_undo, resource_identity, step_identity};
