//! What functions log, for whoever looks after an instance.

use std::sync::Arc;
use std::time::Duration;

use durawasm_host::api::ApiSettings;
use durawasm_host::engine::{LogLimits, Settings, system_clock};
use durawasm_host::store::memory::MemoryStore;
use durawasm_tests::watched::WatchedStore;
use durawasm_tests::{Host, guests};
use serde_json::{Value, json};

use crate::program::{Program, verb};
use crate::{apps, javascript};

const WEBHOOKS: &str = "/runtime/webhooks/durabletask";

async fn logs(host: &Host, id: &str, query: &str) -> Value {
    let answer = host.send("GET", &format!("{WEBHOOKS}/instances/{id}/logs?{query}"), "").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn told(logs: &Value) -> Vec<(String, String)> {
    let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    let lines = logs["lines"].as_array().unwrap();
    lines
        .iter()
        .map(|line| (format!("{} {}", text(line, "level"), text(line, "function")), text(line, "message")))
        .collect()
}

fn lines(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(who, text)| ((*who).to_owned(), (*text).to_owned())).collect()
}

const ALL: [(&str, &str); 8] = [
    ("trace Logs", "a trace line"),
    ("debug Logs", "a debug line"),
    ("info Logs", "an info line"),
    ("info LogLine", "an activity's line"),
    ("info LogLine", "stdout: an activity's line"),
    ("warn LogLine", "stderr: an activity's line"),
    ("warn Logs", "a warn line"),
    ("error Logs", "an error line"),
];

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_there_once_and_in_order_however_often_the_code_is_replayed() {
    // No guest stays in memory: each episode is a replay.
    let settings = Settings { hot_guests: 0, ..Settings::default() };
    let host = Host::with(Arc::new(MemoryStore::default()), settings, system_clock()).await;
    host.deploy("flow", guests::guest("flow")).await;
    let id = host.start("Logs", json!(null)).await;
    host.ended(&id).await;
    let all = logs(&host, &id, "").await;
    assert_eq!(told(&all), lines(&ALL), "{all}");
    assert_eq!(all["dropped"], false);
    let (first, activity) = (&all["lines"][0], &all["lines"][3]);
    assert_eq!((&first["kind"], &first["attempt"]), (&json!("orchestrator"), &Value::Null));
    assert_eq!((&activity["kind"], &activity["attempt"]), (&json!("activity"), &json!(1)));
    assert!(first["time"].as_str().unwrap().ends_with('Z'), "{first}");
    let page = logs(&host, &id, &format!("after={}&limit=2", activity["sequence"])).await;
    assert_eq!(told(&page), lines(&ALL[4..6]));
    let rest = logs(&host, &id, &format!("after={}", page["next"])).await;
    assert_eq!(told(&rest), lines(&ALL[6..]));
    assert_eq!(logs(&host, &id, &format!("after={}", rest["next"])).await["next"], rest["next"]);
}

/// What the function `Logs` of an app tells while no guest stays in memory, so that each episode is a replay.
async fn told_by(component: axum::body::Bytes) -> Vec<(String, String)> {
    let settings = Settings { hot_guests: 0, ..Settings::default() };
    let host = Host::with(Arc::new(MemoryStore::default()), settings, system_clock()).await;
    host.deploy("flow", component).await;
    let id = host.start("Logs", json!(null)).await;
    assert_eq!(host.ended(&id).await["runtimeStatus"], "Completed");
    told(&logs(&host, &id, "").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_python_logs_and_prints_is_there_once_with_its_level() {
    let Some(component) = apps::python("tests/python/flow") else { return };
    let expected = [
        ("info Logs", "an info line"),
        ("info LogLine", "an activity's line"),
        ("info LogLine", "stdout: an activity's line"),
        ("warn LogLine", "stderr: an activity's line"),
        ("warn Logs", "a warn line"),
        ("error Logs", "the reason\nValueError: invalid literal for int() with base 10: 'seven'"),
        ("info Logs", "printed after"),
        ("warn Logs", "an error line"),
    ];
    let told = told_by(component).await;
    let first_lines =
        |(who, text): &(String, String)| (who.clone(), text.lines().take(2).collect::<Vec<_>>().join("\n"));
    assert_eq!(told.iter().map(first_lines).collect::<Vec<_>>(), lines(&expected), "below INFO nothing is sent");
    assert!(told[5].1.contains("File \"chances.py\", line "), "where it was raised is said: {told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_javascript_logs_is_there_once_with_its_level() {
    if javascript::skipped() {
        return;
    }
    for engine in javascript::ENGINES {
        let expected = [
            ("trace Logs", "a trace line"),
            ("debug Logs", "a debug line"),
            ("info Logs", "an info line"),
            ("info LogLine", "an activity's line"),
            ("info LogLine", "stdout: an activity's line"),
            ("error LogLine", "stderr: an activity's line"),
            ("warn Logs", "a warn line"),
            ("error Logs", r#"an error line 1 {"of":"several parts"}"#),
        ];
        assert_eq!(told_by(javascript::guest(engine).await).await, lines(&expected), "{engine}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_bounded_and_readers_are_told() {
    let settings = Settings { logs: LogLimits { lines: 3, ..LogLimits::default() }, ..Settings::default() };
    let host = Host::with(Arc::new(MemoryStore::default()), settings, system_clock()).await;
    host.deploy("flow", guests::guest("flow")).await;
    let id = host.start("Logs", json!(null)).await;
    host.ended(&id).await;
    let kept = logs(&host, &id, "").await;
    assert_eq!((told(&kept), &kept["dropped"]), (lines(&ALL[5..]), &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sees_that_an_instance_has_ended_reads_all_that_it_logged() {
    let store = WatchedStore::new(Arc::new(MemoryStore::default()));
    let settings = Settings { start_patience: Duration::from_secs(30), ..Settings::default() };
    let host = Arc::new(Host::with(store.clone(), settings, system_clock()).await);
    host.deploy("flow", guests::guest("flow")).await;
    // The start with its first episode is the first commit, the activity's result and the end are the second.
    store.withhold(2);
    let id = host.start("Logs", json!(null)).await;
    host.until(&id, "ended", |status| status["runtimeStatus"] == "Completed").await;
    let read = tokio::spawn({
        let (host, id) = (Arc::clone(&host), id.clone());
        async move { told(&logs(&host, &id, "").await) }
    });
    // The host does not know yet that it is durable.
    tokio::time::sleep(Duration::from_millis(50)).await;
    store.tell();
    assert_eq!(read.await.unwrap(), lines(&ALL));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_the_lines_of_another_hub_or_of_an_instance_that_was_purged() {
    let host = Host::new().await;
    host.send("PUT", "/admin/hubs/tenant", "").await;
    host.deploy("flow", guests::guest("flow")).await;
    let start = host.send("POST", &format!("{WEBHOOKS}/orchestrators/Logs/mine"), "null").await;
    assert_eq!(start.status, 202);
    host.ended("mine").await;
    assert_eq!(told(&logs(&host, "mine", "").await).len(), 8);
    let path = format!("{WEBHOOKS}/instances/mine/logs");
    assert_eq!(host.send("GET", &format!("{path}?taskHub=tenant"), "").await.status, 404);
    let key = "a-key-of-some-length";
    let keyed = ApiSettings { admin_key: Some(key.to_owned()), ..ApiSettings::new("http://localhost") };
    let keyed = host.behind(keyed);
    assert_eq!(keyed.send("GET", &path, "").await.status, 401);
    let body = json!({"name": "reader", "scopes": ["read"]}).to_string();
    let made = keyed.send("POST", &format!("/admin/hubs/tenant/keys?code={key}"), body).await.json();
    let foreign = made["key"].as_str().unwrap();
    assert_eq!(keyed.send("GET", &format!("{path}?code={foreign}"), "").await.status, 403);
    assert_eq!(keyed.send("GET", &format!("{path}?code={key}"), "").await.status, 200);
    assert_eq!(host.send("DELETE", &format!("{WEBHOOKS}/instances/mine"), "").await.status, 200);
    assert_eq!(host.send("GET", &path, "").await.status, 404);
    host.send("POST", &format!("{WEBHOOKS}/orchestrators/Print/mine"), "null").await;
    host.ended("mine").await;
    let printed = lines(&[("info Print", "printed before"), ("warn Print", "printed after")]);
    assert_eq!(told(&logs(&host, "mine", "").await), printed, "none of the one before");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_shows_and_follows_them() {
    let program = Program::serve_with("memory", &[]).await;
    program.deploy("flow", guests::guest("flow")).await;
    assert_eq!(program.start("Logs", "talker", Value::Null).await, 202);
    let (code, followed, errors) = verb(&program, &["logs", "--id", "talker", "--follow"]).await;
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(followed.lines().count(), 8, "{followed}");
    assert!(followed.lines().nth(3).unwrap().ends_with("INFO  activity LogLine: an activity's line"), "{followed}");
    let (_, shown, _) = verb(&program, &["logs", "--id", "talker"]).await;
    assert_eq!(shown, followed);
    let (_, json, _) = verb(&program, &["logs", "--id", "talker", "--json"]).await;
    assert_eq!(told(&serde_json::from_str(&json).unwrap()), lines(&ALL));
    let (code, _, errors) = verb(&program, &["logs", "--id", "nobody"]).await;
    assert!(code == Some(1) && errors.contains("nobody"), "{errors}");
}
