//! The linter of templates that AWS itself keeps, which is installed with the API server.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::moto::{moto_environment, there_or_say};

/// What the command `cfn-lint` does; the command itself names a Python that may have moved.
const START: &str = "import sys; from cfnlint.runner import main; sys.exit(main())";

/// `cfn-lint`
#[derive(Debug)]
pub struct Linter {
    python: PathBuf,
}

/// What is as it is meant to be. W1011: a password comes by a parameter, since CloudFormation does not see a change of what a reference leads to.
/// E3691, W3691: RDS takes a version that leaves the minor one open, and the linter's list of versions is of some day.
const MEANT: &str = "W1011,E3691,W3691";

impl Linter {
    /// Installs it below the folder, or says loudly that a test does not run.
    ///
    /// # Panics
    ///
    /// Where `CI` is `true`: there it must run.
    #[must_use]
    pub fn install_or_say(folder: &Path) -> Option<Self> {
        let python = moto_environment(folder).map(|python| Self { python });
        there_or_say(python, "no linter of templates")
    }

    /// What it says of templates, one line each; empty: nothing.
    ///
    /// # Errors
    ///
    /// When it cannot be run.
    pub fn complaints(&self, templates: &[PathBuf]) -> io::Result<String> {
        let output = Command::new(&self.python)
            .args(["-c", START, "--ignore-checks", MEANT, "--format", "parseable", "--"])
            .args(templates)
            .stdin(Stdio::null())
            .output()?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        match (said.is_empty(), output.status.success()) {
            (true, false) => Err(io::Error::other(format!("cfn-lint ended with {}", output.status))),
            _ => Ok(said),
        }
    }
}
