//! Who waits for which instance to end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use durawasm_core::{Payload, Status};
use tokio::sync::Notify;

use crate::store::{Commit, InstanceNumber};

#[derive(Default)]
pub(super) struct Waiters {
    by_number: Mutex<HashMap<InstanceNumber, Weak<Waiter>>>,
}

/// Shared by all who wait for one instance; the last one to go leaves an empty entry that the next change clears.
#[derive(Default)]
pub(super) struct Waiter {
    notify: Notify,
    end: OnceLock<End>,
}

/// How an instance ended, as far as those who wait for it need not read it again.
#[derive(Clone)]
pub(super) enum End {
    /// It completed with this output.
    Completed(Option<Payload>),
    /// Its record and payloads tell.
    Otherwise,
}

impl End {
    /// As the commit says that makes it durable.
    pub(super) fn of(commit: &Commit) -> Self {
        let output = commit.payloads.output.clone().filter(|_| commit.record.status == Status::Completed);
        output.map_or(Self::Otherwise, Self::Completed)
    }
}

impl Waiter {
    /// Returns once the instance has ended.
    pub(super) async fn ended(&self) -> End {
        let notified = self.notify.notified();
        if self.end.get().is_none() {
            notified.await;
        }
        self.end.get().cloned().unwrap_or(End::Otherwise)
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
    pub(super) fn ended(&self, number: InstanceNumber, end: End) {
        let waiter = self.by_number.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        if let Some(waiter) = waiter.and_then(|waiter| waiter.upgrade()) {
            // An instance ends once; a second end would say the same.
            let _first = waiter.end.set(end);
            waiter.notify.notify_waiters();
        }
    }
}
