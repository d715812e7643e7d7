//! A small tree for the answers of query services: elements with either children or text. Nothing of them is ever mixed.

use std::fmt::Write as _;

use xmlparser::{ElementEnd, Token, Tokenizer};

/// How deep an answer may be: those of AWS are not half as deep.
const DEPTH_MAX: usize = 64;

/// An element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// Its name.
    pub name: String,
    /// Its attributes, in order.
    pub attributes: Vec<(String, String)>,
    /// What is in it.
    pub children: Vec<Self>,
    /// Its text, if nothing is in it.
    pub text: String,
}

impl Element {
    /// An element with a text.
    #[must_use]
    pub fn text(name: &str, text: impl Into<String>) -> Self {
        Self { name: name.to_owned(), text: text.into(), ..Self::default() }
    }

    /// An element with others in it.
    #[must_use]
    pub fn with(name: &str, children: Vec<Self>) -> Self {
        Self { name: name.to_owned(), children, ..Self::default() }
    }

    /// Reads a document. `None` when it is none.
    #[must_use]
    pub fn parse(document: &str) -> Option<Self> {
        let mut open: Vec<Self> = Vec::new();
        let mut root = None;
        for token in Tokenizer::from(document) {
            match token.ok()? {
                Token::ElementStart { local, .. } if open.len() < DEPTH_MAX && root.is_none() => open.push(Self::text(&local, "")),
                Token::ElementStart { .. } => return None,
                Token::Attribute { prefix, local, value, .. } => {
                    let name = if prefix.is_empty() { local.to_string() } else { format!("{prefix}:{local}") };
                    open.last_mut()?.attributes.push((name, unescaped(&value)));
                }
                Token::ElementEnd { end: ElementEnd::Open, .. } => {}
                Token::ElementEnd { .. } => {
                    let mut done = open.pop()?;
                    if !done.children.is_empty() {
                        done.text.clear();
                    }
                    match open.last_mut() {
                        Some(parent) => parent.children.push(done),
                        None => root = Some(done),
                    }
                }
                Token::Text { text } => {
                    if let Some(element) = open.last_mut() {
                        element.text.push_str(&unescaped(&text));
                    }
                }
                Token::Cdata { text, .. } => open.last_mut()?.text.push_str(&text),
                _ => {}
            }
        }
        root.filter(|_| open.is_empty())
    }

    /// Writes it as a document.
    #[must_use]
    pub fn document(&self) -> String {
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n");
        self.write(&mut text);
        text
    }

    fn write(&self, to: &mut String) {
        to.push('<');
        to.push_str(&self.name);
        for (name, value) in &self.attributes {
            let _ = write!(to, " {name}=\"{}\"", escaped(value));
        }
        if self.children.is_empty() && self.text.is_empty() {
            to.push_str("/>");
            return;
        }
        to.push('>');
        to.push_str(&escaped(&self.text));
        self.children.iter().for_each(|child| child.write(to));
        let _ = write!(to, "</{}>", self.name);
    }

    /// The first child of that name.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// What lies at the end of a path of names.
    #[must_use]
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |element, name| element.child(name))
    }

    /// The text at the end of a path of names.
    #[must_use]
    pub fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.at(path).map(|element| element.text.as_str())
    }

    /// The text at the end of a path, or nothing.
    #[must_use]
    pub fn get<'a>(&'a self, path: &[&str]) -> &'a str {
        self.text_at(path).unwrap_or_default()
    }

    /// Writes a text at the end of a path, where there is such a path.
    pub fn set(&mut self, path: &[&str], text: &str) {
        let end = path.iter().try_fold(self, |element, name| element.children.iter_mut().find(|child| child.name == *name));
        if let Some(element) = end {
            text.clone_into(&mut element.text);
        }
    }

    /// The first element of that name, at any depth.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Self> {
        if self.name == name { Some(self) } else { self.children.iter().find_map(|child| child.find(name)) }
    }

    /// The same, to change it.
    pub fn find_mut(&mut self, name: &str) -> Option<&mut Self> {
        if self.name == name { Some(self) } else { self.children.iter_mut().find_map(|child| child.find_mut(name)) }
    }

    /// The texts of all elements of that name, at any depth.
    #[must_use]
    pub fn texts(&self, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        self.each(&mut |element| {
            if element.name == name {
                found.push(element.text.clone());
            }
        });
        found
    }

    /// Visits every element, this one first.
    pub fn each(&self, visit: &mut impl FnMut(&Self)) {
        visit(self);
        self.children.iter().for_each(|child| child.each(visit));
    }

    /// Keeps the elements below this one for which it is so; it may change them.
    pub fn retain(&mut self, keep: &mut impl FnMut(&mut Self) -> bool) {
        self.children.retain_mut(|child| {
            let keeps = keep(child);
            if keeps {
                child.retain(keep);
            }
            keeps
        });
    }

    /// What is in the set of that name, wherever it is: nothing where there is no such set.
    #[must_use]
    pub fn items(&self, set: &str) -> &[Self] {
        self.find(set).map_or(&[], |set| &set.children)
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let entity = after.split_once(';').and_then(|(entity, tail)| Some((character(entity)?, tail)));
        match entity {
            Some((character, tail)) => {
                plain.push(character);
                rest = tail;
            }
            None => {
                plain.push('&');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

fn character(entity: &str) -> Option<char> {
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = entity.strip_prefix('#')?;
            let code = number.strip_prefix('x').map_or_else(|| number.parse().ok(), |digits| u32::from_str_radix(digits, 16).ok())?;
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn element() -> impl Strategy<Value = Element> {
        let leaf = ("[a-z]{1,6}", "[ -~äß]{0,12}").prop_map(|(name, text)| Element::text(&name, text));
        leaf.prop_recursive(4, 32, 4, |inner| {
            ("[a-z]{1,6}", proptest::collection::vec(inner, 1..4)).prop_map(|(name, children)| Element::with(&name, children))
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(element in element()) {
            prop_assert_eq!(Element::parse(&element.document()), Some(element));
        }

        #[test]
        fn nothing_panics(text in "[<>/&;a-c \"=#]{0,40}") {
            let _ = Element::parse(&text);
        }
    }

    #[test]
    fn what_is_no_document_is_none() {
        for text in ["", "<a>", "<a></a><b/>", "hello", "<a", "{}"] {
            assert_eq!(Element::parse(text), None, "{text}");
        }
    }

    #[test]
    fn entities_are_characters() {
        let read = Element::parse("<?xml version=\"1.0\"?><a b=\"x &amp; y\"> &lt;&#65;&#x42;&nbsp; </a>").unwrap();
        assert_eq!((read.text.as_str(), read.attributes[0].1.as_str()), (" <AB&nbsp; ", "x & y"));
    }
}
