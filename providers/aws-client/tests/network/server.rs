//! A server that speaks enough of AWS, and clients of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cloudtik_model::{Address, ProviderRef, Value};
use cloudtik_provider_api::{Answer, Call, CallError, Cloud, CreateRequest, FactQuestion, Found, ObjectAnswer, UpdateRequest, Verb};

/// How long what was made may stay invisible.
const VISIBLE: Duration = Duration::from_secs(10);

/// The server, until it is dropped.
pub(crate) struct Moto {
    server: cloudtik_aws_testing::Moto,
    folder: PathBuf,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Moto {
    /// Starts one; `None` where there is none, which was said.
    pub(crate) fn start(test: &str) -> Option<Self> {
        let server = cloudtik_aws_testing::Moto::start_or_say(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
        let folder = std::env::temp_dir().join(format!("cloudtik-aws-client-{test}-{}", server.address().port()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config"), "[default]\naws_access_key_id = test\naws_secret_access_key = test\n").unwrap();
        Some(Self { server, folder })
    }

    /// A client in a region, of an account or of the one that the server begins with.
    pub(crate) fn connect(&self, region: &str, account: Option<&str>) -> Client {
        let file = self.folder.join("config").display().to_string();
        let mut config = vec![
            ("region", Value::from(region)),
            ("endpoint_url", Value::from(format!("http://{}", self.server.address()).as_str())),
            ("shared_config_files", Value::list([Value::from(file.as_str())])),
        ];
        if let Some(account) = account {
            let arn = format!("arn:aws:iam::{account}:role/other");
            config.push(("assume_role", Value::object([("role_arn", Value::from(arn.as_str()))])));
        }
        Client { cloud: cloudtik_aws_client::connect(&Value::object(config)).unwrap() }
    }
}

/// What there is once it can be seen, which may take a moment after a create.
fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + VISIBLE;
    loop {
        let seen = look();
        if seen.is_some() || Instant::now() > end {
            return seen;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A client whose calls are short to write.
pub(crate) struct Client {
    cloud: Arc<dyn Cloud>,
}

impl Client {
    /// The answer to a call.
    pub(crate) fn call(&self, kind: &str, verb: Verb) -> Answer {
        let call = Call { provider: ProviderRef::new("aws"), address: Address::of(kind, "test"), kind: kind.into(), verb, limit: None };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.cloud.call(call))
    }

    /// Makes an object.
    pub(crate) fn try_create(&self, kind: &str, op: &str, attributes: Value) -> Result<ObjectAnswer, CallError> {
        self.try_create_of(None, kind, op, attributes)
    }

    /// The same, of a cluster.
    pub(crate) fn try_create_of(&self, cluster: Option<&str>, kind: &str, op: &str, attributes: Value) -> Result<ObjectAnswer, CallError> {
        let cluster = cluster.map(|cluster| ("cloudtik:cluster".to_owned(), cluster.to_owned()));
        let request = CreateRequest {
            op_id: op.to_owned(),
            token: op.to_owned(),
            epoch: 1,
            tags: [
                ("cloudtik:op".to_owned(), op.to_owned()),
                ("cloudtik:workspace".to_owned(), "w".to_owned()),
                ("cloudtik:address".to_owned(), format!("{kind}.test[\"{op}\"]")),
            ]
            .into_iter()
            .chain(cluster)
            .collect(),
            attributes,
            secrets: BTreeMap::new(),
            batch: None,
        };
        match self.call(kind, Verb::Create(request)) {
            Answer::Object(object) => Ok(object),
            Answer::Failed(error) => Err(error),
            other => panic!("{kind}: create: {other:?}"),
        }
    }

    /// Makes an object, and checks that it is found as the create said it is.
    pub(crate) fn create(&self, kind: &str, op: &str, attributes: Value) -> ObjectAnswer {
        let made = self.try_create(kind, op, attributes).unwrap_or_else(|error| panic!("{kind}: create: {error:?}"));
        let read = eventually(|| self.read(kind, &made.id));
        assert_eq!(read, Some(made.clone()), "{kind}: what a create answers is what a read finds");
        let found = self.list(kind, &[&made.id, "no-such-id"]);
        assert_eq!(found.iter().map(|found| &found.object.id).collect::<Vec<_>>(), [&made.id], "{kind}: list");
        // A list may leave out what never changes.
        let told = found.iter().filter_map(|found| found.object.attributes.entries()).flatten();
        told.for_each(|(name, told)| assert_eq!(made.attributes.get(name), Some(told), "{kind}: list: {name}"));
        made
    }

    /// The same, of a kind whose objects carry tags.
    pub(crate) fn create_tagged(&self, kind: &str, op: &str, attributes: Value) -> ObjectAnswer {
        let made = self.create(kind, op, attributes);
        for (key, value) in [("cloudtik:op", op.to_owned()), ("cloudtik:address", format!("{kind}.test[\"{op}\"]"))] {
            let found = self.find(kind, key, &value);
            assert_eq!(found.iter().map(|found| &found.object).collect::<Vec<_>>(), [&made], "{kind}: found by {key}");
            assert_eq!(found[0].tags.get("cloudtik:op").map(String::as_str), Some(op), "{kind}: marks");
        }
        assert_eq!(self.find(kind, "cloudtik:op", "no-such-op"), [], "{kind}: found by another op");
        made
    }

    /// One object.
    pub(crate) fn read(&self, kind: &str, id: &str) -> Option<ObjectAnswer> {
        match self.call(kind, Verb::Read { id: id.to_owned() }) {
            Answer::Read(object) => object,
            other => panic!("{kind}: read: {other:?}"),
        }
    }

    /// Many objects.
    pub(crate) fn list(&self, kind: &str, ids: &[&str]) -> Vec<Found> {
        let ids: BTreeSet<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        match self.call(kind, Verb::List { ids }) {
            Answer::Found(found) => found,
            other => panic!("{kind}: list: {other:?}"),
        }
    }

    /// Objects by tag.
    pub(crate) fn find(&self, kind: &str, key: &str, value: &str) -> Vec<Found> {
        match self.call(kind, Verb::FindByTag { key: key.to_owned(), value: value.to_owned() }) {
            Answer::Found(found) => found,
            other => panic!("{kind}: find: {other:?}"),
        }
    }

    /// Changes attributes, twice, and checks that they are what they shall be.
    pub(crate) fn update(&self, kind: &str, before: &ObjectAnswer, changes: &[(&str, Value)]) -> ObjectAnswer {
        let mut attributes = before.attributes.entries().unwrap().clone();
        attributes.extend(changes.iter().map(|(name, value)| (Arc::from(*name), value.clone())));
        let request = UpdateRequest {
            id: before.id.clone(),
            op_id: "update".to_owned(),
            epoch: 1,
            changed: changes.iter().map(|(name, _)| (*name).to_owned()).collect(),
            attributes: Value::object(attributes),
            before: before.attributes.clone(),
            marks: std::collections::BTreeMap::new(),
        };
        let mut updated = None;
        for _ in 0..2 {
            match self.call(kind, Verb::Update(request.clone())) {
                Answer::Object(object) => updated = Some(object),
                other => panic!("{kind}: update: {other:?}"),
            }
        }
        let updated = updated.unwrap();
        for (name, value) in changes {
            assert_eq!(updated.attributes.get(name), Some(value), "{kind}: update of {name}");
        }
        updated
    }

    /// The error of a call that is refused, or `None`.
    pub(crate) fn delete(&self, kind: &str, id: &str) -> Option<CallError> {
        match self.call(kind, Verb::Delete { id: id.to_owned(), data: false }) {
            Answer::Done => None,
            Answer::Failed(error) => Some(error),
            other => panic!("{kind}: delete: {other:?}"),
        }
    }

    /// Answers to questions, each under its own name.
    pub(crate) fn facts(&self, questions: &[(&str, Value)]) -> Result<BTreeMap<String, Value>, CallError> {
        let question = |(question, arguments): &(&str, Value)| FactQuestion {
            key: (*question).to_owned(),
            question: (*question).to_owned(),
            arguments: arguments.clone(),
            pin: false,
        };
        match self.call("aws_vpc", Verb::Facts(questions.iter().map(question).collect())) {
            Answer::Facts(facts) => Ok(facts),
            Answer::Failed(error) => Err(error),
            other => panic!("facts: {other:?}"),
        }
    }
}
