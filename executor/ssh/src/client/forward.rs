//! A byte stream from the host to somewhere else: how a worker is reached through the head.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use russh::{ChannelMsg, ChannelReadHalf};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::connection::{Connection, Inner};
use super::exec::{AbortOnDrop, send_input};
use crate::SshError;

/// Forwarded streams at once on one connection: more than the workers that one apply reaches at once through a head.
pub const FORWARDS_MAX: usize = 64;

/// What waits for the reader of a forwarded stream. An SSH connection inside of it must be able to park all that its own windows allow (8 commands of
/// 2 MiB, and the same again for what is in flight): if it could not, both connections could wait for each other. Taken only when needed.
const INCOMING_BUFFER_BYTES: usize = 32 * 1024 * 1024;

/// What waits for the network before the writer waits.
const OUTGOING_BUFFER_BYTES: usize = 256 * 1024;

/// How long the last bytes of a dropped stream may take to go out.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

impl Connection {
    /// Opens a byte stream from the host to `host:port`, as seen from there. The stream keeps the connection alive.
    ///
    /// Whoever wants a limit on the time wraps this call; dropping it half way leaks nothing.
    pub async fn direct_tcpip(&self, host: &str, port: u16) -> Result<ForwardStream, SshError> {
        let inner = Arc::clone(&self.inner);
        let permit = Arc::clone(&inner.forwards).acquire_owned().await.map_err(|_| inner.disconnected(false))?;
        let (sender, receiver) = oneshot::channel();
        let lost = Arc::clone(&inner);
        let host = host.to_owned();
        tokio::spawn(async move {
            let opened = open(&inner, &host, port).await;
            let Ok((stream, pump)) = opened else {
                drop(sender.send(opened.map(|(stream, _)| stream)));
                return;
            };
            // Unclaimed, the stream is dropped here and the pump closes the channel at once.
            drop(sender.send(Ok(stream)));
            pump.run().await;
            drop((permit, inner));
        });
        receiver.await.unwrap_or_else(|_| Err(lost.disconnected(false)))
    }
}

async fn open(inner: &Arc<Inner>, host: &str, port: u16) -> Result<(ForwardStream, Pump), SshError> {
    let (read, write) = inner.open_direct_tcpip(host, port).await?.split();
    let (incoming, incoming_far) = tokio::io::duplex(INCOMING_BUFFER_BYTES);
    let (outgoing, outgoing_far) = tokio::io::duplex(OUTGOING_BUFFER_BYTES);
    let (alive, dropped) = oneshot::channel();
    let pump = Pump {
        outgoing: AbortOnDrop(tokio::spawn(send_input(outgoing_far, write.make_writer()))),
        incoming: Some(incoming_far),
        inner: Arc::clone(inner),
        read,
        write,
        dropped,
    };
    Ok((ForwardStream { incoming, outgoing, _alive: alive }, pump))
}

struct Pump {
    outgoing: AbortOnDrop,
    incoming: Option<DuplexStream>,
    inner: Arc<Inner>,
    read: ChannelReadHalf,
    write: russh::ChannelWriteHalf<russh::client::Msg>,
    dropped: oneshot::Receiver<()>,
}

impl Pump {
    async fn run(mut self) {
        let severed = self.inner.sever().severed();
        let grace = sleep(CLOSE_GRACE);
        tokio::pin!(severed, grace);
        let mut closing = false;
        loop {
            tokio::select! {
                message = self.read.wait() => match message {
                    Some(ChannelMsg::Data { data }) => {
                        let Some(incoming) = &mut self.incoming else { continue };
                        tokio::select! {
                            written = incoming.write_all(&data) => if written.is_err() { self.incoming = None },
                            () = &mut severed => break,
                        }
                    }
                    Some(ChannelMsg::Eof) => self.incoming = None,
                    Some(ChannelMsg::Close) | None => break,
                    Some(_) => {}
                },
                _ = &mut self.dropped, if !closing => {
                    closing = true;
                    self.incoming = None;
                    grace.as_mut().reset(Instant::now() + CLOSE_GRACE);
                }
                // What the owner wrote before it dropped the stream still goes out.
                _ = &mut self.outgoing.0, if closing => break,
                () = &mut grace, if closing => break,
                () = &mut severed => break,
            }
        }
        self.outgoing.0.abort();
        // A forwarded stream has no process behind it: closing the channel frees it.
        let _ = self.write.close().await;
    }
}

/// A byte stream through a host. Dropping it closes it.
#[derive(Debug)]
pub struct ForwardStream {
    incoming: DuplexStream,
    outgoing: DuplexStream,
    _alive: oneshot::Sender<()>,
}

impl AsyncRead for ForwardStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.incoming).poll_read(context, buffer)
    }
}

impl AsyncWrite for ForwardStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.outgoing).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.outgoing).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.outgoing).poll_shutdown(context)
    }
}
