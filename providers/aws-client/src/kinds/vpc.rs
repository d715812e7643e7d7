//! `aws_vpc`

use aws_sdk_ec2::types::{AttributeBooleanValue, ResourceType, Tenancy, Vpc as Answered, VpcAttributeName};
use cloudtik_aws::kinds;
use cloudtik_provider_api::{CallError, CreateRequest, ErrorClass, Found, ObjectAnswer, UpdateRequest};

use super::ec2::{found, when_unused};
use super::made::after_create;
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::error::strange;
use crate::kind::{Kind, Query};
use crate::tags;

/// Whether names are resolved: on in a new network.
const SUPPORT: &str = "enable_dns_support";
/// Whether instances get names: off in a new network.
const HOSTNAMES: &str = "enable_dns_hostnames";

const IN_USE: &str = "look for what is left in the network: `aws ec2 describe-network-interfaces --filters Name=vpc-id,Values=…`, and security \
     groups, gateways and endpoints that were not made here";

pub(crate) struct Vpc;

impl Kind for Vpc {
    const NAME: &'static str = kinds::VPC;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let send = aws
            .ec2
            .create_vpc()
            .set_cidr_block(given.owned("cidr_block"))
            .set_instance_tenancy(given.maybe_text("instance_tenancy").map(Tenancy::from))
            .tag_specifications(tags::specification(ResourceType::Vpc, request))
            .send();
        let made = aws.write("ec2:CreateVpc", send).await?;
        let vpc = made.vpc().ok_or_else(|| strange("ec2:CreateVpc", "network"))?;
        let id = vpc.vpc_id().ok_or_else(|| strange("ec2:CreateVpc", "id"))?;
        let wanted = |name: &str| given.flag(name).unwrap_or(name == SUPPORT);
        after_create(|| resolve(aws, id, given, |name| wanted(name) == (name == SUPPORT))).await?;
        let said = said(aws, id, vpc).set(SUPPORT, wanted(SUPPORT)).set(HOSTNAMES, wanted(HOSTNAMES));
        Ok(said.set("tags", given.map("tags")).answer(id))
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let mut found = Vec::new();
        for filter in query.filters("vpc-id", "tag:Name") {
            let pages = || aws.ec2.describe_vpcs().filters(filter.clone()).into_paginator().items().send().collect::<Result<Vec<_>, _>>();
            for vpc in aws.read("ec2:DescribeVpcs", pages).await? {
                match looked_at(aws, &vpc).await {
                    // It went between two questions.
                    Err(error) if error.class == ErrorClass::Gone => {}
                    looked_at => found.push(looked_at?),
                }
            }
        }
        Ok(found)
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        tags::update_ec2(aws, request).await?;
        resolve(aws, &request.id, Given(&request.attributes), |name| !request.changed.contains(name)).await
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        when_unused(IN_USE, || aws.write("ec2:DeleteVpc", aws.ec2.delete_vpc().vpc_id(id).send())).await.map(drop)
    }
}

/// Writes the attributes about names, but for those that are as they shall be. AWS takes one a call, and support before names.
async fn resolve(aws: &Aws, id: &str, given: Given<'_>, is_so: impl Fn(&str) -> bool) -> Result<(), CallError> {
    for name in [SUPPORT, HOSTNAMES] {
        let Some(wanted) = given.flag(name).filter(|_| !is_so(name)) else { continue };
        let value = AttributeBooleanValue::builder().value(wanted).build();
        let request = aws.ec2.modify_vpc_attribute().vpc_id(id);
        let request = if name == SUPPORT { request.enable_dns_support(value) } else { request.enable_dns_hostnames(value) };
        aws.write("ec2:ModifyVpcAttribute", request.send()).await?;
    }
    Ok(())
}

/// What no answer about networks holds: AWS tells one attribute of one network a call.
async fn attribute(aws: &Aws, id: &str, name: VpcAttributeName) -> Result<Option<bool>, CallError> {
    let ask = || aws.ec2.describe_vpc_attribute().vpc_id(id).attribute(name.clone()).send();
    let answer = aws.read("ec2:DescribeVpcAttribute", ask).await?;
    let value = if name == VpcAttributeName::EnableDnsSupport { answer.enable_dns_support() } else { answer.enable_dns_hostnames() };
    Ok(value.and_then(AttributeBooleanValue::value))
}

/// Whether names are resolved in a network, and instances have some.
pub(crate) async fn has_names(aws: &Aws, id: &str) -> Result<bool, CallError> {
    let (support, hostnames) = names(aws, id).await?;
    Ok(support == Some(true) && hostnames == Some(true))
}

async fn names(aws: &Aws, id: &str) -> Result<(Option<bool>, Option<bool>), CallError> {
    tokio::try_join!(attribute(aws, id, VpcAttributeName::EnableDnsSupport), attribute(aws, id, VpcAttributeName::EnableDnsHostnames))
}

async fn looked_at(aws: &Aws, vpc: &Answered) -> Result<Found, CallError> {
    let id = vpc.vpc_id().ok_or_else(|| strange("ec2:DescribeVpcs", "id"))?;
    let (support, hostnames) = names(aws, id).await?;
    let said = said(aws, id, vpc).set(SUPPORT, support).set(HOSTNAMES, hostnames);
    Ok(found(vpc.tags(), |own| said.set("tags", own).answer(id)))
}

fn said(aws: &Aws, id: &str, vpc: &Answered) -> Said {
    let owner = vpc.owner_id();
    Said::of(kinds::VPC)
        .set("cidr_block", vpc.cidr_block())
        .set("instance_tenancy", vpc.instance_tenancy().map(Tenancy::as_str))
        .set("arn", owner.map(|owner| aws.arn("ec2", owner, &format!("vpc/{id}"))))
        .set("owner_id", owner)
}
