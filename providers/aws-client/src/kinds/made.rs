//! What comes with creates of more than one request: tokens, and what an error means once the object is there.

use std::time::Duration;

use cloudtik_model::Digest;
use cloudtik_provider_api::{CallError, ErrorClass};

use crate::wait;

/// The longest `ClientToken` that AWS takes.
const TOKEN_CHARS_MAX: usize = 64;

/// How long a request about an object that was just made is repeated: AWS may not know it everywhere yet, which takes it seconds.
const VISIBLE_WITHIN: Duration = Duration::from_secs(30);

/// A token as AWS takes it: as it is where that is possible, otherwise its digest.
pub(super) fn client_token(token: &str) -> String {
    let fits = token.len() <= TOKEN_CHARS_MAX && token.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { token.to_owned() } else { Digest::of(token).to_string() }
}

/// The error of a create whose object is there, but not as it shall be: never one that says that nothing happened.
pub(super) fn unfinished(error: CallError) -> CallError {
    CallError { class: ErrorClass::Unknown, ..error }
}

/// Sends a request that follows the one that made an object, again where that helps.
pub(super) async fn after_create<T, F>(send: impl FnMut() -> F) -> Result<T, CallError>
where
    F: Future<Output = Result<T, CallError>>,
{
    let passes = |error: &CallError| matches!(error.class, ErrorClass::Gone | ErrorClass::Throttled | ErrorClass::Transient);
    wait::while_conflict(VISIBLE_WITHIN, passes, send).await.map_err(unfinished)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_as_long_as_aws_takes_them() {
        assert_eq!(client_token("run-1:12"), "run-1:12");
        for token in ["t".repeat(TOKEN_CHARS_MAX + 1), "a b".to_owned()] {
            assert_eq!(client_token(&token).len(), TOKEN_CHARS_MAX);
        }
    }

    #[test]
    fn what_follows_a_create_is_never_without_effect() {
        let error = unfinished(CallError::new(ErrorClass::Gone, "NoSuchBucket", "not yet"));
        assert_eq!(error.class, ErrorClass::Unknown);
    }
}
