//! What the forked process does before it becomes the node.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;

use nix::mount::{MsFlags, mount};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, dup2_stderr, dup2_stdin, dup2_stdout, execve, setsid};

use super::{Isolation, LaunchError, LaunchFile, rootfs};

/// Never returns without an error, but for a daemon that went away.
pub(super) fn become_node(file: &LaunchFile) -> Result<(), LaunchError> {
    setsid().map_err(LaunchError::errno("start a session"))?;
    // The user's own mask would close the node's root to the node's other users.
    umask(Mode::from_bits_truncate(0o022));
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(&file.log);
    let log = log.map_err(LaunchError::system(format!("open {}", file.log.display())))?;
    match (&file.root, file.isolation) {
        (Some(plan), Isolation::Everything) => rootfs::enter(plan, &file.program)?,
        (None, Isolation::Processes) => own_proc()?,
        (None, Isolation::Session) => {}
        _ => return Err(LaunchError::Usage("the launch file has a root where its isolation has none".to_owned())),
    }
    if !may_go_on()? {
        return Ok(());
    }
    let Err(error) = execute(file, &log);
    Err(error)
}

/// Mounts a `/proc` of the own processes; without it `/proc/self` would lead nowhere.
pub(super) fn own_proc() -> Result<(), LaunchError> {
    detach_mounts()?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>).map_err(LaunchError::errno("mount /proc"))
}

/// From here on no mount reaches the machine.
pub(super) fn detach_mounts() -> Result<(), LaunchError> {
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).map_err(LaunchError::errno("detach the mounts from the machine's"))
}

/// Waits for the daemon's word. The end of the input is a daemon that was killed.
fn may_go_on() -> Result<bool, LaunchError> {
    let mut word = [0_u8; 1];
    let read = io::stdin().read(&mut word).map_err(LaunchError::system("wait for the local cloud"))?;
    Ok(read == 1)
}

fn execute(file: &LaunchFile, log: &File) -> Result<Infallible, LaunchError> {
    let nothing = File::open("/dev/null").map_err(LaunchError::system("open /dev/null"))?;
    dup2_stdin(&nothing).map_err(LaunchError::errno("close the standard input"))?;
    // The report of a failure goes to a copy of the former standard output, which closes by itself when the program is there.
    dup2_stdout(log).map_err(LaunchError::errno("lead the output to the log"))?;
    dup2_stderr(log).map_err(LaunchError::errno("lead the errors to the log"))?;
    let working_dir = &file.working_dir;
    chdir(working_dir).map_err(LaunchError::errno(format!("go to {}", working_dir.display())))?;
    reset_signals()?;
    let program = c_string(file.program.as_os_str().as_bytes())?;
    let arguments = file.arguments.iter().map(|argument| c_string(argument.as_bytes())).collect::<Result<Vec<_>, _>>()?;
    let env = file.env.iter().map(|(name, value)| c_string(format!("{name}={value}").as_bytes())).collect::<Result<Vec<_>, _>>()?;
    execve(&program, &arguments, &env).map_err(LaunchError::errno(format!("start {}", file.program.display())))
}

/// Rust ignores SIGPIPE, `nohup` SIGHUP, a shell's background SIGINT and SIGQUIT; and what is ignored stays ignored in the program that
/// follows.
fn reset_signals() -> Result<(), LaunchError> {
    for name in Signal::iterator().filter(|name| !matches!(name, Signal::SIGKILL | Signal::SIGSTOP)) {
        #[expect(unsafe_code, reason = "setting a signal's action has no safe form")]
        // SAFETY: the default action runs no code of ours.
        let set = unsafe { signal(name, SigHandler::SigDfl) };
        set.map_err(LaunchError::errno(format!("reset {name}")))?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).map_err(LaunchError::errno("unblock the signals"))
}

fn c_string(bytes: &[u8]) -> Result<CString, LaunchError> {
    CString::new(bytes).map_err(|_| LaunchError::Usage("an argument or variable holds a zero byte".to_owned()))
}
