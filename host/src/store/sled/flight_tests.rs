//! On a slow disk: what is decided and written while earlier batches are being synced.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use durawasm_core::Status;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::backup_tests::{drain, restore};
use super::list_tests::recounted;
use super::{SledOptions, SledStore, SyncGate};
use crate::store::backup::Piece;
use crate::store::conformance::{completed, hub, next, payload, start};
use crate::store::underway::Write;
use crate::store::{Commit, CommitError, Committed, HubRecord, Store, StoreError};

type Reply = JoinHandle<Result<Committed, CommitError>>;

/// A store at whose gate syncs wait, with two batches in flight: the starts of `b` and `c`, and what was given.
struct Flying {
    store: Arc<SledStore>,
    gate: SyncGate,
    first: [Reply; 2],
    second: Reply,
}

fn open(path: &Path, gate: &SyncGate) -> Arc<SledStore> {
    let zero = Duration::ZERO;
    let options = SledOptions { sync_gate: Some(gate.clone()), slow_sync: zero, patience: zero, ..Default::default() };
    Arc::new(SledStore::open(path, options).unwrap())
}

/// Sends a commit. Tests run on one thread, and there is room in the queue: afterwards it is with the writer.
async fn send(store: &Arc<SledStore>, commit: Commit) -> Reply {
    let store = store.clone();
    let reply = tokio::spawn(async move { store.commit(commit).await });
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
    reply
}

async fn syncs(gate: &SyncGate, number: usize) {
    while gate.waiting() < number {
        tokio::task::yield_now().await;
    }
}

async fn warm(store: &SledStore) -> Committed {
    let mut done = store.commit(start("warm")).await.unwrap();
    for _ in 0..10 {
        done = store.commit(next("warm", done)).await.unwrap();
    }
    done
}

async fn fly(path: &Path, commit: impl FnOnce(Committed) -> Commit) -> Flying {
    let gate = SyncGate::new();
    let store = open(path, &gate);
    let warm = warm(&store).await;
    gate.hold();
    // What never flies keeps the writer from taking what comes before both are there.
    let hub = tokio::spawn({
        let store = store.clone();
        async move { store.put_hub(HubRecord::new(hub(), None, [0; 16]), 0).await }
    });
    syncs(&gate, 1).await;
    let first = [send(&store, start("b")).await, send(&store, start("c")).await];
    gate.let_through(0);
    hub.await.unwrap().unwrap();
    syncs(&gate, 1).await;
    let second = send(&store, commit(warm)).await;
    syncs(&gate, 2).await;
    Flying { store, gate, first, second }
}

async fn is_there(store: &SledStore, id: &str) -> bool {
    store.instance(&hub(), id).await.unwrap().is_some()
}

#[tokio::test]
async fn syncs_of_other_threads_that_hang_are_told_until_all_have_ended() {
    let directory = TempDir::new().unwrap();
    let Flying { store, gate, first, second } = fly(directory.path(), |_| start("d")).await;
    assert_eq!(store.stalled().unwrap().write, Write::Journal);
    gate.let_through(0);
    let [b, c] = first;
    b.await.unwrap().unwrap();
    c.await.unwrap().unwrap();
    assert_eq!(store.stalled().unwrap().write, Write::Journal, "the second is still under way");
    gate.release();
    second.await.unwrap().unwrap();
    assert_eq!(store.stalled(), None);
}

#[tokio::test]
async fn nothing_is_answered_or_shown_before_its_sync_and_those_before_it() {
    let directory = TempDir::new().unwrap();
    let Flying { store, gate, first, second } = fly(directory.path(), |_| start("d")).await;
    assert!(!first[0].is_finished() && !first[1].is_finished() && !second.is_finished());
    // Both are in the file.
    assert_eq!(super::journal::read(directory.path()).unwrap().len(), 11 + 3);
    gate.let_through(1);
    while gate.waiting() > 1 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!first[0].is_finished() && !second.is_finished(), "the first one may not be on the disk");
    for id in ["b", "c", "d"] {
        assert!(!is_there(&store, id).await, "{id}");
    }
    gate.release();
    for reply in first {
        reply.await.unwrap().unwrap();
    }
    second.await.unwrap().unwrap();
    for id in ["b", "c", "d"] {
        assert!(is_there(&store, id).await, "{id}");
    }
    assert_eq!(store.counts(&hub()).await.unwrap(), recounted(&store).await);
}

#[tokio::test]
async fn a_commit_to_what_is_in_flight_waits_for_it_and_others_do_not() {
    let directory = TempDir::new().unwrap();
    let mut last = None;
    let Flying { store, gate, first, second } = fly(directory.path(), |warm| {
        last = Some(Committed::at(warm.number, warm.revision));
        next("warm", warm)
    })
    .await;
    let last = last.unwrap();
    let same_id = send(&store, start("b")).await;
    let same_instance = send(&store, next("warm", last)).await;
    let other = send(&store, start("other")).await;
    syncs(&gate, 3).await;
    assert!(!same_id.is_finished() && !same_instance.is_finished() && !other.is_finished());
    gate.release();
    let [b, c] = first;
    let b = b.await.unwrap().unwrap();
    c.await.unwrap().unwrap();
    assert_eq!(second.await.unwrap().unwrap().revision, 12);
    assert!(matches!(same_id.await.unwrap(), Err(CommitError::Exists(found)) if found.number == b.number));
    assert!(matches!(same_instance.await.unwrap(), Err(CommitError::Conflict)));
    let other = other.await.unwrap().unwrap();
    assert!(other.number.0 > b.number.0 + 1, "each has its own number");
    assert_eq!(store.counts(&hub()).await.unwrap(), recounted(&store).await);
}

fn gone(result: &Result<Committed, CommitError>) -> bool {
    matches!(result, Err(CommitError::Store(StoreError::Unavailable(reason))) if reason.contains("the disk is gone"))
}

#[tokio::test]
async fn a_failed_sync_fails_all_behind_it() {
    let directory = TempDir::new().unwrap();
    let Flying { store, gate, first, second } = fly(directory.path(), |_| start("d")).await;
    // That the second one's sync succeeds says nothing about the first one's batch.
    gate.let_through(1);
    while gate.waiting() > 1 {
        tokio::task::yield_now().await;
    }
    gate.fail_next("the disk is gone");
    gate.let_through(0);
    for reply in first.into_iter().chain([second]) {
        let reply = reply.await.unwrap();
        assert!(gone(&reply), "{reply:?}");
    }
    assert!(gone(&store.commit(start("e")).await));
    assert!(store.failed().unwrap().contains("the disk is gone"));
}

#[tokio::test]
async fn a_failed_sync_fails_nothing_before_it() {
    let directory = TempDir::new().unwrap();
    let Flying { store, gate, first, second } = fly(directory.path(), |_| start("d")).await;
    gate.fail_next("the disk is gone");
    gate.let_through(1);
    while gate.waiting() > 1 {
        tokio::task::yield_now().await;
    }
    gate.release();
    for reply in first {
        reply.await.unwrap().unwrap();
    }
    assert!(gone(&second.await.unwrap()));
    assert!(store.failed().is_some());
}

#[tokio::test]
async fn closing_waits_for_what_is_in_flight() {
    let directory = TempDir::new().unwrap();
    let Flying { store, gate, first, second } = fly(directory.path(), |_| start("d")).await;
    for reply in first.into_iter().chain([second]) {
        reply.abort();
        assert!(reply.await.unwrap_err().is_cancelled());
    }
    let closing = std::thread::spawn(move || drop(Arc::into_inner(store).unwrap()));
    gate.release();
    closing.join().unwrap();
    assert_eq!(super::journal::read(directory.path()).unwrap(), []);
    let store = open(directory.path(), &SyncGate::new());
    for id in ["b", "c", "d"] {
        assert!(is_there(&store, id).await, "{id}");
    }
    assert_eq!(store.counts(&hub()).await.unwrap(), recounted(&store).await);
}

#[tokio::test]
async fn a_backup_that_begins_meanwhile_has_what_lands_before_its_end() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let large = |_| {
        let mut commit = start("d");
        commit.payloads.input = Some(Some(payload(100_000)));
        commit
    };
    let Flying { store, gate, first, second } = fly(from.path(), large).await;
    let mut rows = store.backup().unwrap();
    // Its first page has been read.
    let Some(Ok(Piece::Rows(page))) = rows.pieces.recv().await else { panic!("no rows") };
    gate.release();
    for reply in first.into_iter().chain([second]) {
        reply.await.unwrap().unwrap();
    }
    let mut taken = vec![page];
    drain(rows, &mut taken).await.unwrap();
    let restored = restore(&to.path().join("store"), &taken);
    // What lands after the backup's end is not in it, but nothing is there by half.
    for id in ["b", "c", "d"] {
        if let Some(found) = restored.instance(&hub(), id).await.unwrap() {
            assert!(restored.history(found.number).await.unwrap().is_some(), "{id}");
        }
    }
    assert_eq!(restored.counts(&hub()).await.unwrap(), recounted(&restored).await);
}

/// Instances that start, go on, end, are replaced and purged, beside each other and against each other.
async fn live(store: Arc<SledStore>, id: String, large: bool) {
    for round in 0..12_usize {
        let name = format!("name {}", round % 3);
        let named = |mut commit: Commit| {
            commit.record.name.clone_from(&name);
            commit
        };
        let mut commit = named(start(&id));
        commit.payloads.input = Some(Some(payload(if large && round % 4 == 0 { 300_000 } else { 20 })));
        let mut done = store.commit(commit).await.unwrap();
        for step in 0..4 {
            let mut commit = named(next(&id, Committed::at(done.number, done.revision)));
            commit.events = vec![completed(step, 30)];
            if step == 3 {
                commit.record.status = Status::Completed;
            }
            let again = named(next(&id, Committed::at(done.number, done.revision)));
            let (won, lost) = tokio::join!(store.commit(commit), store.commit(again));
            assert!(matches!(lost, Err(CommitError::Conflict)), "{lost:?}");
            done = won.unwrap();
        }
        if round % 2 == 0 {
            store.purge(done.number, done.revision).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_are_right_after_commits_beside_and_against_each_other() {
    let directory = TempDir::new().unwrap();
    let delay = Some(Duration::from_millis(1));
    let options = SledOptions { sync_delay: delay, slow_sync: Duration::ZERO, ..SledOptions::default() };
    let store = Arc::new(SledStore::open(directory.path(), options).unwrap());
    let tasks: Vec<_> = (0..12).map(|id| tokio::spawn(live(store.clone(), format!("i{id}"), id % 6 == 0))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    let counts = store.counts(&hub()).await.unwrap();
    assert_eq!(counts, recounted(&store).await);
    assert_eq!(counts.all().get(Status::Completed), 12);
    drop(Arc::into_inner(store).unwrap());
    let store = open(directory.path(), &SyncGate::new());
    assert_eq!(store.counts(&hub()).await.unwrap(), counts);
}
