//! Damage anywhere in the files is harmless, or refused with nothing changed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::super::tests::copy;
use super::super::{OpenError, SledOptions, SledStore};
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
