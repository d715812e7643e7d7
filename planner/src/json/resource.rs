//! Resources as they will be, and as they were.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, Deref};

use cloudtik_model::{Address, Key, ProviderRef, Value};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::change::{after, before};
use super::module::{Module, Resources};
use super::value::{Named, Plain, Secret};
use super::{OutputValue, STATE_FORMAT_VERSION, TERRAFORM_VERSION};
use crate::{Change, Plan};

/// What a resource is called where tools look for it by type and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResourceName<'a> {
    /// Always `managed`.
    pub(super) mode: &'static str,
    /// The kind.
    pub(super) kind: &'a str,
    /// A word that no other resource of the kind has, but for the other instances of its block.
    pub(super) name: Cow<'a, str>,
    /// The key of the instance.
    pub(super) index: Option<Index<'a>>,
}

/// The key of an instance.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub(super) enum Index<'a> {
    /// Of `count`, and of what is numbered.
    Number(u64),
    /// Of `for_each`, and of what is named.
    Name(&'a str),
}

/// What blocks are called that would have the name of another block of their kind and module: by address, without keys of modules or instances.
#[derive(Clone, Debug, Default)]
pub struct ResourceNames(BTreeMap<Address, String>);

/// The blocks that share a name, by name; of each whether its name is made of its address.
type Sharing = BTreeMap<String, BTreeSet<(bool, Address)>>;

/// A kind in a module, whatever the keys of that are.
type Place<'a> = (Option<Address>, &'a str);

fn place<'a>(address: &Address, kind: &'a str) -> Place<'a> {
    (address.module().map(|module| module.without_keys()), kind)
}

/// The block that an address is an instance of, whatever the keys of the modules around are.
pub(super) fn block_of(address: &Address) -> Address {
    match address.module() {
        None => address.without_key(),
        Some(module) => Address::new(address.in_module().iter().cloned()).without_key().inside(Some(&module.without_keys())),
    }
}

impl ResourceNames {
    /// Of resources by their kind. Who has the name in the spec keeps it; of all others that share one, the first by address. Only names that
    /// are made of an address can be shared, so only these are held.
    pub fn of<'a, I>(resources: I) -> Self
    where
        I: IntoIterator<Item = (&'a Address, &'a str)> + Clone,
    {
        let mut blocks: BTreeMap<Place<'_>, Sharing> = BTreeMap::new();
        // Names in the spec that look as if they were made here.
        let mut taken: BTreeSet<(Place<'_>, &str)> = BTreeSet::new();
        for (address, kind) in resources.clone() {
            if let Cow::Owned(name) = plain_name(address, kind) {
                blocks.entry(place(address, kind)).or_default().entry(name).or_default().insert((true, block_of(address)));
            }
        }
        for (address, kind) in resources {
            let place = place(address, kind);
            let (Cow::Borrowed(name), Some(names)) = (plain_name(address, kind), blocks.get_mut(&place)) else { continue };
            if let Some(sharing) = names.get_mut(name) {
                sharing.insert((false, block_of(address)));
            } else if name.rsplit_once('_').is_some_and(|(base, _)| names.contains_key(base)) {
                taken.insert((place, name));
            }
        }
        let mut others = BTreeMap::new();
        for (place, names) in &blocks {
            let mut made = BTreeSet::new();
            for (name, addresses) in names {
                for (_, address) in addresses.iter().skip(1) {
                    let free = (2_u64..).map(|number| format!("{name}_{number}")).find(|other| {
                        !names.contains_key(other) && !taken.contains(&(place.clone(), other.as_str())) && made.insert(other.clone())
                    });
                    others.extend(free.map(|other| (address.clone(), other)));
                }
            }
        }
        Self(others)
    }

    /// Of all that a plan is about.
    #[must_use]
    pub fn of_plan(plan: &Plan) -> Self {
        Self::of(plan.changes.values().map(|change| (&change.address, &*change.kind)))
    }

    /// What tools call the resource at an address.
    pub(super) fn name<'a>(&self, address: &'a Address, kind: &'a str) -> ResourceName<'a> {
        let other = if self.0.is_empty() { None } else { self.0.get(&block_of(address)) };
        let index = address.key().map(|key| match key {
            Key::Index(index) => Index::Number(*index),
            Key::Name(name) => Index::Name(name),
        });
        let name = other.map_or_else(|| plain_name(address, kind), |other| Cow::Owned(other.clone()));
        ResourceName { mode: "managed", kind, name, index }
    }
}

/// A plan, and what tools call the resources that it is about.
pub(super) struct NamedPlan<'a> {
    plan: &'a Plan,
    pub(super) names: ResourceNames,
}

impl<'a> NamedPlan<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        Self { plan, names: ResourceNames::of_plan(plan) }
    }
}

impl Deref for NamedPlan<'_> {
    type Target = Plan;

    fn deref(&self) -> &Plan {
        self.plan
    }
}

/// What a resource is called in its module for its address alone: of `aws_vpc.x[0]` the name is `x`, of `workspace.w.network` it is `workspace_w_network`.
fn plain_name<'a>(address: &'a Address, kind: &str) -> Cow<'a, str> {
    match address.in_module() {
        [first, second] if first.key.is_none() && *first.name == *kind => Cow::Borrowed(&*second.name),
        segments => {
            let last = segments.len().saturating_sub(1);
            let mut words = Vec::with_capacity(segments.len());
            for (at, segment) in segments.iter().enumerate() {
                words.push(word(&segment.name));
                words.extend(segment.key.as_ref().filter(|_| at < last).map(|key| match key {
                    Key::Index(index) => index.to_string(),
                    Key::Name(name) => word(name),
                }));
            }
            Cow::Owned(words.join("_"))
        }
    }
}

/// A name that references of Terraform may hold.
fn word(text: &str) -> String {
    text.chars().map(|c| if c.is_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

impl ResourceName<'_> {
    /// Writes its parts among others.
    pub(super) fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("mode", self.mode)?;
        map.serialize_entry("type", self.kind)?;
        map.serialize_entry("name", &self.name)?;
        self.index.as_ref().map_or(Ok(()), |index| map.serialize_entry("index", index))
    }
}

/// A resource with all of its values.
pub(super) struct Resource<'a> {
    pub(super) names: &'a ResourceNames,
    pub(super) address: &'a Address,
    pub(super) kind: &'a str,
    pub(super) provider: &'a ProviderRef,
    pub(super) schema_version: u32,
    pub(super) values: Value,
    pub(super) depends_on: Option<&'a BTreeSet<Address>>,
    pub(super) tainted: bool,
    pub(super) deposed_key: Option<&'a str>,
    /// What is ours.
    pub(super) more: Option<More<'a>>,
}

/// What the state has beside values.
#[derive(serde::Serialize)]
pub(super) struct More<'a> {
    /// The provider's id; of a step, that of the instance it was done on.
    pub(super) id: &'a str,
    pub(super) create_before_destroy: bool,
    /// Of a step: what the node told, and what says that it is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) told: Option<Told<'a>>,
}

/// The attributes of a step in the state, but for its inputs.
pub(super) struct Told<'a>(pub(super) &'a Value);

impl Serialize for Told<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let told = self.0.entries().into_iter().flatten().filter(|(name, _)| &***name != "inputs");
        serializer.collect_map(told.map(|(name, value)| (&**name, Plain(value))))
    }
}

impl<'a> Resource<'a> {
    /// At the address of a change, with these values.
    fn of(names: &'a ResourceNames, change: &'a Change, values: Value) -> Self {
        Self {
            names,
            address: &change.address,
            kind: &change.kind,
            provider: &change.provider,
            schema_version: change.schema_version,
            values,
            depends_on: None,
            tainted: false,
            deposed_key: None,
            more: None,
        }
    }
}

impl Serialize for Resource<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("address", self.address)?;
        self.names.name(self.address, self.kind).write(&mut map)?;
        map.serialize_entry("provider_name", self.provider.provider_type())?;
        map.serialize_entry("schema_version", &self.schema_version)?;
        map.serialize_entry("values", &Plain(&self.values))?;
        map.serialize_entry("sensitive_values", &Secret(Some(&self.values)))?;
        if let Some(depends_on) = self.depends_on.filter(|depends_on| !depends_on.is_empty()) {
            map.serialize_entry("depends_on", depends_on)?;
        }
        if self.tainted {
            map.serialize_entry("tainted", &true)?;
        }
        if let Some(key) = self.deposed_key {
            map.serialize_entry("deposed_key", key)?;
        }
        if let Some(more) = &self.more {
            map.serialize_entry("cloudtik", more)?;
        }
        map.end()
    }
}

/// What there will be: `planned_values`.
pub(super) struct Planned<'a>(pub(super) &'a NamedPlan<'a>);

impl Serialize for Planned<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let plan = self.0;
        let outputs =
            || plan.outputs.iter().filter_map(|(name, output)| Some((name, OutputValue::new(output.after.as_ref()?, output.sensitive))));
        values(serializer, &Named(outputs), &Module::new(None, Will(plan)))
    }
}

/// The resources of a plan as they will be.
#[derive(Clone, Copy)]
struct Will<'a>(&'a NamedPlan<'a>);

impl<'a> Resources<'a> for Will<'a> {
    type Entry = &'a Change;

    fn entries(self, module: Option<&Address>) -> impl Iterator<Item = (&'a Address, &'a Change)> {
        in_module(&self.0.plan.changes, module).filter(|(_, change)| change.desired.is_some())
    }

    fn resources(self, _: &'a Address, change: &'a Change) -> impl Iterator<Item = Resource<'a>> {
        after(change).map(|values| Resource::of(&self.0.names, change, values)).into_iter()
    }
}

/// The resources of a plan as they were found.
#[derive(Clone, Copy)]
struct Was<'a>(&'a NamedPlan<'a>);

impl<'a> Resources<'a> for Was<'a> {
    type Entry = &'a Change;

    fn entries(self, module: Option<&Address>) -> impl Iterator<Item = (&'a Address, &'a Change)> {
        in_module(&self.0.plan.changes, module).filter(|(_, change)| change.before.is_some())
    }

    fn resources(self, _: &'a Address, change: &'a Change) -> impl Iterator<Item = Resource<'a>> {
        before(change).map(|values| Resource::of(&self.0.names, change, values)).into_iter()
    }
}

/// What stands in a module and in those inside of it, by address.
pub(super) fn in_module<'a, T>(
    all: &'a BTreeMap<Address, T>,
    module: Option<&Address>,
) -> impl Iterator<Item = (&'a Address, &'a T)> + use<'a, T> {
    let from = module.map_or(Bound::Unbounded, |module| Bound::Included(module.clone()));
    let module = module.cloned();
    all.range((from, Bound::Unbounded)).take_while(move |(address, _)| module.as_ref().is_none_or(|module| address.is_below(module)))
}

/// What there is, as it was found: `prior_state`.
pub(super) struct PriorState<'a>(pub(super) &'a NamedPlan<'a>);

impl Serialize for PriorState<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Values<'a>(&'a NamedPlan<'a>);
        impl Serialize for Values<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let plan = self.0;
                let outputs = || {
                    plan.outputs
                        .iter()
                        .filter_map(|(name, output)| Some((name, OutputValue::new(output.before.as_ref()?, output.sensitive))))
                };
                values(serializer, &Named(outputs), &Module::new(None, Was(plan)))
            }
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("format_version", STATE_FORMAT_VERSION)?;
        map.serialize_entry("terraform_version", TERRAFORM_VERSION)?;
        map.serialize_entry("values", &Values(self.0))?;
        map.end()
    }
}

/// `{ "outputs": …, "root_module": { "resources": … } }`
pub(super) fn values<S: Serializer>(serializer: S, outputs: &impl Serialize, root: &impl Serialize) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry("outputs", outputs)?;
    map.serialize_entry("root_module", root)?;
    map.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_a_module_and_its_instances_are_one_block() {
        let addresses = ["module.m[0].workspace.w.gate", "module.m[1].workspace.w.gate", "module.n.workspace.w.gate", "workspace.w.gate"]
            .map(|address| address.parse::<Address>().unwrap());
        let names = ResourceNames::of(addresses.iter().map(|address| (address, "gate")));
        for address in &addresses {
            assert_eq!(names.name(address, "gate").name, "workspace_w_gate");
        }
    }

    #[test]
    fn no_two_blocks_of_a_kind_have_one_name() {
        let addresses = [
            "cluster.c.head",
            "aws_instance.cluster_c_head",
            "aws_instance.cluster_c_head_2",
            "cluster.c_head.head",
            "cluster.c.head_head",
            "workspace.w[\"a.b\"].gate[0]",
            "workspace.w[\"a.b\"].gate[1]",
            "workspace.w[\"a_b\"].gate[0]",
        ]
        .map(|address| address.parse::<Address>().unwrap());
        let name = |kinds: [&'static str; 8]| {
            let names = ResourceNames::of(addresses.iter().zip(kinds));
            addresses.iter().zip(kinds).map(|(address, kind)| names.name(address, kind).name.into_owned()).collect::<Vec<_>>()
        };
        let expected = [
            "cluster_c_head_3",
            "cluster_c_head",
            "cluster_c_head_2",
            "cluster_c_head_head_2",
            "cluster_c_head_head",
            "workspace_w_a_b_gate",
            "workspace_w_a_b_gate",
            "workspace_w_a_b_gate_2",
        ];
        assert_eq!(name(["aws_instance"; 8]), expected);
        let apart = name(["a", "b", "c", "d", "e", "f", "f", "g"]);
        assert_eq!([&*apart[0], &*apart[3], &*apart[7]], ["cluster_c_head", "cluster_c_head_head", "workspace_w_a_b_gate"]);
    }
}
