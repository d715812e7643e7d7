//! Envelopes: sensitive values as they lie on a disk. Pure but for the nonces, which are brought in.
//!
//! `{"$sensitive": X}` becomes `{"$encrypted": {"method", "key_id", "nonce", "data"}}`. What is encrypted is bound to the lineage, to the
//! use (state, plan, or one record of the journal) and to the place within it, so that an envelope cannot be moved elsewhere. Each write
//! takes new nonces; nothing may depend on the bytes of an envelope.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use super::{DurableError, Entropy};

const SENSITIVE: &str = "$sensitive";
const ENCRYPTED: &str = "$encrypted";
const METHOD: &str = "xchacha20-poly1305";
const NONCE_BYTES: usize = 24;

/// Length of a data key.
pub(crate) const KEY_BYTES: usize = 32;

/// Where an envelope lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealContext<'a> {
    /// Lineage of the state.
    pub lineage: &'a str,
    /// `state`, `plan`, or a record: `journal/<run>/<sequence>`.
    pub usage: &'a str,
}

/// The key of sensitive values.
#[derive(Clone)]
pub(crate) struct DataKey {
    cipher: XChaCha20Poly1305,
    id: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    method: String,
    key_id: String,
    nonce: String,
    data: String,
}

impl DataKey {
    pub(crate) fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        let digest = Sha256::new().chain_update(b"cloudtik key id 1\n").chain_update(bytes).finalize();
        let id = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { cipher: XChaCha20Poly1305::new(bytes.into()), id }
    }

    /// What envelopes name it by. Says nothing of the key.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Puts every sensitive value of a document into an envelope.
    pub(crate) fn seal(&self, json: &mut Json, context: SealContext<'_>, entropy: &mut dyn Entropy) -> Result<(), DurableError> {
        walk(json, &mut String::new(), &mut |node, place| {
            if form(node, SENSITIVE).is_none() {
                return Ok(true);
            }
            *node = self.seal_node(node, context, place, entropy)?;
            Ok(false)
        })
    }

    /// Puts one node, whatever it is, into an envelope. `place` is its JSON pointer.
    pub(crate) fn seal_node(
        &self,
        node: &Json,
        context: SealContext<'_>,
        place: &str,
        entropy: &mut dyn Entropy,
    ) -> Result<Json, DurableError> {
        let mut nonce = [0; NONCE_BYTES];
        entropy.fill(&mut nonce)?;
        let bound = bound_to(context, place);
        let plain = node.to_string();
        let payload = Payload { msg: plain.as_bytes(), aad: bound.as_bytes() };
        // The cipher refuses only what is longer than 256 GiB.
        let too_long = |_| DurableError::RecordTooLong { bytes: plain.len() as u64, limit: super::frame::PAYLOAD_BYTES_MAX as u64 };
        let data = self.cipher.encrypt(&XNonce::from(nonce), payload).map_err(too_long)?;
        let envelope =
            Envelope { method: METHOD.to_owned(), key_id: self.id.clone(), nonce: BASE64.encode(nonce), data: BASE64.encode(data) };
        let content = serde_json::to_value(envelope).map_err(|source| DurableError::Encode { what: "an envelope", source })?;
        Ok(Json::Object([(ENCRYPTED.to_owned(), content)].into_iter().collect()))
    }

    fn open_envelope(&self, envelope: &Envelope, context: SealContext<'_>, place: &str) -> Result<Json, DurableError> {
        let damaged = || DurableError::EnvelopeDamaged { place: shown(context, place) };
        let nonce: [u8; NONCE_BYTES] = BASE64.decode(&envelope.nonce).ok().and_then(|nonce| nonce.try_into().ok()).ok_or_else(damaged)?;
        let data = BASE64.decode(&envelope.data).map_err(|_| damaged())?;
        let bound = bound_to(context, place);
        let payload = Payload { msg: &data, aad: bound.as_bytes() };
        let plain = self.cipher.decrypt(&XNonce::from(nonce), payload).map_err(|_| damaged())?;
        serde_json::from_slice(&plain).map_err(|_| damaged())
    }
}

/// Whether a document holds a sensitive value that is in no envelope.
pub(crate) fn has_sensitive(json: &Json) -> bool {
    match json {
        Json::Object(items) => form(json, SENSITIVE).is_some() || items.values().any(has_sensitive),
        Json::Array(items) => items.iter().any(has_sensitive),
        _ => false,
    }
}

/// Whether a document holds an envelope.
pub(crate) fn has_envelope(json: &Json) -> bool {
    match json {
        Json::Object(items) => form(json, ENCRYPTED).is_some() || items.values().any(has_envelope),
        Json::Array(items) => items.iter().any(has_envelope),
        _ => false,
    }
}

/// Whether the text of a document can hold an envelope. True for some that hold none.
pub(crate) fn may_have_envelope(text: &[u8]) -> bool {
    let needle = ENCRYPTED.as_bytes();
    text.split(|byte| *byte == b'$').skip(1).any(|rest| rest.starts_with(needle.get(1..).unwrap_or_default()))
}

/// Takes everything in a document out of its envelope. `key` gives the key of an id.
pub(crate) fn open<'k>(
    json: &mut Json,
    context: SealContext<'_>,
    key: &mut dyn FnMut(&str) -> Result<&'k DataKey, DurableError>,
) -> Result<(), DurableError> {
    walk(json, &mut String::new(), &mut |node, place| {
        let Some(content) = form(node, ENCRYPTED) else { return Ok(true) };
        // An object of somebody else's that happens to have that name stays what it is; ours is exactly this.
        let Ok(envelope) = Envelope::deserialize(content) else { return Ok(true) };
        if envelope.method != METHOD {
            return Err(DurableError::EnvelopeUnknown { place: shown(context, place), method: envelope.method });
        }
        *node = key(&envelope.key_id)?.open_envelope(&envelope, context, place)?;
        Ok(false)
    })
}

/// The content of an object with that one name.
fn form<'a>(node: &'a Json, name: &str) -> Option<&'a Json> {
    node.as_object().filter(|items| items.len() == 1).and_then(|items| items.get(name))
}

/// Visits every node from the outside in, with its JSON pointer; goes inside where the visitor says so. As deep as the JSON is, which its
/// reader and `Value` bound.
fn walk(
    node: &mut Json,
    place: &mut String,
    visit: &mut dyn FnMut(&mut Json, &str) -> Result<bool, DurableError>,
) -> Result<(), DurableError> {
    if !(node.is_object() || node.is_array()) || !visit(node, place)? {
        return Ok(());
    }
    let length = place.len();
    let mut inside = |name: &str, item: &mut Json| {
        place.push('/');
        place.push_str(&name.replace('~', "~0").replace('/', "~1"));
        let walked = walk(item, place, visit);
        place.truncate(length);
        walked
    };
    match node {
        Json::Object(items) => items.iter_mut().try_for_each(|(name, item)| inside(name, item)),
        Json::Array(items) => items.iter_mut().enumerate().try_for_each(|(i, item)| inside(&i.to_string(), item)),
        _ => Ok(()),
    }
}

/// Neither a lineage nor a use holds a line break, so no two contexts and places give the same text.
fn bound_to(context: SealContext<'_>, place: &str) -> String {
    format!("cloudtik envelope 1\n{}\n{}\n{place}", context.lineage, context.usage)
}

fn shown(context: SealContext<'_>, place: &str) -> String {
    format!("{}#{place}", context.usage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::SeededEntropy;
    use serde_json::json;

    const CONTEXT: SealContext<'static> = SealContext { lineage: "l1", usage: "state" };

    fn document() -> Json {
        json!({
            "plain": [1, {"$sensitive": "hunter2"}],
            "nested": {"$sensitive": {"a": {"$sensitive": "inner"}, "n": 1.50}},
            "odd/~name": {"$sensitive": null},
            "$encrypted": "a name of somebody's environment",
        })
    }

    fn sealed(key: &DataKey) -> Json {
        let mut json = document();
        key.seal(&mut json, CONTEXT, &mut SeededEntropy::new(1)).unwrap();
        json
    }

    fn open_with(mut json: Json, key: &DataKey, context: SealContext<'_>) -> Result<Json, DurableError> {
        open(&mut json, context, &mut |_| Ok(key)).map(|()| json)
    }

    #[test]
    fn what_is_sealed_opens_again_and_shows_nothing() {
        let key = DataKey::new(&[7; KEY_BYTES]);
        let sealed = sealed(&key);
        let text = sealed.to_string();
        assert!(!text.contains("hunter2") && !text.contains("inner") && !text.contains(SENSITIVE) && text.contains(key.id()), "{text}");
        assert!(may_have_envelope(text.as_bytes()) && !may_have_envelope(b"{\"$encrypte\": \"$sensitive\"}") && has_sensitive(&document()));
        assert!(!has_sensitive(&sealed));
        assert_eq!(open_with(sealed, &key, CONTEXT).unwrap(), document());
    }

    #[test]
    fn an_envelope_opens_in_its_own_place_only() {
        let key = DataKey::new(&[7; KEY_BYTES]);
        let sealed = sealed(&key);
        for context in [SealContext { lineage: "l2", ..CONTEXT }, SealContext { usage: "plan", ..CONTEXT }] {
            assert!(matches!(open_with(sealed.clone(), &key, context), Err(DurableError::EnvelopeDamaged { .. })));
        }
        let mut moved = sealed.clone();
        moved["nested"] = sealed["plain"][1].clone();
        let error = open_with(moved, &key, CONTEXT).unwrap_err();
        assert_eq!(error.to_string(), "the sensitive value at state#/nested was changed or moved: it does not open");
        let mut changed = sealed.clone();
        changed["nested"]["$encrypted"]["data"] = json!("AAAA");
        assert!(open_with(changed, &key, CONTEXT).is_err());
        let mut changed = sealed;
        changed["nested"]["$encrypted"]["method"] = json!("rot13");
        assert!(matches!(open_with(changed, &key, CONTEXT), Err(DurableError::EnvelopeUnknown { .. })));
    }

    #[test]
    fn another_key_does_not_open_it() {
        let sealed = sealed(&DataKey::new(&[7; KEY_BYTES]));
        assert!(open_with(sealed, &DataKey::new(&[8; KEY_BYTES]), CONTEXT).is_err());
    }
}
