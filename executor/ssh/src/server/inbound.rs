//! What a client sends to a command or a stream, on its way to a reader that may be slower than the client.
//!
//! The library opens a channel's window again as soon as data arrives, not when it was used, and offers as its only brake that its whole session waits.
//! That brake must never be used: a session that waits sends nothing either, so a command such as `cat`, which stops reading when nobody takes its
//! output, would wait for ever. So data is taken without waiting, and the brake is the size of the window that the library asks us for: once a channel
//! has too much waiting, windows are opened by next to nothing until its reader has caught up.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;

/// The window of a channel: what a client may send ahead. The library's own default, enough for 10 Gbit/s within a machine room.
pub(super) const WINDOW_BYTES: u32 = 2 * 1024 * 1024;

/// The window while a reader is behind. The smallest with which the library still asks again; with less it would never reopen.
pub(super) const TRICKLE_WINDOW_BYTES: u32 = 2;

/// A channel with more than this waiting is behind. Two windows: a reader that keeps up never gets there.
const BEHIND_BYTES: usize = 4 * 1024 * 1024;

/// A client that ignores its window is cut off here. One that honours it stays below [`BEHIND_BYTES`] and a window.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long the session pauses for each trickled packet, so that a client with a stuck command does not keep a core busy.
pub(super) const TRICKLE_PAUSE: Duration = Duration::from_millis(2);

/// The writing end.
pub(super) struct Inbound {
    sender: mpsc::UnboundedSender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
}

/// What became of pushed data.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It waits for its reader, or the reader is gone and it was dropped.
    Taken,
    /// The client does not honour its window.
    TooMuch,
}

/// The reading end.
pub(super) struct InboundReader {
    receiver: mpsc::UnboundedReceiver<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
    current: Vec<u8>,
    offset: usize,
}

pub(super) fn inbound() -> (Inbound, InboundReader) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (Inbound { sender, waiting: Arc::clone(&waiting) }, InboundReader { receiver, waiting, current: Vec::new(), offset: 0 })
}

impl Inbound {
    pub(super) fn push(&self, data: &[u8]) -> Pushed {
        // An empty piece would look like the end to a reader.
        if data.is_empty() {
            return Pushed::Taken;
        }
        let waiting = self.waiting.fetch_add(data.len(), Ordering::Relaxed).saturating_add(data.len());
        if self.sender.send(data.to_vec()).is_err() {
            self.waiting.store(0, Ordering::Relaxed);
            return Pushed::Taken;
        }
        if waiting > WAITING_BYTES_MAX { Pushed::TooMuch } else { Pushed::Taken }
    }

    pub(super) fn is_behind(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > BEHIND_BYTES
    }
}

impl Drop for InboundReader {
    fn drop(&mut self) {
        // Nothing waits any more for a reader that is gone.
        self.waiting.store(0, Ordering::Relaxed);
    }
}

impl AsyncRead for InboundReader {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.offset >= this.current.len() {
            let Some(next) = ready!(this.receiver.poll_recv(context)) else { return Poll::Ready(Ok(())) };
            (this.current, this.offset) = (next, 0);
        }
        let rest = this.current.get(this.offset..).unwrap_or_default();
        let length = rest.len().min(buffer.remaining());
        buffer.put_slice(rest.get(..length).unwrap_or_default());
        this.offset += length;
        this.waiting.fetch_sub(length, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn a_slow_reader_is_behind_until_it_caught_up() {
        let (writer, mut reader) = inbound();
        let piece = vec![7_u8; 1024 * 1024];
        for _ in 0..4 {
            assert_eq!(writer.push(&piece), Pushed::Taken);
        }
        assert!(!writer.is_behind());
        writer.push(b"!");
        assert!(writer.is_behind());
        assert_eq!(reader.read_u8().await.unwrap(), 7);
        assert!(!writer.is_behind());
        drop(writer);
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).await.unwrap();
        assert_eq!((rest.len(), rest.last()), (4 * 1024 * 1024, Some(&b'!')));
    }

    #[test]
    fn a_client_without_manners_is_noticed_and_a_missing_reader_is_not_behind() {
        let (writer, reader) = inbound();
        let piece = vec![0_u8; WAITING_BYTES_MAX / 2];
        assert_eq!(writer.push(&piece), Pushed::Taken);
        assert_eq!(writer.push(&piece), Pushed::Taken);
        assert_eq!(writer.push(b"x"), Pushed::TooMuch);
        drop(reader);
        assert!(!writer.is_behind());
        assert_eq!(writer.push(&piece), Pushed::Taken);
        assert!(!writer.is_behind());
    }
}
