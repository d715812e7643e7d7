//! `aws_s3_bucket`

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, Delete, ObjectIdentifier, PublicAccessBlockConfiguration,
    ServerSideEncryption, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule, Tag, Tagging,
    VersioningConfiguration,
};
use cloudtik_aws::{kinds, marks};
use cloudtik_model::Value;
use cloudtik_provider_api::{CallError, CreateRequest, ErrorClass, Found, ObjectAnswer, UpdateRequest};

use super::made;
use crate::attributes::{Given, IntoValue, Said};
use crate::aws::{Aws, partition};
use crate::each::{each, there};
use crate::error::strange;
use crate::kind::{Kind, Query};
use crate::{tags, wait};

/// The mark that says what becomes of a bucket when its workspace is destroyed: whoever looks at it without the state knows it by that.
const ON_DESTROY_TAG: &str = "cloudtik:on_destroy";
/// What a bucket without it means.
const KEEP: &str = "keep";

/// What AWS says of a bucket with objects that is to go.
const NOT_EMPTY: &str = "BucketNotEmpty";

/// The one region that has no name as a place for buckets, and where a second create of a bucket of one's own is no error.
const FIRST_REGION: &str = "us-east-1";

/// Where AWS says the region of a bucket.
const REGION_HEADER: &str = "x-amz-bucket-region";

/// How long settings of a bucket that was just made may be refused as if it were not there, or as if something else were setting it.
const SETTLES_WITHIN: Duration = Duration::from_secs(30);

/// How often a bucket is emptied before it is given up: somebody writes into it.
const ROUNDS_MAX: u32 = 5;

/// Objects that one request deletes, as AWS has it.
const BATCH: i32 = 1_000;

pub(crate) struct S3Bucket;

impl Kind for S3Bucket {
    const NAME: &'static str = kinds::S3_BUCKET;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let name = given.text("bucket")?;
        if aws.region == FIRST_REGION {
            check_free(aws, name).await?;
        }
        let mut all = tags::of_create(request);
        all.insert(ON_DESTROY_TAG.to_owned(), given.maybe_text("on_destroy").unwrap_or(KEEP).to_owned());
        let place = Some(&*aws.region).filter(|region| *region != FIRST_REGION).map(BucketLocationConstraint::from);
        let configuration = CreateBucketConfiguration::builder().set_location_constraint(place).set_tags(Some(written(&all)?)).build();
        let send = aws.s3.create_bucket().bucket(name).create_bucket_configuration(configuration).send();
        aws.write("s3:CreateBucket", send).await?;
        made::after_create(|| async {
            settle(aws, name, given).await?;
            let found = look(aws, name).await?;
            if all.keys().all(|tag| !tag.starts_with(marks::PREFIX) || found.tags.contains_key(tag)) {
                return Ok(found.object);
            }
            // A server that is not AWS may take no tags with a create.
            tag(aws, name, &all).await?;
            look(aws, name).await.map(|found| found.object)
        })
        .await
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let names: Vec<String> = match query {
            Query::Ids(ids) => ids.iter().cloned().collect(),
            Query::Name(name) => vec![(*name).to_owned()],
            Query::Tag(..) => all(aws).await?,
        };
        let found = each(names, |name| async move { there(look(aws, &name).await) }).await?;
        Ok(found.into_iter().flatten().filter(|found| query.matches(found, &found.object.id)).collect())
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        let (given, name) = (Given(&request.attributes), &*request.id);
        let changed = |name: &str| request.changed.contains(name);
        if changed("block_public_access") {
            block_public(aws, name, given.flag("block_public_access") != Some(false)).await?;
        }
        if changed("versioning") {
            let enabled = given.block("versioning").and_then(|versioning| versioning.flag("enabled"));
            keep_versions(aws, name, enabled == Some(true)).await?;
        }
        if let Some(encryption) = given.block("server_side_encryption_configuration")
            && changed("server_side_encryption_configuration")
        {
            encrypt(aws, name, encryption).await?;
        }
        if changed("tags") || changed("on_destroy") {
            retag(aws, request).await?;
        }
        Ok(())
    }

    /// One that is not empty stays.
    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        let help = "its objects are not deleted: give them up with `--delete-data`, or empty it by hand";
        let sent = aws.write("s3:DeleteBucket", aws.s3.delete_bucket().bucket(id).send()).await;
        sent.map(drop).map_err(|error| if error.code == NOT_EMPTY { error.help(help) } else { error })
    }

    async fn delete_with_data(aws: &Aws, id: &str) -> Result<(), CallError> {
        for _ in 0..ROUNDS_MAX {
            match aws.write("s3:DeleteBucket", aws.s3.delete_bucket().bucket(id).send()).await {
                Err(error) if error.code == NOT_EMPTY => empty(aws, id).await?,
                other => return other.map(drop),
            }
        }
        Self::delete(aws, id).await
    }
}

/// Refuses a name that a bucket of this account has. Of one of another account AWS tells nothing here, and refuses the create.
async fn check_free(aws: &Aws, name: &str) -> Result<(), CallError> {
    match aws.read("s3:HeadBucket", || aws.s3.head_bucket().bucket(name).send()).await {
        Err(error) if matches!(error.class, ErrorClass::Gone | ErrorClass::Permanent) => Ok(()),
        Err(error) => Err(error),
        Ok(_) => {
            let text = format!("s3:CreateBucket: BucketAlreadyOwnedByYou: there is a bucket `{name}` in this account");
            Err(CallError::new(ErrorClass::Conflict, "BucketAlreadyOwnedByYou", text))
        }
    }
}

/// The region of a bucket, whosever it is: AWS says it also to those whom it refuses all else.
pub(crate) async fn region_of(aws: &Aws, name: &str) -> Result<String, CallError> {
    let ask = || async {
        match aws.s3.head_bucket().bucket(name).send().await {
            Ok(answer) => Ok(answer.bucket_region().map(str::to_owned)),
            Err(error) => match error.raw_response().and_then(|answer| answer.headers().get(REGION_HEADER)).map(str::to_owned) {
                Some(region) => Ok(Some(region)),
                None => Err(error),
            },
        }
    };
    match aws.read("s3:HeadBucket", ask).await {
        Err(error) if error.class == ErrorClass::Gone => {
            let text = format!("s3:HeadBucket: there is no bucket `{name}`");
            Err(CallError::new(ErrorClass::Permanent, "NoSuchBucket", text))
        }
        // A server that is not AWS may have regions and not say so.
        other => other.map(|region| region.unwrap_or_else(|| aws.region.clone())),
    }
}

/// What a new bucket has not, or may not have.
async fn settle(aws: &Aws, name: &str, given: Given<'_>) -> Result<(), CallError> {
    // New buckets of AWS are closed to the public since 2023; to find out whether this one is takes as long as to close it.
    block_public(aws, name, given.flag("block_public_access") != Some(false)).await?;
    if given.block("versioning").is_some_and(|versioning| versioning.flag("enabled") == Some(true)) {
        keep_versions(aws, name, true).await?;
    }
    match given.block("server_side_encryption_configuration") {
        Some(encryption) => encrypt(aws, name, encryption).await,
        None => Ok(()),
    }
}

fn written(tags: &BTreeMap<String, String>) -> Result<Vec<Tag>, CallError> {
    let tag = |(name, value): (&String, &String)| Tag::builder().key(name).value(value).build();
    tags.iter().map(tag).collect::<Result<_, _>>().map_err(|_| strange("s3:PutBucketTagging", "tag that can be written"))
}

async fn block_public(aws: &Aws, name: &str, blocked: bool) -> Result<(), CallError> {
    let all = PublicAccessBlockConfiguration::builder()
        .block_public_acls(blocked)
        .ignore_public_acls(blocked)
        .block_public_policy(blocked)
        .restrict_public_buckets(blocked)
        .build();
    let send = || {
        let send = aws.s3.put_public_access_block().bucket(name).public_access_block_configuration(all.clone());
        aws.write("s3:PutPublicAccessBlock", send.send())
    };
    wait::while_conflict(SETTLES_WITHIN, is_unsettled, send).await.map(drop)
}

async fn keep_versions(aws: &Aws, name: &str, enabled: bool) -> Result<(), CallError> {
    let status = if enabled { BucketVersioningStatus::Enabled } else { BucketVersioningStatus::Suspended };
    let configuration = VersioningConfiguration::builder().status(status).build();
    let send = || {
        let send = aws.s3.put_bucket_versioning().bucket(name).versioning_configuration(configuration.clone());
        aws.write("s3:PutBucketVersioning", send.send())
    };
    wait::while_conflict(SETTLES_WITHIN, is_unsettled, send).await.map(drop)
}

async fn encrypt(aws: &Aws, name: &str, encryption: Given<'_>) -> Result<(), CallError> {
    let action = "s3:PutBucketEncryption";
    let way = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(ServerSideEncryption::from(encryption.maybe_text("sse_algorithm").unwrap_or("AES256")))
        .set_kms_master_key_id(encryption.owned("kms_master_key_id"))
        .build()
        .map_err(|_| strange(action, "algorithm"))?;
    let rule = ServerSideEncryptionRule::builder().apply_server_side_encryption_by_default(way).build();
    let configuration = ServerSideEncryptionConfiguration::builder().rules(rule).build().map_err(|_| strange(action, "rule"))?;
    let send = || {
        let send = aws.s3.put_bucket_encryption().bucket(name).server_side_encryption_configuration(configuration.clone());
        aws.write(action, send.send())
    };
    wait::while_conflict(SETTLES_WITHIN, is_unsettled, send).await.map(drop)
}

fn is_unsettled(error: &CallError) -> bool {
    error.code == "NoSuchBucket" || error.code == "OperationAborted"
}

/// All tags are written at once, so those that stay are read first.
async fn retag(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
    let mut all = read_tags(aws, &request.id).await?;
    if let Some((written, removed)) = tags::of_update(request) {
        all.retain(|name, _| !removed.contains(name));
        all.extend(written);
    }
    if let Some(word) = Given(&request.attributes).owned("on_destroy") {
        all.insert(ON_DESTROY_TAG.to_owned(), word);
    }
    tag(aws, &request.id, &all).await
}

async fn tag(aws: &Aws, name: &str, all: &BTreeMap<String, String>) -> Result<(), CallError> {
    let tagging = Tagging::builder().set_tag_set(Some(written(all)?)).build().map_err(|_| strange("s3:PutBucketTagging", "tags"))?;
    aws.write("s3:PutBucketTagging", aws.s3.put_bucket_tagging().bucket(name).tagging(tagging).send()).await.map(drop)
}

async fn read_tags(aws: &Aws, name: &str) -> Result<BTreeMap<String, String>, CallError> {
    let answer = aws.read("s3:GetBucketTagging", || aws.s3.get_bucket_tagging().bucket(name).send()).await;
    let answer = set(answer, "NoSuchTagSet")?;
    let tags = answer.into_iter().flat_map(|answer| answer.tag_set);
    Ok(tags.map(|tag| (tag.key, tag.value)).collect())
}

/// What is set; nothing where AWS says with this code that nothing is.
fn set<T>(result: Result<T, CallError>, code: &str) -> Result<Option<T>, CallError> {
    match result {
        Err(error) if error.code == code => Ok(None),
        other => other.map(Some),
    }
}

async fn all(aws: &Aws) -> Result<Vec<String>, CallError> {
    let pages = || aws.s3.list_buckets().bucket_region(&aws.region).into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    Ok(aws.read("s3:ListBuckets", pages).await?.into_iter().filter_map(|bucket| bucket.name).collect())
}

async fn look(aws: &Aws, name: &str) -> Result<Found, CallError> {
    let (all, versioning, encryption, public) = tokio::try_join!(
        read_tags(aws, name),
        aws.read("s3:GetBucketVersioning", || aws.s3.get_bucket_versioning().bucket(name).send()),
        async {
            let answer = aws.read("s3:GetEncryptionConfiguration", || aws.s3.get_bucket_encryption().bucket(name).send()).await;
            set(answer, "ServerSideEncryptionConfigurationNotFoundError")
        },
        async {
            let answer = aws.read("s3:GetBucketPublicAccessBlock", || aws.s3.get_public_access_block().bucket(name).send()).await;
            set(answer, "NoSuchPublicAccessBlockConfiguration")
        },
    )?;
    let (marks, own) = marks::part(all);
    let enabled = versioning.status() == Some(&BucketVersioningStatus::Enabled);
    let encryption = encryption.and_then(|answer| answer.server_side_encryption_configuration);
    let blocked = public.and_then(|answer| answer.public_access_block_configuration).is_some_and(|public| is_blocked(&public));
    let object = Said::of(kinds::S3_BUCKET)
        .set("bucket", name)
        .set("versioning", Value::list([Value::object([("enabled", Value::from(enabled))])]))
        .set("server_side_encryption_configuration", encryption.as_ref().and_then(encryption_said))
        .set("block_public_access", blocked)
        .set("on_destroy", marks.get(ON_DESTROY_TAG).map_or(KEEP, String::as_str))
        .set("tags", own)
        .set("arn", format!("arn:{}:s3:::{name}", partition(&aws.region)))
        .set("region", &*aws.region)
        .set("uri", format!("s3://{name}"))
        .answer(name);
    Ok(Found { object, tags: marks })
}

fn is_blocked(public: &PublicAccessBlockConfiguration) -> bool {
    let all = [public.block_public_acls(), public.ignore_public_acls(), public.block_public_policy(), public.restrict_public_buckets()];
    all.iter().all(|part| *part == Some(true))
}

fn encryption_said(configuration: &ServerSideEncryptionConfiguration) -> Option<Value> {
    let way = configuration.rules().first()?.apply_server_side_encryption_by_default()?;
    let parts = [("sse_algorithm", way.sse_algorithm().as_str().into_value()), ("kms_master_key_id", way.kms_master_key_id().into_value())];
    Some(Value::list([Value::object(parts)]))
}

/// Deletes all objects with all their versions, a page at a time.
pub(crate) async fn empty(aws: &Aws, name: &str) -> Result<(), CallError> {
    loop {
        let ask = || aws.s3.list_object_versions().bucket(name).max_keys(BATCH).send();
        let page = aws.read("s3:ListBucketVersions", ask).await?;
        let versions = page.versions().iter().map(|version| (version.key(), version.version_id()));
        let markers = page.delete_markers().iter().map(|marker| (marker.key(), marker.version_id()));
        let identified = versions
            .chain(markers)
            .filter_map(|(key, version)| ObjectIdentifier::builder().key(key?).set_version_id(version.map(str::to_owned)).build().ok());
        let some: Vec<ObjectIdentifier> = identified.collect();
        if some.is_empty() {
            return Ok(());
        }
        let objects = Delete::builder().set_objects(Some(some)).quiet(true).build().map_err(|_| strange("s3:DeleteObjects", "objects"))?;
        let answer = aws.write("s3:DeleteObjects", aws.s3.delete_objects().bucket(name).delete(objects).send()).await?;
        if let Some(failed) = answer.errors().first() {
            let (code, key) = (failed.code().unwrap_or("unknown"), failed.key().unwrap_or_default());
            let text = format!("s3:DeleteObjects: {code}: {} (`{key}` of {name})", failed.message().unwrap_or("AWS gave no reason"));
            return Err(CallError::new(ErrorClass::Permanent, code, text));
        }
    }
}
