//! Client functions: requests below the route prefix, and calls of manual functions by hand.
//!
//! `/{prefix}/{route}` is for the default hub, `/hubs/{hub}/{prefix}/{route}` for any. The routes are the functions' own;
//! the paths of the management API always win.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, RETRY_AFTER, TRANSFER_ENCODING, UPGRADE};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use durawasm_core::Payload;
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::{BodyStream, StreamBody};
use hyper::body::Frame;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::codes::{Mint, Scope};
use super::error::{AdminError, ApiError};
use super::guard::{self, Locks};
use super::query::Query;
use super::route::Base;
use super::{ApiSettings, ApiState, Call, DEFAULT_HUB, body, layers, links, route, wire};
use crate::engine::Engine;
use crate::engine::executor::{BrokenOff, HttpRequest, HttpResponse, Piece, StreamedResponse};
use crate::engine::functions::{FunctionError, HttpFunction, HttpMatch};
use crate::store::{AuthLevel, HttpTrigger, HubName, HubRecord, HubState};

/// The hub and the path below it, the hub's prefix included.
fn place(path: &str) -> Option<(HubName, Vec<String>)> {
    let segments = route::segments(path)?;
    match segments.split_first() {
        Some((first, rest)) if first.eq_ignore_ascii_case("hubs") && !rest.is_empty() => {
            let (hub, rest) = rest.split_first()?;
            Some((HubName::from(hub.as_str()), rest.to_vec()))
        }
        Some(_) | None => Some((HubName::from(DEFAULT_HUB), segments)),
    }
}

/// The path below the prefix, if it begins with that.
fn below(path: &[String], prefix: &str) -> Option<Vec<String>> {
    let mut rest = path;
    for literal in prefix.split('/').filter(|literal| !literal.is_empty()) {
        let (first, below) = rest.split_first()?;
        if !first.eq_ignore_ascii_case(literal) {
            return None;
        }
        rest = below;
    }
    // The path of the prefix alone has no segments, whether it is empty or not.
    let rest = if rest.iter().all(String::is_empty) { &[] } else { rest };
    Some(rest.to_vec())
}

/// What the paths of a hub's HTTP functions begin with.
fn prefix<'a>(settings: &'a ApiSettings, hub: &'a HubRecord) -> &'a str {
    hub.config.route_prefix.as_ref().unwrap_or(&settings.route_prefix)
}

/// Where an HTTP function is called: its path as its route is written, with the code that opens it if it needs one.
pub(super) fn invoke_url(
    (settings, mint): (&ApiSettings, Option<&Mint>),
    origin: &str,
    hub: &HubRecord,
    (name, http): (&str, &HttpTrigger),
) -> String {
    let hub_part = if *hub.name == *DEFAULT_HUB { String::new() } else { format!("/hubs/{}", hub.name) };
    let parts = [prefix(settings, hub), http.route.as_str()];
    let path: String = parts.iter().filter(|part| !part.is_empty()).map(|part| format!("/{part}")).collect();
    let code = match (http.level, mint) {
        (AuthLevel::Function, Some(mint)) => format!("?code={}", mint.code(Scope::Function(name))),
        // Only the admin key opens it, and that is not put into URLs.
        (AuthLevel::Admin, _) | (AuthLevel::Anonymous, _) | (AuthLevel::Function, None) => String::new(),
    };
    format!("{origin}{hub_part}{path}{code}")
}

/// Answers a request that no other route is for.
pub(super) async fn serve(state: ApiState, parts: Parts, body: Body) -> Result<Response, ApiError> {
    let (hub, path) = place(parts.uri.path()).ok_or(ApiError::NoSuchRoute)?;
    let Some(engine) = state.engine.get() else {
        // Nobody knows yet whether the hub has a prefix of its own.
        let is_ours = below(&path, &state.settings.route_prefix).is_some();
        return Err(if is_ours { ApiError::Opening } else { ApiError::NoSuchRoute });
    };
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let record = engine.hub(&hub).filter(|hub| hub.state == HubState::Open);
    let Some(path) = record.and_then(|hub| below(&path, prefix(&state.settings, &hub))) else {
        no_function(&state, &hub, &query, &parts)?;
        return Err(ApiError::NoSuchRoute);
    };
    let function = match engine.find_http(&hub, parts.method.as_str(), &path) {
        HttpMatch::Nothing => {
            no_function(&state, &hub, &query, &parts)?;
            return Err(ApiError::NoSuchRoute);
        }
        HttpMatch::OtherMethods(others) => return other_methods(&state, (&hub, &others), &query, &parts),
        HttpMatch::Function(function) => function,
    };
    check_level(&state, (&hub, &function), &query, &parts)?;
    engine.admit_request(&hub).map_err(|exceeded| ApiError::Quota(Base::Root, exceeded))?;
    let work = call(engine.clone(), state.settings, (hub.clone(), function), (parts, body));
    super::for_hub(&engine, &hub, Box::pin(work)).await
}

/// Has a function answer a request.
async fn call(
    engine: Engine,
    settings: Arc<ApiSettings>,
    (hub, function): (HubName, HttpFunction),
    (parts, body): (Parts, Body),
) -> Result<Response, ApiError> {
    let query = parts.uri.query().unwrap_or_default();
    let origin = links::origin(&settings, &parts);
    // A function that knows nothing of `HEAD` need not learn of it.
    let method = if function.as_get { &Method::GET } else { &parts.method };
    let request = HttpRequest {
        method: method.as_str().to_owned(),
        url: format!("{origin}{}", parts.uri.path_and_query().map_or("/", PathAndQuery::as_str)),
        origin,
        headers: headers(&parts),
        query: super::query::pairs(query),
        params: Vec::new(),
        body: Bytes::new(),
    };
    let name = function.name.clone();
    let answer = if function.streams {
        let arriving = BodyStream::new(body).map(piece).boxed();
        engine.stream_http(&hub, function, (request, arriving)).await.map(|response| streamed(&name, response))
    } else {
        let request = HttpRequest { body: body::bytes(body, settings.payload_limit).await?, ..request };
        engine.call_http(&hub, function, request).await.map(|response| sent(&name, response))
    };
    match answer {
        Ok(response) if parts.method == Method::HEAD => Ok(wire::head_of(response)),
        Ok(response) => Ok(response),
        Err(FunctionError::Quota(exceeded)) => Err(ApiError::Quota(Base::Root, exceeded)),
        Err(error) => Ok(failed(&name, &error)),
    }
}

/// The methods of those functions that the request's key opens.
fn other_methods(
    state: &ApiState,
    (hub, others): (&HubName, &[(HttpFunction, Vec<String>)]),
    query: &Query,
    parts: &Parts,
) -> Result<Response, ApiError> {
    let mut methods = BTreeSet::new();
    let mut refused = None;
    for (function, answers) in others {
        match check_level(state, (hub, function), query, parts) {
            Ok(()) => methods.extend(answers.iter().map(String::as_str)),
            Err(error) => refused = Some(error),
        }
    }
    if let Some(error) = refused.filter(|_| methods.is_empty()) {
        return Err(error);
    }
    if methods.contains(Method::GET.as_str()) {
        methods.insert(Method::HEAD.as_str());
    }
    let methods: Vec<_> = methods.into_iter().collect();
    let mut response = wire::empty(StatusCode::METHOD_NOT_ALLOWED);
    if let Ok(allowed) = HeaderValue::from_str(&methods.join(", ")) {
        response.headers_mut().insert(ALLOW, allowed);
    }
    Ok(response)
}

/// Whether the request brings the key that the function asks for. A server without an admin key asks for none.
fn check_level(
    state: &ApiState,
    (hub, function): (&HubName, &HttpFunction),
    query: &Query,
    parts: &Parts,
) -> Result<(), ApiError> {
    match function.level {
        AuthLevel::Anonymous => Ok(()),
        AuthLevel::Function | AuthLevel::Admin => {
            let brings_key = !guard::given(query, parts).is_empty();
            let judge = |locks: &Locks<'_>| locks.admit_function((hub, function), query, parts);
            state.unlock((parts, brings_key), judge).map(drop)
        }
    }
}

/// Below `/hubs/`, whoever brings no key of the hub is answered as by a function that asks for one: nobody learns there which
/// hubs and routes there are.
fn no_function(state: &ApiState, hub: &HubName, query: &Query, parts: &Parts) -> Result<(), ApiError> {
    let names_hub = route::segments(parts.uri.path())
        .is_some_and(|path| path.first().is_some_and(|first| first.eq_ignore_ascii_case("hubs")));
    if !names_hub {
        return Ok(());
    }
    let brings_key = !guard::given(query, parts).is_empty();
    state.unlock((parts, brings_key), |locks| locks.admit_to_hub(hub, query, parts)).map(drop)
}

/// Names in lowercase; what is not text is left out.
fn headers(parts: &Parts) -> Vec<(String, String)> {
    let text =
        |(name, value): (&HeaderName, &HeaderValue)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()));
    parts.headers.iter().filter_map(text).collect()
}

/// The guest's response. What belongs to the connection is ours.
fn sent(name: &str, answer: HttpResponse) -> Response {
    const OURS: [HeaderName; 4] = [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE];
    let response = with_head((answer.status, answer.headers), &OURS, Body::from(answer.body));
    response.unwrap_or_else(|what| unsendable(name, &what))
}

/// The beginning of the guest's response; the rest follows as the guest makes it. A length that it promises is kept: the
/// response is cut if it writes another one. Trailers are sent as HTTP/1.1 has them: to a client that says `TE: trailers`, those
/// that the header `Trailer` of the response names.
fn streamed(name: &str, answer: StreamedResponse) -> Response {
    const OURS: [HeaderName; 3] = [CONNECTION, TRANSFER_ENCODING, UPGRADE];
    let body = Body::new(StreamBody::new(answer.body.map_ok(frame)));
    let response = with_head((answer.status, answer.headers), &OURS, body);
    let mut response = response.unwrap_or_else(|what| unsendable(name, &what));
    response.extensions_mut().insert(layers::AsItComes);
    response
}

/// A piece of a request's body.
fn piece(frame: Result<Frame<Bytes>, axum::Error>) -> Result<Piece, BrokenOff> {
    match frame.map_err(|error| BrokenOff(error.to_string()))?.into_data() {
        Ok(bytes) => Ok(Piece::Data(bytes)),
        Err(frame) => {
            let trailers = frame.into_trailers().unwrap_or_default();
            let pair = |(name, value): (&HeaderName, &HeaderValue)| {
                (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes()))
            };
            Ok(Piece::Trailers(trailers.iter().map(pair).collect()))
        }
    }
}

/// A piece of a response's body. Trailers that cannot be sent are left out: the response is whole without them.
fn frame(piece: Piece) -> Frame<Bytes> {
    let trailers = match piece {
        Piece::Data(bytes) => return Frame::data(bytes),
        Piece::Trailers(trailers) => trailers,
    };
    let mut map = HeaderMap::new();
    for (name, value) in trailers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_maybe_shared(value)) {
            map.append(name, value);
        }
    }
    Frame::trailers(map)
}

/// A response with the guest's head. The error says what of that cannot be sent.
fn with_head(
    (status, headers): (u16, impl IntoIterator<Item = (String, Bytes)>),
    ours: &[HeaderName],
    body: Body,
) -> Result<Response, String> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).map_err(|_| format!("the function answered with status {status}"))?;
    for (header, value) in headers {
        let (Ok(known), Ok(value)) = (HeaderName::try_from(header.as_str()), HeaderValue::from_maybe_shared(value))
        else {
            return Err(format!("the function answered with a header that cannot be sent: {header:?}"));
        };
        if !ours.contains(&known) {
            response.headers_mut().append(known, value);
        }
    }
    Ok(response)
}

fn unsendable(name: &str, what: &str) -> Response {
    tracing::warn!(function = name, "{what}");
    wire::empty(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The client learns nothing about the inside; the log does.
fn failed(name: &str, error: &FunctionError) -> Response {
    tracing::warn!(function = name, %error, "an HTTP function did not answer");
    let status = match error {
        FunctionError::Unknown => StatusCode::NOT_FOUND,
        FunctionError::Quota(_) => StatusCode::TOO_MANY_REQUESTS,
        FunctionError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        FunctionError::Timeout => StatusCode::GATEWAY_TIMEOUT,
        FunctionError::Busy | FunctionError::Host(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut response = wire::empty(status);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// What a manual function is called with.
#[derive(Deserialize)]
struct ManualCall<'a> {
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

/// Sets a manual function off, or a timer function out of turn, and does not wait for it.
#[utoipa::path(
    post,
    path = "/admin/functions/{name}",
    operation_id = "callManual",
    tag = "administration",
    params(
        ("name" = String, Path, description = "The manual or timer function."),
        ("taskHub" = Option<String>, Query, description = "The task hub. Default: `default`."),
    ),
    request_body(content = Option<serde_json::Value>, content_type = "application/json", description = "`{\"input\": …}`: any JSON. \
        None: no input. A timer function is given its status instead."),
    responses(
        (status = 202, description = "It runs. Empty."),
        (status = 400, description = "The body is not JSON of this form.", body = AdminError),
        (status = 404, description = "No such manual or timer function.", body = AdminError),
        (status = 408, description = "The body did not arrive within 30 seconds.", body = AdminError),
        (status = 413, description = "The body is too large.", body = AdminError),
    ),
)]
pub(super) async fn manual(call: Call) -> Result<Response, ApiError> {
    let name = call.param(0).to_owned();
    let text = body::json(call.body, call.settings.payload_limit).await?;
    let input = match text.as_deref().map(serde_json::from_str::<ManualCall<'_>>) {
        None => None,
        Some(Ok(ManualCall { input })) => input.map(|input| Payload::from(input.get())),
        Some(Err(_)) => {
            let message = "The body is {\"input\": …}, or nothing.".to_owned();
            return Err(ApiError::Admin { status: StatusCode::BAD_REQUEST, code: "bad-input", message });
        }
    };
    match call.engine.call_manual(&call.hub, &name, input) {
        Ok(()) => Ok(wire::empty(StatusCode::ACCEPTED)),
        Err(_) => Err(ApiError::Admin {
            status: StatusCode::NOT_FOUND,
            code: "no-such-function",
            message: format!("The hub '{}' has no manual or timer function '{name}'.", call.hub),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::codes::Codes;

    fn at(path: &str, prefix: &str) -> Option<(String, String)> {
        let (hub, path) = place(path)?;
        Some((hub.to_string(), below(&path, prefix)?.join("/")))
    }

    #[test]
    fn functions_lie_below_the_prefix_of_their_hub() {
        let found = |hub: &str, rest: &str| Some((hub.to_owned(), rest.to_owned()));
        assert_eq!(at("/api/orders/7", "api"), found("default", "orders/7"));
        assert_eq!(at("/API/a%2Fb/", "api"), found("default", "a/b"));
        assert_eq!(at("/hubs/other/api/x", "api"), found("other", "x"));
        assert_eq!(at("/orders", ""), found("default", "orders"));
        assert_eq!(at("/orders", "api"), None);
        assert_eq!(at("/v1/api/x", "v1/api"), found("default", "x"));
        assert_eq!(at("/", ""), found("default", ""));
        assert_eq!(at("/api/", "api"), found("default", ""));
        assert_eq!(at("/hubs/other/orders", ""), found("other", "orders"));
    }

    #[test]
    fn urls_of_functions_have_the_code_that_opens_them() {
        let keyless = ApiSettings { route_prefix: String::new(), ..ApiSettings::new("http://localhost") };
        let http = |level| HttpTrigger { route: "orders/{id}".to_owned(), methods: Vec::new(), level, streams: false };
        let hub = |name: &str| HubRecord::new(name.into(), None, [0; 16]);
        let url = |settings: &ApiSettings, mint: Option<&Mint>, hub: &HubRecord, level| {
            invoke_url((settings, mint), "http://here", hub, ("F", &http(level)))
        };
        assert_eq!(url(&keyless, None, &hub("default"), AuthLevel::Function), "http://here/orders/{id}");
        let (keyed, other) = (ApiSettings::new("http://localhost"), hub("other"));
        let mint = Codes::of_key("k").mint(&other, None);
        let code = mint.code(Scope::Function("F"));
        let of = |level| url(&keyed, Some(&mint), &other, level);
        assert_eq!(of(AuthLevel::Function), format!("http://here/hubs/other/api/orders/{{id}}?code={code}"));
        for level in [AuthLevel::Anonymous, AuthLevel::Admin] {
            assert_eq!(of(level), "http://here/hubs/other/api/orders/{id}");
        }
    }
}
