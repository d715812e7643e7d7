//! `aws_eip_association`: which machine has a public address. Its id is the address's.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_ec2::types::Address;
use cloudtik_aws::kinds;
use cloudtik_provider_api::{CallError, CreateRequest, ErrorClass, Found, ObjectAnswer, UpdateRequest};

use super::ec2::is_conflict;
use super::made::unfinished;
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::kind::{Kind, Query, gone};
use crate::wait::{self, Seen};

/// How long an association may take to show.
const SHOWS_WITHIN: Duration = Duration::from_secs(60);

pub(crate) struct EipAssociation;

impl Kind for EipAssociation {
    const NAME: &'static str = kinds::EIP_ASSOCIATION;

    /// An address that another machine has is not taken from it: whoever made that association does not know of this one.
    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let (address, instance) = (given.text("allocation_id")?, given.text("instance_id")?);
        let send = aws.ec2.associate_address().allocation_id(address).instance_id(instance).allow_reassociation(false);
        match aws.write("ec2:AssociateAddress", send.send()).await {
            Err(error) if is_conflict(&error) => Err(elsewhere(error, association(aws, address).await?.as_ref())),
            Err(error) => Err(error),
            Ok(_) => shown(aws, address, instance).await,
        }
    }

    /// They carry no tags, so by a tag there are none.
    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let Query::Ids(_) = query else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        for filter in query.filters("allocation-id", "") {
            let answer = aws.read("ec2:DescribeAddresses", || aws.ec2.describe_addresses().filters(filter.clone()).send()).await?;
            all.extend(answer.addresses().iter().filter_map(|address| said(aws, address)));
        }
        Ok(all.into_iter().map(|object| Found { object, tags: BTreeMap::new() }).collect())
    }

    /// Nothing of it changes in place: it ends with its machine, so the next one gets one of its own.
    async fn update(_: &Aws, _: &UpdateRequest) -> Result<(), CallError> {
        Ok(())
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        let there = association(aws, id).await?.ok_or_else(|| gone(id))?;
        let send = aws.ec2.disassociate_address().set_association_id(there.association_id).send();
        aws.write("ec2:DisassociateAddress", send).await?;
        // The machine has another address now, or none.
        there.instance_id.iter().for_each(|instance| aws.session.set_address(instance, None));
        Ok(())
    }
}

/// Waits until AWS tells of an association that it made.
async fn shown(aws: &Aws, address: &str, instance: &str) -> Result<ObjectAnswer, CallError> {
    let ask = || async {
        let there = association(aws, address).await.map_err(unfinished)?;
        let there = there.filter(|there| there.instance_id() == Some(instance)).and_then(|there| said(aws, &there));
        Ok(there.map_or_else(|| Seen::NotYet("not to be seen".to_owned()), Seen::Done))
    };
    wait::until(&format!("{address} of {instance}"), SHOWS_WITHIN, ask).await
}

/// The address with what has it, if a machine has it.
async fn association(aws: &Aws, address: &str) -> Result<Option<Address>, CallError> {
    let ids = [address.to_owned()].into();
    for filter in Query::Ids(&ids).filters("allocation-id", "") {
        let answer = aws.read("ec2:DescribeAddresses", || aws.ec2.describe_addresses().filters(filter.clone()).send()).await?;
        if let Some(found) = answer.addresses.unwrap_or_default().into_iter().find(|found| machine_of(found).is_some()) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The machine that has an address. AWS writes nothing where it is something else, such as a NAT gateway.
fn machine_of(address: &Address) -> Option<&str> {
    address.association_id()?;
    address.instance_id().filter(|id| !id.is_empty())
}

fn said(aws: &Aws, address: &Address) -> Option<ObjectAnswer> {
    let (id, instance) = (address.allocation_id()?, machine_of(address)?);
    // Whoever dials the machine from now on dials this.
    aws.session.set_address(instance, address.public_ip());
    let said = Said::of(kinds::EIP_ASSOCIATION).set("allocation_id", id).set("instance_id", instance).set("public_ip", address.public_ip());
    Some(said.answer(id))
}

fn elsewhere(mut error: CallError, there: Option<&Address>) -> CallError {
    if let Some(instance) = there.and_then(machine_of) {
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
