//! Tags that objects carry from their first moment, and by which they are found again.

/// The cluster's uid: `<lineage>/<workspace>/<cluster>`. What is fenced.
pub const CLUSTER_TAG: &str = "cloudtik:cluster";

/// The workspace's name: what everything that belongs to it is marked with.
pub const WORKSPACE_TAG: &str = "cloudtik:workspace";

/// What a node is in its cluster: [`HEAD_ROLE`] or [`WORKER_ROLE`].
pub const ROLE_TAG: &str = "cloudtik:role";

/// The head.
pub const HEAD_ROLE: &str = "head";

/// A worker.
pub const WORKER_ROLE: &str = "worker";

/// The label of a worker's group.
pub const GROUP_TAG: &str = "cloudtik:group";

/// A worker's sequence number.
pub const SEQUENCE_TAG: &str = "cloudtik:sequence";

/// Digest of what a worker was made from.
pub const TEMPLATE_TAG: &str = "cloudtik:template";

/// What the names of published status values begin with, where they come back among the tags of an instance.
pub const STATUS_PREFIX: &str = "cloudtik:status:";
