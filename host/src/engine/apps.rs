//! The apps of all hubs: what is deployed, and which component a function's name leads to.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use durawasm_core::Failure;

use super::client::{DeployError, Deployed, OptionChanges};
use super::functions::HttpMatch;
use super::hubs::HubError;
use super::routes::Route;
use super::routing::Routing;
use super::schedules::Beginning;
use super::{Inner, hot};
use crate::fair::Permit;
use crate::store::{
    AppOptions, AppRecord, AppVersion, CommitError, Digest, FunctionKind, HubName, InstanceRecord, ScheduleKey, Store,
    StoreError, TimerTrigger, Trigger, TriggerKind,
};

/// Letters of an app's name at most: it is part of URLs.
const LONGEST_APP_NAME: usize = 63;

pub(super) struct Apps {
    /// By hub, then by app.
    table: RwLock<HashMap<HubName, HashMap<String, AppRecord>>>,
    /// Of the hubs in the table. Made anew under its lock.
    routing: RwLock<HashMap<HubName, Arc<Routing>>>,
    /// One deployment at a time decides; admitting components goes on beside it.
    deciding: tokio::sync::Mutex<()>,
    /// Held by each deployment from the admission of its component to its record, and by whoever removes components.
    pub(super) components: tokio::sync::RwLock<()>,
    /// Held by backups for reading: they may still come to a component that nobody needs any more.
    pub(super) backups: Arc<tokio::sync::RwLock<()>>,
}

/// Where a function is.
pub(super) struct Found {
    pub(super) app: String,
    pub(super) digest: Digest,
    pub(super) label: Option<String>,
    pub(super) options: AppOptions,
}

impl Found {
    fn at(app: &AppRecord, digest: Digest) -> Self {
        Self { app: app.name.clone(), digest, label: None, options: app.options }
    }
}

impl AppRecord {
    pub(super) fn current_version(&self) -> Option<&AppVersion> {
        self.versions.iter().find(|version| version.digest == self.current)
    }
}

impl Apps {
    pub(super) async fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let mut table: HashMap<HubName, HashMap<String, AppRecord>> = HashMap::new();
        for app in store.apps().await? {
            table.entry(app.hub.clone()).or_default().insert(app.name.clone(), app);
        }
        let routing = table.iter().map(|(hub, apps)| (hub.clone(), Arc::new(Routing::of(apps.values())))).collect();
        Ok(Self {
            table: RwLock::new(table),
            routing: RwLock::new(routing),
            deciding: tokio::sync::Mutex::default(),
            components: tokio::sync::RwLock::default(),
            backups: Arc::default(),
        })
    }

    pub(super) fn get(&self, hub: &HubName, app: &str) -> Option<AppRecord> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).get(hub)?.get(app).cloned()
    }

    /// How much of the room for waiting guests one of this instance takes.
    pub(super) fn weight(&self, instance: &InstanceRecord) -> usize {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let app = table.get(&instance.hub).and_then(|apps| apps.get(&instance.app));
        let version = app.and_then(|app| app.versions.iter().find(|version| version.digest == instance.digest));
        hot::weight(version.map_or(0, |version| version.size))
    }

    /// All hubs with apps.
    pub(super) fn hubs(&self) -> Vec<HubName> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Waits for the turn to decide.
    pub(super) async fn decide(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.deciding.lock().await
    }

    /// The apps of a hub, sorted by name.
    pub(super) fn of_hub(&self, hub: &HubName) -> Vec<AppRecord> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let mut apps: Vec<_> = table.get(hub).into_iter().flat_map(HashMap::values).cloned().collect();
        drop(table);
        apps.sort_unstable_by(|one, two| one.name.cmp(&two.name));
        apps
    }

    /// Whether an app has this version.
    pub(super) fn has_version(&self, hub: &HubName, app: &str, digest: Digest) -> bool {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let app = table.get(hub).and_then(|apps| apps.get(app));
        app.is_some_and(|app| app.versions.iter().any(|version| version.digest == digest))
    }

    /// Whether an app of whichever hub has this component.
    fn has(&self, digest: Digest) -> bool {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let versions = table.values().flat_map(HashMap::values).flat_map(|app| &app.versions);
        versions.into_iter().any(|version| version.digest == digest)
    }

    pub(super) fn remove(&self, hub: &HubName, app: &str) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(apps) = table.get_mut(hub) {
            apps.remove(app);
            if apps.is_empty() {
                table.remove(hub);
            }
        }
        self.route(hub, &table);
    }

    pub(super) fn put(&self, app: AppRecord) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let hub = app.hub.clone();
        table.entry(hub.clone()).or_default().insert(app.name.clone(), app);
        self.route(&hub, &table);
    }

    /// Brings the routes of a hub in line with its apps, whose lock the caller holds.
    fn route(&self, hub: &HubName, table: &HashMap<HubName, HashMap<String, AppRecord>>) {
        let made = table.get(hub).map(|apps| Arc::new(Routing::of(apps.values())));
        let mut routing = self.routing.write().unwrap_or_else(PoisonError::into_inner);
        match made {
            Some(made) => drop(routing.insert(hub.clone(), made)),
            None => drop(routing.remove(hub)),
        }
    }

    /// The current version that declares this function, in whichever app of the hub.
    pub(super) fn find(&self, hub: &HubName, kind: FunctionKind, name: &str) -> Option<Found> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.get(hub)?.values().find_map(|app| {
            let version = app.current_version()?;
            let declared = version.functions.iter().any(|(k, n)| *k == kind && n == name);
            declared.then(|| Found { label: version.label.clone(), ..Found::at(app, app.current) })
        })
    }

    /// Where a function is that an instance of this app and version calls: in its own version if that declares it, else
    /// in whichever app's current one. An app can choose the current version of its own functions, too.
    pub(super) fn find_for(
        &self,
        hub: &HubName,
        (app, digest): (&str, Digest),
        (kind, name): (FunctionKind, &str),
    ) -> Option<Found> {
        self.find_own(hub, (app, digest), (kind, name)).or_else(|| self.find(hub, kind, name))
    }

    fn find_own(
        &self,
        hub: &HubName,
        (app, digest): (&str, Digest),
        (kind, name): (FunctionKind, &str),
    ) -> Option<Found> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let app = table.get(hub)?.get(app).filter(|app| !app.options.current_activities)?;
        let version = app.versions.iter().find(|version| version.digest == digest)?;
        let declared = version.functions.iter().any(|(k, n)| *k == kind && n == name);
        declared.then(|| Found { label: version.label.clone(), ..Found::at(app, digest) })
    }

    /// The component for an activity call, see [`Apps::find_for`].
    pub(super) fn find_activity(
        &self,
        hub: &HubName,
        (app, digest): (&str, Digest),
        name: &str,
    ) -> Result<Digest, Failure> {
        let found = self.find_for(hub, (app, digest), (FunctionKind::Activity, name));
        found.map(|found| found.digest).ok_or_else(|| {
            let known = self.names(hub, FunctionKind::Activity);
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Failure::new(
                "FunctionNotFound",
                format!("the activity function '{name}' doesn't exist in hub '{hub}'; its activities are: {known}"),
            )
            .non_retriable()
        })
    }

    /// The HTTP function that answers a path, of those that match the one with the most exact route.
    pub(super) fn find_http(&self, hub: &HubName, method: &str, path: &[String]) -> HttpMatch {
        let routing = self.routing.read().unwrap_or_else(PoisonError::into_inner).get(hub).cloned();
        routing.map_or(HttpMatch::Nothing, |routing| routing.find(method, path))
    }

    /// The manual or timer function of this name.
    pub(super) fn find_triggered(&self, hub: &HubName, name: &str) -> Option<Triggered> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.get(hub)?.values().find_map(|app| {
            app.current_version()?.triggers.iter().find_map(|trigger| match &trigger.kind {
                TriggerKind::Manual if trigger.name == name => Some(Triggered::Manual(app.current)),
                TriggerKind::Timer(_) if trigger.name == name => Some(Triggered::Timer(app.current, key_of(app, name))),
                TriggerKind::Manual | TriggerKind::Timer(_) | TriggerKind::Http(_) => None,
            })
        })
    }

    /// The component of a timer function that its app still has.
    pub(super) fn find_timer(&self, key: &ScheduleKey) -> Option<Digest> {
        let app = self.get(&key.hub, &key.app)?;
        let mut triggers = app.current_version()?.triggers.iter();
        let declared =
            triggers.any(|trigger| trigger.name == key.function && matches!(trigger.kind, TriggerKind::Timer(_)));
        declared.then_some(app.current)
    }

    /// All timer functions of all current versions.
    pub(super) fn timers(&self) -> Vec<(ScheduleKey, TimerTrigger)> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.values().flat_map(HashMap::values).flat_map(timers_of).collect()
    }

    /// Declared functions of a kind, sorted, at most 20.
    pub(super) fn names(&self, hub: &HubName, kind: FunctionKind) -> Vec<String> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let versions = table.get(hub).into_iter().flat_map(HashMap::values).filter_map(AppRecord::current_version);
        let mut names: Vec<_> = versions
            .flat_map(|version| version.functions.iter().filter(|(k, _)| *k == kind).map(|(_, name)| name.clone()))
            .collect();
        names.sort_unstable();
        names.truncate(20);
        names
    }

    pub(super) fn taken(&self, hub: &HubName, app: &str, version: &AppVersion) -> Option<DeployError> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let others = || table.get(hub).into_iter().flat_map(HashMap::values).filter(|other| other.name != app);
        for other in others() {
            let theirs = other.current_version().map(|version| version.triggers.as_slice()).unwrap_or_default();
            for (mine, theirs) in version.triggers.iter().flat_map(|mine| theirs.iter().map(move |their| (mine, their)))
            {
                if let Some(what) = clash(mine, theirs) {
                    let (kind, function) = (what, mine.name.clone());
                    return Some(DeployError::FunctionTaken { kind, function, app: other.name.clone() });
                }
            }
        }
        let others = others();
        let declared = others.filter_map(|other| Some((other, other.current_version()?)));
        let (other, (kind, function)) = declared
            .flat_map(|(other, theirs)| theirs.functions.iter().map(move |function| (other, function)))
            .find(|(_, function)| version.functions.contains(function))?;
        let kind = match kind {
            FunctionKind::Orchestrator => "orchestrator",
            FunctionKind::Activity => "activity",
        };
        Some(DeployError::FunctionTaken { kind, function: function.clone(), app: other.name.clone() })
    }
}

/// A function that is called by hand.
pub(super) enum Triggered {
    /// A manual one.
    Manual(Digest),
    /// A timer function.
    Timer(Digest, ScheduleKey),
}

/// The timer functions of an app's current version.
fn timers_of(app: &AppRecord) -> Vec<(ScheduleKey, TimerTrigger)> {
    let triggers = app.current_version().map(|version| version.triggers.as_slice()).unwrap_or_default();
    let timer = |trigger: &Trigger| match &trigger.kind {
        TriggerKind::Timer(timer) => Some((key_of(app, &trigger.name), timer.clone())),
        TriggerKind::Manual | TriggerKind::Http(_) => None,
    };
    triggers.iter().filter_map(timer).collect()
}

fn key_of(app: &AppRecord, function: &str) -> ScheduleKey {
    ScheduleKey { hub: app.hub.clone(), app: app.name.clone(), function: function.to_owned() }
}

/// Whether two functions cannot live in one hub: same kind and name, or the same requests.
pub(crate) fn clash(one: &Trigger, two: &Trigger) -> Option<&'static str> {
    let kind = match (&one.kind, &two.kind) {
        (TriggerKind::Http(one), TriggerKind::Http(two)) => {
            let share = one.methods.is_empty()
                || two.methods.is_empty()
                || one.methods.iter().any(|method| two.methods.contains(method));
            let same = match (Route::parse(&one.route), Route::parse(&two.route)) {
                (Ok(one), Ok(two)) => one.is_same(&two),
                (Ok(_) | Err(_), _) => false,
            };
            if share && same {
                return Some("the route of HTTP function");
            }
            "HTTP function"
        }
        // Both are called by hand by their names.
        (TriggerKind::Manual | TriggerKind::Timer(_), TriggerKind::Manual | TriggerKind::Timer(_)) => {
            "manual or timer function"
        }
        (TriggerKind::Http(_), TriggerKind::Manual | TriggerKind::Timer(_))
        | (TriggerKind::Manual | TriggerKind::Timer(_), TriggerKind::Http(_)) => return None,
    };
    (one.name == two.name).then_some(kind)
}

fn check_app_name(name: &str) -> Result<(), DeployError> {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > LONGEST_APP_NAME || !name.chars().all(fine) || name.starts_with('-') {
        return Err(DeployError::BadName(format!(
            "'{}' is no name for an app: 1 to {LONGEST_APP_NAME} of a-z, 0-9 and '-', not beginning with '-'",
            name.escape_debug()
        )));
    }
    Ok(())
}

impl Inner {
    /// Checks and compiles a component for a trial, as a deployment would. It is kept for as long as the guard is held, and
    /// then to be forgotten.
    pub(super) async fn admit_for_trial(
        &self,
        hub: &HubName,
        app: &str,
        component: bytes::Bytes,
    ) -> Result<(AppVersion, tokio::sync::RwLockReadGuard<'_, ()>), DeployError> {
        check_app_name(app)?;
        self.hub_to_deploy_to(hub)?;
        let turn = self.turn_to_compile(hub).await;
        let kept = self.apps.components.read().await;
        let version = self.executor.admit(component).await?;
        drop(turn);
        if let Some(taken) = self.apps.taken(hub, app, &version) {
            return Err(taken);
        }
        self.check_deployment(hub, self.apps.get(hub, app).as_ref(), &version)?;
        Ok((version, kept))
    }

    /// Hubs that deploy much must not hold up the others.
    async fn turn_to_compile(&self, hub: &HubName) -> Option<Permit> {
        let hub = self.hubs.get(hub)?;
        Some(self.places.compiles.acquire(&hub.lanes().compiles).await)
    }

    pub(super) async fn deploy(
        &self,
        hub: &HubName,
        app: &str,
        component: bytes::Bytes,
        options: OptionChanges,
    ) -> Result<Deployed, DeployError> {
        check_app_name(app)?;
        self.hub_to_deploy_to(hub)?;
        let turn = self.turn_to_compile(hub).await;
        let _kept = self.apps.components.read().await;
        let version = AppVersion { deployed: self.now(), ..self.executor.admit(component).await? };
        drop(turn);
        let _one_at_a_time = self.apps.deciding.lock().await;
        // It may have been deleted while the component was compiled.
        self.hub_to_deploy_to(hub)?;
        if let Some(taken) = self.apps.taken(hub, app, &version) {
            return Err(taken);
        }
        let digest = version.digest;
        let before = self.apps.get(hub, app);
        let options = options.applied_to(before.as_ref().map(|record| record.options).unwrap_or_default());
        if before.as_ref().is_some_and(|record| record.current == digest && record.options == options) {
            // An earlier deployment may have ended between the two.
            self.keep_schedules(Beginning::Later).await?;
            return Ok(Deployed { digest, changed: false });
        }
        let changed = before.as_ref().is_none_or(|record| record.current != digest);
        // The timers of the version are set before the deployment is acknowledged.
        self.check_deployment(hub, before.as_ref(), &version)?;
        self.change_app(AppRecord { options, ..with_version(before, (hub, app), version) }).await?;
        Ok(Deployed { digest, changed })
    }
}

impl Inner {
    /// Removes all apps of a hub that takes nothing any more.
    pub(super) async fn delete_apps(&self, hub: &HubName) -> Result<(), StoreError> {
        let mut digests = Vec::new();
        let one_at_a_time = self.apps.deciding.lock().await;
        for app in self.apps.of_hub(hub) {
            self.remove_app(&app).await?;
            digests.extend(app.versions.iter().map(|version| version.digest));
        }
        drop(one_at_a_time);
        self.forget_components(digests).await;
        Ok(())
    }

    /// Removes an app's record. The caller is the one that decides.
    pub(super) async fn remove_app(&self, app: &AppRecord) -> Result<(), StoreError> {
        match self.store.remove_app(&app.hub, &app.name, app.generation).await {
            Ok(()) => {
                self.apps.remove(&app.hub, &app.name);
                self.afterwards.forget(&(app.hub.clone(), app.name.clone()));
                self.keep_schedules(Beginning::Later).await
            }
            Err(CommitError::Store(error)) => Err(error),
            Err(CommitError::Conflict | CommitError::Exists(_)) => Err(changed_by_somebody()),
        }
    }

    /// Writes an app's record as it is to be. The caller is the one that decides.
    pub(super) async fn change_app(&self, app: AppRecord) -> Result<(), StoreError> {
        let expected = app.generation;
        let before = self.apps.get(&app.hub, &app.name).map(|before| before.current);
        let is_new = before != Some(app.current);
        match self.store.put_app(app.clone(), expected).await {
            Ok(()) => {
                let name = (app.hub.clone(), app.name.clone());
                let version = app.current_version().filter(|_| is_new && before.is_some()).cloned();
                self.apps.put(AppRecord { generation: expected.saturating_add(1), ..app });
                if let Some(version) = version {
                    self.judge_afterwards(&name.0, &name.1, version).await;
                }
                self.keep_schedules(if is_new { Beginning::Deployed(name) } else { Beginning::Later }).await
            }
            Err(CommitError::Store(error)) => Err(error),
            Err(CommitError::Conflict | CommitError::Exists(_)) => Err(changed_by_somebody()),
        }
    }

    /// Removes those of these components that no app has any more. What runs of them goes on.
    pub(super) async fn forget_components(&self, digests: Vec<Digest>) {
        if digests.iter().all(|digest| self.apps.has(*digest)) {
            return;
        }
        let _alone = self.apps.components.write().await;
        // A backup may still come to one of them; when it has ended, strays are looked for.
        let Ok(_none) = self.apps.backups.try_write() else { return };
        for digest in digests {
            if !self.apps.has(digest) {
                self.executor.forget(digest).await;
            }
        }
    }

    fn hub_to_deploy_to(&self, hub: &HubName) -> Result<(), DeployError> {
        self.open_hub(hub).map(drop).map_err(|error| match error {
            HubError::Store(error) => DeployError::Store(error),
            HubError::Unknown(_) | HubError::Deleting(_) | HubError::Default | HubError::Busy { .. } => {
                DeployError::NoHub(error.to_string())
            }
        })
    }
}

fn changed_by_somebody() -> StoreError {
    StoreError::Unavailable("the app was changed by somebody else; try again".to_owned())
}

fn with_version(before: Option<AppRecord>, (hub, app): (&HubName, &str), version: AppVersion) -> AppRecord {
    let mut record = before.unwrap_or_else(|| AppRecord {
        hub: hub.clone(),
        name: app.to_owned(),
        generation: 0,
        current: version.digest,
        versions: Vec::new(),
        options: AppOptions::default(),
    });
    record.current = version.digest;
    if !record.versions.iter().any(|known| known.digest == version.digest) {
        record.versions.push(version);
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{AuthLevel, HttpTrigger};

    #[test]
    fn functions_that_one_request_could_mean_clash() {
        let named = |name: &str, kind| Trigger { name: name.to_owned(), kind };
        let timer = || {
            let schedule = "0 * * * * *".to_owned();
            TriggerKind::Timer(TimerTrigger { schedule, use_monitor: true, run_on_startup: false })
        };
        let http = |route: &str| {
            let methods = vec!["GET".to_owned()];
            let level = AuthLevel::Function;
            TriggerKind::Http(HttpTrigger { route: route.to_owned(), methods, level, streams: false })
        };
        let both = Some("manual or timer function");
        assert_eq!(clash(&named("A", TriggerKind::Manual), &named("A", timer())), both);
        assert_eq!(clash(&named("A", timer()), &named("A", TriggerKind::Manual)), both);
        assert_eq!(clash(&named("A", timer()), &named("B", TriggerKind::Manual)), None);
        assert_eq!(
            clash(&named("A", timer()), &named("A", http("A"))),
            None,
            "no request by hand calls an HTTP function"
        );
        assert_eq!(clash(&named("A", http("x")), &named("B", http("X"))), Some("the route of HTTP function"));
    }
}
