//! `aws_placement_group`

use std::time::Duration;

use aws_sdk_ec2::types::{PlacementGroup as Answered, PlacementGroupState, PlacementStrategy, ResourceType};
use cloudtik_aws::kinds;
use cloudtik_provider_api::{CallError, CreateRequest, Found, ObjectAnswer, UpdateRequest};

use super::made::unfinished;
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::kind::{Kind, Query};
use crate::tags;
use crate::wait::{self, Seen};

/// How long one may take to be made or to go: seconds are what is seen.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);

pub(crate) struct PlacementGroup;

impl Kind for PlacementGroup {
    const NAME: &'static str = kinds::PLACEMENT_GROUP;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let name = given.text("name")?;
        let send = aws
            .ec2
            .create_placement_group()
            .group_name(name)
            .set_strategy(given.maybe_text("strategy").map(PlacementStrategy::from))
            .tag_specifications(tags::specification(ResourceType::PlacementGroup, request))
            .send();
        aws.write("ec2:CreatePlacementGroup", send).await?;
        available(aws, name).await.map(|found| found.object).map_err(unfinished)
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let mut found = Vec::new();
        for filter in query.filters("group-name", "group-name") {
            let ask = || aws.ec2.describe_placement_groups().filters(filter.clone()).send();
            let answer = aws.read("ec2:DescribePlacementGroups", ask).await?;
            found.extend(answer.placement_groups().iter().filter(|group| is_there(group)).map(said));
        }
        Ok(found)
    }

    /// Tags are those of its id; its name is what everything else knows it by.
    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        let id = Given(&request.before).text("placement_group_id")?;
        tags::update_ec2_of(aws, id, request).await
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        aws.write("ec2:DeletePlacementGroup", aws.ec2.delete_placement_group().group_name(id).send()).await.map(drop)
    }

    async fn complete(aws: &Aws, found: Found) -> Result<Found, CallError> {
        available(aws, &found.object.id).await
    }
}

fn is_there(group: &Answered) -> bool {
    !matches!(group.state(), Some(PlacementGroupState::Deleting | PlacementGroupState::Deleted))
}

async fn available(aws: &Aws, name: &str) -> Result<Found, CallError> {
    let ask = || async {
        let ask = || aws.ec2.describe_placement_groups().group_names(name).send();
        let answer = aws.read("ec2:DescribePlacementGroups", ask).await?;
        let group = answer.placement_groups().first();
        let available = group.filter(|group| group.state() == Some(&PlacementGroupState::Available));
        let state = || group.and_then(|group| group.state()).map_or("not to be seen", PlacementGroupState::as_str).to_owned();
        Ok(available.map_or_else(|| Seen::NotYet(state()), |group| Seen::Done(said(group))))
    };
    wait::until(name, SETTLES_WITHIN, ask).await
}

fn said(group: &Answered) -> Found {
    let (marks, own) = tags::of_ec2(group.tags());
    let object = Said::of(kinds::PLACEMENT_GROUP)
        .set("name", group.group_name())
        .set("strategy", group.strategy().map(PlacementStrategy::as_str))
        .set("tags", own)
        .set("arn", group.group_arn())
        .set("placement_group_id", group.group_id())
        .answer(group.group_name().unwrap_or_default());
    Found { object, tags: marks }
}
