//! Questions to the world that a plan needs: facts, and what the objects of the state are now. All of them are read-only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use cloudtik_compiler::Providers;
use cloudtik_controller_client::{ControllerId, ControllerProvider};
use cloudtik_executor::driver::Clouds;
use cloudtik_model::{Address, Diagnostic, ProviderRef, State, Value};
use cloudtik_planner::Observation;
use cloudtik_provider_api::{
    Answer, CLUSTER_TAG, CONTROLLER_PROVIDER, Call, CallError, DATA_QUESTION, FactQuestion, Facts, Found, HEAD_CONTROLLER_KIND,
    Idempotency, ObjectAnswer, Provider, ProviderSchema, ROLE_TAG, Verb, WORKER_ROLE,
};

use crate::Failure;
use crate::around::{Around, AroundReach};

/// The attribute of a configuration that is a folder, and relative to the project.
const ROOT: &str = "root";

/// The clouds of a run: every configuration of the spec, and those that made what is in the state. The one that speaks to controllers makes
/// its calls through the same clouds.
pub(crate) fn clouds<'a>(
    providers: &Providers,
    configs: impl Iterator<Item = (&'a ProviderRef, &'a Value)>,
    folder: &Path,
    around: &Arc<Around>,
) -> Arc<Clouds> {
    Arc::new_cyclic(|clouds| {
        let reach = AroundReach::new(clouds.clone(), Arc::clone(around));
        let controller: Arc<dyn Provider> = Arc::new(ControllerProvider::with_reach(Arc::new(reach)));
        let configured = configs.filter_map(|(name, config)| {
            let provider = if name.provider_type() == CONTROLLER_PROVIDER { &controller } else { providers.get(name.provider_type())? };
            Some((name.clone(), (Arc::clone(provider), absolute(config, folder))))
        });
        Clouds::new(configured.collect())
    })
}

/// The configuration with its folder made absolute.
fn absolute(config: &Value, folder: &Path) -> Value {
    let (Some(root), Some(entries)) = (config.get(ROOT).and_then(Value::as_str), config.entries()) else { return config.clone() };
    let root = folder.join(root).display().to_string();
    let others = entries.iter().filter(|(name, _)| &***name != ROOT).map(|(name, value)| (Arc::clone(name), value.clone()));
    Value::object(others.chain(std::iter::once((Arc::from(ROOT), Value::from(root)))))
}

/// Makes calls that only look. The runtime lives as long as this.
pub(crate) struct World<'a> {
    pub(crate) clouds: &'a Arc<Clouds>,
    pub(crate) schemas: &'a BTreeMap<String, ProviderSchema>,
    pub(crate) around: &'a Around,
}

impl World<'_> {
    /// Answers to questions, of all providers at once.
    pub(crate) fn facts(&self, questions: &BTreeMap<ProviderRef, Vec<FactQuestion>>) -> Result<Facts, Failure> {
        let of = |provider: &ProviderRef, kind: &str, verb| Call {
            provider: provider.clone(),
            address: Address::of("provider", provider.as_str()),
            kind: kind.into(),
            verb,
            limit: None,
        };
        let mut calls = Vec::new();
        let mut looked_up = Vec::new();
        for (provider, questions) in questions {
            let (data, own): (Vec<_>, Vec<_>) = questions.iter().cloned().partition(|question| question.question == DATA_QUESTION);
            for question in data {
                let lookup = self.lookup(provider, &question)?;
                calls.push(of(provider, &lookup.kind, lookup.verb.clone()));
                looked_up.push(lookup);
            }
            if !own.is_empty() {
                calls.push(of(provider, "facts", Verb::Facts(own)));
            }
        }
        let mut looked_up = looked_up.into_iter();
        let mut facts = Facts::new();
        for (call, answer) in self.all(calls)? {
            match answer {
                Answer::Facts(answers) => facts.extend(answers),
                Answer::Found(found) => {
                    let objects = found.into_iter().map(|found| found.object);
                    facts.extend(looked_up.next().map(|lookup| lookup.answer(objects)));
                }
                Answer::Read(object) => facts.extend(looked_up.next().map(|lookup| lookup.answer(object))),
                Answer::Failed(error) => return Err(refused(&call, &error)),
                _ => return Err(strange(&call)),
            }
        }
        Ok(facts)
    }

    /// The search that answers a `data` block: by id, else by the name that only one can have, else by the first tag.
    fn lookup(&self, provider: &ProviderRef, question: &FactQuestion) -> Result<Lookup, Failure> {
        let nothing = || Failure::plain(Diagnostic::error("data", format!("nothing says how to look for `{}`", question.key)));
        let kind = question.arguments.get("kind").and_then(Value::as_str).ok_or_else(nothing)?;
        let wanted = question.arguments.get("match").cloned().unwrap_or(Value::NULL);
        let schema = self.schemas.get(provider.provider_type()).and_then(|schema| schema.kinds.get(kind)).ok_or_else(nothing)?;
        let text = |name: &str| wanted.get(name).and_then(Value::as_str).map(str::to_owned);
        let unique = schema.unique_name.filter(|_| schema.class == Idempotency::UniqueName);
        let tag = || {
            wanted.get("tags").and_then(Value::entries)?.iter().find_map(|(key, value)| Some((key.to_string(), value.as_str()?.to_owned())))
        };
        let verb = if let Some(id) = text("id") {
            Verb::Read { id }
        } else if let Some(name) = unique.and_then(text) {
            Verb::FindByName { name }
        } else {
            let (key, value) = tag().ok_or_else(nothing)?;
            Verb::FindByTag { key, value }
        };
        Ok(Lookup { key: question.key.clone(), kind: kind.to_owned(), verb, wanted })
    }

    /// What the objects of a state are now: one call for all of a kind. What a controller follows stands on its head, so heads come first.
    pub(crate) fn observe(&self, state: &State) -> Result<BTreeMap<Address, Observation>, Failure> {
        let mut kinds: BTreeMap<(ProviderRef, Arc<str>), BTreeMap<String, Address>> = BTreeMap::new();
        for (address, entry) in &state.resources {
            let Some(object) = &entry.current else { continue };
            let schema = self.schemas.get(entry.provider.provider_type()).and_then(|schema| schema.kinds.get(&*entry.kind));
            if schema.is_some_and(|schema| schema.class != Idempotency::Pure) {
                kinds.entry((entry.provider.clone(), Arc::clone(&entry.kind))).or_default().insert(object.id.clone(), address.clone());
            }
        }
        self.around.forget();
        let calls = kinds.iter().filter_map(|((provider, kind), ids)| {
            let ids_wanted: BTreeSet<String> = ids.keys().cloned().collect();
            let address = ids.values().next()?.clone();
            Some(Call { provider: provider.clone(), address, kind: Arc::clone(kind), verb: Verb::List { ids: ids_wanted }, limit: None })
        });
        let (of_controllers, others): (Vec<Call>, Vec<Call>) = calls.partition(|call| call.provider.provider_type() == CONTROLLER_PROVIDER);
        let mut observed = BTreeMap::new();
        for calls in [others, of_controllers] {
            for (call, answer) in self.all(calls)? {
                let Some(ids) = kinds.get(&(call.provider.clone(), Arc::clone(&call.kind))) else { continue };
                let found = match answer {
                    Answer::Found(found) => found,
                    Answer::Failed(error) => return Err(refused(&call, &error)),
                    _ => return Err(strange(&call)),
                };
                observed.extend(ids.values().map(|address| (address.clone(), Observation::Gone)));
                for found in found {
                    self.around.saw(&found);
                    if let Some(address) = ids.get(&found.object.id) {
                        observed.insert(address.clone(), Observation::Present(whole(found.object, address, state)));
                    }
                }
            }
        }
        Ok(observed)
    }

    /// The workers of clusters whose head is gone, as notes: the head that is made anew takes them over.
    pub(crate) fn adoptions(&self, state: &State, observed: &BTreeMap<Address, Observation>) -> Result<Vec<String>, Failure> {
        let controllers = state.resources.iter().filter(|(_, entry)| &*entry.kind == HEAD_CONTROLLER_KIND);
        let lost = controllers.filter_map(|(address, entry)| {
            let object = entry.current.as_ref()?;
            let head = address.block().child("head");
            observed.get(&head).filter(|seen| matches!(seen, Observation::Gone))?;
            let provider = state.providers.get(&entry.provider)?.get("provider")?.as_str()?;
            let kind = object.attributes.get("kind")?.as_str()?;
            let uid = ControllerId::parse(&object.id).ok()?.uid;
            let verb = Verb::FindByTag { key: CLUSTER_TAG.to_owned(), value: uid };
            Some(Call { provider: ProviderRef::new(provider), address: address.clone(), kind: kind.into(), verb, limit: None })
        });
        let mut notes = Vec::new();
        for (call, answer) in self.all(lost.collect())? {
            match answer {
                Answer::Found(found) => notes.extend(found.iter().filter_map(adoption)),
                Answer::Failed(error) => return Err(refused(&call, &error)),
                _ => return Err(strange(&call)),
            }
        }
        Ok(notes)
    }

    /// Makes calls at once and waits for all answers.
    pub(crate) fn all(&self, calls: Vec<Call>) -> Result<Vec<(Call, Answer)>, Failure> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        cloudtik_executor::driver::call_all(self.clouds, calls)
            .map_err(|error| Failure::plain(Diagnostic::error("runtime", error.to_string())).of(crate::FailureKind::Fault))
    }
}

/// A search for what a `data` block means.
struct Lookup {
    key: String,
    kind: String,
    verb: Verb,
    wanted: Value,
}

impl Lookup {
    /// The key, and the objects that are in every way as they shall be.
    fn answer(&self, found: impl IntoIterator<Item = ObjectAnswer>) -> (String, Value) {
        let is_so = |object: &ObjectAnswer| {
            let wanted = self.wanted.entries().into_iter().flatten();
            wanted.into_iter().all(|(name, value)| object.attributes.get(name).is_some_and(|is| holds(is, value)))
        };
        let objects = found.into_iter().filter(is_so);
        (self.key.clone(), Value::tuple(objects.map(|object| with_id(&object)).collect::<Vec<_>>()))
    }
}

/// Whether a value is what was asked for; a map that was asked for may have more.
fn holds(is: &Value, wanted: &Value) -> bool {
    match (is.entries(), wanted.entries()) {
        (Some(is), Some(wanted)) => wanted.iter().all(|(name, value)| is.get(name) == Some(value)),
        _ => is == wanted,
    }
}

/// The attributes of an object with its id.
fn with_id(object: &ObjectAnswer) -> Value {
    let attributes = object.attributes.entries().into_iter().flatten().map(|(name, value)| (Arc::clone(name), value.clone()));
    Value::object(attributes.chain([(Arc::from("id"), Value::from(object.id.as_str()))]))
}

/// What is said of a worker that outlived its head.
fn adoption(found: &Found) -> Option<String> {
    let is_worker = found.tags.get(ROLE_TAG).is_some_and(|role| role == WORKER_ROLE);
    let address = found.tags.get("cloudtik:address").unwrap_or(&found.object.id);
    is_worker.then(|| format!("{address} ({}) is adopted by the new head", found.object.id))
}

/// What a look leaves out is as the state has it: the controller of a head tells what it follows, not what it was told, and a cloud keeps
/// secrets to itself.
fn whole(found: ObjectAnswer, address: &Address, state: &State) -> ObjectAnswer {
    let known = state.resources.get(address).and_then(|entry| entry.current.as_ref()?.attributes.entries());
    let (Some(known), Some(told)) = (known, found.attributes.entries()) else { return found };
    let mut all = known.clone();
    all.extend(told.clone());
    ObjectAnswer { attributes: Value::object(all), ..found }
}

/// What is said when a provider does not answer.
pub(crate) fn refused(call: &Call, error: &CallError) -> Failure {
    let what = match &call.verb {
        Verb::Facts(_) => "what a plan must know".to_owned(),
        _ => format!("the objects of kind `{}`", call.kind),
    };
    Failure::plain(
        Diagnostic::error("provider", format!("provider `{}` does not tell {what}: {}", call.provider, error.message))
            .maybe_help(error.help.clone()),
    )
}

pub(crate) fn strange(call: &Call) -> Failure {
    let title = format!("provider `{}` answered `{}` with something else", call.provider, call.verb.as_str());
    Failure::plain(Diagnostic::error("provider", title)).of(crate::FailureKind::Fault)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use cloudtik_model::{Object, StateEntry};
    use cloudtik_provider_api::{BoxFuture, Cloud, Connection, DialTarget, HEAD_ROLE, STATUS_PREFIX, WORKER_GROUP_KIND, controller_schema};

    use super::*;
    use crate::providers::with_controller;

    const UID: &str = "l/w/c";

    /// A provider whose instances are a list.
    #[derive(Clone)]
    struct Listed {
        schema: ProviderSchema,
        instances: Arc<Mutex<Vec<Found>>>,
    }

    impl Provider for Listed {
        fn name(&self) -> &'static str {
            "listed"
        }

        fn schema(&self) -> &ProviderSchema {
            &self.schema
        }

        fn connect(&self, _: &Value) -> Result<Arc<dyn Cloud>, CallError> {
            Ok(Arc::new(self.clone()))
        }
    }

    impl Cloud for Listed {
        fn call(&self, call: Call) -> BoxFuture<'_, Answer> {
            assert_eq!(&*call.kind, "listed_instance");
            Box::pin(std::future::ready(Answer::Found(self.instances.lock().unwrap().clone())))
        }

        fn dial(&self, _: DialTarget) -> BoxFuture<'_, Result<Connection, CallError>> {
            panic!("a plan opens no connection")
        }
    }

    fn instance(id: &str, role: &str, more: &[(&str, &str)]) -> Found {
        let tags = [(ROLE_TAG, role), ("cloudtik:address", "cluster.c.workers.g[7]")];
        let tags = tags.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Found { object: ObjectAnswer { id: id.to_owned(), attributes: Value::object::<&str>([]) }, tags }
    }

    fn state() -> State {
        let entry = |kind: &str, id: &str| StateEntry {
            kind: kind.into(),
            provider: ProviderRef::new("controller.listed"),
            current: Some(Object {
                id: id.to_owned(),
                attributes: Value::object([
                    ("digest", Value::from("old")),
                    ("document", Value::from("{}")),
                    ("kind", Value::from("listed_instance")),
                ]),
                desired: Value::NULL,
                schema_version: 1,
                op_id: String::new(),
                undo: None,
                public_keys: BTreeMap::new(),
                took_ms: None,
                tainted: false,
            }),
            deposed: BTreeMap::new(),
            depends_on: BTreeSet::new(),
            create_before_destroy: false,
        };
        let resources = [
            ("cluster.c.head_controller", entry(HEAD_CONTROLLER_KIND, &format!("{UID}#3"))),
            ("cluster.c.workers.g", entry(WORKER_GROUP_KIND, &format!("{UID}#3/g"))),
        ];
        let providers = [
            (ProviderRef::new("controller.listed"), Value::object([("provider", Value::from("listed"))])),
            (ProviderRef::new("listed"), Value::object::<&str>([])),
        ];
        State {
            resources: resources.into_iter().map(|(address, entry)| (address.parse().unwrap(), entry)).collect(),
            providers: providers.into_iter().collect(),
            ..State::default()
        }
    }

    /// What is observed of the controller and of the group, and the notes, with these instances and a head that is there or gone.
    fn look(instances: Vec<Found>, head_gone: bool) -> (Option<Value>, bool, Vec<String>) {
        let schema = ProviderSchema { version: 1, config: Vec::new(), kinds: BTreeMap::new() };
        let listed: Arc<dyn Provider> = Arc::new(Listed { schema, instances: Arc::new(Mutex::new(instances)) });
        let providers = with_controller([("listed", listed)].into_iter().collect());
        let schemas = Arc::new(BTreeMap::from([(CONTROLLER_PROVIDER.to_owned(), controller_schema())]));
        let folder = tempfile::tempdir().unwrap();
        let data = cloudtik_executor::durable::DataDir::new(folder.path(), None);
        let vault = cloudtik_executor::durable::Vault::of(&data, Box::new(cloudtik_executor::durable::OsEntropy));
        let around = Around::new(vault, Arc::clone(&schemas));
        let state = state();
        let clouds = clouds(&providers, state.providers.iter(), folder.path(), &around);
        let world = World { clouds: &clouds, schemas: &schemas, around: &around };
        let mut observed = world.observe(&state).unwrap();
        let attributes = match &observed[&"cluster.c.head_controller".parse::<Address>().unwrap()] {
            Observation::Present(object) => Some(object.attributes.clone()),
            Observation::Gone => None,
        };
        let group = matches!(observed[&"cluster.c.workers.g".parse::<Address>().unwrap()], Observation::Present(_));
        if head_gone {
            observed.insert("cluster.c.head".parse().unwrap(), Observation::Gone);
        }
        (attributes, group, world.adoptions(&state, &observed).unwrap())
    }

    #[test]
    fn a_controller_is_as_the_state_has_it_but_for_what_it_follows() {
        let published = [(&*format!("{STATUS_PREFIX}digest"), "new"), (&*format!("{STATUS_PREFIX}group.g"), "1/1/t")];
        let (attributes, group, notes) = look(vec![instance("i-h", HEAD_ROLE, &published)], false);
        let attributes = attributes.unwrap();
        assert_eq!(attributes.get("digest").and_then(Value::as_str), Some("new"));
        assert_eq!(attributes.get("document").and_then(Value::as_str), Some("{}"));
        assert!(group && notes.is_empty());
        // One that publishes other groups has not this one; one that published nothing yet is believed.
        let other = [(&*format!("{STATUS_PREFIX}digest"), "new")];
        assert!(!look(vec![instance("i-h", HEAD_ROLE, &other)], false).1);
        assert!(look(vec![instance("i-h", HEAD_ROLE, &[])], false).1);
    }

    #[test]
    fn what_a_cloud_does_not_tell_again_is_as_the_state_has_it() {
        let mut state = state();
        let address: Address = "cluster.c.head_controller".parse().unwrap();
        state.resources.get_mut(&address).unwrap().provider = ProviderRef::new("listed");
        let told = Value::object([("digest", Value::from("new")), ("kind", Value::NULL)]);
        let seen = super::whole(ObjectAnswer { id: "i".to_owned(), attributes: told }, &address, &state).attributes;
        assert_eq!((seen.get("digest"), seen.get("document")), (Some(&"new".into()), Some(&"{}".into())));
        assert!(seen.get("kind").is_some_and(Value::is_null));
    }

    #[test]
    fn workers_without_their_head_are_said_to_be_adopted() {
        let (attributes, group, notes) = look(vec![instance("i-7", WORKER_ROLE, &[])], true);
        assert!(attributes.is_some() && !group);
        assert_eq!(notes, ["cluster.c.workers.g[7] (i-7) is adopted by the new head"]);
        let (attributes, _, notes) = look(Vec::new(), true);
        assert!(attributes.is_none() && notes.is_empty());
    }
}
