//! A node's files, its launch and its end.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use cloudtik_model::NodeBoot;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::binaries::Copy;
use super::heads::SOCKET_NAME;
use super::proxy;
use crate::failure::{io_failure, permanent, system_failure};
use crate::files::{self, make_folder};
use crate::launch::{Isolation, LaunchFile, Report, RootPlan};
use crate::options::{LocalCloudOptions, NODE_VARIABLE, SOCKET_VARIABLE};
use crate::process;
use crate::protocol::{CloudError, Form, InstanceAttributes, InstanceSpec, NetworkAttributes, ProcessIdentity, Secret};

/// Name of the secret that a create of an instance carries.
pub(crate) const HOST_KEY_SECRET: &str = "bootstrap_host_key";

/// Where a node of the namespaces form sees its own folder.
const NAMESPACES_NODE_ROOT: &str = "/var/lib/cloudtik/node";

/// Marks a project's root folder that the local cloud made and therefore removes when it is empty.
const ROOT_MARKER: &str = ".made-by-cloudtik";

/// What the search path of every node is.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long a launch may take from one word of the helper to the next. It takes milliseconds; a machine under load may need seconds.
const LAUNCH_WORD_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest line of the helper.
const REPORT_BYTES_MAX: usize = 64 * 1024;

/// The folders of a node as it sees them, by what `node.dirs` calls them.
pub(crate) fn dirs_of(form: Form, folder: &Path) -> BTreeMap<String, String> {
    let root = node_root_of(form, folder);
    let mut dirs: BTreeMap<String, String> = ["conf", "data", "logs", "packages", "artifacts", "home", "run", "tmp"]
        .iter()
        .map(|name| ((*name).to_owned(), root.join(name).to_string_lossy().into_owned()))
        .collect();
    dirs.insert("root".to_owned(), root.to_string_lossy().into_owned());
    if form == Form::Namespaces {
        for (name, path) in [("home", "/root"), ("run", "/run/cloudtik"), ("tmp", "/tmp")] {
            dirs.insert(name.to_owned(), path.to_owned());
        }
    }
    dirs
}

fn node_root_of(form: Form, folder: &Path) -> PathBuf {
    match form {
        Form::Plain => folder.join("node"),
        Form::Namespaces => PathBuf::from(NAMESPACES_NODE_ROOT),
    }
}

/// A node to launch.
pub(crate) struct Node<'a> {
    pub(crate) id: &'a str,
    pub(crate) spec: &'a InstanceSpec,
    pub(crate) attributes: &'a InstanceAttributes,
    pub(crate) binary: &'a Copy,
    pub(crate) host_key: &'a Secret,
    /// Whether it is the head of a cluster, which may be allowed to launch others later.
    pub(crate) is_head: bool,
    pub(crate) network: &'a NetworkAttributes,
}

impl Node<'_> {
    /// Makes the folders and files of a node. Everything is below its folder.
    pub(crate) fn write_files(&self, options: &LocalCloudOptions) -> Result<(), CloudError> {
        make_project_root(&self.spec.root)?;
        let folder = &self.attributes.folder;
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |error: std::io::Error| io_failure("write", &path, &error)
        };
        files::make_private_folder(folder).map_err(failed(folder))?;
        let node = folder.join("node");
        let tmp_mode = if self.spec.form == Form::Namespaces { 0o1777 } else { 0o700 };
        let folders =
            [("", 0o755), ("conf", 0o755), ("data", 0o755), ("logs", 0o755), ("packages", 0o755), ("artifacts", 0o755), ("home", 0o700)];
        for (name, mode) in folders.into_iter().chain([("run", 0o755), ("tmp", tmp_mode), ("keys", 0o700), ("bin", 0o755)]) {
            let path = node.join(name);
            make_folder(&path, mode).map_err(failed(&path))?;
        }
        let key = node.join("keys").join(HOST_KEY_SECRET);
        files::write_durable(&key, self.host_key.reveal().as_bytes(), 0o600).map_err(failed(&key))?;
        let boot = node.join("boot.json");
        write_json(&boot, &self.boot())?;
        if self.spec.form == Form::Namespaces {
            // The file at which the binary is shown.
            let shown = node.join("bin/cloudtik");
            fs::write(&shown, "").map_err(failed(&shown))?;
        }
        write_json(&self.launch_path(), &self.launch_file(options)?)
    }

    /// Starts the node up to the point where its first process waits for [`Launching::go`].
    pub(crate) fn prepare(&self, options: &LocalCloudOptions) -> Result<Launching, CloudError> {
        let mut command = Command::new(&options.command.program);
        command.args(&options.command.arguments).args(["launch", "--file"]).arg(self.launch_path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut helper = command.spawn().map_err(|error| io_failure("start", &options.command.program, &error))?;
        let (Some(input), Some(output)) = (helper.stdin.take(), helper.stdout.take()) else {
            return Err(permanent("launch", "the launch helper has no pipes"));
        };
        let mut reports = Reports { output, pending: Vec::new() };
        let first = reports.next();
        // The helper itself is done once it has forked; on a timeout it must not stay.
        if first.is_err() {
            drop(helper.kill());
        }
        helper.wait().map_err(|error| system_failure("wait for the launch helper", &error))?;
        let report = first?.ok_or_else(|| permanent("launch", "the launch helper ended without a word"))?;
        let pid = report.pid.ok_or_else(|| failure_of(&report))?;
        let process = process::identify(pid).map_err(|error| system_failure("read the node's process", &error))?;
        let process = process.ok_or_else(|| match reports.next() {
            Ok(Some(report)) => failure_of(&report),
            _ => permanent("launch", "the node's first process ended at once"),
        })?;
        Ok(Launching { process, input, reports })
    }

    fn launch_path(&self) -> PathBuf {
        self.attributes.folder.join("launch.json")
    }

    fn boot(&self) -> NodeBoot {
        let root = node_root_of(self.spec.form, &self.attributes.folder);
        NodeBoot {
            version: NodeBoot::VERSION,
            instance_id: self.id.to_owned(),
            address: self.attributes.address.clone(),
            ssh_port: self.attributes.ssh_port,
            ssh_user: self.attributes.ssh_user.clone(),
            root: root.to_string_lossy().into_owned(),
            dirs: self.attributes.dirs.clone(),
            bootstrap_host_key: root.join("keys").join(HOST_KEY_SECRET).to_string_lossy().into_owned(),
            authorized_keys: self.spec.authorized_keys.clone(),
            env: self.environment(),
            openssh: false,
        }
    }

    /// Whether it has a socket of its own, now or when it may launch others one day: its environment never changes.
    fn has_socket(&self) -> bool {
        self.is_head || self.spec.max_workers.unwrap_or(0) > 0
    }

    /// What the user asked for may change everything but what finds the node's processes again, and what says which socket is theirs.
    fn environment(&self) -> BTreeMap<String, String> {
        let dir = |name: &str| self.attributes.dirs.get(name).cloned().unwrap_or_default();
        let user = &self.attributes.ssh_user;
        let mut env: BTreeMap<String, String> = [
            ("PATH", SEARCH_PATH.to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("SHELL", "/bin/sh".to_owned()),
            ("HOME", dir("home")),
            ("TMPDIR", dir("tmp")),
            ("USER", user.clone()),
            ("LOGNAME", user.clone()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        if let Some(proxy) = &self.network.proxy {
            env.extend(proxy::variables(proxy, &self.network.cidr, &self.attributes.address));
        }
        env.extend(self.spec.env.clone());
        env.insert(NODE_VARIABLE.to_owned(), self.id.to_owned());
        if self.has_socket() {
            env.insert(SOCKET_VARIABLE.to_owned(), Path::new(&dir("run")).join(SOCKET_NAME).to_string_lossy().into_owned());
        }
        env
    }

    /// The socket lies in the node's folder, which is on the machine's disk; the node looks for it in its folder for what runs, which is not.
    fn links(&self, node_root: &Path) -> BTreeMap<PathBuf, PathBuf> {
        let run = self.attributes.dirs.get("run").filter(|_| self.has_socket());
        run.map(|run| (Path::new(run).join(SOCKET_NAME), node_root.join("run").join(SOCKET_NAME))).into_iter().collect()
    }

    fn launch_file(&self, options: &LocalCloudOptions) -> Result<LaunchFile, CloudError> {
        let form = self.spec.form;
        let node_root = node_root_of(form, &self.attributes.folder);
        let program = match form {
            Form::Plain => self.binary.path.clone(),
            Form::Namespaces => node_root.join("bin/cloudtik"),
        };
        let boot = node_root.join("boot.json").to_string_lossy().into_owned();
        let isolation = match form {
            Form::Namespaces => Isolation::Everything,
            Form::Plain if self.attributes.own_pid_namespace => Isolation::Processes,
            Form::Plain => Isolation::Session,
        };
        let root = match form {
            Form::Plain => None,
            Form::Namespaces => Some(RootPlan {
                folder: self.attributes.folder.clone(),
                host_name: self.spec.name.clone(),
                address: self.attributes.address.clone(),
                names: self.attributes.names.clone(),
                node_root: node_root.clone(),
                binary: self.binary.path.clone(),
                masks: masks(options, &self.spec.root)?,
                links: self.links(&node_root),
                mounts: self.spec.mounts.iter().map(|(path, folder)| (PathBuf::from(path), folder.clone())).collect(),
            }),
        };
        Ok(LaunchFile {
            isolation,
            program,
            arguments: ["cloudtik", "node", "--boot", &boot].map(str::to_owned).to_vec(),
            env: self.environment(),
            working_dir: node_root,
            log: self.attributes.folder.join("node/logs/node.log"),
            root,
        })
    }
}

/// A node whose first process waits.
pub(crate) struct Launching {
    pub(crate) process: ProcessIdentity,
    input: ChildStdin,
    reports: Reports,
}

impl Launching {
    /// Lets the first process become the node, and returns when it did.
    pub(crate) fn go(mut self) -> Result<(), CloudError> {
        // A process that ended already says why in its report.
        let written = self.input.write_all(b"g");
        match self.reports.next()? {
            Some(report) => Err(failure_of(&report)),
            None => written.map_err(|error| system_failure("start the node's first process", &error)),
        }
    }
}

/// What the helper and the process it forked say.
struct Reports {
    output: ChildStdout,
    pending: Vec<u8>,
}

impl Reports {
    /// The next report, or `None` at the end.
    fn next(&mut self) -> Result<Option<Report>, CloudError> {
        let failed = |error: &std::io::Error| system_failure("read what the launch helper says", error);
        let started = Instant::now();
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let rest = self.pending.split_off(end.saturating_add(1));
                let line = std::mem::replace(&mut self.pending, rest);
                return serde_json::from_slice(&line).map(Some).map_err(|error| failed(&error.into()));
            }
            let left = LAUNCH_WORD_TIMEOUT.saturating_sub(started.elapsed());
            if left.is_zero() || self.pending.len() > REPORT_BYTES_MAX {
                return Err(permanent("launch_timeout", "the node's first process did not come up in time"));
            }
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut waiting = [PollFd::new(self.output.as_fd(), PollFlags::POLLIN)];
            match poll(&mut waiting, timeout) {
                Ok(0) | Err(nix::errno::Errno::EINTR) => continue,
                Ok(_) => {}
                Err(errno) => return Err(failed(&errno.into())),
            }
            let mut piece = [0_u8; 4096];
            let read = self.output.read(&mut piece).map_err(|error| failed(&error))?;
            if read == 0 {
                return Ok(None);
            }
            self.pending.extend_from_slice(piece.get(..read).unwrap_or_default());
        }
    }
}

/// Ends every process of a node. Returns when none is left.
pub(crate) fn stop(
    id: &str,
    process: Option<&ProcessIdentity>,
    attributes: &InstanceAttributes,
    grace: Duration,
) -> Result<(), CloudError> {
    let failed = |error: std::io::Error| system_failure(&format!("end the processes of {id}"), &error);
    if let Some(process) = process {
        process::end(process, grace).map_err(failed)?;
    }
    if attributes.own_pid_namespace { Ok(()) } else { process::end_all_of_node(id).map_err(failed) }
}

/// Removes a node's folder, and the project's root when we made it and it is empty now.
pub(crate) fn remove_files(folder: &Path, root: &Path) -> Result<(), CloudError> {
    files::remove_tree(folder).map_err(|error| io_failure("remove", folder, &error))?;
    remove_project_root(root)
}

/// Makes the project's root folder, with a mark by which it is known as ours.
pub(crate) fn make_project_root(root: &Path) -> Result<(), CloudError> {
    if root.is_dir() {
        return Ok(());
    }
    let failed = |error: std::io::Error| io_failure("make", root, &error);
    files::make_private_folder(root).map_err(failed)?;
    fs::write(root.join(ROOT_MARKER), "The local cloud of cloudtik made this folder and removes it when it is empty.\n").map_err(failed)
}

/// Removes the project's root folder when nothing but our mark is in it.
pub(crate) fn remove_project_root(root: &Path) -> Result<(), CloudError> {
    let failed = |error: std::io::Error| io_failure("remove", root, &error);
    let marker = root.join(ROOT_MARKER);
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    if names.len() != 1 || names.first().is_none_or(|name| name != ROOT_MARKER) {
        return Ok(());
    }
    fs::remove_file(marker).and_then(|()| fs::remove_dir(root)).map_err(failed)
}

/// What nodes of the namespaces form must not see: the local cloud's own folders, the project's state beside its root, the user's home.
fn masks(options: &LocalCloudOptions, root: &Path) -> Result<Vec<PathBuf>, CloudError> {
    let beside = root.parent().filter(|parent| parent.components().count() > 1).unwrap_or(root);
    let runtime = options.socket.parent().unwrap_or(&options.socket);
    let mut masks = Vec::new();
    for folder in [&options.state_dir, &options.cache_dir, runtime, beside] {
        if folder.is_dir() {
            masks.push(fs::canonicalize(folder).map_err(|error| io_failure("resolve", folder, &error))?);
        }
    }
    masks.push(PathBuf::from("/var/lib/cloudtik"));
    let home = std::env::var_os("HOME").map(PathBuf::from);
    masks.extend(home.filter(|home| home.is_absolute() && home.components().count() > 1));
    Ok(masks)
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), CloudError> {
    let text = serde_json::to_vec_pretty(value).map_err(|error| io_failure("write", path, &error.into()))?;
    files::write_durable(path, &text, 0o600).map_err(|error| io_failure("write", path, &error))
}

fn failure_of(report: &Report) -> CloudError {
    let problem = report.problem.as_deref().unwrap_or("the launch helper says neither an id nor a problem");
    let code = match report.errno {
        Some(libc::ENOSPC) => "disk_full",
        Some(libc::EPERM | libc::EACCES) => "no_permission",
        _ => "launch",
    };
    permanent(code, format!("the node cannot be started: {problem}"))
}
