//! Where the local cloud keeps its things and how it is started. Everything can be said explicitly; the environment is read in one place.

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::geteuid;
use thiserror::Error;

/// Carried by every process of a node, with the node's id as value.
pub const NODE_VARIABLE: &str = "CLOUDTIK_NODE";

/// Carried by every process of a head: the socket at which the local cloud takes it for that head.
pub const SOCKET_VARIABLE: &str = "CLOUDTIK_LOCAL_SOCKET";

/// In debug builds: the daemon ends itself after so many crash points (see `daemon::crash`).
pub const CRASH_VARIABLE: &str = "CLOUDTIK_LOCAL_DIE_AFTER_EVENTS";

/// Longest path of a Unix socket: the kernel's field has 108 bytes and one is the end.
pub(crate) const SOCKET_PATH_BYTES_MAX: usize = 107;

/// How long the daemon stays after its last resource is gone and its last client left. Long enough for a command that deletes one thing and
/// makes another, short enough that `destroy` leaves nothing running.
const IDLE_GRACE: Duration = Duration::from_millis(300);

/// How long a node may take to end its daemons after TERM, before KILL.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// How the daemon is started: a program and the arguments before its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonCommand {
    /// The program.
    pub program: PathBuf,
    /// Arguments that make it the local cloud.
    pub arguments: Vec<OsString>,
}

/// Where the local cloud keeps its things and how it behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalCloudOptions {
    /// Inventory, audit log, lock, log.
    pub state_dir: PathBuf,
    /// The daemon's socket.
    pub socket: PathBuf,
    /// On a head: its own socket. There is no other way to the local cloud then, and nobody there may start one.
    pub head_socket: Option<PathBuf>,
    /// Binaries of nodes, by digest.
    pub cache_dir: PathBuf,
    /// How the daemon is started.
    pub command: DaemonCommand,
    /// How long the daemon stays when it has nothing and nobody.
    pub idle_grace: Duration,
    /// How long a node may take after TERM.
    pub stop_grace: Duration,
    /// For crash tests: the daemon kills itself at its n-th crash point, once per state folder.
    pub die_after_events: Option<u64>,
}

/// Why the options cannot be used.
#[derive(Debug, Error)]
pub enum OptionsError {
    /// The environment names no home.
    #[error("neither XDG_STATE_HOME nor HOME is set: the local cloud does not know where to keep its inventory")]
    NoHome,
    /// The running program cannot be found.
    #[error("the path of the running program is not known")]
    NoProgram(#[source] std::io::Error),
    /// The socket's path does not fit.
    #[error(
        "the socket path `{path}` has {length} bytes; the system allows {SOCKET_PATH_BYTES_MAX}. Set XDG_RUNTIME_DIR to a shorter folder"
    )]
    SocketPathTooLong {
        /// The path.
        path: String,
        /// Its bytes.
        length: usize,
    },
    /// The command line of the daemon is not what this build writes.
    #[error("`{argument}` is not an option of `local-cloud`, or its value is missing or wrong")]
    Argument {
        /// The argument.
        argument: String,
    },
    /// The command line of the daemon lacks an option.
    #[error("`local-cloud` needs `{option}`")]
    Missing {
        /// The option.
        option: &'static str,
    },
}

impl LocalCloudOptions {
    /// The places of this user on this machine, by the XDG variables.
    ///
    /// # Errors
    /// When there is no home, or the socket's path would be too long.
    pub fn from_environment() -> Result<Self, OptionsError> {
        let program = env::current_exe().map_err(OptionsError::NoProgram)?;
        let state_dir = match folder_variable("XDG_STATE_HOME") {
            Some(folder) => folder.join("cloudtik/local"),
            None if geteuid().is_root() => PathBuf::from("/var/lib/cloudtik/local"),
            None => home()?.join(".local/state/cloudtik/local"),
        };
        let socket_dir = match folder_variable("XDG_RUNTIME_DIR") {
            Some(folder) => folder.join("cloudtik"),
            None => env::temp_dir().join(format!("cloudtik-{}", geteuid().as_raw())),
        };
        let cache_dir = match folder_variable("XDG_CACHE_HOME") {
            Some(folder) => folder.join("cloudtik"),
            None => home()?.join(".cache/cloudtik"),
        };
        let options = Self {
            state_dir,
            socket: socket_dir.join("local.sock"),
            head_socket: env::var_os(SOCKET_VARIABLE).map(PathBuf::from).filter(|socket| socket.is_absolute()),
            cache_dir,
            command: DaemonCommand { program, arguments: vec!["local-cloud".into()] },
            idle_grace: IDLE_GRACE,
            stop_grace: STOP_GRACE,
            die_after_events: crash_variable(),
        };
        options.check()?;
        Ok(options)
    }

    /// Everything below one folder: for tests and for clouds of their own.
    #[must_use]
    pub fn below(folder: &Path, command: DaemonCommand) -> Self {
        Self {
            state_dir: folder.join("state"),
            socket: folder.join("run/local.sock"),
            head_socket: None,
            cache_dir: folder.join("cache"),
            command,
            idle_grace: IDLE_GRACE,
            stop_grace: STOP_GRACE,
            die_after_events: None,
        }
    }

    /// Checks what can be checked without the file system.
    ///
    /// # Errors
    /// When the socket's path is too long.
    pub fn check(&self) -> Result<(), OptionsError> {
        let length = self.socket.as_os_str().as_bytes().len();
        // A head's own socket is reached whatever its path is, and no other is used.
        if self.head_socket.is_none() && length > SOCKET_PATH_BYTES_MAX {
            return Err(OptionsError::SocketPathTooLong { path: self.socket.display().to_string(), length });
        }
        Ok(())
    }

    /// The daemon's options as arguments.
    #[must_use]
    pub fn to_arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![
            "--state-dir".into(),
            self.state_dir.clone().into(),
            "--socket".into(),
            self.socket.clone().into(),
            "--cache-dir".into(),
            self.cache_dir.clone().into(),
            "--idle-grace-ms".into(),
            self.idle_grace.as_millis().to_string().into(),
            "--stop-grace-ms".into(),
            self.stop_grace.as_millis().to_string().into(),
        ];
        if let Some(events) = self.die_after_events {
            arguments.push("--die-after-events".into());
            arguments.push(events.to_string().into());
        }
        arguments
    }

    /// Reads what [`Self::to_arguments`] wrote. `command` is how this very program is started as the local cloud.
    ///
    /// # Errors
    /// When an argument is unknown, lacks its value, or one that is needed is missing.
    pub fn from_arguments(arguments: &[OsString], command: DaemonCommand) -> Result<Self, OptionsError> {
        let (mut state_dir, mut socket, mut cache_dir) = (None, None, None);
        let (mut idle_grace, mut stop_grace, mut die_after_events) = (IDLE_GRACE, STOP_GRACE, None);
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let refused = || OptionsError::Argument { argument: argument.to_string_lossy().into_owned() };
            let value = rest.next().ok_or_else(refused)?;
            let number = || value.to_str().and_then(|text| text.parse::<u64>().ok()).ok_or_else(refused);
            match argument.to_str() {
                Some("--state-dir") => state_dir = Some(PathBuf::from(value)),
                Some("--socket") => socket = Some(PathBuf::from(value)),
                Some("--cache-dir") => cache_dir = Some(PathBuf::from(value)),
                Some("--idle-grace-ms") => idle_grace = Duration::from_millis(number()?),
                Some("--stop-grace-ms") => stop_grace = Duration::from_millis(number()?),
                Some("--die-after-events") => die_after_events = Some(number()?),
                _ => return Err(refused()),
            }
        }
        let options = Self {
            state_dir: state_dir.ok_or(OptionsError::Missing { option: "--state-dir" })?,
            socket: socket.ok_or(OptionsError::Missing { option: "--socket" })?,
            head_socket: None,
            cache_dir: cache_dir.ok_or(OptionsError::Missing { option: "--cache-dir" })?,
            command,
            idle_grace,
            stop_grace,
            die_after_events,
        };
        options.check()?;
        Ok(options)
    }

    pub(crate) fn lock_path(&self) -> PathBuf {
        self.state_dir.join("lock")
    }

    /// Where the running daemon says which socket it listens on: two sessions of one user may have different runtime folders.
    pub(crate) fn endpoint_path(&self) -> PathBuf {
        self.state_dir.join("endpoint")
    }

    /// The name of the inventory.
    pub(crate) fn name_path(&self) -> PathBuf {
        self.state_dir.join("name")
    }

    /// Names of inventories that are lost.
    pub(crate) fn lost_path(&self) -> PathBuf {
        self.state_dir.join("lost")
    }

    pub(crate) fn inventory_path(&self) -> PathBuf {
        self.state_dir.join("inventory.log")
    }

    pub(crate) fn audit_path(&self) -> PathBuf {
        self.state_dir.join("audit.jsonl")
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.state_dir.join("daemon.log")
    }
}

/// How this machine itself reaches the network outside, as the usual variables say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProxyVariables {
    /// For `http` URLs.
    pub(crate) http: Option<String>,
    /// For everything else.
    pub(crate) https: Option<String>,
    /// What needs none.
    pub(crate) no_proxy: String,
}

impl ProxyVariables {
    /// Those of this process.
    pub(crate) fn from_environment() -> Self {
        let one = |names: [&str; 2]| names.into_iter().find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()));
        Self {
            http: one(["http_proxy", "HTTP_PROXY"]),
            https: one(["https_proxy", "HTTPS_PROXY"]),
            no_proxy: one(["no_proxy", "NO_PROXY"]).unwrap_or_default(),
        }
    }
}

/// The XDG specification: a relative path is not valid and counts as not set.
fn folder_variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from).filter(|folder| folder.is_absolute())
}

fn home() -> Result<PathBuf, OptionsError> {
    folder_variable("HOME").ok_or(OptionsError::NoHome)
}

fn crash_variable() -> Option<u64> {
    if cfg!(debug_assertions) { env::var(CRASH_VARIABLE).ok()?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> DaemonCommand {
        DaemonCommand { program: "/usr/bin/cloudtik".into(), arguments: vec!["local-cloud".into()] }
    }

    #[test]
    fn arguments_come_back_as_they_were() {
        let mut options = LocalCloudOptions::below(Path::new("/somewhere"), command());
        options.die_after_events = Some(7);
        let back = LocalCloudOptions::from_arguments(&options.to_arguments(), command()).unwrap();
        assert_eq!(back, options);
    }

    #[test]
    fn a_socket_path_ends_at_107_bytes() {
        let folder = format!("/{}", "x".repeat(107 - "//run/local.sock".len()));
        LocalCloudOptions::below(Path::new(&folder), command()).check().unwrap();
        let message = LocalCloudOptions::below(Path::new(&format!("{folder}x")), command()).check().unwrap_err().to_string();
        assert!(message.contains("108 bytes") && message.contains("XDG_RUNTIME_DIR"), "{message}");
    }

    #[test]
    fn an_unknown_argument_is_named() {
        let error = LocalCloudOptions::from_arguments(&["--colour".into(), "red".into()], command()).unwrap_err();
        assert!(error.to_string().contains("--colour"));
    }
}
