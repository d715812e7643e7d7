//! Values at their turn: residues are filled from objects that are there, and answers are held against what was asked.

use std::sync::Arc;

use cloudtik_lang::{Context, Found, Impure, Moment, Scope, Traversal, convert, resolve};
use cloudtik_model::{Address, Diagnostic, Diagnostics, Input, State, StepSpec, Value};
use cloudtik_provider_api::{CallError, KindSchema};

use crate::engine::objects::permanent;

/// The objects of a state as the names of residual expressions.
pub struct Objects<'a>(pub &'a State);

impl Scope for Objects<'_> {
    fn lookup(&self, traversal: &Traversal<'_>) -> Result<Found, Diagnostics> {
        Err(Diagnostic::error("unknown-name", format!("there is no name `{}` here", traversal.root)).into())
    }

    fn reference(&self, address: &Address) -> Option<Value> {
        let object = self.0.resources.get(address)?.current.as_ref()?;
        let mut attributes = object.attributes.entries().cloned().unwrap_or_default();
        attributes.insert("id".into(), object.id.as_str().into());
        Some(Value::object(attributes))
    }
}

/// A value with everything filled in that the objects can tell. Late names stay.
pub(crate) fn filled(state: &State, moment: &Moment, value: &Value) -> Result<Value, CallError> {
    resolve(value, &Context::new(&Objects(state)).with_impure(Impure::Applied(moment))).map_err(|found| {
        let text = found.iter().map(|diagnostic| diagnostic.title.clone()).collect::<Vec<_>>().join("; ");
        permanent("evaluate", format!("its values cannot be worked out: {text}"))
    })
}

/// The attributes of a resource, all known and of their types.
pub(crate) fn desired(state: &State, moment: &Moment, kind: &KindSchema, planned: &Value) -> Result<Value, CallError> {
    let value = filled(state, moment, planned)?;
    if !value.is_known() {
        return Err(unknown(&value));
    }
    if planned.is_known() {
        return Ok(value);
    }
    let mut entries = value.entries().cloned().unwrap_or_default();
    for attribute in &kind.attributes {
        let was_deferred = planned.get(attribute.name).is_some_and(|planned| !planned.is_known());
        let Some(value) = entries.get(attribute.name).filter(|_| was_deferred) else { continue };
        let converted = convert(value, &attribute.ty).map_err(|fault| permanent("wrong-type", format!("`{}`: {fault}", attribute.name)))?;
        entries.insert(Arc::from(attribute.name), converted);
    }
    Ok(Value::object(entries).marked(value.is_sensitive()))
}

fn unknown(value: &Value) -> CallError {
    let mut addresses = std::collections::BTreeSet::new();
    value.addresses(&mut addresses);
    let names: Vec<String> = addresses.iter().map(|address| format!("`{address}`")).collect();
    permanent(
        "not-known",
        format!("it needs a value that is not known: {}", if names.is_empty() { "a late name".to_owned() } else { names.join(", ") }),
    )
}

/// A step whose inputs refer to nothing but late names.
pub(crate) fn step(state: &State, moment: &Moment, spec: &StepSpec) -> Result<StepSpec, CallError> {
    let mut spec = spec.clone();
    for input in spec.inputs.values_mut() {
        let value = match input {
            Input::Value(value) => value,
            Input::Template(template) => &mut template.bindings,
            Input::Artifact(_) => continue,
        };
        *value = filled(state, moment, value)?;
        let mut addresses = std::collections::BTreeSet::new();
        value.addresses(&mut addresses);
        if !addresses.is_empty() {
            return Err(unknown(value));
        }
    }
    Ok(spec)
}

/// Holds what a provider answered against what was asked: of what the spec sets, nothing may come out different.
pub(crate) fn check_answer(kind: &KindSchema, asked: &Value, answered: &Value) -> Result<(), CallError> {
    for (name, asked) in asked.entries().into_iter().flatten().filter(|(_, asked)| !asked.is_null()) {
        let hidden = kind.attribute(name).is_some_and(|attribute| attribute.sensitive) || asked.has_sensitive();
        let answered = answered.get(name).cloned().unwrap_or(Value::NULL);
        if !agrees(asked, &answered) {
            let show = |value: &Value| format!("{:?}", value.clone().marked(hidden));
            let text = format!("the provider gave {} for `{name}` where the plan said {}", show(&answered), show(asked));
            return Err(
                permanent("answer-differs", text).help("this is a fault of the provider; the object is in the state and will be made anew")
            );
        }
    }
    Ok(())
}

/// Whether an answer says what was asked. What a provider adds to an object does not count, nor whether a sequence is a list or a tuple.
fn agrees(asked: &Value, answered: &Value) -> bool {
    if let (Some(asked), Some(answered)) = (asked.entries(), answered.entries()) {
        return asked.iter().all(|(name, asked)| answered.get(name).map_or(asked.is_null(), |answered| agrees(asked, answered)));
    }
    if let (Some(asked), Some(answered)) = (asked.elements(), answered.elements()) {
        return asked.len() == answered.len() && asked.zip(answered).all(|(asked, answered)| agrees(asked, answered));
    }
    asked == answered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_may_add_and_not_change() {
        let object = |items: &[(&'static str, Value)]| Value::object(items.iter().cloned());
        let asked = object(&[("a", 1_u64.into()), ("list", Value::tuple([Value::from("x")]))]);
        let more = object(&[("a", 1_u64.into()), ("list", Value::list([Value::from("x")])), ("b", 2_u64.into())]);
        let other = object(&[("a", 2_u64.into()), ("list", Value::list([Value::from("x")]))]);
        assert!(agrees(&asked, &more));
        assert!(!agrees(&asked, &other));
        assert!(!agrees(&more, &asked));
    }
}
