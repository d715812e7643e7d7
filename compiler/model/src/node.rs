//! How a node is started: what a provider hands to `cloudtik node`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The boot file of a node, written by the provider that launches it or by whoever brings the agent to it, and read by
/// `cloudtik node --boot FILE`. Mode 0600: it names the
/// bootstrap host key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeBoot {
    /// Version of this file: [`NodeBoot::VERSION`].
    pub version: u32,
    /// The provider's id of the instance.
    pub instance_id: String,
    /// Address to listen on and to advertise.
    pub address: String,
    /// Port of the SSH server.
    pub ssh_port: u16,
    /// Login name that the SSH server accepts.
    pub ssh_user: String,
    /// Folder that belongs to this node: markers, daemon entries, keys, logs.
    pub root: String,
    /// Where things go, as `node.dirs` shows it: `root`, `home`, `conf`, `data`, `logs`, `run`, `packages`, `artifacts`, `tmp`.
    pub dirs: BTreeMap<String, String>,
    /// File that holds the private half of the bootstrap host key (ECDSA P-256); removed by the node at the first login that was shown the
    /// node's own key.
    pub bootstrap_host_key: String,
    /// Public keys that may log in: one line each.
    pub authorized_keys: Vec<String>,
    /// The environment of every process of the node.
    pub env: BTreeMap<String, String>,
    /// Whether the machine's own OpenSSH lets people in. Then the agent opens no SSH server, and what is said of one here says nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub openssh: bool,
}

impl NodeBoot {
    /// The version that this code writes and reads.
    pub const VERSION: u32 = 1;
}
