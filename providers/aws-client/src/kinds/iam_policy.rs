//! `aws_iam_policy`

use aws_sdk_iam::types::{Policy, PolicyScopeType};
use cloudtik_aws::{kinds, marks};
use cloudtik_provider_api::{CallError, CreateRequest, Found, ObjectAnswer, UpdateRequest};

use super::iam;
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::documents;
use crate::each::{each, there};
use crate::error::strange;
use crate::kind::{Kind, Query};
use crate::{tags, wait};

/// Versions of a policy that AWS keeps; one more is an error.
const VERSIONS_MAX: usize = 5;

pub(crate) struct IamPolicy;

impl Kind for IamPolicy {
    const NAME: &'static str = kinds::IAM_POLICY;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let send = aws
            .iam
            .create_policy()
            .set_policy_name(given.owned("name"))
            .set_path(given.owned("path"))
            .set_description(given.owned("description"))
            .set_policy_document(given.owned("policy"))
            .set_tags(Some(iam::written("iam:CreatePolicy", &tags::of_create(request))?))
            .send();
        let made = aws.write("iam:CreatePolicy", send).await?;
        let policy = made.policy().ok_or_else(|| strange("iam:CreatePolicy", "policy"))?;
        let arn = policy.arn().ok_or_else(|| strange("iam:CreatePolicy", "ARN"))?;
        // The answer leaves out some of what was given.
        let (_, own) = marks::part(tags::of_create(request));
        let document = documents::canonical(given.text("policy")?);
        Ok(said(policy).set("description", given.owned("description")).set("tags", own).set("policy", document).answer(arn))
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let arns: Vec<String> = match query {
            Query::Ids(ids) => ids.iter().cloned().collect(),
            Query::Name(name) => own(aws, |policy| policy.policy_name() == Some(*name)).await?,
            Query::Tag(..) => own(aws, |_| true).await?,
        };
        let found = each(arns, |arn| one(aws, arn)).await?;
        let name = |found: &Found| found.object.attributes.get("name").and_then(|name| name.as_str()).unwrap_or_default().to_owned();
        Ok(found.into_iter().flatten().filter(|found| query.matches(found, &name(found))).collect())
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        if request.changed.contains("policy") {
            make_room(aws, &request.id).await?;
            let document = Given(&request.attributes).text("policy")?;
            let send = aws.iam.create_policy_version().policy_arn(&request.id).policy_document(document).set_as_default(true);
            aws.write("iam:CreatePolicyVersion", send.send()).await?;
        }
        let Some((written, removed)) = tags::of_update(request) else { return Ok(()) };
        if !written.is_empty() {
            let send = aws.iam.tag_policy().policy_arn(&request.id).set_tags(Some(iam::written("iam:TagPolicy", &written)?));
            aws.write("iam:TagPolicy", send.send()).await?;
        }
        if !removed.is_empty() {
            let send = aws.iam.untag_policy().policy_arn(&request.id).set_tag_keys(iam::names(&removed));
            aws.write("iam:UntagPolicy", send.send()).await?;
        }
        Ok(())
    }

    /// A policy goes when only its present version is left, and nobody has it; that a role lost it may not be known everywhere.
    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        for version in older(aws, id).await? {
            remove(aws, id, &version).await?;
        }
        let send = || aws.write("iam:DeletePolicy", aws.iam.delete_policy().policy_arn(id).send());
        wait::while_conflict(DETACHED_WITHIN, |error| error.code == "DeleteConflict", send).await.map(drop)
    }
}

/// How long a policy may look as if a role still had it. A role that really has it is an error that nobody should wait long for.
const DETACHED_WITHIN: std::time::Duration = std::time::Duration::from_secs(15);

/// Versions but the present one, oldest first.
async fn older(aws: &Aws, arn: &str) -> Result<Vec<String>, CallError> {
    let answer = aws.read("iam:ListPolicyVersions", || aws.iam.list_policy_versions().policy_arn(arn).send()).await?;
    let mut versions: Vec<_> = answer.versions().iter().filter(|version| !version.is_default_version()).collect();
    versions.sort_by_key(|version| version.create_date().map(|date| date.secs()));
    Ok(versions.into_iter().filter_map(|version| version.version_id.clone()).collect())
}

async fn make_room(aws: &Aws, arn: &str) -> Result<(), CallError> {
    let older = older(aws, arn).await?;
    match older.first() {
        Some(oldest) if older.len() + 1 >= VERSIONS_MAX => remove(aws, arn, oldest).await,
        _ => Ok(()),
    }
}

async fn remove(aws: &Aws, arn: &str, version: &str) -> Result<(), CallError> {
    aws.write("iam:DeletePolicyVersion", aws.iam.delete_policy_version().policy_arn(arn).version_id(version).send()).await.map(drop)
}

/// ARNs of the account's own policies.
async fn own(aws: &Aws, is_wanted: impl Fn(&Policy) -> bool) -> Result<Vec<String>, CallError> {
    let pages = || aws.iam.list_policies().scope(PolicyScopeType::Local).into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    let policies = aws.read("iam:ListPolicies", pages).await?;
    Ok(policies.into_iter().filter(is_wanted).filter_map(|policy| policy.arn).collect())
}

async fn one(aws: &Aws, arn: String) -> Result<Option<Found>, CallError> {
    let answer = there(aws.read("iam:GetPolicy", || aws.iam.get_policy().policy_arn(&arn).send()).await)?;
    let Some(policy) = answer.and_then(|answer| answer.policy) else { return Ok(None) };
    let version = policy.default_version_id().ok_or_else(|| strange("iam:GetPolicy", "version"))?;
    let ask = || aws.iam.get_policy_version().policy_arn(&arn).version_id(version).send();
    let Some(answer) = there(aws.read("iam:GetPolicyVersion", ask).await)? else { return Ok(None) };
    let document = answer.policy_version().and_then(|version| version.document()).map(documents::of_url);
    let (marks, own) = iam::parted(policy.tags());
    let object = said(&policy).set("description", policy.description()).set("tags", own).set("policy", document).answer(&*arn);
    Ok(Some(Found { object, tags: marks }))
}

fn said(policy: &Policy) -> Said {
    Said::of(kinds::IAM_POLICY).set("name", policy.policy_name()).set("path", policy.path()).set("arn", policy.arn())
}
