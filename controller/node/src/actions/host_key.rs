//! First contact: the node makes its own host key and tells its public half, and people are let in.

use std::collections::{BTreeMap, BTreeSet};

use cloudtik_model::StepOutcome;
use serde::{Deserialize, Serialize};

use super::{Failure, Outcome, Success, Workshop, needed};
use crate::durable;
use crate::error::NodeError;
use crate::host_keys::HostKeysView;
use crate::layout::Layout;

/// The attribute that carries the public half.
const ATTRIBUTE: &str = "host_key";

/// What lets people in: the SSH server, as far as its keys go.
pub(crate) trait Door: Send + Sync {
    /// The public half of the node's own host key, if it was made.
    fn host_key(&self) -> Option<String>;
    /// Makes the node's own host key unless it is there, keeps and shows it, and answers its public half.
    fn make_host_key(&self, run_id: &str) -> Result<String, NodeError>;
    /// Lets these people in, beside those of the boot file.
    fn let_in(&self, people: &[String]) -> Result<(), NodeError>;
    /// What is shown.
    fn view(&self) -> HostKeysView;
}

/// `keys/authorized_keys.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPeople {
    version: u32,
    people: Vec<String>,
}

impl StoredPeople {
    const VERSION: u32 = 1;
}

/// The people's keys of the last step, beside those of the boot file.
pub(crate) fn stored_authorized_keys(layout: &Layout) -> Result<Vec<String>, NodeError> {
    let path = layout.authorized_keys();
    match durable::read_record::<StoredPeople>(&path, "list of keys")? {
        Some(stored) if stored.version != StoredPeople::VERSION => {
            Err(NodeError::Version { path, found: stored.version, known: StoredPeople::VERSION })
        }
        stored => Ok(stored.map(|stored| stored.people).unwrap_or_default()),
    }
}

/// Makes the key, once for all runs, and shows it beside the one of the launch. That one goes later, when a client has proved that it knows
/// the new one.
pub(super) fn perform(workshop: &Workshop, run_id: &str, people: &[String]) -> Outcome {
    for line in people {
        line.parse::<cloudtik_ssh::PublicUserKey>().map_err(|error| Failure::new(format!("`{line}` is not a public key: {error}")))?;
    }
    let stored = StoredPeople { version: StoredPeople::VERSION, people: people.to_vec() };
    durable::write_record(&workshop.layout.authorized_keys(), &stored)?;
    workshop.door.let_in(people)?;
    let public = workshop.door.make_host_key(run_id)?;
    Ok(done(public))
}

/// Done when there is a key and the people are those. It needs no marker: a client that lost the answer gets the public half, however far the
/// step came.
pub(super) fn check(workshop: &Workshop, people: &[String]) -> Outcome {
    let Some(public) = workshop.door.host_key() else { return Ok(needed()) };
    let present = stored_authorized_keys(&workshop.layout)?;
    let same = present.iter().collect::<BTreeSet<_>>() == people.iter().collect();
    Ok(if same { done(public) } else { needed() })
}

fn done(public: String) -> Success {
    Success { outcome: StepOutcome::Done, attributes: BTreeMap::from([(ATTRIBUTE.to_owned(), public)]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_keys_of_version_1_is_read_and_written() {
        let text = include_str!("../../fixtures/v1/authorized_keys.json");
        let record: StoredPeople = serde_json::from_str(text).unwrap();
        assert_eq!(record.version, StoredPeople::VERSION);
        assert_eq!(serde_json::to_string(&record).unwrap(), text.trim_end());
    }
}
