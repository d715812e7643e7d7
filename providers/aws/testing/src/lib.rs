//! What the tests of the AWS provider stand on: a proxy that does what AWS does and the API server of the tests does not, that server, a look at
//! everything that is in an account, and machines for its instances.
//!
//! It knows nothing of the provider, nor of the AWS SDK: what a test sees must not come from the code that it tests.

mod account;
mod answer;
mod call;
mod chance;
mod client;
mod config;
mod control;
mod dependencies;
mod faults;
mod gaps;
mod groups;
mod lag;
mod latency;
mod lint;
mod listing;
mod lives;
mod machines;
mod moto;
mod predecessor;
mod proxy;
mod quotas;
mod record;
mod state;
mod template;
mod throttle;
mod tokens;
mod upstream;
mod xml;

pub use account::Account;
pub use client::{Endpoint, Said};
pub use config::{Config, Effect, Fault, Latency, Pages, Rate, Span, Times};
pub use lint::Linter;
pub use machines::{InstanceMetadata, Machines};
pub use moto::{Moto, REGION, environment};
pub use predecessor::Predecessor;
pub use proxy::Proxy;
pub use record::{Request, counts};
pub use state::Held;
pub use xml::Element;
