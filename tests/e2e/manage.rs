//! Client functions in each language: every operation of the durable client, by the function `Manage` of their apps.

use axum::body::Bytes;
use durawasm_tests::{Host, guests};
use serde_json::{Value, json};

use crate::scenario::end;
use crate::{apps, javascript};

/// An app's client, called through its HTTP function.
struct Client<'a> {
    app: &'a str,
    host: Host,
}

impl Client<'_> {
    async fn manage(&self, operation: &str, body: Value) -> (u16, Value) {
        let answer = self.host.send("POST", &format!("/api/manage/{operation}"), body.to_string()).await;
        (answer.status.as_u16(), answer.json())
    }
}

async fn does_all_it_can(app: &str, component: Bytes) {
    let client = Client { app, host: Host::new().await };
    client.host.deploy("flow", component).await;
    one_instance(&client).await;
    several_instances(&client).await;
}

async fn one_instance(client: &Client<'_>) {
    let Client { app, host } = client;
    let started = client.manage("start/one", json!({"name": "Event", "input": "Go", "tags": {"a": "b"}})).await;
    assert_eq!(started, (200, json!("one")), "{app}");
    let (code, refused) = client.manage("start/one", json!({"name": "Event"})).await;
    assert_eq!((code, &refused["code"]), (409, &json!("already-exists")), "{app}: {refused}");
    assert!(refused["message"].as_str().unwrap().contains("one"), "{app}: {refused}");
    host.until("one", "waiting", |status| status["runtimeStatus"] == "Running").await;
    let (_, status) = client.manage("status/one", Value::Null).await;
    assert_eq!((&status["runtimeStatus"], &status["input"]), (&json!("Running"), &json!("Go")), "{app}");
    assert_eq!((&status["tags"], &status["history"][0]["EventType"]), (&json!({"a": "b"}), &json!("ExecutionStarted")));
    assert!(status["createdTime"].as_str().unwrap().ends_with('Z'), "{app}");
    assert_eq!(client.manage("status/nobody", Value::Null).await, (200, Value::Null), "{app}");
    for operation in ["suspend/one", "suspend/one", "resume/one", "resume/one"] {
        assert_eq!(client.manage(operation, Value::Null).await, (200, Value::Null), "{app} {operation}");
    }
    let waited =
        host.send("POST", "/api/manage/wait/one", r#"{"timeoutInMilliseconds":50,"retryIntervalInMilliseconds":10}"#);
    let waited = waited.await;
    assert_eq!((waited.status.as_u16(), &waited.headers["retry-after"]), (202, &"10".parse().unwrap()), "{app}");
    let wrong = host.send("POST", "/api/manage/wait/one", r#"{"timeoutInMilliseconds":1}"#).await;
    assert_eq!(wrong.status, 500, "{app}: an interval above the timeout");
    client.manage("event/one", json!({"name": "go", "data": {"x": 1}})).await;
    assert_eq!(host.ended("one").await["output"], json!({"x": 1}), "{app}");
    let done = host.send("POST", "/api/manage/wait/one", "null").await;
    assert_eq!((done.status.as_u16(), done.json()), (200, json!({"x": 1})), "{app}");
    // In each language as in the SDK that it takes after: JavaScript's raises no error.
    let ended = if ["python", "rust"].contains(app) { 409 } else { 200 };
    assert_eq!(client.manage("event/one", json!({"name": "go"})).await.0, ended, "{app}: it has ended");
    assert_eq!(client.manage("event/nobody", json!({"name": "go"})).await.1["code"], "not-found", "{app}");
    assert_eq!(client.manage("rewind/one", Value::Null).await.1["code"], "not-failed", "{app}");
}

async fn several_instances(client: &Client<'_>) {
    let Client { app, host } = client;
    let several =
        json!([{"name": "Event", "instanceId": "two", "input": "Go"}, {"name": "Sequence", "instanceId": "three"}]);
    assert_eq!(client.manage("startMany", several).await.1, json!(["two", "three"]), "{app}");
    host.ended("three").await;
    let (_, again) = client.manage("restart/three", Value::Null).await;
    assert_eq!(host.ended(again.as_str().unwrap()).await["output"], json!(["Tokyo", "Seattle", "London"]), "{app}");
    assert_eq!(client.manage("startOld/four", json!({"name": "Sequence", "input": [4]})).await.1, "four", "{app}");
    assert_eq!(host.ended("four").await["output"], json!([4]), "{app}");
    let running = client.manage("by", json!({"runtimeStatus": ["Running", "Pending"]})).await.1;
    assert_eq!(running, json!(["two"]), "{app}");
    assert_eq!(client.manage("all", Value::Null).await.1.as_array().unwrap().len(), 5, "{app}");
    let payload = client.manage("payload/two", Value::Null).await.1;
    assert!(payload["terminatePostUri"].as_str().unwrap().contains("/instances/two/terminate"), "{app}: {payload}");
    let check = host.send("POST", "/api/manage/check/two", "null").await;
    assert_eq!((check.status.as_u16(), &check.json()["id"]), (202, &json!("two")), "{app}");
    assert_eq!(check.headers["location"], payload["statusQueryGetUri"].as_str().unwrap(), "{app}");
    assert_eq!(client.manage("terminate/two", Value::Null).await, (200, Value::Null), "{app}");
    assert_eq!(end(&host.ended("two").await), json!(["Terminated", "because"]), "{app}");
    assert_eq!(client.manage("purge/two", Value::Null).await.1, json!({"instancesDeleted": 1}), "{app}");
    assert_eq!(client.manage("purgeBy", json!({"name": "Sequence"})).await.1, json!({"instancesDeleted": 3}), "{app}");
    assert_eq!(client.manage("hub", Value::Null).await.1, "default", "{app}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_of_rust_does_all_it_can() {
    does_all_it_can("rust", guests::guest("flow")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_of_python_does_all_it_can() {
    let Some(component) = apps::python("tests/python/flow") else { return };
    does_all_it_can("python", component).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_of_javascript_does_all_it_can() {
    if javascript::skipped() {
        return;
    }
    for engine in javascript::ENGINES {
        does_all_it_can(engine, javascript::guest(engine).await).await;
    }
}
