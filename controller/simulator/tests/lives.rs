//! Thousands of lives.

use cloudtik_controller_simulator::{Broken, Kind, Options, run};

fn probe_kind() -> Kind {
    if std::env::var("DESTROY").is_ok() { Kind::Destroy } else { Kind::Keep }
}

#[test]
fn probe() {
    let Some(seed) = std::env::var("SEED").ok().and_then(|s| s.parse().ok()) else { return };
    match run(Options { seed, kind: probe_kind(), broken: Broken::No, wants_log: true }) {
        Ok(outcome) => println!("{}\nok {} events {} ms {:?}", outcome.log.join("\n"), outcome.events, outcome.took_ms, outcome.counts),
        Err(failure) => panic!("{}\n{failure}", failure.log.join("\n")),
    }
}

#[test]
fn many() {
    let Some(seeds) = std::env::var("SEEDS").ok().and_then(|s| s.parse::<u64>().ok()) else { return };
    let from = std::env::var("FROM").ok().and_then(|s| s.parse::<u64>().ok()).unwrap_or(0);
    let mut counts = std::collections::BTreeMap::<&str, u64>::new();
    let (mut events, mut failed) = (0, 0);
    let began = std::time::Instant::now();
    for seed in from..from + seeds {
        match run(Options { seed, kind: probe_kind(), broken: Broken::No, wants_log: false }) {
            Ok(outcome) => {
                events += outcome.events;
                outcome.counts.into_iter().for_each(|(what, count)| *counts.entry(what).or_default() += count);
            }
            Err(failure) => {
                failed += 1;
                println!("seed {seed}: {}", failure.to_string().chars().take(400).collect::<String>());
            }
        }
    }
    println!("{seeds} seeds, {failed} failed, {events} events, {:?}, {counts:?}", began.elapsed());
}
