//! `aws_vpc`

use aws_sdk_ec2::types::{AttributeBooleanValue, ResourceType, Tenancy, Vpc as Answered, VpcAttributeName};
use cloudtik_aws::kinds;
use cloudtik_provider_api::{CallError, CreateRequest, Found, ObjectAnswer, UpdateRequest};

use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::error::strange;
use crate::kind::{Kind, Query, one};
use crate::tags;

/// Whether names are resolved: on in a new network.
const SUPPORT: &str = "enable_dns_support";
/// Whether instances get names: off in a new network.
const HOSTNAMES: &str = "enable_dns_hostnames";

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
        let id = made.vpc().and_then(Answered::vpc_id).ok_or_else(|| strange("ec2:CreateVpc", "id"))?;
        resolve(aws, id, given, |name| given.flag(name) == Some(name == SUPPORT)).await?;
        one::<Self>(aws, id).await?.map(|found| found.object).ok_or_else(|| strange("ec2:DescribeVpcs", "network that was just made"))
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let mut found = Vec::new();
        for filter in query.filters("vpc-id", "tag:Name") {
            let pages = || aws.ec2.describe_vpcs().filters(filter.clone()).into_paginator().items().send().collect::<Result<Vec<_>, _>>();
            for vpc in aws.read("ec2:DescribeVpcs", pages).await? {
                found.push(said(aws, &vpc).await?);
            }
        }
        Ok(found)
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        tags::update_ec2(aws, request).await?;
        resolve(aws, &request.id, Given(&request.attributes), |name| !request.changed.contains(name)).await
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        aws.write("ec2:DeleteVpc", aws.ec2.delete_vpc().vpc_id(id).send()).await.map(drop)
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

async fn attribute(aws: &Aws, id: &str, name: VpcAttributeName) -> Result<Option<bool>, CallError> {
    let ask = || aws.ec2.describe_vpc_attribute().vpc_id(id).attribute(name.clone()).send();
    let answer = aws.read("ec2:DescribeVpcAttribute", ask).await?;
    let value = if name == VpcAttributeName::EnableDnsSupport { answer.enable_dns_support() } else { answer.enable_dns_hostnames() };
    Ok(value.and_then(AttributeBooleanValue::value))
}

async fn said(aws: &Aws, vpc: &Answered) -> Result<Found, CallError> {
    let id = vpc.vpc_id().ok_or_else(|| strange("ec2:DescribeVpcs", "id"))?;
    let (support, hostnames) = tokio::try_join!(
        attribute(aws, id, VpcAttributeName::EnableDnsSupport),
        attribute(aws, id, VpcAttributeName::EnableDnsHostnames),
    )?;
    let (marks, own) = tags::of_ec2(vpc.tags());
    let owner = vpc.owner_id();
    let object = Said::of(kinds::VPC)
        .set("cidr_block", vpc.cidr_block())
        .set("instance_tenancy", vpc.instance_tenancy().map(Tenancy::as_str))
        .set(SUPPORT, support)
        .set(HOSTNAMES, hostnames)
        .set("tags", own)
        .set("arn", owner.map(|owner| aws.arn("ec2", owner, &format!("vpc/{id}"))))
        .set("owner_id", owner)
        .answer(id);
    Ok(Found { object, tags: marks })
}
