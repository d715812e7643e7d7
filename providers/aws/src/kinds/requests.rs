//! How many requests a call sends, as plans count them before. They are those of `cloudtik-aws-client`, of an object as it usually is: what an
//! attribute costs beside that is not counted, nor what is sent again because AWS was busy.

use cloudtik_provider_api::{Deed, Requests};

use super::names;
use crate::waiting;

/// What a create, an update and a delete of a kind send, and whether AWS takes its time over them.
struct Costs {
    create: u64,
    update: u64,
    delete: u64,
    waits: bool,
}

const fn at_once(create: u64, update: u64, delete: u64) -> Costs {
    Costs { create, update, delete, waits: false }
}

const fn waited(create: u64, update: u64, delete: u64) -> Costs {
    Costs { create, update, delete, waits: true }
}

fn costs(kind: &str) -> Costs {
    match kind {
        // Support for names, and an update looks at two attributes beside the network.
        names::VPC => at_once(2, 4, 1),
        // It is attached, and detached.
        names::INTERNET_GATEWAY => at_once(2, 2, 2),
        // Both ask who has the address, before and after.
        names::EIP_ASSOCIATION => at_once(3, 2, 3),
        names::NAT_GATEWAY => waited(2, 2, 3),
        // The list of its addresses.
        names::VPC_ENDPOINT => waited(2, 3, 2),
        // The rule that lets everything out is taken away.
        names::SECURITY_GROUP => at_once(2, 2, 1),
        names::PEERING => waited(2, 2, 2),
        names::PEERING_ACCEPTER => waited(3, 2, 1),
        // The connection is looked at first.
        names::PEERING_OPTIONS => at_once(2, 2, 1),
        // One for each of the client's tables, of which there are two or three.
        names::PEERING_ROUTES => at_once(4, 4, 4),
        // The image, what the machine has, and the machine.
        names::INSTANCE => waited(4, 3, 3),
        names::EBS_VOLUME => waited(2, 3, 2),
        names::VOLUME_ATTACHMENT => waited(2, 2, 2),
        names::LAUNCH_TEMPLATE => at_once(2, 4, 1),
        names::PLACEMENT_GROUP => at_once(2, 2, 2),
        names::IAM_POLICY => at_once(1, 4, 3),
        // A role is put into it, and taken out of it.
        names::IAM_INSTANCE_PROFILE => at_once(2, 4, 2),
        // Its settings are written one by one, and read the same way.
        names::S3_BUCKET => at_once(8, 6, 1),
        names::SSM_PARAMETER => at_once(1, 4, 1),
        names::DB_INSTANCE | names::LB => waited(2, 3, 2),
        // A change set is made, looked at and carried out; then the stack is read with its template.
        names::CLOUDFORMATION_STACK => waited(6, 8, 3),
        _ => at_once(1, 2, 1),
    }
}

/// Requests that a call for an object of a kind sends when it takes so many milliseconds.
pub(crate) fn requests(kind: &str, deed: Deed, expected_ms: u64) -> Requests {
    let costs = costs(kind);
    let (sent, waits) = match deed {
        Deed::Create => (costs.create, costs.waits),
        // Most updates are done when they are answered.
        Deed::Update => (costs.update, false),
        Deed::Delete => (costs.delete, costs.waits),
    };
    Requests { sent, looks: if waits { waiting::looks(expected_ms) } else { 0 } }
}
