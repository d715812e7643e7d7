//! The pure half: the two kinds, which nobody writes in a spec.

use std::sync::Arc;

use cloudtik_model::{ProviderRef, Value};
use cloudtik_provider_api::{CONTROLLER_PROVIDER, CallError, Cloud, ErrorClass, Provider, ProviderSchema, controller_schema};

use crate::Reach;
use crate::cloud::ControllerCloud;

/// The provider of the kinds `head_controller` and `worker_group`.
pub struct ControllerProvider {
    schema: ProviderSchema,
    reach: Option<Arc<dyn Reach>>,
}

impl ControllerProvider {
    /// The pure half alone: it says what there is, and cannot be connected.
    #[must_use]
    pub fn new() -> Self {
        Self { schema: controller_schema(), reach: None }
    }

    /// One that reaches heads.
    #[must_use]
    pub fn with_reach(reach: Arc<dyn Reach>) -> Self {
        Self { schema: controller_schema(), reach: Some(reach) }
    }
}

impl Default for ControllerProvider {
    fn default() -> Self {
        Self::new()
    }
}

impl Provider for ControllerProvider {
    fn name(&self) -> &'static str {
        CONTROLLER_PROVIDER
    }

    fn schema(&self) -> &ProviderSchema {
        &self.schema
    }

    fn connect(&self, config: &Value) -> Result<Arc<dyn Cloud>, CallError> {
        let permanent = |code: &str, text: &str| CallError::new(ErrorClass::Permanent, code, text);
        let reach = self.reach.as_ref().ok_or_else(|| permanent("no-reach", "heads cannot be reached from here"))?;
        let name = config.get("provider").and_then(Value::as_str);
        let name = name.ok_or_else(|| permanent("config", "the configuration of a controller does not name the provider of its nodes"))?;
        Ok(Arc::new(ControllerCloud::new(Arc::clone(reach), ProviderRef::new(name))))
    }
}
