//! `aws_vpc_peering_connection` and `aws_vpc_peering_connection_accepter`: the two ends of a connection, each as its own account and region
//! see it.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_ec2::types::{
    Filter, ResourceType, VpcPeeringConnection as Answered, VpcPeeringConnectionStateReason, VpcPeeringConnectionStateReasonCode as Status,
    VpcPeeringConnectionVpcInfo,
};
use cloudtik_aws::{kinds, marks};
use cloudtik_provider_api::{CallError, CreateRequest, ErrorClass, Found, ObjectAnswer, UpdateRequest};

use super::ec2::found;
use super::made::unfinished;
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::error::strange;
use crate::kind::{Kind, Query, gone, one};
use crate::tags;
use crate::wait::{self, Seen};

/// How long a request may take to reach the other end, and an answer to come back: seconds in one region, up to a minute between two.
const STATUS_WAIT: Duration = Duration::from_secs(180);

/// What AWS answers when a connection is in another state than a request needs.
const OTHER_STATE: &str = "InvalidStateTransition";

/// A connection, as its requester sees it.
pub(crate) struct Connection;

impl Kind for Connection {
    const NAME: &'static str = kinds::PEERING;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let send = aws
            .ec2
            .create_vpc_peering_connection()
            .vpc_id(given.text("vpc_id")?)
            .peer_vpc_id(given.text("peer_vpc_id")?)
            .set_peer_owner_id(given.owned("peer_owner_id"))
            .set_peer_region(given.owned("peer_region"))
            .tag_specifications(tags::specification(ResourceType::VpcPeeringConnection, request))
            .send();
        let made = aws.write("ec2:CreateVpcPeeringConnection", send).await?;
        let connection = made.vpc_peering_connection().ok_or_else(|| strange("ec2:CreateVpcPeeringConnection", "connection"))?;
        let id = connection.vpc_peering_connection_id().ok_or_else(|| strange("ec2:CreateVpcPeeringConnection", "id"))?;
        let connection = requested(aws, id, Some(connection.clone())).await?;
        Ok(said(&connection, given.map("tags")).answer(id))
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        found_by(aws, query, said).await
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        tags::update_ec2(aws, request).await
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        // AWS shows a connection that is gone for some hours, and answers to a delete of it in more than one way.
        one::<Self>(aws, id).await?.ok_or_else(|| gone(id))?;
        let send = aws.ec2.delete_vpc_peering_connection().vpc_peering_connection_id(id).send();
        aws.write("ec2:DeleteVpcPeeringConnection", send).await.map(drop)
    }

    async fn complete(aws: &Aws, found: Found) -> Result<Found, CallError> {
        let id = &found.object.id;
        let connection = requested(aws, id, None).await?;
        let object = said(&connection, Given(&found.object.attributes).map("tags")).answer(id.as_str());
        Ok(Found { object, ..found })
    }
}

/// The other end of a connection. It is made by accepting, and made by that alone: nobody else's end is touched.
pub(crate) struct Accepter;

impl Kind for Accepter {
    const NAME: &'static str = kinds::PEERING_ACCEPTER;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let id = given.text("vpc_peering_connection_id")?;
        let connection = accepted(aws, id).await?;
        tag(aws, id, &connection, request).await?;
        Ok(said_of_accepter(&connection, given.map("tags")).answer(id))
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        found_by(aws, query, said_of_accepter).await
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        tags::update_ec2(aws, request).await
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        one::<Self>(aws, id).await?.map(drop).ok_or_else(|| gone(id))
    }
}

/// The tags of this end. In one account and region both ends are one object, whose marks are those of who asked: they stay as they are.
async fn tag(aws: &Aws, id: &str, connection: &Answered, request: &CreateRequest) -> Result<(), CallError> {
    let (theirs, there) = tags::of_ec2(connection.tags());
    let mut missing = tags::of_create(request);
    missing.retain(|name, value| if name.starts_with(marks::PREFIX) { theirs.is_empty() } else { there.get(name) != Some(value) });
    if missing.is_empty() {
        return Ok(());
    }
    let send = aws.ec2.create_tags().resources(id).set_tags(Some(tags::ec2(&missing))).send();
    aws.write("ec2:CreateTags", send).await.map(drop)
}

/// Waits until a connection has reached the other end; what is known of it already is not asked for.
async fn requested(aws: &Aws, id: &str, known: Option<Answered>) -> Result<Answered, CallError> {
    let is_requested = |connection: &Answered| matches!(status(connection), Some(Status::PendingAcceptance | Status::Active));
    if let Some(connection) = known.filter(is_requested) {
        return Ok(connection);
    }
    let what = format!("peering connection {id}");
    let seen = wait::until(&what, STATUS_WAIT, async || {
        Ok(match look(aws, id).await? {
            None => Seen::NotYet("not visible".to_owned()),
            Some(connection) if is_requested(&connection) || !is_there(&connection) => Seen::Done(connection),
            Some(connection) => Seen::NotYet(status_text(&connection)),
        })
    });
    let connection = seen.await.map_err(unfinished)?;
    if is_there(&connection) { Ok(connection) } else { Err(refused(id, "ec2:CreateVpcPeeringConnection", &connection)) }
}

/// Accepts a connection and waits until packets pass. A connection that was accepted before is as good.
async fn accepted(aws: &Aws, id: &str) -> Result<Answered, CallError> {
    let first = accept(aws, id).await?;
    if let Some(connection) = first.filter(is_active) {
        return Ok(connection);
    }
    until_active(id, "ec2:AcceptVpcPeeringConnection", async || match look(aws, id).await? {
        // It had not reached this end when it was accepted first.
        Some(connection) if status(&connection) == Some(&Status::PendingAcceptance) => accept(aws, id).await,
        seen => Ok(seen),
    })
    .await
}

/// A connection that packets pass through: the end that asked may notice some time after it was accepted at the other one.
pub(super) async fn active(aws: &Aws, id: &str) -> Result<Answered, CallError> {
    until_active(id, "ec2:DescribeVpcPeeringConnections", || look(aws, id)).await
}

async fn until_active<F>(id: &str, action: &str, look: impl Fn() -> F) -> Result<Answered, CallError>
where
    F: Future<Output = Result<Option<Answered>, CallError>>,
{
    wait::until(&format!("peering connection {id}"), STATUS_WAIT, async || match look().await? {
        None => Ok(Seen::NotYet("not visible".to_owned())),
        Some(connection) if is_active(&connection) => Ok(Seen::Done(connection)),
        Some(connection) if is_there(&connection) => Ok(Seen::NotYet(status_text(&connection))),
        Some(connection) => Err(refused(id, action, &connection)),
    })
    .await
}

/// Accepts a connection, or says what it is where it cannot be accepted; `None` while this end does not know it.
async fn accept(aws: &Aws, id: &str) -> Result<Option<Answered>, CallError> {
    let send = aws.ec2.accept_vpc_peering_connection().vpc_peering_connection_id(id).send();
    match aws.write("ec2:AcceptVpcPeeringConnection", send).await {
        Ok(answer) => Ok(answer.vpc_peering_connection),
        Err(error) if error.code == OTHER_STATE || error.class == ErrorClass::Gone => look(aws, id).await,
        Err(error) => Err(error),
    }
}

/// The error of a connection that will never be.
fn refused(id: &str, action: &str, connection: &Answered) -> CallError {
    let reason = connection.status().and_then(VpcPeeringConnectionStateReason::message).unwrap_or("AWS gave no reason");
    let status = status_text(connection);
    let text = format!("{action}: peering connection {id} is `{status}`: {reason}");
    CallError::new(ErrorClass::Permanent, status, text).help("the ranges of the two networks must not overlap, and the owner must exist")
}

pub(super) async fn described(aws: &Aws, filter: &Filter) -> Result<Vec<Answered>, CallError> {
    let pages = || {
        aws.ec2.describe_vpc_peering_connections().filters(filter.clone()).into_paginator().items().send().collect::<Result<Vec<_>, _>>()
    };
    aws.read("ec2:DescribeVpcPeeringConnections", pages).await
}

async fn look(aws: &Aws, id: &str) -> Result<Option<Answered>, CallError> {
    let filter = Filter::builder().name("vpc-peering-connection-id").values(id).build();
    Ok(described(aws, &filter).await?.into_iter().find(|connection| connection.vpc_peering_connection_id() == Some(id)))
}

async fn found_by(
    aws: &Aws,
    query: &Query<'_>,
    said: impl Fn(&Answered, BTreeMap<String, String>) -> Said,
) -> Result<Vec<Found>, CallError> {
    let mut all = Vec::new();
    for filter in query.filters("vpc-peering-connection-id", "tag:Name") {
        for connection in described(aws, &filter).await?.iter().filter(|connection| is_there(connection)) {
            let id = connection.vpc_peering_connection_id().ok_or_else(|| strange("ec2:DescribeVpcPeeringConnections", "id"))?;
            all.push(found(connection.tags(), |own| said(connection, own).answer(id)));
        }
    }
    // Not every server that speaks EC2 looks at filters here.
    all.retain(|found| query.matches(found, ""));
    Ok(all)
}

fn status(connection: &Answered) -> Option<&Status> {
    connection.status().and_then(VpcPeeringConnectionStateReason::code)
}

fn status_text(connection: &Answered) -> String {
    status(connection).map_or("unknown", Status::as_str).to_owned()
}

fn is_active(connection: &Answered) -> bool {
    status(connection) == Some(&Status::Active)
}

/// Whether it is a connection, or may become one.
pub(super) fn is_there(connection: &Answered) -> bool {
    !matches!(status(connection), Some(Status::Deleted | Status::Deleting | Status::Rejected | Status::Expired | Status::Failed))
}

fn said(connection: &Answered, own: BTreeMap<String, String>) -> Said {
    let (requester, accepter) = (connection.requester_vpc_info(), connection.accepter_vpc_info());
    Said::of(kinds::PEERING)
        .set("vpc_id", requester.and_then(VpcPeeringConnectionVpcInfo::vpc_id))
        .set("peer_vpc_id", accepter.and_then(VpcPeeringConnectionVpcInfo::vpc_id))
        .set("peer_owner_id", accepter.and_then(VpcPeeringConnectionVpcInfo::owner_id))
        .set("peer_region", accepter.and_then(VpcPeeringConnectionVpcInfo::region))
        .set("tags", own)
        .set("accept_status", status(connection).map(Status::as_str))
}

fn said_of_accepter(connection: &Answered, own: BTreeMap<String, String>) -> Said {
    Said::of(kinds::PEERING_ACCEPTER)
        .set("vpc_peering_connection_id", connection.vpc_peering_connection_id())
        .set("tags", own)
        .set("accept_status", status(connection).map(Status::as_str))
        .set("vpc_id", connection.accepter_vpc_info().and_then(VpcPeeringConnectionVpcInfo::vpc_id))
        .set("peer_vpc_id", connection.requester_vpc_info().and_then(VpcPeeringConnectionVpcInfo::vpc_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_status(code: Status) -> Answered {
        let status = VpcPeeringConnectionStateReason::builder().code(code).message("why").build();
        Answered::builder().status(status).build()
    }

    #[test]
    fn what_ended_is_not_there() {
        for code in [Status::InitiatingRequest, Status::PendingAcceptance, Status::Provisioning, Status::Active] {
            assert!(is_there(&in_status(code)));
        }
        for code in [Status::Failed, Status::Rejected, Status::Expired, Status::Deleting, Status::Deleted] {
            assert!(!is_there(&in_status(code)));
        }
    }

    #[test]
    fn a_refusal_says_why() {
        let error = refused("pcx-1", "ec2:CreateVpcPeeringConnection", &in_status(Status::Failed));
        assert_eq!((error.class, &*error.code), (ErrorClass::Permanent, "failed"));
        assert_eq!(error.message, "ec2:CreateVpcPeeringConnection: peering connection pcx-1 is `failed`: why");
    }
}
