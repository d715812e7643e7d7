//! What AWS refuses because something else needs it, and the server does not. The server is asked what there is; what is on its way out
//! still counts.

use std::io;

use crate::answer::Refusal;
use crate::call::Call;
use crate::xml::Element;

/// What there is, as a client would be shown it.
pub(crate) trait World {
    /// A describe call with filters, each with one value.
    fn describe(&self, action: &str, filters: &[(&str, &str)]) -> impl Future<Output = io::Result<Element>> + Send;

    /// The databases, those that are being deleted among them.
    fn databases(&self) -> impl Future<Output = io::Result<Vec<Element>>> + Send;
}

/// Why a call cannot be made now, if it cannot.
pub(crate) async fn refusal(world: &(impl World + Sync), call: &Call) -> io::Result<Option<Refusal>> {
    let given = |name: &str| call.get(name).unwrap_or_default();
    Ok(match call.name().as_str() {
        "ec2:DeleteVpc" => of_network(world, given("VpcId")).await?,
        "ec2:DeleteSubnet" => of_subnet(world, given("SubnetId")).await?,
        "ec2:DeleteSecurityGroup" => of_firewall(world, given("GroupId")).await?,
        "ec2:DetachInternetGateway" => of_detach(world, given("VpcId")).await?,
        "ec2:AttachInternetGateway" => of_attach(world, given("VpcId"), given("InternetGatewayId")).await?,
        "ec2:ReleaseAddress" => of_address(world, given("AllocationId")).await?,
        "ec2:DeletePlacementGroup" => of_group(world, given("GroupName")).await?,
        "rds:DeleteDBSubnetGroup" => of_database_subnets(world, given("DBSubnetGroupName")).await?,
        _ => None,
    })
}

fn violation(what: &str, id: &str) -> Refusal {
    Refusal::new("DependencyViolation", format!("The {what} '{id}' has dependencies and cannot be deleted."))
}

async fn of_network(world: &(impl World + Sync), id: &str) -> io::Result<Option<Refusal>> {
    let own = [("vpc-id", id)];
    let gateways = world.describe("DescribeInternetGateways", &[("attachment.vpc-id", id)]).await?;
    let subnets = world.describe("DescribeSubnets", &own).await?;
    let firewalls = world.describe("DescribeSecurityGroups", &own).await?;
    let endpoints = world.describe("DescribeVpcEndpoints", &own).await?;
    let has_firewall = firewalls.items("securityGroupInfo").iter().any(|group| group.get(&["groupName"]) != "default");
    let is_used = !gateways.items("internetGatewaySet").is_empty()
        || !subnets.items("subnetSet").is_empty()
        || has_firewall
        || endpoints.items("vpcEndpointSet").iter().any(endpoint_is_there);
    Ok(is_used.then(|| violation("vpc", id)))
}

async fn of_subnet(world: &(impl World + Sync), id: &str) -> io::Result<Option<Refusal>> {
    let machines = instances(world, &[("subnet-id", id)]).await?;
    let gateways = world.describe("DescribeNatGateways", &[("subnet-id", id)]).await?;
    let endpoints = world.describe("DescribeVpcEndpoints", &[]).await?;
    let endpoint_has_address = |endpoint: &Element| endpoint.items("subnetIdSet").iter().any(|subnet| subnet.text == id);
    // In which of the subnets of its group a database lies is its own choice.
    let has_database = names_one(&world.databases().await?, "SubnetIdentifier", id);
    let is_used = !machines.is_empty()
        || has_database
        || gateways.items("natGatewaySet").iter().any(|gateway| gateway.get(&["subnetId"]) == id && gateway_is_there(gateway))
        || endpoints.items("vpcEndpointSet").iter().any(|endpoint| endpoint_is_there(endpoint) && endpoint_has_address(endpoint));
    Ok(is_used.then(|| violation("subnet", id)))
}

async fn of_firewall(world: &(impl World + Sync), id: &str) -> io::Result<Option<Refusal>> {
    let machines = instances(world, &[("instance.group-id", id)]).await?;
    let has_it = |element: &Element| element.items("groupSet").iter().any(|group| group.get(&["groupId"]) == id);
    let firewalls = world.describe("DescribeSecurityGroups", &[]).await?;
    let names_it = |group: &Element| {
        let mut named = false;
        for rules in ["ipPermissions", "ipPermissionsEgress"] {
            named |= group.items(rules).iter().any(|rule| rule.items("groups").iter().any(|pair| pair.get(&["groupId"]) == id));
        }
        named && group.get(&["groupId"]) != id
    };
    let endpoints = world.describe("DescribeVpcEndpoints", &[]).await?;
    let is_used = machines.iter().any(has_it)
        || names_one(&world.databases().await?, "VpcSecurityGroupId", id)
        || firewalls.items("securityGroupInfo").iter().any(names_it)
        || endpoints.items("vpcEndpointSet").iter().any(|endpoint| endpoint_is_there(endpoint) && has_it(endpoint));
    Ok(is_used.then(|| Refusal::new("DependencyViolation", format!("resource {id} has a dependent object"))))
}

async fn of_detach(world: &(impl World + Sync), network: &str) -> io::Result<Option<Refusal>> {
    let machines = instances(world, &[("vpc-id", network)]).await?;
    let gateways = world.describe("DescribeNatGateways", &[("vpc-id", network)]).await?;
    let is_public = |element: &Element| element.texts("publicIp").iter().any(|address| !address.is_empty());
    let maps_gateway = |gateway: &Element| gateway.get(&["vpcId"]) == network && gateway_is_there(gateway) && is_public(gateway);
    let is_mapped =
        machines.iter().any(|machine| !machine.get(&["ipAddress"]).is_empty()) || gateways.items("natGatewaySet").iter().any(maps_gateway);
    let text = format!(
        "Network {network} has some mapped public address(es). Please unmap those public address(es) before detaching the gateway."
    );
    Ok(is_mapped.then(|| Refusal::new("DependencyViolation", text)))
}

async fn of_attach(world: &(impl World + Sync), network: &str, gateway: &str) -> io::Result<Option<Refusal>> {
    let there = world.describe("DescribeInternetGateways", &[("attachment.vpc-id", network)]).await?;
    let text = format!("Network {network} already has an internet gateway attached");
    let has_other = there.items("internetGatewaySet").iter().any(|other| other.get(&["internetGatewayId"]) != gateway);
    Ok(has_other.then(|| Refusal::new("InvalidParameterValue", text)))
}

async fn of_address(world: &(impl World + Sync), id: &str) -> io::Result<Option<Refusal>> {
    let gateways = world.describe("DescribeNatGateways", &[]).await?;
    let uses = |gateway: &&Element| gateway_is_there(gateway) && gateway.texts("allocationId").iter().any(|used| used == id);
    if gateways.items("natGatewaySet").iter().any(|gateway| uses(&gateway)) {
        // AWS says so of an address that a NAT gateway holds: its owner is the service.
        return Ok(Some(Refusal::new("AuthFailure", "You do not have permission to access the specified resource.")));
    }
    let addresses = world.describe("DescribeAddresses", &[("allocation-id", id)]).await?;
    let of_instance = addresses.items("addressesSet").iter().find(|address| !address.get(&["instanceId"]).is_empty());
    Ok(of_instance.map(|address| Refusal::new("InvalidIPAddress.InUse", format!("Address {} is in use.", address.get(&["publicIp"])))))
}

async fn of_group(world: &(impl World + Sync), name: &str) -> io::Result<Option<Refusal>> {
    let machines = instances(world, &[]).await?;
    let is_used = machines.iter().any(|machine| machine.get(&["placement", "groupName"]) == name);
    let text = format!("The placement group '{name}' is in use and may not be deleted.");
    Ok(is_used.then(|| Refusal::new("InvalidPlacementGroup.InUse", text)))
}

async fn of_database_subnets(world: &(impl World + Sync), name: &str) -> io::Result<Option<Refusal>> {
    let is_used = names_one(&world.databases().await?, "DBSubnetGroupName", name);
    let text = format!("Cannot delete the subnet group '{name}' because at least one database instance is still using it.");
    Ok(is_used.then(|| Refusal::new("InvalidDBSubnetGroupStateFault", text)))
}

/// Whether one of these databases names something.
fn names_one(databases: &[Element], element: &str, name: &str) -> bool {
    databases.iter().any(|database| database.texts(element).iter().any(|text| text == name))
}

/// The instances that are there: one that is shutting down still is.
async fn instances(world: &(impl World + Sync), filters: &[(&str, &str)]) -> io::Result<Vec<Element>> {
    let found = world.describe("DescribeInstances", filters).await?;
    let all = found.items("reservationSet").iter().flat_map(|reservation| reservation.items("instancesSet"));
    Ok(all.filter(|machine| machine.get(&["instanceState", "name"]) != "terminated").cloned().collect())
}

fn gateway_is_there(gateway: &Element) -> bool {
    !matches!(gateway.get(&["state"]), "deleted" | "failed")
}

fn endpoint_is_there(endpoint: &Element) -> bool {
    endpoint.get(&["state"]) != "deleted"
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// What there is, by action.
    struct Things(BTreeMap<&'static str, Element>);

    impl World for Things {
        async fn describe(&self, action: &str, _: &[(&str, &str)]) -> io::Result<Element> {
            Ok(self.0.get(action).cloned().unwrap_or_else(|| Element::text("Nothing", "")))
        }

        async fn databases(&self) -> io::Result<Vec<Element>> {
            Ok(self.0.get("DescribeDBInstances").map(|answer| answer.items("DBInstances").to_vec()).unwrap_or_default())
        }
    }

    fn things(action: &'static str, set: &str, parts: &[(&str, &str)]) -> Things {
        let item = Element::with("item", parts.iter().map(|(name, text)| Element::text(name, *text)).collect());
        Things([(action, Element::with("Answer", vec![Element::with(set, vec![item])]))].into())
    }

    fn code(things: &Things, action: &str, parameter: (&str, &str)) -> Option<String> {
        let service = if action.contains("DB") { "rds" } else { "ec2" };
        let call = Call { service: service.to_owned(), ..Call::default() }.asking(action, &[parameter]);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(refusal(things, &call)).unwrap().map(|refusal| refusal.code)
    }

    #[test]
    fn what_is_in_use_stays() {
        let network = ("VpcId", "vpc-1");
        let nothing = Things(BTreeMap::new());
        assert_eq!(code(&nothing, "DeleteVpc", network), None);
        let subnet = things("DescribeSubnets", "subnetSet", &[("subnetId", "subnet-1")]);
        assert_eq!(code(&subnet, "DeleteVpc", network).as_deref(), Some("DependencyViolation"));
        for (name, refused) in [("default", false), ("mine", true)] {
            let firewall = things("DescribeSecurityGroups", "securityGroupInfo", &[("groupName", name)]);
            assert_eq!(code(&firewall, "DeleteVpc", network).is_some(), refused, "{name}");
        }
        for (state, refused) in [("pending", true), ("deleting", true), ("deleted", false)] {
            let parts =
                [("natGatewayId", "nat-1"), ("subnetId", "subnet-1"), ("vpcId", "vpc-1"), ("state", state), ("publicIp", "1.2.3.4")];
            let gateway = things("DescribeNatGateways", "natGatewaySet", &parts);
            assert_eq!(code(&gateway, "DeleteSubnet", ("SubnetId", "subnet-1")).is_some(), refused, "{state}");
            assert_eq!(code(&gateway, "DetachInternetGateway", network).is_some(), refused, "{state}");
        }
        let gateway = things("DescribeNatGateways", "natGatewaySet", &[("state", "available"), ("allocationId", "eipalloc-1")]);
        assert_eq!(code(&gateway, "ReleaseAddress", ("AllocationId", "eipalloc-1")).as_deref(), Some("AuthFailure"));
        assert_eq!(code(&gateway, "ReleaseAddress", ("AllocationId", "eipalloc-2")), None);
        let parts = [("SubnetIdentifier", "subnet-1"), ("VpcSecurityGroupId", "sg-1"), ("DBSubnetGroupName", "g")];
        let database = things("DescribeDBInstances", "DBInstances", &parts);
        for (action, parameter, mine, other) in [
            ("DeleteSubnet", "SubnetId", "subnet-1", "subnet-2"),
            ("DeleteSecurityGroup", "GroupId", "sg-1", "sg-2"),
            ("DeleteDBSubnetGroup", "DBSubnetGroupName", "g", "h"),
        ] {
            assert!(code(&database, action, (parameter, mine)).is_some(), "{action}");
            assert_eq!(code(&database, action, (parameter, other)), None, "{action}");
        }
        let other = things("DescribeInternetGateways", "internetGatewaySet", &[("internetGatewayId", "igw-2")]);
        assert_eq!(code(&other, "AttachInternetGateway", network).as_deref(), Some("InvalidParameterValue"));
    }
}
