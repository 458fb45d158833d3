//! The one thread that writes. It gathers what waits into a group, checks each commit against the store, applies the
//! group in batches, each durable before it is visible, and then acknowledges.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::collect::Task;
use super::counts::{self, Counting};
use super::disk::Disk;
use super::encoding::{self, MetaRow};
use super::group::{Decision, Next, ScheduleChange, Touched};
use super::prepare::{MAIL_INLINE, Prepared};
use super::purge::Purge;
use super::queue::Queue;
use super::rows::Changes;
use super::settings::Setting;
use super::{Shared, keys, mail};
use crate::fair::Permit;
use crate::store::{AppRecord, CommitError, Committed, HubName, MailId, StoreError, TimerRow, Usage};

/// Commits in one group, at most: what is lost by waiting grows beyond it, what is won by sharing a sync no longer.
const GROUP_JOBS: usize = 1024;
/// Bytes of large payloads in one group, at which no more is added.
const GROUP_BYTES: usize = 4 << 20;
/// Rows in one batch: readers wait while a batch is applied, so it takes a few milliseconds at most.
const BATCH_ROWS: usize = 512;
/// Bytes in one batch.
const BATCH_BYTES: usize = 1 << 20;
/// Rows removed with each group.
const GARBAGE_ROWS: usize = 256;
/// How long a group waits for those who were acknowledged a moment ago and will soon be back.
const GATHER: Duration = Duration::from_micros(300);
/// sled leaves evicted pages to epoch garbage, which grows without bound unless somebody collects it; each call
/// collects a part.
const EPOCH_FLUSHES: usize = 4;

/// Work for the writer.
#[derive(Debug)]
pub(super) enum Work {
    /// A commit.
    Commit(Box<Prepared>, oneshot::Sender<Result<Committed, CommitError>>),
    /// Several commits, all or none.
    CommitAll(Vec<Prepared>, oneshot::Sender<Result<Vec<Committed>, CommitError>>),
    /// A message that is taken, and the encoded answer to it.
    AnswerMail(MailId, Option<Vec<u8>>, oneshot::Sender<Result<MailId, CommitError>>),
    /// An app's record and the generation it replaces.
    PutApp(Box<AppRecord>, u32, oneshot::Sender<Result<(), CommitError>>),
    /// Where a timer function is in its schedule.
    PutSchedule(Box<ScheduleChange>, oneshot::Sender<Result<(), CommitError>>),
    /// A change of a hub's record, or the end of an app's.
    Set(Setting, oneshot::Sender<Result<(), CommitError>>),
    /// An instance to remove.
    Purge(Purge, oneshot::Sender<Result<Committed, CommitError>>),
    /// Timers of instances that are gone.
    Forget(Vec<TimerRow>),
    /// What a hub is charged for.
    Charge(HubName, Usage, oneshot::Sender<Result<(), CommitError>>),
}

/// Work, and the place in the queue that it takes until it is done.
pub(super) struct Job {
    pub(super) work: Work,
    pub(super) place: Option<Permit>,
}

/// An answer that waits for the sync.
enum Answer {
    Commit(oneshot::Sender<Result<Committed, CommitError>>, Result<Committed, CommitError>),
    CommitAll(oneshot::Sender<Result<Vec<Committed>, CommitError>>, Result<Vec<Committed>, CommitError>),
    Mail(oneshot::Sender<Result<MailId, CommitError>>, Result<MailId, CommitError>),
    Row(oneshot::Sender<Result<(), CommitError>>, Result<(), CommitError>),
}

impl Answer {
    /// Nobody listens any more if the caller was dropped; the commit stands all the same.
    fn send(self) {
        match self {
            Self::Commit(reply, result) => drop(reply.send(result)),
            Self::CommitAll(reply, result) => drop(reply.send(result)),
            Self::Mail(reply, result) => drop(reply.send(result)),
            Self::Row(reply, result) => drop(reply.send(result)),
        }
    }
}

/// Rows that are applied together.
#[derive(Default)]
struct Batch {
    changes: Changes,
    bytes: usize,
    counting: Counting,
}

impl Batch {
    fn add(&mut self, changes: Changes) {
        self.bytes += changes.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum::<usize>();
        self.changes.extend(changes);
    }

    fn is_full(&self) -> bool {
        self.changes.len() >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }
}

/// The thread's state.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    queue: Queue,
    pub(super) disk: Disk,
    pub(super) meta: MetaRow,
    pub(super) garbage: VecDeque<Task>,
    later: Vec<Job>,
    batch: Batch,
    /// Answers of the last group, and when they went out.
    acknowledged: usize,
    acknowledged_at: Instant,
}

/// Tells everybody when the thread ends by a panic, for instance one inside sled.
struct Watch(Arc<Shared>);

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.durable.fail("the writer thread panicked; see the log");
        }
    }
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, jobs: Receiver<Job>, disk: Disk, meta: MetaRow) -> Self {
        Self {
            shared,
            queue: Queue::new(jobs),
            disk,
            meta,
            garbage: VecDeque::new(),
            later: Vec::new(),
            batch: Batch::default(),
            acknowledged: 0,
            acknowledged_at: Instant::now(),
        }
    }

    /// Works until nobody can send any more, or until writing fails. What waits then is dropped, and with it the
    /// reply channels: their owners find the reason in the published state.
    pub(super) fn run(mut self) {
        let _watch = Watch(self.shared.clone());
        while let Some(group) = self.gather() {
            if let Err(error) = self.write(group) {
                self.shared.durable.fail(&error.to_string());
                return;
            }
        }
        // A failure has been reported, and costs the next start some work, nothing else.
        drop(self.disk.close(self.meta));
    }

    /// The next group; empty if there is only garbage to remove; none if the store is closed.
    fn gather(&mut self) -> Option<Vec<Job>> {
        let mut group = std::mem::take(&mut self.later);
        if group.is_empty() && !self.queue.receive(self.garbage.is_empty())? {
            return Some(group);
        }
        let mut filling = self.queue.filling(&group);
        // A lone commit never waits. Others wait for as long as a sync takes, if that spares one.
        let mut until = None;
        while group.len() < GROUP_JOBS && filling.bytes < GROUP_BYTES {
            if let Some(job) = self.queue.next(&mut filling) {
                group.push(job);
                continue;
            }
            if group.len() < 2 || group.len() >= self.acknowledged || self.queue.has_more() {
                break;
            }
            let until = *until.get_or_insert_with(|| self.acknowledged_at + GATHER.min(self.disk.sync_took));
            if !self.queue.wait(until.saturating_duration_since(Instant::now())) {
                break;
            }
        }
        Some(group)
    }

    /// Writes a group and answers it. An error is final: whether the rows are on the disk is unknown.
    fn write(&mut self, group: Vec<Job>) -> Result<(), StoreError> {
        let mut touched = Touched::default();
        let mut answers = Vec::with_capacity(group.len());
        let mut places = Vec::with_capacity(group.len());
        for Job { work, place } in group {
            match work {
                Work::Commit(prepared, reply) => match self.commit(&prepared, &mut touched)? {
                    Some(result) => answers.push(Answer::Commit(reply, result)),
                    None => {
                        self.later.push(Job { work: Work::Commit(prepared, reply), place });
                        continue;
                    }
                },
                Work::CommitAll(prepared, reply) => match self.commit_all(&prepared, &mut touched)? {
                    Some(result) => answers.push(Answer::CommitAll(reply, result)),
                    None => {
                        self.later.push(Job { work: Work::CommitAll(prepared, reply), place });
                        continue;
                    }
                },
                Work::AnswerMail(taken, answer, reply) => {
                    match self.answer_mail(taken, answer.as_deref(), &mut touched)? {
                        Some(result) => answers.push(Answer::Mail(reply, result)),
                        None => {
                            self.later.push(Job { work: Work::AnswerMail(taken, answer, reply), place });
                            continue;
                        }
                    }
                }
                Work::PutApp(app, expected, reply) => match touched.put_app(&self.shared.tree, &app, expected) {
                    Ok(Some(changes)) => {
                        self.add(changes)?;
                        answers.push(Answer::Row(reply, Ok(())));
                    }
                    Ok(None) => {
                        self.later.push(Job { work: Work::PutApp(app, expected, reply), place });
                        continue;
                    }
                    Err(error) => answers.push(Answer::Row(reply, Err(error))),
                },
                Work::PutSchedule(change, reply) => match touched.put_schedule(&self.shared.tree, &change) {
                    Ok(Some(changes)) => {
                        self.add(changes)?;
                        answers.push(Answer::Row(reply, Ok(())));
                    }
                    Ok(None) => {
                        self.later.push(Job { work: Work::PutSchedule(change, reply), place });
                        continue;
                    }
                    Err(error) => answers.push(Answer::Row(reply, Err(error))),
                },
                Work::Set(setting, reply) => match touched.set(&self.shared.tree, &setting) {
                    Ok(Some(changes)) => {
                        self.add(changes)?;
                        answers.push(Answer::Row(reply, Ok(())));
                    }
                    Ok(None) => {
                        self.later.push(Job { work: Work::Set(setting, reply), place });
                        continue;
                    }
                    Err(error) => answers.push(Answer::Row(reply, Err(error))),
                },
                Work::Purge(purge, reply) => match touched.purge(&self.shared.tree, purge) {
                    Ok(Some(decision)) => {
                        answers.push(Answer::Commit(reply, Ok(decision.committed)));
                        self.batch.counting.add(decision.counted);
                        self.add(decision.changes)?;
                        self.garbage.extend(decision.garbage);
                    }
                    Ok(None) => {
                        self.later.push(Job { work: Work::Purge(purge, reply), place });
                        continue;
                    }
                    Err(error) => answers.push(Answer::Commit(reply, Err(error))),
                },
                Work::Charge(hub, usage, reply) => {
                    let mut counted = counts::Counted::default();
                    counted.uses(&hub, usage);
                    self.batch.counting.add(counted);
                    answers.push(Answer::Row(reply, Ok(())));
                }
                Work::Forget(timers) => {
                    self.add(timers.iter().map(|timer| (keys::timer(timer), None)).collect())?;
                }
            }
            places.push(place);
        }
        self.remove_garbage(&touched)?;
        self.apply_pending()?;
        self.acknowledged = answers.len();
        if !answers.is_empty() {
            self.shared.meters.grouped(answers.len());
        }
        answers.into_iter().for_each(Answer::send);
        self.acknowledged_at = Instant::now();
        collect_evicted();
        Ok(())
    }

    /// Decides one commit. None: it must wait for the next group. The outer error is final.
    fn commit(
        &mut self,
        prepared: &Prepared,
        touched: &mut Touched,
    ) -> Result<Option<Result<Committed, CommitError>>, StoreError> {
        match self.decide(prepared, touched)? {
            Some(Ok(Decision { committed, changes, garbage, counted })) => {
                self.batch.counting.add(counted);
                self.add(changes)?;
                self.garbage.extend(garbage);
                Ok(Some(Ok(committed)))
            }
            Some(Err(error)) => Ok(Some(Err(error))),
            None => Ok(None),
        }
    }

    /// Decides several commits as one. None: they must wait for the next group. The outer error is final.
    fn commit_all(
        &mut self,
        all: &[Prepared],
        touched: &mut Touched,
    ) -> Result<Option<Result<Vec<Committed>, CommitError>>, StoreError> {
        let mut ids = HashSet::new();
        if all.iter().any(|prepared| !ids.insert(&prepared.number_key)) {
            return Ok(Some(Err(CommitError::Conflict)));
        }
        let (mut done, mut together, mut behind) = (Vec::with_capacity(all.len()), Changes::new(), Vec::new());
        let mut counts = Vec::with_capacity(all.len());
        for prepared in all {
            // What was decided before a refusal has used up numbers, nothing else.
            match self.decide(prepared, touched)? {
                Some(Ok(Decision { committed, changes, garbage, counted })) => {
                    counts.push(counted);
                    done.push(committed);
                    together.extend(changes);
                    behind.extend(garbage);
                }
                Some(Err(error)) => return Ok(Some(Err(error))),
                None => return Ok(None),
            }
        }
        counts.into_iter().for_each(|counted| self.batch.counting.add(counted));
        self.add(together)?;
        self.garbage.extend(behind);
        Ok(Some(Ok(done)))
    }

    /// The rows that a commit changes. None: it must wait for the next group. The outer error is final.
    fn decide(
        &mut self,
        prepared: &Prepared,
        touched: &mut Touched,
    ) -> Result<Option<Result<Decision, CommitError>>, StoreError> {
        let last_mail = self.meta.last_mail.unwrap_or(0);
        let next = Next { number: self.meta.next_number, mail: last_mail + 1 };
        let decision = touched.commit(&self.shared.tree, prepared, next);
        let Decision { committed, mut changes, garbage, counted } = match decision {
            Ok(Some(decision)) => decision,
            Ok(None) => return Ok(None),
            Err(error) => return Ok(Some(Err(error))),
        };
        self.meta.next_number = self.meta.next_number.max(committed.number.0 + 1);
        if !prepared.mail_sent.is_empty() {
            self.meta.last_mail = Some(last_mail + prepared.mail_sent.len() as u64);
        }
        for (id, bytes) in (next.mail..).zip(&prepared.mail_sent) {
            changes.push(mail::row(id, bytes)?);
        }
        self.write_pieces(prepared, committed, &mut changes)?;
        Ok(Some(Ok(Decision { committed, changes, garbage, counted })))
    }

    /// Takes a message and sends the answer. None: it must wait for the next group. The outer error is final.
    fn answer_mail(
        &mut self,
        taken: MailId,
        answer: Option<&[u8]>,
        touched: &mut Touched,
    ) -> Result<Option<Result<MailId, CommitError>>, StoreError> {
        let (mut changes, garbage) = match touched.take_mail(&self.shared.tree, &[taken]) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(error) => return Ok(Some(Err(error))),
        };
        touched.took_mail(taken);
        let mut id = self.meta.last_mail.unwrap_or(0);
        if let Some(bytes) = answer {
            id += 1;
            self.meta.last_mail = Some(id);
            changes.push(mail::row(id, bytes)?);
            // One message has a few MiB at most.
            changes.extend(mail::parts(id, bytes));
        }
        self.add(changes)?;
        self.garbage.extend(garbage);
        Ok(Some(Ok(MailId(id))))
    }

    /// Writes the large values of a commit: with it when they are few, otherwise ahead of it in batches of their own,
    /// with a row that lets the next start find them if the commit itself never comes.
    fn write_pieces(
        &mut self,
        prepared: &Prepared,
        committed: Committed,
        changes: &mut Changes,
    ) -> Result<(), StoreError> {
        let (number, revision) = (committed.number.0, committed.revision);
        let chunks = prepared.pieces.iter().flat_map(|(piece, data)| {
            data.as_bytes()
                .chunks(super::prepare::MAX_VALUE)
                .zip(0u32..)
                .map(move |(bytes, chunk)| (keys::chunk(number, revision, *piece, chunk), Some(bytes.to_vec())))
        });
        let mails = || (committed.first_mail.0..).zip(&prepared.mail_sent);
        let chunks = chunks.chain(mails().flat_map(|(id, bytes)| mail::parts(id, bytes)));
        if prepared.piece_bytes() <= BATCH_BYTES / 4 {
            changes.extend(chunks);
            return Ok(());
        }
        let large_mails = mails().filter(|(_, bytes)| bytes.len() > MAIL_INLINE).map(|(id, _)| Task::Mail { id });
        let mut batch = Batch::default();
        for reminder in std::iter::once(Task::Ahead { number, revision }).chain(large_mails).map(Task::key) {
            changes.push((reminder.clone(), None));
            batch.add(vec![(reminder, Some(Vec::new()))]);
        }
        for chunk in chunks {
            batch.add(vec![chunk]);
            if batch.is_full() {
                self.apply(std::mem::take(&mut batch))?;
            }
        }
        self.apply(batch)
    }

    fn add(&mut self, changes: Changes) -> Result<(), StoreError> {
        self.batch.add(changes);
        if self.batch.is_full() { self.apply_pending() } else { Ok(()) }
    }

    fn apply_pending(&mut self) -> Result<(), StoreError> {
        let batch = std::mem::take(&mut self.batch);
        self.apply(batch)
    }

    fn apply(&mut self, batch: Batch) -> Result<(), StoreError> {
        if batch.changes.is_empty() && batch.counting.is_empty() {
            return Ok(());
        }
        self.meta.sequence += 1;
        let mut rows = batch.changes;
        rows.extend(counts::rows(&self.shared.tree, batch.counting)?);
        rows.push((keys::META.to_vec(), Some(encoding::encode(&self.meta)?)));
        let _writing = self.shared.aside.batch(&rows);
        self.disk.apply(rows, self.meta)
    }

    /// Removes some garbage along with the group. What the group itself has touched waits, because its rows are not
    /// all in the store yet.
    fn remove_garbage(&mut self, touched: &Touched) -> Result<(), StoreError> {
        let Some(task) = self.garbage.front().copied() else { return Ok(()) };
        if task.number().is_some_and(|number| touched.has(number)) {
            self.garbage.rotate_left(1);
            return Ok(());
        }
        let mut changes = Changes::new();
        let done = match task.go_on(&self.shared.tree, GARBAGE_ROWS, &mut changes) {
            Ok(done) => done,
            Err(error) => {
                // Rows that cannot be read cost space, nothing else; they stay remembered for a later version.
                tracing::warn!(%error, ?task, "rows that are no longer needed could not be removed");
                self.garbage.pop_front();
                return Ok(());
            }
        };
        if done {
            changes.push((task.key(), None));
            self.garbage.pop_front();
        }
        self.add(changes)
    }

    /// Removes what earlier processes left behind by writing ahead. It must be gone before the first commit, which
    /// may write the same keys.
    pub(super) fn recover(&mut self, remembered: Vec<Task>) -> Result<(), StoreError> {
        for task in remembered {
            match task {
                Task::Ahead { .. } => loop {
                    let mut changes = Changes::new();
                    let done = task.go_on(&self.shared.tree, BATCH_ROWS, &mut changes)?;
                    if done {
                        changes.push((task.key(), None));
                    }
                    self.add(changes)?;
                    self.apply_pending()?;
                    if done {
                        break;
                    }
                },
                Task::All { .. } | Task::HistoryBefore { .. } | Task::Piece { .. } | Task::Mail { .. } => {
                    self.garbage.push_back(task);
                }
            }
        }
        Ok(())
    }
}

/// Gives pages that sled has evicted back to the allocator: those that this thread has met, and some of others.
pub(super) fn collect_evicted() {
    for _ in 0..EPOCH_FLUSHES {
        crossbeam_epoch::pin().flush();
    }
}
