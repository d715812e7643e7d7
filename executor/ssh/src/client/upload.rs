//! Sending a file, by digest and through a temporary name.
//!
//! Nothing but a POSIX shell and `sha256sum` is asked of the host. The final name holds either what it held before or the whole new content with its
//! final mode; in between there is only a temporary file that nobody but its owner can read. An upload is not forced to the disk: after a power loss
//! the next upload of the same content sees the wrong digest and sends again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::connection::Connection;
use super::exec::{EXEC_TIMEOUT, ExecOptions, ExecOutput, ExitStatus, Stdin};
use crate::SshError;

/// The remote script's words are few; this bounds what a broken login script can say in between.
const SCRIPT_OUTPUT_BYTES_MAX: usize = 8 * 1024;

/// Read in pieces of this size when a file is digested.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Says whether the content is there already. `$1` path, `$2` digest, `$3` mode.
const CHECK_SCRIPT: &str = r#"
[ -f "$1" ] && [ ! -L "$1" ] || exit 10
sum=$(sha256sum < "$1") || exit 10
[ "${sum%% *}" = "$2" ] || exit 10
chmod "$3" "$1" || exit 12
"#;

/// Takes the content from standard input. `$1` path, `$2` digest, `$3` mode, `$4` temporary path, `$5` whether to make the folder.
///
/// The temporary file is created without following or overwriting anything (`set -C`), and is removed on every way out but the good one.
const STORE_SCRIPT: &str = r#"
umask 077
if [ -d "$1" ]; then echo "$1 is a directory" >&2; exit 12; fi
if [ "$5" = yes ]; then
    case "$1" in
        */*) parent=${1%/*}; (umask 022 && mkdir -p -- "${parent:-/}") || exit 12 ;;
    esac
fi
trap 'rm -f -- "$4"' EXIT
trap 'exit 13' HUP INT TERM PIPE
(set -C && cat > "$4") || exit 12
sum=$(sha256sum < "$4") || exit 12
[ "${sum%% *}" = "$2" ] || exit 11
chmod "$3" "$4" && mv -f -- "$4" "$1" || exit 12
trap - EXIT
"#;

const EXIT_DIFFERS: u32 = 10;
const EXIT_DIGEST: u32 = 11;

/// Where the content comes from.
#[derive(Debug, Clone)]
pub enum UploadSource {
    /// From memory.
    Bytes(Vec<u8>),
    /// From a local file.
    File(PathBuf),
}

/// How an upload is stored.
#[derive(Debug, Clone)]
pub struct UploadOptions {
    /// The final mode: `0o644`.
    pub mode: u32,
    /// Whether folders above it are made (mode 0755).
    pub make_parents: bool,
    /// How long the sending may take. When that is over the connection is discarded.
    pub timeout: Duration,
}

impl Default for UploadOptions {
    fn default() -> Self {
        Self { mode: 0o600, make_parents: false, timeout: EXEC_TIMEOUT }
    }
}

/// What an upload did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// The sha256 of the content, in hex.
    pub sha256: String,
    /// Whether anything was sent; it was not when the host had this content at this path.
    pub sent: bool,
}

impl Connection {
    /// Makes `path` on the host hold this content with this mode. Harmless to repeat: content that is there is not sent again.
    pub async fn upload(&self, source: UploadSource, path: &str, options: &UploadOptions) -> Result<Uploaded, SshError> {
        if path.is_empty() || path.ends_with('/') || path.contains('\0') {
            return Err(SshError::UploadRemote { path: path.to_owned(), detail: "this is not a path of a file".to_owned() });
        }
        let sha256 = digest(&source).await?;
        // With `./` in front, a path that begins with a dash is no option anywhere.
        let target = if path.starts_with('/') { path.to_owned() } else { format!("./{path}") };
        let mode = format!("{:o}", options.mode & 0o7777);

        let check = self.script(CHECK_SCRIPT, &[&target, &sha256, &mode], Stdin::Empty, options.timeout).await?;
        match check.exit {
            ExitStatus::Code(0) => return Ok(Uploaded { sha256, sent: false }),
            ExitStatus::Code(EXIT_DIFFERS) => {}
            _ => return Err(remote_error(path, &check)),
        }

        let temporary = format!("{target}.tmp.{}", random_suffix()?);
        let make_parents = if options.make_parents { "yes" } else { "no" };
        let stored =
            self.script(STORE_SCRIPT, &[&target, &sha256, &mode, &temporary, make_parents], open(source).await?, options.timeout).await?;
        match stored.exit {
            ExitStatus::Code(0) => Ok(Uploaded { sha256, sent: true }),
            ExitStatus::Code(EXIT_DIGEST) => Err(SshError::UploadDigest { path: path.to_owned(), expected: sha256 }),
            _ => Err(remote_error(path, &stored)),
        }
    }

    async fn script(&self, script: &str, arguments: &[&str], stdin: Stdin, timeout: Duration) -> Result<ExecOutput, SshError> {
        let mut argv = vec!["/bin/sh", "-c", script, "cloudtik-upload"];
        argv.extend_from_slice(arguments);
        let (stdout_tail_max, stderr_tail_max) = (SCRIPT_OUTPUT_BYTES_MAX, SCRIPT_OUTPUT_BYTES_MAX);
        self.exec(&argv, ExecOptions { stdin, stdout_tail_max, stderr_tail_max, timeout, remote_timeout: None }).await
    }
}

fn remote_error(path: &str, output: &ExecOutput) -> SshError {
    SshError::UploadRemote { path: path.to_owned(), detail: output.complaint() }
}

async fn digest(source: &UploadSource) -> Result<String, SshError> {
    let mut hasher = Sha256::new();
    match source {
        UploadSource::Bytes(bytes) => hasher.update(bytes),
        UploadSource::File(path) => {
            let mut file = open_file(path).await?;
            let mut buffer = vec![0_u8; READ_BUFFER_BYTES];
            loop {
                let length = file.read(&mut buffer).await.map_err(|error| unreadable(path, error))?;
                let piece = buffer.get(..length).unwrap_or_default();
                if piece.is_empty() {
                    break;
                }
                hasher.update(piece);
            }
        }
    }
    Ok(hex(&hasher.finalize()))
}

async fn open(source: UploadSource) -> Result<Stdin, SshError> {
    match source {
        UploadSource::Bytes(bytes) => Ok(Stdin::Bytes(bytes)),
        UploadSource::File(path) => Ok(Stdin::Stream(Box::new(open_file(&path).await?))),
    }
}

async fn open_file(path: &Path) -> Result<File, SshError> {
    File::open(path).await.map_err(|error| unreadable(path, error))
}

fn unreadable(path: &Path, error: io::Error) -> SshError {
    SshError::UploadRead { path: path.to_owned(), source: Arc::new(error) }
}

fn random_suffix() -> Result<String, SshError> {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes).map_err(|error| SshError::Random { reason: error.to_string() })?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
