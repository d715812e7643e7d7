//! `aws_vpc_endpoint`

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_ec2::types::{Filter, ResourceType, SecurityGroupIdentifier, State, VpcEndpoint as Answered, VpcEndpointType};
use cloudtik_aws::kinds;
use cloudtik_provider_api::{CallError, CreateRequest, ErrorClass, Found, ObjectAnswer, UpdateRequest};

use super::ec2::found;
use super::made::{client_token, unfinished};
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::error::{of_code, strange};
use crate::kind::{Kind, Query, gone};
use crate::tags;
use crate::wait::{self, Seen};

/// How long one may take to be usable: of type `Gateway` it is at once, of type `Interface` after a minute or two.
const READY_WAIT: Duration = Duration::from_secs(600);
/// How long one may take to go, with its network interfaces: some minutes.
const DELETED_WAIT: Duration = Duration::from_secs(600);

/// Ids in one request: as many as a filter of EC2 takes.
const IDS_MAX: usize = 200;

/// What an endpoint has that changes in place.
const TABLES: &str = "route_table_ids";
const SUBNETS: &str = "subnet_ids";
const GROUPS: &str = "security_group_ids";
const PRIVATE_DNS: &str = "private_dns_enabled";

/// What the list of addresses of its service is called.
const LIST: &str = "prefix_list_id";

pub(crate) struct VpcEndpoint;

impl Kind for VpcEndpoint {
    const NAME: &'static str = kinds::VPC_ENDPOINT;

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let send = aws
            .ec2
            .create_vpc_endpoint()
            .client_token(client_token(&request.token))
            .vpc_id(given.text("vpc_id")?)
            .service_name(given.text("service_name")?)
            .set_vpc_endpoint_type(given.maybe_text("vpc_endpoint_type").map(VpcEndpointType::from))
            .set_route_table_ids(some(given.texts(TABLES)))
            .set_subnet_ids(some(given.texts(SUBNETS)))
            .set_security_group_ids(some(given.texts(GROUPS)))
            .set_private_dns_enabled(given.flag(PRIVATE_DNS))
            .tag_specifications(tags::specification(ResourceType::VpcEndpoint, request))
            .send();
        let made = aws.write("ec2:CreateVpcEndpoint", send).await?;
        let endpoint = made.vpc_endpoint().ok_or_else(|| strange("ec2:CreateVpcEndpoint", "endpoint"))?;
        let id = endpoint.vpc_endpoint_id().ok_or_else(|| strange("ec2:CreateVpcEndpoint", "id"))?;
        let endpoint = ready(aws, id, Some(endpoint.clone())).await?;
        let lists = prefix_lists(aws, [&endpoint]).await.map_err(unfinished)?;
        Ok(said(aws, id, &endpoint, given.map("tags")).set(LIST, list(&endpoint, &lists)).answer(id))
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let endpoints: Vec<Answered> = described(aws, query).await?.into_iter().filter(is_there).collect();
        let lists = prefix_lists(aws, &endpoints).await?;
        endpoints.iter().map(|endpoint| one(endpoint, |id, own| said(aws, id, endpoint, own).set(LIST, list(endpoint, &lists)))).collect()
    }

    /// Which list of addresses a service has never changes.
    async fn refresh(aws: &Aws, ids: &BTreeSet<String>) -> Result<Vec<Found>, CallError> {
        let endpoints: Vec<Answered> = described(aws, &Query::Ids(ids)).await?.into_iter().filter(is_there).collect();
        endpoints.iter().map(|endpoint| one(endpoint, |id, own| said(aws, id, endpoint, own).untold(&[LIST]))).collect()
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        tags::update_ec2(aws, request).await?;
        if [TABLES, SUBNETS, GROUPS, PRIVATE_DNS].iter().any(|name| request.changed.contains(*name)) {
            modify(aws, request).await?;
        }
        Ok(())
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        let action = "ec2:DeleteVpcEndpoints";
        let answer = aws.write(action, aws.ec2.delete_vpc_endpoints().vpc_endpoint_ids(id).send()).await?;
        if let Some(error) = answer.unsuccessful().first().and_then(|item| item.error()) {
            return Err(of_code(action, error.code().unwrap_or("unknown"), error.message()));
        }
        wait::until(&format!("endpoint {id}"), DELETED_WAIT, async || match look(aws, id).await? {
            Some(endpoint) if !is_state(&endpoint, &State::Deleted) => Ok(Seen::NotYet(state(&endpoint))),
            _ => Ok(Seen::Done(())),
        })
        .await
    }

    async fn complete(aws: &Aws, found: Found) -> Result<Found, CallError> {
        let id = &found.object.id;
        let endpoint = ready(aws, id, None).await?;
        let lists = prefix_lists(aws, [&endpoint]).await?;
        let said = said(aws, id, &endpoint, Given(&found.object.attributes).map("tags"));
        let object = said.set(LIST, list(&endpoint, &lists)).answer(id.as_str());
        Ok(Found { object, ..found })
    }
}

/// What an update adds to a set of ids, and what it removes, as it is now: an update that is made a second time has less to do.
struct Difference {
    added: Vec<String>,
    removed: Vec<String>,
}

impl Difference {
    fn of(now: &BTreeSet<String>, wanted: &BTreeSet<String>) -> Self {
        Self { added: wanted.difference(now).cloned().collect(), removed: now.difference(wanted).cloned().collect() }
    }
}

/// Makes sets and names what they shall be. What is added comes before what is removed, so that no way is interrupted that stays.
async fn modify(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
    let (id, given, action) = (&request.id, Given(&request.attributes), "ec2:ModifyVpcEndpoint");
    let now = look(aws, id).await?.filter(is_there).ok_or_else(|| gone(id))?;
    let difference = |name: &str, now: BTreeSet<String>| {
        let wanted = if request.changed.contains(name) { given.texts(name).into_iter().collect() } else { now.clone() };
        Difference::of(&now, &wanted)
    };
    let tables = difference(TABLES, now.route_table_ids().iter().cloned().collect());
    let subnets = difference(SUBNETS, now.subnet_ids().iter().cloned().collect());
    let groups = difference(GROUPS, groups(&now));
    let names =
        given.flag(PRIVATE_DNS).filter(|wanted| request.changed.contains(PRIVATE_DNS) && now.private_dns_enabled() != Some(*wanted));
    let is_more = [&tables, &subnets, &groups].iter().any(|difference| !difference.added.is_empty()) || names.is_some();
    let is_less = [&tables, &subnets, &groups].iter().any(|difference| !difference.removed.is_empty());
    if is_more {
        let send = aws
            .ec2
            .modify_vpc_endpoint()
            .vpc_endpoint_id(id)
            .set_add_route_table_ids(some(tables.added))
            .set_add_subnet_ids(some(subnets.added))
            .set_add_security_group_ids(some(groups.added))
            .set_private_dns_enabled(names)
            .send();
        aws.write(action, send).await?;
        settle(aws, id, &now).await?;
    }
    if is_less {
        let send = aws
            .ec2
            .modify_vpc_endpoint()
            .vpc_endpoint_id(id)
            .set_remove_route_table_ids(some(tables.removed))
            .set_remove_subnet_ids(some(subnets.removed))
            .set_remove_security_group_ids(some(groups.removed))
            .send();
        aws.write(action, send).await?;
        settle(aws, id, &now).await?;
    }
    Ok(())
}

/// Waits until a change is done. One of type `Gateway` is changed at once.
async fn settle(aws: &Aws, id: &str, before: &Answered) -> Result<(), CallError> {
    if before.vpc_endpoint_type() == Some(&VpcEndpointType::Interface) {
        ready(aws, id, None).await?;
    }
    Ok(())
}

/// Waits until it can be used; what is known of it already is not asked for.
async fn ready(aws: &Aws, id: &str, known: Option<Answered>) -> Result<Answered, CallError> {
    if let Some(endpoint) = known.filter(|endpoint| is_state(endpoint, &State::Available)) {
        return Ok(endpoint);
    }
    let what = format!("endpoint {id}");
    let seen = wait::until(&what, READY_WAIT, async || {
        Ok(match look(aws, id).await? {
            None => Seen::NotYet("not visible".to_owned()),
            Some(endpoint) if is_state(&endpoint, &State::Available) || !is_there(&endpoint) => Seen::Done(endpoint),
            Some(endpoint) => Seen::NotYet(state(&endpoint)),
        })
    });
    let endpoint = seen.await.map_err(unfinished)?;
    if is_there(&endpoint) {
        return Ok(endpoint);
    }
    let error = endpoint.last_error();
    let code = error.and_then(|error| error.code()).unwrap_or("failed");
    let reason = error.and_then(|error| error.message()).or_else(|| endpoint.failure_reason()).unwrap_or("AWS gave no reason");
    let text = format!("ec2:CreateVpcEndpoint: endpoint {id} is `{}`: {code}: {reason}", state(&endpoint));
    Err(CallError::new(ErrorClass::Permanent, code, text))
}

/// Endpoints are asked for by their ids and not by a filter, which not every server that speaks EC2 has. Then one that is gone is an error,
/// and the others are asked for one by one.
async fn described(aws: &Aws, query: &Query<'_>) -> Result<Vec<Answered>, CallError> {
    let Query::Ids(ids) = query else {
        let mut all = Vec::new();
        for filter in query.filters("vpc-endpoint-id", "tag:Name") {
            let pages =
                || aws.ec2.describe_vpc_endpoints().filters(filter.clone()).into_paginator().items().send().collect::<Result<Vec<_>, _>>();
            all.extend(aws.read("ec2:DescribeVpcEndpoints", pages).await?);
        }
        return Ok(all);
    };
    let ids: Vec<String> = ids.iter().cloned().collect();
    let mut all = Vec::new();
    for some in ids.chunks(IDS_MAX) {
        match by_ids(aws, some.to_vec()).await {
            Err(error) if error.class == ErrorClass::Gone => {
                for id in some {
                    all.extend(look(aws, id).await?);
                }
            }
            found => all.extend(found?),
        }
    }
    Ok(all)
}

async fn by_ids(aws: &Aws, ids: Vec<String>) -> Result<Vec<Answered>, CallError> {
    let pages = || {
        let request = aws.ec2.describe_vpc_endpoints().set_vpc_endpoint_ids(Some(ids.clone()));
        request.into_paginator().items().send().collect::<Result<Vec<_>, _>>()
    };
    aws.read("ec2:DescribeVpcEndpoints", pages).await
}

async fn look(aws: &Aws, id: &str) -> Result<Option<Answered>, CallError> {
    match by_ids(aws, vec![id.to_owned()]).await {
        Ok(mut endpoints) => Ok(endpoints.pop()),
        Err(error) if error.class == ErrorClass::Gone => Ok(None),
        Err(error) => Err(error),
    }
}

/// The lists of addresses of the services that endpoints of type `Gateway` lead to, by the service's name.
pub(crate) async fn prefix_lists(aws: &Aws, endpoints: impl IntoIterator<Item = &Answered>) -> Result<BTreeMap<String, String>, CallError> {
    let gateways = endpoints.into_iter().filter(|endpoint| endpoint.vpc_endpoint_type() == Some(&VpcEndpointType::Gateway));
    let services: BTreeSet<String> = gateways.filter_map(|endpoint| endpoint.service_name().map(str::to_owned)).collect();
    if services.is_empty() {
        return Ok(BTreeMap::new());
    }
    let filter = Filter::builder().name("prefix-list-name").set_values(Some(services.into_iter().collect())).build();
    let pages =
        || aws.ec2.describe_managed_prefix_lists().filters(filter.clone()).into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    let lists = aws.read("ec2:DescribeManagedPrefixLists", pages).await?;
    Ok(lists.into_iter().filter_map(|list| list.prefix_list_name.zip(list.prefix_list_id)).collect())
}

/// AWS writes the states of endpoints in small letters, its SDK does not.
fn is_state(endpoint: &Answered, wanted: &State) -> bool {
    endpoint.state().is_some_and(|state| state.as_str().eq_ignore_ascii_case(wanted.as_str()))
}

fn is_there(endpoint: &Answered) -> bool {
    [State::Deleting, State::Deleted, State::Failed, State::Rejected, State::Expired].iter().all(|state| !is_state(endpoint, state))
}

fn state(endpoint: &Answered) -> String {
    endpoint.state().map_or("unknown", State::as_str).to_owned()
}

fn groups(endpoint: &Answered) -> BTreeSet<String> {
    endpoint.groups().iter().filter_map(SecurityGroupIdentifier::group_id).map(str::to_owned).collect()
}

fn some(ids: Vec<String>) -> Option<Vec<String>> {
    Some(ids).filter(|ids| !ids.is_empty())
}

/// The list of addresses of an endpoint's service.
fn list(endpoint: &Answered, lists: &BTreeMap<String, String>) -> Option<String> {
    lists.get(endpoint.service_name()?).cloned()
}

fn one(endpoint: &Answered, said: impl FnOnce(&str, BTreeMap<String, String>) -> Said) -> Result<Found, CallError> {
    let id = endpoint.vpc_endpoint_id().ok_or_else(|| strange("ec2:DescribeVpcEndpoints", "id"))?;
    Ok(found(endpoint.tags(), |own| said(id, own).answer(id)))
}

fn said(aws: &Aws, id: &str, endpoint: &Answered, own: BTreeMap<String, String>) -> Said {
    let set = |ids: &[String]| ids.iter().cloned().collect::<BTreeSet<_>>();
    Said::of(kinds::VPC_ENDPOINT)
        .set("vpc_id", endpoint.vpc_id())
        .set("service_name", endpoint.service_name())
        .set("vpc_endpoint_type", endpoint.vpc_endpoint_type().map(VpcEndpointType::as_str))
        .set(TABLES, set(endpoint.route_table_ids()))
        .set(SUBNETS, set(endpoint.subnet_ids()))
        .set(GROUPS, groups(endpoint))
        .set(PRIVATE_DNS, endpoint.private_dns_enabled())
        .set("tags", own)
        .set("arn", endpoint.owner_id().map(|owner| aws.arn("ec2", owner, &format!("vpc-endpoint/{id}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_state(state: &str) -> Answered {
        Answered::builder().state(State::from(state)).build()
    }

    #[test]
    fn states_are_known_in_both_spellings() {
        for state in ["available", "Available", "pending", "pendingAcceptance"] {
            assert!(is_there(&in_state(state)), "{state}");
        }
        for state in ["deleting", "Deleted", "failed", "rejected"] {
            assert!(!is_there(&in_state(state)), "{state}");
        }
        assert!(is_state(&in_state("available"), &State::Available));
    }

    #[test]
    fn a_set_is_changed_by_what_differs() {
        let of = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
        let difference = Difference::of(&of(&["a", "b"]), &of(&["b", "c"]));
        assert_eq!((difference.added, difference.removed), (vec!["c".to_owned()], vec!["a".to_owned()]));
    }
}
