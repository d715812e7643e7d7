//! Modules from the outside: files in, steps out. Golden cases of the shipped modules stand in `tests/cases`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "this is all test code; it reads its cases, and asks a real shell what it makes of our quoting and scripts"
)]

mod cases;
mod cluster;
mod etcd;
mod manifest;
mod steps;
mod support;
mod templates;
