//! Every target over its seeds and its kept findings. A panic, a stack that overflows, a hang and memory without end each end the test.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed; clippy knows tests by their attribute, not their helpers")]

use std::sync::Once;

use cloudtik_fuzz::{TARGETS, seeds::seeds, target};
use nix::sys::resource::{Resource, setrlimit};

/// Address space for all tests of this program, stacks of threads included.
const SPACE_BYTES_MAX: u64 = 4 << 30;
/// Seconds on a processor for all of them; they take a few. What hangs is ended, however busy the machine is.
const PROCESSOR_SECONDS_MAX: u64 = 300;

fn replay(name: &str) {
    static BOUNDED: Once = Once::new();
    BOUNDED.call_once(|| {
        setrlimit(Resource::RLIMIT_AS, SPACE_BYTES_MAX, SPACE_BYTES_MAX).unwrap();
        setrlimit(Resource::RLIMIT_CPU, PROCESSOR_SECONDS_MAX, PROCESSOR_SECONDS_MAX).unwrap();
    });
    let target = target(name).unwrap();
    let seeds = seeds(target).unwrap();
    assert!(seeds.len() > 1, "{name} has no seeds");
    for (seed, bytes) in seeds {
        let ended = std::panic::catch_unwind(|| (target.run)(&bytes));
        assert!(ended.is_ok(), "{name} breaks a promise with {seed}");
    }
}

macro_rules! replay {
    ($($name:ident)*) => {
        $(#[test] fn $name() { replay(stringify!($name)); })*

        #[test]
        fn every_target_is_replayed() {
            let replayed = [$(stringify!($name)),*];
            assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), replayed);
        }
    };
}

replay!(syntax format evaluate spec state journal plan);
