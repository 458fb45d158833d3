//! Bad input changes nothing and is answered in words that help.

use axum::body::Bytes;
use durawasm_tests::{Host, guests};
use serde_json::{Value, json};

const APP: &str = "/admin/hubs/default/apps/app";

/// Every refused deployment names its cause and leaves no app behind.
async fn refused(component: Bytes, words: &[&str]) {
    let host = Host::new().await;
    let answer = host.send("PUT", APP, component).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    for word in words {
        assert!(answer.text().contains(word), "'{word}' is not in: {}", answer.text());
    }
    assert_eq!(host.send("GET", APP, "").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_no_component() {
    refused(Bytes::from_static(b"print('hello')"), &["not"]).await;
    refused(Bytes::new(), &["not WebAssembly"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_module_is_no_component() {
    refused(Bytes::from_static(b"\0asm\x01\0\0\0"), &["core", "wasm32-wasip2"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_without_the_exports_is_refused() {
    refused(guests::guest("bare"), &["durable:functions/describe"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_with_foreign_imports_is_refused() {
    refused(guests::guest("foreign-import"), &["acme:missing/thing"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_component_is_refused() {
    let mut bytes = guests::example("hello-cities").to_vec();
    bytes.truncate(bytes.len() / 2);
    refused(bytes.into(), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_that_make_no_sense_are_refused() {
    let host = Host::new().await;
    host.deploy("hello-cities", guests::example("hello-cities")).await;
    let base = "/runtime/webhooks/durabletask/orchestrators";

    let unknown = host.send("POST", &format!("{base}/Nope"), "").await;
    assert_eq!(unknown.status, 400);
    assert!(unknown.text().contains("'Nope'") && unknown.text().contains("E1_HelloSequence"), "{}", unknown.text());

    let activity = host.send("POST", &format!("{base}/E1_SayHello"), "").await;
    assert_eq!(activity.status, 400, "an activity is no orchestrator");

    let json = host.send("POST", &format!("{base}/E1_HelloSequence/id1"), "{not json").await;
    assert_eq!((json.status.as_u16(), &json.json()["Message"]), (400, &json!("Invalid JSON content")));

    let large = format!("\"{}\"", "x".repeat(5 << 20));
    assert_eq!(host.send("POST", &format!("{base}/E1_HelloSequence/id1"), large).await.status, 413);

    for id in ["@entity", "%2E", "%2e%2E", "a%2Fb", "a%5Cb", "a%23b", "a%3Fb", "a%0Ab", &"x".repeat(257)] {
        let answer = host.send("POST", &format!("{base}/E1_HelloSequence/{id}"), "").await;
        assert_eq!(answer.status, 400, "{id}: {}", answer.text());
    }
    assert_eq!(host.send("GET", "/runtime/webhooks/durabletask/instances/id1", "").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_apps_cannot_declare_one_function() {
    let host = Host::new().await;
    host.deploy("first", guests::example("hello-cities")).await;
    let answer = host.send("PUT", "/admin/hubs/default/apps/second", guests::example("hello-cities")).await;
    assert!(answer.status.is_client_error(), "{}", answer.status);
    assert!(answer.text().contains("'first'"), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_id_is_started_once() {
    let host = std::sync::Arc::new(Host::new().await);
    host.deploy("flow", guests::guest("flow")).await;
    let path = "/runtime/webhooks/durabletask/orchestrators/Event/single";
    let starts = (0..50).map(|_| {
        let host = std::sync::Arc::clone(&host);
        tokio::spawn(async move { host.send("POST", path, "\"Go\"").await.status.as_u16() })
    });
    let mut codes = Vec::new();
    for start in starts.collect::<Vec<_>>() {
        codes.push(start.await.unwrap());
    }
    codes.sort_unstable();
    assert_eq!((codes[0], codes[1], codes[49]), (202, 409, 409), "{codes:?}");
    host.until("single", "running", |status| status["runtimeStatus"] == "Running").await;
    let taken = host.send("POST", path, "\"Go\"").await.json();
    let message = "An orchestration with instance ID 'single' and status 'Running' already exists";
    assert!(taken["Message"].as_str().unwrap().starts_with(message), "{taken}");
    let raised = host.send("POST", "/runtime/webhooks/durabletask/instances/single/raiseEvent/go", "[1,2]").await;
    assert_eq!(raised.status, 202);
    assert_eq!(host.ended("single").await["output"], json!([1, 2]));
    assert_eq!(host.send("POST", path, Value::Null.to_string()).await.status, 202, "the ended id is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_have_names_that_can_be_kept() {
    let host = Host::new().await;
    host.deploy("flow", guests::guest("flow")).await;
    let base = "/runtime/webhooks/durabletask/instances";
    let id = host.start("Program", json!({"step": {"event": "Go"}})).await;
    let raise = async |name: &str| host.send("POST", &format!("{base}/{id}/raiseEvent/{name}"), "1").await;
    let long = "%C3%A9".repeat(257);
    for (name, words) in
        [(long.as_str(), "longer than 256 characters"), ("G%00o", "control characters"), ("%0A", "control")]
    {
        let refused = raise(name).await;
        assert_eq!(refused.status, 400, "{name}: {}", refused.text());
        let message = refused.json()["Message"].as_str().unwrap().to_owned();
        assert!(message.starts_with("The name of an event ") && message.contains(words), "{message}");
    }
    let unknown = host.send("POST", &format!("{base}/nobody/raiseEvent/G%00o"), "1").await;
    assert_eq!(unknown.status, 404, "whether there is an instance comes first");
    let status = host.status(&id).await;
    let events = status["historyEvents"].as_array().unwrap();
    assert!(events.iter().all(|event| event["EventType"] != "EventRaised"), "bad input changes nothing: {status}");
    assert_eq!(raise(&"%C3%A9".repeat(256)).await.status, 202);
    assert_eq!(raise("Go").await.status, 202);
    assert_eq!(host.ended(&id).await["output"], 1);
}
