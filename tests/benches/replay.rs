//! Cold replay of a real component: the guest is instantiated and runs through a recorded history to where it waits.
//! At most 20 ms for 10,000 events.
//!
//! `cargo bench -p durawasm-tests --bench replay`

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use durawasm_core::{EventKind, HistoryEvent, Orchestration};
use durawasm_host::engine::Parts;
use durawasm_host::engine::executor::OrchestratorRun;
use durawasm_host::engine::session::Session;
use durawasm_host::store::InstanceRecord;
use durawasm_tests::host::executor;
use durawasm_tests::{Host, guests};
use serde_json::json;
use tokio::runtime::Runtime;

const LENGTHS: [usize; 3] = [100, 1_000, 10_000];
/// Events that a step leaves: scheduled, episode completed, completed.
const EVENTS_A_STEP: usize = 3;

/// Runs a sequence of activities; gives its record and the history that it had when it waited for the last one.
async fn recorded(host: &Host, events: usize) -> (InstanceRecord, Vec<HistoryEvent>) {
    let items: Vec<usize> = (0..events / EVENTS_A_STEP).collect();
    let id = host.start("Sequence", json!(items)).await;
    assert_eq!(host.ended(&id).await["runtimeStatus"], "Completed");
    let parts = Parts { payloads: false, history: true };
    let view = host.engine.instance(&"default".into(), &id, parts).await.expect("the store works").expect("it ran");
    let mut history = view.history;
    let waited = history.iter().rposition(|event| matches!(event.kind, EventKind::EpisodeCompleted { .. }));
    history.truncate(waited.expect("it waited") + 1);
    (view.record, history)
}

async fn replay(record: &InstanceRecord, history: &[HistoryEvent]) {
    let orchestration = Orchestration::replay(history).expect("the history was recorded");
    let input = orchestration.started().input.clone();
    let session = Arc::new(Session::new(orchestration));
    let run = OrchestratorRun {
        digest: record.digest,
        name: record.name.clone(),
        input,
        session: Arc::clone(&session),
        stops: Arc::default(),
        share: Arc::default(),
    };
    let mut guest = executor().orchestrate(run);
    poll_fn(|context| match guest.as_mut().poll(context) {
        Poll::Ready(end) => panic!("it must wait for its last activity: {end:?}"),
        Poll::Pending if !session.is_replaying() => Poll::Ready(()),
        Poll::Pending => Poll::Pending,
    })
    .await;
}

fn cold_replay(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let host = runtime.block_on(async {
        let host = Host::new().await;
        host.deploy("flow", guests::guest("flow")).await;
        host
    });
    let mut group = criterion.benchmark_group("cold replay");
    for events in LENGTHS {
        let (record, history) = runtime.block_on(recorded(&host, events));
        group.throughput(Throughput::Elements(history.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(events), &history, |bencher, history| {
            bencher.iter(|| runtime.block_on(replay(&record, history)));
        });
    }
    group.finish();
}

criterion_group!(benches, cold_replay);
criterion_main!(benches);
