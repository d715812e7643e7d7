//! Connections to heads, and frames over them: one SSH connection a head, kept while it is of use.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cloudtik_model::{
    CONTROLLER_VERSION, ControllerCall, ControllerEvent, ControllerReply, ControllerRequest, ControllerStatus, NodeReply, NodeRequest,
    ProviderRef,
};
use cloudtik_provider_api::{CallError, Connection as Dialed, DialTarget, ErrorClass, Instance, SIMULATED};
use cloudtik_ssh::{
    ConnectOptions, Connection, ExecOptions, ExitStatus, HostKeyPolicy, Pool, PrivateKey, PublicHostKey, PublicUserKey, SshError, Stdin,
};
use tokio::time::{Instant, sleep};

use crate::carry::NO_CONTROLLER;
use crate::limits::{CALL_TIMEOUT, ERROR_TEXT_BYTES_MAX, FRAME_BYTES_MAX, REACH_PAUSE_FIRST, REACH_PAUSE_MAX};
use crate::stream::Stream;
use crate::{HeadTarget, LoginKey, Reach};

/// Connections to heads and workers.
pub struct Link {
    reach: Arc<dyn Reach>,
    pool: Pool,
}

/// Where somebody logs in.
pub(crate) struct Place<'a> {
    pub(crate) provider: &'a ProviderRef,
    pub(crate) instance: &'a str,
    pub(crate) ssh: &'a Instance,
    pub(crate) host_key: &'a str,
}

/// Why a try did not work.
enum Failed {
    /// Waiting does not mend it.
    Finally(CallError),
    /// It may be another thing in a moment.
    Down {
        /// Whether the request may have been heard.
        heard: bool,
        /// What happened.
        text: String,
    },
}

impl Failed {
    fn text(self) -> String {
        match self {
            Self::Finally(error) => error.message,
            Self::Down { text, .. } => text,
        }
    }
}

impl Link {
    /// No connection is open yet.
    #[must_use]
    pub fn new(reach: Arc<dyn Reach>) -> Self {
        Self { reach, pool: Pool::new() }
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Asks the controller of a head. What is asked may be repeated: where the answer is lost, or the controller is just starting, it is asked
    /// again as long as the patience lasts.
    ///
    /// # Errors
    /// It did not answer, or cannot be logged in to.
    pub async fn ask(&self, head: &HeadTarget, call: ControllerCall, patience: Duration) -> Result<ControllerReply, CallError> {
        let changes = !matches!(call, ControllerCall::Status | ControllerCall::Events { .. });
        let request = ControllerRequest { version: CONTROLLER_VERSION, call };
        let until = Instant::now() + patience;
        let (mut pause, mut any_heard) = (REACH_PAUSE_FIRST, false);
        loop {
            let tried = tokio::time::timeout_at(until + REACH_PAUSE_MAX, self.once(head, &request)).await;
            let failed = tried.unwrap_or_else(|_| Err(Failed::Down { heard: changes, text: "it does not answer in time".to_owned() }));
            let text = match failed {
                // It is about to begin again: nothing was done.
                Ok(ControllerReply::Refused { code, message }) if code == "not-running" => message,
                Ok(reply) => return Ok(reply),
                Err(Failed::Finally(error)) => return Err(error),
                Err(Failed::Down { heard, text }) => {
                    any_heard |= heard;
                    text
                }
            };
            if Instant::now() + pause > until {
                let class = if any_heard && changes { ErrorClass::Unknown } else { ErrorClass::Permanent };
                let message = format!("the head of {} does not answer: {text}", head.cluster);
                return Err(CallError::new(class, UNREACHABLE, message).help(head.replace_help()));
            }
            sleep(pause).await;
            pause = (pause * 2).min(REACH_PAUSE_MAX);
        }
    }

    /// How things stand, as the controller says.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn status(&self, head: &HeadTarget, patience: Duration) -> Result<ControllerStatus, CallError> {
        match self.ask(head, ControllerCall::Status, patience).await? {
            ControllerReply::Status(status) => Ok(*status),
            other => Err(unexpected(head, other)),
        }
    }

    /// What happened after an event, the newest `limit` of it.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn events(&self, head: &HeadTarget, after: u64, limit: u64, patience: Duration) -> Result<Vec<ControllerEvent>, CallError> {
        match self.ask(head, ControllerCall::Events { after, limit }, patience).await? {
            ControllerReply::Events(events) => Ok(events),
            other => Err(unexpected(head, other)),
        }
    }

    /// A connection to a head, for commands.
    ///
    /// # Errors
    /// It does not answer, or does not let us in.
    pub async fn connection(&self, head: &HeadTarget) -> Result<Connection, CallError> {
        let key = self.reach.login_key(&head.cluster)?;
        self.connect(&place(head), &key).await.map_err(|failed| match failed {
            Failed::Finally(error) => error,
            Failed::Down { text, .. } => {
                let message = format!("the head of {} does not answer: {text}", head.cluster);
                CallError::new(ErrorClass::Permanent, UNREACHABLE, message).help(head.replace_help())
            }
        })
    }

    /// Holds that a head lets us in, tried again as long as the patience lasts. Nobody logs in to one that is simulated, and its steps are done all
    /// the same.
    ///
    /// # Errors
    /// It does not answer, or does not let us in.
    pub async fn greet(&self, head: &HeadTarget, patience: Duration) -> Result<(), CallError> {
        let target = DialTarget { instance: head.instance.clone(), port: head.ssh.port };
        if self.reach.dial(&head.provider, target).await.is_err_and(|error| error.code == SIMULATED) {
            return Ok(());
        }
        let until = Instant::now() + patience;
        let mut pause = REACH_PAUSE_FIRST;
        loop {
            let late =
                || CallError::new(ErrorClass::Permanent, UNREACHABLE, format!("the head of {} does not answer in time", head.cluster));
            let tried = tokio::time::timeout_at(until, self.connection(head)).await;
            match tried.unwrap_or_else(|_| Err(late().help(head.replace_help()))) {
                Err(error) if error.code == UNREACHABLE && Instant::now() + pause < until => sleep(pause).await,
                other => return other.map(drop),
            }
            pause = (pause * 2).min(REACH_PAUSE_MAX);
        }
    }

    /// A connection to a worker through its head, with the host key that the head's status gives.
    ///
    /// # Errors
    /// One of the two does not answer, or does not let us in.
    pub async fn through(
        &self,
        head: &HeadTarget,
        (address, port): (&str, u16),
        user: &str,
        host_key: &str,
    ) -> Result<Connection, CallError> {
        let connection = self.connection(head).await?;
        let options = options(user, host_key, &self.reach.login_key(&head.cluster)?)?;
        let failed = |error: SshError| CallError::new(ErrorClass::Permanent, "worker-unreachable", causes(&error));
        let stream = connection.direct_tcpip(address, port).await.map_err(failed)?;
        Connection::open(stream, &options).await.map_err(failed)
    }

    /// Does a step on a node, over a connection of its own.
    pub(crate) async fn step(&self, place: &Place<'_>, key: &LoginKey, request: &NodeRequest) -> Result<NodeReply, String> {
        if let Some(simulated) = self.reach.simulated_step(place.provider, place.instance, request).await {
            return simulated.map_err(|error| error.message);
        }
        let connection = self.connect(place, key).await.map_err(Failed::text)?;
        let output = connection.exec(&place.ssh.run_step, frame(request)?).await.map_err(|error| causes(&error))?;
        let text = output.stdout.text();
        let replies = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        let end = replies.into_iter().find(|reply| !matches!(reply, NodeReply::Output { .. }));
        end.ok_or_else(|| format!("it did not say how the step ended ({})", output.exit))
    }

    /// Lets people log in to a worker whose SSH server is not its agent's, through its head.
    pub(crate) async fn let_in(
        &self,
        head: &HeadTarget,
        worker: (&str, &Instance),
        host_key: &str,
        people: &[String],
    ) -> Result<(), String> {
        let people: Vec<PublicUserKey> =
            people.iter().map(|line| line.parse()).collect::<Result<_, _>>().map_err(|error| causes(&error))?;
        let (address, ssh) = worker;
        let connection = self.through(head, (address, ssh.port), &ssh.user, host_key).await.map_err(|error| error.message)?;
        connection.make_own_host_key(&people).await.map(drop).map_err(|error| causes(&error))
    }

    async fn once(&self, head: &HeadTarget, request: &ControllerRequest) -> Result<ControllerReply, Failed> {
        if let Some(simulated) = self.reach.simulated(&head.provider, &head.instance, request).await {
            return simulated.map_err(|error| match error.class {
                ErrorClass::Transient | ErrorClass::Throttled => Failed::Down { heard: false, text: error.message },
                ErrorClass::Unknown => Failed::Down { heard: true, text: error.message },
                ErrorClass::NoRoom | ErrorClass::Permanent | ErrorClass::Gone | ErrorClass::Conflict => Failed::Finally(error),
            });
        }
        let key = self.reach.login_key(&head.cluster).map_err(Failed::Finally)?;
        let connection = self.connect(&place(head), &key).await?;
        let options = frame(request).map_err(|text| Failed::Finally(CallError::new(ErrorClass::Permanent, "frame", text)))?;
        let output = match connection.exec(&head.call_words(), options).await {
            Ok(output) => output,
            Err(error) => {
                self.pool.forget(&head.instance).await;
                return Err(Failed::Down { heard: error.command_may_have_run(), text: causes(&error) });
            }
        };
        if output.stdout.is_cut() {
            let text = format!("the answer of the head of {} is longer than {FRAME_BYTES_MAX} bytes", head.cluster);
            return Err(Failed::Finally(CallError::new(ErrorClass::Permanent, "frame", text)));
        }
        let line = output.stdout.text();
        if !line.trim().is_empty() {
            return serde_json::from_str(line.trim()).map_err(|error| {
                let text = format!("the controller of {} answers in words that this cloudtik does not know: {error}", head.cluster);
                Failed::Finally(CallError::new(ErrorClass::Permanent, "frame", text).help(head.replace_help()))
            });
        }
        let said = output.stderr.text();
        let text = said.trim().lines().last().map_or_else(|| output.exit.to_string(), str::to_owned);
        Err(Failed::Down { heard: output.exit != ExitStatus::Code(NO_CONTROLLER), text })
    }

    async fn connect(&self, place: &Place<'_>, key: &LoginKey) -> Result<Connection, Failed> {
        let options = options(&place.ssh.user, place.host_key, key).map_err(Failed::Finally)?;
        let refused: Mutex<Option<CallError>> = Mutex::new(None);
        let dial = || async {
            match self.reach.dial(place.provider, DialTarget { instance: place.instance.to_owned(), port: place.ssh.port }).await {
                Ok(Dialed::Unix(stream)) => Ok(Stream::Unix(tokio::net::UnixStream::from_std(stream)?)),
                Ok(Dialed::Tcp(stream)) => Ok(Stream::Tcp(tokio::net::TcpStream::from_std(stream)?)),
                Err(error) => {
                    let text = error.message.clone();
                    *refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    Err(io::Error::other(text))
                }
            }
        };
        let error = match self.pool.connection(place.instance, &options, dial).await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        let refused = refused.into_inner().unwrap_or_else(PoisonError::into_inner);
        Err(match (refused, &error) {
            (Some(refused), _) if matches!(refused.class, ErrorClass::Gone | ErrorClass::Permanent | ErrorClass::Conflict) => {
                Failed::Finally(refused)
            }
            (_, SshError::HostKeyMismatch { .. } | SshError::AuthRefused { .. }) => {
                let code = if matches!(error, SshError::HostKeyMismatch { .. }) { "host-key-changed" } else { "login-refused" };
                Failed::Finally(CallError::new(ErrorClass::Permanent, code, format!("{}: {error}", place.instance)))
            }
            _ => Failed::Down { heard: false, text: causes(&error) },
        })
    }
}

/// The code of a head that does not answer.
pub const UNREACHABLE: &str = "head-unreachable";

/// What is said of a reply that is none to what was asked.
pub(crate) fn unexpected(head: &HeadTarget, reply: ControllerReply) -> CallError {
    match reply {
        ControllerReply::Refused { code, message } => refused(head, &code, &message),
        other => {
            let text = format!("the controller of {} answered something else: {other:?}", head.cluster);
            CallError::new(ErrorClass::Permanent, "frame", text).help(head.replace_help())
        }
    }
}

/// What a refusal means for whoever applies.
pub(crate) fn refused(head: &HeadTarget, code: &str, message: &str) -> CallError {
    let cluster = &head.cluster;
    let error = |class, text: String| CallError::new(class, code, text);
    match code {
        "config-version" => {
            error(ErrorClass::Permanent, format!("the head of {cluster} runs an older cloudtik: {message}")).help(head.replace_help())
        }
        "fenced" => error(ErrorClass::Conflict, format!("the head of {cluster} is no longer the one that launches: {message}"))
            .help("run `cloudtik plan`: another apply has made a newer head"),
        "generation" => error(ErrorClass::Conflict, format!("somebody else changes {cluster} at the same time: {message}"))
            .help("run `cloudtik apply` again"),
        "store" => error(ErrorClass::Permanent, format!("the head of {cluster} cannot write: {message}")).help("make room on its disk"),
        _ => error(ErrorClass::Permanent, format!("the controller of {cluster} refuses: {message}")),
    }
}

fn place(head: &HeadTarget) -> Place<'_> {
    Place { provider: &head.provider, instance: &head.instance, ssh: &head.ssh, host_key: &head.host_key }
}

fn options(user: &str, host_key: &str, key: &LoginKey) -> Result<ConnectOptions, CallError> {
    let permanent = |code: &str, error: &SshError| CallError::new(ErrorClass::Permanent, code, error.to_string());
    let pin: PublicHostKey = host_key.parse().map_err(|error: SshError| permanent("host-key", &error))?;
    let key = PrivateKey::from_openssh(&key.private).map_err(|error| permanent("login-key", &error))?;
    Ok(ConnectOptions::new(user, vec![key], HostKeyPolicy::Pinned(vec![pin])))
}

/// A command that reads one frame.
fn frame(request: &impl serde::Serialize) -> Result<ExecOptions, String> {
    let mut line = serde_json::to_vec(request).map_err(|error| format!("a request cannot be written: {error}"))?;
    line.push(b'\n');
    Ok(ExecOptions {
        stdin: Stdin::Bytes(line),
        stdout_tail_max: FRAME_BYTES_MAX,
        stderr_tail_max: ERROR_TEXT_BYTES_MAX,
        timeout: CALL_TIMEOUT,
        remote_timeout: None,
    })
}

/// An error and what lies below it, in one line.
pub(crate) fn causes(error: &SshError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
