//! The one way out for text: stdout is data, stderr is for people.

use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use anstream::{AutoStream, ColorChoice};
use serde::Serialize;

use super::Exit;
use super::values::reason;

/// The width of lines where no terminal says another: wide enough for a value beside its name, narrow enough for a log viewer.
const WIDTH_WITHOUT_TERMINAL: usize = 120;
/// Below this a terminal is treated as if it had it: nothing readable fits.
const WIDTH_MIN: usize = 40;
/// Wider lines are hard to read.
const WIDTH_MAX: usize = 160;

/// How text looks on one of the two ways out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// Whether a person sits in front of it.
    pub(crate) terminal: bool,
    /// Whether colour is used.
    pub(crate) color: bool,
    /// Whether lines and arrows may be drawn with other than ASCII.
    pub(crate) unicode: bool,
    /// Characters a line may have.
    pub(crate) width: usize,
}

/// Prints. Whoever reads may go away at any time: the command goes on in silence, and ends as it would have.
pub(crate) struct Printer {
    data: Look,
    people: Look,
    /// What kept data from being written.
    broken: Mutex<Option<io::Error>>,
}

impl Printer {
    /// For this process.
    pub(crate) fn new(plain: bool) -> Self {
        let (out, err) = (io::stdout(), io::stderr());
        let data = look(out.is_terminal(), plain, AutoStream::choice(&out));
        let people = look(err.is_terminal(), plain, AutoStream::choice(&err));
        Self { data, people, broken: Mutex::new(None) }
    }

    /// How stdout looks.
    pub(crate) const fn data_look(&self) -> Look {
        self.data
    }

    /// How stderr looks.
    pub(crate) const fn people_look(&self) -> Look {
        self.people
    }

    /// Data, as it is.
    pub(crate) fn data(&self, text: &str) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        if broken.is_none() {
            *broken = write(&mut io::stdout().lock(), text).err();
        }
    }

    /// Data and the end of a line.
    pub(crate) fn data_line(&self, text: &str) {
        self.data(&format!("{text}\n"));
    }

    /// JSON, for tools: indented, with the end of a line.
    pub(crate) fn json(&self, json: &serde_json::Value) {
        self.data_line(&format!("{json:#}"));
    }

    /// JSON on one line, as plans, states and events are read. It is written as it is made, so that no document is too long.
    pub(crate) fn json_line(&self, json: &impl Serialize) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        if broken.is_none() {
            *broken = write_json(io::stdout().lock(), json).err();
        }
    }

    /// Something for people, as it is. That nobody reads it is no reason to stop.
    pub(crate) fn say(&self, text: &str) {
        let _ = write(&mut io::stderr().lock(), text);
    }

    /// Something for people and the end of a line.
    pub(crate) fn say_line(&self, text: &str) {
        self.say(&format!("{text}\n"));
    }

    /// The end, once all is printed: data that could not be written is an error, unless it is that nobody wants more of it.
    pub(crate) fn finish(&self, exit: Exit) -> Exit {
        match self.broken.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => {
                let _ = write(&mut io::stderr().lock(), &format!("error[output]: cannot write to stdout: {}\n", reason(&error)));
                if exit == Exit::Done { Exit::Error } else { exit }
            }
            _ => exit,
        }
    }
}

fn write_json(to: impl Write, json: &impl Serialize) -> io::Result<()> {
    let mut to = BufWriter::new(to);
    serde_json::to_writer(&mut to, json)?;
    to.write_all(b"\n")?;
    to.flush()
}

fn write(to: &mut dyn Write, text: &str) -> io::Result<()> {
    to.write_all(text.as_bytes())?;
    to.flush()
}

fn look(terminal: bool, plain: bool, choice: ColorChoice) -> Look {
    let width = if terminal { terminal_width().clamp(WIDTH_MIN, WIDTH_MAX) } else { WIDTH_WITHOUT_TERMINAL };
    Look { terminal, color: !plain && choice != ColorChoice::Never, unicode: !terminal || takes_unicode(), width }
}

fn terminal_width() -> usize {
    terminal_size::terminal_size().map_or(WIDTH_WITHOUT_TERMINAL, |(terminal_size::Width(columns), _)| usize::from(columns))
}

/// Whether the terminal's character set is UTF-8, as the usual variables say it.
fn takes_unicode() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().filter_map(std::env::var_os).find(|value| !value.is_empty());
    let linux_console = std::env::var_os("TERM").is_some_and(|term| term == "linux" || term == "dumb");
    let utf8 = locale.is_none_or(|locale| {
        let locale = locale.to_string_lossy().to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    });
    utf8 && !linux_console
}
