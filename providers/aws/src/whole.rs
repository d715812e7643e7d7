//! What is there of a workspace that is taken over: the answer to the question `workspace`, where its parts lie, and which of them each resource
//! is. Parts are known by their names, which are the predecessor's too, and by what they hang on.
//!
//! The answer is pinned: ranges and zones that were found once are those of the workspace from then on, as if they had been planned.

use std::collections::{BTreeMap, BTreeSet};

use cloudtik_model::spec::WorkspaceSpec;
use cloudtik_model::{Address, Diagnostic, Diagnostics, ExprKind, ResourceSpec, Span, Value};
use cloudtik_provider_api::Facts;
use ipnet::Ipv4Net;

use crate::facts::{WORKSPACE, workspace_key};
use crate::kinds::{self, SAME_RULE};

/// Kinds in an order in which each comes after those that it is known by. A NAT gateway tells which address is its own.
const ORDER: &[&str] = &[
    kinds::VPC,
    kinds::INTERNET_GATEWAY,
    kinds::SUBNET,
    kinds::NAT_GATEWAY,
    kinds::EIP,
    kinds::ROUTE_TABLE,
    kinds::SECURITY_GROUP,
    kinds::VPC_ENDPOINT,
    kinds::PEERING,
    kinds::PEERING_ACCEPTER,
    kinds::PEERING_OPTIONS,
    kinds::PEERING_ROUTES,
    kinds::ROUTE,
    kinds::ROUTE_TABLE_ASSOCIATION,
    kinds::INGRESS_RULE,
    kinds::EGRESS_RULE,
    kinds::IAM_ROLE,
    kinds::IAM_ROLE_POLICY,
    kinds::IAM_ROLE_POLICY_ATTACHMENT,
    kinds::IAM_INSTANCE_PROFILE,
    kinds::S3_BUCKET,
    kinds::SSM_PARAMETER,
];

/// Lists of the answer whose objects are in the way of the network's end, with their kinds.
const PARTS: &[(&str, &str)] = &[
    ("internet_gateways", kinds::INTERNET_GATEWAY),
    ("subnets", kinds::SUBNET),
    ("nat_gateways", kinds::NAT_GATEWAY),
    ("route_tables", kinds::ROUTE_TABLE),
    ("endpoints", kinds::VPC_ENDPOINT),
];

/// What was found.
#[derive(Clone, Debug)]
pub(crate) struct Whole {
    answer: Value,
    /// Where the `import` stands; none once it was taken out of the spec.
    import: Option<Span>,
}

impl Whole {
    /// What was found of a workspace. `None`: it was not taken over, or nobody was asked yet.
    pub(crate) fn of(config: &Value, workspace: &WorkspaceSpec, facts: &Facts) -> Option<Self> {
        let answer = facts.get(&workspace_key(config, workspace, WORKSPACE)).filter(|answer| !answer.is_null() && answer.is_known())?;
        Some(Self { answer: answer.clone(), import: workspace.import })
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &Value> {
        self.answer.get(name).and_then(Value::elements).into_iter().flatten()
    }

    /// The range of the network.
    pub(crate) fn cidr(&self) -> Option<Value> {
        self.all("networks").next().and_then(|network| network.get("cidr_block")).filter(|range| !range.is_null()).cloned()
    }

    /// What the firewall of that name says that it is for: it cannot be changed.
    pub(crate) fn firewall_description(&self, name: &str) -> Option<Value> {
        let firewall = self.all("firewalls").find(|firewall| text(firewall, "name") == Some(name))?;
        firewall.get("description").filter(|text| !text.is_null()).cloned()
    }

    /// Zones with subnets of the workspace, by the highest range of each, which is that of a private one: as they were numbered when they were
    /// made.
    pub(crate) fn zones(&self) -> Vec<String> {
        let mut first: BTreeMap<&str, Ipv4Net> = BTreeMap::new();
        for (zone, range) in self.all("subnets").filter_map(|subnet| Some((text(subnet, "zone")?, range(subnet)?))) {
            first.entry(zone).and_modify(|known| *known = (*known).max(range)).or_insert(range);
        }
        let mut zones: Vec<(Ipv4Net, &str)> = first.into_iter().map(|(zone, range)| (range, zone)).collect();
        zones.sort();
        zones.into_iter().map(|(_, zone)| zone.to_owned()).collect()
    }

    /// The range of the subnet of that name in a zone.
    pub(crate) fn subnet(&self, name: &str, zone: &str) -> Option<Ipv4Net> {
        self.all("subnets").find(|subnet| text(subnet, "name") == Some(name) && text(subnet, "zone") == Some(zone)).and_then(range)
    }

    /// Ranges in the network that are in use.
    pub(crate) fn taken(&self) -> Vec<Ipv4Net> {
        self.all("taken").filter_map(|range| range.as_str()?.parse().ok()).collect()
    }

    /// The ids that resources have, as far as there may be something that they are.
    pub(crate) fn ids(&self, resources: &[ResourceSpec], found: &mut Diagnostics) -> BTreeMap<Address, String> {
        let mut matching = Matching { whole: self, resources, ids: BTreeMap::new(), used: BTreeSet::new() };
        for kind in ORDER {
            for resource in resources.iter().filter(|resource| &*resource.kind == *kind) {
                let mut candidates = matching.candidates(resource);
                // Both ends of a connection have options under its id, each through its own configuration.
                if *kind != kinds::PEERING_OPTIONS {
                    candidates.retain(|id| !matching.used.contains(&((*kind).to_owned(), id.clone())));
                }
                match candidates.as_slice() {
                    [] => {}
                    [id] => matching.take(resource, id.clone()),
                    several => found.push(self.ambiguous(resource, several)),
                }
            }
        }
        self.left(&matching, found);
        matching.ids
    }

    fn at(&self) -> Span {
        self.import.unwrap_or(Span::NONE)
    }

    fn ambiguous(&self, resource: &ResourceSpec, ids: &[String]) -> Diagnostic {
        let title = format!("{} could be `{}`: {}", ids.len(), resource.address, ids.join(", "));
        let first = ids.first().map_or("", String::as_str);
        let help = format!("say which: `import {{ to = {}, id = \"{first}\" }}`, or give the other one another name", resource.address);
        Diagnostic::error("several-found", title).at(self.at()).of(&resource.address).help(help)
    }

    /// What belongs to the workspace and is not in the spec: it stays, and whoever takes it over should know of it.
    fn left(&self, matching: &Matching<'_>, found: &mut Diagnostics) {
        let is_left =
            |kind: &str, item: &Value| text(item, "id").is_some_and(|id| !matching.used.contains(&(kind.to_owned(), id.to_owned())));
        let mut warn = |title: String, help: &str| {
            found.push(Diagnostic::warning("import-left", title).at(self.at()).help(help));
        };
        for rule in self.all("rules").filter(|rule| text(rule, "kind").is_some_and(|kind| is_left(kind, rule))) {
            let id = text(rule, "id").unwrap_or_default();
            warn(
                format!("the firewall has a rule that the spec does not have, and keeps it: {id}, {}", shown_rule(rule)),
                "write it as `ingress` or `egress`, or revoke it by hand; it goes with the firewall",
            );
        }
        for (list, kind) in PARTS {
            for id in self.all(list).filter(|part| is_left(kind, part)).filter_map(|part| text(part, "id")) {
                let title = format!("`{id}` has the name of a part of the workspace, and is none in the spec: it stays");
                warn(title, "write the spec so that it is one, or remove it by hand: a network goes last, when nothing is left in it");
            }
        }
        let mut rights: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (role, arn) in self.all("policies").filter_map(|policy| Some((text(policy, "role")?, text(policy, "policy_arn")?))) {
            if !matching.used.contains(&(kinds::IAM_ROLE_POLICY_ATTACHMENT.to_owned(), format!("{role}/{arn}"))) {
                rights.entry(role).or_default().push(arn);
            }
        }
        for (role, arns) in rights {
            warn(
                format!("the role {role} has rights that the spec does not have, and keeps them: {}", arns.join(", ")),
                "add them to `head_policies` or `worker_policies`, or detach them by hand once nothing that runs needs them",
            );
        }
    }
}

/// Parts of the workspace and resources, being brought together.
struct Matching<'a> {
    whole: &'a Whole,
    resources: &'a [ResourceSpec],
    ids: BTreeMap<Address, String>,
    /// Kind and id of what is some resource already.
    used: BTreeSet<(String, String)>,
}

impl Matching<'_> {
    fn take(&mut self, resource: &ResourceSpec, id: String) {
        self.used.insert((resource.kind.to_string(), id.clone()));
        self.ids.insert(resource.address.clone(), id);
    }

    /// The ids of what a resource may be.
    fn candidates(&self, resource: &ResourceSpec) -> Vec<String> {
        let asked = |name: &str| self.resolved(resource.attributes.get(name)?);
        let composed = |parts: &[&str], between: &str| {
            let parts: Option<Vec<String>> = parts.iter().map(|name| asked(name)).collect();
            parts.map(|parts| parts.join(between)).into_iter().collect::<Vec<_>>()
        };
        let of = |name: &str, is_it: &dyn Fn(&Value) -> bool| ids(self.whole.all(name).filter(|item| is_it(item)));
        let same = |item: &Value, name: &str| text(item, name).is_some() && text(item, name).map(str::to_owned) == asked(name);
        let is_called = |item: &Value| text(item, "name") == resource.attributes.get("tags").and_then(|tags| text(tags, "Name"));
        match &*resource.kind {
            kinds::VPC => of("networks", &|_| true),
            kinds::INTERNET_GATEWAY => of("internet_gateways", &|_| true),
            kinds::SUBNET => of("subnets", &|item| is_called(item) && same(item, "cidr_block")),
            kinds::NAT_GATEWAY => self.nat_gateways(resource, &|item| same(item, "subnet_id")),
            kinds::EIP => self.addresses(resource),
            kinds::ROUTE_TABLE => self.tables(resource, &is_called),
            kinds::SECURITY_GROUP => of("firewalls", &|item| same(item, "name")),
            kinds::VPC_ENDPOINT => of("endpoints", &|item| same(item, "service_name")),
            kinds::PEERING => of("peerings", &|_| true),
            kinds::PEERING_ACCEPTER | kinds::PEERING_OPTIONS => composed(&["vpc_peering_connection_id"], ""),
            kinds::PEERING_ROUTES => composed(&["vpc_peering_connection_id", "destination_cidr_block"], "_"),
            kinds::ROUTE => composed(&["route_table_id", "destination_cidr_block"], "_"),
            kinds::ROUTE_TABLE_ASSOCIATION => composed(&["subnet_id"], ""),
            kinds::IAM_ROLE_POLICY => composed(&["role", "name"], ":"),
            kinds::IAM_ROLE_POLICY_ATTACHMENT => composed(&["role", "policy_arn"], "/"),
            kinds::S3_BUCKET => composed(&["bucket"], ""),
            kinds::INGRESS_RULE | kinds::EGRESS_RULE => self.rules(resource),
            _ => composed(&["name"], ""),
        }
    }

    /// By its subnet; where there is to be one only, it may stand elsewhere, which the plan shows.
    fn nat_gateways(&self, resource: &ResourceSpec, is_there: &dyn Fn(&Value) -> bool) -> Vec<String> {
        let here = ids(self.whole.all("nat_gateways").filter(|item| is_there(item)));
        let is_only = self.resources.iter().filter(|other| other.kind == resource.kind).count() == 1;
        if here.is_empty() && is_only { ids(self.whole.all("nat_gateways")) } else { here }
    }

    /// The address that the NAT gateway has which is to have this one; else one of its name that nothing has.
    fn addresses(&self, resource: &ResourceSpec) -> Vec<String> {
        let is_user = |other: &&ResourceSpec| refers_to(other.attributes.get("allocation_id")) == Some(&resource.address);
        let user = self.resources.iter().find(is_user).and_then(|user| self.ids.get(&user.address));
        let of_user = self.whole.all("nat_gateways").find(|item| text(item, "id") == user.map(String::as_str));
        if let (Some(_), Some(id)) = (user, of_user.and_then(|item| text(item, "allocation_id"))) {
            return vec![id.to_owned()];
        }
        ids(self.whole.all("addresses")).into_iter().take(1).collect()
    }

    /// By name, and where several have it, by the subnets that use it.
    fn tables(&self, resource: &ResourceSpec, is_called: &dyn Fn(&Value) -> bool) -> Vec<String> {
        let called: Vec<&Value> = self.whole.all("route_tables").filter(|item| is_called(item)).collect();
        if called.len() < 2 {
            return ids(called.into_iter());
        }
        let users = self.resources.iter().filter(|other| refers_to(other.attributes.get("route_table_id")) == Some(&resource.address));
        let subnets: BTreeSet<String> = users.filter_map(|other| self.resolved(other.attributes.get("subnet_id")?)).collect();
        let is_used = |item: &&&Value| {
            let mut of = item.get("subnets").and_then(Value::elements).into_iter().flatten();
            of.any(|subnet| subnet.as_str().is_some_and(|subnet| subnets.contains(subnet)))
        };
        let used: Vec<&Value> = called.iter().filter(is_used).copied().collect();
        ids(if used.is_empty() { called } else { used }.into_iter())
    }

    /// By all that makes two rules one.
    fn rules(&self, resource: &ResourceSpec) -> Vec<String> {
        let is_same = |rule: &&Value| {
            text(rule, "kind") == Some(&*resource.kind)
                && SAME_RULE.iter().all(|name| {
                    let is = rule.get(name).filter(|value| !value.is_null()).cloned();
                    let asked = resource.attributes.get(name).filter(|value| !value.is_null());
                    is == asked.map(|asked| self.resolved(asked).map_or_else(|| asked.clone(), Value::from))
                })
        };
        ids(self.whole.all("rules").filter(is_same))
    }

    /// The text of a value: itself, or what is known of the part that it refers to.
    fn resolved(&self, value: &Value) -> Option<String> {
        if let Some(text) = value.as_str() {
            return Some(text.to_owned());
        }
        let ExprKind::Attribute { of, name } = &value.as_deferred()?.expr.kind else { return None };
        let ExprKind::Reference(address) = &of.kind else { return None };
        let id = self.ids.get(address);
        match &**name {
            "id" => id.cloned(),
            "allocation_id" => id.cloned(),
            "prefix_list_id" => {
                let endpoint = self.whole.all("endpoints").find(|item| text(item, "id") == id.map(String::as_str))?;
                text(endpoint, "prefix_list_id").map(str::to_owned)
            }
            name => {
                let resource = self.resources.iter().find(|resource| resource.address == *address)?;
                resource.attributes.get(name)?.as_str().map(str::to_owned)
            }
        }
    }
}

fn ids<'v>(items: impl Iterator<Item = &'v Value>) -> Vec<String> {
    items.filter_map(|item| text(item, "id").map(str::to_owned)).collect()
}

fn text<'v>(item: &'v Value, name: &str) -> Option<&'v str> {
    item.get(name)?.as_str()
}

fn range(subnet: &Value) -> Option<Ipv4Net> {
    text(subnet, "cidr_block")?.parse().ok()
}

/// The address of a value that is an attribute of something else.
fn refers_to(value: Option<&Value>) -> Option<&Address> {
    let ExprKind::Attribute { of, .. } = &value?.as_deferred()?.expr.kind else { return None };
    match &of.kind {
        ExprKind::Reference(address) => Some(address),
        _ => None,
    }
}

/// `tcp 22 in from 10.0.0.0/16`
fn shown_rule(rule: &Value) -> String {
    let is_out = text(rule, "kind") == Some(kinds::EGRESS_RULE);
    let protocol = text(rule, "ip_protocol").map_or("all", |protocol| if protocol == "-1" { "everything" } else { protocol });
    let port = |name: &str| rule.get(name).and_then(Value::as_number).map(ToString::to_string);
    let ports = match (port("from_port"), port("to_port")) {
        (Some(from), Some(to)) if from == to => format!(" {from}"),
        (Some(from), Some(to)) => format!(" {from}-{to}"),
        _ => String::new(),
    };
    let peers = ["cidr_ipv4", "cidr_ipv6", "referenced_security_group_id", "prefix_list_id"];
    let peer = peers.iter().find_map(|name| text(rule, name)).unwrap_or("somebody");
    format!("{protocol}{ports} {} {peer}", if is_out { "out to" } else { "in from" })
}
