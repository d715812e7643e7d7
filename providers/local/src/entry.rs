//! What the binary's hidden subcommands call.

use std::ffi::OsString;

use thiserror::Error;

use crate::launch::{self, LaunchError};
use crate::options::{DaemonCommand, LocalCloudOptions, OptionsError};

/// Why the daemon or its helper ended with an error.
#[derive(Debug, Error)]
pub enum EntryError {
    /// The command line cannot be used.
    #[error("the local cloud cannot be started")]
    Options(#[from] OptionsError),
    /// The daemon ended with an error.
    #[error("the local cloud ended: {message}")]
    Daemon {
        /// What went wrong, with its causes.
        message: String,
    },
    /// The helper ended with an error, which it also reported to the daemon.
    #[error("a node could not be launched: {message}")]
    Launch {
        /// What went wrong.
        message: String,
    },
}

/// Runs what stands behind `cloudtik local-cloud`: the daemon, or with `launch` first the helper that starts a node.
///
/// Must be called before the process starts a thread or a runtime. `arguments` are those after `local-cloud`, and `command` is how this
/// program is started as the local cloud, usually its own path and `local-cloud`.
///
/// # Errors
/// When the arguments are wrong or the daemon or helper fails.
pub fn local_cloud_main(arguments: &[OsString], command: DaemonCommand) -> Result<(), EntryError> {
    match arguments.split_first() {
        Some((first, rest)) if first == "launch" => {
            let rest: Vec<String> = rest.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
            launch_main(&rest)
        }
        _ => daemon_main(LocalCloudOptions::from_arguments(arguments, command)?),
    }
}

/// Runs the daemon until its last resource is gone. When another daemon has the state folder it returns at once: that one serves.
///
/// # Errors
/// When the inventory cannot be read, the socket cannot be made, or a folder cannot be written.
pub fn daemon_main(options: LocalCloudOptions) -> Result<(), EntryError> {
    options.check()?;
    crate::daemon::run(options).map_err(|error| EntryError::Daemon { message: with_causes(&error) })
}

/// Runs the helper that starts a node: `--file FILE`, or `--probe FORM FOLDER`.
///
/// # Errors
/// When the node cannot be started; it was reported on the standard output too.
pub fn launch_main(arguments: &[String]) -> Result<(), EntryError> {
    launch::run(arguments).map_err(|error: LaunchError| EntryError::Launch { message: error.to_string() })
}

/// An error and what lies below it, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
