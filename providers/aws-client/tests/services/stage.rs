//! A server that answers like AWS, and the life of one object against it.

#![allow(dead_code, reason = "every test uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use cloudtik_aws::{aws_schema, kinds};
use cloudtik_aws_testing::{Config, Proxy};
use cloudtik_model::{Address, ProviderRef, Value};
use cloudtik_provider_api::{
    Answer, Call, CallError, Cloud, CreateRequest, ErrorClass, Found, KindSchema, ObjectAnswer, Presence, UpdateRequest, Verb,
};

/// Kinds whose names the server gives twice, and AWS does not.
const TAKEN_TWICE: [&str; 3] = [kinds::DB_SUBNET_GROUP, kinds::LB, kinds::CLOUDFORMATION_STACK];

const OP_TAG: &str = "cloudtik:op";
const LINEAGE_TAG: &str = "cloudtik:lineage";

/// The server, as long as a test needs it.
struct Moto {
    server: cloudtik_aws_testing::Moto,
    profile: PathBuf,
}

/// Tests that run at once share one.
static SHARED: Mutex<Weak<Moto>> = Mutex::new(Weak::new());

impl Moto {
    /// `None` where there is none, which was said.
    fn shared() -> Option<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap();
        if let Some(moto) = shared.upgrade() {
            return Some(moto);
        }
        let moto = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&moto);
        Some(moto)
    }

    fn start() -> Option<Self> {
        let server = cloudtik_aws_testing::Moto::start_or_say(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
        let profile = std::env::temp_dir().join(format!("cloudtik-aws-client-{}", server.address().port()));
        std::fs::write(&profile, "[default]\naws_access_key_id = x\naws_secret_access_key = x\n").unwrap();
        Some(Self { server, profile })
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.profile));
    }
}

/// A cloud to test.
pub(crate) struct Stage {
    cloud: Arc<dyn Cloud>,
    config: Value,
    runtime: tokio::runtime::Runtime,
    moto: Arc<Moto>,
}

static COUNT: AtomicU64 = AtomicU64::new(1);

impl Stage {
    /// `None` where there is no server.
    pub(crate) fn open() -> Option<Self> {
        Self::in_region("us-west-2")
    }

    /// The same in another region.
    pub(crate) fn in_region(region: &str) -> Option<Self> {
        let moto = Moto::shared()?;
        let address = moto.server.address();
        Some(Self::of(moto, address, region))
    }

    /// A cloud, and the proxy that its requests go through.
    pub(crate) fn behind_proxy(config: Config) -> Option<(Self, Proxy)> {
        let moto = Moto::shared()?;
        let proxy = Proxy::start(moto.server.address(), config).unwrap();
        let address = proxy.address();
        Some((Self::of(moto, address, "us-west-2"), proxy))
    }

    fn of(moto: Arc<Moto>, address: SocketAddr, region: &str) -> Self {
        let config = Value::object([
            ("region", Value::from(region)),
            ("endpoint_url", Value::from(format!("http://{address}"))),
            ("shared_config_files", Value::list([Value::from(moto.profile.to_string_lossy().into_owned())])),
            ("profile", "default".into()),
        ]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { cloud: cloudtik_aws_client::connect(&config).unwrap(), config, runtime, moto }
    }

    /// Another connection, which knows nothing of what the one before learnt.
    pub(crate) fn reconnect(&mut self) {
        self.cloud = cloudtik_aws_client::connect(&self.config).unwrap();
    }

    /// Another port of the server's machine: where somebody listens.
    pub(crate) fn port(&self) -> u16 {
        self.moto.server.address().port()
    }

    pub(crate) fn cloud(&self) -> &dyn Cloud {
        &*self.cloud
    }

    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(crate) fn call(&self, kind: &str, verb: Verb) -> Answer {
        let call = Call { provider: ProviderRef::new("aws"), address: Address::of("test", "x"), kind: kind.into(), verb, limit: None };
        self.wait(self.cloud.call(call))
    }

    /// A create of attributes, with the defaults of the kind, and with marks.
    pub(crate) fn request(&self, kind: &str, attributes: &Value) -> CreateRequest {
        let op_id = format!("run-1:{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let marks = [(OP_TAG, &*op_id), (LINEAGE_TAG, "l"), ("cloudtik:address", "test.x[\"a b\"]")];
        CreateRequest {
            token: op_id.clone(),
            epoch: 5,
            tags: marks.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            attributes: with_defaults(kind, attributes),
            secrets: BTreeMap::new(),
            batch: None,
            op_id,
        }
    }

    pub(crate) fn create(&self, kind: &str, attributes: &Value) -> ObjectAnswer {
        let request = self.request(kind, attributes);
        made(self.call(kind, Verb::Create(request)))
    }

    pub(crate) fn delete(&self, kind: &str, id: &str) {
        assert_eq!(self.call(kind, Verb::Delete { id: id.to_owned(), data: false }), Answer::Done, "{kind} {id}");
    }

    /// The same, with what it holds.
    pub(crate) fn delete_with_data(&self, kind: &str, id: &str) {
        assert_eq!(self.call(kind, Verb::Delete { id: id.to_owned(), data: true }), Answer::Done, "{kind} {id}");
    }

    pub(crate) fn list(&self, kind: &str, ids: &[&str]) -> Vec<Found> {
        let ids: BTreeSet<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        found(self.call(kind, Verb::List { ids }))
    }

    /// The whole life of an object: it is made, found in every way, taken once only, changed and removed. What is left out of `changes`
    /// stays.
    pub(crate) fn live(&self, kind: &str, attributes: &Value, changes: &Value) {
        let request = self.request(kind, attributes);
        let object = made(self.call(kind, Verb::Create(request.clone())));
        self.check_looks(kind, &request, &object);
        let object = self.check_update(kind, &request, &object, changes);
        self.delete(kind, &object.id);
        assert_eq!(self.list(kind, &[&object.id]), [], "{kind} is there after its delete");
        assert_eq!(self.call(kind, Verb::Read { id: object.id }), Answer::Read(None));
    }

    fn check_looks(&self, kind: &str, request: &CreateRequest, object: &ObjectAnswer) {
        let (schema, id) = (schema(kind), object.id.as_str());
        check_asked(&schema, &request.attributes, &object.attributes);
        // One that is not there beside it changes nothing.
        let one = self.list(kind, &[id, &another(id)]);
        assert_eq!(one.len(), 1, "{kind} {id}");
        check_same(&object.attributes, &one[0].object.attributes);
        check_planned(&schema, &request.attributes, &one[0].object.attributes);
        if schema.attribute("tags").is_some() {
            assert!(request.tags.iter().all(|(name, value)| one[0].tags.get(name) == Some(value)), "{kind}: {:?}", one[0].tags);
            let verb = Verb::FindByTag { key: OP_TAG.to_owned(), value: request.op_id.clone() };
            let by_tag: Vec<String> = found(self.call(kind, verb)).into_iter().map(|found| found.object.id).collect();
            assert_eq!(by_tag, [id], "{kind} by tag");
            let other = Verb::FindByTag { key: OP_TAG.to_owned(), value: "another".to_owned() };
            assert_eq!(found(self.call(kind, other)), [], "{kind} by another tag");
        }
        if let Some(name) = schema.unique_name.and_then(|name| request.attributes.get(name)).and_then(Value::as_str) {
            let by_name = found(self.call(kind, Verb::FindByName { name: name.to_owned() }));
            assert_eq!(by_name.iter().map(|found| &*found.object.id).collect::<Vec<_>>(), [id], "{kind} by name");
            assert_eq!(found(self.call(kind, Verb::FindByName { name: "cloudtik-nobody".to_owned() })), [], "{kind} by another name");
            if TAKEN_TWICE.contains(&kind) {
                return;
            }
            let second = self.request(kind, &request.attributes);
            let error = failed(self.call(kind, Verb::Create(second)));
            assert_eq!(error.class, ErrorClass::Conflict, "{kind}: {error}");
        }
    }

    fn check_update(&self, kind: &str, request: &CreateRequest, object: &ObjectAnswer, changes: &Value) -> ObjectAnswer {
        let mut after = request.attributes.entries().cloned().unwrap();
        after.extend(changes.entries().cloned().unwrap());
        let update = UpdateRequest {
            id: object.id.clone(),
            op_id: format!("{}-update", request.op_id),
            epoch: 5,
            changed: changes.entries().unwrap().keys().map(ToString::to_string).collect(),
            attributes: Value::object(after),
            before: object.attributes.clone(),
            marks: std::collections::BTreeMap::new(),
        };
        if update.changed.is_empty() {
            return object.clone();
        }
        let answer = made(self.call(kind, Verb::Update(update.clone())));
        check_asked(&schema(kind), &update.attributes, &answer.attributes);
        let one = self.list(kind, &[&answer.id]);
        assert_eq!(one.len(), 1, "{kind} after its update");
        check_planned(&schema(kind), &update.attributes, &one[0].object.attributes);
        if schema(kind).attribute("tags").is_some() {
            let (name, value) = (OP_TAG, &request.op_id);
            assert_eq!(one[0].tags.get(name), Some(value), "an update of {kind} loses marks");
        }
        answer
    }
}

/// An id of the same form that nothing has.
fn another(id: &str) -> String {
    let last = if id.ends_with('0') { "f" } else { "0" };
    let mut other = id.to_owned();
    other.pop();
    other + last
}

fn schema(kind: &str) -> KindSchema {
    aws_schema().kinds.remove(kind).unwrap()
}

/// As a plan does it.
fn with_defaults(kind: &str, attributes: &Value) -> Value {
    let mut all = attributes.entries().cloned().unwrap();
    for attribute in schema(kind).attributes {
        if let Presence::Default(value) = attribute.presence {
            all.entry(attribute.name.into()).or_insert(value);
        }
    }
    Value::object(all)
}

/// What was asked for comes out, and every attribute of the kind is there.
fn check_asked(schema: &KindSchema, asked: &Value, answered: &Value) {
    for attribute in &schema.attributes {
        let answered = answered.get(attribute.name).unwrap_or_else(|| panic!("{} has no `{}`", schema.name, attribute.name));
        if let Some(asked) = asked.get(attribute.name).filter(|asked| !asked.is_null()) {
            assert!(agrees(asked, answered), "{} `{}`: asked {asked:?}, answered {answered:?}", schema.name, attribute.name);
        }
    }
}

/// What a look tells is what the create told.
fn check_same(made: &Value, told: &Value) {
    for (name, told) in told.entries().unwrap() {
        assert_eq!(made.get(name).cloned().map(Value::unmarked), Some(told.clone().unmarked()), "`{name}`");
    }
}

/// A plan of the same attributes has nothing to do.
fn check_planned(schema: &KindSchema, asked: &Value, told: &Value) {
    for attribute in schema.attributes.iter().filter(|attribute| attribute.is_settable()) {
        let Some(told) = told.get(attribute.name) else { continue };
        let asked = asked.get(attribute.name).cloned().unwrap_or(Value::NULL);
        let may_be_chosen = attribute.presence == Presence::OptionalComputed;
        let is_same = if asked.is_null() { told.is_null() || may_be_chosen } else { agrees(&asked, told) };
        assert!(is_same, "{} `{}`: asked {asked:?}, told {told:?}", schema.name, attribute.name);
    }
}

fn agrees(asked: &Value, answered: &Value) -> bool {
    if let (Some(asked), Some(answered)) = (asked.entries(), answered.entries()) {
        return asked.iter().all(|(name, asked)| answered.get(name).map_or(asked.is_null(), |answered| agrees(asked, answered)));
    }
    if let (Some(asked), Some(answered)) = (asked.elements(), answered.elements()) {
        return asked.len() == answered.len() && asked.zip(answered).all(|(asked, answered)| agrees(asked, answered));
    }
    asked.clone().unmarked() == answered.clone().unmarked()
}

pub(crate) fn made(answer: Answer) -> ObjectAnswer {
    match answer {
        Answer::Object(object) => object,
        other => panic!("no object: {other:?}"),
    }
}

pub(crate) fn found(answer: Answer) -> Vec<Found> {
    match answer {
        Answer::Found(found) => found,
        other => panic!("nothing found: {other:?}"),
    }
}

pub(crate) fn failed(answer: Answer) -> CallError {
    match answer {
        Answer::Failed(error) => error,
        other => panic!("no error: {other:?}"),
    }
}
