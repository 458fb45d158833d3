//! The journal: a file that holds, in order, every batch since the last checkpoint. A group is durable once it is in
//! there and synced, which is one short write into space that the file has already; sled's own log is flushed and
//! synced only at a checkpoint, after which the journal is written from its beginning again.
//!
//! Opening applies what sled lacks. A batch has a sequence number, which sled's rows carry too, so that none is applied
//! twice. The journal's readable beginning ends at the first record that is torn, belongs to an earlier run (each
//! time it begins anew, a run has a new random number), or does not follow its predecessor.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::collect::Changes;
use super::encoding::{self, MetaRow};
use super::keys;
use crate::store::StoreError;

/// The file, whose whole length is written when it is made: then a sync need not also write where the file's bytes lie.
pub(super) const JOURNAL_BYTES: usize = 2 << 20;

const NAME: &str = "journal";

/// Checksum, length of the rows, run, sequence number.
const HEADER: usize = 4 + 4 + 8 + 8;

/// In place of a value's length: the row is removed.
const REMOVED: u32 = u32::MAX;

/// A batch in the journal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) sequence: u64,
    rows: Changes,
}

impl Record {
    /// The row about the store that the batch carries.
    pub(super) fn meta(&self) -> Result<MetaRow, StoreError> {
        let row = self.rows.iter().rev().find(|(key, _)| key == keys::META).and_then(|(_, value)| value.as_deref());
        let row = row.ok_or_else(|| StoreError::Corrupt("a record of the journal has no sequence number".into()))?;
        encoding::decode(row, "the row about the store")
    }

    fn batch(self) -> sled::Batch {
        let mut batch = sled::Batch::default();
        for (key, value) in self.rows {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        batch
    }
}

/// Reads the journal's beginning; nothing, if there is no journal. Changes nothing.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn read(directory: &Path) -> io::Result<Vec<Record>> {
    match fs::read(directory.join(NAME)) {
        Ok(bytes) => Ok(records(&bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn records(mut bytes: &[u8]) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    let mut first_run = None;
    while let Some((run, record, rest)) = record(bytes) {
        let follows = records.last().is_none_or(|last| last.sequence.checked_add(1) == Some(record.sequence));
        if !follows || *first_run.get_or_insert(run) != run {
            break;
        }
        records.push(record);
        bytes = rest;
    }
    records
}

fn record(bytes: &[u8]) -> Option<(u64, Record, &[u8])> {
    let (checksum, checked) = bytes.split_first_chunk::<4>()?;
    let (length, rest) = checked.split_first_chunk::<4>()?;
    let (run, rest) = rest.split_first_chunk::<8>()?;
    let (sequence, rest) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (rows, rest) = rest.split_at_checked(length)?;
    let checked = checked.get(..HEADER - 4 + length)?;
    // An empty record is no record: it would be what untouched space looks like.
    if rows.is_empty() || crc32fast::hash(checked) != u32::from_le_bytes(*checksum) {
        return None;
    }
    Some((u64::from_le_bytes(*run), Record { sequence: u64::from_le_bytes(*sequence), rows: decode(rows)? }, rest))
}

fn decode(mut bytes: &[u8]) -> Option<Changes> {
    let mut rows = Changes::new();
    while !bytes.is_empty() {
        let (key_length, rest) = bytes.split_first_chunk::<4>()?;
        let (value_length, rest) = rest.split_first_chunk::<4>()?;
        let (key, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*key_length)).ok()?)?;
        let value_length = u32::from_le_bytes(*value_length);
        if value_length == REMOVED {
            rows.push((key.to_vec(), None));
            bytes = rest;
        } else {
            let (value, rest) = rest.split_at_checked(usize::try_from(value_length).ok()?)?;
            rows.push((key.to_vec(), Some(value.to_vec())));
            bytes = rest;
        }
    }
    Some(rows)
}

/// How far the store comes with these records: the row about the store after the last one that continues it.
pub(super) fn reached(stored: MetaRow, records: &[Record]) -> Result<MetaRow, StoreError> {
    missing(stored, records).last().map_or(Ok(stored), Record::meta)
}

/// The records that continue what is stored; none, if there is a gap between.
fn missing(stored: MetaRow, records: &[Record]) -> &[Record] {
    let next = stored.sequence + 1;
    records.iter().position(|record| record.sequence == next).map_or(&[], |first| &records[first..])
}

/// Applies what the store lacks. True: there was something, which is not durable yet in the store itself.
pub(super) fn replay(tree: &sled::Tree, stored: MetaRow, mut records: Vec<Record>) -> Result<bool, StoreError> {
    let count = missing(stored, &records).len();
    for record in records.drain(records.len() - count..) {
        tree.apply_batch(record.batch()).map_err(super::read::failed)?;
    }
    Ok(count > 0)
}

/// The journal, open for writing from its beginning.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    run: u64,
    /// Where the next write goes.
    at: usize,
    /// Records to be written.
    pending: Vec<u8>,
}

impl Journal {
    /// Opens the journal, and makes it if it is missing. The caller syncs the directory if it may be new.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let path = directory.join(NAME);
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX).min(JOURNAL_BYTES);
        if length < JOURNAL_BYTES {
            file.write_all_at(&vec![0; JOURNAL_BYTES - length], length as u64)?;
            file.sync_all()?;
        }
        Ok(Self { file, run: new_run(), at: 0, pending: Vec::new() })
    }

    /// Adds a batch to what is to be written. False: there is no room for it.
    pub(super) fn add(&mut self, sequence: u64, rows: &[(Vec<u8>, Option<Vec<u8>>)]) -> bool {
        let size = |(key, value): &(Vec<u8>, Option<Vec<u8>>)| 8 + key.len() + value.as_ref().map_or(0, Vec::len);
        let length: usize = rows.iter().map(size).sum();
        if self.at + self.pending.len() + HEADER + length > JOURNAL_BYTES {
            return false;
        }
        let length_field = |length: usize| u32::try_from(length).unwrap_or(REMOVED).to_le_bytes();
        let begin = self.pending.len();
        self.pending.extend_from_slice(&[0; 4]);
        self.pending.extend_from_slice(&length_field(length));
        self.pending.extend_from_slice(&self.run.to_le_bytes());
        self.pending.extend_from_slice(&sequence.to_le_bytes());
        for (key, value) in rows {
            self.pending.extend_from_slice(&length_field(key.len()));
            match value {
                Some(value) => {
                    self.pending.extend_from_slice(&length_field(value.len()));
                    self.pending.extend_from_slice(key);
                    self.pending.extend_from_slice(value);
                }
                None => {
                    self.pending.extend_from_slice(&REMOVED.to_le_bytes());
                    self.pending.extend_from_slice(key);
                }
            }
        }
        let checksum = crc32fast::hash(&self.pending[begin + 4..]);
        self.pending[begin..begin + 4].copy_from_slice(&checksum.to_le_bytes());
        true
    }

    /// True: nothing waits to be written.
    pub(super) fn is_written(&self) -> bool {
        self.pending.is_empty()
    }

    /// Writes what was added. It is durable after [`Journal::sync`].
    ///
    /// # Errors
    /// The file system's; what is in the file then is unknown.
    pub(super) fn write(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.pending, self.at as u64)?;
        self.at += self.pending.len();
        self.pending.clear();
        Ok(())
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// The file system's; what is durable then is unknown.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Everything added so far is durable elsewhere: begins anew.
    pub(super) fn restart(&mut self) {
        self.at = 0;
        self.pending.clear();
        self.run = new_run();
    }
}

/// What an earlier run left further behind in the file must never be taken for a continuation of this one.
fn new_run() -> u64 {
    uuid::Uuid::now_v7().as_u64_pair().1
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn rows(sequence: u64, value: &[u8]) -> Changes {
        let meta = encoding::encode(&MetaRow { sequence, next_number: 1, last_mail: None }).unwrap();
        vec![
            (b"k".to_vec(), Some(value.to_vec())),
            (b"gone".to_vec(), None),
            (b"empty".to_vec(), Some(Vec::new())),
            (keys::META.to_vec(), Some(meta)),
        ]
    }

    fn written(directory: &Path, sequences: std::ops::Range<u64>) -> Journal {
        let mut journal = Journal::open(directory).unwrap();
        for sequence in sequences {
            assert!(journal.add(sequence, &rows(sequence, &[7; 100])));
        }
        journal.write().unwrap();
        journal.sync().unwrap();
        journal
    }

    fn sequences(directory: &Path) -> Vec<u64> {
        read(directory).unwrap().iter().map(|record| record.sequence).collect()
    }

    #[test]
    fn what_was_written_is_read() {
        let directory = TempDir::new().unwrap();
        assert_eq!(sequences(directory.path()), [0; 0]);
        let mut journal = written(directory.path(), 4..7);
        assert_eq!(sequences(directory.path()), [4, 5, 6]);
        assert_eq!(read(directory.path()).unwrap()[1].rows, rows(5, &[7; 100]));
        assert_eq!(read(directory.path()).unwrap()[1].meta().unwrap().sequence, 5);
        assert!(journal.add(7, &rows(7, b"")));
        assert_eq!(sequences(directory.path()), [4, 5, 6], "only added");
        journal.write().unwrap();
        assert_eq!(sequences(directory.path()), [4, 5, 6, 7]);
    }

    /// The new records have the length of the old ones, so that the old ones behind them begin where one is expected,
    /// with the right number.
    #[test]
    fn an_earlier_run_is_no_continuation() {
        let directory = TempDir::new().unwrap();
        let mut journal = written(directory.path(), 1..5);
        journal.restart();
        assert!(journal.add(1, &rows(1, &[8; 100])));
        journal.write().unwrap();
        assert_eq!(sequences(directory.path()), [1]);
    }

    #[test]
    fn a_torn_record_ends_it() {
        let directory = TempDir::new().unwrap();
        drop(written(directory.path(), 1..4));
        let whole = fs::read(directory.path().join(NAME)).unwrap();
        let record = HEADER
            + rows(1, &[7; 100]).iter().map(|(k, v)| 8 + k.len() + v.as_ref().map_or(0, Vec::len)).sum::<usize>();
        for at in 0..3 * record {
            let mut torn = whole.clone();
            torn[at] ^= 1;
            assert_eq!(records(&torn).len(), at / record, "byte {at}");
        }
        assert_eq!(records(&whole[..2 * record + 5]).len(), 2);
    }

    #[test]
    fn only_what_follows_is_missing() {
        let record = |sequence| Record { sequence, rows: rows(sequence, b"v") };
        let stored = |sequence| MetaRow { sequence, next_number: 1, last_mail: None };
        let records = [record(5), record(6), record(7)];
        let reached = |sequence| reached(stored(sequence), &records).unwrap().sequence;
        assert_eq!((reached(4), reached(5), reached(6), reached(7)), (7, 7, 7, 7));
        assert_eq!(reached(9), 9, "the store is further");
        assert_eq!(reached(2), 2, "there is a gap");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let directory = TempDir::new().unwrap();
        let mut journal = Journal::open(directory.path()).unwrap();
        assert!(!journal.add(1, &rows(1, &vec![0; JOURNAL_BYTES])));
        assert!(journal.is_written());
        assert!(journal.add(1, &rows(1, &vec![0; JOURNAL_BYTES / 2])));
        assert!(!journal.add(2, &rows(2, &vec![0; JOURNAL_BYTES / 2])));
    }
}
