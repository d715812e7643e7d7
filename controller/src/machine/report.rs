//! What others see: events, the status, and what is published through the provider.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudtik_executor::engine::{OperationWord, Progress, entry_host_key};
use cloudtik_model::{Address, ControllerEvent, ControllerStatus, EventLevel, GroupStatus, HeadConfig, NodeState, NodeStatus, Value};
use cloudtik_provider_api::{Answer, Instance, Verb};

use super::unit::{UnitId, Work};
use super::{Controller, Route, facts};
use crate::limits;

impl Controller {
    /// Something happened.
    pub(super) fn event(&mut self, level: EventLevel, address: Option<&str>, text: String) {
        self.last_event += 1;
        let time = self.began_secs.saturating_add(self.now_ms / 1_000);
        self.events.push_back(ControllerEvent { sequence: self.last_event, time, level, address: address.map(str::to_owned), text });
        while self.events.len() > limits::EVENTS_MAX {
            self.events.pop_front();
        }
    }

    /// The newest events after a sequence, oldest first.
    #[must_use]
    pub fn events_after(&self, after: u64, limit: usize) -> Vec<ControllerEvent> {
        let newer: Vec<&ControllerEvent> = self.events.iter().filter(|event| event.sequence > after).collect();
        let skipped = newer.len().saturating_sub(limit);
        newer.into_iter().skip(skipped).cloned().collect()
    }

    /// What a machine of a unit shows: for the status, and what is worth an event.
    pub(super) fn progress(&mut self, id: &UnitId, progress: Progress) {
        let running = self.units.get_mut(id).map(|unit| &mut unit.running);
        match &progress {
            Progress::Began { address, .. } => {
                if let Some(running) = running {
                    running.insert(address.clone());
                }
            }
            Progress::Done { address, .. } | Progress::Failed { address, .. } | Progress::GivenUp { address, .. } => {
                if let Some(running) = running {
                    running.remove(address);
                }
            }
            Progress::Retrying { .. } | Progress::Skipped { .. } => {}
        }
        match progress {
            Progress::Done { address, word, took_ms, .. } => {
                let seconds = format!("{}.{}s", took_ms / 1_000, took_ms % 1_000 / 100);
                let what = match word {
                    OperationWord::Create => "made",
                    OperationWord::Update => "changed",
                    OperationWord::Import => "imported",
                    OperationWord::Delete | OperationWord::DeleteDeposed => "removed",
                    OperationWord::Run => "done",
                    OperationWord::Undo => "undone",
                    OperationWord::Forget | OperationWord::Record => return,
                };
                self.event(EventLevel::Info, Some(&address.to_string()), format!("{what} in {seconds}"));
            }
            Progress::Retrying { address, error, tries, .. } => {
                self.event(EventLevel::Warning, Some(&address.to_string()), format!("{} (try {tries})", error.message));
            }
            Progress::Failed { .. } | Progress::Began { .. } | Progress::GivenUp { .. } | Progress::Skipped { .. } => {}
        }
    }

    /// How things stand.
    #[must_use]
    pub fn status(&self) -> ControllerStatus {
        let mut status = ControllerStatus {
            tool_version: self.tool_version.clone(),
            problem: self.problem.clone(),
            draining: facts::is_set(&self.ledger.state, facts::DRAINING),
            last_event: self.last_event,
            ..ControllerStatus::default()
        };
        let (Some(pushed), Some(config)) = (&self.pushed, self.config()) else { return status };
        status.uid.clone_from(&pushed.push.uid);
        status.epoch = pushed.push.epoch;
        status.generation = pushed.generation;
        status.login_key = pushed.login_key.trim().to_owned();
        status.digest = Some(pushed.push.digest);
        for label in config.groups.keys().chain(self.units.keys().filter_map(UnitId::group)) {
            status.groups.entry(label.to_string()).or_insert_with(|| self.group_status(&config, label));
        }
        for (id, unit) in &self.units {
            if *id != UnitId::Head || unit.steps > 0 {
                status.nodes.insert(unit.address.to_string(), self.node_status(id));
            }
        }
        status.services = config.services.keys().map(|name| (name.to_string(), self.endpoints(&config, name))).collect();
        status.settled = self.looked
            && self.units.values().all(|unit| unit.is_idle() && unit.ready && self.is_looked_at(unit))
            && self.units.get(&UnitId::Head).is_none_or(|head| head.checked.as_ref() == Some(&self.basis(&config, &UnitId::Head)))
            && status.groups.values().all(|group| group.ready == group.desired && group.outdated == 0);
        status
    }

    /// Whether it was compared with the newest configuration: before, nobody knows whether it is as that says.
    fn is_looked_at(&self, unit: &super::unit::Unit) -> bool {
        let generation = self.pushed.as_ref().map(|pushed| pushed.generation);
        unit.checked.as_ref().map(|basis| basis.generation) == generation
    }

    fn group_status(&self, config: &HeadConfig, label: &str) -> GroupStatus {
        let group = config.groups.get(label);
        let units: Vec<_> = self.units.iter().filter(|(id, _)| id.group().is_some_and(|group| **group == *label)).collect();
        let count = |what: &dyn Fn(&super::unit::Unit) -> bool| {
            u64::try_from(units.iter().filter(|(_, unit)| what(unit)).count()).unwrap_or(u64::MAX)
        };
        let memo = self.groups.get(label);
        let failing = units.iter().find_map(|(_, unit)| unit.problem.clone().filter(|_| unit.is_failing()));
        GroupStatus {
            min: group.map_or(0, |group| group.min),
            max: group.map_or(0, |group| group.max),
            desired: self.target_of(label),
            ready: count(&|unit| unit.ready && self.is_looked_at(unit)),
            template: self.outlines.get(&Some(Arc::from(label))).and_then(|outline| outline.template),
            formed: self.is_formed(label),
            outdated: count(&|unit| unit.outdated && unit.leaving.is_none()),
            problem: memo.and_then(|memo| memo.problem.clone()).or(failing),
        }
    }

    fn node_status(&self, id: &UnitId) -> NodeStatus {
        let unit = self.units.get(id);
        let object = match id {
            UnitId::Head => None,
            UnitId::Worker { .. } => self.instance_of(id),
        };
        let attributes = object.map(|object| &object.attributes).or_else(|| match id {
            UnitId::Head => self.head.as_ref().map(|head| &head.object.attributes),
            UnitId::Worker { .. } => None,
        });
        let instance = attributes.and_then(Instance::of);
        let node = attributes.and_then(|attributes| attributes.get("node"));
        let state = match unit {
            Some(unit) if unit.leaving.is_some() => NodeState::Leaving,
            Some(unit) if unit.gone => NodeState::Gone,
            Some(unit) if unit.ready => NodeState::Ready,
            Some(unit) if unit.is_failing() && unit.is_idle() => NodeState::Failing,
            Some(_) if object.is_none() && *id != UnitId::Head => NodeState::Launching,
            Some(unit) if matches!(unit.work, Work::Idle) && (unit.waits || unit.wants_turn) => NodeState::Waiting,
            _ => NodeState::SettingUp,
        };
        let below = unit.map(|unit| self.steps_done(&unit.address)).unwrap_or(0);
        NodeStatus {
            group: id.group().map(ToString::to_string).unwrap_or_default(),
            id: match id {
                UnitId::Head => self.identity.instance.clone(),
                UnitId::Worker { .. } => object.map(|object| object.id.clone()).unwrap_or_default(),
            },
            address: node.and_then(|node| node.get("address")).and_then(Value::as_str).unwrap_or_default().to_owned(),
            state,
            host_key: self.host_key_of(id),
            ssh_user: instance.as_ref().map(|instance| instance.user.clone()).unwrap_or_default(),
            ssh_port: instance.as_ref().map_or(0, |instance| instance.port),
            steps_done: below,
            steps: unit.map_or(0, |unit| unit.steps.max(below)),
            running: unit.map(|unit| unit.running.iter().map(ToString::to_string).collect()).unwrap_or_default(),
            problem: unit.and_then(|unit| unit.problem.clone()).filter(|_| state != NodeState::Ready),
        }
    }

    fn steps_done(&self, address: &Address) -> u64 {
        let below = self.ledger.state.resources.range(address.clone()..).take_while(|(other, _)| other.is_within(address));
        let done =
            below.filter(|(_, entry)| entry.kind.starts_with("step.") && entry.current.as_ref().is_some_and(|object| !object.tainted));
        u64::try_from(done.count()).unwrap_or(u64::MAX)
    }

    fn host_key_of(&self, id: &UnitId) -> Option<String> {
        let instance = self.instance_of(id)?.id.clone();
        let entry = self.ledger.state.resources.get(&self.host_key_step(id)?)?;
        entry_host_key(entry, &instance)
    }

    /// Publishes what changed: the head's status on the head, host key and kept values of a worker on the worker.
    pub(super) fn publish(&mut self, now_ms: u64, config: &HeadConfig) {
        if now_ms < self.publish_due_ms || !self.looked {
            return;
        }
        self.publish_due_ms = now_ms.saturating_add(self.times.poll_ms / 4);
        let status = self.status();
        let mut values = BTreeMap::from([
            ("epoch".to_owned(), status.epoch.to_string()),
            ("generation".to_owned(), status.generation.to_string()),
            ("digest".to_owned(), status.digest.map(|digest| digest.to_string()).unwrap_or_default()),
            ("settled".to_owned(), status.settled.to_string()),
            ("draining".to_owned(), status.draining.to_string()),
            ("login_key".to_owned(), status.login_key.trim().to_owned()),
        ]);
        // By it whoever lost the project's state knows the head again.
        let step = config.cluster.child("head").child("step").child("host_key");
        let told = self.pushed.as_ref().and_then(|pushed| pushed.references.get(&step)?.get("host_key")?.as_str());
        values.extend(told.map(|key| ("host_key".to_owned(), key.to_owned())));
        for (label, group) in &status.groups {
            let template = group.template.map(|digest| digest.short()).unwrap_or_default();
            values.insert(format!("group.{label}"), format!("{}/{}/{template}", group.desired, group.ready));
        }
        if self.published.as_ref() != Some(&values) && self.publishing.insert(UnitId::Head) {
            let head = config.cluster.child("head");
            let verb = Verb::PublishStatus { id: self.identity.instance.clone(), status: values.clone() };
            self.published = Some(values);
            self.ask(config, Route::Published(UnitId::Head), head, verb);
        }
        let ids: Vec<UnitId> = self.units.keys().filter(|id| **id != UnitId::Head).cloned().collect();
        for id in ids {
            let Some(host_key) = self.host_key_of(&id) else { continue };
            let Some((address, instance)) =
                self.units.get(&id).map(|unit| unit.address.clone()).zip(self.instance_of(&id).map(|object| object.id.clone()))
            else {
                continue;
            };
            let group = id.group().map(ToString::to_string).unwrap_or_default();
            let mut status = BTreeMap::from([("host_key".to_owned(), host_key), (super::rename::GROUP_STATUS.to_owned(), group)]);
            if let Some(frozen) = self.frozen_of(&id) {
                let text = serde_json::to_string(&facts::write_frozen(&frozen)).unwrap_or_default();
                status.insert("frozen".to_owned(), text);
            }
            let mark = format!("{instance} {status:?}");
            let due = self.units.get(&id).is_some_and(|unit| unit.published.as_ref() != Some(&mark) && !unit.gone);
            if due && self.publishing.insert(id.clone()) {
                if let Some(unit) = self.units.get_mut(&id) {
                    unit.published = Some(mark);
                }
                self.ask(config, Route::Published(id), address, Verb::PublishStatus { id: instance, status });
            }
        }
    }

    /// The provider has what was published, or it is published again.
    pub(super) fn was_published(&mut self, id: &UnitId, answer: &Answer) {
        self.publishing.remove(id);
        if *answer == Answer::Done {
            return;
        }
        match id {
            UnitId::Head => self.published = None,
            UnitId::Worker { .. } => {
                if let Some(unit) = self.units.get_mut(id) {
                    unit.published = None;
                }
            }
        }
    }
}
