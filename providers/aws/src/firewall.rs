//! The rules of firewalls, of a workspace and of a cluster: each range of ports from each source is a rule of its own, under a key that stays when lists
//! change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::spec::{ClusterSpec, FirewallSpec, ListenPort, Part, WorkspaceSpec};
use cloudtik_model::{Diagnostic, Diagnostics, Span, Value};

use crate::network_spec::Access;

/// What is at the other end of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A range of addresses.
    Range(Value),
    /// All nodes of the workspace.
    Inside,
    /// The heads of the workspace.
    Heads,
    /// The addresses of a service, by the name of its endpoint.
    Service(String),
}

/// Which nodes a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Nodes {
    /// All of the workspace or the cluster.
    All,
    /// Heads, which are behind a second firewall beside that of all.
    Heads,
    /// Workers, which only a cluster has a firewall for.
    Workers,
}

/// Ports, with the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    /// `tcp`, `udp`, `icmp` or `-1`
    pub(crate) protocol: &'static str,
    /// First and last; none with `-1`.
    pub(crate) range: Option<(i64, i64)>,
}

impl Ports {
    const ALL: Self = Self { protocol: "-1", range: None };
    const SSH: Self = Self { protocol: "tcp", range: Some((SSH_PORT, SSH_PORT)) };
    const HTTPS: Self = Self { protocol: "tcp", range: Some((443, 443)) };
}

/// One rule.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// What it allows.
    pub(crate) ports: Ports,
    /// To or from whom.
    pub(crate) peer: Peer,
    /// What it is for.
    pub(crate) description: Value,
    /// Where it stands.
    pub(crate) span: Span,
}

impl Rule {
    /// Whether it lets somebody outside reach SSH. Of `icmp` numbers are no ports.
    pub(crate) fn admits_ssh(&self) -> bool {
        let is_for_ssh = |(from, to): (i64, i64)| self.ports.protocol == "tcp" && (from..=to).contains(&SSH_PORT);
        !matches!(self.peer, Peer::Inside | Peer::Heads) && self.ports.range.is_none_or(is_for_ssh)
    }

    fn says_the_same(&self, other: &Self) -> bool {
        (&self.ports, &self.peer) == (&other.ports, &other.peer)
    }
}

/// Rules by whose they are, and by key.
pub(crate) type Rules = BTreeMap<(Nodes, String), Rule>;

/// Where nodes are set up through.
const SSH_PORT: i64 = 22;

/// The characters that AWS takes in a description, beside letters and digits.
const DESCRIPTION_SIGNS: &str = " ._-:/()#,@[]+=&;{}!$*";
/// So many characters AWS takes in a description.
const DESCRIPTION_CHARS_MAX: usize = 255;

/// What nodes of the workspace may do among each other where the spec says `inside = "declared"`.
pub(crate) const DECLARED: &str = "declared";

/// What nodes of the workspace may do among each other: `all`, or what is declared.
pub(crate) fn inside(workspace: &WorkspaceSpec) -> &str {
    workspace.firewall.own.fields.get("inside").and_then(|field| field.value.as_str()).unwrap_or("all")
}

/// What is let in. `client` is the range of the client's network, where it has one; `has_interfaces` says whether private endpoints stand behind the
/// same firewall.
pub(crate) fn ingress(workspace: &WorkspaceSpec, client: Option<(Access, Value)>, has_interfaces: bool, found: &mut Diagnostics) -> Rules {
    let mut rules = Rules::new();
    let firewall = &workspace.firewall;
    let own = |ports, peer, description: &str| Rule { ports, peer, description: description.into(), span: firewall.own.span };
    if inside(workspace) == DECLARED {
        // The controller on a head does everything on its workers over SSH, and neither it nor a node's agent listens on another port.
        rules.insert(of_all("ssh-of-heads"), own(Ports::SSH, Peer::Heads, "SSH from heads of the workspace"));
        if has_interfaces {
            rules.insert(of_all("endpoints"), own(Ports::HTTPS, Peer::Inside, "To private endpoints"));
        }
    } else {
        rules.insert(of_all("inside"), own(Ports::ALL, Peer::Inside, "Between nodes of the workspace"));
    }
    match client {
        Some((Access::Ssh, range)) => {
            rules.insert(of_all("client"), own(Ports::SSH, Peer::Range(range), "SSH from the network of the client"));
        }
        Some((Access::All, range)) => {
            rules.insert(of_all("client"), own(Ports::ALL, Peer::Range(range), "From the network of the client"));
        }
        Some((Access::None, _)) | None => {}
    }
    let written = written_ingress(firewall, of_workspace, found);
    rules.extend(written);
    check(&rules, "in", found);
    rules
}

/// What is let in at the nodes of a cluster, beside what its workspace lets in: what the spec says, and, where only that is open between nodes, what
/// their runtimes listen on.
pub(crate) fn ingress_of_cluster(cluster: &ClusterSpec, firewall: &FirewallSpec, is_declared: bool, found: &mut Diagnostics) -> Rules {
    let mut rules = written_ingress(firewall, of_cluster, found);
    if is_declared {
        rules.extend(declared(cluster));
    }
    check(&rules, "in", found);
    rules
}

/// The ports of runtimes, open to all nodes of the workspace.
fn declared(cluster: &ClusterSpec) -> Rules {
    let of_head: BTreeSet<ListenPort> = cluster.head.iter().flat_map(|head| &head.ports).copied().collect();
    let of_workers: BTreeSet<ListenPort> = cluster.workers.values().flat_map(|worker| &worker.ports).copied().collect();
    let rule = |port: &ListenPort| {
        let nodes = match (of_head.contains(port), of_workers.contains(port)) {
            (true, true) => Nodes::All,
            (true, false) => Nodes::Heads,
            (false, _) => Nodes::Workers,
        };
        let (protocol, number) = (if port.is_udp { "udp" } else { "tcp" }, i64::from(port.number));
        let ports = Ports { protocol, range: Some((number, number)) };
        let rule = Rule { ports, peer: Peer::Inside, description: "What a runtime listens on".into(), span: cluster.span };
        ((nodes, format!("runtime:{protocol}:{number}")), rule)
    };
    of_head.union(&of_workers).map(rule).collect()
}

/// What is let out of the nodes of a cluster, beside what its workspace lets out.
pub(crate) fn egress_of_cluster(firewall: &FirewallSpec, found: &mut Diagnostics) -> Rules {
    let mut rules = Rules::new();
    labelled(&firewall.egress, ("to", "from"), of_cluster, &mut rules, found);
    check(&rules, "out", found);
    rules
}

/// What the spec says of who is let in.
fn written_ingress(firewall: &FirewallSpec, nodes: NodesOf, found: &mut Diagnostics) -> Rules {
    let mut rules = Rules::new();
    if let Some(field) = firewall.own.fields.get("ssh_from") {
        for (key, range) in elements(&field.value, "ssh_from", field.span, found) {
            let span = if field.span.is_none() { firewall.own.span } else { field.span };
            let rule = Rule { ports: Ports::SSH, peer: Peer::Range(range), description: "SSH".into(), span };
            rules.insert((Nodes::Heads, format!("ssh:{key}")), rule);
        }
    }
    labelled(&firewall.ingress, ("from", "to"), nodes, &mut rules, found);
    rules
}

/// What is let out: everything, or what the spec says, what nodes need of each other, and the services that have private endpoints.
pub(crate) fn egress(workspace: &WorkspaceSpec, services: &[String], found: &mut Diagnostics) -> Rules {
    let mut rules = Rules::new();
    let span = workspace.firewall.own.span;
    let own = |ports, peer, description: &str| Rule { ports, peer, description: description.into(), span };
    if lets_all_out(workspace) {
        // A stack cannot have a firewall that lets nothing out, so that of heads lets out what that of all does.
        for nodes in [Nodes::All, Nodes::Heads] {
            rules.insert((nodes, "all".to_owned()), own(Ports::ALL, Peer::Range("0.0.0.0/0".into()), "To everywhere"));
        }
        return rules;
    }
    rules.insert(of_all("inside"), own(Ports::ALL, Peer::Inside, "Between nodes of the workspace"));
    for service in services {
        rules.insert(of_all(&format!("endpoint:{service}")), own(Ports::HTTPS, Peer::Service(service.clone()), "To a private endpoint"));
    }
    labelled(&workspace.firewall.egress, ("to", "from"), of_workspace, &mut rules, found);
    check(&rules, "out", found);
    rules
}

/// Without `egress` everything is let out.
pub(crate) fn lets_all_out(workspace: &WorkspaceSpec) -> bool {
    workspace.firewall.egress.is_empty()
}

fn of_all(key: &str) -> (Nodes, String) {
    (Nodes::All, key.to_owned())
}

/// Which nodes a block is for, by the attribute of that name.
type NodesOf = fn(&str, &Part, &mut Diagnostics) -> Nodes;

/// The rules of blocks with labels: `peers` and `nodes` are the attributes that say who is at which end.
fn labelled(parts: &BTreeMap<Arc<str>, Part>, (peers, nodes): (&str, &str), nodes_of: NodesOf, rules: &mut Rules, found: &mut Diagnostics) {
    for (label, part) in parts {
        let field = |name: &str| part.fields.get(name).cloned().unwrap_or_default();
        let of = nodes_of(nodes, part, found);
        let (ports, ranges) = (field("ports"), field(peers));
        let protocol = field("protocol").value;
        let description = Some(field("description").value).filter(|text| !text.is_null()).unwrap_or_else(|| Value::from(Arc::clone(label)));
        check_description(&description, part, found);
        let ports = match protocol.as_str() {
            Some("all") => vec![("all".to_owned(), Ports::ALL)],
            Some("icmp") => vec![("icmp".to_owned(), Ports { protocol: "icmp", range: Some((-1, -1)) })],
            protocol => {
                let protocol = if protocol == Some("udp") { "udp" } else { "tcp" };
                let texts = elements(&ports.value, "ports", ports.span, found).into_iter();
                let range = |text: &Value| ports_of(text.as_str()?);
                let mut all = Vec::new();
                for (key, text) in texts {
                    match range(&text) {
                        Some(range) => all.push((key, Ports { protocol, range: Some(range) })),
                        None => found.push(unknown("ports", ports.span)),
                    }
                }
                all
            }
        };
        for (key, range) in elements(&ranges.value, peers, ranges.span, found) {
            for (name, ports) in &ports {
                let (peer, description) = (Peer::Range(range.clone()), description.clone());
                let rule = Rule { ports: ports.clone(), peer, description, span: part.span };
                rules.insert((of, format!("{label}:{key}:{name}")), rule);
            }
        }
    }
}

/// Those of a cluster, which has a firewall for each.
fn of_cluster(name: &str, part: &Part, _found: &mut Diagnostics) -> Nodes {
    match part.fields.get(name).and_then(|field| field.value.as_str()) {
        Some("head") => Nodes::Heads,
        Some("workers") => Nodes::Workers,
        _ => Nodes::All,
    }
}

/// Those of a workspace. What is for workers is a rule of all: what heads have more is a firewall beside that of all.
fn of_workspace(name: &str, part: &Part, found: &mut Diagnostics) -> Nodes {
    let nodes = of_cluster(name, part, found);
    if nodes != Nodes::Workers {
        return nodes;
    }
    let title =
        format!("`{name} = \"workers\"` holds for heads too: in the firewall of a workspace they have every rule that workers have");
    let span = part.fields.get(name).map(|field| field.span).filter(|span| !span.is_none()).unwrap_or(part.span);
    let help = format!("write `{name} = \"all\"`, which says what it is, or write the rule in `firewall` of the cluster");
    found.push(Diagnostic::warning("aws-firewall", title).at(span).help(help));
    Nodes::All
}

fn ports_of(text: &str) -> Option<(i64, i64)> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    Some((from.parse().ok()?, to.parse().ok()?))
}

/// The elements of a list with a key each: what they are, or where they stand, while that is not known.
fn elements(list: &Value, name: &str, span: Span, found: &mut Diagnostics) -> Vec<(String, Value)> {
    if list.is_deferred() {
        found.push(unknown(name, span));
        return Vec::new();
    }
    let key = |(index, item): (usize, &Value)| (item.as_str().map_or_else(|| index.to_string(), str::to_owned), item.clone());
    list.elements().into_iter().flatten().enumerate().map(key).collect()
}

fn unknown(name: &str, span: Span) -> Diagnostic {
    Diagnostic::error("unknown-at-plan", format!("`{name}` must be known when the plan is made: each of its elements is a rule of its own"))
        .at(span)
        .help("use a list that the spec itself gives; its ranges may come later, how many there are may not")
}

fn check_description(description: &Value, part: &Part, found: &mut Diagnostics) {
    let Some(text) = description.as_str() else { return };
    let fits = |c: char| c.is_ascii_alphanumeric() || DESCRIPTION_SIGNS.contains(c);
    if text.chars().all(fits) && text.len() <= DESCRIPTION_CHARS_MAX {
        return;
    }
    let span = part.fields.get("description").map_or(part.span, |field| field.span);
    let help = format!("at most {DESCRIPTION_CHARS_MAX} letters, digits, blanks and signs of `{}`", DESCRIPTION_SIGNS.trim());
    found.push(Diagnostic::error("aws-description", "AWS does not take this description of a rule").at(span).help(help));
}

/// Two rules of one firewall that say the same are one to AWS, which refuses the second.
fn check(rules: &Rules, direction: &str, found: &mut Diagnostics) {
    let mut seen: Vec<(Nodes, &str, &Rule)> = Vec::new();
    for ((nodes, key), rule) in rules {
        if let Some((_, other, first)) = seen.iter().find(|(of, _, other)| of == nodes && other.says_the_same(rule)) {
            let title = format!("the rules `{other}` and `{key}` let the same {direction}");
            found.push(Diagnostic::error("aws-same-rule", title).at(rule.span).and_at(first.span, "the other one").help("leave one out"));
        }
        seen.push((*nodes, key, rule));
    }
}

#[cfg(test)]
mod tests {
    use cloudtik_model::spec::Field;
    use cloudtik_model::{Address, ExprKind, Lifecycle, ProviderRef, Type};

    use super::*;

    fn list(items: &[&str]) -> Value {
        Value::list(items.iter().map(|item| Value::from(*item)))
    }

    fn part(fields: &[(&str, Value)]) -> Part {
        let fields = fields.iter().map(|(name, value)| (Arc::from(*name), Field::new(value.clone(), Span::NONE)));
        Part { fields: fields.collect(), ..Part::default() }
    }

    fn workspace(ssh_from: Value, ingress: &[(&str, Part)]) -> WorkspaceSpec {
        WorkspaceSpec {
            address: Address::of("workspace", "w"),
            span: Span::NONE,
            provider: ProviderRef::new("aws"),
            client: None,
            fields: BTreeMap::new(),
            network: Part::default(),
            firewall: FirewallSpec {
                own: part(&[("ssh_from", ssh_from)]),
                ingress: ingress.iter().map(|(label, part)| (Arc::from(*label), part.clone())).collect(),
                egress: BTreeMap::new(),
            },
            identity: Part::default(),
            proxy: Part::default(),
            storage: BTreeMap::new(),
            database: BTreeMap::new(),
            depends_on: std::collections::BTreeSet::new(),
            lifecycle: Lifecycle::default(),
            import: None,
        }
    }

    fn keys(workspace: &WorkspaceSpec) -> Vec<String> {
        let mut found = Diagnostics::new();
        let rules = ingress(workspace, None, false, &mut found);
        assert!(!found.has_errors(), "{:?}", found.iter().map(|found| &found.title).collect::<Vec<_>>());
        rules.into_keys().map(|(_, key)| key).collect()
    }

    #[test]
    fn a_rule_keeps_its_key_when_lists_change() {
        let ui = |ports: &[&str]| ("ui", part(&[("ports", list(ports)), ("from", list(&["10.0.0.0/8"]))]));
        let before = keys(&workspace(list(&["203.0.113.0/24"]), &[ui(&["8080-8090"])]));
        assert_eq!(before, ["inside", "ui:10.0.0.0/8:8080-8090", "ssh:203.0.113.0/24"]);
        let after = keys(&workspace(list(&["198.51.100.7/32", "203.0.113.0/24"]), &[ui(&["80", "8080-8090"])]));
        assert!(before.iter().all(|key| after.contains(key)) && after.len() == 5, "{after:?}");
    }

    #[test]
    fn what_is_not_known_yet_is_numbered() {
        let late = Value::deferred(Type::String, ExprKind::Fact("f".into()).into());
        assert_eq!(keys(&workspace(Value::list([late]), &[])), ["inside", "ssh:0"]);
        let all = ("ping", part(&[("ports", list(&["1"])), ("from", list(&["10.0.0.0/8"])), ("protocol", "icmp".into())]));
        assert_eq!(keys(&workspace(list(&[]), &[all])), ["inside", "ping:10.0.0.0/8:icmp"]);
    }

    #[test]
    fn the_same_rule_twice_is_an_error() {
        let codes = |to: &str| {
            let again = ("again", part(&[("ports", list(&["22"])), ("from", list(&["10.0.0.0/8"])), ("to", to.into())]));
            let mut found = Diagnostics::new();
            ingress(&workspace(list(&["10.0.0.0/8"]), &[again]), None, false, &mut found);
            found.iter().map(|found| found.code).collect::<Vec<_>>()
        };
        assert_eq!(codes("head"), ["aws-same-rule"]);
        // It is another one in another firewall.
        assert!(codes("all").is_empty());
    }
}
