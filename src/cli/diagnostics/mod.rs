//! What the compiler and the engine have to say, for people and for tools. The diagnostics themselves are plain data; these are two of
//! their forms.

mod excerpt;
mod human;
mod json;

use cloudtik::Failure;
use cloudtik::model::{Diagnostic, Diagnostics, SourceMap};

use super::Exit;
use super::printer::Printer;

pub(crate) use json::{one, to_json};

/// More than this nobody reads: the first ones are the ones to mend, and the rest is counted.
const SHOWN_MAX: usize = 100;

/// Shows them to people; of more than [`SHOWN_MAX`] the errors come first.
pub(crate) fn show(diagnostics: &Diagnostics, sources: &SourceMap, printer: &Printer) {
    let (shown, more) = chosen(diagnostics);
    for diagnostic in shown {
        printer.say(&human::render(diagnostic, sources, printer.people_look()));
    }
    if more > 0 {
        printer.say_line(&format!("… and {more} more"));
    }
}

/// Those that are shown, and how many are not.
fn chosen(diagnostics: &Diagnostics) -> (Vec<&Diagnostic>, usize) {
    let mut all: Vec<_> = diagnostics.iter().collect();
    if all.len() > SHOWN_MAX {
        all.sort_by_key(|diagnostic| !diagnostic.is_error());
    }
    let more = all.len().saturating_sub(SHOWN_MAX);
    all.truncate(SHOWN_MAX);
    (all, more)
}

/// Shows why something did not work, and says how the command ends for it.
pub(crate) fn fail(failure: &Failure, printer: &Printer) -> Exit {
    show(&failure.diagnostics, &failure.sources, printer);
    Exit::from(failure.kind)
}

#[cfg(test)]
mod tests;
