//! Launches of machines where AWS has no room: which form of them is tried, what is remembered, and what a kill leaves.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "helpers of tests are no test functions to clippy"
)]

mod aws;
mod support;

use std::collections::{BTreeMap, BTreeSet};

use aws::{APPLY, DESTROY, World};
use cloudtik_aws_testing::{Config, Effect, Fault, Request};

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

/// The launches that were asked for, each with how many machines it asked for.
fn launches(calls: &[Request]) -> Vec<u64> {
    let is_tried = |call: &&Request| call.parameters.get("DryRun").is_some_and(|is| is == "true");
    let launches = calls.iter().filter(|call| call.action == "ec2:RunInstances" && !is_tried(call));
    launches.map(|call| call.parameters["MaxCount"].parse().unwrap()).collect()
}

/// Whose each machine is, as the state says.
fn ids(world: &World, machines: usize) -> BTreeSet<String> {
    (0..machines).map(|number| world.id(&format!("aws_instance.w[{number}]"))).collect()
}

#[test]
fn machines_that_begin_together_are_launched_together() {
    let Some(world) = World::new(Config::strict()) else { return };
    let subnets = prepare(&world, 20, &TYPES);
    let before = world.snapshot();
    let (_, calls) = world.expect(0, &APPLY);
    // Half of them in each place, which is a launch of its own. Nothing is written beside.
    assert_eq!(launches(&calls), [10, 10]);
    assert_eq!(aws::written(&calls), ["ec2:CreateLaunchTemplate", "ec2:RunInstances", "ec2:RunInstances"]);
    let looks = calls.iter().filter(|call| call.action == "ec2:DescribeInstances").count();
    assert!(looks <= 20, "{looks}");
    println!("{}", aws::table("20 machines", &calls));
    assert_eq!(ids(&world, 20).len(), 20);
    assert_eq!(machines(&world).len(), subnets.len());
    world.is_settled();

    // One that is gone comes again by itself.
    world.client.ec2("TerminateInstances", &[("InstanceId.1", &world.id("aws_instance.w[7]"))]).unwrap();
    let (_, calls) = world.expect(0, &APPLY);
    assert_eq!(launches(&calls), [1]);
    world.is_settled();
    world.expect(0, &DESTROY);
    world.is_as(&before, "destroyed");
}

#[test]
fn what_there_is_no_room_for_in_a_launch_goes_on_together() {
    let Some(world) = World::new(Config::strict()) else { return };
    let subnets = prepare(&world, 12, &["m5.large"]);
    let room = |machines, subnet: &String| Fault {
        parameters: BTreeMap::from([
            ("SubnetId".to_owned(), subnet.clone()),
            ("InstanceMarketOptions.MarketType".to_owned(), "spot".to_owned()),
        ]),
        effect: Effect::RoomFor { machines },
        ..full(&[])
    };
    world.proxy.configure(|config| config.faults = vec![room(4, &subnets[0]), room(2, &subnets[1])]);
    let (_, calls) = world.expect(0, &APPLY);
    // Of six in each place four and two come; the others of both find both places full, and come at the other price.
    assert_eq!(launches(&calls)[..2], [6, 6]);
    let mut rest = launches(&calls)[2..].to_vec();
    rest.sort_unstable();
    assert_eq!(rest, [2, 4], "{rest:?}");
    let of = |machine: &(String, String, String)| machine.2.clone();
    assert_eq!(machines(&world).iter().map(of).collect::<BTreeSet<_>>(), ["spot", "on-demand"].map(str::to_owned).into());
    assert_eq!(ids(&world, 12).len(), 12);
    world.proxy.configure(|config| config.faults.clear());
    world.is_settled();
}

/// An account may have room for some machines where it has none for all of them.
#[test]
fn machines_that_are_too_many_together_come_one_by_one() {
    let Some(world) = World::new(Config::strict()) else { return };
    prepare(&world, 4, &["m5.large"]);
    let effect = Effect::Refuse { status: 400, code: "VcpuLimitExceeded".to_owned(), message: "You have requested more".to_owned() };
    world.proxy.configure(|config| config.faults = vec![Fault { effect, ..full(&[("MaxCount", "2")]) }]);
    let (_, calls) = world.expect(0, &APPLY);
    assert_eq!(launches(&calls).iter().filter(|machines| **machines == 1).count(), 4);
    assert_eq!(ids(&world, 4).len(), 4);
}

/// The launches are committed, and nobody hears of it: whoever comes again takes the machines.
#[test]
fn a_kill_during_a_launch_of_several_launches_nothing_twice() {
    for after in [2, 3] {
        let Some(world) = World::new(Config::strict()) else { return };
        prepare(&world, 10, &TYPES);
        let room = Fault { effect: Effect::RoomFor { machines: 3 }, ..full(&[("InstanceMarketOptions.MarketType", "spot")]) };
        world.proxy.configure(|config| config.faults = vec![room]);
        let (was_killed, ran) = world.killed_after(&APPLY, after);
        assert!(was_killed, "{}", ran.text());
        world.proxy.configure(|config| config.faults.clear());
        world.expect(0, &APPLY);
        let all: BTreeSet<String> = world.server.ec2("DescribeInstances", &[]).unwrap().texts("instanceId").into_iter().collect();
        assert_eq!(all, ids(&world, 10), "after {after}");
        world.is_settled();
    }
}
