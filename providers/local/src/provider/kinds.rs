//! The schema: the provider block and the four kinds.

use std::collections::BTreeMap;

use cloudtik_model::{ChangeWord, Type, Value};
use cloudtik_provider_api::{AttributeSchema, Expected, Idempotency, KindSchema, ProviderSchema, SecretKind, Visibility, node_attributes};

use super::request::ports_of;
use crate::daemon::HOST_KEY_SECRET;
use crate::protocol::Kind;

/// A network.
pub const NETWORK_KIND: &str = Kind::LocalNetwork.name();
/// A firewall: recorded, never enforced.
pub const FIREWALL_KIND: &str = Kind::LocalFirewall.name();
/// A folder.
pub const BUCKET_KIND: &str = Kind::LocalBucket.name();
/// A node.
pub const INSTANCE_KIND: &str = Kind::LocalInstance.name();

/// Name of the secret with the public half of the key that logs in.
pub(super) const LOGIN_SECRET: &str = "login";

/// The only mode of a network here.
pub(super) const MODE: &str = "public-head";

/// What becomes of a bucket whose spec says nothing.
pub(super) const ON_DESTROY: &str = "keep";

/// Calls of one kind at once: a launch keeps a processor busy for half a second, and more of them at once only wait for each other.
const CONCURRENCY_MAX: u32 = 8;

/// As measured: most of a network's time is the bridge, of a firewall's and a bucket's the record on disk.
const QUICK: Expected = Expected { create_ms: 50, update_ms: 50, delete_ms: 50 };

/// As measured: a launch, and the end of a node that ends when it is told to.
const NODE: Expected = Expected { create_ms: 800, update_ms: 50, delete_ms: 500 };

pub(super) fn local_schema() -> ProviderSchema {
    let kinds = [
        KindSchema { attributes: network(), in_resource: true, doc: "A network on this machine.", ..kind(NETWORK_KIND) },
        KindSchema {
            attributes: firewall(),
            doc: "The firewall of a workspace or a cluster, recorded and not enforced.",
            ..kind(FIREWALL_KIND)
        },
        KindSchema {
            attributes: bucket(),
            unique_name: Some("name"),
            in_resource: true,
            doc: "A folder on this machine that stands for a bucket.",
            ..kind(BUCKET_KIND)
        },
        KindSchema {
            attributes: instance(),
            expected: NODE,
            is_node: true,
            secrets: &[(HOST_KEY_SECRET, SecretKind::SshHostKey), (LOGIN_SECRET, SecretKind::LoginKey)],
            derive: Some(published),
            names: None,
            inside: None,
            in_resource: true,
            doc: "A node on this machine.",
            ..kind(INSTANCE_KIND)
        },
    ];
    ProviderSchema { version: 1, config: config(), kinds: kinds.into_iter().map(|kind| (kind.name, kind)).collect() }
}

/// Every kind is repeated by its token: the daemon keeps them.
const fn kind(name: &'static str) -> KindSchema {
    KindSchema {
        name,
        version: 1,
        class: Idempotency::Token,
        attributes: Vec::new(),
        expected: QUICK,
        is_node: false,
        secrets: &[],
        unique_name: None,
        concurrency_max: CONCURRENCY_MAX,
        derive: None,
        choices: &[],
        together: None,
        names: None,
        inside: None,
        additive: &[],
        shows: Visibility::AT_ONCE,
        needs: &[],
        rolls: false,
        in_resource: false,
        doc: "",
    }
}

fn config() -> Vec<AttributeSchema> {
    let (none, recreate) = (ChangeWord::None, ChangeWord::Recreate);
    vec![
        AttributeSchema::with_default("root", Type::String, ".cloudtik/local", recreate, "Folder where nodes and buckets live."),
        AttributeSchema::with_default("isolation", Type::String, "auto", recreate, "`auto`, `namespaces` or `plain`."),
        AttributeSchema::optional("cpus", Type::Number, none, "What the nodes may add up to; without it the machine's."),
        AttributeSchema::optional("memory_gib", Type::Number, none, "What the nodes may add up to; without it the machine's."),
    ]
}

/// With a default, so that no tags and an empty map are the same.
fn tags() -> AttributeSchema {
    let none = Value::map(BTreeMap::<&str, Value>::new());
    AttributeSchema::with_default("tags", Type::map(Type::String), none, ChangeWord::Live, "Tags.")
}

fn name(doc: &'static str) -> AttributeSchema {
    AttributeSchema::required("name", Type::String, ChangeWord::Recreate, doc)
}

fn network() -> Vec<AttributeSchema> {
    let recreate = ChangeWord::Recreate;
    vec![
        name("Its name."),
        AttributeSchema::optional("form", Type::String, recreate, "Form of the nodes in it, `namespaces` or `plain`; chosen once.")
            .or_computed(),
        AttributeSchema::optional("cidr", Type::String, recreate, "Its addresses; chosen once.").or_computed(),
        AttributeSchema::with_default("mode", Type::String, MODE, ChangeWord::Fixed, "`public-head`."),
        tags(),
        AttributeSchema::computed("gateway", Type::String, "This machine's address in it."),
    ]
}

fn firewall() -> Vec<AttributeSchema> {
    vec![
        name("Its name."),
        AttributeSchema::optional("network", Type::String, ChangeWord::Recreate, "Id of its network."),
        AttributeSchema::with_default("rules", Type::Any, Value::tuple([]), ChangeWord::Live, "Its rules."),
        tags(),
        AttributeSchema::computed("enforced", Type::Bool, "Always false: firewalls are recorded only."),
    ]
}

fn bucket() -> Vec<AttributeSchema> {
    vec![
        name("Its name, unique below the provider's root."),
        AttributeSchema::with_default("on_destroy", Type::String, ON_DESTROY, ChangeWord::None, "`keep` or `delete`."),
        tags(),
        AttributeSchema::computed("path", Type::String, "Its folder."),
        AttributeSchema::computed("uri", Type::String, "Its folder as a URI."),
    ]
}

fn instance() -> Vec<AttributeSchema> {
    let no_ports = Value::map(BTreeMap::<&str, Value>::new());
    let publish = "Ports of this machine, and the port of the node that each leads to.";
    [
        name("Its host name."),
        AttributeSchema::required("network", Type::String, ChangeWord::Recreate, "Id of its network."),
        AttributeSchema::optional("cpus", Type::Number, ChangeWord::Rolling, "Processors that it counts for; without it the machine's."),
        AttributeSchema::optional("memory_gib", Type::Number, ChangeWord::Rolling, "Memory that it counts for; without it the machine's."),
        AttributeSchema::with_default("publish", Type::map(Type::Number), no_ports, ChangeWord::Live, publish),
        AttributeSchema::optional(
            "max_workers",
            Type::Number,
            ChangeWord::Live,
            "How many nodes it may launch beside itself; none without.",
        ),
        tags(),
        AttributeSchema::computed("private_ip", Type::String, "Its address in its network."),
        AttributeSchema::computed("public_ip", Type::String, "Always null: nodes are reached through published ports."),
        AttributeSchema::computed("hostname", Type::String, "Its name."),
        AttributeSchema::computed("ssh_command", Type::String, "What a person would type on this machine."),
        AttributeSchema::computed("form", Type::String, "Its form."),
        AttributeSchema::computed("published", Type::list(Type::String), "Where its published ports are reached on this machine."),
    ]
    .into_iter()
    .chain(node_attributes())
    .collect()
}

/// Where published ports are reached follows from which they are.
fn published(attributes: &Value) -> Vec<(&'static str, Value)> {
    // Ports that are none are refused when the instance is made; until then they lead nowhere.
    let ports = ports_of(attributes).unwrap_or_default();
    vec![("published", Value::list(ports.keys().map(|port| Value::from(format!("127.0.0.1:{port}")))))]
}
