//! Names in a template: letters and digits, made of addresses and paths.

use cloudtik_model::{Address, Digest, Key};

/// Characters of a digest that keep names apart which differ in other signs only.
const DIGEST_CHARS: usize = 8;

/// The name of a part of a workspace: `subnet.public[0]` is `SubnetPublic0`. What letters and digits cannot tell apart has a digest in it.
pub(super) fn logical(part: &Address) -> String {
    let mut name = String::new();
    for segment in part.in_block() {
        name.push_str(&word(&segment.name));
        match &segment.key {
            None => {}
            Some(Key::Index(index)) => name.push_str(&index.to_string()),
            Some(Key::Name(key)) => name.push_str(&with_digest(key)),
        }
    }
    name
}

/// The way from a workspace to a part of it: `a.b["c"]` is `a`, `b`.
pub(super) fn steps(part: &Address) -> Vec<String> {
    part.in_block().iter().map(|segment| segment.name.to_string()).collect()
}

/// A word of the language as part of a name: `route_table` is `RouteTable`.
pub(super) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if text.chars().all(plain) { camel(text) } else { with_digest(text) }
}

fn with_digest(text: &str) -> String {
    let digest: String = Digest::of(text).to_string().chars().take(DIGEST_CHARS).collect();
    format!("{}x{digest}", camel(text))
}

fn camel(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_letters_and_digits() {
        let name = |address: &str| logical(&address.parse().unwrap());
        assert_eq!(name("workspace.w.subnet.public[0]"), "SubnetPublic0");
        assert_eq!(name("workspace.w[\"a\"].route_table_association.private[1]"), "RouteTableAssociationPrivate1");
        let (first, second) =
            (name("workspace.w.ingress_rule[\"ui:10.0.0.0/8:80\"]"), name("workspace.w.ingress_rule[\"ui:10.0.0.0/88:0\"]"));
        assert!(first.starts_with("IngressRuleUi100008") && first.chars().all(char::is_alphanumeric), "{first}");
        assert_ne!(first, second);
        assert_ne!(word("a-b"), word("a_b"));
    }
}
