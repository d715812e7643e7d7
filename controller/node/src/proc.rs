//! What `/proc` says about processes: who they are, whose they are, and how to be sure it is the same one as before.

use std::collections::BTreeMap;
use std::fs;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// One line of `/proc/<pid>/stat`, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: i32,
    pub(crate) state: char,
    pub(crate) parent: i32,
    pub(crate) session: i32,
    pub(crate) start_time: u64,
}

/// A process that can be recognised later: a number alone is given out again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProcessIdentity {
    pub(crate) version: u32,
    pub(crate) pid: i32,
    pub(crate) start_time: u64,
    pub(crate) boot_id: String,
}

impl ProcessIdentity {
    const VERSION: u32 = 1;

    /// Of a process that lives now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let start_time = stat(pid)?.start_time;
        Some(Self { version: Self::VERSION, pid, start_time, boot_id: boot_id() })
    }

    /// Whether the record is about this start of the machine; after another one the numbers mean nothing.
    pub(crate) fn is_of_this_boot(&self) -> bool {
        self.version == Self::VERSION && self.boot_id == boot_id()
    }
}

/// Whether `/proc` is about the processes that this one sees. In a process namespace without a `/proc` of its own the numbers there are
/// those of others, and nothing may be concluded from them.
pub(crate) fn is_ours() -> bool {
    let own = Pid::this().to_string();
    fs::read_link("/proc/self").is_ok_and(|link| link.as_os_str() == own.as_str())
}

/// The state of one process; `None` when it is gone.
pub(crate) fn stat(pid: i32) -> Option<Stat> {
    if !is_ours() {
        return None;
    }
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// All processes that can be seen.
pub(crate) fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    if !is_ours() {
        return Vec::new();
    }
    let look = |name: &str| parse_stat(&fs::read_to_string(format!("/proc/{}/stat", name.parse::<i32>().ok()?)).ok()?);
    entries.flatten().filter_map(|entry| look(entry.file_name().to_str()?)).collect()
}

/// A variable of the environment that a process was started with; `None` when it is not there or cannot be read.
pub(crate) fn variable(pid: i32, name: &str) -> Option<String> {
    let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let prefix = format!("{name}=");
    environ.split(|byte| *byte == 0).find_map(|entry| Some(String::from_utf8_lossy(entry.strip_prefix(prefix.as_bytes())?).into_owned()))
}

/// All processes below this one, children before grandchildren; zombies left out.
pub(crate) fn descendants(of: i32) -> Vec<Stat> {
    let mut by_parent: BTreeMap<i32, Vec<Stat>> = BTreeMap::new();
    for stat in all() {
        by_parent.entry(stat.parent).or_default().push(stat);
    }
    let mut found = Vec::new();
    let mut open = vec![of];
    while let Some(parent) = open.pop() {
        for child in by_parent.remove(&parent).unwrap_or_default() {
            open.push(child.pid);
            if child.state != 'Z' {
                found.push(child);
            }
        }
    }
    found
}

/// Sends a signal to one process. That it is gone already is no failure.
pub(crate) fn signal(pid: i32, signal: Signal) {
    if pid > 1 {
        // Whether it worked shows in whether the process ends, which every caller waits for.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Sends a signal to a process group. That it is gone already is no failure.
pub(crate) fn signal_group(group: i32, signal: Signal) {
    if group > 1 {
        // As above.
        let _ = killpg(Pid::from_raw(group), signal);
    }
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// The name in parentheses may hold spaces and parentheses, so the fields are counted from its end.
fn parse_stat(text: &str) -> Option<Stat> {
    let pid = text.split(' ').next()?.parse().ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Stat {
        pid,
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        start_time: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        let text = "42 (a) b (c) S 7 42 40 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 9000 1 2";
        assert_eq!(parse_stat(text), Some(Stat { pid: 42, state: 'S', parent: 7, session: 40, start_time: 9000 }));
        assert_eq!(parse_stat("42 (x"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn this_process_is_recognised() {
        let own = i32::try_from(std::process::id()).unwrap();
        let identity = ProcessIdentity::of(own).unwrap();
        assert!(identity.is_of_this_boot());
        assert_eq!(ProcessIdentity::of(own), Some(identity));
    }

    #[test]
    fn a_process_of_version_1_is_read_and_written() {
        let text = include_str!("../fixtures/v1/process.json");
        let record: ProcessIdentity = serde_json::from_str(text).unwrap();
        assert_eq!(record.version, ProcessIdentity::VERSION);
        assert_eq!(serde_json::to_string(&record).unwrap(), text.trim_end());
    }
}
