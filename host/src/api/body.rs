//! Bodies: bounded in size and in time, and JSON kept as the text it came as.

use std::error::Error;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use bytes::Bytes;
use durawasm_core::Payload;
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::error::ApiError;

/// How long a JSON body may take to arrive.
const JSON_TIME: Duration = Duration::from_secs(30);
/// How long a component may take to arrive: 64 MiB over a slow line.
const COMPONENT_TIME: Duration = Duration::from_secs(300);

/// A JSON body as its raw text; none when it is empty (http-api.md 3: the content type does not matter).
pub(super) async fn json(body: Body, limit: usize) -> Result<Option<Payload>, ApiError> {
    let bytes = read(body, limit, JSON_TIME).await?;
    parse(&bytes)
}

/// Any body.
pub(super) async fn bytes(body: Body, limit: usize) -> Result<Bytes, ApiError> {
    read(body, limit, JSON_TIME).await
}

/// A component's bytes.
pub(super) async fn component(body: Body, limit: usize) -> Result<Bytes, ApiError> {
    read(body, limit, COMPONENT_TIME).await
}

/// A JSON document of the administration.
pub(super) async fn document<T: DeserializeOwned>(body: Body, limit: usize) -> Result<T, ApiError> {
    let bytes = read(body, limit, JSON_TIME).await?;
    serde_json::from_slice(&bytes).map_err(|error| ApiError::Admin {
        status: StatusCode::BAD_REQUEST,
        code: "bad-document",
        message: format!("The body is not as it must be: {error}."),
    })
}

async fn read(body: Body, limit: usize, time: Duration) -> Result<Bytes, ApiError> {
    match tokio::time::timeout(time, axum::body::to_bytes(body, limit)).await {
        Err(_) => Err(ApiError::SlowBody),
        Ok(Err(error)) if error.source().is_some_and(<dyn Error>::is::<LengthLimitError>) => {
            Err(ApiError::BodyTooLarge { limit })
        }
        Ok(Err(_)) => Err(ApiError::BrokenBody),
        Ok(Ok(bytes)) => Ok(bytes),
    }
}

fn parse(bytes: &[u8]) -> Result<Option<Payload>, ApiError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ApiError::InvalidJson)?;
    // A byte order mark is no JSON, but clients on Windows send one.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.is_empty() {
        return Ok(None);
    }
    // Checked only, never built: a number of 30 digits or a repeated key stays as the client wrote it.
    serde_json::from_str::<&RawValue>(text).map_err(|_| ApiError::InvalidJson)?;
    Ok(Some(Payload::from(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_its_text() {
        let kept = parse(b" {\"a\":1.10,\"a\":123456789012345678901234567890} ").ok().flatten();
        assert_eq!(kept.as_deref(), Some(" {\"a\":1.10,\"a\":123456789012345678901234567890} "));
        assert_eq!(parse("\u{feff}1".as_bytes()).ok().flatten().as_deref(), Some("1"));
    }

    #[test]
    fn nothing_is_none_and_nonsense_is_refused() {
        assert!(matches!(parse(b""), Ok(None)));
        for bad in [b"{".as_slice(), b"1 2", b"hello", b"\xff", b" "] {
            assert!(matches!(parse(bad), Err(ApiError::InvalidJson)));
        }
    }

    /// A client that stops sending halfway.
    struct Halfway;

    impl axum::body::HttpBody for Halfway {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            std::task::Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_body_that_does_not_arrive_is_given_up() {
        let read = read(Body::new(Halfway), 10, Duration::from_millis(1)).await;
        assert!(matches!(read, Err(ApiError::SlowBody)));
    }

    #[tokio::test]
    async fn too_large_is_told_from_broken() {
        assert!(matches!(json(Body::from("[1,2,3]"), 3).await, Err(ApiError::BodyTooLarge { limit: 3 })));
        assert!(matches!(json(Body::from("[1]"), 3).await, Ok(Some(_))));
    }
}
