//! The status of a node, as tags of its machine: every look at the machine tells them.
//!
//! A value that is longer than a tag's is cut into parts, each a tag whose name ends with the part's number: `cloudtik:status:frozen#2`.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, Tag};
use cloudtik_aws::marks;
use cloudtik_provider_api::{CallError, STATUS_PREFIX};

use crate::aws::Aws;
use crate::error::refused;
use crate::tags;

/// Before the number of a part.
const PART: char = '#';

/// Parts that one value may have. A machine has 50 tags, and most are not for this.
const PARTS_MAX: usize = 8;

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
    let mut all = BTreeMap::new();
    for (key, value) in status {
        let parts = cut(value);
        if parts.len() > PARTS_MAX {
            let text = format!("ec2:CreateTags: the status `{key}` has {} characters, which are too many for tags", value.len());
            return Err(refused("status", text));
        }
        let name = |number: usize| if number == 0 { String::new() } else { format!("{PART}{}", number + 1) };
        all.extend(parts.into_iter().enumerate().map(|(number, part)| (format!("{STATUS_PREFIX}{key}{}", name(number)), part)));
    }
    Ok(all)
}

/// A value, encoded, in parts that tags take. A character is never cut.
fn cut(value: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for character in value.chars() {
        let encoded = marks::encode(character.encode_utf8(&mut [0; 4]));
        match parts.last_mut() {
            Some(part) if part.len() + encoded.len() <= tags::VALUE_CHARS_MAX => part.push_str(&encoded),
            _ => parts.push(encoded),
        }
    }
    parts
}

/// Marks with the values of a status whole again.
pub(crate) fn joined(mut marks: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let heads: Vec<String> = marks.keys().filter(|name| name.starts_with(STATUS_PREFIX) && !name.contains(PART)).cloned().collect();
    for head in heads {
        let parts = (2..=PARTS_MAX).map_while(|number| marks.remove(&format!("{head}{PART}{number}")));
        let rest: String = parts.collect();
        if let Some(value) = marks.get_mut(&head) {
            value.push_str(&rest);
        }
    }
    marks
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
    fn long_values_are_cut_and_whole_again() {
        let long = format!("{{\"frozen\": \"{}\"}}", "ü/x ".repeat(120));
        let status = of(&[("frozen", &long), ("epoch", "1")]);
        let tags = as_tags(&status).unwrap();
        assert!(tags.len() > 3 && tags.values().all(|value| value.len() <= tags::VALUE_CHARS_MAX));
        let marks = tags.into_iter().map(|(name, value)| (name, marks::decode(&value))).collect();
        assert_eq!(joined(marks), of(&[("cloudtik:status:frozen", &long), ("cloudtik:status:epoch", "1")]));
        assert_eq!(as_tags(&of(&[("k", &"x".repeat(256 * 9))])).unwrap_err().code, "status");
    }
}
