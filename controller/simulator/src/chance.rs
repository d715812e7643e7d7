//! What chance does to a cluster in one life: drawn from the seed before it begins.

use cloudtik_sim::{Fault, FaultRates, FaultRule, Random};

use crate::cluster::Shape;
use crate::{Kind, Trouble};

/// The time in which things happen, in milliseconds: long enough for a rolling change to be under way when the next thing comes.
pub(crate) const STORM_MS: u64 = 90_000;

/// How a write that a crash interrupts ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Nothing of it arrives.
    Lost,
    /// So many bytes of it arrive.
    Torn(usize),
    /// All of it arrives, and nobody is told.
    Unacknowledged,
}

/// Something that happens to the cluster.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// A worker dies: which one is drawn when it is time.
    Kill(u64),
    /// The controller is dropped.
    Crash {
        /// What becomes of a write.
        how: How,
        /// It begins again after so many milliseconds.
        down_ms: u64,
        /// So many events later.
        events: u64,
        /// So many events more may pass until something is written.
        patience: u64,
    },
    /// It is asked to end, and begins again.
    Stop { down_ms: u64 },
    /// Another configuration is pushed.
    Push(Shape),
    /// The head with its store is lost; another one takes its place after so many milliseconds.
    LoseHead { down_ms: u64 },
    /// A call goes wrong for certain.
    Fault(FaultRule),
    /// The command line begins to tear the cluster down; whether it can ask the head.
    Teardown { drain: bool },
    /// The weather is fine from now on.
    Calm,
}

/// A life as it will be.
pub(crate) struct Fate {
    pub(crate) rates: FaultRates,
    pub(crate) deeds: Vec<(u64, Deed)>,
}

impl Fate {
    pub(crate) fn draw(random: &mut Random, kind: Kind) -> Self {
        if let Kind::Rename { trouble } = kind {
            return Self { rates: FaultRates::CALM, deeds: renaming(random, trouble) };
        }
        let breezy = FaultRates { lost_answer: 15, lost_request: 15, throttled: 10, transient: 10, permanent: 0, delay: 10 };
        let rates = match random.below(4) {
            0 | 1 => FaultRates::CALM,
            2 => breezy,
            _ => FaultRates::STORMY,
        };
        let mut deeds = Vec::new();
        let mut many = |random: &mut Random, most: u64, make: &mut dyn FnMut(&mut Random) -> Deed| {
            for _ in 0..random.below(most + 1) {
                let at_ms = 500 + random.below(STORM_MS);
                deeds.push((at_ms, make(random)));
            }
        };
        many(random, 3, &mut |random| Deed::Kill(random.next()));
        many(random, 3, &mut crash);
        many(random, 1, &mut |random| Deed::Stop { down_ms: 50 + random.below(2_000) });
        many(random, 3, &mut |random| {
            let fault = match random.below(3) {
                0 => Fault::Permanent,
                1 => Fault::LostAnswer,
                _ => Fault::LostRequest,
            };
            let verb = match random.below(6) {
                0 => "delete",
                1 | 2 => "run_step",
                3 => "publish_status",
                _ => "create",
            };
            let fault = if verb == "create" {
                fault
            } else if fault == Fault::Permanent {
                Fault::LostAnswer
            } else {
                fault
            };
            Deed::Fault(FaultRule::next(verb, fault))
        });
        if random.below(6) == 0 {
            many(random, 1, &mut |random| Deed::LoseHead { down_ms: 200 + random.below(8_000) });
        }
        deeds.extend(pushes(random));
        match kind {
            Kind::Keep | Kind::Rename { .. } => deeds.push((STORM_MS + 1_000, Deed::Calm)),
            Kind::Destroy => {
                let at_ms = 200 + random.below(STORM_MS);
                deeds.push((at_ms, Deed::Teardown { drain: random.below(3) > 0 }));
                // Of a cluster that goes, nobody makes a new head or configuration.
                deeds.retain(|(at, deed)| at < &at_ms || !matches!(deed, Deed::LoseHead { .. } | Deed::Push(_)));
            }
        }
        Self { rates, deeds }
    }
}

/// The controller is dropped, in the middle of a write where it writes.
fn crash(random: &mut Random) -> Deed {
    let how = match random.below(3) {
        0 => How::Lost,
        1 => How::Torn(usize::try_from(random.below(600)).unwrap_or(0)),
        _ => How::Unacknowledged,
    };
    let patience = if random.below(4) == 0 { 0 } else { 40 };
    Deed::Crash { how, down_ms: 50 + random.below(6_000), events: random.below(20), patience }
}

/// A renaming when everything rests, and a change of a text when everything rests again.
fn renaming(random: &mut Random, trouble: Trouble) -> Vec<(u64, Deed)> {
    let renamed = Shape { renamed: true, ..Shape::FIRST };
    let (first, second) = (STORM_MS / 3, STORM_MS * 2 / 3);
    let mut deeds = vec![(first, Deed::Push(renamed)), (second, Deed::Push(Shape { text: 2, ..renamed }))];
    match trouble {
        Trouble::None => {}
        // It begins to rename with the next look around, at every full second, and a write takes some milliseconds.
        Trouble::Crash => deeds.push((first + 1_000 * random.below(2) + random.below(40), crash(random))),
        Trouble::LoseHead => deeds.push((first + 5_000, Deed::LoseHead { down_ms: 200 + random.below(8_000) })),
    }
    deeds.push((STORM_MS + 1_000, Deed::Calm));
    deeds
}

/// Each differs from the one before in one thing, and all come one after the other.
fn pushes(random: &mut Random) -> Vec<(u64, Deed)> {
    let mut times: Vec<u64> = (0..random.below(4)).map(|_| 2_000 + random.below(STORM_MS)).collect();
    times.sort_unstable();
    let mut shape = Shape::FIRST;
    let push = |at_ms: u64| {
        match random.below(5) {
            0 => shape.quorum = if shape.quorum == 3 { 5 } else { 3 },
            1 => shape.text += 1,
            2 => shape.plain_cpus = 6 - shape.plain_cpus,
            3 => shape.renamed = true,
            _ => shape.quorum_cpus = 6 - shape.quorum_cpus,
        }
        (at_ms, Deed::Push(shape))
    };
    times.into_iter().map(push).collect()
}
