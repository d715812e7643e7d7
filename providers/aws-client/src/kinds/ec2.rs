//! What the kinds of EC2 share: tokens, the requests that follow a create, deletes of what is still in use.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_ec2::types::Tag;
use cloudtik_model::Digest;
use cloudtik_provider_api::{CallError, ErrorClass, Found, ObjectAnswer};

use crate::{tags, wait};

/// The longest `ClientToken` that EC2 takes.
const TOKEN_CHARS_MAX: usize = 64;

/// How long a request about an object that was just made is repeated: AWS may not know it everywhere yet, which takes it seconds.
const VISIBLE_WAIT: Duration = Duration::from_secs(30);

/// How long a delete waits for what uses the object: the network interfaces of NAT gateways, endpoints and load balancers go some minutes
/// after those that they belong to.
const UNUSED_WAIT: Duration = Duration::from_secs(300);

/// A token as EC2 takes it: as it is where that is possible, otherwise its digest.
pub(crate) fn client_token(token: &str) -> String {
    let fits = token.len() <= TOKEN_CHARS_MAX && token.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { token.to_owned() } else { Digest::of(token).to_string() }
}

/// An object that was found, its tags parted into marks and those of the spec.
pub(crate) fn found(tags: &[Tag], answer: impl FnOnce(BTreeMap<String, String>) -> ObjectAnswer) -> Found {
    let (marks, own) = tags::of_ec2(tags);
    Found { object: answer(own), tags: marks }
}

/// Sends a request that follows the one that made an object, again where that helps. The object is there whatever comes of it, so an error
/// never says that nothing happened: then the object would be made a second time.
pub(crate) async fn after_create<T, F>(send: impl FnMut() -> F) -> Result<T, CallError>
where
    F: Future<Output = Result<T, CallError>>,
{
    let passes = |error: &CallError| matches!(error.class, ErrorClass::Gone | ErrorClass::Throttled | ErrorClass::Transient);
    wait::while_conflict(VISIBLE_WAIT, passes, send).await.map_err(unfinished)
}

/// The error of a create whose object is there, but not as it shall be.
pub(crate) fn unfinished(error: CallError) -> CallError {
    CallError { class: ErrorClass::Unknown, ..error }
}

/// Sends a request that is refused as long as something uses the object. If that does not end, `help` says what to look for.
pub(crate) async fn when_unused<T, F>(help: &str, send: impl FnMut() -> F) -> Result<T, CallError>
where
    F: Future<Output = Result<T, CallError>>,
{
    let sent = wait::while_conflict(UNUSED_WAIT, is_conflict, send).await;
    sent.map_err(|error| if is_conflict(&error) { error.help(help) } else { error })
}

/// Whether AWS refuses because of what is there.
pub(crate) fn is_conflict(error: &CallError) -> bool {
    error.class == ErrorClass::Conflict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_as_long_as_ec2_takes_them() {
        assert_eq!(client_token("run-1:12"), "run-1:12");
        let longest = "t".repeat(TOKEN_CHARS_MAX);
        assert_eq!(client_token(&longest), longest);
        for token in ["t".repeat(TOKEN_CHARS_MAX + 1), "a b".to_owned(), "ü".to_owned()] {
            let short = client_token(&token);
            assert_eq!(short.len(), TOKEN_CHARS_MAX);
            assert_eq!(short, client_token(&token));
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

    #[tokio::test]
    async fn what_is_unused_after_a_while_goes() {
        let mut answers = [Err(error(ErrorClass::Conflict)), Ok(())].into_iter();
        assert_eq!(when_unused("help", || std::future::ready(answers.next().unwrap())).await, Ok(()));
        let gone = || std::future::ready(Err::<(), _>(error(ErrorClass::Gone)));
        assert_eq!(when_unused("help", gone).await, Err(error(ErrorClass::Gone)));
    }
}
