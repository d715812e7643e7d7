//! The end of a cluster as a state machine: fence it, let its head drain it, then delete its workers by tag until no more appear.
//!
//! It makes no call and reads no clock: `step` takes what happened and gives what is to be done. The same events give the same commands.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use cloudtik_model::{Address, ControllerCall, ControllerReply, ProviderRef};
use cloudtik_provider_api::{Answer, CLUSTER_TAG, Call, CallError, ErrorClass, ROLE_TAG, Verb, WORKER_ROLE};

/// How long a head may take to remove its workers in order, in milliseconds: members of a quorum leave one after the other.
const DRAIN_TIME_MS_MAX: u64 = 120_000;
/// How often a draining head is looked at, in milliseconds: it removes a worker in about that time.
const DRAIN_PAUSE_MS: u64 = 300;
/// So many looks at a draining head may fail in a row; then it is taken for dead.
const DRAIN_FAILURES_MAX: u32 = 3;
/// The shortest pause between two searches, in milliseconds: where everything is visible at once, one more look is enough.
const SEARCH_PAUSE_MS_MIN: u64 = 100;
/// The longest pause between two searches, in milliseconds: a late worker costs money until it is found.
const SEARCH_PAUSE_MS_MAX: u64 = 5_000;
/// How many times one call, or the delete of one worker, is tried. With doubling pauses that is about a minute.
const TRIES_MAX: u32 = 8;
/// The first pause before a call is tried again, in milliseconds. It doubles.
const RETRY_PAUSE_MS_FIRST: u64 = 250;
/// The whole may take so long, in milliseconds: an instance that takes longer to go than this needs somebody to look at it.
const TEARDOWN_TIME_MS_MAX: u64 = 15 * 60_000;
/// Deletes that are under way at once: what a cloud takes from one account without throttling.
const DELETES_PARALLELISM_MAX: usize = 32;

/// What is torn down.
#[derive(Clone, Debug)]
pub struct TeardownInput {
    /// The provider of the nodes.
    pub provider: ProviderRef,
    /// Their kind.
    pub kind: Arc<str>,
    /// On whose behalf calls are made.
    pub address: Address,
    /// Names the cluster at its provider.
    pub uid: String,
    /// From this epoch on creates may succeed again: one above that of the controller.
    pub fence_epoch: u64,
    /// How long a new instance may stay invisible to searches, in milliseconds.
    pub visibility_ms: u64,
    /// How many searches in a row must find nothing.
    pub reads: u32,
    /// Whether there is a head that can be asked to drain.
    pub drain: bool,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum TeardownEvent {
    /// The beginning.
    Start,
    /// A call was answered.
    Answer {
        /// Which.
        ticket: u64,
        /// What was answered.
        answer: Answer,
    },
    /// The head replied, or did not.
    Reply {
        /// Which.
        ticket: u64,
        /// What came of it.
        reply: Result<ControllerReply, CallError>,
    },
    /// It is time.
    Timer {
        /// Which.
        timer: u64,
    },
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum TeardownCommand {
    /// Make a call.
    Call {
        /// Comes back with the answer.
        ticket: u64,
        /// The call.
        call: Call,
    },
    /// Ask the head.
    Ask {
        /// Comes back with the reply.
        ticket: u64,
        /// What is asked.
        call: ControllerCall,
    },
    /// Wake the machine.
    Timer {
        /// Comes back.
        timer: u64,
        /// When.
        at_ms: u64,
    },
    /// Something that somebody should know and that stops nothing.
    Warn(String),
    /// It is over.
    Finish(Result<(), CallError>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pending {
    Fence,
    Drain,
    Status,
    Search,
    Delete(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Fence,
    Status,
    Search,
}

/// The machine.
#[derive(Debug)]
pub struct Teardown {
    input: TeardownInput,
    began_ms: u64,
    fenced_ms: u64,
    drain_until_ms: u64,
    next: u64,
    pending: BTreeMap<u64, Pending>,
    due: BTreeMap<u64, Due>,
    failures: u32,
    empty_reads: u32,
    waiting: VecDeque<String>,
    deleting: BTreeSet<String>,
    refused: BTreeMap<String, u32>,
    finished: bool,
    commands: Vec<TeardownCommand>,
}

impl Teardown {
    /// Nothing is done yet.
    #[must_use]
    pub const fn new(input: TeardownInput) -> Self {
        Self {
            input,
            began_ms: 0,
            fenced_ms: 0,
            drain_until_ms: 0,
            next: 0,
            pending: BTreeMap::new(),
            due: BTreeMap::new(),
            failures: 0,
            empty_reads: 0,
            waiting: VecDeque::new(),
            deleting: BTreeSet::new(),
            refused: BTreeMap::new(),
            finished: false,
            commands: Vec::new(),
        }
    }

    /// Takes what happened, and gives what is to be done. After [`TeardownCommand::Finish`] nothing more is.
    pub fn step(&mut self, now_ms: u64, event: TeardownEvent) -> Vec<TeardownCommand> {
        if !self.finished {
            self.take(now_ms, event);
        }
        std::mem::take(&mut self.commands)
    }

    fn take(&mut self, now_ms: u64, event: TeardownEvent) {
        match event {
            TeardownEvent::Start => {
                self.began_ms = now_ms;
                self.fence();
            }
            TeardownEvent::Answer { ticket, answer } => match self.pending.remove(&ticket) {
                Some(Pending::Fence) => self.fenced(now_ms, answer),
                Some(Pending::Search) => self.searched(now_ms, answer),
                Some(Pending::Delete(id)) => self.deleted(now_ms, &id, answer),
                Some(Pending::Drain | Pending::Status) | None => {}
            },
            TeardownEvent::Reply { ticket, reply } => match self.pending.remove(&ticket) {
                Some(Pending::Drain) => self.drains(now_ms, reply),
                Some(Pending::Status) => self.drained(now_ms, reply),
                Some(_) | None => {}
            },
            TeardownEvent::Timer { timer } => match self.due.remove(&timer) {
                Some(Due::Fence) => self.fence(),
                Some(Due::Status) => self.ask(Pending::Status, ControllerCall::Status),
                Some(Due::Search) => self.search_again(now_ms),
                None => {}
            },
        }
    }

    fn fence(&mut self) {
        let verb = Verb::Fence { cluster: self.input.uid.clone(), epoch: self.input.fence_epoch, ends: true };
        self.call(Pending::Fence, verb);
    }

    fn fenced(&mut self, now_ms: u64, answer: Answer) {
        match answer {
            Answer::Done => {
                self.fenced_ms = now_ms;
                self.failures = 0;
                if self.input.drain { self.ask(Pending::Drain, ControllerCall::Drain) } else { self.search(now_ms) }
            }
            other => self.failed(now_ms, Due::Fence, other),
        }
    }

    fn drains(&mut self, now_ms: u64, reply: Result<ControllerReply, CallError>) {
        match reply {
            Ok(ControllerReply::Done) => {
                self.drain_until_ms = now_ms.saturating_add(DRAIN_TIME_MS_MAX);
                self.timer(now_ms.saturating_add(DRAIN_PAUSE_MS), Due::Status);
            }
            Ok(ControllerReply::Refused { message, .. }) => self.undrained(now_ms, &message),
            Ok(_) => self.undrained(now_ms, "it answered something else"),
            Err(error) => self.undrained(now_ms, &error.message),
        }
    }

    fn drained(&mut self, now_ms: u64, reply: Result<ControllerReply, CallError>) {
        match reply {
            Ok(ControllerReply::Status(status)) if status.nodes.values().all(|node| node.group.is_empty()) => self.search(now_ms),
            Ok(ControllerReply::Status(_)) if now_ms < self.drain_until_ms => {
                self.failures = 0;
                self.timer(now_ms.saturating_add(DRAIN_PAUSE_MS), Due::Status);
            }
            Ok(ControllerReply::Status(_)) => {
                self.undrained(now_ms, &format!("it did not remove its workers within {} seconds", DRAIN_TIME_MS_MAX / 1000));
            }
            Ok(_) => self.undrained(now_ms, "it answered something else"),
            Err(error) => {
                self.failures += 1;
                if self.failures >= DRAIN_FAILURES_MAX {
                    self.undrained(now_ms, &error.message);
                } else {
                    self.timer(now_ms.saturating_add(DRAIN_PAUSE_MS), Due::Status);
                }
            }
        }
    }

    /// A dead head changes only this: nobody leaves in order.
    fn undrained(&mut self, now_ms: u64, why: &str) {
        let text = format!("the head did not drain the cluster ({why}); its workers are deleted as they are");
        self.commands.push(TeardownCommand::Warn(text));
        self.search(now_ms);
    }

    fn search(&mut self, now_ms: u64) {
        self.failures = 0;
        self.search_again(now_ms);
    }

    fn search_again(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.began_ms) > TEARDOWN_TIME_MS_MAX {
            let text = format!("instances of {} are still there after {} seconds", self.input.uid, TEARDOWN_TIME_MS_MAX / 1000);
            return self
                .finish(Err(CallError::new(ErrorClass::Permanent, "still-there", text).help("run it again, or delete them by hand")));
        }
        self.call(Pending::Search, Verb::FindByTag { key: CLUSTER_TAG.to_owned(), value: self.input.uid.clone() });
    }

    fn searched(&mut self, now_ms: u64, answer: Answer) {
        let found = match answer {
            Answer::Found(found) => found,
            other => return self.failed(now_ms, Due::Search, other),
        };
        self.failures = 0;
        let workers = found.into_iter().filter(|found| found.tags.get(ROLE_TAG).is_some_and(|role| role == WORKER_ROLE));
        self.waiting = workers.map(|found| found.object.id).collect();
        if !self.waiting.is_empty() {
            self.empty_reads = 0;
            return self.delete_more(now_ms);
        }
        self.empty_reads = self.empty_reads.saturating_add(1);
        let passed_ms = now_ms.saturating_sub(self.fenced_ms);
        if self.empty_reads >= self.input.reads && passed_ms >= self.input.visibility_ms {
            return self.finish(Ok(()));
        }
        let left = u64::from(self.input.reads.saturating_sub(self.empty_reads).max(1));
        let pause_ms = self.input.visibility_ms.saturating_sub(passed_ms).div_ceil(left);
        self.search_later(now_ms, pause_ms);
    }

    fn search_later(&mut self, now_ms: u64, pause_ms: u64) {
        self.timer(now_ms.saturating_add(pause_ms.clamp(SEARCH_PAUSE_MS_MIN, SEARCH_PAUSE_MS_MAX)), Due::Search);
    }

    fn delete_more(&mut self, now_ms: u64) {
        while self.deleting.len() < DELETES_PARALLELISM_MAX {
            let Some(id) = self.waiting.pop_front() else { break };
            self.deleting.insert(id.clone());
            self.call(Pending::Delete(id.clone()), Verb::Delete { id, data: false });
        }
        if self.deleting.is_empty() {
            // What is deleted may still be listed for a moment; it is looked at again, not believed.
            let tries = self.refused.values().copied().max().unwrap_or(0);
            self.search_later(now_ms, if tries == 0 { SEARCH_PAUSE_MS_MIN } else { backoff_ms(tries) });
        }
    }

    fn deleted(&mut self, now_ms: u64, id: &str, answer: Answer) {
        self.deleting.remove(id);
        match answer {
            Answer::Done => drop(self.refused.remove(id)),
            Answer::Failed(error) if error.class == ErrorClass::Gone => drop(self.refused.remove(id)),
            other => {
                let tries = self.refused.entry(id.to_owned()).or_default();
                *tries += 1;
                if *tries >= TRIES_MAX {
                    let error = error_of(other);
                    let text = format!("{id} cannot be deleted: {}", error.message);
                    return self.finish(Err(CallError { message: text, class: ErrorClass::Permanent, ..error }));
                }
            }
        }
        self.delete_more(now_ms);
    }

    /// A call failed: again, a little later; or that was it.
    fn failed(&mut self, now_ms: u64, again: Due, answer: Answer) {
        let error = error_of(answer);
        self.failures += 1;
        let passing = matches!(error.class, ErrorClass::Throttled | ErrorClass::Transient | ErrorClass::Unknown);
        if !passing || self.failures >= TRIES_MAX {
            return self.finish(Err(error));
        }
        self.timer(now_ms.saturating_add(backoff_ms(self.failures)), again);
    }

    fn call(&mut self, pending: Pending, verb: Verb) {
        let ticket = self.ticket(pending);
        let TeardownInput { provider, address, kind, .. } = &self.input;
        let call = Call { provider: provider.clone(), address: address.clone(), kind: Arc::clone(kind), verb, limit: None };
        self.commands.push(TeardownCommand::Call { ticket, call });
    }

    fn ask(&mut self, pending: Pending, call: ControllerCall) {
        let ticket = self.ticket(pending);
        self.commands.push(TeardownCommand::Ask { ticket, call });
    }

    fn ticket(&mut self, pending: Pending) -> u64 {
        self.next += 1;
        self.pending.insert(self.next, pending);
        self.next
    }

    fn timer(&mut self, at_ms: u64, due: Due) {
        self.next += 1;
        self.due.insert(self.next, due);
        self.commands.push(TeardownCommand::Timer { timer: self.next, at_ms });
    }

    fn finish(&mut self, result: Result<(), CallError>) {
        self.finished = true;
        self.commands.push(TeardownCommand::Finish(result));
    }
}

fn backoff_ms(tries: u32) -> u64 {
    RETRY_PAUSE_MS_FIRST.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(SEARCH_PAUSE_MS_MAX)
}

fn error_of(answer: Answer) -> CallError {
    match answer {
        Answer::Failed(error) => error,
        other => CallError::new(ErrorClass::Permanent, "answer", format!("the provider answered something else: {other:?}")),
    }
}

#[cfg(test)]
mod tests;
