//! What the server tells Prometheus.

use std::sync::Arc;
use std::time::{Duration, Instant};

use durawasm_host::api::ApiSettings;
use durawasm_host::engine::{Settings, system_clock};
use durawasm_host::store::sled::{SledOptions, SledStore};
use durawasm_tests::{Answer, Host, guests};
use serde_json::json;

const WEBHOOKS: &str = "/runtime/webhooks/durabletask";

/// The value of a line that begins like this: name and labels.
fn value(text: &str, line: &str) -> Option<f64> {
    text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' ')?.parse().ok())
}

async fn scrape(host: &Host) -> String {
    let answer = host.send("GET", "/metrics", "").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.headers["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    answer.text()
}

/// What is told once a guest waits in memory, which is a moment after its commit.
async fn parked(host: &Host) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let text = scrape(host).await;
        if value(&text, "durawasm_hot_guests") == Some(1.0) {
            return text;
        }
        assert!(Instant::now() < deadline, "nobody waits in memory: {text}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SledStore::open(folder.path(), SledOptions::default()).unwrap());
    let settings = Settings { run_ahead: Duration::ZERO, ..Settings::default() };
    let host = Host::with(store, settings, system_clock()).await;
    host.deploy("flow", guests::guest("flow")).await;
    host.deploy("hello", guests::example("hello-cities")).await;
    let before = scrape(&host).await;
    host.run("E1_HelloSequence", json!(null)).await;
    let waiting = host.start("Event", json!("Go")).await;
    host.until(&waiting, "it waits", |status| status["runtimeStatus"] == "Running").await;
    host.send("GET", &format!("{WEBHOOKS}/instances/nobody"), "").await;
    let after = parked(&host).await;
    let grown = |line: &str| {
        value(&after, line).unwrap_or_else(|| panic!("no {line} in {after}")) - value(&before, line).unwrap_or_default()
    };
    assert_eq!(grown("durawasm_starts_total"), 2.0);
    assert_eq!(grown(r#"durawasm_runs_total{kind="activity",outcome="completed"}"#), 3.0);
    assert_eq!(grown(r#"durawasm_run_duration_seconds_count{kind="activity"}"#), 3.0);
    assert_eq!(grown(r#"durawasm_runs_running{kind="activity"}"#), 0.0);
    assert_eq!(grown(r#"durawasm_runs_waiting{kind="activity"}"#), 0.0);
    assert_eq!(grown(r#"durawasm_http_requests_total{operation="Start",status="2xx"}"#), 2.0);
    assert_eq!(grown(r#"durawasm_http_requests_total{operation="Status",status="4xx"}"#), 1.0);
    assert!(grown(r#"durawasm_http_request_duration_seconds_count{operation="Status"}"#) >= 2.0);
    assert!(grown("durawasm_episodes_total") >= 5.0);
    assert!(grown("durawasm_store_commits_total") >= 5.0);
    assert!(grown("durawasm_store_commit_duration_seconds_count") >= 5.0);
    assert!(grown("durawasm_store_sync_duration_seconds_count") >= 4.0);
    assert!(grown("durawasm_store_group_size_count") >= 4.0);
    assert_eq!(value(&after, r#"durawasm_instances{hub="default",status="Running"}"#), Some(1.0));
    assert_eq!(value(&after, "durawasm_hot_guests"), Some(1.0));
    assert_eq!(value(&after, "durawasm_ready"), Some(1.0));
    assert_eq!(value(&after, "durawasm_store_failed"), Some(0.0));
    assert!(after.contains("durawasm_build_info{version="), "{after}");
    assert!(value(&after, "process_resident_memory_bytes").unwrap() > 1e6);
    assert!(value(&after, "process_open_fds").unwrap() > 3.0);
    assert!(after.ends_with("# EOF\n") && after.matches("# EOF").count() == 1, "{after}");
    assert!(!after.contains(&waiting), "no ids: {after}");
    host.engine.evict_all();
    host.send("POST", &format!("{WEBHOOKS}/instances/{waiting}/raiseEvent/Go"), "1").await;
    host.ended(&waiting).await;
    assert_eq!(value(&scrape(&host).await, "durawasm_replays_total"), Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stopped_and_refused_is_counted_by_kind() {
    let host = Host::new().await;
    host.deploy("hostile", guests::guest("hostile")).await;
    assert_eq!(host.run("GrowMemory", json!(null)).await["runtimeStatus"], "Failed");
    host.send("PUT", "/admin/hubs/default/config", json!({"limits": {"openInstances": 0}}).to_string()).await;
    let start = host.send("POST", &format!("{WEBHOOKS}/orchestrators/GrowMemory"), "").await;
    assert_eq!(start.status, 429);
    let text = scrape(&host).await;
    let stopped = r#"durawasm_guests_stopped_total{role="orchestrator",limit="memory"}"#;
    assert_eq!(value(&text, stopped), Some(1.0), "{text}");
    assert_eq!(value(&text, r#"durawasm_guests_stopped_total{role="activity",limit="memory"}"#), Some(0.0));
    assert_eq!(value(&text, r#"durawasm_quota_refusals_total{quota="openInstances"}"#), Some(1.0), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_hubs_there_are_the_answer_is_bounded() {
    let host = Host::new().await;
    for number in 0..230 {
        assert!(host.send("PUT", &format!("/admin/hubs/tenant{number}"), "").await.status.is_success());
    }
    let text = scrape(&host).await;
    let lines = text.lines().filter(|line| line.starts_with("durawasm_instances{") && line.contains("Running"));
    assert_eq!(lines.count(), 201, "200 by name and the others together");
    assert_eq!(value(&text, r#"durawasm_instances{hub="(other)",status="Running"}"#), Some(0.0));
    assert_eq!(value(&text, "durawasm_hubs"), Some(231.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_admin_key_opens_the_metrics_of_a_server_with_one() {
    let host = Host::new().await;
    let keyed =
        ApiSettings { admin_key: Some("a-key-of-some-length".to_owned()), ..ApiSettings::new("http://localhost") };
    let host = host.behind(keyed);
    let ask =
        async |key: &str| -> Answer { host.send_adding("GET", "/metrics", &[("x-functions-key", key)], "").await };
    let created = host.send_adding(
        "POST",
        "/admin/hubs/default/keys",
        &[("x-functions-key", "a-key-of-some-length")],
        json!({"name": "all", "scopes": ["manage", "read", "deploy"]}).to_string(),
    );
    let key = created.await.json()["key"].as_str().unwrap().to_owned();
    assert_eq!(host.send("GET", "/metrics", "").await.status, 401);
    assert_eq!(ask("wrong").await.status, 401);
    assert_eq!(ask(&key).await.status, 403);
    assert_eq!(ask("a-key-of-some-length").await.status, 200);
}
