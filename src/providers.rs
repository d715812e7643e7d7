//! The provider types of this build.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_compiler::Providers;
use cloudtik_provider_api::{Provider, ProviderSchema, VALUE_KIND, ValueProvider};

/// All provider types.
pub(crate) fn providers() -> Providers {
    let mut all: Providers = BTreeMap::new();
    all.insert(VALUE_KIND, Arc::new(ValueProvider::new()));
    let local: Arc<dyn Provider> = Arc::new(cloudtik_local::LocalProvider::new());
    all.insert("local", local);
    let sim: Arc<dyn Provider> = Arc::new(cloudtik_sim::SimProvider::new());
    all.insert("sim", sim);
    all
}

/// Their schemas.
pub(crate) fn schemas(providers: &Providers) -> BTreeMap<String, ProviderSchema> {
    providers.iter().map(|(name, provider)| ((*name).to_owned(), provider.schema().clone())).collect()
}
