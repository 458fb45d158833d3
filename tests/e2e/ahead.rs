//! Activities that nobody outside can see run ahead of the commit that schedules them; what can be seen never does.

use std::sync::Arc;
use std::time::Duration;

use durawasm_host::engine::{Settings, system_clock};
use durawasm_host::store::SharedStore;
use durawasm_host::store::memory::MemoryStore;
use durawasm_tests::watched::WatchedStore;
use durawasm_tests::{DyingStore, Host, Outside, guests};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::scenario::kinds;

const WEBHOOKS: &str = "/runtime/webhooks/durabletask";

/// Patience enough that only what happens decides where a commit ends, and not how long it takes.
fn settings(run_ahead: Duration) -> Settings {
    Settings { start_patience: Duration::from_secs(30), run_ahead, ..Settings::default() }
}

const FAR: Duration = Duration::from_secs(120);

/// A store with the guests of these tests.
async fn store() -> SharedStore {
    let store: SharedStore = Arc::new(MemoryStore::default());
    let deploying = Host::on(Arc::clone(&store)).await;
    for guest in ["flow", "network"] {
        deploying.deploy(guest, guests::guest(guest)).await;
    }
    deploying.engine.stop();
    store
}

/// A host on it that dies after so many commits.
async fn host(store: &SharedStore, lives: usize, run_ahead: Duration) -> (Host, Arc<DyingStore>) {
    let dying = DyingStore::new(Arc::clone(store), lives);
    (Host::with(dying.clone(), settings(run_ahead), system_clock()).await, dying)
}

async fn fresh(run_ahead: Duration) -> (Host, Arc<DyingStore>) {
    host(&store().await, usize::MAX, run_ahead).await
}

async fn start(host: &Host, function: &str, id: &str, input: Value) -> u16 {
    let path = format!("{WEBHOOKS}/orchestrators/{function}/{id}");
    host.send("POST", &path, input.to_string()).await.status.as_u16()
}

async fn logged(host: &Host, id: &str) -> Vec<String> {
    let logs = host.send("GET", &format!("{WEBHOOKS}/instances/{id}/logs"), "").await.json();
    let lines = logs["lines"].as_array().cloned().unwrap_or_default();
    lines.iter().filter_map(|line| line["message"].as_str().map(str::to_owned)).collect()
}

/// Does the same until it takes so many commits: a guest that is interrupted in the middle, because somebody else has the
/// processor, ends a run ahead.
async fn comes_to(store: &DyingStore, commits: usize, mut once: impl AsyncFnMut(usize)) {
    for round in 0..100 {
        let before = store.commits();
        once(round).await;
        let taken = store.commits() - before;
        assert!(taken >= commits, "only {taken}");
        if taken == commits {
            return;
        }
    }
    panic!("never {commits} commits");
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_that_nobody_can_see_share_a_commit_and_make_the_same_history() {
    let mut histories = Vec::new();
    for (run_ahead, commits) in [(FAR, 1), (Duration::ZERO, 4)] {
        let (host, store) = fresh(run_ahead).await;
        comes_to(&store, commits, async |round| {
            let id = format!("three-{round}");
            assert_eq!(start(&host, "Sequence", &id, Value::Null).await, 202);
            let status = host.ended(&id).await;
            assert_eq!(status["output"], json!(["Tokyo", "Seattle", "London"]));
            histories.push(kinds(&status).into_iter().map(str::to_owned).collect::<Vec<_>>());
        })
        .await;
    }
    assert!(histories.windows(2).all(|two| two[0] == two[1]), "{histories:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_large_goes_into_commits_of_its_own() {
    let (host, store) = fresh(FAR).await;
    let word = "x".repeat(64 << 10);
    let words = json!(vec![format!("echo {word}"); 12]);
    // Eight that were given so much and brought as much are what a commit takes.
    comes_to(&store, 2, async |round| {
        let id = format!("large-{round}");
        assert_eq!(start(&host, "AsksEach", &id, words.clone()).await, 202);
        assert_eq!(host.ended(&id).await["output"], json!(vec![&word; 12]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_first_is_logged_first() {
    let (host, _) = fresh(FAR).await;
    assert_eq!(start(&host, "Logs", "talker", Value::Null).await, 202);
    host.ended("talker").await;
    let lines = logged(&host, "talker").await;
    let place = |text: &str| lines.iter().position(|line| line == text).unwrap_or_else(|| panic!("{text}: {lines:?}"));
    assert!(place("an info line") < place("an activity's line"));
    assert!(place("stderr: an activity's line") < place("a warn line"));
    assert_eq!(lines.len(), 8, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_acknowledged_with_all_that_it_led_to() {
    let (host, store) = fresh(FAR).await;
    comes_to(&store, 2, async |round| {
        let id = format!("waits-{round}");
        assert_eq!(start(&host, "AsksWhenTold", &id, Value::Null).await, 202);
        let words = json!(["echo 1", "echo 2"]).to_string();
        let raised = host.send("POST", &format!("{WEBHOOKS}/instances/{id}/raiseEvent/Ask"), words).await;
        assert_eq!(raised.status, 202);
        assert_eq!(host.ended(&id).await["output"], json!(["1", "2"]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_seen_of_a_start_that_never_became_durable() {
    let outside = Outside::new().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    let seen = [format!("fetch {}", outside.url("/status?code=200")), format!("tcp {address}")];
    let store = store().await;
    for (index, what) in seen.iter().enumerate() {
        let (host, _) = host(&store, 0, FAR).await;
        let id = format!("lost-{index}");
        assert_eq!(start(&host, "AsksEach", &id, json!(["echo 1", what])).await, 503, "{what}");
        host.engine.stop();
    }
    let (host, _) = host(&store, usize::MAX, FAR).await;
    assert_eq!(start(&host, "AsksEach", "kept", json!(["echo 1", &seen[0]])).await, 202);
    let status = host.ended("kept").await;
    assert_eq!(status["output"][1]["status"], 200, "{status}");
    assert_eq!(outside.asked().len(), 1, "one for what is durable");
    let ours = TcpStream::connect(address).await.unwrap();
    let (_, first) = nobody.accept().await.unwrap();
    assert_eq!(first, ours.local_addr().unwrap(), "nobody connected before");
    for id in ["lost-0", "lost-1"] {
        assert_eq!(host.send("GET", &format!("{WEBHOOKS}/instances/{id}"), "").await.status, 404, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_starts_others_only_after_its_own_scheduling_is_durable() {
    let watched = WatchedStore::new(store().await);
    watched.withhold(1);
    let host = Arc::new(Host::with(watched.clone(), settings(FAR), system_clock()).await);
    // Who looks for what an earlier process has left would find the caller as soon as it is durable.
    while host.send("GET", "/readyz", "").await.status != 200 {
        tokio::task::yield_now().await;
    }
    let caller = tokio::spawn({
        let host = Arc::clone(&host);
        async move { start(&host, "AsksEach", "caller", json!(["echo 1", "start other"])).await }
    });
    host.until("caller", "durable", |status| status["runtimeStatus"] == "Running").await;
    // The host does not know that yet, whatever else it gets done.
    assert_eq!(start(&host, "AsksEach", "meanwhile", json!(["start more"])).await, 202);
    host.ended("meanwhile").await;
    let other = format!("{WEBHOOKS}/instances/other");
    assert_eq!(host.send("GET", &other, "").await.status, 404);
    watched.tell();
    assert_eq!(caller.await.unwrap(), 202);
    assert_eq!(host.ended("caller").await["output"], json!(["1", "other"]));
    assert_eq!(host.ended("other").await["output"], "of another");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_recorded_is_done_again_and_what_was_is_not() {
    let outside = Outside::new().await;
    let fetch = format!("fetch {}", outside.url("/status?code=200"));
    let store = store().await;
    let (first, _) = host(&store, 1, FAR).await;
    let steps = json!(["echo 1", fetch, "echo 2", fetch, "echo 3"]);
    assert_eq!(start(&first, "AsksEach", "survivor", steps).await, 202);
    first.until("survivor", "asked", |_| !outside.asked().is_empty()).await;
    first.engine.stop();
    let recorded = first.status("survivor").await;
    let (second, counting) = host(&store, usize::MAX, FAR).await;
    let status = second.ended("survivor").await;
    assert_eq!(kinds(&recorded).iter().filter(|kind| **kind == "TaskCompleted").count(), 1, "{recorded}");
    let echoes = [&status["output"][0], &status["output"][2], &status["output"][4]];
    assert_eq!(echoes, [&json!("1"), &json!("2"), &json!("3")]);
    assert!(outside.asked().len() >= 3, "the first request twice, for its answer was not recorded");
    let ran = logged(&second, "survivor").await;
    assert!(!ran.contains(&"echo 1".to_owned()) && ran.contains(&"echo 2".to_owned()), "{ran:?}");
    assert!(counting.commits() >= 2, "at least one for each answer from outside");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_waits_for_no_activity_that_waits_or_computes_for_long() {
    let (host, _) = fresh(FAR).await;
    for (id, call) in [("asleep", json!(["Sleep", 600_000])), ("busy", json!(["Slow", 600_000]))] {
        let began = std::time::Instant::now();
        assert_eq!(start(&host, "OneActivity", id, call).await, 202);
        assert!(began.elapsed() < FAR);
        let status = host.until(id, "scheduled", |status| kinds(status).contains(&"TaskScheduled")).await;
        assert_eq!(status["runtimeStatus"], "Running");
        let path = format!("{WEBHOOKS}/instances/{id}/terminate?reason=enough");
        assert_eq!(host.send("POST", &path, "").await.status, 202);
        assert_eq!(host.ended(id).await["runtimeStatus"], "Terminated");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_activities_at_once_run_side_by_side() {
    let (host, store) = fresh(FAR).await;
    comes_to(&store, 1, async |round| {
        let id = format!("few-{round}");
        assert_eq!(start(&host, "FanOut", &id, json!(8)).await, 202);
        assert_eq!(host.ended(&id).await["output"], 204);
    })
    .await;
    let before = store.commits();
    assert_eq!(start(&host, "FanOut", "more", json!(9)).await, 202);
    assert_eq!(host.ended("more").await["output"], 285);
    assert!(store.commits() > before + 1, "the start does not wait for them");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_orchestrator_did_not_wait_for_goes_on_after_its_end() {
    for run_ahead in [FAR, Duration::ZERO] {
        let (host, _) = fresh(run_ahead).await;
        let component = guests::guest("network");
        let early = host.send("PUT", "/admin/hubs/default/apps/network?completeEarly=true", component).await;
        assert!(early.status.is_success(), "{}", early.text());
        let outside = Outside::new().await;
        let fetch = format!("fetch {}", outside.url("/status?code=200"));
        assert_eq!(start(&host, "Leaves", "left", json!(fetch)).await, 202);
        assert_eq!(host.ended("left").await["output"], "gone");
        host.until("left", "asked", |_| outside.asked().len() == 1).await;
    }
}
