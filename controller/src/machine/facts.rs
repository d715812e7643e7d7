//! What the controller remembers beside its objects: facts of its own state, durable like everything else in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_lang::LateValues;
use cloudtik_model::{Address, LateName, State, Value};

/// The number that the next worker of a group gets; it never goes back.
pub(super) fn next_key(group: &str) -> String {
    format!("next.{group}")
}

/// Whether the members of a group have found together once.
pub(super) fn formed_key(group: &str) -> String {
    format!("formed.{group}")
}

/// The generation in which a group was asked to go.
pub(super) fn removed_key(group: &str) -> String {
    format!("removed.{group}")
}

/// The late values that a worker had at its first configure.
pub(super) fn frozen_key(worker: &Address) -> String {
    format!("frozen.{worker}")
}

/// The address that a worker was made with, when it has another one now: what its node knows itself by.
pub(super) fn born_key(worker: &Address) -> String {
    format!("born.{worker}")
}

/// See [`born_key`].
pub(super) fn born<'s>(state: &'s State, worker: &Address) -> Option<&'s str> {
    state.facts.get(&born_key(worker))?.as_str()
}

/// Whether the cluster goes.
pub(super) const DRAINING: &str = "draining";

pub(super) fn number(state: &State, key: &str) -> Option<u64> {
    state.facts.get(key)?.as_number()?.as_u64()
}

pub(super) fn is_set(state: &State, key: &str) -> bool {
    state.facts.get(key).and_then(Value::as_bool) == Some(true)
}

/// The frozen values of a worker; `None` before its first configure.
pub(super) fn frozen(state: &State, worker: &Address) -> Option<LateValues> {
    state.facts.get(&frozen_key(worker)).and_then(read_frozen)
}

/// Late values as a fact: an object by the names as a spec writes them.
pub(super) fn write_frozen(late: &LateValues) -> Value {
    Value::object(late.values.iter().map(|(name, value)| (Arc::<str>::from(name.to_string()), value.clone())))
}

/// The late values of a fact. An empty one, as a fact that was withdrawn has it, is none.
pub(super) fn read_frozen(fact: &Value) -> Option<LateValues> {
    let entries = fact.entries().filter(|entries| !entries.is_empty())?;
    let values = entries.iter().filter_map(|(name, value)| Some((late_name(name)?, value.clone()))).collect::<BTreeMap<_, _>>();
    Some(LateValues { values })
}

fn late_name(text: &str) -> Option<LateName> {
    match text {
        "group.members" => Some(LateName::GroupMembers),
        "group.bootstrap" => Some(LateName::GroupBootstrap),
        other => {
            let name = other.strip_prefix("service.")?.strip_suffix(".endpoints")?;
            Some(LateName::ServiceEndpoints(name.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frozen_values_come_back_as_they_were() {
        let values = [
            (LateName::GroupMembers, Value::list([Value::from("a")])),
            (LateName::GroupBootstrap, Value::from(true)),
            (LateName::ServiceEndpoints("etcd".into()), Value::list([Value::from("10.0.0.1:2379")])),
        ];
        let late = LateValues { values: values.into_iter().collect() };
        assert_eq!(read_frozen(&write_frozen(&late)), Some(late));
        assert_eq!(read_frozen(&Value::object::<&str>([])), None);
    }
}
