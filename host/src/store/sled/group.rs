//! Decides the commits of one group: each against the store, and none against another of the same group. A commit
//! whose instance the group has already changed waits for the next one, so that it too is checked against rows.

use std::collections::HashSet;
use std::sync::Arc;

use super::collect::{self, Task};
use super::counts::Counted;
use super::encoding::{self, Head, NumberRow};
use super::index;
use super::keys;
use super::mail;
use super::prepare::{MAX_VALUE, Prepared};
use super::read::{self, failed};
use super::rows::Changes;
use super::rows::Rows;
use crate::store::{
    AppRecord, CommitError, Committed, Expect, InstanceNumber, InstanceRecord, MailId, Reuse, ScheduleKey,
    ScheduleState, StoreError, TimerRow,
};

/// Rows that a commit removes itself; what is more is removed behind.
const INLINE_REMOVALS: usize = 64;

/// What the group has changed so far.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub(super) numbers: HashSet<u64>,
    pub(super) keys: HashSet<Vec<u8>>,
    mail: HashSet<MailId>,
    /// What groups before it have changed that are not in the store yet.
    earlier: Vec<Arc<Touched>>,
}

/// The numbers that a commit gets if it makes something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    /// Of a new instance.
    pub(super) number: u64,
    /// Of the first message.
    pub(super) mail: u64,
}

/// A commit that applies.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) committed: Committed,
    pub(super) changes: Changes,
    /// What is left to remove behind; `changes` remember it.
    pub(super) garbage: Vec<Task>,
    /// How the counts of instances change.
    pub(super) counted: Counted,
}

impl Decision {
    pub(super) fn new(number: u64, revision: u64, first_mail: u64) -> Self {
        let first_mail = MailId(first_mail);
        let committed = Committed { number: InstanceNumber(number), revision, first_mail };
        Self { committed, changes: Changes::new(), garbage: Vec::new(), counted: Counted::default() }
    }

    pub(super) fn write(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.changes.push((key, Some(value)));
    }

    pub(super) fn remove(&mut self, key: Vec<u8>) {
        self.changes.push((key, None));
    }

    pub(super) fn collect(&mut self, tree: &Rows, task: Task, keep: &HashSet<(u64, u32)>) -> Result<(), StoreError> {
        if !task.collect(tree, INLINE_REMOVALS, keep, &mut self.changes)? {
            self.write(task.key(), Vec::new());
            self.garbage.push(task);
        }
        Ok(())
    }
}

impl Touched {
    /// For a group that is decided while others are not in the store yet.
    pub(super) fn after(earlier: Vec<Arc<Self>>) -> Self {
        Self { earlier, ..Self::default() }
    }

    /// Without those before it.
    pub(super) fn alone(self) -> Self {
        Self { earlier: Vec::new(), ..self }
    }

    fn any(&self, has: impl Fn(&Self) -> bool) -> bool {
        has(self) || self.earlier.iter().any(|earlier| has(earlier))
    }

    /// True: the group, or one before it, has changed this instance.
    pub(super) fn has(&self, number: u64) -> bool {
        self.any(|touched| touched.numbers.contains(&number))
    }

    /// The same for what leads from an id to its instance, and for records that are no instance's.
    pub(super) fn has_key(&self, key: &[u8]) -> bool {
        self.any(|touched| touched.keys.contains(key))
    }

    fn has_mail(&self, id: MailId) -> bool {
        self.any(|touched| touched.mail.contains(&id))
    }

    /// Decides a commit. None: it must wait for the next group.
    pub(super) fn commit(
        &mut self,
        tree: &Rows,
        prepared: &Prepared,
        next: Next,
    ) -> Result<Option<Decision>, CommitError> {
        let Some((changes, garbage)) = self.take_mail(tree, &prepared.mail_taken)? else { return Ok(None) };
        let decision = match prepared.expect {
            Expect::Startable(reuse) => self.start(tree, prepared, reuse, next)?,
            Expect::Revision(revision) => self.advance(tree, prepared, (revision, next.mail))?,
        };
        let Some(mut decision) = decision else { return Ok(None) };
        self.mail.extend(prepared.mail_taken.iter().copied());
        decision.changes.extend(changes);
        decision.garbage.extend(garbage);
        Ok(Some(decision))
    }

    /// Takes messages. None: the group has taken one of them already, so the next one is told that it is gone.
    pub(super) fn take_mail(&self, tree: &Rows, taken: &[MailId]) -> Result<Option<(Changes, Vec<Task>)>, CommitError> {
        if taken.iter().any(|id| self.has_mail(*id)) {
            return Ok(None);
        }
        let (mut changes, mut garbage) = (Changes::new(), Vec::new());
        for id in taken {
            garbage.extend(mail::take(tree, *id, &mut changes)?);
        }
        Ok(Some((changes, garbage)))
    }

    /// Notes that the group has taken this message.
    pub(super) fn took_mail(&mut self, id: MailId) {
        self.mail.insert(id);
    }

    fn start(
        &mut self,
        tree: &Rows,
        prepared: &Prepared,
        reuse: Reuse,
        Next { number, mail }: Next,
    ) -> Result<Option<Decision>, CommitError> {
        if self.has_key(&prepared.number_key) {
            return Ok(None);
        }
        let mut decision = Decision::new(number, prepared.revision, mail);
        let old = read::number(tree, &prepared.number_key)?;
        if let Some(old) = old {
            if self.has(old) {
                return Ok(None);
            }
            replace(tree, (old, reuse), &mut decision)?;
        }
        decision.write(prepared.number_key.clone(), encoding::encode(&NumberRow { number })?);
        write_rows(prepared, None, &mut decision)?;
        self.numbers.extend(old);
        self.numbers.insert(number);
        self.keys.insert(prepared.number_key.clone());
        Ok(Some(decision))
    }

    fn advance(
        &mut self,
        tree: &Rows,
        prepared: &Prepared,
        (revision, first_mail): (u64, u64),
    ) -> Result<Option<Decision>, CommitError> {
        let number = prepared.number;
        if self.has(number) {
            return Ok(None);
        }
        let Some(row) = tree.get(keys::instance(number)).map_err(failed)? else { return Err(CommitError::Conflict) };
        let head = encoding::decode_head(&row)?;
        if head.revision != revision {
            return Err(CommitError::Conflict);
        }
        let mut decision = Decision::new(number, prepared.revision, first_mail);
        drop_old_payloads(tree, prepared, &mut decision)?;
        write_rows(prepared, Some(&head), &mut decision)?;
        self.numbers.insert(number);
        Ok(Some(decision))
    }

    /// Decides an app's record. None: it must wait for the next group.
    pub(super) fn put_app(
        &mut self,
        tree: &Rows,
        app: &AppRecord,
        expected: u32,
    ) -> Result<Option<Changes>, CommitError> {
        let (prefix, _) = keys::app_chunks(&app.hub, &app.name);
        if self.has_key(&prefix) {
            return Ok(None);
        }
        let found = read::app(tree, &prefix)?.map_or(0, |app| app.generation);
        if found != expected {
            return Err(CommitError::Conflict);
        }
        let bytes = encoding::encode_app(&AppRecord { generation: expected.saturating_add(1), ..app.clone() })?;
        let mut changes = Changes::new();
        for key in tree.scan_prefix(&prefix).keys() {
            changes.push((key.map_err(failed)?.to_vec(), None));
        }
        for (chunk, part) in (0u32..).zip(bytes.chunks(MAX_VALUE)) {
            changes.push((keys::app(&app.hub, &app.name, chunk), Some(part.to_vec())));
        }
        self.keys.insert(prefix);
        Ok(Some(changes))
    }

    /// Decides a change of a schedule. None: it must wait for the next group.
    pub(super) fn put_schedule(
        &mut self,
        tree: &Rows,
        change: &ScheduleChange,
    ) -> Result<Option<Changes>, CommitError> {
        let key = keys::schedule(&change.key);
        if self.has_key(&key) {
            return Ok(None);
        }
        if read::schedule(tree, &key)? != change.before {
            return Err(CommitError::Conflict);
        }
        let row = change.after.as_ref().map(encoding::encode_schedule).transpose()?;
        self.keys.insert(key.clone());
        Ok(Some(vec![(key, row)]))
    }
}

/// A change of where a timer function is in its schedule.
#[derive(Debug)]
pub(super) struct ScheduleChange {
    pub(super) key: ScheduleKey,
    pub(super) before: Option<ScheduleState>,
    pub(super) after: Option<ScheduleState>,
}

/// Removes the instance that a start replaces, if it may.
fn replace(tree: &Rows, (old, reuse): (u64, Reuse), decision: &mut Decision) -> Result<(), CommitError> {
    let Some(row) = tree.get(keys::instance(old)).map_err(failed)? else {
        return Err(
            StoreError::Corrupt(format!("instance number {old} has no record, though an id leads to it")).into()
        );
    };
    let (head, record) = encoding::decode_record(old, &row)?;
    let replaceable = match reuse {
        Reuse::Never => false,
        Reuse::Terminal => head.status.is_terminal(),
    };
    if !replaceable {
        return Err(CommitError::Exists(Box::new(record)));
    }
    remove_rows(tree, (&head, &record), decision)?;
    Ok(())
}

/// Removes all rows of an instance but the one that leads from its id to it.
pub(super) fn remove_rows(
    tree: &Rows,
    (head, record): (&Head, &InstanceRecord),
    decision: &mut Decision,
) -> Result<(), StoreError> {
    let number = record.number.0;
    decision.remove(keys::instance(number));
    index::removed(head, record, decision);
    decision.counted.stores(&record.hub, (head.stored.bytes(), 0));
    if head.ready {
        decision.remove(keys::ready(number));
    }
    decision.collect(tree, Task::All { number }, &HashSet::new())
}

/// Removes the large payloads that this commit replaces, and the history that it drops.
fn drop_old_payloads(tree: &Rows, prepared: &Prepared, decision: &mut Decision) -> Result<(), StoreError> {
    if prepared.slots.is_empty() && !prepared.fresh_history {
        return Ok(());
    }
    let number = prepared.number;
    let mut keep = HashSet::new();
    for (slot, piece) in collect::slot_pieces(tree, number)? {
        if prepared.slots.iter().all(|(changed, _)| *changed != slot) {
            keep.insert((piece.revision, piece.piece));
        } else if piece.piece >= encoding::SLOT_PIECES {
            let task = Task::Piece { number, revision: piece.revision, piece: piece.piece };
            decision.collect(tree, task, &HashSet::new())?;
        }
    }
    if prepared.fresh_history {
        let task = Task::HistoryBefore { number, revision: prepared.revision };
        decision.collect(tree, task, &keep)?;
    }
    Ok(())
}

/// The rows of the instance as it is after the commit. `before`: none for a start.
fn write_rows(prepared: &Prepared, before: Option<&Head>, decision: &mut Decision) -> Result<(), StoreError> {
    let Committed { number: InstanceNumber(number), revision, .. } = decision.committed;
    let &Prepared { status, ready, created, .. } = prepared;
    let history_from = match before {
        Some(before) if !prepared.fresh_history => before.history_from,
        Some(_) | None => revision,
    };
    let class = index::class(before.and_then(|before| before.class), status, ready);
    let stored_before = before.map(|before| before.stored).unwrap_or_default();
    let mut stored = stored_before;
    if prepared.fresh_history {
        stored.history = 0;
    }
    stored.history = stored.history.saturating_add(prepared.history_bytes);
    for (slot, _) in &prepared.slots {
        let slot = usize::from(*slot);
        if let (Some(size), Some(new)) = (stored.payloads.get_mut(slot), prepared.payloads.payloads.get(slot)) {
            *size = *new;
        }
    }
    decision.counted.stores(&prepared.hub, (stored_before.bytes(), stored.bytes()));
    decision.counted.uses(&prepared.hub, prepared.usage);
    let head = Head { revision, history_from, status, ready, created, class, stored };
    decision.write(keys::instance(number), encoding::encode_record(&head, &prepared.body)?);
    // Index rows are touched only when they change: rows are what writing costs.
    match (before.is_some_and(|before| before.ready), ready) {
        (false, true) => decision.write(keys::ready(number), Vec::new()),
        (true, false) => decision.remove(keys::ready(number)),
        (false, false) | (true, true) => {}
    }
    index::changed(before, &head, prepared, decision)?;
    if let Some(history) = &prepared.history {
        decision.write(keys::history(number, revision), history.clone());
    }
    for (slot, row) in &prepared.slots {
        match row {
            Some(row) => decision.write(keys::slot(number, *slot), row.clone()),
            None => decision.remove(keys::slot(number, *slot)),
        }
    }
    let timer = |&(task, due)| keys::timer(&TimerRow { due, number: InstanceNumber(number), task });
    for key in prepared.timers_cleared.iter().map(timer) {
        decision.remove(key);
    }
    for key in prepared.timers_set.iter().map(timer) {
        decision.write(key, Vec::new());
    }
    Ok(())
}
