//! Workspaces on AWS, from end to end, against a server that behaves as AWS does: each mode is made, is settled, is mended when somebody
//! changes it by hand, and is removed, after which the account is as it was, item by item. The same after `kill -9` at random moments, with
//! lost answers and refusals, and in bounds of calls that are written here.
//!
//! The moments are random, the seed is printed. `CLOUDTIK_AWS_KILLS=100 cargo test --features aws --test aws_workspace` tries more.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic,
    reason = "helpers of tests are no test functions to clippy"
)]

mod aws;
mod support;

use std::collections::{BTreeMap, BTreeSet};

use aws::specs::{self, Mode};
use aws::{APPLY, BESIDE, DESTROY, World, drift, table, written};
use cloudtik_aws_testing::{Config, Effect, Fault, Pages};
use support::random::Random;

/// How many kills there are, where nobody says another number.
const KILLS: u64 = 10;

/// Machines beside the workspace where calls are counted.
const INSTANCES: usize = 100;

/// Calls that a workspace in the mode `public-head` may take beside those of each machine: to make it, to look at it, to remove it. The
/// predecessor takes 66, 11 and 56 for less: it makes no rules for what goes out, no rights of their own, no record, and looks at a tenth.
const CREATE_CALLS_MAX: usize = 52;
const LOOK_CALLS_MAX: usize = 25;
const DELETE_CALLS_MAX: usize = 63;

/// Calls that a machine takes that is made, and one that is removed: the request, and one look that it is done.
const INSTANCE_CALLS_MAX: usize = 2;

#[test]
fn public_head_comes_is_mended_and_goes() {
    comes_is_mended_and_goes(Mode::PublicHead);
}

#[test]
fn peered_comes_is_mended_and_goes() {
    comes_is_mended_and_goes(Mode::Peered);
}

#[test]
fn shared_comes_is_mended_and_goes() {
    comes_is_mended_and_goes(Mode::Shared);
}

fn comes_is_mended_and_goes(mode: Mode) {
    let Some(world) = World::new(Config::quick()) else { return };
    mode.prepare(&world);
    let before = world.snapshot();
    world.expect(0, &APPLY);
    world.is_settled();
    let whole = world.came(&before);
    for drift in drift::of(mode) {
        (drift.make)(&world);
        let planned = world.planned();
        assert!(drift.is_found_at(&planned), "{mode:?}: {}: the plan changes {planned:?} and not {:?}", drift.name, drift.found);
        let (_, calls) = world.expect(0, &APPLY);
        let (did, may): (BTreeSet<_>, BTreeSet<_>) =
            (written(&calls).into_iter().collect(), drift.mended.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(did, may, "{mode:?}: {}: this mended it", drift.name);
        world.is_settled();
        assert_eq!(world.came(&before), whole, "{mode:?}: {}: something came or went", drift.name);
    }
    world.expect(0, &DESTROY);
    world.is_as(&before, &format!("{mode:?} was destroyed"));
}

/// Nothing is to be done twice, whatever the order of pages and answers.
#[test]
fn calls_are_few() {
    let Some(world) = World::new(Config::strict()) else { return };
    Mode::PublicHead.prepare_with(&world, "native", INSTANCES);
    let before = world.snapshot();
    // What a plan checks is counted where it is tested.
    let (_, made) = world.expect(0, &["apply", "--auto-approve", "--checks=false"]);
    println!("{}", table("create", &made));
    let looked = world.is_settled();
    println!("{}", table("look", &looked));
    let (_, removed) = world.expect(0, &DESTROY);
    println!("{}", table("delete", &removed));
    world.is_as(&before, "destroyed");
    let of_instances = INSTANCES * INSTANCE_CALLS_MAX;
    for (what, calls, most) in [
        ("create", &made, CREATE_CALLS_MAX + of_instances),
        ("look", &looked, LOOK_CALLS_MAX),
        ("delete", &removed, DELETE_CALLS_MAX + of_instances),
    ] {
        assert!(calls.len() <= most, "{}\nno more than {most} are allowed", table(what, calls));
        assert_eq!(errors(calls), Vec::<String>::new(), "{what}: no call may be refused");
    }
}

fn errors(calls: &[cloudtik_aws_testing::Request]) -> Vec<String> {
    calls.iter().filter_map(|call| call.error.as_ref().map(|error| format!("{}: {error}", call.action))).collect()
}

#[test]
fn small_pages_are_read_to_their_end() {
    let Some(world) = World::new(Config { pages: Pages { on: true, size_max: Some(1) }, ..Config::strict() }) else { return };
    Mode::PublicHead.prepare(&world);
    let before = world.snapshot();
    world.expect(0, &APPLY);
    world.is_settled();
    world.expect(0, &DESTROY);
    world.is_as(&before, "destroyed");
}

/// Every tenth call that changes something is made and not answered; some are refused, some fail inside.
#[test]
fn lost_answers_do_no_harm() {
    let mut random = Random::from_environment();
    let Some(world) = World::new(Config::quick()) else { return };
    Mode::PublicHead.prepare(&world);
    let before = world.snapshot();
    let fault = |probability, effect| Fault {
        action: "*".to_owned(),
        nth: None,
        probability: Some(probability),
        writes_only: true,
        parameters: BTreeMap::new(),
        effect,
    };
    let throttled = Effect::Refuse { status: 503, code: "RequestLimitExceeded".to_owned(), message: "Request limit exceeded.".to_owned() };
    let faults = vec![fault(0.1, Effect::LoseAnswer), fault(0.05, Effect::InternalErrorAfter), fault(0.1, throttled)];
    world.proxy.configure(|config| (config.faults, config.seed) = (faults, random.below(u64::MAX)));
    converges(&world, &APPLY);
    world.proxy.configure(|config| config.faults.clear());
    let whole = world.came(&before);
    world.is_settled();
    world.proxy.configure(|config| config.faults = vec![fault(0.1, Effect::LoseAnswer)]);
    converges(&world, &DESTROY);
    world.proxy.configure(|config| config.faults.clear());
    world.expect(0, &DESTROY);
    world.is_as(&before, "destroyed with lost answers");

    world.expect(0, &APPLY);
    assert_eq!(world.came(&before), whole, "what came with lost answers is not what comes without");
    world.expect(0, &DESTROY);
    world.is_as(&before, "destroyed");
}

/// Runs a command until it ends well: each time it may give up, but not for ever.
#[track_caller]
fn converges(world: &World, command: &[&str]) {
    let mut said = String::new();
    for _ in 0..5 {
        let ran = world.stage.run(command);
        if ran.code() == Some(0) {
            return;
        }
        said = ran.text();
    }
    panic!("`{}` does not come to an end: {said}\nthe last calls:\n{}", command.join(" "), world.last_calls());
}

#[test]
fn kills_leave_nothing_twice_and_nothing_behind() {
    let mut random = Random::from_environment();
    let Some(world) = World::new(Config::quick()) else { return };
    Mode::PublicHead.prepare(&world);
    let before = world.snapshot();
    let (_, calls) = world.expect(0, &APPLY);
    let makes = written(&calls).len() as u64;
    let whole = world.came(&before);
    let (_, calls) = world.expect(0, &DESTROY);
    let removes = written(&calls).len() as u64;
    world.is_as(&before, "destroyed");

    for i in 0..kills() {
        let at = 1 + random.below(makes);
        let (was_killed, first) = world.killed_after(&APPLY, at);
        assert!(was_killed || first.code() == Some(0), "kill {i} at {at} of {makes}: it failed before: {}", first.text());
        let (again, _) = world.expect(0, &APPLY);
        let when = format!("kill {i} of an apply at {at} of {makes}\n--- again\n{}", again.text());
        assert_eq!(world.came(&before), whole, "{when}");
        world.is_settled();

        let at = 1 + random.below(removes);
        let (was_killed, first) = world.killed_after(&DESTROY, at);
        let when = format!("kill {i} of a destroy at {at} of {removes}");
        assert!(was_killed || first.code() == Some(0), "{when}: it failed before: {}", first.text());
        world.expect(0, &DESTROY);
        world.is_as(&before, &when);
    }
}

/// A cluster of another project finds the workspace by its record, and keeps it from being destroyed.
#[test]
fn clusters_of_other_projects_use_a_workspace_and_keep_it() {
    let Some(world) = World::new(Config::quick()) else { return };
    let folder = world.stage.project().join(BESIDE);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("main.hcl"), specs::tenant_with_firewall(&world, "    ssh_from = [\"203.0.113.7/32\"]\n")).unwrap();
    let expect = |code: i32, arguments: &[&str], says: &[&str]| {
        let ran = world.beside(arguments);
        let missing: Vec<_> = says.iter().filter(|word| !ran.text().contains(**word)).collect();
        assert!(ran.code() == Some(code) && missing.is_empty(), "{arguments:?}: no {missing:?} in {}", ran.text());
    };
    expect(1, &["plan"], &["no-record", "keeps no record of a workspace `w`"]);
    Mode::PublicHead.prepare(&world);
    let before = world.snapshot();
    world.expect(0, &APPLY);
    let with_workspace = world.snapshot();

    expect(0, &["plan"], &["\"subnet-", "\"vpc-", "cloudtik-w-head-profile", "network = \"10.0.0.0/16\""]);
    expect(0, &["plan", "--offline"], &["<data.workspace.shared"]);
    // The head is made, and nobody answers there.
    expect(3, &APPLY, &["cluster.etl.head"]);
    let groups = ["cloudtik-w", "cloudtik-w.etl", "cloudtik-w.etl/head", "cloudtik-w/head"];
    assert_eq!(world.groups_of(&world.id_beside("cluster.etl.head")), groups.map(str::to_owned).into());
    let used = ["workspace-in-use", "`workspace.w` would be destroyed", "etl"];
    world.stage.fails(1, &DESTROY, &used);
    world.client.ec2("StopInstances", &[("InstanceId.1", &world.id_beside("cluster.etl.head"))]).unwrap();
    world.stage.fails(1, &DESTROY, &used);
    world.is_settled();

    expect(0, &DESTROY, &[]);
    world.is_as(&with_workspace, "the cluster was destroyed");
    world.expect(0, &DESTROY);
    world.is_as(&before, "destroyed");
}

/// Nobody who is let in is shut out while a rule moves from all nodes to heads.
#[test]
fn rules_move_to_heads_without_a_gap() {
    let Some(world) = World::new(Config::quick()) else { return };
    let before = world.snapshot();
    world.stage.spec(&specs::with_rule("all"));
    world.expect(0, &APPLY);
    world.stage.spec(&specs::with_rule("head"));
    let (_, calls) = world.expect(0, &APPLY);
    assert_eq!(written(&calls), ["ec2:AuthorizeSecurityGroupIngress", "ec2:RevokeSecurityGroupIngress"]);
    world.is_settled();
    takes_no_longer_than_it_may(&world);
    world.expect(0, &DESTROY);
    world.is_as(&before, "destroyed");
}

/// What takes longer than `timeouts` allow is not waited for, and is taken up as it is by the next apply.
fn takes_no_longer_than_it_may(world: &World) {
    world.proxy.configure(|config| config.times.nat_gateway.create_ms = 12_000);
    world.change("    nat = \"none\"\n  }\n", "    nat = \"single\"\n  }\n  timeouts {\n    create = \"2s\"\n  }\n");
    let (ran, _) = world.expect(3, &APPLY);
    assert!(ran.text().contains("is `pending` after 2 s"), "{}", ran.text());
    world.change("\"2s\"", "\"5m\"");
    let (_, calls) = world.expect(0, &APPLY);
    assert!(!written(&calls).contains(&"ec2:CreateNatGateway".to_owned()), "{:?}", written(&calls));
    world.is_settled();
}

fn kills() -> u64 {
    std::env::var("CLOUDTIK_AWS_KILLS").ok().map_or(KILLS, |text| text.parse().expect("CLOUDTIK_AWS_KILLS is a number"))
}
