//! What a plan for AWS says before anything is made: what it will take, and what would not go well.

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

use aws::specs::Mode;
use aws::{DESTROY, World, table};
use cloudtik_aws_testing::{Config, Request};
use serde_json::Value as Json;

/// By how much the number of calls that a plan tells may be wrong.
const PERCENT_OFF_MAX: u64 = 15;

/// Nothing takes its time here, so that the calls that only wait are left out.
#[test]
fn a_plan_says_how_many_calls_it_takes() {
    let Some(world) = World::new(Config::strict()) else { return };
    Mode::PublicHead.prepare(&world);
    let (ran, _) = world.expect(0, &["plan"]);
    let last = ran.stdout.lines().last().unwrap_or_default();
    assert!(last.starts_with("This takes about ") && last.contains(" calls and 2 min"), "{last}");
    let told = told(&world, &["plan", "--json", "--out", "made.plan"]);
    assert_near(told, &world.expect(0, &["apply", "made.plan"]).1, "create");
    let (ran, _) = world.expect(0, &["plan"]);
    assert!(!ran.stdout.contains("This takes"), "{}", ran.stdout);
    let looked = world.is_settled().len();
    let told = self::told(&world, &["plan", "--destroy", "--json"]);
    let (_, calls) = world.expect(0, &DESTROY);
    // What a plan asks comes before what it does.
    assert_near(told, calls.get(looked..).unwrap_or_default(), "destroy");
}

/// The calls that a plan tells, without those that wait.
fn told(world: &World, arguments: &[&str]) -> u64 {
    let (ran, _) = world.expect(0, arguments);
    let plan: Json = serde_json::from_str(&ran.stdout).unwrap();
    let expected = &plan["expected"];
    expected["calls"].as_u64().unwrap() - expected["waiting_calls"].as_u64().unwrap()
}

#[track_caller]
fn assert_near(told: u64, made: &[Request], what: &str) {
    let count = made.len() as u64;
    println!("{what}: {told} calls were told, {count} were made");
    assert!(told.abs_diff(count) * 100 <= count * PERCENT_OFF_MAX, "{what}: {told} calls were told\n{}", table("made", made));
}
