//! Waiting for what AWS does in its own time: by asking, at intervals that grow.

use std::time::Duration;

use cloudtik_aws::waiting::Pauses;
use cloudtik_provider_api::{CallError, ErrorClass, TIMED_OUT};
use tokio::time::{Instant, sleep};

tokio::task_local! {
    /// How long the call under way may wait, where the spec says it.
    static ASKED: Asked;
}

/// What a call may wait for.
#[derive(Clone, Copy)]
struct Asked {
    limit: Duration,
    deletes: bool,
}

/// Carries out a call that may wait so long: what it waits for has that limit in the place of its own. A conflict is waited out so long only
/// where something is removed, since there it ends when others let go; elsewhere it is AWS that has not heard yet, or a mistake.
pub(crate) async fn within<T>(limit: Option<u64>, deletes: bool, call: impl Future<Output = T>) -> T {
    match limit {
        Some(secs) => ASKED.scope(Asked { limit: Duration::from_secs(secs), deletes }, call).await,
        None => call.await,
    }
}

fn asked_or(own: Duration, is_for: impl Fn(Asked) -> bool) -> Duration {
    ASKED.try_with(|asked| *asked).ok().filter(|asked| is_for(*asked)).map_or(own, |asked| asked.limit)
}

/// What a question found out.
pub(crate) enum Seen<T> {
    /// What was waited for.
    Done(T),
    /// Not yet; a word for the state it is in.
    NotYet(String),
}

/// Asks until it is done, or the limit is reached.
pub(crate) async fn until<T, F>(what: &str, limit: Duration, mut ask: impl FnMut() -> F) -> Result<T, CallError>
where
    F: Future<Output = Result<Seen<T>, CallError>>,
{
    let (own, limit) = (limit, asked_or(limit, |_| true));
    let end = Instant::now() + limit;
    let mut pauses = Pauses::default();
    loop {
        let pause = pauses.pause();
        match ask().await? {
            Seen::Done(value) => return Ok(value),
            Seen::NotYet(state) if Instant::now() + pause > end => {
                let text = format!("{what} is `{state}` after {} s", limit.as_secs());
                return Err(CallError::new(ErrorClass::Unknown, if limit == own { "wait" } else { TIMED_OUT }, text));
            }
            Seen::NotYet(_) => {}
        }
        sleep(pause).await;
    }
}

/// Repeats a request as long as what it is about is in use, or not yet known everywhere, for as long as AWS takes to notice.
pub(crate) async fn while_conflict<T, F>(
    limit: Duration,
    is_conflict: impl Fn(&CallError) -> bool,
    mut send: impl FnMut() -> F,
) -> Result<T, CallError>
where
    F: Future<Output = Result<T, CallError>>,
{
    let end = Instant::now() + asked_or(limit, |asked| asked.deletes);
    let mut pauses = Pauses::default();
    loop {
        let pause = pauses.pause();
        match send().await {
            Err(error) if is_conflict(&error) && Instant::now() + pause < end => {}
            other => return other,
        }
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than any test waits.
    const LONG: Duration = Duration::from_secs(3_600);
    const SHORT: Duration = Duration::from_millis(1);

    async fn waits(limit: Option<u64>, own: Duration) -> CallError {
        let never = || async { Ok::<Seen<()>, CallError>(Seen::NotYet("pending".to_owned())) };
        within(limit, false, until("it", own, never)).await.unwrap_err()
    }

    async fn is_refused(limit: Option<u64>, deletes: bool, own: Duration) {
        let used = || async { Err::<(), CallError>(CallError::new(ErrorClass::Conflict, "InUse", "it is in use")) };
        assert_eq!(within(limit, deletes, while_conflict(own, |_| true, used)).await.unwrap_err().code, "InUse");
    }

    /// Each of these would wait an hour if it took the other limit.
    #[tokio::test]
    async fn what_is_waited_for_has_the_limit_that_was_asked_for() {
        assert_eq!(waits(Some(1), LONG).await.message, "it is `pending` after 1 s");
        assert_eq!(waits(None, SHORT).await.class, ErrorClass::Unknown);
        is_refused(Some(1), true, LONG).await;
        is_refused(Some(LONG.as_secs()), false, SHORT).await;
    }
}
