//! What a caller says before anything happens.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use cloudtik_compiler::VariableInputs;
use cloudtik_model::Address;
use cloudtik_planner::Selection;

use crate::Comparison;

/// A project and how it is read.
#[derive(Clone, Debug)]
pub struct ProjectOptions {
    /// The folder that holds the `*.hcl` files.
    pub folder: PathBuf,
    /// The folder of state, journal and keys: relative ones are below `folder`.
    pub data_dir: PathBuf,
    /// Values of variables from outside.
    pub variables: VariableInputs,
    /// Replaces every provider: `--provider sim`.
    pub provider: Option<String>,
    /// How long to wait for a lock that somebody else holds.
    pub lock_timeout: Duration,
    /// Whether an apply or a destroy holds the lock. A plan reads a snapshot and never takes it; without the lock nothing is applied.
    pub lock: bool,
}

impl ProjectOptions {
    /// The name of the data folder when nobody says another.
    pub const DATA_DIR: &'static str = ".cloudtik";

    /// The project in a folder, with nothing said beside it.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            data_dir: Self::DATA_DIR.into(),
            variables: VariableInputs::default(),
            provider: None,
            lock_timeout: Duration::ZERO,
            lock: true,
        }
    }
}

/// What a plan is to be made of.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// Destroy everything.
    pub destroy: bool,
    /// Write what is found into the state, and change nothing in the world.
    pub refresh_only: bool,
    /// Ask nobody: facts that are not pinned are unknown, nothing is compared with the world.
    pub offline: bool,
    /// Look at the objects of the state before comparing.
    pub refresh: bool,
    /// Objects to make anew.
    pub replace: BTreeSet<Address>,
    /// What the plan is about.
    pub selection: Selection,
    /// Objects whose data is deleted by a destroy although they say `on_destroy = "keep"`; an address, or all.
    pub delete_data: DeleteData,
    /// Operations that run at once.
    pub parallelism: Option<usize>,
    /// Do not wait for workers: an apply ends when the heads have the new configuration.
    pub no_wait: bool,
    /// Take workspaces away, or make parts of them anew, although clusters of other projects are in them.
    pub allow_disruption: bool,
    /// Ask the providers what of the plan would not go well, before anything is made.
    pub checks: bool,
    /// What a plan is compared with. An apply is always compared with what exists.
    pub compared_with: Comparison,
    /// A file with what was recorded of look-ups, by the address of their `data` block.
    pub data: Option<PathBuf>,
}

impl PlanOptions {
    /// Whether a plan looks at what exists.
    pub(crate) const fn looks(&self) -> bool {
        !self.offline && !matches!(self.compared_with, Comparison::Base(_))
    }
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            destroy: false,
            refresh_only: false,
            offline: false,
            refresh: true,
            replace: BTreeSet::new(),
            selection: Selection::default(),
            delete_data: DeleteData::None,
            parallelism: None,
            no_wait: false,
            allow_disruption: false,
            checks: true,
            compared_with: Comparison::Existing,
            data: None,
        }
    }
}

/// Which kept data a destroy deletes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeleteData {
    /// None.
    #[default]
    None,
    /// All.
    All,
    /// That of these addresses and what stands below them.
    Of(BTreeSet<Address>),
}
