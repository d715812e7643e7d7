//! What can stop the node's entry points. A step that fails is no error here: it is an outcome, and travels in its frame.

use std::path::PathBuf;

/// Why an entry point of the node gave up.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A file or folder could not be used.
    #[error("cannot {action} `{}`", path.display())]
    File {
        /// What was tried: `read`, `write`.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A record of ours, or the boot file, is not what it should be.
    #[error("`{}` is not a valid {what}", path.display())]
    Record {
        /// What it should be.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// A record or boot file of a version that this code does not know.
    #[error("`{}` has version {found}, and this program reads version {known}", path.display())]
    Version {
        /// Where.
        path: PathBuf,
        /// The version it has.
        found: u32,
        /// The version that we read.
        known: u32,
    },
    /// Another agent already works in this folder.
    #[error("another node agent already works in `{}`", root.display())]
    Busy {
        /// The node's folder.
        root: PathBuf,
    },
    /// The control socket could not be bound.
    #[error("cannot listen on `{}`", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The agent of this node cannot be reached.
    #[error("no node agent answers at `{}`", path.display())]
    NoAgent {
        /// The socket.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The SSH server could not be started or changed.
    #[error("the SSH server of the node failed while it should {action}")]
    Ssh {
        /// What it should do.
        action: &'static str,
        /// Why it did not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The agent was asked for what only its own SSH server could do.
    #[error("this machine's SSH server is not the agent's: host keys and people are changed over SSH")]
    MachineDoor,
    /// The runtime could not be started, or a stream broke.
    #[error("cannot {action}")]
    System {
        /// What was tried.
        action: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The boot file asks for something that cannot be.
    #[error("the boot file `{}` is wrong: {reason}", path.display())]
    Boot {
        /// The boot file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl NodeError {
    /// For `map_err` on file operations.
    pub(crate) fn file(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File { action, path, source }
    }

    /// The message with those of its causes, for a failure that travels as text.
    pub(crate) fn whole(&self) -> String {
        whole(self)
    }
}

/// An error's message with those of its causes.
pub(crate) fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
