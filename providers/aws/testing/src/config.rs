//! What the proxy does to requests. Every part of it can be switched, also while it runs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::latency;

/// All switches. The default lets everything through as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How long states take.
    pub times: Times,
    /// Whether the same token means the same call.
    pub tokens: bool,
    /// Whether what is in use cannot be removed.
    pub dependencies: bool,
    /// For how long after a create EC2 does not show the object.
    pub lag_ms: u64,
    /// For how long after a create identities are not known.
    pub identity_lag_ms: u64,
    /// How lists are parted.
    pub pages: Pages,
    /// Whether calls are counted against the published rates.
    pub throttling: bool,
    /// Rates of some actions, instead of the published ones: `ec2:RunInstances`.
    pub rates: BTreeMap<String, Rate>,
    /// How long calls take.
    pub latency: Latency,
    /// What goes wrong. The first rule that fits decides.
    pub faults: Vec<Fault>,
    /// Whether what the server does not know and can be done here is done here.
    pub gaps: bool,
    /// What the account may have, by the code of the quota, where that is not what every account may have. With `gaps` only.
    pub quotas: BTreeMap<String, u64>,
    /// Where chance begins.
    pub seed: u64,
}

/// Milliseconds that an object is on its way, in or out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Span {
    /// From its create until it can be used.
    pub create_ms: u64,
    /// From its delete until it is gone.
    pub delete_ms: u64,
    /// For how long after that it still shows as gone.
    pub shown_ms: u64,
}

impl Span {
    const fn new(create_ms: u64, delete_ms: u64, shown_ms: u64) -> Self {
        Self { create_ms, delete_ms, shown_ms }
    }
}

/// How long the states of objects last, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Times {
    /// Whether they last at all.
    pub on: bool,
    /// NAT gateways.
    pub nat_gateway: Span,
    /// Instances.
    pub instance: Span,
    /// VPC endpoints.
    pub vpc_endpoint: Span,
    /// Connections of networks: `create_ms` until they can be accepted, and again until they are active.
    pub peering: Span,
    /// Databases.
    pub database: Span,
    /// Load balancers.
    pub load_balancer: Span,
}

/// How lists are parted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pages {
    /// Whether the size that a call asks for is kept.
    pub on: bool,
    /// A page has no more than this, whatever the call asks for.
    pub size_max: Option<usize>,
}

/// A bucket of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// What it holds.
    pub capacity: f64,
    /// What comes back each second.
    pub per_second: f64,
}

/// How long calls take.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Latency {
    /// Of what they take at AWS: 0 is nothing, 1 is as there.
    pub scale: f64,
    /// Least and most of some actions, in milliseconds, instead of the usual.
    pub actions: BTreeMap<String, (u64, u64)>,
    /// Whether each takes the middle of its range, and not one by chance.
    pub steady: bool,
}

/// A rule of what goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The action, `ec2:CreateVpc`; a `*` at its end stands for anything.
    pub action: String,
    /// Only at its n-th occurrence, counted from 1 since the rule was given.
    #[serde(default)]
    pub nth: Option<u64>,
    /// With this probability at each occurrence; always, without it.
    #[serde(default)]
    pub probability: Option<f64>,
    /// Only at calls that change something.
    #[serde(default)]
    pub writes_only: bool,
    /// Only at calls with these parameters: `InstanceType`.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// What happens.
    pub effect: Effect,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// The server does it, and the connection ends without an answer.
    LoseAnswer,
    /// The connection ends before the server knows of it.
    LoseRequest,
    /// 500, and nothing is done.
    InternalError,
    /// The server does it, and 500 is the answer.
    InternalErrorAfter,
    /// Some other error, and nothing is done.
    Refuse {
        /// The status.
        status: u16,
        /// The code.
        code: String,
        /// The message.
        message: String,
    },
    /// Of the machines that a call launches there is room for so many.
    RoomFor {
        /// Machines.
        machines: u64,
    },
}

impl Latency {
    /// The middle of what an action that changes something takes.
    #[must_use]
    pub fn of_write(&self, action: &str) -> Duration {
        latency::of_write(self, action)
    }
}

impl Config {
    /// As AWS is, in its own time.
    #[must_use]
    pub fn as_aws() -> Self {
        let times = Times {
            on: true,
            nat_gateway: Span::new(100_000, 45_000, 3_600_000),
            instance: Span::new(20_000, 40_000, 3_600_000),
            vpc_endpoint: Span::new(4_000, 4_000, 0),
            peering: Span::new(2_000, 2_000, 3_600_000),
            database: Span::new(360_000, 180_000, 0),
            load_balancer: Span::new(120_000, 0, 0),
        };
        Self {
            times,
            lag_ms: 400,
            identity_lag_ms: 8_000,
            throttling: true,
            latency: Latency { scale: 1.0, ..Latency::default() },
            ..Self::strict()
        }
    }

    /// As AWS is, but quick: every state is seen, and none lasts.
    #[must_use]
    pub fn quick() -> Self {
        let short = Span::new(300, 300, 600_000);
        let times = Times {
            on: true,
            nat_gateway: short,
            instance: short,
            vpc_endpoint: Span { shown_ms: 0, ..short },
            peering: short,
            database: Span { shown_ms: 0, ..short },
            load_balancer: short,
        };
        Self { times, lag_ms: 50, identity_lag_ms: 200, throttling: true, ..Self::strict() }
    }

    /// What AWS refuses is refused, and all else is at once.
    #[must_use]
    pub fn strict() -> Self {
        Self { tokens: true, dependencies: true, pages: Pages { on: true, size_max: None }, gaps: true, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_can_be_written_and_read() {
        let fault = |effect| Fault {
            action: "ec2:*".to_owned(),
            nth: Some(2),
            probability: None,
            writes_only: true,
            parameters: BTreeMap::new(),
            effect,
        };
        let refuse = Effect::Refuse { status: 400, code: "Code".to_owned(), message: "m".to_owned() };
        let config = Config { faults: vec![fault(Effect::LoseAnswer), fault(refuse)], ..Config::as_aws() };
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
        assert_eq!(serde_json::from_str::<Config>("{}").unwrap(), Config::default());
    }
}
