//! Thousands of lives.

use cloudtik_controller_simulator::{Broken, Kind, Options, run};

#[test]
fn probe() {
    let seed: u64 = std::env::var("SEED").unwrap().parse().unwrap();
    let kind = if std::env::var("DESTROY").is_ok() { Kind::Destroy } else { Kind::Keep };
    match run(Options { seed, kind, broken: Broken::No, wants_log: true }) {
        Ok(outcome) => println!("{}\nok {} events {} ms {:?}", outcome.log.join("\n"), outcome.events, outcome.took_ms, outcome.counts),
        Err(failure) => panic!("{}\n{failure}", failure.log.join("\n")),
    }
}
