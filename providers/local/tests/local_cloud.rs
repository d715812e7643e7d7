//! The local cloud as a client sees it: every kind in both forms, with the daemon killed in the middle, and nothing left at the end.
//!
//! This program plays several parts: the tests; `local-cloud`, the daemon and its helper; `node`, which stands in for the real node.
//! Run by root it tests the namespaces form itself and runs itself again as an unprivileged user for the plain form, once as it is and once
//! in a place where the kernel gives no user namespace.

#[cfg(test)]
#[path = "local_cloud/mod.rs"]
mod suite;

fn main() -> std::process::ExitCode {
    suite::main()
}
