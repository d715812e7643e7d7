//! The verbs: what each request does to the inventory and to the world.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use super::Who;
use super::addresses::Claims;
use super::binaries::Binaries;
use super::check;
use super::crash::CrashPoints;
use super::forwards::Forwards;
use super::heads::Heads;
use super::inventory::{Change, Inventory, complain};
use super::proxy::Proxies;
use crate::audit::read_entries;
use crate::failure::{conflict, gone, io_failure, permanent, transient};
use crate::launch::probe::probe_facts;
use crate::options::LocalCloudOptions;
use crate::process;
use crate::protocol::{
    AUDIT_ENTRIES_MAX, Answer, Attributes, AuditEntry, CloudError, CreateRequest, DeleteRequest, DialRequest, Facts, InstanceAttributes,
    Kind, MetadataRequest, Object, ObjectState, Outcome, Request, ResourceSpec, RunState, TagQuery, UpdateRequest,
};

/// Longest wait for another request that works on the same object: longer than the longest create or delete.
const BUSY_WAIT: Duration = Duration::from_secs(90);

/// The local cloud. Every method blocks; the daemon calls them outside of its runtime's own threads.
#[derive(Debug)]
pub(crate) struct Cloud {
    pub(crate) options: LocalCloudOptions,
    /// The name of the inventory: part of each id.
    pub(super) name: String,
    pub(super) inventory: Mutex<Inventory>,
    settled: Condvar,
    pub(super) crash: CrashPoints,
    pub(super) forwards: Forwards,
    pub(super) heads: Heads,
    pub(super) proxies: Proxies,
    pub(super) binaries: Binaries,
    pub(super) claims: Claims,
    facts: OnceLock<Facts>,
}

impl Cloud {
    pub(crate) fn new(
        options: LocalCloudOptions,
        name: String,
        inventory: Inventory,
        forwards: Forwards,
        heads: Heads,
        proxies: Proxies,
    ) -> Self {
        Self {
            crash: CrashPoints::new(options.die_after_events, &options.state_dir),
            binaries: Binaries::new(&options.cache_dir),
            claims: Claims::new(&options.state_dir),
            facts: OnceLock::new(),
            settled: Condvar::new(),
            inventory: Mutex::new(inventory),
            forwards,
            heads,
            proxies,
            name,
            options,
        }
    }

    /// Does what is asked. [`Request::Dial`] is only checked and audited: the stream is the caller's.
    pub(crate) fn answer(&self, who: &Who, request: Request) -> Answer {
        let done = match who {
            Who::Owner => self.answer_owner(request),
            Who::Head(head) => self.answer_head(head, request),
        };
        done.unwrap_or_else(Answer::Error)
    }

    fn answer_owner(&self, request: Request) -> Result<Answer, CloudError> {
        match request {
            Request::Create(request) => self.create(&request, None).map(|object| Answer::Object(Box::new(object))),
            Request::Read { id } => self.read(&id).map(|object| Answer::Object(Box::new(object))),
            Request::Update(request) => self.update(&request).map(|object| Answer::Object(Box::new(object))),
            Request::Delete(request) => self.delete(&request).map(|()| Answer::Done),
            Request::FindByTag(query) => self.find(&query, |_| true).map(Answer::Objects),
            Request::List { kind } => Ok(Answer::Objects(self.list(kind, |_| true))),
            Request::Dial(request) => self.check_dial(&request).map(|_| Answer::Done),
            Request::Fence { cluster, epoch } => self.fence(cluster, epoch).map(|()| Answer::Done),
            Request::SetMetadata(request) => self.set_metadata(&request).map(Answer::Metadata),
            Request::Metadata { id } => self.read(&id).map(|object| Answer::Metadata(object.metadata)),
            Request::Audit { after, limit } => self.audit(after, limit).map(Answer::Audit),
            Request::Facts => self.facts().map(|facts| Answer::Facts(Box::new(facts))),
            Request::Purge { ids } => self.purge(&ids).map(Answer::Objects),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        let inventory = self.lock();
        inventory.is_empty() && inventory.busy.is_empty()
    }

    pub(crate) fn close(&self) {
        self.lock().close();
    }

    pub(super) fn facts(&self) -> Result<Facts, CloudError> {
        if let Some(facts) = self.facts.get() {
            return Ok(facts.clone());
        }
        let facts = probe_facts(&self.options)?;
        Ok(self.facts.get_or_init(|| facts).clone())
    }

    /// As [`Self::check_dial`], for whoever asks.
    pub(crate) fn check_dial_of(&self, who: &Who, request: &DialRequest) -> Result<Ipv4Addr, CloudError> {
        match who {
            Who::Owner => self.check_dial(request),
            Who::Head(head) => self.check_head_dial(head, request),
        }
    }

    /// Checks that an instance can be dialled, notes it, and returns its address.
    pub(super) fn check_dial(&self, request: &DialRequest) -> Result<Ipv4Addr, CloudError> {
        self.crash.pass();
        let mut inventory = self.lock();
        let object = inventory.objects().get(&request.instance).ok_or_else(|| gone(&request.instance))?;
        let entry = AuditEntry { detail: Some(format!("port {}", request.port)), ..entry_of("dial", object, Outcome::Done) };
        let checked = self.address_to_dial(object);
        let outcome = if checked.is_ok() { Outcome::Done } else { Outcome::Refused };
        inventory.note(AuditEntry { outcome, ..entry });
        drop(inventory);
        self.crash.pass();
        checked
    }

    /// An error once the instance is gone or its first process ended: waiting for its listener is in vain then.
    pub(crate) fn still_runs(&self, id: &str) -> Result<(), CloudError> {
        let object = self.lock().objects().get(id).cloned().ok_or_else(|| gone(id))?;
        self.address_to_dial(&object).map(drop)
    }

    fn address_to_dial(&self, object: &Object) -> Result<Ipv4Addr, CloudError> {
        let Attributes::LocalInstance(attributes) = &object.attributes else {
            return Err(permanent("not_an_instance", format!("`{}` is a {}, which has no ports", object.id, object.kind)));
        };
        if self.run_state_of(object) == RunState::Stopped {
            let log = attributes.folder.join("node/logs/node.log");
            let message = format!("the first process of {} ended; its last words are in {}", object.id, log.display());
            return Err(permanent("stopped", message));
        }
        address_of(attributes)
    }

    /// `head`: the node that asks, when it is one.
    pub(super) fn create(&self, request: &CreateRequest, head: Option<&str>) -> Result<Object, CloudError> {
        let refused =
            |error: &CloudError| AuditEntry { detail: Some(error.code.clone()), ..entry_of_create(request, None, Outcome::Refused) };
        if let Err(error) = check::create(request) {
            self.lock().note(refused(&error));
            return Err(error);
        }
        // Two requests with one token: the second waits for what the first makes.
        let claim = format!("token {}", request.token);
        let mut inventory = self.lock();
        loop {
            if inventory.busy.contains(&claim) {
                inventory = self.wait(inventory, &claim)?;
                continue;
            }
            let Some(present) = inventory.by_token(&request.token).cloned() else { break };
            if inventory.busy.contains(&present.id) {
                inventory = self.wait(inventory, &present.id)?;
            } else if present.state == ObjectState::Ready {
                return self.repeat(inventory, request, present);
            } else {
                inventory.busy.insert(present.id.clone());
                drop(inventory);
                self.finish_removal(&present)?;
                inventory = self.lock();
            }
        }
        if let Err(error) = may_create(&inventory, request, head) {
            inventory.note(refused(&error));
            return Err(error);
        }
        inventory.busy.insert(claim.clone());
        drop(inventory);
        let made = self.make(request, head);
        if let Err(error) = &made {
            self.lock().note(refused(error));
        }
        self.end(&claim);
        made.map(|object| self.view(object))
    }

    fn repeat(&self, mut inventory: MutexGuard<'_, Inventory>, request: &CreateRequest, present: Object) -> Result<Object, CloudError> {
        let same = present.spec == request.spec
            && present.address == request.address
            && present.cluster == request.cluster
            && present.secret_digests == super::create::secret_digests(&request.secrets);
        if !same {
            let message = format!("the token of {} was used before for another request, which made {}", request.address, present.id);
            let error = conflict("token_mismatch", message);
            let entry = entry_of_create(request, Some(&present.id), Outcome::Refused);
            inventory.note(AuditEntry { detail: Some(error.code.clone()), ..entry });
            return Err(error);
        }
        inventory.note(entry_of_create(request, Some(&present.id), Outcome::Repeated));
        drop(inventory);
        self.crash.pass();
        Ok(self.view(present))
    }

    pub(super) fn read(&self, id: &str) -> Result<Object, CloudError> {
        let object = self.lock().objects().get(id).cloned().ok_or_else(|| gone(id))?;
        Ok(self.view(object))
    }

    pub(super) fn update(&self, request: &UpdateRequest) -> Result<Object, CloudError> {
        check::tags(&request.tags)?;
        check::spec(&request.spec)?;
        let object = self.begin(&request.id)?;
        let done = self.update_present(request, object);
        self.end(&request.id);
        done.map(|object| self.view(object))
    }

    fn update_present(&self, request: &UpdateRequest, object: Object) -> Result<Object, CloudError> {
        if object.state != ObjectState::Ready {
            return Err(conflict("not_ready", format!("{} is being made or removed", object.id)));
        }
        check::changes_in_place(&object.spec, &request.spec)?;
        let mut changed = Object { tags: request.tags.clone(), spec: request.spec.clone(), ..object };
        let facts = self.facts()?;
        match (&mut changed.attributes, &changed.spec) {
            (Attributes::LocalFirewall(attributes), ResourceSpec::LocalFirewall(spec)) => attributes.rules.clone_from(&spec.rules),
            (Attributes::LocalInstance(attributes), ResourceSpec::LocalInstance(spec)) => {
                (attributes.cores, attributes.memory_mib) = super::create::size_of(spec, &facts)?;
            }
            _ => {}
        }
        let forwards = match (&changed.attributes, &changed.spec) {
            (Attributes::LocalInstance(attributes), ResourceSpec::LocalInstance(spec)) => {
                let reserved = self.forwards.reserve_missing(&changed.id, &spec.publish)?;
                Some((address_of(attributes)?, spec.publish.clone(), reserved))
            }
            _ => None,
        };
        let entry = AuditEntry { op_id: Some(request.op_id.clone()), ..entry_of("update", &changed, Outcome::Done) };
        self.crash.pass();
        // A socket that cannot be made is an error before anything changed; one too many is closed once it is on record.
        if may_launch(&changed) {
            self.heads.follow(&changed)?;
        }
        self.lock().change(Change::Put(Box::new(changed.clone())), Some(entry))?;
        if let Err(error) = self.heads.follow(&changed) {
            complain(&format!("the socket of {} is left: {error}", changed.id));
        }
        if let Some((address, publish, reserved)) = forwards {
            self.forwards.change(&changed.id, address, &publish, reserved);
        }
        self.crash.pass();
        Ok(changed)
    }

    pub(super) fn delete(&self, request: &DeleteRequest) -> Result<(), CloudError> {
        let object = self.begin(&request.id)?;
        let done = self.delete_present(&object, &request.op_id);
        if let Err(error) = &done {
            let entry = AuditEntry { op_id: Some(request.op_id.clone()), ..entry_of("delete", &object, Outcome::Refused) };
            self.lock().note(AuditEntry { detail: Some(error.code.clone()), ..entry });
        }
        self.end(&request.id);
        done
    }

    fn delete_present(&self, object: &Object, op_id: &str) -> Result<(), CloudError> {
        self.crash.pass();
        {
            let mut inventory = self.lock();
            if let Some(user) = inventory.objects().values().find(|other| uses(other, object)) {
                let message = format!("{} is in use by {} ({})", object.id, user.id, user.address);
                return Err(conflict("in_use", message));
            }
            let deleting = Object { state: ObjectState::Deleting, ..object.clone() };
            inventory.change(Change::Put(Box::new(deleting)), None)?;
        }
        self.crash.pass();
        self.remove_from_world(object)?;
        self.crash.pass();
        let entry = AuditEntry { op_id: Some(op_id.to_owned()), ..entry_of("delete", object, Outcome::Done) };
        self.lock().change(Change::Remove { id: object.id.clone(), spend: true }, Some(entry))?;
        self.crash.pass();
        Ok(())
    }

    /// Completes what a killed daemon left: a create is undone, a delete is finished. The caller has marked the object as busy.
    pub(super) fn finish_removal(&self, object: &Object) -> Result<(), CloudError> {
        let done = self.remove_from_world(object).and_then(|()| {
            let created = object.state == ObjectState::Creating;
            let entry = if created { entry_of("create", object, Outcome::Undone) } else { entry_of("delete", object, Outcome::Done) };
            // The repeat of a create that was undone makes the object; the repeat of one that was deleted must not.
            self.lock().change(Change::Remove { id: object.id.clone(), spend: !created }, Some(entry))
        });
        self.end(&object.id);
        done
    }

    /// Those that the query fits, of those that are shown to whoever asks.
    pub(super) fn find(&self, query: &TagQuery, shown: impl Fn(&Object) -> bool) -> Result<Vec<Object>, CloudError> {
        let fits = |object: &&Object| matches(object, query) && shown(object);
        let mut inventory = self.lock();
        // Whoever searches by operation or token wants to know whether its create had an effect: one that is being made has to settle first.
        while let Some(id) = inventory
            .objects()
            .values()
            .find(|object| fits(object) && object.state == ObjectState::Creating && inventory.busy.contains(&object.id))
            .map(|object| object.id.clone())
        {
            inventory = self.wait(inventory, &id)?;
        }
        let found: Vec<Object> = inventory.objects().values().filter(fits).cloned().collect();
        drop(inventory);
        Ok(found.into_iter().map(|object| self.view(object)).collect())
    }

    pub(super) fn list(&self, kind: Option<Kind>, shown: impl Fn(&Object) -> bool) -> Vec<Object> {
        let fits = |object: &&Object| kind.is_none_or(|kind| kind == object.kind) && shown(object);
        let found: Vec<Object> = self.lock().objects().values().filter(fits).cloned().collect();
        found.into_iter().map(|object| self.view(object)).collect()
    }

    fn fence(&self, cluster: String, epoch: u64) -> Result<(), CloudError> {
        self.crash.pass();
        let entry =
            AuditEntry { cluster: Some(cluster.clone()), detail: Some(format!("epoch {epoch}")), ..empty_entry("fence", Outcome::Done) };
        self.lock().change(Change::Fence { cluster, epoch }, Some(entry))?;
        self.crash.pass();
        Ok(())
    }

    pub(super) fn set_metadata(&self, request: &MetadataRequest) -> Result<BTreeMap<String, String>, CloudError> {
        self.crash.pass();
        let mut inventory = self.lock();
        let mut object = inventory.objects().get(&request.id).cloned().ok_or_else(|| gone(&request.id))?;
        for (key, value) in &request.values {
            match value {
                Some(value) => drop(object.metadata.insert(key.clone(), value.clone())),
                None => drop(object.metadata.remove(key)),
            }
        }
        check::metadata(&object.metadata)?;
        let metadata = object.metadata.clone();
        let entry = entry_of("set_metadata", &object, Outcome::Done);
        inventory.change(Change::Put(Box::new(object)), Some(entry))?;
        drop(inventory);
        self.crash.pass();
        Ok(metadata)
    }

    fn audit(&self, after: u64, limit: usize) -> Result<Vec<AuditEntry>, CloudError> {
        let path = self.options.audit_path();
        read_entries(&path, after, limit.min(AUDIT_ENTRIES_MAX)).map_err(|error| io_failure("read", &path, &error))
    }

    /// Instances first, networks last, so that nothing is in use when its turn comes.
    fn purge(&self, ids: &[String]) -> Result<Vec<Object>, CloudError> {
        let mut doomed: Vec<Object> = self.list(None, |object| ids.is_empty() || ids.contains(&object.id));
        if let Some(missing) = ids.iter().find(|id| !doomed.iter().any(|object| object.id == **id)) {
            return Err(gone(missing));
        }
        doomed.sort_by_key(|object| match object.kind {
            Kind::LocalInstance => 0_u8,
            Kind::LocalFirewall | Kind::LocalBucket => 1,
            Kind::LocalNetwork => 2,
        });
        for object in &doomed {
            self.delete(&DeleteRequest { id: object.id.clone(), op_id: "purge".to_owned() })?;
        }
        Ok(doomed)
    }

    /// An object with what is true at this moment.
    pub(super) fn view(&self, mut object: Object) -> Object {
        let state = self.run_state_of(&object);
        if let Attributes::LocalInstance(attributes) = &mut object.attributes {
            attributes.run_state = state;
            attributes.published = self.forwards.published(&object.id);
        }
        object
    }

    fn run_state_of(&self, object: &Object) -> RunState {
        match object.process.as_ref().map(process::is_alive) {
            Some(Ok(true)) => RunState::Running,
            None | Some(Ok(false)) => RunState::Stopped,
            Some(Err(error)) => {
                complain(&format!("whether {} runs cannot be found out: {error}", object.id));
                RunState::Stopped
            }
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inventory> {
        self.inventory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an object for this request alone, waiting for the one that has it.
    fn begin(&self, id: &str) -> Result<Object, CloudError> {
        let mut inventory = self.lock();
        while inventory.busy.contains(id) {
            inventory = self.wait(inventory, id)?;
        }
        let object = inventory.objects().get(id).cloned().ok_or_else(|| gone(id))?;
        inventory.busy.insert(id.to_owned());
        Ok(object)
    }

    pub(super) fn end(&self, id: &str) {
        self.lock().busy.remove(id);
        self.settled.notify_all();
    }

    fn wait<'a>(&self, inventory: MutexGuard<'a, Inventory>, id: &str) -> Result<MutexGuard<'a, Inventory>, CloudError> {
        let waited = self.settled.wait_timeout_while(inventory, BUSY_WAIT, |inventory| inventory.busy.contains(id));
        let (inventory, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() { Err(transient("busy", format!("another request works on {id}"))) } else { Ok(inventory) }
    }
}

fn may_launch(object: &Object) -> bool {
    matches!(&object.spec, ResourceSpec::LocalInstance(spec) if spec.max_workers.unwrap_or(0) > 0)
}

/// Asked before anything is prepared, and again in the moment in which the object goes on record: a fence that came between them holds,
/// and no two creates of a head take the same last place.
pub(super) fn may_create(inventory: &Inventory, request: &CreateRequest, head: Option<&str>) -> Result<(), CloudError> {
    if inventory.is_spent(&request.token) {
        let message = format!("the token of {} made an object that was deleted since; a new one needs a new token", request.address);
        return Err(conflict("token_spent", message));
    }
    let fence = request.cluster.as_ref().and_then(|cluster| inventory.fence_of(cluster));
    if let Some(fence) = fence
        && request.epoch.is_none_or(|epoch| epoch < fence)
    {
        let epoch = request.epoch.map_or("none".to_owned(), |epoch| epoch.to_string());
        let message = format!("the cluster of {} is fenced at epoch {fence}, and this create has {epoch}", request.address);
        return Err(permanent("fenced", message));
    }
    Cloud::check_room(inventory, head)
}

fn matches(object: &Object, query: &TagQuery) -> bool {
    query.kind.is_none_or(|kind| kind == object.kind)
        && query.op_id.as_ref().is_none_or(|op_id| *op_id == object.op_id)
        && query.token.as_ref().is_none_or(|token| *token == object.token)
        && query.tags.iter().all(|(key, value)| object.tags.get(key) == Some(value))
}

fn uses(other: &Object, object: &Object) -> bool {
    let network = match &other.spec {
        ResourceSpec::LocalInstance(spec) => Some(&spec.network),
        ResourceSpec::LocalFirewall(spec) => spec.network.as_ref(),
        ResourceSpec::LocalNetwork(_) | ResourceSpec::LocalBucket(_) => None,
    };
    object.kind == Kind::LocalNetwork && network == Some(&object.id)
}

pub(super) fn address_of(attributes: &InstanceAttributes) -> Result<Ipv4Addr, CloudError> {
    attributes.address.parse().map_err(|_| permanent("bad_address", format!("`{}` is not an address", attributes.address)))
}

pub(super) fn empty_entry(verb: &str, outcome: Outcome) -> AuditEntry {
    AuditEntry {
        sequence: 0,
        time: 0,
        verb: verb.to_owned(),
        kind: None,
        id: None,
        address: None,
        op_id: None,
        token: None,
        cluster: None,
        outcome,
        detail: None,
    }
}

pub(super) fn entry_of(verb: &str, object: &Object, outcome: Outcome) -> AuditEntry {
    AuditEntry {
        kind: Some(object.kind),
        id: Some(object.id.clone()),
        address: Some(object.address.clone()),
        op_id: Some(object.op_id.clone()),
        token: Some(object.token.clone()),
        cluster: object.cluster.clone(),
        ..empty_entry(verb, outcome)
    }
}

pub(super) fn entry_of_create(request: &CreateRequest, id: Option<&str>, outcome: Outcome) -> AuditEntry {
    AuditEntry {
        kind: Some(request.spec.kind()),
        id: id.map(str::to_owned),
        address: Some(request.address.clone()),
        op_id: Some(request.op_id.clone()),
        token: Some(request.token.clone()),
        cluster: request.cluster.clone(),
        ..empty_entry("create", outcome)
    }
}
