//! The clouds of a plan, opened when the first call needs them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cloudtik_model::{ControllerReply, ControllerRequest, NodeReply, NodeRequest, ProviderRef, Value};
use cloudtik_provider_api::{Answer, Call, CallError, Check, Checked, Cloud, Connection, DialTarget, ErrorClass, Provider};

/// The clouds by the name of their provider configuration.
pub struct Clouds {
    configured: BTreeMap<ProviderRef, (Arc<dyn Provider>, Value)>,
    open: Mutex<BTreeMap<ProviderRef, Arc<dyn Cloud>>>,
}

impl Clouds {
    /// None of them is open yet.
    #[must_use]
    pub const fn new(configured: BTreeMap<ProviderRef, (Arc<dyn Provider>, Value)>) -> Self {
        Self { configured, open: Mutex::new(BTreeMap::new()) }
    }

    /// The cloud of a configuration, opened on first need.
    ///
    /// # Errors
    /// There is no such configuration, or it cannot be used on this machine.
    pub fn get(&self, name: &ProviderRef) -> Result<Arc<dyn Cloud>, CallError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cloud) = open.get(name) {
            return Ok(Arc::clone(cloud));
        }
        let Some((provider, config)) = self.configured.get(name) else {
            let message = format!("nothing configures `{name}`, which the state or the plan needs, or this build has no such provider");
            let help = "put its `provider` block back into the spec until what was made through it is gone";
            return Err(CallError::new(ErrorClass::Permanent, "no-provider", message).help(help));
        };
        let cloud = provider.connect(config)?;
        open.insert(name.clone(), Arc::clone(&cloud));
        Ok(cloud)
    }

    /// Lets go of what was opened, and waits for whatever ends with it. For the end of a command. Gives what could not be let go of.
    pub async fn finish(&self) -> Vec<(ProviderRef, CallError)> {
        let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        let mut failed = Vec::new();
        for (name, cloud) in open {
            if let Err(error) = cloud.finish().await {
                failed.push((name, error));
            }
        }
        failed
    }

    /// Whether any cloud was opened.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.open.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Tells each cloud which calls will be made at once. One that cannot be opened says so when it is called.
    pub fn announce(&self, calls: &[Call]) {
        let mut of_cloud: BTreeMap<&ProviderRef, Vec<Call>> = BTreeMap::new();
        for call in calls {
            of_cloud.entry(&call.provider).or_default().push(call.clone());
        }
        for (name, calls) in of_cloud {
            if let Ok(cloud) = self.get(name) {
                cloud.announce(&calls);
            }
        }
    }

    /// Makes a call.
    pub async fn call(&self, call: Call) -> Answer {
        match self.get(&call.provider) {
            Ok(cloud) => cloud.call(call).await,
            Err(error) => Answer::Failed(error),
        }
    }

    /// Asks what of a plan would not go well.
    pub async fn check(&self, provider: &ProviderRef, check: Check) -> Checked {
        match self.get(provider) {
            Ok(cloud) => cloud.check(check).await,
            Err(error) => Checked { unanswered: vec![error.message], ..Checked::default() },
        }
    }

    /// Speaks to the controller of a head that is simulated; `None` for all others.
    pub async fn controller(
        &self,
        provider: &ProviderRef,
        instance: &str,
        request: &ControllerRequest,
    ) -> Option<Result<ControllerReply, CallError>> {
        match self.get(provider) {
            Ok(cloud) => Some(cloud.controller(instance, request)?.await),
            Err(error) => Some(Err(error)),
        }
    }

    /// Executes a step on an instance that is simulated; `None` for all others.
    pub async fn run_step(&self, provider: &ProviderRef, instance: &str, request: &NodeRequest) -> Option<Result<NodeReply, CallError>> {
        match self.get(provider) {
            Ok(cloud) => Some(cloud.run_step(instance, request)?.await),
            Err(error) => Some(Err(error)),
        }
    }

    /// Opens a byte stream to a port of an instance.
    ///
    /// # Errors
    /// Those of the cloud.
    pub async fn dial(&self, provider: &ProviderRef, target: DialTarget) -> Result<Connection, CallError> {
        self.get(provider)?.dial(target).await
    }
}
