//! Terraform (`terraform_data`) and us (`resource "value"`) on the same resources, in turn, so that a busy minute hits both.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::program::{BenchError, Program, STATE, absolute, build, on_path, temporary};
use crate::table::{Row, Target, median, render};
use crate::{machine, say, spec};

/// How much is measured.
struct Sizes {
    /// Resources that both programs are given.
    blocks: usize,
    /// Resources of the larger plan that must not take out of proportion longer than one of half of them.
    many: usize,
    /// Rounds: an odd number, so that there is a middle one.
    rounds: usize,
    /// How often we go through a round: what takes milliseconds needs more of them than what takes a minute. Odd too.
    ours_per_round: usize,
    /// Runs of `version`, which takes so little that a few of them say nothing.
    versions: usize,
}

const MEASURED: Sizes = Sizes { blocks: 1_000, many: 20_000, rounds: 5, ours_per_round: 3, versions: 20 };
const SMOKE: Sizes = Sizes { blocks: 20, many: 200, rounds: 1, ours_per_round: 1, versions: 3 };

/// What a command is called in the table, and how many times faster it must be.
const AGAINST_TERRAFORM: [(&str, f64); 4] = [("plan", 10.0), ("apply", 40.0), ("plan without changes", 10.0), ("destroy", 40.0)];
/// A block with `for_each` saves parsing and must not cost elsewhere what it saves.
const FOR_EACH_TIMES_MAX: f64 = 1.2;
/// Twice the resources: twice the time and some room for caches that are full.
const TWICE_TIMES_MAX: f64 = 2.5;
/// What a person does not notice.
const VERSION_BELOW: Duration = Duration::from_millis(10);

/// The exit code of a plan that would change something.
const CHANGES: i32 = 2;

/// The times of one life of a project, as in [`AGAINST_TERRAFORM`].
type Life = [Duration; 4];

/// Measures, prints the table, and says whether every target was met. In a smoke run no time is held.
pub(crate) fn run(smoke: bool, binary: Option<PathBuf>) -> Result<bool, BenchError> {
    let sizes = if smoke { &SMOKE } else { &MEASURED };
    let binary = match binary {
        Some(binary) => absolute(binary)?,
        None => build(!smoke, &[])?,
    };
    let folder = temporary()?;
    let before = machine::describe();
    let terraform = terraform(folder.path(), sizes)?;
    let ours = |name: &str, text: &str| Program::new("cloudtik", &binary, &folder.path().join(name), "main.hcl", text);
    let blocks = ours("blocks", &spec::blocks("value", sizes.blocks))?;
    let each = ours("each", &spec::for_each("value", sizes.blocks))?;
    let mut rows = Vec::new();
    lives(sizes, terraform.as_ref(), &blocks, &each, &mut rows)?;
    rows.push(twice(sizes, &ours)?);
    rows.push(version(sizes, &blocks)?);
    let head = head(sizes, terraform.as_ref(), &blocks, &before)?;
    let table = format!("{head}{}", render(&rows, !smoke));
    std::io::stdout().lock().write_all(table.as_bytes()).map_err(BenchError::Output)?;
    Ok(smoke || rows.iter().all(|row| row.is_met() != Some(false)))
}

/// Terraform in a project of its own, if it is there; else a loud word.
fn terraform(folder: &Path, sizes: &Sizes) -> Result<Option<Program>, BenchError> {
    let Some(path) = on_path("terraform") else {
        say(&format!(
            "{line}\nSKIPPED: there is no `terraform` on the PATH, so nothing is compared with it.\nPut Terraform 1.11 on the PATH for the whole table.\n{line}\n",
            line = "!".repeat(80)
        ));
        return Ok(None);
    };
    let program = Program::new("terraform", &path, &folder.join("terraform"), "main.tf", &spec::blocks("terraform_data", sizes.blocks))?;
    program.time(&["init", "-input=false", "-no-color"], 0)?;
    Ok(Some(program))
}

fn head(sizes: &Sizes, terraform: Option<&Program>, ours: &Program, before: &str) -> Result<String, BenchError> {
    let first_line = |text: String| text.lines().next().unwrap_or_default().to_owned();
    let ours = first_line(ours.output(&["version"])?);
    let other = terraform.map_or_else(|| Ok("no Terraform".to_owned()), |program| program.output(&["version"]).map(first_line))?;
    Ok(format!(
        "{ours}; {other}; {} resources; median of {} of theirs and {} of ours; {before} before and {} after\n\n",
        sizes.blocks,
        sizes.rounds,
        sizes.rounds * sizes.ours_per_round,
        machine::load()
    ))
}

/// Plan, apply, plan again, destroy: of Terraform, of us, and of us with one block that has `for_each`, in turn.
fn lives(sizes: &Sizes, terraform: Option<&Program>, blocks: &Program, each: &Program, rows: &mut Vec<Row>) -> Result<(), BenchError> {
    let (mut of_terraform, mut of_blocks, mut of_each) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=sizes.rounds {
        say(&format!("round {round} of {}\n", sizes.rounds));
        if let Some(terraform) = terraform {
            of_terraform.push(life(terraform, "terraform.tfstate", sizes.blocks)?);
        }
        for _ in 0..sizes.ours_per_round {
            of_blocks.push(life(blocks, STATE, sizes.blocks)?);
            of_each.push(life(each, STATE, sizes.blocks)?);
        }
    }
    let at = |lives: &[Life], i: usize| median(lives.iter().filter_map(|life| life.get(i).copied()).collect());
    for (i, (what, times)) in AGAINST_TERRAFORM.iter().enumerate() {
        rows.push(Row {
            what: format!("{what}, {} blocks", sizes.blocks),
            ours: at(&of_blocks, i),
            other: terraform.map(|_| ("Terraform".to_owned(), at(&of_terraform, i))),
            target: Target::Faster(*times),
        });
    }
    for (i, (what, _)) in AGAINST_TERRAFORM.iter().enumerate() {
        rows.push(Row {
            what: format!("{what}, for_each over {}", sizes.blocks),
            ours: at(&of_each, i),
            other: Some(("blocks".to_owned(), at(&of_blocks, i))),
            target: Target::AtMostTimes(FOR_EACH_TIMES_MAX),
        });
    }
    Ok(())
}

fn life(program: &Program, state: &str, resources: usize) -> Result<Life, BenchError> {
    let plan = ["plan", "-input=false", "-no-color", "-detailed-exitcode"];
    let planned = program.time(&plan, CHANGES)?;
    let applied = program.time(&["apply", "-input=false", "-no-color", "-auto-approve"], 0)?;
    // Terraform lists the instances of one block below it; only blocks are compared with it, so one is one.
    program.check_state(state, resources, "apply")?;
    let again = program.time(&plan, 0)?;
    let destroyed = program.time(&["destroy", "-input=false", "-no-color", "-auto-approve"], 0)?;
    program.check_state(state, 0, "destroy")?;
    Ok([planned, applied, again, destroyed])
}

/// The plan of many blocks, and of half as many.
fn twice(sizes: &Sizes, ours: &dyn Fn(&str, &str) -> Result<Program, BenchError>) -> Result<Row, BenchError> {
    let half = ours("half", &spec::blocks("value", sizes.many / 2))?;
    let whole = ours("whole", &spec::blocks("value", sizes.many))?;
    let (mut of_half, mut of_whole) = (Vec::new(), Vec::new());
    for _ in 0..sizes.rounds * sizes.ours_per_round {
        of_half.push(half.time(&["plan", "-input=false", "-no-color", "-detailed-exitcode"], CHANGES)?);
        of_whole.push(whole.time(&["plan", "-input=false", "-no-color", "-detailed-exitcode"], CHANGES)?);
    }
    Ok(Row {
        what: format!("plan, {} blocks", sizes.many),
        ours: median(of_whole),
        other: Some((format!("{} blocks", sizes.many / 2), median(of_half))),
        target: Target::AtMostTimes(TWICE_TIMES_MAX),
    })
}

fn version(sizes: &Sizes, ours: &Program) -> Result<Row, BenchError> {
    let times = (0..sizes.versions).map(|_| ours.time(&["version"], 0)).collect::<Result<Vec<_>, _>>()?;
    Ok(Row {
        what: format!("version, median of {}", sizes.versions),
        ours: median(times),
        other: None,
        target: Target::Below(VERSION_BELOW),
    })
}
