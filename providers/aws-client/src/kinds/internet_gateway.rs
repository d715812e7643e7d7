//! `aws_internet_gateway`

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{InternetGateway as Answered, InternetGatewayAttachment, ResourceType};
use cloudtik_aws::kinds;
use cloudtik_provider_api::{CallError, CreateRequest, Found, ObjectAnswer, UpdateRequest};

use super::ec2::{found, when_unused};
use super::made::after_create;
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::error::strange;
use crate::kind::{Kind, Query, gone, one};
use crate::tags;

/// What AWS says of a network that a gateway is not attached to.
const NOT_ATTACHED: &str = "Gateway.NotAttached";

const IN_USE: &str = "look for public addresses in the network: `aws ec2 describe-addresses`, and instances with a public address";

pub(crate) struct InternetGateway;

impl Kind for InternetGateway {
    const NAME: &'static str = kinds::INTERNET_GATEWAY;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let specification = tags::specification(ResourceType::InternetGateway, request);
        let send = aws.ec2.create_internet_gateway().tag_specifications(specification).send();
        let made = aws.write("ec2:CreateInternetGateway", send).await?;
        let gateway = made.internet_gateway().ok_or_else(|| strange("ec2:CreateInternetGateway", "gateway"))?;
        let id = gateway.internet_gateway_id().ok_or_else(|| strange("ec2:CreateInternetGateway", "id"))?;
        let vpc = given.maybe_text("vpc_id");
        if let Some(vpc) = vpc {
            after_create(|| attach(aws, id, vpc)).await?;
        }
        Ok(said(aws, id, gateway, given.map("tags")).set("vpc_id", vpc).answer(id))
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let mut all = Vec::new();
        for filter in query.filters("internet-gateway-id", "tag:Name") {
            let pages = || {
                aws.ec2.describe_internet_gateways().filters(filter.clone()).into_paginator().items().send().collect::<Result<Vec<_>, _>>()
            };
            for gateway in aws.read("ec2:DescribeInternetGateways", pages).await? {
                let id = gateway.internet_gateway_id().ok_or_else(|| strange("ec2:DescribeInternetGateways", "id"))?;
                if let Some(vpc) = vpc_of(&gateway) {
                    aws.session.keep_other(id, vpc);
                }
                all.push(found(gateway.tags(), |own| said(aws, id, &gateway, own).answer(id)));
            }
        }
        Ok(all)
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        tags::update_ec2(aws, request).await?;
        if !request.changed.contains("vpc_id") {
            return Ok(());
        }
        // As it is now: an update that is made a second time has less to do.
        let now = attached_to(aws, &request.id).await?;
        let wanted = Given(&request.attributes).owned("vpc_id");
        if now == wanted {
            return Ok(());
        }
        if let Some(vpc) = now {
            detach(aws, &request.id, &vpc).await?;
        }
        match wanted {
            Some(vpc) => attach(aws, &request.id, &vpc).await,
            None => Ok(()),
        }
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        let is_free = match aws.session.take_other(id) {
            Some(vpc) => match detach(aws, id, &vpc).await {
                // It may be attached elsewhere since it was seen, or not at all.
                Err(error) if error.code == NOT_ATTACHED => false,
                detached => detached.map(|()| true)?,
            },
            None => false,
        };
        if !is_free && let Some(vpc) = attached_to(aws, id).await? {
            detach(aws, id, &vpc).await?;
        }
        let send = || aws.write("ec2:DeleteInternetGateway", aws.ec2.delete_internet_gateway().internet_gateway_id(id).send());
        when_unused(IN_USE, send).await.map(drop)
    }
}

async fn attached_to(aws: &Aws, id: &str) -> Result<Option<String>, CallError> {
    let found = one::<InternetGateway>(aws, id).await?.ok_or_else(|| gone(id))?;
    Ok(Given(&found.object.attributes).owned("vpc_id"))
}

async fn attach(aws: &Aws, id: &str, vpc: &str) -> Result<(), CallError> {
    let send = aws.ec2.attach_internet_gateway().internet_gateway_id(id).vpc_id(vpc).send();
    aws.write("ec2:AttachInternetGateway", send).await.map(drop)
}

/// Takes it from a network. AWS refuses as long as something in the network has a public address.
async fn detach(aws: &Aws, id: &str, vpc: &str) -> Result<(), CallError> {
    let send = || {
        let send = aws.ec2.detach_internet_gateway().internet_gateway_id(id).vpc_id(vpc).send();
        aws.write("ec2:DetachInternetGateway", send)
    };
    when_unused(IN_USE, send).await.map(drop)
}

fn vpc_of(gateway: &Answered) -> Option<&str> {
    gateway.attachments().first().and_then(InternetGatewayAttachment::vpc_id)
}

fn said(aws: &Aws, id: &str, gateway: &Answered, own: BTreeMap<String, String>) -> Said {
    let owner = gateway.owner_id();
    Said::of(kinds::INTERNET_GATEWAY)
        .set("vpc_id", vpc_of(gateway))
        .set("tags", own)
        .set("arn", owner.map(|owner| aws.arn("ec2", owner, &format!("internet-gateway/{id}"))))
        .set("owner_id", owner)
}
