//! A hub with a storm of work leaves the others their turns. But for one, guests are simulated: they stand still until the
//! test lets them go.

use std::future::{pending, poll_fn};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use axum::body::Bytes;
use durawasm_core::model::{Outcome, Tags};
use durawasm_core::{Command, Timestamp};
use durawasm_host::engine::executor::{
    ActivityRun, AdmitError, Executor, FunctionCall, FunctionEnd, FunctionRun, HostFault, OrchestratorRun, RunEnd,
};
use durawasm_host::engine::http::{HttpEnd, HttpRun};
use durawasm_host::engine::{Engine, OptionChanges, Reuse, Settings, StartRequest, system_clock};
use durawasm_host::store::memory::MemoryStore;
use durawasm_host::store::{AppVersion, BoxFuture, Digest, FunctionKind, HubName};
use durawasm_host::wasm::Limits;
use durawasm_tests::{Host, guests};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::hostile_components::{executor, unhurried};

/// `Fan` calls as many activities as its input says and ends with them; `Stand` never comes to a wait.
struct Paused {
    begun: Arc<Mutex<Vec<String>>>,
    /// One activity ends for each permit.
    going: Arc<Semaphore>,
}

async fn fan(run: OrchestratorRun) -> RunEnd {
    let count: u32 = run.input.as_deref().and_then(|input| input.parse().ok()).unwrap_or(1);
    let mut tasks = Vec::new();
    for _ in 0..count {
        let call = Command::CallActivity {
            name: "A".to_owned(),
            input: None,
            retry: None,
            timeout_ms: None,
            tags: Tags::new(),
        };
        let Ok(task) = run.session.call(call) else { return RunEnd::Faulted };
        tasks.push(task);
    }
    for task in tasks {
        poll_fn(|_| match run.session.when_any(&[task]) {
            Ok(Some(_)) | Err(_) => Poll::Ready(()),
            Ok(None) => Poll::Pending,
        })
        .await;
    }
    RunEnd::Returned(Ok(None))
}

impl Executor for Paused {
    fn orchestrate(&self, run: OrchestratorRun) -> BoxFuture<'static, RunEnd> {
        if run.name == "Stand" {
            self.begun.lock().unwrap().push("stand".to_owned());
            return Box::pin(pending());
        }
        Box::pin(fan(run))
    }

    fn run_activity(&self, run: ActivityRun) -> BoxFuture<'static, Result<Outcome, HostFault>> {
        let (begun, going) = (Arc::clone(&self.begun), Arc::clone(&self.going));
        Box::pin(async move {
            begun.lock().unwrap().push(run.hub.to_string());
            going.acquire().await.unwrap().forget();
            Ok(Ok(None))
        })
    }

    fn run_function(&self, run: FunctionRun, _: FunctionCall) -> BoxFuture<'static, FunctionEnd> {
        Box::pin(async move { Err(HostFault::Broken(format!("no function '{}' here", run.name))) })
    }

    fn call_http(&self, run: HttpRun) -> BoxFuture<'static, HttpEnd> {
        panic!("nobody calls {run:?}")
    }

    fn admit(&self, component: Bytes) -> BoxFuture<'_, Result<AppVersion, AdmitError>> {
        let functions =
            [(FunctionKind::Orchestrator, "Fan"), (FunctionKind::Orchestrator, "Stand"), (FunctionKind::Activity, "A")];
        Box::pin(async move {
            Ok(AppVersion {
                digest: Digest([7; 32]),
                label: None,
                sdk: "none".to_owned(),
                deployed: Timestamp::UNIX_EPOCH,
                size: component.len() as u64,
                functions: functions.map(|(kind, name)| (kind, name.to_owned())).into(),
                imports: Vec::new(),
                triggers: Vec::new(),
            })
        })
    }
}

struct World {
    engine: Engine,
    guests: Arc<Paused>,
}

impl World {
    async fn new(activities: usize) -> Self {
        let guests = Arc::new(Paused { begun: Arc::default(), going: Arc::new(Semaphore::new(0)) });
        let settings = Settings { activities, ..Settings::default() };
        let engine =
            Engine::open(Arc::new(MemoryStore::default()), guests.clone(), settings, system_clock()).await.unwrap();
        for hub in ["storm", "quiet"] {
            let hub = HubName::from(hub);
            engine.create_hub(&hub).await.unwrap();
            engine.deploy(&hub, "app", Bytes::new(), OptionChanges::default()).await.unwrap();
        }
        Self { engine, guests }
    }

    async fn start(&self, hub: &str, function: &str, input: &str) -> String {
        let request = StartRequest {
            hub: hub.into(),
            function: function.to_owned(),
            instance_id: None,
            input: Some(input.into()),
            version: None,
            tags: Tags::new(),
            reuse: Reuse::Never,
            trace_parent: None,
            trace_state: None,
            scheduled_at: None,
        };
        self.engine.start(request).await.unwrap().to_string()
    }

    /// How many of a hub have begun.
    fn begun(&self, hub: &str) -> usize {
        self.guests.begun.lock().unwrap().iter().filter(|begun| *begun == hub).count()
    }

    async fn until(&self, mut holds: impl FnMut(&Self) -> bool) {
        let all = async {
            while !holds(self) {
                tokio::task::yield_now().await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(60), all).await.is_ok(), "{:?}", self.guests.begun);
    }

    async fn waiting(&self, count: usize) {
        loop {
            let mut text = String::new();
            self.engine.write_metrics(&mut text).await;
            if text.contains(&format!("durawasm_runs_waiting{{kind=\"activity\"}} {count}\n")) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_activity_behind_ten_thousand_of_another_hub_finds_a_place() {
    let world = World::new(16).await;
    world.start("storm", "Fan", "10000").await;
    world.waiting(10_000 - 14).await;
    // Who does not wait any more has a place, and is about to begin.
    world.until(|world| world.begun("storm") >= 14).await;
    assert_eq!(world.begun("storm"), 14, "a hub alone leaves an eighth");
    let id = world.start("quiet", "Fan", "1").await;
    world.until(|world| world.begun("quiet") == 1).await;
    assert_eq!(world.begun("storm"), 14, "it did not have to wait for any of them");
    world.guests.going.add_permits(20_000);
    world.engine.wait(&"quiet".into(), &id, Duration::from_secs(60)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_single_place_hubs_take_turns() {
    let world = World::new(1).await;
    world.start("storm", "Fan", "10000").await;
    world.waiting(9_999).await;
    world.start("quiet", "Fan", "1").await;
    world.waiting(10_000).await;
    world.until(|world| world.begun("storm") == 1).await;
    let before = world.begun("storm");
    for ended in 1..=2 {
        world.guests.going.add_permits(1);
        world.until(|world| world.begun("storm") + world.begun("quiet") == before + ended).await;
    }
    assert_eq!(world.begun("quiet"), 1);
    world.guests.going.add_permits(20_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_of_a_hub_go_on_beside_thousands_that_stand_in_mid_episode() {
    let world = World::new(16).await;
    for _ in 0..2_000 {
        world.start("storm", "Stand", "").await;
    }
    world.until(|world| world.begun("stand") >= 448).await;
    assert_eq!(world.begun("stand"), 448, "more would leave nothing to others");
    let id = world.start("quiet", "Fan", "1").await;
    world.guests.going.add_permits(1);
    world.engine.wait(&"quiet".into(), &id, Duration::from_secs(60)).await.unwrap();
    assert_eq!(world.begun("quiet"), 1);
}

/// With threads of their own for who uses most: guests are carried to and fro in mid-run, and nobody comes to harm.
#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_computes_without_end_works_on_threads_of_its_own() {
    let settings = Settings { heavy_threads: Some(2), ..Settings::default() };
    let store = Arc::new(MemoryStore::default());
    let limits = Limits { running_time: Duration::from_secs(1), ..unhurried() };
    let host = Host::running(store, executor(limits), (settings, system_clock())).await;
    host.deploy("hello-cities", guests::example("hello-cities")).await;
    assert!(host.send("PUT", "/admin/hubs/storm", "").await.status.is_success());
    for (app, component) in [
        ("hostile", guests::guest("hostile")),
        ("hello-cities", guests::example("hello-cities")),
        ("fan-out", guests::example("fan-out")),
    ] {
        let answer = host.send("PUT", &format!("/admin/hubs/storm/apps/{app}"), component).await;
        assert!(answer.status.is_success(), "{}", answer.text());
    }
    let begin = async |function: &str, id: String, input: &'static str| {
        let path = format!("/runtime/webhooks/durabletask/orchestrators/{function}/{id}?taskHub=storm");
        host.send("POST", &path, input).await
    };
    for index in 0..6 {
        assert_eq!(begin("LoopForever", format!("loop-{index}"), "").await.status, 202);
        assert_eq!(begin("E1_HelloSequence", format!("hello-{index}"), "").await.status, 202);
        assert_eq!(begin("E2_FanOut", format!("fan-{index}"), "50").await.status, 202);
    }
    for (kind, index) in (0..6).flat_map(|index| ["loop", "hello", "fan"].map(|kind| (kind, index))) {
        let status = host.run("E1_HelloSequence", Value::Null).await;
        assert_eq!(status["runtimeStatus"], "Completed");
        let id = format!("{kind}-{index}");
        host.engine.wait(&"storm".into(), &id, Duration::from_secs(300)).await.unwrap();
        let path = format!("/runtime/webhooks/durabletask/instances/{id}?taskHub=storm");
        let status = host.send("GET", &path, "").await.json();
        let failed = kind == "loop";
        assert_eq!(status["runtimeStatus"], if failed { "Failed" } else { "Completed" }, "{id}: {status}");
        assert!(!failed || status["output"].as_str().is_some_and(|output| output.contains("ran for 1s")), "{status}");
    }
}
