//! Names of what a workspace and a cluster become. They are those of the predecessor, so that its tools and rules for names go on working;
//! what it left without a name has one in the same form.

use crate::firewall::Nodes;

/// The tag that workspaces are found by in the predecessor's way.
pub const WORKSPACE_NAME_TAG: &str = "cloudtik-workspace-name";
/// On a network, which form of a workspace it belongs to.
pub const WORKSPACE_VERSION_TAG: &str = "cloudtik-workspace-version";
/// The only form there is.
pub const WORKSPACE_VERSION: &str = "1";
/// On a node, its cluster.
pub const CLUSTER_NAME_TAG: &str = "cloudtik-cluster-name";
/// On a node, `head` or `worker`.
pub const NODE_KIND_TAG: &str = "cloudtik-node-kind";
/// On a node, its group.
pub const NODE_TYPE_TAG: &str = "cloudtik-user-node-type";
/// On a head, its number, which is 1.
pub const NODE_SEQUENCE_TAG: &str = "cloudtik-node-seq-id";

/// The parts of a workspace that have a name of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// The network.
    Network,
    /// A subnet that the internet reaches.
    PublicSubnet,
    /// One that it does not.
    PrivateSubnet,
    /// The network's door to the internet.
    InternetGateway,
    /// The address of a NAT gateway.
    NatAddress,
    /// A NAT gateway.
    NatGateway,
    /// Where packets of public subnets go.
    PublicRouteTable,
    /// Where packets of private subnets go.
    PrivateRouteTable,
    /// The connection to the client's network.
    Peering,
}

/// The name of a part of a workspace.
#[must_use]
pub fn of(workspace: &str, part: Named) -> String {
    let part = match part {
        Named::Network => "vpc",
        Named::PublicSubnet => "public-subnet",
        Named::PrivateSubnet => "private-subnet",
        Named::InternetGateway => "internet-gateway",
        Named::NatAddress => "nat-address",
        Named::NatGateway => "nat-gateway",
        Named::PublicRouteTable => "public-route-table",
        Named::PrivateRouteTable => "private-route-table",
        Named::Peering => "vpc-peering-connection",
    };
    format!("cloudtik-{workspace}-{part}")
}

/// The name of the firewall.
#[must_use]
pub fn firewall(workspace: &str) -> String {
    format!("cloudtik-{workspace}")
}

/// The name of the firewall of heads. No workspace is called so that its own firewall had this name: names have no `/`.
#[must_use]
pub fn firewall_of_heads(workspace: &str) -> String {
    format!("cloudtik-{workspace}/head")
}

/// The name of a firewall of a cluster. Neither name has a `.` or a `/`, so no workspace has a firewall of that name.
#[must_use]
pub(crate) fn firewall_of_cluster(workspace: &str, cluster: &str, nodes: Nodes) -> String {
    let who = match nodes {
        Nodes::All => "",
        Nodes::Heads => "/head",
        Nodes::Workers => "/workers",
    };
    format!("cloudtik-{workspace}.{cluster}{who}")
}

/// The name of a private endpoint.
#[must_use]
pub fn endpoint(workspace: &str, service: &str) -> String {
    format!("cloudtik-{workspace}-vpc-endpoint-{service}")
}

/// The name of a role: `who` is `head` or `worker`.
#[must_use]
pub fn role(workspace: &str, who: &str) -> String {
    format!("cloudtik-{workspace}-{who}-role")
}

/// The name of an instance profile.
#[must_use]
pub fn profile(workspace: &str, who: &str) -> String {
    format!("cloudtik-{workspace}-{who}-profile")
}

/// The name of the rights that are written into a role.
#[must_use]
pub fn policy(workspace: &str, who: &str) -> String {
    format!("cloudtik-{workspace}-{who}")
}

/// The name of an object store.
#[must_use]
pub fn bucket(workspace: &str, region: &str, label: &str) -> String {
    format!("cloudtik-{workspace}-{region}-{label}")
}

/// The name of a database, and of its firewall. The predecessor had one, without a label.
#[must_use]
pub fn database(workspace: &str, label: &str) -> String {
    if label == "default" { format!("cloudtik-{workspace}-db") } else { format!("cloudtik-{workspace}-db-{label}") }
}

/// The name of what says where databases may lie.
#[must_use]
pub fn database_subnets(workspace: &str) -> String {
    format!("cloudtik-{workspace}-db-subnet-group")
}

/// The name of what keeps the password of a database.
#[must_use]
pub fn database_password(workspace: &str, label: &str) -> String {
    format!("/cloudtik/{workspace}/database/{label}/password")
}

/// The name of the record of a workspace.
#[must_use]
pub fn record(workspace: &str) -> String {
    format!("/cloudtik/{workspace}/workspace")
}

/// The value of the tag `Name` of a node: `who` is `head` or `worker`.
#[must_use]
pub fn node(cluster: &str, who: &str) -> String {
    format!("cloudtik-{cluster}-{who}")
}

/// The value of the tag `Name` of the address of a head.
#[must_use]
pub fn head_address(cluster: &str) -> String {
    format!("cloudtik-{cluster}-head-address")
}

/// The name of what the workers of a group are launched from. Between its parts stands what stands in none of them: another cluster has another.
#[must_use]
pub fn launch_template(workspace: &str, cluster: &str, group: &str) -> String {
    format!("cloudtik-{workspace}.{cluster}.{group}")
}
