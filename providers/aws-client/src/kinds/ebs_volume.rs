//! `aws_ebs_volume`

use std::time::Duration;

use aws_sdk_ec2::types::{Filter, ResourceType, Volume, VolumeModificationState, VolumeState, VolumeType};
use cloudtik_aws::kinds;
use cloudtik_provider_api::{CallError, CreateRequest, ErrorClass, Found, ObjectAnswer, UpdateRequest};

use super::made::{client_token, unfinished};
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::error::strange;
use crate::kind::{Kind, Query};
use crate::tags;
use crate::wait::{self, Seen};

/// How long a disk may take until it can be used. Seconds are usual; one from a snapshot that lies elsewhere takes minutes.
const AVAILABLE_WITHIN: Duration = Duration::from_secs(300);

/// How long a change may take until it has effect. What AWS does after that, in the background, takes hours.
const CHANGED_WITHIN: Duration = Duration::from_secs(600);

/// States in which a disk is there.
const THERE: [&str; 4] = ["creating", "available", "in-use", "error"];

/// What a change of the disk itself is made of.
const CHANGES: [&str; 4] = ["size", "type", "iops", "throughput"];

pub(crate) struct EbsVolume;

impl Kind for EbsVolume {
    const NAME: &'static str = kinds::EBS_VOLUME;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let send = aws
            .ec2
            .create_volume()
            .client_token(client_token(&request.token))
            .set_availability_zone(given.owned("availability_zone"))
            .set_size(given.int("size"))
            .set_volume_type(given.maybe_text("type").map(VolumeType::from))
            .set_iops(given.int("iops"))
            .set_throughput(given.int("throughput"))
            .set_encrypted(given.flag("encrypted"))
            .set_kms_key_id(given.owned("kms_key_id"))
            .set_snapshot_id(given.owned("snapshot_id"))
            .tag_specifications(tags::specification(ResourceType::Volume, request))
            .send();
        let made = aws.write("ec2:CreateVolume", send).await?;
        let id = made.volume_id().ok_or_else(|| strange("ec2:CreateVolume", "id"))?;
        available(aws, id).await.map(|found| found.object)
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let there = Filter::builder().name("status").set_values(Some(THERE.map(str::to_owned).to_vec())).build();
        let mut found = Vec::new();
        for filter in query.filters("volume-id", "tag:Name") {
            let request = aws.ec2.describe_volumes().filters(filter).filters(there.clone());
            let pages = || request.clone().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
            for volume in aws.read("ec2:DescribeVolumes", pages).await? {
                found.push(said(aws, &volume).await?);
            }
        }
        Ok(found)
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        tags::update_ec2(aws, request).await?;
        let given = Given(&request.attributes);
        let changed = |name: &str| request.changed.contains(name);
        if !CHANGES.iter().any(|name| changed(name)) {
            return Ok(());
        }
        let number = |name: &'static str| given.int(name).filter(|_| changed(name));
        let send = aws
            .ec2
            .modify_volume()
            .volume_id(&request.id)
            .set_size(number("size"))
            .set_volume_type(given.maybe_text("type").filter(|_| changed("type")).map(VolumeType::from))
            .set_iops(number("iops"))
            .set_throughput(number("throughput"));
        aws.write("ec2:ModifyVolume", send.send()).await?;
        changed_now(aws, &request.id).await
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        aws.write("ec2:DeleteVolume", aws.ec2.delete_volume().volume_id(id).send()).await.map(drop)
    }

    async fn complete(aws: &Aws, found: Found) -> Result<Found, CallError> {
        available(aws, &found.object.id).await
    }
}

async fn available(aws: &Aws, id: &str) -> Result<Found, CallError> {
    let filter = Filter::builder().name("volume-id").values(id).build();
    let ask = || async {
        let ask = || aws.ec2.describe_volumes().filters(filter.clone()).send();
        let answer = aws.read("ec2:DescribeVolumes", ask).await.map_err(unfinished)?;
        let Some(volume) = answer.volumes().first() else { return Ok(Seen::NotYet("not to be seen".to_owned())) };
        match volume.state() {
            Some(VolumeState::Available | VolumeState::InUse) => said(aws, volume).await.map(Seen::Done).map_err(unfinished),
            // The key that encrypts it cannot be used, as a rule. Such a disk is of no use, and nothing makes one of it.
            Some(VolumeState::Error | VolumeState::Deleting | VolumeState::Deleted) => Err(failed(aws, id).await),
            state => Ok(Seen::NotYet(state.map_or("not to be seen", VolumeState::as_str).to_owned())),
        }
    };
    wait::until(id, AVAILABLE_WITHIN, ask).await
}

/// Removes a disk that could not be made.
async fn failed(aws: &Aws, id: &str) -> CallError {
    let text = format!("ec2:CreateVolume: {id} could not be made");
    match EbsVolume::delete(aws, id).await {
        Err(error) if error.class != ErrorClass::Gone => unfinished(error),
        _ => CallError::new(ErrorClass::Permanent, "volume-error", text).help("look whether the key that encrypts it may be used"),
    }
}

async fn changed_now(aws: &Aws, id: &str) -> Result<(), CallError> {
    let ask = || async {
        let answer =
            aws.read("ec2:DescribeVolumesModifications", || aws.ec2.describe_volumes_modifications().volume_ids(id).send()).await?;
        let newest = answer.volumes_modifications().iter().max_by_key(|change| change.start_time().map(|time| time.secs()));
        match newest.and_then(|change| change.modification_state()) {
            Some(VolumeModificationState::Modifying) => Ok(Seen::NotYet("modifying".to_owned())),
            Some(VolumeModificationState::Failed) => {
                let text = newest.and_then(|change| change.status_message()).unwrap_or("AWS gave no reason");
                Err(CallError::new(ErrorClass::Permanent, "volume-change", format!("ec2:ModifyVolume: {id} did not change: {text}")))
            }
            _ => Ok(Seen::Done(())),
        }
    };
    wait::until(id, CHANGED_WITHIN, ask).await
}

async fn said(aws: &Aws, volume: &Volume) -> Result<Found, CallError> {
    let id = volume.volume_id().ok_or_else(|| strange("ec2:DescribeVolumes", "id"))?;
    let (marks, own) = tags::of_ec2(volume.tags());
    let arn = aws.arn("ec2", aws.account().await?, &format!("volume/{id}"));
    let object = Said::of(kinds::EBS_VOLUME)
        .set("availability_zone", volume.availability_zone())
        .set("size", volume.size())
        .set("type", volume.volume_type().map(VolumeType::as_str))
        .set("iops", volume.iops())
        .set("throughput", volume.throughput())
        .set("encrypted", volume.encrypted().unwrap_or_default())
        .set("kms_key_id", volume.kms_key_id())
        .set("snapshot_id", volume.snapshot_id().filter(|id| !id.is_empty()))
        .set("tags", own)
        .set("arn", arn)
        .answer(id);
    Ok(Found { object, tags: marks })
}
