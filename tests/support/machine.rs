//! What is on this machine: processes, mounts, network namespaces, interfaces, listening sockets.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What there was at one moment.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    mounts: BTreeSet<String>,
    namespaces: BTreeSet<String>,
    interfaces: BTreeSet<String>,
    sockets: BTreeSet<String>,
}

impl Machine {
    /// Now.
    pub fn now() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let mut sockets = BTreeSet::new();
        for (file, state) in [("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")] {
            for line in read(&format!("/proc/net/{file}")).lines().skip(1) {
                let fields: Vec<&str> = line.split_whitespace().collect();
                if fields.get(3) == Some(&state) {
                    sockets.insert(format!("{file} {}", fields[1]));
                }
            }
        }
        // Of a Unix socket that accepts connections, the flags say so.
        let listening = |fields: &[&str]| fields.get(3) == Some(&"00010000") && fields.len() > 7;
        sockets.extend(read("/proc/net/unix").lines().skip(1).filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            listening(&fields).then(|| format!("unix {}", fields[7]))
        }));
        let mounts = read("/proc/self/mountinfo");
        // The numbers at the beginning of a line change without a mount.
        let mounts = mounts.lines().map(|line| line.split_whitespace().skip(3).collect::<Vec<_>>().join(" ")).collect();
        let interfaces = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
        Self {
            mounts,
            namespaces: processes()
                .filter_map(|process| fs::read_link(process.join("ns/net")).ok())
                .map(|link| link.display().to_string())
                .collect(),
            interfaces: interfaces.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect(),
            sockets,
        }
    }

    /// What is there now and was not.
    pub fn added_since(&self, before: &Self) -> Vec<String> {
        let parts = [
            ("mount", &self.mounts, &before.mounts),
            ("network namespace", &self.namespaces, &before.namespaces),
            ("interface", &self.interfaces, &before.interfaces),
            ("listening socket", &self.sockets, &before.sockets),
        ];
        parts.iter().flat_map(|(what, now, before)| now.difference(before).map(move |name| format!("{what}: {name}"))).collect()
    }
}

/// A process that belongs to a test.
#[derive(Clone, Debug)]
pub struct Process {
    pub pid: i32,
    pub command: Vec<String>,
}

impl Process {
    /// Ends it at once.
    pub fn kill(&self) {
        // One that is gone already is what is wanted.
        let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
    }

    /// Whether it was started as this.
    pub fn is(&self, program: &str, arguments: &[&str]) -> bool {
        let name = self.command.first().map(|path| path.rsplit('/').next().unwrap_or(path));
        name.is_some_and(|name| name.starts_with(program))
            && arguments.iter().all(|argument| self.command.iter().any(|word| word == argument))
    }
}

fn processes() -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().chars().all(|c| c.is_ascii_digit())))
}

/// The processes that belong to a folder: they name it in what they were started with, work in it, run from it, carry the id of a node
/// that was made from it, or live in the process namespace of one that does. Those of a user too. This process is not counted.
pub fn processes_of(folder: &Path, nodes: &BTreeSet<String>, uid: Option<u32>) -> Vec<Process> {
    let folder = folder.display().to_string();
    let own = std::process::id().to_string();
    let here = namespace(Path::new("/proc/self"));
    let mut all: Vec<(Process, Option<PathBuf>, bool)> = Vec::new();
    for process in processes().filter(|path| !path.ends_with(&own)) {
        let command = words(&process, "cmdline");
        let belongs = belongs(&process, &command, &folder, nodes, uid);
        let Ok(pid) = process.file_name().unwrap().to_string_lossy().parse() else { continue };
        // One that ended and was not waited for is nobody's.
        let status = fs::read_to_string(process.join("stat")).unwrap_or_default();
        let ended = status.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'));
        if !ended {
            all.push((Process { pid, command }, namespace(&process).filter(|of| Some(of) != here.as_ref()), belongs));
        }
    }
    let namespaces: BTreeSet<PathBuf> =
        all.iter().filter(|(_, _, belongs)| *belongs).filter_map(|(_, namespace, _)| namespace.clone()).collect();
    let inside = |namespace: &Option<PathBuf>| namespace.as_ref().is_some_and(|namespace| namespaces.contains(namespace));
    all.into_iter().filter(|(_, namespace, belongs)| *belongs || inside(namespace)).map(|(process, _, _)| process).collect()
}

/// The process namespace of a process.
fn namespace(process: &Path) -> Option<PathBuf> {
    fs::read_link(process.join("ns/pid")).ok()
}

fn words(process: &Path, file: &str) -> Vec<String> {
    let bytes = fs::read(process.join(file)).unwrap_or_default();
    bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

fn belongs(process: &Path, command: &[String], folder: &str, nodes: &BTreeSet<String>, uid: Option<u32>) -> bool {
    let link = |name: &str| fs::read_link(process.join(name)).map(|path| path.display().to_string()).unwrap_or_default();
    let environment = words(process, "environ");
    let of_node = |word: &String| word.strip_prefix("CLOUDTIK_NODE=").is_some_and(|id| nodes.contains(id));
    [link("exe"), link("cwd")].iter().chain(command).chain(&environment).any(|text| text.contains(folder))
        || environment.iter().any(of_node)
        || uid.is_some_and(|uid| fs::metadata(process).is_ok_and(|meta| meta.uid() == uid))
}
