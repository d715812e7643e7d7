//! The cluster that is simulated: a group without a quorum, one with a quorum, and a head whose steps follow the workers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_controller::Pushed;
use cloudtik_executor::engine::{NodeFacts, RenderedStep, StepRenderer};
use cloudtik_lang::{Context, Found, Scope, Traversal, resolve};
use cloudtik_model::{
    Address, DaemonSpec, Diagnostics, Expr, ExprKind, GroupConfig, HEAD_CONFIG_VERSION, HeadConfig, Input, LateName, Lifecycle,
    MembershipConfig, NodeAction, ProviderRef, PushConfig, ResourceSpec, ServiceConfig, Span, StepKind, StepSpec, Type, Value,
};
use cloudtik_provider_api::{CallError, ErrorClass, ProviderSchema, Visibility};
use cloudtik_sim::{INSTANCE_KIND, VISIBILITY_MS, sim_schema};

use crate::Failure;

/// Names the cluster at its provider.
pub(crate) const UID: &str = "lineage/w/c";

/// The group without a quorum.
pub(crate) const PLAIN: &str = "plain";

/// The group with a quorum.
pub(crate) const QUORUM: &str = "quorum";

/// What the group with a quorum is called once it is renamed.
pub(crate) const RENAMED: &str = "voters";

/// The epoch in which workers are launched.
pub(crate) const LAUNCH_EPOCH: u64 = 1;

/// What differs between the configurations that are pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Workers of the group with a quorum, which is its maximum too.
    pub(crate) quorum: u64,
    /// The version of a step's text in both groups.
    pub(crate) text: u64,
    /// Processors of the workers without a quorum.
    pub(crate) plain_cpus: u64,
    /// Processors of those with one.
    pub(crate) quorum_cpus: u64,
    /// Whether the group with a quorum has its other name.
    pub(crate) renamed: bool,
}

impl Shape {
    pub(crate) const FIRST: Self = Self { quorum: 3, text: 1, plain_cpus: 2, quorum_cpus: 2, renamed: false };

    /// Workers of the group without a quorum.
    pub(crate) const PLAIN_MIN: u64 = 2;

    /// What the group with a quorum is called.
    const fn label(&self) -> &'static str {
        if self.renamed { RENAMED } else { QUORUM }
    }

    /// How many workers a group wants, and how many it may have.
    pub(crate) fn band(&self, group: &str) -> (u64, u64) {
        if group == QUORUM { (self.quorum, self.quorum) } else { (Self::PLAIN_MIN, Self::PLAIN_MIN + 1) }
    }
}

/// The provider's schema, of a cloud whose nodes may be missed by looks for a while.
pub(crate) fn schema() -> ProviderSchema {
    let mut schema = sim_schema();
    for kind in schema.kinds.values_mut().filter(|kind| kind.is_node) {
        kind.shows = Visibility { ms: VISIBILITY_MS, reads: 2 };
    }
    schema
}

/// `cluster.c`
pub(crate) fn cluster() -> Address {
    Address::of("cluster", "c")
}

/// A configuration as the service hands it to the controller.
pub(crate) fn pushed(shape: Shape, generation: u64, network: &str) -> Result<Pushed, Failure> {
    let config = config(shape);
    let fault = |error: serde_json::Error| Failure::new(format!("the configuration cannot be written: {error}"));
    let network = Value::object([("id", Value::from(network))]);
    Ok(Pushed {
        generation,
        push: PushConfig {
            uid: UID.to_owned(),
            epoch: LAUNCH_EPOCH,
            follows: None,
            config: serde_json::to_value(&config).map_err(fault)?,
            digest: config.digest().map_err(fault)?,
            references: Value::object([(network_address().to_string(), network.clone())]),
            secrets: BTreeMap::new(),
            operator_keys: vec!["ssh-ed25519 operator".to_owned()],
        },
        config: Arc::new(config),
        references: BTreeMap::from([(network_address(), network)]),
        secrets: BTreeMap::from([("token".into(), "hidden".to_owned())]),
        login_key: "ssh-ed25519 head".to_owned(),
    })
}

fn network_address() -> Address {
    Address::of("workspace", "w").child("network")
}

fn config(shape: Shape) -> HeadConfig {
    let service = ServiceConfig {
        runtime: "db".into(),
        service_type: "database".to_owned(),
        protocol: "tcp".to_owned(),
        port: 7_000,
        labels: BTreeMap::new(),
        on_head: false,
        groups: BTreeSet::from([Arc::from(shape.label())]),
    };
    let head = cluster().child("head");
    let runtime = head.child("runtime").child("proxy");
    let endpoints = late(LateName::ServiceEndpoints("db".into()), Type::list(Type::String));
    let upstream = step(&head, runtime.child("upstream"), StepKind::File, [("content", endpoints)], &[]);
    let proxy = step(&head, runtime.child("service"), StepKind::Daemon, [], &[&upstream]);
    HeadConfig {
        version: HEAD_CONFIG_VERSION,
        cluster: cluster(),
        name: "c".to_owned(),
        provider: ProviderRef::new("sim"),
        provider_config: Value::object::<&str>([]),
        groups: BTreeMap::from([(PLAIN.into(), plain(shape)), (shape.label().into(), quorum(shape))]),
        head_steps: vec![upstream, proxy],
        services: BTreeMap::from([("db".into(), service)]),
        secrets: BTreeMap::new(),
        scaling: Value::NULL,
    }
}

fn plain(shape: Shape) -> GroupConfig {
    let node = node(PLAIN, shape.plain_cpus);
    let at = &node.address;
    let key = step(at, at.child("step").child("host_key"), StepKind::HostKey, [], &[]);
    let runtime = at.child("runtime").child("web");
    let text = Value::from(format!("text {}", shape.text));
    let token = late(LateName::Secret("token".into()), Type::String);
    let config = step(at, runtime.child("config"), StepKind::File, [("content", text), ("token", token)], &[&key]);
    let backends = late(LateName::ServiceEndpoints("db".into()), Type::list(Type::String));
    let live = step(at, runtime.child("backends"), StepKind::File, [("content", backends)], &[&key]);
    let service = step(at, runtime.child("service"), StepKind::Daemon, [], &[&config, &live]);
    let (min, max) = shape.band(PLAIN);
    let steps = vec![key, config, live, service];
    GroupConfig { min, max, quorum: false, moved_from: None, ready_timeout_secs: 300, node, steps, memberships: Vec::new() }
}

fn quorum(shape: Shape) -> GroupConfig {
    let node = node(shape.label(), shape.quorum_cpus);
    let at = &node.address;
    let members = || late(LateName::GroupMembers, Type::Any);
    let key = step(at, at.child("step").child("host_key"), StepKind::HostKey, [], &[]);
    let runtime = at.child("runtime").child("db");
    let text = Value::from(format!("text {}", shape.text));
    let config = step(at, runtime.child("config"), StepKind::File, [("content", text)], &[&key]);
    let bootstrap = late(LateName::GroupBootstrap, Type::Bool);
    let mut first = step(at, runtime.child("initial"), StepKind::File, [("content", members()), ("bootstrap", bootstrap)], &[&key]);
    first.frozen = true;
    let member = runtime.child("member");
    let commands = [("script", Value::from("join")), ("undo", "leave".into())];
    let membership = MembershipConfig {
        address: member.clone(),
        depends_on: BTreeSet::from([first.address.clone()]),
        step: step(at, member.clone(), StepKind::Run, commands, &[]),
    };
    let mut service = step(at, runtime.child("service"), StepKind::Daemon, [], &[&config, &first]);
    service.depends_on.insert(member);
    let peers = step(at, runtime.child("peers"), StepKind::File, [("content", members())], &[&service]);
    let (min, max) = shape.band(QUORUM);
    let steps = vec![key, config, first, service, peers];
    let moved_from = shape.renamed.then(|| QUORUM.into());
    GroupConfig { min, max, quorum: true, moved_from, ready_timeout_secs: 300, node, steps, memberships: vec![membership] }
}

fn node(group: &str, cpus: u64) -> ResourceSpec {
    let network = Expr::from(ExprKind::Reference(network_address())).attribute("id");
    let attributes =
        [("name", Value::from(format!("c-{group}"))), ("network", Value::deferred(Type::String, network)), ("cpus", cpus.into())];
    ResourceSpec {
        address: cluster().child("workers").child(group),
        kind: INSTANCE_KIND.into(),
        provider: ProviderRef::new("sim"),
        attributes: Value::object(attributes),
        depends_on: BTreeSet::from([network_address()]),
        lifecycle: Lifecycle::default(),
        marks: BTreeMap::new(),
        span: Span::NONE,
        origins: BTreeMap::new(),
    }
}

fn late(name: LateName, ty: Type) -> Value {
    Value::deferred(ty, Expr::from(ExprKind::Late(name)))
}

fn step<const N: usize>(node: &Address, address: Address, kind: StepKind, inputs: [(&str, Value); N], after: &[&StepSpec]) -> StepSpec {
    let follows = after.iter().filter(|_| kind == StepKind::Daemon).map(|step| step.address.clone());
    StepSpec {
        title: address.to_string(),
        node: node.clone(),
        kind,
        inputs: inputs.into_iter().map(|(name, value)| (name.to_owned(), Input::Value(value))).collect(),
        triggers: follows.collect(),
        frozen: false,
        depends_on: after.iter().map(|step| step.address.clone()).chain([node.clone()]).collect(),
        lifecycle: Lifecycle::default(),
        span: Span::NONE,
        address,
    }
}

/// Renders the steps of this cluster: what is no text is written as JSON.
pub(crate) struct Renderer;

struct OfNode<'a>(&'a NodeFacts);

impl Scope for OfNode<'_> {
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

impl StepRenderer for Renderer {
    fn render(&self, spec: &StepSpec, facts: &NodeFacts) -> Result<RenderedStep, CallError> {
        let wrong = |what: &str| CallError::new(ErrorClass::Permanent, "render", format!("{}: {what}", spec.address));
        let text = |name: &str| -> Result<String, CallError> {
            let Some(Input::Value(value)) = spec.inputs.get(name) else { return Ok(String::new()) };
            let value = resolve(value, &Context::new(&OfNode(facts))).map_err(|_| wrong(name))?;
            if !value.is_known() {
                return Err(wrong(&format!("{name} is not known")));
            }
            Ok(value.as_str().map_or_else(|| value.unmarked_deeply().to_json().to_string(), str::to_owned))
        };
        let action = match spec.kind {
            StepKind::HostKey => NodeAction::HostKey { authorized_keys: Vec::new() },
            StepKind::File => NodeAction::File {
                path: format!("/{}", spec.address),
                mode: "0644".to_owned(),
                owner: None,
                content: Some(format!("{} {} {}", text("content")?, text("bootstrap")?, text("token")?)),
                artifact: None,
            },
            StepKind::Daemon => NodeAction::Daemon(DaemonSpec {
                name: spec.address.to_string(),
                argv: vec!["serve".to_owned()],
                cwd: None,
                env: BTreeMap::new(),
                user: None,
                ready: None,
                ready_timeout_secs: 1,
                restarts_max: 1,
                restart_window_secs: 1,
                stop_signal: "TERM".to_owned(),
                stop_grace_secs: 1,
                log_bytes_max: 1,
                generation: facts.follows.values().map(cloudtik_model::Digest::short).collect::<Vec<_>>().join(" "),
                reload_signal: None,
            }),
            StepKind::Run => NodeAction::Run {
                script: text("script")?,
                undo: Some(text("undo")?),
                creates: None,
                unless: None,
                only_if: None,
                env: BTreeMap::new(),
                user: None,
                timeout_secs: 10,
                retries: 0,
                retry_wait_secs: 0,
            },
            StepKind::Package | StepKind::Wait => return Err(wrong("the simulated cluster has no such step")),
        };
        let undo = (spec.kind != StepKind::HostKey).then(|| action.clone());
        Ok(RenderedStep { action, undo, artifacts: Vec::new() })
    }
}
