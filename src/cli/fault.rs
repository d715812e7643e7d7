//! What happens when our own code breaks: a short message that says so and what to report, and an exit code of its own.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, PanicHookInfo};

use super::Exit;

/// Replaces the message of a panic by one for people.
pub(crate) fn install() {
    std::panic::set_hook(Box::new(|info| {
        // Written at once and directly: a printer that is in the middle of something must not hold this back.
        let _ = std::io::stderr().write_all(message(info).as_bytes());
    }));
}

/// Runs it; a panic in it is an end like another.
pub(crate) fn catch(run: impl FnOnce() -> Exit) -> Exit {
    std::panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or(Exit::Fault)
}

fn message(info: &PanicHookInfo<'_>) -> String {
    let what = info.payload_as_str().unwrap_or("no text");
    let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    format!(
        "\nThis is a fault of cloudtik, not of your spec: {what} (at {place}).\n\
         What was done is in the journal; the next run takes it up from there.\n\
         Please report this text, the output of `cloudtik version`, and what you ran.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_fault_of_ours_and_other_ends_stay_what_they_are() {
        assert_eq!(catch(|| Exit::Changes), Exit::Changes);
        assert_eq!(catch(|| panic!("expected by this test")), Exit::Fault);
    }
}
