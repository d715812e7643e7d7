//! What somebody changes by hand, behind the back of the program; what a plan has to find, and what mending it may do.

use std::collections::BTreeSet;

use super::World;
use super::specs::Mode;

/// A change by hand.
pub struct Drift {
    /// What it is.
    pub name: &'static str,
    pub make: fn(&World),
    /// The addresses that a plan names.
    pub found: &'static [&'static str],
    /// The calls that mend it.
    pub mended: &'static [&'static str],
}

/// Those that there can be in every mode.
const EVERYWHERE: &[Drift] = &[
    Drift {
        name: "a route is deleted",
        make: |world| {
            let table = world.id("workspace.w.route_table.private[0]");
            world.client.ec2("DeleteRoute", &[("RouteTableId", &table), ("DestinationCidrBlock", "0.0.0.0/0")]).unwrap();
        },
        found: &["workspace.w.route.private[0]"],
        mended: &["ec2:CreateRoute"],
    },
    Drift {
        name: "a route leads elsewhere",
        make: |world| {
            let (table, gateway) = (world.id("workspace.w.route_table.private[0]"), a_gateway(world));
            let to = [("RouteTableId", table.as_str()), ("DestinationCidrBlock", "0.0.0.0/0"), ("GatewayId", &gateway)];
            world.client.ec2("ReplaceRoute", &to).unwrap();
        },
        found: &["workspace.w.route.private[0]"],
        mended: &["ec2:ReplaceRoute"],
    },
    Drift {
        name: "a rule is revoked",
        make: |world| {
            let (group, rule) = (world.id("workspace.w.firewall.head"), world.id(SSH));
            let revoked = [("GroupId", group.as_str()), ("SecurityGroupRuleId.1", &rule)];
            world.client.ec2("RevokeSecurityGroupIngress", &revoked).unwrap();
        },
        found: &[SSH],
        mended: &["ec2:AuthorizeSecurityGroupIngress"],
    },
    Drift {
        name: "a tag has another value",
        make: |world| tag(world, "workspace.w.subnet.private[0]", "Name", "mine"),
        found: &["workspace.w.subnet.private[0]"],
        mended: &["ec2:CreateTags"],
    },
    Drift {
        name: "there is one tag more",
        make: |world| tag(world, "workspace.w.firewall", "owner", "somebody"),
        found: &["workspace.w.firewall"],
        mended: &["ec2:DeleteTags"],
    },
    Drift {
        name: "a subnet uses another table",
        make: |world| {
            let (subnet, table) = (world.id("workspace.w.subnet.private[1]"), world.id("workspace.w.route_table.public"));
            let tables =
                world.client.ec2("DescribeRouteTables", &[("Filter.1.Name", "association.subnet-id"), ("Filter.1.Value.1", &subnet)]);
            let associations = tables.unwrap();
            let mine = associations.items("routeTableSet").iter().flat_map(|table| table.items("associationSet"));
            let mine: Vec<String> =
                mine.filter(|one| one.get(&["subnetId"]) == subnet).map(|one| one.get(&["routeTableAssociationId"]).to_owned()).collect();
            let change = [("AssociationId", mine[0].as_str()), ("RouteTableId", &table)];
            world.client.ec2("ReplaceRouteTableAssociation", &change).unwrap();
        },
        found: &["workspace.w.route_table_association.private[1]"],
        mended: &["ec2:ReplaceRouteTableAssociation"],
    },
    Drift {
        name: "a NAT gateway is deleted",
        make: |world| {
            world.client.ec2("DeleteNatGateway", &[("NatGatewayId", &world.id("workspace.w.nat_gateway[0]"))]).unwrap();
            wait_until_gone(world, "workspace.w.nat_gateway[0]");
        },
        found: &["workspace.w.nat_gateway[0]", "workspace.w.route.private[0]"],
        mended: &["ec2:CreateNatGateway", "ec2:ReplaceRoute"],
    },
    Drift {
        name: "an instance is terminated",
        make: |world| {
            world.client.ec2("TerminateInstances", &[("InstanceId.1", &world.id("aws_instance.extra"))]).unwrap();
        },
        found: &["aws_instance.extra"],
        mended: &["ec2:RunInstances"],
    },
    Drift {
        name: "the rights of the workers are gone",
        make: |world| {
            let role = world.id("workspace.w.iam_role.workers");
            let policies = world.client.query("iam", "ListRolePolicies", &[("RoleName", &role)]).unwrap();
            let policy = policies.items("PolicyNames")[0].text.clone();
            world.client.query("iam", "DeleteRolePolicy", &[("RoleName", &role), ("PolicyName", &policy)]).unwrap();
        },
        found: &["workspace.w.iam_role_policy.workers"],
        mended: &["iam:PutRolePolicy"],
    },
    Drift {
        name: "versions of objects are not kept any more",
        make: |world| {
            let path = format!("/{}?versioning", world.id("workspace.w.storage.default"));
            let body = "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>";
            assert_eq!(world.client.store("PUT", &path, body).unwrap().status, 200);
        },
        found: &["workspace.w.storage.default"],
        mended: &["s3:PutBucketVersioning"],
    },
];

/// Those of a network that is peered.
const PEERED: &[Drift] = &[KNOWS_THE_WAY, RESOLVES_NAMES];

const RESOLVES_NAMES: Drift = Drift {
    name: "names lead to private addresses no more",
    make: |world| {
        let peering = world.id("workspace.w.vpc_peering_connection");
        let off = [("VpcPeeringConnectionId", &*peering), ("RequesterPeeringConnectionOptions.AllowDnsResolutionFromRemoteVpc", "false")];
        world.client.ec2("ModifyVpcPeeringConnectionOptions", &off).unwrap();
    },
    found: &["workspace.w.vpc_peering_connection_options"],
    mended: &["ec2:ModifyVpcPeeringConnectionOptions"],
};

const KNOWS_THE_WAY: Drift = Drift {
    name: "the client's network knows the way no more",
    make: |world| {
        let peering = world.id("workspace.w.vpc_peering_connection");
        let filter = [("Filter.1.Name", "route.vpc-peering-connection-id"), ("Filter.1.Value.1", peering.as_str())];
        let client = world.client.ec2("DescribeVpcPeeringConnections", &[("VpcPeeringConnectionId.1", &peering)]).unwrap();
        let network = client.find("requesterVpcInfo").unwrap().get(&["vpcId"]).to_owned();
        let range = client.find("accepterVpcInfo").unwrap().get(&["cidrBlock"]).to_owned();
        let tables = world.client.ec2("DescribeRouteTables", &filter).unwrap();
        let table = tables.items("routeTableSet").iter().find(|table| table.get(&["vpcId"]) == network).unwrap();
        let route = [("RouteTableId", table.get(&["routeTableId"])), ("DestinationCidrBlock", range.as_str())];
        world.client.ec2("DeleteRoute", &route).unwrap();
    },
    found: &["workspace.w.peering_routes"],
    mended: &["ec2:CreateRoute"],
};

/// The rule of `ssh_from` in the specs.
const SSH: &str = "workspace.w.ingress_rule.head[\"ssh:203.0.113.0/24\"]";

/// The drifts that there can be in a mode.
pub fn of(mode: Mode) -> Vec<&'static Drift> {
    let own: &[Drift] = if mode == Mode::Peered { PEERED } else { &[] };
    EVERYWHERE.iter().chain(own).collect()
}

impl Drift {
    /// Whether these addresses are those that it shall be found at.
    pub fn is_found_at(&self, planned: &BTreeSet<String>) -> bool {
        planned.iter().map(String::as_str).collect::<BTreeSet<_>>() == self.found.iter().copied().collect()
    }
}

/// The internet gateway that the workspace's network has.
fn a_gateway(world: &World) -> String {
    let tables = world.client.ec2("DescribeRouteTables", &[("RouteTableId.1", &world.id("workspace.w.route_table.public"))]).unwrap();
    tables.texts("gatewayId").into_iter().find(|gateway| gateway.starts_with("igw-")).unwrap()
}

fn tag(world: &World, address: &str, name: &str, value: &str) {
    let tag = [("ResourceId.1", world.id(address)), ("Tag.1.Key", name.to_owned()), ("Tag.1.Value", value.to_owned())];
    let tag: Vec<(&str, &str)> = tag.iter().map(|(name, value)| (*name, value.as_str())).collect();
    world.client.ec2("CreateTags", &tag).unwrap();
}

fn wait_until_gone(world: &World, address: &str) {
    let asked = [("NatGatewayId.1".to_owned(), world.id(address))];
    let asked: Vec<(&str, &str)> = asked.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    crate::support::wait_until("the NAT gateway is deleted", std::time::Duration::from_secs(20), || {
        let state = world.client.ec2("DescribeNatGateways", &asked).unwrap().texts("state").pop();
        state.is_none_or(|state| state == "deleted")
    });
}
