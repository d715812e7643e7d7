//! Machines, and what they are made of.

use cloudtik_model::{ChangeWord, Type};
use cloudtik_provider_api::{
    AttributeSchema, Choice, Idempotency, KindSchema, NODE_NAME, Need, SecretKind, Shown, Together, When, node_attributes,
};

use super::{MACHINES_SHOW, arn, block, choice, fixed, flag, given, ids, kind, live, named, names, parts_of, seconds, tags, texts, word};

pub(super) fn kinds() -> Vec<KindSchema> {
    let (again, in_place) = (ChangeWord::Recreate, ChangeWord::Live);
    vec![
        KindSchema {
            attributes: vec![
                fixed("key_name", "Its name."),
                fixed("public_key", "The public half, as OpenSSH writes it."),
                tags(),
                arn(),
                given("key_pair_id", "Its id."),
                given("fingerprint", "Digest of the key."),
            ],
            ..named(names::KEY_PAIR, "key_name", "A key that logs in.")
        },
        KindSchema {
            attributes: launch_template(),
            needs: &[Need::NotBoth("vpc_security_group_ids", "network_interfaces")],
            ..named(names::LAUNCH_TEMPLATE, "name", "What instances are launched from.")
        },
        KindSchema {
            attributes: instance(),
            expected: seconds(30, 5, 40),
            is_node: true,
            shows: MACHINES_SHOW,
            secrets: &[("bootstrap_host_key", SecretKind::SshHostKey), ("login", SecretKind::LoginKey)],
            choices: FORMS,
            needs: &[Need::OneOf(&["instance_type", "instance_types"])],
            together: Some(Together { most: MACHINES_PER_LAUNCH_MAX, numbered: &[NODE_NAME] }),
            ..kind(names::INSTANCE, Idempotency::Token, "A machine.")
        },
        KindSchema {
            attributes: vec![
                fixed("availability_zone", "Its zone."),
                AttributeSchema::optional("size", Type::Number, in_place, "GiB; it only grows.").or_computed(),
                word("type", "gp3", in_place, "`gp3`, `io2`, `st1` …"),
                AttributeSchema::optional("iops", Type::Number, in_place, "Operations a second.").or_computed(),
                AttributeSchema::optional("throughput", Type::Number, in_place, "MiB a second.").or_computed(),
                flag("encrypted", true, again, "Whether it is encrypted."),
                choice("kms_key_id", "The key.").or_computed(),
                choice("snapshot_id", "What it begins with."),
                tags(),
                arn(),
            ],
            expected: seconds(5, 10, 5),
            needs: DISK_NEEDS,
            ..kind(names::EBS_VOLUME, Idempotency::Token, "A disk.")
        },
        KindSchema {
            attributes: vec![
                fixed("device_name", "The name of the device."),
                fixed("volume_id", "The disk."),
                fixed("instance_id", "The machine."),
            ],
            expected: seconds(5, 1, 10),
            ..kind(names::VOLUME_ATTACHMENT, Idempotency::Natural, "A disk in a machine. Its id is `DEVICE:DISK:MACHINE`.")
        },
        KindSchema {
            attributes: vec![
                fixed("name", "Its name."),
                word("strategy", "cluster", again, "`cluster`, `spread` or `partition`."),
                tags(),
                arn(),
                given("placement_group_id", "Its id."),
            ],
            ..named(names::PLACEMENT_GROUP, "name", "How machines lie to each other.")
        },
    ]
}

/// What is paid for must be said, and of other types cannot be.
const DISK_NEEDS: &[Need] = &[
    Need::OneOf(&["size", "snapshot_id"]),
    Need::With(When { attribute: "type", values: &["io1", "io2"] }, "iops"),
    Need::Without(When { attribute: "type", values: &["gp2", "st1", "sc1", "standard"] }, "iops"),
    Need::Without(When { attribute: "type", values: &["gp2", "io1", "io2", "st1", "sc1", "standard"] }, "throughput"),
];

/// Machines that one launch makes at most: AWS takes more, and advises to ask for a hundred at a time.
const MACHINES_PER_LAUNCH_MAX: usize = 100;

/// What AWS may have no room for. All types and zones are tried at one price before the next one is paid.
const FORMS: &[Choice] = &[
    Choice { among: "markets", is: "market", spreads: false },
    Choice { among: "instance_types", is: "instance_type", spreads: false },
    Choice { among: "subnet_ids", is: "subnet_id", spreads: true },
];

fn metadata_options(change: ChangeWord) -> AttributeSchema {
    let parts = [("http_endpoint", Type::String), ("http_tokens", Type::String), ("http_put_response_hop_limit", Type::Number)];
    block("metadata_options", parts, change, "Who may ask the machine who it is; IMDSv2 only, unless it says otherwise.").or_computed()
}

fn launch_template() -> Vec<AttributeSchema> {
    let in_place = ChangeWord::Live;
    let disk = [
        ("device_name", Type::String),
        ("volume_size", Type::Number),
        ("volume_type", Type::String),
        ("iops", Type::Number),
        ("throughput", Type::Number),
        ("encrypted", Type::Bool),
    ];
    let interface = [("associate_public_ip_address", Type::Bool), ("security_groups", Type::set(Type::String))];
    vec![
        fixed("name", "Its name."),
        live("image_id", "The image."),
        live("instance_type", "The type of machine."),
        live("key_name", "The key that logs in."),
        live("user_data", "What the image runs at first boot, in base64.").shown(Shown::Changes),
        live("iam_instance_profile", "The name of the machine's identity."),
        ids("vpc_security_group_ids", in_place, "Firewalls, where there are no interfaces."),
        AttributeSchema::optional("network_interfaces", Type::list(parts_of(interface)), in_place, "Interfaces, in their order."),
        metadata_options(in_place),
        AttributeSchema::optional("block_device_mappings", Type::list(parts_of(disk)), in_place, "Disks."),
        tags(),
        arn(),
        AttributeSchema::computed("latest_version", Type::Number, "Number of the version that is used."),
    ]
}

fn instance() -> Vec<AttributeSchema> {
    let (again, in_place) = (ChangeWord::Recreate, ChangeWord::Live);
    let disk = [
        ("volume_size", Type::Number),
        ("volume_type", Type::String),
        ("iops", Type::Number),
        ("throughput", Type::Number),
        ("encrypted", Type::Bool),
    ];
    [
        AttributeSchema::optional("name", Type::String, again, "Its host name.").or_computed(),
        AttributeSchema::required("ami", Type::String, ChangeWord::Rolling, "The image."),
        AttributeSchema::optional("instance_type", Type::String, ChangeWord::Rolling, "The type of machine.").or_computed(),
        texts("instance_types", ChangeWord::Rolling, "Types that would do: the first that there is room for is taken."),
        choice("subnet_id", "Where it stands.").or_computed(),
        texts("subnet_ids", again, "Where it may stand. Machines of one block begin at different ones."),
        AttributeSchema::optional("market", Type::String, again, "`on-demand` or `spot`.").or_computed(),
        texts("markets", ChangeWord::Rolling, "Markets that would do, all types and places of the first before the second."),
        AttributeSchema::optional(
            "max_price",
            Type::Number,
            ChangeWord::None,
            "The most that a machine of the spot market may cost an hour.",
        ),
        choice("availability_zone", "Its zone.").or_computed(),
        AttributeSchema::optional("associate_public_ip_address", Type::Bool, again, "Whether it gets a public address.").or_computed(),
        AttributeSchema::optional("vpc_security_group_ids", Type::set(Type::String), in_place, "Firewalls.").or_computed(),
        live("iam_instance_profile", "The name of its identity."),
        choice("key_name", "A key of the account that logs in too."),
        AttributeSchema::optional("user_data", Type::String, ChangeWord::Rolling, "What the image runs at first boot.")
            .shown(Shown::Changes),
        metadata_options(in_place),
        block("root_block_device", disk, ChangeWord::Rolling, "The system disk.").or_computed(),
        choice("placement_group", "The placement group."),
        word("tenancy", "default", again, "`default`, `dedicated` or `host`."),
        AttributeSchema::optional("ebs_optimized", Type::Bool, again, "Whether it has bandwidth of its own for disks.").or_computed(),
        flag("source_dest_check", true, in_place, "Whether only its own packets reach it."),
        word("instance_initiated_shutdown_behavior", "stop", in_place, "What it does when it shuts itself down: `stop` or `terminate`."),
        block("instance_market_options", [("market_type", Type::String), ("max_price", Type::String)], again, "`market_type = \"spot\"`."),
        // Only the launch looks at it.
        block(
            "launch_template",
            [("id", Type::String)],
            ChangeWord::None,
            "What it is launched from: all that the template says is not said again.",
        )
        .shown(Shown::Changes),
        choice("user", "Who logs in; the image's usual name without it.").or_computed(),
        // Steps keep them on nodes that are there.
        AttributeSchema::optional("authorized_keys", Type::list(Type::String), ChangeWord::None, "Public keys that may log in at first.")
            .shown(Shown::Changes),
        AttributeSchema::optional("max_workers", Type::Number, ChangeWord::None, "How many workers it may launch."),
        tags(),
        arn(),
        given("private_ip", "Its address inside."),
        given("public_ip", "Its address outside."),
        given("private_dns", "Its name inside."),
        given("hostname", "Its name."),
        given("ssh_command", "What a person would type."),
    ]
    .into_iter()
    .chain(node_attributes())
    .collect()
}
