//! The HTTP surface: the management API on its three bases, the administration of apps, and health.
//!
//! `route.rs` is the table of contents: every path and verb the server answers. Everything else is 404 with an empty
//! body. A request passes, in this order: the host check, the table, the key, the engine's readiness, its handler.

mod again;
mod apps;
mod backup;
mod binding;
mod body;
mod codes;
mod docs;
mod error;
mod functions;
mod guard;
mod health;
mod history;
mod layers;
mod links;
mod list;
mod messages;
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
mod wire;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use tower::util::option_layer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;

use crate::engine::Engine;
use crate::store::HubName;

use error::ApiError;
use query::Query;
use route::{Base, Matched, Op};

pub(crate) use links::encode;
pub(crate) use query::moment;
pub use slot::{EngineSlot, Stopping};

/// The largest JSON body, in bytes: 4 MiB, the limit of one payload.
pub const PAYLOAD_LIMIT: usize = 4 << 20;
/// The largest component, in bytes: a Python component with its interpreter has about 21 MB; this leaves room.
pub const COMPONENT_LIMIT: usize = 64 << 20;
/// The hub that always exists.
pub const DEFAULT_HUB: &str = "default";

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
    stopping: Stopping,
}

impl ApiState {
    /// A state whose engine is still to come.
    #[must_use]
    pub fn new(engine: EngineSlot, settings: ApiSettings) -> Self {
        let codes = settings.admin_key.as_deref().map(codes::Codes::of_key);
        Self { engine, settings: Arc::new(settings), codes, stopping: Stopping::never() }
    }

    /// The same, in a server that tells when it is to stop.
    #[must_use]
    pub fn stopping(self, stopping: Stopping) -> Self {
        Self { stopping, ..self }
    }
}

/// A request that has passed the guards, on its way to its handler.
struct Call {
    engine: Engine,
    settings: Arc<ApiSettings>,
    codes: Option<codes::Codes>,
    stopping: Stopping,
    hub: HubName,
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
        .layer(option_layer(cors))
        // Only method and path: the query may hold a key.
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(|request: &Request| {
                    tracing::debug_span!("http", method = %request.method(), path = layers::logged(request))
                })
                // What went wrong has been logged where it did; a 503 while the store opens is no fault, nor is a 500
                // that was asked for.
                .on_failure(()),
        )
}

async fn serve(State(state): State<ApiState>, request: Request) -> Response {
    match answer(state, request).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn answer(state: ApiState, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    guard::check_host(&state.settings, &parts)?;
    let Some(found) = route::find(&parts.method, parts.uri.path()) else {
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
        | Op::PutApp
        | Op::GetApp
        | Op::Binding
        | Op::Backup
        | Op::CallManual => {}
    }
    guard::check_base(&state.settings, &found, &parts)?;
    guard::check_key((&state.settings, state.codes.as_ref()), &found, &query, &parts)?;
    let engine = state.engine.get().ok_or(ApiError::Opening)?;
    let hub = guard::hub(&found, &query)?;
    let Matched { base, op, params, .. } = found;
    let ApiState { settings, codes, stopping, .. } = state;
    let call = Call { engine, settings, codes, stopping, hub, params, query, parts, body };
    dispatch(base, op, call).await
}

async fn dispatch(base: Base, op: Op, call: Call) -> Result<Response, ApiError> {
    match op {
        Op::Start => start::start(base, call).await,
        Op::Status => status::status(call).await,
        Op::List => list::list(base, call).await,
        Op::Purge => purge::one(call).await,
        Op::PurgeMany => purge::many(call).await,
        Op::Statistics => list::statistics(call).await,
        Op::RaiseEvent => messages::raise_event(call).await,
        Op::Terminate => messages::terminate(call).await,
        Op::Suspend => messages::suspend(call).await,
        Op::Resume => messages::resume(call).await,
        Op::Rewind => again::rewind(call).await,
        Op::Restart => again::restart(base, call).await,
        Op::PutApp => apps::put(call).await,
        Op::GetApp => apps::get(&call),
        Op::Binding => Ok(binding::get(&call)),
        Op::Backup => backup::get(&call),
        Op::CallManual => functions::manual(call).await,
        Op::Health | Op::Ready | Op::OpenApi | Op::Docs | Op::DocsFile => Err(ApiError::NoSuchRoute),
    }
}

#[cfg(test)]
mod tests;
