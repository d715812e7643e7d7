//! The simulated cloud: a world of its own that answers the calls of every provider from a seed.
//!
//! [`SimCloud`] is synchronous and deterministic: `submit(now, call)` says when which answer comes, with the faults that a seed or a script
//! asks for, and keeps an audit of effects by which a test judges that nothing was made twice. [`SimProvider`] puts the same world behind
//! the provider traits, kept in a file, for `--provider sim`.
//!
//! It is no model of any real cloud: its kinds are one for each idempotency class, and what a workspace and a cluster become.

mod cloud;
mod controller;
mod faults;
mod kinds;
mod lower;
mod node;
mod provider;
mod random;
mod together;
mod world;

pub use cloud::{SimCloud, SimConfig, SimEvent};
pub use controller::{SimController, SimGroup};
pub use faults::{Fault, FaultRates, FaultRule};
pub use kinds::{
    BUCKET_KIND, FIREWALL_KIND, INSTANCE_KIND, NAMED_KIND, NATURAL_KIND, NETWORK_KIND, TAGGED_KIND, TOKEN_KIND, VISIBILITY_MS, sim_schema,
};
pub use node::{NodeMarker, SimNode};
pub use provider::{SIM_PROVIDER, SimConnection, SimProvider};
pub use random::Random;
pub use world::{ADDRESS_TAG, Effect, EffectKind, OP_TAG, SimObject, World};
