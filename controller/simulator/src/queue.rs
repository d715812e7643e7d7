//! What is on its way, ordered by time and number.

use std::collections::BTreeMap;

use cloudtik_controller_client::TeardownEvent;
use cloudtik_executor::Record;
use cloudtik_executor::engine::Event;

use crate::chance::Deed;

/// Something on its way.
pub(crate) enum Coming {
    /// To the controller of a life.
    Event(u64, Event),
    /// Of a controller; not durable yet.
    Append { life: u64, batch: u64, records: Vec<Record> },
    /// A deed of chance.
    Deed(Deed),
    /// To the command line that tears down.
    Teardown(TeardownEvent),
    /// A controller begins.
    Boot,
    /// It is looked whether all is done.
    Look,
}

/// The queue.
#[derive(Default)]
pub(crate) struct Queue {
    things: BTreeMap<(u64, u64), Coming>,
    next: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at_ms: u64, coming: Coming) {
        self.next += 1;
        self.things.insert((at_ms, self.next), coming);
    }

    pub(crate) fn pop(&mut self) -> Option<(u64, Coming)> {
        self.things.pop_first().map(|((at_ms, _), coming)| (at_ms, coming))
    }

    /// Whether a life is in the middle of a write.
    pub(crate) fn is_writing(&self, life: u64) -> bool {
        self.things.values().any(|coming| matches!(coming, Coming::Append { life: of, .. } if *of == life))
    }

    /// Takes out what a life was writing, and drops what else was on its way to it.
    pub(crate) fn writing_of(&mut self, life: u64) -> Option<Vec<Record>> {
        let mut writing = None;
        self.things.retain(|_, coming| match coming {
            Coming::Event(of, _) => *of != life,
            Coming::Append { life: of, records, .. } if *of == life => {
                writing = Some(std::mem::take(records));
                false
            }
            _ => true,
        });
        writing
    }
}
