//! The effectful half: calls of the two kinds, carried out by the controller of a head.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloudtik_model::{Address, ProviderRef, Value};
use cloudtik_provider_api::{
    Answer, BoxFuture, CLUSTER_TAG, Call, CallError, Cloud, Connection, DialTarget, ErrorClass, Found, HEAD_CONTROLLER_KIND, HEAD_ROLE,
    ObjectAnswer, ROLE_TAG, STATUS_PREFIX, Verb, WORKER_GROUP_KIND, WORKER_ROLE,
};

use crate::group::{Wanted, controller_address};
use crate::link::Link;
use crate::{ControllerId, HeadTarget, Reach};

/// What a controller is asked through, for one provider of nodes.
pub(crate) struct ControllerCloud {
    inner: Arc<Inner>,
}

/// What the calls share.
pub(crate) struct Inner {
    pub(crate) reach: Arc<dyn Reach>,
    /// The provider of the nodes.
    pub(crate) provider: ProviderRef,
    pub(crate) link: Link,
    /// The heads that this run has spoken to, by cluster.
    heads: Mutex<BTreeMap<Address, HeadTarget>>,
    /// The last event that was shown, by what it is shown for; and of a cluster the last one before its configuration was pushed.
    heard: Mutex<BTreeMap<Address, u64>>,
}

impl ControllerCloud {
    pub(crate) fn new(reach: Arc<dyn Reach>, provider: ProviderRef) -> Self {
        let link = Link::new(Arc::clone(&reach));
        let (heads, heard) = (Mutex::new(BTreeMap::new()), Mutex::new(BTreeMap::new()));
        Self { inner: Arc::new(Inner { reach, provider, link, heads, heard }) }
    }
}

impl Cloud for ControllerCloud {
    fn call(&self, call: Call) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            let done = match &*call.kind {
                HEAD_CONTROLLER_KIND => self.inner.controller(call).await,
                WORKER_GROUP_KIND => self.inner.group(call).await,
                other => Err(CallError::new(ErrorClass::Permanent, "kind", format!("a controller has no kind `{other}`"))),
            };
            done.unwrap_or_else(Answer::Failed)
        })
    }

    fn dial(&self, target: DialTarget) -> BoxFuture<'_, Result<Connection, CallError>> {
        let text = format!("{} is no instance of a controller", target.instance);
        Box::pin(std::future::ready(Err(CallError::new(ErrorClass::Permanent, "dial", text))))
    }

    fn finish(&self) -> BoxFuture<'_, Result<(), CallError>> {
        Box::pin(async move {
            self.inner.link.close().await;
            Ok(())
        })
    }
}

impl Inner {
    async fn controller(self: &Arc<Self>, call: Call) -> Result<Answer, CallError> {
        match call.verb {
            Verb::Create(request) => self.create_controller(&call.address, &request).await.map(Answer::Object),
            Verb::Update(request) => self.update_controller(&call.address, &request).await.map(Answer::Object),
            Verb::Delete { id, .. } => self.delete_controller(&call.address, &id).await.map(|()| Answer::Done),
            Verb::Read { id } => {
                Ok(Answer::Read(self.controllers(&call.address, [id].into(), &BTreeMap::new()).await?.pop().map(|found| found.object)))
            }
            Verb::List { ids } => {
                let seen = self.heads_seen(ids.iter().filter_map(|id| ControllerId::parse(id).ok()));
                self.controllers(&call.address, ids, &seen).await.map(Answer::Found)
            }
            other => nothing(&other),
        }
    }

    async fn group(self: &Arc<Self>, call: Call) -> Result<Answer, CallError> {
        let address = &call.address;
        match call.verb {
            Verb::Create(request) => {
                let id = text(&request.attributes, "controller")?;
                self.made_group(address, &id, request.attributes).await.map(Answer::Object)
            }
            Verb::Update(request) => {
                let id = text(&request.attributes, "controller")?;
                self.made_group(address, &id, request.attributes).await.map(Answer::Object)
            }
            Verb::Delete { id, .. } => self.remove_group(&id, address).await.map(|()| Answer::Done),
            Verb::Read { id } => {
                Ok(Answer::Read(self.groups(address, [id].into(), BTreeMap::new()).await?.pop().map(|found| found.object)))
            }
            Verb::List { ids } => {
                let seen = self.heads_seen(ids.iter().filter_map(|id| Some(ControllerId::parse_group(id).ok()?.0)));
                self.groups(address, ids, seen).await.map(Answer::Found)
            }
            other => nothing(&other),
        }
    }

    async fn made_group(&self, address: &Address, controller: &str, attributes: Value) -> Result<ObjectAnswer, CallError> {
        let wanted = Wanted::of(&attributes)?;
        let id = ControllerId::parse(controller)?.group(&wanted.group);
        if self.reach.waits() {
            let head = self.head_of(address).ok_or_else(|| {
                CallError::new(ErrorClass::Permanent, "no-head", format!("nobody knows how to log in to the head of {address}"))
            })?;
            // Asked to go by a command that did not end, and wanted again.
            self.keep_group(&head, &wanted.group).await?;
            if self.reach.settles() {
                self.look_at_group(&head, address, &wanted).await?;
            } else {
                self.await_group(&head, address, &wanted).await?;
            }
        }
        Ok(ObjectAnswer { id, attributes })
    }

    /// Controllers are there as long as anything is that they made or that carries them: what outlived its head must not be forgotten. What one
    /// follows is published on the head.
    async fn controllers(&self, address: &Address, ids: BTreeSet<String>, seen: &BTreeMap<String, Found>) -> Result<Vec<Found>, CallError> {
        let mut found = Vec::new();
        for id in ids {
            let uid = ControllerId::parse(&id)?.uid;
            let instances = match seen.get(&uid) {
                Some(head) => vec![head.clone()],
                None => self.instances(address, &uid, None).await?,
            };
            if instances.iter().all(|instance| role(instance, HEAD_ROLE).or(role(instance, WORKER_ROLE)).is_none()) {
                continue;
            }
            let head = instances.into_iter().find(|instance| role(instance, HEAD_ROLE).is_some());
            let tags = head.map(|head| head.tags).unwrap_or_default();
            let digest = tags.get(&format!("{STATUS_PREFIX}digest")).filter(|digest| !digest.is_empty());
            // One that is about to go follows nothing any more: whoever wants the cluster tells it so.
            let leaves = tags.get(&format!("{STATUS_PREFIX}draining")).is_some_and(|draining| draining == "true");
            let digest = digest.map(|digest| if leaves { "draining" } else { digest.as_str() });
            let attributes = Value::object(digest.map(|digest| ("digest", Value::from(digest))));
            found.push(Found { object: ObjectAnswer { id, attributes }, tags });
        }
        Ok(found)
    }

    /// The heads that need no search, by the uid of their cluster.
    fn heads_seen(&self, ids: impl Iterator<Item = ControllerId>) -> BTreeMap<String, Found> {
        ids.filter_map(|id| Some((id.uid.clone(), self.reach.head_seen(&id.uid)?))).collect()
    }

    /// Groups are there when their head is, and says nothing else.
    async fn groups(&self, address: &Address, ids: BTreeSet<String>, seen: BTreeMap<String, Found>) -> Result<Vec<Found>, CallError> {
        let mut heads: BTreeMap<String, Option<Found>> = seen.into_iter().map(|(uid, head)| (uid, Some(head))).collect();
        let mut found = Vec::new();
        for id in ids {
            let (controller, group) = ControllerId::parse_group(&id)?;
            if !heads.contains_key(&controller.uid) {
                let head = self.find_head(address, &controller.uid, None).await?;
                heads.insert(controller.uid.clone(), head);
            }
            let Some(Some(head)) = heads.get(&controller.uid) else { continue };
            let published = head.tags.keys().any(|key| key.starts_with(STATUS_PREFIX));
            if !published || head.tags.contains_key(&format!("{STATUS_PREFIX}group.{group}")) {
                let object = ObjectAnswer { id, attributes: Value::object::<&str>([]) };
                found.push(Found { object, tags: BTreeMap::new() });
            }
        }
        Ok(found)
    }

    /// The instance of a cluster's head at its provider.
    pub(crate) async fn find_head(&self, address: &Address, uid: &str, kind: Option<&str>) -> Result<Option<Found>, CallError> {
        let all = self.instances(address, uid, kind).await?;
        Ok(all.into_iter().find(|found| role(found, HEAD_ROLE).is_some()))
    }

    /// Everything that carries the cluster's uid. Where nobody says of which kind: the provider's instances.
    pub(crate) async fn instances(&self, address: &Address, uid: &str, kind: Option<&str>) -> Result<Vec<Found>, CallError> {
        let kind = kind.map_or_else(|| self.instance_kind(), Arc::from);
        let verb = Verb::FindByTag { key: CLUSTER_TAG.to_owned(), value: uid.to_owned() };
        match self.reach.call(Call { provider: self.provider.clone(), address: address.clone(), kind, verb, limit: None }).await {
            Answer::Found(found) => Ok(found),
            Answer::Failed(error) => Err(error),
            other => {
                let text = format!("provider `{}` answered something else: {other:?}", self.provider);
                Err(CallError::new(ErrorClass::Permanent, "answer", text))
            }
        }
    }

    pub(crate) fn instance_kind(&self) -> Arc<str> {
        format!("{}_instance", self.provider.provider_type()).into()
    }

    /// How to speak to the head of the cluster that an address is in: as this run was told, else as the state knows.
    pub(crate) fn head_of(&self, address: &Address) -> Option<HeadTarget> {
        let cluster = address.block();
        if let Some(head) = lock(&self.heads).get(&cluster) {
            return Some(head.clone());
        }
        let known = self.reach.known(&controller_address(address))?;
        HeadTarget::of(cluster, self.provider.clone(), &known).ok()
    }

    /// Remembers a head, and up to which event everything is old.
    pub(crate) fn remember(&self, head: &HeadTarget, last_event: u64) {
        lock(&self.heads).insert(head.cluster.clone(), head.clone());
        lock(&self.heard).insert(head.cluster.clone(), last_event);
    }

    /// The event after which there are new ones for somebody; `None` when there are none.
    pub(crate) fn heard(&self, cluster: &Address, by: &Address, last: u64) -> Option<u64> {
        let mut heard = lock(&self.heard);
        let after = heard.get(by).or_else(|| heard.get(cluster)).copied().unwrap_or(last);
        heard.insert(by.clone(), last.max(after));
        (last > after).then_some(after)
    }
}

/// The instance, if it has that role.
pub(crate) fn role<'a>(found: &'a Found, role: &str) -> Option<&'a Found> {
    Some(found).filter(|found| found.tags.get(ROLE_TAG).is_some_and(|is| is == role))
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn text(attributes: &Value, name: &str) -> Result<String, CallError> {
    let missing = || CallError::new(ErrorClass::Permanent, "attributes", format!("`{name}` is missing"));
    attributes.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(missing)
}

/// Controllers and groups carry no marks: nothing is found by them, and nobody is told.
fn nothing(verb: &Verb) -> Result<Answer, CallError> {
    match verb {
        Verb::FindByTag { .. } | Verb::FindByName { .. } => Ok(Answer::Found(Vec::new())),
        Verb::Facts(_) => Ok(Answer::Facts(BTreeMap::new())),
        other => Err(CallError::new(ErrorClass::Permanent, "verb", format!("a controller does not know `{}`", other.as_str()))),
    }
}
