//! Timer functions: each occurrence runs, late rather than never, and not again once that is durable.

use std::sync::Arc;
use std::time::Duration;

use durawasm_core::Timestamp;
use durawasm_host::engine::Settings;
use durawasm_host::store::memory::MemoryStore;
use durawasm_host::store::{ScheduleState, SharedStore};
use durawasm_tests::{DyingStore, Host, ManualClock, guests};
use serde_json::{Value, json};

use crate::program::Program;
use crate::{apps, javascript};

const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(2);

/// Hosts that follow each other on the same data, with a clock moved by hand. It begins at 2026-01-01T00:00:00Z.
struct Lives {
    store: SharedStore,
    clock: ManualClock,
    host: Host,
}

impl Lives {
    async fn new() -> Self {
        let (store, clock): (SharedStore, _) = (Arc::new(MemoryStore::default()), ManualClock::new());
        let host = Host::with(Arc::clone(&store), Settings::default(), clock.clock()).await;
        Self { store, clock, host }
    }

    async fn with(version: &str) -> Self {
        let lives = Self::new().await;
        lives.deploy(version).await;
        lives
    }

    async fn deploy(&self, version: &str) {
        self.host.deploy("timers", guests::guest(version)).await;
    }

    /// The host is down until this time, then there is another one.
    async fn down_until(&mut self, time: &str) {
        self.host.engine.stop();
        self.clock.set(time.parse().unwrap());
        self.host = Host::with(Arc::clone(&self.store), Settings::default(), self.clock.clock()).await;
        self.settle().await;
    }

    async fn move_to(&self, time: &str) {
        self.clock.set(time.parse().unwrap());
        self.host.engine.clock_moved();
        self.settle().await;
    }

    async fn state(&self, function: &str) -> Option<ScheduleState> {
        let schedules = self.store.schedules().await.unwrap();
        schedules.into_iter().find(|(key, _)| key.function == function).map(|(_, state)| state)
    }

    async fn due(&self, function: &str) -> Option<String> {
        self.state(function).await.map(|state| state.due.to_string())
    }

    /// Waits until all that is due has run and that is durable.
    async fn settle(&self) {
        settled(&self.store, self.clock.now(), || false).await;
    }

    /// What each run of a function was given, in their order.
    async fn runs(&self, function: &str) -> Vec<Value> {
        runs(&self.host, function).await
    }
}

async fn settled(store: &SharedStore, now: Timestamp, dead: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !dead() && store.schedules().await.unwrap().iter().any(|(_, state)| state.due <= now) {
        assert!(tokio::time::Instant::now() < deadline, "what is due does not run");
        tokio::time::sleep(LOOK).await;
    }
}

async fn runs(host: &Host, function: &str) -> Vec<Value> {
    let list = host.send("GET", "/runtime/webhooks/durabletask/instances?name=Ran&top=1000", "").await.json();
    let inputs = list.as_array().unwrap().iter().map(|instance| instance["input"].clone());
    inputs.filter(|input| input["function"] == function).map(|input| input["timer"].clone()).collect()
}

/// Waits for so many runs; for those that no schedule tells of.
async fn until_runs(lives: &Lives, function: &str, count: usize) -> Vec<Value> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let found = lives.runs(function).await;
        if found.len() >= count {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "{function} ran {} times", found.len());
        tokio::time::sleep(LOOK).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_occurrence_runs_once_with_its_status() {
    let lives = Lives::with("timers-v1").await;
    assert_eq!(lives.due("Tick").await.as_deref(), Some("2026-01-01T00:05:00Z"));
    lives.move_to("2026-01-01T00:04:59Z").await;
    assert_eq!(lives.runs("Tick").await, [Value::Null; 0]);
    lives.move_to("2026-01-01T00:05:00Z").await;
    lives.move_to("2026-01-01T00:10:01Z").await;
    let status = |last: Value, next: &str, updated: &str| json!({"scheduleStatus": {"last": last, "next": next, "lastUpdated": updated}, "isPastDue": false});
    assert_eq!(
        lives.runs("Tick").await,
        [
            status(Value::Null, "2026-01-01T00:10:00Z", "2026-01-01T00:00:00Z"),
            status(json!("2026-01-01T00:05:00Z"), "2026-01-01T00:15:00Z", "2026-01-01T00:05:00Z"),
        ]
    );
    // Nobody looked for more than two occurrences: they are one, and it is late.
    lives.move_to("2026-01-01T00:27:00Z").await;
    let all = lives.runs("Tick").await;
    assert_eq!((all.len(), &all[2]["isPastDue"]), (3, &json!(true)));
    assert_eq!(all[2]["scheduleStatus"]["next"], "2026-01-01T00:30:00Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_due_while_the_host_was_down_runs_once() {
    let mut lives = Lives::with("timers-v1").await;
    lives.down_until("2026-01-01T14:02:00Z").await;
    let missed = lives.runs("Tick").await;
    assert_eq!((missed.len(), &missed[0]["isPastDue"]), (1, &json!(true)), "168 occurrences were missed");
    assert_eq!(lives.due("Tick").await.as_deref(), Some("2026-01-01T14:05:00Z"));
    assert_eq!(lives.runs("Gone").await, [Value::Null; 0], "it wants no occurrences that were missed");
    assert_eq!(lives.due("Gone").await.as_deref(), Some("2026-01-02T12:00:00Z"));
    lives.move_to("2026-01-01T14:05:00Z").await;
    assert_eq!(lives.runs("Tick").await[1]["isPastDue"], false);
    // Down for a moment in which nothing was due: nothing runs.
    lives.down_until("2026-01-01T14:06:00Z").await;
    assert_eq!(lives.runs("Tick").await.len(), 2);
    lives.move_to("2026-01-02T12:00:00Z").await;
    assert_eq!(lives.runs("Gone").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_wrong_silences_no_timer() {
    let mut lives = Lives::new().await;
    let right = ManualClock::new();
    lives.clock.set("2031-05-05T05:05:05Z".parse().unwrap());
    lives.deploy("timers-v1").await;
    assert_eq!(lives.due("Tick").await.as_deref(), Some("2031-05-05T05:10:00Z"));
    lives.host.engine.stop();
    lives.clock = right;
    lives.down_until("2026-01-01T00:01:00Z").await;
    assert_eq!(lives.due("Tick").await.as_deref(), Some("2026-01-01T00:05:00Z"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_end_was_lost_is_repeated_and_no_other() {
    // The commits are: the start of what the function starts, its episode, the next occurrence.
    let mut repeated = 0;
    for commits in 0..5 {
        let lives = Lives::with("timers-v1").await;
        lives.host.engine.stop();
        let dying = DyingStore::new(Arc::clone(&lives.store), commits);
        let host = Host::with(dying.clone(), Settings::default(), lives.clock.clock()).await;
        lives.clock.set("2026-01-01T00:05:00Z".parse().unwrap());
        host.engine.clock_moved();
        settled(&lives.store, lives.clock.now(), || dying.is_dead()).await;
        host.engine.stop();
        let durable = lives.state("Tick").await.unwrap().due > lives.clock.now();
        let before = runs(&host, "Tick").await.len();
        let lives = {
            let host = Host::with(Arc::clone(&lives.store), Settings::default(), lives.clock.clock()).await;
            Lives { host, ..lives }
        };
        lives.settle().await;
        let all = lives.runs("Tick").await.len();
        assert_eq!(all, if durable { before } else { before + 1 }, "{commits}: {before} runs, durable: {durable}");
        assert!(all >= 1, "{commits}");
        repeated += all - 1;
        lives.move_to("2026-01-01T00:10:00Z").await;
        assert_eq!(lives.runs("Tick").await.len(), all + 1, "{commits}");
    }
    assert!(repeated > 0, "some host died between a run and its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_changes_and_ends_schedules() {
    let mut lives = Lives::with("timers-v1").await;
    lives.move_to("2026-01-01T00:05:00Z").await;
    lives.deploy("timers-v2").await;
    assert_eq!(lives.due("Tick").await.as_deref(), Some("2026-01-01T01:00:30Z"));
    assert_eq!(lives.state("Gone").await, None);
    let eager = until_runs(&lives, "Eager", 1).await;
    assert_eq!((eager.len(), &eager[0]["isPastDue"]), (1, &json!(false)), "it runs when it is deployed");
    assert_eq!(lives.due("Eager").await.as_deref(), Some("2027-01-01T00:00:00Z"));
    lives.move_to("2026-01-01T00:10:00Z").await;
    assert_eq!(lives.runs("Tick").await.len(), 1, "the old schedule has ended");
    lives.move_to("2026-01-01T01:00:30Z").await;
    let ticks = lives.runs("Tick").await;
    assert_eq!((ticks.len(), &ticks[1]["scheduleStatus"]["last"]), (2, &json!("2026-01-01T00:05:00Z")));
    // The same again changes nothing, and a restart makes the eager one run.
    let before = lives.store.schedules().await.unwrap();
    lives.deploy("timers-v2").await;
    assert_eq!(lives.store.schedules().await.unwrap(), before);
    assert_eq!(lives.runs("Eager").await.len(), 1);
    lives.down_until("2026-01-01T01:01:00Z").await;
    until_runs(&lives, "Eager", 2).await;
    // What a version no longer has is gone, too, when the host ended right after the deployment.
    assert_eq!(lives.store.schedules().await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_fails_has_run() {
    let lives = Lives::with("timers-v1").await;
    lives.move_to("2026-01-01T01:00:00Z").await;
    assert_eq!(lives.runs("Fails").await.len(), 1);
    assert_eq!(lives.due("Fails").await.as_deref(), Some("2026-01-02T01:00:00Z"));
    lives.move_to("2026-01-02T01:00:00Z").await;
    assert_eq!(lives.runs("Fails").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runs_of_one_function_never_overlap() {
    let lives = Lives::with("timers-v1").await;
    lives.clock.set("2026-01-01T03:00:00Z".parse().unwrap());
    lives.host.engine.clock_moved();
    until_runs(&lives, "Slow", 1).await;
    // It runs still, and is due again.
    lives.move_to("2026-01-02T03:00:00Z").await;
    let runs = lives.runs("Slow").await;
    let is_end: Vec<bool> = runs.iter().map(|run| *run == "end").collect();
    assert_eq!(is_end, [false, true, false, true], "{runs:?}");
    assert_eq!(runs[2]["scheduleStatus"]["last"], "2026-01-01T03:00:00Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_hand_they_run_out_of_turn() {
    let lives = Lives::with("timers-v1").await;
    let before = lives.store.schedules().await.unwrap();
    let answer = lives.host.send("POST", "/admin/functions/Tick", r#"{"input": "ignored"}"#).await;
    assert_eq!(answer.status, 202);
    let run = &until_runs(&lives, "Tick", 1).await[0];
    assert_eq!((&run["isPastDue"], &run["scheduleStatus"]["next"]), (&json!(false), &json!("2026-01-01T00:05:00Z")));
    assert_eq!(lives.store.schedules().await.unwrap(), before, "its schedule goes on as it was");
    lives.move_to("2026-01-01T00:05:00Z").await;
    assert_eq!(lives.runs("Tick").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_one_timer_function_of_the_hub() {
    let lives = Lives::with("timers-v1").await;
    let other = lives.host.send("PUT", "/admin/hubs/default/apps/other", guests::guest("timers-v2")).await;
    assert_eq!(other.status, 409, "{}", other.text());
    let text = other.text();
    assert!(text.contains("manual or timer function") && text.contains("'timers'"), "{text}");
    assert_eq!(lives.due("Tick").await.as_deref(), Some("2026-01-01T00:05:00Z"));
    let app = lives.host.send("GET", "/admin/hubs/default/apps/timers", "").await.json();
    let tick = app["functions"].as_array().unwrap().iter().find(|function| function["name"] == "Tick").unwrap();
    assert_eq!((&tick["kind"], &tick["schedule"]), (&json!("timer"), &json!("0 */5 * * * *")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_starts_one_report_a_day() {
    let lives = Lives::new().await;
    lives.host.deploy("timer", guests::example("timer")).await;
    for _ in 0..2 {
        assert_eq!(lives.host.send("POST", "/admin/functions/NightlyReport", "").await.status, 202);
    }
    lives.move_to("2026-01-01T02:30:00Z").await;
    let list = lives.host.send("GET", "/runtime/webhooks/durabletask/instances?instanceIdPrefix=report-", "").await;
    let reports = list.json();
    assert_eq!(reports.as_array().unwrap().len(), 1, "{reports}");
    let id = reports[0]["instanceId"].as_str().unwrap();
    assert_eq!(lives.host.ended(id).await["output"], format!("{id}.pdf"));
}

/// What each run of the program's timer function was given, once there are so many.
async fn runs_of(program: &Program, count: usize) -> Vec<Value> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let path = "/runtime/webhooks/durabletask/instances?name=Ran&top=1000";
        let (code, body) = program.get(path).await.unwrap();
        assert_eq!(code, 200, "{body}");
        let list: Vec<Value> = serde_json::from_str(&body).unwrap();
        if list.len() >= count {
            return list.into_iter().map(|instance| instance["input"].clone()).collect();
        }
        assert!(tokio::time::Instant::now() < deadline, "it ran {} times and not {count}", list.len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn occurrences_outlive_kill_9_of_the_program() {
    let data = tempfile::tempdir().unwrap();
    let program = Program::serve(data.path()).await;
    program.deploy("seconds", guests::guest("seconds")).await;
    // Its first occurrence begins and cannot end: it is as good as lost when the process is.
    let begun = runs_of(&program, 1).await;
    assert_eq!((begun.len(), &begun[0]["scheduleStatus"]["last"]), (1, &Value::Null));
    drop(program);
    let program = Program::serve(data.path()).await;
    let again = runs_of(&program, 2).await;
    assert_eq!((again.len(), &again[1]["scheduleStatus"]["last"]), (2, &Value::Null), "the same one");
    assert_eq!(again[1]["isPastDue"], true);
    assert_eq!(program.start("Gate", "gate", Value::Null).await, 202);
    // From now on they end. The next ones come due while nobody is there.
    runs_of(&program, 4).await;
    let ran = runs_of(&program, 0).await.len();
    drop(program);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let program = Program::serve(data.path()).await;
    let all = runs_of(&program, ran + 2).await;
    let late = all.iter().rposition(|run| run["isPastDue"] == true).unwrap();
    assert!(late >= ran - 1, "what was due meanwhile runs, late: {all:?}");
    // Another one may have begun after they were counted.
    let all = runs_of(&program, late + 2).await;
    let last = |run: &Value| run["scheduleStatus"]["last"].as_str().unwrap_or_default().to_owned();
    // Each knows the one before it: none is left out, and none runs again once its end is durable.
    for pair in all[1..].windows(2) {
        assert!(last(&pair[0]) <= last(&pair[1]), "{all:?}");
    }
    assert!(last(&all[late]) < last(&all[late + 1]), "{all:?}");
}

/// Deploys an app of another language, and lets its function for every night at three run once.
async fn a_night(component: axum::body::Bytes) -> Lives {
    let lives = Lives::new().await;
    lives.host.deploy("other", component).await;
    lives.move_to("2026-01-01T02:59:59Z").await;
    lives
}

async fn in_the_morning(lives: &Lives) {
    lives.move_to("2026-01-01T03:00:00Z").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn timer_functions_in_python_run_when_they_are_due() {
    let Some(decorated) = apps::python("examples/python-patterns") else { return };
    let Some(folders) = apps::python("tests/python/folders") else { return };
    let lives = a_night(decorated).await;
    assert_eq!(lives.due("Py_Nightly").await.as_deref(), Some("2026-01-01T03:00:00Z"));
    let list = "/runtime/webhooks/durabletask/instances";
    assert_eq!(lives.host.send("GET", list, "").await.json(), json!([]), "not before its time");
    in_the_morning(&lives).await;
    let started = lives.host.send("GET", list, "").await.json();
    assert_eq!((started.as_array().unwrap().len(), &started[0]["name"]), (1, &json!("Py_FanOut")), "{started}");
    let sum = lives.host.ended(started[0]["instanceId"].as_str().unwrap()).await;
    assert_eq!(sum["output"], json!(338_350));
    assert_eq!(lives.due("Py_Nightly").await.as_deref(), Some("2026-01-02T03:00:00Z"));

    let mut lives = a_night(folders).await;
    in_the_morning(&lives).await;
    assert_eq!(lives.host.status("nightly").await["input"], json!(false), "it was not late");
    assert_eq!(lives.host.send("DELETE", &format!("{list}/nightly?force=true"), "").await.status, 200);
    lives.down_until("2026-01-02T12:00:00Z").await;
    assert_eq!(lives.due("Nightly").await.as_deref(), Some("2026-01-03T03:00:00Z"));
    let missed = lives.host.send("GET", &format!("{list}/nightly"), "").await;
    assert_eq!(missed.status, 404, "it is not monitored: what was missed is left out");
}

#[tokio::test(flavor = "multi_thread")]
async fn timer_functions_in_javascript_run_when_they_are_due() {
    if javascript::skipped() {
        return;
    }
    let list = "/runtime/webhooks/durabletask/instances";
    let mut lives = a_night(javascript::example("http-start-js").await).await;
    in_the_morning(&lives).await;
    assert_eq!(lives.host.ended("nightly").await["input"], "night");
    assert_eq!(lives.host.send("DELETE", &format!("{list}/nightly"), "").await.status, 200);
    lives.down_until("2026-01-02T12:00:00Z").await;
    assert_eq!(lives.host.ended("nightly").await["input"], "latecomer", "what was missed runs late");

    let lives = a_night(javascript::example("human-interaction-ts").await).await;
    let expired = lives.host.run("TS3_Approval", json!({"what": "a trip", "seconds": 0})).await;
    assert_eq!(expired["output"], "expired");
    in_the_morning(&lives).await;
    assert_eq!(lives.host.send("GET", list, "").await.json(), json!([]), "what has ended is removed");
}
