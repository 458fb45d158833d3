//! How batches become durable: in the journal first, then in sled, at a checkpoint in sled's own log.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Shared;
use super::encoding::MetaRow;
use super::journal::Journal;
use super::open::{Promise, Sidecar};
use super::rows::Changes;
use crate::store::StoreError;

/// The files of an open store, as the writer has them.
pub(super) struct Disk {
    shared: Arc<Shared>,
    /// sled's log, for syncing it.
    data: File,
    sidecar: Sidecar,
    journal: Journal,
    /// The last batch that sled's log has durably, and the last one applied.
    checkpoint: u64,
    applied: u64,
    /// What the last sync took.
    pub(super) sync_took: Duration,
}

impl Disk {
    /// `sequence`: the last batch that sled's log has, durably.
    pub(super) fn new(shared: Arc<Shared>, (data, sidecar, journal): (File, Sidecar, Journal), sequence: u64) -> Self {
        Self { shared, data, sidecar, journal, checkpoint: sequence, applied: sequence, sync_took: Duration::ZERO }
    }

    /// Makes a batch durable, and then visible. `meta` is the store after it, and among its rows. An error is final:
    /// whether the batch is on the disk is unknown.
    pub(super) fn apply(&mut self, rows: Changes, meta: MetaRow) -> Result<(), StoreError> {
        let began = Instant::now();
        if !self.write(&rows, meta)? {
            self.checkpoint()?;
            if !self.write(&rows, meta)? {
                return self.apply_at_once(rows, meta);
            }
        }
        self.before_sync()?;
        self.journal.sync().map_err(|error| self.stopped("a sync failed", &error))?;
        self.sync_took = began.elapsed();
        self.shared.meters.synced(self.sync_took);
        // Before sled has the first of the rows: what it writes of them is nothing without the journal.
        self.sidecar.write(Promise::new(meta, self.checkpoint));
        self.shared.durable.announce(meta.sequence);
        self.applied = meta.sequence;
        self.shared.tree.apply(rows).map_err(|error| self.stopped("rows could not be written", &error))?;
        self.shared.durable.publish();
        Ok(())
    }

    fn write(&mut self, rows: &Changes, meta: MetaRow) -> Result<bool, StoreError> {
        let written = self.journal.write(meta.sequence, rows);
        written.map_err(|error| self.stopped("the journal could not be written", &error))
    }

    /// A batch that is larger than the journal.
    fn apply_at_once(&mut self, rows: Changes, meta: MetaRow) -> Result<(), StoreError> {
        // Whoever sees a row waits until the batch is durable.
        self.shared.durable.announce(meta.sequence);
        self.shared.tree.apply_at_once(rows).map_err(|error| self.stopped("rows could not be written", &error))?;
        self.applied = meta.sequence;
        self.checkpoint()?;
        self.sidecar.write(Promise::new(meta, self.checkpoint));
        self.shared.durable.publish();
        Ok(())
    }

    /// Makes everything applied durable in sled's own log, and begins the journal anew. An error is final.
    fn checkpoint(&mut self) -> Result<(), StoreError> {
        self.shared.db.flush().map_err(|error| self.stopped("a flush failed", &error))?;
        self.before_sync()?;
        self.data.sync_data().map_err(|error| self.stopped("a sync failed", &error))?;
        self.journal.restart();
        self.checkpoint = self.applied;
        Ok(())
    }

    /// Leaves nothing in the journal that the next start would have to apply. An error is final.
    pub(super) fn close(&mut self, meta: MetaRow) -> Result<(), StoreError> {
        if self.applied == self.checkpoint {
            return Ok(());
        }
        self.checkpoint()?;
        self.journal.clear().map_err(|error| self.stopped("the journal could not be written", &error))?;
        self.sidecar.write(Promise::new(meta, self.checkpoint));
        Ok(())
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

    /// After this nothing is tried again: the kernel may have dropped the pages that it could not write. The reason is
    /// published before any answer is dropped, so that whoever waits for one finds it.
    fn stopped(&self, what: &str, error: &dyn std::fmt::Display) -> StoreError {
        let reason = format!("{what} ({error}); what was not acknowledged may be lost");
        self.shared.durable.fail(&reason);
        StoreError::Unavailable(reason)
    }
}
