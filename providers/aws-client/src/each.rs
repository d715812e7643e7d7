//! Several requests at once, for services that take one object a call.

use cloudtik_provider_api::{CallError, ErrorClass};
use futures_util::future::try_join_all;

/// Requests that run at once. AWS's limits are per second, and `limits` keeps to them; this bounds connections.
const AT_ONCE: usize = 16;

/// Asks for each item, and gives what there is, in the items' order.
pub(crate) async fn each<I, T, F>(items: impl IntoIterator<Item = I>, ask: impl Fn(I) -> F) -> Result<Vec<T>, CallError>
where
    F: Future<Output = Result<T, CallError>>,
{
    let mut items = items.into_iter();
    let mut all = Vec::new();
    loop {
        let some: Vec<F> = items.by_ref().take(AT_ONCE).map(&ask).collect();
        if some.is_empty() {
            return Ok(all);
        }
        all.extend(try_join_all(some).await?);
    }
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
        let found = each(0..40, |item| async move { Ok(item * 2) }).await.unwrap();
        assert_eq!(found, (0..40).map(|item| item * 2).collect::<Vec<_>>());
        let failed = each(0..3, |item| async move { if item == 1 { Err(crate::error::refused("no", "no")) } else { Ok(item) } }).await;
        assert_eq!(failed.unwrap_err().code, "no");
    }
}
