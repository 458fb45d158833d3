//! A store that counts commits and dies after a chosen one: what a crash leaves is what was durable by then.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use durawasm_core::Timestamp;
use durawasm_host::store::{
    AppRecord, BoxFuture, Commit, CommitError, Committed, Counts, HubName, HubRecord, HubUsage, InstanceNumber,
    InstanceRecord, ListQuery, Mail, MailId, NewMail, Page, PayloadParts, Payloads, RecordedHistory, Revision,
    ScheduleKey, ScheduleState, SharedStore, Snapshot, Store, StoreError, TimerRow, Usage,
};

/// See the module.
pub struct DyingStore {
    inner: SharedStore,
    commits: AtomicUsize,
    lives: usize,
}

impl DyingStore {
    /// Lets `lives` commits through, whatever they write; all later ones fail as if the process had died.
    #[must_use]
    pub fn new(inner: SharedStore, lives: usize) -> Arc<Self> {
        Arc::new(Self { inner, commits: AtomicUsize::new(0), lives })
    }

    fn dies(&self) -> bool {
        self.commits.fetch_add(1, Ordering::SeqCst) >= self.lives
    }

    /// Commits that became durable.
    #[must_use]
    pub fn commits(&self) -> usize {
        self.commits.load(Ordering::SeqCst).min(self.lives)
    }

    /// True: a commit was refused because the store is dead.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.commits.load(Ordering::SeqCst) > self.lives
    }
}

fn dead() -> StoreError {
    StoreError::Unavailable("the test let the store die".to_owned())
}

impl Store for DyingStore {
    fn usage(&self, hub: &HubName) -> BoxFuture<'_, Result<HubUsage, StoreError>> {
        self.inner.usage(hub)
    }

    fn add_usage(&self, hub: &HubName, more: Usage) -> BoxFuture<'_, Result<(), CommitError>> {
        self.inner.add_usage(hub, more)
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, CommitError>> {
        if self.dies() {
            return Box::pin(async { Err(dead().into()) });
        }
        self.inner.commit(commit)
    }

    fn commit_all(&self, commits: Vec<Commit>) -> BoxFuture<'_, Result<Vec<Committed>, CommitError>> {
        if self.dies() {
            return Box::pin(async { Err(dead().into()) });
        }
        self.inner.commit_all(commits)
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
        self.inner.purge(number, revision)
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
        if self.dies() {
            return Box::pin(async { Err(dead().into()) });
        }
        self.inner.answer_mail(taken, answer)
    }

    fn apps(&self) -> BoxFuture<'_, Result<Vec<AppRecord>, StoreError>> {
        self.inner.apps()
    }

    fn put_app(&self, app: AppRecord, expected: u32) -> BoxFuture<'_, Result<(), CommitError>> {
        if self.dies() {
            return Box::pin(async { Err(dead().into()) });
        }
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
        if self.dies() {
            return Box::pin(async { Err(dead().into()) });
        }
        self.inner.put_schedule(key, before, after)
    }

    fn remove_app(&self, hub: &HubName, app: &str, expected: u32) -> BoxFuture<'_, Result<(), CommitError>> {
        if self.dies() {
            return Box::pin(async { Err(dead().into()) });
        }
        self.inner.remove_app(hub, app, expected)
    }

    fn hubs(&self) -> BoxFuture<'_, Result<Vec<HubRecord>, StoreError>> {
        self.inner.hubs()
    }

    fn put_hub(&self, hub: HubRecord, expected: u32) -> BoxFuture<'_, Result<(), CommitError>> {
        if self.dies() {
            return Box::pin(async { Err(dead().into()) });
        }
        self.inner.put_hub(hub, expected)
    }

    fn remove_hub(&self, hub: &HubName, expected: u32) -> BoxFuture<'_, Result<(), CommitError>> {
        if self.dies() {
            return Box::pin(async { Err(dead().into()) });
        }
        self.inner.remove_hub(hub, expected)
    }

    fn forget_timers(&self, after: Option<TimerRow>) -> BoxFuture<'_, Result<Option<TimerRow>, StoreError>> {
        self.inner.forget_timers(after)
    }
}
