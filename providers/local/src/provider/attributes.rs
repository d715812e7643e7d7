//! Objects of the daemon as the attributes of their kinds.

use std::collections::BTreeMap;

use cloudtik_model::Value;
use cloudtik_provider_api::{CallError, ErrorClass, Found, ObjectAnswer, SEQUENCE_TAG, STATUS_PREFIX};

use super::kinds::{MODE, ON_DESTROY};
use super::request::{MARK_PREFIX, ON_DESTROY_TAG};
use crate::protocol::{Attributes, InstanceAttributes, InstanceSpec, Object, ObjectState, ResourceSpec, RunState};

/// What a node executes for a step: its own binary is on its search path.
const RUN_STEP: [&str; 3] = ["cloudtik", "node", "run-step"];

/// The port that `ssh` takes when it is told none.
const SSH_PORT: u16 = 22;

/// Where all of this machine is.
const ZONE: &str = "local";

/// The head of a cluster is its first node. A worker has the number that its mark says.
const HEAD_SEQUENCE: u64 = 1;

/// Whether an object is there. A node whose first process ended is not, and neither is what is half made or half removed.
pub(super) fn is_there(object: &Object) -> bool {
    object.state == ObjectState::Ready && !has_stopped(object)
}

/// Whether an object is what is left of a node that ended, or of something whose removal did not come to its end.
pub(super) fn is_left_over(object: &Object) -> bool {
    match object.state {
        ObjectState::Creating => false,
        ObjectState::Ready => has_stopped(object),
        ObjectState::Deleting => true,
    }
}

fn has_stopped(object: &Object) -> bool {
    matches!(&object.attributes, Attributes::LocalInstance(attributes) if attributes.run_state == RunState::Stopped)
}

/// With what was published among the marks: attributes are what was asked for and made, and a status is neither.
pub(super) fn found_of(object: &Object) -> Result<Found, CallError> {
    let mut tags = object.tags.clone();
    tags.extend(object.metadata.iter().map(|(key, value)| (format!("{STATUS_PREFIX}{key}"), value.clone())));
    Ok(Found { object: answer_of(object)?, tags })
}

/// The object with all attributes of its kind.
pub(super) fn answer_of(object: &Object) -> Result<ObjectAnswer, CallError> {
    let tags = || ("tags", texts(object.tags.iter().filter(|(name, _)| !name.starts_with(MARK_PREFIX))));
    let attributes = match (&object.attributes, &object.spec) {
        (Attributes::LocalNetwork(network), _) => Value::object([
            ("name", text(&network.name)),
            ("form", text(network.form.name())),
            ("cidr", text(&network.cidr)),
            ("mode", text(MODE)),
            tags(),
            ("gateway", text(&network.gateway)),
        ]),
        (Attributes::LocalFirewall(firewall), _) => Value::object([
            ("name", text(&firewall.name)),
            ("network", firewall.network.as_deref().map_or(Value::NULL, text)),
            ("rules", rules(&object.id, &firewall.rules)?),
            tags(),
            ("enforced", firewall.enforced.into()),
        ]),
        (Attributes::LocalBucket(bucket), _) => Value::object([
            ("name", text(&bucket.name)),
            ("on_destroy", text(object.tags.get(ON_DESTROY_TAG).map_or(ON_DESTROY, String::as_str))),
            tags(),
            ("path", text(&bucket.path.to_string_lossy())),
            ("uri", text(&bucket.uri)),
        ]),
        (Attributes::LocalInstance(instance), ResourceSpec::LocalInstance(spec)) => {
            let sequence = object.tags.get(SEQUENCE_TAG).and_then(|number| number.parse().ok()).unwrap_or(HEAD_SEQUENCE);
            instance_attributes(&object.id, instance, spec, sequence, tags())?
        }
        (Attributes::LocalInstance(_), _) => return Err(strange(&object.id, "it is an instance and was asked for as something else")),
    };
    Ok(ObjectAnswer { id: object.id.clone(), attributes })
}

fn instance_attributes(
    id: &str,
    instance: &InstanceAttributes,
    spec: &InstanceSpec,
    sequence: u64,
    tags: (&'static str, Value),
) -> Result<Value, CallError> {
    let publish = spec.publish.iter().map(|(host, node)| (host.to_string(), Value::from(u64::from(*node))));
    let artifacts = instance.dirs.get("artifacts").ok_or_else(|| strange(id, "it has no folder for artifacts"))?;
    let ssh = Value::object([
        ("user", text(&instance.ssh_user)),
        ("port", u64::from(instance.ssh_port).into()),
        ("run_step", Value::list(RUN_STEP.map(Value::from))),
        ("artifacts", text(artifacts)),
    ]);
    let node = Value::object([
        ("id", text(id)),
        ("sequence", sequence.into()),
        ("address", text(&instance.address)),
        ("names", Value::list(instance.names.iter().map(|name| text(name)))),
        ("dirs", texts(&instance.dirs)),
        ("cores", number(id, Some(&instance.cores))?),
        ("memory", instance.memory_mib.into()),
        ("zone", text(ZONE)),
    ]);
    Ok(Value::object([
        ("name", text(&instance.name)),
        ("network", text(&instance.network)),
        ("cpus", number(id, spec.cpus.as_ref())?),
        ("memory_gib", number(id, spec.memory_gib.as_ref())?),
        ("publish", Value::map(publish.collect::<BTreeMap<_, _>>())),
        ("max_workers", spec.max_workers.map_or(Value::NULL, Value::from)),
        tags,
        ("private_ip", text(&instance.address)),
        ("public_ip", Value::NULL),
        ("hostname", text(&instance.name)),
        ("ssh_command", ssh_command(instance).into()),
        ("form", text(instance.form.name())),
        ("published", Value::list(instance.published.iter().map(|port| text(&port.address)))),
        ("ssh", ssh),
        ("node", node),
    ]))
}

fn ssh_command(instance: &InstanceAttributes) -> String {
    let port = if instance.ssh_port == SSH_PORT { String::new() } else { format!("-p {} ", instance.ssh_port) };
    format!("ssh {port}{}@{}", instance.ssh_user, instance.address)
}

fn rules(id: &str, rules: &[serde_json::Value]) -> Result<Value, CallError> {
    let rules: Result<Vec<Value>, _> = rules.iter().map(|rule| Value::from_json(rule.clone())).collect();
    rules.map(Value::tuple).map_err(|error| strange(id, &error.to_string()))
}

fn number(id: &str, number: Option<&serde_json::Number>) -> Result<Value, CallError> {
    let Some(number) = number else { return Ok(Value::NULL) };
    Value::from_json(serde_json::Value::Number(number.clone())).map_err(|error| strange(id, &error.to_string()))
}

fn text(text: &str) -> Value {
    text.into()
}

fn texts<'a>(texts: impl IntoIterator<Item = (&'a String, &'a String)>) -> Value {
    Value::map(texts.into_iter().map(|(name, value)| (name.as_str(), text(value))))
}

/// An object that is not what this version writes.
fn strange(id: &str, what: &str) -> CallError {
    CallError::new(ErrorClass::Permanent, "bad_object", format!("what the local cloud has as {id} cannot be read: {what}"))
}
