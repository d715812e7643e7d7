//! Where things are on a node, and the environment of its processes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use cloudtik_model::{Digest, NodeBoot};

use crate::durable;
use crate::error::NodeError;

/// Names the node in the environment of each of its processes.
pub const NODE_VARIABLE: &str = "CLOUDTIK_NODE";
/// Names the node's folder in the environment of each of its processes; how `cloudtik node run-step` finds the agent.
pub const NODE_ROOT_VARIABLE: &str = "CLOUDTIK_NODE_ROOT";
/// Names the run in the environment of a script.
pub(crate) const RUN_VARIABLE: &str = "CLOUDTIK_RUN";
/// Names the daemon in its environment.
pub(crate) const DAEMON_VARIABLE: &str = "CLOUDTIK_DAEMON";

/// The search path of a node whose boot file has none.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// File names end at 255 bytes, and endings are added to ours.
const ESCAPED_BYTES_MAX: usize = 180;

/// The folders of one node.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
    dirs: BTreeMap<String, String>,
}

impl Layout {
    /// Of a boot file.
    pub(crate) fn new(boot: &NodeBoot) -> Self {
        Self { root: PathBuf::from(&boot.root), dirs: boot.dirs.clone() }
    }

    /// Makes the node's own folders (0700) and those that the boot file lists. Through the root and into `bin` other users may go: what
    /// runs as one of them stands below.
    pub(crate) fn make(&self) -> Result<(), NodeError> {
        durable::make_dir(&self.root, 0o711)?;
        durable::make_dir(&self.root.join("bin"), 0o755)?;
        for own in ["daemons", "keys", "run", "run/daemons", "runs", "steps"] {
            durable::make_dir(&self.root.join(own), 0o700)?;
        }
        for name in self.dirs.keys().map(String::as_str).chain(["artifacts", "logs"]) {
            let path = self.dir(name);
            std::fs::create_dir_all(&path).map_err(NodeError::file("make the folder", &path))?;
        }
        Ok(())
    }

    /// The node's folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A folder of `node.dirs`; below the root under its own name where the boot file does not say.
    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        self.dirs.get(name).map_or_else(|| self.root.join(name), PathBuf::from)
    }

    /// An uploaded artifact.
    pub(crate) fn artifact(&self, digest: &Digest) -> PathBuf {
        self.dir("artifacts").join(digest.to_string())
    }

    /// The marker of a step.
    pub(crate) fn marker(&self, address: &str) -> PathBuf {
        self.root.join("steps").join(format!("{}.json", escape(address)))
    }

    /// The record of a run.
    pub(crate) fn run(&self, run_id: &str) -> PathBuf {
        self.root.join("runs").join(format!("{}.json", escape(run_id)))
    }

    /// The entry of a daemon.
    pub(crate) fn daemon(&self, name: &str) -> PathBuf {
        self.root.join("daemons").join(format!("{name}.json"))
    }

    /// The process that a daemon has now.
    pub(crate) fn daemon_process(&self, name: &str) -> PathBuf {
        self.root.join("run").join("daemons").join(format!("{name}.json"))
    }

    /// The log of a daemon.
    pub(crate) fn daemon_log(&self, name: &str) -> PathBuf {
        self.dir("logs").join(format!("{name}.log"))
    }

    /// The host key that the node made for itself.
    pub(crate) fn host_key(&self) -> PathBuf {
        self.root.join("keys").join("host_key.json")
    }

    /// The people's keys beside those of the boot file.
    pub(crate) fn authorized_keys(&self) -> PathBuf {
        self.root.join("keys").join("authorized_keys.json")
    }
}

/// The folder that holds the control socket.
pub(crate) fn socket_dir(root: &Path) -> PathBuf {
    root.join("run")
}

/// The name of the control socket in its folder.
pub(crate) const SOCKET_NAME: &str = "agent.sock";

/// The environment that every process of the node starts from. Nothing is taken over from the agent's own.
pub(crate) fn environment(boot: &NodeBoot, layout: &Layout) -> BTreeMap<String, String> {
    let home = boot.dirs.get("home").unwrap_or(&boot.root);
    let mut env = BTreeMap::from([("HOME".to_owned(), home.clone()), ("PATH".to_owned(), PATH_DEFAULT.to_owned())]);
    env.extend(boot.env.clone());
    let path = env.get("PATH").cloned().unwrap_or_default();
    env.insert("PATH".to_owned(), format!("{}:{path}", layout.root().join("bin").display()));
    env.insert(NODE_VARIABLE.to_owned(), boot.instance_id.clone());
    env.insert(NODE_ROOT_VARIABLE.to_owned(), boot.root.clone());
    env
}

/// A file name for any text: what is not a letter, digit, `_`, `-` or inner `.` becomes `%XX`. Two texts never share a name; a long one
/// ends in its digest.
pub(crate) fn escape(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || (byte == b'.' && !name.is_empty());
        if plain {
            name.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(name, "%{byte:02X}");
        }
    }
    if name.len() <= ESCAPED_BYTES_MAX {
        return name;
    }
    // `%~` is made by no escape, so that a short text never meets a shortened one.
    let digest = Digest::of(text);
    let start: String = name.chars().take(ESCAPED_BYTES_MAX - 66).collect();
    format!("{start}%~{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_become_file_names() {
        assert_eq!(escape("cluster.etl.head.runtime.nginx.config"), "cluster.etl.head.runtime.nginx.config");
        assert_eq!(escape("cluster.c.head.file[\"/etc/x\"]"), "cluster.c.head.file%5B%22%2Fetc%2Fx%22%5D");
        assert_eq!(escape(".."), "%2E.");
        assert_eq!(escape("a%2F"), "a%252F");
    }

    proptest! {
        #[test]
        fn escaped_names_are_short_plain_and_distinct(a in ".{0,300}", b in ".{0,300}") {
            for text in [&a, &b] {
                let name = escape(text);
                prop_assert!(name.len() <= ESCAPED_BYTES_MAX);
                prop_assert!(!name.starts_with('.') && !name.contains('/') && name.is_ascii());
            }
            prop_assert_eq!(a == b, escape(&a) == escape(&b));
        }
    }
}
