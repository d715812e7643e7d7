//! What a plan is compared with, and what stands for what is not known: flags of `plan`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use cloudtik::{Comparison, PlanOptions};

use super::usage::{Answer, wrong_with_help};

/// What a plan is compared with.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct CompareFlags {
    /// Compare with another revision of the spec instead of what exists: a folder, or a branch, tag or commit of the repository
    #[arg(long, value_name = "DIR|REF", conflicts_with_all = ["state", "destroy", "which"])]
    base: Option<String>,
    /// Compare with the state in this file
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Take what `data` blocks find from this JSON file
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// What variables without a value are: `unknown`; an error without this flag
    #[arg(long, value_name = "WHAT", hide_possible_values = true)]
    unset_vars: Option<UnsetVars>,
}

/// What variables without a value are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum UnsetVars {
    /// Not known, of their type.
    Unknown,
}

impl CompareFlags {
    /// Whether variables without a value are not known.
    pub(crate) const fn unset_are_unknown(&self) -> bool {
        self.unset_vars.is_some()
    }

    /// As the facade takes it.
    pub(crate) fn fill(&self, options: &mut PlanOptions) {
        options.data.clone_from(&self.data);
        options.compared_with = match (&self.base, &self.state) {
            (Some(base), _) => Comparison::Base(base.clone()),
            (_, Some(file)) => Comparison::StateFile(file.clone()),
            _ => Comparison::Existing,
        };
    }

    /// What the syntax alone does not hold: a plan of what somebody does not know cannot be applied.
    pub(crate) fn check(&self, offline: bool) -> Result<(), Answer> {
        if self.unset_are_unknown() && !offline && self.base.is_none() {
            let help = "add `--offline` or `--base`: such a plan shows what a spec does, and is not applied";
            return Err(wrong_with_help("with `--unset-vars=unknown` a plan is not compared with what exists", help));
        }
        Ok(())
    }
}
