//! Addresses: what a thing of a spec is called, everywhere and for ever. One parser, one printer.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What expansion made of a block: `["key"]` of `for_each`, `[0]` of `count`, zones and nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// `[0]`
    Index(u64),
    /// `["a"]`
    Name(Arc<str>),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "[{index}]"),
            Self::Name(name) => write!(f, "[\"{}\"]", escape(name)),
        }
    }
}

/// A name with the key of its instance, if the block was expanded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment {
    /// An identifier; may hold dashes.
    pub name: Arc<str>,
    /// The instance.
    pub key: Option<Key>,
}

impl Segment {
    /// A segment without a key.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), key: None }
    }
}

/// A path of segments: `aws_vpc.x`, `workspace.w.storage.default`, `cluster.c["a"].head.file["/etc/x"]`, and in a module
/// `module.m["k"].aws_vpc.x`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(Arc<[Segment]>);

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an address: {reason} at character {position}")]
pub struct AddressError {
    text: String,
    reason: &'static str,
    position: usize,
}

/// The word that stands before the name of a module.
pub const MODULE: &str = "module";

/// Segments of a block at the top level of its module: `workspace.w`, `aws_vpc.main`.
const BLOCK_SEGMENTS: usize = 2;

/// The longest address that is read: real ones stay below 300 characters, and this keeps a damaged file from costing memory.
const MAX_ADDRESS_BYTES: usize = 8 * 1024;

impl Address {
    /// From its segments; at least one.
    pub fn new(segments: impl IntoIterator<Item = Segment>) -> Self {
        Self(segments.into_iter().collect::<Vec<_>>().into())
    }

    /// `first.second`, without keys.
    pub fn of(first: impl Into<Arc<str>>, second: impl Into<Arc<str>>) -> Self {
        Self::new([Segment::new(first), Segment::new(second)])
    }

    /// The segments.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// This address and one more name below it.
    #[must_use]
    pub fn child(&self, name: impl Into<Arc<str>>) -> Self {
        self.push(Segment::new(name))
    }

    /// This address and one more segment below it.
    #[must_use]
    pub fn push(&self, segment: Segment) -> Self {
        Self::new(self.0.iter().cloned().chain(std::iter::once(segment)))
    }

    /// The same with a key on its last segment, or with none.
    #[must_use]
    pub fn with_key(&self, key: Option<Key>) -> Self {
        let mut segments = self.0.to_vec();
        if let Some(last) = segments.last_mut() {
            last.key = key;
        }
        Self(segments.into())
    }

    /// The key of the last segment.
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        self.0.last().and_then(|segment| segment.key.as_ref())
    }

    /// The address without the key of its last segment: the block that was expanded.
    #[must_use]
    pub fn without_key(&self) -> Self {
        self.with_key(None)
    }

    /// The address without any keys: what is written, whatever was expanded.
    #[must_use]
    pub fn without_keys(&self) -> Self {
        Self::new(self.0.iter().map(|segment| Segment::new(Arc::clone(&segment.name))))
    }

    /// Whether this is `prefix` or stands below it. A prefix without a key covers all its instances.
    #[must_use]
    pub fn is_within(&self, prefix: &Self) -> bool {
        prefix.0.len() <= self.0.len()
            && prefix
                .0
                .iter()
                .zip(self.0.iter())
                .enumerate()
                .all(|(i, (p, s))| p == s || (i + 1 == prefix.0.len() && p.key.is_none() && p.name == s.name))
    }

    /// What this is called once everything within `from` stands within `to`: the key behind the name that changes stays, and so does what is
    /// below it. `None`: it is not within `from`, or has a key where `to` has another one.
    #[must_use]
    pub fn moved(&self, from: &Self, to: &Self) -> Option<Self> {
        if !self.is_within(from) {
            return None;
        }
        let length = from.0.len();
        let key = self.0.get(length.checked_sub(1)?).and_then(|segment| segment.key.clone());
        let to = match key {
            Some(_) if from.key().is_none() && to.key().is_some() => return None,
            Some(_) if from.key().is_none() => to.with_key(key),
            _ => to.clone(),
        };
        Some(Self::new(to.0.iter().chain(self.0.iter().skip(length)).cloned()))
    }

    /// The text of this as something on a node says it: what is on the node itself, `.runtime.etcd.config`, is the same whatever the node is
    /// called.
    #[must_use]
    pub fn seen_from(&self, node: &Self) -> String {
        let text = self.to_string();
        if self.is_within(node) { text.strip_prefix(&node.to_string()).map_or_else(|| text.clone(), str::to_owned) } else { text }
    }

    /// The first name, behind the modules around: `workspace`, `cluster`, or the kind of a resource; of a module itself `module`.
    #[must_use]
    pub fn root(&self) -> &str {
        self.in_module().first().or(self.0.first()).map_or("", |segment| &segment.name)
    }

    /// The module that it stands in, or is. `None`: it stands in the root.
    #[must_use]
    pub fn module(&self) -> Option<Self> {
        let length = module_segments(&self.0);
        (length > 0).then(|| self.prefix(length))
    }

    /// Whether it stands right in that module, or right in the root.
    #[must_use]
    pub fn is_in(&self, module: Option<&Self>) -> bool {
        let segments = module.map_or(&[][..], |module| module.segments());
        module_segments(&self.0) == segments.len() && self.0.starts_with(segments)
    }

    /// Whether it stands below exactly that address, with its keys.
    #[must_use]
    pub fn is_below(&self, above: &Self) -> bool {
        self.0.len() > above.0.len() && self.0.starts_with(&above.0)
    }

    /// The module around the innermost one that it stands in, or is.
    #[must_use]
    pub fn outer(&self) -> Option<Self> {
        let length = module_segments(&self.0);
        (length > 2).then(|| self.prefix(length - 2))
    }

    /// The modules around, from the outermost, each with the key of its instance.
    pub fn modules(&self) -> impl Iterator<Item = &Segment> {
        self.0.iter().take(module_segments(&self.0)).skip(1).step_by(2)
    }

    /// Whether it is a module and nothing in it.
    #[must_use]
    pub fn is_module(&self) -> bool {
        !self.0.is_empty() && self.in_module().is_empty()
    }

    /// The segments behind the modules around: what it is called in its own module.
    #[must_use]
    pub fn in_module(&self) -> &[Segment] {
        self.0.get(module_segments(&self.0)..).unwrap_or_default()
    }

    /// What this is called from outside of the module that says it.
    #[must_use]
    pub fn inside(&self, module: Option<&Self>) -> Self {
        module.map_or_else(|| self.clone(), |module| Self::new(module.0.iter().chain(self.0.iter()).cloned()))
    }

    /// The block at the top level of its module that it belongs to: `workspace.w`, `module.m.cluster.c`.
    #[must_use]
    pub fn block(&self) -> Self {
        self.prefix(module_segments(&self.0) + BLOCK_SEGMENTS)
    }

    /// Whether it is such a block and no part of one.
    #[must_use]
    pub fn is_block(&self) -> bool {
        self.in_module().len() == BLOCK_SEGMENTS
    }

    /// The segments below its block.
    #[must_use]
    pub fn in_block(&self) -> &[Segment] {
        self.in_module().get(BLOCK_SEGMENTS..).unwrap_or_default()
    }

    /// The first `n` segments.
    #[must_use]
    pub fn prefix(&self, n: usize) -> Self {
        Self(self.0.iter().take(n).cloned().collect())
    }
}

/// How many segments name modules: two for each module around.
fn module_segments(segments: &[Segment]) -> usize {
    let names_one = |pair: &&[Segment]| matches!(pair, [word, _] if &*word.name == MODULE && word.key.is_none());
    2 * segments.chunks(2).take_while(names_one).count()
}

impl Borrow<[Segment]> for Address {
    fn borrow(&self) -> &[Segment] {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            f.write_str(&segment.name)?;
            if let Some(key) = &segment.key {
                write!(f, "{key}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn escape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out
}

/// Reads an address from characters.
struct Reader<'a> {
    text: &'a str,
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    position: usize,
}

impl Reader<'_> {
    fn fail<T>(&self, reason: &'static str) -> Result<T, AddressError> {
        let text: String = self.text.chars().take(200).collect();
        Err(AddressError { text, reason, position: self.position + 1 })
    }

    fn next(&mut self) -> Option<char> {
        self.position += 1;
        self.chars.next()
    }

    fn name(&mut self) -> Result<String, AddressError> {
        let mut name = String::new();
        while let Some(c) = self.chars.peek().copied() {
            let fits = c == '_' || c.is_alphabetic() || (!name.is_empty() && (c == '-' || c.is_alphanumeric()));
            if !fits {
                break;
            }
            name.push(c);
            self.next();
        }
        if name.is_empty() { self.fail("a name is expected") } else { Ok(name) }
    }

    fn key(&mut self) -> Result<Key, AddressError> {
        let key = if self.chars.peek() == Some(&'"') {
            self.next();
            Key::Name(self.quoted()?.into())
        } else {
            let mut digits = String::new();
            while let Some(c) = self.chars.peek().copied().filter(char::is_ascii_digit) {
                digits.push(c);
                self.next();
            }
            match digits.parse() {
                Ok(index) => Key::Index(index),
                Err(_) => return self.fail("a number or a quoted name is expected"),
            }
        };
        if self.next() == Some(']') { Ok(key) } else { self.fail("`]` is expected") }
    }

    fn quoted(&mut self) -> Result<String, AddressError> {
        let mut name = String::new();
        loop {
            match self.next() {
                Some('"') => return Ok(name),
                Some('\\') => match self.next() {
                    Some('n') => name.push('\n'),
                    Some('r') => name.push('\r'),
                    Some('t') => name.push('\t'),
                    Some(c @ ('"' | '\\')) => name.push(c),
                    _ => return self.fail("`\\` must be followed by one of \" \\ n r t"),
                },
                Some(c) => name.push(c),
                None => return self.fail("the quotation is not closed"),
            }
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let mut reader = Reader { text, chars: text.chars().peekable(), position: 0 };
        if text.len() > MAX_ADDRESS_BYTES {
            return reader.fail("it is too long");
        }
        let mut segments = Vec::new();
        loop {
            let name: Arc<str> = reader.name()?.into();
            let key = if reader.chars.peek() == Some(&'[') {
                reader.next();
                Some(reader.key()?)
            } else {
                None
            };
            segments.push(Segment { name, key });
            match reader.next() {
                None => break,
                Some('.') => {}
                Some(_) => return reader.fail("`.` or `[` is expected"),
            }
        }
        Ok(Self::new(normalize(segments)))
    }
}

/// `resource.kind.name` is `kind.name`, and `workspace.w.database["catalog"]` is `workspace.w.database.catalog`.
fn normalize(mut segments: Vec<Segment>) -> Vec<Segment> {
    let root = module_segments(&segments);
    if segments.len() > root + BLOCK_SEGMENTS && segments.get(root).is_some_and(|first| &*first.name == "resource" && first.key.is_none()) {
        segments.remove(root);
    }
    let labelled: &[&str] = match segments.get(root).map(|first| &*first.name) {
        Some("workspace") => &["storage", "database"],
        Some("cluster") => &["workers", "runtime", "storage"],
        _ => return segments,
    };
    let part_at = root + BLOCK_SEGMENTS;
    if let Some(part) = segments.get_mut(part_at)
        && labelled.contains(&&*part.name)
        && let Some(Key::Name(label)) = part.key.take_if(|key| matches!(key, Key::Name(_)))
    {
        segments.insert(part_at + 1, Segment::new(label));
    }
    segments
}

impl TryFrom<String> for Address {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn short_and_long_forms_are_one_address() {
        let read = |text: &str| text.parse::<Address>().unwrap().to_string();
        assert_eq!(read("resource.aws_vpc.x"), "aws_vpc.x");
        assert_eq!(read("workspace.w.database[\"catalog\"]"), "workspace.w.database.catalog");
        assert_eq!(read("workspace.w.nat_gateway[0]"), "workspace.w.nat_gateway[0]");
        assert_eq!(read("cluster.c.head.file[\"/etc/\\\"x\"]"), "cluster.c.head.file[\"/etc/\\\"x\"]");
    }

    #[test]
    fn what_stands_in_modules_has_them_before_its_own_address() {
        let address = |text: &str| text.parse::<Address>().unwrap();
        let part = address("module.a.module.b[\"k\"].workspace.w.storage[\"logs\"]");
        assert_eq!(part.to_string(), "module.a.module.b[\"k\"].workspace.w.storage.logs");
        assert_eq!(part.module(), Some(address("module.a.module.b[\"k\"]")));
        assert_eq!((part.outer(), part.outer().and_then(|outer| outer.outer())), (Some(address("module.a")), None));
        assert_eq!(part.modules().map(|module| &*module.name).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((part.root(), part.block()), ("workspace", address("module.a.module.b[\"k\"].workspace.w")));
        assert_eq!((part.is_block(), part.block().is_block(), part.in_block().len()), (false, true, 2));
        assert_eq!(address("workspace.w.storage.logs").inside(part.module().as_ref()), part);
        assert_eq!(address("module.m.resource.aws_vpc.x[0]").to_string(), "module.m.aws_vpc.x[0]");
        assert!(part.is_in(part.module().as_ref()) && !part.is_in(part.outer().as_ref()) && !part.is_in(None));
        assert!(part.is_below(&address("module.a")) && !part.is_below(&address("module.a.module.b")));
        let module = address("module.m[0]");
        assert_eq!((module.root(), module.is_module(), module.block()), ("module", true, module.clone()));
        assert!(part.is_within(&address("module.a")) && !part.is_within(&address("module.b")) && !part.is_module());
        assert_eq!(address("aws_vpc.x").module(), None);
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_place() {
        for text in ["", ".", "a.", "a[", "a[x]", "a[\"b", "a b", "a[1]b", "1a"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        assert_eq!(
            "a.b[x]".parse::<Address>().unwrap_err().to_string(),
            "`a.b[x]` is not an address: a number or a quoted name is expected at character 5"
        );
    }

    #[test]
    fn a_prefix_without_key_covers_its_instances() {
        let within = |a: &str, b: &str| a.parse::<Address>().unwrap().is_within(&b.parse().unwrap());
        assert!(within("cluster.c[\"a\"].head", "cluster.c"));
        assert!(within("cluster.c.head", "cluster.c.head"));
        assert!(!within("cluster.cc.head", "cluster.c"));
        assert!(!within("cluster.c[\"a\"].head", "cluster.c[\"b\"]"));
    }

    #[test]
    fn what_is_renamed_keeps_its_key_and_what_is_below_it() {
        let address = |text: &str| text.parse::<Address>().unwrap();
        let (old, new) = (address("cluster.c.workers.old"), address("cluster.c.workers.new"));
        let moved = |text: &str| address(text).moved(&old, &new).map(|moved| moved.to_string());
        assert_eq!(moved("cluster.c.workers.old").as_deref(), Some("cluster.c.workers.new"));
        assert_eq!(moved("cluster.c.workers.old[7].step.a[\"k\"]").as_deref(), Some("cluster.c.workers.new[7].step.a[\"k\"]"));
        assert_eq!(moved("cluster.c.workers.older[7]"), None);
        let (before, after) = (address("cluster.c.workers.old[7]"), address("cluster.c.workers.new[8]"));
        assert_eq!(address("cluster.c.workers.old[7].x").moved(&before, &after), Some(address("cluster.c.workers.new[8].x")));
        assert_eq!(address("cluster.c.workers.old[8].x").moved(&before, &after), None);
        for node in [&before, &after] {
            assert_eq!(node.child("runtime").child("x").seen_from(node), ".runtime.x");
        }
        assert_eq!(address("cluster.c.head.x").seen_from(&before), "cluster.c.head.x");
    }

    proptest! {
        #[test]
        fn printing_and_reading_round_trip(parts in prop::collection::vec(("[a-z_][a-z0-9_-]{0,6}", prop::option::of("\\PC{0,8}"), 0..9_u64), 1..5), modules in 0..3_usize) {
            let parts = parts.into_iter().map(|(name, key, index)| Segment {
                name: name.into(),
                key: key.map(|key| if index == 0 { Key::Index(index) } else { Key::Name(key.into()) }),
            });
            let module = (0..modules).flat_map(|index| [Segment::new(MODULE), Segment { name: "m".into(), key: Some(Key::Index(index as u64)) }]);
            let address = Address::new(module.chain(parts));
            let once: Address = address.to_string().parse().unwrap();
            let twice: Address = once.to_string().parse().unwrap();
            prop_assert_eq!(&once, &twice);
            if !["workspace", "cluster", "resource"].contains(&address.root()) {
                prop_assert_eq!(address, once);
            }
        }
    }
}
