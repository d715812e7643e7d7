//! `cloudtik init`

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use cloudtik::Failure;
use cloudtik::model::{Diagnostic, did_you_mean};

use super::super::arguments::ProviderFlags;
use super::super::{Exit, diagnostics, project};
use super::{Context, file_error};

pub(crate) fn run(context: &Context<'_>, from: Option<&str>, provider: &ProviderFlags) -> Result<Exit, Failure> {
    let files = listed()?;
    if files.iter().any(|file| file.ends_with(".hcl")) {
        if let Some(from) = from {
            let title = format!("there is a spec in this folder already, so the example `{from}` was not written");
            return Err(Failure::plain(
                Diagnostic::error("init", title).help("run it in an empty folder, for example with `-C NEW-FOLDER`"),
            ));
        }
        return check(context, provider);
    }
    if from.is_none() && !files.is_empty() {
        let title = "there is no `.hcl` file in this folder, but other files are";
        let help = "go to the folder of your project, or name an example to start from here: `cloudtik init --from EXAMPLE`";
        return Err(Failure::plain(Diagnostic::error("init", title).help(help)));
    }
    let starter = cloudtik::starter(from).ok_or_else(|| unknown_example(from.unwrap_or_default()))?;
    for (path, content) in &starter {
        write_new(Path::new(path), content)?;
    }
    let written: String = starter.iter().map(|(path, _)| format!("  {path}\n")).collect();
    context.printer.data(&format!("A starter project was written:\n\n{written}"));
    next(context, "\nLook at it, then type `cloudtik plan` to see what it would make, and `cloudtik apply` to make it.");
    Ok(Exit::Done)
}

/// A project is there: whether it can be worked with.
fn check(context: &Context<'_>, provider: &ProviderFlags) -> Result<Exit, Failure> {
    let project = project::open(context.environment, context.given, Some(provider), None)?;
    let state = project.state()?;
    let state = match state {
        Some(state) => format!("its state holds {}", super::super::values::many(state.resources.len(), "address", "addresses")),
        None => "it has no state yet".to_owned(),
    };
    context.printer.data_line(&format!("The project can be worked with: {state}."));
    match project.compile() {
        Ok(compilation) => diagnostics::show(&compilation.warnings, &compilation.sources, context.printer),
        // That is what `validate` is for; `init` must work before the spec is finished.
        Err(_) => context.printer.say_line("Its spec is not valid yet: `cloudtik validate` says why."),
    }
    next(context, "\nType `cloudtik plan` to see what would change.");
    Ok(Exit::Done)
}

fn next(context: &Context<'_>, text: &str) {
    if !context.environment.in_automation() {
        context.printer.say_line(text);
    }
}

/// The files of this folder that somebody put there to work with: neither hidden ones nor what a fresh repository has.
fn listed() -> Result<Vec<String>, Failure> {
    let here = Path::new(".");
    let entries = std::fs::read_dir(here).map_err(|error| file_error("list", here, &error))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(|error| file_error("list", here, &error))?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| !name.starts_with('.') && !name.starts_with("README") && !name.starts_with("LICENSE"));
    names.sort();
    Ok(names)
}

/// Writes a file that is not there. One that is there stays as it is, and is an error.
fn write_new(path: &Path, content: &str) -> Result<(), Failure> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| file_error("make", folder, &error))?;
    }
    let written = OpenOptions::new().write(true).create_new(true).open(path).and_then(|mut file| file.write_all(content.as_bytes()));
    written.map_err(|error| {
        if error.kind() == ErrorKind::AlreadyExists {
            let title = format!("`{}` is there already and was not overwritten", path.display());
            return Failure::plain(Diagnostic::error("init", title).help("move it away, or run `cloudtik init` in an empty folder"));
        }
        file_error("write", path, &error)
    })
}

fn unknown_example(name: &str) -> Failure {
    let examples = cloudtik::examples();
    let near = did_you_mean(name, examples.iter().copied()).map(|near| format!("did you mean `{near}`?"));
    let there_is = format!("there is {}", examples.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "));
    Failure::plain(Diagnostic::error("init", format!("there is no example `{name}`")).maybe_help(near).note(there_is))
}
