//! A backup is the store as it was at the backup's end, whatever is written meanwhile.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tempfile::TempDir;

use super::{Restoring, SledOptions, SledStore, tests};
use crate::store::backup::{BackupError, BackupRows, Piece};
use crate::store::conformance::{completed, hub, next, payload, start};
use crate::store::{Committed, Store, StoreError};

fn open(path: &Path) -> SledStore {
    SledStore::open(path, SledOptions::default()).unwrap()
}

/// What a backup gives until it ends; an error if it gives up.
pub(super) async fn drain(mut rows: BackupRows, taken: &mut Vec<Vec<u8>>) -> Result<(), StoreError> {
    while let Some(piece) = rows.pieces.recv().await {
        match piece? {
            Piece::Rows(rows) => taken.push(rows),
            Piece::End => return Ok(()),
        }
    }
    panic!("the backup does not say how it ended");
}

pub(super) fn restore(path: &Path, taken: &[Vec<u8>]) -> SledStore {
    let mut restoring = Restoring::begin(path).unwrap();
    for rows in taken {
        restoring.apply(rows).unwrap();
    }
    restoring.finish(path).unwrap();
    open(path)
}

fn all_rows(store: &SledStore) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let rows = store.shared.tree.scan_prefix([]);
    rows.map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect()
}

/// More than a backup gives ahead of whoever takes it.
async fn fill(store: &SledStore) -> Vec<Committed> {
    let mut done = Vec::new();
    for number in 0..400 {
        let mut commit = start(&format!("old{number:03}"));
        commit.payloads.input = Some(Some(payload(10_000)));
        done.push(store.commit(commit).await.unwrap());
    }
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_until_the_end_is_in_it_and_nothing_half() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let store = Arc::new(open(from.path()));
    let old = fill(&store).await;
    let mut rows = store.backup().unwrap();
    let mut taken = Vec::new();
    match rows.pieces.recv().await {
        Some(Ok(Piece::Rows(first))) => taken.push(first),
        other => panic!("{other:?}"),
    }
    // Before and behind the place that is being read: new rows, changed ones, removed ones, large ones.
    for number in 0..100 {
        store.commit(start(&format!("new{number}"))).await.unwrap();
    }
    for (index, before) in old.iter().enumerate().step_by(3) {
        let mut commit = next(&format!("old{index:03}"), *before);
        commit.events = vec![completed(1, 5)];
        commit.payloads.output = Some(Some(payload(if index % 2 == 0 { 100 } else { 200_000 })));
        store.commit(commit).await.unwrap();
    }
    for (index, before) in old.iter().enumerate().skip(1).step_by(3) {
        assert!(store.instance(&hub(), &format!("old{index:03}")).await.unwrap().is_some());
        store.purge(before.number, before.revision).await.unwrap();
    }
    tests::swept(&store).await;
    drain(rows, &mut taken).await.unwrap();
    let expected = all_rows(&store);
    let restored = restore(&to.path().join("store"), &taken);
    assert!(all_rows(&restored) == expected, "{} rows, expected {}", all_rows(&restored).len(), expected.len());
    restored.commit(start("later")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_do_not_wait_for_it_and_those_before_its_end_are_in_it() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let store = Arc::new(open(from.path()));
    fill(&store).await;
    let (stop, committed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load = tokio::spawn({
        let (store, stop, committed) = (Arc::clone(&store), Arc::clone(&stop), Arc::clone(&committed));
        async move {
            for number in 0_u64.. {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                store.commit(start(&format!("n{number}"))).await.unwrap();
                committed.store(number + 1, Ordering::SeqCst);
            }
        }
    });
    let rows = store.backup().unwrap();
    // Nobody takes anything: the store works on.
    while committed.load(Ordering::SeqCst) < 200 {
        tokio::task::yield_now().await;
    }
    let (before, mut taken) = (committed.load(Ordering::SeqCst), Vec::new());
    drain(rows, &mut taken).await.unwrap();
    stop.store(true, Ordering::SeqCst);
    load.await.unwrap();
    let restored = restore(&to.path().join("store"), &taken);
    let mut there = 0;
    while restored.instance(&hub(), &format!("n{there}")).await.unwrap().is_some() {
        there += 1;
    }
    assert!(there >= before, "{there} of {before}");
    for number in there..committed.load(Ordering::SeqCst) {
        assert!(restored.instance(&hub(), &format!("n{number}")).await.unwrap().is_none(), "{number} without {there}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_made_at_a_time() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    fill(&store).await;
    let first = store.backup().unwrap();
    assert!(matches!(store.backup(), Err(BackupError::Busy)));
    drop(first);
    let again = loop {
        match store.backup() {
            Err(BackupError::Busy) => tokio::task::yield_now().await,
            other => break other.unwrap(),
        }
    };
    drain(again, &mut Vec::new()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_too_slow_costs_the_backup_and_not_the_store() {
    let directory = TempDir::new().unwrap();
    let options = SledOptions { backup_aside_bytes: 100_000, ..SledOptions::default() };
    let store = SledStore::open(directory.path(), options).unwrap();
    fill(&store).await;
    let rows = store.backup().unwrap();
    for number in 0..100 {
        let mut commit = start(&format!("new{number}"));
        commit.payloads.input = Some(Some(payload(10_000)));
        store.commit(commit).await.unwrap();
    }
    let error = drain(rows, &mut Vec::new()).await.unwrap_err();
    assert!(error.to_string().contains("too slowly"), "{error}");
    store.commit(start("after")).await.unwrap();
    drain(store.backup().unwrap(), &mut Vec::new()).await.unwrap();
}

#[tokio::test]
async fn an_empty_store_has_one_too() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut taken = Vec::new();
    drain(open(from.path()).backup().unwrap(), &mut taken).await.unwrap();
    let restored = restore(&to.path().join("store"), &taken);
    restored.commit(start("first")).await.unwrap();
}
