//! Moves: an instance goes on with another version of its app, once that was found to repeat its history.
//!
//! The verdict is found beside the instance, which goes on meanwhile. The commit that moves it is on condition that it
//! has not: otherwise the verdict is found again.

use std::time::{Duration, Instant};

use durawasm_core::{Divergence, HistoryEvent, InstanceId, Orchestration, Rewind, RewindError, Status};

use super::actor::Content;
use super::client::SendError;
use super::verdict::{self, CheckError, Verdict};
use super::{Engine, Inner};
use crate::store::{AppVersion, Digest, Filter, HubName, InstanceRecord, ListQuery, Position, Revision, StoreError};

/// How often the verdict is found again for an instance that never rests.
const ATTEMPTS: usize = 8;
/// Instances that are looked at by one call at most.
pub const MOST_MOVED: usize = 1_000;
/// How long one call moves instances before it answers with how far it came.
const LONGEST_MOVE: Duration = Duration::from_secs(20);
/// Refusals that one answer lists.
pub const LISTED: usize = 100;
/// The statuses of instances that can be moved.
pub(super) const OPEN: [Status; 4] = [Status::Pending, Status::Running, Status::Suspended, Status::ContinuedAsNew];

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The app's current version.
    Current,
    /// That one of the app's versions whose digest begins like this, in lowercase.
    Version(String),
}

/// A move that was made; both are the same if there was nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The version before.
    pub from: Digest,
    /// The version from now on.
    pub to: Digest,
}

/// Why an instance was not moved. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MoveError {
    /// There is no such instance.
    #[error("no such instance")]
    Unknown,
    /// It has ended.
    #[error("the instance has ended")]
    Ended,
    /// Only what has failed can be rewound.
    #[error("only a failed instance can be rewound")]
    NotFailed,
    /// Its app has no such version.
    #[error("the app '{app}' has no version {version}; deploy it first")]
    UnknownVersion {
        /// The app.
        app: String,
        /// What was asked for.
        version: String,
    },
    /// The version was removed meanwhile.
    #[error("the version was removed meanwhile; deploy it again")]
    VersionGone,
    /// The version does something else than the instance's history says.
    #[error("version {to} does not repeat the instance's history: {divergence}")]
    Diverges {
        /// The version.
        to: Digest,
        /// Where and how.
        divergence: Box<Divergence>,
    },
    /// A child cannot be moved, and was to be moved with its parent.
    #[error("sub-orchestration '{id}': {error}")]
    Child {
        /// Which.
        id: InstanceId,
        /// Why.
        error: Box<MoveError>,
    },
    /// It has more children than can be moved with it.
    #[error("it has more than {limit} sub-orchestrations; move the instances of the app together instead")]
    TooMany {
        /// How many can be.
        limit: usize,
    },
    /// It went on each time before the move could be saved.
    #[error("the instance never rests; suspend it, or try again")]
    Busy,
    /// There is no verdict.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A move that was found to be fine for an instance at one revision.
pub(super) struct Change {
    pub(super) to: Digest,
    pub(super) revision: Revision,
    pub(super) history: Vec<HistoryEvent>,
}

/// Which instances of an app are to be moved.
#[derive(Clone, Debug)]
pub struct MoveMany {
    /// The app.
    pub app: String,
    /// Where to.
    pub to: Target,
    /// True: only the verdicts are found.
    pub dry_run: bool,
    /// Go on after this place.
    pub after: Option<Position>,
    /// Instances of the hub to look at, at most [`MOST_MOVED`].
    pub limit: usize,
}

/// What became of the instances of an app.
#[derive(Clone, Debug, Default)]
pub struct MovedMany {
    /// Were moved; in a dry run: could be.
    pub moved: u64,
    /// Were there already.
    pub unchanged: u64,
    /// Were not moved.
    pub refused: u64,
    /// The first of these, at most [`LISTED`].
    pub refusals: Vec<(InstanceId, MoveError)>,
    /// Where to go on; none: all instances were looked at.
    pub next: Option<Position>,
}

impl Engine {
    /// Moves an instance that has not ended to another version of its app, if that repeats its history; durable on return.
    ///
    /// # Errors
    /// See [`MoveError`].
    pub async fn move_instance(&self, hub: &HubName, id: &str, to: Target) -> Result<Moved, MoveError> {
        self.inner.move_one((hub, id), &to, false).await
    }

    /// Rewinds a failed instance and moves it to its app's current version, in one step, if that repeats what the rewind
    /// keeps; durable on return.
    ///
    /// # Errors
    /// See [`MoveError`].
    pub async fn rewind_to_current(&self, hub: &HubName, id: &str, reason: Option<String>) -> Result<Moved, MoveError> {
        let inner = &self.inner;
        let rewind = Rewind { reason, awaited_by: None };
        for _ in 0..ATTEMPTS {
            let record = inner.store.instance(hub, id).await?.ok_or(MoveError::Unknown)?;
            if record.status != Status::Failed {
                return Err(MoveError::NotFailed);
            }
            let Some((record, history)) = inner.store.history(record.number).await? else { continue };
            let version = inner.version(&record, &Target::Current)?;
            let moved = Moved { from: record.digest, to: version.digest };
            let mut onto = None;
            if moved.from != moved.to {
                let kept =
                    Orchestration::rewound(&history, rewind.clone(), inner.now()).map_err(|error| match error {
                        RewindError::NotFailed => MoveError::NotFailed,
                        RewindError::Broken(broken) => StoreError::Corrupt(broken.to_string()).into(),
                    })?;
                inner.agrees(&version, &kept).await?;
                onto = Some((version.digest, record.revision));
            }
            match inner.deliver(record.number, Content::Rewind(rewind.clone(), onto)).await {
                Err(SendError::Changed) => {}
                answer => return answer.map(|()| moved).map_err(refused),
            }
        }
        Err(MoveError::Busy)
    }

    /// Moves those instances of an app that have not ended, one after the other; each that was counted as moved is durable.
    ///
    /// # Errors
    /// No such version, or the store's; what was moved before stays moved.
    pub async fn move_many(&self, hub: &HubName, request: MoveMany) -> Result<MovedMany, MoveError> {
        let (inner, begun) = (&self.inner, Instant::now());
        inner.version_of(hub, &request.app, &request.to)?;
        let filter = Filter { statuses: OPEN.to_vec(), ..Filter::default() };
        let query = ListQuery { filter, after: request.after, limit: request.limit.clamp(1, MOST_MOVED) };
        let page = inner.store.list(hub, query).await?;
        let mut done = MovedMany { next: page.next, ..MovedMany::default() };
        let mut last = None;
        for record in page.records {
            if begun.elapsed() > LONGEST_MOVE && last.is_some() {
                done.next = last;
                break;
            }
            last = Some(Position { created: record.created, id: record.id.clone() });
            if record.app != request.app {
                continue;
            }
            match inner.move_one((hub, &record.id), &request.to, request.dry_run).await {
                Ok(moved) if moved.from == moved.to => done.unchanged += 1,
                Ok(_) => done.moved += 1,
                // It has ended by itself: nothing is left to be moved.
                Err(MoveError::Unknown | MoveError::Ended) => {}
                Err(MoveError::Store(error)) => return Err(error.into()),
                Err(
                    error @ (MoveError::Diverges { .. }
                    | MoveError::Busy
                    | MoveError::Check(_)
                    | MoveError::NotFailed
                    | MoveError::VersionGone
                    | MoveError::Child { .. }
                    | MoveError::TooMany { .. }
                    | MoveError::UnknownVersion { .. }),
                ) => {
                    done.refused += 1;
                    if done.refusals.len() < LISTED {
                        done.refusals.push((record.id, error));
                    }
                }
            }
        }
        Ok(done)
    }
}

impl Inner {
    pub(super) async fn move_one(
        self: &std::sync::Arc<Self>,
        (hub, id): (&HubName, &str),
        to: &Target,
        dry_run: bool,
    ) -> Result<Moved, MoveError> {
        for _ in 0..ATTEMPTS {
            let record = self.store.instance(hub, id).await?.ok_or(MoveError::Unknown)?;
            self.starting.ended(hub, &record.id).await;
            let Some((record, history)) = self.store.history(record.number).await? else { continue };
            if record.status.is_terminal() {
                return Err(MoveError::Ended);
            }
            let version = self.version(&record, to)?;
            let moved = Moved { from: record.digest, to: version.digest };
            if moved.from == moved.to {
                return Ok(moved);
            }
            self.agrees(&version, &history).await?;
            if dry_run {
                return Ok(moved);
            }
            // A version that is not current could be collected while nobody is on it.
            let _stays = match to {
                Target::Current => None,
                Target::Version(_) => Some(self.apps.decide().await),
            };
            let change = Box::new(Change { to: version.digest, revision: record.revision, history });
            match self.deliver(record.number, Content::Move(change)).await {
                Err(SendError::Changed) => {}
                answer => return answer.map(|()| moved).map_err(refused),
            }
        }
        Err(MoveError::Busy)
    }

    async fn agrees(&self, version: &AppVersion, history: &[HistoryEvent]) -> Result<(), MoveError> {
        let diverges = |divergence| MoveError::Diverges { to: version.digest, divergence: Box::new(divergence) };
        self.verdict(version, history).await?.map_err(diverges)
    }

    /// Whether a version repeats a history; few at once.
    pub(super) async fn verdict(&self, version: &AppVersion, history: &[HistoryEvent]) -> Result<Verdict, CheckError> {
        let _permit = self.check_permits.acquire().await;
        verdict::check(&*self.executor, version, history).await
    }

    pub(super) fn version(&self, record: &InstanceRecord, to: &Target) -> Result<AppVersion, MoveError> {
        self.version_of(&record.hub, &record.app, to)
    }

    fn version_of(&self, hub: &HubName, app: &str, to: &Target) -> Result<AppVersion, MoveError> {
        let unknown = || {
            let version = match to {
                Target::Current => "that is current".to_owned(),
                Target::Version(digest) => format!("'{digest}'"),
            };
            MoveError::UnknownVersion { app: app.to_owned(), version }
        };
        let app = self.apps.get(hub, app).ok_or_else(unknown)?;
        let fits = |version: &AppVersion| match to {
            Target::Current => version.digest == app.current,
            Target::Version(digest) => version.digest.to_string().starts_with(digest),
        };
        let mut found = app.versions.iter().filter(|version| fits(version));
        match (found.next(), found.next()) {
            (Some(version), None) => Ok(version.clone()),
            (None | Some(_), _) => Err(unknown()),
        }
    }
}

fn refused(error: SendError) -> MoveError {
    match error {
        SendError::Unknown => MoveError::Unknown,
        SendError::Ended => MoveError::Ended,
        SendError::NotFailed => MoveError::NotFailed,
        SendError::Full | SendError::Changed => MoveError::Busy,
        SendError::NoVersion => MoveError::VersionGone,
        SendError::Store(error) => error.into(),
    }
}
