//! Running a command on a host: whole, with its output collected, or as streams.
//!
//! Per command there is one task, the pump. It owns the channel and its slot until the server has closed the channel, whatever becomes of the caller:
//! only then is the slot on the server free again.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, DuplexStream, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

use super::connection::{Connection, Inner};
use crate::SshError;
use crate::quote::shell_join;

/// How long a collected command may take when its caller says nothing else. Long steps say how long they are.
pub const EXEC_TIMEOUT: Duration = Duration::from_secs(600);

/// How much of the end of an output is kept when the caller says nothing else: enough for any error message, little enough to hold for 256 hosts.
pub const OUTPUT_TAIL_BYTES_MAX: usize = 1024 * 1024;

/// With a remote time limit: so long after the TERM comes the KILL.
pub const REMOTE_KILL_GRACE_SECS: u64 = 5;

/// The exit code by which a remote time limit shows (the convention of `timeout`; after a KILL it is 137).
pub const REMOTE_TIMEOUT_CODE: u32 = 124;

/// A command whose caller went away gets TERM and so much time to end. After that its connection is discarded, because its slot would stay taken.
pub const ABANDONED_COMMAND_GRACE: Duration = Duration::from_secs(3);

/// Output of a streamed command that waits for its reader here before the whole connection waits.
const STDOUT_BUFFER_BYTES: usize = 1024 * 1024;

/// Input of a streamed command that waits for the network here before its writer waits.
const STDIN_BUFFER_BYTES: usize = 256 * 1024;

/// Pieces of error output that wait for their reader. A piece is at most 32 KiB.
const STDERR_BUFFER_PIECES: usize = 64;

/// One packet's worth, so that a read becomes one message.
const COPY_BUFFER_BYTES: usize = 32 * 1024;

/// A command in an error message is cut here.
const SHOWN_COMMAND_CHARS_MAX: usize = 120;

/// What a collected command reads.
#[derive(Default)]
pub enum Stdin {
    /// Nothing: it sees the end at once.
    #[default]
    Empty,
    /// These bytes.
    Bytes(Vec<u8>),
    /// Whatever comes out of here.
    Stream(Box<dyn AsyncRead + Send + Unpin>),
}

impl std::fmt::Debug for Stdin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => formatter.write_str("Empty"),
            Self::Bytes(bytes) => write!(formatter, "Bytes({} bytes)", bytes.len()),
            Self::Stream(_) => formatter.write_str("Stream"),
        }
    }
}

/// How a command is run and how much of it is kept.
#[derive(Debug)]
pub struct ExecOptions {
    /// What it reads.
    pub stdin: Stdin,
    /// How much of the end of its output is kept. See [`OUTPUT_TAIL_BYTES_MAX`].
    pub stdout_tail_max: usize,
    /// How much of the end of its error output is kept.
    pub stderr_tail_max: usize,
    /// How long to wait for it. When that is over the **whole connection is discarded**. See [`EXEC_TIMEOUT`].
    pub timeout: Duration,
    /// When set, the host itself ends the command after this time (`timeout -k`). Set it well below `timeout`, and the connection survives.
    pub remote_timeout: Option<Duration>,
}

impl Default for ExecOptions {
    fn default() -> Self {
        Self {
            stdin: Stdin::Empty,
            stdout_tail_max: OUTPUT_TAIL_BYTES_MAX,
            stderr_tail_max: OUTPUT_TAIL_BYTES_MAX,
            timeout: EXEC_TIMEOUT,
            remote_timeout: None,
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this code.
    Code(u32),
    /// A signal ended it.
    Signal {
        /// The signal's name without `SIG`: `TERM`, `KILL`.
        name: String,
        /// What the host adds, often nothing.
        message: String,
    },
}

impl ExitStatus {
    /// Whether it exited with code 0.
    #[must_use]
    pub fn success(&self) -> bool {
        *self == Self::Code(0)
    }
}

impl std::fmt::Display for ExitStatus {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(formatter, "exit code {code}"),
            Self::Signal { name, message } if message.is_empty() => write!(formatter, "signal {name}"),
            Self::Signal { name, message } => write!(formatter, "signal {name} ({message})"),
        }
    }
}

/// The end of an output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// What was kept: the end.
    pub bytes: Vec<u8>,
    /// How much there was in all.
    pub total: u64,
}

impl Captured {
    /// Whether the beginning is missing.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.total > self.bytes.len() as u64
    }

    /// What was kept, as text; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    fn push(&mut self, piece: &[u8], limit: usize) {
        self.total = self.total.saturating_add(piece.len() as u64);
        self.bytes.extend_from_slice(piece);
        // Cutting only at twice the limit makes the moving of bytes linear in the output.
        if self.bytes.len() > limit.saturating_mul(2).max(COPY_BUFFER_BYTES) {
            self.cut(limit);
        }
    }

    fn cut(&mut self, limit: usize) {
        let excess = self.bytes.len().saturating_sub(limit);
        self.bytes.drain(..excess);
    }
}

/// What a collected command left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecOutput {
    /// How it ended.
    pub exit: ExitStatus,
    /// Its output.
    pub stdout: Captured,
    /// Its error output.
    pub stderr: Captured,
}

impl ExecOutput {
    /// What is said of a command that did not do what it should: its last words, and how it ended.
    #[must_use]
    pub fn complaint(&self) -> String {
        let said = self.stderr.text();
        if said.trim().is_empty() { self.exit.to_string() } else { format!("{} ({})", said.trim(), self.exit) }
    }
}

impl Connection {
    /// Runs a command and waits for its end.
    ///
    /// A command that ends with an error is an answer, not an error of this call. When the time is over the connection is discarded, because
    /// nothing else frees the command's slot on the host; waiting for a free slot here discards nothing.
    pub async fn exec<S: AsRef<str>>(&self, argv: &[S], options: ExecOptions) -> Result<ExecOutput, SshError> {
        let line = command_line(argv, options.remote_timeout);
        let deadline = Instant::now() + options.timeout;
        let timed_out = |what: String, discarded| SshError::Timeout { what, after: options.timeout, discarded };
        let permit = timeout_at(deadline, self.inner.acquire_session())
            .await
            .map_err(|_| timed_out(format!("waiting for a free slot to run `{}`", shown(&line)), false))??;
        let running = async {
            let stream = ExecStream::start(Arc::clone(&self.inner), line.clone(), permit).await?;
            stream.collect(options.stdin, options.stdout_tail_max, options.stderr_tail_max).await
        };
        match timeout_at(deadline, running).await {
            Ok(output) => output,
            Err(_) => {
                self.discard(&format!("it was discarded because `{}` did not end in time", shown(&line)));
                Err(timed_out(format!("`{}`", shown(&line)), true))
            }
        }
    }

    /// Starts a command whose streams the caller handles.
    ///
    /// Read or drop both outputs: what is not read holds up the connection in the end.
    pub async fn exec_stream<S: AsRef<str>>(&self, argv: &[S], remote_timeout: Option<Duration>) -> Result<ExecStream, SshError> {
        let permit = self.inner.acquire_session().await?;
        ExecStream::start(Arc::clone(&self.inner), command_line(argv, remote_timeout), permit).await
    }
}

/// The line that the remote shell reads. `exec` replaces that shell by the program, so that a signal, and the exit, are the program's own. It also
/// means that `argv` names a program; who wants a shell's builtin says `sh -c`.
fn command_line<S: AsRef<str>>(argv: &[S], remote_timeout: Option<Duration>) -> String {
    let line = shell_join(argv);
    match remote_timeout {
        None => format!("exec {line}"),
        Some(limit) => {
            let whole_secs = limit.as_secs().saturating_add(u64::from(limit.subsec_nanos() > 0)).max(1);
            format!("exec timeout -k {REMOTE_KILL_GRACE_SECS} {whole_secs} {line}")
        }
    }
}

fn shown(line: &str) -> String {
    let line = line.strip_prefix("exec ").unwrap_or(line);
    match line.char_indices().nth(SHOWN_COMMAND_CHARS_MAX) {
        None => line.to_owned(),
        Some((end, _)) => format!("{}...", line.get(..end).unwrap_or_default()),
    }
}

/// A running command.
///
/// Dropping it before [`wait`](Self::wait) has answered abandons the command: it gets TERM, and its connection is discarded when it is still there
/// after [`ABANDONED_COMMAND_GRACE`].
pub struct ExecStream {
    /// Its standard input. Dropping it, or shutting it down, is the end of the input.
    pub stdin: Option<ExecStdin>,
    /// Its output. Dropping it throws the rest away.
    pub stdout: Option<ExecStdout>,
    /// Its error output. Dropping it throws the rest away.
    pub stderr: Option<ExecStderr>,
    /// Dropped with the stream, which is how the pump learns that the caller is gone.
    signals: mpsc::Sender<Sig>,
    exit: oneshot::Receiver<Result<ExitStatus, SshError>>,
    command: String,
    inner: Arc<Inner>,
}

impl std::fmt::Debug for ExecStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ExecStream").field("command", &self.command).finish_non_exhaustive()
    }
}

impl ExecStream {
    /// Opens the channel and asks for the command, in a task of its own: dropped half way, an opening channel would keep its slot on the host.
    async fn start(inner: Arc<Inner>, line: String, permit: OwnedSemaphorePermit) -> Result<Self, SshError> {
        let (mut sender, receiver) = oneshot::channel();
        let lost = Arc::clone(&inner);
        tokio::spawn(async move {
            let (gone, is_gone) = tokio::sync::watch::channel(false);
            let opening = open_and_request(inner, line, permit, is_gone);
            tokio::pin!(opening);
            let started = tokio::select! {
                started = &mut opening => started,
                () = sender.closed() => {
                    gone.send_replace(true);
                    opening.await
                }
            };
            // When nobody takes the stream, dropping it here abandons the command in the usual way.
            drop(sender.send(started));
        });
        receiver.await.unwrap_or_else(|_| Err(lost.disconnected(false)))
    }

    /// Sends a signal (`TERM`, `INT`, `USR1`) to the command. OpenSSH ignores it when the user is root, and old ones always.
    pub async fn signal(&self, name: &str) -> Result<(), SshError> {
        self.signals.send(library_signal(name)).await.map_err(|_| self.inner.disconnected(true))
    }

    /// Waits for the end of the command. Streams that were not taken out are closed: its input ends, its outputs are thrown away.
    pub async fn wait(mut self) -> Result<ExitStatus, SshError> {
        (self.stdin, self.stdout, self.stderr) = (None, None, None);
        (&mut self.exit).await.unwrap_or_else(|_| Err(self.inner.disconnected(true)))
    }

    async fn collect(mut self, source: Stdin, stdout_max: usize, stderr_max: usize) -> Result<ExecOutput, SshError> {
        let (stdin, stdout, stderr) = (self.stdin.take(), self.stdout.take(), self.stderr.take());
        let command = self.command.clone();
        let (fed, stdout, stderr, exit) =
            tokio::join!(feed(stdin, source), collect_stdout(stdout, stdout_max), collect_stderr(stderr, stderr_max), self.wait());
        let exit = exit?;
        fed.map_err(|source| SshError::StdinRead { command: shown(&command), source: Arc::new(source) })?;
        Ok(ExecOutput { exit, stdout, stderr })
    }
}

/// Sends all of `source`. A command that ends without reading everything is no error; a source that fails is.
async fn feed(stdin: Option<ExecStdin>, source: Stdin) -> io::Result<()> {
    let Some(mut stdin) = stdin else { return Ok(()) };
    match source {
        Stdin::Empty => {}
        Stdin::Bytes(bytes) => drop(stdin.write_all(&bytes).await),
        Stdin::Stream(mut source) => {
            let mut buffer = vec![0_u8; COPY_BUFFER_BYTES];
            loop {
                let length = source.read(&mut buffer).await?;
                let piece = buffer.get(..length).unwrap_or_default();
                if piece.is_empty() || stdin.write_all(piece).await.is_err() {
                    break;
                }
            }
        }
    }
    Ok(())
}

async fn collect_stdout(stdout: Option<ExecStdout>, limit: usize) -> Captured {
    let mut captured = Captured::default();
    let Some(mut stdout) = stdout else { return captured };
    let mut buffer = vec![0_u8; COPY_BUFFER_BYTES];
    // A pipe within this process: it has no error but its end.
    while let Ok(length @ 1..) = stdout.read(&mut buffer).await {
        captured.push(buffer.get(..length).unwrap_or_default(), limit);
    }
    captured.cut(limit);
    captured
}

async fn collect_stderr(stderr: Option<ExecStderr>, limit: usize) -> Captured {
    let mut captured = Captured::default();
    let Some(mut stderr) = stderr else { return captured };
    while let Some(piece) = stderr.next().await {
        captured.push(&piece, limit);
    }
    captured.cut(limit);
    captured
}

async fn open_and_request(
    inner: Arc<Inner>,
    line: String,
    permit: OwnedSemaphorePermit,
    is_gone: tokio::sync::watch::Receiver<bool>,
) -> Result<ExecStream, SshError> {
    let gone = || {
        let mut is_gone = is_gone.clone();
        async move {
            // A vanished sender means that this very future is being dropped.
            let _ = is_gone.wait_for(|gone| *gone).await;
        }
    };
    let (channel, permit) = inner.open_session(permit, gone).await?;
    let (mut read, write) = channel.split();
    if *is_gone.borrow() {
        // Nothing was started on the channel yet, so closing it frees the slot.
        let _ = write.close().await;
        return Err(inner.disconnected(false));
    }
    let lost = |_| inner.disconnected(true);
    write.exec(true, line.as_bytes()).await.map_err(lost)?;
    loop {
        match read.wait().await {
            Some(ChannelMsg::Success) => break,
            Some(ChannelMsg::Failure) => {
                let _ = write.close().await;
                return Err(SshError::ExecRefused { command: shown(&line) });
            }
            Some(ChannelMsg::Close) | None => return Err(inner.disconnected(true)),
            Some(_) => {}
        }
    }
    Ok(spawn_pump(inner, line, permit, read, write))
}

fn spawn_pump(
    inner: Arc<Inner>,
    line: String,
    permit: OwnedSemaphorePermit,
    read: ChannelReadHalf,
    write: ChannelWriteHalf<Msg>,
) -> ExecStream {
    let (stdin_near, stdin_far) = tokio::io::duplex(STDIN_BUFFER_BYTES);
    let (stdout_near, stdout_far) = tokio::io::duplex(STDOUT_BUFFER_BYTES);
    let (stderr_sender, stderr_receiver) = mpsc::channel(STDERR_BUFFER_PIECES);
    let (signals, signal_receiver) = mpsc::channel(1);
    let (exit_sender, exit) = oneshot::channel();
    let command = shown(&line);
    let pump = Pump {
        inner: Arc::clone(&inner),
        command: command.clone(),
        stdin: AbortOnDrop(tokio::spawn(send_input(stdin_far, write.make_writer()))),
        read,
        write,
        stdout: Some(stdout_far),
        stderr: Some(stderr_sender),
        signals: signal_receiver,
    };
    tokio::spawn(async move {
        let exit = pump.run().await;
        // The channel is closed: the slot is free before the caller hears of it.
        drop(permit);
        drop(exit_sender.send(exit));
    });
    ExecStream {
        stdin: Some(ExecStdin(stdin_near)),
        stdout: Some(ExecStdout(stdout_near)),
        stderr: Some(ExecStderr(stderr_receiver)),
        signals,
        exit,
        command,
        inner,
    }
}

/// Sends what the caller writes, then the end of input. Without a reader on the other side it waits for ever; the pump ends it.
pub(super) async fn send_input(source: DuplexStream, mut channel: impl AsyncWrite + Unpin) {
    let mut source = BufReader::with_capacity(COPY_BUFFER_BYTES, source);
    if tokio::io::copy_buf(&mut source, &mut channel).await.is_ok() {
        // When this fails the connection is gone, which the pump reports.
        let _ = channel.shutdown().await;
    }
}

/// The task that owns a command's channel.
struct Pump {
    inner: Arc<Inner>,
    command: String,
    stdin: AbortOnDrop,
    read: ChannelReadHalf,
    write: ChannelWriteHalf<Msg>,
    stdout: Option<DuplexStream>,
    stderr: Option<mpsc::Sender<Vec<u8>>>,
    signals: mpsc::Receiver<Sig>,
}

impl Pump {
    /// Runs until the server closed the channel, or the connection is gone.
    async fn run(mut self) -> Result<ExitStatus, SshError> {
        let severed = self.inner.sever().severed();
        let grace = sleep(ABANDONED_COMMAND_GRACE);
        tokio::pin!(severed, grace);
        let mut abandoned = false;
        let mut exit = None;
        loop {
            tokio::select! {
                message = self.read.wait() => match message {
                    Some(ChannelMsg::ExitStatus { exit_status }) => exit = Some(ExitStatus::Code(exit_status)),
                    Some(ChannelMsg::ExitSignal { signal_name, error_message, .. }) => {
                        exit = Some(ExitStatus::Signal { name: signal_text(&signal_name), message: error_message });
                    }
                    Some(ChannelMsg::Close) => return exit.ok_or(SshError::NoExitStatus { command: self.command }),
                    Some(message) => tokio::select! {
                        () = deliver(&mut self.stdout, &mut self.stderr, message) => {}
                        () = &mut severed => return Err(self.inner.disconnected(true)),
                    },
                    None => return Err(self.inner.disconnected(true)),
                },
                signal = self.signals.recv(), if !abandoned => match signal {
                    Some(signal) => drop(self.write.signal(signal).await),
                    None => {
                        abandoned = true;
                        grace.as_mut().reset(Instant::now() + ABANDONED_COMMAND_GRACE);
                        self.abandon().await;
                    }
                },
                () = &mut grace, if abandoned => {
                    self.inner.sever().cut(&format!("it was discarded because `{}` was abandoned and did not end", self.command));
                }
                () = &mut severed => return Err(self.inner.disconnected(true)),
            }
        }
    }

    /// The caller is gone: no more input, no more output, and please end.
    async fn abandon(&mut self) {
        (self.stdout, self.stderr) = (None, None);
        self.stdin.0.abort();
        // When these fail the connection is gone, which the loop notices.
        let _ = self.write.eof().await;
        let _ = self.write.signal(Sig::TERM).await;
    }
}

/// Hands output to its reader; without a reader it is dropped.
async fn deliver(stdout: &mut Option<DuplexStream>, stderr: &mut Option<mpsc::Sender<Vec<u8>>>, message: ChannelMsg) {
    match message {
        ChannelMsg::Data { data } => {
            if let Some(writer) = stdout
                && writer.write_all(&data).await.is_err()
            {
                *stdout = None;
            }
        }
        // 1 is the only kind that the protocol defines: error output.
        ChannelMsg::ExtendedData { data, ext: 1 } => {
            if let Some(sender) = stderr
                && sender.send(data.to_vec()).await.is_err()
            {
                *stderr = None;
            }
        }
        ChannelMsg::Eof => (*stdout, *stderr) = (None, None),
        _ => {}
    }
}

/// A task that ends with its owner.
pub(super) struct AbortOnDrop(pub(super) JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The standard input of a running command.
#[derive(Debug)]
pub struct ExecStdin(DuplexStream);

impl AsyncWrite for ExecStdin {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// The output of a running command.
#[derive(Debug)]
pub struct ExecStdout(DuplexStream);

impl AsyncRead for ExecStdout {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

/// The error output of a running command, in the pieces in which it arrived.
#[derive(Debug)]
pub struct ExecStderr(mpsc::Receiver<Vec<u8>>);

impl ExecStderr {
    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        self.0.recv().await
    }
}

fn library_signal(name: &str) -> Sig {
    match name {
        "ABRT" => Sig::ABRT,
        "ALRM" => Sig::ALRM,
        "FPE" => Sig::FPE,
        "HUP" => Sig::HUP,
        "ILL" => Sig::ILL,
        "INT" => Sig::INT,
        "KILL" => Sig::KILL,
        "PIPE" => Sig::PIPE,
        "QUIT" => Sig::QUIT,
        "SEGV" => Sig::SEGV,
        "TERM" => Sig::TERM,
        "USR1" => Sig::USR1,
        other => Sig::Custom(other.to_owned()),
    }
}

fn signal_text(signal: &Sig) -> String {
    match signal {
        Sig::Custom(name) => name.clone(),
        known => format!("{known:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_kept_and_the_rest_counted() {
        let mut captured = Captured::default();
        for number in 0..100_000_u32 {
            captured.push(format!("{number:06}\n").as_bytes(), 14);
            assert!(captured.bytes.len() <= COPY_BUFFER_BYTES);
        }
        captured.cut(14);
        assert_eq!(captured.text(), "099998\n099999\n");
        assert_eq!(captured.total, 700_000);
        assert!(captured.is_cut());
    }

    #[test]
    fn a_remote_limit_is_whole_seconds_and_never_zero() {
        assert_eq!(command_line(&["sleep", "9"], Some(Duration::from_millis(1))), "exec timeout -k 5 1 sleep 9");
        assert_eq!(command_line(&["a b"], Some(Duration::from_millis(1500))), "exec timeout -k 5 2 'a b'");
        assert_eq!(command_line(&["a b"], None), "exec 'a b'");
    }

    #[test]
    fn long_commands_are_cut_between_characters() {
        let line = "ä".repeat(SHOWN_COMMAND_CHARS_MAX + 1);
        assert_eq!(shown(&line).chars().count(), SHOWN_COMMAND_CHARS_MAX + 3);
    }

    #[test]
    fn signals_have_their_names() {
        for name in ["TERM", "KILL", "USR1", "USR2"] {
            assert_eq!(signal_text(&library_signal(name)), name);
        }
    }
}
