//! The agent as its clients see it: requests come in, runs are started or found, frames go out.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloudtik_model::{Digest, NodeReply, NodeRequest, StepOutcome, Verb};
use serde::Serialize;
use tokio::io::{AsyncBufRead, AsyncWrite, BufReader, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::actions::{Failure, Workshop, end_from_marker, execute, rendered};
use crate::control::Hello;
use crate::daemon::DaemonView;
use crate::error::NodeError;
use crate::frames::{Line, read_line, write_frame};
use crate::host_keys::HostKeysView;
use crate::limits::{ADDRESS_BYTES_MAX, FRAME_BYTES_MAX, RUN_ID_BYTES_MAX, RUNS_PRUNE_EVERY, SESSIONS_MAX};
use crate::marker::Marker;
use crate::process::lock;
use crate::runs::{self, End, Next, Run, RunRecord};

/// How often a silent session looks whether its client is still there.
const CLIENT_LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The agent of a node.
pub(crate) struct Agent {
    workshop: Workshop,
    instance_id: String,
    runs: Mutex<BTreeMap<String, Live>>,
    /// One run at a time for each address.
    addresses: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    ended_since_prune: AtomicUsize,
    stopping: AtomicBool,
}

struct Live {
    run: Arc<Run>,
    task: AbortHandle,
}

/// What a request leads to.
enum Found {
    /// A run that is going on.
    Live(Arc<Run>),
    /// One that has ended before.
    Ended(Box<RunRecord>),
    /// None, and why.
    Refused(String),
}

#[derive(Serialize)]
struct Status {
    version: u32,
    instance_id: String,
    pid: u32,
    host_keys: HostKeysView,
    daemons: BTreeMap<String, DaemonStatus>,
    steps: BTreeMap<String, StepStatus>,
    /// Runs that are going on.
    runs: Vec<String>,
}

#[derive(Serialize)]
struct DaemonStatus {
    address: String,
    #[serde(flatten)]
    view: DaemonView,
}

#[derive(Serialize)]
struct StepStatus {
    identity: Digest,
    rendered: Digest,
    run_id: String,
    outcome: Option<StepOutcome>,
}

impl Agent {
    pub(crate) fn new(workshop: Workshop, instance_id: String) -> Self {
        let (runs, addresses) = (Mutex::default(), Mutex::default());
        Self { workshop, instance_id, runs, addresses, ended_since_prune: AtomicUsize::new(0), stopping: AtomicBool::new(false) }
    }

    /// The daemons.
    pub(crate) fn supervisor(&self) -> &crate::supervisor::Supervisor {
        &self.workshop.supervisor
    }

    /// Breaks off every run, without an end: whoever repeats one after the next start does it again.
    pub(crate) fn break_off_runs(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        for live in lock(&self.runs).values() {
            live.task.abort();
        }
    }

    /// Serves the control socket for ever.
    pub(crate) async fn serve_socket(self: Arc<Self>, listener: UnixListener) {
        let places = Arc::new(Semaphore::new(SESSIONS_MAX));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let agent = Arc::clone(&self);
                    tokio::spawn(async move {
                        // What broke a client's connection is the client's to report.
                        let _ = agent.serve_client(stream).await;
                        drop(place);
                    });
                }
                // No file handles: a moment later there may be some.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    async fn serve_client(self: Arc<Self>, stream: UnixStream) -> io::Result<()> {
        let (stream, twin) = twins(stream)?;
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        let Line::Text(line) = read_line(&mut reader).await? else { return Ok(()) };
        match serde_json::from_slice(&line) {
            Ok(Hello::Steps) => {
                tokio::select! {
                    ended = run_session(&self, reader, &mut writer) => ended,
                    () = gone(&twin) => Ok(()),
                }
            }
            Ok(Hello::Status) => {
                let agent = Arc::clone(&self);
                let status = tokio::task::spawn_blocking(move || agent.status()).await.map_err(io::Error::other)?;
                match status {
                    Ok(status) => write_frame(&mut writer, &status).await,
                    Err(error) => write_frame(&mut writer, &BTreeMap::from([("error", error.whole())])).await,
                }
            }
            Err(error) => write_frame(&mut writer, &refused("", format!("the first line is not understood: {error}"))).await,
        }
    }

    fn status(&self) -> Result<Status, NodeError> {
        let daemons = self.workshop.supervisor.views().into_iter();
        let steps = Marker::all(&self.workshop.layout)?.into_iter();
        let step = |marker: Marker| StepStatus {
            identity: marker.identity,
            rendered: marker.rendered,
            run_id: marker.run_id,
            outcome: marker.outcome,
        };
        Ok(Status {
            version: 1,
            instance_id: self.instance_id.clone(),
            pid: std::process::id(),
            host_keys: self.workshop.door.view(),
            daemons: daemons.map(|(name, (address, view))| (name, DaemonStatus { address, view })).collect(),
            steps: steps.map(|(address, marker)| (address, step(marker))).collect(),
            runs: lock(&self.runs).keys().cloned().collect(),
        })
    }

    /// Finds the run of a request, or starts it. Blocks on the disk.
    fn find_or_start(self: &Arc<Self>, request: NodeRequest) -> Found {
        match self.try_find_or_start(request) {
            Ok(found) => found,
            Err(failure) => Found::Refused(failure.reason),
        }
    }

    fn try_find_or_start(self: &Arc<Self>, request: NodeRequest) -> Result<Found, Failure> {
        check_request(&request)?;
        let rendered = rendered(&request.action)?;
        let json = serde_json::to_value(&request).map_err(|error| Failure::new(format!("the request cannot be kept: {error}")))?;
        let digest = Digest::of_json(&json);
        if request.verb == Verb::Check {
            // A check changes nothing, so it is never recorded and always looks afresh.
            return Ok(Found::Live(self.start(request, rendered, digest, None)));
        }
        let other = || Failure::new(format!("the run id `{}` was used for another request", request.run_id));
        let mut runs = lock(&self.runs);
        if let Some(live) = runs.get(&request.run_id) {
            return if *live.run.request() == digest { Ok(Found::Live(Arc::clone(&live.run))) } else { Err(other()) };
        }
        if self.stopping.load(Ordering::SeqCst) {
            return Err(Failure::new("the node is being stopped"));
        }
        let layout = &self.workshop.layout;
        let record = match RunRecord::read(layout, &request.run_id)? {
            Some(record) if record.request != digest => return Err(other()),
            Some(record) if record.end.is_some() => return Ok(Found::Ended(Box::new(record))),
            Some(record) => record,
            None => {
                let record = RunRecord {
                    version: RunRecord::VERSION,
                    run_id: request.run_id.clone(),
                    request: digest,
                    address: request.address.clone(),
                    verb: request.verb,
                    end: None,
                    output: Vec::new(),
                };
                record.write(layout)?;
                record
            }
        };
        let run_id = request.run_id.clone();
        let run = Arc::new(Run::new(digest));
        let task = self.spawn(request, rendered, Arc::clone(&run), Some(record));
        runs.insert(run_id, Live { run: Arc::clone(&run), task });
        Ok(Found::Live(run))
    }

    fn start(self: &Arc<Self>, request: NodeRequest, rendered: Digest, digest: Digest, record: Option<RunRecord>) -> Arc<Run> {
        let run = Arc::new(Run::new(digest));
        self.spawn(request, rendered, Arc::clone(&run), record);
        run
    }

    /// The work is a task of its own, and another one waits for it, so that even a broken task has an end.
    fn spawn(self: &Arc<Self>, request: NodeRequest, rendered: Digest, run: Arc<Run>, record: Option<RunRecord>) -> AbortHandle {
        let identity = request.identity;
        let work = tokio::spawn(Arc::clone(self).work(request, rendered, Arc::clone(&run)));
        let handle = work.abort_handle();
        let agent = Arc::clone(self);
        tokio::spawn(async move {
            let end = match work.await {
                Ok(end) => end,
                // Broken off by the end of the node: no end is recorded, and the repeat does it again.
                Err(error) if error.is_cancelled() => return,
                Err(error) => {
                    let outcome = Failure::new(format!("the run broke off: {error}")).outcome();
                    End { identity, rendered, outcome, attributes: BTreeMap::new() }
                }
            };
            agent.finish(end, &run, record).await;
        });
        handle
    }

    async fn work(self: Arc<Self>, request: NodeRequest, rendered: Digest, run: Arc<Run>) -> End {
        let place = {
            let mut addresses = lock(&self.addresses);
            addresses.retain(|_, place| Arc::strong_count(place) > 1);
            Arc::clone(addresses.entry(request.address.clone()).or_default())
        };
        let _turn = place.lock().await;
        match end_from_marker(&self.workshop.layout, &request, rendered) {
            Some(end) => end,
            None => execute(&self.workshop, &request, rendered, &run).await,
        }
    }

    async fn finish(self: Arc<Self>, end: End, run: &Arc<Run>, record: Option<RunRecord>) {
        if let Some(mut record) = record {
            let run_id = record.run_id.clone();
            record.end = Some(end.clone());
            record.output = run.last_output();
            let agent = Arc::clone(&self);
            let kept = tokio::task::spawn_blocking(move || agent.keep(&record)).await;
            let reason = match kept {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.whole()),
                Err(error) => Some(error.to_string()),
            };
            if let Some(reason) = reason {
                // The end itself is true, and the marker answers a repeat.
                run.output(true, format!("[the end of this run could not be recorded: {reason}]\n"));
            }
            lock(&self.runs).remove(&run_id);
        }
        run.end(end);
    }

    fn keep(&self, record: &RunRecord) -> Result<(), NodeError> {
        record.write(&self.workshop.layout)?;
        if self.ended_since_prune.fetch_add(1, Ordering::SeqCst) >= RUNS_PRUNE_EVERY {
            self.ended_since_prune.store(0, Ordering::SeqCst);
            runs::prune(&self.workshop.layout)?;
        }
        Ok(())
    }
}

/// Answers requests, one after the other, until the input ends.
pub(crate) async fn run_session<R, W>(agent: &Arc<Agent>, mut reader: R, writer: &mut W) -> io::Result<()>
where
    R: AsyncBufRead + Unpin,
    W: AsyncWrite + Unpin,
{
    loop {
        let line = match read_line(&mut reader).await? {
            Line::End => return Ok(()),
            Line::TooLong => {
                let reason = format!("a frame is longer than {FRAME_BYTES_MAX} bytes; send long content as an artifact");
                return write_frame(writer, &refused("", reason)).await;
            }
            Line::Text(line) if line.iter().all(u8::is_ascii_whitespace) => continue,
            Line::Text(line) => line,
        };
        match serde_json::from_slice::<NodeRequest>(&line) {
            Ok(request) => answer(agent, request, writer).await?,
            Err(error) => {
                let reason = format!("the request is not understood: {error}");
                write_frame(writer, &refused(&run_id_of(&line), reason)).await?;
            }
        }
    }
}

async fn answer<W: AsyncWrite + Unpin>(agent: &Arc<Agent>, request: NodeRequest, writer: &mut W) -> io::Result<()> {
    let run_id = request.run_id.clone();
    let starter = Arc::clone(agent);
    let found = tokio::task::spawn_blocking(move || starter.find_or_start(request)).await.map_err(io::Error::other)?;
    match found {
        Found::Refused(reason) => write_frame(writer, &refused(&run_id, reason)).await,
        Found::Live(run) => follow(&run, &run_id, writer).await,
        Found::Ended(record) => {
            for piece in record.output {
                let frame = NodeReply::Output { run_id: run_id.clone(), stderr: piece.stderr, text: piece.text };
                write_frame(writer, &frame).await?;
            }
            match record.end {
                Some(end) => write_frame(writer, &end.frame(&run_id)).await,
                None => write_frame(writer, &refused(&run_id, "the run has no end".to_owned())).await,
            }
        }
    }
}

/// Sends what a run has printed and prints, and its end.
async fn follow<W: AsyncWrite + Unpin>(run: &Run, run_id: &str, writer: &mut W) -> io::Result<()> {
    let mut changes = run.changes();
    let mut position = 0;
    loop {
        changes.mark_unchanged();
        match run.next(&mut position) {
            Next::Piece(piece) => {
                let frame = NodeReply::Output { run_id: run_id.to_owned(), stderr: piece.stderr, text: piece.text };
                write_frame(writer, &frame).await?;
            }
            Next::Dropped(count) => {
                let text = format!("[{count} pieces of output were not kept]\n");
                write_frame(writer, &NodeReply::Output { run_id: run_id.to_owned(), stderr: true, text }).await?;
            }
            Next::End(end) => return write_frame(writer, &end.frame(run_id)).await,
            Next::NotYet => changes.changed().await.map_err(io::Error::other)?,
        }
    }
}

fn check_request(request: &NodeRequest) -> Result<(), Failure> {
    if request.version != NodeRequest::VERSION {
        let (theirs, ours) = (request.version, NodeRequest::VERSION);
        return Err(Failure::new(format!("the request has version {theirs}, and this node speaks version {ours}")));
    }
    if request.run_id.is_empty() || request.run_id.len() > RUN_ID_BYTES_MAX {
        return Err(Failure::new(format!("a run id has 1 to {RUN_ID_BYTES_MAX} bytes")));
    }
    if request.address.is_empty() || request.address.len() > ADDRESS_BYTES_MAX {
        return Err(Failure::new(format!("an address has 1 to {ADDRESS_BYTES_MAX} bytes")));
    }
    if request.run_id.contains('\0') {
        return Err(Failure::new("a run id holds no zero byte"));
    }
    Ok(())
}

fn refused(run_id: &str, reason: String) -> NodeReply {
    NodeReply::Refused { run_id: run_id.to_owned(), reason }
}

/// The run id of a request that is wrong elsewhere.
fn run_id_of(line: &[u8]) -> String {
    let value: Option<serde_json::Value> = serde_json::from_slice(line).ok();
    value.and_then(|value| Some(value.get("run_id")?.as_str()?.to_owned())).unwrap_or_default()
}

/// The stream twice: once to talk, once to see whether the other side is there at all.
fn twins(stream: UnixStream) -> io::Result<(UnixStream, UnixStream)> {
    let stream = stream.into_std()?;
    let twin = stream.try_clone()?;
    Ok((UnixStream::from_std(stream)?, UnixStream::from_std(twin)?))
}

/// Ends when the client has closed both directions. That its input has ended says nothing: it may be waiting for answers.
async fn gone(stream: &UnixStream) {
    loop {
        tokio::time::sleep(CLIENT_LOOK_INTERVAL).await;
        match stream.ready(Interest::WRITABLE).await {
            Ok(ready) if !ready.is_write_closed() => {}
            _ => return,
        }
    }
}
