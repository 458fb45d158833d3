//! The one thread that writes. It gathers what waits into a group, checks each commit against the store, applies the
//! group in batches, each durable before it is visible, and then acknowledges.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Instant;

use super::collect::Task;
use super::counts::{self, Counting};
use super::disk::Disk;
use super::encoding::{self, MetaRow};
use super::flight::Flights;
use super::gather::Gathered;
use super::group::{Decision, Next, Touched};
use super::prepare::{MAIL_INLINE, Prepared};
use super::queue::{Note, Queue};
use super::read::failed;
use super::rows::Changes;
use super::work::{Answer, Answered, Job, Work};
use super::{Shared, keys, mail};
use crate::store::{CommitError, Committed, MailId, StoreError};

/// Rows in one batch: readers wait while a batch is applied, so it takes a few milliseconds at most.
const BATCH_ROWS: usize = 512;
/// Bytes in one batch.
const BATCH_BYTES: usize = 1 << 20;
/// Rows removed with each group.
const GARBAGE_ROWS: usize = 256;
/// sled leaves evicted pages to epoch garbage, which grows without bound unless somebody collects it; each call
/// collects a part.
const EPOCH_FLUSHES: usize = 4;

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

    fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.counting.is_empty()
    }

    fn is_full(&self) -> bool {
        self.changes.len() >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }
}

/// Rows in their order, and those among them that count.
type CountedRows = (Changes, BTreeMap<Vec<u8>, Option<Vec<u8>>>);

/// What came of a piece of work.
enum Decided {
    /// None: nobody waits for an answer.
    Answer(Option<Answer>),
    /// It must wait for the next group.
    Later(Work),
}

/// The thread's state.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Queue,
    /// What threads that sync answer to.
    pub(super) notes: Sender<Note>,
    pub(super) disk: Disk,
    pub(super) meta: MetaRow,
    pub(super) garbage: VecDeque<Task>,
    pub(super) later: Vec<Job>,
    pub(super) flights: Flights,
    /// Something has landed since work that was put off was looked at.
    pub(super) has_landed: bool,
    batch: Batch,
    /// The writer had nothing to do before the group came.
    pub(super) was_idle: bool,
    /// Answers of the last group, and when they went out.
    pub(super) acknowledged: usize,
    pub(super) acknowledged_at: Instant,
}

/// Tells everybody when writing ends by a panic, for instance one inside sled.
pub(super) struct Watch(Arc<Shared>);

impl Watch {
    pub(super) fn new(writer: &Writer) -> Self {
        Self(Arc::clone(&writer.shared))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.durable.fail("the writer panicked; see the log");
        }
    }
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        (sender, notes): (Sender<Note>, Receiver<Note>),
        disk: Disk,
        meta: MetaRow,
    ) -> Self {
        Self {
            shared,
            queue: Queue::new(notes),
            notes: sender,
            disk,
            meta,
            garbage: VecDeque::new(),
            later: Vec::new(),
            flights: Flights::default(),
            has_landed: false,
            batch: Batch::default(),
            was_idle: true,
            acknowledged: 0,
            acknowledged_at: Instant::now(),
        }
    }

    /// Writes one group, if there is anything to write.
    pub(super) fn work(&mut self) -> Gathered {
        let _watch = Watch::new(self);
        let done = self.gather().and_then(|gathered| match gathered {
            Gathered::Group(group) => self.write(group).map(|()| Gathered::Group(Vec::new())),
            Gathered::Nothing | Gathered::Closed => Ok(gathered),
        });
        done.unwrap_or_else(|error| {
            self.shared.durable.fail(&error.to_string());
            Gathered::Closed
        })
    }

    /// A failure is final.
    pub(super) fn has_failed(&self) -> bool {
        self.shared.durable.failed().is_some()
    }

    /// Closes the files, in order if nothing has failed.
    pub(super) fn end(mut self) {
        if !self.has_failed() {
            // A failure has been reported, and costs the next start some work, nothing else.
            drop(self.disk.close(self.meta));
        }
    }

    /// Whether a commit that comes now is alone, and not kept up by anything but its own sync.
    pub(super) fn may_be_quick(&mut self) -> bool {
        !self.has_work()
            && self.acknowledged <= 1
            && !self.queue.has_company()
            && self.flights.is_empty()
            && self.disk.is_quick()
    }

    /// There is something to do.
    pub(super) fn has_work(&mut self) -> bool {
        !self.later.is_empty() || !self.garbage.is_empty() || self.queue.receive() != Some(false)
    }

    /// Writes a commit that is alone. True: there is something left to do, if only to end.
    pub(super) fn write_lone(&mut self, job: Job) -> bool {
        self.was_idle = true;
        if let Err(error) = self.write(vec![job]) {
            self.shared.durable.fail(&error.to_string());
            return true;
        }
        self.has_work()
    }

    /// Writes a group and answers it, unless it flies. An error is final: whether the rows are on the disk is unknown.
    fn write(&mut self, group: Vec<Job>) -> Result<(), StoreError> {
        let mut touched = Touched::after(self.flights.touched());
        let mut answered = Answered::default();
        let (size, mut plain) = (group.len(), true);
        for Job { work, place } in group {
            plain &= work.is_plain();
            match self.decide_work(work, &mut touched)? {
                Decided::Answer(answer) => {
                    answered.answers.extend(answer);
                    answered.places.push(place);
                }
                Decided::Later(work) => self.later.push(Job { work, place }),
            }
        }
        self.remove_garbage(&touched)?;
        // Somebody who is alone gets nothing from it.
        let is_alone = size == 1 && self.was_idle && self.acknowledged <= 1 && self.flights.is_empty();
        if plain && !is_alone && !self.batch.is_empty() && self.may_fly() {
            return self.take_off(touched, answered);
        }
        self.apply_pending()?;
        self.answer(answered);
        Ok(())
    }

    /// Answers what is durable.
    pub(super) fn answer(&mut self, Answered { answers, places }: Answered) {
        self.acknowledged = answers.len();
        if !answers.is_empty() {
            self.shared.meters.grouped(answers.len());
        }
        answers.into_iter().for_each(Answer::send);
        drop(places);
        self.acknowledged_at = Instant::now();
        collect_evicted();
    }

    /// Decides a piece of work. An error is final.
    fn decide_work(&mut self, work: Work, touched: &mut Touched) -> Result<Decided, StoreError> {
        let done = |answer| Ok(Decided::Answer(Some(answer)));
        match work {
            Work::Commit(prepared, reply) => match self.commit(&prepared, touched)? {
                Some(result) => done(Answer::Commit(reply, result)),
                None => Ok(Decided::Later(Work::Commit(prepared, reply))),
            },
            Work::CommitAll(prepared, reply) => match self.commit_all(&prepared, touched)? {
                Some(result) => done(Answer::CommitAll(reply, result)),
                None => Ok(Decided::Later(Work::CommitAll(prepared, reply))),
            },
            Work::AnswerMail(taken, answer, reply) => match self.answer_mail(taken, answer.as_deref(), touched)? {
                Some(result) => done(Answer::Mail(reply, result)),
                None => Ok(Decided::Later(Work::AnswerMail(taken, answer, reply))),
            },
            Work::PutApp(app, expected, reply) => {
                let decided = touched.put_app(&self.shared.tree, &app, expected);
                match self.change(decided)? {
                    Some(result) => done(Answer::Row(reply, result)),
                    None => Ok(Decided::Later(Work::PutApp(app, expected, reply))),
                }
            }
            Work::PutSchedule(change, reply) => {
                let decided = touched.put_schedule(&self.shared.tree, &change);
                match self.change(decided)? {
                    Some(result) => done(Answer::Row(reply, result)),
                    None => Ok(Decided::Later(Work::PutSchedule(change, reply))),
                }
            }
            Work::Set(setting, reply) => {
                let decided = touched.set(&self.shared.tree, &setting);
                match self.change(decided)? {
                    Some(result) => done(Answer::Row(reply, result)),
                    None => Ok(Decided::Later(Work::Set(setting, reply))),
                }
            }
            Work::Purge(purge, reply) => match touched.purge(&self.shared.tree, purge) {
                Ok(Some(decision)) => {
                    let committed = decision.committed;
                    self.take(decision)?;
                    done(Answer::Commit(reply, Ok(committed)))
                }
                Ok(None) => Ok(Decided::Later(Work::Purge(purge, reply))),
                Err(error) => done(Answer::Commit(reply, Err(error))),
            },
            Work::Charge(hub, usage, reply) => {
                let mut counted = counts::Counted::default();
                counted.uses(&hub, usage);
                self.batch.counting.add(counted);
                done(Answer::Row(reply, Ok(())))
            }
            Work::Forget(timers) => {
                self.add(timers.iter().map(|timer| (keys::timer(timer), None)).collect())?;
                Ok(Decided::Answer(None))
            }
        }
    }

    /// Takes a change of rows as it was decided. None: it must wait for the next group. The outer error is final.
    fn change(
        &mut self,
        decided: Result<Option<Changes>, CommitError>,
    ) -> Result<Option<Result<(), CommitError>>, StoreError> {
        match decided {
            Ok(Some(changes)) => self.add(changes).map(|()| Some(Ok(()))),
            Ok(None) => Ok(None),
            Err(error) => Ok(Some(Err(error))),
        }
    }

    fn take(&mut self, Decision { changes, garbage, counted, .. }: Decision) -> Result<(), StoreError> {
        self.batch.counting.add(counted);
        self.add(changes)?;
        self.garbage.extend(garbage);
        Ok(())
    }

    /// Decides one commit. None: it must wait for the next group. The outer error is final.
    fn commit(
        &mut self,
        prepared: &Prepared,
        touched: &mut Touched,
    ) -> Result<Option<Result<Committed, CommitError>>, StoreError> {
        match self.decide(prepared, touched)? {
            Some(Ok(decision)) => {
                let committed = decision.committed;
                self.take(decision)?;
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

    /// Lands what is in flight, and makes this batch durable and then visible.
    fn apply(&mut self, batch: Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.land_all()?;
        let (rows, _) = self.rows_of(batch)?;
        self.apply_rows(rows)
    }

    /// The rows that the group has left to write, and the store is after them: the next ones in the journal.
    pub(super) fn next_rows(&mut self) -> Result<CountedRows, StoreError> {
        let batch = std::mem::take(&mut self.batch);
        self.rows_of(batch)
    }

    fn rows_of(&mut self, batch: Batch) -> Result<CountedRows, StoreError> {
        let counts = counts::rows(batch.counting, |key| match self.flights.count(key) {
            Some(row) => Ok(row.clone().map(sled::IVec::from)),
            None => self.shared.tree.get(key).map_err(failed),
        })?;
        self.meta.sequence += 1;
        let mut rows = batch.changes;
        rows.extend(counts.iter().cloned());
        rows.push((keys::META.to_vec(), Some(encoding::encode(&self.meta)?)));
        Ok((rows, counts.into_iter().collect()))
    }

    /// Nothing is in flight.
    pub(super) fn apply_rows(&mut self, rows: Changes) -> Result<(), StoreError> {
        let _writing = self.shared.aside.batch(&rows);
        self.disk.apply(rows, self.meta)
    }

    /// Removes some garbage along with the group. What the group itself has touched waits, because its rows are not
    /// all in the store yet.
    fn remove_garbage(&mut self, touched: &Touched) -> Result<(), StoreError> {
        let Some(task) = self.garbage.front().copied() else { return Ok(()) };
        self.land_all()?;
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
