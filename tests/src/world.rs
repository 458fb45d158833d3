//! Data that outlives its hosts: they die after chosen commits, and a new one goes on with what was durable. The time
//! moves only when nothing else can happen.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use durawasm_core::Timestamp;
use durawasm_core::model::Outcome;
use durawasm_host::engine::Settings;
use durawasm_host::engine::executor::{
    ActivityRun, AdmitError, Executor, FunctionCall, FunctionEnd, FunctionRun, HostFault, OrchestratorRun, RunEnd,
};
use durawasm_host::engine::http::{HttpEnd, HttpRun};
use durawasm_host::store::memory::MemoryStore;
use durawasm_host::store::{AppVersion, BoxFuture, SharedStore};
use serde_json::Value;

use crate::host::executor;
use crate::watched::WatchedStore;
use crate::{Answer, DyingStore, Host, ManualClock};

/// How long a world may take until nothing happens any more.
const PATIENCE: Duration = Duration::from_secs(300);

type Runs = Arc<Mutex<Vec<String>>>;

/// The real executor, which sees that nothing runs again whose outcome is recorded.
struct Watchful {
    store: Arc<WatchedStore>,
    dead: AtomicBool,
    /// What ran although its outcome was recorded.
    wrongs: Arc<Mutex<Vec<String>>>,
    /// The idempotency keys of all runs, in their order.
    runs: Runs,
}

impl Watchful {
    /// Notes an attempt. False: its process is gone.
    fn begins(&self, idempotency_key: &str, name: &str) -> bool {
        // Asked first: what only a later host recorded is no wrong of this one.
        let recorded = self.store.is_recorded(idempotency_key);
        if self.dead.load(Ordering::SeqCst) {
            return false;
        }
        if recorded {
            let wrong = format!("{name} {idempotency_key}");
            self.wrongs.lock().unwrap_or_else(PoisonError::into_inner).push(wrong);
        }
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).push(idempotency_key.to_owned());
        true
    }
}

impl Executor for Watchful {
    fn orchestrate(&self, run: OrchestratorRun) -> BoxFuture<'static, RunEnd> {
        executor().orchestrate(run)
    }

    fn run_activity(&self, run: ActivityRun) -> BoxFuture<'static, Result<Outcome, HostFault>> {
        if !self.begins(&run.idempotency_key, &run.name) {
            return Box::pin(std::future::pending());
        }
        executor().run_activity(run)
    }

    fn run_function(&self, run: FunctionRun, call: FunctionCall) -> BoxFuture<'static, FunctionEnd> {
        executor().run_function(run, call)
    }

    fn call_http(&self, run: HttpRun) -> BoxFuture<'static, HttpEnd> {
        if !self.begins(&run.idempotency_key, "an HTTP call") {
            return Box::pin(std::future::pending());
        }
        executor().call_http(run)
    }

    fn admit(&self, component: Bytes) -> BoxFuture<'_, Result<AppVersion, AdmitError>> {
        Box::pin(async move { executor().admit(component).await })
    }
}

/// See the module.
pub struct World {
    /// What is durable.
    pub store: Arc<WatchedStore>,
    /// The time.
    pub clock: ManualClock,
    /// The host of now.
    pub host: Host,
    dying: Arc<DyingStore>,
    executor: Arc<Watchful>,
    settings: Settings,
    lives: VecDeque<usize>,
    wrongs: Arc<Mutex<Vec<String>>>,
    runs: Runs,
    /// Every so many looks the guests in memory are dropped; 0: never.
    evict_every: usize,
    looks: usize,
}

impl World {
    /// A world with an app. `lives`: how many commits each host lives to see; those after the last one live on.
    pub async fn new(app: &str, component: Bytes, lives: &[usize]) -> Self {
        Self::on(Arc::new(MemoryStore::default()), (app, component), lives).await
    }

    /// The same on this store.
    pub async fn on(store: SharedStore, app: (&str, Bytes), lives: &[usize]) -> Self {
        Self::with(store, app, (lives, Duration::ZERO)).await
    }

    /// A world whose orchestrations run as far ahead of their commits as they can.
    pub async fn ahead(app: &str, component: Bytes, lives: &[usize]) -> Self {
        Self::with(Arc::new(MemoryStore::default()), (app, component), (lives, PATIENCE)).await
    }

    async fn with(
        store: SharedStore,
        (app, component): (&str, Bytes),
        (lives, run_ahead): (&[usize], Duration),
    ) -> Self {
        let deploying = Host::on(Arc::clone(&store)).await;
        deploying.deploy(app, component).await;
        // Its clock is another one: it must not fire timers of this world.
        deploying.engine.stop();
        // Patience enough that a start and its first episode always share a commit.
        let settings = Settings { start_patience: Duration::from_secs(30), run_ahead, ..Settings::default() };
        let (clock, mut lives) = (ManualClock::new(), lives.iter().copied().collect::<VecDeque<_>>());
        let (wrongs, runs) = (Arc::default(), Arc::default());
        let store = WatchedStore::new(store);
        let dying = DyingStore::new(store.clone(), lives.pop_front().unwrap_or(usize::MAX));
        let executor = watchful(&store, &wrongs, &runs);
        let host = Host::running(dying.clone(), executor.clone(), (settings.clone(), clock.clock())).await;
        Self { store, clock, host, dying, executor, settings, lives, wrongs, runs, evict_every: 0, looks: 0 }
    }

    /// Drops the guests in memory at every so many looks.
    #[must_use]
    pub fn evicting(mut self, every: usize) -> Self {
        self.evict_every = every;
        self
    }

    /// How many commits and answers of messages became durable.
    #[must_use]
    pub fn writes(&self) -> usize {
        self.store.writes()
    }

    /// The idempotency keys of the activities that were begun, in their order.
    #[must_use]
    pub fn runs(&self) -> Vec<String> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A dead host is replaced by a new one.
    pub async fn mourn(&mut self) {
        if !self.dying.is_dead() {
            return;
        }
        self.host.engine.stop();
        self.executor.dead.store(true, Ordering::SeqCst);
        self.dying = DyingStore::new(self.store.clone(), self.lives.pop_front().unwrap_or(usize::MAX));
        self.executor = watchful(&self.store, &self.wrongs, &self.runs);
        let choices = (self.settings.clone(), self.clock.clock());
        self.host = Host::running(self.dying.clone(), self.executor.clone(), choices).await;
    }

    /// A request, made again of the next host if this one died over it.
    pub async fn request(&mut self, method: &str, path: &str, body: &str) -> Answer {
        loop {
            self.mourn().await;
            let answer = self.host.send(method, path, body.to_owned()).await;
            if answer.status.as_u16() < 500 || !self.dying.is_dead() {
                return answer;
            }
        }
    }

    /// Starts an instance of a function.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn start(&mut self, function: &str, id: &str, input: &Value) {
        let path = format!("/runtime/webhooks/durabletask/orchestrators/{function}/{id}");
        let answer = self.request("POST", &path, &input.to_string()).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
    }

    /// `POST …/instances/{path}`; the status code.
    pub async fn post(&mut self, path: &str, body: &str) -> u16 {
        self.request("POST", &format!("/runtime/webhooks/durabletask/instances/{path}"), body).await.status.as_u16()
    }

    /// Waits until nothing happens before the time or somebody outside moves.
    ///
    /// # Panics
    /// When that does not come, or something ran again whose outcome was recorded.
    pub async fn settle(&mut self) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !self.store.is_quiet(self.clock.now()).await {
            self.mourn().await;
            self.looks += 1;
            if self.evict_every > 0 && self.looks.is_multiple_of(self.evict_every) {
                self.host.engine.evict_all();
            }
            assert!(tokio::time::Instant::now() < deadline, "it never settles: {}", self.unsettled().await);
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        self.mourn().await;
        let wrongs = self.wrongs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert!(wrongs.is_empty(), "ran again although their outcomes were recorded: {wrongs:?}");
    }

    /// Moves the time to the next timer and waits until all is quiet again. False: there is no timer.
    pub async fn next_moment(&mut self) -> bool {
        let Some(due) = self.store.next_timer().await else { return false };
        self.move_to(due).await;
        true
    }

    /// Moves the time and waits until all is quiet again.
    pub async fn move_to(&mut self, time: Timestamp) {
        self.clock.set(time);
        self.host.engine.clock_moved();
        self.settle().await;
    }

    /// Lets the time run until no timer is left.
    pub async fn run_out(&mut self) {
        self.settle().await;
        while self.next_moment().await {}
    }

    /// The status of an instance, with its history.
    pub async fn status(&mut self, id: &str) -> Value {
        self.mourn().await;
        self.host.status(id).await
    }

    async fn unsettled(&self) -> String {
        let store = self.store.clone() as SharedStore;
        let (ready, mail) = (store.ready(None, 10).await, store.mail(None, 10).await);
        format!("ready {ready:?}, mail {mail:?}, timers {:?}", store.timers(self.clock.now(), 10).await)
    }
}

fn watchful(store: &Arc<WatchedStore>, wrongs: &Arc<Mutex<Vec<String>>>, runs: &Runs) -> Arc<Watchful> {
    let dead = AtomicBool::new(false);
    Arc::new(Watchful { store: store.clone(), dead, wrongs: Arc::clone(wrongs), runs: Arc::clone(runs) })
}

/// A status in which everything that differs between two runs of the same is gone: ids that the host draws. Texts of
/// 32 hex digits become `<id>`.
#[must_use]
pub fn without_ids(status: &Value) -> Value {
    match status {
        Value::String(text) => Value::String(blank_ids(text)),
        Value::Array(items) => items.iter().map(without_ids).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), without_ids(value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => status.clone(),
    }
}

fn blank_ids(text: &str) -> String {
    let mut out = String::new();
    let mut run = String::new();
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_digit() || ('a'..='f').contains(&c) {
            run.push(c);
            continue;
        }
        out.push_str(if run.len() == 32 { "<id>" } else { &run });
        run.clear();
        out.push(c);
    }
    out.pop();
    out
}
