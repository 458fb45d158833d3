//! The store: what is durable. One trait, its backends, and one conformance suite that all of them pass.
//!
//! A backend knows rows and bytes; it knows nothing of guests, HTTP or episodes.

pub mod background;
pub mod backup;
#[cfg(test)]
mod conformance;
pub mod hub;
pub mod memory;
pub mod meters;
pub mod model;
pub mod query;
pub mod sled;
pub mod underway;
pub mod usage;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use durawasm_core::{HistoryEvent, Timestamp};

pub use self::sled::{hub_entries, portable};
pub use backup::{BackupError, BackupRows};
pub use hub::{HubConfig, HubLimits, HubRecord, HubState, Keep, KeyHash, KeyId, KeyRecord, KeyScope, Secret};
pub use meters::StoreMeters;
pub use model::{
    AppOptions, AppRecord, AppVersion, AuthLevel, Commit, Committed, Digest, Expect, FunctionKind, HttpTrigger,
    HubName, InstanceNumber, InstanceRecord, Mail, MailId, NewMail, PayloadChanges, Payloads, Pinned, Reuse, Revision,
    ScheduleKey, ScheduleState, TimerRow, TimerTrigger, Trigger, TriggerKind,
};
pub use query::{Counts, EXAMINED, Filter, ListQuery, Page, PayloadParts, Position, Snapshot, StatusCounts};
pub use underway::Stall;
pub use usage::{HubUsage, Usage};

/// A boxed future, so that stores can be trait objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a store could not answer. The message is for the operator, never for a client.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The store cannot work now: no space, closed, or stopped after a failed sync. Nothing was acknowledged.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// It does not fit, and never will. Nothing was changed.
    #[error("it is too large for the store: {0}")]
    TooLarge(String),
    /// What is stored cannot be understood; nothing was changed.
    #[error("the store holds what this version cannot read: {0}")]
    Corrupt(String),
}

/// Why a commit was refused. A refused commit changed nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// The instance is not at the expected revision (or is gone): somebody else decided. Drop what is held of it and load again.
    #[error("the instance is at another revision")]
    Conflict,
    /// A start found an instance that its reuse choice does not replace.
    #[error("an instance with this id exists with status {}", .0.status)]
    Exists(Box<InstanceRecord>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A record and the history that it belongs to.
pub type RecordedHistory = (InstanceRecord, Vec<HistoryEvent>);

/// Durable storage. All methods may be called from many tasks at once.
///
/// Whatever a method returns is durable: no answer shows a row that a power cut could take back.
pub trait Store: Send + Sync + 'static {
    /// Applies a commit atomically, if its expectation holds, and returns once it is durable. Commits of one
    /// instance must not overlap unless their sender wants all but one refused.
    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Committed, CommitError>>;

    /// Applies several commits as one: all of them or none. The first that is refused is the error; two for one instance
    /// are a conflict.
    fn commit_all(&self, commits: Vec<Commit>) -> BoxFuture<'_, Result<Vec<Committed>, CommitError>>;

    /// The instance with this id, without payloads; none if there is none.
    fn instance(&self, hub: &HubName, id: &str) -> BoxFuture<'_, Result<Option<InstanceRecord>, StoreError>>;

    /// Input, output and custom status of an instance; empty if it is gone.
    fn payloads(&self, number: InstanceNumber) -> BoxFuture<'_, Result<Payloads, StoreError>>;

    /// The history of the instance's current execution, oldest first, together with the record it belongs to (the
    /// two are from one moment). None if the instance is gone.
    fn history(&self, number: InstanceNumber) -> BoxFuture<'_, Result<Option<RecordedHistory>, StoreError>>;

    /// Record and payloads of one moment, those payloads only that are asked for. None if the instance is gone.
    fn snapshot(
        &self,
        number: InstanceNumber,
        parts: PayloadParts,
    ) -> BoxFuture<'_, Result<Option<Snapshot>, StoreError>>;

    /// A page of the hub's instances in the order of [`Position`]. Pages that follow each other show each instance at
    /// most once, and each that exists and fits all the while exactly once, whatever is started or purged meanwhile.
    fn list(&self, hub: &HubName, query: ListQuery) -> BoxFuture<'_, Result<Page, StoreError>>;

    /// How many instances the hub has; exact for each orchestrator. The cost depends on the number of orchestrators,
    /// not of instances.
    fn counts(&self, hub: &HubName) -> BoxFuture<'_, Result<Counts, StoreError>>;

    /// Instances that were created as children of an instance with this id, in the order of their numbers, after
    /// `after`, at most `limit`.
    fn children(
        &self,
        hub: &HubName,
        parent: &str,
        after: InstanceNumber,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<InstanceRecord>, StoreError>>;

    /// Removes an instance with all that belongs to it, if it is at this revision; durable on return. What is large is
    /// removed behind. Otherwise a conflict.
    fn purge(&self, number: InstanceNumber, revision: Revision) -> BoxFuture<'_, Result<(), CommitError>>;

    /// Instances with work in flight (their last commit said `ready`), in the order of their numbers, after `after`,
    /// at most `limit`.
    fn ready(
        &self,
        after: Option<InstanceNumber>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<InstanceNumber>, StoreError>>;

    /// Timers due up to and including `until`, earliest first, at most `limit`.
    fn timers(&self, until: Timestamp, limit: usize) -> BoxFuture<'_, Result<Vec<TimerRow>, StoreError>>;

    /// Messages between instances that wait to be taken, in the order of their numbers, after `after`, at most `limit`
    /// and not many more than [`MAIL_PAGE_BYTES`].
    fn mail(&self, after: Option<MailId>, limit: usize) -> BoxFuture<'_, Result<Vec<Mail>, StoreError>>;

    /// Takes a message whose addressee has no use for it, and sends another in its place if there is one; atomic, durable
    /// on return. Returns the number of the one sent. A message that was taken before is a conflict.
    fn answer_mail(
        &self,
        taken: MailId,
        answer: Option<(HubName, NewMail)>,
    ) -> BoxFuture<'_, Result<MailId, CommitError>>;

    /// All apps of all hubs.
    fn apps(&self) -> BoxFuture<'_, Result<Vec<AppRecord>, StoreError>>;

    /// Writes an app's record; durable on return. `expected`: the generation the caller saw (0: none yet); another
    /// one is a conflict.
    fn put_app(&self, app: AppRecord, expected: u32) -> BoxFuture<'_, Result<(), CommitError>>;

    /// The schedules of all timer functions of all hubs.
    fn schedules(&self) -> BoxFuture<'_, Result<Vec<(ScheduleKey, ScheduleState)>, StoreError>>;

    /// Writes where a timer function is in its schedule, or removes it; durable on return. `before`: what the caller saw;
    /// anything else is a conflict.
    fn put_schedule(
        &self,
        key: ScheduleKey,
        before: Option<ScheduleState>,
        after: Option<ScheduleState>,
    ) -> BoxFuture<'_, Result<(), CommitError>>;

    /// Removes an app's record, if it is at this generation; durable on return.
    fn remove_app(&self, hub: &HubName, app: &str, expected: u32) -> BoxFuture<'_, Result<(), CommitError>>;

    /// All hubs that have a record.
    fn hubs(&self) -> BoxFuture<'_, Result<Vec<HubRecord>, StoreError>>;

    /// Writes a hub's record; durable on return. `expected`: the generation the caller saw (0: none yet); another one
    /// is a conflict.
    fn put_hub(&self, hub: HubRecord, expected: u32) -> BoxFuture<'_, Result<(), CommitError>>;

    /// Removes a hub's record, if it is at this generation, and what it has used; durable on return. Nothing else of the
    /// hub is removed.
    fn remove_hub(&self, hub: &HubName, expected: u32) -> BoxFuture<'_, Result<(), CommitError>>;

    /// What a hub has used and what it stores, as of the last commit; nothing, if there is no such hub.
    fn usage(&self, hub: &HubName) -> BoxFuture<'_, Result<HubUsage, StoreError>>;

    /// Charges a hub for what no commit of its instances carries; durable on return.
    fn add_usage(&self, hub: &HubName, more: Usage) -> BoxFuture<'_, Result<(), CommitError>>;

    /// Looks at some timers after `after` and removes those whose instance is gone. Returns how far it came; none: to
    /// the end.
    fn forget_timers(&self, after: Option<TimerRow>) -> BoxFuture<'_, Result<Option<TimerRow>, StoreError>>;

    /// Begins a backup: all rows as of one moment, namely when the last piece is given. Everything acknowledged before is
    /// in it. Called within a runtime; commits go on meanwhile.
    ///
    /// # Errors
    /// See [`BackupError`].
    fn backup(&self) -> Result<BackupRows, BackupError> {
        Err(BackupError::Unsupported)
    }

    /// What it measures of itself; none: nothing.
    fn meters(&self) -> Option<StoreMeters> {
        None
    }

    /// Why the store has stopped for good, if it has. The process should end and be started again: only opening the
    /// store anew shows what is durable.
    fn failed(&self) -> Option<String> {
        None
    }

    /// The write that the disk has owed an answer for longest, if that is longer than [`underway::PATIENCE`]. It ends by
    /// itself when the disk goes on. Never waits.
    fn stalled(&self) -> Option<Stall> {
        None
    }
}

/// Bytes of payloads after which a page of messages ends.
pub const MAIL_PAGE_BYTES: usize = 16 << 20;

/// A store shared by everything.
pub type SharedStore = Arc<dyn Store>;
