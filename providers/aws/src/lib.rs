//! AWS, the pure half: which kinds there are, what a plan must ask, and what a workspace and a cluster become.
//!
//! It makes no call and knows no client: `cloudtik-aws-client` does, and is built only where it is wanted, because its libraries take minutes.

mod first_boot;
pub mod kinds;
pub mod marks;
mod provider;

pub use first_boot::first_boot;
pub use kinds::aws_schema;
pub use provider::{AWS_PROVIDER, AwsProvider, Connect};
