//! Trials: what deploying a component would mean for the instances that an app has. Nothing is deployed.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use durawasm_core::{Divergence, InstanceId, SignedDuration, Status, Timestamp};

use super::client::DeployError;
use super::moves::OPEN;
use super::verdict::{CheckError, as_rewound};
use super::{Engine, Inner};
use crate::store::{
    AppVersion, BoxFuture, Filter, FunctionKind, HubName, InstanceRecord, ListQuery, Position, StoreError,
};

/// Refusals that one answer lists.
const LISTED: usize = 20;
/// Instances read at once.
const PAGE: usize = 500;
/// Pages read while looking for instances of one kind.
const PAGES: usize = 20;
/// How far back closed instances are looked for, again and again further, in minutes; then from the beginning.
const WINDOWS: [i64; 5] = [1, 30, 60 * 12, 60 * 24 * 14, 60 * 24 * 365];

/// How much a trial looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Open instances, and as many closed ones in all, equally many of each orchestrator.
    pub instances: usize,
    /// How long it may take.
    pub time: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { instances: 100, time: Duration::from_secs(10) }
    }
}

/// What a trial came to.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What the component holds.
    pub version: AppVersion,
    /// Instances that have not ended and could go on with it.
    pub open_compatible: u64,
    /// That have not ended and could not.
    pub open_diverging: u64,
    /// Instances that have ended and that it repeats.
    pub closed_compatible: u64,
    /// That have ended and that it does not repeat.
    pub closed_diverging: u64,
    /// The first of those that could not, the open ones first.
    pub diverging: Vec<TrialRefusal>,
    /// Instances without a verdict, because the host could not find one.
    pub unknown: u64,
    /// True: all instances that have not ended were looked at.
    pub complete: bool,
}

/// An instance whose history the component does not repeat.
#[derive(Clone, Debug)]
pub struct TrialRefusal {
    /// Which.
    pub id: InstanceId,
    /// Its orchestrator.
    pub name: String,
    /// What it is in.
    pub status: Status,
    /// Where the component does something else.
    pub divergence: Divergence,
}

/// A trial under way.
pub(super) struct Looking<'a> {
    inner: &'a Inner,
    hub: &'a HubName,
    app: &'a str,
    deadline: Instant,
    pub(super) trial: Trial,
    /// Says when to go on after each verdict; none: at once. With it, instances that are on the version are left out.
    pub(super) pace: Option<&'a dyn Pace>,
}

/// Paces a trial that goes on beside the work of others.
pub(super) trait Pace: Send + Sync {
    /// One more instance was looked at. Waits for as long as the next one should; false: there is no use in going on.
    fn looked<'a>(&'a self, trial: &'a Trial, took: Duration) -> BoxFuture<'a, bool>;
}

impl Engine {
    /// Finds out what deploying a component would mean for the instances of an app: for those that have not ended, and for
    /// the last ones of each orchestrator that have. Of those that have failed counts what a rewind would keep.
    ///
    /// # Errors
    /// As a deployment's.
    pub async fn try_deploy(
        &self,
        hub: &HubName,
        app: &str,
        component: bytes::Bytes,
        bounds: Bounds,
    ) -> Result<Trial, DeployError> {
        let (version, kept) = self.inner.admit_for_trial(hub, app, component).await?;
        let digest = version.digest;
        // Compiling has limits of its own.
        let deadline = Instant::now() + bounds.time;
        let mut looking = Looking::new(&self.inner, (hub, app), Trial::of(version), deadline);
        let looked = looking.at_all(bounds.instances).await;
        let trial = looking.trial;
        drop(kept);
        self.inner.forget_components(vec![digest]).await;
        looked?;
        Ok(trial)
    }
}

impl Trial {
    pub(super) fn of(version: AppVersion) -> Self {
        Self {
            version,
            open_compatible: 0,
            open_diverging: 0,
            closed_compatible: 0,
            closed_diverging: 0,
            diverging: Vec::new(),
            unknown: 0,
            complete: false,
        }
    }

    /// Instances with a verdict.
    #[must_use]
    pub fn checked(&self) -> u64 {
        self.open_compatible + self.open_diverging + self.closed_compatible + self.closed_diverging
    }
}

impl<'a> Looking<'a> {
    pub(super) fn new(inner: &'a Inner, (hub, app): (&'a HubName, &'a str), trial: Trial, deadline: Instant) -> Self {
        Self { inner, hub, app, deadline, trial, pace: None }
    }

    fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    async fn page(
        &self,
        filter: &Filter,
        after: Option<Position>,
    ) -> Result<(Vec<InstanceRecord>, Option<Position>), StoreError> {
        let query = ListQuery { filter: filter.clone(), after, limit: PAGE };
        let page = self.inner.store.list(self.hub, query).await?;
        let of_app = page.records.into_iter().filter(|record| record.app == self.app);
        Ok((of_app.collect(), page.next))
    }

    pub(super) async fn at_all(&mut self, most: usize) -> Result<(), StoreError> {
        self.open(most).await?;
        self.closed(most).await
    }

    async fn open(&mut self, most: usize) -> Result<(), StoreError> {
        let filter = Filter { statuses: OPEN.to_vec(), ..Filter::default() };
        let (mut after, mut seen) = (None, 0);
        for _ in 0..PAGES {
            let (records, next) = self.page(&filter, after).await?;
            for record in records {
                if seen == most || self.is_late() {
                    return Ok(());
                }
                seen += 1;
                if !self.look_at(record).await? {
                    return Ok(());
                }
            }
            after = next;
            if after.is_none() {
                self.trial.complete = true;
                return Ok(());
            }
        }
        Ok(())
    }

    async fn closed(&mut self, most: usize) -> Result<(), StoreError> {
        let names = self.orchestrators();
        let each = (most / names.len().max(1)).max(1);
        for name in names.into_iter().take(most) {
            for record in self.last_closed(name, each).await? {
                if self.is_late() {
                    return Ok(());
                }
                if !self.look_at(record).await? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Those that the component has, and those that the app has now: what is left out is not to be overlooked.
    fn orchestrators(&self) -> BTreeSet<String> {
        let now = self.inner.apps.get(self.hub, self.app);
        let current = now.iter().flat_map(|app| app.versions.iter().filter(|version| version.digest == app.current));
        let functions = current.chain([&self.trial.version]).flat_map(|version| &version.functions);
        let orchestrators = functions.filter(|(kind, _)| *kind == FunctionKind::Orchestrator);
        orchestrators.map(|(_, name)| name.clone()).collect()
    }

    /// The instances of an orchestrator that were started last, as far as they have ended.
    async fn last_closed(&self, name: String, most: usize) -> Result<VecDeque<InstanceRecord>, StoreError> {
        let statuses = vec![Status::Completed, Status::Failed, Status::Terminated];
        let now = self.inner.now();
        let since = |minutes: i64| now.checked_sub(SignedDuration::from_mins(minutes)).unwrap_or(Timestamp::MIN);
        let mut last = VecDeque::new();
        for created_from in WINDOWS.map(since).into_iter().map(Some).chain([None]) {
            let filter =
                Filter { created_from, statuses: statuses.clone(), name: Some(name.clone()), ..Filter::default() };
            last.clear();
            let mut after = None;
            for _ in 0..PAGES {
                let (records, next) = self.page(&filter, after).await?;
                last.extend(records);
                last.drain(..last.len().saturating_sub(most));
                after = next;
                if after.is_none() || self.is_late() {
                    break;
                }
            }
            if last.len() >= most || self.is_late() {
                break;
            }
        }
        Ok(last)
    }

    /// False: there is no use in going on.
    async fn look_at(&mut self, record: InstanceRecord) -> Result<bool, StoreError> {
        let Some(pace) = self.pace else { return self.look(record).await.map(|()| true) };
        // What has run on this version all along repeats itself.
        if record.digest == self.trial.version.digest {
            return Ok(true);
        }
        let begun = Instant::now();
        self.look(record).await?;
        Ok(pace.looked(&self.trial, begun.elapsed()).await)
    }

    async fn look(&mut self, record: InstanceRecord) -> Result<(), StoreError> {
        let inner = self.inner;
        let Some((record, history)) = inner.store.history(record.number).await? else { return Ok(()) };
        let history = if record.status == Status::Failed { as_rewound(history, inner.now()) } else { history };
        let (is_open, trial) = (!record.status.is_terminal(), &mut self.trial);
        // One that takes too long must not take more than all of them may.
        let verdict = inner.verdict(&trial.version, &history);
        let Ok(verdict) = tokio::time::timeout_at(self.deadline.into(), verdict).await else {
            trial.unknown += 1;
            return Ok(());
        };
        match verdict {
            Ok(Ok(())) if is_open => trial.open_compatible += 1,
            Ok(Ok(())) => trial.closed_compatible += 1,
            Ok(Err(divergence)) => {
                *(if is_open { &mut trial.open_diverging } else { &mut trial.closed_diverging }) += 1;
                if trial.diverging.len() < LISTED {
                    let InstanceRecord { id, name, status, .. } = record;
                    trial.diverging.push(TrialRefusal { id, name, status, divergence });
                }
            }
            Err(error @ (CheckError::Broken(_) | CheckError::Host(_) | CheckError::TooLong(_))) => {
                tracing::warn!(instance = %record.id, %error, "no verdict");
                trial.unknown += 1;
            }
        }
        Ok(())
    }
}
