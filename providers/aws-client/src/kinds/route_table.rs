//! `aws_route_table`, and the one request that reads what route tables hold.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Filter, ResourceType, RouteTable as Answered};
use cloudtik_aws::kinds;
use cloudtik_provider_api::{CallError, CreateRequest, Found, ObjectAnswer, UpdateRequest};

use super::ec2::{found, is_conflict, when_unused};
use super::made::client_token;
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::error::strange;
use crate::kind::{Kind, Query};
use crate::tags;

const IN_USE: &str = "look for subnets that use it: `aws ec2 describe-route-tables --route-table-ids …` shows its associations";

pub(crate) struct RouteTable;

impl Kind for RouteTable {
    const NAME: &'static str = kinds::ROUTE_TABLE;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let send = aws
            .ec2
            .create_route_table()
            .client_token(client_token(&request.token))
            .vpc_id(given.text("vpc_id")?)
            .tag_specifications(tags::specification(ResourceType::RouteTable, request))
            .send();
        let made = aws.write("ec2:CreateRouteTable", send).await?;
        let table = made.route_table().ok_or_else(|| strange("ec2:CreateRouteTable", "route table"))?;
        let id = table.route_table_id().ok_or_else(|| strange("ec2:CreateRouteTable", "id"))?;
        Ok(said(aws, id, table, given.map("tags")).answer(id))
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        tables(aws, query.filters("route-table-id", "tag:Name")).await?.iter().map(|table| one(aws, table)).collect()
    }

    async fn refresh(aws: &Aws, ids: &BTreeSet<String>) -> Result<Vec<Found>, CallError> {
        let tables = seen(aws, ids).await?;
        let wanted = tables.iter().filter(|table| table.route_table_id().is_some_and(|id| ids.contains(id)));
        wanted.map(|table| one(aws, table)).collect()
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        tags::update_ec2(aws, request).await
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        when_unused(IN_USE, || async {
            match aws.write("ec2:DeleteRouteTable", aws.ec2.delete_route_table().route_table_id(id).send()).await {
                // The network's own table, which the predecessor has for public subnets, goes with the network.
                Err(error) if is_conflict(&error) && is_main(aws, id).await? => Ok(()),
                other => other.map(drop),
            }
        })
        .await
    }
}

fn one(aws: &Aws, table: &Answered) -> Result<Found, CallError> {
    let id = table.route_table_id().ok_or_else(|| strange("ec2:DescribeRouteTables", "id"))?;
    Ok(found(table.tags(), |own| said(aws, id, table, own).answer(id)))
}

/// Whether it is the table that AWS made with the network.
async fn is_main(aws: &Aws, id: &str) -> Result<bool, CallError> {
    let of = BTreeSet::from([id.to_owned()]);
    let found = tables(aws, Query::Ids(&of).filters("route-table-id", "tag:Name")).await?;
    Ok(found.iter().flat_map(Answered::associations).any(|association| association.main() == Some(true)))
}

fn said(aws: &Aws, id: &str, table: &Answered, own: BTreeMap<String, String>) -> Said {
    let owner = table.owner_id();
    Said::of(kinds::ROUTE_TABLE)
        .set("vpc_id", table.vpc_id())
        .set("tags", own)
        .set("arn", owner.map(|owner| aws.arn("ec2", owner, &format!("route-table/{id}"))))
        .set("owner_id", owner)
}

/// Tables by their ids, and others that are looked at in the same moment.
pub(crate) async fn seen(aws: &Aws, ids: &BTreeSet<String>) -> Result<Vec<Answered>, CallError> {
    aws.looks.tables(ids, async |ids| tables(aws, Query::Ids(&ids).filters("route-table-id", "tag:Name")).await).await
}

/// The tables that a filter finds, those of each filter in turn, with their routes and associations.
pub(crate) async fn tables(aws: &Aws, filters: impl IntoIterator<Item = Filter>) -> Result<Vec<Answered>, CallError> {
    let mut all = Vec::new();
    for filter in filters {
        let pages =
            || aws.ec2.describe_route_tables().filters(filter.clone()).into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        all.extend(aws.read("ec2:DescribeRouteTables", pages).await?);
    }
    Ok(all)
}
