//! Batches in flight: in the journal, with a sync under way that another thread waits for. On a disk whose syncs are slow
//! the writer decides and writes the next batches meanwhile.
//!
//! * Batches are written, shown and answered in their order, each only after a sync has returned that began after it was
//!   written. So what is answered is on the disk together with all before it.
//! * Nothing of a batch is in the store before it lands. Whatever it has touched, later commits leave alone until then; of
//!   the counts, which all change, they see its values.
//! * Only what fits into one batch flies. All else lands what is in flight, and then waits for its own syncs.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::disk::{self, Disk};
use super::encoding::MetaRow;
use super::group::Touched;
use super::queue::Note;
use super::rows::Changes;
use super::work::Answered;
use super::writer::Writer;
use super::{Shared, SledOptions};
use crate::store::underway::Write;
use crate::store::{StoreError, StoreMeters};

/// Batches in flight, at most. Each has a thread that syncs.
const DEPTH: usize = 4;

/// The writer and those threads: so many may write at once.
pub(super) const WRITERS: usize = DEPTH + 1;

/// A sync that has ended.
#[derive(Debug)]
pub(super) struct Landing {
    /// Of the flight.
    number: u64,
    result: Result<(), String>,
    at: Instant,
}

/// A batch in flight.
struct Flight {
    number: u64,
    rows: Changes,
    /// The store after it.
    meta: MetaRow,
    touched: Arc<Touched>,
    /// The count rows that it writes.
    counts: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    answered: Answered,
    began: Instant,
    /// It took off when no other was in flight: its sync waits for no other.
    first: bool,
    landing: Option<Landing>,
}

/// The threads that sync.
struct Syncers(Vec<mpsc::Sender<u64>>);

impl Syncers {
    /// To be called by the writer's thread, which they wake.
    fn start(disk: &Disk, shared: &Shared, notes: &mpsc::Sender<Note>) -> io::Result<Self> {
        let mut threads = Vec::with_capacity(DEPTH);
        for index in 0..DEPTH {
            let (sender, orders) = mpsc::channel();
            let (journal, notes) = (disk.journal_to_sync()?, notes.clone());
            let (options, meters) = (shared.options.clone(), shared.meters.clone());
            let writer = std::thread::current();
            let work = move || {
                sync_in_turn(&orders, (&journal, &options), (&meters, disk::PLACE + 1 + index), (&notes, &writer))
            };
            std::thread::Builder::new().name(format!("store-sync-{index}")).spawn(work)?;
            threads.push(sender);
        }
        Ok(Self(threads))
    }
}

/// Ends when the writer is gone. It has nothing of the store but the file, so that it may end later than that.
fn sync_in_turn(
    orders: &mpsc::Receiver<u64>,
    (journal, options): (&File, &SledOptions),
    (meters, place): (&StoreMeters, usize),
    (notes, writer): (&mpsc::Sender<Note>, &Thread),
) {
    for number in orders {
        meters.underway().begin(place, Write::Journal, Instant::now());
        let result = disk::before_sync(options).and_then(|()| journal.sync_data().map_err(|error| error.to_string()));
        let at = Instant::now();
        meters.underway().end(place, at);
        if notes.send(Note::Landed(Landing { number, result, at })).is_err() {
            return;
        }
        writer.unpark();
    }
}

/// What is in flight.
#[derive(Default)]
pub(super) struct Flights {
    /// In their order.
    flights: VecDeque<Flight>,
    syncers: Option<Syncers>,
    /// There can be none.
    without_syncers: bool,
    next: u64,
    took_off: Option<Instant>,
}

impl Flights {
    pub(super) fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.flights.len() >= DEPTH
    }

    /// What is touched by what is in flight.
    pub(super) fn touched(&self) -> Vec<Arc<Touched>> {
        self.flights.iter().map(|flight| Arc::clone(&flight.touched)).collect()
    }

    /// A count row as what is in flight leaves it; none, if nothing there writes it.
    pub(super) fn count(&self, key: &[u8]) -> Option<&Option<Vec<u8>>> {
        self.flights.iter().rev().find_map(|flight| flight.counts.get(key))
    }

    /// When the next one takes off, if that is to be spread over the time of a sync.
    pub(super) fn next_start(&self, sync_took: Duration) -> Option<Instant> {
        let depth = u32::try_from(DEPTH).unwrap_or(u32::MAX);
        self.took_off.map(|took_off| took_off + sync_took / depth)
    }

    fn note(&mut self, landing: Landing) {
        if let Some(flight) = self.flights.iter_mut().find(|flight| flight.number == landing.number) {
            flight.landing = Some(landing);
        }
    }

    /// The first one, if it has landed.
    fn landed(&mut self) -> Option<(Flight, Landing)> {
        let landing = self.flights.front_mut()?.landing.take()?;
        Some((self.flights.pop_front()?, landing))
    }
}

impl Writer {
    /// Whether flying is worth it now, and possible.
    pub(super) fn may_fly(&mut self) -> bool {
        if !self.disk.is_slow() || !self.garbage.is_empty() || self.flights.without_syncers {
            return false;
        }
        if self.flights.syncers.is_none() {
            match Syncers::start(&self.disk, &self.shared, &self.notes) {
                Ok(syncers) => self.flights.syncers = Some(syncers),
                Err(error) => {
                    tracing::warn!(%error, "cannot start threads for the store's syncs; commits will wait for each other's");
                    self.flights.without_syncers = true;
                    return false;
                }
            }
        }
        true
    }

    /// Writes what the group has left to write, has it synced, and does not wait for it.
    pub(super) fn take_off(&mut self, touched: Touched, answered: Answered) -> Result<(), StoreError> {
        while self.flights.is_full() {
            self.land_next()?;
        }
        let began = Instant::now();
        let (rows, counts) = self.next_rows()?;
        if !self.disk.write(&rows, self.meta, began)? {
            self.land_all()?;
            self.apply_rows(rows)?;
            self.answer(answered);
            return Ok(());
        }
        self.disk.rests();
        let Some(Syncers(threads)) = &self.flights.syncers else { return Err(syncer_ended()) };
        let number = self.flights.next;
        // At most so many are in flight as there are threads, so this one is free.
        let thread = usize::try_from(number).unwrap_or(0) % threads.len();
        threads[thread].send(number).map_err(|_| syncer_ended())?;
        let first = self.flights.is_empty();
        self.flights.next += 1;
        self.flights.took_off = Some(began);
        let touched = Arc::new(touched.alone());
        let (meta, landing) = (self.meta, None);
        let flight = Flight { number, rows, meta, touched, counts, answered, began, first, landing };
        self.flights.flights.push_back(flight);
        Ok(())
    }

    /// Shows and answers what has landed. True: something has.
    pub(super) fn land(&mut self) -> Result<bool, StoreError> {
        while let Some(landing) = self.queue.landing() {
            self.flights.note(landing);
        }
        let mut any = false;
        while let Some((flight, landing)) = self.flights.landed() {
            any = true;
            self.disk.landed(landing.result, landing.at.saturating_duration_since(flight.began), flight.first)?;
            {
                // From here on it is in the rows or in the copies: a backup that begins earlier has it in either.
                let _writing = self.shared.aside.batch(&flight.rows);
                self.disk.show(flight.rows, flight.meta, Instant::now())?;
            }
            self.answer(flight.answered);
        }
        self.has_landed |= any;
        Ok(any)
    }

    fn land_next(&mut self) -> Result<(), StoreError> {
        while !self.land()? {
            self.queue.rest(None);
        }
        Ok(())
    }

    /// Waits until nothing is in flight.
    pub(super) fn land_all(&mut self) -> Result<(), StoreError> {
        while !self.flights.is_empty() {
            self.land_next()?;
        }
        Ok(())
    }
}

fn syncer_ended() -> StoreError {
    StoreError::Unavailable("a thread that syncs has ended; see the log".into())
}
