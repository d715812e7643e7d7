//! A workspace with a public head on AWS: against the server itself, in turn with the predecessor; and with the times that AWS takes, against the
//! least that they allow.

use std::io;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cloudtik_aws_testing::{Config, Latency, Moto, Predecessor, Proxy, REGION};
use serde_json::Value as Json;

use crate::critical_path::{self, Chain};
use crate::program::{BenchError, Program, STATE, absolute, build, temporary};
use crate::table::{Row, Target, median, render};
use crate::{machine, say};

/// What the predecessor makes too, and what we add to it.
const SPEC: &str = r#"provider "aws" {}

workspace "w" {
  firewall {
    ssh_from = ["203.0.113.0/24"]
  }
  storage "default" {
    on_destroy = "delete"
  }
}
"#;

/// What is measured at the server itself, the command, and its exit code.
const COMMANDS: [(&str, &[&str], i32); 3] = [
    ("create", &["apply", "-auto-approve"], 0),
    ("look", &["plan", "-detailed-exitcode"], 0),
    ("delete", &["destroy", "-auto-approve", "--delete-data=all"], 0),
];
/// The same of the predecessor, in the same order.
const OF_PREDECESSOR: [(&str, &[&str]); 3] = [("create", &["-y"]), ("status", &[]), ("delete", &["-y", "--delete-managed-storage"])];

/// At the server itself a workspace is made in less than this.
const CREATE_BELOW: Duration = Duration::from_secs(3);
/// With the times that AWS takes it takes at most so many times as long as its critical path.
const OF_CRITICAL_PATH: f64 = 1.1;

/// Rounds that are measured: an odd number, so that there is a middle one.
const ROUNDS: usize = 5;

/// Measures, prints the table, and says whether every target was met. In a smoke run no time is held, and there is no predecessor.
pub(crate) fn run(smoke: bool, binary: Option<PathBuf>) -> Result<bool, BenchError> {
    let binary = match binary {
        Some(binary) => absolute(binary)?,
        None => build(!smoke, &["aws"])?,
    };
    let folder = temporary()?;
    let rounds = if smoke { 1 } else { ROUNDS };
    let installed = installed().map_err(server)?;
    let moto = Moto::start(&installed).map_err(server)?;
    let before = machine::describe();
    let mut rows = bare(&moto, &installed, &binary, folder.path(), rounds, smoke)?;
    let (row, chain) = as_aws(&moto, &binary, folder.path(), rounds, smoke)?;
    rows.push(row);
    let head = format!("a workspace with a public head; median of {rounds}; {before} before and {} after\n", machine::load());
    let path = format!("its critical path: {}\n\n", chain.addresses.join(", "));
    let table = format!("{head}{path}{}", render(&rows, !smoke));
    io::stdout().lock().write_all(table.as_bytes()).map_err(BenchError::Output)?;
    Ok(smoke || rows.iter().all(|row| row.is_met() != Some(false)))
}

/// Where the server and the predecessor are installed: beside the tests' own, in the target folder that this runs from.
fn installed() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).ok_or_else(|| io::Error::other("this program lies in no target folder"))?;
    Ok(target.join("tmp"))
}

fn server(source: io::Error) -> BenchError {
    BenchError::Server { source }
}

fn ours(binary: &Path, folder: &Path, endpoint: &str) -> Result<Program, BenchError> {
    let program = Program::new("cloudtik", binary, folder, "main.hcl", SPEC)?;
    Ok(program.with(&[
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("NO_PROXY", "127.0.0.1"),
    ]))
}

/// Create, look and delete at the server itself, of us and of the predecessor, in turn.
fn bare(moto: &Moto, installed: &Path, binary: &Path, folder: &Path, rounds: usize, smoke: bool) -> Result<Vec<Row>, BenchError> {
    let endpoint = format!("http://{}", moto.address());
    let ours = ours(binary, &folder.join("bare"), &endpoint)?;
    let predecessor = match smoke {
        true => None,
        false => Some(Predecessor::new(installed, &folder.join("predecessor"), &endpoint).map_err(server)?),
    };
    // The server loads what it needs at the first call of each service.
    life(&ours)?;
    let (mut of_us, mut of_predecessor) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        say(&format!("at the server itself: round {round} of {rounds}\n"));
        of_us.push(life(&ours)?);
        if let Some(predecessor) = &predecessor {
            of_predecessor.push(life_of_predecessor(predecessor)?);
        }
    }
    let at = |lives: &[[Duration; 3]], i: usize| median(lives.iter().filter_map(|life| life.get(i).copied()).collect());
    let rows = COMMANDS.iter().enumerate().map(|(i, (what, ..))| Row {
        what: format!("{what}, at the server itself"),
        ours: at(&of_us, i),
        other: predecessor.as_ref().map(|_| ("predecessor".to_owned(), at(&of_predecessor, i))),
        target: if i == 0 { Target::Below(CREATE_BELOW) } else { Target::AtMostTimes(1.0) },
    });
    Ok(rows.collect())
}

fn life(program: &Program) -> Result<[Duration; 3], BenchError> {
    let [create, look, delete] = COMMANDS.map(|(_, arguments, expected)| program.time(arguments, expected));
    Ok([create?, look?, delete?])
}

fn life_of_predecessor(predecessor: &Predecessor) -> Result<[Duration; 3], BenchError> {
    let time = |(command, arguments): (&str, &[&str])| {
        let began = Instant::now();
        predecessor.workspace(command, arguments, "theirs").map_err(server)?;
        Ok(began.elapsed())
    };
    let [create, status, delete] = OF_PREDECESSOR.map(time);
    Ok([create?, status?, delete?])
}

/// A create with the times that AWS takes: each call the middle of its range, so that the path is the same in each round.
fn as_aws(moto: &Moto, binary: &Path, folder: &Path, rounds: usize, smoke: bool) -> Result<(Row, Chain), BenchError> {
    let steady = Latency { scale: 1.0, steady: true, ..Latency::default() };
    let config = if smoke { Config::quick() } else { Config { latency: steady, ..Config::as_aws() } };
    let proxy = Proxy::listen(([127, 0, 0, 1], 0).into(), moto.address(), config.clone()).map_err(server)?;
    let ours = ours(binary, &folder.join("as-aws"), &proxy.url())?;
    let ([create, _, delete], mut of_us, mut chain) = (COMMANDS, Vec::new(), None);
    for round in 1..=rounds {
        say(&format!("as AWS: round {round} of {rounds}\n"));
        proxy.reset();
        of_us.push(ours.time(create.1, create.2)?);
        let state: Json = serde_json::from_slice(&ours.read(STATE)?).map_err(|error| BenchError::Path(error.to_string()))?;
        chain = Some(critical_path::of(&state, &config, &proxy.requests()).map_err(BenchError::Path)?);
        // How it goes is not measured, and need not take its time.
        proxy.configure(|config| *config = Config::quick());
        ours.time(delete.1, delete.2)?;
        proxy.configure(|now| now.clone_from(&config));
    }
    let chain = chain.ok_or_else(|| BenchError::Path("there was no round".to_owned()))?;
    let row = Row {
        what: "create, with the times of AWS".to_owned(),
        ours: median(of_us),
        other: Some(("critical path".to_owned(), chain.takes)),
        target: Target::AtMostTimes(OF_CRITICAL_PATH),
    };
    Ok((row, chain))
}
