//! Clusters: their nodes, lowered by the workspace's provider, and the steps of each node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::spec::{ClusterSpec, Field, NodeSpec};
use cloudtik_model::{Address, Diagnostic, Diagnostics, Input, Node, StepSpec, Value};
use cloudtik_provider_api::Capabilities;
use cloudtik_syntax::Block;

use crate::check::duration_seconds;
use crate::compile::NodeTimeouts;
use crate::declare::Name;
use crate::evaluate::Evaluated;
use crate::expand::{Expansion, attribute, located};
use crate::files::file_steps;
use crate::runtime::runtime_steps;
use crate::scope::Instance;
use crate::steps::{Chain, host_key_step, setup_steps};
use crate::workspace::{postconditions, real_name, take_lowered, workspace_of};

/// What the steps of one node are made from.
pub(crate) struct NodeContext<'a> {
    /// Real name of the cluster.
    pub(crate) cluster_name: &'a str,
    /// `cluster.c.head`
    pub(crate) node: Address,
    /// `head` or `workers.<group>`.
    pub(crate) role: &'static str,
    /// The cluster's block and the node's.
    pub(crate) blocks: [&'a Evaluated; 2],
    /// The environment of the cluster with the node's merged in.
    pub(crate) env: Value,
    /// What the node can do; `None`: not known without asking.
    pub(crate) capabilities: Option<&'a Capabilities>,
    /// What the cluster's expressions refer to.
    pub(crate) needs: BTreeSet<Address>,
}

impl NodeContext<'_> {
    /// Whether a list of roles names this node.
    pub(crate) fn is_on(&self, roles: &[String]) -> bool {
        roles.iter().any(|role| {
            role == "all" || role == self.role || self.role.strip_prefix(role.as_str()).is_some_and(|rest| rest.starts_with('.'))
        })
    }
}

/// What is wrong with roles that name workers and nothing else: there are none in this version, so it would run nowhere.
pub(crate) fn only_workers(roles: &[String]) -> Option<String> {
    let workers = |role: &String| role == "workers" || role.starts_with("workers.");
    let refused = roles.iter().find(|role| role.starts_with("workers.")).or_else(|| roles.first().filter(|_| roles.iter().all(workers)))?;
    Some(format!("`on = [\"{refused}\"]` is not in effect in this version"))
}

/// Expands a `cluster` block.
pub(crate) fn expand_cluster(expansion: &mut Expansion<'_>, name: &Name, block: &Block) {
    let Name::Cluster(label) = name else { return };
    let Some(instances) = expansion.instances(block) else { return };
    let mut values = Vec::new();
    for instance in &instances.list {
        let address = Address::of("cluster", Arc::clone(label)).with_key(instance.key.clone());
        if let Some(value) = expand_instance(expansion, block, instance, &address, label) {
            values.push((instance.key.clone(), value));
        }
    }
    if values.len() == instances.list.len() {
        expansion.world.values.insert(name.clone(), instances.value(values));
        expansion.world.instances.insert(name.clone(), instances.shape);
    }
}

fn expand_instance(expansion: &mut Expansion<'_>, block: &Block, instance: &Instance, address: &Address, label: &str) -> Option<Value> {
    let schema = expansion.top("cluster");
    let mut found = Diagnostics::new();
    let evaluator = expansion.evaluator(instance);
    let evaluated = evaluator.block(block, &schema, &mut found);
    evaluator.conditions(&block.body, "precondition", &mut found);
    let wanted = attribute(block, "depends_on").map(|attribute| located(&evaluator, &attribute.value, &mut found)).unwrap_or_default();
    let cluster_name = found.take(real_name(&evaluated, label, instance));
    let failed = found.has_errors();
    expansion.found.extend(found);
    let (workspace, provider, definition) = workspace_of(expansion, block, instance)?;
    let cluster_name = cluster_name.filter(|_| !failed)?;
    let place = evaluated.fields.get("name").map_or(evaluated.span, |field| field.span);
    expansion.claim_name(format!("cluster `{cluster_name}` of {}", workspace.address), place);
    let spec = cluster_spec(address, &provider, &workspace.address, &evaluated, cluster_name.clone());
    let (_, _, config) = expansion.use_provider(provider.provider_type())?;
    let errors = expansion.found.len();
    let lowered = definition.lower_cluster(&config, &spec, &workspace, expansion.input.facts);
    let mut exports = take_lowered(expansion, address, block, lowered, &evaluated, &wanted);
    let capabilities = definition.capabilities(&provider, &config, expansion.input.facts);
    if let (Some(head), Some(_)) = (evaluated.only("head"), &spec.head) {
        let context = NodeContext {
            cluster_name: &cluster_name,
            node: address.child("head"),
            role: "head",
            blocks: [&evaluated, head],
            env: merge(&evaluated.value("env"), &head.value("env")),
            capabilities: capabilities.as_ref(),
            needs: evaluated.all_needs(),
        };
        let runtimes = node_steps(expansion, &context, block, instance);
        if let Some(ssh) = head.only("ssh") {
            let seconds = |name: &str| ssh.text(name).and_then(duration_seconds);
            if let (Some(connect_secs), Some(ready_secs)) = (seconds("connect_timeout"), seconds("ready_timeout")) {
                expansion.timeouts.insert(address.child("head"), NodeTimeouts { connect_secs, ready_secs });
            }
        }
        exports = with_runtimes(&exports, runtimes);
    } else {
        refuse_without_head(expansion, &evaluated);
    }
    expansion.clusters.push((spec, provider));
    // What steps with errors would export is not there: whoever refers to it is not told a second time.
    if expansion.found.iter().skip(errors).any(Diagnostic::is_error) {
        return None;
    }
    postconditions(expansion, block, instance, &exports);
    Some(exports)
}

/// What a block asks of nodes and there is no node for is an error, not silence.
fn refuse_without_head(expansion: &mut Expansion<'_>, evaluated: &Evaluated) {
    let blocks = ["setup", "runtime"].into_iter().filter_map(|name| Some((name, evaluated.only(name)?.span)));
    let files = evaluated.fields.get("files").filter(|field| !field.value.is_null()).map(|field| ("files", field.span));
    for (name, span) in blocks.chain(files) {
        expansion.found.push(
            Diagnostic::error("no-nodes", format!("the cluster has no head, so there is no node for this `{name}`"))
                .at(span)
                .help("add `head {}` to the cluster"),
        );
    }
}

/// All steps of a node, in order: first contact, files, commands, runtimes, commands.
fn node_steps(expansion: &mut Expansion<'_>, context: &NodeContext<'_>, block: &Block, instance: &Instance) -> BTreeMap<Arc<str>, Value> {
    let mut found = Diagnostics::new();
    let mut steps: Vec<StepSpec> = Vec::new();
    let mut chain = Chain::new([context.node.clone()].into());
    chain.one(host_key_step(context), &mut steps);
    chain.together(file_steps(expansion, context, &mut found), &mut steps);
    setup_steps(expansion, context, "before_runtimes", &mut chain, &mut steps, &mut found);
    let (made, exports) = runtime_steps(expansion, context, block, instance, chain.after(), &mut found);
    chain.join(made, &mut steps);
    for phase in ["after_runtimes", "on_start", "on_stop"] {
        setup_steps(expansion, context, phase, &mut chain, &mut steps, &mut found);
    }
    expansion.found.extend(found);
    for mut step in steps {
        step.depends_on.insert(context.node.clone());
        step.depends_on.extend(context.needs.iter().cloned());
        for input in step.inputs.values() {
            match input {
                Input::Value(value) => value.addresses(&mut step.depends_on),
                Input::Template(template) => template.bindings.addresses(&mut step.depends_on),
                Input::Artifact(_) => {}
            }
        }
        expansion.graph.nodes.insert(step.address.clone(), Node::Step(step));
    }
    exports
}

fn cluster_spec(
    address: &Address,
    provider: &cloudtik_model::ProviderRef,
    workspace: &Address,
    evaluated: &Evaluated,
    name: String,
) -> ClusterSpec {
    let mut fields = evaluated.fields.clone();
    let span = fields.get("name").map_or(evaluated.span, |field| field.span);
    fields.insert("name".into(), Field::new(name.into(), span));
    let head = evaluated.only("head").map(|head| {
        let mut fields = head.fields.clone();
        let tags = merge(&evaluated.value("tags"), &head.value("tags"));
        let span = fields.get("tags").or(evaluated.fields.get("tags")).map_or(head.span, |field| field.span);
        if !tags.is_null() {
            fields.insert("tags".into(), Field::new(tags, span));
        }
        if let Some(publish) = head.only("local").map(|local| local.field("publish")).filter(|field| !field.value.is_null()) {
            fields.insert("publish".into(), publish);
        }
        NodeSpec { address: address.child("head"), span: head.span, fields, lifecycle: head.lifecycle.clone() }
    });
    ClusterSpec {
        address: address.clone(),
        span: evaluated.span,
        provider: provider.clone(),
        workspace: workspace.clone(),
        fields,
        workers: BTreeMap::new(),
        workers_max: 0,
        head,
        depends_on: BTreeSet::new(),
        lifecycle: evaluated.lifecycle.clone(),
    }
}

/// Two maps as one; the second wins. Null is no map; a deferred one wins whole.
pub(crate) fn merge(first: &Value, second: &Value) -> Value {
    match (first.entries(), second.entries()) {
        (Some(a), Some(b)) => {
            let all = a.iter().chain(b).map(|(name, value)| (Arc::clone(name), value.clone()));
            Value::map(all).marked(first.is_sensitive() || second.is_sensitive())
        }
        _ if second.is_null() => first.clone(),
        _ => second.clone(),
    }
}

fn with_runtimes(exports: &Value, runtimes: BTreeMap<Arc<str>, Value>) -> Value {
    let entries = exports.entries().into_iter().flatten().map(|(name, value)| (Arc::clone(name), value.clone()));
    Value::object(entries.chain(std::iter::once((Arc::from("runtime"), Value::object(runtimes)))))
}
