//! The client: starts the daemon when there is none, and asks it.
//!
//! A client keeps one connection open for as long as it lives, so that the daemon stays while a command works; each request has a connection
//! of its own, so that any number of them run at once.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use thiserror::Error;
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::files;
use crate::options::{LocalCloudOptions, OptionsError, SOCKET_PATH_BYTES_MAX};
use crate::process;
use crate::protocol::{
    Answer, AuditEntry, CloudError, CreateRequest, DeleteRequest, DialRequest, ErrorClass, Facts, FrameError, Hello, Kind, MetadataRequest,
    Object, PROTOCOL_VERSION, ProcessIdentity, Request, TagQuery, UpdateRequest, read_frame, write_frame,
};

/// A byte stream to a port of a node. It is one connection; dropping it closes both ends.
pub type DialedStream = UnixStream;

/// How long a daemon may take to start. It opens its inventory and removes what was half removed, which may end slow processes.
const START_WAIT: Duration = Duration::from_secs(60);

/// Inherited descriptors are looked for below this number: what shells and test runners leave open is among the first dozen.
const INHERITED_DESCRIPTORS_MAX: libc::c_int = 1024;

/// Pause between two attempts to connect to a daemon that is starting.
const START_PAUSE: Duration = Duration::from_millis(5);

/// How long a daemon that has nothing to keep may take to end, beyond its grace. It closes its files and is done.
const END_WAIT: Duration = Duration::from_secs(5);

/// The daemon's log is begun anew above this size.
const LOG_BYTES_MAX: u64 = 1024 * 1024;

/// How much of the end of the daemon's log is read for the reason of its end.
const LOG_TAIL_BYTES: u64 = 4096;

/// Why a request has no good answer.
#[derive(Debug, Error)]
pub enum LocalError {
    /// The local cloud refused it, or it failed there.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// The options cannot be used.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// A folder or file of the local cloud cannot be used.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The daemon cannot be started.
    #[error("the local cloud cannot be started: {reason}")]
    Start {
        /// Its last words.
        reason: String,
    },
    /// A head's socket has nobody behind it: the local cloud was killed, and starts again with the next command of whoever it belongs to.
    #[error("the local cloud does not answer at {}; it starts again with the next command on the machine", socket.display())]
    NoCloud {
        /// The socket.
        socket: PathBuf,
    },
    /// The daemon is of another version.
    #[error(
        "the local cloud that runs was started by cloudtik {theirs} (protocol {protocol}) and this is another version; \
         run the command with that version, or destroy what runs with it first"
    )]
    Version {
        /// Its version.
        theirs: String,
        /// Its protocol.
        protocol: u32,
    },
    /// The connection broke after the request was sent: it may have had an effect.
    #[error("the connection to the local cloud broke while a request was under way")]
    Broken(#[source] FrameError),
    /// The answer is of another kind than the request.
    #[error("the local cloud gave an answer of another kind than was asked for")]
    Answer,
}

impl LocalError {
    /// What it means for a repeat of a request that changes something.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Cloud(error) => error.class,
            Self::NoCloud { .. } => ErrorClass::Transient,
            Self::Broken(_) | Self::Answer => ErrorClass::Unknown,
            Self::Options(_) | Self::File { .. } | Self::Start { .. } | Self::Version { .. } => ErrorClass::Permanent,
        }
    }
}

/// A client of the local cloud. Cheap to clone; clones share what keeps the daemon alive.
#[derive(Clone, Debug)]
pub struct Client {
    options: Arc<LocalCloudOptions>,
    lease: Arc<Mutex<Option<UnixStream>>>,
}

impl Client {
    /// A client. Nothing is started before the first request.
    #[must_use]
    pub fn new(options: LocalCloudOptions) -> Self {
        Self { options: Arc::new(options), lease: Arc::new(Mutex::new(None)) }
    }

    /// The options that it was made with.
    #[must_use]
    pub fn options(&self) -> &LocalCloudOptions {
        &self.options
    }

    /// Makes an object, or returns the one that the same token made.
    ///
    /// # Errors
    /// [`LocalError`]; with the class Unknown it may have had an effect.
    pub async fn create(&self, request: CreateRequest) -> Result<Object, LocalError> {
        self.object(Request::Create(Box::new(request))).await
    }

    /// Reads an object.
    ///
    /// # Errors
    /// [`LocalError`]; of the class Gone when there is none.
    pub async fn read(&self, id: &str) -> Result<Object, LocalError> {
        self.object(Request::Read { id: id.to_owned() }).await
    }

    /// Changes an object in place.
    ///
    /// # Errors
    /// [`LocalError`]; `immutable` names what cannot change.
    pub async fn update(&self, request: UpdateRequest) -> Result<Object, LocalError> {
        self.object(Request::Update(Box::new(request))).await
    }

    /// Removes an object. Returns when nothing of it is left.
    ///
    /// # Errors
    /// [`LocalError`]; of the class Gone when there is none.
    pub async fn delete(&self, id: &str, op_id: &str) -> Result<(), LocalError> {
        self.done(Request::Delete(DeleteRequest { id: id.to_owned(), op_id: op_id.to_owned() })).await
    }

    /// Every object that the query fits.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn find_by_tag(&self, query: TagQuery) -> Result<Vec<Object>, LocalError> {
        self.objects(Request::FindByTag(query)).await
    }

    /// Every object, or every one of a kind.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn list(&self, kind: Option<Kind>) -> Result<Vec<Object>, LocalError> {
        self.objects(Request::List { kind }).await
    }

    /// Opens a byte stream to a port of a node, waiting up to `wait` for a listener.
    ///
    /// # Errors
    /// [`LocalError`]; `unreachable` (transient) when nobody listens, `stopped` when the node ended.
    pub async fn dial(&self, instance: &str, port: u16, wait: Duration) -> Result<DialedStream, LocalError> {
        let wait_milliseconds = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let mut stream = self.connect().await?;
        let request = Request::Dial(DialRequest { instance: instance.to_owned(), port, wait_milliseconds });
        match exchange(&mut stream, &request).await? {
            Answer::Done => Ok(stream),
            Answer::Error(error) => Err(error.into()),
            _ => Err(LocalError::Answer),
        }
    }

    /// From now on refuses creates in a cluster with an older epoch.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn fence(&self, cluster: &str, epoch: u64) -> Result<(), LocalError> {
        self.done(Request::Fence { cluster: cluster.to_owned(), epoch }).await
    }

    /// Sets status values of an instance (`None` removes one) and returns all.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn set_metadata(&self, id: &str, values: BTreeMap<String, Option<String>>) -> Result<BTreeMap<String, String>, LocalError> {
        self.values(Request::SetMetadata(MetadataRequest { id: id.to_owned(), values })).await
    }

    /// The status values of an instance.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn metadata(&self, id: &str) -> Result<BTreeMap<String, String>, LocalError> {
        self.values(Request::Metadata { id: id.to_owned() }).await
    }

    /// Entries of the audit log after a sequence.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn audit(&self, after: u64, limit: usize) -> Result<Vec<AuditEntry>, LocalError> {
        match self.ask(Request::Audit { after, limit }).await? {
            Answer::Audit(entries) => Ok(entries),
            _ => Err(LocalError::Answer),
        }
    }

    /// What this machine can do.
    ///
    /// # Errors
    /// [`LocalError`].
    pub async fn facts(&self) -> Result<Facts, LocalError> {
        match self.ask(Request::Facts).await? {
            Answer::Facts(facts) => Ok(*facts),
            _ => Err(LocalError::Answer),
        }
    }

    /// Removes the named objects, or all, and returns what was removed.
    ///
    /// # Errors
    /// [`LocalError`]; what was removed before it is gone.
    pub async fn purge(&self, ids: Vec<String>) -> Result<Vec<Object>, LocalError> {
        self.objects(Request::Purge { ids }).await
    }

    /// Whether an inventory with something in it may exist: false means that there is nothing to ask for, and starting the daemon to hear it
    /// is not needed.
    #[must_use]
    pub fn has_inventory(&self) -> bool {
        self.is_head() || self.options.inventory_path().exists()
    }

    /// Whether this is a head's client: it sees its own cluster only, and starts nothing.
    #[must_use]
    pub fn is_head(&self) -> bool {
        self.options.head_socket.is_some()
    }

    /// Lets the daemon go, and waits until it did when it has nothing to keep. For the end of a command that removed things.
    ///
    /// # Errors
    /// [`LocalError`] when the inventory cannot be asked.
    pub async fn finish(self) -> Result<(), LocalError> {
        let Some(lease) = self.lease.lock().await.take() else { return Ok(()) };
        if self.is_head() {
            // The head itself is something to keep.
            return Ok(());
        }
        let leased = daemon_of(&lease);
        drop(lease);
        let Some(mut stream) = self.connect_to_running().await? else { return wait_for_end(leased, END_WAIT).await };
        let daemon = daemon_of(&stream);
        match exchange(&mut stream, &Request::List { kind: None }).await {
            Ok(Answer::Objects(objects)) if objects.is_empty() => {}
            // It has something to keep.
            Ok(_) => return Ok(()),
            Err(LocalError::Broken(_)) => {}
            Err(error) => return Err(error),
        }
        drop(stream);
        wait_for_end(daemon, self.options.idle_grace.saturating_add(END_WAIT)).await
    }

    async fn object(&self, request: Request) -> Result<Object, LocalError> {
        match self.ask(request).await? {
            Answer::Object(object) => Ok(*object),
            _ => Err(LocalError::Answer),
        }
    }

    async fn objects(&self, request: Request) -> Result<Vec<Object>, LocalError> {
        match self.ask(request).await? {
            Answer::Objects(objects) => Ok(objects),
            _ => Err(LocalError::Answer),
        }
    }

    async fn values(&self, request: Request) -> Result<BTreeMap<String, String>, LocalError> {
        match self.ask(request).await? {
            Answer::Metadata(values) => Ok(values),
            _ => Err(LocalError::Answer),
        }
    }

    async fn done(&self, request: Request) -> Result<(), LocalError> {
        match self.ask(request).await? {
            Answer::Done => Ok(()),
            _ => Err(LocalError::Answer),
        }
    }

    async fn ask(&self, request: Request) -> Result<Answer, LocalError> {
        let mut stream = self.connect().await?;
        match exchange(&mut stream, &request).await? {
            Answer::Error(error) => Err(error.into()),
            answer => Ok(answer),
        }
    }

    /// A connection that was greeted, to a daemon that will stay.
    async fn connect(&self) -> Result<UnixStream, LocalError> {
        self.keep_alive().await?;
        match self.connect_to_running().await? {
            Some(stream) => Ok(stream),
            // It was killed between the two: nothing was asked yet, so starting it again is all there is to do.
            None => self.start().await,
        }
    }

    async fn keep_alive(&self) -> Result<(), LocalError> {
        let mut lease = self.lease.lock().await;
        if lease.as_ref().is_some_and(is_open) {
            return Ok(());
        }
        *lease = None;
        let stream = match self.connect_to_running().await? {
            Some(stream) => stream,
            None => self.start().await?,
        };
        *lease = Some(stream);
        Ok(())
    }

    /// Starts the daemon and connects. Another client may do the same at this moment: one daemon gets the lock and serves both.
    async fn start(&self) -> Result<UnixStream, LocalError> {
        if let Some(socket) = &self.options.head_socket {
            return Err(LocalError::NoCloud { socket: socket.clone() });
        }
        self.options.check()?;
        let state_dir = &self.options.state_dir;
        files::make_private_folder(state_dir).map_err(|source| LocalError::File { doing: "make", path: state_dir.clone(), source })?;
        let started = Instant::now();
        let mut daemon: Option<Child> = None;
        while started.elapsed() < START_WAIT {
            if let Some(stream) = self.connect_to_running().await? {
                reap_later(daemon);
                return Ok(stream);
            }
            let ended = match daemon.as_mut().map(Child::try_wait) {
                None => true,
                Some(Ok(None)) => false,
                Some(Ok(Some(status))) if status.success() => true,
                Some(_) => return Err(LocalError::Start { reason: last_words(&self.options.log_path()) }),
            };
            if ended {
                daemon = Some(self.spawn()?);
            }
            sleep(START_PAUSE).await;
        }
        reap_later(daemon);
        Err(LocalError::Start { reason: format!("it does not answer within {} seconds", START_WAIT.as_secs()) })
    }

    fn spawn(&self) -> Result<Child, LocalError> {
        let path = self.options.log_path();
        let too_long = fs::metadata(&path).is_ok_and(|metadata| metadata.len() > LOG_BYTES_MAX);
        let mut opening = OpenOptions::new();
        opening.create(true).mode(0o600);
        let log = if too_long { opening.write(true).truncate(true).open(&path) } else { opening.append(true).open(&path) };
        let log = log.map_err(|source| LocalError::File { doing: "open", path, source })?;
        let command = &self.options.command;
        let mut starting = Command::new(&command.program);
        starting.args(&command.arguments).args(self.options.to_arguments());
        starting.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        #[expect(unsafe_code, reason = "only code between fork and exec can start a session and keep inherited files from the daemon")]
        // SAFETY: the closure makes system calls only and allocates nothing.
        unsafe {
            starting.pre_exec(detach);
        }
        starting.spawn().map_err(|source| LocalError::File { doing: "start", path: command.program.clone(), source })
    }

    /// Where a daemon may listen.
    fn sockets(&self) -> Vec<PathBuf> {
        if let Some(socket) = &self.options.head_socket {
            return vec![socket.clone()];
        }
        // The daemon may have been started by a session with another runtime folder.
        let recorded = fs::read(self.options.endpoint_path()).ok().map(|bytes| PathBuf::from(std::ffi::OsString::from_vec(bytes)));
        recorded.into_iter().chain([self.options.socket.clone()]).collect()
    }

    /// A greeted connection, or `None` when no daemon listens.
    async fn connect_to_running(&self) -> Result<Option<UnixStream>, LocalError> {
        for socket in self.sockets() {
            match connect_at(&socket).await {
                Ok(stream) => {
                    if let Some(stream) = greet(stream).await? {
                        return Ok(Some(stream));
                    }
                }
                Err(error) if is_absent(&error) => {}
                Err(source) => return Err(LocalError::File { doing: "connect to", path: socket, source }),
            }
        }
        Ok(None)
    }
}

/// A path that is too long for a socket is named through an open folder.
async fn connect_at(socket: &Path) -> io::Result<UnixStream> {
    let (Some(folder), Some(name)) = (socket.parent(), socket.file_name()) else { return UnixStream::connect(socket).await };
    if socket.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        return UnixStream::connect(socket).await;
    }
    let folder = OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(folder)?;
    UnixStream::connect(Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name)).await
}

/// Waits until a daemon is no process any more. One that another client keeps busy is left to that client.
async fn wait_for_end(daemon: Option<ProcessIdentity>, limit: Duration) -> Result<(), LocalError> {
    let Some(daemon) = daemon else { return Ok(()) };
    let failed = |source| LocalError::File { doing: "read", path: PathBuf::from(format!("/proc/{}", daemon.pid)), source };
    let started = Instant::now();
    // Also a zombie is something that is left, until its parent looks at it.
    while process::identify(daemon.pid).map_err(failed)?.as_ref() == Some(&daemon) && started.elapsed() < limit {
        sleep(START_PAUSE).await;
    }
    Ok(())
}

/// `None` when the daemon ended in the middle of it: it was about to leave, and nothing was asked yet.
async fn greet(mut stream: UnixStream) -> Result<Option<UnixStream>, LocalError> {
    if write_frame(&mut stream, &Hello::current()).await.is_err() {
        return Ok(None);
    }
    let hello: Hello = match read_frame(&mut stream).await {
        Ok(hello) => hello,
        Err(FrameError::Closed | FrameError::Io(_)) => return Ok(None),
        Err(error) => return Err(LocalError::Broken(error)),
    };
    if hello.protocol != PROTOCOL_VERSION {
        return Err(LocalError::Version { theirs: hello.software, protocol: hello.protocol });
    }
    Ok(Some(stream))
}

async fn exchange(stream: &mut UnixStream, request: &Request) -> Result<Answer, LocalError> {
    write_frame(stream, request).await.map_err(|error| match error {
        FrameError::TooLong { .. } | FrameError::Json(_) => {
            LocalError::Cloud(CloudError { class: ErrorClass::Permanent, code: "bad_request".to_owned(), message: error.to_string() })
        }
        FrameError::Closed | FrameError::Io(_) => LocalError::Broken(error),
    })?;
    read_frame(stream).await.map_err(LocalError::Broken)
}

/// Own session, so that no Ctrl-C or closed terminal reaches the daemon; and none of the files that this process happened to inherit, which
/// somebody may be waiting for the end of.
fn detach() -> io::Result<()> {
    nix::unistd::setsid()?;
    for descriptor in 3..INHERITED_DESCRIPTORS_MAX {
        #[expect(unsafe_code, reason = "a descriptor that may or may not be open has no safe type")]
        // SAFETY: it only marks descriptors; those that the standard library needs for its report of a failed exec are marked already.
        // One that is not open is an error without effect.
        let _ = unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

/// A daemon that ends while this process lives must not stay as a zombie.
fn reap_later(daemon: Option<Child>) {
    if let Some(mut daemon) = daemon {
        std::thread::spawn(move || drop(daemon.wait()));
    }
}

/// Whether the other side still has this connection open. Asks the kernel: the runtime would know a moment later.
fn is_open(stream: &UnixStream) -> bool {
    let looked = recv(stream.as_raw_fd(), &mut [0], MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT);
    looked == Err(Errno::EAGAIN)
}

/// The daemon behind a connection.
fn daemon_of(stream: &UnixStream) -> Option<ProcessIdentity> {
    process::identify(stream.peer_cred().ok()?.pid()?).ok()?
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}

fn last_words(log: &Path) -> String {
    let tail = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    match tail() {
        Ok(text) => text.lines().rev().find(|line| !line.trim().is_empty()).map_or("it ended without a word".to_owned(), str::to_owned),
        Err(error) => format!("it ended, and its log {} cannot be read: {error}", log.display()),
    }
}
