//! Who waits for which instance to end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

use crate::store::InstanceNumber;

#[derive(Default)]
pub(super) struct Waiters {
    by_number: Mutex<HashMap<InstanceNumber, Weak<Waiter>>>,
}

/// Shared by all who wait for one instance; the last one to go leaves an empty entry that the next change clears.
#[derive(Default)]
pub(super) struct Waiter {
    notify: Notify,
    ended: std::sync::atomic::AtomicBool,
}

impl Waiter {
    /// Returns once the instance has ended.
    pub(super) async fn notified(&self) {
        let notified = self.notify.notified();
        if !self.ended.load(std::sync::atomic::Ordering::Acquire) {
            notified.await;
        }
    }
}

impl Waiters {
    pub(super) fn register(&self, number: InstanceNumber) -> Arc<Waiter> {
        let mut waiters = self.by_number.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiter) = waiters.get(&number).and_then(Weak::upgrade) {
            return waiter;
        }
        if waiters.len() == waiters.capacity() {
            waiters.retain(|_, waiter| waiter.strong_count() > 0);
        }
        let waiter = Arc::new(Waiter::default());
        waiters.insert(number, Arc::downgrade(&waiter));
        waiter
    }

    /// The instance has ended, durably.
    pub(super) fn ended(&self, number: InstanceNumber) {
        let waiter = self.by_number.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        if let Some(waiter) = waiter.and_then(|waiter| waiter.upgrade()) {
            waiter.ended.store(true, std::sync::atomic::Ordering::Release);
            waiter.notify.notify_waiters();
        }
    }
}
