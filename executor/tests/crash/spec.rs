//! The specs that the crash tests apply: about 50 resources of all classes, and steps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_executor::engine::{NodeFacts, RenderedStep, StepRenderer};
use cloudtik_lang::{Context, Found, Scope, Traversal, resolve};
use cloudtik_model::{
    Address, Diagnostics, Expr, ExprKind, Graph, Input, LateName, Lifecycle, Node, NodeAction, OutputSpec, ProviderConfig, ProviderRef,
    ResourceSpec, Span, StepKind, StepSpec, Type, Value,
};
use cloudtik_provider_api::{CallError, ErrorClass};

/// A graph in the making.
#[derive(Default)]
pub(crate) struct Spec {
    graph: Graph,
}

/// One resource in the making.
pub(crate) struct Make {
    spec: ResourceSpec,
}

pub(crate) fn address(text: &str) -> Address {
    text.parse().unwrap()
}

pub(crate) fn reference(of: &str, attribute: &str) -> Value {
    Value::deferred(Type::String, Expr::from(ExprKind::Reference(address(of))).attribute(attribute))
}

pub(crate) fn resource(text: &str) -> Make {
    let address = address(text);
    let kind: Arc<str> = address.root().into();
    let provider = ProviderRef::new(if &*kind == "value" { "value" } else { "sim" });
    Make {
        spec: ResourceSpec {
            address,
            kind,
            provider,
            attributes: Value::object::<&str>([]),
            depends_on: BTreeSet::new(),
            lifecycle: Lifecycle::default(),
            marks: BTreeMap::new(),
            span: Span::NONE,
            origins: BTreeMap::new(),
        },
    }
}

impl Make {
    pub(crate) fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        value.addresses(&mut self.spec.depends_on);
        let mut entries = self.spec.attributes.entries().cloned().unwrap();
        entries.insert(name.into(), value);
        self.spec.attributes = Value::object(entries);
        self
    }

    pub(crate) fn first_new(mut self) -> Self {
        self.spec.lifecycle.create_before_destroy = true;
        self
    }

    pub(crate) fn mark(mut self, name: &str, value: &str) -> Self {
        self.spec.marks.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn after(mut self, other: &str) -> Self {
        self.spec.depends_on.insert(address(other));
        self
    }
}

impl Spec {
    pub(crate) fn add(mut self, make: Make) -> Self {
        self.graph.nodes.insert(make.spec.address.clone(), Node::Resource(make.spec));
        self
    }

    pub(crate) fn step(mut self, text: &str, node: &str, kind: StepKind, inputs: &[(&str, Value)], after: &[&str]) -> Self {
        let mut depends_on: BTreeSet<Address> = after.iter().map(|text| address(text)).collect();
        inputs.iter().for_each(|(_, value)| value.addresses(&mut depends_on));
        depends_on.insert(address(node));
        let spec = StepSpec {
            address: address(text),
            node: address(node),
            kind,
            inputs: inputs.iter().map(|(name, value)| ((*name).to_owned(), Input::Value(value.clone()))).collect(),
            triggers: after.iter().map(|text| address(text)).filter(|_| kind == StepKind::Run).collect(),
            frozen: false,
            depends_on,
            title: text.to_owned(),
            lifecycle: Lifecycle::default(),
            span: Span::NONE,
        };
        self.graph.nodes.insert(spec.address.clone(), Node::Step(spec));
        self
    }

    pub(crate) fn output(mut self, name: &str, value: Value) -> Self {
        self.graph.outputs.insert(name.to_owned(), OutputSpec { value, sensitive: false, description: None, needs: BTreeSet::new() });
        self
    }

    pub(crate) fn done(mut self) -> Graph {
        for provider in ["sim", "value"] {
            let config = ProviderConfig { attributes: Value::object::<&str>([]), span: Span::NONE };
            self.graph.providers.insert(ProviderRef::new(provider), config);
        }
        self.graph
    }
}

fn late(part: &str) -> Value {
    Value::deferred(Type::String, Expr::from(ExprKind::Late(LateName::Node(part.into()))))
}

/// A node with its first contact, a file with a late value, and a command that follows the file.
fn with_node(spec: Spec, name: &str, cpus: u64, text: &str) -> Spec {
    let node = format!("sim_instance.{name}");
    let at = |step: &str| format!("{node}.{step}");
    let instance =
        resource(&node).set("name", name).set("network", reference("sim_network.net", "id")).set("cpus", cpus).after("sim_firewall.wall");
    let file = [("path", Value::from("/conf")), ("content", text.into()), ("address", late("address"))];
    spec.add(instance)
        .step(&at("host_key"), &node, StepKind::HostKey, &[], &[])
        .step(&at("conf"), &node, StepKind::File, &file, &[&at("host_key")])
        .step(&at("start"), &node, StepKind::Run, &[("script", "start".into()), ("undo", "stop".into())], &[&at("conf")])
}

const CLASSES: [&str; 4] = ["sim_token", "sim_tagged", "sim_named", "sim_natural"];

/// What is there before.
pub(crate) fn before() -> Graph {
    let mut spec = Spec::default()
        .add(resource("sim_network.net").set("name", "net"))
        .add(resource("sim_firewall.wall").set("name", "wall").set("network", reference("sim_network.net", "id")))
        .add(resource("sim_bucket.files").set("name", "files"))
        .add(resource("value.base").set("input", "one"));
    for kind in CLASSES {
        let at = |name: &str| format!("{kind}.{name}");
        let secret = |make: Make| if kind == "sim_token" { make.set("secret", Value::from("hidden").marked(true)) } else { make };
        let named = |name: &str| resource(&at(name)).set("name", format!("{kind}-{name}"));
        spec = spec
            .add(secret(named("stays").set("size", 1_u64)))
            .add(named("grows").set("size", 1_u64).set("ref", reference(&at("stays"), "address")))
            .add(named("anew").set("image", "one").set("ref", reference("value.base", "output")))
            .add(named("user").set("ref", reference(&at("anew"), "id")))
            .add(named("first").first_new())
            .add(named("follower").set("ref", reference(&at("first"), "id")))
            .add(named("goes").set("ref", reference(&at("stays"), "id")))
            .add(named("leaf").set("ref", reference(&at("goes"), "id")));
    }
    spec = with_node(spec, "kept", 2, "text");
    spec = with_node(spec, "remade", 2, "text");
    spec.add(resource("value.last").set("input", reference("sim_token.follower", "id")))
        .output("address", reference("sim_token.stays", "address"))
        .done()
}

/// What is wanted then: updates, replacements in both orders, things that go and come, steps that run again.
pub(crate) fn after() -> Graph {
    let mut spec = Spec::default()
        .add(resource("sim_network.net").set("name", "net"))
        .add(
            resource("sim_firewall.wall")
                .set("name", "wall")
                .set("network", reference("sim_network.net", "id"))
                .set("rules", Value::tuple(["ssh".into()])),
        )
        .add(resource("sim_bucket.other").set("name", "other"))
        .add(resource("value.base").set("input", "two"));
    for kind in CLASSES {
        let at = |name: &str| format!("{kind}.{name}");
        let secret = |make: Make| if kind == "sim_token" { make.set("secret", Value::from("hidden").marked(true)) } else { make };
        let named = |name: &str| resource(&at(name)).set("name", format!("{kind}-{name}"));
        spec = spec
            .add(secret(named("stays").set("size", 1_u64).set("note", "a note")))
            .add(named("grows").set("size", 2_u64).set("ref", reference(&at("stays"), "address")))
            .add(named("anew").set("image", "two").set("ref", reference("value.base", "output")))
            .add(named("user").set("ref", reference(&at("anew"), "id")))
            .add(resource(&at("first")).set("name", format!("{kind}-first-2")).first_new())
            .add(named("follower").set("ref", reference(&at("first"), "id")))
            .add(named("comes").set("ref", reference(&at("stays"), "id")))
            .add(named("child").set("ref", reference(&at("comes"), "id")));
    }
    spec = with_node(spec, "kept", 2, "other text");
    spec = with_node(spec, "remade", 4, "text");
    spec.add(resource("value.last").set("input", reference("sim_token.follower", "id")))
        .output("address", reference("sim_token.stays", "address"))
        .output("new", reference("sim_token.comes", "id"))
        .done()
}

/// A renderer for steps whose inputs are plain values.
pub(crate) struct Plain;

struct Late<'a>(&'a NodeFacts);

impl Scope for Late<'_> {
    fn lookup(&self, _traversal: &Traversal<'_>) -> Result<Found, Diagnostics> {
        Err(Diagnostics::new())
    }

    fn late(&self, name: &LateName) -> Option<Value> {
        match name {
            LateName::Node(part) => self.0.node.get(part).cloned(),
            _ => None,
        }
    }
}

impl StepRenderer for Plain {
    fn render(&self, spec: &StepSpec, facts: &NodeFacts) -> Result<RenderedStep, CallError> {
        let wrong = |what: &str| CallError::new(ErrorClass::Permanent, "render", what.to_owned());
        let text = |name: &str| -> Result<Option<String>, CallError> {
            let Some(Input::Value(value)) = spec.inputs.get(name) else { return Ok(None) };
            let value = resolve(value, &Context::new(&Late(facts))).map_err(|_| wrong("late"))?;
            value.as_str().map(|text| Some(text.to_owned())).ok_or_else(|| wrong("not a text"))
        };
        let action = match spec.kind {
            StepKind::HostKey => NodeAction::HostKey { authorized_keys: Vec::new() },
            StepKind::File => NodeAction::File {
                path: text("path")?.ok_or_else(|| wrong("no path"))?,
                mode: "0644".to_owned(),
                owner: None,
                content: Some(format!("{} {}", text("content")?.unwrap_or_default(), text("address")?.unwrap_or_default())),
                artifact: None,
            },
            StepKind::Run => NodeAction::Run {
                script: text("script")?.unwrap_or_default(),
                undo: text("undo")?,
                creates: None,
                unless: None,
                only_if: None,
                env: BTreeMap::new(),
                user: None,
                timeout_secs: 10,
                retries: 0,
                retry_wait_secs: 0,
            },
            _ => return Err(wrong("kind")),
        };
        Ok(RenderedStep { undo: Some(action.clone()), action, artifacts: Vec::new() })
    }
}
