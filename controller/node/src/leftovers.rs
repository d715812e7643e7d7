//! What an agent that was killed left running: its daemons and the scripts of runs without an end. They must be gone before the daemons
//! are started again and before a run is done again. The background children of runs that did end are nobody's left-overs and stay.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::durable;
use crate::error::NodeError;
use crate::layout::{DAEMON_VARIABLE, Layout, NODE_VARIABLE, RUN_VARIABLE};
use crate::limits::SWEEP_TIMEOUT;
use crate::proc::{self, ProcessIdentity, Stat};

/// Kills them, and waits until they are gone: a port is only free then.
pub(crate) fn kill(layout: &Layout, instance: &str, unfinished: &BTreeSet<String>) -> Result<(), NodeError> {
    let leaders = recorded_leaders(layout)?;
    let end = Instant::now() + SWEEP_TIMEOUT;
    loop {
        let found: Vec<Stat> = proc::all().into_iter().filter(|stat| is_left_over(stat, layout, instance, &leaders, unfinished)).collect();
        if found.is_empty() || Instant::now() > end {
            break;
        }
        for stat in found {
            proc::signal(stat.pid, Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    for (path, _) in leaders {
        durable::remove(&path)?;
    }
    Ok(())
}

/// A daemon may have overwritten its environment in memory (nginx does, for its title), so the record of its process counts as well as the
/// mark in the environment.
fn is_left_over(
    stat: &Stat,
    layout: &Layout,
    instance: &str,
    leaders: &[(std::path::PathBuf, Option<ProcessIdentity>)],
    unfinished: &BTreeSet<String>,
) -> bool {
    if stat.state == 'Z' || stat.pid == nix::unistd::Pid::this().as_raw() {
        return false;
    }
    let of_session = leaders.iter().filter_map(|(_, leader)| leader.as_ref()).any(|leader| {
        let leader_lives = || proc::stat(leader.pid).is_some_and(|now| now.start_time == leader.start_time);
        // Without its leader, a session number may have been given to somebody else: then only those that stand below the root count.
        let below_root = || fs::read_link(format!("/proc/{}/cwd", stat.pid)).is_ok_and(|cwd| cwd.starts_with(layout.root()));
        stat.session == leader.pid && (leader_lives() || below_root())
    });
    let marked = || {
        proc::variable(stat.pid, NODE_VARIABLE).as_deref() == Some(instance)
            && (proc::variable(stat.pid, DAEMON_VARIABLE).is_some()
                || proc::variable(stat.pid, RUN_VARIABLE).is_some_and(|run| unfinished.contains(&run)))
    };
    of_session || marked()
}

fn recorded_leaders(layout: &Layout) -> Result<Vec<(std::path::PathBuf, Option<ProcessIdentity>)>, NodeError> {
    let folder = layout.root().join("run").join("daemons");
    let mut leaders = Vec::new();
    for file in fs::read_dir(&folder).map_err(NodeError::file("read", &folder))? {
        let path = file.map_err(NodeError::file("read", &folder))?.path();
        let record = match durable::read_record::<ProcessIdentity>(&path, "process record") {
            Ok(record) => record.filter(ProcessIdentity::is_of_this_boot),
            // It is no more than a hint, and a torn one must not keep the node down.
            Err(NodeError::Record { .. }) => None,
            Err(error) => return Err(error),
        };
        leaders.push((path, record));
    }
    Ok(leaders)
}
