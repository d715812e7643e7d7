//! The subcommands that the program calls itself with: the local cloud's daemon, what runs on a node, and what runs on a head. They are
//! looked at before anything else, because some of them must run before the process has a second thread.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;

use cloudtik_controller::service::ServiceOptions;
use cloudtik_controller_client::{controller_call_main, controller_node_root};
use cloudtik_local::{DaemonCommand, local_cloud_main};

/// What a hidden subcommand ended with.
const DONE: i32 = 0;
const FAILED: i32 = 1;

/// The arguments with which this program becomes the local cloud.
pub const LOCAL_CLOUD: &str = "local-cloud";

/// The first argument of what runs on nodes.
pub const NODE: &str = "node";

/// The first argument of what runs on heads.
pub const CONTROLLER: &str = "controller";

/// What a hidden subcommand could not do: its exit code, and a sentence.
struct Wrong {
    code: i32,
    message: String,
}

impl From<String> for Wrong {
    fn from(message: String) -> Self {
        Self { code: FAILED, message }
    }
}

/// Runs a hidden subcommand, if the arguments (the program's name first) are one. Returns its exit code.
///
/// What goes wrong is written to the error stream: that of a daemon is its log, that of a step runner goes back over SSH.
#[must_use]
pub fn run(arguments: &[OsString]) -> Option<i32> {
    let (first, rest) = arguments.get(1..)?.split_first()?;
    let result = match first.to_str()? {
        LOCAL_CLOUD => local_cloud(rest).map_err(Wrong::from),
        NODE => node(rest)?.map_err(Wrong::from),
        CONTROLLER => controller(rest)?,
        _ => return None,
    };
    Some(match result {
        Ok(()) => DONE,
        Err(Wrong { code, message }) => {
            // Nobody is left to tell when this fails.
            drop(writeln!(std::io::stderr(), "cloudtik: {message}"));
            code
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

/// `controller run --root FOLDER`, `controller call [--root FOLDER]`: the folder of the first is where the controller keeps its state, that of
/// the second is the node's.
fn controller(arguments: &[OsString]) -> Option<Result<(), Wrong>> {
    let (first, rest) = arguments.split_first()?;
    let folder = match rest {
        [] => None,
        [option, folder] if option == "--root" => Some(PathBuf::from(folder)),
        _ => return None,
    };
    match (first.to_str()?, folder) {
        ("run", Some(folder)) => Some(controller_main(folder).map_err(Wrong::from)),
        ("call", folder) => {
            let called = controller_node_root(folder).and_then(|root| controller_call_main(&root));
            Some(called.map_err(|error| Wrong { code: i32::from(error.exit_code()), message: with_causes(&error) }))
        }
        _ => None,
    }
}

/// What runs as the controller of a head, with the folder that it keeps its state in.
fn controller_main(root: PathBuf) -> Result<(), String> {
    let of_node = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set, so this is no process of a node"));
    let options = ServiceOptions {
        root,
        node_root: PathBuf::from(of_node(cloudtik_node::NODE_ROOT_VARIABLE)?),
        instance: of_node(cloudtik_node::NODE_VARIABLE)?,
        providers: crate::providers::providers(),
        tool_version: crate::VERSION.to_owned(),
    };
    cloudtik_controller::service::run(options).map_err(|error| with_causes(&error))
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
