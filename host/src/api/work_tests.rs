//! Through the real router: who pays for a request, and on which threads it is worked at. The executor does what the
//! deployed bytes say.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use durawasm_core::model::Outcome;
use tokio::sync::mpsc;
use tower::ServiceExt;

use super::*;
use crate::engine::executor::{
    ActivityRun, AdmitError, Executor, FunctionCall, FunctionEnd, FunctionRun, HostFault, OrchestratorRun, RunEnd,
};
use crate::engine::http::{HttpEnd, HttpRun};
use crate::engine::{Payer, Settings, system_clock};
use crate::store::AppVersion;
use crate::store::memory::MemoryStore;

struct Obedient(mpsc::UnboundedSender<&'static str>);

/// Tells when it is dropped.
struct Dropped(mpsc::UnboundedSender<&'static str>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _told = self.0.send("stopped");
    }
}

fn none(what: &str) -> HostFault {
    HostFault::Broken(format!("no {what} here"))
}

impl Executor for Obedient {
    fn orchestrate(&self, _: OrchestratorRun) -> BoxFuture<'static, RunEnd> {
        Box::pin(async { RunEnd::Host(none("orchestrators")) })
    }

    fn run_activity(&self, _: ActivityRun) -> BoxFuture<'static, Result<Outcome, HostFault>> {
        Box::pin(async { Err(none("activities")) })
    }

    fn run_function(&self, _: FunctionRun, _: FunctionCall) -> BoxFuture<'static, FunctionEnd> {
        Box::pin(async { Err(none("functions")) })
    }

    fn call_http(&self, run: HttpRun) -> BoxFuture<'static, HttpEnd> {
        panic!("nobody calls {run:?}")
    }

    fn admit(&self, component: Bytes) -> BoxFuture<'_, Result<AppVersion, AdmitError>> {
        let told = self.0.clone();
        Box::pin(async move {
            match &component[..] {
                b"say where" => Err(AdmitError::Refused(std::thread::current().name().unwrap_or_default().to_owned())),
                b"wait" => {
                    let _dropped = Dropped(told.clone());
                    let _told = told.send("begun");
                    std::future::pending().await
                }
                other => panic!("as told: {other:?}"),
            }
        })
    }
}

struct World {
    engine: Engine,
    router: Router,
    hub: Payer,
    told: mpsc::UnboundedReceiver<&'static str>,
}

impl World {
    async fn new() -> Self {
        let (telling, told) = mpsc::unbounded_channel();
        let settings = Settings { heavy_threads: Some(1), ..Settings::default() };
        let store = Arc::new(MemoryStore::default());
        let engine = Engine::open(store, Arc::new(Obedient(telling)), settings, system_clock()).await.unwrap();
        let slot = EngineSlot::new();
        slot.set(engine.clone());
        let router = router(ApiState::new(slot, ApiSettings::new("http://localhost:7071")));
        let hub = engine.payer(&DEFAULT_HUB.into());
        Self { engine, router, hub, told }
    }

    /// For one that asks on a task of its own.
    fn asking(&self) -> Self {
        let Self { engine, router, hub, .. } = self;
        let told = mpsc::unbounded_channel().1;
        Self { engine: engine.clone(), router: router.clone(), hub: hub.clone(), told }
    }

    async fn send(&self, method: &str, path: &str, body: &'static str) -> Response {
        let request = axum::http::Request::builder().method(method).uri(path).header("host", "localhost:7071");
        let request = request.header("content-type", "application/wasm").header("accept-encoding", "gzip");
        self.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap()
    }

    async fn deploy(&self, body: &'static str) -> (StatusCode, String) {
        let answer = self.send("PUT", "/admin/hubs/default/apps/app", body).await;
        let (head, body) = answer.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        (head.status, String::from_utf8(body.to_vec()).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_heavy_hubs_are_worked_at_by_the_threads_for_those() {
    let world = World::new().await;
    for is_heavy in [false, true, false, true] {
        world.hub.mark(is_heavy);
        let (status, text) = world.deploy("say where").await;
        assert_eq!((status, text.contains("heavy-hubs")), (StatusCode::BAD_REQUEST, is_heavy), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_answered_on_either_side() {
    let world = World::new().await;
    for is_heavy in [false, true] {
        world.hub.mark(is_heavy);
        assert_eq!(world.deploy("panic").await.0, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(world.deploy("say where").await.0, StatusCode::BAD_REQUEST, "the next one is served");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_nobody_waits_for_is_stopped_on_either_side() {
    let mut world = World::new().await;
    // The last one is carried over while it waits.
    for (is_heavy, becomes_heavy) in [(false, false), (true, true), (false, true)] {
        world.hub.mark(is_heavy);
        let asking = world.asking();
        let asked = tokio::spawn(async move { asking.deploy("wait").await });
        assert_eq!(world.told.recv().await, Some("begun"));
        world.hub.mark(becomes_heavy);
        asked.abort();
        assert_eq!(world.told.recv().await, Some("stopped"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_pays_for_its_requests_and_their_answers() {
    let world = World::new().await;
    for path in ["/durabletask/instances", "/admin/hubs/default/apps", "/durabletask/instances/nobody"] {
        let before = world.engine.payer(&DEFAULT_HUB.into()).spent();
        // A look may come in between and count a little less.
        let mut asked = 0;
        while world.hub.spent() <= before {
            assert!(asked < 1_000, "{path}");
            drop(world.send("GET", path, "").await);
            asked += 1;
        }
    }
    let large = || Response::new(Body::from("x".repeat(1 << 20)));
    let pays = |response| layers::to_be_paid(response, || world.hub.clone());
    for (answer, is_paid) in [(pays(large()), true), (pays(Response::new(Body::from("short"))), false)] {
        assert_eq!(answer.extensions().get::<Payer>().is_some(), is_paid);
        let answer = layers::paid(answer);
        assert!(answer.extensions().get::<Payer>().is_none());
        let bytes = axum::body::to_bytes(answer.into_body(), 2 << 20).await.unwrap();
        assert_eq!(bytes.len(), if is_paid { 1 << 20 } else { 5 });
    }
}

/// What only the admin key opens is not at a hub's expense: whoever runs the server can always get at it.
#[tokio::test(flavor = "multi_thread")]
async fn the_administration_waits_for_nobody() {
    let world = World::new().await;
    world.hub.mark(true);
    assert_eq!(world.send("GET", "/admin/hubs", "").await.status(), StatusCode::OK);
    assert_eq!(world.hub.spent(), 0);
}
