//! Values in plain JSON: as they are, where they are not known, and where they are sensitive.

use std::collections::BTreeSet;
use std::str::FromStr as _;
use std::sync::Arc;

use cloudtik_model::{Type, Value, ValueKind};
use serde::ser::{Error as _, Serialize, SerializeMap as _, Serializer};

/// What an iterator gives, as an array: one element after the other.
pub(super) struct Each<F>(pub(super) F);

impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for Each<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

/// What an iterator gives, as an object: one entry after the other.
pub(super) struct Named<F>(pub(super) F);

impl<F: Fn() -> I, I: Iterator<Item = (K, V)>, K: Serialize, V: Serialize> Serialize for Named<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map((self.0)())
    }
}

/// The value as plain JSON. `null` stands for what is sensitive and for elements that are not known; entries that are not known are left out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain<'a>(pub(super) &'a Value);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_sensitive() {
            return serializer.serialize_unit();
        }
        match self.0.kind() {
            ValueKind::Null(_) | ValueKind::Deferred(_) => serializer.serialize_unit(),
            ValueKind::Bool(truth) => serializer.serialize_bool(*truth),
            ValueKind::Number(number) => serde_json::Number::from_str(&number.to_string()).map_err(S::Error::custom)?.serialize(serializer),
            ValueKind::String(text) => serializer.serialize_str(text),
            ValueKind::Map(items) | ValueKind::Object(items) => {
                let known = items.iter().filter(|(_, item)| item.is_sensitive() || !item.is_deferred());
                serializer.collect_map(known.map(|(name, item)| (&**name, Plain(item))))
            }
            ValueKind::List(_) | ValueKind::Set(_) | ValueKind::Tuple(_) => {
                serializer.collect_seq(self.0.elements().into_iter().flatten().map(Plain))
            }
        }
    }
}

/// The shape of a value with `true` where something holds of it, without the entries of which it does not.
fn shape<S: Serializer>(
    value: &Value,
    serializer: S,
    here: fn(&Value) -> bool,
    within: fn(&Value) -> bool,
    more: Option<&BTreeSet<Arc<str>>>,
) -> Result<S::Ok, S::Error> {
    struct Part<'a>(&'a Value, fn(&Value) -> bool, fn(&Value) -> bool);
    impl Serialize for Part<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            shape(self.0, serializer, self.1, self.2, None)
        }
    }
    if here(value) {
        return serializer.serialize_bool(true);
    }
    if let Some(entries) = value.entries() {
        let mut map = serializer.serialize_map(None)?;
        let is_more = |name: &str| more.is_some_and(|more| more.contains(name));
        for (name, item) in entries.iter().filter(|(name, item)| within(item) && !is_more(name)) {
            map.serialize_entry(&**name, &Part(item, here, within))?;
        }
        for name in more.into_iter().flatten() {
            map.serialize_entry(&**name, &true)?;
        }
        return map.end();
    }
    match value.elements() {
        Some(items) if within(value) => serializer.collect_seq(items.map(|item| Part(item, here, within))),
        _ => serializer.serialize_bool(false),
    }
}

/// Where a value is not known; beside that, of an object, the entries that only the provider can tell.
pub(super) struct Unknown<'a>(pub(super) &'a Value, pub(super) Option<&'a BTreeSet<Arc<str>>>);

impl Serialize for Unknown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        shape(self.0, serializer, Value::is_deferred, |value| !value.is_known(), self.1)
    }
}

/// Where a value is sensitive; of nothing, nowhere.
pub(super) struct Secret<'a>(pub(super) Option<&'a Value>);

impl Serialize for Secret<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(value) => shape(value, serializer, Value::is_sensitive, Value::has_sensitive, None),
            None => serializer.serialize_bool(false),
        }
    }
}

/// A type as Terraform's JSON has it: `"string"`, `["list", "string"]`, `["object", {"a": "number"}]`.
#[derive(Clone, Debug)]
pub struct TypeName(pub Type);

impl Serialize for TypeName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let of = |ty: &Arc<Type>| Self((**ty).clone());
        match &self.0 {
            Type::Any => serializer.serialize_str("dynamic"),
            Type::Bool => serializer.serialize_str("bool"),
            Type::Number => serializer.serialize_str("number"),
            Type::String => serializer.serialize_str("string"),
            Type::List(ty) => ("list", of(ty)).serialize(serializer),
            Type::Set(ty) => ("set", of(ty)).serialize(serializer),
            Type::Map(ty) => ("map", of(ty)).serialize(serializer),
            Type::Tuple(types) => ("tuple", types.iter().cloned().map(Self).collect::<Vec<_>>()).serialize(serializer),
            Type::Object(fields) => {
                ("object", Named(|| fields.iter().map(|(name, field)| (&**name, Self(field.ty.clone()))))).serialize(serializer)
            }
        }
    }
}
