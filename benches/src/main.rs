//! What is measured, against peers, by one command each: `cargo run --release -p cloudtik-benches -- terraform`, `aws`, and `values`.
//!
//! Times are measured here and nowhere else: a test that holds a time fails on a busy machine. What can be counted (waits for the disk,
//! allocations, calls, threads) is held by the tests of this package.

mod aws;
mod critical_path;
mod machine;
mod program;
mod spec;
mod table;
mod terraform;
mod values;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use program::BenchError;

const USAGE: &str = "\
usage: cargo run --release -p cloudtik-benches -- terraform|aws|values [--smoke] [--binary FILE]

  terraform      compares with Terraform, the one on the PATH; without one it says so and measures the rest
  aws            compares with the predecessor and with the least that AWS allows, at a server that stands for AWS
  values         plans a hundred thousand values: time, memory, and whether both are linear
  --smoke        one round of a few blocks, to see that everything runs; no time is held
  --binary FILE  measures this program; without it the release build is made first
";

/// Measured, and a target was missed.
const MISSED: u8 = 1;
/// Not measured: something could not be run.
const FAILED: u8 = 2;

/// What is measured, in short or whole, of a program that is there or is built: says whether every target was met.
type Bench = fn(bool, Option<PathBuf>) -> Result<bool, BenchError>;

/// What is asked for.
#[derive(Default)]
struct Wanted {
    bench: Option<Bench>,
    smoke: bool,
    binary: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Some((bench, wanted)) = wanted(std::env::args().skip(1)).and_then(|wanted| Some((wanted.bench?, wanted))) else {
        say(USAGE);
        return ExitCode::from(FAILED);
    };
    match bench(wanted.smoke, wanted.binary) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(MISSED),
        Err(error) => {
            say(&format!("error: {}\n", with_causes(&error)));
            ExitCode::from(FAILED)
        }
    }
}

fn wanted(arguments: impl Iterator<Item = String>) -> Option<Wanted> {
    let mut wanted = Wanted::default();
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "terraform" => wanted.bench = Some(terraform::run),
            "aws" => wanted.bench = Some(aws::run),
            "values" => wanted.bench = Some(values::run),
            "--smoke" => wanted.smoke = true,
            "--binary" => wanted.binary = Some(arguments.next()?.into()),
            _ => return None,
        }
    }
    Some(wanted)
}

/// To people. When that fails nobody is left to tell.
fn say(text: &str) {
    drop(std::io::stderr().lock().write_all(text.as_bytes()));
}

fn with_causes(error: &BenchError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
