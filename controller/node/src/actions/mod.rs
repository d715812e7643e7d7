//! What a step does: every action with its check, do and undo, and the marker around them.

mod archive;
mod file;
mod host_key;
mod package;
mod run;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cloudtik_model::{Digest, NodeAction, NodeRequest, StepOutcome, Verb};

pub(crate) use host_key::{Door, stored_authorized_keys};

use crate::daemon::{Applied, DaemonFailure};
use crate::error::NodeError;
use crate::layout::Layout;
use crate::marker::Marker;
use crate::process::Children;
use crate::readiness::wait_at_most;
use crate::runs::{End, Run};
use crate::supervisor::Supervisor;

/// What actions work with: the node.
pub(crate) struct Workshop {
    pub(crate) layout: Layout,
    /// The environment of the node's processes.
    pub(crate) base: Arc<BTreeMap<String, String>>,
    pub(crate) children: Children,
    pub(crate) supervisor: Supervisor,
    pub(crate) door: Box<dyn Door>,
}

/// A failure of an action. It becomes the outcome of the step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: Option<i32>,
    pub(crate) reason: String,
    pub(crate) timed_out: bool,
}

impl Failure {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { code: None, reason: reason.into(), timed_out: false }
    }

    /// As the outcome of the step.
    pub(crate) fn outcome(self) -> StepOutcome {
        let Self { code, reason, timed_out } = self;
        StepOutcome::Failed { code, reason, timed_out }
    }

    /// Of an operation on a path.
    pub(crate) fn at(action: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let text = format!("cannot {action} `{}`", path.display());
        move |error| Self::new(format!("{text}: {error}"))
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        Self::new(error.whole())
    }
}

impl From<DaemonFailure> for Failure {
    fn from(failure: DaemonFailure) -> Self {
        let DaemonFailure { code, reason, timed_out } = failure;
        Self { code, reason, timed_out }
    }
}

/// What an action that did not fail has to say.
pub(crate) struct Success {
    pub(crate) outcome: StepOutcome,
    pub(crate) attributes: BTreeMap<String, String>,
}

impl Success {
    pub(crate) const fn done() -> Self {
        Self { outcome: StepOutcome::Done, attributes: BTreeMap::new() }
    }

    pub(crate) const fn skipped() -> Self {
        Self { outcome: StepOutcome::Skipped, attributes: BTreeMap::new() }
    }
}

pub(crate) type Outcome = Result<Success, Failure>;

/// Digest of the action's JSON.
pub(crate) fn rendered(action: &NodeAction) -> Result<Digest, Failure> {
    let json = serde_json::to_value(action).map_err(|error| Failure::new(format!("the action cannot be written as JSON: {error}")))?;
    Ok(Digest::of_json(&json))
}

/// Executes a request.
pub(crate) async fn execute(workshop: &Workshop, request: &NodeRequest, rendered: Digest, run: &Run) -> End {
    let outcome = match request.verb {
        Verb::Check => check(workshop, request).await,
        Verb::Do => perform(workshop, request, rendered, run).await,
        Verb::Undo => undo(workshop, request, run).await,
    };
    let (outcome, attributes) = match outcome {
        Ok(success) => (success.outcome, success.attributes),
        Err(failure) => (failure.outcome(), BTreeMap::new()),
    };
    let mut end = End { identity: request.identity, rendered, outcome, attributes };
    if request.verb == Verb::Do
        && let Err(failure) = finish_marker(workshop, request, &end)
    {
        let reason = format!("the step was worked on, and its marker could not be written: {}", failure.reason);
        end.outcome = Failure::new(reason).outcome();
    }
    end
}

/// The end that a killed agent did not get to record, when the marker says that the effect was complete.
pub(crate) fn end_from_marker(layout: &Layout, request: &NodeRequest, rendered: Digest) -> Option<End> {
    let marker = Marker::read(layout, &request.address).ok()??;
    let same = request.verb == Verb::Do && marker.run_id == request.run_id && marker.rendered == rendered;
    let outcome = marker.outcome.filter(|_| same)?;
    Some(End { identity: marker.identity, rendered, outcome, attributes: marker.attributes })
}

async fn check(workshop: &Workshop, request: &NodeRequest) -> Outcome {
    if let NodeAction::HostKey { authorized_keys } = &request.action {
        return host_key::check(workshop, authorized_keys);
    }
    let marker = Marker::read(&workshop.layout, &request.address)?;
    let Some(marker) = marker.filter(|marker| marker.says_done(&request.identity)) else { return Ok(needed()) };
    let layout = workshop.layout.clone();
    let holds = match &request.action {
        NodeAction::File { .. } => {
            let request = request.clone();
            blocking(move || file::is_in_place(&file::Wanted::of(&layout, &request.action)?)).await?
        }
        NodeAction::Package { into, artifact, executables, .. } => {
            package::is_in_place(Path::new(into), artifact, executables).map_err(Failure::from)?
        }
        NodeAction::Daemon(spec) => workshop.supervisor.is_up(&request.address, spec),
        NodeAction::HostKey { .. } | NodeAction::Wait { .. } | NodeAction::Run { .. } => true,
    };
    Ok(if holds { Success { outcome: StepOutcome::Done, attributes: marker.attributes } } else { needed() })
}

fn needed() -> Success {
    Success { outcome: StepOutcome::Needed, attributes: BTreeMap::new() }
}

async fn perform(workshop: &Workshop, request: &NodeRequest, rendered: Digest, run: &Run) -> Outcome {
    begin_marker(workshop, request, rendered)?;
    let layout = workshop.layout.clone();
    match &request.action {
        NodeAction::HostKey { authorized_keys } => host_key::perform(workshop, &request.run_id, authorized_keys),
        NodeAction::File { .. } => {
            let request = request.clone();
            blocking(move || file::perform(&file::Wanted::of(&layout, &request.action)?, &request.run_id)).await
        }
        NodeAction::Package { into, file, artifact, executables } => {
            let (run_id, source) = (request.run_id.clone(), layout.artifact(artifact));
            let order = package::Order {
                into: PathBuf::from(into),
                file: file.clone(),
                artifact: *artifact,
                executables: executables.clone(),
                source,
                run_id,
            };
            blocking(move || package::perform(&order)).await
        }
        NodeAction::Daemon(spec) => match workshop.supervisor.apply(&request.address, spec.clone()).await? {
            Applied::AlreadyUp => Ok(Success::skipped()),
            Applied::Reloaded | Applied::Started => Ok(Success::done()),
        },
        NodeAction::Wait { ready, timeout_secs } => match wait_at_most(ready, Duration::from_secs(*timeout_secs)).await {
            Ok(()) => Ok(Success::done()),
            Err(reason) => Err(Failure { code: None, reason, timed_out: true }),
        },
        NodeAction::Run { .. } => run::perform(workshop, request, run).await,
    }
}

async fn undo(workshop: &Workshop, request: &NodeRequest, run: &Run) -> Outcome {
    let layout = &workshop.layout;
    let marker = Marker::read(layout, &request.address)?;
    match &request.action {
        NodeAction::HostKey { .. } | NodeAction::Wait { .. } => {}
        NodeAction::File { path, .. } => {
            if Marker::other_owners(layout, &request.address, path)?.is_empty() {
                file::undo(Path::new(path), marker.as_ref().map_or(&[], |marker| marker.made_dirs.as_slice()))?;
            }
        }
        NodeAction::Package { into, .. } => {
            if Marker::other_owners(layout, &request.address, into)?.is_empty() {
                let into = PathBuf::from(into);
                blocking(move || package::undo(&into)).await?;
            }
        }
        NodeAction::Daemon(spec) => {
            workshop.supervisor.forget(&request.address, &spec.name).await?;
        }
        NodeAction::Run { .. } => run::undo(workshop, request, run).await?,
    }
    Marker::remove(layout, &request.address)?;
    Ok(Success::done())
}

/// The file or folder that belongs to an action's step.
fn target(action: &NodeAction) -> Option<&str> {
    match action {
        NodeAction::File { path, .. } => Some(path),
        NodeAction::Package { into, .. } => Some(into),
        _ => None,
    }
}

/// Before the effect: says that the earlier outcome no longer holds, and which folders are about to be made. Without either there is
/// nothing that a crash could make wrong, and nothing is written.
fn begin_marker(workshop: &Workshop, request: &NodeRequest, rendered: Digest) -> Result<(), Failure> {
    let layout = &workshop.layout;
    let earlier = Marker::read(layout, &request.address)?;
    let target = target(&request.action);
    let mut made_dirs = match &earlier {
        Some(marker) if marker.target.as_deref() == target => marker.made_dirs.clone(),
        _ => Vec::new(),
    };
    if let Some(target) = target {
        let missing = file::missing_parents(Path::new(target));
        made_dirs.extend(missing.into_iter().filter(|path| !made_dirs.contains(path)).collect::<Vec<_>>());
    }
    if earlier.is_none() && made_dirs.is_empty() {
        return Ok(());
    }
    let marker = Marker {
        version: Marker::VERSION,
        address: request.address.clone(),
        identity: request.identity,
        rendered,
        run_id: request.run_id.clone(),
        outcome: None,
        attributes: BTreeMap::new(),
        target: target.map(str::to_owned),
        made_dirs,
    };
    marker.write(layout)?;
    Ok(())
}

/// After the effect.
fn finish_marker(workshop: &Workshop, request: &NodeRequest, end: &End) -> Result<(), Failure> {
    let layout = &workshop.layout;
    let made_dirs = Marker::read(layout, &request.address)?.map(|marker| marker.made_dirs).unwrap_or_default();
    let marker = Marker {
        version: Marker::VERSION,
        address: request.address.clone(),
        identity: end.identity,
        rendered: end.rendered,
        run_id: request.run_id.clone(),
        outcome: Some(end.outcome.clone()),
        attributes: end.attributes.clone(),
        target: target(&request.action).map(str::to_owned),
        made_dirs,
    };
    marker.write(layout)?;
    Ok(())
}

/// Runs work on files where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(Failure::new(format!("the action broke off: {error}"))))
}
