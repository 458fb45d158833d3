//! Orchestrators through the whole host: undisturbed, with the guest dropped at every wait, and over a restart.

use std::sync::Arc;

use durawasm_host::engine::{Settings, system_clock};
use durawasm_host::store::SharedStore;
use durawasm_host::store::memory::MemoryStore;
use durawasm_tests::{Host, ManualClock, guests};
use serde_json::{Value, json};

/// A host that keeps no guest in memory: every message is a replay.
async fn forgetful() -> Host {
    let settings = Settings { hot_guests: 0, ..Settings::default() };
    Host::with(Arc::new(MemoryStore::default()), settings, system_clock()).await
}

async fn both() -> [Host; 2] {
    let hosts = [Host::new().await, forgetful().await];
    for host in &hosts {
        host.deploy("flow", guests::guest("flow")).await;
    }
    hosts
}

async fn raise(host: &Host, id: &str, name: &str, data: Value) {
    let path = format!("/runtime/webhooks/durabletask/instances/{id}/raiseEvent/{name}");
    let answer = host.send("POST", &path, data.to_string()).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn activities_in_sequence_and_in_parallel() {
    for host in both().await {
        assert_eq!(host.run("Sequence", json!([1, "two", [3]])).await["output"], json!([1, "two", [3]]));
        assert_eq!(host.run("FanOut", json!(200)).await["output"], json!(2_686_700));
        assert_eq!(host.run("SelectAll", json!([1_500, 1, 750])).await["output"], json!([1, 750, 1_500]));
        assert_eq!(host.run("Unheard", json!(5)).await["output"], json!("done"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_keep_what_the_activity_said() {
    for host in both().await {
        let status = host.run("OneActivity", json!(["Fail", true])).await;
        assert_eq!(status["runtimeStatus"], "Failed");
        let output = status["output"].as_str().unwrap();
        assert!(output.starts_with("Orchestrator function 'OneActivity' failed: "), "{output}");
        assert!(output.contains("cannot save the order"), "{output}");
        let failed = status["historyEvents"].as_array().unwrap().iter().find(|e| e["EventType"] == "TaskFailed");
        let details = &failed.unwrap()["FailureDetails"];
        assert_eq!(
            (&details["ErrorType"], &details["IsNonRetriable"]),
            (&json!("DiskError"), &json!(true)),
            "{details}"
        );

        let missing = host.run("OneActivity", json!(["NoSuchActivity", 1])).await;
        assert_eq!(missing["runtimeStatus"], "Failed");
        assert!(missing["output"].as_str().unwrap().contains("NoSuchActivity"), "{missing}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_are_buffered_and_time_out() {
    for host in both().await {
        let id = host.start("CollectEvents", json!(3)).await;
        for item in 0..3 {
            raise(&host, &id, "item", json!(item)).await;
        }
        assert_eq!(host.ended(&id).await["output"], json!([0, 1, 2]));

        let id = host.start("TwoWaiters", Value::Null).await;
        raise(&host, &id, "Item", json!("first")).await;
        let waiting = host.status(&id).await;
        assert_eq!(waiting["runtimeStatus"], "Running");
        raise(&host, &id, "Item", json!("second")).await;
        assert_eq!(host.ended(&id).await["output"], json!(["second", "first"]), "the newest waiter is served first");

        assert_eq!(host.run("EventOrTimeout", json!(20)).await["output"], json!("timed out"));
        let id = host.start("EventOrTimeout", json!(3_600_000)).await;
        raise(&host, &id, "APPROVAL", json!("yes")).await;
        assert_eq!(host.ended(&id).await["output"], json!({"event": "yes"}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn suspend_resume_and_terminate() {
    for host in both().await {
        let id = host.start("Event", json!("Go")).await;
        let path = |verb: &str| format!("/runtime/webhooks/durabletask/instances/{id}/{verb}?reason=because");
        assert_eq!(host.send("POST", &path("suspend"), "").await.status, 202);
        let status = host.status(&id).await;
        assert_eq!((&status["runtimeStatus"], &status["output"]), (&json!("Suspended"), &json!("because")));
        raise(&host, &id, "Go", json!(1)).await;
        assert_eq!(host.status(&id).await["runtimeStatus"], "Suspended", "buffered until it is resumed");
        assert_eq!(host.send("POST", &path("resume"), "").await.status, 202);
        assert_eq!(host.ended(&id).await["output"], json!(1));
        assert_eq!(host.send("POST", &path("terminate"), "").await.status, 410, "it has ended");

        let id = host.start("Event", json!("Go")).await;
        let terminate = format!("/runtime/webhooks/durabletask/instances/{id}/terminate?reason=enough");
        assert_eq!(host.send("POST", &terminate, "").await.status, 202);
        let status = host.ended(&id).await;
        assert_eq!((&status["runtimeStatus"], &status["output"]), (&json!("Terminated"), &json!("enough")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn continue_as_new_keeps_the_id_and_the_custom_status() {
    for host in both().await {
        let status = host.run("ContinueAsNew", json!([5, 0])).await;
        assert_eq!((&status["output"], &status["input"]), (&json!(5), &json!([0, 5])), "{status}");
        assert_eq!(status["customStatus"], json!({"left": 1}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standard_library_repeats_itself_in_replay_and_differs_between_instances() {
    for host in both().await {
        let ids = [host.start("Guids", json!(true)).await, host.start("Guids", json!(true)).await];
        let mut outputs = Vec::new();
        for id in &ids {
            host.until(id, "waiting", |status| status["runtimeStatus"] == "Running").await;
            host.engine.evict_all();
            raise(&host, id, "Go", Value::Null).await;
            let status = host.ended(id).await;
            assert_eq!(status["runtimeStatus"], "Completed", "{status}");
            outputs.push(status["output"].clone());
        }
        assert_ne!(outputs[0][0]["first"], outputs[1][0]["first"]);
        assert_ne!(outputs[0][0]["first"], outputs[0][0]["second"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_of_400_days_fires_on_a_restarted_host() {
    let store: SharedStore = Arc::new(MemoryStore::default());
    let clock = ManualClock::new();
    let host = Host::with(Arc::clone(&store), Settings::default(), clock.clock()).await;
    host.deploy("flow", guests::guest("flow")).await;
    let id = host.start("Timer", json!(400_u64 * 86_400_000)).await;
    host.until(&id, "waiting", |status| status["runtimeStatus"] == "Running").await;
    host.engine.stop();
    drop(host);
    clock.advance(399 * 86_400);
    let host = Host::with(store, Settings::default(), clock.clock()).await;
    assert_eq!(host.status(&id).await["runtimeStatus"], "Running", "still waiting");
    clock.advance(86_400);
    host.engine.clock_moved();
    let status = host.ended(&id).await;
    assert_eq!(status["output"], json!(["2026-01-01T00:00:00.000000Z", "2027-02-05T00:00:00.000000Z"]), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_policy_tries_again_and_shows_its_attempts() {
    for host in both().await {
        let status = host.run("Retry", json!({"k": 3, "max_attempts": 5})).await;
        assert_eq!(status["output"], json!(3), "{status}");
        let events: Vec<_> =
            status["historyEvents"].as_array().unwrap().iter().map(|event| &event["EventType"]).collect();
        let attempt = ["TaskFailed", "TimerCreated", "TimerFired"];
        let expected =
            [&["ExecutionStarted"], &attempt[..], &attempt[..], &["TaskCompleted", "ExecutionCompleted"]].concat();
        assert_eq!(events, expected, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_instance_keeps_its_component() {
    let host = forgetful().await;
    host.deploy("nondet", guests::guest("nondet-v1")).await;
    let old = host.start("Order", Value::Null).await;
    host.until(&old, "waiting", |status| status["runtimeStatus"] == "Running").await;
    host.deploy("nondet", guests::guest("nondet-v2")).await;
    raise(&host, &old, "Go", Value::Null).await;
    let old = host.ended(&old).await;
    assert_eq!(old["runtimeStatus"], "Completed", "{old}");
    let new = host.start("Order", Value::Null).await;
    raise(&host, &new, "Go", Value::Null).await;
    let new = host.ended(&new).await;
    assert_eq!(new["runtimeStatus"], "Completed", "{new}");
    assert_eq!(
        (&old["output"], &new["output"]),
        (&json!(["A", "B"]), &json!(["B", "A"])),
        "the new one took the new version"
    );
}
