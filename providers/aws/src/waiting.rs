//! How what AWS does in its own time is waited for: by asking, at intervals that grow.

use std::time::Duration;

/// Between the first two questions.
const FIRST: Duration = Duration::from_millis(100);
/// How much longer each pause is than the one before.
const GROWTH: f64 = 1.5;
/// The longest pause: what is waited for longer than this is not late by more.
const LONGEST: Duration = Duration::from_secs(5);

/// The pauses between questions, one after the other, without an end.
#[derive(Clone, Copy, Debug)]
pub struct Pauses {
    next: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Pauses {
    /// The one that comes now.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = pause.mul_f64(GROWTH).min(LONGEST);
        pause
    }
}

/// How many more questions than the first one it takes to find out that something is done which takes so many milliseconds.
pub(crate) fn looks(ms: u64) -> u64 {
    let (mut pauses, mut passed, mut looks) = (Pauses::default(), Duration::ZERO, 0);
    while passed < Duration::from_millis(ms) {
        passed += pauses.pause();
        looks += 1;
    }
    looks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_is_asked_for_often() {
        let mut pauses = Pauses::default();
        assert_eq!([pauses.pause(), pauses.pause(), pauses.pause()].map(|pause| pause.as_millis()), [100, 150, 225]);
        assert_eq!((0..20).map(|_| pauses.pause()).last(), Some(LONGEST));
        assert_eq!((looks(0), looks(100), looks(101)), (0, 1, 2));
        // A NAT gateway.
        assert_eq!(looks(110_000), 30);
    }
}
