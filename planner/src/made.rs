//! The state as it would be if a graph had been made: what another revision of a spec is compared with.
//!
//! What only a provider can tell of such an object is not known. It stands as the answer to a question that nobody asks
//! ([`ExprKind::Fact`]): the same question has the same answer, so what is the same in both revisions does not differ, and what refers to
//! an object that is made anew does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_lang::step_inputs_preview;
use cloudtik_model::{
    Address, Expr, ExprKind, Graph, Input, Node, NodeAction, Object, OutputState, STATE_VERSION, State, StateEntry, StepKind, StepSpec,
    Type, Value,
};
use cloudtik_provider_api::{Facts, ProviderSchema};

use crate::planner::Planner;
use crate::{Change, Mode, PlanInput, Selection};

/// What a step of the first contact tells of its node.
const HOST_KEY: &str = "host_key";

/// The state as it would be if this graph had been made, with these answers of providers.
#[must_use]
pub fn as_if_made(graph: &Graph, facts: &Facts, schemas: &BTreeMap<String, ProviderSchema>) -> State {
    let nothing = State { version: STATE_VERSION, ..State::default() };
    let (observed, imports) = (BTreeMap::new(), BTreeMap::new());
    let input = PlanInput {
        graph,
        state: &nothing,
        observed: &observed,
        imports: &imports,
        schemas: &|name| schemas.get(name),
        facts: BTreeMap::new(),
        pinned: BTreeSet::new(),
        mode: Mode::Normal,
        replace: BTreeSet::new(),
        keep: BTreeSet::new(),
        selection: Selection::default(),
        settled: Vec::new(),
        notes: Vec::new(),
        tool_version: String::new(),
        offline: true,
        locate: &|_| None,
    };
    let mut planner = Planner::new(&input, true);
    let outputs = planner.outputs();
    let entries = planner.changes.values().filter_map(|change| Some((change.address.clone(), entry(&planner, change)?)));
    let resources = entries.collect();
    let outputs = outputs.into_iter().filter_map(|(name, output)| {
        let sensitive = output.sensitive;
        Some((name, OutputState { value: output.after?, sensitive }))
    });
    let providers = graph.providers.iter().map(|(name, config)| (name.clone(), config.attributes.clone()));
    State { resources, outputs: outputs.collect(), providers: providers.collect(), facts: facts.clone(), ..nothing.clone() }
}

fn entry(planner: &Planner<'_, '_>, change: &Change) -> Option<StateEntry> {
    let object = match change.desired.as_ref()? {
        Node::Resource(spec) => Object {
            id: id_of(&change.address),
            attributes: planner.object(&change.address)?.clone(),
            desired: spec.attributes.clone(),
            schema_version: change.schema_version,
            ..Object::default()
        },
        Node::Step(step) => {
            let identity = change.identity.map_or(Value::NULL, |identity| Value::from(identity.to_string()));
            let told = planner.object(&change.address).and_then(Value::entries).cloned().unwrap_or_default();
            let own = [(Arc::from("identity"), identity), (Arc::from("inputs"), step_inputs_preview(&step.inputs))];
            Object { id: id_of(&step.node), attributes: Value::object(told.into_iter().chain(own)), undo: undo(step), ..Object::default() }
        }
    };
    Some(StateEntry {
        kind: Arc::clone(&change.kind),
        provider: change.provider.clone(),
        current: Some(object),
        deposed: BTreeMap::new(),
        depends_on: change.depends_on.clone(),
        create_before_destroy: change.create_before_destroy,
    })
}

/// What stands for the id of an object, where there must be one: no two objects have the same.
pub(crate) fn id_of(address: &Address) -> String {
    address.to_string()
}

/// What stands for an object in what only its provider can tell of it.
pub(crate) fn answer_of(address: &Address) -> Expr {
    ExprKind::Fact(address.to_string().into()).into()
}

/// What stands for all that a step tells.
pub(crate) fn told_by(step: &Address) -> Value {
    Value::object([(HOST_KEY, Value::deferred(Type::String, answer_of(step).attribute(HOST_KEY)))])
}

/// Puts the id of an object among its attributes, unless they say that nobody knows it.
pub(crate) fn insert_id(attributes: &mut BTreeMap<Arc<str>, Value>, id: &str) {
    if attributes.get("id").is_none_or(|id| !id.is_deferred()) {
        attributes.insert("id".into(), id.into());
    }
}

/// How a step would be undone, as far as a plan looks at it: that it would be, and whether its node must be alive for that.
fn undo(step: &StepSpec) -> Option<NodeAction> {
    let text = |name: &str| match step.inputs.get(name) {
        Some(Input::Value(value)) => value.as_str().map(str::to_owned),
        _ => None,
    };
    match step.kind {
        StepKind::HostKey | StepKind::Wait => None,
        StepKind::Run => {
            let (script, undo) = (text("script").unwrap_or_default(), Some(text("undo")?));
            let (creates, unless, only_if, env) = (None, None, None, BTreeMap::new());
            Some(NodeAction::Run {
                script,
                undo,
                creates,
                unless,
                only_if,
                env,
                user: None,
                timeout_secs: 0,
                retries: 0,
                retry_wait_secs: 0,
            })
        }
        StepKind::File | StepKind::Package | StepKind::Daemon => {
            let path = text("path").unwrap_or_default();
            Some(NodeAction::File { path, mode: String::new(), owner: None, content: None, artifact: None })
        }
    }
}
