//! The suite every provider passes: what a kind's schema promises is what its calls do, above all when an answer is lost or the other side
//! crashes after a request.
//!
//! Whoever runs it brings a [`Subject`]: the schema, samples of each kind, and a way to make a call, to crash, and to let time pass. The
//! suite knows no runtime and no provider; a subject blocks where its provider awaits.

mod schema;
mod suite;

pub use schema::check_schema;
pub use suite::{Failure, Report, Sample, Subject, run};
