//! The engine: a plan's operations, carried out. A state machine: `step(now, Event) -> Vec<Command>`.
//!
//! It does no IO, starts no task, reads no clock and no randomness; ids follow from the run id and a counter. Whoever drives it (the tokio
//! driver, a simulator, a crash test) carries out its commands and brings what came of them back as events. The same events give the same
//! commands, to the byte.
//!
//! [`Settlement`] is its sister: what became of what an earlier run began.

mod batch;
mod begin;
mod bucket;
mod conditions;
mod interface;
mod machine;
mod objects;
mod outbox;
mod room;
mod settlement;
mod values;
mod work;

pub use batch::{Gatherer, Wish, broken_batches, seats};
pub use interface::{
    ADDRESS_TAG, AddressResult, AddressStatus, Broken, Command, Counts, EngineInput, Event, LINEAGE_TAG, Limits, Made, NodeFacts, OP_TAG,
    OperationWord, Progress, RenderedStep, Seat, Step, StepAnswer, StepJob, StepRenderer, Summary, Ticket, TimerId, TokenBucketLimit,
    Unmet,
};
pub use machine::Engine;
pub use objects::{entry_host_key, host_key};
pub use settlement::{SettleMode, Settlement, SettlementInput, SettlementReport};
pub use values::Objects;
pub use work::started;
