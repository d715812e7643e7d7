//! What makes a node of a machine that has an SSH server and nothing of ours: first contact, our program, its agent.
//!
//! First contact goes over a connection that is pinned to the host key of the launch, and sends nothing but public keys. All else waits for a
//! connection that is pinned to the machine's own key. Everything may be broken off at any moment and is done again from the beginning: what
//! is done is seen on the machine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cloudtik_model::{Digest, NodeAction, NodeBoot, NodeReply, NodeRequest, StepOutcome, Value, Verb};
use cloudtik_provider_api::{CallError, ErrorClass, Instance};
use cloudtik_ssh::{Connection, ExitStatus, PublicUserKey, SshError, Stdin, UploadOptions, UploadSource};

use crate::engine::StepJob;

const LOOK_SCRIPT: &str = concat!(include_str!("agent.sh"), include_str!("look.sh"));
const INSTALL_SCRIPT: &str = concat!(include_str!("agent.sh"), include_str!("install.sh"));

/// The program is not there.
const EXIT_MISSING: u32 = 10;

/// A script starts the agent, which ends what an earlier one left: some seconds on a slow machine.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(180);

/// Sending the program may take so long: some tens of megabytes, over the slowest line that somebody would work with.
const SEND_TIMEOUT: Duration = Duration::from_secs(1_800);

/// The name under which the program is sent, in the folder of artifacts.
const SENT_NAME: &str = "program";

/// The running program, also when its file was replaced since.
const RUNNING: &str = "/proc/self/exe";

/// The attribute by which a host key travels to the state.
const HOST_KEY: &str = "host_key";

/// Why a machine is no node yet.
pub(super) enum Failure {
    /// The connection is gone: it may be tried again.
    Lost,
    /// It cannot be made one.
    Finally(CallError),
}

/// Machines that were seen with an agent during this run.
#[derive(Default)]
pub(super) struct Brought {
    machines: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<bool>>>>,
}

impl Brought {
    /// Has the machine run our agent, once for all steps of this run. The connection must be pinned to the machine's own host key.
    pub(super) async fn bring(&self, connection: &Connection, job: &StepJob, instance: &Instance, folder: &str) -> Result<(), Failure> {
        let machine = Arc::clone(self.machines().entry(job.instance_id.clone()).or_default());
        let mut is_node = machine.lock().await;
        if !*is_node {
            bring(connection, job, instance, folder).await?;
            *is_node = true;
        }
        Ok(())
    }

    /// Looks again the next time: the agent may have ended.
    pub(super) fn forget(&self, instance_id: &str) {
        self.machines().remove(instance_id);
    }

    fn machines(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<tokio::sync::Mutex<bool>>>> {
        self.machines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The step of the first contact, which no agent can do: there is none yet. `None`: it is another step.
pub(super) async fn first_contact(connection: &Connection, job: &StepJob) -> Option<Result<NodeReply, Failure>> {
    let NodeAction::HostKey { authorized_keys } = &job.request.action else { return None };
    Some(match contact(connection, &job.request, authorized_keys).await {
        Ok((outcome, attributes)) => end(&job.request, outcome, attributes),
        Err(error) => Err(failure(job, error)),
    })
}

async fn contact(
    connection: &Connection,
    request: &NodeRequest,
    people: &[String],
) -> Result<(StepOutcome, BTreeMap<String, String>), SshError> {
    let people: Vec<PublicUserKey> = people.iter().map(|line| line.parse()).collect::<Result<_, _>>()?;
    let key = match request.verb {
        Verb::Do => Some(connection.make_own_host_key(&people).await?),
        Verb::Check => connection.find_own_host_key(&people).await?,
        Verb::Undo => return Ok((StepOutcome::Done, BTreeMap::new())),
    };
    Ok(match key {
        Some(key) => (StepOutcome::Done, BTreeMap::from([(HOST_KEY.to_owned(), key.to_string())])),
        None => (StepOutcome::Needed, BTreeMap::new()),
    })
}

fn end(request: &NodeRequest, outcome: StepOutcome, attributes: BTreeMap<String, String>) -> Result<NodeReply, Failure> {
    let action = serde_json::to_value(&request.action);
    let action = action.map_err(|error| Failure::Finally(CallError::new(ErrorClass::Permanent, "frame", error.to_string())))?;
    let rendered = Digest::of_json(&action);
    Ok(NodeReply::End { run_id: request.run_id.clone(), identity: request.identity, rendered, outcome, attributes })
}

async fn bring(connection: &Connection, job: &StepJob, instance: &Instance, folder: &str) -> Result<(), Failure> {
    let failed = |error| failure(job, error);
    connection.retire_launch_host_key().await.map_err(failed)?;
    let looked = connection.as_root(LOOK_SCRIPT, &[folder, &instance.user], Stdin::Empty, SCRIPT_TIMEOUT).await.map_err(failed)?;
    match looked.exit {
        ExitStatus::Code(0) => return Ok(()),
        ExitStatus::Code(EXIT_MISSING) => {}
        _ => return Err(Failure::Finally(no_node(job, &looked.complaint()))),
    }
    let said = looked.stdout.text();
    let program = program_for(job, said.lines().last().unwrap_or_default().trim()).map_err(Failure::Finally)?;
    let boot = boot_file(job, instance, folder).map_err(Failure::Finally)?;
    let sent = format!("{}/{SENT_NAME}", instance.artifacts);
    let options = UploadOptions { timeout: SEND_TIMEOUT, ..UploadOptions::default() };
    let uploaded = connection.upload(UploadSource::File(program), &sent, &options).await.map_err(failed)?;
    let arguments = [folder, &sent, &uploaded.sha256];
    let installed = connection.as_root(INSTALL_SCRIPT, &arguments, Stdin::Bytes(boot), SCRIPT_TIMEOUT).await.map_err(failed)?;
    if installed.exit.success() { Ok(()) } else { Err(Failure::Finally(no_node(job, &installed.complaint()))) }
}

/// The program for a machine: one beside the running program that is named after the architecture, else the running one where it is of that
/// architecture.
fn program_for(job: &StepJob, architecture: &str) -> Result<PathBuf, CallError> {
    let permanent = |message: String| CallError::new(ErrorClass::Permanent, "no-program", message);
    let own = std::env::current_exe().map_err(|error| permanent(format!("the path of this program is not known: {error}")))?;
    let named = own.with_file_name(format!("cloudtik-{architecture}"));
    if named.is_file() {
        return Ok(named);
    }
    if architecture == std::env::consts::ARCH {
        return Ok(PathBuf::from(RUNNING));
    }
    let message =
        format!("{} is a machine of the architecture {architecture}, and this cloudtik is for {}", job.node, std::env::consts::ARCH);
    let help =
        format!("put cloudtik for {architecture} beside this one, as `{}`: it is sent to machines of that architecture", named.display());
    Err(permanent(message).help(help))
}

/// What the agent is started with.
fn boot_file(job: &StepJob, instance: &Instance, folder: &str) -> Result<Vec<u8>, CallError> {
    let strange = |what: &str| CallError::new(ErrorClass::Permanent, "no-ssh", format!("the provider did not say {what} of {}", job.node));
    let node = job.attributes.get("node").ok_or_else(|| strange("what late names are filled with"))?;
    let address = node.get("address").and_then(Value::as_str).ok_or_else(|| strange("the address"))?;
    let dirs = node.get("dirs").and_then(Value::entries).ok_or_else(|| strange("the folders"))?;
    let dirs: BTreeMap<String, String> =
        dirs.iter().filter_map(|(name, path)| Some((name.to_string(), path.as_str()?.to_owned()))).collect();
    let env = [("LANG", "C.UTF-8"), ("SHELL", "/bin/sh"), ("USER", "root"), ("LOGNAME", "root")];
    let boot = NodeBoot {
        version: NodeBoot::VERSION,
        instance_id: job.instance_id.clone(),
        address: address.to_owned(),
        ssh_port: instance.port,
        ssh_user: instance.user.clone(),
        root: folder.to_owned(),
        dirs,
        bootstrap_host_key: String::new(),
        authorized_keys: Vec::new(),
        env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        openssh: true,
    };
    serde_json::to_vec(&boot).map_err(|error| CallError::new(ErrorClass::Permanent, "frame", error.to_string()))
}

fn failure(job: &StepJob, error: SshError) -> Failure {
    match error {
        SshError::Disconnected { .. } | SshError::ChannelRefused { .. } => Failure::Lost,
        error => Failure::Finally(no_node(job, &error.to_string())),
    }
}

fn no_node(job: &StepJob, why: &str) -> CallError {
    let message = format!("{} cannot be set up: {why}", job.node);
    CallError::new(ErrorClass::Permanent, "node-setup", message).help(format!(
        "the machine needs a Linux with OpenSSH, and `sudo` without a password for a user that is not root; `--replace {}` makes it anew",
        job.node
    ))
}
