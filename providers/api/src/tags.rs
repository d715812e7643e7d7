//! Tags that objects carry from their first moment, and by which they are found again.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_model::{Expr, ExprKind, Type, Value};

/// The cluster's uid: `<lineage>/<workspace>/<cluster>`. What is fenced.
pub const CLUSTER_TAG: &str = "cloudtik:cluster";

/// The workspace's name: what everything that belongs to it is marked with.
pub const WORKSPACE_TAG: &str = "cloudtik:workspace";

/// What a node is in its cluster: [`HEAD_ROLE`] or [`WORKER_ROLE`].
pub const ROLE_TAG: &str = "cloudtik:role";

/// The head.
pub const HEAD_ROLE: &str = "head";

/// A worker.
pub const WORKER_ROLE: &str = "worker";

/// The label of a worker's group.
pub const GROUP_TAG: &str = "cloudtik:group";

/// A worker's sequence number.
pub const SEQUENCE_TAG: &str = "cloudtik:sequence";

/// Digest of what a worker was made from.
pub const TEMPLATE_TAG: &str = "cloudtik:template";

/// What the names of published status values begin with, where they come back among the tags of an instance.
pub const STATUS_PREFIX: &str = "cloudtik:status:";

/// Two maps of tags as one, in which the second one wins. Where one of them is known late, so is what comes of them.
#[must_use]
pub fn merged_tags(first: &Value, second: &Value) -> Value {
    let is_sensitive = first.is_sensitive() || second.is_sensitive();
    if first.is_deferred() || second.is_deferred() {
        let args = [first, second].map(as_expr).into();
        let call = ExprKind::Call { name: "merge".into(), args, expand: false };
        return Value::deferred(Type::map(Type::String), call.into()).marked(is_sensitive);
    }
    let entries = [first, second].into_iter().filter_map(Value::entries).flatten();
    let all: BTreeMap<Arc<str>, Value> = entries.map(|(name, value)| (Arc::clone(name), value.clone())).collect();
    Value::map(all).marked(is_sensitive)
}

fn as_expr(tags: &Value) -> Expr {
    if tags.is_deferred() { tags.to_expr() } else { Expr::literal(tags.clone()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_wins() {
        let tags = |parts: &[(&'static str, &'static str)]| Value::map(parts.iter().map(|(name, value)| (*name, Value::from(*value))));
        let merged = merged_tags(&tags(&[("a", "1"), ("b", "1")]), &tags(&[("b", "2")]));
        assert_eq!(merged, tags(&[("a", "1"), ("b", "2")]));
        assert_eq!(merged_tags(&Value::NULL, &tags(&[("b", "2")])), tags(&[("b", "2")]));
        assert!(merged_tags(&tags(&[("a", "1")]).marked(true), &Value::NULL).is_sensitive());
    }
}
