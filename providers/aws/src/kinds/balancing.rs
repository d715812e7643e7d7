//! Load balancers.

use cloudtik_model::{ChangeWord, Type};
use cloudtik_provider_api::{AttributeSchema, Idempotency, KindSchema, Need, When};

use super::{arn, block, choice, fixed, flag, given, ids, kind, named, names, parts_of, seconds, tags, word};

pub(super) fn kinds() -> Vec<KindSchema> {
    let (again, in_place) = (ChangeWord::Recreate, ChangeWord::Live);
    let health = [
        ("path", Type::String),
        ("port", Type::String),
        ("protocol", Type::String),
        ("interval", Type::Number),
        ("timeout", Type::Number),
        ("healthy_threshold", Type::Number),
        ("unhealthy_threshold", Type::Number),
    ];
    let action = [("type", Type::String), ("target_group_arn", Type::String)];
    vec![
        KindSchema {
            attributes: vec![
                fixed("name", "Its name."),
                flag("internal", false, again, "Whether only the network reaches it."),
                word("load_balancer_type", "application", again, "`application` or `network`."),
                AttributeSchema::required("subnets", Type::set(Type::String), in_place, "Where it has addresses."),
                ids("security_groups", in_place, "Firewalls.").or_computed(),
                flag("enable_deletion_protection", false, in_place, "Whether AWS refuses its delete."),
                tags(),
                arn(),
                given("dns_name", "Its host name."),
                given("zone_id", "The DNS zone of that name."),
                given("vpc_id", "Its network."),
            ],
            expected: seconds(150, 5, 20),
            ..named(names::LB, "name", "A load balancer. Its id is its ARN.")
        },
        KindSchema {
            attributes: vec![
                fixed("name", "Its name."),
                AttributeSchema::required("port", Type::Number, again, "Where the targets listen."),
                fixed("protocol", "`HTTP`, `HTTPS`, `TCP` …"),
                fixed("vpc_id", "The targets' network."),
                word("target_type", "instance", again, "`instance` or `ip`."),
                block("health_check", health, in_place, "How a target shows that it is well.").or_computed(),
                tags(),
                arn(),
            ],
            ..named(names::LB_TARGET_GROUP, "name", "What a load balancer sends to. Its id is its ARN.")
        },
        KindSchema {
            attributes: vec![
                fixed("load_balancer_arn", "Its load balancer."),
                AttributeSchema::required("port", Type::Number, in_place, "Its port."),
                AttributeSchema::required("protocol", Type::String, in_place, "`HTTP`, `HTTPS`, `TCP` …"),
                AttributeSchema::required("default_action", Type::list(parts_of(action)), in_place, "What it does: `type = \"forward\"`."),
                choice("certificate_arn", "Its certificate."),
                tags(),
                arn(),
            ],
            needs: &[
                Need::With(When { attribute: "protocol", values: &["HTTPS", "TLS"] }, "certificate_arn"),
                Need::Without(When { attribute: "protocol", values: &["HTTP", "TCP", "UDP", "TCP_UDP"] }, "certificate_arn"),
            ],
            ..kind(names::LB_LISTENER, Idempotency::Natural, "What a load balancer listens on. Its id is its ARN.")
        },
    ]
}
