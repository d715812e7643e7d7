//! The local cloud as a provider: the pure half says what kinds there are and what a spec becomes, the effectful half makes its calls with
//! the [`Client`](crate::Client).

mod attributes;
mod cloud;
mod form;
mod kinds;
mod lower;
mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use cloudtik_model::spec::{ClusterSpec, WorkspaceSpec, WorkspaceUse};
use cloudtik_model::{Diagnostic, Diagnostics, Number, ProviderConfig, ProviderRef, Value, did_you_mean};
use cloudtik_provider_api::{
    CallError, Capabilities, Capability, Cloud, ErrorClass, FactQuestion, Facts, Lowered, Provider, ProviderSchema, TEMPLATES_BY_SIZE,
};

pub use cloud::LocalCloud;
pub use kinds::{BUCKET_KIND, FIREWALL_KIND, INSTANCE_KIND, NETWORK_KIND};

use crate::options::LocalCloudOptions;
use crate::protocol::Form;
use form::{Isolation, known, question};

/// The type of the provider.
pub const LOCAL_PROVIDER: &str = "local";

/// The pure half.
pub struct LocalProvider {
    schema: ProviderSchema,
}

impl LocalProvider {
    /// The provider.
    #[must_use]
    pub fn new() -> Self {
        Self { schema: kinds::local_schema() }
    }
}

impl Default for LocalProvider {
    fn default() -> Self {
        Self::new()
    }
}

impl Provider for LocalProvider {
    fn name(&self) -> &'static str {
        LOCAL_PROVIDER
    }

    fn schema(&self) -> &ProviderSchema {
        &self.schema
    }

    fn templates(&self) -> &'static [&'static str] {
        // Of GPUs this machine's nodes have none of their own.
        &[TEMPLATES_BY_SIZE]
    }

    fn check_config(&self, config: &ProviderConfig) -> Diagnostics {
        let mut found = Diagnostics::new();
        if let Err(word) = Isolation::of(&config.attributes) {
            let near = did_you_mean(&word, Isolation::WORDS).map(|near| format!("did you mean `{near}`?"));
            let help = near.unwrap_or_else(|| "write `auto`, `namespaces` or `plain`".to_owned());
            found.push(Diagnostic::error("local-isolation", format!("there is no isolation `{word}`")).at(config.span).help(help));
        }
        if config.attributes.get("root").and_then(Value::as_str).is_some_and(|root| root.trim().is_empty()) {
            found
                .push(Diagnostic::error("local-root", "`root` names no folder").at(config.span).help("leave it out for `.cloudtik/local`"));
        }
        for name in ["cpus", "memory_gib"] {
            let number = config.attributes.get(name).and_then(Value::as_number);
            if number.is_some_and(|number| *number <= Number::ZERO) {
                let help = "write what all nodes together may have, or leave it out for what the machine has";
                found.push(Diagnostic::error("local-limit", format!("`{name}` is not above zero")).at(config.span).help(help));
            }
        }
        found
    }

    fn facts_needed(
        &self,
        provider: &ProviderRef,
        config: &Value,
        workspaces: &[&WorkspaceSpec],
        _clusters: &[&ClusterSpec],
    ) -> Vec<FactQuestion> {
        // A word that means nothing is an error of `check_config`.
        let isolation = Isolation::of(config).ok().filter(|_| !workspaces.is_empty());
        isolation.map(|isolation| question(provider, isolation)).into_iter().collect()
    }

    fn capabilities(&self, provider: &ProviderRef, config: &Value, facts: &Facts) -> Option<Capabilities> {
        Some(capabilities_of(form::form_of(provider, config, facts)?))
    }

    fn lower_workspace(&self, config: &Value, workspace: &WorkspaceSpec, facts: &Facts) -> Lowered {
        lower::workspace(config, workspace, facts)
    }

    fn lower_cluster(&self, config: &Value, cluster: &ClusterSpec, workspace: &WorkspaceUse, facts: &Facts) -> Lowered {
        lower::cluster(config, cluster, workspace, facts)
    }

    fn check_together(&self, provider: &ProviderRef, config: &Value, clusters: &[&ClusterSpec], facts: &Facts) -> Diagnostics {
        lower::check_together(provider, config, clusters, facts)
    }

    fn notes(&self, provider: &ProviderRef, config: &Value, facts: &Facts) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(known) = known(provider, config, facts) {
            let reason = known.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
            notes.push(format!("{provider}: form {}{reason}", known.form));
            if known.root && known.form == Form::Plain {
                notes.push(format!(
                    "{provider}: warning: in the form plain the nodes of root run as root, and nothing keeps them from the rest of this machine"
                ));
            }
        }
        notes.push(format!("{provider}: the firewall is recorded and not enforced; so are cpus and memory_gib of nodes"));
        notes
    }

    fn connect(&self, config: &Value) -> Result<Arc<dyn Cloud>, CallError> {
        let options = LocalCloudOptions::from_environment()
            .map_err(|error| CallError::new(ErrorClass::Permanent, "local-options", error.to_string()))?;
        Ok(Arc::new(LocalCloud::new(options, config)?))
    }
}

/// What is promised of the nodes of a form. Not among it, in either form: an init system; packages, because dpkg does not work where
/// overlays lie over overlays; names, because a node resolves its own names only.
fn capabilities_of(form: Form) -> Capabilities {
    match form {
        // Its processes use the machine's network as any other process does.
        Form::Plain => [Capability::Egress].into_iter().collect(),
        // Its proxy leads out, for what speaks HTTP.
        Form::Namespaces => [Capability::OwnRoot, Capability::LowPorts, Capability::Egress].into_iter().collect(),
    }
}
