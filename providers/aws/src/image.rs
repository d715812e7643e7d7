//! The image of a node: what the spec says, else the newest Ubuntu that fits the type of machine.

use cloudtik_model::spec::{Field, NodeSpec};
use cloudtik_model::{Diagnostic, Value};

/// The type of machine of a node whose spec says none, as the predecessor had it.
pub(crate) const INSTANCE_TYPE: &str = "m5.xlarge";

/// Where Ubuntu's makers publish which image is the newest, by architecture as they call it.
const UBUNTU: &str = "/aws/service/canonical/ubuntu/server/24.04/stable/current/{architecture}/hvm/ebs-gp3/ami-id";

/// What an image is looked for by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Image {
    /// The newest that the provider chooses, for an architecture.
    Newest(&'static str),
    /// `ami-…`
    Id(String),
    /// `ssm:…`
    Parameter(String),
    /// The newest of an owner with a name that fits a pattern.
    Search {
        /// Account or alias.
        owner: String,
        /// Name with `*` and `?`.
        name: String,
        /// `x86_64` or `arm64`
        architecture: String,
    },
}

impl Image {
    /// Of a node.
    pub(crate) fn of(node: &NodeSpec) -> Result<Self, Diagnostic> {
        let machine = architecture(instance_type(node));
        let Some(field) = node.fields.get("image").filter(|field| !field.value.is_null()) else { return Ok(Self::Newest(machine)) };
        let text = |name: &str| field.value.get(name).and_then(Value::as_str).map(str::to_owned);
        if let (Some(owner), Some(name)) = (text("owner"), text("name")) {
            return Ok(Self::Search { owner, name, architecture: text("arch").unwrap_or_else(|| machine.to_owned()) });
        }
        match field.value.as_str() {
            Some(id) if id.starts_with("ami-") => Ok(Self::Id(id.to_owned())),
            Some(other) => match other.strip_prefix("ssm:") {
                Some(path) if path.starts_with('/') => Ok(Self::Parameter(path.to_owned())),
                _ => Err(refused(node, field, &format!("`{other}` is no image of AWS"))),
            },
            None => Err(refused(node, field, "this is no image of AWS")),
        }
    }

    /// The arguments of the question.
    pub(crate) fn arguments(&self) -> Value {
        match self {
            Self::Newest(architecture) => {
                let name = if *architecture == ARM { "arm64" } else { "amd64" };
                Value::object([("parameter", UBUNTU.replace("{architecture}", name).into())])
            }
            Self::Id(id) => Value::object([("id", id.as_str().into())]),
            Self::Parameter(path) => Value::object([("parameter", path.as_str().into())]),
            Self::Search { owner, name, architecture } => Value::object([
                ("owner", owner.as_str().into()),
                ("name", name.as_str().into()),
                ("architecture", architecture.as_str().into()),
            ]),
        }
    }

    /// The architecture that it is for, where the spec says it.
    pub(crate) fn architecture(&self) -> Option<&str> {
        match self {
            Self::Newest(architecture) => Some(*architecture),
            Self::Search { architecture, .. } => Some(architecture),
            Self::Id(_) | Self::Parameter(_) => None,
        }
    }

    /// What tells the answer from that of another image of the same node; none for what a spec gets that says nothing.
    pub(crate) fn key(&self) -> Option<String> {
        match self {
            Self::Newest(architecture) => (*architecture == ARM).then(|| (*architecture).to_owned()),
            Self::Id(id) => Some(id.clone()),
            Self::Parameter(path) => Some(path.clone()),
            Self::Search { owner, name, architecture } => Some(format!("{owner}/{name}/{architecture}")),
        }
    }
}

fn refused(node: &NodeSpec, field: &Field, title: &str) -> Diagnostic {
    Diagnostic::error("aws-image", title)
        .at(field.span)
        .of(&node.address)
        .help("write an id (`\"ami-0123456789abcdef0\"`), `\"ssm:/PATH\"`, or `{ owner = \"…\", name = \"…\" }`")
}

/// The type of machine of a node: the first, where the spec has several.
pub(crate) fn instance_type(node: &NodeSpec) -> Option<&str> {
    let one = node.fields.get("instance_type").and_then(|field| field.value.as_str());
    let first = || node.fields.get("instance_types")?.value.elements()?.next()?.as_str();
    one.or_else(first)
}

const ARM: &str = "arm64";

/// The architecture of a type of machine: those with a processor of AWS's own have a `g` behind their generation (`m7g`, `c6gn`, `x2gd`), but
/// for the first of them. What is not known is what most are.
pub(crate) fn architecture(instance_type: Option<&str>) -> &'static str {
    let family = instance_type.unwrap_or(INSTANCE_TYPE).split('.').next().unwrap_or_default();
    let behind = family.trim_start_matches(|c: char| c.is_ascii_alphabetic()).trim_start_matches(|c: char| c.is_ascii_digit());
    if family == "a1" || behind.split('-').next().is_some_and(|behind| behind.contains('g')) { ARM } else { "x86_64" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_architecture_follows_the_family() {
        for arm in
            ["m7g.large", "c6gn.xlarge", "t4g.small", "x2gd.large", "im4gn.large", "is4gen.large", "g5g.xlarge", "a1.large", "m7gd.metal"]
        {
            assert_eq!(architecture(Some(arm)), "arm64", "{arm}");
        }
        for intel in ["m5.xlarge", "g4dn.xlarge", "g5.xlarge", "p4de.24xlarge", "c7i-flex.large", "u-6tb1.metal", "inf2.xlarge"] {
            assert_eq!(architecture(Some(intel)), "x86_64", "{intel}");
        }
        assert_eq!(architecture(None), "x86_64");
    }
}
