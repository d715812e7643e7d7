//! The vocabulary of the compiler: addresses, values, expressions, diagnostics, the resource graph and the state.
//!
//! Plain data with its invariants and its text forms. This package knows no other package of the project, does no IO, and reads
//! no clock, environment or randomness: whoever needs one of these brings it in as a value.

mod address;
mod adopted;
mod condition;
mod controller;
mod diagnostic;
mod digest;
mod duration;
mod expr;
mod graph;
mod head;
mod node;
mod number;
pub mod sealed;
mod source;
mod span;
pub mod spec;
mod state;
mod step;
mod suggest;
mod types;
mod value;
mod wire;

pub use address::{Address, AddressError, Key, MODULE, Segment};
pub use adopted::Adopted;
pub use condition::{Condition, ConditionKind, Judged, Verdict, judge};
pub use controller::{
    CONTROLLER_VERSION, ControllerCall, ControllerEvent, ControllerReply, ControllerRequest, ControllerStatus, EventLevel, GroupStatus,
    NodeState, NodeStatus, PushConfig,
};
pub use diagnostic::{Diagnostic, Diagnostics, Label, Severity};
pub use digest::Digest;
pub use duration::duration_seconds;
pub use expr::{BinaryOp, Expr, ExprKind, ForKind, LateName, TemplatePart, UnaryOp};
pub use graph::{
    Argument, ChangeWord, Graph, Lifecycle, ModuleSpec, Node, Origin, OutputSpec, ProviderConfig, ProviderRef, ResourceSpec, Timeouts,
};
pub use head::{GroupConfig, HEAD_CONFIG_VERSION, HeadConfig, HeadConfigError, MembershipConfig, ServiceConfig};
pub use node::NodeBoot;
pub use number::{MAX_DIGITS, Number, NumberError};
pub use source::{MAX_FILE_BYTES, MemorySources, ReadError, SourceFile, SourceMap, SourceSet};
pub use span::{FileId, Span};
pub use state::{Folded, Object, OutputState, STATE_VERSION, State, StateEntry};
pub use step::{
    Artifact, ArtifactSource, DaemonSpec, Input, NodeAction, NodeReply, NodeRequest, Readiness, StepKind, StepOutcome, StepSpec, Template,
    Verb,
};
pub use suggest::did_you_mean;
pub use types::{ObjectField, Type};
pub use value::{Deferred, MAX_DEPTH, NullType, Value, ValueKind};
pub use wire::WireError;
