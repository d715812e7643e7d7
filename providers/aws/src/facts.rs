//! What a plan must ask of AWS, and how the answers are read.
//!
//! | question | arguments | answer |
//! |---|---|---|
//! | `account` | none | `{ account, region, partition, arn }` |
//! | `zones` | none | names of the zones of the region that can be used, sorted |
//! | `vpcs` | `workspace` | `[{ id, cidr_blocks }]`: every network of the region but that of the workspace |
//! | `client` | `vpc` or null, `workspace` | `{ vpc_id, account, region, cidr_blocks, route_table_ids, destinations }`; `destinations` are where its routes lead, but for `local`, everywhere, and the workspace |
//! | `client_names` | the same | `{ names }`: whether AWS resolves names there, and gives instances some, which options of a peering need |
//! | `network` | `vpc` or null, `workspace` | `{ vpc_id, cidr_blocks, subnets, internet_gateway_id }`; `subnets` are `{ id, cidr_block, zone }`, without those of the workspace |
//! | `workspace` | `workspace`, `vpc` of a shared network or null, `shared` | what is there of a workspace that is taken over: lists `networks` and `firewalls` of its name, and in its network `subnets`, `taken` ranges, `internet_gateways`, `nat_gateways`, `addresses`, `route_tables`, `endpoints`, `rules`, `peerings`; and `policies` of its roles. Each object has an `id` |
//! | `image` | `owner`, `name`, `architecture`, or `parameter`, or `id` | `{ id, name, user, root_device_name, architecture }` |
//! | `machine_type` | `cpus`, `memory_gib`, `gpus`, `gpu_type`, each or null; `architecture`, or the arguments of `image` | the name of the cheapest type that has it |
//! | `database_version` | `engine` | the newest major version of it, such as `17` or `8.4` |
//! | `store_region` | `bucket` | the region in which an object store lies that is there already |
//! | `change_set` | `id` of a stack, and what it shall be | `{ notes, anew }`: what becomes of what is in it, and whether something of that is made anew; no plan is made of it, it is shown with one |
//!
//! Without `vpc` the network is that of the machine that asks. Objects of a workspace carry its name in the tag `cloudtik:workspace`: asking
//! anew, once they are there, must not give another answer because of them.
//!
//! All answers but `account` and `client_names` are pinned under their key, so what an answer depends on is part of the key: another configuration, region, client
//! or image is another question.

use cloudtik_model::spec::{ClusterSpec, NodeSpec, Part, WorkspaceSpec};
use cloudtik_model::{Address, ProviderRef, Type, Value};
use cloudtik_provider_api::{ExistingStore, FactQuestion, Facts, engine, fact, real_name};
use ipnet::Ipv4Net;

use crate::image::Image;
use crate::machine_type::Wanted;
use crate::network_spec::{Mode, NetworkSpec, Zones};
use crate::text::part_of;

/// Who asks, and where.
pub const ACCOUNT: &str = "account";
/// The zones of the region.
pub const ZONES: &str = "zones";
/// The networks of the region.
pub const VPCS: &str = "vpcs";
/// The client's network, to be peered with.
pub const CLIENT: &str = "client";
/// Whether names are resolved in it.
pub const CLIENT_NAMES: &str = "client_names";
/// The network that is shared.
pub const NETWORK: &str = "network";
/// What is there of a workspace that is taken over.
pub const WORKSPACE: &str = "workspace";
/// An image.
pub const IMAGE: &str = "image";
/// The type of machine of a node that says what it must have.
pub const MACHINE_TYPE: &str = "machine_type";
/// What an update would do inside a stack.
pub const CHANGE_SET: &str = "change_set";

/// The newest version of the engine of a database.
pub const DATABASE_VERSION: &str = "database_version";

/// The region of an object store that is there already.
pub const STORE_REGION: &str = "store_region";

/// What a plan of these specs must ask.
pub(crate) fn questions(
    provider: &ProviderRef,
    config: &Value,
    workspaces: &[&WorkspaceSpec],
    clusters: &[&ClusterSpec],
) -> Vec<FactQuestion> {
    let mut all = Vec::new();
    if workspaces.iter().any(|workspace| workspace.provider == *provider) {
        all.push(FactQuestion {
            key: account_key(provider),
            question: ACCOUNT.to_owned(),
            arguments: Value::object::<&str>([]),
            pin: false,
        });
    }
    all.extend(workspaces.iter().flat_map(|workspace| of_workspace(provider, config, workspace)));
    for cluster in clusters {
        let nodes = cluster.head.iter().chain(cluster.workers.values());
        all.extend(nodes.flat_map(|node| of_node(provider, config, node)));
    }
    all
}

fn of_node(provider: &ProviderRef, config: &Value, node: &NodeSpec) -> Vec<FactQuestion> {
    let Ok(image) = Image::of(node) else { return Vec::new() };
    let mut all = vec![pinned(image_key(provider, config, node), IMAGE, image.arguments())];
    let wanted = Wanted::of(node).map(|wanted| wanted.arguments(&image));
    all.extend(wanted.map(|arguments| pinned(machine_type_key(provider, config, node), MACHINE_TYPE, arguments)));
    all
}

fn of_workspace(provider: &ProviderRef, config: &Value, workspace: &WorkspaceSpec) -> Vec<FactQuestion> {
    let spec = NetworkSpec::of(workspace);
    let vpc = || spec.client_vpc.clone().map_or(Value::NULL, Value::from);
    let name = || Value::from(real_name(&workspace.address, &workspace.fields));
    let key = |question| workspace_key(config, workspace, question);
    let mut all = Vec::new();
    let client = workspace.client.as_ref().map_or(&workspace.provider, |client| &client.provider);
    if spec.mode == Mode::Peered && client == provider {
        let arguments = || Value::object([("vpc", vpc()), ("workspace", name())]);
        all.push(pinned(key(CLIENT), CLIENT, arguments()));
        // Whoever owns it may turn names on later: the options follow.
        all.push(FactQuestion { key: key(CLIENT_NAMES), question: CLIENT_NAMES.to_owned(), arguments: arguments(), pin: false });
    }
    if workspace.provider != *provider {
        return all;
    }
    if matches!(spec.zones, Zones::Count(_)) && spec.given.is_none() {
        all.push(pinned(key(ZONES), ZONES, Value::object::<&str>([])));
    }
    if spec.mode == Mode::Shared {
        all.push(pinned(key(NETWORK), NETWORK, Value::object([("vpc", vpc()), ("workspace", name())])));
    }
    if spec.mode != Mode::Shared && spec.cidr.is_none() {
        all.push(pinned(key(VPCS), VPCS, Value::object([("workspace", name())])));
    }
    let says = |part: &Part, name: &str| part.fields.get(name).is_some_and(|field| !field.value.is_null());
    for (label, part) in workspace.database.iter().filter(|(_, part)| !says(part, "existing") && !says(part, "version")) {
        let arguments = Value::object([("engine", engine(part).into())]);
        all.push(pinned(version_key(config, workspace, label, part), DATABASE_VERSION, arguments));
    }
    for (label, store) in workspace.storage.iter().filter_map(|(label, part)| Some((label, ExistingStore::of(part)?))) {
        let arguments = Value::object([("bucket", store.name().into())]);
        all.push(pinned(store_region_key(config, workspace, label, store), STORE_REGION, arguments));
    }
    if workspace.import.is_some() {
        let shared = spec.mode == Mode::Shared;
        let arguments = [("workspace", name()), ("vpc", if shared { vpc() } else { Value::NULL }), ("shared", shared.into())];
        all.push(pinned(key(WORKSPACE), WORKSPACE, Value::object(arguments)));
    }
    all
}

fn pinned(key: String, question: &str, arguments: Value) -> FactQuestion {
    FactQuestion { key, question: question.to_owned(), arguments, pin: true }
}

pub(crate) fn account_key(provider: &ProviderRef) -> String {
    format!("{provider}.{ACCOUNT}")
}

/// The region, where the configuration says it.
pub(crate) fn written_region(config: &Value) -> Option<&str> {
    config.get("region").and_then(Value::as_str)
}

/// A key has everything in it that the answer depends on: of the configuration its alias and its region.
fn key_below(provider: &ProviderRef, config: &Value, address: &Address, question: &str, more: Option<&str>) -> String {
    let more = provider.alias().into_iter().chain(written_region(config)).chain(more);
    more.fold(format!("{address}.{question}"), |key, part| format!("{key}.{part}"))
}

/// The key of a question about a workspace. The client is asked about through its own configuration.
pub(crate) fn workspace_key(config: &Value, workspace: &WorkspaceSpec, question: &str) -> String {
    let spec = NetworkSpec::of(workspace);
    let network = spec.client_vpc.filter(|_| matches!(question, CLIENT | CLIENT_NAMES | NETWORK));
    let client = workspace.client.as_ref().filter(|_| matches!(question, CLIENT | CLIENT_NAMES));
    let (provider, config) = client.map_or((&workspace.provider, config), |client| (&client.provider, &client.config));
    key_below(provider, config, &workspace.address, question, network.as_deref())
}

/// The key of the version of a database that says none.
pub(crate) fn version_key(config: &Value, workspace: &WorkspaceSpec, label: &str, part: &Part) -> String {
    key_below(&workspace.provider, config, &workspace.address.child("database").child(label), "version", Some(engine(part)))
}

/// The key of the region of an object store that is there already.
pub(crate) fn store_region_key(config: &Value, workspace: &WorkspaceSpec, label: &str, store: ExistingStore<'_>) -> String {
    key_below(&workspace.provider, config, &workspace.address.child("storage").child(label), "region", Some(store.name()))
}

/// The key of the image of a node.
pub(crate) fn image_key(provider: &ProviderRef, config: &Value, node: &NodeSpec) -> String {
    let image = Image::of(node).ok().and_then(|image| image.key());
    key_below(provider, config, &node.address, IMAGE, image.as_deref())
}

/// The key of the type of machine of a node that says what it must have.
pub(crate) fn machine_type_key(provider: &ProviderRef, config: &Value, node: &NodeSpec) -> String {
    let asked = Image::of(node).ok().and_then(|image| Some(Wanted::of(node)?.key(&image)));
    key_below(provider, config, &node.address, MACHINE_TYPE, asked.as_deref())
}

/// Who asks, and where.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// The number of the account.
    pub(crate) account: Value,
    /// The region.
    pub(crate) region: Value,
    /// `aws`, `aws-cn`, `aws-us-gov`
    pub(crate) partition: Value,
}

impl Account {
    /// As far as it is known.
    pub(crate) fn of(provider: &ProviderRef, config: &Value, facts: &Facts) -> Self {
        let answer = fact(facts, &account_key(provider), Type::Any);
        let part = |name| part_of(&answer, name, Type::String);
        let region = written_region(config).map_or_else(|| part("region"), Value::from);
        Self { account: part("account"), region, partition: part("partition") }
    }
}

/// A network that is somebody else's, as it was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Other {
    /// Its ranges.
    pub(crate) ranges: Vec<Ipv4Net>,
    /// Ranges in use that must be kept clear of: of subnets, or where routes lead.
    pub(crate) taken: Vec<Ipv4Net>,
}

fn ranges(value: Option<&Value>) -> Vec<Ipv4Net> {
    let texts = value.and_then(Value::elements).into_iter().flatten();
    // Ranges of IPv6 are no concern of a plan of IPv4.
    texts.filter_map(|text| text.as_str()?.parse().ok()).collect()
}

/// The ranges of all networks of the region.
pub(crate) fn vpcs(answer: &Value) -> Vec<Ipv4Net> {
    answer.elements().into_iter().flatten().flat_map(|vpc| ranges(vpc.get("cidr_blocks"))).collect()
}

/// The client's network.
pub(crate) fn client(answer: &Value) -> Other {
    Other { ranges: ranges(answer.get("cidr_blocks")), taken: ranges(answer.get("destinations")) }
}

/// The shared network.
pub(crate) fn network(answer: &Value) -> Other {
    let subnets = answer.get("subnets").and_then(Value::elements).into_iter().flatten();
    let taken = subnets.filter_map(|subnet| subnet.get("cidr_block")?.as_str()?.parse().ok()).collect();
    Other { ranges: ranges(answer.get("cidr_blocks")), taken }
}

/// The first of the ranges of a network that is somebody else's, which may come later.
pub(crate) fn first_range(answer: &Value) -> Value {
    let all = part_of(answer, "cidr_blocks", Type::list(Type::String));
    match all.as_deferred() {
        None => all.elements().and_then(|mut all| all.next().cloned()).unwrap_or(Value::NULL),
        Some(deferred) => element(&deferred.expr, 0),
    }
}

/// The zones, of which some may come later.
pub(crate) fn zone(answer: &Value, slot: usize) -> Value {
    match answer.as_deferred() {
        None => answer.elements().and_then(|mut all| all.nth(slot).cloned()).unwrap_or(Value::NULL),
        Some(deferred) => element(&deferred.expr, slot),
    }
}

fn element(list: &cloudtik_model::Expr, index: usize) -> Value {
    let key = std::sync::Arc::new(cloudtik_model::Expr::literal(index));
    let expr = cloudtik_model::ExprKind::Index { of: std::sync::Arc::new(list.clone()), key };
    Value::deferred(Type::String, expr.into())
}
