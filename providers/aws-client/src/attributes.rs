//! Attributes of requests, read by name, and those of answers, built from what AWS says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_aws::aws_schema;
use cloudtik_model::{Number, Value};
use cloudtik_provider_api::{CallError, ObjectAnswer};

use crate::documents;
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

    /// A number, as it is written.
    pub(crate) fn number(self, name: &str) -> Option<String> {
        self.known(name)?.as_number().map(ToString::to_string)
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
    untold: &'static [&'static str],
}

impl Said {
    /// Of an object of a kind.
    pub(crate) const fn of(kind: &'static str) -> Self {
        Self { kind, attributes: BTreeMap::new(), untold: &[] }
    }

    /// With an attribute, as far as AWS says it.
    pub(crate) fn set<T: IntoValue>(mut self, name: &str, value: T) -> Self {
        self.attributes.insert(name.into(), value.into_value());
        self
    }

    /// Without attributes that AWS takes and does not tell again: what a look leaves out is as it is known.
    pub(crate) const fn untold(mut self, names: &'static [&'static str]) -> Self {
        self.untold = names;
        self
    }

    /// The answer, with every other attribute that the kind has.
    pub(crate) fn answer(mut self, id: impl Into<String>) -> ObjectAnswer {
        if let Some(kind) = aws_schema().kinds.get(self.kind) {
            for attribute in kind.attributes.iter().filter(|attribute| !self.untold.contains(&attribute.name)) {
                self.attributes.entry(attribute.name.into()).or_insert(Value::NULL);
            }
        }
        let id = id.into();
        self.attributes.insert("id".into(), id.as_str().into());
        ObjectAnswer { id, attributes: Value::object(self.attributes) }
    }
}

/// What a create or an update answers: what AWS does not tell again is as it was asked for, and a document that says the same in another
/// form is as it was written.
pub(crate) fn as_asked(kind: &str, answer: ObjectAnswer, asked: &Value) -> ObjectAnswer {
    let (schema, Some(told)) = (aws_schema(), answer.attributes.entries()) else { return answer };
    let mut all = told.clone();
    for attribute in schema.kinds.get(kind).into_iter().flat_map(|kind| &kind.attributes) {
        let asked = asked.get(attribute.name).cloned().unwrap_or(Value::NULL).marked(attribute.sensitive);
        let told = all.entry(attribute.name.into()).or_insert_with(|| asked.clone());
        if documents::are_equal(told, &asked) {
            *told = asked;
        }
    }
    ObjectAnswer { attributes: Value::object(all), ..answer }
}

/// Whether an answer says what was asked; it may say more.
pub(crate) fn agrees(asked: &Value, told: &Value) -> bool {
    if let (Some(asked), Some(told)) = (asked.entries(), told.entries()) {
        return asked.iter().all(|(name, asked)| told.get(name).map_or(asked.is_null(), |told| agrees(asked, told)));
    }
    if let (Some(asked), Some(told)) = (asked.elements(), told.elements()) {
        return asked.len() == told.len() && asked.zip(told).all(|(asked, told)| agrees(asked, told));
    }
    asked.clone().unmarked() == told.clone().unmarked() || documents::are_equal(asked, told)
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

#[cfg(test)]
mod tests {
    use cloudtik_aws::kinds;

    use super::*;

    #[test]
    fn what_is_not_told_again_is_as_it_was_asked_for() {
        let asked = Value::object([("password", Value::from("p")), ("engine", "postgres".into())]);
        let answer = Said::of(kinds::DB_INSTANCE).set("engine", "postgres").untold(&["password"]).answer("d");
        assert!(answer.attributes.get("password").is_none() && answer.attributes.get("username").is_some_and(Value::is_null));
        let told = as_asked(kinds::DB_INSTANCE, answer, &asked);
        assert!(told.attributes.get("password").is_some_and(|value| value.is_sensitive() && value.as_str() == Some("p")));
    }

    #[test]
    fn a_document_is_as_it_was_written() {
        let asked = Value::object([("assume_role_policy", Value::from("{ \"b\": 1, \"a\": [2] }"))]);
        let answer = Said::of(kinds::IAM_ROLE).set("assume_role_policy", "{\"a\":[2],\"b\":1}").answer("r");
        let told = as_asked(kinds::IAM_ROLE, answer, &asked);
        assert_eq!(told.attributes.get("assume_role_policy"), asked.get("assume_role_policy"));
    }

    #[test]
    fn an_answer_may_say_more() {
        let object = |parts: &[(&'static str, &'static str)]| Value::object(parts.iter().map(|(name, text)| (*name, Value::from(*text))));
        assert!(agrees(&Value::list([object(&[("a", "1")])]), &Value::tuple([object(&[("a", "1"), ("b", "2")])])));
        assert!(!agrees(&object(&[("a", "1"), ("b", "2")]), &object(&[("a", "1")])));
        assert!(!agrees(&"x".into(), &Value::NULL));
    }
}
