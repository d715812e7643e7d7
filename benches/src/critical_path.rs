//! How long AWS itself takes for a workspace: the longest chain of what it takes for each object, over the edges that the state says.

use std::collections::BTreeMap;
use std::time::Duration;

use cloudtik_aws_testing::{Config, Request};
use serde_json::Value as Json;

/// The calls that make an object of a kind, one after the other.
const WRITES: &[(&str, &[&str])] = &[
    ("aws_eip", &["ec2:AllocateAddress"]),
    ("aws_iam_instance_profile", &["iam:CreateInstanceProfile", "iam:AddRoleToInstanceProfile"]),
    ("aws_iam_role", &["iam:CreateRole"]),
    ("aws_iam_role_policy", &["iam:PutRolePolicy"]),
    ("aws_internet_gateway", &["ec2:CreateInternetGateway", "ec2:AttachInternetGateway"]),
    ("aws_nat_gateway", &["ec2:CreateNatGateway"]),
    ("aws_route", &["ec2:CreateRoute"]),
    ("aws_route_table", &["ec2:CreateRouteTable"]),
    ("aws_route_table_association", &["ec2:AssociateRouteTable"]),
    ("aws_s3_bucket", &["s3:CreateBucket", "s3:PutPublicAccessBlock", "s3:PutBucketVersioning", "s3:PutBucketEncryption"]),
    ("aws_security_group", &["ec2:CreateSecurityGroup", "ec2:RevokeSecurityGroupEgress"]),
    ("aws_ssm_parameter", &["ssm:PutParameter"]),
    ("aws_subnet", &["ec2:CreateSubnet"]),
    ("aws_vpc", &["ec2:CreateVpc", "ec2:ModifyVpcAttribute"]),
    ("aws_vpc_endpoint", &["ec2:CreateVpcEndpoint"]),
    ("aws_vpc_security_group_egress_rule", &["ec2:AuthorizeSecurityGroupEgress"]),
    ("aws_vpc_security_group_ingress_rule", &["ec2:AuthorizeSecurityGroupIngress"]),
];

/// The chain that takes longest.
#[derive(Debug, PartialEq)]
pub(crate) struct Chain {
    pub(crate) takes: Duration,
    /// The addresses, first to last.
    pub(crate) addresses: Vec<String>,
}

/// The chain of what stands in a state, as the proxy is configured. The calls that were recorded must be those that this counts with: else it
/// would be the path of something else, and what differs is the error.
pub(crate) fn of(state: &Json, config: &Config, recorded: &[Request]) -> Result<Chain, String> {
    let resources = state.get("resources").and_then(Json::as_object).ok_or("the state has no resources")?;
    // How often each action is counted with, and how often it was called.
    let mut actions: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let mut takes = BTreeMap::new();
    for (address, entry) in resources {
        let writes = writes(entry).ok_or_else(|| format!("{address} is of a kind that is not counted with"))?;
        let calls: Duration = writes.iter().map(|action| config.latency.of_write(action)).sum();
        takes.insert(address.as_str(), calls + waits(entry, config));
        for action in writes {
            actions.entry(action).or_default().0 += 1;
        }
    }
    for request in recorded.iter().filter(|request| request.is_committed_write()) {
        actions.entry(&request.action).or_default().1 += 1;
    }
    if let Some((action, (counted, called))) = actions.into_iter().find(|(_, (counted, called))| counted != called) {
        return Err(format!("{action} was called {called} times, and {counted} are counted with"));
    }
    let mut chains = BTreeMap::new();
    let longest = takes.keys().map(|address| ends(address, resources, &takes, &mut chains)).max().unwrap_or_default();
    let mut chain = Chain { takes: longest, addresses: Vec::new() };
    let last = takes.keys().find(|address| chains.get(**address) == Some(&longest)).copied();
    let mut at = last;
    while let Some(address) = at {
        chain.addresses.insert(0, address.to_owned());
        at = depends(address, resources).max_by_key(|on| chains.get(on).copied());
    }
    Ok(chain)
}

/// When it can be done at the earliest.
fn ends<'a>(
    address: &'a str,
    resources: &'a serde_json::Map<String, Json>,
    takes: &BTreeMap<&'a str, Duration>,
    chains: &mut BTreeMap<&'a str, Duration>,
) -> Duration {
    if let Some(known) = chains.get(address) {
        return *known;
    }
    let begins = depends(address, resources).map(|on| ends(on, resources, takes, chains)).max().unwrap_or_default();
    let end = begins + takes.get(address).copied().unwrap_or_default();
    chains.insert(address, end);
    end
}

fn depends<'a>(address: &str, resources: &'a serde_json::Map<String, Json>) -> impl Iterator<Item = &'a str> {
    let on = resources.get(address).and_then(|entry| entry.get("depends_on")).and_then(Json::as_array);
    on.into_iter().flatten().filter_map(Json::as_str)
}

fn kind(entry: &Json) -> &str {
    entry.get("kind").and_then(Json::as_str).unwrap_or_default()
}

fn writes(entry: &Json) -> Option<Vec<&'static str>> {
    let (_, writes) = WRITES.iter().find(|(name, _)| *name == kind(entry))?;
    let mut writes = writes.to_vec();
    let public = entry.pointer("/current/attributes/map_public_ip_on_launch").and_then(Json::as_bool);
    if kind(entry) == "aws_subnet" && public == Some(true) {
        writes.push("ec2:ModifySubnetAttribute");
    }
    Some(writes)
}

/// How long it is on its way after the last call.
fn waits(entry: &Json, config: &Config) -> Duration {
    let times = &config.times;
    Duration::from_millis(match kind(entry) {
        _ if !times.on => 0,
        "aws_nat_gateway" => times.nat_gateway.create_ms,
        "aws_vpc_endpoint" => times.vpc_endpoint.create_ms,
        _ => 0,
    })
}

#[cfg(test)]
mod tests {
    use cloudtik_aws_testing::Latency;
    use serde_json::json;

    use super::*;

    fn state() -> Json {
        json!({ "resources": {
            "w.eip": { "kind": "aws_eip" },
            "w.nat": { "kind": "aws_nat_gateway", "depends_on": ["w.eip", "w.subnet"] },
            "w.network": { "kind": "aws_vpc" },
            "w.subnet": { "kind": "aws_subnet", "depends_on": ["w.network"] },
        }})
    }

    fn recorded(actions: &[&str]) -> Vec<Request> {
        let request = |(number, action): (usize, &&str)| {
            serde_json::from_value(json!({
                "number": number, "at_ms": 0, "action": action, "region": "", "parameters": {}, "write": true, "status": 200, "error": null,
                "committed": true, "duration_ms": 0, "lost": false,
            }))
        };
        actions.iter().enumerate().map(request).collect::<Result<_, _>>().unwrap()
    }

    const ALL: [&str; 5] = ["ec2:AllocateAddress", "ec2:CreateNatGateway", "ec2:CreateVpc", "ec2:ModifyVpcAttribute", "ec2:CreateSubnet"];

    #[test]
    fn the_longest_chain_is_found() {
        let latency = Latency { scale: 1.0, steady: true, ..Latency::default() };
        let chain = of(&state(), &Config { latency, ..Config::as_aws() }, &recorded(&ALL)).unwrap();
        assert_eq!(chain.addresses, ["w.network", "w.subnet", "w.nat"]);
        assert_eq!(chain.takes, Duration::from_millis(650 + 500 + 500 + 500 + 100_000));
    }

    #[test]
    fn other_calls_are_another_path() {
        let config = Config::as_aws();
        assert!(of(&state(), &config, &recorded(&ALL[1..])).unwrap_err().contains("ec2:AllocateAddress was called 0 times, and 1"));
        let more = [&ALL[..], &["ec2:CreateTags"]].concat();
        assert!(of(&state(), &config, &recorded(&more)).unwrap_err().contains("ec2:CreateTags was called 1 times, and 0"));
    }
}
