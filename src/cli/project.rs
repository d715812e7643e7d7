//! From arguments and environment to the options of the facade.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cloudtik::model::{Address, Diagnostic, MAX_FILE_BYTES};
use cloudtik::planner::Selection;
use cloudtik::{Failure, PlanOptions, Project, ProjectOptions, VariableArgument, VariableInputs};

use super::arguments::{Given, LockFlags, PlanFlags, ProviderFlags};
use super::environment::Environment;
use super::values::reason;

/// The project in this folder, with what was said beside it.
pub(crate) fn open(
    environment: &Environment,
    given: &[Given],
    provider: Option<&ProviderFlags>,
    lock: Option<&LockFlags>,
) -> Result<Project, Failure> {
    Ok(Project::open(options(environment, given, provider, lock)?))
}

/// The same where variables without a value are not known.
pub(crate) fn open_with_unknown(environment: &Environment, given: &[Given], plan: &PlanFlags) -> Result<Project, Failure> {
    let mut options = options(environment, given, Some(&plan.provider), None)?;
    options.variables.unset_are_unknown = true;
    Ok(Project::open(options))
}

fn options(
    environment: &Environment,
    given: &[Given],
    provider: Option<&ProviderFlags>,
    lock: Option<&LockFlags>,
) -> Result<ProjectOptions, Failure> {
    let mut options = ProjectOptions::new(".");
    if let Some(data_dir) = &environment.data_dir {
        options.data_dir.clone_from(data_dir);
    }
    options.variables = variables(environment, given)?;
    options.provider = provider.and_then(|flags| flags.provider.clone());
    if let Some(lock) = lock {
        options.lock = lock.lock;
        options.lock_timeout = lock.lock_timeout;
    }
    Ok(options)
}

/// What a plan is to be made of, as far as all commands that plan have it.
pub(crate) fn plan_options(flags: &PlanFlags) -> Result<PlanOptions, Failure> {
    Ok(PlanOptions {
        selection: Selection {
            targets: with_files(&flags.target, &flags.target_file)?,
            excludes: with_files(&flags.exclude, &flags.exclude_file)?,
        },
        refresh: flags.refresh,
        replace: flags.replace.iter().cloned().collect(),
        parallelism: flags.parallelism,
        allow_disruption: flags.allow_disruption,
        checks: flags.checks,
        ..PlanOptions::default()
    })
}

/// Addresses that were typed, and those in files: one a line, without blank lines and those that begin with `#`.
fn with_files(typed: &[Address], files: &[PathBuf]) -> Result<BTreeSet<Address>, Failure> {
    let mut all: BTreeSet<Address> = typed.iter().cloned().collect();
    for file in files {
        let bytes = read(file)?;
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        for (index, line) in lines {
            let wrong = |error: &dyn std::fmt::Display| {
                let title = format!("`{}`, line {}: {error}", file.display(), index + 1);
                Failure::plain(Diagnostic::error("usage", title).help("write one address a line, such as `value.x` or `cluster.c.head`"))
            };
            all.insert(line.parse().map_err(|error| wrong(&error))?);
        }
    }
    Ok(all)
}

fn variables(environment: &Environment, given: &[Given]) -> Result<VariableInputs, Failure> {
    if let Some(name) = environment.not_text.iter().find(|name| name.starts_with("CLOUDTIK_VAR_")) {
        let diagnostic = Diagnostic::error("environment", format!("the environment variable `{name}` is not UTF-8"));
        return Err(Failure::plain(diagnostic.help("values of variables are text; use a file and `file()` for anything else")));
    }
    let mut inputs = VariableInputs { environment: environment.values(), ..VariableInputs::default() };
    for given in given {
        inputs.arguments.push(match given {
            Given::Var(name, text) => VariableArgument::Var { name: name.clone(), text: text.clone() },
            Given::File(path) => VariableArgument::File { path: path.display().to_string(), bytes: read(path)?.into() },
        });
    }
    Ok(inputs)
}

/// A file of values. It may be a pipe, so its length is not asked for; what is read is bounded.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let wrong = |text: String| Failure::plain(Diagnostic::error("unreadable-file", text));
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(wrong(format!("`--var-file {}` cannot be read: {}", path.display(), reason(&error)))),
        Ok(_) if bytes.len() as u64 > MAX_FILE_BYTES => {
            Err(wrong(format!("`--var-file {}` is longer than {MAX_FILE_BYTES} bytes", path.display())))
        }
        Ok(_) => Ok(bytes),
    }
}
