//! What happens as JSON, one event a line, in the form of Terraform's `apply -json`. Each line is written when it happens.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cloudtik::model::{Address, Diagnostics, EventLevel, OutputState, ProviderRef, SourceMap};
use cloudtik::planner::{
    Action, EventCounts, EventResource, OutputValue, Plan, ResourceNames, TERRAFORM_VERSION, event_action, event_changes, event_counts,
    event_drift, summary,
};
use cloudtik::{Event, Failure, Observer, OperationWord, Progress};
use serde::Serialize;

use super::super::Exit;
use super::super::diagnostics;
use super::super::printer::Printer;
use super::super::values::{timestamp, took};
use super::board::{STILL_EVERY, said};

/// Version of the form of events, as Terraform counts.
const UI_VERSION: &str = "1.2";
/// How often it is looked whether something takes long.
const TICK: Duration = Duration::from_secs(1);

/// Tells what happens.
pub(crate) struct Stream {
    shared: Arc<Shared>,
    ticker: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    printer: Arc<Printer>,
    inner: Mutex<Inner>,
    stop: AtomicBool,
    wake: Condvar,
}

#[derive(Default)]
struct Inner {
    names: ResourceNames,
    known: BTreeMap<Address, Known>,
    running: BTreeMap<(Address, OperationWord), Running>,
    done: EventCounts,
}

/// What the plan says of an address.
struct Known {
    kind: Arc<str>,
    provider: ProviderRef,
    action: &'static str,
    is_step: bool,
    id: Option<String>,
}

struct Running {
    since: Instant,
    /// How many times it was said to be still running.
    told: u32,
}

/// A line: what all events have, and what this one has beside.
#[derive(Serialize)]
struct Line<'a, T> {
    #[serde(rename = "@level")]
    level: &'a str,
    #[serde(rename = "@message")]
    message: &'a str,
    #[serde(rename = "@module")]
    module: &'static str,
    #[serde(rename = "@timestamp")]
    timestamp: String,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(flatten)]
    more: T,
}

#[derive(Serialize)]
struct Version {
    terraform: &'static str,
    cloudtik: &'static str,
    ui: &'static str,
}

#[derive(Serialize)]
struct Change<T> {
    change: T,
}

#[derive(Serialize)]
struct Changes {
    changes: Counted,
}

#[derive(Serialize)]
struct Counted {
    #[serde(flatten)]
    counts: EventCounts,
    operation: &'static str,
}

#[derive(Serialize)]
struct Hooked<'a> {
    hook: Hook<'a>,
}

#[derive(Serialize)]
struct Hook<'a> {
    resource: EventResource<'a>,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_key: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed_seconds: Option<u64>,
}

#[derive(Serialize)]
struct Outputs<'a> {
    outputs: BTreeMap<&'a str, OutputValue<'a>>,
}

#[derive(Serialize)]
struct Told {
    diagnostic: serde_json::Value,
}

#[derive(Serialize)]
struct About<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    cloudtik: Option<Whose<'a>>,
}

/// Whose line it is.
#[derive(Serialize)]
struct Whose<'a> {
    address: &'a str,
}

impl Stream {
    /// Begins, with the versions.
    pub(crate) fn start(printer: &Arc<Printer>) -> Self {
        let shared = Arc::new(Shared {
            printer: Arc::clone(printer),
            inner: Mutex::new(Inner::default()),
            stop: AtomicBool::new(false),
            wake: Condvar::new(),
        });
        let version = Version { terraform: TERRAFORM_VERSION, cloudtik: cloudtik::VERSION, ui: UI_VERSION };
        shared.tell("info", "version", &format!("cloudtik {}", cloudtik::VERSION), version);
        let of_ticker = Arc::clone(&shared);
        // Without the thread everything works but the events that tell that something goes on.
        let ticker = std::thread::Builder::new().name("progress".to_owned()).spawn(move || of_ticker.tick()).ok();
        Self { shared, ticker: Mutex::new(ticker) }
    }

    /// Tells a plan, and keeps of it what later events are about.
    pub(crate) fn plan(&self, plan: &Plan) {
        for drift in event_drift(plan) {
            let message = format!("{}: drift detected ({})", drift.resource.address(), drift.action);
            self.shared.tell("info", "resource_drift", &message, Change { change: drift });
        }
        for change in event_changes(plan) {
            let message = format!("{}: plan to {}", change.resource.address(), change.action);
            self.shared.tell("info", "planned_change", &message, Change { change });
        }
        let changes = Counted { counts: event_counts(plan), operation: "plan" };
        self.shared.tell("info", "change_summary", &summary(plan), Changes { changes });
        let mut inner = self.shared.lock();
        inner.names = ResourceNames::of_plan(plan);
        inner.known = plan
            .changes
            .iter()
            .filter(|(_, change)| change.action != Action::NoOp || !change.deposed.is_empty())
            .map(|(address, change)| {
                let (kind, provider) = (Arc::clone(&change.kind), change.provider.clone());
                (address.clone(), Known { kind, provider, action: event_action(change), is_step: change.is_step(), id: change.id.clone() })
            })
            .collect();
    }

    /// Tells what is doubtful or wrong.
    pub(crate) fn diagnostics(&self, found: &Diagnostics, sources: &SourceMap) {
        for diagnostic in found.iter() {
            let (level, word) = if diagnostic.is_error() { ("error", "Error") } else { ("warn", "Warning") };
            let told = Told { diagnostic: diagnostics::one(diagnostic, sources) };
            self.shared.tell(level, "diagnostic", &format!("{word}: {}", diagnostic.title), told);
        }
    }

    /// Tells why something did not work, and says how the command ends for it.
    pub(crate) fn failure(&self, failure: &Failure) -> Exit {
        self.diagnostics(&failure.diagnostics, &failure.sources);
        Exit::from(failure.kind)
    }

    /// Tells something that has no form of its own.
    pub(crate) fn log(&self, level: &str, text: &str) {
        self.shared.log(level, text, None);
    }

    /// Tells how much was done.
    pub(crate) fn done(&self, destroys: bool) {
        let counts = self.shared.lock().done;
        let (what, operation) = if destroys { ("Destroy", "destroy") } else { ("Apply", "apply") };
        let message = format!("{what}: {} added, {} changed, {} removed.", counts.add, counts.change, counts.remove);
        self.shared.tell("info", "change_summary", &message, Changes { changes: Counted { counts, operation } });
    }

    /// Tells the results, without the values of those that are sensitive.
    pub(crate) fn outputs(&self, outputs: &BTreeMap<String, OutputState>) {
        let marked: BTreeMap<&str, _> =
            outputs.iter().map(|(name, output)| (name.as_str(), output.value.clone().marked(output.sensitive))).collect();
        let outputs = marked.iter().map(|(name, value)| (*name, OutputValue::new(value, value.has_sensitive()))).collect();
        self.shared.tell("info", "outputs", &format!("Outputs: {}", marked.len()), Outputs { outputs });
    }

    /// Ends what is told by itself.
    pub(crate) fn finish(&self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.wake.notify_all();
        if let Some(ticker) = self.ticker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A ticker that broke has said so already.
            let _ = ticker.join();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Observer for Stream {
    fn event(&self, event: &Event) {
        let shared = &self.shared;
        match event {
            Event::Operations(_) => {}
            Event::Stage(text) => shared.log("info", text, None),
            Event::Warning(text) => shared.log("warn", text, None),
            Event::Output { address, text, .. } => text.lines().for_each(|line| shared.log("info", line, Some(&address.to_string()))),
            Event::Controller(event) => {
                let level = match event.level {
                    EventLevel::Info => "info",
                    EventLevel::Warning => "warn",
                    EventLevel::Error => "error",
                };
                shared.log(level, &event.text, event.address.as_deref());
            }
            Event::Progress(progress) => shared.progress(progress),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, level: &str, kind: &str, message: &str, more: impl Serialize) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.printer.json_line(&Line { level, message, module: "cloudtik.ui", timestamp: timestamp(now), kind, more });
    }

    fn log(&self, level: &str, text: &str, address: Option<&str>) {
        self.tell(level, "log", text, About { cloudtik: address.map(|address| Whose { address }) });
    }

    fn progress(&self, progress: &Progress) {
        let mut inner = self.lock();
        match progress {
            Progress::Began { address, word, .. } => self.began(&mut inner, address, *word),
            Progress::Retrying { address, tries, error, .. } => {
                self.log("warn", &format!("{} (try {tries}); trying again", error.message), Some(&address.to_string()));
            }
            Progress::Done { address, word, took_ms, id } => {
                self.is_begun(&mut inner, address, *word);
                let (took_ms, how) = (Duration::from_millis(*took_ms), said(*word).map_or("done", |said| said.done));
                self.ended(&mut inner, (address, *word), ("info", "apply_complete"), took_ms, id.as_deref(), how);
                if let Some(action) = inner.action(address, *word) {
                    inner.done.count(action);
                }
            }
            Progress::Failed { address, word, error } => {
                self.is_begun(&mut inner, address, *word);
                let elapsed = inner.elapsed(address, *word);
                self.ended(&mut inner, (address, *word), ("error", "apply_errored"), elapsed, None, &format!("failed: {}", error.message));
            }
            Progress::GivenUp { address, word, error } => {
                let elapsed = inner.elapsed(address, *word);
                let how = format!("failed, and its node goes all the same: {}", error.message);
                self.ended(&mut inner, (address, *word), ("warn", "apply_complete"), elapsed, None, &how);
            }
            Progress::Skipped { address, because, .. } => {
                self.log("warn", &format!("not done, because {because} failed"), Some(&address.to_string()));
            }
        }
    }

    /// What takes no time is not said to begin: whoever follows wants a begin for each end.
    fn is_begun(&self, inner: &mut Inner, address: &Address, word: OperationWord) {
        if !inner.running.contains_key(&(address.clone(), word)) {
            self.began(inner, address, word);
        }
    }

    fn began(&self, inner: &mut Inner, address: &Address, word: OperationWord) {
        inner.running.insert((address.clone(), word), Running { since: Instant::now(), told: 0 });
        let id =
            inner.known.get(address).filter(|known| !known.is_step && word != OperationWord::Create).and_then(|known| known.id.as_deref());
        if let (Some(said), Some(hook)) = (said(word), inner.hook(address, word, id, None)) {
            self.tell("info", "apply_start", &format!("{address}: {}…", said.doing), Hooked { hook });
        }
    }

    fn ended(
        &self,
        inner: &mut Inner,
        (address, word): (&Address, OperationWord),
        (level, kind): (&str, &str),
        elapsed: Duration,
        id: Option<&str>,
        how: &str,
    ) {
        inner.running.remove(&(address.clone(), word));
        // Beside a replaced object stands another one.
        let id = id.filter(|_| word != OperationWord::DeleteDeposed && inner.known.get(address).is_some_and(|known| !known.is_step));
        if let (Some(_), Some(hook)) = (said(word), inner.hook(address, word, id, Some(elapsed))) {
            self.tell(level, kind, &format!("{address}: {how} after {}", took(elapsed)), Hooked { hook });
        }
    }

    fn tick(&self) {
        let mut inner = self.lock();
        while !self.stop.load(Ordering::SeqCst) {
            for ((address, word), running) in inner.due() {
                if let (Some(said), Some(hook)) = (said(word), inner.hook(&address, word, None, Some(running))) {
                    self.tell("info", "apply_progress", &format!("{address}: still {} ({})", said.doing, took(running)), Hooked { hook });
                }
            }
            inner = self.wake.wait_timeout(inner, TICK).map_or_else(|poisoned| poisoned.into_inner().0, |(inner, _)| inner);
        }
    }
}

impl Inner {
    /// What is said of an operation; nothing of what the plan does not know.
    fn hook<'a>(&'a self, address: &'a Address, word: OperationWord, id: Option<&'a str>, elapsed: Option<Duration>) -> Option<Hook<'a>> {
        let known = self.known.get(address)?;
        Some(Hook {
            resource: EventResource::new(&self.names, address, &known.kind, &known.provider),
            action: self.action(address, word)?,
            id_key: id.map(|_| "id"),
            id_value: id,
            elapsed_seconds: elapsed.map(|elapsed| elapsed.as_secs()),
        })
    }

    /// Terraform's word for an operation: a replacement is a delete and a create, and a step that runs for the first time is a create.
    fn action(&self, address: &Address, word: OperationWord) -> Option<&'static str> {
        let planned = self.known.get(address).map(|known| known.action);
        Some(match word {
            OperationWord::Create => "create",
            OperationWord::Update => "update",
            OperationWord::Import => "import",
            OperationWord::Delete | OperationWord::DeleteDeposed | OperationWord::Undo => "delete",
            OperationWord::Run => {
                if planned == Some("update") {
                    "update"
                } else {
                    "create"
                }
            }
            OperationWord::Forget | OperationWord::Record => return None,
        })
    }

    fn elapsed(&self, address: &Address, word: OperationWord) -> Duration {
        self.running.get(&(address.clone(), word)).map_or(Duration::ZERO, |running| running.since.elapsed())
    }

    /// What is due to be said to be still running.
    fn due(&mut self) -> Vec<((Address, OperationWord), Duration)> {
        let mut due = Vec::new();
        for (name, running) in &mut self.running {
            let elapsed = running.since.elapsed();
            if elapsed >= STILL_EVERY * (running.told + 1) {
                running.told = u32::try_from(elapsed.as_secs() / STILL_EVERY.as_secs()).unwrap_or(u32::MAX - 1);
                due.push((name.clone(), elapsed));
            }
        }
        due
    }
}
