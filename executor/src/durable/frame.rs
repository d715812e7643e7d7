//! Records as bytes. Pure: no file is opened here, and what a payload means is not known here.
//!
//! A frame is, with every number little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | a marker that cannot occur in a payload, so that what follows a damaged frame can be found |
//! | 4 | length of the payload |
//! | 8 | sequence number |
//! | 8 | epoch of the writer |
//! | 8 | sequence number of the first frame of the same group commit |
//! | 1 | kind |
//! | 1 | length of the run id |
//! | 8 | checksum of the header up to here: a damaged length is not taken for a frame that was cut short |
//! | 16 | checksum of header, run id and payload |
//! | | run id, payload |

use sha2::{Digest as _, Sha256};

/// Longest payload: an intent may hold a file of the project (16 MiB), and JSON may double it; four times that leaves room for both
/// halves of a step.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Longest run id: its length is one byte.
pub const RUN_BYTES_MAX: usize = 255;

/// Not UTF-8, so it stands in no JSON.
const MARKER: [u8; 4] = [0xc1, b'r', b'e', b'c'];
const FIELDS_BYTES: usize = 34;
const HEADER_SUM_BYTES: usize = 8;
const BODY_SUM_BYTES: usize = 16;
const HEADER_BYTES: usize = FIELDS_BYTES + HEADER_SUM_BYTES + BODY_SUM_BYTES;

/// One record as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its place; the first record of a lineage is 1, and every further one is one more, across runs.
    pub sequence: u64,
    /// Of the holder that wrote it.
    pub epoch: u64,
    /// The run that wrote it.
    pub run: String,
    /// What it is, so that a reader can tell without the payload.
    pub kind: FrameKind,
    /// Versioned JSON; see `payload`.
    pub payload: Vec<u8>,
}

/// What a frame is. The numbers are the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum FrameKind {
    /// The journal's own: the epochs before the frame's are closed. No payload.
    Seal = 0,
    /// `Record::Started`
    Started = 1,
    /// `Record::Intent`
    Intent = 2,
    /// `Record::Outcome`
    Outcome = 3,
    /// Every other record.
    Other = 4,
}

impl FrameKind {
    const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Seal,
            1 => Self::Started,
            2 => Self::Intent,
            3 => Self::Outcome,
            4 => Self::Other,
            _ => return None,
        })
    }
}

/// Why a frame cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameTooLong {
    /// Its length.
    pub(crate) bytes: usize,
    /// The limit.
    pub(crate) limit: usize,
}

/// What was read from the bytes of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FramesRead {
    /// The frames, each with the offset of its first byte.
    pub(crate) frames: Vec<(usize, Frame)>,
    /// Where the last good frame ends.
    pub(crate) end: usize,
    /// Why what follows `end` was dropped as a write that was cut short; `None` when nothing follows.
    pub(crate) torn: Option<&'static str>,
}

/// A frame that is bad although a later group commit is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameDamage {
    /// Of its first byte.
    pub(crate) offset: usize,
    /// What is wrong.
    pub(crate) problem: &'static str,
}

/// The bytes of one group commit.
///
/// # Errors
/// A payload or run id that is longer than a reader accepts.
pub(crate) fn encode_batch(frames: &[Frame]) -> Result<Vec<u8>, FrameTooLong> {
    let batch = frames.first().map_or(0, |frame| frame.sequence);
    let mut bytes = Vec::with_capacity(frames.iter().map(|frame| HEADER_BYTES + frame.run.len() + frame.payload.len()).sum());
    for frame in frames {
        encode(frame, batch, &mut bytes)?;
    }
    Ok(bytes)
}

fn encode(frame: &Frame, batch: u64, bytes: &mut Vec<u8>) -> Result<(), FrameTooLong> {
    let run = u8::try_from(frame.run.len()).map_err(|_| FrameTooLong { bytes: frame.run.len(), limit: RUN_BYTES_MAX })?;
    let too_long = FrameTooLong { bytes: frame.payload.len(), limit: PAYLOAD_BYTES_MAX };
    let length = u32::try_from(frame.payload.len()).map_err(|_| too_long)?;
    if frame.payload.len() > PAYLOAD_BYTES_MAX {
        return Err(too_long);
    }
    let mut fields = Vec::with_capacity(FIELDS_BYTES);
    fields.extend_from_slice(&MARKER);
    fields.extend_from_slice(&length.to_le_bytes());
    fields.extend_from_slice(&frame.sequence.to_le_bytes());
    fields.extend_from_slice(&frame.epoch.to_le_bytes());
    fields.extend_from_slice(&batch.to_le_bytes());
    fields.push(frame.kind as u8);
    fields.push(run);
    bytes.extend_from_slice(&fields);
    bytes.extend_from_slice(&checksum::<HEADER_SUM_BYTES>(&[&fields]));
    bytes.extend_from_slice(&checksum::<BODY_SUM_BYTES>(&[&fields, frame.run.as_bytes(), &frame.payload]));
    bytes.extend_from_slice(frame.run.as_bytes());
    bytes.extend_from_slice(&frame.payload);
    Ok(())
}

/// Reads the frames of a segment, the first of which has the sequence number `first`.
///
/// A bad frame is a torn write when nothing that was written after its group commit follows: none of that commit was acknowledged, and
/// the system may have written its pages in any order. It is dropped with what follows. Else the file is damaged.
///
/// # Errors
/// [`FrameDamage`]
pub(crate) fn read_frames(bytes: &[u8], first: u64) -> Result<FramesRead, FrameDamage> {
    let mut read = FramesRead::default();
    let mut due = first;
    while read.end < bytes.len() {
        let offset = read.end;
        match decode(bytes, offset) {
            Ok(found) if found.frame.sequence == due => {
                read.end = found.end;
                read.frames.push((offset, found.frame));
                due = due.saturating_add(1);
            }
            Ok(_) => return Err(FrameDamage { offset, problem: "the sequence number is not the next one" }),
            Err(problem) if later_commit_follows(bytes, offset, due) => return Err(FrameDamage { offset, problem }),
            Err(problem) => {
                read.torn = Some(problem);
                return Ok(read);
            }
        }
    }
    Ok(read)
}

struct Decoded {
    frame: Frame,
    batch: u64,
    end: usize,
}

fn decode(bytes: &[u8], offset: usize) -> Result<Decoded, &'static str> {
    let bytes = bytes.get(offset..).unwrap_or_default();
    let (header, body) = bytes.split_at_checked(HEADER_BYTES).ok_or("the header is cut short")?;
    let (fields, sums) = header.split_at_checked(FIELDS_BYTES).ok_or("the header is cut short")?;
    let (header_sum, body_sum) = sums.split_at_checked(HEADER_SUM_BYTES).ok_or("the header is cut short")?;
    if !fields.starts_with(&MARKER) || checksum::<HEADER_SUM_BYTES>(&[fields]) != header_sum {
        return Err("the checksum of the header does not fit");
    }
    let length = u32::from_le_bytes(number(fields, 4)) as usize;
    let (kind, run_length) = (u8::from_le_bytes(number(fields, 32)), usize::from(u8::from_le_bytes(number(fields, 33))));
    if length > PAYLOAD_BYTES_MAX {
        return Err("the record is longer than the limit");
    }
    let (run, rest) = body.split_at_checked(run_length).ok_or("the record is cut short")?;
    let (payload, _) = rest.split_at_checked(length).ok_or("the record is cut short")?;
    if checksum::<BODY_SUM_BYTES>(&[fields, run, payload]) != body_sum {
        return Err("the checksum of the record does not fit");
    }
    let frame = Frame {
        sequence: u64::from_le_bytes(number(fields, 8)),
        epoch: u64::from_le_bytes(number(fields, 16)),
        run: String::from_utf8(run.to_vec()).map_err(|_| "the run id is not text")?,
        kind: FrameKind::from_byte(kind).ok_or("the record is of an unknown kind")?,
        payload: payload.to_vec(),
    };
    Ok(Decoded { frame, batch: u64::from_le_bytes(number(fields, 24)), end: offset + HEADER_BYTES + run_length + length })
}

/// Whether somewhere behind `offset` a good frame stands that a later group commit than the one of record `due` wrote.
fn later_commit_follows(bytes: &[u8], offset: usize, due: u64) -> bool {
    let mut at = offset.saturating_add(1);
    while let Some(rest) = bytes.get(at..) {
        let Some(found) = rest.windows(MARKER.len()).position(|window| window == MARKER) else { return false };
        at += found;
        if decode(bytes, at).is_ok_and(|decoded| decoded.batch > due) {
            return true;
        }
        at += 1;
    }
    false
}

fn checksum<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let digest = parts.iter().fold(Sha256::new(), |sum, part| sum.chain_update(part)).finalize();
    number(&digest, 0)
}

/// `N` bytes at a place that is inside; zeros where it is not, which no checksum lets through.
fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(sequence: u64) -> Frame {
        Frame { sequence, epoch: 3, run: "r1".to_owned(), kind: FrameKind::Other, payload: format!("{{\"n\":{sequence}}}").into_bytes() }
    }

    /// Three group commits: 5; 6, 7, 8; 9.
    fn journal() -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut starts) = (Vec::new(), Vec::new());
        for batch in [vec![frame(5)], vec![frame(6), frame(7), frame(8)], vec![frame(9)]] {
            for frame in &batch {
                let before: usize = batch
                    .iter()
                    .filter(|b| b.sequence < frame.sequence)
                    .map(|b| encode_batch(std::slice::from_ref(b)).unwrap().len())
                    .sum();
                starts.push(bytes.len() + before);
            }
            bytes.extend(encode_batch(&batch).unwrap());
        }
        (bytes, starts)
    }

    #[test]
    fn what_is_written_is_read() {
        let (bytes, starts) = journal();
        let read = read_frames(&bytes, 5).unwrap();
        assert_eq!(read.frames.iter().map(|(_, frame)| frame.clone()).collect::<Vec<_>>(), (5..=9).map(frame).collect::<Vec<_>>());
        assert_eq!(read.frames.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), starts);
        assert_eq!((read.end, read.torn), (bytes.len(), None));
        assert_eq!(read_frames(&bytes, 4).unwrap_err().offset, 0);
    }

    #[test]
    fn cut_anywhere_the_whole_records_before_are_read_and_the_rest_is_torn() {
        let (bytes, starts) = journal();
        for cut in 0..bytes.len() {
            let read = read_frames(&bytes[..cut], 5).unwrap();
            let whole = starts.iter().skip(1).chain([&bytes.len()]).filter(|end| **end <= cut).count();
            assert_eq!(read.frames.len(), whole, "cut at {cut}");
            assert_eq!(read.torn.is_some(), !starts.contains(&cut), "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_is_found_wherever_it_is() {
        let (bytes, starts) = journal();
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x10;
            let bad = starts.iter().rposition(|start| *start <= at).unwrap();
            match read_frames(&bytes, 5) {
                // The last group commit is one record: damage there cannot be told from a torn write.
                Ok(read) => assert!(bad == 4 && read.frames.len() == 4 && read.torn.is_some(), "byte {at}"),
                Err(damage) => assert!(bad < 4 && damage.offset == starts[bad], "byte {at}: {damage:?}"),
            }
        }
    }

    #[test]
    fn a_group_commit_whose_first_page_is_missing_is_torn_as_a_whole() {
        let (bytes, starts) = journal();
        let mut bytes = bytes[..starts[4]].to_vec();
        bytes[starts[1]..starts[2]].fill(0);
        let read = read_frames(&bytes, 5).unwrap();
        assert_eq!((read.frames.len(), read.end), (1, starts[1]));
    }

    #[test]
    fn what_no_reader_accepts_is_not_written() {
        let long = Frame { payload: vec![b' '; PAYLOAD_BYTES_MAX + 1], ..frame(1) };
        assert_eq!(encode_batch(&[long]).unwrap_err().limit, PAYLOAD_BYTES_MAX);
        let long = Frame { run: "r".repeat(256), ..frame(1) };
        assert_eq!(encode_batch(&[long]).unwrap_err().limit, RUN_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), first in any::<u64>()) {
            let _ = read_frames(&bytes, first);
        }
    }
}
