//! A project: what one can do with a folder of `*.hcl` files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cloudtik_compiler::{
    CompileInput, Compiled, MissingVariable, POLICY_WARNS, Providers, VariableInputs, compile, compile_with_changes, missing_variables,
};
use cloudtik_executor::RECORD_VERSION;
use cloudtik_executor::Record;
use cloudtik_executor::driver::{Clouds, Driven, Durable, NodeTimeouts};
use cloudtik_executor::durable::{
    DataDir, DurableError, Entry, Holder, Ledger, OsEntropy, SessionStore, Snapshot, StateLock, Vault, load_plan, random_id, save_plan,
};
use cloudtik_executor::engine::{Limits, SettleMode, Settlement, SettlementInput, SettlementReport, broken_batches};
use cloudtik_lang::{Moment, utc_text};
use cloudtik_model::{
    Address, Diagnostic, Diagnostics, Graph, HeadConfig, MemorySources, ProviderRef, ReadError, SourceMap, SourceSet as _, Span, State,
    Value, Verdict, judge,
};
use cloudtik_planner::{Change, Costs, Estimate, Mode, Plan, PlanInput, Settled, changes_for_policies, estimate, execution, plan};
use cloudtik_provider_api::{CONTROLLER_PROVIDER, DATA_QUESTION, Deed, Facts, ProviderSchema, Requests, VALUE_KIND};

use crate::around::Around;
use crate::checks::checked;
use crate::compare::{Comparison, recorded};
use crate::deploy::stays_deployed;
use crate::inside::Inside;
use crate::kept::{kept, kept_inside, not_anew, notes_of_kept, with_others_inside};
use crate::moves::take_moves;
use crate::preflight::{SilentHead, heads_answer, silent_heads};
use crate::prepared::Prepared;
use crate::providers::{providers, schemas, with_controller};
use crate::run::{Run, run};
use crate::state::place;
use crate::tenants::no_tenants;
use crate::world::{World, clouds};
use crate::{DiskSources, Event, Failure, FailureKind, Interrupt, Observer, PlanOptions, ProjectOptions, Silent, VERSION};

/// How often a spec is compiled with further answers: a look-up may need what another one found, and nobody nests them deeper.
const ROUNDS_MAX: usize = 8;

/// A folder of `*.hcl` files and its state.
pub struct Project {
    pub(crate) options: ProjectOptions,
    pub(crate) folder: PathBuf,
    pub(crate) sources: DiskSources,
    pub(crate) providers: Providers,
    pub(crate) schemas: Arc<BTreeMap<String, ProviderSchema>>,
}

/// A compiled spec.
#[derive(Debug)]
pub struct Compilation {
    /// What it wants.
    pub graph: Graph,
    /// What the controller on the head of each cluster with workers is told.
    pub head_configs: BTreeMap<Address, HeadConfig>,
    /// Lines that a reader should know.
    pub notes: Vec<String>,
    /// What is doubtful.
    pub warnings: Diagnostics,
    /// The files that places are in.
    pub sources: SourceMap,
}

impl Compilation {
    /// The graph as versioned JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let mut graph = serde_json::to_value(&self.graph).unwrap_or(serde_json::Value::Null);
        redact(&mut graph);
        let mut json = serde_json::json!({ "version": 1, "tool_version": VERSION, "graph": graph, "notes": self.notes });
        if let (false, Some(parts)) = (self.head_configs.is_empty(), json.as_object_mut()) {
            // Secrets are not in them, so there is nothing to hide.
            parts.insert("head_configs".to_owned(), serde_json::to_value(&self.head_configs).unwrap_or_default());
        }
        json
    }
}

/// A plan to look at.
#[derive(Debug)]
pub struct Planned {
    /// What would be done.
    pub plan: Plan,
    /// What is doubtful.
    pub warnings: Diagnostics,
    /// The files that places are in.
    pub sources: SourceMap,
}

impl Planned {
    /// Whether anything would be done.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        self.plan.has_changes()
    }

    /// Saves the plan, for `apply FILE`, or for `show FILE` if it was made offline. Sensitive values are encrypted with the project's key.
    ///
    /// # Errors
    /// The file or the key cannot be written.
    pub fn save(&self, project: &Project, file: &Path) -> Result<(), Failure> {
        save_plan(file, &self.plan, &mut project.vault()).map_err(|error| durable(&error))
    }
}

pub(crate) fn durable(error: &DurableError) -> Failure {
    let failure = Failure::plain(error.to_diagnostic());
    match error {
        DurableError::Held { .. } => failure.of(FailureKind::LockHeld),
        _ => failure,
    }
}

impl Costs for Project {
    fn requests(&self, provider: &ProviderRef, kind: &str, deed: Deed, expected_ms: u64) -> Requests {
        let of = self.providers.get(provider.provider_type());
        of.map_or_else(Requests::default, |of| of.requests(kind, deed, expected_ms))
    }

    fn together(&self, provider: &ProviderRef, kind: &str) -> usize {
        let kind = self.schemas.get(provider.provider_type()).and_then(|schema| schema.kinds.get(kind));
        kind.and_then(|kind| kind.together).map_or(1, |together| together.most)
    }
}

impl Project {
    /// A project. Nothing is read yet.
    #[must_use]
    pub fn open(options: ProjectOptions) -> Self {
        Self::with_providers(options, providers())
    }

    /// A project with provider types of one's own in place of those of this build.
    #[must_use]
    pub fn with_providers(options: ProjectOptions, providers: Providers) -> Self {
        let folder = std::path::absolute(&options.folder).unwrap_or_else(|_| options.folder.clone());
        let providers = with_controller(providers);
        Self {
            sources: DiskSources::new(options.folder.clone()).without(&options.data_dir),
            schemas: Arc::new(schemas(&providers)),
            providers,
            folder,
            options,
        }
    }

    /// Compiles the spec. Nobody is asked: facts that the state does not have stay unknown.
    ///
    /// # Errors
    /// The spec's.
    pub fn compile(&self) -> Result<Compilation, Failure> {
        let (compiled, sources, mut warnings) = self.compile_with(&Facts::new(), &now())?;
        warnings.extend(unmet(&compiled.graph));
        if warnings.has_errors() {
            return Err(Failure::error(warnings, sources));
        }
        Ok(Compilation { graph: compiled.graph, head_configs: compiled.head_configs, notes: compiled.notes, warnings, sources })
    }

    pub(crate) fn compile_with(&self, facts: &Facts, time: &str) -> Result<(Compiled, SourceMap, Diagnostics), Failure> {
        let (compiled, sources, mut diagnostics) = compile(&self.compile_input(facts, &[], time));
        if diagnostics.has_errors() {
            diagnostics.extend(unmet(&compiled.graph));
            diagnostics.sort();
            return Err(Failure::error(diagnostics, sources));
        }
        Ok((compiled, sources, diagnostics))
    }

    pub(crate) fn compile_input<'a>(&'a self, facts: &'a Facts, expressions: &'a [String], plan_time: &'a str) -> CompileInput<'a> {
        CompileInput {
            sources: &self.sources,
            variables: &self.options.variables,
            providers: &self.providers,
            facts,
            provider_override: self.options.provider.as_deref(),
            tool_version: VERSION,
            plan_time,
            expressions,
        }
    }

    /// The variables that have neither a value nor a default: whoever can ask somebody asks for them, and opens the project with the answers
    /// among its variables. None where the spec has errors of another sort, which come first.
    #[must_use]
    pub fn missing_variables(&self) -> Vec<MissingVariable> {
        missing_variables(&self.compile_input(&Facts::new(), &[], &now()))
    }

    /// The spec, as a plan wants it: a destroy works without one.
    pub(crate) fn compile_for(
        &self,
        options: &PlanOptions,
        facts: &Facts,
        time: &str,
    ) -> Result<(Compiled, SourceMap, Diagnostics), Failure> {
        match self.compile_with(facts, time) {
            Err(failure) if options.destroy && failure.diagnostics.iter().any(|diagnostic| diagnostic.code == "empty-project") => {
                Ok((Compiled::default(), failure.sources, Diagnostics::new()))
            }
            other => other,
        }
    }

    /// The state, without a lock. `None`: there is none yet.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn state(&self) -> Result<Option<State>, Failure> {
        let state = self.state_or_none()?;
        Ok(if state.lineage.is_empty() { None } else { Some(state) })
    }

    /// The state, without a lock; one without anything where there is none.
    pub(crate) fn state_or_none(&self) -> Result<State, Failure> {
        Ok(self.snapshot(&self.data_of_spec()?)?.ledger.state)
    }

    /// A saved plan, to look at.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn load_plan(&self, file: &Path) -> Result<Plan, Failure> {
        load_plan(file, &mut self.vault()).map_err(|error| durable(&error))
    }

    pub(crate) fn snapshot(&self, data: &DataDir) -> Result<Snapshot, Failure> {
        SessionStore::snapshot(data, Box::new(OsEntropy)).map_err(|error| durable(&error))
    }

    /// Where the state lies: the spec may say so.
    pub(crate) fn data(&self, compiled: &Compiled) -> DataDir {
        let data = DataDir::new(&self.folder, Some(&self.options.data_dir));
        match &compiled.state_path {
            Some(path) => data.with_state(self.folder.join(path)),
            None => data,
        }
    }

    /// The same without a spec that was compiled before; errors of the spec are of no concern to whoever only looks at the state, except
    /// for those because of which nobody knows where it lies.
    pub(crate) fn data_of_spec(&self) -> Result<DataDir, Failure> {
        self.placed(&self.compiled_for_state()?)
    }

    pub(crate) fn compiled_for_state(&self) -> Result<Compiled, Failure> {
        let (compiled, sources, diagnostics) = compile(&self.compile_input(&Facts::new(), &[], &now()));
        if compiled.state_failed { Err(Failure::error(diagnostics, sources)) } else { Ok(compiled) }
    }

    /// Where the state lies, if it does not lie elsewhere.
    fn placed(&self, compiled: &Compiled) -> Result<DataDir, Failure> {
        self.check_place(compiled)?;
        Ok(self.data(compiled))
    }

    /// What plans are sealed with lies in the data folder, wherever the state does.
    fn vault(&self) -> Vault {
        Vault::of(&DataDir::new(&self.folder, Some(&self.options.data_dir)), Box::new(OsEntropy))
    }

    /// Makes a plan and changes nothing.
    ///
    /// # Errors
    /// The spec's, the state's, the provider's.
    pub fn plan(&self, options: &PlanOptions, observer: &dyn Observer) -> Result<Planned, Failure> {
        if let Comparison::Base(base) = &options.compared_with {
            return self.plan_from(base, options, observer);
        }
        observer.event(&Event::Stage("reading the spec".to_owned()));
        let first = self.compile_for(options, &Facts::new(), &now())?;
        if let Comparison::StateFile(file) = &options.compared_with {
            let mut ledger = self.ledger_of(file, self.data(&first.0))?;
            ledger.state.facts.extend(recorded(options)?);
            let around = self.around(&self.data(&first.0));
            let clouds = self.clouds(&first.0, &ledger.state, &around);
            let mut planned = self.planned(options, observer, first, &mut ledger, Vec::new(), &self.world(&clouds, &around))?;
            planned.plan.compared_with = Some(format!("the state in `{}`", file.display()));
            return Ok(planned);
        }
        if options.offline {
            let facts = recorded(options)?;
            let mut snapshot = Ledger::new(State { version: cloudtik_model::STATE_VERSION, facts, ..State::default() });
            let around = self.around(&self.data(&first.0));
            let clouds = self.clouds(&first.0, &snapshot.state, &around);
            return self.planned(options, observer, first, &mut snapshot, Vec::new(), &self.world(&clouds, &around));
        }
        let data = self.placed(&first.0)?;
        let mut snapshot = self.snapshot(&data)?;
        let around = self.around(&data);
        let clouds = self.clouds(&first.0, &snapshot.ledger.state, &around);
        let mut report = SettlementReport::default();
        if !snapshot.ledger.open.is_empty() {
            let input = self.settlement_input(&snapshot.ledger, "plan", 0, SettleMode::Plan);
            let mut settlement = Settlement::new(input);
            report = self.settle(&mut settlement, &mut snapshot, &clouds, &Interrupt::new())?;
            fold_in_memory(&mut snapshot.ledger, &report.records);
        }
        let mut planned = self.planned(options, observer, first, &mut snapshot.ledger, report.settled, &self.world(&clouds, &around))?;
        let silent = silent_heads(&planned.plan, &snapshot.ledger.state, &clouds, &around)?;
        planned.plan.notes.extend(silent.iter().map(SilentHead::note));
        Ok(planned)
    }

    /// Takes the lock, settles what an interrupted run left, and plans: what is shown is what [`Prepared::apply`] will do.
    ///
    /// # Errors
    /// The spec's, the state's, the provider's; [`FailureKind::LockHeld`].
    pub fn prepare(&self, options: &PlanOptions, observer: &dyn Observer) -> Result<Prepared<'_>, Failure> {
        observer.event(&Event::Stage("reading the spec".to_owned()));
        let first = self.compile_for(options, &Facts::new(), &now())?;
        let data = self.placed(&first.0)?;
        let mut store = self.lock(&data, if options.destroy { "destroy" } else { "apply" })?;
        data.remember_place(place(&first.0)).map_err(|error| durable(&error))?;
        let around = self.around(&data);
        let clouds = self.clouds(&first.0, store.state(), &around);
        let timeouts = timeouts(&first.0);
        if !store.open_intents().is_empty() {
            observer.event(&Event::Stage("settling what an interrupted run left".to_owned()));
        }
        let (run_id, settlement) = self.begin(&mut store, &clouds, options)?;
        let mut ledger = store.ledger().clone();
        let planned = self.planned(options, observer, first, &mut ledger, settlement.settled.clone(), &self.world(&clouds, &around))?;
        heads_answer(&planned.plan, store.state(), &clouds, &around)?;
        let no_wait = options.no_wait;
        Ok(Prepared { project: self, store, planned, clouds, around, no_wait, run_id, settlement, limits: limits(options), timeouts })
    }

    /// Takes the lock for a saved plan. It is refused when the state moved, or when the folder holds another spec.
    ///
    /// # Errors
    /// The plan's, the state's; [`FailureKind::LockHeld`].
    pub fn prepare_saved(&self, file: &Path, options: &PlanOptions, observer: &dyn Observer) -> Result<Prepared<'_>, Failure> {
        observer.event(&Event::Stage("reading the plan".to_owned()));
        let plan = self.load_plan(file)?;
        if !plan.can_be_applied() {
            let (how, flag) = if plan.compared_with.is_some() {
                ("compared with something else than what exists", "--base` and `--state")
            } else {
                ("made offline", "--offline")
            };
            let title = format!("a plan that was {how} can be read, not applied");
            return Err(Failure::plain(Diagnostic::error("offline-plan", title).help(format!("make it without `{flag}` to apply it"))));
        }
        let compiled = self.compile_saved(&plan)?;
        let data = self.placed(&compiled)?;
        let store = self.lock(&data, "apply")?;
        data.remember_place(place(&compiled)).map_err(|error| durable(&error))?;
        self.check_saved(&plan, &store, file)?;
        let planned = plan.providers.iter().map(|(name, config)| (name, &config.attributes));
        let around = self.around(&data);
        around.know(store.state());
        // The plan was made with the spec's, which may differ from those that are remembered.
        let configs: BTreeMap<&ProviderRef, &Value> = store.state().providers.iter().chain(planned).collect();
        let clouds = clouds(&self.providers, configs.into_iter(), &self.folder, &around);
        heads_answer(&plan, store.state(), &clouds, &around)?;
        if !options.allow_disruption {
            let world = self.world(&clouds, &around);
            let inside = Inside::of(&world, &self.providers, &plan)?;
            no_tenants(&world, &plan, store.state(), &inside.anew)?;
        }
        let planned = Planned { plan, warnings: Diagnostics::new(), sources: SourceMap::default() };
        let run_id = new_run_id()?;
        let settlement = SettlementReport::default();
        let (no_wait, limits, timeouts) = (options.no_wait, limits(options), timeouts(&compiled));
        Ok(Prepared { project: self, store, planned, clouds, around, no_wait, run_id, settlement, limits, timeouts })
    }

    /// The spec as a saved plan has it, with the plan's own variables: where the state lies, how long connections may take. What the plan
    /// does is in the plan.
    fn compile_saved(&self, plan: &Plan) -> Result<Compiled, Failure> {
        let embedded = MemorySources::new(plan.sources.iter().map(|(name, text)| (name.as_str(), &**text)));
        // A folder without a spec is fine; one with another spec is refused when the two are compared.
        let there = plan.sources.keys().any(|name| self.sources.read(name).is_ok());
        let variables = VariableInputs { values: plan.variables.clone(), ..VariableInputs::default() };
        let time = plan.time.clone().unwrap_or_else(now);
        let (compiled, sources, diagnostics) = compile(&CompileInput {
            sources: if there { &self.sources } else { &embedded },
            variables: &variables,
            providers: &self.providers,
            facts: &plan.facts,
            provider_override: self.options.provider.as_deref(),
            tool_version: VERSION,
            plan_time: &time,
            expressions: &[],
        });
        if compiled.state_failed { Err(Failure::error(diagnostics, sources)) } else { Ok(compiled) }
    }

    fn check_saved(&self, plan: &Plan, store: &SessionStore, file: &Path) -> Result<(), Failure> {
        let refuse = |title: String, help: &str| Err(Failure::plain(Diagnostic::error("stale-plan", title).help(help)));
        let again = "make the plan again: `cloudtik plan --out FILE`";
        let shown = file.display();
        let state = store.state();
        // A plan of a project without a state was made before there was a lineage.
        let moved = plan.lineage != state.lineage || plan.serial != state.serial || plan.folded != state.folded;
        if moved || !store.open_intents().is_empty() {
            return refuse(format!("the state has changed since `{shown}` was made"), again);
        }
        for (provider, version) in &plan.schema_versions {
            if self.schemas.get(provider).is_some_and(|schema| schema.version != *version) {
                return refuse(format!("`{shown}` was made with another version of provider `{provider}`"), again);
            }
        }
        let specs = self.spec_files(plan)?;
        for name in &specs {
            let same = self.sources.read(name).is_ok_and(|bytes| plan.sources.get(name).is_some_and(|text| text.as_bytes() == &*bytes));
            if !same {
                return refuse(format!("`{name}` has changed since `{shown}` was made"), again);
            }
        }
        if !specs.is_empty()
            && let Some(missing) = plan.sources.keys().find(|name| !specs.contains(*name))
        {
            return refuse(format!("`{missing}` is gone since `{shown}` was made"), again);
        }
        Ok(())
    }

    /// The files of the spec that lie in the root and in the folders of the modules of a plan.
    fn spec_files(&self, plan: &Plan) -> Result<BTreeSet<String>, Failure> {
        let unreadable = |error: ReadError| Failure::plain(Diagnostic::error("unreadable-file", error.to_string()));
        let mut names = self.sources.list().map_err(unreadable)?;
        let folders: BTreeSet<&str> = plan.sources.keys().filter_map(|path| Some(path.rsplit_once('/')?.0)).collect();
        for folder in folders {
            match self.sources.list_below(folder, Some(0)) {
                Ok(inside) => names.extend(inside.into_iter().flatten()),
                Err(ReadError::NotFound(_)) => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
        let is_spec = |path: &String| {
            let name = path.rsplit('/').next().unwrap_or(path);
            name.ends_with(".hcl") && !name.ends_with(".vars.hcl") && !name.starts_with('.')
        };
        Ok(names.into_iter().filter(is_spec).collect())
    }

    pub(crate) fn lock(&self, data: &DataDir, command: &str) -> Result<SessionStore, Failure> {
        if !self.options.lock {
            let title = format!("`{command}` without the lock is refused: two of them at once would each undo what the other does");
            return Err(Failure::plain(
                Diagnostic::error("no-lock", title).help("leave `--lock=false` out; `--lock-timeout 5m` waits for the lock"),
            ));
        }
        let holder = Holder::this_process(command, timestamp());
        data.create().map_err(|error| durable(&error))?;
        if let Some(folder) = data.state().parent() {
            let failed = |error: std::io::Error| {
                let title = format!("the folder of the state, `{}`, cannot be made: {error}", folder.display());
                Failure::plain(Diagnostic::error("storage", title).help("make it, or say another `path` in `state \"local\"`"))
            };
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let lock = StateLock::acquire_blocking(data, &holder, self.options.lock_timeout).map_err(|error| durable(&error))?;
        SessionStore::open(data, lock, Box::new(OsEntropy)).map_err(|error| durable(&error))
    }

    /// Settles for real, if there is something to settle: only then a run begins before the plan.
    fn begin(&self, store: &mut SessionStore, clouds: &Arc<Clouds>, options: &PlanOptions) -> Result<(String, SettlementReport), Failure> {
        let run_id = new_run_id()?;
        if store.open_intents().is_empty() {
            return Ok((run_id, SettlementReport::default()));
        }
        let epoch = store.begin_run(&run_id).map_err(|error| durable(&error))?;
        let command = if options.destroy { "destroy" } else { "apply" };
        let mut input = self.settlement_input(store.ledger(), command, epoch, SettleMode::Apply);
        input.run_id.clone_from(&run_id);
        let mut settlement = Settlement::new(input);
        let report = self.settle(&mut settlement, store, clouds, &Interrupt::new())?;
        if let Some(reason) = &report.aborted {
            return Err(Failure::plain(Diagnostic::error("journal", reason.clone())));
        }
        Ok((run_id, report))
    }

    fn settlement_input(&self, ledger: &Ledger, command: &str, epoch: u64, mode: SettleMode) -> SettlementInput {
        let mut open: Vec<_> = ledger.open.values().collect();
        open.sort_by_key(|open| open.sequence);
        SettlementInput {
            broken: broken_batches(open.iter().map(|open| &open.intent)),
            state: ledger.state.clone(),
            open: open.into_iter().map(|open| open.intent.clone()).collect(),
            schemas: Arc::clone(&self.schemas),
            limits: Limits::default(),
            run_id: "plan".to_owned(),
            epoch,
            launch_epoch: None,
            mode,
            started: started(command),
        }
    }

    fn settle(
        &self,
        settlement: &mut Settlement,
        durable: &mut dyn Durable,
        clouds: &Arc<Clouds>,
        interrupt: &Interrupt,
    ) -> Result<SettlementReport, Failure> {
        let driven = run(
            settlement,
            Run {
                durable,
                clouds: Arc::clone(clouds),
                folder: self.folder.clone(),
                observer: Arc::new(Silent),
                interrupt: interrupt.clone(),
                timeouts: BTreeMap::new(),
            },
        )?;
        match driven {
            Driven::Settled(report) => Ok(*report),
            Driven::Finished(_) => Err(Failure::plain(Diagnostic::error("fault", "settlement ended as an engine")).of(FailureKind::Fault)),
        }
    }

    pub(crate) fn clouds(&self, compiled: &Compiled, state: &State, around: &Arc<Around>) -> Arc<Clouds> {
        let spec = compiled.graph.providers.iter().map(|(name, config)| (name, &config.attributes));
        let known: BTreeMap<&ProviderRef, &Value> = state.providers.iter().chain(spec).collect();
        around.know(state);
        clouds(&self.providers, known.into_iter(), &self.folder, around)
    }

    pub(crate) fn world<'a>(&'a self, clouds: &'a Arc<Clouds>, around: &'a Around) -> World<'a> {
        World { clouds, schemas: &self.schemas, around }
    }

    /// The keys of nodes lie beside the state.
    pub(crate) fn around(&self, data: &DataDir) -> Arc<Around> {
        Around::new(Vault::of(data, Box::new(OsEntropy)), Arc::clone(&self.schemas))
    }

    /// The state, and clouds for whatever made what is in it: for commands that look at what is there and need no spec.
    pub(crate) fn looking(&self) -> Result<(State, Arc<Clouds>, Arc<Around>), Failure> {
        let data = self.data_of_spec()?;
        let state = self.snapshot(&data)?.ledger.state;
        let around = self.around(&data);
        around.know(&state);
        let clouds = clouds(&self.providers, state.providers.iter(), &self.folder, &around);
        Ok((state, clouds, around))
    }

    /// The plan of a compiled spec and a settled ledger.
    pub(crate) fn planned(
        &self,
        options: &PlanOptions,
        observer: &dyn Observer,
        first: (Compiled, SourceMap, Diagnostics),
        ledger: &mut Ledger,
        settled: Vec<Settled>,
        world: &World<'_>,
    ) -> Result<Planned, Failure> {
        let (compiled, sources, mut warnings, facts) = self.with_facts(options, observer, first, &ledger.state, world)?;
        // What goes is removed by the name that it has; what is only looked at keeps it.
        let (moved, kept_names) =
            if options.destroy || options.refresh_only { Default::default() } else { take_moves(&compiled.graph, ledger) };
        let looks = options.looks();
        let observed = if !looks {
            BTreeMap::new()
        } else if options.refresh {
            observer.event(&Event::Stage("comparing with the world".to_owned()));
            world.observe(&ledger.state)?
        } else {
            with_others_inside(&ledger.state, &self.schemas).map_or_else(|| Ok(BTreeMap::new()), |others| world.observe(&others))?
        };
        let (imports, adopted) = self.take_over(options, &compiled, &sources, ledger, world)?;
        let locate = |span| sources.describe(span);
        let inside = kept_inside(&ledger.state, &observed, &self.schemas);
        let keep = kept(&ledger.state, &inside, options);
        check_addresses(options, &compiled.graph, &ledger.state, &inside)?;
        if !options.destroy && !options.refresh_only {
            stays_deployed(&compiled, &ledger.state).map_err(|wrong| Failure::error(wrong, sources.clone()))?;
        }
        let mut notes = compiled.notes.clone();
        if !options.selection.is_whole() && !options.selection.is_complete() {
            notes.push(
                "this plan is about a part only: what is left out may be needed by what is done, and results of it stay as they were"
                    .to_owned(),
            );
        }
        notes.extend(moved.by_name.iter().map(|(to, from)| format!("{from} is now {to}")));
        let heads = imports.keys().filter(|address| address.root() == "cluster" && **address == address.block().child("head"));
        notes.extend(heads.map(|head| {
            let cluster = head.block();
            format!("{cluster} is taken over: what its steps did on {head} is seen there and not done again, and its workers stay")
        }));
        notes.extend(kept_names);
        if !looks && !compiled.imports.is_empty() {
            notes.push("what `import` names was not looked for: it is shown as if it were made".to_owned());
        }
        if !options.destroy && !options.refresh_only {
            if self.options.provider.is_none() {
                notes.extend(remembered(&compiled.graph, &ledger.state));
            }
            notes.extend(world.adoptions(&ledger.state, &observed)?);
        }
        let (mut plan, diagnostics) = plan(PlanInput {
            graph: &compiled.graph,
            state: &ledger.state,
            observed: &observed,
            imports: &imports,
            schemas: &|name| self.schemas.get(name),
            pinned: if options.refresh_only {
                BTreeSet::new()
            } else {
                compiled.pinned.iter().filter(|key| facts.contains_key(*key)).chain(adopted.keys()).cloned().collect()
            },
            facts: facts.into_iter().chain(adopted).collect(),
            mode: match (options.destroy, options.refresh_only) {
                (true, _) => Mode::Destroy,
                (_, true) => Mode::Refresh,
                _ => Mode::Normal,
            },
            replace: options.replace.clone(),
            keep: keep.clone(),
            selection: options.selection.clone(),
            settled,
            notes,
            tool_version: VERSION.to_owned(),
            offline: options.offline,
            locate: &locate,
        });
        plan.notes.extend(notes_of_kept(&plan, &keep, &inside));
        (plan.moved, plan.moved_order) = (moved.by_name, moved.order);
        plan.time = compiled.shows_plan_time.then(|| compiled.plan_time.clone());
        plan.sources.clone_from(&compiled.sources);
        plan.variables.clone_from(&compiled.variables);
        if diagnostics.has_errors() {
            return Err(Failure::error(diagnostics, sources));
        }
        warnings.extend(diagnostics);
        if options.refresh_only {
            return Ok(Planned { plan, warnings, sources });
        }
        if compiled.has_policies {
            let (_, sources, judged) =
                compile_with_changes(&self.compile_input(&plan.facts, &[], &compiled.plan_time), &changes_for_policies(&plan));
            if judged.has_errors() {
                return Err(Failure::error(judged, sources));
            }
            // What else there is to say has been said.
            warnings.extend(judged.into_iter().filter(|diagnostic| diagnostic.code == POLICY_WARNS));
        }
        plan.expected = self.expected(&plan, &ledger.state, options);
        if looks {
            let inside = Inside::of(world, &self.providers, &plan)?;
            not_anew(&inside.kept, &plan, &sources)?;
            if !options.allow_disruption {
                no_tenants(world, &plan, &ledger.state, &inside.anew)?;
            }
            plan.notes.extend(inside.notes);
        }
        if looks && options.checks {
            let (found, unanswered) = checked(&plan, &compiled, world.clouds, &self.schemas)?;
            plan.notes.extend(unanswered);
            warnings.extend(found);
            if warnings.has_errors() {
                warnings.sort();
                return Err(Failure::error(warnings, sources));
            }
        }
        Ok(Planned { plan, warnings, sources })
    }

    /// What carrying a plan out is expected to take, where a provider of it counts requests. A plan without an order says so when it is
    /// carried out.
    fn expected(&self, plan: &Plan, state: &State, options: &PlanOptions) -> Option<Estimate> {
        let is_counted = |change: &Change| change.has_effect() && self.requests(&change.provider, &change.kind, Deed::Create, 0).sent > 0;
        if !plan.changes.values().any(is_counted) {
            return None;
        }
        estimate(&execution(plan, state).ok()?, limits(options).parallelism, self)
    }

    /// Takes what is imported into the ledger, in memory, and gives its addresses with the places of their `import`, and what is to be remembered
    /// of clusters.
    fn take_over(
        &self,
        options: &PlanOptions,
        compiled: &Compiled,
        sources: &SourceMap,
        ledger: &mut Ledger,
        world: &World<'_>,
    ) -> Result<(BTreeMap<Address, Span>, Facts), Failure> {
        if options.destroy || options.refresh_only || !options.looks() || compiled.imports.is_empty() {
            return Ok((BTreeMap::new(), Facts::new()));
        }
        let (entries, facts) = world.imported(compiled, &ledger.state)?.map_err(|problems| Failure::error(problems, sources.clone()))?;
        let place = |address: &Address| compiled.imports.get(address).map_or(Span::NONE, |import| import.span);
        let imports = entries.keys().map(|address| (address.clone(), place(address))).collect();
        ledger.state.resources.extend(entries);
        Ok((imports, facts))
    }

    /// Compiles again with the facts of the state and those that the provider answers, until no question is open.
    pub(crate) fn with_facts(
        &self,
        options: &PlanOptions,
        observer: &dyn Observer,
        first: (Compiled, SourceMap, Diagnostics),
        state: &State,
        world: &World<'_>,
    ) -> Result<(Compiled, SourceMap, Diagnostics, Facts), Failure> {
        let (mut compiled, mut sources, mut warnings) = first;
        let time = compiled.plan_time.clone();
        let mut facts = Facts::new();
        if compiled.questions.is_empty() {
            return Ok((compiled, sources, warnings, facts));
        }
        let asked = compiled.questions.values().flatten().map(|question| &question.key).chain(&compiled.kept);
        let known: Facts = asked.filter_map(|key| Some((key.clone(), state.facts.get(key)?.clone()))).collect();
        if !known.is_empty() {
            facts.extend(known);
            (compiled, sources, warnings) = self.compile_for(options, &facts, &time)?;
        }
        for _ in 0..ROUNDS_MAX {
            if options.destroy {
                // What is looked up has no say in what is removed, and may be gone itself.
                compiled.questions.values_mut().for_each(|questions| questions.retain(|question| question.question != DATA_QUESTION));
            }
            compiled.questions.retain(|_, questions| !questions.is_empty());
            if options.offline || compiled.questions.is_empty() {
                return Ok((compiled, sources, warnings, facts));
            }
            observer.event(&Event::Stage("asking the provider".to_owned()));
            facts.extend(world.facts(&compiled.questions)?);
            (compiled, sources, warnings) = self.compile_for(options, &facts, &time)?;
        }
        let title = format!("look-ups that need each other's answers go {ROUNDS_MAX} deep and do not end");
        Err(Failure::plain(Diagnostic::error("look-ups", title).help("use fewer `data` blocks that need each other")))
    }
}

/// The configurations that made something and are not in the spec any more.
fn remembered(graph: &Graph, state: &State) -> Vec<String> {
    let gone = state.resources.values().map(|entry| &entry.provider).filter(|provider| {
        let of_spec = !matches!(provider.provider_type(), VALUE_KIND | CONTROLLER_PROVIDER);
        of_spec && !graph.providers.contains_key(*provider)
    });
    let gone: BTreeSet<&ProviderRef> = gone.collect();
    let note = |provider: &ProviderRef| {
        format!("the spec configures no `{provider}`: what was made through it goes through its last configuration, which the state keeps")
    };
    gone.into_iter().map(note).collect()
}

/// An address of the command line that means nothing is a mistake, not a wish for nothing.
fn check_addresses(
    options: &PlanOptions,
    graph: &Graph,
    state: &State,
    inside: &BTreeMap<Address, BTreeSet<Address>>,
) -> Result<(), Failure> {
    let data = match &options.delete_data {
        crate::DeleteData::Of(addresses) => Some(addresses),
        _ => None,
    };
    let data = data.into_iter().flatten();
    let known = || graph.nodes.keys().chain(state.resources.keys());
    let inside: Vec<&Address> = inside.values().flatten().collect();
    let replaced = options.replace.iter().map(|address| ("--replace", address, &[][..]));
    let selection = &options.selection;
    let scoped = selection.targets.iter().map(|address| ("--target", address, &[][..]));
    let scoped = scoped.chain(selection.excludes.iter().map(|address| ("--exclude", address, &[][..])));
    for (flag, address, more) in replaced.chain(scoped).chain(data.map(|address| ("--delete-data", address, &inside[..]))) {
        if !known().chain(more.iter().copied()).any(|known| known.is_within(address)) {
            let all: Vec<String> = known().chain(more.iter().copied()).map(ToString::to_string).collect();
            let near = cloudtik_model::did_you_mean(&address.to_string(), all.iter().map(String::as_str))
                .map(|near| format!("did you mean `{near}`?"));
            return Err(Failure::plain(
                Diagnostic::error("unknown-address", format!("`{flag} {address}`: there is nothing at this address")).maybe_help(near),
            ));
        }
    }
    Ok(())
}

/// What is sensitive is not shown, whatever shows the graph.
fn redact(json: &mut serde_json::Value) {
    match json {
        serde_json::Value::Object(entries) if entries.len() == 1 && entries.contains_key("$sensitive") => {
            *json = serde_json::Value::String("(sensitive value)".to_owned());
        }
        serde_json::Value::Object(entries) => entries.values_mut().for_each(redact),
        serde_json::Value::Array(items) => items.iter_mut().for_each(redact),
        _ => {}
    }
}

fn limits(options: &PlanOptions) -> Limits {
    let mut limits = Limits::default();
    if let Some(parallelism) = options.parallelism {
        limits.parallelism = parallelism.max(1);
    }
    limits
}

fn timeouts(compiled: &Compiled) -> BTreeMap<Address, NodeTimeouts> {
    let of = |timeouts: &cloudtik_compiler::NodeTimeouts| NodeTimeouts {
        connect: Duration::from_secs(timeouts.connect_secs),
        ready: Duration::from_secs(timeouts.ready_secs),
    };
    compiled.timeouts.iter().map(|(node, timeouts)| (node.clone(), of(timeouts))).collect()
}

pub(crate) fn started(command: &str) -> Record {
    Record::Started { version: RECORD_VERSION, command: command.to_owned(), tool_version: VERSION.to_owned() }
}

fn new_run_id() -> Result<String, Failure> {
    random_id(&mut OsEntropy).map_err(|error| durable(&error))
}

/// Seconds since 1970, as a lock's holder says since when.
fn timestamp() -> String {
    seconds().to_string()
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The time as specs show it.
pub(crate) fn now() -> String {
    utc_text(seconds())
}

/// When something is carried out, and what is drawn then.
pub(crate) fn moment() -> Result<Moment, Failure> {
    Ok(Moment { time: now().into(), seed: new_run_id()?.into() })
}

/// Conditions of a spec that are false whatever is there.
fn unmet(graph: &Graph) -> Diagnostics {
    let judged = graph.conditions.iter().filter_map(|condition| match judge(&condition.condition, &condition.message) {
        Verdict::Fails(text) => Some(condition.unmet(&text)),
        Verdict::Holds | Verdict::Unknown => None,
    });
    judged.collect()
}

/// Settlement of a plan writes nothing: its records are taken into the ledger alone.
fn fold_in_memory(ledger: &mut Ledger, records: &[Record]) {
    for record in records {
        let entry =
            Entry { sequence: ledger.sequence() + 1, epoch: ledger.state.epoch, run: "plan".to_owned(), record: Some(record.clone()) };
        ledger.take(&entry);
    }
}
