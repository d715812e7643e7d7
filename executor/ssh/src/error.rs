//! Everything that can go wrong here, one variant per failed operation.
//!
//! Errors are cheap to clone, because callers that waited for the same handshake all get the same answer.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What went wrong with an SSH operation.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SshError {
    /// The byte stream to the host could not be opened.
    #[error("could not reach {host}")]
    Dial {
        /// The host, as the caller names it.
        host: String,
        /// Why.
        source: Arc<io::Error>,
    },

    /// The caller named no host key, and there is no way to accept an unnamed one.
    #[error("no host key is pinned for this host, and a host key that nobody named is never accepted; pin the key that the host was given")]
    NoPinnedHostKeys,

    /// The caller gave no private key.
    #[error("no private key was given to log in with")]
    NoUserKeys,

    /// The host showed another key than those pinned. Nothing was sent to it, no login was tried.
    #[error(
        "the host key is not the expected one: expected {}, the host offered {offered}; nothing was sent and no login was tried. Either another \
         machine answers at this place, or the host's key was changed outside of cloudtik: find out which, then replace the instance or pin the new key",
        .expected.join(" or ")
    )]
    HostKeyMismatch {
        /// Fingerprints of the pinned keys.
        expected: Vec<String>,
        /// Fingerprint of what the host offered, or the algorithms it offered when none of them is a pinned one.
        offered: String,
    },

    /// The host did not finish the handshake in time.
    #[error("the host did not finish the SSH handshake within {}", seconds(.after))]
    ConnectTimeout {
        /// How long it had.
        after: Duration,
    },

    /// The handshake broke off.
    #[error("the SSH handshake failed: {reason}")]
    Handshake {
        /// What the library or the host said.
        reason: String,
    },

    /// The host refused every key.
    #[error("the host refused to let `{user}` in with {}", .tried.join(", "))]
    AuthRefused {
        /// Who tried to log in.
        user: String,
        /// Fingerprints of the keys that were tried.
        tried: Vec<String>,
    },

    /// The login did not finish in time.
    #[error("the host did not answer the login within {}", seconds(.after))]
    AuthTimeout {
        /// How long it had.
        after: Duration,
    },

    /// The connection is gone.
    #[error("the connection is gone: {reason}{}", may_have_run(*.command_may_have_run))]
    Disconnected {
        /// Why, as far as it is known here.
        reason: String,
        /// Whether the command had been handed to the host, so that it may have had an effect.
        command_may_have_run: bool,
    },

    /// The host would not open one more channel. The connection itself is fine.
    #[error("the host refused to open a channel for {purpose}: {reason}")]
    ChannelRefused {
        /// What the channel was for.
        purpose: String,
        /// What the host said.
        reason: String,
    },

    /// The host opened a channel and then refused to run the command.
    #[error("the host refused to run `{command}`")]
    ExecRefused {
        /// The command, shortened.
        command: String,
    },

    /// Something took longer than its caller allowed.
    #[error("{what} did not finish within {}{}", seconds(.after), was_discarded(*.discarded))]
    Timeout {
        /// What took too long.
        what: String,
        /// How long it had.
        after: Duration,
        /// Whether the connection was thrown away, because the remote command would have kept its slot on it. The command may still be running.
        discarded: bool,
    },

    /// The command ended, and the host never said how.
    #[error("the host closed the channel of `{command}` without saying how the command ended")]
    NoExitStatus {
        /// The command, shortened.
        command: String,
    },

    /// What should have gone to the command's standard input could not be read here.
    #[error("could not read what was to be sent to `{command}`")]
    StdinRead {
        /// The command, shortened.
        command: String,
        /// Why.
        source: Arc<io::Error>,
    },

    /// The file to be uploaded could not be read here.
    #[error("could not read {}", .path.display())]
    UploadRead {
        /// The local file.
        path: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },

    /// What arrived is not what was sent. The final name was not touched.
    #[error("the upload of {path} arrived damaged or cut short (expected sha256 {expected}); {path} was not touched")]
    UploadDigest {
        /// The remote path.
        path: String,
        /// The digest it should have had.
        expected: String,
    },

    /// A step of the upload failed on the host. The final name was not touched.
    #[error("the host could not store {path}: {detail}")]
    UploadRemote {
        /// The remote path.
        path: String,
        /// Exit and last words of the remote command.
        detail: String,
    },

    /// The machine at the other end could not do what it was asked.
    #[error("the machine could not {doing}: {detail}")]
    Machine {
        /// What it was asked.
        doing: &'static str,
        /// Its last words, and how the command ended.
        detail: String,
    },

    /// A key's text could not be read.
    #[error("this is not {expected}: {reason}")]
    KeyParse {
        /// What it should have been.
        expected: &'static str,
        /// What is wrong with it. Never part of the key.
        reason: String,
    },

    /// A key of an algorithm that this program does not speak.
    #[error("keys of the algorithm {algorithm} are not supported; use ed25519")]
    KeyUnsupported {
        /// The algorithm's SSH name.
        algorithm: String,
    },

    /// A server was given no host key.
    #[error("a server needs a host key")]
    NoHostKeys,

    /// A server was given two host keys of one algorithm. A client picks by the algorithm, so it would never see the second one.
    #[error("a server cannot hold two host keys of the algorithm {algorithm}")]
    HostKeysAlike {
        /// The algorithm's SSH name.
        algorithm: String,
    },

    /// A key file could not be read.
    #[error("could not read the key file {}", .path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },

    /// The system gave no random bytes.
    #[error("the system gave no random bytes: {reason}")]
    Random {
        /// Why.
        reason: String,
    },

    /// A key could not be made or written out.
    #[error("could not make a key: {reason}")]
    KeyMake {
        /// Why.
        reason: String,
    },
}

impl SshError {
    /// Whether a command may have had an effect although this error came back. Where it is false, repeating the call repeats nothing.
    #[must_use]
    pub fn command_may_have_run(&self) -> bool {
        match self {
            Self::Disconnected { command_may_have_run, .. } => *command_may_have_run,
            Self::Timeout { discarded, .. } => *discarded,
            Self::NoExitStatus { .. } | Self::StdinRead { .. } | Self::UploadRemote { .. } | Self::Machine { .. } => true,
            _ => false,
        }
    }
}

fn seconds(duration: &Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

fn may_have_run(may: bool) -> &'static str {
    if may { "; the command had been handed over and may have run" } else { "" }
}

fn was_discarded(discarded: bool) -> &'static str {
    if discarded { "; the connection was discarded, and the command may still be running on the host" } else { "" }
}
