//! Marks as tags. Marks say whose an object is, and their names begin with [`PREFIX`]; what a spec calls tags are all others.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What the names of marks begin with.
pub const PREFIX: &str = "cloudtik:";

/// A mark's value as every service takes it: some allow only letters, numbers, spaces and `+-=._:/@`. All others, and `=`, are written as
/// `=` and two hexadecimal digits a byte.
#[must_use]
pub fn encode(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b" +-._:/@".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "={byte:02X}");
        }
    }
    encoded
}

/// What [`encode`] was given. Of a value that it never gave, the value.
#[must_use]
pub fn decode(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..2).filter(|_| *first == b'=').and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            bytes.push(byte);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| value.to_owned())
}

/// Tags of an object, parted into marks (decoded) and what a spec calls tags. AWS's own (`aws:`) are neither.
#[must_use]
pub fn part(tags: BTreeMap<String, String>) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let (mut marks, mut others) = (BTreeMap::new(), BTreeMap::new());
    for (name, value) in tags {
        if name.starts_with(PREFIX) {
            marks.insert(name, decode(&value));
        } else if !name.starts_with("aws:") {
            others.insert(name, value);
        }
    }
    (marks, others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back() {
        for value in ["workspace.w.subnet.private[0]", "cluster.etl[\"a b\"]", "a=b", "=", "=4", "ü", ""] {
            assert_eq!(decode(&encode(value)), value);
        }
        assert_eq!(encode("workspace.w.eip[0]"), "workspace.w.eip=5B0=5D");
    }

    #[test]
    fn marks_are_no_tags() {
        let all = [("cloudtik:op", "o"), ("aws:cloudformation:stack-name", "s"), ("Name", "n")];
        let (marks, tags) = part(all.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert_eq!(marks.keys().collect::<Vec<_>>(), ["cloudtik:op"]);
        assert_eq!(tags.keys().collect::<Vec<_>>(), ["Name"]);
    }
}
