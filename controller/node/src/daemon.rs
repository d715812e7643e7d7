//! One supervised process: a task that owns it, starts it, watches its readiness, brings it back when it ends, and stops it.
//!
//! Everything that may happen to the process is one arm of one `select`, so that a stop is heard in every state.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloudtik_model::{DaemonSpec, Readiness};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use crate::durable;
use crate::error::whole;
use crate::layout::{DAEMON_VARIABLE, Layout};
use crate::limits::{DRAIN_TIMEOUT, FOREIGN_ANSWER_TIME, RESTART_WAIT_FIRST, RESTART_WAIT_MAX, RESTARTS_REMEMBERED_MAX, SETTLE_TIME};
use crate::logs::{Log, pump};
use crate::proc::ProcessIdentity;
use crate::process::{Children, Launch, Tracked, describe, lock};
use crate::readiness::{probe, target, wait_until_ready};

/// Why a daemon could not be brought up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DaemonFailure {
    /// Exit code, where it ended by itself.
    pub(crate) code: Option<i32>,
    /// What happened, with the last lines of its log.
    pub(crate) reason: String,
    /// Whether it lives but did not become ready in time.
    pub(crate) timed_out: bool,
}

impl DaemonFailure {
    pub(crate) fn plain(reason: impl Into<String>) -> Self {
        Self { code: None, reason: reason.into(), timed_out: false }
    }
}

/// What an `apply` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It was running with this spec and ready.
    AlreadyUp,
    /// It was asked to read its configuration again.
    Reloaded,
    /// It was started, or stopped and started.
    Started,
}

/// What a daemon is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DaemonState {
    /// Not running, and nobody asked for it yet.
    Stopped,
    /// Running, not ready yet.
    Starting,
    /// Running and ready.
    Ready,
    /// Running, and not ready within its time.
    NotReady,
    /// Ended, and waiting for its restart.
    Waiting,
    /// Ended, and given up.
    Failed,
}

/// What the status shows of a daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct DaemonView {
    pub(crate) state: DaemonState,
    pub(crate) pid: Option<i32>,
    /// Restarts after an end, since the agent started.
    pub(crate) restarts: u64,
    /// How it ended the last time.
    pub(crate) last_exit: Option<String>,
    /// When it was last started by a step or by the agent's start: the order in which the node stops is the reverse of this.
    #[serde(skip)]
    pub(crate) started_order: u64,
    #[serde(skip)]
    pub(crate) spec: DaemonSpec,
}

type Answer = Result<Applied, DaemonFailure>;

enum Command {
    Apply { spec: Box<DaemonSpec>, order: u64, bring_back: bool, answer: oneshot::Sender<Answer> },
    Stop { answer: oneshot::Sender<()> },
}

/// The handle of a daemon's task.
#[derive(Clone)]
pub(crate) struct Daemon {
    commands: mpsc::Sender<Command>,
    view: Arc<Mutex<DaemonView>>,
}

impl Daemon {
    /// Makes the task; nothing is started yet.
    pub(crate) fn new(spec: DaemonSpec, layout: &Layout, base: Arc<BTreeMap<String, String>>, children: Children) -> Self {
        let (commands, inbox) = mpsc::channel(16);
        let view =
            DaemonView { state: DaemonState::Stopped, pid: None, restarts: 0, last_exit: None, started_order: 0, spec: spec.clone() };
        let view = Arc::new(Mutex::new(view));
        let task = Task {
            log_path: layout.daemon_log(&spec.name),
            process_path: layout.daemon_process(&spec.name),
            root: layout.root().to_path_buf(),
            spec,
            base,
            children,
            view: Arc::clone(&view),
            log: None,
            restarts: VecDeque::new(),
        };
        tokio::spawn(task.run(inbox));
        Self { commands, view }
    }

    /// Brings it up with this spec and waits until it is ready or has failed.
    pub(crate) async fn apply(&self, spec: DaemonSpec, order: u64) -> Answer {
        self.bring_up(spec, order, false).await
    }

    /// Brings it up after a start of the agent: an end before it is ready is retried within the restart budget.
    pub(crate) async fn bring_back(&self, order: u64) -> Answer {
        let spec = self.view().spec;
        self.bring_up(spec, order, true).await
    }

    async fn bring_up(&self, spec: DaemonSpec, order: u64, bring_back: bool) -> Answer {
        let (answer, at_answer) = oneshot::channel();
        let gone = || DaemonFailure::plain("the daemon was stopped meanwhile");
        self.commands.send(Command::Apply { spec: Box::new(spec), order, bring_back, answer }).await.map_err(|_| gone())?;
        at_answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Stops it; answers when it is gone.
    pub(crate) async fn stop(&self) {
        let (answer, at_answer) = oneshot::channel();
        if self.commands.send(Command::Stop { answer }).await.is_ok() {
            // A task that is gone has nothing left to stop.
            let _ = at_answer.await;
        }
    }

    /// What it is doing.
    pub(crate) fn view(&self) -> DaemonView {
        lock(&self.view).clone()
    }
}

/// Whether a name can be a daemon's: it becomes a file name.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
    (1..=100).contains(&name.len()) && !name.starts_with('.') && name.chars().all(plain)
}

/// `TERM` or `SIGTERM`, as a signal.
pub(crate) fn signal_named(name: &str) -> Result<Signal, DaemonFailure> {
    let long = if name.starts_with("SIG") { name.to_owned() } else { format!("SIG{name}") };
    long.parse().map_err(|_| DaemonFailure::plain(format!("`{name}` is not the name of a signal")))
}

/// What the task waits for.
enum Phase {
    /// For a command.
    Idle,
    /// For the end of the process.
    Running(Box<Running>),
    /// For the time of its restart.
    Waiting(Instant),
}

struct Running {
    process: Tracked,
    log_done: oneshot::Receiver<()>,
    watch: Option<Watch>,
}

/// Somebody, or only the view, waits for the readiness.
struct Watch {
    ready: Pin<Box<dyn Future<Output = ()> + Send>>,
    last_look: Arc<Mutex<String>>,
    deadline: Instant,
    applied: Applied,
    /// Something answered before the process was started; see [`FOREIGN_ANSWER_TIME`].
    foreign: bool,
    answer: Option<oneshot::Sender<Answer>>,
    /// An end within the watch is an answer, not a reason to restart.
    strict: bool,
}

struct Task {
    spec: DaemonSpec,
    root: PathBuf,
    log_path: PathBuf,
    process_path: PathBuf,
    base: Arc<BTreeMap<String, String>>,
    children: Children,
    view: Arc<Mutex<DaemonView>>,
    log: Option<Arc<Mutex<Log>>>,
    restarts: VecDeque<Instant>,
}

/// What the `select` of the task saw.
enum Event {
    Command(Option<Command>),
    Ended(std::io::Result<ExitStatus>),
    Ready,
    ReadyTimeout,
    RestartTime,
}

impl Task {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        let mut phase = Phase::Idle;
        loop {
            let event = next_event(&mut phase, &mut inbox).await;
            phase = match event {
                Event::Command(None) => {
                    self.stop(phase).await;
                    return;
                }
                Event::Command(Some(Command::Stop { answer })) => {
                    self.stop(phase).await;
                    // The one who asked may have gone.
                    let _ = answer.send(());
                    Phase::Idle
                }
                Event::Command(Some(Command::Apply { spec, order, bring_back, answer })) => {
                    self.apply(phase, *spec, order, bring_back, answer).await
                }
                Event::Ended(status) => self.ended(phase, status).await,
                Event::Ready => self.became_ready(phase),
                Event::ReadyTimeout => self.not_ready(phase).await,
                Event::RestartTime => self.restart(),
            };
        }
    }

    async fn apply(&mut self, phase: Phase, spec: DaemonSpec, order: u64, bring_back: bool, answer: oneshot::Sender<Answer>) -> Phase {
        let running = matches!(phase, Phase::Running(_));
        let same = spec == self.spec;
        let reload = if running && !same && is_only_generation(&self.spec, &spec) { spec.reload_signal.clone() } else { None };
        if running && same {
            return self.watch_again(phase, Applied::AlreadyUp, answer);
        }
        if let Some(signal) = reload {
            return self.reload(phase, spec, &signal, answer);
        }
        self.stop(phase).await;
        self.restarts.clear();
        self.log = None;
        self.spec = spec;
        self.publish(|view| view.started_order = order);
        let foreign = match (&self.spec.ready, bring_back) {
            (Some(ready), false) => probe(ready).await.is_ok(),
            _ => false,
        };
        match self.start() {
            Ok(mut running) => {
                running.watch = Some(self.watch(Applied::Started, foreign, Some(answer), !bring_back));
                Phase::Running(running)
            }
            Err(failure) if bring_back => {
                reply(answer, Err(failure.clone()));
                self.schedule_restart(failure.reason)
            }
            Err(failure) => {
                self.publish(|view| view.state = DaemonState::Failed);
                reply(answer, Err(failure));
                Phase::Idle
            }
        }
    }

    fn reload(&mut self, phase: Phase, spec: DaemonSpec, signal: &str, answer: oneshot::Sender<Answer>) -> Phase {
        match signal_named(signal) {
            Ok(signal) => {
                self.spec = spec;
                if let Phase::Running(running) = &phase {
                    running.process.signal(signal);
                }
                self.watch_again(phase, Applied::Reloaded, answer)
            }
            Err(failure) => {
                reply(answer, Err(failure));
                phase
            }
        }
    }

    /// A new watch over a process that runs; whoever waited on the former one is told that the wait goes on elsewhere.
    fn watch_again(&mut self, phase: Phase, applied: Applied, answer: oneshot::Sender<Answer>) -> Phase {
        let Phase::Running(mut running) = phase else { return phase };
        let earlier = running.watch.take();
        let (still_starting, foreign, strict) = match &earlier {
            Some(watch) => (watch.applied == Applied::Started, watch.foreign, watch.strict),
            None => (false, false, false),
        };
        if let Some(answer) = earlier.and_then(|watch| watch.answer) {
            reply(answer, Err(DaemonFailure::plain("another step took over this daemon while it was starting")));
        }
        let applied = if still_starting { Applied::Started } else { applied };
        // A daemon that was up already goes on being supervised when it ends within this watch: the step fails, the restart comes.
        let mut watch = self.watch(applied, foreign, Some(answer), strict);
        match applied {
            Applied::AlreadyUp if self.spec.ready.is_none() => watch.ready = Box::pin(std::future::ready(())),
            Applied::Reloaded => watch.ready = settled(watch.ready),
            _ => {}
        }
        running.watch = Some(watch);
        self.publish(|_| {});
        Phase::Running(running)
    }

    fn watch(&self, applied: Applied, foreign: bool, answer: Option<oneshot::Sender<Answer>>, strict: bool) -> Watch {
        let last_look = Arc::new(Mutex::new(String::new()));
        let limit = Duration::from_secs(self.spec.ready_timeout_secs);
        Watch {
            ready: ready_future(self.spec.ready.clone(), foreign, limit, Arc::clone(&last_look)),
            last_look,
            // A daemon without readiness is watched for its settle time, however short its time limit is.
            deadline: Instant::now() + limit.max(SETTLE_TIME * 2),
            applied,
            foreign,
            answer,
            strict,
        }
    }

    fn start(&mut self) -> Result<Box<Running>, DaemonFailure> {
        let (log, reader, writer) = self.open_log()?;
        let twin = writer.try_clone().map_err(|error| DaemonFailure::plain(format!("cannot make a pipe: {error}")))?;
        let mut env = self.spec.env.clone();
        env.insert(DAEMON_VARIABLE.to_owned(), self.spec.name.clone());
        let cwd = self.spec.cwd.as_ref().map_or_else(|| self.root.clone(), PathBuf::from);
        let launch = Launch {
            argv: &self.spec.argv,
            base: &self.base,
            env: &env,
            cwd: Some(&cwd),
            user: self.spec.user.as_deref(),
            stdout: writer.into(),
            stderr: twin.into(),
        };
        let process = self.children.spawn(launch).map_err(|error| DaemonFailure::plain(whole(&error)))?;
        let pid = process.pid();
        let log_done = pump(reader, log, &self.spec.name).map_err(|error| DaemonFailure::plain(format!("cannot start a thread: {error}")));
        let recorded = match ProcessIdentity::of(pid) {
            Some(identity) => durable::write_record(&self.process_path, &identity).map_err(|error| DaemonFailure::plain(error.whole())),
            // It has ended already; the task will see it.
            None => Ok(()),
        };
        match (log_done, recorded) {
            (Ok(log_done), Ok(())) => {
                self.publish(|view| {
                    view.state = DaemonState::Starting;
                    view.pid = Some(pid);
                });
                Ok(Box::new(Running { process, log_done, watch: None }))
            }
            (Err(failure), _) | (_, Err(failure)) => {
                process.signal_group(Signal::SIGKILL);
                Err(failure)
            }
        }
    }

    fn open_log(&mut self) -> Result<(Arc<Mutex<Log>>, std::io::PipeReader, std::io::PipeWriter), DaemonFailure> {
        let log = match &self.log {
            Some(log) => Arc::clone(log),
            None => {
                let log = Log::open(self.log_path.clone(), self.spec.log_bytes_max)
                    .map_err(|error| DaemonFailure::plain(format!("cannot open the log `{}`: {error}", self.log_path.display())))?;
                Arc::clone(self.log.insert(Arc::new(Mutex::new(log))))
            }
        };
        lock(&log).forget_tail();
        let (reader, writer) = std::io::pipe().map_err(|error| DaemonFailure::plain(format!("cannot make a pipe: {error}")))?;
        Ok((log, reader, writer))
    }

    async fn ended(&mut self, phase: Phase, status: std::io::Result<ExitStatus>) -> Phase {
        let Phase::Running(running) = phase else { return phase };
        let (how, code) = match status {
            Ok(status) => (describe(status), status.code()),
            Err(error) => (format!("cannot be waited for: {error}"), None),
        };
        let watch = self.clear(running).await;
        self.publish(|view| view.last_exit = Some(how.clone()));
        let strict = watch.as_ref().is_some_and(|watch| watch.strict);
        if let Some(Watch { answer: Some(answer), applied, .. }) = watch {
            let name = &self.spec.name;
            let sentence = match applied {
                Applied::Reloaded => format!("the daemon `{name}` was asked to read its configuration again and {how}"),
                Applied::AlreadyUp | Applied::Started => format!("the daemon `{name}` {how} before it was ready"),
            };
            reply(answer, Err(DaemonFailure { code, reason: self.with_tail(&sentence), timed_out: false }));
        }
        if strict {
            self.publish(|view| view.state = DaemonState::Failed);
            return Phase::Idle;
        }
        self.schedule_restart(how)
    }

    fn became_ready(&mut self, phase: Phase) -> Phase {
        let Phase::Running(mut running) = phase else { return phase };
        if let Some(watch) = running.watch.take()
            && let Some(answer) = watch.answer
        {
            reply(answer, Ok(watch.applied));
        }
        self.publish(|view| view.state = DaemonState::Ready);
        Phase::Running(running)
    }

    async fn not_ready(&mut self, phase: Phase) -> Phase {
        let Phase::Running(mut running) = phase else { return phase };
        let Some(watch) = running.watch.take() else { return Phase::Running(running) };
        let last = lock(&watch.last_look).clone();
        let place = self.spec.ready.as_ref().map(target).unwrap_or_default();
        let name = self.spec.name.clone();
        if watch.foreign {
            let reason = self.with_tail(&format!(
                "another process answered at {place} before the daemon `{name}` was started; end it, or choose another port"
            ));
            self.stop(Phase::Running(running)).await;
            self.publish(|view| view.state = DaemonState::Failed);
            if let Some(answer) = watch.answer {
                reply(answer, Err(DaemonFailure::plain(reason)));
            }
            return Phase::Idle;
        }
        self.publish(|view| view.state = DaemonState::NotReady);
        if let Some(answer) = watch.answer {
            let seconds = self.spec.ready_timeout_secs;
            let reason = self.with_tail(&format!("the daemon `{name}` runs, and {place} did not answer within {seconds} s: {last}"));
            reply(answer, Err(DaemonFailure { code: None, reason, timed_out: true }));
        }
        Phase::Running(running)
    }

    fn schedule_restart(&mut self, how: String) -> Phase {
        let now = Instant::now();
        let window = Duration::from_secs(self.spec.restart_window_secs);
        self.restarts.retain(|restart| now.duration_since(*restart) < window);
        let count = self.restarts.len();
        if count >= usize::try_from(self.spec.restarts_max).unwrap_or(usize::MAX).min(RESTARTS_REMEMBERED_MAX) {
            self.publish(|view| {
                view.state = DaemonState::Failed;
                view.last_exit = Some(how);
            });
            return Phase::Idle;
        }
        self.restarts.push_back(now);
        self.publish(|view| {
            view.state = DaemonState::Waiting;
            view.last_exit = Some(how);
        });
        let doublings = u32::try_from(count).unwrap_or(u32::MAX);
        let wait = RESTART_WAIT_FIRST.saturating_mul(2_u32.saturating_pow(doublings)).min(RESTART_WAIT_MAX);
        Phase::Waiting(now + wait)
    }

    fn restart(&mut self) -> Phase {
        self.publish(|view| view.restarts = view.restarts.saturating_add(1));
        match self.start() {
            Ok(mut running) => {
                running.watch = Some(self.watch(Applied::Started, false, None, false));
                Phase::Running(running)
            }
            Err(failure) => self.schedule_restart(failure.reason),
        }
    }

    /// Signal, grace, KILL of the group.
    async fn stop(&mut self, phase: Phase) {
        if let Phase::Running(mut running) = phase {
            let signal = signal_named(&self.spec.stop_signal).unwrap_or(Signal::SIGTERM);
            running.process.signal(signal);
            let grace = Duration::from_secs(self.spec.stop_grace_secs);
            let status = match timeout(grace, running.process.wait()).await {
                Ok(status) => status,
                Err(_) => {
                    running.process.signal_group(Signal::SIGKILL);
                    running.process.wait().await
                }
            };
            let how = status.map_or_else(|error| format!("cannot be waited for: {error}"), describe);
            let watch = self.clear(running).await;
            if let Some(answer) = watch.and_then(|watch| watch.answer) {
                reply(answer, Err(DaemonFailure::plain(format!("the daemon `{}` was stopped while it was starting", self.spec.name))));
            }
            self.publish(|view| view.last_exit = Some(how));
        }
        self.publish(|view| view.state = DaemonState::Stopped);
    }

    /// What remains after the end of the main process: its group, its record, the last bytes of its log.
    async fn clear(&mut self, running: Box<Running>) -> Option<Watch> {
        let Running { process, log_done, watch } = *running;
        process.signal_group(Signal::SIGKILL);
        // A process that left the group may hold the pipe for ever.
        let _ = timeout(DRAIN_TIMEOUT, log_done).await;
        self.publish(|view| view.pid = None);
        // A record that stays names a process that is gone, and is found out by its start time.
        let _ = std::fs::remove_file(&self.process_path);
        watch
    }

    fn with_tail(&self, sentence: &str) -> String {
        let tail = self.log.as_ref().map(|log| lock(log).tail()).unwrap_or_default();
        if tail.is_empty() { format!("{sentence}; its log is empty") } else { format!("{sentence}; the end of its log:\n{tail}") }
    }

    fn publish(&self, change: impl FnOnce(&mut DaemonView)) {
        let mut view = lock(&self.view);
        view.spec.clone_from(&self.spec);
        change(&mut view);
    }
}

async fn next_event(phase: &mut Phase, inbox: &mut mpsc::Receiver<Command>) -> Event {
    match phase {
        Phase::Idle => Event::Command(inbox.recv().await),
        Phase::Waiting(until) => {
            tokio::select! {
                command = inbox.recv() => Event::Command(command),
                () = tokio::time::sleep_until(*until) => Event::RestartTime,
            }
        }
        Phase::Running(running) => {
            let Running { process, watch, .. } = running.as_mut();
            match watch {
                None => tokio::select! {
                    command = inbox.recv() => Event::Command(command),
                    status = process.wait() => Event::Ended(status),
                },
                Some(watch) => tokio::select! {
                    // An end is told before a readiness that somebody else may have answered.
                    biased;
                    status = process.wait() => Event::Ended(status),
                    command = inbox.recv() => Event::Command(command),
                    () = &mut watch.ready => if watch.foreign { Event::ReadyTimeout } else { Event::Ready },
                    () = tokio::time::sleep_until(watch.deadline) => Event::ReadyTimeout,
                },
            }
        }
    }
}

/// Ends when the daemon counts as up; or, where something else answered before the start, when the daemon has had its time to say so.
fn ready_future(
    ready: Option<Readiness>,
    foreign: bool,
    limit: Duration,
    last_look: Arc<Mutex<String>>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        match ready {
            _ if foreign => sleep(FOREIGN_ANSWER_TIME.min(limit)).await,
            Some(ready) => wait_until_ready(&ready, |text| *lock(&last_look) = text).await,
            None => sleep(SETTLE_TIME).await,
        }
    })
}

/// A daemon that takes its new configuration badly gets a moment to end, before an answer of the old one counts.
fn settled(ready: Pin<Box<dyn Future<Output = ()> + Send>>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        sleep(SETTLE_TIME).await;
        ready.await;
    })
}

fn is_only_generation(old: &DaemonSpec, new: &DaemonSpec) -> bool {
    let with_generation = DaemonSpec { generation: new.generation.clone(), ..old.clone() };
    with_generation == *new && old.generation != new.generation
}

fn reply(answer: oneshot::Sender<Answer>, outcome: Answer) {
    // The run that asked may be gone with the agent's end.
    let _ = answer.send(outcome);
}
