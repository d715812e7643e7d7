//! `aws_nat_gateway`

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_ec2::types::{ConnectivityType, Filter, NatGateway as Answered, NatGatewayAddress, NatGatewayState, ResourceType};
use cloudtik_aws::kinds;
use cloudtik_provider_api::{CallError, CreateRequest, ErrorClass, Found, ObjectAnswer, UpdateRequest};

use super::ec2::{found, when_unused};
use super::made::{client_token, unfinished};
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::error::strange;
use crate::kind::{Kind, Query};
use crate::wait::{self, Seen};
use crate::{kind, tags};

/// How long one may take to be usable: AWS takes one to three minutes, and more on bad days.
const READY_WAIT: Duration = Duration::from_secs(600);
/// How long one may take to go: AWS takes about a minute.
const DELETED_WAIT: Duration = Duration::from_secs(600);

const ADDRESS_IN_USE: &str = "look for what has the address: `aws ec2 describe-addresses --allocation-ids …` names the network interface";

pub(crate) struct NatGateway;

impl Kind for NatGateway {
    const NAME: &'static str = kinds::NAT_GATEWAY;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let builder = aws
            .ec2
            .create_nat_gateway()
            .client_token(client_token(&request.token))
            .subnet_id(given.text("subnet_id")?)
            .set_allocation_id(given.owned("allocation_id"))
            .set_connectivity_type(given.maybe_text("connectivity_type").map(ConnectivityType::from))
            .tag_specifications(tags::specification(ResourceType::Natgateway, request));
        // The address is free some time after the gateway that had it was deleted.
        let made = when_unused(ADDRESS_IN_USE, || aws.write("ec2:CreateNatGateway", builder.clone().send())).await?;
        let gateway = made.nat_gateway().ok_or_else(|| strange("ec2:CreateNatGateway", "gateway"))?;
        let id = gateway.nat_gateway_id().ok_or_else(|| strange("ec2:CreateNatGateway", "id"))?;
        let gateway = ready(aws, id, Some(gateway.clone())).await?;
        Ok(said(&gateway, given.map("tags")).answer(id))
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let mut all = Vec::new();
        for filter in query.filters("nat-gateway-id", "tag:Name") {
            for gateway in described(aws, &filter).await?.iter().filter(|gateway| is_there(gateway)) {
                let id = gateway.nat_gateway_id().ok_or_else(|| strange("ec2:DescribeNatGateways", "id"))?;
                all.push(found(gateway.tags(), |own| said(gateway, own).answer(id)));
            }
        }
        // Not every server that speaks EC2 looks at tags here.
        all.retain(|found| query.matches(found, ""));
        Ok(all)
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        tags::update_ec2(aws, request).await
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        // One that was deleted can be deleted again for about an hour: whether it is there must be asked.
        if look(aws, id).await?.is_none_or(|gateway| !is_there(&gateway)) {
            return Err(kind::gone(id));
        }
        aws.write("ec2:DeleteNatGateway", aws.ec2.delete_nat_gateway().nat_gateway_id(id).send()).await?;
        wait::until(&format!("NAT gateway {id}"), DELETED_WAIT, async || match look(aws, id).await? {
            Some(gateway) if gateway.state() != Some(&NatGatewayState::Deleted) => Ok(Seen::NotYet(state(&gateway))),
            _ => Ok(Seen::Done(())),
        })
        .await
    }

    async fn complete(aws: &Aws, found: Found) -> Result<Found, CallError> {
        let id = &found.object.id;
        let gateway = ready(aws, id, None).await?;
        let object = said(&gateway, Given(&found.object.attributes).map("tags")).answer(id.as_str());
        Ok(Found { object, ..found })
    }
}

/// Waits until it can be used; what is known of it already is not asked for.
async fn ready(aws: &Aws, id: &str, known: Option<Answered>) -> Result<Answered, CallError> {
    if let Some(gateway) = known.filter(|gateway| gateway.state() == Some(&NatGatewayState::Available)) {
        return Ok(gateway);
    }
    let what = format!("NAT gateway {id}");
    let seen = wait::until(&what, READY_WAIT, async || {
        Ok(match look(aws, id).await? {
            None => Seen::NotYet("not visible".to_owned()),
            Some(gateway) if gateway.state() == Some(&NatGatewayState::Pending) => Seen::NotYet(state(&gateway)),
            Some(gateway) => Seen::Done(gateway),
        })
    });
    let gateway = seen.await.map_err(unfinished)?;
    if gateway.state() == Some(&NatGatewayState::Available) { Ok(gateway) } else { Err(failed(aws, id, &gateway).await) }
}

/// The error of one that AWS could not make. It is taken away, so that what it holds can be used again.
async fn failed(aws: &Aws, id: &str, gateway: &Answered) -> CallError {
    let code = gateway.failure_code().unwrap_or("failed");
    let reason = gateway.failure_message().unwrap_or("AWS gave no reason");
    let mut text = format!("ec2:CreateNatGateway: NAT gateway {id} is `{}`: {code}: {reason}", state(gateway));
    if gateway.state() == Some(&NatGatewayState::Failed)
        && let Err(error) = aws.write("ec2:DeleteNatGateway", aws.ec2.delete_nat_gateway().nat_gateway_id(id).send()).await
    {
        text = format!("{text}; AWS removes it by itself within about an hour, and did not do so now: {error}");
    }
    CallError::new(ErrorClass::Permanent, code, text)
}

async fn described(aws: &Aws, filter: &Filter) -> Result<Vec<Answered>, CallError> {
    let pages = || aws.ec2.describe_nat_gateways().filter(filter.clone()).into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    aws.read("ec2:DescribeNatGateways", pages).await
}

async fn look(aws: &Aws, id: &str) -> Result<Option<Answered>, CallError> {
    let filter = Filter::builder().name("nat-gateway-id").values(id).build();
    Ok(described(aws, &filter).await?.pop())
}

/// Whether it is usable or will be. One that failed is neither, and AWS shows it for about an hour.
fn is_there(gateway: &Answered) -> bool {
    !matches!(gateway.state(), Some(NatGatewayState::Deleted | NatGatewayState::Deleting | NatGatewayState::Failed))
}

fn state(gateway: &Answered) -> String {
    gateway.state().map_or("unknown", NatGatewayState::as_str).to_owned()
}

fn said(gateway: &Answered, own: BTreeMap<String, String>) -> Said {
    let addresses = gateway.nat_gateway_addresses();
    let address = addresses.iter().find(|address| address.is_primary() == Some(true)).or_else(|| addresses.first());
    Said::of(kinds::NAT_GATEWAY)
        .set("subnet_id", gateway.subnet_id())
        .set("allocation_id", address.and_then(NatGatewayAddress::allocation_id))
        // One that says nothing of it was made without a word, and is public.
        .set("connectivity_type", gateway.connectivity_type().map_or("public", ConnectivityType::as_str))
        .set("tags", own)
        .set("public_ip", address.and_then(NatGatewayAddress::public_ip))
        .set("private_ip", address.and_then(NatGatewayAddress::private_ip))
        .set("network_interface_id", address.and_then(NatGatewayAddress::network_interface_id))
}
