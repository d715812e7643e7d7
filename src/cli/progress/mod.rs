//! What is shown while something runs: live lines on a terminal, plain lines elsewhere.

mod board;
mod stream;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cloudtik::{Event, Observer};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::printer::Printer;
use board::{Board, Line, Tone};

pub(crate) use stream::Stream;

/// How often live lines are drawn anew, and what happened since is printed above them: often enough to look prompt, seldom enough that
/// thousands of operations a second cost nothing.
const TICK: Duration = Duration::from_millis(150);
/// Operations that have a line of their own: more would push out of sight what was said before.
const ROWS_MAX: usize = 8;
/// Redraws a second, at most.
const REDRAWS_PER_SECOND: u8 = 15;

/// Shows what happens. Dropping it, or [`View::finish`], takes the live lines away.
pub(crate) struct View {
    shared: Arc<Shared>,
    ticker: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    printer: Arc<Printer>,
    began: Instant,
    inner: Mutex<Inner>,
    stop: AtomicBool,
    wake: Condvar,
}

struct Inner {
    board: Board,
    live: Option<Live>,
}

/// The lines that are drawn again and again.
struct Live {
    all: MultiProgress,
    rows: Vec<ProgressBar>,
    status: ProgressBar,
    stage: String,
    /// Lines that are to be printed above with the next drawing.
    due: Vec<Line>,
}

impl View {
    /// Begins to show. On a terminal stages and running operations are live lines; elsewhere each event is a line.
    pub(crate) fn start(printer: &Arc<Printer>, verbose: bool) -> Self {
        let live = printer.people_look().terminal.then(Live::new);
        let shared = Arc::new(Shared {
            printer: Arc::clone(printer),
            began: Instant::now(),
            inner: Mutex::new(Inner { board: Board::new(verbose), live }),
            stop: AtomicBool::new(false),
            wake: Condvar::new(),
        });
        let of_ticker = Arc::clone(&shared);
        // Without the thread everything works but the lines that tell the time.
        let ticker = std::thread::Builder::new().name("progress".to_owned()).spawn(move || of_ticker.tick()).ok();
        Self { shared, ticker: Mutex::new(ticker) }
    }

    /// Prints a line that stays, above the live ones.
    pub(crate) fn say(&self, text: &str) {
        self.shared.print(&mut self.shared.lock(), vec![Line { tone: Tone::Warning, text: text.to_owned() }]);
    }

    /// Ends the show.
    pub(crate) fn finish(&self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.wake.notify_all();
        let ticker = self.ticker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ticker) = ticker {
            // A ticker that broke has said so already.
            let _ = ticker.join();
        }
        let live = self.shared.lock().live.take();
        if let Some(live) = live {
            let due = live.clear();
            self.shared.print(&mut self.shared.lock(), due);
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Observer for View {
    fn event(&self, event: &Event) {
        let shared = &self.shared;
        let mut inner = shared.lock();
        let mut lines = inner.board.take(event, shared.began.elapsed());
        if let Some(live) = &mut inner.live {
            if let Event::Stage(stage) = event {
                live.stage.clone_from(stage);
            }
            // That something begins is shown by its live line.
            lines.retain(|line| line.tone != Tone::Faint || matches!(event, Event::Output { .. }));
        }
        shared.print(&mut inner, lines);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints lines that stay; above live ones with their next drawing.
    fn print(&self, inner: &mut Inner, lines: Vec<Line>) {
        match &mut inner.live {
            Some(live) => live.due.extend(lines),
            None => self.write(&lines),
        }
    }

    fn write(&self, lines: &[Line]) {
        let color = self.printer.people_look().color;
        let text: String = lines.iter().map(|line| painted(line, color) + "\n").collect();
        if !text.is_empty() {
            self.printer.say(&text);
        }
    }

    fn tick(&self) {
        let mut inner = self.lock();
        while !self.stop.load(Ordering::SeqCst) {
            let now = self.began.elapsed();
            if inner.live.is_some() {
                let Inner { board, live } = &mut *inner;
                if let Some(live) = live {
                    let due = std::mem::take(&mut live.due);
                    if !due.is_empty() {
                        live.all.suspend(|| self.write(&due));
                    }
                    live.draw(board, now);
                }
            } else {
                let lines = inner.board.still(now);
                self.print(&mut inner, lines);
            }
            inner = self.wake.wait_timeout(inner, TICK).map_or_else(|poisoned| poisoned.into_inner().0, |(inner, _)| inner);
        }
    }
}

impl Live {
    fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND));
        let status = all.add(line());
        Self { all, rows: Vec::new(), status, stage: String::new(), due: Vec::new() }
    }

    fn draw(&mut self, board: &Board, now: Duration) {
        let rows = board.rows(now, ROWS_MAX);
        while self.rows.len() > rows.len() {
            if let Some(row) = self.rows.pop() {
                self.all.remove(&row);
            }
        }
        while self.rows.len() < rows.len() {
            self.rows.push(self.all.insert_before(&self.status, line()));
        }
        for (row, text) in self.rows.iter().zip(rows) {
            row.set_message(text);
        }
        self.status
            .set_message(board.status().unwrap_or_else(|| if self.stage.is_empty() { String::new() } else { format!("{}…", self.stage) }));
    }

    /// Takes the live lines away; gives what is still to be printed.
    fn clear(self) -> Vec<Line> {
        for row in self.rows.iter().chain([&self.status]) {
            row.finish_and_clear();
        }
        // A terminal that is gone has nothing to be cleared.
        let _ = self.all.clear();
        self.due
    }
}

/// A line that is as wide as the terminal at most.
fn line() -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::hidden().with_style(style)
}

fn painted(line: &Line, color: bool) -> String {
    let code = match line.tone {
        Tone::Plain => return line.text.clone(),
        Tone::Faint => "\u{1b}[2m",
        Tone::Warning => "\u{1b}[33m",
        Tone::Failed => "\u{1b}[31m",
    };
    if color { format!("{code}{}\u{1b}[0m", line.text) } else { line.text.clone() }
}
