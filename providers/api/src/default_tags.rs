//! `default_tags` of a provider's configuration: tags of everything made through it, put in at compile time so that plans show them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{AttributeSchema, KindSchema};
use cloudtik_model::{Expr, ExprKind, Type, Value};

/// The attribute of a configuration.
const DEFAULT_TAGS: &str = "default_tags";

/// The attribute of a kind.
const TAGS: &str = "tags";

/// The attributes with the tags of the configuration, where both have such an attribute. What the object itself says wins.
#[must_use]
pub fn with_default_tags(config: &Value, kind: &KindSchema, attributes: &Value) -> Value {
    let Some(defaults) = config.get(DEFAULT_TAGS).and_then(Value::entries).filter(|tags| !tags.is_empty()) else {
        return attributes.clone();
    };
    if !kind.attribute(TAGS).is_some_and(AttributeSchema::is_settable) {
        return attributes.clone();
    }
    let mut all: BTreeMap<Arc<str>, Value> = attributes.entries().cloned().unwrap_or_default();
    let merged = merged(defaults, all.get(TAGS).unwrap_or(&Value::NULL));
    all.insert(TAGS.into(), merged);
    Value::object(all).marked(attributes.is_sensitive())
}

fn merged(defaults: &BTreeMap<Arc<str>, Value>, own: &Value) -> Value {
    let defaults = defaults.iter().map(|(name, value)| (Arc::clone(name), value.clone()));
    if own.is_deferred() {
        let args = vec![Expr::literal(Value::map(defaults)), own.to_expr()];
        let call = ExprKind::Call { name: "merge".into(), args, expand: false };
        return Value::deferred(Type::map(Type::String), call.into()).marked(own.is_sensitive());
    }
    let mut all: BTreeMap<Arc<str>, Value> = defaults.collect();
    all.extend(own.entries().into_iter().flatten().map(|(name, value)| (Arc::clone(name), value.clone())));
    Value::map(all).marked(own.is_sensitive())
}
