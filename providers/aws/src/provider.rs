//! The provider.

use std::sync::Arc;

use cloudtik_model::spec::{ClusterSpec, WorkspaceSpec, WorkspaceUse};
use cloudtik_model::{ProviderRef, Value};
use cloudtik_provider_api::{CallError, Capabilities, Cloud, ErrorClass, Facts, Lowered, Provider, ProviderSchema};

use crate::kinds::aws_schema;

/// The type of the provider.
pub const AWS_PROVIDER: &str = "aws";

/// Opens a client for a configuration.
pub type Connect = fn(&Value) -> Result<Arc<dyn Cloud>, CallError>;

/// The pure half, and the way to the other one in builds that have it.
pub struct AwsProvider {
    schema: ProviderSchema,
    connect: Option<Connect>,
}

impl AwsProvider {
    /// With a client, or for plans without one.
    #[must_use]
    pub fn new(connect: Option<Connect>) -> Self {
        Self { schema: aws_schema(), connect }
    }
}

impl Provider for AwsProvider {
    fn name(&self) -> &'static str {
        AWS_PROVIDER
    }

    fn schema(&self) -> &ProviderSchema {
        &self.schema
    }

    fn capabilities(&self, _provider: &ProviderRef, _config: &Value, _facts: &Facts) -> Option<Capabilities> {
        todo!()
    }

    fn lower_workspace(&self, _config: &Value, _workspace: &WorkspaceSpec, _facts: &Facts) -> Lowered {
        todo!()
    }

    fn lower_cluster(&self, _config: &Value, _cluster: &ClusterSpec, _workspace: &WorkspaceUse, _facts: &Facts) -> Lowered {
        todo!()
    }

    fn connect(&self, config: &Value) -> Result<Arc<dyn Cloud>, CallError> {
        let Some(connect) = self.connect else {
            let message = "this program was built without the client of AWS";
            return Err(CallError::new(ErrorClass::Permanent, "no-aws", message)
                .help("build it with `cargo build --release --features aws`, or use `plan --offline`"));
        };
        connect(config)
    }
}
