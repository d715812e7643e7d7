//! A group that is renamed: nothing is made, removed, restarted or done again because of it, and what changes later is done once.

#![allow(clippy::panic, reason = "helpers of tests are no test functions to clippy")]

use std::collections::BTreeMap;

use cloudtik_controller_simulator::{Broken, Kind, Options, Trouble, run};

fn counts(seed: u64, trouble: Trouble) -> BTreeMap<&'static str, u64> {
    match run(Options { seed, kind: Kind::Rename { trouble }, broken: Broken::No, wants_log: false }) {
        Ok(outcome) => outcome.counts,
        Err(failure) => panic!("seed {seed}, {trouble:?}: {failure}"),
    }
}

#[test]
fn nothing_happens_because_a_group_is_renamed() {
    for seed in 0..3 {
        let counts = counts(seed, Trouble::None);
        // The text of the group with a quorum changes once: three members restart, and nobody else of it.
        assert_eq!((counts["launches"], counts["restarts"], counts["pushes"]), (5, 3, 2), "seed {seed}: {counts:?}");
    }
}

#[test]
fn a_crash_while_a_group_is_renamed_changes_nothing() {
    let mut torn = 0;
    for seed in 0..20 {
        let counts = counts(seed, Trouble::Crash);
        assert_eq!((counts["launches"], counts["restarts"], counts["lives"]), (5, 3, 2), "seed {seed}: {counts:?}");
        torn += counts.get("writes torn").copied().unwrap_or_default();
    }
    assert!(torn > 0, "no write was hit");
}

#[test]
fn a_new_head_knows_the_workers_of_a_renamed_group() {
    for seed in 0..3 {
        let counts = counts(seed, Trouble::LoseHead);
        assert_eq!((counts["launches"], counts["restarts"], counts["heads lost"]), (5, 3, 1), "seed {seed}: {counts:?}");
    }
}
