//! What a test left on this machine: processes, mounts, interfaces, sockets. Only what can be told to be the test's own counts, so that
//! whatever else goes on beside it, another local cloud too, is nobody's fault.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

/// By what a test's own things are known.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    /// Everything of the test is below it: its project, its XDG folders, its program.
    pub folder: &'a Path,
    /// The ids of everything that its local cloud ever had.
    pub ids: &'a BTreeSet<String>,
    /// The user of the test, if it is nobody else's.
    pub uid: Option<u32>,
}

impl Own<'_> {
    /// Mounts, interfaces and sockets that are the test's.
    pub fn things(&self) -> Vec<String> {
        let mounts = self.mounts().into_iter().map(|name| format!("mount: {name}"));
        let interfaces = self.interfaces().into_iter().map(|name| format!("interface: {name}"));
        mounts.chain(interfaces).chain(self.sockets().into_iter().map(|name| format!("listening socket: {name}"))).collect()
    }

    /// Those that are of or at something below the folder.
    fn mounts(&self) -> Vec<String> {
        let folder = self.folder.display().to_string();
        read("/proc/self/mountinfo").lines().filter(|line| line.contains(&folder)).map(str::to_owned).collect()
    }

    /// Those that are named after something of the local cloud: a network's bridge, the ends of a node's pair.
    fn interfaces(&self) -> Vec<String> {
        let digits: BTreeSet<&str> = self.ids.iter().filter_map(|id| id.rsplit('-').next()?.get(..8)).collect();
        let entries = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.split_once('-').is_some_and(|(kind, of)| kind.starts_with("ct") && digits.contains(of))).collect()
    }

    /// Unix sockets below the folder; ports of the test's own user. What another user's process listens at is found by the process.
    fn sockets(&self) -> Vec<String> {
        let folder = self.folder.display().to_string();
        // Of a Unix socket that accepts connections, the flags say so.
        let listening = |fields: &[&str]| fields.get(3) == Some(&"00010000") && fields.get(7).is_some_and(|path| path.starts_with(&folder));
        let unix: Vec<String> = read("/proc/net/unix")
            .lines()
            .filter(|line| listening(&line.split_whitespace().collect::<Vec<_>>()))
            .map(str::to_owned)
            .collect();
        let Some(uid) = self.uid.filter(|uid| *uid != geteuid().as_raw()).map(|uid| uid.to_string()) else { return unix };
        let mut found = unix;
        for (file, state) in [("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")] {
            for line in read(&format!("/proc/net/{file}")).lines().skip(1) {
                let fields: Vec<&str> = line.split_whitespace().collect();
                if fields.get(3) == Some(&state) && fields.get(7) == Some(&uid.as_str()) {
                    found.push(format!("{file} {}", fields[1]));
                }
            }
        }
        found
    }

    /// The processes that belong to the test: they name its folder in what they were started with, work in it, run from it, carry the id of
    /// one of its nodes, or live in the process or network namespace of one that does. Those of its user too. This process is not counted.
    pub fn processes(&self) -> Vec<Process> {
        let own = std::process::id().to_string();
        let here = Namespaces::of(Path::new("/proc/self"));
        let mut all: Vec<(Process, Namespaces, bool)> = Vec::new();
        for process in processes().filter(|path| !path.ends_with(&own)) {
            let command = words(&process, "cmdline");
            let belongs = self.has(&process, &command);
            let Ok(pid) = process.file_name().unwrap().to_string_lossy().parse() else { continue };
            // One that ended and was not waited for is nobody's.
            let status = fs::read_to_string(process.join("stat")).unwrap_or_default();
            let ended = status.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'));
            if !ended {
                all.push((Process { pid, command }, Namespaces::of(&process).other_than(&here), belongs));
            }
        }
        let of_ours = all.iter().filter(|(_, _, belongs)| *belongs);
        let inside: BTreeSet<PathBuf> = of_ours.flat_map(|(_, namespaces, _)| namespaces.0.clone()).collect();
        let ours = |namespaces: &Namespaces| namespaces.0.iter().any(|namespace| inside.contains(namespace));
        all.into_iter().filter(|(_, namespaces, belongs)| *belongs || ours(namespaces)).map(|(process, _, _)| process).collect()
    }

    fn has(&self, process: &Path, command: &[String]) -> bool {
        let folder = self.folder.display().to_string();
        let link = |name: &str| fs::read_link(process.join(name)).map(|path| path.display().to_string()).unwrap_or_default();
        let environment = words(process, "environ");
        let of_node = |word: &String| word.strip_prefix("CLOUDTIK_NODE=").is_some_and(|id| self.ids.contains(id));
        [link("exe"), link("cwd")].iter().chain(command).chain(&environment).any(|text| text.contains(&folder))
            || environment.iter().any(of_node)
            || self.uid.is_some_and(|uid| fs::metadata(process).is_ok_and(|meta| meta.uid() == uid))
    }
}

/// The process and network namespaces that a process lives in.
struct Namespaces(BTreeSet<PathBuf>);

impl Namespaces {
    fn of(process: &Path) -> Self {
        Self(["ns/pid", "ns/net"].iter().filter_map(|name| fs::read_link(process.join(name)).ok()).collect())
    }

    /// Without those that are the machine's own, or this test's.
    fn other_than(self, here: &Self) -> Self {
        Self(self.0.difference(&here.0).cloned().collect())
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
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

fn words(process: &Path, file: &str) -> Vec<String> {
    let bytes = fs::read(process.join(file)).unwrap_or_default();
    bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty()).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}
