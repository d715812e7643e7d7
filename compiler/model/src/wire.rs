//! Values as JSON on disk. The form says of itself what it is, so no schema is needed to read it back.
//!
//! `null`, bools, exact numbers and strings are themselves; an array is a tuple and an object an object. What JSON cannot say is an
//! object with one key: `{"$list": […]}`, `{"$set": […]}`, `{"$map": {…}}`, `{"$sensitive": …}` and
//! `{"$deferred": {"type": …, "expr": …}}`. A name of an object or map that starts with `$` is written with one more.

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;

use crate::{Deferred, Number, Type, Value, ValueKind};

/// Why JSON is no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A key that starts with `$` and means nothing.
    #[error("`{0}` is not a form of value that this version knows")]
    UnknownForm(String),
    /// A form with the wrong content.
    #[error("the content of `{0}` is not what that form has")]
    WrongContent(&'static str),
    /// A number beyond the bounds.
    #[error("a number: {0}")]
    Number(#[from] crate::NumberError),
}

impl Value {
    /// The value as JSON; see the module.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let tagged = |tag: &str, content: Json| Json::Object([(tag.to_owned(), content)].into_iter().collect());
        if self.is_sensitive() {
            return tagged("$sensitive", self.clone().unmarked().to_json());
        }
        match self.kind() {
            ValueKind::Null(_) => Json::Null,
            ValueKind::Bool(truth) => Json::Bool(*truth),
            ValueKind::Number(number) => number_to_json(number),
            ValueKind::String(text) => Json::String(text.to_string()),
            ValueKind::Tuple(items) => array(items.iter()),
            ValueKind::List(items) => tagged("$list", array(items.iter())),
            ValueKind::Set(items) => tagged("$set", array(items.iter())),
            ValueKind::Object(items) => named(items),
            ValueKind::Map(items) => tagged("$map", named(items)),
            ValueKind::Deferred(deferred) => {
                let part = |value: serde_json::Result<Json>| value.unwrap_or(Json::Null);
                let content = [
                    ("type".to_owned(), part(serde_json::to_value(&deferred.ty))),
                    ("expr".to_owned(), part(serde_json::to_value(&deferred.expr))),
                ];
                tagged("$deferred", Json::Object(content.into_iter().collect()))
            }
        }
    }

    /// A value from JSON; see the module.
    ///
    /// # Errors
    /// See [`WireError`].
    pub fn from_json(json: Json) -> Result<Self, WireError> {
        Ok(match json {
            Json::Null => Self::NULL,
            Json::Bool(truth) => truth.into(),
            Json::Number(number) => Number::from_str(&number.to_string())?.into(),
            Json::String(text) => text.into(),
            Json::Array(items) => Self::tuple(many(items)?),
            Json::Object(mut items) => {
                if items.len() == 1 && items.keys().all(|key| is_form(key)) {
                    let form = std::mem::take(&mut items).into_iter().next();
                    return form.map_or(Ok(Self::NULL), |(form, content)| read_form(&form, content));
                }
                Self::object(read_named(items)?)
            }
        })
    }
}

fn is_form(key: &str) -> bool {
    key.starts_with('$') && !key.starts_with("$$")
}

fn read_form(form: &str, content: Json) -> Result<Value, WireError> {
    match (form, content) {
        ("$sensitive", content) => Ok(Value::from_json(content)?.marked(true)),
        ("$list", Json::Array(items)) => Ok(Value::list(many(items)?)),
        ("$set", Json::Array(items)) => Ok(Value::set(many(items)?)),
        ("$map", Json::Object(items)) => Ok(Value::map(read_named(items)?)),
        ("$deferred", Json::Object(mut content)) => {
            let wrong = |_| WireError::WrongContent("$deferred");
            let mut part = |name: &str| content.remove(name).unwrap_or(Json::Null);
            let ty: Type = serde_json::from_value(part("type")).map_err(wrong)?;
            let expr = serde_json::from_value(part("expr")).map_err(wrong)?;
            let Deferred { ty, expr } = Deferred { ty, expr };
            Ok(Value::deferred(ty, expr))
        }
        ("$list", _) => Err(WireError::WrongContent("$list")),
        ("$set", _) => Err(WireError::WrongContent("$set")),
        ("$map", _) => Err(WireError::WrongContent("$map")),
        _ => Err(WireError::UnknownForm(form.to_owned())),
    }
}

fn array<'a>(items: impl Iterator<Item = &'a Value>) -> Json {
    Json::Array(items.map(Value::to_json).collect())
}

fn named(items: &BTreeMap<Arc<str>, Value>) -> Json {
    Json::Object(
        items
            .iter()
            .map(|(name, item)| (if name.starts_with('$') { format!("${name}") } else { name.to_string() }, item.to_json()))
            .collect(),
    )
}

fn many(items: Vec<Json>) -> Result<Vec<Value>, WireError> {
    items.into_iter().map(Value::from_json).collect()
}

fn read_named(items: serde_json::Map<String, Json>) -> Result<Vec<(Arc<str>, Value)>, WireError> {
    items
        .into_iter()
        .map(|(name, item)| {
            let name = match name.strip_prefix('$') {
                Some(rest) if rest.starts_with('$') => rest.into(),
                Some(_) => return Err(WireError::UnknownForm(name)),
                None => name.into(),
            };
            Ok((name, Value::from_json(item)?))
        })
        .collect()
}

fn number_to_json(number: &Number) -> Json {
    number.as_i64().map_or_else(
        || serde_json::Number::from_str(&number.to_short_string()).map_or(Json::Null, Json::Number),
        |int| Json::Number(int.into()),
    )
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(Json::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        number_to_json(self).serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Expr, ExprKind, LateName};
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::NULL),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[0-9]{1,30}\\.[0-9]{1,30}".prop_map(|text| text.parse::<Number>().unwrap().into()),
            "\\PC{0,6}".prop_map(Value::from),
            Just(Value::deferred(Type::String, ExprKind::Late(LateName::Node("address".into())).into())),
            Just(Value::deferred(Type::Any, Expr::from(ExprKind::Reference("sim_token.a".parse().unwrap())).attribute("id"))),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            let many = prop::collection::vec(inner.clone(), 0..5);
            let named = prop::collection::btree_map("[$a-z]{1,4}", inner.clone(), 0..5);
            prop_oneof![
                many.clone().prop_map(Value::list),
                many.clone().prop_map(Value::set),
                many.prop_map(Value::tuple),
                named.clone().prop_map(Value::map),
                named.prop_map(Value::object),
                inner.prop_map(|value| value.marked(true)),
            ]
        })
    }

    proptest! {
        #[test]
        fn writing_and_reading_round_trip(value in any_value()) {
            let text = serde_json::to_string(&value).unwrap();
            let back: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(serde_json::to_string(&back).unwrap(), text);
            prop_assert_eq!(back.has_sensitive(), value.has_sensitive());
            prop_assert_eq!(back, value);
        }
    }

    #[test]
    fn forms_of_a_newer_version_are_an_error() {
        assert!(serde_json::from_str::<Value>("{\"$matrix\": []}").is_err());
        assert!(serde_json::from_str::<Value>("{\"$list\": {}}").is_err());
    }
}
