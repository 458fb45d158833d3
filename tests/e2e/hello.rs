//! The first thing every user runs.

use durawasm_tests::{Host, guests};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn hello_sequence_gives_the_three_greetings() {
    let host = Host::new().await;
    let deployed = host.deploy("hello-cities", guests::example("hello-cities")).await;
    assert_eq!(deployed["app"], "hello-cities");
    let status = host.run("E1_HelloSequence", Value::Null).await;
    assert_eq!(status["runtimeStatus"], "Completed", "{status}");
    assert_eq!(status["output"], json!(["Hello Tokyo!", "Hello Seattle!", "Hello London!"]));
    assert_eq!(status["name"], "E1_HelloSequence");
    assert_eq!(status["input"], Value::Null);
    assert_eq!(status["customStatus"], Value::Null);
    let events: Vec<_> = status["historyEvents"].as_array().unwrap().iter().map(|event| &event["EventType"]).collect();
    assert_eq!(events, ["ExecutionStarted", "TaskCompleted", "TaskCompleted", "TaskCompleted", "ExecutionCompleted"]);
    let second = &status["historyEvents"][2];
    assert_eq!((&second["FunctionName"], &second["Result"]), (&json!("E1_SayHello"), &json!("Hello Seattle!")));
    assert_eq!(second["Input"], "\"Seattle\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_answers_with_links_that_work() {
    let host = Host::new().await;
    host.deploy("hello-cities", guests::example("hello-cities")).await;
    let answer = host.send("POST", "/runtime/webhooks/durabletask/orchestrators/E1_HelloSequence/my%20id", "").await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.headers["retry-after"], "10");
    let links = answer.json();
    assert_eq!(links["id"], "my id");
    assert_eq!(answer.headers["location"].to_str().unwrap(), links["statusQueryGetUri"]);
    host.ended("my id").await;
    let path = links["statusQueryGetUri"].as_str().unwrap().trim_start_matches("http://localhost:7071").to_owned();
    let status = host.send("GET", &path, "").await;
    assert_eq!((status.status.as_u16(), &status.json()["runtimeStatus"]), (200, &json!("Completed")));
}

#[tokio::test(flavor = "multi_thread")]
async fn fan_out_sums_what_its_activities_return() {
    let host = Host::new().await;
    host.deploy("fan-out", guests::example("fan-out")).await;
    let status = host.run("E2_FanOut", json!(50)).await;
    assert_eq!(status["output"], json!((1..=50).map(|n| n * n).sum::<i32>()), "{status}");
}
