//! `aws_eip`

use aws_sdk_ec2::types::{DomainType, ResourceType};
use cloudtik_aws::kinds;
use cloudtik_provider_api::{CallError, CreateRequest, ErrorClass, Found, ObjectAnswer, UpdateRequest};

use super::ec2::{found, when_unused};
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::error::strange;
use crate::kind::{Kind, Query};
use crate::tags;

/// What AWS says of an address that a NAT gateway still has, also of one that is on its way out.
const HELD_BY_NAT: &str = "AuthFailure";

const IN_USE: &str = "look for what uses it: `aws ec2 describe-addresses --allocation-ids …` names the network interface";

pub(crate) struct Eip;

impl Kind for Eip {
    const NAME: &'static str = kinds::EIP;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let send = aws
            .ec2
            .allocate_address()
            .set_domain(given.maybe_text("domain").map(DomainType::from))
            .tag_specifications(tags::specification(ResourceType::ElasticIp, request))
            .send();
        let made = aws.write("ec2:AllocateAddress", send).await?;
        let id = made.allocation_id().ok_or_else(|| strange("ec2:AllocateAddress", "id"))?;
        Ok(said(id, made.domain(), made.public_ip()).set("tags", given.map("tags")).answer(id))
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let mut all = Vec::new();
        for filter in query.filters("allocation-id", "tag:Name") {
            // The one describe of EC2 that has no pages.
            let answer = aws.read("ec2:DescribeAddresses", || aws.ec2.describe_addresses().filters(filter.clone()).send()).await?;
            for address in answer.addresses() {
                let id = address.allocation_id().ok_or_else(|| strange("ec2:DescribeAddresses", "id"))?;
                let said = said(id, address.domain(), address.public_ip());
                all.push(found(address.tags(), |own| said.set("tags", own).answer(id)));
            }
        }
        Ok(all)
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        tags::update_ec2(aws, request).await
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        let release = || async {
            let released = aws.write("ec2:ReleaseAddress", aws.ec2.release_address().allocation_id(id).send()).await;
            released.map_err(|error| if error.code == HELD_BY_NAT { CallError { class: ErrorClass::Conflict, ..error } } else { error })
        };
        when_unused(IN_USE, release).await.map(drop)
    }
}

fn said(id: &str, domain: Option<&DomainType>, public_ip: Option<&str>) -> Said {
    Said::of(kinds::EIP).set("domain", domain.map(DomainType::as_str)).set("allocation_id", id).set("public_ip", public_ip)
}
