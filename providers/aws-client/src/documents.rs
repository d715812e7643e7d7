//! JSON documents: IAM answers them encoded as in a URL, and may write them in another form than they were given in.

use cloudtik_model::Value;

/// The one form that a document has in answers: without spaces, names sorted. What is no JSON is as it is.
pub(crate) fn canonical(document: &str) -> String {
    parsed(document).map_or_else(|| document.to_owned(), |document| document.to_string())
}

/// A document as IAM answers it, in that form.
pub(crate) fn of_url(encoded: &str) -> String {
    canonical(&decoded(encoded))
}

/// Whether two texts are JSON documents that say the same.
pub(crate) fn are_equal(one: &Value, other: &Value) -> bool {
    let (Some(one), Some(other)) = (one.as_str(), other.as_str()) else { return false };
    one.trim_start().starts_with(['{', '[']) && parsed(one).is_some_and(|document| Some(document) == parsed(other))
}

fn parsed(document: &str) -> Option<serde_json::Value> {
    serde_json::from_str(document).ok().map(sorted)
}

/// With names in order, whichever order serde_json keeps.
fn sorted(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(parts) => {
            let mut parts: Vec<(String, serde_json::Value)> = parts.into_iter().map(|(name, part)| (name, sorted(part))).collect();
            parts.sort_by(|(a, _), (b, _)| a.cmp(b));
            serde_json::Value::Object(parts.into_iter().collect())
        }
        serde_json::Value::Array(parts) => parts.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// Without percent signs.
fn decoded(encoded: &str) -> String {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| encoded.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_have_one_form() {
        assert_eq!(of_url("%7B%22b%22%3A%20%5B1%5D%2C%20%22a%22%3A%20%22x%2By%22%7D"), r#"{"a":"x+y","b":[1]}"#);
        assert_eq!(of_url(r#"{"a":"%"}"#), r#"{"a":"%"}"#);
        assert_eq!(canonical("no JSON"), "no JSON");
    }

    #[test]
    fn only_documents_are_compared_as_such() {
        assert!(are_equal(&r#"{"a":1,"b":2}"#.into(), &r#"{ "b": 2, "a": 1 }"#.into()));
        assert!(!are_equal(&r#"{"a":1}"#.into(), &r#"{"a":2}"#.into()));
        assert!(!are_equal(&"1.0".into(), &"1.0".into()));
    }
}
