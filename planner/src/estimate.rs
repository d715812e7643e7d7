//! What carrying a plan out is expected to take: requests to servers, and time.

use std::collections::BTreeMap;

use cloudtik_model::{Key, ProviderRef};
use cloudtik_provider_api::{Deed, Requests, without_number};
use serde::{Deserialize, Serialize};

use crate::{Execution, Operation, OperationKind};

/// What carrying a plan out is expected to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    /// Requests to servers of providers, in all.
    pub calls: u64,
    /// Those among them that only look whether something that takes its time is done.
    pub waiting_calls: u64,
    /// Milliseconds.
    pub ms: u64,
}

/// What a provider says of its calls.
pub trait Costs {
    /// Requests that an operation sends when it takes so many milliseconds.
    fn requests(&self, provider: &ProviderRef, kind: &str, deed: Deed, expected_ms: u64) -> Requests;

    /// How many objects of a kind one call makes at most.
    fn together(&self, provider: &ProviderRef, kind: &str) -> usize;
}

/// What the operations are expected to take where so many of them run at once. It can be no quicker than its longest chain, nor than all of it
/// shared out among those that run at once, and an engine that begins the longest chain first is not much slower. `None` where nobody counts
/// requests.
#[must_use]
pub fn estimate(execution: &Execution, parallelism: usize, costs: &dyn Costs) -> Option<Estimate> {
    let calls = calls(execution, costs);
    let sent = calls.iter().filter_map(|operation| {
        let deed = match operation.kind {
            OperationKind::Create | OperationKind::CreateReplacement { .. } => Deed::Create,
            OperationKind::Update | OperationKind::Import => Deed::Update,
            OperationKind::Delete { .. } => Deed::Delete,
            _ => return None,
        };
        Some(costs.requests(&operation.provider, &operation.object_kind, deed, operation.expected_ms))
    });
    let sent = sent.fold(Requests::default(), |sum, one| Requests { sent: sum.sent + one.sent, looks: sum.looks + one.looks });
    if sent == Requests::default() {
        return None;
    }
    let longest = execution.operations.iter().map(|operation| operation.remaining_ms).max().unwrap_or(0);
    let all: u64 = calls.iter().map(|operation| operation.expected_ms).fold(0, u64::saturating_add);
    let shared = all.div_ceil(u64::try_from(parallelism).unwrap_or(u64::MAX).max(1));
    Some(Estimate { calls: sent.sent + sent.looks, waiting_calls: sent.looks, ms: longest.max(shared) })
}

/// The operations, of which those that go together stand for one: the objects of one block, as if they were alike but for their numbers.
fn calls<'a>(execution: &'a Execution, costs: &dyn Costs) -> Vec<&'a Operation> {
    let mut before: BTreeMap<(&ProviderRef, &str, String), usize> = BTreeMap::new();
    let mut leads = |operation: &&'a Operation| {
        let Some(block) = block_of(operation) else { return true };
        let (provider, kind) = (&operation.provider, &*operation.object_kind);
        let before = before.entry((provider, kind, block)).or_default();
        *before += 1;
        (*before - 1).is_multiple_of(costs.together(provider, kind).max(1))
    };
    execution.operations.iter().filter(|operation| leads(operation)).collect()
}

/// What all creates of a block with numbers have in common.
fn block_of(operation: &Operation) -> Option<String> {
    let is_create = matches!(operation.kind, OperationKind::Create | OperationKind::CreateReplacement { .. });
    match operation.address.segments().last()?.key {
        Some(Key::Index(number)) if is_create => without_number(&operation.address.to_string(), number),
        _ => None,
    }
}

impl Estimate {
    /// `about 95 calls and 2 min 40 s`
    pub(crate) fn text(&self) -> String {
        let calls = if self.calls == 1 { "1 call".to_owned() } else { format!("{} calls", self.calls) };
        format!("about {calls} and {}", about(self.ms))
    }
}

/// A duration as an expectation is told: to five seconds, from a minute on to ten, from ten minutes on to a minute.
fn about(ms: u64) -> String {
    let seconds = ms.div_ceil(1_000);
    let to = |unit: u64| seconds.div_ceil(unit) * unit;
    let rounded = match seconds {
        0..=10 => seconds.max(1),
        11..=55 => to(5),
        56..=600 => to(10),
        _ => to(60),
    };
    match (rounded / 60, rounded % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes @ 1..60, 0) => format!("{minutes} min"),
        (minutes @ 1..60, seconds) => format!("{minutes} min {seconds} s"),
        (minutes, _) if minutes % 60 == 0 => format!("{} h", minutes / 60),
        (minutes, _) => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_round() {
        for (ms, text) in [
            (0, "1 s"),
            (1_500, "2 s"),
            (31_000, "35 s"),
            (58_000, "1 min"),
            (154_000, "2 min 40 s"),
            (601_000, "11 min"),
            (3_600_000, "1 h"),
            (5_400_000, "1 h 30 min"),
        ] {
            assert_eq!(about(ms), text, "{ms}");
        }
    }
}
