//! Chance with a seed that is printed, so that it can be repeated.

use std::time::{SystemTime, UNIX_EPOCH};

/// Says which seed to use again.
const VARIABLE: &str = "CLOUDTIK_TEST_SEED";

/// Chance. Two of the same seed give the same numbers.
pub struct Random(u64);

impl Random {
    /// With the seed that the environment names, else with one made from the time; either is printed.
    pub fn from_environment() -> Self {
        let given = std::env::var(VARIABLE).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{VARIABLE} is no number: `{text}`")));
        let seed: u64 = given.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() % 1_000_000);
        println!("seed: {seed} ({VARIABLE}={seed} repeats it)");
        Self(seed)
    }

    /// A number from `0` to below the bound. SplitMix64, which is good enough to choose a moment.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
