//! A module that was loaded: what its manifest declares, checked as far as that goes without a node.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_model::{Digest, Expr, FileId, Span, Type, Value};
use cloudtik_syntax::{Attribute, Block};

use crate::template::Parsed;

/// A module.
#[derive(Clone, Debug)]
pub struct Module {
    pub(crate) name: Arc<str>,
    pub(crate) version: Arc<str>,
    pub(crate) description: String,
    pub(crate) roles: Vec<String>,
    pub(crate) quorum_min: u64,
    pub(crate) options: Vec<OptionSchema>,
    pub(crate) validations: Vec<Validation>,
    pub(crate) locals: BTreeMap<Arc<str>, Attribute>,
    pub(crate) binaries: Vec<Binary>,
    pub(crate) steps: Vec<StepBlock>,
    pub(crate) ports: Vec<PortSchema>,
    pub(crate) services: Vec<ServiceSchema>,
    pub(crate) discovers: Vec<DiscoverSchema>,
    pub(crate) secrets: Vec<SecretSchema>,
    pub(crate) membership: Option<Block>,
    pub(crate) health: Option<Health>,
    pub(crate) templates: BTreeMap<Arc<str>, TemplateFile>,
    pub(crate) files: BTreeMap<Arc<str>, Arc<str>>,
    pub(crate) span: Span,
}

impl Module {
    /// Its name, as the label of a `runtime` block.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version of the software that it installs.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// One sentence.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Where it runs unless the spec says otherwise: `head`, `workers`.
    #[must_use]
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// Its options, in the order of the manifest.
    #[must_use]
    pub fn options(&self) -> &[OptionSchema] {
        &self.options
    }

    /// The option of that name.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&OptionSchema> {
        self.options.iter().find(|option| *option.name == *name)
    }

    /// The ports it listens on.
    #[must_use]
    pub fn ports(&self) -> &[PortSchema] {
        &self.ports
    }

    /// What others may look for.
    #[must_use]
    pub fn services(&self) -> &[ServiceSchema] {
        &self.services
    }

    /// What it looks for in the cluster.
    #[must_use]
    pub fn discovers(&self) -> &[DiscoverSchema] {
        &self.discovers
    }

    /// The secrets that are generated for it.
    #[must_use]
    pub fn secrets(&self) -> &[SecretSchema] {
        &self.secrets
    }

    /// Whether its workers form a quorum, which each joins and leaves by the hand of another member.
    #[must_use]
    pub const fn has_membership(&self) -> bool {
        self.membership.is_some()
    }

    /// So many workers its group must always have.
    #[must_use]
    pub const fn quorum_min(&self) -> u64 {
        self.quorum_min
    }

    /// How its health is asked for while it runs.
    #[must_use]
    pub const fn health(&self) -> Option<&Health> {
        self.health.as_ref()
    }
}

/// An option of a module. One without a default must be written; `default = null` makes it one that may be left out.
#[derive(Clone, Debug)]
pub struct OptionSchema {
    /// Its name, as an attribute of the `runtime` block.
    pub name: Arc<str>,
    /// Its type.
    pub ty: Type,
    /// What it is when it is not written; null counts as written nothing.
    pub default: Option<Value>,
    /// Whether it must be written.
    pub required: bool,
    /// Whether its value is marked.
    pub sensitive: bool,
    /// What it means.
    pub doc: String,
}

/// A `validation` of an option.
#[derive(Clone, Debug)]
pub(crate) struct Validation {
    pub(crate) option: Arc<str>,
    pub(crate) condition: Expr,
    pub(crate) message: Expr,
}

/// A port that a module listens on.
#[derive(Clone, Debug)]
pub struct PortSchema {
    /// Its name.
    pub name: Arc<str>,
    /// The port, over the options.
    pub port: Expr,
    /// What is spoken there: `tcp`, `http`.
    pub protocol: String,
}

/// A service that others may discover.
#[derive(Clone, Debug)]
pub struct ServiceSchema {
    /// Its name.
    pub name: Arc<str>,
    /// What sort of service it is; its name where the manifest does not say.
    pub service_type: String,
    /// The port that it is reached by: the name of a `port` block.
    pub port: Arc<str>,
    /// What is spoken there.
    pub protocol: String,
    /// Labels for those who choose among services.
    pub labels: BTreeMap<String, String>,
    /// Where the manifest names the port.
    pub(crate) span: Span,
}

/// A service of the cluster that a module depends on. Without `services`, `types` and `runtimes` the manifest matches nothing by itself.
#[derive(Clone, Debug)]
pub struct DiscoverSchema {
    /// Its name: `service.NAME.endpoints` in the manifest.
    pub name: Arc<str>,
    /// Names of services that match.
    pub services: Vec<String>,
    /// Types of services that match.
    pub types: Vec<String>,
    /// Runtimes whose services match.
    pub runtimes: Vec<String>,
    /// Whether it may be that nothing matches: then there is no endpoint.
    pub optional: bool,
    /// What it is for.
    pub doc: String,
    /// Where the manifest has it.
    pub span: Span,
}

/// A secret that is generated once for a module, and the same on every node.
#[derive(Clone, Debug)]
pub struct SecretSchema {
    /// Its name: `secret.NAME` in the manifest.
    pub name: Arc<str>,
    /// Its length in characters.
    pub length: u64,
    /// What it is for.
    pub doc: String,
}

/// How the health of a module is asked for.
#[derive(Clone, Debug)]
pub struct Health {
    /// Seconds between two questions.
    pub interval_secs: u64,
    /// Seconds that an answer may take.
    pub timeout_secs: u64,
    /// The block; it may hold a probe of its own.
    pub(crate) block: Block,
}

/// A place that the program comes from.
#[derive(Clone, Debug)]
pub(crate) struct Binary {
    pub(crate) name: Arc<str>,
    pub(crate) source: BinarySource,
    /// Version of what is installed.
    pub(crate) version: Arc<str>,
    pub(crate) executables: Vec<String>,
    pub(crate) requires: Vec<String>,
    pub(crate) span: Span,
}

#[derive(Clone, Debug)]
pub(crate) enum BinarySource {
    /// A wheel of the Python package index.
    Wheel { name: String, version: String, file: String, sha256: Digest },
    /// An archive of the machine that applies.
    Path { path: String, file: String, sha256: Digest },
    /// A package of the node's distribution.
    Package,
}

/// A block that becomes steps.
#[derive(Clone, Debug)]
pub(crate) struct StepBlock {
    pub(crate) kind: StepBlockKind,
    pub(crate) name: Arc<str>,
    pub(crate) block: Block,
    /// The blocks whose change makes its steps run again.
    pub(crate) follows: Vec<Arc<str>>,
    /// What the node must be able to do.
    pub(crate) requires: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StepBlockKind {
    File,
    Validate,
    Run,
    Daemon,
}

/// A template below the module's folder.
#[derive(Clone, Debug)]
pub(crate) struct TemplateFile {
    /// What messages call it.
    pub(crate) path: String,
    pub(crate) id: FileId,
    pub(crate) parsed: Arc<Parsed>,
}
