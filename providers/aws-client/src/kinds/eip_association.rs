//! `aws_eip_association`: which machine has a public address.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_ec2::types::Address;
use cloudtik_aws::kinds;
use cloudtik_provider_api::{CLUSTER_TAG, CallError, CreateRequest, ErrorClass, Found, ObjectAnswer, UpdateRequest};

use super::ec2::is_conflict;
use super::made::unfinished;
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::kind::{Kind, Query, gone};
use crate::tags;
use crate::wait::{self, Seen};

/// How long an association may take to show, or to be seen no more.
const SHOWS_WITHIN: Duration = Duration::from_secs(60);

/// What ids of addresses begin with.
const ADDRESS: &str = "eipalloc-";

pub(crate) struct EipAssociation;

impl Kind for EipAssociation {
    const NAME: &'static str = kinds::EIP_ASSOCIATION;

    /// The address of a cluster goes to the head that the cluster has now: one that is made before the former one goes takes it from there. Any
    /// other that a machine has is not taken from it: whoever made that association does not know of this one.
    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let (address, instance) = (given.text("allocation_id")?, given.text("instance_id")?);
        let there = found(aws, &[address.to_owned()].into()).await?.pop();
        let former = there.as_ref().and_then(machine_of);
        if let Some(made) = there.as_ref().filter(|_| former == Some(instance)).and_then(|there| said(aws, there)) {
            return Ok(made);
        }
        let takes = there.as_ref().is_some_and(|there| is_of_same_cluster(there, request));
        let send = aws.ec2.associate_address().allocation_id(address).instance_id(instance).allow_reassociation(takes);
        match aws.write("ec2:AssociateAddress", send.send()).await {
            Err(error) if is_conflict(&error) => Err(elsewhere(error, former)),
            Err(error) => Err(error),
            Ok(_) => {
                former.iter().for_each(|former| aws.session.set_address(former, None));
                shown(aws, address, instance).await
            }
        }
    }

    /// They carry no tags, so by a tag there are none.
    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let Query::Ids(ids) = query else { return Ok(Vec::new()) };
        let all = found(aws, ids).await?;
        let objects = all.iter().filter_map(|address| said(aws, address));
        Ok(objects.map(|object| Found { object, tags: BTreeMap::new() }).collect())
    }

    /// Nothing of it changes in place: it ends with its machine, so the next one gets one of its own.
    async fn update(_: &Aws, _: &UpdateRequest) -> Result<(), CallError> {
        Ok(())
    }

    /// Whatever has the address by another association since keeps it.
    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        let there = found(aws, &[id.to_owned()].into()).await?.pop().filter(|there| machine_of(there).is_some()).ok_or_else(|| gone(id))?;
        let ids = there.association_id.iter().cloned().collect();
        let send = aws.ec2.disassociate_address().set_association_id(there.association_id).send();
        aws.write("ec2:DisassociateAddress", send).await?;
        // The machine has another address now, or none.
        there.instance_id.iter().for_each(|instance| aws.session.set_address(instance, None));
        let ask = || async { Ok(if found(aws, &ids).await?.is_empty() { Seen::Done(()) } else { Seen::NotYet("still there".to_owned()) }) };
        wait::until(id, SHOWS_WITHIN, ask).await
    }
}

/// Waits until AWS tells of an association that it made.
async fn shown(aws: &Aws, address: &str, instance: &str) -> Result<ObjectAnswer, CallError> {
    let ids = [address.to_owned()].into();
    let ask = || async {
        let there = found(aws, &ids).await.map_err(unfinished)?.pop();
        let there = there.filter(|there| machine_of(there) == Some(instance)).and_then(|there| said(aws, &there));
        Ok(there.map_or_else(|| Seen::NotYet("not to be seen".to_owned()), Seen::Done))
    };
    wait::until(&format!("{address} of {instance}"), SHOWS_WITHIN, ask).await
}

/// Addresses, each by the id of its association or by its own.
async fn found(aws: &Aws, ids: &BTreeSet<String>) -> Result<Vec<Address>, CallError> {
    let (own, associations): (BTreeSet<String>, BTreeSet<String>) = ids.iter().cloned().partition(|id| id.starts_with(ADDRESS));
    let filters = [("allocation-id", own), ("association-id", associations)];
    let mut all = Vec::new();
    for filter in filters.iter().flat_map(|(name, ids)| Query::Ids(ids).filters(name, "")) {
        let answer = aws.read("ec2:DescribeAddresses", || aws.ec2.describe_addresses().filters(filter.clone()).send()).await?;
        all.extend(answer.addresses.unwrap_or_default());
    }
    Ok(all)
}

/// Whether an address belongs to the cluster that an association is made for.
fn is_of_same_cluster(address: &Address, request: &CreateRequest) -> bool {
    let (marks, _) = tags::of_ec2(address.tags());
    request.tags.get(CLUSTER_TAG).is_some_and(|cluster| marks.get(CLUSTER_TAG) == Some(cluster))
}

/// The machine that has an address. AWS writes nothing where it is something else, such as a NAT gateway.
fn machine_of(address: &Address) -> Option<&str> {
    address.association_id()?;
    address.instance_id().filter(|id| !id.is_empty())
}

fn said(aws: &Aws, address: &Address) -> Option<ObjectAnswer> {
    let (id, allocation, instance) = (address.association_id()?, address.allocation_id()?, machine_of(address)?);
    // Whoever dials the machine from now on dials this.
    aws.session.set_address(instance, address.public_ip());
    let said = Said::of(kinds::EIP_ASSOCIATION)
        .set("allocation_id", allocation)
        .set("instance_id", instance)
        .set("public_ip", address.public_ip());
    Some(said.answer(id))
}

fn elsewhere(mut error: CallError, machine: Option<&str>) -> CallError {
    if let Some(instance) = machine {
        error.message = format!("{}: {instance} has it", error.message);
    }
    error.class = ErrorClass::Conflict;
    error.help("take the address from what has it first: `aws ec2 disassociate-address`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_something_else_is_no_machines() {
        let of = |association: Option<&str>, instance: &str| {
            Address::builder().set_association_id(association.map(str::to_owned)).instance_id(instance).build()
        };
        assert_eq!(machine_of(&of(Some("eipassoc-1"), "i-1")), Some("i-1"));
        assert_eq!(machine_of(&of(Some("eipassoc-1"), "")), None);
        assert_eq!(machine_of(&of(None, "i-1")), None);
    }
}
