//! What was learnt from answers and need not be asked again as long as the connection lives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_sdk_ec2::types::{Filter, Image, InstanceTypeInfo};
use cloudtik_provider_api::CallError;
use tokio::sync::OnceCell;

use crate::aws::Aws;
use crate::error::{refused, strange};
use crate::kinds::{Launches, Rooms};

/// Values that one filter of EC2 may have. What is asked for by a filter may not be there; asked for by its id, it would be an error for all.
const FILTER_MAX: usize = 200;

/// Whose credentials calls are made with.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) account: String,
    pub(crate) arn: String,
}

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
    identity: OnceCell<Identity>,
    /// Where instances are dialled, by id.
    addresses: Mutex<BTreeMap<String, String>>,
    /// Other names of objects, for requests that need more than an id.
    others: Mutex<BTreeMap<String, String>>,
    types: tokio::sync::Mutex<BTreeMap<String, InstanceTypeInfo>>,
    images: tokio::sync::Mutex<BTreeMap<String, Image>>,
    /// What there is no room for.
    pub(crate) rooms: Rooms,
    /// What came of launches of several machines.
    pub(crate) launches: Launches,
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
    /// Whose credentials these are. They are the same as long as the connection lives.
    pub(crate) async fn identity(&self) -> Result<&Identity, CallError> {
        let ask = || async {
            let action = "sts:GetCallerIdentity";
            let answer = self.read(action, || self.sts.get_caller_identity().send()).await?;
            let account = answer.account.ok_or_else(|| strange(action, "account"))?;
            Ok(Identity { account, arn: answer.arn.ok_or_else(|| strange(action, "ARN"))? })
        };
        self.session.identity.get_or_try_init(ask).await
    }

    /// The account that calls are made in.
    pub(crate) async fn account(&self) -> Result<&str, CallError> {
        Ok(&self.identity().await?.account)
    }

    /// An image, which never changes.
    pub(crate) async fn image(&self, id: &str) -> Result<Image, CallError> {
        let missing = || refused("InvalidAMIID.NotFound", format!("ec2:DescribeImages: there is no image `{id}` in {}", self.region));
        self.images([id.to_owned()].into()).await?.remove(id).ok_or_else(missing)
    }

    /// Images by id: those that there are.
    pub(crate) async fn images(&self, ids: BTreeSet<String>) -> Result<BTreeMap<String, Image>, CallError> {
        let mut known = self.session.images.lock().await;
        let unknown: Vec<String> = ids.iter().filter(|id| !known.contains_key(*id)).cloned().collect();
        for some in unknown.chunks(FILTER_MAX) {
            let filter = Filter::builder().name("image-id").set_values(Some(some.to_vec())).build();
            let pages = || {
                // Images that are deprecated are there, and machines of them are launched.
                let request = self.ec2.describe_images().include_deprecated(true).filters(filter.clone());
                request.into_paginator().items().send().collect::<Result<Vec<_>, _>>()
            };
            let found = self.read("ec2:DescribeImages", pages).await?.into_iter();
            known.extend(found.filter_map(|image| Some((image.image_id()?.to_owned(), image))));
        }
        Ok(ids.into_iter().filter_map(|id| known.get(&id).cloned().map(|image| (id, image))).collect())
    }

    /// What types of machines have. One that AWS does not know has nothing.
    pub(crate) async fn machines(&self, types: BTreeSet<String>) -> Result<BTreeMap<String, Machine>, CallError> {
        let types = self.machine_types(types).await?;
        Ok(types.into_iter().map(|(name, info)| (name, Machine::of(&info))).collect())
    }

    /// All that AWS says of types of machines: of those that there are.
    pub(crate) async fn machine_types(&self, types: BTreeSet<String>) -> Result<BTreeMap<String, InstanceTypeInfo>, CallError> {
        // Held while it is asked: many machines of a type that are launched at once need one answer.
        let mut known = self.session.types.lock().await;
        let unknown: Vec<String> = types.iter().filter(|name| !known.contains_key(*name)).cloned().collect();
        for some in unknown.chunks(FILTER_MAX) {
            let filter = Filter::builder().name("instance-type").set_values(Some(some.to_vec())).build();
            let pages = || {
                let request = self.ec2.describe_instance_types().filters(filter.clone());
                request.into_paginator().items().send().collect::<Result<Vec<_>, _>>()
            };
            let told = self.read("ec2:DescribeInstanceTypes", pages).await?.into_iter();
            known.extend(told.filter_map(|info| Some((info.instance_type()?.as_str().to_owned(), info))));
        }
        Ok(types.into_iter().filter_map(|name| known.get(&name).cloned().map(|info| (name, info))).collect())
    }
}

impl Machine {
    fn of(info: &InstanceTypeInfo) -> Self {
        let cores = info.v_cpu_info().and_then(|cpus| cpus.default_v_cpus()).unwrap_or_default();
        let memory = info.memory_info().and_then(|memory| memory.size_in_mib()).unwrap_or_default();
        Self { cores: i64::from(cores), memory }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
