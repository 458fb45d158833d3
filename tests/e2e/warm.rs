//! A guest that has answered an HTTP call may answer the next one of the same app, in the same hub, and of no other.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use durawasm_host::engine::{Settings, system_clock};
use durawasm_host::store::memory::MemoryStore;
use durawasm_host::store::sled::{SledOptions, SledStore};
use durawasm_host::wasm::Limits;
use durawasm_tests::{Host, guests};
use serde_json::json;

use crate::hostile_components::executor;

/// A host with this hub, whose guests nobody else uses.
async fn host(hub: &str, limits: Limits) -> Host {
    let (store, executor) = (Arc::new(MemoryStore::default()), executor(limits));
    let host = Host::running(store, executor, (Settings::default(), system_clock())).await;
    furnish(&host, hub).await;
    host
}

/// A guest stays for longer than a machine that is busy with something else takes from one call to the next.
fn patient() -> Limits {
    Limits { function_stay: Duration::from_secs(60), ..Limits::default() }
}

async fn furnish(host: &Host, hub: &str) {
    assert_eq!(host.send("PUT", &format!("/admin/hubs/{hub}"), "").await.status, 201);
    let app = format!("/admin/hubs/{hub}/apps/hostile");
    assert_eq!(host.send("PUT", &app, guests::guest("hostile")).await.status, 201);
}

/// How often the guest that does it has answered.
async fn count(host: &Host, hub: &str, what: &str) -> Result<u32, StatusCode> {
    let answer = host.send("GET", &format!("/hubs/{hub}/api/count/{what}"), "").await;
    if answer.status.is_success() { Ok(answer.text().parse().unwrap()) } else { Err(answer.status) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_answers_again_if_it_leaves_nothing_behind_but_its_memory() {
    let host = host("one", patient()).await;
    for expected in 1..4 {
        assert_eq!(count(&host, "one", "nothing").await, Ok(expected));
    }
    assert_eq!(count(&host, "one", "fail").await, Err(StatusCode::INTERNAL_SERVER_ERROR));
    assert_eq!(count(&host, "one", "nothing").await, Ok(4), "it has failed in order");
    for last in ["print", "time", "grow"] {
        let before = count(&host, "one", "nothing").await.unwrap();
        assert_eq!(count(&host, "one", last).await, Ok(before + 1), "{last}");
        assert_eq!(count(&host, "one", "nothing").await, Ok(1), "after {last}");
    }
    assert_eq!(count(&host, "one", "panic").await, Err(StatusCode::INTERNAL_SERVER_ERROR));
    assert_eq!(count(&host, "one", "nothing").await, Ok(1), "after a panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_for_no_other_hub_and_for_none_that_has_its_name() {
    let host = host("one", patient()).await;
    furnish(&host, "two").await;
    for expected in 1..3 {
        assert_eq!(count(&host, "one", "nothing").await, Ok(expected));
    }
    assert_eq!(count(&host, "two", "nothing").await, Ok(1));
    assert!(host.send("DELETE", "/admin/hubs/one", "").await.status.is_success());
    while host.send("GET", "/admin/hubs/one", "").await.status.is_success() {
        tokio::task::yield_now().await;
    }
    furnish(&host, "one").await;
    assert_eq!(count(&host, "one", "nothing").await, Ok(1));
    assert_eq!(count(&host, "two", "nothing").await, Ok(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stays_for_a_moment_only_and_never_for_all_places() {
    let limits = [
        Limits { function_stay: Duration::ZERO, ..Limits::default() },
        // It stays, but nobody is as quick as that.
        Limits { function_stay: Duration::from_nanos(1), ..Limits::default() },
        Limits { concurrent_guests: 7, ..Limits::default() },
    ];
    for limits in limits {
        let host = host("one", limits).await;
        for _ in 0..3 {
            assert_eq!(count(&host, "one", "nothing").await, Ok(1));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_last_has_the_place_of_who_came_first() {
    // One of eight places is for guests that stay.
    let host = host("one", Limits { concurrent_guests: 8, ..patient() }).await;
    furnish(&host, "two").await;
    assert_eq!(count(&host, "one", "nothing").await, Ok(1));
    assert_eq!(count(&host, "one", "nothing").await, Ok(2));
    for hub in ["two", "one", "two"] {
        assert_eq!(count(&host, hub, "nothing").await, Ok(1), "{hub}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_a_thousand_times_and_no_more() {
    let host = host("one", patient()).await;
    for expected in (1..=1_000).chain(1..3) {
        assert_eq!(count(&host, "one", "nothing").await, Ok(expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_memory_is_the_hubs_only_while_it_answers() {
    let host = host("one", Limits::default()).await;
    assert_eq!(count(&host, "one", "nothing").await, Ok(1));
    let meters = host.send("GET", "/admin/hubs/one/usage", "").await.json();
    assert_eq!(meters["now"]["memoryBytes"], 0, "{meters}");
    // What it had to begin with it may not have any more.
    let config = json!({"limits": {"memoryBytes": 1}}).to_string();
    assert!(host.send("PUT", "/admin/hubs/one/config", config).await.status.is_success());
    assert_eq!(count(&host, "one", "nothing").await, Err(StatusCode::INTERNAL_SERVER_ERROR));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_nothing_open_that_the_host_has_closed() {
    let (folder, limits) = (tempfile::tempdir().unwrap(), patient());
    let open = || SledStore::open(folder.path(), SledOptions::default());
    let executor = executor(limits);
    let settings = (Settings::default(), system_clock());
    let host = Host::running(Arc::new(open().unwrap()), Arc::clone(&executor), settings).await;
    furnish(&host, "one").await;
    assert_eq!(count(&host, "one", "nothing").await, Ok(1));
    host.engine.stop();
    drop(host);
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while let Err(error) = open() {
        assert!(std::time::Instant::now() < deadline, "{error}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_have_guests_of_their_own() {
    let host = Arc::new(host("one", patient()).await);
    for round in 1..6 {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..40 {
            let host = Arc::clone(&host);
            calls.spawn(async move { count(&host, "one", "nothing").await });
        }
        let counts = calls.join_all().await;
        assert!(counts.iter().all(Result::is_ok), "{counts:?}");
        assert!(round == 1 || counts.iter().any(|count| *count > Ok(1)), "none has stayed: {counts:?}");
    }
}
