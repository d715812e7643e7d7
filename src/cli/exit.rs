//! How a command ends, as the shell sees it. The one table of exit codes.

use cloudtik::FailureKind;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what was asked; with `--detailed-exitcode`, there is nothing to change.
    Done,
    /// An error, and nothing was changed.
    Error,
    /// There is something to change; only with `--detailed-exitcode`.
    Changes,
    /// Something was changed, and something failed.
    Partial,
    /// Somebody else holds the lock.
    LockHeld,
    /// A fault of ours.
    Fault,
    /// Somebody interrupted it.
    Interrupted,
    /// As the command that it ran on a node ended.
    Command(u8),
}

impl Exit {
    /// The exit code.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Changes => 2,
            Self::Partial => 3,
            Self::LockHeld => 4,
            Self::Fault => 70,
            Self::Interrupted => 130,
            Self::Command(code) => code,
        }
    }
}

impl From<FailureKind> for Exit {
    fn from(kind: FailureKind) -> Self {
        match kind {
            FailureKind::Error => Self::Error,
            FailureKind::LockHeld => Self::LockHeld,
            FailureKind::Partial => Self::Partial,
            FailureKind::Interrupted => Self::Interrupted,
            FailureKind::Fault => Self::Fault,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_the_code_that_the_language_gives_it() {
        let codes = [Exit::Done, Exit::Error, Exit::Changes, Exit::Partial, Exit::LockHeld, Exit::Fault, Exit::Interrupted].map(Exit::code);
        assert_eq!(codes, [0, 1, 2, 3, 4, 70, 130]);
        let kinds = [FailureKind::Error, FailureKind::LockHeld, FailureKind::Partial, FailureKind::Interrupted, FailureKind::Fault];
        assert_eq!(kinds.map(|kind| Exit::from(kind).code()), [1, 4, 3, 130, 70]);
    }
}
