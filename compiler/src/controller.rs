//! The controller on a cluster's head: what it is told, the steps that bring it up, and the resources that stand for what it does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_lang::{preview, step_inputs_preview};
use cloudtik_model::spec::WorkspaceUse;
use cloudtik_model::{
    Address, Artifact, Diagnostic, Diagnostics, Digest, Expr, ExprKind, GroupConfig, HEAD_CONFIG_VERSION, HeadConfig, Input, Key, LateName,
    Lifecycle, MembershipConfig, Node, Origin, ProviderConfig, ProviderRef, ResourceSpec, Segment, ServiceConfig, Span, StepKind, StepSpec,
    TemplatePart, Type, Value,
};
use cloudtik_provider_api::{
    CLUSTER_TAG, CONTROLLER_PROVIDER, HEAD_CONTROLLER_KIND, NODE_NAME, ResourceBuilder, WORKER_GROUP_KIND, reference,
};

use crate::evaluate::Evaluated;
use crate::expand::Expansion;
use crate::moved::label_before;
use crate::node::NodeSteps;
use crate::secrets::Aside;
use crate::workers::Group;

/// The node's own program, which is on the search path of its daemons.
const PROGRAM: &str = "cloudtik";

/// What the supervisor of the head calls it.
const DAEMON: &str = "cloudtik-controller";

/// Restarts within the window: so many that they are not used up while what ends the controller, such as a full disk, is mended.
const RESTARTS_MAX: u64 = 1_000;
const RESTART_WINDOW_SECS: u64 = 600;

/// Seconds until it must be up; nothing is asked of it at its start, so they are there for the form alone.
const READY_TIMEOUT_SECS: u64 = 60;

/// Seconds that it may take to write down what is under way.
const STOP_GRACE_SECS: u64 = 30;

/// A log is rotated once at this size, as those of modules.
const LOG_BYTES_MAX: u64 = 10 * 1024 * 1024;

/// A cluster with workers, all of it made and nothing of it in the graph but the nodes that the provider made.
pub(crate) struct Parts<'a> {
    /// `cluster.c`
    pub(crate) cluster: &'a Address,
    /// Its real name.
    pub(crate) name: &'a str,
    pub(crate) evaluated: &'a Evaluated,
    pub(crate) workspace: &'a WorkspaceUse,
    pub(crate) provider: &'a ProviderRef,
    /// What the controller has of the provider's configuration.
    pub(crate) config: &'a Value,
    pub(crate) head: NodeSteps,
    /// What must be there before anybody speaks to the head.
    pub(crate) gates: &'a BTreeSet<Address>,
    /// The environment that a `proxy` makes: the controller reaches its cloud through it.
    pub(crate) proxy: &'a Value,
    pub(crate) groups: Vec<(Group<'a>, ResourceSpec, NodeSteps)>,
    /// `scaling`; null without one.
    pub(crate) scaling: Value,
}

impl Parts<'_> {
    fn head(&self) -> Address {
        self.cluster.child("head")
    }
}

/// Puts the steps of the head, its controller and the groups into the graph, and what the controller is told beside it.
pub(crate) fn add_controller(expansion: &mut Expansion<'_>, parts: Parts<'_>) {
    let mut found = Diagnostics::new();
    let mut aside = Aside::new(parts.cluster);
    let mut config = found.take(head_config(&parts, &mut aside));
    found.take(aside.check_impure(parts.evaluated.span));
    for group in config.iter_mut().flat_map(|config| config.groups.values_mut()) {
        group.moved_from = label_before(&expansion.moves, &group.node.address);
    }
    let services = merge_services(&parts, &mut found);
    let (Some(mut config), false) = (config, found.has_errors()) else {
        expansion.found.extend(found);
        return;
    };
    config.services = services;
    let mut steps = bring_up(&parts.head(), &config, parts.proxy);
    steps.iter_mut().for_each(|step| step.depends_on.extend(parts.gates.iter().cloned()));
    steps.extend(parts.head.steps.iter().cloned());
    let own: BTreeSet<Address> = steps.iter().map(|step| step.address.clone()).collect();
    match resources(expansion, &parts, &config, &aside, &own) {
        Ok(resources) => {
            let provider = controller_provider(parts.provider);
            let attributes = Value::object([("provider", Value::from(parts.provider.as_str()))]);
            expansion.graph.providers.insert(provider, ProviderConfig { attributes, span: Span::NONE });
            move_waits(expansion, &parts);
            let nodes = steps.into_iter().map(Node::Step).chain(resources.into_iter().map(Node::Resource));
            for node in nodes {
                let address = match &node {
                    Node::Step(step) => step.address.clone(),
                    Node::Resource(resource) => resource.address.clone(),
                };
                expansion.graph.nodes.insert(address, node);
            }
            if !parts.scaling.is_null() {
                expansion.notes.push(format!("`scaling` of {} is carried and not in effect in this version", parts.cluster));
            }
            expansion.head_configs.insert(parts.cluster.clone(), config);
        }
        Err(error) => {
            let title = format!("the configuration of the head of {} cannot be written: {error}", parts.cluster);
            expansion.found.push(Diagnostic::error("head-config", title).at(parts.evaluated.span));
        }
    }
}

/// What the controller does waits for other blocks before it is told anything.
fn move_waits(expansion: &mut Expansion<'_>, parts: &Parts<'_>) {
    let told = parts.head.delegated.iter().chain(parts.groups.iter().flat_map(|(_, _, made)| &made.steps));
    let waits: Vec<(Address, Span)> = told.filter_map(|step| expansion.wanted.remove(&step.address)).flatten().collect();
    if !waits.is_empty() {
        let mut waits: Vec<(Address, Span)> = waits;
        waits.sort();
        waits.dedup();
        expansion.wanted.insert(controller_address(parts.cluster), waits);
    }
}

fn controller_address(cluster: &Address) -> Address {
    cluster.child(HEAD_CONTROLLER_KIND)
}

fn controller_provider(provider: &ProviderRef) -> ProviderRef {
    ProviderRef::new(format!("{CONTROLLER_PROVIDER}.{provider}"))
}

fn head_config(parts: &Parts<'_>, aside: &mut Aside) -> Result<HeadConfig, Diagnostic> {
    if parts.config.has_sensitive() {
        let title = format!("the configuration of provider `{}` is sensitive, and a head cannot be told it", parts.provider);
        return Err(Diagnostic::error("sensitive-provider", title).at(parts.evaluated.span).help("leave `sensitive` values out of it"));
    }
    let mut groups = BTreeMap::new();
    for (group, node, made) in &parts.groups {
        groups.insert(Arc::clone(&group.label), group_config(group, node, made, aside)?);
    }
    let head_steps = parts.head.delegated.iter().map(|step| aside.step(step)).collect::<Result<_, _>>()?;
    Ok(HeadConfig {
        version: HEAD_CONFIG_VERSION,
        cluster: parts.cluster.clone(),
        name: parts.name.to_owned(),
        provider: parts.provider.clone(),
        provider_config: parts.config.clone(),
        groups,
        head_steps,
        services: BTreeMap::new(),
        secrets: secrets(parts),
        scaling: aside.value(&parts.scaling, &format!("{}/scaling", parts.cluster), false),
    })
}

/// The secrets that the controller makes, with their lengths.
fn secrets(parts: &Parts<'_>) -> BTreeMap<Arc<str>, u64> {
    let groups = parts.groups.iter().flat_map(|(_, _, made)| &made.secrets);
    parts.head.secrets.iter().chain(groups).cloned().collect()
}

fn group_config(group: &Group<'_>, node: &ResourceSpec, made: &NodeSteps, aside: &mut Aside) -> Result<GroupConfig, Diagnostic> {
    let mut node = node.clone();
    node.attributes = aside.value(&node.attributes, &node.address.to_string(), false);
    // What it needs is there before the controller is told of it.
    node.depends_on.clear();
    let steps = made.steps.iter().map(|step| aside.step(step)).collect::<Result<_, _>>()?;
    let membership = |membership: &MembershipConfig| Ok(MembershipConfig { step: aside.step(&membership.step)?, ..membership.clone() });
    let memberships = made.memberships.iter().map(membership).collect::<Result<Vec<_>, Diagnostic>>()?;
    Ok(GroupConfig {
        min: group.min,
        max: group.max,
        quorum: !memberships.is_empty(),
        moved_from: None,
        ready_timeout_secs: group.ready_timeout_secs,
        node,
        steps,
        memberships,
    })
}

/// What all nodes offer, by name. One name is one service.
fn merge_services(parts: &Parts<'_>, found: &mut Diagnostics) -> BTreeMap<Arc<str>, ServiceConfig> {
    let head = parts.head.services.iter().map(|service| (None, service));
    let groups = parts.groups.iter().flat_map(|(group, _, made)| made.services.iter().map(|service| (Some(&group.label), service)));
    let mut all: BTreeMap<Arc<str>, (ServiceConfig, Span)> = BTreeMap::new();
    let mut said = BTreeSet::new();
    for (group, (name, service, span)) in head.chain(groups) {
        let fresh = ServiceConfig { on_head: false, groups: BTreeSet::new(), ..service.clone() };
        let (known, first) = all.entry(Arc::clone(name)).or_insert_with(|| (fresh, *span));
        if known.runtime != service.runtime {
            if said.insert((Arc::clone(name), Arc::clone(&service.runtime))) {
                let title = format!("two runtimes offer a service `{name}`: `{}` and `{}`", known.runtime, service.runtime);
                found.push(
                    Diagnostic::error("duplicate-service", title)
                        .at_saying((*span).max(*first), "the second")
                        .and_at((*span).min(*first), "the first")
                        .help("leave one of them out of the cluster"),
                );
            }
            continue;
        }
        match group {
            None => known.on_head = true,
            Some(group) => {
                known.groups.insert(Arc::clone(group));
            }
        }
    }
    all.into_iter().map(|(name, (service, _))| (name, service)).collect()
}

/// A path below the controller's folder on the head.
fn controller_path(below: &str) -> Value {
    let data = Expr::from(ExprKind::Late(LateName::Node("dirs".into()))).attribute("data");
    let text = TemplatePart::Text(format!("/controller{below}").into());
    Value::deferred(Type::String, ExprKind::Template(vec![TemplatePart::Value(data), text]).into())
}

/// The steps of the command line that bring up the controller: what workers will need, and its process.
fn bring_up(head: &Address, config: &HeadConfig, proxy: &Value) -> Vec<StepSpec> {
    let base = head.child("controller");
    let first = head.child("step").child("host_key");
    let step = |address: Address, kind: StepKind, title: String, inputs: Vec<(&str, Input)>| StepSpec {
        address,
        node: head.clone(),
        kind,
        inputs: inputs.into_iter().map(|(name, input)| (name.to_owned(), input)).collect(),
        depends_on: [head.clone(), first.clone()].into(),
        triggers: BTreeSet::new(),
        frozen: false,
        title,
        lifecycle: Lifecycle::default(),
        span: Span::NONE,
    };
    let mut steps = Vec::new();
    for (name, artifact) in artifacts(config) {
        let address = base.push(Segment { name: "artifact".into(), key: Some(Key::Name(name.into())) });
        let inputs = vec![
            ("path", Input::Value(controller_path(&format!("/artifacts/{}", artifact.sha256)))),
            ("mode", Input::Value("0644".into())),
            ("artifact", Input::Artifact(artifact.clone())),
        ];
        steps.push(step(address, StepKind::File, format!("send {}", artifact.file), inputs));
    }
    let words = [PROGRAM, "controller", "run", "--root"].map(Value::from);
    let argv = words.into_iter().chain([controller_path("")]);
    let number = |number: u64| Input::Value(number.into());
    let mut inputs = vec![
        ("name", Input::Value(DAEMON.into())),
        ("argv", Input::Value(Value::list(argv))),
        ("ready_timeout_secs", number(READY_TIMEOUT_SECS)),
        ("restarts_max", number(RESTARTS_MAX)),
        ("restart_window_secs", number(RESTART_WINDOW_SECS)),
        ("stop_signal", Input::Value("TERM".into())),
        ("stop_grace_secs", number(STOP_GRACE_SECS)),
        ("log_bytes_max", number(LOG_BYTES_MAX)),
    ];
    if !proxy.is_null() {
        inputs.push(("env", Input::Value(proxy.clone())));
    }
    steps.push(step(base.child("daemon"), StepKind::Daemon, "start the controller".to_owned(), inputs));
    steps
}

/// What workers and the controller's steps on the head need, by file name; where two have one name, with the beginning of the digest.
fn artifacts(config: &HeadConfig) -> BTreeMap<String, &Artifact> {
    let steps = config.groups.values().flat_map(|group| &group.steps).chain(&config.head_steps);
    let inputs = steps.flat_map(|step| step.inputs.values());
    let all: BTreeMap<Digest, &Artifact> = inputs
        .filter_map(|input| match input {
            Input::Artifact(artifact) => Some((artifact.sha256, artifact)),
            _ => None,
        })
        .collect();
    let same = |file: &str| all.values().filter(|artifact| artifact.file == file).count();
    let name = |artifact: &Artifact| match same(&artifact.file) {
        1 => artifact.file.clone(),
        _ => format!("{}@{}", artifact.file, artifact.sha256.short()),
    };
    all.values().map(|artifact| (name(artifact), *artifact)).collect()
}

/// Steps as plans show them: their inputs, by what stands behind the node's address.
fn previews<'s>(node: &Address, steps: impl IntoIterator<Item = &'s StepSpec>) -> Value {
    let prefix = format!("{node}.");
    Value::object(steps.into_iter().map(|step| {
        let address = step.address.to_string();
        (address.strip_prefix(&prefix).unwrap_or(&address).to_owned(), step_inputs_preview(&step.inputs))
    }))
}

fn services_value(services: &BTreeMap<Arc<str>, ServiceConfig>) -> Value {
    Value::object(services.iter().map(|(name, service)| {
        let texts = |items: &mut dyn Iterator<Item = &str>| Value::list(items.map(Value::from));
        let fields = [
            ("runtime", Value::from(Arc::clone(&service.runtime))),
            ("type", service.service_type.as_str().into()),
            ("protocol", service.protocol.as_str().into()),
            ("port", service.port.into()),
            ("labels", Value::map(service.labels.iter().map(|(name, label)| (name.as_str(), Value::from(label.as_str()))))),
            ("on_head", service.on_head.into()),
            ("groups", texts(&mut service.groups.iter().map(|group| &**group))),
        ];
        (Arc::clone(name), Value::object(fields))
    }))
}

/// What a worker is made of. Its name is made from names that stand beside it, and each keeps the one that it was made with.
fn without_name(attributes: &Value) -> Value {
    let entries = attributes.entries().into_iter().flatten().filter(|(name, _)| &***name != NODE_NAME);
    Value::object(entries.map(|(name, value)| (Arc::clone(name), value.clone())))
}

/// The resources that stand for the controller and for its groups.
fn resources(
    expansion: &Expansion<'_>,
    parts: &Parts<'_>,
    config: &HeadConfig,
    aside: &Aside,
    own: &BTreeSet<Address>,
) -> Result<Vec<ResourceSpec>, String> {
    let (head, address, provider) = (parts.head(), controller_address(parts.cluster), controller_provider(parts.provider));
    let mark = format!("{}/{}", parts.workspace.name, parts.name);
    let kept = |own: &Lifecycle| Lifecycle {
        prevent_destroy: own.prevent_destroy || parts.evaluated.lifecycle.prevent_destroy,
        timeouts: parts.evaluated.lifecycle.timeouts,
        ..Lifecycle::default()
    };
    let document = String::from_utf8_lossy(&config.to_bytes().map_err(|error| error.to_string())?).into_owned();
    let kind = match expansion.graph.nodes.get(&head) {
        Some(Node::Resource(head)) => Value::from(Arc::clone(&head.kind)),
        _ => Value::NULL,
    };
    let told = parts.groups.iter().flat_map(|(_, _, made)| &made.steps).chain(&parts.head.delegated);
    let outside: BTreeSet<&Address> = told
        .flat_map(|step| &step.depends_on)
        .chain(parts.groups.iter().flat_map(|(_, node, _)| &node.depends_on))
        .filter(|needed| !needed.is_within(&parts.cluster.child("workers")))
        .filter(|needed| !parts.head.delegated.iter().any(|step| step.address == **needed))
        .collect();
    let mut controller = ResourceBuilder::new(address.clone(), HEAD_CONTROLLER_KIND, provider.clone(), parts.evaluated.span)
        .depends_on(outside)
        .depends_on(own)
        .depends_on(parts.gates)
        .depends_on([&head])
        .mark(CLUSTER_TAG, mark.clone())
        .set("cluster", parts.cluster.to_string())
        .set("kind", kind)
        .set("instance", reference(&head, "id", Type::String))
        .set("ssh", reference(&head, "ssh", Type::Any))
        .set("host_key", reference(&head.child("step").child("host_key"), "host_key", Type::String))
        .set("digest", config.digest().map_err(|error| error.to_string())?.to_string())
        .set("document", document)
        .set("references", aside.references())
        .set("secrets", aside.secrets())
        .set("steps", previews(&head, &config.head_steps))
        .set("services", services_value(&config.services));
    if !config.scaling.is_null() {
        controller = controller.set("scaling", preview(&config.scaling));
    }
    let mut controller = controller.build();
    controller.lifecycle = kept(&Lifecycle::default());
    let origin = |span: Span| Origin { span, change: None };
    let places = [
        ("steps", parts.head.delegated.first().map(|step| step.span)),
        ("scaling", parts.evaluated.only("scaling").map(|scaling| scaling.span)),
    ];
    controller.origins.extend(places.into_iter().filter_map(|(name, span)| Some((name.into(), origin(span?)))));
    let mut all = vec![controller];
    for (group, node, _) in &parts.groups {
        let Some(told) = config.groups.get(&group.label) else { continue };
        let members = told.memberships.iter().map(|membership| &membership.step);
        let mut resource = ResourceBuilder::new(told.node.address.clone(), WORKER_GROUP_KIND, provider.clone(), group.block.span)
            // What a worker stands on goes after the workers have left it.
            .depends_on(&node.depends_on)
            .mark(CLUSTER_TAG, mark.clone())
            .set("controller", reference(&address, "id", Type::String))
            .set("group", Arc::clone(&group.label))
            .set("min", group.min)
            .set("max", group.max)
            .set("node", preview(&without_name(&told.node.attributes)))
            .set("steps", previews(&told.node.address, told.steps.iter().chain(members)))
            .set("template", told.template_digest().map_err(|error| error.to_string())?.to_string())
            .set("ready_timeout_secs", group.ready_timeout_secs)
            .build();
        resource.lifecycle = kept(&group.block.lifecycle);
        for name in ["min", "max"] {
            let place = group.block.fields.get(name).map(|field| field.span).filter(|span| !span.is_none());
            resource.origins.insert(name.into(), origin(place.unwrap_or(group.block.span)));
        }
        for name in ["node", "steps"] {
            resource.origins.insert(name.into(), origin(group.block.span));
        }
        all.push(resource);
    }
    Ok(all)
}
