//! AWS, the half that makes calls: each [`Call`](cloudtik_provider_api::Call) becomes requests of the AWS SDK.
//!
//! - [`aws`](self) holds the clients and the one way to send a request: limited, classified, with its action in every error.
//! - `kinds` has one file for each family of kinds. A kind is four functions: create, find, update, delete.
//! - Objects are known by the tags of `cloudtik-aws`'s `marks`, which they carry from their first moment.

mod attributes;
mod aws;
mod check;
mod cloud;
mod dial;
mod documents;
mod each;
mod error;
mod facts;
mod fence;
mod kind;
mod kinds;
mod limits;
mod looks;
mod machine_type;
mod metadata;
mod session;
mod status;
mod tags;
mod wait;
mod whole;

pub use cloud::connect;
