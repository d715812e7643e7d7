//! Builds the parts of a workspace: each with the mark, the tags and the lifecycle that all of them have.

use std::sync::Arc;

use cloudtik_model::spec::{Part, WorkspaceSpec};
use cloudtik_model::{Address, ResourceSpec, Type, Value};
use cloudtik_provider_api::{ResourceBuilder, WORKSPACE_TAG, merged_tags, real_name, reference};

use crate::names::WORKSPACE_NAME_TAG;

/// What the parts of one workspace have in common.
pub(super) struct Maker<'a> {
    pub(super) workspace: &'a WorkspaceSpec,
    /// The name in the world.
    pub(super) name: Arc<str>,
    made: Vec<ResourceSpec>,
}

impl<'a> Maker<'a> {
    pub(super) fn new(workspace: &'a WorkspaceSpec) -> Self {
        Self { workspace, name: real_name(&workspace.address, &workspace.fields), made: Vec::new() }
    }

    /// `workspace.w.NAME`
    pub(super) fn at(&self, name: &str) -> Address {
        self.workspace.address.child(name)
    }

    /// A part that carries no tags, where the spec has what it is made of.
    pub(super) fn plain(&self, address: &Address, kind: &'static str, part: &Part) -> ResourceBuilder {
        ResourceBuilder::part(address.clone(), kind, self.workspace, part).mark(WORKSPACE_TAG, &*self.name)
    }

    /// A part with tags.
    pub(super) fn tagged(&self, address: &Address, kind: &'static str, part: &Part, own: &[(&str, &str)]) -> ResourceBuilder {
        let own = own.iter().map(|(name, value)| (*name, Value::from(*value)));
        let own = own.chain([(WORKSPACE_NAME_TAG, Value::from(Arc::clone(&self.name)))]);
        let spec = self.workspace.fields.get("tags").map_or(Value::NULL, |field| field.value.clone());
        self.plain(address, kind, part).set("tags", with_tags(&spec, own)).origin("tags", &self.workspace.fields)
    }

    /// A part of the network with the name that consoles show.
    pub(super) fn named(&self, address: &Address, kind: &'static str, name: &str) -> ResourceBuilder {
        self.tagged(address, kind, &self.workspace.network, &[("Name", name)])
    }

    /// Takes a part that is made.
    pub(super) fn push(&mut self, part: ResourceBuilder) {
        self.made.push(part.build());
    }

    /// All parts.
    pub(super) fn finish(self) -> Vec<ResourceSpec> {
        self.made
    }
}

/// The tags of a spec with those that this provider adds, which win: objects are found by them.
pub(super) fn with_tags<'t>(spec: &Value, own: impl IntoIterator<Item = (&'t str, Value)>) -> Value {
    merged_tags(spec, &Value::map(own))
}

/// The id of an object of this plan.
pub(super) fn id_of(address: &Address) -> Value {
    reference(address, "id", Type::String)
}
