//! The resources of a plan or a state, module by module: `root_module`, and in it `child_modules`.

use cloudtik_model::Address;
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::resource::Resource;
use super::value::Each;

/// Where the resources of modules come from.
pub(super) trait Resources<'a>: Copy {
    /// What stands at one address.
    type Entry: Copy;

    /// All that have resources, in the order of their addresses; of a module, those in it and in the modules inside of it.
    fn entries(self, module: Option<&Address>) -> impl Iterator<Item = (&'a Address, Self::Entry)>;

    /// The resources at an address.
    fn resources(self, address: &'a Address, entry: Self::Entry) -> impl Iterator<Item = Resource<'a>>;
}

/// One module: `{ "address": …, "resources": […], "child_modules": […] }`. None is the root.
pub(super) struct Module<'a, R> {
    pub(super) address: Option<Address>,
    pub(super) from: R,
    pub(super) marker: std::marker::PhantomData<&'a ()>,
}

impl<'a, R: Resources<'a>> Module<'a, R> {
    pub(super) const fn new(address: Option<Address>, from: R) -> Self {
        Self { address, from, marker: std::marker::PhantomData }
    }

    /// The modules right inside of it that have resources, or have modules that do.
    fn children(&self) -> impl Iterator<Item = Self> {
        let own = self.address.as_ref();
        let (from, length) = (self.from, own.map_or(0, |module| module.segments().len()));
        // Addresses of one module stand together.
        let mut last: Option<Address> = None;
        let inside = from.entries(own).filter(move |(address, _)| !address.is_in(own));
        inside.filter_map(move |(address, _)| {
            if last.as_ref().is_some_and(|last| address.is_below(last)) {
                return None;
            }
            let child = address.prefix(length + 2);
            last = Some(child.clone());
            Some(Self::new(Some(child), from))
        })
    }
}

impl<'a, R: Resources<'a>> Serialize for Module<'a, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let own = self.address.as_ref();
        let mut map = serializer.serialize_map(None)?;
        if let Some(address) = own {
            map.serialize_entry("address", address)?;
        }
        let resources = || {
            let entries = self.from.entries(own).filter(|(address, _)| address.is_in(own));
            entries.flat_map(|(address, entry)| self.from.resources(address, entry))
        };
        map.serialize_entry("resources", &Each(resources))?;
        if self.children().next().is_some() {
            map.serialize_entry("child_modules", &Each(|| self.children()))?;
        }
        map.end()
    }
}
