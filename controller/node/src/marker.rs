//! The marker of a step: what was done last at its address, written by rename after the effect.
//!
//! Before an effect that a crash could leave half done, the marker of the earlier one is replaced by one without an outcome, so that a
//! check never calls something done that is being changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use cloudtik_model::{Digest, StepOutcome};
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::error::NodeError;
use crate::layout::Layout;

/// `steps/<escaped address>.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Marker {
    pub(crate) version: u32,
    pub(crate) address: String,
    /// The identity of the step in the plan.
    pub(crate) identity: Digest,
    /// Digest of the action's JSON.
    pub(crate) rendered: Digest,
    pub(crate) run_id: String,
    /// `None` between the start of the effect and its end.
    pub(crate) outcome: Option<StepOutcome>,
    /// What it made.
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, String>,
    /// The file or folder that belongs to the step.
    #[serde(default)]
    pub(crate) target: Option<String>,
    /// Folders that were made for it, the outermost first; an undo takes them away when they are empty.
    #[serde(default)]
    pub(crate) made_dirs: Vec<String>,
}

impl Marker {
    pub(crate) const VERSION: u32 = 1;

    /// Reads the marker of an address.
    pub(crate) fn read(layout: &Layout, address: &str) -> Result<Option<Self>, NodeError> {
        let path = layout.marker(address);
        match durable::read_record::<Self>(&path, "step marker")? {
            Some(marker) if marker.version != Self::VERSION => {
                Err(NodeError::Version { path, found: marker.version, known: Self::VERSION })
            }
            marker => Ok(marker),
        }
    }

    /// Writes it durably.
    pub(crate) fn write(&self, layout: &Layout) -> Result<(), NodeError> {
        durable::write_record(&layout.marker(&self.address), self)
    }

    /// Removes the marker of an address.
    pub(crate) fn remove(layout: &Layout, address: &str) -> Result<(), NodeError> {
        durable::remove(&layout.marker(address))
    }

    /// Whether the step was done with this identity and these bytes.
    pub(crate) fn says_done(&self, identity: &Digest) -> bool {
        self.identity == *identity && matches!(self.outcome, Some(StepOutcome::Done | StepOutcome::Skipped))
    }

    /// All markers, by address.
    pub(crate) fn all(layout: &Layout) -> Result<BTreeMap<String, Self>, NodeError> {
        let folder = layout.root().join("steps");
        let mut markers = BTreeMap::new();
        for file in fs::read_dir(&folder).map_err(NodeError::file("read", &folder))? {
            let path = file.map_err(NodeError::file("read", &folder))?.path();
            if path.extension().is_some_and(|ending| ending == "json")
                && let Some(marker) = durable::read_record::<Self>(&path, "step marker")?
            {
                markers.insert(marker.address.clone(), marker);
            }
        }
        Ok(markers)
    }

    /// The addresses of other steps whose file or folder is this one. A step that was renamed must not take away what its successor owns.
    pub(crate) fn other_owners(layout: &Layout, address: &str, target: &str) -> Result<BTreeSet<String>, NodeError> {
        let others = Self::all(layout)?.into_values().filter(|marker| marker.address != address);
        Ok(others.filter(|marker| marker.target.as_deref() == Some(target)).map(|marker| marker.address).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_of_version_1_is_read_and_written() {
        let text = include_str!("../fixtures/v1/step.json");
        let record: Marker = serde_json::from_str(text).unwrap();
        assert_eq!(record.version, Marker::VERSION);
        assert_eq!(serde_json::to_string(&record).unwrap(), text.trim_end());
    }
}
