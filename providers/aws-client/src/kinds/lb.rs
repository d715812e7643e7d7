//! `aws_lb`

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_elasticloadbalancingv2::types::{
    LoadBalancer, LoadBalancerAttribute, LoadBalancerSchemeEnum, LoadBalancerStateEnum, LoadBalancerTypeEnum,
};
use cloudtik_aws::kinds;
use cloudtik_provider_api::{CallError, CreateRequest, ErrorClass, Found, ObjectAnswer, UpdateRequest};

use super::elb;
use super::made::{after_create, unfinished};
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::each::{each, there};
use crate::error::strange;
use crate::kind::{Kind, Query, one};
use crate::tags;
use crate::wait::{self, Seen};

/// How long one may take until it takes connections. Two to five minutes are usual.
const ACTIVE_WITHIN: Duration = Duration::from_secs(900);

/// How long one may be seen after its delete.
const GONE_WITHIN: Duration = Duration::from_secs(300);

/// What AWS calls the attribute.
const PROTECTION: &str = "deletion_protection.enabled";

pub(crate) struct Lb;

impl Kind for Lb {
    const NAME: &'static str = kinds::LB;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let action = "elasticloadbalancing:CreateLoadBalancer";
        let given = Given(&request.attributes);
        let name = given.text("name")?;
        let scheme =
            if given.flag("internal") == Some(true) { LoadBalancerSchemeEnum::Internal } else { LoadBalancerSchemeEnum::InternetFacing };
        let send = aws
            .elb
            .create_load_balancer()
            .name(name)
            .scheme(scheme)
            .set_type(given.maybe_text("load_balancer_type").map(LoadBalancerTypeEnum::from))
            .set_subnets(Some(given.texts("subnets")))
            .set_security_groups(Some(given.texts("security_groups")).filter(|groups| !groups.is_empty()))
            .set_tags(Some(elb::written(&tags::of_create(request))))
            .send();
        let made = aws.write(action, send).await?;
        let arn = made.load_balancers().first().and_then(|made| made.load_balancer_arn()).ok_or_else(|| strange(action, "ARN"))?;
        let found = elb::check_own(active(aws, arn).await.map_err(unfinished)?, request, name)?;
        if given.flag("enable_deletion_protection") != Some(true) {
            return Ok(found.object);
        }
        after_create(|| protect(aws, arn, true)).await?;
        let found = one::<Self>(aws, arn).await.map_err(unfinished)?;
        found.map(|found| found.object).ok_or_else(|| strange(action, "load balancer"))
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let ask = |arns: Vec<String>| async move {
            let ask = || aws.elb.describe_load_balancers().set_load_balancer_arns(Some(arns.clone())).send();
            let answer = aws.read("elasticloadbalancing:DescribeLoadBalancers", ask).await?;
            Ok(answer.load_balancers.unwrap_or_default())
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
        let (given, arn) = (Given(&request.attributes), &*request.id);
        if request.changed.contains("security_groups") {
            let send = aws.elb.set_security_groups().load_balancer_arn(arn).set_security_groups(Some(given.texts("security_groups")));
            aws.write("elasticloadbalancing:SetSecurityGroups", send.send()).await?;
        }
        if request.changed.contains("subnets") {
            let send = aws.elb.set_subnets().load_balancer_arn(arn).set_subnets(Some(given.texts("subnets")));
            aws.write("elasticloadbalancing:SetSubnets", send.send()).await?;
        }
        if request.changed.contains("enable_deletion_protection") {
            protect(aws, arn, given.flag("enable_deletion_protection") == Some(true)).await?;
        }
        elb::retag(aws, request).await
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        let send = aws.elb.delete_load_balancer().load_balancer_arn(id).send();
        aws.write("elasticloadbalancing:DeleteLoadBalancer", send).await?;
        let ask = || async { Ok(one::<Self>(aws, id).await?.map_or(Seen::Done(()), |_| Seen::NotYet("there".to_owned()))) };
        wait::until(id, GONE_WITHIN, ask).await
    }

    async fn complete(aws: &Aws, found: Found) -> Result<Found, CallError> {
        active(aws, &found.object.id).await
    }
}

async fn protect(aws: &Aws, arn: &str, protected: bool) -> Result<(), CallError> {
    let attribute = LoadBalancerAttribute::builder().key(PROTECTION).value(protected.to_string()).build();
    let send = aws.elb.modify_load_balancer_attributes().load_balancer_arn(arn).attributes(attribute).send();
    aws.write("elasticloadbalancing:ModifyLoadBalancerAttributes", send).await.map(drop)
}

async fn named(aws: &Aws, name: &str) -> Result<Vec<LoadBalancer>, CallError> {
    let ask = || aws.elb.describe_load_balancers().names(name).send();
    let answer = there(aws.read("elasticloadbalancing:DescribeLoadBalancers", ask).await)?;
    Ok(answer.and_then(|answer| answer.load_balancers).unwrap_or_default())
}

/// All of the region.
pub(super) async fn all(aws: &Aws) -> Result<Vec<LoadBalancer>, CallError> {
    let pages = || aws.elb.describe_load_balancers().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    aws.read("elasticloadbalancing:DescribeLoadBalancers", pages).await
}

async fn active(aws: &Aws, arn: &str) -> Result<Found, CallError> {
    let action = "elasticloadbalancing:DescribeLoadBalancers";
    let ask = || async {
        let answer = there(aws.read(action, || aws.elb.describe_load_balancers().load_balancer_arns(arn).send()).await)?;
        let Some(balancer) = answer.and_then(|answer| answer.load_balancers?.into_iter().next()) else {
            return Ok(Seen::NotYet("not to be seen".to_owned()));
        };
        let state = balancer.state();
        match state.and_then(|state| state.code()) {
            Some(LoadBalancerStateEnum::Active | LoadBalancerStateEnum::ActiveImpaired) => {
                let found = said(aws, vec![balancer]).await?.pop();
                found.map(Seen::Done).ok_or_else(|| strange(action, "load balancer"))
            }
            Some(LoadBalancerStateEnum::Failed) => {
                let reason = state.and_then(|state| state.reason()).unwrap_or("AWS gave no reason");
                Err(CallError::new(ErrorClass::Permanent, "failed", format!("{action}: {arn} failed: {reason}")))
            }
            other => Ok(Seen::NotYet(other.map_or("not to be seen", LoadBalancerStateEnum::as_str).to_owned())),
        }
    };
    wait::until(arn, ACTIVE_WITHIN, ask).await
}

async fn said(aws: &Aws, all: Vec<LoadBalancer>) -> Result<Vec<Found>, CallError> {
    let arns: Vec<String> = all.iter().filter_map(|balancer| balancer.load_balancer_arn.clone()).collect();
    let (tagged, protected) = tokio::try_join!(elb::tagged(aws, arns.clone()), each(arns, |arn| is_protected(aws, arn)))?;
    let found = all.iter().zip(protected).filter_map(|(balancer, protected)| {
        let arn = balancer.load_balancer_arn()?;
        let (marks, own) = tagged.get(arn).cloned().unwrap_or_default();
        let object = attributes(balancer).set("enable_deletion_protection", protected).set("tags", own).answer(arn);
        Some(Found { object, tags: marks })
    });
    Ok(found.collect())
}

async fn is_protected(aws: &Aws, arn: String) -> Result<bool, CallError> {
    let ask = || aws.elb.describe_load_balancer_attributes().load_balancer_arn(&arn).send();
    let answer = there(aws.read("elasticloadbalancing:DescribeLoadBalancerAttributes", ask).await)?;
    let attributes = answer.and_then(|answer| answer.attributes).unwrap_or_default();
    Ok(attributes.iter().any(|attribute| attribute.key() == Some(PROTECTION) && attribute.value() == Some("true")))
}

fn attributes(balancer: &LoadBalancer) -> Said {
    let subnets: BTreeSet<String> = balancer.availability_zones().iter().filter_map(|zone| zone.subnet_id.clone()).collect();
    let groups: BTreeSet<String> = balancer.security_groups().iter().cloned().collect();
    Said::of(kinds::LB)
        .set("name", balancer.load_balancer_name())
        .set("internal", balancer.scheme() == Some(&LoadBalancerSchemeEnum::Internal))
        .set("load_balancer_type", balancer.r#type().map(LoadBalancerTypeEnum::as_str))
        .set("subnets", subnets)
        .set("security_groups", groups)
        .set("arn", balancer.load_balancer_arn())
        .set("dns_name", balancer.dns_name())
        .set("zone_id", balancer.canonical_hosted_zone_id())
        .set("vpc_id", balancer.vpc_id())
}
