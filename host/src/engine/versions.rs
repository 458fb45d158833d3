//! The versions of apps: who needs them, which is current, and what becomes of those that nobody needs.
//!
//! A version is needed while it is current, while an instance on it has not ended, and while one that has failed could be
//! rewound. Components are shared by all hubs that have them and go with the last.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use durawasm_core::{Message, SignedDuration, Status, Timestamp};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::actor::Content;
use super::client::SendError;
use super::hubs::HubError;
use super::quota::component_bytes;
use super::{Engine, Inner};
use crate::store::{AppRecord, AppVersion, Digest, Filter, HubName, InstanceRecord, ListQuery, StoreError};

/// For so long a version must not have been needed before it goes: a start that has chosen it may still be under way.
const GRACE: SignedDuration = SignedDuration::from_secs(600);
/// Between two looks, by the engine's clock.
const PAUSE: SignedDuration = SignedDuration::from_secs(600);
/// A look is looked for at least this often in real time: the engine's clock may be moved by hand.
const GLANCE: Duration = Duration::from_secs(60);
/// Instances that are read at once.
const PAGE: usize = 1_000;
/// Terminations under way at once.
const AT_ONCE: usize = 64;
/// How often instances may be started while those of an app are terminated.
const ATTEMPTS: usize = 16;

/// The statuses of instances that need their version.
const OPEN: [Status; 4] = [Status::Pending, Status::Running, Status::Suspended, Status::ContinuedAsNew];

/// How many instances are on a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// That have not ended.
    pub open: u64,
    /// That have failed and could be rewound.
    pub failed: u64,
}

/// Why an app or its version was not changed. Nothing was changed, unless said otherwise.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppError {
    /// There is no such app.
    #[error("The hub '{hub}' has no app '{app}'.")]
    Unknown {
        /// The hub.
        hub: HubName,
        /// What was asked for.
        app: String,
    },
    /// The app has no such version.
    #[error(
        "The app '{app}' has no version '{version}'; it may have been removed because nobody needed it. Deploy it again."
    )]
    UnknownVersion {
        /// The app.
        app: String,
        /// What was asked for.
        version: String,
    },
    /// Another app of the hub has one of its functions by now.
    #[error("The version cannot become current: {0}.")]
    Taken(String),
    /// Instances of it have not ended.
    #[error(
        "The app '{app}' has instances that have not ended: {open}. Terminate them first, or delete the app with force=true, \
         which terminates them."
    )]
    Needed {
        /// The app.
        app: String,
        /// How many.
        open: u64,
    },
    /// The hub takes no changes.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The store failed. Of a deletion by force some instances may have been terminated.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Wakes the collector when the clock was moved.
#[derive(Default)]
pub(super) struct Versions {
    changed: Arc<Notify>,
}

impl Versions {
    pub(super) fn look_again(&self) {
        self.changed.notify_one();
    }
}

/// Instances by the app and the component that they are pinned to.
pub(super) type Pinned = BTreeMap<(String, Digest), Needs>;
/// Versions that nobody needs, and since when.
type Idle = HashMap<(HubName, String, Digest), Timestamp>;

impl Engine {
    /// The apps of a hub, sorted by name.
    #[must_use]
    pub fn apps(&self, hub: &HubName) -> Vec<AppRecord> {
        self.inner.apps.of_hub(hub)
    }

    /// How many apps a hub has, and the bytes of the components of all their versions.
    #[must_use]
    pub fn deployed(&self, hub: &HubName) -> (u64, u64) {
        let apps = self.apps(hub);
        (apps.len() as u64, component_bytes(&apps, None))
    }

    /// How many instances are on each version of an app; those without are left out. Looks at every instance of the hub
    /// that has not ended or has failed.
    ///
    /// # Errors
    /// The store's.
    pub async fn needs(&self, hub: &HubName, app: &str) -> Result<BTreeMap<Digest, Needs>, StoreError> {
        let pinned = self.inner.pinned(hub, true).await?;
        Ok(pinned.into_iter().filter(|((of, _), _)| of == app).map(|((_, digest), needs)| (digest, needs)).collect())
    }

    /// Makes a version of an app current; durable on return. False: it was.
    ///
    /// # Errors
    /// See [`AppError`].
    pub async fn activate(&self, hub: &HubName, app: &str, digest: Digest) -> Result<bool, AppError> {
        let inner = &self.inner;
        let _one_at_a_time = inner.apps.decide().await;
        inner.open_hub(hub)?;
        let before = inner.known_app(hub, app)?;
        let missing = || AppError::UnknownVersion { app: app.to_owned(), version: digest.to_string() };
        let version = before.versions.iter().find(|version| version.digest == digest).ok_or_else(missing)?;
        if before.current == digest {
            return Ok(false);
        }
        if let Some(taken) = inner.apps.taken(hub, app, version) {
            return Err(AppError::Taken(taken.to_string()));
        }
        inner.change_app(AppRecord { current: digest, ..before }).await?;
        Ok(true)
    }

    /// Removes an app with all its versions; durable on return. Without `force` only if all its instances have ended; with
    /// it they are terminated first. What has ended stays to be looked at.
    ///
    /// # Errors
    /// See [`AppError`].
    pub async fn delete_app(&self, hub: &HubName, app: &str, force: bool) -> Result<(), AppError> {
        let inner = &self.inner;
        for _ in 0..ATTEMPTS {
            inner.open_hub(hub)?;
            inner.known_app(hub, app)?;
            let open = inner.open_instances(hub, app).await?;
            if !open.is_empty() {
                if !force {
                    return Err(AppError::Needed { app: app.to_owned(), open: open.len() as u64 });
                }
                inner.terminate_all(open).await?;
                continue;
            }
            if inner.remove_unused(hub, app).await? {
                return Ok(());
            }
            if !force {
                let open = inner.open_instances(hub, app).await?.len() as u64;
                return Err(AppError::Needed { app: app.to_owned(), open });
            }
        }
        let text = format!("instances of the app '{app}' are started again and again; try again");
        Err(StoreError::Unavailable(text).into())
    }
}

impl Inner {
    fn known_app(&self, hub: &HubName, app: &str) -> Result<AppRecord, AppError> {
        self.apps.get(hub, app).ok_or_else(|| AppError::Unknown { hub: hub.clone(), app: app.to_owned() })
    }

    /// Removes an app that no instance needs. False: one does by now.
    async fn remove_unused(&self, hub: &HubName, app: &str) -> Result<bool, AppError> {
        let one_at_a_time = self.apps.decide().await;
        // A start that has found the app is through before this is, and then its instance is counted.
        let _no_starts = self.hubs.without_starts(hub).await;
        let record = self.known_app(hub, app)?;
        if !self.open_instances(hub, app).await?.is_empty() {
            return Ok(false);
        }
        self.remove_app(&record).await?;
        drop(one_at_a_time);
        self.forget_components(record.versions.iter().map(|version| version.digest).collect()).await;
        Ok(true)
    }

    async fn open_instances(&self, hub: &HubName, app: &str) -> Result<Vec<InstanceRecord>, StoreError> {
        let mut open = Vec::new();
        self.each_instance(hub, OPEN.to_vec(), |record| {
            if record.app == app {
                open.push(record);
            }
        })
        .await?;
        Ok(open)
    }

    pub(super) async fn pinned(&self, hub: &HubName, with_failed: bool) -> Result<Pinned, StoreError> {
        let failed = with_failed.then_some(Status::Failed);
        let mut pinned = Pinned::new();
        self.each_instance(hub, OPEN.into_iter().chain(failed).collect(), |record| {
            let needs = pinned.entry((record.app, record.digest)).or_default();
            match record.status {
                Status::Failed => needs.failed += 1,
                Status::Running
                | Status::Completed
                | Status::ContinuedAsNew
                | Status::Canceled
                | Status::Terminated
                | Status::Pending
                | Status::Suspended => needs.open += 1,
            }
        })
        .await?;
        Ok(pinned)
    }

    async fn each_instance(
        &self,
        hub: &HubName,
        statuses: Vec<Status>,
        mut look: impl FnMut(InstanceRecord),
    ) -> Result<(), StoreError> {
        let filter = Filter { statuses, ..Filter::default() };
        let mut after = None;
        loop {
            let page = self.store.list(hub, ListQuery { filter: filter.clone(), after, limit: PAGE }).await?;
            page.records.into_iter().for_each(&mut look);
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn terminate_all(self: &Arc<Self>, instances: Vec<InstanceRecord>) -> Result<(), StoreError> {
        let mut under_way: JoinSet<Result<(), SendError>> = JoinSet::new();
        let ended = |result: Option<Result<Result<(), SendError>, tokio::task::JoinError>>| match result {
            Some(Ok(Err(SendError::Store(error)))) => Err(error),
            Some(Err(error)) => Err(StoreError::Unavailable(format!("a termination did not end: {error}"))),
            // What has ended or gone by itself is no error.
            Some(Ok(Ok(()) | Err(_))) | None => Ok(()),
        };
        for record in instances {
            if under_way.len() >= AT_ONCE {
                ended(under_way.join_next().await)?;
            }
            let engine = Arc::clone(self);
            under_way.spawn(async move {
                let reason = Some(format!("the app '{}' was deleted", record.app));
                let terminate = Content::Message(Message::Terminate { reason, recursive: false });
                engine.deliver(record.number, terminate).await
            });
        }
        while !under_way.is_empty() {
            ended(under_way.join_next().await)?;
        }
        Ok(())
    }

    /// Looks for versions that nobody needs, and removes those that nobody has needed for a while.
    async fn collect_versions(self: &Arc<Self>, idle: &mut Idle) -> Result<(), StoreError> {
        let now = self.now();
        let mut still = Idle::new();
        for hub in self.hubs.all() {
            let apps = self.apps.of_hub(&hub.name);
            if apps.iter().all(|app| app.versions.len() < 2) || !self.is_hub_open(&hub.name) {
                continue;
            }
            let pinned = self.pinned(&hub.name, true).await?;
            for app in apps {
                let is_needed = |version: &&AppVersion| {
                    version.digest == app.current || pinned.contains_key(&(app.name.clone(), version.digest))
                };
                let mut gone = BTreeSet::new();
                for version in app.versions.iter().filter(|version| !is_needed(version)) {
                    let key = (hub.name.clone(), app.name.clone(), version.digest);
                    let since = idle.get(&key).copied().unwrap_or(now);
                    if now.duration_since(since) >= GRACE {
                        gone.insert(version.digest);
                    } else {
                        still.insert(key, since);
                    }
                }
                self.remove_versions(&app, gone).await?;
            }
        }
        *idle = still;
        self.forget_strays().await;
        Ok(())
    }

    async fn remove_versions(&self, seen: &AppRecord, mut gone: BTreeSet<Digest>) -> Result<(), StoreError> {
        if gone.is_empty() {
            return Ok(());
        }
        let one_at_a_time = self.apps.decide().await;
        let Some(mut app) = self.apps.get(&seen.hub, &seen.name) else { return Ok(()) };
        if app.generation != seen.generation {
            // Somebody has deployed or activated meanwhile: the next look decides.
            return Ok(());
        }
        // A move may have chosen one of them meanwhile; none does while this decides.
        let pinned = self.pinned(&app.hub, true).await?;
        gone.retain(|digest| !pinned.contains_key(&(app.name.clone(), *digest)));
        app.versions.retain(|version| !gone.contains(&version.digest));
        tracing::info!(hub = %app.hub, app = app.name, versions = gone.len(), "versions that nobody needs are removed");
        self.change_app(app).await?;
        drop(one_at_a_time);
        self.forget_components(gone.into_iter().collect()).await;
        Ok(())
    }

    /// Removes components that a crash has left behind: admitted, but of no app, or not removed with their last one.
    pub(super) async fn forget_strays(&self) {
        let strays = self.executor.kept().await;
        self.forget_components(strays).await;
    }
}

/// Collects until the engine is gone.
pub(super) async fn run(engine: Weak<Inner>) {
    let (mut idle, mut next) = (Idle::new(), Timestamp::MIN);
    loop {
        let Some(inner) = engine.upgrade() else { return };
        if inner.is_stopping() {
            return;
        }
        let now = inner.now();
        if now >= next {
            next = now.saturating_add(PAUSE).unwrap_or(Timestamp::MAX);
            if let Err(error) = inner.collect_versions(&mut idle).await {
                tracing::error!(%error, "versions that nobody needs cannot be looked for; trying again later");
            }
        }
        let wait = Duration::try_from(next.duration_since(inner.now())).unwrap_or(Duration::ZERO).min(GLANCE);
        let changed = Arc::clone(&inner.versions.changed);
        // An engine that nobody uses any more must not be kept by its collector.
        drop(inner);
        let _moved = tokio::time::timeout(wait, changed.notified()).await;
    }
}
