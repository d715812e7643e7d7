//! Schemas: attributes with their types, what a change of each does, and how a create of each kind is repeated.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::{Address, ChangeWord, Type, Value};

use crate::Together;
use crate::needs::Need;

/// Whether the spec gives an attribute, or the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The spec must give it.
    Required,
    /// The spec may give it; without it the attribute is null.
    Optional,
    /// The spec may give it; without it the attribute has this value.
    Default(Value),
    /// The spec may give it; without it the provider chooses once, and the choice stays (`pin`).
    OptionalComputed,
    /// Only the provider gives it.
    Computed,
}

/// An attribute.
#[derive(Clone, Debug)]
pub struct AttributeSchema {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub ty: Type,
    /// Who gives it.
    pub presence: Presence,
    /// What a change of it does.
    pub change: ChangeWord,
    /// Whether its value is sensitive whatever the spec says.
    pub sensitive: bool,
    /// When plans show it.
    pub shown: Shown,
    /// Which changes of it nobody can make.
    pub refuses: Option<Refuses>,
    /// One sentence for the reference.
    pub doc: &'static str,
}

/// From all attributes as they are and as they shall be: what to do instead of a change in place that cannot be made; none, where it can.
pub type Refuses = fn(before: &Value, after: &Value) -> Option<String>;

/// When the text of a plan shows an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shown {
    /// When an object is made, and when it changes.
    Always,
    /// When it changes; of an object that is made only with `--verbose`. For what is long, or follows from the rest.
    Changes,
    /// Never: other attributes show the same more readably.
    Never,
}

impl AttributeSchema {
    /// An attribute that the spec must give.
    #[must_use]
    pub const fn required(name: &'static str, ty: Type, change: ChangeWord, doc: &'static str) -> Self {
        Self { name, ty, presence: Presence::Required, change, sensitive: false, shown: Shown::Always, refuses: None, doc }
    }

    /// An attribute that the spec may give.
    #[must_use]
    pub const fn optional(name: &'static str, ty: Type, change: ChangeWord, doc: &'static str) -> Self {
        Self { name, ty, presence: Presence::Optional, change, sensitive: false, shown: Shown::Always, refuses: None, doc }
    }

    /// An attribute that the spec may give, and what it is without it.
    pub fn with_default(name: &'static str, ty: Type, default: impl Into<Value>, change: ChangeWord, doc: &'static str) -> Self {
        Self { name, ty, presence: Presence::Default(default.into()), change, sensitive: false, shown: Shown::Always, refuses: None, doc }
    }

    /// An attribute that the provider gives.
    #[must_use]
    pub const fn computed(name: &'static str, ty: Type, doc: &'static str) -> Self {
        Self {
            name,
            ty,
            presence: Presence::Computed,
            change: ChangeWord::None,
            sensitive: false,
            shown: Shown::Always,
            refuses: None,
            doc,
        }
    }

    /// The same, given by the provider when the spec does not.
    #[must_use]
    pub fn or_computed(mut self) -> Self {
        self.presence = Presence::OptionalComputed;
        self
    }

    /// The same, always sensitive.
    #[must_use]
    pub const fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    /// The same, shown as said.
    #[must_use]
    pub const fn shown(mut self, shown: Shown) -> Self {
        self.shown = shown;
        self
    }

    /// The same, without the changes that cannot be made.
    #[must_use]
    pub const fn refusing(mut self, refuses: Refuses) -> Self {
        self.refuses = Some(refuses);
        self
    }

    /// Whether the spec may write it.
    #[must_use]
    pub fn is_settable(&self) -> bool {
        self.presence != Presence::Computed
    }

    /// Whether the provider may give it.
    #[must_use]
    pub fn is_computed(&self) -> bool {
        matches!(self.presence, Presence::Computed | Presence::OptionalComputed)
    }
}

/// How a create is repeated when nobody knows whether it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Idempotency {
    /// The identical call with the same token gives the same object.
    Token,
    /// The object carries the op id as a tag from the first moment: it is looked for until found, or until the window in which it may
    /// still be invisible has passed and `reads` reads found nothing.
    TagAtCreate {
        /// Milliseconds.
        visibility_ms: u64,
        /// Empty reads that are needed.
        reads: u32,
    },
    /// The name is unique: a second create says that it exists, and our mark on it tells whether it is ours.
    UniqueName,
    /// A second create is harmless and confirmed by a read.
    Natural,
    /// Nothing happens outside the state; no intent is written and no call made.
    Pure,
}

/// How long looks may miss an object that was just made, and how many of them in a row must miss it before it is believed not to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visibility {
    /// Milliseconds.
    pub ms: u64,
    /// Looks.
    pub reads: u32,
}

impl Visibility {
    /// Everybody sees it at once.
    pub const AT_ONCE: Self = Self { ms: 0, reads: 1 };
}

/// How long the calls of a kind usually take, in milliseconds: what a plan expects before the state remembers better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Create.
    pub create_ms: u64,
    /// Update.
    pub update_ms: u64,
    /// Delete.
    pub delete_ms: u64,
}

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Deed {
    /// It is made.
    Create,
    /// It is changed in place.
    Update,
    /// It is removed.
    Delete,
}

/// Requests that a call sends to the servers of its provider, as far as that can be said before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Those that do it.
    pub sent: u64,
    /// Those that look again whether it is done.
    pub looks: u64,
}

/// A secret that is made for a create and travels with the request alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// An SSH host key for first contact: an ECDSA P-256 private key in OpenSSH's form. Of another algorithm than the one that the node
    /// makes for itself, so that a node can show both until the new one is known to be known.
    SshHostKey,
    /// The public half of the key that logs in to the nodes of the cluster. The private half stays where it is.
    LoginKey,
    /// A value that nobody has to think of, for the attribute of that name where the spec gives none: letters and digits.
    Password,
}

/// From the given attributes of an object to computed ones, by name.
pub type Derive = fn(&Value) -> Vec<(&'static str, Value)>;

/// What the room that a cloud has decides: of some values that would all do, the first that can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The attribute with the values, in the order in which they are tried.
    pub among: &'static str,
    /// The attribute that is one of them.
    pub is: &'static str,
    /// Whether objects of one block begin at different values, each at the one of its number, so that they lie in different places.
    pub spreads: bool,
}
/// From the given attributes of an object to the names in computed maps, by attribute.
pub type Names = fn(&Value) -> Vec<(&'static str, BTreeSet<Arc<str>>)>;

/// Of objects that have others inside, some of which say of themselves that they are kept: how that is seen and done.
#[derive(Clone, Copy, Debug)]
pub struct Inside {
    /// What is kept inside of an object with these attributes, by address, with what that needs outside of it.
    pub kept: fn(&Value) -> BTreeMap<Address, BTreeSet<Address>>,
    /// The attributes that an object shall have (`None`: nothing wants it any more), with what is to be kept of what it has inside.
    pub with_kept: fn(before: &Value, after: Option<&Value>, keep: &BTreeSet<Address>) -> Value,
}

/// A kind of resource.
#[derive(Clone, Debug)]
pub struct KindSchema {
    /// Its name: `local_network`.
    pub name: &'static str,
    /// Of the attributes in state; a change of meaning raises it.
    pub version: u32,
    /// How a create is repeated.
    pub class: Idempotency,
    /// Its attributes. `id` is always there, computed, and not listed.
    pub attributes: Vec<AttributeSchema>,
    /// How long its calls take.
    pub expected: Expected,
    /// Whether it is a node: steps can run on it, and its computed attribute `node` holds what late names need.
    pub is_node: bool,
    /// Secrets that are made for its create, by the name the request has them under.
    pub secrets: &'static [(&'static str, SecretKind)],
    /// The attribute whose value no second object may have; makes create-before-destroy impossible while it stays the same.
    pub unique_name: Option<&'static str>,
    /// Calls of this kind that may run at once, whatever the global limit.
    pub concurrency_max: u32,
    /// Computed attributes that follow from the given ones without asking anybody.
    pub derive: Option<Derive>,
    /// What is left to the room that there is; what varies slowest comes first.
    pub choices: &'static [Choice],
    /// Which creates may be one call, of kinds whose class is [`Idempotency::Token`].
    pub together: Option<Together>,
    /// Which names computed maps have, where that follows from the given attributes: an update adds what is new, and what is there stays.
    pub names: Option<Names>,
    /// What its objects have inside, where that may be kept when they go.
    pub inside: Option<Inside>,
    /// Whether objects of it only add up, as the rules of a firewall do: new ones are made before old ones beside them go, so that nothing is
    /// missing in between. The attributes that make two of them the same thing, which cannot be there twice; empty: it is no such kind.
    pub additive: &'static [&'static str],
    /// When a new object shows, of kinds whose class does not say it.
    pub shows: Visibility,
    /// What its attributes need of each other, for a create.
    pub needs: &'static [Need],
    /// Whether a rolling change is an update: the object itself replaces its parts one after the other.
    pub rolls: bool,
    /// Whether a plain `resource` block may use it, or only a workspace or cluster.
    pub in_resource: bool,
    /// One sentence for the reference.
    pub doc: &'static str,
}

impl KindSchema {
    /// When a new object of it shows.
    #[must_use]
    pub const fn visibility(&self) -> Visibility {
        match self.class {
            Idempotency::TagAtCreate { visibility_ms, reads } => Visibility { ms: visibility_ms, reads },
            _ => self.shows,
        }
    }

    /// The attribute of that name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&AttributeSchema> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// What an object with these attributes and this number may be, in the order in which it is tried: for each the attributes that are chosen.
    /// Where nothing is left open, that is one without any.
    #[must_use]
    pub fn alternatives(&self, given: &Value, number: u64) -> Vec<BTreeMap<Arc<str>, Value>> {
        let mut all = vec![BTreeMap::new()];
        for choice in self.choices.iter().filter(|choice| given.get(choice.is).is_none_or(Value::is_null)) {
            let mut values: Vec<&Value> = given.get(choice.among).and_then(Value::elements).into_iter().flatten().collect();
            if values.is_empty() {
                continue;
            }
            if choice.spreads {
                let first = number.checked_rem(values.len() as u64).and_then(|first| usize::try_from(first).ok());
                values.rotate_left(first.unwrap_or_default());
            }
            let with = |chosen: &BTreeMap<Arc<str>, Value>, value: &Value| {
                let mut chosen = chosen.clone();
                chosen.insert(choice.is.into(), value.clone());
                chosen
            };
            all = all.iter().flat_map(|chosen| values.iter().map(move |value| with(chosen, value))).collect();
        }
        all
    }

    /// Whether an object is one of the values that would do.
    #[must_use]
    pub fn is_among(&self, among: &str, values: &Value, object: &Value) -> bool {
        let choice = self.choices.iter().find(|choice| choice.among == among);
        let is = choice.and_then(|choice| object.get(choice.is));
        is.is_some_and(|is| values.elements().into_iter().flatten().any(|value| value == is))
    }
}

/// What a provider has.
#[derive(Clone, Debug)]
pub struct ProviderSchema {
    /// Raised with any change; saved plans name it.
    pub version: u32,
    /// The attributes of the `provider` block.
    pub config: Vec<AttributeSchema>,
    /// The kinds by name.
    pub kinds: BTreeMap<&'static str, KindSchema>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller_schema;

    fn kind() -> KindSchema {
        let choices = &[
            Choice { among: "markets", is: "market", spreads: false },
            Choice { among: "types", is: "type", spreads: false },
            Choice { among: "zones", is: "zone", spreads: true },
        ];
        let kinds = controller_schema().kinds;
        KindSchema { choices, ..kinds["worker_group"].clone() }
    }

    fn texts(items: &[&str]) -> Value {
        Value::list(items.iter().map(|item| Value::from(*item)))
    }

    fn tried(given: &Value, number: u64) -> Vec<String> {
        let text = |chosen: BTreeMap<Arc<str>, Value>| chosen.values().filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
        kind().alternatives(given, number).into_iter().map(text).collect()
    }

    #[test]
    fn what_varies_slowest_comes_first_and_numbers_spread() {
        let given =
            Value::object([("markets", texts(&["spot", "dear"])), ("types", texts(&["s", "l"])), ("zones", texts(&["a", "b", "c"]))]);
        let all = tried(&given, 4);
        assert_eq!(all.len(), 12);
        assert_eq!(all[..4], ["spot s b", "spot s c", "spot s a", "spot l b"]);
        assert_eq!(all[6], "dear s b");
        assert_eq!(tried(&given, 3)[0], "spot s a");
    }

    #[test]
    fn what_is_said_is_no_choice() {
        assert_eq!(tried(&Value::object::<&str>([]), 7), [""]);
        let given = Value::object([("types", texts(&["s", "l"])), ("type", "x".into()), ("zones", Value::NULL)]);
        assert_eq!(tried(&given, 7), [""]);
    }

    #[test]
    fn an_object_may_be_one_of_the_values() {
        let object = Value::object([("type", Value::from("s"))]);
        let is_among = |among: &str, values: &[&str]| kind().is_among(among, &texts(values), &object);
        assert!(is_among("types", &["l", "s"]) && !is_among("types", &["l"]) && !is_among("zones", &["s"]) && !is_among("other", &["s"]));
    }
}
