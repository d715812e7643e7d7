//! The harness of the golden cases: a case is a folder, a folder is a test.
//!
//! ```text
//! cases/NAME/in/          the project, copied to a temporary folder for each run
//! cases/NAME/cmd          what is run there, one command a line; `#` begins a comment
//! cases/NAME/expected/    stdout, stderr, exit, and files/… : what comes of it; a missing stdout or stderr is empty
//! ```
//!
//! A command is `cloudtik …`, with `NAME=value` before it for its environment, or one of `cp FROM TO`, `rm FILE`, `fill FILE BYTES` (a file
//! of that size) and `nest FILE LEVELS` (a list in a list in a list). `sorted cloudtik …` sorts the lines of stderr, for what runs at
//! once; `indented cloudtik …` writes lines of JSON with a line for each part. Each runs in a clean environment with a home of its own. With `UPDATE_GOLDEN=1` the expected files are written instead of
//! compared. What differs from run to run is replaced in one place, [`Redaction`].
//!
//! It knows no package of ours: only the program, as a user has it.

mod binary;
mod case;
mod redact;
mod run;

pub use binary::{binary, cases_folder};
pub use case::Case;
pub use redact::Redaction;
