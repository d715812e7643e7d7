//! "Did you mean": the nearest of the names that would have been right.

/// The candidate nearest to `word`, if it is near enough to be what was meant: a third of the letters may differ, two in a short word.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    let limit = (length / 3).clamp(1, 4);
    candidates
        .into_iter()
        // What is longer or shorter by more than the limit is not near, and that is quicker to see.
        .filter(|candidate| *candidate != word && candidate.chars().count().abs_diff(length) <= limit)
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by(|a, b| a.0.cmp(&b.0).then(a.1.cmp(b.1)))
        .map(|(_, candidate)| candidate)
}

/// How many letters must be added, removed, changed or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let width = b.len() + 1;
    let mut rows = vec![vec![0_usize; width]; a.len() + 1];
    let at = |rows: &[Vec<usize>], i: usize, j: usize| rows.get(i).and_then(|r| r.get(j)).copied().unwrap_or(usize::MAX / 2);
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            let best = if i == 0 {
                j
            } else if j == 0 {
                i
            } else {
                let same = a.get(i - 1) == b.get(j - 1);
                let mut best = (at(&rows, i - 1, j) + 1).min(at(&rows, i, j - 1) + 1).min(at(&rows, i - 1, j - 1) + usize::from(!same));
                if i > 1 && j > 1 && a.get(i - 1) == b.get(j - 2) && a.get(i - 2) == b.get(j - 1) {
                    best = best.min(at(&rows, i - 2, j - 2) + 1);
                }
                best
            };
            if let Some(cell) = rows.get_mut(i).and_then(|r| r.get_mut(j)) {
                *cell = best;
            }
        }
    }
    at(&rows, a.len(), b.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        assert_eq!(did_you_mean("netwrok", ["network", "storage"]), Some("network"));
        assert_eq!(did_you_mean("cpu", ["cpus", "tags"]), Some("cpus"));
        assert_eq!(did_you_mean("banana", ["network", "storage"]), None);
        assert_eq!(did_you_mean("same", ["same"]), None);
    }
}
