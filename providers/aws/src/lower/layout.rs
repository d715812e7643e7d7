//! Where everything of a workspace lies: its network, zones, ranges and subnets. The cluster reads it too.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use cloudtik_model::spec::WorkspaceSpec;
use cloudtik_model::{Diagnostic, Diagnostics, Type, Value};
use cloudtik_provider_api::{Facts, fact, real_name};
use ipnet::Ipv4Net;

use super::{indexed, place};
use crate::addresses::{LONGEST_PREFIX, SHORTEST_PREFIX, ZoneRanges, free_network, overlap, own_subnets, shared_subnets, zones_max};
use crate::facts::{self, Account, workspace_key};
use crate::lower::maker::id_of;
use crate::names::{self, Named};
use crate::network_spec::{Mode, NetworkSpec, Zones};
use crate::text::part_of;
use crate::whole::Whole;

/// More zones than this have no room in any network; no region has as many.
const ZONES_MAX: usize = 8;

/// A network and its subnets.
pub(super) struct Layout {
    pub(super) spec: NetworkSpec,
    pub(super) account: Account,
    /// The id of the network.
    pub(super) network: Value,
    /// Its range.
    pub(super) cidr: Value,
    /// The zone of each slot.
    pub(super) zones: Vec<Value>,
    /// The ranges of the subnets of each slot; none where the subnets are given.
    pub(super) ranges: Vec<(Value, Value)>,
    /// The ids of the subnets, by slot.
    pub(super) public: Vec<Value>,
    /// See `public`.
    pub(super) private: Vec<Value>,
    /// The answer about the network of somebody else: that which is shared, or the client's.
    pub(super) other: Value,
    /// Whether names are resolved in the client's network that is peered.
    pub(super) names: Value,
    /// What was there when it was taken over.
    pub(super) whole: Option<Whole>,
}

impl Layout {
    /// As far as it is known; what cannot be is said at its place.
    pub(super) fn of(config: &Value, workspace: &WorkspaceSpec, facts: &Facts, found: &mut Diagnostics) -> Self {
        let spec = NetworkSpec::of(workspace);
        check(&spec, workspace, found);
        let question = |question: &str| fact(facts, &workspace_key(config, workspace, question), Type::Any);
        let other = match spec.mode {
            Mode::PublicHead => Value::NULL,
            Mode::Peered => question(facts::CLIENT),
            Mode::Shared => question(facts::NETWORK),
        };
        let names = match spec.mode {
            Mode::Peered => part_of(&question(facts::CLIENT_NAMES), "names", Type::Bool),
            Mode::PublicHead | Mode::Shared => Value::NULL,
        };
        let whole = Whole::of(config, workspace, facts);
        let account = Account::of(&workspace.provider, config, facts);
        check_other(&other, &spec, &account, config, workspace, found);
        check_names(&names, &other, workspace, found);
        let (network, cidr) = match spec.mode {
            Mode::Shared => (part_of(&other, "vpc_id", Type::String), facts::first_range(&other)),
            Mode::PublicHead | Mode::Peered => (
                id_of(&workspace.address.child("network")),
                own_cidr(&spec, whole.as_ref(), &other, &question(facts::VPCS), workspace, found),
            ),
        };
        let mut layout = Self {
            account,
            network,
            cidr,
            zones: Vec::new(),
            ranges: Vec::new(),
            public: Vec::new(),
            private: Vec::new(),
            other,
            names,
            whole,
            spec,
        };
        if let Some(given) = &layout.spec.given {
            (layout.public, layout.private) = (given.public.clone(), given.private.clone());
            return layout;
        }
        layout.zones = zones(&layout, &question(facts::ZONES), workspace, found);
        layout.ranges = ranges(&layout, workspace, found);
        let subnets = workspace.address.child("subnet");
        let ids = |name: &str| (0..layout.zones.len()).map(|slot| id_of(&indexed(&subnets, name, slot))).collect();
        (layout.public, layout.private) = (ids("public"), ids("private"));
        layout
    }

    /// Whether the subnets, and what leads to them, are made.
    pub(super) const fn makes_subnets(&self) -> bool {
        self.spec.given.is_none()
    }

    /// The range of the network of the client: that which is peered, or that which is shared.
    pub(super) fn client_range(&self) -> Option<Value> {
        (self.spec.mode != Mode::PublicHead).then(|| facts::first_range(&self.other))
    }
}

/// What does not go together.
fn check(spec: &NetworkSpec, workspace: &WorkspaceSpec, found: &mut Diagnostics) {
    let fields = &workspace.network.fields;
    let mut wrong = |name: &str, title: &str, help: &str| {
        let at = place(fields, name, workspace.network.span);
        found.push(Diagnostic::error("aws-network", title).at(at).of(&workspace.address).help(help));
    };
    if spec.mode == Mode::Shared && spec.cidr.is_some() {
        wrong("cidr", "mode `shared` uses a network that is there, whose range cannot be chosen", "leave `cidr` out");
    }
    if spec.mode != Mode::Shared && spec.given.is_some() {
        wrong("subnets", "only mode `shared` uses subnets that are there", "write `mode = \"shared\"`, or leave `subnets` out");
    }
    if let Some(given) = &spec.given
        && given.private.is_empty()
    {
        wrong("subnets", "there is no private subnet to put nodes into", "name one at least: `private = [\"subnet-…\"]`");
    }
    if spec.zones.count() > ZONES_MAX {
        wrong("zones", "no region has so many zones", "write a smaller number");
    }
    for service in spec.endpoints.iter().filter(|service| !is_service(service)) {
        let help = "write what stands behind the region in the name of the endpoint: `\"s3\"`, `\"ecr.api\"`";
        wrong("endpoints", &format!("`{service}` is not the name of a service"), help);
    }
    let useless: &[&str] = match spec.mode {
        Mode::PublicHead => &["client_vpc", "client_access"],
        Mode::Shared if spec.given.is_some() => &["zones", "nat", "endpoints"],
        Mode::Peered | Mode::Shared => &[],
    };
    if let Some(client) = workspace.client.as_ref().filter(|_| spec.mode != Mode::Peered) {
        let title = format!("`client_provider` has no effect in mode `{}`", spec.mode.word());
        found.push(Diagnostic::warning("no-effect", title).at(client.span).of(&workspace.address));
    }
    for (name, field) in cloudtik_provider_api::written(fields, useless) {
        let why = if spec.mode == Mode::PublicHead { "in mode `public-head`" } else { "with subnets that are given" };
        found.push(Diagnostic::warning("no-effect", format!("`{name}` has no effect {why}")).at(field.span).of(&workspace.address));
    }
}

fn is_service(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(fits)
}

/// What the answer about somebody else's network means for this workspace.
fn check_other(other: &Value, spec: &NetworkSpec, account: &Account, config: &Value, workspace: &WorkspaceSpec, found: &mut Diagnostics) {
    if other.is_null() || other.is_deferred() {
        return;
    }
    let at = place(&workspace.network.fields, "client_vpc", workspace.network.span);
    let vpc = other.get("vpc_id").and_then(Value::as_str).unwrap_or_default();
    if vpc.is_empty() {
        let title = format!("mode `{}` needs the network of the client, and none was found", spec.mode.word());
        found.push(Diagnostic::error("aws-client", title).at(at).of(&workspace.address).help("write `client_vpc = \"vpc-…\"`"));
        return;
    }
    if spec.mode == Mode::Peered {
        found.extend(check_client(other, vpc, account, config, workspace));
    }
    let ranges: BTreeSet<&Value> = other.get("cidr_blocks").and_then(Value::elements).into_iter().flatten().collect();
    let ranges = ranges.len();
    if ranges > 1 {
        let title = format!("{vpc} has {ranges} ranges, and rules and routes are made for the first of them");
        found.push(Diagnostic::warning("aws-client-ranges", title).at(at).of(&workspace.address));
    }
    let gateway = other.get("internet_gateway_id").is_some_and(|gateway| !gateway.is_null());
    if spec.mode == Mode::Shared && spec.given.is_none() && !gateway {
        let title = format!("{vpc} has no internet gateway, which public subnets lead to");
        let help = "attach one to it, or use subnets that are there: `subnets = { public = [], private = [\"subnet-…\"] }`";
        found.push(Diagnostic::error("aws-network", title).at(at).of(&workspace.address).help(help));
    }
}

/// AWS resolves names across a connection between two networks that both have names.
fn check_names(names: &Value, other: &Value, workspace: &WorkspaceSpec, found: &mut Diagnostics) {
    let Some(vpc) = other.get("vpc_id").and_then(Value::as_str).filter(|_| names.as_bool() == Some(false)) else { return };
    let at = place(&workspace.network.fields, "client_vpc", workspace.network.span);
    let title =
        format!("{vpc} has no DNS hostnames or no DNS resolution: names of the other network lead to public addresses on both sides");
    let help = format!(
        "`aws ec2 modify-vpc-attribute --vpc-id {vpc} --enable-dns-hostnames Value=true`, and `--enable-dns-support`: the next plan turns \
         the options of the peering on"
    );
    found.push(Diagnostic::warning("aws-client-names", title).at(at).of(&workspace.address).help(help));
}

/// Whether both ends of the connection can be made through the configurations that there are. What is not known yet is no reason against it.
fn check_client(other: &Value, vpc: &str, account: &Account, config: &Value, workspace: &WorkspaceSpec) -> Option<Diagnostic> {
    let places = [("region", &account.region), ("account", &account.account)];
    let places = places.map(|(what, here)| Some((what, other.get(what)?.as_str()?, here.as_str()?)));
    let Some(client) = &workspace.client else {
        let (what, there, here) = places.into_iter().flatten().find(|(_, there, here)| there != here)?;
        let title = format!("the network of the client, {vpc}, is in {what} {there}, and the workspace in {here}");
        let help = "write `client_provider = aws.ALIAS`: the configuration of a `provider \"aws\"` that is for there";
        let at = place(&workspace.network.fields, "client_vpc", workspace.network.span);
        return Some(Diagnostic::error("aws-client", title).at(at).of(&workspace.address).help(help));
    };
    let is_here = places.iter().all(|place| place.is_some_and(|(_, there, here)| there == here));
    if !is_here || tags_of(&client.config) == tags_of(config) {
        return None;
    }
    let title = "`client_provider` leads to the region and account of the workspace, and has other `default_tags`: both ends of the connection \
                 have one set of tags there";
    let help = "leave `client_provider` out, or give both configurations the same `default_tags`";
    Some(Diagnostic::error("aws-client", title).at(client.span).of(&workspace.address).help(help))
}

fn tags_of(config: &Value) -> Option<&BTreeMap<Arc<str>, Value>> {
    config.get("default_tags").and_then(Value::entries).filter(|tags| !tags.is_empty())
}

/// The range of a network of our own: as written, or the first that is free.
fn own_cidr(
    spec: &NetworkSpec,
    whole: Option<&Whole>,
    client: &Value,
    vpcs: &Value,
    workspace: &WorkspaceSpec,
    found: &mut Diagnostics,
) -> Value {
    if let Some(written) = &spec.cidr {
        return if check_cidr(written, workspace, found) { written.clone() } else { Value::NULL };
    }
    if let Some(range) = whole.and_then(Whole::cidr) {
        return range;
    }
    if vpcs.is_deferred() {
        return part_of_type(vpcs);
    }
    if client.is_deferred() {
        return part_of_type(client);
    }
    let mut taken = facts::vpcs(vpcs);
    if spec.mode == Mode::Peered {
        let other = facts::client(client);
        taken.extend(other.ranges.into_iter().chain(other.taken));
    }
    if let Some(free) = free_network(&taken) {
        return free.to_string().into();
    }
    let title = "no range of 65536 private addresses is free in this region";
    let help = "write a smaller one that is free: `cidr = \"10.1.2.0/24\"`";
    found.push(Diagnostic::error("aws-cidr", title).at(workspace.network.span).of(&workspace.address).help(help));
    Value::NULL
}

/// A text that is made of an answer which is not there yet.
fn part_of_type(answer: &Value) -> Value {
    answer.as_deferred().map_or(Value::NULL, |deferred| Value::deferred(Type::String, deferred.expr.clone()))
}

fn check_cidr(written: &Value, workspace: &WorkspaceSpec, found: &mut Diagnostics) -> bool {
    let at = place(&workspace.network.fields, "cidr", workspace.network.span);
    let wrong = match written.as_str() {
        None => Some("`cidr` must be known when the plan is made: the subnets are parts of it".to_owned()),
        Some(text) => match text.split_once('/').and_then(|(address, prefix)| Some((address.parse().ok()?, prefix.parse().ok()?))) {
            Some((IpAddr::V4(_), prefix)) if (SHORTEST_PREFIX..=LONGEST_PREFIX).contains(&prefix) => None,
            Some((IpAddr::V4(_), prefix)) => Some(format!("AWS has no networks of the size /{prefix}")),
            Some((IpAddr::V6(_), _)) => Some("a network of AWS begins with a range of IPv4".to_owned()),
            None => Some("this is not a range of addresses".to_owned()),
        },
    };
    let Some(title) = wrong else { return true };
    let help = format!("write a range of IPv4 from /{SHORTEST_PREFIX} to /{LONGEST_PREFIX}: `\"10.0.0.0/16\"`");
    found.push(Diagnostic::error("aws-cidr", title).at(at).of(&workspace.address).help(help));
    false
}

fn zones(layout: &Layout, answer: &Value, workspace: &WorkspaceSpec, found: &mut Diagnostics) -> Vec<Value> {
    let at = place(&workspace.network.fields, "zones", workspace.network.span);
    match &layout.spec.zones {
        Zones::Named(names) => {
            let region = layout.account.region.as_str();
            for name in names.iter().filter(|name| region.is_some_and(|region| !name.starts_with(region))) {
                let title = format!("`{name}` is no zone of the region {}", region.unwrap_or_default());
                found.push(Diagnostic::error("aws-zones", title).at(at).of(&workspace.address));
            }
            names.iter().take(ZONES_MAX).map(|name| name.as_str().into()).collect()
        }
        Zones::Count(count) => {
            let count = (*count).min(ZONES_MAX);
            let there = layout.whole.as_ref().map(Whole::zones).unwrap_or_default();
            if there.len() > count {
                let title = format!("the workspace has subnets in the zones {}, and `zones` asks for {count}", there.join(", "));
                let help = format!("write `zones = {}`: an import leaves nothing behind", there.len());
                found.push(Diagnostic::error("aws-zones", title).at(at).of(&workspace.address).help(help));
            }
            let answer = &zones_beside(&there, answer);
            if let Some(all) = answer.elements().map(|zones| zones.len() + there.len()).filter(|all| *all < count) {
                let title = format!("the region has {all} zones, and `zones` asks for {count}");
                found.push(Diagnostic::error("aws-zones", title).at(at).of(&workspace.address).help(format!("write `zones = {all}`")));
            }
            let rest = count.saturating_sub(there.len());
            let there = there.iter().take(count).map(|zone| Value::from(zone.as_str()));
            there.chain((0..rest).map(|slot| facts::zone(answer, slot))).collect()
        }
    }
}

/// The zones of the region that have no subnets of the workspace yet.
fn zones_beside(there: &[String], answer: &Value) -> Value {
    match answer.elements() {
        Some(all) if !there.is_empty() => {
            Value::list(all.filter(|zone| !zone.as_str().is_some_and(|zone| there.iter().any(|used| used == zone))).cloned())
        }
        _ => answer.clone(),
    }
}

/// The ranges of the subnets of a workspace that was taken over: those that are there, and for others what would be planned, where it is free.
fn found_ranges(whole: &Whole, layout: &Layout, planned: &[ZoneRanges], name: &str) -> Vec<(Value, Value)> {
    let mut taken = whole.taken();
    let mut one = |named: Named, zone: &Value, planned: Ipv4Net| {
        let there = zone.as_str().and_then(|zone| whole.subnet(&names::of(name, named), zone));
        let is_free = |range: &Ipv4Net| !taken.iter().any(|other| overlap(range, other));
        let networks: Vec<Ipv4Net> = layout.cidr.as_str().and_then(|range| range.parse().ok()).into_iter().collect();
        let elsewhere = || shared_subnets(&networks, &taken, 1).and_then(|ranges| ranges.first().map(|zone| zone.public));
        let range = there.or_else(|| Some(planned).filter(is_free)).or_else(elsewhere);
        taken.extend(range);
        range.map_or(Value::NULL, |range| range.to_string().into())
    };
    let zones = layout.zones.iter().zip(planned);
    zones
        .map(|(zone, planned)| (one(Named::PublicSubnet, zone, planned.public), one(Named::PrivateSubnet, zone, planned.private)))
        .collect()
}

/// The ranges of the subnets, which follow from that of the network or from what is free in it.
fn ranges(layout: &Layout, workspace: &WorkspaceSpec, found: &mut Diagnostics) -> Vec<(Value, Value)> {
    let zones = layout.zones.len();
    let text = |ranges: Vec<ZoneRanges>| {
        ranges.into_iter().map(|zone| (zone.public.to_string().into(), zone.private.to_string().into())).collect::<Vec<_>>()
    };
    let waits = |value: &Value| vec![(part_of_type(value), part_of_type(value)); zones];
    if layout.spec.mode == Mode::Shared {
        if layout.other.is_deferred() {
            return waits(&layout.other);
        }
        let other = facts::network(&layout.other);
        if let Some(ranges) = shared_subnets(&other.ranges, &other.taken, zones) {
            return text(ranges);
        }
        let title = format!("the shared network has no room for {} more subnets", zones * 2);
        let help = "use subnets that are there: `subnets = { public = [\"subnet-…\"], private = [\"subnet-…\"] }`, or fewer `zones`";
        found.push(Diagnostic::error("aws-cidr", title).at(workspace.network.span).of(&workspace.address).help(help));
        return vec![(Value::NULL, Value::NULL); zones];
    }
    let Some(network) = layout.cidr.as_str().and_then(|text| text.parse::<Ipv4Net>().ok()) else {
        return if layout.cidr.is_deferred() { waits(&layout.cidr) } else { vec![(Value::NULL, Value::NULL); zones] };
    };
    own_subnets(&network, zones).map_or_else(
        || {
            let at = place(&workspace.network.fields, "cidr", workspace.network.span);
            let most = if network.prefix_len() >= LONGEST_PREFIX { 0 } else { zones_max(&network) };
            let title = format!("{network} has no room for the subnets of {zones} zones, only for those of {most}");
            let help = "write a larger `cidr` or fewer `zones`: a subnet has 16 addresses at least, and each zone has two";
            found.push(Diagnostic::error("aws-cidr", title).at(at).of(&workspace.address).help(help));
            vec![(Value::NULL, Value::NULL); zones]
        },
        |planned| match &layout.whole {
            Some(whole) => found_ranges(whole, layout, &planned, &real_name(&workspace.address, &workspace.fields)),
            None => text(planned),
        },
    )
}
