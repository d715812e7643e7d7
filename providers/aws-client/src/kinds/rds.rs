//! What the kinds of RDS share: tags.

use std::collections::BTreeMap;

use aws_sdk_rds::types::Tag;
use cloudtik_aws::marks;
use cloudtik_provider_api::{CallError, UpdateRequest};

use crate::aws::Aws;
use crate::tags;

/// Tags as RDS writes them.
pub(super) fn written(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter().map(|(name, value)| Tag::builder().key(name).value(value).build()).collect()
}

/// What RDS answered, parted into marks and tags.
pub(super) fn parted(tags: &[Tag]) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    marks::part(tags.iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()))).collect())
}

/// Changes the tags of an object as an update says, and sets marks of the provider's own.
pub(super) async fn retag(aws: &Aws, arn: &str, request: &UpdateRequest, own: BTreeMap<String, String>) -> Result<(), CallError> {
    let (mut set, removed) = tags::of_update(request).unwrap_or_default();
    set.extend(own);
    if !set.is_empty() {
        let send = aws.rds.add_tags_to_resource().resource_name(arn).set_tags(Some(written(&set)));
        aws.write("rds:AddTagsToResource", send.send()).await?;
    }
    if !removed.is_empty() {
        let names = Some(removed.into_iter().collect());
        let send = aws.rds.remove_tags_from_resource().resource_name(arn).set_tag_keys(names);
        aws.write("rds:RemoveTagsFromResource", send.send()).await?;
    }
    Ok(())
}
