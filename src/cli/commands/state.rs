//! `cloudtik state`: what the state has, by address.

use cloudtik::Failure;
use cloudtik::model::{Address, Diagnostic, State, did_you_mean};

use super::super::{Exit, project};
use super::{Context, show};

/// The addresses at or below those that are given; all of them, where none is.
pub(crate) fn list(context: &Context<'_>, within: &[Address]) -> Result<Exit, Failure> {
    let state = read(context)?;
    check(&state, within)?;
    let wanted = |address: &&Address| within.is_empty() || within.iter().any(|within| address.is_within(within));
    for address in state.resources.keys().filter(wanted) {
        context.printer.data_line(&address.to_string());
    }
    Ok(Exit::Done)
}

/// What exists at these addresses, and below them.
pub(crate) fn show(context: &Context<'_>, within: &[Address], as_json: bool) -> Result<Exit, Failure> {
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
