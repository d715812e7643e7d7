//! Processes: telling one from every other, ending them, and finding those of a node.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::options::NODE_VARIABLE;
use crate::protocol::ProcessIdentity;

/// Pause between two looks at a process that is about to end. A process ends within milliseconds; looking costs microseconds.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// Pause between two scans for a node's processes, so that a fork between them is seen by the second.
const SCAN_PAUSE: Duration = Duration::from_millis(30);

/// How long the kernel may take to end what was killed. A process in an uninterruptible call on a bad disk can take longer: an error then.
const KILL_GRACE: Duration = Duration::from_secs(20);

/// Field of `/proc/PID/stat`, counted after the closing parenthesis of the name, that holds the state.
const STAT_STATE: usize = 0;

/// The same for the start time: field 22 of proc(5), of which two stand before.
const STAT_START: usize = 19;

/// The identity of a running process, or `None` when there is none with that id.
pub(crate) fn identify(pid: i32) -> io::Result<Option<ProcessIdentity>> {
    let Some((_, start_ticks)) = state_and_start(pid)? else { return Ok(None) };
    Ok(Some(ProcessIdentity { pid, start_ticks, boot_id: boot_id()? }))
}

/// Whether exactly this process lives. A zombie does not.
pub(crate) fn is_alive(identity: &ProcessIdentity) -> io::Result<bool> {
    if boot_id()? != identity.boot_id {
        return Ok(false);
    }
    Ok(match state_and_start(identity.pid)? {
        Some((_, start)) if start != identity.start_ticks => false,
        Some((state, _)) if matches!(state.as_str(), "Z" | "X") => has_other_threads(identity.pid),
        Some(_) => true,
        None => false,
    })
}

/// The first thread of a killed process may be a zombie before the others have ended, and only with the last one do the process's
/// namespaces end.
fn has_other_threads(pid: i32) -> bool {
    fs::read_dir(format!("/proc/{pid}/task")).is_ok_and(|threads| threads.count() > 1)
}

/// Ends a process: TERM, and KILL after `grace`. Returns when it has ended; one that is not there any more is fine, and one that only has
/// its id is left alone.
pub(crate) fn end(identity: &ProcessIdentity, grace: Duration) -> io::Result<()> {
    if signal_and_wait(identity, Signal::SIGTERM, grace)? || signal_and_wait(identity, Signal::SIGKILL, KILL_GRACE)? {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("process {} does not end after KILL", identity.pid)))
}

/// Kills every process that carries a node's id in its environment, until two scans in a row find none.
pub(crate) fn end_all_of_node(id: &str) -> io::Result<()> {
    let marker = format!("{NODE_VARIABLE}={id}");
    let deadline = deadline_after(KILL_GRACE);
    let mut empty_scans = 0_u8;
    loop {
        let found = scan(&marker)?;
        empty_scans = if found.is_empty() { empty_scans.saturating_add(1) } else { 0 };
        if empty_scans >= 2 {
            return Ok(());
        }
        for pid in &found {
            send(*pid, Signal::SIGKILL)?;
        }
        if Instant::now() >= deadline {
            let message = format!("{} processes of node {id} do not end after KILL", found.len());
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        thread::sleep(SCAN_PAUSE);
    }
}

fn signal_and_wait(identity: &ProcessIdentity, signal: Signal, grace: Duration) -> io::Result<bool> {
    if !is_alive(identity)? {
        return Ok(true);
    }
    send(identity.pid, signal)?;
    let deadline = deadline_after(grace);
    while Instant::now() < deadline {
        if !is_alive(identity)? {
            return Ok(true);
        }
        thread::sleep(LOOK_PAUSE);
    }
    Ok(!is_alive(identity)?)
}

fn send(pid: i32, signal: Signal) -> io::Result<()> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn deadline_after(duration: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(duration).unwrap_or(now)
}

fn scan(marker: &str) -> io::Result<Vec<i32>> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // Processes of other users, and those that just ended, cannot be read; a node's processes are of this user.
        let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { continue };
        if pid != own && environment.split(|byte| *byte == 0).any(|entry| entry == marker.as_bytes()) {
            found.push(pid);
        }
    }
    Ok(found)
}

fn state_and_start(pid: i32) -> io::Result<Option<(String, u64)>> {
    let text = match fs::read(format!("/proc/{pid}/stat")) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
        Err(error) => return Err(error),
    };
    // The name stands in parentheses and may itself hold parentheses and blanks: everything after the last one is fields.
    let fields: Vec<&str> = text.rsplit_once(')').map_or("", |(_, fields)| fields).split_ascii_whitespace().collect();
    let state = fields.get(STAT_STATE).map(|state| (*state).to_owned());
    let start = fields.get(STAT_START).and_then(|start| start.parse().ok());
    match (state, start) {
        (Some(state), Some(start)) => Ok(Some((state, start))),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat is not what proc(5) says"))),
    }
}

fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string(Path::new("/proc/sys/kernel/random/boot_id"))?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_with_another_start_time_is_not_killed() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let real = identify(pid).unwrap().unwrap();
        for stale in [
            ProcessIdentity { start_ticks: real.start_ticks - 1, ..real.clone() },
            ProcessIdentity { boot_id: "another".into(), ..real.clone() },
        ] {
            end(&stale, Duration::from_millis(50)).unwrap();
            assert!(child.try_wait().unwrap().is_none(), "killed by {stale:?}");
            assert!(!is_alive(&stale).unwrap());
        }
        assert!(is_alive(&real).unwrap());
        end(&real, Duration::from_secs(5)).unwrap();
        assert!(!is_alive(&real).unwrap());
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_ignores_term_is_killed() {
        let script = "trap '' TERM; echo; while :; do sleep 1; done";
        let mut child = Command::new("sh").args(["-c", script]).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut line = [0_u8; 1];
        io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        let identity = identify(i32::try_from(child.id()).unwrap()).unwrap().unwrap();
        end(&identity, Duration::from_millis(100)).unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn processes_of_a_node_are_found_by_their_environment() {
        let id = format!("i-test{}", std::process::id());
        let spawn = |value: &str| Command::new("sleep").arg("60").env(NODE_VARIABLE, value).spawn().unwrap();
        let (mut mine, mut other) = (spawn(&id), spawn(&format!("{id}0")));
        let reaper = thread::spawn(move || mine.wait().unwrap());
        end_all_of_node(&id).unwrap();
        reaper.join().unwrap();
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
