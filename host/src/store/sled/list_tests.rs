//! What lists and counts cost this store, and that nothing is left of what is purged.

use std::path::Path;
use std::sync::Arc;

use durawasm_core::Status;
use tempfile::TempDir;

use super::tests::{copy, stopped_at, swept};
use super::{SledOptions, SledStore, SyncGate, keys};
use crate::store::conformance::{completed, hub, next, payload, start};
use crate::store::{Commit, Committed, Counts, Filter, InstanceRecord, ListQuery, Store};

fn open(path: &Path) -> SledStore {
    SledStore::open(path, SledOptions::default()).unwrap()
}

/// The counts as a look at every instance gives them.
pub(super) async fn recounted(store: &SledStore) -> Counts {
    let mut counts = Counts::default();
    let mut after = None;
    loop {
        let page = store.list(&hub(), ListQuery { filter: Filter::default(), after, limit: 1000 }).await.unwrap();
        for record in page.records {
            counts.by_name.entry(record.name).or_default().add(record.status, 1);
        }
        after = page.next;
        if after.is_none() {
            return counts;
        }
    }
}

/// All keys that are there, but for the one row about the store.
fn kinds(store: &SledStore) -> String {
    let keys = store.shared.tree.scan_prefix(b"").keys().map(|key| key.unwrap());
    keys.filter(|key| *key != keys::META).map(|key| char::from(key[0])).collect()
}

fn in_status(commit: Commit, status: Status, ready: bool) -> Commit {
    Commit { record: InstanceRecord { status, ready, parent_instance_id: None, ..commit.record }, ..commit }
}

#[tokio::test]
async fn a_plain_run_has_one_index_row_and_one_that_is_rare_another() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    let done = store.commit(in_status(start("a"), Status::Running, true)).await.unwrap();
    assert_eq!(kinds(&store), "cikmr");
    let done = store.commit(in_status(next("a", done), Status::Running, true)).await.unwrap();
    let done = store.commit(in_status(next("a", done), Status::Completed, false)).await.unwrap();
    assert_eq!(kinds(&store), "cikm");
    store.purge(done.number, done.revision).await.unwrap();
    let done = store.commit(in_status(start("a"), Status::Running, true)).await.unwrap();
    let done = store.commit(in_status(next("a", done), Status::Running, false)).await.unwrap();
    assert_eq!(kinds(&store), "cikms", "it waits");
    let done = store.commit(in_status(next("a", done), Status::Running, true)).await.unwrap();
    assert_eq!(kinds(&store), "cikmrs", "it works again");
    store.commit(in_status(next("a", done), Status::Failed, false)).await.unwrap();
    assert_eq!(kinds(&store), "cikms");
}

#[tokio::test]
async fn nothing_is_left_of_what_is_purged() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    for status in Status::ALL {
        let mut commit = Commit { events: (0..200).map(|task| completed(task, 2000)).collect(), ..start("a") };
        commit.payloads.input = Some(Some(payload(3_000_000)));
        commit.payloads.output = Some(Some(payload(10)));
        let done = store.commit(commit).await.unwrap();
        let mut commit = Commit { events: vec![completed(1, 30_000)], ..next("a", done) };
        commit.record.status = status;
        let done = store.commit(commit).await.unwrap();
        assert!(kinds(&store).contains('b'), "a child");
        store.purge(done.number, done.revision).await.unwrap();
        swept(&store).await;
        assert_eq!(kinds(&store), "", "{status}");
    }
}

/// A crash between a purge and the removal of what is large.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_goes_on_after_a_crash() {
    let directory = TempDir::new().unwrap();
    let (data, cut) = (directory.path().join("data"), directory.path().join("cut"));
    let gate = SyncGate::new();
    let options = SledOptions { sync_gate: Some(gate.clone()), ..SledOptions::default() };
    let store = Arc::new(SledStore::open(&data, options).unwrap());
    let mut commit = start("a");
    commit.payloads.input = Some(Some(payload(20_000_000)));
    let done = store.commit(commit).await.unwrap();
    gate.hold();
    let purging = tokio::spawn({
        let store = store.clone();
        async move { store.purge(done.number, done.revision).await }
    });
    stopped_at(&gate).await;
    copy(&data, &cut);
    assert!(!purging.is_finished(), "acknowledged before it was durable");
    gate.release();
    purging.await.unwrap().unwrap();
    let copied = open(&cut);
    // Before the sync a crash may leave it or not, but all of it or nothing.
    match copied.instance(&hub(), "a").await.unwrap() {
        Some(found) => copied.purge(found.number, found.revision).await.unwrap(),
        None => assert!(copied.counts(&hub()).await.unwrap().by_name.is_empty()),
    }
    for store in [&*store, &copied] {
        swept(store).await;
        assert_eq!(kinds(store), "");
    }
}

#[tokio::test]
async fn counts_are_the_same_after_reopening() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    let mut last: Option<Committed> = None;
    for id in 0..50 {
        last = Some(store.commit(start(&id.to_string())).await.unwrap());
    }
    let last = last.unwrap();
    store.purge(last.number, last.revision).await.unwrap();
    let before = store.counts(&hub()).await.unwrap();
    assert_eq!((before.all().total(), before.all().get(Status::Running)), (49, 49));
    drop(store);
    let store = open(directory.path());
    assert_eq!(store.counts(&hub()).await.unwrap(), before);
    assert_eq!(recounted(&store).await, before);
}
