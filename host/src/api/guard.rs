//! Who may ask: the host check of keyless servers, keys, hubs.

use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use subtle::ConstantTimeEq;

use super::error::ApiError;
use super::query::Query;
use super::route::Base;
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
    if let Some(origin) =
        origin.filter(|origin| !is_loopback(origin.split_once("://").map_or(origin, |(_, host)| host)))
    {
        return Err(ApiError::ForeignHost(format!(
            "This server has no admin key and takes no requests from web pages of '{origin}'."
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

/// The bare RPC base sends no key: it exists on keyless servers only, and not for requests that came through a proxy
/// (http-api.md 1).
pub(super) fn check_base(settings: &ApiSettings, base: Base, parts: &Parts) -> Result<(), ApiError> {
    let proxied =
        || parts.headers.keys().any(|name| name.as_str() == "forwarded" || name.as_str().starts_with("x-forwarded-"));
    match base {
        Base::Rpc if settings.admin_key.is_some() || proxied() => Err(ApiError::NoSuchRoute),
        Base::Rpc | Base::Webhooks | Base::Extension | Base::Admin | Base::Root => Ok(()),
    }
}

/// With an admin key: it must come as `code=`, as `x-functions-key` or as a bearer token.
pub(super) fn check_key(settings: &ApiSettings, query: &Query, parts: &Parts) -> Result<(), ApiError> {
    let Some(key) = &settings.admin_key else { return Ok(()) };
    let bearer = text(&parts.headers, &AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let given = [query.get("code"), text(&parts.headers, &HeaderName::from_static("x-functions-key")), bearer];
    let fits = given.into_iter().flatten().any(|given| bool::from(given.as_bytes().ct_eq(key.as_bytes())));
    if fits { Ok(()) } else { Err(ApiError::Unauthorized) }
}

/// The hub a request is for: named in the path of the administration, by `taskHub=` elsewhere.
pub(super) fn hub(base: Base, query: &Query, params: &[String]) -> Result<HubName, ApiError> {
    let name = match base {
        Base::Admin => params.first().map_or("", String::as_str),
        Base::Webhooks | Base::Extension | Base::Rpc | Base::Root => query.filled("taskhub").unwrap_or(DEFAULT_HUB),
    };
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
    use axum::http::Request;

    use super::*;

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
    fn the_rpc_base_is_for_keyless_direct_calls() {
        let keyless = ApiSettings::new("http://127.0.0.1:7071");
        assert!(check_base(&keyless, Base::Rpc, &parts(&[])).is_ok());
        assert!(check_base(&keyless, Base::Rpc, &parts(&[("x-forwarded-for", "10.0.0.1")])).is_err());
        assert!(check_base(&keyless, Base::Webhooks, &parts(&[("x-forwarded-for", "10.0.0.1")])).is_ok());
        assert!(check_base(&keyed(), Base::Rpc, &parts(&[])).is_err());
    }

    #[test]
    fn a_key_comes_in_three_ways() {
        let none = Query::default();
        assert!(check_key(&keyed(), &none, &parts(&[])).is_err());
        assert!(check_key(&keyed(), &Query::parse("code=wrong"), &parts(&[])).is_err());
        assert!(check_key(&keyed(), &Query::parse("code=s3cret"), &parts(&[])).is_ok());
        assert!(check_key(&keyed(), &none, &parts(&[("x-functions-key", "s3cret")])).is_ok());
        assert!(check_key(&keyed(), &none, &parts(&[("authorization", "bearer s3cret")])).is_ok());
        assert!(check_key(&keyed(), &none, &parts(&[("authorization", "Basic s3cret")])).is_err());
    }

    #[test]
    fn hubs() {
        assert_eq!(hub(Base::Webhooks, &Query::parse("taskHub="), &[]).ok().as_deref(), Some("default"));
        assert!(matches!(
            hub(Base::Rpc, &Query::parse("taskHub=Other"), &[]),
            Err(ApiError::Refused { status: StatusCode::NOT_FOUND, .. })
        ));
        assert!(matches!(
            hub(Base::Admin, &Query::default(), &["1a".to_owned()]),
            Err(ApiError::Admin { status: StatusCode::BAD_REQUEST, .. })
        ));
        assert!(hub(Base::Admin, &Query::default(), &["default".to_owned()]).is_ok());
    }
}
