//! A plan that is going to be applied, and applying it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_executor::driver::{Clouds, Driven, HandlebarsRenderer, NodeTimeouts};
use cloudtik_executor::durable::{DurableError, SessionStore};
use cloudtik_executor::engine::{AddressStatus, Engine, EngineInput, Limits, SettlementReport, Summary, Unmet};
use cloudtik_executor::{Intent, OpKind, Record};
use cloudtik_lang::Moment;
use cloudtik_model::{Address, Adopted, Diagnostic, Diagnostics, OutputState, SourceMap};
use cloudtik_planner::{Action, Execution, OperationKind, Plan, execution};
use cloudtik_provider_api::{CallError, HEAD_CONTROLLER_KIND};

use crate::around::Around;
use crate::project::{durable, moment, started};
use crate::run::{Run, run};
use crate::{Event, Failure, FailureKind, Interrupt, Observer, Planned, Project, VERSION};

/// A plan that is going to be applied: the lock is held as long as this lives.
pub struct Prepared<'p> {
    pub(crate) project: &'p Project,
    pub(crate) store: SessionStore,
    pub(crate) planned: Planned,
    pub(crate) clouds: Arc<Clouds>,
    pub(crate) around: Arc<Around>,
    pub(crate) no_wait: bool,
    pub(crate) run_id: String,
    pub(crate) settlement: SettlementReport,
    pub(crate) limits: Limits,
    pub(crate) timeouts: BTreeMap<Address, NodeTimeouts>,
}

/// What an apply did.
#[derive(Debug, Default)]
pub struct Applied {
    /// Every operation and what came of it.
    pub summary: Summary,
    /// The results of the spec.
    pub outputs: BTreeMap<String, OutputState>,
    /// Checks that do not hold.
    pub warnings: Diagnostics,
    /// The files that their places are in.
    pub sources: SourceMap,
}

/// The clusters whose controllers go.
fn leaves(plan: &Plan) -> BTreeSet<Address> {
    let goes = |address: &&Address, change: &&cloudtik_planner::Change| {
        change.action == Action::Delete && address.segments().last().is_some_and(|last| &*last.name == HEAD_CONTROLLER_KIND)
    };
    plan.changes.iter().filter(|(address, change)| goes(address, change)).map(|(address, _)| address.block()).collect()
}

impl Prepared<'_> {
    /// What will be done.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.planned.plan
    }

    /// What is doubtful.
    #[must_use]
    pub const fn warnings(&self) -> &Diagnostics {
        &self.planned.warnings
    }

    /// The files that places are in.
    #[must_use]
    pub const fn sources(&self) -> &SourceMap {
        &self.planned.sources
    }

    /// Whether anything will be done.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        self.planned.has_changes()
    }

    /// Does it.
    ///
    /// # Errors
    /// Something failed: [`Failure::summary`] has what was done before.
    pub fn apply(mut self, observer: Arc<dyn Observer>, interrupt: &Interrupt) -> Result<Applied, Failure> {
        let adopted = self.planned.plan.facts.iter().filter_map(|(key, fact)| Adopted::of_fact(key, fact));
        if let Some(epoch) = adopted.map(|adopted| adopted.epoch).max() {
            self.store.outlive(epoch);
        }
        self.tell_moves()?;
        let execution = execution(&self.planned.plan, self.store.state())
            .map_err(|error| Failure::plain(Diagnostic::error("execution", error.to_string())).of(FailureKind::Fault))?;
        // What is only written down (a renamed dependency, a drift that matters to nothing) is no change, and is done all the same.
        if !self.has_changes() && self.settlement.unsettled.is_empty() && execution.operations.is_empty() {
            let outputs = self.store.state().outputs.clone();
            self.store.commit().map_err(|error| durable(&error))?;
            return Ok(Applied { outputs, ..Applied::default() });
        }
        let run_started = self.settlement.started;
        if !run_started {
            self.store.begin_run(&self.run_id).map_err(|error| durable(&error))?;
        }
        let sources = std::mem::take(&mut self.planned.sources);
        let places = self.places();
        observer
            .event(&Event::Operations(execution.operations.iter().filter(|operation| operation.kind != OperationKind::Waypoint).count()));
        self.around.begin(Arc::clone(&observer), interrupt.clone(), !self.no_wait, leaves(&self.planned.plan));
        let moment = moment()?;
        let mut engine = Engine::new(self.engine_input(run_started, execution, moment));
        let driven = run(
            &mut engine,
            Run {
                durable: &mut self.store,
                clouds: Arc::clone(&self.clouds),
                folder: self.project.folder.clone(),
                observer: Arc::clone(&observer),
                interrupt: interrupt.clone(),
                timeouts: self.timeouts.clone(),
            },
        )?;
        let Driven::Finished(summary) = driven else {
            return Err(Failure::plain(Diagnostic::error("fault", "the engine ended as a settlement")).of(FailureKind::Fault));
        };
        let committed = self.store.commit();
        for warning in self.let_go().into_iter().chain(self.forget_secrets()) {
            observer.event(&Event::Warning(warning));
        }
        finished(*summary, committed, sources, &places, &self.store)
    }

    /// Where the spec says what is done, by address.
    fn places(&self) -> BTreeMap<Address, String> {
        let changes = self.planned.plan.changes.iter().filter(|(_, change)| change.has_effect());
        changes.filter_map(|(address, change)| Some((address.clone(), change.source.clone()?))).collect()
    }

    /// Writes down what is called otherwise, before anything is done under the new name.
    fn tell_moves(&mut self) -> Result<(), Failure> {
        let plan = &self.planned.plan;
        if plan.moved.is_empty() {
            return Ok(());
        }
        let in_order = plan.moved_order.iter().filter_map(|to| plan.moved.get_key_value(to));
        let records: Vec<Record> = in_order.map(|(to, from)| Record::Moved { from: from.clone(), to: to.clone() }).collect();
        let mut first = Vec::new();
        if !self.settlement.started {
            self.store.begin_run(&self.run_id).map_err(|error| durable(&error))?;
            first.push(started(if self.planned.plan.destroy { "destroy" } else { "apply" }));
            self.settlement.started = true;
        }
        self.store.append(first.into_iter().chain(records).collect()).map_err(|error| durable(&error))?;
        Ok(())
    }

    fn engine_input(&mut self, started: bool, execution: Execution, moment: Moment) -> EngineInput {
        let ledger = self.store.ledger().clone();
        let plan = std::mem::take(&mut self.planned.plan);
        let command = if plan.destroy { "destroy" } else { "apply" };
        let unsettled: Vec<(Intent, CallError)> = std::mem::take(&mut self.settlement.unsettled);
        EngineInput {
            execution,
            ledger,
            unsettled,
            schemas: Arc::clone(&self.project.schemas),
            limits: self.limits.clone(),
            run_id: self.run_id.clone(),
            moment,
            epoch: self.store.epoch(),
            launch_epoch: None,
            command: command.to_owned(),
            tool_version: VERSION.to_owned(),
            started,
            marks: BTreeMap::new(),
            gathers_elsewhere: false,
            renderer: Arc::new(HandlebarsRenderer),
            broken: cloudtik_executor::engine::Broken::No,
            plan,
        }
    }

    /// Lets go of the clouds. What is left running is not wrong, only untidy, and the next command lets go of it too: it is told and fails
    /// nothing.
    fn let_go(&self) -> Vec<String> {
        match cloudtik_executor::driver::finish(&self.clouds) {
            Ok(failed) => failed
                .into_iter()
                .map(|(provider, error)| {
                    format!("provider `{provider}` could not be let go of: {}; the next command tries again", error.message)
                })
                .collect(),
            Err(error) => vec![format!("the providers could not be let go of: {error}; the next command tries again")],
        }
    }

    /// Secrets of creates are needed until their outcome is known. One that stays is of no use to anybody, since its key was rotated, but
    /// whoever looks after the machine should know of it.
    fn forget_secrets(&mut self) -> Vec<String> {
        let open = self.store.ledger().open.values().map(|open| &open.intent.operation);
        let secrets = open.filter_map(|operation| if let OpKind::Create { secrets, .. } = operation { Some(secrets) } else { None });
        let needed: BTreeSet<String> = secrets.flat_map(|secrets| secrets.values().map(|secret| secret.file.clone())).collect();
        let why = |error: &DurableError| {
            let said = error.to_diagnostic();
            std::iter::once(said.title).chain(said.notes).collect::<Vec<_>>().join(": ")
        };
        let names = match self.store.vault().secrets() {
            Ok(names) => names,
            Err(error) => return vec![format!("keys that are not needed any more could not be looked for: {}", why(&error))],
        };
        let mut warnings = Vec::new();
        for name in names.iter().filter(|name| !name.ends_with(".ed25519") && !name.ends_with(".ed25519.pub")) {
            if !needed.contains(name)
                && let Err(error) = self.store.vault().remove_secret(name)
            {
                warnings.push(format!(
                    "the key `{name}` is not needed any more and could not be removed: {}; the next run tries again",
                    why(&error)
                ));
            }
        }
        warnings
    }
}

/// What a caller gets of a summary.
fn finished(
    summary: Summary,
    committed: Result<(), DurableError>,
    sources: SourceMap,
    places: &BTreeMap<Address, String>,
    store: &SessionStore,
) -> Result<Applied, Failure> {
    let mut diagnostics = Diagnostics::new();
    for (address, result) in summary.addresses.iter().filter(|(_, result)| result.status == AddressStatus::Failed) {
        if let Some(error) = &result.error {
            let title = format!("{address}: {} failed: {}", result.word.as_str(), error.message);
            let mut diagnostic = Diagnostic::error("operation-failed", title).of(address).maybe_help(error.help.clone());
            diagnostic.notes.extend(places.get(address).map(|place| format!("it stands at {place}")));
            diagnostic.notes.extend(error.request_id.iter().map(|id| format!("the provider knows the request as {id}")));
            diagnostics.push(diagnostic);
        }
    }
    let (checks, unmet): (Vec<&Unmet>, Vec<&Unmet>) = summary.unmet.iter().partition(|unmet| unmet.is_warning());
    diagnostics.extend(unmet.into_iter().map(Unmet::to_diagnostic));
    let warnings: Diagnostics = checks.into_iter().map(Unmet::to_diagnostic).collect();
    match (&summary.aborted, committed) {
        // The state file has the same trouble as the journal: that is one error, and its help is the other's.
        (Some(reason), committed) => {
            let error = Diagnostic::error("journal", format!("the run was broken off: {reason}"))
                .note("what was done is in the journal; the next run goes on from there");
            diagnostics.push(error.maybe_help(committed.err().and_then(|error| error.to_diagnostic().help)));
        }
        (None, Err(error)) => diagnostics.push(error.to_diagnostic()),
        (None, Ok(())) => {}
    }
    if diagnostics.is_empty() && summary.is_ok() {
        return Ok(Applied { outputs: store.state().outputs.clone(), summary, warnings, sources });
    }
    let kind = match (summary.interrupted, summary.changed) {
        (true, _) if diagnostics.is_empty() => FailureKind::Interrupted,
        (_, true) => FailureKind::Partial,
        _ => FailureKind::Error,
    };
    if diagnostics.is_empty() {
        let skipped = summary.counts.skipped;
        diagnostics.push(
            Diagnostic::error("interrupted", format!("interrupted: {skipped} operations were not begun"))
                .help("run `cloudtik apply` to go on"),
        );
    }
    diagnostics.extend(warnings);
    Err(Failure { kind, diagnostics, sources, summary: Some(Box::new(summary)) })
}
