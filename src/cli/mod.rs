//! The command line: arguments, printing, prompts, exit codes.
//!
//! It sees the facade and nothing else of ours; it owns no logic. What is data goes to stdout, what is for people goes to stderr, and all
//! of it goes through the [`Printer`].

mod arguments;
mod commands;
mod compare;
mod diagnostics;
mod environment;
mod exit;
mod fault;
mod interrupt;
mod printer;
mod progress;
mod project;
mod usage;
mod values;
mod words;

use std::ffi::OsString;
use std::sync::Arc;

pub(crate) use exit::Exit;

use arguments::Arguments;
use environment::Environment;
use printer::Printer;
use words::Words;

/// Runs the command that the arguments name, and says how it ended.
pub(crate) fn run(arguments: Vec<OsString>) -> Exit {
    let environment = Environment::read();
    fault::install();
    // Colour is decided before the arguments are understood, so that what is wrong with them is shown as asked.
    let plain = environment.no_color || arguments.iter().any(|word| word == "--no-color" || word == "-no-color");
    let printer = Arc::new(Printer::new(plain));
    let exit = fault::catch(|| dispatch(arguments, &environment, &printer));
    printer.finish(exit)
}

fn dispatch(arguments: Vec<OsString>, environment: &Environment, printer: &Arc<Printer>) -> Exit {
    let tells_events = words::want_events(&arguments, environment);
    let parsed = match Words::read(arguments, environment).and_then(|words| Arguments::parse(words, printer)) {
        Ok(parsed) => parsed,
        Err(answer) => return answer.show(printer, tells_events),
    };
    commands::run(&parsed, environment, printer)
}
