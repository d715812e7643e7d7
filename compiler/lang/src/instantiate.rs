//! A worker from its template, and the head's steps that follow workers: addresses get the worker's number, and what is known by now is
//! filled in. Pure: the compiler previews with it, and the controller makes workers with it.
//!
//! It does not know where values come from, and it decides nothing: a step whose values are not there yet is left out and named, with what
//! depends on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::{
    Address, Diagnostic, Diagnostics, GroupConfig, Input, Key, LateName, MembershipConfig, ResourceSpec, StepSpec, Value,
};

use crate::{Context, Found, Scope, Traversal, resolve};

/// The late values of a group and of services, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LateValues {
    /// By name. Of services and secrets that are not here nothing is known yet.
    pub values: BTreeMap<LateName, Value>,
}

/// What fills a template.
#[derive(Clone, Copy, Debug)]
pub struct Filling<'a> {
    /// What the template refers to beside itself: an object for each address.
    pub references: &'a BTreeMap<Address, Value>,
    /// The values as they are now.
    pub live: &'a LateValues,
    /// The names whose values of the node's first configure are kept: a frozen step has them when it is rendered.
    pub frozen: &'a BTreeSet<LateName>,
}

/// A worker, or what the controller does on the head.
#[derive(Clone, Debug, Default)]
pub struct Fragment {
    /// The worker itself; none for the head.
    pub node: Option<ResourceSpec>,
    /// The steps whose values are there, each after those that it depends on.
    pub steps: Vec<StepSpec>,
    /// How it becomes a member, for every membership whose steps before are all there.
    pub memberships: Vec<MembershipConfig>,
    /// The steps that wait for values, and what depends on them.
    pub waiting: BTreeSet<Address>,
}

/// The address of something of a group, as it is of one worker.
#[must_use]
pub fn worker_address(address: &Address, group: &Address, sequence: u64) -> Address {
    if !address.is_within(group) {
        return address.clone();
    }
    let label = group.segments().len().saturating_sub(1);
    Address::new(address.segments().iter().enumerate().map(|(place, segment)| {
        let mut segment = segment.clone();
        if place == label {
            segment.key = Some(Key::Index(sequence));
        }
        segment
    }))
}

/// A worker of a group.
///
/// # Errors
/// An expression of the template fails with these values.
pub fn instantiate(group: &GroupConfig, sequence: u64, filling: Filling<'_>) -> Result<Fragment, Diagnostics> {
    let place = group.node.address.clone();
    let slot = Slot { filling, worker: Some((&place, sequence)) };
    let mut node = group.node.clone();
    node.address = slot.address(&node.address);
    node.attributes = slot.fill(&node.attributes)?;
    node.depends_on.clear();
    let memberships = group.memberships.iter().map(|membership| slot.membership(membership)).collect::<Result<_, _>>()?;
    let mut fragment = slot.steps(&group.steps, memberships)?;
    fragment.node = Some(node);
    Ok(fragment)
}

/// The steps of the head that follow what happens to workers.
///
/// # Errors
/// An expression of a step fails with these values.
pub fn instantiate_head(steps: &[StepSpec], filling: Filling<'_>) -> Result<Fragment, Diagnostics> {
    Slot { filling, worker: None }.steps(steps, Vec::new())
}

/// The late names in the inputs of a step.
#[must_use]
pub fn late_names_of(step: &StepSpec) -> BTreeSet<LateName> {
    let mut names = BTreeSet::new();
    for input in step.inputs.values() {
        match input {
            Input::Value(value) => value.late_names(&mut names),
            Input::Template(template) => template.bindings.late_names(&mut names),
            Input::Artifact(_) => {}
        }
    }
    names
}

/// One worker, or the head.
struct Slot<'a> {
    filling: Filling<'a>,
    worker: Option<(&'a Address, u64)>,
}

impl Slot<'_> {
    fn address(&self, address: &Address) -> Address {
        self.worker.map_or_else(|| address.clone(), |(group, sequence)| worker_address(address, group, sequence))
    }

    fn addresses(&self, addresses: &BTreeSet<Address>) -> BTreeSet<Address> {
        addresses.iter().map(|address| self.address(address)).collect()
    }

    fn fill(&self, value: &Value) -> Result<Value, Diagnostics> {
        resolve(value, &Context::new(&SlotScope { slot: self, keep_group: false }))
    }

    /// Of a frozen step, the values of the group and of services are filled in when it is rendered.
    fn fill_step(&self, step: &StepSpec) -> Result<StepSpec, Diagnostics> {
        let scope = SlotScope { slot: self, keep_group: step.frozen };
        let context = Context::new(&scope);
        let mut step = step.clone();
        for input in step.inputs.values_mut() {
            match input {
                Input::Value(value) => *value = resolve(value, &context)?,
                Input::Template(template) => template.bindings = resolve(&template.bindings, &context)?,
                Input::Artifact(_) => {}
            }
        }
        step.address = self.address(&step.address);
        step.node = self.address(&step.node);
        step.depends_on = self.addresses(&step.depends_on);
        step.triggers = self.addresses(&step.triggers);
        Ok(step)
    }

    fn membership(&self, membership: &MembershipConfig) -> Result<MembershipConfig, Diagnostics> {
        Ok(MembershipConfig {
            address: self.address(&membership.address),
            depends_on: self.addresses(&membership.depends_on),
            step: self.fill_step(&membership.step)?,
        })
    }

    fn steps(&self, steps: &[StepSpec], memberships: Vec<MembershipConfig>) -> Result<Fragment, Diagnostics> {
        let mut fragment = Fragment::default();
        let mut memberships: BTreeMap<Address, MembershipConfig> =
            memberships.into_iter().map(|membership| (membership.address.clone(), membership)).collect();
        for step in steps {
            let filled = self.fill_step(step)?;
            // A membership stands before the steps that need it, wherever the template has it.
            for address in filled.depends_on.iter().filter(|address| memberships.contains_key(*address)).cloned().collect::<Vec<_>>() {
                if let Some(membership) = memberships.remove(&address) {
                    if membership.depends_on.iter().any(|needed| fragment.waiting.contains(needed)) {
                        fragment.waiting.insert(address);
                    } else {
                        fragment.memberships.push(membership);
                    }
                }
            }
            let blocked = filled.depends_on.iter().any(|needed| fragment.waiting.contains(needed)) || !self.has_values(&filled);
            if blocked {
                fragment.waiting.insert(filled.address);
            } else {
                fragment.steps.push(filled);
            }
        }
        fragment.memberships.extend(memberships.into_values());
        // What is outside is there before the controller is told anything.
        let own: BTreeSet<Address> = fragment
            .steps
            .iter()
            .map(|step| step.address.clone())
            .chain(fragment.memberships.iter().map(|membership| membership.address.clone()))
            .chain(self.worker.map(|(group, sequence)| worker_address(group, group, sequence)))
            .collect();
        for step in &mut fragment.steps {
            step.depends_on.retain(|needed| own.contains(needed));
            step.triggers.retain(|needed| own.contains(needed));
        }
        for membership in &mut fragment.memberships {
            membership.depends_on.retain(|needed| own.contains(needed));
        }
        Ok(fragment)
    }

    /// Whether nothing but what the node itself tells is missing.
    fn has_values(&self, step: &StepSpec) -> bool {
        late_names_of(step).iter().all(|name| match name {
            LateName::Node(_) => true,
            name => step.frozen && self.filling.frozen.contains(name),
        })
    }
}

/// The names of a template.
struct SlotScope<'a> {
    slot: &'a Slot<'a>,
    keep_group: bool,
}

impl Scope for SlotScope<'_> {
    fn lookup(&self, traversal: &Traversal<'_>) -> Result<Found, Diagnostics> {
        Err(Diagnostic::error("unknown-name", format!("there is no name `{}` here", traversal.root)).into())
    }

    fn reference(&self, address: &Address) -> Option<Value> {
        let own = self.slot.address(address);
        if own != *address {
            let reference = cloudtik_model::Expr::from(cloudtik_model::ExprKind::Reference(own));
            return Some(Value::deferred(cloudtik_model::Type::Any, reference));
        }
        self.slot.filling.references.get(address).cloned()
    }

    fn late(&self, name: &LateName) -> Option<Value> {
        match (name, self.slot.worker) {
            (LateName::Node(part), Some((_, sequence))) if &**part == "sequence" => Some(sequence.into()),
            (LateName::Node(_), _) => None,
            (LateName::Secret(_), _) => self.slot.filling.live.values.get(name).cloned(),
            _ if self.keep_group => None,
            (name, _) => self.slot.filling.live.values.get(name).cloned(),
        }
    }
}

/// Fills the late values of frozen steps, when one is rendered.
///
/// # Errors
/// An expression fails with these values.
pub fn fill_late(value: &Value, late: &LateValues) -> Result<Value, Diagnostics> {
    resolve(value, &Context::new(&LateScope(late)))
}

struct LateScope<'a>(&'a LateValues);

impl Scope for LateScope<'_> {
    fn lookup(&self, traversal: &Traversal<'_>) -> Result<Found, Diagnostics> {
        Err(Diagnostic::error("unknown-name", format!("there is no name `{}` here", traversal.root)).into())
    }

    fn late(&self, name: &LateName) -> Option<Value> {
        self.0.values.get(name).cloned()
    }
}

/// The members of a group as the value of `group.members`: those whose addresses are known, by sequence.
#[must_use]
pub fn members_value(members: &BTreeMap<u64, Value>) -> Value {
    let member = |(sequence, node): (&u64, &Value)| {
        let part = |name: &str| node.get(name).cloned().unwrap_or(Value::NULL);
        let fields: [(Arc<str>, Value); 4] = [
            ("id".into(), part("id")),
            ("sequence".into(), (*sequence).into()),
            ("address".into(), part("address")),
            ("names".into(), part("names")),
        ];
        Value::object(fields)
    };
    Value::list(members.iter().map(member))
}
