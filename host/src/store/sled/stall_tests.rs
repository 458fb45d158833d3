//! A disk that does not answer is noticed, whatever it was asked for, and for as long as it does not.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{SledOptions, SledStore, SyncGate};
use crate::store::conformance::{completed, start};
use crate::store::underway::Write;
use crate::store::{Commit, Store};

/// Of this store every write that is under way takes too long.
fn open(path: &Path, gate: &SyncGate) -> Arc<SledStore> {
    let slow_sync = Duration::MAX;
    let options =
        SledOptions { sync_gate: Some(gate.clone()), slow_sync, patience: Duration::ZERO, ..Default::default() };
    Arc::new(SledStore::open(path, options).unwrap())
}

fn stalled(store: &SledStore) -> Option<Write> {
    store.stalled().map(|stall| stall.write)
}

async fn waits(gate: &SyncGate) {
    while !gate.is_waiting() {
        tokio::task::yield_now().await;
    }
}

fn send(store: &Arc<SledStore>, commits: Vec<Commit>) -> JoinHandle<()> {
    let store = Arc::clone(store);
    tokio::spawn(async move { drop(store.commit_all(commits).await.unwrap()) })
}

/// What the meters tell of this kind.
fn metered(store: &SledStore, name: &str) -> f64 {
    let (mut registry, mut text) = (Registry::default(), String::new());
    store.meters().unwrap().register(&mut registry);
    prometheus_client::encoding::text::encode_registry(&mut text, &registry).unwrap();
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    found.unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[tokio::test]
async fn a_sync_of_the_journal_that_hangs_is_told_until_it_ends() {
    let (directory, gate) = (TempDir::new().unwrap(), SyncGate::new());
    let store = open(directory.path(), &gate);
    store.commit(start("before")).await.unwrap();
    assert_eq!(stalled(&store), None);
    assert_eq!(metered(&store, "store_longest_write_seconds"), 0.0);
    let before = metered(&store, "store_stalls_total");
    gate.hold();
    let hanging = send(&store, vec![start("a")]);
    waits(&gate).await;
    let first = store.stalled().unwrap();
    assert_eq!(first.write, Write::Journal);
    while store.stalled().unwrap().lasts == first.lasts {
        tokio::task::yield_now().await;
    }
    assert!(metered(&store, "store_longest_write_seconds") > 0.0);
    gate.release();
    hanging.await.unwrap();
    assert_eq!(stalled(&store), None);
    assert!(metered(&store, "store_stalls_total") > before);
}

#[tokio::test]
async fn a_checkpoint_that_hangs_is_told() {
    let (directory, gate) = (TempDir::new().unwrap(), SyncGate::new());
    let store = open(directory.path(), &gate);
    store.commit(start("before")).await.unwrap();
    gate.hold();
    // More than the journal has room for: the first sync is that of a checkpoint.
    let many = (0..50).map(|id| Commit { events: vec![completed(0, 250_000)], ..start(&id.to_string()) });
    let hanging = send(&store, many.collect());
    waits(&gate).await;
    assert_eq!(stalled(&store), Some(Write::Checkpoint));
    gate.release();
    hanging.await.unwrap();
    assert_eq!(stalled(&store), None);
}

#[tokio::test]
async fn a_store_that_has_failed_waits_for_no_disk() {
    let (directory, gate) = (TempDir::new().unwrap(), SyncGate::new());
    let store = open(directory.path(), &gate);
    gate.fail_next("the disk is gone");
    store.commit(start("a")).await.unwrap_err();
    assert!(store.failed().is_some());
    assert_eq!(stalled(&store), None);
}
