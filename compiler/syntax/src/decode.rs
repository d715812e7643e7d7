//! From the bytes of a file to its text.

use std::sync::Arc;

use cloudtik_model::{Diagnostic, MAX_FILE_BYTES};

/// The mark that some editors put before UTF-8.
pub(crate) const BYTE_ORDER_MARK: char = '\u{feff}';

/// The text of a file, without the byte order mark it may begin with.
///
/// # Errors
/// It is not UTF-8, or larger than [`MAX_FILE_BYTES`].
#[allow(clippy::result_large_err, reason = "once for each file; the callers collect diagnostics as they are")]
pub fn decode(path: &str, bytes: &[u8]) -> Result<Arc<str>, Diagnostic> {
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(too_large(&format!("`{path}`"), bytes.len()));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Arc::from(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text))),
        Err(error) => {
            let offset = error.valid_up_to();
            let line = 1 + bytes.iter().take(offset).filter(|byte| **byte == b'\n').count();
            let diagnostic = Diagnostic::error("not-utf8", format!("`{path}` is not UTF-8: byte {offset}, in line {line}, is no text"))
                .help("save the file as UTF-8");
            let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
            Err(if utf16 { diagnostic.note("the file begins like UTF-16") } else { diagnostic })
        }
    }
}

/// What is said of a text that is larger than any file may be.
pub(crate) fn too_large(what: &str, bytes: usize) -> Diagnostic {
    Diagnostic::error("file-too-large", format!("{what} has {bytes} bytes; at most {MAX_FILE_BYTES} are read"))
        .help("split it into several files")
}
