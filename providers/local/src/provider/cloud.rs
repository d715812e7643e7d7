//! The effectful half: calls as requests to the daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use cloudtik_model::Value;
use cloudtik_provider_api::{
    Answer, BoxFuture, CLUSTER_TAG, Call, CallError, Cloud, Connection, CreateRequest, DialTarget, ErrorClass, FactQuestion, Found,
    UpdateRequest, Verb,
};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::attributes::{answer_of, found_of, is_left_over, is_there};
use super::form::{self, Isolation, QUESTION};
use super::kinds::LOGIN_SECRET;
use super::request::{self, MARK_PREFIX, ON_DESTROY_TAG, refused};
use crate::client::{Client, LocalError};
use crate::daemon::HOST_KEY_SECRET;
use crate::identity::{inventory_name, inventory_of, lost_inventories};
use crate::launch::probe::probe_facts;
use crate::options::LocalCloudOptions;
use crate::protocol::{
    self, Attributes, BucketSpec, FirewallSpec, Form, InstanceSpec, Kind, NetworkSpec, Object, ObjectState, ResourceSpec, TagQuery,
};

/// Tags of the engine that the adapter itself looks at.
const ADDRESS_TAG: &str = "cloudtik:address";
const LINEAGE_TAG: &str = "cloudtik:lineage";

/// Longest wait for an answer. The daemon waits up to 90 seconds for another request that works on the same object, and what it does itself
/// takes up to a minute; only one that hangs takes longer.
const ANSWER_WAIT: Duration = Duration::from_secs(180);

/// How long a dial waits for a listener. Whoever dials tries again, and in between it looks whether waiting still makes sense.
const DIAL_WAIT: Duration = Duration::from_secs(2);

/// The local cloud of one provider configuration.
#[derive(Debug)]
pub struct LocalCloud {
    client: Client,
    root: PathBuf,
    isolation: Isolation,
    /// What this machine can do, found out on first need.
    machine: OnceCell<protocol::Facts>,
}

impl LocalCloud {
    /// The local cloud at these places, for this configuration. Starts nothing.
    ///
    /// # Errors
    /// The configuration has no root folder, or asks for an isolation that there is not.
    pub fn new(options: LocalCloudOptions, config: &Value) -> Result<Self, CallError> {
        let isolation = Isolation::of(config).map_err(|word| {
            refused("bad_isolation", format!("there is no isolation `{word}`")).help("write `auto`, `namespaces` or `plain`")
        })?;
        let root = request::required(config, "root")?;
        Ok(Self { client: Client::new(options), root: whole_path(&root)?, isolation, machine: OnceCell::new() })
    }

    async fn answer(&self, call: Call) -> Result<Answer, CallError> {
        let kind = kind_of(&call.kind);
        match call.verb {
            Verb::Create(request) => self.create(kind?, &call.address.to_string(), request).await,
            Verb::Read { id } => self.read(kind?, &id).await,
            Verb::Update(request) => self.update(kind?, request).await,
            Verb::Delete { id } => self.delete(kind?, &id, &call.address.to_string()).await,
            Verb::FindByTag { key, value } => self.find(query(kind?, [(key, value)])).await.map(Answer::Found),
            Verb::FindByName { name } => self.find_by_name(kind?, &name).await,
            Verb::List { ids } => self.list(kind?, &ids).await,
            Verb::Facts(questions) => self.facts(&questions).await,
            Verb::Fence { cluster, epoch, .. } => done(self.client.fence(&cluster, epoch).await),
            Verb::PublishStatus { id, status } => self.publish_status(&id, status).await,
        }
    }

    async fn create(&self, kind: Kind, address: &str, request: CreateRequest) -> Result<Answer, CallError> {
        let spec = self.spec_of(kind, &request).await?;
        if kind == Kind::LocalInstance {
            self.clear_former(&request).await?;
        }
        let mut tags = request::tags(&request.attributes)?;
        tags.extend(request.tags.clone());
        tags.extend(settings_of(kind, &request.attributes)?);
        let secrets = request.secrets.get(HOST_KEY_SECRET).filter(|_| kind == Kind::LocalInstance);
        let secrets = secrets.map(|secret| (HOST_KEY_SECRET.to_owned(), protocol::Secret::new(secret.private.clone())));
        let create = protocol::CreateRequest {
            token: request.token,
            op_id: request.op_id,
            address: address.to_owned(),
            cluster: request.tags.get(CLUSTER_TAG).cloned(),
            epoch: Some(request.epoch),
            tags,
            spec,
            secrets: secrets.into_iter().collect(),
        };
        let object = self.client.create(create).await.map_err(|error| call_error(&error))?;
        answer_of(&object).map(Answer::Object)
    }

    async fn read(&self, kind: Kind, id: &str) -> Result<Answer, CallError> {
        let object = self.object(kind, id).await?;
        object.as_ref().map(answer_of).transpose().map(Answer::Read)
    }

    async fn update(&self, kind: Kind, request: UpdateRequest) -> Result<Answer, CallError> {
        let object = self.object(kind, &request.id).await?.ok_or_else(|| gone(&request.id))?;
        // What cannot change in place is said as it was, so that the daemon has nothing to refuse.
        let mut spec = object.spec;
        match &mut spec {
            ResourceSpec::LocalFirewall(firewall) => firewall.rules = request::rules(&request.attributes)?,
            ResourceSpec::LocalInstance(instance) => {
                instance.publish = request::ports_of(&request.attributes)?;
                instance.max_workers = request::max_workers(&request.attributes)?;
            }
            ResourceSpec::LocalNetwork(_) | ResourceSpec::LocalBucket(_) => {}
        }
        let mut tags = request::tags(&request.attributes)?;
        tags.extend(object.tags.into_iter().filter(|(name, _)| name.starts_with(MARK_PREFIX)));
        tags.extend(settings_of(kind, &request.attributes)?);
        let update = protocol::UpdateRequest { id: request.id, op_id: request.op_id, tags, spec };
        let object = self.client.update(update).await.map_err(|error| call_error(&error))?;
        answer_of(&object).map(Answer::Object)
    }

    async fn delete(&self, kind: Kind, id: &str, address: &str) -> Result<Answer, CallError> {
        if !self.client.has_inventory() {
            return Err(self.gone(id));
        }
        let op_id = format!("delete {address}");
        if kind == Kind::LocalNetwork {
            // Nobody else asks for what is left of a node that ended, and it would keep its network for ever.
            let instances = self.client.list(Some(Kind::LocalInstance)).await.map_err(|error| call_error(&error))?;
            self.clear(instances.iter().filter(|object| network_of(object) == Some(id)), &op_id).await?;
        }
        done(self.client.delete(id, &op_id).await).map_err(|error| self.gone_or(id, error))
    }

    async fn find_by_name(&self, kind: Kind, name: &str) -> Result<Answer, CallError> {
        let objects = self.objects(kind).await?;
        let named = objects.iter().filter(|object| name_of(object) == name && self.is_ours(object));
        named.map(found_of).collect::<Result<_, _>>().map(Answer::Found)
    }

    /// A plan looks at what its state has: without ids, or without a cloud, there is nothing to ask for and nothing to start.
    async fn list(&self, kind: Kind, ids: &BTreeSet<String>) -> Result<Answer, CallError> {
        if ids.is_empty() {
            return Ok(Answer::Found(Vec::new()));
        }
        let listed = self.all_objects(kind).await?;
        let missing: Vec<&String> = ids.iter().filter(|id| !listed.iter().any(|object| object.id == **id)).collect();
        self.check_gone(&missing)?;
        let objects = listed.iter().filter(|object| is_there(object));
        objects.filter(|object| ids.contains(&object.id)).map(found_of).collect::<Result<_, _>>().map(Answer::Found)
    }

    async fn find(&self, query: TagQuery) -> Result<Vec<Found>, CallError> {
        if !self.client.has_inventory() {
            return Ok(Vec::new());
        }
        let objects = self.client.find_by_tag(query).await.map_err(|error| call_error(&error))?;
        objects.iter().filter(|object| is_there(object)).map(found_of).collect()
    }

    async fn facts(&self, questions: &[FactQuestion]) -> Result<Answer, CallError> {
        let mut answers = BTreeMap::new();
        for question in questions {
            if question.question != QUESTION {
                return Err(refused("bad_question", format!("the local cloud has no answer to `{}`", question.question)));
            }
            let asked =
                Isolation::of(&question.arguments).map_err(|word| refused("bad_isolation", format!("there is no isolation `{word}`")))?;
            answers.insert(question.key.clone(), form::answer(asked, self.machine().await?)?);
        }
        Ok(Answer::Facts(answers))
    }

    async fn publish_status(&self, id: &str, status: BTreeMap<String, String>) -> Result<Answer, CallError> {
        if !self.client.has_inventory() {
            return Err(self.gone(id));
        }
        let before = self.client.metadata(id).await.map_err(|error| self.gone_or(id, call_error(&error)))?;
        let mut values: BTreeMap<String, Option<String>> = before.into_keys().map(|key| (key, None)).collect();
        values.extend(status.into_iter().map(|(key, value)| (key, Some(value))));
        done(self.client.set_metadata(id, values).await)
    }

    /// What this machine can do. Looks for itself: to ask the daemon would be to start it. A head asks: its nodes are the machine's.
    async fn machine(&self) -> Result<&protocol::Facts, CallError> {
        if self.client.is_head() {
            let ask = || async { self.client.facts().await.map_err(|error| call_error(&error)) };
            return self.machine.get_or_try_init(ask).await;
        }
        let probe = || async {
            let options = self.client.options().clone();
            let probed = tokio::task::spawn_blocking(move || probe_facts(&options)).await;
            let probed = probed
                .map_err(|error| CallError::new(ErrorClass::Transient, "probe", format!("the probe of this machine broke: {error}")))?;
            probed.map_err(|error| call_error(&LocalError::Cloud(error)))
        };
        self.machine.get_or_try_init(probe).await
    }

    /// What the daemon is asked to make.
    async fn spec_of(&self, kind: Kind, request: &CreateRequest) -> Result<ResourceSpec, CallError> {
        let attributes = &request.attributes;
        let name = request::required(attributes, "name")?;
        Ok(match kind {
            Kind::LocalNetwork => {
                request::check_mode(attributes)?;
                let form = match request::form(attributes)? {
                    Some(form) => form,
                    None => form::choose(self.isolation, self.machine().await?)?.0,
                };
                ResourceSpec::LocalNetwork(NetworkSpec { name, form, cidr: request::optional(attributes, "cidr")? })
            }
            Kind::LocalFirewall => {
                let network = request::optional(attributes, "network")?;
                ResourceSpec::LocalFirewall(FirewallSpec { name, network, rules: request::rules(attributes)? })
            }
            Kind::LocalBucket => ResourceSpec::LocalBucket(BucketSpec { name, root: self.root.clone() }),
            Kind::LocalInstance => {
                let network = request::required(attributes, "network")?;
                let form = self.form_of_network(&network).await?;
                ResourceSpec::LocalInstance(Box::new(self.instance_spec(name, network, form, request)?))
            }
        })
    }

    fn instance_spec(&self, name: String, network: String, form: Form, request: &CreateRequest) -> Result<InstanceSpec, CallError> {
        let login = request.secrets.get(LOGIN_SECRET).map(|secret| secret.public.trim().to_owned());
        Ok(InstanceSpec {
            name,
            network,
            form,
            root: self.root.clone(),
            cpus: request::number(&request.attributes, "cpus")?,
            memory_gib: request::number(&request.attributes, "memory_gib")?,
            ssh_port: None,
            ssh_user: None,
            authorized_keys: login.into_iter().filter(|key| !key.is_empty()).collect(),
            publish: request::ports_of(&request.attributes)?,
            max_workers: request::max_workers(&request.attributes)?,
            mounts: BTreeMap::new(),
            env: BTreeMap::new(),
        })
    }

    async fn form_of_network(&self, id: &str) -> Result<Form, CallError> {
        match self.object(Kind::LocalNetwork, id).await?.map(|network| network.attributes) {
            Some(Attributes::LocalNetwork(network)) => Ok(network.form),
            // Not the class Gone: what is asked for is an instance, and that it is gone nobody says.
            _ => Err(refused("no_network", format!("the local cloud has no network `{id}`"))),
        }
    }

    /// Removes what is left of nodes that ended at the address that is made anew: nobody has them in a state any more.
    async fn clear_former(&self, request: &CreateRequest) -> Result<(), CallError> {
        if self.client.is_head() {
            // Whatever address they had: all that is shown is the head's own, and what ended takes the place of a worker.
            let nodes = self.client.list(Some(Kind::LocalInstance)).await.map_err(|error| call_error(&error))?;
            let ended = nodes.iter().filter(|object| object.state == ObjectState::Ready && object.token != request.token);
            return self.clear(ended, &request.op_id).await;
        }
        let tags = [ADDRESS_TAG, LINEAGE_TAG].map(|name| Some((name.to_owned(), request.tags.get(name)?.clone())));
        let [Some(address), Some(lineage)] = tags else { return Ok(()) };
        if !self.client.has_inventory() {
            return Ok(());
        }
        let former = self.client.find_by_tag(query(Kind::LocalInstance, [address, lineage])).await.map_err(|error| call_error(&error))?;
        self.clear(former.iter().filter(|object| object.token != request.token), &request.op_id).await
    }

    async fn clear<'a>(&self, objects: impl Iterator<Item = &'a Object> + Send, op_id: &str) -> Result<(), CallError> {
        for object in objects.filter(|object| is_left_over(object)) {
            match self.client.delete(&object.id, op_id).await {
                Err(error) if error.class() != protocol::ErrorClass::Gone => return Err(call_error(&error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// An object that is there. That it is not is known only of what this inventory has or had.
    async fn object(&self, kind: Kind, id: &str) -> Result<Option<Object>, CallError> {
        if !self.client.has_inventory() {
            return self.check_gone(&[id]).map(|()| None);
        }
        match self.client.read(id).await {
            Ok(object) => Ok(Some(object).filter(|object| object.kind == kind && is_there(object))),
            Err(error) if error.class() == protocol::ErrorClass::Gone => self.check_gone(&[id]).map(|()| None),
            Err(error) => Err(call_error(&error)),
        }
    }

    /// All objects of a kind that are there.
    async fn objects(&self, kind: Kind) -> Result<Vec<Object>, CallError> {
        let mut objects = self.all_objects(kind).await?;
        objects.retain(is_there);
        Ok(objects)
    }

    /// All objects of a kind, also what is left of some.
    async fn all_objects(&self, kind: Kind) -> Result<Vec<Object>, CallError> {
        if !self.client.has_inventory() {
            return Ok(Vec::new());
        }
        self.client.list(Some(kind)).await.map_err(|error| call_error(&error))
    }

    /// What this inventory does not have is gone if it is the one that had it, or if the one that had it is lost. An error otherwise: the
    /// object is somewhere else, and nobody may forget it.
    fn check_gone<T: AsRef<str>>(&self, ids: &[T]) -> Result<(), CallError> {
        // A head speaks to the local cloud that made it and its workers, and to no other; where that keeps its inventory is nothing to it.
        if self.client.is_head() {
            return Ok(());
        }
        let options = self.client.options();
        let failed = |path: PathBuf| move |source| call_error(&LocalError::File { doing: "read", path, source });
        let here = inventory_name(options).map_err(failed(options.name_path()))?;
        let elsewhere = |id: &str| inventory_of(id).filter(|name| Some(*name) != here.as_deref()).map(str::to_owned);
        let named = ids.iter().filter_map(|id| Some((id.as_ref(), elsewhere(id.as_ref())?)));
        let named: Vec<(&str, String)> = named.collect();
        if named.is_empty() {
            return Ok(());
        }
        let lost = lost_inventories(options).map_err(failed(options.lost_path()))?;
        let Some((id, other)) = named.iter().find(|(_, name)| !lost.contains(name)) else { return Ok(()) };
        let here = here.map_or_else(|| "has none yet".to_owned(), |here| format!("is `{here}`"));
        let folder = options.state_dir.display();
        let message = format!("`{id}` is in the inventory `{other}` of a local cloud, and the one here, in {folder}, {here}");
        let help = format!(
            "run this as the user and on the machine that made it, with the same XDG_STATE_HOME or HOME: `cloudtik local list` there names \
             `{other}`; if that inventory is lost with all that it had, run `cloudtik local forget {other}`"
        );
        Err(CallError::new(ErrorClass::Conflict, "other_inventory", message).help(help))
    }

    /// The error of an object that is gone, or that is somewhere else.
    fn gone(&self, id: &str) -> CallError {
        self.check_gone(&[id]).err().unwrap_or_else(|| gone(id))
    }

    /// An error as it is; that something is gone only where that is known.
    fn gone_or(&self, id: &str, error: CallError) -> CallError {
        if error.class == ErrorClass::Gone { self.check_gone(&[id]).err().unwrap_or(error) } else { error }
    }

    /// Names are this project's own: another one may have the same. Of networks and firewalls nobody says whose they are. What a head is
    /// shown is its own, and its project's folder has another path there.
    fn is_ours(&self, object: &Object) -> bool {
        if self.client.is_head() {
            return true;
        }
        match &object.spec {
            ResourceSpec::LocalBucket(bucket) => bucket.root == self.root,
            ResourceSpec::LocalInstance(instance) => instance.root == self.root,
            ResourceSpec::LocalNetwork(_) | ResourceSpec::LocalFirewall(_) => true,
        }
    }
}

impl Cloud for LocalCloud {
    fn call(&self, call: Call) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            let answer = timeout(ANSWER_WAIT, self.answer(call)).await.unwrap_or_else(|_| Err(no_answer(ErrorClass::Unknown)));
            answer.unwrap_or_else(Answer::Failed)
        })
    }

    fn dial(&self, target: DialTarget) -> BoxFuture<'_, Result<Connection, CallError>> {
        Box::pin(async move {
            let dialled = timeout(ANSWER_WAIT, self.client.dial(&target.instance, target.port, DIAL_WAIT)).await;
            let dialled = dialled.map_err(|_| no_answer(ErrorClass::Transient))?;
            let stream = dialled.map_err(|error| self.gone_or(&target.instance, call_error(&error)))?;
            let failed =
                |error| CallError::new(ErrorClass::Transient, "stream", format!("the stream to {} broke: {error}", target.instance));
            // It stays in the mode in which reads do not block.
            stream.into_std().map(Connection::Unix).map_err(failed)
        })
    }

    fn finish(&self) -> BoxFuture<'_, Result<(), CallError>> {
        Box::pin(async move {
            let waited = timeout(ANSWER_WAIT, self.client.clone().finish()).await;
            waited.map_err(|_| no_answer(ErrorClass::Transient))?.map_err(|error| call_error(&error))
        })
    }
}

fn kind_of(name: &str) -> Result<Kind, CallError> {
    let kinds = [Kind::LocalNetwork, Kind::LocalFirewall, Kind::LocalBucket, Kind::LocalInstance];
    let known = kinds.into_iter().find(|kind| kind.name() == name);
    known.ok_or_else(|| refused("bad_kind", format!("the local cloud has no kind `{name}`")))
}

/// An absolute path without `.` and `..`, as the daemon takes it: it works in a folder of its own.
fn whole_path(root: &str) -> Result<PathBuf, CallError> {
    let absolute = std::path::absolute(Path::new(root)).map_err(|error| refused("bad_root", format!("`root` is `{root}`: {error}")))?;
    let mut whole = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::ParentDir => drop(whole.pop()),
            Component::CurDir => {}
            other => whole.push(other),
        }
    }
    Ok(whole)
}

fn query<const N: usize>(kind: Kind, tags: [(String, String); N]) -> TagQuery {
    TagQuery { kind: Some(kind), tags: tags.into_iter().collect(), op_id: None, token: None }
}

/// What the daemon has no field for and must come back.
fn settings_of(kind: Kind, attributes: &Value) -> Result<Option<(String, String)>, CallError> {
    if kind != Kind::LocalBucket {
        return Ok(None);
    }
    request::on_destroy(attributes).map(|word| Some((ON_DESTROY_TAG.to_owned(), word)))
}

fn name_of(object: &Object) -> &str {
    match &object.attributes {
        Attributes::LocalNetwork(attributes) => &attributes.name,
        Attributes::LocalFirewall(attributes) => &attributes.name,
        Attributes::LocalBucket(attributes) => &attributes.name,
        Attributes::LocalInstance(attributes) => &attributes.name,
    }
}

fn network_of(object: &Object) -> Option<&str> {
    if let Attributes::LocalInstance(attributes) = &object.attributes { Some(&attributes.network) } else { None }
}

fn done<T>(result: Result<T, LocalError>) -> Result<Answer, CallError> {
    result.map(|_| Answer::Done).map_err(|error| call_error(&error))
}

fn gone(id: &str) -> CallError {
    CallError::new(ErrorClass::Gone, "not_found", format!("the local cloud has no `{id}`"))
}

fn no_answer(class: ErrorClass) -> CallError {
    CallError::new(class, "no_answer", format!("the local cloud did not answer within {} seconds", ANSWER_WAIT.as_secs()))
}

/// The one place where errors of the local cloud become errors of a provider.
fn call_error(error: &LocalError) -> CallError {
    let class = match error.class() {
        protocol::ErrorClass::Throttled => ErrorClass::Throttled,
        protocol::ErrorClass::Transient => ErrorClass::Transient,
        protocol::ErrorClass::Unknown => ErrorClass::Unknown,
        protocol::ErrorClass::Permanent => ErrorClass::Permanent,
        protocol::ErrorClass::Gone => ErrorClass::Gone,
        protocol::ErrorClass::Conflict => ErrorClass::Conflict,
    };
    let code = match error {
        LocalError::Cloud(error) => error.code.as_str(),
        LocalError::Options(_) => "options",
        LocalError::File { .. } => "file",
        LocalError::Start { .. } => "start",
        LocalError::NoCloud { .. } => "no_cloud",
        LocalError::Version { .. } => "version",
        LocalError::Broken(_) => "broken",
        LocalError::Answer => "answer",
    };
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        // An error that only passes another one on says the same.
        if !message.ends_with(&text) {
            message = format!("{message}: {text}");
        }
        cause = error.source();
    }
    let call = CallError::new(class, code, message);
    match help_for(code) {
        Some(help) => call.help(help),
        None => call,
    }
}

fn help_for(code: &str) -> Option<&'static str> {
    Some(match code {
        "port_in_use" => "choose another port in `publish`, or end what listens there",
        "port_not_allowed" => "choose a port above 1023 in `publish`",
        "disk_full" => "make room, then run the command again: nothing is lost",
        "no_permission" => "give this user the right to write there, or set `root` in `provider \"local\"` to another folder",
        "exists" => "remove what is there, or choose another `name`",
        "network_in_use" => "leave `cidr` out to get free addresses",
        "form_not_possible" => "write `isolation = \"plain\"` in `provider \"local\"`",
        "token_spent" | "token_mismatch" => "run the command again: it asks anew",
        "no_cloud" => "run any command of cloudtik that concerns this machine's clusters, there",
        "stopped" => "`cloudtik plan` shows it as gone, and `cloudtik apply` makes it anew",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::CloudError;

    #[test]
    fn a_root_becomes_a_whole_path() {
        assert_eq!(whole_path("/a/./b/../c").unwrap(), Path::new("/a/c"));
        assert_eq!(whole_path("/../a").unwrap(), Path::new("/a"));
        assert!(whole_path("a").unwrap().is_absolute());
        assert!(whole_path("").is_err());
    }

    #[test]
    fn errors_keep_their_class_and_say_what_to_do() {
        let error = CloudError { class: protocol::ErrorClass::Conflict, code: "port_in_use".into(), message: "port 80 is in use".into() };
        let call = call_error(&error.into());
        assert_eq!((call.class, call.code.as_str(), call.message.as_str()), (ErrorClass::Conflict, "port_in_use", "port 80 is in use"));
        assert!(call.help.unwrap().contains("`publish`"));
        let source = std::io::Error::other("no room");
        let call = call_error(&LocalError::File { doing: "make", path: "/x".into(), source });
        assert_eq!((call.class, call.message.as_str()), (ErrorClass::Permanent, "cannot make /x: no room"));
    }
}
