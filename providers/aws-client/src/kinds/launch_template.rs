//! `aws_launch_template`

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{
    InstanceType, LaunchTemplate as Answered, LaunchTemplateBlockDeviceMapping, LaunchTemplateBlockDeviceMappingRequest,
    LaunchTemplateEbsBlockDeviceRequest, LaunchTemplateHttpTokensState, LaunchTemplateIamInstanceProfileSpecificationRequest,
    LaunchTemplateInstanceMetadataEndpointState, LaunchTemplateInstanceMetadataOptionsRequest,
    LaunchTemplateInstanceNetworkInterfaceSpecification, LaunchTemplateInstanceNetworkInterfaceSpecificationRequest,
    RequestLaunchTemplateData, ResourceType, ResponseLaunchTemplateData, VolumeType,
};
use cloudtik_aws::kinds;
use cloudtik_model::Value;
use cloudtik_provider_api::{CallError, CreateRequest, ErrorClass, Found, ObjectAnswer, UpdateRequest};

use super::made::{after_create, client_token};
use crate::attributes::{Given, IntoValue, Said};
use crate::aws::Aws;
use crate::each::{each, there};
use crate::error::strange;
use crate::kind::{Kind, Query};
use crate::tags;

/// Templates that one request names.
const IDS_MAX: usize = 200;

/// What AWS calls the version that is used.
pub(crate) const DEFAULT_VERSION: &str = "$Default";

pub(crate) struct LaunchTemplate;

impl Kind for LaunchTemplate {
    const NAME: &'static str = kinds::LAUNCH_TEMPLATE;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let send = aws
            .ec2
            .create_launch_template()
            .client_token(client_token(&request.token))
            .launch_template_name(given.text("name")?)
            .launch_template_data(data(given))
            .tag_specifications(tags::specification(ResourceType::LaunchTemplate, request))
            .send();
        let made = aws.write("ec2:CreateLaunchTemplate", send).await?;
        let template = made.launch_template().ok_or_else(|| strange("ec2:CreateLaunchTemplate", "template"))?;
        // What AWS makes of the data only a look tells.
        let found = after_create(|| said(aws, template.clone())).await?;
        Ok(found.object)
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let found = each(described(aws, query).await?, |template| async move { there(said(aws, template).await) }).await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The data of a template does not change: it gets a new version, and that is used from then on.
    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        tags::update_ec2(aws, request).await?;
        if request.changed.iter().all(|name| name == "tags") {
            return Ok(());
        }
        let action = "ec2:CreateLaunchTemplateVersion";
        let data = data(Given(&request.attributes));
        let send = aws.ec2.create_launch_template_version().client_token(client_token(&request.op_id)).launch_template_id(&request.id);
        let made = aws.write(action, send.launch_template_data(data).send()).await?;
        let version = made.launch_template_version().and_then(|version| version.version_number());
        let version = version.ok_or_else(|| strange(action, "version"))?;
        let send = aws.ec2.modify_launch_template().launch_template_id(&request.id).default_version(version.to_string());
        aws.write("ec2:ModifyLaunchTemplate", send.send()).await.map(drop)
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        aws.write("ec2:DeleteLaunchTemplate", aws.ec2.delete_launch_template().launch_template_id(id).send()).await.map(drop)
    }
}

/// Removes those that carry a tag.
pub(crate) async fn remove(aws: &Aws, key: &str, value: &str) -> Result<(), CallError> {
    let ids = described(aws, &Query::Tag(key, value)).await?.into_iter().filter_map(|template| template.launch_template_id);
    each(ids, |id| async move { there(LaunchTemplate::delete(aws, &id).await) }).await.map(drop)
}

async fn described(aws: &Aws, query: &Query<'_>) -> Result<Vec<Answered>, CallError> {
    if let Query::Ids(ids) = query {
        return by_ids(aws, ids).await;
    }
    let mut found = Vec::new();
    for filter in query.filters("", "launch-template-name") {
        let request = aws.ec2.describe_launch_templates().filters(filter);
        let pages = || request.clone().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
        found.extend(aws.read("ec2:DescribeLaunchTemplates", pages).await?);
    }
    Ok(found)
}

/// There is no filter for ids, and one that is gone fails the whole request: then each is asked for.
async fn by_ids(aws: &Aws, ids: &BTreeSet<String>) -> Result<Vec<Answered>, CallError> {
    let ids: Vec<String> = ids.iter().cloned().collect();
    let mut found = Vec::new();
    for some in ids.chunks(IDS_MAX) {
        match named(aws, some.to_vec()).await {
            Ok(all) => found.extend(all),
            Err(error) if error.class == ErrorClass::Gone => {
                let all = each(some, |id| async move { there(named(aws, vec![id.clone()]).await) }).await?;
                found.extend(all.into_iter().flatten().flatten());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

async fn named(aws: &Aws, ids: Vec<String>) -> Result<Vec<Answered>, CallError> {
    let ask = || aws.ec2.describe_launch_templates().set_launch_template_ids(Some(ids.clone())).send();
    Ok(aws.read("ec2:DescribeLaunchTemplates", ask).await?.launch_templates.unwrap_or_default())
}

fn data(given: Given<'_>) -> RequestLaunchTemplateData {
    let profile = given.owned("iam_instance_profile");
    let profile = profile.map(|name| LaunchTemplateIamInstanceProfileSpecificationRequest::builder().name(name).build());
    let groups = Some(given.texts("vpc_security_group_ids")).filter(|groups| !groups.is_empty());
    let disks: Vec<_> = given.blocks("block_device_mappings").into_iter().map(disk).collect();
    let interfaces: Vec<_> = given.blocks("network_interfaces").into_iter().zip(0..).map(interface).collect();
    RequestLaunchTemplateData::builder()
        .set_image_id(given.owned("image_id"))
        .set_instance_type(given.maybe_text("instance_type").map(InstanceType::from))
        .set_key_name(given.owned("key_name"))
        .set_user_data(given.owned("user_data"))
        .set_iam_instance_profile(profile)
        .set_security_group_ids(groups)
        .set_network_interfaces(Some(interfaces).filter(|interfaces| !interfaces.is_empty()))
        .metadata_options(metadata(given))
        .set_block_device_mappings(Some(disks).filter(|disks| !disks.is_empty()))
        .build()
}

/// Where nothing else is said, a machine's identity is given only to who can ask for it in two steps.
fn metadata(given: Given<'_>) -> LaunchTemplateInstanceMetadataOptionsRequest {
    let options = given.block("metadata_options");
    let text = |name: &str| options.and_then(|options| options.maybe_text(name));
    LaunchTemplateInstanceMetadataOptionsRequest::builder()
        .http_tokens(text("http_tokens").map_or(LaunchTemplateHttpTokensState::Required, LaunchTemplateHttpTokensState::from))
        .set_http_endpoint(text("http_endpoint").map(LaunchTemplateInstanceMetadataEndpointState::from))
        .set_http_put_response_hop_limit(options.and_then(|options| options.int("http_put_response_hop_limit")))
        .build()
}

/// An interface that goes with its machine.
fn interface((interface, index): (Given<'_>, i32)) -> LaunchTemplateInstanceNetworkInterfaceSpecificationRequest {
    LaunchTemplateInstanceNetworkInterfaceSpecificationRequest::builder()
        .device_index(index)
        .delete_on_termination(true)
        .set_associate_public_ip_address(interface.flag("associate_public_ip_address"))
        .set_groups(Some(interface.texts("security_groups")).filter(|groups| !groups.is_empty()))
        .build()
}

fn disk(disk: Given<'_>) -> LaunchTemplateBlockDeviceMappingRequest {
    let device = LaunchTemplateEbsBlockDeviceRequest::builder()
        .set_volume_size(disk.int("volume_size"))
        .set_volume_type(disk.maybe_text("volume_type").map(VolumeType::from))
        .set_iops(disk.int("iops"))
        .set_throughput(disk.int("throughput"))
        .set_encrypted(disk.flag("encrypted"))
        .delete_on_termination(true)
        .build();
    LaunchTemplateBlockDeviceMappingRequest::builder().set_device_name(disk.owned("device_name")).ebs(device).build()
}

/// A template with the data of the version that is used.
async fn said(aws: &Aws, template: Answered) -> Result<Found, CallError> {
    let action = "ec2:DescribeLaunchTemplateVersions";
    let id = template.launch_template_id().ok_or_else(|| strange("ec2:DescribeLaunchTemplates", "id"))?;
    let ask = || aws.ec2.describe_launch_template_versions().launch_template_id(id).versions(DEFAULT_VERSION).send();
    let answer = aws.read(action, ask).await?;
    let version = answer.launch_template_versions().first().ok_or_else(|| strange(action, "version"))?;
    let data = version.launch_template_data().ok_or_else(|| strange(action, "data"))?;
    let (marks, own) = tags::of_ec2(template.tags());
    let groups: BTreeSet<String> = data.security_group_ids().iter().cloned().collect();
    let disks: Vec<Value> = data.block_device_mappings().iter().map(disk_said).collect();
    let mut interfaces: Vec<_> = data.network_interfaces().iter().collect();
    interfaces.sort_by_key(|interface| interface.device_index());
    let interfaces: Vec<Value> = interfaces.into_iter().map(interface_said).collect();
    let object = Said::of(kinds::LAUNCH_TEMPLATE)
        .set("name", template.launch_template_name())
        .set("image_id", data.image_id())
        .set("instance_type", data.instance_type().map(InstanceType::as_str))
        .set("key_name", data.key_name())
        .set("user_data", data.user_data().filter(|text| !text.is_empty()))
        .set("iam_instance_profile", data.iam_instance_profile().and_then(|profile| profile.name()))
        .set("vpc_security_group_ids", groups)
        .set("network_interfaces", Some(interfaces).filter(|interfaces| !interfaces.is_empty()).map(Value::list))
        .set("metadata_options", metadata_said(data))
        .set("block_device_mappings", Some(disks).filter(|disks| !disks.is_empty()).map(Value::list))
        .set("tags", own)
        .set("arn", aws.arn("ec2", aws.account().await?, &format!("launch-template/{id}")))
        .set("latest_version", version.version_number())
        .answer(id);
    Ok(Found { object, tags: marks })
}

fn metadata_said(data: &ResponseLaunchTemplateData) -> Option<Value> {
    let options = data.metadata_options()?;
    let parts = [
        ("http_endpoint", options.http_endpoint().map(LaunchTemplateInstanceMetadataEndpointState::as_str).into_value()),
        ("http_tokens", options.http_tokens().map(LaunchTemplateHttpTokensState::as_str).into_value()),
        ("http_put_response_hop_limit", options.http_put_response_hop_limit().into_value()),
    ];
    Some(Value::list([Value::object(parts)]))
}

fn interface_said(interface: &LaunchTemplateInstanceNetworkInterfaceSpecification) -> Value {
    let groups: BTreeSet<String> = interface.groups().iter().cloned().collect();
    Value::object([
        ("associate_public_ip_address", interface.associate_public_ip_address().into_value()),
        ("security_groups", groups.into_value()),
    ])
}

fn disk_said(mapping: &LaunchTemplateBlockDeviceMapping) -> Value {
    let disk = mapping.ebs();
    Value::object([
        ("device_name", mapping.device_name().into_value()),
        ("volume_size", disk.and_then(|disk| disk.volume_size()).into_value()),
        ("volume_type", disk.and_then(|disk| disk.volume_type()).map(VolumeType::as_str).into_value()),
        ("iops", disk.and_then(|disk| disk.iops()).into_value()),
        ("throughput", disk.and_then(|disk| disk.throughput()).into_value()),
        ("encrypted", disk.and_then(|disk| disk.encrypted()).into_value()),
    ])
}
