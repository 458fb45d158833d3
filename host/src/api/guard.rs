//! Who may ask: the host check of keyless servers, keys, hubs.

use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use subtle::ConstantTimeEq;

use super::codes::{self, Codes, Scope};
use super::error::ApiError;
use super::query::Query;
use super::route::{Base, Matched, Op};
use super::{ApiSettings, DEFAULT_HUB};
use crate::store::HubName;

/// A keyless server answers only to the names of this machine: a web page whose name was made to point here (DNS
/// rebinding), or a page of another site that posts to localhost, is refused.
pub(super) fn check_host(settings: &ApiSettings, parts: &Parts) -> Result<(), ApiError> {
    if settings.admin_key.is_some() {
        return Ok(());
    }
    let host = text(&parts.headers, &HOST).or_else(|| parts.uri.authority().map(|authority| authority.as_str()));
    if let Some(host) = host.filter(|host| !is_loopback(host)) {
        return Err(ApiError::ForeignHost(format!(
            "This server has no admin key and answers only to localhost, 127.0.0.1 and [::1], not to '{host}'. \
             Start it with --admin-key to serve other names."
        )));
    }
    let origin = text(&parts.headers, &ORIGIN);
    let local = |origin: &str| is_loopback(origin.split_once("://").map_or(origin, |(_, host)| host));
    let allowed = |origin: &str| settings.cors_origins.iter().any(|allowed| allowed == origin);
    if let Some(origin) = origin.filter(|origin| !local(origin) && !allowed(origin)) {
        return Err(ApiError::ForeignHost(format!(
            "This server has no admin key and takes no requests from web pages of '{origin}'. \
             Allow them with --cors-origin."
        )));
    }
    Ok(())
}

/// Whether `host[:port]` names this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(name, _)| name),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The bare RPC base takes no key: it exists on keyless servers only, and not for requests that came through a proxy.
/// The base with a token exists on servers with a key only (http-api.md 1).
pub(super) fn check_base(settings: &ApiSettings, found: &Matched, parts: &Parts) -> Result<(), ApiError> {
    let proxied =
        || parts.headers.keys().any(|name| name.as_str() == "forwarded" || name.as_str().starts_with("x-forwarded-"));
    let offered = match found.base {
        Base::Rpc => match (&found.token, &settings.admin_key) {
            (Some(_), Some(_)) => true,
            (None, None) => !proxied(),
            (Some(_), None) | (None, Some(_)) => false,
        },
        Base::Webhooks | Base::Extension | Base::Admin | Base::Root => true,
    };
    if offered { Ok(()) } else { Err(ApiError::NoSuchRoute) }
}

/// On a server with a key: the admin key opens everything, a hub's management code its management routes, an
/// instance's code the routes of that instance, an RPC token the RPC base of its hub. A key or code comes as `code=`,
/// as `x-functions-key` or as a bearer token.
pub(super) fn check_key(
    (settings, codes): (&ApiSettings, Option<&Codes>),
    found: &Matched,
    query: &Query,
    parts: &Parts,
) -> Result<(), ApiError> {
    let (Some(key), Some(codes)) = (&settings.admin_key, codes) else { return Ok(()) };
    let hub = hub_text(found, query);
    let opens = |given: &str| match found.base {
        Base::Webhooks | Base::Extension => {
            is_key(given, key)
                || codes.verify(given, hub, Scope::Manage)
                || found.instance().is_some_and(|id| codes.verify(given, hub, Scope::Instance(id)))
        }
        Base::Rpc | Base::Admin | Base::Root => is_key(given, key),
    };
    let admitted = match &found.token {
        Some(token) => codes.open_rpc(token) == Some(hub),
        None => given(query, parts).into_iter().any(opens),
    };
    if admitted { Ok(()) } else { Err(ApiError::Unauthorized) }
}

/// The keys and codes that a request brings.
pub(super) fn given<'a>(query: &'a Query, parts: &'a Parts) -> Vec<&'a str> {
    let bearer = text(&parts.headers, &AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let header = text(&parts.headers, &HeaderName::from_static("x-functions-key"));
    [query.get("code"), header, bearer].into_iter().flatten().collect()
}

pub(super) fn is_key(given: &str, key: &str) -> bool {
    given.as_bytes().ct_eq(key.as_bytes()).into()
}

/// The hub a request is for, as it names it: in the path of the administration, in an RPC token, by `taskHub=`
/// elsewhere. A token beside a `taskHub=` must be of that hub.
fn hub_text<'a>(found: &'a Matched, query: &'a Query) -> &'a str {
    let of_token = || found.token.as_deref().and_then(codes::hub_of);
    match found.base {
        Base::Admin if !matches!(found.op, Op::CallManual | Op::Backup) => {
            found.params.first().map_or("", String::as_str)
        }
        Base::Admin | Base::Webhooks | Base::Extension | Base::Rpc | Base::Root => {
            query.filled("taskhub").or_else(of_token).unwrap_or(DEFAULT_HUB)
        }
    }
}

/// The hub a request is for.
pub(super) fn hub(found: &Matched, query: &Query) -> Result<HubName, ApiError> {
    let (name, base) = (hub_text(found, query), found.base);
    if !is_hub_name(name) {
        let text = format!("'{name}' is no name of a task hub: 3 to 45 letters and digits, beginning with a letter.");
        return Err(refused(base, StatusCode::BAD_REQUEST, "bad-hub-name", text));
    }
    if name != DEFAULT_HUB {
        let text = format!("The task hub '{name}' does not exist; this server has the hub '{DEFAULT_HUB}'.");
        return Err(refused(base, StatusCode::NOT_FOUND, "no-such-hub", text));
    }
    Ok(HubName::from(name))
}

/// The error in the form of its base.
fn refused(base: Base, status: StatusCode, code: &'static str, message: String) -> ApiError {
    match base {
        Base::Admin => ApiError::Admin { status, code, message },
        Base::Webhooks | Base::Extension | Base::Rpc | Base::Root => ApiError::Refused { status, message },
    }
}

/// The rule of the original: 3 to 45 letters and digits, a letter first.
fn is_hub_name(name: &str) -> bool {
    (3..=45).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    // A header that is not text can match no rule; as an empty name it is refused where a name is wanted.
    headers.get(name).map(|value| value.to_str().unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use axum::http::{Method, Request};

    use super::*;
    use crate::api::route;

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri("/x");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn keyed() -> ApiSettings {
        ApiSettings { admin_key: Some("s3cret".to_owned()), ..ApiSettings::new("http://127.0.0.1:7071") }
    }

    #[test]
    fn loopback_names() {
        for name in ["localhost", "LOCALHOST:7071", "127.0.0.1:80", "127.1.2.3", "[::1]:7071", "[::1]"] {
            assert!(is_loopback(name), "{name}");
        }
        for name in ["", "example.org", "localhost.example.org", "127.0.0.1.nip.io", "10.0.0.1:7071", "[::2]", "null"] {
            assert!(!is_loopback(name), "{name}");
        }
    }

    #[test]
    fn keyless_servers_refuse_foreign_names_and_pages() {
        let keyless = ApiSettings::new("http://127.0.0.1:7071");
        assert!(check_host(&keyless, &parts(&[("host", "127.0.0.1:7071")])).is_ok());
        assert!(check_host(&keyless, &parts(&[("host", "evil.example")])).is_err());
        assert!(check_host(&keyless, &parts(&[("host", "localhost"), ("origin", "http://localhost:3000")])).is_ok());
        assert!(check_host(&keyless, &parts(&[("host", "localhost"), ("origin", "https://evil.example")])).is_err());
        assert!(check_host(&keyless, &parts(&[("host", "localhost"), ("origin", "null")])).is_err());
        assert!(check_host(&keyed(), &parts(&[("host", "durable.example")])).is_ok());
    }

    #[test]
    fn pages_that_may_share_are_let_in() {
        let settings =
            ApiSettings { cors_origins: vec!["https://ui.example".to_owned()], ..ApiSettings::new("http://localhost") };
        assert!(check_host(&settings, &parts(&[("host", "localhost"), ("origin", "https://ui.example")])).is_ok());
        assert!(check_host(&settings, &parts(&[("host", "localhost"), ("origin", "https://evil.example")])).is_err());
    }

    fn route(path: &str) -> Matched {
        route::find(&Method::GET, path).unwrap()
    }

    const STATUS: &str = "/runtime/webhooks/durabletask/instances/a";

    #[test]
    fn the_bare_rpc_base_is_for_keyless_direct_calls() {
        let keyless = ApiSettings::new("http://127.0.0.1:7071");
        let bare = route("/durabletask/instances/a");
        assert!(check_base(&keyless, &bare, &parts(&[])).is_ok());
        for header in ["x-forwarded-for", "x-forwarded-host", "forwarded"] {
            assert!(check_base(&keyless, &bare, &parts(&[(header, "10.0.0.1")])).is_err(), "{header}");
        }
        assert!(check_base(&keyless, &route(STATUS), &parts(&[("x-forwarded-for", "10.0.0.1")])).is_ok());
        assert!(check_base(&keyed(), &bare, &parts(&[])).is_err());
    }

    #[test]
    fn the_rpc_base_with_a_token_is_for_servers_with_a_key() {
        let codes = Codes::of_key("s3cret");
        let keyed = keyed();
        let with = |token: &str| route(&format!("/durabletask/{token}/instances/a"));
        let check = |token: &str, query: &str| {
            check_key((&keyed, Some(&codes)), &with(token), &Query::parse(query), &parts(&[]))
        };
        let token = codes.rpc_token("default");
        assert!(check_base(&keyed, &with(&token), &parts(&[("x-forwarded-for", "10.0.0.1")])).is_ok());
        assert!(check_base(&ApiSettings::new("http://localhost"), &with(&token), &parts(&[])).is_err());
        assert!(check(&token, "").is_ok());
        assert!(check(&token, "taskHub=default").is_ok());
        assert!(check(&token, "taskHub=other").is_err(), "a token opens its own hub");
        assert!(check(&token.replacen("default", "other", 1), "").is_err());
        assert!(check(&Codes::of_key("old key").rpc_token("default"), "").is_err());
        assert!(check(&format!("default-{}", codes.mint("default", Scope::Manage)), "").is_err());
    }

    fn admits(path: &str, query: &str, headers: &[(&str, &str)]) -> bool {
        let codes = Codes::of_key("s3cret");
        check_key((&keyed(), Some(&codes)), &route(path), &Query::parse(query), &parts(headers)).is_ok()
    }

    #[test]
    fn a_key_comes_in_three_ways() {
        assert!(!admits(STATUS, "", &[]));
        assert!(!admits(STATUS, "code=wrong", &[]));
        assert!(!admits(STATUS, "code=", &[]));
        assert!(admits(STATUS, "code=s3cret", &[]));
        assert!(admits(STATUS, "", &[("x-functions-key", "s3cret")]));
        assert!(admits(STATUS, "", &[("authorization", "bearer s3cret")]));
        assert!(!admits(STATUS, "", &[("authorization", "Basic s3cret")]));
    }

    #[test]
    fn codes_open_what_they_are_for() {
        let codes = Codes::of_key("s3cret");
        let query = |scope: Scope<'_>| format!("code={}", codes.mint("default", scope));
        let (app, extension) = ("/admin/hubs/default/apps/a", "/admin/extensions/DurableTaskExtension/instances/a");
        for path in [STATUS, extension] {
            assert!(admits(path, &query(Scope::Instance("a")), &[]));
            assert!(admits(path, &query(Scope::Manage), &[]));
            for scope in [Scope::Instance("b"), Scope::Rpc] {
                assert!(!admits(path, &query(scope), &[]), "{scope:?}");
            }
            let other_hub = format!("{}&taskHub=other", query(Scope::Instance("a")));
            assert!(!admits(path, &other_hub, &[]));
        }
        for scope in [Scope::Instance("a"), Scope::Manage, Scope::Rpc] {
            assert!(!admits(app, &query(scope), &[]), "{scope:?} is no key of the administration");
        }
    }

    #[test]
    fn hubs() {
        let hub = |path: &str, query: &str| hub(&route(path), &Query::parse(query));
        assert_eq!(hub(STATUS, "taskHub=").ok().as_deref(), Some("default"));
        let missing = hub("/durabletask/instances/a", "taskHub=Other");
        assert!(matches!(missing, Err(ApiError::Refused { status: StatusCode::NOT_FOUND, .. })));
        let bad = hub("/admin/hubs/1a/apps/a", "");
        assert!(matches!(bad, Err(ApiError::Admin { status: StatusCode::BAD_REQUEST, .. })));
        assert!(hub("/admin/hubs/default/apps/a", "").is_ok());
        let token = Codes::of_key("k").rpc_token("default");
        assert!(hub(&format!("/durabletask/{token}/instances/a"), "").is_ok());
    }
}
