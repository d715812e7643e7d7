//! What both suites share: a server in this process, and byte streams that count or break.
#![allow(dead_code, reason = "each suite uses its own half")]

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use cloudtik_ssh::{
    ConnectOptions, Connection, ExecOptions, HostKeyPolicy, PrivateKey, PublicHostKey, Server, ServerConfig, SshError, Stdin, dial_tcp,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// A server in this process, stopped when dropped.
pub(crate) struct Fixture {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
    pub(crate) user_key: PrivateKey,
    pub(crate) directory: tempfile::TempDir,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.server.stop();
    }
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let user_key = PrivateKey::generate().unwrap();
        let authorized = vec![user_key.public_user_key().unwrap()];
        let mut config = ServerConfig::new(vec![PrivateKey::generate().unwrap()], authorized, directory.path().to_owned());
        config.environment.insert("PATH".to_owned(), std::env::var("PATH").unwrap());
        change(&mut config);
        let server = Server::new(config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = server.clone();
        tokio::spawn(async move { serving.serve(listener).await });
        Self { server, address, user_key, directory }
    }

    pub(crate) fn options(&self) -> ConnectOptions {
        options(&self.user_key, self.host_key())
    }

    /// The only host key.
    pub(crate) fn host_key(&self) -> PublicHostKey {
        let [key] = self.server.host_keys().try_into().unwrap();
        key
    }

    /// Replaces the host key by another one.
    pub(crate) fn change_host_key(&self) {
        self.server.set_host_keys(&[PrivateKey::generate().unwrap()]).unwrap();
    }

    pub(crate) async fn dial(&self) -> TcpStream {
        dial(self.address).await
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.dial().await, &self.options()).await.unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

pub(crate) fn options(user_key: &PrivateKey, host_key: PublicHostKey) -> ConnectOptions {
    ConnectOptions::new("someone", vec![user_key.clone()], HostKeyPolicy::Pinned(vec![host_key]))
}

pub(crate) async fn dial(address: SocketAddr) -> TcpStream {
    dial_tcp(address, Duration::from_secs(5)).await.unwrap()
}

pub(crate) fn sh(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).to_vec()
}

pub(crate) fn with_stdin(bytes: impl Into<Vec<u8>>) -> ExecOptions {
    ExecOptions { stdin: Stdin::Bytes(bytes.into()), timeout: Duration::from_secs(60), ..ExecOptions::default() }
}

pub(crate) async fn stdout_of(connection: &Connection, script: &str) -> String {
    let output = connection.exec(&sh(script), ExecOptions::default()).await.unwrap();
    assert!(output.exit.success(), "{output:?}");
    output.stdout.text()
}

/// Bytes that no window or buffer size divides and that show a mix-up.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Waits until something holds, and fails after ten seconds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a process runs. One that has ended and was not yet waited for does not.
pub(crate) fn process_runs(id: &str) -> bool {
    match std::fs::read_to_string(Path::new("/proc").join(id).join("stat")) {
        Ok(stat) => !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'),
        Err(_) => false,
    }
}

pub(crate) fn is_disconnected(error: &SshError) -> bool {
    matches!(error, SshError::Disconnected { .. })
}

/// A byte stream that breaks once so many bytes were written.
pub(crate) struct Breaking<S> {
    pub(crate) inner: S,
    pub(crate) left: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for Breaking<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Breaking<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::ConnectionReset)));
        }
        let length = bytes.len().min(self.left);
        let written = Pin::new(&mut self.inner).poll_write(context, &bytes[..length]);
        if let Poll::Ready(Ok(written)) = &written {
            self.left -= *written;
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// A byte stream that counts what is written.
pub(crate) struct Counting<S> {
    pub(crate) inner: S,
    pub(crate) written: Arc<AtomicU64>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counting<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counting<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = &written {
            self.written.fetch_add(*written as u64, Ordering::Relaxed);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
