//! The nodes of a cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_model::spec::{ClusterSpec, Fields, NodeSpec, WorkspaceSpec};
use cloudtik_model::{Diagnostic, Diagnostics, Type, Value};
use cloudtik_provider_api::{ClusterStart, Facts, Lowered, ResourceBuilder, fact};

use super::identity::{HEAD, WORKERS, Who, profile};
use super::layout::Layout;
use super::maker::{Maker, id_of, with_tags};
use super::{check_tags, place};
use crate::facts::image_key;
use crate::firewall::{Peer, Rule, ingress};
use crate::image::{INSTANCE_TYPE, Image, instance_type};
use crate::kinds;
use crate::names::{self, CLUSTER_NAME_TAG, NODE_KIND_TAG, NODE_SEQUENCE_TAG, NODE_TYPE_TAG, WORKSPACE_NAME_TAG};
use crate::network_spec::{Mode, Nat};
use crate::text::part_of;

/// The system disk of a node whose spec says nothing of it.
const DISK_GIB: u64 = 100;
const DISK_TYPE: &str = "gp3";
/// What AWS gives a disk of that type which asks for nothing.
const DISK_IOPS: u64 = 3_000;
const DISK_THROUGHPUT: u64 = 125;

/// The rule that lets everybody who is allowed to reach SSH.
const SSH_PORT: i64 = 22;

/// Parts of the workspace without which a node is of no use: they are there before it, and go after it.
const BEFORE: &[&str] = &[
    "ingress_rule",
    "egress_rule",
    "route",
    "route_table_association",
    "peering_routes",
    "vpc_endpoint",
    "iam_role_policy",
    "iam_role_policy_attachment",
];

/// `cluster.c.head`, and what a worker of each group is made of.
pub(crate) fn cluster(config: &Value, cluster: &ClusterSpec, workspace: &WorkspaceSpec, facts: &Facts) -> Lowered {
    let mut found = Diagnostics::new();
    // What is wrong with the workspace is said of the workspace.
    let layout = Layout::of(config, workspace, facts, &mut Diagnostics::new());
    let maker = Maker::new(workspace);
    let start = ClusterStart::new(cluster, workspace, kinds::INSTANCE, &["user_data"]);
    let nodes = Nodes { config, cluster, facts, layout: &layout, maker: &maker, name: &start.name };
    let mut resources = Vec::new();
    if let (Some(head), Some(instance)) = (&cluster.head, start.head) {
        let before: Vec<_> = BEFORE.iter().map(|part| maker.at(part)).collect();
        resources.push(nodes.head(head, instance.depends_on(&before), &mut found).build());
    }
    let mut workers = BTreeMap::new();
    for (group, instance) in start.workers {
        if let Some(node) = cluster.workers.get(&group) {
            workers.insert(Arc::clone(&group), nodes.worker(&group, node, instance, &mut found));
        }
    }
    nodes.check_egress(&mut found);
    nodes.check_ssh(&mut found);
    Lowered { resources, workers: ClusterStart::templates(workers), exports: Value::object(start.exports), diagnostics: found }
}

struct Nodes<'a> {
    config: &'a Value,
    cluster: &'a ClusterSpec,
    facts: &'a Facts,
    layout: &'a Layout,
    maker: &'a Maker<'a>,
    /// The cluster's name in the world.
    name: &'a str,
}

impl Nodes<'_> {
    fn head(&self, node: &NodeSpec, instance: ResourceBuilder, found: &mut Diagnostics) -> ResourceBuilder {
        let public = self.is_public(node);
        let tags = [(NODE_KIND_TAG, Value::from("head")), (NODE_SEQUENCE_TAG, Value::from("1"))];
        let instance = self.node(node, instance, HEAD, "head", &tags, found);
        let instance = instance.set("associate_public_ip_address", public);
        let subnets = if self.layout.spec.mode == Mode::PublicHead { &self.layout.public } else { &self.layout.private };
        instance.set("subnet_id", self.subnet(node, subnets, found)).field(&node.fields, "authorized_keys")
    }

    fn worker(&self, group: &Arc<str>, node: &NodeSpec, instance: ResourceBuilder, found: &mut Diagnostics) -> ResourceBuilder {
        let tags = [(NODE_KIND_TAG, Value::from("worker")), (NODE_TYPE_TAG, Value::from(Arc::clone(group)))];
        self.node(node, instance, WORKERS, "worker", &tags, found)
            .set("associate_public_ip_address", false)
            .set("subnet_id", self.subnet(node, &self.layout.private, found))
    }

    fn is_public(&self, node: &NodeSpec) -> bool {
        let none = node.fields.get("public_ip").is_some_and(|field| field.value.as_str() == Some("none"));
        self.layout.spec.mode == Mode::PublicHead && !none
    }

    /// What heads and workers have in common.
    fn node(
        &self,
        node: &NodeSpec,
        instance: ResourceBuilder,
        who: Who,
        role: &str,
        tags: &[(&str, Value)],
        found: &mut Diagnostics,
    ) -> ResourceBuilder {
        check_tags(&node.fields, found);
        self.check_machine(node, found);
        if let Err(wrong) = Image::of(node) {
            found.push(wrong);
        }
        let image = fact(self.facts, &image_key(self.config, node), Type::Any);
        let own = [
            ("Name", Value::from(names::node(self.name, role))),
            (CLUSTER_NAME_TAG, Value::from(self.name)),
            (WORKSPACE_NAME_TAG, Value::from(Arc::clone(&self.maker.name))),
        ];
        let written = node.fields.get("tags").map_or(Value::NULL, |field| field.value.clone());
        let imds =
            [("http_endpoint", Value::from("enabled")), ("http_tokens", "required".into()), ("http_put_response_hop_limit", 1_u64.into())];
        let aws = node.own.get("aws").map(|part| &part.fields);
        let value = |name: &str| aws.and_then(|fields| fields.get(name)).map(|field| field.value.clone()).filter(|value| !value.is_null());
        let more = value("security_group_ids");
        let firewalls = more.as_ref().and_then(Value::elements).into_iter().flatten().cloned();
        let firewalls: Vec<Value> = std::iter::once(id_of(&self.maker.at("firewall"))).chain(firewalls).collect();
        let start = instance
            .set("ami", part_of(&image, "id", Type::String))
            .origin("ami", &renamed(&node.fields, "image", "ami"))
            .set("user", part_of(&image, "user", Type::String))
            .set("instance_type", self.instance_type(node))
            .origin("instance_type", &node.fields)
            .set("iam_instance_profile", profile(self.maker, who))
            .set("vpc_security_group_ids", Value::set(firewalls))
            .set("metadata_options", Value::list([Value::object(imds)]))
            .set("root_block_device", disk(node))
            .set("tags", with_tags(&written, own.into_iter().chain(tags.iter().cloned())))
            .origin("tags", &node.fields);
        let Some(fields) = aws else { return start };
        ["key_name", "placement_group", "tenancy", "ebs_optimized"].iter().fold(start, |start, name| start.field(fields, name))
    }

    fn instance_type(&self, node: &NodeSpec) -> Value {
        let one = node.fields.get("instance_type").map(|field| field.value.clone()).filter(|value| !value.is_null());
        let first = || node.fields.get("instance_types")?.value.elements()?.next().cloned();
        one.or_else(first).unwrap_or_else(|| INSTANCE_TYPE.into())
    }

    /// What the spec asks of a node and only a choice of its type could give.
    fn check_machine(&self, node: &NodeSpec, found: &mut Diagnostics) {
        for (name, field) in cloudtik_provider_api::written(&node.fields, &["cpus", "memory_gib"]) {
            let title = format!("provider `{}` chooses no type of machine by `{name}` in this version", self.cluster.provider);
            let help = "write the type: `instance_type = \"m5.xlarge\"`";
            found.push(Diagnostic::error("aws-machine", title).at(field.span).of(&node.address).help(help));
        }
        if let Some(field) = node.fields.get("instance_types") {
            let types = field.value.elements().map_or(0, |types| types.len());
            if types == 0 && !field.value.is_null() && !field.value.is_deferred() {
                found.push(Diagnostic::error("aws-machine", "`instance_types` is empty").at(field.span).of(&node.address));
            } else if types > 1 {
                let title =
                    format!("`instance_types`: only the first, `{}`, is used in this version", instance_type(node).unwrap_or_default());
                found.push(Diagnostic::warning("no-effect", title).at(field.span).of(&node.address));
            }
        }
    }

    /// Where a node stands: in the first of these subnets, or the first that is in one of its zones.
    fn subnet(&self, node: &NodeSpec, subnets: &[Value], found: &mut Diagnostics) -> Value {
        let own = node.own.get("aws").and_then(|part| part.fields.get("subnet_ids"));
        if let Some(first) = own.and_then(|field| field.value.elements()).and_then(|mut ids| ids.next().cloned()) {
            return first;
        }
        let first = || subnets.first().cloned().unwrap_or(Value::NULL);
        let Some(zones) = node.fields.get("zones").filter(|field| !field.value.is_null()) else { return first() };
        let at = place(&node.fields, "zones", node.span);
        if !self.layout.makes_subnets() {
            let title = "`zones` has no effect with subnets that are given";
            found.push(Diagnostic::warning("no-effect", title).at(at).of(&node.address).help("write `aws { subnet_ids = […] }`"));
            return first();
        }
        let wanted: Vec<&str> = zones.value.elements().into_iter().flatten().filter_map(Value::as_str).collect();
        let slot = self.layout.zones.iter().position(|zone| zone.as_str().is_some_and(|zone| wanted.contains(&zone)));
        match slot.and_then(|slot| subnets.get(slot)) {
            Some(subnet) => subnet.clone(),
            // Which zone a slot is, is not known yet: where the node stands neither.
            None if self.layout.zones.iter().any(Value::is_deferred) => self.layout.zones.first().cloned().unwrap_or(Value::NULL),
            None => {
                let there: Vec<&str> = self.layout.zones.iter().filter_map(Value::as_str).collect();
                let title = format!("the workspace has no subnet in {}", wanted.join(", "));
                let help = format!("its zones are {}", there.join(", "));
                found.push(Diagnostic::error("aws-zones", title).at(at).of(&node.address).help(help));
                Value::NULL
            }
        }
    }

    /// Without a way out private nodes reach nothing but the services with endpoints: neither AWS's own API nor anybody's packages.
    fn check_egress(&self, found: &mut Diagnostics) {
        if self.layout.spec.nat != Nat::None || !self.layout.makes_subnets() {
            return;
        }
        let head = self.cluster.head.iter().filter(|head| !self.is_public(head));
        let names: Vec<String> = head.chain(self.cluster.workers.values()).map(|node| format!("`{}`", node.address)).collect();
        if names.is_empty() {
            return;
        }
        let title = format!("{} cannot reach the internet: the network of the workspace has `nat = \"none\"`", names.join(", "));
        let help = "write `nat = \"single\"` in `network`, or do without: the services in `endpoints` are reached all the same";
        found.push(Diagnostic::warning("aws-no-egress", title).at(self.cluster.span).of(&self.cluster.address).help(help));
    }

    /// Steps reach the head over SSH, and everything else through the head.
    fn check_ssh(&self, found: &mut Diagnostics) {
        let Some(head) = &self.cluster.head else { return };
        let own = head.own.get("aws").and_then(|part| part.fields.get("security_group_ids")).is_some_and(|field| !field.value.is_null());
        let client = self.layout.client_range().map(|range| (self.layout.spec.client_access, range));
        let rules = ingress(self.maker.workspace, client, &mut Diagnostics::new());
        let reaches = |rule: &Rule| rule.peer != Peer::Inside && rule.ports.range.is_none_or(|(from, to)| (from..=to).contains(&SSH_PORT));
        if own || rules.values().any(reaches) {
            return;
        }
        let title = format!("no rule lets anybody reach SSH of `{}`, so nothing can be set up on it", head.address);
        let help = match self.layout.spec.mode {
            Mode::PublicHead => "write `ssh_from = [\"YOUR ADDRESS/32\"]` in `firewall` of the workspace",
            Mode::Peered | Mode::Shared => "leave out `client_access = \"none\"`, or write `ssh_from` in `firewall` of the workspace",
        };
        found.push(Diagnostic::warning("aws-no-ssh", title).at(head.span).of(&head.address).help(help));
    }
}

fn renamed(fields: &Fields, from: &str, to: &str) -> Fields {
    fields.get(from).map(|field| (Arc::from(to), field.clone())).into_iter().collect()
}

/// The system disk, with everything that AWS would choose, so that it is found as it was asked for.
fn disk(node: &NodeSpec) -> Value {
    let value = |name: &str| node.fields.get(name).map(|field| field.value.clone()).filter(|value| !value.is_null());
    let ty = value("disk_type").unwrap_or_else(|| DISK_TYPE.into());
    let usual = ty.as_str() == Some(DISK_TYPE);
    let of_usual = |number: u64| if usual { number.into() } else { Value::NULL };
    Value::list([Value::object([
        ("volume_size", value("disk_gib").unwrap_or_else(|| DISK_GIB.into())),
        ("volume_type", ty),
        ("iops", of_usual(DISK_IOPS)),
        ("throughput", of_usual(DISK_THROUGHPUT)),
        ("encrypted", true.into()),
    ])])
}
