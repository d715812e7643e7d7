//! Small texts: durations in and out, and text that a terminal may be given.

use std::time::Duration;

/// The longest duration that is read: a mistyped unit should not make a program wait for years.
const DURATION_SECONDS_MAX: u64 = 365 * 24 * 3600;

/// `10s`, `5m`, `1h30m`, `500ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a duration such as `10s`, `5m` or `1h30m` is expected".to_owned();
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|digits| *digits > 0).ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        total = number.checked_mul(milliseconds).and_then(|ms| total.checked_add(Duration::from_millis(ms))).ok_or_else(wrong)?;
        rest = after;
    }
    if text.is_empty() || total > Duration::from_secs(DURATION_SECONDS_MAX) { Err(wrong()) } else { Ok(total) }
}

/// How long something took: `0.3s`, `12.4s`, `2m05s`, `1h02m`.
pub(crate) fn took(duration: Duration) -> String {
    let tenths = (duration.as_millis() + 50) / 100;
    let seconds = tenths / 10;
    match seconds {
        0..60 => format!("{seconds}.{}s", tenths % 10),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// How long something has been going on: `7s`, `2m05s`.
pub(crate) fn elapsed(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 { format!("{seconds}s") } else { took(Duration::from_secs(seconds)) }
}

/// Seconds since 1970 as `2026-01-02 03:04:05`, in UTC.
pub(crate) fn utc(seconds: u64) -> String {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March end with the day that some of them have more; eras of 400 years are all alike.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

/// A moment since 1970 as machines write it: `2026-01-02T03:04:05.000006Z`.
pub(crate) fn timestamp(since: Duration) -> String {
    format!("{}.{:06}Z", utc(since.as_secs()).replacen(' ', "T", 1), since.subsec_micros())
}

/// The text without characters that would do something to a terminal. What stands in a spec or comes from a node is shown, never obeyed.
pub(crate) fn harmless(text: &str) -> String {
    text.chars()
        .filter(|c| *c != '\r')
        .map(|c| if c.is_control() && c != '\n' && c != '\t' { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

/// What the system said, without its number.
pub(crate) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error ").next().unwrap_or_default().to_owned()
}

/// `1 step`, `2 steps`.
pub(crate) fn many(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_units() {
        let seconds = |text| duration(text).map(|duration| duration.as_secs_f64());
        assert_eq!(seconds("10s"), Ok(10.0));
        assert_eq!(seconds("1h30m"), Ok(5400.0));
        assert_eq!(seconds("0s"), Ok(0.0));
        assert_eq!(seconds("500ms"), Ok(0.5));
        for text in ["", "10", "s", "1d", "-1s", "1.5s", "99999999999999999999s", "9999999h", "1s "] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_shown_as_people_say_them() {
        let shown = |ms| took(Duration::from_millis(ms));
        assert_eq!(
            [0, 349, 12_400, 59_949, 59_950, 125_000, 3_725_000].map(shown),
            ["0.0s", "0.3s", "12.4s", "59.9s", "1m00s", "2m05s", "1h02m"]
        );
        assert_eq!(elapsed(Duration::from_millis(7999)), "7s");
        assert_eq!(elapsed(Duration::from_secs(125)), "2m05s");
    }

    #[test]
    fn moments_are_shown_in_utc() {
        let shown = [0, 951_782_399, 951_782_400, 1_709_164_800, 1_767_323_045, 4_102_444_799].map(utc);
        let expected = [
            "1970-01-01 00:00:00",
            "2000-02-28 23:59:59",
            "2000-02-29 00:00:00",
            "2024-02-29 00:00:00",
            "2026-01-02 03:04:05",
            "2099-12-31 23:59:59",
        ];
        assert_eq!(shown, expected);
        assert_eq!(timestamp(Duration::from_micros(1_767_323_045_000_006)), "2026-01-02T03:04:05.000006Z");
    }

    #[test]
    fn text_cannot_steer_a_terminal() {
        assert_eq!(harmless("a\u{1b}[31mb\r\nc\td\u{9b}"), "a\u{fffd}[31mb\nc\td\u{fffd}");
    }
}
