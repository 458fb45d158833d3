//! What a start can be told: when, with which tags, and what to do about an id that is taken.

use std::sync::Arc;

use durawasm_tests::{Host, World, guests};
use serde_json::{Value, json};

use crate::scenario::{ROOT, end, event};

const STARTS: &str = "/runtime/webhooks/durabletask/orchestrators";

fn program(step: &Value) -> String {
    json!({"step": step}).to_string()
}

/// A start for the next day, with these lives.
async fn tomorrow(step: &Value, lives: &[usize]) -> World {
    let mut world = World::new("flow", guests::guest("flow"), lives).await;
    let path = format!("{STARTS}/Program/root?scheduledStartTime=2026-01-02T00:00:00Z");
    let answer = world.request("POST", &path, &program(step)).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    world.settle().await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_start_is_pending_until_its_time_comes() {
    let step = json!({"seq": [{"echo": 1}, {"event": "Go"}]});
    for lives in 0..5 {
        let mut world = tomorrow(&step, &[lives]).await;
        let pending = world.status(ROOT).await;
        assert_eq!(end(&pending), json!(["Pending", null]));
        assert!(pending.get("historyEvents").is_none(), "{pending}");
        assert_eq!(world.runs().len(), 0);
        world.move_to("2026-01-01T23:59:59Z".parse().unwrap()).await;
        assert_eq!(world.status(ROOT).await["runtimeStatus"], "Pending", "still waiting");
        assert_eq!(world.post("root/raiseEvent/Go", "\"early\"").await, 202);
        world.move_to("2026-01-02T00:00:00Z".parse().unwrap()).await;
        let done = world.status(ROOT).await;
        assert_eq!(end(&done), json!(["Completed", [1, "early"]]), "died after {lives}: {done}");
        assert_eq!(done["createdTime"], "2026-01-01T00:00:00Z");
        let started = event(&done, "ExecutionStarted");
        assert_eq!(started["ScheduledStartTime"], "2026-01-02T00:00:00Z", "{started}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_start_can_be_held_and_ended_before_its_time() {
    let mut world = tomorrow(&json!({"echo": 1}), &[]).await;
    assert_eq!(world.post("root/terminate?reason=never", "").await, 202);
    world.settle().await;
    assert_eq!(end(&world.status(ROOT).await), json!(["Terminated", "never"]));
    assert!(!world.next_moment().await, "no timer is left");

    let mut world = tomorrow(&json!({"echo": 1}), &[]).await;
    assert_eq!(world.post("root/suspend", "").await, 202);
    world.run_out().await;
    assert_eq!(world.status(ROOT).await["runtimeStatus"], "Suspended");
    assert_eq!(world.post("root/resume", "").await, 202);
    world.settle().await;
    assert_eq!(end(&world.status(ROOT).await), json!(["Completed", 1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_has_passed_starts_at_once_and_one_that_is_none_is_refused() {
    let mut world = World::new("flow", guests::guest("flow"), &[]).await;
    let past = format!("{STARTS}/Program/root?scheduledStartTime=2025-12-31T00:00:00Z");
    assert_eq!(world.request("POST", &past, &program(&json!({"echo": 1}))).await.status, 202);
    world.settle().await;
    assert_eq!(end(&world.status(ROOT).await), json!(["Completed", 1]));
    let none = format!("{STARTS}/Program/other?scheduledStartTime=tomorrow");
    assert_eq!(world.request("POST", &none, &program(&json!({"echo": 1}))).await.status, 400);
    assert_eq!(world.host.send("GET", "/runtime/webhooks/durabletask/instances/other", "").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_reach_the_code_and_the_history() {
    let mut world = World::new("flow", guests::guest("flow"), &[]).await;
    let path = format!("{STARTS}/Identity/root?tags=team=tea&tags=cup=2&version=7");
    assert_eq!(world.request("POST", &path, "").await.status, 202);
    world.settle().await;
    let status = world.status(ROOT).await;
    assert_eq!(status["output"]["tags"], json!([["cup", "2"], ["team", "tea"]]));
    assert_eq!((&status["output"]["version"], &status["version"]), (&json!("7"), &json!("7")));
    assert_eq!(event(&status, "ExecutionStarted")["Tags"], json!({"cup": "2", "team": "tea"}));
    let bad = format!("{STARTS}/Identity/other?tags==nameless");
    assert_eq!(world.request("POST", &bad, "").await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_id_is_refused_or_replaced_as_the_start_says() {
    let mut world = World::new("flow", guests::guest("flow"), &[]).await;
    let start = |reuse: &str| format!("{STARTS}/Program/root?reuse={reuse}");
    let (waits, ends) = (program(&json!({"event": "Go"})), program(&json!({"echo": 1})));
    assert_eq!(world.request("POST", &start("never"), &waits).await.status, 202, "nobody has the id");
    for reuse in ["never", "terminal"] {
        let refused = world.request("POST", &start(reuse), &ends).await;
        assert_eq!(refused.status, 409);
        let message = "An orchestration with instance ID 'root' and status 'Running' already exists";
        assert_eq!(refused.json()["Message"], message);
    }
    assert_eq!(world.request("POST", &start("any"), &ends).await.status, 202);
    world.settle().await;
    assert_eq!(end(&world.status(ROOT).await), json!(["Completed", 1]));
    assert_eq!(world.request("POST", &start("never"), &waits).await.status, 409);
    assert_eq!(end(&world.status(ROOT).await), json!(["Completed", 1]), "untouched");
    assert_eq!(world.request("POST", &start("terminal"), &waits).await.status, 202);
    world.settle().await;
    assert_eq!(end(&world.status(ROOT).await), json!(["Running", null]));
    assert_eq!(world.request("POST", &start("sometimes"), &waits).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacing_start_survives_a_crash_after_every_commit() {
    for lives in 0..6 {
        let mut world = World::new("flow", guests::guest("flow"), &[lives]).await;
        world.start("Program", ROOT, &json!({"step": {"seq": [{"echo": 0}, {"event": "Go"}]}})).await;
        world.settle().await;
        let path = format!("{STARTS}/Program/root?reuse=any");
        assert_eq!(world.request("POST", &path, &program(&json!({"echo": lives}))).await.status, 202);
        world.settle().await;
        assert_eq!(end(&world.status(ROOT).await), json!(["Completed", lives]), "died after {lives}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_starts_at_once_the_last_one_runs() {
    let host = Arc::new(Host::new().await);
    host.deploy("flow", guests::guest("flow")).await;
    let starts: Vec<_> = (0..20)
        .map(|n| {
            let host = Arc::clone(&host);
            let body = program(&json!({"seq": [{"status": n}, {"event": "Go"}]}));
            tokio::spawn(async move { host.send("POST", &format!("{STARTS}/Program/root?reuse=any"), body).await })
        })
        .collect();
    let mut started = 0;
    for start in starts {
        let answer = start.await.unwrap();
        assert!([202, 409].contains(&answer.status.as_u16()), "{}", answer.text());
        started += i32::from(answer.status == 202);
    }
    assert!(started > 0);
    let status = host.until(ROOT, "running", |status| status["runtimeStatus"] == "Running").await;
    let go = host.send("POST", "/runtime/webhooks/durabletask/instances/root/raiseEvent/Go", "1").await;
    assert_eq!(go.status, 202);
    let status_at_end = host.ended(ROOT).await;
    assert_eq!(status_at_end["output"], json!([null, 1]), "one whole instance: {status}");
    assert_eq!(status_at_end["historyEvents"].as_array().unwrap().len(), 3, "{status_at_end}");
}
