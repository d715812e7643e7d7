//! The same token with the same parameters is the same call; with others it is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::answer::{Answer, Refusal};
use crate::call::Call;

/// Parameters that carry a token.
const NAMES: [&str; 2] = ["ClientToken", "ClientRequestToken"];

/// What was answered to tokens.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    known: BTreeMap<String, (BTreeMap<String, String>, Answer)>,
    turns: BTreeMap<String, Arc<Mutex<()>>>,
}

/// What a token means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A call that was not made before.
    New,
    /// The answer of the call that was.
    Again(Answer),
    /// Another call.
    Refused(Refusal),
}

impl Tokens {
    /// What calls with the same token wait for, one after the other: what the first of them did is known when the second one is looked at.
    pub(crate) fn turn(&mut self, call: &Call) -> Option<Arc<Mutex<()>>> {
        Some(Arc::clone(self.turns.entry(name_of(call)?).or_default()))
    }

    /// What a call's token means.
    pub(crate) fn meaning(&self, call: &Call) -> Meaning {
        let Some((parameters, answer)) = name_of(call).and_then(|name| self.known.get(&name)) else { return Meaning::New };
        if *parameters == without_token(call) {
            return Meaning::Again(answer.clone());
        }
        let text = "The client token that you provided was used before with other parameters";
        let code = if call.service == "cloudformation" { "TokenAlreadyExistsException" } else { "IdempotentParameterMismatch" };
        Meaning::Refused(Refusal::new(code, text))
    }

    /// Keeps the answer of a call that was made.
    pub(crate) fn keep(&mut self, call: &Call, answer: &Answer) {
        if let Some(name) = name_of(call).filter(|_| answer.is_success()) {
            self.known.insert(name, (without_token(call), answer.clone()));
        }
    }
}

/// A token counts for one action in one region of one account.
fn name_of(call: &Call) -> Option<String> {
    let token = NAMES.iter().find_map(|name| call.get(name)).filter(|token| !token.is_empty())?;
    Some([call.key.as_str(), &call.region, &call.name(), token].join("\n"))
}

fn without_token(call: &Call) -> BTreeMap<String, String> {
    let mut parameters = call.parameters.clone();
    parameters.retain(|name, _| !NAMES.contains(&name.as_str()));
    parameters
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call(action: &str, token: &str, size: &str) -> Call {
        Call { service: "ec2".to_owned(), ..Call::default() }.asking(action, &[("ClientToken", token), ("Size", size)])
    }

    proptest! {
        #[test]
        fn a_token_means_its_first_call(calls in proptest::collection::vec(("[a-c]", "[0-9]"), 1..20)) {
            let mut tokens = Tokens::default();
            let mut first: BTreeMap<String, String> = BTreeMap::new();
            for (token, size) in calls {
                let made = call("CreateVolume", &token, &size);
                match (tokens.meaning(&made), first.get(&token)) {
                    (Meaning::New, None) => {
                        tokens.keep(&made, &Answer::new(200, "text/xml", size.clone()));
                        first.insert(token, size);
                    }
                    (Meaning::Again(answer), Some(known)) => prop_assert!(*known == size && answer.body == known.as_bytes()),
                    (Meaning::Refused(refusal), Some(known)) => prop_assert!(*known != size && refusal.code == "IdempotentParameterMismatch"),
                    (meaning, known) => prop_assert!(false, "{meaning:?} {known:?}"),
                }
            }
        }
    }

    #[test]
    fn errors_and_calls_without_token_are_not_kept() {
        let mut tokens = Tokens::default();
        tokens.keep(&call("CreateVolume", "", "1"), &Answer::new(200, "text/xml", ""));
        tokens.keep(&call("CreateVolume", "t", "1"), &Answer::new(400, "text/xml", ""));
        assert_eq!(tokens.meaning(&call("CreateVolume", "", "1")), Meaning::New);
        assert_eq!(tokens.meaning(&call("CreateVolume", "t", "1")), Meaning::New);
    }
}
