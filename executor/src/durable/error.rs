//! What can go wrong with what survives a crash, and the one place where it becomes a diagnostic.

use std::io;
use std::path::PathBuf;

use cloudtik_model::Diagnostic;
use thiserror::Error;

use super::lock::Holder;

/// Why something durable cannot be read or written. Nothing is lost by any of these: what was durable before still is.
#[derive(Debug, Error)]
pub enum DurableError {
    /// The system refused.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// A verb: `read`, `append to`.
        doing: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The data folder belongs to something else.
    #[error("{} is no data folder of cloudtik: it is open to other users and holds other files", path.display())]
    ForeignFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A file is longer than any that we write.
    #[error("{} is longer than {limit} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// A record in the middle of the journal cannot be read.
    #[error("the journal {} is damaged at byte {offset}: {problem}", path.display())]
    JournalDamaged {
        /// The segment.
        path: PathBuf,
        /// Where its first bad byte is to be looked for.
        offset: u64,
        /// What is wrong there.
        problem: String,
    },
    /// Records are missing between the state and the journal, or between two segments.
    #[error("the journal {} goes on with record {found} where record {expected} is due", path.display())]
    JournalGap {
        /// The segment or folder.
        path: PathBuf,
        /// The record that is due.
        expected: u64,
        /// The record that is there.
        found: u64,
    },
    /// The journal was written by a newer version.
    #[error("the journal {} was written by a newer cloudtik (its version is {found}, this one reads up to {known})", path.display())]
    JournalNewer {
        /// The segment.
        path: PathBuf,
        /// Its version.
        found: String,
        /// Ours.
        known: u32,
    },
    /// A record or a batch of them is longer than a reader accepts.
    #[error("a record of {bytes} bytes is beyond the limit of {limit}")]
    RecordTooLong {
        /// Its length.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The next record exists already: somebody else wrote it.
    #[error("somebody else wrote to the journal {} while this run had it (record {sequence})", path.display())]
    Conflict {
        /// The journal.
        path: PathBuf,
        /// The record that was to be written.
        sequence: u64,
    },
    /// A newer holder closed the journal to this one.
    #[error("another run took the journal {} over (epoch {by}, this run has epoch {epoch})", path.display())]
    Sealed {
        /// The journal.
        path: PathBuf,
        /// Ours.
        epoch: u64,
        /// The new holder's.
        by: u64,
    },
    /// An earlier write failed in a way that leaves unknown what is on the disk.
    #[error("an earlier write to the journal {} failed half-way", path.display())]
    JournalBroken {
        /// The segment.
        path: PathBuf,
    },
    /// The state cannot be read.
    #[error("the state {} is damaged at byte {offset}: {problem}", path.display())]
    StateDamaged {
        /// The file.
        path: PathBuf,
        /// Where reading stopped.
        offset: u64,
        /// What is wrong there.
        problem: String,
        /// The newest predecessor that can be read.
        backup: Option<PathBuf>,
    },
    /// The state is not there although it must have been.
    #[error("the state {} is missing, although {because}", path.display())]
    StateMissing {
        /// The file.
        path: PathBuf,
        /// What says that there was one.
        because: &'static str,
        /// The newest predecessor that can be read.
        backup: Option<PathBuf>,
    },
    /// The state was written by a newer version.
    #[error("the state {} was written by a newer cloudtik (its version is {found}, this one reads up to {known})", path.display())]
    StateNewer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// Ours.
        known: u32,
    },
    /// The state changed under our feet.
    #[error("somebody else changed the state {} while this run had it", path.display())]
    StateMoved {
        /// The file.
        path: PathBuf,
    },
    /// The lock is held.
    #[error("the lock is held{}", holder.as_ref().map(|holder| format!(" by {holder}")).unwrap_or_default())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// Who holds it, where that can be read.
        holder: Option<Box<Holder>>,
    },
    /// The key of sensitive values is not there.
    #[error("the key {key_id} of the sensitive values is missing: there is no file {}", path.display())]
    KeyMissing {
        /// Where it should be.
        path: PathBuf,
        /// Which one.
        key_id: String,
    },
    /// The key is another one.
    #[error("the sensitive values need the key {key_id}, but the file {} holds the key {found}", path.display())]
    KeyDiffers {
        /// Where it should be.
        path: PathBuf,
        /// Which one.
        key_id: String,
        /// Which one is there.
        found: String,
    },
    /// The key file holds no key.
    #[error("the key file {} is damaged: it has {bytes} bytes and must have {expected}", path.display())]
    KeyDamaged {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// The length of a key.
        expected: u64,
    },
    /// A sensitive value does not open: it was changed, or moved to another place.
    #[error("the sensitive value at {place} was changed or moved: it does not open")]
    EnvelopeDamaged {
        /// Use and place within it.
        place: String,
    },
    /// A sensitive value is in an envelope of a kind that this version does not know.
    #[error("the sensitive value at {place} is encrypted by `{method}`, which this version does not know")]
    EnvelopeUnknown {
        /// Use and place within it.
        place: String,
        /// The method.
        method: String,
    },
    /// A secret has a name that is none.
    #[error("`{name}` is no name of a key file")]
    SecretName {
        /// The name.
        name: String,
    },
    /// A secret that an operation needs is not there; the operation goes to settlement.
    #[error("the key file {} is missing", path.display())]
    SecretMissing {
        /// The file.
        path: PathBuf,
    },
    /// A secret is not the one that an operation began with; the operation goes to settlement.
    #[error("the key file {} is not the one that the operation began with", path.display())]
    SecretDiffers {
        /// The file.
        path: PathBuf,
    },
    /// A secret of that name exists and is another one.
    #[error("the key file {} exists and holds another key", path.display())]
    SecretTaken {
        /// The file.
        path: PathBuf,
    },
    /// A key could not be made.
    #[error("cannot make the key `{name}`: {problem}")]
    KeyGeneration {
        /// Its name.
        name: String,
        /// What its maker said.
        problem: String,
    },
    /// The saved plan cannot be read.
    #[error("the plan {} is damaged at byte {offset}: {problem}", path.display())]
    PlanDamaged {
        /// The file.
        path: PathBuf,
        /// Where reading stopped.
        offset: u64,
        /// What is wrong there.
        problem: String,
    },
    /// The saved plan is of a version that this one does not apply.
    #[error("the plan {} has version {found}, and this cloudtik applies version {known}", path.display())]
    PlanVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// Ours.
        known: u32,
    },
    /// Something of ours has no JSON form.
    #[error("cannot write {what} as JSON")]
    Encode {
        /// What.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Entropy {
        /// Why.
        source: io::Error,
    },
    /// The file that remembers where the state lies is none of ours.
    #[error("{} does not say where the state lies", path.display())]
    PlaceDamaged {
        /// The file.
        path: PathBuf,
    },
    /// What is open would be lost with the state that it belongs to.
    #[error("{open} operations of an interrupted run are open, and the state cannot be replaced under them")]
    Unsettled {
        /// How many.
        open: usize,
    },
    /// Records were given before the run began.
    #[error("a record was written before the run began")]
    NotBegun,
}

impl DurableError {
    /// The system refused to do something to a path; for `map_err`.
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }

    /// Whether an operation that met this must be settled instead of repeated.
    #[must_use]
    pub const fn needs_settlement(&self) -> bool {
        matches!(self, Self::SecretMissing { .. } | Self::SecretDiffers { .. })
    }

    /// Whether this run lost its right to write: it must make no call any more.
    #[must_use]
    pub const fn is_fenced(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::Sealed { .. } | Self::StateMoved { .. })
    }

    /// For people: a code, a sentence, and what to do.
    #[must_use]
    pub fn to_diagnostic(&self) -> Diagnostic {
        let diagnostic = Diagnostic::error(self.code(), self.to_string()).maybe_help(self.help());
        match self {
            Self::Io { source, .. } | Self::Entropy { source } => diagnostic.note(source.to_string()),
            Self::Encode { source, .. } => diagnostic.note(source.to_string()),
            Self::Held { path, .. } => diagnostic.note(format!("the lock file is {}", path.display())),
            _ => diagnostic,
        }
    }

    /// The stable name.
    const fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "storage",
            Self::ForeignFolder { .. } => "foreign-data-folder",
            Self::TooLong { .. } => "file-too-long",
            Self::JournalDamaged { .. } => "journal-damaged",
            Self::JournalGap { .. } => "journal-gap",
            Self::JournalNewer { .. } => "journal-newer",
            Self::RecordTooLong { .. } => "record-too-long",
            Self::Conflict { .. } => "journal-conflict",
            Self::Sealed { .. } => "journal-sealed",
            Self::JournalBroken { .. } => "journal-broken",
            Self::StateDamaged { .. } => "state-damaged",
            Self::StateMissing { .. } => "state-missing",
            Self::StateNewer { .. } => "state-newer",
            Self::StateMoved { .. } => "state-moved",
            Self::Held { .. } => "lock-held",
            Self::KeyMissing { .. } => "key-missing",
            Self::KeyDiffers { .. } => "key-differs",
            Self::KeyDamaged { .. } => "key-damaged",
            Self::EnvelopeDamaged { .. } => "envelope-damaged",
            Self::EnvelopeUnknown { .. } => "envelope-unknown",
            Self::SecretName { .. } => "secret-name",
            Self::SecretMissing { .. } => "secret-missing",
            Self::SecretDiffers { .. } => "secret-differs",
            Self::SecretTaken { .. } => "secret-taken",
            Self::KeyGeneration { .. } => "key-generation",
            Self::PlanDamaged { .. } => "plan-damaged",
            Self::PlanVersion { .. } => "plan-version",
            Self::Encode { .. } => "encode",
            Self::Entropy { .. } => "entropy",
            Self::PlaceDamaged { .. } => "state-place",
            Self::Unsettled { .. } => "state-unsettled",
            Self::NotBegun => "run-not-begun",
        }
    }

    /// What to do about it.
    fn help(&self) -> Option<String> {
        let upgrade = "upgrade cloudtik to the version that wrote it, or a later one";
        let text = match self {
            Self::Io { source, path, .. } => return io_help(source, path),
            Self::ForeignFolder { path } => {
                format!("name another folder in CLOUDTIK_DATA_DIR, or close this one first: chmod 700 {}", path.display())
            }
            Self::TooLong { .. } => "cloudtik wrote no such file; look at what did".to_owned(),
            Self::JournalDamaged { path, .. } => format!(
                "restore {} from a copy of the disk; moving it away loses the record of what the last run made, and cloudtik would make it again",
                path.display()
            ),
            Self::JournalGap { .. } => {
                "the state or the journal was put back from an older copy: put back both from the same moment, or the newest state"
                    .to_owned()
            }
            Self::JournalNewer { .. } | Self::StateNewer { .. } => upgrade.to_owned(),
            Self::PlanVersion { .. } => "make the plan again with this version".to_owned(),
            Self::PlanDamaged { .. } => "make the plan again".to_owned(),
            Self::RecordTooLong { .. } => "make the files and scripts of the spec smaller".to_owned(),
            Self::Conflict { .. } | Self::Sealed { .. } | Self::StateMoved { .. } => {
                "run the command again; what this run did is in its journal and will be settled".to_owned()
            }
            Self::JournalBroken { .. } => "run the command again; it settles what was under way".to_owned(),
            Self::StateDamaged { path, backup, .. } | Self::StateMissing { path, backup, .. } => match backup {
                Some(backup) => format!("the newest state before it that can be read is {0}: cp {0} {1}", backup.display(), path.display()),
                None => "there is no earlier state that can be read beside it".to_owned(),
            },
            Self::Held { .. } => "wait for it to end, or let this command wait: --lock-timeout 5m".to_owned(),
            Self::KeyMissing { path, .. } | Self::KeyDiffers { path, .. } | Self::KeyDamaged { path, .. } => {
                format!("put the key back from a copy of {}; without it the sensitive values cannot be read", path.display())
            }
            Self::EnvelopeDamaged { .. } => "put the file back from a copy; it was edited".to_owned(),
            Self::EnvelopeUnknown { .. } => upgrade.to_owned(),
            Self::SecretMissing { .. } | Self::SecretDiffers { .. } => {
                "the operation is not repeated; cloudtik looks for what it made instead".to_owned()
            }
            Self::PlaceDamaged { path } => format!("remove {}: then the state is looked for where the spec says", path.display()),
            Self::Unsettled { .. } => "run `cloudtik apply`: it finds out what was done, and closes them".to_owned(),
            Self::SecretTaken { path } => format!("move {} away if nothing needs it any more", path.display()),
            Self::SecretName { .. } | Self::KeyGeneration { .. } | Self::Encode { .. } | Self::Entropy { .. } | Self::NotBegun => {
                return None;
            }
        };
        Some(text)
    }
}

fn io_help(source: &io::Error, path: &std::path::Path) -> Option<String> {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("the disk is full: free some space and run the command again; nothing is lost".to_owned())
        }
        io::ErrorKind::PermissionDenied => Some(format!("give this user the right to {}, or run as the user that owns it", path.display())),
        io::ErrorKind::ReadOnlyFilesystem => Some("the file system is read-only: name another folder in CLOUDTIK_DATA_DIR".to_owned()),
        _ => None,
    }
}

impl From<&DurableError> for Diagnostic {
    fn from(error: &DurableError) -> Self {
        error.to_diagnostic()
    }
}
