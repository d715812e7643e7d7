//! Runtime modules: what a `runtime` block installs, configures and runs on a node, told by a manifest instead of code.
//!
//! A module is a folder: `module.hcl`, Handlebars templates below `templates/`, plain files below `files/`. Loading checks it,
//! [`expand`] makes the steps of one node from it, and [`render`] fills a template in when its values are known. Modules of this
//! version are part of the binary; others are read through the project's files.
//!
//! This package does no IO, reads no clock and no environment. It does not know clusters, providers or the order of runtimes, and it
//! runs nothing: what a step does is the node's business.

mod evaluate;
mod expand;
mod load;
mod module;
mod schema;
mod scope;
mod shell;
mod shipped;
mod template;

pub use expand::{ExpandRequest, Expanded, expand};
pub use load::{CAPABILITIES, load_folder};
pub use module::{DiscoverSchema, Health, Module, OptionSchema, PortSchema, SecretSchema, ServiceSchema};
pub use shell::quote as shell_quote;
pub use shipped::{load_shipped, shipped_names};
pub use template::{MAX_NESTING, MAX_OUTPUT_BYTES, MAX_STEPS, MAX_TAGS, MAX_TEMPLATE_BYTES, RenderError, preview_with, render};
