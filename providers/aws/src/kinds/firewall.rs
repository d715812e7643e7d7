//! Firewalls, and each of their rules by itself.

use cloudtik_model::{ChangeWord, Type};
use cloudtik_provider_api::{AttributeSchema, KindSchema, Need, When};

use super::{TAGGED, arn, choice, fixed, given, kind, live, names, number, seconds, tags, word};

/// What makes two rules one: AWS takes it once.
pub(crate) const SAME_RULE: &[&str] = &[
    "security_group_id",
    "ip_protocol",
    "from_port",
    "to_port",
    "cidr_ipv4",
    "cidr_ipv6",
    "referenced_security_group_id",
    "prefix_list_id",
];

/// Protocols with ports, by name and by number.
const WITH_PORTS: When = When { attribute: "ip_protocol", values: &["tcp", "udp", "6", "17"] };

const RULE_NEEDS: &[Need] = &[
    Need::ExactlyOne(&["cidr_ipv4", "cidr_ipv6", "referenced_security_group_id", "prefix_list_id"]),
    Need::With(WITH_PORTS, "from_port"),
    Need::With(WITH_PORTS, "to_port"),
];

pub(super) fn kinds() -> Vec<KindSchema> {
    vec![
        KindSchema {
            attributes: vec![
                fixed("name", "Its name; unique in the network."),
                word("description", "Managed by cloudtik", ChangeWord::Recreate, "What it is for."),
                fixed("vpc_id", "Its network."),
                tags(),
                arn(),
                given("owner_id", "Its account."),
            ],
            unique_name: Some("name"),
            expected: seconds(1, 1, 1),
            ..kind(names::SECURITY_GROUP, TAGGED, "A firewall without rules: the one that lets everything out, which AWS adds, is removed.")
        },
        KindSchema {
            attributes: rule(),
            additive: SAME_RULE,
            needs: RULE_NEEDS,
            ..kind(names::INGRESS_RULE, TAGGED, "What a firewall lets in.")
        },
        KindSchema {
            attributes: rule(),
            additive: SAME_RULE,
            needs: RULE_NEEDS,
            ..kind(names::EGRESS_RULE, TAGGED, "What a firewall lets out.")
        },
    ]
}

fn rule() -> Vec<AttributeSchema> {
    let again = ChangeWord::Recreate;
    vec![
        fixed("security_group_id", "Its firewall."),
        AttributeSchema::required("ip_protocol", Type::String, again, "`tcp`, `udp`, `icmp`, or `-1` for all."),
        number("from_port", again, "First port; none with `-1`."),
        number("to_port", again, "Last port."),
        choice("cidr_ipv4", "Addresses at the other end."),
        choice("cidr_ipv6", "Addresses at the other end."),
        choice("referenced_security_group_id", "The firewall at the other end."),
        choice("prefix_list_id", "A list of addresses at the other end."),
        live("description", "What it is for."),
        tags(),
        arn(),
    ]
}
