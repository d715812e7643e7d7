//! `aws_route_table_association`: which table a subnet uses. Its id is the subnet's.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{RouteTable, RouteTableAssociation as Answered, RouteTableAssociationStateCode as State};
use cloudtik_aws::kinds;
use cloudtik_provider_api::{CallError, CreateRequest, ErrorClass, Found, ObjectAnswer, UpdateRequest};

use super::ec2::is_conflict;
use super::route_table::{seen, tables};
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::error::strange;
use crate::kind::{Kind, Query, gone};

pub(crate) struct RouteTableAssociation;

impl Kind for RouteTableAssociation {
    const NAME: &'static str = kinds::ROUTE_TABLE_ASSOCIATION;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let (subnet, table) = (given.text("subnet_id")?, given.text("route_table_id")?);
        let send = aws.ec2.associate_route_table().subnet_id(subnet).route_table_id(table).send();
        match aws.write("ec2:AssociateRouteTable", send).await {
            Ok(answer) => {
                if let Some(id) = answer.association_id() {
                    aws.session.keep_other(subnet, id);
                }
                Ok(said(subnet, table))
            }
            Err(error) if is_conflict(&error) => match association(aws, subnet).await? {
                Some(there) if there.table == table => Ok(said(subnet, table)),
                Some(there) => Err(elsewhere(subnet, &there.table)),
                None => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let Query::Ids(_) = query else { return Ok(Vec::new()) };
        let mut all = found(aws, associations(aws, query).await?);
        // A table that is found shows the associations of other subnets too.
        all.retain(|found| query.matches(found, ""));
        Ok(all)
    }

    /// Mostly the tables are looked at too. Only subnets that none of them has are asked for.
    async fn refresh(aws: &Aws, ids: &BTreeSet<String>) -> Result<Vec<Found>, CallError> {
        let mut all = found(aws, associations_of(&seen(aws, &BTreeSet::new()).await?)?);
        all.retain(|found| ids.contains(&found.object.id));
        let seen: BTreeSet<String> = all.iter().map(|found| found.object.id.clone()).collect();
        let others: BTreeSet<String> = ids.difference(&seen).cloned().collect();
        if !others.is_empty() {
            all.extend(Self::find(aws, &Query::Ids(&others)).await?);
        }
        Ok(all)
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        let table = Given(&request.attributes).text("route_table_id")?;
        let there = association(aws, &request.id).await?.ok_or_else(|| gone(&request.id))?;
        if there.table == table {
            return Ok(());
        }
        let send = aws.ec2.replace_route_table_association().association_id(there.id).route_table_id(table).send();
        aws.write("ec2:ReplaceRouteTableAssociation", send).await.map(drop)
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        if let Some(seen) = aws.session.take_other(id) {
            match disassociate(aws, seen).await {
                // The subnet may use another table since, by another association.
                Err(error) if error.class == ErrorClass::Gone => {}
                other => return other,
            }
        }
        let there = association(aws, id).await?.ok_or_else(|| gone(id))?;
        disassociate(aws, there.id).await
    }
}

fn found(aws: &Aws, associations: Vec<Association>) -> Vec<Found> {
    let found = associations.into_iter().map(|Association { id, subnet, table }| {
        aws.session.keep_other(&subnet, &id);
        Found { object: said(&subnet, &table), tags: [].into() }
    });
    found.collect()
}

async fn disassociate(aws: &Aws, association: String) -> Result<(), CallError> {
    let send = aws.ec2.disassociate_route_table().association_id(association).send();
    aws.write("ec2:DisassociateRouteTable", send).await.map(drop)
}

/// An association as AWS has it: with an id of its own, which changes when the table does.
struct Association {
    id: String,
    subnet: String,
    table: String,
}

async fn association(aws: &Aws, subnet: &str) -> Result<Option<Association>, CallError> {
    let all = associations(aws, &Query::Ids(&[subnet.to_owned()].into())).await?;
    Ok(all.into_iter().find(|association| association.subnet == subnet))
}

/// All of the tables that any of the subnets uses.
async fn associations(aws: &Aws, query: &Query<'_>) -> Result<Vec<Association>, CallError> {
    associations_of(&tables(aws, query.filters("association.subnet-id", "tag:Name")).await?)
}

fn associations_of(tables: &[RouteTable]) -> Result<Vec<Association>, CallError> {
    tables.iter().flat_map(RouteTable::associations).filter(|found| is_there(found)).filter_map(parsed).collect()
}

fn parsed(found: &Answered) -> Option<Result<Association, CallError>> {
    // Without a subnet it is that of the main table, or of a gateway.
    let subnet = found.subnet_id()?.to_owned();
    let ids = found.route_table_association_id().zip(found.route_table_id());
    let parsed = ids.map(|(id, table)| Association { id: id.to_owned(), subnet, table: table.to_owned() });
    Some(parsed.ok_or_else(|| strange("ec2:DescribeRouteTables", "id of an association")))
}

fn is_there(found: &Answered) -> bool {
    let state = found.association_state().and_then(|state| state.state());
    !matches!(state, Some(State::Disassociating | State::Disassociated | State::Failed))
}

fn elsewhere(subnet: &str, table: &str) -> CallError {
    let text = format!("ec2:AssociateRouteTable: subnet {subnet} already uses route table {table}");
    CallError::new(ErrorClass::Conflict, "Resource.AlreadyAssociated", text).help("take the subnet from that table first")
}

fn said(subnet: &str, table: &str) -> ObjectAnswer {
    Said::of(kinds::ROUTE_TABLE_ASSOCIATION).set("subnet_id", subnet).set("route_table_id", table).answer(subnet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ec2::types::RouteTableAssociationState;

    #[test]
    fn only_associations_of_subnets_count() {
        let of = |subnet: Option<&str>| {
            let builder = Answered::builder().route_table_association_id("rtbassoc-1").route_table_id("rtb-1");
            builder.set_subnet_id(subnet.map(str::to_owned)).build()
        };
        assert!(parsed(&of(None)).is_none());
        assert_eq!(parsed(&of(Some("subnet-1"))).unwrap().unwrap().table, "rtb-1");
        assert!(parsed(&Answered::builder().subnet_id("subnet-1").build()).unwrap().is_err());
    }

    #[test]
    fn one_that_goes_is_not_there() {
        let of = |state: State| Answered::builder().association_state(RouteTableAssociationState::builder().state(state).build()).build();
        assert!(is_there(&of(State::Associated)) && is_there(&of(State::Associating)));
        assert!(!is_there(&of(State::Disassociating)) && !is_there(&of(State::Failed)));
        assert!(is_there(&Answered::builder().build()));
    }
}
