//! Taking over what is there: the objects that `import` blocks name are looked for, and become entries of the state that a plan is made from.
//! Nothing is written here: the plan says what is imported, and apply does it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_compiler::{Compiled, Import, Imported};
use cloudtik_executor::engine::ADDRESS_TAG;
use cloudtik_model::{
    Address, Adopted, ChangeWord, Diagnostic, Diagnostics, Node, Object, ProviderRef, ResourceSpec, State, StateEntry, Value,
};
use cloudtik_provider_api::{Answer, CLUSTER_TAG, Call, Facts, Found, Idempotency, KindSchema, Verb};

use crate::Failure;
use crate::world::{World, refused, strange};

/// What makes an object one: two of a kind that one provider has have two ids.
type ObjectKey = (ProviderRef, Arc<str>, String);

/// What is taken over: entries of the state, and what is to be remembered of clusters.
pub(crate) type TakenOver = (BTreeMap<Address, StateEntry>, Facts);

/// An address that takes something over.
struct Wanted<'a> {
    spec: &'a ResourceSpec,
    import: &'a Import,
    kind: &'a KindSchema,
}

impl World<'_> {
    /// The objects that are taken over, as entries of a state, and what is to be remembered of clusters. What is in the state already is not
    /// looked for.
    ///
    /// # Errors
    /// A provider does not answer; inside, what is wrong with the blocks.
    pub(crate) fn imported(&self, compiled: &Compiled, state: &State) -> Result<Result<TakenOver, Diagnostics>, Failure> {
        let mut problems = Diagnostics::new();
        let clusters = match self.clusters(compiled, state)? {
            Ok(clusters) => clusters,
            Err(wrong) => return Ok(Err(wrong)),
        };
        let is_there = |address: &Address| state.resources.get(address).is_some_and(|entry| entry.current.is_some());
        let wanted: Vec<Wanted<'_>> = compiled
            .imports
            .iter()
            .filter(|(address, _)| !is_there(address))
            .filter_map(|(address, import)| {
                let Some(Node::Resource(spec)) = compiled.graph.nodes.get(address) else { return None };
                let kind = self.schemas.get(spec.provider.provider_type())?.kinds.get(&*spec.kind)?;
                (kind.class != Idempotency::Pure).then_some(Wanted { spec, import, kind })
            })
            .collect();
        let found = self.found(&wanted)?;
        let uid = |mark: &str| clusters.get(mark).map_or_else(|| state.cluster_uid(mark), |cluster| cluster.uid.clone());
        let mut taken = known(state);
        let mut entries = BTreeMap::new();
        for (wanted, objects) in wanted.iter().zip(&found) {
            match wanted.one(objects, &uid, &mut taken) {
                Ok(Some(object)) => drop(entries.insert(wanted.spec.address.clone(), wanted.entry(object))),
                Ok(None) => {}
                Err(problem) => problems.push(problem),
            }
        }
        problems.extend(empty_workspaces(&wanted, &entries, state));
        let facts = clusters.into_iter().map(|(mark, adopted)| (Adopted::key(&mark), adopted.to_fact())).collect();
        Ok(if problems.has_errors() { Err(problems) } else { Ok((entries, facts)) })
    }

    /// What was found for each: ids of one kind are asked for with one call.
    fn found(&self, wanted: &[Wanted<'_>]) -> Result<Vec<Vec<Found>>, Failure> {
        let mut ids: BTreeMap<(ProviderRef, Arc<str>), (Address, BTreeSet<String>)> = BTreeMap::new();
        let mut calls = Vec::new();
        for wanted in wanted {
            match &wanted.import.object {
                Imported::Id(id) => {
                    let key = (wanted.spec.provider.clone(), Arc::clone(&wanted.spec.kind));
                    ids.entry(key).or_insert_with(|| (wanted.spec.address.clone(), BTreeSet::new())).1.insert(id.clone());
                }
                Imported::Marked => calls.push(wanted.search()),
            }
        }
        let lists = ids.into_iter().map(|((provider, kind), (address, ids))| Call {
            provider,
            address,
            kind,
            verb: Verb::List { ids },
            limit: None,
        });
        calls.extend(lists);
        let mut listed: BTreeMap<ObjectKey, Found> = BTreeMap::new();
        let mut searched: BTreeMap<Address, Vec<Found>> = BTreeMap::new();
        for (call, answer) in self.all(calls)? {
            let found = match answer {
                Answer::Found(found) => found,
                Answer::Failed(error) => return Err(refused(&call, &error)),
                _ => return Err(strange(&call)),
            };
            if let Verb::List { .. } = call.verb {
                let key = |found: &Found| (call.provider.clone(), Arc::clone(&call.kind), found.object.id.clone());
                listed.extend(found.into_iter().map(|found| (key(&found), found)));
            } else {
                searched.insert(call.address, found);
            }
        }
        self.read_whole(wanted, &mut listed)?;
        let of = |wanted: &Wanted<'_>| match &wanted.import.object {
            Imported::Id(id) => listed.get(&wanted.key(id)).cloned().into_iter().collect(),
            Imported::Marked => searched.remove(&wanted.spec.address).unwrap_or_default(),
        };
        Ok(wanted.iter().map(of).collect())
    }

    /// A look at many leaves out what would be a call more for each. What the spec says something of is looked at alone.
    fn read_whole(&self, wanted: &[Wanted<'_>], listed: &mut BTreeMap<ObjectKey, Found>) -> Result<(), Failure> {
        let mut calls = Vec::new();
        for wanted in wanted {
            let Imported::Id(id) = &wanted.import.object else { continue };
            let Some(found) = listed.get(&wanted.key(id)) else { continue };
            if wanted.untold(found).any(|name| wanted.spec.attributes.get(name).is_some_and(|asked| !asked.is_null())) {
                let ResourceSpec { provider, address, kind, .. } = wanted.spec;
                let verb = Verb::Read { id: id.clone() };
                calls.push(Call { provider: provider.clone(), address: address.clone(), kind: Arc::clone(kind), verb, limit: None });
            }
        }
        for (call, answer) in self.all(calls)? {
            match (&call.verb, answer) {
                (Verb::Read { id }, Answer::Read(read)) => {
                    let key = (call.provider.clone(), Arc::clone(&call.kind), id.clone());
                    if let (Some(found), Some(object)) = (listed.get_mut(&key), read) {
                        found.object = object;
                    }
                }
                (_, Answer::Failed(error)) => return Err(refused(&call, &error)),
                _ => return Err(strange(&call)),
            }
        }
        Ok(())
    }
}

impl Wanted<'_> {
    fn key(&self, id: &str) -> ObjectKey {
        (self.spec.provider.clone(), Arc::clone(&self.spec.kind), id.to_owned())
    }

    /// The search for what has no id that anybody could write: by the name that only one can have, else by the mark of its address.
    fn search(&self) -> Call {
        let unique = self.kind.unique_name.filter(|_| self.kind.class == Idempotency::UniqueName);
        let name = unique.and_then(|name| self.spec.attributes.get(name)?.as_str());
        let verb = match name {
            Some(name) => Verb::FindByName { name: name.to_owned() },
            None => Verb::FindByTag { key: ADDRESS_TAG.to_owned(), value: self.spec.address.to_string() },
        };
        let ResourceSpec { provider, address, kind, .. } = self.spec;
        Call { provider: provider.clone(), address: address.clone(), kind: Arc::clone(kind), verb, limit: None }
    }

    /// The one object that is meant. Of a workspace that is taken over whole a part may be missing.
    fn one<'f>(
        &self,
        found: &'f [Found],
        uid: &dyn Fn(&str) -> String,
        taken: &mut BTreeMap<ObjectKey, Address>,
    ) -> Result<Option<&'f Found>, Diagnostic> {
        let (address, span) = (&self.spec.address, self.import.span);
        let mark = |(name, value): (&String, &String)| (name.clone(), if name == CLUSTER_TAG { uid(value) } else { value.clone() });
        let marks: Vec<(String, String)> = self.spec.marks.iter().map(mark).collect();
        let is_meant = |found: &&Found| match self.import.object {
            Imported::Id(_) => true,
            Imported::Marked => marks.iter().all(|(name, value)| found.tags.get(name) == Some(value)),
        };
        let meant: Vec<&Found> = found.iter().filter(is_meant).collect();
        let one = match (meant.as_slice(), &self.import.object) {
            ([one], _) => *one,
            ([], Imported::Id(id)) if self.import.whole.is_none() => {
                let title = format!("there is no `{}` with the id `{id}`", self.spec.kind);
                let help = "look up the id, or take the `import` out to have it made";
                return Err(Diagnostic::error("import-nothing", title).at(span).of(address).help(help));
            }
            ([], _) => return Ok(None),
            (several, _) => {
                let ids: Vec<&str> = several.iter().map(|found| found.object.id.as_str()).collect();
                let title = format!("{} could be `{address}`: {}", ids.len(), ids.join(", "));
                let help = format!("say which: `import {{ to = {address}, id = \"{}\" }}`", ids.first().copied().unwrap_or_default());
                return Err(Diagnostic::error("several-found", title).at(span).of(address).help(help));
            }
        };
        if let Some(other) = taken.insert(self.key(&one.object.id), address.clone()) {
            let title = format!("`{}` is `{other}` already, and cannot be `{address}` too", one.object.id);
            return Err(Diagnostic::error("import-known", title).at(span).of(address).help("take one of the two out"));
        }
        Ok(Some(one))
    }

    /// The attributes that a look did not tell.
    fn untold<'a>(&'a self, found: &'a Found) -> impl Iterator<Item = &'static str> + 'a {
        self.kind.attributes.iter().map(|attribute| attribute.name).filter(|name| found.object.attributes.get(name).is_none())
    }

    /// The object as an entry of the state. What a cloud does not tell is taken to be as the spec says where it cannot be changed in place;
    /// anything else of the sort is written once more.
    fn entry(&self, found: &Found) -> StateEntry {
        let mut attributes = found.object.attributes.entries().cloned().unwrap_or_default();
        for name in self.untold(found) {
            let Some(attribute) = self.kind.attribute(name) else { continue };
            let asked = self.spec.attributes.get(attribute.name).filter(|value| value.is_known());
            if let Some(asked) = asked.filter(|_| attribute.change.replaces() || attribute.change == ChangeWord::Fixed) {
                attributes.insert(attribute.name.into(), asked.clone());
            }
        }
        let object = Object {
            id: found.object.id.clone(),
            attributes: Value::object(attributes),
            desired: Value::NULL,
            schema_version: self.kind.version,
            op_id: String::new(),
            undo: None,
            public_keys: BTreeMap::new(),
            took_ms: None,
            tainted: false,
        };
        StateEntry {
            kind: Arc::clone(&self.spec.kind),
            provider: self.spec.provider.clone(),
            current: Some(object),
            deposed: BTreeMap::new(),
            depends_on: self.spec.depends_on.clone(),
            create_before_destroy: false,
        }
    }
}

/// What the state knows, by what makes it one.
fn known(state: &State) -> BTreeMap<ObjectKey, Address> {
    let objects = state.resources.iter().filter_map(|(address, entry)| {
        let id = entry.current.as_ref()?.id.clone();
        Some(((entry.provider.clone(), Arc::clone(&entry.kind), id), address.clone()))
    });
    objects.collect()
}

/// Workspaces that were to be taken over, and of which there is nothing.
fn empty_workspaces(wanted: &[Wanted<'_>], entries: &BTreeMap<Address, StateEntry>, state: &State) -> Diagnostics {
    let wholes = wanted.iter().filter_map(|wanted| Some((wanted.import.whole.as_ref()?, wanted)));
    let wholes: BTreeMap<&Address, &Wanted<'_>> = wholes.collect();
    let has_some = |whole: &Address| entries.keys().chain(state.resources.keys()).any(|address| address.is_within(whole));
    let nothing = |(whole, wanted): (&Address, &Wanted<'_>)| {
        let title = format!("provider `{}` has nothing that belongs to `{whole}`", wanted.spec.provider);
        let help = "look up its name, its region and its account; or take the `import` out to have it made";
        Diagnostic::error("import-nothing", title).at(wanted.import.span).help(help)
    };
    wholes.into_iter().filter(|(whole, _)| !has_some(whole)).map(nothing).collect()
}
