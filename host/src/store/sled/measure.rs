//! What lists, counts and purges cost among 200,000 instances. Prints; run it alone, by hand:
//! `cargo test -p durawasm-host --lib store::sled::measure -- --ignored --nocapture`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use durawasm_core::Status;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::{SledOptions, SledStore};
use crate::store::conformance::{at, completed, hub, next, payload, start};
use crate::store::{Commit, Filter, InstanceRecord, ListQuery, PayloadParts, Store};

const INSTANCES: usize = 200_000;
const AT_ONCE: usize = 256;

/// Two commits with payloads; of a thousand instances one fails, one waits, and one is of a rare orchestrator.
async fn run(store: Arc<SledStore>, index: usize) {
    let id = format!("{:032x}", index * 7919);
    let status = match index % 1000 {
        10 => Status::Failed,
        20 => Status::Running,
        _ => Status::Completed,
    };
    let name = if index % 1000 == 30 { "rare" } else { "orchestrator" };
    let fill = |commit: Commit| {
        let created = at(i64::try_from(index).unwrap());
        let record = InstanceRecord { name: name.into(), created, parent_instance_id: None, ..commit.record };
        Commit { record, events: vec![completed(1, 150), completed(2, 150)], ..commit }
    };
    let mut commit = fill(start(&id));
    commit.payloads.input = Some(Some(payload(100)));
    let done = store.commit(commit).await.unwrap();
    let mut commit = fill(next(&id, done));
    (commit.record.status, commit.record.ready) = (status, false);
    commit.payloads.output = Some(Some(payload(100)));
    store.commit(commit).await.unwrap();
}

async fn measure<T, F: Future<Output = T>>(what: &str, mut ask: impl FnMut(usize) -> F) {
    let mut times = Vec::new();
    for round in 0..300 {
        let began = Instant::now();
        ask(round).await;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    println!("{what:48} p50 {:9.1?}  p99 {:9.1?}", times[150], times[297]);
}

async fn purge_all(store: &Arc<SledStore>, how_many: usize) -> Duration {
    let began = Instant::now();
    let (mut left, mut after) = (how_many, None);
    let filter = Filter { statuses: vec![Status::Completed, Status::Failed], ..Filter::default() };
    while left > 0 {
        let page = store.list(&hub(), ListQuery { filter: filter.clone(), after, limit: left.min(500) }).await.unwrap();
        left -= page.records.len();
        after = page.next;
        let mut under_way = JoinSet::new();
        for record in page.records {
            if under_way.len() >= 64 {
                under_way.join_next().await.unwrap().unwrap();
            }
            let store = store.clone();
            under_way.spawn(async move { store.purge(record.number, record.revision).await.unwrap() });
        }
        under_way.join_all().await;
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement that takes a minute"]
async fn among_many() {
    let directory = TempDir::new().unwrap();
    let store = Arc::new(SledStore::open(directory.path(), SledOptions::default()).unwrap());
    let began = Instant::now();
    let mut under_way = JoinSet::new();
    for index in 0..INSTANCES {
        if under_way.len() >= AT_ONCE {
            under_way.join_next().await.unwrap().unwrap();
        }
        under_way.spawn(run(store.clone(), index));
    }
    under_way.join_all().await;
    println!("{INSTANCES} instances of two commits written in {:.1?}", began.elapsed());

    let page = async |filter: &Filter, after| {
        let query = ListQuery { filter: filter.clone(), after, limit: 100 };
        store.list(&hub(), query).await.unwrap()
    };
    let of = |statuses: &[Status]| Filter { statuses: statuses.to_vec(), ..Filter::default() };
    let filters = [
        ("no filter", Filter::default(), 100),
        ("status=Running (200 of them)", of(&[Status::Running]), 100),
        ("status=Failed (200 of them)", of(&[Status::Failed]), 100),
        ("status=Completed", of(&[Status::Completed]), 100),
        ("name=rare (200 of them)", Filter { name: Some("rare".into()), ..Filter::default() }, 100),
        (
            "id prefix (one of them)",
            Filter { id_prefix: Some(format!("{:032x}", 99_999 * 7919)), ..Filter::default() },
            1,
        ),
        ("created in the last second", Filter { created_from: Some(at(199_000)), ..Filter::default() }, 100),
    ];
    for (what, filter, expected) in &filters {
        assert_eq!(page(filter, None).await.records.len(), *expected, "{what}");
        measure(&format!("first page, {what}"), |_| page(filter, None)).await;
    }
    let mut after = None;
    let mut tokens = Vec::new();
    for _ in 0..300 {
        after = page(&Filter::default(), after).await.next;
        tokens.push(after.clone());
    }
    let (all, none) = (Filter::default(), Filter { updated_to: Some(at(0)), ..Filter::default() });
    measure("page by token, no filter", |round| page(&all, tokens[round].clone())).await;
    measure("a page of 2,000 rows that admits none", |_| page(&none, None)).await;
    measure("counts", |_| async { store.counts(&hub()).await.unwrap() }).await;
    let id = |round: usize| format!("{:032x}", round * 601 * 7919);
    measure("status of one: record and payloads", |round| {
        let id = id(round);
        let store = &store;
        async move {
            let found = store.instance(&hub(), &id).await.unwrap().unwrap();
            store.snapshot(found.number, PayloadParts::ALL).await.unwrap().unwrap()
        }
    })
    .await;
    println!("100,000 purged in {:.1?}", purge_all(&store, 100_000).await);
    let left = store.counts(&hub()).await.unwrap().all();
    assert_eq!((left.total(), left.get(Status::Running)), (100_000, 200));
}
