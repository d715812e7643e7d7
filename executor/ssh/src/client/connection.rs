//! One authenticated connection to a host whose key was pinned.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{self, AuthResult, DisconnectReason, Handle, Msg};
use russh::keys::{Algorithm, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{AlgorithmKind, Channel, ChannelOpenFailure, Disconnect, MethodKind, Preferred, SshId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::forward::FORWARDS_MAX;
use super::slots::Slots;
use crate::sever::{CutOnDrop, Sever};
use crate::{PrivateKey, PublicHostKey, SshError};

/// How long a host may take from the first byte to the end of the key exchange. A loaded small machine needs about two seconds.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a host may take to answer the login. Servers delay refusals by a second or two; directories behind a login may be slow.
pub const AUTH_TIMEOUT: Duration = Duration::from_secs(20);

/// A quiet connection is probed this often. With [`KEEPALIVES_UNANSWERED_MAX`] a dead host is noticed within a minute.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// So many probes in a row may stay without an answer.
pub const KEEPALIVES_UNANSWERED_MAX: usize = 3;

/// Commands at once on one connection. OpenSSH allows 10 (`MaxSessions`); two are left to whoever else uses the connection's slots late.
pub const SESSIONS_MAX: usize = 8;

/// A server that is out of channels is asked so many times. The pauses between double from [`REFUSAL_PAUSE`], so that is below two seconds in
/// all: a server frees a slot some milliseconds after it announced the end of the command.
const REFUSALS_MAX: u32 = 7;

/// The first pause after a refused channel.
const REFUSAL_PAUSE: Duration = Duration::from_millis(25);

/// How long a polite goodbye may take before the stream is cut.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// Messages of one channel that wait for their reader inside the library before the whole connection waits. Ours are read at once.
const CHANNEL_BUFFER_MESSAGES: usize = 64;

/// Which host keys are accepted. There is no other policy: a key that nobody named is never accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostKeyPolicy {
    /// Exactly these keys.
    Pinned(Vec<PublicHostKey>),
}

impl HostKeyPolicy {
    fn pinned(&self) -> &[PublicHostKey] {
        let Self::Pinned(keys) = self;
        keys
    }
}

/// How a connection is opened.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// Who logs in.
    pub user: String,
    /// The keys to log in with, tried in this order.
    pub keys: Vec<PrivateKey>,
    /// The host keys that are accepted.
    pub host_keys: HostKeyPolicy,
    /// See [`CONNECT_TIMEOUT`].
    pub connect_timeout: Duration,
    /// See [`AUTH_TIMEOUT`].
    pub auth_timeout: Duration,
    /// See [`KEEPALIVE_INTERVAL`].
    pub keepalive_interval: Duration,
    /// See [`KEEPALIVES_UNANSWERED_MAX`].
    pub keepalives_unanswered_max: usize,
    /// See [`SESSIONS_MAX`]. Never above it.
    pub sessions_max: usize,
}

impl ConnectOptions {
    /// The usual limits.
    #[must_use]
    pub fn new(user: impl Into<String>, keys: Vec<PrivateKey>, host_keys: HostKeyPolicy) -> Self {
        Self {
            user: user.into(),
            keys,
            host_keys,
            connect_timeout: CONNECT_TIMEOUT,
            auth_timeout: AUTH_TIMEOUT,
            keepalive_interval: KEEPALIVE_INTERVAL,
            keepalives_unanswered_max: KEEPALIVES_UNANSWERED_MAX,
            sessions_max: SESSIONS_MAX,
        }
    }

    /// Whether a connection opened with `self` may serve somebody who asks with `other`: the same user, the same keys, the same pins.
    pub(crate) fn same_identity(&self, other: &Self) -> bool {
        let fingerprints = |options: &Self| options.keys.iter().map(PrivateKey::fingerprint).collect::<Vec<_>>();
        self.user == other.user && self.host_keys == other.host_keys && fingerprints(self) == fingerprints(other)
    }

    fn library_config(&self) -> Result<client::Config, SshError> {
        let mut algorithms: Vec<Algorithm> = Vec::new();
        for key in self.host_keys.pinned() {
            let algorithm = key.algorithm()?;
            if !algorithms.contains(&algorithm) {
                algorithms.push(algorithm);
            }
        }
        Ok(client::Config {
            client_id: SshId::Standard(Cow::Borrowed(crate::server::IDENTIFICATION)),
            // A host that has several keys must show one that we know, so only those algorithms are offered.
            preferred: Preferred { key: Cow::Owned(algorithms), ..Preferred::DEFAULT },
            channel_buffer_size: CHANNEL_BUFFER_MESSAGES,
            keepalive_interval: Some(self.keepalive_interval),
            keepalive_max: self.keepalives_unanswered_max,
            nodelay: true,
            ..client::Config::default()
        })
    }
}

/// Opens a TCP stream without delayed sending, as the small messages of SSH want it.
pub async fn dial_tcp(address: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let stream = timeout(limit, TcpStream::connect(address))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, format!("no answer from {address} within {} s", limit.as_secs_f64())))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// An authenticated connection. Clones share it; it closes when the last of them, and of the streams on it, is gone.
///
/// All channels of a connection share one byte stream. A stream of this connection that is not read holds up all others once its buffer is full.
#[derive(Clone)]
pub struct Connection {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    handle: Handle<ClientHandler>,
    sever: Sever,
    options: ConnectOptions,
    host_key: PublicHostKey,
    pub(crate) sessions: Slots,
    pub(crate) forwards: Arc<Semaphore>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Nobody can use the connection any more, so nothing polite is lost, and no task of the library stays behind.
        self.sever.cut("nobody uses the connection any more");
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Connection")
            .field("user", &self.inner.options.user)
            .field("host_key", &self.inner.host_key)
            .field("alive", &self.is_alive())
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Opens a connection over a byte stream that already leads to the host.
    ///
    /// The host's key is compared before anything else is sent; a wrong one is [`SshError::HostKeyMismatch`], and no login is tried.
    pub async fn open<S>(stream: S, options: &ConnectOptions) -> Result<Self, SshError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if options.host_keys.pinned().is_empty() {
            return Err(SshError::NoPinnedHostKeys);
        }
        if options.keys.is_empty() {
            return Err(SshError::NoUserKeys);
        }
        let sever = Sever::new();
        // When this fails or is cancelled, the library's task may still be waiting for the host.
        let cut = CutOnDrop::new(&sever, "the connection was not established");
        let connection = Self::handshake(stream, options, &sever).await?;
        cut.disarm();
        Ok(connection)
    }

    async fn handshake<S>(stream: S, options: &ConnectOptions, sever: &Sever) -> Result<Self, SshError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let config = Arc::new(options.library_config()?);
        let seen = Arc::new(std::sync::OnceLock::new());
        let handler = ClientHandler { pinned: options.host_keys.pinned().to_vec(), seen: Arc::clone(&seen), sever: sever.clone() };
        let mut handle = timeout(options.connect_timeout, client::connect_stream(config, sever.wrap(stream), handler))
            .await
            .map_err(|_| SshError::ConnectTimeout { after: options.connect_timeout })?
            .map_err(|error| error.into_ssh_error(options))?;
        timeout(options.auth_timeout, authenticate(&mut handle, options, sever))
            .await
            .map_err(|_| SshError::AuthTimeout { after: options.auth_timeout })??;
        let host_key =
            seen.get().cloned().ok_or_else(|| SshError::Handshake { reason: "the handshake ended without a host key".to_owned() })?;
        let inner = Inner {
            handle,
            sever: sever.clone(),
            options: options.clone(),
            host_key,
            sessions: Slots::new(options.sessions_max.min(SESSIONS_MAX)),
            forwards: Arc::new(Semaphore::new(FORWARDS_MAX)),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether the connection can still be used, as far as it is known here.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.inner.is_alive()
    }

    /// The host key that was shown: one of the pinned ones.
    #[must_use]
    pub fn host_key(&self) -> &PublicHostKey {
        &self.inner.host_key
    }

    /// How many commands may run at once: [`SESSIONS_MAX`], or fewer once the host has shown that it allows fewer.
    #[must_use]
    pub fn sessions_limit(&self) -> usize {
        self.inner.sessions.limit()
    }

    /// Throws the connection away at once. Everything on it fails with [`SshError::Disconnected`] and this reason.
    pub fn discard(&self, reason: &str) {
        self.inner.sever.cut(reason);
    }

    /// Says goodbye and closes. Commands that still run on it fail.
    pub async fn close(self) {
        let goodbye = self.inner.handle.disconnect(Disconnect::ByApplication, "", "");
        // The host closes the stream when it has read this; if it does not, or the queue is stuck, the stream is cut.
        if let Ok(Ok(())) = timeout(CLOSE_GRACE, goodbye).await {
            let _ = timeout(CLOSE_GRACE, self.inner.sever.severed()).await;
        }
        self.inner.sever.cut("the connection was closed");
    }

    pub(crate) fn options(&self) -> &ConnectOptions {
        &self.inner.options
    }
}

impl Inner {
    pub(crate) fn is_alive(&self) -> bool {
        !self.handle.is_closed() && self.sever.reason().is_none()
    }

    pub(crate) fn sever(&self) -> &Sever {
        &self.sever
    }

    pub(crate) fn disconnected(&self, command_may_have_run: bool) -> SshError {
        disconnected(&self.sever, command_may_have_run)
    }

    /// Opens a channel for a command, waiting a moment when the host is out of them.
    ///
    /// Not to be dropped half way: a channel that opens when nobody waits for it any more keeps its slot on the host. `gone` ends when the caller
    /// does not want the channel any longer; it is looked at where nothing can leak.
    pub(crate) async fn open_session<G: Future<Output = ()>>(
        &self,
        mut permit: OwnedSemaphorePermit,
        gone: impl Fn() -> G,
    ) -> Result<(Channel<Msg>, OwnedSemaphorePermit), SshError> {
        let mut pause = REFUSAL_PAUSE;
        let mut refusals = 0;
        loop {
            let reason = match self.handle.channel_open_session().await {
                Ok(channel) => return Ok((channel, permit)),
                Err(russh::Error::ChannelOpenFailure(reason)) => reason,
                Err(_) => return Err(self.disconnected(false)),
            };
            refusals += 1;
            let out_of_channels =
                !matches!(reason, ChannelOpenFailure::AdministrativelyProhibited | ChannelOpenFailure::UnknownChannelType);
            if !out_of_channels || refusals >= REFUSALS_MAX {
                return Err(SshError::ChannelRefused { purpose: "a command".to_owned(), reason: reason.description().to_owned() });
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2);
            if refusals < 2 {
                continue;
            }
            // Twice in a row is no accident: the host allows fewer than we do. Give the slot up and queue for another one.
            permit = match self.sessions.shrink(permit) {
                Some(last) => last,
                None => {
                    (pause, refusals) = (REFUSAL_PAUSE, 0);
                    tokio::select! {
                        permit = self.acquire_session() => permit?,
                        () = gone() => return Err(self.disconnected(false)),
                    }
                }
            };
        }
    }

    /// Waits for a free slot for a command.
    pub(crate) async fn acquire_session(&self) -> Result<OwnedSemaphorePermit, SshError> {
        tokio::select! {
            permit = self.sessions.acquire() => permit.ok_or_else(|| self.disconnected(false)),
            () = self.sever.severed() => Err(self.disconnected(false)),
        }
    }

    pub(crate) async fn open_direct_tcpip(&self, host: &str, port: u16) -> Result<Channel<Msg>, SshError> {
        match self.handle.channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0).await {
            Ok(channel) => Ok(channel),
            Err(russh::Error::ChannelOpenFailure(reason)) => {
                Err(SshError::ChannelRefused { purpose: format!("{host}:{port}"), reason: reason.description().to_owned() })
            }
            Err(_) => Err(self.disconnected(false)),
        }
    }
}

fn disconnected(sever: &Sever, command_may_have_run: bool) -> SshError {
    let reason = sever.reason().map_or_else(|| "the host closed it".to_owned(), |reason| reason.to_string());
    SshError::Disconnected { reason, command_may_have_run }
}

async fn authenticate(handle: &mut Handle<ClientHandler>, options: &ConnectOptions, sever: &Sever) -> Result<(), SshError> {
    let mut tried = Vec::new();
    for key in &options.keys {
        tried.push(key.fingerprint());
        let answer = handle.authenticate_publickey(&options.user, PrivateKeyWithHashAlg::new(key.shared(), None)).await;
        match answer {
            Ok(AuthResult::Success) => return Ok(()),
            // The library reports a connection that broke off as a refusal without methods.
            Ok(AuthResult::Failure { .. }) if handle.is_closed() => return Err(disconnected(sever, false)),
            Ok(AuthResult::Failure { remaining_methods, .. }) if remaining_methods.contains(&MethodKind::PublicKey) => {}
            Ok(AuthResult::Failure { .. }) => break,
            Err(_) => return Err(disconnected(sever, false)),
        }
    }
    Err(SshError::AuthRefused { user: options.user.clone(), tried })
}

/// What the library asks us while a connection lives.
pub(crate) struct ClientHandler {
    pinned: Vec<PublicHostKey>,
    seen: Arc<std::sync::OnceLock<PublicHostKey>>,
    sever: Sever,
}

impl client::Handler for ClientHandler {
    type Error = HandlerError;

    async fn check_server_key(&mut self, offered: &PublicKeyOrCertificate) -> Result<bool, HandlerError> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = offered else {
            return Err(HandlerError::HostKey { offered: "a certificate, which nobody asked for".to_owned() });
        };
        let key = PublicHostKey::from_library(key).map_err(|error| HandlerError::HostKey { offered: error.to_string() })?;
        if !self.pinned.contains(&key) {
            return Err(HandlerError::HostKey { offered: key.fingerprint().to_owned() });
        }
        // Set once a connection: a later key exchange on it is protected by the first one.
        let _ = self.seen.set(key);
        Ok(true)
    }

    async fn disconnected(&mut self, reason: DisconnectReason<HandlerError>) -> Result<(), HandlerError> {
        self.sever.cut(&match reason {
            DisconnectReason::ReceivedDisconnect(said) if said.message.is_empty() => "the host closed it".to_owned(),
            DisconnectReason::ReceivedDisconnect(said) => format!("the host closed it, saying {:?}", said.message),
            DisconnectReason::Error(error) => error.plain(),
        });
        Ok(())
    }
}

/// An error inside the library's session.
#[derive(Debug)]
pub(crate) enum HandlerError {
    HostKey { offered: String },
    Library(russh::Error),
}

impl From<russh::Error> for HandlerError {
    fn from(error: russh::Error) -> Self {
        Self::Library(error)
    }
}

impl HandlerError {
    fn into_ssh_error(self, options: &ConnectOptions) -> SshError {
        let expected = || options.host_keys.pinned().iter().map(|key| key.fingerprint().to_owned()).collect();
        match self {
            Self::HostKey { offered } => SshError::HostKeyMismatch { expected: expected(), offered },
            Self::Library(russh::Error::NoCommonAlgo { kind: AlgorithmKind::Key, theirs, .. }) => {
                SshError::HostKeyMismatch { expected: expected(), offered: format!("only keys of the kinds {}", theirs.join(", ")) }
            }
            other => SshError::Handshake { reason: other.plain() },
        }
    }

    fn plain(&self) -> String {
        match self {
            Self::HostKey { offered } => format!("the host key was {offered}"),
            Self::Library(russh::Error::HUP | russh::Error::Disconnect) => "the host closed it".to_owned(),
            Self::Library(russh::Error::KeepaliveTimeout) => "the host stopped answering".to_owned(),
            Self::Library(russh::Error::IO(error)) if error.kind() == io::ErrorKind::UnexpectedEof => "the host closed it".to_owned(),
            Self::Library(error) => error.to_string(),
        }
    }
}
