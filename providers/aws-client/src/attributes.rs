//! Attributes of requests, read by name, and those of answers, built from what AWS says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_aws::aws_schema;
use cloudtik_model::{Number, Value};
use cloudtik_provider_api::{CallError, ObjectAnswer};

use crate::error::refused;

/// The attributes that a request sets.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a>(pub(crate) &'a Value);

impl<'a> Given<'a> {
    fn known(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A text that must be there.
    pub(crate) fn text(self, name: &str) -> Result<&'a str, CallError> {
        self.maybe_text(name).ok_or_else(|| refused("attribute", format!("`{name}` is not given")))
    }

    /// A text.
    pub(crate) fn maybe_text(self, name: &str) -> Option<&'a str> {
        self.known(name)?.as_str()
    }

    /// The same, owned, as the SDK's `set_…` take it.
    pub(crate) fn owned(self, name: &str) -> Option<String> {
        self.maybe_text(name).map(str::to_owned)
    }

    /// A truth.
    pub(crate) fn flag(self, name: &str) -> Option<bool> {
        self.known(name)?.as_bool()
    }

    /// A whole number.
    pub(crate) fn int(self, name: &str) -> Option<i32> {
        self.known(name)?.as_number()?.to_string().parse().ok()
    }

    /// Texts of a list or set.
    pub(crate) fn texts(self, name: &str) -> Vec<String> {
        self.known(name).and_then(Value::elements).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Texts of a map.
    pub(crate) fn map(self, name: &str) -> BTreeMap<String, String> {
        let entries = self.known(name).and_then(Value::entries).into_iter().flatten();
        entries.filter_map(|(name, value)| Some((name.to_string(), value.as_str()?.to_owned()))).collect()
    }

    /// The object of a block that occurs once.
    pub(crate) fn block(self, name: &str) -> Option<Self> {
        self.known(name)?.elements()?.next().map(Self)
    }

    /// The objects of a block that occurs often.
    pub(crate) fn blocks(self, name: &str) -> Vec<Self> {
        self.known(name).and_then(Value::elements).into_iter().flatten().map(Self).collect()
    }
}

/// The attributes of an answer. What AWS does not say is null.
pub(crate) struct Said {
    kind: &'static str,
    attributes: BTreeMap<Arc<str>, Value>,
}

impl Said {
    /// Of an object of a kind.
    pub(crate) const fn of(kind: &'static str) -> Self {
        Self { kind, attributes: BTreeMap::new() }
    }

    /// With an attribute, as far as AWS says it.
    pub(crate) fn set<T: IntoValue>(mut self, name: &str, value: T) -> Self {
        self.attributes.insert(name.into(), value.into_value());
        self
    }

    /// The answer, with every attribute that the kind has.
    pub(crate) fn answer(mut self, id: impl Into<String>) -> ObjectAnswer {
        if let Some(kind) = aws_schema().kinds.get(self.kind) {
            for attribute in &kind.attributes {
                self.attributes.entry(attribute.name.into()).or_insert(Value::NULL);
            }
        }
        let id = id.into();
        self.attributes.insert("id".into(), id.as_str().into());
        ObjectAnswer { id, attributes: Value::object(self.attributes) }
    }
}

/// What can be said in an answer.
pub(crate) trait IntoValue {
    /// As a value.
    fn into_value(self) -> Value;
}

impl IntoValue for Value {
    fn into_value(self) -> Value {
        self
    }
}

impl IntoValue for &str {
    fn into_value(self) -> Value {
        self.into()
    }
}

impl IntoValue for String {
    fn into_value(self) -> Value {
        self.as_str().into()
    }
}

impl IntoValue for bool {
    fn into_value(self) -> Value {
        self.into()
    }
}

impl IntoValue for i32 {
    fn into_value(self) -> Value {
        Value::from(Number::from(i64::from(self)))
    }
}

impl IntoValue for i64 {
    fn into_value(self) -> Value {
        Value::from(Number::from(self))
    }
}

impl<T: IntoValue> IntoValue for Option<T> {
    fn into_value(self) -> Value {
        self.map_or(Value::NULL, IntoValue::into_value)
    }
}

impl IntoValue for BTreeMap<String, String> {
    /// A map of texts; one without entries is null, as a spec that writes none has it.
    fn into_value(self) -> Value {
        if self.is_empty() { Value::NULL } else { Value::map(self.into_iter().map(|(name, value)| (name, Value::from(value.as_str())))) }
    }
}

impl IntoValue for BTreeSet<String> {
    /// A set of texts; one without elements is null, as a spec that writes none has it.
    fn into_value(self) -> Value {
        if self.is_empty() { Value::NULL } else { Value::set(self.into_iter().map(|text| Value::from(text.as_str()))) }
    }
}
