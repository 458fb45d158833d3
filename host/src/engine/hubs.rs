//! Task hubs: which there are, what is under way in each, and how one goes for good.
//!
//! A hub goes in steps that each may be the last before a crash: its record says that it is being deleted, which is
//! durable before anything else happens; nothing new begins from then on; what runs is waited for or stopped; instances,
//! messages, apps and timers are removed; the record goes last. An engine that opens a store with such a record goes on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use durawasm_core::Timestamp;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::executor::Environment;
use super::meters::Refusals;
use super::places::Lanes;
use super::quota::{Quota, QuotaExceeded};
use super::usage::Uncharged;
use super::{Engine, Inner};
use crate::fair::{Share, Shares};
use crate::store::{
    CommitError, HubConfig, HubName, HubRecord, HubState, InstanceRecord, KeyId, ListQuery, MailId, Store, StoreError,
    Usage,
};

/// The hub that always exists.
pub const DEFAULT_HUB: &str = "default";
/// Instances of a hub that are removed before the next are asked for.
const DELETE_PAGE: usize = 500;
/// Removals under way at once: they share the syncs of the store.
const DELETES_AT_ONCE: usize = 64;
/// Messages that are looked at before the next are asked for.
const MAIL_PAGE: usize = 500;
/// The rest between two looks, and after a failure.
const REST: Duration = Duration::from_millis(200);

/// Why a hub was not created, changed or deleted. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HubError {
    /// There is none.
    #[error("The task hub '{0}' does not exist. Create it with `durawasm hub create {0}`.")]
    Unknown(HubName),
    /// It is being deleted.
    #[error("The task hub '{0}' is being deleted.")]
    Deleting(HubName),
    /// The default hub stays.
    #[error("The task hub '{DEFAULT_HUB}' always exists and cannot be deleted.")]
    Default,
    /// Instances of it have not ended.
    #[error(
        "The task hub '{hub}' has instances that have not ended: {open}. Terminate them first, or delete the hub with all \
         that it has with force=true."
    )]
    Busy {
        /// The hub.
        hub: HubName,
        /// How many.
        open: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

type RwStarts = tokio::sync::RwLock<()>;

/// A hub in memory.
pub(super) struct Hub {
    known: RwLock<Known>,
    /// Starts, activities and client functions under way.
    busy: AtomicUsize,
    idle: Notify,
    /// Held by each start until it is durable.
    starts: Arc<RwStarts>,
    /// Held by each commit of an instance that is there already.
    commits: Arc<RwStarts>,
    quota: Quota,
    lanes: Lanes,
    uncharged: Uncharged,
    refusals: Arc<Refusals>,
}

/// Its record, and what follows from it.
struct Known {
    record: Arc<HubRecord>,
    env: Environment,
}

impl Known {
    fn new(record: HubRecord) -> Self {
        let HubConfig { env, secrets, .. } = &record.config;
        let secrets = secrets.iter().map(|(name, secret)| (name.clone(), secret.0.clone()));
        let env = env.iter().map(|(name, value)| (name.clone(), value.clone())).chain(secrets).collect();
        Self { env, record: Arc::new(record) }
    }
}

impl Hub {
    fn new(record: HubRecord, refusals: &Arc<Refusals>) -> Arc<Self> {
        Arc::new(Self {
            refusals: Arc::clone(refusals),
            known: RwLock::new(Known::new(record)),
            busy: AtomicUsize::new(0),
            idle: Notify::new(),
            starts: Arc::default(),
            commits: Arc::default(),
            quota: Quota::default(),
            lanes: Lanes::default(),
            uncharged: Uncharged::default(),
        })
    }

    pub(super) fn record(&self) -> Arc<HubRecord> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner).record)
    }

    pub(super) fn quota(&self) -> &Quota {
        &self.quota
    }

    pub(super) fn uncharged(&self) -> &Uncharged {
        &self.uncharged
    }

    pub(super) fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    pub(super) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    pub(super) fn is_open(&self) -> bool {
        match self.record().state {
            HubState::Open => true,
            HubState::Deleting => false,
        }
    }

    /// Something begins in the hub; none: it is being deleted.
    fn enter(self: Arc<Self>) -> Option<Busy> {
        // Counted before the look: who deletes the hub marks it before it counts.
        self.busy.fetch_add(1, Ordering::SeqCst);
        let busy = Busy(self);
        busy.0.is_open().then_some(busy)
    }

    async fn idle(&self) {
        loop {
            let changed = self.idle.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.busy.load(Ordering::SeqCst) == 0 {
                return;
            }
            changed.await;
        }
    }
}

/// Something that is under way in a hub; the hub does not go before it has ended.
pub(super) struct Busy(Arc<Hub>);

/// A start that is under way in a hub.
pub(super) struct Starting {
    busy: Busy,
    _starting: tokio::sync::OwnedRwLockReadGuard<()>,
}

impl Starting {
    pub(super) fn hub(&self) -> &Arc<Hub> {
        &self.busy.0
    }
}

impl Busy {
    pub(super) fn hub(&self) -> &Arc<Hub> {
        &self.0
    }

    /// What the hub's activities and client functions find in their environment.
    pub(super) fn env(&self) -> Environment {
        Arc::clone(&self.0.known.read().unwrap_or_else(PoisonError::into_inner).env)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.busy.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

#[derive(Default)]
struct Table {
    hubs: HashMap<HubName, Arc<Hub>>,
    keys: HashMap<KeyId, HubName>,
    refusals: Arc<Refusals>,
}

impl Table {
    fn forget_keys(&mut self, name: &HubName) {
        let Some(hub) = self.hubs.get(name) else { return };
        for key in &hub.record().keys {
            self.keys.remove(&key.id);
        }
    }

    fn put(&mut self, record: HubRecord) {
        let name = record.name.clone();
        self.forget_keys(&name);
        self.keys.extend(record.keys.iter().map(|key| (key.id, name.clone())));
        match self.hubs.get(&name) {
            Some(hub) => {
                let limit = record.config.limits.concurrent_activities;
                *hub.known.write().unwrap_or_else(PoisonError::into_inner) = Known::new(record);
                hub.quota.limits_changed(limit);
            }
            None => drop(self.hubs.insert(name, Hub::new(record, &self.refusals))),
        }
    }
}

/// All hubs.
pub(super) struct Hubs {
    table: RwLock<Table>,
    /// One change at a time decides.
    deciding: tokio::sync::Mutex<()>,
}

impl Hubs {
    /// `with_apps`: those that have apps exist even if they have no record.
    pub(super) async fn load(store: &dyn Store, with_apps: Vec<HubName>) -> Result<Self, StoreError> {
        let mut table = Table::default();
        store.hubs().await?.into_iter().for_each(|record| table.put(record));
        for name in with_apps.into_iter().chain([HubName::from(DEFAULT_HUB)]) {
            if !table.hubs.contains_key(&name) {
                table.put(HubRecord::new(name, None, [0; 16]));
            }
        }
        Ok(Self { table: RwLock::new(table), deciding: tokio::sync::Mutex::default() })
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<Hub>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).hubs.get(name).cloned()
    }

    /// Something begins in this hub; none: there is no such hub, or not for long.
    pub(super) fn enter(&self, name: &str) -> Option<Busy> {
        self.get(name)?.enter()
    }

    /// A start begins in this hub; none: there is no such hub, or not for long. One task holds one of a hub at most.
    pub(super) async fn enter_start(&self, name: &str) -> Option<Starting> {
        let hub = self.get(name)?;
        let starting = Arc::clone(&hub.starts).read_owned().await;
        Some(Starting { busy: hub.enter()?, _starting: starting })
    }

    /// Waits until no start is under way in this hub; none begins as long as this is held.
    pub(super) async fn without_starts(&self, name: &str) -> Option<tokio::sync::OwnedRwLockWriteGuard<()>> {
        let starts = Arc::clone(&self.get(name)?.starts);
        Some(starts.write_owned().await)
    }

    /// All, sorted by name.
    /// Counts what is refused in any of them.
    pub(super) fn refusals(&self) -> Arc<Refusals> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner).refusals)
    }

    pub(super) fn all(&self) -> Vec<Arc<HubRecord>> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = table.hubs.values().map(|hub| hub.record()).collect();
        drop(table);
        all.sort_unstable_by(|one, two| one.name.cmp(&two.name));
        all
    }

    /// Looks at what each hub uses of the processors. False: nothing.
    pub(super) fn look_at_shares(&self, shares: &mut Shares) -> bool {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<&Share> = table.hubs.values().map(|hub| hub.lanes().slices.share()).collect();
        shares.look(&all)
    }

    fn of_key(&self, id: KeyId) -> Option<Arc<HubRecord>> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.hubs.get(table.keys.get(&id)?).map(|hub| hub.record())
    }

    /// An instance of this hub commits; held until that has ended.
    pub(super) async fn commits(&self, name: &str) -> Option<tokio::sync::OwnedRwLockReadGuard<()>> {
        let commits = Arc::clone(&self.get(name)?.commits);
        Some(commits.read_owned().await)
    }

    /// Waits until nothing of this hub is on its way into the store; nothing is as long as this is held.
    pub(super) async fn quiet(&self, name: &str) -> Option<[tokio::sync::OwnedRwLockWriteGuard<()>; 2]> {
        let hub = self.get(name)?;
        let starts = Arc::clone(&hub.starts).write_owned().await;
        Some([starts, Arc::clone(&hub.commits).write_owned().await])
    }

    pub(super) fn put(&self, record: HubRecord) {
        self.table.write().unwrap_or_else(PoisonError::into_inner).put(record);
    }

    fn remove(&self, name: &HubName) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.forget_keys(name);
        table.hubs.remove(name);
    }
}

impl Engine {
    /// The hub of this name, also one that is being deleted.
    #[must_use]
    pub fn hub(&self, name: &str) -> Option<Arc<HubRecord>> {
        self.inner.hubs.get(name).map(|hub| hub.record())
    }

    /// All hubs, sorted by name.
    #[must_use]
    pub fn hubs(&self) -> Vec<Arc<HubRecord>> {
        self.inner.hubs.all()
    }

    /// The hub that has the key with this id.
    #[must_use]
    pub fn hub_of_key(&self, id: KeyId) -> Option<Arc<HubRecord>> {
        self.inner.hubs.of_key(id)
    }

    /// A request for this hub comes; what the hub refuses is not to be answered.
    ///
    /// # Errors
    /// The hub is at its limit.
    pub fn admit_request(&self, hub: &str) -> Result<(), QuotaExceeded> {
        let Some(hub) = self.inner.hubs.get(hub) else { return Ok(()) };
        hub.uncharged().add(Usage { requests: 1, ..Usage::default() });
        hub.take_request(self.inner.now())
    }

    /// Creates a hub; durable on return. False: it existed. The name is the caller's to check.
    ///
    /// # Errors
    /// See [`HubError`].
    pub async fn create_hub(&self, name: &HubName) -> Result<(Arc<HubRecord>, bool), HubError> {
        let inner = &self.inner;
        let _one_at_a_time = inner.hubs.deciding.lock().await;
        if let Some(existing) = self.hub(name) {
            return match existing.state {
                HubState::Open => Ok((existing, false)),
                HubState::Deleting => Err(HubError::Deleting(name.clone())),
            };
        }
        let salt = uuid::Uuid::now_v7().into_bytes();
        let record = inner.put_hub(HubRecord::new(name.clone(), Some(inner.now()), salt)).await?;
        Ok((Arc::new(record), true))
    }

    /// Changes a hub's record; durable on return. One change at a time, each on what the one before has left. The outer
    /// error is that of the hub, the inner one `change`'s own.
    ///
    /// # Errors
    /// See [`HubError`].
    pub async fn change_hub<T, E>(
        &self,
        name: &HubName,
        change: impl FnOnce(&mut HubRecord, Timestamp) -> Result<T, E>,
    ) -> Result<Result<T, E>, HubError> {
        let inner = &self.inner;
        let _one_at_a_time = inner.hubs.deciding.lock().await;
        let before = inner.open_hub(name)?;
        let mut after = HubRecord::clone(&before);
        let answer = match change(&mut after, inner.now()) {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(error)),
        };
        if after != *before {
            inner.put_hub(after).await?;
            inner.retention.look_again();
        }
        Ok(Ok(answer))
    }

    /// Deletes a hub with all that it has. From the return on, which is durable, it takes nothing any more; what it has is
    /// removed in the background. Without `force` only a hub without open instances is deleted.
    ///
    /// # Errors
    /// See [`HubError`].
    pub async fn delete_hub(&self, name: &HubName, force: bool) -> Result<(), HubError> {
        let inner = &self.inner;
        if **name == *DEFAULT_HUB {
            return Err(HubError::Default);
        }
        let _one_at_a_time = inner.hubs.deciding.lock().await;
        let before = match inner.open_hub(name) {
            Err(HubError::Deleting(_)) => return Ok(()),
            other => other?,
        };
        // What is not counted yet is durable, or refused, before this goes on.
        let _no_starts = inner.hubs.without_starts(name).await;
        let open = inner.store.counts(name).await?.all().open();
        if open > 0 && !force {
            return Err(HubError::Busy { hub: name.clone(), open });
        }
        let marked = HubRecord { config: HubConfig::default(), keys: Vec::new(), ..HubRecord::clone(&before) };
        inner.put_hub(HubRecord { state: HubState::Deleting, ..marked }).await?;
        inner.begin_deletion(name);
        Ok(())
    }
}

impl Inner {
    pub(super) fn open_hub(&self, name: &HubName) -> Result<Arc<HubRecord>, HubError> {
        let record = self.hubs.get(name).ok_or_else(|| HubError::Unknown(name.clone()))?.record();
        match record.state {
            HubState::Open => Ok(record),
            HubState::Deleting => Err(HubError::Deleting(name.clone())),
        }
    }

    pub(super) async fn put_hub(&self, record: HubRecord) -> Result<HubRecord, StoreError> {
        let expected = record.generation;
        match self.store.put_hub(record.clone(), expected).await {
            Ok(()) => {
                let record = HubRecord { generation: expected + 1, ..record };
                self.executor.allow(&record.name, &record.config.egress);
                self.hubs.put(record.clone());
                Ok(record)
            }
            Err(CommitError::Store(error)) => Err(error),
            Err(CommitError::Conflict | CommitError::Exists(_)) => {
                Err(StoreError::Unavailable("the hub was changed by somebody else; try again".to_owned()))
            }
        }
    }

    /// Tells what runs guests what those of each hub may reach.
    pub(super) fn allow_all(&self) {
        for hub in self.hubs.all() {
            self.executor.allow(&hub.name, &hub.config.egress);
        }
    }

    /// Goes on with what an earlier process has begun.
    pub(super) fn resume_deletions(self: &Arc<Self>) {
        for hub in self.hubs.all().iter().filter(|hub| hub.state == HubState::Deleting) {
            self.begin_deletion(&hub.name);
        }
    }

    pub(super) fn begin_deletion(self: &Arc<Self>, name: &HubName) {
        tokio::spawn(finish_deletion(Arc::downgrade(self), name.clone()));
    }

    /// Whether instances of this hub may run.
    pub(super) fn is_hub_open(&self, name: &str) -> bool {
        self.hubs.get(name).is_some_and(|hub| hub.is_open())
    }

    async fn delete_contents(self: &Arc<Self>, name: &HubName) -> Result<(), StoreError> {
        let Some(hub) = self.hubs.get(name) else { return Ok(()) };
        // What was under way when the hub was marked may leave instances behind, which are found again.
        loop {
            let instances = self.delete_instances(name).await?;
            let mail = self.delete_mail(name).await?;
            let idle = tokio::time::timeout(REST, hub.idle()).await.is_ok();
            if idle && !instances && !mail {
                break;
            }
        }
        self.delete_apps(name).await?;
        let mut after = None;
        loop {
            after = self.store.forget_timers(after).await?;
            if after.is_none() {
                break;
            }
        }
        let generation = hub.record().generation;
        match self.store.remove_hub(name, generation).await {
            Ok(()) | Err(CommitError::Conflict | CommitError::Exists(_)) => Ok(()),
            Err(CommitError::Store(error)) => Err(error),
        }
    }

    /// True: there were some.
    async fn delete_instances(self: &Arc<Self>, hub: &HubName) -> Result<bool, StoreError> {
        let mut found = false;
        loop {
            // From the beginning each time: what was there is gone.
            let query = ListQuery { limit: DELETE_PAGE, ..ListQuery::default() };
            let page = self.store.list(hub, query).await?;
            if page.records.is_empty() && page.next.is_none() {
                return Ok(found);
            }
            found |= !page.records.is_empty();
            let mut under_way: JoinSet<Result<(), StoreError>> = JoinSet::new();
            for record in page.records {
                if under_way.len() >= DELETES_AT_ONCE {
                    ended(under_way.join_next().await)?;
                }
                under_way.spawn(Arc::clone(self).delete_instance(record));
            }
            while !under_way.is_empty() {
                ended(under_way.join_next().await)?;
            }
        }
    }

    /// Removes an instance whatever it does. One that commits meanwhile is found again.
    async fn delete_instance(self: Arc<Self>, record: InstanceRecord) -> Result<(), StoreError> {
        match self.store.purge(record.number, record.revision).await {
            Ok(()) => {
                self.stop_instance(record.number);
                Ok(())
            }
            Err(CommitError::Conflict | CommitError::Exists(_)) => Ok(()),
            Err(CommitError::Store(error)) => Err(error),
        }
    }

    /// True: there was some.
    async fn delete_mail(self: &Arc<Self>, hub: &HubName) -> Result<bool, StoreError> {
        let (mut found, mut after): (bool, Option<MailId>) = (false, None);
        loop {
            let page = self.store.mail(after, MAIL_PAGE).await?;
            let Some(last) = page.last() else { return Ok(found) };
            after = Some(last.id);
            let of_hub: Vec<_> = page.iter().filter(|mail| mail.hub == *hub).map(|mail| mail.id).collect();
            found |= !of_hub.is_empty();
            self.discard(of_hub).await;
        }
    }
}

/// Ends with the hub, or with the engine.
async fn finish_deletion(engine: Weak<Inner>, name: HubName) {
    loop {
        let Some(inner) = engine.upgrade() else { return };
        if inner.is_stopping() {
            return;
        }
        match inner.delete_contents(&name).await {
            Ok(()) => {
                inner.executor.allow(&name, &[]);
                inner.hubs.remove(&name);
                tracing::info!(hub = %name, "the hub was deleted with all that it had");
                return;
            }
            Err(error) => tracing::error!(hub = %name, %error, "a hub cannot be deleted; trying again"),
        }
        drop(inner);
        tokio::time::sleep(REST).await;
    }
}

fn ended(result: Option<Result<Result<(), StoreError>, tokio::task::JoinError>>) -> Result<(), StoreError> {
    match result {
        Some(Ok(done)) => done,
        Some(Err(error)) => Err(StoreError::Unavailable(format!("a removal did not end: {error}"))),
        None => Ok(()),
    }
}
