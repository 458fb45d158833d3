//! `/healthz`: the process serves. `/readyz`: it serves all it should.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::slot::EngineSlot;
use super::wire;

/// How the server is.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`, `ready` or `starting`.
    status: &'static str,
    /// What is still to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<[&'static str; 1]>,
}

/// Whether the process serves.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "healthz",
    tag = "server",
    responses((status = 200, description = "It does.", body = Health)),
)]
// 200 from the first moment on, also while the store opens.
pub(super) fn healthz() -> Response {
    wire::json(StatusCode::OK, &Health { status: "ok", missing: None })
}

/// Whether it serves all it should.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readyz",
    tag = "server",
    responses(
        (status = 200, description = "Everything that had work in flight has been taken up again.", body = Health),
        (status = 503, description = "`missing` says what is still to be done.", body = Health),
    ),
)]
// 200 once everything that had work in flight has been taken up again; before, 503 with what is missing.
pub(super) fn readyz(engine: &EngineSlot) -> Response {
    let missing = match engine.get() {
        None => "the store is being opened",
        Some(engine) if !engine.is_ready() => "instances with work in flight are being recovered",
        Some(_) => return wire::json(StatusCode::OK, &Health { status: "ready", missing: None }),
    };
    wire::json(StatusCode::SERVICE_UNAVAILABLE, &Health { status: "starting", missing: Some([missing]) })
}
