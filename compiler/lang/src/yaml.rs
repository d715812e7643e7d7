//! Reading YAML, counted: an alias may stand for a whole tree, so a short text can hold more than there is memory for.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr as _;
use std::sync::Arc;

use cloudtik_model::{Number, Value};
use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, Visitor};

use crate::limits::MAX_ELEMENTS;

/// The largest YAML text that is read: the parser keeps about a hundred bytes for each of it.
pub(crate) const MAX_YAML_BYTES: usize = 2 * 1024 * 1024;

/// The value of a YAML document.
pub(crate) fn from_yaml(text: &str) -> Result<Value, String> {
    if text.len() > MAX_YAML_BYTES {
        return Err(format!("the text has {} bytes; at most {MAX_YAML_BYTES} are read", text.len()));
    }
    let count = Cell::new(0);
    Node { count: &count }.deserialize(serde_yaml_ng::Deserializer::from_str(text)).map_err(|error| error.to_string())
}

#[derive(Clone, Copy)]
struct Node<'c> {
    count: &'c Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.count.set(self.count.get() + 1);
        if self.count.get() > MAX_ELEMENTS {
            return Err(de::Error::custom(format!("the document has more than {MAX_ELEMENTS} values")));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Value, E> {
        Ok(truth.into())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_i128<E: de::Error>(self, number: i128) -> Result<Value, E> {
        self.number(&number.to_string())
    }

    fn visit_u128<E: de::Error>(self, number: u128) -> Result<Value, E> {
        self.number(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        if number.is_finite() { self.number(&format!("{number:e}")) } else { Err(E::custom("infinity and NaN are no numbers here")) }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::NULL)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::NULL)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::tuple(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut named: Vec<(Arc<str>, Value)> = Vec::new();
        let mut merged: Vec<(Arc<str>, Value)> = Vec::new();
        while let Some(key) = entries.next_key_seed(self)? {
            let value = entries.next_value_seed(self)?;
            let key = crate::convert(&key, &cloudtik_model::Type::String).ok().filter(|key| !key.is_null());
            match key.as_ref().and_then(Value::as_str) {
                Some("<<") => merged.splice(0..0, merge(&value).ok_or_else(|| de::Error::custom("`<<` takes a mapping"))?).for_each(drop),
                Some(name) => named.push((name.into(), value)),
                None => return Err(de::Error::custom("a key must be a string, a number or a bool")),
            }
        }
        Ok(Value::object(merged.into_iter().chain(named)))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Value, A::Error> {
        Err(de::Error::custom("tags such as `!name` are not supported"))
    }
}

impl Node<'_> {
    fn number<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Number::from_str(text).map(Value::from).map_err(E::custom)
    }
}

/// What `<<` brings in: the entries of a mapping, or of several, the earlier before the later.
fn merge(value: &Value) -> Option<Vec<(Arc<str>, Value)>> {
    if let Some(entries) = value.entries() {
        return Some(entries.iter().map(|(name, item)| (Arc::clone(name), item.clone())).collect());
    }
    let mut all = Vec::new();
    for mapping in value.elements()?.collect::<Vec<_>>().into_iter().rev() {
        all.extend(mapping.entries()?.iter().map(|(name, item)| (Arc::clone(name), item.clone())));
    }
    Some(all)
}
