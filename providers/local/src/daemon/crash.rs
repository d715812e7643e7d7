//! Crash points, for tests of the crash: at the n-th one the daemon kills itself, as `kill -9` would.
//!
//! A point stands before each durable record and after it, before the answer. So counting through them meets every order of "in the world"
//! and "on record" in turn. It happens once per state folder, so that a client that starts the daemon again gets on.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Counts down to the crash.
#[derive(Debug)]
pub(crate) struct CrashPoints {
    die_at: Option<u64>,
    passed: AtomicU64,
    marker: PathBuf,
}

impl CrashPoints {
    pub(crate) fn new(die_after_events: Option<u64>, state_dir: &std::path::Path) -> Self {
        let marker = state_dir.join("died-as-told");
        let die_at = die_after_events.filter(|_| !marker.exists());
        Self { die_at, passed: AtomicU64::new(0), marker }
    }

    /// Passes a point, or dies at it.
    pub(crate) fn pass(&self) {
        let Some(die_at) = self.die_at else { return };
        let passed = self.passed.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        if passed == die_at && fs::write(&self.marker, passed.to_string()).is_ok() {
            // Nothing to do about a failure: the test would see a daemon that did not die.
            let _ = kill(Pid::this(), Signal::SIGKILL);
        }
    }
}
