//! A small world to plan in: a schema with an attribute for every word, a graph and a state to build, and an executor that only pretends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_lang::{Context, Found, Scope, Traversal, Variables, resolve};
use cloudtik_model::{
    Address, ChangeWord, Diagnostics, Digest, Expr, ExprKind, FileId, Graph, Input, LateName, Node, NodeAction, Object, Origin, OutputSpec,
    OutputState, ProviderRef, ResourceSpec, Span, State, StateEntry, StepKind, StepSpec, Template, Type, Value,
};
use cloudtik_planner::{
    Change, Mode, Observation, OperationKind, Plan, PlanInput, RenderOptions, Selection, Settled, execution, lint, plan, render_text,
    resource_identity, step_identity, step_inputs_preview,
};
use cloudtik_provider_api::{
    AttributeSchema, Expected, Idempotency, Inside, KindSchema, Need, ObjectAnswer, Provider, ProviderSchema, Shown, ValueProvider,
    Visibility,
};

pub(crate) fn address(text: &str) -> Address {
    text.parse().unwrap()
}

pub(crate) fn value<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::object(entries)
}

pub(crate) fn text(items: &[&str]) -> Value {
    Value::list(items.iter().map(|item| Value::from(*item)))
}

/// `address.attribute`, to be known later.
pub(crate) fn of(from: &str, attribute: &str) -> Value {
    Value::deferred(Type::Any, Expr::from(ExprKind::Reference(address(from))).attribute(attribute))
}

pub(crate) fn late(part: &str) -> Value {
    Value::deferred(Type::String, Expr::from(ExprKind::Late(LateName::Node(part.into()))))
}

fn kind(name: &'static str, more: Vec<AttributeSchema>) -> KindSchema {
    use AttributeSchema as A;
    let mut attributes = vec![
        A::optional("name", Type::String, ChangeWord::Live, ""),
        A::optional("size", Type::Number, ChangeWord::Live, ""),
        A::optional("disk", Type::Number, ChangeWord::Live, "").refusing(|before, after| {
            let size = |of: &Value| of.get("disk").and_then(Value::as_number).cloned();
            (size(after) < size(before)).then(|| "keep it".to_owned())
        }),
        A::optional("image", Type::String, ChangeWord::Rolling, ""),
        A::optional("cidr", Type::String, ChangeWord::Recreate, "").or_computed(),
        A::with_default("count", Type::Number, 1_i64, ChangeWord::Live, ""),
        A::optional("tags", Type::map(Type::String), ChangeWord::Live, ""),
        A::optional("ports", Type::list(Type::String), ChangeWord::Live, ""),
        A::optional("rules", Type::map(Type::Any), ChangeWord::Live, ""),
        A::optional("users", Type::set(Type::String), ChangeWord::Live, ""),
        A::optional("note", Type::String, ChangeWord::None, ""),
        A::optional("mode", Type::String, ChangeWord::Fixed, ""),
        A::optional("password", Type::String, ChangeWord::Live, "").sensitive(),
        A::optional("link", Type::String, ChangeWord::Live, ""),
        A::optional("network", Type::String, ChangeWord::Recreate, ""),
        A::computed("address", Type::String, ""),
        A::computed("label", Type::String, ""),
    ];
    attributes.extend(more);
    KindSchema {
        name,
        version: 1,
        class: Idempotency::Token,
        attributes,
        expected: Expected { create_ms: 100, update_ms: 30, delete_ms: 20 },
        is_node: name == "t_node",
        secrets: &[],
        unique_name: (name == "t_named").then_some("name"),
        concurrency_max: 10,
        choices: &[],
        together: None,
        names: None,
        inside: None,
        derive: Some(|desired| {
            let name = desired.get("name").and_then(Value::as_str).unwrap_or("nobody");
            vec![("label", format!("label of {name}").into())]
        }),
        shows: Visibility::AT_ONCE,
        additive: if name == "t_rule" { &["link", "ports"] } else { &[] },
        needs: if name == "t_rule" { &[Need::NotBoth("image", "cidr")] } else { &[] },
        rolls: false,
        in_resource: true,
        doc: "",
    }
}

/// What a `t_stack` has inside: parts, each with what it needs outside, or with nothing; those at addresses are kept.
fn kept_inside(stack: &Value) -> BTreeMap<Address, BTreeSet<Address>> {
    let parts = stack.get("parts").and_then(Value::entries).into_iter().flatten();
    parts.filter_map(|(name, needs)| Some((name.parse().ok()?, needs.as_str()?.parse().into_iter().collect()))).collect()
}

fn with_kept(before: &Value, after: Option<&Value>, keep: &BTreeSet<Address>) -> Value {
    let parts = |stack: &Value| stack.get("parts").and_then(Value::entries).cloned().unwrap_or_default();
    let kept = parts(before).into_iter().filter(|(name, _)| name.parse().is_ok_and(|address: Address| keep.contains(&address)));
    let all = kept.chain(after.map(parts).unwrap_or_default());
    Value::object([("parts", Value::map(all))])
}

/// The provider `t` of the tests.
pub(crate) fn schema() -> ProviderSchema {
    use AttributeSchema as A;
    let kinds = ["t_thing", "t_named", "t_node", "t_rule"].map(|name| (name, kind(name, Vec::new())));
    let brief = vec![
        A::optional("parts", Type::map(Type::String), ChangeWord::Live, "").shown(Shown::Changes),
        A::optional("digest", Type::String, ChangeWord::Live, "").shown(Shown::Changes),
        A::optional("document", Type::String, ChangeWord::Live, "").shown(Shown::Never),
    ];
    let stack = KindSchema {
        inside: Some(Inside { kept: kept_inside, with_kept }),
        ..kind("t_stack", vec![A::optional("parts", Type::map(Type::String), ChangeWord::Live, "")])
    };
    let kinds = kinds.into_iter().chain([("t_brief", kind("t_brief", brief)), ("t_stack", stack)]).collect();
    ProviderSchema { version: 7, config: Vec::new(), kinds }
}

/// A resource in the making. Each attribute stands on a line of its own, from 10 times the block's on.
pub(crate) struct Thing(pub(crate) ResourceSpec);

pub(crate) fn thing(at: &str, line: u32) -> Thing {
    let at = address(at);
    let kind: Arc<str> = at.root().into();
    Thing(ResourceSpec {
        provider: ProviderRef::new(if &*kind == "value" { "value" } else { "t" }),
        kind,
        attributes: Value::object(BTreeMap::<Arc<str>, Value>::new()),
        depends_on: BTreeSet::new(),
        lifecycle: Default::default(),
        marks: BTreeMap::new(),
        span: Span::new(FileId(0), line * 10, line * 10 + 1),
        origins: BTreeMap::new(),
        address: at,
    })
}

impl Thing {
    pub(crate) fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        value.addresses(&mut self.0.depends_on);
        let mut entries = self.0.attributes.entries().unwrap().clone();
        entries.insert(name.into(), value);
        self.0.attributes = Value::object(entries);
        let line = self.0.span.start + u32::try_from(self.0.origins.len()).unwrap() + 1;
        self.0.origins.insert(name.into(), Origin { span: Span::new(FileId(0), line, line + 1), change: None });
        self
    }

    pub(crate) fn word(mut self, name: &str, word: ChangeWord) -> Self {
        self.0.origins.get_mut(name).unwrap().change = Some(word);
        self
    }

    pub(crate) fn needs(mut self, other: &str) -> Self {
        self.0.depends_on.insert(address(other));
        self
    }

    pub(crate) fn first(mut self) -> Self {
        self.0.lifecycle.create_before_destroy = true;
        self
    }

    pub(crate) fn keep(mut self) -> Self {
        self.0.lifecycle.prevent_destroy = true;
        self
    }

    pub(crate) fn ignore(mut self, path: &str) -> Self {
        self.0.lifecycle.ignore_changes.insert(path.to_owned());
        self
    }

    pub(crate) fn triggered_by(mut self, other: &str) -> Self {
        self.0.lifecycle.replace_triggered_by.insert(address(other));
        self
    }
}

/// A step in the making.
pub(crate) struct Step(pub(crate) StepSpec);

pub(crate) fn step(at: &str, node: &str, kind: StepKind) -> Step {
    Step(StepSpec {
        address: address(at),
        node: address(node),
        kind,
        inputs: BTreeMap::new(),
        depends_on: BTreeSet::new(),
        triggers: BTreeSet::new(),
        frozen: false,
        title: String::new(),
        lifecycle: Default::default(),
        span: Span::new(FileId(0), 900, 901),
    })
}

impl Step {
    pub(crate) fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        value.addresses(&mut self.0.depends_on);
        self.0.inputs.insert(name.to_owned(), Input::Value(value));
        self
    }

    pub(crate) fn template(mut self, name: &str, text: &str, bindings: Value, preview: &str) -> Self {
        let template = Template { name: format!("{name}.hbs"), text: text.into(), bindings, preview: preview.into() };
        self.0.inputs.insert(name.to_owned(), Input::Template(template));
        self
    }

    pub(crate) fn needs(mut self, other: &str) -> Self {
        self.0.depends_on.insert(address(other));
        self
    }

    pub(crate) fn follows(mut self, other: &str) -> Self {
        self.0.triggers.insert(address(other));
        self
    }
}

/// What is planned, checked by the lint.
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    pub(crate) diagnostics: Diagnostics,
}

impl Planned {
    pub(crate) fn change(&self, at: &str) -> &Change {
        &self.plan.changes[&address(at)]
    }

    /// `update, live: size changed`
    pub(crate) fn says(&self, at: &str) -> String {
        let change = self.change(at);
        let word = if change.word == ChangeWord::None { String::new() } else { format!(", {}", change.word.as_str()) };
        let reason = if change.reason.is_empty() { String::new() } else { format!(": {}", change.reason) };
        format!("{}{word}{reason}", change.action.as_str())
    }

    /// `size: 1 -> 2`
    pub(crate) fn attributes(&self, at: &str) -> Vec<String> {
        self.change(at).attributes.iter().map(|a| format!("{}: {:?} -> {:?}", a.path, a.before, a.after)).collect()
    }

    pub(crate) fn errors(&self) -> Vec<String> {
        self.diagnostics.iter().map(|diagnostic| diagnostic.title.clone()).collect()
    }

    pub(crate) fn fine(self) -> Self {
        assert_eq!(self.errors(), Vec::<String>::new());
        self
    }

    pub(crate) fn text(&self) -> String {
        render_text(&self.plan, &RenderOptions::default())
    }
}

/// A graph, a state, and what there is to be seen.
pub(crate) struct World {
    pub(crate) graph: Graph,
    pub(crate) state: State,
    pub(crate) observed: BTreeMap<Address, Observation>,
    /// What is there and nobody knows, by the address that takes it over.
    pub(crate) strangers: BTreeMap<Address, StateEntry>,
    pub(crate) replace: BTreeSet<Address>,
    pub(crate) keep: BTreeSet<Address>,
    pub(crate) settled: Vec<Settled>,
    pub(crate) notes: Vec<String>,
    pub(crate) offline: bool,
    schema: ProviderSchema,
    values: ValueProvider,
    /// Numbers that were given to objects.
    pub(crate) made: usize,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut state = State::new("lineage".to_owned());
        state.serial = 3;
        Self {
            graph: Graph::default(),
            state,
            observed: BTreeMap::new(),
            strangers: BTreeMap::new(),
            replace: BTreeSet::new(),
            keep: BTreeSet::new(),
            settled: Vec::new(),
            notes: Vec::new(),
            offline: false,
            schema: schema(),
            values: ValueProvider::new(),
            made: 0,
        }
    }

    pub(crate) fn with(things: impl IntoIterator<Item = Thing>) -> Self {
        let mut world = Self::new();
        world.wants(things);
        world
    }

    /// From now on the spec wants these, and no others.
    pub(crate) fn wants(&mut self, things: impl IntoIterator<Item = Thing>) -> &mut Self {
        self.graph.nodes = things.into_iter().map(|thing| (thing.0.address.clone(), Node::Resource(thing.0))).collect();
        self
    }

    pub(crate) fn and_steps(&mut self, steps: impl IntoIterator<Item = Step>) -> &mut Self {
        self.graph.nodes.extend(steps.into_iter().map(|step| (step.0.address.clone(), Node::Step(step.0))));
        self
    }

    pub(crate) fn output(&mut self, name: &str, value: Value, sensitive: bool) {
        self.graph.outputs.insert(name.to_owned(), OutputSpec { value, sensitive, description: None, needs: BTreeSet::new() });
    }

    pub(crate) fn plan(&self) -> Planned {
        self.plan_for(Mode::Normal)
    }

    pub(crate) fn plan_for(&self, mode: Mode) -> Planned {
        let schemas = |ty: &str| match ty {
            "t" => Some(&self.schema),
            "value" => Some(self.values.schema()),
            _ => None,
        };
        let mut state = self.state.clone();
        state.resources.extend(self.strangers.clone());
        let imports = self.strangers.keys().map(|address| (address.clone(), Span::new(FileId(0), 7, 8))).collect();
        let (plan, diagnostics) = plan(PlanInput {
            keep: self.keep.clone(),
            graph: &self.graph,
            state: &state,
            observed: &self.observed,
            imports: &imports,
            schemas: &schemas,
            facts: BTreeMap::new(),
            pinned: BTreeSet::new(),
            mode,
            replace: self.replace.clone(),
            selection: Selection::default(),
            settled: self.settled.clone(),
            notes: self.notes.clone(),
            tool_version: "0.1.0".to_owned(),
            offline: self.offline,
            locate: &|span: Span| Some(format!("main.hcl:{}:1", span.start)),
        });
        if !diagnostics.has_errors() {
            assert_eq!(lint(&plan, &self.state), Vec::<String>::new());
        }
        Planned { plan, diagnostics }
    }

    /// Plans, applies, and checks that nothing is left to do.
    pub(crate) fn converge(&mut self) -> &mut Self {
        let planned = self.plan().fine();
        self.apply(&planned.plan, usize::MAX);
        let again = self.plan().fine();
        let left: Vec<String> =
            again.plan.changes.values().filter(|c| c.has_effect()).map(|c| format!("{}: {}", c.address, c.reason)).collect();
        assert_eq!(left, Vec::<String>::new(), "a second plan must be empty");
        assert_eq!(execution(&again.plan, &self.state).unwrap().operations, []);
        self
    }

    /// Does the first operations of a plan, in their order.
    pub(crate) fn apply(&mut self, plan: &Plan, operations: usize) {
        let execution = execution(plan, &self.state).unwrap();
        let before = self.state.clone();
        let whole = operations >= execution.operations.len();
        for operation in execution.operations.iter().take(operations) {
            let change = &plan.changes[&operation.address];
            self.operate(&operation.kind, change, &before);
        }
        self.observed.clear();
        self.state.serial += 1;
        if whole {
            let scope = InState(&self.state);
            let output = |output: &cloudtik_planner::OutputChange| {
                let value = resolve(output.after.as_ref()?, &Context::new(&scope)).unwrap();
                assert!(value.is_known());
                Some(OutputState { value, sensitive: output.sensitive })
            };
            let outputs = plan.outputs.iter().filter_map(|(name, change)| Some((name.clone(), output(change)?))).collect();
            self.state.outputs = outputs;
        }
    }

    fn operate(&mut self, kind: &OperationKind, change: &Change, before: &State) {
        match kind {
            OperationKind::Create | OperationKind::CreateReplacement { .. } => {
                self.made += 1;
                let object = self.made_object(change, format!("i-{}", self.made), None);
                let entry = self.entry(change);
                if matches!(kind, OperationKind::CreateReplacement { deposes: true }) {
                    let old = entry.current.take().expect("the old object is there");
                    entry.deposed.insert(old.op_id.clone(), old);
                } else if matches!(kind, OperationKind::CreateReplacement { deposes: false }) {
                    assert!(entry.current.is_none(), "{}: the old object must be gone", change.address);
                }
                entry.current = Some(object);
            }
            OperationKind::Import => {
                let object = self.made_object(change, change.id.clone().unwrap(), None);
                self.entry(change).current = Some(object);
                self.strangers.remove(&change.address);
            }
            OperationKind::Update | OperationKind::Record => {
                let old = self.state.resources[&change.address].current.clone().unwrap();
                let object = self.made_object(change, old.id.clone(), Some(&old));
                self.entry(change).current = Some(object);
            }
            OperationKind::Observe => {
                self.entry(change).current.as_mut().unwrap().attributes = change.before.clone().unwrap();
            }
            OperationKind::Rewire => {
                self.entry(change);
            }
            OperationKind::Delete { id, deposed } => {
                let entry = self.state.resources.get_mut(&change.address).unwrap();
                let gone = match deposed {
                    None => entry.current.take(),
                    Some(op_id) => entry.deposed.remove(op_id),
                };
                assert_eq!(&gone.expect("what is deleted is there").id, id);
                self.drop_empty(&change.address);
            }
            OperationKind::Forget => {
                if let Some(entry) = self.state.resources.get_mut(&change.address) {
                    entry.current = None;
                }
                self.drop_empty(&change.address);
            }
            OperationKind::Run => self.run(change),
            OperationKind::Undo { instance, action } => {
                assert_eq!(before.resources[&change.address].current.as_ref().unwrap().undo.as_ref(), Some(&**action));
                let entry = self.state.resources.get_mut(&change.address).unwrap();
                if entry.current.as_ref().is_some_and(|object| object.id == *instance) {
                    entry.current = None;
                }
                self.drop_empty(&change.address);
            }
            OperationKind::Waypoint => {}
        }
    }

    fn entry(&mut self, change: &Change) -> &mut StateEntry {
        let entry = self.state.resources.entry(change.address.clone()).or_insert_with(|| StateEntry {
            kind: change.kind.clone(),
            provider: change.provider.clone(),
            current: None,
            deposed: BTreeMap::new(),
            depends_on: BTreeSet::new(),
            create_before_destroy: false,
        });
        entry.kind = change.kind.clone();
        entry.provider = change.provider.clone();
        entry.depends_on = change.depends_on.clone();
        entry.create_before_destroy = change.create_before_destroy;
        entry
    }

    fn drop_empty(&mut self, at: &Address) {
        if self.state.resources.get(at).is_some_and(|entry| entry.current.is_none() && entry.deposed.is_empty()) {
            let gone = self.state.resources.remove(at).unwrap();
            for entry in self.state.resources.values_mut().filter(|entry| entry.depends_on.contains(at)) {
                entry.depends_on.remove(at);
                entry.depends_on.extend(gone.depends_on.iter().cloned());
            }
        }
    }

    fn made_object(&self, change: &Change, id: String, old: Option<&Object>) -> Object {
        let Some(Node::Resource(spec)) = &change.desired else { panic!("a resource is wanted") };
        let scope = InState(&self.state);
        let desired = resolve(&spec.attributes, &Context::new(&scope)).unwrap();
        assert!(desired.is_known(), "{}: {desired:?}", change.address);
        let kind = if &*spec.kind == "value" { &self.values.schema().kinds["value"] } else { &self.schema.kinds[&*spec.kind] };
        let mut attributes: BTreeMap<Arc<str>, Value> = BTreeMap::new();
        for attribute in &kind.attributes {
            let given = desired.get(attribute.name).filter(|value| !value.is_null()).cloned();
            let kept = || old.and_then(|old| old.attributes.get(attribute.name)).cloned();
            let value = if attribute.is_computed() {
                given.or_else(kept).unwrap_or_else(|| format!("{}-{id}", attribute.name).into())
            } else {
                given.unwrap_or(Value::NULL)
            };
            attributes.insert(attribute.name.into(), value);
        }
        for (name, value) in kind.derive.unwrap()(&desired) {
            attributes.insert(name.into(), value);
        }
        let op_id = format!("op-{id}");
        object(id, Value::object(attributes), desired, op_id, None)
    }

    fn run(&mut self, change: &Change) {
        let Some(Node::Step(spec)) = &change.desired else { panic!("a step is wanted") };
        let node = self.state.resources[&spec.node].current.clone().expect("a step runs on a node that is there");
        let scope = InState(&self.state);
        let mut inputs = spec.inputs.clone();
        for input in inputs.values_mut() {
            match input {
                Input::Value(value) => *value = resolve(value, &Context::new(&scope)).unwrap(),
                Input::Template(template) => template.bindings = resolve(&template.bindings, &Context::new(&scope)).unwrap(),
                Input::Artifact(_) => {}
            }
        }
        let identity_of = |at: &Address| -> Option<Digest> {
            let object = self.state.resources.get(at)?.current.as_ref()?;
            match object.attributes.get("identity") {
                Some(identity) => identity.as_str()?.parse().ok(),
                None => resource_identity(&object.id, &object.desired),
            }
        };
        let triggers = spec.triggers.iter().map(|at| (at.clone(), identity_of(at).unwrap())).collect();
        let identity = step_identity(spec, &inputs, &triggers).expect("everything is known by now");
        if let Some(planned) = change.identity {
            assert_eq!(identity, planned, "the plan said which step runs");
        }
        let previews = step_inputs_preview(&inputs);
        let attributes = value([("identity", identity.to_string().into()), ("inputs", previews.clone())]);
        let undo = match spec.kind {
            StepKind::File => Some(NodeAction::File {
                path: previews.get("path").and_then(Value::as_str).unwrap_or("/").to_owned(),
                mode: "0644".to_owned(),
                owner: None,
                content: None,
                artifact: None,
            }),
            StepKind::Run => previews.get("undo").and_then(Value::as_str).map(|undo| NodeAction::Run {
                script: String::new(),
                undo: Some(undo.to_owned()),
                creates: None,
                unless: None,
                only_if: None,
                env: BTreeMap::new(),
                user: None,
                timeout_secs: 1,
                retries: 0,
                retry_wait_secs: 0,
            }),
            _ => None,
        };
        self.made += 1;
        let op_id = format!("op-run-{}", self.made);
        self.entry(change).current = Some(object(node.id, attributes, Value::NULL, op_id, undo));
    }

    /// What a read finds of an object: what the state knows, with this attribute.
    pub(crate) fn drifts(&mut self, at: &str, name: &str, value: impl Into<Value>) {
        let object = self.state.resources[&address(at)].current.as_ref().unwrap();
        let mut entries = object.attributes.entries().unwrap().clone();
        entries.insert(name.into(), value.into());
        let answer = ObjectAnswer { id: object.id.clone(), attributes: Value::object(entries).unmarked_deeply() };
        self.observed.insert(address(at), Observation::Present(answer));
    }

    pub(crate) fn gone(&mut self, at: &str) {
        self.observed.insert(address(at), Observation::Gone);
    }

    /// `create t_thing.a`, in the order of the operations.
    pub(crate) fn operations(&self, plan: &Plan) -> Vec<String> {
        execution(plan, &self.state)
            .unwrap()
            .operations
            .iter()
            .filter(|o| o.kind != OperationKind::Waypoint)
            .map(|o| {
                let word = match &o.kind {
                    OperationKind::Create | OperationKind::CreateReplacement { .. } => "create",
                    OperationKind::Update => "update",
                    OperationKind::Import => "import",
                    OperationKind::Record => "record",
                    OperationKind::Observe => "observe",
                    OperationKind::Rewire => "rewire",
                    OperationKind::Delete { deposed: None, .. } => "delete",
                    OperationKind::Delete { deposed: Some(_), .. } => "delete deposed",
                    OperationKind::Forget => "forget",
                    OperationKind::Run => "run",
                    OperationKind::Undo { .. } => "undo",
                    OperationKind::Waypoint => "pass",
                };
                format!("{word} {}", o.address)
            })
            .collect()
    }

    /// The addresses of a destroyed world.
    pub(crate) fn destroy(&mut self) {
        let planned = self.plan_for(Mode::Destroy).fine();
        self.apply(&planned.plan, usize::MAX);
        assert_eq!(self.state.resources.keys().collect::<Vec<_>>(), Vec::<&Address>::new());
    }
}

fn object(id: String, attributes: Value, desired: Value, op_id: String, undo: Option<NodeAction>) -> Object {
    Object { id, attributes, desired, schema_version: 1, op_id, undo, public_keys: BTreeMap::new(), took_ms: None, tainted: false }
}

/// What the state says of objects.
struct InState<'a>(&'a State);

impl Scope for InState<'_> {
    fn lookup(&self, traversal: &Traversal<'_>) -> Result<Found, Diagnostics> {
        Variables::none().lookup(traversal)
    }

    fn reference(&self, address: &Address) -> Option<Value> {
        let object = self.0.resources.get(address)?.current.as_ref()?;
        let mut entries = object.attributes.entries()?.clone();
        entries.insert("id".into(), object.id.as_str().into());
        Some(Value::object(entries))
    }
}
