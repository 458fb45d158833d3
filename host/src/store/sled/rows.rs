//! The rows as readers see them: sled's tree, in which a batch appears as one.
//!
//! sled's own batches would do, but each makes it seal and write its buffer; here what makes a batch atomic is the journal.

use std::ops::Range;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use sled::IVec;

/// Rows to write or, without a value, to remove.
pub(super) type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

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
