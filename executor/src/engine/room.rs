//! What is left to the room that a cloud has: which of some forms an object gets.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_model::{Address, Key, Value};
use cloudtik_provider_api::CallError;

/// A form that there was no room for.
pub(crate) struct WithoutRoom {
    pub(crate) chosen: BTreeMap<Arc<str>, Value>,
    /// Whether it was tried for several at once.
    pub(crate) in_company: bool,
    pub(crate) error: CallError,
}

/// The number of an object among those of its block, by which they are spread.
pub(crate) fn number_of(address: &Address) -> u64 {
    match address.segments().last().and_then(|last| last.key.as_ref()) {
        Some(Key::Index(number)) => *number,
        _ => 0,
    }
}

/// The attributes of a request: those of the spec, and those that were chosen.
pub(crate) fn with(attributes: &Value, chosen: &BTreeMap<Arc<str>, Value>) -> Value {
    if chosen.is_empty() {
        return attributes.clone();
    }
    let mut all = attributes.entries().cloned().unwrap_or_default();
    all.extend(chosen.iter().map(|(name, value)| (Arc::clone(name), value.clone())));
    Value::object(all).marked(attributes.is_sensitive())
}

/// How often all forms are tried. Where there is no room for some at once there may be room for fewer: an account may have less left than all
/// of them need. So whoever was in company tries all of it once more, alone.
pub(crate) fn rounds(tried: &[WithoutRoom]) -> usize {
    if tried.iter().any(|tried| tried.in_company) { 2 } else { 1 }
}

/// The error of a create that there is no room for in any of so many forms: each with what the cloud called it.
pub(crate) fn nowhere(tried: &[WithoutRoom], forms: usize, last: CallError) -> CallError {
    let tried = tried.get(tried.len().saturating_sub(forms.max(1))..).unwrap_or_default();
    if tried.len() < 2 {
        return last;
    }
    let told = tried.iter().map(|one| {
        let words: Vec<&str> = one.chosen.values().filter_map(Value::as_str).collect();
        format!("{}: {}", words.join(" "), one.error.code)
    });
    let told = told.collect::<Vec<_>>().join("; ");
    CallError { message: format!("there is no room in any of {} forms ({told}); the last answer: {}", tried.len(), last.message), ..last }
}
