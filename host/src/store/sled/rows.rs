//! The rows as readers see them: sled's tree, in which a batch appears as one.
//!
//! sled's own batches would do, but each makes it seal and write its buffer; here what makes a batch atomic is the journal.

use std::ops::{Bound, Range};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use sled::IVec;

/// Rows to write or, without a value, to remove.
pub(super) type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// In place of a value's length: the row is removed.
const REMOVED: u32 = u32::MAX;

/// Appends a row, or its removal: lengths of key and value, key, value.
pub(super) fn encode(buffer: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
    let length = |length: usize| u32::try_from(length).unwrap_or(REMOVED).to_le_bytes();
    buffer.extend_from_slice(&length(key.len()));
    buffer.extend_from_slice(&value.map_or(REMOVED.to_le_bytes(), |value| length(value.len())));
    buffer.extend_from_slice(key);
    buffer.extend_from_slice(value.unwrap_or_default());
}

/// What was encoded one after the other; none, if it was not.
pub(super) fn decode(mut bytes: &[u8]) -> Option<Changes> {
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

/// A key and its value.
type Row = (IVec, IVec);

/// The rows of the store. No single call sees a batch by half; between two calls anything may change.
pub(super) struct Rows {
    tree: sled::Tree,
    /// Held for writing while a batch is applied, for reading by each call.
    changing: RwLock<()>,
}

impl Rows {
    pub(super) fn new(tree: sled::Tree) -> Self {
        Self { tree, changing: RwLock::new(()) }
    }

    pub(super) fn get(&self, key: impl AsRef<[u8]>) -> sled::Result<Option<IVec>> {
        let _unchanging = unchanging(&self.changing);
        self.tree.get(key)
    }

    pub(super) fn contains_key(&self, key: impl AsRef<[u8]>) -> sled::Result<bool> {
        let _unchanging = unchanging(&self.changing);
        self.tree.contains_key(key)
    }

    /// The rows with these keys, in their order.
    pub(super) fn range(&self, keys: Range<Vec<u8>>) -> Found<'_> {
        Found { rows: self.tree.range(keys), changing: &self.changing }
    }

    /// The rows whose keys begin with this, in their order.
    pub(super) fn scan_prefix(&self, prefix: impl AsRef<[u8]>) -> Found<'_> {
        Found { rows: self.tree.scan_prefix(prefix), changing: &self.changing }
    }

    /// Shows the rows after this key as they are at one moment, until there are so many or they have so many bytes. The
    /// last one's key; none, if there are no more.
    pub(super) fn page(
        &self,
        after: &[u8],
        (rows, bytes): (usize, usize),
        mut show: impl FnMut(&[u8], &[u8]),
    ) -> sled::Result<Option<Vec<u8>>> {
        let _unchanging = unchanging(&self.changing);
        let (mut last, mut shown) = (None, 0);
        for row in self.tree.range::<&[u8], _>((Bound::Excluded(after), Bound::Unbounded)).take(rows) {
            let (key, value) = row?;
            show(&key, &value);
            shown += key.len() + value.len();
            last = Some(key);
            if shown >= bytes {
                break;
            }
        }
        Ok(last.map(|key| key.to_vec()))
    }

    /// Applies a batch that is in the journal already.
    pub(super) fn apply(&self, rows: Changes) -> sled::Result<()> {
        let _changing = self.change();
        for (key, value) in rows {
            match value {
                Some(value) => self.tree.insert(key, value)?,
                None => self.tree.remove(key)?,
            };
        }
        Ok(())
    }

    /// Applies a batch such that sled itself recovers all of it or nothing.
    pub(super) fn apply_at_once(&self, rows: Changes) -> sled::Result<()> {
        let mut batch = sled::Batch::default();
        for (key, value) in rows {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        let _changing = self.change();
        self.tree.apply_batch(batch)
    }

    fn change(&self) -> RwLockWriteGuard<'_, ()> {
        // The lock guards no data of its own, so that a panic leaves nothing behind; the writer's end is seen elsewhere.
        self.changing.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unchanging(changing: &RwLock<()>) -> RwLockReadGuard<'_, ()> {
    changing.read().unwrap_or_else(PoisonError::into_inner)
}

/// Rows that a scan finds.
pub(super) struct Found<'a> {
    rows: sled::Iter,
    changing: &'a RwLock<()>,
}

impl<'a> Found<'a> {
    /// Their keys only.
    pub(super) fn keys(self) -> impl DoubleEndedIterator<Item = sled::Result<IVec>> + use<'a> {
        self.map(|row| row.map(|(key, _)| key))
    }
}

impl Iterator for Found<'_> {
    type Item = sled::Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        let _unchanging = unchanging(self.changing);
        self.rows.next()
    }
}

impl DoubleEndedIterator for Found<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let _unchanging = unchanging(self.changing);
        self.rows.next_back()
    }
}
