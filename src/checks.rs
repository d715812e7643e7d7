//! What the providers say of a plan before anything is made: names that are taken, rights that are missing, types that are not there.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use cloudtik_compiler::Compiled;
use cloudtik_executor::driver::Clouds;
use cloudtik_model::{Address, ChangeWord, Diagnostics, GroupConfig, Node, Number, ProviderRef, Span, Value};
use cloudtik_planner::{Action, Change, Plan};
use cloudtik_provider_api::{Check, Checked, Concern, Deed, Idempotency, Intended, ProviderSchema};

use crate::Failure;
use crate::clusters::block_on;

/// What the providers find in a plan, at its places in the spec, and what they could not find out. A plan that makes nothing asks nobody.
pub(crate) fn checked(
    plan: &Plan,
    compiled: &Compiled,
    clouds: &Arc<Clouds>,
    schemas: &BTreeMap<String, ProviderSchema>,
) -> Result<(Diagnostics, Vec<String>), Failure> {
    let checks = checks(plan, compiled, schemas);
    if checks.is_empty() {
        return Ok((Diagnostics::new(), Vec::new()));
    }
    let answers = block_on(async {
        let mut asked = tokio::task::JoinSet::new();
        for (provider, check) in checks {
            let clouds = Arc::clone(clouds);
            asked.spawn(async move { (provider.clone(), clouds.check(&provider, check).await) });
        }
        asked.join_all().await
    })?;
    let answers: BTreeMap<ProviderRef, Checked> = answers.into_iter().collect();
    let mut found = Diagnostics::new();
    let mut notes = Vec::new();
    for (provider, answer) in answers {
        found.extend(answer.concerns.into_iter().map(|concern| placed(concern, compiled)));
        notes.extend(answer.unanswered.into_iter().map(|text| format!("{provider}: not checked: {text}")));
    }
    found.sort();
    Ok((found, notes))
}

/// The questions, by provider configuration: of those through which something is made.
fn checks(plan: &Plan, compiled: &Compiled, schemas: &BTreeMap<String, ProviderSchema>) -> BTreeMap<ProviderRef, Check> {
    let has_calls = |change: &&Change| {
        let schema = schemas.get(change.provider.provider_type());
        schema.and_then(|schema| schema.kinds.get(&*change.kind)).is_some_and(|kind| kind.class != Idempotency::Pure)
    };
    let mut checks: BTreeMap<ProviderRef, Check> = BTreeMap::new();
    let mut add = |provider: &ProviderRef, intended: Intended| {
        let check = checks.entry(provider.clone()).or_default();
        check.lineage.clone_from(&plan.lineage);
        check.intended.push(intended);
    };
    for change in plan.changes.values().filter(|change| !change.is_step()).filter(has_calls) {
        add(&change.provider, intended(change));
    }
    for config in compiled.head_configs.values() {
        let groups = config.groups.values().filter_map(|group| {
            let change = plan.changes.get(&group.node.address)?;
            matches!(change.action, Action::Create | Action::Update | Action::Replace).then_some((group, change))
        });
        for (group, change) in groups {
            let node = &group.node;
            let (address, kind, attributes) = (node.address.clone(), Arc::clone(&node.kind), node.attributes.clone());
            let (count, deed) = (coming(group, change), Some(Deed::Create));
            let id = change.id.clone().filter(|_| makes_workers_anew(change));
            add(&config.provider, Intended { address, kind, deed, id, goes_first: !change.create_before_destroy, attributes, count });
        }
    }
    checks.retain(|_, check| check.intended.iter().any(Intended::is_made));
    checks
}

/// Whether the workers of a group that are there go, and others come: all of them, or one after another.
fn makes_workers_anew(change: &Change) -> bool {
    change.action == Action::Replace || change.action == Action::Update && change.word == ChangeWord::Rolling
}

/// How many workers of a group come, beside those that are there and stay.
fn coming(group: &GroupConfig, change: &Change) -> RangeInclusive<u64> {
    let before = change.before.as_ref().filter(|_| change.action == Action::Update && !makes_workers_anew(change));
    let there = before.and_then(|before| before.get("min")?.as_number().and_then(Number::as_u64)).unwrap_or_default();
    group.min.saturating_sub(there)..=group.max.saturating_sub(there)
}

fn intended(change: &Change) -> Intended {
    let deed = match change.action {
        Action::Create | Action::Replace => Some(Deed::Create),
        Action::Update | Action::Import => Some(Deed::Update),
        Action::Delete => Some(Deed::Delete),
        Action::NoOp | Action::Forget | Action::Run | Action::Adopt => None,
    };
    let attributes = match &change.desired {
        Some(Node::Resource(spec)) => spec.attributes.clone(),
        _ => Value::NULL,
    };
    let (address, kind, id) = (change.address.clone(), Arc::clone(&change.kind), change.id.clone());
    Intended { address, kind, deed, id, goes_first: !change.create_before_destroy, attributes, count: 1..=1 }
}

/// A concern at its place in the spec.
fn placed(concern: Concern, compiled: &Compiled) -> cloudtik_model::Diagnostic {
    let place = concern.diagnostic.address.as_ref().map_or(Span::NONE, |address| place(address, concern.attribute, compiled));
    concern.diagnostic.at(place)
}

fn place(address: &Address, attribute: Option<&str>, compiled: &Compiled) -> Span {
    let node = compiled.graph.nodes.get(address);
    let groups = compiled.head_configs.values().flat_map(|config| config.groups.values());
    let worker = groups.map(|group| &group.node).find(|worker| worker.address == *address);
    let resource = if let Some(Node::Resource(spec)) = node { Some(spec) } else { None };
    // A worker has the origins of what it is, and its group those of how many there are.
    let specs = worker.into_iter().chain(resource);
    let mut origins = specs.filter_map(|spec| spec.origins.get(attribute?)).map(|origin| origin.span);
    origins.find(|span| !span.is_none()).unwrap_or_else(|| node.map_or(Span::NONE, Node::span))
}
