//! What the kinds of IAM share.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_iam::types::Tag;
use cloudtik_aws::marks;
use cloudtik_provider_api::CallError;

use crate::error::strange;

/// How long parts of AWS may not know of what IAM just made. It promises nothing; some ten seconds are what is seen, and a name that is wrong
/// shall not take for ever to be said so.
pub(crate) const SPREADS_WITHIN: Duration = Duration::from_secs(60);

/// Tags as IAM writes them.
pub(super) fn written(action: &str, tags: &BTreeMap<String, String>) -> Result<Vec<Tag>, CallError> {
    let tag = |(name, value): (&String, &String)| Tag::builder().key(name).value(value).build();
    tags.iter().map(tag).collect::<Result<_, _>>().map_err(|_| strange(action, "tag that can be written"))
}

/// What IAM answered, parted into marks and tags.
pub(super) fn parted(tags: &[Tag]) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    marks::part(tags.iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect())
}

/// Names of tags as a request takes them.
pub(super) fn names(tags: &BTreeSet<String>) -> Option<Vec<String>> {
    Some(tags.iter().cloned().collect())
}

/// The two halves of an id that has a separator between them. What has none is no id of ours, and nothing has it.
pub(super) fn halves(id: &str, separator: char) -> Result<(&str, &str), CallError> {
    id.split_once(separator).ok_or_else(|| crate::kind::gone(id))
}

/// Whether a request was refused because not all of AWS knows yet what IAM just made: its own error for a role that is named in a policy.
pub(super) fn is_unknown_principal(error: &CallError) -> bool {
    error.code == "MalformedPolicyDocument" && error.message.contains("nvalid principal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_two_halves() {
        assert_eq!(halves("role/arn:aws:iam::aws:policy/a/B", '/').unwrap(), ("role", "arn:aws:iam::aws:policy/a/B"));
        assert_eq!(halves("role", ':').unwrap_err().class, cloudtik_provider_api::ErrorClass::Gone);
    }
}
