//! What a hub may use, and that others are none the worse.

use std::sync::Arc;
use std::time::Duration;

use durawasm_host::engine::Settings;
use durawasm_host::store::memory::MemoryStore;
use durawasm_tests::{Answer, Host, ManualClock, guests};
use serde_json::{Value, json};

const WEBHOOKS: &str = "/runtime/webhooks/durabletask";

/// A hub with these limits and the functions of `tests/guests/flow`, on a clock that stands still.
async fn limited(limits: &Value) -> (Host, ManualClock) {
    let clock = ManualClock::new();
    let host = Host::with(Arc::new(MemoryStore::default()), Settings::default(), clock.clock()).await;
    for hub in ["tenant", "other"] {
        host.send("PUT", &format!("/admin/hubs/{hub}"), "").await;
        assert_eq!(host.send("PUT", &format!("/admin/hubs/{hub}/apps/flow"), guests::guest("flow")).await.status, 201);
    }
    limit(&host, limits).await;
    (host, clock)
}

async fn limit(host: &Host, limits: &Value) {
    let config = json!({"limits": limits}).to_string();
    assert_eq!(host.send("PUT", "/admin/hubs/tenant/config", config).await.status, 200);
}

async fn start(host: &Host, hub: &str, function: &str, input: &Value) -> Answer {
    let path = format!("{WEBHOOKS}/orchestrators/{function}?taskHub={hub}");
    host.send("POST", &path, input.to_string()).await
}

async fn usage(host: &Host, name: &str) -> u64 {
    host.send("GET", "/admin/hubs/tenant", "").await.json()["usage"][name].as_u64().unwrap()
}

/// The answer says what is over, and when to try again.
fn is_over(answer: &Answer, quota: &str, retry: Option<&str>) {
    assert_eq!(answer.status, 429, "{}", answer.text());
    let words = format!("The task hub 'tenant' is at its limit '{quota}' of ");
    assert!(answer.text().contains(&words), "{}", answer.text());
    assert_eq!(answer.headers.get("retry-after").map(|value| value.to_str().unwrap()), retry);
}

#[tokio::test(flavor = "multi_thread")]
async fn open_instances_are_counted_exactly() {
    let (host, _clock) = limited(&json!({"openInstances": 25})).await;
    let host = Arc::new(host);
    let starts: Vec<_> = (0..100)
        .map(|_| {
            let host = Arc::clone(&host);
            tokio::spawn(async move { start(&host, "tenant", "Event", &json!("Go")).await })
        })
        .collect();
    let mut started = Vec::new();
    for start in starts {
        let answer = start.await.unwrap();
        match answer.status.as_u16() {
            202 => started.push(answer.json()["id"].as_str().unwrap().to_owned()),
            _ => is_over(&answer, "openInstances", Some("5")),
        }
    }
    assert_eq!(started.len(), 25);
    assert_eq!(usage(&host, "openInstances").await, 25);
    assert_eq!(start(&host, "other", "Event", &json!("Go")).await.status, 202);
    let path = format!("{WEBHOOKS}/instances/{}/terminate?taskHub=tenant", started[0]);
    assert_eq!(host.send("POST", &path, "").await.status, 202);
    host.engine.wait(&"tenant".into(), &started[0], Duration::from_secs(60)).await.unwrap();
    assert_eq!(start(&host, "tenant", "Event", &json!("Go")).await.status, 202);
    is_over(&start(&host, "tenant", "Event", &json!("Go")).await, "openInstances", Some("5"));
    limit(&host, &json!({})).await;
    assert_eq!(start(&host, "tenant", "Event", &json!("Go")).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_over_the_limit_fails_as_a_child_does() {
    let (host, _clock) = limited(&json!({"openInstances": 1})).await;
    let program = json!({"step": {"catch": {"child": {"label": "c", "step": {"echo": 1}}}}});
    let path = format!("{WEBHOOKS}/orchestrators/Program/parent?taskHub=tenant&timeout=60&pollingInterval=1");
    let ended = host.send("POST", &path, program.to_string()).await;
    assert!(ended.text().contains("at its limit 'openInstances' of 1"), "{}", ended.text());
    limit(&host, &json!({"openInstances": 2})).await;
    let ended = host.send("POST", &path, program.to_string()).await;
    assert_eq!(ended.text(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_and_requests_have_a_rate() {
    let (host, clock) = limited(&json!({"startsPerSecond": 3})).await;
    let go = async || start(&host, "tenant", "Custom", &json!(0)).await;
    for _ in 0..3 {
        assert_eq!(go().await.status, 202);
    }
    is_over(&go().await, "startsPerSecond", Some("1"));
    assert_eq!(start(&host, "other", "Custom", &json!(0)).await.status, 202);
    clock.advance(1);
    assert_eq!(go().await.status, 202);
    limit(&host, &json!({"requestsPerSecond": 2})).await;
    let list = async |hub: &str| host.send("GET", &format!("{WEBHOOKS}/instances?taskHub={hub}"), "").await;
    assert_eq!((list("tenant").await.status.as_u16(), list("tenant").await.status.as_u16()), (200, 200));
    is_over(&list("tenant").await, "requestsPerSecond", Some("1"));
    is_over(&host.send("GET", "/admin/hubs/tenant/apps/flow", "").await, "requestsPerSecond", Some("1"));
    assert_eq!(list("other").await.status, 200);
    assert_eq!(host.send("GET", "/admin/hubs/tenant/config", "").await.status, 429);
    limit(&host, &json!({})).await;
    assert_eq!(list("tenant").await.status, 200, "whoever runs the server can always lift it");
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_and_components_are_bounded() {
    let flow = guests::guest("flow").len() as u64;
    let (host, _clock) = limited(&json!({"apps": 2, "componentBytes": flow + 10})).await;
    let deploy =
        async |app: &str, component| host.send("PUT", &format!("/admin/hubs/tenant/apps/{app}"), component).await;
    let large = deploy("hello", guests::example("hello-cities")).await;
    assert_eq!((large.status.as_u16(), large.text().contains("'componentBytes'")), (413, true), "{}", large.text());
    assert_eq!(deploy("flow", guests::guest("flow")).await.status, 200, "what is there stays");
    limit(&host, &json!({"apps": 2})).await;
    assert_eq!(deploy("hello", guests::example("hello-cities")).await.status, 201);
    let third = deploy("third", guests::example("hello-cities")).await;
    assert_eq!(third.status, 409, "its functions are taken: {}", third.text());
    limit(&host, &json!({"apps": 1})).await;
    let other = deploy("third", guests::example("saga")).await;
    is_over(&other, "apps", None);
    assert_eq!(usage(&host, "apps").await, 2);
    let both = flow + guests::example("hello-cities").len() as u64;
    assert_eq!(usage(&host, "componentBytes").await, both);
}

#[tokio::test(flavor = "multi_thread")]
async fn activities_over_the_limit_wait_and_others_do_not() {
    let (host, _clock) = limited(&json!({"concurrentActivities": 1})).await;
    let sleeps = json!(["Sleep", 3_600_000]);
    assert_eq!(start(&host, "tenant", "OneActivity", &sleeps).await.status, 202);
    let path = |hub: &str, wait: &str| format!("{WEBHOOKS}/orchestrators/OneActivity/quick?taskHub={hub}{wait}");
    let wait = "&timeout=60&pollingInterval=1";
    let echo = || json!(["Echo", "x"]).to_string();
    assert_eq!(host.send("POST", &path("tenant", "&timeout=0.2&pollingInterval=0.1"), echo()).await.status, 202);
    assert_eq!(host.send("POST", &path("other", wait), echo()).await.status, 200, "another hub is none the worse");
    let waits = host.send("GET", &format!("{WEBHOOKS}/instances/quick?taskHub=tenant"), "").await;
    assert_eq!(waits.json()["runtimeStatus"], "Running");
    // A raised limit counts at once, also for those that wait.
    limit(&host, &json!({"concurrentActivities": 2})).await;
    host.engine.wait(&"tenant".into(), "quick", Duration::from_secs(60)).await.unwrap();
    let done = host.send("GET", &format!("{WEBHOOKS}/instances/quick?taskHub=tenant"), "").await;
    assert_eq!(done.json()["output"], json!("x"));
}
