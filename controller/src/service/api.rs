//! The socket of the controller: frames of [`ControllerRequest`], one JSON document a line, each answered by one line.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cloudtik_model::{CONTROLLER_VERSION, ControllerCall, ControllerReply, ControllerRequest, PushConfig};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, Semaphore};

use super::{ServiceError, Shared, file, lock, push_refused};

/// The name of the socket in the node's folder `run`.
const SOCKET: &str = "controller.sock";

/// The path of a Unix socket ends here.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The longest frame: a configuration with the text of every template; a few hundred KiB in practice.
const FRAME_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Clients at once: an apply has one, people a few.
const CLIENTS_MAX: usize = 32;

/// How long a client may say nothing. One call takes a moment; people ask once.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// Between two looks whether what was asked for is written: a write takes some milliseconds.
const WRITTEN_INTERVAL: Duration = Duration::from_millis(10);

/// After ten seconds without a write the disk does not take it.
const WRITTEN_LOOKS_MAX: u32 = 1_000;

/// How often events are written to their file.
const EVENTS_INTERVAL: Duration = Duration::from_secs(1);

/// The running server.
pub(super) struct Server {
    ended: Arc<Notify>,
    thread: std::thread::JoinHandle<()>,
}

impl Server {
    pub(super) fn stop(self) {
        self.ended.notify_one();
        // A thread that panicked has nothing left to say.
        drop(self.thread.join());
    }
}

/// Listens, in a thread of its own, and looks for signals.
pub(super) fn start(node_root: &Path, shared: Arc<Shared>) -> Result<Server, ServiceError> {
    let folder = node_root.join("run");
    let path = folder.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file("replace", &path)(error)),
        _ => {}
    }
    let listener = bind(&folder).map_err(file("listen at", &path))?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(file("close to others", &path))?;
    listener.set_nonblocking(true).map_err(file("listen at", &path))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ServiceError::Runtime)?;
    let ended = Arc::new(Notify::new());
    let until = Arc::clone(&ended);
    let serving = move || runtime.block_on(serve(listener, shared, until));
    let thread = std::thread::Builder::new().name("api".to_owned()).spawn(serving).map_err(ServiceError::Runtime)?;
    Ok(Server { ended, thread })
}

/// A path that is too long for a socket is named through an open folder.
fn bind(folder: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    let path = folder.join(SOCKET);
    if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        return std::os::unix::net::UnixListener::bind(path);
    }
    let folder = File::open(folder)?;
    std::os::unix::net::UnixListener::bind(PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(SOCKET))
}

async fn serve(listener: std::os::unix::net::UnixListener, shared: Arc<Shared>, ended: Arc<Notify>) {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(listener), (Ok(mut term), Ok(mut int))) = (UnixListener::from_std(listener), signals) else {
        shared.say(Some("the controller's socket cannot be served".to_owned()));
        return shared.stop.store(true, Ordering::SeqCst);
    };
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    let mut interval = tokio::time::interval(EVENTS_INTERVAL);
    loop {
        tokio::select! {
            () = ended.notified() => return,
            _ = term.recv() => shared.stop.store(true, Ordering::SeqCst),
            _ = int.recv() => shared.stop.store(true, Ordering::SeqCst),
            _ = interval.tick() => keep_events(&shared),
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                    let shared = Arc::clone(&shared);
                    tokio::spawn(async move {
                        // What broke a client's connection is the client's to report.
                        drop(talk(stream, &shared).await);
                        drop(place);
                    });
                }
                // No file handles: a moment later there may be some.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
        }
    }
}

fn keep_events(shared: &Shared) {
    let last = lock(&shared.events).last();
    let new = shared.machine().as_ref().map(|machine| machine.events_after(last, usize::MAX));
    if let Some(new) = new {
        lock(&shared.events).take(&new);
    }
}

async fn talk(stream: UnixStream, shared: &Shared) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let mut frame = (&mut reader).take(FRAME_BYTES_MAX);
        let reading = frame.read_until(b'\n', &mut line);
        // A client that says nothing for so long is one whose connection hangs; what is cut off is no frame, and what follows it neither.
        let Ok(read) = tokio::time::timeout(SILENCE_MAX, reading).await else { return Ok(()) };
        if read? == 0 || line.last() != Some(&b'\n') {
            return Ok(());
        }
        let reply = answer(shared, &line).await;
        let mut bytes = serde_json::to_vec(&reply)?;
        bytes.push(b'\n');
        writer.write_all(&bytes).await?;
        writer.flush().await?;
    }
}

async fn answer(shared: &Shared, line: &[u8]) -> ControllerReply {
    let refused = |code: &str, message: String| ControllerReply::Refused { code: code.to_owned(), message };
    // The version is looked at first: what a newer program asks need not be readable.
    let version =
        serde_json::from_slice::<serde_json::Value>(line).ok().and_then(|json| json.get("version").and_then(serde_json::Value::as_u64));
    match version {
        Some(version) if version != u64::from(CONTROLLER_VERSION) => {
            let ours = CONTROLLER_VERSION;
            return refused(
                "version",
                format!("the head's program is cloudtik {} and speaks version {ours} of these frames, not {version}", shared.tool_version),
            );
        }
        _ => {}
    }
    let request: ControllerRequest = match serde_json::from_slice(line) {
        Ok(request) => request,
        Err(error) => return refused("request", format!("the request cannot be read: {error}")),
    };
    match request.call {
        ControllerCall::Push(push) => pushed(shared, *push),
        ControllerCall::Status => ControllerReply::Status(Box::new(shared.status())),
        ControllerCall::Events { after, limit } => {
            ControllerReply::Events(shared.events_after(after, usize::try_from(limit).unwrap_or(usize::MAX)))
        }
        ControllerCall::RemoveGroup { group } => with_machine(shared, |machine| machine.remove_group(&group)).await,
        ControllerCall::KeepGroup { group } => with_machine(shared, |machine| machine.keep_group(&group)).await,
        ControllerCall::Drain => with_machine(shared, crate::Controller::drain).await,
    }
}

fn pushed(shared: &Shared, push: PushConfig) -> ControllerReply {
    let mut pushes = lock(&shared.pushes);
    let before = pushes.latest().map(|latest| (latest.generation, latest.config.provider.clone(), latest.config.provider_config.clone()));
    match pushes.take(push) {
        Ok(pushed) => {
            let generation = pushed.generation;
            let now = (pushed.config.provider.clone(), pushed.config.provider_config.clone());
            let moved = before.as_ref().is_some_and(|(_, provider, config)| (provider, config) != (&now.0, &now.1));
            match &mut *shared.machine() {
                _ if moved => shared.again.store(true, Ordering::SeqCst),
                Some(machine) if before.is_none_or(|(known, ..)| known != generation) => machine.configure(pushed),
                _ => {}
            }
            // Whoever pushes wants the cluster: it goes on if it was about to go.
            match &mut *shared.machine() {
                Some(machine) => machine.stay(),
                None => shared.stay.store(true, Ordering::SeqCst),
            }
            ControllerReply::Pushed { generation }
        }
        Err(error) => {
            let (code, message) = push_refused(&error);
            ControllerReply::Refused { code, message }
        }
    }
}

/// Lets the machine do something, and answers once that is durable.
async fn with_machine(shared: &Shared, work: impl FnOnce(&mut crate::Controller)) -> ControllerReply {
    let not_running = || ControllerReply::Refused {
        code: "not-running".to_owned(),
        message: lock(&shared.problem).clone().unwrap_or_else(|| "the controller has no configuration yet".to_owned()),
    };
    let wanted = match &mut *shared.machine() {
        Some(machine) if !machine.is_finished() => {
            work(machine);
            machine.positions().0
        }
        _ => return not_running(),
    };
    for _ in 0..WRITTEN_LOOKS_MAX {
        let durable = shared.machine().as_ref().map(|machine| machine.positions().1);
        match durable {
            Some(durable) if durable >= wanted => return ControllerReply::Done,
            Some(_) => tokio::time::sleep(WRITTEN_INTERVAL).await,
            None => return not_running(),
        }
    }
    not_running()
}
