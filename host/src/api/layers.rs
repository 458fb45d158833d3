//! What lies around all routes: compression, web pages of other origins, what is logged.

use axum::body::HttpBody as Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, LOCATION, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Method, Response};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate, SizeAbove};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{ApiSettings, codes};

/// Bytes from which compressing an answer pays.
const COMPRESSED_FROM: u64 = 1024;
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
