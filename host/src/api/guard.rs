//! Who may ask: the host check of keyless servers, keys, hubs.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use subtle::ConstantTimeEq;

use super::codes::{self, Codes, Scope, Signer};
use super::error::ApiError;
use super::keys::{self, HubKey};
use super::query::Query;
use super::route::{Base, Matched, Op};
use super::{ApiSettings, DEFAULT_HUB};
use crate::engine::functions::HttpFunction;
use crate::engine::{Engine, HubError};
use crate::store::{AuthLevel, HubName, HubRecord, HubState, KeyScope};

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

/// What a server with a key knows them by.
#[derive(Clone, Copy)]
pub(super) struct Locks<'a> {
    pub(super) admin_key: &'a str,
    pub(super) codes: &'a Codes,
    /// None: it is not open yet, and nobody knows the keys of hubs.
    pub(super) engine: Option<&'a Engine>,
}

/// Somebody who may ask. The links and bindings that they get end with their key, if it is one of a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Admitted {
    pub(super) signer: Option<Signer>,
}

/// What a key or code came to.
#[derive(Clone, Copy)]
enum Verdict {
    Opens(Admitted),
    /// It is one of ours, for something else.
    Elsewhere,
    Wrong,
}

impl Admitted {
    /// Without a key, or with the admin key.
    pub(super) const NOBODY: Self = Self { signer: None };
}

impl Locks<'_> {
    /// The admin key opens everything, a key of a hub what its scopes say, a hub's management code its management routes,
    /// an instance's code the routes of that instance, an RPC token the RPC base of its hub. A key or code comes as `code=`,
    /// as `x-functions-key` or as a bearer token. What the hub holds is not looked at: nobody learns by being refused.
    pub(super) fn admit(&self, found: &Matched, query: &Query, parts: &Parts) -> Result<Admitted, ApiError> {
        let hub = hub_text(found, query);
        if let Some(token) = &found.token {
            let engine = self.engine.ok_or(ApiError::Opening)?;
            let record = engine.hub(hub).ok_or(ApiError::Unauthorized)?;
            let opened = self.codes.verify_rpc(token, &record, engine.now());
            return opened.map(|signer| Admitted { signer }).ok_or(ApiError::Unauthorized);
        }
        self.weigh(&given(query, parts), |given| self.try_key(given, hub, found)).map_err(|error| match error {
            ApiError::Forbidden(_) => ApiError::Forbidden(found.base),
            other => other,
        })
    }

    /// Whether a request brings a key for an HTTP function: the function's own, or one that opens more.
    pub(super) fn admit_function(
        &self,
        (hub, function): (&str, &HttpFunction),
        query: &Query,
        parts: &Parts,
    ) -> Result<Admitted, ApiError> {
        let opens = |scopes: &[KeyScope]| {
            scopes.iter().any(|scope| match scope {
                KeyScope::Manage => true,
                KeyScope::Function(name) => function.level == AuthLevel::Function && *name == function.name,
                KeyScope::Deploy | KeyScope::Read => false,
            })
        };
        self.weigh(&given(query, parts), |given| {
            let by_key = self.try_hub_key(given, hub, opens);
            let (Verdict::Wrong, Some(engine), AuthLevel::Function) = (&by_key, self.engine, function.level) else {
                return by_key;
            };
            let Some(record) = engine.hub(hub) else { return Verdict::Wrong };
            let opened = self.codes.verify(given, (&record, Scope::Function(&function.name)), engine.now());
            opened.map_or(Verdict::Wrong, |signer| Verdict::Opens(Admitted { signer }))
        })
    }

    /// Whether a request brings a key of the hub, whatever it opens there.
    pub(super) fn admit_to_hub(&self, hub: &str, query: &Query, parts: &Parts) -> Result<Admitted, ApiError> {
        self.weigh(&given(query, parts), |given| self.try_hub_key(given, hub, |_| true))
    }

    fn weigh(&self, given: &[&str], judge: impl Fn(&str) -> Verdict) -> Result<Admitted, ApiError> {
        let mut elsewhere = false;
        for text in given {
            if is_key(text, self.admin_key) {
                return Ok(Admitted::NOBODY);
            }
            if self.engine.is_none() {
                return Err(ApiError::Opening);
            }
            match judge(text) {
                Verdict::Opens(admitted) => return Ok(admitted),
                Verdict::Elsewhere => elsewhere = true,
                Verdict::Wrong => {}
            }
        }
        Err(if elsewhere { ApiError::Forbidden(Base::Webhooks) } else { ApiError::Unauthorized })
    }

    fn try_key(&self, given: &str, hub: &str, found: &Matched) -> Verdict {
        let by_key = self.try_hub_key(given, hub, |scopes| keys::opens(scopes, found.need));
        let (Verdict::Wrong, Some(engine)) = (by_key, self.engine) else { return by_key };
        let Some(record) = engine.hub(hub) else { return Verdict::Wrong };
        let verify = |scope| self.codes.verify(given, (&record, scope), engine.now());
        let opened = match found.base {
            Base::Webhooks | Base::Extension => {
                verify(Scope::Manage).or_else(|| found.instance().and_then(|id| verify(Scope::Instance(id))))
            }
            Base::Rpc | Base::Admin | Base::Root => None,
        };
        opened.map_or(Verdict::Wrong, |signer| Verdict::Opens(Admitted { signer }))
    }

    fn try_hub_key(&self, given: &str, hub: &str, opens: impl Fn(&[KeyScope]) -> bool) -> Verdict {
        let (Some(key), Some(engine)) = (HubKey::parse(given), self.engine) else { return Verdict::Wrong };
        let Some(owner) = engine.hub_of_key(key.id) else { return Verdict::Wrong };
        let now = engine.now();
        match owner.keys.iter().find(|record| key.is(record, now)) {
            None => Verdict::Wrong,
            Some(record) if *owner.name == *hub && opens(&record.scopes) => {
                Verdict::Opens(Admitted { signer: Some(Signer::of(record)) })
            }
            Some(_) => Verdict::Elsewhere,
        }
    }
}

/// The keys and codes that a request brings.
pub(super) fn given<'a>(query: &'a Query, parts: &'a Parts) -> Vec<&'a str> {
    let bearer = text(&parts.headers, &AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let header = text(&parts.headers, &HeaderName::from_static("x-functions-key"));
    [query.get("code"), header, bearer].into_iter().flatten().filter(|text| !text.is_empty()).collect()
}

fn is_key(given: &str, key: &str) -> bool {
    given.as_bytes().ct_eq(key.as_bytes()).into()
}

/// The hub a request is for, as it names it: in the path of the administration, in an RPC token, by `taskHub=`
/// elsewhere. A token beside a `taskHub=` must be of that hub.
fn hub_text<'a>(found: &'a Matched, query: &'a Query) -> &'a str {
    let of_token = || found.token.as_deref().and_then(codes::hub_of);
    found.hub().or_else(|| query.filled("taskhub")).or_else(of_token).unwrap_or(DEFAULT_HUB)
}

/// The hub a request is for: one that exists, unless the request is to make it exist. One that is being deleted can only
/// be looked at.
pub(super) fn hub(found: &Matched, query: &Query, engine: &Engine) -> Result<Arc<HubRecord>, ApiError> {
    let (name, base) = (hub_text(found, query), found.base);
    if !is_hub_name(name) {
        let text = format!("'{name}' is no name of a task hub: 3 to 45 letters and digits, beginning with a letter.");
        return Err(refused(base, StatusCode::BAD_REQUEST, "bad-hub-name", text));
    }
    let name = HubName::from(name);
    let missing = |error: HubError| refused(base, StatusCode::NOT_FOUND, "no-such-hub", error.to_string());
    match engine.hub(&name) {
        None if [Op::PutHub, Op::ImportHub].contains(&found.op) => Ok(Arc::new(HubRecord::new(name, None, [0; 16]))),
        None => Err(missing(HubError::Unknown(name))),
        Some(hub) => match hub.state {
            HubState::Open => Ok(hub),
            HubState::Deleting if [Op::PutHub, Op::GetHub, Op::DeleteHub].contains(&found.op) => Ok(hub),
            HubState::Deleting => Err(missing(HubError::Deleting(name))),
        },
    }
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
        let token = Codes::of_key("s3cret").mint(&HubRecord::new("default".into(), None, [0; 16]), None).rpc_token();
        let with = route(&format!("/durabletask/{token}/instances/a"));
        assert!(check_base(&keyed(), &with, &parts(&[("x-forwarded-for", "10.0.0.1")])).is_ok());
        assert!(check_base(&ApiSettings::new("http://localhost"), &with, &parts(&[])).is_err());
        assert_eq!(hub_text(&with, &Query::default()), "default");
        assert_eq!(hub_text(&with, &Query::parse("taskHub=other")), "other", "which the token then does not open");
    }

    #[test]
    fn the_admin_key_comes_in_three_ways() {
        let admits = |query: &str, headers: &[(&str, &str)]| {
            let codes = Codes::of_key("s3cret");
            let locks = Locks { admin_key: "s3cret", codes: &codes, engine: None };
            locks.admit(&route(STATUS), &Query::parse(query), &parts(headers)).is_ok()
        };
        assert!(!admits("", &[]));
        assert!(!admits("code=wrong", &[]));
        assert!(!admits("code=", &[]));
        assert!(admits("code=s3cret", &[]));
        assert!(admits("", &[("x-functions-key", "s3cret")]));
        assert!(admits("", &[("authorization", "bearer s3cret")]));
        assert!(!admits("", &[("authorization", "Basic s3cret")]));
    }

    #[test]
    fn hubs_are_named_in_paths_and_queries() {
        let hub = |path: &str, query: &str| hub_text(&route(path), &Query::parse(query)).to_owned();
        assert_eq!(hub(STATUS, "taskHub="), "default");
        assert_eq!(hub(STATUS, "taskHub=Other"), "Other");
        assert_eq!(hub("/admin/hubs/mine/apps/a", "taskHub=other"), "mine");
        for name in ["abc", "Tenant7", &"a".repeat(45)] {
            assert!(is_hub_name(name), "{name}");
        }
        for name in ["", "ab", "1ab", "a-b", "äbc", &"a".repeat(46)] {
            assert!(!is_hub_name(name), "{name}");
        }
    }
}
