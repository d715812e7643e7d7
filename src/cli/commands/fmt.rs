//! `cloudtik fmt`

use std::path::{Path, PathBuf};

use cloudtik::{Failure, FormattedFile};
use similar::TextDiff;

use super::super::{Exit, diagnostics};
use super::{Context, file_error};

/// The name of standard input among files.
const STANDARD_INPUT: &str = "-";

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wants {
    /// Only say whether something would change.
    pub(crate) check: bool,
    /// Show what would change.
    pub(crate) diff: bool,
    /// Also the folders below.
    pub(crate) recursive: bool,
    /// Write the files.
    pub(crate) write: bool,
    /// Name the files.
    pub(crate) list: bool,
}

pub(crate) fn run(context: &Context<'_>, targets: &[PathBuf], wants: Wants) -> Result<Exit, Failure> {
    let here = [PathBuf::from(".")];
    let targets = if targets.is_empty() { &here } else { targets };
    if targets.iter().any(|target| target == Path::new(STANDARD_INPUT)) {
        return standard_input(context, wants);
    }
    let mut exit = Exit::Done;
    for target in targets {
        let (files, failure) = cloudtik::format_files(target, wants.recursive);
        for file in files.iter().filter(|file| file.is_changed()) {
            show(context, file, wants)?;
            if wants.check && exit == Exit::Done {
                exit = Exit::Changes;
            }
        }
        if let Some(failure) = failure {
            exit = diagnostics::fail(&failure, context.printer);
        }
    }
    Ok(exit)
}

fn show(context: &Context<'_>, file: &FormattedFile, wants: Wants) -> Result<(), Failure> {
    if wants.write && !wants.check {
        file.write().map_err(|error| file_error("write", &file.path, &error))?;
    }
    if wants.list {
        context.printer.data_line(&file.path.display().to_string());
    }
    if wants.diff {
        context.printer.data(&difference(&file.path.display().to_string(), &file.before, &file.after));
    }
    Ok(())
}

/// What comes in goes out as it should be written.
fn standard_input(context: &Context<'_>, wants: Wants) -> Result<Exit, Failure> {
    let mut before = String::new();
    let read = std::io::Read::read_to_string(&mut std::io::stdin().lock(), &mut before);
    read.map_err(|error| file_error("read", Path::new("<stdin>"), &error))?;
    let mut after = cloudtik::format_text("<stdin>", &before)?;
    if !after.is_empty() && !after.ends_with('\n') {
        after.push('\n');
    }
    if wants.diff {
        context.printer.data(&difference("<stdin>", &before, &after));
    } else if !wants.check {
        context.printer.data(&after);
    }
    Ok(if wants.check && before != after { Exit::Changes } else { Exit::Done })
}

fn difference(name: &str, before: &str, after: &str) -> String {
    let (old, new) = (format!("old/{name}"), format!("new/{name}"));
    TextDiff::from_lines(before, after).unified_diff().header(&old, &new).to_string()
}
