//! The life of a cluster in virtual time, from a seed: the real planner, engine and controller over a simulated cloud and stores of memory.
//!
//! [`run`] lives one seed: workers die, calls are lost, the controller crashes in the middle of a write, configurations change, the store is lost
//! altogether, and in the second kind of life the command line tears the cluster down meanwhile. Invariants are held against the world after
//! every event, and at the end the world must be what the configuration says. The same seed is the same life, to the byte.
//!
//! It knows nothing of sockets, processes and clocks: what waits is a queue of deliveries, ordered by their time and number.

mod chance;
mod cluster;
mod invariants;
mod queue;
mod simulation;
mod teardown;
mod trace;

use std::fmt;

use cloudtik_model::Digest;

pub use simulation::run;

/// What sort of life it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The cluster is kept: at the end everything is as the configuration says.
    Keep,
    /// At some time it is torn down: at the end no worker is left.
    Destroy,
    /// The group with a quorum is renamed, and later a step's text changes; nothing else happens.
    Rename {
        /// What happens beside it.
        trouble: Trouble,
    },
}

/// What happens to a controller that renames a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// It crashes about that time.
    Crash,
    /// The head with its store is lost afterwards.
    LoseHead,
}

/// What is broken on purpose, so that a test can show that it would be noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Broken {
    /// Nothing.
    #[default]
    No,
    /// The store forgets which numbers workers had.
    ForgetNumbers,
    /// The cloud does not keep to the fence.
    IgnoreFence,
    /// The store forgets every intent.
    ForgetIntents,
}

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What chance is made from.
    pub seed: u64,
    /// What sort of life it is.
    pub kind: Kind,
    /// What is broken on purpose.
    pub broken: Broken,
    /// Whether the log is kept as text.
    pub wants_log: bool,
}

/// A life that went as it should.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Of everything that happened, in its order.
    pub fingerprint: Digest,
    /// How many events there were.
    pub events: u64,
    /// How long it took, in virtual milliseconds.
    pub took_ms: u64,
    /// How often what happened, for tests that ask whether chance reaches everything.
    pub counts: std::collections::BTreeMap<&'static str, u64>,
    /// The log, where it was wanted.
    pub log: Vec<String>,
}

/// A life that did not.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was broken.
    pub what: String,
    /// When, in virtual milliseconds.
    pub at_ms: u64,
    /// The log, where it was wanted.
    pub log: Vec<String>,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), at_ms: 0, log: Vec::new() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {}.{:03}s: {}", self.at_ms / 1_000, self.at_ms % 1_000, self.what)
    }
}

impl std::error::Error for Failure {}
