//! What a head may do: launch, see, reach and remove the workers of its own cluster, and nothing else. Who it is, its socket says.
//!
//! What does not concern it is for it as if it were not there.

use std::path::PathBuf;

use cloudtik_provider_api::{CLUSTER_TAG, ROLE_TAG, WORKER_ROLE};

use super::inventory::Inventory;
use super::service::{Cloud, empty_entry, entry_of_create};
use crate::failure::{conflict, gone, permanent, transient};
use crate::protocol::{
    Answer, AuditEntry, CloudError, CreateRequest, DialRequest, Kind, Object, ObjectState, Outcome, Request, ResourceSpec,
};

/// The end of every refusal.
const MAY: &str = "a head may make workers of its own cluster in its own network, as many as its `max_workers` says, and see, dial, mark and \
                   remove them";

/// A head as its record has it.
struct Head {
    id: String,
    state: ObjectState,
    cluster: Option<String>,
    network: String,
    root: PathBuf,
    max_workers: u64,
}

impl Head {
    fn of(inventory: &Inventory, id: &str) -> Result<Self, CloudError> {
        let object = inventory.objects().get(id).ok_or_else(|| not_allowed(&format!("the head {id} is gone")))?;
        let ResourceSpec::LocalInstance(spec) = &object.spec else { return Err(not_allowed(&format!("{id} is no node"))) };
        Ok(Self {
            id: id.to_owned(),
            state: object.state,
            cluster: object.cluster.clone(),
            network: spec.network.clone(),
            root: spec.root.clone(),
            max_workers: spec.max_workers.unwrap_or(0),
        })
    }

    /// Whether this is a node of its cluster: itself, or one of its workers.
    fn has(&self, object: &Object) -> bool {
        let same_cluster = self.cluster.is_some() && object.cluster == self.cluster;
        object.id == self.id || (object.kind == Kind::LocalInstance && same_cluster)
    }

    fn sees(&self, object: &Object) -> bool {
        self.has(object) || object.id == self.network
    }

    /// Whether this is a worker that it may make.
    fn check(&self, request: &CreateRequest) -> Result<(), CloudError> {
        let ResourceSpec::LocalInstance(spec) = &request.spec else {
            return Err(not_allowed(&format!("a head may not make a {}", request.spec.kind())));
        };
        let tagged = request.tags.get(CLUSTER_TAG);
        if self.cluster.is_none() || request.cluster != self.cluster || tagged.is_some_and(|tagged| Some(tagged) != self.cluster.as_ref()) {
            return Err(not_allowed("this node is to be of another cluster"));
        }
        if request.tags.get(ROLE_TAG).is_some_and(|role| role != WORKER_ROLE) {
            return Err(not_allowed("this node is to be no worker"));
        }
        if spec.network != self.network {
            return Err(not_allowed("this node is to be in another network"));
        }
        let forbidden = [
            ("max_workers", spec.max_workers.unwrap_or(0) > 0),
            ("publish", !spec.publish.is_empty()),
            ("mounts", !spec.mounts.is_empty()),
        ];
        match forbidden.iter().find(|(_, given)| *given) {
            Some((name, _)) => Err(not_allowed(&format!("a worker has no `{name}`"))),
            None => Ok(()),
        }
    }

    /// Whether there may be one more worker. What is being made or removed counts: it may stay.
    fn has_room(&self, inventory: &Inventory) -> Result<(), CloudError> {
        match self.state {
            ObjectState::Ready => {}
            ObjectState::Creating => return Err(transient("not_ready", format!("the head {} is being made", self.id))),
            ObjectState::Deleting => return Err(not_allowed(&format!("the head {} is being removed", self.id))),
        }
        let workers = inventory.objects().values().filter(|object| self.has(object) && object.id != self.id).count();
        if u64::try_from(workers).unwrap_or(u64::MAX) < self.max_workers {
            return Ok(());
        }
        let max = self.max_workers;
        Err(not_allowed(&format!("the head {} has {workers} workers, and its `max_workers` is {max}", self.id)))
    }
}

impl Cloud {
    /// Does what a head asks, if it may ask it.
    pub(super) fn answer_head(&self, head: &str, request: Request) -> Result<Answer, CloudError> {
        match request {
            Request::Create(request) => self.launch(head, *request).map(|object| Answer::Object(Box::new(object))),
            Request::Read { id } => {
                self.check_seen(head, &id)?;
                self.read(&id).map(|object| Answer::Object(Box::new(object)))
            }
            Request::Delete(request) => {
                self.check_node(head, &request.id, "delete")?;
                if request.id == head {
                    return Err(self.refuse(head, "delete", "a head may not remove itself"));
                }
                self.delete(&request).map(|()| Answer::Done)
            }
            Request::FindByTag(query) => {
                let head = self.head(head)?;
                self.find(&query, |object| head.sees(object)).map(Answer::Objects)
            }
            Request::List { kind } => {
                let head = self.head(head)?;
                Ok(Answer::Objects(self.list(kind, |object| head.sees(object))))
            }
            Request::Dial(request) => self.check_head_dial(head, &request).map(|_| Answer::Done),
            Request::SetMetadata(request) => {
                self.check_node(head, &request.id, "set_metadata")?;
                self.set_metadata(&request).map(Answer::Metadata)
            }
            Request::Metadata { id } => {
                self.check_node(head, &id, "metadata")?;
                self.read(&id).map(|object| Answer::Metadata(object.metadata))
            }
            Request::Facts => self.facts().map(|facts| Answer::Facts(Box::new(facts))),
            Request::Update(request) => {
                self.check_node(head, &request.id, "update")?;
                let worker = self.read(&request.id)?;
                let keeps = [CLUSTER_TAG, ROLE_TAG].into_iter().all(|tag| worker.tags.get(tag) == request.tags.get(tag));
                if request.id == head || worker.spec != request.spec || !keeps {
                    return Err(self.refuse(head, "update", "a head may change nothing but the tags of its workers"));
                }
                self.update(&request).map(|object| Answer::Object(Box::new(object)))
            }
            Request::Fence { .. } => Err(self.refuse(head, "fence", "a head may fence no cluster")),
            Request::Audit { .. } => Err(self.refuse(head, "audit", "a head may not read the audit log")),
            Request::Purge { .. } => Err(self.refuse(head, "purge", "a head may not purge")),
        }
    }

    /// As [`Self::check_dial`], for a head.
    pub(super) fn check_head_dial(&self, head: &str, request: &DialRequest) -> Result<std::net::Ipv4Addr, CloudError> {
        self.check_node(head, &request.instance, "dial")?;
        self.check_dial(request)
    }

    /// Whether a head may have one more worker; of everybody else's creates nothing is asked here.
    pub(super) fn check_room(inventory: &Inventory, head: Option<&str>) -> Result<(), CloudError> {
        head.map_or(Ok(()), |head| Head::of(inventory, head)?.has_room(inventory))
    }

    fn launch(&self, id: &str, mut request: CreateRequest) -> Result<Object, CloudError> {
        let mut inventory = self.lock();
        let head = Head::of(&inventory, id)?;
        let strangers = inventory.by_token(&request.token).is_some_and(|present| !head.sees(present));
        let checked = if strangers {
            Err(conflict("token_mismatch", format!("the token of {} was used before for another request", request.address)))
        } else {
            head.check(&request)
        };
        if let Err(error) = checked {
            inventory.note(AuditEntry { detail: Some(error.code.clone()), ..entry_of_create(&request, None, Outcome::Refused) });
            return Err(error);
        }
        drop(inventory);
        if let ResourceSpec::LocalInstance(spec) = &mut request.spec {
            // What a head knows of the machine's folders is what its project's configuration says, seen from another place.
            spec.root = head.root;
        }
        self.create(&request, Some(id))
    }

    fn head(&self, id: &str) -> Result<Head, CloudError> {
        Head::of(&self.lock(), id)
    }

    fn check_seen(&self, head: &str, id: &str) -> Result<(), CloudError> {
        let inventory = self.lock();
        let head = Head::of(&inventory, head)?;
        inventory.objects().get(id).filter(|object| head.sees(object)).map(drop).ok_or_else(|| gone(id))
    }

    /// An error for what is no node of the head's cluster.
    fn check_node(&self, head: &str, id: &str, verb: &str) -> Result<(), CloudError> {
        self.check_seen(head, id)?;
        let is_node = self.lock().objects().get(id).is_some_and(|object| object.kind == Kind::LocalInstance);
        if is_node { Ok(()) } else { Err(self.refuse(head, verb, &format!("{id} is no node"))) }
    }

    fn refuse(&self, head: &str, verb: &str, why: &str) -> CloudError {
        let error = not_allowed(why);
        let entry = AuditEntry { id: Some(head.to_owned()), detail: Some(error.code.clone()), ..empty_entry(verb, Outcome::Refused) };
        self.lock().note(entry);
        error
    }
}

fn not_allowed(why: &str) -> CloudError {
    permanent("not_allowed", format!("{why}: {MAY}"))
}
