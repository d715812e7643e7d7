//! `aws_iam_instance_profile`

use aws_sdk_iam::types::InstanceProfile;
use cloudtik_aws::{kinds, marks};
use cloudtik_provider_api::{CallError, CreateRequest, ErrorClass, Found, ObjectAnswer, UpdateRequest};

use super::iam;
use super::made::unfinished;
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::each::{each, there};
use crate::error::strange;
use crate::kind::{Kind, Query, gone};
use crate::{tags, wait};

pub(crate) struct IamInstanceProfile;

impl Kind for IamInstanceProfile {
    const NAME: &'static str = kinds::IAM_INSTANCE_PROFILE;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let send = aws
            .iam
            .create_instance_profile()
            .set_instance_profile_name(given.owned("name"))
            .set_path(given.owned("path"))
            .set_tags(Some(iam::written("iam:CreateInstanceProfile", &tags::of_create(request))?))
            .send();
        let made = aws.write("iam:CreateInstanceProfile", send).await?;
        let profile = made.instance_profile().ok_or_else(|| strange("iam:CreateInstanceProfile", "profile"))?;
        let role = given.maybe_text("role");
        if let Some(role) = role {
            add(aws, profile.instance_profile_name(), role).await.map_err(unfinished)?;
        }
        let (_, own) = marks::part(tags::of_create(request));
        Ok(said(profile).set("role", role).set("tags", own).answer(profile.instance_profile_name()))
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let names: Vec<String> = match query {
            Query::Ids(ids) => ids.iter().cloned().collect(),
            Query::Name(name) => vec![(*name).to_owned()],
            Query::Tag(..) => all(aws).await?,
        };
        let found = each(names, |name| one(aws, name)).await?;
        let found = found.into_iter().flatten().map(|profile| found_of(aws, &profile));
        Ok(found.filter(|found| query.matches(found, &found.object.id)).collect())
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        if request.changed.contains("role") {
            let profile = one(aws, request.id.clone()).await?.ok_or_else(|| gone(&request.id))?;
            let wanted = Given(&request.attributes).maybe_text("role");
            let is_there = profile.roles().iter().any(|role| Some(role.role_name()) == wanted);
            // A profile has one role at most.
            remove(aws, &profile, |role| Some(role) != wanted).await?;
            if let Some(role) = wanted.filter(|_| !is_there) {
                add(aws, &request.id, role).await?;
            }
        }
        let Some((written, removed)) = tags::of_update(request) else { return Ok(()) };
        if !written.is_empty() {
            let all = iam::written("iam:TagInstanceProfile", &written)?;
            let send = aws.iam.tag_instance_profile().instance_profile_name(&request.id).set_tags(Some(all));
            aws.write("iam:TagInstanceProfile", send.send()).await?;
        }
        if !removed.is_empty() {
            let send = aws.iam.untag_instance_profile().instance_profile_name(&request.id).set_tag_keys(iam::names(&removed));
            aws.write("iam:UntagInstanceProfile", send.send()).await?;
        }
        Ok(())
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        if let Some(role) = aws.session.take_other(id) {
            there(take(aws, id, &role).await)?;
            match delete(aws, id).await {
                // It may have another role since.
                Err(error) if error.class == ErrorClass::Conflict => {}
                other => return other,
            }
        }
        let profile = one(aws, id.to_owned()).await?.ok_or_else(|| gone(id))?;
        remove(aws, &profile, |_| true).await?;
        delete(aws, id).await
    }
}

async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
    let send = aws.iam.delete_instance_profile().instance_profile_name(id).send();
    aws.write("iam:DeleteInstanceProfile", send).await.map(drop)
}

/// The role was just made, perhaps.
async fn add(aws: &Aws, profile: &str, role: &str) -> Result<(), CallError> {
    let send = || {
        let send = aws.iam.add_role_to_instance_profile().instance_profile_name(profile).role_name(role);
        aws.write("iam:AddRoleToInstanceProfile", send.send())
    };
    wait::while_conflict(iam::SPREADS_WITHIN, |error| error.code == "NoSuchEntity", send).await.map(drop)
}

async fn remove(aws: &Aws, profile: &InstanceProfile, is_unwanted: impl Fn(&str) -> bool) -> Result<(), CallError> {
    for role in profile.roles().iter().map(|role| role.role_name()).filter(|role| is_unwanted(role)) {
        there(take(aws, profile.instance_profile_name(), role).await)?;
    }
    Ok(())
}

async fn take(aws: &Aws, profile: &str, role: &str) -> Result<(), CallError> {
    let send = aws.iam.remove_role_from_instance_profile().instance_profile_name(profile).role_name(role);
    aws.write("iam:RemoveRoleFromInstanceProfile", send.send()).await.map(drop)
}

async fn all(aws: &Aws) -> Result<Vec<String>, CallError> {
    let pages = || aws.iam.list_instance_profiles().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    let profiles = aws.read("iam:ListInstanceProfiles", pages).await?;
    Ok(profiles.iter().map(|profile| profile.instance_profile_name().to_owned()).collect())
}

async fn one(aws: &Aws, name: String) -> Result<Option<InstanceProfile>, CallError> {
    let ask = || aws.iam.get_instance_profile().instance_profile_name(&name).send();
    Ok(there(aws.read("iam:GetInstanceProfile", ask).await)?.and_then(|answer| answer.instance_profile))
}

fn found_of(aws: &Aws, profile: &InstanceProfile) -> Found {
    let (marks, own) = iam::parted(profile.tags());
    let role = profile.roles().first().map(|role| role.role_name());
    if let Some(role) = role {
        aws.session.keep_other(profile.instance_profile_name(), role);
    }
    Found { object: said(profile).set("role", role).set("tags", own).answer(profile.instance_profile_name()), tags: marks }
}

fn said(profile: &InstanceProfile) -> Said {
    Said::of(kinds::IAM_INSTANCE_PROFILE)
        .set("name", profile.instance_profile_name())
        .set("path", profile.path())
        .set("arn", profile.arn())
        .set("unique_id", profile.instance_profile_id())
}
