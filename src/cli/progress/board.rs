//! What runs, what is done and what is left: a plain value that takes events and times, and gives lines. It prints nothing and reads no
//! clock.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use cloudtik::model::{Address, ControllerEvent, EventLevel};
use cloudtik::{Event, OperationWord, Progress};

use super::super::values::{elapsed, harmless, took};

/// How often something that takes long is said to be still running, where there is no terminal: as Terraform does.
pub(super) const STILL_EVERY: Duration = Duration::from_secs(10);
/// Lines of a step's output that are shown when it fails: what is wrong mostly stands in the last ones.
const TAIL_LINES: usize = 20;
/// The longest line of output that is kept.
const TAIL_CHARS: usize = 400;

/// The board.
#[derive(Debug, Default)]
pub(crate) struct Board {
    verbose: bool,
    total: usize,
    running: BTreeMap<(Address, OperationWord), Running>,
    tails: BTreeMap<Address, VecDeque<String>>,
    done: usize,
    failed: usize,
    skipped: usize,
}

#[derive(Debug)]
struct Running {
    since: Duration,
    /// How many times it was said to be still running.
    said: u32,
    /// Why it is tried again.
    retrying: Option<String>,
}

/// What a line says, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Something begins or goes on.
    Faint,
    /// Something is done.
    Plain,
    /// Something should be looked at.
    Warning,
    /// Something failed.
    Failed,
}

/// A line that stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// What it says.
    pub(crate) tone: Tone,
    /// The text.
    pub(crate) text: String,
}

impl Line {
    fn new(tone: Tone, text: &str) -> Self {
        Self { tone, text: harmless(text) }
    }
}

impl Board {
    /// An empty one; a verbose one shows what steps print.
    pub(crate) fn new(verbose: bool) -> Self {
        Self { verbose, ..Self::default() }
    }

    /// Takes what happened at a time, and gives the lines to be printed for it.
    pub(crate) fn take(&mut self, event: &Event, now: Duration) -> Vec<Line> {
        match event {
            Event::Stage(_) => Vec::new(),
            Event::Operations(total) => {
                self.total = *total;
                Vec::new()
            }
            Event::Progress(progress) => self.progress(progress, now),
            Event::Output { address, text, .. } => self.output(address, text),
            Event::Controller(event) => vec![of_head(event)],
            Event::Warning(text) => vec![Line::new(Tone::Warning, &format!("warning: {text}"))],
        }
    }

    fn progress(&mut self, progress: &Progress, now: Duration) -> Vec<Line> {
        match progress {
            Progress::Began { address, word, .. } => {
                self.running.insert((address.clone(), *word), Running { since: now, said: 0, retrying: None });
                said(*word).map(|said| Line::new(Tone::Faint, &format!("{address}: {}…", said.doing))).into_iter().collect()
            }
            Progress::Retrying { address, word, tries, error, .. } => {
                let text = format!("{address}: {} (try {tries}); trying again", error.message);
                if let Some(running) = self.running.get_mut(&(address.clone(), *word)) {
                    running.retrying = Some(error.message.clone());
                }
                vec![Line::new(Tone::Warning, &text)]
            }
            Progress::Done { address, word, took_ms, .. } => {
                self.running.remove(&(address.clone(), *word));
                self.tails.remove(address);
                self.done += 1;
                let took = took(Duration::from_millis(*took_ms));
                said(*word).map(|said| Line::new(Tone::Plain, &format!("{address}: {} in {took}", said.done))).into_iter().collect()
            }
            Progress::Failed { address, word, error } => {
                self.failed += 1;
                let since = self.running.remove(&(address.clone(), *word)).map(|running| running.since);
                let after = since.map_or_else(String::new, |since| format!(" after {}", took(now.saturating_sub(since))));
                let doing = said(*word).map_or("writing the state", |said| said.doing);
                let mut lines = vec![Line::new(Tone::Failed, &format!("{address}: {doing} failed{after}: {}", error.message))];
                let tail = self.tails.remove(address).unwrap_or_default();
                lines.extend(tail.iter().map(|line| Line::new(Tone::Plain, &format!("  | {line}"))));
                lines
            }
            Progress::GivenUp { address, word, error } => {
                self.done += 1;
                self.running.remove(&(address.clone(), *word));
                let doing = said(*word).map_or("writing the state", |said| said.doing);
                let mut lines = vec![Line::new(
                    Tone::Warning,
                    &format!("{address}: {doing} failed, and its node goes all the same: {}", error.message),
                )];
                let tail = self.tails.remove(address).unwrap_or_default();
                lines.extend(tail.iter().map(|line| Line::new(Tone::Plain, &format!("  | {line}"))));
                lines
            }
            Progress::Skipped { address, word, because } => {
                self.skipped += 1;
                self.running.remove(&(address.clone(), *word));
                vec![Line::new(Tone::Warning, &format!("{address}: not done, because {because} failed"))]
            }
        }
    }

    fn output(&mut self, address: &Address, text: &str) -> Vec<Line> {
        let mut lines = Vec::new();
        let tail = self.tails.entry(address.clone()).or_default();
        for line in text.lines() {
            if tail.len() == TAIL_LINES {
                tail.pop_front();
            }
            tail.push_back(line.chars().take(TAIL_CHARS).collect());
            if self.verbose {
                lines.push(Line::new(Tone::Faint, &format!("{address}: | {line}")));
            }
        }
        lines
    }

    /// The lines that are due by now because something takes long.
    pub(crate) fn still(&mut self, now: Duration) -> Vec<Line> {
        let mut lines = Vec::new();
        for ((address, word), running) in &mut self.running {
            let running_for = now.saturating_sub(running.since);
            let Some(said) = said(*word) else { continue };
            if running_for >= STILL_EVERY * (running.said + 1) {
                running.said = u32::try_from(running_for.as_secs() / STILL_EVERY.as_secs()).unwrap_or(u32::MAX - 1);
                lines.push(Line::new(Tone::Faint, &format!("{address}: still {} ({})", said.doing, elapsed(running_for))));
            }
        }
        lines
    }

    /// What runs, the longest first: at most so many lines.
    pub(crate) fn rows(&self, now: Duration, rows_max: usize) -> Vec<String> {
        let mut running: Vec<_> = self.running.iter().collect();
        running.sort_by_key(|(name, running)| (running.since, (*name).clone()));
        let hidden = running.len().saturating_sub(rows_max);
        let shown = if hidden > 0 { rows_max.saturating_sub(1) } else { running.len() };
        let mut rows: Vec<String> = running
            .iter()
            .take(shown)
            .map(|((address, word), running)| {
                let doing = said(*word).map_or("writing the state", |said| said.doing);
                let why = running.retrying.as_ref().map_or_else(String::new, |why| format!(", trying again: {}", harmless(why)));
                format!("{address}: {doing} ({}{why})", elapsed(now.saturating_sub(running.since)))
            })
            .collect();
        if hidden > 0 {
            rows.push(format!("… and {} more", running.len() - shown));
        }
        rows
    }

    /// `12/40 done, 3 running, 0 failed, 21 left`; nothing as long as nothing was begun.
    pub(crate) fn status(&self) -> Option<String> {
        let (running, ended) = (self.running.len(), self.done + self.failed + self.skipped);
        if self.total == 0 && running == 0 {
            return None;
        }
        let total = self.total.max(ended + running);
        let left = total - ended - running;
        let skipped = if self.skipped > 0 { format!(", {} not done", self.skipped) } else { String::new() };
        Some(format!("{}/{total} done, {running} running, {} failed{skipped}, {left} left", self.done, self.failed))
    }
}

/// What happened on a head that is awaited: `cluster.c.workers.etcd[1]: ready`.
fn of_head(event: &ControllerEvent) -> Line {
    let tone = match event.level {
        EventLevel::Info => Tone::Plain,
        EventLevel::Warning => Tone::Warning,
        EventLevel::Error => Tone::Failed,
    };
    match &event.address {
        Some(address) => Line::new(tone, &format!("{address}: {}", event.text)),
        None => Line::new(tone, &event.text),
    }
}

/// What is said of an operation.
pub(super) struct Said {
    pub(super) doing: &'static str,
    pub(super) done: &'static str,
}

/// Nothing is said of what only changes the state.
pub(super) const fn said(word: OperationWord) -> Option<Said> {
    Some(match word {
        OperationWord::Create => Said { doing: "creating", done: "created" },
        OperationWord::Update => Said { doing: "changing", done: "changed" },
        OperationWord::Import => Said { doing: "importing", done: "imported" },
        OperationWord::Delete => Said { doing: "deleting", done: "deleted" },
        OperationWord::DeleteDeposed => Said { doing: "deleting the replaced one", done: "deleted the replaced one" },
        OperationWord::Run => Said { doing: "running", done: "done" },
        OperationWord::Undo => Said { doing: "undoing", done: "undone" },
        OperationWord::Forget | OperationWord::Record => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudtik::provider_api::{CallError, ErrorClass};

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn began(name: &str, word: OperationWord) -> Event {
        Event::Progress(Progress::Began { address: name.parse().unwrap(), word, expected_ms: 100 })
    }

    fn texts(lines: Vec<Line>) -> Vec<String> {
        lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn an_operation_is_said_to_begin_to_go_on_and_to_end() {
        let mut board = Board::new(false);
        assert_eq!(board.status(), None);
        board.take(&Event::Operations(3), at(0));
        assert_eq!(texts(board.take(&began("a.b", OperationWord::Create), at(1))), ["a.b: creating…"]);
        assert!(board.still(at(10)).is_empty());
        assert_eq!(texts(board.still(at(11))), ["a.b: still creating (10s)"]);
        assert!(board.still(at(12)).is_empty());
        assert_eq!(texts(board.still(at(42))), ["a.b: still creating (41s)"]);
        assert_eq!(board.rows(at(42), 5), ["a.b: creating (41s)"]);
        assert_eq!(board.status().unwrap(), "0/3 done, 1 running, 0 failed, 2 left");
        let done =
            Event::Progress(Progress::Done { address: "a.b".parse().unwrap(), word: OperationWord::Create, took_ms: 41_234, id: None });
        assert_eq!(texts(board.take(&done, at(42))), ["a.b: created in 41.2s"]);
        assert_eq!(board.status().unwrap(), "1/3 done, 0 running, 0 failed, 2 left");
    }

    #[test]
    fn a_failed_step_shows_the_end_of_what_it_printed() {
        let mut board = Board::new(false);
        board.take(&began("c.s", OperationWord::Run), at(0));
        for number in 0..30 {
            let output = Event::Output { address: "c.s".parse().unwrap(), stderr: false, text: format!("line {number}\u{1b}[2J") };
            assert!(board.take(&output, at(0)).is_empty());
        }
        let error = CallError::new(ErrorClass::Permanent, "exit", "it ended with 1");
        let failed = Event::Progress(Progress::Failed { address: "c.s".parse().unwrap(), word: OperationWord::Run, error });
        let lines = texts(board.take(&failed, at(3)));
        assert_eq!(lines.len(), 21);
        assert_eq!(lines[0], "c.s: running failed after 3.0s: it ended with 1");
        assert_eq!((lines[1].as_str(), lines[20].as_str()), ("  | line 10\u{fffd}[2J", "  | line 29\u{fffd}[2J"));
        let skipped = Progress::Skipped { address: "c.t".parse().unwrap(), word: OperationWord::Run, because: "c.s".parse().unwrap() };
        assert_eq!(texts(board.take(&Event::Progress(skipped), at(3))), ["c.t: not done, because c.s failed"]);
        assert_eq!(board.status(), None);
    }

    #[test]
    fn what_happens_on_a_head_is_a_line_that_stays() {
        let mut board = Board::new(false);
        let address = Some("cluster.c.workers.etcd[1]".to_owned());
        let event = ControllerEvent { sequence: 1, time: 0, level: EventLevel::Info, address, text: "ready".to_owned() };
        let lines = board.take(&Event::Controller(event.clone()), at(0));
        assert_eq!(lines, [Line { tone: Tone::Plain, text: "cluster.c.workers.etcd[1]: ready".to_owned() }]);
        let bad = ControllerEvent { address: None, level: EventLevel::Error, text: "its disk is full".to_owned(), ..event };
        assert_eq!(board.take(&Event::Controller(bad), at(0)), [Line { tone: Tone::Failed, text: "its disk is full".to_owned() }]);
    }

    #[test]
    fn rows_are_bounded_and_the_longest_come_first() {
        let mut board = Board::new(true);
        for (second, name) in ["k.c", "k.a", "k.b", "k.d"].into_iter().enumerate() {
            board.take(&began(name, OperationWord::Delete), at(second as u64));
        }
        assert_eq!(board.rows(at(9), 3), ["k.c: deleting (9s)", "k.a: deleting (8s)", "… and 2 more"]);
        assert_eq!(board.rows(at(9), 4).len(), 4);
        let output = Event::Output { address: "k.a".parse().unwrap(), stderr: true, text: "hello\nworld".into() };
        assert_eq!(texts(board.take(&output, at(9))), ["k.a: | hello", "k.a: | world"]);
    }
}
