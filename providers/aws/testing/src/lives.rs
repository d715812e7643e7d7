//! States that take time. The server has an object ready, or gone, at once; what a client is shown follows from when it was made or deleted.

use std::collections::{BTreeMap, BTreeSet};

use crate::call::Call;
use crate::config::{Config, Span, Times};
use crate::xml::Element;

/// A kind of object whose state takes time.
struct Life {
    /// The element of its id.
    id: &'static str,
    /// Where its state stands.
    state: &'static [&'static str],
    /// Where the number of its state stands, if it has one.
    number: Option<&'static [&'static str]>,
    /// The calls that begin something.
    begins: &'static [Begin],
    /// The name of the filter for its state.
    filter: &'static str,
    span: fn(&Times) -> Span,
}

/// A call that begins something that takes time.
struct Begin {
    action: &'static str,
    /// The parameter that names the object; without one, the answer does.
    parameter: Option<&'static str>,
    /// What is shown meanwhile, and its number.
    shown: (&'static str, &'static str),
    /// Whether it is an end.
    ends: bool,
}

const fn make(action: &'static str, state: &'static str) -> Begin {
    Begin { action, parameter: None, shown: (state, "0"), ends: false }
}

const fn change(action: &'static str, parameter: &'static str, state: &'static str) -> Begin {
    Begin { action, parameter: Some(parameter), shown: (state, "0"), ends: false }
}

const fn end(action: &'static str, parameter: &'static str, state: &'static str) -> Begin {
    Begin { action, parameter: Some(parameter), shown: (state, "32"), ends: true }
}

const LIVES: &[Life] = &[
    Life {
        id: "natGatewayId",
        state: &["state"],
        number: None,
        begins: &[make("ec2:CreateNatGateway", "pending"), end("ec2:DeleteNatGateway", "NatGatewayId", "deleting")],
        filter: "state",
        span: |times| times.nat_gateway,
    },
    Life {
        id: "instanceId",
        state: &["instanceState", "name"],
        number: Some(&["instanceState", "code"]),
        begins: &[make("ec2:RunInstances", "pending"), end("ec2:TerminateInstances", "InstanceId", "shutting-down")],
        filter: "instance-state-name",
        span: |times| times.instance,
    },
    Life {
        id: "vpcEndpointId",
        state: &["state"],
        number: None,
        begins: &[make("ec2:CreateVpcEndpoint", "pending"), end("ec2:DeleteVpcEndpoints", "VpcEndpointId", "deleting")],
        filter: "vpc-endpoint-state",
        span: |times| times.vpc_endpoint,
    },
    Life {
        id: "vpcPeeringConnectionId",
        state: &["status", "code"],
        number: None,
        begins: &[
            make("ec2:CreateVpcPeeringConnection", "initiating-request"),
            make("ec2:AcceptVpcPeeringConnection", "provisioning"),
            end("ec2:DeleteVpcPeeringConnection", "VpcPeeringConnectionId", "deleting"),
        ],
        filter: "status-code",
        span: |times| times.peering,
    },
    Life {
        id: "DBInstanceIdentifier",
        state: &["DBInstanceStatus"],
        number: None,
        begins: &[
            make("rds:CreateDBInstance", "creating"),
            change("rds:ModifyDBInstance", "DBInstanceIdentifier", "modifying"),
            end("rds:DeleteDBInstance", "DBInstanceIdentifier", "deleting"),
        ],
        filter: "",
        span: |times| times.database,
    },
    Life {
        id: "LoadBalancerArn",
        state: &["State", "Code"],
        number: None,
        begins: &[make("elasticloadbalancing:CreateLoadBalancer", "provisioning")],
        filter: "",
        span: |times| times.load_balancer,
    },
];

/// What is shown of an object instead of what the server says.
#[derive(Clone, Debug)]
struct Phase {
    shown: (&'static str, &'static str),
    began: u64,
    ends: bool,
    span: fn(&Times) -> Span,
    /// What the server showed last, of kinds that it forgets at once.
    last: Option<Element>,
}

impl Phase {
    /// When it is over, and the server's word counts. It follows from the switches as they are now, so that a test can end it.
    fn until(&self, times: &Times) -> u64 {
        let span = (self.span)(times);
        self.began + if self.ends { span.delete_ms } else { span.create_ms }
    }

    /// Whether nothing is shown any more.
    fn is_hidden(&self, times: &Times, now: u64) -> bool {
        self.ends && now >= self.until(times) + (self.span)(times).shown_ms
    }
}

/// What is under way.
#[derive(Debug, Default)]
pub(crate) struct Lives {
    phases: BTreeMap<String, Phase>,
    /// What was deleted: routes that lead to it lead nowhere.
    gone: BTreeSet<String>,
}

/// What a route may lead to that can be deleted before it.
const TARGETS: [&str; 2] = ["natGatewayId", "vpcPeeringConnectionId"];

impl Lives {
    /// Takes note of a call that was made.
    pub(crate) fn note(&mut self, config: &Config, now: u64, call: &Call, answer: Option<&Element>) {
        let name = call.name();
        for life in LIVES {
            let Some(begin) = life.begins.iter().find(|begin| begin.action == name) else { continue };
            let ids = match begin.parameter {
                Some(parameter) => call.list(parameter),
                None => answer.map(|answer| answer.texts(life.id)).unwrap_or_default(),
            };
            if begin.ends && config.gaps {
                self.gone.extend(ids.iter().cloned());
            }
            if !config.times.on {
                continue;
            }
            let last = answer.and_then(|answer| answer.find("DBInstance")).cloned().filter(|_| begin.ends);
            for id in ids {
                let phase = Phase { shown: begin.shown, began: now, ends: begin.ends, span: life.span, last: last.clone() };
                self.phases.insert(id, phase);
            }
        }
    }

    /// Writes what is shown now into an answer.
    pub(crate) fn show(&self, times: &Times, now: u64, document: &mut Element) {
        self.show_one(times, now, document);
        document.retain(&mut |element| self.show_one(times, now, element));
    }

    /// Whether the element stays.
    fn show_one(&self, times: &Times, now: u64, element: &mut Element) -> bool {
        if element.child("destinationCidrBlock").is_some() {
            // A route names what it leads to, and has a state of its own.
            if TARGETS.iter().any(|target| self.gone.contains(element.get(&[*target]))) {
                element.set(&["state"], "blackhole");
            }
            return true;
        }
        for life in LIVES.iter().filter(|_| times.on) {
            if element.at(life.state).is_none() {
                continue;
            }
            let Some(phase) = element.text_at(&[life.id]).and_then(|id| self.phases.get(id)) else { continue };
            if phase.is_hidden(times, now) {
                return false;
            }
            if now < phase.until(times) {
                element.set(life.state, phase.shown.0);
                if let Some(number) = life.number {
                    element.set(number, phase.shown.1);
                }
            }
        }
        true
    }

    /// What the server has forgotten and AWS would still show, of one identifier or all.
    pub(crate) fn forgotten(&self, times: &Times, now: u64, id: Option<&str>) -> Vec<Element> {
        let wanted = self.phases.iter().filter(|(known, phase)| id.is_none_or(|id| id == *known) && now < phase.until(times));
        wanted.filter_map(|(_, phase)| phase.last.clone()).collect()
    }
}

/// Parts the filters of a call into those about states, which are judged by what is shown, and all others. The first are of a path to a
/// state and the words that it may have.
pub(crate) fn state_filters(call: &Call) -> (Vec<StateFilter>, Call) {
    let Some(life) = LIVES.iter().find(|life| !life.filter.is_empty() && describes(call, life)) else { return (Vec::new(), call.clone()) };
    let (of_state, others): (Vec<_>, Vec<_>) = call.filters().into_iter().partition(|(name, _)| name == life.filter);
    if of_state.is_empty() {
        return (Vec::new(), call.clone());
    }
    let filters = of_state.into_iter().map(|(_, words)| StateFilter { id: life.id, state: life.state, words }).collect();
    (filters, call.with_filters(&others))
}

fn describes(call: &Call, life: &Life) -> bool {
    let action = match life.id {
        "natGatewayId" => "DescribeNatGateways",
        "instanceId" => "DescribeInstances",
        "vpcEndpointId" => "DescribeVpcEndpoints",
        "vpcPeeringConnectionId" => "DescribeVpcPeeringConnections",
        _ => return false,
    };
    call.service == "ec2" && call.action == action
}

/// A filter about a state.
pub(crate) struct StateFilter {
    id: &'static str,
    state: &'static [&'static str],
    words: Vec<String>,
}

impl StateFilter {
    /// Leaves out what is in another state.
    pub(crate) fn apply(&self, document: &mut Element) {
        let fits = |element: &Element| element.child(self.id).is_none() || element.text_at(self.state).is_none_or(|state| self.has(state));
        document.retain(&mut |element| fits(element));
        // A reservation without instances is none.
        document.retain(&mut |element| element.child("instancesSet").is_none_or(|set| !set.children.is_empty()));
    }

    fn has(&self, state: &str) -> bool {
        self.words.iter().any(|word| word == state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(action: &str, parameters: &[(&str, &str)]) -> Call {
        let base = Call { service: "ec2".to_owned(), ..Call::default() };
        base.asking(action, parameters)
    }

    fn gateways(state: &str) -> Element {
        let item = Element::with("item", vec![Element::text("natGatewayId", "nat-1"), Element::text("state", state)]);
        Element::with("Answer", vec![Element::with("natGatewaySet", vec![item])])
    }

    fn shown(lives: &Lives, config: &Config, now: u64, state: &str) -> Vec<String> {
        let mut answer = gateways(state);
        lives.show(&config.times, now, &mut answer);
        answer.texts("state")
    }

    #[test]
    fn a_gateway_comes_and_goes() {
        let config = Config {
            times: Times { on: true, nat_gateway: Span { create_ms: 100, delete_ms: 50, shown_ms: 10 }, ..Times::default() },
            ..Config::default()
        };
        let mut lives = Lives::default();
        lives.note(&config, 0, &call("CreateNatGateway", &[]), Some(&gateways("available")));
        assert_eq!(shown(&lives, &config, 99, "available"), ["pending"]);
        assert_eq!(shown(&lives, &config, 100, "available"), ["available"]);
        lives.note(&config, 200, &call("DeleteNatGateway", &[("NatGatewayId", "nat-1")]), None);
        assert_eq!(shown(&lives, &config, 249, "deleted"), ["deleting"]);
        assert_eq!(shown(&lives, &config, 255, "deleted"), ["deleted"]);
        assert_eq!(shown(&lives, &config, 260, "deleted"), Vec::<String>::new());
    }

    #[test]
    fn filters_judge_what_is_shown() {
        let asked =
            call("DescribeNatGateways", &[("Filter.1.Name", "state"), ("Filter.1.Value.1", "pending"), ("Filter.2.Name", "vpc-id")]);
        let (filters, sent) = state_filters(&asked);
        assert_eq!(sent.filters(), [("vpc-id".to_owned(), Vec::new())]);
        let mut answer = gateways("pending");
        filters.iter().for_each(|filter| filter.apply(&mut answer));
        assert_eq!(answer.texts("state"), ["pending"]);
        let mut answer = gateways("available");
        filters.iter().for_each(|filter| filter.apply(&mut answer));
        assert!(answer.texts("state").is_empty());
    }

    #[test]
    fn a_route_to_nothing_is_a_black_hole() {
        let config = Config { times: Times { on: true, ..Config::quick().times }, ..Config::strict() };
        let mut lives = Lives::default();
        lives.note(&config, 0, &call("CreateNatGateway", &[]), Some(&gateways("available")));
        let parts = [("destinationCidrBlock", "0.0.0.0/0"), ("natGatewayId", "nat-1"), ("state", "active")];
        let item = Element::with("item", parts.map(|(name, text)| Element::text(name, text)).to_vec());
        let route = || Element::with("Answer", vec![Element::with("routeSet", vec![item.clone()])]);
        let state = |lives: &Lives| {
            let mut answer = route();
            lives.show(&config.times, 1, &mut answer);
            answer.texts("state")
        };
        assert_eq!(state(&lives), ["active"]);
        lives.note(&config, 1, &call("DeleteNatGateway", &[("NatGatewayId", "nat-1")]), None);
        assert_eq!(state(&lives), ["blackhole"]);
    }

    #[test]
    fn without_times_nothing_is_noted() {
        let mut lives = Lives::default();
        lives.note(&Config::default(), 0, &call("CreateNatGateway", &[]), Some(&gateways("available")));
        assert_eq!(shown(&lives, &Config::default(), 0, "available"), ["available"]);
    }
}
