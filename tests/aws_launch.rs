//! Launches of machines where AWS has no room: which form of them is tried, what is remembered, and what a kill leaves.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests are no test functions to clippy")]

mod aws;
mod support;

use std::collections::{BTreeMap, BTreeSet};

use aws::{APPLY, DESTROY, World};
use cloudtik_aws_testing::{Config, Effect, Fault};

/// Types that would do.
const TYPES: [&str; 2] = ["m5.large", "m5a.large"];

/// So many machines that may be of these types, in two places, at two prices. Gives the places.
fn prepare(world: &World, machines: usize, types: &[&str]) -> Vec<String> {
    let subnets: Vec<String> = world.server.ec2("DescribeSubnets", &[]).unwrap().texts("subnetId").into_iter().take(2).collect();
    let image = world.server.ec2("DescribeImages", &[("Owner.1", "amazon")]).unwrap().texts("imageId").remove(0);
    world.stage.spec(&format!(
        r#"provider "aws" {{}}

resource "aws_launch_template" "t" {{
  name     = "t"
  image_id = "{image}"
}}

resource "aws_instance" "w" {{
  count           = {machines}
  ami             = "{image}"
  launch_template = [{{ id = aws_launch_template.t.id }}]
  instance_types  = {types:?}
  subnet_ids      = {subnets:?}
  markets         = ["spot", "on-demand"]
}}
"#
    ));
    subnets
}

/// AWS has no room for machines of these parameters.
fn full(parameters: &[(&str, &str)]) -> Fault {
    let effect = Effect::Refuse {
        status: 500,
        code: "InsufficientInstanceCapacity".to_owned(),
        message: "We currently do not have sufficient capacity".to_owned(),
    };
    let parameters: BTreeMap<String, String> = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Fault { action: "ec2:RunInstances".to_owned(), nth: None, probability: None, writes_only: false, parameters, effect }
}

/// Type, place and market of each machine that is there.
fn machines(world: &World) -> BTreeSet<(String, String, String)> {
    let answer = world.server.ec2("DescribeInstances", &[]).unwrap();
    let machines = answer.items("reservationSet").iter().flat_map(|reservation| reservation.items("instancesSet"));
    let there = machines.filter(|machine| machine.get(&["instanceState", "name"]) == "running");
    let of = |machine: &cloudtik_aws_testing::Element| {
        let market = machine.text_at(&["instanceLifecycle"]).unwrap_or("on-demand");
        (machine.get(&["instanceType"]).to_owned(), machine.get(&["subnetId"]).to_owned(), market.to_owned())
    };
    there.map(of).collect()
}

fn form(instance_type: &str, subnet: &str, market: &str) -> (String, String, String) {
    (instance_type.to_owned(), subnet.to_owned(), market.to_owned())
}

#[test]
fn the_first_form_with_room_is_taken_and_stays() {
    let Some(world) = World::new(Config::strict()) else { return };
    let subnets = prepare(&world, 2, &TYPES);
    let before = world.snapshot();
    world
        .proxy
        .configure(|config| config.faults = vec![full(&[("InstanceType", "m5.large"), ("InstanceMarketOptions.MarketType", "spot")])]);
    let (_, calls) = world.expect(0, &APPLY);
    // Each begins in a place of its own, and both prefer another type to a dearer market.
    let spread: BTreeSet<_> = subnets.iter().map(|subnet| form("m5a.large", subnet, "spot")).collect();
    assert_eq!(machines(&world), spread);
    let tried: Vec<&str> =
        calls.iter().filter(|call| call.action == "ec2:RunInstances").map(|call| call.parameters["ClientToken"].as_str()).collect();
    assert_eq!(tried.len(), tried.iter().collect::<BTreeSet<_>>().len(), "each try has a token of its own: {tried:?}");
    world.proxy.configure(|config| config.faults.clear());
    world.is_settled();

    // What is there is one of the types that would do: nothing is made anew.
    prepare(&world, 2, &["m5n.large", "m5a.large"]);
    let (_, calls) = world.expect(0, &APPLY);
    assert_eq!(aws::written(&calls), Vec::<String>::new());
    world.is_settled();
    prepare(&world, 2, &["m5n.large"]);
    world.expect(0, &APPLY);
    assert!(machines(&world).iter().all(|(instance_type, ..)| instance_type == "m5n.large"), "{:?}", machines(&world));
    world.expect(0, &DESTROY);
    world.is_as(&before, "destroyed");
}

#[test]
fn what_there_is_no_room_for_is_named() {
    let Some(world) = World::new(Config::strict()) else { return };
    let subnets = prepare(&world, 1, &TYPES);
    world.proxy.configure(|config| config.faults = vec![full(&[])]);
    let ran = world.stage.run(&APPLY);
    assert_ne!(ran.code(), Some(0));
    for words in ["there is no room in any of 8 forms", "InsufficientInstanceCapacity", "m5a.large", subnets[1].as_str()] {
        assert!(ran.text().contains(words), "{words}: {}", ran.text());
    }
    assert!(machines(&world).is_empty());
    world.proxy.configure(|config| config.faults.clear());
    world.expect(0, &APPLY);
    assert_eq!(machines(&world), BTreeSet::from([form("m5.large", &subnets[0], "spot")]));
}

/// The launch of the second form is committed and not answered; then the first one has room.
#[test]
fn a_kill_during_a_launch_launches_nothing_twice() {
    let Some(world) = World::new(Config::strict()) else { return };
    let subnets = prepare(&world, 1, &TYPES);
    world.proxy.configure(|config| config.faults = vec![full(&[("InstanceType", "m5.large")])]);
    // The template, and the first launch that is not refused.
    let (was_killed, ran) = world.killed_after(&APPLY, 2);
    assert!(was_killed, "{}", ran.text());
    assert_eq!(world.proxy.requests().iter().rfind(|call| call.is_committed_write()).unwrap().action, "ec2:RunInstances");
    world.proxy.configure(|config| config.faults.clear());
    world.expect(0, &APPLY);
    assert_eq!(machines(&world), BTreeSet::from([form("m5a.large", &subnets[0], "spot")]));
    let all = world.server.ec2("DescribeInstances", &[]).unwrap().texts("instanceId");
    assert_eq!(all.len(), 1, "{all:?}");
    world.is_settled();
}
