//! The data folder of a project: what lies where in it, and that only its owner may look.

use std::path::{Path, PathBuf};

use super::DurableError;
use super::disk::{Disk, OsDisk, replace};

/// Name of the data folder when `CLOUDTIK_DATA_DIR` names no other.
pub const DATA_DIR: &str = ".cloudtik";

/// Nothing of it belongs into a repository.
const GITIGNORE: &[u8] = b"# Made by cloudtik: state, journal and keys are no part of the project.\n*\n";

/// The data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataDir {
    root: PathBuf,
    state: PathBuf,
    journal: PathBuf,
    lock: PathBuf,
    keys: PathBuf,
}

impl DataDir {
    /// That of a project; `named` is what `CLOUDTIK_DATA_DIR` says, relative to the project.
    #[must_use]
    pub fn new(project: &Path, named: Option<&Path>) -> Self {
        let root = project.join(named.unwrap_or_else(|| Path::new(DATA_DIR)));
        Self { state: root.join("state.json"), journal: root.join("journal"), lock: root.join("lock"), keys: root.join("keys"), root }
    }

    /// The same with the state in another file: `cloudtik { state "local" { path = … } }`. What belongs to the state goes with it, or two
    /// states of one project would share a journal, a lock and secrets: `<path>.journal`, `<path>.lock`, `<path>.keys`.
    #[must_use]
    pub fn with_state(self, path: PathBuf) -> Self {
        let beside = |ending: &str| {
            let mut name = path.clone().into_os_string();
            name.push(ending);
            PathBuf::from(name)
        };
        Self { journal: beside(".journal"), lock: beside(".lock"), keys: beside(".keys"), state: path, ..self }
    }

    /// The same with the state in a file that somebody looks at: the journal that goes on from it is beside it, the keys are the project's.
    #[must_use]
    pub fn looking_at(self, path: PathBuf) -> Self {
        Self { keys: self.keys.clone(), ..self.with_state(path) }
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The state; its predecessors are `state.json.<serial>.bak` beside it.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.state.clone()
    }

    /// The folder of the journal's segments; there only while there are some.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.journal.clone()
    }

    /// The lock.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.lock.clone()
    }

    /// The folder of keys and secrets.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.keys.clone()
    }

    /// Where nodes of the local cloud live.
    #[must_use]
    pub fn local(&self) -> PathBuf {
        self.root.join("local")
    }

    /// Makes the folder, closed to others, with a `.gitignore` of its own. One that is there is closed if it is ours.
    ///
    /// # Errors
    /// What the system says; or the folder is open to others and holds something else.
    pub fn create(&self) -> Result<(), DurableError> {
        self.create_on(&OsDisk::default())
    }

    pub(crate) fn create_on(&self, disk: &dyn Disk) -> Result<(), DurableError> {
        let mark = self.root.join(".gitignore");
        let marked = disk.stamp(&mark).map_err(DurableError::io("read", &mark))?.is_some();
        if !marked {
            disk.make_folder(&self.root).map_err(DurableError::io("make", &self.root))?;
        }
        self.close(marked, disk)?;
        if !marked {
            replace(disk, &mark, GITIGNORE).map_err(DurableError::io("write", &mark))?;
        }
        Ok(())
    }

    /// Closes the folder to others. One that others may enter and that is not ours is left alone: somebody named the wrong one.
    fn close(&self, ours: bool, disk: &dyn Disk) -> Result<(), DurableError> {
        if !disk.is_open_to_others(&self.root).map_err(DurableError::io("read", &self.root))? {
            return Ok(());
        }
        let names = disk.list(&self.root).map_err(DurableError::io("read", &self.root))?;
        if !ours && !names.is_empty() {
            return Err(DurableError::ForeignFolder { path: self.root.clone() });
        }
        disk.close_to_others(&self.root).map_err(DurableError::io("close to others", &self.root))
    }
}
