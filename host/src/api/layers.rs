//! What lies around all routes: compression and who pays for it, web pages of other origins, what is logged.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{self, HttpBody as Body};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, LOCATION, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Method, Response};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate, SizeAbove};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{ApiSettings, codes};
use crate::engine::Payer;

/// Bytes from which compressing an answer pays.
const COMPRESSED_FROM: u64 = 1024;
/// Bytes from which sending an answer takes time that is worth counting.
const COUNTED_FROM: u64 = 4096;
/// How long a browser may remember that it may ask, in seconds.
const PREFLIGHT_AGE: std::time::Duration = std::time::Duration::from_secs(600);

/// Marks an answer whose pieces are to be sent as they come: compressing would hold them back.
#[derive(Clone, Copy)]
pub(super) struct AsItComes;

/// Whether compressing an answer pays.
#[derive(Clone, Copy)]
pub(super) struct Compressed;

impl Predicate for Compressed {
    fn should_compress<B: Body>(&self, response: &Response<B>) -> bool {
        response.extensions().get::<AsItComes>().is_none() && SizeAbove::new(COMPRESSED_FROM).should_compress(response)
    }
}

/// Gzip for those who accept it. Answers that are small or streamed are sent as they are.
pub(super) fn compression() -> CompressionLayer<Compressed> {
    CompressionLayer::new().gzip(true).compress_when(Compressed)
}

/// Remembers who pays for what is still to be done for an answer that is large, or comes bit by bit: see [`paid`].
pub(super) fn to_be_paid(
    mut response: axum::response::Response,
    payer: impl FnOnce() -> Payer,
) -> axum::response::Response {
    if response.body().size_hint().exact().is_none_or(|bytes| bytes >= COUNTED_FROM) {
        response.extensions_mut().insert(payer());
    }
    response
}

/// Lets the hub that an answer is for pay for making and compressing its body.
pub(super) fn paid(mut response: axum::response::Response) -> axum::response::Response {
    match response.extensions_mut().remove::<Payer>() {
        Some(payer) => response.map(|body| body::Body::new(Paid { body, payer })),
        None => response,
    }
}

/// See [`paid`].
struct Paid {
    body: body::Body,
    payer: Payer,
}

impl Body for Paid {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { body, payer } = self.get_mut();
        payer.pays(|| Pin::new(body).poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Lets web pages of the configured origins use this server; without any there is nothing to add.
pub(super) fn cors(settings: &ApiSettings) -> Option<CorsLayer> {
    if settings.cors_origins.is_empty() {
        return None;
    }
    let origins = if settings.cors_origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(settings.cors_origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    let named = HeaderName::from_static;
    let continuation = named("x-ms-continuation-token");
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            continuation.clone(),
            named("x-functions-key"),
            named("traceparent"),
            named("tracestate"),
            IF_MATCH,
        ])
        .expose_headers([ETAG, LOCATION, RETRY_AFTER, continuation])
        .max_age(PREFLIGHT_AGE);
    Some(layer)
}

/// The path of a request as it may be logged: without the token of the RPC base.
pub(super) fn logged(path: &str) -> String {
    let shown = |segment| if codes::is_token(segment) { "{token}" } else { segment };
    path.split('/').map(shown).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::HubRecord;

    #[test]
    fn tokens_are_not_logged() {
        let hub = HubRecord::new("default".into(), None, [0; 16]);
        let token = codes::Codes::of_key("k").mint(&hub, None).rpc_token();
        assert_eq!(logged(&format!("/durabletask/{token}/instances/a")), "/durabletask/{token}/instances/a");
        assert_eq!(logged("/durabletask/instances/a-b"), "/durabletask/instances/a-b");
    }
}
