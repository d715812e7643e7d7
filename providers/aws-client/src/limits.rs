//! A token bucket for each API action, so that a large plan does not run into AWS's own.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::Effect;

/// Calls of one action that may be made at once after a pause, and how many a second after that. AWS publishes for EC2: 100 and 20 for reads,
/// 50 and 5 for most writes; other services are no narrower for what is done here.
const READS: (f64, f64) = (100.0, 20.0);
const WRITES: (f64, f64) = (50.0, 5.0);

#[derive(Default)]
pub(crate) struct Limits {
    buckets: Mutex<BTreeMap<&'static str, Bucket>>,
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Limits {
    /// Waits until a call of the action may be made.
    pub(crate) async fn take(&self, action: &'static str, effect: Effect) {
        let wait = self.reserve(action, effect, Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes a token, or owes one: how long until it is there.
    fn reserve(&self, action: &'static str, effect: Effect, now: Instant) -> Duration {
        let (size, rate) = if effect == Effect::None { READS } else { WRITES };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(action).or_insert(Bucket { tokens: size, at: now });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.tokens = passed.mul_add(rate, bucket.tokens).min(size) - 1.0;
        bucket.at = now;
        if bucket.tokens >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-bucket.tokens / rate) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_the_rest_waits() {
        let (limits, now) = (Limits::default(), Instant::now());
        let waits: Vec<Duration> = (0..51).map(|_| limits.reserve("ec2:CreateVpc", Effect::Possible, now)).collect();
        assert!(waits.iter().take(50).all(Duration::is_zero));
        assert_eq!(waits[50], Duration::from_millis(200));
        assert_eq!(limits.reserve("ec2:CreateSubnet", Effect::Possible, now), Duration::ZERO);
        assert_eq!(limits.reserve("ec2:CreateVpc", Effect::Possible, now + Duration::from_secs(10)), Duration::ZERO);
    }
}
