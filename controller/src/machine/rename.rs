//! A group that is called otherwise: its workers stay what they are, under other addresses.
//!
//! It happens between two plans: what is under way for its workers ends first, and until then nothing is decided. A node keeps the markers of its
//! steps under the address that it was made with, so whatever is asked of it is asked under that one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloudtik_executor::Record;
use cloudtik_executor::engine::StepJob;
use cloudtik_model::{Address, EventLevel, HeadConfig, Value};

use super::unit::{Unit, UnitId};
use super::{Controller, facts, worker_of};

/// A group, and what it was called.
struct Rename {
    from: Arc<str>,
    to: Arc<str>,
}

impl Controller {
    /// Renames the groups whose workers rest. Whether some are still to be renamed.
    pub(super) fn rename_groups(&mut self) -> bool {
        let Some(config) = self.config() else { return false };
        let mut waits = false;
        for rename in self.renames(&config) {
            let working: Vec<UnitId> = self
                .units
                .iter()
                .filter(|(id, unit)| id.group() == Some(&rename.from) && !unit.is_idle())
                .map(|(id, _)| id.clone())
                .collect();
            if working.is_empty() {
                self.rename(&config, &rename);
                continue;
            }
            waits = true;
            // Once: whoever was told goes on with what it has begun.
            for id in working {
                if let Some(unit) = self.units.get_mut(&id).filter(|unit| !unit.told_to_rest) {
                    unit.told_to_rest = true;
                    self.interrupt_unit(&id);
                }
            }
        }
        waits
    }

    /// The groups that have workers under their former name. Where a number of theirs is taken, the configuration names two groups as one: those
    /// of the former name belong to no group then, and go.
    fn renames(&self, config: &HeadConfig) -> Vec<Rename> {
        let numbers = |label: &Arc<str>| -> BTreeSet<u64> {
            self.units.keys().filter(|id| id.group() == Some(label)).map(UnitId::sequence).collect()
        };
        let renamed = config.groups.iter().filter_map(|(to, group)| {
            let from = group.moved_from.clone().filter(|from| !config.groups.contains_key(from))?;
            let moving = numbers(&from);
            (!moving.is_empty() && moving.is_disjoint(&numbers(to))).then(|| Rename { from, to: Arc::clone(to) })
        });
        renamed.collect()
    }

    fn rename(&mut self, config: &HeadConfig, Rename { from, to }: &Rename) {
        let ids: Vec<UnitId> = self.units.keys().filter(|id| id.group() == Some(from)).cloned().collect();
        let state = &self.ledger.state;
        let number = |label: &str| facts::number(state, &facts::next_key(label)).unwrap_or(1);
        let formed = facts::is_set(state, &facts::formed_key(from)) || facts::is_set(state, &facts::formed_key(to));
        // Numbers of the former name stay used: the host names of its workers are made with them.
        let mut known = vec![(facts::next_key(to), Value::from(number(from).max(number(to)))), (facts::formed_key(to), formed.into())];
        let mut stale = vec![(facts::formed_key(from), Value::from(false))];
        let mut units: Vec<(UnitId, Unit)> = Vec::new();
        for id in ids {
            let Some(mut unit) = self.units.remove(&id) else { continue };
            let now = UnitId::Worker { group: Arc::clone(to), sequence: id.sequence() };
            let (before, after) = (unit.address.clone(), worker_of(&config.cluster, &now));
            let state = &self.ledger.state;
            if let Some(frozen) = state.facts.get(&facts::frozen_key(&before)) {
                known.push((facts::frozen_key(&after), frozen.clone()));
            }
            // One that has no machine yet gets one under the name of now.
            let has_machine = state.resources.get(&before).is_some_and(|entry| entry.current.is_some())
                || self.ledger.open.values().any(|open| open.intent.address == before);
            if has_machine {
                known.push((facts::born_key(&after), facts::born(state, &before).unwrap_or(&before.to_string()).into()));
            }
            let old = [facts::frozen_key(&before), facts::born_key(&before)].into_iter().filter(|key| state.facts.contains_key(key));
            stale.extend(old.map(|key| (key, Value::NULL)));
            unit.address = after;
            unit.checked = None;
            unit.told_to_rest = false;
            unit.changes += 1;
            units.push((now, unit));
        }
        // In this order: whoever finds workers under the former name does all of it again.
        self.remember(known);
        let workers = config.cluster.child("workers");
        let (old, new) = (workers.child(Arc::clone(from)), workers.child(Arc::clone(to)));
        self.write(vec![Record::Moved { from: old, to: new.clone() }], None);
        self.remember(stale);
        self.units.extend(units);
        if let Some(memo) = self.groups.remove(from) {
            self.groups.insert(Arc::clone(to), super::Memo { turn: None, ..memo });
        }
        self.event(EventLevel::Info, Some(&new.to_string()), format!("was `{from}`; its workers stay"));
        self.dirty = true;
    }

    /// Makes what is asked of a node the node's own: under the address that it was made with.
    pub(super) fn as_its_node_knows_it(&self, id: &UnitId, job: &mut StepJob) {
        let Some(unit) = self.units.get(id) else { return };
        let born = facts::born(&self.ledger.state, &unit.address).and_then(|text| text.parse::<Address>().ok());
        let asked = job.request.address.parse::<Address>().ok();
        if let Some(address) = born.zip(asked).and_then(|(born, asked)| asked.moved(&unit.address, &born)) {
            job.request.address = address.to_string();
        }
    }
}

/// What an instance says that its group is called: as it was published last, else as it was made.
pub(super) fn group_of(tags: &BTreeMap<String, String>) -> &str {
    let published = tags.get(&format!("{}{GROUP_STATUS}", cloudtik_provider_api::STATUS_PREFIX));
    published.or_else(|| tags.get(cloudtik_provider_api::GROUP_TAG)).map_or("", String::as_str)
}

/// The key of the published status of a worker that names its group.
pub(super) const GROUP_STATUS: &str = "group";
