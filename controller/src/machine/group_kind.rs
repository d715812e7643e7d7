//! The internal provider `group`: being a member of what a runtime forms, as a kind of resource. Its calls are commands that other members run.

use std::sync::Arc;

use cloudtik_model::{Address, ChangeWord, Expr, ExprKind, Lifecycle, MembershipConfig, ProviderRef, ResourceSpec, Span, Type, Value};
use cloudtik_provider_api::{AttributeSchema, Expected, Idempotency, KindSchema, ProviderSchema, Visibility, reference};

/// The provider type.
pub(super) const GROUP_PROVIDER: &str = "group";

/// The kind.
pub(super) const MEMBER_KIND: &str = "group_member";

/// What the id of a member begins with: it is not that of its instance, which other places look for.
const ID_PREFIX: &str = "member:";

/// The attribute with the instance.
const INSTANCE: &str = "instance";

/// The attribute with what late names know of the member.
pub(super) const NODE: &str = "node";

pub(super) fn group_schema() -> ProviderSchema {
    let kind = KindSchema {
        name: MEMBER_KIND,
        version: 1,
        class: Idempotency::Natural,
        attributes: vec![
            AttributeSchema::required(INSTANCE, Type::String, ChangeWord::Recreate, "The provider's id of the worker."),
            AttributeSchema::required(NODE, Type::Any, ChangeWord::None, "Names and addresses of the worker."),
        ],
        expected: Expected { create_ms: 1_000, update_ms: 0, delete_ms: 1_000 },
        is_node: false,
        secrets: &[],
        unique_name: None,
        concurrency_max: u32::MAX,
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
        doc: "A member of what a runtime forms.",
    };
    ProviderSchema { version: 1, config: Vec::new(), kinds: [(MEMBER_KIND, kind)].into_iter().collect() }
}

/// The membership of a worker as a resource.
pub(super) fn member_resource(membership: &MembershipConfig, worker: &Address) -> ResourceSpec {
    let node = Value::deferred(Type::Any, Expr::from(ExprKind::Reference(worker.clone())).attribute(NODE));
    let attributes: [(Arc<str>, Value); 2] = [(INSTANCE.into(), reference(worker, "id", Type::String)), (NODE.into(), node)];
    let mut depends_on = membership.depends_on.clone();
    depends_on.insert(worker.clone());
    ResourceSpec {
        address: membership.address.clone(),
        kind: MEMBER_KIND.into(),
        provider: ProviderRef::new(GROUP_PROVIDER),
        attributes: Value::object(attributes),
        depends_on,
        lifecycle: Lifecycle::default(),
        marks: std::collections::BTreeMap::new(),
        span: Span::NONE,
        origins: std::collections::BTreeMap::new(),
    }
}

/// The id of the member that an instance is.
pub(super) fn member_id(attributes: &Value) -> String {
    format!("{ID_PREFIX}{}", attributes.get(INSTANCE).and_then(Value::as_str).unwrap_or_default())
}
