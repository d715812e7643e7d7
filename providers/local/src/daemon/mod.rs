//! The daemon: one per user and machine, the only writer of the inventory, gone when its last resource is gone.

pub(crate) mod addresses;
mod binaries;
pub(crate) mod check;
mod crash;
mod create;
mod forwards;
mod heads;
mod inventory;
mod links;
mod node;
mod privileges;
mod proxy;
mod record_log;
mod service;

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::unistd::geteuid;
use thiserror::Error;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::failure::{throttled, transient};
use crate::options::{LocalCloudOptions, ProxyVariables};
use crate::protocol::{
    Answer, CloudError, DIAL_WAIT_MILLISECONDS_MAX, DialRequest, FrameError, Hello, PROTOCOL_VERSION, Request, read_frame, write_frame,
};
use crate::{files, identity};
use forwards::Forwards;
use heads::Heads;
use inventory::{Inventory, InventoryError, complain};
use proxy::Proxies;
use service::Cloud;

pub(crate) use node::HOST_KEY_SECRET;

/// Most connections at once. A command has one per request under way and one per stream to a node: some hundreds with a large cluster.
const CLIENTS_MAX: usize = 2048;

/// How long a daemon that was just started waits for its first client.
const FIRST_CLIENT_WAIT: Duration = Duration::from_secs(10);

/// How long a client may take for its greeting. It sends it at once.
const HELLO_WAIT: Duration = Duration::from_secs(10);

/// Pause between two attempts to reach a node that does not listen yet.
const DIAL_PAUSE: Duration = Duration::from_millis(10);

/// Longest single attempt to reach a node; it is on this machine.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// Why the daemon ended with an error.
#[derive(Debug, Error)]
pub(crate) enum DaemonError {
    #[error("cannot {doing} {}", path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Inventory(#[from] InventoryError),
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
}

/// Runs the daemon to its end. Returns at once when another one has the state folder.
pub(crate) fn run(options: LocalCloudOptions) -> Result<(), DaemonError> {
    files::make_private_folder(&options.state_dir).map_err(file_error("make", &options.state_dir))?;
    let Some(lock) = take_lock(&options)? else { return Ok(()) };
    let inventory = Inventory::open(&options)?;
    let name = identity::name_or_make(&options).map_err(file_error("read or write", &options.name_path()))?;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(DaemonError::Runtime)?;
    let proxies = Proxies::new(runtime.handle().clone(), &ProxyVariables::from_environment());
    let cloud = Arc::new_cyclic(|cloud| {
        let handle = || runtime.handle().clone();
        Cloud::new(options, name, inventory, Forwards::new(handle()), Heads::new(handle(), cloud.clone()), proxies)
    });
    cloud.recover();
    let served = serve(&runtime, &cloud);
    // Connections and forwards end with the runtime; nodes are processes of their own.
    runtime.shutdown_timeout(Duration::from_secs(1));
    cloud.close();
    drop(lock);
    served
}

fn serve(runtime: &Runtime, cloud: &Arc<Cloud>) -> Result<(), DaemonError> {
    let socket = cloud.options.socket.clone();
    let folder = socket.parent().map(PathBuf::from).unwrap_or_default();
    files::make_private_folder(&folder).map_err(file_error("make", &folder))?;
    files::check_private_folder(&folder).map_err(file_error("use", &folder))?;
    // Nobody serves here while we hold the lock: a socket that is there is what a killed daemon left.
    match fs::remove_file(&socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file_error("replace", &socket)(error)),
        _ => {}
    }
    let listener = {
        let _entered = runtime.enter();
        UnixListener::bind(&socket).map_err(file_error("listen at", &socket))?
    };
    fs::set_permissions(&socket, Permissions::from_mode(0o600)).map_err(file_error("close to others", &socket))?;
    let endpoint = cloud.options.endpoint_path();
    files::write_durable(&endpoint, socket.as_os_str().as_bytes(), 0o600).map_err(file_error("write", &endpoint))?;
    let preparing = Arc::clone(cloud);
    runtime.spawn_blocking(move || preparing.prepare_binary());
    runtime.block_on(accept(listener, Arc::clone(cloud)));
    for path in [&endpoint, &socket] {
        fs::remove_file(path).map_err(file_error("remove", path))?;
    }
    // Others of this user may have something in it: then it stays.
    drop(fs::remove_dir(&folder));
    Ok(())
}

fn take_lock(options: &LocalCloudOptions) -> Result<Option<File>, DaemonError> {
    let path = options.lock_path();
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let lock = lock.map_err(file_error("open", &path))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(file_error("lock", &path)(error)),
    }
}

fn file_error(doing: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> DaemonError {
    let path = path.to_path_buf();
    move |source| DaemonError::File { doing, path, source }
}

/// Clients that are connected, and a word when one leaves.
#[derive(Debug, Default)]
struct Clients {
    count: AtomicUsize,
    left: Notify,
}

/// One connected client.
struct Presence(Arc<Clients>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::SeqCst);
        self.0.left.notify_one();
    }
}

/// Whom a connection speaks for.
#[derive(Clone, Debug)]
pub(crate) enum Who {
    /// The user whose cloud it is.
    Owner,
    /// The node with this id, through the socket in its folder.
    Head(Arc<str>),
}

/// Accepts clients until there is nothing to keep and nobody to serve.
async fn accept(listener: UnixListener, cloud: Arc<Cloud>) {
    let clients = Arc::new(Clients::default());
    let mut leave_at = Some(Instant::now() + FIRST_CLIENT_WAIT);
    loop {
        let deadline = leave_at.unwrap_or_else(|| Instant::now() + FIRST_CLIENT_WAIT);
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    leave_at = None;
                    let count = clients.count.fetch_add(1, Ordering::SeqCst).saturating_add(1);
                    let presence = Presence(Arc::clone(&clients));
                    tokio::spawn(serve_client(stream, Arc::clone(&cloud), presence, count > CLIENTS_MAX));
                }
                Err(error) => {
                    complain(&format!("a client could not be accepted: {error}"));
                    sleep(Duration::from_millis(100)).await;
                }
            },
            () = clients.left.notified() => leave_at = Some(Instant::now() + cloud.options.idle_grace),
            () = sleep_until(deadline), if leave_at.is_some() => {
                leave_at = None;
                let alone = clients.count.load(Ordering::SeqCst) == 0;
                let asked = Arc::clone(&cloud);
                let empty = tokio::task::spawn_blocking(move || asked.is_empty()).await.unwrap_or(false);
                if alone && empty {
                    return;
                }
            }
        }
    }
}

async fn serve_client(stream: UnixStream, cloud: Arc<Cloud>, presence: Presence, too_many: bool) {
    serve_connection(stream, &cloud, &Who::Owner, too_many).await;
    drop(presence);
}

/// Answers one connection to its end.
async fn serve_connection(mut stream: UnixStream, cloud: &Arc<Cloud>, who: &Who, too_many: bool) {
    match talk(&mut stream, cloud, who, too_many).await {
        Ok(()) | Err(FrameError::Closed) => {}
        // A client that was killed is no news for the daemon's log.
        Err(FrameError::Io(_)) => {}
        Err(error) => complain(&format!("a client was dropped: {error}")),
    }
}

async fn talk(stream: &mut UnixStream, cloud: &Arc<Cloud>, who: &Who, too_many: bool) -> Result<(), FrameError> {
    let peer = stream.peer_cred().map_err(FrameError::Io)?;
    if peer.uid() != geteuid().as_raw() {
        return Err(FrameError::Io(io::ErrorKind::PermissionDenied.into()));
    }
    let hello: Hello = timeout(HELLO_WAIT, read_frame(stream)).await.map_err(|_| FrameError::Closed)??;
    write_frame(stream, &Hello::current()).await?;
    if hello.protocol != PROTOCOL_VERSION {
        // The client sees the same from our greeting and says so to its user.
        return Ok(());
    }
    loop {
        let request: Request = match read_frame(stream).await {
            Err(FrameError::Json(error)) => {
                let error = crate::failure::permanent("bad_request", format!("the request is not what the protocol says: {error}"));
                write_frame(stream, &Answer::Error(error)).await?;
                continue;
            }
            other => other?,
        };
        if too_many {
            let error = throttled("too_many_clients", format!("more than {CLIENTS_MAX} clients at once"));
            write_frame(stream, &Answer::Error(error)).await?;
            continue;
        }
        if let Request::Dial(request) = request {
            match dial(cloud, who, request).await {
                Ok(mut node) => {
                    write_frame(stream, &Answer::Done).await?;
                    // Either side may break off; both ends are closed then.
                    drop(copy_bidirectional(stream, &mut node).await);
                    return Ok(());
                }
                Err(error) => write_frame(stream, &Answer::Error(error)).await?,
            }
            continue;
        }
        let who = who.clone();
        let answer = in_background(cloud, move |cloud| cloud.answer(&who, request)).await;
        write_frame(stream, &answer.unwrap_or_else(Answer::Error)).await?;
    }
}

/// Opens a stream to a node, waiting for its listener as long as was asked for and the node lives.
async fn dial(cloud: &Arc<Cloud>, who: &Who, request: DialRequest) -> Result<TcpStream, CloudError> {
    let until = Instant::now() + Duration::from_millis(request.wait_milliseconds.min(DIAL_WAIT_MILLISECONDS_MAX));
    let (id, port) = (request.instance.clone(), request.port);
    let asker = who.clone();
    let address = in_background(cloud, move |cloud| cloud.check_dial_of(&asker, &request)).await??;
    loop {
        let connected = timeout(CONNECT_WAIT, TcpStream::connect(SocketAddr::from((address, port)))).await;
        let problem = match connected {
            Ok(Ok(stream)) => {
                // Small frames of a terminal must not wait for each other.
                stream.set_nodelay(true).map_err(|error| transient("unreachable", error.to_string()))?;
                return Ok(stream);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        if Instant::now() >= until {
            return Err(transient("unreachable", format!("port {port} of {id} ({address}) cannot be reached: {problem}")));
        }
        let instance = id.clone();
        in_background(cloud, move |cloud| cloud.still_runs(&instance)).await??;
        sleep(DIAL_PAUSE).await;
    }
}

async fn in_background<T: Send + 'static>(cloud: &Arc<Cloud>, work: impl FnOnce(&Cloud) -> T + Send + 'static) -> Result<T, CloudError> {
    let cloud = Arc::clone(cloud);
    let done = Handle::current().spawn_blocking(move || work(&cloud)).await;
    done.map_err(|error| CloudError {
        class: crate::protocol::ErrorClass::Unknown,
        code: "internal".to_owned(),
        message: format!("the request ended in the middle: {error}"),
    })
}
