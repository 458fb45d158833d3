//! How values look on the wire: JSON answers, stored payloads, times.

use axum::body::{Body, HttpBody};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use durawasm_core::{Payload, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

use super::layers;

/// The content type of every JSON answer.
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// A JSON answer.
pub(super) fn json<T: Serialize>(status: StatusCode, body: &T) -> Response {
    match serde_json::to_vec(body) {
        Ok(text) => json_text(status, text),
        Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// A JSON answer whose text is at hand.
pub(super) fn json_text(status: StatusCode, text: impl Into<Body>) -> Response {
    (status, [(CONTENT_TYPE, JSON)], text.into()).into_response()
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    status.into_response()
}

/// An answer without its body, and with the length that this would have, where that is known.
pub(super) fn head_of(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        parts.headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    let mut response = Response::from_parts(parts, Body::empty());
    // There is nothing to compress.
    response.extensions_mut().insert(layers::AsItComes);
    response
}

/// Stored text as a JSON value: `null` when absent, the JSON it holds, and text that is not JSON as a JSON string
/// (http-api.md 4).
pub(super) fn value(payload: Option<&Payload>) -> Box<RawValue> {
    let Some(text) = payload else { return RawValue::NULL.to_owned() };
    match RawValue::from_string(text.to_string()) {
        Ok(value) => value,
        Err(_) => string(text),
    }
}

/// Text as a JSON string.
pub(super) fn string(text: &str) -> Box<RawValue> {
    RawValue::from_string(serde_json::Value::from(text).to_string()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// A time of the status envelope: whole seconds (http-api.md 4).
pub(super) fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A time of the history: up to 7 fraction digits, trailing zeros trimmed (http-api.md 5).
pub(super) fn ticks(at: Timestamp) -> String {
    let text = at.strftime("%Y-%m-%dT%H:%M:%S.%9f").to_string();
    // Nine digits come out, the wire has seven.
    let text = text.get(..text.len().saturating_sub(2)).unwrap_or(&text);
    format!("{}Z", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn times_are_cut_not_rounded() {
        let time = at("2026-05-04T03:02:01.999999999Z");
        assert_eq!(seconds(time), "2026-05-04T03:02:01Z");
        assert_eq!(ticks(time), "2026-05-04T03:02:01.9999999Z");
    }

    #[test]
    fn trailing_zeros_go() {
        assert_eq!(ticks(at("2026-05-04T03:02:10Z")), "2026-05-04T03:02:10Z");
        assert_eq!(ticks(at("2026-05-04T03:02:01.120Z")), "2026-05-04T03:02:01.12Z");
    }

    #[test]
    fn payloads_are_embedded_as_they_are() {
        assert_eq!(value(None).get(), "null");
        assert_eq!(value(Some(&"{\"a\":1.0}".into())).get(), "{\"a\":1.0}");
        assert_eq!(value(Some(&"not \"json\"".into())).get(), "\"not \\\"json\\\"\"");
    }
}
