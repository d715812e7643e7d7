//! Steps on nodes: one SSH connection a node, the step runner's frames over it, artifacts sent by digest.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cloudtik_model::{Artifact, NodeReply, ProviderRef, StepOutcome};
use cloudtik_provider_api::{CallError, Connection as Dialed, DialTarget, ErrorClass, Instance};
use cloudtik_ssh::{ConnectOptions, Connection, HostKeyPolicy, Pool, PrivateKey, PublicHostKey, SshError, UploadOptions, UploadSource};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::time::{Instant, sleep};

use super::artifacts::ArtifactCache;
use super::bring::{self, Brought, Failure};
use super::{Clouds, DriverObserver, OwnNode, TimeoutsOf};
use crate::engine::{StepAnswer, StepJob};

/// How long a new node may take until it answers, when the spec says nothing.
const READY_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Between two tries to reach a node that does not answer yet: short first, because a local node answers within milliseconds.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How often a lost connection is taken up again during one step. Each time the step is attached to, never started beside itself.
const RECONNECTS_MAX: u32 = 5;

/// The longest frame that a node sends: pieces of output are far shorter.
const FRAME_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Of the last line that a failed command complained with, what is repeated in the reason: a sentence or two.
const COMPLAINT_CHARS_MAX: usize = 300;

/// All nodes of a run.
pub(super) struct Nodes {
    clouds: Arc<Clouds>,
    cache: ArtifactCache,
    project: PathBuf,
    observer: Arc<dyn DriverObserver>,
    timeouts: TimeoutsOf,
    own: Option<OwnNode>,
    pool: Pool,
    brought: Brought,
}

impl Nodes {
    pub(super) fn new(
        clouds: Arc<Clouds>,
        cache: ArtifactCache,
        project: PathBuf,
        observer: Arc<dyn DriverObserver>,
        timeouts: TimeoutsOf,
        own: Option<OwnNode>,
    ) -> Self {
        Self { clouds, cache, project, observer, timeouts, own, pool: Pool::new(), brought: Brought::default() }
    }

    /// Runs a step, or checks one. `key` is the private key to log in with.
    pub(super) async fn run(&self, job: StepJob, key: Result<String, CallError>) -> StepAnswer {
        let done = match key {
            Ok(key) => self.try_run(&job, &key).await,
            Err(error) => Err(error),
        };
        StepAnswer::from_reply(done)
    }

    async fn try_run(&self, job: &StepJob, key: &str) -> Result<NodeReply, CallError> {
        let cloud = self.clouds.get(&job.provider)?;
        if let Some(simulated) = cloud.run_step(&job.instance_id, &job.request) {
            return simulated.await;
        }
        let instance = Instance::of(&job.attributes).ok_or_else(|| {
            CallError::new(ErrorClass::Permanent, "no-ssh", format!("the provider did not say how to log in to {}", job.node))
        })?;
        if self.own.as_ref().is_some_and(|own| own.instance == job.instance_id) {
            return self.run_here(job, &instance).await;
        }
        let mut options = connect_options(job, &instance, key)?;
        if let Some(timeouts) = (self.timeouts)(&job.node) {
            options.connect_timeout = timeouts.connect;
        }
        let mut reconnects = 0;
        let mut sent = false;
        loop {
            let connection = self.connect(job, &instance, &options, sent).await?;
            match self.once(&connection, job, &instance, &mut sent).await {
                Ok(reply) => return Ok(reply),
                Err(Failure::Finally(error)) => return Err(error),
                Err(Failure::Lost) if reconnects < RECONNECTS_MAX => {
                    reconnects += 1;
                    self.brought.forget(&job.instance_id);
                    self.pool.forget(&job.instance_id).await;
                }
                Err(Failure::Lost) => return Err(lost(job, sent)),
            }
        }
    }

    /// One try, over one connection.
    async fn once(&self, connection: &Connection, job: &StepJob, instance: &Instance, sent: &mut bool) -> Result<NodeReply, Failure> {
        if let Some(folder) = &instance.bring_to {
            if let Some(reply) = bring::first_contact(connection, job).await {
                return reply;
            }
            self.brought.bring(connection, job, instance, folder).await?;
        }
        self.send_artifacts(connection, &job.artifacts, instance).await?;
        Ok(self.exchange(connection, job, instance, sent).await?)
    }

    /// Runs a step on the node that this process runs on: the step runner is a child of ours, and artifacts are copied.
    async fn run_here(&self, job: &StepJob, instance: &Instance) -> Result<NodeReply, CallError> {
        for artifact in &job.artifacts {
            let file = self.cache.file(artifact, &self.project).await.map_err(|error| artifact_error(&error))?;
            let target = std::path::Path::new(&instance.artifacts).join(artifact.sha256.to_string());
            if !target.exists() {
                let temporary = target.with_extension("tmp");
                let copied = tokio::fs::copy(&file, &temporary).await.map(drop);
                let moved = match copied {
                    Ok(()) => tokio::fs::rename(&temporary, &target).await,
                    Err(error) => Err(error),
                };
                let failed = |error: io::Error| CallError::new(ErrorClass::Transient, "artifact", format!("{}: {error}", target.display()));
                moved.map_err(failed)?;
            }
        }
        let Some((program, arguments)) = instance.run_step.split_first() else {
            return Err(CallError::new(ErrorClass::Permanent, "no-agent", format!("{} does not say how steps are run", job.node)));
        };
        let mut command = tokio::process::Command::new(program);
        command.args(arguments).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).kill_on_drop(true);
        let failed = |error: io::Error| {
            CallError::new(ErrorClass::Transient, "no-agent", format!("the agent of {} cannot be asked: {error}", job.node))
        };
        let mut child = command.spawn().map_err(failed)?;
        let lost = || CallError::new(ErrorClass::Unknown, "no-agent", format!("the agent of {} ended in the middle of a step", job.node));
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else { return Err(lost()) };
        let mut sent = false;
        let reply = self.converse(stdin, stdout, job, &mut sent).await.map_err(|Lost| lost());
        // The runner ends by itself once its input is closed; its end says nothing that the reply does not.
        drop(child.wait().await);
        reply
    }

    /// A connection to the node; waits for a node that does not answer yet, as long as it may take.
    async fn connect(&self, job: &StepJob, instance: &Instance, options: &ConnectOptions, sent: bool) -> Result<Connection, CallError> {
        let limit = (self.timeouts)(&job.node).map_or(READY_TIMEOUT, |timeouts| timeouts.ready);
        let deadline = Instant::now() + limit;
        let mut pause = FIRST_PAUSE;
        loop {
            let gone: std::sync::Mutex<Option<CallError>> = std::sync::Mutex::new(None);
            let dial = || self.dial(&job.provider, &job.instance_id, instance.port, &gone);
            let error = match self.pool.connection(&job.instance_id, options, dial).await {
                Ok(connection) => return Ok(connection),
                Err(error) => error,
            };
            if let Some(error) = gone.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
                return Err(error);
            }
            if is_final(&error) {
                return Err(ssh_error(job, &error, sent));
            }
            if Instant::now() + pause > deadline {
                let message = format!("{} did not answer within {} seconds: {error}", job.node, limit.as_secs());
                let class = if sent { ErrorClass::Unknown } else { ErrorClass::Permanent };
                return Err(CallError::new(class, "unreachable", message).help("`cloudtik plan` shows whether the instance is still there"));
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Dials through the provider. Errors that waiting does not mend are put aside for the caller.
    async fn dial(&self, provider: &ProviderRef, id: &str, port: u16, gone: &std::sync::Mutex<Option<CallError>>) -> io::Result<Stream> {
        match self.clouds.dial(provider, DialTarget { instance: id.to_owned(), port }).await {
            Ok(Dialed::Unix(stream)) => Ok(Stream::Unix(tokio::net::UnixStream::from_std(stream)?)),
            Ok(Dialed::Tcp(stream)) => Ok(Stream::Tcp(tokio::net::TcpStream::from_std(stream)?)),
            Err(error) => {
                let text = error.message.clone();
                if matches!(error.class, ErrorClass::Gone | ErrorClass::Permanent | ErrorClass::Conflict) {
                    *gone.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
                }
                Err(io::Error::other(text))
            }
        }
    }

    async fn send_artifacts(&self, connection: &Connection, artifacts: &[Artifact], instance: &Instance) -> Result<(), Failure> {
        for artifact in artifacts {
            let file = self.cache.file(artifact, &self.project).await.map_err(|error| Failure::Finally(artifact_error(&error)))?;
            let target = format!("{}/{}", instance.artifacts, artifact.sha256);
            let options = UploadOptions { make_parents: true, ..UploadOptions::default() };
            match connection.upload(UploadSource::File(file), &target, &options).await {
                Ok(_) => {}
                Err(SshError::Disconnected { .. }) => return Err(Failure::Lost),
                Err(error) => {
                    let message = format!("{} cannot be sent: {error}", artifact.file);
                    return Err(Failure::Finally(CallError::new(ErrorClass::Permanent, "upload", message)));
                }
            }
        }
        Ok(())
    }

    /// Sends the request and reads until its end.
    async fn exchange(&self, connection: &Connection, job: &StepJob, instance: &Instance, sent: &mut bool) -> Result<NodeReply, Lost> {
        let mut stream = connection.exec_stream(&instance.run_step, None).await.map_err(|_| Lost)?;
        let (Some(stdin), Some(stdout)) = (stream.stdin.take(), stream.stdout.take()) else { return Err(Lost) };
        self.converse(stdin, stdout, job, sent).await
    }

    /// Sends the request to a step runner and reads until its end.
    async fn converse(
        &self,
        mut stdin: impl AsyncWrite + Unpin,
        stdout: impl AsyncRead + Unpin,
        job: &StepJob,
        sent: &mut bool,
    ) -> Result<NodeReply, Lost> {
        let mut line = serde_json::to_vec(&job.request).map_err(|_| Lost)?;
        line.push(b'\n');
        *sent = true;
        stdin.write_all(&line).await.map_err(|_| Lost)?;
        stdin.flush().await.map_err(|_| Lost)?;
        let mut lines = BufReader::new(stdout);
        let mut complaint = None;
        loop {
            let mut line = Vec::new();
            let read = (&mut lines).take(FRAME_BYTES_MAX).read_until(b'\n', &mut line).await.map_err(|_| Lost)?;
            if read == 0 {
                return Err(Lost);
            }
            match serde_json::from_slice(&line) {
                Ok(NodeReply::Output { stderr, text, .. }) => {
                    if let Ok(address) = job.request.address.parse() {
                        self.observer.output(&address, stderr, &text);
                    }
                    complaint = last_line(&text).filter(|_| stderr).or(complaint);
                }
                Ok(reply) => return Ok(with_complaint(reply, complaint)),
                Err(error) => {
                    let reason = format!("the node's answer cannot be read: {error}");
                    return Ok(NodeReply::Refused { run_id: job.request.run_id.clone(), reason });
                }
            }
        }
    }
}

/// The last line of a text that says something.
fn last_line(text: &str) -> Option<String> {
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().take(COMPLAINT_CHARS_MAX).collect())
}

/// Of a command that ended with an error, what it complained of last is a part of the reason: whoever reads that may not have seen the output.
fn with_complaint(mut reply: NodeReply, complaint: Option<String>) -> NodeReply {
    if let NodeReply::End { outcome: StepOutcome::Failed { code: Some(_), reason, .. }, .. } = &mut reply
        && let Some(complaint) = complaint
    {
        *reason = format!("{reason}: {complaint}");
    }
    reply
}

/// The connection is gone.
struct Lost;

impl From<Lost> for Failure {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}

fn lost(job: &StepJob, sent: bool) -> CallError {
    let class = if sent { ErrorClass::Unknown } else { ErrorClass::Transient };
    CallError::new(class, "connection-lost", format!("the connection to {} was lost again and again", job.node))
}

fn artifact_error(error: &super::ArtifactError) -> CallError {
    let mut message = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        message = format!("{message}: {source}");
    }
    let call = CallError::new(ErrorClass::Permanent, "artifact", message);
    match error {
        super::ArtifactError::Tool { .. } => call.help("install Python 3 with pip on the machine that applies"),
        super::ArtifactError::Fetch { .. } => call.help("check that this machine reaches its package index"),
        _ => call,
    }
}

fn connect_options(job: &StepJob, instance: &Instance, key: &str) -> Result<ConnectOptions, CallError> {
    let permanent = |code: &str, message: String| CallError::new(ErrorClass::Permanent, code, message);
    let pin = job.host_key.as_deref().or_else(|| job.public_keys.get("bootstrap_host_key").map(String::as_str));
    let pin = pin.ok_or_else(|| permanent("no-host-key", format!("no host key of {} is known, and none is accepted blindly", job.node)))?;
    let pin: PublicHostKey = pin.parse().map_err(|error: SshError| permanent("host-key", error.to_string()))?;
    let key = PrivateKey::from_openssh(key).map_err(|error| permanent("login-key", error.to_string()))?;
    Ok(ConnectOptions::new(instance.user.clone(), vec![key], HostKeyPolicy::Pinned(vec![pin])))
}

/// Whether waiting cannot mend it.
fn is_final(error: &SshError) -> bool {
    matches!(error, SshError::HostKeyMismatch { .. } | SshError::AuthRefused { .. } | SshError::NoPinnedHostKeys | SshError::NoUserKeys)
}

fn ssh_error(job: &StepJob, error: &SshError, sent: bool) -> CallError {
    let (code, help) = match error {
        SshError::HostKeyMismatch { .. } => {
            ("host-key-changed", format!("find out who answers there; `--replace {}` makes the node anew", job.node))
        }
        _ => ("login-refused", format!("`--replace {}` makes the node anew", job.node)),
    };
    let class = if sent { ErrorClass::Unknown } else { ErrorClass::Permanent };
    CallError::new(class, code, format!("{}: {error}", job.node)).help(help)
}

/// A dialed stream.
enum Stream {
    Unix(tokio::net::UnixStream),
    Tcp(tokio::net::TcpStream),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => std::pin::Pin::new(stream).poll_read(context, buffer),
            Self::Tcp(stream) => std::pin::Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => std::pin::Pin::new(stream).poll_write(context, bytes),
            Self::Tcp(stream) => std::pin::Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => std::pin::Pin::new(stream).poll_flush(context),
            Self::Tcp(stream) => std::pin::Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => std::pin::Pin::new(stream).poll_shutdown(context),
            Self::Tcp(stream) => std::pin::Pin::new(stream).poll_shutdown(context),
        }
    }
}
