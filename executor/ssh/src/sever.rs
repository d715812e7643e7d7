//! A kill switch for a connection.
//!
//! The library underneath ends a session politely, by messages that travel through the very queues that may be stuck. Here the byte stream itself is
//! cut, which always works, and the reason is kept for those who find the connection dead.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

/// Cuts a connection, once, for a reason. Clones share the switch.
#[derive(Debug, Clone)]
pub(crate) struct Sever {
    reason: Arc<watch::Sender<Option<Arc<str>>>>,
}

impl Sever {
    pub(crate) fn new() -> Self {
        Self { reason: Arc::new(watch::Sender::new(None)) }
    }

    /// Cuts the connection. The first reason stays.
    pub(crate) fn cut(&self, reason: &str) {
        self.reason.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(Arc::from(reason));
            }
            first
        });
    }

    pub(crate) fn reason(&self) -> Option<Arc<str>> {
        self.reason.borrow().clone()
    }

    /// Ends when the connection has been cut.
    pub(crate) fn severed(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut watched = self.reason.subscribe();
        let keep_alive = Arc::clone(&self.reason);
        async move {
            // The sender is held right here, so waiting cannot fail.
            let _ = watched.wait_for(Option::is_some).await;
            drop(keep_alive);
        }
    }

    pub(crate) fn wrap<S>(&self, inner: S) -> SeveredStream<S> {
        SeveredStream { inner, severed: Box::pin(self.severed()), is_cut: false }
    }
}

/// Cuts a connection when it is dropped: however the work on it ends, cancelled included, nothing of it stays behind.
pub(crate) struct CutOnDrop {
    sever: Option<Sever>,
    reason: &'static str,
}

impl CutOnDrop {
    pub(crate) fn new(sever: &Sever, reason: &'static str) -> Self {
        Self { sever: Some(sever.clone()), reason }
    }

    /// Leaves the connection alone after all.
    pub(crate) fn disarm(mut self) {
        self.sever = None;
    }
}

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        if let Some(sever) = &self.sever {
            sever.cut(self.reason);
        }
    }
}

/// A byte stream that fails at once when its switch is thrown.
pub(crate) struct SeveredStream<S> {
    inner: S,
    severed: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_cut: bool,
}

impl<S> SeveredStream<S> {
    fn poll_cut(&mut self, context: &mut Context<'_>) -> bool {
        if !self.is_cut && self.severed.as_mut().poll(context).is_ready() {
            self.is_cut = true;
        }
        self.is_cut
    }
}

fn cut_error() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was cut on this side")
}

impl<S: AsyncRead + Unpin> AsyncRead for SeveredStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.poll_cut(context) {
            return Poll::Ready(Err(cut_error()));
        }
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for SeveredStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.poll_cut(context) {
            return Poll::Ready(Err(cut_error()));
        }
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.poll_cut(context) {
            return Poll::Ready(Err(cut_error()));
        }
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.poll_cut(context) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_cut_wakes_a_waiting_reader_and_keeps_the_first_reason() {
        let sever = Sever::new();
        let (near, _far) = tokio::io::duplex(16);
        let mut stream = sever.wrap(near);
        let reader = tokio::spawn(async move {
            let read = stream.read_u8().await.unwrap_err().kind();
            let written = stream.write_all(b"x").await.unwrap_err().kind();
            (read, written)
        });
        tokio::task::yield_now().await;
        sever.cut("first");
        sever.cut("second");
        assert_eq!(reader.await.unwrap(), (io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionAborted));
        assert_eq!(sever.reason().as_deref(), Some("first"));
    }
}
