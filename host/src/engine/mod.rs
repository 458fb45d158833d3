//! The engine: instances as actors, the commit pipeline, timers, activities. Knows no sled, HTTP or wasmtime.
//!
//! An instance is an actor with a mailbox. It takes the waiting messages, lets the guest run as far as it can (an
//! episode), saves what was decided in one conditional commit, and only then acts on it.

mod activities;
mod actor;
mod afterwards;
mod ahead;
mod apps;
mod backup;
pub mod client;
mod commit;
pub mod cron;
mod episode;
pub mod executor;
mod families;
pub mod functions;
pub mod guest_client;
mod hot;
pub mod http;
mod hub_export;
mod hub_import;
mod hubs;
mod logs;
mod mail;
mod manage;
mod meters;
mod moves;
mod places;
mod query;
mod quota;
mod retention;
pub mod routes;
mod routing;
mod schedules;
pub mod session;
pub mod share;
pub mod spans;
mod start;
pub mod streams;
mod threads;
mod timers;
mod trial;
mod usage;
pub mod verdict;
mod versions;
mod waiters;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use durawasm_core::{InstanceId, Timestamp};
use tokio::sync::Semaphore;

pub use afterwards::{Aftermath, Stage};
pub(crate) use apps::clash;
pub use client::{
    DeployError, Deployed, InstanceView, OptionChanges, Parts, RestartError, Reuse, SendError, StartError,
    StartRequest, Waited,
};
use executor::Executor;
pub use families::MovedFamily;
pub use hub_export::ExportError;
pub use hub_import::{ImportError, Imported};
pub use hubs::{DEFAULT_HUB, HubError};
pub use logs::{LogLevel, LogLimits, LogLine, LogPage};
pub use moves::{LISTED, MOST_MOVED, MoveError, MoveMany, Moved, MovedMany, Target};
pub use query::{PurgeError, PurgeOptions};
pub use quota::{QuotaExceeded, Rates};
pub use threads::Payer;
pub use trial::{Bounds, Trial, TrialRefusal};
pub use versions::{AppError, Needs};

use crate::store::{AppRecord, HubName, InstanceNumber, PayloadParts, Payloads, SharedStore, Stall, StoreError};

/// An eye on an instance that was just started.
pub struct Watch(Arc<waiters::Waiter>);

/// Settings of an engine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Guests that may wait in memory at once; more are dropped and replayed when needed. One of a large component counts
    /// as several.
    pub hot_guests: usize,
    /// Activities that run at once.
    pub activities: usize,
    /// How long an activity attempt may take when its call does not say.
    pub activity_timeout: Duration,
    /// HTTP calls of orchestrators that are under way at once.
    pub http_calls: usize,
    /// How long an activity that was cancelled may go on before it is stopped; its heartbeats tell it.
    pub cancel_grace: Duration,
    /// HTTP, manual and timer functions that run at once; beside them as many HTTP functions that stream, which may have to
    /// wait for their clients.
    pub functions: usize,
    /// How long a call of one waits for a place.
    pub function_patience: Duration,
    /// How long one may run; one that streams, with all that it sends.
    pub function_timeout: Duration,
    /// How long a start's answer waits for the first episode, so that both fit into one commit.
    pub start_patience: Duration,
    /// How long an orchestration may go on, from one activity of which nobody can see anything to the next, before all of
    /// that becomes durable with one commit. Zero: each step is durable before the next one begins.
    pub run_ahead: Duration,
    /// Instances that ended longer ago than this are purged; none: they are kept.
    pub retention: Option<Duration>,
    /// How much is kept of what functions log.
    pub logs: LogLimits,
    /// Takes the spans of traces; none: none are made.
    pub spans: Option<Arc<dyn spans::SpanSink>>,
    /// Threads of lower priority that work for hubs which use much while others use little; none: all share the threads
    /// of the runtime.
    pub heavy_threads: Option<usize>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hot_guests: 1_000,
            activities: 256,
            activity_timeout: Duration::from_secs(300),
            http_calls: 256,
            cancel_grace: Duration::from_secs(30),
            functions: 256,
            function_patience: Duration::from_secs(10),
            function_timeout: Duration::from_secs(100),
            start_patience: Duration::from_millis(2),
            run_ahead: Duration::from_millis(2),
            retention: None,
            logs: LogLimits::default(),
            spans: None,
            heavy_threads: None,
        }
    }
}

/// Where the engine gets the time from: the system's, or a test's.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The system's time in whole microseconds, which is what a history keeps.
#[must_use]
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let now = Timestamp::now();
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    })
}

/// The running engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    store: SharedStore,
    executor: Arc<dyn Executor>,
    settings: Settings,
    clock: Clock,
    actors: actor::Actors,
    apps: apps::Apps,
    hubs: hubs::Hubs,
    timers: timers::Timers,
    hot: hot::Hot,
    meters: meters::Meters,
    logs: Arc<logs::Logs>,
    mailroom: mail::Mailroom,
    /// Instances that are being started.
    starting: mail::Underway,
    /// Instances of which lines are on their way into the log: their commit may be durable already.
    logging: mail::Underway,
    waiters: waiters::Waiters,
    retention: retention::Retention,
    schedules: schedules::Schedules,
    versions: versions::Versions,
    afterwards: afterwards::Afterwards,
    places: places::Places,
    threads: Arc<threads::Threads>,
    check_permits: Semaphore,
    outside: OnceLock<Arc<dyn guest_client::Outside>>,
    recovered: AtomicBool,
    stopping: AtomicBool,
}

/// Verdicts that are found at once: they must leave the processors to what runs.
const CHECKS: usize = 2;

/// How often an instance is read piece by piece, in the hope that nobody changes it meanwhile; then its record and its
/// payloads are read at once, which takes another thread.
const QUIET_READS: u32 = 4;

/// Ready instances taken up per page while recovering.
const RECOVERY_PAGE: usize = 1_000;

impl Engine {
    /// Loads apps and work in flight from the store and starts to work. Instances that had work in flight are taken up
    /// in the background; [`Engine::is_ready`] tells when.
    ///
    /// # Errors
    /// The store's.
    pub async fn open(
        store: SharedStore,
        executor: Arc<dyn Executor>,
        settings: Settings,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let apps = apps::Apps::load(&*store).await?;
        let hubs = hubs::Hubs::load(&*store, apps.hubs()).await?;
        let mailroom = mail::Mailroom::open(&store).await?;
        let threads = threads::Threads::new(settings.heavy_threads)
            .map_err(|error| StoreError::Unavailable(format!("cannot start threads: {error}")))?;
        let meters = meters::Meters::new(&*store, &hubs.refusals(), settings.spans.as_deref());
        let inner = Arc::new(Inner {
            meters,
            logs: Arc::new(logs::Logs::new(settings.logs, clock())),
            actors: actor::Actors::default(),
            apps,
            hubs,
            timers: timers::Timers::default(),
            hot: hot::Hot::new(settings.hot_guests),
            mailroom,
            starting: mail::Underway::default(),
            logging: mail::Underway::default(),
            waiters: waiters::Waiters::default(),
            retention: retention::Retention::default(),
            schedules: schedules::Schedules::new(clock()),
            versions: versions::Versions::default(),
            afterwards: afterwards::Afterwards::default(),
            places: places::Places::new(&settings),
            threads: Arc::new(threads),
            check_permits: Semaphore::new(CHECKS),
            outside: OnceLock::new(),
            recovered: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            store,
            executor,
            settings,
            clock,
        });
        inner.allow_all();
        inner.keep_schedules(schedules::Beginning::Opened).await?;
        tokio::spawn(timers::run(Arc::downgrade(&inner)));
        tokio::spawn(schedules::run(Arc::downgrade(&inner)));
        mail::run(&inner);
        tokio::spawn(Arc::clone(&inner).recover());
        inner.resume_deletions();
        tokio::spawn(retention::run(Arc::downgrade(&inner)));
        tokio::spawn(versions::run(Arc::downgrade(&inner)));
        tokio::spawn(afterwards::run(Arc::downgrade(&inner)));
        tokio::spawn(usage::run(Arc::downgrade(&inner)));
        tokio::spawn(threads::look(Arc::downgrade(&inner)));
        Ok(Self { inner })
    }

    /// Starts an instance; durable on return. Returns its id.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(&self, request: StartRequest) -> Result<InstanceId, StartError> {
        self.begin(request, None).await
    }

    /// Starts an instance whose end the caller wants to wait for, with [`Engine::wait_for`].
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start_watched(&self, request: StartRequest) -> Result<(InstanceId, Watch), StartError> {
        let waiter = Arc::default();
        let id = self.begin(request, Some(Arc::clone(&waiter))).await?;
        Ok((id, Watch(waiter)))
    }

    async fn begin(
        &self,
        request: StartRequest,
        waiter: Option<Arc<waiters::Waiter>>,
    ) -> Result<InstanceId, StartError> {
        // On a task of its own: a caller that goes away must not leave a started instance without its actor.
        let hub = request.hub.clone();
        let work = self.inner.spawn_short(Some(&hub), Arc::clone(&self.inner).start(request, waiter));
        match work.await {
            Ok(answer) => answer,
            Err(_) => {
                Err(StoreError::Unavailable("the start was interrupted by a fault of the host".to_owned()).into())
            }
        }
    }

    /// The instance with this id, if there is one.
    ///
    /// # Errors
    /// The store's.
    pub async fn instance(&self, hub: &HubName, id: &str, parts: Parts) -> Result<Option<InstanceView>, StoreError> {
        let store = &self.inner.store;
        let mut attempts = 0;
        loop {
            let Some(mut record) = store.instance(hub, id).await? else { return Ok(None) };
            let mut history = Vec::new();
            if parts.history {
                // Gone in between: the id may have a new instance.
                let Some(read) = store.history(record.number).await? else { continue };
                (record, history) = read;
            }
            if !parts.payloads {
                return Ok(Some(InstanceView { record, payloads: Payloads::default(), history }));
            }
            let payloads = store.payloads(record.number).await?;
            // Read at another moment, in which the instance may have become another one, or gone.
            let now = store.instance(hub, id).await?;
            if now.is_some_and(|now| (now.number, now.revision) == (record.number, record.revision)) {
                return Ok(Some(InstanceView { record, payloads, history }));
            }
            attempts += 1;
            if attempts >= QUIET_READS
                && let Some((record, payloads)) = store.snapshot(record.number, PayloadParts::ALL).await?
            {
                return Ok(Some(InstanceView { record, payloads, history }));
            }
        }
    }

    /// Waits until an instance that was started to be watched has ended; at most [`client::LONGEST_WAIT`].
    ///
    /// # Errors
    /// The store's.
    pub async fn wait_for(
        &self,
        (id, watch): (&str, &Watch),
        hub: &HubName,
        timeout: Duration,
    ) -> Result<Waited, StoreError> {
        let deadline = tokio::time::Instant::now() + timeout.min(client::LONGEST_WAIT);
        match tokio::time::timeout_at(deadline, watch.0.ended()).await {
            Err(_) => Ok(Waited::StillRunning),
            Ok(waiters::End::Completed(output)) => Ok(Waited::Completed(output)),
            Ok(waiters::End::Otherwise) => self.wait(hub, id, Duration::ZERO).await,
        }
    }

    /// Waits until the instance has ended, without polling; at most [`client::LONGEST_WAIT`].
    ///
    /// # Errors
    /// The store's.
    pub async fn wait(&self, hub: &HubName, id: &str, timeout: Duration) -> Result<Waited, StoreError> {
        let deadline = tokio::time::Instant::now() + timeout.min(client::LONGEST_WAIT);
        loop {
            let Some(record) = self.inner.store.instance(hub, id).await? else { return Ok(Waited::Unknown) };
            if !record.status.is_terminal() {
                // Registered before the second look, so that an end in between is not missed.
                let waiter = self.inner.waiters.register(record.number);
                match self.inner.store.instance(hub, id).await? {
                    None => return Ok(Waited::Unknown),
                    // The id was given to a new instance in between: wait for that one.
                    Some(again) if again.number != record.number => continue,
                    Some(again) if again.status.is_terminal() => {}
                    Some(_) => match tokio::time::timeout_at(deadline, waiter.ended()).await {
                        Err(_) => return Ok(Waited::StillRunning),
                        Ok(waiters::End::Completed(output)) => return Ok(Waited::Completed(output)),
                        Ok(waiters::End::Otherwise) => {}
                    },
                }
            }
            match self.instance(hub, id, Parts { payloads: true, history: false }).await? {
                None => return Ok(Waited::Unknown),
                Some(view) if view.record.status.is_terminal() => return Ok(Waited::Ended(Box::new(view))),
                Some(_) => {}
            }
        }
    }

    /// Takes a component as the current version of an app; durable on return.
    ///
    /// # Errors
    /// See [`DeployError`].
    pub async fn deploy(
        &self,
        hub: &HubName,
        app: &str,
        component: bytes::Bytes,
        options: OptionChanges,
    ) -> Result<Deployed, DeployError> {
        self.inner.deploy(hub, app, component, options).await
    }

    /// Says how the outside sees instances; guests are told. The first one stays.
    pub fn set_outside(&self, outside: Arc<dyn guest_client::Outside>) {
        if self.inner.outside.set(outside).is_err() {
            tracing::debug!("the engine knows the outside already");
        }
    }

    /// Starts several instances, all or none; durable on return. Returns their ids.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start_many(&self, requests: Vec<StartRequest>) -> Result<Vec<InstanceId>, StartError> {
        let hub = requests.first().map(|request| request.hub.clone());
        let work = self.inner.spawn_short(hub.as_ref(), Arc::clone(&self.inner).start_many(requests));
        match work.await {
            Ok(answer) => answer,
            Err(_) => {
                Err(StoreError::Unavailable("the starts were interrupted by a fault of the host".to_owned()).into())
            }
        }
    }

    /// The app's record, if it exists.
    #[must_use]
    pub fn app(&self, hub: &HubName, app: &str) -> Option<AppRecord> {
        self.inner.apps.get(hub, app)
    }

    /// True once recovery is done: every instance that had work in flight has been taken up again.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.inner.recovered.load(Ordering::Acquire)
    }

    /// Why the store has stopped for good, if it has: the process should end and be started again.
    #[must_use]
    pub fn store_failed(&self) -> Option<String> {
        self.inner.store.failed()
    }

    /// The write that the disk has not answered for too long, if there is one: what waits for it goes on when the disk
    /// does.
    #[must_use]
    pub fn store_stalled(&self) -> Option<Stall> {
        self.inner.store.stalled()
    }

    /// Drops every guest that waits in memory, as memory pressure would; they are replayed when they are needed.
    pub fn evict_all(&self) {
        for number in self.inner.hot.drain() {
            self.inner.actors.drop_idle(number);
        }
    }

    /// Tells the engine that its clock has been moved by hand.
    pub fn clock_moved(&self) {
        self.inner.timers.look_again();
        self.inner.retention.look_again();
        self.inner.schedules.look_again();
        self.inner.versions.look_again();
    }

    /// Stops taking up new work. What has been acknowledged is durable already; what runs is taken up at the next start.
    pub fn stop(&self) {
        self.inner.stopping.store(true, Ordering::Release);
        self.inner.timers.look_again();
    }
}

impl Inner {
    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    async fn recover(self: Arc<Self>) {
        let mut after: Option<InstanceNumber> = None;
        while !self.is_stopping() {
            let page = match self.store.ready(after, RECOVERY_PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::error!(%error, "recovery cannot read the work in flight; trying again");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            let Some(last) = page.last().copied() else { break };
            for number in page {
                self.wake(number);
            }
            after = Some(last);
        }
        self.recovered.store(true, Ordering::Release);
    }
}
