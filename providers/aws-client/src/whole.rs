//! What is there of a workspace that is taken over, found by the names of its parts: the answer to the question `workspace`. Each kind is asked for
//! once, by its network.

use aws_sdk_ec2::types::{
    Address, Filter, InternetGateway, NatGateway, NatGatewayState, RouteTable, SecurityGroup, SecurityGroupRule, Subnet, Tag, Vpc,
    VpcEndpoint, VpcPeeringConnection, VpcPeeringConnectionStateReasonCode,
};
use cloudtik_aws::names::{self, Named};
use cloudtik_model::Value;
use cloudtik_provider_api::CallError;

use crate::attributes::{Given, IntoValue};
use crate::aws::Aws;
use crate::each::{each, there};
use crate::facts::{filter, gateways, is_of_workspace, named_or_own, subnets, vpcs};
use crate::kinds::{is_rule_with_ports, kind_of_rule, prefix_lists, route_tables};

/// Roles of a workspace: of its heads and of its workers.
const ROLES: [&str; 2] = ["head", "worker"];

/// Whose parts are looked for.
struct Wanted<'a> {
    arguments: Given<'a>,
    name: &'a str,
    /// In a network that is shared a name says nothing: only what carries our mark is the workspace's.
    is_shared: bool,
}

impl Wanted<'_> {
    fn is_part(&self, tags: &[Tag], part: Named) -> bool {
        self.is_called(tags, &names::of(self.name, part))
    }

    fn is_called(&self, tags: &[Tag], name: &str) -> bool {
        name_in(tags) == Some(name) && (!self.is_shared || is_of_workspace(tags, self.arguments))
    }
}

/// What is there of a workspace.
pub(crate) async fn whole(aws: &Aws, arguments: Given<'_>) -> Result<Value, CallError> {
    let wanted = Wanted { arguments, name: arguments.text("workspace")?, is_shared: arguments.flag("shared").unwrap_or(false) };
    let own = if wanted.is_shared { Vec::new() } else { networks(aws, &wanted).await? };
    let networks = own.iter().map(|vpc| object([("id", vpc.vpc_id().into_value()), ("cidr_block", vpc.cidr_block().into_value())]));
    let mut parts = vec![("networks", Value::list(networks.collect::<Vec<_>>())), ("policies", policies(aws, wanted.name).await?)];
    let network = match (own.first().and_then(Vpc::vpc_id), wanted.is_shared) {
        (Some(network), _) => Some(network.to_owned()),
        (None, true) => Some(named_or_own(aws, arguments).await?),
        (None, false) => None,
    };
    if let Some(network) = network {
        parts.extend(in_network(aws, &wanted, &network).await?);
    }
    Ok(object(parts))
}

async fn networks(aws: &Aws, wanted: &Wanted<'_>) -> Result<Vec<Vpc>, CallError> {
    vpcs(aws, Some(filter("tag:Name", &names::of(wanted.name, Named::Network)))).await
}

async fn in_network(aws: &Aws, wanted: &Wanted<'_>, network: &str) -> Result<Vec<(&'static str, Value)>, CallError> {
    let of_network = || filter("vpc-id", network);
    let (subnets, gateways, nat_gateways, tables, endpoints, mut groups, addresses, peerings) = tokio::try_join!(
        subnets(aws, network),
        gateways(aws, network),
        nat_gateways(aws, of_network()),
        route_tables(aws, [of_network()]),
        endpoints(aws, of_network()),
        groups(aws, of_network()),
        addresses(aws, filter("tag:Name", &names::of(wanted.name, Named::NatAddress))),
        peerings(aws, filter("tag:Name", &names::of(wanted.name, Named::Peering))),
    )?;
    let firewalls = [names::firewall(wanted.name), names::firewall_of_heads(wanted.name)];
    groups.retain(|group| firewalls.iter().any(|name| group.group_name() == Some(name)));
    let rules = rules(aws, groups.iter().filter_map(SecurityGroup::group_id)).await?;
    let is_subnet = |subnet: &&Subnet| [Named::PublicSubnet, Named::PrivateSubnet].iter().any(|part| wanted.is_part(subnet.tags(), *part));
    let is_table =
        |table: &&RouteTable| [Named::PublicRouteTable, Named::PrivateRouteTable].iter().any(|part| wanted.is_part(table.tags(), *part));
    let is_endpoint = |endpoint: &&VpcEndpoint| {
        let prefix = names::endpoint(wanted.name, "");
        name_in(endpoint.tags()).is_some_and(|name| name.starts_with(&prefix) && wanted.is_called(endpoint.tags(), name))
    };
    let taken = subnets.iter().filter_map(Subnet::cidr_block).map(Value::from).collect::<Vec<_>>();
    Ok(vec![
        ("taken", Value::list(taken)),
        ("subnets", all(subnets.iter().filter(is_subnet), said_of_subnet)),
        (
            "internet_gateways",
            all(gateways.iter().filter(|gateway| wanted.is_part(gateway.tags(), Named::InternetGateway)), |gateway| {
                object([("id", InternetGateway::internet_gateway_id(gateway).into_value())])
            }),
        ),
        ("nat_gateways", all(nat_gateways.iter().filter(|nat| wanted.is_part(nat.tags(), Named::NatGateway)), said_of_nat)),
        ("route_tables", all(tables.iter().filter(is_table), said_of_table)),
        ("endpoints", with_lists(aws, &endpoints.iter().filter(is_endpoint).collect::<Vec<_>>()).await?),
        ("firewalls", all(groups.iter(), said_of_group)),
        (
            "addresses",
            all(addresses.iter().filter(|address| is_free(address, &nat_gateways)), |address| {
                object([("id", Address::allocation_id(address).into_value())])
            }),
        ),
        (
            "peerings",
            all(peerings.iter().filter(|peering| leads_to(peering, network)), |peering| {
                object([("id", VpcPeeringConnection::vpc_peering_connection_id(peering).into_value())])
            }),
        ),
        ("rules", all(rules.iter(), said_of_rule)),
    ])
}

fn object(parts: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    Value::object(parts)
}

/// Objects as a list in the order of their ids: AWS promises none.
fn all<'t, T: 't>(items: impl Iterator<Item = &'t T>, said: impl Fn(&'t T) -> Value) -> Value {
    let mut said: Vec<Value> = items.map(said).collect();
    said.sort_by(|a, b| a.get("id").cmp(&b.get("id")));
    Value::list(said)
}

fn name_in(tags: &[Tag]) -> Option<&str> {
    tags.iter().find(|tag| tag.key() == Some("Name")).and_then(Tag::value)
}

fn said_of_subnet(subnet: &Subnet) -> Value {
    object([
        ("id", subnet.subnet_id().into_value()),
        ("name", name_in(subnet.tags()).into_value()),
        ("cidr_block", subnet.cidr_block().into_value()),
        ("zone", subnet.availability_zone().into_value()),
    ])
}

fn said_of_nat(nat: &NatGateway) -> Value {
    object([
        ("id", nat.nat_gateway_id().into_value()),
        ("subnet_id", nat.subnet_id().into_value()),
        ("allocation_id", allocation(nat).into_value()),
    ])
}

fn allocation(nat: &NatGateway) -> Option<&str> {
    nat.nat_gateway_addresses().iter().find_map(|address| address.allocation_id())
}

fn said_of_table(table: &RouteTable) -> Value {
    let subnets = table.associations().iter().filter_map(|association| association.subnet_id());
    object([
        ("id", table.route_table_id().into_value()),
        ("name", name_in(table.tags()).into_value()),
        ("subnets", Value::list(subnets.map(Value::from).collect::<Vec<_>>())),
    ])
}

fn said_of_group(group: &SecurityGroup) -> Value {
    object([
        ("id", group.group_id().into_value()),
        ("name", group.group_name().into_value()),
        ("description", group.description().into_value()),
    ])
}

pub(crate) fn said_of_rule(rule: &SecurityGroupRule) -> Value {
    let port = |port: Option<i32>| port.filter(|_| is_rule_with_ports(rule)).into_value();
    let group = rule.referenced_group_info().and_then(|group| group.group_id());
    object([
        ("id", rule.security_group_rule_id().into_value()),
        ("kind", kind_of_rule(rule).into()),
        ("security_group_id", rule.group_id().into_value()),
        ("ip_protocol", rule.ip_protocol().into_value()),
        ("from_port", port(rule.from_port())),
        ("to_port", port(rule.to_port())),
        ("cidr_ipv4", rule.cidr_ipv4().into_value()),
        ("cidr_ipv6", rule.cidr_ipv6().into_value()),
        ("referenced_security_group_id", group.into_value()),
        ("prefix_list_id", rule.prefix_list_id().into_value()),
    ])
}

fn is_free(address: &Address, nat_gateways: &[NatGateway]) -> bool {
    !nat_gateways.iter().any(|nat| allocation(nat) == address.allocation_id())
}

fn leads_to(peering: &VpcPeeringConnection, network: &str) -> bool {
    let code = peering.status().and_then(|status| status.code());
    let is_there = !matches!(
        code,
        Some(
            VpcPeeringConnectionStateReasonCode::Deleted
                | VpcPeeringConnectionStateReasonCode::Deleting
                | VpcPeeringConnectionStateReasonCode::Expired
                | VpcPeeringConnectionStateReasonCode::Failed
                | VpcPeeringConnectionStateReasonCode::Rejected
        )
    );
    is_there && peering.accepter_vpc_info().and_then(|vpc| vpc.vpc_id()) == Some(network)
}

async fn nat_gateways(aws: &Aws, of: Filter) -> Result<Vec<NatGateway>, CallError> {
    let pages = || aws.ec2.describe_nat_gateways().filter(of.clone()).into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    let mut found = aws.read("ec2:DescribeNatGateways", pages).await?;
    found.retain(|nat| matches!(nat.state(), Some(NatGatewayState::Available | NatGatewayState::Pending)));
    Ok(found)
}

async fn endpoints(aws: &Aws, of: Filter) -> Result<Vec<VpcEndpoint>, CallError> {
    let pages = || aws.ec2.describe_vpc_endpoints().filters(of.clone()).into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    aws.read("ec2:DescribeVpcEndpoints", pages).await
}

/// Endpoints with the lists of their services' addresses, by which rules know them.
async fn with_lists(aws: &Aws, endpoints: &[&VpcEndpoint]) -> Result<Value, CallError> {
    let lists = prefix_lists(aws, endpoints.iter().copied()).await?;
    Ok(all(endpoints.iter().copied(), |endpoint| {
        object([
            ("id", endpoint.vpc_endpoint_id().into_value()),
            ("service_name", endpoint.service_name().into_value()),
            ("prefix_list_id", endpoint.service_name().and_then(|service| lists.get(service)).cloned().into_value()),
        ])
    }))
}

async fn groups(aws: &Aws, of: Filter) -> Result<Vec<SecurityGroup>, CallError> {
    let pages = || aws.ec2.describe_security_groups().filters(of.clone()).into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    aws.read("ec2:DescribeSecurityGroups", pages).await
}

/// The rules of some firewalls.
pub(crate) async fn rules(aws: &Aws, firewalls: impl Iterator<Item = &str>) -> Result<Vec<SecurityGroupRule>, CallError> {
    let firewalls: Vec<String> = firewalls.map(str::to_owned).collect();
    if firewalls.is_empty() {
        return Ok(Vec::new());
    }
    let of = Filter::builder().name("group-id").set_values(Some(firewalls)).build();
    let pages =
        || aws.ec2.describe_security_group_rules().filters(of.clone()).into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    aws.read("ec2:DescribeSecurityGroupRules", pages).await
}

async fn addresses(aws: &Aws, of: Filter) -> Result<Vec<Address>, CallError> {
    let answer = aws.read("ec2:DescribeAddresses", || aws.ec2.describe_addresses().filters(of.clone()).send()).await?;
    Ok(answer.addresses.unwrap_or_default())
}

async fn peerings(aws: &Aws, of: Filter) -> Result<Vec<VpcPeeringConnection>, CallError> {
    let pages =
        || aws.ec2.describe_vpc_peering_connections().filters(of.clone()).into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    aws.read("ec2:DescribeVpcPeeringConnections", pages).await
}

/// Rights with a name of their own that the roles of a workspace have.
async fn policies(aws: &Aws, workspace: &str) -> Result<Value, CallError> {
    let roles = ROLES.map(|who| names::role(workspace, who)).to_vec();
    let of_role = |role: String| async move {
        let send = || aws.iam.list_attached_role_policies().role_name(&role).send();
        let answer = there(aws.read("iam:ListAttachedRolePolicies", send).await)?;
        let attached = answer.and_then(|answer| answer.attached_policies).unwrap_or_default();
        let policy = |arn: &str| object([("role", role.as_str().into()), ("policy_arn", arn.into())]);
        Ok(attached.iter().filter_map(|attached| attached.policy_arn()).map(policy).collect::<Vec<_>>())
    };
    Ok(Value::list(each(roles, of_role).await?.into_iter().flatten().collect::<Vec<_>>()))
}
