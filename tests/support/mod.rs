//! What the end-to-end tests share: a place of their own for each, the program as a user runs it, and a look at what is on the machine.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::panic,
    reason = "each test program uses a part of it, and helpers of tests are no test functions to clippy"
)]

pub mod machine;
pub mod quickstart;
pub mod random;
pub mod stage;
pub mod user;

pub use stage::{Ran, Running, Stage};

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Copies what is in a folder into another one.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// Every file below a folder, by its path there.
pub fn files_below(folder: &Path) -> Vec<String> {
    fn walk(folder: &Path, prefix: &str, found: &mut Vec<String>) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                walk(&entry.path(), &format!("{path}/"), found);
            } else {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, "", &mut found);
    found.sort();
    found
}

/// Waits until something is so. Panics with `what` when it does not come.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + limit;
    while !is_so() {
        assert!(Instant::now() < until, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Says that a check does not run; where `CI` is set, that is an error.
pub fn cannot_run(what: &str, why: &str) {
    let text = format!("NOT RUN: {what}: {why}");
    assert!(std::env::var_os("CI").is_none_or(|value| value != "true"), "{text}");
    eprintln!("{text}");
}

/// Whether this process is root's.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
