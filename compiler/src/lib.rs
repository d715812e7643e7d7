//! From a spec to a resource graph.
//!
//! [`compile`] reads a project through a [`SourceSet`](cloudtik_model::SourceSet), evaluates it and expands it to concrete addresses. It
//! is pure: what only a provider can tell comes in as facts, and what is still to be asked comes out as questions. It knows nothing of
//! states, plans or clouds.

mod check;
mod cluster;
mod compile;
mod controller;
mod data;
mod declare;
mod discover;
mod dynamic;
mod evaluate;
mod expand;
mod files;
mod import;
mod input;
pub mod language;
mod load;
mod missing;
mod module;
mod modules;
mod moved;
mod node;
mod object_block;
mod order;
mod policy;
mod providers;
mod proxy;
mod roles;
mod runtime;
pub mod schema;
mod scope;
mod secrets;
mod spec_text;
mod steps;
mod storage;
mod template;
mod version;
mod workers;
mod workspace;
mod wrong_type;

pub use compile::{Compiled, NodeTimeouts, compile, compile_with_changes, spec_text};
pub use import::{Import, Imported, Imports};
pub use input::{CompileInput, Providers, VariableArgument, VariableInputs};
pub use missing::{MissingVariable, missing_variables};
pub use policy::POLICY_WARNS;
