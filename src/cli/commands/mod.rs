//! One module per command; this one chooses.

mod apply;
mod ask;
mod console;
mod events;
mod exec;
mod explain;
mod fmt;
mod init;
mod local;
mod output;
mod plan;
mod show;
mod spec;
mod state;
mod status;
mod version;

use std::path::Path;
use std::sync::Arc;

use cloudtik::Failure;
use cloudtik::model::Diagnostic;

use super::arguments::{Arguments, Command, Given, LocalAction};
use super::environment::Environment;
use super::printer::Printer;
use super::progress::Stream;
use super::values::reason;
use super::{Exit, diagnostics};

/// What every command is given.
pub(crate) struct Context<'a> {
    /// What the environment says.
    pub(crate) environment: &'a Environment,
    /// The way out.
    pub(crate) printer: &'a Arc<Printer>,
    /// Values of variables, in the order given.
    pub(crate) given: &'a [Given],
}

/// Runs a command, and says how it ended.
pub(crate) fn run(arguments: &Arguments, environment: &Environment, printer: &Arc<Printer>) -> Exit {
    let context = Context { environment, printer, given: &arguments.given };
    match enter(arguments) {
        Ok(()) => choose(&arguments.command, &context).unwrap_or_else(|failure| diagnostics::fail(&failure, printer)),
        Err(failure) if matches!(arguments.command, Command::Apply { json: true, .. } | Command::Destroy { json: true, .. }) => {
            Stream::start(printer).failure(&failure)
        }
        Err(failure) => diagnostics::fail(&failure, printer),
    }
}

fn choose(command: &Command, context: &Context<'_>) -> Result<Exit, Failure> {
    match command {
        Command::Init { from, provider } => init::run(context, from.as_deref(), provider),
        Command::Validate { json, provider } => spec::validate(context, *json, provider),
        Command::Fmt { targets, check, diff, recursive, write, list } => {
            let wants = fmt::Wants { check: *check, diff: *diff, recursive: *recursive, write: *write, list: *list };
            fmt::run(context, targets, wants)
        }
        Command::Console { provider } => console::run(context, provider),
        Command::Graph { format, provider } => spec::graph(context, *format, provider),
        Command::Compile { emit, workspace, out, provider } => {
            let wants = spec::Compile { emit: *emit, workspace: workspace.as_ref(), out: out.as_deref() };
            spec::compile(context, &wants, provider)
        }
        Command::Plan { out, destroy, refresh_only, offline, detailed_exitcode, json, report, explain, compare, delete_data, plan } => {
            let wants = plan::Wants {
                out: out.as_deref(),
                detailed_exitcode: *detailed_exitcode,
                json: *json,
                report: report.as_deref(),
                explain: explain.as_ref(),
                unset_are_unknown: compare.unset_are_unknown(),
            };
            let mut options = super::project::plan_options(plan)?;
            (options.destroy, options.offline, options.delete_data) = (*destroy, *offline, delete_data.to_options());
            options.refresh_only = *refresh_only;
            compare.fill(&mut options);
            plan::run(context, &wants, &options, plan)
        }
        Command::Apply { file, auto_approve, destroy, refresh_only, no_wait, json, delete_data, plan } => {
            let mut options = super::project::plan_options(plan)?;
            (options.destroy, options.delete_data, options.no_wait) = (*destroy, delete_data.to_options(), *no_wait);
            options.refresh_only = *refresh_only;
            if *json {
                return apply::tell(context, file.as_deref(), &options, plan);
            }
            apply::run(context, file.as_deref(), *auto_approve, &options, plan)
        }
        Command::Destroy { auto_approve, json, delete_data, plan } => {
            let mut options = super::project::plan_options(plan)?;
            (options.destroy, options.delete_data) = (true, delete_data.to_options());
            if *json {
                return apply::tell(context, None, &options, plan);
            }
            apply::run(context, None, *auto_approve, &options, plan)
        }
        Command::Show { spec: Some(address), .. } => spec::show(context, address),
        Command::Show { file, json, .. } => show::run(context, file.as_deref(), *json),
        Command::State { action } => state::run(context, action),
        Command::Output { name, json, raw, .. } => output::run(context, name.as_deref(), *json, *raw),
        Command::Status { cluster, json } => status::run(context, cluster.as_deref(), *json),
        Command::Events { cluster, after, limit, json } => events::run(context, cluster.as_deref(), *after, *limit, *json),
        Command::Exec { cluster, node, all, json, words } => {
            let request = exec::request(cluster.as_deref(), node.as_deref(), *all, words);
            exec::run(context, &request, *json)
        }
        Command::Local { action: LocalAction::List, json, .. } => local::list(context, *json),
        Command::Local { action: LocalAction::Purge, ids, all, auto_approve, json } => {
            local::purge(context, ids, *all, *auto_approve, *json)
        }
        Command::Local { action: LocalAction::Forget, ids, .. } => local::forget(context, ids),
        Command::Explain { code } => explain::run(context, code),
        Command::Version { json } => Ok(version::run(context, *json)),
    }
}

/// Goes into the folder that `-C` names, so that every path of the command line is below it, as with Terraform.
fn enter(arguments: &Arguments) -> Result<(), Failure> {
    let Some(folder) = &arguments.chdir else { return Ok(()) };
    let wrong = |doing: &str, error: &std::io::Error| {
        Failure::plain(Diagnostic::error("folder", format!("cannot {doing} the folder `{}`: {}", folder.display(), reason(error))))
    };
    if matches!(arguments.command, Command::Init { .. }) {
        std::fs::create_dir_all(folder).map_err(|error| wrong("make", &error))?;
    }
    std::env::set_current_dir(folder).map_err(|error| wrong("go into", &error))
}

/// An error that is about a file that the command line names.
fn file_error(doing: &str, file: &Path, error: &std::io::Error) -> Failure {
    Failure::plain(Diagnostic::error("file", format!("cannot {doing} `{}`: {}", file.display(), reason(error))))
}
