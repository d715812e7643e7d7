//! `aws_iam_role_policy`

use cloudtik_aws::kinds;
use cloudtik_provider_api::{CallError, CreateRequest, Found, ObjectAnswer, UpdateRequest};

use super::iam::{self, halves};
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::documents;
use crate::each::{each, there};
use crate::kind::{Kind, Query, gone};
use crate::wait;

/// Between the halves of an id: no name of IAM has one in it.
const SEPARATOR: char = ':';

pub(crate) struct IamRolePolicy;

impl Kind for IamRolePolicy {
    const NAME: &'static str = kinds::IAM_ROLE_POLICY;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let (role, name, policy) = (given.text("role")?, given.text("name")?, given.text("policy")?);
        put(aws, role, name, policy).await?;
        Ok(said(role, name, documents::canonical(policy)))
    }

    /// They carry no tags, so by a tag there are none.
    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let Query::Ids(ids) = query else { return Ok(Vec::new()) };
        let found = each(ids.iter(), |id| one(aws, id)).await?;
        Ok(found.into_iter().flatten().map(|object| Found { object, tags: Default::default() }).collect())
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        let (role, name) = halves(&request.id, SEPARATOR)?;
        // A put makes what is not there.
        if one(aws, &request.id).await?.is_none() {
            return Err(gone(&request.id));
        }
        put(aws, role, name, Given(&request.attributes).text("policy")?).await
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        let (role, name) = halves(id, SEPARATOR)?;
        aws.write("iam:DeleteRolePolicy", aws.iam.delete_role_policy().role_name(role).policy_name(name).send()).await.map(drop)
    }
}

async fn put(aws: &Aws, role: &str, name: &str, policy: &str) -> Result<(), CallError> {
    let send = || {
        let send = aws.iam.put_role_policy().role_name(role).policy_name(name).policy_document(policy);
        aws.write("iam:PutRolePolicy", send.send())
    };
    wait::while_conflict(iam::SPREADS_WITHIN, |error| error.code == "NoSuchEntity", send).await.map(drop)
}

async fn one(aws: &Aws, id: &str) -> Result<Option<ObjectAnswer>, CallError> {
    let Ok((role, name)) = halves(id, SEPARATOR) else { return Ok(None) };
    let ask = || aws.iam.get_role_policy().role_name(role).policy_name(name).send();
    let answer = there(aws.read("iam:GetRolePolicy", ask).await)?;
    Ok(answer.map(|answer| said(role, name, documents::of_url(answer.policy_document()))))
}

fn said(role: &str, name: &str, policy: String) -> ObjectAnswer {
    let id = format!("{role}{SEPARATOR}{name}");
    Said::of(kinds::IAM_ROLE_POLICY).set("role", role).set("name", name).set("policy", policy).answer(id)
}
