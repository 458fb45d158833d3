//! Damage anywhere in the files is harmless, or refused with nothing changed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::super::encoding::{self, MetaRow};
use super::super::tests::copy;
use super::super::{OpenError, SledOptions, SledStore, keys};
use super::inspect;
use crate::store::conformance::{completed, next, start};
use crate::store::{Commit, Committed, Store as _};

/// The seed of a test's random choices: given, or new each time.
pub(in super::super) fn random() -> fastrand::Rng {
    let seed = std::env::var("DURAWASM_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("to repeat: DURAWASM_TEST_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// How often a test tries: more by hand.
pub(in super::super) fn rounds(usual: usize) -> usize {
    std::env::var("DURAWASM_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(usual)
}

fn open(path: &Path) -> Result<SledStore, OpenError> {
    SledStore::open(path, SledOptions::default())
}

/// A store that has lived through several openings and filled several segments, and what it acknowledged.
async fn lived(path: &Path, bytes: usize) -> Vec<Committed> {
    let mut acknowledged: Vec<Committed> = Vec::new();
    for session in 0..3 {
        let store = open(path).unwrap();
        for id in 0..100 {
            let commit = Commit { events: vec![completed(0, bytes)], ..start(&format!("{session}-{id}")) };
            acknowledged.push(store.commit(commit).await.unwrap());
            // Old pages change too, so that segments fall free.
            let old = (session * 37 + id * 7) % acknowledged.len();
            let id = format!("{}-{}", old / 100, old % 100);
            let commit = Commit { events: vec![completed(1, bytes / 10)], ..next(&id, acknowledged[old]) };
            acknowledged[old] = store.commit(commit).await.unwrap();
        }
    }
    acknowledged
}

/// Everything in the directory but the lock.
fn contents(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut contents = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() && entry.file_name() != "lock" {
            contents.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
    contents
}

async fn all_there(store: &SledStore, acknowledged: &[Committed], what: &str) {
    for done in acknowledged {
        let (record, events) = store.history(done.number).await.unwrap().unwrap_or_else(|| panic!("{what}: {done:?}"));
        assert_eq!((record.revision, events.len() as u64), (done.revision, done.revision), "{what}");
    }
}

/// Opens what was damaged: all is there, or it is refused and left alone. True: refused.
async fn harmless_or_refused(damaged: &Path, acknowledged: &[Committed], what: &str) -> bool {
    let before = contents(damaged);
    match open(damaged) {
        Ok(store) => {
            all_there(&store, acknowledged, what).await;
            false
        }
        Err(error) => {
            assert!(contents(damaged) == before, "{what}: refused, but changed: {error}");
            true
        }
    }
}

/// A file of the store, the log mostly.
fn file(random: &mut fastrand::Rng, path: &Path) -> PathBuf {
    let snapshot = contents(path).into_keys().find(|path| path.to_string_lossy().contains("/snap.")).unwrap();
    match random.u8(..10) {
        0 => snapshot,
        1 => path.join("conf"),
        _ => path.join("db"),
    }
}

#[tokio::test]
async fn a_flipped_bit_is_harmless_or_refused() {
    let directory = TempDir::new().unwrap();
    let (data, damaged) = (directory.path().join("data"), directory.path().join("damaged"));
    let acknowledged = lived(&data, 30_000).await;
    let mut random = random();
    let mut refused = 0;
    for _ in 0..rounds(25) {
        drop(fs::remove_dir_all(&damaged));
        copy(&data, &damaged);
        let path = file(&mut random, &damaged);
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let at = random.u64(..file.metadata().unwrap().len());
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ (1 << random.u32(..8))], at).unwrap();
        let what = format!("byte {at} of {}", path.display());
        refused += usize::from(harmless_or_refused(&damaged, &acknowledged, &what).await);
    }
    println!("{refused} refused");
    assert!(refused > 0, "no flipped bit was noticed");
}

#[tokio::test]
async fn a_file_cut_short_is_harmless_or_refused() {
    let directory = TempDir::new().unwrap();
    let (data, damaged) = (directory.path().join("data"), directory.path().join("damaged"));
    let acknowledged = lived(&data, 30_000).await;
    let mut random = random();
    let mut refused = 0;
    for _ in 0..rounds(12) {
        drop(fs::remove_dir_all(&damaged));
        copy(&data, &damaged);
        let path = file(&mut random, &damaged);
        let file = File::options().write(true).open(&path).unwrap();
        let length = random.u64(..file.metadata().unwrap().len());
        file.set_len(length).unwrap();
        let what = format!("{} cut to {length} bytes", path.display());
        refused += usize::from(harmless_or_refused(&damaged, &acknowledged, &what).await);
    }
    assert!(refused > 0, "no cut was noticed");
}

#[tokio::test]
async fn the_check_knows_what_sled_will_come_to() {
    let directory = TempDir::new().unwrap();
    for bytes in [10, 1000, 100_000] {
        let data = directory.path().join(bytes.to_string());
        let acknowledged = lived(&data, bytes).await;
        let finding = inspect(&data).unwrap();
        assert_eq!((finding.damage.as_deref(), finding.gap), (None, None), "{bytes}");
        let opened = super::super::open::open(&data, &SledOptions::default()).unwrap();
        assert_eq!(opened.meta, finding.meta, "{bytes}");
        assert_eq!(finding.meta.next_number, 1 + acknowledged.len() as u64);
    }
}

/// sled takes it for its newest and refuses to open.
#[tokio::test]
async fn a_snapshot_that_was_being_written_is_removed() {
    let directory = TempDir::new().unwrap();
    let acknowledged = lived(directory.path(), 100).await;
    fs::write(directory.path().join("snap.00000000FFFFFFFF.generating"), [7; 20]).unwrap();
    all_there(&open(directory.path()).unwrap(), &acknowledged, "an unfinished snapshot").await;
}

/// As a power cut may leave it: sled has synced the snapshot, but not its name.
#[tokio::test]
async fn a_snapshot_that_lost_its_name_is_found() {
    let directory = TempDir::new().unwrap();
    let acknowledged = lived(directory.path(), 100).await;
    let snapshot = contents(directory.path()).into_keys().find(|path| path.to_string_lossy().contains("/snap."));
    let snapshot = snapshot.unwrap();
    fs::rename(&snapshot, snapshot.with_extension(format!("{}.generating", snapshot.extension().unwrap().display())))
        .unwrap();
    all_there(&open(directory.path()).unwrap(), &acknowledged, "a renamed snapshot").await;
    assert!(contents(directory.path()).into_keys().all(|path| !path.to_string_lossy().ends_with(".generating")));
}

/// How far the store is.
fn sequence(store: &SledStore) -> u64 {
    let row = store.shared.tree.get(keys::META).unwrap();
    row.map_or(0, |row| encoding::decode::<MetaRow>(&row, "the row about the store").unwrap().sequence)
}

/// Tells stores apart that differ in any row.
fn fingerprint(store: &SledStore) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for row in store.shared.tree.scan_prefix(b"") {
        let (key, value) = row.unwrap();
        hasher.update(&key);
        hasher.update(&value[..value.len().min(200)]);
    }
    hasher.finalize()
}

/// Batches between two openings.
const SESSION_BATCHES: u64 = 120;

/// Directories of a store as it was at some moments, at work and closed, and its fingerprint after each batch.
struct Lives {
    directory: TempDir,
    moments: Vec<PathBuf>,
    after: BTreeMap<u64, u32>,
}

impl Lives {
    /// Of instances whose first event has so many bytes.
    async fn new(bytes: usize) -> Self {
        let directory = TempDir::new().unwrap();
        let (data, mut moments, mut after) = (directory.path().join("data"), Vec::new(), BTreeMap::from([(0, 0)]));
        let mut moment = |name: String| {
            let path = directory.path().join(name);
            copy(&data, &path);
            moments.push(path);
        };
        let mut all: Vec<Committed> = Vec::new();
        for session in 0..3 {
            let store = open(&data).unwrap();
            for id in 0..60 {
                let commit = Commit { events: vec![completed(0, bytes)], ..start(&format!("{session}-{id}")) };
                all.push(store.commit(commit).await.unwrap());
                after.insert(sequence(&store), fingerprint(&store));
                let old = (session * 37 + id * 7) % all.len();
                let id = format!("{}-{}", old / 60, old % 60);
                all[old] =
                    store.commit(Commit { events: vec![completed(1, 1_000)], ..next(&id, all[old]) }).await.unwrap();
                after.insert(sequence(&store), fingerprint(&store));
            }
            moment(format!("at-work-{session}"));
            drop(store);
            moment(format!("closed-{session}"));
        }
        Self { directory, moments, after }
    }

    /// A copy of one of them that is damaged in some way.
    fn damaged(&self, random: &mut fastrand::Rng) -> (PathBuf, String) {
        let damaged = self.directory.path().join("damaged");
        drop(fs::remove_dir_all(&damaged));
        let moment = &self.moments[random.usize(..self.moments.len())];
        copy(moment, &damaged);
        let name = ["journal", "db"][random.usize(..2)];
        let file = File::options().read(true).write(true).open(damaged.join(name)).unwrap();
        let length = file.metadata().unwrap().len();
        let at = if name == "db" && (length == 0 || random.bool()) {
            let length = random.u64(..=length);
            file.set_len(length).unwrap();
            length
        } else {
            let mut at = random.u64(..length);
            if name == "journal" {
                // Most of it is empty space: somewhere in the beginning of one of the records.
                at = random.u64(..SESSION_BATCHES) * 4096 + random.u64(..400);
            }
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ (1 << random.u32(..8))], at).unwrap();
            at
        };
        (damaged, format!("{}, {name} at {at}", moment.display()))
    }
}

/// Whoever accepts the loss gets the store of one moment where that was said, and can work with it.
async fn what_is_advised_is_sound(bytes: usize, usual: usize) -> usize {
    let lives = Lives::new(bytes).await;
    let mut random = random();
    let (mut exact_ones, mut others) = (0, 0);
    for _ in 0..rounds(usual) {
        let (damaged, what) = lives.damaged(&mut random);
        let refused = match open(&damaged) {
            Ok(store) => {
                assert_eq!(lives.after.get(&sequence(&store)), Some(&fingerprint(&store)), "{what}");
                continue;
            }
            Err(refused) => refused,
        };
        let said = refused.to_string();
        let OpenError::Shortfall { stored, exact, .. } = refused else { continue };
        assert!(said.contains("delete the file 'sequence'"), "{what}: {said}");
        assert_eq!(said.contains(&format!("Everything up to batch {stored} is there")), exact, "{what}: {said}");
        if !exact {
            others += 1;
            continue;
        }
        exact_ones += 1;
        fs::remove_file(damaged.join("sequence")).unwrap();
        let store = open(&damaged).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(sequence(&store), stored, "{what}");
        if stored > 0 {
            assert_eq!(Some(&fingerprint(&store)), lives.after.get(&stored), "{what}: not as it was after {stored}");
        }
        store.commit(start("new")).await.unwrap();
        let (sequence_then, then) = (sequence(&store), fingerprint(&store));
        drop(store);
        let store = open(&damaged).unwrap_or_else(|error| panic!("{what}, again: {error}"));
        assert_eq!((sequence(&store), fingerprint(&store)), (sequence_then, then), "{what}, again");
    }
    println!("{exact_ones} exact, {others} others");
    exact_ones
}

#[tokio::test]
async fn what_is_advised_after_a_loss_is_sound() {
    let exact = what_is_advised_is_sound(300, 40).await;
    assert!(exact > 0, "nothing was lost such that the rest is as it was");
}

/// sled writes a part of the rows before there is a checkpoint.
#[tokio::test]
async fn what_is_advised_after_a_loss_of_what_is_large_is_sound() {
    what_is_advised_is_sound(100_000, 10).await;
}
