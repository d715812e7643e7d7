//! The status of a node, as tags of its machine: every look at the machine tells them.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, Tag};
use cloudtik_aws::marks;
use cloudtik_provider_api::{CallError, STATUS_PREFIX};

use crate::aws::Aws;
use crate::error::refused;
use crate::tags;

/// The longest value of a tag that AWS takes.
const VALUE_CHARS_MAX: usize = 256;

/// Replaces what was published of a machine. What is published already is not sent again.
pub(crate) async fn publish(aws: &Aws, id: &str, status: &BTreeMap<String, String>) -> Result<(), CallError> {
    let before = match aws.session.status(id) {
        Some(before) => before,
        None => published(aws, id).await?,
    };
    let wanted = as_tags(status)?;
    let (written, removed) = difference(&before, &wanted);
    // What came of a request that fails is not known.
    aws.session.set_status(id, None);
    if !written.is_empty() {
        let send = aws.ec2.create_tags().resources(id).set_tags(Some(tags::ec2(&written))).send();
        aws.write("ec2:CreateTags", send).await?;
    }
    if !removed.is_empty() {
        let removed = removed.iter().map(|name| Tag::builder().key(name).build()).collect();
        aws.write("ec2:DeleteTags", aws.ec2.delete_tags().resources(id).set_tags(Some(removed)).send()).await?;
    }
    aws.session.set_status(id, Some(wanted));
    Ok(())
}

fn as_tags(status: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, CallError> {
    let tag = |(key, value): (&String, &String)| {
        let encoded = marks::encode(value);
        if encoded.len() > VALUE_CHARS_MAX {
            let text = format!("ec2:CreateTags: the status `{key}` has {} characters, and a tag takes {VALUE_CHARS_MAX}", encoded.len());
            return Err(refused("status", text));
        }
        Ok((format!("{STATUS_PREFIX}{key}"), encoded))
    };
    status.iter().map(tag).collect()
}

/// What to write, and the names of what to remove.
fn difference(before: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> (BTreeMap<String, String>, Vec<String>) {
    let is_new = |(name, value): &(&String, &String)| before.get(*name) != Some(value);
    let written = wanted.iter().filter(is_new).map(|(name, value)| (name.clone(), value.clone())).collect();
    (written, before.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect())
}

async fn published(aws: &Aws, id: &str) -> Result<BTreeMap<String, String>, CallError> {
    let of = Filter::builder().name("resource-id").values(id).build();
    let pages = || {
        let request = aws.ec2.describe_tags().filters(of.clone());
        request.into_paginator().items().send().collect::<Result<Vec<_>, _>>()
    };
    let found = aws.read("ec2:DescribeTags", pages).await?;
    let found = found.into_iter().filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default())));
    Ok(found.filter(|(name, _)| name.starts_with(STATUS_PREFIX)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[(&str, &str)]) -> BTreeMap<String, String> {
        parts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn only_what_changed_is_sent() {
        let before = as_tags(&of(&[("epoch", "1"), ("group.a", "1/1/t"), ("digest", "d")])).unwrap();
        let wanted = as_tags(&of(&[("epoch", "2"), ("digest", "d")])).unwrap();
        let (written, removed) = difference(&before, &wanted);
        assert_eq!(written, of(&[("cloudtik:status:epoch", "2")]));
        assert_eq!(removed, ["cloudtik:status:group.a"]);
    }

    #[test]
    fn values_that_no_tag_takes_are_refused() {
        assert_eq!(as_tags(&of(&[("k", &"x".repeat(257))])).unwrap_err().code, "status");
    }
}
