//! Waiting for what AWS does in its own time: by asking, at intervals that grow.

use std::time::Duration;

use cloudtik_aws::waiting::Pauses;
use cloudtik_provider_api::{CallError, ErrorClass};
use tokio::time::{Instant, sleep};

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
    let end = Instant::now() + limit;
    let mut pauses = Pauses::default();
    loop {
        let pause = pauses.pause();
        match ask().await? {
            Seen::Done(value) => return Ok(value),
            Seen::NotYet(state) if Instant::now() + pause > end => {
                let text = format!("{what} is `{state}` after {} s", limit.as_secs());
                return Err(CallError::new(ErrorClass::Unknown, "wait", text));
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
    let end = Instant::now() + limit;
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
