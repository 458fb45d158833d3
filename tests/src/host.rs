//! A host in the test's process, spoken to through its real router.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, Response, StatusCode};
use durawasm_core::model::Outcome;
use durawasm_host::api::{ApiSettings, ApiState, EngineSlot};
use durawasm_host::engine::executor::{
    ActivityRun, AdmitError, Executor, FunctionCall, FunctionEnd, FunctionRun, HostFault, OrchestratorRun, RunEnd,
};
use durawasm_host::engine::http::{HttpEnd, HttpRun};
use durawasm_host::engine::{Clock, Engine, Settings, Waited, system_clock};
use durawasm_host::net::egress::Egress;
use durawasm_host::net::rules::{Rule, Rules};
use durawasm_host::store::memory::MemoryStore;
use durawasm_host::store::{AppVersion, BoxFuture, Digest, HubName, SharedStore};
use durawasm_host::wasm::{Config, WasmExecutor};
use serde_json::Value;
use tower::ServiceExt;

/// How long a test waits for what should take milliseconds.
const PATIENCE: Duration = Duration::from_secs(300);

/// An answer of the router.
#[derive(Debug)]
pub struct Answer {
    /// The status line's number.
    pub status: StatusCode,
    /// All headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(json) => json,
            Err(error) => panic!("{error}: {}", self.text()),
        }
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// See the module.
pub struct Host {
    /// The engine behind the router.
    pub engine: Engine,
    router: Router,
}

/// The executor that all tests of a run share. What one of them needs no more another one may need.
struct Shared(Arc<WasmExecutor>);

impl Executor for Shared {
    fn orchestrate(&self, run: OrchestratorRun) -> BoxFuture<'static, RunEnd> {
        self.0.orchestrate(run)
    }

    fn run_activity(&self, run: ActivityRun) -> BoxFuture<'static, Result<Outcome, HostFault>> {
        self.0.run_activity(run)
    }

    fn run_function(&self, run: FunctionRun, call: FunctionCall) -> BoxFuture<'static, FunctionEnd> {
        self.0.run_function(run, call)
    }

    fn call_http(&self, run: HttpRun) -> BoxFuture<'static, HttpEnd> {
        self.0.call_http(run)
    }

    fn admit(&self, component: Bytes) -> BoxFuture<'_, Result<AppVersion, AdmitError>> {
        self.0.admit(component)
    }

    fn components(&self) -> BoxFuture<'_, Result<Vec<(Digest, PathBuf)>, HostFault>> {
        self.0.components()
    }
}

/// An executor that several hosts share: what one of them needs no more is kept for the others.
#[must_use]
pub fn shared(executor: WasmExecutor) -> Arc<dyn Executor> {
    Arc::new(Shared(Arc::new(executor)))
}

/// One executor for all tests of a run: each component is compiled once, and kept until the run ends.
#[must_use]
pub fn executor() -> Arc<dyn Executor> {
    static EXECUTOR: OnceLock<Arc<WasmExecutor>> = OnceLock::new();
    let executor = EXECUTOR.get_or_init(|| {
        remove_remains();
        let folder = std::env::temp_dir().join(format!("{FOLDER}{}", std::process::id()));
        match WasmExecutor::new(Config::new(folder, egress(&["127.0.0.1", "localhost"], None))) {
            Ok(executor) => Arc::new(executor),
            Err(error) => panic!("no executor: {error}"),
        }
    });
    Arc::new(Shared(Arc::clone(executor)))
}

/// What the folder of a run's components is called, before the number of its process.
const FOLDER: &str = "durawasm-e2e-";

/// Removes what runs that have ended have left: what is kept until a process ends, nobody drops.
fn remove_remains() {
    let processes = Path::new("/proc");
    let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten().filter(|_| processes.join("self").exists()) {
        let name = entry.file_name();
        let Some(process) = name.to_str().and_then(|name| name.strip_prefix(FOLDER)) else { continue };
        if process.parse::<u32>().is_ok() && !processes.join(process).exists() {
            // Another run may be about it, too.
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

/// A way out under these rules.
///
/// # Panics
/// When they cannot be read, or the file with authorities.
#[must_use]
pub fn egress(rules: &[&str], authorities: Option<&Path>) -> Arc<Egress> {
    let rules: Result<Vec<Rule>, _> = rules.iter().map(|rule| rule.parse()).collect();
    let rules = rules.unwrap_or_else(|error| panic!("{error}"));
    Arc::new(Egress::new(Rules::new(rules), authorities).unwrap_or_else(|error| panic!("{error}")))
}

impl Host {
    /// A host on a store in memory, with the system's clock.
    pub async fn new() -> Self {
        Self::on(Arc::new(MemoryStore::default())).await
    }

    /// A host on this store.
    pub async fn on(store: SharedStore) -> Self {
        Self::with(store, Settings::default(), system_clock()).await
    }

    /// A host with all choices made by the test.
    ///
    /// # Panics
    /// When the store does not open.
    pub async fn with(store: SharedStore, settings: Settings, clock: Clock) -> Self {
        Self::running(store, executor(), (settings, clock)).await
    }

    /// The same with an executor of the test's own.
    ///
    /// # Panics
    /// When the store does not open.
    pub async fn running(
        store: SharedStore,
        executor: Arc<dyn Executor>,
        (settings, clock): (Settings, Clock),
    ) -> Self {
        let engine = match Engine::open(store, executor, settings, clock).await {
            Ok(engine) => engine,
            Err(error) => panic!("the engine does not open: {error}"),
        };
        let router = Self::router(&engine, ApiSettings::new("http://localhost:7071"));
        Self { engine, router }
    }

    /// The same engine behind a surface with other settings.
    #[must_use]
    pub fn behind(&self, settings: ApiSettings) -> Self {
        Self { engine: self.engine.clone(), router: Self::router(&self.engine, settings) }
    }

    fn router(engine: &Engine, settings: ApiSettings) -> Router {
        let slot = EngineSlot::new();
        slot.set(engine.clone());
        let state = ApiState::new(slot, settings);
        engine.set_outside(state.outside());
        durawasm_host::api::router(state)
    }

    /// Sends a request and reads its whole answer.
    ///
    /// # Panics
    /// When the request cannot be made.
    pub async fn send(&self, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        self.send_adding(method, path, &[], body).await
    }

    /// The same with further headers.
    ///
    /// # Panics
    /// When the request cannot be made.
    pub async fn send_adding(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let kind = if method == "PUT" { "application/wasm" } else { "application/json" };
        let all = [&[("host", "localhost:7071"), ("content-type", kind)], headers].concat();
        self.send_with(method, path, &all, body).await
    }

    /// Sends a request with these headers and no others, and reads its whole answer.
    ///
    /// # Panics
    /// When the request cannot be made.
    pub async fn send_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let (parts, body) = self.begin(method, path, headers, body).await.into_parts();
        let body = axum::body::to_bytes(body, 1 << 30).await.unwrap_or_default();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// The same; the answer's body is still to be read.
    ///
    /// # Panics
    /// When the request cannot be made.
    pub async fn begin(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into());
        let request = request.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// Deploys a component to the default hub.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn deploy(&self, app: &str, component: Bytes) -> Value {
        let answer = self.send("PUT", &format!("/admin/hubs/default/apps/{app}"), component).await;
        assert!(answer.status.is_success(), "{}: {}", answer.status, answer.text());
        answer.json()
    }

    /// Starts an orchestration and returns its id.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn start(&self, function: &str, input: Value) -> String {
        let path = format!("/runtime/webhooks/durabletask/orchestrators/{function}");
        let answer = self.send("POST", &path, input.to_string()).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text());
        answer.json()["id"].as_str().unwrap_or_default().to_owned()
    }

    /// The status of an instance, with its history.
    pub async fn status(&self, id: &str) -> Value {
        self.detailed(id).await.json()
    }

    /// What the status route answers when it is asked for the history too.
    async fn detailed(&self, id: &str) -> Answer {
        let query = "showHistory=true&showHistoryOutput=true";
        let id = id.replace(' ', "%20");
        self.send("GET", &format!("/runtime/webhooks/durabletask/instances/{id}?{query}"), "").await
    }

    /// The status of an instance once it has ended.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn ended(&self, id: &str) -> Value {
        let hub: HubName = "default".into();
        match self.engine.wait(&hub, id, PATIENCE).await {
            Ok(Waited::Completed(_) | Waited::Ended(_)) => self.status(id).await,
            Ok(other) => panic!("{id} has not ended: {other:?} {}", self.status(id).await),
            Err(error) => panic!("{id}: {error}"),
        }
    }

    /// Starts an orchestration and returns its status once it has ended.
    pub async fn run(&self, function: &str, input: Value) -> Value {
        let id = self.start(function, input).await;
        self.ended(&id).await
    }

    /// Waits until a condition on an instance's status holds, without a fixed pause deciding anything. An
    /// instance that does not exist yet (a child of one that has just been started, say) has the status null.
    ///
    /// # Panics
    /// When it never holds.
    pub async fn until(&self, id: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let answer = self.detailed(id).await;
            let status = if answer.status == StatusCode::NOT_FOUND { Value::Null } else { answer.json() };
            if holds(&status) {
                return status;
            }
            assert!(tokio::time::Instant::now() < deadline, "{id} never came to '{what}': {status}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
