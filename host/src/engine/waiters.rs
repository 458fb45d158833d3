//! Who waits for which instance to end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

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
    fn lock(&self) -> MutexGuard<'_, HashMap<InstanceNumber, Weak<Waiter>>> {
        self.by_number.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one that began to wait before the instance had its number.
    pub(super) fn add(&self, number: InstanceNumber, waiter: &Arc<Waiter>) {
        insert(&mut self.lock(), number, waiter);
    }

    pub(super) fn register(&self, number: InstanceNumber) -> Arc<Waiter> {
        let mut waiters = self.lock();
        if let Some(waiter) = waiters.get(&number).and_then(Weak::upgrade) {
            return waiter;
        }
        let waiter = Arc::new(Waiter::default());
        insert(&mut waiters, number, &waiter);
        waiter
    }

    /// The instance has ended, durably.
    pub(super) fn ended(&self, number: InstanceNumber, end: End) {
        let waiter = self.lock().remove(&number);
        if let Some(waiter) = waiter.and_then(|waiter| waiter.upgrade()) {
            // An instance ends once; a second end would say the same.
            let _first = waiter.end.set(end);
            waiter.notify.notify_waiters();
        }
    }
}

/// Makes room by forgetting those who have gone, so that the table does not grow with every wait that timed out.
fn insert(waiters: &mut HashMap<InstanceNumber, Weak<Waiter>>, number: InstanceNumber, waiter: &Arc<Waiter>) {
    if waiters.len() == waiters.capacity() {
        waiters.retain(|_, waiter| waiter.strong_count() > 0);
    }
    waiters.insert(number, Arc::downgrade(waiter));
}
