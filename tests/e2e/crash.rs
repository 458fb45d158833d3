//! The store dies after every possible commit; a new host on what was durable finishes with the same output.

use std::sync::Arc;

use durawasm_host::engine::{Reuse, Settings, StartRequest, system_clock};
use durawasm_host::store::memory::MemoryStore;
use durawasm_host::store::sled::{SledOptions, SledStore, SyncGate};
use durawasm_host::store::{HubName, SharedStore};
use durawasm_tests::{DyingStore, Host, guests};
use serde_json::{Value, json};

const ID: &str = "survivor";

async fn start(host: &Host, function: &str, input: Value) -> bool {
    let request = StartRequest {
        hub: HubName::from("default"),
        function: function.to_owned(),
        instance_id: Some(ID.to_owned()),
        input: Some(input.to_string().into()),
        version: None,
        tags: Default::default(),
        reuse: Reuse::Terminal,
        trace_parent: None,
        trace_state: None,
        scheduled_at: None,
    };
    host.engine.start(request).await.is_ok()
}

/// Patience enough that the start and its first episode always share a commit; each later step is one.
fn settings() -> Settings {
    let start_patience = std::time::Duration::from_secs(30);
    Settings { start_patience, run_ahead: std::time::Duration::ZERO, ..Settings::default() }
}

/// Runs to the death of the store after `lives` commits, then on the same data with a new host. The status at the end.
async fn die_and_go_on(store: SharedStore, lives: usize, (function, input): (&str, Value)) -> Option<Value> {
    let dying = DyingStore::new(Arc::clone(&store), lives);
    let first = Host::with(dying.clone(), settings(), system_clock()).await;
    let acknowledged = start(&first, function, input).await;
    while acknowledged && !dying.is_dead() {
        if first.status(ID).await["output"] != Value::Null {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    first.engine.stop();
    assert_eq!(acknowledged, lives > 0, "a start is acknowledged when its commit is durable, and only then");
    if !acknowledged {
        return None;
    }
    let second = Host::with(store, settings(), system_clock()).await;
    Some(second.ended(ID).await)
}

async fn deploy(store: &SharedStore, app: &str, component: axum::body::Bytes) {
    Host::on(Arc::clone(store)).await.deploy(app, component).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_steps_take_four_commits() {
    let store: SharedStore = Arc::new(MemoryStore::default());
    deploy(&store, "hello-cities", guests::example("hello-cities")).await;
    let counting = DyingStore::new(store, usize::MAX);
    let host = Host::with(counting.clone(), settings(), system_clock()).await;
    assert!(start(&host, "E1_HelloSequence", Value::Null).await);
    host.ended(ID).await;
    assert_eq!(counting.commits(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn hello_cities_survives_a_crash_after_every_commit() {
    for lives in 0..=4 {
        let store: SharedStore = Arc::new(MemoryStore::default());
        deploy(&store, "hello-cities", guests::example("hello-cities")).await;
        let status = die_and_go_on(store, lives, ("E1_HelloSequence", Value::Null)).await;
        let Some(status) = status else { continue };
        assert_eq!(status["output"], json!(["Hello Tokyo!", "Hello Seattle!", "Hello London!"]), "died after {lives}");
        let completed = status["historyEvents"].as_array().unwrap().iter();
        let completed = completed.filter(|event| event["EventType"] == "TaskCompleted").count();
        assert_eq!(completed, 3, "died after {lives}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_used_is_charged_once_whenever_the_host_dies() {
    let mut charged = Vec::new();
    for lives in 1..=4 {
        let store: SharedStore = Arc::new(MemoryStore::default());
        deploy(&store, "hello-cities", guests::example("hello-cities")).await;
        die_and_go_on(Arc::clone(&store), lives, ("E1_HelloSequence", Value::Null)).await;
        let usage = store.usage(&HubName::from("default")).await.unwrap();
        assert_eq!(usage.used.activities, 3, "died after {lives}");
        assert!(usage.used.activity_fuel > 0 && usage.stored_bytes > 0);
        charged.push((usage.used.orchestrator_fuel, usage.stored_bytes));
    }
    let whole = charged[3];
    assert!(whole.0 > 0 && charged.iter().all(|part| part.0 == whole.0), "replays cost nothing: {charged:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_out_survives_a_crash_in_sled_after_every_few_commits() {
    for lives in [1, 2, 5, 9] {
        let folder = tempfile::tempdir().unwrap();
        let store: SharedStore = Arc::new(SledStore::open(folder.path(), SledOptions::default()).unwrap());
        deploy(&store, "fan-out", guests::example("fan-out")).await;
        let status = die_and_go_on(store, lives, ("E2_FanOut", json!(12))).await.unwrap();
        assert_eq!(status["output"], json!(650), "died after {lives}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_shows_what_is_not_durable_yet() {
    let gate = SyncGate::new();
    let folder = tempfile::tempdir().unwrap();
    let options = SledOptions { sync_gate: Some(gate.clone()), ..SledOptions::default() };
    let store: SharedStore = Arc::new(SledStore::open(folder.path(), options).unwrap());
    let host = Arc::new(Host::on(store).await);
    host.deploy("flow", guests::guest("flow")).await;
    let path = "/runtime/webhooks/durabletask/orchestrators/Event/held";
    gate.hold();
    let first = {
        let host = Arc::clone(&host);
        tokio::spawn(async move { host.send("POST", path, "\"Go\"").await.status })
    };
    // While the sync is held back, a status is "not there" or no answer, and a second start gets none.
    for _ in 0..20 {
        let status = host.send("GET", "/runtime/webhooks/durabletask/instances/held", "");
        let short = std::time::Duration::from_millis(20);
        if let Ok(answer) = tokio::time::timeout(short, status).await {
            assert_eq!(answer.status, 404, "{}", answer.text());
        }
        let second = tokio::time::timeout(short, host.send("POST", path, "\"Go\"")).await;
        assert!(second.is_err(), "a start was answered before anything was durable: {second:?}");
        assert!(!first.is_finished(), "the start was acknowledged before it was durable");
    }
    gate.release();
    // Any of the starts may have won, those that nobody waits for any more included.
    assert!([202, 409].contains(&first.await.unwrap().as_u16()));
    assert_eq!(host.send("POST", path, "\"Go\"").await.status, 409);
    host.until("held", "running", |status| status["runtimeStatus"] == "Running").await;
}
