//! Activities: what they tell and are told, whose version they are of, what they hold.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use durawasm_core::model::Outcome;
use durawasm_host::engine::executor::{
    ActivityRun, AdmitError, Executor, FunctionCall, FunctionEnd, FunctionRun, HostFault, OrchestratorRun, RunEnd,
};
use durawasm_host::engine::http::{HttpEnd, HttpRun};
use durawasm_host::engine::{Settings, system_clock};
use durawasm_host::store::memory::MemoryStore;
use durawasm_host::store::{AppVersion, BoxFuture};
use durawasm_tests::host::executor;
use durawasm_tests::{Host, World, guests};
use serde_json::{Value, json};

use crate::scenario::{Act, ROOT, Scenario, end};

#[tokio::test(flavor = "multi_thread")]
async fn the_last_heartbeat_reaches_the_next_attempt_even_after_a_crash() {
    for lives in 0..5 {
        let mut world = World::new("flow", guests::guest("flow"), &[lives]).await;
        world.start("ResumesHalfway", ROOT, &json!(21)).await;
        world.run_out().await;
        let status = world.status(ROOT).await;
        assert_eq!(end(&status), json!(["Completed", {"attempt": 2, "from": 21}]), "died after {lives}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_an_attempt_is_the_same_when_it_runs_again() {
    // The first host dies before the outcome is saved; the second runs the attempt again.
    let mut world = World::new("flow", guests::guest("flow"), &[1]).await;
    world.start("OneActivity", ROOT, &json!(["DescribeCall", null])).await;
    world.settle().await;
    let status = world.status(ROOT).await;
    let runs = world.runs();
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert_eq!(runs[0], runs[1]);
    assert_eq!(status["output"]["idempotencyKey"], runs[0].as_str());

    let mut world = World::new("flow", guests::guest("flow"), &[]).await;
    world.start("Program", ROOT, &json!({"step": {"flaky": {"succeeds": 3, "attempts": 3}}})).await;
    world.run_out().await;
    let mut runs = world.runs();
    runs.sort_unstable();
    runs.dedup();
    assert_eq!(runs.len(), 3, "attempts have keys of their own: {runs:?}");
}

/// The real executor, which tells how activities end.
#[derive(Default)]
struct Telling {
    begun: AtomicUsize,
    ends: Arc<Mutex<Vec<Option<Outcome>>>>,
}

/// Notes an activity's end, or that it was stopped.
struct End {
    ends: Arc<Mutex<Vec<Option<Outcome>>>>,
    outcome: Option<Outcome>,
}

impl End {
    fn note(&mut self, outcome: &Outcome) {
        self.outcome = Some(outcome.clone());
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.ends.lock().unwrap().push(self.outcome.take());
    }
}

impl Executor for Telling {
    fn orchestrate(&self, run: OrchestratorRun) -> BoxFuture<'static, RunEnd> {
        executor().orchestrate(run)
    }

    fn run_activity(&self, run: ActivityRun) -> BoxFuture<'static, Result<Outcome, HostFault>> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let mut end = End { ends: Arc::clone(&self.ends), outcome: None };
        Box::pin(async move {
            let outcome = executor().run_activity(run).await?;
            end.note(&outcome);
            Ok(outcome)
        })
    }

    fn run_function(&self, run: FunctionRun, call: FunctionCall) -> BoxFuture<'static, FunctionEnd> {
        executor().run_function(run, call)
    }

    fn call_http(&self, run: HttpRun) -> BoxFuture<'static, HttpEnd> {
        executor().call_http(run)
    }

    fn admit(&self, component: Bytes) -> BoxFuture<'_, Result<AppVersion, AdmitError>> {
        Box::pin(async move { executor().admit(component).await })
    }
}

impl Telling {
    async fn one_end(&self) -> Option<Outcome> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(end) = self.ends.lock().unwrap().pop() {
                return end;
            }
            assert!(tokio::time::Instant::now() < deadline, "the activity does not end");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Begins an activity, then gives it up after the event `Stop`; with this much grace.
async fn given_up(activity: Value, grace: Duration) -> (Arc<Telling>, Option<Outcome>, Value) {
    let telling = Arc::new(Telling::default());
    let settings = Settings { cancel_grace: grace, ..Settings::default() };
    let host = Host::running(Arc::new(MemoryStore::default()), telling.clone(), (settings, system_clock())).await;
    host.deploy("flow", guests::guest("flow")).await;
    let id = host.start("GivesUp", activity).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while telling.begun.load(Ordering::SeqCst) == 0 {
        assert!(tokio::time::Instant::now() < deadline, "the activity does not begin");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let stop = format!("/runtime/webhooks/durabletask/instances/{id}/raiseEvent/Stop");
    assert_eq!(host.send("POST", &stop, "null").await.status, 202);
    let status = host.ended(&id).await;
    let end = telling.one_end().await;
    (telling, end, status)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_that_was_given_up_is_told_by_its_heartbeat() {
    let activity = json!(["Heartbeats", {"times": 1_000_000, "every_millis": 1}]);
    let (_, end, status) = given_up(activity, Duration::from_secs(3600)).await;
    assert_eq!(status["output"], "given up", "its caller does not wait for it: {status}");
    let Some(Ok(Some(sent))) = end else { panic!("it ended with {end:?}") };
    assert!(sent.parse::<u32>().unwrap() < 1_000_000, "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_that_does_not_listen_is_stopped_after_the_grace() {
    let (telling, end, status) = given_up(json!(["Sleep", 3_600_000]), Duration::from_millis(1)).await;
    assert_eq!(status["output"], "given up");
    assert_eq!(end, None, "it was stopped");
    assert_eq!(telling.begun.load(Ordering::SeqCst), 1);
}

async fn with_options(options: &str, app: &str, component: &Bytes) -> Host {
    let host = Host::new().await;
    put(&host, options, (app, component)).await;
    host
}

async fn put(host: &Host, options: &str, (app, component): (&str, &Bytes)) {
    let answer = host.send("PUT", &format!("/admin/hubs/default/apps/{app}?{options}"), component.clone()).await;
    assert!(answer.status.is_success(), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_can_choose_to_complete_early() {
    let step = json!({"any": [{"echo": 1}, {"child": {"label": "c", "step": {"event": "Go"}}}]});
    let flow = guests::guest("flow");
    let host = with_options("completeEarly=true", "flow", &flow).await;
    let path = "/runtime/webhooks/durabletask/orchestrators/Program/root";
    assert_eq!(host.send("POST", path, json!({"step": step}).to_string()).await.status, 202);
    assert_eq!(end(&host.ended(ROOT).await), json!(["Completed", [0, 1]]));
    host.until("root.c", "running", |status| status["runtimeStatus"] == "Running").await;
    let go = host.send("POST", "/runtime/webhooks/durabletask/instances/root.c/raiseEvent/Go", "2").await;
    assert_eq!(go.status, 202);
    assert_eq!(end(&host.ended("root.c").await), json!(["Completed", 2]));
    // What is not said stays as it is; what is said changes.
    let kept = host.send("PUT", "/admin/hubs/default/apps/flow", flow.clone()).await.json();
    assert_eq!(kept["completeEarly"], true);
    let changed = host.send("PUT", "/admin/hubs/default/apps/flow?completeEarly=false", flow.clone()).await.json();
    assert_eq!(changed["completeEarly"], false);
    let bad = host.send("PUT", "/admin/hubs/default/apps/flow?completeEarly=perhaps", flow).await;
    assert_eq!(bad.status, 400);
}

/// The output of a function that waits for `Go` in version 1 while version 2 is deployed.
async fn over_a_deployment(options: &str, (function, input): (&str, Value), goes: usize) -> Value {
    let host = with_options(options, "nondet", &guests::guest("nondet-v1")).await;
    let id = host.start(function, input).await;
    host.until(&id, "waiting", |status| status["runtimeStatus"] == "Running").await;
    put(&host, "", ("nondet", &guests::guest("nondet-v2"))).await;
    for _ in 0..goes {
        let go = format!("/runtime/webhooks/durabletask/instances/{id}/raiseEvent/Go");
        assert_eq!(host.send("POST", &go, "null").await.status, 202);
    }
    host.ended(&id).await["output"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn activities_and_children_run_on_the_pinned_or_the_current_version() {
    let versions = || ("Versions", json!(0));
    assert_eq!(over_a_deployment("", versions(), 1).await, json!(["A", "A"]));
    assert_eq!(over_a_deployment("activities=pinned", versions(), 1).await, json!(["A", "A"]));
    assert_eq!(over_a_deployment("activities=current", versions(), 1).await, json!(["A", "B"]));
    assert_eq!(over_a_deployment("", ("ChildVersion", Value::Null), 1).await, json!("A"));
    assert_eq!(over_a_deployment("activities=current", ("ChildVersion", Value::Null), 1).await, json!("B"));
}

#[tokio::test(flavor = "multi_thread")]
async fn continue_as_new_moves_to_the_current_version() {
    // Both events come in the first execution: the second is carried over.
    assert_eq!(over_a_deployment("", ("Versions", json!(1)), 2).await, json!(["B", "B"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_activity_holds_the_end_of_its_caller() {
    let step = json!({"any": [{"sleep": 5}, {"flaky": {"succeeds": 2, "attempts": 5}}]});
    let done = Scenario { step: step.clone(), acts: vec![Act::RunOut], shown: vec![ROOT] };
    assert_eq!(end(&done.whenever_it_dies().await[0]), json!(["Completed", [1, 2]]));
    // The attempts of the loser go on until it has ended.
    let step = json!({"any": [{"event": "Go"}, {"flaky": {"succeeds": 2, "attempts": 5}}]});
    let go = || Act::Post("root/raiseEvent/Go", "0", 202);
    let held = Scenario { step: step.clone(), acts: vec![go()], shown: vec![ROOT] }.whenever_it_dies().await;
    assert_eq!(end(&held[0]), json!(["Running", null]));
    let done = Scenario { step, acts: vec![go(), Act::RunOut], shown: vec![ROOT] }.whenever_it_dies().await;
    assert_eq!(end(&done[0]), json!(["Completed", [0, 0]]));
}
