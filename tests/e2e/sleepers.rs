//! Very many instances that sleep for very long, in simulated time. `DURAWASM_SLEEPERS` says how many.

use std::sync::Arc;

use durawasm_core::Status;
use durawasm_host::engine::{Reuse, Settings, StartRequest};
use durawasm_host::store::memory::MemoryStore;
use durawasm_host::store::{HubName, SharedStore};
use durawasm_tests::{Host, ManualClock, guests};
use serde_json::json;

/// Starts under way at once.
const STARTERS: usize = 16;
const DAY: i64 = 86_400;

fn sleepers() -> usize {
    std::env::var("DURAWASM_SLEEPERS").ok().and_then(|count| count.parse().ok()).unwrap_or(3_000)
}

fn sleep_for(seconds: i64) -> StartRequest {
    StartRequest {
        hub: HubName::from("default"),
        function: "Timer".to_owned(),
        instance_id: None,
        input: Some(json!(seconds * 1_000).to_string().into()),
        version: None,
        tags: Default::default(),
        reuse: Reuse::Terminal,
        trace_parent: None,
        trace_state: None,
        scheduled_at: None,
    }
}

async fn counted(host: &Host, status: Status) -> u64 {
    host.engine.counts(&HubName::from("default")).await.unwrap().all().get(status)
}

/// Waits until so many have completed.
async fn completed(host: &Host, count: u64) {
    let (mut before, mut changed) = (0, std::time::Instant::now());
    loop {
        let completed = counted(host, Status::Completed).await;
        if completed >= count {
            return;
        }
        if completed != before {
            (before, changed) = (completed, std::time::Instant::now());
        }
        assert_eq!(counted(host, Status::Failed).await, 0);
        assert!(changed.elapsed().as_secs() < 60, "{completed} of {count} wake, and no more");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_sleep_for_months_and_wake_on_a_host_that_never_saw_them() {
    let (all, store): (usize, SharedStore) = (sleepers(), Arc::new(MemoryStore::default()));
    let clock = ManualClock::new();
    // Each falls asleep with its start: it sleeps from the time at which it was started.
    let start_patience = std::time::Duration::from_secs(60);
    let few_guests = Settings { hot_guests: 50, start_patience, ..Settings::default() };
    let host = Host::with(Arc::clone(&store), few_guests.clone(), clock.clock()).await;
    host.deploy("flow", guests::guest("flow")).await;
    let starters: Vec<_> = (0..STARTERS)
        .map(|starter| {
            let engine = host.engine.clone();
            tokio::spawn(async move {
                // Each wakes on one of 100 days.
                for index in (starter..all).step_by(STARTERS) {
                    engine.start(sleep_for(300 * DAY + (index as i64 % 100) * DAY)).await.unwrap();
                }
            })
        })
        .collect();
    for starter in starters {
        starter.await.unwrap();
    }
    host.engine.stop();
    drop(host);
    let host = Host::with(store, few_guests, clock.clock()).await;
    clock.advance(300 * DAY - 1);
    host.engine.clock_moved();
    assert_eq!(counted(&host, Status::Completed).await, 0, "nobody wakes early");
    clock.advance(1);
    host.engine.clock_moved();
    let first_day = all.div_ceil(100) as u64;
    completed(&host, first_day).await;
    assert_eq!(counted(&host, Status::Completed).await, first_day, "the others sleep on");
    clock.advance(99 * DAY);
    host.engine.clock_moved();
    completed(&host, all as u64).await;
    assert_eq!(counted(&host, Status::Running).await, 0);
}
