//! A whole spec: compiled, planned, linted, and the plan shown in every form.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_aws::{AWS_PROVIDER, AwsProvider};
use cloudtik_compiler::{CompileInput, Providers, VariableInputs, compile};
use cloudtik_controller_client::ControllerProvider;
use cloudtik_local::LocalProvider;
use cloudtik_model::{Graph, MemorySources, SourceMap, State};
use cloudtik_planner::{
    Mode, Plan, PlanInput, PlanJson, RenderOptions, Selection, changes_for_policies, event_changes, event_counts, execution, lint,
    render_text,
};
use cloudtik_provider_api::{CONTROLLER_PROVIDER, Facts, VALUE_KIND, ValueProvider};
use cloudtik_sim::SimProvider;

/// A spec without an error has a plan that can be carried out and shown.
pub(crate) fn spec(bytes: &[u8]) {
    if let Some((plan, state)) = planned(bytes) {
        assert_eq!(lint(&plan, &state), Vec::<String>::new(), "its plan is wrong");
        shown(&plan);
    }
}

/// The plan of a spec that has no error, and the state that it was made from.
pub(crate) fn planned(bytes: &[u8]) -> Option<(Plan, State)> {
    let sources = MemorySources::new([("main.hcl", bytes), ("hello.txt", b"hello"), ("lines.tmpl", b"%{ for x in xs }${x}%{ endfor }")]);
    let providers = providers();
    let input = CompileInput {
        sources: &sources,
        variables: &VariableInputs::default(),
        providers: &providers,
        facts: &Facts::new(),
        provider_override: None,
        tool_version: "0.1.0",
        plan_time: "2026-01-01T00:00:00Z",
        expressions: &[],
    };
    let (compiled, map, found) = compile(&input);
    if found.has_errors() {
        return None;
    }
    let state = State::new("0123456789abcdef0123456789abcdef".to_owned());
    let (plan, has_errors) = plan(&compiled.graph, &state, Mode::Normal, &map);
    (!has_errors).then_some((plan, state))
}

/// A plan, and whether something is wrong with it.
pub(crate) fn plan(graph: &Graph, state: &State, mode: Mode, map: &SourceMap) -> (Plan, bool) {
    let schemas: BTreeMap<_, _> = providers().into_iter().map(|(name, provider)| (name, provider.schema().clone())).collect();
    let (plan, found) = cloudtik_planner::plan(PlanInput {
        graph,
        state,
        observed: &BTreeMap::new(),
        imports: &BTreeMap::new(),
        schemas: &|provider| schemas.get(provider),
        facts: BTreeMap::new(),
        pinned: BTreeSet::new(),
        mode,
        replace: BTreeSet::new(),
        keep: BTreeSet::new(),
        selection: Selection::default(),
        settled: Vec::new(),
        notes: Vec::new(),
        tool_version: "0.1.0".to_owned(),
        offline: false,
        locate: &|span| map.describe(span),
    });
    (plan, found.has_errors())
}

/// Everything that shows a plan, or reads it to carry it out.
pub(crate) fn shown(plan: &Plan) {
    for verbose in [false, true] {
        drop(render_text(plan, &RenderOptions { verbose, ..RenderOptions::default() }));
    }
    assert!(serde_json::to_writer(std::io::sink(), &PlanJson(plan)).is_ok(), "it is not written as JSON");
    drop((changes_for_policies(plan), event_changes(plan).count(), event_counts(plan), execution(plan, &State::default())));
}

/// All provider types, without a client.
fn providers() -> Providers {
    let mut all: Providers = BTreeMap::new();
    all.insert(VALUE_KIND, Arc::new(ValueProvider::new()));
    all.insert("local", Arc::new(LocalProvider::new()));
    all.insert(AWS_PROVIDER, Arc::new(AwsProvider::new(None)));
    all.insert("sim", Arc::new(SimProvider::new()));
    all.insert(CONTROLLER_PROVIDER, Arc::new(ControllerProvider::new()));
    all
}
