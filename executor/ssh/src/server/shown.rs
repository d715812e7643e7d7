//! Which host key a connection was shown.
//!
//! A server may hold several, the client's offer picks one, and the library does not say which. But it stands in plain text in the server's own answer
//! to the first key exchange, so that answer is read here on its way out. Nothing is changed, held back or kept after it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{PrivateKey, PublicHostKey, SshError};

/// The answers that begin with the host key. The first number is also the one of a message that begins with a prime, which is no key of ours.
const KEX_ECDH_REPLY: u8 = 31;
const KEX_DH_GEX_REPLY: u8 = 33;

/// After this message nothing is in plain text.
const NEWKEYS: u8 = 21;

/// A longer packet is none that our library writes: it keeps to the 35,000 bytes that every peer must be able to take.
const PACKET_BYTES_MAX: usize = 64 * 1024;

/// The first line ends before this, by the protocol.
const IDENTIFICATION_BYTES_MAX: usize = 255;

/// A host key and its form on the wire.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) key: PublicHostKey,
    pub(super) blob: Vec<u8>,
}

impl Candidate {
    pub(super) fn of(key: &PrivateKey) -> Result<Self, SshError> {
        let blob = key.shared().public_key().to_bytes().map_err(|error| SshError::KeyMake { reason: error.to_string() })?;
        Ok(Self { key: key.public_host_key()?, blob })
    }
}

/// The answer, once it is known.
#[derive(Clone, Default)]
pub(super) struct Shown(Arc<OnceLock<PublicHostKey>>);

impl Shown {
    /// The key that the server proved to have, from the end of the key exchange on.
    pub(super) fn get(&self) -> Option<&PublicHostKey> {
        self.0.get()
    }

    /// Watches what is written to a stream.
    pub(super) fn watch<S>(&self, inner: S, candidates: Arc<[Candidate]>) -> WatchedStream<S> {
        let reader = Reader { phase: Phase::Identification, pending: Vec::new(), candidates };
        WatchedStream { inner, reader: Some(reader), shown: self.clone() }
    }
}

/// A byte stream whose first written packets are read.
pub(super) struct WatchedStream<S> {
    inner: S,
    /// Gone when there is nothing more to learn.
    reader: Option<Reader>,
    shown: Shown,
}

struct Reader {
    phase: Phase,
    /// Written, and not yet a whole line or packet.
    pending: Vec<u8>,
    candidates: Arc<[Candidate]>,
}

enum Phase {
    Identification,
    Packets,
}

enum Progress {
    /// More bytes are needed.
    Waiting,
    Found(PublicHostKey),
    /// There is none to be found any more.
    Over,
}

impl Reader {
    fn take(&mut self, bytes: &[u8]) -> Progress {
        self.pending.extend_from_slice(bytes);
        if matches!(self.phase, Phase::Identification) {
            match self.pending.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    self.pending.drain(..=end);
                    self.phase = Phase::Packets;
                }
                None if self.pending.len() > IDENTIFICATION_BYTES_MAX => return Progress::Over,
                None => return Progress::Waiting,
            }
        }
        loop {
            let Some((length, rest)) = split_number(&self.pending) else { return Progress::Waiting };
            if length > PACKET_BYTES_MAX {
                return Progress::Over;
            }
            let Some(packet) = rest.get(..length) else { return Progress::Waiting };
            match judge(packet, &self.candidates) {
                Progress::Waiting => self.pending.drain(..length.saturating_add(4)),
                decided => return decided,
            };
        }
    }
}

/// Reads one packet without its length: the number of bytes of padding, the kind, the content.
fn judge(packet: &[u8], candidates: &[Candidate]) -> Progress {
    match packet.get(1..).and_then(<[u8]>::split_first) {
        Some((&NEWKEYS, _)) => Progress::Over,
        Some((&(KEX_ECDH_REPLY | KEX_DH_GEX_REPLY), content)) => {
            let blob = split_number(content).and_then(|(length, rest)| rest.get(..length));
            match candidates.iter().find(|candidate| blob == Some(candidate.blob.as_slice())) {
                Some(candidate) => Progress::Found(candidate.key.clone()),
                None => Progress::Waiting,
            }
        }
        _ => Progress::Waiting,
    }
}

fn split_number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((usize::try_from(u32::from_be_bytes(*number)).ok()?, rest))
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.inner).poll_write(context, bytes);
        if let (Poll::Ready(Ok(length)), Some(reader)) = (&written, &mut this.reader) {
            match reader.take(bytes.get(..*length).unwrap_or_default()) {
                Progress::Waiting => {}
                Progress::Found(key) => {
                    // It is set once: the reader is dropped right here.
                    let _ = this.shown.0.set(key);
                    this.reader = None;
                }
                Progress::Over => this.reader = None,
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    fn candidates() -> Arc<[Candidate]> {
        let key = |blob: &[u8]| Candidate { key: PrivateKey::generate().unwrap().public_host_key().unwrap(), blob: blob.to_vec() };
        [key(b"first"), key(b"the second")].into()
    }

    fn text(bytes: &[u8]) -> Vec<u8> {
        [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
    }

    fn packet(kind: u8, content: &[u8]) -> Vec<u8> {
        text(&[&[4, kind], content, &[0; 4]].concat())
    }

    async fn shown(candidates: &Arc<[Candidate]>, pieces: &[&[u8]]) -> Option<PublicHostKey> {
        let shown = Shown::default();
        let mut stream = shown.watch(tokio::io::sink(), Arc::clone(candidates));
        for piece in pieces {
            stream.write_all(piece).await.unwrap();
        }
        shown.get().cloned()
    }

    #[tokio::test]
    async fn the_key_of_the_first_exchange_is_found_however_it_is_cut() {
        let candidates = candidates();
        let start = [b"SSH-2.0-cloudtik\r\n".to_vec(), packet(20, &[7; 900]), packet(31, &text(b"a prime"))].concat();
        let reply = |kind: u8, blob: &[u8]| [start.clone(), packet(kind, &[text(blob), vec![9; 300]].concat())].concat();
        for (kind, blob, expected) in [(31, &b"first"[..], 0), (33, b"the second", 1)] {
            let bytes = reply(kind, blob);
            let expected = Some(candidates[expected].key.clone());
            assert_eq!(shown(&candidates, &[&bytes]).await, expected);
            assert_eq!(shown(&candidates, &bytes.chunks(1).collect::<Vec<_>>()).await, expected);
            assert_eq!(shown(&candidates, &[&bytes[..bytes.len() - 1]]).await, None);
        }
        assert_eq!(shown(&candidates, &[&reply(31, b"foreign")]).await, None);
        assert_eq!(shown(&candidates, &[&start, &packet(21, b""), &packet(31, &text(b"first"))]).await, None, "no longer plain text");
        let endless = [start, (u32::try_from(PACKET_BYTES_MAX).unwrap() + 1).to_be_bytes().to_vec()].concat();
        assert_eq!(shown(&candidates, &[&endless, &packet(31, &text(b"first"))]).await, None);
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic_or_kept_for_long(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let mut reader = Reader { phase: Phase::Identification, pending: Vec::new(), candidates: candidates() };
            for piece in bytes.chunks(7) {
                if !matches!(reader.take(piece), Progress::Waiting) {
                    break;
                }
                prop_assert!(reader.pending.len() <= PACKET_BYTES_MAX + 8);
            }
        }
    }
}
