//! Creates that are one call: which may be, which place each has in it, and how what is each one's own is said for all of them at once.

use serde::{Deserialize, Serialize};

/// Which creates of a kind may be one call: those that are the same but for the numbers of their objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Together {
    /// The most that one call makes.
    pub most: usize,
    /// Attributes that may have an object's number in them.
    pub numbered: &'static [&'static str],
}

/// The place of a create in a call that makes several objects.
///
/// Each of these creates is complete: it asks for all of them and is answered the one of its index. So each may be repeated as if it were alone,
/// and whoever makes calls sends one request for those that come together. A cloud that has no room for all makes the first ones; the others are
/// answered that there is no room. What all were refused for good is answered to every one of them, whenever it asks, as long as the connection
/// lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Unique to the call: what the cloud recognizes a repeat by, and the mark of what it makes.
    pub id: String,
    /// The numbers of the objects in the order in which they are made.
    pub numbers: Vec<u64>,
    /// Which of them this one is.
    pub index: usize,
}

/// What stands for the number in a text of all.
const NUMBER: &str = "*";

/// The most objects that a text may say: whoever reads one believes no more.
const NUMBERS_MAX: usize = 1_000;

/// The longest text of numbers. Clouds take 256 characters in a tag.
const NUMBERS_CHARS_MAX: usize = 200;

impl Batch {
    /// The number of its object.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.numbers.get(self.index).copied().unwrap_or_default()
    }

    /// The op id of one of the creates.
    #[must_use]
    pub fn op_id(id: &str, index: usize) -> String {
        format!("{id}.{index}")
    }

    /// The call and the index that an op id may be of.
    #[must_use]
    pub fn of_op_id(op_id: &str) -> Option<(&str, usize)> {
        let (id, index) = op_id.rsplit_once('.')?;
        let plain = index.bytes().all(|byte| byte.is_ascii_digit()) && (index == "0" || !index.starts_with('0'));
        Some((id, index.parse().ok()?)).filter(|_| plain)
    }
}

/// A text with an object's number taken out where it stands last, so that it is the same for all objects; and as it is where the number does not
/// stand in it. `None`: it could not be put back.
#[must_use]
pub fn without_number(text: &str, number: u64) -> Option<String> {
    if text.contains(NUMBER) {
        return None;
    }
    let digits = number.to_string();
    let is_digit = |part: Option<char>| part.is_some_and(|part| part.is_ascii_digit());
    let stands_alone = |at: &usize| {
        let (before, after) = (text.get(..*at).unwrap_or_default(), text.get(at.saturating_add(digits.len())..).unwrap_or_default());
        !is_digit(before.chars().next_back()) && !is_digit(after.chars().next())
    };
    let Some(at) = text.rmatch_indices(&digits).map(|(at, _)| at).find(stands_alone) else { return Some(text.to_owned()) };
    let (before, after) = (text.get(..at)?, text.get(at.checked_add(digits.len())?..)?);
    Some([before, NUMBER, after].concat())
}

/// The text again that [`without_number`] was given.
#[must_use]
pub fn with_number(text: &str, number: u64) -> String {
    text.replace(NUMBER, &number.to_string())
}

/// Numbers as a short text: `1-97/3 100 104`. Numbers at the same distance are one word.
#[must_use]
pub fn numbers_text(numbers: &[u64]) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut rest = numbers;
    while let [first, tail @ ..] = rest {
        let step = tail.first().and_then(|next| next.checked_sub(*first)).unwrap_or_default();
        let ends = |(place, pair): (usize, &[u64])| {
            let is_step = matches!(pair, [one, next] if step > 0 && one.checked_add(step) == Some(*next));
            (!is_step).then_some(place)
        };
        let more = rest.windows(2).enumerate().find_map(ends).unwrap_or(tail.len());
        // Two are as short one by one.
        let taken = if more > 1 { more.saturating_add(1) } else { 1 };
        words.push(match rest.get(taken.saturating_sub(1)).filter(|_| taken > 1) {
            Some(last) if step == 1 => format!("{first}-{last}"),
            Some(last) => format!("{first}-{last}/{step}"),
            None => first.to_string(),
        });
        rest = rest.get(taken..).unwrap_or_default();
    }
    words.join(" ")
}

/// What [`numbers_text`] was given. Of a text that it never gave, `None`.
#[must_use]
pub fn numbers_of(text: &str) -> Option<Vec<u64>> {
    let mut numbers = Vec::new();
    for word in text.split(' ') {
        let (range, step) = word.split_once('/').map_or((word, Some(1)), |(range, step)| (range, step.parse::<usize>().ok()));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
        let step = step.filter(|step| *step > 0 && first <= last)?;
        numbers.extend((first..=last).step_by(step).take(NUMBERS_MAX.saturating_add(1)));
        if numbers.is_empty() || numbers.len() > NUMBERS_MAX {
            return None;
        }
    }
    Some(numbers)
}

/// Numbers in parts that one call each can make: as many as it makes, and so few that their text is short enough.
#[must_use]
pub fn parts_of(numbers: &[u64], most: usize) -> Vec<&[u64]> {
    let mut parts = Vec::new();
    let mut rest = numbers;
    while !rest.is_empty() {
        let mut taken = rest.len().min(most.clamp(1, NUMBERS_MAX));
        while taken > 1 && rest.get(..taken).is_some_and(|some| numbers_text(some).len() > NUMBERS_CHARS_MAX) {
            taken = taken.div_ceil(2);
        }
        let (part, others) = rest.split_at(taken);
        parts.push(part);
        rest = others;
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_at_the_same_distance_are_one_word() {
        let text = |numbers: &[u64]| numbers_text(numbers);
        assert_eq!(text(&[1, 2, 3, 4]), "1-4");
        assert_eq!(text(&[3, 6, 9, 12, 100, 104]), "3-12/3 100 104");
        assert_eq!(text(&[7]), "7");
        assert_eq!(numbers_of("1-7/3"), Some(vec![1, 4, 7]));
        for wrong in ["", "x", "1-", "5-1", "1-4/0", "1-99999999", "1  2"] {
            assert_eq!(numbers_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_number_is_taken_out_where_it_stands_last() {
        assert_eq!(without_number("cluster.c7.workers.g[7]", 7).as_deref(), Some("cluster.c7.workers.g[*]"));
        assert_eq!(without_number("c-g-17", 7).as_deref(), Some("c-g-17"));
        assert_eq!(without_number("ü7ü", 7).as_deref(), Some("ü*ü"));
        assert_eq!(without_number("a*7", 7), None);
    }

    #[test]
    fn op_ids_say_their_call() {
        assert_eq!(Batch::of_op_id(&Batch::op_id("r.1-2", 10)), Some(("r.1-2", 10)));
        for other in ["run-7", "r.1-2", "r.", "r.01", "r.+1"] {
            assert_eq!(Batch::of_op_id(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn numbers_come_back(numbers in proptest::collection::btree_set(0_u64..500, 1..60)) {
            let numbers: Vec<u64> = numbers.into_iter().collect();
            prop_assert_eq!(numbers_of(&numbers_text(&numbers)), Some(numbers));
        }

        #[test]
        fn parts_are_all_and_short(numbers in proptest::collection::btree_set(0_u64..100_000, 1..300), most in 1_usize..120) {
            let numbers: Vec<u64> = numbers.into_iter().collect();
            let parts = parts_of(&numbers, most);
            prop_assert_eq!(parts.concat(), numbers.clone());
            for part in parts {
                prop_assert!(part.len() <= most && numbers_text(part).len() <= NUMBERS_CHARS_MAX);
            }
        }

        #[test]
        fn texts_come_back(text in "[a-z0-9.-]{0,12}", number in 0_u64..30) {
            let taken = without_number(&text, number).unwrap();
            prop_assert_eq!(with_number(&taken, number), text);
        }
    }
}
