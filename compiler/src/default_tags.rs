//! `default_tags` of a provider's configuration: tags of everything made through it, put in at compile time so that plans show them.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_model::Value;
use cloudtik_provider_api::{KindSchema, merged_tags};

/// The attribute of a configuration.
const DEFAULT_TAGS: &str = "default_tags";

/// The attribute of a kind.
const TAGS: &str = "tags";

/// The attributes with the tags of the configuration, where both have such an attribute. What the object itself says wins.
pub(crate) fn with_default_tags(config: &Value, kind: &KindSchema, attributes: &Value) -> Value {
    let Some(defaults) = config.get(DEFAULT_TAGS).filter(|tags| tags.entries().is_some_and(|tags| !tags.is_empty())) else {
        return attributes.clone();
    };
    if !kind.attribute(TAGS).is_some_and(cloudtik_provider_api::AttributeSchema::is_settable) {
        return attributes.clone();
    }
    let mut all: BTreeMap<Arc<str>, Value> = attributes.entries().cloned().unwrap_or_default();
    let merged = merged_tags(defaults, all.get(TAGS).unwrap_or(&Value::NULL));
    all.insert(TAGS.into(), merged);
    Value::object(all).marked(attributes.is_sensitive())
}
