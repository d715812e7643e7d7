//! From a plan to the world.

pub mod driver;
pub mod durable;
pub mod engine;
mod record;

pub use record::{Intent, OpKind, OpResult, PureEntry, RECORD_VERSION, Record, SecretRef};
