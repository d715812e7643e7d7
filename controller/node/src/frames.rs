//! Frames on a stream: one JSON document a line, of bounded length.

use std::io;

use serde::Serialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::limits::FRAME_BYTES_MAX;

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line without its end.
    Text(Vec<u8>),
    /// A line that is longer than a frame may be; where the next one starts is not known.
    TooLong,
    /// The end of the stream.
    End,
}

/// Reads one line.
pub(crate) async fn read_line<R: AsyncBufRead + Unpin>(reader: &mut R) -> io::Result<Line> {
    let mut line = Vec::new();
    let limit = u64::try_from(FRAME_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(limit).read_until(b'\n', &mut line).await?;
    Ok(match line.last() {
        None => Line::End,
        Some(b'\n') => {
            line.pop();
            Line::Text(line)
        }
        Some(_) if line.len() > FRAME_BYTES_MAX => Line::TooLong,
        Some(_) => Line::Text(line),
    })
}

/// Writes one frame and sends it off.
pub(crate) async fn write_frame<W: AsyncWrite + Unpin, T: Serialize>(writer: &mut W, frame: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(frame)?;
    line.push(b'\n');
    writer.write_all(&line).await?;
    writer.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_bounded() {
        let mut reader = &b"a\n\nb"[..];
        for expected in [Line::Text(b"a".to_vec()), Line::Text(Vec::new()), Line::Text(b"b".to_vec()), Line::End] {
            assert_eq!(read_line(&mut reader).await.unwrap(), expected);
        }
        let mut whole = vec![b'x'; FRAME_BYTES_MAX];
        assert!(matches!(read_line(&mut &whole[..]).await.unwrap(), Line::Text(_)));
        whole.push(b'x');
        assert_eq!(read_line(&mut &whole[..]).await.unwrap(), Line::TooLong);
    }
}
