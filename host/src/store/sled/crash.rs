//! Ends a process that commits at full speed, at any moment, and looks at what it leaves.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use durawasm_core::Status;
use tempfile::TempDir;

use super::{OpenError, SledOptions, SledStore};
use crate::store::conformance::{completed, hub, next, payload, start};
use crate::store::{Commit, Committed, Store};

/// Where the process to be killed keeps its store. Not set: the test that is this process does nothing.
const DIRECTORY: &str = "DURAWASM_TEST_CRASH_DIRECTORY";

/// Instances that are committed to at the same time, by ids from 0.
pub(super) const IDS: u32 = 8;

/// If set, all but the first commit small things only.
pub(super) const SMALL: &str = "DURAWASM_TEST_CRASH_SMALL";

/// Revisions of an instance before it ends and is replaced.
const ROUNDS: u64 = 30;

/// Instances that live, end and are replaced or purged, one event a commit; says so after each acknowledgement.
async fn commit_for_ever(store: Arc<SledStore>, id: String) {
    // What an earlier process left unfinished is ended first.
    let left = store.instance(&hub(), &id).await.unwrap().filter(|left| !left.status.is_terminal());
    if let Some(left) = left {
        let mut last = next(&id, Committed::at(left.number, left.revision));
        last.record.status = Status::Completed;
        last.events = vec![completed(2, 1)];
        store.commit(last).await.unwrap();
    }
    let is_small = id != "0" && std::env::var_os(SMALL).is_some();
    let mut size = 0;
    loop {
        size = (size + 7919) % 3000;
        let mut commit = Commit { events: vec![completed(0, size)], ..start(&id) };
        commit.payloads.input = Some(Some(payload(if is_small { size / 10 } else { size * 200 })));
        commit.usage.orchestrator_fuel = 1;
        let mut done = store.commit(commit).await.unwrap();
        println!("\nack {id} {} {}", done.number.0, done.revision);
        while done.revision < ROUNDS {
            let bytes = match done.revision {
                // One of them is large enough to be written ahead in pieces, over several segments.
                _ if is_small => 9,
                9 if id == "0" => 9_000_000,
                9 => 700_000,
                _ => size,
            };
            let mut commit = Commit { events: vec![completed(1, bytes)], ..next(&id, done) };
            commit.usage.orchestrator_fuel = 1;
            if done.revision + 1 == ROUNDS {
                commit.record.status = Status::Completed;
            }
            done = store.commit(commit).await.unwrap();
            println!("\nack {id} {} {}", done.number.0, done.revision);
        }
        if size % 2 == 0 {
            // From here on nothing about this id is promised.
            println!("\nack {id} 0 0");
            store.purge(done.number, done.revision).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_to_be_killed() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let store = Arc::new(SledStore::open(Path::new(&directory), SledOptions::default()).unwrap());
    let tasks: Vec<_> = (0..IDS).map(|id| tokio::spawn(commit_for_ever(store.clone(), id.to_string()))).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// The process that commits for ever.
pub(super) fn process(directory: &Path) -> Command {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["--exact", "store::sled::crash::process_to_be_killed", "--nocapture"]).env(DIRECTORY, directory);
    process
}

/// The last acknowledgement of each id in what the process has said; revision 0: nothing is promised any more.
pub(super) fn acknowledged<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<String, Committed> {
    let mut acknowledged = BTreeMap::new();
    for line in lines {
        if let ["ack", id, number, revision] = line.split(' ').collect::<Vec<_>>()[..] {
            let (Ok(number), Ok(revision)) = (number.parse(), revision.parse()) else { continue };
            let number = crate::store::InstanceNumber(number);
            acknowledged.insert(id.to_owned(), Committed::at(number, revision));
        }
    }
    acknowledged
}

/// Runs the process for so long; returns the last acknowledgement of each id.
fn run_and_kill(directory: &Path, after: Duration) -> BTreeMap<String, Committed> {
    let mut child = process(directory).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        output.read_to_end(&mut said).unwrap();
        let mut last = acknowledged(String::from_utf8_lossy(&said).lines());
        last.retain(|_, done| done.revision > 0);
        last
    });
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

/// Bytes that all instances store, as a look at each gives them, and the sum of their revisions.
async fn stored_and_revisions(store: &SledStore) -> (u64, u64) {
    let (mut stored, mut revisions) = (0, 0);
    for id in 0..IDS {
        let Some(record) = store.instance(&hub(), &id.to_string()).await.unwrap() else { continue };
        let (_, events) = store.history(record.number).await.unwrap().unwrap();
        // One event for each commit.
        stored += events.chunks(1).map(|event| super::events_bytes(event).unwrap()).sum::<u64>();
        stored += store.payloads(record.number).await.unwrap().input.map_or(0, |input| input.len() as u64);
        revisions += record.revision;
    }
    (stored, revisions)
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let directory = TempDir::new().unwrap();
    for round in 0..5 {
        let acknowledged = run_and_kill(directory.path(), Duration::from_millis(150 + 173 * round));
        let store = SledStore::open(directory.path(), SledOptions::default()).unwrap();
        let counts = store.counts(&hub()).await.unwrap();
        assert_eq!(counts, super::list_tests::recounted(&store).await);
        let usage = store.usage(&hub()).await.unwrap();
        let (stored, revisions) = stored_and_revisions(&store).await;
        assert_eq!(usage.stored_bytes, stored, "exactly what is there, after purges and replacements");
        // An end that was made up for a process that was killed charges nothing.
        assert!(usage.used.orchestrator_fuel + u64::from(IDS) >= revisions, "{usage:?} {revisions}");
        assert!(counts.all().total() >= acknowledged.len() as u64);
        for (id, done) in acknowledged {
            let found = store.instance(&hub(), &id).await.unwrap().unwrap();
            let known = (done.number, done.revision);
            assert!((found.number, found.revision) >= known, "instance {id}: {found:?} after {known:?}");
            let (record, events) = store.history(found.number).await.unwrap().unwrap();
            assert_eq!(events.len() as u64, record.revision, "instance {id} has one event for each commit");
            assert!(store.payloads(found.number).await.unwrap().input.is_some());
        }
    }
}

/// sled opens a damaged log without a word and drops what follows the damage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_never_passed_over_in_silence() {
    let directory = TempDir::new().unwrap();
    let (data, damaged) = (directory.path().join("data"), directory.path().join("damaged"));
    let store = SledStore::open(&data, SledOptions::default()).unwrap();
    let mut acknowledged = Vec::new();
    for id in 0..150 {
        let commit = Commit { events: vec![completed(0, 2000)], ..start(&id.to_string()) };
        acknowledged.push(store.commit(commit).await.unwrap());
    }
    drop(store);
    let length = std::fs::metadata(data.join("db")).unwrap().len();
    for step in 0..25 {
        let mut log = std::fs::read(data.join("db")).unwrap();
        log[usize::try_from(length * step / 60 + 17).unwrap()] ^= 0x10;
        drop(std::fs::remove_dir_all(&damaged));
        super::tests::copy(&data, &damaged);
        std::fs::write(damaged.join("db"), log).unwrap();
        match SledStore::open(&damaged, SledOptions::default()) {
            Ok(store) => {
                for done in &acknowledged {
                    let (record, events) = store.history(done.number).await.unwrap().unwrap();
                    assert_eq!((record.revision, events), (done.revision, vec![completed(0, 2000)]));
                }
            }
            Err(OpenError::Shortfall { stored, promised, .. }) => assert!(stored < promised && promised == 150),
            Err(error) => panic!("{error}"),
        }
    }
}
