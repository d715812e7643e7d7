//! What a caller sees while something runs, and how it stops it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cloudtik_executor::engine::Progress;
use cloudtik_model::{Address, ControllerEvent};

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A stage begins: `reading the spec`, `asking the provider`, `comparing with the world`.
    Stage(String),
    /// How many operations there will be.
    Operations(usize),
    /// An operation began, was repeated, ended.
    Progress(Progress),
    /// A line that a step printed on its node.
    Output {
        /// The step.
        address: Address,
        /// Whether it came from the error stream.
        stderr: bool,
        /// The text.
        text: String,
    },
    /// Something happened on a head that is awaited.
    Controller(ControllerEvent),
    /// Something that somebody should know and that stops nothing.
    Warning(String),
}

/// Takes events. It is called from the thread that drives the run, and should return soon.
pub trait Observer: Send + Sync {
    /// Takes one.
    fn event(&self, event: &Event);
}

/// Looks at nothing.
pub struct Silent;

impl Observer for Silent {
    fn event(&self, _event: &Event) {}
}

/// Asks a run to end: no new operations, running ones are brought to their end. Clones ask the same run.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// One that nobody asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
