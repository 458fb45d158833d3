//! How batches become durable: the journal for each group, a checkpoint of sled's own log now and then.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use super::collect::Changes;
use super::encoding::MetaRow;
use super::journal::Journal;
use super::open::{SEGMENT_BYTES, Sidecar};
use crate::store::StoreError;

/// Bytes of rows after which a checkpoint is due, even within a group. sled takes what it has written for synced: a
/// segment whose pages have moved is filled anew as soon as a whole further segment has been written. A power cut must
/// not find the old segment overwritten and the moved pages lost, so less than a segment is written between two syncs;
/// sled writes up to three times as much as the rows have.
const UNSYNCED_BYTES: usize = SEGMENT_BYTES / 4;

/// The files of an open store, as the writer has them.
pub(super) struct Disk {
    shared: Arc<Shared>,
    /// sled's log, for syncing it.
    data: File,
    sidecar: Sidecar,
    journal: Journal,
    /// Bytes of rows applied since the last checkpoint.
    unsynced: usize,
    /// What the last sync took.
    pub(super) sync_took: Duration,
}

impl Disk {
    pub(super) fn new(shared: Arc<Shared>, data: File, sidecar: Sidecar, journal: Journal) -> Self {
        Self { shared, data, sidecar, journal, unsynced: 0, sync_took: Duration::ZERO }
    }

    /// Applies rows as one batch: readers can see them from here on, and [`Disk::sync`] makes them durable. `meta` is the
    /// store after them, and among them. An error is final: whether they are on the disk is unknown.
    pub(super) fn apply(&mut self, rows: Changes, meta: MetaRow) -> Result<(), StoreError> {
        let bytes: usize = rows.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum();
        let is_journaled = self.journal.add(meta.sequence, &rows);
        let mut batch = sled::Batch::default();
        for (key, value) in rows {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.shared.durable.announce(meta.sequence);
        self.shared.tree.apply_batch(batch).map_err(|error| self.stopped("a batch could not be written", &error))?;
        self.unsynced += bytes;
        if is_journaled && self.unsynced < UNSYNCED_BYTES { Ok(()) } else { self.checkpoint(meta) }
    }

    /// Makes everything applied durable. An error is final.
    pub(super) fn sync(&mut self, meta: MetaRow) -> Result<(), StoreError> {
        if self.journal.is_written() {
            return Ok(());
        }
        let began = Instant::now();
        self.journal.write().map_err(|error| self.stopped("the journal could not be written", &error))?;
        self.before_sync()?;
        self.journal.sync().map_err(|error| self.stopped("a sync failed", &error))?;
        self.sync_took = began.elapsed();
        self.done(meta);
        Ok(())
    }

    /// Makes everything applied durable in sled's own log, and begins the journal anew. An error is final.
    fn checkpoint(&mut self, meta: MetaRow) -> Result<(), StoreError> {
        self.shared.db.flush().map_err(|error| self.stopped("a flush failed", &error))?;
        self.before_sync()?;
        // sled's flush calls sync_file_range, which leaves the file's length and the disk's cache alone.
        self.data.sync_data().map_err(|error| self.stopped("a sync failed", &error))?;
        self.journal.restart();
        self.unsynced = 0;
        self.done(meta);
        Ok(())
    }

    /// Leaves nothing in the journal that the next start would have to apply. An error is final.
    pub(super) fn close(&mut self, meta: MetaRow) -> Result<(), StoreError> {
        if self.unsynced > 0 { self.checkpoint(meta) } else { Ok(()) }
    }

    fn before_sync(&self) -> Result<(), StoreError> {
        if let Some(gate) = &self.shared.options.sync_gate {
            gate.pass().map_err(|error| self.stopped("a sync failed", &error))?;
        }
        if let Some(delay) = self.shared.options.sync_delay {
            std::thread::sleep(delay);
        }
        Ok(())
    }

    fn done(&self, meta: MetaRow) {
        self.sidecar.promise(meta);
        self.shared.durable.publish();
    }

    /// After this nothing is tried again: the kernel may have dropped the pages that it could not write. The reason is
    /// published before any answer is dropped, so that whoever waits for one finds it.
    fn stopped(&self, what: &str, error: &dyn std::fmt::Display) -> StoreError {
        let reason = format!("{what} ({error}); what was not acknowledged may be lost");
        self.shared.durable.fail(&reason);
        StoreError::Unavailable(reason)
    }
}
