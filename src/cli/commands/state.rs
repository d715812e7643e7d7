//! `cloudtik state`: what the state has, by address, and what it shall say instead.

use std::io::Read as _;
use std::path::Path;

use cloudtik::model::{Address, Diagnostic, State, did_you_mean};
use cloudtik::{Failure, Migrated, Project, Pushed, StateEdit};

use super::super::arguments::{EditFlags, LockFlags, StateAction};
use super::super::{Exit, project};
use super::{Context, file_error, show};

/// The name of standard input.
const STANDARD_INPUT: &str = "-";

pub(crate) fn run(context: &Context<'_>, action: &StateAction) -> Result<Exit, Failure> {
    match action {
        StateAction::List { addresses, .. } => list(context, addresses),
        StateAction::Show { addresses, json, .. } => show(context, addresses, *json),
        StateAction::Mv { from, to, edit } => move_to(context, from, to, edit),
        StateAction::Rm { addresses, edit } => remove(context, addresses, edit),
        StateAction::Pull { .. } => pull(context),
        StateAction::Push { file, force, lock, .. } => push(context, file, *force, lock),
        StateAction::Migrate { lock, .. } => migrate(context, lock),
    }
}

fn move_to(context: &Context<'_>, from: &Address, to: &Address, flags: &EditFlags) -> Result<Exit, Failure> {
    let moved = open(context, &flags.lock)?.move_in_state(from, to, &edit(flags))?;
    let doing = if flags.dry_run { "Would move" } else { "Move" };
    for (before, after) in &moved {
        context.printer.data_line(&format!("{doing} \"{before}\" to \"{after}\""));
    }
    done(context, flags, &format!("Successfully moved {} object(s).", moved.len()))
}

fn remove(context: &Context<'_>, addresses: &[Address], flags: &EditFlags) -> Result<Exit, Failure> {
    let removed = open(context, &flags.lock)?.remove_from_state(addresses, &edit(flags))?;
    let doing = if flags.dry_run { "Would remove" } else { "Removed" };
    for address in &removed {
        context.printer.data_line(&format!("{doing} {address}"));
    }
    done(context, flags, &format!("Successfully removed {} resource instance(s).", removed.len()))
}

fn done(context: &Context<'_>, flags: &EditFlags, text: &str) -> Result<Exit, Failure> {
    if !flags.dry_run {
        context.printer.data_line(text);
    }
    Ok(Exit::Done)
}

fn edit(flags: &EditFlags) -> StateEdit {
    StateEdit { dry_run: flags.dry_run, backup: flags.backup.clone() }
}

fn pull(context: &Context<'_>) -> Result<Exit, Failure> {
    let bytes = project::open(context.environment, context.given, None, None)?.pull_state()?;
    let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if let Some(text) = text {
        context.printer.data_line(text.trim_end());
    }
    Ok(Exit::Done)
}

fn push(context: &Context<'_>, file: &Path, force: bool, lock: &LockFlags) -> Result<Exit, Failure> {
    let (name, read) = if file == Path::new(STANDARD_INPUT) {
        let mut bytes = Vec::new();
        (Path::new("standard input"), std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes))
    } else {
        (file, std::fs::read(file))
    };
    let bytes = read.map_err(|error| file_error("read", name, &error))?;
    let said = match open(context, lock)?.push_state(name, &bytes, force)? {
        Pushed::Written => "The state was written. What it was before lies beside it.",
        Pushed::Same => "The project's state says that already: nothing was written.",
    };
    context.printer.say_line(said);
    Ok(Exit::Done)
}

fn migrate(context: &Context<'_>, lock: &LockFlags) -> Result<Exit, Failure> {
    let said = match open(context, lock)?.migrate_state()? {
        Migrated::Moved { from, to } => format!("The state was moved from `{from}` to `{to}`."),
        Migrated::Stays(place) => format!("There is nothing to move: the state lies in `{place}`, as the spec says."),
    };
    context.printer.say_line(&said);
    Ok(Exit::Done)
}

fn open(context: &Context<'_>, lock: &LockFlags) -> Result<Project, Failure> {
    project::open(context.environment, context.given, None, Some(lock))
}

/// The addresses at or below those that are given; all of them, where none is.
fn list(context: &Context<'_>, within: &[Address]) -> Result<Exit, Failure> {
    let state = read(context)?;
    check(&state, within)?;
    let wanted = |address: &&Address| within.is_empty() || within.iter().any(|within| address.is_within(within));
    for address in state.resources.keys().filter(wanted) {
        context.printer.data_line(&address.to_string());
    }
    Ok(Exit::Done)
}

/// What exists at these addresses, and below them.
fn show(context: &Context<'_>, within: &[Address], as_json: bool) -> Result<Exit, Failure> {
    let state = read(context)?;
    check(&state, within)?;
    if as_json {
        show::json(context, Some(&state), within);
    } else {
        let wanted = |address: &Address| within.iter().any(|within| address.is_within(within));
        show::text(context, state.resources.iter().filter(|(address, _)| wanted(address)));
    }
    Ok(Exit::Done)
}

fn read(context: &Context<'_>) -> Result<State, Failure> {
    Ok(project::open(context.environment, context.given, None, None)?.state()?.unwrap_or_default())
}

/// An address at which nothing is known is a mistake, not a question that nothing answers.
fn check(state: &State, within: &[Address]) -> Result<(), Failure> {
    let Some(missing) = within.iter().find(|within| !state.resources.keys().any(|address| address.is_within(within))) else {
        return Ok(());
    };
    let known: Vec<String> = state.resources.keys().map(ToString::to_string).collect();
    let near = did_you_mean(&missing.to_string(), known.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
    let diagnostic = Diagnostic::error("unknown-address", format!("the state has nothing at `{missing}`"));
    Err(Failure::plain(diagnostic.help(near.unwrap_or_else(|| "`cloudtik state list` shows what it has".to_owned()))))
}
