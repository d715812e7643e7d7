//! Clusters that are there: how things stand with them, what happened, commands on their nodes. Only looked at; no lock is taken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cloudtik_controller_client::{HeadTarget, Link, Printed, UNREACHABLE, run_on};
use cloudtik_executor::driver::Clouds;
use cloudtik_executor::engine::host_key;
use cloudtik_model::{Address, ControllerEvent, ControllerStatus, Diagnostic, NodeStatus, State, did_you_mean};
use cloudtik_provider_api::{
    Answer, CLUSTER_TAG, Call, CallError, ErrorClass, Found, GROUP_TAG, HEAD_CONTROLLER_KIND, Instance, ROLE_TAG, STATUS_PREFIX, Verb,
    WORKER_ROLE,
};

use crate::around::{Around, AroundReach};
use crate::{Failure, FailureKind, Project};

/// How long somebody who looks waits for a head before the provider's word is taken.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// Commands on nodes at once with `--all`: the forwards of one connection are 64, and people read one line at a time.
const EXEC_PARALLELISM: usize = 32;

/// How things stand with a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterStatus {
    /// `cluster.c`
    pub cluster: Address,
    /// The provider's id of the head.
    pub head: String,
    /// Who says so.
    pub source: StatusSource,
}

/// Who says how things stand.
#[derive(Clone, Debug, PartialEq)]
pub enum StatusSource {
    /// The controller of the head.
    Head(Box<ControllerStatus>),
    /// The provider, by what the head published, because the head does not answer.
    Provider {
        /// Why it does not.
        why: String,
        /// What it published last, without the prefix.
        published: BTreeMap<String, String>,
        /// The workers that are there.
        nodes: Vec<PublishedNode>,
    },
    /// Nobody: the cluster has no workers, and so no controller.
    NoController,
}

/// A worker, as its provider knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedNode {
    /// Its address.
    pub address: String,
    /// The provider's id.
    pub id: String,
    /// The label of its group.
    pub group: String,
}

/// A command for nodes of a cluster.
#[derive(Clone, Debug)]
pub struct ExecRequest {
    /// The cluster: `etl`, `etl["a"]`, its address; `None` where the project has one.
    pub cluster: Option<String>,
    /// Where.
    pub target: ExecTarget,
    /// Program and arguments.
    pub words: Vec<String>,
}

/// Nodes of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecTarget {
    /// The head.
    Head,
    /// One: an address or its end (`etcd[1]`), a sequence number, an id.
    Node(String),
    /// The head and every worker.
    All,
}

/// A piece of what a command printed on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeOutput {
    /// The node.
    pub node: String,
    /// Whether it came from the error stream.
    pub stderr: bool,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// How a command ended on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecEnd {
    /// The node.
    pub node: String,
    /// The exit code, as a shell says it; or why it did not run.
    pub result: Result<u8, String>,
}

impl ClusterStatus {
    /// As versioned JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let mut json = serde_json::json!({ "format_version": "1.0", "cluster": self.cluster.to_string(), "head": self.head });
        let (source, entry) = match &self.source {
            StatusSource::Head(status) => ("head", serde_json::to_value(status).ok()),
            StatusSource::Provider { why, published, nodes } => {
                let nodes: Vec<_> =
                    nodes.iter().map(|node| serde_json::json!({ "address": node.address, "id": node.id, "group": node.group })).collect();
                ("provider", Some(serde_json::json!({ "why": why, "published": published, "nodes": nodes })))
            }
            StatusSource::NoController => ("none", None),
        };
        if let Some(object) = json.as_object_mut() {
            object.insert("source".to_owned(), source.into());
            object.insert("status".to_owned(), entry.unwrap_or_default());
        }
        json
    }
}

/// A cluster that is looked at.
struct Looked {
    clouds: Arc<Clouds>,
    link: Arc<Link>,
    head: HeadTarget,
    /// The cluster's uid, where it has a controller.
    uid: Option<String>,
}

/// A node that a command runs on.
#[derive(Clone)]
enum Place {
    Head(String),
    Worker(String, NodeStatus),
}

impl Place {
    fn name(&self) -> &str {
        match self {
            Self::Head(name) | Self::Worker(name, _) => name,
        }
    }
}

impl Project {
    /// How things stand with a cluster, as its head says; as the provider says where the head does not answer.
    ///
    /// # Errors
    /// There is no such cluster, or it has no head; neither of the two answers.
    pub fn status(&self, cluster: Option<&str>) -> Result<ClusterStatus, Failure> {
        let looked = self.look(cluster)?;
        let (cluster, head) = (looked.head.cluster.clone(), looked.head.instance.clone());
        let source = match &looked.uid {
            None => StatusSource::NoController,
            Some(uid) => block_on(looked.status(uid))?.map_err(|error| failed(&error))?,
        };
        Ok(ClusterStatus { cluster, head, source })
    }

    /// What happened in a cluster after an event, the newest `limit` of it, oldest first.
    ///
    /// # Errors
    /// There is no such cluster, it has no controller, or its head does not answer.
    pub fn cluster_events(&self, cluster: Option<&str>, after: u64, limit: u64) -> Result<Vec<ControllerEvent>, Failure> {
        let looked = self.look(cluster)?;
        looked.needs_controller()?;
        block_on(looked.link.events(&looked.head, after, limit, LOOK_TIMEOUT))?.map_err(|error| failed(&error))
    }

    /// Runs a command on nodes of a cluster; `output` sees what it prints as it comes.
    ///
    /// # Errors
    /// There is no such cluster or node, or it cannot be reached.
    pub fn exec(&self, request: &ExecRequest, output: Arc<dyn Fn(NodeOutput) + Send + Sync>) -> Result<Vec<ExecEnd>, Failure> {
        let looked = Arc::new(self.look(request.cluster.as_deref())?);
        let head = Place::Head(looked.head.cluster.child("head").to_string());
        if request.target == ExecTarget::Head {
            let ended = block_on(Arc::clone(&looked).run(head, request.words.clone(), output))?;
            return ended.1.map(|code| vec![ExecEnd { node: ended.0, result: Ok(code) }]).map_err(|error| failed(&error));
        }
        looked.needs_controller()?;
        let words = &request.words;
        block_on(async {
            let status = looked.link.status(&looked.head, LOOK_TIMEOUT).await.map_err(|error| failed(&error))?;
            let workers = status.nodes.into_iter().filter(|(_, node)| !node.group.is_empty() && !node.address.is_empty());
            let places: Vec<Place> = std::iter::once(head).chain(workers.map(|(name, node)| Place::Worker(name, node))).collect();
            match &request.target {
                ExecTarget::Node(wanted) => {
                    let place = choose(wanted, &places)?.clone();
                    let (node, ended) = looked.run(place, words.clone(), output).await;
                    ended.map(|code| vec![ExecEnd { node, result: Ok(code) }]).map_err(|error| failed(&error))
                }
                _ => Ok(looked.run_all(places, words, &output).await),
            }
        })?
    }

    /// Finds the cluster that is meant, and its head.
    fn look(&self, cluster: Option<&str>) -> Result<Looked, Failure> {
        let (state, clouds, around) = self.looking()?;
        let cluster = cluster_of(&state, cluster)?;
        let head = head_of(&state, &cluster)?;
        let controller = state.resources.get(&cluster.child(HEAD_CONTROLLER_KIND)).and_then(|entry| entry.current.as_ref());
        let uid = controller.and_then(|object| object.id.rsplit_once('#').map(|(uid, _)| uid.to_owned()));
        let link = Arc::new(link(&clouds, around));
        Ok(Looked { link, clouds, head, uid })
    }
}

pub(crate) fn link(clouds: &Arc<Clouds>, around: Arc<Around>) -> Link {
    Link::new(Arc::new(AroundReach::new(Arc::downgrade(clouds), around)))
}

impl Looked {
    fn needs_controller(&self) -> Result<(), Failure> {
        if self.uid.is_some() {
            return Ok(());
        }
        let title = format!("`{}` has no workers, and so no controller that could tell", self.head.cluster);
        Err(Failure::plain(Diagnostic::error("no-controller", title).help("`cloudtik exec` without `--node` runs on the head")))
    }

    async fn status(&self, uid: &str) -> Result<StatusSource, CallError> {
        let error = match self.link.status(&self.head, LOOK_TIMEOUT).await {
            Ok(status) => return Ok(StatusSource::Head(Box::new(status))),
            Err(error) => error,
        };
        let HeadTarget { cluster, provider, kind, .. } = &self.head;
        let verb = Verb::FindByTag { key: CLUSTER_TAG.to_owned(), value: uid.to_owned() };
        let call = Call { provider: provider.clone(), address: cluster.clone(), kind: kind.as_str().into(), verb, limit: None };
        let found = match self.clouds.call(call).await {
            Answer::Found(found) => found,
            Answer::Failed(error) => return Err(error),
            other => return Err(CallError::new(ErrorClass::Permanent, "answer", format!("provider `{provider}` answered {other:?}"))),
        };
        let of_head = found.iter().find(|found| found.object.id == self.head.instance);
        let published = of_head.into_iter().flat_map(|head| &head.tags);
        let published = published.filter_map(|(key, value)| Some((key.strip_prefix(STATUS_PREFIX)?.to_owned(), value.clone())));
        Ok(StatusSource::Provider { why: error.message, published: published.collect(), nodes: found.iter().filter_map(worker).collect() })
    }

    /// Runs a command on one node; gives the node's name beside what came of it.
    async fn run(
        self: Arc<Self>,
        place: Place,
        words: Vec<String>,
        output: Arc<dyn Fn(NodeOutput) + Send + Sync>,
    ) -> (String, Result<u8, CallError>) {
        let node = place.name().to_owned();
        let connected = match &place {
            Place::Head(_) => self.link.connection(&self.head).await,
            Place::Worker(name, status) => match &status.host_key {
                Some(host_key) => {
                    let place = (status.address.as_str(), status.ssh_port);
                    self.link.through(&self.head, place, &status.ssh_user, host_key).await
                }
                None => Err(CallError::new(
                    ErrorClass::Permanent,
                    "no-host-key",
                    format!("{name} is not set up yet: its host key is not known"),
                )),
            },
        };
        let ended = match connected {
            Ok(connection) => {
                let seen = |printed: Printed| output(NodeOutput { node: node.clone(), stderr: printed.stderr, bytes: printed.bytes });
                run_on(&connection, &words, &seen).await.map(|ended| ended.exit_code())
            }
            Err(error) => Err(error),
        };
        (node, ended)
    }

    async fn run_all(
        self: &Arc<Self>,
        places: Vec<Place>,
        words: &[String],
        output: &Arc<dyn Fn(NodeOutput) + Send + Sync>,
    ) -> Vec<ExecEnd> {
        let slots = Arc::new(tokio::sync::Semaphore::new(EXEC_PARALLELISM));
        let mut tasks = tokio::task::JoinSet::new();
        for place in places {
            let (looked, words, output, slots) = (Arc::clone(self), words.to_vec(), Arc::clone(output), Arc::clone(&slots));
            tasks.spawn(async move {
                let _slot = slots.acquire_owned().await;
                looked.run(place, words, output).await
            });
        }
        let mut ends = BTreeMap::new();
        while let Some(done) = tasks.join_next().await {
            ends.extend(done.ok());
        }
        ends.into_iter().map(|(node, ended)| ExecEnd { node, result: ended.map_err(|error| error.message) }).collect()
    }
}

fn worker(found: &Found) -> Option<PublishedNode> {
    found.tags.get(ROLE_TAG).filter(|role| *role == WORKER_ROLE)?;
    let id = found.object.id.clone();
    let address = found.tags.get("cloudtik:address").cloned().unwrap_or_else(|| id.clone());
    // What its head says of it counts for more than what it was made with: the group may be called otherwise by now.
    let published = found.tags.get(&format!("{STATUS_PREFIX}group"));
    let made = found.tags.get(GROUP_TAG).cloned().unwrap_or_default();
    let group = published.cloned().unwrap_or_else(|| made.clone());
    let before = format!(".workers.{made}[");
    let address = address.replacen(&before, &format!(".workers.{group}["), 1);
    Some(PublishedNode { address, id, group })
}

/// The cluster that a word of the command line means: `etl`, `etl["a"]`, its address; nothing, where there is one.
fn cluster_of(state: &State, word: Option<&str>) -> Result<Address, Failure> {
    let mut known: Vec<Address> = state
        .resources
        .keys()
        .filter(|address| address.root() == "cluster" && !address.in_block().is_empty())
        .map(Address::block)
        .collect();
    known.dedup();
    let listed = || known.iter().map(|cluster| format!("`{cluster}`")).collect::<Vec<_>>().join(", ");
    let Some(word) = word else {
        return match known.as_slice() {
            [one] => Ok(one.clone()),
            [] => Err(no_cluster()),
            _ => {
                let error = Diagnostic::error("which-cluster", "the project has more than one cluster: say which");
                Err(Failure::plain(error.note(format!("there is {}", listed()))))
            }
        };
    };
    let meant = |cluster: &&Address| {
        let address = cluster.to_string();
        address == word || address.strip_prefix("cluster.") == Some(word)
    };
    if let Some(found) = known.iter().find(meant) {
        return Ok(found.clone());
    }
    if known.is_empty() {
        return Err(no_cluster());
    }
    let names: Vec<String> = known.iter().map(|cluster| cluster.to_string().trim_start_matches("cluster.").to_owned()).collect();
    let near = did_you_mean(word.strip_prefix("cluster.").unwrap_or(word), names.iter().map(String::as_str));
    let error = Diagnostic::error("unknown-cluster", format!("there is no cluster `{word}`"));
    Err(Failure::plain(error.maybe_help(near.map(|near| format!("did you mean `{near}`?"))).note(format!("there is {}", listed()))))
}

fn no_cluster() -> Failure {
    let error = Diagnostic::error("no-cluster", "the project has no cluster yet");
    Failure::plain(error.help("`cloudtik apply` makes what the spec wants"))
}

/// How to speak to the head, as the state has it.
pub(crate) fn head_of(state: &State, cluster: &Address) -> Result<HeadTarget, Failure> {
    let missing = |title: String| Failure::plain(Diagnostic::error("no-head", title).help("`cloudtik apply` makes what is missing"));
    let entry = state.resources.get(&cluster.child("head"));
    let (entry, object) =
        entry.and_then(|entry| Some((entry, entry.current.as_ref()?))).ok_or_else(|| missing(format!("`{cluster}` has no head")))?;
    let ssh = Instance::of(&object.attributes).ok_or_else(|| missing(format!("nobody can log in to the head of `{cluster}`")))?;
    let key = host_key(state, &object.id)
        .ok_or_else(|| missing(format!("the head of `{cluster}` is not set up yet: its host key is not known")))?;
    Ok(HeadTarget {
        cluster: cluster.clone(),
        provider: entry.provider.clone(),
        kind: entry.kind.to_string(),
        instance: object.id.clone(),
        ssh,
        host_key: key,
    })
}

/// The node that a word means.
fn choose<'a>(word: &str, places: &'a [Place]) -> Result<&'a Place, Failure> {
    let number = word.parse::<u64>().ok().map(|number| format!("[{number}]"));
    let means = |place: &&Place| {
        let name = place.name();
        let by_end = name.strip_suffix(word).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        let by_number = number.as_ref().is_some_and(|number| name.ends_with(number));
        by_end || by_number || matches!(place, Place::Worker(_, status) if status.id == word)
    };
    let found: Vec<&Place> = places.iter().filter(means).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => {
            let known = places.iter().map(|place| format!("`{}`", place.name())).collect::<Vec<_>>().join(", ");
            Err(Failure::plain(Diagnostic::error("unknown-node", format!("there is no node `{word}`")).note(format!("there is {known}"))))
        }
        several => {
            let known = several.iter().map(|place| format!("`{}`", place.name())).collect::<Vec<_>>().join(", ");
            Err(Failure::plain(Diagnostic::error("which-node", format!("`{word}` may be {known}")).help("write more of its address")))
        }
    }
}

fn failed(error: &CallError) -> Failure {
    let diagnostic = if error.code == UNREACHABLE {
        Diagnostic::error("head-unreachable", error.message.clone())
    } else {
        Diagnostic::error("cluster-command", error.message.clone())
    };
    Failure::plain(diagnostic.maybe_help(error.help.clone()))
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        let error = Diagnostic::error("runtime", "the asynchronous runtime cannot be started").note(error.to_string());
        Failure::plain(error).of(FailureKind::Fault)
    })?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(done)
}

#[cfg(test)]
mod tests {
    use cloudtik_model::NodeState;

    use super::*;

    fn state(addresses: &[&str]) -> State {
        let entry = || cloudtik_model::StateEntry {
            kind: "value".into(),
            provider: cloudtik_model::ProviderRef::new("value"),
            current: None,
            deposed: BTreeMap::new(),
            depends_on: std::collections::BTreeSet::new(),
            create_before_destroy: false,
        };
        let resources = addresses.iter().map(|address| (address.parse().unwrap(), entry())).collect();
        State { resources, ..State::default() }
    }

    #[test]
    fn a_cluster_is_meant_by_its_name_its_key_or_its_address() {
        let state =
            state(&["cluster.etl[\"a\"].head", "cluster.etl[\"b\"].head", "cluster.web.head", "cluster.web.head.step.host_key", "value.x"]);
        for (word, meant) in [("etl[\"a\"]", "cluster.etl[\"a\"]"), ("web", "cluster.web"), ("cluster.web", "cluster.web")] {
            assert_eq!(cluster_of(&state, Some(word)).unwrap().to_string(), meant);
        }
        let code = |word| cluster_of(&state, word).unwrap_err().diagnostics.iter().next().map(|error| (error.code, error.help.clone()));
        assert_eq!(code(Some("wen")), Some(("unknown-cluster", Some("did you mean `web`?".to_owned()))));
        assert_eq!(code(None), Some(("which-cluster", None)));
        assert!(head_of(&state, &"cluster.web".parse().unwrap()).is_err());
    }

    #[test]
    fn without_a_word_the_only_cluster_is_meant() {
        let one = state(&["cluster.web.head", "cluster.web.head.step.host_key"]);
        assert_eq!(cluster_of(&one, None).unwrap().to_string(), "cluster.web");
        let none = cluster_of(&State::default(), Some("web")).unwrap_err();
        assert_eq!(none.diagnostics.iter().next().unwrap().code, "no-cluster");
    }

    #[test]
    fn a_node_is_meant_by_the_end_of_its_address_its_number_or_its_id() {
        let worker = |name: &str, id: &str| {
            let status = NodeStatus {
                group: "g".to_owned(),
                id: id.to_owned(),
                address: "10.0.0.2".to_owned(),
                state: NodeState::Ready,
                host_key: None,
                ssh_user: String::new(),
                ssh_port: 22,
                steps_done: 0,
                steps: 0,
                running: Vec::new(),
                problem: None,
            };
            Place::Worker(name.to_owned(), status)
        };
        let places = [
            Place::Head("cluster.c.head".to_owned()),
            worker("cluster.c.workers.etcd[1]", "i-1"),
            worker("cluster.c.workers.etcd[11]", "i-11"),
            worker("cluster.c.workers.web[11]", "i-12"),
        ];
        for (word, meant) in [
            ("head", "cluster.c.head"),
            ("etcd[1]", "cluster.c.workers.etcd[1]"),
            ("workers.etcd[11]", "cluster.c.workers.etcd[11]"),
            ("1", "cluster.c.workers.etcd[1]"),
            ("i-12", "cluster.c.workers.web[11]"),
            ("cluster.c.workers.web[11]", "cluster.c.workers.web[11]"),
        ] {
            assert_eq!(choose(word, &places).unwrap().name(), meant, "{word}");
        }
        for (word, code) in [("11", "which-node"), ("cd[1]", "unknown-node"), ("2", "unknown-node")] {
            let failure = choose(word, &places).map(Place::name).unwrap_err();
            assert_eq!(failure.diagnostics.iter().next().unwrap().code, code, "{word}");
        }
    }
}
