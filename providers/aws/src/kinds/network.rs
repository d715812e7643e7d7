//! Networks: ranges, ways out, routes.

use cloudtik_model::{ChangeWord, Type};
use cloudtik_provider_api::{AttributeSchema, Idempotency, KindSchema, Need, When};

use super::{TAGGED, arn, choice, fixed, flag, given, ids, kind, live, names, seconds, tags, word};

/// A gateway is in tables of routes, an interface has addresses in subnets.
const ENDPOINT_NEEDS: &[Need] = &[
    Need::Without(When { attribute: "vpc_endpoint_type", values: &["Gateway"] }, "subnet_ids"),
    Need::Without(When { attribute: "vpc_endpoint_type", values: &["Gateway"] }, "security_group_ids"),
    Need::Without(When { attribute: "vpc_endpoint_type", values: &["Gateway"] }, "private_dns_enabled"),
    Need::Without(When { attribute: "vpc_endpoint_type", values: &["Interface"] }, "route_table_ids"),
];

pub(super) fn kinds() -> Vec<KindSchema> {
    let (again, in_place) = (ChangeWord::Recreate, ChangeWord::Live);
    vec![
        KindSchema {
            attributes: vec![
                choice("cidr_block", "Its range.").or_computed(),
                word("instance_tenancy", "default", again, "`default` or `dedicated`."),
                flag("enable_dns_support", true, in_place, "Whether the network resolves names."),
                flag("enable_dns_hostnames", false, in_place, "Whether instances get names."),
                tags(),
                arn(),
                given("owner_id", "Its account."),
            ],
            expected: seconds(2, 1, 1),
            needs: &[Need::OneOf(&["cidr_block"])],
            ..kind(names::VPC, TAGGED, "A network.")
        },
        KindSchema {
            attributes: vec![
                fixed("vpc_id", "Its network."),
                fixed("cidr_block", "Its range."),
                choice("availability_zone", "Its zone.").or_computed(),
                flag("map_public_ip_on_launch", false, in_place, "Whether instances get a public address."),
                tags(),
                arn(),
                given("availability_zone_id", "The zone as all accounts call it."),
                given("owner_id", "Its account."),
            ],
            expected: seconds(1, 1, 1),
            ..kind(names::SUBNET, TAGGED, "A range of a network in one zone.")
        },
        KindSchema {
            attributes: vec![live("vpc_id", "The network it is attached to."), tags(), arn(), given("owner_id", "Its account.")],
            expected: seconds(1, 1, 2),
            ..kind(names::INTERNET_GATEWAY, TAGGED, "A network's door to the internet.")
        },
        KindSchema {
            attributes: vec![
                word("domain", "vpc", again, "`vpc`."),
                tags(),
                given("allocation_id", "What other resources name it by."),
                given("public_ip", "The address."),
            ],
            ..kind(names::EIP, TAGGED, "A public address that stays.")
        },
        KindSchema {
            attributes: vec![
                fixed("allocation_id", "The address."),
                fixed("instance_id", "The machine that has it."),
                given("public_ip", "The address."),
            ],
            expected: seconds(1, 1, 1),
            ..kind(
                names::EIP_ASSOCIATION,
                Idempotency::Natural,
                "Which machine has a public address. It is taken over by its own id, `eipassoc-…`, or by that of the address, `eipalloc-…`.",
            )
        },
        KindSchema {
            attributes: vec![
                fixed("subnet_id", "Where it stands."),
                choice("allocation_id", "Its public address."),
                word("connectivity_type", "public", again, "`public` or `private`."),
                tags(),
                given("public_ip", "Its public address."),
                given("private_ip", "Its address inside."),
                given("network_interface_id", "Its network interface."),
            ],
            expected: seconds(110, 1, 60),
            needs: &[
                Need::With(When { attribute: "connectivity_type", values: &["public"] }, "allocation_id"),
                Need::Without(When { attribute: "connectivity_type", values: &["private"] }, "allocation_id"),
            ],
            ..kind(names::NAT_GATEWAY, Idempotency::Token, "What private addresses reach the internet through.")
        },
        KindSchema {
            attributes: vec![fixed("vpc_id", "Its network."), tags(), arn(), given("owner_id", "Its account.")],
            expected: seconds(1, 1, 1),
            ..kind(names::ROUTE_TABLE, Idempotency::Token, "Where packets of subnets go.")
        },
        KindSchema {
            attributes: vec![
                fixed("route_table_id", "Its table."),
                fixed("destination_cidr_block", "Where the packets want to go."),
                live("gateway_id", "An internet gateway."),
                live("nat_gateway_id", "A NAT gateway."),
                live("vpc_peering_connection_id", "A connection to another network."),
                given("state", "`active`, or `blackhole` when what it leads to is gone."),
            ],
            expected: seconds(1, 1, 1),
            needs: &[Need::ExactlyOne(&["gateway_id", "nat_gateway_id", "vpc_peering_connection_id"])],
            ..kind(names::ROUTE, Idempotency::Natural, "One entry of a route table. Its id is `TABLE_DESTINATION`.")
        },
        KindSchema {
            attributes: vec![
                fixed("subnet_id", "The subnet."),
                AttributeSchema::required("route_table_id", Type::String, in_place, "The table that it uses."),
            ],
            ..kind(names::ROUTE_TABLE_ASSOCIATION, Idempotency::Natural, "Which table a subnet uses. Its id is the subnet's.")
        },
        KindSchema {
            attributes: vec![
                fixed("vpc_id", "Its network."),
                fixed("service_name", "The service: `com.amazonaws.us-west-2.s3`."),
                word("vpc_endpoint_type", "Gateway", again, "`Gateway` or `Interface`."),
                ids("route_table_ids", in_place, "Tables that lead to it."),
                ids("subnet_ids", in_place, "Of type `Interface`: where it has addresses."),
                ids("security_group_ids", in_place, "Of type `Interface`: its firewalls; that of the network without it.").or_computed(),
                AttributeSchema::optional(
                    "private_dns_enabled",
                    Type::Bool,
                    in_place,
                    "Of type `Interface`: whether the service's usual name leads to it.",
                )
                .or_computed(),
                tags(),
                arn(),
                given("prefix_list_id", "The list of the service's addresses."),
            ],
            expected: seconds(5, 2, 5),
            needs: ENDPOINT_NEEDS,
            ..kind(names::VPC_ENDPOINT, Idempotency::Token, "A private way to a service of the cloud.")
        },
    ]
}
