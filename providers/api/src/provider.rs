//! The two halves of a provider.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::spec::{ClusterSpec, WorkspaceSpec, WorkspaceUse};
use cloudtik_model::{
    Address, ControllerReply, ControllerRequest, Diagnostics, NodeReply, NodeRequest, ProviderConfig, ProviderRef, ResourceSpec, Value,
};

use crate::lowering::real_name;
use crate::{
    Answer, BoxFuture, Call, CallError, Capabilities, Check, Checked, Connection, Deed, DialTarget, FactQuestion, ProviderSchema, Requests,
};

/// Answers to the questions of a plan, by key. A question without an answer is unknown: `--offline`.
pub type Facts = BTreeMap<String, Value>;

/// What a typed spec becomes.
#[derive(Clone, Debug, Default)]
pub struct Lowered {
    /// The resources. Their addresses never contain a fact.
    pub resources: Vec<ResourceSpec>,
    /// Of a cluster: what a worker of each group is made of. The address is the group's, there are no marks of a single worker on it and
    /// not the cluster's, and what only a worker can tell, its number in its name, is late.
    pub workers: BTreeMap<Arc<str>, ResourceSpec>,
    /// What references to the block see: an object, with deferred parts. Of a workspace it holds all that clusters need to know of it, since
    /// those of other projects see its record and nothing else.
    pub exports: Value,
    /// Of a workspace: what must be there before the first node of a cluster. Of a cluster: what must be there before anybody speaks to its head.
    pub gates: BTreeSet<Address>,
    /// Of a workspace that an `import` takes over: the ids that its parts have, as far as they may be there. `None`: each part is looked for
    /// by its marks.
    pub there: Option<BTreeMap<Address, String>>,
    /// Errors and warnings, at their place in the spec.
    pub diagnostics: Diagnostics,
}

impl Lowered {
    /// What clusters use of the workspace that became this.
    #[must_use]
    pub fn workspace(&self, spec: &WorkspaceSpec) -> WorkspaceUse {
        WorkspaceUse {
            address: spec.address.clone(),
            name: real_name(&spec.address, &spec.fields),
            provider: spec.provider.clone(),
            exports: self.exports.clone(),
            gates: self.gates.clone(),
        }
    }
}

/// The pure half of a provider type: no IO, no clock, no randomness.
pub trait Provider: Send + Sync {
    /// The type, as `provider "TYPE"` writes it.
    fn name(&self) -> &'static str;

    /// What it has.
    fn schema(&self) -> &ProviderSchema;

    /// The templates that it ships for clusters, as texts of the language: `template` blocks, each of which may have another's name in `from`.
    fn templates(&self) -> &'static [&'static str] {
        &[]
    }

    /// Errors of a `provider` block beyond types; each at the block's place.
    fn check_config(&self, _config: &ProviderConfig) -> Diagnostics {
        Diagnostics::new()
    }

    /// What a plan of these specs must ask. `provider` is the configuration's name, for the keys. The workspaces are those that are made
    /// through it, and those whose client it is.
    fn facts_needed(
        &self,
        _provider: &ProviderRef,
        _config: &Value,
        _workspaces: &[&WorkspaceSpec],
        _clusters: &[&ClusterSpec],
    ) -> Vec<FactQuestion> {
        Vec::new()
    }

    /// Keys of answers that a plan of these workspaces relies on where the state has them, and that nobody is asked for otherwise: what was
    /// found when a workspace was taken over.
    fn facts_kept(&self, _config: &Value, _workspaces: &[&WorkspaceSpec]) -> Vec<String> {
        Vec::new()
    }

    /// What its nodes can do; `None` while the facts it depends on are unknown. A provider without nodes has nothing to say.
    fn capabilities(&self, _provider: &ProviderRef, _config: &Value, _facts: &Facts) -> Option<Capabilities> {
        Some(Capabilities::new())
    }

    /// A workspace as resources. A provider of nothing but kinds makes none.
    fn lower_workspace(&self, _config: &Value, _workspace: &WorkspaceSpec, _facts: &Facts) -> Lowered {
        Lowered::default()
    }

    /// A workspace as a document of this format, which other tools deploy. What the document cannot say is an error at its place. `None`: the
    /// provider has no such format.
    fn emit(&self, _format: &str, _config: &Value, _workspace: &WorkspaceSpec, _facts: &Facts) -> Option<(String, Diagnostics)> {
        None
    }

    /// The nodes of a cluster as resources.
    fn lower_cluster(&self, _config: &Value, _cluster: &ClusterSpec, _workspace: &WorkspaceUse, _facts: &Facts) -> Lowered {
        Lowered::default()
    }

    /// The kind and the name of the object that keeps the record of a workspace, and in whose attribute `value` it is. `None`: records are not
    /// kept here, and only clusters of the workspace's own project can use it.
    fn record(&self, _workspace: &str) -> Option<(&'static str, String)> {
        None
    }

    /// What is asked about an update of one object before a plan shows it, when the object has others inside: the answer is an object of `notes`,
    /// lines for the reader, and `anew`, whether something inside is made anew. `None`: the attributes say all there is to say.
    fn question_of_update(&self, _kind: &str, _id: &str, _desired: &Value) -> Option<FactQuestion> {
        None
    }

    /// Errors that only show when everything made through one configuration is seen together; each at its place in the spec.
    fn check_together(&self, _provider: &ProviderRef, _config: &Value, _clusters: &[&ClusterSpec], _facts: &Facts) -> Diagnostics {
        Diagnostics::new()
    }

    /// Lines for the plan that say what this configuration records but does not enforce, and which form it chose.
    fn notes(&self, _provider: &ProviderRef, _config: &Value, _facts: &Facts) -> Vec<String> {
        Vec::new()
    }

    /// Requests that a call for an object of a kind sends when it takes so many milliseconds. A provider whose calls cost nobody anything
    /// counts none.
    fn requests(&self, _kind: &str, _deed: Deed, _expected_ms: u64) -> Requests {
        Requests::default()
    }

    /// The configuration for the head of a cluster, which has rights of its own: without what only this machine has.
    fn config_for_head(&self, config: &Value) -> Value {
        config.clone()
    }

    /// The effectful half. Opens nothing yet: the first call does.
    ///
    /// # Errors
    /// The configuration cannot be used on this machine.
    fn connect(&self, config: &Value) -> Result<Arc<dyn Cloud>, CallError>;
}

/// The effectful half of a provider, one for each configuration.
pub trait Cloud: Send + Sync {
    /// Says which calls will be made at once, before the first of them: a cloud that can answer several looks with one request may do so.
    fn announce(&self, _calls: &[Call]) {}

    /// Makes a call. It never panics and never hangs: every path inside it has a timeout of its own.
    fn call(&self, call: Call) -> BoxFuture<'_, Answer>;

    /// Opens a byte stream to a port of an instance.
    fn dial(&self, target: DialTarget) -> BoxFuture<'_, Result<Connection, CallError>>;

    /// Asks what of a plan would not go well, in a bounded number of requests that change nothing. A cloud without such questions has nothing
    /// to say.
    fn check(&self, _check: Check) -> BoxFuture<'_, Checked> {
        Box::pin(std::future::ready(Checked::default()))
    }

    /// Executes a step on an instance that is simulated, so that nobody can dial it. `None`, for all others: steps go over `dial`.
    fn run_step<'a>(&'a self, _instance: &'a str, _request: &'a NodeRequest) -> Option<BoxFuture<'a, Result<NodeReply, CallError>>> {
        None
    }

    /// Speaks to the controller of a head that is simulated. `None`, for all others: frames go over `dial`.
    fn controller<'a>(
        &'a self,
        _instance: &'a str,
        _request: &'a ControllerRequest,
    ) -> Option<BoxFuture<'a, Result<ControllerReply, CallError>>> {
        None
    }

    /// The end of a command that may have changed something: lets go of what was kept open, and waits for what ends with it. Calls may
    /// still follow. An error is no error of the command: it is shown as a warning.
    fn finish(&self) -> BoxFuture<'_, Result<(), CallError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
