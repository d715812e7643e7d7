//! Networks, and what stands in them.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{AccountAttributeName, Filter};
use cloudtik_aws::kinds;
use cloudtik_model::Value;
use cloudtik_provider_api::{CallError, Concern, Intended};

use super::{Quota, Use, count, going, limit, over};
use crate::aws::Aws;
use crate::check::machines::{address, zones};
use crate::check::{made, text};
use crate::facts;

/// The attribute of an account that says how many addresses it may have in a region.
const ADDRESSES_MAX: &str = "vpc-max-elastic-ips";

const ADDRESSES: Quota = Quota { service: "ec2", code: "L-0263D0A3", what: "public addresses" };
const NETWORKS: Quota = Quota { service: "vpc", code: "L-F678F1CE", what: "networks" };
const INTERNET_GATEWAYS: Quota = Quota { service: "vpc", code: "L-A4707A72", what: "internet gateways" };
const NAT_GATEWAYS: Quota = Quota { service: "vpc", code: "L-FE5A380F", what: "NAT gateways" };
const RULES: Quota = Quota { service: "vpc", code: "L-0EA8095F", what: "rules of one direction" };

/// What every account may have of networks and gateways in a region, and of NAT gateways in a zone, as AWS publishes it: a quota can be raised
/// and not lowered, so nobody is asked about fewer.
const EVERYBODY: u64 = 5;
/// The same of the rules of a firewall, in one direction and for one version of addresses.
const EVERYBODYS_RULES: u64 = 60;

/// Public addresses, of which EC2 itself tells how many there may be.
pub(super) async fn addresses(aws: &Aws, intended: &[Intended]) -> Result<Vec<Concern>, CallError> {
    let new = count(made(intended, kinds::EIP));
    let Some(first) = made(intended, kinds::EIP).next() else { return Ok(Vec::new()) };
    let name = AccountAttributeName::from(ADDRESSES_MAX);
    let (limit, there) = tokio::try_join!(
        aws.read("ec2:DescribeAccountAttributes", || aws.ec2.describe_account_attributes().attribute_names(name.clone()).send()),
        aws.read("ec2:DescribeAddresses", || aws.ec2.describe_addresses().send()),
    )?;
    let attribute = limit.account_attributes().iter().find(|attribute| attribute.attribute_name() == Some(ADDRESSES_MAX));
    let limit = attribute.and_then(|attribute| attribute.attribute_values().first()?.attribute_value()?.parse().ok());
    let there = count(there.addresses()).saturating_sub(count(going(intended, kinds::EIP)));
    let used = limit.map(|limit| Use { limit, there, new }).filter(|used| used.is_too_much());
    let instead = "release some, write `nat = \"single\"` in `network`";
    Ok(used.map(|used| over(first, ADDRESSES, &region(aws), used, instead)).into_iter().collect())
}

/// Everything of which only Service Quotas tells how much there may be.
pub(super) async fn passed(aws: &Aws, intended: &[Intended]) -> Result<Vec<Concern>, CallError> {
    let (networks, internet, nat, rules) = tokio::try_join!(
        Box::pin(networks(aws, intended)),
        Box::pin(internet_gateways(aws, intended)),
        Box::pin(nat_gateways(aws, intended)),
        Box::pin(rules(aws, intended)),
    )?;
    Ok([networks, internet, nat, rules].into_iter().flatten().collect())
}

fn region(aws: &Aws) -> String {
    format!("region {}", aws.region)
}

async fn networks(aws: &Aws, intended: &[Intended]) -> Result<Option<Concern>, CallError> {
    let Some(first) = made(intended, kinds::VPC).next() else { return Ok(None) };
    let there = count(facts::vpcs(aws, None).await?);
    in_region(aws, intended, first, NETWORKS, there, "remove a network, write `mode = \"shared\"` to use one that is there").await
}

async fn internet_gateways(aws: &Aws, intended: &[Intended]) -> Result<Option<Concern>, CallError> {
    let Some(first) = made(intended, kinds::INTERNET_GATEWAY).next() else { return Ok(None) };
    let pages = || aws.ec2.describe_internet_gateways().into_paginator().items().send().collect::<Result<Vec<_>, _>>();
    let there = count(aws.read("ec2:DescribeInternetGateways", pages).await?);
    in_region(aws, intended, first, INTERNET_GATEWAYS, there, "remove one").await
}

async fn in_region(
    aws: &Aws,
    intended: &[Intended],
    first: &Intended,
    quota: Quota,
    there: u64,
    instead: &str,
) -> Result<Option<Concern>, CallError> {
    let there = there.saturating_sub(count(going(intended, &first.kind)));
    let used = Use { limit: EVERYBODY, there, new: count(made(intended, &first.kind)) };
    let used = exact(aws, quota, used).await?;
    Ok(used.map(|used| over(first, quota, &region(aws), used, instead)))
}

/// The use of a quota that is passed, where it passes what everybody may have.
async fn exact(aws: &Aws, quota: Quota, used: Use) -> Result<Option<Use>, CallError> {
    if !used.is_too_much() {
        return Ok(None);
    }
    let limit = limit(aws, quota).await?;
    Ok(limit.map(|limit| Use { limit, ..used }).filter(|used| used.is_too_much()))
}

/// So many in a zone; those that are there say their subnet and not their zone.
async fn nat_gateways(aws: &Aws, intended: &[Intended]) -> Result<Option<Concern>, CallError> {
    let zone = |of| zones(of, intended).first().copied();
    let new = by_zone(made(intended, kinds::NAT_GATEWAY).filter_map(zone));
    let Some(most) = new.values().max().copied() else { return Ok(None) };
    let states = Filter::builder().name("state").values("pending").values("available").values("deleting").build();
    let pages = || {
        let request = aws.ec2.describe_nat_gateways().filter(states.clone());
        request.into_paginator().items().send().collect::<Result<Vec<_>, _>>()
    };
    let going: BTreeSet<&str> = going(intended, kinds::NAT_GATEWAY).filter_map(|one| one.id.as_deref()).collect();
    let there = aws.read("ec2:DescribeNatGateways", pages).await?;
    let there = there.iter().filter(|one| !one.nat_gateway_id().is_some_and(|id| going.contains(id)));
    let subnets: Vec<&str> = there.filter_map(|one| one.subnet_id()).collect();
    if !(Use { limit: EVERYBODY, there: count(&subnets), new: most }).is_too_much() {
        return Ok(None);
    }
    let ids = Filter::builder().name("subnet-id").set_values(Some(subnets.iter().map(|id| (*id).to_owned()).collect())).build();
    let pages = || {
        let request = aws.ec2.describe_subnets().filters(ids.clone());
        request.into_paginator().items().send().collect::<Result<Vec<_>, _>>()
    };
    let known = aws.read("ec2:DescribeSubnets", pages).await?;
    let known: BTreeMap<&str, &str> = known.iter().filter_map(|one| Some((one.subnet_id()?, one.availability_zone()?))).collect();
    let there = by_zone(subnets.iter().filter_map(|subnet| known.get(subnet).copied()));
    for (name, new) in &new {
        let used = Use { limit: EVERYBODY, there: there.get(name).copied().unwrap_or_default(), new: *new };
        let first = made(intended, kinds::NAT_GATEWAY).find(|of| zone(of) == Some(name));
        if let (Some(first), Some(used)) = (first, exact(aws, NAT_GATEWAYS, used).await?) {
            return Ok(Some(over(first, NAT_GATEWAYS, &format!("zone {name}"), used, "remove one, write `nat = \"none\"` in `network`")));
        }
    }
    Ok(None)
}

fn by_zone<'a>(zones: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, u64> {
    let mut counts = BTreeMap::new();
    for zone in zones {
        *counts.entry(zone).or_default() += 1;
    }
    counts
}

/// The rules that a firewall has in the plan. Those that others made are not seen.
async fn rules(aws: &Aws, intended: &[Intended]) -> Result<Option<Concern>, CallError> {
    for (of, used) in crowded(intended) {
        if let Some(used) = exact(aws, RULES, used).await? {
            return Ok(Some(over(of, RULES, "one firewall", used, "write wider ranges, or fewer sources")));
        }
    }
    Ok(None)
}

/// Firewalls with more rules than everybody may have, each with the first of those that come. A rule that names no range counts for both
/// versions of addresses.
fn crowded(intended: &[Intended]) -> Vec<(&Intended, Use)> {
    let mut firewalls: BTreeMap<(String, &str, bool), (Option<&Intended>, Use)> = BTreeMap::new();
    let rules = intended.iter().filter(|one| [kinds::INGRESS_RULE, kinds::EGRESS_RULE].contains(&&*one.kind));
    for (rule, firewall) in rules.filter_map(|rule| Some((rule, firewall(rule)?))) {
        let names_a_range = |name: &str| rule.attributes.get(name).is_some_and(|range| !range.is_null());
        let (four, six) = (names_a_range("cidr_ipv4"), names_a_range("cidr_ipv6"));
        for of_six in [false, true].into_iter().filter(|of_six| if *of_six { !four } else { !six }) {
            let empty = (None, Use { limit: EVERYBODYS_RULES, there: 0, new: 0 });
            let (first, used) = firewalls.entry((firewall.clone(), &rule.kind, of_six)).or_insert(empty);
            if rule.is_made() {
                first.get_or_insert(rule);
                used.new += 1;
            } else {
                used.there += 1;
            }
        }
    }
    let crowded = firewalls.into_values().filter(|(_, used)| used.is_too_much());
    crowded.filter_map(|(first, used)| Some((first?, used))).collect()
}

/// The firewall of a rule: its id, or its address as long as it has none.
fn firewall(rule: &Intended) -> Option<String> {
    let id = rule.attributes.get("security_group_id")?;
    text(rule, "security_group_id").map(str::to_owned).or_else(|| address(id as &Value).map(|address| address.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::intended;

    #[test]
    fn rules_are_counted_by_firewall_direction_and_version() {
        let rule = |number: usize, kind: &str, range: &'static str| {
            let parts = [("security_group_id", Value::from("sg-1")), (range, "x".into())];
            intended(&format!("workspace.w.ingress_rule[{number}]"), kind, parts)
        };
        let all = |four: usize, six: usize, groups: usize| -> Vec<Intended> {
            let four = (0..four).map(|number| rule(number, kinds::INGRESS_RULE, "cidr_ipv4"));
            let six = (100..100 + six).map(|number| rule(number, kinds::INGRESS_RULE, "cidr_ipv6"));
            let groups = (200..200 + groups).map(|number| rule(number, kinds::INGRESS_RULE, "referenced_security_group_id"));
            four.chain(six).chain(groups).chain([rule(300, kinds::EGRESS_RULE, "cidr_ipv4")]).collect()
        };
        assert!(crowded(&all(60, 60, 0)).is_empty());
        let both = all(60, 60, 1);
        assert_eq!(crowded(&both).len(), 2);
        let one = all(61, 60, 0);
        assert_eq!(
            crowded(&one).iter().map(|(of, used)| (of.address.to_string(), used.new)).collect::<Vec<_>>(),
            [("workspace.w.ingress_rule[0]".to_owned(), 61)]
        );
    }
}
