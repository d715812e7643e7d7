//! Sockets of heads: one in the folder of each node that may launch others. Whoever comes through it is that node, and may do what
//! [`super::privileges`] says.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use super::inventory::complain;
use super::service::Cloud;
use super::{Who, serve_connection};
use crate::failure::io_failure;
use crate::protocol::{Attributes, CloudError, Object, ResourceSpec};

/// Name of the socket in the folder of the node.
pub(crate) const SOCKET_NAME: &str = "cloud.sock";

/// Most connections at once through the socket of one head. It has one for each request under way and each stream to a worker, of which a
/// controller keeps one; so no head takes all that the local cloud has for everybody.
const CONNECTIONS_MAX: usize = 512;

/// Pause after a failed accept: what it lacks is mostly descriptors, which others give back soon.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// All sockets of heads.
#[derive(Debug)]
pub(crate) struct Heads {
    runtime: Handle,
    cloud: Weak<Cloud>,
    by_instance: Mutex<BTreeMap<String, Listening>>,
}

#[derive(Debug)]
struct Listening {
    task: AbortHandle,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Heads {
    /// No sockets yet. `cloud` answers what comes through them.
    pub(crate) const fn new(runtime: Handle, cloud: Weak<Cloud>) -> Self {
        Self { runtime, cloud, by_instance: Mutex::new(BTreeMap::new()) }
    }

    /// Listens for an instance that may launch others; for any other there is no socket afterwards.
    pub(crate) fn follow(&self, object: &Object) -> Result<(), CloudError> {
        let (Attributes::LocalInstance(attributes), ResourceSpec::LocalInstance(spec)) = (&object.attributes, &object.spec) else {
            return Ok(());
        };
        let folder = socket_folder(&attributes.folder);
        let mut all = self.by_instance.lock().unwrap_or_else(PoisonError::into_inner);
        let wrong = |error: io::Error| io_failure("listen at", &folder.join(SOCKET_NAME), &error);
        if spec.max_workers.unwrap_or(0) == 0 {
            return if all.remove(&object.id).is_some() { in_folder(&folder, remove).map_err(wrong) } else { Ok(()) };
        }
        if all.contains_key(&object.id) {
            return Ok(());
        }
        let listener = in_folder(&folder, bind).map_err(wrong)?;
        let task = self.runtime.spawn(listen(object.id.as_str().into(), listener, Weak::clone(&self.cloud))).abort_handle();
        all.insert(object.id.clone(), Listening { task });
        Ok(())
    }

    /// Ends the socket of an instance and every connection through it. The file goes with the folder.
    pub(crate) fn close(&self, instance: &str) {
        self.by_instance.lock().unwrap_or_else(PoisonError::into_inner).remove(instance);
    }
}

fn socket_folder(folder: &Path) -> PathBuf {
    folder.join("node/run")
}

/// Works in a folder that the node could have replaced: no link is followed, and however long the path is, it is short for a socket.
fn in_folder<T>(folder: &Path, work: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let opened: File = OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW).open(folder)?;
    work(&PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd())).join(SOCKET_NAME))
}

/// What lies there is what a killed daemon left. The mode stays what it is: a change of it would follow a link that the node put there
/// meanwhile, and who connects is looked at anyway.
fn bind(path: &Path) -> io::Result<StdListener> {
    remove(path)?;
    let listener = StdListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn listen(head: Arc<str>, listener: StdListener, cloud: Weak<Cloud>) {
    let listener = match UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return complain(&format!("the socket of {head} cannot be used: {error}")),
    };
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // Ends with this task, and with it every connection: nobody speaks for a head that is gone.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                complain(&format!("a client of {head} could not be accepted: {error}"));
                sleep(RETRY_PAUSE).await;
                continue;
            }
        };
        let Some(cloud) = cloud.upgrade() else { return };
        // One too many is closed at once, and tries again.
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else { continue };
        let who = Who::Head(Arc::clone(&head));
        connections.spawn(async move {
            serve_connection(stream, &cloud, &who, false).await;
            drop(permit);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_a_link_is_not_followed_and_a_long_path_is_short() {
        let base = tempfile::tempdir().unwrap();
        let long = base.path().join("x".repeat(120));
        fs::create_dir(&long).unwrap();
        for _ in 0..2 {
            in_folder(&long, bind).unwrap();
            assert!(fs::symlink_metadata(long.join(SOCKET_NAME)).is_ok());
        }
        let link = base.path().join("link");
        std::os::unix::fs::symlink(&long, &link).unwrap();
        assert!(in_folder(&link, remove).is_err());
        in_folder(&long, remove).unwrap();
        in_folder(&long, remove).unwrap();
        assert!(!long.join(SOCKET_NAME).exists());
    }
}
