//! `aws_subnet`

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{AttributeBooleanValue, ResourceType, Subnet as Answered};
use cloudtik_aws::kinds;
use cloudtik_provider_api::{CallError, CreateRequest, Found, ObjectAnswer, UpdateRequest};

use super::ec2::{found, when_unused};
use super::made::after_create;
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::error::strange;
use crate::kind::{Kind, Query};
use crate::tags;

/// Whether instances get a public address: off in a new subnet.
const PUBLIC: &str = "map_public_ip_on_launch";

const IN_USE: &str = "look for what has an address in it: `aws ec2 describe-network-interfaces --filters Name=subnet-id,Values=…`";

pub(crate) struct Subnet;

impl Kind for Subnet {
    const NAME: &'static str = kinds::SUBNET;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let send = aws
            .ec2
            .create_subnet()
            .vpc_id(given.text("vpc_id")?)
            .cidr_block(given.text("cidr_block")?)
            .set_availability_zone(given.owned("availability_zone"))
            .tag_specifications(tags::specification(ResourceType::Subnet, request))
            .send();
        let made = aws.write("ec2:CreateSubnet", send).await?;
        let subnet = made.subnet().ok_or_else(|| strange("ec2:CreateSubnet", "subnet"))?;
        let id = subnet.subnet_id().ok_or_else(|| strange("ec2:CreateSubnet", "id"))?;
        let public = given.flag(PUBLIC).unwrap_or(false);
        if public {
            after_create(|| set_public(aws, id, public)).await?;
        }
        Ok(said(subnet, given.map("tags")).set(PUBLIC, public).answer(id))
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let mut all = Vec::new();
        for filter in query.filters("subnet-id", "tag:Name") {
            let pages =
                || aws.ec2.describe_subnets().filters(filter.clone()).into_paginator().items().send().collect::<Result<Vec<_>, _>>();
            for subnet in aws.read("ec2:DescribeSubnets", pages).await? {
                let id = subnet.subnet_id().ok_or_else(|| strange("ec2:DescribeSubnets", "id"))?;
                all.push(found(subnet.tags(), |own| said(&subnet, own).answer(id)));
            }
        }
        Ok(all)
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        tags::update_ec2(aws, request).await?;
        if request.changed.contains(PUBLIC) {
            set_public(aws, &request.id, Given(&request.attributes).flag(PUBLIC).unwrap_or(false)).await?;
        }
        Ok(())
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        when_unused(IN_USE, || aws.write("ec2:DeleteSubnet", aws.ec2.delete_subnet().subnet_id(id).send())).await.map(drop)
    }
}

async fn set_public(aws: &Aws, id: &str, public: bool) -> Result<(), CallError> {
    let value = AttributeBooleanValue::builder().value(public).build();
    let send = aws.ec2.modify_subnet_attribute().subnet_id(id).map_public_ip_on_launch(value).send();
    aws.write("ec2:ModifySubnetAttribute", send).await.map(drop)
}

fn said(subnet: &Answered, own: BTreeMap<String, String>) -> Said {
    Said::of(kinds::SUBNET)
        .set("vpc_id", subnet.vpc_id())
        .set("cidr_block", subnet.cidr_block())
        .set("availability_zone", subnet.availability_zone())
        .set(PUBLIC, subnet.map_public_ip_on_launch())
        .set("tags", own)
        .set("arn", subnet.subnet_arn())
        .set("availability_zone_id", subnet.availability_zone_id())
        .set("owner_id", subnet.owner_id())
}
