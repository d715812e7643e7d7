//! The steps of one node: what is done on a head, or on each worker of a group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::spec::ListenPort;
use cloudtik_model::{Address, Diagnostics, Input, MembershipConfig, ServiceConfig, Span, StepSpec, Value};
use cloudtik_provider_api::Capabilities;

use crate::discover::Discovered;
use crate::evaluate::Evaluated;
use crate::expand::Expansion;
use crate::files::file_steps;
use crate::roles::names_role;
use crate::runtime::{Runtimes, runtime_steps};
use crate::steps::{Chain, host_key_step, setup_steps};

/// The role of the head.
pub(crate) const HEAD: &str = "head";

/// What the steps of one node are made from.
pub(crate) struct NodeContext<'a> {
    /// Real name of the cluster.
    pub(crate) cluster_name: &'a str,
    /// The suffix of names of services and nodes.
    pub(crate) domain: &'a Value,
    /// `cluster.c.head`, `cluster.c.workers.g`
    pub(crate) node: Address,
    /// `head` or `workers.<group>`.
    pub(crate) role: String,
    /// The labels of the cluster's groups.
    pub(crate) groups: &'a BTreeSet<Arc<str>>,
    /// Whether there is a controller on the head.
    pub(crate) has_workers: bool,
    /// The runtimes that the group names; all of them without.
    pub(crate) runtimes: Option<&'a BTreeSet<String>>,
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
        names_role(roles, &self.role)
    }

    pub(crate) fn is_worker(&self) -> bool {
        self.role != HEAD
    }
}

/// What is done on a node.
#[derive(Default)]
pub(crate) struct NodeSteps {
    /// Each after those that it depends on.
    pub(crate) steps: Vec<StepSpec>,
    /// Of a head: those that follow workers, so that its controller does them.
    pub(crate) delegated: Vec<StepSpec>,
    pub(crate) exports: BTreeMap<Arc<str>, Value>,
    pub(crate) memberships: Vec<MembershipConfig>,
    pub(crate) services: Vec<(Arc<str>, ServiceConfig, Span)>,
    pub(crate) secrets: Vec<(Arc<str>, u64)>,
    pub(crate) ports: BTreeSet<ListenPort>,
}

/// All steps of a node, in order: first contact, files, commands, runtimes, commands.
pub(crate) fn node_steps(
    expansion: &mut Expansion<'_>,
    context: &NodeContext<'_>,
    runtimes: &Runtimes<'_>,
    discovered: &Discovered,
    found: &mut Diagnostics,
) -> NodeSteps {
    let mut steps: Vec<StepSpec> = Vec::new();
    let mut chain = Chain::new([context.node.clone()].into());
    chain.one(host_key_step(context), &mut steps);
    chain.together(file_steps(expansion, context, found), &mut steps);
    setup_steps(expansion, context, "before_runtimes", &mut chain, &mut steps, found);
    let made = runtime_steps(expansion, context, runtimes, discovered, chain.after(), found);
    chain.join(made.steps, &mut steps);
    let before = steps.len();
    for phase in ["after_runtimes", "on_start", "on_stop"] {
        setup_steps(expansion, context, phase, &mut chain, &mut steps, found);
    }
    for step in &mut steps {
        step.depends_on.insert(context.node.clone());
        step.depends_on.extend(context.needs.iter().cloned());
        for input in step.inputs.values() {
            match input {
                Input::Value(value) => value.addresses(&mut step.depends_on),
                Input::Template(template) => template.bindings.addresses(&mut step.depends_on),
                Input::Artifact(_) => {}
            }
        }
    }
    // What comes after a runtime of the controller's comes after it there.
    let is_delegated =
        |(at, step): (usize, &StepSpec)| made.delegated.contains(&step.address) || at >= before && !made.delegated.is_empty();
    let split: Vec<bool> = steps.iter().enumerate().map(is_delegated).collect();
    let (mut own, mut delegated) = (Vec::new(), Vec::new());
    for (step, is_delegated) in steps.into_iter().zip(split) {
        if is_delegated { &mut delegated } else { &mut own }.push(step);
    }
    let crate::runtime::OnNode { exports, memberships, services, secrets, ports, .. } = made;
    NodeSteps { steps: own, delegated, exports, memberships, services, secrets, ports }
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
