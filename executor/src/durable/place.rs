//! Where a project's state lies: the place that was used last is remembered, so that a spec that names another one is noticed, and a state is
//! moved there with all that belongs to it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::disk::{Disk, OsDisk, replace};
use super::state_store::{BACKUPS_MAX, STATE_BYTES_MAX};
use super::{DataDir, DurableError, FileState, StateStore as _};

/// The file in the data folder that remembers it; there only where the spec named another place than the data folder.
const PLACES: &str = "state-places.json";

const VERSION: u32 = 1;

/// So many places are remembered: nobody moves a state more often before each of its environments has followed.
const PLACES_MAX: usize = 10;

/// The longest file of that name: some paths, and little more.
const PLACES_BYTES_MAX: u64 = 1024 * 1024;

/// A place that the spec named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedPlace {
    /// The expression, as it was written: environments of one spec have it in common.
    pub written: String,
    /// What it was the last time.
    pub path: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Places {
    version: u32,
    /// The newest first. Null is the data folder.
    places: Vec<Option<NamedPlace>>,
}

impl DataDir {
    /// The places that the spec named when the state was written, the newest first; `None` is the data folder. Empty: nobody ever named one.
    ///
    /// # Errors
    /// What the system says; the file is none of ours.
    pub fn last_places(&self) -> Result<Vec<Option<NamedPlace>>, DurableError> {
        let file = self.root().join(PLACES);
        let Some(bytes) = OsDisk::default().read(&file, PLACES_BYTES_MAX).map_err(DurableError::io("read", &file))? else {
            return Ok(Vec::new());
        };
        match serde_json::from_slice::<Places>(&bytes) {
            Ok(places) if places.version == VERSION => Ok(places.places),
            _ => Err(DurableError::PlaceDamaged { path: file }),
        }
    }

    /// Remembers what the spec says now.
    ///
    /// # Errors
    /// What the system says.
    pub fn remember_place(&self, place: Option<NamedPlace>) -> Result<(), DurableError> {
        let before = self.last_places()?;
        if *before.first().unwrap_or(&None) == place {
            return Ok(());
        }
        let implied = if before.is_empty() { vec![None] } else { before };
        let written = |place: &Option<NamedPlace>| place.as_ref().map(|place| place.written.clone());
        let others = implied.into_iter().filter(|other| written(other) != written(&place));
        let places = std::iter::once(place.clone()).chain(others).take(PLACES_MAX).collect();
        let (disk, file) = (OsDisk::default(), self.root().join(PLACES));
        let bytes = serde_json::to_vec(&Places { version: VERSION, places });
        let bytes = bytes.map_err(|source| DurableError::Encode { what: "the place of the state", source })?;
        replace(&disk, &file, &bytes).map_err(DurableError::io("write", &file))
    }

    /// Whether a state is there, or what must have belonged to one.
    ///
    /// # Errors
    /// What the system says.
    pub fn has_state(&self) -> Result<bool, DurableError> {
        let (disk, state) = (OsDisk::default(), self.state());
        let is_there = disk.stamp(&state).map_err(DurableError::io("read", &state))?.is_some();
        let journal = self.journal();
        let has_journal = !disk.list(&journal).map_err(DurableError::io("read", &journal))?.is_empty();
        Ok(is_there || has_journal)
    }

    /// Takes away what a state left here that is written elsewhere now. Its predecessors go there with it, and so do its keys: those of the data
    /// folder stay, because saved plans are sealed with them.
    ///
    /// # Errors
    /// What the system says. What is done is not done again by the next try.
    pub fn leave_for(&self, other: &Self) -> Result<(), DurableError> {
        let disk = OsDisk::default();
        let (from, to) = (store(self), store(other));
        for serial in from.backups()?.into_iter().take(BACKUPS_MAX) {
            move_file(&disk, &from.backup_path(serial), &to.backup_path(serial))?;
        }
        let remove = |path: PathBuf| disk.remove(&path).map_err(DurableError::io("remove", &path));
        remove(self.state())?;
        if self.keys() != self.root().join("keys") {
            let keys = self.keys();
            for name in disk.list(&keys).map_err(DurableError::io("read", &keys))? {
                remove(keys.join(name))?;
            }
            disk.remove_folder(&keys).map_err(DurableError::io("remove", &keys))?;
        }
        Ok(())
    }
}

fn store(folder: &DataDir) -> FileState {
    FileState::new(std::sync::Arc::new(OsDisk::default()), folder.state())
}

/// Another file system may be there, so it is copied. One that is there already stays.
fn move_file(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), DurableError> {
    let there = disk.stamp(to).map_err(DurableError::io("read", to))?.is_some();
    let bytes = disk.read(from, STATE_BYTES_MAX).map_err(DurableError::io("read", from))?;
    if let Some(bytes) = bytes.filter(|_| !there) {
        replace(disk, to, &bytes).map_err(DurableError::io("write", to))?;
    }
    disk.remove(from).map_err(DurableError::io("remove", from))
}
