//! Asking for many instances at once, and removing instances.

use std::sync::Arc;
use std::time::Duration;

use durawasm_core::{InstanceId, Message, Status, Timestamp};
use tokio::task::JoinSet;

use super::actor::Content;
use super::client::SendError;
use super::waiters::End;
use super::{Engine, Inner, InstanceView};
use crate::store::{
    CommitError, Counts, Filter, HubName, InstanceNumber, InstanceRecord, ListQuery, Page, PayloadParts, Position,
    StoreError,
};

/// Instances that are looked at before the next are asked for, and so the memory that a purge of many takes.
const PURGE_PAGE: usize = 500;
/// Purges under way at once: they share the syncs of the store.
const PURGES_AT_ONCE: usize = 64;
/// Between two looks at an instance that is to start.
const START_LOOK: Duration = Duration::from_millis(20);
/// How often somebody else may change an instance while it is purged before we give up.
const ATTEMPTS: usize = 16;

/// The statuses of instances that have ended.
const ENDED: [Status; 4] = [Status::Completed, Status::Failed, Status::Canceled, Status::Terminated];

/// How to purge an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PurgeOptions {
    /// Terminate it first if it has not ended.
    pub force: bool,
    /// Purge the children of it that have ended, and theirs.
    pub recursive: bool,
}

/// Why an instance was not purged. It is still there, if it was.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PurgeError {
    /// There is no such instance.
    #[error("no such instance")]
    Unknown,
    /// It has not ended.
    #[error(
        "The orchestration with instance ID '{id}' has the status '{status}' and cannot be purged: terminate it first, or purge it with force=true"
    )]
    NotTerminal {
        /// The id.
        id: InstanceId,
        /// Its status.
        status: Status,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Engine {
    /// A page of the hub's instances, without payloads.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(&self, hub: &HubName, query: ListQuery) -> Result<Page, StoreError> {
        self.inner.store.list(hub, query).await
    }

    /// The numbers of at most `limit` instances, and where to go on; gathered from at most `pages` pages of the store.
    /// Numbers take little room, however large the instances are.
    ///
    /// # Errors
    /// The store's.
    pub async fn find(
        &self,
        hub: &HubName,
        query: ListQuery,
        pages: usize,
    ) -> Result<(Vec<InstanceNumber>, Option<Position>), StoreError> {
        let ListQuery { filter, mut after, limit } = query;
        let mut found = Vec::new();
        for _ in 0..pages.max(1) {
            let limit = limit.max(1) - found.len();
            let page = self.inner.store.list(hub, ListQuery { filter: filter.clone(), after, limit }).await?;
            found.extend(page.records.iter().map(|record| record.number));
            after = page.next;
            if after.is_none() || page.records.len() >= limit {
                break;
            }
        }
        Ok((found, after))
    }

    /// An instance with those of its payloads that are asked for, all of one moment; none if it is gone.
    ///
    /// # Errors
    /// The store's.
    pub async fn snapshot(
        &self,
        number: InstanceNumber,
        parts: PayloadParts,
    ) -> Result<Option<InstanceView>, StoreError> {
        let found = self.inner.store.snapshot(number, parts).await?;
        Ok(found.map(|(record, payloads)| InstanceView { record, payloads, history: Vec::new() }))
    }

    /// How many instances the hub has, by orchestrator and status.
    ///
    /// # Errors
    /// The store's.
    pub async fn counts(&self, hub: &HubName) -> Result<Counts, StoreError> {
        self.inner.store.counts(hub).await
    }

    /// Removes an instance and all that belongs to it; durable on return. Returns how many instances went.
    ///
    /// # Errors
    /// See [`PurgeError`].
    pub async fn purge(&self, hub: &HubName, id: &str, options: PurgeOptions) -> Result<u64, PurgeError> {
        let engine = &self.inner;
        for _ in 0..ATTEMPTS {
            let record = engine.store.instance(hub, id).await?.ok_or(PurgeError::Unknown)?;
            if !record.status.is_terminal() {
                if !options.force {
                    return Err(PurgeError::NotTerminal { id: record.id, status: record.status });
                }
                engine.terminate_for_purge(&record).await?;
                continue;
            }
            // Children first: once the parent is gone nothing asks for them any more.
            let children = if options.recursive { engine.purge_children(&record).await? } else { 0 };
            match engine.remove(&record).await? {
                true => return Ok(children + 1),
                false => continue,
            }
        }
        Err(StoreError::Unavailable(format!("instance '{id}' was changed again and again; try again")).into())
    }

    /// Removes the instances that have ended and fit; those that have not ended stay. Each is a commit of its own, so
    /// what is interrupted has done a part, and asking again does the rest. Returns how many went.
    ///
    /// # Errors
    /// The store's.
    pub async fn purge_many(&self, hub: &HubName, filter: &Filter, recursive: bool) -> Result<u64, StoreError> {
        self.inner.purge_many(hub, filter, recursive).await
    }

    /// The instance once it is not Pending any more, or as it is after this time. None: there is no such instance.
    ///
    /// # Errors
    /// The store's.
    pub async fn wait_for_start(
        &self,
        hub: &HubName,
        id: &str,
        timeout: Duration,
    ) -> Result<Option<InstanceView>, StoreError> {
        let deadline = tokio::time::Instant::now() + timeout.min(super::client::LONGEST_WAIT);
        loop {
            let parts = super::Parts { payloads: true, history: false };
            match self.instance(hub, id, parts).await? {
                Some(view) if view.record.status == Status::Pending && tokio::time::Instant::now() < deadline => {}
                found => return Ok(found),
            }
            // Pending lasts a moment, or until a time that is known: nobody needs to be told.
            tokio::time::sleep_until(deadline.min(tokio::time::Instant::now() + START_LOOK)).await;
        }
    }

    /// What the engine takes for the present.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.now()
    }
}

impl Inner {
    pub(super) async fn purge_many(
        self: &Arc<Self>,
        hub: &HubName,
        filter: &Filter,
        recursive: bool,
    ) -> Result<u64, StoreError> {
        let asked = |status: &Status| filter.statuses.is_empty() || filter.statuses.contains(status);
        let statuses: Vec<_> = ENDED.into_iter().filter(asked).collect();
        if statuses.is_empty() {
            return Ok(0);
        }
        let filter = Filter { statuses, ..filter.clone() };
        let (mut purged, mut after) = (0, None);
        while !self.is_stopping() {
            let query = ListQuery { filter: filter.clone(), after, limit: PURGE_PAGE };
            let page = self.store.list(hub, query).await?;
            purged += self.purge_page(page.records, recursive).await?;
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(purged)
    }

    async fn purge_page(self: &Arc<Self>, records: Vec<InstanceRecord>, recursive: bool) -> Result<u64, StoreError> {
        let mut purged = 0;
        let mut under_way: JoinSet<Result<u64, StoreError>> = JoinSet::new();
        for record in records {
            if under_way.len() >= PURGES_AT_ONCE {
                purged += joined(under_way.join_next().await)?;
            }
            let engine = Arc::clone(self);
            under_way.spawn(async move {
                let children = if recursive { engine.purge_children(&record).await? } else { 0 };
                // One that has changed meanwhile is another one now: it stays.
                Ok(children + u64::from(engine.remove(&record).await?))
            });
        }
        while !under_way.is_empty() {
            purged += joined(under_way.join_next().await)?;
        }
        Ok(purged)
    }

    /// Purges the children that have ended, deepest first, and returns how many. Children that have not ended stay,
    /// with all that is below them. A child's number is greater than its parent's, so this ends whatever ids are
    /// used again.
    async fn purge_children(&self, parent: &InstanceRecord) -> Result<u64, StoreError> {
        let mut purged = 0;
        // The way down: an instance, and the last of its children that was looked at.
        let mut way = vec![(parent.clone(), parent.number)];
        while let Some((at, after)) = way.last_mut() {
            let child = self.store.children(&at.hub, &at.id, *after, 1).await?.pop();
            match child {
                Some(child) => {
                    *after = child.number;
                    if child.status.is_terminal() {
                        let number = child.number;
                        way.push((child, number));
                    }
                }
                None => {
                    let done = way.pop();
                    if let Some((record, _)) = done.filter(|_| !way.is_empty()) {
                        purged += u64::from(self.remove(&record).await?);
                    }
                }
            }
        }
        Ok(purged)
    }

    /// Removes an instance that has ended. False: it has changed or is gone.
    async fn remove(&self, record: &InstanceRecord) -> Result<bool, StoreError> {
        match self.store.purge(record.number, record.revision).await {
            Ok(()) => {
                self.forget(record.number);
                Ok(true)
            }
            Err(CommitError::Conflict | CommitError::Exists(_)) => Ok(false),
            Err(CommitError::Store(error)) => Err(error),
        }
    }

    /// Drops what memory holds of an instance that is gone. A message that is still on its way finds nothing.
    fn forget(&self, number: InstanceNumber) {
        self.hot.taken(number);
        self.logs.forget(number);
        self.actors.drop_idle(number);
        self.waiters.ended(number, End::Otherwise);
    }

    /// Ends what memory holds of an instance that is gone with its hub, its activities too.
    pub(super) fn stop_instance(&self, number: InstanceNumber) {
        self.actors.stop_activities(number);
        self.forget(number);
    }

    async fn terminate_for_purge(self: &Arc<Self>, record: &InstanceRecord) -> Result<(), PurgeError> {
        let reason = Some("purged".to_owned());
        let terminate = Message::Terminate { reason, recursive: false };
        match self.deliver(record.number, Content::Message(terminate)).await {
            // It ended, or went, in between: the caller looks again.
            Ok(())
            | Err(
                SendError::Ended
                | SendError::NotFailed
                | SendError::NoVersion
                | SendError::Unknown
                | SendError::Changed,
            ) => Ok(()),
            Err(SendError::Full) => Err(StoreError::Unavailable("the instance takes no messages".to_owned()).into()),
            Err(SendError::Store(error)) => Err(error.into()),
        }
    }
}

fn joined(result: Option<Result<Result<u64, StoreError>, tokio::task::JoinError>>) -> Result<u64, StoreError> {
    match result {
        Some(Ok(purged)) => purged,
        Some(Err(error)) => Err(StoreError::Unavailable(format!("a purge did not end: {error}"))),
        None => Ok(0),
    }
}
