//! What is the host's fault never fails an instance, and what a guest did before it is not decided.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::body::Bytes;
use durawasm_core::model::{Outcome, Tags};
use durawasm_core::{Command, Payload, Timestamp};
use durawasm_host::engine::executor::{
    ActivityRun, AdmitError, Executor, FunctionCall, FunctionEnd, FunctionRun, HostFault, OrchestratorRun, RunEnd,
};
use durawasm_host::engine::http::{HttpEnd, HttpRun};
use durawasm_host::engine::{Engine, OptionChanges, Reuse, Settings, StartRequest, Waited, system_clock};
use durawasm_host::store::memory::MemoryStore;
use durawasm_host::store::{AppVersion, BoxFuture, Digest, FunctionKind, HubName};
use durawasm_tests::DyingStore;
use tokio::sync::Semaphore;

/// An orchestrator that calls `A` and then `B`, on a host that fails whenever it has called something for the first
/// time; `A` panics the host in its first attempt.
struct Failing {
    /// Without a permit nothing goes on after a call.
    go_on: Arc<Semaphore>,
    faults: AtomicU32,
    activities: AtomicU32,
}

fn call(name: &str) -> Command {
    Command::CallActivity { name: name.to_owned(), input: None, retry: None, timeout_ms: None, tags: Tags::new() }
}

async fn guest(run: OrchestratorRun, faults: u32, go_on: Arc<Semaphore>) -> RunEnd {
    for (step, name) in ["A", "B"].into_iter().enumerate() {
        let Ok(task) = run.session.call(call(name)) else { return RunEnd::Faulted };
        drop(go_on.acquire().await);
        if step == 0 && faults == 0 || step == 1 && faults == 1 {
            return RunEnd::Host(HostFault::Broken("no room".to_owned()));
        }
        poll_fn(|_| match run.session.when_any(&[task]) {
            Ok(Some(_)) | Err(_) => Poll::Ready(()),
            Ok(None) => Poll::Pending,
        })
        .await;
        if run.session.result(task).is_err() {
            return RunEnd::Faulted;
        }
    }
    RunEnd::Returned(Ok(Some(Payload::from("\"done\""))))
}

impl Executor for Failing {
    fn orchestrate(&self, run: OrchestratorRun) -> BoxFuture<'static, RunEnd> {
        Box::pin(guest(run, self.faults.fetch_add(1, Ordering::SeqCst), Arc::clone(&self.go_on)))
    }

    fn run_activity(&self, _run: ActivityRun) -> BoxFuture<'static, Result<Outcome, HostFault>> {
        let first = self.activities.fetch_add(1, Ordering::SeqCst) == 0;
        Box::pin(async move {
            assert!(!first, "a fault of the host while it runs an activity");
            Ok(Ok(None))
        })
    }

    fn run_function(&self, run: FunctionRun, _call: FunctionCall) -> BoxFuture<'static, FunctionEnd> {
        Box::pin(async move { Err(HostFault::Broken(format!("no function '{}' here", run.name))) })
    }

    fn call_http(&self, run: HttpRun) -> BoxFuture<'static, HttpEnd> {
        panic!("nobody calls {run:?}")
    }

    fn admit(&self, component: Bytes) -> BoxFuture<'_, Result<AppVersion, AdmitError>> {
        let functions =
            [(FunctionKind::Orchestrator, "F"), (FunctionKind::Activity, "A"), (FunctionKind::Activity, "B")];
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

#[tokio::test(flavor = "multi_thread")]
async fn an_orchestrator_survives_faults_of_the_host_in_mid_episode() {
    survives(1, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn and_when_its_start_was_saved_before_that_episode_ended() {
    survives(0, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_ahead_of_a_fault_of_the_host_does_not_run_again() {
    // A ran ahead of the start's commit, the host failed what came after it, and B with the end of the replay is the second.
    assert_eq!(survives(1, 1).await, 2);
    // The same after a start that was saved by itself.
    assert_eq!(survives(0, 1).await, 3);
}

/// `begins`: how many faults and activities there were before. How many commits it took.
async fn survives(permits: usize, begins: u32) -> usize {
    let go_on = Arc::new(Semaphore::new(permits));
    let executor = Arc::new(Failing { go_on: Arc::clone(&go_on), faults: begins.into(), activities: begins.into() });
    let store = DyingStore::new(Arc::new(MemoryStore::default()), usize::MAX);
    let start_patience = if permits > 0 { Duration::from_secs(30) } else { Duration::ZERO };
    let settings = Settings { start_patience, run_ahead: Duration::from_secs(30), ..Settings::default() };
    let engine = Engine::open(store.clone(), executor.clone(), settings, system_clock()).await.unwrap();
    let hub = HubName::from("default");
    engine.deploy(&hub, "app", Bytes::new(), OptionChanges::default()).await.unwrap();
    let deployed = store.commits();
    let request = StartRequest {
        hub: hub.clone(),
        function: "F".to_owned(),
        instance_id: None,
        input: None,
        version: None,
        tags: Tags::new(),
        reuse: Reuse::Never,
        trace_parent: None,
        trace_state: None,
        scheduled_at: None,
    };
    let id = engine.start(request).await.unwrap();
    go_on.add_permits(1);
    let output = match engine.wait(&hub, &id, Duration::from_secs(60)).await.unwrap() {
        Waited::Completed(output) => output,
        Waited::Ended(view) => view.payloads.output,
        other => panic!("it does not complete: {other:?}"),
    };
    assert_eq!(output.as_deref(), Some("\"done\""));
    assert_eq!(executor.activities.load(Ordering::SeqCst), 3, "A again if the first one panicked, and B once");
    assert_eq!(executor.faults.load(Ordering::SeqCst), 3, "one run more than there were faults");
    store.commits() - deployed
}
