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

/// 200 once everything that had work in flight has been taken up again; before, 503 with what is missing. 503 again
/// when the store has stopped for good, with the reason.
pub(super) fn readyz(engine: &EngineSlot) -> Response {
    let (status, missing) = match engine.get() {
        None => ("starting", "the store is being opened".to_owned()),
        Some(engine) => match engine.store_failed() {
            Some(reason) => ("failed", format!("the store has stopped: {reason}")),
            None if !engine.is_ready() => ("starting", "instances with work in flight are being recovered".to_owned()),
            None => return wire::json(StatusCode::OK, &json!({"status": "ready"})),
        },
    };
    wire::json(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": status, "missing": [missing]}))
}
