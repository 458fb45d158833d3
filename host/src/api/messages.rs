//! Routes 6, 7 and 8: raise an event, terminate, suspend, resume (http-api.md 8).

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts as Head;
use axum::response::Response;
use durawasm_core::Message;

use super::error::ApiError;
use super::{Call, body, wire};
use crate::engine::Parts;

/// Order of checks: existence, ended, content type, JSON. The engine checks the first two again, atomically.
pub(super) async fn raise_event(call: Call) -> Result<Response, ApiError> {
    let (id, name) = (call.param(0).to_owned(), call.param(1).to_owned());
    let view = call.engine.instance(&call.hub, &id, Parts::default()).await?.ok_or(ApiError::NoSuchInstance)?;
    if view.record.status.is_terminal() {
        return Err(ApiError::Gone);
    }
    if !says_json(&call.parts) {
        return Err(ApiError::BadRequest("Only application/json request content is supported".to_owned()));
    }
    let input = body::json(call.body, call.settings.payload_limit).await?;
    call.engine.send(&call.hub, &id, Message::EventRaised { name, input }).await?;
    Ok(wire::empty(StatusCode::ACCEPTED))
}

pub(super) async fn terminate(call: Call) -> Result<Response, ApiError> {
    let recursive = call.query.flag("recursive", false);
    send(call, |reason| Message::Terminate { reason, recursive }).await
}

pub(super) async fn suspend(call: Call) -> Result<Response, ApiError> {
    send(call, |reason| Message::Suspend { reason }).await
}

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
