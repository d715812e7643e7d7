//! The table: what was measured, what it is compared with, and whether the target was met.

use std::time::Duration;

/// What must be true of a measurement.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// The other takes at least so many times as long.
    Faster(f64),
    /// It takes at most so many times as long as the other.
    AtMostTimes(f64),
    /// It takes less than this.
    Below(Duration),
}

/// One line.
pub(crate) struct Row {
    /// What is measured.
    pub(crate) what: String,
    /// Ours.
    pub(crate) ours: Duration,
    /// What it is compared with, and how long that took. `None`: it is compared with nothing, or that was not there.
    pub(crate) other: Option<(String, Duration)>,
    /// What must be true.
    pub(crate) target: Target,
}

impl Row {
    /// How the two compare, as the target says it.
    fn ratio(&self) -> Option<f64> {
        let (_, other) = self.other.as_ref()?;
        let (ours, other) = (self.ours.as_secs_f64(), other.as_secs_f64());
        Some(match self.target {
            Target::Faster(_) => other / ours,
            Target::AtMostTimes(_) | Target::Below(_) => ours / other,
        })
    }

    /// Whether the target is met; `None` when there is nothing to compare with.
    pub(crate) fn is_met(&self) -> Option<bool> {
        match self.target {
            Target::Faster(least) => Some(self.ratio()? >= least),
            Target::AtMostTimes(most) => Some(self.ratio()? <= most),
            Target::Below(most) => Some(self.ours < most),
        }
    }

    fn cells(&self, verdicts: bool) -> [String; 6] {
        let other = self.other.as_ref().map_or_else(|| "-".to_owned(), |(name, took)| format!("{} {name}", shown(*took)));
        let ratio = self.ratio().map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let target = match self.target {
            Target::Faster(least) => format!("at least {least}"),
            Target::AtMostTimes(most) => format!("at most {most}"),
            Target::Below(most) => format!("below {}", shown(most)),
        };
        let verdict = match self.is_met() {
            _ if !verdicts => "not held",
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "SKIPPED",
        };
        [self.what.clone(), shown(self.ours), other, ratio, target, verdict.to_owned()]
    }
}

const HEADS: [&str; 6] = ["what", "cloudtik", "against", "ratio", "target", ""];

/// The rows as text. Without verdicts it says that no time is held.
pub(crate) fn render(rows: &[Row], verdicts: bool) -> String {
    let mut lines: Vec<[String; 6]> = vec![HEADS.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| row.cells(verdicts)));
    let mut widths = [0; 6];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in &lines {
        let mut shown = String::new();
        for (cell, width) in line.iter().zip(widths) {
            shown.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(shown.trim_end());
        text.push('\n');
    }
    text
}

/// The middle one of several; of an even number the later of the two in the middle.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn shown(time: Duration) -> String {
    if time < Duration::from_secs(1) { format!("{:.1} ms", time.as_secs_f64() * 1e3) } else { format!("{:.2} s", time.as_secs_f64()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(ours: u64, other: Option<u64>, target: Target) -> Row {
        let other = other.map(|ms| ("it".to_owned(), Duration::from_millis(ms)));
        Row { what: "plan".to_owned(), ours: Duration::from_millis(ours), other, target }
    }

    #[test]
    fn targets_are_met_missed_or_skipped() {
        assert_eq!(row(10, Some(100), Target::Faster(10.0)).is_met(), Some(true));
        assert_eq!(row(10, Some(99), Target::Faster(10.0)).is_met(), Some(false));
        assert_eq!(row(10, None, Target::Faster(10.0)).is_met(), None);
        assert_eq!(row(12, Some(10), Target::AtMostTimes(1.2)).is_met(), Some(true));
        assert_eq!(row(13, Some(10), Target::AtMostTimes(1.2)).is_met(), Some(false));
        assert_eq!(row(10, None, Target::Below(Duration::from_millis(10))).is_met(), Some(false));
    }

    #[test]
    fn the_table_says_how_each_compares() {
        let rows = [row(10, Some(1500), Target::Faster(10.0)), row(10, None, Target::Faster(40.0))];
        let text = render(&rows, true);
        assert_eq!(
            text,
            "what  cloudtik  against    ratio   target\n\
             plan  10.0 ms   1.50 s it  150.00  at least 10  met\n\
             plan  10.0 ms   -          -       at least 40  SKIPPED\n"
        );
        assert!(!render(&rows, false).contains("met\n"));
    }

    #[test]
    fn the_median_is_the_middle_one() {
        let times = [5, 1, 9].map(Duration::from_millis);
        assert_eq!(median(times.to_vec()), Duration::from_millis(5));
        assert_eq!(median(Vec::new()), Duration::ZERO);
    }
}
