//! How many commands run at once on one connection.
//!
//! A slot on an OpenSSH server is free again only when the remote command has ended: closing the channel earlier does not help. So a slot here is
//! held until the server closed the channel, and when a server turns out to allow fewer channels than we do, we remember its number.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

#[derive(Debug)]
pub(crate) struct Slots {
    semaphore: Arc<Semaphore>,
    limit: AtomicUsize,
    opened: AtomicUsize,
}

impl Slots {
    pub(crate) fn new(limit: usize) -> Self {
        let limit = limit.max(1);
        Self { semaphore: Arc::new(Semaphore::new(limit)), limit: AtomicUsize::new(limit), opened: AtomicUsize::new(0) }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// How many slots were ever taken.
    pub(crate) fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }

    /// Waits for a slot. `None` never happens while the connection exists, since nobody closes the semaphore; it is not worth a panic either.
    pub(crate) async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.semaphore).acquire_owned().await.ok()?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        Some(permit)
    }

    /// Gives a slot up for good, because the server has fewer than we thought. The last one stays: it comes back as `Some`.
    pub(crate) fn shrink(&self, permit: OwnedSemaphorePermit) -> Option<OwnedSemaphorePermit> {
        let lowered = self.limit.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |limit| limit.checked_sub(1).filter(|rest| *rest > 0));
        if lowered.is_ok() {
            permit.forget();
            None
        } else {
            Some(permit)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_slot_is_never_given_up() {
        let slots = Slots::new(2);
        let (first, second) = (slots.acquire().await.unwrap(), slots.acquire().await.unwrap());
        assert!(slots.shrink(first).is_none());
        let second = slots.shrink(second).expect("the last one stays");
        assert_eq!(slots.limit(), 1);
        drop(second);
        assert!(slots.acquire().await.is_some());
    }
}
