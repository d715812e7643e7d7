//! Clusters: their nodes, lowered by the workspace's provider, and the steps of each node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::spec::{ClusterSpec, Field, NodeSpec, Part};
use cloudtik_model::{
    Address, ConditionKind, Diagnostic, Diagnostics, Lifecycle, Node, ProviderRef, ResourceSpec, Value, duration_seconds,
};
use cloudtik_provider_api::Capabilities;
use cloudtik_syntax::Block;

use crate::compile::NodeTimeouts;
use crate::controller::{Parts, add_controller};
use crate::declare::Name;
use crate::discover::discover;
use crate::dynamic::Unrolled;
use crate::evaluate::Evaluated;
use crate::expand::{Expansion, attribute, located};
use crate::node::{HEAD, NodeContext, NodeSteps, merge, node_steps};
use crate::proxy::{check_proxy, domain, proxy_environment};
use crate::runtime::{Runtime, check_places, read_runtimes};
use crate::scope::Instance;
use crate::template::Inherited;
use crate::workers::{Group, block_value, read_groups, workers_max};
use crate::workspace::{firewall_spec, of_block, postconditions, real_name, take_lowered, workspace_of};

/// Expands a `cluster` block.
pub(crate) fn expand_cluster(expansion: &mut Expansion<'_>, name: &Name, block: &Block) {
    let Name::Cluster(label) = name else { return };
    let schema = expansion.top("cluster");
    let Some(inherited) = Inherited::of(expansion, block, &schema) else { return };
    let Some(instances) = expansion.instances(&inherited.block) else { return };
    let mut values = Vec::new();
    for instance in &instances.list {
        let address = expansion.address("cluster", label).with_key(instance.key.clone());
        if let Some(value) = expand_instance(expansion, &inherited, instance, &address, label) {
            values.push((instance.key.clone(), value));
        }
    }
    if values.len() == instances.list.len() {
        expansion.world.values.insert(name.clone(), instances.value(values));
        expansion.world.instances.insert(name.clone(), instances.shape);
    }
}

fn expand_instance(
    expansion: &mut Expansion<'_>,
    inherited: &Inherited<'_>,
    instance: &Instance,
    address: &Address,
    label: &str,
) -> Option<Value> {
    let schema = expansion.top("cluster");
    let mut found = Diagnostics::new();
    let Unrolled { block, instance } = inherited.unrolled(expansion, instance, &schema, &mut found);
    let (block, instance) = (&*block, &*instance);
    expansion.write_spec(address, block, instance, &schema);
    let evaluator = expansion.evaluator(instance);
    let mut evaluated = evaluator.block(block, &schema, &mut found);
    let conditions = evaluator.conditions(&block.body, &of_block(ConditionKind::Precondition, address), &mut found);
    conditions.iter().for_each(|condition| condition.condition.addresses(&mut evaluated.needs));
    let wanted = attribute(block, "depends_on").map(|attribute| located(&evaluator, &attribute.value, &mut found)).unwrap_or_default();
    let cluster_name = found.take(real_name(&evaluated, label, instance));
    let failed = found.has_errors();
    expansion.found.extend(found);
    let (workspace, definition) = workspace_of(expansion, block, instance)?;
    let provider = workspace.provider.clone();
    let cluster_name = cluster_name.filter(|_| !failed)?;
    let place = evaluated.fields.get("name").map_or(evaluated.span, |field| field.span);
    expansion.claim_name(format!("cluster `{cluster_name}` of {}", workspace.address), place);
    let mut found = Diagnostics::new();
    check_proxy(&evaluated, &mut found);
    let groups = read_groups(&evaluated, &mut found);
    let scaling = block.body.blocks.iter().find(|inner| &*inner.kind.name == "scaling");
    let scaling = scaling.map_or(Value::NULL, |inner| block_value(&expansion.evaluator(instance), inner, &mut found));
    let failed = found.has_errors();
    expansion.found.extend(found);
    if failed {
        return None;
    }
    let mut spec = cluster_spec(address, &provider, &workspace.address, &evaluated, cluster_name.clone(), &groups);
    let config = expansion.use_provider(&provider)?.config;
    let errors = expansion.found.len();
    expansion.notes.extend(notes_of_other_providers(&spec));
    expansion.found.extend(check_nodes(&spec));
    let capabilities = definition.capabilities(&provider, &config, expansion.input.facts);
    let proxy = proxy_environment(&evaluated, &workspace);
    if !proxy.is_null() {
        let span = evaluated.only("proxy").map_or(evaluated.span, |own| own.span);
        spec.fields.insert("proxy".into(), Field::new(proxy.clone(), span));
    }
    let domain = domain(&workspace);
    let nodes =
        Nodes { address, name: &cluster_name, domain: &domain, evaluated: &evaluated, proxy: &proxy, capabilities: capabilities.as_ref() };
    let (made, runtimes) = if spec.head.is_some() { nodes.steps(expansion, &groups, block, instance) } else { Default::default() };
    listen(&mut spec, &groups, &made);
    let mut lowered = definition.lower_cluster(&config, &spec, &workspace, expansion.input.facts);
    let (templates, gates) = (std::mem::take(&mut lowered.workers), std::mem::take(&mut lowered.gates));
    let mut exports = take_lowered(expansion, address, block, lowered, &evaluated, &wanted);
    if let (Some(head), Some(_)) = (evaluated.only("head"), &spec.head) {
        if let Some(ssh) = head.only("ssh") {
            let seconds = |name: &str| ssh.text(name).and_then(duration_seconds);
            if let (Some(connect_secs), Some(ready_secs)) = (seconds("connect_timeout"), seconds("ready_timeout")) {
                expansion.timeouts.insert(address.child("head"), NodeTimeouts { connect_secs, ready_secs });
            }
        }
        exports = with_parts(&exports, runtimes, &groups);
        let failed = expansion.found.iter().skip(errors).any(Diagnostic::is_error);
        let mut made = made.into_iter();
        let mut head = made.next().unwrap_or_default();
        head.steps.iter_mut().for_each(|step| step.depends_on.extend(gates.iter().cloned()));
        if groups.is_empty() {
            for step in head.steps {
                expansion.graph.nodes.insert(step.address.clone(), Node::Step(step));
            }
        } else if !failed {
            let with_templates = with_templates(expansion, &provider, groups, templates, made);
            let parts = Parts {
                cluster: address,
                name: &cluster_name,
                evaluated: &evaluated,
                workspace: &workspace,
                provider: &provider,
                config: &definition.config_for_head(&config),
                head,
                gates: &gates,
                proxy: &proxy,
                groups: with_templates,
                scaling,
            };
            add_controller(expansion, parts);
        }
    } else {
        refuse_without_head(expansion, &evaluated);
    }
    expansion.clusters.push((spec, provider));
    // What steps with errors would export is not there: whoever refers to it is not told a second time.
    if expansion.found.iter().skip(errors).any(Diagnostic::is_error) {
        return None;
    }
    expansion.graph.conditions.extend(conditions);
    postconditions(expansion, block, instance, (address, &exports));
    Some(exports)
}

/// Says of each node what its runtimes listen on: the head's steps come first, then those of each group.
fn listen(spec: &mut ClusterSpec, groups: &[Group<'_>], made: &[NodeSteps]) {
    let mut made = made.iter();
    if let (Some(head), Some(steps)) = (&mut spec.head, made.next()) {
        head.ports.clone_from(&steps.ports);
    }
    for (group, steps) in groups.iter().zip(made) {
        if let Some(worker) = spec.workers.get_mut(&group.label) {
            worker.ports.clone_from(&steps.ports);
        }
    }
}

/// The groups with what the provider makes of their workers, and their steps.
fn with_templates<'e>(
    expansion: &mut Expansion<'_>,
    provider: &ProviderRef,
    groups: Vec<Group<'e>>,
    mut templates: BTreeMap<Arc<str>, ResourceSpec>,
    made: impl Iterator<Item = NodeSteps>,
) -> Vec<(Group<'e>, ResourceSpec, NodeSteps)> {
    let mut all = Vec::new();
    for (group, steps) in groups.into_iter().zip(made) {
        match templates.remove(&group.label) {
            Some(template) => all.push((group, expansion.with_default_tags(template), steps)),
            None => expansion.found.push(
                Diagnostic::error("no-workers", format!("provider `{provider}` makes no workers in this version")).at(group.block.span),
            ),
        }
    }
    all
}

/// The nodes of a cluster.
struct Nodes<'a> {
    /// `cluster.c`
    address: &'a Address,
    name: &'a str,
    /// The suffix of names in the workspace.
    domain: &'a Value,
    evaluated: &'a Evaluated,
    /// The environment that a `proxy` makes.
    proxy: &'a Value,
    capabilities: Option<&'a Capabilities>,
}

impl Nodes<'_> {
    /// The steps of the head, then those of each group; and what runtimes export.
    fn steps(
        &self,
        expansion: &mut Expansion<'_>,
        groups: &[Group<'_>],
        block: &Block,
        instance: &Instance,
    ) -> (Vec<NodeSteps>, BTreeMap<Arc<str>, Value>) {
        let labels: BTreeSet<Arc<str>> = groups.iter().map(|group| Arc::clone(&group.label)).collect();
        let head = self.evaluated.only("head").map(|own| self.context(self.address.child("head"), HEAD.to_owned(), own, &labels, None));
        let workers = groups.iter().map(|group| {
            let node = self.address.child("workers").child(Arc::clone(&group.label));
            self.context(node, format!("workers.{}", group.label), group.block, &labels, group.runtimes.as_ref())
        });
        let contexts: Vec<NodeContext<'_>> = head.into_iter().chain(workers).collect();
        let mut found = Diagnostics::new();
        let runtimes = read_runtimes(expansion, self.address, self.evaluated, &labels, (block, instance), &mut found);
        check_places(&runtimes, &contexts, &mut found);
        let running: Vec<&Runtime<'_>> =
            runtimes.list.iter().filter(|runtime| contexts.iter().any(|context| runtime.is_on(context))).collect();
        let discovered = discover(&running, !labels.is_empty(), &mut found);
        let mut made = Vec::new();
        let mut exports: BTreeMap<Arc<str>, Value> = BTreeMap::new();
        for context in &contexts {
            let node = node_steps(expansion, context, &runtimes, &discovered, &mut found);
            for (label, exported) in &node.exports {
                // Which workers there are is never a value of the spec.
                let exported = if context.is_worker() { without(exported, "endpoints") } else { exported.clone() };
                exports.entry(Arc::clone(label)).or_insert(exported);
            }
            made.push(node);
        }
        // What is wrong with what several nodes have is said once.
        let mut seen = BTreeSet::new();
        let place = |diagnostic: &Diagnostic| diagnostic.primary.as_ref().map(|label| label.span);
        let first = |diagnostic: &Diagnostic| seen.insert((diagnostic.code, diagnostic.title.clone(), place(diagnostic)));
        expansion.found.extend(found.into_iter().filter(first).collect::<Vec<_>>());
        (made, exports)
    }

    fn context<'c>(
        &'c self,
        node: Address,
        role: String,
        own: &'c Evaluated,
        groups: &'c BTreeSet<Arc<str>>,
        runtimes: Option<&'c BTreeSet<String>>,
    ) -> NodeContext<'c> {
        NodeContext {
            cluster_name: self.name,
            domain: self.domain,
            node,
            role,
            groups,
            has_workers: !groups.is_empty(),
            runtimes,
            blocks: [self.evaluated, own],
            env: merge(self.proxy, &merge(&self.evaluated.value("env"), &own.value("env"))),
            capabilities: self.capabilities,
            needs: self.evaluated.all_needs(),
        }
    }
}

fn without(object: &Value, name: &str) -> Value {
    let entries = object.entries().into_iter().flatten().filter(|(other, _)| ***other != *name);
    Value::object(entries.map(|(name, value)| (Arc::clone(name), value.clone())))
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

fn cluster_spec(
    address: &Address,
    provider: &ProviderRef,
    workspace: &Address,
    evaluated: &Evaluated,
    name: String,
    groups: &[Group<'_>],
) -> ClusterSpec {
    let mut fields = evaluated.fields.clone();
    let span = fields.get("name").map_or(evaluated.span, |field| field.span);
    fields.insert("name".into(), Field::new(name.into(), span));
    let head = evaluated.only("head").map(|head| {
        let mut node = node_spec(address.child("head"), evaluated, head);
        if let Some(publish) = head.only("local").map(|local| local.field("publish")).filter(|field| !field.value.is_null()) {
            node.fields.insert("publish".into(), publish);
        }
        node
    });
    let worker = |group: &Group<'_>| {
        let label = Arc::clone(&group.label);
        (Arc::clone(&label), node_spec(address.child("workers").child(label), evaluated, group.block))
    };
    ClusterSpec {
        address: address.clone(),
        span: evaluated.span,
        provider: provider.clone(),
        workspace: workspace.clone(),
        fields,
        firewall: evaluated.only("firewall").map(firewall_spec),
        workers: groups.iter().map(worker).collect(),
        workers_max: workers_max(evaluated, groups),
        head,
        depends_on: BTreeSet::new(),
        lifecycle: evaluated.lifecycle.clone(),
    }
}

fn node_spec(address: Address, cluster: &Evaluated, node: &Evaluated) -> NodeSpec {
    let mut fields = node.fields.clone();
    let tags = merge(&cluster.value("tags"), &node.value("tags"));
    let span = fields.get("tags").or(cluster.fields.get("tags")).map_or(node.span, |field| field.span);
    if !tags.is_null() {
        fields.insert("tags".into(), Field::new(tags, span));
    }
    let own = |name: &str| {
        let block = node.only(name)?;
        Some((Arc::from(name), Part { span: block.span, fields: block.fields.clone(), lifecycle: Lifecycle::default() }))
    };
    let own = ["aws", "local"].into_iter().filter_map(own).collect();
    NodeSpec { address, span: node.span, fields, ports: BTreeSet::new(), own, lifecycle: node.lifecycle.clone() }
}

/// A block that is named after another provider has no effect, which the plan says. The simulated cloud publishes ports as the local one.
fn notes_of_other_providers(spec: &ClusterSpec) -> Vec<String> {
    let provider = spec.provider.provider_type();
    let other = |name: &str| name != provider && (name, provider) != ("local", "sim");
    let nodes = spec.head.iter().chain(spec.workers.values());
    let note =
        |node: &NodeSpec, name: &str| format!("{}: the block `{name}` has no effect with provider `{}`", node.address, spec.provider);
    nodes.flat_map(|node| node.own.keys().filter(|name| other(name)).map(|name| note(node, name)).collect::<Vec<_>>()).collect()
}

/// Values that exclude each other.
fn check_nodes(spec: &ClusterSpec) -> Diagnostics {
    let mut found = Diagnostics::new();
    for node in spec.workers.values() {
        let written = |name: &str| node.fields.get(name).filter(|field| !field.value.is_null());
        if let (Some(one), Some(many)) = (written("instance_type"), written("instance_types")) {
            found.push(
                Diagnostic::error("one-or-many", "a group has `instance_type` or `instance_types`, not both")
                    .at(one.span)
                    .and_at(many.span, "the other one"),
            );
        }
    }
    found
}

/// What the provider exports, with what runtimes and groups do.
fn with_parts(exports: &Value, runtimes: BTreeMap<Arc<str>, Value>, groups: &[Group<'_>]) -> Value {
    let entries = exports.entries().into_iter().flatten().map(|(name, value)| (Arc::clone(name), value.clone()));
    let mut all: BTreeMap<Arc<str>, Value> = entries.collect();
    all.insert("runtime".into(), Value::object(runtimes));
    if !groups.is_empty() {
        let group = |group: &Group<'_>| {
            (Arc::clone(&group.label), Value::object([("min", Value::from(group.min)), ("max", Value::from(group.max))]))
        };
        all.insert("workers".into(), Value::object(groups.iter().map(group)));
    }
    Value::object(all)
}
