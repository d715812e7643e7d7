//! `resource "value"`: a value in the state, and nothing in the world.

use std::sync::Arc;

use cloudtik_model::{ChangeWord, Type, Value};

use crate::{AttributeSchema, CallError, Cloud, ErrorClass, Expected, Idempotency, KindSchema, Provider, ProviderSchema, Visibility};

/// The name of the kind.
pub const VALUE_KIND: &str = "value";

/// The provider of the kind `value`. It is never asked to do anything: the kind is pure.
pub struct ValueProvider {
    schema: ProviderSchema,
}

impl ValueProvider {
    /// The provider.
    #[must_use]
    pub fn new() -> Self {
        let kind = KindSchema {
            name: VALUE_KIND,
            version: 1,
            class: Idempotency::Pure,
            attributes: vec![
                AttributeSchema::optional("input", Type::Any, ChangeWord::Live, "Any value."),
                AttributeSchema::optional("triggers_replace", Type::Any, ChangeWord::Recreate, "A change of it makes a new value."),
                AttributeSchema::computed("output", Type::Any, "The input."),
            ],
            expected: Expected { create_ms: 0, update_ms: 0, delete_ms: 0 },
            is_node: false,
            secrets: &[],
            unique_name: None,
            concurrency_max: u32::MAX,
            names: None,
            inside: None,
            derive: Some(|desired| vec![("output", desired.get("input").cloned().unwrap_or(Value::NULL))]),
            choices: &[],
            together: None,
            additive: &[],
            shows: Visibility::AT_ONCE,
            needs: &[],
            rolls: false,
            in_resource: true,
            doc: "A value that is kept in the state: to pass on, to compare, to trigger a replacement.",
        };
        Self { schema: ProviderSchema { version: 1, config: Vec::new(), kinds: [(VALUE_KIND, kind)].into_iter().collect() } }
    }
}

impl Default for ValueProvider {
    fn default() -> Self {
        Self::new()
    }
}

impl Provider for ValueProvider {
    fn name(&self) -> &'static str {
        VALUE_KIND
    }

    fn schema(&self) -> &ProviderSchema {
        &self.schema
    }

    fn connect(&self, _config: &Value) -> Result<Arc<dyn Cloud>, CallError> {
        Err(CallError::new(ErrorClass::Permanent, "pure", "the kind `value` has no cloud to call"))
    }
}
