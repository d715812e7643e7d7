//! The duty of PID 1: orphans that end here must be waited for by somebody, and the children of others in this process must not be.
//!
//! A zombie is reaped when nobody here is known to wait for it and it has been one for a whole interval. The interval is for children
//! that other code of this process started (the SSH server's commands): whoever waits for its own child has taken it long before.

use std::collections::BTreeSet;
use std::time::Instant;

use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::error::NodeError;
use crate::limits::{REAP_INTERVAL, SWEEP_TIMEOUT};
use crate::proc;
use crate::process::Children;

/// Makes this process the parent of its orphaned descendants, as PID 1 is by nature.
pub(crate) fn adopt_orphans() -> Result<(), NodeError> {
    nix::sys::prctl::set_child_subreaper(true)
        .map_err(|source| NodeError::System { action: "become the parent of orphaned processes", source: source.into() })
}

/// Reaps for ever.
pub(crate) async fn run(children: Children) -> Result<(), NodeError> {
    let mut ended = signal(SignalKind::child()).map_err(|source| NodeError::System { action: "listen to the end of children", source })?;
    let mut seen = BTreeSet::new();
    loop {
        if seen.is_empty() {
            ended.recv().await;
        }
        sleep(REAP_INTERVAL).await;
        seen = reap(&children, &seen);
    }
}

/// Reaps what was a zombie already at the last look; answers what is one now.
fn reap(children: &Children, seen_before: &BTreeSet<(i32, u64)>) -> BTreeSet<(i32, u64)> {
    let Some(first) = first_zombie() else { return BTreeSet::new() };
    let own = own_pid();
    let of_this = |stat: &proc::Stat| stat.parent == own && stat.state == 'Z';
    let zombies: Vec<(i32, u64)> = if proc::is_ours() {
        proc::all().into_iter().filter(of_this).map(|stat| (stat.pid, stat.start_time)).collect()
    } else {
        // One at a time is slow, and better than never.
        vec![(first, 0)]
    };
    let mut seen = BTreeSet::new();
    for key in zombies.into_iter().filter(|(pid, _)| !children.holds(*pid)) {
        if seen_before.contains(&key) {
            // An error says that somebody was quicker, which is as good.
            let _ = waitid(Id::Pid(Pid::from_raw(key.0)), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG);
        } else {
            seen.insert(key);
        }
    }
    seen
}

/// Some zombie, which stays one; asked first, because it costs one call and a look through `/proc` costs thousands.
fn first_zombie() -> Option<i32> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    match waitid(Id::All, flags) {
        Ok(status) => status.pid().map(Pid::as_raw),
        Err(_) => None,
    }
}

/// Kills everything below this process, until two looks find nothing or the time is up: what a node's end leaves of it.
pub(crate) async fn sweep() {
    let end = Instant::now() + SWEEP_TIMEOUT;
    let mut empty = 0;
    while empty < 2 && Instant::now() < end {
        let left = proc::descendants(own_pid());
        empty = if left.is_empty() { empty + 1 } else { 0 };
        for stat in left {
            proc::signal(stat.pid, nix::sys::signal::Signal::SIGKILL);
        }
        sleep(std::time::Duration::from_millis(10)).await;
    }
}

fn own_pid() -> i32 {
    Pid::this().as_raw()
}
