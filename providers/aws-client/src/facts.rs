//! Answers to the questions of a plan.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::task::Poll;

use aws_sdk_ec2::types::{
    ArchitectureValues, AvailabilityZone, AvailabilityZoneOptInStatus, AvailabilityZoneState, Filter, Image, InternetGateway, Route,
    RouteTable, Subnet, Tag, Vpc, VpcCidrBlockState, VpcCidrBlockStateCode,
};
use aws_sdk_rds::types::DbEngineVersion;
use cloudtik_model::Value;
use cloudtik_provider_api::{CallError, ErrorClass, FactQuestion, WORKSPACE_TAG};

use crate::attributes::{Given, IntoValue};
use crate::aws::Aws;
use crate::error::{refused, strange};
use crate::kinds::{cloudformation_stack, has_names, route_tables, s3_bucket};
use crate::session::Identity;
use crate::whole::whole;
use crate::{machine_type, metadata, tags};

/// Where packets go that no other route is for: no range that must stay free.
const EVERYWHERE: &str = "0.0.0.0/0";

/// Answers all questions, at once; one that is asked under many keys is asked once.
pub(crate) async fn answer(aws: &Aws, questions: &[FactQuestion]) -> Result<BTreeMap<String, Value>, CallError> {
    let different: BTreeSet<(&str, &Value)> = questions.iter().map(|asked| (&*asked.question, &asked.arguments)).collect();
    let answers = different.into_iter().map(async |(question, arguments)| {
        let answered = answer_one(aws, question, Given(arguments)).await;
        answered.map(|answer| ((question, arguments), answer)).map_err(|error| named(question, error))
    });
    let answers: BTreeMap<(&str, &Value), Value> = side_by_side(answers).await?.into_iter().collect();
    let keyed = questions.iter().filter_map(|asked| {
        let answer = answers.get(&(&*asked.question, &asked.arguments))?;
        Some((asked.key.clone(), answer.clone()))
    });
    Ok(keyed.collect())
}

/// The values of all futures, in the order in which they come; the first error ends it.
async fn side_by_side<T, E>(futures: impl Iterator<Item = impl Future<Output = Result<T, E>>>) -> Result<Vec<T>, E> {
    let mut waiting: Vec<_> = futures.map(Box::pin).collect();
    let mut done = Vec::new();
    poll_fn(|context| {
        let mut error = None;
        waiting.retain_mut(|future| match future.as_mut().poll(context) {
            Poll::Ready(Ok(value)) => {
                done.push(value);
                false
            }
            Poll::Ready(Err(failed)) => {
                error.get_or_insert(failed);
                false
            }
            Poll::Pending => true,
        });
        match error {
            Some(error) => Poll::Ready(Err(error)),
            None if waiting.is_empty() => Poll::Ready(Ok(std::mem::take(&mut done))),
            None => Poll::Pending,
        }
    })
    .await
}

async fn answer_one(aws: &Aws, question: &str, arguments: Given<'_>) -> Result<Value, CallError> {
    match question {
        "account" => account(aws).await,
        "zones" => zones(aws).await,
        "vpcs" => other_vpcs(aws, arguments).await,
        "client" => client(aws, arguments).await,
        "client_names" => client_names(aws, arguments).await,
        "network" => network(aws, arguments).await,
        "image" => image(aws, arguments).await,
        "machine_type" => machine_type::machine_type(aws, arguments).await,
        "database_version" => database_version(aws, arguments).await,
        "store_region" => s3_bucket::region_of(aws, arguments.text("bucket")?).await.map(|region| region.as_str().into()),
        "change_set" => cloudformation_stack::preview(aws, arguments).await,
        "workspace" => whole(aws, arguments).await,
        _ => Err(refused("question", "nobody answers it")),
    }
}

fn named(question: &str, error: CallError) -> CallError {
    CallError { message: format!("question `{question}`: {}", error.message), ..error }
}

/// Whose credentials these are.
async fn account(aws: &Aws) -> Result<Value, CallError> {
    let Identity { account, arn } = aws.identity().await?;
    Ok(Value::object([
        ("account", account.as_str().into()),
        ("region", aws.region.as_str().into()),
        ("partition", arn.split(':').nth(1).into_value()),
        ("arn", arn.as_str().into()),
    ]))
}

/// The zones that can be used.
async fn zones(aws: &Aws) -> Result<Value, CallError> {
    let answer = aws.read("ec2:DescribeAvailabilityZones", || aws.ec2.describe_availability_zones().send()).await?;
    let zones = answer.availability_zones().iter().filter(|zone| is_usable(zone));
    Ok(texts(zones.filter_map(AvailabilityZone::zone_name)))
}

fn is_usable(zone: &AvailabilityZone) -> bool {
    let is_available = zone.state() == Some(&AvailabilityZoneState::Available);
    let is_plain = zone.zone_type().is_none_or(|kind| kind == "availability-zone");
    is_available && is_plain && zone.opt_in_status() != Some(&AvailabilityZoneOptInStatus::NotOptedIn)
}

/// The newest major version of the engine of a database.
async fn database_version(aws: &Aws, arguments: Given<'_>) -> Result<Value, CallError> {
    let engine = arguments.text("engine")?;
    let pages = || aws.rds.describe_db_engine_versions().engine(engine).into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    let all = aws.read("rds:DescribeDBEngineVersions", pages).await?;
    let offered = all.iter().filter(|version| version.status().is_none_or(|status| status == "available"));
    let newest = offered.filter_map(DbEngineVersion::major_engine_version).max_by_key(|version| numbers(version));
    newest.map(Value::from).ok_or_else(|| strange("rds:DescribeDBEngineVersions", "version"))
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|number| number.parse().unwrap_or_default()).collect()
}

/// The networks of the region, but for that of the workspace.
async fn other_vpcs(aws: &Aws, arguments: Given<'_>) -> Result<Value, CallError> {
    let vpcs = vpcs(aws, None).await?;
    let others = vpcs.iter().filter(|vpc| !is_of_workspace(vpc.tags(), arguments));
    let sorted: BTreeMap<String, Value> = others.filter_map(|vpc| Some((vpc.vpc_id()?.to_owned(), ranges(vpc)))).collect();
    Ok(Value::list(sorted.into_iter().map(|(id, ranges)| Value::object([("id", id.as_str().into()), ("cidr_blocks", ranges)]))))
}

/// Whether something belongs to the workspace that is asked for. What it made must not change an answer when it is asked anew.
pub(crate) fn is_of_workspace(tags: &[Tag], arguments: Given<'_>) -> bool {
    let (marks, _) = tags::of_ec2(tags);
    arguments.maybe_text("workspace").is_some_and(|workspace| marks.get(WORKSPACE_TAG).is_some_and(|of| of == workspace))
}

/// The network that is named, or that of this machine.
pub(crate) async fn named_or_own(aws: &Aws, arguments: Given<'_>) -> Result<String, CallError> {
    match arguments.owned("vpc") {
        Some(id) => Ok(id),
        None => metadata::network_of_this_machine(&aws.region).await,
    }
}

/// The network from which the clusters are used.
async fn client(aws: &Aws, arguments: Given<'_>) -> Result<Value, CallError> {
    let id = named_or_own(aws, arguments).await?;
    let (vpc, tables) = tokio::try_join!(vpc(aws, &id), route_tables(aws, [filter("vpc-id", &id)]))?;
    let own = connections_of_workspace(aws, arguments, &tables).await?;
    Ok(Value::object([
        ("vpc_id", id.as_str().into()),
        ("account", vpc.owner_id().into_value()),
        ("region", aws.region.as_str().into()),
        ("cidr_blocks", ranges(&vpc)),
        ("route_table_ids", texts(tables.iter().filter_map(RouteTable::route_table_id))),
        ("destinations", destinations(&tables, &own)),
    ]))
}

/// Whether names are resolved in the network of the client. In one that is gone there are none.
async fn client_names(aws: &Aws, arguments: Given<'_>) -> Result<Value, CallError> {
    let id = named_or_own(aws, arguments).await?;
    let names = match has_names(aws, &id).await {
        Err(error) if error.class == ErrorClass::Gone => false,
        names => names?,
    };
    Ok(Value::object([("names", names.into())]))
}

/// The connections of the workspace to a network whose tables these are.
async fn connections_of_workspace(aws: &Aws, arguments: Given<'_>, tables: &[RouteTable]) -> Result<BTreeSet<String>, CallError> {
    let mut routes = tables.iter().flat_map(RouteTable::routes);
    if arguments.maybe_text("workspace").is_none() || routes.all(|route| route.vpc_peering_connection_id().is_none()) {
        return Ok(BTreeSet::new());
    }
    let pages = || {
        let request = aws.ec2.describe_vpc_peering_connections();
        request.into_paginator().items().send().collect::<Result<Vec<_>, _>>()
    };
    let all = aws.read("ec2:DescribeVpcPeeringConnections", pages).await?;
    let own = all.iter().filter(|connection| is_of_workspace(connection.tags(), arguments));
    Ok(own.filter_map(|connection| connection.vpc_peering_connection_id().map(str::to_owned)).collect())
}

/// Ranges that packets of the network already go somewhere for, but not through these connections.
fn destinations(tables: &[RouteTable], own: &BTreeSet<String>) -> Value {
    let is_own = |route: &&Route| route.vpc_peering_connection_id().is_some_and(|connection| own.contains(connection));
    let routes = tables.iter().flat_map(RouteTable::routes).filter(|route| route.gateway_id() != Some("local") && !is_own(route));
    texts(routes.filter_map(Route::destination_cidr_block).filter(|destination| *destination != EVERYWHERE))
}

/// A network that is shared with others.
async fn network(aws: &Aws, arguments: Given<'_>) -> Result<Value, CallError> {
    let id = named_or_own(aws, arguments).await?;
    let (vpc, subnets, gateways) = tokio::try_join!(vpc(aws, &id), subnets(aws, &id), gateways(aws, &id))?;
    let others = subnets.iter().filter(|subnet| !is_of_workspace(subnet.tags(), arguments));
    let sorted: BTreeMap<&str, &Subnet> = others.filter_map(|subnet| Some((subnet.subnet_id()?, subnet))).collect();
    let said = |(id, subnet): (&str, &Subnet)| {
        let parts = [("cidr_block", subnet.cidr_block().into_value()), ("zone", subnet.availability_zone().into_value())];
        Value::object([("id", id.into())].into_iter().chain(parts))
    };
    Ok(Value::object([
        ("vpc_id", id.as_str().into()),
        ("cidr_blocks", ranges(&vpc)),
        ("subnets", Value::list(sorted.into_iter().map(said))),
        ("internet_gateway_id", gateways.first().and_then(InternetGateway::internet_gateway_id).into_value()),
    ]))
}

pub(crate) async fn subnets(aws: &Aws, vpc: &str) -> Result<Vec<Subnet>, CallError> {
    let pages = || {
        let request = aws.ec2.describe_subnets().filters(filter("vpc-id", vpc));
        request.into_paginator().items().send().collect::<Result<Vec<_>, _>>()
    };
    aws.read("ec2:DescribeSubnets", pages).await
}

pub(crate) async fn gateways(aws: &Aws, vpc: &str) -> Result<Vec<InternetGateway>, CallError> {
    let pages = || {
        let request = aws.ec2.describe_internet_gateways().filters(filter("attachment.vpc-id", vpc));
        request.into_paginator().items().send().collect::<Result<Vec<_>, _>>()
    };
    aws.read("ec2:DescribeInternetGateways", pages).await
}

async fn vpc(aws: &Aws, id: &str) -> Result<Vpc, CallError> {
    let mut found = vpcs(aws, Some(filter("vpc-id", id))).await?;
    found.pop().ok_or_else(|| {
        let text = format!("ec2:DescribeVpcs: there is no network {id} in region {}", aws.region);
        CallError::new(ErrorClass::Permanent, "InvalidVpcID.NotFound", text)
    })
}

pub(crate) async fn vpcs(aws: &Aws, of: Option<Filter>) -> Result<Vec<Vpc>, CallError> {
    let pages = || {
        let request = aws.ec2.describe_vpcs().set_filters(of.clone().map(|of| vec![of]));
        request.into_paginator().items().send().collect::<Result<Vec<_>, _>>()
    };
    aws.read("ec2:DescribeVpcs", pages).await
}

/// The ranges of a network: the first one, and those that were added later.
fn ranges(vpc: &Vpc) -> Value {
    let is_gone = |state: &VpcCidrBlockState| {
        let gone = [VpcCidrBlockStateCode::Disassociated, VpcCidrBlockStateCode::Disassociating, VpcCidrBlockStateCode::Failed];
        state.state().is_some_and(|state| gone.contains(state))
    };
    let associated = vpc.cidr_block_association_set().iter().filter(|range| !range.cidr_block_state().is_some_and(is_gone));
    texts(vpc.cidr_block().into_iter().chain(associated.filter_map(|range| range.cidr_block())))
}

/// The architecture that an image is for.
pub(crate) async fn architecture(aws: &Aws, arguments: Given<'_>) -> Result<String, CallError> {
    let image = image(aws, arguments).await?;
    let architecture = image.get("architecture").and_then(Value::as_str).map(str::to_owned);
    architecture.ok_or_else(|| strange("ec2:DescribeImages", "architecture"))
}

/// What nodes are made from: by its id, or the one that a parameter names, or the newest of an owner by name.
async fn image(aws: &Aws, arguments: Given<'_>) -> Result<Value, CallError> {
    let id = match (arguments.owned("id"), arguments.maybe_text("parameter")) {
        (None, Some(parameter)) => Some(image_of_parameter(aws, parameter).await?),
        (id, _) => id,
    };
    let images = match &id {
        Some(id) => images(aws, None, vec![filter("image-id", id)]).await?,
        None => images_of_owner(aws, arguments).await?,
    };
    let newest = images.iter().max_by_key(|image| image.creation_date().unwrap_or_default());
    newest.map(said_of_image).ok_or_else(|| {
        let what = id.unwrap_or_else(|| format!("{} of {}", given_or(arguments, "name"), given_or(arguments, "owner")));
        let text = format!("ec2:DescribeImages: there is no image {what} in region {}", aws.region);
        CallError::new(ErrorClass::Permanent, "InvalidAMIID.NotFound", text)
    })
}

fn given_or<'a>(arguments: Given<'a>, name: &str) -> &'a str {
    arguments.maybe_text(name).unwrap_or("any")
}

async fn image_of_parameter(aws: &Aws, parameter: &str) -> Result<String, CallError> {
    let answer = aws.read("ssm:GetParameter", || aws.ssm.get_parameter().name(parameter).send()).await?;
    let value = answer.parameter().and_then(|parameter| parameter.value());
    value.map(str::to_owned).ok_or_else(|| strange("ssm:GetParameter", "value"))
}

async fn images_of_owner(aws: &Aws, arguments: Given<'_>) -> Result<Vec<Image>, CallError> {
    let mut filters = vec![filter("name", arguments.text("name")?), filter("state", "available")];
    filters.extend(arguments.maybe_text("architecture").map(|architecture| filter("architecture", architecture)));
    images(aws, arguments.owned("owner"), filters).await
}

async fn images(aws: &Aws, owner: Option<String>, filters: Vec<Filter>) -> Result<Vec<Image>, CallError> {
    let pages = || {
        let request = aws.ec2.describe_images().set_owners(owner.clone().map(|owner| vec![owner])).set_filters(Some(filters.clone()));
        // Who names an image by its id wants that one; of many the newest is wanted, which is not deprecated.
        let request = request.include_deprecated(owner.is_none());
        request.into_paginator().items().send().collect::<Result<Vec<_>, _>>()
    };
    aws.read("ec2:DescribeImages", pages).await
}

fn said_of_image(image: &Image) -> Value {
    Value::object([
        ("id", image.image_id().into_value()),
        ("name", image.name().into_value()),
        ("user", login_user(image.owner_id(), image.name().unwrap_or_default()).into()),
        ("root_device_name", image.root_device_name().into_value()),
        ("architecture", image.architecture().map(ArchitectureValues::as_str).into_value()),
    ])
}

/// Who logs in to instances of images of those who publish most, by account: the owners' own documentation says so.
const USERS_BY_OWNER: [(&str, &str); 4] =
    [("099720109477", "ubuntu"), ("136693071363", "admin"), ("309956199498", "ec2-user"), ("792107900819", "rocky")];

/// The same, by what the names of images hold.
const USERS_BY_NAME: [(&str, &str); 6] =
    [("ubuntu", "ubuntu"), ("debian", "admin"), ("rocky", "rocky"), ("centos", "centos"), ("fedora", "fedora"), ("bitnami", "bitnami")];

/// The login name of an image: AWS does not say it, and its own images, and most of the others, have `ec2-user`.
fn login_user(owner: Option<&str>, name: &str) -> &'static str {
    let name = name.to_ascii_lowercase();
    let by_owner = USERS_BY_OWNER.iter().find(|(of, _)| owner == Some(*of));
    let by_name = || USERS_BY_NAME.iter().find(|(word, _)| name.contains(word));
    by_owner.or_else(by_name).map_or("ec2-user", |(_, user)| *user)
}

pub(crate) fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

/// Texts as a list: sorted, each once.
fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Value {
    let sorted: BTreeSet<&str> = texts.into_iter().collect();
    Value::list(sorted.into_iter().map(Value::from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::VpcCidrBlockAssociation;

    #[tokio::test]
    async fn all_are_waited_for() {
        let wait = async |(ms, outcome): (u64, Result<u64, &'static str>)| {
            tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
            outcome
        };
        assert_eq!(side_by_side([(20, Ok(1)), (1, Ok(2))].into_iter().map(wait)).await, Ok(vec![2, 1]));
        assert_eq!(side_by_side([(1, Err("no")), (60_000, Ok(2))].into_iter().map(wait)).await, Err("no"));
        assert_eq!(side_by_side(std::iter::empty().map(wait)).await, Ok(vec![]));
    }

    #[test]
    fn images_have_login_users() {
        for (owner, name, user) in [
            ("137112412989", "al2023-ami-2023.5.20240701.0-kernel-6.1-x86_64", "ec2-user"),
            ("099720109477", "some/name", "ubuntu"),
            ("123456789012", "my-Ubuntu-24.04", "ubuntu"),
            ("136693071363", "debian-12-amd64", "admin"),
            ("123456789012", "plain", "ec2-user"),
        ] {
            assert_eq!(login_user(Some(owner), name), user, "{name}");
        }
    }

    #[test]
    fn destinations_are_those_of_others() {
        let route = |destination: &str, gateway: &str| Route::builder().destination_cidr_block(destination).gateway_id(gateway).build();
        let table = RouteTable::builder()
            .routes(route("10.0.0.0/16", "local"))
            .routes(route("0.0.0.0/0", "igw-1"))
            .routes(route("10.9.0.0/16", "vgw-1"))
            .routes(Route::builder().destination_cidr_block("10.8.0.0/16").vpc_peering_connection_id("pcx-1").build())
            .routes(Route::builder().destination_prefix_list_id("pl-1").gateway_id("vpce-1").build())
            .build();
        let of = |own: &[&str]| destinations(&[table.clone(), table.clone()], &own.iter().map(|id| (*id).to_owned()).collect());
        assert_eq!(of(&[]), Value::list(["10.8.0.0/16", "10.9.0.0/16"].map(Value::from)));
        assert_eq!(of(&["pcx-1"]), Value::list([Value::from("10.9.0.0/16")]));
    }

    #[test]
    fn the_own_workspace_does_not_count() {
        let tags = [Tag::builder().key(WORKSPACE_TAG).value("w").build()];
        let of = |arguments: Value| is_of_workspace(&tags, Given(&arguments));
        assert!(of(Value::object([("workspace", Value::from("w"))])));
        assert!(!of(Value::object([("workspace", Value::from("v"))])));
        assert!(!of(Value::NULL));
    }

    #[test]
    fn ranges_that_are_gone_do_not_count() {
        let range = |text: &str, state: VpcCidrBlockStateCode| {
            let state = VpcCidrBlockState::builder().state(state).build();
            VpcCidrBlockAssociation::builder().cidr_block(text).cidr_block_state(state).build()
        };
        let vpc = Vpc::builder()
            .cidr_block("10.0.0.0/16")
            .cidr_block_association_set(range("10.0.0.0/16", VpcCidrBlockStateCode::Associated))
            .cidr_block_association_set(range("10.1.0.0/16", VpcCidrBlockStateCode::Associated))
            .cidr_block_association_set(range("10.2.0.0/16", VpcCidrBlockStateCode::Disassociated))
            .build();
        assert_eq!(ranges(&vpc), Value::list(["10.0.0.0/16", "10.1.0.0/16"].map(Value::from)));
    }

    #[test]
    fn only_plain_zones_that_are_open_count() {
        let zone = |kind: &str, opted: AvailabilityZoneOptInStatus| {
            let builder = AvailabilityZone::builder().state(AvailabilityZoneState::Available).zone_type(kind);
            builder.opt_in_status(opted).build()
        };
        assert!(is_usable(&zone("availability-zone", AvailabilityZoneOptInStatus::OptInNotRequired)));
        assert!(!is_usable(&zone("local-zone", AvailabilityZoneOptInStatus::OptedIn)));
        assert!(!is_usable(&zone("availability-zone", AvailabilityZoneOptInStatus::NotOptedIn)));
    }
}
