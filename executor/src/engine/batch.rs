//! Creates that are one call: which of those that begin in one moment may go together, and what a crash leaves of them.
//!
//! Each stays an operation of its own, with an intent, a call and an outcome of its own. What they have in common is the call's id: whoever makes
//! calls sends one request for those that come together, and a repeat of any of them is that same request.

use std::collections::{BTreeMap, BTreeSet};

use cloudtik_model::{Digest, Key, Value};
use cloudtik_provider_api::{Batch, CreateRequest, KindSchema, SEQUENCE_TAG, parts_of, without_number};

use crate::engine::{ADDRESS_TAG, OP_TAG};
use crate::{Intent, OpKind};

/// How long those wait for each other that there was no room for in one call: their answers come one by one, within moments.
pub(crate) const COMPANY_WAIT_MS: u64 = 200;

/// What a create that may go with others says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The same for all that may be one call.
    pub key: Digest,
    /// The number of its object.
    pub number: u64,
    /// The most that one call makes.
    pub most: usize,
    /// How long it waits for others.
    pub wait_ms: u64,
}

impl Wish {
    /// Of a create of an object at an address with a number. `None`: it goes alone.
    pub(crate) fn of(kind: &KindSchema, request: &CreateRequest, intent: &Intent) -> Option<Self> {
        let together = kind.together?;
        let Some(Key::Index(number)) = intent.address.segments().last().and_then(|last| last.key.clone()) else { return None };
        let marked = request.tags.get(SEQUENCE_TAG).is_none_or(|sequence| *sequence == number.to_string());
        let mut tags = request.tags.clone();
        tags.retain(|name, _| name != OP_TAG && name != SEQUENCE_TAG);
        let address = tags.get_mut(ADDRESS_TAG).filter(|_| marked)?;
        *address = without_number(address, number)?;
        let mut attributes = request.attributes.entries().cloned().unwrap_or_default();
        for name in together.numbered {
            if let Some(value) = attributes.get_mut(*name)
                && let Some(text) = value.as_str()
            {
                *value = Value::from(without_number(text, number)?);
            }
        }
        let attributes = Value::object(attributes).unmarked_deeply().to_json();
        let key = Digest::of(format!("{} {} {} {tags:?} {attributes}", intent.provider, intent.kind, request.epoch));
        Some(Self { key, number, most: together.most, wait_ms: 0 })
    }
}

/// Those that wait for others.
pub struct Gatherer<T> {
    open: BTreeMap<Digest, Gathering<T>>,
}

struct Gathering<T> {
    due_ms: u64,
    most: usize,
    members: Vec<(u64, T)>,
}

impl<T> Default for Gatherer<T> {
    fn default() -> Self {
        Self { open: BTreeMap::new() }
    }
}

impl<T> Gatherer<T> {
    /// Joins those with the same key.
    pub fn join(&mut self, now_ms: u64, wish: &Wish, who: T) {
        let due_ms = now_ms.saturating_add(wish.wait_ms);
        let gathering = self.open.entry(wish.key).or_insert_with(|| Gathering { due_ms, most: wish.most, members: Vec::new() });
        gathering.due_ms = gathering.due_ms.min(due_ms);
        gathering.members.push((wish.number, who));
    }

    /// Whether there are others, and its call makes one more.
    pub(crate) fn takes(&self, wish: &Wish) -> bool {
        self.open.get(&wish.key).is_some_and(|gathering| gathering.members.len() < gathering.most)
    }

    /// How many more each call makes that others wait for.
    pub(crate) fn open_places(&self) -> Vec<(Digest, usize)> {
        self.open.iter().map(|(key, gathering)| (*key, gathering.most.saturating_sub(gathering.members.len()))).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Takes out whoever does not want any more.
    pub fn retain(&mut self, mut wants: impl FnMut(&T) -> bool) {
        self.open.values_mut().for_each(|gathering| gathering.members.retain(|(_, who)| wants(who)));
        self.open.retain(|_, gathering| !gathering.members.is_empty());
    }

    /// Those whose time has come, in as many calls as it takes, each in the order of their numbers.
    pub fn take_due(&mut self, now_ms: u64) -> Vec<Vec<(u64, T)>> {
        let mut calls = Vec::new();
        for (_, mut gathering) in self.open.extract_if(.., |_, gathering| gathering.due_ms <= now_ms) {
            gathering.members.sort_by_key(|(number, _)| *number);
            let numbers: Vec<u64> = gathering.members.iter().map(|(number, _)| *number).collect();
            let mut members = gathering.members.into_iter();
            calls.extend(parts_of(&numbers, gathering.most).into_iter().map(|part| members.by_ref().take(part.len()).collect()));
        }
        calls
    }
}

/// Those that may begin, by what they may go with. Each is asked for its key once, however often others begin.
pub(crate) struct Alike<T> {
    unsorted: Vec<T>,
    sorted: BTreeMap<Digest, BTreeSet<T>>,
}

impl<T> Default for Alike<T> {
    fn default() -> Self {
        Self { unsorted: Vec::new(), sorted: BTreeMap::new() }
    }
}

impl<T: Ord> Alike<T> {
    pub(crate) fn add(&mut self, who: T) {
        self.unsorted.push(who);
    }

    /// Asks those that are new.
    pub(crate) fn sort(&mut self, mut key_of: impl FnMut(&T) -> Option<Digest>) {
        for who in self.unsorted.drain(..) {
            if let Some(key) = key_of(&who) {
                self.sorted.entry(key).or_default().insert(who);
            }
        }
    }

    /// Takes out so many of each key, the first ones first; whoever has begun otherwise is forgotten.
    pub(crate) fn take(&mut self, places: &[(Digest, usize)], waits: impl Fn(&T) -> bool) -> BTreeSet<T> {
        let mut taken = BTreeSet::new();
        for (key, places) in places {
            let Some(alike) = self.sorted.get_mut(key) else { continue };
            let first = std::iter::from_fn(|| alike.pop_first()).filter(|who| waits(who));
            taken.extend(first.take(*places));
        }
        taken
    }
}

/// The place of each in a call with this id.
pub fn seats<T>(id: &str, members: Vec<(u64, T)>) -> Vec<(T, Batch)> {
    let numbers: Vec<u64> = members.iter().map(|(number, _)| *number).collect();
    let seat = |(index, (_, who))| (who, Batch { id: id.to_owned(), numbers: numbers.clone(), index });
    members.into_iter().enumerate().map(seat).collect()
}

/// Calls of which some creates are open and others are not: that one may have been refused for good, or one more may have been written than was
/// called. They are never made again, since they would make objects that nobody waits for; what they made is found by its mark.
#[must_use]
pub fn broken_batches<'a>(open: impl IntoIterator<Item = &'a Intent>) -> BTreeSet<String> {
    let mut missing: BTreeMap<String, usize> = BTreeMap::new();
    for batch in open.into_iter().filter_map(batch_of) {
        let missing = missing.entry(batch.id.clone()).or_insert(batch.numbers.len());
        *missing = missing.saturating_sub(1);
    }
    missing.into_iter().filter(|(_, missing)| *missing > 0).map(|(id, _)| id).collect()
}

/// The place of an intent in a call of several.
pub(crate) const fn batch_of(intent: &Intent) -> Option<&Batch> {
    match &intent.operation {
        OpKind::Create { batch, .. } => batch.as_ref(),
        _ => None,
    }
}

/// What waits of an operation follow from: those that are one call come back together.
pub(crate) fn seed(intent: &Intent) -> &str {
    batch_of(intent).map_or(&intent.op_id, |batch| &batch.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_go_with_others_is_asked_once() {
        let (even, odd) = (Digest::of("even"), Digest::of("odd"));
        let mut alike = Alike::default();
        let mut asked = 0;
        (0..1_000).for_each(|who| alike.add(who));
        let mut taken = Vec::new();
        while taken.len() < 900 {
            alike.sort(|who| {
                asked += 1;
                (*who != 4).then(|| if who % 2 == 0 { even } else { odd })
            });
            taken.extend(alike.take(&[(even, 3), (odd, 2)], |who| *who != 1));
        }
        assert_eq!(asked, 1_000);
        assert_eq!(taken[..10], [0, 2, 3, 5, 6, 7, 8, 9, 10, 12], "in their order, without those that go alone or have begun");
    }
}
