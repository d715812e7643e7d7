//! What the kinds of load balancers share: tags, and looking many up by ARN.

use std::collections::BTreeMap;

use aws_sdk_elasticloadbalancingv2::types::Tag;
use cloudtik_aws::marks;
use cloudtik_provider_api::{CallError, CreateRequest, ErrorClass, Found, UpdateRequest};

use crate::aws::Aws;
use crate::each::{each, there};
use crate::tags;

/// Objects that one request names, as AWS has it for tags; other requests take no fewer.
const ARNS_MAX: usize = 20;

/// The tag of the create that made an object.
const OP_TAG: &str = "cloudtik:op";

/// Tags as the service writes them.
pub(super) fn written(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter().map(|(name, value)| Tag::builder().key(name).value(value).build()).collect()
}

/// Marks and tags of objects, by ARN.
pub(super) type Tagged = BTreeMap<String, (BTreeMap<String, String>, BTreeMap<String, String>)>;

/// Reads the marks and tags of objects. One that is gone has none.
pub(super) async fn tagged(aws: &Aws, arns: Vec<String>) -> Result<Tagged, CallError> {
    let ask = |some: Vec<String>| async move {
        let ask = || aws.elb.describe_tags().set_resource_arns(Some(some.clone())).send();
        let answer = aws.read("elasticloadbalancing:DescribeTags", ask).await?;
        Ok(answer.tag_descriptions.unwrap_or_default())
    };
    let described = those(arns, ask).await?;
    Ok(described.into_iter().filter_map(|one| Some((one.resource_arn.clone()?, parted(one.tags())))).collect())
}

fn parted(tags: &[Tag]) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let tags = tags.iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())));
    marks::part(tags.collect())
}

/// Asks for objects by ARN, as many as there may be in a request. One that is gone fails a whole request: then each is asked for.
pub(super) async fn those<T, F>(arns: Vec<String>, ask: impl Fn(Vec<String>) -> F) -> Result<Vec<T>, CallError>
where
    F: Future<Output = Result<Vec<T>, CallError>>,
{
    let mut found = Vec::new();
    for some in arns.chunks(ARNS_MAX) {
        match ask(some.to_vec()).await {
            Ok(all) => found.extend(all),
            Err(error) if error.class == ErrorClass::Gone => {
                let all = each(some, |arn| {
                    let asked = ask(vec![arn.clone()]);
                    async move { there(asked.await) }
                });
                found.extend(all.await?.into_iter().flatten().flatten());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Changes the tags of an object as an update says.
pub(super) async fn retag(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
    let Some((set, removed)) = tags::of_update(request) else { return Ok(()) };
    if !set.is_empty() {
        let send = aws.elb.add_tags().resource_arns(&request.id).set_tags(Some(written(&set)));
        aws.write("elasticloadbalancing:AddTags", send.send()).await?;
    }
    if !removed.is_empty() {
        let send = aws.elb.remove_tags().resource_arns(&request.id).set_tag_keys(Some(removed.into_iter().collect()));
        aws.write("elasticloadbalancing:RemoveTags", send.send()).await?;
    }
    Ok(())
}

/// Refuses what a create answered if another create made it: of an object that is the same but for its tags AWS says that it was made.
pub(super) fn check_own(found: Found, request: &CreateRequest, name: &str) -> Result<Found, CallError> {
    if found.tags.get(OP_TAG) == Some(&request.op_id) || !request.tags.contains_key(OP_TAG) {
        return Ok(found);
    }
    Err(CallError::new(ErrorClass::Conflict, "AlreadyExists", format!("there is a `{name}` already: {}", found.object.id)))
}
