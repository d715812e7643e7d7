//! AWS, the pure half: which kinds there are, what a plan must ask, and what a workspace and a cluster become.
//!
//! It makes no call and knows no client: `cloudtik-aws-client` does, and is built only where it is wanted, because its libraries take minutes.

pub mod addresses;
mod cloudformation;
pub mod facts;
mod firewall;
mod first_boot;
mod image;
pub mod kinds;
mod lower;
pub mod machine_type;
pub mod marks;
pub mod names;
mod network_spec;
pub mod policies;
mod provider;
mod text;
pub mod waiting;
mod whole;

pub use cloudformation::{Released, kept_among, released};
pub use first_boot::first_boot;
pub use kinds::aws_schema;
pub use provider::{AWS_PROVIDER, AwsProvider, Connect};
