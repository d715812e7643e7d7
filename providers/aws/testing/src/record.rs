//! What was asked of the proxy.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::call::Call;

/// Longer values are cut where they are recorded: documents and scripts.
const VALUE_MAX: usize = 300;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Its number, from 1.
    pub number: u64,
    /// When it came, in milliseconds since the proxy began.
    pub at_ms: u64,
    /// Service and action: `ec2:CreateVpc`.
    pub action: String,
    /// The region that it is for.
    pub region: String,
    /// Its parameters, without what every call has.
    pub parameters: BTreeMap<String, String>,
    /// Whether it is meant to change something.
    pub write: bool,
    /// The status of the answer; 0 as long as there is none.
    pub status: u16,
    /// The error code of the answer.
    pub error: Option<String>,
    /// Whether the server did something because of it.
    pub committed: bool,
    /// How long it took.
    pub duration_ms: u64,
    /// Whether the connection was ended instead of an answer.
    pub lost: bool,
}

impl Request {
    /// Whether the server did what it was to do, and that changed something.
    #[must_use]
    pub const fn is_committed_write(&self) -> bool {
        self.write && self.committed
    }
}

/// All requests.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    pub(crate) all: Vec<Request>,
    /// What the numbers began after.
    before: u64,
}

impl Requests {
    /// Begins one, and gives its number.
    pub(crate) fn begin(&mut self, now: u64, call: &Call) -> u64 {
        let number = self.before + self.all.len() as u64 + 1;
        let cut = |value: &String| value.chars().take(VALUE_MAX).collect::<String>();
        let told = call.parameters.iter().filter(|(name, _)| *name != "Version");
        self.all.push(Request {
            number,
            at_ms: now,
            action: call.name(),
            region: call.region.clone(),
            parameters: told.map(|(name, value)| (name.clone(), cut(value))).collect(),
            write: call.is_write(),
            status: 0,
            error: None,
            committed: false,
            duration_ms: 0,
            lost: false,
        });
        number
    }

    /// The one with a number, unless it was forgotten meanwhile.
    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Request> {
        let place = number.checked_sub(self.before + 1)?;
        self.all.get_mut(usize::try_from(place).ok()?)
    }

    /// Forgets all, and goes on counting.
    pub(crate) fn reset(&mut self) {
        self.before += self.all.len() as u64;
        self.all.clear();
    }
}

/// How often each action was asked for.
#[must_use]
pub fn counts(requests: &[Request]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for request in requests {
        *counts.entry(request.action.clone()).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on() {
        let call = Call { service: "ec2".to_owned(), ..Call::default() }.asking("CreateVpc", &[("CidrBlock", "10.0.0.0/16")]);
        let mut requests = Requests::default();
        assert_eq!((requests.begin(0, &call), requests.begin(0, &call)), (1, 2));
        assert_eq!(counts(&requests.all), BTreeMap::from([("ec2:CreateVpc".to_owned(), 2)]));
        requests.reset();
        assert_eq!(requests.begin(0, &call), 3);
        assert!(requests.get_mut(2).is_none());
        assert_eq!(requests.get_mut(3).unwrap().parameters.len(), 1);
    }
}
