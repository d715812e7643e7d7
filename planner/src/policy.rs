//! The changes of a plan as policies see them.

use std::sync::Arc;

use cloudtik_model::{Expr, ExprKind, Type, Value};

use crate::json::change::{actions, after, before};
use crate::{Change, Plan};

/// What is done, one object each: `address`, `kind`, `actions` in Terraform's words, `before` and `after` (null where there is none), and
/// `source`. What only the provider can tell is not known.
#[must_use]
pub fn changes_for_policies(plan: &Plan) -> Vec<Value> {
    plan.changes.values().filter(|change| change.has_effect()).map(value).collect()
}

fn value(change: &Change) -> Value {
    let words = actions(change).iter().map(|word| Value::from(*word));
    Value::object([
        ("address", change.address.to_string().as_str().into()),
        ("kind", Value::from(Arc::clone(&change.kind))),
        ("actions", Value::list(words)),
        ("before", before(change).unwrap_or(Value::NULL)),
        ("after", after(change).map_or(Value::NULL, |after| with_unknown(change, &after))),
        ("source", change.source.as_deref().map_or(Value::NULL, Value::from)),
    ])
}

fn with_unknown(change: &Change, after: &Value) -> Value {
    let mut entries = after.entries().cloned().unwrap_or_default();
    for name in &change.computed {
        let object = Expr::from(ExprKind::Reference(change.address.clone()));
        entries.insert(Arc::clone(name), Value::deferred(Type::Any, object.attribute(Arc::clone(name))));
    }
    Value::object(entries).marked(after.is_sensitive())
}
