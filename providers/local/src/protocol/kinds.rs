//! The kinds of resources that the local cloud has: what is asked for and what is answered.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What kind of thing an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A /24 of addresses; in the namespaces form also a bridge.
    LocalNetwork,
    /// Rules that are kept and shown, never enforced.
    LocalFirewall,
    /// A folder.
    LocalBucket,
    /// A node.
    LocalInstance,
}

impl Kind {
    /// The name as it stands in a spec.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LocalNetwork => "local_network",
            Self::LocalFirewall => "local_firewall",
            Self::LocalBucket => "local_bucket",
            Self::LocalInstance => "local_instance",
        }
    }

    /// What the ids of this kind begin with.
    #[must_use]
    pub const fn id_prefix(self) -> &'static str {
        match self {
            Self::LocalNetwork => "net-",
            Self::LocalFirewall => "fw-",
            Self::LocalBucket => "b-",
            Self::LocalInstance => "i-",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// How nodes are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// For any user: an own folder and an own 127.x address.
    Plain,
    /// For root: own network, mounts and processes, over an overlay of the machine's root.
    Namespaces,
}

impl Form {
    /// The name as it stands in a spec.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Namespaces => "namespaces",
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A value that is never printed and never written to the inventory.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one place that must write it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(sensitive)")
    }
}

/// What is asked for, by kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceSpec {
    /// A network.
    LocalNetwork(NetworkSpec),
    /// A firewall.
    LocalFirewall(FirewallSpec),
    /// A bucket.
    LocalBucket(BucketSpec),
    /// An instance.
    LocalInstance(Box<InstanceSpec>),
}

impl ResourceSpec {
    /// The kind of it.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::LocalNetwork(_) => Kind::LocalNetwork,
            Self::LocalFirewall(_) => Kind::LocalFirewall,
            Self::LocalBucket(_) => Kind::LocalBucket,
            Self::LocalInstance(_) => Kind::LocalInstance,
        }
    }
}

/// A network to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// Its name; two networks may have the same.
    pub name: String,
    /// The form of the instances in it.
    pub form: Form,
    /// The addresses to use, as `a.b.c.0/24`; without it the daemon takes a free range.
    #[serde(default)]
    pub cidr: Option<String>,
}

/// A firewall to keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirewallSpec {
    /// Its name.
    pub name: String,
    /// Id of the network that it would guard.
    #[serde(default)]
    pub network: Option<String>,
    /// The rules, as the caller writes them. May be updated.
    #[serde(default)]
    pub rules: Vec<serde_json::Value>,
}

/// A bucket to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketSpec {
    /// Its name, unique below `root`.
    pub name: String,
    /// The provider's root folder of the project, absolute.
    pub root: PathBuf,
}

/// An instance to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceSpec {
    /// Its host name: lower case letters, digits and hyphens.
    pub name: String,
    /// Id of its network.
    pub network: String,
    /// The form; that of the network.
    pub form: Form,
    /// The provider's root folder of the project, absolute. The node's files are below it, in a folder named by the instance's id.
    pub root: PathBuf,
    /// Processors that it counts for, recorded and not enforced; without it the machine's. May be updated.
    #[serde(default)]
    pub cpus: Option<serde_json::Number>,
    /// Memory that it counts for, recorded and not enforced; without it the machine's. May be updated.
    #[serde(default)]
    pub memory_gib: Option<serde_json::Number>,
    /// Port of its SSH server; without it 22 in the namespaces form, 2222 in the plain form.
    #[serde(default)]
    pub ssh_port: Option<u16>,
    /// Login name; without it root in the namespaces form, the user's own in the plain form.
    #[serde(default)]
    pub ssh_user: Option<String>,
    /// Public keys that may log in, one line each.
    #[serde(default)]
    pub authorized_keys: Vec<String>,
    /// Port of this machine => port of the node. May be updated.
    #[serde(default)]
    pub publish: BTreeMap<u16, u16>,
    /// How many instances of its cluster it may launch beside itself, through a socket of its own; without it none. May be updated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_workers: Option<u64>,
    /// Path in the node => folder of this machine.
    #[serde(default)]
    pub mounts: BTreeMap<String, PathBuf>,
    /// The environment of every process of the node, beside what the local cloud sets.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

/// What an object turned out to be, by kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attributes {
    /// A network.
    LocalNetwork(NetworkAttributes),
    /// A firewall.
    LocalFirewall(FirewallAttributes),
    /// A bucket.
    LocalBucket(BucketAttributes),
    /// An instance.
    LocalInstance(Box<InstanceAttributes>),
}

/// What a network turned out to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkAttributes {
    /// Its name.
    pub name: String,
    /// Its form.
    pub form: Form,
    /// Its addresses.
    pub cidr: String,
    /// The machine's own address in it.
    pub gateway: String,
    /// The bridge, in the namespaces form.
    pub bridge: Option<String>,
    /// Where its nodes find the proxy that leads outside, as `address:port`, in the namespaces form.
    #[serde(default)]
    pub proxy: Option<String>,
}

/// What a firewall turned out to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallAttributes {
    /// Its name.
    pub name: String,
    /// Id of its network.
    pub network: Option<String>,
    /// The rules as recorded.
    pub rules: Vec<serde_json::Value>,
    /// Always false: the local cloud touches no firewall.
    pub enforced: bool,
}

/// What a bucket turned out to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketAttributes {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub path: PathBuf,
    /// Its folder as a URI.
    pub uri: String,
}

/// What an instance turned out to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceAttributes {
    /// Its host name.
    pub name: String,
    /// Every name that it is known by: its host name and its id.
    pub names: Vec<String>,
    /// Id of its network.
    pub network: String,
    /// Its form.
    pub form: Form,
    /// Its address in its network.
    pub address: String,
    /// Port of its SSH server.
    pub ssh_port: u16,
    /// Login name.
    pub ssh_user: String,
    /// Folders as the node sees them: `root`, `home`, `conf`, `data`, `logs`, `run`, `packages`, `artifacts`, `tmp`.
    pub dirs: BTreeMap<String, String>,
    /// The folder on this machine that holds all of it.
    pub folder: PathBuf,
    /// Processors: those asked for, or the machine's.
    pub cores: serde_json::Number,
    /// Memory in MiB: that asked for, or the machine's.
    pub memory_mib: u64,
    /// True when the kernel ends all of it with its first process; false when every process is found by its environment.
    pub own_pid_namespace: bool,
    /// Digest of the binary that runs as `cloudtik node`.
    pub binary: String,
    /// Whether its first process lives.
    pub run_state: RunState,
    /// Ports of this machine that lead to it.
    pub published: Vec<PublishedPort>,
}

/// Whether an instance's first process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It lives.
    Running,
    /// It ended: by itself, by somebody's signal, or because the machine was started again.
    Stopped,
}

/// A port of this machine that leads to a port of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// Address and port to connect to, such as `127.0.0.1:8080`.
    pub address: String,
    /// Port of this machine.
    pub host_port: u16,
    /// Port of the node.
    pub node_port: u16,
    /// Why it does not listen at this moment, when it does not.
    pub problem: Option<String>,
}
