//! The journal: a file that holds, in order, every batch since the last checkpoint. A batch is durable once it is in
//! there and synced, which is one short write into space that the file has already. Only then are its rows given to
//! sled, which writes them when its buffers are full; at a checkpoint sled is made to write what it has, and the
//! journal begins anew.
//!
//! Opening applies all batches of the journal once more: sled may have written any part of their rows, in their order.
//! The journal's readable beginning ends at the first record that is torn, belongs to an earlier run (each
//! time it begins anew, a run has a new random number), or does not follow its predecessor.
//!
//! Writes go past the system's cache where the file system allows it: a cache may hold such a file in pieces of
//! megabytes, and then writes megabytes for each small change. So they consist of whole blocks.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::encoding::{self, MetaRow};
use super::rows::{Changes, Rows};
use super::{keys, rows};
use crate::store::StoreError;

/// The file, whose whole length is written when it is made: then a sync need not also write where the file's bytes lie.
pub(super) const JOURNAL_BYTES: usize = 8 << 20;

/// Each write begins at a multiple of this and is a multiple of it long.
const BLOCK: usize = 4096;

const NAME: &str = "journal";

/// Checksum, length of the rows, run, sequence number.
const HEADER: usize = 4 + 4 + 8 + 8;

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

    /// What it changes.
    fn rows(self) -> Changes {
        self.rows
    }
}

/// Applies the batches of these records once more. Only the last one's row about the store: a process that ends
/// meanwhile must not leave one that lies further back than what sled's log is known to have.
///
/// # Errors
/// sled's.
pub(super) fn replay(tree: &Rows, records: Vec<Record>) -> sled::Result<()> {
    let last = records.len().saturating_sub(1);
    for (index, record) in records.into_iter().enumerate() {
        let mut rows = record.rows();
        rows.retain(|(key, _)| index == last || key != keys::META);
        tree.apply(rows)?;
    }
    Ok(())
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

fn records(bytes: &[u8]) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    let (mut at, mut first_run) = (0, None);
    // One write holds records side by side; the next write begins with the next block.
    while let Some((run, record, length)) = record_at(bytes, at).or_else(|| {
        at = at.next_multiple_of(BLOCK);
        record_at(bytes, at)
    }) {
        let follows = records.last().is_none_or(|last| last.sequence.checked_add(1) == Some(record.sequence));
        if !follows || *first_run.get_or_insert(run) != run {
            break;
        }
        records.push(record);
        at += length;
    }
    records
}

/// The run of the record at this place, the record, and its length.
fn record_at(bytes: &[u8], at: usize) -> Option<(u64, Record, usize)> {
    let bytes = bytes.get(at..)?;
    let (checksum, checked) = bytes.split_first_chunk::<4>()?;
    let (length, rest) = checked.split_first_chunk::<4>()?;
    let (run, rest) = rest.split_first_chunk::<8>()?;
    let (sequence, rest) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let rows = rest.get(..length)?;
    let checked = checked.get(..HEADER - 4 + length)?;
    // An empty record is no record: it would be what untouched space looks like.
    if rows.is_empty() || crc32fast::hash(checked) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let record = Record { sequence: u64::from_le_bytes(*sequence), rows: rows::decode(rows)? };
    Some((u64::from_le_bytes(*run), record, HEADER + length))
}

/// Whether the store comes further with these records. If they begin where it ends or before, all of them are applied:
/// of what they change sled may have written a part by itself.
pub(super) fn continues(stored: MetaRow, records: &[Record]) -> bool {
    let (Some(first), Some(last)) = (records.first(), records.last()) else { return false };
    first.sequence <= stored.sequence + 1 && last.sequence >= stored.sequence
}

/// How far the store comes with these records.
pub(super) fn reached(stored: MetaRow, records: &[Record]) -> Result<MetaRow, StoreError> {
    match records.last() {
        Some(last) if continues(stored, records) => last.meta(),
        Some(_) | None => Ok(stored),
    }
}

/// The journal, open for writing from its beginning.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    run: u64,
    /// Where the next write goes.
    at: usize,
    /// The record to be written, from [`Journal::begin`] on, within which it begins at a multiple of a block's length.
    buffer: Vec<u8>,
}

impl Journal {
    /// Opens the journal, and makes it if it is missing. The caller syncs the directory if it may be new.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let path = directory.join(NAME);
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path)?;
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX).min(JOURNAL_BYTES);
        if length < JOURNAL_BYTES {
            file.write_all_at(&vec![0; JOURNAL_BYTES - length], length as u64)?;
        }
        file.sync_all()?;
        let file = uncached(&path).unwrap_or(file);
        Ok(Self { file, path, run: new_run(), at: 0, buffer: Vec::new() })
    }

    /// Writes a batch; it is durable after [`Journal::sync`]. False: there is no room for it.
    ///
    /// # Errors
    /// The file system's; what is in the file then is unknown.
    pub(super) fn write(&mut self, sequence: u64, rows: &Changes) -> io::Result<bool> {
        let size = |(key, value): &(Vec<u8>, Option<Vec<u8>>)| 8 + key.len() + value.as_ref().map_or(0, Vec::len);
        let length: usize = rows.iter().map(size).sum();
        let written = (HEADER + length).next_multiple_of(BLOCK);
        if self.at + written > JOURNAL_BYTES {
            return Ok(false);
        }
        self.buffer.clear();
        self.buffer.reserve(written + BLOCK);
        let begin = self.buffer.as_ptr().align_offset(BLOCK).min(BLOCK);
        self.buffer.resize(begin, 0);
        encode(&mut self.buffer, (self.run, sequence, length), rows);
        self.buffer.resize(begin + written, 0);
        self.file.write_all_at(&self.buffer[begin..], self.at as u64)?;
        self.at += written;
        Ok(true)
    }

    /// Bytes that are left.
    pub(super) fn room(&self) -> usize {
        JOURNAL_BYTES - self.at
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// The file system's; what is durable then is unknown.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// The file once more, for a thread that syncs what was written here. Not a copy of the descriptor: of a write that
    /// failed in the system's cache only one sync is told through those that share one.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(super) fn to_sync(&self) -> io::Result<File> {
        OpenOptions::new().write(true).open(&self.path)
    }

    /// Leaves nothing to be applied at the next opening. Everything written is durable elsewhere.
    ///
    /// # Errors
    /// The file system's; then it is applied again, which changes nothing.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        let block = vec![0; 2 * BLOCK];
        let begin = block.as_ptr().align_offset(BLOCK).min(BLOCK);
        self.file.write_all_at(&block[begin..begin + BLOCK], 0)?;
        self.sync()
    }

    /// Everything written so far is durable elsewhere: begins anew.
    pub(super) fn restart(&mut self) {
        self.at = 0;
        self.run = new_run();
    }
}

/// The file once more, past the system's cache; none, if its file system does not offer that.
#[cfg(target_os = "linux")]
fn uncached(path: &Path) -> Option<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(path).ok()?;
    let block = vec![0; 2 * BLOCK];
    let begin = block.as_ptr().align_offset(BLOCK).min(BLOCK);
    // Behind the journal: whether such writes work is only seen by trying.
    file.write_all_at(&block[begin..begin + BLOCK], JOURNAL_BYTES as u64).ok()?;
    Some(file)
}

#[cfg(not(target_os = "linux"))]
fn uncached(_path: &Path) -> Option<File> {
    None
}

fn encode(buffer: &mut Vec<u8>, (run, sequence, length): (u64, u64, usize), changes: &Changes) {
    let begin = buffer.len();
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    buffer.extend_from_slice(&run.to_le_bytes());
    buffer.extend_from_slice(&sequence.to_le_bytes());
    for (key, value) in changes {
        rows::encode(buffer, key, value.as_deref());
    }
    let checksum = crc32fast::hash(&buffer[begin + 4..]);
    buffer[begin..begin + 4].copy_from_slice(&checksum.to_le_bytes());
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
            assert!(journal.write(sequence, &rows(sequence, &[7; 100])).unwrap());
        }
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
        // Longer than a block, and exactly one or two blocks long.
        let empty = 8 + encode_length(&rows(7, b""));
        for (sequence, length) in
            [(7, 9_000), (8, BLOCK - HEADER - empty + 8), (9, 2 * BLOCK - HEADER - empty + 8), (10, 0)]
        {
            assert!(journal.write(sequence, &rows(sequence, &vec![9; length])).unwrap());
        }
        assert_eq!(sequences(directory.path()), [4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(read(directory.path()).unwrap()[3].rows, rows(7, &[9; 9_000]));
    }

    fn encode_length(rows: &Changes) -> usize {
        rows.iter().map(|(key, value)| 8 + key.len() + value.as_ref().map_or(0, Vec::len)).sum()
    }

    /// The new records have the length of the old ones, so that the old ones behind them begin where one is expected,
    /// with the right number.
    #[test]
    fn an_earlier_run_is_no_continuation() {
        let directory = TempDir::new().unwrap();
        let mut journal = written(directory.path(), 1..5);
        journal.restart();
        assert!(journal.write(1, &rows(1, &[8; 100])).unwrap());
        assert_eq!(sequences(directory.path()), [1]);
    }

    #[test]
    fn a_torn_record_ends_it() {
        let directory = TempDir::new().unwrap();
        drop(written(directory.path(), 1..4));
        let whole = fs::read(directory.path().join(NAME)).unwrap();
        let record = HEADER + encode_length(&rows(1, &[7; 100]));
        for (block, at) in (0..3).flat_map(|block| (0..record).map(move |at| (block, at))) {
            let mut torn = whole.clone();
            torn[block * BLOCK + at] ^= 1;
            assert_eq!(records(&torn).len(), block, "byte {at} of record {block}");
        }
        assert_eq!(records(&whole[..2 * BLOCK + 5]).len(), 2);
    }

    #[test]
    fn records_are_applied_where_they_fit() {
        let record = |sequence| Record { sequence, rows: rows(sequence, b"v") };
        let stored = |sequence| MetaRow { sequence, next_number: 1, last_mail: None };
        let records = [record(5), record(6), record(7)];
        let reached = |sequence| reached(stored(sequence), &records).unwrap().sequence;
        assert_eq!((reached(4), reached(5), reached(6), reached(7)), (7, 7, 7, 7));
        assert_eq!(reached(9), 9, "the store is further");
        assert_eq!(reached(2), 2, "there is a gap");
        assert!(continues(stored(7), &records), "sled may have written a part of the last one only");
    }

    /// Of a replay that does not come to its end only rows may be left that the next one writes again.
    #[test]
    fn a_replay_writes_the_row_about_the_store_last() {
        let db = sled::Config::new().temporary(true).open().unwrap();
        let tree = Rows::new(sled::Tree::clone(&db));
        let record = |sequence, rows| Record { sequence, rows };
        let last = vec![(b"k".to_vec(), Some(b"last".to_vec()))];
        replay(&tree, vec![record(1, rows(1, b"first")), record(2, last)]).unwrap();
        assert_eq!(tree.get(b"k").unwrap().unwrap(), b"last");
        assert!(tree.contains_key(b"empty").unwrap() && !tree.contains_key(keys::META).unwrap());
        replay(&tree, vec![record(1, rows(1, b"first")), record(2, rows(2, b"last"))]).unwrap();
        assert_eq!(tree.get(keys::META).unwrap().unwrap(), rows(2, b"")[3].1.as_deref().unwrap());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let directory = TempDir::new().unwrap();
        let mut journal = Journal::open(directory.path()).unwrap();
        assert!(!journal.write(1, &rows(1, &vec![0; JOURNAL_BYTES])).unwrap());
        assert!(journal.write(1, &rows(1, &vec![0; JOURNAL_BYTES / 2])).unwrap());
        assert!(!journal.write(2, &rows(2, &vec![0; JOURNAL_BYTES / 2])).unwrap());
        assert_eq!(sequences(directory.path()), [1]);
    }
}
