//! A head that can be spoken to.

use cloudtik_model::{Address, ProviderRef, Value};
use cloudtik_provider_api::{CallError, ErrorClass, Instance};

/// A head that can be spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadTarget {
    /// `cluster.c`
    pub cluster: Address,
    /// The provider configuration that made it.
    pub provider: ProviderRef,
    /// Its kind, and that of the workers.
    pub kind: String,
    /// The provider's id of it.
    pub instance: String,
    /// How to log in.
    pub ssh: Instance,
    /// The host key that it must show.
    pub host_key: String,
}

impl HeadTarget {
    /// From the attributes of a `head_controller`.
    ///
    /// # Errors
    /// One of them is missing.
    pub fn of(cluster: Address, provider: ProviderRef, attributes: &Value) -> Result<Self, CallError> {
        let text = |name: &str| {
            let missing = || CallError::new(ErrorClass::Permanent, "attributes", format!("the controller of {cluster} has no `{name}`"));
            attributes.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned).ok_or_else(missing)
        };
        let ssh = Instance::of(attributes).ok_or_else(|| {
            CallError::new(ErrorClass::Permanent, "no-ssh", format!("the provider did not say how to log in to {cluster}.head"))
        })?;
        Ok(Self { kind: text("kind")?, instance: text("instance")?, host_key: text("host_key")?, provider, ssh, cluster })
    }

    /// What is executed on the head to carry frames: the program of the step runner, with other words.
    #[must_use]
    pub fn call_words(&self) -> Vec<String> {
        let program = self.ssh.run_step.iter().take_while(|word| *word != "node").cloned();
        program.chain(["controller", "call"].map(str::to_owned)).collect()
    }

    /// What helps where a head does not answer or cannot do what is asked.
    #[must_use]
    pub fn replace_help(&self) -> String {
        format!("`cloudtik apply --replace {}.head` makes the head anew; its workers stay", self.cluster)
    }
}
