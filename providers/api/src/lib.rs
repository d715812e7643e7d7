//! What a provider is. The pure half ([`Provider`]) says what kinds there are, what they cost to repeat, and how a typed spec becomes
//! resources; the effectful half ([`Cloud`]) takes a [`Call`] and gives an [`Answer`], both plain data.
//!
//! No runtime, no task, no clock: an implementation brings its own, and a simulator answers the same calls from a seed.

mod batch;
mod call;
mod capabilities;
mod check;
mod controller_kinds;
mod database;
mod default_tags;
mod lowering;
mod needs;
mod node_attributes;
mod provider;
mod record;
mod schema;
mod storage;
mod tags;
mod templates;
mod value_kind;

pub use batch::{Batch, Together, numbers_of, numbers_text, parts_of, with_number, without_number};
pub use call::{
    Answer, BoxFuture, Call, CallError, Connection, CreateRequest, DATA_QUESTION, DialTarget, ErrorClass, FactQuestion, Found, Instance,
    ObjectAnswer, SIMULATED, Secret, TIMED_OUT, UpdateRequest, Verb,
};
pub use capabilities::{Capabilities, Capability};
pub use check::{Check, Checked, Concern, Intended};
pub use controller_kinds::{CONTROLLER_PROVIDER, HEAD_CONTROLLER_KIND, WORKER_GROUP_KIND, controller_schema};
pub use database::{Database, engine, engine_port, existing_databases, no_effect_beside_existing};
pub use default_tags::with_default_tags;
pub use lowering::{
    ClusterStart, DOMAIN, NODE_NAME, ResourceBuilder, WorkspaceStart, fact, firewall_rules, no_effect, no_effect_at, no_effect_of_cloud,
    no_public_addresses, real_name, reference, spec_exports, worker_name, written,
};
pub use needs::{Need, Unmet, When};
pub use node_attributes::node_attributes;
pub use provider::{Cloud, Facts, Lowered, Provider};
pub use record::{RECORD_VALUE, exports_of, record};
pub use schema::{
    AttributeSchema, Choice, Deed, Derive, Expected, Idempotency, Inside, KindSchema, Names, Presence, ProviderSchema, Refuses, Requests,
    SecretKind, Shown, Visibility,
};
pub use storage::ExistingStore;
pub use tags::{
    CLUSTER_TAG, GROUP_TAG, HEAD_ROLE, ROLE_TAG, SEQUENCE_TAG, STATUS_PREFIX, TEMPLATE_TAG, WORKER_ROLE, WORKSPACE_TAG, merged_tags,
};
pub use templates::{TEMPLATES_BY_SIZE, TEMPLATES_WITH_GPUS};
pub use value_kind::{VALUE_KIND, ValueProvider};
