//! Lives of a cluster: hundreds on every run, thousands when they are asked for.
//!
//! `CLOUDTIK_SIM_SEEDS=2000 cargo test -p cloudtik-controller-simulator` lives that many of each kind. A seed that fails is named, and
//! `CLOUDTIK_TEST_SEED=n cargo test -p cloudtik-controller-simulator` lives just that one again, and shows its log.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "helpers of tests are no test functions to clippy")]
#![allow(clippy::disallowed_methods, reason = "a test is told by the environment which seeds to live")]

use std::collections::BTreeMap;

use cloudtik_controller_simulator::{Broken, Kind, Options, Outcome, run};

/// Lives of each kind where nobody says how many: together about a minute of an unoptimized build.
const SEEDS: u64 = 100;

/// Lives in which something that is broken on purpose must be noticed.
const BROKEN_SEEDS: u64 = 60;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

fn options(seed: u64, kind: Kind) -> Options {
    Options { seed, kind, broken: Broken::No, wants_log: false }
}

/// Lives seeds; says how often what happened.
fn live(kind: Kind, name: &str) -> BTreeMap<&'static str, u64> {
    let one = number("CLOUDTIK_TEST_SEED");
    let seeds = one.map_or(0..number("CLOUDTIK_SIM_SEEDS").unwrap_or(SEEDS), |seed| seed..seed + 1);
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut failed = Vec::new();
    for seed in seeds {
        match run(Options { wants_log: one.is_some(), ..options(seed, kind) }) {
            Ok(Outcome { counts: of_seed, events, fingerprint, .. }) => {
                of_seed.into_iter().for_each(|(what, count)| *counts.entry(what).or_default() += count);
                *counts.entry("events").or_default() += events;
                if one.is_some() {
                    println!("seed {seed}: {events} events, {fingerprint}");
                }
            }
            Err(failure) => {
                println!("{}", failure.log.join("\n"));
                failed.push(format!("CLOUDTIK_TEST_SEED={seed} cargo test -p cloudtik-controller-simulator {name}: {failure}"));
            }
        }
    }
    assert!(failed.is_empty(), "{} lives failed:\n{}", failed.len(), failed.join("\n"));
    println!("{counts:?}");
    counts
}

fn reaches(counts: &BTreeMap<&'static str, u64>, wanted: &[&str]) {
    if number("CLOUDTIK_TEST_SEED").is_none() && number("CLOUDTIK_SIM_SEEDS").is_none() {
        let missing: Vec<_> = wanted.iter().filter(|what| !counts.contains_key(**what)).collect();
        assert!(missing.is_empty(), "chance never reaches {missing:?}");
    }
}

#[test]
fn a_cluster_is_kept_whatever_happens() {
    let counts = live(Kind::Keep, "a_cluster_is_kept_whatever_happens");
    reaches(&counts, &["deaths", "folds", "heads lost", "joins", "launches", "leaves", "pushes", "restarts", "writes torn"]);
}

#[test]
fn no_worker_outlives_its_cluster() {
    let counts = live(Kind::Destroy, "no_worker_outlives_its_cluster");
    reaches(&counts, &["deaths", "launches", "pushes", "writes torn", "refused behind the fence"]);
}

#[test]
fn a_seed_is_the_same_life_to_the_byte() {
    for (seed, kind) in [(1, Kind::Keep), (2, Kind::Keep), (3, Kind::Destroy)] {
        let log = |seed| run(Options { wants_log: true, ..options(seed, kind) }).unwrap();
        let (first, again, other) = (log(seed), log(seed), log(seed + 100));
        assert_eq!(first.fingerprint, again.fingerprint);
        assert_eq!(first.log, again.log);
        assert_ne!(first.fingerprint, other.fingerprint);
        let quiet = run(options(seed, kind)).unwrap();
        assert_eq!(first.fingerprint, quiet.fingerprint, "the log is no part of the life");
    }
}

/// Whether some life notices what is broken, in words that name it.
fn is_noticed(broken: Broken, kind: Kind, words: &[&str]) -> bool {
    let failures = (0..BROKEN_SEEDS).filter_map(|seed| run(Options { broken, ..options(seed, kind) }).err());
    failures.into_iter().any(|failure| words.iter().any(|word| failure.what.contains(word)))
}

#[test]
fn a_store_that_forgets_numbers_is_noticed() {
    assert!(is_noticed(Broken::ForgetNumbers, Kind::Keep, &["has the number of", "what is durable is not"]));
}

#[test]
fn a_store_that_forgets_intents_is_noticed() {
    assert!(is_noticed(
        Broken::ForgetIntents,
        Kind::Keep,
        &["nobody knows it", "are both", "may have", "has the number of", "what is durable is not"]
    ));
}

#[test]
fn a_cloud_without_a_fence_is_noticed() {
    assert!(is_noticed(Broken::IgnoreFence, Kind::Destroy, &["behind the fence"]));
}
