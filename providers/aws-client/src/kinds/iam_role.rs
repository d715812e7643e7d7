//! `aws_iam_role`

use aws_sdk_iam::types::Role;
use cloudtik_aws::{kinds, marks};
use cloudtik_provider_api::{CallError, CreateRequest, ErrorClass, Found, ObjectAnswer, UpdateRequest};

use super::iam;
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::documents;
use crate::each::{each, there};
use crate::error::strange;
use crate::kind::{Kind, Query};
use crate::{tags, wait};

pub(crate) struct IamRole;

impl Kind for IamRole {
    const NAME: &'static str = kinds::IAM_ROLE;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let all = iam::written("iam:CreateRole", &tags::of_create(request))?;
        let send = || {
            let send = aws
                .iam
                .create_role()
                .set_role_name(given.owned("name"))
                .set_assume_role_policy_document(given.owned("assume_role_policy"))
                .set_description(given.owned("description"))
                .set_path(given.owned("path"))
                .set_permissions_boundary(given.owned("permissions_boundary"))
                .set_max_session_duration(given.int("max_session_duration"))
                .set_tags(Some(all.clone()));
            aws.write("iam:CreateRole", send.send())
        };
        let made = wait::while_conflict(iam::SPREADS_WITHIN, iam::is_unknown_principal, send).await?;
        let role = made.role().ok_or_else(|| strange("iam:CreateRole", "role"))?;
        // The answer leaves out some of what was given.
        let (_, own) = marks::part(tags::of_create(request));
        let boundary = given.owned("permissions_boundary");
        Ok(said(role).set("tags", own).set("permissions_boundary", boundary).answer(role.role_name()))
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let names: Vec<String> = match query {
            Query::Ids(ids) => ids.iter().cloned().collect(),
            Query::Name(name) => vec![(*name).to_owned()],
            Query::Tag(..) => all(aws).await?,
        };
        let found = each(names, |name| one(aws, name)).await?;
        Ok(found.into_iter().flatten().filter(|found| query.matches(found, &found.object.id)).collect())
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        let (given, id) = (Given(&request.attributes), &*request.id);
        let changed = |name: &str| request.changed.contains(name);
        if changed("assume_role_policy") {
            let document = given.owned("assume_role_policy");
            let send = || {
                let send = aws.iam.update_assume_role_policy().role_name(id).set_policy_document(document.clone());
                aws.write("iam:UpdateAssumeRolePolicy", send.send())
            };
            wait::while_conflict(iam::SPREADS_WITHIN, iam::is_unknown_principal, send).await?;
        }
        if changed("description") || changed("max_session_duration") {
            let description = given.maybe_text("description").unwrap_or_default();
            let duration = given.int("max_session_duration");
            let send = aws.iam.update_role().role_name(id).description(description).set_max_session_duration(duration);
            aws.write("iam:UpdateRole", send.send()).await?;
        }
        if changed("permissions_boundary") {
            bound(aws, id, given.maybe_text("permissions_boundary")).await?;
        }
        retag(aws, request).await
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        match remove(aws, id).await {
            Err(error) if error.code == "DeleteConflict" => {}
            other => return other,
        }
        detach(aws, id).await?;
        match remove(aws, id).await {
            Err(error) if error.code == "DeleteConflict" => Err(with_what_is_left(aws, id, error).await),
            other => other,
        }
    }
}

async fn remove(aws: &Aws, id: &str) -> Result<(), CallError> {
    aws.write("iam:DeleteRole", aws.iam.delete_role().role_name(id).send()).await.map(drop)
}

/// Takes from a role the rights that have names of their own: they are there without it, and nothing is lost.
async fn detach(aws: &Aws, id: &str) -> Result<(), CallError> {
    let attached = aws.read("iam:ListAttachedRolePolicies", || aws.iam.list_attached_role_policies().role_name(id).send()).await?;
    for arn in attached.attached_policies().iter().filter_map(|policy| policy.policy_arn()) {
        there(aws.write("iam:DetachRolePolicy", aws.iam.detach_role_policy().role_name(id).policy_arn(arn).send()).await)?;
    }
    Ok(())
}

async fn bound(aws: &Aws, id: &str, boundary: Option<&str>) -> Result<(), CallError> {
    match boundary {
        Some(boundary) => {
            let send = aws.iam.put_role_permissions_boundary().role_name(id).permissions_boundary(boundary);
            aws.write("iam:PutRolePermissionsBoundary", send.send()).await.map(drop)
        }
        None => {
            let send = aws.iam.delete_role_permissions_boundary().role_name(id);
            aws.write("iam:DeleteRolePermissionsBoundary", send.send()).await.map(drop)
        }
    }
}

async fn retag(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
    let Some((written, removed)) = tags::of_update(request) else { return Ok(()) };
    if !written.is_empty() {
        let send = aws.iam.tag_role().role_name(&request.id).set_tags(Some(iam::written("iam:TagRole", &written)?));
        aws.write("iam:TagRole", send.send()).await?;
    }
    if !removed.is_empty() {
        let send = aws.iam.untag_role().role_name(&request.id).set_tag_keys(iam::names(&removed));
        aws.write("iam:UntagRole", send.send()).await?;
    }
    Ok(())
}

async fn all(aws: &Aws) -> Result<Vec<String>, CallError> {
    let pages = || aws.iam.list_roles().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    let roles = aws.read("iam:ListRoles", pages).await?;
    Ok(roles.iter().map(|role| role.role_name().to_owned()).collect())
}

async fn one(aws: &Aws, name: String) -> Result<Option<Found>, CallError> {
    let answer = there(aws.read("iam:GetRole", || aws.iam.get_role().role_name(&name).send()).await)?;
    Ok(answer.and_then(|answer| answer.role).map(|role| {
        let (marks, own) = iam::parted(role.tags());
        Found { object: said(&role).set("tags", own).answer(role.role_name()), tags: marks }
    }))
}

fn said(role: &Role) -> Said {
    let boundary = role.permissions_boundary().and_then(|boundary| boundary.permissions_boundary_arn());
    Said::of(kinds::IAM_ROLE)
        .set("name", role.role_name())
        .set("assume_role_policy", role.assume_role_policy_document().map(documents::of_url))
        .set("description", role.description().filter(|text| !text.is_empty()))
        .set("path", role.path())
        .set("permissions_boundary", boundary)
        .set("max_session_duration", role.max_session_duration().unwrap_or(SESSION_SECS))
        .set("arn", role.arn())
        .set("unique_id", role.role_id())
}

/// What a session lasts when nothing is said.
const SESSION_SECS: i32 = 3_600;

/// The error with what was given to the role by hand: what is ours was taken from it before.
async fn with_what_is_left(aws: &Aws, id: &str, mut error: CallError) -> CallError {
    match left(aws, id).await {
        Ok(left) if !left.is_empty() => {
            error.message = format!("{}: the role still has {}", error.message, left.join(", "));
            error.class = ErrorClass::Conflict;
            error.help("take from it what was given to it by hand")
        }
        _ => error,
    }
}

async fn left(aws: &Aws, id: &str) -> Result<Vec<String>, CallError> {
    let (attached, inline, profiles) = tokio::try_join!(
        aws.read("iam:ListAttachedRolePolicies", || aws.iam.list_attached_role_policies().role_name(id).send()),
        aws.read("iam:ListRolePolicies", || aws.iam.list_role_policies().role_name(id).send()),
        aws.read("iam:ListInstanceProfilesForRole", || aws.iam.list_instance_profiles_for_role().role_name(id).send()),
    )?;
    let attached = attached.attached_policies().iter().filter_map(|policy| policy.policy_arn());
    let profiles = profiles.instance_profiles().iter().map(|profile| format!("the instance profile `{}`", profile.instance_profile_name()));
    let inline = inline.policy_names().iter().map(|name| format!("the policy `{name}`"));
    Ok(attached.map(|arn| format!("the policy `{arn}`")).chain(inline).chain(profiles).collect())
}
