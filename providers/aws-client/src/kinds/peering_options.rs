//! `aws_vpc_peering_connection_options`: what the ends of a connection let each other do. Its id is that of the connection. Each end is its
//! owner's, and is told and set where its network lies.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{
    PeeringConnectionOptionsRequest, VpcPeeringConnection as Answered, VpcPeeringConnectionOptionsDescription, VpcPeeringConnectionVpcInfo,
};
use cloudtik_aws::kinds;
use cloudtik_model::Value;
use cloudtik_provider_api::{CallError, CreateRequest, Found, ObjectAnswer, UpdateRequest};

use super::peering::{active, described, is_there};
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::error::strange;
use crate::kind::{Kind, Query, gone, one};

/// The ends.
const SIDES: [&str; 2] = [ACCEPTER, REQUESTER];
const ACCEPTER: &str = "accepter";
const REQUESTER: &str = "requester";

/// Whether names of the end's network lead to private addresses from the other network.
const NAMES: &str = "allow_remote_vpc_dns_resolution";

const REFUSED: &str = "both networks need DNS resolution and DNS hostnames: `aws ec2 modify-vpc-attribute --vpc-id … --enable-dns-hostnames \
     Value=true`; and each side is set in the region and account of its network";

pub(crate) struct PeeringOptions;

impl Kind for PeeringOptions {
    const NAME: &'static str = kinds::PEERING_OPTIONS;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let id = given.text("vpc_peering_connection_id")?;
        let connection = active(aws, id).await?;
        let mut wanted = wanted(given);
        let said = said(&connection, aws.account().await?, &aws.region);
        let said = wanted.iter().fold(said, |said, (side, names)| said.set(side, block(*names)));
        wanted.retain(|side, names| names_of(&connection, side) != Some(*names));
        modify(aws, id, &wanted).await?;
        Ok(said.answer(id))
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let Query::Ids(ids) = query else { return Ok(Vec::new()) };
        let account = aws.account().await?;
        let mut all = Vec::new();
        for filter in query.filters("vpc-peering-connection-id", "tag:Name") {
            for connection in described(aws, &filter).await?.iter().filter(|connection| is_there(connection)) {
                let id = connection.vpc_peering_connection_id().ok_or_else(|| strange("ec2:DescribeVpcPeeringConnections", "id"))?;
                all.push(Found { object: said(connection, account, &aws.region).answer(id), tags: BTreeMap::new() });
            }
        }
        // Not every server that speaks EC2 looks at filters here.
        all.retain(|found| ids.contains(&found.object.id));
        Ok(all)
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        let mut wanted = wanted(Given(&request.attributes));
        wanted.retain(|side, _| request.changed.contains(*side));
        modify(aws, &request.id, &wanted).await
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        one::<Self>(aws, id).await?.map(drop).ok_or_else(|| gone(id))
    }
}

/// What is asked for of each side that is named.
fn wanted(given: Given<'_>) -> BTreeMap<&'static str, bool> {
    SIDES.into_iter().filter_map(|side| Some((side, given.block(side)?.flag(NAMES)?))).collect()
}

/// Sets the sides that are named. Two of the three options of AWS are of a kind of network that is gone: naming them is an error between regions.
async fn modify(aws: &Aws, id: &str, wanted: &BTreeMap<&str, bool>) -> Result<(), CallError> {
    if wanted.is_empty() {
        return Ok(());
    }
    let side = |name| {
        wanted.get(name).map(|names| PeeringConnectionOptionsRequest::builder().allow_dns_resolution_from_remote_vpc(*names).build())
    };
    let request = aws.ec2.modify_vpc_peering_connection_options().vpc_peering_connection_id(id);
    let request = request.set_accepter_peering_connection_options(side(ACCEPTER)).set_requester_peering_connection_options(side(REQUESTER));
    let sent = aws.write("ec2:ModifyVpcPeeringConnectionOptions", request.send()).await;
    sent.map(drop).map_err(|error| if error.code == "OperationNotPermitted" { error.help(REFUSED) } else { error })
}

fn info<'c>(connection: &'c Answered, side: &str) -> Option<&'c VpcPeeringConnectionVpcInfo> {
    if side == ACCEPTER { connection.accepter_vpc_info() } else { connection.requester_vpc_info() }
}

fn names_of(connection: &Answered, side: &str) -> Option<bool> {
    let options = info(connection, side)?.peering_options();
    options.and_then(VpcPeeringConnectionOptionsDescription::allow_dns_resolution_from_remote_vpc)
}

fn block(names: bool) -> Value {
    Value::list([Value::object([(NAMES, names.into())])])
}

/// The sides that lie here. What the owner of the other one does to it is no change of this object.
fn said(connection: &Answered, account: &str, region: &str) -> Said {
    let is_here = |side: &str| {
        info(connection, side).is_some_and(|info| info.owner_id() == Some(account) && info.region().is_none_or(|of| of == region))
    };
    let said = Said::of(kinds::PEERING_OPTIONS).set("vpc_peering_connection_id", connection.vpc_peering_connection_id());
    let here = SIDES.into_iter().filter(|side| is_here(side));
    here.fold(said, |said, side| said.set(side, names_of(connection, side).map(block)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(account: &str, region: &str, names: bool) -> VpcPeeringConnectionVpcInfo {
        let options = VpcPeeringConnectionOptionsDescription::builder().allow_dns_resolution_from_remote_vpc(names).build();
        VpcPeeringConnectionVpcInfo::builder().owner_id(account).region(region).peering_options(options).build()
    }

    #[test]
    fn each_owner_is_told_of_its_own_side() {
        let of = |requester| {
            let accepter = end("1", "us-west-2", true);
            Answered::builder().vpc_peering_connection_id("pcx-1").requester_vpc_info(requester).accepter_vpc_info(accepter).build()
        };
        let told = |connection: &Answered, account: &str, region: &str| {
            let answer = said(connection, account, region).answer("pcx-1");
            SIDES.map(|side| answer.attributes.get(side).cloned().unwrap_or_default())
        };
        assert_eq!(told(&of(end("1", "us-west-2", false)), "1", "us-west-2"), [block(true), block(false)]);
        assert_eq!(told(&of(end("2", "us-west-2", false)), "1", "us-west-2"), [block(true), Value::NULL]);
        assert_eq!(told(&of(end("1", "eu-west-1", false)), "1", "eu-west-1"), [Value::NULL, block(false)]);
    }
}
