//! How often calls may be made: a token bucket, kept as the time at which it would be full again.

use crate::engine::TokenBucketLimit;

/// A token bucket. Whoever takes a token is told when it may be used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    limit: TokenBucketLimit,
    full_at_us: u64,
}

impl Bucket {
    pub(crate) const fn new(limit: TokenBucketLimit) -> Self {
        Self { limit, full_at_us: 0 }
    }

    /// Takes a token: the time from which the call may be made.
    pub(crate) fn take(&mut self, now_ms: u64) -> u64 {
        let now_us = now_ms.saturating_mul(1000);
        let interval_us = 1_000_000 / self.limit.per_second.max(1);
        self.full_at_us = self.full_at_us.max(now_us).saturating_add(interval_us);
        let earliest_us = self.full_at_us.saturating_sub(self.limit.burst.max(1).saturating_mul(interval_us));
        earliest_us.div_ceil(1000).max(now_ms)
    }

    /// The other side says that it is empty.
    pub(crate) fn drain(&mut self, now_ms: u64) {
        let interval_us = 1_000_000 / self.limit.per_second.max(1);
        let empty_us = now_ms.saturating_mul(1000).saturating_add(self.limit.burst.saturating_mul(interval_us));
        self.full_at_us = self.full_at_us.max(empty_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let mut bucket = Bucket::new(TokenBucketLimit { burst: 2, per_second: 10 });
        assert_eq!([1000, 1000, 1000, 1000].map(|now| bucket.take(now)), [1000, 1000, 1100, 1200]);
        assert_eq!(bucket.take(10_000), 10_000);
        bucket.drain(20_000);
        assert_eq!(bucket.take(20_000), 20_100);
    }
}
