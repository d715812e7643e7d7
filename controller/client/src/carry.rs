//! `cloudtik controller call`: carries frames between its standard streams and the controller's socket on the same node. It listens on no
//! port and understands nothing of what it carries.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::limits::{FRAME_BYTES_MAX, SOCKET_PATH_BYTES_MAX, SOCKET_PAUSE, SOCKET_TIMEOUT};

/// Names the node's folder in the environment of each of its processes.
pub const NODE_ROOT_VARIABLE: &str = "CLOUDTIK_NODE_ROOT";

/// The folder of the controller's socket below the node's folder.
pub const SOCKET_FOLDER: &str = "run";

/// The name of the controller's socket in its folder.
pub const SOCKET_NAME: &str = "controller.sock";

/// The exit code that says that nobody listens: no request was heard.
pub const NO_CONTROLLER: u32 = 75;

/// What went wrong while frames were carried.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// This is no process of a node.
    #[error("give the folder of the node; {NODE_ROOT_VARIABLE} is not set, so this is no process of a node")]
    NoNode,
    /// Nobody listens.
    #[error("no controller answers at {}", .path.display())]
    NoController {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The request could not be read, or the reply not be written.
    #[error("the frames cannot be carried")]
    Broken(#[source] io::Error),
    /// The controller went away before its reply.
    #[error("the controller went away before it replied")]
    NoReply,
}

impl CarryError {
    /// The exit code of the program.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoController { .. } => u8::try_from(NO_CONTROLLER).unwrap_or(1),
            _ => 1,
        }
    }
}

/// The folder of the node: the one given, or the one that every process of a node has in its environment.
///
/// # Errors
/// There is neither.
pub fn controller_node_root(given: Option<PathBuf>) -> Result<PathBuf, CarryError> {
    given.or_else(|| std::env::var_os(NODE_ROOT_VARIABLE).map(PathBuf::from)).ok_or(CarryError::NoNode)
}

/// Carries frames between this process and the controller of the node, until the input ends.
///
/// # Errors
/// See [`CarryError`].
pub fn controller_call_main(root: &Path) -> Result<(), CarryError> {
    carry(root, &mut io::stdin().lock(), &mut io::stdout().lock())
}

/// One line there, one line back.
pub(crate) fn carry(root: &Path, input: &mut dyn BufRead, output: &mut dyn Write) -> Result<(), CarryError> {
    let mut replies: Option<BufReader<UnixStream>> = None;
    while let Some(request) = line(input).map_err(CarryError::Broken)? {
        let stream = match &mut replies {
            Some(stream) => stream,
            none => none.insert(BufReader::new(connect(root)?)),
        };
        stream.get_mut().write_all(&request).map_err(CarryError::Broken)?;
        let reply = line(stream).map_err(CarryError::Broken)?.ok_or(CarryError::NoReply)?;
        output.write_all(&reply).and_then(|()| output.flush()).map_err(CarryError::Broken)?;
    }
    Ok(())
}

/// A line with its end; a last one without gets it.
fn line(from: &mut dyn BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let limit = u64::try_from(FRAME_BYTES_MAX).unwrap_or(u64::MAX);
    from.take(limit.saturating_add(1)).read_until(b'\n', &mut line)?;
    if line.len() > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame is longer than {FRAME_BYTES_MAX} bytes")));
    }
    if !line.is_empty() && line.last() != Some(&b'\n') {
        line.push(b'\n');
    }
    Ok(Some(line).filter(|line| !line.is_empty()))
}

/// Connects, with a little patience for a controller that is starting.
fn connect(root: &Path) -> Result<UnixStream, CarryError> {
    let end = Instant::now() + SOCKET_TIMEOUT;
    loop {
        match with_short_path(&root.join(SOCKET_FOLDER), |path| UnixStream::connect(path)) {
            Ok(stream) => return Ok(stream),
            Err(source) if Instant::now() >= end => {
                return Err(CarryError::NoController { path: root.join(SOCKET_FOLDER).join(SOCKET_NAME), source });
            }
            Err(_) => std::thread::sleep(SOCKET_PAUSE),
        }
    }
}

/// The path of a socket ends at 107 bytes; a longer one is named through an open folder.
fn with_short_path<T>(folder: &Path, work: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let path = folder.join(SOCKET_NAME);
    if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        return work(&path);
    }
    let folder = File::open(folder)?;
    work(&PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(SOCKET_NAME))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// A controller that repeats what it hears, `count` times.
    fn echo(root: &Path, count: usize) -> std::thread::JoinHandle<()> {
        std::fs::create_dir_all(root.join(SOCKET_FOLDER)).unwrap();
        let listener = with_short_path(&root.join(SOCKET_FOLDER), |path| UnixListener::bind(path)).unwrap();
        std::thread::spawn(move || {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            for _ in 0..count {
                let line = line(&mut stream).unwrap().unwrap();
                stream.get_mut().write_all(&line).unwrap();
            }
        })
    }

    #[test]
    fn frames_are_carried_there_and_back_however_long_the_path() {
        for depth in [1, 30] {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().join(["deeper"; 30].iter().take(depth).collect::<PathBuf>());
            let thread = echo(&root, 2);
            let mut output = Vec::new();
            carry(&root, &mut &b"{\"a\":1}\n{\"b\":2}"[..], &mut output).unwrap();
            assert_eq!(output, b"{\"a\":1}\n{\"b\":2}\n");
            thread.join().unwrap();
        }
    }

    #[test]
    fn who_does_not_listen_and_who_goes_away_are_two_things() {
        let folder = tempfile::tempdir().unwrap();
        let error = carry(folder.path(), &mut &b"{}\n"[..], &mut Vec::new()).unwrap_err();
        assert_eq!((error.exit_code(), matches!(error, CarryError::NoController { .. })), (75, true));
        let thread = echo(folder.path(), 0);
        let error = carry(folder.path(), &mut &b"{}\n"[..], &mut Vec::new()).unwrap_err();
        assert!(matches!(error, CarryError::NoReply | CarryError::Broken(_)) && error.exit_code() == 1, "{error}");
        thread.join().unwrap();
    }
}
