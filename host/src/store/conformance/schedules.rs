//! Schedules of timer functions.

use std::sync::Arc;

use super::{at, hub};
use crate::store::{CommitError, ScheduleKey, ScheduleState, Store, TimerTrigger, TriggerKind};

pub(super) fn timer(use_monitor: bool, run_on_startup: bool) -> TriggerKind {
    TriggerKind::Timer(TimerTrigger { schedule: "0 * * * * *".into(), use_monitor, run_on_startup })
}

fn key(app: &str, function: &str) -> ScheduleKey {
    ScheduleKey { hub: hub(), app: app.into(), function: function.into() }
}

fn state(due: i64, last: Option<i64>) -> ScheduleState {
    ScheduleState { schedule: "0 */5 * * * *".into(), due: at(due), last: last.map(at), updated: at(3) }
}

async fn put(store: &dyn Store, key: ScheduleKey, before: Option<i64>, after: Option<i64>) -> bool {
    let of = |due: Option<i64>| due.map(|due| state(due, None));
    match store.put_schedule(key, of(before), of(after)).await {
        Ok(()) => true,
        Err(CommitError::Conflict) => false,
        Err(other) => panic!("{other}"),
    }
}

pub(super) async fn schedules_are_replaced_only_as_seen(store: Arc<dyn Store>) {
    let store = &*store;
    assert!(put(store, key("b", "Tick"), None, Some(1)).await);
    assert!(!put(store, key("b", "Tick"), None, Some(2)).await, "there is one already");
    assert!(!put(store, key("b", "Tick"), Some(2), Some(3)).await, "it is another one");
    assert!(!put(store, key("c", "Tick"), Some(1), None).await, "there is none");
    assert!(put(store, key("b", "Tick"), Some(1), Some(4)).await);
    // Names that begin with each other, and what has run before.
    assert!(put(store, key("b", "Tick2"), None, Some(5)).await);
    store.put_schedule(key("a", "Täglich"), None, Some(state(6, Some(2)))).await.unwrap();
    let all = [
        (key("a", "Täglich"), state(6, Some(2))),
        (key("b", "Tick"), state(4, None)),
        (key("b", "Tick2"), state(5, None)),
    ];
    assert_eq!(store.schedules().await.unwrap(), all);
    assert!(put(store, key("b", "Tick"), Some(4), None).await);
    assert!(!put(store, key("b", "Tick"), Some(4), None).await);
    assert_eq!(store.schedules().await.unwrap(), [all[0].clone(), all[2].clone()]);
    assert!(store.apps().await.unwrap().is_empty());
}

pub(super) async fn of_concurrent_changes_of_a_schedule_one_wins(store: Arc<dyn Store>) {
    assert!(put(&*store, key("a", "Tick"), None, Some(0)).await);
    let tries: Vec<_> = (1..=16)
        .map(|due| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { put(&*store, key("a", "Tick"), Some(0), Some(due)).await })
        })
        .collect();
    let mut won = Vec::new();
    for (due, attempt) in (1..).zip(tries) {
        if attempt.await.unwrap() {
            won.push(due);
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(store.schedules().await.unwrap(), [(key("a", "Tick"), state(won[0], None))]);
}

conformance!(memory, (crate::store::memory::MemoryStore::new(), ()),
    schedules_are_replaced_only_as_seen of_concurrent_changes_of_a_schedule_one_wins);
conformance!(sled, {
    let directory = tempfile::tempdir().unwrap();
    let options = crate::store::sled::SledOptions::default();
    (crate::store::sled::SledStore::open(directory.path(), options).unwrap(), directory)
}, schedules_are_replaced_only_as_seen of_concurrent_changes_of_a_schedule_one_wins);
