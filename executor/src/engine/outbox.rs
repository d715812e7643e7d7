//! Records on their way to the journal: at most one append at a time, and everything that gathers meanwhile goes with the next.

use crate::Record;
use crate::engine::Command;

/// Records that wait, and what is to happen once they are durable.
pub(crate) struct Outbox<T> {
    next_batch: u64,
    in_flight: Option<(u64, Vec<T>)>,
    records: Vec<Record>,
    then: Vec<T>,
}

impl<T> Outbox<T> {
    pub(crate) const fn new() -> Self {
        Self { next_batch: 1, in_flight: None, records: Vec::new(), then: Vec::new() }
    }

    /// Adds records, and what follows from them once all are durable.
    pub(crate) fn push(&mut self, records: impl IntoIterator<Item = Record>, then: Option<T>) {
        self.records.extend(records);
        self.then.extend(then);
    }

    /// Whether nothing waits and nothing is in flight.
    pub(crate) const fn is_empty(&self) -> bool {
        self.in_flight.is_none() && self.records.is_empty()
    }

    /// The next append, if there is something to append and none in flight.
    pub(crate) fn flush(&mut self) -> Option<Command> {
        if self.in_flight.is_some() || self.records.is_empty() {
            return None;
        }
        let batch = self.next_batch;
        self.next_batch += 1;
        self.in_flight = Some((batch, std::mem::take(&mut self.then)));
        Some(Command::Append { batch, records: std::mem::take(&mut self.records) })
    }

    /// Nothing more becomes durable: what would have followed.
    pub(crate) fn lost(&mut self) -> Vec<T> {
        let in_flight = self.in_flight.take().map(|(_, then)| then).unwrap_or_default();
        in_flight.into_iter().chain(std::mem::take(&mut self.then)).collect()
    }

    /// A batch is durable: what follows.
    pub(crate) fn appended(&mut self, batch: u64) -> Vec<T> {
        match self.in_flight.take_if(|(number, _)| *number == batch) {
            Some((_, then)) => then,
            None => Vec::new(),
        }
    }
}
