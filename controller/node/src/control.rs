//! The control socket, from both sides: how it is found, what is said first, and the two small programs that talk to it.

use std::fs::{File, Permissions};
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::error::NodeError;
use crate::layout::{NODE_ROOT_VARIABLE, SOCKET_NAME, socket_dir};
use crate::limits::{AGENT_START_TIMEOUT, PROBE_INTERVAL, RECORD_BYTES_MAX, SOCKET_PATH_BYTES_MAX};

/// The first line of a client: what it wants of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "control", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Hello {
    /// Frames of steps follow, in both directions.
    Steps,
    /// The status follows, as one line.
    Status,
}

/// The folder of the node: the one given, or the one that every process of a node has in its environment.
pub fn node_root(given: Option<PathBuf>) -> Result<PathBuf, NodeError> {
    let missing = || {
        let reason = format!("give the folder of the node; {NODE_ROOT_VARIABLE} is not set, so this is no process of a node");
        NodeError::System { action: "find the node", source: io::Error::new(io::ErrorKind::NotFound, reason) }
    };
    given.or_else(|| std::env::var_os(NODE_ROOT_VARIABLE).map(PathBuf::from)).ok_or_else(missing)
}

/// `cloudtik node run-step`: carries frames between its standard streams and the agent, which executes. It ends when the agent has
/// answered all that came before the end of the input. When it is killed, the runs go on.
pub fn run_step_main(root: &Path) -> Result<(), NodeError> {
    let stream = greet(root, Hello::Steps)?;
    let broken = |source| NodeError::System { action: "carry frames to the node agent", source };
    let to_agent = stream.try_clone().map_err(broken)?;
    let forward = move || {
        let mut to_agent = to_agent;
        // When the input breaks off, what came before is a whole set of requests, or a line that the agent refuses.
        let _ = io::copy(&mut io::stdin().lock(), &mut to_agent);
        // Fails only when the agent has gone, which the other direction sees.
        let _ = to_agent.shutdown(Shutdown::Write);
    };
    std::thread::Builder::new().name("input".to_owned()).spawn(forward).map_err(broken)?;
    copy_flushing(stream, io::stdout().lock()).map_err(broken)
}

/// `cloudtik node status`: prints the agent's status as one JSON document.
pub fn status_main(root: &Path) -> Result<(), NodeError> {
    let stream = greet(root, Hello::Status)?;
    let broken = |source| NodeError::System { action: "read the status of the node agent", source };
    let mut line = String::new();
    BufReader::new(stream.take(RECORD_BYTES_MAX)).read_line(&mut line).map_err(broken)?;
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).map_err(broken)
}

/// Where the socket is.
pub(crate) fn socket_path(root: &Path) -> PathBuf {
    socket_dir(root).join(SOCKET_NAME)
}

/// Binds the socket with mode 0600. The caller holds the node's lock, so whatever lies there is left over.
pub(crate) fn listen(root: &Path) -> Result<UnixListener, NodeError> {
    let path = socket_path(root);
    let wrong = |source| NodeError::Listen { path: path.clone(), source };
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(wrong(error)),
        _ => {}
    }
    // Nobody gets at it before the mode is set: its folder is 0700.
    let listener = with_short_path(root, |path| UnixListener::bind(path)).map_err(wrong)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(wrong)?;
    listener.set_nonblocking(true).map_err(wrong)?;
    Ok(listener)
}

/// Connects, with a little patience for an agent that is starting, and says what is wanted.
fn greet(root: &Path, hello: Hello) -> Result<UnixStream, NodeError> {
    let path = socket_path(root);
    let end = Instant::now() + AGENT_START_TIMEOUT;
    let mut stream = loop {
        match with_short_path(root, |path| UnixStream::connect(path)) {
            Ok(stream) => break stream,
            Err(source) if Instant::now() >= end || !may_be_starting(&source) => return Err(NodeError::NoAgent { path, source }),
            Err(_) => std::thread::sleep(PROBE_INTERVAL),
        }
    };
    let broken = |source: io::Error| NodeError::NoAgent { path, source };
    let mut line =
        serde_json::to_vec(&hello).map_err(|error| NodeError::System { action: "greet the node agent", source: error.into() })?;
    line.push(b'\n');
    stream.write_all(&line).map_err(broken)?;
    Ok(stream)
}

fn may_be_starting(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// The path of a socket ends at 107 bytes; a longer one is named through an open folder.
fn with_short_path<T>(root: &Path, work: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let folder = socket_dir(root);
    let path = folder.join(SOCKET_NAME);
    if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        return work(&path);
    }
    let folder = File::open(folder)?;
    work(&PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(SOCKET_NAME))
}

/// Copies piece by piece: a frame must not wait in a buffer for the next one.
fn copy_flushing(mut from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                to.write_all(buffer.get(..count).unwrap_or_default())?;
                to.flush()?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
