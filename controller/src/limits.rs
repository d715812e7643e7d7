//! The limits of the controller, each with why it is that number.

/// How often the machine looks around when nothing happens, in milliseconds: what a person who waits does not notice.
pub(crate) const TICK_MS: u64 = 200;

/// How often it asks whether its workers are there, in milliseconds. With the time of a call a worker that is gone is noticed within five
/// seconds.
pub(crate) const POLL_MS: u64 = 2_000;

/// How often it looks for workers that nobody knows, in milliseconds: they come from a controller that lost its store, which is rare.
pub(crate) const FIND_MS: u64 = 30_000;

/// An answer that is not there after so many milliseconds never comes: every call of a provider has a limit of its own below this.
pub(crate) const CALL_LOST_MS: u64 = 300_000;

/// Workers that are worked on at once, once they are there. Each has some calls and one connection under way; more of them only wait for two processors.
pub(crate) const UNITS_AT_ONCE_MAX: usize = 32;

/// Workers that are launched at once: so many that those of a large group go together in a few calls. What waits for a launch costs memory only.
pub(crate) const LAUNCHES_AT_ONCE_MAX: usize = 256;

/// Operations at once on one worker.
pub(crate) const OPERATIONS_PER_UNIT: usize = 4;

/// Tries of a call within one run: the run is repeated as a whole, with pauses of its own.
pub(crate) const TRIES_MAX: u32 = 4;

/// The first pause after a run of a worker that failed, in milliseconds; doubled for each further one.
pub(crate) const RETRY_FIRST_MS: u64 = 1_000;

/// The longest pause between two runs of a worker that fail, in milliseconds: what is mended by hand is noticed within a minute.
pub(crate) const RETRY_MAX_MS: u64 = 60_000;

/// After so many failed runs in a row a worker is given up and another one is made in its place.
pub(crate) const SETUP_TRIES_MAX: u32 = 4;

/// After so many workers of a group that were given up in a row, the group waits for somebody: making more of them mends nothing.
pub(crate) const GIVEN_UP_MAX: u32 = 3;

/// How long a group that waits for somebody keeps still before it tries once more, in milliseconds.
pub(crate) const GROUP_PAUSE_MS: u64 = 600_000;

/// Events that are kept. A worker makes about twenty; a few hundred workers fit.
pub(crate) const EVENTS_MAX: usize = 10_000;

/// Records in the journal after which it is folded into the state, when nothing else is going on.
pub(crate) const FOLD_RECORDS: u64 = 200;

/// Folding waits at most this long after the last record, in milliseconds.
pub(crate) const FOLD_IDLE_MS: u64 = 5_000;
