//! The provider types of this build.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_compiler::Providers;
use cloudtik_controller_client::ControllerProvider;
use cloudtik_provider_api::{CONTROLLER_PROVIDER, Provider, ProviderSchema, VALUE_KIND, ValueProvider};

/// All provider types.
pub(crate) fn providers() -> Providers {
    let mut all: Providers = BTreeMap::new();
    all.insert(VALUE_KIND, Arc::new(ValueProvider::new()));
    let local: Arc<dyn Provider> = Arc::new(cloudtik_local::LocalProvider::new());
    all.insert("local", local);
    let aws: Arc<dyn Provider> = Arc::new(cloudtik_aws::AwsProvider::new(aws_client()));
    all.insert(cloudtik_aws::AWS_PROVIDER, aws);
    let sim: Arc<dyn Provider> = Arc::new(cloudtik_sim::SimProvider::new());
    all.insert("sim", sim);
    with_controller(all)
}

/// The client of AWS, in builds that have it.
#[cfg(feature = "aws")]
fn aws_client() -> Option<cloudtik_aws::Connect> {
    Some(cloudtik_aws_client::connect)
}

#[cfg(not(feature = "aws"))]
const fn aws_client() -> Option<cloudtik_aws::Connect> {
    None
}

/// The same with the kinds that stand for what the controller on a head does: every cluster with workers has them.
pub(crate) fn with_controller(mut providers: Providers) -> Providers {
    providers.entry(CONTROLLER_PROVIDER).or_insert_with(|| Arc::new(ControllerProvider::new()));
    providers
}

/// Their schemas.
pub(crate) fn schemas(providers: &Providers) -> BTreeMap<String, ProviderSchema> {
    providers.iter().map(|(name, provider)| ((*name).to_owned(), provider.schema().clone())).collect()
}
