//! Client functions: the app of the example over HTTP and by hand, with an orchestration that finishes in time and one
//! that does not.

use std::sync::Arc;

use durawasm_host::api::ApiSettings;
use durawasm_tests::{Host, guests};
use serde_json::{Value, json};

const KEY: &str = "a key of more than 16 bytes";

async fn host() -> Host {
    let host = Host::new().await;
    host.deploy("http-start", guests::example("http-start")).await;
    host
}

/// The path and query of a URL of this server.
fn path_of(url: &Value) -> String {
    url.as_str().unwrap().split_once("7071").unwrap().1.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn http_start_single_refuses_while_the_instance_goes_on() {
    let host = host().await;
    let start = "/api/orchestrators/Sum/sole";
    let first = host.send("POST", start, "").await;
    assert_eq!(first.status, 202, "{}", first.text());
    assert_eq!(first.headers["retry-after"], "10");
    assert_eq!(first.headers["content-type"], "application/json; charset=utf-8");
    let links = first.json();
    assert_eq!(
        (&links["id"], first.headers["location"].to_str().unwrap()),
        (&json!("sole"), links["statusQueryGetUri"].as_str().unwrap())
    );
    let again = host.send("POST", start, "").await;
    assert_eq!(again.status, 409);
    assert_eq!(again.text(), "An instance with ID 'sole' already exists.");
    assert!(again.headers["content-type"].to_str().unwrap().starts_with("text/plain"));
    // The URLs alone are enough to manage it.
    assert_eq!(host.send("GET", &path_of(&links["statusQueryGetUri"]), "").await.status, 202);
    let terminate = path_of(&links["terminatePostUri"]).replace("{text}", "enough");
    assert_eq!(host.send("POST", &terminate, "").await.status, 202);
    assert_eq!(host.ended("sole").await["runtimeStatus"], "Terminated");
    assert_eq!(host.send("POST", start, "").await.status, 202, "what has ended is replaced");
    let once = host.send("POST", "/api/orchestrators/E1_HelloSequence/sole/once", "").await;
    assert_eq!(once.status, 409, "it exists at all");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_calls_for_one_id_one_starts() {
    let host = Arc::new(host().await);
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let host = Arc::clone(&host);
            tokio::spawn(async move { host.send("POST", "/api/orchestrators/Sum/race", "").await.status.as_u16() })
        })
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }
    assert_eq!(answers.iter().filter(|status| **status == 202).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|status| **status == 409).count(), 199, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_sync_start_answers_with_the_output_or_where_to_ask() {
    let host = host().await;
    let wait = |function: &str, timeout: f64| {
        format!("/api/orchestrators/{function}/wait?timeout={timeout}&retryInterval=0.5")
    };
    let done = host.send("POST", &wait("E1_HelloSequence", 20.0), "").await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(done.json(), json!(["Hello Tokyo!", "Hello Seattle!", "Hello London!"]));
    let late = host.send("POST", &wait("Sum", 0.5), "").await;
    assert_eq!(late.status, 202, "{}", late.text());
    assert_eq!(late.headers["retry-after"], "10");
    let id = late.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(late.headers["location"].to_str().unwrap(), late.json()["statusQueryGetUri"].as_str().unwrap());
    assert_eq!(host.status(&id).await["runtimeStatus"], "Running");
    let nonsense = host.send("POST", "/api/orchestrators/Sum/wait?timeout=1&retryInterval=2", "").await;
    assert_eq!(nonsense.status, 400, "{}", nonsense.text());
    let unknown = host.send("POST", "/api/orchestrators/Nobody/x", "").await;
    assert_eq!(unknown.status, 400, "{}", unknown.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn get_all_status_lists_all_and_not_a_page_of_them() {
    let host = host().await;
    for _ in 0..250 {
        host.start("E1_HelloSequence", Value::Null).await;
    }
    let all = host.send("GET", "/api/GetAllStatus", "").await;
    assert_eq!(all.status, 200, "{}", all.text());
    assert_eq!(all.json().as_array().unwrap().len(), 250);
}

#[tokio::test(flavor = "multi_thread")]
async fn manual_functions_run_by_hand() {
    let host = host().await;
    let call = |name: &str, body: &str| {
        let (path, body) = (format!("/admin/functions/{name}"), body.to_owned());
        let host = &host;
        async move { host.send("POST", &path, body).await }
    };
    host.send("POST", "/api/orchestrators/Sum/by-hand", "").await;
    assert_eq!(call("RaiseEvent", r#"{"input":"by-hand"}"#).await.status, 202);
    assert_eq!(host.ended("by-hand").await["output"], json!(6), "the event brought an array");
    host.send("POST", "/api/orchestrators/Sum/second", "").await;
    assert_eq!(call("TerminateInstance", r#"{"input":"second"}"#).await.status, 202);
    assert_eq!(host.ended("second").await["output"], "It was time to be done.");
    assert_eq!(call("Nothing", "").await.status, 404);
    assert_eq!(call("RaiseEvent", "[").await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_get_the_status_that_fits() {
    let host = host().await;
    let wrong = host.send("GET", "/api/orchestrators/Sum/x", "").await;
    assert_eq!((wrong.status.as_u16(), wrong.headers["allow"].to_str().unwrap()), (405, "POST"));
    assert_eq!(host.send("GET", "/api/nothing/here", "").await.status, 404);
    assert_eq!(host.send("GET", "/hubs/other/api/GetAllStatus", "").await.status, 404);
    assert_eq!(host.send("GET", "/hubs/default/api/GetAllStatus", "").await.status, 200);
    let large = vec![b'1'; (4 << 20) + 1];
    assert_eq!(host.send("POST", "/api/orchestrators/Sum/x", large).await.status, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_key_asks_for_it_as_the_function_says() {
    let open = host().await;
    let host =
        open.behind(ApiSettings { admin_key: Some(KEY.to_owned()), ..ApiSettings::new("http://localhost:7071") });
    assert_eq!(host.send("GET", "/api/GetAllStatus", "").await.status, 200, "anonymous");
    assert_eq!(host.send("POST", "/api/orchestrators/Sum/k", "").await.status, 401);
    assert_eq!(host.send("POST", "/api/orchestrators/Sum/k?code=wrong", "").await.status, 401);
    let key = [("host", "localhost:7071"), ("x-functions-key", KEY)];
    assert_eq!(host.send_with("POST", "/api/orchestrators/Sum/k", &key, "").await.status, 202);
    assert_eq!(host.send("POST", "/admin/functions/RaiseEvent", "").await.status, 401);
}
