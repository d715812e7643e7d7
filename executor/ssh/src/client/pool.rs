//! One connection a host, shared by everybody who has something to do there.
//!
//! The pool opens a connection when it is first needed and again when it is dead. Whoever comes while a handshake is under way waits for it and gets
//! what it gave, the error too. It retries nothing: that is the caller's decision.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{ConnectOptions, Connection};
use crate::SshError;

/// After so many commands a connection is replaced by a fresh one. The library keeps a few KiB for every channel that a connection ever had, so
/// connections that live for days must not live for ever.
pub const SESSIONS_PER_CONNECTION_MAX: usize = 1000;

/// Connections by host. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Pool {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    hosts: Mutex<BTreeMap<String, Arc<Host>>>,
    handshakes: AtomicU64,
}

#[derive(Debug, Default)]
struct Host {
    /// Held during a handshake, so that there is one at a time.
    slot: tokio::sync::Mutex<Slot>,
    /// How many handshakes have ended: who waited can tell whether the last answer is one to its own question.
    finished: AtomicU64,
}

#[derive(Debug, Default)]
struct Slot {
    connection: Option<Connection>,
    last_error: Option<(ConnectOptions, SshError)>,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The connection to the host that the caller calls `key` (an instance id), opened through `dial` when there is none.
    ///
    /// A living connection is used again only when it was opened for the same user, with the same keys and the same pins; otherwise it leaves the
    /// pool, and whoever still uses it may finish.
    pub async fn connection<S, F, D>(&self, key: &str, options: &ConnectOptions, dial: D) -> Result<Connection, SshError>
    where
        D: FnOnce() -> F,
        F: Future<Output = io::Result<S>>,
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let host = self.host(key);
        let finished_before = host.finished.load(Ordering::Acquire);
        let mut slot = host.slot.lock().await;
        if let Some(connection) = &slot.connection
            && connection.is_alive()
            && connection.inner.sessions.opened() < SESSIONS_PER_CONNECTION_MAX
            && connection.options().same_identity(options)
        {
            return Ok(connection.clone());
        }
        if host.finished.load(Ordering::Acquire) != finished_before
            && let Some((asked, error)) = &slot.last_error
            && asked.same_identity(options)
        {
            return Err(error.clone());
        }
        slot.connection = None;
        self.inner.handshakes.fetch_add(1, Ordering::Relaxed);
        let opened = match dial().await {
            Ok(stream) => Connection::open(stream, options).await,
            Err(source) => Err(SshError::Dial { host: key.to_owned(), source: Arc::new(source) }),
        };
        host.finished.fetch_add(1, Ordering::Release);
        match &opened {
            Ok(connection) => *slot = Slot { connection: Some(connection.clone()), last_error: None },
            Err(error) => slot.last_error = Some((options.clone(), error.clone())),
        }
        opened
    }

    /// Forgets the connection to a host: the next user gets a new one. Whoever uses the old one may finish.
    pub async fn forget(&self, key: &str) {
        let host = self.hosts().remove(key);
        if let Some(host) = host {
            host.slot.lock().await.connection = None;
        }
    }

    /// Closes all connections. Commands that still run on them fail.
    pub async fn close(&self) {
        let hosts = std::mem::take(&mut *self.hosts());
        for host in hosts.into_values() {
            let connection = host.slot.lock().await.connection.take();
            if let Some(connection) = connection {
                connection.close().await;
            }
        }
    }

    /// How many times a connection was tried to be opened.
    #[must_use]
    pub fn handshakes(&self) -> u64 {
        self.inner.handshakes.load(Ordering::Relaxed)
    }

    fn host(&self, key: &str) -> Arc<Host> {
        Arc::clone(self.hosts().entry(key.to_owned()).or_default())
    }

    /// The map is consistent after every single statement on it, so a panic elsewhere has not broken it.
    fn hosts(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Host>>> {
        self.inner.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
