//! The resource graph: what the spec wants, expanded to concrete addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Address, Condition, Key, Span, StepSpec, Value};

/// What a change of an attribute does to a running system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeWord {
    /// Nothing.
    None,
    /// In place.
    Live,
    /// The steps that depend on it run again, on the nodes that have them.
    Steps,
    /// Nodes are replaced in waves.
    Rolling,
    /// Destroyed and created.
    Recreate,
    /// Refused: the error says what to do instead.
    Fixed,
}

impl ChangeWord {
    /// The word as plans print it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Live => "live",
            Self::Steps => "steps",
            Self::Rolling => "rolling",
            Self::Recreate => "recreate",
            Self::Fixed => "fixed",
        }
    }

    /// Whether the object must be made anew.
    #[must_use]
    pub const fn replaces(self) -> bool {
        matches!(self, Self::Rolling | Self::Recreate)
    }
}

/// A configuration of a provider, as a spec names it: `aws`, `aws.west`, `aws.west["key"]`. It is its name in graph, plan and state, too.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProviderRef(Arc<str>);

impl ProviderRef {
    /// The configuration of that type without alias.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The configuration of that type with an alias; of one with `for_each`, that of a key.
    #[must_use]
    pub fn aliased(provider_type: &str, alias: &str, key: Option<Key>) -> Self {
        Self(Address::of(provider_type, alias).with_key(key).to_string().into())
    }

    /// The configuration of the same alias of another type.
    #[must_use]
    pub fn of_type(&self, provider_type: &str) -> Self {
        self.alias().map_or_else(|| Self::new(provider_type), |alias| Self(format!("{provider_type}.{alias}").into()))
    }

    /// What stands behind the type: `west`, `west["key"]`.
    #[must_use]
    pub fn alias(&self) -> Option<&str> {
        self.0.split_once('.').map(|(_, alias)| alias)
    }

    /// The type: what stands before the alias.
    #[must_use]
    pub fn provider_type(&self) -> &str {
        self.0.split('.').next().unwrap_or_default()
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProviderRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ProviderRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The evaluated configuration of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderConfig {
    /// Its attributes, as its schema has them; known.
    pub attributes: Value,
    /// Where it stands.
    #[serde(skip, default = "no_span")]
    pub span: Span,
}

/// The `timeouts` of a block, in seconds: what it does not say is the provider's to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timeouts {
    /// Of a create.
    pub create_secs: Option<u64>,
    /// Of an update.
    pub update_secs: Option<u64>,
    /// Of a delete.
    pub delete_secs: Option<u64>,
}

impl Timeouts {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The `lifecycle` of a block, and its `timeouts`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lifecycle {
    /// The new object is made before the old one is destroyed.
    pub create_before_destroy: bool,
    /// A plan that would destroy it is an error.
    pub prevent_destroy: bool,
    /// Attributes whose changes are not looked at, as paths `tags.owner`; `*` is all of them.
    pub ignore_changes: BTreeSet<String>,
    /// A change of one of these replaces it.
    pub replace_triggered_by: BTreeSet<Address>,
    /// How long what is done for it may take.
    #[serde(skip_serializing_if = "Timeouts::is_empty")]
    pub timeouts: Timeouts,
    /// What it has inside and what must not be given up there, with the place that says so.
    #[serde(skip)]
    pub prevent_inside: BTreeMap<Address, Span>,
}

/// Where an attribute's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The place in the spec.
    pub span: Span,
    /// What a change of it does, where the spec's word differs from the kind's.
    pub change: Option<ChangeWord>,
}

/// A resource that should exist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceSpec {
    /// Its address.
    pub address: Address,
    /// The kind in its provider's schema.
    pub kind: Arc<str>,
    /// Who makes it.
    pub provider: ProviderRef,
    /// An object of the attributes that the spec sets; others are the provider's to compute. May hold deferred values, never late ones.
    pub attributes: Value,
    /// What must exist before: references, and what the spec says.
    pub depends_on: BTreeSet<Address>,
    /// Its lifecycle.
    pub lifecycle: Lifecycle,
    /// Tags that every object of it carries beside its own: cluster uid, and what else it is found by.
    #[serde(default)]
    pub marks: BTreeMap<String, String>,
    /// Where the block stands.
    #[serde(skip, default = "no_span")]
    pub span: Span,
    /// Where each attribute stands.
    #[serde(skip)]
    pub origins: BTreeMap<Arc<str>, Origin>,
}

const fn no_span() -> Span {
    Span::NONE
}

/// A node of the graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Node {
    /// Made by a provider.
    Resource(ResourceSpec),
    /// Done on an instance.
    Step(StepSpec),
}

impl Node {
    /// What must come before.
    #[must_use]
    pub const fn depends_on(&self) -> &BTreeSet<Address> {
        match self {
            Self::Resource(spec) => &spec.depends_on,
            Self::Step(spec) => &spec.depends_on,
        }
    }

    /// Where it stands.
    #[must_use]
    pub const fn span(&self) -> Span {
        match self {
            Self::Resource(spec) => spec.span,
            Self::Step(spec) => spec.span,
        }
    }

    /// Its lifecycle.
    #[must_use]
    pub const fn lifecycle(&self) -> &Lifecycle {
        match self {
            Self::Resource(spec) => &spec.lifecycle,
            Self::Step(spec) => &spec.lifecycle,
        }
    }
}

/// A result of the spec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputSpec {
    /// Its value; may be deferred.
    pub value: Value,
    /// Whether it is shown only when asked for by name.
    pub sensitive: bool,
    /// For `output` and its listing.
    pub description: Option<String>,
    /// What its value was made of.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub needs: BTreeSet<Address>,
}

/// The call of a module, for whoever reads from a plan how its spec is built.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModuleSpec {
    /// The folder, as it is written.
    pub source: String,
    /// What the call says: for variables, `count` and `for_each`.
    pub arguments: BTreeMap<String, Argument>,
    /// The variables of the module; of each whether it is sensitive.
    pub variables: BTreeMap<String, bool>,
    /// The outputs of the module; of each whether it is sensitive.
    pub outputs: BTreeMap<String, bool>,
}

/// What a call says for one variable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Argument {
    /// A value that is not sensitive.
    Constant(Value),
    /// The names that it is made of, as they are written.
    References(Vec<String>),
}

/// What the spec wants. Acyclic; every address in `depends_on` is a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    /// The nodes.
    pub nodes: BTreeMap<Address, Node>,
    /// The results.
    pub outputs: BTreeMap<String, OutputSpec>,
    /// The provider configurations that there are, also those that nothing of the spec uses.
    pub providers: BTreeMap<ProviderRef, ProviderConfig>,
    /// What was renamed: by the address before, the one of now.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub moved: BTreeMap<Address, Address>,
    /// What the state lets go of, without touching the world.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub released: BTreeSet<Address>,
    /// What must be true and could not be judged yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The calls of modules, by address without keys.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub modules: BTreeMap<Address, ModuleSpec>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_are_named_by_type_alias_and_key() {
        let one = ProviderRef::new("aws");
        let west = ProviderRef::aliased("aws", "west", None);
        let keyed = ProviderRef::aliased("aws", "region", Some(Key::Name("us.west-2".into())));
        assert_eq!((one.provider_type(), one.alias()), ("aws", None));
        assert_eq!((west.as_str(), west.provider_type(), west.alias()), ("aws.west", "aws", Some("west")));
        assert_eq!((keyed.as_str(), keyed.provider_type()), (r#"aws.region["us.west-2"]"#, "aws"));
        let simulated = |provider: &ProviderRef| provider.of_type("sim").to_string();
        assert_eq!([&one, &west, &keyed].map(simulated), ["sim", "sim.west", r#"sim.region["us.west-2"]"#]);
    }
}
