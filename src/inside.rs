//! Objects that have others inside: what an update does to those is asked when the plan is there, and told with it.

use std::collections::{BTreeMap, BTreeSet};

use cloudtik_compiler::Providers;
use cloudtik_model::{Address, ProviderRef, Value};
use cloudtik_planner::{Action, Plan};
use cloudtik_provider_api::FactQuestion;

use crate::Failure;
use crate::world::World;

/// What the updates of a plan do inside.
#[derive(Default)]
pub(crate) struct Inside {
    /// Lines for the reader.
    pub(crate) notes: Vec<String>,
    /// Where something inside is made anew.
    pub(crate) anew: BTreeSet<Address>,
    /// What is kept of that, by what it is in.
    pub(crate) kept: Vec<(Address, Address)>,
}

impl Inside {
    /// Asks.
    ///
    /// # Errors
    /// A provider does not tell.
    pub(crate) fn of(world: &World<'_>, providers: &Providers, plan: &Plan) -> Result<Self, Failure> {
        let mut questions: BTreeMap<ProviderRef, Vec<FactQuestion>> = BTreeMap::new();
        let mut asked: Vec<(Address, String)> = Vec::new();
        for change in plan.changes.values().filter(|change| change.action == Action::Update) {
            let (Some(id), Some(cloudtik_model::Node::Resource(wanted))) = (&change.id, &change.desired) else { continue };
            let provider = providers.get(change.provider.provider_type());
            if let Some(question) = provider.and_then(|provider| provider.question_of_update(&change.kind, id, &wanted.attributes)) {
                asked.push((change.address.clone(), question.key.clone()));
                questions.entry(change.provider.clone()).or_default().push(question);
            }
        }
        let mut inside = Self::default();
        if questions.is_empty() {
            return Ok(inside);
        }
        let answers = world.facts(&questions)?;
        for (address, answer) in asked.into_iter().filter_map(|(address, key)| Some((address, answers.get(&key)?))) {
            let notes = answer.get("notes").and_then(Value::elements).into_iter().flatten().filter_map(Value::as_str);
            inside.notes.extend(notes.map(|note| format!("{address}: {note}")));
            let kept = answer.get("kept").and_then(Value::elements).into_iter().flatten().filter_map(|data| data.as_str()?.parse().ok());
            inside.kept.extend(kept.map(|data| (address.clone(), data)));
            if answer.get("anew").and_then(Value::as_bool) == Some(true) {
                inside.anew.insert(address);
            }
        }
        Ok(inside)
    }
}
