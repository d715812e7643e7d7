//! What a run tells the clouds that speak to controllers: keys, what the state knows, who listens, and whether anybody waits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use cloudtik_controller_client::{LoginKey, Reach};
use cloudtik_executor::driver::{Clouds, login_key_file, login_pair};
use cloudtik_executor::durable::{DurableError, Vault};
use cloudtik_model::{Address, ControllerEvent, ControllerReply, ControllerRequest, NodeReply, NodeRequest, ProviderRef, State, Value};
use cloudtik_provider_api::{
    Answer, BoxFuture, CLUSTER_TAG, Call, CallError, Connection, DialTarget, ErrorClass, Found, HEAD_CONTROLLER_KIND, HEAD_ROLE,
    KindSchema, ProviderSchema, ROLE_TAG, Visibility,
};

use crate::{Event, Interrupt, Observer, Silent};

/// What a run is about. Filled in as far as it is known.
pub(crate) struct Around {
    vault: Mutex<Vault>,
    schemas: Arc<BTreeMap<String, ProviderSchema>>,
    run: Mutex<About>,
    /// The heads that the last look at the world saw, by the uid of their cluster.
    heads: Mutex<BTreeMap<String, Found>>,
}

/// What may change until the run begins.
struct About {
    observer: Arc<dyn Observer>,
    interrupt: Interrupt,
    waits: bool,
    settles: bool,
    leaves: BTreeSet<Address>,
    known: BTreeMap<Address, Value>,
}

impl Around {
    /// Nobody listens yet, and nothing is awaited until a run begins.
    pub(crate) fn new(vault: Vault, schemas: Arc<BTreeMap<String, ProviderSchema>>) -> Arc<Self> {
        let (observer, interrupt) = (Arc::new(Silent), Interrupt::new());
        let run = About { observer, interrupt, waits: true, settles: true, leaves: BTreeSet::new(), known: BTreeMap::new() };
        Arc::new(Self { vault: Mutex::new(vault), schemas, run: Mutex::new(run), heads: Mutex::default() })
    }

    /// Takes the controllers of a state.
    pub(crate) fn know(&self, state: &State) {
        let controllers = state.resources.iter().filter(|(_, entry)| &*entry.kind == HEAD_CONTROLLER_KIND);
        let attributes = controllers.filter_map(|(address, entry)| Some((address.clone(), entry.current.as_ref()?.attributes.clone())));
        self.run().known.extend(attributes);
    }

    /// A look at the world begins.
    pub(crate) fn forget(&self) {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The look saw an object.
    pub(crate) fn saw(&self, found: &Found) {
        let is_head = found.tags.get(ROLE_TAG).is_some_and(|role| role == HEAD_ROLE);
        if let Some(uid) = found.tags.get(CLUSTER_TAG).filter(|_| is_head) {
            self.heads.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.clone(), found.clone());
        }
    }

    /// A run begins.
    pub(crate) fn begin(&self, observer: Arc<dyn Observer>, interrupt: Interrupt, waits: bool, leaves: BTreeSet<Address>) {
        let mut run = self.run();
        *run = About { observer, interrupt, waits, settles: false, leaves, known: std::mem::take(&mut run.known) };
    }

    /// Whether the key that logs in to the nodes of a cluster is here.
    pub(crate) fn has_login_key(&self, cluster: &Address) -> Result<bool, DurableError> {
        let vault = self.vault.lock().unwrap_or_else(PoisonError::into_inner);
        vault.read_secret(&login_key_file(cluster)).map(|key| key.is_some())
    }

    /// The key that logs in to the nodes of a cluster.
    pub(crate) fn login_key(&self, cluster: &Address) -> Result<LoginKey, CallError> {
        let mut vault = self.vault.lock().unwrap_or_else(PoisonError::into_inner);
        login_pair(&mut vault, cluster).map(|pair| LoginKey { private: pair.private, public: pair.public })
    }

    fn run(&self) -> MutexGuard<'_, About> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, event: &Event) {
        let observer = Arc::clone(&self.run().observer);
        observer.event(event);
    }
}

/// The clouds of a run, as one of them sees the others.
pub(crate) struct AroundReach {
    clouds: Weak<Clouds>,
    around: Arc<Around>,
}

impl AroundReach {
    pub(crate) const fn new(clouds: Weak<Clouds>, around: Arc<Around>) -> Self {
        Self { clouds, around }
    }

    fn clouds(&self) -> Result<Arc<Clouds>, CallError> {
        self.clouds.upgrade().ok_or_else(|| CallError::new(ErrorClass::Transient, "ended", "the run has ended"))
    }
}

impl Reach for AroundReach {
    fn call(&self, call: Call) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            match self.clouds() {
                Ok(clouds) => clouds.call(call).await,
                Err(error) => Answer::Failed(error),
            }
        })
    }

    fn dial<'a>(&'a self, provider: &'a ProviderRef, target: DialTarget) -> BoxFuture<'a, Result<Connection, CallError>> {
        Box::pin(async move { self.clouds()?.dial(provider, target).await })
    }

    fn simulated<'a>(
        &'a self,
        provider: &'a ProviderRef,
        instance: &'a str,
        request: &'a ControllerRequest,
    ) -> BoxFuture<'a, Option<Result<ControllerReply, CallError>>> {
        Box::pin(async move {
            match self.clouds() {
                Ok(clouds) => clouds.controller(provider, instance, request).await,
                Err(error) => Some(Err(error)),
            }
        })
    }

    fn simulated_step<'a>(
        &'a self,
        provider: &'a ProviderRef,
        instance: &'a str,
        request: &'a NodeRequest,
    ) -> BoxFuture<'a, Option<Result<NodeReply, CallError>>> {
        Box::pin(async move {
            match self.clouds() {
                Ok(clouds) => clouds.run_step(provider, instance, request).await,
                Err(error) => Some(Err(error)),
            }
        })
    }

    fn login_key(&self, cluster: &Address) -> Result<LoginKey, CallError> {
        self.around.login_key(cluster)
    }

    fn known(&self, address: &Address) -> Option<Value> {
        self.around.run().known.get(address).cloned()
    }

    fn head_seen(&self, uid: &str) -> Option<Found> {
        self.around.heads.lock().unwrap_or_else(PoisonError::into_inner).get(uid).cloned()
    }

    fn visibility(&self, provider: &ProviderRef, kind: &str) -> (u64, u32) {
        let schema = self.around.schemas.get(provider.provider_type()).and_then(|schema| schema.kinds.get(kind));
        let Visibility { ms, reads } = schema.map_or(Visibility::AT_ONCE, KindSchema::visibility);
        (ms, reads)
    }

    fn event(&self, event: &ControllerEvent) {
        self.around.tell(&Event::Controller(event.clone()));
    }

    fn warning(&self, text: &str) {
        self.around.tell(&Event::Warning(text.to_owned()));
    }

    fn waits(&self) -> bool {
        self.around.run().waits
    }

    fn settles(&self) -> bool {
        self.around.run().settles
    }

    fn leaves(&self, cluster: &Address) -> bool {
        self.around.run().leaves.contains(cluster)
    }

    fn interrupted(&self) -> bool {
        self.around.run().interrupt.is_requested()
    }
}
