//! The tokio driver: carries out the commands of a state machine and brings what came of them back as events.
//!
//! It is the only code of this package that may start tasks, wait, and read clocks and randomness. It decides nothing: order, limits and
//! repeats are the machine's. The runtime starts with the first command that needs one, so a plan of values alone never pays for it.

#![expect(clippy::disallowed_methods, reason = "the driver is where tasks are started, and where clocks and chance are read")]

mod artifacts;
mod bring;
mod clouds;
mod crash;
mod node;
mod render;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use cloudtik_model::{Address, Diagnostic, ProviderRef};
use cloudtik_provider_api::{Answer, Call, CallError, ErrorClass, Secret, SecretKind, TIMED_OUT};

pub use artifacts::{ArtifactCache, ArtifactError};
pub use clouds::Clouds;
pub use render::HandlebarsRenderer;

use crate::durable::{DurableError, KeyPair, SessionStore, Snapshot, Vault, random_id};
use crate::engine::{Command, Event, Made, Progress, SettlementReport, Step, Summary, TimerId};
use crate::{Record, SecretRef};
use node::Nodes;

/// How often a wait looks whether somebody wants it to end.
const INTERRUPT_POLL: Duration = Duration::from_millis(50);

/// Worker threads of the runtime: calls and SSH wait most of the time, and two keep one slow parse from holding up the others.
const WORKER_THREADS: usize = 2;

/// What survives a crash, as a driver needs it.
pub trait Durable {
    /// Makes records durable as one group.
    ///
    /// # Errors
    /// They are not, and nothing more may be done.
    fn append(&mut self, records: Vec<Record>) -> Result<(), DurableError>;

    /// Keys and secrets.
    fn vault(&mut self) -> &mut Vault;

    /// Folds the journal into the state. What does not work now is tried again later, and loses nothing.
    ///
    /// # Errors
    /// The state cannot be written.
    fn fold(&mut self) -> Result<(), DurableError> {
        Ok(())
    }
}

impl Durable for SessionStore {
    fn append(&mut self, records: Vec<Record>) -> Result<(), DurableError> {
        Self::append(self, records).map(|_| ())
    }

    fn vault(&mut self) -> &mut Vault {
        Self::vault(self)
    }

    fn fold(&mut self) -> Result<(), DurableError> {
        self.commit()
    }
}

/// A snapshot is only looked at: a machine that wants to write is told no.
impl Durable for Snapshot {
    fn append(&mut self, _records: Vec<Record>) -> Result<(), DurableError> {
        Err(DurableError::NotBegun)
    }

    fn vault(&mut self) -> &mut Vault {
        &mut self.vault
    }
}

/// What a driver needs of the world.
pub struct DriverInput<'a> {
    /// Takes records and keeps secrets.
    pub durable: &'a mut dyn Durable,
    /// The clouds of the plan.
    pub clouds: Arc<Clouds>,
    /// Where artifacts are kept between runs.
    pub cache: ArtifactCache,
    /// The folder that artifacts of the project are relative to.
    pub project: PathBuf,
    /// Sees what happens.
    pub observer: Arc<dyn DriverObserver>,
    /// How long connections to a node may take; the defaults where it says nothing.
    pub timeouts: TimeoutsOf,
    /// The instance that this process runs on, if it runs on one: its steps go to its own agent.
    pub own: Option<OwnNode>,
}

/// How long connections to the node at an address may take.
pub type TimeoutsOf = Arc<dyn Fn(&Address) -> Option<NodeTimeouts> + Send + Sync>;

/// The instance that this process runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnNode {
    /// The provider's id.
    pub instance: String,
}

/// How long connections to a node may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeTimeouts {
    /// A handshake.
    pub connect: Duration,
    /// Until a new node answers.
    pub ready: Duration,
}

/// Sees what happens while a machine is driven.
pub trait DriverObserver: Send + Sync {
    /// An operation began, was repeated, ended.
    fn progress(&self, progress: &Progress);
    /// A step printed something on its node.
    fn output(&self, address: &Address, stderr: bool, text: &str);
    /// Whether somebody wants the run to end.
    fn interrupted(&self) -> bool;
}

/// How a machine ended.
#[derive(Debug)]
pub enum Driven {
    /// The engine's end.
    Finished(Box<Summary>),
    /// Settlement's end.
    Settled(Box<SettlementReport>),
}

/// Why a machine could not be driven to its end.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The runtime could not be started.
    #[error("the asynchronous runtime cannot be started")]
    Runtime(#[source] std::io::Error),
    /// The machine waits for nothing and did not finish: a fault of ours.
    #[error("the engine stopped without an end: it waits for nothing")]
    Stuck,
}

/// Drives a machine to its end.
///
/// # Errors
/// See [`DriveError`]; what goes wrong in the world is the machine's to report.
pub fn drive(machine: &mut dyn Step, input: DriverInput<'_>) -> Result<Driven, DriveError> {
    let (sender, receiver) = channel();
    let mut driver = Driver {
        start: Instant::now(),
        durable: input.durable,
        timers: BTreeMap::new(),
        waiting: 0,
        runtime: None,
        observer: Arc::clone(&input.observer),
        tasks: Tasks {
            clouds: Arc::clone(&input.clouds),
            nodes: Arc::new(Nodes::new(input.clouds, input.cache, input.project, input.observer, input.timeouts, input.own)),
            sender,
        },
        receiver,
    };
    driver.run(machine)
}

/// Makes calls that only look, all at once, and waits for their answers.
///
/// # Errors
/// The runtime cannot be started.
pub fn call_all(clouds: &Arc<Clouds>, calls: Vec<Call>) -> Result<Vec<(Call, Answer)>, DriveError> {
    let runtime = new_runtime()?;
    clouds.announce(&calls);
    let answers = runtime.block_on(async {
        let mut set = tokio::task::JoinSet::new();
        for (i, call) in calls.iter().cloned().enumerate() {
            let clouds = Arc::clone(clouds);
            set.spawn(async move { (i, clouds.call(call).await) });
        }
        let mut answers = BTreeMap::new();
        while let Some(done) = set.join_next().await {
            answers.extend(done.ok());
        }
        answers
    });
    runtime.shutdown_background();
    let lost = || Answer::Failed(CallError::new(ErrorClass::Transient, "lost", "the call ended without an answer"));
    Ok(calls.into_iter().enumerate().map(|(i, call)| (call, answers.get(&i).cloned().unwrap_or_else(lost))).collect())
}

/// Lets the clouds go at the end of a command, if any of them was opened.
///
/// # Errors
/// The runtime cannot be started.
pub fn finish(clouds: &Clouds) -> Result<Vec<(ProviderRef, CallError)>, DriveError> {
    if !clouds.is_open() {
        return Ok(Vec::new());
    }
    let runtime = new_runtime()?;
    let failed = runtime.block_on(clouds.finish());
    runtime.shutdown_background();
    Ok(failed)
}

fn new_runtime() -> Result<tokio::runtime::Runtime, DriveError> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(WORKER_THREADS).enable_all().build().map_err(DriveError::Runtime)
}

struct Driver<'a> {
    start: Instant,
    durable: &'a mut dyn Durable,
    timers: BTreeMap<(u64, TimerId), ()>,
    /// Commands under way whose answer comes through the channel.
    waiting: usize,
    runtime: Option<tokio::runtime::Runtime>,
    observer: Arc<dyn DriverObserver>,
    tasks: Tasks,
    receiver: Receiver<Event>,
}

/// What a task needs.
struct Tasks {
    clouds: Arc<Clouds>,
    nodes: Arc<Nodes>,
    sender: Sender<Event>,
}

impl Driver<'_> {
    fn run(&mut self, machine: &mut dyn Step) -> Result<Driven, DriveError> {
        let mut commands: VecDeque<Command> = machine.step(self.now_ms(), Event::Start).into();
        let mut interrupted = false;
        loop {
            let mut append = None;
            while let Some(command) = commands.pop_front() {
                match command {
                    Command::Append { batch, records } => append = Some((batch, records)),
                    Command::Finish(summary) => return Ok(Driven::Finished(summary)),
                    Command::Settled(report) => return Ok(Driven::Settled(report)),
                    other => self.carry_out(other)?,
                }
            }
            if !interrupted && self.observer.interrupted() {
                interrupted = true;
                commands.extend(machine.step(self.now_ms(), Event::Interrupt));
            }
            // What has already happened goes into the machine before the journal is written, so that its records go into one group.
            let mut more = false;
            while let Ok(event) = self.receiver.try_recv() {
                self.waiting = self.waiting.saturating_sub(1);
                commands.extend(machine.step(self.now_ms(), event));
                more = true;
            }
            if let Some((batch, records)) = append {
                let count = records.len();
                let event = match self.durable.append(records) {
                    Ok(()) => {
                        crash::pass(count);
                        Event::Appended { batch }
                    }
                    Err(error) => Event::AppendFailed { batch, error: in_one_line(&error.to_diagnostic()) },
                };
                commands.extend(machine.step(self.now_ms(), event));
                continue;
            }
            if more || !commands.is_empty() {
                continue;
            }
            match self.wait()? {
                Some(event) => commands.extend(machine.step(self.now_ms(), event)),
                None => continue,
            }
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The next event, or `None` when it is time to look at other things.
    fn wait(&mut self) -> Result<Option<Event>, DriveError> {
        let now = self.now_ms();
        let next = self.timers.keys().next().copied();
        if let Some((at, timer)) = next
            && at <= now
        {
            self.timers.remove(&(at, timer));
            return Ok(Some(Event::TimerFired { timer }));
        }
        if next.is_none() && self.waiting == 0 {
            return Err(DriveError::Stuck);
        }
        let until_timer = next.map_or(INTERRUPT_POLL, |(at, _)| Duration::from_millis(at.saturating_sub(now)));
        match self.receiver.recv_timeout(until_timer.min(INTERRUPT_POLL)) {
            Ok(event) => {
                self.waiting = self.waiting.saturating_sub(1);
                Ok(Some(event))
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(None),
        }
    }

    fn carry_out(&mut self, command: Command) -> Result<(), DriveError> {
        match command {
            Command::Timer { timer, at_ms } => {
                self.timers.insert((at_ms, timer), ());
            }
            Command::Progress(progress) => self.observer.progress(&progress),
            Command::MakeSecrets { ticket, address, op_id, kinds } => {
                let secrets = make_secrets(self.durable.vault(), &address, &op_id, kinds);
                self.answer(Event::SecretsReady { ticket, secrets });
            }
            Command::LoadSecrets { ticket, references } => {
                let secrets = load_secrets(self.durable.vault(), references);
                self.answer(Event::SecretsReady { ticket, secrets });
            }
            Command::Call { ticket, call } => {
                let clouds = Arc::clone(&self.tasks.clouds);
                self.spawn(async move { Event::Answer { ticket, answer: in_time(patience(call.limit), clouds.call(call)).await } })?;
            }
            Command::RunStep(job) | Command::CheckStep(job) => {
                let keys = login_pair(self.durable.vault(), &job.node).map(|pair| pair.private);
                let nodes = Arc::clone(&self.tasks.nodes);
                self.spawn(async move {
                    let ticket = job.ticket;
                    Event::StepDone { ticket, answer: nodes.run(*job, keys).await }
                })?;
            }
            // The journal has everything, so an error costs nothing but room; the next fold finds it again.
            Command::Fold => drop(self.durable.fold()),
            // Whoever brings several engines together does that before.
            Command::Append { .. } | Command::Finish(_) | Command::Settled(_) | Command::Gather { .. } => {}
        }
        Ok(())
    }

    /// An answer that is there at once still takes the way of all answers.
    fn answer(&mut self, event: Event) {
        self.waiting += 1;
        // The receiver lives as long as this driver.
        drop(self.tasks.sender.send(event));
    }

    fn spawn(&mut self, task: impl Future<Output = Event> + Send + 'static) -> Result<(), DriveError> {
        if self.runtime.is_none() {
            self.runtime = Some(new_runtime()?);
        }
        let Some(runtime) = &self.runtime else { return Ok(()) };
        self.waiting += 1;
        let sender = self.tasks.sender.clone();
        runtime.spawn(async move { drop(sender.send(task.await)) });
        Ok(())
    }
}

impl Drop for Driver<'_> {
    fn drop(&mut self) {
        // Everything durable is durable; what still runs is cut off, and the journal tells the next run.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The name of the key pair that logs in to the nodes of a cluster, from the address of one of them.
fn key_name(node: &Address) -> String {
    let cluster = node.block().to_string();
    cluster.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c } else { '_' }).collect()
}

/// The name of the file with the private half of the key that logs in to the nodes of a cluster.
#[must_use]
pub fn login_key_file(cluster: &Address) -> String {
    format!("{}.ed25519", key_name(cluster))
}

/// The public half of the key that logs in to the nodes of a cluster, made on first need.
///
/// # Errors
/// What the system says.
pub fn login_key(vault: &mut Vault, cluster: &Address) -> Result<String, DurableError> {
    vault.key_pair(&key_name(cluster), || cloudtik_ssh::generate_ed25519().map(pair)).map(|pair| pair.public)
}

/// The key pair that logs in to the nodes of a cluster, by the address of the cluster or of anything in it; made on first need.
///
/// # Errors
/// It cannot be read or made.
pub fn login_pair(vault: &mut Vault, node: &Address) -> Result<KeyPair, CallError> {
    vault.key_pair(&key_name(node), || cloudtik_ssh::generate_ed25519().map(pair)).map_err(|error| secret_error(&error))
}

fn pair(made: cloudtik_ssh::KeyPairText) -> KeyPair {
    KeyPair { private: made.private_openssh, public: made.public_openssh }
}

fn make_secrets(
    vault: &mut Vault,
    address: &Address,
    op_id: &str,
    kinds: Vec<(String, SecretKind)>,
) -> Result<BTreeMap<String, Made>, CallError> {
    kinds.into_iter().map(|(name, kind)| Ok((name.clone(), make_secret(vault, address, op_id, &name, kind)?))).collect()
}

fn make_secret(vault: &mut Vault, address: &Address, op_id: &str, name: &str, kind: SecretKind) -> Result<Made, CallError> {
    let pair = match kind {
        SecretKind::SshHostKey => cloudtik_ssh::generate_ecdsa_p256()
            .map(pair)
            .map_err(|error| CallError::new(ErrorClass::Permanent, "key", error.to_string()))?,
        SecretKind::LoginKey => {
            let pair = login_pair(vault, address)?;
            // Only the public half travels; the reference is to it.
            KeyPair { private: pair.public.clone(), public: pair.public }
        }
        SecretKind::Password => {
            let password = random_id(vault.entropy()).map_err(|error| secret_error(&error))?;
            KeyPair { private: password, public: String::new() }
        }
    };
    let put = vault.put_secret(&format!("{op_id}.{name}"), pair.private.as_bytes(), &pair.public);
    let reference: SecretRef = put.map_err(|error| secret_error(&error))?;
    Ok(Made { reference, secret: Secret { private: pair.private, public: pair.public } })
}

fn load_secrets(vault: &mut Vault, references: BTreeMap<String, SecretRef>) -> Result<BTreeMap<String, Made>, CallError> {
    let load = |(name, reference): (String, SecretRef)| {
        let bytes = vault.get_secret(&reference).map_err(|error| secret_error(&error))?;
        let private = String::from_utf8(bytes).map_err(|_| CallError::new(ErrorClass::Permanent, "secret", "a key file is not text"))?;
        let public = reference.public.clone();
        Ok((name, Made { reference, secret: Secret { private, public } }))
    };
    references.into_iter().map(load).collect()
}

/// How long whoever has waited as long as it may gets to say so.
const LAST_WORDS: Duration = Duration::from_secs(15);

/// What went wrong, and why.
fn in_one_line(diagnostic: &Diagnostic) -> String {
    diagnostic.notes.iter().fold(diagnostic.title.clone(), |text, note| format!("{text}: {note}"))
}

fn secret_error(error: &DurableError) -> CallError {
    let diagnostic = error.to_diagnostic();
    let call = CallError::new(ErrorClass::Permanent, "secret", in_one_line(&diagnostic));
    match diagnostic.help {
        Some(help) => call.help(help),
        None => call,
    }
}

/// How long an answer may take, where somebody says how long what is asked may. Who waits for something knows best what it is and says it, so it
/// is let say it.
fn patience(limit: Option<u64>) -> Option<Duration> {
    limit.map(|secs| Duration::from_secs(secs).saturating_add(LAST_WORDS))
}

/// An answer, if it comes in time.
async fn in_time(patience: Option<Duration>, answer: impl Future<Output = Answer>) -> Answer {
    let Some(patience) = patience else { return answer.await };
    let late = || {
        let error = CallError::new(ErrorClass::Unknown, TIMED_OUT, "it takes longer than its `timeouts` allow");
        Answer::Failed(error.help("allow more time in `timeouts`"))
    };
    tokio::time::timeout(patience, answer).await.unwrap_or_else(|_| late())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_takes_too_long_is_not_waited_for() {
        let at_once = || std::future::ready(Answer::Done);
        assert_eq!(in_time(Some(Duration::from_secs(60)), at_once()).await, Answer::Done);
        assert_eq!(in_time(patience(None), at_once()).await, Answer::Done);
        let Answer::Failed(error) = in_time(Some(Duration::from_millis(10)), std::future::pending()).await else { panic!("it waited") };
        assert_eq!((error.class, error.code.as_str()), (ErrorClass::Unknown, TIMED_OUT));
        assert!(patience(Some(60)) > Some(Duration::from_secs(60)), "who waits is let say what it waits for");
    }
}
