//! What goes into the engine and what comes out of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use cloudtik_lang::Moment;
use cloudtik_model::{
    Address, Artifact, Condition, ConditionKind, Diagnostic, Digest, NodeAction, NodeReply, NodeRequest, OutputState, ProviderRef,
    StepOutcome, StepSpec, Value,
};
use cloudtik_planner::{Execution, Plan};
use cloudtik_provider_api::{Answer, Batch, Call, CallError, ErrorClass, ProviderSchema, Secret, SecretKind};

use crate::durable::Ledger;
use crate::engine::{SettlementReport, Wish};
use crate::{Intent, Record, SecretRef};

/// The tag that names the lineage of the state that an object belongs to.
pub const LINEAGE_TAG: &str = "cloudtik:lineage";
/// The tag that names the create that made an object.
pub const OP_TAG: &str = "cloudtik:op";
/// The tag that names the address an object was made for.
pub const ADDRESS_TAG: &str = "cloudtik:address";

/// Names a command whose answer comes back as an event. Unique within a run of a state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Names a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerId(pub u64);

/// What the engine is made from.
pub struct EngineInput {
    /// The plan that is carried out: its providers, facts, outputs and desired attributes.
    pub plan: Plan,
    /// The plan's operations and their order.
    pub execution: Execution,
    /// The state the plan was made from, all settled records folded: the ledger of the session.
    pub ledger: Ledger,
    /// Intents of earlier runs that settlement could not close: their addresses are not touched, and fail with what is said here.
    pub unsettled: Vec<(Intent, CallError)>,
    /// By provider type.
    pub schemas: Arc<BTreeMap<String, ProviderSchema>>,
    /// How much at once, how often again.
    pub limits: Limits,
    /// Unique; the prefix of all op ids.
    pub run_id: String,
    /// What impure functions give in this run. A plan of which nothing waits for them needs none.
    pub moment: Moment,
    /// The epoch of the lock that this run holds.
    pub epoch: u64,
    /// The epoch that creates carry, where it is another: what a provider fences is the epoch of whoever launches, which stays the same
    /// over many runs. `None`: that of the run.
    pub launch_epoch: Option<u64>,
    /// `apply` or `destroy`, for the journal.
    pub command: String,
    /// Our version, for the journal.
    pub tool_version: String,
    /// Whether a `Started` record of this run is in the journal already, because settlement wrote it.
    pub started: bool,
    /// Marks that every object carries beside those of the engine, as they are. They win over those of the plan.
    pub marks: BTreeMap<String, String>,
    /// Whether whoever drives it brings creates of several engines together: [`Command::Gather`].
    pub gathers_elsewhere: bool,
    /// Makes concrete actions of steps.
    pub renderer: Arc<dyn StepRenderer>,
    /// What the crash test breaks on purpose; [`Broken::No`] everywhere else.
    #[doc(hidden)]
    pub broken: Broken,
}

/// An engine that breaks its promise, so that the crash test can show that it would notice.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Broken {
    /// The engine as it is.
    #[default]
    No,
    /// Calls without an intent.
    SkipIntent,
    /// Writes the outcome of a create before its call.
    OutcomeBeforeCall,
}

/// How much at once, how often again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Operations that run at once, over all.
    pub parallelism: usize,
    /// Steps that run at once on one node.
    pub steps_per_node: usize,
    /// Tries of a call whose errors say that nothing happened.
    pub tries_max: u32,
    /// The wait before the second try; doubled for each further one.
    pub backoff_first_ms: u64,
    /// The longest wait between two tries.
    pub backoff_max_ms: u64,
    /// How often calls of one provider type and verb may be made, where nothing else is said.
    pub rate: TokenBucketLimit,
    /// What else is said, by provider type and verb.
    pub rates: BTreeMap<(String, String), TokenBucketLimit>,
    /// Reads and repeats that settlement makes of one operation before it gives up and leaves the intent open.
    pub settle_tries_max: u32,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBucketLimit {
    /// Calls that may be made at once after a rest.
    pub burst: u64,
    /// Calls a second that may be made for ever.
    pub per_second: u64,
}

impl Limits {
    /// Operations at once: what Terraform's users are used to is 10; clouds and the local cloud stand more, and a laptop's memory
    /// stands one connection each.
    pub const PARALLELISM: usize = 16;
    /// Steps of one node at once: below the 8 channels that one SSH connection is allowed here.
    pub const STEPS_PER_NODE: usize = 4;
    /// With the backoff below this is somewhat more than two minutes of refusals, which is longer than clouds throttle.
    pub const TRIES_MAX: u32 = 10;
    /// Shorter than what a person notices, longer than a lost packet.
    pub const BACKOFF_FIRST_MS: u64 = 250;
    /// Clouds refill their buckets in seconds; longer waits only make users wait.
    pub const BACKOFF_MAX_MS: u64 = 30_000;
    /// What EC2 gives for calls that only look (100, then 20 a second), somewhat faster: a refusal costs one wait, slowness costs always.
    pub const RATE: TokenBucketLimit = TokenBucketLimit { burst: 100, per_second: 50 };
    /// Settlement waits for a cloud that does not answer about as long as the engine does.
    pub const SETTLE_TRIES_MAX: u32 = 10;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            parallelism: Self::PARALLELISM,
            steps_per_node: Self::STEPS_PER_NODE,
            tries_max: Self::TRIES_MAX,
            backoff_first_ms: Self::BACKOFF_FIRST_MS,
            backoff_max_ms: Self::BACKOFF_MAX_MS,
            rate: Self::RATE,
            rates: BTreeMap::new(),
            settle_tries_max: Self::SETTLE_TRIES_MAX,
        }
    }
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// Begin. The first event, once.
    Start,
    /// The records of [`Command::Append`] with this number are durable.
    Appended {
        /// The command's.
        batch: u64,
    },
    /// They are not, and may never be: somebody else holds the journal now, or the disk is full. The engine makes no further call.
    AppendFailed {
        /// The command's.
        batch: u64,
        /// A sentence.
        error: String,
    },
    /// To [`Command::Call`].
    Answer {
        /// The command's.
        ticket: Ticket,
        /// What the cloud said.
        answer: Answer,
    },
    /// To [`Command::RunStep`] and [`Command::CheckStep`].
    StepDone {
        /// The command's.
        ticket: Ticket,
        /// What the node said.
        answer: StepAnswer,
    },
    /// To [`Command::MakeSecrets`] and [`Command::LoadSecrets`].
    SecretsReady {
        /// The command's.
        ticket: Ticket,
        /// The secrets by name, each durable in its file.
        secrets: Result<BTreeMap<String, Made>, CallError>,
    },
    /// To [`Command::Gather`].
    Seated {
        /// The command's.
        ticket: Ticket,
        /// Its place in a call of several; `None`: it goes alone.
        seat: Option<Seat>,
    },
    /// A [`Command::Timer`] is due.
    TimerFired {
        /// The command's.
        timer: TimerId,
    },
    /// Somebody wants it to end: no new intents; what runs is brought to its end.
    Interrupt,
}

/// The place of a create in a call that makes several objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The place.
    pub batch: Batch,
    /// The secrets of the call, which all of them have in common.
    pub secrets: Result<BTreeMap<String, Made>, CallError>,
}

/// A secret that was made or loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Where it lies.
    pub reference: SecretRef,
    /// The secret itself, for the request.
    pub secret: Secret,
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Append these records to the journal as one group, and answer with [`Event::Appended`] when they are durable. There is never more
    /// than one of these without its answer.
    Append {
        /// Its number: 1, 2, 3.
        batch: u64,
        /// In this order.
        records: Vec<Record>,
    },
    /// Make a call.
    Call {
        /// For the answer.
        ticket: Ticket,
        /// The call.
        call: Call,
    },
    /// Make secrets for a create, each durable in a file below `keys/` before the answer.
    MakeSecrets {
        /// For the answer.
        ticket: Ticket,
        /// What is going to be made.
        address: Address,
        /// The create; part of the files' names.
        op_id: String,
        /// What, by name.
        kinds: Vec<(String, SecretKind)>,
    },
    /// A create may go together with others: whoever drives the engine says with which.
    Gather {
        /// For the answer.
        ticket: Ticket,
        /// With which ones it may.
        wish: Wish,
        /// What is going to be made.
        address: Address,
        /// The secrets that the call needs, by name.
        kinds: Vec<(String, SecretKind)>,
    },
    /// Load secrets that an earlier run made. A file that is gone or whose digest differs is an error.
    LoadSecrets {
        /// For the answer.
        ticket: Ticket,
        /// Where they lie, by name.
        references: BTreeMap<String, SecretRef>,
    },
    /// Run a step on its node. Several for one node travel together.
    RunStep(Box<StepJob>),
    /// Ask a node whether a step was done; its verb is `Check`. It must wait for a run of the same address that is still going on.
    CheckStep(Box<StepJob>),
    /// Answer with [`Event::TimerFired`] at this time or later.
    Timer {
        /// For the answer.
        timer: TimerId,
        /// On the clock of `step`.
        at_ms: u64,
    },
    /// Fold the journal into the state, when there is time for it. What cannot be folded now stays in the journal.
    Fold,
    /// Show this.
    Progress(Progress),
    /// The engine is at its end. Its last command, once.
    Finish(Box<Summary>),
    /// Settlement is at its end. Its last command, once.
    Settled(Box<SettlementReport>),
}

/// A request to a node, and all that the driver needs to bring it there.
#[derive(Clone, Debug, PartialEq)]
pub struct StepJob {
    /// For the answer.
    pub ticket: Ticket,
    /// Provider of the instance: who dials.
    pub provider: ProviderRef,
    /// Address of the instance.
    pub node: Address,
    /// The provider's id of the instance.
    pub instance_id: String,
    /// All attributes of the instance: `cloudtik_provider_api::Instance::of` reads how to log in.
    pub attributes: Value,
    /// Public halves of the keys of its first contact.
    pub public_keys: BTreeMap<String, String>,
    /// Its host key, once the first contact rotated it; before that only the bootstrap key counts.
    pub host_key: Option<String>,
    /// The request. Its `run_id` is the op id.
    pub request: NodeRequest,
    /// What the node must have before: fetched, checked and sent by digest.
    pub artifacts: Vec<Artifact>,
    /// A sentence for people.
    pub title: String,
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum StepAnswer {
    /// It ended, and the node said how.
    Ended {
        /// How. `Needed` only of a check.
        outcome: StepOutcome,
        /// Digest of the rendered bytes.
        rendered: Digest,
        /// What it made.
        attributes: BTreeMap<String, String>,
    },
    /// The node could not be asked, or would not. [`Gone`](cloudtik_provider_api::ErrorClass::Gone): the instance is not there.
    Failed(CallError),
}

impl StepAnswer {
    /// From what the node said, or from what kept it from saying it. Pieces of output are no answer; whoever reads frames shows them.
    #[must_use]
    pub fn from_reply(reply: Result<NodeReply, CallError>) -> Self {
        match reply {
            Ok(NodeReply::End { outcome, rendered, attributes, .. }) => Self::Ended { outcome, rendered, attributes },
            Ok(NodeReply::Refused { reason, .. }) => Self::Failed(CallError::new(ErrorClass::Permanent, "refused", reason)),
            Ok(NodeReply::Output { .. }) => {
                Self::Failed(CallError::new(ErrorClass::Unknown, "no-end", "the node did not say how the step ended"))
            }
            Err(error) => Self::Failed(error),
        }
    }
}

/// What a person would want to see while it runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// An operation begins.
    Began {
        /// The address.
        address: Address,
        /// What is done.
        word: OperationWord,
        /// How long it is expected to take.
        expected_ms: u64,
    },
    /// It did not work and will be tried again.
    Retrying {
        /// The address.
        address: Address,
        /// What is done.
        word: OperationWord,
        /// How many tries there were.
        tries: u32,
        /// What went wrong.
        error: CallError,
        /// When the next is.
        at_ms: u64,
    },
    /// An operation is done and its outcome durable.
    Done {
        /// The address.
        address: Address,
        /// What was done.
        word: OperationWord,
        /// Milliseconds it took.
        took_ms: u64,
        /// The provider's id of the object that is there now.
        id: Option<String>,
    },
    /// It failed.
    Failed {
        /// The address.
        address: Address,
        /// What was to be done.
        word: OperationWord,
        /// Why.
        error: CallError,
    },
    /// A step could not be undone on a node that goes in this very plan: that stops nothing, the step goes with the node.
    GivenUp {
        /// The address.
        address: Address,
        /// What was to be done.
        word: OperationWord,
        /// Why it was not.
        error: CallError,
    },
    /// It is not done because something before it failed.
    Skipped {
        /// The address.
        address: Address,
        /// What was to be done.
        word: OperationWord,
        /// What failed.
        because: Address,
    },
}

/// What an operation does, as progress and summaries say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperationWord {
    /// Makes an object.
    Create,
    /// Changes one in place.
    Update,
    /// Takes one over.
    Import,
    /// Removes one.
    Delete,
    /// Removes one that was replaced.
    DeleteDeposed,
    /// Runs a step.
    Run,
    /// Undoes a step.
    Undo,
    /// Lets the state forget.
    Forget,
    /// Writes something into the state and touches nothing else.
    Record,
}

impl OperationWord {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Import => "import",
            Self::Delete => "delete",
            Self::DeleteDeposed => "delete replaced",
            Self::Run => "run",
            Self::Undo => "undo",
            Self::Forget => "forget",
            Self::Record => "record",
        }
    }
}

/// What came of it all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Every operation's address and what came of it; of several at one address, the worst.
    pub addresses: BTreeMap<Address, AddressResult>,
    /// How many of what were done.
    pub counts: Counts,
    /// Whether anything in the world or in the state changed.
    pub changed: bool,
    /// Whether it ended early because somebody wanted it.
    pub interrupted: bool,
    /// Why the journal could not be written, when it could not.
    pub aborted: Option<String>,
    /// The results, when all that they need is there.
    pub outputs: BTreeMap<String, OutputState>,
    /// Conditions that do not hold, of what is not one object: results, whole blocks, checks.
    pub unmet: Vec<Unmet>,
}

/// A condition that does not hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Unmet {
    /// The condition.
    pub condition: Condition,
    /// What the spec says to say.
    pub text: String,
}

impl Unmet {
    /// Whether it is said and nothing more.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        self.condition.kind == ConditionKind::Assertion
    }

    /// What is said of it.
    #[must_use]
    pub fn to_diagnostic(&self) -> Diagnostic {
        self.condition.unmet(&self.text)
    }
}

impl Summary {
    /// Whether everything was done.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        let all_done = self.addresses.values().all(|result| result.status == AddressStatus::Done);
        self.aborted.is_none() && !self.interrupted && all_done && self.unmet.iter().all(Unmet::is_warning)
    }
}

/// What came of the operations at one address.
#[derive(Clone, Debug, PartialEq)]
pub struct AddressResult {
    /// Done, failed or not.
    pub status: AddressStatus,
    /// The operation that decided the status.
    pub word: OperationWord,
    /// Why it failed.
    pub error: Option<CallError>,
    /// What failed before it, when it was skipped for that.
    pub because: Option<Address>,
}

/// Whether an address was finished. Ordered from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressStatus {
    /// All was done.
    Done,
    /// Something before it failed, or the run was interrupted.
    Skipped,
    /// It failed.
    Failed,
}

/// How many of what were done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Counts {
    pub created: usize,
    pub updated: usize,
    pub imported: usize,
    pub deleted: usize,
    pub run: usize,
    pub undone: usize,
    pub forgotten: usize,
    pub recorded: usize,
    pub failed: usize,
    pub skipped: usize,
}

/// What only the engine knows of a step when it is its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// The computed attribute `node` of its instance, for late names: an object of `id`, `sequence`, `address`, `names`, `dirs`, `cores`,
    /// `memory` and `zone`.
    pub node: Value,
    /// What the step follows, as it is now: of a step the digest of its rendered bytes, of a resource its identity.
    pub follows: BTreeMap<Address, Digest>,
}

/// Makes a step concrete. Pure: the same spec and facts give the same bytes.
pub trait StepRenderer: Send + Sync {
    /// Renders a step whose references to other objects are resolved; only late names are left.
    ///
    /// # Errors
    /// It cannot be rendered: a name that is missing, a value of the wrong type.
    fn render(&self, spec: &StepSpec, facts: &NodeFacts) -> Result<RenderedStep, CallError>;
}

/// A concrete step.
#[derive(Clone, Debug, PartialEq)]
pub struct RenderedStep {
    /// What the node is told to do.
    pub action: NodeAction,
    /// How to undo it; `None` when nothing is to be undone.
    pub undo: Option<NodeAction>,
    /// What the node must have before.
    pub artifacts: Vec<Artifact>,
}

/// A state machine that a driver can drive.
pub trait Step {
    /// Takes what happened at this time and says what is to be done now.
    fn step(&mut self, now_ms: u64, event: Event) -> Vec<Command>;
}
