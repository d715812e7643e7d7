//! End-to-end tests of the node: a real agent process in a temporary folder, spoken to over its socket and over SSH.
//!
//! The test program is also the program under test: called as `... node <command>`, it is the node's binary, and called as
//! `... test-daemon`, a small server for the supervisor.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is all test code, and the test program prints"
)]

mod daemons;
mod files;
mod lifecycle;
mod scripts;
mod ssh;
mod support;

use std::path::PathBuf;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match words.as_slice() {
        ["node", "--boot", boot] => exit(cloudtik_node::node_main(&PathBuf::from(boot))),
        ["node", "run-step"] => exit(cloudtik_node::node_root(None).and_then(|root| cloudtik_node::run_step_main(&root))),
        ["node", "status"] => exit(cloudtik_node::node_root(None).and_then(|root| cloudtik_node::status_main(&root))),
        ["test-daemon", address] => support::test_daemon(address),
        _ => {
            let mut arguments = Arguments::from_args();
            // The tests mostly wait, so more of them than there are cores go on at once.
            arguments.test_threads = arguments.test_threads.or(Some(8));
            libtest_mimic::run(&arguments, trials()).exit_code()
        }
    }
}

fn exit(result: Result<(), cloudtik_node::NodeError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut cause: Option<&dyn std::error::Error> = Some(&error);
            while let Some(error) = cause {
                eprintln!("{error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn trials() -> Vec<Trial> {
    let groups = [files::trials(), scripts::trials(), daemons::trials(), lifecycle::trials(), ssh::trials()];
    groups.into_iter().flatten().collect()
}
