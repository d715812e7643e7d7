//! Calls and answers: what a provider does, as data.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use cloudtik_model::{Address, ProviderRef, Value};
use serde::{Deserialize, Serialize};

use crate::Batch;

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The code of an error that says that something took longer than its spec allows: nobody waits for it once more.
pub const TIMED_OUT: &str = "timeout";

/// A request to a cloud.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The provider configuration.
    pub provider: ProviderRef,
    /// The address it is made for; of calls that concern no single object, the one they are made on behalf of.
    pub address: Address,
    /// The kind of object.
    pub kind: Arc<str>,
    /// What is asked.
    pub verb: Verb,
    /// How long whoever carries it out may wait for it, in seconds; as long as it knows to be right where nobody says.
    pub limit: Option<u64>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Verb {
    /// Make an object.
    Create(CreateRequest),
    /// Look at one object.
    Read {
        /// Its id.
        id: String,
    },
    /// Change an object in place.
    Update(UpdateRequest),
    /// Remove an object. Of one that is not there: [`ErrorClass::Gone`].
    Delete {
        /// Its id.
        id: String,
        /// Whether the data that it holds may go with it. Without, one that holds data, or is protected, may refuse.
        data: bool,
    },
    /// The objects of the kind that carry this tag.
    FindByTag {
        /// Tag name.
        key: String,
        /// Tag value.
        value: String,
    },
    /// The object of the kind whose unique name is this.
    FindByName {
        /// Its name.
        name: String,
    },
    /// All objects of the kind with these ids, for whoever knows them already: one call for many. What of them never changes and would take
    /// a request more may be left out; `Read` tells it.
    List {
        /// Their ids; objects that are gone are left out of the answer.
        ids: BTreeSet<String>,
    },
    /// Answers to questions.
    Facts(Vec<FactQuestion>),
    /// From now on no create for the cluster with an older epoch may succeed.
    Fence {
        /// The cluster's uid.
        cluster: String,
        /// The epoch that may still create.
        epoch: u64,
        /// Whether the cluster is at its end: then nothing that its instances are launched from is kept.
        ends: bool,
    },
    /// Replaces the status metadata of an instance.
    PublishStatus {
        /// The instance.
        id: String,
        /// Key and value.
        status: BTreeMap<String, String>,
    },
}

impl Verb {
    /// The word for logs, limits and messages.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Read { .. } => "read",
            Self::Update(_) => "update",
            Self::Delete { .. } => "delete",
            Self::FindByTag { .. } => "find_by_tag",
            Self::FindByName { .. } => "find_by_name",
            Self::List { .. } => "list",
            Self::Facts(_) => "facts",
            Self::Fence { .. } => "fence",
            Self::PublishStatus { .. } => "publish_status",
        }
    }
}

/// A create, complete: repeated, it is the same to the byte.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateRequest {
    /// Unique to this create; the tag `cloudtik:op` of what it makes.
    pub op_id: String,
    /// What the cloud recognizes a repeat by.
    pub token: String,
    /// Epoch of the writer.
    pub epoch: u64,
    /// Marks that the object carries from its first moment: `cloudtik:address`, `cloudtik:lineage`, `cloudtik:op`, `cloudtik:cluster`.
    pub tags: BTreeMap<String, String>,
    /// The attributes that the spec sets; known.
    pub attributes: Value,
    /// Secrets by name.
    pub secrets: BTreeMap<String, Secret>,
    /// Its place in a call that makes several objects. Marks and attributes are its own, and its token is that call's.
    pub batch: Option<Batch>,
}

/// An update, complete.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateRequest {
    /// The object.
    pub id: String,
    /// Unique to this update.
    pub op_id: String,
    /// Epoch of the writer.
    pub epoch: u64,
    /// Names of the attributes that change.
    pub changed: BTreeSet<String>,
    /// All attributes that the spec sets, as they shall be; known.
    pub attributes: Value,
    /// All attributes as they were found; of an update that is repeated after a crash, as the state has them.
    pub before: Value,
    /// Marks that the object carries from now on: of one that is taken over, and that somebody else made. Empty: they stay as they are.
    pub marks: BTreeMap<String, String>,
}

/// A secret on its way into a request. Never printed, never serialized.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// The secret half.
    pub private: String,
    /// The half that everybody may know, if it has one.
    pub public: String,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.public)
    }
}

/// A question that a plan depends on and only the provider can answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FactQuestion {
    /// What the answer is kept under: `local.isolation`, `workspace.w.zones`.
    pub key: String,
    /// What is asked, as the provider knows it.
    pub question: String,
    /// What it depends on.
    #[serde(default)]
    pub arguments: Value,
    /// Whether the answer stays in the state until the spec or `--refresh-facts` asks again.
    pub pin: bool,
}

/// The question of a `data` block, which no provider is asked as it is: whoever makes calls answers it with their searches. Its arguments are
/// the `kind`, and as `match` the attributes that an object must have; the answer is a tuple of the objects that do, each with its `id`.
pub const DATA_QUESTION: &str = "data";

/// One object as a provider sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectAnswer {
    /// Its id.
    pub id: String,
    /// All attributes of the kind: given and computed. Ones that are sensitive are marked. What the cloud does not tell again is left out of
    /// what a look answers, and is then as it is known; creates and updates answer it as it was asked for.
    pub attributes: Value,
}

/// An object that was looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The object.
    pub object: ObjectAnswer,
    /// Its marks.
    pub tags: BTreeMap<String, String>,
}

/// What a cloud answers. The variants follow the verbs.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To `Create` and `Update`.
    Object(ObjectAnswer),
    /// To `Read`: `None` when it is gone.
    Read(Option<ObjectAnswer>),
    /// To `Delete`, `Fence`, `PublishStatus`.
    Done,
    /// To `FindByTag`, `FindByName`, `List`.
    Found(Vec<Found>),
    /// To `Facts`, by key.
    Facts(BTreeMap<String, Value>),
    /// It did not work.
    Failed(CallError),
}

/// What an error means for whoever made the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// Too many calls: nothing happened; again, later and slower.
    Throttled,
    /// Nothing happened; again.
    Transient,
    /// It may have happened: goes to settlement, never straight to a retry.
    Unknown,
    /// Nothing happened: there is no room for it. For another form of it, or later, there may be.
    NoRoom,
    /// Nothing happened, and nothing will.
    Permanent,
    /// The object is not there.
    Gone,
    /// The object, or its name, is in a state or in hands that do not allow it.
    Conflict,
}

/// An error of a cloud.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct CallError {
    /// What it means.
    pub class: ErrorClass,
    /// The cloud's own word for it: `port-in-use`.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// What to do about it.
    #[serde(default)]
    pub help: Option<String>,
    /// The cloud's id of the request, for its support.
    #[serde(default)]
    pub request_id: Option<String>,
}

impl CallError {
    /// An error of a class.
    pub fn new(class: ErrorClass, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { class, code: code.into(), message: message.into(), help: None, request_id: None }
    }

    /// With what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The code of an error of [`Cloud::dial`](crate::Cloud::dial) where nobody can dial an instance, because it is simulated.
pub const SIMULATED: &str = "simulated";

/// How to reach a port of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialTarget {
    /// The provider's id of the instance.
    pub instance: String,
    /// The port.
    pub port: u16,
}

/// A byte stream to an instance. Blocking mode is off.
#[derive(Debug)]
pub enum Connection {
    /// Through a local socket.
    Unix(std::os::unix::net::UnixStream),
    /// Over the network.
    Tcp(std::net::TcpStream),
}

/// What every node kind's computed attribute `ssh` holds, typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Login name.
    pub user: String,
    /// Port of the SSH server.
    pub port: u16,
    /// What to execute for a step: the argument vector that starts the step runner on the node.
    pub run_step: Vec<String>,
    /// Where uploaded artifacts go, by digest.
    pub artifacts: String,
    /// Of a machine with an SSH server of its own and nothing of ours: the folder that our program and its agent are brought to over SSH. Without
    /// it the node comes with both.
    pub bring_to: Option<String>,
}

impl Instance {
    /// Reads it from the attributes of a node object: `ssh = { user, port, run_step, artifacts, bring_to }`.
    #[must_use]
    pub fn of(attributes: &Value) -> Option<Self> {
        let ssh = attributes.get("ssh")?;
        Some(Self {
            user: ssh.get("user")?.as_str()?.to_owned(),
            port: u16::try_from(ssh.get("port")?.as_number()?.as_u64()?).ok()?,
            run_step: ssh.get("run_step")?.elements()?.map(|part| part.as_str().map(str::to_owned)).collect::<Option<_>>()?,
            artifacts: ssh.get("artifacts")?.as_str()?.to_owned(),
            bring_to: ssh.get("bring_to").and_then(Value::as_str).map(str::to_owned),
        })
    }
}
