//! Large specs of values: how long a plan of a hundred thousand takes, whether it is linear all the way, and how much memory is held at
//! once. A child's memory is told by the system as the most that any of them had so far, so what needs more is run later.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};

use crate::program::{BenchError, Program, absolute, build, temporary};
use crate::table::{Row, Target, median, render};
use crate::{machine, say, spec};

/// How much is measured.
struct Sizes {
    /// Values of the large plan.
    many: usize,
    /// Values in ten layers.
    layered: usize,
    /// Rounds: an odd number, so that there is a middle one.
    rounds: usize,
}

const MEASURED: Sizes = Sizes { many: 100_000, layered: 10_000, rounds: 3 };
const SMOKE: Sizes = Sizes { many: 400, layered: 100, rounds: 1 };

/// How long the large plan may take.
const PLAN_BELOW: Duration = Duration::from_secs(3);
/// Twice the values: twice the time and some room for caches that are full.
const TWICE_TIMES_MAX: f64 = 2.5;
/// What the plan of the layers may hold at its most.
const LAYERS_MB_MAX: i64 = 150;
/// How much more a plan may hold that is printed as JSON: it is written piece by piece.
const JSON_MB_MAX: i64 = 16;

/// The exit code of a plan that would change something.
const CHANGES: i32 = 2;

/// Measures, prints the table, and says whether every target was met. In a smoke run nothing is held.
pub(crate) fn run(smoke: bool, binary: Option<PathBuf>) -> Result<bool, BenchError> {
    let sizes = if smoke { &SMOKE } else { &MEASURED };
    let binary = match binary {
        Some(binary) => absolute(binary)?,
        // What a build holds would count too: what is measured is run by a process that has not built.
        None => return measured_apart(&build(!smoke, &[])?, smoke),
    };
    let folder = temporary()?;
    let before = machine::describe();
    let program = |name: &str, text: &str| Program::new("cloudtik", &binary, &folder.path().join(name), "main.hcl", text);
    let timed = |program: &Program, more: &[&str]| -> Result<Duration, BenchError> {
        let command = [&["plan", "-input=false", "-no-color", "-detailed-exitcode"], more].concat();
        let times = (0..sizes.rounds).map(|_| program.time(&command, CHANGES));
        Ok(median(times.collect::<Result<_, _>>()?))
    };
    let layers = timed(&program("layers", &spec::layers("value", sizes.layered))?, &[])?;
    let of_layers = most_held()?;
    let mut rows = Vec::new();
    let mut smaller: Option<(usize, Duration)> = None;
    let mut of_plan = of_layers;
    for parts in [8, 4, 2, 1] {
        let count = sizes.many / parts;
        say(&format!("{count} values\n"));
        let values = program(&format!("values-{count}"), &spec::blocks("value", count))?;
        let took = timed(&values, &[])?;
        let twice = smaller.replace((count, took)).map(|(count, took)| (format!("{count} values"), took));
        rows.extend(twice.map(|other| row(count, took, Some(other), Target::AtMostTimes(TWICE_TIMES_MAX))));
        if parts == 1 {
            rows.push(row(count, took, None, Target::Below(PLAN_BELOW)));
            of_plan = most_held()?;
            timed(&values, &["-json"])?;
        }
    }
    let of_json = most_held()?;
    let held = [
        (format!("MB at most, plan of {} values in ten layers ({:.2} s)", sizes.layered, layers.as_secs_f64()), of_layers, LAYERS_MB_MAX),
        (format!("MB more, plan of {} values as JSON than as text ({of_plan} MB)", sizes.many), of_json - of_plan, JSON_MB_MAX),
    ];
    let mut text = format!("{} rounds; {before} before and {} after\n\n{}\n", sizes.rounds, machine::load(), render(&rows, !smoke));
    for (what, megabytes, most) in &held {
        let verdict = if smoke {
            "not held"
        } else if megabytes < most {
            "met"
        } else {
            "MISSED"
        };
        text.push_str(&format!("{megabytes} {what}: below {most}: {verdict}\n"));
    }
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(BenchError::Output)?;
    Ok(smoke || rows.iter().all(|row| row.is_met() != Some(false)) && held.iter().all(|(_, megabytes, most)| megabytes < most))
}

fn measured_apart(binary: &Path, smoke: bool) -> Result<bool, BenchError> {
    let start = |source| BenchError::Start { program: "the bench itself".to_owned(), source };
    let mut command = Command::new(std::env::current_exe().map_err(start)?);
    command.args(["values", "--binary"]).arg(binary).args(smoke.then_some("--smoke"));
    Ok(command.status().map_err(start)?.success())
}

fn row(count: usize, ours: Duration, other: Option<(String, Duration)>, target: Target) -> Row {
    Row { what: format!("plan, {count} values"), ours, other, target }
}

/// The most memory that any program that was run so far held at once, in megabytes.
fn most_held() -> Result<i64, BenchError> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|error| BenchError::Memory(error.into()))?;
    Ok(usage.max_rss() * 1024 / 1_000_000)
}
