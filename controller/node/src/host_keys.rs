//! The node's host keys, and how the one of the launch is replaced without a moment in which a client can lose the node.
//!
//! A node is launched with a *bootstrap key* (ECDSA), whose private half the launching client knows. First contact has the node make its *own key*
//! (ed25519), whose private half never leaves it, and tells the public half. A client may be killed before it has kept the answer, so the change has
//! two phases:
//!
//! 1. The own key is made, once, and shown **beside** the bootstrap key. The algorithms differ, so a client sees the one that it is pinned to.
//!    Whoever comes again with the bootstrap key gets the same answer, after a restart too.
//! 2. The first login on a connection that was shown the own key proves that the answer was kept. Then the bootstrap key is **retired**: its
//!    file is removed durably and no later connection sees it, both before the client is told that it is in.
//!
//! On disk there is no flag: while the file of the bootstrap key is there, it is not retired. Only holders of an authorized user key get to
//! either phase. Connections that are open stay.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use cloudtik_model::NodeBoot;
use cloudtik_ssh::{PrivateKey, PublicHostKey, Server, SshError};
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::error::NodeError;
use crate::layout::Layout;
use crate::process::lock;

/// The algorithm of the own key. The bootstrap key must have another one, or no client could ask for it beside the own one.
const OWN_ALGORITHM: &str = "ssh-ed25519";

/// `keys/host_key.json`, mode 0600: the own key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredHostKey {
    version: u32,
    /// The run that made it. Other runs find it too.
    run_id: String,
    public: String,
    private_openssh: String,
}

impl StoredHostKey {
    const VERSION: u32 = 1;

    fn read(layout: &Layout) -> Result<Option<Self>, NodeError> {
        let path = layout.host_key();
        match durable::read_record::<Self>(&path, "host key")? {
            Some(stored) if stored.version != Self::VERSION => {
                Err(NodeError::Version { path, found: stored.version, known: Self::VERSION })
            }
            stored => Ok(stored),
        }
    }

    fn make(run_id: &str) -> Result<Self, NodeError> {
        let pair = cloudtik_ssh::generate_ed25519().map_err(ssh("make a host key"))?;
        let (public, private_openssh) = (pair.public_openssh, pair.private_openssh);
        Ok(Self { version: Self::VERSION, run_id: run_id.to_owned(), public, private_openssh })
    }
}

/// What `node status` shows.
#[derive(Debug, Default, Serialize)]
pub(crate) struct HostKeysView {
    /// Public halves that connections may see.
    shown: Vec<String>,
    /// Why the bootstrap key could not be retired at the last login; the next one tries again.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

/// The host keys of this node.
pub(crate) struct HostKeys {
    layout: Layout,
    bootstrap_file: PathBuf,
    /// Locked over each change with its writing, so that changes follow each other.
    held: Mutex<Held>,
}

struct Held {
    own: Option<Own>,
    /// Until it is retired.
    bootstrap: Option<PrivateKey>,
    failure: Option<String>,
}

struct Own {
    key: PrivateKey,
    public: PublicHostKey,
}

impl Own {
    fn of(stored: &StoredHostKey) -> Result<Self, NodeError> {
        let key = PrivateKey::from_openssh(&stored.private_openssh).map_err(ssh("read its host key"))?;
        let public = key.public_host_key().map_err(ssh("read its host key"))?;
        Ok(Self { key, public })
    }
}

impl Held {
    fn shown(&self) -> Vec<PrivateKey> {
        self.own.iter().map(|own| &own.key).chain(&self.bootstrap).cloned().collect()
    }
}

impl HostKeys {
    /// Reads what an earlier agent left, in whichever phase it was.
    pub(crate) fn open(boot: &NodeBoot, boot_path: &Path, layout: &Layout) -> Result<Self, NodeError> {
        let own = StoredHostKey::read(layout)?.as_ref().map(Own::of).transpose()?;
        let bootstrap_file = PathBuf::from(&boot.bootstrap_host_key);
        let is_there = bootstrap_file.try_exists().map_err(NodeError::file("look for", &bootstrap_file))?;
        let bootstrap = if own.is_some() && !is_there { None } else { Some(read_bootstrap(&bootstrap_file, boot_path)?) };
        let held = Mutex::new(Held { own, bootstrap, failure: None });
        Ok(Self { layout: layout.clone(), bootstrap_file, held })
    }

    /// The keys to show, the own one first.
    pub(crate) fn shown(&self) -> Vec<PrivateKey> {
        lock(&self.held).shown()
    }

    /// The public half of the own key, if it was made.
    pub(crate) fn own(&self) -> Option<String> {
        lock(&self.held).own.as_ref().map(|own| own.public.to_string())
    }

    /// Makes the own key unless it is there, keeps it, has the server show it, and answers its public half.
    pub(crate) fn make_own(&self, server: &Server, run_id: &str) -> Result<String, NodeError> {
        let mut held = lock(&self.held);
        let public = match &held.own {
            Some(own) => own.public.to_string(),
            None => {
                let made = StoredHostKey::make(run_id)?;
                let own = Own::of(&made)?;
                durable::write_record(&self.layout.host_key(), &made)?;
                let public = own.public.to_string();
                held.own = Some(own);
                public
            }
        };
        server.set_host_keys(&held.shown()).map_err(ssh("show its own host key"))?;
        Ok(public)
    }

    /// Retires the bootstrap key when a login shows that the own key is known. What goes wrong is kept for the status: the login is none the worse,
    /// and the next one tries again.
    pub(crate) fn logged_in(&self, server: &Server, shown: &PublicHostKey) {
        let mut held = lock(&self.held);
        let knows_own = held.own.as_ref().is_some_and(|own| own.public == *shown);
        if !knows_own || held.bootstrap.is_none() {
            return;
        }
        held.failure = self.retire(&mut held, server).err().map(|error| error.whole());
    }

    fn retire(&self, held: &mut Held, server: &Server) -> Result<(), NodeError> {
        durable::remove(&self.bootstrap_file)?;
        let own: Vec<PrivateKey> = held.own.iter().map(|own| own.key.clone()).collect();
        server.set_host_keys(&own).map_err(ssh("retire the host key of the launch"))?;
        held.bootstrap = None;
        Ok(())
    }

    /// For the status.
    pub(crate) fn view(&self, server: &Server) -> HostKeysView {
        let shown = server.host_keys().iter().map(ToString::to_string).collect();
        HostKeysView { shown, failure: lock(&self.held).failure.clone() }
    }
}

fn read_bootstrap(file: &Path, boot_path: &Path) -> Result<PrivateKey, NodeError> {
    const ACTION: &str = "read the host key of the launch";
    let key = PrivateKey::from_file(file).map_err(ssh(ACTION))?;
    if key.public_host_key().map_err(ssh(ACTION))?.algorithm_name() == OWN_ALGORITHM {
        let reason = format!(
            "the host key of the launch is of the algorithm {OWN_ALGORITHM}, which the node's own key will have; both are shown side by side for a \
             while, so it must be of another one: ecdsa-sha2-nistp256"
        );
        return Err(NodeError::Boot { path: boot_path.to_path_buf(), reason });
    }
    Ok(key)
}

/// For `map_err` on what the SSH server says.
pub(crate) fn ssh(action: &'static str) -> impl FnOnce(SshError) -> NodeError {
    move |source| NodeError::Ssh { action, source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_key_of_version_1_is_read_and_written() {
        let text = include_str!("../fixtures/v1/host_key.json");
        let record: StoredHostKey = serde_json::from_str(text).unwrap();
        assert_eq!(record.version, StoredHostKey::VERSION);
        assert_eq!(serde_json::to_string(&record).unwrap(), text.trim_end());
    }
}
