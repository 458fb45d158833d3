//! What the core costs by itself: replaying a history, and one episode of an execution that has one.
//!
//! `cargo bench -p durawasm-core --bench replay`

mod program;

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const LENGTHS: [usize; 3] = [100, 1_000, 10_000];

fn replay(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("replay");
    for events in LENGTHS {
        let history = program::history(events);
        group.throughput(Throughput::Elements(history.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(events), &history, |bencher, history| {
            bencher.iter(|| black_box(program::replay(black_box(history))));
        });
    }
    group.finish();
}

/// Must not depend on how long the history is.
fn episode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("episode");
    for events in LENGTHS {
        let history = program::history(events);
        group.bench_with_input(BenchmarkId::from_parameter(events), &history, |bencher, history| {
            bencher.iter_batched_ref(
                || program::replay(history),
                |(execution, waiting)| {
                    program::episode(execution, *waiting);
                    execution.take_decision()
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, replay, episode);
criterion_main!(benches);
