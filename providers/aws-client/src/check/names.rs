//! Names that nobody else may have, and that somebody has.

use std::collections::BTreeSet;

use cloudtik_aws::{aws_schema, kinds};
use cloudtik_provider_api::{Answer, Call, CallError, Check, Concern, ErrorClass, Found, Idempotency, Intended, Verb};

use super::{error, made, text};
use crate::aws::Aws;
use crate::each::each;
use crate::error::strange;
use crate::kinds::dispatch;

/// The mark with the lineage of the state that an object belongs to.
const LINEAGE_TAG: &str = "cloudtik:lineage";
/// The mark with its address there.
const ADDRESS_TAG: &str = "cloudtik:address";

/// A name that an object is to have.
struct Wanted<'a> {
    of: &'a Intended,
    attribute: &'static str,
    name: &'a str,
}

/// The names that others have already.
pub(super) async fn taken(aws: &Aws, check: &Check) -> Result<Vec<Concern>, CallError> {
    let schema = aws_schema();
    let named = schema.kinds.values().filter(|kind| kind.class == Idempotency::UniqueName || kind.name == kinds::SECURITY_GROUP);
    let named = named.filter_map(|kind| Some((kind.name, kind.unique_name?)));
    let wanted = named.flat_map(|(kind, attribute)| {
        let of_kind = made(&check.intended, kind);
        of_kind.filter_map(move |of| Some(Wanted { of, attribute, name: text(of, attribute)? }))
    });
    // A security group has its name in its network: of one that is only made nobody has any.
    let wanted = wanted.filter(|wanted| &*wanted.of.kind != kinds::SECURITY_GROUP || text(wanted.of, "vpc_id").is_some());
    // Whoever has the name and goes, or is made anew, gives it back.
    let known: BTreeSet<(&str, &str)> = check.intended.iter().filter_map(|one| Some((&*one.kind, one.id.as_deref()?))).collect();
    let wanted: Vec<Wanted<'_>> = wanted.filter(|wanted| !known.contains(&(&*wanted.of.kind, wanted.name))).collect();
    let found = each(&wanted, |wanted| holder(aws, check, &known, wanted)).await?;
    Ok(found.into_iter().flatten().collect())
}

async fn holder(aws: &Aws, check: &Check, known: &BTreeSet<(&str, &str)>, wanted: &Wanted<'_>) -> Result<Option<Concern>, CallError> {
    let kind = &*wanted.of.kind;
    if kind == kinds::S3_BUCKET {
        match aws.read("s3:HeadBucket", || aws.s3.head_bucket().bucket(wanted.name).send()).await {
            Err(error) if error.class == ErrorClass::Gone => return Ok(None),
            // AWS tells of a bucket of somebody else, or of another region, nothing but that it is there.
            Err(error) if error.class == ErrorClass::Permanent => return Ok(Some(concern(wanted, None))),
            answer => drop(answer?),
        }
    }
    let verb = Verb::FindByName { name: wanted.name.to_owned() };
    let call = Call {
        provider: cloudtik_model::ProviderRef::new("aws"),
        address: wanted.of.address.clone(),
        kind: kind.into(),
        verb,
        limit: None,
    };
    let found = match dispatch(aws, &call).await {
        Answer::Found(found) => found,
        Answer::Failed(error) => return Err(error),
        _ => return Err(strange(kind, "object")),
    };
    let is_here =
        |found: &&Found| kind != kinds::SECURITY_GROUP || found.object.attributes.get("vpc_id") == wanted.of.attributes.get("vpc_id");
    let others = found.iter().filter(is_here).filter(|found| !known.contains(&(kind, found.object.id.as_str())));
    Ok(others.filter(|found| !is_own(found, check, wanted)).map(|found| concern(wanted, Some(found))).next())
}

/// Whether an earlier create of the same address made it: then it is taken up.
fn is_own(found: &Found, check: &Check, wanted: &Wanted<'_>) -> bool {
    let mark = |name: &str| found.tags.get(name).map(String::as_str);
    !check.lineage.is_empty() && mark(LINEAGE_TAG) == Some(&check.lineage) && mark(ADDRESS_TAG) == Some(&wanted.of.address.to_string())
}

fn concern(wanted: &Wanted<'_>, found: Option<&Found>) -> Concern {
    let Wanted { of, attribute, name } = wanted;
    let whose = match found {
        None => "it belongs to somebody else, or lies in another region".to_owned(),
        Some(found) => match found.tags.get(ADDRESS_TAG) {
            Some(address) => format!("another project made it, as {address}"),
            None => "it was not made by cloudtik".to_owned(),
        },
    };
    let title = format!("the name `{name}` of `{}` is taken: {whose}", of.address);
    let is_of_workspace = of.address.root() == "workspace" && &*of.kind != kinds::S3_BUCKET;
    let help = if is_of_workspace {
        "write another `name` in the workspace, or remove what has this one".to_owned()
    } else {
        format!("write another `{}`, or remove what has this one", if &*of.kind == kinds::S3_BUCKET { "name" } else { attribute })
    };
    error(of, "name-taken", title, help).in_attribute(attribute)
}
