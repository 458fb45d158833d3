//! Who waits for which instance to end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use durawasm_core::{Payload, Status};
use tokio::sync::Notify;

use crate::store::{Commit, InstanceNumber};

#[derive(Default)]
pub(super) struct Waiters {
    /// Two of an instance at most: whoever waits for it once it is durable may come before the one that began to wait
    /// when it was started.
    by_number: Mutex<HashMap<InstanceNumber, Vec<Weak<Waiter>>>>,
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
    fn lock(&self) -> MutexGuard<'_, HashMap<InstanceNumber, Vec<Weak<Waiter>>>> {
        self.by_number.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one that began to wait before the instance had its number.
    pub(super) fn add(&self, number: InstanceNumber, waiter: &Arc<Waiter>) {
        insert(&mut self.lock(), number, waiter);
    }

    pub(super) fn register(&self, number: InstanceNumber) -> Arc<Waiter> {
        let mut waiters = self.lock();
        if let Some(waiter) = waiters.get(&number).and_then(|waiters| waiters.iter().find_map(Weak::upgrade)) {
            return waiter;
        }
        let waiter = Arc::new(Waiter::default());
        insert(&mut waiters, number, &waiter);
        waiter
    }

    /// The instance has ended, durably.
    pub(super) fn ended(&self, number: InstanceNumber, end: End) {
        let waiters = self.lock().remove(&number).unwrap_or_default();
        for waiter in waiters.iter().filter_map(Weak::upgrade) {
            // An instance ends once; a second end would say the same.
            let _first = waiter.end.set(end.clone());
            waiter.notify.notify_waiters();
        }
    }
}

/// Makes room by forgetting those who have gone, so that the table does not grow with every wait that timed out.
fn insert(waiters: &mut HashMap<InstanceNumber, Vec<Weak<Waiter>>>, number: InstanceNumber, waiter: &Arc<Waiter>) {
    if waiters.len() == waiters.capacity() {
        waiters.retain(|_, waiters| waiters.iter().any(|waiter| waiter.strong_count() > 0));
    }
    let of_it = waiters.entry(number).or_default();
    of_it.retain(|waiter| waiter.strong_count() > 0);
    of_it.push(Arc::downgrade(waiter));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waited_first_and_who_waited_from_the_start_are_both_told() {
        let (waiters, number) = (Waiters::default(), InstanceNumber(7));
        let from_the_start = Arc::new(Waiter::default());
        // It is durable, and somebody else asks for it before its start is done.
        let first = waiters.register(number);
        waiters.add(number, &from_the_start);
        waiters.ended(number, End::Completed(None));
        for waiter in [first, from_the_start] {
            let told = tokio::time::timeout(std::time::Duration::from_secs(60), waiter.ended()).await;
            assert!(matches!(told, Ok(End::Completed(None))), "somebody waits for ever");
        }
    }
}
