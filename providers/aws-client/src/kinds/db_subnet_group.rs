//! `aws_db_subnet_group`

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_rds::types::DbSubnetGroup as Answered;
use cloudtik_aws::{kinds, marks};
use cloudtik_provider_api::{CallError, CreateRequest, Found, ObjectAnswer, UpdateRequest};

use super::ec2::is_conflict;
use super::rds;
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::each::{each, there};
use crate::error::strange;
use crate::kind::{Kind, Query};
use crate::{tags, wait};

/// How long an instance of RDS may take to go: a last snapshot of a large one is made first.
const INSTANCES_GO_WITHIN: Duration = Duration::from_secs(7_200);

pub(crate) struct DbSubnetGroup;

impl Kind for DbSubnetGroup {
    const NAME: &'static str = kinds::DB_SUBNET_GROUP;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let name = given.text("name")?;
        let send = aws
            .rds
            .create_db_subnet_group()
            .db_subnet_group_name(name)
            .db_subnet_group_description(given.text("description")?)
            .set_subnet_ids(Some(given.texts("subnet_ids")))
            .set_tags(Some(rds::written(&tags::of_create(request))))
            .send();
        let made = aws.write("rds:CreateDBSubnetGroup", send).await?;
        let group = made.db_subnet_group().ok_or_else(|| strange("rds:CreateDBSubnetGroup", "group"))?;
        let (_, own) = marks::part(tags::of_create(request));
        Ok(said(group, name).set("tags", own).answer(name))
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let groups: Vec<(String, Answered)> = match query {
            Query::Ids(ids) => each(ids.iter(), |name| one(aws, name)).await?.into_iter().flatten().collect(),
            Query::Name(name) => one(aws, name).await?.into_iter().collect(),
            Query::Tag(..) => all(aws).await?,
        };
        let found = each(groups, |(name, group)| async move { tagged(aws, &name, &group).await }).await?;
        Ok(found.into_iter().flatten().filter(|found| query.matches(found, &found.object.id)).collect())
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        let given = Given(&request.attributes);
        if request.changed.contains("subnet_ids") || request.changed.contains("description") {
            let send = aws
                .rds
                .modify_db_subnet_group()
                .db_subnet_group_name(&request.id)
                .set_db_subnet_group_description(given.owned("description"))
                .set_subnet_ids(Some(given.texts("subnet_ids")));
            aws.write("rds:ModifyDBSubnetGroup", send.send()).await?;
        }
        rds::retag(aws, Given(&request.before).text("arn")?, request, Default::default()).await
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        // An instance on its way out is in it until it is gone.
        wait::while_conflict(INSTANCES_GO_WITHIN, is_conflict, || {
            aws.write("rds:DeleteDBSubnetGroup", aws.rds.delete_db_subnet_group().db_subnet_group_name(id).send())
        })
        .await
        .map(drop)
    }
}

/// A group, under the name that it is asked for by: RDS answers names in small letters.
async fn one(aws: &Aws, name: &str) -> Result<Option<(String, Answered)>, CallError> {
    let ask = || aws.rds.describe_db_subnet_groups().db_subnet_group_name(name).send();
    let answer = there(aws.read("rds:DescribeDBSubnetGroups", ask).await)?;
    let group = answer.and_then(|answer| answer.db_subnet_groups?.into_iter().next());
    Ok(group.map(|group| (name.to_owned(), group)))
}

async fn all(aws: &Aws) -> Result<Vec<(String, Answered)>, CallError> {
    let pages = || aws.rds.describe_db_subnet_groups().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    let groups = aws.read("rds:DescribeDBSubnetGroups", pages).await?;
    Ok(groups.into_iter().filter_map(|group| Some((group.db_subnet_group_name.clone()?, group))).collect())
}

async fn tagged(aws: &Aws, name: &str, group: &Answered) -> Result<Option<Found>, CallError> {
    let arn = group.db_subnet_group_arn().ok_or_else(|| strange("rds:DescribeDBSubnetGroups", "ARN"))?;
    let answer = there(aws.read("rds:ListTagsForResource", || aws.rds.list_tags_for_resource().resource_name(arn).send()).await)?;
    Ok(answer.map(|answer| {
        let (marks, own) = rds::parted(answer.tag_list());
        Found { object: said(group, name).set("tags", own).answer(name), tags: marks }
    }))
}

fn said(group: &Answered, name: &str) -> Said {
    let subnets: BTreeSet<String> = group.subnets().iter().filter_map(|subnet| subnet.subnet_identifier.clone()).collect();
    Said::of(kinds::DB_SUBNET_GROUP)
        .set("name", name)
        .set("description", group.db_subnet_group_description())
        .set("subnet_ids", subnets)
        .set("arn", group.db_subnet_group_arn())
        .set("vpc_id", group.vpc_id())
}
