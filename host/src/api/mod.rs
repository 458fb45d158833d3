//! The HTTP surface: the management API on its three bases, the administration of apps, and health.
//!
//! `route.rs` is the table of contents: every path and verb the server answers. Everything else is 404 with an empty
//! body. A request passes, in this order: the host check, the table, the key, the engine's readiness, its handler.

mod again;
mod apps;
mod attempts;
mod backup;
mod binding;
mod body;
mod codes;
mod config;
mod docs;
mod error;
mod functions;
mod guard;
mod health;
mod history;
mod hub_file;
mod hub_keys;
mod hub_usage;
mod hubs;
mod keys;
mod layers;
mod links;
mod list;
mod logs;
mod messages;
mod metrics;
mod moves;
mod openapi;
mod outside;
mod purge;
mod query;
mod route;
mod schema;
mod slot;
mod start;
mod status;
mod trace;
mod versions;
mod wire;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use tower::util::{MapResponseLayer, option_layer};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;

pub use crate::engine::DEFAULT_HUB;
use crate::engine::Engine;
use crate::store::{BoxFuture, HttpTrigger, HubName, HubRecord};

use error::ApiError;
use guard::{Admitted, Locks};
use query::Query;
use route::{Base, Matched, Need, Op};

pub(crate) use attempts::Peer;
pub(crate) use config::days_or_duration;
pub(crate) use links::encode;
pub(crate) use query::moment;
pub use slot::{EngineSlot, Stopping};

/// The largest JSON body, in bytes: 4 MiB, the limit of one payload.
pub const PAYLOAD_LIMIT: usize = 4 << 20;
/// The largest component, in bytes: a Python component with its interpreter has about 21 MB; this leaves room.
pub const COMPONENT_LIMIT: usize = 64 << 20;

/// What the operator decides about the surface.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// `scheme://host:port` of this server as seen from outside, without a trailing slash: the origin of links when a
    /// request names none (http-api.md 10).
    pub public_url: String,
    /// Believe `X-Forwarded-Host` and `X-Forwarded-Proto`: only behind a proxy that sets them itself.
    pub trust_proxy: bool,
    /// The key that opens everything. None: the server is keyless and answers loopback names only.
    pub admin_key: Option<String>,
    /// The largest JSON body, in bytes.
    pub payload_limit: usize,
    /// What the paths of HTTP functions begin with, without slashes at its ends; may be empty.
    pub route_prefix: String,
    /// The largest component, in bytes.
    pub component_limit: usize,
    /// The origins (`https://ui.example`) whose web pages may use this server; `*` is all of them.
    pub cors_origins: Vec<String>,
}

impl ApiSettings {
    /// The defaults for a server whose own address is `public_url`.
    #[must_use]
    pub fn new(public_url: impl Into<String>) -> Self {
        Self {
            public_url: public_url.into().trim_end_matches('/').to_owned(),
            trust_proxy: false,
            admin_key: None,
            payload_limit: PAYLOAD_LIMIT,
            route_prefix: "api".to_owned(),
            component_limit: COMPONENT_LIMIT,
            cors_origins: Vec::new(),
        }
    }
}

/// What every handler shares. Cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    /// The engine, once it is open.
    pub engine: EngineSlot,
    /// See [`ApiSettings`].
    pub settings: Arc<ApiSettings>,
    /// None: the server is keyless.
    codes: Option<codes::Codes>,
    attempts: Arc<attempts::Attempts>,
    meters: Arc<metrics::HttpMeters>,
    stopping: Stopping,
}

impl ApiState {
    /// A state whose engine is still to come.
    #[must_use]
    pub fn new(engine: EngineSlot, settings: ApiSettings) -> Self {
        let codes = settings.admin_key.as_deref().map(codes::Codes::of_key);
        Self {
            engine,
            settings: Arc::new(settings),
            codes,
            attempts: Arc::default(),
            meters: Arc::default(),
            stopping: Stopping::never(),
        }
    }

    /// Where an HTTP function is called, with the code that opens it if it needs one. `{…}` are as in its route.
    #[must_use]
    pub fn invoke_url(&self, origin: &str, hub: &HubRecord, function: (&str, &HttpTrigger)) -> String {
        let mint = self.codes.as_ref().map(|codes| codes.mint(hub, None));
        functions::invoke_url((&self.settings, mint.as_ref()), origin, hub, function)
    }

    /// The same, in a server that tells when it is to stop.
    #[must_use]
    pub fn stopping(self, stopping: Stopping) -> Self {
        Self { stopping, ..self }
    }

    /// Lets a request in whose key opens what it is for, as `judge` says. A server without a key lets all in. What is wrong
    /// is counted and logged; a peer with too many wrong keys is not answered whether one is right.
    fn unlock(
        &self,
        (parts, brings_key): (&Parts, bool),
        judge: impl FnOnce(&Locks<'_>) -> Result<Admitted, ApiError>,
    ) -> Result<Admitted, ApiError> {
        let (Some(admin_key), Some(codes)) = (&self.settings.admin_key, &self.codes) else {
            return Ok(Admitted::NOBODY);
        };
        let (peer, now) = (attempts::peer(parts, self.settings.trust_proxy), Instant::now());
        if let Some(wait) = self.attempts.wait(peer, now).filter(|_| brings_key) {
            return Err(ApiError::TooManyAttempts { wait });
        }
        let engine = self.engine.get();
        let judged = judge(&Locks { admin_key, codes, engine: engine.as_ref() });
        if brings_key && matches!(judged, Err(ApiError::Unauthorized)) {
            self.attempts.failed(peer, now);
            tracing::warn!(%peer, path = layers::logged(parts.uri.path()), "a wrong key was refused");
        }
        judged
    }
}

/// A request that has passed the guards, on its way to its handler.
struct Call {
    engine: Engine,
    settings: Arc<ApiSettings>,
    /// Mints codes of the hub in the name of whoever asks; none: the server is keyless.
    mint: Option<codes::Mint>,
    stopping: Stopping,
    hub: HubName,
    /// The hub as it was when the request came.
    record: Arc<HubRecord>,
    /// The path's parameters, decoded, in order.
    params: Vec<String>,
    query: Query,
    parts: Parts,
    body: axum::body::Body,
}

impl Call {
    /// The path's parameter at `index`; empty if the path has fewer.
    fn param(&self, index: usize) -> &str {
        self.params.get(index).map_or("", String::as_str)
    }
}

/// The whole surface.
pub fn router(state: ApiState) -> Router {
    let cors = layers::cors(&state.settings);
    Router::new()
        .fallback(any(serve))
        .with_state(state)
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(layers::compression())
        .layer(MapResponseLayer::new(layers::paid))
        .layer(option_layer(cors))
        // Only method and path: the query may hold a key.
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(|request: &Request| {
                    tracing::debug_span!("http", method = %request.method(), path = layers::logged(request.uri().path()))
                })
                // What went wrong has been logged where it did; a 503 while the store opens is no fault, nor is a 500
                // that was asked for.
                .on_failure(()),
        )
}

async fn serve(State(state): State<ApiState>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let found = route::find(&parts.method, parts.uri.path());
    let is_head = found.is_some() && parts.method == Method::HEAD;
    let meters = Arc::clone(&state.meters);
    let timed = meters.begin(found.as_ref().map(|found| found.op));
    let response = answer(state, found, (parts, body)).await.unwrap_or_else(ApiError::into_response);
    timed.ended(response.status());
    if is_head { wire::head_of(response) } else { response }
}

async fn answer(
    state: ApiState,
    found: Option<Matched>,
    (parts, body): (Parts, axum::body::Body),
) -> Result<Response, ApiError> {
    guard::check_host(&state.settings, &parts)?;
    let Some(found) = found else {
        return functions::serve(state, parts, body).await;
    };
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    match found.op {
        Op::Health => return Ok(health::healthz()),
        Op::Ready => return Ok(health::readyz(&state.engine)),
        Op::OpenApi => return Ok(openapi::document()),
        Op::Docs => return docs::page(&parts),
        Op::DocsFile => return docs::file(found.params.first().map_or("", String::as_str)),
        Op::Start
        | Op::Status
        | Op::List
        | Op::Purge
        | Op::PurgeMany
        | Op::Statistics
        | Op::RaiseEvent
        | Op::Terminate
        | Op::Suspend
        | Op::Resume
        | Op::Rewind
        | Op::Restart
        | Op::Logs
        | Op::History
        | Op::Move
        | Op::MoveMany
        | Op::PutApp
        | Op::GetApp
        | Op::ListApps
        | Op::ListVersions
        | Op::Activate
        | Op::DeleteApp
        | Op::ListHubs
        | Op::PutHub
        | Op::GetHub
        | Op::DeleteHub
        | Op::GetConfig
        | Op::PutConfig
        | Op::ListKeys
        | Op::CreateKey
        | Op::RotateKey
        | Op::RevokeKey
        | Op::Usage
        | Op::Binding
        | Op::Backup
        | Op::ExportHub
        | Op::ImportHub
        | Op::CallManual
        | Op::Metrics => {}
    }
    guard::check_base(&state.settings, &found, &parts)?;
    let brings_key = found.token.is_some() || !guard::given(&query, &parts).is_empty();
    let admitted = state.unlock((&parts, brings_key), |locks| locks.admit(&found, &query, &parts))?;
    if found.op == Op::Metrics {
        // Also while the store opens, and after it has failed.
        return Ok(metrics::metrics(&state).await);
    }
    let engine = state.engine.get().ok_or(ApiError::Opening)?;
    let record = guard::hub(&found, &query, &engine)?;
    if found.need != Need::Admin {
        // Whoever runs the server can always get at a hub.
        engine.admit_request(&record.name).map_err(|exceeded| ApiError::Quota(found.base, exceeded))?;
    }
    let Matched { base, op, need, params, .. } = found;
    let ApiState { settings, codes, stopping, .. } = state;
    let mint = codes.map(|codes| codes.mint(&record, admitted.signer));
    let hub = record.name.clone();
    let is_hubs = need != Need::Admin;
    let (its_engine, its_hub) = (engine.clone(), hub.clone());
    let call = Call { engine, settings, mint, stopping, hub, record, params, query, parts, body };
    if is_hubs {
        for_hub(&its_engine, &its_hub, dispatch(base, op, call)).await
    } else {
        dispatch(base, op, call).await
    }
}

/// A request on its way through its handler.
type Handling = BoxFuture<'static, Result<Response, ApiError>>;

/// Does what a hub is asked for: it pays for that, and waits for others while it uses much.
async fn for_hub(engine: &Engine, hub: &HubName, work: Handling) -> Result<Response, ApiError> {
    let done = engine.work_for(hub, work).await;
    let response = done.ok_or_else(|| ApiError::Busy("The server stops. Try again shortly.".to_owned()))??;
    Ok(layers::to_be_paid(response, || engine.payer(hub)))
}

/// Each handler in a box of its own: together they would make every request as large as the largest.
fn dispatch(base: Base, op: Op, call: Call) -> Handling {
    match op {
        Op::Start => Box::pin(start::start(base, call)),
        Op::Status => Box::pin(status::status(call)),
        Op::List => Box::pin(list::list(base, call)),
        Op::Purge => Box::pin(purge::one(call)),
        Op::PurgeMany => Box::pin(purge::many(call)),
        Op::Statistics => Box::pin(list::statistics(call)),
        Op::RaiseEvent => Box::pin(messages::raise_event(call)),
        Op::Terminate => Box::pin(messages::terminate(call)),
        Op::Suspend => Box::pin(messages::suspend(call)),
        Op::Resume => Box::pin(messages::resume(call)),
        Op::Rewind => Box::pin(again::rewind(call)),
        Op::Restart => Box::pin(again::restart(base, call)),
        Op::Logs => Box::pin(logs::logs(call)),
        Op::History => Box::pin(moves::history(call)),
        Op::Move => Box::pin(moves::move_one(call)),
        Op::MoveMany => Box::pin(moves::move_many(call)),
        Op::PutApp => Box::pin(apps::put(call)),
        Op::GetApp => done(apps::get(&call)),
        Op::ListApps => done(Ok(versions::list(&call))),
        Op::ListVersions => Box::pin(versions::versions_of(call)),
        Op::Activate => Box::pin(versions::activate(call)),
        Op::DeleteApp => Box::pin(versions::delete(call)),
        Op::ListHubs => done(Ok(hubs::list(&call))),
        Op::PutHub => Box::pin(hubs::put(call)),
        Op::GetHub => Box::pin(hubs::get(call)),
        Op::Usage => Box::pin(hub_usage::get(call)),
        Op::DeleteHub => Box::pin(hubs::delete(call)),
        Op::GetConfig => done(Ok(config::get(&call))),
        Op::PutConfig => Box::pin(config::put(call)),
        Op::ListKeys => done(Ok(hub_keys::list(&call))),
        Op::CreateKey => Box::pin(hub_keys::create(call)),
        Op::RotateKey => Box::pin(hub_keys::rotate(call)),
        Op::RevokeKey => Box::pin(hub_keys::revoke(call)),
        Op::Binding => done(Ok(binding::get(&call))),
        Op::Backup => Box::pin(backup::get(call)),
        Op::ExportHub => Box::pin(hub_file::export(call)),
        Op::ImportHub => Box::pin(hub_file::import(call)),
        Op::CallManual => Box::pin(functions::manual(call)),
        Op::Health | Op::Ready | Op::Metrics | Op::OpenApi | Op::Docs | Op::DocsFile => {
            done(Err(ApiError::NoSuchRoute))
        }
    }
}

fn done(answer: Result<Response, ApiError>) -> Handling {
    Box::pin(std::future::ready(answer))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod work_tests;
