//! What was learnt from answers and need not be asked again as long as the connection lives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_sdk_ec2::types::InstanceType;
use cloudtik_provider_api::CallError;
use tokio::sync::OnceCell;

use crate::aws::Aws;
use crate::error::strange;
use crate::kinds::Rooms;

/// Types of machines that one request may name.
const TYPES_MAX: usize = 100;

/// What a type of machine has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Processors, as its system counts them.
    pub(crate) cores: i64,
    /// MiB.
    pub(crate) memory: i64,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Session {
    account: OnceCell<String>,
    /// Where instances are dialled, by id.
    addresses: Mutex<BTreeMap<String, String>>,
    /// Other names of objects, for requests that need more than an id.
    others: Mutex<BTreeMap<String, String>>,
    machines: Mutex<BTreeMap<String, Machine>>,
    /// What there is no room for.
    pub(crate) rooms: Rooms,
    /// What was published last, by instance.
    statuses: Mutex<BTreeMap<String, BTreeMap<String, String>>>,
}

impl Session {
    /// Where an instance is dialled, as the last look at it said.
    pub(crate) fn address(&self, instance: &str) -> Option<String> {
        locked(&self.addresses).get(instance).cloned()
    }

    /// Keeps where an instance is dialled; one that has no address is forgotten.
    pub(crate) fn set_address(&self, instance: &str, address: Option<&str>) {
        match address {
            Some(address) => locked(&self.addresses).insert(instance.to_owned(), address.to_owned()),
            None => locked(&self.addresses).remove(instance),
        };
    }

    /// Keeps the other name of an object, as it was seen last. Whoever uses it must bear that it is old.
    pub(crate) fn keep_other(&self, id: &str, other: &str) {
        locked(&self.others).insert(id.to_owned(), other.to_owned());
    }

    /// The other name of an object, which is forgotten: the object is about to go.
    pub(crate) fn take_other(&self, id: &str) -> Option<String> {
        locked(&self.others).remove(id)
    }

    /// What was published of an instance, if this connection did it last.
    pub(crate) fn status(&self, instance: &str) -> Option<BTreeMap<String, String>> {
        locked(&self.statuses).get(instance).cloned()
    }

    /// Keeps what was published of an instance; `None` when that is not known.
    pub(crate) fn set_status(&self, instance: &str, status: Option<BTreeMap<String, String>>) {
        match status {
            Some(status) => locked(&self.statuses).insert(instance.to_owned(), status),
            None => locked(&self.statuses).remove(instance),
        };
    }
}

impl Aws {
    /// The account that calls are made in.
    pub(crate) async fn account(&self) -> Result<&str, CallError> {
        let ask = || async {
            let answer = self.read("sts:GetCallerIdentity", || self.sts.get_caller_identity().send()).await?;
            answer.account().map(str::to_owned).ok_or_else(|| strange("sts:GetCallerIdentity", "account"))
        };
        self.session.account.get_or_try_init(ask).await.map(String::as_str)
    }

    /// What types of machines have. One that AWS does not know has nothing.
    pub(crate) async fn machines(&self, types: BTreeSet<String>) -> Result<BTreeMap<String, Machine>, CallError> {
        let unknown: Vec<InstanceType> = {
            let known = locked(&self.session.machines);
            types.iter().filter(|name| !known.contains_key(*name)).map(|name| InstanceType::from(name.as_str())).collect()
        };
        for some in unknown.chunks(TYPES_MAX) {
            let ask = || self.ec2.describe_instance_types().set_instance_types(Some(some.to_vec())).send();
            let answer = self.read("ec2:DescribeInstanceTypes", ask).await?;
            let mut known = locked(&self.session.machines);
            for info in answer.instance_types() {
                let cores = info.v_cpu_info().and_then(|cpus| cpus.default_v_cpus()).unwrap_or_default();
                let memory = info.memory_info().and_then(|memory| memory.size_in_mib()).unwrap_or_default();
                if let Some(name) = info.instance_type() {
                    known.insert(name.as_str().to_owned(), Machine { cores: i64::from(cores), memory });
                }
            }
        }
        let known = locked(&self.session.machines);
        Ok(types.into_iter().filter_map(|name| known.get(&name).copied().map(|machine| (name, machine))).collect())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
