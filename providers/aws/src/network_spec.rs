//! What a spec says of a workspace's network, as this provider reads it.

use cloudtik_model::spec::{Field, Part, WorkspaceSpec};
use cloudtik_model::{Number, Value};

/// How a network lies to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Its own, and heads have public addresses.
    PublicHead,
    /// Its own, peered with the client's.
    Peered,
    /// Somebody else's.
    Shared,
}

impl Mode {
    /// As the spec writes it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::PublicHead => "public-head",
            Self::Peered => "peered",
            Self::Shared => "shared",
        }
    }
}

/// How private nodes reach the internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nat {
    /// Not at all.
    None,
    /// Through one gateway.
    Single,
    /// Through one in their zone.
    PerZone,
}

impl Nat {
    /// How many gateways there are.
    pub(crate) const fn count(self, zones: usize) -> usize {
        match self {
            Self::None => 0,
            Self::Single => 1,
            Self::PerZone => zones,
        }
    }

    /// How many tables of routes private subnets have: all use one that leads to the same place.
    pub(crate) const fn tables(self, zones: usize) -> usize {
        match self {
            Self::None | Self::Single => 1,
            Self::PerZone => zones,
        }
    }

    /// The table, or the gateway, of a zone.
    pub(crate) const fn slot(self, zone: usize) -> usize {
        match self {
            Self::None | Self::Single => 0,
            Self::PerZone => zone,
        }
    }
}

/// Which zones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Zones {
    /// So many of the region's.
    Count(usize),
    /// These.
    Named(Vec<String>),
}

impl Zones {
    /// How many.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Count(count) => *count,
            Self::Named(names) => names.len(),
        }
    }
}

/// What the client's network may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing.
    None,
    /// SSH.
    Ssh,
    /// Everything.
    All,
}

/// Subnets that are there already.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    /// Ids of public ones.
    pub(crate) public: Vec<Value>,
    /// Ids of private ones.
    pub(crate) private: Vec<Value>,
}

/// The block `network`.
#[derive(Clone, Debug)]
pub(crate) struct NetworkSpec {
    pub(crate) mode: Mode,
    /// The range, as written.
    pub(crate) cidr: Option<Value>,
    pub(crate) zones: Zones,
    pub(crate) nat: Nat,
    pub(crate) client_vpc: Option<String>,
    pub(crate) client_access: Access,
    pub(crate) given: Option<Given>,
    /// Services with private endpoints.
    pub(crate) endpoints: Vec<String>,
}

/// The zones of a spec that says nothing; the language has the same default.
const ZONES: usize = 2;

impl NetworkSpec {
    /// Of a workspace. The words were checked where they stand.
    pub(crate) fn of(workspace: &WorkspaceSpec) -> Self {
        let part = &workspace.network;
        let word = |name| value(part, name).and_then(Value::as_str);
        Self {
            mode: match word("mode") {
                Some("peered") => Mode::Peered,
                Some("shared") => Mode::Shared,
                _ => Mode::PublicHead,
            },
            cidr: value(part, "cidr").cloned(),
            zones: value(part, "zones").map_or(Zones::Count(ZONES), zones),
            nat: match word("nat") {
                Some("none") => Nat::None,
                Some("per-zone") => Nat::PerZone,
                _ => Nat::Single,
            },
            client_vpc: word("client_vpc").map(str::to_owned),
            client_access: match word("client_access") {
                Some("none") => Access::None,
                Some("all") => Access::All,
                _ => Access::Ssh,
            },
            given: value(part, "subnets").map(|subnets| Given { public: ids(subnets, "public"), private: ids(subnets, "private") }),
            endpoints: value(part, "endpoints").map_or_else(|| vec!["s3".to_owned()], texts),
        }
    }
}

fn value<'p>(part: &'p Part, name: &str) -> Option<&'p Value> {
    part.fields.get(name).map(|field: &Field| &field.value).filter(|value| !value.is_null())
}

fn zones(value: &Value) -> Zones {
    let number = value.as_number().and_then(Number::as_u64).and_then(|number| usize::try_from(number).ok());
    number.map_or_else(|| Zones::Named(texts(value)), Zones::Count)
}

fn texts(value: &Value) -> Vec<String> {
    value.elements().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

fn ids(subnets: &Value, name: &str) -> Vec<Value> {
    subnets.get(name).and_then(Value::elements).into_iter().flatten().cloned().collect()
}
