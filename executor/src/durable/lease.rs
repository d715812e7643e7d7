//! Leases: how a run holds a store that no system locks for it. A state machine: it is told the time and what happened, and says what to
//! do. The file store needs none.
//!
//! Times are milliseconds of a clock that runs through suspend, from any origin. A lease counts from the moment its request was *sent*:
//! the store counts from a later one, so the holder never believes in it for longer than the store does.

/// How long, how often. `ttl > heartbeat + call_timeout` must hold, or no intent is ever allowed; [`LeaseTimes::is_sound`] says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimes {
    /// After this long without a heartbeat the lease ends by itself.
    pub ttl_ms: u64,
    /// Time between two heartbeats.
    pub heartbeat_ms: u64,
    /// The longest call that an intent may lead to: so much of the lease must be left before it.
    pub call_timeout_ms: u64,
}

impl LeaseTimes {
    /// Whether work is possible with these.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.heartbeat_ms > 0 && self.ttl_ms > self.heartbeat_ms.saturating_add(self.call_timeout_ms)
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseEvent {
    /// Somebody wants the lease.
    Acquire,
    /// The store gave it.
    Acquired {
        /// Ours from now on.
        epoch: u64,
    },
    /// Somebody else has it.
    Refused {
        /// Who, for messages.
        holder: String,
    },
    /// The store took the heartbeat.
    Beaten,
    /// The heartbeat did not get through; the store may have taken it.
    BeatFailed,
    /// The store says that it is somebody else's.
    Taken,
    /// The time that a timer asked for has come.
    Tick,
    /// The run is done with it.
    Release,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseCommand {
    /// Ask the store for it.
    SendAcquire,
    /// Tell the store that we are alive.
    SendHeartbeat {
        /// Ours.
        epoch: u64,
    },
    /// Give it back.
    SendRelease {
        /// Ours.
        epoch: u64,
    },
    /// Say [`LeaseEvent::Tick`] at this time.
    WakeAt(u64),
    /// It is ours: seal the journal with this epoch and begin.
    Begin {
        /// Ours.
        epoch: u64,
    },
    /// Somebody else has it.
    Refuse {
        /// Who.
        holder: String,
    },
    /// No further intent. What runs may end; its outcome can only be written if nobody sealed the journal.
    Stop {
        /// Why.
        lost: LeaseLoss,
    },
}

/// Why a lease ended under a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseLoss {
    /// Somebody else has it.
    Taken,
    /// No heartbeat got through in time.
    Expired,
}

/// A lease, or the wish for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    times: LeaseTimes,
    phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Asking { sent: u64 },
    Held { epoch: u64, until: u64, beat_sent: Option<u64>, next_beat: u64 },
    Over,
}

impl Lease {
    /// Not held yet.
    #[must_use]
    pub const fn new(times: LeaseTimes) -> Self {
        Self { times, phase: Phase::Idle }
    }

    /// Whether an intent may be written now: the lease outlives the longest call it may lead to.
    #[must_use]
    pub const fn allows_intent(&self, now: u64) -> bool {
        matches!(self.phase, Phase::Held { until, .. } if now.saturating_add(self.times.call_timeout_ms) < until)
    }

    /// Takes an event.
    pub fn step(&mut self, now: u64, event: LeaseEvent) -> Vec<LeaseCommand> {
        if let Phase::Held { until, .. } = self.phase
            && now >= until
            && event != LeaseEvent::Release
        {
            // An answer that comes now tells of a lease that ended in between: somebody else may have worked.
            return self.stop(LeaseLoss::Expired);
        }
        match (self.phase.clone(), event) {
            (Phase::Idle, LeaseEvent::Acquire) => {
                self.phase = Phase::Asking { sent: now };
                vec![LeaseCommand::SendAcquire]
            }
            (Phase::Asking { sent }, LeaseEvent::Acquired { epoch }) => self.begin(now, sent, epoch),
            (Phase::Asking { .. }, LeaseEvent::Refused { holder }) => {
                self.phase = Phase::Idle;
                vec![LeaseCommand::Refuse { holder }]
            }
            (Phase::Held { .. }, LeaseEvent::Tick) => self.beat(now),
            (Phase::Held { epoch, beat_sent: Some(sent), next_beat, .. }, LeaseEvent::Beaten) => {
                let until = sent.saturating_add(self.times.ttl_ms);
                self.phase = Phase::Held { epoch, until, beat_sent: None, next_beat };
                vec![LeaseCommand::WakeAt(next_beat.min(until))]
            }
            (Phase::Held { epoch, until, .. }, LeaseEvent::BeatFailed) => {
                // Again at once, but not in a circle.
                let next_beat = now.saturating_add(self.times.heartbeat_ms / 4 + 1);
                self.phase = Phase::Held { epoch, until, beat_sent: None, next_beat };
                vec![LeaseCommand::WakeAt(next_beat.min(until))]
            }
            (Phase::Held { .. }, LeaseEvent::Taken) => self.stop(LeaseLoss::Taken),
            (Phase::Held { epoch, .. }, LeaseEvent::Release) => {
                self.phase = Phase::Over;
                vec![LeaseCommand::SendRelease { epoch }]
            }
            // Answers that come late, ticks without meaning.
            _ => Vec::new(),
        }
    }

    fn begin(&mut self, now: u64, sent: u64, epoch: u64) -> Vec<LeaseCommand> {
        let until = sent.saturating_add(self.times.ttl_ms);
        if now >= until {
            return self.stop(LeaseLoss::Expired);
        }
        let next_beat = sent.saturating_add(self.times.heartbeat_ms).max(now);
        self.phase = Phase::Held { epoch, until, beat_sent: None, next_beat };
        vec![LeaseCommand::Begin { epoch }, LeaseCommand::WakeAt(next_beat.min(until))]
    }

    fn beat(&mut self, now: u64) -> Vec<LeaseCommand> {
        let Phase::Held { epoch, until, beat_sent, next_beat } = self.phase else { return Vec::new() };
        if beat_sent.is_some() || now < next_beat {
            let wake = if beat_sent.is_some() { until } else { next_beat.min(until) };
            return vec![LeaseCommand::WakeAt(wake)];
        }
        let next_beat = now.saturating_add(self.times.heartbeat_ms);
        self.phase = Phase::Held { epoch, until, beat_sent: Some(now), next_beat };
        vec![LeaseCommand::SendHeartbeat { epoch }, LeaseCommand::WakeAt(until)]
    }

    fn stop(&mut self, lost: LeaseLoss) -> Vec<LeaseCommand> {
        self.phase = Phase::Over;
        vec![LeaseCommand::Stop { lost }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: LeaseTimes = LeaseTimes { ttl_ms: 60_000, heartbeat_ms: 15_000, call_timeout_ms: 20_000 };

    fn held_at(sent: u64, answered: u64) -> Lease {
        let mut lease = Lease::new(TIMES);
        assert_eq!(lease.step(sent, LeaseEvent::Acquire), [LeaseCommand::SendAcquire]);
        assert!(!lease.allows_intent(sent));
        let commands = lease.step(answered, LeaseEvent::Acquired { epoch: 3 });
        assert_eq!(commands, [LeaseCommand::Begin { epoch: 3 }, LeaseCommand::WakeAt(sent + 15_000)]);
        lease
    }

    #[test]
    fn a_lease_counts_from_its_request_and_leaves_a_call_to_spare() {
        let lease = held_at(1_000, 9_000);
        assert!(lease.allows_intent(40_999) && !lease.allows_intent(41_000));
    }

    #[test]
    fn heartbeats_keep_it() {
        let mut lease = held_at(0, 10);
        for now in (15_000..600_000).step_by(15_000) {
            assert_eq!(lease.step(now, LeaseEvent::Tick), [LeaseCommand::SendHeartbeat { epoch: 3 }, LeaseCommand::WakeAt(now + 45_000)]);
            assert_eq!(lease.step(now + 20, LeaseEvent::Beaten), [LeaseCommand::WakeAt(now + 15_000)]);
            assert!(lease.allows_intent(now + 39_999) && !lease.allows_intent(now + 40_000));
        }
        assert_eq!(lease.step(600_000, LeaseEvent::Release), [LeaseCommand::SendRelease { epoch: 3 }]);
        assert!(!lease.allows_intent(600_001));
    }

    #[test]
    fn lost_heartbeats_are_repeated_until_it_expires() {
        let mut lease = held_at(0, 10);
        let (mut now, mut beats) = (15_000, 0);
        let lost = loop {
            match lease.step(now, LeaseEvent::Tick).as_slice() {
                [LeaseCommand::SendHeartbeat { .. }, LeaseCommand::WakeAt(60_000)] => {
                    beats += 1;
                    let [LeaseCommand::WakeAt(at)] = lease.step(now + 1_000, LeaseEvent::BeatFailed)[..] else { panic!() };
                    now = at;
                }
                [LeaseCommand::Stop { lost }] => break *lost,
                other => panic!("{other:?}"),
            }
            assert!(!lease.allows_intent(40_000));
        };
        assert_eq!((lost, now), (LeaseLoss::Expired, 60_000));
        assert!((5..20).contains(&beats), "{beats}");
    }

    #[test]
    fn an_answer_after_the_end_does_not_bring_it_back() {
        let mut lease = held_at(0, 10);
        lease.step(15_000, LeaseEvent::Tick);
        assert_eq!(lease.step(60_000, LeaseEvent::Beaten), [LeaseCommand::Stop { lost: LeaseLoss::Expired }]);
        assert!(!lease.allows_intent(60_001) && lease.step(60_002, LeaseEvent::Beaten).is_empty());
        let mut slow = Lease::new(TIMES);
        slow.step(0, LeaseEvent::Acquire);
        assert_eq!(slow.step(60_000, LeaseEvent::Acquired { epoch: 1 }), [LeaseCommand::Stop { lost: LeaseLoss::Expired }]);
    }

    #[test]
    fn a_machine_that_slept_has_lost_it() {
        let mut lease = held_at(0, 10);
        assert!(!lease.allows_intent(7_200_000));
        assert_eq!(lease.step(7_200_000, LeaseEvent::Tick), [LeaseCommand::Stop { lost: LeaseLoss::Expired }]);
    }

    #[test]
    fn what_the_store_says_counts() {
        let mut lease = held_at(0, 10);
        assert_eq!(lease.step(5_000, LeaseEvent::Taken), [LeaseCommand::Stop { lost: LeaseLoss::Taken }]);
        assert!(!lease.allows_intent(5_001));
        let mut lease = Lease::new(TIMES);
        lease.step(0, LeaseEvent::Acquire);
        let refused = lease.step(10, LeaseEvent::Refused { holder: "b".to_owned() });
        assert_eq!(refused, [LeaseCommand::Refuse { holder: "b".to_owned() }]);
        assert_eq!(lease.step(5_000, LeaseEvent::Acquire), [LeaseCommand::SendAcquire]);
    }

    #[test]
    fn two_holders_never_believe_in_it_at_once() {
        // The store gives it to the second as soon as its own clock, which began later, says that the first one's is over.
        let (sent, stored) = (0, 300);
        let first = held_at(sent, 500);
        let given_to_the_second_at = stored + TIMES.ttl_ms;
        assert!(
            (0..=given_to_the_second_at).rev().find(|now| first.allows_intent(*now)).unwrap() + TIMES.call_timeout_ms
                < given_to_the_second_at
        );
    }

    #[test]
    fn times_that_allow_no_work_are_known() {
        assert!(TIMES.is_sound());
        assert!(!LeaseTimes { call_timeout_ms: 45_000, ..TIMES }.is_sound() && !LeaseTimes { heartbeat_ms: 0, ..TIMES }.is_sound());
    }
}
