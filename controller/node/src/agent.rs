//! The node's main program: PID 1 of a local node, or a plain process elsewhere.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cloudtik_model::NodeBoot;
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::actions::{Door, Workshop};
use crate::door::{MachineDoor, SshDoor};
use crate::durable::{self, beside};
use crate::error::NodeError;
use crate::layout::{Layout, environment};
use crate::limits::BOOT_BYTES_MAX;
use crate::process::Children;
use crate::session::Agent;
use crate::supervisor::Supervisor;
use crate::{control, leftovers, reaper, runs};

/// Threads that serve a node: its work is waiting.
const WORKER_THREADS: usize = 2;

/// How long tasks that still block may hold up the end of the program.
const LAST_TASKS_TIMEOUT: Duration = Duration::from_secs(1);

/// `cloudtik node --boot FILE`: runs the node until TERM or INT. It must be started before any other thread of the process.
pub fn node_main(boot_path: &Path) -> Result<(), NodeError> {
    let boot = read_boot(boot_path)?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .enable_all()
        .build()
        .map_err(|source| NodeError::System { action: "start the node's runtime", source })?;
    let result = runtime.block_on(serve(boot, boot_path));
    runtime.shutdown_timeout(LAST_TASKS_TIMEOUT);
    result
}

fn read_boot(path: &Path) -> Result<NodeBoot, NodeError> {
    let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
    let bytes = durable::read_bounded(path, BOOT_BYTES_MAX)
        .and_then(|bytes| bytes.ok_or_else(missing))
        .map_err(NodeError::file("read the boot file", path))?;
    let boot: NodeBoot =
        serde_json::from_slice(&bytes).map_err(|source| NodeError::Record { what: "boot file", path: path.to_path_buf(), source })?;
    if boot.version != NodeBoot::VERSION {
        return Err(NodeError::Version { path: path.to_path_buf(), found: boot.version, known: NodeBoot::VERSION });
    }
    let wrong = |reason: &str| Err(NodeError::Boot { path: path.to_path_buf(), reason: reason.to_owned() });
    if !boot.root.starts_with('/') || boot.dirs.values().any(|dir| !dir.starts_with('/')) {
        return wrong("root and dirs must be absolute paths");
    }
    if boot.instance_id.is_empty() {
        return wrong("instance_id is empty");
    }
    Ok(boot)
}

async fn serve(boot: NodeBoot, boot_path: &Path) -> Result<(), NodeError> {
    let mut stop = Stop::listen()?;
    let layout = Layout::new(&boot);
    layout.make()?;
    let _only_agent = take_lock(&layout)?;
    link_program(&layout)?;
    leftovers::kill(&layout, &boot.instance_id, &runs::unfinished(&layout)?)?;
    reaper::adopt_orphans()?;
    let children = Children::default();
    let reaping = tokio::spawn(reaper::run(children.clone()));
    let base = Arc::new(environment(&boot, &layout));
    let cell = Arc::new(OnceLock::new());
    let door = if boot.openssh { None } else { Some(SshDoor::new(&boot, boot_path, &layout, &base, Arc::clone(&cell))?) };
    let server = door.as_ref().map(SshDoor::server);
    if let Some(door) = &door {
        door.open(&boot, boot_path).await?;
    }
    let door: Box<dyn Door> = door.map_or_else(|| Box::new(MachineDoor) as Box<dyn Door>, |door| Box::new(door));
    let supervisor = Supervisor::open(layout.clone(), Arc::clone(&base), children.clone())?;
    let workshop = Workshop { layout: layout.clone(), base, children, supervisor, door };
    let agent = Arc::new(Agent::new(workshop, boot.instance_id.clone()));
    // It is set once, here.
    let _ = cell.set(Arc::downgrade(&agent));
    let socket = UnixListener::from_std(control::listen(layout.root())?)
        .map_err(|source| NodeError::Listen { path: control::socket_path(layout.root()), source })?;
    let serving = tokio::spawn(Arc::clone(&agent).serve_socket(socket));
    let bringing = tokio::spawn({
        let agent = Arc::clone(&agent);
        async move { agent.supervisor().bring_back().await }
    });
    let ended = tokio::select! {
        () = stop.requested() => Ok(()),
        ended = reaping => ended.unwrap_or(Ok(())),
    };
    serving.abort();
    bringing.abort();
    agent.break_off_runs();
    agent.supervisor().stop_all().await;
    if let Some(server) = server {
        server.stop();
    }
    reaper::sweep().await;
    durable::remove(&control::socket_path(layout.root()))?;
    ended
}

/// TERM and INT. PID 1 gets no signal that it does not handle.
struct Stop {
    term: Signal,
    int: Signal,
}

impl Stop {
    fn listen() -> Result<Self, NodeError> {
        let wrong = |source| NodeError::System { action: "listen to signals", source };
        Ok(Self { term: signal(SignalKind::terminate()).map_err(wrong)?, int: signal(SignalKind::interrupt()).map_err(wrong)? })
    }

    async fn requested(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {},
            _ = self.int.recv() => {},
        }
    }
}

/// Two agents in one folder would start every daemon twice.
fn take_lock(layout: &Layout) -> Result<File, NodeError> {
    let path = layout.root().join("run").join("agent.lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(NodeError::file("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(NodeError::Busy { root: layout.root().to_path_buf() }),
        Err(fs::TryLockError::Error(source)) => Err(NodeError::File { action: "lock", path, source }),
    }
}

/// `bin/cloudtik` is this program, so that it is found on the node's search path.
fn link_program(layout: &Layout) -> Result<(), NodeError> {
    let path: PathBuf = layout.root().join("bin").join("cloudtik");
    let program = std::env::current_exe().map_err(|source| NodeError::System { action: "find this program's file", source })?;
    if is_same_file(&program, &path) {
        // The link is right already, or the provider put the program itself there, where nothing can be renamed over it.
        return Ok(());
    }
    let temporary = beside(&path, ".tmp");
    durable::remove(&temporary)?;
    symlink(program, &temporary).map_err(NodeError::file("make the link", &temporary))?;
    fs::rename(&temporary, &path).map_err(NodeError::file("make the link", &path))
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    place(one).is_some_and(|place_of_one| place(other) == Some(place_of_one))
}
