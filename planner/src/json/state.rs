//! The state: `show --json`.

use cloudtik_model::{Address, Object, State, StateEntry, Value};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::change::value_with_id;
use super::module::{Module, Resources};
use super::resource::{More, Resource, ResourceNames, Told, in_module, values};
use super::value::Named;
use super::{OutputValue, STATE_FORMAT_VERSION, TERRAFORM_VERSION};

/// A state in the form of `show --json`; see the module.
#[derive(Clone, Copy, Debug)]
pub struct StateJson<'a> {
    /// The state; without one nothing was applied yet.
    pub state: Option<&'a State>,
    /// Only what stands at or below one of these; everything, where there is none.
    pub within: &'a [Address],
    /// Our version.
    pub tool_version: &'a str,
}

impl Serialize for StateJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Ours<'a> {
            version: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            lineage: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            serial: Option<u64>,
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("format_version", STATE_FORMAT_VERSION)?;
        map.serialize_entry("terraform_version", TERRAFORM_VERSION)?;
        if let Some(state) = self.state {
            map.serialize_entry("values", &Values { state, within: self.within })?;
        }
        let (lineage, serial) = self.state.map(|state| (state.lineage.as_str(), state.serial)).unzip();
        map.serialize_entry("cloudtik", &Ours { version: self.tool_version, lineage, serial })?;
        map.end()
    }
}

struct Values<'a> {
    state: &'a State,
    within: &'a [Address],
}

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = ResourceNames::of(self.state.resources.iter().map(|(address, entry)| (address, &*entry.kind)));
        let outputs = || {
            let all = self.state.outputs.iter().filter(|_| self.within.is_empty());
            all.map(|(name, output)| (name, output.value.clone().marked(output.sensitive)))
        };
        let outputs = || outputs().map(|(name, value)| (name, Output(value)));
        values(serializer, &Named(outputs), &Module::new(None, Objects { names: &names, values: self }))
    }
}

/// The objects of a state.
#[derive(Clone, Copy)]
struct Objects<'a> {
    names: &'a ResourceNames,
    values: &'a Values<'a>,
}

impl<'a> Resources<'a> for Objects<'a> {
    type Entry = &'a StateEntry;

    fn entries(self, module: Option<&Address>) -> impl Iterator<Item = (&'a Address, &'a StateEntry)> {
        let within = self.values.within;
        let wanted = move |address: &Address| within.is_empty() || within.iter().any(|within| address.is_within(within));
        in_module(&self.values.state.resources, module).filter(move |(address, _)| wanted(address))
    }

    fn resources(self, address: &'a Address, entry: &'a StateEntry) -> impl Iterator<Item = Resource<'a>> {
        objects(self.names, address, entry)
    }
}

struct Output(Value);

impl Serialize for Output {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        OutputValue::new(&self.0, self.0.is_sensitive()).serialize(serializer)
    }
}

/// The object at an address, and the replaced ones that are not gone yet.
fn objects<'a>(names: &'a ResourceNames, address: &'a Address, entry: &'a StateEntry) -> impl Iterator<Item = Resource<'a>> {
    let deposed = entry.deposed.iter().map(move |(key, object)| resource(names, address, entry, object, Some(key)));
    entry.current.iter().map(move |object| resource(names, address, entry, object, None)).chain(deposed)
}

fn resource<'a>(
    names: &'a ResourceNames,
    address: &'a Address,
    entry: &'a StateEntry,
    object: &'a Object,
    deposed_key: Option<&'a str>,
) -> Resource<'a> {
    let is_step = entry.kind.starts_with("step.");
    let values = if is_step {
        object.attributes.get("inputs").cloned().unwrap_or_default()
    } else {
        value_with_id(&object.attributes, Some(&object.id))
    };
    Resource {
        names,
        address,
        kind: &entry.kind,
        provider: &entry.provider,
        schema_version: object.schema_version,
        values,
        depends_on: Some(&entry.depends_on),
        tainted: object.tainted,
        deposed_key,
        more: Some(More {
            id: &object.id,
            create_before_destroy: entry.create_before_destroy,
            told: is_step.then_some(Told(&object.attributes)),
        }),
    }
}
