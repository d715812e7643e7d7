//! `aws_vpc_peering_routes`: the same route in many tables that belong to somebody else. Its id is `CONNECTION_DESTINATION`.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::RouteTable;
use cloudtik_aws::kinds;
use cloudtik_provider_api::{CallError, CreateRequest, ErrorClass, Found, ObjectAnswer, UpdateRequest};

use super::route::{RouteId, Target, create_route, delete_route, elsewhere, route_in};
use super::route_table::tables;
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::error::refused;
use crate::kind::{Kind, Query, gone};

pub(crate) struct PeeringRoutes;

impl Kind for PeeringRoutes {
    const NAME: &'static str = kinds::PEERING_ROUTES;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let routes = Routes::of(given)?;
        let wanted = wanted(given);
        add(aws, &routes, &wanted).await?;
        Ok(said(&routes, wanted))
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let Query::Ids(ids) = query else { return Ok(Vec::new()) };
        let asked: Vec<Routes> = ids.iter().filter_map(|id| Routes::parse(id)).collect();
        let connections: BTreeSet<String> = asked.iter().map(|routes| routes.connection.clone()).collect();
        let tables = tables(aws, Query::Ids(&connections).filters("route.vpc-peering-connection-id", "tag:Name")).await?;
        let found = asked.iter().filter_map(|routes| {
            let there = routes.tables_with(&tables);
            (!there.is_empty()).then(|| Found { object: said(routes, there), tags: BTreeMap::new() })
        });
        Ok(found.collect())
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        let routes = Routes::parsed(&request.id)?;
        let wanted = wanted(Given(&request.attributes));
        let there = present(aws, &routes).await?;
        add(aws, &routes, &wanted.difference(&there).cloned().collect()).await?;
        remove(aws, &routes, there.difference(&wanted)).await
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        let routes = Routes::parsed(id)?;
        let there = present(aws, &routes).await?;
        if there.is_empty() {
            return Err(gone(id));
        }
        remove(aws, &routes, &there).await
    }
}

/// Which routes: those to one destination through one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Routes {
    connection: String,
    destination: String,
}

impl Routes {
    fn of(given: Given<'_>) -> Result<Self, CallError> {
        let (connection, destination) = (given.text("vpc_peering_connection_id")?, given.text("destination_cidr_block")?);
        Ok(Self { connection: connection.to_owned(), destination: destination.to_owned() })
    }

    fn parse(id: &str) -> Option<Self> {
        let (connection, destination) = id.split_once('_').filter(|(connection, rest)| !connection.is_empty() && !rest.is_empty())?;
        Some(Self { connection: connection.to_owned(), destination: destination.to_owned() })
    }

    fn parsed(id: &str) -> Result<Self, CallError> {
        Self::parse(id).ok_or_else(|| refused("id", format!("`{id}` is not the id of such routes, which is `CONNECTION_DESTINATION`")))
    }

    fn target(&self) -> Target {
        Target::peering(&self.connection)
    }

    fn in_table(&self, table: &str) -> RouteId {
        RouteId { table: table.to_owned(), destination: self.destination.clone() }
    }

    /// The tables that have the route, and have it through this connection.
    fn tables_with(&self, tables: &[RouteTable]) -> BTreeSet<String> {
        let ids = tables.iter().filter_map(RouteTable::route_table_id);
        let has = |id: &&str| route_in(tables, &self.in_table(id)).is_some_and(|route| Target::found(route) == self.target());
        ids.filter(has).map(str::to_owned).collect()
    }
}

fn wanted(given: Given<'_>) -> BTreeSet<String> {
    given.texts("route_table_ids").into_iter().collect()
}

async fn present(aws: &Aws, routes: &Routes) -> Result<BTreeSet<String>, CallError> {
    let connection = BTreeSet::from([routes.connection.clone()]);
    Ok(routes.tables_with(&tables(aws, Query::Ids(&connection).filters("route.vpc-peering-connection-id", "tag:Name")).await?))
}

/// Adds the route to those tables that do not have it: to all or, where one has it to somewhere else, to none.
async fn add(aws: &Aws, routes: &Routes, to: &BTreeSet<String>) -> Result<(), CallError> {
    if to.is_empty() {
        return Ok(());
    }
    let tables = tables(aws, Query::Ids(to).filters("route-table-id", "tag:Name")).await?;
    let there = routes.tables_with(&tables);
    for table in to.difference(&there) {
        let id = routes.in_table(table);
        if let Some(route) = route_in(&tables, &id) {
            return Err(elsewhere(&id, route));
        }
    }
    let mut added = Vec::new();
    for table in to.difference(&there) {
        let id = routes.in_table(table);
        match create_route(aws, &id, &routes.target()).await {
            Ok(()) => added.push(id),
            // What passes is tried again, and then finds what was added.
            Err(error) if !matches!(error.class, ErrorClass::Permanent | ErrorClass::Conflict) => return Err(error),
            Err(error) => return Err(taken_back(aws, &added, error).await),
        }
    }
    Ok(())
}

/// Takes back what was added before an error. Where that does not work, something was done: the error says so.
async fn taken_back(aws: &Aws, added: &[RouteId], error: CallError) -> CallError {
    for id in added {
        if let Err(left) = delete_route(aws, id).await
            && left.class != ErrorClass::Gone
        {
            let message = format!(
                "{}; the route of {} to {} was added before and could not be removed: {left}",
                error.message, id.table, id.destination
            );
            return CallError { class: ErrorClass::Unknown, message, ..error };
        }
    }
    error
}

/// Removes the route from tables that have it.
async fn remove(aws: &Aws, routes: &Routes, from: impl IntoIterator<Item = &String>) -> Result<(), CallError> {
    for table in from {
        match delete_route(aws, &routes.in_table(table)).await {
            Err(error) if error.class != ErrorClass::Gone => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn said(routes: &Routes, tables: BTreeSet<String>) -> ObjectAnswer {
    Said::of(kinds::PEERING_ROUTES)
        .set("route_table_ids", tables)
        .set("destination_cidr_block", &*routes.destination)
        .set("vpc_peering_connection_id", &*routes.connection)
        .answer(format!("{}_{}", routes.connection, routes.destination))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::Route;

    #[test]
    fn ids_come_back() {
        let routes = Routes::parse("pcx-1_10.1.0.0/16").unwrap();
        assert_eq!((&*routes.connection, &*routes.destination), ("pcx-1", "10.1.0.0/16"));
        assert_eq!(said(&routes, BTreeSet::new()).id, "pcx-1_10.1.0.0/16");
        assert_eq!(Routes::parse("pcx-1"), None);
    }

    #[test]
    fn only_routes_through_the_connection_count() {
        let table = |id: &str, connection: &str| {
            let route = Route::builder().destination_cidr_block("10.1.0.0/16").vpc_peering_connection_id(connection).build();
            RouteTable::builder().route_table_id(id).routes(route).build()
        };
        let tables = [table("rtb-1", "pcx-1"), table("rtb-2", "pcx-2"), RouteTable::builder().route_table_id("rtb-3").build()];
        let routes = Routes::parse("pcx-1_10.1.0.0/16").unwrap();
        assert_eq!(routes.tables_with(&tables), BTreeSet::from(["rtb-1".to_owned()]));
    }
}
