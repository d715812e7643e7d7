//! `aws_volume_attachment`

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_ec2::types::{Filter, VolumeAttachment as Answered, VolumeAttachmentState};
use cloudtik_aws::kinds;
use cloudtik_provider_api::{CallError, CreateRequest, ErrorClass, Found, ObjectAnswer, UpdateRequest};

use super::made::unfinished;
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::kind::{Kind, Query, gone};
use crate::wait::{self, Seen};

/// How long an attachment may take to be there, or to go. Seconds are usual; a machine that still writes holds its disk longer.
const SETTLES_WITHIN: Duration = Duration::from_secs(300);

/// How long a machine or a disk that was just made may not take an attachment.
const READY_WITHIN: Duration = Duration::from_secs(60);

pub(crate) struct VolumeAttachment;

/// Which disk is in which machine as what.
#[derive(Debug, PartialEq, Eq)]
struct Place<'a> {
    device: &'a str,
    volume: &'a str,
    instance: &'a str,
}

impl<'a> Place<'a> {
    fn parsed(id: &'a str) -> Option<Self> {
        let (device, rest) = id.split_once(':')?;
        let (volume, instance) = rest.split_once(':')?;
        Some(Self { device, volume, instance })
    }

    fn is_of(&self, attachment: &Answered) -> bool {
        attachment.volume_id() == Some(self.volume)
            && attachment.instance_id() == Some(self.instance)
            && attachment.device() == Some(self.device)
    }

    fn said(&self) -> ObjectAnswer {
        Said::of(kinds::VOLUME_ATTACHMENT)
            .set("device_name", self.device)
            .set("volume_id", self.volume)
            .set("instance_id", self.instance)
            .answer(format!("{}:{}:{}", self.device, self.volume, self.instance))
    }
}

impl Kind for VolumeAttachment {
    const NAME: &'static str = kinds::VOLUME_ATTACHMENT;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let place = Place { device: given.text("device_name")?, volume: given.text("volume_id")?, instance: given.text("instance_id")? };
        let send = || {
            let send = aws.ec2.attach_volume().device(place.device).volume_id(place.volume).instance_id(place.instance);
            aws.write("ec2:AttachVolume", send.send())
        };
        match wait::while_conflict(READY_WITHIN, |error| error.code.starts_with("Incorrect"), send).await {
            Err(error) if error.code == "VolumeInUse" => return taken(aws, &place, error).await,
            other => other.map(drop)?,
        }
        attached(aws, &place).await
    }

    /// They carry no tags, so by a tag there are none. One request for all.
    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let Query::Ids(ids) = query else { return Ok(Vec::new()) };
        let places: Vec<Place<'_>> = ids.iter().filter_map(|id| Place::parsed(id)).collect();
        let there = attachments(aws, places.iter().map(|place| place.volume.to_owned()).collect()).await?;
        let is_there = |place: &&Place<'_>| there.iter().any(|attachment| place.is_of(attachment) && !is_going(attachment));
        Ok(places.iter().filter(is_there).map(|place| Found { object: place.said(), tags: BTreeMap::new() }).collect())
    }

    /// Nothing of it changes in place.
    async fn update(_: &Aws, _: &UpdateRequest) -> Result<(), CallError> {
        Ok(())
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        let place = Place::parsed(id).ok_or_else(|| gone(id))?;
        let send = aws.ec2.detach_volume().volume_id(place.volume).instance_id(place.instance).device(place.device);
        match aws.write("ec2:DetachVolume", send.send()).await {
            // AWS says that the disk is in no state for that when it is not attached, or no longer.
            Err(error) if error.code == "IncorrectState" && seen(aws, &place).await?.is_none() => return Err(gone(id)),
            other => other.map(drop)?,
        }
        let ask = || async {
            let state = seen(aws, &place).await?;
            Ok(state.map_or(Seen::Done(()), |state| Seen::NotYet(state.as_str().to_owned())))
        };
        wait::until(id, SETTLES_WITHIN, ask).await
    }
}

/// What it means that the disk is attached already: nothing, when it is where it shall be.
async fn taken(aws: &Aws, place: &Place<'_>, mut error: CallError) -> Result<ObjectAnswer, CallError> {
    let there = attachments(aws, BTreeSet::from([place.volume.to_owned()])).await?;
    if there.iter().any(|attachment| place.is_of(attachment) && !is_going(attachment)) {
        return attached(aws, place).await;
    }
    if let Some(other) = there.first() {
        let (instance, device) = (other.instance_id().unwrap_or_default(), other.device().unwrap_or_default());
        error.message = format!("{}: it is in {instance} as {device}", error.message);
    }
    error.class = ErrorClass::Conflict;
    Err(error)
}

async fn attached(aws: &Aws, place: &Place<'_>) -> Result<ObjectAnswer, CallError> {
    let ask = || async {
        Ok(match seen(aws, place).await.map_err(unfinished)? {
            Some(VolumeAttachmentState::Attached) => Seen::Done(place.said()),
            Some(other) => Seen::NotYet(other.as_str().to_owned()),
            None => Seen::NotYet("not to be seen".to_owned()),
        })
    };
    wait::until(&format!("{} in {}", place.volume, place.instance), SETTLES_WITHIN, ask).await
}

async fn seen(aws: &Aws, place: &Place<'_>) -> Result<Option<VolumeAttachmentState>, CallError> {
    let there = attachments(aws, BTreeSet::from([place.volume.to_owned()])).await?;
    let own = there.into_iter().find(|attachment| place.is_of(attachment));
    Ok(own.and_then(|attachment| attachment.state).filter(|state| *state != VolumeAttachmentState::Detached))
}

fn is_going(attachment: &Answered) -> bool {
    matches!(attachment.state(), Some(VolumeAttachmentState::Detaching | VolumeAttachmentState::Detached))
}

async fn attachments(aws: &Aws, volumes: BTreeSet<String>) -> Result<Vec<Answered>, CallError> {
    let mut found = Vec::new();
    let filters: Vec<Filter> = Query::Ids(&volumes).filters("volume-id", "");
    for filter in filters {
        let request = aws.ec2.describe_volumes().filters(filter);
        let pages = || request.clone().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        let volumes = aws.read("ec2:DescribeVolumes", pages).await?;
        found.extend(volumes.into_iter().flat_map(|volume| volume.attachments.unwrap_or_default()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_say_what_is_where() {
        let place = Place::parsed("/dev/sdf:vol-1:i-1").unwrap();
        assert_eq!(place, Place { device: "/dev/sdf", volume: "vol-1", instance: "i-1" });
        assert_eq!(place.said().id, "/dev/sdf:vol-1:i-1");
        assert_eq!(Place::parsed("vol-1:i-1"), None);
    }
}
