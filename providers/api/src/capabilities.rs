//! What a provider's nodes can do, and what modules require of them.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Something that not every node can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Files outside `node.dirs` may be written: the root is the node's own.
    OwnRoot,
    /// Distribution packages can be installed.
    Packages,
    /// Ports below 1024 can be bound.
    LowPorts,
    /// Nodes know each other by name.
    Names,
    /// There is an init system of the image.
    Init,
    /// The network outside can be reached.
    Egress,
}

impl Capability {
    /// All, by name.
    pub const ALL: [Self; 6] = [Self::OwnRoot, Self::Packages, Self::LowPorts, Self::Names, Self::Init, Self::Egress];

    /// As manifests and messages write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OwnRoot => "own_root",
            Self::Packages => "packages",
            Self::LowPorts => "low_ports",
            Self::Names => "names",
            Self::Init => "init",
            Self::Egress => "egress",
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Capability {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|capability| capability.as_str() == text).ok_or_else(|| format!("there is no capability `{text}`"))
    }
}

/// What the nodes of a provider configuration can do.
pub type Capabilities = BTreeSet<Capability>;
