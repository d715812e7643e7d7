//! Tags: marks and what a spec calls tags, put together for requests and parted again in answers.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};
use cloudtik_aws::marks;
use cloudtik_provider_api::{CallError, CreateRequest, UpdateRequest};

use crate::attributes::Given;
use crate::aws::Aws;

/// The longest value of a tag that AWS takes.
pub(crate) const VALUE_CHARS_MAX: usize = 256;

/// All tags that an object is made with, encoded.
pub(crate) fn of_create(request: &CreateRequest) -> BTreeMap<String, String> {
    let mut tags = Given(&request.attributes).map("tags");
    tags.extend(encoded_marks(&request.tags));
    tags
}

/// What an update does to the tags: those to write, and the names of those to remove. `None` when they stay.
pub(crate) fn of_update(request: &UpdateRequest) -> Option<(BTreeMap<String, String>, BTreeSet<String>)> {
    let is_changed = request.changed.contains("tags");
    if !is_changed && request.marks.is_empty() {
        return None;
    }
    let of = |attributes| if is_changed { Given(attributes).map("tags") } else { BTreeMap::new() };
    let (before, after) = (of(&request.before), of(&request.attributes));
    let removed = before.keys().filter(|name| !after.contains_key(*name)).cloned().collect();
    let changed = after.into_iter().filter(|(name, value)| before.get(name) != Some(value));
    Some((changed.chain(encoded_marks(&request.marks)).collect(), removed))
}

fn encoded_marks(all: &BTreeMap<String, String>) -> impl Iterator<Item = (String, String)> {
    all.iter().map(|(name, value)| (name.clone(), marks::encode(value)))
}

/// As EC2 takes them in a create.
pub(crate) fn specification(of: ResourceType, request: &CreateRequest) -> TagSpecification {
    TagSpecification::builder().resource_type(of).set_tags(Some(ec2(&of_create(request)))).build()
}

/// As EC2 writes them.
pub(crate) fn ec2(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter().map(|(name, value)| Tag::builder().key(name).value(value).build()).collect()
}

/// What EC2 answered, parted into marks and tags.
pub(crate) fn of_ec2(tags: &[Tag]) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    marks::part(tags.iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()))).collect())
}

/// The filter that finds objects of EC2 by a tag.
pub(crate) fn filter(key: &str, value: &str) -> Filter {
    Filter::builder().name(format!("tag:{key}")).values(encoded(key, value)).build()
}

/// The filter that finds objects of EC2 by a tag with any of some values.
pub(crate) fn filter_any(key: &str, values: &[String]) -> Filter {
    let values = values.iter().map(|value| encoded(key, value)).collect();
    Filter::builder().name(format!("tag:{key}")).set_values(Some(values)).build()
}

/// The value of a tag as AWS has it: that of a mark is encoded.
pub(crate) fn encoded(key: &str, value: &str) -> String {
    if key.starts_with(marks::PREFIX) { marks::encode(value) } else { value.to_owned() }
}

/// Changes the tags of an object of EC2 as an update says.
pub(crate) async fn update_ec2(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
    update_ec2_of(aws, &request.id, request).await
}

/// The same of an object whose id for tags is another one than its own.
pub(crate) async fn update_ec2_of(aws: &Aws, id: &str, request: &UpdateRequest) -> Result<(), CallError> {
    let Some((written, removed)) = of_update(request) else { return Ok(()) };
    if !written.is_empty() {
        aws.write("ec2:CreateTags", aws.ec2.create_tags().resources(id).set_tags(Some(ec2(&written))).send()).await?;
    }
    if !removed.is_empty() {
        let names = removed.iter().map(|name| Tag::builder().key(name).build()).collect();
        aws.write("ec2:DeleteTags", aws.ec2.delete_tags().resources(id).set_tags(Some(names)).send()).await?;
    }
    Ok(())
}
