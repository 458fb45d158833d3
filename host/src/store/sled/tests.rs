//! What only this store promises: what survives, what is refused, and that nothing is shown before it is durable.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use durawasm_core::{Status, TaskId};
use sha2::Digest as _;
use tempfile::TempDir;
use tokio::time::timeout;

use super::{OpenError, SledOptions, SledStore, SyncGate, keys};
use crate::store::conformance::{at, completed, history, hub, next, payload, start};
use crate::store::{Commit, CommitError, Store, StoreError};

const SOON: Duration = Duration::from_millis(100);

fn open(path: &Path) -> SledStore {
    SledStore::open(path, SledOptions::default()).unwrap()
}

fn gated(path: &Path) -> (Arc<SledStore>, SyncGate) {
    let gate = SyncGate::new();
    let options = SledOptions { sync_gate: Some(gate.clone()), ..SledOptions::default() };
    (Arc::new(SledStore::open(path, options).unwrap()), gate)
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn rows(store: &SledStore, range: keys::KeyRange) -> usize {
    store.shared.tree.range(range.0..range.1).count()
}

/// Waits until the writer stands at the gate: a copy of the files is then what a crash would leave. A copy of files
/// that are being written is not: it mixes moments.
pub(super) async fn stopped_at(gate: &SyncGate) {
    while !gate.is_waiting() {
        tokio::task::yield_now().await;
    }
}

/// Waits until the writer has removed what is to be removed behind.
pub(super) async fn swept(store: &SledStore) {
    for _ in 0..6_000 {
        if rows(store, keys::all_garbage()) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("garbage is left");
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    let mut commit = start("a");
    commit.payloads.input = Some(Some(payload(100_000)));
    commit.timers_set = vec![(TaskId(1), at(10))];
    commit.events = vec![completed(1, 5), completed(2, 2_000_000)];
    let done = store.commit(commit).await.unwrap();
    let before = store.history(done.number).await.unwrap();
    drop(store);
    let store = open(directory.path());
    assert!(store.history(done.number).await.unwrap() == before);
    assert_eq!(store.payloads(done.number).await.unwrap().input, Some(payload(100_000)));
    assert_eq!(store.ready(None, 9).await.unwrap(), [done.number]);
    assert_eq!(store.timers(at(10), 9).await.unwrap().len(), 1);
    assert!(store.commit(start("b")).await.unwrap().number > done.number);
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    let second = SledStore::open(directory.path(), SledOptions::default());
    assert!(matches!(second, Err(OpenError::InUse(_))));
    drop(store);
    open(directory.path());
}

#[test]
fn foreign_directories_and_formats_are_refused() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("letter.txt"), "dear").unwrap();
    let refused = SledStore::open(directory.path(), SledOptions::default());
    assert!(matches!(refused, Err(OpenError::Foreign(_))));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    fs::write(directory.path().join("format"), "durawasm store, format 9\n").unwrap();
    match SledStore::open(directory.path(), SledOptions::default()) {
        Err(OpenError::Format { found, .. }) => assert_eq!(found, "durawasm store, format 9"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_creation_that_was_cut_short_begins_anew_and_a_complete_one_never_does() {
    let directory = TempDir::new().unwrap();
    for (name, left) in [("format", super::open::FORMAT), ("creating", ""), ("db", "half a log"), ("conf", "torn")] {
        fs::write(directory.path().join(name), left).unwrap();
    }
    let store = open(directory.path());
    assert!(!directory.path().join("creating").exists(), "the mark goes before anything is acknowledged");
    let done = store.commit(start("a")).await.unwrap();
    drop(store);
    let store = open(directory.path());
    assert_eq!(store.instance(&hub(), "a").await.unwrap().unwrap().number, done.number);
    drop(store);
    // Without the mark the same remains are damage, not a creation.
    fs::write(directory.path().join("db"), "half a log").unwrap();
    assert!(SledStore::open(directory.path(), SledOptions::default()).is_err());
    assert_eq!(fs::read(directory.path().join("db")).unwrap(), b"half a log");
}

/// What the version before wrote: the same rows, no journal, and two numbers in the file `sequence`.
#[tokio::test]
async fn a_store_without_a_journal_is_taken_over() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    let done = store.commit(start("a")).await.unwrap();
    drop(store);
    fs::remove_file(directory.path().join("journal")).unwrap();
    fs::write(directory.path().join("format"), super::open::WITHOUT_JOURNAL).unwrap();
    let sequence = |last: u64| {
        let mut bytes = [last.to_be_bytes(), 2u64.to_be_bytes()].concat();
        let checksum = sha2::Sha256::digest(&bytes);
        bytes.extend_from_slice(&checksum[..8]);
        fs::write(directory.path().join("sequence"), bytes).unwrap();
    };
    sequence(2);
    assert!(matches!(
        SledStore::open(directory.path(), SledOptions::default()),
        Err(OpenError::Shortfall { stored: 1, promised: 2, .. })
    ));
    assert!(!directory.path().join("journal").exists());
    sequence(1);
    let store = open(directory.path());
    assert_eq!(fs::read_to_string(directory.path().join("format")).unwrap(), super::open::FORMAT);
    assert_eq!(store.instance(&hub(), "a").await.unwrap().unwrap().number, done.number);
    store.commit(next("a", done)).await.unwrap();
}

#[tokio::test]
async fn a_store_that_was_closed_leaves_nothing_to_be_applied() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    let done = store.commit(start("a")).await.unwrap();
    assert_eq!(super::journal::read(directory.path()).unwrap().len(), 1);
    drop(store);
    assert_eq!(super::journal::read(directory.path()).unwrap(), []);
    let store = open(directory.path());
    assert_eq!(store.instance(&hub(), "a").await.unwrap().unwrap().number, done.number);
}

/// Copies of a store at work: what sled lacks is in the journal, and damage to that is noticed.
#[tokio::test]
async fn the_journal_has_what_sled_lacks() {
    let directory = TempDir::new().unwrap();
    let (data, copied) = (directory.path().join("data"), directory.path().join("copied"));
    let store = open(&data);
    let mut done = store.commit(start("a")).await.unwrap();
    for _ in 0..100 {
        let commit = Commit { events: vec![completed(0, 10)], ..next("a", done) };
        done = store.commit(commit).await.unwrap();
    }
    copy(&data, &copied);
    let journal = fs::read(copied.join("journal")).unwrap();
    let opened = open(&copied);
    assert_eq!(opened.instance(&hub(), "a").await.unwrap().unwrap().revision, done.revision);
    let (record, events) = opened.history(done.number).await.unwrap().unwrap();
    assert_eq!(events.len() as u64 + 1, record.revision, "the start has none");
    drop(opened);
    for block in [0, 50, 100] {
        fs::remove_dir_all(&copied).unwrap();
        copy(&data, &copied);
        let mut damaged = journal.clone();
        damaged[block * 4096 + 30] ^= 4;
        fs::write(copied.join("journal"), &damaged).unwrap();
        match SledStore::open(&copied, SledOptions::default()) {
            Err(OpenError::Shortfall { stored, promised: 101, .. }) => assert_eq!(stored, block as u64),
            other => panic!("{other:?}"),
        }
        assert!(fs::read(copied.join("journal")).unwrap() == damaged);
    }
}

#[tokio::test]
async fn a_log_that_lost_commits_is_refused() {
    let directory = TempDir::new().unwrap();
    let (data, old) = (directory.path().join("data"), directory.path().join("old"));
    let store = open(&data);
    let first = store.commit(start("a")).await.unwrap();
    copy(&data, &old);
    store.commit(next("a", first)).await.unwrap();
    store.commit(start("b")).await.unwrap();
    drop(store);
    fs::copy(data.join("sequence"), old.join("sequence")).unwrap();
    match SledStore::open(&old, SledOptions::default()) {
        Err(OpenError::Shortfall { stored: 1, promised: 3, instances: 1, .. }) => {}
        other => panic!("{other:?}"),
    }
    fs::remove_file(old.join("sequence")).unwrap();
    assert!(open(&old).instance(&hub(), "a").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_shown_before_it_is_durable() {
    let directory = TempDir::new().unwrap();
    let (store, gate) = gated(directory.path());
    let before = store.commit(start("before")).await.unwrap();
    gate.hold();
    let first = tokio::spawn({
        let store = store.clone();
        async move { store.commit(start("a")).await }
    });
    // Until it is in the journal.
    while !gate.is_waiting() {
        tokio::task::yield_now().await;
    }
    assert!(store.instance(&hub(), "a").await.unwrap().is_none());
    assert_eq!(store.ready(None, 9).await.unwrap(), [before.number]);
    let mut second = tokio::spawn({
        let store = store.clone();
        async move { store.commit(start("a")).await }
    });
    assert!(timeout(SOON, &mut second).await.is_err());
    assert!(!first.is_finished());
    gate.release();
    let first = first.await.unwrap().unwrap();
    assert!(matches!(second.await.unwrap(), Err(CommitError::Exists(found)) if found.number == first.number));
    assert!(store.instance(&hub(), "a").await.unwrap().is_some());
}

/// It does not fit into the journal, so that its rows are visible before they are durable: whoever sees one waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_batch_larger_than_the_journal_is_shown_before_it_is_durable() {
    let directory = TempDir::new().unwrap();
    let (store, gate) = gated(directory.path());
    let many = |name: &str| {
        let one = |id: i32| Commit { events: vec![completed(0, 250_000)], ..start(&format!("{name}{id}")) };
        (0..50).map(one).collect::<Vec<_>>()
    };
    store.commit_all(many("before")).await.unwrap();
    gate.hold();
    let large = tokio::spawn({
        let (store, large) = (store.clone(), many("a"));
        async move { store.commit_all(large).await }
    });
    while super::read::instance(&store.shared.tree, "hub", "a0").unwrap().is_none() {
        tokio::task::yield_now().await;
        // The first sync is that of the checkpoint before it.
        if gate.is_waiting() && super::read::instance(&store.shared.tree, "hub", "a0").unwrap().is_none() {
            gate.release();
            gate.hold();
        }
    }
    assert!(timeout(SOON, store.instance(&hub(), "a0")).await.is_err());
    assert!(timeout(SOON, store.ready(None, 9)).await.is_err());
    gate.release();
    let done = large.await.unwrap().unwrap();
    drop(store);
    let store = open(directory.path());
    for done in done {
        let (record, events) = store.history(done.number).await.unwrap().unwrap();
        assert_eq!((record.revision, events.len()), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_sync_stops_the_store() {
    let directory = TempDir::new().unwrap();
    let (store, gate) = gated(directory.path());
    let first = store.commit(start("a")).await.unwrap();
    gate.hold();
    gate.fail_next("the disk is gone");
    let failing = tokio::spawn({
        let store = store.clone();
        async move { store.commit(next("a", first)).await }
    });
    while !gate.is_waiting() {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.instance(&hub(), "a").await.unwrap().unwrap().revision, 1);
    gate.release();
    let unavailable = |error: &StoreError| error.to_string().contains("the disk is gone");
    assert!(matches!(failing.await.unwrap(), Err(CommitError::Store(error)) if unavailable(&error)));
    assert!(matches!(store.instance(&hub(), "a").await, Err(error) if unavailable(&error)));
    assert!(matches!(store.commit(start("b")).await, Err(CommitError::Store(error)) if unavailable(&error)));
    assert!(matches!(store.ready(None, 1).await, Err(error) if unavailable(&error)));
    assert!(store.failed().unwrap().contains("the disk is gone"));
}

#[tokio::test]
async fn no_payload_makes_a_blob_file() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    for bytes in [1, 1000, 1024, 1025, 16_000, 32 * 1024, 32 * 1024 + 1, 100_000, 1_000_000, 20_000_000] {
        for copy in 0..if bytes > 100_000 { 1 } else { 40 } {
            let mut commit = start(&format!("{bytes}-{copy}"));
            commit.payloads.input = Some(Some(payload(bytes)));
            commit.events = vec![completed(1, bytes)];
            store.commit(commit).await.unwrap();
        }
    }
    let events: Vec<_> = (0..20_000).map(|task| completed(task, 1000)).collect();
    store.commit(Commit { events, ..start("many") }).await.unwrap();
    drop(store);
    assert_eq!(fs::read_dir(directory.path().join("blobs")).unwrap().count(), 0);
}

#[tokio::test]
async fn equal_payloads_are_stored_once_and_collected() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    let shared = payload(100_000);
    let raised = || {
        let kind = durawasm_core::EventKind::EventRaised { name: "e".into(), input: Some(shared.clone()) };
        crate::store::conformance::event(kind)
    };
    let mut commit = Commit { events: vec![raised(), raised()], ..start("a") };
    commit.payloads.input = Some(Some(shared.clone()));
    commit.payloads.custom_status = Some(Some(payload(40_000)));
    let done = store.commit(commit).await.unwrap();
    assert_eq!(rows(&store, keys::all_chunks(done.number.0)), 4 + 2);
    let mut commit = Commit { fresh_history: true, events: vec![completed(1, 1)], ..next("a", done) };
    commit.payloads.custom_status = Some(Some(payload(5000)));
    let done = store.commit(commit).await.unwrap();
    assert_eq!(rows(&store, keys::all_chunks(done.number.0)), 4 + 1, "the input stays");
    let mut commit = Commit { fresh_history: true, ..next("a", done) };
    commit.payloads.input = Some(Some(payload(1)));
    let done = store.commit(commit).await.unwrap();
    assert_eq!(rows(&store, keys::all_chunks(done.number.0)), 1, "the custom status stays");
    assert_eq!(rows(&store, keys::all_history(done.number.0)), 0);
    assert_eq!(store.payloads(done.number).await.unwrap().custom_status, Some(payload(5000)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_instance_is_removed_behind_even_after_a_restart() {
    let directory = TempDir::new().unwrap();
    let (data, cut) = (directory.path().join("data"), directory.path().join("cut"));
    let (store, gate) = gated(&data);
    let mut commit = Commit { events: vec![completed(1, 20_000_000)], ..start("a") };
    commit.record.status = Status::Completed;
    commit.timers_set = vec![(TaskId(1), at(0))];
    let old = store.commit(commit).await.unwrap().number.0;
    gate.hold();
    let replacing = tokio::spawn({
        let store = store.clone();
        async move { store.commit(start("a")).await }
    });
    stopped_at(&gate).await;
    copy(&data, &cut);
    gate.release();
    replacing.await.unwrap().unwrap();
    let copied = Arc::new(open(&cut));
    assert!(rows(&copied, keys::all_chunks(old)) > 0 || rows(&copied, keys::all_garbage()) == 0);
    for store in [store, copied] {
        swept(&store).await;
        assert!(store.timers(at(0), 9).await.unwrap().is_empty());
        store.commit(start("b")).await.unwrap();
        store.commit(start("c")).await.unwrap();
        for range in [keys::all_chunks(old), keys::all_history(old), keys::all_slots(old)] {
            assert_eq!(rows(&store, range), 0);
        }
        assert_eq!(rows(&store, keys::timers_until(at(0))), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_of_a_commit_that_never_came_are_collected() {
    let directory = TempDir::new().unwrap();
    let (data, cut) = (directory.path().join("data"), directory.path().join("cut"));
    let store = open(&data);
    let done = store.commit(start("a")).await.unwrap();
    drop(store);
    // What a process leaves that ends between the pieces and their commit.
    copy(&data, &cut);
    {
        let db = sled::Config::new().path(&cut).segment_size(4 << 20).open().unwrap();
        let task = super::collect::Task::Ahead { number: done.number.0, revision: 2 };
        db.insert(task.key(), Vec::new()).unwrap();
        for chunk in 0..1000 {
            db.insert(keys::chunk(done.number.0, 2, 0, chunk), b"orphan".as_slice()).unwrap();
        }
    }
    let store = open(&cut);
    assert_eq!(rows(&store, keys::all_chunks(done.number.0)), 0);
    assert_eq!(rows(&store, keys::all_garbage()), 0);
    let done = store.commit(Commit { events: vec![completed(1, 40_000)], ..next("a", done) }).await.unwrap();
    assert_eq!(history(&store, done.number).await, [completed(1, 40_000)]);
}

/// Acknowledged commits are in the files even when the process ends before the next sync.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_commits_are_in_every_copy() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    let (store, gate) = gated(&data);
    let acknowledged = Arc::new(Mutex::new(BTreeMap::new()));
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (store, acknowledged) = (store.clone(), acknowledged.clone());
            tokio::spawn(async move {
                let id = format!("instance {writer}");
                let mut done = store.commit(start(&id)).await.unwrap();
                for round in 0..400_u32 {
                    acknowledged.lock().unwrap().insert(id.clone(), done);
                    let size = if round % 50 == 49 { 300_000 } else { 50 };
                    let events = vec![completed(round, size)];
                    done = store.commit(Commit { events, ..next(&id, done) }).await.unwrap();
                }
            })
        })
        .collect();
    for cut in 0..6 {
        tokio::time::sleep(Duration::from_millis(3 * cut)).await;
        gate.hold();
        stopped_at(&gate).await;
        let promised = acknowledged.lock().unwrap().clone();
        let path = directory.path().join(format!("cut {cut}"));
        copy(&data, &path);
        gate.release();
        let copied = open(&path);
        for (id, done) in promised {
            let (record, events) = copied.history(done.number).await.unwrap().unwrap();
            assert!(record.revision >= done.revision, "{id}: {} of {}", record.revision, done.revision);
            assert_eq!(events.len() as u64 + 1, record.revision);
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_does_not_wait_for_thousands_of_another_hub() {
    let directory = TempDir::new().unwrap();
    let (store, gate) = gated(directory.path());
    gate.hold();
    let done = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut storm = tokio::task::JoinSet::new();
    for id in 0..3_000 {
        let (store, done) = (store.clone(), done.clone());
        storm.spawn(async move {
            store.commit(start(&format!("storm{id}"))).await.unwrap();
            done.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        });
    }
    stopped_at(&gate).await;
    // All but those at the gate wait in the queue.
    while store.lane("hub").held() < 3_000 {
        tokio::task::yield_now().await;
    }
    let quiet = start("quiet");
    let quiet = Commit { record: crate::store::InstanceRecord { hub: Arc::from("other"), ..quiet.record }, ..quiet };
    let before = tokio::spawn({
        let (store, done) = (store.clone(), done.clone());
        async move {
            store.commit(quiet).await.unwrap();
            done.load(std::sync::atomic::Ordering::SeqCst)
        }
    });
    while store.lane("other").held() == 0 {
        tokio::task::yield_now().await;
    }
    gate.release();
    let before = before.await.unwrap();
    assert!(before < 2_000, "the group under way, and a part of one: {before}");
    while let Some(ended) = storm.join_next().await {
        ended.unwrap();
    }
    assert_eq!(done.load(std::sync::atomic::Ordering::SeqCst), 3_000);
}
