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
/// Between two full pages: the instances of the first must get to work, or it is read again.
const PAGE_PAUSE: Duration = Duration::from_millis(100);

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
    page_was_full: bool,
}

impl Timers {
    /// Notes a timer that has just been made durable.
    /// Whatever is due soon is held, also while a page is being loaded: a set knows no duplicates.
    pub(super) fn set(&self, number: InstanceNumber, task: TaskId, (due, now): (Timestamp, Timestamp)) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if due.duration_since(now) <= HORIZON {
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

    /// How long there is nothing to do. After a full page the next one is due as soon as this one is.
    fn pause(&self, now: Timestamp) -> Duration {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let next = queue.soon.first().map_or(Timestamp::MAX, |row| row.due);
        let pause = Duration::try_from(next.duration_since(now).min(REFRESH)).unwrap_or(Duration::ZERO);
        match queue.complete_until {
            Some(until) if queue.page_was_full => {
                let page = Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO);
                pause.min(page.max(PAGE_PAUSE))
            }
            Some(_) | None => pause,
        }
    }

    fn is_stale(&self, now: Timestamp) -> bool {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.complete_until.is_none_or(|until| until.duration_since(now) < HORIZON - REFRESH)
    }

    fn loaded(&self, rows: Vec<TimerRow>, until: Timestamp) {
        let queue = &mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.page_was_full = rows.len() >= PAGE;
        queue.complete_until = match rows.last() {
            Some(last) if rows.len() >= PAGE => Some(last.due),
            Some(_) | None => Some(until),
        };
        queue.soon.extend(rows);
    }
}

/// Fires timers until the engine is gone, or stops: whoever has let go of it has its store closed.
pub(super) async fn run(engine: Weak<Inner>) {
    loop {
        let Some(inner) = engine.upgrade().filter(|inner| !inner.is_stopping()) else { return };
        let now = inner.now();
        if inner.timers.is_stale(now) {
            let until = now.saturating_add(HORIZON).unwrap_or(Timestamp::MAX);
            match inner.store.timers(until, PAGE).await {
                Ok(rows) => inner.timers.loaded(rows, until),
                Err(error) => {
                    // Those in memory fire all the same.
                    tracing::error!(%error, "cannot read the timers; trying again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
        for row in inner.timers.take_due(now) {
            inner.post(row.number, Message::TimerDue { task: row.task, due: row.due });
        }
        let pause = inner.timers.pause(inner.now());
        let _changed = tokio::time::timeout(pause, inner.timers.changed.notified()).await;
    }
}
