//! Connections of two networks, which may lie in two regions and belong to two accounts: each end is made through its own configuration.

use cloudtik_model::{ChangeWord, Type};
use cloudtik_provider_api::{AttributeSchema, Idempotency, KindSchema, Need};

use super::{TAGGED, block, choice, fixed, given, kind, names, seconds, tags};

pub(super) fn kinds() -> Vec<KindSchema> {
    vec![
        KindSchema {
            attributes: vec![
                fixed("vpc_id", "The network that asks."),
                fixed("peer_vpc_id", "The network that is asked."),
                choice("peer_owner_id", "Its account.").or_computed(),
                choice("peer_region", "Its region.").or_computed(),
                tags(),
                given("accept_status", "`pending-acceptance`, `active` …"),
            ],
            expected: seconds(3, 1, 2),
            ..kind(names::PEERING, TAGGED, "A connection of two networks, as asked for.")
        },
        KindSchema {
            attributes: vec![
                fixed("vpc_peering_connection_id", "The connection."),
                // In one account and region both ends are one object, with the tags of who asked.
                tags().or_computed(),
                given("accept_status", "`active` once both ends are there."),
                given("vpc_id", "The network that was asked."),
                given("peer_vpc_id", "The network that asked."),
            ],
            expected: seconds(5, 1, 1),
            ..kind(
                names::PEERING_ACCEPTER,
                Idempotency::Natural,
                "The other end of a connection: taking it away leaves the connection to who asked.",
            )
        },
        KindSchema {
            attributes: vec![
                fixed("vpc_peering_connection_id", "The connection, which was accepted."),
                options("accepter", "What the network that was asked lets the other one do."),
                options("requester", "What the network that asked lets the other one do."),
            ],
            needs: &[Need::OneOf(&["accepter", "requester"])],
            expected: seconds(1, 1, 1),
            ..kind(
                names::PEERING_OPTIONS,
                Idempotency::Natural,
                "What the ends of a connection let each other do: each end is told of in its own account and region. Its id is that of the \
                 connection. Taking it away leaves the options as they are.",
            )
        },
        KindSchema {
            attributes: vec![
                AttributeSchema::required("route_table_ids", Type::set(Type::String), ChangeWord::Live, "The tables."),
                fixed("destination_cidr_block", "The range of the network at the other end."),
                fixed("vpc_peering_connection_id", "The connection."),
            ],
            expected: seconds(1, 1, 1),
            ..kind(
                names::PEERING_ROUTES,
                Idempotency::Natural,
                "The same route in many tables that belong to somebody else. Its id is `CONNECTION_DESTINATION`.",
            )
        },
    ]
}

/// The options of one end; what the spec does not say of an end is left as it is.
fn options(name: &'static str, doc: &'static str) -> AttributeSchema {
    block(name, [("allow_remote_vpc_dns_resolution", Type::Bool)], ChangeWord::Live, doc).or_computed()
}
