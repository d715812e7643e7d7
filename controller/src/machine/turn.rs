//! Turns: members of a group with a quorum come, go and restart one at a time.

use std::sync::Arc;

use cloudtik_model::{EventLevel, Value};

use super::Controller;
use super::facts;
use super::unit::{Unit, UnitId};
use crate::decide::Reason;

impl Controller {
    /// A group with a quorum whose members are all lost has nobody who could take in another one: it begins anew.
    pub(super) fn begin_anew(&mut self) {
        let Some(config) = self.config() else { return };
        for (label, _) in config.groups.iter().filter(|(_, group)| group.quorum && !group.memberships.is_empty()) {
            let ids: Vec<UnitId> = self.units.keys().filter(|id| id.group() == Some(label)).cloned().collect();
            if !self.is_formed(label) || ids.is_empty() || ids.iter().any(|id| self.has_joined(id)) {
                continue;
            }
            self.remember([(facts::formed_key(label), Value::from(false))]);
            self.event(EventLevel::Warning, None, format!("group {label} lost all of its members and begins anew"));
            // Who began to look for them would look for ever.
            for id in ids.iter().filter(|id| self.frozen_of(id).is_some()).cloned().collect::<Vec<_>>() {
                if let Some(unit) = self.units.get_mut(&id) {
                    unit.given_up = true;
                }
            }
        }
    }

    /// Takes turns back from those that are done, and gives them to who is next.
    pub(super) fn take_turns(&mut self) {
        let Some(config) = self.config() else { return };
        let quorums: Vec<Arc<str>> = self
            .units
            .keys()
            .filter_map(|id| id.group().cloned())
            .filter(|group| config.groups.get(group).is_none_or(|group| group.quorum))
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect();
        for group in quorums {
            let holder = self.groups.get(&group).and_then(|memo| memo.turn.clone());
            let keeps = holder.as_ref().is_some_and(|id| self.keeps_turn(id));
            if !keeps {
                let next = if self.is_formed(&group) { self.next_turn(&group) } else { None };
                self.memo(&group).turn = next;
            }
        }
    }

    pub(super) fn has_turn(&self, id: &UnitId) -> bool {
        id.group().and_then(|group| self.groups.get(group)).is_some_and(|memo| memo.turn.as_ref() == Some(id))
    }

    /// Whether a unit is in the middle of what its turn is for.
    fn keeps_turn(&self, id: &UnitId) -> bool {
        let Some(unit) = self.units.get(id) else { return false };
        if !unit.is_idle() {
            return true;
        }
        // One that waits after a failure lets those go first that leave: they are what makes the others fail.
        let fails = unit.failures > 0;
        if unit.leaving.is_some() { self.has_joined(id) } else { !unit.ready && !unit.gone && !unit.given_up && !fails }
    }

    fn next_turn(&self, group: &Arc<str>) -> Option<UnitId> {
        let of_group = || self.units.iter().filter(|(id, _)| id.group() == Some(group));
        let well = |except: &UnitId| {
            of_group().all(|(id, unit)| id == except || unit.leaving.is_some() || unit.gone || !self.has_joined(id) || unit.ready)
        };
        // Those that are gone leave first: until then they count as members that do not answer.
        let gone = of_group().find(|(id, unit)| unit.leaving.is_some() && unit.gone && self.has_joined(id));
        // Then who has begun to join: it counts already.
        let joining =
            || of_group().find(|(id, unit)| unit.leaving.is_none() && !unit.gone && !unit.ready && !unit.was_ready && self.has_joined(id));
        let complete = self.is_complete(group);
        let leaving = || {
            of_group().find(|(id, unit)| {
                unit.leaving.is_some() && self.has_joined(id) && (unit.leaving == Some(Reason::GivenUp) || complete(true) && well(id))
            })
        };
        let changing =
            || of_group().find(|(id, unit)| unit.leaving.is_none() && !unit.gone && unit.wants_turn && complete(false) && well(id));
        let coming = || {
            of_group().find(|(id, unit)| {
                unit.leaving.is_none() && !unit.gone && !unit.given_up && !self.has_joined(id) && self.node_of(id).is_some() && well(id)
            })
        };
        gone.or_else(joining).or_else(leaving).or_else(changing).or_else(coming).map(|(id, _)| id.clone())
    }

    /// Whether a group can do without a member for a while: all that it should have are there, or those that are missing do not come. Where one
    /// is to leave, those that wait for it count as there: others are made when they are gone.
    fn is_complete(&self, group: &Arc<str>) -> impl Fn(bool) -> bool + use<> {
        let of_group = || self.units.iter().filter(|(id, _)| id.group() == Some(group));
        let stays = |unit: &Unit| unit.leaving.is_none() && !unit.gone && !unit.given_up;
        let members = of_group().filter(|(id, unit)| stays(unit) && self.has_joined(id)).count();
        let leaving = of_group().filter(|(id, unit)| unit.leaving.is_some() && !unit.gone && self.has_joined(id)).count();
        // What keeps the missing ones from coming may be what the change mends.
        let fails = of_group().any(|(id, unit)| stays(unit) && !self.has_joined(id) && unit.failures > 0);
        let pauses = self.groups.get(group).is_some_and(|memo| memo.pause_until_ms > self.now_ms);
        let target = usize::try_from(self.target_of(group)).unwrap_or(usize::MAX);
        move |with_leaving| members.saturating_add(if with_leaving { leaving } else { 0 }) >= target || fails || pauses
    }
}
