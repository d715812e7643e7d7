//! The command `cloudtik`. What it can do stands in the library; this is the way in.

mod cli;

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // The daemon of the local cloud and the agent of a node are this program too. They come first: a node's first process must not pay
    // for, nor depend on, what only people need.
    if let Some(code) = cloudtik::hidden::run(&arguments) {
        return ExitCode::from(u8::try_from(code).unwrap_or(cli::Exit::Fault.code()));
    }
    ExitCode::from(cli::run(arguments).code())
}
