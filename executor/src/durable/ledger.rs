//! Folding: what the state becomes when a record is taken into it. Pure and total: every record has a meaning in every state.
//!
//! A ledger is the state and the intents that have no outcome yet. It is what the state on disk and the journal after it come to, and the
//! same as what the run that wrote them had in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_model::{Address, Folded, NodeAction, Object, ProviderRef, State, StateEntry, Value};

use crate::{Intent, OpKind, OpResult, Record};

/// A record with its place in the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its place.
    pub sequence: u64,
    /// Of the holder that wrote it.
    pub epoch: u64,
    /// The run that wrote it.
    pub run: String,
    /// The record; `None`: the journal's own, which says nothing of the world.
    pub record: Option<Record>,
}

/// An intent without an outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenIntent {
    /// Where it stands in the journal.
    pub sequence: u64,
    /// The run that wrote it.
    pub run: String,
    /// What was going to be done.
    pub intent: Intent,
}

/// The state, and what is open.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// What exists.
    pub state: State,
    /// Intents without an outcome, by op id.
    pub open: BTreeMap<String, OpenIntent>,
    /// Edges that were handed on when an address went, so that they come back when it does: a replacement that is destroyed first is gone
    /// for a while, and what depends on it without a change of its own still does when it is back.
    handed: BTreeMap<Address, BTreeMap<Address, BTreeSet<Address>>>,
    /// Who depends on an address; made when an address goes for the first time, because most ledgers never need it.
    dependents: Option<BTreeMap<Address, BTreeSet<Address>>>,
}

/// Takes one record into the ledger. A record that is in it already changes nothing.
#[must_use]
pub fn fold(mut ledger: Ledger, entry: &Entry) -> Ledger {
    ledger.take(entry);
    ledger
}

/// What is only there to be quick, or would be forgotten by the next fold to disk, takes no part.
impl PartialEq for Ledger {
    fn eq(&self, other: &Self) -> bool {
        self.state == other.state && self.open == other.open
    }
}

impl Ledger {
    /// A state with nothing open.
    #[must_use]
    pub fn new(state: State) -> Self {
        Self { state, ..Self::default() }
    }

    /// The number of the last record that is contained.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.state.folded.as_ref().map_or(0, |folded| folded.sequence)
    }

    /// The last record that the state on disk may say it contains: the state has no place for open intents, so they must stay in the
    /// journal.
    #[must_use]
    pub fn foldable(&self) -> u64 {
        let first_open = self.open.values().map(|open| open.sequence).min();
        first_open.map_or_else(|| self.sequence(), |sequence| sequence.saturating_sub(1))
    }

    /// [`fold`] in place.
    pub fn take(&mut self, entry: &Entry) {
        if entry.sequence <= self.sequence() {
            return;
        }
        self.state.folded = Some(Folded { run: entry.run.clone(), sequence: entry.sequence });
        self.state.epoch = self.state.epoch.max(entry.epoch);
        match &entry.record {
            None | Some(Record::Started { .. }) => {}
            Some(Record::Intent(intent)) => self.begin(entry, intent),
            Some(Record::Outcome { op_id, result }) => {
                if let Some(open) = self.open.remove(op_id) {
                    self.end(&open.intent, result);
                }
            }
            Some(Record::Pure { address, entry }) => match entry {
                Some(pure) => {
                    let slot = self.slot(address, &pure.kind, &pure.provider, &pure.depends_on, pure.create_before_destroy);
                    slot.current = Some(pure.object.clone());
                }
                None => self.let_go(address),
            },
            Some(Record::Forgotten { address }) => self.let_go(address),
            Some(Record::Moved { from, to }) => self.rename(from, to),
            Some(Record::Rewired { address, depends_on, create_before_destroy }) => {
                self.rewire(address, depends_on, *create_before_destroy)
            }
            Some(Record::Observed { address, attributes }) => match attributes {
                Some(attributes) => self.observe(address, attributes),
                None => self.let_go(address),
            },
            Some(Record::Facts { facts, providers }) => {
                // A fact that is null is none: it is withdrawn.
                self.state.facts.extend(facts.clone());
                self.state.facts.retain(|_, fact| !fact.is_null());
                self.state.providers.extend(providers.clone());
            }
            Some(Record::Outputs { outputs }) => {
                self.state.outputs = outputs.clone();
                for output in self.state.outputs.values_mut() {
                    output.value = std::mem::take(&mut output.value).marked(output.sensitive);
                }
            }
            Some(Record::Ended { .. }) => self.drop_unused(),
        }
    }

    /// Takes everything within an address to another one: entries, what is open, and every edge to them. What is there already stays, and so
    /// does what would have to take its place.
    pub fn rename(&mut self, from: &Address, to: &Address) {
        let open = self.open.values().map(|open| &open.intent.address);
        let taken: BTreeSet<Address> = self.state.resources.keys().chain(open).cloned().collect();
        let renamed: BTreeMap<Address, Address> = taken
            .iter()
            .filter_map(|address| Some((address.clone(), address.moved(from, to)?)))
            .filter(|(_, after)| !taken.contains(after))
            .collect();
        if renamed.is_empty() {
            return;
        }
        let new = |address: &Address| renamed.get(address).unwrap_or(address).clone();
        let all = |addresses: &BTreeSet<Address>| addresses.iter().map(new).collect::<BTreeSet<_>>();
        let resources = std::mem::take(&mut self.state.resources);
        self.state.resources = resources
            .into_iter()
            .map(|(address, mut entry)| {
                entry.depends_on = all(&entry.depends_on);
                (new(&address), entry)
            })
            .collect();
        for open in self.open.values_mut() {
            open.intent.address = new(&open.intent.address);
            open.intent.depends_on = all(&open.intent.depends_on);
        }
        let handed = std::mem::take(&mut self.handed);
        let hand = |(address, edges): (Address, BTreeSet<Address>)| (new(&address), all(&edges));
        self.handed = handed.into_iter().map(|(address, to)| (new(&address), to.into_iter().map(hand).collect())).collect();
        self.dependents = None;
    }

    /// Lets go of everything at an address, also of what was replaced there and is not gone yet.
    pub fn forget(&mut self, address: &Address) {
        if let Some(slot) = self.state.resources.get_mut(address) {
            slot.current = None;
            slot.deposed.clear();
            self.drop_if_empty(address);
        }
    }

    /// What a fold to disk forgets: the edges that would come back. A ledger that is loaded does not know them either.
    pub(crate) fn forget_handed(&mut self) {
        self.handed.clear();
    }

    fn begin(&mut self, entry: &Entry, intent: &Intent) {
        let sequence = self.open.get(&intent.op_id).map_or(entry.sequence, |open| open.sequence);
        let open = OpenIntent { sequence, run: entry.run.clone(), intent: intent.clone() };
        self.open.insert(intent.op_id.clone(), open);
    }

    fn end(&mut self, intent: &Intent, result: &OpResult) {
        let address = &intent.address;
        match (result, &intent.operation) {
            // It had no effect; or it was to go and is still there; or it was to come and went.
            (OpResult::Failed { .. } | OpResult::Cleared, _)
            | (OpResult::Object { .. }, OpKind::Delete { .. } | OpKind::Undo { .. })
            | (OpResult::Deleted, OpKind::Create { .. } | OpKind::Import { .. })
            | (
                OpResult::StepFailed { .. },
                OpKind::Create { .. } | OpKind::Update { .. } | OpKind::Import { .. } | OpKind::Delete { .. } | OpKind::Undo { .. },
            ) => {}
            (OpResult::Object { object }, OpKind::Create { .. } | OpKind::Update { .. } | OpKind::Import { .. } | OpKind::Run { .. }) => {
                let slot = self.slot(address, &intent.kind, &intent.provider, &intent.depends_on, intent.create_before_destroy);
                put(slot, object.clone(), matches!(intent.operation, OpKind::Create { .. }));
            }
            (OpResult::Deleted, OpKind::Delete { id, deposed }) => self.delete(address, id, deposed.as_deref()),
            (OpResult::Deleted, OpKind::Update { id, .. }) => self.delete(address, id, None),
            // The step may have run on the node's replacement by now; that entry stays.
            (OpResult::Deleted, OpKind::Run { instance, .. } | OpKind::Undo { instance, .. }) => self.delete(address, instance, None),
            (OpResult::StepFailed { .. }, OpKind::Run { instance, inputs, undo, .. }) => {
                let slot = self.slot(address, &intent.kind, &intent.provider, &intent.depends_on, intent.create_before_destroy);
                taint(slot, &intent.op_id, instance, inputs, undo.as_ref());
            }
        }
    }

    /// The entry of an address, made if need be, with the edges that it has from now on.
    fn slot(
        &mut self,
        address: &Address,
        kind: &Arc<str>,
        provider: &ProviderRef,
        depends_on: &BTreeSet<Address>,
        create_before_destroy: bool,
    ) -> &mut StateEntry {
        if !self.state.resources.contains_key(address) {
            self.hand_back(address);
        }
        self.set_edges(address, depends_on.clone());
        let slot = self.state.resources.entry(address.clone()).or_insert_with(|| StateEntry {
            kind: kind.clone(),
            provider: provider.clone(),
            current: None,
            deposed: BTreeMap::new(),
            depends_on: BTreeSet::new(),
            create_before_destroy,
        });
        slot.kind = kind.clone();
        slot.provider = provider.clone();
        slot.depends_on = depends_on.clone();
        slot.create_before_destroy = create_before_destroy;
        slot
    }

    fn rewire(&mut self, address: &Address, depends_on: &BTreeSet<Address>, create_before_destroy: bool) {
        if !self.state.resources.contains_key(address) {
            return;
        }
        self.set_edges(address, depends_on.clone());
        if let Some(slot) = self.state.resources.get_mut(address) {
            slot.depends_on = depends_on.clone();
            slot.create_before_destroy = create_before_destroy;
        }
    }

    fn observe(&mut self, address: &Address, attributes: &Value) {
        if let Some(object) = self.state.resources.get_mut(address).and_then(|slot| slot.current.as_mut()) {
            object.attributes = attributes.clone();
        }
    }

    fn delete(&mut self, address: &Address, id: &str, deposed: Option<&str>) {
        let Some(slot) = self.state.resources.get_mut(address) else { return };
        match deposed {
            Some(key) => drop(slot.deposed.remove(key)),
            // By its id: by now it may be a deposed one, and the current one another.
            None => {
                slot.current.take_if(|object| object.id == id);
                slot.deposed.retain(|_, object| object.id != id);
            }
        }
        self.drop_if_empty(address);
    }

    /// The current object is gone, or no longer ours. Replaced ones that are not gone yet stay listed.
    fn let_go(&mut self, address: &Address) {
        if let Some(slot) = self.state.resources.get_mut(address) {
            slot.current = None;
            self.drop_if_empty(address);
        }
    }

    /// An entry with nothing left goes, and hands what it depends on to what depends on it.
    fn drop_if_empty(&mut self, address: &Address) {
        if !self.state.resources.get(address).is_some_and(|slot| slot.current.is_none() && slot.deposed.is_empty()) {
            return;
        }
        let dependents = self.dependents_of(address);
        let Some(gone) = self.state.resources.remove(address) else { return };
        self.set_dependents(address, &gone.depends_on, &BTreeSet::new());
        self.unhand(address);
        let mut handed = BTreeMap::new();
        for dependent in dependents {
            let Some(slot) = self.state.resources.get_mut(&dependent) else { continue };
            let before = slot.depends_on.clone();
            slot.depends_on.remove(address);
            slot.depends_on.extend(gone.depends_on.iter().filter(|edge| **edge != dependent).cloned());
            let after = slot.depends_on.clone();
            handed.insert(dependent.clone(), after.difference(&before).cloned().collect());
            self.set_dependents(&dependent, &before, &after);
        }
        if !handed.is_empty() {
            self.handed.insert(address.clone(), handed);
        }
    }

    /// An address that went is back: what depended on it does so again, and on nothing that it got instead.
    fn hand_back(&mut self, address: &Address) {
        for (dependent, got) in self.handed.remove(address).unwrap_or_default() {
            let Some(slot) = self.state.resources.get_mut(&dependent) else { continue };
            let before = slot.depends_on.clone();
            slot.depends_on.retain(|edge| !got.contains(edge));
            slot.depends_on.insert(address.clone());
            let after = slot.depends_on.clone();
            self.set_dependents(&dependent, &before, &after);
        }
    }

    /// The edges of an address are said anew: what was handed to it is of no more account.
    fn set_edges(&mut self, address: &Address, after: BTreeSet<Address>) {
        self.unhand(address);
        let before = self.state.resources.get(address).map(|slot| slot.depends_on.clone()).unwrap_or_default();
        self.set_dependents(address, &before, &after);
    }

    fn unhand(&mut self, dependent: &Address) {
        self.handed.retain(|_, handed| {
            handed.remove(dependent);
            !handed.is_empty()
        });
    }

    fn dependents_of(&mut self, address: &Address) -> BTreeSet<Address> {
        let dependents = self.dependents.get_or_insert_with(|| {
            let mut dependents: BTreeMap<Address, BTreeSet<Address>> = BTreeMap::new();
            for (dependent, slot) in &self.state.resources {
                for edge in &slot.depends_on {
                    dependents.entry(edge.clone()).or_default().insert(dependent.clone());
                }
            }
            dependents
        });
        dependents.get(address).cloned().unwrap_or_default()
    }

    fn set_dependents(&mut self, address: &Address, before: &BTreeSet<Address>, after: &BTreeSet<Address>) {
        let Some(dependents) = &mut self.dependents else { return };
        for edge in before.difference(after) {
            if let Some(of_edge) = dependents.get_mut(edge) {
                of_edge.remove(address);
                if of_edge.is_empty() {
                    dependents.remove(edge);
                }
            }
        }
        for edge in after.difference(before) {
            dependents.entry(edge.clone()).or_default().insert(address.clone());
        }
    }

    /// Facts are pinned for objects, and configurations are kept to destroy them: without any they mean nothing.
    fn drop_unused(&mut self) {
        let open = self.open.values().map(|open| &open.intent.provider);
        let used: BTreeSet<_> = self.state.resources.values().map(|slot| &slot.provider).chain(open).collect();
        self.state.providers.retain(|provider, _| used.contains(provider));
        if self.state.resources.is_empty() && self.open.is_empty() {
            self.state.facts.clear();
        }
    }
}

/// The object is there. Another one that was there before is not lost: of a create it becomes deposed.
fn put(slot: &mut StateEntry, object: Object, is_create: bool) {
    if is_create && let Some(former) = slot.current.take().filter(|former| former.id != object.id) {
        let key = if former.op_id.is_empty() { former.id.clone() } else { former.op_id.clone() };
        slot.deposed.insert(key, former);
    }
    slot.deposed.retain(|_, deposed| deposed.id != object.id);
    slot.current = Some(object);
}

/// A step that failed half-way counts as not done, but what it did must be undone some day. Its inputs are kept for their marks: what is
/// made of sensitive ones, the undo too, is sealed on a disk.
fn taint(slot: &mut StateEntry, op_id: &str, instance: &str, inputs: &Value, undo: Option<&NodeAction>) {
    let same_node = slot.current.take().filter(|object| object.id == instance);
    let mut object = same_node.unwrap_or_else(|| Object {
        id: instance.to_owned(),
        attributes: Value::object([("inputs", inputs.clone())]),
        desired: Value::NULL,
        schema_version: 0,
        op_id: op_id.to_owned(),
        undo: None,
        public_keys: BTreeMap::new(),
        took_ms: None,
        tainted: true,
    });
    object.tainted = true;
    object.desired = inputs.clone();
    object.undo = undo.cloned().or(object.undo);
    slot.current = Some(object);
}

#[cfg(test)]
impl Ledger {
    /// Whether the index says what the entries say.
    pub(crate) fn dependents_are_right(&mut self) -> bool {
        let kept = self.dependents.take();
        drop(self.dependents_of(&Address::of("no", "body")));
        kept.is_none() || kept == self.dependents
    }
}
