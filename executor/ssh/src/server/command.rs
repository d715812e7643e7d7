//! One command: a shell in a process group of its own, or a handler in this process, between the streams of a channel.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use super::Shared;
use crate::ExitStatus;

/// What commands are given to.
const SHELL: &str = "/bin/sh";

/// Signals that wait for a command's handler; more at once are dropped.
pub(super) const SIGNALS_WAITING_MAX: usize = 8;

/// After a command has ended, its outputs are read until nothing came for this long: something that it left running may hold them open for ever.
const QUIET_AFTER_EXIT: Duration = Duration::from_millis(500);

/// A command whose client went away gets TERM, and so much time until KILL: enough for a shell's `trap` to remove a temporary file.
const TERMINATION_GRACE: Duration = Duration::from_secs(2);

/// The kernel tells nobody that a process group became empty, so it is asked this often.
const GROUP_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// One packet's worth.
const COPY_BUFFER_BYTES: usize = 32 * 1024;

/// Commands that the embedding program handles itself, without a process.
pub trait Intercept: Send + Sync + 'static {
    /// The handler of this command line, or nothing when the shell shall run it. The `exec ` with which our client begins every line is taken off.
    fn intercept(&self, command: &str) -> Option<CommandHandler>;
}

impl<F> Intercept for F
where
    F: Fn(&str) -> Option<CommandHandler> + Send + Sync + 'static,
{
    fn intercept(&self, command: &str) -> Option<CommandHandler> {
        self(command)
    }
}

/// Runs between the streams of a command and says how it ended. It is dropped, wherever it is, when the client goes away.
pub type CommandHandler = Box<dyn FnOnce(CommandStreams) -> Pin<Box<dyn Future<Output = ExitStatus> + Send>> + Send>;

/// The streams of an intercepted command.
pub struct CommandStreams {
    /// What the client sends.
    pub stdin: Box<dyn AsyncRead + Send + Unpin>,
    /// Output; writing waits for the client.
    pub stdout: Box<dyn AsyncWrite + Send + Unpin>,
    /// Error output; writing waits for the client.
    pub stderr: Box<dyn AsyncWrite + Send + Unpin>,
    /// Names of signals that the client sends.
    pub signals: mpsc::Receiver<String>,
}

/// Starts the shell. It leads a process group of its own, so that everything it starts can be reached by one signal.
pub(super) fn spawn(command: &[u8], shared: &Shared) -> io::Result<Child> {
    Command::new(SHELL)
        .arg("-c")
        .arg(OsStr::from_bytes(command))
        .env_clear()
        .envs(&shared.environment)
        .current_dir(&shared.directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// Carries a started shell to its end. Dropped before, it ends the whole process group.
pub(super) async fn run(child: Child, streams: CommandStreams) -> ExitStatus {
    let mut running = Running::new(child);
    let CommandStreams { mut stdin, stdout, stderr, mut signals } = streams;
    let (ended, has_ended) = watch::channel(false);
    let (child_stdin, child_stdout, child_stderr) = running.take_pipes();

    let feed = async {
        if let Some(mut child_stdin) = child_stdin {
            // A command need not read its input; when it closed it, the rest is nobody's.
            let _ = tokio::io::copy(&mut stdin, &mut child_stdin).await;
        }
        // The reader is gone with this: what still arrives is dropped at once.
        drop(stdin);
    };
    let outputs = async {
        let end = async {
            let status = running.wait(&mut signals).await;
            ended.send_replace(true);
            status
        };
        tokio::join!(end, copy_output(child_stdout, stdout, has_ended.clone()), copy_output(child_stderr, stderr, has_ended.clone())).0
    };
    tokio::pin!(feed, outputs);
    // A command may end with its input still open, so its end does not wait for the end of the input.
    let status = tokio::select! {
        status = &mut outputs => status,
        () = &mut feed => outputs.await,
    };
    match status {
        Ok(status) => exit_status(status),
        Err(error) => ExitStatus::Signal { name: "KILL".to_owned(), message: format!("the end of the command was lost: {error}") },
    }
}

/// Copies one output to the client. It ends with the pipe, or when the command has ended and the pipe is quiet.
async fn copy_output(
    source: Option<impl AsyncRead + Unpin>,
    mut sink: Box<dyn AsyncWrite + Send + Unpin>,
    mut has_ended: watch::Receiver<bool>,
) {
    let Some(mut source) = source else { return };
    let mut buffer = vec![0_u8; COPY_BUFFER_BYTES];
    loop {
        let quiet = async {
            // The sender lives as long as the command's task, which this is a part of.
            let _ = has_ended.wait_for(|ended| *ended).await;
            sleep(QUIET_AFTER_EXIT).await;
        };
        let length = tokio::select! {
            read = source.read(&mut buffer) => match read {
                Ok(length) => length,
                Err(_) => return,
            },
            () = quiet => return,
        };
        let piece = buffer.get(..length).unwrap_or_default();
        if piece.is_empty() || sink.write_all(piece).await.is_err() {
            return;
        }
    }
}

fn exit_status(status: std::process::ExitStatus) -> ExitStatus {
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitStatus::Code(u32::try_from(code).unwrap_or(u32::MAX)),
        (None, Some(number)) => {
            let known = Signal::try_from(number).map(|signal| signal.as_str().trim_start_matches("SIG").to_owned());
            ExitStatus::Signal { name: known.unwrap_or_else(|_| number.to_string()), message: String::new() }
        }
        // A process that was waited for has either.
        (None, None) => ExitStatus::Code(u32::MAX),
    }
}

/// A running shell and its process group, which is ended when this is dropped while the shell runs.
///
/// Once the shell has ended the group is left alone: what a command leaves running in the background stays, as under any SSH server, and the number may
/// soon belong to somebody else.
struct Running {
    child: Option<Child>,
    group: Option<Pid>,
}

impl Running {
    fn new(child: Child) -> Self {
        let group = child.id().and_then(|id| i32::try_from(id).ok()).filter(|id| *id > 1).map(Pid::from_raw);
        Self { child: Some(child), group }
    }

    fn take_pipes(&mut self) -> (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>) {
        match &mut self.child {
            Some(child) => (child.stdin.take(), child.stdout.take(), child.stderr.take()),
            None => (None, None, None),
        }
    }

    /// Passes signals on until the shell has ended.
    async fn wait(&mut self, signals: &mut mpsc::Receiver<String>) -> io::Result<std::process::ExitStatus> {
        let Some(child) = &mut self.child else { return Err(io::Error::from(io::ErrorKind::NotFound)) };
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                Some(name) = signals.recv() => {
                    if let (Some(group), Ok(signal)) = (self.group, format!("SIG{name}").parse::<Signal>()) {
                        send(group, signal);
                    }
                }
            }
        };
        self.group = None;
        status
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let (Some(group), Some(child)) = (self.group.take(), self.child.take()) else { return };
        send(group, Signal::SIGTERM);
        let kill = KillOnDrop(Some(group));
        // Without a runtime, as while the program ends, the kill follows at once.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(end_group(child, group, kill));
        }
    }
}

/// Waits until nobody is left in the group; whoever still is when the grace is over gets the kill.
async fn end_group(mut child: Child, group: Pid, mut kill: KillOnDrop) {
    let deadline = Instant::now() + TERMINATION_GRACE;
    while Instant::now() < deadline {
        // The shell counts as one of the group until it was waited for. Others may outlive it: it need not have waited for them.
        let shell_ended = !matches!(child.try_wait(), Ok(None));
        if shell_ended && killpg(group, None) == Err(Errno::ESRCH) {
            kill.0 = None;
            return;
        }
        sleep(GROUP_POLL_INTERVAL).await;
    }
    drop(kill);
    // After the kill it cannot fail to end.
    let _ = child.wait().await;
}

/// Kills a process group, however the waiting for it ends.
struct KillOnDrop(Option<Pid>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            send(group, Signal::SIGKILL);
        }
    }
}

fn send(group: Pid, signal: Signal) {
    // It fails when everybody in the group has just ended, which is what the signal is for.
    let _ = killpg(group, signal);
}

/// The library's writer takes an empty write for an error, and callers of `AsyncWrite` may write nothing.
pub(super) struct ChannelWriter<W>(pub(super) W);

impl<W: AsyncWrite + Unpin> AsyncWrite for ChannelWriter<W> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Output and error output share one end, which is sent when the command has ended.
        Poll::Ready(Ok(()))
    }
}
