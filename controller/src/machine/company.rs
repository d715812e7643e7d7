//! Workers that are launched by one call.
//!
//! Each has its engine, which says with which others its create may go. Those that come in one moment get their places in a call and its secrets
//! together. Their calls go out when all of them are there: then the intent of each is durable.

use std::collections::{BTreeMap, VecDeque};

use cloudtik_executor::engine::{Command, Event, Gatherer, Made, Seat, StepJob, Ticket, Wish, seats};
use cloudtik_model::Address;
use cloudtik_provider_api::{Batch, Call, CallError, SecretKind, Verb};

use super::unit::UnitId;
use super::{Alarm, Controller, Owner, Route};
use crate::limits;

/// See the module.
#[derive(Default)]
pub(super) struct Company {
    /// Who waits for others.
    gatherer: Gatherer<Waiting>,
    /// Who has found others, and waits for the secrets of the call.
    forming: BTreeMap<String, Vec<(u64, Waiting)>>,
    /// Calls that came, and wait for those of all others that are the same.
    boarding: BTreeMap<String, Boarding<(Owner, Ticket, Call)>>,
    formed: u64,
}

/// A call that has not gone out.
struct Boarding<T> {
    /// Whose call did not come yet: the place of each, and its machine.
    missing: BTreeMap<usize, u64>,
    calls: Vec<T>,
}

impl<T> Boarding<T> {
    /// Takes the call of a place, also one that another machine makes for who had it. Whether all are there.
    fn take(&mut self, index: usize, call: T) -> bool {
        self.missing.remove(&index);
        self.calls.push(call);
        self.missing.is_empty()
    }

    /// Nobody waits for a machine that ended. Its intent stays open, so what the others' call makes for it is found. Whether all are there.
    fn leave(&mut self, machine: u64) -> bool {
        self.missing.retain(|_, of| *of != machine);
        self.missing.is_empty()
    }
}

struct Waiting {
    owner: Owner,
    ticket: Ticket,
    address: Address,
    kinds: Vec<(String, SecretKind)>,
}

impl Controller {
    /// A unit's engine asks for others that its create may go with.
    pub(super) fn gather(&mut self, now_ms: u64, owner: Owner, ticket: Ticket, wish: &Wish, of: (Address, Vec<(String, SecretKind)>)) {
        let (address, kinds) = of;
        self.company.gatherer.join(now_ms, wish, Waiting { owner, ticket, address, kinds });
        if wish.wait_ms > 0 {
            self.alarm(now_ms.saturating_add(wish.wait_ms), Alarm::Gathering);
        }
    }

    /// Brings together who waited long enough.
    pub(super) fn bring_together(&mut self, now_ms: u64) {
        for members in self.company.gatherer.take_due(now_ms) {
            let [(_, first), ..] = members.as_slice() else { continue };
            if members.len() == 1 {
                let (owner, ticket) = (first.owner.clone(), first.ticket);
                self.hand(owner, Event::Seated { ticket, seat: None });
                continue;
            }
            self.company.formed += 1;
            let id = format!("{}.b{}", self.run_id, self.company.formed);
            let (address, kinds) = (first.address.clone(), first.kinds.clone());
            self.company.forming.insert(id.clone(), members);
            if kinds.is_empty() {
                self.seat(&id, &Ok(BTreeMap::new()));
                continue;
            }
            let ticket = self.route(Route::Seats(id.clone()));
            self.commands.push(Command::MakeSecrets { ticket, address, op_id: id, kinds });
        }
    }

    /// The secrets of a call are there: each gets its place, unless it does not want it any more.
    pub(super) fn seat(&mut self, id: &str, secrets: &Result<BTreeMap<String, Made>, CallError>) {
        let mut members = self.company.forming.remove(id).unwrap_or_default();
        members.retain(|(_, waiting)| self.is_current(&waiting.owner));
        if secrets.is_ok() && !members.is_empty() {
            let missing = members.iter().map(|(_, waiting)| waiting.owner.machine).enumerate().collect();
            self.company.boarding.insert(id.to_owned(), Boarding { missing, calls: Vec::new() });
        }
        for (waiting, batch) in seats(id, members) {
            let seat = Seat { batch, secrets: secrets.clone() };
            self.hand(waiting.owner, Event::Seated { ticket: waiting.ticket, seat: Some(seat) });
        }
    }

    /// Ends what is under way for a unit, if it has not begun, and as soon as can be.
    pub(super) fn interrupt_unit(&mut self, id: &UnitId) {
        self.company.gatherer.retain(|waiting| waiting.owner.id != *id);
        for members in self.company.forming.values_mut() {
            members.retain(|(_, waiting)| waiting.owner.id != *id);
        }
        self.inbox.push_back((id.clone(), Event::Interrupt));
    }

    /// Queues a call. The first one of each of several that are one call waits for the others: only then all intents are durable.
    pub(super) fn queue_call(&mut self, owner: Owner, ticket: Ticket, call: Call) {
        let place = batch_of(&call).map(|batch| (batch.id.clone(), batch.index));
        let boarding = place.and_then(|(id, index)| Some((self.company.boarding.get_mut(&id)?, id, index)));
        let Some((boarding, id, index)) = boarding else {
            self.queued.push_back((owner, ticket, call));
            return;
        };
        if boarding.take(index, (owner, ticket, call)) {
            self.queued.extend(self.company.boarding.remove(&id).into_iter().flat_map(|boarding| boarding.calls));
        }
    }

    /// A machine is at its end: the calls that only waited for its own go out.
    pub(super) fn leave_company(&mut self, machine: u64) {
        for (_, boarding) in self.company.boarding.extract_if(.., |_, boarding| boarding.leave(machine)) {
            self.queued.extend(boarding.calls);
        }
        self.send_calls();
    }
}

/// Whether a call counts for the limit of its kind: of several that are one call the first does.
pub(super) fn counts(call: &Call) -> bool {
    batch_of(call).is_none_or(|batch| batch.index == 0)
}

const fn batch_of(call: &Call) -> Option<&Batch> {
    match &call.verb {
        Verb::Create(request) => request.batch.as_ref(),
        _ => None,
    }
}

/// Steps that wait because as many workers are worked on as may be.
pub(super) type QueuedSteps = VecDeque<(Owner, bool, Box<StepJob>)>;

impl Controller {
    /// Sends a step, or the question whether it was done, when there is a place for its unit.
    pub(super) fn queue_step(&mut self, owner: Owner, checks: bool, job: Box<StepJob>) {
        self.queued_steps.push_back((owner, checks, job));
        self.send_steps();
    }

    pub(super) fn send_steps(&mut self) {
        let mut rest = VecDeque::new();
        while let Some((owner, checks, mut job)) = self.queued_steps.pop_front() {
            if !self.is_current(&owner) {
                continue;
            }
            if !self.at_work.contains(&owner.id) && self.at_work.len() >= limits::UNITS_AT_ONCE_MAX {
                rest.push_back((owner, checks, job));
                continue;
            }
            self.at_work.insert(owner.id.clone());
            job.ticket = self.route(Route::Unit(owner, job.ticket));
            self.commands.push(if checks { Command::CheckStep(job) } else { Command::RunStep(job) });
        }
        self.queued_steps = rest;
    }

    /// Whether as much is done as may be, so that nothing can begin for this unit. Launches only wait for the cloud: many may be under way.
    pub(super) fn is_crowded(&self, id: &UnitId) -> bool {
        let launches = |id: &UnitId| id.group().is_some() && self.units.get(id).is_some_and(|unit| !unit.had_instance);
        let launched = launches(id);
        let most = if launched { limits::LAUNCHES_AT_ONCE_MAX } else { limits::UNITS_AT_ONCE_MAX };
        let busy = self.units.iter().filter(|(other, unit)| !unit.is_idle() && launches(other) == launched);
        busy.take(most).count() >= most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_waits_for_the_places_that_are_missing_and_for_nobody_who_ended() {
        let boarding = || Boarding { missing: BTreeMap::from([(0, 7), (1, 8), (2, 9)]), calls: Vec::new() };
        let mut all = boarding();
        assert_eq!([2, 0, 1].map(|index| all.take(index, index)), [false, false, true]);
        assert_eq!(all.calls, [2, 0, 1]);
        let mut ended = boarding();
        assert!(!ended.take(1, 1) && !ended.take(2, 2));
        assert!(!ended.leave(8), "it came before it ended");
        assert!(ended.leave(7));
        assert_eq!(ended.calls, [1, 2]);
        // Who settles what another machine left asks for the same place: that stands for no other one.
        let mut settled = boarding();
        assert!(!settled.take(1, 1) && !settled.leave(7) && !settled.take(0, 0));
        assert!(settled.take(2, 2));
    }
}
