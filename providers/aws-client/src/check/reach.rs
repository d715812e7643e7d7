//! Heads that are reached from nowhere, or not from here: whoever applies sets a head up over SSH, and one that lets nobody in is made for nothing.
//!
//! Of an instance of AWS it is certain which address it comes from, and what its firewalls let in is too: that is an error. Any other machine knows
//! its own address only, and may come from another one: that is a warning.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, UdpSocket};

use cloudtik_aws::kinds;
use cloudtik_model::{Address, Diagnostic, ExprKind, Number, Value};
use cloudtik_provider_api::{CallError, Concern, Deed, Intended};
use ipnet::Ipv4Net;

use super::machines::is_of;
use super::{made, text};
use crate::attributes::Given;
use crate::aws::Aws;
use crate::metadata::{Standing, this_machine};
use crate::whole::{rules, said_of_rule};

/// Where heads are set up through.
const SSH_PORT: u64 = 22;

/// What the concerns are called.
const CODE: &str = "head-unreachable";

/// An address that is nobody's: a way that leads to it is the way to everybody.
const ANYWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// Heads that are made and could not be set up from here.
pub(super) async fn closed(aws: &Aws, intended: &[Intended]) -> Result<Vec<Concern>, CallError> {
    let heads: Vec<Head<'_>> = made(intended, kinds::INSTANCE).filter_map(|machine| Head::of(machine, intended)).collect();
    if heads.is_empty() {
        return Ok(Vec::new());
    }
    let (there, here) = tokio::join!(there(aws, &heads, intended), this_machine());
    let there = there?;
    Ok(heads.iter().filter_map(|head| head.concern(&head.door(&there, intended), here.as_ref())).collect())
}

/// The rules of firewalls that are there, but for those that the plan knows.
async fn there(aws: &Aws, heads: &[Head<'_>], intended: &[Intended]) -> Result<Vec<Value>, CallError> {
    let ids = heads.iter().flat_map(|head| &head.firewalls).filter_map(|firewall| firewall.id());
    let found = rules(aws, ids).await?;
    let is_known = |rule: &Value| {
        let id = rule.get("id").and_then(Value::as_str);
        intended.iter().any(|one| &*one.kind == kinds::INGRESS_RULE && one.id.as_deref() == id)
    };
    let is_in = |rule: &Value| rule.get("kind").and_then(Value::as_str) == Some(kinds::INGRESS_RULE);
    Ok(found.iter().map(said_of_rule).filter(|rule| is_in(rule) && !is_known(rule)).collect())
}

/// What a head is behind.
enum Firewall<'a> {
    /// One of the plan.
    Planned(&'a Intended),
    /// One that is there, by its id.
    There(&'a str),
}

impl Firewall<'_> {
    fn id(&self) -> Option<&str> {
        match self {
            Self::Planned(firewall) => firewall.id.as_deref(),
            Self::There(id) => Some(id),
        }
    }

    fn is(&self, id: &Value) -> bool {
        match self {
            Self::Planned(firewall) => is_of(id, firewall),
            Self::There(known) => id.as_str() == Some(known),
        }
    }
}

/// A head that is made.
struct Head<'a> {
    machine: &'a Intended,
    firewalls: Vec<Firewall<'a>>,
    /// Networks from which its private address is reached: its own, and those that are peered with it.
    networks: BTreeSet<&'a str>,
}

/// Who is let in at the port of SSH.
#[derive(Default)]
struct Door {
    ranges: Vec<Ipv4Net>,
    /// Whether somebody is of whom the addresses are not known.
    others: bool,
    /// The rule of the spec that lets somebody in.
    rule: Option<Address>,
}

impl<'a> Head<'a> {
    /// `None`: it is none, or what it is behind is known later.
    fn of(machine: &'a Intended, intended: &'a [Intended]) -> Option<Self> {
        let is_head = machine.address.root() == "cluster" && machine.address.segments().last().is_some_and(|last| &*last.name == "head");
        let firewall = |id: &'a Value| {
            let planned = intended.iter().find(|one| &*one.kind == kinds::SECURITY_GROUP && is_of(id, one));
            planned.map(Firewall::Planned).or_else(|| id.as_str().map(Firewall::There))
        };
        let firewalls = elements(machine.attributes.get("vpc_security_group_ids").filter(|_| is_head)?)?;
        let firewalls = firewalls.map(firewall).collect::<Option<Vec<_>>>()?;
        let own = firewalls.iter().filter_map(|firewall| match firewall {
            Firewall::Planned(planned) => network(planned.attributes.get("vpc_id")?, intended),
            Firewall::There(_) => None,
        });
        let peered = intended.iter().filter(|one| &*one.kind == kinds::PEERING).filter_map(|peering| text(peering, "vpc_id"));
        let networks = own.chain(peered).collect();
        Some(Self { machine, firewalls, networks })
    }

    fn is_public(&self) -> bool {
        Given(&self.machine.attributes).flag("associate_public_ip_address") == Some(true)
    }

    /// Who is let in: by rules of the plan, and by those that are `there`.
    fn door(&self, there: &[Value], intended: &[Intended]) -> Door {
        let mut door = Door::default();
        let stays = intended.iter().filter(|one| &*one.kind == kinds::INGRESS_RULE && one.deed != Some(Deed::Delete));
        let planned = stays.map(|rule| (Some(&rule.address), &rule.attributes));
        for (address, rule) in planned.chain(there.iter().map(|rule| (None, rule))) {
            let is_own = rule.get("security_group_id").is_some_and(|id| self.firewalls.iter().any(|firewall| firewall.is(id)));
            if is_own && is_for_ssh(rule) && self.lets_in(rule, &mut door) {
                door.rule = door.rule.or_else(|| address.cloned());
            }
        }
        door
    }

    /// Puts in whom a rule lets in. Its own kind, to which other nodes belong, is nobody who applies.
    fn lets_in(&self, rule: &Value, door: &mut Door) -> bool {
        let said = |name: &str| rule.get(name).filter(|value| !value.is_null());
        if let Some(range) = said("cidr_ipv4") {
            match range.as_str().map(str::parse) {
                Some(Ok(range)) => door.ranges.push(range),
                _ => door.others = true,
            }
            return true;
        }
        let group = said("referenced_security_group_id").filter(|id| !self.firewalls.iter().any(|firewall| firewall.is(id)));
        let is_other = group.or_else(|| said("prefix_list_id")).is_some();
        door.others |= is_other;
        is_other
    }

    /// What is wrong with a door, for whom stands here.
    fn concern(&self, door: &Door, here: Option<&Standing>) -> Option<Concern> {
        if door.ranges.is_empty() && !door.others {
            return Some(self.shut(here));
        }
        let (from, is_certain) = self.from(here);
        let outside = from.filter(|from| !door.others && !door.ranges.iter().any(|range| range.contains(from)));
        match (outside, here) {
            (Some(from), _) => Some(self.not_in(door, from, is_certain)),
            (None, None) if from.is_none() && !self.is_public() => Some(self.elsewhere("this machine is none of AWS's".to_owned())),
            (None, Some(here)) if !self.is_public() && !self.networks.is_empty() && !self.networks.contains(&*here.network) => {
                Some(self.elsewhere(format!("this machine is in {}", here.network)))
            }
            _ => None,
        }
    }

    /// The address that this machine comes from, as far as it is known, and whether that is certain.
    fn from(&self, here: Option<&Standing>) -> (Option<Ipv4Addr>, bool) {
        match (here, self.is_public()) {
            (Some(here), true) => (here.public, true),
            (Some(here), false) => (Some(here.private), true),
            // Behind a gateway the world sees another address.
            (None, true) => (own_address().filter(|address| is_public(*address)), false),
            (None, false) => (own_address(), false),
        }
    }

    fn shut(&self, here: Option<&Standing>) -> Concern {
        let title = format!("nobody is let in at SSH of `{}`, so it could not be set up", self.machine.address);
        let help = if self.is_public() || here.is_some() {
            let own = self.from(here).0.map_or_else(|| "YOUR ADDRESS".to_owned(), |address| address.to_string());
            format!("write `ssh_from = [\"{own}/32\"]` in `firewall` of the workspace or of the cluster")
        } else {
            "leave out `client_access = \"none\"`, or write `ssh_from` in `firewall` of the workspace or of the cluster".to_owned()
        };
        self.placed(None, Diagnostic::error(CODE, title).help(help))
    }

    fn not_in(&self, door: &Door, from: Ipv4Addr, is_certain: bool) -> Concern {
        let ranges: Vec<String> = door.ranges.iter().map(ToString::to_string).collect();
        let title = format!("`{}` could not be set up from here: {from} is not let in at SSH", self.machine.address);
        let help =
            format!("add \"{from}/32\" to `ssh_from` in `firewall` of the workspace or of the cluster, or apply from where it is let in");
        let diagnostic = if is_certain {
            Diagnostic::error(CODE, title)
        } else {
            Diagnostic::warning(CODE, title).note(format!("{from} is an address of this machine; it may come from another one"))
        };
        self.placed(door.rule.as_ref(), diagnostic.note(format!("let in is {}", ranges.join(", "))).help(help))
    }

    /// Only a private address leads to it.
    fn elsewhere(&self, where_this_is: String) -> Concern {
        let networks = if self.networks.is_empty() {
            "its network".to_owned()
        } else {
            self.networks.iter().copied().collect::<Vec<_>>().join(" or ")
        };
        let title = format!("`{}` has a private address only, and {where_this_is}", self.machine.address);
        let help = format!("apply from an instance in {networks}, or see to it that a way leads there");
        self.placed(None, Diagnostic::warning(CODE, title).help(help))
    }

    /// At a rule, or else at the firewall that a rule would belong to.
    fn placed(&self, rule: Option<&Address>, diagnostic: Diagnostic) -> Concern {
        let firewall = self.firewalls.iter().rev().find_map(|firewall| match firewall {
            Firewall::Planned(planned) => Some(&planned.address),
            Firewall::There(_) => None,
        });
        Concern::new(diagnostic, rule.or(firewall).unwrap_or(&self.machine.address))
    }
}

/// The elements of a set, also of one that is none before all of them are known: two may turn out to be one.
fn elements(set: &Value) -> Option<impl Iterator<Item = &Value>> {
    match set.as_deferred().map(|deferred| &deferred.expr.kind) {
        Some(ExprKind::Convert { of, .. }) => match &of.kind {
            ExprKind::Literal(elements) => elements.elements(),
            _ => None,
        },
        _ => set.elements(),
    }
}

/// The id of a network, as far as it is there.
fn network<'a>(id: &'a Value, intended: &'a [Intended]) -> Option<&'a str> {
    let planned = || intended.iter().find(|one| &*one.kind == kinds::VPC && is_of(id, one))?.id.as_deref();
    id.as_str().or_else(planned)
}

fn is_for_ssh(rule: &Value) -> bool {
    let number = |name: &str| rule.get(name).and_then(Value::as_number).and_then(Number::as_u64);
    match rule.get("ip_protocol").and_then(Value::as_str) {
        Some("-1") => true,
        Some("tcp") => number("from_port").zip(number("to_port")).is_some_and(|(from, to)| (from..=to).contains(&SSH_PORT)),
        _ => false,
    }
}

/// The address that this machine has on its way out. Nothing is sent.
fn own_address() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((ANYWHERE, 22)).ok()?;
    match socket.local_addr().ok()? {
        std::net::SocketAddr::V4(own) => Some(*own.ip()),
        std::net::SocketAddr::V6(_) => None,
    }
}

/// Whether the world knows an address as it is.
fn is_public(address: Ipv4Addr) -> bool {
    let is_carriers = matches!(address.octets(), [100, 64..=127, ..]);
    !(address.is_private() || address.is_loopback() || address.is_link_local() || is_carriers)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cloudtik_model::Type;

    use super::*;
    use crate::check::tests::intended;

    fn id_of(address: &str) -> Value {
        let of = Arc::new(ExprKind::Reference(address.parse().unwrap()).into());
        Value::deferred(Type::String, ExprKind::Attribute { of, name: "id".into() }.into())
    }

    fn rule(firewall: &str, protocol: &str, ports: Option<(u64, u64)>, peer: (&'static str, Value)) -> Intended {
        let mut said = vec![("security_group_id", id_of(firewall)), ("ip_protocol", protocol.into()), peer];
        said.extend(ports.into_iter().flat_map(|(from, to)| [("from_port", from.into()), ("to_port", to.into())]));
        Intended { attributes: Value::object(said), ..intended("workspace.w.ingress_rule.r", kinds::INGRESS_RULE, []) }
    }

    /// A head behind one firewall, with a rule: ranges, and whether others are let in.
    fn door(rule: Intended) -> (Vec<String>, bool) {
        // As the compiler leaves a set of what is known later.
        let set = Value::set([id_of("workspace.w.firewall"), id_of("workspace.w.firewall.head")]);
        let to = Type::set(Type::String);
        let firewalls = Value::deferred(to.clone(), ExprKind::Convert { to, of: Arc::new(set.to_expr()) }.into());
        let all = [
            intended("cluster.c.head", kinds::INSTANCE, [("vpc_security_group_ids", firewalls)]),
            intended("workspace.w.firewall", kinds::SECURITY_GROUP, []),
            intended("workspace.w.firewall.head", kinds::SECURITY_GROUP, []),
            intended("workspace.w.other", kinds::SECURITY_GROUP, []),
            rule,
        ];
        let door = Head::of(&all[0], &all).unwrap().door(&[], &all);
        (door.ranges.iter().map(ToString::to_string).collect(), door.others)
    }

    #[test]
    fn rules_for_the_port_let_their_ranges_in() {
        let range = || ("cidr_ipv4", Value::from("10.0.0.0/8"));
        let open = (vec!["10.0.0.0/8".to_owned()], false);
        let shut = (Vec::new(), false);
        let own = "workspace.w.firewall";
        assert_eq!(door(rule(own, "tcp", Some((22, 22)), range())), open);
        assert_eq!(door(rule(own, "tcp", Some((1, 1024)), range())), open);
        assert_eq!(door(rule(own, "-1", None, range())), open);
        assert_eq!(door(rule(own, "tcp", Some((23, 80)), range())), shut);
        assert_eq!(door(rule(own, "udp", Some((22, 22)), range())), shut);
        assert_eq!(door(rule("workspace.w.other", "-1", None, range())), shut);
        assert_eq!(door(rule(own, "-1", None, ("cidr_ipv6", "::/0".into()))), shut, "heads have no such address");
        assert_eq!(door(rule(own, "-1", None, ("referenced_security_group_id", id_of(own)))), shut, "other nodes");
        let somebody = (Vec::new(), true);
        assert_eq!(door(rule(own, "-1", None, ("referenced_security_group_id", "sg-1".into()))), somebody);
        assert_eq!(door(rule(own, "-1", None, ("prefix_list_id", "pl-1".into()))), somebody);
        assert_eq!(door(rule(own, "-1", None, ("cidr_ipv4", id_of("workspace.w.late")))), somebody);
    }

    #[test]
    fn what_is_no_head_or_not_known_is_no_concern() {
        let is_head = |address: &str, firewalls: Value| {
            let machine = intended(address, kinds::INSTANCE, [("vpc_security_group_ids", firewalls)]);
            Head::of(&machine, std::slice::from_ref(&machine)).is_some()
        };
        let there = || Value::set([Value::from("sg-1")]);
        assert!(is_head("cluster.c.head", there()) && is_head("cluster.c[\"a\"].head", there()));
        assert!(!is_head("cluster.c.workers.g", there()) && !is_head("aws_instance.head", there()));
        assert!(!is_head("cluster.c.head", Value::set([id_of("workspace.w.stack")])));
    }

    #[test]
    fn addresses_behind_a_gateway_are_not_what_the_world_sees() {
        let public: BTreeSet<bool> = ["10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.0.1", "172.16.0.1", "192.168.0.1"]
            .iter()
            .map(|address| is_public(address.parse().unwrap()))
            .collect();
        assert_eq!(public, BTreeSet::from([false]));
        assert!(is_public("203.0.113.1".parse().unwrap()) && is_public("100.128.0.1".parse().unwrap()));
    }
}
