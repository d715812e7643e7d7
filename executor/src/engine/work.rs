//! An operation on its way: the call, its answers, the tries, what is done where nobody knows what happened, and the outcome.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use cloudtik_model::{State, StepOutcome, Verb as NodeVerb};
use cloudtik_planner::OperationKind;
use cloudtik_provider_api::{Answer, Batch, Call, CallError, ErrorClass, Idempotency, ObjectAnswer, Secret, SecretKind, Verb};

use crate::engine::batch::{batch_of, seats, seed};
use crate::engine::machine::{Alarm, Engine, Then, word_of};
use crate::engine::objects::{backoff_ms, kind_schema, permanent, resource_object, step_object};
use crate::engine::room::WithoutRoom;
use crate::engine::settlement::{SettleMode, Settlement, SettlementInput, SettlementReport};
use crate::engine::{Broken, Command, Event, Made, OP_TAG, Progress, Seat, Step as _, StepAnswer, StepJob, Wish, values};
use crate::{Intent, OpKind, OpResult, RECORD_VERSION, Record};

/// An operation that has begun.
pub(crate) struct Work {
    pub(crate) intent: Intent,
    pub(crate) doing: Doing,
    pub(crate) phase: Phase,
    /// Secrets that are made before the intent.
    pub(crate) secrets: Vec<(String, SecretKind)>,
    /// Whether it counts for the limits of what is done at once; one that goes with others does not.
    pub(crate) counts: bool,
    /// Tries that did not work.
    pub(crate) tries: u32,
    pub(crate) began_ms: u64,
    pub(crate) last_error: Option<CallError>,
    /// While nobody knows what the last call did.
    pub(crate) settlement: Option<Box<Settlement>>,
    /// What was tried before, and there was no room for.
    pub(crate) without_room: Vec<WithoutRoom>,
}

/// What is asked of whom.
pub(crate) enum Doing {
    Call(Verb),
    Step(Box<StepJob>),
}

/// What an operation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Others that it may go with. Nothing is written yet.
    Company,
    /// Its secrets. Nothing is written yet.
    Secrets,
    /// The secrets of the call that it has a place in: nothing is written yet, and it cannot be taken out any more.
    Seat,
    /// Its intent to be durable.
    Intent,
    /// An answer, or its turn to ask.
    Answer,
}

impl Engine {
    /// Waits for others that may go with it: here, or where several engines are brought together.
    pub(crate) fn gather(&mut self, now_ms: u64, id: usize, wish: Wish) {
        let Some(work) = self.works.get(&id).filter(|_| self.input.gathers_elsewhere) else {
            self.gatherer.join(now_ms, &wish, id);
            if wish.wait_ms > 0 {
                self.alarm(now_ms.saturating_add(wish.wait_ms), Alarm::Gathering);
            }
            return;
        };
        let (address, kinds) = (work.intent.address.clone(), work.secrets.clone());
        let ticket = self.next_ticket(id, None);
        self.commands.push(Command::Gather { ticket, wish, address, kinds });
    }

    /// Those that found together get their places: their intents are written in one group, and their calls follow it.
    pub(crate) fn bring_together(&mut self, now_ms: u64) {
        for members in self.gatherer.take_due(now_ms) {
            if let [(_, alone)] = members.as_slice() {
                self.make_secrets(*alone);
                continue;
            }
            let batch_id = self.next_op_id();
            let seats = seats(&batch_id, members);
            let first = seats.first().map(|(id, _)| *id);
            for (id, batch) in seats {
                self.take_seat(id, batch);
            }
            if let Some(first) = first {
                self.make_secrets_as(first, batch_id);
            }
        }
    }

    /// Where engines are brought together: with whom it goes.
    pub(crate) fn seated(&mut self, id: usize, seat: Option<Seat>) {
        if self.works.get(&id).is_none_or(|work| work.phase != Phase::Company) {
            return;
        }
        match seat {
            Some(Seat { batch, secrets }) => {
                self.take_seat(id, batch);
                self.secrets_ready(id, secrets);
            }
            None => self.make_secrets(id),
        }
    }

    /// From here on it is one of several: they have one token, and its mark says which of them it is.
    fn take_seat(&mut self, id: usize, seat: Batch) {
        let Some(work) = self.works.get_mut(&id) else { return };
        work.phase = Phase::Seat;
        let op_id = Batch::op_id(&seat.id, seat.index);
        work.intent.op_id.clone_from(&op_id);
        if let OpKind::Create { token, tags, batch, .. } = &mut work.intent.operation {
            token.clone_from(&seat.id);
            tags.insert(OP_TAG.to_owned(), op_id.clone());
            *batch = Some(seat.clone());
        }
        if let Doing::Call(Verb::Create(request)) = &mut work.doing {
            request.token.clone_from(&seat.id);
            request.tags.insert(OP_TAG.to_owned(), op_id.clone());
            request.op_id = op_id;
            request.batch = Some(seat);
        }
    }

    /// Makes the secrets of an operation that goes alone.
    pub(crate) fn make_secrets(&mut self, id: usize) {
        if let Some(work) = self.works.get_mut(&id) {
            work.phase = Phase::Secrets;
            let op_id = work.intent.op_id.clone();
            self.make_secrets_as(id, op_id);
        }
    }

    fn make_secrets_as(&mut self, id: usize, op_id: String) {
        let Some(work) = self.works.get(&id) else { return };
        let (address, kinds) = (work.intent.address.clone(), work.secrets.clone());
        if kinds.is_empty() {
            return self.all_secrets_ready(id, Ok(BTreeMap::new()));
        }
        let ticket = self.next_ticket(id, None);
        self.commands.push(Command::MakeSecrets { ticket, address, op_id, kinds });
    }

    /// The secrets of an operation, or of all that are one call with it.
    pub(crate) fn all_secrets_ready(&mut self, id: usize, secrets: Result<BTreeMap<String, Made>, CallError>) {
        let Some(work) = self.works.get(&id) else { return };
        let Some(batch) = batch_of(&work.intent).map(|batch| batch.id.clone()) else { return self.secrets_ready(id, secrets) };
        let of_it = |work: &Work| work.phase == Phase::Seat && batch_of(&work.intent).is_some_and(|seat| seat.id == batch);
        let all: Vec<usize> = self.works.iter().filter(|(_, work)| of_it(work)).map(|(id, _)| *id).collect();
        for id in all {
            self.secrets_ready(id, secrets.clone());
        }
    }

    fn secrets_ready(&mut self, id: usize, secrets: Result<BTreeMap<String, Made>, CallError>) {
        let secrets = match secrets {
            Ok(secrets) => secrets,
            Err(error) => return self.failed(id, error),
        };
        let Some(work) = self.works.get_mut(&id) else { return };
        if let OpKind::Create { secrets: references, .. } = &mut work.intent.operation {
            *references = secrets.iter().map(|(name, made)| (name.clone(), made.reference.clone())).collect();
        }
        if let Doing::Call(Verb::Create(request)) = &mut work.doing {
            request.secrets = secrets.into_iter().map(|(name, made)| (name, made.secret)).collect();
        }
        self.write_intent(id);
    }

    /// Writes the intent; the call follows once it is durable.
    pub(crate) fn write_intent(&mut self, id: usize) {
        let broken = self.input.broken;
        let Some(work) = self.works.get_mut(&id) else { return };
        work.phase = Phase::Intent;
        let intent = work.intent.clone();
        match (broken, &intent.operation) {
            (Broken::SkipIntent, _) => self.make_call(id),
            (Broken::OutcomeBeforeCall, OpKind::Delete { .. }) => {
                let outcome = Record::Outcome { op_id: intent.op_id.clone(), result: OpResult::Deleted };
                self.write([Record::Intent(intent), outcome], Some(Then::Call(id)));
            }
            _ => self.write([Record::Intent(intent)], Some(Then::Call(id))),
        }
    }

    /// The intent is durable: the call is made as soon as the rate allows.
    pub(crate) fn call(&mut self, now_ms: u64, id: usize) {
        let Some(work) = self.works.get_mut(&id) else { return };
        work.phase = Phase::Answer;
        let at_ms = self.turn(now_ms, id, now_ms);
        if at_ms > now_ms {
            return self.alarm(at_ms, Alarm::Try(id));
        }
        self.make_call(id);
    }

    /// When a call is made that may be made from a time on: as soon as the rate allows. Those that are one call have one turn, as long as that has
    /// not passed.
    fn turn(&mut self, now_ms: u64, id: usize, earliest_ms: u64) -> u64 {
        let Some(Work { intent, doing: Doing::Call(verb), .. }) = self.works.get(&id) else { return earliest_ms };
        let (provider, verb) = (intent.provider.provider_type().to_owned(), verb.as_str());
        let Some(batch) = batch_of(intent).map(|batch| batch.id.clone()) else {
            return self.bucket(&provider, verb).take(now_ms).max(earliest_ms);
        };
        self.turns.retain(|_, at_ms| *at_ms >= now_ms);
        if let Some(at_ms) = self.turns.get(&batch).filter(|at_ms| **at_ms > now_ms || earliest_ms == now_ms) {
            return *at_ms;
        }
        let at_ms = self.bucket(&provider, verb).take(now_ms).max(earliest_ms);
        self.turns.insert(batch, at_ms);
        at_ms
    }

    pub(crate) fn make_call(&mut self, id: usize) {
        if !self.works.contains_key(&id) {
            return;
        }
        let (ticket, limit) = (self.next_ticket(id, None), self.limit(id));
        let Some(work) = self.works.get_mut(&id) else { return };
        work.phase = Phase::Answer;
        let command = match &work.doing {
            Doing::Call(verb) => Command::Call { ticket, call: call_of(&work.intent, verb.clone(), limit) },
            Doing::Step(job) => Command::RunStep(Box::new(StepJob { ticket, ..(**job).clone() })),
        };
        self.commands.push(command);
    }

    /// How long an operation may take, in seconds, where the spec says it.
    fn limit(&self, id: usize) -> Option<u64> {
        let intent = &self.works.get(&id)?.intent;
        let timeouts = self.change(&intent.address)?.timeouts;
        match intent.operation {
            OpKind::Create { .. } => timeouts.create_secs,
            OpKind::Update { .. } => timeouts.update_secs,
            OpKind::Delete { .. } => timeouts.delete_secs,
            _ => None,
        }
    }

    pub(crate) fn call_answered(&mut self, now_ms: u64, id: usize, answer: Answer) {
        let Some(Doing::Call(verb)) = self.works.get(&id).map(|work| &work.doing) else { return };
        match (verb, answer) {
            (Verb::Create(_) | Verb::Update(_), Answer::Object(object)) => self.made(now_ms, id, object),
            (Verb::Delete { .. }, Answer::Done) => self.end(now_ms, id, OpResult::Deleted),
            (Verb::Delete { .. }, Answer::Failed(error)) if error.class == ErrorClass::Gone => self.end(now_ms, id, OpResult::Deleted),
            (Verb::Update(_), Answer::Failed(error)) if error.class == ErrorClass::Gone => self.object_gone(id, error),
            (_, Answer::Failed(error)) => self.call_failed(now_ms, id, error),
            (_, other) => {
                let text = format!("the provider answered something else: {other:?}");
                self.call_failed(now_ms, id, CallError::new(ErrorClass::Unknown, "answer", text));
            }
        }
    }

    fn call_failed(&mut self, now_ms: u64, id: usize, error: CallError) {
        match error.class {
            ErrorClass::Throttled => {
                if let Some(Work { intent, doing: Doing::Call(verb), .. }) = self.works.get(&id) {
                    let (provider, verb) = (intent.provider.provider_type().to_owned(), verb.as_str());
                    self.bucket(&provider, verb).drain(now_ms);
                }
                self.again(now_ms, id, error);
            }
            ErrorClass::Transient => self.again(now_ms, id, error),
            ErrorClass::Unknown => self.settle(now_ms, id, error),
            ErrorClass::NoRoom => self.no_room(now_ms, id, error),
            // Who has the name may be the object of this very create, or of an earlier one.
            ErrorClass::Conflict if self.creates_by_name(id) => self.settle(now_ms, id, error),
            ErrorClass::Permanent | ErrorClass::Gone | ErrorClass::Conflict => self.fail(id, error),
        }
    }

    /// Whether it makes an object whose name nobody else may have, where none was. The object of a replacement may still see the one that
    /// went before it.
    fn creates_by_name(&self, id: usize) -> bool {
        if self.operation(id).is_none_or(|operation| operation.kind != OperationKind::Create) {
            return false;
        }
        let Some(Work { intent, doing: Doing::Call(Verb::Create(_)), .. }) = self.works.get(&id) else { return false };
        kind_schema(&self.input.schemas, &intent.provider, &intent.kind).is_ok_and(|kind| kind.class == Idempotency::UniqueName)
    }

    /// The object that was to be changed is not there: the state must not say otherwise.
    fn object_gone(&mut self, id: usize, error: CallError) {
        if let Some(work) = self.works.get(&id) {
            let gone = Record::Observed { address: work.intent.address.clone(), attributes: None };
            self.write([gone], None);
        }
        self.fail(id, error);
    }

    pub(crate) fn step_answered(&mut self, now_ms: u64, id: usize, answer: StepAnswer) {
        let Some(work) = self.works.get(&id) else { return };
        let undo = matches!(&work.doing, Doing::Step(job) if job.request.verb == NodeVerb::Undo);
        match answer {
            StepAnswer::Ended { outcome: StepOutcome::Failed { reason, .. }, .. } if self.is_farewell(id) => {
                self.give_up(id, permanent("step-failed", reason));
            }
            StepAnswer::Ended { outcome: StepOutcome::Failed { reason, .. }, .. } => {
                let error = permanent("step-failed", reason);
                self.close(id, OpResult::StepFailed { error: error.clone() });
                self.failed(id, error);
            }
            StepAnswer::Ended { .. } if undo => self.undone(now_ms, id),
            StepAnswer::Ended { outcome: StepOutcome::Needed, .. } => {
                self.fail(id, permanent("step-not-done", "the node answered that the step is still to be done"));
            }
            StepAnswer::Ended { outcome: StepOutcome::Done | StepOutcome::Skipped, rendered, attributes } => {
                let OpKind::Run { instance, identity, inputs, undo, .. } = &work.intent.operation else { return };
                let mut object = step_object(instance, *identity, rendered, inputs, &attributes);
                object.op_id.clone_from(&work.intent.op_id);
                object.undo.clone_from(undo);
                object.took_ms = Some(now_ms.saturating_sub(work.began_ms));
                if let Some(key) = attributes.get("host_key") {
                    let instance = instance.clone();
                    self.host_keys.insert(instance, key.clone());
                }
                self.end(now_ms, id, OpResult::Object { object });
            }
            StepAnswer::Failed(error) if error.class == ErrorClass::Gone && undo => self.undone(now_ms, id),
            StepAnswer::Failed(error) => match error.class {
                ErrorClass::Throttled | ErrorClass::Transient => self.again(now_ms, id, error),
                // The same run id attaches to the run that has it, so asking again is how a step is settled.
                ErrorClass::Unknown if self.may_try_again(id) => self.again(now_ms, id, error),
                _ if self.is_farewell(id) => self.give_up(id, error),
                ErrorClass::Unknown => self.leave_open(id, error),
                ErrorClass::NoRoom | ErrorClass::Permanent | ErrorClass::Gone | ErrorClass::Conflict => self.fail(id, error),
            },
        }
    }

    /// Whether it undoes a step on a node that goes in this plan.
    fn is_farewell(&self, id: usize) -> bool {
        let change = self.operation(id).and_then(|operation| self.input.plan.changes.get(&operation.address));
        change.is_some_and(cloudtik_planner::Change::is_farewell)
    }

    /// Says what could not be undone, and goes on: a node that does not answer, or whose last command fails, must not keep itself alive.
    fn give_up(&mut self, id: usize, error: CallError) {
        let Some(operation) = self.operation(id) else { return };
        self.commands.push(Command::Progress(Progress::GivenUp { address: operation.address.clone(), word: word_of(operation), error }));
        self.close(id, OpResult::Deleted);
        self.done(id);
    }

    /// A step is undone. The entry goes unless the step was done on another instance meanwhile.
    fn undone(&mut self, now_ms: u64, id: usize) {
        let Some(work) = self.works.get(&id) else { return };
        let OpKind::Undo { instance, .. } = &work.intent.operation else { return };
        let entry = self.ledger.state.resources.get(&work.intent.address);
        let elsewhere = entry.and_then(|entry| entry.current.as_ref()).is_some_and(|object| object.id != *instance);
        self.end(now_ms, id, if elsewhere { OpResult::Cleared } else { OpResult::Deleted });
    }

    /// A create or an update answered.
    fn made(&mut self, now_ms: u64, id: usize, answer: ObjectAnswer) {
        let Some(work) = self.works.get(&id) else { return };
        let intent = &work.intent;
        let kind = match kind_schema(&self.input.schemas, &intent.provider, &intent.kind) {
            Ok(kind) => kind,
            Err(error) => return self.leave_open(id, error),
        };
        let (checked, mut object) = match &intent.operation {
            OpKind::Create { attributes, secrets, .. } => {
                let checked = values::check_answer(kind, attributes, &answer.attributes);
                let mut object = resource_object(kind, answer, attributes, &intent.op_id);
                object.public_keys = secrets.iter().map(|(name, secret)| (name.clone(), secret.public.clone())).collect();
                object.took_ms = Some(now_ms.saturating_sub(work.began_ms));
                (checked, object)
            }
            OpKind::Update { attributes, .. } => {
                let checked = values::check_answer(kind, attributes, &answer.attributes);
                let before = self.ledger.state.resources.get(&intent.address).and_then(|entry| entry.current.as_ref());
                let op_id = before.map_or_else(String::new, |object| object.op_id.clone());
                let mut object = resource_object(kind, answer, attributes, &op_id);
                if let Some(before) = before {
                    object.public_keys.clone_from(&before.public_keys);
                    object.took_ms = before.took_ms;
                }
                (checked, object)
            }
            // What is not as it shall be stays out of the state: in it, it would be broken, and made anew.
            OpKind::Import { attributes, .. } => match values::check_answer(kind, attributes, &answer.attributes) {
                Ok(()) => (Ok(()), resource_object(kind, answer, attributes, &intent.op_id)),
                Err(mut error) => {
                    error.help =
                        Some("this is a fault of the provider; the object is there as before, and can be imported again".to_owned());
                    return self.fail(id, error);
                }
            },
            _ => return self.fail(id, permanent("answer", "an object was answered where none was asked for")),
        };
        match checked {
            Ok(()) => self.end(now_ms, id, OpResult::Object { object }),
            Err(error) => {
                object.tainted = true;
                self.close(id, OpResult::Object { object });
                self.failed(id, error);
            }
        }
    }

    fn may_try_again(&self, id: usize) -> bool {
        !self.interrupted && self.works.get(&id).is_some_and(|work| work.tries.saturating_add(1) < self.input.limits.tries_max)
    }

    /// Nothing happened: the same call again, later; or it failed for good.
    fn again(&mut self, now_ms: u64, id: usize, error: CallError) {
        if !self.may_try_again(id) {
            return self.fail_alone(id, error);
        }
        let Some(work) = self.works.get_mut(&id) else { return };
        work.tries += 1;
        let earliest_ms = now_ms.saturating_add(backoff_ms(&self.input.limits, seed(&work.intent), work.tries));
        work.last_error = Some(error.clone());
        let (address, tries) = (work.intent.address.clone(), work.tries);
        let at_ms = self.turn(now_ms, id, earliest_ms);
        if let Some(word) = self.operation(id).map(word_of) {
            self.commands.push(Command::Progress(Progress::Retrying { address, word, tries, error, at_ms }));
        }
        self.alarm(at_ms, Alarm::Try(id));
    }

    /// Nobody knows what the call did: it is found out before anything else happens to the object.
    fn settle(&mut self, now_ms: u64, id: usize, error: CallError) {
        if !self.may_try_again(id) {
            return self.leave_open(id, error);
        }
        let state = &self.ledger.state;
        let Some(work) = self.works.get_mut(&id) else { return };
        work.tries += 1;
        let entry = state.resources.get_key_value(&work.intent.address).map(|(address, entry)| (address.clone(), entry.clone()));
        let settlement = Settlement::new(SettlementInput {
            state: State { lineage: state.lineage.clone(), resources: entry.into_iter().collect(), ..State::default() },
            open: vec![work.intent.clone()],
            schemas: Arc::clone(&self.input.schemas),
            limits: self.input.limits.clone(),
            run_id: self.input.run_id.clone(),
            epoch: self.input.epoch,
            launch_epoch: self.input.launch_epoch,
            // What all were refused for good is answered to each of them, so a repeat makes nothing that nobody waits for.
            broken: BTreeSet::new(),
            mode: SettleMode::Apply,
            started: Record::Ended { ok: true },
        });
        work.settlement = Some(Box::new(settlement));
        work.last_error = Some(error);
        self.settlement_event(now_ms, id, Event::Start);
    }

    /// Takes an event into the settlement of one operation, and does what it commands. Its records are not written: the outcome is.
    pub(crate) fn settlement_event(&mut self, now_ms: u64, id: usize, event: Event) {
        let (mut events, limit) = (VecDeque::from([event]), self.limit(id));
        while let Some(event) = events.pop_front() {
            let Some(work) = self.works.get_mut(&id) else { return };
            let Some(settlement) = work.settlement.as_mut() else { return };
            for command in settlement.step(now_ms, event) {
                match command {
                    Command::Call { ticket, call } => {
                        let ticket = self.next_ticket(id, Some(ticket));
                        // What looks for an object may wait for it as long as what made it.
                        self.commands.push(Command::Call { ticket, call: Call { limit, ..call } });
                    }
                    Command::LoadSecrets { ticket, .. } => {
                        events.push_back(Event::SecretsReady { ticket, secrets: Ok(self.secrets_of(id)) })
                    }
                    Command::Append { batch, .. } => events.push_back(Event::Appended { batch }),
                    Command::Timer { timer, at_ms } => self.alarm(at_ms, Alarm::Settlement(id, timer)),
                    Command::Settled(report) => return self.settled(now_ms, id, *report),
                    // It is given nothing to make, to run or to show.
                    Command::MakeSecrets { .. }
                    | Command::Gather { .. }
                    | Command::RunStep(_)
                    | Command::CheckStep(_)
                    | Command::Progress(_)
                    | Command::Fold
                    | Command::Finish(_) => {}
                }
            }
        }
    }

    /// The secrets of a create, which are in memory still.
    fn secrets_of(&self, id: usize) -> BTreeMap<String, Made> {
        let Some(Work { intent, doing: Doing::Call(Verb::Create(request)), .. }) = self.works.get(&id) else {
            return BTreeMap::new();
        };
        let OpKind::Create { secrets, .. } = &intent.operation else { return BTreeMap::new() };
        let made = |(name, secret): (&String, &Secret)| {
            let reference = secrets.get(name)?.clone();
            Some((name.clone(), Made { reference, secret: secret.clone() }))
        };
        request.secrets.iter().filter_map(made).collect()
    }

    fn settled(&mut self, now_ms: u64, id: usize, report: SettlementReport) {
        let Some(work) = self.works.get_mut(&id) else { return };
        work.settlement = None;
        let last_error = work.last_error.clone().unwrap_or_else(|| permanent("unknown", "no answer came"));
        if let Some((_, error)) = report.unsettled.into_iter().next() {
            // Who refused the name made nothing, whoever has it.
            return if last_error.class == ErrorClass::Conflict { self.fail(id, last_error) } else { self.leave_open(id, error) };
        }
        let mut result = None;
        for record in report.records {
            match record {
                Record::Outcome { result: found, .. } => result = Some(found),
                Record::Observed { attributes: None, .. } => {
                    return self.object_gone(id, CallError::new(ErrorClass::Gone, "gone", "the object is gone"));
                }
                _ => {}
            }
        }
        match result {
            Some(OpResult::Object { object }) => {
                self.made(now_ms, id, ObjectAnswer { id: object.id, attributes: object.attributes });
            }
            Some(OpResult::Deleted) => self.end(now_ms, id, OpResult::Deleted),
            Some(OpResult::Cleared) => self.again(now_ms, id, last_error),
            Some(OpResult::Failed { error } | OpResult::StepFailed { error }) => self.fail(id, error),
            None => self.leave_open(id, last_error),
        }
    }

    /// It is done: the outcome is written and what waits for it may go on. The next intent comes after the outcome in the journal, so it
    /// need not wait for it to be durable.
    fn end(&mut self, now_ms: u64, id: usize, result: OpResult) {
        let took_ms = self.works.get(&id).map_or(0, |work| now_ms.saturating_sub(work.began_ms));
        let ended = self.operation(id).map(|operation| (operation.address.clone(), word_of(operation)));
        self.close(id, result);
        let tell = ended.map(|(address, word)| {
            let id = self.current(&address).map(|object| object.id.clone());
            Progress::Done { address, word, took_ms, id }
        });
        self.over(id, tell);
    }

    /// It failed, and no effect can come any more.
    pub(crate) fn fail(&mut self, id: usize, error: CallError) {
        self.close(id, OpResult::Failed { error: error.clone() });
        self.failed(id, error);
    }

    /// The same of one whose call is not going to be made again by it. Others that are one call with it may still make that: then its object comes
    /// after all.
    fn fail_alone(&mut self, id: usize, error: CallError) {
        let together = self.works.get(&id).and_then(|work| batch_of(&work.intent)).is_some_and(|batch| batch.numbers.len() > 1);
        if together { self.leave_open(id, error) } else { self.fail(id, error) }
    }

    /// It failed, and nobody knows what it did: the intent stays open for the next run to settle.
    fn leave_open(&mut self, id: usize, error: CallError) {
        self.failed(id, error.help("what it did is not known yet; the next plan or apply finds it out"));
    }

    /// Writes the outcome.
    pub(crate) fn close(&mut self, id: usize, result: OpResult) {
        let Some(work) = self.works.get(&id) else { return };
        let op_id = work.intent.op_id.clone();
        match (self.input.broken, &work.intent.operation) {
            (Broken::SkipIntent, _) => {
                let intent = Record::Intent(work.intent.clone());
                self.write([intent, Record::Outcome { op_id, result }], None);
            }
            (Broken::OutcomeBeforeCall, OpKind::Delete { .. }) => {}
            _ => self.write([Record::Outcome { op_id, result }], None),
        }
    }

    /// Somebody wants the end, and this one waits for its next try: nothing of it has happened.
    pub(crate) fn give_up_waiting(&mut self, id: usize) {
        let last = self.works.get(&id).and_then(|work| work.last_error.clone());
        self.fail_alone(id, last.unwrap_or_else(|| permanent("interrupted", "interrupted before the call was made")));
    }

    /// Somebody wants the end: what has written nothing is taken back, and settlement asks no further questions.
    pub(crate) fn interrupt_work(&mut self, now_ms: u64, id: usize) {
        let Some(work) = self.works.get(&id) else { return };
        if matches!(work.phase, Phase::Company | Phase::Secrets) {
            return self.withdraw(id);
        }
        if work.settlement.is_some() {
            self.settlement_event(now_ms, id, Event::Interrupt);
        }
    }
}

fn call_of(intent: &Intent, verb: Verb, limit: Option<u64>) -> Call {
    Call { provider: intent.provider.clone(), address: intent.address.clone(), kind: Arc::clone(&intent.kind), verb, limit }
}

/// The record that begins the journal of a run.
#[must_use]
pub fn started(command: &str, tool_version: &str) -> Record {
    Record::Started { version: RECORD_VERSION, command: command.to_owned(), tool_version: tool_version.to_owned() }
}
