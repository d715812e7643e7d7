//! Typed specs: evaluated and checked blocks, as a provider lowers them to its own kinds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::{Address, Lifecycle, ProviderRef, Span, Value};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The value, of the type that the schema says; may be deferred.
    pub value: Value,
    /// Where it stands; [`Span::NONE`] for a default.
    pub span: Span,
}

impl Field {
    /// A value that the spec wrote.
    #[must_use]
    pub const fn new(value: Value, span: Span) -> Self {
        Self { value, span }
    }
}

impl Default for Field {
    fn default() -> Self {
        Self { value: Value::NULL, span: Span::NONE }
    }
}

/// What of a workspace its clusters use: of one in the same project what will be, of one in another project what its record says.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkspaceUse {
    /// `workspace.w`, or `data.workspace.w`.
    pub address: Address,
    /// Its name in the world.
    pub name: Arc<str>,
    /// The provider configuration.
    pub provider: ProviderRef,
    /// What references to it see.
    pub exports: Value,
    /// What must be there before the first node; nothing of a workspace in another project.
    pub gates: BTreeSet<Address>,
}

/// The fields of one block by attribute name: those that the spec writes, and those with a default.
pub type Fields = BTreeMap<Arc<str>, Field>;

/// A `workspace`.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkspaceSpec {
    /// `workspace.w`
    pub address: Address,
    /// Where the block's header stands.
    pub span: Span,
    /// The provider configuration.
    pub provider: ProviderRef,
    /// `network.client_provider`: through which the client's side is made, where that is another one.
    pub client: Option<ClientProvider>,
    /// `name`, `tags`
    pub fields: Fields,
    /// `network`: `mode`, `cidr`, `zones`, `nat` …
    pub network: Part,
    /// `firewall`, for all nodes
    pub firewall: FirewallSpec,
    /// `identity`: `head`, `workers`, `permissions_boundary` …
    pub identity: Part,
    /// `proxy`: `http`, `https`, `no_proxy`
    pub proxy: Part,
    /// `storage "n"`
    pub storage: BTreeMap<Arc<str>, Part>,
    /// `database "n"`
    pub database: BTreeMap<Arc<str>, Part>,
    /// `depends_on`
    pub depends_on: BTreeSet<Address>,
    /// `lifecycle`
    pub lifecycle: Lifecycle,
    /// Where the `import` stands that takes over a workspace which is there already.
    pub import: Option<Span>,
}

/// The configuration through which the network of the client is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientProvider {
    /// Its name.
    pub provider: ProviderRef,
    /// Its attributes.
    pub config: Value,
    /// Where it is named.
    pub span: Span,
}

/// A `firewall`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FirewallSpec {
    /// `ssh_from`; of a workspace also `inside`.
    pub own: Part,
    /// `ingress "n"`: `ports`, `from`, `protocol`, `to`, `description`
    pub ingress: BTreeMap<Arc<str>, Part>,
    /// `egress "n"`: the same
    pub egress: BTreeMap<Arc<str>, Part>,
}

/// A nested block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// Where it stands; the block around it when the spec does not write it.
    pub span: Span,
    /// Its attributes.
    pub fields: Fields,
    /// Its `lifecycle`, where it may have one.
    pub lifecycle: Lifecycle,
}

/// A `cluster`, as far as a provider makes it: its nodes. Steps are the compiler's.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterSpec {
    /// `cluster.c`
    pub address: Address,
    /// Where the block's header stands.
    pub span: Span,
    /// The provider configuration: its workspace's.
    pub provider: ProviderRef,
    /// `workspace.w`
    pub workspace: Address,
    /// `name`, `tags`; and `proxy`, the environment that its own or its workspace's makes
    pub fields: Fields,
    /// `firewall`, for its nodes alone; `None` where the spec does not write it.
    pub firewall: Option<FirewallSpec>,
    /// `head`
    pub head: Option<NodeSpec>,
    /// `workers "g"` by label: what a worker of the group is made of.
    pub workers: BTreeMap<Arc<str>, NodeSpec>,
    /// The most workers that there may be at once, over all groups: what the head may launch.
    pub workers_max: u64,
    /// `depends_on`
    pub depends_on: BTreeSet<Address>,
    /// `lifecycle`
    pub lifecycle: Lifecycle,
}

/// A port that a runtime of a node listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListenPort {
    /// Its number.
    pub number: u16,
    /// Whether it is one of UDP; else of TCP.
    pub is_udp: bool,
}

/// A head, or a worker of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeSpec {
    /// `cluster.c.head`, `cluster.c.workers.g`
    pub address: Address,
    /// Where the block stands.
    pub span: Span,
    /// `cpus`, `memory_gib`, `instance_type`, `tags` (with the cluster's merged in), `publish` (from `local`), and `authorized_keys` (public
    /// keys that may log in: the operator's first).
    pub fields: Fields,
    /// What its runtimes listen on.
    pub ports: BTreeSet<ListenPort>,
    /// Blocks that are named after a provider and hold what only that one has, by its type.
    pub own: BTreeMap<Arc<str>, Part>,
    /// Its `lifecycle`.
    pub lifecycle: Lifecycle,
}
