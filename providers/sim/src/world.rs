//! What exists in the simulated cloud, and the effects that calls have on it. No faults, no time but the one it is given.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::{Address, ControllerReply, ControllerRequest, Digest, NodeReply, NodeRequest, Value};
use cloudtik_provider_api::{
    Answer, CLUSTER_TAG, Call, CallError, CreateRequest, ErrorClass, FactQuestion, Found, Idempotency, KindSchema, ObjectAnswer, Presence,
    ProviderSchema, SEQUENCE_TAG, STATUS_PREFIX, UpdateRequest, Verb,
};
use serde::{Deserialize, Serialize};

use crate::controller::SimController;
use crate::kinds::INSTANCE_KIND;
use crate::node::SimNode;
use crate::together::Made;

/// The tag with the address that an object was made for.
pub const ADDRESS_TAG: &str = "cloudtik:address";
/// The tag with the op id of its create.
pub const OP_TAG: &str = "cloudtik:op";

/// An object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimObject {
    /// Its id; never used again.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// Its marks.
    pub tags: BTreeMap<String, String>,
    /// All attributes.
    pub attributes: Value,
    /// When searches begin to find it.
    pub visible_at_ms: u64,
    /// Metadata that was published.
    pub status: BTreeMap<String, String>,
}

/// What happened to the world, once for each time it happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effect {
    /// When.
    pub at_ms: u64,
    /// What.
    pub kind: EffectKind,
    /// For which address, as the object's mark or the step says.
    pub address: String,
    /// On which object.
    pub id: String,
    /// By which operation, where the call says so.
    pub op_id: String,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum EffectKind {
    Created,
    /// A create of a natural kind that found an object of another create in its place, and took it over.
    Overwritten,
    Updated,
    Deleted,
    StepDone,
    StepUndone,
}

/// The world.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct World {
    /// Version of the file.
    pub version: u32,
    /// The number that the next id gets.
    next: u64,
    /// The clock where no other is given: calls so far.
    pub calls: u64,
    /// What exists.
    pub objects: BTreeMap<String, SimObject>,
    /// The creates that carried a token: a digest of the request, and what they made.
    tokens: BTreeMap<String, (Digest, String)>,
    /// The calls of several objects by their tokens.
    #[serde(default)]
    pub(crate) calls_of_several: BTreeMap<String, Made>,
    /// The epoch that may still create, by cluster.
    fences: BTreeMap<String, u64>,
    /// The nodes by the id of their instance.
    pub nodes: BTreeMap<String, SimNode>,
    /// The controllers of heads by the id of their instance, of those that were ever told something.
    #[serde(default)]
    pub controllers: BTreeMap<String, SimController>,
    /// How many objects there is room for, when the next call asks for several.
    #[serde(skip)]
    pub room: Option<usize>,
    /// Every effect there ever was.
    pub audit: Vec<Effect>,
}

impl World {
    /// The version of the file that this code reads and writes.
    pub const VERSION: u32 = 1;

    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self { version: Self::VERSION, ..Self::default() }
    }

    /// Carries out a call. `invisible_ms`: how long a new node, or object of a kind that is found by tag,
    /// hides from looks.
    pub fn call(&mut self, schema: &ProviderSchema, now_ms: u64, call: &Call, invisible_ms: u64) -> Answer {
        let Some(kind) = schema.kinds.get(&*call.kind) else {
            return match &call.verb {
                Verb::Facts(questions) => Answer::Facts(facts(questions)),
                Verb::Fence { cluster, epoch, .. } => self.fence(cluster, *epoch),
                _ => failed(ErrorClass::Permanent, "kind", format!("the simulated cloud has no kind `{}`", call.kind)),
            };
        };
        match &call.verb {
            Verb::Create(request) => self.create(kind, now_ms, call, request, invisible_ms),
            Verb::Read { id } => Answer::Read(self.objects.get(id).map(answer_of)),
            Verb::Update(request) => self.update(kind, now_ms, call, request),
            Verb::Delete { id, .. } => self.delete(now_ms, id),
            Verb::FindByTag { key, value } => {
                let carries = |object: &&SimObject| {
                    let given = object.attributes.get("tags").and_then(|tags| tags.get(key)?.as_str());
                    object.tags.get(key) == Some(value) || given == Some(value)
                };
                let visible = |object: &&SimObject| object.kind == kind.name && object.visible_at_ms <= now_ms;
                let found = self.objects.values().filter(visible).filter(carries);
                Answer::Found(found.map(found_of).collect())
            }
            Verb::FindByName { name } => Answer::Found(self.named(kind, name).map(found_of).into_iter().collect()),
            Verb::List { ids } => {
                let shows = |object: &&SimObject| object.kind == kind.name && (!kind.is_node || object.visible_at_ms <= now_ms);
                let found = ids.iter().filter_map(|id| self.objects.get(id)).filter(shows);
                Answer::Found(found.map(found_of).collect())
            }
            Verb::Facts(questions) => Answer::Facts(facts(questions)),
            Verb::Fence { cluster, epoch, .. } => self.fence(cluster, *epoch),
            Verb::PublishStatus { id, status } => match self.objects.get_mut(id) {
                Some(object) => {
                    object.status.clone_from(status);
                    Answer::Done
                }
                None => gone(id),
            },
        }
    }

    /// Carries out a step on the node of an instance.
    ///
    /// # Errors
    /// There is no such instance, or the request makes no sense.
    pub fn run_step(&mut self, now_ms: u64, instance: &str, request: &NodeRequest) -> Result<NodeReply, CallError> {
        let node = self.nodes.get_mut(instance).ok_or_else(|| gone_error(instance))?;
        let ran = node.run(instance, request)?;
        if ran.effect {
            let kind = if request.verb == cloudtik_model::Verb::Undo { EffectKind::StepUndone } else { EffectKind::StepDone };
            self.record(now_ms, kind, request.address.clone(), instance, &request.run_id);
        }
        Ok(ran.reply)
    }

    /// Speaks to the controller on the node of an instance. What it was told shows in the instance's status.
    ///
    /// # Errors
    /// There is no such instance.
    pub fn controller(&mut self, instance: &str, request: &ControllerRequest) -> Result<ControllerReply, CallError> {
        let object = self.objects.get_mut(instance).filter(|object| object.kind == INSTANCE_KIND).ok_or_else(|| gone_error(instance))?;
        let controller = self.controllers.entry(instance.to_owned()).or_default();
        let reply = controller.answer(instance, request, |uid| self.fences.get(uid).copied().unwrap_or(0));
        if matches!(reply, ControllerReply::Pushed { .. } | ControllerReply::Done) {
            object.status = controller.published(instance);
        }
        Ok(reply)
    }

    /// The objects that carry an address as their mark.
    pub fn objects_of<'a>(&'a self, address: &'a Address) -> impl Iterator<Item = &'a SimObject> {
        let text = address.to_string();
        self.objects.values().filter(move |object| object.tags.get(ADDRESS_TAG) == Some(&text))
    }

    fn record(&mut self, at_ms: u64, kind: EffectKind, address: String, id: &str, op_id: &str) {
        self.audit.push(Effect { at_ms, kind, address, id: id.to_owned(), op_id: op_id.to_owned() });
    }

    fn named(&self, kind: &KindSchema, name: &str) -> Option<&SimObject> {
        let unique = kind.unique_name?;
        self.objects.values().find(|object| object.kind == kind.name && object.attributes.get(unique).and_then(Value::as_str) == Some(name))
    }

    fn fence(&mut self, cluster: &str, epoch: u64) -> Answer {
        let fence = self.fences.entry(cluster.to_owned()).or_default();
        *fence = epoch.max(*fence);
        Answer::Done
    }

    fn create(&mut self, kind: &KindSchema, now_ms: u64, call: &Call, request: &CreateRequest, invisible_ms: u64) -> Answer {
        if let Err(error) = self.may_create(kind, request) {
            return Answer::Failed(error);
        }
        if request.batch.is_some() {
            let room = self.room.take().unwrap_or(usize::MAX);
            return self.create_together(kind, now_ms, call, request, invisible_ms, room);
        }
        let asked = digest_of(request);
        if kind.class == Idempotency::Token
            && let Some((earlier, id)) = self.tokens.get(&request.token)
        {
            return match self.objects.get(id) {
                _ if *earlier != asked => failed(ErrorClass::Conflict, "token-reused", "the token belongs to another request".to_owned()),
                Some(object) => Answer::Object(answer_of(object)),
                None => failed(ErrorClass::Permanent, "token-spent", format!("what the token made, {id}, is gone")),
            };
        }
        let name = kind.unique_name.and_then(|name| request.attributes.get(name)).and_then(Value::as_str);
        let taken =
            name.and_then(|name| self.named(kind, name)).map(|object| (object.id.clone(), object.tags.get(OP_TAG) == Some(&request.op_id)));
        let id = match (kind.class, taken) {
            (Idempotency::Natural, Some((id, true))) => match self.objects.get(&id) {
                Some(object) => return Answer::Object(answer_of(object)),
                None => id,
            },
            (Idempotency::Natural, Some((id, false))) => id,
            (_, Some((id, _))) => {
                return failed(ErrorClass::Conflict, "name-exists", format!("{} is called `{}` already", id, name.unwrap_or_default()));
            }
            (_, None) => self.next_id(kind),
        };
        self.make(kind, now_ms, call, request, id, invisible_ms, asked)
    }

    pub(crate) fn next_id(&mut self, kind: &KindSchema) -> String {
        self.next += 1;
        format!("{}-{}", kind.name.trim_start_matches("sim_"), self.next)
    }

    #[expect(clippy::too_many_arguments, reason = "the second half of `create`, cut off where the id is known")]
    pub(crate) fn make(
        &mut self,
        kind: &KindSchema,
        now_ms: u64,
        call: &Call,
        request: &CreateRequest,
        id: String,
        invisible_ms: u64,
        asked: Digest,
    ) -> Answer {
        let hides = kind.is_node || matches!(kind.class, Idempotency::TagAtCreate { .. });
        let mut attributes = self.complete(kind, &id, &request.attributes, &Value::NULL);
        if let Some(number) = request.tags.get(SEQUENCE_TAG).and_then(|number| number.parse::<u64>().ok()) {
            attributes = with_sequence(attributes, number);
        }
        let object = SimObject {
            attributes,
            kind: kind.name.to_owned(),
            tags: request.tags.clone(),
            visible_at_ms: if hides { now_ms.saturating_add(invisible_ms) } else { 0 },
            status: BTreeMap::new(),
            id: id.clone(),
        };
        let answer = Answer::Object(answer_of(&object));
        let effect = if self.objects.insert(id.clone(), object).is_some() { EffectKind::Overwritten } else { EffectKind::Created };
        if kind.class == Idempotency::Token && request.batch.is_none() {
            self.tokens.insert(request.token.clone(), (asked, id.clone()));
        }
        if kind.is_node {
            self.nodes.insert(id.clone(), SimNode::default());
        }
        let address = request.tags.get(ADDRESS_TAG).cloned().unwrap_or_else(|| call.address.to_string());
        self.record(now_ms, effect, address, &id, &request.op_id);
        answer
    }

    fn may_create(&self, kind: &KindSchema, request: &CreateRequest) -> Result<(), CallError> {
        if let Some(cluster) = request.tags.get(CLUSTER_TAG)
            && let Some(fence) = self.fences.get(cluster).filter(|fence| **fence > request.epoch)
        {
            let text = format!("creates for the cluster {cluster} need epoch {fence}, and this one has {}", request.epoch);
            return Err(CallError::new(ErrorClass::Permanent, "fenced", text));
        }
        check_attributes(kind, &request.attributes)?;
        for (name, _) in kind.secrets {
            if !request.secrets.contains_key(*name) {
                return Err(CallError::new(ErrorClass::Permanent, "secret", format!("the secret `{name}` is missing")));
            }
        }
        match request.attributes.get("network").and_then(Value::as_str) {
            Some(network) if !self.objects.contains_key(network) => {
                Err(CallError::new(ErrorClass::Permanent, "network", format!("there is no network {network}")))
            }
            _ => Ok(()),
        }
    }

    fn update(&mut self, kind: &KindSchema, now_ms: u64, call: &Call, request: &UpdateRequest) -> Answer {
        if let Err(error) = check_attributes(kind, &request.attributes) {
            return Answer::Failed(error);
        }
        let Some(before) = self.objects.get(&request.id).map(|object| object.attributes.clone()) else {
            return gone(&request.id);
        };
        let after = self.complete(kind, &request.id, &request.attributes, &before);
        let Some(object) = self.objects.get_mut(&request.id) else {
            return gone(&request.id);
        };
        object.attributes = after;
        object.tags.extend(request.marks.clone());
        let answer = Answer::Object(answer_of(object));
        self.record(now_ms, EffectKind::Updated, call.address.to_string(), &request.id, &request.op_id);
        answer
    }

    fn delete(&mut self, now_ms: u64, id: &str) -> Answer {
        let uses_it = |object: &&SimObject| object.attributes.get("network").and_then(Value::as_str) == Some(id);
        if let Some(user) = self.objects.values().find(uses_it) {
            return failed(ErrorClass::Conflict, "in-use", format!("{id} is in use by {}", user.id));
        }
        let Some(object) = self.objects.remove(id) else {
            return gone(id);
        };
        self.nodes.remove(id);
        self.controllers.remove(id);
        let address = object.tags.get(ADDRESS_TAG).cloned().unwrap_or_default();
        let op_id = object.tags.get(OP_TAG).cloned().unwrap_or_default();
        self.record(now_ms, EffectKind::Deleted, address, id, &op_id);
        Answer::Done
    }

    /// All attributes of an object: what was asked for, else what it was, else what the cloud gives.
    fn complete(&self, kind: &KindSchema, id: &str, asked: &Value, before: &Value) -> Value {
        let attributes = kind.attributes.iter().map(|attribute| {
            let name: Arc<str> = attribute.name.into();
            let given = asked.get(&name).filter(|value| attribute.is_settable() && !(value.is_null() && attribute.is_computed()));
            let value = match (given, &attribute.presence) {
                (Some(value), _) => value.clone(),
                (None, Presence::Default(value)) => value.clone(),
                (None, Presence::Computed | Presence::OptionalComputed) => {
                    before.get(&name).filter(|value| !value.is_null()).cloned().unwrap_or_else(|| self.computed(kind, id, asked, &name))
                }
                (None, Presence::Required | Presence::Optional) => Value::NULL,
            };
            (name, value.marked(attribute.sensitive))
        });
        Value::object(attributes.collect::<Vec<_>>())
    }

    fn computed(&self, kind: &KindSchema, id: &str, asked: &Value, name: &str) -> Value {
        let number = id.rsplit('-').next().and_then(|digits| digits.parse::<u64>().ok()).unwrap_or(self.next);
        let own_name = asked.get("name").and_then(Value::as_str).unwrap_or(id);
        let ip = |first: u64| Value::from(format!("{first}.0.{}.{}", number / 250, number % 250 + 1));
        match name {
            "address" => format!("{id}.sim").into(),
            "uri" => format!("sim://{own_name}").into(),
            "zone" => ["zone-a", "zone-b"].get(usize::from(number % 2 == 1)).copied().unwrap_or_default().into(),
            "cidr" => format!("10.{}.0.0/16", number % 250).into(),
            "private_ip" => ip(10),
            "public_ip" => ip(198),
            "hostname" => own_name.into(),
            "ssh_command" => format!("cloudtik attach {own_name}").into(),
            "ssh" => Value::object([
                ("user", Value::from("sim")),
                ("port", 22_u64.into()),
                ("run_step", Value::list(["cloudtik", "node", "run-step"].map(Value::from))),
                ("artifacts", "/artifacts".into()),
            ]),
            "node" if kind.name == INSTANCE_KIND => node_value(id, number, own_name, ip(10), asked),
            _ => Value::NULL,
        }
    }
}

fn node_value(id: &str, number: u64, name: &str, address: Value, asked: &Value) -> Value {
    let dirs = ["artifacts", "conf", "data", "home", "logs", "packages", "root", "run", "tmp"];
    let of = |attribute: &str, default: u64| asked.get(attribute).and_then(Value::as_number).and_then(|n| n.as_u64()).unwrap_or(default);
    Value::object([
        ("id", Value::from(id)),
        ("sequence", number.into()),
        ("address", address),
        ("names", Value::list([Value::from(name)])),
        ("dirs", Value::map(dirs.map(|dir| (dir, Value::from(if dir == "root" { "/".to_owned() } else { format!("/{dir}") }))))),
        ("cores", of("cpus", 2).into()),
        ("memory", of("memory_gib", 4).saturating_mul(1024).into()),
        ("zone", "zone-a".into()),
    ])
}

/// A worker has the number that its mark says.
fn with_sequence(attributes: Value, number: u64) -> Value {
    let (Some(all), Some(node)) = (attributes.entries(), attributes.get("node").and_then(Value::entries)) else { return attributes };
    let (mut all, mut node) = (all.clone(), node.clone());
    node.insert("sequence".into(), number.into());
    all.insert("node".into(), Value::object(node));
    Value::object(all)
}

fn check_attributes(kind: &KindSchema, attributes: &Value) -> Result<(), CallError> {
    let refuse = |text: String| Err(CallError::new(ErrorClass::Permanent, "attributes", text));
    if !attributes.is_known() {
        return refuse("a request must be known".to_owned());
    }
    let given: BTreeSet<&str> = attributes.entries().map(|items| items.keys().map(|name| &**name).collect()).unwrap_or_default();
    if let Some(stranger) = given.iter().find(|name| kind.attribute(name).is_none_or(|attribute| !attribute.is_settable())) {
        return refuse(format!("`{stranger}` is no attribute of {} that can be set", kind.name));
    }
    let missing = kind
        .attributes
        .iter()
        .find(|attribute| attribute.presence == Presence::Required && attributes.get(attribute.name).is_none_or(Value::is_null));
    match missing {
        Some(attribute) => refuse(format!("{} needs `{}`", kind.name, attribute.name)),
        None => Ok(()),
    }
}

/// Everything in a request that a repeat must have in common with the first.
pub(crate) fn digest_of(request: &CreateRequest) -> Digest {
    let secrets: BTreeMap<&String, (&String, Digest)> =
        request.secrets.iter().map(|(name, secret)| (name, (&secret.public, Digest::of(&secret.private)))).collect();
    Digest::of(format!(
        "{} {} {:?} {} {secrets:?} {:?}",
        request.op_id,
        request.token,
        request.tags,
        request.attributes.to_json(),
        request.batch
    ))
}

fn facts(questions: &[FactQuestion]) -> BTreeMap<String, Value> {
    let answer = |question: &FactQuestion| match question.question.as_str() {
        "zones" => Value::list(["zone-a", "zone-b"].map(Value::from)),
        "account" => Value::from("sim"),
        _ => Value::NULL,
    };
    questions.iter().map(|question| (question.key.clone(), answer(question))).collect()
}

pub(crate) fn answer_of(object: &SimObject) -> ObjectAnswer {
    ObjectAnswer { id: object.id.clone(), attributes: object.attributes.clone() }
}

/// With what was published among the marks: attributes are what was asked for and made, and a status is neither.
fn found_of(object: &SimObject) -> Found {
    let mut tags = object.tags.clone();
    tags.extend(object.status.iter().map(|(key, value)| (format!("{STATUS_PREFIX}{key}"), value.clone())));
    Found { object: answer_of(object), tags }
}

pub(crate) fn failed(class: ErrorClass, code: &str, message: String) -> Answer {
    Answer::Failed(CallError::new(class, code, message))
}

fn gone_error(id: &str) -> CallError {
    CallError::new(ErrorClass::Gone, "gone", format!("there is no object {id}"))
}

fn gone(id: &str) -> Answer {
    Answer::Failed(gone_error(id))
}
