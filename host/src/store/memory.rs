//! The store in memory: nothing survives the process. It is the reference that other backends are compared with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use durawasm_core::{HistoryEvent, InstanceId, Timestamp};

use super::usage::Stored;
use super::{
    AppRecord, BoxFuture, Commit, CommitError, Committed, Counts, EXAMINED, Expect, HubName, HubRecord, HubUsage,
    InstanceNumber, InstanceRecord, ListQuery, Mail, MailId, NewMail, Page, PayloadChanges, PayloadParts, Payloads,
    Position, RecordedHistory, Reuse, Revision, ScheduleKey, ScheduleState, Snapshot, Store, StoreError, TimerRow,
    Usage,
};

/// A [`Store`] that forgets everything when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryStore {
    rows: Mutex<Rows>,
}

#[derive(Clone, Debug, Default)]
struct Rows {
    last_number: u64,
    numbers: BTreeMap<(HubName, String), InstanceNumber>,
    instances: BTreeMap<InstanceNumber, Instance>,
    ready: BTreeSet<InstanceNumber>,
    timers: BTreeSet<TimerRow>,
    last_mail: u64,
    mail: BTreeMap<MailId, Mail>,
    created: BTreeMap<(HubName, Position), InstanceNumber>,
    children: BTreeSet<(HubName, InstanceId, InstanceNumber)>,
    apps: BTreeMap<(HubName, String), AppRecord>,
    schedules: BTreeMap<ScheduleKey, ScheduleState>,
    hubs: BTreeMap<HubName, HubRecord>,
    used: BTreeMap<HubName, Usage>,
}

#[derive(Clone, Debug)]
struct Instance {
    record: InstanceRecord,
    payloads: Payloads,
    history: Vec<HistoryEvent>,
    stored: Stored,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A panic elsewhere cannot leave the rows half changed: every change is decided before the first row is touched.
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn commit(&mut self, commit: Commit) -> Result<Committed, CommitError> {
        if commit.mail_taken.iter().any(|taken| !self.mail.contains_key(taken)) {
            return Err(CommitError::Conflict);
        }
        match commit.expect {
            Expect::Startable(reuse) => {
                let stored = stored_after(Stored::default(), &commit)?;
                self.start(commit, reuse, stored)
            }
            Expect::Revision(revision) => {
                let number = commit.record.number;
                let stored = match self.instances.get(&number) {
                    Some(instance) if instance.record.revision == revision => stored_after(instance.stored, &commit)?,
                    Some(_) | None => return Err(CommitError::Conflict),
                };
                Ok(self.apply(commit, (number, revision + 1), stored))
            }
        }
    }

    fn start(&mut self, commit: Commit, reuse: Reuse, stored: Stored) -> Result<Committed, CommitError> {
        let key = (commit.record.hub.clone(), commit.record.id.to_string());
        if let Some(existing) = self.numbers.get(&key).and_then(|number| self.instances.get(number)) {
            let replaceable = match reuse {
                Reuse::Never => false,
                Reuse::Terminal => existing.record.status.is_terminal(),
            };
            if !replaceable {
                return Err(CommitError::Exists(Box::new(existing.record.clone())));
            }
            let old = existing.record.number;
            self.remove(old);
        }
        self.last_number += 1;
        let number = InstanceNumber(self.last_number);
        if let Some(parent) = &commit.record.parent_instance_id {
            self.children.insert((commit.record.hub.clone(), parent.clone(), number));
        }
        self.numbers.insert(key, number);
        Ok(self.apply(commit, (number, 1), stored))
    }

    fn apply(&mut self, commit: Commit, (number, revision): (InstanceNumber, u64), stored: Stored) -> Committed {
        self.used.entry(commit.record.hub.clone()).or_default().add(commit.usage);
        let mut record = commit.record;
        record.number = number;
        record.revision = revision;
        if record.ready {
            self.ready.insert(number);
        } else {
            self.ready.remove(&number);
        }
        for (task, due) in commit.timers_cleared {
            self.timers.remove(&TimerRow { due, number, task });
        }
        for (task, due) in commit.timers_set {
            self.timers.insert(TimerRow { due, number, task });
        }
        commit.mail_taken.iter().for_each(|taken| drop(self.mail.remove(taken)));
        let first_mail = MailId(self.last_mail + 1);
        let hub = record.hub.clone();
        for mail in commit.mail_sent {
            self.send(&hub, mail);
        }
        if let Some(before) = self.instances.get(&number) {
            self.created.remove(&place(&before.record));
        }
        self.created.insert(place(&record), number);
        let instance = self.instances.entry(number).or_insert_with(|| Instance {
            record: record.clone(),
            payloads: Payloads::default(),
            history: Vec::new(),
            stored: Stored::default(),
        });
        instance.record = record;
        instance.stored = stored;
        change(&mut instance.payloads, commit.payloads);
        if commit.fresh_history {
            instance.history.clear();
        }
        instance.history.extend(commit.events);
        Committed { number, revision, first_mail }
    }

    fn send(&mut self, hub: &HubName, mail: NewMail) -> MailId {
        self.last_mail += 1;
        let id = MailId(self.last_mail);
        let NewMail { to, pin, letter } = mail;
        self.mail.insert(id, Mail { id, hub: hub.clone(), to, pin, letter });
        id
    }

    /// Everything of an instance but the row that leads from its id to it.
    fn remove(&mut self, number: InstanceNumber) -> Option<Instance> {
        let removed = self.instances.remove(&number)?;
        self.ready.remove(&number);
        self.timers.retain(|timer| timer.number != number);
        self.created.remove(&place(&removed.record));
        if let Some(parent) = &removed.record.parent_instance_id {
            self.children.remove(&(removed.record.hub.clone(), parent.clone(), number));
        }
        Some(removed)
    }

    fn purge(&mut self, number: InstanceNumber, revision: Revision) -> Result<(), CommitError> {
        if self.instances.get(&number).is_none_or(|instance| instance.record.revision != revision) {
            return Err(CommitError::Conflict);
        }
        if let Some(removed) = self.remove(number) {
            self.numbers.remove(&(removed.record.hub.clone(), removed.record.id.to_string()));
        }
        Ok(())
    }

    fn list(&self, hub: &HubName, query: &ListQuery) -> Page {
        let mut page = Page::default();
        let from = query.after.clone().unwrap_or_else(first_position);
        let rows = self.created.range((hub.clone(), from)..).take_while(|((other, _), _)| other == hub);
        let rows = rows.filter(|((_, position), _)| query.after.as_ref() != Some(position));
        for (examined, ((_, position), number)) in rows.enumerate() {
            if examined >= EXAMINED || page.records.len() >= query.limit.max(1) {
                return page;
            }
            let found = self.instances.get(number).map(|instance| &instance.record);
            page.records.extend(found.filter(|record| query.filter.admits(record)).cloned());
            page.next = Some(position.clone());
        }
        page.next = None;
        page
    }

    fn counts(&self, hub: &HubName) -> Counts {
        let mut counts = Counts::default();
        for record in self.instances.values().map(|instance| &instance.record).filter(|record| record.hub == *hub) {
            counts.by_name.entry(record.name.clone()).or_default().add(record.status, 1);
        }
        counts
    }

    fn put_app(&mut self, mut app: AppRecord, expected: u32) -> Result<(), CommitError> {
        let key = (app.hub.clone(), app.name.clone());
        let found = self.apps.get(&key).map_or(0, |app| app.generation);
        if found != expected {
            return Err(CommitError::Conflict);
        }
        app.generation = expected + 1;
        self.apps.insert(key, app);
        Ok(())
    }
}

fn stored_after(before: Stored, commit: &Commit) -> Result<Stored, StoreError> {
    let mut stored = before;
    stored.change(&commit.payloads);
    stored.append(&commit.events, commit.fresh_history)?;
    Ok(stored)
}

/// Whether a record is as its changer saw it.
fn seen(found: Option<u32>, expected: u32) -> Result<(), CommitError> {
    if found.unwrap_or(0) == expected { Ok(()) } else { Err(CommitError::Conflict) }
}

fn place(record: &InstanceRecord) -> (HubName, Position) {
    (record.hub.clone(), Position { created: record.created, id: record.id.clone() })
}

/// Before all others: no instance has an empty id.
fn first_position() -> Position {
    Position { created: Timestamp::MIN, id: InstanceId::from("") }
}

fn change(payloads: &mut Payloads, changes: PayloadChanges) {
    let PayloadChanges { input, output, custom_status } = changes;
    if let Some(input) = input {
        payloads.input = input;
    }
    if let Some(output) = output {
        payloads.output = output;
    }
    if let Some(custom_status) = custom_status {
        payloads.custom_status = custom_status;
    }
}

impl Store for MemoryStore {
    fn usage(&self, hub: &HubName) -> BoxFuture<'_, Result<HubUsage, StoreError>> {
        let hub = hub.clone();
        Box::pin(async move {
            let rows = self.rows();
            let of_hub = rows.instances.values().filter(|instance| instance.record.hub == hub);
            let stored_bytes = of_hub.map(|instance| instance.stored.bytes()).sum();
            Ok(HubUsage { used: rows.used.get(&hub).copied().unwrap_or_default(), stored_bytes })
        })
    }

    fn add_usage(&self, hub: &HubName, more: Usage) -> BoxFuture<'_, Result<(), CommitError>> {
        let hub = hub.clone();
        Box::pin(async move {
            self.rows().used.entry(hub).or_default().add(more);
            Ok(())
        })
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, CommitError>> {
        Box::pin(async move { self.rows().commit(commit) })
    }

    fn commit_all(&self, commits: Vec<Commit>) -> BoxFuture<'_, Result<Vec<Committed>, CommitError>> {
        Box::pin(async move {
            let mut rows = self.rows();
            // Nothing else can come between, so a trial on a copy decides for the original.
            let mut ids = BTreeSet::new();
            if commits.iter().any(|commit| !ids.insert((commit.record.hub.clone(), commit.record.id.clone()))) {
                return Err(CommitError::Conflict);
            }
            let mut trial = rows.clone();
            let done = commits.into_iter().map(|commit| trial.commit(commit)).collect::<Result<Vec<_>, _>>()?;
            *rows = trial;
            Ok(done)
        })
    }

    fn instance(&self, hub: &HubName, id: &str) -> BoxFuture<'_, Result<Option<InstanceRecord>, StoreError>> {
        let key = (hub.clone(), id.to_owned());
        Box::pin(async move {
            let rows = self.rows();
            Ok(rows.numbers.get(&key).and_then(|number| rows.instances.get(number)).map(|found| found.record.clone()))
        })
    }

    fn payloads(&self, number: InstanceNumber) -> BoxFuture<'_, Result<Payloads, StoreError>> {
        Box::pin(async move {
            Ok(self.rows().instances.get(&number).map(|found| found.payloads.clone()).unwrap_or_default())
        })
    }

    fn history(&self, number: InstanceNumber) -> BoxFuture<'_, Result<Option<RecordedHistory>, StoreError>> {
        Box::pin(async move {
            Ok(self.rows().instances.get(&number).map(|found| (found.record.clone(), found.history.clone())))
        })
    }

    fn snapshot(
        &self,
        number: InstanceNumber,
        parts: PayloadParts,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>> {
        Box::pin(async move {
            let rows = self.rows();
            let Some(Instance { record, payloads, .. }) = rows.instances.get(&number) else { return Ok(None) };
            let payloads = Payloads {
                input: payloads.input.clone().filter(|_| parts.input),
                output: payloads.output.clone().filter(|_| parts.output),
                custom_status: payloads.custom_status.clone().filter(|_| parts.custom_status),
            };
            Ok(Some((record.clone(), payloads)))
        })
    }

    fn list(&self, hub: &HubName, query: ListQuery) -> BoxFuture<'_, Result<Page, StoreError>> {
        let hub = hub.clone();
        Box::pin(async move { Ok(self.rows().list(&hub, &query)) })
    }

    fn counts(&self, hub: &HubName) -> BoxFuture<'_, Result<Counts, StoreError>> {
        let hub = hub.clone();
        Box::pin(async move { Ok(self.rows().counts(&hub)) })
    }

    fn children(
        &self,
        hub: &HubName,
        parent: &str,
        after: InstanceNumber,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<InstanceRecord>, StoreError>> {
        let (hub, parent) = (hub.clone(), InstanceId::from(parent));
        Box::pin(async move {
            let rows = self.rows();
            let from = (hub.clone(), parent.clone(), InstanceNumber(after.0.saturating_add(1)));
            let numbers = rows.children.range(from..).take_while(|row| row.0 == hub && row.1 == parent);
            let found = numbers.filter_map(|(_, _, number)| rows.instances.get(number));
            Ok(found.take(limit).map(|instance| instance.record.clone()).collect())
        })
    }

    fn purge(&self, number: InstanceNumber, revision: Revision) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(async move { self.rows().purge(number, revision) })
    }

    fn ready(
        &self,
        after: Option<InstanceNumber>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<InstanceNumber>, StoreError>> {
        let from = InstanceNumber(after.map_or(0, |number| number.0.saturating_add(1)));
        Box::pin(async move { Ok(self.rows().ready.range(from..).take(limit).copied().collect()) })
    }

    fn timers(&self, until: Timestamp, limit: usize) -> BoxFuture<'_, Result<Vec<TimerRow>, StoreError>> {
        Box::pin(async move {
            Ok(self.rows().timers.iter().take_while(|timer| timer.due <= until).take(limit).copied().collect())
        })
    }

    fn mail(&self, after: Option<MailId>, limit: usize) -> BoxFuture<'_, Result<Vec<Mail>, StoreError>> {
        let from = MailId(after.map_or(0, |id| id.0.saturating_add(1)));
        Box::pin(async move { Ok(self.rows().mail.range(from..).take(limit).map(|(_, mail)| mail.clone()).collect()) })
    }

    fn answer_mail(
        &self,
        taken: MailId,
        answer: Option<(HubName, NewMail)>,
    ) -> BoxFuture<'_, Result<MailId, CommitError>> {
        Box::pin(async move {
            let mut rows = self.rows();
            rows.mail.remove(&taken).ok_or(CommitError::Conflict)?;
            Ok(answer.map_or(MailId(rows.last_mail), |(hub, mail)| rows.send(&hub, mail)))
        })
    }

    fn apps(&self) -> BoxFuture<'_, Result<Vec<AppRecord>, StoreError>> {
        Box::pin(async move { Ok(self.rows().apps.values().cloned().collect()) })
    }

    fn put_app(&self, app: AppRecord, expected: u32) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(async move { self.rows().put_app(app, expected) })
    }

    fn schedules(&self) -> BoxFuture<'_, Result<Vec<(ScheduleKey, ScheduleState)>, StoreError>> {
        Box::pin(
            async move { Ok(self.rows().schedules.iter().map(|(key, state)| (key.clone(), state.clone())).collect()) },
        )
    }

    fn put_schedule(
        &self,
        key: ScheduleKey,
        before: Option<ScheduleState>,
        after: Option<ScheduleState>,
    ) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(async move {
            let mut rows = self.rows();
            if rows.schedules.get(&key) != before.as_ref() {
                return Err(CommitError::Conflict);
            }
            match after {
                Some(after) => drop(rows.schedules.insert(key, after)),
                None => drop(rows.schedules.remove(&key)),
            }
            Ok(())
        })
    }

    fn remove_app(&self, hub: &HubName, app: &str, expected: u32) -> BoxFuture<'_, Result<(), CommitError>> {
        let key = (hub.clone(), app.to_owned());
        Box::pin(async move {
            let mut rows = self.rows();
            seen(rows.apps.get(&key).map(|app| app.generation), expected)?;
            rows.apps.remove(&key);
            Ok(())
        })
    }

    fn hubs(&self) -> BoxFuture<'_, Result<Vec<HubRecord>, StoreError>> {
        Box::pin(async move { Ok(self.rows().hubs.values().cloned().collect()) })
    }

    fn put_hub(&self, hub: HubRecord, expected: u32) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(async move {
            let mut rows = self.rows();
            seen(rows.hubs.get(&hub.name).map(|hub| hub.generation), expected)?;
            rows.hubs.insert(hub.name.clone(), HubRecord { generation: expected + 1, ..hub });
            Ok(())
        })
    }

    fn remove_hub(&self, hub: &HubName, expected: u32) -> BoxFuture<'_, Result<(), CommitError>> {
        let hub = hub.clone();
        Box::pin(async move {
            let mut rows = self.rows();
            seen(rows.hubs.get(&hub).map(|hub| hub.generation), expected)?;
            rows.hubs.remove(&hub);
            rows.used.remove(&hub);
            Ok(())
        })
    }

    fn forget_timers(&self, _after: Option<TimerRow>) -> BoxFuture<'_, Result<Option<TimerRow>, StoreError>> {
        // An instance takes its timers along.
        Box::pin(async { Ok(None) })
    }
}
