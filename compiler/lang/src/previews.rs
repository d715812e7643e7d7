//! What people are shown of a step before its values are there.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_model::{Input, Value};

use crate::preview;

/// What the state keeps of a step's inputs, so that the next plan can show how they changed: an object of one value for each input, late
/// values as `<node.address>`. The planner compares these and the executor writes them.
#[must_use]
pub fn step_inputs_preview(inputs: &BTreeMap<String, Input>) -> Value {
    Value::object(inputs.iter().map(|(name, input)| {
        let shown = match input {
            Input::Value(value) => preview(value).marked(value.is_sensitive()),
            Input::Template(template) => Value::from(Arc::clone(&template.preview)).marked(template.bindings.has_sensitive()),
            Input::Artifact(artifact) => {
                Value::object([("file", Value::from(artifact.file.as_str())), ("sha256", artifact.sha256.to_string().into())])
            }
        };
        (name.as_str(), shown)
    }))
}
