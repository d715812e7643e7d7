//! A command of a person on a node: its output comes piece by piece, and its end is the command's own.

use cloudtik_provider_api::{CallError, ErrorClass};
use cloudtik_ssh::{Connection, ExitStatus};
use tokio::io::AsyncReadExt as _;

use crate::link::causes;

/// What is read at once.
const PIECE_BYTES_MAX: usize = 32 * 1024;

/// A piece of what a command printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    /// Whether it came from the error stream.
    pub stderr: bool,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this exit code.
    Code(u32),
    /// A signal ended it: `KILL`.
    Signal(String),
}

impl Ended {
    /// The exit code, as a shell would say it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Code(code) => u8::try_from(*code).unwrap_or(u8::MAX),
            Self::Signal(name) => {
                let number = match name.as_str() {
                    "HUP" => 1,
                    "INT" => 2,
                    "QUIT" => 3,
                    "ABRT" => 6,
                    "KILL" => 9,
                    "SEGV" => 11,
                    "PIPE" => 13,
                    "TERM" => 15,
                    _ => 127,
                };
                128 + number
            }
        }
    }
}

/// Runs a command to its end. It reads nothing.
///
/// # Errors
/// The connection was lost, or the host refuses to run it.
pub async fn run_on(connection: &Connection, words: &[String], printed: &(dyn Fn(Printed) + Sync)) -> Result<Ended, CallError> {
    let failed = |error: cloudtik_ssh::SshError| CallError::new(ErrorClass::Permanent, "exec", causes(&error));
    let mut stream = connection.exec_stream(words, None).await.map_err(failed)?;
    drop(stream.stdin.take());
    let (stdout, stderr) = (stream.stdout.take(), stream.stderr.take());
    let out = async {
        let Some(mut stdout) = stdout else { return };
        let mut buffer = vec![0; PIECE_BYTES_MAX];
        while let Ok(count @ 1..) = stdout.read(&mut buffer).await {
            printed(Printed { stderr: false, bytes: buffer.get(..count).unwrap_or_default().to_vec() });
        }
    };
    let err = async {
        let Some(mut stderr) = stderr else { return };
        while let Some(piece) = stderr.next().await {
            printed(Printed { stderr: true, bytes: piece.to_vec() });
        }
    };
    let ((), (), ended) = tokio::join!(out, err, stream.wait());
    Ok(match ended.map_err(failed)? {
        ExitStatus::Code(code) => Ended::Code(code),
        ExitStatus::Signal { name, .. } => Ended::Signal(name),
    })
}
