//! Task hubs: created, apart from each other, and gone without a trace.

use std::sync::Arc;
use std::time::Duration;

use durawasm_core::{Status, Timestamp};
use durawasm_host::engine::{Settings, system_clock};
use durawasm_host::store::memory::MemoryStore;
use durawasm_host::store::sled::{SledOptions, SledStore};
use durawasm_host::store::{HubName, HubRecord, HubState, ListQuery, SharedStore};
use durawasm_tests::{Host, guests};
use serde_json::{Value, json};

use crate::surface::Transcript;

const WEBHOOKS: &str = "/runtime/webhooks/durabletask";

/// A hub with the functions of `tests/guests/flow`.
async fn tenant(host: &Host, hub: &str) {
    assert_eq!(host.send("PUT", &format!("/admin/hubs/{hub}"), "").await.status, 201);
    let app = format!("/admin/hubs/{hub}/apps/flow");
    assert_eq!(host.send("PUT", &app, guests::guest("flow")).await.status, 201);
}

async fn start(host: &Host, hub: &str, function: &str, id: &str, input: &Value) -> u16 {
    let path = format!("{WEBHOOKS}/orchestrators/{function}/{id}?taskHub={hub}");
    host.send("POST", &path, input.to_string()).await.status.as_u16()
}

async fn status(host: &Host, hub: &str, id: &str) -> Option<Value> {
    let answer = host.send("GET", &format!("{WEBHOOKS}/instances/{id}?taskHub={hub}"), "").await;
    (answer.status != 404).then(|| answer.json())
}

/// Waits until the hub is not there any more.
async fn gone(host: &Host, hub: &str) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while host.engine.hub(hub).is_some() {
        assert!(tokio::time::Instant::now() < deadline, "the hub never goes");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Nothing of the hub is in the store.
async fn leaves_nothing(store: &SharedStore, hub: &str) {
    let name = HubName::from(hub);
    let page = store.list(&name, ListQuery { limit: 10, ..ListQuery::default() }).await.unwrap();
    assert!(page.records.is_empty(), "{:?}", page.records);
    assert_eq!(store.counts(&name).await.unwrap().all().total(), 0);
    assert!(store.mail(None, 10_000).await.unwrap().iter().all(|mail| mail.hub != name));
    assert!(store.apps().await.unwrap().iter().all(|app| app.hub != name));
    assert!(store.hubs().await.unwrap().iter().all(|record| record.name != name));
}

#[tokio::test(flavor = "multi_thread")]
async fn hubs_over_http() {
    let host = Host::new().await;
    let mut all = Transcript::default();
    for request in [
        "GET /admin/hubs",
        "PUT /admin/hubs/tenant",
        "PUT /admin/hubs/tenant",
        "GET /admin/hubs/tenant",
        "PUT /admin/hubs/1bad",
        "PUT /admin/hubs/no-hyphens",
        "GET /admin/hubs/nobody",
        "DELETE /admin/hubs/nobody",
        "DELETE /admin/hubs/default",
        "PUT /admin/hubs/nobody/apps/flow",
        "GET /admin/hubs/nobody/binding",
        "GET /runtime/webhooks/durabletask/instances?taskHub=nobody",
        "POST /runtime/webhooks/durabletask/orchestrators/Custom?taskHub=tenant",
    ] {
        all.ask(&host, request, "").await;
    }
    tenant(&host, "busy").await;
    assert_eq!(start(&host, "busy", "Event", "waits", &json!("Go")).await, 202);
    for request in ["GET /admin/hubs/busy", "DELETE /admin/hubs/busy", "DELETE /admin/hubs/busy?force=true"] {
        all.ask(&host, request, "").await;
    }
    gone(&host, "busy").await;
    all.ask(&host, "GET /admin/hubs", "").await;
    all.is("hubs");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_id_is_an_instance_in_each_hub() {
    let host = Host::new().await;
    tenant(&host, "one").await;
    tenant(&host, "two").await;
    for (hub, event) in [("one", "First"), ("two", "Second")] {
        assert_eq!(start(&host, hub, "Event", "same", &json!(event)).await, 202);
    }
    let raise = async |hub: &str, event: &str| {
        let path = format!("{WEBHOOKS}/instances/same/raiseEvent/{event}?taskHub={hub}");
        host.send("POST", &path, format!("\"{hub}\"")).await.status.as_u16()
    };
    assert_eq!((raise("one", "Second").await, raise("two", "First").await), (202, 202));
    assert_eq!(raise("one", "First").await, 202);
    host.engine.wait(&"one".into(), "same", Duration::from_secs(60)).await.unwrap();
    assert_eq!(status(&host, "one", "same").await.unwrap()["output"], json!("one"));
    let other = host.engine.wait_for_start(&"two".into(), "same", Duration::from_secs(60)).await.unwrap().unwrap();
    assert_eq!(other.record.status, Status::Running);
    assert_eq!(host.send("DELETE", &format!("{WEBHOOKS}/instances/same?taskHub=one"), "").await.status, 200);
    assert_eq!(status(&host, "one", "same").await, None);
    assert!(status(&host, "two", "same").await.is_some());
    assert_eq!(status(&host, "default", "same").await, None);
}

/// Instances that wait for events, timers, activities and children, and some that have ended.
async fn furnish(host: &Host, hub: &str) {
    let child = json!({"child": {"label": "c", "step": {"event": "Never"}}});
    for number in 0..20 {
        assert_eq!(start(host, hub, "Event", &format!("event-{number}"), &json!("Go")).await, 202);
        assert_eq!(start(host, hub, "Sequence", &format!("done-{number}"), &json!(["x"])).await, 202);
    }
    assert_eq!(start(host, hub, "Timer", "timer", &json!(4_000_000_000_u64)).await, 202);
    assert_eq!(start(host, hub, "OneActivity", "slow", &json!(["Sleep", 3_600_000])).await, 202);
    assert_eq!(start(host, hub, "Program", "parent", &json!({"step": child})).await, 202);
    host.engine.wait_for_start(&hub.into(), "parent.c", Duration::from_secs(60)).await.unwrap();
}

async fn a_deleted_hub_leaves_nothing_behind_on(store: SharedStore) {
    let host = Host::on(Arc::clone(&store)).await;
    tenant(&host, "doomed").await;
    tenant(&host, "other").await;
    furnish(&host, "doomed").await;
    assert_eq!(start(&host, "other", "Timer", "timer", &json!(4_000_000_000_u64)).await, 202);
    host.engine.wait_for_start(&"other".into(), "timer", Duration::from_secs(60)).await.unwrap();
    let refused = host.send("DELETE", "/admin/hubs/doomed", "").await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert_eq!(start(&host, "doomed", "Event", "still-there", &json!("Go")).await, 202);
    assert_eq!(host.send("DELETE", "/admin/hubs/doomed?force=true", "").await.status, 202);
    assert_eq!(start(&host, "doomed", "Event", "late", &json!("Go")).await, 404, "it takes nothing more");
    gone(&host, "doomed").await;
    leaves_nothing(&store, "doomed").await;
    let timers = store.timers(Timestamp::MAX, 100).await.unwrap();
    let other = store.instance(&"other".into(), "timer").await.unwrap().unwrap();
    assert_eq!(timers.iter().map(|timer| timer.number).collect::<Vec<_>>(), [other.number]);
    assert_eq!(store.forget_timers(None).await.unwrap(), None);
    tenant(&host, "doomed").await;
    assert_eq!(status(&host, "doomed", "event-1").await, None, "a new hub of the name knows nothing");
    assert_eq!(status(&host, "other", "timer").await.unwrap()["runtimeStatus"], "Running");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_hub_leaves_nothing_behind() {
    a_deleted_hub_leaves_nothing_behind_on(Arc::new(MemoryStore::default())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_hub_leaves_nothing_behind_on_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(directory.path(), SledOptions::default()).unwrap();
    a_deleted_hub_leaves_nothing_behind_on(Arc::new(store)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_a_crash_cut_short_is_finished() {
    let store: SharedStore = Arc::new(MemoryStore::default());
    let host = Host::on(Arc::clone(&store)).await;
    tenant(&host, "doomed").await;
    furnish(&host, "doomed").await;
    host.engine.stop();
    // What a crash right after the first step leaves.
    let record = store.hubs().await.unwrap().into_iter().find(|hub| &*hub.name == "doomed").unwrap();
    let generation = record.generation;
    store.put_hub(HubRecord { state: HubState::Deleting, ..record }, generation).await.unwrap();
    let host = Host::with(Arc::clone(&store), Settings::default(), system_clock()).await;
    assert_eq!(start(&host, "doomed", "Event", "late", &json!("Go")).await, 404);
    gone(&host, "doomed").await;
    leaves_nothing(&store, "doomed").await;
    assert!(store.timers(Timestamp::MAX, 100).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn hubs_outlive_their_host_and_those_with_apps_need_no_record() {
    let store: SharedStore = Arc::new(MemoryStore::default());
    let host = Host::on(Arc::clone(&store)).await;
    tenant(&host, "kept").await;
    tenant(&host, "older").await;
    host.engine.stop();
    // A version that knew no records of hubs has written this one's apps.
    store.remove_hub(&"older".into(), 1).await.unwrap();
    let host = Host::on(store).await;
    let names: Vec<_> = host.engine.hubs().iter().map(|hub| hub.name.to_string()).collect();
    assert_eq!(names, ["default", "kept", "older"]);
    for hub in ["kept", "older"] {
        assert_eq!(start(&host, hub, "Custom", "a", &json!(0)).await, 202, "{hub}");
    }
    assert_eq!(host.send("DELETE", "/admin/hubs/older?force=true", "").await.status, 202);
    gone(&host, "older").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_that_race_a_deletion_leave_nothing() {
    let store: SharedStore = Arc::new(MemoryStore::default());
    let host = Arc::new(Host::on(Arc::clone(&store)).await);
    tenant(&host, "doomed").await;
    let starts: Vec<_> = (0..200)
        .map(|number| {
            let host = Arc::clone(&host);
            tokio::spawn(async move { start(&host, "doomed", "Event", &format!("i{number}"), &json!("Go")).await })
        })
        .collect();
    assert_eq!(host.send("DELETE", "/admin/hubs/doomed?force=true", "").await.status, 202);
    for start in starts {
        let status = start.await.unwrap();
        assert!([202, 404].contains(&status), "{status}");
    }
    gone(&host, "doomed").await;
    leaves_nothing(&store, "doomed").await;
}
