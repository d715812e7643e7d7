//! The kinds, with the names and attributes that Terraform's `aws` provider has for the same things, so that a policy written for one fits the
//! other. What is a block there and occurs once is a list of one object here, as in the plan's JSON of both.

mod balancing;
mod compute;
mod database;
mod firewall;
mod identity;
mod network;
mod peering;
mod requests;
mod storage;

use std::sync::Arc;

use cloudtik_model::{ChangeWord, ObjectField, Type};
use cloudtik_provider_api::{AttributeSchema, Expected, Idempotency, KindSchema, ProviderSchema, Visibility};

pub(crate) use firewall::SAME_RULE;
pub use names::*;
pub(crate) use requests::requests;

/// Names of kinds.
mod names {
    /// A network.
    pub const VPC: &str = "aws_vpc";
    /// A range of a network in one zone.
    pub const SUBNET: &str = "aws_subnet";
    /// A network's door to the internet.
    pub const INTERNET_GATEWAY: &str = "aws_internet_gateway";
    /// A public address that stays.
    pub const EIP: &str = "aws_eip";
    /// Which machine has a public address.
    pub const EIP_ASSOCIATION: &str = "aws_eip_association";
    /// What private addresses reach the internet through.
    pub const NAT_GATEWAY: &str = "aws_nat_gateway";
    /// Where packets of subnets go.
    pub const ROUTE_TABLE: &str = "aws_route_table";
    /// One entry of a route table.
    pub const ROUTE: &str = "aws_route";
    /// Which table a subnet uses.
    pub const ROUTE_TABLE_ASSOCIATION: &str = "aws_route_table_association";
    /// A private way to a service of the cloud.
    pub const VPC_ENDPOINT: &str = "aws_vpc_endpoint";
    /// A firewall.
    pub const SECURITY_GROUP: &str = "aws_security_group";
    /// What a firewall lets in.
    pub const INGRESS_RULE: &str = "aws_vpc_security_group_ingress_rule";
    /// What a firewall lets out.
    pub const EGRESS_RULE: &str = "aws_vpc_security_group_egress_rule";
    /// A connection of two networks, as asked for.
    pub const PEERING: &str = "aws_vpc_peering_connection";
    /// Its other end.
    pub const PEERING_ACCEPTER: &str = "aws_vpc_peering_connection_accepter";
    /// What each end of it lets the other one do.
    pub const PEERING_OPTIONS: &str = "aws_vpc_peering_connection_options";
    /// The routes of a network that is not ours to one that is: in tables that are left as they are otherwise. Terraform has no such kind.
    pub const PEERING_ROUTES: &str = "aws_vpc_peering_routes";
    /// A key that logs in.
    pub const KEY_PAIR: &str = "aws_key_pair";
    /// What instances are launched from.
    pub const LAUNCH_TEMPLATE: &str = "aws_launch_template";
    /// A machine.
    pub const INSTANCE: &str = "aws_instance";
    /// A disk.
    pub const EBS_VOLUME: &str = "aws_ebs_volume";
    /// A disk in a machine.
    pub const VOLUME_ATTACHMENT: &str = "aws_volume_attachment";
    /// How machines lie to each other.
    pub const PLACEMENT_GROUP: &str = "aws_placement_group";
    /// An identity.
    pub const IAM_ROLE: &str = "aws_iam_role";
    /// Rights of one role, written into it.
    pub const IAM_ROLE_POLICY: &str = "aws_iam_role_policy";
    /// Rights with a name of their own.
    pub const IAM_POLICY: &str = "aws_iam_policy";
    /// Rights with a name, given to a role.
    pub const IAM_ROLE_POLICY_ATTACHMENT: &str = "aws_iam_role_policy_attachment";
    /// What an instance carries a role by.
    pub const IAM_INSTANCE_PROFILE: &str = "aws_iam_instance_profile";
    /// An object store.
    pub const S3_BUCKET: &str = "aws_s3_bucket";
    /// Where a database may lie.
    pub const DB_SUBNET_GROUP: &str = "aws_db_subnet_group";
    /// A database.
    pub const DB_INSTANCE: &str = "aws_db_instance";
    /// A load balancer.
    pub const LB: &str = "aws_lb";
    /// What a load balancer sends to.
    pub const LB_TARGET_GROUP: &str = "aws_lb_target_group";
    /// What a load balancer listens on.
    pub const LB_LISTENER: &str = "aws_lb_listener";
    /// A value under a name.
    pub const SSM_PARAMETER: &str = "aws_ssm_parameter";
    /// Resources that are made from a template.
    pub const CLOUDFORMATION_STACK: &str = "aws_cloudformation_stack";
}

/// How long a new object may stay invisible to searches. AWS publishes no number; its own guide to eventual consistency has clients wait up
/// to some minutes in all, and what is observed is seconds.
const VISIBILITY_MS: u64 = 30_000;
/// Empty searches that settle that an object is not there.
const EMPTY_READS: u32 = 4;

/// When a machine shows. AWS launches by token, so nothing is made twice; whoever looks for all machines of a cluster must see those that were
/// launched moments before, and those that were just made are not gone. Seconds are what is observed.
const MACHINES_SHOW: Visibility = Visibility { ms: 10_000, reads: 3 };

/// Found by the tag of the call that made it, for kinds whose create takes no token.
const TAGGED: Idempotency = Idempotency::TagAtCreate { visibility_ms: VISIBILITY_MS, reads: EMPTY_READS };

/// The schema of the provider `aws`.
#[must_use]
pub fn aws_schema() -> ProviderSchema {
    let kinds = network::kinds()
        .into_iter()
        .chain(firewall::kinds())
        .chain(peering::kinds())
        .chain(compute::kinds())
        .chain(identity::kinds())
        .chain(storage::kinds())
        .chain(database::kinds())
        .chain(balancing::kinds());
    ProviderSchema { version: 1, config: config(), kinds: kinds.map(|kind| (kind.name, kind)).collect() }
}

fn config() -> Vec<AttributeSchema> {
    let note = ChangeWord::None;
    let role =
        parts_of([("role_arn", Type::String), ("session_name", Type::String), ("external_id", Type::String), ("duration", Type::String)]);
    vec![
        AttributeSchema::optional("region", Type::String, ChangeWord::Recreate, "The region; that of the environment without it."),
        AttributeSchema::optional("profile", Type::String, note, "Which credentials of the standard chain."),
        AttributeSchema::optional("shared_config_files", Type::list(Type::String), note, "Files of profiles, instead of the usual ones."),
        AttributeSchema::optional("assume_role", role, note, "A role to make all calls as; `duration` as in `1h`."),
        AttributeSchema::optional("allowed_account_ids", Type::list(Type::String), note, "Any other account is an error."),
        AttributeSchema::optional("default_tags", Type::map(Type::String), ChangeWord::Live, "Tags of everything made through it."),
        AttributeSchema::optional("endpoint_url", Type::String, note, "Another API server."),
    ]
}

const fn kind(name: &'static str, class: Idempotency, doc: &'static str) -> KindSchema {
    KindSchema {
        name,
        version: 1,
        class,
        attributes: Vec::new(),
        expected: Expected { create_ms: 500, update_ms: 500, delete_ms: 500 },
        is_node: false,
        secrets: &[],
        unique_name: None,
        concurrency_max: 16,
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
        doc,
    }
}

/// A kind whose name nobody else in the account may have.
fn named(name: &'static str, attribute: &'static str, doc: &'static str) -> KindSchema {
    KindSchema { unique_name: Some(attribute), ..kind(name, Idempotency::UniqueName, doc) }
}

const fn seconds(create: u64, update: u64, delete: u64) -> Expected {
    Expected { create_ms: create * 1_000, update_ms: update * 1_000, delete_ms: delete * 1_000 }
}

/// A text that the spec must give, and whose change makes the object anew.
const fn fixed(name: &'static str, doc: &'static str) -> AttributeSchema {
    AttributeSchema::required(name, Type::String, ChangeWord::Recreate, doc)
}

/// A text that the spec may give, and whose change makes the object anew.
const fn choice(name: &'static str, doc: &'static str) -> AttributeSchema {
    AttributeSchema::optional(name, Type::String, ChangeWord::Recreate, doc)
}

/// A text that the spec may give, and that changes in place.
const fn live(name: &'static str, doc: &'static str) -> AttributeSchema {
    AttributeSchema::optional(name, Type::String, ChangeWord::Live, doc)
}

/// A text that AWS gives.
const fn given(name: &'static str, doc: &'static str) -> AttributeSchema {
    AttributeSchema::computed(name, Type::String, doc)
}

fn flag(name: &'static str, default: bool, change: ChangeWord, doc: &'static str) -> AttributeSchema {
    AttributeSchema::with_default(name, Type::Bool, default, change, doc)
}

fn word(name: &'static str, default: &'static str, change: ChangeWord, doc: &'static str) -> AttributeSchema {
    AttributeSchema::with_default(name, Type::String, default, change, doc)
}

const fn number(name: &'static str, change: ChangeWord, doc: &'static str) -> AttributeSchema {
    AttributeSchema::optional(name, Type::Number, change, doc)
}

fn ids(name: &'static str, change: ChangeWord, doc: &'static str) -> AttributeSchema {
    AttributeSchema::optional(name, Type::set(Type::String), change, doc)
}

fn texts(name: &'static str, change: ChangeWord, doc: &'static str) -> AttributeSchema {
    AttributeSchema::optional(name, Type::list(Type::String), change, doc)
}

/// A block that occurs once: a list of one object.
fn block<const N: usize>(name: &'static str, parts: [(&'static str, Type); N], change: ChangeWord, doc: &'static str) -> AttributeSchema {
    AttributeSchema::optional(name, Type::list(parts_of(parts)), change, doc)
}

/// An object whose parts may all be left out.
fn parts_of<const N: usize>(parts: [(&'static str, Type); N]) -> Type {
    let part = |(name, ty): (&'static str, Type)| (Arc::from(name), ObjectField { ty, optional: true, default: None });
    Type::Object(Arc::new(parts.into_iter().map(part).collect()))
}

fn tags() -> AttributeSchema {
    AttributeSchema::optional("tags", Type::map(Type::String), ChangeWord::Live, "Tags, beside those that say whose it is.")
}

fn arn() -> AttributeSchema {
    given("arn", "Its name across all of AWS.")
}

#[cfg(test)]
mod tests {
    use cloudtik_provider_api::Need;

    use super::*;

    #[test]
    fn needs_are_of_attributes_that_there_are() {
        for kind in aws_schema().kinds.values() {
            let named = kind.needs.iter().flat_map(|need| match need {
                Need::ExactlyOne(names) | Need::OneOf(names) => names.to_vec(),
                Need::NotBoth(one, other) => vec![*one, *other],
                Need::With(when, name) | Need::Without(when, name) => vec![when.attribute, *name],
            });
            for name in named {
                assert!(kind.attribute(name).is_some_and(AttributeSchema::is_settable), "{}: {name}", kind.name);
            }
        }
    }
}
