//! Plans that are compared with something else than what exists: another revision of the spec, or the state in some file.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use cloudtik_compiler::VariableInputs;
use cloudtik_executor::durable::{DataDir, Ledger};
use cloudtik_lang::from_json_text;
use cloudtik_model::{Diagnostic, Diagnostics, MAX_FILE_BYTES, State, Value};
use cloudtik_planner::as_if_made;
use cloudtik_provider_api::Facts;

use crate::project::now;
use crate::revision::Revision;
use crate::{Event, Failure, Observer, PlanOptions, Planned, Project, ProjectOptions};

/// What a plan is compared with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Comparison {
    /// What exists, as the project's state knows it.
    #[default]
    Existing,
    /// What exists, as the state in this file knows it.
    StateFile(PathBuf),
    /// What another revision of the spec wants: a folder, or a commit of the repository that the project lies in.
    Base(String),
}

impl Project {
    /// The plan from another revision of the spec to this one. No state is read, and nobody is asked but for facts.
    pub(crate) fn plan_from(&self, base: &str, options: &PlanOptions, observer: &dyn Observer) -> Result<Planned, Failure> {
        observer.event(&Event::Stage("reading the spec".to_owned()));
        // Both sides are made at one time.
        let time = now();
        let first = self.compile_for(options, &Facts::new(), &time)?;
        let known = recorded(options)?;
        let revision = Revision::find(&self.folder, base)?;
        let state = self.as_if_made(&revision, known, (options, &time), observer)?;
        let is_new = state.resources.is_empty() && !revision.folder.is_dir();
        let around = self.around(&self.data(&first.0));
        let clouds = self.clouds(&first.0, &state, &around);
        let world = self.world(&clouds, &around);
        let mut planned = self.planned(options, observer, first, &mut Ledger::new(state), Vec::new(), &world)?;
        if is_new {
            planned.plan.notes.push(format!("{} does not have this project's folder: everything is new", revision.title));
        }
        planned.plan.compared_with = Some(revision.title);
        Ok(planned)
    }

    /// What would exist if a revision had been applied, where these answers are known.
    fn as_if_made(
        &self,
        revision: &Revision,
        known: Facts,
        (options, time): (&PlanOptions, &str),
        observer: &dyn Observer,
    ) -> Result<State, Failure> {
        let known = State { facts: known, ..State::default() };
        let project = self.at(&revision.folder);
        let options = &PlanOptions { selection: Default::default(), ..options.clone() };
        let compile = || {
            let first = match project.compile_with(&Facts::new(), time) {
                // A revision from before the project wants nothing.
                Err(failure)
                    if failure.diagnostics.iter().any(|diagnostic| diagnostic.code == "empty-project") || !revision.folder.is_dir() =>
                {
                    return Ok((cloudtik_compiler::Compiled::default(), Facts::new()));
                }
                other => other?,
            };
            let around = project.around(&project.data(&first.0));
            let clouds = project.clouds(&first.0, &known, &around);
            let (compiled, _, _, facts) = project.with_facts(options, observer, first, &known, &project.world(&clouds, &around))?;
            Ok((compiled, facts))
        };
        let (compiled, facts) = compile().map_err(|failure| of_base(failure, &revision.title))?;
        let facts = known.facts.into_iter().chain(facts).collect();
        Ok(as_if_made(&compiled.graph, &facts, &self.schemas))
    }

    /// This project with the spec of another folder. Values are those of this one: what is said for a variable that the other spec does not
    /// have is not meant for it, and one that nobody says is unknown.
    fn at(&self, folder: &Path) -> Self {
        let variables = VariableInputs { unset_are_unknown: true, undeclared_are_left_out: true, ..self.options.variables.clone() };
        Self {
            sources: self.sources.at(folder).without(&self.options.data_dir),
            options: ProjectOptions { variables, ..self.options.clone() },
            folder: self.folder.clone(),
            providers: self.providers.clone(),
            schemas: self.schemas.clone(),
        }
    }

    /// The state in a file.
    pub(crate) fn ledger_of(&self, file: &Path, own: DataDir) -> Result<Ledger, Failure> {
        if !file.is_file() {
            let title = format!("`--state {}`: there is no such file", file.display());
            return Err(Failure::plain(Diagnostic::error("file", title)));
        }
        let is_own = matches!((own.state().canonicalize(), file.canonicalize()), (Ok(own), Ok(file)) if own == file);
        let data = if is_own { own } else { own.looking_at(file.to_owned()) };
        Ok(self.snapshot(&data)?.ledger)
    }
}

/// What is said of the other revision is not about this one.
fn of_base(mut failure: Failure, title: &str) -> Failure {
    let found = std::mem::take(&mut failure.diagnostics);
    let noted = found.into_iter().map(|diagnostic| diagnostic.note(format!("this is of {title}, which the plan is compared with")));
    failure.diagnostics = noted.collect::<Diagnostics>();
    failure
}

/// What was recorded of look-ups, by the address of the `data` block: an object, or the list of all that were found.
pub(crate) fn recorded(options: &PlanOptions) -> Result<Facts, Failure> {
    let Some(file) = &options.data else { return Ok(Facts::new()) };
    let wrong = |why: String| {
        let help = "write an object with an entry for each `data` block: `{\"data.aws_vpc.main\": {\"id\": \"vpc-1\"}}`";
        Failure::plain(Diagnostic::error("bad-data-file", format!("`--data {}`: {why}", file.display())).help(help))
    };
    let mut text = String::new();
    let read = std::fs::File::open(file).and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text));
    read.map_err(|error| wrong(error.to_string()))?;
    let value = from_json_text(&text).map_err(wrong)?;
    let entries = value.entries().ok_or_else(|| wrong(format!("it is {}", value.describe())))?;
    let all = |found: &Value| if found.entries().is_some() { Value::tuple([found.clone()]) } else { found.clone() };
    Ok(entries.iter().map(|(key, found)| (key.to_string(), all(found))).collect())
}
