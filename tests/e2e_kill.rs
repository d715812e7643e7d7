//! `kill -9` of the command line and of the local cloud at moments of `examples/first`'s apply, then `apply` again: it converges. What was
//! made is judged by the local cloud's audit log: one create for each address, and nothing deleted on the way.
//!
//! The moments are random, the seed is printed. `CLOUDTIK_KILLS=50 cargo test -p cloudtik --test e2e_kill` tries more of each.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic,
    reason = "helpers of tests are no test functions to clippy"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use support::random::Random;
use support::stage::{Form, Ran, Stage, free_port, get};

/// How many kills of each sort, where nobody says another number.
const KILLS: u64 = 6;

/// The records of an apply of `examples/first`: an intent and an outcome of each of its ten operations, and what frames them.
const RECORDS: u64 = 24;

/// The crash points of the local cloud in the same apply: before and after each of its records.
const EVENTS: u64 = 20;

/// The entries of its audit log: a beginning and an end of each of the four creates, and the first dials.
const ENTRIES: u64 = 9;

/// A moment, and who dies at it.
#[derive(Clone, Copy, Debug)]
enum Kill {
    /// The command line, when that many records are durable.
    CommandLineAfterRecords(u64),
    /// The command line, when the audit log has that many entries.
    CommandLineAfterCalls(u64),
    /// The local cloud, at its n-th crash point.
    CloudAtPoint(u64),
    /// The local cloud, when the audit log has that many entries.
    CloudAfterCalls(u64),
}

fn kills() -> u64 {
    std::env::var("CLOUDTIK_KILLS").ok().map_or(KILLS, |text| text.parse().expect("CLOUDTIK_KILLS is a number"))
}

#[test]
fn of_the_command_line() {
    let mut random = Random::from_environment();
    for i in 0..kills() {
        let by_calls = i % 3 == 2;
        let kill = if by_calls {
            Kill::CommandLineAfterCalls(1 + random.below(ENTRIES))
        } else {
            Kill::CommandLineAfterRecords(1 + random.below(RECORDS))
        };
        converges(form(i), kill);
    }
}

#[test]
fn of_the_local_cloud() {
    let mut random = Random::from_environment();
    for i in 0..kills() {
        let kill = if i % 3 == 2 { Kill::CloudAfterCalls(1 + random.below(ENTRIES)) } else { Kill::CloudAtPoint(1 + random.below(EVENTS)) };
        converges(form(i), kill);
    }
}

/// Both forms in turn, where both are possible.
fn form(i: u64) -> Form {
    if support::is_root() && i.is_multiple_of(2) { Form::Namespaces } else { Form::Plain }
}

fn converges(form: Form, kill: Kill) {
    let stage = Stage::new(form);
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/first/main.hcl");
    stage.spec(&fs::read_to_string(example).unwrap());
    let port = format!("port={}", free_port());
    let apply = ["apply", "--auto-approve", "--var", &port];

    let killed = struck(&stage, &apply, kill);
    println!("{form:?} {kill:?}: {}", if killed.code().is_none() { "killed".to_owned() } else { killed.status.to_string() });
    if matches!(kill, Kill::CommandLineAfterRecords(_)) {
        assert_eq!(killed.code(), None, "{kill:?}: it lives: {}", killed.text());
    }
    if matches!(kill, Kill::CloudAtPoint(_)) {
        assert!(stage.root().join("state/cloudtik/local/died-as-told").exists(), "{kill:?}: the local cloud lives: {}", killed.text());
    }
    // A plan tells what it would do, and changes nothing.
    let plan = stage.run(&["plan", "--var", &port]);
    assert_eq!(plan.code(), Some(0), "{kill:?}: {}", plan.text());

    let again = stage.run(&apply);
    let before = format!("{kill:?}\n--- first\n{}\n--- again\n{}", killed.text(), again.text());
    assert_eq!(again.code(), Some(0), "{before}");
    let url = stage.expect(0, &["output", "--raw", "page"]).stdout;
    assert!(get(&url).is_some_and(|page| page.contains("Hello from cloudtik")), "{before}");
    assert_eq!(twice(&stage), Vec::<String>::new(), "{before}");
    let settled = stage.expect(0, &apply);
    assert!(settled.stdout.contains("No changes"), "{before}\n--- settled\n{}", settled.text());

    stage.expect(0, &["destroy", "--auto-approve", "--var", &port]);
    assert_eq!(stage.left(), Vec::<String>::new(), "destroy left this on the machine: {before}");
}

/// Applies, and kills at the moment.
fn struck(stage: &Stage, apply: &[&str], kill: Kill) -> Ran {
    match kill {
        Kill::CommandLineAfterRecords(records) => stage.start_with(apply, &[("CLOUDTIK_DIE_AFTER_RECORDS", &records.to_string())]).wait(),
        Kill::CloudAtPoint(point) => stage.start_with(apply, &[("CLOUDTIK_LOCAL_DIE_AFTER_EVENTS", &point.to_string())]).wait(),
        Kill::CommandLineAfterCalls(entries) | Kill::CloudAfterCalls(entries) => {
            let mut running = stage.start(apply);
            support::wait_until("the calls", Duration::from_secs(60), || stage.audit().len() as u64 >= entries || running.has_ended());
            if matches!(kill, Kill::CommandLineAfterCalls(_)) {
                if !running.has_ended() {
                    running.signal(Signal::SIGKILL);
                }
            } else {
                stage.processes().iter().filter(|process| process.is("cloudtik", &["local-cloud"])).for_each(|process| process.kill());
            }
            running.wait()
        }
    }
}

/// What was made more often than once, or deleted although it was to stay.
fn twice(stage: &Stage) -> Vec<String> {
    let mut made: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for entry in stage.audit() {
        let address = entry["address"].as_str().unwrap_or_default().to_owned();
        match (entry["verb"].as_str(), entry["outcome"].as_str()) {
            (Some("create"), Some("done")) => *made.entry(address).or_default() += 1,
            (Some("delete"), Some("done")) => wrong.push(format!("{address} was deleted")),
            _ => {}
        }
    }
    wrong.extend(made.iter().filter(|(_, times)| **times != 1).map(|(address, times)| format!("{address} was made {times} times")));
    if made.len() != 4 {
        wrong.push(format!("four addresses are expected: {made:?}"));
    }
    wrong
}
