//! Several requests at once, for services that take one object a call.

use std::pin::Pin;
use std::task::Poll;

use cloudtik_provider_api::{CallError, ErrorClass};

/// Requests that run at once. AWS's limits are per second, and `limits` keeps to them; this bounds connections.
const AT_ONCE: usize = 16;

/// Asks for each item, and gives what there is, in the items' order. The first error ends it.
pub(crate) async fn each<I, T, F>(items: impl IntoIterator<Item = I>, ask: impl Fn(I) -> F) -> Result<Vec<T>, CallError>
where
    F: Future<Output = Result<T, CallError>>,
{
    let items: Vec<I> = items.into_iter().collect();
    let mut all = Vec::with_capacity(items.len());
    let mut items = items.into_iter();
    loop {
        let some: Vec<F> = items.by_ref().take(AT_ONCE).map(&ask).collect();
        if some.is_empty() {
            return Ok(all);
        }
        all.extend(together(some).await?);
    }
}

/// A future that is waited for, or what came of it.
enum Waited<T, F> {
    For(Pin<Box<F>>),
    Done(T),
}

async fn together<T, F>(futures: Vec<F>) -> Result<Vec<T>, CallError>
where
    F: Future<Output = Result<T, CallError>>,
{
    let mut all: Vec<Waited<T, F>> = futures.into_iter().map(|future| Waited::For(Box::pin(future))).collect();
    std::future::poll_fn(|context| {
        let mut is_done = true;
        for waited in &mut all {
            let Waited::For(future) = waited else { continue };
            match future.as_mut().poll(context) {
                Poll::Ready(Ok(value)) => *waited = Waited::Done(value),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => is_done = false,
            }
        }
        if is_done { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await?;
    Ok(all.into_iter().filter_map(|waited| if let Waited::Done(value) = waited { Some(value) } else { None }).collect())
}

/// What is there; nothing where AWS says that it is not.
pub(crate) fn there<T>(result: Result<T, CallError>) -> Result<Option<T>, CallError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.class == ErrorClass::Gone => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_keep_the_order_of_the_items() {
        let ask = |item: u64| async move {
            tokio::time::sleep(std::time::Duration::from_millis(40 - item)).await;
            Ok(item * 2)
        };
        assert_eq!(each(0..40, ask).await.unwrap(), (0..40).map(|item| item * 2).collect::<Vec<_>>());
        let failed = each(0..3, |item| async move { if item == 1 { Err(crate::error::refused("no", "no")) } else { Ok(item) } }).await;
        assert_eq!(failed.unwrap_err().code, "no");
    }
}
