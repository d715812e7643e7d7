//! What a workspace and a cluster become on this machine, and what of a spec it cannot do.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_model::spec::{ClusterSpec, Field, Fields, NodeSpec, Part, WorkspaceSpec};
use cloudtik_model::{Diagnostic, Diagnostics, Number, ProviderRef, Span, Type, Value};
use cloudtik_provider_api::{
    CLUSTER_TAG, Facts, HEAD_ROLE, Lowered, ROLE_TAG, ResourceBuilder, firewall_rules, real_name, reference, worker_name,
};

use super::form::{form_of, known};
use super::kinds::{BUCKET_KIND, FIREWALL_KIND, INSTANCE_KIND, MODE, NETWORK_KIND};
use super::request::MARK_PREFIX;
use crate::daemon::addresses::check_asked;
use crate::daemon::check::label;
use crate::protocol::Form;

/// Marks what belongs to a workspace.
const WORKSPACE_MARK: &str = "cloudtik:workspace";

/// The longest number that a worker's host name is checked with: of a million workers that a group ever had.
const LONGEST_SEQUENCE: &str = "999999";

/// `workspace.w.network`, `.firewall`, `.storage.<n>`.
pub(super) fn workspace(config: &Value, workspace: &WorkspaceSpec, facts: &Facts) -> Lowered {
    let mut found = Diagnostics::new();
    let name = real_name(&workspace.address, &workspace.fields);
    check_name(&name, place(&workspace.fields, "name", workspace.span), &mut found);
    check_tags(&workspace.fields, &mut found);
    let mode = check_mode(workspace, &mut found);
    let form = form_of(&workspace.provider, config, facts);
    let network_address = workspace.address.child("network");
    let firewall_address = workspace.address.child("firewall");

    let mut network = ResourceBuilder::part(network_address.clone(), NETWORK_KIND, workspace, &workspace.network)
        .mark(WORKSPACE_MARK, &*name)
        .set("name", Arc::clone(&name))
        .field(&workspace.network.fields, "mode")
        .field(&workspace.fields, "tags");
    if let Some(form) = form {
        network = network.set("form", form.name());
    }
    if takes_cidr(form, workspace, &mut found) {
        network = network.field(&workspace.network.fields, "cidr");
    }
    let firewall = ResourceBuilder::part(firewall_address.clone(), FIREWALL_KIND, workspace, &workspace.firewall)
        .mark(WORKSPACE_MARK, &*name)
        .set("name", Arc::clone(&name))
        .set("network", reference(&network_address, "id", Type::String))
        .set("rules", firewall_rules(workspace))
        .field(&workspace.fields, "tags");
    let mut resources = vec![network.build(), firewall.build()];
    let mut storage = Vec::new();
    for (label, part) in &workspace.storage {
        let address = workspace.address.child("storage").child(Arc::clone(label));
        let bucket_name = bucket_name(&name, label, part, &mut found);
        let bucket = ResourceBuilder::part(address.clone(), BUCKET_KIND, workspace, part)
            .mark(WORKSPACE_MARK, &*name)
            .set("name", bucket_name.clone())
            .origin("name", &part.fields)
            .field(&part.fields, "on_destroy")
            .field(&workspace.fields, "tags");
        resources.push(bucket.build());
        storage.push((Arc::clone(label), Value::object([("name", bucket_name), ("uri", reference(&address, "uri", Type::String))])));
    }
    let of_network = |attribute| reference(&network_address, attribute, Type::String);
    let exports = Value::object([
        ("name", Value::from(name)),
        ("id", of_network("id")),
        ("region", "local".into()),
        ("mode", mode),
        ("network", Value::object([("id", of_network("id")), ("cidr", of_network("cidr"))])),
        ("firewall", Value::object([("id", reference(&firewall_address, "id", Type::String))])),
        ("storage", Value::object(storage)),
    ]);
    Lowered { resources, exports, diagnostics: found, ..Lowered::default() }
}

/// `cluster.c.head`, and a worker of each group.
pub(super) fn cluster(config: &Value, cluster: &ClusterSpec, workspace: &WorkspaceSpec, facts: &Facts) -> Lowered {
    let mut found = Diagnostics::new();
    let name = real_name(&cluster.address, &cluster.fields);
    let workspace_name = real_name(&workspace.address, &workspace.fields);
    let id = format!("{workspace_name}/{name}");
    let mut exports =
        vec![("name", Value::from(Arc::clone(&name))), ("id", id.as_str().into()), ("workspace", Arc::clone(&workspace_name).into())];
    let mut resources = Vec::new();
    if let Some(head) = &cluster.head {
        let host_name = format!("{name}-head");
        check_name(&host_name, place(&cluster.fields, "name", cluster.span), &mut found);
        check_tags(&head.fields, &mut found);
        let mut instance = instance(cluster, head, workspace, &workspace_name)
            .mark(CLUSTER_TAG, id)
            .mark(ROLE_TAG, HEAD_ROLE)
            .set("name", host_name)
            .field(&head.fields, "publish");
        if cluster.workers_max > 0 {
            instance = instance.set("max_workers", cluster.workers_max);
        }
        resources.push(instance.build());
        let parts = ["id", "private_ip", "public_ip", "hostname", "ssh_command"];
        exports.push(("head", Value::object(parts.map(|part| (part, reference(&head.address, part, Type::String))))));
    }
    let mut workers = BTreeMap::new();
    for (group, node) in &cluster.workers {
        check_worker_name(&format!("{name}-{group}-{LONGEST_SEQUENCE}"), node, &mut found);
        check_tags(&node.fields, &mut found);
        let worker = instance(cluster, node, workspace, &workspace_name).set("name", worker_name(&name, group));
        workers.insert(Arc::clone(group), worker.build());
    }
    for nodes in asking_of(cluster) {
        for exceeded in exceeded(&cluster.provider, config, &[nodes], facts) {
            found.push(exceeded.diagnostic());
        }
    }
    Lowered { resources, workers, exports: Value::object(exports), diagnostics: found }
}

/// What the head and the workers have in common.
fn instance(cluster: &ClusterSpec, node: &NodeSpec, workspace: &WorkspaceSpec, workspace_name: &str) -> ResourceBuilder {
    let instance = ResourceBuilder::new(node.address.clone(), INSTANCE_KIND, cluster.provider.clone(), node.span)
        .lifecycle(&node.lifecycle, &cluster.lifecycle)
        .depends_on(&cluster.depends_on)
        // The rules are there before the first node that they are for.
        .depends_on([&workspace.address.child("firewall")])
        .mark(WORKSPACE_MARK, workspace_name)
        .set("network", reference(&workspace.address.child("network"), "id", Type::String));
    let fields = ["cpus", "memory_gib", "tags"];
    fields.into_iter().fold(instance, |instance, field| instance.field(&node.fields, field))
}

/// What the nodes of all clusters ask for together. What a head or a group asks for alone is [`cluster`]'s error.
pub(super) fn check_together(provider: &ProviderRef, config: &Value, clusters: &[&ClusterSpec], facts: &Facts) -> Diagnostics {
    let all: Vec<Nodes<'_>> = clusters.iter().flat_map(|cluster| asking_of(cluster)).collect();
    let alone = |name: &str| all.iter().any(|nodes| exceeded(provider, config, &[*nodes], facts).iter().any(|found| found.name == name));
    exceeded(provider, config, &all, facts).iter().filter(|exceeded| !alone(exceeded.name)).map(Exceeded::diagnostic).collect()
}

/// A head, or as many workers of a group as there may be.
#[derive(Clone, Copy)]
struct Nodes<'a> {
    node: &'a NodeSpec,
    count: u64,
}

/// The nodes of a cluster. A group whose spec does not say how many there may be is counted by nobody.
fn asking_of(cluster: &ClusterSpec) -> impl Iterator<Item = Nodes<'_>> {
    let head = cluster.head.iter().map(|node| Nodes { node, count: 1 });
    let groups = cluster.workers.values().filter_map(|node| {
        let count = node.fields.get("max")?.value.as_number()?.as_u64().filter(|count| *count > 0)?;
        Some(Nodes { node, count })
    });
    head.chain(groups)
}

/// A limit that nodes go beyond.
struct Exceeded<'a> {
    name: &'static str,
    asked: Number,
    limit: Number,
    /// Whether the provider block says so, or the machine.
    written: bool,
    /// Those that ask for something.
    nodes: Vec<(Nodes<'a>, Span)>,
}

impl Exceeded<'_> {
    fn diagnostic(&self) -> Diagnostic {
        let Self { name, asked, limit, .. } = self;
        let whose = if self.written { format!("`{name}` of the provider block allows") } else { "this machine has".to_owned() };
        let (who, verb) = match self.nodes.as_slice() {
            [(Nodes { node, count: 1 }, _)] => (format!("`{}`", node.address), "asks"),
            [(Nodes { node, count }, _)] => (format!("{count} nodes of `{}`", node.address), "ask"),
            all => (format!("{} nodes", all.iter().fold(0_u64, |sum, (nodes, _)| sum.saturating_add(nodes.count))), "ask"),
        };
        let help =
            format!("ask for less, leave `{name}` out of a node, which then counts nothing, or write `{name}` in the provider block");
        let diagnostic = Diagnostic::error("local-limit", format!("{who} {verb} for `{name}` = {asked}, and {whose} {limit}")).help(help);
        let mut places = self.nodes.iter().rev();
        let Some((nodes, span)) = places.next() else { return diagnostic };
        places.fold(diagnostic.at(*span).of(&nodes.node.address), |diagnostic, (_, span)| diagnostic.and_at(*span, "this counts too"))
    }
}

/// The limits that these nodes go beyond together. What nobody knows yet is no limit.
fn exceeded<'a>(provider: &ProviderRef, config: &Value, nodes: &[Nodes<'a>], facts: &Facts) -> Vec<Exceeded<'a>> {
    let machine = known(provider, config, facts);
    let machine = machine.map_or((None, None), |known| (known.cpus, known.memory_gib));
    let limits = [("cpus", machine.0), ("memory_gib", machine.1)].into_iter().filter_map(|(name, machine)| {
        let written = config.get(name).and_then(Value::as_number).cloned();
        Some((name, written.is_some(), written.or(machine)?))
    });
    limits
        .filter_map(|(name, written, limit)| {
            let asking = nodes.iter().filter_map(|nodes| Some((*nodes, nodes.node.fields.get(name)?)));
            let asking: Vec<_> = asking.filter_map(|(nodes, field)| Some((nodes, field.span, field.value.as_number()?))).collect();
            let add = |sum: Number, (nodes, _, each): &(Nodes<'_>, Span, &Number)| sum.add(&each.multiply(&Number::from(nodes.count))?);
            let sum = asking.iter().try_fold(Number::ZERO, add).ok()?;
            let nodes = asking.iter().map(|(nodes, span, _)| (*nodes, if span.is_none() { nodes.node.span } else { *span })).collect();
            (sum > limit).then_some(Exceeded { name, asked: sum, limit, written, nodes })
        })
        .collect()
}

/// The mode of the network; one that is not possible here is an error.
fn check_mode(workspace: &WorkspaceSpec, found: &mut Diagnostics) -> Value {
    let fields = &workspace.network.fields;
    let mode = fields.get("mode").map(|field| field.value.clone()).filter(|mode| !mode.is_null()).unwrap_or_else(|| MODE.into());
    if let Some(other) = mode.as_str().filter(|mode| *mode != MODE) {
        let why = match other {
            "peered" => "this machine has no other network to peer with",
            "shared" => "this machine has no network that is made elsewhere",
            _ => "there is no such mode",
        };
        let diagnostic =
            Diagnostic::error("local-network-mode", format!("provider `{}` has no networks of mode `{other}`: {why}", workspace.provider))
                .at(place(fields, "mode", workspace.network.span))
                .help(format!("write `mode = \"{MODE}\"` or leave it out"))
                .of(&workspace.address);
        found.push(diagnostic);
    }
    mode
}

/// Whether the network gets the addresses that the spec writes. In the plain form they cannot be had, and the same spec must work elsewhere.
fn takes_cidr(form: Option<Form>, workspace: &WorkspaceSpec, found: &mut Diagnostics) -> bool {
    let Some(Field { value, span }) = workspace.network.fields.get("cidr").filter(|field| !field.value.is_null()) else { return false };
    match form {
        Some(Form::Plain) => {
            let title = "`cidr` is not used: nodes of the form plain have addresses of this machine's loopback";
            found.push(Diagnostic::warning("local-cidr", title).at(*span).of(&workspace.address));
            false
        }
        Some(Form::Namespaces) => {
            if let Some(Err(error)) = value.as_str().map(|cidr| check_asked(cidr, Form::Namespaces)) {
                found.push(Diagnostic::error("local-cidr", error.message).at(*span).help("leave it out to get one").of(&workspace.address));
            }
            true
        }
        None => true,
    }
}

fn bucket_name(workspace: &str, label: &str, part: &Part, found: &mut Diagnostics) -> Value {
    let written = part.fields.get("name").map(|field| field.value.clone()).filter(|value| !value.is_null());
    let name = written.unwrap_or_else(|| format!("cloudtik-{workspace}-{label}").into());
    if let Some(text) = name.as_str() {
        check_name(text, place(&part.fields, "name", part.span), found);
    }
    name
}

fn check_name(name: &str, span: Span, found: &mut Diagnostics) {
    if let Err(error) = label("name", name) {
        found.push(Diagnostic::error("local-name", error.message).at(span).help("write another `name`"));
    }
}

/// A worker's name is made from three things, and the group's label is the one that is nearest.
fn check_worker_name(longest: &str, node: &NodeSpec, found: &mut Diagnostics) {
    if let Err(error) = label("name", longest) {
        let help = "the host name of a worker is made from the cluster's name, the group's label and a number: change one of the first two";
        found.push(Diagnostic::error("local-name", error.message).at(node.span).of(&node.address).help(help));
    }
}

fn check_tags(fields: &Fields, found: &mut Diagnostics) {
    let Some(field) = fields.get("tags") else { return };
    for name in field.value.entries().into_iter().flat_map(|tags| tags.keys()).filter(|name| name.starts_with(MARK_PREFIX)) {
        let title = format!("the tag `{name}` begins with `{MARK_PREFIX}`, as only cloudtik's own do");
        found.push(Diagnostic::error("reserved-tag", title).at(field.span).help("give it another name"));
    }
}

/// Where a field stands, else what is around it.
fn place(fields: &Fields, name: &str, around: Span) -> Span {
    fields.get(name).map(|field| field.span).filter(|span| !span.is_none()).unwrap_or(around)
}
