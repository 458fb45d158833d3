//! Client functions: requests below the route prefix, and calls of manual functions by hand.
//!
//! `/{prefix}/{route}` is for the default hub, `/hubs/{hub}/{prefix}/{route}` for any. The routes are the functions' own;
//! the paths of the management API always win.

use axum::body::Body;
use axum::http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, RETRY_AFTER, TRANSFER_ENCODING, UPGRADE};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use durawasm_core::Payload;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::codes::{Codes, Scope};
use super::error::{AdminError, ApiError};
use super::query::Query;
use super::{ApiSettings, ApiState, Call, DEFAULT_HUB, body, guard, links, route, wire};
use crate::engine::executor::{HttpRequest, HttpResponse};
use crate::engine::functions::{FunctionError, HttpFunction, HttpMatch};
use crate::store::{AuthLevel, HttpTrigger, HubName};

/// The hub and the path below the prefix, if a request is for a client function.
fn place(path: &str, prefix: &str) -> Option<(HubName, Vec<String>)> {
    let segments = route::segments(path)?;
    let (hub, rest) = match segments.split_first() {
        Some((first, rest)) if first.eq_ignore_ascii_case("hubs") && !rest.is_empty() => {
            let (hub, rest) = rest.split_first()?;
            (HubName::from(hub.as_str()), rest)
        }
        Some(_) | None => (HubName::from(DEFAULT_HUB), segments.as_slice()),
    };
    let mut rest = rest;
    for literal in prefix.split('/').filter(|literal| !literal.is_empty()) {
        let (first, below) = rest.split_first()?;
        if !first.eq_ignore_ascii_case(literal) {
            return None;
        }
        rest = below;
    }
    // The path of the prefix alone has no segments, whether it is empty or not.
    let rest = if rest.iter().all(String::is_empty) { &[] } else { rest };
    Some((hub, rest.to_vec()))
}

/// Where an HTTP function is called: its path as its route is written, with the code that opens it if it needs one.
pub(super) fn invoke_url(
    (settings, codes): (&ApiSettings, Option<&Codes>),
    origin: &str,
    hub: &str,
    (name, http): (&str, &HttpTrigger),
) -> String {
    let hub_part = if hub == DEFAULT_HUB { String::new() } else { format!("/hubs/{hub}") };
    let parts = [settings.route_prefix.as_str(), http.route.as_str()];
    let path: String = parts.iter().filter(|part| !part.is_empty()).map(|part| format!("/{part}")).collect();
    let code = match (http.level, codes) {
        (AuthLevel::Function, Some(codes)) => format!("?code={}", codes.mint(hub, Scope::Function(name))),
        // Only the admin key opens it, and that is not put into URLs.
        (AuthLevel::Admin, _) | (AuthLevel::Anonymous, _) | (AuthLevel::Function, None) => String::new(),
    };
    format!("{origin}{hub_part}{path}{code}")
}

/// Answers a request that no other route is for.
pub(super) async fn serve(state: ApiState, parts: Parts, body: Body) -> Result<Response, ApiError> {
    let prefix = &state.settings.route_prefix;
    let (hub, path) = place(parts.uri.path(), prefix).ok_or(ApiError::NoSuchRoute)?;
    let engine = state.engine.get().ok_or(ApiError::Opening)?;
    let function = match engine.find_http(&hub, parts.method.as_str(), &path) {
        HttpMatch::Nothing => return Err(ApiError::NoSuchRoute),
        HttpMatch::OtherMethods(methods) => return Ok(other_methods(&methods)),
        HttpMatch::Function(function) => function,
    };
    check_level(&state, &hub, &function, &parts)?;
    let query = parts.uri.query().unwrap_or_default();
    let origin = links::origin(&state.settings, &parts);
    let request = HttpRequest {
        method: parts.method.as_str().to_owned(),
        url: format!("{origin}{}", parts.uri.path_and_query().map_or("/", PathAndQuery::as_str)),
        origin,
        headers: headers(&parts),
        query: super::query::pairs(query),
        params: Vec::new(),
        body: body::bytes(body, state.settings.payload_limit).await?,
    };
    let name = function.name.clone();
    match engine.call_http(&hub, function, request).await {
        Ok(response) => sent(&name, response),
        Err(error) => Ok(failed(&name, &error)),
    }
}

fn other_methods(methods: &[String]) -> Response {
    let mut response = wire::empty(StatusCode::METHOD_NOT_ALLOWED);
    if let Ok(allowed) = HeaderValue::from_str(&methods.join(", ")) {
        response.headers_mut().insert(ALLOW, allowed);
    }
    response
}

/// Whether the request brings the key that the function asks for. A server without an admin key asks for none.
fn check_level(state: &ApiState, hub: &HubName, function: &HttpFunction, parts: &Parts) -> Result<(), ApiError> {
    let (Some(key), Some(codes)) = (&state.settings.admin_key, state.codes.as_ref()) else { return Ok(()) };
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let opens = |given: &str| match function.level {
        AuthLevel::Anonymous => true,
        AuthLevel::Function => guard::is_key(given, key) || codes.verify(given, hub, Scope::Function(&function.name)),
        AuthLevel::Admin => guard::is_key(given, key),
    };
    let admitted = function.level == AuthLevel::Anonymous || guard::given(&query, parts).into_iter().any(opens);
    if admitted { Ok(()) } else { Err(ApiError::Unauthorized) }
}

/// Names in lowercase; what is not text is left out.
fn headers(parts: &Parts) -> Vec<(String, String)> {
    let text =
        |(name, value): (&HeaderName, &HeaderValue)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()));
    parts.headers.iter().filter_map(text).collect()
}

/// The guest's response. What belongs to the connection is ours.
fn sent(name: &str, answer: HttpResponse) -> Result<Response, ApiError> {
    const OURS: [HeaderName; 4] = [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE];
    let wrong = |what: String| {
        tracing::warn!(function = name, "{what}");
        wire::empty(StatusCode::INTERNAL_SERVER_ERROR)
    };
    let Ok(status) = StatusCode::from_u16(answer.status) else {
        return Ok(wrong(format!("the function answered with status {}", answer.status)));
    };
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = status;
    for (header, value) in answer.headers {
        let (Ok(known), Ok(value)) = (HeaderName::try_from(header.as_str()), HeaderValue::try_from(value)) else {
            return Ok(wrong(format!("the function answered with a header that cannot be sent: {header:?}")));
        };
        if !OURS.contains(&known) {
            response.headers_mut().append(known, value);
        }
    }
    Ok(response)
}

/// The client learns nothing about the inside; the log does.
fn failed(name: &str, error: &FunctionError) -> Response {
    tracing::warn!(function = name, %error, "an HTTP function did not answer");
    let status = match error {
        FunctionError::Unknown => StatusCode::NOT_FOUND,
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
    request_body(content = serde_json::Value, content_type = "application/json", description = "`{\"input\": …}`: any JSON. \
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

    fn at(path: &str, prefix: &str) -> Option<(String, String)> {
        place(path, prefix).map(|(hub, rest)| (hub.to_string(), rest.join("/")))
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
        let http = |level| HttpTrigger { route: "orders/{id}".to_owned(), methods: Vec::new(), level };
        let url = |settings, codes, hub, level| invoke_url((settings, codes), "http://here", hub, ("F", &http(level)));
        assert_eq!(url(&keyless, None, "default", AuthLevel::Function), "http://here/orders/{id}");
        let (keyed, codes) = (ApiSettings::new("http://localhost"), Codes::of_key("k"));
        let code = codes.mint("other", Scope::Function("F"));
        let of = |level| url(&keyed, Some(&codes), "other", level);
        assert_eq!(of(AuthLevel::Function), format!("http://here/hubs/other/api/orders/{{id}}?code={code}"));
        for level in [AuthLevel::Anonymous, AuthLevel::Admin] {
            assert_eq!(of(level), "http://here/hubs/other/api/orders/{id}");
        }
    }
}
