//! The small SSH server that nodes of the local cloud run.
//!
//! It does what a node needs and no more: login by public key, commands in a process group of their own, streams to addresses that the embedding
//! program allows, and host keys that are changed while it runs. There is no terminal, no shell without a command, no password, no agent and no
//! forwarding of ports back. Keys are kept by whoever embeds it.
//!
//! It may hold several host keys, one of an algorithm; the client's offer picks one. That is how a host key is changed without a moment in which a
//! client that was cut off knows none of them: the new one is shown beside the old one, and the old one goes when a [login](ServerConfig::on_login)
//! proves that the new one is known.

mod command;
mod handler;
mod inbound;
mod shown;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::server::Config;
use russh::{MethodKind, MethodSet, SshId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{sleep, sleep_until};

use crate::sever::{CutOnDrop, Sever};
use crate::{PrivateKey, PublicHostKey, PublicUserKey, SshError};
pub use command::{CommandHandler, CommandStreams, Intercept};
use handler::ConnectionHandler;
use shown::{Candidate, Shown};

/// How we name ourselves in the first line of the protocol, on both sides.
pub(crate) const IDENTIFICATION: &str = "SSH-2.0-cloudtik";

/// Connections at once. A node is used by the command line and by its head; the rest is room for forgotten ones.
pub const CONNECTIONS_MAX: usize = 128;

/// Connections at once that have not logged in. Strangers can fill only this.
pub const UNAUTHENTICATED_CONNECTIONS_MAX: usize = 16;

/// How long a connection may take to log in.
pub const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Commands at once on one connection: the number of OpenSSH, so that clients behave the same with both.
pub const SESSIONS_PER_CONNECTION_MAX: usize = 10;

/// Forwarded streams at once on one connection.
pub const FORWARDS_PER_CONNECTION_MAX: usize = 64;

/// Refused keys on one connection before it is closed, as OpenSSH has it.
const REFUSED_LOGINS_MAX: usize = 6;

/// A refusal takes at least this long, so that its time says nothing.
const REFUSAL_TIME: Duration = Duration::from_millis(200);

/// A quiet connection is probed this often and dropped after [`KEEPALIVES_UNANSWERED_MAX`] probes without an answer, so that the commands of a vanished
/// client end within a minute.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVES_UNANSWERED_MAX: usize = 3;

/// When no connection can be accepted (no file handles), so long until the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Decides where a client may open streams to: host and port as the client wrote them.
pub type ForwardPolicy = dyn Fn(&str, u16) -> bool + Send + Sync;

/// Is told of every login, with the host key that the connection was shown, before the client is. It is waited for, so it may write a small file and
/// not more.
pub type LoginHook = dyn Fn(&Server, &PublicHostKey) + Send + Sync;

/// What a server is made of.
pub struct ServerConfig {
    /// The host keys it starts with: one or more, each of an algorithm of its own.
    pub host_keys: Vec<PrivateKey>,
    /// Who is let in at first.
    pub authorized_keys: Vec<PublicUserKey>,
    /// The one user name that is let in; any when there is none. All commands run as the user of this process.
    pub user: Option<String>,
    /// The whole environment of commands: they inherit nothing else.
    pub environment: BTreeMap<String, String>,
    /// The folder in which commands start.
    pub directory: PathBuf,
    /// Where streams may be opened to.
    pub forward: Box<ForwardPolicy>,
    /// Commands that are handled in this process.
    pub intercept: Option<Box<dyn Intercept>>,
    /// Told of every login.
    pub on_login: Option<Box<LoginHook>>,
}

impl ServerConfig {
    /// A server that lets any user name in, gives commands an empty environment, forwards nothing and runs every command by the shell.
    #[must_use]
    pub fn new(host_keys: Vec<PrivateKey>, authorized_keys: Vec<PublicUserKey>, directory: PathBuf) -> Self {
        Self {
            host_keys,
            authorized_keys,
            user: None,
            environment: BTreeMap::new(),
            directory,
            forward: Box::new(|_, _| false),
            intercept: None,
            on_login: None,
        }
    }
}

/// What a server has counted since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServerCounts {
    /// Byte streams that were taken.
    pub connections: u64,
    /// Keys that clients offered to log in with.
    pub keys_offered: u64,
    /// Logins.
    pub logins: u64,
    /// Commands that were asked for.
    pub commands: u64,
}

/// A running server. Clones share it.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) user: Option<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) directory: PathBuf,
    pub(crate) forward: Box<ForwardPolicy>,
    pub(crate) intercept: Option<Box<dyn Intercept>>,
    pub(crate) on_login: Option<Box<LoginHook>>,
    host_keys: Mutex<HostKeys>,
    authorized: Mutex<Arc<BTreeSet<PublicUserKey>>>,
    connections: Arc<Semaphore>,
    unauthenticated: Arc<Semaphore>,
    stopping: Sever,
    pub(crate) counters: Counters,
}

/// What a new connection is served with.
#[derive(Clone)]
struct HostKeys {
    candidates: Arc<[Candidate]>,
    config: Arc<Config>,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) connections: AtomicU64,
    pub(crate) keys_offered: AtomicU64,
    pub(crate) logins: AtomicU64,
    pub(crate) commands: AtomicU64,
}

impl Shared {
    pub(crate) fn is_authorized(&self, user: &str, key: &PublicUserKey) -> bool {
        let right_user = self.user.as_deref().is_none_or(|expected| expected == user);
        right_user && self.authorized.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Server").field("host_keys", &self.host_keys()).field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Server {
    /// Makes a server. It does nothing until it is given a listener or a stream.
    pub fn new(config: ServerConfig) -> Result<Self, SshError> {
        let shared = Shared {
            host_keys: Mutex::new(HostKeys::new(&config.host_keys)?),
            user: config.user,
            environment: config.environment,
            directory: config.directory,
            forward: config.forward,
            intercept: config.intercept,
            on_login: config.on_login,
            authorized: Mutex::new(Arc::new(config.authorized_keys.into_iter().collect())),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            unauthenticated: Arc::new(Semaphore::new(UNAUTHENTICATED_CONNECTIONS_MAX)),
            stopping: Sever::new(),
            counters: Counters::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Serves a listener until [`stop`](Self::stop). Failing to accept one connection never ends it. Connections run in tasks of their own: dropping
    /// this future closes the listener only.
    pub async fn serve(&self, listener: TcpListener) {
        let stopped = self.shared.stopping.severed();
        tokio::pin!(stopped);
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        // Without it only small messages are slower.
                        let _ = stream.set_nodelay(true);
                        let server = self.clone();
                        tokio::spawn(async move { server.serve_stream(stream).await });
                    }
                    Err(_) => sleep(ACCEPT_PAUSE).await,
                },
                () = &mut stopped => return,
            }
        }
    }

    /// Serves one byte stream until it ends. Above the limits it is closed at once.
    pub async fn serve_stream<S>(&self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.shared.counters.connections.fetch_add(1, Ordering::Relaxed);
        let places =
            (Arc::clone(&self.shared.connections).try_acquire_owned(), Arc::clone(&self.shared.unauthenticated).try_acquire_owned());
        if let (Ok(place), Ok(stranger)) = places {
            self.serve_admitted(stream, stranger).await;
            drop(place);
        }
    }

    async fn serve_admitted<S>(&self, stream: S, stranger: OwnedSemaphorePermit)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let HostKeys { candidates, config } = self.host_keys_guard().clone();
        let sever = Sever::new();
        // However this future ends, the library's task ends too, and with it all commands of the connection.
        let _cut = CutOnDrop::new(&sever, "the connection has ended");
        let (logged_in, login) = oneshot::channel();
        let shown = Shown::default();
        let handler = ConnectionHandler::new(Arc::clone(&self.shared), sever.clone(), stranger, logged_in, shown.clone());
        let stream = sever.wrap(shown.watch(stream, candidates));
        let stopped = self.shared.stopping.severed();
        let deadline = tokio::time::Instant::now() + LOGIN_TIMEOUT;
        tokio::pin!(stopped);
        let session = tokio::select! {
            session = russh::server::run_stream(config, stream, handler) => match session {
                Ok(session) => session,
                Err(_) => return,
            },
            () = sleep_until(deadline) => return,
            () = &mut stopped => return,
        };
        tokio::pin!(session);
        tokio::select! {
            // What went wrong on one client's connection is the client's to report.
            _ = &mut session => return,
            // When the handler is gone without a login the session is ending, which the next wait sees.
            _ = login => {},
            () = sleep_until(deadline) => return,
            () = &mut stopped => return,
        }
        tokio::select! {
            _ = &mut session => {},
            () = &mut stopped => {},
        }
    }

    /// Replaces the host keys for connections from now on; those that exist go on. There must be at least one, and each of an algorithm of its own.
    pub fn set_host_keys(&self, keys: &[PrivateKey]) -> Result<(), SshError> {
        let host_keys = HostKeys::new(keys)?;
        *self.host_keys_guard() = host_keys;
        Ok(())
    }

    /// The host keys that new connections may see.
    #[must_use]
    pub fn host_keys(&self) -> Vec<PublicHostKey> {
        self.host_keys_guard().candidates.iter().map(|candidate| candidate.key.clone()).collect()
    }

    /// Replaces the keys that are let in. Connections that exist go on.
    pub fn set_authorized_keys(&self, keys: Vec<PublicUserKey>) {
        *self.shared.authorized.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys.into_iter().collect());
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> ServerCounts {
        let counters = &self.shared.counters;
        ServerCounts {
            connections: counters.connections.load(Ordering::Relaxed),
            keys_offered: counters.keys_offered.load(Ordering::Relaxed),
            logins: counters.logins.load(Ordering::Relaxed),
            commands: counters.commands.load(Ordering::Relaxed),
        }
    }

    /// Ends the server: listeners are closed, connections cut, commands killed.
    pub fn stop(&self) {
        self.shared.stopping.cut("the server stops");
    }

    /// Every change under this lock is one assignment, so a panic elsewhere has not broken what it guards.
    fn host_keys_guard(&self) -> std::sync::MutexGuard<'_, HostKeys> {
        self.shared.host_keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HostKeys {
    fn new(keys: &[PrivateKey]) -> Result<Self, SshError> {
        let candidates = keys.iter().map(Candidate::of).collect::<Result<Arc<[_]>, _>>()?;
        if candidates.is_empty() {
            return Err(SshError::NoHostKeys);
        }
        let mut algorithms = BTreeSet::new();
        if let Some(second) = candidates.iter().find(|candidate| !algorithms.insert(candidate.key.algorithm_name())) {
            return Err(SshError::HostKeysAlike { algorithm: second.key.algorithm_name().to_owned() });
        }
        let config = Config {
            server_id: SshId::Standard(Cow::Borrowed(IDENTIFICATION)),
            methods: MethodSet::from(&[MethodKind::PublicKey][..]),
            auth_rejection_time: REFUSAL_TIME,
            // The first question of OpenSSH's client is which methods there are; that is no refusal to be hidden.
            auth_rejection_time_initial: Some(Duration::ZERO),
            max_auth_attempts: REFUSED_LOGINS_MAX,
            keys: keys.iter().map(|key| (*key.shared()).clone()).collect(),
            window_size: inbound::WINDOW_BYTES,
            inactivity_timeout: None,
            keepalive_interval: Some(KEEPALIVE_INTERVAL),
            keepalive_max: KEEPALIVES_UNANSWERED_MAX,
            nodelay: true,
            ..Config::default()
        };
        Ok(Self { candidates, config: Arc::new(config) })
    }
}
