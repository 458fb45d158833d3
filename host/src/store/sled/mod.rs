//! The embedded store, on sled. One tree with a byte per kind of row in front of each key, because a batch is atomic
//! within a tree only; one thread that writes; and readers who answer only with what is durable.

mod backup;
#[cfg(test)]
mod backup_tests;
mod collect;
mod counts;
#[cfg(test)]
mod crash;
mod desk;
#[cfg(test)]
mod desk_tests;
mod disk;
mod durable;
mod encoding;
mod fdatasync;
mod flight;
#[cfg(test)]
mod flight_tests;
mod gate;
mod gather;
mod group;
pub mod hub_entries;
mod index;
mod inspect;
mod journal;
mod keys;
mod list;
#[cfg(test)]
mod list_tests;
mod mail;
#[cfg(test)]
mod measure;
mod open;
pub mod portable;
#[cfg(all(test, target_os = "linux"))]
mod power_cut;
mod prepare;
mod purge;
mod queue;
mod read;
mod rows;
mod settings;
#[cfg(test)]
mod stall_tests;
#[cfg(test)]
mod tests;
mod work;
mod writer;

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use durawasm_core::{HistoryEvent, Timestamp};
use tokio::sync::{Semaphore, oneshot};

pub(crate) use backup::{LAYOUT, Restoring};
pub use gate::SyncGate;
pub use open::OpenError;

use self::desk::Desk;
use self::disk::Disk;
use self::durable::Durable;
use self::prepare::Prepared;
use self::queue::Note;
use self::rows::Rows;
use self::settings::Setting;
use self::work::{Job, Work};
use self::writer::Writer;
use super::meters::StoreMeters;
use super::underway::{self, Underway};
use super::{
    AppRecord, BackupError, BackupRows, BoxFuture, Commit, CommitError, Committed, Counts, HubName, HubRecord,
    HubUsage, InstanceNumber, InstanceRecord, ListQuery, Mail, MailId, NewMail, Page, PayloadParts, Payloads,
    RecordedHistory, Revision, ScheduleKey, ScheduleState, Snapshot, Stall, Store, StoreError, TimerRow, Usage,
};
use crate::fair::{self, Gate, Lane, Permit};

/// Work that may wait for the writer; more waits for a place before it is queued, hubs in turn.
const QUEUE: usize = 4096;

/// How to run a [`SledStore`].
#[derive(Clone, Debug)]
pub struct SledOptions {
    /// What sled may keep in memory of its pages, in bytes.
    pub cache_bytes: u64,
    /// Added to every sync, for benchmarks that imitate a slower disk.
    pub sync_delay: Option<Duration>,
    /// While syncs take longer than this, commits are decided and written before those before them are synced.
    pub slow_sync: Duration,
    /// While syncs take no longer than this, a commit that is alone is written on the thread that brings it.
    pub quick_sync: Duration,
    /// Lets a test hold back syncs or make one fail.
    pub sync_gate: Option<SyncGate>,
    /// What may be written while a backup reads the rows, in bytes; more ends the backup.
    pub backup_aside_bytes: u64,
    /// A write that the disk has not answered for so long is told by [`Store::stalled`].
    pub patience: Duration,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 32 << 20,
            sync_delay: None,
            slow_sync: Duration::from_micros(400),
            // Longer ones would keep a thread of the runtime from what else it could do.
            quick_sync: Duration::from_millis(2),
            sync_gate: None,
            backup_aside_bytes: backup::ASIDE_BYTES,
            patience: underway::PATIENCE,
        }
    }
}

/// What writer and readers share.
struct Shared {
    db: sled::Db,
    tree: Rows,
    durable: Durable,
    options: SledOptions,
    path: PathBuf,
    aside: backup::Aside,
    one_backup: Arc<Semaphore>,
    meters: StoreMeters,
    _lock: File,
}

/// A [`Store`] in a directory of this machine.
///
/// Dropping it waits until what was sent is written. After a failed write or sync it answers nothing any more, see
/// [`SledStore::failed`]: only opening it anew shows what is on the disk.
pub struct SledStore {
    shared: Arc<Shared>,
    places: Arc<Gate>,
    lanes: RwLock<HashMap<HubName, Arc<Lane>>>,
    jobs: Option<mpsc::Sender<Note>>,
    desk: Arc<Desk>,
    writer: Option<JoinHandle<()>>,
}

impl SledStore {
    /// Opens the store in this directory, and creates it if the directory is empty or missing. Blocks for about a
    /// second per gigabyte after an unclean stop.
    ///
    /// # Errors
    /// When the directory is in use, holds something else or another format, has lost acknowledged work, or cannot be
    /// read or written.
    pub fn open(path: &Path, options: SledOptions) -> Result<Self, OpenError> {
        let open::Opened { db, data, lock, sidecar, journal, meta } = open::open(path, &options)?;
        let tree = Rows::new(sled::Tree::clone(&db));
        let shared = Arc::new(Shared {
            db,
            tree,
            durable: Durable::new(meta.sequence),
            path: path.to_owned(),
            aside: backup::Aside::new(options.backup_aside_bytes),
            meters: StoreMeters::new(Underway::new(flight::WRITERS, options.patience)),
            options,
            one_backup: Arc::new(Semaphore::new(1)),
            _lock: lock,
        });
        let (sender, notes) = mpsc::channel();
        let mut writer = Writer::new(
            shared.clone(),
            (sender.clone(), notes),
            Disk::new(shared.clone(), (data, sidecar, journal), meta.sequence),
            meta,
        );
        collect::remembered(&shared.tree)
            .and_then(|tasks| writer.recover(tasks))
            .map_err(|error| open::store_error(path, error))?;
        // What a test holds back must not hold back the test.
        let desk = Desk::new(writer, shared.options.sync_gate.is_none());
        let its = Arc::clone(&desk);
        let thread = std::thread::Builder::new().name("store-writer".into()).spawn(move || its.work());
        let thread = thread.map_err(|source| OpenError::Io {
            what: "cannot start the writer thread for",
            path: path.into(),
            source,
        })?;
        let places = Gate::of_places(QUEUE);
        Ok(Self { shared, places, lanes: RwLock::default(), jobs: Some(sender), desk, writer: Some(thread) })
    }

    /// Why the store has stopped, if it has: a write or a sync failed, and the process should end and be started
    /// again.
    #[must_use]
    pub fn failed(&self) -> Option<String> {
        self.shared.durable.failed()
    }

    /// A place in the queue, for work of this hub; an empty name stands for what is no hub's.
    async fn place(&self, hub: &str) -> Result<Permit, StoreError> {
        self.shared.durable.check()?;
        let lane = self.lane(hub);
        Ok(self.places.acquire(&lane).await)
    }

    fn lane(&self, hub: &str) -> Arc<Lane> {
        if let Some(lane) = self.lanes.read().unwrap_or_else(PoisonError::into_inner).get(hub) {
            return Arc::clone(lane);
        }
        let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lanes.entry(hub.into()).or_insert_with(Lane::new))
    }

    async fn set(&self, setting: Setting) -> Result<(), CommitError> {
        let place = self.place("").await?;
        let (reply, answer) = oneshot::channel();
        self.send(Work::Set(setting, reply), Some(place))?;
        answer.await.map_err(|_| self.stopped())?
    }

    fn send(&self, work: Work, place: Option<Permit>) -> Result<(), StoreError> {
        let Some(jobs) = &self.jobs else { return Err(self.stopped()) };
        jobs.send(Note::Job(Job { work, place })).map_err(|_| self.stopped())?;
        self.desk.wake();
        Ok(())
    }

    fn stopped(&self) -> StoreError {
        StoreError::Unavailable(self.failed().unwrap_or_else(|| "the store is closed".into()))
    }

    /// Answers once what was read is durable.
    async fn answer<T>(&self, read: Result<T, StoreError>) -> Result<T, StoreError> {
        self.shared.durable.settled().await?;
        read
    }

    /// Reads on a thread that may block for long.
    async fn read_aside<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Rows) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = self.shared.clone();
        let payer = fair::payer();
        let read = move || {
            let found = read(&shared.tree);
            writer::collect_evicted();
            found
        };
        let reading = move || match &payer {
            Some(lane) => fair::charge(lane, read),
            None => read(),
        };
        tokio::task::spawn_blocking(reading)
            .await
            .map_err(|error| StoreError::Unavailable(format!("a read did not end: {error}")))?
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        if let Some(jobs) = self.jobs.take() {
            // An error: the writer has ended already.
            drop(jobs.send(Note::Closed));
            self.desk.wake();
        }
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer thread panicked");
        }
    }
}

impl std::fmt::Debug for SledStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledStore").field("failed", &self.failed()).finish_non_exhaustive()
    }
}

/// Bytes that events take in a history.
pub(super) fn events_bytes(events: &[HistoryEvent]) -> Result<u64, StoreError> {
    let mut pieces = encoding::Pieces::new(0);
    Ok(encoding::encode_events(events, &mut pieces)?.len() as u64 + pieces.outside)
}

impl Store for SledStore {
    fn usage(&self, hub: &HubName) -> BoxFuture<'_, Result<HubUsage, StoreError>> {
        let hub = hub.clone();
        Box::pin(async move { self.answer(counts::usage(&self.shared.tree, &hub)).await })
    }

    fn add_usage(&self, hub: &HubName, more: Usage) -> BoxFuture<'_, Result<(), CommitError>> {
        let hub = hub.clone();
        Box::pin(async move {
            let place = self.place(&hub).await?;
            let (reply, answer) = oneshot::channel();
            self.send(Work::Charge(hub, more, reply), Some(place))?;
            answer.await.map_err(|_| self.stopped())?
        })
    }

    fn meters(&self) -> Option<StoreMeters> {
        Some(self.shared.meters.clone())
    }

    fn failed(&self) -> Option<String> {
        Self::failed(self)
    }

    fn stalled(&self) -> Option<Stall> {
        // What has failed does not wait for the disk any more.
        let stall = self.shared.meters.underway().stalled(Instant::now());
        if self.shared.durable.check().is_ok() { stall } else { None }
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, CommitError>> {
        Box::pin(async move {
            let timed = self.shared.meters.begin();
            let place = self.place(&commit.record.hub).await?;
            let prepared = Prepared::new(commit)?;
            let (reply, answer) = oneshot::channel();
            let job = Job { work: Work::Commit(Box::new(prepared), reply), place: Some(place) };
            if let Some(Job { work, place }) = self.desk.write_lone(job) {
                self.send(work, place)?;
            }
            let answer = answer.await.map_err(|_| self.stopped())?;
            timed.ended(answer.is_ok());
            answer
        })
    }

    fn commit_all(&self, commits: Vec<Commit>) -> BoxFuture<'_, Result<Vec<Committed>, CommitError>> {
        Box::pin(async move {
            let timed = self.shared.meters.begin();
            let place = self.place(commits.first().map_or("", |commit| &commit.record.hub)).await?;
            let prepared = commits.into_iter().map(Prepared::new).collect::<Result<Vec<_>, _>>()?;
            let (reply, answer) = oneshot::channel();
            self.send(Work::CommitAll(prepared, reply), Some(place))?;
            let answer = answer.await.map_err(|_| self.stopped())?;
            timed.ended(answer.is_ok());
            answer
        })
    }

    fn instance(&self, hub: &HubName, id: &str) -> BoxFuture<'_, Result<Option<InstanceRecord>, StoreError>> {
        let (hub, id) = (hub.clone(), id.to_owned());
        Box::pin(async move { self.answer(read::instance(&self.shared.tree, &hub, &id)).await })
    }

    fn payloads(&self, number: InstanceNumber) -> BoxFuture<'_, Result<Payloads, StoreError>> {
        Box::pin(async move {
            let tree = &self.shared.tree;
            let found = match collect::slot_pieces(tree, number.0) {
                // All in their rows, or nothing: not worth another thread.
                Ok(pieces) if pieces.is_empty() => read::payloads(tree, number),
                Ok(_) => self.read_aside(move |tree| read::payloads(tree, number)).await,
                Err(error) => Err(error),
            };
            self.answer(found).await
        })
    }

    fn history(&self, number: InstanceNumber) -> BoxFuture<'_, Result<Option<RecordedHistory>, StoreError>> {
        Box::pin(async move {
            let tree = &self.shared.tree;
            let found = match read::history_rows(tree, number) {
                Ok(None) => Ok(None),
                Ok(Some(rows)) if rows <= read::SHORT_HISTORY => read::history(tree, number),
                Ok(Some(_)) => self.read_aside(move |tree| read::history(tree, number)).await,
                Err(error) => Err(error),
            };
            self.answer(found).await
        })
    }

    fn snapshot(
        &self,
        number: InstanceNumber,
        parts: PayloadParts,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>> {
        Box::pin(async move {
            let found = self.read_aside(move |tree| read::snapshot(tree, number, parts)).await;
            self.answer(found).await
        })
    }

    fn list(&self, hub: &HubName, query: ListQuery) -> BoxFuture<'_, Result<Page, StoreError>> {
        let hub = hub.clone();
        Box::pin(async move {
            let found = self.read_aside(move |tree| list::page(tree, &hub, &query)).await;
            self.answer(found).await
        })
    }

    fn counts(&self, hub: &HubName) -> BoxFuture<'_, Result<Counts, StoreError>> {
        let hub = hub.clone();
        Box::pin(async move { self.answer(counts::of_hub(&self.shared.tree, &hub)).await })
    }

    fn children(
        &self,
        hub: &HubName,
        parent: &str,
        after: InstanceNumber,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<InstanceRecord>, StoreError>> {
        let (hub, parent) = (hub.clone(), parent.to_owned());
        Box::pin(async move { self.answer(list::children(&self.shared.tree, (&hub, &parent), after, limit)).await })
    }

    fn purge(&self, number: InstanceNumber, revision: Revision) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(async move {
            let place = self.place("").await?;
            let (reply, answer) = oneshot::channel();
            self.send(Work::Purge(purge::Purge { number: number.0, revision }, reply), Some(place))?;
            answer.await.map_err(|_| self.stopped())?.map(drop)
        })
    }

    fn ready(
        &self,
        after: Option<InstanceNumber>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<InstanceNumber>, StoreError>> {
        Box::pin(async move { self.answer(read::ready(&self.shared.tree, after, limit)).await })
    }

    fn timers(&self, until: Timestamp, limit: usize) -> BoxFuture<'_, Result<Vec<TimerRow>, StoreError>> {
        Box::pin(async move {
            let found = read::timers(&self.shared.tree, until, limit);
            let (live, stale) = self.answer(found).await?;
            if !stale.is_empty() {
                self.send(Work::Forget(stale), None)?;
            }
            Ok(live)
        })
    }

    fn mail(&self, after: Option<MailId>, limit: usize) -> BoxFuture<'_, Result<Vec<Mail>, StoreError>> {
        Box::pin(async move {
            let found = self.read_aside(move |tree| mail::waiting(tree, after, limit)).await;
            self.answer(found).await
        })
    }

    fn answer_mail(
        &self,
        taken: MailId,
        answer: Option<(HubName, NewMail)>,
    ) -> BoxFuture<'_, Result<MailId, CommitError>> {
        Box::pin(async move {
            let place = self.place("").await?;
            let answer = answer.map(|(hub, mail)| encoding::encode_mail(&hub, &mail)).transpose()?;
            let (reply, done) = oneshot::channel();
            self.send(Work::AnswerMail(taken, answer, reply), Some(place))?;
            done.await.map_err(|_| self.stopped())?
        })
    }

    fn apps(&self) -> BoxFuture<'_, Result<Vec<AppRecord>, StoreError>> {
        Box::pin(async move { self.answer(read::apps(&self.shared.tree)).await })
    }

    fn put_app(&self, app: AppRecord, expected: u32) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(async move {
            let place = self.place(&app.hub).await?;
            let (reply, answer) = oneshot::channel();
            self.send(Work::PutApp(Box::new(app), expected, reply), Some(place))?;
            answer.await.map_err(|_| self.stopped())?
        })
    }

    fn backup(&self) -> Result<BackupRows, BackupError> {
        backup::begin(&self.shared)
    }

    fn schedules(&self) -> BoxFuture<'_, Result<Vec<(ScheduleKey, ScheduleState)>, StoreError>> {
        Box::pin(async move { self.answer(read::schedules(&self.shared.tree)).await })
    }

    fn put_schedule(
        &self,
        key: ScheduleKey,
        before: Option<ScheduleState>,
        after: Option<ScheduleState>,
    ) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(async move {
            let place = self.place(&key.hub).await?;
            let (reply, answer) = oneshot::channel();
            let change = Box::new(group::ScheduleChange { key, before, after });
            self.send(Work::PutSchedule(change, reply), Some(place))?;
            answer.await.map_err(|_| self.stopped())?
        })
    }

    fn remove_app(&self, hub: &HubName, app: &str, expected: u32) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(self.set(Setting::NoApp(hub.clone(), app.to_owned(), expected)))
    }

    fn hubs(&self) -> BoxFuture<'_, Result<Vec<HubRecord>, StoreError>> {
        Box::pin(async move { self.answer(settings::hubs(&self.shared.tree)).await })
    }

    fn put_hub(&self, hub: HubRecord, expected: u32) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(self.set(Setting::Hub(Box::new(hub), expected)))
    }

    fn remove_hub(&self, hub: &HubName, expected: u32) -> BoxFuture<'_, Result<(), CommitError>> {
        let hub = hub.clone();
        Box::pin(async move {
            self.set(Setting::NoHub(hub.clone(), expected)).await?;
            self.lanes.write().unwrap_or_else(PoisonError::into_inner).remove(&hub);
            Ok(())
        })
    }

    fn forget_timers(&self, after: Option<TimerRow>) -> BoxFuture<'_, Result<Option<TimerRow>, StoreError>> {
        Box::pin(async move {
            let found = self.read_aside(move |tree| settings::stale_timers(tree, after)).await;
            let (stale, next) = self.answer(found).await?;
            if !stale.is_empty() {
                self.send(Work::Forget(stale), None)?;
            }
            Ok(next)
        })
    }
}
