//! `cloudtik console`

use std::io::{BufRead as _, Read as _};

use cloudtik::lang::console_text;
use cloudtik::model::MAX_FILE_BYTES;
use cloudtik::{Failure, Project};

use super::super::arguments::ProviderFlags;
use super::super::printer::Printer;
use super::super::{Exit, diagnostics, project};
use super::{Context, ask, file_error};

/// What a terminal is asked with.
const PROMPT: &str = "> ";

/// What ends it, beside the end of the input.
const ENDS: [&str; 2] = ["exit", "quit"];

pub(crate) fn run(context: &Context<'_>, provider: &ProviderFlags) -> Result<Exit, Failure> {
    let project = project::open(context.environment, context.given, Some(provider), None)?;
    if ask::is_terminal(context.printer) { talk(&project, context.printer) } else { read(&project, context.printer) }
}

/// Answers each line when it is there.
fn talk(project: &Project, printer: &Printer) -> Result<Exit, Failure> {
    let mut input = std::io::stdin().lock();
    loop {
        printer.say(PROMPT);
        let mut line = String::new();
        let read = input.by_ref().take(MAX_FILE_BYTES).read_line(&mut line).map_err(|error| unreadable(&error))?;
        if read == 0 || ENDS.contains(&line.trim()) {
            return Ok(Exit::Done);
        }
        answer(project, std::slice::from_ref(&line), printer)?;
    }
}

/// Answers all lines: each is an expression.
fn read(project: &Project, printer: &Printer) -> Result<Exit, Failure> {
    let mut text = String::new();
    std::io::stdin().lock().take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(|error| unreadable(&error))?;
    let lines: Vec<String> = text.lines().take_while(|line| !ENDS.contains(&line.trim())).map(str::to_owned).collect();
    answer(project, &lines, printer)
}

fn unreadable(error: &std::io::Error) -> Failure {
    file_error("read", "standard input".as_ref(), error)
}

fn answer(project: &Project, lines: &[String], printer: &Printer) -> Result<Exit, Failure> {
    let lines: Vec<String> = lines.iter().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
    let answered = project.evaluate(&lines)?;
    let mut exit = Exit::Done;
    for answer in answered.answers {
        match answer {
            Ok(value) => printer.data_line(&console_text(&value)),
            Err(found) => {
                diagnostics::show(&found, &answered.sources, printer);
                exit = Exit::Error;
            }
        }
    }
    Ok(exit)
}
