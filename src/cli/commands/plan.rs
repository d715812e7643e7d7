//! `cloudtik plan`

use std::path::Path;

use cloudtik::model::Address;
use cloudtik::planner::{Plan, PlanJson, RenderOptions, render_failure_report, render_report, render_text};
use cloudtik::{Failure, PlanOptions};

use super::super::arguments::PlanFlags;
use super::super::printer::Printer;
use super::super::progress::View;
use super::super::values::harmless;
use super::super::{Exit, diagnostics, project};
use super::{Context, ask, file_error};

/// What is done with the plan.
pub(crate) struct Wants<'a> {
    /// Where it is saved.
    pub(crate) out: Option<&'a Path>,
    /// Whether the exit code says that there is something to change.
    pub(crate) detailed_exitcode: bool,
    /// Whether it is printed as JSON.
    pub(crate) json: bool,
    /// Where it is written as Markdown.
    pub(crate) report: Option<&'a Path>,
    /// An address whose causes are printed in its place.
    pub(crate) explain: Option<&'a Address>,
    /// Whether variables without a value are not known.
    pub(crate) unset_are_unknown: bool,
}

pub(crate) fn run(context: &Context<'_>, wants: &Wants<'_>, options: &PlanOptions, flags: &PlanFlags) -> Result<Exit, Failure> {
    let printer = context.printer;
    let project = if wants.unset_are_unknown {
        project::open_with_unknown(context.environment, context.given, flags)?
    } else {
        ask::open(context, flags)?
    };
    let view = View::start(printer, flags.verbose);
    let planned = project.plan(options, &view);
    view.finish();
    if let Some(file) = wants.report {
        // Whoever reads a pull request wants to know too why there is no plan.
        let text = match &planned {
            Ok(planned) => render_report(&planned.plan, &planned.warnings, &planned.sources),
            Err(failure) => render_failure_report(&failure.diagnostics, &failure.sources),
        };
        std::fs::write(file, text).map_err(|error| file_error("write", file, &error))?;
    }
    let planned = planned?;
    diagnostics::show(&planned.warnings, &planned.sources, printer);
    if let Some(file) = wants.out {
        planned.save(&project, file)?;
    }
    if let Some(address) = wants.explain {
        printer.data(&harmless(&project.explain(&planned, address)?));
    } else if wants.json {
        printer.json_line(&PlanJson(&planned.plan));
    } else {
        print(&planned.plan, flags.verbose, printer);
    }
    if let Some(file) = wants.out.filter(|_| !context.environment.in_automation() && !wants.json && planned.plan.can_be_applied()) {
        let file = file.display();
        printer
            .say_line(&format!("\nThe plan is saved as `{file}`. To do exactly this, run: cloudtik apply {}", quoted(&file.to_string())));
    }
    Ok(if wants.detailed_exitcode && planned.plan.has_changes() { Exit::Changes } else { Exit::Done })
}

/// Prints a plan as text.
pub(crate) fn print(plan: &Plan, verbose: bool, printer: &Printer) {
    let look = printer.data_look();
    printer.data(&render_text(plan, &RenderOptions { color: look.color, width: look.width, verbose }));
}

/// The word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "-_./".contains(c));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}
