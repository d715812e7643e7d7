//! Starts the first process of a node: a helper of one thread that makes the namespaces, forks and becomes `cloudtik node`.
//!
//! The daemon cannot do this itself: a process of many threads may neither enter a user namespace nor safely run code between fork and
//! exec. So it starts this helper, a run of the same binary. What the helper says on its standard output is one JSON document per line
//! ([`Report`]): the first process's id as soon as it is forked, or what went wrong; the end of the output is the start of the node.
//!
//! The first process waits for a byte on its standard input before it becomes the node. So the daemon has it on record before it does
//! anything, and when the daemon is killed in between, the input ends and the process ends with it: nothing is ever running unrecorded.

mod child;
pub(crate) mod probe;
mod rootfs;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{ForkResult, fork, getegid, geteuid};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What the helper reads: everything that the node's first process needs to know.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LaunchFile {
    /// What it is kept apart by.
    pub(crate) isolation: Isolation,
    /// The program to become, as seen after the root was changed.
    pub(crate) program: PathBuf,
    /// Its arguments, its own name first.
    pub(crate) arguments: Vec<String>,
    /// Its whole environment.
    pub(crate) env: BTreeMap<String, String>,
    /// Its working folder.
    pub(crate) working_dir: PathBuf,
    /// Takes its standard output and error.
    pub(crate) log: PathBuf,
    /// The root to make, in the namespaces form.
    pub(crate) root: Option<RootPlan>,
}

/// What keeps a node apart from the rest of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Isolation {
    /// Nothing: an own session only.
    Session,
    /// Own processes and mounts, for a user by way of an own user namespace.
    Processes,
    /// Own processes, mounts, network, host name and semaphores.
    Everything,
}

/// The root of a node in the namespaces form.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RootPlan {
    /// The instance's folder: holds `overlay`, `rootfs` and `node`.
    pub(crate) folder: PathBuf,
    /// The node's host name.
    pub(crate) host_name: String,
    /// Its address, for `/etc/hosts`.
    pub(crate) address: String,
    /// Its names, for `/etc/hosts`.
    pub(crate) names: Vec<String>,
    /// Where the node sees its own folder.
    pub(crate) node_root: PathBuf,
    /// The binary to be, on this machine; shown at `program`.
    pub(crate) binary: PathBuf,
    /// Folders of this machine that the node must not see.
    pub(crate) masks: Vec<PathBuf>,
    /// Path in the node => what a link there leads to, in the node too.
    pub(crate) links: BTreeMap<PathBuf, PathBuf>,
    /// Path in the node => folder of this machine.
    pub(crate) mounts: BTreeMap<PathBuf, PathBuf>,
}

/// One line of the helper's output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Report {
    /// The first process, as this machine sees it.
    #[serde(default)]
    pub(crate) pid: Option<i32>,
    /// What went wrong; nothing runs then.
    #[serde(default)]
    pub(crate) problem: Option<String>,
    /// Number of the system's error, when it was one.
    #[serde(default)]
    pub(crate) errno: Option<i32>,
    /// What a probe found out.
    #[serde(default)]
    pub(crate) note: Option<String>,
}

/// What went wrong in the helper or in the process it forked.
#[derive(Debug, Error)]
pub(crate) enum LaunchError {
    #[error("{doing}: {source}")]
    System { doing: String, source: io::Error },
    #[error("the launch file is not what this version writes: {0}")]
    Format(serde_json::Error),
    #[error("{0}")]
    Usage(String),
}

impl LaunchError {
    pub(crate) fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::System { doing, source }
    }

    pub(crate) fn errno(doing: impl Into<String>) -> impl FnOnce(nix::errno::Errno) -> Self {
        let doing = doing.into();
        move |errno| Self::System { doing, source: errno.into() }
    }

    fn report(&self) -> Report {
        let errno = match self {
            Self::System { source, .. } => source.raw_os_error(),
            Self::Format(_) | Self::Usage(_) => None,
        };
        Report { problem: Some(self.to_string()), errno, ..Report::default() }
    }
}

/// Runs the helper. What goes wrong is reported on the standard output.
pub(crate) fn run(arguments: &[String]) -> Result<(), LaunchError> {
    let output = io::stdout().as_fd().try_clone_to_owned().map_err(LaunchError::system("keep the standard output"))?;
    let done = match arguments {
        [option, path] if option == "--file" => launch(Path::new(path), &output),
        [option, form, scratch] if option == "--probe" => probe::run(form, Path::new(scratch), &output),
        _ => Err(LaunchError::Usage("`launch` takes `--file FILE` or `--probe FORM FOLDER`".to_owned())),
    };
    if let Err(error) = &done {
        report(&output, &error.report());
    }
    done
}

fn launch(path: &Path, output: &OwnedFd) -> Result<(), LaunchError> {
    let text = fs::read(path).map_err(LaunchError::system(format!("read {}", path.display())))?;
    let file: LaunchFile = serde_json::from_slice(&text).map_err(LaunchError::Format)?;
    separate(file.isolation)?;
    fork_and(output, || child::become_node(&file))
}

/// Makes the namespaces of which children will be members.
fn separate(isolation: Isolation) -> Result<(), LaunchError> {
    if threads()? != 1 {
        return Err(LaunchError::Usage("`launch` must run before any thread is started".to_owned()));
    }
    let own = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS;
    let flags = match isolation {
        Isolation::Session => return Ok(()),
        Isolation::Processes if geteuid().is_root() => own,
        Isolation::Processes => {
            enter_user_namespace()?;
            own
        }
        Isolation::Everything => own | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC,
    };
    unshare(flags).map_err(LaunchError::errno("make the namespaces"))
}

/// The user is mapped to itself, not to root: programs that refuse to run as root, or that drop their rights when they are root, behave as
/// they would without.
fn enter_user_namespace() -> Result<(), LaunchError> {
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(LaunchError::errno("make a user namespace"))?;
    for (file, content) in [("setgroups", "deny".to_owned()), ("uid_map", format!("{uid} {uid} 1")), ("gid_map", format!("{gid} {gid} 1"))]
    {
        let path = format!("/proc/self/{file}");
        fs::write(&path, content).map_err(LaunchError::system(format!("write {path}")))?;
    }
    Ok(())
}

fn threads() -> Result<usize, LaunchError> {
    Ok(fs::read_dir("/proc/self/task").map_err(LaunchError::system("read /proc/self/task"))?.count())
}

/// Forks. The parent reports the child's id and is done; the child runs `work`, which returns only when it failed or has nothing to become.
fn fork_and(output: &OwnedFd, work: impl FnOnce() -> Result<(), LaunchError>) -> Result<(), LaunchError> {
    #[expect(unsafe_code, reason = "a fork is how a process enters the PID namespace that was made for its children")]
    // SAFETY: the process has one thread (checked in `separate`), so the child may do whatever the parent could.
    let forked = unsafe { fork() }.map_err(LaunchError::errno("fork"))?;
    match forked {
        ForkResult::Parent { child } => {
            report(output, &Report { pid: Some(child.as_raw()), ..Report::default() });
            Ok(())
        }
        ForkResult::Child => {
            let code = match work() {
                Ok(()) => 0,
                Err(error) => {
                    report(output, &error.report());
                    1
                }
            };
            std::process::exit(code);
        }
    }
}

/// The daemon reads the end of the output as success: a report that cannot be written has nobody to read it.
fn report(output: &OwnedFd, report: &Report) {
    let Ok(mut line) = serde_json::to_vec(report) else { return };
    line.push(b'\n');
    if let Ok(copy) = output.try_clone() {
        drop(File::from(copy).write_all(&line));
    }
}
