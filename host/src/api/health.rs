//! `/healthz`: the process serves. `/readyz`: it serves all it should.

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::slot::EngineSlot;
use super::wire;

/// 200 from the first moment on, also while the store opens.
pub(super) fn healthz() -> Response {
    wire::json(StatusCode::OK, &json!({"status": "ok"}))
}

/// 200 once everything that had work in flight has been taken up again; before, 503 with what is missing.
pub(super) fn readyz(engine: &EngineSlot) -> Response {
    let missing = match engine.get() {
        None => "the store is being opened",
        Some(engine) if !engine.is_ready() => "instances with work in flight are being recovered",
        Some(_) => return wire::json(StatusCode::OK, &json!({"status": "ready"})),
    };
    wire::json(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "starting", "missing": [missing]}))
}
