//! Questions to the person at the terminal: a line, a value for a variable, and one that nobody may see.

use std::io::{BufRead as _, IsTerminal as _, Read as _};

use cloudtik::model::Diagnostic;
use cloudtik::{Failure, MissingVariable, Project};
use nix::sys::signal::{Signal, raise};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use super::super::arguments::{Given, PlanFlags};
use super::super::printer::Printer;
use super::super::project;
use super::super::values::{harmless, reason};
use super::Context;

/// The longest answer that is read: a terminal gives no longer line, so only a text that was pasted unseen can be.
const ANSWER_BYTES_MAX: usize = 4096;

/// What the keys are on a terminal that does nothing with them by itself.
const INTERRUPT: u8 = 0x03;
const END: u8 = 0x04;
const ERASE: [u8; 2] = [0x08, 0x7f];
const ERASE_ALL: u8 = 0x15;

/// Whether there is a person who sees a question and can answer it.
pub(crate) fn is_terminal(printer: &Printer) -> bool {
    std::io::stdin().is_terminal() && printer.people_look().terminal
}

/// A line. `None`: there is none to be had.
pub(crate) fn line() -> Option<String> {
    let mut answer = String::new();
    let read = std::io::stdin().lock().take(ANSWER_BYTES_MAX as u64).read_line(&mut answer);
    read.ok().filter(|bytes| *bytes > 0).map(|_| answer)
}

/// The project in this folder. Where somebody can be asked, they are asked for the values that are missing; where nobody can, that they are
/// is the spec's error.
pub(crate) fn open(context: &Context<'_>, flags: &PlanFlags) -> Result<Project, Failure> {
    let open = |given: &[Given]| project::open(context.environment, given, Some(&flags.provider), Some(&flags.lock));
    let project = open(context.given)?;
    let environment = context.environment;
    if !flags.input || !environment.input() || environment.in_automation() || !is_terminal(context.printer) {
        return Ok(project);
    }
    let missing = project.missing_variables();
    if missing.is_empty() {
        return Ok(project);
    }
    let mut given = context.given.to_vec();
    for variable in missing {
        // Whoever ends the input gives no answer to the others either.
        let Some(text) = value(&variable, context.printer)? else { break };
        given.push(Given::Var(variable.name, text));
    }
    open(&given)
}

/// Asks for the value of a variable, in the words that Terraform uses.
fn value(variable: &MissingVariable, printer: &Printer) -> Result<Option<String>, Failure> {
    let description = variable.description.as_deref().map(harmless).unwrap_or_default();
    let lines: String = description.lines().map(|line| format!("  {line}\n")).collect();
    let ask = || printer.say(&format!("var.{}\n{lines}\n  Enter a value: ", variable.name));
    let answer = if variable.sensitive {
        unseen(&variable.name, ask)?
    } else {
        ask();
        line()
    };
    // What was typed unseen did not end its line, and neither did an input that ended.
    printer.say(if variable.sensitive || answer.is_none() { "\n\n" } else { "\n" });
    Ok(answer.map(|text| text.trim_end_matches(['\n', '\r']).to_owned()))
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Unseen(Termios);

impl Unseen {
    fn begin() -> nix::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut unseen = before.clone();
        // Keys that would end this process come as bytes: it must not end before the terminal is as it was.
        unseen.local_flags.remove(LocalFlags::ECHO | LocalFlags::ECHONL | LocalFlags::ICANON | LocalFlags::ISIG | LocalFlags::IEXTEN);
        tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, &unseen)?;
        Ok(Self(before))
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, &self.0);
    }
}

/// A line that is not shown while it is typed. The terminal shows nothing any more before it asks: who answers at once is as safe as others.
/// `None`: there is none to be had.
fn unseen(name: &str, ask: impl FnOnce()) -> Result<Option<String>, Failure> {
    let failed = |why: &str| {
        let diagnostic = Diagnostic::error("answer", format!("the value of `{name}` cannot be taken from the terminal: {why}"));
        Failure::plain(diagnostic.help(format!("give it in a file of values, `--var-file FILE`, or as `CLOUDTIK_VAR_{name}`")))
    };
    let terminal = Unseen::begin().map_err(|error| failed(&reason(&error.into())))?;
    ask();
    let mut typed = Vec::new();
    let mut ended = true;
    for byte in std::io::stdin().lock().bytes() {
        match byte {
            Ok(b'\n' | b'\r') => {
                ended = false;
                break;
            }
            Ok(INTERRUPT) => {
                drop(terminal);
                let _ = raise(Signal::SIGINT);
                return Ok(None);
            }
            Ok(END) if typed.is_empty() => break,
            Ok(byte) if ERASE.contains(&byte) => erase(&mut typed),
            Ok(ERASE_ALL) => typed.clear(),
            Ok(_) if typed.len() >= ANSWER_BYTES_MAX => {
                return Err(failed(&format!("the answer is longer than {ANSWER_BYTES_MAX} bytes")));
            }
            Ok(byte) => typed.push(byte),
            Err(_) => break,
        }
    }
    drop(terminal);
    if ended {
        return Ok(None);
    }
    String::from_utf8(typed).map(Some).map_err(|_| failed("the answer is not UTF-8"))
}

/// Takes the last character away, which may be several bytes.
fn erase(typed: &mut Vec<u8>) {
    while let Some(byte) = typed.pop() {
        if byte & 0b1100_0000 != 0b1000_0000 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_characters_are_taken_back() {
        let mut typed = "aé€".as_bytes().to_vec();
        erase(&mut typed);
        assert_eq!(typed, "aé".as_bytes());
        erase(&mut typed);
        erase(&mut typed);
        erase(&mut typed);
        assert!(typed.is_empty());
    }
}
