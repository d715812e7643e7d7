//! `aws_route`: one entry of a route table. Its id is `TABLE_DESTINATION`.

use std::collections::BTreeSet;
use std::fmt;

use aws_sdk_ec2::types::{Route as Answered, RouteState, RouteTable};
use cloudtik_aws::kinds;
use cloudtik_provider_api::{CallError, CreateRequest, ErrorClass, Found, ObjectAnswer, UpdateRequest};

use super::ec2::is_conflict;
use super::route_table::{seen, tables};
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::error::refused;
use crate::kind::{Kind, Query, gone};

pub(crate) struct Route;

impl Kind for Route {
    const NAME: &'static str = kinds::ROUTE;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let (id, target) = (RouteId::of(given)?, Target::of(given)?);
        match create_route(aws, &id, &target).await {
            // AWS says no more than that it is made. What leads to something that is there is active.
            Ok(()) => Ok(said(&id, &target, Some(&RouteState::Active))),
            Err(error) if is_conflict(&error) => already(aws, &id, &target, error).await,
            Err(error) => Err(error),
        }
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let Query::Ids(ids) = query else { return Ok(Vec::new()) };
        Ok(found_in(&tables(aws, Query::Ids(&tables_of(ids)).filters("route-table-id", "tag:Name")).await?, ids))
    }

    async fn refresh(aws: &Aws, ids: &BTreeSet<String>) -> Result<Vec<Found>, CallError> {
        Ok(found_in(&seen(aws, &tables_of(ids)).await?, ids))
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        let given = Given(&request.attributes);
        let (id, target) = (RouteId::parsed(&request.id)?, Target::of(given)?);
        // AWS calls a replacement of what is not there a bad parameter.
        match present(aws, &id).await? {
            None => return Err(gone(&request.id)),
            Some(route) if Target::found(&route) == target => return Ok(()),
            Some(_) => {}
        }
        let send = aws
            .ec2
            .replace_route()
            .route_table_id(id.table)
            .destination_cidr_block(id.destination)
            .set_gateway_id(target.gateway)
            .set_nat_gateway_id(target.nat_gateway)
            .set_vpc_peering_connection_id(target.peering)
            .send();
        aws.write("ec2:ReplaceRoute", send).await.map(drop)
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        delete_route(aws, &RouteId::parsed(id)?).await
    }
}

fn found_in(tables: &[RouteTable], ids: &BTreeSet<String>) -> Vec<Found> {
    let found = ids.iter().filter_map(|id| {
        let id = RouteId::parse(id)?;
        let route = route_in(tables, &id)?;
        Some(Found { object: said(&id, &Target::found(route), route.state()), tags: [].into() })
    });
    found.collect()
}

/// The tables that have the routes with these ids.
pub(crate) fn tables_of(ids: &BTreeSet<String>) -> BTreeSet<String> {
    ids.iter().filter_map(|id| RouteId::parse(id)).map(|id| id.table).collect()
}

/// Which route: a table has one for each destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RouteId {
    pub(crate) table: String,
    pub(crate) destination: String,
}

impl RouteId {
    fn of(given: Given<'_>) -> Result<Self, CallError> {
        Ok(Self { table: given.text("route_table_id")?.to_owned(), destination: given.text("destination_cidr_block")?.to_owned() })
    }

    fn parse(id: &str) -> Option<Self> {
        let (table, destination) = id.split_once('_').filter(|(table, destination)| !table.is_empty() && !destination.is_empty())?;
        Some(Self { table: table.to_owned(), destination: destination.to_owned() })
    }

    fn parsed(id: &str) -> Result<Self, CallError> {
        Self::parse(id).ok_or_else(|| refused("id", format!("`{id}` is not the id of a route, which is `TABLE_DESTINATION`")))
    }
}

impl fmt::Display for RouteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.table, self.destination)
    }
}

/// What a route leads to, as far as this kind knows targets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    gateway: Option<String>,
    nat_gateway: Option<String>,
    peering: Option<String>,
}

impl Target {
    /// A connection to another network.
    pub(crate) fn peering(id: &str) -> Self {
        Self { peering: Some(id.to_owned()), ..Self::default() }
    }

    fn of(given: Given<'_>) -> Result<Self, CallError> {
        let target = Self {
            gateway: given.owned("gateway_id"),
            nat_gateway: given.owned("nat_gateway_id"),
            peering: given.owned("vpc_peering_connection_id"),
        };
        if [&target.gateway, &target.nat_gateway, &target.peering].into_iter().flatten().count() == 1 {
            return Ok(target);
        }
        Err(refused("target", "a route has one of `gateway_id`, `nat_gateway_id` and `vpc_peering_connection_id`"))
    }

    pub(crate) fn found(route: &Answered) -> Self {
        Self {
            gateway: route.gateway_id().map(str::to_owned),
            nat_gateway: route.nat_gateway_id().map(str::to_owned),
            peering: route.vpc_peering_connection_id().map(str::to_owned),
        }
    }
}

/// The route of an id, if its table has it.
pub(crate) fn route_in<'a>(tables: &'a [RouteTable], id: &RouteId) -> Option<&'a Answered> {
    let table = tables.iter().find(|table| table.route_table_id() == Some(&*id.table))?;
    table.routes().iter().find(|route| route.destination_cidr_block() == Some(&*id.destination))
}

pub(crate) async fn create_route(aws: &Aws, id: &RouteId, target: &Target) -> Result<(), CallError> {
    let send = aws
        .ec2
        .create_route()
        .route_table_id(&id.table)
        .destination_cidr_block(&id.destination)
        .set_gateway_id(target.gateway.clone())
        .set_nat_gateway_id(target.nat_gateway.clone())
        .set_vpc_peering_connection_id(target.peering.clone())
        .send();
    aws.write("ec2:CreateRoute", send).await.map(drop)
}

pub(crate) async fn delete_route(aws: &Aws, id: &RouteId) -> Result<(), CallError> {
    let send = aws.ec2.delete_route().route_table_id(&id.table).destination_cidr_block(&id.destination).send();
    aws.write("ec2:DeleteRoute", send).await.map(drop)
}

/// What a create answers where a route is already: it, if it leads to the same.
async fn already(aws: &Aws, id: &RouteId, target: &Target, error: CallError) -> Result<ObjectAnswer, CallError> {
    match present(aws, id).await? {
        Some(route) if Target::found(&route) == *target => Ok(said(id, target, route.state())),
        Some(route) => Err(elsewhere(id, &route)),
        None => Err(error),
    }
}

async fn present(aws: &Aws, id: &RouteId) -> Result<Option<Answered>, CallError> {
    let of = BTreeSet::from([id.table.clone()]);
    let tables = tables(aws, Query::Ids(&of).filters("route-table-id", "tag:Name")).await?;
    Ok(route_in(&tables, id).cloned())
}

/// The error of a create where a route leads to something else.
pub(crate) fn elsewhere(id: &RouteId, route: &Answered) -> CallError {
    let text = format!("ec2:CreateRoute: the route of {} to {} is there and leads to {}", id.table, id.destination, target_of(route));
    CallError::new(ErrorClass::Conflict, "RouteAlreadyExists", text).help("delete that route, or choose another table or destination")
}

/// What a route leads to, whatever it is.
fn target_of(route: &Answered) -> &str {
    let targets = [
        route.gateway_id(),
        route.nat_gateway_id(),
        route.vpc_peering_connection_id(),
        route.transit_gateway_id(),
        route.instance_id(),
        route.network_interface_id(),
        route.egress_only_internet_gateway_id(),
        route.local_gateway_id(),
        route.carrier_gateway_id(),
        route.core_network_arn(),
    ];
    targets.into_iter().flatten().next().unwrap_or("something else")
}

fn said(id: &RouteId, target: &Target, state: Option<&RouteState>) -> ObjectAnswer {
    Said::of(kinds::ROUTE)
        .set("route_table_id", &*id.table)
        .set("destination_cidr_block", &*id.destination)
        .set("gateway_id", target.gateway.clone())
        .set("nat_gateway_id", target.nat_gateway.clone())
        .set("vpc_peering_connection_id", target.peering.clone())
        .set("state", state.map(RouteState::as_str))
        .answer(id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudtik_model::Value;

    #[test]
    fn ids_come_back() {
        let id = RouteId::parse("rtb-0a1_10.0.0.0/16").unwrap();
        assert_eq!((&*id.table, &*id.destination), ("rtb-0a1", "10.0.0.0/16"));
        assert_eq!(id.to_string(), "rtb-0a1_10.0.0.0/16");
        for bad in ["rtb-0a1", "_10.0.0.0/16", "rtb-0a1_", ""] {
            assert_eq!(RouteId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_route_has_one_target() {
        let of = |names: &[&str]| Target::of(Given(&Value::object(names.iter().map(|name| (*name, Value::from("x"))))));
        assert_eq!(of(&["vpc_peering_connection_id"]).unwrap(), Target::peering("x"));
        assert!(of(&[]).is_err());
        assert!(of(&["gateway_id", "nat_gateway_id"]).is_err());
    }

    #[test]
    fn routes_are_compared_by_all_targets() {
        let route = |gateway: &str| Answered::builder().destination_cidr_block("0.0.0.0/0").gateway_id(gateway).build();
        assert_eq!(Target::found(&route("igw-1")), Target { gateway: Some("igw-1".to_owned()), ..Target::default() });
        assert_ne!(Target::found(&route("igw-1")), Target::found(&route("igw-2")));
        let instance = Answered::builder().instance_id("i-1").network_interface_id("eni-1").build();
        assert_eq!(target_of(&instance), "i-1");
        let tables = [RouteTable::builder().route_table_id("rtb-1").routes(route("igw-1")).build()];
        let id = |table: &str, destination: &str| RouteId { table: table.to_owned(), destination: destination.to_owned() };
        assert!(route_in(&tables, &id("rtb-1", "0.0.0.0/0")).is_some());
        assert!(route_in(&tables, &id("rtb-1", "10.0.0.0/16")).is_none());
        assert!(route_in(&tables, &id("rtb-2", "0.0.0.0/0")).is_none());
        let error = elsewhere(&id("rtb-1", "0.0.0.0/0"), &route("igw-1"));
        assert_eq!(error.class, ErrorClass::Conflict);
        assert!(error.message.contains("igw-1"));
    }
}
