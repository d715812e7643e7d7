//! The network of a workspace: subnets, ways out, tables of routes, private endpoints, the way to the client's network.

use cloudtik_model::{Address, ProviderRef, Type, Value};
use cloudtik_provider_api::{ResourceBuilder, reference};

use super::indexed;
use super::layout::Layout;
use super::maker::{Maker, id_of};
use crate::kinds;
use crate::names::{self, Named, WORKSPACE_VERSION, WORKSPACE_VERSION_TAG};
use crate::network_spec::Mode;
use crate::text::{joined, part_of};

/// Every address.
const EVERYWHERE: &str = "0.0.0.0/0";

/// Services whose endpoints are entries of tables of routes, and cost nothing.
pub(super) const GATEWAYS: &[&str] = &["dynamodb", "s3"];

/// Puts the network in.
pub(super) fn network(maker: &mut Maker<'_>, layout: &Layout) {
    if layout.spec.mode != Mode::Shared {
        own_network(maker, layout);
    }
    if layout.makes_subnets() {
        subnets(maker, layout);
        nat(maker, layout);
        route_tables(maker, layout);
        endpoints(maker, layout);
    }
    if layout.spec.mode == Mode::Peered {
        peering(maker, layout);
    }
}

fn own_network(maker: &mut Maker<'_>, layout: &Layout) {
    let network = &maker.workspace.network;
    let own = [("Name", &*names::of(&maker.name, Named::Network)), (WORKSPACE_VERSION_TAG, WORKSPACE_VERSION)];
    let vpc = maker
        .tagged(&maker.at("network"), kinds::VPC, network, &own)
        .set("cidr_block", layout.cidr.clone())
        .origin("cidr_block", &network.fields)
        .set("enable_dns_support", true)
        .set("enable_dns_hostnames", true);
    maker.push(vpc);
    let gateway = maker
        .named(&maker.at("internet_gateway"), kinds::INTERNET_GATEWAY, &names::of(&maker.name, Named::InternetGateway))
        .set("vpc_id", layout.network.clone());
    maker.push(gateway);
}

/// The door to the internet: our own, or that of the shared network.
fn internet_gateway(maker: &Maker<'_>, layout: &Layout) -> Value {
    match layout.spec.mode {
        Mode::Shared => part_of(&layout.other, "internet_gateway_id", Type::String),
        Mode::PublicHead | Mode::Peered => id_of(&maker.at("internet_gateway")),
    }
}

fn subnets(maker: &mut Maker<'_>, layout: &Layout) {
    for (slot, (zone, (public, private))) in layout.zones.iter().zip(&layout.ranges).enumerate() {
        for (name, named, range, is_public) in
            [("public", Named::PublicSubnet, public, true), ("private", Named::PrivateSubnet, private, false)]
        {
            let subnet = maker
                .named(&indexed(&maker.at("subnet"), name, slot), kinds::SUBNET, &names::of(&maker.name, named))
                .set("vpc_id", layout.network.clone())
                .set("cidr_block", range.clone())
                .set("availability_zone", zone.clone())
                .set("map_public_ip_on_launch", is_public);
            maker.push(subnet);
        }
    }
}

fn nat(maker: &mut Maker<'_>, layout: &Layout) {
    for slot in 0..layout.spec.nat.count(layout.zones.len()) {
        let address = maker.workspace.address.clone();
        let eip = indexed(&address, "eip", slot);
        maker.push(maker.named(&eip, kinds::EIP, &names::of(&maker.name, Named::NatAddress)).set("domain", "vpc"));
        let gateway = maker
            .named(&indexed(&address, "nat_gateway", slot), kinds::NAT_GATEWAY, &names::of(&maker.name, Named::NatGateway))
            .set("subnet_id", id_of(&indexed(&maker.at("subnet"), "public", slot)))
            .set("allocation_id", reference(&eip, "allocation_id", Type::String))
            // AWS makes none in a network without a door to the internet.
            .depends_on([&maker.at("internet_gateway")]);
        maker.push(gateway);
    }
}

fn public_table(maker: &Maker<'_>) -> Address {
    maker.at("route_table").child("public")
}

fn private_table(maker: &Maker<'_>, slot: usize) -> Address {
    indexed(&maker.at("route_table"), "private", slot)
}

fn route_tables(maker: &mut Maker<'_>, layout: &Layout) {
    let zones = layout.zones.len();
    let table = |maker: &Maker<'_>, address: &Address, named| {
        maker.named(address, kinds::ROUTE_TABLE, &names::of(&maker.name, named)).set("vpc_id", layout.network.clone())
    };
    maker.push(table(maker, &public_table(maker), Named::PublicRouteTable));
    let out = route(maker, maker.at("route").child("public"), &public_table(maker), EVERYWHERE.into())
        .set("gateway_id", internet_gateway(maker, layout));
    maker.push(out);
    for slot in 0..layout.spec.nat.tables(zones) {
        let address = private_table(maker, slot);
        maker.push(table(maker, &address, Named::PrivateRouteTable));
        if layout.spec.nat.count(zones) > slot {
            let out = route(maker, indexed(&maker.at("route"), "private", slot), &address, EVERYWHERE.into())
                .set("nat_gateway_id", id_of(&indexed(&maker.workspace.address, "nat_gateway", slot)));
            maker.push(out);
        }
    }
    for slot in 0..zones {
        let private = private_table(maker, layout.spec.nat.slot(slot));
        for (name, table) in [("public", public_table(maker)), ("private", private)] {
            let association = maker
                .plain(&indexed(&maker.at("route_table_association"), name, slot), kinds::ROUTE_TABLE_ASSOCIATION, &maker.workspace.network)
                .set("subnet_id", id_of(&indexed(&maker.at("subnet"), name, slot)))
                .set("route_table_id", id_of(&table));
            maker.push(association);
        }
    }
}

fn route(maker: &Maker<'_>, address: Address, table: &Address, destination: Value) -> ResourceBuilder {
    maker
        .plain(&address, kinds::ROUTE, &maker.workspace.network)
        .set("route_table_id", id_of(table))
        .set("destination_cidr_block", destination)
}

/// The address of the endpoint of a service: a name has no dots there.
pub(super) fn endpoint_address(workspace: &Address, service: &str) -> Address {
    workspace.child("vpc_endpoint").child(service.replace('.', "-"))
}

fn endpoints(maker: &mut Maker<'_>, layout: &Layout) {
    let tables: Vec<Value> = std::iter::once(public_table(maker))
        .chain((0..layout.spec.nat.tables(layout.zones.len())).map(|slot| private_table(maker, slot)))
        .map(|table| id_of(&table))
        .collect();
    for service in &layout.spec.endpoints {
        let name = joined([Value::from("com.amazonaws."), layout.account.region.clone(), format!(".{service}").into()]);
        let endpoint = maker
            .named(&endpoint_address(&maker.workspace.address, service), kinds::VPC_ENDPOINT, &names::endpoint(&maker.name, service))
            .set("vpc_id", layout.network.clone())
            .set("service_name", name)
            .origin("service_name", &maker.workspace.network.fields);
        let endpoint = if GATEWAYS.contains(&service.as_str()) {
            endpoint.set("vpc_endpoint_type", "Gateway").set("route_table_ids", Value::set(tables.iter().cloned()))
        } else {
            endpoint
                .set("vpc_endpoint_type", "Interface")
                .set("subnet_ids", Value::set(layout.private.iter().cloned()))
                .set("security_group_ids", Value::set([id_of(&maker.at("firewall"))]))
                .set("private_dns_enabled", true)
        };
        maker.push(endpoint);
    }
}

/// The client's network asks, as the predecessor had it, and ours accepts. What is the client's is made through its configuration.
fn peering(maker: &mut Maker<'_>, layout: &Layout) {
    let network = &maker.workspace.network;
    let (asked, accepted) = (maker.at("vpc_peering_connection"), maker.at("vpc_peering_connection_accepter"));
    let client = layout.client_range().unwrap_or(Value::NULL);
    let name = names::of(&maker.name, Named::Peering);
    let through = maker.workspace.client.as_ref().map_or(&maker.workspace.provider, |client| &client.provider);
    let connection = maker
        .named(&asked, kinds::PEERING, &name)
        .through(through)
        .set("vpc_id", part_of(&layout.other, "vpc_id", Type::String))
        .origin("vpc_id", &network.fields)
        .set("peer_vpc_id", layout.network.clone());
    // Without them AWS looks for our network where the client's is.
    let connection = match maker.workspace.client {
        Some(_) => connection.set("peer_owner_id", layout.account.account.clone()).set("peer_region", layout.account.region.clone()),
        None => connection,
    };
    maker.push(connection);
    // Both ends have one set of tags, where both are in one region of one account: they ask for the same.
    let accepter = maker.named(&accepted, kinds::PEERING_ACCEPTER, &name).set("vpc_peering_connection_id", id_of(&asked));
    maker.push(accepter);
    peering_options(maker, layout, through, &accepted);
    let tables = part_of(&layout.other, "route_table_ids", Type::set(Type::String));
    let ids: Option<Vec<Value>> = tables.elements().map(|ids| ids.cloned().collect());
    let tables = ids.map_or(tables, Value::set);
    let there = maker
        .plain(&maker.at("peering_routes"), kinds::PEERING_ROUTES, network)
        .through(through)
        .set("route_table_ids", tables)
        .set("destination_cidr_block", layout.cidr.clone())
        .set("vpc_peering_connection_id", id_of(&accepted));
    maker.push(there);
    let routes = maker.at("route");
    let private =
        (0..layout.spec.nat.tables(layout.zones.len())).map(|slot| (indexed(&routes, "peering_private", slot), private_table(maker, slot)));
    let all: Vec<_> = std::iter::once((routes.child("peering_public"), public_table(maker))).chain(private).collect();
    for (address, table) in all {
        let back = route(maker, address, &table, client.clone()).set("vpc_peering_connection_id", id_of(&accepted));
        maker.push(back);
    }
}

/// Names of each side lead to private addresses from the other one, where the client's network has names. Each side is its owner's to set: that
/// of the client is set through its configuration.
fn peering_options(maker: &mut Maker<'_>, layout: &Layout, client: &ProviderRef, accepted: &Address) {
    let side = Value::list([Value::object([("allow_remote_vpc_dns_resolution", layout.names.clone())])]);
    let options = |maker: &Maker<'_>, address: &Address, sides: &[&str]| {
        let options =
            maker.plain(address, kinds::PEERING_OPTIONS, &maker.workspace.network).set("vpc_peering_connection_id", id_of(accepted));
        sides.iter().fold(options, |options, name| options.set(name, side.clone()))
    };
    let address = maker.at("vpc_peering_connection_options");
    if maker.workspace.client.is_none() {
        maker.push(options(maker, &address, &["accepter", "requester"]));
        return;
    }
    maker.push(options(maker, &address.child("accepter"), &["accepter"]));
    maker.push(options(maker, &address.child("requester"), &["requester"]).through(client));
}
