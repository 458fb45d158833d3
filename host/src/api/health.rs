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
    /// `ok`, `ready`, `starting`, `stalled` (the disk does not answer) or `failed`.
    status: &'static str,
    /// What is still to be done, or why nothing can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<[String; 1]>,
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
        (status = 503, description = "`missing` says what is still to be done, or why nothing can be. `stalled`: the disk \
            does not answer; it is ready again when the disk goes on. `failed`: the process has to be started again.", body = Health),
    ),
)]
// 200 once everything that had work in flight has been taken up again; before, 503 with what is missing. 503 again when the
// store has stopped for good, with the reason, and while the disk leaves a write unanswered.
pub(super) fn readyz(engine: &EngineSlot) -> Response {
    let (status, missing) = match engine.get() {
        None => ("starting", "the store is being opened".to_owned()),
        Some(engine) => match engine.store_failed() {
            Some(reason) => ("failed", format!("the store has stopped: {reason}")),
            None if let Some(stall) = engine.store_stalled() => {
                ("stalled", format!("{stall}; what is to be written waits"))
            }
            None if !engine.is_ready() => ("starting", "instances with work in flight are being recovered".to_owned()),
            None => return wire::json(StatusCode::OK, &Health { status: "ready", missing: None }),
        },
    };
    wire::json(StatusCode::SERVICE_UNAVAILABLE, &Health { status, missing: Some([missing]) })
}
