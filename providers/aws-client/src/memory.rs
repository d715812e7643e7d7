//! What answers said of objects, for requests that need more than an id: a question less for each.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// For an object its other name, as it was seen last. Whoever uses it must bear that it is old.
#[derive(Default)]
pub(crate) struct Memory(Mutex<BTreeMap<String, String>>);

impl Memory {
    /// Remembers the other name of an object.
    pub(crate) fn keep(&self, id: &str, other: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), other.to_owned());
    }

    /// The other name of an object, which is forgotten: the object is about to go.
    pub(crate) fn take(&self, id: &str) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }
}
