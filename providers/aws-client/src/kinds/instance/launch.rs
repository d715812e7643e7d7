//! The launch of a machine.

use std::collections::BTreeMap;

use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    BlockDeviceMapping, EbsBlockDevice, HttpTokensState, IamInstanceProfileSpecification, Instance, InstanceMarketOptionsRequest,
    InstanceMetadataEndpointState, InstanceMetadataOptionsRequest, InstanceNetworkInterfaceSpecification, InstanceType,
    LaunchTemplateSpecification, MarketType, Placement, ResourceType, ShutdownBehavior, SpotMarketOptions, TagSpecification, Tenancy,
    VolumeType,
};
use aws_smithy_types::base64;
use cloudtik_aws::{first_boot, marks};
use cloudtik_provider_api::{CallError, CreateRequest};
use tokio::time::Instant;

use super::room::{Form, SPOT};
use super::{NAME_TAG, USER_TAG, is_unknown_profile, kept};
use crate::attributes::Given;
use crate::aws::Aws;
use crate::error::{refused, strange};
use crate::kinds::iam;
use crate::kinds::launch_template::DEFAULT_VERSION;
use crate::kinds::made::client_token;
use crate::{tags, wait};

/// The name of the secret with the host key of the first contact.
const HOST_KEY_SECRET: &str = "bootstrap_host_key";
/// The name of the secret with the key that logs in.
const LOGIN_SECRET: &str = "login";

/// The most of user data that AWS takes, before it is encoded.
const USER_DATA_BYTES_MAX: usize = 16_384;

/// Where nothing else is said the machine's identity is given only to who can ask for it in two steps.
const TOKENS: HttpTokensState = HttpTokensState::Required;

/// Launches so many machines, or as many of them as there is room for, and gives their ids by their places in the launch.
pub(super) async fn launch(aws: &Aws, request: &CreateRequest, machines: usize) -> Result<BTreeMap<usize, String>, CallError> {
    let given = Given(&request.attributes);
    let user = user(aws, given).await?;
    let mut all = all_tags(request, &user);
    all.extend(machine(aws, given).await?.map(|mark| (kept::MACHINE_TAG.to_owned(), mark)));
    let most = i32::try_from(machines).map_err(|_| refused("machines", format!("{machines} machines are too many for one launch")))?;
    let built = built(aws, request, &user, root_device(aws, given).await?, &all)?.min_count(1).max_count(most);
    let form = Form::of(given);
    if let Some(error) = aws.session.rooms.refusal(Instant::now(), &form) {
        return Err(error);
    }
    let send = || aws.write("ec2:RunInstances", built.clone().send());
    let made = wait::while_conflict(iam::SPREADS_WITHIN, is_unknown_profile, send)
        .await
        .map_err(|error| aws.session.rooms.told(Instant::now(), &form, error, machines))?;
    let place = |instance: &Instance| {
        let index = usize::try_from(instance.ami_launch_index()?).ok()?;
        Some((index, instance.instance_id()?.to_owned()))
    };
    made.instances().iter().map(|instance| place(instance).ok_or_else(|| strange("ec2:RunInstances", "machine"))).collect()
}

/// What the type of the machine has, as a mark.
async fn machine(aws: &Aws, given: Given<'_>) -> Result<Option<String>, CallError> {
    let name = given.text("instance_type")?;
    let machines = aws.machines([name.to_owned()].into()).await?;
    Ok(machines.get(name).map(|machine| kept::machine_mark(name, *machine)))
}

fn built(
    aws: &Aws,
    request: &CreateRequest,
    user: &str,
    root: Option<BlockDeviceMapping>,
    tags: &BTreeMap<String, String>,
) -> Result<RunInstancesFluentBuilder, CallError> {
    let given = Given(&request.attributes);
    let send = aws
        .ec2
        .run_instances()
        .client_token(client_token(&request.token))
        .instance_type(InstanceType::from(given.text("instance_type")?))
        .user_data(user_data(request, user)?)
        .set_placement(placement(given))
        .set_ebs_optimized(given.flag("ebs_optimized"))
        .set_instance_initiated_shutdown_behavior(given.maybe_text("instance_initiated_shutdown_behavior").map(ShutdownBehavior::from))
        .set_instance_market_options(market(given))
        .set_tag_specifications(Some(specifications(given, tags)));
    let send = in_network(send, given);
    Ok(match template(given) {
        Some(template) => send.launch_template(template),
        None => without_template(send, given, root)?,
    })
}

/// What it is launched from. Which version that is, is the template's to say: a launch that is repeated after a change of it is the same still.
fn template(given: Given<'_>) -> Option<LaunchTemplateSpecification> {
    let id = given.block("launch_template")?.owned("id")?;
    Some(LaunchTemplateSpecification::builder().launch_template_id(id).version(DEFAULT_VERSION).build())
}

/// With what a template says otherwise: who launches from one may not say it again.
fn without_template(
    send: RunInstancesFluentBuilder,
    given: Given<'_>,
    root: Option<BlockDeviceMapping>,
) -> Result<RunInstancesFluentBuilder, CallError> {
    let profile = given.maybe_text("iam_instance_profile").map(|name| IamInstanceProfileSpecification::builder().name(name).build());
    Ok(send
        .image_id(given.text("ami")?)
        .set_iam_instance_profile(profile)
        .set_key_name(given.owned("key_name"))
        .metadata_options(metadata(given))
        .set_block_device_mappings(root.map(|root| vec![root])))
}

/// Whether it gets a public address is said of an interface, and who says it must say there too what the interface is in.
fn in_network(send: RunInstancesFluentBuilder, given: Given<'_>) -> RunInstancesFluentBuilder {
    let groups = Some(given.texts("vpc_security_group_ids")).filter(|groups| !groups.is_empty());
    let Some(public) = given.flag("associate_public_ip_address") else {
        return send.set_subnet_id(given.owned("subnet_id")).set_security_group_ids(groups);
    };
    let interface = InstanceNetworkInterfaceSpecification::builder()
        .device_index(0)
        .associate_public_ip_address(public)
        .delete_on_termination(true)
        .set_subnet_id(given.owned("subnet_id"))
        .set_groups(groups)
        .build();
    send.network_interfaces(interface)
}

fn placement(given: Given<'_>) -> Option<Placement> {
    let tenancy = given.maybe_text("tenancy").filter(|tenancy| *tenancy != Tenancy::Default.as_str());
    let (group, zone) = (given.owned("placement_group"), given.owned("availability_zone"));
    if tenancy.is_none() && group.is_none() && zone.is_none() {
        return None;
    }
    let placement = Placement::builder().set_group_name(group).set_availability_zone(zone);
    Some(placement.set_tenancy(tenancy.map(Tenancy::from)).build())
}

fn metadata(given: Given<'_>) -> InstanceMetadataOptionsRequest {
    let options = given.block("metadata_options");
    let text = |name: &str| options.and_then(|options| options.maybe_text(name));
    InstanceMetadataOptionsRequest::builder()
        .http_tokens(text("http_tokens").map_or(TOKENS, HttpTokensState::from))
        .set_http_endpoint(text("http_endpoint").map(InstanceMetadataEndpointState::from))
        .set_http_put_response_hop_limit(options.and_then(|options| options.int("http_put_response_hop_limit")))
        .build()
}

fn market(given: Given<'_>) -> Option<InstanceMarketOptionsRequest> {
    let (market, price) = match given.block("instance_market_options") {
        Some(options) => (options.maybe_text("market_type").map(MarketType::from), options.owned("max_price")),
        None if given.maybe_text("market") == Some(SPOT) => (Some(MarketType::Spot), given.number("max_price")),
        None => return None,
    };
    let price = price.map(|price| SpotMarketOptions::builder().max_price(price).build());
    Some(InstanceMarketOptionsRequest::builder().set_market_type(market).set_spot_options(price).build())
}

/// The system disk, where something is said of it. Only the image knows the name of its device.
async fn root_device(aws: &Aws, given: Given<'_>) -> Result<Option<BlockDeviceMapping>, CallError> {
    let Some(disk) = given.block("root_block_device").filter(|_| template(given).is_none()) else { return Ok(None) };
    let image = aws.image(given.text("ami")?).await?;
    let device = image.root_device_name().ok_or_else(|| strange("ec2:DescribeImages", "root device"))?;
    Ok(Some(BlockDeviceMapping::builder().device_name(device).ebs(disk_of(disk)).build()))
}

/// A disk that goes with its machine.
fn disk_of(disk: Given<'_>) -> EbsBlockDevice {
    EbsBlockDevice::builder()
        .set_volume_size(disk.int("volume_size"))
        .set_volume_type(disk.maybe_text("volume_type").map(VolumeType::from))
        .set_iops(disk.int("iops"))
        .set_throughput(disk.int("throughput"))
        .set_encrypted(disk.flag("encrypted"))
        .delete_on_termination(true)
        .build()
}

/// Who logs in: as the spec says, else as images of that name usually have it.
async fn user(aws: &Aws, given: Given<'_>) -> Result<String, CallError> {
    if let Some(user) = given.owned("user") {
        return Ok(user);
    }
    let image = aws.image(given.text("ami")?).await?;
    Ok(usual_user(image.name().unwrap_or_default()).to_owned())
}

/// Who logs in to images of a name: as their publishers document it.
fn usual_user(image: &str) -> &'static str {
    let name = image.to_ascii_lowercase();
    match () {
        () if name.contains("ubuntu") => "ubuntu",
        () if name.contains("debian") => "admin",
        () => "ec2-user",
    }
}

/// What the machine runs at first boot, in base64. Without the secrets of a first contact, which a plain resource may lack, only what the spec
/// says.
fn user_data(request: &CreateRequest, user: &str) -> Result<String, CallError> {
    let given = Given(&request.attributes);
    let own = given.maybe_text("user_data").unwrap_or_default();
    let mut keys = given.texts("authorized_keys");
    let login = request.secrets.get(LOGIN_SECRET).map(|secret| secret.public.trim().to_owned());
    keys.extend(login.filter(|key| !key.is_empty() && !keys.contains(key)));
    let text = match request.secrets.get(HOST_KEY_SECRET) {
        Some(key) => first_boot(user, &key.private, &key.public, &keys, own),
        None => own.to_owned(),
    };
    if text.len() > USER_DATA_BYTES_MAX {
        let text = format!("what the machine runs at first boot has {} bytes, and AWS takes {USER_DATA_BYTES_MAX}", text.len());
        return Err(refused("user-data", text).help("shorten `user_data`: let it fetch the rest"));
    }
    Ok(base64::encode(text))
}

/// All tags of a machine.
fn all_tags(request: &CreateRequest, user: &str) -> BTreeMap<String, String> {
    let mut all = tags::of_create(request);
    let given = Given(&request.attributes);
    all.extend(kept::marks_of(given));
    all.insert(USER_TAG.to_owned(), marks::encode(user));
    if let Some(name) = given.maybe_text("name") {
        all.insert(NAME_TAG.to_owned(), marks::encode(name));
    }
    all
}

/// The same tags for the machine and what goes with it.
fn specifications(given: Given<'_>, all: &BTreeMap<String, String>) -> Vec<TagSpecification> {
    let all = tags::ec2(all);
    let of = |what: ResourceType| TagSpecification::builder().resource_type(what).set_tags(Some(all.clone())).build();
    let spot = market(given).map(|_| ResourceType::SpotInstancesRequest);
    [ResourceType::Instance, ResourceType::Volume, ResourceType::NetworkInterface].into_iter().chain(spot).map(of).collect()
}

#[cfg(test)]
mod tests {
    use cloudtik_model::Value;
    use cloudtik_provider_api::Secret;

    use super::*;

    fn request(attributes: Value, secrets: BTreeMap<String, Secret>) -> CreateRequest {
        CreateRequest { op_id: "o".into(), token: "t".into(), epoch: 1, tags: BTreeMap::new(), attributes, secrets, batch: None }
    }

    fn decoded(text: &str) -> String {
        String::from_utf8(base64::decode(text).unwrap()).unwrap()
    }

    #[test]
    fn secrets_have_the_names_that_they_are_made_under() {
        let schema = cloudtik_aws::aws_schema();
        let names: Vec<&str> = schema.kinds[cloudtik_aws::kinds::INSTANCE].secrets.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, [HOST_KEY_SECRET, LOGIN_SECRET]);
    }

    #[test]
    fn the_first_boot_lets_in_who_may_log_in() {
        let secret = |private: &str, public: &str| Secret { private: private.to_owned(), public: public.to_owned() };
        let secrets = [(HOST_KEY_SECRET, secret("PRIVATE", "ecdsa h")), (LOGIN_SECRET, secret("", "ssh-ed25519 login\n"))];
        let secrets = secrets.map(|(name, secret)| (name.to_owned(), secret)).into();
        let attributes = Value::object([("authorized_keys", Value::list([Value::from("ssh-rsa a")]))]);
        let text = decoded(&user_data(&request(attributes, secrets), "ubuntu").unwrap());
        assert!(text.starts_with("#cloud-config") && text.contains("ssh-rsa a") && text.contains("ssh-ed25519 login"));
    }

    #[test]
    fn without_secrets_the_spec_says_what_runs() {
        let of = |text: &str| user_data(&request(Value::object([("user_data", Value::from(text))]), BTreeMap::new()), "u");
        assert_eq!(decoded(&of("#!/bin/sh\n").unwrap()), "#!/bin/sh\n");
        assert_eq!(of(&"x".repeat(USER_DATA_BYTES_MAX + 1)).unwrap_err().code, "user-data");
    }

    #[test]
    fn images_have_usual_users() {
        assert_eq!(usual_user("ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-20250101"), "ubuntu");
        assert_eq!(usual_user("debian-12-amd64-20250101"), "admin");
        assert_eq!(usual_user("al2023-ami-2023.6.20250101.0-kernel-6.1-x86_64"), "ec2-user");
    }

    #[test]
    fn identities_are_told_in_two_steps_unless_the_spec_says_otherwise() {
        let of = |tokens: Option<&str>| {
            let block = tokens.map(|tokens| Value::list([Value::object([("http_tokens", Value::from(tokens))])]));
            metadata(Given(&Value::object([("metadata_options", block.unwrap_or(Value::NULL))]))).http_tokens().cloned()
        };
        assert_eq!(of(None), Some(HttpTokensState::Required));
        assert_eq!(of(Some("optional")), Some(HttpTokensState::Optional));
    }
}
