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

/// Sends a request that follows the one that made an object, again where that helps. The object is there whatever comes of it, so an error
/// never says that nothing happened: then the object would be made a second time.
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

    fn error(class: ErrorClass) -> CallError {
        CallError::new(class, "code", "text")
    }

    #[tokio::test]
    async fn what_follows_a_create_is_repeated_until_the_object_is_known() {
        let mut answers = [Err(error(ErrorClass::Gone)), Err(error(ErrorClass::Throttled)), Ok(7)].into_iter();
        let send = || std::future::ready(answers.next().unwrap());
        assert_eq!(after_create(send).await, Ok(7));
    }

    #[tokio::test]
    async fn what_follows_a_create_never_says_that_nothing_happened() {
        let refused = || std::future::ready(Err::<(), _>(error(ErrorClass::Permanent)));
        assert_eq!(after_create(refused).await.unwrap_err().class, ErrorClass::Unknown);
    }
}
