//! Firewalls and their rules: those of a workspace, and those of a cluster, which stand beside them.

use cloudtik_model::spec::{ClusterSpec, FirewallSpec, Part, WorkspaceUse};
use cloudtik_model::{Address, Diagnostic, Diagnostics, Lifecycle, ResourceSpec, Span, Type, Value};
use cloudtik_provider_api::{CLUSTER_TAG, ResourceBuilder, WORKSPACE_TAG, reference};

use super::keyed;
use super::layout::Layout;
use super::maker::{Maker, id_of, with_tags};
use super::network::{GATEWAYS, endpoint_address};
use crate::firewall::{DECLARED, Nodes, Peer, Rule, Rules, egress, egress_of_cluster, ingress, ingress_of_cluster};
use crate::kinds;
use crate::names::{self, CLUSTER_NAME_TAG, WORKSPACE_NAME_TAG};
use crate::network_spec::Access;
use crate::text::part_of;

/// The directions that rules have, by the names that their addresses have.
const DIRECTIONS: [(&str, &str); 2] = [("ingress_rule", kinds::INGRESS_RULE), ("egress_rule", kinds::EGRESS_RULE)];

/// The firewall of some nodes of a workspace or a cluster.
pub(super) fn firewall_of(owner: &Address, nodes: Nodes) -> Address {
    below(&owner.child("firewall"), nodes)
}

fn below(part: &Address, nodes: Nodes) -> Address {
    match nodes {
        Nodes::All => part.clone(),
        Nodes::Heads => part.child("head"),
        Nodes::Workers => part.child("workers"),
    }
}

/// `OWNER.ingress_rule["key"]`, `OWNER.ingress_rule.head["key"]`
fn rule_address(owner: &Address, direction: &str, nodes: Nodes, key: &str) -> Address {
    match nodes {
        Nodes::All => keyed(owner, direction, key),
        Nodes::Heads => keyed(&owner.child(direction), "head", key),
        Nodes::Workers => keyed(&owner.child(direction), "workers", key),
    }
}

/// Puts the firewalls of a workspace and their rules in.
pub(super) fn firewall(maker: &mut Maker<'_>, layout: &Layout, found: &mut Diagnostics) {
    let own = [(Nodes::All, names::firewall(&maker.name), "Nodes"), (Nodes::Heads, names::firewall_of_heads(&maker.name), "Heads")];
    for (nodes, name, who) in own {
        let description = layout.whole.as_ref().and_then(|whole| whole.firewall_description(&name));
        let description = description.unwrap_or_else(|| format!("{who} of the workspace {}", maker.name).into());
        let group = maker
            .tagged(&firewall_of(&maker.workspace.address, nodes), kinds::SECURITY_GROUP, &maker.workspace.firewall.own, &[("Name", &name)])
            .set("name", &*name)
            .set("description", description)
            .set("vpc_id", layout.network.clone());
        maker.push(group);
    }
    let client = layout.client_range().map(|range| (layout.spec.client_access, range)).filter(|(access, _)| *access != Access::None);
    let made = if layout.makes_subnets() { layout.spec.endpoints.as_slice() } else { &[] };
    let has_interfaces = made.iter().any(|service| !GATEWAYS.contains(&service.as_str()));
    let rules = [ingress(maker.workspace, client, has_interfaces, found), egress(maker.workspace, made, found)];
    let owner = &maker.workspace.address;
    let [inside, heads] = [Nodes::All, Nodes::Heads].map(|nodes| id_of(&firewall_of(owner, nodes)));
    for ((name, kind), rules) in DIRECTIONS.into_iter().zip(rules) {
        for ((nodes, key), rule) in rules {
            let part = Part { span: rule.span, ..Part::default() };
            let start = maker.tagged(&rule_address(owner, name, nodes, &key), kind, &part, &[]);
            let rule = built(start, owner, nodes, rule, (&inside, &heads));
            maker.push(rule);
        }
    }
}

/// What a rule says. The workspace's firewalls for all nodes and for heads are by whom rules know those who are inside.
fn built(start: ResourceBuilder, owner: &Address, nodes: Nodes, rule: Rule, (inside, heads): (&Value, &Value)) -> ResourceBuilder {
    let of_all = firewall_of(owner, Nodes::All);
    let start = start
        // A rule that was for all nodes and is for heads now is made here before it goes there: those that depend on the same are one set.
        .depends_on([&of_all])
        .set("security_group_id", id_of(&firewall_of(owner, nodes)))
        .set("ip_protocol", rule.ports.protocol)
        .set("description", rule.description);
    let start = match rule.ports.range {
        Some((from, to)) => start.set("from_port", from).set("to_port", to),
        None => start,
    };
    match rule.peer {
        Peer::Range(range) if range.as_str().is_some_and(|range| range.contains(':')) => start.set("cidr_ipv6", range),
        Peer::Range(range) => start.set("cidr_ipv4", range),
        Peer::Inside => start.set("referenced_security_group_id", inside.clone()),
        Peer::Heads => start.set("referenced_security_group_id", heads.clone()),
        Peer::Service(service) if GATEWAYS.contains(&service.as_str()) => {
            start.set("prefix_list_id", reference(&endpoint_address(owner, &service), "prefix_list_id", Type::String))
        }
        // An endpoint of another type has addresses inside, behind the same firewall.
        Peer::Service(_) => start.set("referenced_security_group_id", inside.clone()),
    }
}

/// The firewalls of a cluster: one for all of its nodes, one for its head and one for its workers. All of them are there as soon as there is one, so
/// that a rule which is for other nodes than before needs no change of a node.
pub(super) struct ClusterFirewall<'a> {
    cluster: &'a ClusterSpec,
    workspace: &'a WorkspaceUse,
    /// The cluster's name in the world.
    name: &'a str,
    rules: [Rules; 2],
    span: Span,
}

impl<'a> ClusterFirewall<'a> {
    /// As the spec says, or because the workspace opens between its nodes only what clusters declare. `None`: the cluster has none.
    pub(super) fn of(cluster: &'a ClusterSpec, workspace: &'a WorkspaceUse, name: &'a str, found: &mut Diagnostics) -> Option<Self> {
        // A record that was written before there was a choice says nothing.
        let is_declared = of_workspace(workspace, "inside", Type::String).as_str() == Some(DECLARED);
        if cluster.firewall.is_none() && !is_declared {
            return None;
        }
        let firewall = cluster.firewall.clone().unwrap_or_default();
        check_egress(&firewall, workspace, found);
        let rules = [ingress_of_cluster(cluster, &firewall, is_declared, found), egress_of_cluster(&firewall, found)];
        let span = cluster.firewall.as_ref().map_or(cluster.span, |firewall| firewall.own.span);
        Some(Self { cluster, workspace, name, rules, span })
    }

    /// Whether a rule lets somebody outside reach SSH of the head.
    pub(super) fn admits_ssh(&self) -> bool {
        let [ingress, _] = &self.rules;
        ingress.iter().any(|((nodes, _), rule)| *nodes != Nodes::Workers && rule.admits_ssh())
    }

    /// The ids of those that nodes of a kind are behind.
    pub(super) fn ids(&self, nodes: Nodes) -> impl Iterator<Item = Value> {
        [Nodes::All, nodes].into_iter().map(|nodes| id_of(&firewall_of(&self.cluster.address, nodes)))
    }

    /// The firewalls and their rules.
    pub(super) fn parts(&self) -> Vec<ResourceSpec> {
        let network = part_of(&part_of(&self.workspace.exports, "network", Type::Any), "id", Type::String);
        let firewall = |(nodes, who): (Nodes, &str)| {
            let name = names::firewall_of_cluster(&self.workspace.name, self.name, nodes);
            self.tagged(firewall_of(&self.cluster.address, nodes), kinds::SECURITY_GROUP, self.span, Some(&name))
                .set("name", &*name)
                .set("description", format!("{who} of the cluster {} of the workspace {}", self.name, self.workspace.name))
                .set("vpc_id", network.clone())
        };
        let own = [(Nodes::All, "Nodes"), (Nodes::Heads, "Head"), (Nodes::Workers, "Workers")];
        let mut parts: Vec<ResourceSpec> = own.into_iter().map(|own| firewall(own).build()).collect();
        let [inside, heads] = ["id", "head_id"].map(|name| of_workspace(self.workspace, name, Type::String));
        for ((name, kind), rules) in DIRECTIONS.into_iter().zip(&self.rules) {
            parts.extend(rules.iter().map(|((nodes, key), rule)| {
                let start = self.tagged(rule_address(&self.cluster.address, name, *nodes, key), kind, rule.span, None);
                built(start, &self.cluster.address, *nodes, rule.clone(), (&inside, &heads)).build()
            }));
        }
        parts
    }

    fn tagged(&self, address: Address, kind: &'static str, span: Span, name: Option<&str>) -> ResourceBuilder {
        let written = self.cluster.fields.get("tags").map_or(Value::NULL, |field| field.value.clone());
        let own =
            [(CLUSTER_NAME_TAG, self.name), (WORKSPACE_NAME_TAG, &*self.workspace.name)].into_iter().chain(name.map(|name| ("Name", name)));
        ResourceBuilder::new(address, kind, self.cluster.provider.clone(), span)
            .lifecycle(&Lifecycle::default(), &self.cluster.lifecycle)
            .depends_on(&self.cluster.depends_on)
            .mark(WORKSPACE_TAG, &*self.workspace.name)
            .mark(CLUSTER_TAG, format!("{}/{}", self.workspace.name, self.name))
            .set("tags", with_tags(&written, own.map(|(name, value)| (name, value.into()))))
            .origin("tags", &self.cluster.fields)
    }
}

/// What the workspace exports of its firewall.
fn of_workspace(workspace: &WorkspaceUse, name: &str, ty: Type) -> Value {
    part_of(&part_of(&workspace.exports, "firewall", Type::Any), name, ty)
}

/// The rules of several firewalls add up, so that one which lets everything out leaves nothing for another to close.
fn check_egress(firewall: &FirewallSpec, workspace: &WorkspaceUse, found: &mut Diagnostics) {
    let lets_all_out = of_workspace(workspace, "lets_all_out", Type::Bool);
    let Some(first) = firewall.egress.values().map(|part| part.span).min().filter(|_| lets_all_out.as_bool() == Some(true)) else { return };
    let title =
        "`egress` of a cluster closes nothing here: its nodes are behind the firewall of the workspace too, which lets everything out";
    let help = format!("write `egress` in `firewall` of {}; what a cluster says is let out besides", workspace.address);
    found.push(Diagnostic::error("aws-firewall", title).at(first).help(help));
}
