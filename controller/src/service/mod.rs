//! The controller as a process of the head: its store on disk, its socket, the driver. The part that waits, listens and writes files.
//!
//! It starts again by itself whatever ends it: the store has everything. While its disk is full or its store cannot be read it says so to
//! whoever asks, and tries again.

#![expect(clippy::disallowed_methods, reason = "this is the service around the state machine: it waits, listens and reads the clock")]

mod api;
mod events;
mod pushes;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cloudtik_executor::driver::{
    ArtifactCache, Clouds, DriveError, DriverInput, DriverObserver, HandlebarsRenderer, NodeTimeouts, OwnNode, drive,
};
use cloudtik_executor::durable::{DataDir, DurableError, Holder, OsEntropy, SessionStore, StateLock, random_id};
use cloudtik_executor::engine::{Command, Event, Progress, Step};
use cloudtik_model::{Address, ControllerEvent, ControllerStatus, ProviderRef, Value};
use cloudtik_provider_api::{Provider, ProviderSchema};
use thiserror::Error;

use crate::machine::{Controller, ControllerInput, HeadIdentity, Pushed, Times};
use events::EventFile;
use pushes::{PushError, Pushes};

/// Between two tries to open a store that cannot be opened: whoever makes room on the disk sees it go on soon.
const RETRY: Duration = Duration::from_secs(2);
/// Between two looks whether the first configuration came: an apply waits for it.
const FIRST_PUSH_POLL: Duration = Duration::from_millis(50);

/// How long a worker's handshake may take: a new one on a busy machine needs some seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// What the service is started with.
pub struct ServiceOptions {
    /// The folder of its store.
    pub root: PathBuf,
    /// The folder of the node; the socket is in its `run`.
    pub node_root: PathBuf,
    /// The provider's id of the instance that it runs on.
    pub instance: String,
    /// The providers that may make workers, by type.
    pub providers: BTreeMap<&'static str, Arc<dyn Provider>>,
    /// Our version.
    pub tool_version: String,
}

/// Why the service ended.
#[derive(Debug, Error)]
pub enum ServiceError {
    /// A folder or the socket cannot be used.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The store is in other hands or cannot be made.
    #[error("the controller's store cannot be used")]
    Store(#[source] DurableError),
    /// The system gives no thread or runtime.
    #[error("the controller's runtime cannot be started")]
    Runtime(#[source] std::io::Error),
}

/// What the threads of the service share.
struct Shared {
    machine: Mutex<Option<Controller>>,
    /// Why there is no machine now.
    problem: Mutex<Option<String>>,
    pushes: Mutex<Pushes>,
    stop: AtomicBool,
    /// The machine must be made again: its providers changed.
    again: AtomicBool,
    /// Somebody wants the cluster, and there was no machine to tell.
    stay: AtomicBool,
    events: Mutex<EventFile>,
    tool_version: String,
}

impl Shared {
    fn machine(&self) -> MutexGuard<'_, Option<Controller>> {
        lock(&self.machine)
    }

    fn say(&self, problem: Option<String>) {
        *lock(&self.problem) = problem;
    }

    fn status(&self) -> ControllerStatus {
        let mut status = match &*self.machine() {
            Some(machine) => machine.status(),
            None => ControllerStatus { tool_version: self.tool_version.clone(), ..ControllerStatus::default() },
        };
        if status.generation == 0
            && let Some(pushed) = lock(&self.pushes).latest()
        {
            (status.generation, status.digest) = (pushed.generation, Some(pushed.push.digest));
            (status.uid, status.epoch) = (pushed.push.uid.clone(), pushed.push.epoch);
            status.login_key = pushed.login_key.trim().to_owned();
        }
        status.problem = lock(&self.problem).clone().or(status.problem);
        status
    }

    fn events_after(&self, after: u64, limit: usize) -> Vec<ControllerEvent> {
        match &*self.machine() {
            Some(machine) => machine.events_after(after, limit),
            None => lock(&self.events).known().iter().filter(|event| event.sequence > after).take(limit).cloned().collect(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `cloudtik controller run`: runs until TERM or INT.
///
/// # Errors
/// The store is in other hands, or the system refuses what every start needs.
pub fn run(options: ServiceOptions) -> Result<(), ServiceError> {
    let data = DataDir::new(&options.root, Some(Path::new("store")));
    std::fs::create_dir_all(&options.root).map_err(file("make", &options.root))?;
    data.create().map_err(ServiceError::Store)?;
    let holder = Holder::this_process("controller", seconds().to_string());
    let _only = StateLock::acquire(&data, &holder).map_err(ServiceError::Store)?;
    let shared = Arc::new(Shared {
        machine: Mutex::new(None),
        problem: Mutex::new(None),
        pushes: Mutex::new(Pushes::open(&data).map_err(ServiceError::Store)?),
        stop: AtomicBool::new(false),
        again: AtomicBool::new(false),
        stay: AtomicBool::new(false),
        events: Mutex::new(EventFile::open(&options.root.join("events.jsonl"))),
        tool_version: options.tool_version.clone(),
    });
    let server = api::start(&options.node_root, Arc::clone(&shared))?;
    while !shared.stop.load(Ordering::SeqCst) {
        match live(&options, &data, &shared) {
            Ok(()) => shared.say(None),
            Err(problem) => {
                shared.say(Some(problem));
                pause(&shared, RETRY);
            }
        }
    }
    server.stop();
    lock(&shared.events).take(&shared.machine().as_ref().map(|machine| machine.events().clone()).unwrap_or_default());
    Ok(())
}

/// One life of the machine: from opening the store to its end. An error is a sentence for whoever asks.
fn live(options: &ServiceOptions, data: &DataDir, shared: &Arc<Shared>) -> Result<(), String> {
    shared.again.store(false, Ordering::SeqCst);
    let Some(pushed) = first_push(shared)? else { return Ok(()) };
    let mut store = SessionStore::open_held(data, Box::new(OsEntropy)).map_err(|error| sentence(&error))?;
    let run_id = random_id(&mut OsEntropy).map_err(|error| sentence(&error))?;
    let epoch = store.begin_run(&run_id).map_err(|error| sentence(&error))?;
    let schemas: BTreeMap<String, ProviderSchema> =
        options.providers.iter().map(|(name, provider)| ((*name).to_owned(), provider.schema().clone())).collect();
    let clouds = Arc::new(clouds(options, &pushed)?);
    let events: VecDeque<ControllerEvent> = lock(&shared.events).known().clone();
    // What is pushed from here on finds the machine; what was pushed meanwhile is taken now.
    let pushes = lock(&shared.pushes);
    let latest = pushes.latest().cloned().unwrap_or_else(|| pushed.clone());
    if (&latest.config.provider, &latest.config.provider_config) != (&pushed.config.provider, &pushed.config.provider_config) {
        return Ok(());
    }
    let mut machine = Controller::new(ControllerInput {
        ledger: store.ledger().clone(),
        run_id,
        epoch,
        schemas,
        renderer: Arc::new(HandlebarsRenderer),
        times: Times::default(),
        head: HeadIdentity { instance: options.instance.clone() },
        tool_version: options.tool_version.clone(),
        began_secs: seconds(),
        events,
        pushed: Some(latest),
    });
    if shared.stay.swap(false, Ordering::SeqCst) {
        machine.stay();
    }
    *shared.machine() = Some(machine);
    drop(pushes);
    shared.say(None);
    let timeouts = Arc::clone(shared);
    let input = DriverInput {
        durable: &mut store,
        clouds,
        cache: ArtifactCache::new(options.root.join("artifacts")),
        project: options.root.clone(),
        observer: Arc::new(Watch(Arc::clone(shared))),
        timeouts: Arc::new(move |node: &Address| timeouts_of(&timeouts, node)),
        own: Some(OwnNode { instance: options.instance.clone() }),
    };
    let driven = drive(&mut SharedMachine(Arc::clone(shared)), input);
    let ended = shared.machine().take();
    let (aborted, events) = ended.map(|machine| (machine.aborted().map(str::to_owned), machine.events().clone())).unwrap_or_default();
    lock(&shared.events).take(&events);
    match (driven, aborted) {
        (_, Some(reason)) => Err(format!("the controller's store cannot be written: {reason}")),
        (Err(error), None) => Err(match error {
            DriveError::Runtime(source) => format!("the runtime cannot be started: {source}"),
            DriveError::Stuck => error.to_string(),
        }),
        (Ok(_), None) => Ok(()),
    }
}

/// The configuration that was pushed last; waits for the first one. `None`: the service is to end. An error: there is one, and it cannot be
/// read.
fn first_push(shared: &Shared) -> Result<Option<Pushed>, String> {
    loop {
        if shared.stop.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let pushes = lock(&shared.pushes);
        if let Some(pushed) = pushes.latest() {
            return Ok(Some(pushed.clone()));
        }
        if let Some(problem) = pushes.unreadable() {
            return Err(problem.to_owned());
        }
        drop(pushes);
        std::thread::sleep(FIRST_PUSH_POLL);
    }
}

fn clouds(options: &ServiceOptions, pushed: &Pushed) -> Result<Clouds, String> {
    let name = &pushed.config.provider;
    let Some(provider) = options.providers.get(name.provider_type()) else {
        return Err(format!("this program has no provider `{name}`, which the configuration needs"));
    };
    let configured: BTreeMap<ProviderRef, (Arc<dyn Provider>, Value)> =
        BTreeMap::from([(name.clone(), (Arc::clone(provider), pushed.config.provider_config.clone()))]);
    Ok(Clouds::new(configured))
}

fn timeouts_of(shared: &Shared, node: &Address) -> Option<NodeTimeouts> {
    let machine = shared.machine();
    let pushed = machine.as_ref()?.pushed()?;
    let label = &node.in_block().get(1)?.name;
    let group = pushed.config.groups.get(label)?;
    Some(NodeTimeouts { connect: CONNECT_TIMEOUT, ready: Duration::from_secs(group.ready_timeout_secs) })
}

/// The machine behind its lock, as the driver steps it.
struct SharedMachine(Arc<Shared>);

impl Step for SharedMachine {
    fn step(&mut self, now_ms: u64, event: Event) -> Vec<Command> {
        self.0.machine().as_mut().map(|machine| machine.step(now_ms, event)).unwrap_or_default()
    }
}

struct Watch(Arc<Shared>);

impl DriverObserver for Watch {
    fn progress(&self, _progress: &Progress) {}

    fn output(&self, _address: &Address, _stderr: bool, _text: &str) {}

    fn interrupted(&self) -> bool {
        self.0.stop.load(Ordering::SeqCst) || self.0.again.load(Ordering::SeqCst)
    }
}

fn pause(shared: &Shared, time: Duration) {
    let mut rest = time;
    while !rest.is_zero() && !shared.stop.load(Ordering::SeqCst) {
        let piece = rest.min(FIRST_PUSH_POLL);
        std::thread::sleep(piece);
        rest = rest.saturating_sub(piece);
    }
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What went wrong and what to do, in one line.
fn sentence(error: &DurableError) -> String {
    let diagnostic = error.to_diagnostic();
    diagnostic.notes.iter().chain(&diagnostic.help).fold(diagnostic.title.clone(), |text, more| format!("{text}: {more}"))
}

fn push_refused(error: &PushError) -> (String, String) {
    (error.code().to_owned(), error.to_string())
}

fn file<'p>(doing: &'static str, path: &'p Path) -> impl FnOnce(std::io::Error) -> ServiceError + use<'p> {
    let path = path.to_path_buf();
    move |source| ServiceError::File { doing, path, source }
}
