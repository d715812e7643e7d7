//! The kinds: one for each idempotency class, with an attribute for each change word, and what a workspace and a cluster become.

use cloudtik_model::{ChangeWord, Type, Value};
use cloudtik_provider_api::{
    AttributeSchema, Choice, Expected, Idempotency, KindSchema, ProviderSchema, SecretKind, Together, Visibility, node_attributes,
};

/// Repeated by token.
pub const TOKEN_KIND: &str = "sim_token";
/// Found by the tag of its op id.
pub const TAGGED_KIND: &str = "sim_tagged";
/// Has a unique name.
pub const NAMED_KIND: &str = "sim_named";
/// A second create is harmless.
pub const NATURAL_KIND: &str = "sim_natural";
/// A network.
pub const NETWORK_KIND: &str = "sim_network";
/// A firewall: recorded, never enforced.
pub const FIREWALL_KIND: &str = "sim_firewall";
/// A bucket.
pub const BUCKET_KIND: &str = "sim_bucket";
/// A node.
pub const INSTANCE_KIND: &str = "sim_instance";

/// How long a new object of a kind that is found by tag may stay invisible to searches.
pub const VISIBILITY_MS: u64 = 2_000;
/// Empty searches that settle that an object is not there.
const EMPTY_READS: u32 = 2;

const FAST: Expected = Expected { create_ms: 50, update_ms: 50, delete_ms: 50 };
const SLOW: Expected = Expected { create_ms: 400, update_ms: 100, delete_ms: 200 };

/// So few that groups of workers in tests are more than one call.
const TOGETHER: Option<Together> = Some(Together { most: 6, numbered: &["name"] });

/// The schema of the provider `sim`.
#[must_use]
pub fn sim_schema() -> ProviderSchema {
    let tagged = Idempotency::TagAtCreate { visibility_ms: VISIBILITY_MS, reads: EMPTY_READS };
    let kinds = [
        KindSchema {
            attributes: with_all_words(false)
                .into_iter()
                .chain([AttributeSchema::optional("zones", Type::list(Type::String), ChangeWord::Recreate, "Where it may be.")])
                .collect(),
            choices: &[Choice { among: "zones", is: "zone", spreads: true }],
            together: TOGETHER,
            doc: "An object whose create is repeated by token.",
            ..kind(TOKEN_KIND, Idempotency::Token)
        },
        KindSchema {
            attributes: with_all_words(false),
            doc: "An object that is found by the tag of its create.",
            ..kind(TAGGED_KIND, tagged)
        },
        KindSchema {
            attributes: with_all_words(true),
            unique_name: Some("name"),
            doc: "An object whose name no second one may have.",
            ..kind(NAMED_KIND, Idempotency::UniqueName)
        },
        KindSchema {
            attributes: with_all_words(true),
            unique_name: Some("name"),
            doc: "An object whose create may be repeated without harm.",
            ..kind(NATURAL_KIND, Idempotency::Natural)
        },
        KindSchema { attributes: network(), doc: "A network of a workspace.", ..kind(NETWORK_KIND, Idempotency::Token) },
        KindSchema {
            attributes: firewall(),
            doc: "The firewall of a workspace or a cluster, recorded and not enforced.",
            ..kind(FIREWALL_KIND, tagged)
        },
        KindSchema {
            attributes: bucket(),
            unique_name: Some("name"),
            doc: "A bucket of a workspace.",
            ..kind(BUCKET_KIND, Idempotency::UniqueName)
        },
        KindSchema {
            attributes: instance(),
            expected: SLOW,
            is_node: true,
            secrets: &[("host_key", SecretKind::SshHostKey)],
            together: TOGETHER,
            doc: "A node.",
            ..kind(INSTANCE_KIND, Idempotency::Token)
        },
    ];
    let config = vec![
        AttributeSchema::with_default("seed", Type::Number, 0_u64, ChangeWord::None, "What chance is made from."),
        AttributeSchema::with_default("profile", Type::String, "calm", ChangeWord::None, "`calm` or `stormy`: how much goes wrong."),
        AttributeSchema::with_default(
            "root",
            Type::String,
            ".cloudtik/sim",
            ChangeWord::Recreate,
            "Folder that keeps the simulated world.",
        ),
    ];
    ProviderSchema { version: 1, config, kinds: kinds.into_iter().map(|kind| (kind.name, kind)).collect() }
}

const fn kind(name: &'static str, class: Idempotency) -> KindSchema {
    KindSchema {
        name,
        version: 1,
        class,
        attributes: Vec::new(),
        expected: FAST,
        is_node: false,
        secrets: &[],
        unique_name: None,
        concurrency_max: 8,
        derive: None,
        choices: &[],
        together: None,
        names: None,
        inside: None,
        additive: &[],
        shows: Visibility::AT_ONCE,
        needs: &[],
        rolls: false,
        in_resource: true,
        doc: "",
    }
}

fn tags() -> AttributeSchema {
    AttributeSchema::optional("tags", Type::map(Type::String), ChangeWord::Live, "Tags.")
}

fn with_all_words(named: bool) -> Vec<AttributeSchema> {
    let name = if named {
        AttributeSchema::required("name", Type::String, ChangeWord::Recreate, "Its name; no second object of the kind may have it.")
    } else {
        AttributeSchema::optional("name", Type::String, ChangeWord::Recreate, "Its name.")
    };
    vec![
        name,
        AttributeSchema::with_default("size", Type::Number, 1_u64, ChangeWord::Live, "Its size."),
        AttributeSchema::optional("zone", Type::String, ChangeWord::Recreate, "Where it is; the cloud chooses once.").or_computed(),
        tags(),
        AttributeSchema::optional("note", Type::String, ChangeWord::None, "A note that changes nothing."),
        AttributeSchema::optional("secret", Type::String, ChangeWord::Live, "A secret.").sensitive(),
        AttributeSchema::optional("flavor", Type::String, ChangeWord::Fixed, "What it is once and for all."),
        AttributeSchema::optional("image", Type::String, ChangeWord::Rolling, "What it is made of."),
        AttributeSchema::optional("ref", Type::Any, ChangeWord::Live, "Any value: mostly something of another object."),
        AttributeSchema::computed("address", Type::String, "Where it answers."),
    ]
}

fn network() -> Vec<AttributeSchema> {
    vec![
        AttributeSchema::required("name", Type::String, ChangeWord::Recreate, "Its name."),
        AttributeSchema::with_default("mode", Type::String, "public-head", ChangeWord::Fixed, "`public-head`, `peered` or `shared`."),
        AttributeSchema::optional("cidr", Type::String, ChangeWord::Recreate, "Its addresses; the cloud chooses once.").or_computed(),
        tags(),
    ]
}

fn firewall() -> Vec<AttributeSchema> {
    vec![
        AttributeSchema::required("name", Type::String, ChangeWord::Recreate, "Its name."),
        AttributeSchema::optional("network", Type::String, ChangeWord::Recreate, "Id of its network."),
        AttributeSchema::with_default("rules", Type::Any, Value::tuple([]), ChangeWord::Live, "Its rules."),
        tags(),
    ]
}

fn bucket() -> Vec<AttributeSchema> {
    vec![
        AttributeSchema::required("name", Type::String, ChangeWord::Recreate, "Its name, unique in the cloud."),
        tags(),
        AttributeSchema::computed("uri", Type::String, "Where it is."),
    ]
}

fn instance() -> Vec<AttributeSchema> {
    [
        AttributeSchema::required("name", Type::String, ChangeWord::Recreate, "Its host name."),
        AttributeSchema::optional("network", Type::String, ChangeWord::Recreate, "Id of its network."),
        AttributeSchema::with_default("cpus", Type::Number, 2_u64, ChangeWord::Rolling, "Processors."),
        AttributeSchema::with_default("memory_gib", Type::Number, 4_u64, ChangeWord::Rolling, "Memory."),
        AttributeSchema::optional("authorized_keys", Type::list(Type::String), ChangeWord::Recreate, "Public keys that may log in."),
        AttributeSchema::optional("publish", Type::map(Type::Number), ChangeWord::Live, "Ports of this machine and the node's."),
        AttributeSchema::optional("max_workers", Type::Number, ChangeWord::Live, "How many workers it may launch."),
        tags(),
        AttributeSchema::computed("private_ip", Type::String, "Its address inside."),
        AttributeSchema::computed("public_ip", Type::String, "Its address outside."),
        AttributeSchema::computed("hostname", Type::String, "Its name."),
        AttributeSchema::computed("ssh_command", Type::String, "What a person would type."),
    ]
    .into_iter()
    .chain(node_attributes())
    .collect()
}
