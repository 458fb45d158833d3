//! Verdicts after deployments: what the app's instances that are on other versions would do on the one that has become
//! current, found out in the background. One app at a time, one instance at a time, with rests in between; nothing is
//! moved, and who wants to know asks. They are kept in memory, one for each app; an engine that opens finds them again for
//! apps of which instances are on other versions.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::trial::{Bounds, Looking, Pace, Trial};
use super::{Engine, Inner};
use crate::store::{AppVersion, BoxFuture, Digest, HubName, StoreError};

/// How much is looked at: less would say little of an app with many orchestrators, more would go on for long.
const BOUNDS: Bounds = Bounds { instances: 200, time: Duration::from_secs(300) };
/// After a verdict this rests for so many times the time that it took: at most a quarter of a processor is used.
const REST: u32 = 3;
/// And for at least so long, so that a long list of small instances does not keep the store busy.
const LEAST_REST: Duration = Duration::from_millis(2);
/// While all places of activities or functions are taken, it is looked this often whether there are free ones again.
const PATIENCE: Duration = Duration::from_millis(100);
/// A shutdown is seen within this time.
const GLANCE: Duration = Duration::from_secs(30);

/// How far a verdict is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Another app has its turn.
    Waiting,
    /// Instances are looked at.
    Running,
    /// All that was to be looked at was.
    Done,
    /// The store failed over it. What was found before holds.
    Failed,
}

/// What is known of an app's current version.
#[derive(Clone, Debug)]
pub struct Aftermath {
    /// How far it is.
    pub stage: Stage,
    /// What was found so far.
    pub trial: Trial,
}

type Key = (HubName, String);

/// See the module.
#[derive(Default)]
pub(super) struct Afterwards {
    state: Mutex<State>,
    asked: Arc<Notify>,
}

#[derive(Default)]
struct State {
    of_apps: HashMap<Key, Aftermath>,
    turns: VecDeque<Key>,
}

impl Afterwards {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is whole: a poisoned lock holds nothing half-done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This version has become current. Replaces what was known of the one before.
    pub(super) fn ask(&self, key: Key, version: AppVersion) {
        let mut state = self.lock();
        state.of_apps.insert(key.clone(), Aftermath { stage: Stage::Waiting, trial: Trial::of(version) });
        if !state.turns.contains(&key) {
            state.turns.push_back(key);
        }
        drop(state);
        self.asked.notify_one();
    }

    /// The same of a version that was current before the engine was opened: who has become current since is worth more.
    fn ask_again(&self, key: Key, version: AppVersion) {
        let mut state = self.lock();
        if !state.of_apps.contains_key(&key) {
            state.of_apps.insert(key.clone(), Aftermath { stage: Stage::Waiting, trial: Trial::of(version) });
            state.turns.push_back(key);
        }
    }

    /// The app is gone, or has no instances that could diverge.
    pub(super) fn forget(&self, key: &Key) {
        self.lock().of_apps.remove(key);
    }

    fn get(&self, key: &Key) -> Option<Aftermath> {
        self.lock().of_apps.get(key).cloned()
    }

    fn next(&self) -> Option<(Key, AppVersion)> {
        let mut state = self.lock();
        while let Some(key) = state.turns.pop_front() {
            if let Some(known) = state.of_apps.get_mut(&key) {
                known.stage = Stage::Running;
                let version = known.trial.version.clone();
                return Some((key, version));
            }
        }
        None
    }

    /// False: it is about another version by now.
    fn tell(&self, key: &Key, stage: Stage, trial: &Trial) -> bool {
        let mut state = self.lock();
        match state.of_apps.get_mut(key) {
            Some(known) if known.trial.version.digest == trial.version.digest => {
                *known = Aftermath { stage, trial: trial.clone() };
                true
            }
            Some(_) | None => false,
        }
    }
}

impl Engine {
    /// What the app's instances on other versions would do on this one, as far as that is known; none: when it became
    /// current or the engine was opened, there was no instance on another one.
    #[must_use]
    pub fn aftermath(&self, hub: &HubName, app: &str, digest: Digest) -> Option<Aftermath> {
        let known = self.inner.afterwards.get(&(hub.clone(), app.to_owned()))?;
        (known.trial.version.digest == digest).then_some(known)
    }
}

impl Inner {
    /// A version has become current: its verdict is to be found, if there are instances.
    pub(super) async fn judge_afterwards(&self, hub: &HubName, app: &str, version: AppVersion) {
        let key = (hub.clone(), app.to_owned());
        match self.store.counts(hub).await {
            Ok(counts) if counts.all().total() > 0 => self.afterwards.ask(key, version),
            Ok(_) => self.afterwards.forget(&key),
            Err(error) => {
                tracing::warn!(%hub, app, %error, "no verdict on the app's instances: they cannot be counted");
                self.afterwards.forget(&key);
            }
        }
    }
}

impl Inner {
    /// Asks again for the verdicts that an earlier process has found or was to find.
    async fn judge_again(&self) -> Result<(), StoreError> {
        for hub in self.hubs.all() {
            let apps = self.apps.of_hub(&hub.name);
            if apps.iter().all(|app| app.versions.len() < 2) || !self.is_hub_open(&hub.name) {
                continue;
            }
            let pinned = self.pinned(&hub.name, true).await?;
            for app in apps {
                let is_behind = pinned.keys().any(|(of, digest)| *of == app.name && *digest != app.current);
                let current = app.versions.iter().find(|version| version.digest == app.current);
                if let Some(version) = current.filter(|_| is_behind) {
                    self.afterwards.ask_again((hub.name.clone(), app.name.clone()), version.clone());
                }
            }
        }
        Ok(())
    }
}

/// Finds verdicts until the engine is gone.
pub(super) async fn run(engine: Weak<Inner>) {
    if let Some(inner) = engine.upgrade()
        && let Err(error) = inner.judge_again().await
    {
        tracing::warn!(%error, "no verdicts on instances of earlier versions: they cannot be looked for");
    }
    loop {
        let Some(inner) = engine.upgrade() else { return };
        if inner.is_stopping() {
            return;
        }
        let Some((key, version)) = inner.afterwards.next() else {
            let asked = Arc::clone(&inner.afterwards.asked);
            // An engine that nobody uses any more must not be kept.
            drop(inner);
            let _asked = tokio::time::timeout(GLANCE, asked.notified()).await;
            continue;
        };
        judge(&inner, &key, version).await;
    }
}

async fn judge(inner: &Arc<Inner>, key: &Key, version: AppVersion) {
    let (hub, app) = (&key.0, key.1.as_str());
    let watch = Watch { inner, key };
    let deadline = Instant::now() + BOUNDS.time;
    let mut looking = Looking::new(inner, (hub, app), Trial::of(version), deadline);
    looking.pace = Some(&watch);
    let looked: Result<(), StoreError> = looking.at_all(BOUNDS.instances).await;
    let trial = looking.trial;
    let stage = match &looked {
        Ok(()) => Stage::Done,
        Err(error) => {
            tracing::warn!(%hub, app, %error, "the verdict on an app's instances was not finished");
            Stage::Failed
        }
    };
    let (digest, diverging) = (trial.version.digest, trial.open_diverging);
    if inner.afterwards.tell(key, stage, &trial) && diverging > 0 {
        tracing::warn!(%hub, app, version = %digest, diverging, "open instances could not be moved to the version deployed");
    }
}

/// Sees that a trial leaves the processors to what runs, and that it ends when it is of no use.
struct Watch<'a> {
    inner: &'a Inner,
    key: &'a Key,
}

impl Pace for Watch<'_> {
    fn looked<'a>(&'a self, trial: &'a Trial, took: Duration) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            if !self.inner.afterwards.tell(self.key, Stage::Running, trial) {
                return false;
            }
            tokio::time::sleep(took.saturating_mul(REST).max(LEAST_REST)).await;
            while self.inner.is_busy() && !self.inner.is_stopping() {
                tokio::time::sleep(PATIENCE).await;
            }
            !self.inner.is_stopping()
        })
    }
}

impl Inner {
    /// All places for activities or functions are taken.
    fn is_busy(&self) -> bool {
        self.places.activities.is_short() || self.places.functions.is_short()
    }
}
