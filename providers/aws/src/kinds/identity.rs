//! Identities and their rights.

use cloudtik_model::{ChangeWord, Type};
use cloudtik_provider_api::{AttributeSchema, Idempotency, KindSchema, Shown};

use super::{arn, choice, fixed, given, kind, live, named, names, seconds, tags, word};

/// IAM answers before all of AWS knows.
const SPREADS: cloudtik_provider_api::Expected = seconds(3, 1, 1);

pub(super) fn kinds() -> Vec<KindSchema> {
    let again = ChangeWord::Recreate;
    let document = |name, doc| AttributeSchema::required(name, Type::String, ChangeWord::Live, doc).shown(Shown::Changes);
    vec![
        KindSchema {
            attributes: vec![
                fixed("name", "Its name."),
                document("assume_role_policy", "Who may take it, as JSON."),
                live("description", "What it is for."),
                word("path", "/", again, "Where it lies among names."),
                live("permissions_boundary", "The policy that bounds it."),
                AttributeSchema::with_default("max_session_duration", Type::Number, 3_600_u64, ChangeWord::Live, "Seconds of a session."),
                tags(),
                arn(),
                given("unique_id", "Its id."),
            ],
            expected: SPREADS,
            ..named(names::IAM_ROLE, "name", "An identity.")
        },
        KindSchema {
            attributes: vec![fixed("name", "Its name."), fixed("role", "The role."), document("policy", "The rights, as JSON.")],
            ..kind(names::IAM_ROLE_POLICY, Idempotency::Natural, "Rights of one role, written into it. Its id is `ROLE:NAME`.")
        },
        KindSchema {
            attributes: vec![
                fixed("name", "Its name."),
                word("path", "/", again, "Where it lies among names."),
                choice("description", "What it is for."),
                document("policy", "The rights, as JSON."),
                tags(),
                arn(),
            ],
            ..named(names::IAM_POLICY, "name", "Rights with a name of their own. Its id is its ARN.")
        },
        KindSchema {
            attributes: vec![fixed("role", "The role."), fixed("policy_arn", "The rights.")],
            ..kind(names::IAM_ROLE_POLICY_ATTACHMENT, Idempotency::Natural, "Rights with a name, given to a role. Its id is `ROLE/ARN`.")
        },
        KindSchema {
            attributes: vec![
                fixed("name", "Its name."),
                word("path", "/", again, "Where it lies among names."),
                live("role", "The role that it carries."),
                tags(),
                arn(),
                given("unique_id", "Its id."),
            ],
            expected: SPREADS,
            ..named(names::IAM_INSTANCE_PROFILE, "name", "What an instance carries a role by.")
        },
    ]
}
