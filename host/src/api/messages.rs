//! Routes 6, 7 and 8: raise an event, terminate, suspend, resume (http-api.md 8).

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts as Head;
use axum::response::Response;
use durawasm_core::Message;
use durawasm_core::model::check_name;

use super::error::{ApiError, ErrorBody};
use super::{Call, body, wire};
use crate::engine::Parts;

/// Raises an event on an instance.
#[utoipa::path(
    post,
    path = "/runtime/webhooks/durabletask/instances/{id}/raiseEvent/{event}",
    operation_id = "raiseEvent",
    tag = "instances",
    params(
        ("id" = String, Path, description = "The instance."),
        ("event" = String, Path, max_length = 256, description = "The event's name, without control \
            characters; upper and lower case are the same."),
    ),
    request_body(content = Option<serde_json::Value>, content_type = "application/json", description = "What comes with the \
        event: any JSON, at most 4 MiB. None: null."),
    responses(
        (status = 202, description = "Delivered, durably. Empty."),
        (status = 400, description = "The content type is not `application/json`, or the body is not JSON; a bad name.",
            body = ErrorBody),
        (status = 404, description = "No such instance. Empty."),
        (status = 408, description = "The body did not arrive within 30 seconds.", body = ErrorBody),
        (status = 410, description = "The instance has ended. Empty."),
        (status = 413, description = "The body is larger than 4 MiB, or the hub is at its limit `storedBytes`.",
            body = ErrorBody),
        (status = 429, description = "The instance's history is full: it takes no further events in this execution.",
            body = ErrorBody),
    ),
)]
// Order of checks: existence, ended, name, content type, JSON. The engine checks the first two again, atomically.
pub(super) async fn raise_event(call: Call) -> Result<Response, ApiError> {
    let (id, name) = (call.param(0).to_owned(), call.param(1).to_owned());
    let view = call.engine.instance(&call.hub, &id, Parts::default()).await?.ok_or(ApiError::NoSuchInstance)?;
    if view.record.status.is_terminal() {
        return Err(ApiError::Gone);
    }
    check_name(&name).map_err(|wrong| ApiError::BadRequest(format!("The name of an event {wrong}.")))?;
    if !says_json(&call.parts) {
        return Err(ApiError::BadRequest("Only application/json request content is supported".to_owned()));
    }
    let input = body::json(call.body, call.settings.payload_limit).await?;
    call.engine.admit_storing(&call.hub).await?;
    call.engine.send(&call.hub, &id, Message::EventRaised { name, input }).await?;
    Ok(wire::empty(StatusCode::ACCEPTED))
}

/// Ends an instance from outside.
#[utoipa::path(
    post,
    path = "/runtime/webhooks/durabletask/instances/{id}/terminate",
    operation_id = "terminate",
    tag = "instances",
    params(
        ("id" = String, Path, description = "The instance."),
        ("reason" = Option<String>, Query, description = "Why; becomes the output."),
        ("recursive" = Option<bool>, Query, description = "Ends its sub-orchestrations, too. Default: false."),
    ),
    responses(
        (status = 202, description = "Accepted, durably. Empty."),
        (status = 404, description = "No such instance. Empty."),
        (status = 410, description = "The instance has ended. Empty."),
        (status = 429, description = "The instance's history is full.", body = ErrorBody),
    ),
)]
pub(super) async fn terminate(call: Call) -> Result<Response, ApiError> {
    let recursive = call.query.flag("recursive", false);
    send(call, |reason| Message::Terminate { reason, recursive }).await
}

/// Makes an instance's code stand still until it is resumed. Suspending what is suspended changes nothing.
#[utoipa::path(
    post,
    path = "/runtime/webhooks/durabletask/instances/{id}/suspend",
    operation_id = "suspend",
    tag = "instances",
    params(
        ("id" = String, Path, description = "The instance."),
        ("reason" = Option<String>, Query, description = "Why; shown as the output while suspended."),
    ),
    responses(
        (status = 202, description = "Accepted, durably. Empty."),
        (status = 404, description = "No such instance. Empty."),
        (status = 410, description = "The instance has ended. Empty."),
        (status = 429, description = "The instance's history is full.", body = ErrorBody),
    ),
)]
pub(super) async fn suspend(call: Call) -> Result<Response, ApiError> {
    send(call, |reason| Message::Suspend { reason }).await
}

/// Lets a suspended instance go on. Resuming what is not suspended changes nothing.
#[utoipa::path(
    post,
    path = "/runtime/webhooks/durabletask/instances/{id}/resume",
    operation_id = "resume",
    tag = "instances",
    params(
        ("id" = String, Path, description = "The instance."),
        ("reason" = Option<String>, Query, description = "Why."),
    ),
    responses(
        (status = 202, description = "Accepted, durably. Empty."),
        (status = 404, description = "No such instance. Empty."),
        (status = 410, description = "The instance has ended. Empty."),
        (status = 429, description = "The instance's history is full.", body = ErrorBody),
    ),
)]
pub(super) async fn resume(call: Call) -> Result<Response, ApiError> {
    send(call, |reason| Message::Resume { reason }).await
}

/// The reason that a request gives.
pub(super) fn reason(call: &Call) -> Option<String> {
    call.query.get("reason").filter(|reason| !reason.is_empty()).map(str::to_owned)
}

async fn send(call: Call, message: impl FnOnce(Option<String>) -> Message) -> Result<Response, ApiError> {
    let reason = reason(&call);
    call.engine.send(&call.hub, call.param(0), message(reason)).await?;
    Ok(wire::empty(StatusCode::ACCEPTED))
}

/// `application/json`, whatever its case and parameters.
fn says_json(head: &Head) -> bool {
    let kind = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn content_types() {
        let says =
            |kind: &str| says_json(&Request::builder().header("content-type", kind).body(()).unwrap().into_parts().0);
        assert!(says("application/json"));
        assert!(says("Application/JSON; charset=utf-8"));
        assert!(!says("text/plain"));
        assert!(!says("application/jsonp"));
        assert!(!says_json(&Request::new(()).into_parts().0));
    }
}
