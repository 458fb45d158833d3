//! Instances that start, await, tell and end each other.

use durawasm_tests::{Host, World, guests};
use serde_json::{Value, json};

use crate::scenario::{Act, ROOT, Scenario, end, event, kinds};

fn child(label: &str, step: Value) -> Value {
    json!({"child": {"label": label, "step": step}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_waits_for_its_child_and_gets_its_result() {
    let step = child("c", json!({"seq": [{"echo": 1}, {"event": "Go"}]}));
    let waiting = Scenario { step: step.clone(), acts: vec![Act::Evict], shown: vec![ROOT, "root.c"] };
    let waiting = waiting.whenever_it_dies().await;
    assert_eq!(waiting[0]["runtimeStatus"], "Running");
    assert_eq!(waiting[1]["runtimeStatus"], "Running");
    assert_eq!(waiting[1]["parentInstanceId"], ROOT);
    assert_eq!(kinds(&waiting[0]), ["ExecutionStarted", "SubOrchestrationInstanceCreated"]);

    let acts = vec![Act::Evict, Act::Post("root.c/raiseEvent/Go", "\"went\"", 202)];
    let done = Scenario { step, acts, shown: vec![ROOT, "root.c"] }.whenever_it_dies().await;
    assert_eq!(end(&done[0]), json!(["Completed", [1, "went"]]));
    assert_eq!(end(&done[1]), json!(["Completed", [1, "went"]]));
    let completed = event(&done[0], "SubOrchestrationInstanceCompleted");
    assert_eq!(completed["InstanceId"], "root.c");
    assert_eq!(completed["Result"], json!([1, "went"]));
    assert_eq!(completed["FunctionName"], "Program");
    assert_eq!(kinds(&done[0]), ["ExecutionStarted", "SubOrchestrationInstanceCompleted", "ExecutionCompleted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_child_holds_its_parent_and_a_suspended_parent_takes_the_result_later() {
    let step = child("c", json!({"event": "Go"}));
    let acts = vec![
        Act::Post("root.c/suspend?reason=wait", "", 202),
        Act::Post("root.c/raiseEvent/Go", "1", 202),
        Act::Post("root/suspend", "", 202),
        Act::Post("root.c/resume", "", 202),
    ];
    let held = Scenario { step: step.clone(), acts, shown: vec![ROOT, "root.c"] }.whenever_it_dies().await;
    assert_eq!(held[0]["runtimeStatus"], "Suspended");
    assert_eq!(end(&held[1]), json!(["Completed", 1]));

    let acts = vec![
        Act::Post("root/suspend", "", 202),
        Act::Post("root.c/raiseEvent/Go", "1", 202),
        Act::Evict,
        Act::Post("root/resume", "", 202),
    ];
    let done = Scenario { step, acts, shown: vec![ROOT] }.whenever_it_dies().await;
    assert_eq!(end(&done[0]), json!(["Completed", 1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_failure_of_a_child_reaches_its_parent() {
    let step = json!({"catch": child("c", json!({"seq": [{"echo": 1}, {"fail": "out of tea"}]}))});
    let done = Scenario { step, acts: vec![], shown: vec![ROOT, "root.c"] }.whenever_it_dies().await;
    assert_eq!(end(&done[0]), json!(["Completed", {"caught": "out of tea"}]));
    assert_eq!(done[1]["runtimeStatus"], "Failed");
    let failed = event(&done[0], "SubOrchestrationInstanceFailed");
    assert_eq!(failed["FailureDetails"]["ErrorType"], "Deliberate");
    assert_eq!((&failed["Reason"], &failed["InstanceId"]), (&json!("out of tea"), &json!("root.c")));

    let step = child("c", json!({"fail": "out of tea"}));
    let failed = Scenario { step, acts: vec![], shown: vec![ROOT] }.undisturbed().await;
    let output = "Orchestrator function 'Program' failed: The orchestrator function 'Program' failed: \"out of tea\"";
    assert_eq!(end(&failed[0]), json!(["Failed", output]));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_of_a_child_without_a_chosen_id_is_an_instance_of_its_own() {
    let step = json!({"catch": {"child": {"attempts": 3, "step": {"fail": "again"}}}});
    let scenario = |acts| Scenario { step: step.clone(), acts, shown: vec![ROOT] };
    let waiting = scenario(vec![]).whenever_it_dies().await;
    assert_eq!(kinds(&waiting[0]), ["ExecutionStarted", "SubOrchestrationInstanceFailed", "TimerCreated"]);
    let done = scenario(vec![Act::NextTimer, Act::Evict, Act::NextTimer]).whenever_it_dies().await;
    assert_eq!(end(&done[0]), json!(["Completed", {"caught": "again"}]));

    let mut world = World::new("flow", guests::guest("flow"), &[]).await;
    world.start("Program", ROOT, &json!({"step": step})).await;
    world.run_out().await;
    let status = world.status(ROOT).await;
    let attempts: Vec<_> = status["historyEvents"].as_array().unwrap().iter().collect();
    let ids: Vec<_> = attempts.iter().filter_map(|event| event["InstanceId"].as_str()).map(str::to_owned).collect();
    assert_eq!(ids.len(), 3, "{status}");
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
    for id in ids {
        assert_eq!(world.status(&id).await["runtimeStatus"], "Failed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_with_a_chosen_id_replace_each_other() {
    let failing = json!({"child": {"label": "c", "attempts": 2, "step": {"seq": [{"event": "Go"}, {"fail": "no"}]}}});
    let acts =
        vec![Act::Post("root.c/raiseEvent/Go", "1", 202), Act::NextTimer, Act::Post("root.c/raiseEvent/Go", "1", 202)];
    let done = Scenario { step: json!({"catch": failing}), acts, shown: vec![ROOT, "root.c"] };
    let done = done.whenever_it_dies().await;
    assert_eq!(end(&done[0]), json!(["Completed", {"caught": "no"}]));
    assert_eq!(done[1]["createdTime"], "2026-01-01T00:00:01Z", "it is the second one: {}", done[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_child_has_failed_its_parents_call() {
    let step = json!({"catch": child("c", json!({"event": "Never"}))});
    let acts = vec![Act::Post("root.c/terminate?reason=enough", "", 202)];
    let done = Scenario { step, acts, shown: vec![ROOT, "root.c"] }.whenever_it_dies().await;
    let caught = "the sub-orchestration 'root.c' was terminated: enough";
    assert_eq!(end(&done[0]), json!(["Completed", {"caught": caught}]));
    assert_eq!(end(&done[1]), json!(["Terminated", "enough"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_awaited_child_keeps_its_parent_running_and_a_started_one_does_not() {
    let open = child("c", json!({"event": "Go"}));
    let step = json!({"any": [{"echo": 1}, open]});
    let held = Scenario { step: step.clone(), acts: vec![], shown: vec![ROOT] }.whenever_it_dies().await;
    assert_eq!(end(&held[0]), json!(["Running", null]), "it has returned, but its child is open");
    let acts = vec![Act::Post("root.c/raiseEvent/Go", "2", 202)];
    let done = Scenario { step, acts, shown: vec![ROOT, "root.c"] }.whenever_it_dies().await;
    assert_eq!(end(&done[0]), json!(["Completed", [0, 1]]));
    assert_eq!(end(&done[1]), json!(["Completed", 2]));

    let step = json!({"start": {"label": "c", "step": {"event": "Go"}}});
    let acts = vec![];
    let done = Scenario { step: step.clone(), acts, shown: vec![ROOT, "root.c"] }.whenever_it_dies().await;
    assert_eq!(end(&done[0]), json!(["Completed", "root.c"]));
    assert_eq!(done[1]["runtimeStatus"], "Running");
    assert_eq!(done[1]["parentInstanceId"], ROOT);
    assert_eq!(event(&done[0], "SubOrchestrationInstanceCreated")["InstanceId"], "root.c");
    let acts = vec![Act::Post("root.c/raiseEvent/Go", "2", 202)];
    let done = Scenario { step, acts, shown: vec!["root.c"] }.whenever_it_dies().await;
    assert_eq!(end(&done[0]), json!(["Completed", 2]));
}

fn three_levels() -> Value {
    let leaf = child("leaf", json!({"event": "Never"}));
    let started = json!({"start": {"label": "started", "step": {"event": "Never"}}});
    child("middle", json!({"seq": [started, leaf]}))
}

const THREE_LEVELS: [&str; 4] = [ROOT, "root.middle", "root.middle.leaf", "root.middle.started"];

#[tokio::test(flavor = "multi_thread")]
async fn terminate_ends_all_levels_only_when_it_is_told_to() {
    let acts = vec![Act::Post("root/terminate?reason=stop&recursive=true", "", 202)];
    let ended = Scenario { step: three_levels(), acts, shown: THREE_LEVELS.into() }.whenever_it_dies().await;
    for status in &ended {
        assert_eq!(end(status), json!(["Terminated", "stop"]), "{status}");
    }
    let acts = vec![Act::Post("root/terminate?reason=stop", "", 202)];
    let ended = Scenario { step: three_levels(), acts, shown: THREE_LEVELS.into() }.whenever_it_dies().await;
    assert_eq!(end(&ended[0]), json!(["Terminated", "stop"]));
    for status in &ended[1..] {
        assert_eq!(status["runtimeStatus"], "Running", "{status}");
    }
    let acts = vec![
        Act::Post("root/terminate?reason=stop", "", 202),
        Act::Post("root.middle.leaf/raiseEvent/Never", "1", 202),
    ];
    let ended = Scenario { step: three_levels(), acts, shown: THREE_LEVELS.into() }.whenever_it_dies().await;
    assert_eq!(ended[1]["runtimeStatus"], "Completed", "it ends although its parent is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_cannot_be_fails_the_call_and_not_the_host() {
    let unknown = json!({"catch": {"child": {"label": "c", "function": "Nobody"}}});
    let done = Scenario { step: unknown, acts: vec![], shown: vec![ROOT] }.whenever_it_dies().await;
    let caught = done[0]["output"]["caught"].as_str().unwrap();
    assert!(caught.starts_with("the orchestrator function 'Nobody' doesn't exist in hub 'default'"), "{caught}");
    assert_eq!(event(&done[0], "SubOrchestrationInstanceFailed")["FailureDetails"]["ErrorType"], "FunctionNotFound");

    let taken = json!({"all": [{"start": {"id": "taken", "step": {"event": "Never"}}}, {"sleep": 1}, {"catch":
        {"child": {"id": "taken", "step": {"echo": 1}}}}]});
    let sequence = json!({"seq": taken["all"]});
    let done = Scenario { step: sequence, acts: vec![Act::RunOut], shown: vec![ROOT, "taken"] };
    let done = done.whenever_it_dies().await;
    let caught = "an orchestration with instance ID 'taken' and status 'Running' already exists";
    assert_eq!(done[0]["output"][2], json!({"caught": caught}));
    assert_eq!(done[1]["runtimeStatus"], "Running", "the one that has the id is left alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn nesting_without_end_fails_the_top_with_the_reason() {
    let host = Host::new().await;
    host.deploy("flow", guests::guest("flow")).await;
    let status = host.run("Deeper", json!(0)).await;
    assert_eq!(status["runtimeStatus"], "Failed");
    let output = status["output"].as_str().unwrap();
    assert!(output.contains("too many levels of sub-orchestrations"), "{output}");
    assert!(output.contains("64"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_continues_as_new_keeps_its_parent_waiting() {
    let rounds = json!({"child": {"label": "c", "rounds": 2, "step": {"seq": [{"echo": 1}, {"event": "Next"}]}}});
    let raise = || Act::Post("root.c/raiseEvent/Next", "1", 202);
    let scenario = |acts| Scenario { step: rounds.clone(), acts, shown: vec![ROOT, "root.c"] };
    let waiting = scenario(vec![raise(), Act::Evict, raise()]).whenever_it_dies().await;
    assert_eq!(waiting[0]["runtimeStatus"], "Running");
    assert_eq!(waiting[1]["input"]["round"], 2);
    let done = scenario(vec![raise(), raise(), Act::Evict, raise()]).whenever_it_dies().await;
    assert_eq!(end(&done[0]), json!(["Completed", [1, 1]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn derived_ids_of_children_are_the_same_in_every_replay() {
    let step = json!({"seq": [{"start": {"step": {"event": "Never"}}}, {"event": "Go"},
        {"child": {"step": {"echo": 2}}}, {"event": "Go"}, {"start": {"step": {"event": "Never"}}}]});
    let mut world = World::new("flow", guests::guest("flow"), &[]).await;
    world.start("Program", ROOT, &json!({"step": step})).await;
    for _ in 0..2 {
        world.settle().await;
        world.host.engine.evict_all();
        assert_eq!(world.post("root/raiseEvent/Go", "1").await, 202);
    }
    world.settle().await;
    let status = world.status(ROOT).await;
    assert_eq!(status["runtimeStatus"], "Completed", "another id would be non-determinism: {status}");
    let started = [&status["output"][0], &status["output"][4]].map(|id| id.as_str().unwrap().to_owned());
    assert_ne!(started[0], started[1]);
    for id in started {
        assert_eq!(id.len(), 32, "{id}");
        assert_eq!(world.status(&id).await["runtimeStatus"], "Running");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_to_others_to_oneself_and_to_nobody() {
    let to_parent = json!({"send": {"to": "{parent}", "name": "Done", "data": {"by": "child"}}});
    let step = json!({"seq": [{"start": {"label": "c", "step": to_parent}}, {"event": "done"}]});
    let done = Scenario { step, acts: vec![], shown: vec![ROOT, "root.c"] }.whenever_it_dies().await;
    assert_eq!(end(&done[0]), json!(["Completed", ["root.c", {"by": "child"}]]));
    let sent = event(&done[1], "EventSent");
    assert_eq!(sent["InstanceId"], ROOT);
    assert_eq!((&sent["Name"], &sent["Input"]), (&json!("Done"), &json!("{\"by\":\"child\"}")));

    let to_self = json!({"seq": [{"send": {"to": "{self}", "name": "Echo", "data": 7}}, {"event": "Echo"}]});
    let done = Scenario { step: to_self, acts: vec![], shown: vec![ROOT] }.whenever_it_dies().await;
    assert_eq!(end(&done[0]), json!(["Completed", ["sent", 7]]));

    let to_nobody = json!({"send": {"to": "nobody", "name": "Lost", "data": 7}});
    let done = Scenario { step: to_nobody, acts: vec![], shown: vec![ROOT] }.whenever_it_dies().await;
    assert_eq!(end(&done[0]), json!(["Completed", "sent"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_between_two_instances_keep_their_order() {
    let sends: Vec<_> = (0..20).map(|n| json!({"send": {"to": "{parent}", "name": "Item", "data": n}})).collect();
    let waits: Vec<_> = (0..20).map(|_| json!({"event": "Item"})).collect();
    let step = json!({"seq": [{"start": {"label": "c", "step": {"seq": sends}}}, {"seq": waits}]});
    let done = Scenario { step, acts: vec![], shown: vec![ROOT] }.whenever_it_dies().await;
    assert_eq!(done[0]["output"][1], (0..20).collect::<Value>());
}
