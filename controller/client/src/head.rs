//! The kind `head_controller`: a configuration is pushed, workers of an earlier head are handed over, and at the end the cluster is torn
//! down.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_model::{
    Address, ControllerCall, ControllerReply, Digest, NodeAction, NodeReply, NodeRequest, PushConfig, StepOutcome, Value, Verb as NodeVerb,
};
use cloudtik_provider_api::{
    Answer, CLUSTER_TAG, Call, CallError, CreateRequest, ErrorClass, Found, Instance, ObjectAnswer, STATUS_PREFIX, UpdateRequest, Verb,
    WORKER_ROLE,
};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::cloud::{Inner, role, text};
use crate::limits::{ADOPT_PARALLELISM, ADOPT_TIMEOUT, DRAIN_REACH_TIMEOUT, START_TIMEOUT};
use crate::link::{Place, refused, unexpected};
use crate::teardown::{Teardown, TeardownCommand, TeardownEvent, TeardownInput};
use crate::{ControllerId, HeadTarget, LoginKey};

/// The tag that names the address of an object.
const ADDRESS_TAG: &str = "cloudtik:address";
/// The tag that names the state that an object belongs to.
const LINEAGE_TAG: &str = "cloudtik:lineage";

impl Inner {
    pub(crate) async fn create_controller(self: &Arc<Self>, address: &Address, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let uid = request
            .tags
            .get(CLUSTER_TAG)
            .cloned()
            .ok_or_else(|| CallError::new(ErrorClass::Permanent, "no-cluster", format!("{address} carries no mark of its cluster")))?;
        let id = ControllerId { uid, epoch: request.epoch };
        let lineage = request.tags.get(LINEAGE_TAG).map(String::as_str);
        let is_adopted = lineage.is_some() && id.uid.split('/').next() != lineage;
        if !is_adopted || !self.goes_on(address, &id, &request.attributes).await? {
            self.take_over(address, &id, &request.attributes).await?;
        }
        Ok(ObjectAnswer { id: id.to_string(), attributes: request.attributes.clone() })
    }

    pub(crate) async fn update_controller(self: &Arc<Self>, address: &Address, request: &UpdateRequest) -> Result<ObjectAnswer, CallError> {
        let id = ControllerId::parse(&request.id)?;
        let head = self.target(address, &request.attributes)?;
        let same = request.before.get("instance") == request.attributes.get("instance");
        let status = if same { Some(self.link.status(&head, START_TIMEOUT).await?) } else { None };
        // One that was about to go was fenced: it goes on in an epoch of its own, as a new head does.
        let Some(status) = status.filter(|status| !status.draining) else {
            let id = ControllerId { epoch: id.epoch.max(request.epoch), ..id };
            self.take_over(address, &id, &request.attributes).await?;
            return Ok(ObjectAnswer { id: id.to_string(), attributes: request.attributes.clone() });
        };
        {
            self.remember(&head, status.last_event);
            let push = self.push_of(&head, &id, &request.attributes, Some(status.generation))?;
            self.push(&head, push).await?;
        }
        Ok(ObjectAnswer { id: request.id.clone(), attributes: request.attributes.clone() })
    }

    /// A head that was taken over with its cluster follows a configuration already, and its workers let it in. It is told the next one, in an
    /// epoch of ours: whoever applied before us is fenced off. False: it follows nothing yet.
    async fn goes_on(&self, address: &Address, id: &ControllerId, attributes: &Value) -> Result<bool, CallError> {
        let head = self.target(address, attributes)?;
        let status = self.link.status(&head, START_TIMEOUT).await?;
        if status.generation == 0 || status.draining {
            return Ok(false);
        }
        self.fence(address, &head, id).await?;
        self.remember(&head, status.last_event);
        let push = self.push_of(&head, id, attributes, Some(status.generation))?;
        self.push(&head, push).await?;
        Ok(true)
    }

    async fn fence(&self, address: &Address, head: &HeadTarget, id: &ControllerId) -> Result<(), CallError> {
        let verb = Verb::Fence { cluster: id.uid.clone(), epoch: id.epoch, ends: false };
        let call = Call { provider: self.provider.clone(), address: address.clone(), kind: head.kind.as_str().into(), verb, limit: None };
        match self.reach.call(call).await {
            Answer::Done => Ok(()),
            Answer::Failed(error) => Err(error),
            other => Err(CallError::new(ErrorClass::Permanent, "answer", format!("a fence was answered by {other:?}"))),
        }
    }

    /// A new head: no older one may launch any more, this one is told what to keep, and workers that are there let it in.
    async fn take_over(self: &Arc<Self>, address: &Address, id: &ControllerId, attributes: &Value) -> Result<(), CallError> {
        let head = self.target(address, attributes)?;
        self.fence(address, &head, id).await?;
        // What is there before the push: the new head may begin to launch with it.
        let workers = self.instances(address, &id.uid, Some(&head.kind)).await?;
        self.remember(&head, 0);
        let push = self.push_of(&head, id, attributes, None)?;
        self.push(&head, push).await?;
        let workers: Vec<Found> = workers.into_iter().filter(|found| role(found, WORKER_ROLE).is_some()).collect();
        if workers.is_empty() { Ok(()) } else { self.hand_over(&head, workers).await }
    }

    fn target(&self, address: &Address, attributes: &Value) -> Result<HeadTarget, CallError> {
        HeadTarget::of(address.block(), self.provider.clone(), attributes)
    }

    fn push_of(&self, head: &HeadTarget, id: &ControllerId, attributes: &Value, follows: Option<u64>) -> Result<PushConfig, CallError> {
        let wrong =
            |what: &str| CallError::new(ErrorClass::Permanent, "attributes", format!("the {what} of {} cannot be read", head.cluster));
        let config = serde_json::from_str(&text(attributes, "document")?).map_err(|_| wrong("configuration"))?;
        let digest: Digest = text(attributes, "digest")?.parse().map_err(|_| wrong("digest"))?;
        let secrets = attributes.get("secrets").and_then(Value::entries).into_iter().flatten();
        let secrets = secrets.map(|(name, value)| Some((name.to_string(), value.as_str()?.to_owned()))).collect::<Option<BTreeMap<_, _>>>();
        let references = attributes.get("references").and_then(Value::entries).into_iter().flatten();
        let references = references.map(|(address, value)| (Arc::clone(address), value.clone()));
        // What the head shows is published by its controller.
        let shown = Value::object([("host_key", Value::from(head.host_key.as_str()))]);
        let shown = (Arc::from(format!("{}.head.step.host_key", head.cluster)), shown);
        Ok(PushConfig {
            uid: id.uid.clone(),
            epoch: id.epoch,
            follows,
            config,
            digest,
            references: Value::object(std::iter::once(shown).chain(references)),
            secrets: secrets.ok_or_else(|| wrong("secrets"))?,
            operator_keys: vec![self.reach.login_key(&head.cluster)?.public],
        })
    }

    /// Pushes by compare-and-swap. Our own push whose answer was lost is no foreign one: the head knows it again and answers as before.
    async fn push(&self, head: &HeadTarget, push: PushConfig) -> Result<u64, CallError> {
        match self.link.ask(head, ControllerCall::Push(Box::new(push)), START_TIMEOUT).await? {
            ControllerReply::Pushed { generation } => Ok(generation),
            ControllerReply::Refused { code, message } => Err(refused(head, &code, &message)),
            other => Err(unexpected(head, other)),
        }
    }

    /// Lets a new head log in to workers of an earlier one. One that cannot be reached is no error: the head replaces it.
    async fn hand_over(self: &Arc<Self>, head: &HeadTarget, workers: Vec<Found>) -> Result<(), CallError> {
        let key = self.reach.login_key(&head.cluster)?;
        let login_key = self.link.status(head, START_TIMEOUT).await?.login_key;
        let slots = Arc::new(Semaphore::new(ADOPT_PARALLELISM));
        let mut tasks = JoinSet::new();
        for worker in workers {
            let (inner, head, key, login_key, slots) = (Arc::clone(self), head.clone(), key.clone(), login_key.clone(), Arc::clone(&slots));
            tasks.spawn(async move {
                let _slot = slots.acquire_owned().await;
                let letting_in = timeout(ADOPT_TIMEOUT, inner.let_in(&head, &key, &login_key, &worker)).await;
                let failed = match letting_in {
                    Ok(Ok(())) => return,
                    Ok(Err(text)) => text,
                    Err(_) => format!("it did not answer within {} seconds", ADOPT_TIMEOUT.as_secs()),
                };
                let name = worker.tags.get(ADDRESS_TAG).unwrap_or(&worker.object.id);
                inner
                    .reach
                    .warning(&format!("{name} ({}) does not let the new head in, which will replace it: {failed}", worker.object.id));
            });
        }
        while tasks.join_next().await.is_some() {}
        Ok(())
    }

    async fn let_in(&self, head: &HeadTarget, key: &LoginKey, login_key: &str, worker: &Found) -> Result<(), String> {
        let host_key = worker.tags.get(&format!("{STATUS_PREFIX}host_key")).map(String::as_str).unwrap_or_default();
        let ssh = Instance::of(&worker.object.attributes).ok_or("its provider does not say how to log in")?;
        let address = worker.tags.get(ADDRESS_TAG).cloned().unwrap_or_else(|| worker.object.id.clone());
        let authorized_keys = vec![login_key.to_owned(), key.public.clone()];
        if ssh.bring_to.is_some() {
            let node = worker.object.attributes.get("node").and_then(|node| node.get("address"));
            let at = node.and_then(Value::as_str).ok_or("its provider does not say its address")?;
            return self.link.let_in(head, (at, &ssh), host_key, &authorized_keys).await;
        }
        let identity = Digest::of(authorized_keys.join("\n"));
        let request = NodeRequest {
            version: NodeRequest::VERSION,
            run_id: format!("hand-over-{}-{}", worker.object.id, identity.short()),
            address: format!("{address}.step.host_key"),
            identity,
            verb: NodeVerb::Do,
            action: NodeAction::HostKey { authorized_keys },
        };
        let place = Place { provider: &head.provider, instance: &worker.object.id, ssh: &ssh, host_key };
        match self.link.step(&place, key, &request).await? {
            NodeReply::End { outcome: StepOutcome::Done | StepOutcome::Skipped, .. } => Ok(()),
            NodeReply::End { outcome: StepOutcome::Failed { reason, .. }, .. } | NodeReply::Refused { reason, .. } => Err(reason),
            other => Err(format!("it answered something else: {other:?}")),
        }
    }

    /// The end of a cluster's workers: see [`Teardown`].
    pub(crate) async fn delete_controller(self: &Arc<Self>, address: &Address, id: &str) -> Result<(), CallError> {
        let id = ControllerId::parse(id)?;
        let head = self.head_of(address);
        let kind: Arc<str> = head.as_ref().map_or_else(|| self.instance_kind(), |head| head.kind.as_str().into());
        let is_there = self.find_head(address, &id.uid, Some(&kind)).await?.is_some();
        let (visibility_ms, reads) = self.reach.visibility(&self.provider, &kind);
        let input = TeardownInput {
            provider: self.provider.clone(),
            kind,
            address: address.clone(),
            fence_epoch: id.epoch.saturating_add(1),
            uid: id.uid,
            visibility_ms,
            reads: reads.max(1),
            drain: head.is_some() && is_there,
        };
        self.drive(Teardown::new(input), head).await
    }

    /// Carries out what the machine says.
    async fn drive(self: &Arc<Self>, mut machine: Teardown, head: Option<HeadTarget>) -> Result<(), CallError> {
        let start = Instant::now();
        let now_ms = || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut tasks: JoinSet<TeardownEvent> = JoinSet::new();
        let mut timers: BTreeMap<(u64, u64), ()> = BTreeMap::new();
        let mut event = TeardownEvent::Start;
        loop {
            for command in machine.step(now_ms(), event) {
                match command {
                    TeardownCommand::Call { ticket, call } => {
                        let inner = Arc::clone(self);
                        tasks.spawn(async move { TeardownEvent::Answer { ticket, answer: inner.reach.call(call).await } });
                    }
                    TeardownCommand::Ask { ticket, call } => {
                        let (inner, head) = (Arc::clone(self), head.clone());
                        tasks.spawn(async move { TeardownEvent::Reply { ticket, reply: inner.ask_once(head, call).await } });
                    }
                    TeardownCommand::Timer { timer, at_ms } => drop(timers.insert((at_ms, timer), ())),
                    TeardownCommand::Warn(text) => self.reach.warning(&text),
                    TeardownCommand::Finish(result) => return result,
                }
            }
            let next = timers.keys().next().copied();
            let due = async {
                match next {
                    Some((at_ms, _)) => sleep_until(start + std::time::Duration::from_millis(at_ms)).await,
                    None => std::future::pending().await,
                }
            };
            event = tokio::select! {
                Some(done) = tasks.join_next(), if !tasks.is_empty() => match done {
                    Ok(event) => event,
                    Err(error) => return Err(CallError::new(ErrorClass::Unknown, "lost", format!("a call ended without an answer: {error}"))),
                },
                () = due => {
                    let timer = timers.pop_first().map_or(0, |((_, timer), ())| timer);
                    TeardownEvent::Timer { timer }
                }
            };
        }
    }

    async fn ask_once(&self, head: Option<HeadTarget>, call: ControllerCall) -> Result<ControllerReply, CallError> {
        let gone = || CallError::new(ErrorClass::Gone, "gone", "there is no head");
        self.link.ask(&head.ok_or_else(gone)?, call, DRAIN_REACH_TIMEOUT).await
    }
}
