//! What client and daemon say to each other: one frame each way per request, every frame a length and a JSON document.
//!
//! A connection opens with a [`Hello`] each way; then requests and answers alternate. After the answer to [`Request::Dial`] the connection
//! is no longer framed: it is the byte stream to the node. Enums are externally tagged, because exact numbers do not survive serde's other
//! representations.

mod frame;
mod kinds;
mod verbs;

pub use frame::{FRAME_BYTES_MAX, FrameError, read_frame, write_frame};
pub use kinds::{
    Attributes, BucketAttributes, BucketSpec, FirewallAttributes, FirewallSpec, Form, InstanceAttributes, InstanceSpec, Kind,
    NetworkAttributes, NetworkSpec, PublishedPort, ResourceSpec, RunState, Secret,
};
pub use verbs::{
    Answer, AuditEntry, CloudError, CreateRequest, DeleteRequest, DialRequest, ErrorClass, Facts, FormFact, Hello, MetadataRequest, Object,
    ObjectState, Outcome, ProcessIdentity, Request, TagQuery, UpdateRequest,
};

/// Version of the protocol. A daemon answers only its own version: client and daemon come from one binary, and a daemon lives no longer
/// than its last resource.
pub const PROTOCOL_VERSION: u32 = 1;

/// Most tags of one object: EC2's limit, so that a spec that works here works there.
pub const TAGS_MAX: usize = 50;

/// Most bytes of one tag's key and value together. EC2 allows 128 characters of key and 256 of value, of up to four bytes each.
pub const TAG_BYTES_MAX: usize = (128 + 256) * 4;

/// Most bytes of the status metadata of one instance, keys and values together: a head's status has a line per worker group, and 64 KiB
/// is some hundreds of these.
pub const METADATA_BYTES_MAX: usize = 64 * 1024;

/// Most entries that one `audit` request returns: with some 400 bytes an entry this stays below half of a frame.
pub const AUDIT_ENTRIES_MAX: usize = 10_000;

/// Longest time that `dial` waits for a listener. A node answers within a second of its launch; a minute covers a machine under load.
pub const DIAL_WAIT_MILLISECONDS_MAX: u64 = 60_000;
