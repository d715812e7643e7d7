//! `aws_iam_role_policy_attachment`

use std::collections::{BTreeMap, BTreeSet};

use cloudtik_aws::kinds;
use cloudtik_provider_api::{CallError, CreateRequest, Found, ObjectAnswer, UpdateRequest};

use super::iam::{self, halves};
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::each::{each, there};
use crate::kind::{Kind, Query};
use crate::wait;

/// Between the halves of an id: no name of a role has one in it.
const SEPARATOR: char = '/';

pub(crate) struct IamRolePolicyAttachment;

impl Kind for IamRolePolicyAttachment {
    const NAME: &'static str = kinds::IAM_ROLE_POLICY_ATTACHMENT;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let (role, arn) = (given.text("role")?, given.text("policy_arn")?);
        let send = || aws.write("iam:AttachRolePolicy", aws.iam.attach_role_policy().role_name(role).policy_arn(arn).send());
        // Either was just made, perhaps. A policy of AWS that does not exist is named so at last.
        wait::while_conflict(iam::SPREADS_WITHIN, |error| error.code == "NoSuchEntity" && !is_of_aws(arn), send).await?;
        Ok(said(role, arn))
    }

    /// They carry no tags, so by a tag there are none. One request for all that a role has.
    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let Query::Ids(ids) = query else { return Ok(Vec::new()) };
        let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (role, arn) in ids.iter().filter_map(|id| halves(id, SEPARATOR).ok()) {
            wanted.entry(role).or_default().insert(arn);
        }
        let found = each(wanted, |(role, arns)| async move {
            let attached = attached(aws, role).await?;
            let is_there = |arn: &&str| attached.contains(*arn);
            Ok(arns.into_iter().filter(is_there).map(|arn| said(role, arn)).collect::<Vec<_>>())
        });
        Ok(found.await?.into_iter().flatten().map(|object| Found { object, tags: BTreeMap::new() }).collect())
    }

    /// Nothing of it changes in place.
    async fn update(_: &Aws, _: &UpdateRequest) -> Result<(), CallError> {
        Ok(())
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        let (role, arn) = halves(id, SEPARATOR)?;
        aws.write("iam:DetachRolePolicy", aws.iam.detach_role_policy().role_name(role).policy_arn(arn).send()).await.map(drop)
    }
}

fn is_of_aws(arn: &str) -> bool {
    arn.contains(":iam::aws:policy/")
}

async fn attached(aws: &Aws, role: &str) -> Result<BTreeSet<String>, CallError> {
    let pages = || aws.iam.list_attached_role_policies().role_name(role).into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    let attached = there(aws.read("iam:ListAttachedRolePolicies", pages).await)?.unwrap_or_default();
    Ok(attached.into_iter().filter_map(|policy| policy.policy_arn).collect())
}

fn said(role: &str, arn: &str) -> ObjectAnswer {
    let id = format!("{role}{SEPARATOR}{arn}");
    Said::of(kinds::IAM_ROLE_POLICY_ATTACHMENT).set("role", role).set("policy_arn", arn).answer(id)
}
