//! The plan: every choice that apply will obey.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::{
    Address, ChangeWord, Condition, Folded, Judged, ModuleSpec, Node, OutputState, ProviderConfig, ProviderRef, Timeouts, Value,
};
use serde::{Deserialize, Serialize};

use crate::Estimate;

/// The version of saved plans that this code writes and reads.
pub const PLAN_VERSION: u32 = 1;

/// Why an object is made that was never there.
pub(crate) const NOT_THERE: &str = "not there yet";

/// Why an object is made again, or forgotten, that the provider does not have any more.
pub(crate) const GONE: &str = "gone from the provider";

/// Why a step is forgotten whose node goes in the same plan.
pub(crate) const NODE_GOES: &str = "its node goes";

/// Why a step is forgotten whose node is not there any more.
pub(crate) const NODE_GONE: &str = "its node is gone";

/// What the reason of a replacement begins with that the command line asks for.
pub(crate) const ASKED_FOR: &str = "asked for by --replace";

/// What the reason of a replacement begins with whose object was never finished.
pub(crate) const UNFINISHED: &str = "something failed after it was made";

/// What the reason of a step begins with that did not work the last time.
pub(crate) const LAST_RUN_FAILED: &str = "its last run failed";

/// What the reason of a replacement holds that another change brings about.
pub(crate) const TRIGGERED: &str = "changes (replace_triggered_by)";

/// What the reason of what stays although nothing wants it begins with.
pub(crate) const KEPT: &str = "kept: ";

/// What is to be done, and why. A value: it can be saved, shown and applied later, and is refused when the state moved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`PLAN_VERSION`]
    pub version: u32,
    /// Our version.
    pub tool_version: String,
    /// Whether everything is to be destroyed.
    pub destroy: bool,
    /// Whether it only writes into the state what was found.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refresh_only: bool,
    /// Whether it was made without asking anybody, so that it can be read but not applied.
    pub offline: bool,
    /// Lineage of the state it was made from.
    pub lineage: String,
    /// Serial of that state.
    pub serial: u64,
    /// Folded position of that state.
    pub folded: Option<Folded>,
    /// Schema version by provider type.
    pub schema_versions: BTreeMap<String, u32>,
    /// The provider configurations that the changes use.
    pub providers: BTreeMap<ProviderRef, ProviderConfig>,
    /// Facts it relies on, by key; those that are pinned go into the state.
    pub facts: BTreeMap<String, Value>,
    /// Keys of the facts that are pinned.
    pub pinned: BTreeSet<String>,
    /// One for every address of the graph and of the state.
    pub changes: BTreeMap<Address, Change>,
    /// Results and how they change.
    pub outputs: BTreeMap<String, OutputChange>,
    /// What was found out about creates that an earlier run left open.
    pub settled: Vec<Settled>,
    /// Lines that a reader should know: the form of the local cloud, what is recorded and not enforced.
    pub notes: Vec<String>,
    /// The files of the project, by path, as they were compiled. Filled for a saved plan.
    #[serde(default)]
    pub sources: BTreeMap<String, Arc<str>>,
    /// The values of variables. Filled for a saved plan.
    #[serde(default)]
    pub variables: BTreeMap<String, Value>,
    /// What is called otherwise than in the state, which is told before anything else is done: by the address of now, the one before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub moved: BTreeMap<Address, Address>,
    /// The addresses of now of `moved`, in the order in which they were taken: one may rest on another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moved_order: Vec<Address>,
    /// Whether it is about a part only: `--target`, `--exclude`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// When it was made, as RFC 3339 writes it, where something in it shows that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// What must be true and is judged while it is carried out, because it looks at what is known only then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The calls of modules, by address without keys.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub modules: BTreeMap<Address, ModuleSpec>,
    /// What must be true and was judged when it was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub judged: Vec<Judged>,
    /// What carrying it out is expected to take, where a provider counts its requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Estimate>,
    /// What it was compared with in place of what exists, so that it can be read but not applied: another revision of the spec, the state in
    /// some file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared_with: Option<String>,
}

impl Plan {
    /// Whether it can be carried out: it was made of what exists.
    #[must_use]
    pub const fn can_be_applied(&self) -> bool {
        !self.offline && self.compared_with.is_none()
    }
}

/// What happens at one address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The address.
    pub address: Address,
    /// Kind of a resource, or `step.` and the kind of a step.
    pub kind: Arc<str>,
    /// Who does it.
    pub provider: ProviderRef,
    /// What is done. An update whose word is [`ChangeWord::None`] changes the state and nothing else; the replacement of a step undoes it as
    /// it was done and then runs it.
    pub action: Action,
    /// The strongest word among the attributes that change; [`ChangeWord::None`] for a create, a delete and no change, and
    /// [`ChangeWord::Steps`] for a step that runs because something of it changed.
    pub word: ChangeWord,
    /// Why, in one line without a full stop: `cidr changed`, `not in the spec any more`, `its node is made anew`.
    pub reason: String,
    /// `main.hcl:12:1` of the block.
    pub source: Option<String>,
    /// What differs.
    pub attributes: Vec<AttributeChange>,
    /// What the spec wants; `None` where it wants nothing.
    pub desired: Option<Node>,
    /// The provider's id of the object that is there.
    pub id: Option<String>,
    /// What it depends on once this plan is done; of a delete, what the state says.
    pub depends_on: BTreeSet<Address>,
    /// Whether a replacement is made before the old object goes: said by the spec, or by something that depends on it.
    pub create_before_destroy: bool,
    /// Op ids of deposed objects at this address that are deleted too.
    pub deposed: BTreeSet<String>,
    /// Milliseconds it is expected to take.
    pub expected_ms: u64,
    /// Of a step: its identity, where everything it depends on is known.
    pub identity: Option<cloudtik_model::Digest>,
    /// How the object in the world differs from the state; empty: it does not, or nobody looked.
    pub drift: Vec<AttributeChange>,
    /// All attributes of the object that is there, as it was found; of a step, the previews of its inputs as they were when it ran.
    /// `None` where nothing is there.
    #[serde(default)]
    pub before: Option<Value>,
    /// All attributes as the state has them, where the object was found otherwise, or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Value>,
    /// Version of the kind's schema; of a step, 0.
    #[serde(default)]
    pub schema_version: u32,
    /// The attributes that only the provider can tell, once this is done. Of a step: empty.
    #[serde(default)]
    pub computed: BTreeSet<Arc<str>>,
    /// Attributes that the text of the plan leaves out, because others show the same more readably.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub hidden: BTreeSet<Arc<str>>,
    /// Attributes that the text of the plan shows when they change, and of an object that is made only where more is asked for.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub brief: BTreeSet<Arc<str>>,
    /// Of a replacement, and of deposed objects: milliseconds that the delete is expected to take.
    #[serde(default)]
    pub delete_ms: u64,
    /// Addresses whose objects go in this plan and have the unique name that this one is to have: it is made after they are gone, unless
    /// something else forbids that.
    #[serde(default)]
    pub waits_for: BTreeSet<Address>,
    /// Of a delete: addresses that are made beside it in this plan before it goes, unless something else forbids that.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub makes_way_for: BTreeSet<Address>,
    /// Whether what is removed here may take the data with it that it holds. Without, an object that holds data may refuse to go.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub with_data: bool,
    /// How long what is done here may take, as the spec says.
    #[serde(default, skip_serializing_if = "Timeouts::is_empty")]
    pub timeouts: Timeouts,
}

impl Change {
    /// Whether it concerns a step.
    #[must_use]
    pub fn is_step(&self) -> bool {
        self.kind.starts_with("step.")
    }

    /// Whether it stays although nothing wants it.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.action == Action::NoOp && self.reason.starts_with(KEPT)
    }

    /// Whether nothing wants it, and it stays with nothing but what is kept inside of it.
    #[must_use]
    pub fn is_reduced(&self) -> bool {
        self.action == Action::Update && self.reason.starts_with(KEPT)
    }

    /// Whether something is done to the world or the spec's objects: neither a no-op, nor a change that is only written down.
    #[must_use]
    pub fn has_effect(&self) -> bool {
        !matches!(self.action, Action::NoOp) && !self.is_record() || !self.deposed.is_empty()
    }

    /// Whether it is a step that is undone only because its node goes: what cannot be undone there goes with the node.
    #[must_use]
    pub fn is_farewell(&self) -> bool {
        self.is_step() && self.action == Action::Delete && self.reason == NODE_GOES
    }

    /// Whether it is a step that is forgotten with its node: the node's own change says it all.
    pub(crate) fn goes_with_its_node(&self) -> bool {
        self.is_step() && self.action == Action::Forget && [NODE_GOES, NODE_GONE].contains(&self.reason.as_str())
    }

    /// Whether only the state changes: an update of attributes whose change does nothing.
    #[must_use]
    pub fn is_record(&self) -> bool {
        self.action == Action::Update && self.word == ChangeWord::None
    }
}

/// How many there are of each sort: what the summary line says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Objects that are made.
    pub create: usize,
    /// Objects that are changed in place.
    pub update: usize,
    /// Objects that are made anew.
    pub replace: usize,
    /// Objects that are removed; deposed ones too.
    pub delete: usize,
    /// Steps that run.
    pub run: usize,
    /// Steps that are undone because they left the spec.
    pub undo: usize,
    /// Addresses that the state lets go of.
    pub forget: usize,
    /// Objects of an interrupted run that are taken in.
    pub adopt: usize,
    /// Objects that are taken over; those that are changed with it count as changed too.
    pub import: usize,
    /// What is called otherwise than before.
    pub rename: usize,
    /// Results that change.
    pub outputs: usize,
}

impl Plan {
    /// How many there are of each sort.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let outputs = self.outputs.values().filter(|output| output.changed).count();
        let mut counts = Counts { outputs, rename: self.moved.len(), ..Counts::default() };
        for change in self.changes.values().filter(|change| change.has_effect() && !change.goes_with_its_node()) {
            counts.delete += change.deposed.len();
            let counter = match (change.action, change.is_step()) {
                (Action::Create, _) => &mut counts.create,
                (Action::Update, _) => &mut counts.update,
                (Action::Run, _) | (Action::Replace, true) => &mut counts.run,
                (Action::Replace, false) => &mut counts.replace,
                (Action::Delete, true) => &mut counts.undo,
                (Action::Delete, false) if change.id.is_some() => &mut counts.delete,
                (Action::Forget, _) => &mut counts.forget,
                (Action::Adopt, _) => &mut counts.adopt,
                (Action::Import, _) => {
                    counts.update += usize::from(!change.attributes.is_empty());
                    &mut counts.import
                }
                (Action::NoOp | Action::Delete, _) => continue,
            };
            *counter += 1;
        }
        counts
    }

    /// What an address was called before, if it was called otherwise.
    #[must_use]
    pub fn former_address(&self, address: &Address) -> Option<Address> {
        let prefixes = (1..=address.segments().len()).rev().map(|length| address.prefix(length));
        let named = prefixes.flat_map(|prefix| [prefix.with_key(None), prefix]);
        named.into_iter().find_map(|to| address.moved(&to, self.moved.get(&to)?))
    }

    /// Whether apply would do something that a reader should know of: what `--detailed-exitcode` asks. What is only written into the
    /// state (a changed dependency, a drift that matters to nothing, an attribute whose change does nothing) is none.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        self.counts() != Counts::default() || self.refresh_only && self.changes.values().any(|change| !change.drift.is_empty())
    }
}

/// What is done at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing.
    NoOp,
    /// An object is made.
    Create,
    /// An object is changed in place.
    Update,
    /// An object is made anew; in which order is `create_before_destroy`.
    Replace,
    /// An object is removed; of a step, it is undone.
    Delete,
    /// The state lets go of it; the world is not touched. Also: an object that is gone already, a step whose node goes.
    Forget,
    /// A step runs.
    Run,
    /// An object that an interrupted run made is taken into the state.
    Adopt,
    /// An object that is there and that the state does not know is taken over, and changed in place where `attributes` says so.
    Import,
}

impl Action {
    /// The word as plans print it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoOp => "no-op",
            Self::Create => "create",
            Self::Update => "update",
            Self::Replace => "replace",
            Self::Delete => "delete",
            Self::Forget => "forget",
            Self::Run => "run",
            Self::Adopt => "adopt",
            Self::Import => "import",
        }
    }
}

/// How one attribute differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttributeChange {
    /// `tags.owner`, `ingress["ui"].ports[0]`; for a step `content`.
    pub path: String,
    /// What it is; `None`: it is not there.
    pub before: Option<Value>,
    /// What it will be; may be deferred: known after apply. `None`: it will not be there.
    pub after: Option<Value>,
    /// Whether this forces the replacement.
    pub forces_replacement: bool,
    /// What a change of it does.
    pub word: ChangeWord,
    /// `main.hcl:14:5` of the attribute.
    pub source: Option<String>,
}

/// How a result changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputChange {
    /// The value in the state.
    pub before: Option<Value>,
    /// The value after; may be deferred. `None`: the output goes.
    pub after: Option<Value>,
    /// Whether it is shown only when asked for by name.
    pub sensitive: bool,
    /// Whether before and after differ, or may.
    pub changed: bool,
}

impl OutputChange {
    /// One that stays what it is.
    pub(crate) fn none(output: &OutputState) -> Self {
        let value = output.value.clone().marked(output.sensitive);
        Self { before: Some(value.clone()), after: Some(value), sensitive: output.sensitive, changed: false }
    }
}

/// What was found out about an operation that an earlier run left open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settled {
    /// The operation.
    pub op_id: String,
    /// Its address.
    pub address: Address,
    /// Whether its effect was found (`adopt`) or not (`clear`).
    pub adopted: bool,
    /// A sentence for the plan.
    pub text: String,
}
