//! Attributes of a spec as requests to the daemon.

use std::collections::BTreeMap;

use cloudtik_model::{Number, Value};
use cloudtik_provider_api::{CallError, ErrorClass};

use super::kinds::{MODE, ON_DESTROY};
use crate::protocol::Form;

/// What the engine's own tags begin with; the spec's may not.
pub(super) const MARK_PREFIX: &str = "cloudtik:";

/// The tag that keeps what becomes of a bucket: the daemon has no other place for what means nothing to it.
pub(super) const ON_DESTROY_TAG: &str = "cloudtik:on_destroy";

pub(super) fn refused(code: &str, message: impl Into<String>) -> CallError {
    CallError::new(ErrorClass::Permanent, code, message)
}

/// A text that must be there.
pub(super) fn required(attributes: &Value, name: &str) -> Result<String, CallError> {
    optional(attributes, name)?.ok_or_else(|| refused("bad_request", format!("`{name}` is missing")))
}

/// A text that may be there.
pub(super) fn optional(attributes: &Value, name: &str) -> Result<Option<String>, CallError> {
    match attributes.get(name).filter(|value| !value.is_null()) {
        None => Ok(None),
        Some(value) => {
            let text = value.as_str().ok_or_else(|| refused("bad_request", format!("`{name}` is {} and no string", value.describe())))?;
            Ok(Some(text.to_owned()))
        }
    }
}

/// A number that may be there, exact.
pub(super) fn number(attributes: &Value, name: &str) -> Result<Option<serde_json::Number>, CallError> {
    match attributes.get(name).filter(|value| !value.is_null()) {
        None => Ok(None),
        Some(value) => match value.clone().unmarked().to_json() {
            serde_json::Value::Number(number) => Ok(Some(number)),
            _ => Err(refused("bad_request", format!("`{name}` is {} and no number", value.describe()))),
        },
    }
}

/// How many nodes a node may launch: a whole number.
pub(super) fn max_workers(attributes: &Value) -> Result<Option<u64>, CallError> {
    let Some(value) = attributes.get("max_workers").filter(|value| !value.is_null()) else { return Ok(None) };
    let number = value.as_number().and_then(Number::as_u64);
    let bad = || refused("bad_max_workers", format!("`max_workers` is {value:?}")).help("write a whole number, or leave it out");
    number.map(Some).ok_or_else(bad)
}

/// The form that a network asks for.
pub(super) fn form(attributes: &Value) -> Result<Option<Form>, CallError> {
    match optional(attributes, "form")?.as_deref() {
        None => Ok(None),
        Some("plain") => Ok(Some(Form::Plain)),
        Some("namespaces") => Ok(Some(Form::Namespaces)),
        Some(other) => {
            Err(refused("bad_form", format!("there is no form `{other}`")).help("write `plain` or `namespaces`, or leave it out"))
        }
    }
}

pub(super) fn check_mode(attributes: &Value) -> Result<(), CallError> {
    match optional(attributes, "mode")?.as_deref() {
        None | Some(MODE) => Ok(()),
        Some(other) => Err(refused("bad_mode", format!("the local cloud has no networks of mode `{other}`"))
            .help(format!("write `{MODE}` or leave it out"))),
    }
}

/// What becomes of a bucket.
pub(super) fn on_destroy(attributes: &Value) -> Result<String, CallError> {
    let word = optional(attributes, "on_destroy")?.unwrap_or_else(|| ON_DESTROY.to_owned());
    match word.as_str() {
        "keep" | "delete" => Ok(word),
        _ => Err(refused("bad_on_destroy", format!("`on_destroy` is `{word}`")).help("write `keep` or `delete`")),
    }
}

/// The rules of a firewall, each as it is written to disk: what comes back is what was given.
pub(super) fn rules(attributes: &Value) -> Result<Vec<serde_json::Value>, CallError> {
    let Some(rules) = attributes.get("rules").filter(|value| !value.is_null()) else { return Ok(Vec::new()) };
    let elements = rules.elements().ok_or_else(|| refused("bad_request", format!("`rules` is {} and no list", rules.describe())))?;
    Ok(elements.map(|rule| rule.unmarked_deeply().to_json()).collect())
}

/// The tags of the spec.
pub(super) fn tags(attributes: &Value) -> Result<BTreeMap<String, String>, CallError> {
    let Some(tags) = attributes.get("tags").filter(|value| !value.is_null()) else { return Ok(BTreeMap::new()) };
    let entries = tags.entries().ok_or_else(|| refused("bad_request", format!("`tags` is {} and no map", tags.describe())))?;
    let tag = |(name, value): (&std::sync::Arc<str>, &Value)| {
        if name.starts_with(MARK_PREFIX) {
            return Err(refused("reserved_tag", format!("the tag `{name}` begins with `{MARK_PREFIX}`, as only cloudtik's own do")));
        }
        let text = value.as_str().ok_or_else(|| refused("bad_tag", format!("the tag `{name}` is {} and no string", value.describe())))?;
        Ok((name.to_string(), text.to_owned()))
    };
    entries.iter().map(tag).collect()
}

/// Ports of this machine, and of the node.
pub(super) fn ports_of(attributes: &Value) -> Result<BTreeMap<u16, u16>, CallError> {
    let Some(ports) = attributes.get("publish").filter(|value| !value.is_null()) else { return Ok(BTreeMap::new()) };
    let entries = ports.entries().ok_or_else(|| refused("bad_port", format!("`publish` is {} and no map", ports.describe())))?;
    let bad = |text: &str| refused("bad_port", format!("`publish`: {text} is not a port")).help("ports are whole numbers from 1 to 65535");
    let port = |(from, to): (&std::sync::Arc<str>, &Value)| {
        // What is written in another way than it is read back would differ for ever.
        let host = from.parse::<u16>().ok().filter(|port| *port > 0 && port.to_string() == **from).ok_or_else(|| bad(from))?;
        let node = to.as_number().and_then(|number| u16::try_from(number.as_u64()?).ok()).filter(|port| *port > 0);
        Ok((host, node.ok_or_else(|| bad(&format!("{to:?}")))?))
    };
    entries.iter().map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(from: &str, to: u64) -> Result<BTreeMap<u16, u16>, CallError> {
        ports_of(&Value::object([("publish", Value::map([(from, Value::from(to))]))]))
    }

    #[test]
    fn ports_are_ports() {
        assert_eq!(publish("8080", 80).unwrap(), BTreeMap::from([(8080, 80)]));
        for (from, to) in [("0", 80), ("080", 80), ("x", 80), ("65536", 80), ("80", 0), ("80", 65_536)] {
            assert_eq!(publish(from, to).unwrap_err().code, "bad_port", "{from} {to}");
        }
        assert!(ports_of(&Value::object([("publish", Value::NULL)])).unwrap().is_empty());
    }

    #[test]
    fn workers_are_counted_in_whole_numbers() {
        let of = |value: Value| max_workers(&Value::object([("max_workers", value)]));
        assert_eq!((of(Value::NULL).unwrap(), of(3_u64.into()).unwrap()), (None, Some(3)));
        for bad in [Value::from(-1_i64), "0.5".parse::<Number>().unwrap().into(), "3".into()] {
            assert_eq!(of(bad).unwrap_err().code, "bad_max_workers");
        }
    }

    #[test]
    fn tags_of_the_engine_are_its_own() {
        let tags_of = |name: &str| tags(&Value::object([("tags", Value::map([(name, Value::from("x"))]))]));
        assert_eq!(tags_of("cloudtik:op").unwrap_err().code, "reserved_tag");
        assert_eq!(tags_of("owner").unwrap(), BTreeMap::from([("owner".to_owned(), "x".to_owned())]));
    }

    #[test]
    fn rules_and_numbers_come_back_as_they_were() {
        let rule = Value::object([
            ("ports", Value::list([Value::from("80")])),
            ("ratio", "0.1".parse::<cloudtik_model::Number>().unwrap().into()),
        ]);
        let sent = rules(&Value::object([("rules", Value::tuple([rule.clone()]))])).unwrap();
        assert_eq!(Value::from_json(sent[0].clone()).unwrap(), rule);
        let exact: cloudtik_model::Number = "0.30000000000000000001".parse().unwrap();
        let sent = number(&Value::object([("cpus", exact.clone().into())]), "cpus").unwrap().unwrap();
        assert_eq!(sent.to_string(), exact.to_string());
    }
}
