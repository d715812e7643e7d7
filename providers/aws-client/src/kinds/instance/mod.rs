//! `aws_instance`

mod kept;
mod launch;
mod room;
mod said;
mod together;

use std::time::Duration;

use aws_sdk_ec2::types::{
    AttributeBooleanValue, AttributeValue, Filter, HttpTokensState, IamInstanceProfileSpecification, Instance as Answered,
    InstanceMetadataEndpointState, InstanceStateName, Reservation,
};
use cloudtik_aws::{kinds, marks};
use cloudtik_provider_api::{CallError, CreateRequest, ErrorClass, Found, ObjectAnswer, UpdateRequest};
use tokio::time::Instant;

use room::Form;
pub(crate) use room::Rooms;
use together::Launch;
pub(crate) use together::Launches;

use super::iam;
use super::made::unfinished;
use crate::attributes::Given;
use crate::aws::Aws;
use crate::error::strange;
use crate::kind::{Kind, Query, gone};
use crate::wait::{self, Seen};
use crate::{fence, tags};

/// How long a machine may take to run. Most take seconds; machines without a hypervisor up to a quarter of an hour.
const RUNS_WITHIN: Duration = Duration::from_secs(900);

/// How long a machine may take to end. Those that hold much memory or many disks take minutes.
const ENDS_WITHIN: Duration = Duration::from_secs(600);

/// States in which a machine is there. One that ends is not: nobody can use it, and nothing can be done with it.
const THERE: [&str; 4] = ["pending", "running", "stopping", "stopped"];

/// The mark with the name that a spec gave it.
const NAME_TAG: &str = "cloudtik:name";

/// The mark with the user who logs in.
const USER_TAG: &str = "cloudtik:user";

/// What AWS takes and does not tell again in the one request that looks at all machines.
const UNTOLD: &[&str] = &[
    "user_data",
    "authorized_keys",
    "max_workers",
    "launch_template",
    "instance_types",
    "subnet_ids",
    "markets",
    "max_price",
    "root_block_device",
    "instance_market_options",
    "instance_initiated_shutdown_behavior",
];

/// Those of them that are short enough to be kept as marks: who takes a machine over that another one launched knows them from there.
const KEPT: [&str; 3] = ["root_block_device", "instance_market_options", "instance_initiated_shutdown_behavior"];

pub(crate) struct Instance;

impl Kind for Instance {
    const NAME: &'static str = kinds::INSTANCE;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let (id, launch) = match &request.batch {
            Some(batch) => together::machine(aws, request, batch).await.map(|(id, launch)| (id, Some(launch)))?,
            None => (alone(aws, request).await?, None),
        };
        let given = Given(&request.attributes);
        let public = given.flag("associate_public_ip_address") == Some(true);
        let told = |error| aws.session.rooms.told(Instant::now(), &Form::of(given), error, 1);
        let running = running(aws, &id, public, launch.as_deref()).await.map_err(told)?;
        Ok(running.object)
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let there = Filter::builder().name("instance-state-name").set_values(Some(THERE.map(str::to_owned).to_vec())).build();
        let mut reservations = Vec::new();
        let filters = match query {
            Query::Tag(key, value) => vec![tags::filter_any(key, &together::values_of(key, value))],
            _ => query.filters("instance-id", "tag:Name"),
        };
        for filter in filters {
            let request = aws.ec2.describe_instances().filters(filter).filters(there.clone());
            let pages = || request.clone().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
            reservations.extend(aws.read("ec2:DescribeInstances", pages).await?);
        }
        let mut found = said::all(aws, &reservations).await?;
        if let Query::Tag(key, value) = query
            && key.starts_with(marks::PREFIX)
        {
            found.retain(|found| found.tags.get(*key).is_some_and(|is| is == value));
        }
        Ok(found)
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        tags::update_ec2(aws, request).await?;
        let given = Given(&request.attributes);
        for name in &request.changed {
            match &**name {
                "vpc_security_group_ids" => firewalls(aws, &request.id, given).await?,
                "iam_instance_profile" => identity(aws, &request.id, given).await?,
                "metadata_options" => metadata(aws, &request.id, given).await?,
                "source_dest_check" => source_check(aws, &request.id, given).await?,
                "instance_initiated_shutdown_behavior" => shutdown(aws, &request.id, given).await?,
                _ => {}
            }
        }
        Ok(())
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        let answer = aws.write("ec2:TerminateInstances", aws.ec2.terminate_instances().instance_ids(id).send()).await?;
        aws.session.set_address(id, None);
        let before = answer.terminating_instances().first().and_then(|change| change.previous_state()?.name());
        if before == Some(&InstanceStateName::Terminated) {
            return Err(gone(id));
        }
        let ended = || async {
            Ok(match instances(&describe(aws, id).await?).next().map(state) {
                None | Some(InstanceStateName::Terminated) => Seen::Done(()),
                Some(other) => Seen::NotYet(other.as_str().to_owned()),
            })
        };
        wait::until(id, ENDS_WITHIN, ended).await
    }

    async fn complete(aws: &Aws, found: Found) -> Result<Found, CallError> {
        running(aws, &found.object.id, false, None).await
    }
}

/// Waits until a machine runs, with a public address if it shall have one, and says what it is then. One that ended instead had a reason.
/// Of one of several the look at all of them serves.
async fn running(aws: &Aws, id: &str, public: bool, launch: Option<&Launch>) -> Result<Found, CallError> {
    let runs = || async {
        let answered = match launch {
            Some(launch) => only(id, launch.look(aws).await.map_err(unfinished)?),
            None => describe(aws, id).await.map_err(unfinished)?,
        };
        // Right after its launch a search may not find it.
        let Some(instance) = instances(&answered).next() else { return Ok(Seen::NotYet("not to be seen".to_owned())) };
        match state(instance) {
            InstanceStateName::Pending => Ok(Seen::NotYet("pending".to_owned())),
            InstanceStateName::ShuttingDown | InstanceStateName::Terminated => Err(ended(id, instance)),
            _ if public && instance.public_ip_address().is_none() => Ok(Seen::NotYet("without a public address".to_owned())),
            _ => {
                let found = said::all(aws, &answered).await.map_err(unfinished)?.pop();
                found.map(Seen::Done).ok_or_else(|| strange("ec2:DescribeInstances", "machine"))
            }
        }
    };
    wait::until(id, RUNS_WITHIN, runs).await
}

/// Launches a machine that no other one is launched with, and gives its id.
async fn alone(aws: &Aws, request: &CreateRequest) -> Result<String, CallError> {
    fence::check(aws, request).await?;
    let machines = launch::launch(aws, request, 1).await?;
    machines.into_values().next().ok_or_else(|| strange("ec2:RunInstances", "machine"))
}

/// A machine as it is, also one that has ended.
async fn describe(aws: &Aws, id: &str) -> Result<Vec<Reservation>, CallError> {
    describe_all(aws, &[id.to_owned()]).await
}

/// Several machines of one launch as they are.
async fn describe_all(aws: &Aws, ids: &[String]) -> Result<Vec<Reservation>, CallError> {
    let filter = Filter::builder().name("instance-id").set_values(Some(ids.to_vec())).build();
    let pages = || {
        let request = aws.ec2.describe_instances().filters(filter.clone());
        request.into_paginator().items().send().collect::<Result<Vec<_>, _>>()
    };
    aws.read("ec2:DescribeInstances", pages).await
}

/// What is said of one of several.
fn only(id: &str, mut all: Vec<Reservation>) -> Vec<Reservation> {
    for some in &mut all {
        some.instances.get_or_insert_default().retain(|instance| instance.instance_id() == Some(id));
    }
    all
}

fn instances(reservations: &[Reservation]) -> impl Iterator<Item = &Answered> {
    reservations.iter().flat_map(Reservation::instances)
}

fn state(instance: &Answered) -> InstanceStateName {
    instance.state().and_then(|state| state.name()).cloned().unwrap_or(InstanceStateName::Pending)
}

/// The error of a machine that ended before it ran: nothing is left of it.
fn ended(id: &str, instance: &Answered) -> CallError {
    let reason = instance.state_reason();
    let code = reason.and_then(|reason| reason.code()).unwrap_or("ended");
    let text = reason.and_then(|reason| reason.message()).unwrap_or("AWS gave no reason");
    // `Server.InsufficientInstanceCapacity` is the same as what a launch is refused with.
    let code = code.split_once('.').map_or(code, |(_, code)| code);
    CallError::new(ErrorClass::Permanent, code, format!("ec2:RunInstances: {code}: {id} ended before it ran: {text}"))
}

async fn firewalls(aws: &Aws, id: &str, given: Given<'_>) -> Result<(), CallError> {
    let send = aws.ec2.modify_instance_attribute().instance_id(id).set_groups(Some(given.texts("vpc_security_group_ids")));
    aws.write("ec2:ModifyInstanceAttribute", send.send()).await.map(drop)
}

async fn source_check(aws: &Aws, id: &str, given: Given<'_>) -> Result<(), CallError> {
    let value = AttributeBooleanValue::builder().set_value(given.flag("source_dest_check")).build();
    let send = aws.ec2.modify_instance_attribute().instance_id(id).source_dest_check(value);
    aws.write("ec2:ModifyInstanceAttribute", send.send()).await.map(drop)
}

async fn shutdown(aws: &Aws, id: &str, given: Given<'_>) -> Result<(), CallError> {
    let value = AttributeValue::builder().set_value(given.owned("instance_initiated_shutdown_behavior")).build();
    let send = aws.ec2.modify_instance_attribute().instance_id(id).instance_initiated_shutdown_behavior(value);
    aws.write("ec2:ModifyInstanceAttribute", send.send()).await?;
    let marks = tags::ec2(&kept::marks_of(given));
    aws.write("ec2:CreateTags", aws.ec2.create_tags().resources(id).set_tags(Some(marks)).send()).await.map(drop)
}

async fn metadata(aws: &Aws, id: &str, given: Given<'_>) -> Result<(), CallError> {
    let Some(options) = given.block("metadata_options") else { return Ok(()) };
    let send = aws
        .ec2
        .modify_instance_metadata_options()
        .instance_id(id)
        .set_http_tokens(options.maybe_text("http_tokens").map(HttpTokensState::from))
        .set_http_endpoint(options.maybe_text("http_endpoint").map(InstanceMetadataEndpointState::from))
        .set_http_put_response_hop_limit(options.int("http_put_response_hop_limit"));
    aws.write("ec2:ModifyInstanceMetadataOptions", send.send()).await.map(drop)
}

/// Gives a machine another identity, its first one, or none.
async fn identity(aws: &Aws, id: &str, given: Given<'_>) -> Result<(), CallError> {
    let action = "ec2:DescribeIamInstanceProfileAssociations";
    let of = Filter::builder().name("instance-id").values(id).build();
    let live = Filter::builder().name("state").values("associating").values("associated").build();
    let ask = || aws.ec2.describe_iam_instance_profile_associations().filters(of.clone()).filters(live.clone()).send();
    let answer = aws.read(action, ask).await?;
    let present =
        answer.iam_instance_profile_associations().first().map(|found| found.association_id().ok_or_else(|| strange(action, "id")));
    let present = present.transpose()?;
    let profile = given.owned("iam_instance_profile").map(|name| IamInstanceProfileSpecification::builder().name(name).build());
    match (present, profile) {
        (Some(present), Some(profile)) => {
            let send = || {
                let send = aws.ec2.replace_iam_instance_profile_association().association_id(present);
                aws.write("ec2:ReplaceIamInstanceProfileAssociation", send.iam_instance_profile(profile.clone()).send())
            };
            wait::while_conflict(iam::SPREADS_WITHIN, is_unknown_profile, send).await.map(drop)
        }
        (None, Some(profile)) => {
            let send = || {
                let send = aws.ec2.associate_iam_instance_profile().instance_id(id).iam_instance_profile(profile.clone());
                aws.write("ec2:AssociateIamInstanceProfile", send.send())
            };
            wait::while_conflict(iam::SPREADS_WITHIN, is_unknown_profile, send).await.map(drop)
        }
        (Some(present), None) => {
            let send = aws.ec2.disassociate_iam_instance_profile().association_id(present);
            aws.write("ec2:DisassociateIamInstanceProfile", send.send()).await.map(drop)
        }
        (None, None) => Ok(()),
    }
}

/// Whether EC2 does not know an instance profile yet that IAM just made, or not its role. Both are invalid values of a parameter to it.
fn is_unknown_profile(error: &CallError) -> bool {
    let is_named = ["iamInstanceProfile", "IAM Instance Profile"].iter().any(|name| error.message.contains(name));
    error.code == "InvalidParameterValue" && is_named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_that_is_not_known_yet_is_no_error_of_its_own() {
        let is = |code: &str, message: &str| is_unknown_profile(&CallError::new(ErrorClass::Permanent, code, message));
        assert!(is(
            "InvalidParameterValue",
            "Value (p) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
        ));
        assert!(is("InvalidParameterValue", "IAM Instance Profile \"arn:aws:iam::1:instance-profile/p\" has no associated IAM Roles"));
        assert!(!is("InvalidParameterValue", "Value (x) for parameter subnetId is invalid"));
        assert!(!is("InsufficientInstanceCapacity", "no capacity"));
    }
}
