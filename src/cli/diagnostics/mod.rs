//! What the compiler and the engine have to say, for people and for tools. The diagnostics themselves are plain data; these are two of
//! their forms.

mod excerpt;
mod human;
mod json;

use cloudtik::Failure;
use cloudtik::model::{Diagnostics, SourceMap};

use super::Exit;
use super::printer::Printer;

pub(crate) use json::to_json;

/// More than this nobody reads: the first ones are the ones to mend, and the rest is counted.
const SHOWN_MAX: usize = 100;

/// Shows them to people; of more than [`SHOWN_MAX`] the errors come first.
pub(crate) fn show(diagnostics: &Diagnostics, sources: &SourceMap, printer: &Printer) {
    let mut all: Vec<_> = diagnostics.iter().collect();
    if all.len() > SHOWN_MAX {
        all.sort_by_key(|diagnostic| !diagnostic.is_error());
    }
    for diagnostic in all.iter().take(SHOWN_MAX) {
        printer.say(&human::render(diagnostic, sources, printer.people_look()));
    }
    if all.len() > SHOWN_MAX {
        printer.say_line(&format!("… and {} more\n", all.len() - SHOWN_MAX));
    }
}

/// Shows why something did not work, and says how the command ends for it.
pub(crate) fn fail(failure: &Failure, printer: &Printer) -> Exit {
    show(&failure.diagnostics, &failure.sources, printer);
    Exit::from(failure.kind)
}
