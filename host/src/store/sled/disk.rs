//! How batches become durable: in the journal first, then in sled, at a checkpoint in sled's own log.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::encoding::MetaRow;
use super::journal::Journal;
use super::open::{Promise, Sidecar};
use super::rows::Changes;
use super::{Shared, SledOptions};
use crate::store::StoreError;
use crate::store::underway::Write;

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
    /// What the last sync took that waited for no other.
    pub(super) sync_took: Duration,
    /// How many of those were slow, up to the last one.
    slow: u32,
}

/// A disk is slow after so many slow syncs: on a busy machine one may be slow by chance.
const SLOW_SYNCS: u32 = 8;

/// Where less is left in the journal, a batch may have to wait for a checkpoint.
const ROOM: usize = 256 << 10;

/// Where writes are noted while they are under way: those of the writer, on whichever thread. Syncs of other threads
/// follow.
pub(super) const PLACE: usize = 0;

/// What tests and benchmarks do to a sync.
pub(super) fn before_sync(options: &SledOptions) -> Result<(), String> {
    if let Some(gate) = &options.sync_gate {
        gate.pass()?;
    }
    if let Some(delay) = options.sync_delay {
        std::thread::sleep(delay);
    }
    Ok(())
}

impl Disk {
    /// `sequence`: the last batch that sled's log has, durably.
    pub(super) fn new(shared: Arc<Shared>, (data, sidecar, journal): (File, Sidecar, Journal), sequence: u64) -> Self {
        let (checkpoint, applied) = (sequence, sequence);
        Self { shared, data, sidecar, journal, checkpoint, applied, sync_took: Duration::ZERO, slow: 0 }
    }

    /// Makes a batch durable, and then visible. `meta` is the store after it, and among its rows. An error is final:
    /// whether the batch is on the disk is unknown.
    pub(super) fn apply(&mut self, rows: Changes, meta: MetaRow) -> Result<(), StoreError> {
        let began = Instant::now();
        if !self.write(&rows, meta, began)? {
            self.checkpoint()?;
            if !self.write(&rows, meta, Instant::now())? {
                return self.apply_at_once(rows, meta);
            }
        }
        self.before_sync()?;
        self.journal.sync().map_err(|error| self.stopped("a sync failed", &error))?;
        let now = Instant::now();
        self.synced(now.saturating_duration_since(began));
        self.show(rows, meta, now)
    }

    /// What the writer does on the disk from now on. After a failure nobody asks.
    fn begins(&self, write: Write, now: Instant) {
        self.shared.meters.underway().begin(PLACE, write, now);
    }

    /// The writer does nothing on the disk from now on.
    pub(super) fn rests(&self) {
        self.shared.meters.underway().end(PLACE, Instant::now());
    }

    fn synced(&mut self, took: Duration) {
        self.shared.meters.synced(took);
        self.sync_took = took;
        self.slow = if took > self.shared.options.slow_sync { self.slow.saturating_add(1) } else { 0 };
    }

    /// Syncs have been slow.
    pub(super) fn is_slow(&self) -> bool {
        self.slow >= SLOW_SYNCS
    }

    /// A small batch takes as long as a sync, and that is not long.
    pub(super) fn is_quick(&self) -> bool {
        self.sync_took <= self.shared.options.quick_sync && self.journal.room() >= ROOM
    }

    /// The journal, for a thread that syncs it.
    pub(super) fn journal_to_sync(&self) -> io::Result<File> {
        self.journal.to_sync()
    }

    /// Another thread's sync has ended, this long after its batch began to be written. `first`: it waited for no other. An
    /// error is final.
    pub(super) fn landed(&mut self, result: Result<(), String>, took: Duration, first: bool) -> Result<(), StoreError> {
        result.map_err(|error| self.stopped("a sync failed", &error))?;
        if first {
            self.synced(took);
        } else {
            self.shared.meters.synced(took);
        }
        Ok(())
    }

    /// Makes a batch visible that is durable. An error is final.
    pub(super) fn show(&mut self, rows: Changes, meta: MetaRow, now: Instant) -> Result<(), StoreError> {
        self.begins(Write::Rows, now);
        // Before sled has the first of the rows: what it writes of them is nothing without the journal.
        self.sidecar.write(Promise::new(meta, self.checkpoint));
        self.shared.durable.announce(meta.sequence);
        self.applied = meta.sequence;
        self.shared.tree.apply(rows).map_err(|error| self.stopped("rows could not be written", &error))?;
        self.rests();
        self.shared.durable.publish();
        Ok(())
    }

    /// Writes a batch into the journal. False: there is no room for it. True: it is under way until it is synced, or the
    /// writer [rests](Self::rests). An error is final.
    pub(super) fn write(&mut self, rows: &Changes, meta: MetaRow, now: Instant) -> Result<bool, StoreError> {
        self.begins(Write::Journal, now);
        let written = self.journal.write(meta.sequence, rows);
        let written = written.map_err(|error| self.stopped("the journal could not be written", &error))?;
        if !written {
            self.rests();
        }
        Ok(written)
    }

    /// A batch that is larger than the journal.
    fn apply_at_once(&mut self, rows: Changes, meta: MetaRow) -> Result<(), StoreError> {
        // Whoever sees a row waits until the batch is durable.
        self.shared.durable.announce(meta.sequence);
        self.begins(Write::Rows, Instant::now());
        self.shared.tree.apply_at_once(rows).map_err(|error| self.stopped("rows could not be written", &error))?;
        self.applied = meta.sequence;
        self.checkpoint()?;
        self.sidecar.write(Promise::new(meta, self.checkpoint));
        self.shared.durable.publish();
        Ok(())
    }

    /// Makes everything applied durable in sled's own log, and begins the journal anew. An error is final.
    fn checkpoint(&mut self) -> Result<(), StoreError> {
        self.begins(Write::Checkpoint, Instant::now());
        self.shared.db.flush().map_err(|error| self.stopped("a flush failed", &error))?;
        self.before_sync()?;
        self.data.sync_data().map_err(|error| self.stopped("a sync failed", &error))?;
        self.journal.restart();
        self.checkpoint = self.applied;
        self.rests();
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
        before_sync(&self.shared.options).map_err(|error| self.stopped("a sync failed", &error))
    }

    /// After this nothing is tried again: the kernel may have dropped the pages that it could not write. The reason is
    /// published before any answer is dropped, so that whoever waits for one finds it.
    fn stopped(&self, what: &str, error: &dyn std::fmt::Display) -> StoreError {
        let reason = format!("{what} ({error}); what was not acknowledged may be lost");
        self.shared.durable.fail(&reason);
        StoreError::Unavailable(reason)
    }
}
