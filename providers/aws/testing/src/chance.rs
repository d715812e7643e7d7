//! Chance that can be repeated: a number from a seed and what it is for.

/// A number from 0 to below 1.
pub(crate) fn fraction(seed: u64, of: &str, occurrence: u64) -> f64 {
    let mut state = seed ^ occurrence.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in of.bytes() {
        state = mixed(state ^ u64::from(byte));
    }
    let bits = u32::try_from(mixed(state) >> 32).unwrap_or_default();
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

/// The last step of `SplitMix64`.
fn mixed(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_spread_and_repeats() {
        let all: Vec<f64> = (0..1000).map(|i| fraction(7, "ec2:CreateVpc", i)).collect();
        assert!(all.iter().all(|value| (0.0..1.0).contains(value)));
        let below = all.iter().filter(|value| **value < 0.25).count();
        assert!((200..300).contains(&below), "{below}");
        assert!((fraction(7, "a", 1) - fraction(7, "a", 1)).abs() < f64::EPSILON);
        assert!((fraction(7, "a", 1) - fraction(8, "a", 1)).abs() > f64::EPSILON);
    }
}
