//! A store that knows what became durable: whether anything is left to do, and which outcomes are recorded.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use durawasm_core::{EventKind, HistoryEvent, Timestamp};
use durawasm_host::store::{
    AppRecord, BoxFuture, Commit, CommitError, Committed, Counts, HubName, HubRecord, HubUsage, InstanceNumber,
    InstanceRecord, ListQuery, Mail, MailId, NewMail, Page, PayloadParts, Payloads, RecordedHistory, Revision,
    ScheduleKey, ScheduleState, SharedStore, Snapshot, Store, StoreError, TimerRow, Usage,
};
use tokio::sync::Semaphore;

/// See the module. Outlives the hosts that work on it.
pub struct WatchedStore {
    inner: SharedStore,
    begun: AtomicUsize,
    ended: AtomicUsize,
    /// Commits that became durable, and of which one nobody is told before the test says so.
    commits: AtomicUsize,
    untold: AtomicUsize,
    telling: Semaphore,
    /// `{execution}:{task}` of what has its outcome, `{execution}:{task}:{attempt}` of attempts that failed.
    recorded: Mutex<HashSet<String>>,
}

impl WatchedStore {
    /// Watches a store.
    #[must_use]
    pub fn new(inner: SharedStore) -> Arc<Self> {
        Arc::new(Self {
            inner,
            begun: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            commits: AtomicUsize::new(0),
            untold: AtomicUsize::new(usize::MAX),
            telling: Semaphore::new(0),
            recorded: Mutex::new(HashSet::new()),
        })
    }

    /// True: nothing happens any more before the time or somebody outside moves. What is durable decides it, so it holds
    /// for a host that has just been started on it, too.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn is_quiet(&self, now: Timestamp) -> bool {
        let ended = self.ended.load(Ordering::SeqCst);
        let quiet = self.inner.mail(None, 1).await.is_ok_and(|mail| mail.is_empty())
            && self.inner.ready(None, 1).await.is_ok_and(|ready| ready.is_empty())
            && self.inner.timers(now, 1).await.is_ok_and(|timers| timers.is_empty());
        // The three are from one moment only if nothing was written meanwhile.
        quiet && self.begun.load(Ordering::SeqCst) == ended
    }

    /// When the next timer is due.
    pub async fn next_timer(&self) -> Option<Timestamp> {
        self.inner.timers(Timestamp::MAX, 1).await.ok()?.first().map(|row| row.due)
    }

    /// Whether the outcome of the attempt with this idempotency key was durable already.
    #[must_use]
    pub fn is_recorded(&self, key: &str) -> bool {
        let recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        recorded.contains(key) || key.rsplit_once(':').is_some_and(|(call, _)| recorded.contains(call))
    }

    /// How often anything was written.
    #[must_use]
    pub fn writes(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }

    /// The commit of this number, from 1, becomes durable, and whoever made it learns of it only when he is
    /// [told](Self::tell).
    pub fn withhold(&self, commit: usize) {
        self.untold.store(commit, Ordering::SeqCst);
    }

    /// The answer that was withheld is given.
    pub fn tell(&self) {
        self.telling.add_permits(1);
    }

    async fn answered(&self) {
        if self.commits.fetch_add(1, Ordering::SeqCst) + 1 == self.untold.load(Ordering::SeqCst) {
            let _told = self.telling.acquire().await;
        }
    }

    fn note(&self, execution: &str, events: &[HistoryEvent]) {
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            if let EventKind::TaskCompleted { task, .. } | EventKind::TaskFailed { task, .. } = &event.kind {
                recorded.insert(format!("{execution}:{task}"));
            } else if let EventKind::TaskAttemptFailed { task, attempt, .. }
            | EventKind::TaskPostponed { task, attempt, .. } = &event.kind
            {
                recorded.insert(format!("{execution}:{task}:{attempt}"));
            }
        }
    }
}

/// Counts a write as ended however it ends.
struct Ending<'a>(&'a AtomicUsize);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Store for WatchedStore {
    fn usage(&self, hub: &HubName) -> BoxFuture<'_, Result<HubUsage, StoreError>> {
        self.inner.usage(hub)
    }

    fn add_usage(&self, hub: &HubName, more: Usage) -> BoxFuture<'_, Result<(), CommitError>> {
        self.inner.add_usage(hub, more)
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, CommitError>> {
        Box::pin(async move {
            self.begun.fetch_add(1, Ordering::SeqCst);
            let _ending = Ending(&self.ended);
            // The events of a commit that begins a fresh execution are those of the fresh one.
            let (execution, events) = (commit.record.execution_id.clone(), commit.events.clone());
            let committed = self.inner.commit(commit).await?;
            self.note(&execution, &events);
            self.answered().await;
            Ok(committed)
        })
    }

    fn commit_all(&self, commits: Vec<Commit>) -> BoxFuture<'_, Result<Vec<Committed>, CommitError>> {
        Box::pin(async move {
            self.begun.fetch_add(1, Ordering::SeqCst);
            let _ending = Ending(&self.ended);
            let begun: Vec<_> =
                commits.iter().map(|commit| (commit.record.execution_id.clone(), commit.events.clone())).collect();
            let committed = self.inner.commit_all(commits).await?;
            begun.iter().for_each(|(execution, events)| self.note(execution, events));
            self.answered().await;
            Ok(committed)
        })
    }

    fn instance(&self, hub: &HubName, id: &str) -> BoxFuture<'_, Result<Option<InstanceRecord>, StoreError>> {
        let (hub, id) = (hub.clone(), id.to_owned());
        Box::pin(async move { self.inner.instance(&hub, &id).await })
    }

    fn payloads(&self, number: InstanceNumber) -> BoxFuture<'_, Result<Payloads, StoreError>> {
        self.inner.payloads(number)
    }

    fn history(&self, number: InstanceNumber) -> BoxFuture<'_, Result<Option<RecordedHistory>, StoreError>> {
        self.inner.history(number)
    }

    fn snapshot(
        &self,
        number: InstanceNumber,
        parts: PayloadParts,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>> {
        self.inner.snapshot(number, parts)
    }

    fn list(&self, hub: &HubName, query: ListQuery) -> BoxFuture<'_, Result<Page, StoreError>> {
        self.inner.list(hub, query)
    }

    fn counts(&self, hub: &HubName) -> BoxFuture<'_, Result<Counts, StoreError>> {
        self.inner.counts(hub)
    }

    fn children(
        &self,
        hub: &HubName,
        parent: &str,
        after: InstanceNumber,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<InstanceRecord>, StoreError>> {
        self.inner.children(hub, parent, after, limit)
    }

    fn purge(&self, number: InstanceNumber, revision: Revision) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(async move {
            self.begun.fetch_add(1, Ordering::SeqCst);
            let _ending = Ending(&self.ended);
            self.inner.purge(number, revision).await
        })
    }

    fn ready(
        &self,
        after: Option<InstanceNumber>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<InstanceNumber>, StoreError>> {
        self.inner.ready(after, limit)
    }

    fn timers(&self, until: Timestamp, limit: usize) -> BoxFuture<'_, Result<Vec<TimerRow>, StoreError>> {
        self.inner.timers(until, limit)
    }

    fn mail(&self, after: Option<MailId>, limit: usize) -> BoxFuture<'_, Result<Vec<Mail>, StoreError>> {
        self.inner.mail(after, limit)
    }

    fn answer_mail(
        &self,
        taken: MailId,
        answer: Option<(HubName, NewMail)>,
    ) -> BoxFuture<'_, Result<MailId, CommitError>> {
        Box::pin(async move {
            self.begun.fetch_add(1, Ordering::SeqCst);
            let _ending = Ending(&self.ended);
            self.inner.answer_mail(taken, answer).await
        })
    }

    fn apps(&self) -> BoxFuture<'_, Result<Vec<AppRecord>, StoreError>> {
        self.inner.apps()
    }

    fn put_app(&self, app: AppRecord, expected: u32) -> BoxFuture<'_, Result<(), CommitError>> {
        self.inner.put_app(app, expected)
    }

    fn schedules(&self) -> BoxFuture<'_, Result<Vec<(ScheduleKey, ScheduleState)>, StoreError>> {
        self.inner.schedules()
    }

    fn put_schedule(
        &self,
        key: ScheduleKey,
        before: Option<ScheduleState>,
        after: Option<ScheduleState>,
    ) -> BoxFuture<'_, Result<(), CommitError>> {
        self.inner.put_schedule(key, before, after)
    }

    fn remove_app(&self, hub: &HubName, app: &str, expected: u32) -> BoxFuture<'_, Result<(), CommitError>> {
        self.inner.remove_app(hub, app, expected)
    }

    fn hubs(&self) -> BoxFuture<'_, Result<Vec<HubRecord>, StoreError>> {
        self.inner.hubs()
    }

    fn put_hub(&self, hub: HubRecord, expected: u32) -> BoxFuture<'_, Result<(), CommitError>> {
        self.inner.put_hub(hub, expected)
    }

    fn remove_hub(&self, hub: &HubName, expected: u32) -> BoxFuture<'_, Result<(), CommitError>> {
        self.inner.remove_hub(hub, expected)
    }

    fn forget_timers(&self, after: Option<TimerRow>) -> BoxFuture<'_, Result<Option<TimerRow>, StoreError>> {
        self.inner.forget_timers(after)
    }
}
