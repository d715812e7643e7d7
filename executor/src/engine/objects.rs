//! What the state keeps of an object, made from what a cloud or a node answered.

use std::collections::BTreeMap;

use cloudtik_model::{Address, Digest, Object, ProviderRef, State, StateEntry, StepKind, Value};
use cloudtik_provider_api::{CallError, ErrorClass, KindSchema, ObjectAnswer, ProviderSchema};

use crate::engine::Limits;

/// The prefix of the kinds of steps.
pub(crate) const STEP_PREFIX: &str = "step.";

/// The kind of a resource in the schemas.
pub(crate) fn kind_schema<'a>(
    schemas: &'a BTreeMap<String, ProviderSchema>,
    provider: &ProviderRef,
    kind: &str,
) -> Result<&'a KindSchema, CallError> {
    let schema = schemas.get(provider.provider_type()).and_then(|schema| schema.kinds.get(kind));
    schema.ok_or_else(|| permanent("unknown-kind", format!("the provider `{provider}` has no kind `{kind}` in this version")))
}

/// An error of ours that no repeat mends.
pub(crate) fn permanent(code: &str, message: impl Into<String>) -> CallError {
    CallError::new(ErrorClass::Permanent, code, message)
}

/// An object that a provider made or changed. Attributes that the schema calls sensitive are marked, and so are those the spec marked.
pub(crate) fn resource_object(schema: &KindSchema, answer: ObjectAnswer, desired: &Value, op_id: &str) -> Object {
    Object {
        id: answer.id,
        attributes: mark(schema, &answer.attributes, desired),
        desired: desired.clone(),
        schema_version: schema.version,
        op_id: op_id.to_owned(),
        undo: None,
        public_keys: BTreeMap::new(),
        took_ms: None,
        tainted: false,
    }
}

/// The attributes with every mark that the schema or the spec gives.
fn mark(schema: &KindSchema, attributes: &Value, desired: &Value) -> Value {
    let Some(entries) = attributes.entries() else {
        return attributes.clone();
    };
    let marked = entries.iter().map(|(name, value)| {
        let by_schema = schema.attribute(name).is_some_and(|attribute| attribute.sensitive);
        let by_spec = desired.get(name).is_some_and(Value::has_sensitive);
        (std::sync::Arc::clone(name), value.clone().marked(by_schema || by_spec))
    });
    Value::object(marked.collect::<Vec<_>>())
}

/// What the state keeps of a step that is done.
pub(crate) fn step_object(
    instance: &str,
    identity: Digest,
    rendered: Digest,
    inputs: &Value,
    answered: &BTreeMap<String, String>,
) -> Object {
    let own = [
        ("identity".to_owned(), Value::from(identity.to_string())),
        ("inputs".to_owned(), inputs.clone()),
        ("rendered".to_owned(), Value::from(rendered.to_string())),
    ];
    let answered = answered.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
    Object {
        id: instance.to_owned(),
        attributes: Value::object(answered.chain(own).collect::<Vec<_>>()),
        desired: Value::NULL,
        schema_version: 0,
        op_id: String::new(),
        undo: None,
        public_keys: BTreeMap::new(),
        took_ms: None,
        tainted: false,
    }
}

/// The host key that the first contact with an instance left, if there was one.
#[must_use]
pub fn host_key(state: &State, instance_id: &str) -> Option<String> {
    let shown = state.resources.values().find_map(|entry| entry_host_key(entry, instance_id));
    shown.or_else(|| state.adopted().find(|adopted| adopted.head == instance_id).map(|adopted| adopted.host_key))
}

/// The host key in a state entry, if it is the first contact with this instance.
#[must_use]
pub fn entry_host_key(entry: &StateEntry, instance_id: &str) -> Option<String> {
    let object = entry.current.as_ref().filter(|object| object.id == instance_id)?;
    (entry.kind.strip_prefix(STEP_PREFIX) == Some(StepKind::HostKey.as_str())).then_some(())?;
    object.attributes.get("host_key").and_then(Value::as_str).map(str::to_owned)
}

/// The entry that has an instance, replaced ones too.
pub(crate) fn instance_entry<'a>(state: &'a State, instance_id: &str) -> Option<(&'a Address, &'a StateEntry, &'a Object)> {
    state.resources.iter().filter(|(_, entry)| !entry.kind.starts_with(STEP_PREFIX)).find_map(|(address, entry)| {
        let object = entry.current.iter().chain(entry.deposed.values()).find(|object| object.id == instance_id)?;
        Some((address, entry, object))
    })
}

/// How long to wait before the try after so many: doubled each time, between half and all of it by a number that follows from the op id,
/// so that operations that fail together do not come back together.
pub(crate) fn backoff_ms(limits: &Limits, op_id: &str, tries: u32) -> u64 {
    let doubled = limits.backoff_first_ms.saturating_mul(1_u64.checked_shl(tries.saturating_sub(1)).unwrap_or(u64::MAX));
    let whole = doubled.min(limits.backoff_max_ms);
    let half = whole / 2;
    let digest = Digest::of(format!("{op_id} {tries}"));
    let seed = digest.as_bytes().iter().take(8).fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    half.saturating_add(seed % half.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_differ_between_operations() {
        let limits = Limits::default();
        let waits: Vec<u64> = (1..=20).map(|tries| backoff_ms(&limits, "run-1", tries)).collect();
        assert!((125..=250).contains(&waits[0]) && (1_000..=2_000).contains(&waits[3]), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= limits.backoff_max_ms) && waits[19] >= limits.backoff_max_ms / 2);
        assert_ne!(backoff_ms(&limits, "run-1", 5), backoff_ms(&limits, "run-2", 5));
        assert!(backoff_ms(&limits, "run-1", u32::MAX) <= limits.backoff_max_ms);
    }
}
