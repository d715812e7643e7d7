//! The provider.

use std::ops::RangeInclusive;
use std::sync::Arc;

use cloudtik_model::spec::{ClusterSpec, WorkspaceSpec, WorkspaceUse};
use cloudtik_model::{Diagnostic, Diagnostics, ProviderConfig, ProviderRef, Value, duration_seconds};
use cloudtik_provider_api::{
    CallError, Capabilities, Capability, Cloud, Deed, ErrorClass, FactQuestion, Facts, Lowered, Provider, ProviderSchema, Requests,
};

use crate::cloudformation::{CLOUDFORMATION, template};
use crate::facts;
use crate::kinds::{self, aws_schema};
use crate::{lower, names};

/// Whose credentials are used here. Those of a head are its instance's.
const OF_THIS_MACHINE: &[&str] = &["profile", "shared_config_files", "assume_role"];

/// How long a session of a role may last, in seconds.
const SESSION_SECS: RangeInclusive<u64> = 15 * 60..=12 * 3_600;

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

    fn templates(&self) -> &'static [&'static str] {
        &[include_str!("templates.hcl")]
    }

    fn check_config(&self, config: &ProviderConfig) -> Diagnostics {
        let mut found = Diagnostics::new();
        let role = config.attributes.get("assume_role").filter(|role| !role.is_null());
        if role.is_some_and(|role| role.get("role_arn").is_none_or(Value::is_null)) {
            let help = "add `role_arn = \"arn:aws:iam::…:role/…\"`";
            found.push(Diagnostic::error("aws-config", "`assume_role` needs the role: `role_arn`").at(config.span).help(help));
        }
        let duration = role.and_then(|role| role.get("duration")?.as_str());
        if let Some(text) = duration.filter(|text| !duration_seconds(text).is_some_and(|seconds| SESSION_SECS.contains(&seconds))) {
            let title = format!("`duration`: a session of a role cannot last `{text}`");
            let help = "write a duration from `15m` to `12h`, such as `1h`";
            found.push(Diagnostic::error("aws-config", title).at(config.span).help(help));
        }
        for name in ["region", "profile", "endpoint_url"] {
            if config.attributes.get(name).and_then(Value::as_str).is_some_and(|text| text.trim().is_empty()) {
                found.push(
                    Diagnostic::error("aws-config", format!("`{name}` is empty")).at(config.span).help("leave it out, or fill it in"),
                );
            }
        }
        let tags = config.attributes.get("default_tags").and_then(Value::entries);
        for name in tags.into_iter().flat_map(|tags| tags.keys()).filter(|name| name.starts_with(crate::marks::PREFIX)) {
            let title = format!("the tag `{name}` begins as only cloudtik's own do");
            found.push(Diagnostic::error("reserved-tag", title).at(config.span).help("give it another name"));
        }
        found
    }

    fn facts_needed(
        &self,
        provider: &ProviderRef,
        config: &Value,
        workspaces: &[&WorkspaceSpec],
        clusters: &[&ClusterSpec],
    ) -> Vec<FactQuestion> {
        facts::questions(provider, config, workspaces, clusters)
    }

    fn facts_kept(&self, config: &Value, workspaces: &[&WorkspaceSpec]) -> Vec<String> {
        workspaces.iter().map(|workspace| facts::workspace_key(config, workspace, facts::WORKSPACE)).collect()
    }

    fn capabilities(&self, _provider: &ProviderRef, _config: &Value, _facts: &Facts) -> Option<Capabilities> {
        Some(Capability::ALL.into_iter().collect())
    }

    fn lower_workspace(&self, config: &Value, workspace: &WorkspaceSpec, facts: &Facts) -> Lowered {
        lower::workspace(config, workspace, facts)
    }

    fn emit(&self, format: &str, config: &Value, workspace: &WorkspaceSpec, facts: &Facts) -> Option<(String, Diagnostics)> {
        (format == CLOUDFORMATION).then(|| {
            let mut native = lower::native(config, workspace, facts);
            let mut found = std::mem::take(&mut native.diagnostics);
            let template = template(config, workspace, &native, &mut found);
            (format!("{:#}\n", template.json), found)
        })
    }

    fn lower_cluster(&self, config: &Value, cluster: &ClusterSpec, workspace: &WorkspaceUse, facts: &Facts) -> Lowered {
        lower::cluster(config, cluster, workspace, facts)
    }

    fn question_of_update(&self, kind: &str, id: &str, desired: &Value) -> Option<FactQuestion> {
        if kind != kinds::CLOUDFORMATION_STACK || !desired.is_known() {
            return None;
        }
        let wanted = desired.entries().into_iter().flatten().map(|(name, value)| (Arc::clone(name), value.clone()));
        let arguments = Value::object(wanted.chain([(Arc::from("id"), Value::from(id))]));
        Some(FactQuestion { key: format!("{}.{id}", facts::CHANGE_SET), question: facts::CHANGE_SET.to_owned(), arguments, pin: false })
    }

    fn record(&self, workspace: &str) -> Option<(&'static str, String)> {
        Some((kinds::SSM_PARAMETER, names::record(workspace)))
    }

    fn config_for_head(&self, config: &Value) -> Value {
        let there = config.entries().into_iter().flatten().filter(|(name, _)| !OF_THIS_MACHINE.contains(&&***name));
        Value::object(there.map(|(name, value)| (Arc::clone(name), value.clone())))
    }

    fn requests(&self, kind: &str, deed: Deed, expected_ms: u64) -> Requests {
        kinds::requests(kind, deed, expected_ms)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_logs_in_by_itself() {
        let config = Value::object([("region", Value::from("us-west-2")), ("profile", "me".into()), ("endpoint_url", Value::NULL)]);
        let on_head = AwsProvider::new(None).config_for_head(&config);
        assert_eq!(on_head.get("region").and_then(Value::as_str), Some("us-west-2"));
        assert!(on_head.get("profile").is_none());
        assert_eq!(on_head.entries().map(|entries| entries.len()), Some(2));
    }

    #[test]
    fn a_build_without_the_client_says_so() {
        let error = AwsProvider::new(None).connect(&Value::NULL).err().unwrap();
        assert_eq!(error.code, "no-aws");
        assert!(error.help.unwrap().contains("plan --offline"));
    }
}
