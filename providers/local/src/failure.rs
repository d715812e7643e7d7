//! Short ways to make the errors of the local cloud, and the one table from errors of the operating system to their codes and classes.

use std::io;
use std::path::Path;

use crate::protocol::{CloudError, ErrorClass};

pub(crate) fn permanent(code: &str, message: impl Into<String>) -> CloudError {
    CloudError { class: ErrorClass::Permanent, code: code.to_owned(), message: message.into() }
}

pub(crate) fn conflict(code: &str, message: impl Into<String>) -> CloudError {
    CloudError { class: ErrorClass::Conflict, code: code.to_owned(), message: message.into() }
}

pub(crate) fn transient(code: &str, message: impl Into<String>) -> CloudError {
    CloudError { class: ErrorClass::Transient, code: code.to_owned(), message: message.into() }
}

pub(crate) fn throttled(code: &str, message: impl Into<String>) -> CloudError {
    CloudError { class: ErrorClass::Throttled, code: code.to_owned(), message: message.into() }
}

pub(crate) fn gone(id: &str) -> CloudError {
    CloudError { class: ErrorClass::Gone, code: "not_found".to_owned(), message: format!("the local cloud has no `{id}`") }
}

/// An error of the operating system while `doing` something with `path`.
pub(crate) fn io_failure(doing: &str, path: &Path, error: &io::Error) -> CloudError {
    let (code, class, reason) = classify(error);
    CloudError { class, code: code.to_owned(), message: format!("cannot {doing} {}: {reason}", path.display()) }
}

/// An error of the operating system that has no path.
pub(crate) fn system_failure(doing: &str, error: &io::Error) -> CloudError {
    let (code, class, reason) = classify(error);
    CloudError { class, code: code.to_owned(), message: format!("cannot {doing}: {reason}") }
}

fn classify(error: &io::Error) -> (&'static str, ErrorClass, String) {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => ("disk_full", ErrorClass::Permanent, "the disk is full".to_owned()),
        Some(libc::EACCES | libc::EPERM) => ("no_permission", ErrorClass::Permanent, "no permission".to_owned()),
        Some(libc::EROFS) => ("read_only", ErrorClass::Permanent, "the file system is read-only".to_owned()),
        Some(libc::EMFILE | libc::ENFILE | libc::EAGAIN | libc::ENOMEM) => ("machine_busy", ErrorClass::Transient, error.to_string()),
        _ => ("system", ErrorClass::Permanent, error.to_string()),
    }
}
