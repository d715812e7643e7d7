//! Why something did not work, as a library user gets it.

use cloudtik_executor::engine::Summary;
use cloudtik_model::{Diagnostic, Diagnostics, SourceMap};

/// What sort of end it was. The command line maps each to an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    /// Nothing was changed.
    Error,
    /// Somebody else holds the lock.
    LockHeld,
    /// Something was changed, and something failed.
    Partial,
    /// It was interrupted; what ran was brought to its end.
    Interrupted,
    /// A fault of ours.
    Fault,
}

/// Why something did not work.
#[derive(Debug)]
pub struct Failure {
    /// What sort of end it was.
    pub kind: FailureKind,
    /// What went wrong, with places.
    pub diagnostics: Diagnostics,
    /// The files that the places are in.
    pub sources: SourceMap,
    /// What was done before, if anything was.
    pub summary: Option<Box<Summary>>,
}

impl Failure {
    /// Errors of the spec or of the request: nothing was changed.
    #[must_use]
    pub const fn error(diagnostics: Diagnostics, sources: SourceMap) -> Self {
        Self { kind: FailureKind::Error, diagnostics, sources, summary: None }
    }

    /// One error without a place.
    #[must_use]
    pub fn plain(diagnostic: Diagnostic) -> Self {
        Self::error(diagnostic.into(), SourceMap::default())
    }

    /// The same of another sort.
    #[must_use]
    pub const fn of(mut self, kind: FailureKind) -> Self {
        self.kind = kind;
        self
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, diagnostic) in self.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            if let Some(place) = diagnostic.primary.as_ref().and_then(|label| self.sources.describe(label.span)) {
                write!(f, "{place}: ")?;
            }
            f.write_str(&diagnostic.title)?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
