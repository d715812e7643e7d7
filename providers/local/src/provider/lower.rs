//! What a workspace and a cluster become on this machine, and what of a spec it cannot do.

use std::sync::Arc;

use cloudtik_model::spec::{ClusterSpec, Field, Fields, NodeSpec, WorkspaceSpec, WorkspaceUse};
use cloudtik_model::{Diagnostic, Diagnostics, Number, ProviderRef, Span, Value};
use cloudtik_provider_api::{
    ClusterStart, ExistingStore, Facts, Lowered, ResourceBuilder, WorkspaceStart, existing_databases, no_effect, no_effect_of_cloud,
    no_public_addresses, written,
};

use super::form::{form_of, known};
use super::kinds::{BUCKET_KIND, FIREWALL_KIND, INSTANCE_KIND, MODE, NETWORK_KIND};
use super::request::MARK_PREFIX;
use crate::daemon::addresses::check_asked;
use crate::daemon::check::label;
use crate::protocol::Form;

/// The longest number that a worker's host name is checked with: of a million workers that a group ever had.
const LONGEST_SEQUENCE: &str = "999999";

/// `workspace.w.network`, `.firewall`, `.storage.<n>`.
pub(super) fn workspace(config: &Value, workspace: &WorkspaceSpec, facts: &Facts) -> Lowered {
    let mut found = Diagnostics::new();
    let start = WorkspaceStart::new(workspace, NETWORK_KIND, FIREWALL_KIND);
    check_name(&start.name, place(&workspace.fields, "name", workspace.span), &mut found);
    check_tags(&workspace.fields, &mut found);
    let mode = check_mode(workspace, &mut found);
    found.extend(no_effect_of_cloud(workspace));
    let form = form_of(&workspace.provider, config, facts);
    let mut network = start.network.clone();
    if let Some(form) = form {
        network = network.set("form", form.name());
    }
    if takes_cidr(form, workspace, &mut found) {
        network = network.field(&workspace.network.fields, "cidr");
    }
    let mut resources = vec![network.build(), start.firewall.clone().build()];
    let mut storage = Vec::new();
    for (label, part) in &workspace.storage {
        if let Some(there) = ExistingStore::of(part) {
            storage.push((Arc::clone(label), there.export([])));
            continue;
        }
        let (bucket, export) = start.bucket(label, part, BUCKET_KIND);
        if let Some(name) = export.get("name").and_then(Value::as_str) {
            check_name(name, place(&part.fields, "name", part.span), &mut found);
        }
        resources.push(bucket.field(&part.fields, "on_destroy").build());
        storage.push((Arc::clone(label), export));
    }
    let (database, of_databases) = existing_databases(workspace);
    found.extend(of_databases);
    let own = [("region", "local".into()), ("mode", mode), ("storage", Value::object(storage)), ("database", database)];
    let exports = Value::object(start.exports.into_iter().chain(own));
    Lowered { resources, exports, gates: start.gates, diagnostics: found, ..Lowered::default() }
}

/// `cluster.c.head`, `cluster.c.firewall`, and a worker of each group.
pub(super) fn cluster(config: &Value, cluster: &ClusterSpec, workspace: &WorkspaceUse, facts: &Facts) -> Lowered {
    let mut found = Diagnostics::new();
    let start = ClusterStart::new(cluster, workspace, INSTANCE_KIND, &["cpus", "memory_gib", "tags"])
        .in_network_of(workspace)
        .with_firewall(cluster, workspace, FIREWALL_KIND)
        .with_of_head(cluster, "publish");
    check_proxy(config, cluster, facts, &mut found);
    for node in cluster.head.iter().chain(cluster.workers.values()) {
        check_machine(node, &cluster.provider, &mut found);
    }
    let mut resources: Vec<_> = start.firewall.into_iter().map(ResourceBuilder::build).collect();
    if let (Some(head), Some(instance)) = (&cluster.head, start.head) {
        check_name(&start.head_name, place(&cluster.fields, "name", cluster.span), &mut found);
        check_tags(&head.fields, &mut found);
        found.extend(no_public_addresses(head, &cluster.provider));
        resources.push(instance.build());
    }
    for (group, node) in &cluster.workers {
        check_worker_name(&format!("{}-{group}-{LONGEST_SEQUENCE}", start.name), node, &mut found);
        check_tags(&node.fields, &mut found);
    }
    for nodes in asking_of(cluster) {
        for exceeded in exceeded(&cluster.provider, config, &[nodes], facts) {
            found.push(exceeded.diagnostic());
        }
    }
    let workers = ClusterStart::templates(start.workers);
    Lowered { resources, workers, exports: Value::object(start.exports), diagnostics: found, ..Lowered::default() }
}

/// Nodes with a network of their own reach what is in it, and the proxy of the local cloud. A proxy may stand on one of them, so this is no error.
fn check_proxy(config: &Value, cluster: &ClusterSpec, facts: &Facts, found: &mut Diagnostics) {
    let Some(proxy) = cluster.fields.get("proxy") else { return };
    if form_of(&cluster.provider, config, facts) == Some(Form::Namespaces) {
        let title = format!("`proxy` takes the place of the only way out that nodes of `{}` have", cluster.address);
        let help = "leave it out: nodes of the form `namespaces` go out through the local cloud, which goes through the proxy that is in the \
                    environment of the command that starts it";
        found.push(Diagnostic::warning("local-proxy", title).at(proxy.span).of(&cluster.address).help(help));
    }
}

/// A node is this machine: it has no type, no image and no disk of its own.
fn check_machine(node: &NodeSpec, provider: &ProviderRef, found: &mut Diagnostics) {
    for (name, field) in written(&node.fields, &["instance_type", "instance_types", "image", "disk_gib", "disk_type", "gpus", "gpu_type"]) {
        let title = format!("provider `{provider}` has no `{name}`: its nodes are parts of this machine");
        let help = "leave it out, or write `cpus` and `memory_gib` for what a node must have";
        found.push(Diagnostic::error("local-machine", title).at(field.span).of(&node.address).help(help));
    }
    found.extend(no_effect(&node.address, provider, &node.fields, &["zones", "user_data", "market", "max_price"]));
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
