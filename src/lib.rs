//! cloudtik compiles specs of workspaces and clusters into a resource graph, plans what has to change, and applies it in parallel.
//!
//! This is the library: [`Project::compile`], [`Project::plan`], [`Project::prepare`] and [`Prepared::apply`], with [`Event`]s while
//! something runs. It prints nothing and ends no process; the command line is built on it and sees nothing else.
//!
//! ```
//! use std::sync::Arc;
//! use cloudtik::{Interrupt, PlanOptions, Project, ProjectOptions, Silent};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! std::fs::write(folder.join("main.hcl"), r#"resource "value" "greeting" { input = "hello" }"#)?;
//! let project = Project::open(ProjectOptions::new(folder));
//! assert_eq!(project.compile()?.graph.nodes.len(), 1);
//!
//! let prepared = project.prepare(&PlanOptions::default(), &Silent)?;
//! assert!(prepared.has_changes());
//! let applied = prepared.apply(Arc::new(Silent), &Interrupt::new())?;
//! assert_eq!(applied.summary.counts.created, 1);
//!
//! // What was made is what is wanted: there is nothing left to do.
//! assert!(!project.plan(&PlanOptions::default(), &Silent)?.has_changes());
//! # Ok(())
//! # }
//! ```
//!
//! `examples/library.rs` shows the same for a cluster, with what happens on the way.

mod adopt;
mod around;
mod checks;
mod clusters;
mod compare;
mod console;
mod deploy;
mod disk;
mod emit;
mod error_pages;
mod events;
mod explain;
mod failure;
mod format;
mod graph;
pub mod hidden;
mod import;
mod inherited;
mod inside;
mod kept;
mod local;
mod moves;
mod options;
mod preflight;
mod prepared;
mod project;
mod providers;
mod revision;
mod run;
mod spec_source;
mod starter;
mod state;
mod tenants;
mod world;

pub use cloudtik_compiler::{MissingVariable, Providers, VariableArgument, VariableInputs};
pub use cloudtik_executor::engine::{AddressResult, AddressStatus, Counts, OperationWord, Progress, Summary};
pub use cloudtik_lang as lang;
pub use cloudtik_model as model;
pub use cloudtik_planner as planner;
pub use cloudtik_provider_api as provider_api;

pub use clusters::{ClusterStatus, ExecEnd, ExecRequest, ExecTarget, NodeOutput, PublishedNode, StatusSource};
pub use compare::Comparison;
pub use console::Answers;
pub use disk::DiskSources;
pub use emit::Emitted;
pub use error_pages::{error_pages, explain_code, explained_codes};
pub use events::{Event, Interrupt, Observer, Silent};
pub use failure::{Failure, FailureKind};
pub use format::{FormattedFile, format_files, format_text};
pub use graph::{graph_dot, graph_json, graph_mermaid};
pub use local::{LocalInventory, LocalObject, forget_local_inventory, local_inventory, local_objects, purge_local_objects};
pub use options::{DeleteData, PlanOptions, ProjectOptions};
pub use prepared::{Applied, Prepared};
pub use project::{Compilation, Planned, Project};
pub use starter::{StarterFile, examples, starter};
pub use state::{Migrated, Pushed, StateEdit};

/// Our version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the providers of this build have, by type: their configuration and their kinds.
#[must_use]
pub fn provider_schemas() -> std::collections::BTreeMap<String, cloudtik_provider_api::ProviderSchema> {
    providers::schemas(&providers::providers())
}
