//! What the kinds of EC2 share: how their tags are read, and deletes of what is still in use.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_ec2::types::Tag;
use cloudtik_provider_api::{CallError, ErrorClass, Found, ObjectAnswer};

use crate::{tags, wait};

/// How long a delete waits for what uses the object: the network interfaces of NAT gateways, endpoints and load balancers go some minutes
/// after those that they belong to.
const UNUSED_WAIT: Duration = Duration::from_secs(300);

/// An object that was found, its tags parted into marks and those of the spec.
pub(crate) fn found(tags: &[Tag], answer: impl FnOnce(BTreeMap<String, String>) -> ObjectAnswer) -> Found {
    let (marks, own) = tags::of_ec2(tags);
    Found { object: answer(own), tags: marks }
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

    fn error(class: ErrorClass) -> CallError {
        CallError::new(class, "code", "text")
    }

    #[tokio::test]
    async fn what_is_unused_after_a_while_goes() {
        let mut answers = [Err(error(ErrorClass::Conflict)), Ok(())].into_iter();
        assert_eq!(when_unused("help", || std::future::ready(answers.next().unwrap())).await, Ok(()));
        let gone = || std::future::ready(Err::<(), _>(error(ErrorClass::Gone)));
        assert_eq!(when_unused("help", gone).await, Err(error(ErrorClass::Gone)));
    }
}
