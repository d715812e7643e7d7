//! `aws_vpc_security_group_ingress_rule` and `aws_vpc_security_group_egress_rule`: the same, but for the direction.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{
    IpPermission, IpRange, Ipv6Range, PrefixListId, ReferencedSecurityGroup, ResourceType, SecurityGroupRule as Answered, UserIdGroupPair,
};
use cloudtik_aws::kinds;
use cloudtik_provider_api::{CallError, CreateRequest, Found, ObjectAnswer, UpdateRequest};

use super::ec2::found;
use crate::attributes::{Given, Said};
use crate::aws::Aws;
use crate::error::strange;
use crate::kind::{Kind, Query, gone};
use crate::tags;

/// Protocols whose rules have ports, or types and codes: of all others AWS says -1 where there are none.
const WITH_PORTS: [&str; 4] = ["tcp", "udp", "icmp", "icmpv6"];

/// A rule of one direction.
pub(crate) struct Rule<const IS_EGRESS: bool>;

/// What a firewall lets in.
pub(crate) type IngressRule = Rule<false>;
/// What a firewall lets out.
pub(crate) type EgressRule = Rule<true>;

impl<const IS_EGRESS: bool> Kind for Rule<IS_EGRESS> {
    const NAME: &'static str = if IS_EGRESS { kinds::EGRESS_RULE } else { kinds::INGRESS_RULE };

    async fn create(aws: &Aws, request: &CreateRequest) -> Result<ObjectAnswer, CallError> {
        let given = Given(&request.attributes);
        let (group, permission) = (given.text("security_group_id")?, permission(given)?);
        let tagged = tags::specification(ResourceType::SecurityGroupRule, request);
        let (action, rules) = if IS_EGRESS {
            let request = aws.ec2.authorize_security_group_egress().group_id(group).ip_permissions(permission);
            let action = "ec2:AuthorizeSecurityGroupEgress";
            (action, aws.write(action, request.tag_specifications(tagged).send()).await?.security_group_rules)
        } else {
            let request = aws.ec2.authorize_security_group_ingress().group_id(group).ip_permissions(permission);
            let action = "ec2:AuthorizeSecurityGroupIngress";
            (action, aws.write(action, request.tag_specifications(tagged).send()).await?.security_group_rules)
        };
        let rule = rules.unwrap_or_default().pop().ok_or_else(|| strange(action, "rule"))?;
        let id = rule.security_group_rule_id().ok_or_else(|| strange(action, "id"))?;
        Ok(said(Self::NAME, aws, id, &rule, given.map("tags")).answer(id))
    }

    async fn find(aws: &Aws, query: &Query<'_>) -> Result<Vec<Found>, CallError> {
        let mut all = Self::found_in(aws, &described(aws, query).await?)?;
        // Not every server that speaks EC2 looks at all filters here.
        all.retain(|found| query.matches(found, ""));
        Ok(all)
    }

    async fn refresh(aws: &Aws, ids: &BTreeSet<String>) -> Result<Vec<Found>, CallError> {
        let rules = aws.looks.rules(ids, async |ids| described(aws, &Query::Ids(&ids)).await).await?;
        let mut all = Self::found_in(aws, &rules)?;
        all.retain(|found| ids.contains(&found.object.id));
        Ok(all)
    }

    async fn update(aws: &Aws, request: &UpdateRequest) -> Result<(), CallError> {
        tags::update_ec2(aws, request).await?;
        if !request.changed.contains("description") {
            return Ok(());
        }
        // The rule is named by what it lets through: so its id stays, on every server that speaks EC2.
        let given = Given(&request.attributes);
        let (group, permission) = (given.text("security_group_id")?, permission(given)?);
        if IS_EGRESS {
            let send = aws.ec2.update_security_group_rule_descriptions_egress().group_id(group).ip_permissions(permission).send();
            aws.write("ec2:UpdateSecurityGroupRuleDescriptionsEgress", send).await.map(drop)
        } else {
            let send = aws.ec2.update_security_group_rule_descriptions_ingress().group_id(group).ip_permissions(permission).send();
            aws.write("ec2:UpdateSecurityGroupRuleDescriptionsIngress", send).await.map(drop)
        }
    }

    async fn delete(aws: &Aws, id: &str) -> Result<(), CallError> {
        // AWS takes the id of a rule only together with that of its group, which never changes.
        let group = match aws.session.take_other(id) {
            Some(group) => group,
            None => group_of(aws, id).await?,
        };
        if IS_EGRESS {
            let send = aws.ec2.revoke_security_group_egress().group_id(group).security_group_rule_ids(id).send();
            aws.write("ec2:RevokeSecurityGroupEgress", send).await.map(drop)
        } else {
            let send = aws.ec2.revoke_security_group_ingress().group_id(group).security_group_rule_ids(id).send();
            aws.write("ec2:RevokeSecurityGroupIngress", send).await.map(drop)
        }
    }
}

impl<const IS_EGRESS: bool> Rule<IS_EGRESS> {
    /// Those of this direction.
    fn found_in(aws: &Aws, rules: &[Answered]) -> Result<Vec<Found>, CallError> {
        let own = rules.iter().filter(|rule| rule.is_egress() == Some(IS_EGRESS));
        let found = own.map(|rule| {
            let id = rule.security_group_rule_id().ok_or_else(|| strange("ec2:DescribeSecurityGroupRules", "id"))?;
            Ok(found(rule.tags(), |own| said(Self::NAME, aws, id, rule, own).answer(id)))
        });
        found.collect()
    }
}

/// The rules of both directions.
async fn described(aws: &Aws, query: &Query<'_>) -> Result<Vec<Answered>, CallError> {
    let mut all = Vec::new();
    for filter in query.filters("security-group-rule-id", "tag:Name") {
        let pages = || {
            aws.ec2.describe_security_group_rules().filters(filter.clone()).into_paginator().items().send().collect::<Result<Vec<_>, _>>()
        };
        all.extend(aws.read("ec2:DescribeSecurityGroupRules", pages).await?);
    }
    Ok(all)
}

async fn group_of(aws: &Aws, id: &str) -> Result<String, CallError> {
    let rules = described(aws, &Query::Ids(&[id.to_owned()].into())).await?;
    let rule = rules.iter().find(|rule| rule.security_group_rule_id() == Some(id)).ok_or_else(|| gone(id))?;
    rule.group_id().map(str::to_owned).ok_or_else(|| strange("ec2:DescribeSecurityGroupRules", "group"))
}

/// A rule as EC2 takes it: with one other end.
fn permission(given: Given<'_>) -> Result<IpPermission, CallError> {
    let description = || given.owned("description");
    let builder = IpPermission::builder()
        .ip_protocol(given.text("ip_protocol")?)
        .set_from_port(given.int("from_port"))
        .set_to_port(given.int("to_port"));
    let builder = if let Some(range) = given.maybe_text("cidr_ipv4") {
        builder.ip_ranges(IpRange::builder().cidr_ip(range).set_description(description()).build())
    } else if let Some(range) = given.maybe_text("cidr_ipv6") {
        builder.ipv6_ranges(Ipv6Range::builder().cidr_ipv6(range).set_description(description()).build())
    } else if let Some(list) = given.maybe_text("prefix_list_id") {
        builder.prefix_list_ids(PrefixListId::builder().prefix_list_id(list).set_description(description()).build())
    } else {
        let group = given.text("referenced_security_group_id")?;
        builder.user_id_group_pairs(UserIdGroupPair::builder().group_id(group).set_description(description()).build())
    };
    Ok(builder.build())
}

/// Whether what a rule says of ports means something.
pub(crate) fn has_ports(rule: &Answered) -> bool {
    rule.ip_protocol().is_some_and(|protocol| WITH_PORTS.contains(&protocol))
}

/// The kind that a rule is of.
pub(crate) fn kind_of(rule: &Answered) -> &'static str {
    if rule.is_egress() == Some(true) { kinds::EGRESS_RULE } else { kinds::INGRESS_RULE }
}

fn said(kind: &'static str, aws: &Aws, id: &str, rule: &Answered, own: BTreeMap<String, String>) -> Said {
    if let Some(group) = rule.group_id() {
        aws.session.keep_other(id, group);
    }
    let has_ports = has_ports(rule);
    let arn = || rule.group_owner_id().map(|owner| aws.arn("ec2", owner, &format!("security-group-rule/{id}")));
    Said::of(kind)
        .set("security_group_id", rule.group_id())
        .set("ip_protocol", rule.ip_protocol())
        .set("from_port", rule.from_port().filter(|_| has_ports))
        .set("to_port", rule.to_port().filter(|_| has_ports))
        .set("cidr_ipv4", rule.cidr_ipv4())
        .set("cidr_ipv6", rule.cidr_ipv6())
        .set("referenced_security_group_id", rule.referenced_group_info().and_then(ReferencedSecurityGroup::group_id))
        .set("prefix_list_id", rule.prefix_list_id())
        .set("description", rule.description().filter(|text| !text.is_empty()))
        .set("tags", own)
        .set("arn", rule.security_group_rule_arn().map(str::to_owned).or_else(arn))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudtik_model::Value;

    fn of(attributes: &[(&'static str, Value)]) -> Result<IpPermission, CallError> {
        permission(Given(&Value::object(attributes.iter().cloned())))
    }

    #[test]
    fn a_rule_has_one_other_end() {
        let protocol = ("ip_protocol", Value::from("tcp"));
        let made = of(&[protocol.clone(), ("from_port", 22_u64.into()), ("to_port", 23_u64.into()), ("cidr_ipv4", "10.0.0.0/8".into())]);
        let made = made.unwrap();
        assert_eq!((made.from_port(), made.to_port()), (Some(22), Some(23)));
        assert_eq!(made.ip_ranges().len(), 1);
        let to_group = of(&[protocol.clone(), ("referenced_security_group_id", "sg-1".into()), ("description", "inside".into())]).unwrap();
        assert_eq!(to_group.user_id_group_pairs()[0].description(), Some("inside"));
        assert!(of(&[protocol]).is_err());
    }
}
