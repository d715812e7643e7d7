//! Durations as specs and modules write them.

/// Seconds of a duration such as `1h30m`; parts in falling order, each unit once.
#[must_use]
pub fn duration_seconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total: u64 = 0;
    let mut last = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        let after = rest.get(digits..)?;
        let unit = match after.chars().next()? {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        if unit >= last {
            return None;
        }
        last = unit;
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = after.get(1..)?;
    }
    (last != u64::MAX).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_in_falling_order() {
        assert_eq!(duration_seconds("90s"), Some(90));
        assert_eq!(duration_seconds("1h30m"), Some(5400));
        for text in ["", "90", "s", "30m1h", "1x", "-1s", "1.5s", "99999999999999999999s"] {
            assert_eq!(duration_seconds(text), None, "{text}");
        }
    }
}
