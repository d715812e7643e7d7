//! What can go wrong on the way to a cloud and back.

use cloudtik_model::Address;

use crate::Random;

/// One thing that goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The effect happens, the answer is lost: the caller hears `Unknown`.
    LostAnswer,
    /// The request is lost: no effect, and the caller hears `Unknown`.
    LostRequest,
    /// Too many calls: no effect.
    Throttled,
    /// No effect.
    Transient,
    /// No effect: there is no room for it.
    NoRoom,
    /// Of a call that makes several objects the first ones so many are made: there is no room for the others.
    RoomFor(usize),
    /// No effect, and never any.
    Permanent,
    /// All is well, so many milliseconds later.
    Delay(u64),
}

/// A fault of a script. A rule is used up by the call it hits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultRule {
    /// Only calls made for this address; `None`: any.
    pub address: Option<Address>,
    /// Only calls of this verb (`create`, `run_step`); `None`: any.
    pub verb: Option<String>,
    /// So many calls that match are let through first.
    pub skip: u32,
    /// What goes wrong.
    pub fault: Fault,
}

impl FaultRule {
    /// The next call of a verb, for whatever address.
    pub fn next(verb: impl Into<String>, fault: Fault) -> Self {
        Self { address: None, verb: Some(verb.into()), skip: 0, fault }
    }

    fn matches(&self, address: &Address, verb: &str) -> bool {
        self.address.as_ref().is_none_or(|wanted| wanted == address) && self.verb.as_ref().is_none_or(|wanted| wanted == verb)
    }
}

/// How often what goes wrong by chance, per 1,000 calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the faults")]
pub struct FaultRates {
    pub lost_answer: u16,
    pub lost_request: u16,
    pub throttled: u16,
    pub transient: u16,
    pub permanent: u16,
    pub delay: u16,
}

impl FaultRates {
    /// Nothing goes wrong.
    pub const CALM: Self = Self { lost_answer: 0, lost_request: 0, throttled: 0, transient: 0, permanent: 0, delay: 0 };
    /// A bad day: every fifth call has something, but nothing that cannot be mended.
    pub const STORMY: Self = Self { lost_answer: 40, lost_request: 40, throttled: 50, transient: 50, permanent: 0, delay: 20 };
}

/// The longest delay by chance: longer than the backoff of a first retry, shorter than a test's patience.
const DELAY_MS_MAX: u64 = 5_000;

/// Script and chance together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) rules: Vec<FaultRule>,
    pub(crate) rates: FaultRates,
}

impl Faults {
    /// What goes wrong with this call.
    pub(crate) fn next(&mut self, random: &mut Random, address: &Address, verb: &str) -> Option<Fault> {
        if let Some(index) = self.rules.iter().position(|rule| rule.matches(address, verb)) {
            let due = self.rules.get_mut(index).is_some_and(|rule| match rule.skip.checked_sub(1) {
                Some(left) => {
                    rule.skip = left;
                    false
                }
                None => true,
            });
            return due.then(|| self.rules.remove(index).fault);
        }
        let chances = [
            (self.rates.lost_answer, Fault::LostAnswer),
            (self.rates.lost_request, Fault::LostRequest),
            (self.rates.throttled, Fault::Throttled),
            (self.rates.transient, Fault::Transient),
            (self.rates.permanent, Fault::Permanent),
        ];
        let hit = chances.into_iter().find_map(|(rate, fault)| random.chance(rate).then_some(fault));
        hit.or_else(|| random.chance(self.rates.delay).then(|| Fault::Delay(random.below(DELAY_MS_MAX))))
    }
}
