//! What is written on whose thread must not show.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tempfile::TempDir;

use super::{SledOptions, SledStore, SyncGate};
use crate::store::conformance::{hub, next, start};
use crate::store::{Store, background};

/// Of this store every sync counts as quick.
fn open(directory: &TempDir) -> Arc<SledStore> {
    let options = SledOptions { quick_sync: Duration::MAX, ..SledOptions::default() };
    Arc::new(SledStore::open(directory.path(), options).unwrap())
}

fn lone(store: &SledStore) -> u64 {
    store.desk.lone.load(Ordering::SeqCst)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lone_commits_and_groups_come_in_any_order_and_nothing_is_lost() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let mut ids = Vec::new();
    for round in 0..10 {
        for index in 0..20 {
            let id = format!("lone-{round}-{index}");
            let done = store.commit(start(&id)).await.unwrap();
            let again = store.commit(next(&id, done)).await.unwrap();
            assert_eq!(again.revision, done.revision + 1);
            assert!(store.commit(next(&id, done)).await.is_err(), "it is no longer at that revision");
            ids.push(id);
        }
        let mut tasks = tokio::task::JoinSet::new();
        for index in 0..40 {
            let (store, id) = (Arc::clone(&store), format!("group-{round}-{index}"));
            ids.push(id.clone());
            tasks.spawn(async move {
                let done = store.commit(start(&id)).await.unwrap();
                store.commit(next(&id, done)).await.unwrap()
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    }
    assert!(lone(&store) > 0, "not one of hundreds went the short way");
    assert!(lone(&store) < 1_400, "not all can have been alone");
    drop(store);
    let store = open(&directory);
    for id in ids {
        let found = store.instance(&hub(), &id).await.unwrap().unwrap();
        assert_eq!(found.revision, 2, "{id}");
    }
}

/// Written there, a commit that the disk does not answer would keep everybody from saying so.
#[tokio::test]
async fn the_only_thread_of_a_runtime_leaves_writing_to_the_stores_own() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    for index in 0..50 {
        store.commit(start(&format!("{index}"))).await.unwrap();
    }
    assert_eq!(lone(&store), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_tests_hold_back_never_goes_the_short_way() {
    let directory = TempDir::new().unwrap();
    let options = SledOptions { sync_gate: Some(SyncGate::new()), ..SledOptions::default() };
    let store = SledStore::open(directory.path(), options).unwrap();
    for index in 0..50 {
        store.commit(start(&format!("{index}"))).await.unwrap();
    }
    assert_eq!(lone(&store), 0);
}

#[test]
fn a_thread_of_a_lower_priority_leaves_writing_to_the_stores_own() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let its_store = Arc::clone(&store);
    let written = std::thread::spawn(move || {
        background::leave_writing();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for index in 0..50 {
                its_store.commit(start(&format!("{index}"))).await.unwrap();
            }
        });
    });
    written.join().unwrap();
    assert_eq!(lone(&store), 0);
}
