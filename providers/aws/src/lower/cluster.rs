//! The nodes of a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::spec::{ClusterSpec, Fields, NodeSpec, WorkspaceUse};
use cloudtik_model::{Diagnostic, Diagnostics, Type, Value};
use cloudtik_provider_api::{ClusterStart, Facts, Lowered, ResourceBuilder, fact};

use super::firewall::ClusterFirewall;
use super::identity::{HEAD, WORKERS, Who};
use super::maker::with_tags;
use super::static_address::StaticAddress;
use super::template::template;
use super::{check_tags, forms, place};
use crate::facts::{image_key, machine_type_key};
use crate::image::Image;
use crate::names::{self, CLUSTER_NAME_TAG, NODE_KIND_TAG, NODE_SEQUENCE_TAG, NODE_TYPE_TAG, WORKSPACE_NAME_TAG};
use crate::network_spec::Mode;
use crate::text::part_of;
use crate::{firewall, kinds, machine_type};

/// The system disk of a node whose spec says nothing of it.
const DISK_GIB: u64 = 100;
const DISK_TYPE: &str = "gp3";
/// What AWS gives a disk of that type which asks for nothing.
const DISK_IOPS: u64 = 3_000;
const DISK_THROUGHPUT: u64 = 125;

/// `cluster.c.head`, the firewall of the cluster, and what a worker of each group is made of.
pub(crate) fn cluster(config: &Value, cluster: &ClusterSpec, workspace: &WorkspaceUse, facts: &Facts) -> Lowered {
    let mut found = Diagnostics::new();
    let start = ClusterStart::new(cluster, workspace, kinds::INSTANCE, &["user_data"]);
    let name = Arc::clone(&start.name);
    let firewall = ClusterFirewall::of(cluster, workspace, &name, &mut found);
    let mut resources = firewall.as_ref().map(ClusterFirewall::parts).unwrap_or_default();
    let start = start.after(resources.iter().map(|part| &part.address));
    let nodes = Nodes { config, cluster, facts, workspace, name: &name, firewall: firewall.as_ref() };
    let (mut exports, mut gates) = (start.exports, BTreeSet::new());
    if let (Some(head), Some(instance)) = (&cluster.head, start.head) {
        resources.push(nodes.head(head, instance, &mut found).build());
        if let Some(address) = StaticAddress::of(cluster, head, workspace, &name, &mut found) {
            resources.extend(address.resources());
            address.tell(&mut exports, &part_of(&nodes.image(head), "user", Type::String));
            gates.insert(address.association);
        }
    }
    let mut workers = BTreeMap::new();
    for (group, instance) in start.workers {
        if let Some(node) = cluster.workers.get(&group) {
            let worker = nodes.worker(&group, node, instance, &mut found);
            let device = part_of(&nodes.image(node), "root_device_name", Type::String);
            let (template, worker) = template(cluster, workspace, &name, &group, worker, device);
            resources.push(template);
            workers.insert(group, worker);
        }
    }
    nodes.check_egress(&mut found);
    nodes.check_ssh(&mut found);
    Lowered {
        resources,
        workers: ClusterStart::templates(workers),
        exports: Value::object(exports),
        gates,
        diagnostics: found,
        ..Lowered::default()
    }
}

struct Nodes<'a> {
    config: &'a Value,
    cluster: &'a ClusterSpec,
    facts: &'a Facts,
    workspace: &'a WorkspaceUse,
    /// The cluster's name in the world.
    name: &'a str,
    /// What its nodes are behind beside the firewall of the workspace.
    firewall: Option<&'a ClusterFirewall<'a>>,
}

impl Nodes<'_> {
    fn head(&self, node: &NodeSpec, instance: ResourceBuilder, found: &mut Diagnostics) -> ResourceBuilder {
        let public = self.is_public(node);
        let tags = [(NODE_KIND_TAG, Value::from("head")), (NODE_SEQUENCE_TAG, Value::from("1"))];
        let instance = self.node(node, instance, HEAD, "head", &tags, found);
        let instance = instance.set("associate_public_ip_address", public);
        let (machine, name) = forms::instance_type(node, || self.machine_type(node));
        let instance = instance.set("instance_type", machine).origin("instance_type", &renamed(&node.fields, name, "instance_type"));
        let subnets = self.subnets(node, if public { "public_subnet_ids" } else { "private_subnet_ids" }, found);
        let first = subnets.elements().map_or_else(|| unread(&subnets), |mut ids| ids.next().cloned().unwrap_or_default());
        instance.set("subnet_id", first).field(&node.fields, "authorized_keys")
    }

    fn worker(&self, group: &Arc<str>, node: &NodeSpec, instance: ResourceBuilder, found: &mut Diagnostics) -> ResourceBuilder {
        let tags = [(NODE_KIND_TAG, Value::from("worker")), (NODE_TYPE_TAG, Value::from(Arc::clone(group)))];
        let worker = self.node(node, instance, WORKERS, "worker", &tags, found).set("associate_public_ip_address", false);
        forms::check(node, found);
        forms::forms(node, worker, || self.machine_type(node)).set("subnet_ids", self.subnets(node, "private_subnet_ids", found))
    }

    fn is_public(&self, node: &NodeSpec) -> bool {
        let none = node.fields.get("public_ip").is_some_and(|field| field.value.as_str() == Some("none"));
        self.has_public_heads() && !none
    }

    fn has_public_heads(&self) -> bool {
        self.workspace.exports.get("mode").and_then(Value::as_str) == Some(Mode::PublicHead.word())
    }

    /// What the workspace exports; of one whose record was not read, what stands for it.
    fn export(&self, group: &str, name: &str, ty: Type) -> Value {
        part_of(&part_of(&self.workspace.exports, group, Type::Any), name, ty)
    }

    fn image(&self, node: &NodeSpec) -> Value {
        fact(self.facts, &image_key(&self.cluster.provider, self.config, node), Type::Any)
    }

    /// The type that was chosen for what a node must have.
    fn machine_type(&self, node: &NodeSpec) -> Value {
        fact(self.facts, &machine_type_key(&self.cluster.provider, self.config, node), Type::String)
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
        machine_type::check(node, found);
        if let Err(wrong) = Image::of(node) {
            found.push(wrong);
        }
        let image = self.image(node);
        let own = [
            ("Name", Value::from(names::node(self.name, role))),
            (CLUSTER_NAME_TAG, Value::from(self.name)),
            (WORKSPACE_NAME_TAG, Value::from(Arc::clone(&self.workspace.name))),
        ];
        let written = node.fields.get("tags").map_or(Value::NULL, |field| field.value.clone());
        let imds =
            [("http_endpoint", Value::from("enabled")), ("http_tokens", "required".into()), ("http_put_response_hop_limit", 1_u64.into())];
        let aws = node.own.get("aws").map(|part| &part.fields);
        let value = |name: &str| aws.and_then(|fields| fields.get(name)).map(|field| field.value.clone()).filter(|value| !value.is_null());
        let more = value("security_group_ids");
        let firewalls = more.as_ref().and_then(Value::elements).into_iter().flatten().cloned();
        let firewalls: Vec<Value> = self.firewalls(who).chain(firewalls).collect();
        let start = instance
            .set("ami", part_of(&image, "id", Type::String))
            .origin("ami", &renamed(&node.fields, "image", "ami"))
            .set("user", part_of(&image, "user", Type::String))
            .set("iam_instance_profile", self.export("identity", who.part, Type::String))
            .set("vpc_security_group_ids", Value::set(firewalls))
            .set("metadata_options", Value::list([Value::object(imds)]))
            .set("root_block_device", disk(node))
            .set("tags", with_tags(&written, own.into_iter().chain(tags.iter().cloned())))
            .origin("tags", &node.fields);
        let Some(fields) = aws else { return start };
        ["key_name", "placement_group", "tenancy", "ebs_optimized"].iter().fold(start, |start, name| start.field(fields, name))
    }

    /// Those of the workspace and of the cluster that a node is behind. A record that was written before heads had one of their own names none.
    fn firewalls(&self, who: Who) -> impl Iterator<Item = Value> {
        let (of_workspace, nodes): (&[&str], _) =
            if who == HEAD { (&["id", "head_id"], firewall::Nodes::Heads) } else { (&["id"], firewall::Nodes::Workers) };
        let of_workspace: Vec<Value> = of_workspace.iter().map(|name| self.export("firewall", name, Type::String)).collect();
        let of_cluster = self.firewall.into_iter().flat_map(move |firewall| firewall.ids(nodes));
        of_workspace.into_iter().filter(|id| !id.is_null()).chain(of_cluster)
    }

    /// Where a node may stand: in all of these subnets, or those that are in one of its zones.
    fn subnets(&self, node: &NodeSpec, subnets: &str, found: &mut Diagnostics) -> Value {
        let own = node.own.get("aws").and_then(|part| part.fields.get("subnet_ids"));
        if let Some(ids) = own.and_then(|field| field.value.elements()).filter(|ids| ids.len() > 0) {
            return Value::list(ids.cloned());
        }
        let ids = self.export("network", subnets, Type::list(Type::String));
        let Some(subnets) = ids.elements() else { return ids };
        let subnets: Vec<Value> = subnets.cloned().collect();
        let Some(wanted) = node.fields.get("zones").filter(|field| !field.value.is_null()) else { return Value::list(subnets) };
        let at = place(&node.fields, "zones", node.span);
        let zones = self.export("network", "zones", Type::list(Type::String));
        let zones: Vec<&Value> = zones.elements().into_iter().flatten().collect();
        if zones.is_empty() {
            let title = "`zones` has no effect with subnets that are given";
            found.push(Diagnostic::warning("no-effect", title).at(at).of(&node.address).help("write `aws { subnet_ids = […] }`"));
            return Value::list(subnets);
        }
        let wanted: Vec<&str> = wanted.value.elements().into_iter().flatten().filter_map(Value::as_str).collect();
        let is_wanted = |zone: &Value| zone.as_str().is_some_and(|zone| wanted.contains(&zone));
        let there: Vec<Value> = subnets.into_iter().zip(&zones).filter(|(_, zone)| is_wanted(zone)).map(|(subnet, _)| subnet).collect();
        if !there.is_empty() {
            return Value::list(there);
        }
        // Which zone a slot is, is not known yet: where the node stands neither.
        if let Some(zone) = zones.iter().find(|zone| zone.is_deferred()) {
            return Value::list([(*zone).clone()]);
        }
        let there: Vec<&str> = zones.iter().filter_map(|zone| zone.as_str()).collect();
        let title = format!("the workspace has no subnet in {}", wanted.join(", "));
        let help = format!("its zones are {}", there.join(", "));
        found.push(Diagnostic::error("aws-zones", title).at(at).of(&node.address).help(help));
        Value::NULL
    }

    /// Without a way out private nodes reach nothing but the services with endpoints: neither AWS's own API nor anybody's packages.
    fn check_egress(&self, found: &mut Diagnostics) {
        if self.export("network", "egress", Type::Bool).as_bool() != Some(false) {
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
        let of_cluster = self.firewall.is_some_and(ClusterFirewall::admits_ssh);
        if own || of_cluster || self.export("firewall", "admits_ssh", Type::Bool).as_bool() != Some(false) {
            return;
        }
        let title = format!("no rule lets anybody reach SSH of `{}`, so nothing can be set up on it", head.address);
        let help = if self.has_public_heads() {
            "write `ssh_from = [\"YOUR ADDRESS/32\"]` in `firewall` of the workspace or of the cluster"
        } else {
            "leave out `client_access = \"none\"`, or write `ssh_from` in `firewall` of the workspace or of the cluster"
        };
        found.push(Diagnostic::warning("aws-no-ssh", title).at(head.span).of(&head.address).help(help));
    }
}

/// One of a list that is not known yet.
fn unread(list: &Value) -> Value {
    list.as_deferred().map_or(Value::NULL, |deferred| Value::deferred(Type::String, deferred.expr.clone()))
}

pub(super) fn renamed(fields: &Fields, from: &str, to: &str) -> Fields {
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
