//! The subcommands that the program calls itself with: the local cloud's daemon, and what runs on a node. They are looked at before
//! anything else, because some of them must run before the process has a second thread.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;

use cloudtik_local::{DaemonCommand, local_cloud_main};

/// What a hidden subcommand ended with.
const DONE: i32 = 0;
const FAILED: i32 = 1;

/// The arguments with which this program becomes the local cloud.
pub const LOCAL_CLOUD: &str = "local-cloud";

/// The first argument of what runs on nodes.
pub const NODE: &str = "node";

/// Runs a hidden subcommand, if the arguments (the program's name first) are one. Returns its exit code.
///
/// What goes wrong is written to the error stream: that of a daemon is its log, that of a step runner goes back over SSH.
#[must_use]
pub fn run(arguments: &[OsString]) -> Option<i32> {
    let (first, rest) = arguments.get(1..)?.split_first()?;
    let result = match first.to_str()? {
        LOCAL_CLOUD => local_cloud(rest),
        NODE => node(rest)?,
        _ => return None,
    };
    Some(match result {
        Ok(()) => DONE,
        Err(message) => {
            // Nobody is left to tell when this fails.
            drop(writeln!(std::io::stderr(), "cloudtik: {message}"));
            FAILED
        }
    })
}

fn local_cloud(arguments: &[OsString]) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| format!("the path of this program is not known: {error}"))?;
    let command = DaemonCommand { program, arguments: vec![LOCAL_CLOUD.into()] };
    local_cloud_main(arguments, command).map_err(|error| with_causes(&error))
}

/// `node --boot FILE`, `node run-step [--root FOLDER]`, `node status [--root FOLDER]`.
fn node(arguments: &[OsString]) -> Option<Result<(), String>> {
    let (first, rest) = arguments.split_first()?;
    let result = match (first.to_str()?, rest) {
        ("--boot", [file]) => cloudtik_node::node_main(&PathBuf::from(file)),
        ("run-step", rest) => on_node(rest, cloudtik_node::run_step_main),
        ("status", rest) => on_node(rest, cloudtik_node::status_main),
        _ => return None,
    };
    Some(result.map_err(|error| with_causes(&error)))
}

fn on_node(
    arguments: &[OsString],
    work: fn(&std::path::Path) -> Result<(), cloudtik_node::NodeError>,
) -> Result<(), cloudtik_node::NodeError> {
    let given = match arguments {
        [option, folder] if option == "--root" => Some(PathBuf::from(folder)),
        _ => None,
    };
    work(&cloudtik_node::node_root(given)?)
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
