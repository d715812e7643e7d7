//! Frames: four bytes of length, big endian, then that many bytes of JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Longest frame. A request carries one resource, the longest answer lists all of them: 10,000 objects of 1.6 KiB fit.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why a frame could not be read or written.
#[derive(Debug, Error)]
pub enum FrameError {
    /// The other side closed the connection between two frames.
    #[error("the connection was closed")]
    Closed,
    /// The frame is longer than [`FRAME_BYTES_MAX`].
    #[error("a frame of {length} bytes is longer than the {FRAME_BYTES_MAX} that are allowed")]
    TooLong {
        /// Bytes of the frame.
        length: usize,
    },
    /// The frame is not the JSON document that is due.
    #[error("a frame is not what the protocol says")]
    Json(#[source] serde_json::Error),
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[source] std::io::Error),
}

/// Reads one frame.
///
/// # Errors
/// [`FrameError`], which tells an orderly end from a broken one.
pub async fn read_frame<T: DeserializeOwned>(reader: &mut (impl AsyncRead + Unpin)) -> Result<T, FrameError> {
    let mut header = [0_u8; 4];
    let first = reader.read(&mut header).await.map_err(FrameError::Io)?;
    if first == 0 {
        return Err(FrameError::Closed);
    }
    let rest = header.get_mut(first..).unwrap_or_default();
    reader.read_exact(rest).await.map_err(FrameError::Io)?;
    let length = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong { length });
    }
    // Grows with what really arrives, so that a header alone cannot take 16 MiB.
    let mut payload = Vec::new();
    let limit = u64::try_from(length).unwrap_or(u64::MAX);
    let read = reader.take(limit).read_to_end(&mut payload).await.map_err(FrameError::Io)?;
    if read < length {
        return Err(FrameError::Io(std::io::ErrorKind::UnexpectedEof.into()));
    }
    serde_json::from_slice(&payload).map_err(FrameError::Json)
}

/// Writes one frame.
///
/// # Errors
/// [`FrameError`] when the value is too long or the connection fails.
pub async fn write_frame<T: Serialize>(writer: &mut (impl AsyncWrite + Unpin), value: &T) -> Result<(), FrameError> {
    let payload = serde_json::to_vec(value).map_err(FrameError::Json)?;
    let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= FRAME_BYTES_MAX);
    let Some(length) = length else {
        return Err(FrameError::TooLong { length: payload.len() });
    };
    let mut frame = Vec::with_capacity(payload.len().saturating_add(4));
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&payload);
    writer.write_all(&frame).await.map_err(FrameError::Io)?;
    writer.flush().await.map_err(FrameError::Io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_survives_the_way_and_a_cut_one_is_an_error() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &vec!["one", "two"]).await.unwrap();
        let back: Vec<String> = read_frame(&mut bytes.as_slice()).await.unwrap();
        assert_eq!(back, ["one", "two"]);
        let cut = bytes.get(..bytes.len() - 1).unwrap();
        assert!(matches!(read_frame::<Vec<String>>(&mut &*cut).await, Err(FrameError::Io(_))));
        assert!(matches!(read_frame::<Vec<String>>(&mut &[][..]).await, Err(FrameError::Closed)));
    }

    #[tokio::test]
    async fn a_frame_above_the_limit_is_refused_before_it_is_read() {
        let header = u32::MAX.to_be_bytes();
        assert!(matches!(read_frame::<String>(&mut header.as_slice()).await, Err(FrameError::TooLong { .. })));
    }
}
