//! What the controller looks at by itself: what is due, whether its workers are there, and whether there are others.

use std::collections::BTreeSet;

use cloudtik_executor::engine::{Command, TimerId};
use cloudtik_model::{Address, EventLevel, HeadConfig};
use cloudtik_provider_api::{Answer, CLUSTER_TAG, Call, Found, KindSchema, ROLE_TAG, Verb, Visibility, WORKER_ROLE};

use super::unit::UnitId;
use super::{Alarm, Controller, Route};
use crate::limits;

/// An instance that is watched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched {
    /// When it was asked for first: no sooner than it was made.
    since_ms: u64,
    /// Looks in a row that missed it.
    missed: u32,
}

impl Controller {
    pub(super) fn arm_tick(&mut self, now_ms: u64) {
        let number = self.number();
        self.alarms.insert(number, Alarm::Tick);
        self.commands.push(Command::Timer { timer: TimerId(number), at_ms: now_ms.saturating_add(self.times.tick_ms) });
    }

    /// What is due: questions to the provider, retries, the status, a fold.
    pub(super) fn tick(&mut self, now_ms: u64) {
        self.dirty = true;
        if self.stopping {
            return;
        }
        if let Some(config) = self.config() {
            if self.asking && now_ms.saturating_sub(self.asked_at_ms) > limits::CALL_LOST_MS {
                self.asking = false;
            }
            if !self.asking && self.find_due_ms <= now_ms {
                self.asking = true;
                self.asked_at_ms = now_ms;
                let uid = self.pushed.as_ref().map(|pushed| pushed.push.uid.clone()).unwrap_or_default();
                self.ask(&config, Route::Find, config.cluster.clone(), Verb::FindByTag { key: CLUSTER_TAG.to_owned(), value: uid });
            } else if !self.asking && self.looked && self.list_due_ms <= now_ms {
                let ids: BTreeSet<String> =
                    self.units.keys().filter_map(|id| self.instance_of(id)).map(|object| object.id.clone()).collect();
                self.list_due_ms = now_ms.saturating_add(self.times.poll_ms);
                if !ids.is_empty() {
                    self.asking = true;
                    self.asked_at_ms = now_ms;
                    self.watched.retain(|id, _| ids.contains(id));
                    for id in &ids {
                        self.watched.entry(id.clone()).or_insert(Watched { since_ms: now_ms, missed: 0 });
                    }
                    self.ask(&config, Route::List(ids.clone()), config.cluster.clone(), Verb::List { ids });
                }
            }
            self.publish(now_ms, &config);
        }
        let rests = now_ms.saturating_sub(self.last_record_ms) >= limits::FOLD_IDLE_MS;
        if self.unfolded >= limits::FOLD_RECORDS || self.unfolded > 0 && rests {
            self.unfolded = 0;
            self.commands.push(Command::Fold);
        }
    }

    pub(super) fn ask(&mut self, config: &HeadConfig, route: Route, address: Address, verb: Verb) {
        let Some(kind) = self.node_kind(config) else {
            // Without a group there is no kind to ask for, and nobody to be asked for.
            self.asking = false;
            return;
        };
        let ticket = self.route(route);
        self.commands.push(Command::Call { ticket, call: Call { provider: config.provider.clone(), address, kind, verb, limit: None } });
    }

    pub(super) fn listed(&mut self, now_ms: u64, asked: &BTreeSet<String>, answer: Answer) {
        self.asking = false;
        let Answer::Found(found) = answer else {
            return self.provider_trouble(&answer);
        };
        self.problem = None;
        let there: BTreeSet<&str> = found.iter().map(|found| found.object.id.as_str()).collect();
        let ids: Vec<UnitId> = self.units.keys().cloned().collect();
        for id in ids {
            let Some(instance) = self.instance_of(&id).map(|object| object.id.clone()) else { continue };
            if !asked.contains(&instance) || !self.is_gone(now_ms, &instance, there.contains(instance.as_str())) {
                continue;
            }
            let Some(unit) = self.units.get_mut(&id).filter(|unit| !unit.gone) else { continue };
            unit.gone = true;
            unit.ready = false;
            unit.checked = None;
            let address = unit.address.to_string();
            self.event(EventLevel::Warning, Some(&address), format!("{instance} is gone from the provider"));
            self.interrupt_unit(&id);
            self.dirty = true;
        }
    }

    /// Whether an instance is gone, as far as a look tells: one that was just made may be missed, and any look may be late.
    fn is_gone(&mut self, now_ms: u64, instance: &str, is_seen: bool) -> bool {
        let Visibility { ms, reads } = self.config().map_or(Visibility::AT_ONCE, |config| self.window(&config));
        let Some(watched) = self.watched.get_mut(instance) else { return false };
        watched.missed = if is_seen { 0 } else { watched.missed.saturating_add(1) };
        watched.missed >= reads && now_ms.saturating_sub(watched.since_ms) >= ms
    }

    fn provider_trouble(&mut self, answer: &Answer) {
        if let Answer::Failed(error) = answer {
            let text = format!("the provider does not answer: {}", error.message);
            if self.problem.as_ref() != Some(&text) {
                self.event(EventLevel::Warning, None, text.clone());
            }
            self.problem = Some(text);
        }
    }

    /// All instances of the cluster: the head, and workers that nobody here knows.
    pub(super) fn found(&mut self, now_ms: u64, answer: Answer) {
        self.asking = false;
        self.find_due_ms = now_ms.saturating_add(if self.looked { self.times.find_ms } else { self.times.poll_ms / 4 });
        let Answer::Found(found) = answer else {
            return self.provider_trouble(&answer);
        };
        self.problem = None;
        let Some(config) = self.config() else { return };
        for one in &found {
            if one.object.id == self.identity.instance {
                self.head = Some(one.clone());
            }
        }
        let workers: Vec<Found> =
            found.into_iter().filter(|found| found.tags.get(ROLE_TAG).map(String::as_str) == Some(WORKER_ROLE)).collect();
        self.deleted.retain(|_, at_ms| now_ms.saturating_sub(*at_ms) < limits::CALL_LOST_MS);
        self.strangers.clear();
        for worker in workers {
            self.consider(&config, worker);
        }
        if !self.strangers.is_empty() {
            self.find_due_ms = now_ms.saturating_add(self.times.poll_ms);
        }
        if !self.looked {
            self.empty_finds += 1;
            let first = *self.first_find_ms.get_or_insert(now_ms);
            let Visibility { ms, reads } = self.window(&config);
            // A store with something in it knows what it made; an empty one must be sure that there is nothing.
            let knows = !self.ledger.state.facts.is_empty();
            self.looked = self.head.is_some() && (knows || now_ms.saturating_sub(first) >= ms && self.empty_finds >= reads);
        }
        self.dirty = true;
    }

    /// How long a new instance may hide from a search, and how many searches must find nothing.
    fn window(&self, config: &HeadConfig) -> Visibility {
        let kind = self.node_kind(config).and_then(|kind| self.schemas.get(config.provider.provider_type())?.kinds.get(&*kind));
        kind.map_or(Visibility::AT_ONCE, KindSchema::visibility)
    }
}
