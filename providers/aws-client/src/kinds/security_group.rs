//! `aws_security_group`: a firewall without rules.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{IpPermission, IpRange, ResourceType, SecurityGroup as Answered};
use cloudtik_aws::kinds;
use cloudtik_provider_api::{CallError, CreateRequest, Found, ObjectAnswer, UpdateRequest};

use super::ec2::{found, when_unused};
use super::made::after_create;
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::error::strange;
use crate::kind::{Kind, Query};
use crate::tags;

/// What AWS answers to a revocation of a rule that is not there.
const NO_SUCH_RULE: &str = "InvalidPermission.NotFound";

const IN_USE: &str = "look for what uses it: `aws ec2 describe-network-interfaces --filters Name=group-id,Values=…`, and rules of other \
     security groups that refer to it";

pub(crate) struct SecurityGroup;

impl Kind for SecurityGroup {
    const NAME: &'static str = kinds::SECURITY_GROUP;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let send = aws
            .ec2
            .create_security_group()
            .group_name(given.text("name")?)
            .description(given.text("description")?)
            .vpc_id(given.text("vpc_id")?)
            .tag_specifications(tags::specification(ResourceType::SecurityGroup, request))
            .send();
        let made = aws.write("ec2:CreateSecurityGroup", send).await?;
        let id = made.group_id().ok_or_else(|| strange("ec2:CreateSecurityGroup", "id"))?;
        let arn = made.security_group_arn().ok_or_else(|| strange("ec2:CreateSecurityGroup", "ARN"))?;
        after_create(|| close(aws, id)).await?;
        let said = Said::of(kinds::SECURITY_GROUP)
            .set("name", given.maybe_text("name"))
            .set("description", given.maybe_text("description"))
            .set("vpc_id", given.maybe_text("vpc_id"))
            .set("tags", given.map("tags"))
            .set("arn", arn)
            .set("owner_id", owner_in(arn));
        Ok(said.answer(id))
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let mut all = Vec::new();
        for filter in query.filters("group-id", "group-name") {
            let pages = || {
                aws.ec2.describe_security_groups().filters(filter.clone()).into_paginator().items().send().collect::<Result<Vec<_>, _>>()
            };
            for group in aws.read("ec2:DescribeSecurityGroups", pages).await? {
                let id = group.group_id().ok_or_else(|| strange("ec2:DescribeSecurityGroups", "id"))?;
                all.push(found(group.tags(), |own| said(aws, id, &group, own).answer(id)));
            }
        }
        Ok(all)
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        tags::update_ec2(aws, request).await
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        when_unused(IN_USE, || aws.write("ec2:DeleteSecurityGroup", aws.ec2.delete_security_group().group_id(id).send())).await.map(drop)
    }

    async fn complete(aws: &Aws, found: Found) -> Result<Found, CallError> {
        close(aws, &found.object.id).await?;
        Ok(found)
    }
}

/// Removes the rule that lets everything out, which AWS adds to each new group. That it is gone already is as good.
async fn close(aws: &Aws, id: &str) -> Result<(), CallError> {
    let everywhere = IpRange::builder().cidr_ip("0.0.0.0/0").build();
    let everything = IpPermission::builder().ip_protocol("-1").ip_ranges(everywhere).build();
    let send = aws.ec2.revoke_security_group_egress().group_id(id).ip_permissions(everything).send();
    match aws.write("ec2:RevokeSecurityGroupEgress", send).await {
        Err(error) if error.code != NO_SUCH_RULE => Err(error),
        _ => Ok(()),
    }
}

/// The account in the name of something: `arn:PARTITION:ec2:REGION:ACCOUNT:…`.
fn owner_in(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|owner| !owner.is_empty())
}

fn said(aws: &Aws, id: &str, group: &Answered, own: BTreeMap<String, String>) -> Said {
    let owner = group.owner_id();
    let arn = || owner.map(|owner| aws.arn("ec2", owner, &format!("security-group/{id}")));
    Said::of(kinds::SECURITY_GROUP)
        .set("name", group.group_name())
        .set("description", group.description())
        .set("vpc_id", group.vpc_id())
        .set("tags", own)
        .set("arn", group.security_group_arn().map(str::to_owned).or_else(arn))
        .set("owner_id", owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_in_the_name() {
        assert_eq!(owner_in("arn:aws:ec2:us-west-2:123456789012:security-group/sg-1"), Some("123456789012"));
        assert_eq!(owner_in("arn:aws:s3:::bucket"), None);
        assert_eq!(owner_in("sg-1"), None);
    }
}
