//! Durable timers. The store has them all; memory holds those that are due soon.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError, Weak};
use std::time::Duration;

use durawasm_core::{Message, SignedDuration, TaskId, Timestamp};
use tokio::sync::Notify;

use super::Inner;
use crate::store::{InstanceNumber, TimerRow};

/// How far ahead timers are held in memory.
const HORIZON: SignedDuration = SignedDuration::from_secs(60);
/// How often the next ones are loaded; well within the horizon.
const REFRESH: SignedDuration = SignedDuration::from_secs(20);
/// Timers held at most; more are loaded when these are gone.
const PAGE: usize = 20_000;

#[derive(Default)]
pub(super) struct Timers {
    queue: Mutex<Queue>,
    changed: Notify,
}

#[derive(Default)]
struct Queue {
    soon: BTreeSet<TimerRow>,
    /// All timers due up to here are in `soon`; none: nothing was loaded yet.
    complete_until: Option<Timestamp>,
}

impl Timers {
    /// Notes a timer that has just been made durable.
    pub(super) fn set(&self, number: InstanceNumber, task: TaskId, due: Timestamp) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.complete_until.is_none_or(|until| due <= until) {
            queue.soon.insert(TimerRow { due, number, task });
            drop(queue);
            self.changed.notify_one();
        }
    }

    pub(super) fn clear(&self, number: InstanceNumber, task: TaskId, due: Timestamp) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).soon.remove(&TimerRow { due, number, task });
    }

    pub(super) fn look_again(&self) {
        self.changed.notify_one();
    }

    fn take_due(&self, now: Timestamp) -> Vec<TimerRow> {
        let queue = &mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        while let Some(first) = queue.soon.first().copied()
            && first.due <= now
        {
            queue.soon.remove(&first);
            due.push(first);
        }
        due
    }

    fn next_due(&self) -> Option<Timestamp> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).soon.first().map(|row| row.due)
    }

    fn is_stale(&self, now: Timestamp) -> bool {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.complete_until.is_none_or(|until| until.duration_since(now) < HORIZON - REFRESH)
    }

    fn loaded(&self, rows: Vec<TimerRow>, until: Timestamp) {
        let queue = &mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.complete_until = match rows.last() {
            Some(last) if rows.len() >= PAGE => Some(last.due),
            Some(_) | None => Some(until),
        };
        queue.soon.extend(rows);
    }
}

/// Fires timers until the engine is gone.
pub(super) async fn run(engine: Weak<Inner>) {
    loop {
        let Some(inner) = engine.upgrade() else { return };
        let now = inner.now();
        if inner.timers.is_stale(now) {
            let until = now.saturating_add(HORIZON).unwrap_or(Timestamp::MAX);
            match inner.store.timers(until, PAGE).await {
                Ok(rows) => inner.timers.loaded(rows, until),
                Err(error) => {
                    tracing::error!(%error, "cannot read the timers; trying again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            }
        }
        for row in inner.timers.take_due(now) {
            inner.post(row.number, Message::TimerDue { task: row.task, due: row.due });
        }
        let wake = inner.timers.next_due().unwrap_or(Timestamp::MAX);
        let pause = wake.duration_since(inner.now()).min(REFRESH);
        let pause = Duration::try_from(pause).unwrap_or(Duration::ZERO);
        // The engine may end while this sleeps: hold only what it needs to be woken.
        let changed = inner.timers.changed.notified();
        let _ = tokio::time::timeout(pause, changed).await;
    }
}
