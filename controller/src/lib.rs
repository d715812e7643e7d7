//! What runs on a cluster's head: it makes the workers, sets them up, and keeps them.
//!
//! [`Controller`] is a state machine over the planner and the engine that the command line uses: `step(now, Event) -> Vec<Command>`. Each worker,
//! and the head for those of its steps that follow workers, is a *unit* with a plan and an engine of its own, so that one that hangs holds up
//! nobody. [`decide`] says which workers there should be; it is pure and knows nothing of how they are made.
//!
//! It knows no particular provider, no module and no command line. [`service`] is the only part that waits, listens or writes files.

pub mod decide;
mod limits;
mod machine;
pub mod service;

pub use machine::{Controller, ControllerInput, HeadIdentity, Pushed, Times};
