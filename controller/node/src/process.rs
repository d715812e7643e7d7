//! Starting processes: their own session and group, a clean environment, another user where asked, and a list of those that somebody
//! here waits for, so that the reaper leaves them alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{SigHandler, Signal};
use nix::unistd::{Gid, Uid, User, geteuid, getgrouplist, setgid, setgroups, setsid, setuid};
use tokio::process::{Child, Command};

use crate::proc;

/// The lock of a mutex; a panic of another holder does not spoil plain data.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is started.
pub(crate) struct Launch<'a> {
    /// Program and arguments.
    pub(crate) argv: &'a [String],
    /// The environment of the node. Where a user is given, the user's home and name go over it.
    pub(crate) base: &'a BTreeMap<String, String>,
    /// What goes over both.
    pub(crate) env: &'a BTreeMap<String, String>,
    /// Working directory; the user's home where a user is given, else the root of the file system.
    pub(crate) cwd: Option<&'a Path>,
    /// User to switch to.
    pub(crate) user: Option<&'a str>,
    /// Standard output.
    pub(crate) stdout: Stdio,
    /// Standard error.
    pub(crate) stderr: Stdio,
}

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    #[error("there is no program to start: the argument list is empty")]
    NoProgram,
    #[error("the node runs as user {own} and cannot start processes as `{user}`: only root can")]
    NotRoot { own: u32, user: String },
    #[error("there is no user `{user}` on this node")]
    NoUser { user: String },
    #[error("cannot look up the user `{user}`")]
    Lookup {
        user: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot start `{program}` in `{}`", cwd.display())]
    Spawn {
        program: String,
        cwd: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The processes that somebody here waits for.
#[derive(Clone, Default)]
pub(crate) struct Children(Arc<Mutex<BTreeSet<i32>>>);

impl Children {
    /// Starts a process as the leader of its own session. The list is locked over the start, so that the reaper never sees a child
    /// that is not in it yet.
    pub(crate) fn spawn(&self, launch: Launch<'_>) -> Result<Tracked, LaunchError> {
        let (program, arguments) = launch.argv.split_first().ok_or(LaunchError::NoProgram)?;
        let account = launch.user.map(Account::find).transpose()?;
        let home = account.as_ref().map(|account| account.home.clone());
        let cwd = launch.cwd.map(Path::to_path_buf).or(home).unwrap_or_else(|| PathBuf::from("/"));
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(launch.base);
        if let Some(account) = &account {
            command.env("HOME", &account.home).env("USER", &account.name).env("LOGNAME", &account.name);
        }
        command.envs(launch.env).current_dir(&cwd).stdin(Stdio::null()).stdout(launch.stdout).stderr(launch.stderr);
        before_exec(&mut command, account.and_then(|account| account.switch));
        let mut known = lock(&self.0);
        let child = command.spawn().map_err(|source| LaunchError::Spawn { program: program.clone(), cwd, source })?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0);
        known.insert(pid);
        drop(known);
        Ok(Tracked { child, pid, children: self.clone() })
    }

    /// Whether somebody here waits for it.
    pub(crate) fn holds(&self, pid: i32) -> bool {
        lock(&self.0).contains(&pid)
    }
}

/// A process that was started here; the leader of its session and group.
pub(crate) struct Tracked {
    child: Child,
    pid: i32,
    children: Children,
}

impl Tracked {
    pub(crate) const fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits for its end; may be dropped and called again.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    pub(crate) fn signal(&self, signal: Signal) {
        proc::signal(self.pid, signal);
    }

    pub(crate) fn signal_group(&self, signal: Signal) {
        proc::signal_group(self.pid, signal);
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        lock(&self.children.0).remove(&self.pid);
    }
}

/// How a process ended, for people.
pub(crate) fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit status {code}"),
        (None, Some(number)) => match Signal::try_from(number) {
            Ok(signal) => format!("was ended by {signal}"),
            Err(_) => format!("was ended by signal {number}"),
        },
        (None, None) => "ended in an unknown way".to_owned(),
    }
}

/// Who a process is to run as.
struct Account {
    name: String,
    home: PathBuf,
    /// What must be switched to; nothing when it is the node's own user.
    switch: Option<Switch>,
}

struct Switch {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

impl Account {
    fn find(name: &str) -> Result<Self, LaunchError> {
        let lookup = |source: nix::Error| LaunchError::Lookup { user: name.to_owned(), source: source.into() };
        let user = User::from_name(name).map_err(lookup)?.ok_or_else(|| LaunchError::NoUser { user: name.to_owned() })?;
        let own = geteuid();
        if user.uid == own {
            return Ok(Self { name: user.name, home: user.dir, switch: None });
        }
        if !own.is_root() {
            return Err(LaunchError::NotRoot { own: own.as_raw(), user: name.to_owned() });
        }
        let c_name = CString::new(name).map_err(|_| LaunchError::NoUser { user: name.to_owned() })?;
        let groups = getgrouplist(&c_name, user.gid).map_err(lookup)?;
        Ok(Self { name: user.name, home: user.dir, switch: Some(Switch { uid: user.uid, gid: user.gid, groups }) })
    }
}

#[expect(unsafe_code, reason = "a new session and another user can only be set between fork and exec")]
fn before_exec(command: &mut Command, switch: Option<Switch>) {
    let prepare = move || {
        setsid()?;
        // What somebody up the line ignores (`nohup`, a shell's background) stays ignored in the program, which may be stopped by it.
        for signal in Signal::iterator().filter(|signal| !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP)) {
            // SAFETY: the default action runs no code of ours.
            unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) }?;
        }
        if let Some(switch) = &switch {
            setgroups(&switch.groups)?;
            setgid(switch.gid)?;
            setuid(switch.uid)?;
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls on data that was made before the fork; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(prepare);
    }
}
