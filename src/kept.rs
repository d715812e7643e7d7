//! Data that stays although nothing wants it: what says so of itself, also inside of others, and what whoever plans is told of it.

use std::collections::{BTreeMap, BTreeSet};

use cloudtik_model::{Address, Diagnostic, Diagnostics, SourceMap, State, StateEntry, Value};
use cloudtik_planner::{Change, Observation, Plan};
use cloudtik_provider_api::ProviderSchema;

use crate::{Failure, PlanOptions};

/// Addresses whose objects a destroy keeps although nothing wants them.
pub(crate) fn kept(state: &State, inside: &BTreeMap<Address, BTreeSet<Address>>, options: &PlanOptions) -> BTreeSet<Address> {
    let keeps = |address: &Address| match &options.delete_data {
        crate::DeleteData::None => true,
        crate::DeleteData::All => false,
        crate::DeleteData::Of(addresses) => !addresses.iter().any(|prefix| address.is_within(prefix)),
    };
    let says_keep = |value: &Value| value.get("on_destroy").and_then(Value::as_str) == Some("keep");
    let kept = state
        .resources
        .iter()
        .filter(|(address, entry)| entry.current.as_ref().is_some_and(|object| says_keep(&object.attributes)) && keeps(address));
    let inside = inside.values().flatten().filter(|address| keeps(address));
    kept.map(|(address, _)| address).chain(inside).cloned().collect()
}

/// What says of itself that it is kept inside of others, such as a database in a stack, by what it is in. What is there counts as what the
/// state knows does: an older state must not give up data that came later.
pub(crate) fn kept_inside(
    state: &State,
    observed: &BTreeMap<Address, Observation>,
    schemas: &BTreeMap<String, ProviderSchema>,
) -> BTreeMap<Address, BTreeSet<Address>> {
    let of = |(address, entry): (&Address, &StateEntry)| {
        let inside = schemas.get(entry.provider.provider_type())?.kinds.get(&*entry.kind)?.inside?;
        let found = match observed.get(address) {
            Some(Observation::Present(found)) => Some(&found.attributes),
            _ => None,
        };
        let known = &entry.current.as_ref()?.attributes;
        let kept = found.into_iter().chain([known]).flat_map(|attributes| (inside.kept)(attributes).into_keys());
        Some((address.clone(), kept.collect()))
    };
    state.resources.iter().filter_map(of).collect()
}

/// What is kept inside of others is not made anew there.
pub(crate) fn not_anew(kept: &[(Address, Address)], plan: &Plan, sources: &SourceMap) -> Result<(), Failure> {
    let mut found = Diagnostics::new();
    for (outer, data) in kept {
        let place = plan.changes.get(outer).and_then(|change| change.source.clone()).map(|place| format!(" ({place})")).unwrap_or_default();
        let title = format!("`{data}` is kept, but this plan would make it anew in `{outer}`{place}");
        let help = format!("take back what makes it anew, or give the data up first: `destroy --delete-data '{data}'`, then `apply`");
        found.push(Diagnostic::error("kept-data", title).help(help).of(data));
    }
    if found.is_empty() { Ok(()) } else { Err(Failure::error(found, sources.clone())) }
}

/// What stays although nothing wants it, and how it goes.
pub(crate) fn notes_of_kept(plan: &Plan, keep: &BTreeSet<Address>, inside: &BTreeMap<Address, BTreeSet<Address>>) -> Vec<String> {
    let kept = plan.changes.values().filter(|change| change.is_kept()).map(|change| &change.address);
    let (of_others, kept): (Vec<&Address>, Vec<&Address>) =
        kept.partition(|address| inside.get(*address).is_some_and(|kept| !kept.is_empty()));
    let (data, below): (Vec<&Address>, Vec<&Address>) = kept.into_iter().partition(|address| keep.contains(*address));
    let mut notes: Vec<String> = data
        .iter()
        .map(|address| {
            format!("{address} says `on_destroy = \"keep\"`: it stays, and so does its entry in the state; `destroy --delete-data '{address}'` removes it")
        })
        .collect();
    let reduced = plan.changes.values().filter(|change| change.is_reduced()).map(|change| &change.address);
    for (outer, data) in reduced.chain(of_others).filter_map(|outer| Some((outer, inside.get(outer)?))) {
        notes.extend(data.iter().filter(|data| keep.contains(*data)).map(|data| {
            format!("{data} says `on_destroy = \"keep\"`: it stays with what it stands on, alone in {outer}; `destroy --delete-data '{data}'` removes it")
        }));
    }
    for (outer, data) in inside.iter().filter(|(outer, _)| plan.changes.get(*outer).is_some_and(Change::has_effect)) {
        notes.extend(
            data.iter().filter(|data| !keep.contains(*data)).map(|data| {
                format!("{data} in {outer} was given up: where the spec does not want it, it is removed with all that is in it")
            }),
        );
    }
    if !below.is_empty() {
        let below: Vec<String> = below.iter().map(ToString::to_string).collect();
        notes.push(format!("what it stands on stays with it: {}", below.join(", ")));
    }
    notes
}

/// What of a state has others inside, if anything has. It is looked at even where nothing else is: data in it that the state does not know
/// would be lost with it.
pub(crate) fn with_others_inside(state: &State, schemas: &BTreeMap<String, ProviderSchema>) -> Option<State> {
    let has = |entry: &StateEntry| {
        let schema = schemas.get(entry.provider.provider_type()).and_then(|schema| schema.kinds.get(&*entry.kind));
        schema.is_some_and(|kind| kind.inside.is_some())
    };
    let others = state.resources.iter().filter(|(_, entry)| has(entry)).map(|(address, entry)| (address.clone(), entry.clone()));
    let resources: BTreeMap<Address, StateEntry> = others.collect();
    (!resources.is_empty()).then(|| State { resources, ..State::default() })
}

#[cfg(test)]
mod tests {
    use cloudtik_aws::AwsProvider;
    use cloudtik_provider_api::{ObjectAnswer, Provider as _};
    use serde_json::json;

    use super::*;

    fn stack(stores: &[&str]) -> serde_json::Value {
        let store = |label: &&str| {
            let said = json!({ "Address": format!("workspace.w.storage.{label}"), "OnDestroy": "keep" });
            ((*label).to_owned(), json!({ "Type": "AWS::S3::Bucket", "Metadata": { "cloudtik": said } }))
        };
        let resources: serde_json::Map<_, _> = stores.iter().map(store).collect();
        json!({ "template_body": json!({ "Resources": resources }).to_string() })
    }

    #[test]
    fn what_only_the_stack_knows_is_kept_too() {
        let address: Address = "workspace.w.stack".parse().unwrap();
        let entry =
            json!({ "kind": "aws_cloudformation_stack", "provider": "aws", "current": { "id": "s", "attributes": stack(&["old"]) } });
        let resources = [(address.clone(), serde_json::from_value(entry).unwrap())].into();
        let state = State { resources, ..State::default() };
        let schemas = [("aws".to_owned(), AwsProvider::new(None).schema().clone())].into();
        let attributes = serde_json::from_value(stack(&["later", "old"])).unwrap();
        let answer = ObjectAnswer { id: "s".to_owned(), attributes };
        let observed = [(address.clone(), Observation::Present(answer))].into();
        let stores = |names: &[&str]| names.iter().map(|name| format!("workspace.w.storage.{name}").parse().unwrap()).collect();
        assert_eq!(kept_inside(&state, &observed, &schemas)[&address], stores(&["later", "old"]));
        assert_eq!(kept_inside(&state, &BTreeMap::new(), &schemas)[&address], stores(&["old"]));
        assert_eq!(with_others_inside(&state, &schemas).map(|state| state.resources.len()), Some(1));
        assert_eq!(with_others_inside(&State::default(), &schemas), None);
    }
}
