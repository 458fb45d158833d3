//! A new run of what was started before.

use durawasm_tests::{World, guests};
use serde_json::{Value, json};

use crate::scenario::{Act, ROOT, Scenario, end, kinds};

const INSTANCES: &str = "/runtime/webhooks/durabletask/instances";

async fn world() -> World {
    World::new("flow", guests::guest("flow"), &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn under_its_own_id_it_runs_from_the_start() {
    let step = json!({"seq": [{"echo": 1}, {"event": "Go"}]});
    let go = || Act::Post("root/raiseEvent/Go", "1", 202);
    let restart = || Act::Post("root/restart?restartWithNewInstanceId=false", "", 202);
    let shown = || vec![ROOT];
    let acts = vec![go(), Act::NextTimer, restart()];
    let with_timer = json!({"seq": [{"echo": 1}, {"event": "Go"}, {"sleep": 60}]});
    let waiting = Scenario { step: with_timer, acts, shown: shown() }.whenever_it_dies().await;
    assert_eq!(end(&waiting[0]), json!(["Running", null]));
    assert_eq!(waiting[0]["createdTime"], "2026-01-01T00:01:00Z", "created anew");
    assert_eq!(kinds(&waiting[0]), ["ExecutionStarted", "TaskCompleted"], "with a history of its own");
    let acts = vec![go(), restart(), Act::Evict, go()];
    let done = Scenario { step, acts, shown: shown() }.whenever_it_dies().await;
    assert_eq!(end(&done[0]), json!(["Completed", [1, 1]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_new_id_it_keeps_input_and_tags() {
    let mut world = world().await;
    let path = "/runtime/webhooks/durabletask/orchestrators/Identity/root?tags=team=tea,cup=2";
    assert_eq!(world.request("POST", path, "{\"some\":\"input\"}").await.status, 202);
    world.settle().await;
    let answer = world.request("POST", &format!("{INSTANCES}/root/restart"), "").await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_ne!(id, ROOT);
    world.settle().await;
    let (old, new) = (world.status(ROOT).await, world.status(&id).await);
    assert_eq!(new["input"], json!({"some": "input"}));
    assert_eq!(new["output"]["tags"], json!([["cup", "2"], ["team", "tea"]]));
    assert_eq!(old["runtimeStatus"], "Completed", "the old one stays");
    assert_eq!(old["output"]["instanceId"], ROOT);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_restarted_only_under_another_id() {
    let mut world = world().await;
    world.start("Program", ROOT, &json!({"step": {"event": "Go"}})).await;
    let same = world.request("POST", &format!("{INSTANCES}/root/restart?restartWithNewInstanceId=false"), "").await;
    assert_eq!(same.status, 409);
    let message = "A non-terminal instance with this instance ID already exists.";
    assert_eq!(same.json()["Message"], message);
    assert_eq!(world.post("root/restart?restartWithNewInstanceId=true", "").await, 202);
    assert_eq!(world.status(ROOT).await["runtimeStatus"], "Running");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_cannot_be_restarted() {
    let answer = world().await.request("POST", &format!("{INSTANCES}/nobody/restart"), "").await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["Message"], "InstanceId does not match a valid orchestration instance.");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_or_was_terminated_starts_again_and_can_be_waited_for() {
    let mut world = world().await;
    world.start("Program", ROOT, &json!({"step": {"fail": "no"}})).await;
    world.settle().await;
    let wait = "restartWithNewInstanceId=false&timeout=30&pollingInterval=1";
    let answer = world.request("POST", &format!("{INSTANCES}/root/restart?{wait}"), "").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["runtimeStatus"]), (200, &json!("Failed")));
    world.start("Program", "ended", &json!({"step": {"event": "Go"}})).await;
    assert_eq!(world.post("ended/terminate", "").await, 202);
    assert_eq!(world.post("ended/restart?restartWithNewInstanceId=false", "").await, 202);
    world.settle().await;
    assert_eq!(end(&world.status("ended").await), json!(["Running", Value::Null]));
}
