//! For `#[serde(with = "cloudtik_model::sealed")]`: a field that is written in the form of a sensitive value, so that whoever writes it
//! to disk puts it in an envelope. What a node is told to do may hold secrets anywhere, so it is sealed whole.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize)]
struct Write<'a, T> {
    #[serde(rename = "$sensitive")]
    content: &'a T,
}

#[derive(Deserialize)]
struct Read<T> {
    #[serde(rename = "$sensitive")]
    content: T,
}

/// Writes `{"$sensitive": …}`.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<T: Serialize, S: Serializer>(content: &T, serializer: S) -> Result<S::Ok, S::Error> {
    Write { content }.serialize(serializer)
}

/// Reads `{"$sensitive": …}`.
///
/// # Errors
/// Those of the deserializer.
pub fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Read::<T>::deserialize(deserializer)?.content)
}
