//! `aws_lb_listener`

use aws_sdk_elasticloadbalancingv2::types::{Action, ActionTypeEnum, Certificate, Listener, ProtocolEnum};
use cloudtik_aws::kinds;
use cloudtik_model::Value;
use cloudtik_provider_api::{CallError, CreateRequest, Found, ObjectAnswer, UpdateRequest};

use super::made::after_create;
use super::{elb, lb};
use crate::attributes::{Given, IntoValue, Said};
use crate::aws::Aws;
use crate::each::{each, there};
use crate::error::strange;
use crate::kind::{Kind, Query};
use crate::tags;

pub(crate) struct LbListener;

impl Kind for LbListener {
    const NAME: &'static str = kinds::LB_LISTENER;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let action = "elasticloadbalancing:CreateListener";
        let given = Given(&request.attributes);
        let balancer = given.text("load_balancer_arn")?;
        let send = aws
            .elb
            .create_listener()
            .load_balancer_arn(balancer)
            .set_port(given.int("port"))
            .set_protocol(given.maybe_text("protocol").map(ProtocolEnum::from))
            .set_default_actions(Some(actions(given)))
            .set_certificates(certificates(given))
            .set_tags(Some(elb::written(&tags::of_create(request))))
            .send();
        let listener = match aws.write(action, send).await {
            Ok(made) => made.listeners.unwrap_or_default().into_iter().next().ok_or_else(|| strange(action, "listener"))?,
            Err(error) if error.code == "DuplicateListener" => {
                let port = given.int("port");
                let there = of_balancer(aws, balancer).await?.into_iter().find(|listener| listener.port() == port);
                there.ok_or(error)?
            }
            Err(error) => return Err(error),
        };
        let found = after_create(|| said(aws, vec![listener.clone()])).await?.pop().ok_or_else(|| strange(action, "ARN"))?;
        elb::check_own(found, request, &format!("listener on that port of {balancer}")).map(|found| found.object)
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let ask = |arns: Vec<String>| async move {
            let ask = || aws.elb.describe_listeners().set_listener_arns(Some(arns.clone())).send();
            let answer = aws.read("elasticloadbalancing:DescribeListeners", ask).await?;
            Ok(answer.listeners.unwrap_or_default())
        };
        let all = match query {
            Query::Ids(ids) => elb::those(ids.iter().cloned().collect(), ask).await?,
            Query::Tag(..) | Query::Name(_) => {
                let balancers = lb::all(aws).await?.into_iter().filter_map(|balancer| balancer.load_balancer_arn);
                each(balancers, |arn| async move { of_balancer(aws, &arn).await }).await?.concat()
            }
        };
        let found = said(aws, all).await?;
        Ok(found.into_iter().filter(|found| query.matches(found, &found.object.id)).collect())
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        if request.changed.iter().any(|name| name != "tags") {
            let given = Given(&request.attributes);
            let send = aws
                .elb
                .modify_listener()
                .listener_arn(&request.id)
                .set_port(given.int("port"))
                .set_protocol(given.maybe_text("protocol").map(ProtocolEnum::from))
                .set_default_actions(Some(actions(given)))
                .set_certificates(certificates(given));
            aws.write("elasticloadbalancing:ModifyListener", send.send()).await?;
        }
        elb::retag(aws, request).await
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        aws.write("elasticloadbalancing:DeleteListener", aws.elb.delete_listener().listener_arn(id).send()).await.map(drop)
    }
}

fn actions(given: Given<'_>) -> Vec<Action> {
    let action = |action: Given<'_>| {
        let kind = action.maybe_text("type").map_or(ActionTypeEnum::Forward, ActionTypeEnum::from);
        Action::builder().r#type(kind).set_target_group_arn(action.owned("target_group_arn")).build()
    };
    given.blocks("default_action").into_iter().map(action).collect()
}

fn certificates(given: Given<'_>) -> Option<Vec<Certificate>> {
    given.owned("certificate_arn").map(|arn| vec![Certificate::builder().certificate_arn(arn).build()])
}

async fn of_balancer(aws: &Aws, balancer: &str) -> Result<Vec<Listener>, CallError> {
    let pages = || aws.elb.describe_listeners().load_balancer_arn(balancer).into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    Ok(there(aws.read("elasticloadbalancing:DescribeListeners", pages).await)?.unwrap_or_default())
}

async fn said(aws: &Aws, all: Vec<Listener>) -> Result<Vec<Found>, CallError> {
    let tagged = elb::tagged(aws, all.iter().filter_map(|listener| listener.listener_arn.clone()).collect()).await?;
    let found = all.iter().filter_map(|listener| {
        let arn = listener.listener_arn()?;
        let (marks, own) = tagged.get(arn).cloned().unwrap_or_default();
        let object = Said::of(kinds::LB_LISTENER)
            .set("load_balancer_arn", listener.load_balancer_arn())
            .set("port", listener.port())
            .set("protocol", listener.protocol().map(ProtocolEnum::as_str))
            .set("default_action", Value::list(listener.default_actions().iter().map(action_said)))
            .set("certificate_arn", listener.certificates().first().and_then(|certificate| certificate.certificate_arn()))
            .set("tags", own)
            .set("arn", arn)
            .answer(arn);
        Some(Found { object, tags: marks })
    });
    Ok(found.collect())
}

/// AWS says where an action leads in one of two places.
fn action_said(action: &Action) -> Value {
    let forward = action.forward_config().and_then(|forward| forward.target_groups().first());
    let target = action.target_group_arn().or_else(|| forward.and_then(|group| group.target_group_arn()));
    Value::object([("type", action.r#type().map(ActionTypeEnum::as_str).into_value()), ("target_group_arn", target.into_value())])
}
