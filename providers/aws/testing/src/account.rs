//! Everything that is in an account, item by item, as lines that can be compared. It is asked of the server itself, not through the code under
//! test, nor through the proxy that makes it look different.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use serde_json::{Value as Json, json};

use crate::client::Endpoint;
use crate::xml::Element;

/// An account, seen in some regions.
#[derive(Clone, Debug)]
pub struct Account {
    endpoint: Endpoint,
    regions: Vec<String>,
}

/// A list of EC2: the name of a line, the action, the set of its answer.
const LISTS: &[(&str, &str, &str)] = &[
    ("vpc", "DescribeVpcs", "vpcSet"),
    ("subnet", "DescribeSubnets", "subnetSet"),
    ("internet-gateway", "DescribeInternetGateways", "internetGatewaySet"),
    ("route-table", "DescribeRouteTables", "routeTableSet"),
    ("network-acl", "DescribeNetworkAcls", "networkAclSet"),
    ("address", "DescribeAddresses", "addressesSet"),
    ("nat-gateway", "DescribeNatGateways", "natGatewaySet"),
    ("vpc-endpoint", "DescribeVpcEndpoints", "vpcEndpointSet"),
    ("security-group", "DescribeSecurityGroups", "securityGroupInfo"),
    ("security-group-rule", "DescribeSecurityGroupRules", "securityGroupRuleSet"),
    ("peering", "DescribeVpcPeeringConnections", "vpcPeeringConnectionSet"),
    ("volume", "DescribeVolumes", "volumeSet"),
    ("launch-template", "DescribeLaunchTemplates", "launchTemplates"),
    ("key-pair", "DescribeKeyPairs", "keySet"),
    ("profile-association", "DescribeIamInstanceProfileAssociations", "iamInstanceProfileAssociationSet"),
];

/// States of what is gone, or on its way.
const GONE: [&str; 8] = ["deleted", "deleting", "terminated", "shutting-down", "failed", "rejected", "expired", "disassociated"];

/// Where an item of EC2 says its state.
const STATES: [&[&str]; 3] = [&["state"], &["status", "code"], &["instanceState", "name"]];

/// What changes by itself: how many addresses are free, when something was last used.
const VOLATILE: [&str; 3] = ["availableIpAddressCount", "RoleLastUsed", "usageOperationUpdateTime"];

/// Parts of a bucket, by the query that reads them.
const BUCKET_PARTS: [&str; 6] = ["tagging", "versioning", "encryption", "publicAccessBlock", "policy", "lifecycle"];

impl Account {
    /// The account of an endpoint, in its region.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        let regions = vec![endpoint.region_name().to_owned()];
        Self { endpoint, regions }
    }

    /// Looks into another region too.
    #[must_use]
    pub fn and_region(mut self, region: &str) -> Self {
        self.regions.push(region.to_owned());
        self
    }

    /// Everything that is there, sorted.
    ///
    /// # Errors
    ///
    /// When the server does not answer, or not as expected.
    pub fn snapshot(&self) -> io::Result<BTreeSet<String>> {
        let mut lines = BTreeSet::new();
        for region in &self.regions {
            let here = self.endpoint.region(region);
            let found = [networks(&here)?, instances(&here)?, templates(&here)?, parameters(&here)?, managed(&here)?].concat();
            lines.extend(found.into_iter().map(|line| format!("{region} {line}")));
        }
        lines.extend(roles(&self.endpoint)?);
        lines.extend(profiles_and_policies(&self.endpoint)?);
        lines.extend(buckets(&self.endpoint)?);
        Ok(lines)
    }

    /// What came (`+`) and what went (`-`).
    #[must_use]
    pub fn difference(before: &BTreeSet<String>, after: &BTreeSet<String>) -> Vec<String> {
        let gone = before.difference(after).map(|line| format!("- {line}"));
        gone.chain(after.difference(before).map(|line| format!("+ {line}"))).collect()
    }
}

fn networks(here: &Endpoint) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    for (name, action, set) in LISTS {
        let answer = here.ec2(action, &[])?;
        lines.extend(answer.items(set).iter().filter(|item| is_there(item)).map(|item| line(name, item)));
    }
    Ok(lines)
}

fn instances(here: &Endpoint) -> io::Result<Vec<String>> {
    // Without a number there is only a page of a hundred, and machines that have ended fill it.
    let answer = here.ec2("DescribeInstances", &[("MaxResults", "1000")])?;
    let all = answer.items("reservationSet").iter().flat_map(|reservation| reservation.items("instancesSet"));
    Ok(all.filter(|item| is_there(item)).map(|item| line("instance", item)).collect())
}

fn templates(here: &Endpoint) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    for id in here.ec2("DescribeLaunchTemplates", &[])?.texts("launchTemplateId") {
        let versions = here.ec2("DescribeLaunchTemplateVersions", &[("LaunchTemplateId", &id)])?;
        lines.extend(versions.items("launchTemplateVersionSet").iter().map(|item| line("launch-template-version", item)));
    }
    Ok(lines)
}

/// Databases, load balancers, stacks.
fn managed(here: &Endpoint) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    for (name, service, action, set) in [
        ("database", "rds", "DescribeDBInstances", "DBInstances"),
        ("database-subnets", "rds", "DescribeDBSubnetGroups", "DBSubnetGroups"),
        ("load-balancer", "elasticloadbalancing", "DescribeLoadBalancers", "LoadBalancers"),
        ("target-group", "elasticloadbalancing", "DescribeTargetGroups", "TargetGroups"),
        ("stack", "cloudformation", "DescribeStacks", "Stacks"),
    ] {
        let answer = here.query(service, action, &[])?;
        let items = answer.items(set).iter().filter(|item| item.get(&["StackStatus"]) != "DELETE_COMPLETE");
        lines.extend(items.map(|item| line(name, item)));
        for balancer in answer.texts("LoadBalancerArn").iter().filter(|_| name == "load-balancer") {
            let listeners = here.query(service, "DescribeListeners", &[("LoadBalancerArn", balancer)])?;
            lines.extend(listeners.items("Listeners").iter().map(|item| line("listener", item)));
        }
    }
    Ok(lines)
}

fn parameters(here: &Endpoint) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    let mut place = Json::Null;
    loop {
        let body = if place.is_null() { json!({}) } else { json!({ "NextToken": place }) };
        let page = here.json("ssm", "AmazonSSM.DescribeParameters", &body)?;
        for parameter in page.get("Parameters").and_then(Json::as_array).into_iter().flatten() {
            let name = parameter.get("Name").and_then(Json::as_str).unwrap_or_default();
            let value = here.json("ssm", "AmazonSSM.GetParameter", &json!({ "Name": name, "WithDecryption": true }))?;
            let tags = here.json("ssm", "AmazonSSM.ListTagsForResource", &json!({ "ResourceType": "Parameter", "ResourceId": name }))?;
            let of = |json: &Json, path: &str| json.pointer(path).cloned().unwrap_or_default();
            lines.push(format!("parameter {name} {} {}", of(&value, "/Parameter/Value"), of(&tags, "/TagList")));
        }
        place = page.get("NextToken").cloned().unwrap_or_default();
        if place.as_str().is_none_or(str::is_empty) {
            return Ok(lines);
        }
    }
}

fn roles(account: &Endpoint) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    for role in items(account, "ListRoles", &[], "Roles")? {
        let name = role.get(&["RoleName"]);
        let of_role = [("RoleName", name)];
        lines.push(line("role", account.query("iam", "GetRole", &of_role)?.find("Role").unwrap_or(&role)));
        for policy in items(account, "ListRolePolicies", &of_role, "PolicyNames")? {
            let document = account.query("iam", "GetRolePolicy", &[("RoleName", name), ("PolicyName", &policy.text)])?;
            let document = document.find("PolicyDocument").map(|document| plain(&document.text)).unwrap_or_default();
            lines.push(format!("role-policy {name} {} {document}", policy.text));
        }
        for policy in items(account, "ListAttachedRolePolicies", &of_role, "AttachedPolicies")? {
            lines.push(format!("role-policy-attachment {name} {}", policy.get(&["PolicyArn"])));
        }
    }
    Ok(lines)
}

fn profiles_and_policies(account: &Endpoint) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    for profile in items(account, "ListInstanceProfiles", &[], "InstanceProfiles")? {
        lines.push(line("instance-profile", &profile));
    }
    for policy in items(account, "ListPolicies", &[("Scope", "Local")], "Policies")? {
        lines.push(line("policy", &policy));
    }
    Ok(lines)
}

/// All items of a list of IAM, page by page.
fn items(account: &Endpoint, action: &str, parameters: &[(&str, &str)], set: &str) -> io::Result<Vec<Element>> {
    let mut found = Vec::new();
    let mut marker = String::new();
    loop {
        let place = [("Marker", marker.as_str())];
        let all = [parameters, if marker.is_empty() { &[] } else { &place }].concat();
        let page = account.query("iam", action, &all)?;
        found.extend_from_slice(page.items(set));
        marker = page.texts("Marker").pop().unwrap_or_default();
        if marker.is_empty() {
            return Ok(found);
        }
    }
}

fn buckets(account: &Endpoint) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    for bucket in account.store("GET", "/", "")?.document()?.items("Buckets") {
        let name = bucket.get(&["Name"]);
        lines.push(format!("bucket {name}"));
        for part in BUCKET_PARTS {
            let said = account.store("GET", &format!("/{name}?{part}"), "")?;
            let text = match (said.status, said.document()) {
                (404, _) => continue,
                (_, Ok(document)) => flat(&document),
                (_, Err(_)) => said.body,
            };
            lines.push(format!("bucket {name} {part} {text}"));
        }
        for object in account.store("GET", &format!("/{name}?versions"), "")?.document()?.texts("Key") {
            lines.push(format!("object {name}/{object}"));
        }
    }
    Ok(lines)
}

fn is_there(item: &Element) -> bool {
    // The list of rules that a network begins with is part of it, and the server forgets to remove it with it.
    let is_default_list = item.child("networkAclId").is_some() && item.get(&["default"]) == "true";
    !is_default_list && !STATES.iter().any(|state| item.text_at(state).is_some_and(|state| GONE.contains(&state)))
}

fn line(name: &str, item: &Element) -> String {
    format!("{name} {}", flat(item))
}

/// An item in one line. The order of what is in a set means nothing, and says nothing here; tags are by name.
fn flat(item: &Element) -> String {
    if item.children.is_empty() {
        return plain(&item.text);
    }
    if let Some(tags) = tags(item) {
        return tags;
    }
    let told = item.children.iter().filter(|child| !VOLATILE.contains(&child.name.as_str()));
    let mut parts: Vec<String> = told.map(part).filter(|part| !part.is_empty()).collect();
    parts.sort();
    parts.join(" ")
}

fn part(child: &Element) -> String {
    let text = flat(child);
    match (text.is_empty(), matches!(child.name.as_str(), "item" | "member"), child.children.is_empty()) {
        (true, ..) => String::new(),
        (_, true, _) => format!("[{text}]"),
        (_, _, true) => format!("{}={text}", child.name),
        _ => format!("{}({text})", child.name),
    }
}

/// A set of tags, if it is one.
fn tags(set: &Element) -> Option<String> {
    let pair = |item: &Element| {
        let of = |small: &[&str], large: &[&str]| item.text_at(small).or_else(|| item.text_at(large)).map(str::to_owned);
        (item.children.len() == 2).then_some(())?;
        Some((of(&["key"], &["Key"])?, of(&["value"], &["Value"])?))
    };
    let pairs: BTreeMap<String, String> = set.children.iter().map(pair).collect::<Option<_>>()?;
    Some(pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", "))
}

/// A document of IAM comes encoded, or not; what counts is what it says.
fn plain(text: &str) -> String {
    if !text.starts_with("%7B") {
        return text.trim().to_owned();
    }
    let decoded = form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default();
    serde_json::from_str::<Json>(&decoded).map_or(decoded, |json| json.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_a_line() {
        let text = "<item><b>2</b><a>1</a><n/><availableIpAddressCount>9</availableIpAddressCount>\
                    <s><item>y</item><item>x</item></s>\
                    <tagSet><item><value>v</value><key>k</key></item><item><key>j</key><value>w</value></item></tagSet></item>";
        assert_eq!(line("thing", &Element::parse(text).unwrap()), "thing a=1 b=2 s([x] [y]) tagSet(j=w, k=v)");
    }

    #[test]
    fn what_is_gone_is_not_there() {
        for (text, there) in [
            ("<item><state>deleted</state></item>", false),
            ("<item><status><code>active</code></status></item>", true),
            ("<item><instanceState><name>terminated</name></instanceState></item>", false),
        ] {
            assert_eq!(is_there(&Element::parse(text).unwrap()), there, "{text}");
        }
    }

    #[test]
    fn documents_are_read() {
        assert_eq!(plain("%7B%22b%22%3A1%2C%22a%22%3A2%7D"), r#"{"a":2,"b":1}"#);
    }
}
