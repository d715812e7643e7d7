//! `cloudtik apply` and `cloudtik destroy`

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use cloudtik::model::Diagnostic;
use cloudtik::planner::Plan;
use cloudtik::{Applied, Failure, FailureKind, Interrupt, Observer, PlanOptions, Prepared, Project, Silent, Summary};

use super::super::arguments::PlanFlags;
use super::super::progress::{Stream, View};
use super::super::values::{many, took};
use super::super::{Exit, diagnostics, interrupt, project};
use super::{Context, ask, output, plan};

pub(crate) fn run(
    context: &Context<'_>,
    file: Option<&Path>,
    approved: bool,
    options: &PlanOptions,
    flags: &PlanFlags,
) -> Result<Exit, Failure> {
    let printer = context.printer;
    let project = open(context, file, flags, ask::open)?;
    let view = View::start(printer, flags.verbose);
    let prepared = prepare(&project, file, options, &view);
    view.finish();
    let prepared = prepared?;
    diagnostics::show(prepared.warnings(), prepared.sources(), printer);
    let destroys = prepared.plan().destroy;
    if file.is_none() {
        plan::print(prepared.plan(), flags.verbose, printer);
        if prepared.plan().has_changes() && !approved && !approval(context, prepared.plan(), flags.input)? {
            printer.say_line(if destroys {
                "\nNothing was destroyed: only `yes` is taken for it."
            } else {
                "\nNothing was changed: only `yes` is taken for it."
            });
            return Ok(Exit::Error);
        }
    }
    if !prepared.has_changes() {
        // There may still be something to write down that is no change: a drift that matters to nothing, an edge of the graph.
        let applied = prepared.apply(Arc::new(Silent), &Interrupt::new())?;
        diagnostics::show(&applied.warnings, &applied.sources, printer);
        if !destroys {
            output::print_all(&applied.outputs, printer);
        }
        return Ok(Exit::Done);
    }
    carry_out(context, prepared, destroys, flags.verbose)
}

/// The same for tools: everything that happens is an event, and so is what goes wrong.
pub(crate) fn tell(context: &Context<'_>, file: Option<&Path>, options: &PlanOptions, flags: &PlanFlags) -> Result<Exit, Failure> {
    let stream = Arc::new(Stream::start(context.printer));
    let ended = open(context, file, flags, unasked).and_then(|project| {
        let prepared = prepare(&project, file, options, &*stream)?;
        stream.diagnostics(prepared.warnings(), prepared.sources());
        stream.plan(prepared.plan());
        let (asked, destroys, teller) = (Interrupt::new(), prepared.plan().destroy, Arc::clone(&stream));
        interrupt::watch(&asked, move |text| teller.log("warn", text)).unwrap_or_else(|error| {
            stream.log("warn", &format!("Ctrl-C cannot be taken with care ({error}): it ends this process at once"));
        });
        let applied = prepared.apply(Arc::clone(&stream) as Arc<dyn Observer>, &asked);
        stream.done(destroys);
        let Applied { outputs, warnings, sources, .. } = applied?;
        stream.diagnostics(&warnings, &sources);
        stream.outputs(&outputs);
        Ok(Exit::Done)
    });
    stream.finish();
    Ok(ended.unwrap_or_else(|failure| stream.failure(&failure)))
}

/// The project in this folder, without a question to anybody.
fn unasked(context: &Context<'_>, flags: &PlanFlags) -> Result<Project, Failure> {
    project::open(context.environment, context.given, Some(&flags.provider), Some(&flags.lock))
}

fn open(
    context: &Context<'_>,
    file: Option<&Path>,
    flags: &PlanFlags,
    of_folder: fn(&Context<'_>, &PlanFlags) -> Result<Project, Failure>,
) -> Result<Project, Failure> {
    if let Some(folder) = file.filter(|file| file.is_dir()) {
        let title = format!("`{}` is a folder, not a saved plan", folder.display());
        let help = format!("to apply the project in it, run `cloudtik -C {} apply`", folder.display());
        return Err(Failure::plain(Diagnostic::error("usage", title).help(help)));
    }
    // A saved plan has the values that it was made with.
    match file {
        Some(_) => unasked(context, flags),
        None => of_folder(context, flags),
    }
}

fn prepare<'p>(project: &'p Project, file: Option<&Path>, options: &PlanOptions, observer: &dyn Observer) -> Result<Prepared<'p>, Failure> {
    match file {
        Some(file) => project.prepare_saved(file, options, observer),
        None => project.prepare(options, observer),
    }
}

/// Carries a plan out, shows how it goes, and says what came of it.
fn carry_out(context: &Context<'_>, prepared: Prepared<'_>, destroys: bool, verbose: bool) -> Result<Exit, Failure> {
    let printer = context.printer;
    let asked = Interrupt::new();
    let view = Arc::new(View::start(printer, verbose));
    let teller = Arc::clone(&view);
    if let Err(error) = interrupt::watch(&asked, move |text| teller.say(text)) {
        view.say(&format!("warning: Ctrl-C cannot be taken with care ({error}): it ends this process at once"));
    }
    let began = Instant::now();
    let observer: Arc<dyn Observer> = Arc::clone(&view) as Arc<dyn Observer>;
    let applied = prepared.apply(observer, &asked);
    view.finish();
    let time = took(began.elapsed());
    match applied {
        Ok(Applied { summary, outputs, warnings, sources }) => {
            diagnostics::show(&warnings, &sources, printer);
            printer.data_line(&format!(
                "\n{} complete! {} in {time}.",
                if destroys { "Destroy" } else { "Apply" },
                counted(&summary, destroys)
            ));
            if !destroys {
                output::print_all(&outputs, printer);
            }
            Ok(Exit::Done)
        }
        Err(failure) => {
            let exit = diagnostics::fail(&failure, printer);
            if let Some(summary) = &failure.summary {
                printer.say_line(&unfinished(summary, failure.kind, destroys, &time));
            }
            Ok(exit)
        }
    }
}

/// `3 created, 1 changed, 0 deleted, 5 steps run`
fn counted(summary: &Summary, destroys: bool) -> String {
    let counts = &summary.counts;
    let mut parts = Vec::new();
    if !destroys {
        parts.extend([format!("{} created", counts.created), format!("{} changed", counts.updated)]);
    }
    parts.push(format!("{} deleted", counts.deleted));
    if counts.imported > 0 {
        parts.push(format!("{} imported", counts.imported));
    }
    if counts.run > 0 {
        parts.push(format!("{} run", many(counts.run, "step", "steps")));
    }
    if counts.undone > 0 {
        parts.push(format!("{} undone", many(counts.undone, "step", "steps")));
    }
    if counts.forgotten > 0 {
        parts.push(format!("{} forgotten", counts.forgotten));
    }
    parts.join(", ")
}

fn unfinished(summary: &Summary, kind: FailureKind, destroys: bool, time: &str) -> String {
    let counts = &summary.counts;
    let (what, command) = if destroys { ("Destroy", "cloudtik destroy") } else { ("Apply", "cloudtik apply") };
    let how = if kind == FailureKind::Interrupted { "interrupted" } else { "incomplete" };
    let what_next = if summary.changed { "What was done is in the state" } else { "Nothing was changed" };
    format!(
        "{what} {how}: {}, {} failed, {} not begun in {time}. {what_next}; `{command}` goes on from here.",
        counted(summary, destroys),
        counts.failed,
        counts.skipped
    )
}

/// Asks, on a terminal; only `yes` is a yes.
fn approval(context: &Context<'_>, plan: &Plan, input: bool) -> Result<bool, Failure> {
    let printer = context.printer;
    let why = if !input || !context.environment.input() {
        "nobody may be asked"
    } else if !ask::is_terminal(printer) {
        "there is no terminal to ask on"
    } else {
        let question = match (plan.destroy, plan.refresh_only) {
            (true, _) => "Do you really want to destroy all of this? There is no undo.",
            (_, true) => "Do you want to write this into the state?",
            _ => "Do you want to perform these actions?",
        };
        printer.say(&format!("\n{question}\n  Only 'yes' is accepted.\n\n  Enter a value: "));
        return Ok(ask::line().is_some_and(|answer| answer.trim() == "yes"));
    };
    let diagnostic = Diagnostic::error("approval", format!("this needs a yes, and {why}"));
    let command = match (plan.destroy, plan.refresh_only) {
        (true, _) => "cloudtik plan --destroy --out FILE",
        (_, true) => "cloudtik plan --refresh-only --out FILE",
        _ => "cloudtik plan --out FILE",
    };
    Err(Failure::plain(diagnostic.help(format!("pass `--auto-approve`, or save a plan with `{command}` and run `cloudtik apply FILE`"))))
}
