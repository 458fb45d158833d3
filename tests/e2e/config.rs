//! What a hub is configured to, and that it holds.

use std::sync::Arc;
use std::time::Duration;

use durawasm_host::engine::Settings;
use durawasm_host::store::SharedStore;
use durawasm_host::store::memory::MemoryStore;
use durawasm_host::store::sled::{SledOptions, SledStore};
use durawasm_tests::{Answer, Host, ManualClock, guests};
use serde_json::{Value, json};

use crate::surface::Transcript;

const WEBHOOKS: &str = "/runtime/webhooks/durabletask";
const CONFIG: &str = "/admin/hubs/tenant/config";

async fn tenant(host: &Host) {
    assert_eq!(host.send("PUT", "/admin/hubs/tenant", "").await.status, 201);
    assert_eq!(host.send("PUT", "/admin/hubs/tenant/apps/flow", guests::guest("flow")).await.status, 201);
}

async fn configure(host: &Host, config: &Value) -> Answer {
    let answer = host.send("PUT", CONFIG, config.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

/// The output of an orchestration of the tenant.
async fn output(host: &Host, function: &str, input: &Value) -> Value {
    let path = format!("{WEBHOOKS}/orchestrators/{function}?taskHub=tenant&timeout=60&pollingInterval=1");
    let answer = host.send("POST", &path, input.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn configurations_over_http() {
    let host = Host::with(Arc::new(MemoryStore::default()), Settings::default(), ManualClock::new().clock()).await;
    assert_eq!(host.send("PUT", "/admin/hubs/tenant", "").await.status, 201);
    let mut all = Transcript::default();
    let full = r#"{"env":{"REGION":"north"},"secrets":{"TOKEN":"of nobody's business"},"egress":["example.org"],"limits":{"apps":3},"retention":"30d","routePrefix":"v1"}"#;
    for (request, body) in [
        ("GET /admin/hubs/tenant/config", ""),
        ("PUT /admin/hubs/tenant/config", full),
        ("GET /admin/hubs/tenant/config", ""),
        ("PUT /admin/hubs/tenant/config", r#"{"env":{"1":2},"limits":{"apps":-1},"retention":"x","moon":1}"#),
        ("PUT /admin/hubs/tenant/config", "[]"),
        ("GET /admin/hubs/tenant/config", ""),
        ("PUT /admin/hubs/tenant/config", r#"{"secrets":{"TOKEN":null,"OTHER":null}}"#),
        ("GET /admin/hubs/nobody/config", ""),
        ("PUT /admin/hubs/nobody/config", "{}"),
        ("PUT /admin/hubs/tenant/config", "{}"),
    ] {
        all.ask(&host, request, body).await;
    }
    all.is("config");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_editors_one_is_told() {
    let host = Host::new().await;
    tenant(&host).await;
    let tag = |answer: &Answer| answer.headers["etag"].to_str().unwrap().to_owned();
    let read = tag(&host.send("GET", CONFIG, "").await);
    let put = async |tag: &str, region: &str| {
        let body = json!({"env": {"REGION": region}}).to_string();
        host.send_adding("PUT", CONFIG, &[("if-match", tag)], body).await
    };
    let first = put(&read, "north").await;
    assert_eq!(first.status, 200);
    let second = put(&read, "south").await;
    assert_eq!((second.status.as_u16(), &second.json()["error"]["code"]), (412, &json!("config-changed")));
    assert_eq!(host.send("GET", CONFIG, "").await.json()["env"]["REGION"], "north");
    // A key is no change of the configuration.
    let key = json!({"name": "k", "scopes": ["read"]}).to_string();
    assert_eq!(host.send("POST", "/admin/hubs/tenant/keys", key).await.status, 201);
    assert_eq!(put(&tag(&first), "south").await.status, 200);
    assert_eq!(put("*", "east").await.status, 200);
    assert_eq!(put("\"0-0\", \"nonsense\"", "west").await.status, 412);
}

#[tokio::test(flavor = "multi_thread")]
async fn activities_see_the_environment_of_now_and_orchestrators_none() {
    let host = Host::new().await;
    tenant(&host).await;
    let seen = async || output(&host, "OneActivity", &json!(["Environment", null])).await;
    assert_eq!(seen().await, json!({}));
    configure(&host, &json!({"env": {"A": "1"}, "secrets": {"B": "two"}})).await;
    assert_eq!(seen().await, json!({"A": "1", "B": "two"}));
    configure(&host, &json!({"env": {"A": "3"}, "secrets": {"B": null}})).await;
    assert_eq!(seen().await, json!({"A": "3", "B": "two"}));
    assert_eq!(output(&host, "OwnEnvironment", &Value::Null).await, json!({}));
    host.deploy("flow", guests::guest("flow")).await;
    let other = host.run("OneActivity", json!(["Environment", null])).await;
    assert_eq!(other["output"], json!({}), "of another hub");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_hub_keeps_what_ended_as_long_as_it_says() {
    let clock = ManualClock::new();
    let settings = Settings { retention: Some(Duration::from_secs(24 * 3600)), ..Settings::default() };
    let host = Host::with(Arc::new(MemoryStore::default()), settings, clock.clock()).await;
    let hubs = ["default", "short", "long"];
    for (hub, retention) in hubs.into_iter().zip([Value::Null, json!("1h"), json!("forever")]) {
        host.send("PUT", &format!("/admin/hubs/{hub}"), "").await;
        host.send("PUT", &format!("/admin/hubs/{hub}/apps/flow"), guests::guest("flow")).await;
        let config = json!({"retention": retention}).to_string();
        assert_eq!(host.send("PUT", &format!("/admin/hubs/{hub}/config"), config).await.status, 200);
        let path = format!("{WEBHOOKS}/orchestrators/Custom/ended?taskHub={hub}&timeout=60&pollingInterval=1");
        assert_eq!(host.send("POST", &path, "0").await.status, 200);
    }
    let left = async |expected: [bool; 3]| {
        host.engine.clock_moved();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            let mut found = [false; 3];
            for (found, hub) in found.iter_mut().zip(hubs) {
                let path = format!("{WEBHOOKS}/instances/ended?taskHub={hub}");
                *found = host.send("GET", &path, "").await.status == 200;
            }
            if found == expected {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{found:?}, not {expected:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    left([true; 3]).await;
    clock.advance(2 * 3600);
    left([true, false, true]).await;
    clock.advance(48 * 3600);
    left([false, false, true]).await;
    host.send("PUT", "/admin/hubs/long/config", r#"{"retention":"1d"}"#).await;
    left([false; 3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_has_its_own_route_prefix() {
    let host = Host::new().await;
    tenant(&host).await;
    host.send("PUT", "/admin/hubs/tenant/apps/start", guests::example("instance-management")).await;
    host.deploy("start", guests::example("instance-management")).await;
    let ask = async |path: &str| host.send("GET", path, "").await.status.as_u16();
    assert_eq!(ask("/hubs/tenant/api/GetAllStatus").await, 200);
    configure(&host, &json!({"routePrefix": "v1/x"})).await;
    assert_eq!(ask("/hubs/tenant/api/GetAllStatus").await, 404);
    assert_eq!(ask("/hubs/tenant/v1/x/GetAllStatus").await, 200);
    assert_eq!(ask("/api/GetAllStatus").await, 200, "of the default hub");
    host.send("PUT", "/admin/hubs/default/config", r#"{"routePrefix":""}"#).await;
    assert_eq!((ask("/api/GetAllStatus").await, ask("/GetAllStatus").await), (404, 200));
    assert_eq!(ask("/healthz").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn configurations_and_keys_outlive_the_host() {
    let directory = tempfile::tempdir().unwrap();
    let store: SharedStore = Arc::new(SledStore::open(directory.path(), SledOptions::default()).unwrap());
    let host = Host::on(Arc::clone(&store)).await;
    assert_eq!(host.send("PUT", "/admin/hubs/tenant", "").await.status, 201);
    let shown = configure(&host, &json!({"secrets": {"S": "x".repeat(30_000)}, "retention": "7d"})).await;
    host.send("POST", "/admin/hubs/tenant/keys", r#"{"name":"k","scopes":["read"]}"#).await;
    let keys = host.send("GET", "/admin/hubs/tenant/keys", "").await.text();
    host.engine.stop();
    let host = Host::on(store).await;
    let again = host.send("GET", CONFIG, "").await;
    assert_eq!((again.text(), &again.headers["etag"]), (shown.text(), &shown.headers["etag"]));
    assert_eq!(host.send("GET", "/admin/hubs/tenant/keys", "").await.text(), keys);
}
