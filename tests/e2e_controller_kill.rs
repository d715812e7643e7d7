//! `kill -9` of the command line, of the local cloud and of the controller at moments of the quickstart's apply, then `apply` again: it
//! converges. What was made is judged by the local cloud's audit log: nothing twice at an address, nothing orphaned.
//!
//! The moments are random, the seed is printed. `CLOUDTIK_KILLS=50 cargo test -p cloudtik --test e2e_controller_kill` tries more of each.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic,
    reason = "helpers of tests are no test functions to clippy"
)]

mod support;

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use support::quickstart::{APPLY, Quickstart};
use support::random::Random;
use support::stage::{Form, Ran, Stage};

/// How many kills of each sort, where nobody says another number.
const KILLS: u64 = 4;

/// With the number that nobody chose: all kinds of kills together take no longer, however slow the machine is.
const TIME_MAX: Duration = Duration::from_secs(330);

/// The records of an apply of the quickstart: an intent and an outcome of each of its nine operations, and what frames them.
const RECORDS: u64 = 22;

/// The crash points of the local cloud in the same apply: before and after each of its records, those of the head's calls too.
const POINTS: u64 = 40;

/// Milliseconds from the controller's start until its workers are ready.
const LIFE_MS: u64 = 9_000;

/// Applies after the kill. One may fail, where what was killed comes back too late for it.
const APPLIES_MAX: usize = 3;

/// A moment, and who dies at it.
#[derive(Clone, Copy, Debug)]
enum Kill {
    /// The command line, when that many records are durable.
    CommandLineAfterRecords(u64),
    /// The command line, so many milliseconds after the controller was started: it waits for the workers.
    CommandLineAfterStart(u64),
    /// The local cloud, at its n-th crash point.
    CloudAtPoint(u64),
    /// The controller, so many milliseconds after it was started.
    ControllerAfterStart(u64),
}

#[test]
fn of_each() {
    let chosen = std::env::var("CLOUDTIK_KILLS").ok().map(|text| text.parse().expect("CLOUDTIK_KILLS is a number"));
    let kills: u64 = chosen.unwrap_or(KILLS);
    let mut random = Random::from_environment();
    let began = Instant::now();
    let mut done = 0;
    for i in 0..kills {
        let moment = random.below(LIFE_MS);
        let command_line =
            if i % 2 == 0 { Kill::CommandLineAfterRecords(1 + random.below(RECORDS)) } else { Kill::CommandLineAfterStart(moment) };
        for kill in [command_line, Kill::CloudAtPoint(1 + random.below(POINTS)), Kill::ControllerAfterStart(random.below(LIFE_MS))] {
            if chosen.is_none() && began.elapsed() > TIME_MAX {
                println!("the time is over after {done} kills");
                assert!(done >= 3, "the machine is too slow for one kill of each sort");
                return;
            }
            converges(form(done), kill);
            done += 1;
        }
    }
    println!("{done} kills in {:.0} s", began.elapsed().as_secs_f64());
}

/// Both forms in turn, where both are possible.
fn form(i: u64) -> Form {
    if support::is_root() && i.is_multiple_of(2) { Form::Namespaces } else { Form::Plain }
}

fn converges(form: Form, kill: Kill) {
    let cluster = Quickstart::new(form);
    let began = Instant::now();
    let (killed, struck) = strike(&cluster, kill);
    let mut before = format!("{kill:?}\n--- first\n{}", killed.text());
    if matches!(kill, Kill::CommandLineAfterRecords(_)) {
        assert_eq!(killed.code(), None, "it lives: {before}");
    }
    if matches!(kill, Kill::CloudAtPoint(_)) {
        assert!(cluster.stage.root().join("state/cloudtik/local/died-as-told").exists(), "the local cloud lives: {before}");
    }
    // A plan tells what it would do, and changes nothing.
    let plan = cluster.stage.run(&["plan"]);
    assert_eq!(plan.code(), Some(0), "{before}\n--- plan\n{}", plan.text());

    let mut applies = 0;
    loop {
        let again = cluster.stage.run(&APPLY);
        applies += 1;
        before = format!("{before}\n--- again\n{}", again.text());
        if again.code() == Some(0) {
            break;
        }
        assert!(applies < APPLIES_MAX, "it does not converge: {before}");
    }
    let status = cluster.settled(3);
    assert_eq!(cluster.members(), (3, true), "{status}\n{before}");
    assert_eq!(cluster.twice(), Vec::<String>::new(), "{before}");
    let made = cluster.made();
    assert!(made.values().all(|ids| ids.len() == 1), "made more often than once: {made:?}\n{before}");
    assert_eq!(made.len(), 6, "network, firewall, head and three workers are expected: {made:?}\n{before}");
    let last = cluster.stage.expect(0, &APPLY);
    assert!(last.stdout.contains("No changes"), "{before}\n--- settled\n{}", last.text());
    cluster.destroy();
    let how = if struck { "killed" } else { "it had ended" };
    println!("{form:?} {kill:?}: {how}; {applies} applies, {:.0} s", began.elapsed().as_secs_f64());
}

/// Applies, and kills at the moment. Says whether there was somebody to kill.
fn strike(cluster: &Quickstart, kill: Kill) -> (Ran, bool) {
    let stage: &Stage = &cluster.stage;
    match kill {
        Kill::CommandLineAfterRecords(records) => {
            (stage.start_with(&APPLY, &[("CLOUDTIK_DIE_AFTER_RECORDS", &records.to_string())]).wait(), true)
        }
        Kill::CloudAtPoint(point) => (stage.start_with(&APPLY, &[("CLOUDTIK_LOCAL_DIE_AFTER_EVENTS", &point.to_string())]).wait(), true),
        Kill::CommandLineAfterStart(ms) | Kill::ControllerAfterStart(ms) => {
            let mut running = stage.start(&APPLY);
            support::wait_until("the controller", Duration::from_secs(90), || cluster.controller().is_some() || running.has_ended());
            std::thread::sleep(Duration::from_millis(ms));
            let struck = if matches!(kill, Kill::CommandLineAfterStart(_)) {
                let lives = !running.has_ended();
                if lives {
                    running.signal(Signal::SIGKILL);
                }
                lives
            } else {
                let controller = cluster.controller();
                if let Some(controller) = &controller {
                    controller.kill();
                }
                controller.is_some()
            };
            (running.wait(), struck)
        }
    }
}
