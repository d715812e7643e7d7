//! Commands of the user or of a module: a shell of their own session, limits of time, conditions, repeats.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use cloudtik_model::{NodeAction, NodeRequest};
use nix::sys::signal::Signal;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Failure, Outcome, Success, Workshop};
use crate::error::whole;
use crate::layout::RUN_VARIABLE;
use crate::limits::{DRAIN_TIMEOUT, OUTPUT_PIECE_BYTES_MAX, SCRIPT_BYTES_MAX, SCRIPT_KILL_GRACE};
use crate::process::{Launch, Tracked, describe};
use crate::runs::Run;

/// What all scripts of an action share.
struct Shell<'a> {
    workshop: &'a Workshop,
    env: BTreeMap<String, String>,
    user: Option<&'a str>,
    limit: Duration,
    run: &'a Run,
}

/// Skips, or runs the script until it succeeds or its repeats are used up.
pub(super) async fn perform(workshop: &Workshop, request: &NodeRequest, run: &Run) -> Outcome {
    let NodeAction::Run { script, creates, unless, only_if, retries, retry_wait_secs, .. } = &request.action else {
        return Err(Failure::new("this is not the action of a command"));
    };
    let shell = Shell::of(workshop, request, run)?;
    if let Some(path) = creates
        && Path::new(path).symlink_metadata().is_ok()
    {
        return Ok(Success::skipped());
    }
    if let Some(condition) = unless
        && shell.holds("unless", condition).await?
    {
        return Ok(Success::skipped());
    }
    if let Some(condition) = only_if
        && !shell.holds("only_if", condition).await?
    {
        return Ok(Success::skipped());
    }
    let mut failed = match shell.succeed("the script", script).await {
        Ok(()) => return Ok(Success::done()),
        Err(failure) => failure,
    };
    for attempt in 1..=*retries {
        shell.note(&format!("{}; once more in {retry_wait_secs} s ({attempt} of {retries})", failed.reason));
        sleep(Duration::from_secs(*retry_wait_secs)).await;
        match shell.succeed("the script", script).await {
            Ok(()) => return Ok(Success::done()),
            Err(failure) => failed = failure,
        }
    }
    if *retries > 0 {
        failed.reason = format!("{}, after {retries} repeats", failed.reason);
    }
    Err(failed)
}

/// Runs what takes it back, if there is something.
pub(super) async fn undo(workshop: &Workshop, request: &NodeRequest, run: &Run) -> Result<(), Failure> {
    let NodeAction::Run { undo, .. } = &request.action else {
        return Err(Failure::new("this is not the action of a command"));
    };
    match undo {
        Some(script) => Shell::of(workshop, request, run)?.succeed("the undo script", script).await,
        None => Ok(()),
    }
}

impl<'a> Shell<'a> {
    fn of(workshop: &'a Workshop, request: &'a NodeRequest, run: &'a Run) -> Result<Self, Failure> {
        let NodeAction::Run { env, user, timeout_secs, .. } = &request.action else {
            return Err(Failure::new("this is not the action of a command"));
        };
        let mut env = env.clone();
        env.insert(RUN_VARIABLE.to_owned(), request.run_id.clone());
        Ok(Self { workshop, env, user: user.as_deref(), limit: Duration::from_secs(*timeout_secs), run })
    }

    /// Whether a condition exits 0.
    async fn holds(&self, name: &str, condition: &str) -> Result<bool, Failure> {
        Ok(self.execute(&format!("the condition `{name}`"), condition).await?.success())
    }

    async fn succeed(&self, what: &str, script: &str) -> Result<(), Failure> {
        let status = self.execute(what, script).await?;
        if status.success() {
            return Ok(());
        }
        Err(Failure { code: status.code(), reason: format!("{what} {}", describe(status)), timed_out: false })
    }

    fn note(&self, text: &str) {
        self.run.output(true, format!("[{text}]\n"));
    }

    async fn execute(&self, what: &str, script: &str) -> Result<ExitStatus, Failure> {
        if script.len() > SCRIPT_BYTES_MAX || script.contains('\0') {
            let length = script.len();
            return Err(Failure::new(format!(
                "{what} has {length} bytes; at most {SCRIPT_BYTES_MAX} and no zero byte can be run: put it into a file and run that"
            )));
        }
        let (out, out_end) = pipe_pair()?;
        let (err, err_end) = pipe_pair()?;
        let mut process = self.spawn(script, out_end, err_end)?;
        let (pieces, mut inbox) = mpsc::channel(16);
        tokio::spawn(read_pieces(out, false, pieces.clone()));
        tokio::spawn(read_pieces(err, true, pieces));
        let deadline = Instant::now() + self.limit;
        let ended = loop {
            tokio::select! {
                // A script that never stops printing must not hide its end or its time limit.
                biased;
                () = tokio::time::sleep_until(deadline) => break None,
                status = process.wait() => break Some(status),
                Some((stderr, text)) = inbox.recv() => self.run.output(stderr, text),
            }
        };
        let status = match ended {
            Some(status) => Ok(status.map_err(|error| Failure::new(format!("{what} cannot be waited for: {error}")))?),
            None => {
                kill(&mut process).await;
                let reason = format!("{what} was still running after {} s and was ended", self.limit.as_secs());
                Err(Failure { code: None, reason, timed_out: true })
            }
        };
        self.drain(inbox).await;
        status
    }

    /// What was printed before the end. A background child may hold the pipes for ever; it is read on, into nothing, so that it does not
    /// die of printing.
    async fn drain(&self, mut inbox: mpsc::Receiver<(bool, String)>) {
        let deadline = Instant::now() + DRAIN_TIMEOUT;
        while Instant::now() < deadline
            && let Ok(Some((stderr, text))) = timeout_at(deadline, inbox.recv()).await
        {
            self.run.output(stderr, text);
        }
    }

    fn spawn(&self, script: &str, out: OwnedFd, err: OwnedFd) -> Result<Tracked, Failure> {
        let argv = ["/bin/sh", "-e", "-c", script].map(str::to_owned);
        let home = self.workshop.base.get("HOME").map(PathBuf::from).filter(|home| home.is_dir());
        let root = self.workshop.layout.root().to_path_buf();
        let own_place = home.unwrap_or(root);
        let launch = Launch {
            argv: &argv,
            base: &self.workshop.base,
            env: &self.env,
            cwd: self.user.is_none().then_some(own_place.as_path()),
            user: self.user,
            stdout: Stdio::from(out),
            stderr: Stdio::from(err),
        };
        self.workshop.children.spawn(launch).map_err(|error| Failure::new(whole(&error)))
    }
}

/// TERM, a moment, KILL; all of the group.
async fn kill(process: &mut Tracked) {
    process.signal_group(Signal::SIGTERM);
    // Whatever came of the wait, KILL follows: the shell may have gone and left others.
    let _ = timeout_at(Instant::now() + SCRIPT_KILL_GRACE, process.wait()).await;
    process.signal_group(Signal::SIGKILL);
    // After KILL there is always an end.
    let _ = process.wait().await;
}

fn pipe_pair() -> Result<(pipe::Receiver, OwnedFd), Failure> {
    let wrong = |error: std::io::Error| Failure::new(format!("cannot make a pipe: {error}"));
    let (reader, writer) = std::io::pipe().map_err(wrong)?;
    let receiver = pipe::Receiver::from_owned_fd(OwnedFd::from(reader)).map_err(wrong)?;
    Ok((receiver, OwnedFd::from(writer)))
}

/// Reads to the end; when nobody takes the pieces any more, into nothing.
async fn read_pieces(mut from: pipe::Receiver, stderr: bool, to: mpsc::Sender<(bool, String)>) {
    let mut buffer = vec![0; OUTPUT_PIECE_BYTES_MAX];
    let mut text = LossyText::default();
    loop {
        let count = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        let piece = text.push(buffer.get(..count).unwrap_or_default());
        if !piece.is_empty() && !to.is_closed() {
            // Closed meanwhile is the same as closed before.
            let _ = to.send((stderr, piece)).await;
        }
    }
    let rest = text.finish();
    if !rest.is_empty() {
        // As above.
        let _ = to.send((stderr, rest)).await;
    }
}

/// Bytes as text; a letter that is cut at the end of a piece waits for its rest.
#[derive(Default)]
struct LossyText {
    rest: Vec<u8>,
}

impl LossyText {
    fn push(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.rest);
        all.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&all) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => all.len(),
        };
        // Bytes that were wrong before the cut hide it: then the last letter may be shown as wrong as well.
        self.rest = all.split_off(whole);
        String::from_utf8_lossy(&all).into_owned()
    }

    fn finish(self) -> String {
        String::from_utf8_lossy(&self.rest).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_cut_between_pieces_stay_whole() {
        let mut text = LossyText::default();
        let bytes = "aä€𝄞z".as_bytes();
        let whole: String = bytes.chunks(1).map(|byte| text.push(byte)).collect();
        assert_eq!(whole, "aä€𝄞z");
        assert_eq!(text.push(b"x\xe2\x82"), "x");
        assert_eq!(text.finish(), "\u{fffd}");
        assert_eq!(LossyText::default().push(b"a\xffb"), "a\u{fffd}b");
    }
}
