//! `aws_lb_target_group`

use std::time::Duration;

use aws_sdk_elasticloadbalancingv2::types::{ProtocolEnum, TargetGroup, TargetTypeEnum};
use cloudtik_aws::kinds;
use cloudtik_model::Value;
use cloudtik_provider_api::{CallError, CreateRequest, ErrorClass, Found, ObjectAnswer, UpdateRequest};

use super::elb;
use super::made::after_create;
use crate::attributes::{Given, IntoValue, Said};
use crate::aws::Aws;
use crate::each::there;
use crate::error::strange;
use crate::kind::{Kind, Query};
use crate::{tags, wait};

/// How long one may look as if a listener that was deleted still used it.
const UNUSED_WITHIN: Duration = Duration::from_secs(60);

pub(crate) struct LbTargetGroup;

impl Kind for LbTargetGroup {
    const NAME: &'static str = kinds::LB_TARGET_GROUP;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let action = "elasticloadbalancing:CreateTargetGroup";
        let given = Given(&request.attributes);
        let name = given.text("name")?;
        let health = given.block("health_check");
        let text = |name: &str| health.and_then(|health| health.owned(name));
        let number = |name: &str| health.and_then(|health| health.int(name));
        let send = aws
            .elb
            .create_target_group()
            .name(name)
            .set_port(given.int("port"))
            .set_protocol(given.maybe_text("protocol").map(ProtocolEnum::from))
            .set_vpc_id(given.owned("vpc_id"))
            .set_target_type(given.maybe_text("target_type").map(TargetTypeEnum::from))
            .set_health_check_path(text("path"))
            .set_health_check_port(text("port"))
            .set_health_check_protocol(text("protocol").as_deref().map(ProtocolEnum::from))
            .set_health_check_interval_seconds(number("interval"))
            .set_health_check_timeout_seconds(number("timeout"))
            .set_healthy_threshold_count(number("healthy_threshold"))
            .set_unhealthy_threshold_count(number("unhealthy_threshold"))
            .set_tags(Some(elb::written(&tags::of_create(request))))
            .send();
        let made = aws.write(action, send).await?;
        let group = made.target_groups().first().ok_or_else(|| strange(action, "target group"))?;
        let found = after_create(|| said(aws, vec![group.clone()])).await?.pop().ok_or_else(|| strange(action, "ARN"))?;
        elb::check_own(found, request, name).map(|found| found.object)
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let ask = |arns: Vec<String>| async move {
            let ask = || aws.elb.describe_target_groups().set_target_group_arns(Some(arns.clone())).send();
            let answer = aws.read("elasticloadbalancing:DescribeTargetGroups", ask).await?;
            Ok(answer.target_groups.unwrap_or_default())
        };
        let all = match query {
            Query::Ids(ids) => elb::those(ids.iter().cloned().collect(), ask).await?,
            Query::Name(name) => named(aws, name).await?,
            Query::Tag(..) => all(aws).await?,
        };
        let found = said(aws, all).await?;
        let name = |found: &Found| found.object.attributes.get("name").and_then(|name| name.as_str()).unwrap_or_default().to_owned();
        Ok(found.into_iter().filter(|found| query.matches(found, &name(found))).collect())
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        if let Some(health) = Given(&request.attributes).block("health_check")
            && request.changed.contains("health_check")
        {
            let send = aws
                .elb
                .modify_target_group()
                .target_group_arn(&request.id)
                .set_health_check_path(health.owned("path"))
                .set_health_check_port(health.owned("port"))
                .set_health_check_protocol(health.maybe_text("protocol").map(ProtocolEnum::from))
                .set_health_check_interval_seconds(health.int("interval"))
                .set_health_check_timeout_seconds(health.int("timeout"))
                .set_healthy_threshold_count(health.int("healthy_threshold"))
                .set_unhealthy_threshold_count(health.int("unhealthy_threshold"));
            aws.write("elasticloadbalancing:ModifyTargetGroup", send.send()).await?;
        }
        elb::retag(aws, request).await
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        let send = || aws.write("elasticloadbalancing:DeleteTargetGroup", aws.elb.delete_target_group().target_group_arn(id).send());
        let is_used = |error: &CallError| error.class == ErrorClass::Conflict;
        wait::while_conflict(UNUSED_WITHIN, is_used, send).await.map(drop)
    }
}

async fn named(aws: &Aws, name: &str) -> Result<Vec<TargetGroup>, CallError> {
    let ask = || aws.elb.describe_target_groups().names(name).send();
    let answer = there(aws.read("elasticloadbalancing:DescribeTargetGroups", ask).await)?;
    Ok(answer.and_then(|answer| answer.target_groups).unwrap_or_default())
}

async fn all(aws: &Aws) -> Result<Vec<TargetGroup>, CallError> {
    let pages = || aws.elb.describe_target_groups().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    aws.read("elasticloadbalancing:DescribeTargetGroups", pages).await
}

async fn said(aws: &Aws, all: Vec<TargetGroup>) -> Result<Vec<Found>, CallError> {
    let tagged = elb::tagged(aws, all.iter().filter_map(|group| group.target_group_arn.clone()).collect()).await?;
    let found = all.iter().filter_map(|group| {
        let arn = group.target_group_arn()?;
        let (marks, own) = tagged.get(arn).cloned().unwrap_or_default();
        let object = Said::of(kinds::LB_TARGET_GROUP)
            .set("name", group.target_group_name())
            .set("port", group.port())
            .set("protocol", group.protocol().map(ProtocolEnum::as_str))
            .set("vpc_id", group.vpc_id())
            .set("target_type", group.target_type().map(TargetTypeEnum::as_str))
            .set("health_check", health(group))
            .set("tags", own)
            .set("arn", arn)
            .answer(arn);
        Some(Found { object, tags: marks })
    });
    Ok(found.collect())
}

fn health(group: &TargetGroup) -> Value {
    Value::list([Value::object([
        ("path", group.health_check_path().into_value()),
        ("port", group.health_check_port().into_value()),
        ("protocol", group.health_check_protocol().map(ProtocolEnum::as_str).into_value()),
        ("interval", group.health_check_interval_seconds().into_value()),
        ("timeout", group.health_check_timeout_seconds().into_value()),
        ("healthy_threshold", group.healthy_threshold_count().into_value()),
        ("unhealthy_threshold", group.unhealthy_threshold_count().into_value()),
    ])])
}
