//! Power cuts: a process that commits at full speed is recorded, and of what it had not synced at some moment nothing,
//! a part, torn pieces or everything is left. What it had acknowledged by then must be there.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod recording;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use self::recording::Recording;
use super::crash::{self, IDS};
use super::inspect::tests::{random, rounds};
use super::{SledOptions, SledStore};
use crate::store::conformance::hub;
use crate::store::{Committed, Store as _};

/// How long the recorded process runs: it commits some thousand times.
const RUN: Duration = Duration::from_millis(700);

/// What a sync takes on a slow disk, in microseconds.
const SLOW: u32 = 1_000;

/// Builds the library that stands between a process and its disk.
fn shim(directory: &Path) -> PathBuf {
    let library = directory.join("disk.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/shim/disk.c");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let built = Command::new(compiler).args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status();
    assert!(built.unwrap().success(), "a C compiler is needed");
    library
}

/// The files in a data directory, by name.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            files.insert(entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
        }
    }
    files
}

/// Runs the committing process on a data directory and records it. `slow`: microseconds that a sync takes longer.
fn record(library: &Path, data: &Path, slow: u32) -> Recording {
    let before = files(data);
    let path = data.with_extension("recording");
    drop(fs::remove_file(&path));
    let mut process = crash::process(data);
    if slow > 0 {
        // What is large is written otherwise.
        process.env(crash::SMALL, "1");
    }
    let mut child = process
        .env("LD_PRELOAD", library)
        .env("DISK_DIRECTORY", data)
        .env("DISK_RECORD", &path)
        .env("DISK_SLOW", slow.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while !path.exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(RUN);
    child.kill().unwrap();
    child.wait().unwrap();
    Recording::read(&before, &fs::read(path).unwrap())
}

/// How far each instance has come.
type Known = BTreeMap<String, Committed>;

/// Everything known before and acknowledged since is there, and no commit is there by half. What is there.
async fn check(path: &Path, before: &Known, said: &str, what: &str) -> Known {
    let store = SledStore::open(path, SledOptions::default()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let acknowledged = crash::acknowledged(said.lines());
    let mut there = Known::new();
    for id in 0..IDS {
        let id = id.to_string();
        let found = store.instance(&hub(), &id).await.unwrap();
        let order = |done: &Committed| (done.number, done.revision);
        let is_promised = acknowledged.get(&id).is_none_or(|done| done.revision > 0);
        let known = before.get(&id).into_iter().chain(acknowledged.get(&id)).map(order).max().filter(|_| is_promised);
        let done = found.as_ref().map(|found| Committed::at(found.number, found.revision));
        assert!(done.as_ref().map(order) >= known, "{what}: instance {id} is at {done:?}, but was at {known:?}");
        there.extend(done.map(|done| (id.clone(), done)));
        let Some(found) = found else { continue };
        let (record, events) = store.history(found.number).await.unwrap().unwrap();
        assert_eq!(events.len() as u64, record.revision, "{what}: instance {id} has one event for each commit");
        let input = store.payloads(found.number).await.unwrap().input;
        assert!(input.is_some(), "{what}: instance {id} has its input");
    }
    there
}

#[tokio::test]
async fn what_was_acknowledged_survives_power_cuts() {
    cut_power(0).await;
}

/// There, commits are decided and written while earlier ones are being synced.
#[tokio::test]
async fn what_was_acknowledged_survives_power_cuts_of_a_slow_disk() {
    assert!(cut_power(SLOW).await > 0, "no syncs side by side");
}

/// How many syncs were side by side with another.
async fn cut_power(slow: u32) -> usize {
    let directory = TempDir::new().unwrap();
    let library = shim(directory.path());
    let (data, image) = (directory.path().join("data"), directory.path().join("image"));
    fs::create_dir(&data).unwrap();
    let mut random = random();
    let mut before = Known::new();
    let (mut acknowledged, mut side_by_side) = (0, 0);
    for round in 0..rounds(2) {
        // The first process finds nothing, each further one what a power cut has left.
        let recording = record(&library, &data, slow);
        side_by_side += recording.side_by_side;
        // Opening is the shortest part, and the one in which sled changes the most.
        let opening = recording.len().min(40);
        let mut cuts: Vec<_> = (0..20).map(|n| random.usize(..=[recording.len(), opening][n % 2])).collect();
        cuts.sort_unstable();
        // Not always the last: that the next process starts from little is of interest, too.
        let next = random.usize(cuts.len() / 2..cuts.len());
        let mut there = Known::new();
        for ((index, cut), disk) in cuts.iter().enumerate().zip(recording.images(&cuts, &mut random)) {
            disk.write(&image);
            let what = format!("round {round}, cut {cut} of {}", recording.len());
            let found = check(&image, &before, &disk.said, &what).await;
            acknowledged += usize::from(disk.said.contains("ack"));
            if index == next {
                disk.write(&data);
                there = found;
            }
        }
        before = there;
    }
    assert!(acknowledged > 0, "no process had acknowledged anything");
    side_by_side
}
