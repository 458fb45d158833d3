//! A failed instance goes on from before its failure.

use std::sync::Arc;

use durawasm_host::store::sled::{SledOptions, SledStore};
use durawasm_tests::{World, guests};
use serde_json::{Value, json};

use crate::scenario::{Act, ROOT, Scenario, end, event, kinds};

fn rewind() -> Act {
    Act::Post("root/rewind?reason=repaired", "", 202)
}

fn repaired(rewinds: u32) -> Value {
    json!({"repaired": {"rewinds": rewinds}})
}

async fn after(step: Value, acts: Vec<Act>) -> Value {
    Scenario { step, acts, shown: vec![ROOT] }.whenever_it_dies().await.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_runs_again_and_what_had_succeeded_does_not() {
    let step = json!({"seq": [{"echo": 1}, repaired(1), {"echo": 2}, {"event": "Go"}]});
    let failed = after(step.clone(), vec![]).await;
    let output =
        "Orchestrator function 'Program' failed: The activity function 'Repaired' failed: \"broken until rewind 1\"";
    assert_eq!(end(&failed), json!(["Failed", output]));

    let waiting = after(step.clone(), vec![rewind(), Act::Evict]).await;
    assert_eq!(end(&waiting), json!(["Running", null]));
    let done = after(step.clone(), vec![rewind(), Act::Evict, Act::Post("root/raiseEvent/Go", "3", 202)]).await;
    assert_eq!(end(&done), json!(["Completed", [1, {"repaired": 1}, 2, 3]]));
    let expected = [
        "ExecutionStarted",
        "TaskCompleted",
        "GenericEvent",
        "GenericEvent",
        "ExecutionRewound",
        "TaskCompleted",
        "TaskCompleted",
        "EventRaised",
        "ExecutionCompleted",
    ];
    assert_eq!(kinds(&done), expected, "{done}");
    assert_eq!(event(&done, "ExecutionRewound")["Reason"], "repaired");
    assert_eq!(event(&done, "GenericEvent")["Data"], "Rewound: TaskFailed broken until rewind 1");

    let mut world = World::new("flow", guests::guest("flow"), &[]).await;
    world.start("Program", ROOT, &json!({"step": step})).await;
    world.settle().await;
    assert_eq!(world.post("root/rewind", "").await, 202);
    world.settle().await;
    assert_eq!(world.runs().len(), 4, "Echo twice, Repaired twice: {:?}", world.runs());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_policy_begins_anew() {
    let step = json!({"seq": [{"flaky": {"succeeds": 2, "attempts": 2}}, {"repaired": {"rewinds": 1, "attempts": 2}}]});
    let failed = after(step.clone(), vec![Act::RunOut]).await;
    assert_eq!(failed["runtimeStatus"], "Failed");
    let done = after(step, vec![Act::RunOut, rewind(), Act::RunOut]).await;
    assert_eq!(end(&done), json!(["Completed", [2, {"repaired": 1}]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_timer_keeps_its_time() {
    let step = json!({"any": [{"seq": [repaired(1), {"event": "Go"}]}, {"sleep": 10}]});
    let waiting = after(step.clone(), vec![rewind()]).await;
    assert_eq!(waiting["runtimeStatus"], "Running");
    let fired = after(step.clone(), vec![rewind(), Act::Evict, Act::NextTimer]).await;
    assert_eq!(end(&fired), json!(["Completed", [1, "slept"]]));
    assert_eq!(event(&fired, "TimerFired")["FireAt"], "2026-01-01T00:00:10Z");
    let came = after(step, vec![rewind(), Act::Post("root/raiseEvent/Go", "1", 202)]).await;
    assert_eq!(end(&came), json!(["Completed", [0, [{"repaired": 1}, 1]]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_children_are_rewound_on_every_level() {
    let leaf = json!({"child": {"label": "leaf", "step": {"seq": [{"echo": 1}, repaired(1)]}}});
    let step = json!({"child": {"label": "middle", "step": {"seq": [{"echo": 0}, leaf]}}});
    let shown = || vec![ROOT, "root.middle", "root.middle.leaf"];
    let failed = Scenario { step: step.clone(), acts: vec![], shown: shown() }.whenever_it_dies().await;
    assert!(failed.iter().all(|status| status["runtimeStatus"] == "Failed"), "{failed:?}");
    let done = Scenario { step, acts: vec![rewind()], shown: shown() }.whenever_it_dies().await;
    assert_eq!(end(&done[0]), json!(["Completed", [0, [1, {"repaired": 1}]]]));
    assert_eq!(end(&done[1]), json!(["Completed", [0, [1, {"repaired": 1}]]]));
    assert_eq!(end(&done[2]), json!(["Completed", [1, {"repaired": 1}]]));
    assert_eq!(event(&done[2], "ExecutionRewound")["Reason"], "the parent was rewound");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_family_in_sled_is_rewound_by_the_next_host() {
    let leaf = json!({"child": {"label": "leaf", "step": {"seq": [{"echo": 1}, repaired(1)]}}});
    let step = json!({"seq": [{"start": {"label": "started", "step": {"sleep": 5}}}, leaf]});
    let folder = tempfile::tempdir().unwrap();
    for lives in [3, 6, 9, usize::MAX] {
        let folder = folder.path().join(lives.to_string());
        let open = || Arc::new(SledStore::open(&folder, SledOptions::default()).unwrap());
        let mut world = World::on(open(), ("flow", guests::guest("flow")), &[lives]).await;
        world.start("Program", ROOT, &json!({"step": step})).await;
        world.settle().await;
        assert_eq!(world.status(ROOT).await["runtimeStatus"], "Failed");
        assert_eq!(world.post("root/rewind", "").await, 202);
        world.run_out().await;
        assert_eq!(end(&world.status(ROOT).await), json!(["Completed", ["root.started", [1, {"repaired": 1}]]]));
        assert_eq!(end(&world.status("root.started").await), json!(["Completed", "slept"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_child_with_attempts_of_its_own_ids_is_tried_again() {
    let step = json!({"child": {"attempts": 2, "step": repaired(1)}});
    let failed = after(step.clone(), vec![Act::RunOut]).await;
    assert_eq!(failed["runtimeStatus"], "Failed");
    // The rewound call begins with the first attempt again, which is the first child, rewound.
    let done = after(step, vec![Act::RunOut, rewind(), Act::RunOut]).await;
    assert_eq!(end(&done), json!(["Completed", {"repaired": 1}]), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_child_is_started_anew() {
    let step = json!({"child": {"label": "c", "step": {"event": "Go"}}});
    let terminate = || Act::Post("root.c/terminate?reason=no", "", 202);
    let shown = || vec![ROOT, "root.c"];
    let failed = Scenario { step: step.clone(), acts: vec![terminate()], shown: shown() }.whenever_it_dies().await;
    assert_eq!(failed[0]["runtimeStatus"], "Failed");
    let acts = vec![terminate(), rewind()];
    let waiting = Scenario { step: step.clone(), acts, shown: shown() }.whenever_it_dies().await;
    assert_eq!((end(&waiting[0]), end(&waiting[1])), (json!(["Running", null]), json!(["Running", null])));
    let acts = vec![terminate(), rewind(), Act::Evict, Act::Post("root.c/raiseEvent/Go", "1", 202)];
    let done = Scenario { step, acts, shown: shown() }.whenever_it_dies().await;
    assert_eq!(end(&done[0]), json!(["Completed", 1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_rewound_as_often_as_it_fails() {
    let step = json!({"seq": [{"echo": 1}, repaired(1), repaired(3)]});
    let twice = after(step.clone(), vec![rewind(), Act::Evict, rewind()]).await;
    assert_eq!(twice["runtimeStatus"], "Failed");
    let done = after(step, vec![rewind(), rewind(), Act::Evict, rewind()]).await;
    assert_eq!(end(&done), json!(["Completed", [1, {"repaired": 1}, {"repaired": 3}]]));
    assert_eq!(kinds(&done).iter().filter(|kind| **kind == "ExecutionRewound").count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_compensation_is_forgotten_with_the_failure() {
    let step = json!({"undo": [{"seq": [{"echo": "book"}, repaired(1)]}, {"echo": "cancel"}]});
    let failed = after(step.clone(), vec![]).await;
    assert_eq!(failed["runtimeStatus"], "Failed");
    assert_eq!(kinds(&failed).iter().filter(|kind| **kind == "TaskCompleted").count(), 2, "booked and cancelled");
    let done = after(step, vec![rewind(), Act::Evict]).await;
    assert_eq!(end(&done), json!(["Completed", ["book", {"repaired": 1}]]));
    let aside: Vec<_> = done["historyEvents"].as_array().unwrap().iter().filter_map(|e| e["Data"].as_str()).collect();
    assert!(aside.contains(&"Rewound: TaskScheduled Echo"), "{aside:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_its_own_is_tried_again_from_the_last_wait() {
    let step = json!({"seq": [{"echo": 1}, {"fail": "always"}]});
    let failed = after(step, vec![rewind(), Act::Evict]).await;
    assert_eq!(end(&failed), json!(["Failed", "Orchestrator function 'Program' failed: always"]));
    let first = after(json!({"fail": "at once"}), vec![rewind(), rewind()]).await;
    assert_eq!(first["runtimeStatus"], "Failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_the_failed_time_are_still_there() {
    let step = json!({"seq": [repaired(1), {"event": "Go"}, {"event": "Go"}]});
    let go = |n: &'static str| Act::Post("root/raiseEvent/Go", n, 202);
    // The first comes before the activity's failure is known to anybody outside, the second after the rewind.
    let mut world = World::new("flow", guests::guest("flow"), &[]).await;
    let buffered = json!({"seq": [{"event": "First"}, repaired(1), {"event": "Go"}]});
    world.start("Program", ROOT, &json!({"step": buffered})).await;
    assert_eq!(world.post("root/raiseEvent/Go", "\"early\"").await, 202);
    assert_eq!(world.post("root/raiseEvent/First", "1").await, 202);
    world.settle().await;
    assert_eq!(world.status(ROOT).await["runtimeStatus"], "Failed");
    assert_eq!(world.post("root/rewind", "").await, 202);
    world.settle().await;
    assert_eq!(world.status(ROOT).await["output"], json!([1, {"repaired": 1}, "early"]));

    let done = after(step, vec![rewind(), go("1"), Act::Evict, go("2")]).await;
    assert_eq!(end(&done), json!(["Completed", [{"repaired": 1}, 1, 2]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_has_failed_is_rewound() {
    let mut world = World::new("flow", guests::guest("flow"), &[]).await;
    world.start("Program", "waits", &json!({"step": {"event": "Go"}})).await;
    world.start("Program", "done", &json!({"step": {"echo": 1}})).await;
    world.start("Program", "ended", &json!({"step": {"event": "Go"}})).await;
    world.settle().await;
    assert_eq!(world.post("ended/terminate", "").await, 202);
    for id in ["waits", "done", "ended"] {
        let before = world.status(id).await;
        let answer = world.request("POST", &format!("/runtime/webhooks/durabletask/instances/{id}/rewind"), "").await;
        assert_eq!(answer.status, 412, "{id}");
        assert_eq!(answer.json(), json!("Only orchestrations in the \"Failed\" state can be rewound."));
        assert_eq!(world.status(id).await, before, "nothing has changed");
    }
    assert_eq!(world.post("nobody/rewind", "").await, 404);
}
