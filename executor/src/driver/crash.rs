//! For tests of a crash: in debug builds the process kills itself, as `kill -9` would, when so many records became durable. What was asked
//! for after them is not begun, which is the moment that a crash would have to hit.

use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How many records; looked at in debug builds alone.
pub(super) const VARIABLE: &str = "CLOUDTIK_DIE_AFTER_RECORDS";

/// Records that became durable in this process, over all its runs: settlement is one, the engine is another.
static RECORDS: AtomicU64 = AtomicU64::new(0);

/// Counts records that became durable, and dies at the one that was named. Records become durable in groups: of the group that holds it,
/// all are.
pub(super) fn pass(records: usize) {
    if !cfg!(debug_assertions) {
        return;
    }
    let before = RECORDS.fetch_add(records as u64, Ordering::SeqCst);
    let die_at: Option<u64> = std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok());
    if die_at.is_some_and(|die_at| before < die_at && die_at <= before + records as u64) {
        // A failure would be seen by the test: a process that did not die.
        let _ = kill(Pid::this(), Signal::SIGKILL);
    }
}
