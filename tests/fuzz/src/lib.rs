//! What reads text and files that others wrote, under any bytes: each target takes some, and panics where a promise is broken.
//!
//! `tests/replay.rs` runs every target over its seeds and over `corpus/TARGET`, where findings are kept. `tests/fuzz/run TARGET` looks for
//! more, led by which code runs. Targets are pure but for a temporary folder, and give the same for the same bytes.

mod durable;
mod language;
pub mod seeds;
mod spec;

/// Something that takes any bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of its folder in `corpus`, and what `tests/fuzz/run` is told.
    pub name: &'static str,
    /// Takes the bytes. Panics where a promise is broken.
    pub run: fn(&[u8]),
    /// The words that inputs of it are made of: a file in `dictionaries`.
    pub dictionary: &'static str,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "syntax", run: language::syntax, dictionary: "hcl" },
    Target { name: "format", run: language::format, dictionary: "hcl" },
    Target { name: "evaluate", run: language::evaluate, dictionary: "hcl" },
    Target { name: "spec", run: spec::spec, dictionary: "hcl" },
    Target { name: "state", run: durable::state, dictionary: "json" },
    Target { name: "journal", run: durable::journal, dictionary: "json" },
    Target { name: "plan", run: durable::plan, dictionary: "json" },
];

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
